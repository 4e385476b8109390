/* ticks_sqlite.c - sqlite:///file: records in a table of the embedded file, which is made when it is first
 * needed, so that files of older versions can be used. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/ticks.h"
#include "core/mem.h"
#include "sqlite/engine.h"

struct sqlite_ticks {
    cel_ticks base;
    cel_engine *engine;
    char owner[64];
    int64_t lease_ms;
    const cel_clock *clock;
    size_t outstanding; /* operations */
    bool has_table;     /* the engine's thread's */
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct tick_op {
    cel_engine_op op;
    struct sqlite_ticks *ticks;
    cel_ticks_cb cb;
    void *user;
    int64_t now_ms;
    size_t count;
    cel_tick_reply *replies; /* behind the list */
    cel_tick list[];         /* then the replies, then the texts */
};

static cel_code run_sql(cel_engine *engine, const char *sql, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);

    return stmt ? cel__engine_step(engine, stmt, NULL, err) : err->code;
}

static cel_code read_record(
    cel_engine *engine, cel_view entry, cel_tick_record *record, bool *present, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "SELECT last_us, sent, until_ms, owner FROM beat WHERE entry=?1", err);
    cel_code code;
    const unsigned char *owner;

    if (!stmt)
        return err->code;
    sqlite3_bind_text(stmt, 1, entry.ptr, (int)entry.len, SQLITE_STATIC);
    code = cel__engine_step(engine, stmt, present, err);
    if (code != CEL_OK || !*present)
        return code;
    record->last_us = sqlite3_column_int64(stmt, 0);
    record->count = sqlite3_column_int64(stmt, 1);
    record->until_ms = sqlite3_column_int64(stmt, 2);
    owner = sqlite3_column_text(stmt, 3);
    snprintf(record->owner, sizeof record->owner, "%s", owner ? (const char *)owner : "");
    sqlite3_reset(stmt);
    return CEL_OK;
}

static cel_code
write_record(cel_engine *engine, cel_view entry, const cel_tick_record *record, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "INSERT OR REPLACE INTO beat(entry, last_us, sent, until_ms, owner)"
                         " VALUES(?1, ?2, ?3, ?4, ?5)",
                         err);

    if (!stmt)
        return err->code;
    sqlite3_bind_text(stmt, 1, entry.ptr, (int)entry.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, record->last_us);
    sqlite3_bind_int64(stmt, 3, record->count);
    sqlite3_bind_int64(stmt, 4, record->until_ms);
    sqlite3_bind_text(stmt, 5, record->owner, -1, SQLITE_STATIC);
    return cel__engine_step(engine, stmt, NULL, err);
}

static cel_code run_tick(struct tick_op *op, cel_engine *engine, size_t i)
{
    const cel_tick *tick = &op->list[i];
    cel_tick_record record = {0};
    bool present = false;
    cel_code code = read_record(engine, tick->entry, &record, &present, &op->op.err);

    if (code != CEL_OK)
        return code;
    op->replies[i] = cel__tick_apply(&record, present, tick, op->ticks->owner, op->now_ms,
                                     op->ticks->lease_ms);
    if (present && op->replies[i].outcome != CEL_TICK_CLAIMED &&
        op->replies[i].outcome != CEL_TICK_COUNTED)
        return CEL_OK;
    return write_record(engine, tick->entry, &record, &op->op.err);
}

static cel_code run(cel_engine_op *base, cel_engine *engine)
{
    struct tick_op *op = (struct tick_op *)base;
    cel_code code = CEL_OK;

    if (!op->ticks->has_table)
        code = run_sql(
            engine,
            "CREATE TABLE IF NOT EXISTS beat(entry TEXT PRIMARY KEY, last_us INTEGER NOT "
            "NULL, sent INTEGER NOT NULL, until_ms INTEGER NOT NULL, owner TEXT NOT NULL) "
            "WITHOUT ROWID",
            &base->err);
    for (size_t i = 0; i < op->count && code == CEL_OK; i++)
        code = run_tick(op, engine, i);
    return code;
}

static void on_unreffed(void *user)
{
    struct sqlite_ticks *ticks = user;

    if (ticks->closed)
        ticks->closed(ticks->closed_user);
    cel__free(ticks);
}

static void maybe_unref(struct sqlite_ticks *ticks)
{
    if (ticks->closing && ticks->outstanding == 0)
        cel__engine_unref(ticks->engine, on_unreffed, ticks);
}

static void done(cel_engine_op *base)
{
    struct tick_op *op = (struct tick_op *)base;
    struct sqlite_ticks *ticks = op->ticks;
    bool failed = base->err.code != CEL_OK;

    ticks->has_table = ticks->has_table || !failed;
    op->cb(op->user, failed ? NULL : op->replies, failed ? &base->err : NULL);
    cel__free(op);
    ticks->outstanding--;
    maybe_unref(ticks);
}

static cel_code submit_sqlite(cel_ticks *base,
                              const cel_tick *list,
                              size_t count,
                              cel_ticks_cb cb,
                              void *user,
                              cel_error *err)
{
    struct sqlite_ticks *ticks = (struct sqlite_ticks *)base;
    size_t size = sizeof(struct tick_op) + count * (sizeof *list + sizeof(cel_tick_reply));
    struct tick_op *op;
    char *text;

    assert(count <= CEL_TICKS_MAX);
    for (size_t i = 0; i < count; i++)
        size += list[i].entry.len;
    op = cel__malloc(size);
    if (!op)
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    *op = (struct tick_op){.op = {.run = run, .done = done},
                           .ticks = ticks,
                           .cb = cb,
                           .user = user,
                           .now_ms = cel__clock_wall_ms(ticks->clock),
                           .count = count};
    op->replies = (cel_tick_reply *)(void *)(op->list + count);
    text = (char *)(op->replies + count);
    for (size_t i = 0; i < count; i++) {
        op->list[i] = list[i];
        op->list[i].entry.ptr = memcpy(text, list[i].entry.ptr, list[i].entry.len);
        text += list[i].entry.len;
        op->op.sync = op->op.sync || list[i].verb == CEL_TICK_DONE;
    }
    ticks->outstanding++;
    cel__engine_submit(ticks->engine, &op->op);
    return CEL_OK;
}

static cel_code open_sqlite(cel_ticks **out, const cel_ticks_options *options, cel_error *err)
{
    struct sqlite_ticks *ticks = cel__calloc(1, sizeof *ticks);
    cel_code code;

    if (!ticks)
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    code = cel__engine_open(&ticks->engine,
                            &(cel_engine_options){.url = options->url,
                                                  .loop = options->loop,
                                                  .clock = options->clock,
                                                  .log = options->log},
                            err);
    if (code != CEL_OK) {
        cel__free(ticks);
        return code;
    }
    ticks->base.ops = &cel__sqlite_ticks_ops;
    ticks->base.domain = ticks->engine;
    ticks->clock = options->clock;
    ticks->lease_ms = options->lease_ms;
    snprintf(ticks->owner, sizeof ticks->owner, "%.*s", CEL_VIEW_ARG(options->owner));
    *out = &ticks->base;
    return CEL_OK;
}

static void close_sqlite(cel_ticks *base, void (*closed)(void *user), void *user)
{
    struct sqlite_ticks *ticks = (struct sqlite_ticks *)base;

    ticks->closing = true;
    ticks->closed = closed;
    ticks->closed_user = user;
    maybe_unref(ticks);
}

const cel_ticks_ops cel__sqlite_ticks_ops = {
    .schemes = "sqlite",
    .open = open_sqlite,
    .close = close_sqlite,
    .submit = submit_sqlite,
};
