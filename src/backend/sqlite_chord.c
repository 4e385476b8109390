/* sqlite_chord.c - chords in SQL.
 *
 * A chord's row goes 0 collecting -> 1 complete -> 2 done, its parts still there -> 3 cleared,
 * and is deleted when it expires: until then a late opening or part finds it and cannot start
 * it a second time. One that expires while it collects goes to 2.
 *
 * A part costs the same whether it is the first or the fifty-thousandth: it looks up the
 * chord's row, adds its own (the unique index on the task's id refuses a second one), and
 * counts up. Parts are keyed by position and arrival, so that they are appended at the end
 * of the tree and read in the order of the results, which is done once, by the part that
 * completes the chord, in its transaction. The body stands in a table of its own: the
 * chord's row is written with every part. */
#include "backend/sqlite_store.h"

#define CLEAR_SLICE 500
#define UNKNOWN     INT64_MAX /* the position of a part without an index */

enum {
    CHORD_COLLECTING,
    CHORD_COMPLETE,
    CHORD_DONE,
    CHORD_CLEARED
};

struct chord {
    int64_t id, size, count, failed, expires_ms;
    int state;
};

static cel_code
find_chord(cel_engine *engine, cel_view gid, struct chord *chord, bool *found, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "SELECT id, size, count, failed, expires_ms, state FROM chord WHERE gid=?1",
        err);
    cel_code code;

    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    code = cel__engine_step(engine, stmt, found, err);
    if (code != CEL_OK)
        return code;
    if (*found)
        *chord = (struct chord){
            .id = sqlite3_column_int64(stmt, 0),
            .size = sqlite3_column_int64(stmt, 1),
            .count = sqlite3_column_int64(stmt, 2),
            .failed = sqlite3_column_int64(stmt, 3),
            .expires_ms = sqlite3_column_int64(stmt, 4),
            .state = sqlite3_column_int(stmt, 5),
        };
    sqlite3_reset(stmt);
    return CEL_OK;
}

/* Finds the chord's row or makes one that is not opened yet. */
static cel_code need_chord(cel_engine *engine,
                           cel_view gid,
                           const cel__sqlite_moment *moment,
                           struct chord *chord,
                           cel_error *err)
{
    sqlite3_stmt *stmt;
    bool found;
    cel_code code = find_chord(engine, gid, chord, &found, err);

    if (code != CEL_OK || found)
        return code;
    stmt = cel__engine_stmt(engine, "INSERT INTO chord(gid, expires_ms) VALUES(?1,?2)", err);
    if (!stmt)
        return err->code;
    cel__sqlite_bind(stmt, 1, gid);
    sqlite3_bind_int64(stmt, 2, moment->expires_ms);
    code = cel__sqlite_run(engine, stmt, err);
    *chord = (struct chord){.id = sqlite3_last_insert_rowid(cel__engine_db(engine)),
                            .expires_ms = moment->expires_ms};
    return code;
}

/* ---- the texts of a complete chord ---- */

static cel_code
gather_results(cel_engine *engine, int64_t chord, cel__ready *ready, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "SELECT result FROM chord_part WHERE chord=?1 ORDER BY position, arrival", err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    cel__ready_begin_results(ready);
    while ((code = cel__engine_step(engine, stmt, &row, err)) == CEL_OK && row)
        cel__ready_add_result(ready, cel__sqlite_column(stmt, 0));
    cel__ready_end_results(ready);
    sqlite3_reset(stmt);
    return code;
}

static cel_code
gather_failure(cel_engine *engine, int64_t chord, cel__ready *ready, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "SELECT task_id, result FROM chord_part WHERE chord=?1"
                         " AND status<>'SUCCESS' ORDER BY position, arrival LIMIT 1",
                         err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    if (row) {
        cel__ready_set(ready, CEL_READY_FAILED_ID, cel__sqlite_column(stmt, 0));
        cel__ready_set(ready, CEL_READY_FAILED_RESULT, cel__sqlite_column(stmt, 1));
    }
    sqlite3_reset(stmt);
    return CEL_OK;
}

/* Who completed a chord that was complete when it was opened is the part that came last. */
static cel_code
gather_names(cel_engine *engine, int64_t chord, cel__ready *ready, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "SELECT c.gid, coalesce(c.parent_id, (SELECT task_id FROM chord_part p"
                         " WHERE p.chord=c.id ORDER BY arrival DESC LIMIT 1)),"
                         " coalesce(c.root_id, b.root_id), b.body"
                         " FROM chord c LEFT JOIN chord_body b ON b.chord=c.id WHERE c.id=?1",
                         err);
    cel_code code;
    bool row;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK)
        return code;
    if (row) {
        cel__ready_set(ready, CEL_READY_GID, cel__sqlite_column(stmt, 0));
        cel__ready_set(ready, CEL_READY_PARENT_ID, cel__sqlite_column(stmt, 1));
        cel__ready_set(ready, CEL_READY_ROOT_ID, cel__sqlite_column(stmt, 2));
        cel__ready_set(ready, CEL_READY_BODY, cel__sqlite_column(stmt, 3));
    }
    sqlite3_reset(stmt);
    return CEL_OK;
}

static cel_code
gather(cel_engine *engine, int64_t chord, bool failed, cel__ready *ready, cel_error *err)
{
    cel_code code = failed ? gather_failure(engine, chord, ready, err)
                           : gather_results(engine, chord, ready, err);

    if (code == CEL_OK)
        code = gather_names(engine, chord, ready, err);
    return code == CEL_OK ? cel__ready_check(ready, err) : code;
}

/* ---- opening and counting ---- */

static cel_code set_size(cel_engine *engine,
                         const struct chord *chord,
                         const cel__sqlite_moment *moment,
                         cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "UPDATE chord SET size=?2, expires_ms=?3, state=?4, since_ms=?5 WHERE id=?1",
        err);
    bool complete = chord->count >= chord->size;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord->id);
    sqlite3_bind_int64(stmt, 2, chord->size);
    sqlite3_bind_int64(stmt, 3, moment->expires_ms);
    sqlite3_bind_int(stmt, 4, complete ? CHORD_COMPLETE : CHORD_COLLECTING);
    sqlite3_bind_int64(stmt, 5, complete ? moment->now_ms : 0);
    return cel__sqlite_run(engine, stmt, err);
}

cel_code cel__sqlite_chord_open(cel_engine *engine,
                                cel_view gid,
                                int64_t size,
                                const cel__sqlite_moment *moment,
                                cel_error *err)
{
    struct chord chord = {0}; /* gcc does not see that an error always has a code */
    cel_code code = need_chord(engine, gid, moment, &chord, err);

    if (code != CEL_OK || chord.state != CHORD_COLLECTING)
        return code;
    if (chord.size <= 0)
        chord.size = size;
    return set_size(engine, &chord, moment, err);
}

cel_code cel__sqlite_chord_grow(cel_engine *engine,
                                cel_view gid,
                                int64_t count,
                                const cel__sqlite_moment *moment,
                                cel_error *err)
{
    struct chord chord = {0};
    bool found = false;
    cel_code code = find_chord(engine, gid, &chord, &found, err);

    if (code != CEL_OK || !found || chord.state != CHORD_COLLECTING || chord.size <= 0)
        return code;
    chord.size += count;
    return set_size(engine, &chord, moment, err);
}

static cel_code insert_part(cel_engine *engine,
                            int64_t chord,
                            int64_t arrival,
                            const cel_chord_part *part,
                            bool *inserted,
                            cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine,
        "INSERT INTO chord_part(chord, position, arrival, task_id, status, result)"
        " VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT DO NOTHING",
        err);
    cel_code code;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    sqlite3_bind_int64(stmt, 2, part->index < 0 ? UNKNOWN : part->index);
    sqlite3_bind_int64(stmt, 3, arrival);
    cel__sqlite_bind(stmt, 4, part->task_id);
    cel__sqlite_bind(stmt, 5, part->status);
    cel__sqlite_bind(stmt, 6, part->result);
    code = cel__sqlite_run(engine, stmt, err);
    *inserted = code == CEL_OK && sqlite3_changes(cel__engine_db(engine)) > 0;
    return code;
}

static cel_code
keep_body(cel_engine *engine, int64_t chord, const cel_chord_part *part, cel_error *err)
{
    sqlite3_stmt *stmt;

    if (!part->body.ptr)
        return CEL_OK;
    stmt = cel__engine_stmt(engine,
                            "INSERT INTO chord_body(chord, root_id, body) VALUES(?1,?2,?3)"
                            " ON CONFLICT DO NOTHING",
                            err);
    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    cel__sqlite_bind(stmt, 2, part->root_id);
    cel__sqlite_bind(stmt, 3, part->body);
    return cel__sqlite_run(engine, stmt, err);
}

static cel_code count_part(cel_engine *engine,
                           const struct chord *chord,
                           const cel__sqlite_moment *moment,
                           cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine, "UPDATE chord SET count=?2, failed=?3, expires_ms=?4 WHERE id=?1", err);

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord->id);
    sqlite3_bind_int64(stmt, 2, chord->count);
    sqlite3_bind_int64(stmt, 3, chord->failed);
    sqlite3_bind_int64(stmt, 4,
                       chord->expires_ms >= moment->enough_ms ? chord->expires_ms
                                                              : moment->expires_ms);
    return cel__sqlite_run(engine, stmt, err);
}

static cel_code complete_chord(cel_engine *engine,
                               const struct chord *chord,
                               const cel_chord_part *part,
                               const cel__sqlite_moment *moment,
                               cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine,
        "UPDATE chord SET state=1, completer=?2, since_ms=?3, parent_id=?4, root_id=?5"
        " WHERE id=?1",
        err);
    int64_t owner = 0;
    cel_code code;

    if (!stmt)
        return err->code;
    code = cel__engine_owner(engine, &owner, err);
    if (code != CEL_OK)
        return code;
    sqlite3_bind_int64(stmt, 1, chord->id);
    sqlite3_bind_int64(stmt, 2, owner);
    sqlite3_bind_int64(stmt, 3, moment->now_ms);
    cel__sqlite_bind(stmt, 4, part->task_id);
    cel__sqlite_bind(stmt, 5, part->root_id);
    return cel__sqlite_run(engine, stmt, err);
}

/* The body comes with every part; the first brings it, and the last makes sure that it is
 * there. */
cel_code cel__sqlite_chord_part(cel_engine *engine,
                                const cel_chord_part *part,
                                const cel__sqlite_moment *moment,
                                cel__ready *ready,
                                bool *completed,
                                cel_error *err)
{
    struct chord chord = {0}; /* gcc does not see that an error always has a code */
    bool inserted = false, complete;
    cel_code code = need_chord(engine, part->gid, moment, &chord, err);

    *completed = false;
    if (code != CEL_OK || chord.state != CHORD_COLLECTING)
        return code;
    code = insert_part(engine, chord.id, chord.count, part, &inserted, err);
    if (code != CEL_OK || !inserted)
        return code;
    chord.count++;
    chord.failed += !cel__view_is(part->status, "SUCCESS");
    complete = chord.size > 0 && chord.count >= chord.size;
    code = count_part(engine, &chord, moment, err);
    if (code == CEL_OK && (chord.count == 1 || complete))
        code = keep_body(engine, chord.id, part, err);
    if (code != CEL_OK || !complete)
        return code;
    code = complete_chord(engine, &chord, part, moment, err);
    if (code == CEL_OK)
        code = gather(engine, chord.id, chord.failed > 0, ready, err);
    *completed = code == CEL_OK;
    return code;
}

/* ---- the end of a chord ---- */

static cel_code set_state(cel_engine *engine, int64_t chord, int state, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, "UPDATE chord SET state=?2 WHERE id=?1", err);

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    sqlite3_bind_int(stmt, 2, state);
    return cel__sqlite_run(engine, stmt, err);
}

static cel_code run_on(cel_engine *engine, const char *sql, int64_t chord, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine, sql, err);

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    return cel__sqlite_run(engine, stmt, err);
}

/* Deletes a slice of the parts; *more: some are left. */
static cel_code clear_chord(cel_engine *engine, int64_t chord, bool *more, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine,
                         "DELETE FROM chord_part WHERE chord=?1 AND (position, arrival) IN "
                         "(SELECT position, arrival"
                         " FROM chord_part WHERE chord=?1 ORDER BY position, arrival LIMIT ?2)",
                         err);
    cel_code code;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    sqlite3_bind_int(stmt, 2, CLEAR_SLICE);
    code = cel__sqlite_run(engine, stmt, err);
    *more = sqlite3_changes(cel__engine_db(engine)) >= CLEAR_SLICE;
    if (code != CEL_OK || *more)
        return code;
    code = run_on(engine, "DELETE FROM chord_body WHERE chord=?1", chord, err);
    return code == CEL_OK ? set_state(engine, chord, CHORD_CLEARED, err) : code;
}

cel_code cel__sqlite_chord_done(cel_engine *engine,
                                cel_view gid,
                                const cel__sqlite_moment *moment,
                                bool *more,
                                cel_error *err)
{
    struct chord chord = {0}; /* gcc does not see that an error always has a code */
    bool found;
    cel_code code = find_chord(engine, gid, &chord, &found, err);

    *more = false;
    if (code != CEL_OK || !found || chord.state != CHORD_COMPLETE)
        return code;
    if (chord.expires_ms >= CEL_MAX_MS) { /* results stay for ever, this need not */
        sqlite3_stmt *stmt =
            cel__engine_stmt(engine, "UPDATE chord SET expires_ms=?2 WHERE id=?1", err);

        if (!stmt)
            return err->code;
        sqlite3_bind_int64(stmt, 1, chord.id);
        sqlite3_bind_int64(stmt, 2, moment->now_ms + CEL_CHORD_DONE_KEPT_MS);
        code = cel__sqlite_run(engine, stmt, err);
    }
    if (code == CEL_OK)
        code = set_state(engine, chord.id, CHORD_DONE, err);
    return code == CEL_OK ? clear_chord(engine, chord.id, more, err) : code;
}

cel_code cel__sqlite_chord_clear(cel_engine *engine, bool *more, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine, "SELECT id FROM chord WHERE state=2 LIMIT 1", err);
    int64_t chord;
    cel_code code;
    bool row;

    *more = false;
    if (!stmt)
        return err->code;
    code = cel__engine_step(engine, stmt, &row, err);
    if (code != CEL_OK || !row)
        return code;
    chord = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    code = clear_chord(engine, chord, more, err);
    *more = true; /* of this one, or perhaps another */
    return code;
}

/* ---- chords that nobody fires ---- */

struct orphan {
    int64_t chord;
    bool failed;
};

static cel_code any_complete(cel_engine *engine, bool *any, cel_error *err)
{
    sqlite3_stmt *stmt =
        cel__engine_stmt(engine, "SELECT 1 FROM chord WHERE state=1 LIMIT 1", err);
    cel_code code;

    if (!stmt)
        return err->code;
    code = cel__engine_step(engine, stmt, any, err);
    sqlite3_reset(stmt);
    return code;
}

static cel_code find_orphan(
    cel_engine *engine, int64_t before_ms, struct orphan *orphan, bool *found, cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(
        engine,
        "SELECT c.id, c.failed FROM chord c WHERE c.state=1 AND (c.since_ms<?1 OR"
        " NOT EXISTS(SELECT 1 FROM owner o WHERE o.id=c.completer)) LIMIT 1",
        err);
    cel_code code;

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, before_ms);
    code = cel__engine_step(engine, stmt, found, err);
    if (code != CEL_OK || !*found)
        return code;
    orphan->chord = sqlite3_column_int64(stmt, 0);
    orphan->failed = sqlite3_column_int64(stmt, 1) > 0;
    sqlite3_reset(stmt);
    return CEL_OK;
}

static cel_code take_over(cel_engine *engine,
                          int64_t chord,
                          int64_t owner,
                          const cel__sqlite_moment *moment,
                          cel_error *err)
{
    sqlite3_stmt *stmt = cel__engine_stmt(engine,
                                          "UPDATE chord SET completer=?2, since_ms=?3, "
                                          "expires_ms=max(expires_ms, ?4) WHERE id=?1",
                                          err);

    if (!stmt)
        return err->code;
    sqlite3_bind_int64(stmt, 1, chord);
    sqlite3_bind_int64(stmt, 2, owner);
    sqlite3_bind_int64(stmt, 3, moment->now_ms);
    sqlite3_bind_int64(stmt, 4, moment->expires_ms);
    return cel__sqlite_run(engine, stmt, err);
}

/* Asking for our owner comes before the look: the first time it also buries the dead, whose
 * chords are then found. */
cel_code cel__sqlite_chord_claim(cel_engine *engine,
                                 const cel__sqlite_moment *moment,
                                 int64_t before_ms,
                                 cel__ready *ready,
                                 bool *found,
                                 cel_error *err)
{
    struct orphan orphan = {0};
    int64_t owner;
    cel_code code;

    *found = false;
    code = any_complete(engine, found, err);
    if (code != CEL_OK || !*found)
        return code;
    *found = false;
    code = cel__engine_owner(engine, &owner, err);
    if (code == CEL_OK)
        code = find_orphan(engine, before_ms, &orphan, found, err);
    if (code != CEL_OK || !*found)
        return code;
    *found = false;
    code = take_over(engine, orphan.chord, owner, moment, err);
    if (code == CEL_OK)
        code = gather(engine, orphan.chord, orphan.failed, ready, err);
    *found = code == CEL_OK;
    return code;
}
