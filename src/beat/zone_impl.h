/* zone_impl.h - what the files of zone.h share. */
#ifndef CEL_BEAT_ZONE_IMPL_H
#define CEL_BEAT_ZONE_IMPL_H

#include "beat/zone.h"

/* One of the two yearly changes of a POSIX TZ text. */
typedef struct cel_zone_rule {
    char
        kind; /* 'M': month, week, day; 'J': day 1 to 365 without 29 February; 'D': day 0 to 365 */
    int month, week, day;
    int64_t time_s; /* local time of the change */
} cel_zone_rule;

typedef struct cel_zone_yearly {
    int64_t standard_s, summer_s; /* offsets */
    bool changes;                 /* there is a summer time, from `start` to `end` */
    cel_zone_rule start, end;
} cel_zone_yearly;

/* Reads a POSIX TZ text; false if it is none. */
bool cel__zone_yearly_parse(cel_zone_yearly *yearly, cel_view text);

cel_zone_span cel__zone_yearly_span(const cel_zone_yearly *yearly, int64_t utc_s);

#endif
