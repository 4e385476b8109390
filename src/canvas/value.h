/* value.h - a JSON value to be read, whether it is jansson's (the API's) or a text (the
 * wire's).
 *
 * What is on the wire is never turned into a tree: texts that C could not hold (an integer of
 * 30 digits, NaN) pass through as they stand. Pure; one thread. */
#ifndef CEL_CANVAS_VALUE_H
#define CEL_CANVAS_VALUE_H

#include <stdbool.h>

#include <jansson.h>

#include "canvas/slab.h"
#include "core/jscan.h"

/* Either `json` is set (borrowed) or `text` counts; zero-initialised it is absent. */
typedef struct cel__value {
    const json_t *json;
    cel_jvalue text;
} cel__value;

/* A walk over an array or an object. */
typedef struct cel__walk {
    const json_t *json;
    size_t at;  /* jansson: the next index of an array */
    void *iter; /* jansson: the next member of an object */
    cel_jscan scan;
} cel__walk;

static inline cel__value cel__value_json(const json_t *json)
{
    return (cel__value){.json = json};
}

/* Checks that `text` is JSON. CEL_EINVAL (with the position) if not. */
cel_code cel__value_text(cel__value *out, cel_view text, cel_error *err);

cel_jtype cel__value_type(cel__value value);

static inline bool cel__value_null(cel__value value)
{
    return cel__value_type(value) <= CEL_JSON_NULL;
}

/* Returns a view of the type in words for messages: "a string". */
const char *cel__value_kind(cel__value value);

/* Start a walk; one over a value of another type is over at once. */
void cel__walk_array(cel__walk *walk, cel__value value);
void cel__walk_object(cel__walk *walk, cel__value value);
bool cel__walk_next(cel__walk *walk, cel__value *value);

/* `key` is the plain text of the key; it lives in the value or in `slab`. False at the end and
 * when out of memory, which *nomem (left alone otherwise) tells. */
bool cel__walk_next_member(
    cel__walk *walk, cel__slab *slab, cel_view *key, cel__value *value, bool *nomem);

/* Put the plain text of a string, or the JSON text of any value, in *out, as a view into the
 * value or `slab`. False when out of memory or, for a string, when the value is none. */
bool cel__value_string(cel__value value, cel__slab *slab, cel_view *out);
bool cel__value_dump(cel__value value, cel__slab *slab, cel_view *out);

/* Whether an array or object has no members. */
bool cel__value_empty(cel__value value);

bool cel__value_int(cel__value value, int64_t *out);
bool cel__value_double(cel__value value, double *out); /* integers too; finite ones only */

#endif
