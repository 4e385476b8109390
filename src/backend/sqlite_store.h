/* sqlite_store.h - what the embedded store does in SQL: memory_store.h's twin.
 *
 * Every function runs on the engine's thread inside its transaction, and undoes nothing:
 * when one fails the engine takes back what the operation did. None leaves a statement open:
 * that would keep the engine's connection in an old state of the file. */
#ifndef CEL_BACKEND_SQLITE_STORE_H
#define CEL_BACKEND_SQLITE_STORE_H

#include "backend/backend.h"
#include "backend/ready.h"
#include "sqlite/engine.h"

#define CEL_CHORD_DONE_KEPT_MS                                                                 \
    ((int64_t)86400000) /* a done chord's memory where results stay for ever */

/* When an operation was submitted, and until when it makes records stay. */
typedef struct cel__sqlite_moment {
    int64_t now_ms;     /* wall */
    int64_t expires_ms; /* wall; CEL_MAX_MS: never */
    int64_t enough_ms;  /* a counter's row that stays until then need not be refreshed */
} cel__sqlite_moment;

cel_code cel__sqlite_put(cel_engine *engine,
                         const cel_backend_record *record,
                         const cel__sqlite_moment *moment,
                         cel_error *err);

/* Appends the document to `text`, if there is one. */
cel_code cel__sqlite_get(
    cel_engine *engine, cel_view task_id, cel__buf *text, bool *found, cel_error *err);
cel_code cel__sqlite_forget(cel_engine *engine, cel_view task_id, cel_error *err);

cel_code cel__sqlite_count(
    cel_engine *engine, cel_view gid, int64_t *ready, int64_t *succeeded, cel_error *err);
cel_code cel__sqlite_save(cel_engine *engine,
                          cel_view gid,
                          cel_view document,
                          const cel__sqlite_moment *moment,
                          cel_error *err);
cel_code cel__sqlite_saved(
    cel_engine *engine, cel_view gid, cel__buf *text, bool *found, cel_error *err);

/* Takes the group's counts down by one result that went. */
cel_code cel__sqlite_uncount(cel_engine *engine, cel_view gid, cel_view status, cel_error *err);

/* ---- chords (sqlite_chord.c) ---- */
cel_code cel__sqlite_chord_open(cel_engine *engine,
                                cel_view gid,
                                int64_t size,
                                const cel__sqlite_moment *moment,
                                cel_error *err);

cel_code cel__sqlite_chord_grow(cel_engine *engine,
                                cel_view gid,
                                int64_t count,
                                const cel__sqlite_moment *moment,
                                cel_error *err);

/* *completed: this part did it; `ready` holds the texts then. */
cel_code cel__sqlite_chord_part(cel_engine *engine,
                                const cel_chord_part *part,
                                const cel__sqlite_moment *moment,
                                cel__ready *ready,
                                bool *completed,
                                cel_error *err);

/* *more: parts are left to clear. */
cel_code cel__sqlite_chord_done(cel_engine *engine,
                                cel_view gid,
                                const cel__sqlite_moment *moment,
                                bool *more,
                                cel_error *err);

/* Claims one chord that is complete, not done, and whose completer is gone or silent since
 * before `before_ms`. */
cel_code cel__sqlite_chord_claim(cel_engine *engine,
                                 const cel__sqlite_moment *moment,
                                 int64_t before_ms,
                                 cel__ready *ready,
                                 bool *found,
                                 cel_error *err);

/* Deletes up to a slice of the parts of chords that are done; *more: there is another slice. */
cel_code cel__sqlite_chord_clear(cel_engine *engine, bool *more, cel_error *err);

/* ---- expiry (sqlite_expire.c) ---- */

#define CEL_SQLITE_EXPIRING 4 /* tables */

/* Where the walk through the tables is; zero-initialised: at the beginning. */
typedef struct cel__sqlite_walk {
    int table;
    bool roaming;
    int64_t front;                       /* the last row seen from the table's front */
    int64_t cursor[CEL_SQLITE_EXPIRING]; /* the last row seen when roaming */
} cel__sqlite_walk;

/* Looks at a slice of rows and deletes those that have expired. *more: the walk is not over. */
cel_code cel__sqlite_expire(
    cel_engine *engine, cel__sqlite_walk *walk, int64_t now_ms, bool *more, cel_error *err);

/* ---- shared by the three ---- */
void cel__sqlite_bind(
    sqlite3_stmt *stmt,
    int column,
    cel_view view); /* absent: NULL. Borrows it until the statement is reset */
cel_view cel__sqlite_column(sqlite3_stmt *stmt, int column); /* NULL: absent */

/* Steps a statement that gives no row. */
cel_code cel__sqlite_run(cel_engine *engine, sqlite3_stmt *stmt, cel_error *err);

#endif
