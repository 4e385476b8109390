/* poison.c - see poison.h. */
#include "worker/poison.h"

/* FNV-1a */
static uint64_t hash_of(cel_view id)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < id.len; i++)
        hash = (hash ^ (unsigned char)id.ptr[i]) * 1099511628211u;
    return hash;
}

int64_t cel__poison_note(cel_poison *poison, cel_view id)
{
    uint64_t hash = hash_of(id);

    for (size_t i = 0; i < CEL_POISON_MAX; i++) {
        if (poison->entries[i].count > 0 && poison->entries[i].hash == hash)
            return ++poison->entries[i].count;
    }
    poison->entries[poison->next].hash = hash;
    poison->entries[poison->next].count = 1;
    poison->next = (poison->next + 1) % CEL_POISON_MAX;
    return 1;
}
