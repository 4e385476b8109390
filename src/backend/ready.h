/* ready.h - the texts of one complete chord, gathered on one thread and shown on another.
 *
 * Zero-initialised it is empty. One buffer holds all texts, since the results of 50,000
 * parts may be tens of megabytes: they are appended once and never moved again. One thread
 * at a time. */
#ifndef CEL_BACKEND_READY_H
#define CEL_BACKEND_READY_H

#include "backend/backend.h"
#include "core/buf.h"

typedef enum cel__ready_field {
    CEL_READY_GID,
    CEL_READY_RESULTS,
    CEL_READY_FAILED_ID,
    CEL_READY_FAILED_RESULT,
    CEL_READY_BODY,
    CEL_READY_PARENT_ID,
    CEL_READY_ROOT_ID,
    CEL_READY_FIELDS
} cel__ready_field;

typedef struct cel__ready {
    cel__buf text;
    struct {
        size_t at, len;
        bool present;
    } fields[CEL_READY_FIELDS];
} cel__ready;

/* Copies `view` as the field's value; an absent view leaves the field absent. */
void cel__ready_set(cel__ready *ready, cel__ready_field field, cel_view view);

/* Builds the field CEL_READY_RESULTS, a JSON array: begin, one result after the other, end.
 * Nothing else may be set in between. An absent or empty result is null. */
void cel__ready_begin_results(cel__ready *ready);
void cel__ready_add_result(cel__ready *ready, cel_view result);
void cel__ready_end_results(cel__ready *ready);

/* CEL_OK, or CEL_ENOMEM if the texts did not fit. */
cel_code cel__ready_check(const cel__ready *ready, cel_error *err);

/* Puts views in *out, valid until `ready` is changed or done. */
void cel__ready_show(const cel__ready *ready, cel_chord_ready *out);

void cel__ready_done(cel__ready *ready);

#endif
