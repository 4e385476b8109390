/* yaml_scalar.h - what a plain scalar of YAML 1.1 means. Private to the YAML serializer. Pure. */
#ifndef CEL_MESSAGE_YAML_SCALAR_H
#define CEL_MESSAGE_YAML_SCALAR_H

#include "core/buf.h"
#include "core/view.h"

#define CEL__YAML_TAG "tag:yaml.org,2002:"

typedef enum cel__yaml_kind {
    CEL__YAML_STR,
    CEL__YAML_NULL,
    CEL__YAML_BOOL,
    CEL__YAML_INT,
    CEL__YAML_FLOAT,
    CEL__YAML_TIME,
    CEL__YAML_OTHER, /* `<<` and `=` */
} cel__yaml_kind;

/* What Python's resolver takes the unquoted text for. */
cel__yaml_kind cel__yaml_resolve(cel_view text);

/* Append the JSON of a scalar of that kind; false if the text is none of it (an explicit tag may
 * say so), or its number does not fit. */
bool cel__yaml_put_bool(cel__buf *out, cel_view text);
bool cel__yaml_put_int(cel__buf *out, cel_view text);
bool cel__yaml_put_float(cel__buf *out, cel_view text);
bool cel__yaml_put_time(cel__buf *out, cel_view text);

#endif
