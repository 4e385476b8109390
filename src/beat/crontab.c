/* crontab.c - when an entry is due: days are walked, minutes are looked up.
 *
 * Far from any change of the clock a day's times are its local minutes minus one offset. Near one
 * (a "rough" day) each local time is asked for by itself; what it turns into may lie in a neighbouring day, so
 * two more days are looked at before the best is known to be it. */
#include "beat/crontab.h"

#include "core/time.h"

#define DAY_S     86400
#define NEAR      2     /* days by which a local time and what it turns into may differ */
#define DAYS_MAX  14975 /* forty years, and a bit */
#define ALL_HOURS 0xffffffu

static int64_t day_of(int64_t local_s)
{
    return local_s / DAY_S - (local_s % DAY_S < 0);
}

static int64_t week_day(int64_t day)
{
    return ((day + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
}

/* No change of the clock is near the local day. */
static bool is_calm(const cel_zone_span *span, int64_t day)
{
    int64_t from = (day - NEAR) * DAY_S, to = (day + 1 + NEAR) * DAY_S;

    return span->start_s <= from && span->end_s >= to;
}

static int lowest(uint64_t bits)
{
    return __builtin_ctzll(bits);
}

static int highest(uint64_t bits)
{
    return 63 - __builtin_clzll(bits);
}

/* The first minute of the day that is not before `from`; -1: none. */
static int first_minute(const cel_crontab *crontab, int from)
{
    int hour = from / 60;
    uint64_t minutes = crontab->minutes >> (from % 60);
    uint32_t hours;

    if (from >= 1440)
        return -1;
    if (crontab->hours >> hour & 1 && minutes)
        return from + lowest(minutes);
    hours = hour == 23 ? 0 : crontab->hours >> (hour + 1);
    return hours ? (hour + 1 + lowest(hours)) * 60 + lowest(crontab->minutes) : -1;
}

/* The last minute of the day that is not after `until`; -1: none. */
static int last_minute(const cel_crontab *crontab, int until)
{
    int hour = until / 60;
    uint64_t minutes, hours;

    if (until < 0)
        return -1;
    minutes = crontab->minutes & (UINT64_MAX >> (63 - until % 60));
    if (crontab->hours >> hour & 1 && minutes)
        return hour * 60 + highest(minutes);
    hours = crontab->hours & ((UINT64_C(1) << hour) - 1);
    return hours ? highest(hours) * 60 + highest(crontab->minutes) : -1;
}

/* What is looked for: the nearest due time after `bound_s`, or (backwards) not after it. */
struct search {
    const cel_crontab *crontab;
    const cel_zone *zone;
    bool backwards;
    int64_t bound_s;
    bool found;
    int64_t best_s;
};

static void offer(struct search *search, int64_t due_s)
{
    if (search->backwards ? due_s > search->bound_s : due_s <= search->bound_s)
        return;
    if (search->found &&
        (search->backwards ? due_s <= search->best_s : due_s >= search->best_s))
        return;
    search->found = true;
    search->best_s = due_s;
}

static void search_calm_day(struct search *search, int64_t day, int64_t offset_s)
{
    int64_t inside = search->bound_s + offset_s - day * DAY_S; /* of the bound, in this day */
    int minute;

    if (search->backwards)
        minute = inside < 0 ? -1
                            : last_minute(search->crontab,
                                          inside >= DAY_S ? 1439 : (int)(inside / 60));
    else
        minute = inside >= DAY_S
                     ? -1
                     : first_minute(search->crontab, inside < 0 ? 0 : (int)(inside / 60) + 1);
    if (minute >= 0)
        offer(search, day * DAY_S + minute * 60 - offset_s);
}

static void search_rough_day(struct search *search, int64_t day)
{
    bool both = (search->crontab->hours & ALL_HOURS) == ALL_HOURS;

    for (int minute = first_minute(search->crontab, 0); minute >= 0;
         minute = first_minute(search->crontab, minute + 1)) {
        int64_t instants[2];
        bool gap;
        int count = cel__zone_instants(search->zone, day * DAY_S + minute * 60, instants, &gap);

        for (int i = 0; i < (both ? count : 1); i++)
            offer(search, instants[i]);
    }
}

/* Goes from `day` to the next one, over months that do not match. */
static int64_t
step(const struct search *search, int64_t day, int *year, int *month, int *of_month)
{
    cel__civil_from_days(day, year, month, of_month);
    if (search->crontab->months >> *month & 1)
        return day + (search->backwards ? -1 : 1);
    if (search->backwards)
        return day - *of_month;
    return cel__days_from_civil(*month == 12 ? *year + 1 : *year, *month % 12 + 1, 1);
}

static bool matches(const cel_crontab *crontab, int64_t day, int month, int of_month)
{
    return crontab->months >> month & 1 && crontab->month_days >> of_month & 1 &&
           crontab->week_days >> week_day(day) & 1;
}

static bool run(struct search *search, int64_t *due_s)
{
    cel_zone_span span = cel__zone_span(search->zone, search->bound_s);
    int64_t origin = day_of(search->bound_s + span.offset_s);
    int64_t last = origin + (search->backwards ? -DAYS_MAX : DAYS_MAX); /* to be looked at */
    int64_t day = origin, next;

    if (!is_calm(&span, day))
        day += search->backwards ? NEAR : -NEAR;
    for (; search->backwards ? day >= last : day <= last; day = next) {
        int year, month, of_month;
        bool had = search->found;

        next = step(search, day, &year, &month, &of_month);
        if (!matches(search->crontab, day, month, of_month))
            continue;
        if (!is_calm(&span, day))
            span = cel__zone_span(search->zone, day * DAY_S);
        if (is_calm(&span, day))
            search_calm_day(search, day, span.offset_s);
        else
            search_rough_day(search, day);
        if (search->found && !had)
            last = is_calm(&span, day) ? day : day + (search->backwards ? -NEAR : NEAR);
    }
    *due_s = search->best_s;
    return search->found;
}

bool cel__crontab_next(const cel_crontab *crontab,
                       const cel_zone *zone,
                       int64_t after_s,
                       int64_t *due_s)
{
    struct search search = {.crontab = crontab, .zone = zone, .bound_s = after_s};

    return run(&search, due_s);
}

bool cel__crontab_last(const cel_crontab *crontab,
                       const cel_zone *zone,
                       int64_t until_s,
                       int64_t *due_s)
{
    struct search search = {
        .crontab = crontab, .zone = zone, .backwards = true, .bound_s = until_s};

    return run(&search, due_s);
}
