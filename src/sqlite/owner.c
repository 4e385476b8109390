/* owner.c - leases, and putting back what the dead held.
 *
 * A process of this machine is dead when its pid is gone, a zombie, or another's (start time):
 * no lease is waited for. Of others only the lease tells. A lease that has ended is not taken
 * at once: after a suspended machine wakes up every lease has ended, so its owner gets a grace,
 * measured on our monotonic clock, in which to renew it. */
#include "sqlite/owner.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "sqlite/ledger.h"

#define MAX_GRACE_MS 5000

cel_code cel__owner_insert(cel__conn *conn,
                           const cel__process *self,
                           const char *node,
                           int64_t lease_ms,
                           int64_t wall_ms,
                           int64_t *owner,
                           cel_error *err)
{
    static const char sql[] = "INSERT INTO owner(node, pid, start_time, host, boot_id, pid_ns, "
                              "lease_ms, lease_until_ms)"
                              " VALUES(?,?,?,?,?,?,?,?)";
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_text(stmt, 1, node, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, self->pid);
    sqlite3_bind_int64(stmt, 3, self->start_time);
    sqlite3_bind_text(stmt, 4, self->host, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, self->boot_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 6, self->pid_ns, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 7, lease_ms);
    sqlite3_bind_int64(stmt, 8, wall_ms + lease_ms);
    cel_code code = cel__conn_step(conn, stmt, NULL, err);
    if (code == CEL_OK)
        *owner = sqlite3_last_insert_rowid(conn->db);
    return code;
}

cel_code cel__owner_renew(
    cel__conn *conn, int64_t owner, int64_t lease_until_ms, bool *kept, cel_error *err)
{
    static const char sql[] = "UPDATE owner SET lease_until_ms=? WHERE id=?";
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, lease_until_ms);
    sqlite3_bind_int64(stmt, 2, owner);
    cel_code code = cel__conn_step(conn, stmt, NULL, err);
    if (code == CEL_OK)
        *kept = sqlite3_changes(conn->db) == 1;
    return code;
}

/* ---- who is dead ---- */

/* Whether the ended lease has been seen for longer than the grace. */
static bool grace_is_over(
    cel__suspects *suspects, int64_t owner, int64_t until_ms, int64_t lease_ms, int64_t mono_ms)
{
    int64_t grace_ms = lease_ms / 3 < MAX_GRACE_MS ? lease_ms / 3 : MAX_GRACE_MS;
    cel__suspect *place = NULL;

    for (size_t i = 0; i < suspects->count; i++)
        if (suspects->entries[i].owner == owner)
            place = suspects->entries + i;
    if (place && place->lease_until_ms == until_ms)
        return mono_ms - place->since_mono_ms >= grace_ms;
    if (!place) {
        /* With too many at once the oldest suspicion is forgotten and rises again. */
        size_t at =
            suspects->count < CEL_SUSPECTS ? suspects->count++ : (size_t)(owner % CEL_SUSPECTS);
        place = suspects->entries + at;
    }
    *place = (cel__suspect){owner, until_ms, mono_ms};
    return false;
}

static void copy_text(char *out, size_t size, sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t len = text ? strlen(text) : 0;

    if (len >= size)
        len = size - 1;
    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
}

static bool row_is_dead(sqlite3_stmt *stmt,
                        const cel__process *self,
                        cel__owner_times now,
                        cel__suspects *suspects)
{
    cel__process other = {.pid = sqlite3_column_int64(stmt, 1),
                          .start_time = sqlite3_column_int64(stmt, 2)};
    int64_t lease_ms = sqlite3_column_int64(stmt, 6);
    int64_t until_ms = sqlite3_column_int64(stmt, 7);

    copy_text(other.host, sizeof other.host, stmt, 3);
    copy_text(other.boot_id, sizeof other.boot_id, stmt, 4);
    copy_text(other.pid_ns, sizeof other.pid_ns, stmt, 5);
    if (cel__process_life(self, &other) == CEL_LIFE_DEAD)
        return true;
    return until_ms < now.wall_ms && grace_is_over(suspects, sqlite3_column_int64(stmt, 0),
                                                   until_ms, lease_ms, now.mono_ms);
}

cel_code cel__owner_find_dead(cel__conn *conn,
                              const cel__process *self,
                              int64_t self_owner,
                              cel__owner_times now,
                              cel__suspects *suspects,
                              int64_t *dead,
                              size_t max,
                              size_t *count,
                              cel_error *err)
{
    static const char sql[] = "SELECT id, pid, start_time, host, boot_id, pid_ns, lease_ms, "
                              "lease_until_ms FROM owner WHERE id<>?";
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);
    bool row = true;

    *count = 0;
    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, self_owner);
    while (row && *count < max) {
        cel_code code = cel__conn_step(conn, stmt, &row, err);
        if (code != CEL_OK)
            return code;
        if (row && row_is_dead(stmt, self, now, suspects))
            dead[(*count)++] = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_reset(stmt);
    return CEL_OK;
}

/* ---- putting back ---- */

typedef struct claim_list {
    int64_t *ids; /* owned */
    size_t count, cap;
} claim_list;

static cel_code read_claims(cel__conn *conn, int64_t owner, claim_list *list, cel_error *err)
{
    static const char sql[] = "SELECT id FROM claim WHERE owner=?";
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, owner);
    for (;;) {
        bool row;
        cel_code code = cel__conn_step(conn, stmt, &row, err);
        if (code != CEL_OK || !row)
            return code;
        if (list->count == list->cap) {
            size_t cap = list->cap ? list->cap * 2 : 64;
            int64_t *ids = cel__realloc(list->ids, cap * sizeof *ids);
            if (!ids) {
                sqlite3_reset(stmt);
                conn->fatal = SQLITE_NOMEM;
                return cel_error_set(err, CEL_ENOMEM,
                                     "no memory for the claims of a dead owner");
            }
            list->ids = ids;
            list->cap = cap;
        }
        list->ids[list->count++] = sqlite3_column_int64(stmt, 0);
    }
}

static cel_code
run_with_ids(cel__conn *conn, const char *sql, int64_t first, int64_t second, cel_error *err)
{
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, first);
    if (sqlite3_bind_parameter_count(stmt) > 1)
        sqlite3_bind_int64(stmt, 2, second);
    return cel__conn_step(conn, stmt, NULL, err);
}

static cel_code return_claim(cel__conn *conn, int64_t id, bool lost, cel_error *err)
{
    static const char update[] =
        "UPDATE message SET deliveries=deliveries+1, lost=max(lost,?2) WHERE id=?1";
    static const char insert[] =
        "INSERT OR IGNORE INTO ready SELECT queue, 255-priority, id FROM message WHERE id=?";
    static const char delete[] = "DELETE FROM claim WHERE id=?";
    cel_code code = run_with_ids(conn, update, id, lost, err);

    if (code == CEL_OK)
        code = run_with_ids(conn, insert, id, 0, err);
    if (code == CEL_OK)
        code = run_with_ids(conn, delete, id, 0, err);
    return code;
}

static cel_code ring_queues(cel_engine *engine, cel__conn *conn, int64_t owner, cel_error *err)
{
    static const char sql[] = "SELECT DISTINCT q.name FROM claim c JOIN message m ON m.id=c.id "
                              "JOIN queue q ON q.id=m.queue WHERE c.owner=?";
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);
    bool row = true;

    if (!stmt)
        return CEL_EIO;
    sqlite3_bind_int64(stmt, 1, owner);
    while (row) {
        cel_code code = cel__conn_step(conn, stmt, &row, err);
        if (code != CEL_OK)
            return code;
        const char *name = row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
        if (name)
            cel__engine_ring(engine, CEL_EVENT_QUEUE,
                             cel__engine_hash(name, (size_t)sqlite3_column_bytes(stmt, 0)));
    }
    return CEL_OK;
}

static int compare_ids(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

cel_code cel__owner_recover(cel_engine *engine,
                            cel__conn *conn,
                            const char *run_dir,
                            int64_t owner,
                            size_t *returned,
                            cel_error *err)
{
    static const char delete_consumers[] = "DELETE FROM consumer WHERE owner=?";
    static const char delete_owner[] = "DELETE FROM owner WHERE id=?";
    int64_t *accepted = NULL;
    size_t accepted_count = 0;
    claim_list list = {0};

    /* Without a ledger nobody knows: then at most once wins. */
    bool known = cel__ledger_read(&accepted, &accepted_count, run_dir, owner, NULL) == CEL_OK;
    cel_code code = ring_queues(engine, conn, owner, err);
    if (code == CEL_OK)
        code = read_claims(conn, owner, &list, err);
    for (size_t i = 0; code == CEL_OK && i < list.count; i++) {
        bool lost = !known || bsearch(list.ids + i, accepted, accepted_count, sizeof *accepted,
                                      compare_ids);
        code = return_claim(conn, list.ids[i], lost, err);
    }
    if (code == CEL_OK)
        code = run_with_ids(conn, delete_consumers, owner, 0, err);
    if (code == CEL_OK)
        code = run_with_ids(conn, delete_owner, owner, 0, err);
    if (code == CEL_OK)
        *returned = list.count;
    cel__free(list.ids);
    cel__free(accepted);
    return code;
}
