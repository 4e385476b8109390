/* mem.h - the allocator of the library, with rehearsed failure. Any thread. */
#ifndef CEL_CORE_MEM_H
#define CEL_CORE_MEM_H

#include <stddef.h>

/* As malloc() and company. All return NULL when out of memory or when cel__mem_fail_at()
 * says so. */
void *cel__malloc(size_t size);
void *cel__calloc(size_t count, size_t size);
void *cel__realloc(void *ptr, size_t size);
void cel__free(void *ptr);

/* Return a copy owned by the caller, free with cel__free(); NULL when out of memory.
 * cel__memdup() puts a NUL behind the copy. cel__strdup(NULL) is NULL. */
char *cel__strdup(const char *text);
char *cel__memdup(const void *bytes, size_t len);

/* Makes the n-th allocation from now on (1 = the next) return NULL, once; 0 switches that
 * off. For tests with one thread. Returns how many allocations happened since the last call. */
size_t cel__mem_fail_at(size_t n);

#endif
