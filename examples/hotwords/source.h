/* source.h - where chat records come from when not from a folder: the URL of a table.
 *
 *     mysql://user:password@host:port/database/table?date=day&level=lv&text=msg
 *
 * `mariadb://` is the same. Parts are percent-encoded where they hold `/ @ : ? & %`. What may be left
 * out: the user, the password, host and port (localhost:3306), and the parameters:
 *
 *     date, level, text    names of the columns; default: the same
 *     socket               path of the server's Unix socket, in place of host and port
 *     ca                   file of the authority whose certificate the server must have: asks for TLS
 *     connect_timeout      seconds until it must have answered; default 10
 *     read_timeout         seconds it may be silent; default 60 */
#ifndef HW_SOURCE_H
#define HW_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "hw_error.h"

typedef struct hw_source {
    const char *user, *password; /* NULL: none */
    const char *host;
    unsigned port;
    const char *socket; /* NULL: host and port */
    const char *ca;     /* NULL: no TLS */
    const char *database, *table;
    const char *date, *level, *text;        /* the columns */
    unsigned connect_timeout, read_timeout; /* seconds, 1 to 86400 */
    char *shown;   /* the URL for people: without the password and the parameters */
    char *storage; /* private */
    size_t storage_size;
} hw_source;

/* True if `data` is meant as the URL of a table; if not, it is a folder. */
bool hw_source_is_url(const char *data);

/* Takes a URL apart. All strings belong to *out, which the caller frees with hw_source_done().
 * HW_EINVAL: the message says what is wrong, and shows nothing that could be of a password. */
hw_code hw_source_read(hw_source *out, const char *url, hw_error *err);

/* Frees what `source` owns. NULL and a zeroed one are no-ops. */
void hw_source_done(hw_source *source);

/* Puts in *out the URL with `**` in place of its password, for people; what is no URL, as it is. Of a URL
 * that is none only the scheme. The caller frees it with free(). */
hw_code hw_source_mask(char **out, const char *data, hw_error *err);

#endif
