/* solar.c - see solar.h. Days are counted from solar noon to solar noon at the place; an event is found by
 * starting at noon and correcting the time with the sun's position at that time, until it stays. */
#include "beat/solar.h"

#include <math.h>
#include <string.h>

#define DAY_S    86400
#define DAYS_MAX 400
#define DEGREE   0.017453292519943295

static const struct {
    const char *name;
    double height; /* degrees */
    int side;      /* -1: before noon, 1: after */
    bool edge;
} events[] = {
#define CEL_X(constant, name, height, side, edge) {name, height, side, edge},
    CEL_SOLAR_EVENTS(CEL_X)
#undef CEL_X
};

#define EVENT_COUNT (sizeof events / sizeof *events)

struct sun {
    double declination; /* radians */
    double equation_s;  /* how much a sundial is ahead of the mean sun */
    double half_width;  /* radians: from the centre to the edge */
};

/* Julian day 2451545.0 is 2000-01-01 12:00. */
static struct sun sun_at(double at_s)
{
    double days = (at_s - 946728000.0) / DAY_S;
    double centuries = days / 36525;
    double anomaly =
        (357.52911 + 35999.05029 * centuries - 0.0001537 * centuries * centuries) * DEGREE;
    double mean = fmod(280.46646 + 36000.76983 * centuries, 360);
    double centre = (1.914602 - 0.004817 * centuries) * sin(anomaly) +
                    (0.019993 - 0.000101 * centuries) * sin(2 * anomaly) +
                    0.000289 * sin(3 * anomaly);
    double node = (125.04 - 1934.136 * centuries) * DEGREE;
    double longitude = (mean + centre - 0.00569 - 0.00478 * sin(node)) * DEGREE;
    double obliquity = (23.43929111 - 0.0130041667 * centuries + 0.00256 * cos(node)) * DEGREE;
    double ascension = atan2(cos(obliquity) * sin(longitude), cos(longitude));
    double nutation = -0.00478 * sin(node) * cos(obliquity); /* degrees of right ascension */
    double ahead = fmod(mean - 0.0057183 - ascension / DEGREE + nutation, 360);
    double eccentricity = 0.016708634 - 0.000042037 * centuries;
    double distance = 1.000001018 * (1 - eccentricity * eccentricity) /
                      (1 + eccentricity * cos(anomaly + centre * DEGREE));

    if (ahead > 180)
        ahead -= 360;
    if (ahead < -180)
        ahead += 360;
    return (struct sun){asin(sin(obliquity) * sin(longitude)), ahead * 240,
                        959.63 / 3600 * DEGREE / distance};
}

/* The event of the day whose mean noon at the place is day `day` at 12:00 UTC, shifted by its longitude. */
static bool event_of_day(const cel_solar *solar, int64_t day, int64_t *due_s)
{
    double mean_noon = (double)day * DAY_S + DAY_S / 2 - solar->longitude * 240;
    double at = mean_noon;
    double latitude = solar->latitude * DEGREE;
    const double parallax = 8.794 / 3600 * DEGREE;

    for (int i = 0; i < 8; i++) {
        struct sun sun = sun_at(at);
        double noon = mean_noon - sun.equation_s;
        double height = events[solar->event].height * DEGREE + parallax;
        double cosine;

        if (events[solar->event].side == 0) {
            at = noon;
            continue;
        }
        if (events[solar->event].edge)
            height -= sun.half_width;
        cosine = (sin(height) - sin(latitude) * sin(sun.declination)) /
                 (cos(latitude) * cos(sun.declination));
        if (!(cosine >= -1 && cosine <= 1))
            return false;
        at = noon + events[solar->event].side * acos(cosine) / DEGREE * 240;
    }
    *due_s = (int64_t)floor(at);
    return true;
}

const char *cel__solar_name(cel_solar_event event)
{
    return events[event].name;
}

static cel_code
load_degrees(double *out, const json_t *object, const char *key, double limit, cel_error *err)
{
    const json_t *value = json_object_get(object, key);
    double degrees = json_number_value(value);

    if (!json_is_number(value))
        return cel_error_set(err, CEL_ECONFIG, "solar: %s: a number is expected", key);
    if (!(degrees >= -limit && degrees <= limit))
        return cel_error_set(err, CEL_ECONFIG, "solar: %s: %g is not between -%g and %g", key,
                             degrees, limit, limit);
    *out = degrees;
    return CEL_OK;
}

cel_code cel__solar_load(cel_solar *solar, const json_t *object, cel_error *err)
{
    const char *name = json_string_value(json_object_get(object, "event"));
    cel_solar read = {CEL_SOLAR_NOON, 0, 0};
    size_t i = 0;
    cel_code code;

    while (name && i < EVENT_COUNT && strcmp(events[i].name, name) != 0)
        i++;
    if (!name || i == EVENT_COUNT)
        return cel_error_set(
            err, CEL_ECONFIG,
            "solar: event '%.40s' is none of solar_noon, sunrise, sunset, and dawn "
            "and dusk with _civil, _nautical or _astronomical",
            name ? name : "");
    read.event = (cel_solar_event)i;
    code = load_degrees(&read.latitude, object, "lat", 90, err);
    if (code == CEL_OK)
        code = load_degrees(&read.longitude, object, "lon", 180, err);
    if (code == CEL_OK)
        *solar = read;
    return code;
}

static int64_t day_of(int64_t at_s)
{
    return at_s / DAY_S - (at_s % DAY_S < 0);
}

bool cel__solar_next(const cel_solar *solar, int64_t after_s, int64_t *due_s)
{
    int64_t day = day_of(after_s) - 2;
    int64_t at;

    for (int i = 0; i < DAYS_MAX; i++) {
        if (event_of_day(solar, day + i, &at) && at > after_s) {
            *due_s = at;
            return true;
        }
    }
    return false;
}

bool cel__solar_last(const cel_solar *solar, int64_t until_s, int64_t *due_s)
{
    int64_t day = day_of(until_s) + 2;
    int64_t at;

    for (int i = 0; i < DAYS_MAX; i++) {
        if (event_of_day(solar, day - i, &at) && at <= until_s) {
            *due_s = at;
            return true;
        }
    }
    return false;
}
