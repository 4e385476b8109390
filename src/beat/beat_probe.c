/* beat_probe.c - answers questions about schedules and zones, for the comparison with Python.
 *
 * One JSON array a line; one line of answer:
 *   ["offset", zone, utc]                       the offset in seconds
 *   ["field", number of the field, text]        the numbers, or "error"
 *   ["next" or "last", zone, schedule, time]    the time in microseconds, "never" or "error"
 *   ["due", zone, schedule, last, now, relative]  likewise */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat/schedule.h"

static cel_zone *zone_named(const char *name)
{
    static struct {
        char name[64];
        cel_zone *zone;
    } cache[1024];
    static size_t count;
    cel_error err;

    for (size_t i = 0; i < count; i++)
        if (strcmp(cache[i].name, name) == 0)
            return cache[i].zone;
    if (count == sizeof cache / sizeof *cache || strlen(name) >= sizeof cache[0].name)
        exit(3);
    if (cel__zone_open(&cache[count].zone, name, &err) != CEL_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(3);
    }
    strcpy(cache[count].name, name);
    return cache[count++].zone;
}

static void answer_field(const json_t *question)
{
    const json_t *text = json_array_get(question, 2);
    uint64_t set;
    cel_error err;

    if (cel__crontab_field(
            &set, (cel_crontab_field)json_integer_value(json_array_get(question, 1)),
            (cel_view){json_string_value(text), json_string_length(text)}, &err) != CEL_OK) {
        printf("error %s\n", err.message);
        return;
    }
    for (int i = 0; i < 64; i++)
        if (set >> i & 1)
            printf("%d ", i);
    putchar('\n');
}

static int64_t seconds(int64_t at_us)
{
    return at_us / 1000000 - (at_us % 1000000 < 0);
}

static bool find(const char *what,
                 const cel_schedule *schedule,
                 const cel_zone *zone,
                 const json_t *question,
                 int64_t *due_us)
{
    int64_t at_us = json_integer_value(json_array_get(question, 3));
    int64_t due_s;
    bool found;

    if (strcmp(what, "next") == 0)
        return cel__schedule_next(schedule, zone, at_us, due_us);
    if (strcmp(what, "due") == 0)
        return cel__schedule_due(schedule, zone, at_us,
                                 json_integer_value(json_array_get(question, 4)), due_us);
    found = schedule->kind == CEL_SCHEDULE_CRONTAB
                ? cel__crontab_last(&schedule->crontab, zone, seconds(at_us), &due_s)
                : cel__solar_last(&schedule->solar, seconds(at_us), &due_s);
    *due_us = found ? due_s * 1000000 : 0;
    return found;
}

static void answer_schedule(const char *what, const cel_zone *zone, const json_t *question)
{
    cel_schedule schedule;
    int64_t due_us;
    cel_error err;

    if (cel__schedule_load(&schedule, json_array_get(question, 2),
                           json_is_true(json_array_get(question, 5)), &err) != CEL_OK)
        printf("error %s\n", err.message);
    else if (find(what, &schedule, zone, question, &due_us))
        printf("%" PRId64 "\n", due_us);
    else
        puts("never");
}

static void answer(const json_t *question)
{
    const char *what = json_string_value(json_array_get(question, 0));

    if (what && strcmp(what, "field") == 0) {
        answer_field(question);
        return;
    }
    const cel_zone *zone = zone_named(json_string_value(json_array_get(question, 1)));
    if (what && strcmp(what, "offset") == 0)
        printf("%" PRId64 "\n",
               cel__zone_span(zone, json_integer_value(json_array_get(question, 2))).offset_s);
    else
        answer_schedule(what ? what : "", zone, question);
}

int main(void)
{
    static char line[65536];

    while (fgets(line, sizeof line, stdin)) {
        json_t *question = json_loads(line, 0, NULL);

        if (!question)
            return 2;
        answer(question);
        json_decref(question);
    }
    return 0; /* the zones stay for the next question: the end of the process frees them */
}
