/* canvas.h - what follows from what: signatures turned into messages to publish.
 *
 * A signature travels as a JSON object (task, args, kwargs, options, subtask_type, immutable;
 * Celery's celery/canvas.py). Applying one, which may be a chain, group or chord, nested in
 * one another, gives a *plan*: the task messages to publish now, the chords to open before,
 * and the handle of the whole. Nothing here does I/O, reads a clock or knows a queue: time,
 * ids and routing come in through the context. One thread per plan. */
#ifndef CEL_CANVAS_CANVAS_H
#define CEL_CANVAS_CANVAS_H

#include <jansson.h>

#include "message/task.h"

typedef struct cel_canvas_context {
    /* Writes a new unique id. NULL: cel__uuid7(). Tests count instead. */
    void (*new_id)(void *user, char out[37]);
    void *user;
    int64_t now_us; /* wall: what countdown and relative expires count from */
    /* JSON array text, prepended to the stored args of mutable signatures; may be absent.
     * Spliced, not parsed. */
    cel_view partial_args;
    json_t *partial_kwargs; /* borrowed; may be NULL; overrides stored ones */
    /* Borrowed; may be NULL: options given by the caller of apply (task_id, queue, countdown,
     * eta, expires, priority, link, link_error, chain, chord, group_id, ...), merged as
     * Signature._merge does. */
    json_t *options;
    cel_view root_id, parent_id; /* absent outside a task: each message's root is itself */
    cel_view reply_to, origin;   /* absent: "" and null */
} cel_canvas_context;

/* Options and what they mean in a message. countdown: seconds from now (0: none). eta: an ISO
 * text, {"__type__": "datetime", "__value__": <ISO text>}, or seconds since 1970; a countdown
 * wins. expires: as eta, but a number counts from now. The others are Celery's. */

/* One message to publish. `options` is what routing reads (queue, exchange, routing_key,
 * route_name, priority, delivery_mode, serializer, compression), a borrowed JSON object; NULL
 * if none is set. */
typedef struct cel_plan_task {
    cel_task_message message; /* all but exchange and routing_key */
    const json_t *options;
} cel_plan_task;

/* A chord to open: it fires when `size` different tasks of the group `gid` have ended. */
typedef struct cel_plan_chord {
    cel_view gid;
    int64_t size;
    /* {"result": the GroupResult tuple}, to be saved, if a header element is itself a group result (see the
     * reference, 13.3); else absent. */
    cel_view document;
} cel_plan_chord;

/* What lies in a plan, views included, lives until cel__plan_free(), and may point into what
 * the plan was made of: the signature, the body, the result, the context's views. Keep these
 * as long. */
typedef struct cel_plan cel_plan;

/* Expands `signature` (borrowed, not changed) and puts the plan in *out; the caller frees it
 * with cel__plan_free(). CEL_EINVAL names what is wrong: not a signature, an unknown
 * subtask_type, a chain without tasks, an option of a wrong type, nesting deeper than 64, more
 * than 10 million signatures. CEL_ENOMEM. */
cel_code cel__canvas_apply(cel_plan **out,
                           const json_t *signature,
                           const cel_canvas_context *context,
                           cel_error *err);

size_t cel__plan_task_count(const cel_plan *plan);
const cel_plan_task *cel__plan_task(const cel_plan *plan, size_t i); /* in publishing order */
size_t cel__plan_chord_count(const cel_plan *plan);
const cel_plan_chord *cel__plan_chord(const cel_plan *plan, size_t i);

/* Returns a view of the handle of the whole as a result tuple (JSON text), [[id, parent],
 * nodes]: see the reference 12.2. Parents beyond 150 steps back are left out, so that readers
 * of bounded depth can read it. */
cel_view cel__plan_result(const cel_plan *plan);

/* Returns a view of a JSON array of result tuples: what the sending task, if context.parent_id
 * is there, gets as `children`. Unlike the result it names what runs first: of a chain the
 * first step, of a chord the header's group. Empty where options.add_to_parent is false. */
cel_view cel__plan_children(const cel_plan *plan);

void cel__plan_free(cel_plan *plan); /* NULL is a no-op */

/* Combines the plans' steps of a finished task, in Celery's order: callbacks, then the next of
 * the chain. `result` is the JSON text of the return value; `body` the finished task's. Puts a
 * plan in *out whose result is cel__plan_children(). `context`: root_id = the task's root,
 * parent_id = its id. With nothing to follow it costs nothing. */
cel_code cel__canvas_follow(cel_plan **out,
                            const cel_task_body *body,
                            cel_view result,
                            const cel_canvas_context *context,
                            cel_error *err);

/* What takes the place of a task that runs, Task.replace() in Celery: `signature` (borrowed) with the task's id, group, chord,
 * callbacks, errbacks and the rest of its chain (`headers`, `body`). What ends in a group gives the list of its results.
 * `context`: root_id = the task's root, parent_id = its parent, or its id if it has none. CEL_EINVAL as for
 * cel__canvas_apply(), or if the signature is part of a chord of its own. */
cel_code cel__canvas_replace(cel_plan **out,
                             const json_t *signature,
                             const cel_task_headers *headers,
                             const cel_task_body *body,
                             const cel_canvas_context *context,
                             cel_error *err);

/* What joins the chord that the running task is a part of, Task.add_to_chord(): `signature` (borrowed) in the task's group, with
 * its place and its chord. *parts: how many parts more the chord waits for. `context`: as for a child. CEL_EINVAL also if the task is
 * no part of a chord. */
cel_code cel__canvas_add_to_chord(cel_plan **out,
                                  int64_t *parts,
                                  const json_t *signature,
                                  const cel_task_headers *headers,
                                  const cel_task_body *body,
                                  const cel_canvas_context *context,
                                  cel_error *err);

/* The errbacks of a failed task as one plan, one group: each gets `failed_id` prepended unless
 * immutable. `errbacks` is a JSON array (or one signature). An absent or empty one gives a
 * plan without tasks. The result is cel__plan_children(). */
cel_code cel__canvas_errbacks(cel_plan **out,
                              cel_view errbacks,
                              cel_view failed_id,
                              const cel_canvas_context *context,
                              cel_error *err);

/* What a chord's completion sends: `chord_body` (a signature's text) with `results` (a JSON
 * array text) as partial argument [results]. context: parent_id = the part that completed it,
 * root_id = its root; the body's own options win. */
cel_code cel__canvas_chord_body(cel_plan **out,
                                cel_view chord_body,
                                cel_view results,
                                const cel_canvas_context *context,
                                cel_error *err);

/* What fails together with a failed task, by chain propagation. */
typedef struct cel_canvas_victim {
    cel_view task_id;
    cel_view chord; /* signature text of the chord's body; absent: not a chord part */
    cel_view group_id;
    int64_t group_index; /* -1: none */
} cel_canvas_victim;

/* Calls `fail` for every task in `chain` (JSON array text, reversed as on the wire; absent:
 * none) that has options.task_id, the next to run first: of a chain all steps, of a group all
 * members, of a chord the body (as Celery does from 5.7 on), and what options.chain of these
 * says would follow. The victim's views live during the call. Also used with a chord body that
 * cannot run: pass it as an array of one. Returns what `fail` returned if that was no CEL_OK;
 * CEL_EINVAL, CEL_ENOMEM. */
cel_code cel__canvas_victims(cel_view chain,
                             cel_code (*fail)(void *user, const cel_canvas_victim *victim),
                             void *user,
                             cel_error *err);

#endif
