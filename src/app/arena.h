/* arena.h - memory that is given back all at once, for texts that live as long as a batch or a request.
 *
 * Zero-initialised it is empty. What it has given never moves. One thread. */
#ifndef CEL_APP_ARENA_H
#define CEL_APP_ARENA_H

#include <stddef.h>

#include "core/view.h"

typedef struct cel__arena {
    struct cel__arena_block *blocks; /* owned; the newest first */
} cel__arena;

/* Returns `size` bytes, aligned for anything; NULL when out of memory. */
void *cel__arena_alloc(cel__arena *arena, size_t size);

/* Returns a copy with a NUL behind it (not counted); the absent view if out of memory or given one. */
cel_view cel__arena_copy(cel__arena *arena, cel_view text);

/* Forgets what was given, keeping one block for reuse. */
void cel__arena_reset(cel__arena *arena);

/* Frees everything; the arena is empty again. */
void cel__arena_done(cel__arena *arena);

#endif
