/* pool.h - the seam to executors.
 *
 * A pool runs requests, one at a time per slot, by calling a *host function* that turns a
 * REQUEST frame into an OUTCOME frame: in a forked child (prefork), on a thread (threads) or on
 * the loop itself (solo). It knows nothing of tasks: frames in, frames out. Everything is
 * called on the loop's thread and calls back on it, never before the call has returned.
 *
 * After submit() each request ends with exactly one of: on_outcome, on_lost, on_returned. In
 * that callback and after it the request is the worker's again: it may free it or submit it
 * anew. */
#ifndef CEL_POOL_POOL_H
#define CEL_POOL_POOL_H

#include <sys/types.h>

#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"
#include "pool/protocol.h"

typedef struct cel_pool cel_pool;
typedef struct cel_pool_request cel_pool_request;
typedef struct cel_pool_call cel_pool_call;

/* ---- the host's side: runs in the child or thread ---- */

typedef struct cel_pool_host {
    /* Called in each new process (prefork) or thread (threads: once per thread; solo: once, by
     * open()) before its first request. A failure ends the child or thread; the pool logs it
     * and tries again with back-off, at last on_broken; solo: open() fails. May be NULL. */
    cel_code (*start)(void *user, cel_error *err);
    /* Runs one request: appends one OUTCOME frame for call->request_id to `out`. Never fails:
     * what goes wrong is an outcome. If it leaves no whole OUTCOME frame in `out` (no memory),
     * the request is lost. */
    void (*run)(void *user, cel_pool_call *call, cel_view frame, cel__buf *out);
    void *user; /* in a forked child: its copy-on-write image */
} cel_pool_host;

/* What a running request can do; lives during run(). Called on the thread that runs. */
struct cel_pool_call {
    uint64_t request_id;
    int64_t soft_limit_ms; /* the limits that were asked for, 0: none */
    int64_t hard_limit_ms; /* kept by the pool only where it has hard_limits */
    /* Sends a frame upwards (UPDATE, PUBLISH, LOG). With `reply` it waits for the REPLY frame
     * and puts it there (the caller frees it with cel__buf_done). CEL_ENOTSUP where there is
     * nobody to ask (solo, with `reply`), CEL_ECANCELED if the pool closes meanwhile, CEL_EIO
     * if the worker is gone. */
    cel_code (*send)(cel_pool_call *call, cel_view frame, cel__buf *reply, cel_error *err);
    /* Whether the soft limit has passed or the request is to be canceled. Cheap, may be polled.
     * In a prefork child blocking system calls are also interrupted (EINTR) by the signal. */
    bool (*is_canceled)(const cel_pool_call *call);
};

/* ---- the worker's side ---- */

typedef enum cel_pool_loss {
    CEL_LOST_DIED,       /* the child ended by itself: crash, kill, exit() */
    CEL_LOST_HARD_LIMIT, /* killed by the hard time limit */
    CEL_LOST_KILLED,     /* killed by kill() or by close(), a cold stop */
} cel_pool_loss;

/* Embedded in the worker's request, which owns it. The fields above the line are set by the
 * worker before submit(); those below it need no initialisation. */
struct cel_pool_request {
    uint64_t id;    /* unique in this pool */
    cel_view frame; /* the REQUEST frame; the worker keeps it until the request has ended */
    int64_t soft_limit_ms; /* 0: none */
    int64_t hard_limit_ms;
    bool
        is_short; /* the worker expects it to be short: may wait in a child's socket behind others
                    * that are short. It never waits behind a long one for more than a few
                    * milliseconds: the pool takes it back. */
    /* ---- */
    pid_t pid;          /* process that runs or ran it; 0: none yet */
    int slot;           /* N of ForkPoolWorker-N, from 1; 0: none yet. Grows with restarts */
    int state;          /* the pool's */
    int64_t started_ms; /* mono; 0: not started */
    uint64_t ticket;    /* the pool's */
    unsigned flags;     /* the pool's */
    void *priv;         /* the pool's */
    struct cel_pool_request *prev, *next; /* the pool's */
};

typedef struct cel_pool_callbacks {
    /* A slot is free (or became free): the worker may submit more. `free_slots` counts idle
     * ones; 0 means that only short requests will be written ahead. */
    void (*on_room)(void *user, size_t free_slots);
    /* The request is about to be handed to a process or thread: the last moment to accept its
     * delivery. Once per request, at once from inside submit() or later: this is the one
     * callback that may run inside submit(). It must not call the pool. */
    void (*on_dispatch)(void *user, cel_pool_request *request);
    /* It began to run (a STARTED frame, or known otherwise). May come late or together with the
     * outcome, never after it. */
    void (*on_started)(void *user, cel_pool_request *request, int64_t wall_us);
    /* An up-call: UPDATE, PUBLISH or LOG. For PUBLISH the worker answers later with
     * ops->reply(). */
    void (*on_frame)(void *user, cel_pool_request *request, const cel_frame *frame);
    void (*on_outcome)(void *user, cel_pool_request *request, const cel_frame *frame);
    /* `reason` is a line such as "Worker exited prematurely: signal 9 (SIGKILL)". */
    void (*on_lost)(void *user,
                    cel_pool_request *request,
                    cel_pool_loss loss,
                    const char *reason);
    /* It was not started and will not be: the pool stops. */
    void (*on_returned)(void *user, cel_pool_request *request);
    /* The soft limit passed (for the log). */
    void (*on_soft_limit)(void *user, cel_pool_request *request);
    /* A child was started or has ended (for the log): "exited with 'signal 9 (SIGKILL)'"; text
     * NULL when started. `expected`: after QUIT, max tasks, max memory, close(). */
    void (*on_child)(void *user, int slot, pid_t pid, const char *text, bool expected);
    /* Nothing can run any more: children die faster than they are replaced, or cannot be
     * started. Once. The worker stops with an error: drain() and close() work as ever. */
    void (*on_broken)(void *user, const cel_error *err);
    void *user;
} cel_pool_callbacks; /* each member but `user` is needed */

typedef struct cel_pool_options {
    size_t slots;           /* -c; at least 1 */
    uv_loop_t *loop;        /* borrowed until closed */
    const cel_clock *clock; /* borrowed, as log */
    const cel_log *log;
    cel_pool_host host;           /* copied; prefork: that of the zygote counts */
    cel_pool_callbacks callbacks; /* copied */
    int64_t max_tasks_per_child;  /* prefork; 0: no limit */
    int64_t
        max_memory_kib; /* prefork: resident memory of a child, checked after each task; 0: no
                                   * limit */
    size_t
        in_flight; /* short requests at once in one child's socket, at most 128; 0: the default, 32 */
    struct cel_zygote
        *zygote; /* prefork: made by cel__zygote_start() before any thread or loop; taken
                                * by open(). Others: NULL */
} cel_pool_options;

typedef struct cel_pool_ops {
    const char *names; /* "prefork,processes" */
    bool hard_limits;  /* can end a running request */
    bool forks;        /* needs a zygote */
    cel_code (*open)(cel_pool **out, const cel_pool_options *options, cel_error *err);
    /* Queues are the worker's: submit only while there is room (on_room, or room()); a submit
     * beyond it waits in FIFO order inside. After drain() it comes back at once (on_returned). */
    void (*submit)(cel_pool *pool, cel_pool_request *request);
    /* How many more requests would start, or be written ahead if short, at once. */
    size_t (*room)(const cel_pool *pool);
    /* Answers an up-call of a request that has not ended; copies the REPLY frame. */
    void (*reply)(cel_pool *pool, cel_pool_request *request, cel_view frame);
    /* Ends a request with the signal (prefork: the child is replaced; on_lost KILLED). One that
     * has not started is taken back and lost in the same way; one that has just ended ends as
     * it did. CEL_ENOTSUP elsewhere. */
    cel_code (*kill)(cel_pool *pool, cel_pool_request *request, int signum, cel_error *err);
    /* Sets the cancel token (as a soft limit does). */
    void (*cancel)(cel_pool *pool, cel_pool_request *request);
    /* Changes the number of slots; shrinks idle ones first, busy ones when they end. Solo:
     * no-op. */
    void (*resize)(cel_pool *pool, size_t slots);
    /* Warm: what is not started comes back (on_returned), what runs is finished; `stopped` runs
     * when all requests have ended. Once. */
    void (*drain)(cel_pool *pool, void (*stopped)(void *user), void *user);
    /* Ends running ones (prefork: KILL; threads and solo: cancel tokens; they cannot be ended),
     * then closes and frees; `closed` (may be NULL) runs on a later turn, when all requests
     * have ended. A `stopped` that is still due runs before. */
    void (*close)(cel_pool *pool, void (*closed)(void *user), void *user);
    /* Fills pids of the children (prefork) up to `max`; returns how many there are. */
    size_t (*pids)(const cel_pool *pool, pid_t *pids, size_t max);
} cel_pool_ops;

struct cel_pool {
    const cel_pool_ops *ops;
};

/* Finds a pool by its name in the table; NULL if there is none: cel__pool_names() lists them,
 * "prefork, threads, solo". */
const cel_pool_ops *cel__pool_find(const char *name);
const char *cel__pool_names(void);

/* Forks the zygote: a single-threaded process that forks the pool's children, so that these
 * share what the task module built (copy-on-write) and no thread is ever forked. Call it before
 * any thread exists, after the module is loaded, on the thread that lives as long as the
 * worker. `host` is copied. It dies with the worker, its children and their process groups with
 * it. Descriptors that are open at this moment stay open in it and in its children: they are
 * the module's. The caller gives it to a pool's open() or ends it with cel__zygote_stop() (NULL
 * is a no-op). CEL_EIO, CEL_ENOMEM. */
typedef struct cel_zygote cel_zygote;
cel_code cel__zygote_start(cel_zygote **out, const cel_pool_host *host, cel_error *err);
void cel__zygote_stop(cel_zygote *zygote);

/* Whether this process is a child of the prefork pool: then its whole process group ends with it. Any thread. */
bool cel__pool_guards_group(void);

/* In the environment of what such a child executes: its process id. When the child is dead, orphans that have it are
 * ended, wherever they have put themselves. */
#define CEL_POOL_VARIABLE "CELERIAC_POOL_CHILD"

extern const cel_pool_ops cel__prefork_pool_ops;
extern const cel_pool_ops cel__threads_pool_ops;
extern const cel_pool_ops cel__solo_pool_ops;

#endif
