/* event.h - events as Celery writes them: one JSON object, from the head that its sender has in
 * common with all others to the timestamp and the type.
 *
 *     {"hostname": "w1@vm", "utcoffset": 0, "pid": 16958, "clock": 38, "uuid": "21ca...",
 *      "timestamp": 1795402675.84, "type": "task-started"}
 *
 * They are written straight into a buffer: a worker says three of them for each task. Pure; any
 * thread. */
#ifndef CEL_MESSAGE_EVENT_H
#define CEL_MESSAGE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/view.h"

/* A Lamport clock: orders what different machines say, whatever their clocks show. */
typedef struct cel_lamport {
    int64_t value;
} cel_lamport;

/* For something that is said: returns its time. */
static inline int64_t cel__lamport_forward(cel_lamport *clock)
{
    return ++clock->value;
}

/* For something that was heard and bears the time `other`: hostile ones are taken as no time. */
static inline int64_t cel__lamport_adjust(cel_lamport *clock, int64_t other)
{
    if (other > clock->value && other < INT64_MAX / 2)
        clock->value = other;
    return ++clock->value;
}

/* Hours west of UTC here and now, daylight saving included, rounded down: as Celery counts. */
int cel__event_utcoffset(int64_t wall_us);

/* Appends the head, up to "clock": */
void cel__event_head(cel__buf *buf, cel_view hostname, int utcoffset, int pid);

/* Begins an event with a head and the sender's time; then its fields; then its end. */
static inline void cel__event_begin(cel__buf *buf, cel_view head, int64_t clock)
{
    cel__buf_add_view(buf, head);
    cel__buf_add_int(buf, clock);
}

/* Fields. Names are literals that need no escapes. */
void cel__event_text(cel__buf *buf, const char *name, cel_view text); /* absent: null */
void cel__event_json(cel__buf *buf, const char *name, cel_view json); /* spliced */
void cel__event_int(cel__buf *buf, const char *name, int64_t value);
void cel__event_bool(cel__buf *buf, const char *name, bool value);
void cel__event_seconds(cel__buf *buf, const char *name, int64_t us);
void cel__event_time(cel__buf *buf,
                     const char *name,
                     int64_t wall_us); /* CEL_TIME_NONE: null */

/* Ends it. `type` is a literal: "task-started". */
void cel__event_end(cel__buf *buf, int64_t wall_us, const char *type);

/* Appends the headers of the message that carries an event, or a JSON array of them. */
void cel__event_headers(cel__buf *headers, cel_view hostname);

#endif
