/* sqlite_db.c - the SQLite broker's transactions. All of it runs on the engine's thread.
 *
 * See sqlite/schema.c for the tables. Every run() can be run again: it begins by forgetting
 * what an earlier one has found. */
#include <stddef.h>
#include <string.h>

#include "broker/sqlite_impl.h"
#include "core/mem.h"

#define MAX_MOVED 1000 /* due messages moved by one claim */
#define MAX_ADOPT 2000 /* messages looked at by one claim */

static cel_code run_stmt(cel_engine *engine, sqlite3_stmt *stmt, cel_error *err)
{
    return cel__engine_step(engine, stmt, NULL, err);
}

static cel_code
run_id(cel_engine *engine, const char *sql, int64_t first, int64_t second, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, first);
    if (sqlite3_bind_parameter_count(stmt) > 1)
        sqlite3_bind_int64(stmt, 2, second);
    return run_stmt(engine, stmt, err);
}

/* ---- queues' numbers ---- */

void cel__sqlite_forget_queues(sqlite_broker *broker)
{
    for (size_t i = 0; i < broker->queue_cap; i++)
        cel__free(broker->queue_ids[i].name);
    cel__free(broker->queue_ids);
    broker->queue_ids = NULL;
    broker->queue_count = broker->queue_cap = 0;
}

static queue_id *queue_place(queue_id *ids, size_t cap, uint64_t hash, cel_view name)
{
    size_t i = hash & (cap - 1);

    while (ids[i].name && !cel__view_eq((cel_view){ids[i].name, ids[i].len}, name))
        i = (i + 1) & (cap - 1);
    return ids + i;
}

static bool grow_queues(sqlite_broker *broker)
{
    size_t cap = broker->queue_cap ? broker->queue_cap * 2 : 32;
    queue_id *ids = cel__calloc(cap, sizeof *ids);

    if (!ids)
        return false;
    for (size_t i = 0; i < broker->queue_cap; i++) {
        queue_id *old = broker->queue_ids + i;
        if (old->name)
            *queue_place(ids, cap, old->hash, (cel_view){old->name, old->len}) = *old;
    }
    cel__free(broker->queue_ids);
    broker->queue_ids = ids;
    broker->queue_cap = cap;
    return true;
}

static cel_code
find_queue(cel_engine *engine, cel_view name, bool *found, int64_t *id, cel_error *err)
{
    static const char sql[] = "SELECT id FROM queue WHERE name=?";
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_text(stmt, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    cel_code code = cel__engine_step(engine, stmt, found, err);
    if (code == CEL_OK && *found) {
        *id = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
    }
    return code;
}

static cel_code make_queue(cel_engine *engine, cel_view name, int64_t *id, cel_error *err)
{
    /* Never below zero, as SQLite would number them after reply queues alone. */
    static const char sql[] = "INSERT INTO queue(id, name)"
                              " SELECT max(0, ifnull(max(id), 0)) + 1, ? FROM queue";
    bool found = false;
    cel_code code = find_queue(engine, name, &found, id, err);

    if (code != CEL_OK || found)
        return code;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_text(stmt, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    code = run_stmt(engine, stmt, err);
    if (code == CEL_OK)
        *id = sqlite3_last_insert_rowid(cel__engine_db(engine));
    return code;
}

/* Gives the queue's number, making the queue if there is none. A number learnt in a transaction
 * that was rolled back may be wrong: then all are forgotten. */
static cel_code queue_number(sqlite_broker *broker,
                             cel_engine *engine,
                             cel_view name,
                             uint64_t hash,
                             int64_t *id,
                             cel_error *err)
{
    if (broker->rollbacks != cel__engine_rollbacks(engine)) {
        cel__sqlite_forget_queues(broker);
        broker->rollbacks = cel__engine_rollbacks(engine);
    }
    if ((broker->queue_count + 1) * 2 > broker->queue_cap && !grow_queues(broker))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a queue's name");
    queue_id *place = queue_place(broker->queue_ids, broker->queue_cap, hash, name);
    if (!place->name) {
        cel_code code = make_queue(engine, name, id, err);
        bool keep = code == CEL_OK && *id > 0; /* a reply queue may be gone the next time */
        char *copy = keep ? cel__memdup(name.ptr, name.len) : NULL;
        if (!copy)
            return code;
        *place = (queue_id){copy, name.len, hash, *id};
        broker->queue_count++;
    }
    *id = place->id;
    return CEL_OK;
}

/* ---- reply queues ----
 *
 * They have random negative numbers, so that one which is gone is never mistaken for another,
 * and live as long as there is a consumer. What dead owners leave is swept by the next one that
 * begins or ends. */

static cel_code make_reply_queue(cel_engine *engine, cel_view name, int64_t *id, cel_error *err)
{
    static const char sql[] = "INSERT INTO queue(id, name) VALUES(-1 - (random() & "
                              "0x3fffffffffffffff), ?) RETURNING id";
    bool found = false;
    cel_code code = find_queue(engine, name, &found, id, err);

    if (code != CEL_OK || found)
        return code;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_text(stmt, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    code = cel__engine_step(engine, stmt, &found, err);
    if (code == CEL_OK && found)
        *id = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return code;
}

static cel_code sweep_reply_queues(cel_engine *engine, cel_error *err)
{
#define CEL_GONE "queue<0 AND queue NOT IN (SELECT id FROM queue WHERE id<0)"
    static const char *const steps[] = {
        "DELETE FROM queue WHERE id<0 AND id NOT IN (SELECT queue FROM consumer)",
        "DELETE FROM listening WHERE queue NOT IN (SELECT queue FROM consumer)",
        "DELETE FROM message WHERE id IN (SELECT id FROM ready WHERE " CEL_GONE ")",
        ("DELETE FROM ready WHERE " CEL_GONE),
    };
    cel_code code = CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < sizeof steps / sizeof *steps; i++) {
        sqlite3_stmt *stmt = cel__engine_stmt(engine, steps[i], err);
        code = stmt ? run_stmt(engine, stmt, err) : CEL_EIO;
    }
    return code;
}

/* ---- publish ---- */

static cel_view text_of(const publish_op *publish, publish_text text)
{
    return text.at == SIZE_MAX ? (cel_view){NULL, 0}
                               : (cel_view){publish->bytes.ptr + text.at, text.len};
}

static void bind_text(sqlite3_stmt *stmt, int at, cel_view text)
{
    if (text.ptr)
        sqlite3_bind_text64(stmt, at, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static cel_code
place_message(cel_engine *engine, int64_t queue, int priority, int64_t due_ms, cel_error *err)
{
    static const char insert_ready[] = "INSERT INTO ready(queue, rank, id) VALUES(?,?,?)";
    static const char insert_waiting[] = "INSERT INTO waiting(due_ms, id) VALUES(?,?)";
    int64_t id = sqlite3_last_insert_rowid(cel__engine_db(engine));

    if (due_ms)
        return run_id(engine, insert_waiting, due_ms, id, err);
    sqlite3_stmt *stmt = cel__engine_stmt(engine, insert_ready, err);
    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_int64(stmt, 2, 255 - priority);
    sqlite3_bind_int64(stmt, 3, id);
    return run_stmt(engine, stmt, err);
}

cel_code cel__sqlite_insert_message(cel_engine *engine,
                                    const publish_op *publish,
                                    const publish_entry *entry,
                                    int64_t queue,
                                    int64_t now_ms,
                                    cel_error *err)
{
    static const char sql[] = "INSERT INTO message(queue, priority, due_ms, stored_ms, task, "
                              "properties, headers, body) VALUES(?,?,?,?,?,?,?,?)";
    int64_t due_ms = entry->eta_ms > now_ms ? entry->eta_ms : 0;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    cel_view body = text_of(publish, entry->body);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_int(stmt, 2, entry->priority);
    if (due_ms)
        sqlite3_bind_int64(stmt, 3, due_ms);
    sqlite3_bind_int64(stmt, 4, now_ms);
    bind_text(stmt, 5, text_of(publish, entry->task));
    bind_text(stmt, 6, text_of(publish, entry->properties));
    bind_text(stmt, 7, text_of(publish, entry->headers));
    if (entry->text)
        bind_text(stmt, 8, body);
    else
        sqlite3_bind_blob64(stmt, 8, body.ptr ? body.ptr : "", body.len, SQLITE_STATIC);
    cel_code code = run_stmt(engine, stmt, err);
    return code == CEL_OK ? place_message(engine, queue, entry->priority, due_ms, err) : code;
}

/* Before anything is written, so that the failure costs the others nothing. */
static cel_code check_existing(cel_engine *engine, const publish_op *publish, cel_error *err)
{
    for (size_t i = 0; i < publish->count; i++) {
        cel_view name = text_of(publish, publish->entries[i].queue);
        bool found = true;
        int64_t id;
        cel_code code =
            publish->entries[i].existing ? find_queue(engine, name, &found, &id, err) : CEL_OK;
        if (code != CEL_OK)
            return code;
        if (!found)
            return cel_error_set(err, CEL_ENOENT, "the reply queue '%.*s' is gone",
                                 CEL_VIEW_ARG(name));
    }
    return CEL_OK;
}

cel_code cel__sqlite_publish_run(cel_engine_op *op, cel_engine *engine)
{
    publish_op *publish = (publish_op *)op;
    int64_t now_ms = cel__clock_wall_ms(cel__engine_clock(engine));
    cel_view name = {NULL, 0};
    uint64_t hash = 0;
    int64_t queue = 0;

    if (publish->existing && check_existing(engine, publish, &op->err) != CEL_OK)
        return op->err.code;
    for (size_t i = 0; i < publish->count; i++) {
        const publish_entry *entry = publish->entries + i;
        cel_view next = text_of(publish, entry->queue);
        cel_code code = CEL_OK;
        if (!name.ptr || !cel__view_eq(name, next)) {
            name = next;
            hash = cel__engine_hash(name.ptr, name.len);
            code = queue_number(publish->base.broker, engine, name, hash, &queue, &op->err);
            cel__engine_ring(engine, CEL_EVENT_QUEUE, hash);
        }
        if (code == CEL_OK)
            code = cel__sqlite_insert_message(engine, publish, entry, queue, now_ms, &op->err);
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

/* ---- claim ---- */

void cel__sqlite_delivery_free(sqlite_delivery *delivery)
{
    cel__ledger_unref(delivery->ledger);
    cel__buf_done(&delivery->scratch);
    cel__free(delivery);
}

void cel__sqlite_claim_reset(claim_op *claim)
{
    while (claim->got > 0) {
        sqlite_delivery *delivery = claim->first;
        claim->first = delivery->next;
        cel__sqlite_delivery_free(delivery);
        claim->got--;
    }
    claim->first = NULL;
    claim->end = &claim->first;
    claim->bytes = 0;
    claim->next_due_ms = 0;
    claim->more = false;
    claim->adopt_next = claim->adopted_to;
}

/* Due messages become ready, whoever consumes their queues; tells when the next one is due. */
static cel_code move_due(cel_engine *engine, claim_op *claim, cel_error *err)
{
    static const char select[] =
        "SELECT w.due_ms, w.id, q.name FROM waiting w LEFT JOIN message m ON m.id=w.id LEFT "
        "JOIN queue q ON q.id=m.queue ORDER BY w.due_ms, w.id LIMIT 1";
    static const char insert[] =
        "INSERT OR IGNORE INTO ready SELECT queue, 255-priority, id FROM message WHERE id=?";
    static const char delete[] = "DELETE FROM waiting WHERE due_ms=? AND id=?";
    static const char sweep[] =
        "DELETE FROM waiting WHERE typeof(due_ms)<>'integer' OR typeof(id)<>'integer' OR id=?";
    int64_t now_ms = cel__clock_wall_ms(cel__engine_clock(engine));

    for (int moved = 0;; moved++) {
        bool row;
        sqlite3_stmt *stmt = cel__engine_stmt(engine, select, err);
        cel_code code = stmt ? cel__engine_step(engine, stmt, &row, err) : CEL_EIO;
        if (code != CEL_OK || !row)
            return code;
        int64_t due_ms = sqlite3_column_int64(stmt, 0), id = sqlite3_column_int64(stmt, 1);
        if (due_ms > now_ms || moved == MAX_MOVED) {
            claim->next_due_ms = due_ms;
            sqlite3_reset(stmt);
            return CEL_OK;
        }
        const char *name = (const char *)sqlite3_column_text(stmt, 2);
        if (name)
            cel__engine_ring(engine, CEL_EVENT_QUEUE,
                             cel__engine_hash(name, (size_t)sqlite3_column_bytes(stmt, 2)));
        sqlite3_reset(stmt);
        code = run_id(engine, insert, id, 0, err);
        if (code == CEL_OK)
            code = run_id(engine, delete, due_ms, id, err);
        /* As in take_row(): what no number names is swept away. */
        if (code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) == 0)
            code = run_id(engine, sweep, id, 0, err);
        if (code != CEL_OK)
            return code;
    }
}

static cel_code register_consumer(cel_engine *engine, claim_op *claim, cel_error *err)
{
    static const char sql[] = "INSERT INTO consumer(owner, queue) VALUES(?,?)";
    sqlite_consumer *consumer = claim->consumer;
    bool reply = consumer->options.reply;
    cel_code code = reply ? sweep_reply_queues(engine, err) : CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < consumer->options.queue_count; i++) {
        consumer_queue *queue = consumer->queues + i;
        cel_view name = {queue->name, queue->len};
        int64_t id;
        code = reply ? make_reply_queue(engine, name, &id, err)
                     : queue_number(consumer->broker, engine, name, queue->hash, &id, err);
        if (code == CEL_OK)
            code = run_id(engine, sql, claim->owner, id, err);
        if (code == CEL_OK)
            queue->row = sqlite3_last_insert_rowid(cel__engine_db(engine));
        if (code == CEL_OK && reply)
            code = cel__sqlite_listen(engine, id, &consumer->options.listening, err);
    }
    return code;
}

/* Messages without a place were put into the file by hand. Each is looked at once. */
static cel_code adopt(cel_engine *engine, claim_op *claim, cel_error *err)
{
#define CEL_ORPHAN                                                                             \
    " FROM message m WHERE m.id>?1 AND m.id<=?1+?2 AND NOT EXISTS(SELECT 1 FROM claim c "      \
    "WHERE c.id=m.id)"                                                                         \
    " AND NOT EXISTS(SELECT 1 FROM ready r WHERE r.queue=m.queue AND r.rank=255-m.priority "   \
    "AND r.id=m.id)"                                                                           \
    " AND NOT EXISTS(SELECT 1 FROM quarantine x WHERE x.id=m.id)"
    static const char ready[] =
        "INSERT OR IGNORE INTO ready SELECT m.queue, 255-m.priority, m.id" CEL_ORPHAN
        " AND m.due_ms IS NULL";
    static const char waiting[] =
        "INSERT OR IGNORE INTO waiting SELECT m.due_ms, m.id" CEL_ORPHAN
        " AND m.due_ms IS NOT NULL";
    static const char last[] = "SELECT max(id) FROM message WHERE id<=?1+?2";
    sqlite3_stmt *stmt = cel__engine_stmt(engine, last, err);
    bool row = false;

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, claim->adopted_to);
    sqlite3_bind_int64(stmt, 2, MAX_ADOPT);
    cel_code code = cel__engine_step(engine, stmt, &row, err);
    int64_t to = code == CEL_OK && row ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (code == CEL_OK)
        code = run_id(engine, ready, claim->adopted_to, MAX_ADOPT, err);
    if (code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) > 0)
        claim->more = true;
    if (code == CEL_OK)
        code = run_id(engine, waiting, claim->adopted_to, MAX_ADOPT, err);
    if (code == CEL_OK && to > claim->adopted_to)
        claim->adopt_next = to;
    return code;
}

enum {
    COL_RANK,
    COL_READY_ID,
    COL_ID,
    COL_DELIVERIES,
    COL_LOST,
    COL_PRIORITY,
    COL_DUE,
    COL_TASK,
    COL_PROPERTIES,
    COL_HEADERS,
    COL_BODY
};

/* Copies a column behind `*at`; absent if it is NULL. */
static cel_view copy_column(sqlite3_stmt *stmt, int column, char **at)
{
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return (cel_view){NULL, 0};
    const void *bytes = sqlite3_column_blob(stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(stmt, column);
    cel_view copy = {*at, len};
    if (len > 0)
        memcpy(*at, bytes, len);
    *at += len;
    return copy;
}

static size_t row_bytes(sqlite3_stmt *stmt)
{
    size_t bytes = 0;

    /* What has another type than text or blob is turned into text here, so that blob and bytes
     * agree. */
    for (int column = COL_TASK; column <= COL_BODY; column++) {
        int type = sqlite3_column_type(stmt, column);
        if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
            (void)sqlite3_column_text(stmt, column);
        if (type != SQLITE_NULL)
            bytes += (size_t)sqlite3_column_bytes(stmt, column);
    }
    return bytes;
}

/* What the properties cannot say stays absent: the worker rejects such a message. */
static void fill_message(sqlite_delivery *delivery, sqlite3_stmt *stmt, char *at)
{
    cel_message *message = &delivery->base.message;
    cel_view task = copy_column(stmt, COL_TASK, &at);
    cel_view properties = copy_column(stmt, COL_PROPERTIES, &at);

    *message = (cel_message)CEL_MESSAGE_INIT;
    if (properties.ptr)
        (void)cel__message_load_properties(message, properties, &delivery->scratch, NULL);
    message->task = task;
    message->headers = copy_column(stmt, COL_HEADERS, &at);
    message->body = copy_column(stmt, COL_BODY, &at);
    if (!message->body.ptr)
        message->body = CEL_VIEW("");
    if (message->priority < 0 && sqlite3_column_int64(stmt, COL_PRIORITY) > 0)
        message->priority = (int)(sqlite3_column_int64(stmt, COL_PRIORITY) & 0xff);
    message->eta_ms = sqlite3_column_int64(stmt, COL_DUE);
}

static sqlite_delivery *
new_delivery(claim_op *claim, const consumer_queue *queue, sqlite3_stmt *stmt, size_t bytes)
{
    sqlite_delivery *delivery = cel__malloc(sizeof *delivery + queue->len + bytes);

    if (!delivery)
        return NULL;
    memset(delivery, 0, sizeof *delivery);
    memcpy(delivery->bytes, queue->name, queue->len);
    int64_t deliveries = sqlite3_column_int64(stmt, COL_DELIVERIES);
    delivery->base.broker = &claim->base.broker->base;
    delivery->base.queue = (cel_view){delivery->bytes, queue->len};
    delivery->base.deliveries = deliveries + 1;
    delivery->base.attempt = sqlite3_column_int64(stmt, COL_LOST) ? CEL_ATTEMPT_ACCEPTED
                             : deliveries > 0                     ? CEL_ATTEMPT_AGAIN
                                                                  : CEL_ATTEMPT_NEW;
    delivery->settle.broker = claim->base.broker;
    delivery->consumer = claim->consumer;
    delivery->reply = claim->consumer->options.reply;
    delivery->id = sqlite3_column_int64(stmt, COL_ID);
    delivery->owner = claim->owner;
    delivery->queue_hash = queue->hash;
    delivery->cell = CEL_LEDGER_NONE;
    fill_message(delivery, stmt, delivery->bytes + queue->len);
    return delivery;
}

/* A row of `ready` as the query has found it. It is changed after the query has ended, for a
 * cursor must not be walked over an index that is being changed. */
typedef struct ready_row {
    int64_t rank, id;
    bool missing, huge;
} ready_row;

static cel_code take_row(
    cel_engine *engine, claim_op *claim, const ready_row *row, int64_t queue, cel_error *err)
{
    static const char delete[] = "DELETE FROM ready WHERE queue=? AND rank=? AND id=?";
    static const char sweep[] = "DELETE FROM ready WHERE queue=? AND (typeof(rank)<>'integer' "
                                "OR typeof(id)<>'integer')";
    static const char insert[] = "INSERT OR REPLACE INTO claim(id, owner) VALUES(?,?)";
    static const char quarantine[] =
        "INSERT OR IGNORE INTO quarantine(id, queue, reason) VALUES(?,?,'larger than 256 MiB')";
    sqlite3_stmt *stmt = cel__engine_stmt(engine, delete, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_int64(stmt, 2, row->rank);
    sqlite3_bind_int64(stmt, 3, row->id);
    cel_code code = run_stmt(engine, stmt, err);
    /* A row put in by hand may hold what is no integer: it must go, or it is found for ever. */
    if (code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) == 0)
        code = run_id(engine, sweep, queue, 0, err);
    if (code != CEL_OK || row->missing)
        return code;
    if (row->huge)
        return run_id(engine, quarantine, row->id, queue, err);
    return run_id(engine, insert, row->id, claim->owner, err);
}

#define CHUNK 128

static cel_code read_row(cel_engine *engine,
                         claim_op *claim,
                         const consumer_queue *queue,
                         sqlite3_stmt *stmt,
                         ready_row *row,
                         cel_error *err)
{
    *row = (ready_row){.rank = sqlite3_column_int64(stmt, COL_RANK),
                       .id = sqlite3_column_int64(stmt, COL_READY_ID)};
    row->missing = sqlite3_column_type(stmt, COL_ID) == SQLITE_NULL;
    if (row->missing)
        return CEL_OK;
    size_t bytes = row_bytes(stmt);
    row->huge = bytes > CEL_SQLITE_MAX_MESSAGE;
    if (row->huge) {
        cel__err(cel__engine_log(engine),
                 "sqlite: message %lld is larger than 256 MiB: quarantined",
                 (long long)row->id);
        return CEL_OK;
    }
    sqlite_delivery *delivery = new_delivery(claim, queue, stmt, bytes);
    if (!delivery)
        return cel__engine_fail(engine, SQLITE_NOMEM, err);
    delivery->ledger = cel__ledger_ref(cel__engine_ledger(engine));
    *claim->end = delivery;
    claim->end = &delivery->next;
    claim->got++;
    claim->bytes += bytes;
    return CEL_OK;
}

/* Claims up to `want` (at most CHUNK) of one queue; *taken tells how many rows of `ready` that
 * used up. */
static cel_code claim_chunk(cel_engine *engine,
                            claim_op *claim,
                            const consumer_queue *queue,
                            int64_t id,
                            size_t want,
                            size_t *taken,
                            cel_error *err)
{
    static const char select[] = "SELECT r.rank, r.id, m.id, m.deliveries, m.lost, m.priority, "
                                 "m.due_ms, m.task, m.properties, m.headers, m.body"
                                 " FROM ready r LEFT JOIN message m ON m.id=r.id WHERE "
                                 "r.queue=? ORDER BY r.rank, r.id LIMIT ?";
    ready_row rows[CHUNK];
    size_t count = 0;
    bool row = true;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, select, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, (int64_t)want);
    while (count < want && claim->bytes < CEL_SQLITE_MAX_CLAIM) {
        cel_code code = cel__engine_step(engine, stmt, &row, err);
        if (code == CEL_OK && row)
            code = read_row(engine, claim, queue, stmt, rows + count, err);
        if (code != CEL_OK) {
            sqlite3_reset(stmt);
            return code;
        }
        if (!row)
            break;
        count++;
    }
    sqlite3_reset(stmt);
    for (size_t i = 0; i < count; i++) {
        cel_code code = take_row(engine, claim, rows + i, id, err);
        if (code != CEL_OK)
            return code;
    }
    *taken = count;
    return CEL_OK;
}

static cel_code
claim_queue(cel_engine *engine, claim_op *claim, size_t index, size_t limit, cel_error *err)
{
    const consumer_queue *queue = claim->consumer->queues + index;
    size_t stop = claim->got + limit;
    int64_t id;
    cel_code code = queue_number(claim->base.broker, engine,
                                 (cel_view){queue->name, queue->len}, queue->hash, &id, err);

    while (code == CEL_OK && claim->got < stop) {
        size_t want = stop - claim->got < CHUNK ? stop - claim->got : CHUNK;
        size_t taken = 0;
        if (claim->bytes >= CEL_SQLITE_MAX_CLAIM) {
            claim->more = true;
            break;
        }
        code = claim_chunk(engine, claim, queue, id, want, &taken, err);
        if (taken < want && claim->bytes < CEL_SQLITE_MAX_CLAIM)
            break;
    }
    return code;
}

/* Each queue gets its share first; what they leave goes to those that have more, in turn. */
static cel_code claim_all(cel_engine *engine, claim_op *claim, cel_error *err)
{
    size_t count = claim->consumer->options.queue_count;
    size_t share = (claim->want + count - 1) / count;
    cel_code code = CEL_OK;

    for (int pass = 0; pass < (count > 1 ? 2 : 1); pass++) {
        for (size_t i = 0; i < count && code == CEL_OK && claim->got < claim->want; i++) {
            size_t left = claim->want - claim->got;
            size_t limit = pass == 0 && share < left ? share : left;
            code = claim_queue(engine, claim, (claim->turn + i) % count, limit, err);
        }
    }
    claim->turn = (claim->turn + 1) % count;
    return code;
}

cel_code cel__sqlite_claim_run(cel_engine_op *op, cel_engine *engine)
{
    claim_op *claim = (claim_op *)op;

    cel__sqlite_claim_reset(claim);
    cel_code code = cel__engine_owner(engine, &claim->owner, &op->err);
    if (code == CEL_OK && claim->registered != claim->owner)
        code = register_consumer(engine, claim, &op->err);
    if (code == CEL_OK)
        code = move_due(engine, claim, &op->err);
    if (code == CEL_OK)
        code = claim_all(engine, claim, &op->err);
    if (code == CEL_OK && claim->got == 0 && claim->adopt)
        code = adopt(engine, claim, &op->err);
    return code;
}

cel_code cel__sqlite_cancel_run(cel_engine_op *op, cel_engine *engine)
{
    static const char sql[] = "DELETE FROM consumer WHERE id=? AND owner=?";
    sqlite_consumer *consumer =
        (sqlite_consumer *)((char *)op - offsetof(sqlite_consumer, cancel));

    for (size_t i = 0; i < consumer->options.queue_count; i++) {
        cel_code code = consumer->queues[i].row ? run_id(engine, sql, consumer->queues[i].row,
                                                         consumer->claim.owner, &op->err)
                                                : CEL_OK;
        if (code != CEL_OK)
            return code;
    }
    return consumer->options.reply ? sweep_reply_queues(engine, &op->err) : CEL_OK;
}

/* ---- settle ---- */

cel_code cel__sqlite_settle_run(cel_engine_op *op, cel_engine *engine)
{
    static const char delete_claim[] = "DELETE FROM claim WHERE id=? AND owner=?";
    static const char delete_message[] = "DELETE FROM message WHERE id=?";
    static const char count_again[] =
        "UPDATE message SET deliveries=deliveries+1, lost=0 WHERE id=?";
    static const char count_lost[] =
        "UPDATE message SET deliveries=deliveries+1, lost=max(lost,?2) WHERE id=?1";
    static const char make_ready[] =
        "INSERT OR IGNORE INTO ready SELECT queue, 255-priority, id FROM message WHERE id=?";
    sqlite_delivery *delivery =
        (sqlite_delivery *)((char *)op - offsetof(sqlite_delivery, settle));
    cel_code code = run_id(engine, delete_claim, delivery->id, delivery->owner, &op->err);

    if (code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) == 0)
        return cel_error_set(&op->err, CEL_ESTALE,
                             "message %lld: the lease was lost, someone else has taken it over",
                             (long long)delivery->id);
    if (code == CEL_OK && delivery->kind == SETTLE_ACK)
        return run_id(engine, delete_message, delivery->id, 0, &op->err);
    if (code == CEL_OK && delivery->kind == SETTLE_REQUEUE)
        code = run_id(engine, count_again, delivery->id, 0, &op->err);
    if (code == CEL_OK && delivery->kind == SETTLE_RETURN)
        code = run_id(engine, count_lost, delivery->id, delivery->cell != CEL_LEDGER_NONE,
                      &op->err);
    if (code == CEL_OK)
        code = run_id(engine, make_ready, delivery->id, 0, &op->err);
    if (code == CEL_OK && delivery->reply)
        code = sweep_reply_queues(engine, &op->err);
    if (code == CEL_OK)
        cel__engine_ring(engine, CEL_EVENT_QUEUE, delivery->queue_hash);
    return code;
}

/* ---- purge and list ---- */

cel_code cel__sqlite_purge_run(cel_engine_op *op, cel_engine *engine)
{
    static const char ready_messages[] =
        "DELETE FROM message WHERE id IN (SELECT id FROM ready WHERE queue=?)";
    static const char ready[] = "DELETE FROM ready WHERE queue=?";
    static const char waiting_messages[] =
        "DELETE FROM message WHERE queue=? AND id IN (SELECT id FROM waiting)";
    static const char waiting[] =
        "DELETE FROM waiting WHERE id NOT IN (SELECT id FROM message)";
    purge_op *purge = (purge_op *)op;
    bool found;
    int64_t id;

    purge->count = 0;
    cel_code code =
        find_queue(engine, (cel_view){purge->queue, purge->len}, &found, &id, &op->err);
    if (code != CEL_OK || !found)
        return code;
    code = run_id(engine, ready_messages, id, 0, &op->err);
    purge->count += sqlite3_changes(cel__engine_db(engine));
    if (code == CEL_OK)
        code = run_id(engine, ready, id, 0, &op->err);
    if (code == CEL_OK)
        code = run_id(engine, waiting_messages, id, 0, &op->err);
    if (code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) > 0) {
        purge->count += sqlite3_changes(cel__engine_db(engine));
        sqlite3_stmt *stmt = cel__engine_stmt(engine, waiting, &op->err);
        code = stmt ? run_stmt(engine, stmt, &op->err) : CEL_EIO;
    }
    return code;
}

void cel__sqlite_list_reset(list_op *list)
{
    for (size_t i = 0; i < list->count; i++)
        cel__free(list->rows[i].name);
    list->count = 0;
}

static bool add_queue(list_op *list, sqlite3_stmt *stmt)
{
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    size_t len = (size_t)sqlite3_column_bytes(stmt, 0);

    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        queue_row *rows = cel__realloc(list->rows, cap * sizeof *rows);
        if (!rows)
            return false;
        list->rows = rows;
        list->cap = cap;
    }
    char *copy = cel__memdup(name ? name : "", len);
    if (!copy)
        return false;
    list->rows[list->count++] = (queue_row){copy,
                                            len,
                                            sqlite3_column_int64(stmt, 1),
                                            sqlite3_column_int64(stmt, 2),
                                            sqlite3_column_int64(stmt, 3),
                                            sqlite3_column_int64(stmt, 4)};
    return true;
}

cel_code cel__sqlite_list_run(cel_engine_op *op, cel_engine *engine)
{
    static const char sql[] =
        "SELECT q.name, (SELECT count(*) FROM ready r WHERE r.queue=q.id), ifnull(w.n, 0), "
        "ifnull(c.n, 0),"
        " (SELECT count(*) FROM consumer k JOIN owner o ON o.id=k.owner WHERE k.queue=q.id)"
        " FROM queue q"
        " LEFT JOIN (SELECT m.queue, count(*) AS n FROM waiting w JOIN message m ON m.id=w.id "
        "GROUP BY m.queue) w ON w.queue=q.id"
        " LEFT JOIN (SELECT m.queue, count(*) AS n FROM claim c JOIN message m ON m.id=c.id "
        "GROUP BY m.queue) c ON c.queue=q.id"
        " WHERE ?1 IS NULL OR q.name=?1 ORDER BY q.name";
    list_op *list = (list_op *)op;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, &op->err);
    bool row = true;

    cel__sqlite_list_reset(list);
    if (!stmt)
        return CEL_EIO;
    if (!list->all)
        sqlite3_bind_text(stmt, 1, list->queue, (int)list->len, SQLITE_STATIC);
    while (row) {
        cel_code code = cel__engine_step(engine, stmt, &row, &op->err);
        if (code != CEL_OK)
            return code;
        if (row && !add_queue(list, stmt)) {
            sqlite3_reset(stmt);
            return cel_error_set(&op->err, CEL_ENOMEM, "no memory for a list of queues");
        }
    }
    return CEL_OK;
}
