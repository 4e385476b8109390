/* place.c - where the files of this example are when nobody says so. */
#include "place.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef HW_DATADIR
#error "HW_DATADIR must be the folder of the installed files"
#endif

/* True if `name` is in the folder of `object`, which must have a slash; writes its path. */
static bool find_beside(char *path, size_t size, const char *object, const char *name)
{
    const char *slash = strrchr(object, '/');
    int len;

    if (!slash)
        return false;
    len = snprintf(path, size, "%.*s%s", (int)(slash + 1 - object), object, name);
    return len > 0 && (size_t)len < size && access(path, F_OK) == 0;
}

/* Beside the shared object that this code was linked into. Of a program the loader may know no more
 * than its argv[0], which is a path only if it has a slash. */
static bool find_beside_object(char *path, size_t size, const char *name)
{
    Dl_info info;
    void *here;
    bool (*const self)(char *, size_t, const char *) = hw_place_find;

    memcpy(&here, &self, sizeof here); /* ISO C has no cast from function to object pointer */
    return dladdr(here, &info) && info.dli_fname &&
           find_beside(path, size, info.dli_fname, name);
}

static bool find_beside_program(char *path, size_t size, const char *name)
{
    char program[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);

    if (len <= 0)
        return false;
    program[len] = '\0';
    return find_beside(path, size, program, name);
}

bool hw_place_find(char *path, size_t size, const char *name)
{
    return find_beside_object(path, size, name) || find_beside_program(path, size, name) ||
           find_beside(path, size, HW_DATADIR "/", name);
}
