/* engine_impl.h - the inside of an engine, shared by engine.c, engine_batch.c and engine_tick.c
 * only. */
#ifndef CEL_SQLITE_ENGINE_IMPL_H
#define CEL_SQLITE_ENGINE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sqlite/bell.h"
#include "sqlite/checkpoint.h"
#include "sqlite/conn.h"
#include "sqlite/engine.h"
#include "sqlite/listen.h"
#include "sqlite/owner.h"
#include "sqlite/process.h"

typedef struct cel__op_list {
    cel_engine_op *first, *last;
} cel__op_list;

/* Who waits for the end of a reference; made with the reference, so that giving it back cannot
 * fail. */
typedef struct cel__closer {
    void (*closed)(void *user);
    void *user;
    struct cel__closer *next;
} cel__closer;

/* The engine's own operation of the timer: see engine_tick.c. */
typedef struct cel__tick_op {
    cel_engine_op op;
    cel_engine *engine;
    bool busy;        /* submitted, not done */
    bool lease_lost;  /* out: our owner's row is gone */
    bool sweep;       /* in: also remove what the dead have left in the run directory */
    bool changed;     /* out: others have written to the file */
    int64_t dead[16]; /* out: owners to recover */
    size_t dead_count;
    size_t removed; /* of dead: recovered by this run; their ledgers can go after the commit */
} cel__tick_op;

struct cel_engine {
    /* set by open */
    cel_engine *next_open;       /* in the registry */
    char *path, *run_dir, *node; /* owned */
    uv_loop_t *loop;
    cel_clock const *clock;
    const cel_log *log;
    bool threaded;
    int64_t lease_ms;
    cel__sqlite_url url;
    cel__process self;
    cel__bell *bell;

    /* the loop's */
    size_t refs;
    bool closing; /* the last reference is gone */
    bool leaving; /* the operation that removes the owner is submitted */
    bool shut;    /* handles are being closed */
    int open_handles;
    size_t in_flight;           /* submitted, not done */
    cel__op_list turn;          /* submitted in this turn */
    cel__closer *spare_closers; /* one per reference */
    cel__closer *closers;       /* to be told: at once, or at the end if last_closer */
    cel__closer *last_closer;
    bool in_flush;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* started to keep the poll phase from waiting */
    uv_async_t async;
    uv_poll_t poll;
    uv_timer_t timer;
    bool has_poll;
    cel__listeners listeners;
    cel__tick_op tick;
    cel__tick_op leave;
    int64_t renewed_mono_ms, swept_mono_ms;

    /* between loop and thread, under `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    cel__op_list queue, finished;
    bool stop, exited, rung_own;
    pthread_t thread;
    bool has_thread;

    /* the engine's thread's (inline: the loop's) */
    cel__conn conn;
    cel__checkpointer *checkpointer; /* NULL: inline */
    int seen_pages;                  /* the log's size at the last look, */
    int poked_pages;                 /* when a checkpoint was last asked for, */
    int look_pages;                  /* and when the room on the disk is to be looked at next */
    bool full;                       /* the last batch failed for want of room */
    uint64_t *rung;                  /* owned */
    size_t rung_count, rung_cap;
    bool rung_all; /* out of memory for them */
    int64_t data_version;
    cel__suspects suspects;
    int64_t owner;              /* 0: none */
    bool owner_fresh;           /* its row is not committed yet */
    cel__ledger *ledger;        /* a reference, if owner */
    _Atomic int64_t owner_seen; /* owner, for the loop */
    _Atomic uint64_t rollbacks;
};

/* engine_batch.c */
void cel__engine_flush(
    cel_engine *engine);                /* the turn's operations go to the thread, or are run */
void *cel__engine_thread(void *engine); /* the thread's main function */
void cel__engine_finished(
    cel_engine *engine); /* loop: calls done() of what is finished, wakes listeners */
void cel__engine_drain_bell(cel_engine *engine, bool readable);

/* engine_tick.c */
#define CEL_ENGINE_TICK_MS 2500
void cel__engine_tick(uv_timer_t *timer);
void cel__engine_tick_init(cel_engine *engine);
void cel__engine_leave(cel_engine *engine); /* submits the removal of the owner */
void cel__engine_owner_committed(cel_engine *engine);
void cel__engine_owner_rolled_back(cel_engine *engine);

#endif
