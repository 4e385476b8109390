/* memory.c - see memory.h. uthash keeps the order of insertion, which is that of age. */
#include "dispatch/memory.h"

#include "core/mem.h"

#define HASH_NONFATAL_OOM          1
#define uthash_malloc(size)        cel__malloc(size)
#define uthash_free(ptr, size)     cel__free(ptr)
#define uthash_nonfatal_oom(entry) ((entry)->lost = true)
#include <uthash.h>

typedef struct cel_dispatch_memory_entry {
    UT_hash_handle hh;
    size_t key_len, len;
    bool lost;    /* there was no memory to put it into the table */
    char bytes[]; /* key, document */
} entry_t;

static void drop(cel_dispatch_memory *memory, entry_t *entry)
{
    HASH_DEL(memory->entries, entry);
    cel__free(entry);
}

static entry_t *find(const cel_dispatch_memory *memory, cel_view key)
{
    entry_t *entry;

    HASH_FIND(hh, memory->entries, key.ptr, key.len, entry);
    return entry;
}

void cel__dispatch_memory_put(cel_dispatch_memory *memory, cel_view key, cel_view document)
{
    entry_t *old = find(memory, key);
    entry_t *entry = cel__calloc(1, sizeof *entry + key.len + document.len);

    if (!entry)
        return;
    if (old)
        drop(memory, old);
    memcpy(entry->bytes, key.ptr, key.len);
    memcpy(entry->bytes + key.len, document.ptr, document.len);
    entry->key_len = key.len;
    entry->len = document.len;
    HASH_ADD_KEYPTR(hh, memory->entries, entry->bytes, key.len, entry);
    if (entry->lost)
        cel__free(entry);
    else if (HASH_COUNT(memory->entries) > CEL_MEMORY_MAX)
        drop(memory, memory->entries);
}

cel_view cel__dispatch_memory_get(const cel_dispatch_memory *memory, cel_view key)
{
    const entry_t *entry = find(memory, key);

    return entry ? (cel_view){entry->bytes + entry->key_len, entry->len} : (cel_view){NULL, 0};
}

void cel__dispatch_memory_done(cel_dispatch_memory *memory)
{
    entry_t *entry, *next;

    HASH_ITER(hh, memory->entries, entry, next)
    {
        drop(memory, entry);
    }
}
