/* memory.h - what a dispatcher without a result store remembers of its latest requests. One thread. */
#ifndef CEL_DISPATCH_MEMORY_H
#define CEL_DISPATCH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/view.h"

#define CEL_MEMORY_MAX 10000 /* requests; the oldest is forgotten for the newest */

typedef struct cel_dispatch_memory {
    struct cel_dispatch_memory_entry *entries; /* owned: uthash, the oldest first */
} cel_dispatch_memory;

/* Keeps a copy of the document under the key, in place of an older one. Without memory nothing is kept. */
void cel__dispatch_memory_put(cel_dispatch_memory *memory, cel_view key, cel_view document);

/* Returns a view of the document, valid until the next put; absent if there is none. */
cel_view cel__dispatch_memory_get(const cel_dispatch_memory *memory, cel_view key);

void cel__dispatch_memory_done(cel_dispatch_memory *memory);

#endif
