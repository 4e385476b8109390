/* hash.h - uthash on our allocator, which may fail: then the entry's member `lost` becomes
 * true and the entry is not in the table. Every struct in such a table has that member,
 * false before it is added. */
#ifndef CEL_BACKEND_HASH_H
#define CEL_BACKEND_HASH_H

#include "core/mem.h"

#define HASH_NONFATAL_OOM          1
#define uthash_malloc(size)        cel__malloc(size)
#define uthash_free(ptr, size)     cel__free(ptr)
#define uthash_nonfatal_oom(entry) ((entry)->lost = true)

#include <uthash.h>
#include <utlist.h>

#endif
