/* solar.h - Celery's solar(): where the sun stands. Pure; any thread.
 *
 * The sun's position is that of the Astronomical Almanac's low-precision formulas: good to a
 * hundredth of a degree between 1950 and 2050, which is some seconds of time away from the poles. As in Celery
 * there is no refraction beyond the 34 minutes of arc in sunrise and sunset, which are those of the
 * sun's upper edge; dawn and dusk are those of its centre. */
#ifndef CEL_BEAT_SOLAR_H
#define CEL_BEAT_SOLAR_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "celeriac/error.h"

/* X(constant, name, height of the sun in degrees, -1: rising, 0: highest, 1: setting, whether the sun's edge is meant) */
#define CEL_SOLAR_EVENTS(X)                                                                    \
    X(DAWN_ASTRONOMICAL, "dawn_astronomical", -18, -1, false)                                  \
    X(DAWN_NAUTICAL, "dawn_nautical", -12, -1, false)                                          \
    X(DAWN_CIVIL, "dawn_civil", -6, -1, false)                                                 \
    X(SUNRISE, "sunrise", -34.0 / 60, -1, true)                                                \
    X(NOON, "solar_noon", 0, 0, false)                                                         \
    X(SUNSET, "sunset", -34.0 / 60, 1, true)                                                   \
    X(DUSK_CIVIL, "dusk_civil", -6, 1, false)                                                  \
    X(DUSK_NAUTICAL, "dusk_nautical", -12, 1, false)                                           \
    X(DUSK_ASTRONOMICAL, "dusk_astronomical", -18, 1, false)

typedef enum cel_solar_event {
#define CEL_X(constant, name, height, side, edge) CEL_SOLAR_##constant,
    CEL_SOLAR_EVENTS(CEL_X)
#undef CEL_X
} cel_solar_event;

typedef struct cel_solar {
    cel_solar_event event;
    double latitude, longitude; /* degrees, north and east positive */
} cel_solar;

/* Returns a view of the event's name as in Celery. */
const char *cel__solar_name(cel_solar_event event);

/* Reads the members event, lat and lon of an object. CEL_ECONFIG. */
cel_code cel__solar_load(cel_solar *solar, const json_t *object, cel_error *err);

/* The first event after `after_s`, the last one not after `until_s`, in seconds since 1970 UTC. Days on which the sun does not
 * get there are passed over. False: there is none within 400 days. */
bool cel__solar_next(const cel_solar *solar, int64_t after_s, int64_t *due_s);
bool cel__solar_last(const cel_solar *solar, int64_t until_s, int64_t *due_s);

#endif
