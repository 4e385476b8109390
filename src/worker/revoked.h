/* revoked.h - ids of tasks that must not be run: a bounded set, as Celery's.
 *
 * At most `max` ids, of which the oldest go first; none is kept for longer than expires_ms. Ids of
 * more than CEL_REVOKED_ID_MAX bytes are nobody's and not kept. Pure; one thread. */
#ifndef CEL_WORKER_REVOKED_H
#define CEL_WORKER_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

#define CEL_REVOKED_MAX        50000
#define CEL_REVOKED_EXPIRES_MS (3 * 3600 * 1000)
#define CEL_REVOKED_ID_MAX     255

typedef struct cel_revoked cel_revoked;

/* An empty set; freed with cel__revoked_free(). CEL_ENOMEM. */
cel_code cel__revoked_new(cel_revoked **out, size_t max, int64_t expires_ms, cel_error *err);
void cel__revoked_free(cel_revoked *revoked); /* NULL is a no-op */

/* Adds the id as of `since_ms` (wall time, at most `now_ms`), or renews it. False if there is no
 * memory for it. */
bool cel__revoked_add(cel_revoked *revoked, cel_view id, int64_t since_ms, int64_t now_ms);

bool cel__revoked_has(const cel_revoked *revoked, cel_view id, int64_t now_ms);

/* Drops what has run out. */
void cel__revoked_purge(cel_revoked *revoked, int64_t now_ms);

size_t cel__revoked_count(const cel_revoked *revoked);

/* Calls `each` for all, in the order in which they were added. */
void cel__revoked_each(const cel_revoked *revoked,
                       void (*each)(void *user, cel_view id, int64_t since_ms),
                       void *user);

/* Appends the set, and reads it back, as a JSON object of ids and wall times. What is read is added.
 * CEL_EPROTO, CEL_ENOMEM. */
void cel__revoked_dump(cel__buf *buf, const cel_revoked *revoked);
cel_code cel__revoked_load(cel_revoked *revoked, cel_view text, int64_t now_ms, cel_error *err);

#endif
