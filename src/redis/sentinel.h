/* sentinel.h - asks the sentinels where the master is. One loop. */
#ifndef CEL_REDIS_SENTINEL_H
#define CEL_REDIS_SENTINEL_H

#include "redis/conn.h"

typedef struct cel__sentinel cel__sentinel;

/* Asks one after the other of url->sentinels until one knows. `found` runs once, not before the
 * return: with the master's address (views), or with `err` (CEL_ECANCELED after a cancel); the
 * question is gone then. Borrows url, clock and log until then. CEL_ENOMEM; CEL_ECONFIG if nobody
 * has named the master. */
cel_code
cel__sentinel_ask(cel__sentinel **out,
                  const cel__redis_options *options,
                  void (*found)(void *user, const char *host, int port, const cel_error *err),
                  void *user,
                  cel_error *err);

/* Ends the question soon. */
void cel__sentinel_cancel(cel__sentinel *sentinel);

#endif
