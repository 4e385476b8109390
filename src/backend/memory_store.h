/* memory_store.h - what memory:// holds: results, groups and chords in hash tables.
 *
 * Plain data without loop, clock or lock: the caller (memory.c) holds a mutex around every
 * call. It says what the stored things mean (what may replace what, which part completes a
 * chord); sqlite.c says the same in SQL. */
#ifndef CEL_BACKEND_MEMORY_STORE_H
#define CEL_BACKEND_MEMORY_STORE_H

#include "backend/backend.h"
#include "backend/ready.h"

typedef struct cel__memory_store cel__memory_store;

/* NULL when out of memory. */
cel__memory_store *cel__memory_store_new(void);
void cel__memory_store_free(cel__memory_store *store);

/* As ops->store. `expires_ms` is the wall time at which the record may go; 0: never.
 * *changed: whether it was stored. On failure (CEL_ENOMEM) nothing has changed; so in all
 * functions here. */
cel_code cel__memory_store_put(cel__memory_store *store,
                               const cel_backend_record *record,
                               int64_t expires_ms,
                               bool *changed,
                               cel_error *err);

/* A view valid until the store changes; absent if there is none. */
cel_view cel__memory_store_get(const cel__memory_store *store, cel_view task_id);
void cel__memory_store_forget(cel__memory_store *store, cel_view task_id);

void cel__memory_store_count(const cel__memory_store *store,
                             cel_view gid,
                             int64_t *ready,
                             int64_t *succeeded);

/* Sets (or with an absent document deletes) and gets a group's saved tuple. */
cel_code cel__memory_store_save(cel__memory_store *store,
                                cel_view gid,
                                cel_view document,
                                int64_t expires_ms,
                                cel_error *err);
cel_view cel__memory_store_saved(const cel__memory_store *store, cel_view gid);

/* As ops->chord_*. `owner` names the completer, `now_ms` when (wall). *completed: this part
 * did it, and `ready` holds the texts. */
cel_code cel__memory_store_open(cel__memory_store *store,
                                cel_view gid,
                                int64_t size,
                                int64_t now_ms,
                                int64_t expires_ms,
                                cel_error *err);

void cel__memory_store_grow(cel__memory_store *store, cel_view gid, int64_t count);

typedef struct cel__memory_moment {
    uint64_t owner;
    int64_t now_ms;
    int64_t expires_ms;
} cel__memory_moment;

cel_code cel__memory_store_part(cel__memory_store *store,
                                const cel_chord_part *part,
                                const cel__memory_moment *moment,
                                cel__ready *ready,
                                bool *completed,
                                cel_error *err);
void cel__memory_store_fired(cel__memory_store *store, cel_view gid);

/* Claims one chord that is complete, not done, and whose completer is gone or silent since
 * before `before_ms`. *found tells whether there was one. */
cel_code cel__memory_store_claim(cel__memory_store *store,
                                 const cel__memory_moment *moment,
                                 int64_t before_ms,
                                 bool (*alive)(void *user, uint64_t owner),
                                 void *user,
                                 cel__ready *ready,
                                 bool *found,
                                 cel_error *err);

/* Deletes what has expired, at most `limit` records of each kind; gives how many. */
size_t cel__memory_store_expire(cel__memory_store *store, int64_t now_ms, size_t limit);

#endif
