/* sqlite_expire.c - the slow walk through the tables that deletes what has expired.
 *
 * Rows are numbered in the order of arrival, so what expires is at the front as a rule: each
 * walk goes from the front of each table as long as it finds something. Rows further back
 * that expire earlier (users of one file may keep their records for different times) are
 * found by one more slice per walk, which roams through the table and begins anew at its
 * end. So storing needs no index by time, which would cost it a seventh of its speed. */
#include "backend/sqlite_store.h"

#define SLICE 1000

/* What is looked at, and what is done with the rows ?1 < number <= ?2 that expired before
 * ?3. A chord that still has parts is cleared first (its state 2), and one that is complete
 * waits for its completer. */
static const struct {
    const char *look, *change, *remove;
} tables[CEL_SQLITE_EXPIRING] = {
    {"SELECT count(*), max(seq), sum(expires_ms<=?2) FROM"
     " (SELECT seq, expires_ms FROM result WHERE seq>?1 ORDER BY seq LIMIT ?3)",
     NULL,
     "DELETE FROM result WHERE seq>?1 AND seq<=?2 AND expires_ms<=?3 RETURNING group_id, "
     "status"},
    {"SELECT count(*), max(id), sum(expires_ms<=?2) FROM"
     " (SELECT id, expires_ms FROM group_tally WHERE id>?1 ORDER BY id LIMIT ?3)",
     NULL, "DELETE FROM group_tally WHERE id>?1 AND id<=?2 AND expires_ms<=?3"},
    {"SELECT count(*), max(id), sum(expires_ms<=?2) FROM"
     " (SELECT id, expires_ms FROM taskset WHERE id>?1 ORDER BY id LIMIT ?3)",
     NULL, "DELETE FROM taskset WHERE id>?1 AND id<=?2 AND expires_ms<=?3"},
    {"SELECT count(*), max(id), sum(expires_ms<=?2 AND state IN (0, 3)) FROM"
     " (SELECT id, expires_ms, state FROM chord WHERE id>?1 ORDER BY id LIMIT ?3)",
     "UPDATE chord SET state=2 WHERE id>?1 AND id<=?2 AND expires_ms<=?3 AND state=0",
     "DELETE FROM chord WHERE id>?1 AND id<=?2 AND expires_ms<=?3 AND state=3"},
};

struct slice {
    int64_t after, last, count, expired;
};

static cel_code
look(cel_engine *engine, const char *sql, int64_t now_ms, struct slice *slice, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, slice->after);
    sqlite3_bind_int64(stmt, 2, now_ms);
    sqlite3_bind_int(stmt, 3, SLICE);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    slice->count = sqlite3_column_int64(stmt, 0);
    slice->last = sqlite3_column_int64(stmt, 1);
    slice->expired = sqlite3_column_int64(stmt, 2);
    sqlite3_reset(stmt);
    return CEL_OK;
}

/* Results that go are counted out of their groups. */
static cel_code change(cel_engine *engine,
                       const char *sql,
                       int64_t now_ms,
                       const struct slice *slice,
                       cel_error *err)
{
    sqlite3_stmt *stmt = sql ? cel__engine_stmt(engine, sql, err) : NULL;
    cel_code code;
    bool row;

    if (!stmt)
        return sql ? err->code : CEL_OK;
    sqlite3_bind_int64(stmt, 1, slice->after);
    sqlite3_bind_int64(stmt, 2, slice->last);
    sqlite3_bind_int64(stmt, 3, now_ms);
    while ((code = cel__engine_step(engine, stmt, &row, err)) == CEL_OK && row) {
        code = cel__sqlite_uncount(engine, cel__sqlite_column(stmt, 0),
                                   cel__sqlite_column(stmt, 1), err);
        if (code != CEL_OK)
            break;
    }
    sqlite3_reset(stmt);
    return code;
}

static void step_walk(cel__sqlite_walk *walk, const struct slice *slice, bool *more)
{
    *more = true;
    if (!walk->roaming && slice->expired > 0 && slice->count == SLICE) {
        walk->front = slice->last;
        return;
    }
    if (!walk->roaming) {
        walk->roaming = true;
        return;
    }
    walk->cursor[walk->table] = slice->count == SLICE ? slice->last : 0;
    walk->roaming = false;
    walk->front = 0;
    walk->table++;
    if (walk->table < CEL_SQLITE_EXPIRING)
        return;
    walk->table = 0;
    *more = false;
}

cel_code cel__sqlite_expire(
    cel_engine *engine, cel__sqlite_walk *walk, int64_t now_ms, bool *more, cel_error *err)
{
    struct slice slice = {.after = walk->roaming ? walk->cursor[walk->table] : walk->front};
    cel_code code = look(engine, tables[walk->table].look, now_ms, &slice, err);

    if (code == CEL_OK && slice.expired > 0)
        code = change(engine, tables[walk->table].change, now_ms, &slice, err);
    if (code == CEL_OK && slice.expired > 0)
        code = change(engine, tables[walk->table].remove, now_ms, &slice, err);
    if (code == CEL_OK)
        step_walk(walk, &slice, more);
    return code;
}
