/* glob.h - the patterns of task_routes and task_annotations, as Python's fnmatch: * ? [abc]
 * [!a-z]. Pure; any thread. */
#ifndef CEL_APP_GLOB_H
#define CEL_APP_GLOB_H

#include <stdbool.h>

#include "core/view.h"

/* Whether the whole of `text` matches. Takes time proportional to the product of the lengths. */
bool cel__glob_match(const char *pattern, cel_view text);

#endif
