/* backend.h - the seam to result stores.
 *
 * The rules of broker.h hold: one loop, no blocking, callbacks on the loop's thread, exactly
 * once, never before the call has returned; CEL_ECANCELED at close. Documents are the JSON
 * texts of message/result.h. For transaction domains see broker.h. */
#ifndef CEL_BACKEND_BACKEND_H
#define CEL_BACKEND_BACKEND_H

#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/view.h"
#include "message/serializer.h"

typedef struct cel_backend cel_backend;
typedef struct cel_watch cel_watch;

typedef void (*cel_backend_cb)(void *user, cel_code code, const cel_error *err);

typedef struct cel_backend_options {
    const char *url;        /* copied */
    uv_loop_t *loop;        /* borrowed until closed */
    const cel_clock *clock; /* borrowed, as log */
    const cel_log *log;
    bool threaded;
    int64_t expires_ms; /* how long records are kept after their last change; 0: for ever */
    struct cel_broker *broker; /* for rpc: borrowed until closed; others do not look at it */
    const char *reply_to; /* for rpc: the queue of this client's results, copied; NULL: this
                                * side only stores */
    bool persistent;      /* for rpc: results survive a restart of the broker */
    const cel__coding
        *coding; /* how peers read and write results, where they do; borrowed; NULL:
                                * as JSON. The embedded stores keep JSON in any case */
} cel_backend_options;

/* A result to store. Views are copied before store() returns. */
typedef struct cel_backend_record {
    cel_view task_id;
    cel_view status;
    cel_view document; /* JSON text */
    cel_view group_id; /* absent: none. Wakes who watches the group. */
    bool ready;        /* status is SUCCESS, FAILURE or REVOKED */
    cel_view reply_to; /* for rpc: of the task's message; absent: nobody wants the result */
    cel_view correlation_id; /* for rpc: likewise; absent: the task's id */
} cel_backend_record;

/* One finished part of a chord. Views are copied. */
typedef struct cel_chord_part {
    cel_view gid;
    cel_view task_id; /* what is counted: an id once, its first ready state stays */
    int64_t index;    /* group_index; -1: unknown, sorts last */
    cel_view status;  /* SUCCESS, FAILURE or REVOKED */
    cel_view result;  /* JSON: the value, or the encoded exception */
    cel_view body;    /* the body's signature (JSON): kept so that it can be fired again */
    cel_view root_id; /* of the part's task; kept likewise */
} cel_chord_part;

/* A chord whose parts are all there. */
typedef struct cel_chord_ready {
    cel_view gid;
    cel_view results; /* JSON array in order of index; absent if a part failed */
    cel_view
        failed_id; /* the first part, in that order, that is FAILURE or REVOKED; absent: none */
    cel_view failed_result;            /* its encoded exception */
    cel_view body, parent_id, root_id; /* parent_id: the part that completed it */
} cel_chord_ready;

/* `ready` is NULL unless this part completed the chord: then the caller publishes the body
 * (or stores the ChordError) and reports chord_done() once that is confirmed (within one
 * domain: in the same turn). Views valid during the call. */
typedef void (*cel_chord_cb)(void *user,
                             const cel_chord_ready *ready,
                             cel_code code,
                             const cel_error *err);

typedef struct cel_backend_ops {
    const char *schemes; /* comma-separated */
    bool counts_chords;  /* false: chord_* are CEL_ENOTSUP (rpc) */

    cel_code (*open)(cel_backend **out, const cel_backend_options *options, cel_error *err);
    void (*close)(cel_backend *backend, void (*closed)(void *user), void *user);

    /* Tells when results that are stored from now on will be seen here: to be awaited before
     * their tasks are sent. NULL: always. */
    cel_code (*prepare)(cel_backend *backend, cel_backend_cb cb, void *user, cel_error *err);

    /* Stores and wakes the watchers. A SUCCESS, FAILURE or REVOKED document is never
     * replaced by an unready one, nor SUCCESS by anything: then it reports CEL_OK and leaves
     * the stored one. */
    cel_code (*store)(cel_backend *backend,
                      const cel_backend_record *record,
                      cel_backend_cb cb,
                      void *user,
                      cel_error *err);

    /* Fetches documents: `cb` is called once per id found (view valid during the call), then
     * once with task_id absent (and err if it failed). Copies the ids. */
    cel_code (*fetch)(
        cel_backend *backend,
        const cel_view *task_ids,
        size_t count,
        void (*cb)(void *user, cel_view task_id, cel_view document, const cel_error *err),
        void *user,
        cel_error *err);

    /* Removes results. Unknown ids are fine. */
    cel_code (*forget)(cel_backend *backend,
                       const cel_view *task_ids,
                       size_t count,
                       cel_backend_cb cb,
                       void *user,
                       cel_error *err);

    /* Watches ids (of tasks, or with group=true of one group): `changed` runs on the loop
     * after each stored change, possibly without one, never missing one after watch() has
     * returned: watch first, then fetch. Copies. Ends with unwatch(), also after the backend
     * was closed (which ends the calls of `changed`). A watch need not keep the loop alive:
     * the waiter's deadline does. */
    cel_code (*watch)(cel_watch **out,
                      cel_backend *backend,
                      const cel_view *ids,
                      size_t count,
                      bool group,
                      void (*changed)(void *user),
                      void *user,
                      cel_error *err);
    void (*unwatch)(cel_watch *watch); /* NULL is a no-op; no `changed` after it */

    /* How many results of the group are stored and ready (a count, not the documents). */
    cel_code (*group_count)(
        cel_backend *backend,
        cel_view gid,
        void (*cb)(void *user, int64_t ready, int64_t succeeded, const cel_error *err),
        void *user,
        cel_error *err);

    /* A group's saved result tuple: {"result": <tuple>}. `document` absent: deletes it.
     * fetch gives an absent view if there is none. */
    cel_code (*group_save)(cel_backend *backend,
                           cel_view gid,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err);
    cel_code (*group_fetch)(cel_backend *backend,
                            cel_view gid,
                            void (*cb)(void *user, cel_view document, const cel_error *err),
                            void *user,
                            cel_error *err);

    /* Opens a chord: sets its size (keeps the size if it is open already). Parts may be
     * there before it. A size that the parts already reach is reported to nobody, and the
     * next sweep finds it complete: so open it before publishing the parts. CEL_EINVAL for a
     * size below 1. What comes after the chord is complete, a part or another opening,
     * changes nothing (CEL_OK), also when it is done: it is remembered until it expires. */
    cel_code (*chord_open)(cel_backend *backend,
                           cel_view gid,
                           int64_t size,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err);
    /* Makes an open chord wait for `count` (> 0) parts more. One that is complete or not open stays as it is. */
    cel_code (*chord_grow)(cel_backend *backend,
                           cel_view gid,
                           int64_t count,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err);
    cel_code (*chord_part)(cel_backend *backend,
                           const cel_chord_part *part,
                           cel_chord_cb cb,
                           void *user,
                           cel_error *err);
    cel_code (*chord_done)(
        cel_backend *backend, cel_view gid, cel_backend_cb cb, void *user, cel_error *err);

    /* Looks for chords that are complete but not done and whose completer is gone (or silent
     * for longer than `older_ms`): claims each for the caller and calls `cb` with it; in the
     * end with ready NULL. The caller goes on as after chord_part. Also expires old records.
     * Workers call it at start and from time to time. */
    cel_code (*sweep)(
        cel_backend *backend, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err);
} cel_backend_ops;

struct cel_backend {
    const cel_backend_ops *ops;
    const void *domain;
};

/* By scheme, as cel__broker_open(). */
cel_code
cel__backend_open(cel_backend **out, const cel_backend_options *options, cel_error *err);

extern const cel_backend_ops cel__memory_backend_ops;
extern const cel_backend_ops cel__sqlite_backend_ops;
extern const cel_backend_ops cel__rpc_backend_ops;
extern const cel_backend_ops
    cel__redis_backend_ops; /* built with hiredis only: CEL_HAVE_REDIS */

#endif
