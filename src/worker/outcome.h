/* outcome.h - an OUTCOME frame taken apart. Pure; views into the frame. */
#ifndef CEL_WORKER_OUTCOME_H
#define CEL_WORKER_OUTCOME_H

#include "backend/backend.h"
#include "core/view.h"
#include "pool/protocol.h"

typedef struct cel_outcome {
    cel_view state;  /* never absent */
    cel_view result; /* JSON */
    cel_view traceback, children, repr, args, kwargs;
    bool expected, requeue;
    bool store; /* the result is to be stored */
    int64_t runtime_us;
    cel_view sections; /* all of them, for cel__outcome_next() */
} cel_outcome;

/* Reads the frame's sections; CEL_EPROTO if they are malformed or have no state. */
cel_code cel__outcome_read(cel_outcome *out, cel_view sections, cel_error *err);

/* Gives the next section with this tag and advances *rest, which begins as outcome->sections; false at the end. */
bool cel__outcome_next(cel_view *rest, cel_section_tag tag, cel_view *bytes);

/* A chord to open (size > 0), or that waits for `grow` parts more. */
typedef struct cel_outcome_chord {
    cel_view gid, document;
    int64_t size, grow;
} cel_outcome_chord;
void cel__outcome_chord(cel_outcome_chord *out, cel_view bytes);

/* A chord part that ends with this. */
void cel__outcome_part(cel_chord_part *out, cel_view bytes);

/* Another task that ends with this. */
typedef struct cel_outcome_victim {
    cel_view id, state, result, traceback;
    cel_view gid; /* its group; absent: none */
} cel_outcome_victim;
void cel__outcome_victim(cel_outcome_victim *out, cel_view bytes);

#endif
