/* prefork.h - the parts of the prefork pool that its files share; included by nobody else.
 *
 *     prefork.c        the vtable, the queue, who gets which request, the life of the pool
 *     prefork_child.c  one child seen from the worker: its birth, its socket, its end
 *     prefork_watch.c  what the claim pages tell: starts, time limits, requests taken back
 */
#ifndef CEL_POOL_PREFORK_H
#define CEL_POOL_PREFORK_H

#include "pool/claim.h"
#include "pool/pool.h"
#include "pool/zygote.h"

#define CEL_LONG_NS      3000000 /* a short request that runs longer than this is long */
#define CEL_SILENT_LOOKS 250     /* about a second */
#define CEL_WATCH_MS     4 /* how often a child is looked at whose request might be long */

/* States of a child. It is on the list of its state, in pool->lists.
 *
 *     STARTING --HELLO--> IDLE <--> OPEN <--> BUSY
 *        |                  \        |        /
 *        +-> STANDBY         +--> LEAVING <--+      max tasks, max memory, fewer slots
 *            (ready before        |
 *            its predecessor      v
 *            has left)         QUITTING             nothing in flight; QUIT is written
 *
 * and from each of them to DEAD when the zygote reports its end. */
enum child_state {
    CHILD_STARTING, /* fork asked for; no HELLO yet */
    CHILD_STANDBY, /* ready, not to be used before its predecessor has ended its last request */
    CHILD_IDLE,
    CHILD_OPEN, /* runs short requests and takes more of them */
    CHILD_BUSY, /* takes no more for now */
    CHILD_LEAVING,
    CHILD_QUITTING,
    CHILD_DEAD, /* its handle is closing */
    CHILD_STATES,
};

/* States of a request (request->state). */
enum request_state {
    REQUEST_WAITING = 1, /* in pool->waiting */
    REQUEST_SENT,        /* in child->requests; the claim page knows more */
    REQUEST_RETURNING,   /* in pool->notices: on_returned is due */
    REQUEST_LOSING,      /* in pool->notices: on_lost is due */
    REQUEST_ENDED,
};

/* request->flags */
#define REQUEST_DISPATCHED 1u  /* on_dispatch was called */
#define REQUEST_STARTED    2u  /* on_started was called */
#define REQUEST_SOFT       4u  /* the soft limit has passed */
#define REQUEST_CANCEL     8u  /* to be canceled as soon as it runs */
#define REQUEST_NO_MEMORY  16u /* LOSING: it could not be written */

struct child {
    struct prefork *pool;
    struct child *prev, *next;         /* list of the state */
    struct child *all_prev, *all_next; /* list of all that are not freed */
    struct child *dirty_next;          /* list of those with bytes to write */
    enum child_state state;
    bool is_dirty;
    bool is_standby;         /* becomes STANDBY rather than IDLE at its HELLO */
    bool replace;            /* LEAVING: its seat is kept for a successor */
    bool expected;           /* its end is no accident */
    bool greeted;            /* HELLO came */
    bool announced;          /* on_child told its start */
    bool eof;                /* nothing more to read */
    bool garbage;            /* it sent what is no frame */
    bool is_long;            /* what it runs is not short: nothing may wait behind it */
    bool write_blocked;      /* the socket is full; polled for writing */
    struct child *successor; /* stands by for this one */
    struct child *predecessor;
    int number;
    pid_t pid;      /* 0 until the zygote or its HELLO has told */
    bool confirmed; /* the zygote has told: it may be used for kill() */
    int fd;
    uv_poll_t poll;
    cel__claim_page *page;
    cel__buf out; /* to be written, from out_at on */
    size_t out_at;
    cel__buf in;                /* the beginning of a frame */
    cel_pool_request *requests; /* in flight, in the order of their tickets */
    size_t in_flight;
    uint64_t written;  /* the next ticket */
    uint64_t assigned; /* requests counted against max_tasks_per_child */
    uint64_t doomed_ticket;
    cel_pool_loss doomed_loss;
    bool doomed;
    unsigned silent_looks; /* how often in a row the head was done, but no outcome had come */
    unsigned epoch;        /* pool->start_failures when it was forked */
};

struct command {
    cel__zygote_packet packet;
    int fds[2]; /* owned; -1: none */
};

struct prefork {
    cel_pool base;
    cel_pool_options opts;
    size_t slots;
    size_t in_flight; /* most requests in one child */
    cel_zygote *zygote;
    bool zygote_gone;
    uv_poll_t control;
    int control_events;
    struct command *commands; /* owned; to be sent to the zygote */
    size_t command_count, command_cap;
    uv_idle_t turn; /* active while something is to be done on the next turn */
    uv_timer_t watch;
    int64_t watch_due_ms; /* by uv_now(); INT64_MAX: not active */
    uv_timer_t retry;     /* back-off before the next fork */
    bool waits_for_retry;
    struct child *all;
    struct child *lists[CHILD_STATES];
    size_t counts[CHILD_STATES];
    struct child *dirty;
    int next_number;
    cel_pool_request *waiting; /* FIFO */
    size_t waiting_count;
    cel_pool_request *notices;
    size_t outstanding; /* requests that have not ended */
    char *scratch;      /* for reading */
    uint64_t turn_ns;   /* CLOCK_MONOTONIC and wall time at the beginning of a read */
    int64_t turn_wall_us;
    unsigned start_failures; /* in a row */
    int64_t crash_ms[100];   /* when the last abnormal ends were; a ring */
    size_t crash_at;
    bool room_due; /* on_room is due */
    bool draining, closing, broken, freeing;
    size_t handles; /* open ones */
    void (*stopped)(void *user);
    void *stopped_user;
    void (*closed)(void *user);
    void *closed_user;
};

/* ---- prefork.c ---- */
void cel__prefork_wake(struct prefork *pool); /* run the turn soon */
void cel__prefork_want_room(struct prefork *pool);
/* Puts a request that was not started back to the front, or returns it if the pool stops. */
void cel__prefork_requeue(struct prefork *pool, cel_pool_request *request);
void cel__prefork_notify(struct prefork *pool,
                         cel_pool_request *request,
                         enum request_state state);
void cel__prefork_end(struct prefork *pool,
                      cel_pool_request *request); /* before its last callback */
void cel__prefork_break(struct prefork *pool, cel_code code, const char *text);
void cel__prefork_handle_closed(struct prefork *pool);
/* Forks, retires and replaces children until there are as many as there should be. */
void cel__prefork_balance(struct prefork *pool);
/* A child did not come up (or could not be forked): back off, at last give up. */
void cel__prefork_start_failed(struct prefork *pool, unsigned epoch);
/* Queues a command; takes the descriptors. */
void cel__prefork_command(
    struct prefork *pool, cel__zygote_kind kind, int number, int value, const int fds[2]);

/* ---- prefork_child.c ---- */
cel_code cel__child_spawn(struct prefork *pool, struct child **out, cel_error *err);
void cel__child_move(struct child *child, enum child_state state);
/* Moves between IDLE, OPEN and BUSY, or on from LEAVING, as its load says. */
void cel__child_update(struct child *child);
/* How many more requests it takes: all of them short unless it is idle. */
size_t cel__child_credit(const struct child *child);
void cel__child_assign(struct child *child, cel_pool_request *request);
void cel__child_write_frame(struct child *child, cel_view frame);
void cel__child_flush(struct child *child);
void cel__child_leave(struct child *child, bool replace);
void cel__child_signal(struct child *child, int signum);
void cel__child_known(struct child *child, pid_t pid);
void cel__child_exited(struct child *child, int status);
/* Its bytes make no sense: it is ended, what it runs is lost. `what` completes "the process
 * ...". */
void cel__child_distrust(struct child *child, const char *what);
/* Handles whole frames that were taken out of the claim page. */
void cel__child_steal(struct child *child);
void cel__child_free(struct child *child);

/* ---- prefork_watch.c ---- */
void cel__prefork_on_watch(uv_timer_t *timer);
void cel__prefork_watch_within(struct prefork *pool, int64_t ms);
/* Tells the start of a request if that was not done; it has been taken. */
void cel__prefork_started(struct child *child, cel_pool_request *request, uint64_t now_ns);
/* Takes back what has not begun in this child. */
void cel__prefork_reclaim(struct child *child);
cel_code
cel__prefork_kill(cel_pool *base, cel_pool_request *request, int signum, cel_error *err);
void cel__prefork_cancel(cel_pool *base, cel_pool_request *request);

#endif
