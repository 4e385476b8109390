/* poison.h - how often a task has cost a process, where the broker does not count deliveries.
 *
 * A short memory of this worker's own: the oldest of CEL_POISON_MAX ids is forgotten first. Ids are
 * kept as hashes; two that fall together only give up sooner. Pure; one thread. */
#ifndef CEL_WORKER_POISON_H
#define CEL_WORKER_POISON_H

#include <stddef.h>
#include <stdint.h>

#include "core/view.h"

#define CEL_POISON_MAX 256

typedef struct cel_poison {
    struct {
        uint64_t hash;
        int64_t count; /* 0: free */
    } entries[CEL_POISON_MAX];
    size_t next; /* to be overwritten */
} cel_poison;

/* Notes one more process lost to the task; returns how many that makes. */
int64_t cel__poison_note(cel_poison *poison, cel_view id);

#endif
