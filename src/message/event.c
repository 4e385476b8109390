/* event.c - see event.h. */
#include "message/event.h"

#include <time.h>

#include "core/time.h"
#include "message/task.h"

#define HOUR_S 3600

int cel__event_utcoffset(int64_t wall_us)
{
    time_t now = (time_t)(wall_us / 1000000);
    struct tm local;

    if (!localtime_r(&now, &local))
        return 0;
    long west = -local.tm_gmtoff;
    return (int)(west >= 0 ? west / HOUR_S : -((-west + HOUR_S - 1) / HOUR_S));
}

void cel__event_head(cel__buf *buf, cel_view hostname, int utcoffset, int pid)
{
    cel__buf_add_str(buf, "{\"hostname\": ");
    cel__buf_add_json(buf, hostname);
    cel__buf_add_str(buf, ", \"utcoffset\": ");
    cel__buf_add_int(buf, utcoffset);
    cel__buf_add_str(buf, ", \"pid\": ");
    cel__buf_add_int(buf, pid);
    cel__buf_add_str(buf, ", \"clock\": ");
}

static void add_name(cel__buf *buf, const char *name)
{
    cel__buf_add(buf, ", \"", 3);
    cel__buf_add_str(buf, name);
    cel__buf_add(buf, "\": ", 3);
}

void cel__event_text(cel__buf *buf, const char *name, cel_view text)
{
    add_name(buf, name);
    if (text.ptr)
        cel__buf_add_json(buf, text);
    else
        cel__buf_add(buf, "null", 4);
}

void cel__event_json(cel__buf *buf, const char *name, cel_view json)
{
    add_name(buf, name);
    cel__buf_add_view(buf, json);
}

void cel__event_int(cel__buf *buf, const char *name, int64_t value)
{
    add_name(buf, name);
    cel__buf_add_int(buf, value);
}

void cel__event_bool(cel__buf *buf, const char *name, bool value)
{
    add_name(buf, name);
    cel__buf_add_str(buf, value ? "true" : "false");
}

/* A decimal number of seconds, with as many of six digits as it needs, but one. */
static void add_seconds(cel__buf *buf, int64_t us)
{
    char digits[7] = {'.'};
    int64_t rest = us % 1000000;
    size_t len = 7;

    if (us < 0) {
        cel__buf_add_byte(buf, '-');
        us = -us;
        rest = -rest;
    }
    for (int i = 6; i > 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    while (len > 2 && digits[len - 1] == '0')
        len--;
    cel__buf_add_int(buf, us / 1000000);
    cel__buf_add(buf, digits, len);
}

void cel__event_seconds(cel__buf *buf, const char *name, int64_t us)
{
    add_name(buf, name);
    add_seconds(buf, us);
}

void cel__event_time(cel__buf *buf, const char *name, int64_t wall_us)
{
    char text[CEL_TIME_TEXT];

    if (wall_us == CEL_TIME_NONE) {
        cel__event_text(buf, name, (cel_view){NULL, 0});
        return;
    }
    cel__time_format(text, wall_us);
    cel__event_text(buf, name, cel__view(text));
}

void cel__event_end(cel__buf *buf, int64_t wall_us, const char *type)
{
    cel__event_seconds(buf, "timestamp", wall_us);
    cel__buf_add_str(buf, ", \"type\": \"");
    cel__buf_add_str(buf, type);
    cel__buf_add(buf, "\"}", 2);
}

void cel__event_headers(cel__buf *headers, cel_view hostname)
{
    cel__buf_add_str(headers, "{\"hostname\": ");
    cel__buf_add_json(headers, hostname);
    cel__buf_add_byte(headers, '}');
}
