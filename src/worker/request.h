/* request.h - one execution in the worker, from delivery to settlement.
 *
 *   received -> [timed] -> waiting -> active -> settling -> free
 *   received -> postponed -> free, or timed
 *
 * A request is in exactly one list of the worker; cel__request_move() changes it. Requests are recycled with their
 * buffers, so that a short task costs no allocation. */
#ifndef CEL_WORKER_REQUEST_H
#define CEL_WORKER_REQUEST_H

#include "worker/state.h"

typedef struct cel_worker_request cel_worker_request;

/* What must be made true before a request or a chord is done with, in this order; see settle.c. */
typedef struct cel_settlement {
    cel_worker *worker;
    cel_worker_request *request; /* NULL: a chord's completion */
    cel__buf frame;              /* the OUTCOME frame, kept until all is confirmed */
    char *gid;                   /* owned; a chord's completion: its group id */
    int stage;                   /* the next to submit */
    size_t pending;              /* callbacks under way */
    bool launching;              /* inside the submission: callbacks cannot come yet */
    bool acked;                  /* the delivery is settled and gone */
    unsigned refusals;           /* rounds that ended with CEL_EINVAL */
    cel_error failure;           /* the first that failed in this round */
    struct cel_settlement
        *parent; /* a chord's completion in another domain: whose ack waits for it */
    struct cel_settlement *next; /* in the list of those to try again */
} cel_settlement;

struct cel_worker_request {
    cel_pool_request pool; /* first: the pool gives this back */
    cel_worker *worker;
    cel_delivery *delivery; /* NULL once settled */
    cel_task_headers headers;
    cel_task_entry *entry; /* NULL: not registered */
    cel__buf scratch;      /* strings of the headers */
    cel__buf frame;        /* the REQUEST frame */
    cel_settlement settlement;
    uv_timer_t *timer;         /* owned; NULL unless it is timed */
    bool late;                 /* acknowledged after it has ended */
    bool accepted;             /* broker->accept() was called */
    bool begun;                /* it runs, or has run: see announce.h, as for all that follow */
    bool announced;            /* its end was told */
    bool expired;              /* REVOKED for that */
    bool terminated;           /* REVOKED by a signal while it ran: */
    int signum;                /* which one */
    int64_t started_us;        /* wall time when it began to run; 0: it has not */
    char process[32];          /* see cel__request_process() */
    cel_worker_request **list; /* where it is; NULL: nowhere */
    cel_worker_request *list_prev, *list_next;
};

/* Returns a request for the delivery, in no list; NULL when out of memory. */
cel_worker_request *cel__request_new(cel_worker *worker, cel_delivery *delivery);

/* Recycles it; it must hold no delivery. */
void cel__request_free(cel_worker_request *request);

/* Puts it at the end of `list` (one of the worker's; NULL: in none), out of the one it is in. */
void cel__request_move(cel_worker_request *request, cel_worker_request **list);

/* Frees what is in the free list. */
void cel__request_drop_idle(cel_worker *worker);

/* The limits in force: headers, then task, then settings; 0 is none. */
void cel__request_limits(const cel_worker_request *request, int64_t *soft_ms, int64_t *hard_ms);

/* The name for log lines: the shadow, if there is one. */
cel_view cel__request_name(const cel_worker_request *request);

/* "ForkPoolWorker-3" of the request's slot, or "MainProcess" before it has one; a view. */
const char *cel__request_process(cel_worker_request *request);

/* Logs one line of the request's process. */
void cel__request_log(cel_worker_request *request, cel_log_level level, const char *fmt, ...)
    CEL_PRINTF(3, 4);

/* Hands the delivery back unstarted and frees the request. */
void cel__request_release(cel_worker_request *request);

#endif
