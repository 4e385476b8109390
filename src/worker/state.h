/* state.h - what the files of the worker share. Not for other floors. */
#ifndef CEL_WORKER_STATE_H
#define CEL_WORKER_STATE_H

#include <stdarg.h>

#include "backend/backend.h"
#include "broker/broker.h"
#include "message/event.h"
#include "message/task.h"
#include "worker/metrics.h"
#include "worker/poison.h"
#include "worker/window.h"
#include "worker/worker.h"

typedef enum cel_worker_phase {
    CEL_WORKER_NEW,
    CEL_WORKER_RUNNING,
    CEL_WORKER_DRAINING,
    CEL_WORKER_KILLING,
    CEL_WORKER_CLOSING,
    CEL_WORKER_STOPPED,
} cel_worker_phase;

/* Settings in force, read once at the start. */
typedef struct cel_worker_settings {
    bool acks_late, acks_on_failure, acks_on_timeout, reject_on_worker_lost, track_started, ignore_result, extended;
    int64_t soft_limit_ms, hard_limit_ms; /* 0: none */
    int64_t watch_ms; /* 0: nobody watches */
    size_t eta_limit; /* so many that wait for a time are held beyond the window */
    int64_t
        crash_limit; /* a late-acked task that has ended its process this often is put back no more; 0: no limit */
} cel_worker_settings;

/* See watch.c. */
typedef struct cel_worker_watch {
    int64_t since_ms;  /* since when messages might have come and have not */
    uint64_t received; /* of the worker, when that was noted */
    size_t asked;      /* answers to come */
    bool found;        /* a queue holds messages */
    int64_t ready;     /* how many */
    char queue[64];    /* the beginning of its name */
    unsigned strikes;  /* steps taken since the last message */
} cel_worker_watch;

/* See health.c. */
typedef struct cel_worker_health {
    bool asking;   /* an answer is to come */
    bool answered; /* the broker has, since the last outage */
    size_t lengths_due; /* answers to come */
    int64_t *lengths;   /* owned; of each queue, what is ready; -1: not known. NULL: nobody reads them */
} cel_worker_health;

struct cel_worker {
    uv_loop_t loop;
    cel_app *app;
    char *node;
    const cel_pool_ops *pool_ops;
    cel_pool *pool;     /* NULL before the start and after the close */
    cel_zygote *zygote; /* until the pool has taken it */
    cel_broker *broker;
    cel_backend *backend; /* NULL: results are disabled */
    cel_consumer *consumer;
    bool one_domain; /* broker and backend share transactions */
    cel_view *queues;
    size_t queue_count;
    size_t concurrency;
    cel_worker_settings settings;
    cel_worker_phase phase;
    bool pool_stopped;     /* drained or closed: nothing runs */
    bool pool_closing;     /* its close was asked for */
    bool consumer_stopped; /* cancelled */
    cel_error broken;      /* code CEL_OK: it is not */
    size_t open_handles;   /* closes under way in CLOSING */

    uint64_t next_id;
    struct cel_worker_request
        *waiting; /* utlist: received, no room in the pool yet, in order */
    size_t waiting_count, timed_count, postponed_count;
    struct cel_worker_request *timed;    /* utlist: waiting for their ETA or a rate limit */
    struct cel_worker_request *postponed; /* utlist: going back to the broker */
    struct cel_worker_request *active;   /* utlist: in the pool */
    struct cel_worker_request *settling; /* utlist: ended, not confirmed yet */
    struct cel_worker_request *idle;     /* free list, by next */
    size_t idle_count;
    size_t held; /* requests in any of the lists but `idle` */
    cel_window window;
    size_t window_set; /* what the broker was told last */

    uv_timer_t sweep_timer;
    uv_timer_t watch_timer;
    uint64_t received; /* deliveries so far */
    bool unreachable;  /* the broker has reported an outage */
    cel_worker_watch watch;
    cel_worker_health health;
    cel_metrics *metrics; /* NULL: nobody reads them */
    cel_poison poison; /* tasks that have cost processes, where the broker does not count */
    uv_timer_t connect_timer; /* the next try to reach the broker or the store */
    int64_t connect_ms;
    uv_timer_t retry_timer;        /* failed settlements wait for it */
    struct cel_settlement *failed; /* by next: wait for the retry timer */
    bool outage;      /* a settlement failed and none has succeeded since: it is logged once */
    int64_t retry_ms; /* the present back-off */
    cel__buf scratch; /* for one frame or document at a time */

    uint64_t total; /* requests ended */
    uint64_t begun; /* requests that have begun to run */
    cel_lamport lamport;             /* the logical time of all that this worker says */
    struct cel_event_sender *events; /* owned; see announce.h */
    struct cel_control *control; /* owned; see control.h */
    cel_worker_log_fn log;
    void *log_user;
    void (*on_ready)(void *user);
    void *user;
};

/* Whether lines of the level are wanted. */
static inline bool cel__worker_logs(const cel_worker *worker, cel_log_level level)
{
    return worker->log && level >= worker->app->log.level;
}

/* Logs one line of the main process. */
void cel__worker_log(cel_worker *worker, cel_log_level level, const char *fmt, ...)
    CEL_PRINTF(3, 4);

/* The same, of a process by name. */
void cel__worker_vlog(
    cel_worker *worker, cel_log_level level, const char *process, const char *fmt, va_list args)
    CEL_PRINTF(4, 0);

/* Called when something has ended that a stop may be waiting for. */
void cel__worker_check_stop(cel_worker *worker);

/* Stops with an error: nothing can be run or received any more. */
void cel__worker_break(cel_worker *worker, const cel_error *err);

#endif
