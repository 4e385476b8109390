/* worker.h - the worker: takes deliveries from a broker, has a pool run them, settles what came out.
 *
 *   NEW --start--> RUNNING --warm--> DRAINING --cold--> KILLING
 *                     |                  |                 |
 *                     +---- broken ------+-----------------+--> CLOSING --> STOPPED
 *
 * DRAINING takes nothing new, hands back what has not started and finishes what runs; KILLING ends what runs. In CLOSING the
 * pool, the broker and the result store are closed; then the loop has nothing left and cel__worker_run() returns.
 * One thread: that of the loop. The worker touches no signal and prints nothing: its owner does. */
#ifndef CEL_WORKER_WORKER_H
#define CEL_WORKER_WORKER_H

#include <uv.h>

#include "app/app.h"
#include "core/view.h"
#include "pool/pool.h"

typedef struct cel_worker cel_worker;

/* Takes the worker's log lines with what Celery's formats show: the process ("MainProcess", "ForkPoolWorker-1") and, for a
 * line that a task logged, its name and id (else absent). */
typedef void (*cel_worker_log_fn)(void *user,
                                  cel_log_level level,
                                  const char *process,
                                  cel_view task,
                                  cel_view task_id,
                                  cel_view message);

typedef struct cel_worker_options {
    cel_app *app;             /* borrowed; its configuration decides what is not set here */
    const char *node;         /* "celery_test@host"; copied */
    const cel_pool_ops *pool; /* from cel__pool_find() */
    size_t concurrency;       /* slots of the pool; > 0 */
    cel_zygote *zygote;       /* taken; for a pool that forks, else NULL */
    const cel_view *queues;   /* copied; > 0 of them */
    size_t queue_count;
    const char *statedb; /* file for the ids of revoked tasks; copied; NULL: none */
    cel_worker_log_fn log;
    void *log_user;
    bool without_heartbeat;       /* no worker events */
    int64_t heartbeat_ms;         /* between two of them; 0: the default, 2 seconds */
    void (*on_ready)(void *user); /* consuming has begun */
    void *user;
} cel_worker_options;

/* Makes a worker on a loop of its own. The caller frees it with cel__worker_free() after cel__worker_run() has returned, or
 * without having run it. Takes the zygote even on failure. */
cel_code cel__worker_new(cel_worker **out, const cel_worker_options *options, cel_error *err);

/* Connects, starts the pool and consumes until the worker is stopped. CEL_OK after a warm or cold stop; else what broke it. */
cel_code cel__worker_run(cel_worker *worker, cel_error *err);

/* Ask for the end; a second call does nothing, but cold follows warm. On the loop's thread. */
void cel__worker_warm(cel_worker *worker);
void cel__worker_cold(cel_worker *worker);

/* Consumes one more queue, or one less, from now on; nothing if it does (does not) already. What was
 * received before is run. CEL_EFULL, CEL_ENOMEM, or what the broker says of the name. */
cel_code cel__worker_add_queue(cel_worker *worker, cel_view queue, cel_error *err);
void cel__worker_drop_queue(cel_worker *worker, cel_view queue);

/* Whether it is stopping: cel__worker_warm() or cel__worker_cold() was called or it broke. */
bool cel__worker_is_stopping(const cel_worker *worker);

/* Returns NULL if the worker takes work: the broker answers, messages are consumed, a process is alive; else a static line that says why it
 * does not. May ask the broker, whose answer the next call sees. On the loop's thread, between start and end of cel__worker_run(). */
const char *cel__worker_why_not(cel_worker *worker);

/* Counts from now on; before cel__worker_run(). */
cel_code cel__worker_measure(cel_worker *worker, cel_error *err);

/* Appends what was counted and what is going on, for Prometheus, and asks the broker how long the queues are: the next call tells. */
void cel__worker_metrics(cel_worker *worker, cel__buf *out);

uv_loop_t *cel__worker_loop(cel_worker *worker); /* a view, for signal handlers */

void cel__worker_free(cel_worker *worker);

#endif
