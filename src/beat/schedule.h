/* schedule.h - when an entry is due, whatever its kind. Pure; any thread.
 *
 * A tick is an entry's due time. It follows from the tick before and the schedule alone, not from when
 * anybody looked, so that all who run the same schedule speak of the same ticks. Times are microseconds since 1970 UTC. */
#ifndef CEL_BEAT_SCHEDULE_H
#define CEL_BEAT_SCHEDULE_H

#include "beat/crontab.h"
#include "beat/solar.h"
#include "core/buf.h"

typedef enum cel_schedule_kind {
    CEL_SCHEDULE_EVERY,
    CEL_SCHEDULE_CRONTAB,
    CEL_SCHEDULE_SOLAR,
} cel_schedule_kind;

typedef struct cel_schedule {
    cel_schedule_kind kind;
    bool relative;    /* of EVERY: due times are rounded down to full days, hours or minutes */
    int64_t every_us; /* a millisecond at least */
    cel_crontab crontab;
    cel_solar solar;
} cel_schedule;

/* Reads the "schedule" of an entry: a number of seconds, or an object with "__class__" crontab, solar or
 * schedule, as configuration files give. CEL_ECONFIG. */
cel_code
cel__schedule_load(cel_schedule *schedule, const json_t *value, bool relative, cel_error *err);

/* The first tick after the one at `last_us`. Never due: false. */
bool cel__schedule_next(const cel_schedule *schedule,
                        const cel_zone *zone,
                        int64_t last_us,
                        int64_t *due_us);

/* The tick to wait for, or to send: the next one if it is still to come; of several that have been missed, the last one. */
bool cel__schedule_due(const cel_schedule *schedule,
                       const cel_zone *zone,
                       int64_t last_us,
                       int64_t now_us,
                       int64_t *due_us);

#endif
