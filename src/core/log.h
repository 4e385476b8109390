/* log.h - an app's log: a level and a sink. Any thread, as far as the sink allows it. */
#ifndef CEL_CORE_LOG_H
#define CEL_CORE_LOG_H

#include <stdbool.h>

#include "celeriac/log.h"

typedef struct cel_log {
    cel_log_level level; /* what is below it is dropped before it is formatted */
    cel_log_fn write;    /* NULL: nothing is logged */
    void *user;          /* borrowed */
} cel_log;

/* A NULL log drops everything. */
static inline bool cel__log_enabled(const cel_log *log, cel_log_level level)
{
    return log && log->write && level >= log->level;
}

/* Formats and hands one message to the sink; one longer than 16 KiB is cut. */
void cel__log_write(const cel_log *log, cel_log_level level, const char *fmt, ...)
    CEL_PRINTF(3, 4);

/* The arguments are evaluated only if the level is enabled. */
#define cel__log(log, level, ...)                                                              \
    do {                                                                                       \
        if (cel__log_enabled(log, level))                                                      \
            cel__log_write(log, level, __VA_ARGS__);                                           \
    } while (0)
#define cel__debug(log, ...)    cel__log(log, CEL_LOG_DEBUG, __VA_ARGS__)
#define cel__info(log, ...)     cel__log(log, CEL_LOG_INFO, __VA_ARGS__)
#define cel__warning(log, ...)  cel__log(log, CEL_LOG_WARNING, __VA_ARGS__)
#define cel__err(log, ...)      cel__log(log, CEL_LOG_ERROR, __VA_ARGS__)
#define cel__critical(log, ...) cel__log(log, CEL_LOG_CRITICAL, __VA_ARGS__)

/* Returns a view of "DEBUG", ..., "CRITICAL". */
const char *cel__log_level_name(cel_log_level level);

/* Reads a level's name (any case, also WARN and FATAL) into *level; false if it is none. */
bool cel__log_level_parse(cel_log_level *level, const char *name);

#endif
