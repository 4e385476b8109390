/* mem.c - a thin layer over malloc() that counts, and fails on request. */
#include "core/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Atomic size_t fail_at; /* 0: never; else the number of the allocation that fails */
static _Atomic size_t count; /* counted only while fail_at is set, to cost nothing otherwise */

static bool must_fail(void)
{
    size_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    if (at == 0)
        return false;
    return atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1 == at;
}

void *cel__malloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *cel__calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : calloc(n ? n : 1, size ? size : 1);
}

void *cel__realloc(void *ptr, size_t size)
{
    return must_fail() ? NULL : realloc(ptr, size ? size : 1);
}

void cel__free(void *ptr)
{
    free(ptr);
}

char *cel__memdup(const void *bytes, size_t len)
{
    char *copy = cel__malloc(len + 1);

    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *cel__strdup(const char *text)
{
    return text ? cel__memdup(text, strlen(text)) : NULL;
}

size_t cel__mem_fail_at(size_t n)
{
    size_t seen = atomic_exchange(&count, 0);

    atomic_store(&fail_at, n);
    return seen;
}
