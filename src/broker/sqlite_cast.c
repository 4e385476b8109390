/* sqlite_cast.c - what is said to listeners: events, remote control. On the engine's thread.
 *
 * A file must not grow by what nobody reads, nor be locked for it. So a message is first only
 * looked at, in a transaction that reads: is somebody listening? Mostly nobody is, and that was all.
 * Otherwise it is written once for each queue that hears it, in a second transaction. A queue whose
 * consumer is too slow gets no more than MAX_UNHEARD; it is a reply queue, and ends with its
 * consumer. */
#include <string.h>

#include "broker/sqlite_impl.h"

#define MAX_LISTENERS 64
#define MAX_UNHEARD   10000

struct listener {
    int64_t queue;
    uint64_t hash; /* of its name */
};

static cel_view text_of(const publish_op *publish, publish_text text)
{
    return text.at == SIZE_MAX ? (cel_view){"", 0}
                               : (cel_view){publish->bytes.ptr + text.at, text.len};
}

static cel_view column(sqlite3_stmt *stmt, int index)
{
    const void *text = sqlite3_column_text(stmt, index);

    return (cel_view){text ? text : "", (size_t)sqlite3_column_bytes(stmt, index)};
}

/* Finds up to `max` listeners whose consumers live. */
static cel_code find_listeners(cel_engine *engine,
                               cel_view exchange,
                               cel_view key,
                               struct listener *found,
                               size_t max,
                               size_t *count,
                               cel_error *err)
{
    static const char sql[] =
        "SELECT l.queue, q.name, l.kind, l.pattern FROM listening l JOIN queue q ON "
        "q.id=l.queue WHERE l.exchange=? AND l.queue IN (SELECT queue FROM consumer)";
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    bool row = true;

    *count = 0;
    if (!stmt)
        return err->code;
    sqlite3_bind_text(stmt, 1, exchange.ptr, (int)exchange.len, SQLITE_STATIC);
    while (*count < max) {
        cel_code code = cel__engine_step(engine, stmt, &row, err);

        if (code != CEL_OK || !row)
            return code; /* it is reset */
        cel_listening listening = {.kind = (cel_exchange_kind)sqlite3_column_int(stmt, 2),
                                   .pattern = column(stmt, 3)};
        cel_view name = column(stmt, 1);
        if (cel__listening_hears(&listening, key))
            found[(*count)++] = (struct listener){sqlite3_column_int64(stmt, 0),
                                                  cel__engine_hash(name.ptr, name.len)};
    }
    sqlite3_reset(stmt);
    return CEL_OK;
}

cel_code cel__sqlite_cast_look_run(cel_engine_op *op, cel_engine *engine)
{
    publish_op *publish = (publish_op *)op;
    cel_code code = CEL_OK;

    publish->heard = false;
    for (size_t i = 0; code == CEL_OK && !publish->heard && i < publish->count; i++) {
        const publish_entry *entry = publish->entries + i;
        struct listener found;
        size_t count;

        code = find_listeners(engine, text_of(publish, entry->exchange),
                              text_of(publish, entry->queue), &found, 1, &count, &op->err);
        publish->heard = code == CEL_OK && count > 0;
    }
    return code;
}

static cel_code is_full(cel_engine *engine, int64_t queue, bool *full, cel_error *err)
{
    static const char sql[] =
        "SELECT count(*) FROM (SELECT 1 FROM ready WHERE queue=? LIMIT ?)";
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    bool row = false;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_int(stmt, 2, MAX_UNHEARD);
    cel_code code = cel__engine_step(engine, stmt, &row, err);
    *full = code == CEL_OK && row && sqlite3_column_int(stmt, 0) >= MAX_UNHEARD;
    sqlite3_reset(stmt);
    return code;
}

static cel_code cast(cel_engine *engine,
                     const publish_op *publish,
                     const publish_entry *entry,
                     int64_t now_ms,
                     cel_error *err)
{
    struct listener found[MAX_LISTENERS];
    size_t count;
    cel_code code =
        find_listeners(engine, text_of(publish, entry->exchange),
                       text_of(publish, entry->queue), found, MAX_LISTENERS, &count, err);

    for (size_t i = 0; code == CEL_OK && i < count; i++) {
        bool full;

        code = is_full(engine, found[i].queue, &full, err);
        if (code != CEL_OK || full)
            continue;
        code = cel__sqlite_insert_message(engine, publish, entry, found[i].queue, now_ms, err);
        cel__engine_ring(engine, CEL_EVENT_QUEUE, found[i].hash);
    }
    return code;
}

cel_code cel__sqlite_cast_run(cel_engine_op *op, cel_engine *engine)
{
    publish_op *publish = (publish_op *)op;
    int64_t now_ms = cel__clock_wall_ms(cel__engine_clock(engine));
    cel_code code = CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < publish->count; i++)
        code = cast(engine, publish, publish->entries + i, now_ms, &op->err);
    return code;
}

cel_code cel__sqlite_listen(cel_engine *engine,
                            int64_t queue,
                            const cel_listening *listening,
                            cel_error *err)
{
    static const char sql[] =
        "INSERT INTO listening(queue, exchange, kind, pattern) VALUES(?,?,?,?)";
    cel_view pattern = listening->pattern.ptr ? listening->pattern : CEL_VIEW("");

    if (listening->kind == CEL_EXCHANGE_NONE)
        return CEL_OK;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_text(stmt, 2, listening->exchange.ptr, (int)listening->exchange.len,
                      SQLITE_STATIC);
    sqlite3_bind_int(stmt, 3, (int)listening->kind);
    sqlite3_bind_text(stmt, 4, pattern.ptr, (int)pattern.len, SQLITE_STATIC);
    return cel__engine_step(engine, stmt, NULL, err);
}
