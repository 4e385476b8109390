/* json.h - jansson's values, and JSON texts, as the texts that Python writes. Pure; any
 * thread. */
#ifndef CEL_CORE_JSON_H
#define CEL_CORE_JSON_H

#include <jansson.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* Appends `value` as Python's json.dumps() does: ", " and ": " between things, ASCII only,
 * reals in the shortest text that reads back equal and always with ".0" or an exponent (1.0,
 * 1e+16), NaN and Infinity by name. NULL is written as null. Object members come in
 * jansson's order, that of insertion. Arrays and objects nested more than CEL_JSCAN_DEPTH
 * deep make the buffer fail. */
void cel__json_dump(cel__buf *buf, const json_t *value);

/* Parses one JSON text into a value owned by the caller. CEL_EPROTO names the position;
 * CEL_EINVAL if the text is JSON for Python but holds what C cannot hold (an integer beyond
 * 64 bits, NaN, infinity, a lone surrogate, NUL in a key): the message says which. Strings
 * may hold NUL. */
cel_code cel__json_load(json_t **out, cel_view text, cel_error *err);

/* Appends Python's repr() of what the text means, bounded as celery.utils.saferepr does
 * (`max_len` 1024, three levels): 'text', 1.5, True, None, [1, 2], {'a': 1}. With `tuple` a
 * top-level array is shown as a tuple: (1, 2), (1,), (). Big integers and NaN show as they
 * are. Strings are quoted as saferepr does, that is with nothing escaped but the quote. Of a
 * text that is no JSON it shows what comes before the error. */
void cel__json_repr(cel__buf *buf, cel_view text, size_t max_len, bool tuple);

/* Appends Python's own repr(), unbounded: strings get the quotes and escapes of Python. One
 * difference: code points that Unicode has not assigned are shown, not escaped. */
void cel__json_pyrepr(cel__buf *buf, cel_view text, bool tuple);

#endif
