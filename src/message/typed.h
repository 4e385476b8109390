/* typed.h - kombu's JSON objects for what JSON has no form for: {"__type__": ..., "__value__":
 * ...}, with exactly these two members. Private to the serializers. Pure; any thread. */
#ifndef CEL_MESSAGE_TYPED_H
#define CEL_MESSAGE_TYPED_H

#include "core/buf.h"
#include "core/jscan.h"

typedef enum cel__typed {
    CEL__TYPED_NONE,     /* an ordinary object */
    CEL__TYPED_BYTES,    /* "bytes": the value's UTF-8 */
    CEL__TYPED_BASE64,   /* "base64" */
    CEL__TYPED_DATETIME, /* "datetime": ISO 8601 */
    CEL__TYPED_DATE,     /* "date" */
} cel__typed;

/* What kind of object it is; *value gets its value, a string. */
cel__typed cel__typed_read(cel_jvalue object, cel_jvalue *value);

/* Appends the object for these bytes: "bytes" if they are UTF-8, else "base64". */
void cel__typed_add_bytes(cel__buf *buf, cel_view bytes);

/* Appends {"__type__": type, "__value__": value}. */
void cel__typed_add(cel__buf *buf, const char *type, cel_view value);

#endif
