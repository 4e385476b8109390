/* mariadb_link.h - a connection to a MariaDB or MySQL server that can be stopped at any time. */
#ifndef HW_MARIADB_LINK_H
#define HW_MARIADB_LINK_H

#include <mysql.h>
#include <stdbool.h>

#include "buf.h"
#include "hw_error.h"
#include "source.h"

typedef struct hw_link {
    MYSQL *mysql;
    const hw_source *source;  /* borrowed */
    bool (*stop)(void *user); /* asked before and during each wait; may be NULL */
    void *user;
    bool stopped; /* stop() has returned true */
    bool silent;  /* the server has been silent for longer than allowed */
} hw_link;

/* Connects; `stop` may be NULL. Borrows `source` until hw_link_close(), which is due after a failure,
 * too. The functions below fail as mariadb.h says, and with HW_ECANCELED when stop() has returned
 * true; after a failure there is only closing. */
hw_code hw_link_open(hw_link *link,
                     const hw_source *source,
                     bool (*stop)(void *user),
                     void *user,
                     hw_error *err);

/* Ends the connection without reading what is still to come. NULL members are no-ops. Statements are
 * freed after it, with mysql_stmt_close(), which then does no I/O. */
void hw_link_close(hw_link *link);

/* Puts a prepared statement in *out, which must be NULL; the caller frees it with
 * mysql_stmt_close(), also after a failure. */
hw_code hw_link_prepare(hw_link *link, MYSQL_STMT **out, const hw_buf *sql, hw_error *err);

hw_code hw_link_execute(hw_link *link, MYSQL_STMT *stmt, hw_error *err);

/* Reads the next row into what is bound; *got is 0, MYSQL_NO_DATA or MYSQL_DATA_TRUNCATED. */
hw_code hw_link_fetch(hw_link *link, MYSQL_STMT *stmt, int *got, hw_error *err);

/* Runs SQL that has no result. */
hw_code hw_link_run(hw_link *link, const char *sql, size_t len, hw_error *err);

/* Fails because of what the server has said about `stmt`, or, if that is NULL, about the connection. */
hw_code hw_link_fail(hw_link *link, MYSQL_STMT *stmt, hw_error *err);

/* Appends to SQL. Names are quoted, so that they may be any. False: out of memory. */
bool hw_sql_add(hw_buf *sql, const char *text);
bool hw_sql_add_name(hw_buf *sql, const char *name);
bool hw_sql_add_table(hw_buf *sql, const hw_source *source);

#endif
