/* engine.h - one SQLite file, its schema and its transactions, shared by the embedded broker
 * and store.
 *
 * One engine per (process, loop, file), reference-counted: broker and backend with the same URL
 * share it. Work comes as *operations*. All operations submitted in one turn of the loop are
 * run in one transaction, in the order of submission, together with whatever else is waiting
 * (group commit); so a result, the messages that follow from it and the acknowledgement of its
 * cause are stored together or not at all. An operation's `run` may fail alone (what it wrote
 * is rolled back) or fail the whole batch (disk full, I/O error): then every operation of the
 * batch fails with that error. The engine stays usable: later batches succeed when the disk has
 * room again.
 *
 * Two modes. *Threaded* (the worker): transactions run on the engine's own thread, completions
 * come back through a uv_async, and the loop never waits for the disk. *Inline* (a client):
 * transactions run on the loop's thread in the prepare or check phase of the same turn, which
 * saves two thread switches.
 *
 * The *bell*: after a commit the engine pokes the other processes (and other loops of this
 * process) that wait for what was stored: see bell.h. */
#ifndef CEL_SQLITE_ENGINE_H
#define CEL_SQLITE_ENGINE_H

#include <sqlite3.h>
#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"
#include "sqlite/ledger.h"

typedef struct cel_engine cel_engine;
typedef struct cel_engine_op cel_engine_op;

/* What a commit made true, for the bell: the kinds of event, each with the 64-bit hash of a
 * name. */
typedef enum cel_engine_event {
    CEL_EVENT_QUEUE,  /* a message is ready, or waits for its ETA, in the queue of this name */
    CEL_EVENT_RESULT, /* a result or a chord/group part of this task or group id was stored */
} cel_engine_event;

struct cel_engine_op {
    /* Runs on the engine's thread inside the transaction. May call cel__engine_ring(). Returns
     * CEL_OK or fills in op->err. Must not touch the loop. It may be called again from the
     * beginning (when another operation of the batch has failed alone), so it first resets what
     * it has set. Prepared statements come from cel__engine_stmt(). */
    cel_code (*run)(cel_engine_op *op, cel_engine *engine);
    /* Runs on the loop's thread, exactly once, after the commit (op->err.code CEL_OK) or the
     * failure; never before the submit has returned. May free op and submit others. */
    void (*done)(cel_engine_op *op);
    cel_error err; /* set by run or by the engine; code CEL_OK: committed */
    /* A batch of only such operations needs no write lock and no commit. */
    bool read_only;
    /* Its commit must be on the disk (see cel_synchronous) before done: messages accepted,
     * results stored. A claim needs none. */
    bool sync;
    bool turn_end; /* the engine's: the last operation of a turn */
    /* The engine's: the turn is over. Before that, who submitted it may still change its
     * inputs. */
    bool handed;
    cel_engine_op *next; /* the engine's */
};

typedef enum cel_synchronous {
    CEL_SYNC_OFF,    /* survives kill -9; a power cut may damage the file */
    CEL_SYNC_NORMAL, /* survives kill -9; a power cut may lose the last transactions, never
                        damages */
    CEL_SYNC_FULL,   /* survives a power cut: commits that matter (op->sync) are on the disk */
} cel_synchronous;

typedef struct cel_engine_options {
    const char *url;        /* see url.h; copied */
    uv_loop_t *loop;        /* borrowed until the close is done */
    const cel_clock *clock; /* borrowed, as log; NULL: the machine's */
    const cel_log *log;     /* may be NULL */
    bool threaded;
    const char *node; /* node name for the owner's row; copied; may be NULL. The first opener's
                         counts. */
    int64_t lease_ms; /* 0: the URL's, or 60 s */
} cel_engine_options;

/* Opens or shares the engine; creates the file (mode 0600) and its schema when there is none.
 * Returns a reference, given back with cel__engine_unref(). CEL_EPROTO: the file is no SQLite
 * database, belongs to another application or to a newer version of the schema; CEL_EIO,
 * CEL_EFULL, CEL_EBUSY, CEL_ECONFIG (the URL). Blocks for the time of opening. Loop thread. */
cel_code cel__engine_open(cel_engine **out, const cel_engine_options *options, cel_error *err);
cel_engine *cel__engine_ref(cel_engine *engine); /* NULL: out of memory */

/* Gives the reference back. The last one finishes what was submitted (operations submitted by a
 * done() meanwhile included), puts back what its owner still has claimed, then closes; `closed`
 * (may be NULL) runs on the loop then; for references that are not the last, on a later turn.
 */
void cel__engine_unref(cel_engine *engine, void (*closed)(void *user), void *user);

/* Submits; the op must live until its done(). Never fails: errors come through done(). Loop
 * thread. */
void cel__engine_submit(cel_engine *engine, cel_engine_op *op);

/* The path of the file; a view. */
const char *cel__engine_path(const cel_engine *engine);
const cel_clock *cel__engine_clock(const cel_engine *engine);
const cel_log *cel__engine_log(const cel_engine *engine);
uv_loop_t *cel__engine_loop(const cel_engine *engine);

/* ---- inside run() ---- */
sqlite3 *cel__engine_db(cel_engine *engine);

/* Returns a cached prepared statement, reset and unbound; NULL with err set (return err->code).
 * `sql` must be a literal or static: its address is the key. */
sqlite3_stmt *cel__engine_stmt(cel_engine *engine, const char *sql, cel_error *err);

/* Steps once. CEL_OK for SQLITE_DONE, and for SQLITE_ROW with *row true where `row` is given;
 * the statement is reset unless *row is true. */
cel_code cel__engine_step(cel_engine *engine, sqlite3_stmt *stmt, bool *row, cel_error *err);

/* Turns SQLite's last error into ours: SQLITE_FULL CEL_EFULL, SQLITE_BUSY CEL_EBUSY,
 * SQLITE_CORRUPT and NOTADB CEL_EPROTO, NOMEM CEL_ENOMEM, TOOBIG CEL_EINVAL, else CEL_EIO.
 * Those that concern the whole transaction make the batch fail. */
cel_code cel__engine_fail(cel_engine *engine, int rc, cel_error *err);

/* Notes an event to be rung after the commit; forgotten when the batch fails. */
void cel__engine_ring(cel_engine *engine, cel_engine_event event, uint64_t hash);
uint64_t cel__engine_hash(const char *text, size_t len);

/* The owner that stands for this process's consumers: its row is created on first use, renewed
 * by the engine while it is open, removed by the close. If its lease was lost (the row is
 * gone), the next call makes a new one with another number. The first call also looks for the
 * dead. */
cel_code cel__engine_owner(cel_engine *engine, int64_t *owner, cel_error *err);

/* The owner's ledger: a view, valid until the run() returns; take a reference to keep it. NULL
 * before the first cel__engine_owner(). */
cel__ledger *cel__engine_ledger(cel_engine *engine);

/* A number that changes with each rolled back transaction: what was cached about uncommitted
 * rows is worth nothing then. */
uint64_t cel__engine_rollbacks(const cel_engine *engine);

/* ---- on the loop ---- */
/* Calls `woken` on the loop when another process or engine, or this one, has rung one of the
 * events with this hash, or when something may have been missed (spurious calls are allowed,
 * missed ones are not: the waiter re-reads). Listens from the return of this call on: listen
 * first, then read. Keeps the loop alive. */
typedef struct cel_engine_listener cel_engine_listener;
cel_code cel__engine_listen(cel_engine_listener **out,
                            cel_engine *engine,
                            cel_engine_event event,
                            uint64_t hash,
                            void (*woken)(void *user),
                            void *user,
                            cel_error *err);
void cel__engine_unlisten(cel_engine_listener *listener); /* NULL is a no-op */

#endif
