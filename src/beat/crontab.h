/* crontab.h - Celery's crontab(): its grammar, and when an entry is due. Pure; any thread.
 *
 * A field is a number, a name, a range, a star or a list of them, ranges and stars with a step:
 * "5", "mon-fri", "22-2" (around the end), "1,13,30-45/5", a star and "/15". Days of the week
 * count from Sunday, 0; names go by their first three letters. Unlike in cron, a day must match
 * day_of_month and day_of_week both.
 *
 * Times are those of a clock on the wall. Where it is set forward, what falls into the gap is due as
 * much later as the clock skips: 02:30 becomes 03:30. Where it is set back, a time that comes twice is
 * due the first time; only an entry for all hours of the day is due both times, since it is
 * meant as "every so many minutes". Two times that become one are one. */
#ifndef CEL_BEAT_CRONTAB_H
#define CEL_BEAT_CRONTAB_H

#include <jansson.h>

#include "beat/zone.h"

/* Sets of numbers, as bits. None is empty. */
typedef struct cel_crontab {
    uint64_t minutes;
    uint32_t hours, week_days, month_days, months; /* month_days and months from bit 1 */
} cel_crontab;

typedef enum cel_crontab_field {
    CEL_CRONTAB_MINUTE,
    CEL_CRONTAB_HOUR,
    CEL_CRONTAB_WEEK_DAY,
    CEL_CRONTAB_MONTH_DAY,
    CEL_CRONTAB_MONTH,
} cel_crontab_field;

/* Reads one field. CEL_ECONFIG names field and reason. */
cel_code
cel__crontab_field(uint64_t *set, cel_crontab_field field, cel_view text, cel_error *err);

/* Reads "minute hour day_of_month month_of_year day_of_week", the order of a crontab's line.
 * CEL_ECONFIG, also for what is never due, such as 31 February. */
cel_code cel__crontab_parse(cel_crontab *crontab, cel_view line, cel_error *err);

/* Reads an object with Celery's arguments as members (minute, hour, day_of_week, day_of_month,
 * month_of_year), each a number, a text or an array of numbers; what is absent is "*". Other members
 * are not looked at. CEL_ECONFIG likewise. */
cel_code cel__crontab_load(cel_crontab *crontab, const json_t *object, cel_error *err);

/* The first time an entry is due after `after_s`, the last one not after `until_s`. False: there is none
 * within forty years. */
bool cel__crontab_next(const cel_crontab *crontab,
                       const cel_zone *zone,
                       int64_t after_s,
                       int64_t *due_s);
bool cel__crontab_last(const cel_crontab *crontab,
                       const cel_zone *zone,
                       int64_t until_s,
                       int64_t *due_s);

#endif
