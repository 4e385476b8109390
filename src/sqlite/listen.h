/* listen.h - who in this process waits for which event of one engine. Loop thread. */
#ifndef CEL_SQLITE_LISTEN_H
#define CEL_SQLITE_LISTEN_H

#include "sqlite/bell.h"
#include "sqlite/engine.h"

typedef struct cel__listen_list {
    cel_engine_listener *first, *last;
} cel__listen_list;

typedef struct cel__listeners {
    cel__listen_list *buckets; /* owned; by hash; bucket_count is a power of two or 0 */
    size_t bucket_count, count;
    cel__listen_list due; /* those to be woken */
    cel__bell *bell;      /* borrowed */
    uv_handle_t *keep;    /* borrowed: keeps the loop alive while somebody listens */
} cel__listeners;

void cel__listeners_done(cel__listeners *listeners);

/* Marks who listens for the hash, or everybody, as due; then cel__listeners_wake() calls them.
 * A listener may end itself and others meanwhile. */
void cel__listeners_mark(cel__listeners *listeners, uint64_t hash);
void cel__listeners_mark_all(cel__listeners *listeners);
void cel__listeners_wake(cel__listeners *listeners);

cel_code cel__listeners_add(cel_engine_listener **out,
                            cel__listeners *listeners,
                            uint64_t hash,
                            void (*woken)(void *user),
                            void *user,
                            cel_error *err);

#endif
