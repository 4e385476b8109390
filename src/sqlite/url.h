/* url.h - reading sqlite:/// URLs. Pure; any thread.
 *
 *   sqlite:///relative.db   sqlite:////absolute/path.db
 * sqlite:///x.db?synchronous=normal&lease_ms=60000
 *
 * The path may be percent-encoded. Options:
 *   synchronous     off, normal or full (the default): see cel_synchronous in engine.h
 *   busy_ms         how long a transaction waits for other processes, 1 to 600000; default
 * 10000 lease_ms        how long a consumer's lease lasts, 100 to 86400000; default 60000
 *   max_page_count  the size at which the file is full, in pages of 4 KiB; default none */
#ifndef CEL_SQLITE_URL_H
#define CEL_SQLITE_URL_H

#include <stdint.h>

#include "celeriac/error.h"

typedef struct cel__sqlite_url {
    char
        *path; /* owned, free with cel__free(); as written: relative to the working directory */
    int synchronous; /* a cel_synchronous */
    int64_t busy_ms;
    int64_t lease_ms;       /* 0: not given */
    int64_t max_page_count; /* 0: not given */
} cel__sqlite_url;

/* Fills in *out, whose path the caller owns. CEL_ECONFIG names what is wrong; CEL_ENOMEM. */
cel_code cel__sqlite_url_parse(cel__sqlite_url *out, const char *url, cel_error *err);

#endif
