/* engine.h - one SQLite file, its schema and its transactions, shared by the embedded broker and store.
 *
 * One engine per (process, loop, file), reference-counted: broker and backend with the same URL share it. Work comes as
 * *operations*. All operations submitted in one turn of the loop are run in one transaction, in the order of
 * submission, together with whatever else is waiting (group commit); so a result, the messages that follow from it and the
 * acknowledgement of its cause are stored together or not at all. An operation's `run` may fail alone (its savepoint is
 * rolled back) or fail the whole batch (disk full, I/O error): then every operation of the batch fails with that error.
 *
 * Two modes. *Threaded* (the worker): transactions run on the engine's own thread, completions come back through a
 * uv_async, and the loop never waits for the disk. *Inline* (a client): transactions run on the loop's thread in a uv_check/idle
 * phase of the same turn, which saves two thread switches.
 *
 * The *bell*: after a commit the engine pokes the other processes (and other loops of this process) that wait for what was
 * stored: see bell.h. */
#ifndef CEL_SQLITE_ENGINE_H
#define CEL_SQLITE_ENGINE_H

#include <sqlite3.h>
#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"

typedef struct cel_engine cel_engine;
typedef struct cel_engine_op cel_engine_op;

/* What a commit made true, for the bell: the kinds of event and the 64-bit hash of a queue name or of a task or group id. */
typedef enum cel_engine_event {
    CEL_EVENT_QUEUE,   /* a message is ready in the queue */
    CEL_EVENT_RESULT,  /* a result or a chord/group part of this id was stored */
} cel_engine_event;

struct cel_engine_op {
    /* Runs on the engine's thread (threaded) inside the transaction. May call cel__engine_ring(). Returns CEL_OK or fills in
     * op->err. Must not touch the loop. Prepared statements come from cel__engine_stmt(). */
    cel_code (*run)(cel_engine_op *op, cel_engine *engine);
    /* Runs on the loop's thread, exactly once, after the commit (op->err.code CEL_OK), the failure or the cancellation by
     * close; never before the submit has returned. May free op. */
    void (*done)(cel_engine_op *op);
    cel_error err;         /* set by run or by the engine; code CEL_OK: committed */
    bool read_only;        /* a batch of only such operations needs no write lock and no commit */
    bool sync;             /* its commit must be on the disk (see `synchronous`) before done: messages accepted, results stored. A
                            * claim needs none. */
    cel_engine_op *next;   /* the engine's */
};

typedef enum cel_synchronous {
    CEL_SYNC_OFF,    /* survives kill -9; a power cut may damage the file */
    CEL_SYNC_NORMAL, /* survives kill -9; a power cut may lose the last transactions, never damages */
    CEL_SYNC_FULL,   /* survives a power cut: commits that matter (op->sync) are on the disk */
} cel_synchronous;

typedef struct cel_engine_options {
    const char *url;       /* sqlite:///relative.db, sqlite:////absolute.db, with ?synchronous=off|normal|full&... ; copied */
    uv_loop_t *loop;       /* borrowed until the close is done */
    const cel_clock *clock; /* borrowed */
    const cel_log *log;    /* borrowed */
    bool threaded;
} cel_engine_options;

/* Opens or shares the engine; creates the file (mode 0600) and its schema when there is none. Returns a reference, given
 * back with cel__engine_unref(). CEL_EPROTO: the file is no SQLite database, belongs to another application or to a newer version
 * of the schema; CEL_EIO, CEL_EFULL, CEL_ECONFIG (the URL). Blocks for the time of opening. */
cel_code cel__engine_open(cel_engine **out, const cel_engine_options *options, cel_error *err);
cel_engine *cel__engine_ref(cel_engine *engine);

/* Gives the reference back. The last one finishes what was submitted, then closes; `closed` runs on the loop then (also for
 * references that are not the last: on a later turn). */
void cel__engine_unref(cel_engine *engine, void (*closed)(void *user), void *user);

/* Submits; the op must live until its done(). Never fails: errors come through done(). Loop thread. */
void cel__engine_submit(cel_engine *engine, cel_engine_op *op);

/* The path of the file; a view. */
const char *cel__engine_path(const cel_engine *engine);
const cel_clock *cel__engine_clock(const cel_engine *engine);
const cel_log *cel__engine_log(const cel_engine *engine);
uv_loop_t *cel__engine_loop(const cel_engine *engine);

/* ---- inside run() ---- */
sqlite3 *cel__engine_db(cel_engine *engine);

/* Returns a cached prepared statement, reset and unbound; NULL with err set. `sql` must be a literal (its address is the key). */
sqlite3_stmt *cel__engine_stmt(cel_engine *engine, const char *sql, cel_error *err);

/* Steps to completion; CEL_OK for SQLITE_DONE (and SQLITE_ROW with *row true where row is given). Resets on error. */
cel_code cel__engine_step(cel_engine *engine, sqlite3_stmt *stmt, bool *row, cel_error *err);

/* Turns SQLite's last error into ours: SQLITE_FULL CEL_EFULL, SQLITE_BUSY CEL_EBUSY, SQLITE_CORRUPT and NOTADB CEL_EPROTO, NOMEM, else CEL_EIO. */
cel_code cel__engine_fail(cel_engine *engine, int rc, cel_error *err);

/* Notes an event to be rung after the commit; forgotten when the batch fails. */
void cel__engine_ring(cel_engine *engine, cel_engine_event event, uint64_t hash);
uint64_t cel__engine_hash(const char *text, size_t len);

/* The row of `owner` that stands for this process's consumers (created on first use, inside run()); renewed by the engine while it
 * is open, removed by the close. */
cel_code cel__engine_owner(cel_engine *engine, int64_t *owner, cel_error *err);

/* ---- on the loop ---- */
/* Calls `woken` on the loop when another process or engine has rung one of the events with this hash, or when something may have
 * been missed (spurious calls are allowed, missed ones are not: the waiter re-reads). Listens from the return of this call on: listen
 * first, then read. */
typedef struct cel_engine_listener cel_engine_listener;
cel_code cel__engine_listen(cel_engine_listener **out, cel_engine *engine, cel_engine_event event, uint64_t hash, void (*woken)(void *user), void *user, cel_error *err);
void cel__engine_unlisten(cel_engine_listener *listener); /* NULL is a no-op */

#endif
