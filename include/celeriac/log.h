/* log.h - where an app's log lines go. The library itself never prints. */
#ifndef CELERIAC_LOG_H
#define CELERIAC_LOG_H

#include <stddef.h>

#include "celeriac/export.h"

CEL_BEGIN_DECLS

/* Python's levels, so that `-l info` and the numbers in log formats mean the same. */
typedef enum cel_log_level {
    CEL_LOG_DEBUG = 10,
    CEL_LOG_INFO = 20,
    CEL_LOG_WARNING = 30,
    CEL_LOG_ERROR = 40,
    CEL_LOG_CRITICAL = 50,
} cel_log_level;

/* Takes one line without a newline. `message` is a view of `len` bytes (it may hold newlines: a
 * traceback), valid during the call. Called on the thread that logs; it must not call the app. */
typedef void (*cel_log_fn)(void *user, cel_log_level level, const char *message, size_t len);

CEL_END_DECLS

#endif
