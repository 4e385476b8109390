/* jscan.h - a pull scanner over JSON text, for those who must look but not touch.
 *
 * It checks the grammar and gives views of the original bytes: no tree, no allocation, no
 * number conversion, so that what C cannot hold (a 30-digit integer, NaN, Infinity, a lone
 * surrogate) passes through as it stands. It accepts what Python's json.loads() accepts of
 * UTF-8 bytes. Depth is bounded by CEL_JSCAN_DEPTH. Pure; any thread. */
#ifndef CEL_CORE_JSCAN_H
#define CEL_CORE_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

#define CEL_JSCAN_DEPTH 512

typedef enum cel_jtype {
    CEL_JSON_NONE, /* absent */
    CEL_JSON_NULL,
    CEL_JSON_FALSE,
    CEL_JSON_TRUE,
    CEL_JSON_INTEGER,
    CEL_JSON_REAL, /* has a point or an exponent, or is NaN, Infinity, -Infinity */
    CEL_JSON_STRING,
    CEL_JSON_ARRAY,
    CEL_JSON_OBJECT,
} cel_jtype;

/* One value: its type and its text, without white space around it; a string's text includes the
 * quotes. CEL_JSON_NONE has an absent view. */
typedef struct cel_jvalue {
    cel_jtype type;
    cel_view text;
} cel_jvalue;

/* A walk over the members of one array or object. */
typedef struct cel_jscan {
    cel_view text; /* absent once the walk is over */
    size_t at;
    bool object;
    bool failed; /* the text is not JSON; found while walking */
    bool first;  /* no member has been given yet */
} cel_jscan;

/* Checks that `text` is one JSON value with nothing but white space around it and describes it.
 * CEL_EPROTO with the offset if it is not, or is too deep. Linear in the length of the text. */
cel_code cel__jscan_value(cel_jvalue *out, cel_view text, cel_error *err);

/* Starts a walk over `value`; if it is no array (object), the walk is over at once. The text
 * need not have been checked: a walk checks what it passes, so a caller may put together a
 * value of the type wanted and a raw text, and look at `failed` when the walk is over. It
 * saves a pass. */
void cel__jscan_array(cel_jscan *scan, cel_jvalue value);
void cel__jscan_object(cel_jscan *scan, cel_jvalue value);

/* Give the next member; false at the end. `key` is a string value, quotes included. */
bool cel__jscan_next(cel_jscan *scan, cel_jvalue *value);
bool cel__jscan_next_member(cel_jscan *scan, cel_jvalue *key, cel_jvalue *value);

/* Finds a member of an object by its key; the last one wins, as in Python. CEL_JSON_NONE if
 * there is none or `object` is no object. */
cel_jvalue cel__jscan_get(cel_jvalue object, const char *key);

/* Whether a string value (quotes included) equals `text` after its escapes are resolved. */
bool cel__jscan_is(cel_jvalue string, const char *text);

/* Appends the string's UTF-8, escapes resolved, to `buf`; a lone surrogate in its three-byte
 * form. Never more bytes than its text has. False if the value is no string. */
bool cel__jscan_string(cel_jvalue string, cel__buf *buf);

/* As above, but gives a view: into the text where the string has no escapes, else into
 * `buf`, to which it then has been appended. Growing the buffer makes earlier views into it
 * invalid: reserve the length of the whole text before, or use views only until the next
 * call. Absent if the value is no string; cut short if the buffer failed. */
cel_view cel__jscan_view(cel_jvalue string, cel__buf *buf);

/* Reads an integer that fits; false for anything else. */
bool cel__jscan_int(cel_jvalue value, int64_t *out);

/* Reads an integer or a real; false for anything else and for NaN and infinities. */
bool cel__jscan_double(cel_jvalue value, double *out);

#endif
