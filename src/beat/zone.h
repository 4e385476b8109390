/* zone.h - time zones, from the system's zone data (TZif, RFC 8536), without the C library's state.
 *
 * Times are seconds since 1970 UTC; local times are the seconds that a clock on the wall has
 * counted since its own 1970-01-01 00:00. Once made a zone does not change: any thread. */
#ifndef CEL_BEAT_ZONE_H
#define CEL_BEAT_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/view.h"

typedef struct cel_zone cel_zone;

/* A stretch of time with one offset: start_s <= t < end_s. The outermost ones begin at INT64_MIN
 * or end at INT64_MAX. Neighbours may have the same offset. */
typedef struct cel_zone_span {
    int64_t start_s, end_s;
    int64_t offset_s; /* local time minus UTC */
} cel_zone_span;

#define CEL_ZONE_OFFSET_MAX 93600 /* seconds; no offset is larger, either way */

/* Opens the zone with this IANA name ("Europe/Berlin"); NULL means UTC, "" the machine's own: what
 * TZ in the environment or /etc/localtime says. The caller frees *out with cel__zone_free().
 * Blocks for a small file. CEL_ECONFIG: there is no such zone, or its data is broken. */
cel_code cel__zone_open(cel_zone **out, const char *name, cel_error *err);

/* Makes a zone of the bytes of a TZif file; `name` stands for it in messages. CEL_ECONFIG. */
cel_code cel__zone_load(cel_zone **out, const char *name, cel_view bytes, cel_error *err);

/* Makes a zone of the text of a POSIX TZ variable, "CET-1CEST,M3.5.0,M10.5.0/3". CEL_ECONFIG. */
cel_code cel__zone_posix(cel_zone **out, const char *text, cel_error *err);

void cel__zone_free(cel_zone *zone); /* NULL is a no-op */

/* Returns a view of the zone's name. */
const char *cel__zone_name(const cel_zone *zone);

cel_zone_span cel__zone_span(const cel_zone *zone, int64_t utc_s);

static inline int64_t cel__zone_local(const cel_zone *zone, int64_t utc_s)
{
    return utc_s + cel__zone_span(zone, utc_s).offset_s;
}

/* Writes when a local time is, in order, and returns how often: once as a rule; twice where the
 * clock was set back over it. Where it was set forward over it, it does not exist: then the time
 * counted with the offset before the change is written, the one that is as long after the
 * change as the local time is behind it, and *gap is set. */
int cel__zone_instants(const cel_zone *zone, int64_t local_s, int64_t out[2], bool *gap);

#endif
