/* log.c - see log.h. */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const struct {
    const char *name;
    cel_log_level level;
} levels[] = {
    {"DEBUG", CEL_LOG_DEBUG},    {"INFO", CEL_LOG_INFO},         {"WARNING", CEL_LOG_WARNING},
    {"ERROR", CEL_LOG_ERROR},    {"CRITICAL", CEL_LOG_CRITICAL}, {"WARN", CEL_LOG_WARNING},
    {"FATAL", CEL_LOG_CRITICAL},
};

void cel__log_write(const cel_log *log, cel_log_level level, const char *fmt, ...)
{
    char text[16384];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    if (len >= (int)sizeof text)
        len = (int)sizeof text - 1;
    log->write(log->user, level, text, (size_t)len);
}

const char *cel__log_level_name(cel_log_level level)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "NOTSET";
}

bool cel__log_level_parse(cel_log_level *level, const char *name)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcasecmp(levels[i].name, name) == 0) {
            *level = levels[i].level;
            return true;
        }
    }
    return false;
}
