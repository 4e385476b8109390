/* schedule.c - see schedule.h. */
#include "beat/schedule.h"

#include <string.h>

#include "core/clock.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_S  60
#define HOUR_S    3600
#define DAY_S     86400

static int64_t floor_s(int64_t at_us)
{
    return at_us / SECOND_US - (at_us % SECOND_US < 0);
}

/* ---- reading ---- */

static cel_code load_every(cel_schedule *schedule, const json_t *value, cel_error *err)
{
    double seconds = json_number_value(value);

    if (!json_is_number(value))
        return cel_error_set(err, CEL_ECONFIG,
                             "schedule: seconds, crontab(), solar() or schedule() is expected");
    if (!(seconds >= 0.001 && seconds <= (double)(CEL_MAX_MS / 1000)))
        return cel_error_set(
            err, CEL_ECONFIG,
            "schedule: an interval of %g seconds: from a thousandth on is possible", seconds);
    schedule->kind = CEL_SCHEDULE_EVERY;
    schedule->every_us = (int64_t)(seconds * SECOND_US + 0.5);
    return CEL_OK;
}

cel_code
cel__schedule_load(cel_schedule *schedule, const json_t *value, bool relative, cel_error *err)
{
    const char *kind = json_string_value(json_object_get(value, "__class__"));
    cel_schedule read = {.relative = relative};
    cel_code code;

    if (kind && strcmp(kind, "crontab") == 0) {
        read.kind = CEL_SCHEDULE_CRONTAB;
        code = cel__crontab_load(&read.crontab, value, err);
    } else if (kind && strcmp(kind, "solar") == 0) {
        read.kind = CEL_SCHEDULE_SOLAR;
        code = cel__solar_load(&read.solar, value, err);
    } else if (kind && strcmp(kind, "schedule") == 0) {
        read.relative = json_is_true(json_object_get(value, "relative"));
        code = load_every(&read, json_object_get(value, "run_every"), err);
    } else {
        code = load_every(&read, value, err);
    }
    if (code == CEL_OK)
        *schedule = read;
    return code;
}

/* ---- intervals ---- */

/* What Celery calls the resolution of an interval. */
static int64_t resolution_s(int64_t every_us)
{
    int64_t seconds = every_us / SECOND_US;

    return seconds >= DAY_S      ? DAY_S
           : seconds >= HOUR_S   ? HOUR_S
           : seconds >= MINUTE_S ? MINUTE_S
                                 : 1;
}

/* Rounds down on the clock on the wall. */
static int64_t round_down(const cel_schedule *schedule, const cel_zone *zone, int64_t at_us)
{
    int64_t at_s = floor_s(at_us);
    int64_t unit = resolution_s(schedule->every_us);
    int64_t local = cel__zone_local(zone, at_s);
    int64_t rest = (local % unit + unit) % unit;
    int64_t instants[2];
    bool gap;

    if (rest == 0 || unit == 1)
        return at_s * SECOND_US;
    cel__zone_instants(zone, local - rest, instants, &gap);
    return instants[0] * SECOND_US;
}

static int64_t next_every(const cel_schedule *schedule, const cel_zone *zone, int64_t last_us)
{
    int64_t due = last_us + schedule->every_us;

    if (schedule->relative) {
        int64_t rounded = round_down(schedule, zone, due);

        if (rounded > last_us)
            due = rounded;
    }
    return due;
}

static int64_t
due_every(const cel_schedule *schedule, const cel_zone *zone, int64_t last_us, int64_t now_us)
{
    int64_t due = next_every(schedule, zone, last_us);
    int64_t missed = due > now_us ? 0 : (now_us - due) / schedule->every_us;

    if (!schedule->relative || missed < 3) {
        due += schedule->relative ? 0 : missed * schedule->every_us;
    } else { /* to a few intervals before now at once, and from there as usual */
        due = next_every(schedule, zone, due + (missed - 2) * schedule->every_us);
    }
    if (due > now_us)
        return due;
    for (int64_t next = next_every(schedule, zone, due); next <= now_us;
         next = next_every(schedule, zone, due))
        due = next;
    return due;
}

/* ---- all kinds ---- */

bool cel__schedule_next(const cel_schedule *schedule,
                        const cel_zone *zone,
                        int64_t last_us,
                        int64_t *due_us)
{
    int64_t due_s;
    bool found;

    if (schedule->kind == CEL_SCHEDULE_EVERY) {
        *due_us = next_every(schedule, zone, last_us);
        return true;
    }
    found = schedule->kind == CEL_SCHEDULE_CRONTAB
                ? cel__crontab_next(&schedule->crontab, zone, floor_s(last_us), &due_s)
                : cel__solar_next(&schedule->solar, floor_s(last_us), &due_s);
    if (found)
        *due_us = due_s * SECOND_US;
    return found;
}

bool cel__schedule_due(const cel_schedule *schedule,
                       const cel_zone *zone,
                       int64_t last_us,
                       int64_t now_us,
                       int64_t *due_us)
{
    int64_t due_s;

    if (schedule->kind == CEL_SCHEDULE_EVERY) {
        *due_us = due_every(schedule, zone, last_us, now_us);
        return true;
    }
    if (!cel__schedule_next(schedule, zone, last_us, due_us))
        return false;
    if (*due_us > now_us)
        return true;
    if (schedule->kind == CEL_SCHEDULE_CRONTAB
            ? cel__crontab_last(&schedule->crontab, zone, floor_s(now_us), &due_s)
            : cel__solar_last(&schedule->solar, floor_s(now_us), &due_s))
        *due_us = due_s * SECOND_US;
    return true;
}
