/* serializer.h - the content types of bodies and results: other forms of the same values.
 *
 * Inside, all values are JSON texts. What JSON has no form for is written as kombu's JSON
 * serializer (5.3 and later) writes it: {"__type__": "bytes", "__value__": text} and "base64" for
 * bytes, "datetime" and "date" for YAML's times. Such an object is turned back by a form that
 * has the type. Pure; any thread. */
#ifndef CEL_MESSAGE_SERIALIZER_H
#define CEL_MESSAGE_SERIALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"
#include "message/security.h"

/* X(constant, kombu's name, content type, content encoding). Pickle is listed so that it can be
 * refused by name: there is no code that reads it. */
#define CEL__SERIALIZERS(X)                                                                    \
    X(JSON, "json", "application/json", "utf-8")                                               \
    X(YAML, "yaml", "application/x-yaml", "utf-8")                                             \
    X(MSGPACK, "msgpack", "application/x-msgpack", "binary")                                   \
    X(AUTH, "auth", "application/data", "utf-8")                                               \
    X(PICKLE, "pickle", "application/x-python-serialize", "binary")

#define CEL_X(constant, name, type, encoding) CEL_SERIALIZER_##constant,
typedef enum cel__serializer {
    CEL__SERIALIZERS(CEL_X) CEL_SERIALIZER_COUNT
} cel__serializer;
#undef CEL_X

#define CEL__ACCEPTS(serializer) (1u << (serializer))

const char *cel__serializer_name(cel__serializer serializer);
cel_view cel__serializer_type(cel__serializer serializer);
cel_view cel__serializer_encoding(cel__serializer serializer);

/* Finds a serializer by name or content type; false if there is none of the kind. */
bool cel__serializer_find(cel__serializer *out, cel_view name);

/* What is written, and what is accepted: of one app, for its messages or for its results. */
typedef struct cel__coding {
    cel__serializer serializer;    /* what is written where nothing else is asked for */
    unsigned accepted;             /* CEL__ACCEPTS() of each that may be read */
    size_t max_bytes;              /* of a decompressed body; 0: CEL__BODY_MAX */
    const cel__security *security; /* borrowed: for signed ones; NULL: none */
} cel__coding;

/* JSON, and nothing else: Celery's default. */
extern const cel__coding cel__coding_json;

/* CEL_ECONFIG, saying what to configure instead, if bodies cannot be written (read) in that form:
 * pickle, one that is not built in, `auth` without a key (certificates). */
cel_code cel__serializer_check(cel__serializer serializer,
                               const cel__security *security,
                               bool writes,
                               cel_error *err);

/* Appends the value of the JSON text `json` in that form. CEL_EINVAL for what it cannot hold (an
 * integer beyond 64 bits in msgpack, a lone surrogate) or a text that is no JSON, CEL_ENOTSUP for
 * a form that cannot be written, CEL_ENOMEM. On failure `buf` is as long as before. */
cel_code cel__encode(cel__buf *buf,
                     cel__serializer serializer,
                     const cel__coding *coding,
                     cel_view json,
                     cel_error *err);

/* Gives the JSON text of `bytes`: them themselves where they are JSON, which then is not checked,
 * else a text that is appended to `scratch`. CEL_ENOTSUP if the form is not accepted, CEL_EPROTO
 * for bytes that are none of it or have values that JSON cannot hold, or (signed ones) for a
 * signature that is not right; CEL_EFULL for more than coding->max_bytes, CEL_ENOMEM. */
cel_code cel__decode(cel_view *out,
                     cel__serializer serializer,
                     const cel__coding *coding,
                     cel_view bytes,
                     cel__buf *scratch,
                     cel_error *err);

#endif
