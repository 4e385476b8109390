/* trace.h - running one task: from a REQUEST frame to an OUTCOME frame.
 *
 * This is the pool's host: it runs in a forked child, on a pool thread or on the loop. It decodes the
 * body, calls the task's function, turns what it returned or raised into a state, and computes all
 * that follows: callbacks, next of the chain, errbacks, the chord part, other tasks that fail with
 * it. It touches no network and no file.
 *
 * A VICTIM section may hold a GID besides what pool/protocol.h lists: the group of the task that fails
 * with it, to be stored as its group_id. A traceback reads as Python's does, with the task in the place of the frames:
 *
 *     Traceback (most recent call last):
 *       Task tasks.add[<id>] in C
 *     ValueError: boom
 *
 * RETRY's REPR is the text for the log, "Retry in 180s: ValueError('boom')". RSS_KIB is not in every
 * outcome: it is measured after tasks of more than a millisecond and after one short task in 32. */
#ifndef CEL_APP_TRACE_H
#define CEL_APP_TRACE_H

#include "app/app.h"
#include "backend/backend.h"
#include "message/result.h"
#include "message/task.h"
#include "pool/pool.h"

/* Fills in the host functions for `app` (borrowed while the pool lives). */
void cel__trace_host(cel_pool_host *host, cel_app *app);

/* Appends the REQUEST frame for a message. `hostname` is the node name. Fails with CEL_ENOMEM, and then buf->failed. */
void cel__trace_request(cel__buf *buf,
                        uint64_t request_id,
                        const cel_message *message,
                        const char *hostname,
                        cel_view queue,
                        bool redelivered,
                        cel_error *err);

/* What follows from a task that ended without (or before) running: appends the OUTCOME frame for the
 * message with `state` (FAILURE or REVOKED) and the exception: chord part; for FAILURE also chain
 * propagation and errbacks. Used by the worker for lost processes, hard limits, revoked, expired and
 * unknown tasks. Never fails but for memory (then buf->failed): a body that cannot be read has
 * nothing that follows. */
void cel__trace_fail(cel__buf *buf,
                     cel_app *app,
                     uint64_t request_id,
                     const cel_message *message,
                     const cel_task_headers *headers,
                     const char *state,
                     const cel_exception *exception);

/* What follows from a chord that is complete: appends an OUTCOME frame (state IGNORED, nothing to
 * store for the part itself) whose MESSAGE and CHORD sections are the body's, or, if a part failed,
 * whose VICTIM sections and errback MESSAGEs are those of the ChordError. A body that cannot be sent ends
 * with a ChordError too. CEL_ENOMEM: then buf->failed. */
void cel__trace_chord(cel__buf *buf,
                      cel_app *app,
                      const cel_chord_ready *ready,
                      cel_error *err);

#endif
