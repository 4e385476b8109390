/* pool.c - the table of pools. */
#include "pool/pool.h"

#include <string.h>

static const cel_pool_ops *const pools[] = {
    &cel__prefork_pool_ops,
    &cel__threads_pool_ops,
    &cel__solo_pool_ops,
};

/* Whether `name` is one of the comma-separated names. */
static bool is_named(const char *names, const char *name)
{
    size_t len = strlen(name);

    while (len > 0) {
        size_t here = strcspn(names, ",");

        if (here == len && memcmp(names, name, len) == 0)
            return true;
        if (!names[here])
            return false;
        names += here + 1;
    }
    return false;
}

const cel_pool_ops *cel__pool_find(const char *name)
{
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
        if (is_named(pools[i]->names, name))
            return pools[i];
    }
    return NULL;
}

const char *cel__pool_names(void)
{
    return "prefork, threads, solo";
}
