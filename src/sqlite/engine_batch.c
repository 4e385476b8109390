/* engine_batch.c - how operations become transactions.
 *
 * The loop collects a turn's operations and hands them over at its end. The thread takes all
 * that is waiting, whole turns up to a bound, and runs it in one transaction, hopefully:
 * without savepoints, which would cost a copy of every page that is changed. If an operation
 * fails alone after it has written, the transaction is rolled back and all is run again with a
 * savepoint per operation. That is rare: operations fail by finding nothing, not by half a
 * change. */
#include <assert.h>
#include <string.h>
#include <sys/statvfs.h>

#include "core/mem.h"
#include "sqlite/engine_impl.h"

#define MAX_BATCH  2000
#define LOOK_PAGES 64   /* of log between two looks at the disk */
#define ROOM_SHARE 2    /* the log may be this part of the room that is left beside it */
#define PAGE_BYTES 4096 /* of the database */

static void append_op(cel__op_list *list, cel_engine_op *op)
{
    op->next = NULL;
    if (list->last)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
}

static void append_list(cel__op_list *list, cel__op_list *more)
{
    if (!more->first)
        return;
    if (list->last)
        list->last->next = more->first;
    else
        list->first = more->first;
    list->last = more->last;
    *more = (cel__op_list){0};
}

/* ---- running, on the engine's thread ---- */

void cel__engine_ring(cel_engine *engine, cel_engine_event event, uint64_t hash)
{
    hash ^= (uint64_t)event * UINT64_C(0x9E3779B97F4A7C15);
    if (engine->rung_count > 0 && engine->rung[engine->rung_count - 1] == hash)
        return;
    if (engine->rung_count == engine->rung_cap) {
        size_t cap = engine->rung_cap ? engine->rung_cap * 2 : 256;
        uint64_t *rung = cel__realloc(engine->rung, cap * sizeof *rung);
        if (!rung) {
            /* Rung later than it should be, by the safety look. */
            engine->rung_all = true;
            return;
        }
        engine->rung = rung;
        engine->rung_cap = cap;
    }
    engine->rung[engine->rung_count++] = hash;
}

static void forget_changes(cel_engine *engine)
{
    engine->rung_count = 0;
    if (engine->owner_fresh)
        cel__engine_owner_rolled_back(engine);
    atomic_fetch_add_explicit(&engine->rollbacks, 1, memory_order_relaxed);
}

/* An error that concerns the transaction, not one operation. */
static bool is_lost(cel_engine *engine)
{
    return engine->conn.fatal != 0 || sqlite3_get_autocommit(engine->conn.db);
}

static cel_code lost_error(cel_engine *engine, const cel_engine_op *op, cel_error *err)
{
    if (op->err.code != CEL_OK)
        *err = op->err;
    else
        cel__conn_fail(&engine->conn, engine->conn.fatal ? engine->conn.fatal : SQLITE_IOERR,
                       err);
    return err->code;
}

static void run_op(cel_engine_op *op, cel_engine *engine)
{
    op->err = (cel_error){0};
    cel_code code = op->run(op, engine);
    if (code != CEL_OK && op->err.code == CEL_OK)
        cel_error_set(&op->err, code, "%s", cel_code_text(code));
}

/* Gives CEL_EBUSY in *again if the batch must be run again with savepoints. */
static cel_code
run_plain(cel_engine *engine, const cel__op_list *batch, bool *again, cel_error *err)
{
    for (cel_engine_op *op = batch->first; op; op = op->next) {
        int before = sqlite3_total_changes(engine->conn.db);
        run_op(op, engine);
        if (is_lost(engine))
            return lost_error(engine, op, err);
        if (op->err.code != CEL_OK && sqlite3_total_changes(engine->conn.db) != before) {
            *again = batch->first != batch->last;
            if (!*again)
                return lost_error(engine, op, err);
            return CEL_OK;
        }
    }
    return CEL_OK;
}

static cel_code
run_with_savepoints(cel_engine *engine, const cel__op_list *batch, cel_error *err)
{
    for (cel_engine_op *op = batch->first; op; op = op->next) {
        size_t rung = engine->rung_count;
        bool owner_fresh = engine->owner_fresh;
        cel_code code = cel__conn_exec(&engine->conn, "SAVEPOINT op", err);
        if (code != CEL_OK)
            return code;
        run_op(op, engine);
        if (is_lost(engine))
            return lost_error(engine, op, err);
        if (op->err.code != CEL_OK) {
            engine->rung_count = rung < engine->rung_count ? rung : engine->rung_count;
            if (engine->owner_fresh && !owner_fresh)
                cel__engine_owner_rolled_back(engine);
            atomic_fetch_add_explicit(&engine->rollbacks, 1, memory_order_relaxed);
            code = cel__conn_exec(&engine->conn, "ROLLBACK TO op", err);
        }
        if (code == CEL_OK)
            code = cel__conn_exec(&engine->conn, "RELEASE op", err);
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

static cel_code run_once(cel_engine *engine,
                         const cel__op_list *batch,
                         bool write,
                         int synchronous,
                         bool *again,
                         cel_error *err)
{
    bool savepoints = *again;
    cel_code code = cel__conn_begin(&engine->conn, write, synchronous, err);

    *again = false;
    if (code != CEL_OK)
        return code;
    code = savepoints ? run_with_savepoints(engine, batch, err)
                      : run_plain(engine, batch, again, err);
    if (code == CEL_OK && !*again) {
        code = cel__conn_commit(&engine->conn, err);
        if (code == CEL_OK)
            return CEL_OK;
    }
    cel__conn_rollback(&engine->conn);
    forget_changes(engine);
    return code;
}

static void fail_batch(const cel__op_list *batch, const cel_error *err)
{
    for (cel_engine_op *op = batch->first; op; op = op->next)
        op->err = *err;
}

/* Returns true if this engine's own listeners have something in the ring. */
static bool ring_rung(cel_engine *engine)
{
    bool own = engine->rung_all;

    if (engine->rung_count > 0)
        own |= cel__bell_ring(engine->bell, engine->rung, engine->rung_count);
    engine->rung_count = 0;
    engine->rung_all = false;
    return own;
}

/* On a full disk it is the log that must not grow: once it is copied it starts again at its beginning. And
 * the copy comes first, or the log takes what room there is and nothing can ever be copied. */
static void make_room(cel_engine *engine)
{
    sqlite3_wal_checkpoint_v2(engine->conn.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static bool run_batch(cel_engine *engine, const cel__op_list *batch)
{
    bool write = false, sync = false, again = false;
    cel_error err = {0};
    int synchronous = engine->url.synchronous;

    for (const cel_engine_op *op = batch->first; op; op = op->next) {
        write |= !op->read_only;
        sync |= op->sync;
    }
    if (synchronous == CEL_SYNC_FULL && !sync)
        synchronous = CEL_SYNC_NORMAL;
    if (engine->full)
        make_room(engine);
    cel_code code = run_once(engine, batch, write, synchronous, &again, &err);
    if (code == CEL_OK && again)
        code = run_once(engine, batch, write, synchronous, &again, &err);
    engine->full = code == CEL_EFULL;
    if (code != CEL_OK) {
        fail_batch(batch, &err);
        return false;
    }
    if (engine->owner_fresh)
        cel__engine_owner_committed(engine);
    return ring_rung(engine);
}

/* Whether the log is long enough that there may soon be no room to copy it: on a small disk it could take all of that
 * before it is ever copied, and then nothing could be written any more. The disk is asked now and then. */
static bool is_short_of_room(cel_engine *engine, int pages)
{
    struct statvfs disk;
    uint64_t room;

    if (pages < engine->look_pages || statvfs(engine->path, &disk) != 0)
        return false;
    room = (uint64_t)disk.f_bavail * disk.f_frsize / PAGE_BYTES / ROOM_SHARE;
    engine->look_pages = pages + LOOK_PAGES;
    return room <= (uint64_t)pages;
}

/* Between two batches. A client leaves it to the workers, as long as they do it. */
static void checkpoint(cel_engine *engine)
{
    int pages = engine->conn.wal_pages;

    if (pages < engine->seen_pages) /* the log has begun anew */
        engine->poked_pages = engine->look_pages = 0;
    engine->seen_pages = pages;
    if (pages >= CEL_CHECKPOINT_LIMIT || is_short_of_room(engine, pages)) {
        sqlite3_wal_checkpoint_v2(engine->conn.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        engine->conn.wal_pages = 0;
    } else if (engine->checkpointer && pages - engine->poked_pages >= CEL_CHECKPOINT_PAGES) {
        engine->poked_pages = pages;
        cel__checkpointer_poke(engine->checkpointer);
    }
}

/* Takes whole turns, at least one. */
static cel__op_list take_batch(cel__op_list *queue)
{
    cel__op_list batch = {queue->first, NULL};
    size_t count = 0;

    for (cel_engine_op *op = queue->first; op; op = op->next) {
        count++;
        batch.last = op;
        if (op->turn_end && count >= MAX_BATCH)
            break;
    }
    queue->first = batch.last->next;
    if (!queue->first)
        queue->last = NULL;
    batch.last->next = NULL;
    return batch;
}

void *cel__engine_thread(void *arg)
{
    cel_engine *engine = arg;

    pthread_mutex_lock(&engine->mutex);
    for (;;) {
        while (!engine->queue.first && !engine->stop)
            pthread_cond_wait(&engine->wake, &engine->mutex);
        if (!engine->queue.first)
            break;
        cel__op_list batch = take_batch(&engine->queue);
        pthread_mutex_unlock(&engine->mutex);
        bool own = run_batch(engine, &batch);
        pthread_mutex_lock(&engine->mutex);
        bool wake = !engine->finished.first;
        append_list(&engine->finished, &batch);
        engine->rung_own |= own;
        pthread_mutex_unlock(&engine->mutex);
        if (wake) /* not under the mutex, which the woken takes at once */
            uv_async_send(&engine->async);
        checkpoint(engine);
        pthread_mutex_lock(&engine->mutex);
    }
    pthread_mutex_unlock(&engine->mutex);
    cel__checkpointer_free(engine->checkpointer);
    engine->checkpointer = NULL;
    cel__conn_close(&engine->conn);
    pthread_mutex_lock(&engine->mutex);
    engine->exited = true;
    uv_async_send(&engine->async);
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}

/* ---- on the loop ---- */

static void mark_rung(void *user, uint64_t hash)
{
    cel_engine *engine = user;

    cel__listeners_mark(&engine->listeners, hash);
}

void cel__engine_drain_bell(cel_engine *engine, bool readable)
{
    if (cel__bell_drain(engine->bell, readable, mark_rung, engine))
        cel__listeners_mark_all(&engine->listeners);
    cel__listeners_wake(&engine->listeners);
}

static void call_done(cel_engine *engine, cel__op_list *list)
{
    while (list->first) {
        cel_engine_op *op = list->first;
        list->first = op->next;
        assert(engine->in_flight > 0);
        engine->in_flight--;
        op->done(op);
    }
}

void cel__engine_finished(cel_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    cel__op_list finished = engine->finished;
    bool own = engine->rung_own;
    engine->finished = (cel__op_list){0};
    engine->rung_own = false;
    pthread_mutex_unlock(&engine->mutex);
    call_done(engine, &finished);
    if (own)
        cel__engine_drain_bell(engine, false);
}

void cel__engine_flush(cel_engine *engine)
{
    cel__op_list turn = engine->turn;

    if (!turn.first)
        return;
    engine->turn = (cel__op_list){0};
    turn.last->turn_end = true;
    for (cel_engine_op *op = turn.first; op; op = op->next)
        op->handed = true;
    if (engine->threaded) {
        pthread_mutex_lock(&engine->mutex);
        bool wake = !engine->queue.first;
        append_list(&engine->queue, &turn);
        pthread_mutex_unlock(&engine->mutex);
        if (wake)
            pthread_cond_signal(&engine->wake);
        return;
    }
    bool own = run_batch(engine, &turn);
    call_done(engine, &turn);
    checkpoint(engine);
    if (own)
        cel__engine_drain_bell(engine, false);
}

void cel__engine_submit(cel_engine *engine, cel_engine_op *op)
{
    assert(!engine->shut);
    op->turn_end = op->handed = false;
    append_op(&engine->turn, op);
    if (engine->in_flight++ == 0)
        uv_ref((uv_handle_t *)&engine->async);
    if (engine->turn.first == op)
        uv_ref((uv_handle_t *)&engine->prepare);
}
