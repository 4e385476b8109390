/* conn.c - one connection to an SQLite file.
 *
 * The file is WAL: readers and the one writer do not wait for each other. A writer that finds
 * the lock taken polls it: SQLite's own busy handler would sleep for milliseconds at once,
 * which a round trip of half a millisecond cannot afford.
 *
 * The file itself is never opened by us while a connection to it exists in this process:
 * closing any descriptor of it would drop SQLite's POSIX locks. */
#include "sqlite/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "sqlite/engine.h"
#include "sqlite/schema.h"

#define FIRST_STMTS 64

static int64_t mono_ms(void)
{
    return cel__clock_mono_ms(cel__clock_system());
}

/* SQLite asks whether to try again for the lock. */
static int wait_for_lock(void *user, int tries)
{
    cel__conn *conn = user;
    long us = tries < 4 ? 30 : tries < 40 ? 100 : tries < 400 ? 500 : 2000;

    if (tries == 0)
        conn->busy_since_ms = mono_ms();
    if (mono_ms() - conn->busy_since_ms >= conn->busy_ms)
        return 0;
    struct timespec pause = {0, us * 1000};
    nanosleep(&pause, NULL);
    return 1;
}

static bool concerns_all(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_NOMEM:
        return true;
    default:
        return false;
    }
}

cel_code cel__conn_fail(cel__conn *conn, int rc, cel_error *err)
{
    const char *text = conn->db && sqlite3_errcode(conn->db) != SQLITE_OK
                           ? sqlite3_errmsg(conn->db)
                           : sqlite3_errstr(rc);

    if (concerns_all(rc) && !conn->fatal)
        conn->fatal = rc;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return cel_error_set(err, CEL_EFULL, "sqlite: %s", text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return cel_error_set(err, CEL_EBUSY, "sqlite: %s", text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return cel_error_set(err, CEL_EPROTO, "sqlite: %s", text);
    case SQLITE_NOMEM:
        return cel_error_set(err, CEL_ENOMEM, "sqlite: out of memory");
    case SQLITE_TOOBIG:
        return cel_error_set(err, CEL_EINVAL, "sqlite: %s", text);
    default:
        /* The shared memory beside the file could not grow: SQLite has no word of its own for it. */
        if (rc == SQLITE_IOERR_SHMSIZE ||
            (conn->db && sqlite3_system_errno(conn->db) == ENOSPC))
            return cel_error_set(err, CEL_EFULL, "sqlite: the disk is full (code %d)", rc);
        return cel_error_set(err, CEL_EIO, "sqlite: %s (code %d)", text, rc);
    }
}

cel_code cel__conn_exec(cel__conn *conn, const char *sql, cel_error *err)
{
    int rc = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? CEL_OK : cel__conn_fail(conn, rc, err);
}

cel_code cel__conn_int(cel__conn *conn, const char *sql, int64_t *out, cel_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) {
        cel_code code = cel__conn_fail(conn, rc == SQLITE_DONE ? SQLITE_ERROR : rc, err);
        sqlite3_finalize(stmt);
        return code;
    }
    *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return CEL_OK;
}

/* ---- statements ---- */

static size_t stmt_place(const cel__conn_stmt *stmts, size_t cap, const char *sql)
{
    size_t i = (size_t)(((uint64_t)(uintptr_t)sql * 0x9E3779B97F4A7C15u) >> 32) & (cap - 1);

    while (stmts[i].sql && stmts[i].sql != sql)
        i = (i + 1) & (cap - 1);
    return i;
}

static bool grow_stmts(cel__conn *conn)
{
    size_t cap = conn->stmt_cap ? conn->stmt_cap * 2 : FIRST_STMTS;
    cel__conn_stmt *stmts = cel__calloc(cap, sizeof *stmts);

    if (!stmts)
        return false;
    for (size_t i = 0; i < conn->stmt_cap; i++)
        if (conn->stmts[i].sql)
            stmts[stmt_place(stmts, cap, conn->stmts[i].sql)] = conn->stmts[i];
    cel__free(conn->stmts);
    conn->stmts = stmts;
    conn->stmt_cap = cap;
    return true;
}

sqlite3_stmt *cel__conn_stmt_get(cel__conn *conn, const char *sql, cel_error *err)
{
    if ((conn->stmt_count + 1) * 2 > conn->stmt_cap && !grow_stmts(conn)) {
        conn->fatal = SQLITE_NOMEM;
        cel_error_set(err, CEL_ENOMEM, "no memory for a statement");
        return NULL;
    }
    cel__conn_stmt *place = conn->stmts + stmt_place(conn->stmts, conn->stmt_cap, sql);
    if (place->sql) {
        sqlite3_reset(place->stmt);
        sqlite3_clear_bindings(place->stmt);
        return place->stmt;
    }
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK) {
        cel__conn_fail(conn, rc, err);
        return NULL;
    }
    *place = (cel__conn_stmt){sql, stmt};
    conn->stmt_count++;
    return stmt;
}

cel_code cel__conn_step(cel__conn *conn, sqlite3_stmt *stmt, bool *row, cel_error *err)
{
    int rc = sqlite3_step(stmt);

    if (row)
        *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW && row)
        return CEL_OK;
    if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        sqlite3_reset(stmt);
        return CEL_OK;
    }
    cel_code code = cel__conn_fail(conn, rc, err);
    sqlite3_reset(stmt);
    return code;
}

/* ---- transactions ---- */

static cel_code run_cached(cel__conn *conn, const char *sql, cel_error *err)
{
    sqlite3_stmt *stmt = cel__conn_stmt_get(conn, sql, err);

    return stmt ? cel__conn_step(conn, stmt, NULL, err) : CEL_ENOMEM;
}

static cel_code set_synchronous(cel__conn *conn, int synchronous, cel_error *err)
{
    static const char *const pragmas[] = {"PRAGMA synchronous=off", "PRAGMA synchronous=normal",
                                          "PRAGMA synchronous=full"};

    if (synchronous == conn->synchronous)
        return CEL_OK;
    cel_code code = cel__conn_exec(conn, pragmas[synchronous], err);
    if (code == CEL_OK)
        conn->synchronous = synchronous;
    return code;
}

cel_code cel__conn_begin(cel__conn *conn, bool write, int synchronous, cel_error *err)
{
    static const char begin_write[] = "BEGIN IMMEDIATE";
    static const char begin_read[] = "BEGIN";

    conn->fatal = 0;
    if (write) {
        cel_code code = set_synchronous(conn, synchronous, err);
        if (code != CEL_OK)
            return code;
    }
    return run_cached(conn, write ? begin_write : begin_read, err);
}

cel_code cel__conn_commit(cel__conn *conn, cel_error *err)
{
    static const char commit[] = "COMMIT";

    return run_cached(conn, commit, err);
}

void cel__conn_rollback(cel__conn *conn)
{
    /* Statements that an error left half-way would keep the transaction's locks. */
    for (size_t i = 0; i < conn->stmt_cap; i++)
        if (conn->stmts[i].sql)
            sqlite3_reset(conn->stmts[i].stmt);
    if (!sqlite3_get_autocommit(conn->db))
        sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- opening ---- */

/* SQLite would create it for all to read. O_EXCL: if it exists it is not touched here. */
static cel_code create_private(const char *path, cel_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
        return CEL_OK;
    }
    if (errno == EEXIST)
        return CEL_OK;
    if (errno == ENOSPC || errno == EDQUOT)
        return cel_error_set(err, CEL_EFULL, "'%.150s': %s", path, strerror(errno));
    return cel_error_set(err, CEL_EIO, "'%.150s': %s", path, strerror(errno));
}

static cel_code check_identity(cel__conn *conn, const char *path, bool *fresh, cel_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    cel_code code = cel__conn_int(conn, "PRAGMA application_id", &application, err);

    if (code == CEL_OK)
        code = cel__conn_int(conn, "PRAGMA user_version", &version, err);
    if (code == CEL_OK)
        code = cel__conn_int(conn, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (code != CEL_OK)
        return code;
    *fresh = application == 0 && version == 0 && tables == 0;
    if (*fresh)
        return CEL_OK;
    if (application != CEL_SCHEMA_APPLICATION)
        return cel_error_set(err, CEL_EPROTO,
                             "'%.120s' is a database of another application, not of Celeriac",
                             path);
    if (version > CEL_SCHEMA_VERSION)
        return cel_error_set(err, CEL_EPROTO,
                             "'%.120s' has schema version %lld; this Celeriac knows up to %d",
                             path, (long long)version, CEL_SCHEMA_VERSION);
    return CEL_OK;
}

/* In a transaction, or another process that creates the schema just now would be seen half-way. */
static cel_code look_at_file(cel__conn *conn, const char *path, bool *fresh, cel_error *err)
{
    cel_code code = cel__conn_exec(conn, "BEGIN", err);

    if (code == CEL_OK)
        code = check_identity(conn, path, fresh, err);
    if (!sqlite3_get_autocommit(conn->db))
        sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

/* Two processes may create the file at once: the one that gets the lock creates the schema, the
 * other finds it. */
static cel_code create_schema(cel__conn *conn, const char *path, cel_error *err)
{
    bool fresh;
    cel_code code = cel__conn_exec(conn, "BEGIN IMMEDIATE", err);

    if (code != CEL_OK)
        return code;
    code = check_identity(conn, path, &fresh, err);
    if (code == CEL_OK && fresh)
        code = cel__conn_exec(conn, cel__schema_sql, err);
    if (code == CEL_OK)
        code = cel__conn_exec(conn, "COMMIT", err);
    if (code != CEL_OK)
        cel__conn_rollback(conn);
    return code;
}

/* Of a file that an earlier build has made. */
static cel_code complete_schema(cel__conn *conn, cel_error *err)
{
    int64_t there = 0;
    cel_code code = cel__conn_int(conn,
                                  "SELECT count(*) FROM sqlite_schema WHERE "
                                  "name='" CEL_SCHEMA_LATER_TABLE "'",
                                  &there, err);

    return code == CEL_OK && there == 0 ? cel__conn_exec(conn, cel__schema_later_sql, err)
                                        : code;
}

/* Changing the journal mode takes an exclusive lock, for which SQLite does not ask the busy
 * handler. */
static cel_code set_wal(cel__conn *conn, cel_error *err)
{
    int64_t since = mono_ms();

    for (int tries = 0;; tries++) {
        int rc = sqlite3_exec(conn->db, "PRAGMA journal_mode=wal", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            return CEL_OK;
        if ((rc & 0xff) != SQLITE_BUSY || mono_ms() - since >= conn->busy_ms)
            return cel__conn_fail(conn, rc, err);
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
}

static int note_wal_size(void *user, sqlite3 *db, const char *name, int pages)
{
    cel__conn *conn = user;

    (void)db, (void)name;
    conn->wal_pages = pages;
    return SQLITE_OK;
}

static cel_code
prepare_file(cel__conn *conn, const char *path, const cel__sqlite_url *url, cel_error *err)
{
    bool fresh;
    char pragma[80];
    cel_code code = look_at_file(conn, path, &fresh, err);

    if (code == CEL_OK)
        code = set_wal(conn, err);
    if (code == CEL_OK)
        code = cel__conn_exec(conn, "PRAGMA synchronous=normal", err);
    if (code == CEL_OK && fresh)
        code = create_schema(conn, path, err);
    else if (code == CEL_OK)
        code = complete_schema(conn, err);
    conn->synchronous = CEL_SYNC_NORMAL;
    /* Checkpoints are the engine's. The log of a burst is cut back to 64 MB. */
    sqlite3_wal_hook(conn->db, note_wal_size, conn);
    if (code == CEL_OK)
        code = cel__conn_exec(conn,
                              "PRAGMA journal_size_limit=67108864; PRAGMA "
                              "cache_size=-4096; PRAGMA temp_store=memory",
                              err);
    if (code == CEL_OK && url->max_page_count > 0) {
        sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA max_page_count=%lld",
                         (long long)url->max_page_count);
        code = cel__conn_exec(conn, pragma, err);
    }
    return code;
}

cel_code
cel__conn_open(cel__conn *conn, const char *path, const cel__sqlite_url *url, cel_error *err)
{
    cel_error why = {0};

    *conn = (cel__conn){.busy_ms = url->busy_ms};
    cel_code code = create_private(path, err);
    if (code != CEL_OK)
        return code;
    int rc =
        sqlite3_open_v2(path, &conn->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        code = cel__conn_fail(conn, rc, &why);
    } else {
        sqlite3_extended_result_codes(conn->db, 1);
        sqlite3_busy_handler(conn->db, wait_for_lock, conn);
        code = prepare_file(conn, path, url, &why);
    }
    if (code == CEL_OK)
        return CEL_OK;
    cel__conn_close(conn);
    if (strstr(why.message, path))
        return cel_error_set(err, code, "%s", why.message);
    return cel_error_set(err, code, "'%.120s': %s", path, why.message);
}

void cel__conn_close(cel__conn *conn)
{
    for (size_t i = 0; i < conn->stmt_cap; i++)
        sqlite3_finalize(conn->stmts[i].stmt);
    cel__free(conn->stmts);
    sqlite3_close(conn->db);
    *conn = (cel__conn){0};
}
