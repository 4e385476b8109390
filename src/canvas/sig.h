/* sig.h - signatures taken apart: what the planner works on.
 *
 * Loading normalises: nested chains are spliced, nested groups flattened, a group of one
 * inside a chain becomes its member, a group before a step becomes a chord with that step as
 * its body, and a step after a chord goes into the chord's body (Celery does these when
 * signatures are joined with `|`). Freezing gives ids to all that will be sent later. A struct
 * sig is the planner's own and may be changed; the signature it was made of is not. */
#ifndef CEL_CANVAS_SIG_H
#define CEL_CANVAS_SIG_H

#include "canvas/canvas.h"
#include "canvas/value.h"

#define CEL_SIG_DEPTH   64       /* signatures in signatures: 7 levels of JSON each at most */
#define CEL_SIG_OPTIONS 256      /* options of one signature */
#define CEL_SIG_TOTAL   10000000 /* signatures of one plan */

typedef enum cel__sig_kind {
    CEL_SIG_TASK,
    CEL_SIG_CHAIN,
    CEL_SIG_GROUP,
    CEL_SIG_CHORD,
} cel__sig_kind;

/* An option that the planner only hands on, or reads when it writes the message. */
typedef struct cel__option {
    cel_view key;
    cel__value value;
} cel__option;

typedef struct cel__options {
    cel__option *ptr;
    size_t count;
} cel__options;

typedef struct cel__sig cel__sig;
struct cel__sig {
    cel__sig_kind kind;
    bool immutable;
    bool hidden; /* add_to_parent is false: no child of the task that sends it */
    cel_view task;
    cel_view args;    /* array text, never empty; absent: [] */
    cel_view kwargs;  /* object text, never empty; absent: {}. A chord: its `kwargs.kwargs` */
    cel__sig **parts; /* steps of a chain, members of a group or of a chord's header */
    size_t count;
    size_t room;    /* of `parts`; only the loader cares */
    cel__sig *body; /* of a chord */
    cel_view gid;   /* of a chord whose group has its id already */
    /* options; absent where unset */
    cel_view task_id; /* of a group its gid; of a chain its last step's */
    cel_view group_id, root_id, parent_id, reply_to;
    int64_t group_index;       /* -1: none */
    cel_view chord;            /* signature text */
    cel_view chain;            /* array text, reversed, never empty */
    cel_view link, link_error; /* array texts, never empty */
    cel__options rest;         /* all others, in their order */
};

/* What a plan is built with. `code` is sticky: once it is set nothing more happens. */
typedef struct cel__planner {
    cel_plan *plan;
    cel__slab *slab; /* the plan's */
    const cel_canvas_context *context;
    cel_error *err;
    cel_code code;
    size_t total; /* signatures so far */
    /* Members of a group mostly have the same options: what was made of the last ones. */
    cel__options last_options;
    const json_t *last_routing;
} cel__planner;

/* Set the planner's code and error, and return the code. */
cel_code cel__planner_nomem(cel__planner *planner);
cel_code cel__planner_invalid(cel__planner *planner, const char *fmt, ...) CEL_PRINTF(2, 3);

/* Loads and normalises a signature into *out. CEL_EINVAL, CEL_ENOMEM. */
cel_code cel__sig_load(cel__planner *planner, cel__value value, cel__sig **out);

/* Makes an empty signature of a kind, for the planner's own groups. NULL when out of memory. */
cel__sig *cel__sig_new(cel__planner *planner, cel__sig_kind kind);

/* Append a part to a group: as it is, or, if it is a group, its members instead. */
cel_code cel__sig_add(cel__planner *planner, cel__sig *group, cel__sig *part);
cel_code cel__sig_add_flat(cel__planner *planner, cel__sig *group, cel__sig *part);

/* Loads options that come from outside a signature into the fields of `sig`; null ones count as
 * unset. `whose` names them in messages. */
cel_code cel__sig_load_options(cel__planner *planner, cel__sig *sig, cel__value value);

/* Returns the options of `own` overridden by those of `over` (Celery's Signature._merge):
 * nulls do not override, and neither do stamps that `own` has. */
cel__options cel__options_merge(cel__planner *planner, cel__options own, cel__options over);

/* Return `a` and `b`, array texts or absent, as one array; absent if both are. With `once`,
 * elements of `b` that are in `a` already are left out, unless there are very many. */
cel_view cel__array_join(cel__planner *planner, cel_view a, cel_view b);
cel_view cel__array_join_once(cel__planner *planner, cel_view a, cel_view b);

/* Adds callbacks (array text or absent) where they belong: to a task itself, to the last step
 * of a chain, to every member of a group, to the body of a chord; errbacks to every step of a
 * chain. */
void cel__sig_link(cel__planner *planner, cel__sig *sig, cel_view callbacks);
void cel__sig_link_error(cel__planner *planner, cel__sig *sig, cel_view errbacks);

/* Returns `sig`, which may be changed, or, of what ends in a group, a signature that ends in one task with the list of the
 * group's results as its own: celery.accumulate. NULL when out of memory. */
cel__sig *cel__sig_collected(cel__planner *planner, cel__sig *sig);

/* Returns how many tasks end for a chord when `sig` is in its header: the _descend() of
 * Celery. */
int64_t cel__sig_leaves(const cel__sig *sig);

/* Appends the signature in Celery's form. Of a chord the header is written as a group. */
void cel__sig_dump(cel__buf *buf, const cel__sig *sig);

#endif
