/* conn.h - one connection to an SQLite file: opening, transactions, cached statements, errors.
 *
 * Used by one thread at a time. */
#ifndef CEL_SQLITE_CONN_H
#define CEL_SQLITE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "celeriac/error.h"
#include "sqlite/url.h"

typedef struct cel__conn_stmt {
    const char *sql; /* the literal's address; NULL: a free place */
    sqlite3_stmt *stmt;
} cel__conn_stmt;

typedef struct cel__conn {
    sqlite3 *db;
    cel__conn_stmt *stmts; /* open addressing; stmt_cap is a power of two */
    size_t stmt_count, stmt_cap;
    int synchronous; /* what the connection has now: a cel_synchronous */
    int64_t busy_ms;
    int64_t busy_since_ms; /* when the wait for a lock began */
    int fatal; /* an SQLite code that concerns the whole transaction, seen since begin; else 0
                */
    int wal_pages; /* of the write-ahead log after the last commit */
} cel__conn;

/* Opens `path`, creating the file (mode 0600) and its schema if there is none. Errors as
 * cel__engine_open(). */
cel_code
cel__conn_open(cel__conn *conn, const char *path, const cel__sqlite_url *url, cel_error *err);
void cel__conn_close(cel__conn *conn);

/* Begins a transaction: for writing (takes the lock, waiting up to busy_ms) or for reading. */
cel_code cel__conn_begin(cel__conn *conn, bool write, int synchronous, cel_error *err);
cel_code cel__conn_commit(cel__conn *conn, cel_error *err);
void cel__conn_rollback(cel__conn *conn);

/* As their namesakes in engine.h. */
sqlite3_stmt *cel__conn_stmt_get(cel__conn *conn, const char *sql, cel_error *err);
cel_code cel__conn_step(cel__conn *conn, sqlite3_stmt *stmt, bool *row, cel_error *err);
cel_code cel__conn_fail(cel__conn *conn, int rc, cel_error *err);

/* Runs SQL without parameters or results. */
cel_code cel__conn_exec(cel__conn *conn, const char *sql, cel_error *err);

/* Gives the one integer that `sql` yields. */
cel_code cel__conn_int(cel__conn *conn, const char *sql, int64_t *out, cel_error *err);

#endif
