/* time.h - the texts of times on the wire: ISO 8601. Pure; any thread.
 * Formats as in Celery: six fraction digits or none, an offset of +00:00. */
#ifndef CEL_CORE_TIME_H
#define CEL_CORE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/view.h"

#define CEL_TIME_TEXT 40 /* room for any text that cel__time_format() writes */

/* Writes "2026-11-23T03:01:14.105188+00:00" for the microseconds since 1970 UTC. The
 * fraction is left out when it is zero, as Python's isoformat() does. A time outside the
 * years 1 to 9999 is written as the nearest within. */
void cel__time_format(char out[CEL_TIME_TEXT], int64_t wall_us);

/* Reads ISO 8601: a date alone or with a time behind `T` or a space, a fraction of any
 * length (beyond microseconds it is cut), an offset Z, +HH:MM, +HHMM or none, which means
 * UTC; also the basic form 20200101T000000Z. False if it is none of these, a field is out of
 * range, or the year lies outside 1 to 9999. */
bool cel__time_parse(int64_t *wall_us, cel_view text);

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. Months from 1. A day
 * outside the month counts on into its neighbours. */
int64_t cel__days_from_civil(int64_t year, int64_t month, int64_t day);
void cel__civil_from_days(int64_t days, int *year, int *month, int *day);

#endif
