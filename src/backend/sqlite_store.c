/* sqlite_store.c - results and groups in SQL.
 *
 * The usual result is new: one INSERT tells so, and only a conflict looks at what is there.
 * The counts of a group are one small row, changed in the transaction that makes a result
 * ready, so that counting 50,000 members costs what counting two does. */
#include "backend/sqlite_store.h"

#include "message/result.h"

void cel__sqlite_bind(sqlite3_stmt *stmt, int column, cel_view view)
{
    if (view.ptr)
        sqlite3_bind_text64(stmt, column, view.ptr, view.len, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(stmt, column);
}

/* The text first, then its length, as SQLite wants it; whatever type a foreign hand has put
 * there. */
cel_view cel__sqlite_column(sqlite3_stmt *stmt, int column)
{
    const void *text = sqlite3_column_text(stmt, column);

    if (!text)
        return (cel_view){NULL, 0};
    return (cel_view){text, (size_t)sqlite3_column_bytes(stmt, column)};
}

cel_code cel__sqlite_run(cel_engine *engine, sqlite3_stmt *stmt, cel_error *err)
{
    bool row;
    cel_code code = cel__engine_step(engine, stmt, &row, err);

    if (code == CEL_OK)
        sqlite3_reset(stmt);
    return code;
}

/* ---- the counts of a group ---- */

static cel_code tally_slowly(cel_engine *engine,
                             cel_view gid,
                             int ready,
                             int succeeded,
                             int64_t expires_ms,
                             cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine,
        "INSERT INTO group_tally(gid, expires_ms, ready, succeeded) VALUES(?1,?2,?3,?4)"
        " ON CONFLICT DO UPDATE SET ready=ready+?3, succeeded=succeeded+?4, expires_ms=?2",
        err);

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    sqlite3_bind_int64(stmt, 2, expires_ms);
    sqlite3_bind_int(stmt, 3, ready);
    sqlite3_bind_int(stmt, 4, succeeded);
    return cel__sqlite_run(engine, stmt, err);
}

static cel_code tally(cel_engine *engine,
                      cel_view gid,
                      int ready,
                      int succeeded,
                      const cel__sqlite_moment *moment,
                      cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "UPDATE group_tally SET ready=ready+?2, succeeded=succeeded+?3"
                         " WHERE gid=?1 AND expires_ms>=?4",
                         err);
    cel_code code;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    sqlite3_bind_int(stmt, 2, ready);
    sqlite3_bind_int(stmt, 3, succeeded);
    sqlite3_bind_int64(stmt, 4, moment->enough_ms);
    code = cel__sqlite_run(engine, stmt, err);
    if (code != CEL_OK || sqlite3_changes(cel__engine_db(engine)) > 0)
        return code;
    return tally_slowly(engine, gid, ready, succeeded, moment->expires_ms, err);
}

cel_code cel__sqlite_uncount(cel_engine *engine, cel_view gid, cel_view status, cel_error *err)
{
    sqlite3_stmt *stmt;

    if (!gid.ptr || !cel__state_ready(status))
        return CEL_OK;
    stmt = cel__engine_stmt(
        engine, "UPDATE group_tally SET ready=ready-1, succeeded=succeeded-?2 WHERE gid=?1",
        err);
    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    sqlite3_bind_int(stmt, 2, cel__view_is(status, "SUCCESS"));
    return cel__sqlite_run(engine, stmt, err);
}

cel_code cel__sqlite_count(
    cel_engine *engine, cel_view gid, int64_t *ready, int64_t *succeeded, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine, "SELECT ready, succeeded FROM group_tally WHERE gid=?1", err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    *ready = row ? sqlite3_column_int64(stmt, 0) : 0;
    *succeeded = row ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return CEL_OK;
}

/* ---- results ---- */

/* Whether the stored state stays although `record` comes. */
static bool outranks(cel_view status, const cel_backend_record *record)
{
    return cel__view_is(status, "SUCCESS") || (cel__state_ready(status) && !record->ready);
}

static cel_code update_result(cel_engine *engine,
                              int64_t seq,
                              const cel_backend_record *record,
                              const cel__sqlite_moment *moment,
                              cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine,
        "UPDATE result SET expires_ms=?2, status=?3, group_id=?4, document=?5 WHERE seq=?1",
        err);

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, seq);
    sqlite3_bind_int64(stmt, 2, moment->expires_ms);
    cel__sqlite_bind(stmt, 3, record->status);
    cel__sqlite_bind(stmt, 4, record->group_id);
    cel__sqlite_bind(stmt, 5, record->document);
    return cel__sqlite_run(engine, stmt, err);
}

/* *changed: the record has taken the place of the one there was, which has been counted out
 * of its group. */
static cel_code replace_result(cel_engine *engine,
                               const cel_backend_record *record,
                               const cel__sqlite_moment *moment,
                               bool *changed,
                               cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "SELECT seq, status, group_id FROM result WHERE task_id=?1", err);
    int64_t seq;
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, record->task_id);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    *changed = row && !outranks(cel__sqlite_column(stmt, 1), record);
    seq = row ? sqlite3_column_int64(stmt, 0) : 0;
    if (*changed)
        code = cel__sqlite_uncount(engine, cel__sqlite_column(stmt, 2),
                                   cel__sqlite_column(stmt, 1), err);
    sqlite3_reset(stmt);
    if (code != CEL_OK || !*changed)
        return code;
    return update_result(engine, seq, record, moment, err);
}

static cel_code insert_result(cel_engine *engine,
                              const cel_backend_record *record,
                              const cel__sqlite_moment *moment,
                              bool *inserted,
                              cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "INSERT INTO result(expires_ms, status, task_id, group_id, document)"
                         " VALUES(?1,?2,?3,?4,?5) ON CONFLICT DO NOTHING",
                         err);
    cel_code code;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, moment->expires_ms);
    cel__sqlite_bind(stmt, 2, record->status);
    cel__sqlite_bind(stmt, 3, record->task_id);
    cel__sqlite_bind(stmt, 4, record->group_id);
    cel__sqlite_bind(stmt, 5, record->document);
    code = cel__sqlite_run(engine, stmt, err);
    *inserted = code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) > 0;
    return code;
}

static void ring(cel_engine *engine, cel_view id)
{
    cel__engine_ring(engine, CEL_EVENT_RESULT, cel__engine_hash(id.ptr, id.len));
}

cel_code cel__sqlite_put(cel_engine *engine,
                         const cel_backend_record *record,
                         const cel__sqlite_moment *moment,
                         cel_error *err)
{
    bool changed = false;
    cel_code code = insert_result(engine, record, moment, &changed, err);

    if (code == CEL_OK && !changed)
        code = replace_result(engine, record, moment, &changed, err);
    if (code != CEL_OK || !changed)
        return code;
    if (record->group_id.ptr && record->ready)
        code = tally(engine, record->group_id, 1, cel__view_is(record->status, "SUCCESS"),
                     moment, err);
    ring(engine, record->task_id);
    if (record->group_id.ptr)
        ring(engine, record->group_id);
    return code;
}

static cel_code get_document(cel_engine *engine,
                             const char *sql,
                             cel_view id,
                             cel__buf *text,
                             bool *found,
                             cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);
    cel_code code;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, id);
    code = cel__engine_step(engine, stmt, found, err);
    if (code != CEL_OK || !*found)
        return code;
    cel__buf_add_view(text, cel__sqlite_column(stmt, 0));
    sqlite3_reset(stmt);
    return CEL_OK;
}

cel_code cel__sqlite_get(
    cel_engine *engine, cel_view task_id, cel__buf *text, bool *found, cel_error *err)
{
    return get_document(engine, "SELECT document FROM result WHERE task_id=?1", task_id, text,
                        found, err);
}

cel_code cel__sqlite_forget(cel_engine *engine, cel_view task_id, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "DELETE FROM result WHERE task_id=?1 RETURNING group_id, status", err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, task_id);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    if (row)
        code = cel__sqlite_uncount(engine, cel__sqlite_column(stmt, 0),
                                   cel__sqlite_column(stmt, 1), err);
    sqlite3_reset(stmt);
    return code;
}

/* ---- saved groups ---- */

cel_code cel__sqlite_save(cel_engine *engine,
                          cel_view gid,
                          cel_view document,
                          const cel__sqlite_moment *moment,
                          cel_error *err)
{
    sqlite3_stmt *stmt;

    if (document.ptr)
        stmt =
            cel__engine_stmt(engine,
                             "INSERT INTO taskset(gid, expires_ms, document) VALUES(?1,?2,?3)"
                             " ON CONFLICT DO UPDATE SET document=?3, expires_ms=?2",
                             err);
    else
        stmt = cel__engine_stmt(engine, "DELETE FROM taskset WHERE gid=?1", err);
    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    if (document.ptr) {
        sqlite3_bind_int64(stmt, 2, moment->expires_ms);
        cel__sqlite_bind(stmt, 3, document);
    }
    return cel__sqlite_run(engine, stmt, err);
}

cel_code
cel__sqlite_saved(cel_engine *engine, cel_view gid, cel__buf *text, bool *found, cel_error *err)
{
    return get_document(engine, "SELECT document FROM taskset WHERE gid=?1", gid, text, found,
                        err);
}
