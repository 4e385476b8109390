/* test_folder.h - a folder of a test's own, below $TMPDIR or /tmp. */
#ifndef CEL_CORE_TEST_FOLDER_H
#define CEL_CORE_TEST_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes it, as …/celeriac-NAME-XXXXXX; 100 bytes hold its path, which is short enough for a socket in it. The caller removes it. */
static inline bool cel__test_folder(char *path, size_t size, const char *name)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(path, size, "%s/celeriac-%s-XXXXXX",
             tmp && *tmp && strlen(tmp) < 60 ? tmp : "/tmp", name);
    return mkdtemp(path) != NULL;
}

#endif
