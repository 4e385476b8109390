/* follow.h - what follows from a task, written as sections of a frame: messages, chords, parts, victims.
 *
 * No I/O. One thread. */
#ifndef CEL_APP_FOLLOW_H
#define CEL_APP_FOLLOW_H

#include "app/app.h"
#include "backend/backend.h"
#include "canvas/canvas.h"
#include "message/result.h"
#include "pool/protocol.h"

/* Where sections go, and the buffers used on the way (all borrowed). */
typedef struct cel_follow {
    const cel_app *app;
    cel__buf *out;
    cel__buf *build, *scratch;
    int64_t now_us;
} cel_follow;

/* A context for canvas with what all of this has in common. */
cel_canvas_context
cel__follow_context(const cel_follow *follow, cel_view root_id, cel_view parent_id);

/* Adds a plan's chords, then its messages, routed. On an error part of them may have been added. */
cel_code cel__follow_plan(const cel_follow *follow, const cel_plan *plan, cel_error *err);

/* Adds the part of a chord. */
void cel__follow_part(const cel_follow *follow, const cel_chord_part *part);

/* Adds what follows from a failure (or, with state REVOKED, a revocation) of the task: its chord part; for FAILURE also the tasks of its
 * chain that fail with it (their results only if `store`) and their chord parts, and its errbacks. `exception` is the encoded one. What cannot be read in
 * the body, or be routed, is left out and logged. */
void cel__follow_failure(const cel_follow *follow,
                         const cel_task_headers *headers,
                         const cel_task_body *body,
                         cel_view state,
                         cel_view exception,
                         cel_view traceback,
                         bool store);

/* Adds the victims in `chain` (see canvas.h) and their parts. */
void cel__follow_victims(const cel_follow *follow,
                         cel_view chain,
                         cel_view root_id,
                         cel_view state,
                         cel_view exception,
                         cel_view traceback,
                         bool store);

/* Adds the messages of errbacks (a JSON array or one signature; may be absent). */
void cel__follow_errbacks(const cel_follow *follow,
                          cel_view errbacks,
                          cel_view failed_id,
                          cel_view root_id);

#endif
