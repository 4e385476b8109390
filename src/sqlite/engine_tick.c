/* engine_tick.c - what the engine does by itself, every few seconds: renew its owner's lease,
 * look for the dead, and look whether others have written to the file without ringing (they
 * were killed in between, or are the sqlite3 command).
 *
 * Without an owner and without listeners it does nothing. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "sqlite/engine_impl.h"

static cel__owner_times times_now(const cel_engine *engine)
{
    return (cel__owner_times){cel__clock_wall_ms(engine->clock),
                              cel__clock_mono_ms(cel__clock_system())};
}

/* ---- the owner, on the engine's thread ---- */

static cel_code recover_dead(cel_engine *engine, cel__tick_op *tick)
{
    tick->removed = 0;
    for (size_t i = 0; i < tick->dead_count; i++) {
        size_t returned = 0;
        cel_code code = cel__owner_recover(engine, &engine->conn, engine->run_dir,
                                           tick->dead[i], &returned, &tick->op.err);
        if (code != CEL_OK)
            return code;
        tick->removed++;
        if (returned > 0)
            cel__warning(
                engine->log,
                "sqlite: owner %lld is gone: %zu of its messages go back to their queues",
                (long long)tick->dead[i], returned);
    }
    return CEL_OK;
}

static cel_code find_dead(cel_engine *engine, cel__tick_op *tick)
{
    return cel__owner_find_dead(
        &engine->conn, &engine->self, engine->owner, times_now(engine), &engine->suspects,
        tick->dead, sizeof tick->dead / sizeof *tick->dead, &tick->dead_count, &tick->op.err);
}

/* Claims whose owner has no row: put into the file by hand, or by a copy of half a file. */
static cel_code free_orphans(cel_engine *engine, cel_error *err)
{
    static const char insert[] = "INSERT OR IGNORE INTO ready SELECT m.queue, 255-m.priority, "
                                 "m.id FROM claim c JOIN message m ON m.id=c.id"
                                 " WHERE c.owner NOT IN (SELECT id FROM owner)";
    static const char mark[] =
        "UPDATE message SET lost=1, deliveries=deliveries+1 WHERE id IN (SELECT id FROM claim "
        "WHERE owner NOT IN (SELECT id FROM owner))";
    static const char delete[] = "DELETE FROM claim WHERE owner NOT IN (SELECT id FROM owner)";
    static const char *const all[] = {insert, mark, delete};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sqlite3_stmt *stmt = cel__conn_stmt_get(&engine->conn, all[i], err);
        cel_code code = stmt ? cel__conn_step(&engine->conn, stmt, NULL, err) : CEL_EIO;
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

static void drop_owner(cel_engine *engine)
{
    if (engine->owner)
        cel__ledger_remove(engine->run_dir, engine->owner);
    cel__ledger_unref(engine->ledger);
    engine->ledger = NULL;
    engine->owner = 0;
    engine->owner_fresh = false;
    atomic_store(&engine->owner_seen, 0);
}

static void lose_owner(cel_engine *engine)
{
    cel__err(engine->log,
             "sqlite: the lease of owner %lld was lost: others have taken over its messages",
             (long long)engine->owner);
    drop_owner(engine);
}

/* The ledgers go with this transaction's commit or stay without harm: an owner's number is
 * never used again. */
static cel_code clean_up_at_start(cel_engine *engine, cel_error *err)
{
    cel__tick_op found = {0};
    cel_code code;

    do {
        code = find_dead(engine, &found);
        if (code == CEL_OK)
            code = recover_dead(engine, &found);
    } while (code == CEL_OK && found.dead_count == sizeof found.dead / sizeof *found.dead);
    if (code == CEL_OK)
        code = free_orphans(engine, &found.op.err);
    if (code != CEL_OK && err)
        *err = found.op.err;
    return code;
}

/* What is claimed for an owner without a row would be anybody's. */
static cel_code check_owner(cel_engine *engine, cel_error *err)
{
    static const char sql[] = "SELECT 1 FROM owner WHERE id=?";
    sqlite3_stmt *stmt = cel__conn_stmt_get(&engine->conn, sql, err);
    bool row = false;

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, engine->owner);
    cel_code code = cel__conn_step(&engine->conn, stmt, &row, err);
    sqlite3_reset(stmt);
    if (code == CEL_OK && !row)
        lose_owner(engine);
    return code;
}

cel_code cel__engine_owner(cel_engine *engine, int64_t *owner, cel_error *err)
{
    int64_t made;

    if (engine->owner != 0 && !engine->owner_fresh) {
        cel_code code = check_owner(engine, err);
        if (code != CEL_OK)
            return code;
    }
    if (engine->owner == 0) {
        cel_code code = clean_up_at_start(engine, err);
        if (code == CEL_OK)
            code =
                cel__owner_insert(&engine->conn, &engine->self, engine->node, engine->lease_ms,
                                  cel__clock_wall_ms(engine->clock), &made, err);
        if (code == CEL_OK)
            code = cel__ledger_new(&engine->ledger, engine->run_dir, made, err);
        if (code != CEL_OK)
            return code;
        engine->owner = made;
        engine->owner_fresh = true;
    }
    *owner = engine->owner;
    return CEL_OK;
}

cel__ledger *cel__engine_ledger(cel_engine *engine)
{
    return engine->ledger;
}

void cel__engine_owner_committed(cel_engine *engine)
{
    engine->owner_fresh = false;
    atomic_store(&engine->owner_seen, engine->owner);
}

void cel__engine_owner_rolled_back(cel_engine *engine)
{
    drop_owner(engine);
}

/* ---- the timer's operation ---- */

static cel_code renew(cel_engine *engine, cel__tick_op *tick)
{
    bool kept;
    int64_t until_ms = cel__clock_wall_ms(engine->clock) + engine->lease_ms;

    if (engine->owner == 0 || engine->owner_fresh)
        return CEL_OK;
    cel_code code =
        cel__owner_renew(&engine->conn, engine->owner, until_ms, &kept, &tick->op.err);
    if (code == CEL_OK && !kept) {
        tick->lease_lost = true;
        lose_owner(engine);
    }
    return code;
}

static cel_code look_for_changes(cel_engine *engine, cel__tick_op *tick)
{
    static const char sql[] = "PRAGMA data_version";
    bool row = false;
    sqlite3_stmt *stmt = cel__conn_stmt_get(&engine->conn, sql, &tick->op.err);
    cel_code code = stmt ? cel__conn_step(&engine->conn, stmt, &row, &tick->op.err) : CEL_EIO;

    if (code != CEL_OK)
        return code;
    int64_t version = row ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    tick->changed = version != engine->data_version;
    engine->data_version = version;
    return CEL_OK;
}

/* Removes the ledgers of owners that are no more. A number above the highest committed one may
 * be of an owner whose row is not committed yet. */
static cel_code remove_stale_ledgers(cel_engine *engine, cel_error *err)
{
    static const char sql[] = "SELECT 1 FROM sqlite_sequence WHERE name='owner' AND seq>=?1 "
                              "AND NOT EXISTS(SELECT 1 FROM owner WHERE id=?1)";
    DIR *dir = opendir(engine->run_dir);
    cel_code code = CEL_OK;
    struct dirent *entry;

    while (dir && code == CEL_OK && (entry = readdir(dir))) {
        bool row = false;
        if (strncmp(entry->d_name, "ledger.", 7) != 0)
            continue;
        int64_t owner = strtoll(entry->d_name + 7, NULL, 10);
        sqlite3_stmt *stmt = cel__conn_stmt_get(&engine->conn, sql, err);
        if (stmt)
            sqlite3_bind_int64(stmt, 1, owner);
        code = stmt ? cel__conn_step(&engine->conn, stmt, &row, err) : CEL_EIO;
        if (row)
            cel__ledger_remove(engine->run_dir, owner);
        if (stmt)
            sqlite3_reset(stmt);
    }
    if (dir)
        closedir(dir);
    return code;
}

static cel_code tick_run(cel_engine_op *op, cel_engine *engine)
{
    cel__tick_op *tick = (cel__tick_op *)op;

    tick->changed = tick->lease_lost = false;
    cel_code code = look_for_changes(engine, tick);
    if (code == CEL_OK && !op->read_only)
        code = renew(engine, tick);
    if (code == CEL_OK && !op->read_only)
        code = recover_dead(engine, tick);
    else
        tick->dead_count = tick->removed = 0;
    if (code == CEL_OK && engine->owner && !tick->lease_lost && tick->dead_count == 0)
        code = find_dead(engine, tick);
    if (code == CEL_OK && tick->sweep)
        code = remove_stale_ledgers(engine, &op->err);
    return code;
}

static void tick_done(cel_engine_op *op)
{
    cel__tick_op *tick = (cel__tick_op *)op;
    cel_engine *engine = tick->engine;

    tick->busy = false;
    if (op->err.code != CEL_OK) {
        cel__warning(engine->log, "sqlite: %s", op->err.message);
        tick->dead_count = tick->removed = 0;
        return;
    }
    for (size_t i = 0; i < tick->removed; i++)
        cel__ledger_remove(engine->run_dir, tick->dead[i]);
    if (tick->removed > 0)
        tick->dead_count = tick->removed = 0;
    if (tick->dead_count > 0 && !engine->closing) {
        op->read_only = false;
        tick->busy = true;
        cel__engine_submit(engine, op);
    }
    if (tick->changed || tick->lease_lost)
        cel__listeners_mark_all(&engine->listeners);
    cel__engine_drain_bell(engine, true);
}

void cel__engine_tick(uv_timer_t *timer)
{
    cel_engine *engine = timer->data;
    int64_t now_ms = cel__clock_mono_ms(cel__clock_system());
    bool owner = atomic_load(&engine->owner_seen) != 0;
    bool sweep = owner && now_ms - engine->swept_mono_ms >= 4 * CEL_ENGINE_TICK_MS;
    bool renewal = owner && now_ms - engine->renewed_mono_ms >= engine->lease_ms / 3;

    if (engine->tick.busy || engine->closing || (!owner && engine->listeners.count == 0))
        return;
    if (renewal)
        engine->renewed_mono_ms = now_ms;
    if (sweep) {
        engine->swept_mono_ms = now_ms;
        cel__bell_sweep(engine->bell);
    }
    engine->tick.sweep = sweep;
    engine->tick.op.read_only = !renewal;
    engine->tick.dead_count = 0;
    engine->tick.busy = true;
    cel__engine_submit(engine, &engine->tick.op);
}

void cel__engine_tick_init(cel_engine *engine)
{
    engine->tick.op.run = tick_run;
    engine->tick.op.done = tick_done;
    engine->tick.engine = engine;
    engine->renewed_mono_ms = engine->swept_mono_ms = cel__clock_mono_ms(cel__clock_system());
}

/* ---- leaving ---- */

static cel_code leave_run(cel_engine_op *op, cel_engine *engine)
{
    size_t returned;

    if (engine->owner == 0)
        return CEL_OK;
    return cel__owner_recover(engine, &engine->conn, engine->run_dir, engine->owner, &returned,
                              &op->err);
}

static void leave_done(cel_engine_op *op)
{
    cel_engine *engine = ((cel__tick_op *)op)->engine;

    if (op->err.code != CEL_OK)
        cel__warning(engine->log, "sqlite: leaving: %s", op->err.message);
    else
        drop_owner(engine);
}

void cel__engine_leave(cel_engine *engine)
{
    engine->leave.op.run = leave_run;
    engine->leave.op.done = leave_done;
    engine->leave.op.read_only = atomic_load(&engine->owner_seen) == 0;
    engine->leave.engine = engine;
    cel__engine_submit(engine, &engine->leave.op);
}
