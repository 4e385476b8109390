/* plan.h - the inside of a plan, and how one is made: sig.h gives signatures, expand.c sends
 * them. */
#ifndef CEL_CANVAS_PLAN_H
#define CEL_CANVAS_PLAN_H

#include "canvas/sig.h"

struct cel_plan {
    cel__slab slab;       /* all texts and signatures */
    cel_plan_task *tasks; /* owned */
    size_t task_count, task_room;
    cel_plan_chord *chords; /* owned */
    size_t chord_count, chord_room;
    json_t *
        *routings; /* owned, and so are the references: what the tasks' `options` point to */
    size_t routing_count, routing_room;
    cel_view result, children;
};

/* A handle: what the sender of a signature holds in the end. */
typedef struct cel__handle cel__handle;
struct cel__handle {
    cel_view id;
    cel__handle *parent;
    cel__handle **parts; /* of a group */
    size_t count;
    bool group;
};

/* What the sender of a signature says about it, beside the context. Absent views and -1:
 * nothing. */
typedef struct cel__given {
    cel_view partial_args; /* array text */
    cel__value partial_kwargs;
    cel_view task_id, group_id, root_id, parent_id;
    int64_t group_index;
    cel_view chord;            /* signature text: the body of the chord that waits for it */
    cel_view chain;            /* array text, reversed: what runs after it */
    cel_view link, link_error; /* array texts */
    cel__options rest;
} cel__given;

/* Both handles of what was sent: of the whole, and of what runs first, which becomes a child
 * of the sending task (NULL: nothing does). */
typedef struct cel__sent {
    cel__handle *whole;
    cel__handle *child;
} cel__sent;

/* Adds all messages and chords of `sig` to the plan. */
cel_code
cel__expand(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent);

/* Writes a new id into *out. */
void cel__new_id(cel__planner *planner, cel_view *out);

/* Adds the message of a plain signature, whose id is set, to the plan. */
cel_code cel__emit(cel__planner *planner, const cel__sig *sig, const cel__given *given);

/* Appends a handle as a result tuple; without its parent if `alone`. Parents and parts that
 * lie too deep for a reader are left out. */
void cel__handle_dump(cel__buf *buf, const cel__handle *handle, bool alone);

/* Makes room for one more element of `size` bytes in a heap array. */
bool cel__grow(void *array, size_t count, size_t *room, size_t size);

#endif
