/* schedule_test.c - what needs no Python to be judged; see schedules_interop.py for the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "beat/schedule.h"
#include "core/time.h"

#define SECOND INT64_C(1000000)

static int setup(void **state)
{
    cel_zone *zone;

    if (cel__zone_posix(&zone, "CET-1CEST,M3.5.0,M10.5.0/3", NULL) != CEL_OK)
        return -1;
    *state = zone;
    return 0;
}

static int teardown(void **state)
{
    cel__zone_free(*state);
    return 0;
}

static int64_t parse(const char *text)
{
    int64_t at;

    assert_true(cel__time_parse(&at, cel__view(text)));
    return at;
}

static void a_line_has_the_order_of_cron(void **state)
{
    cel_crontab crontab;

    (void)state;
    assert_int_equal(cel__crontab_parse(&crontab, CEL_VIEW(" 5 4  13 feb fri"), NULL), CEL_OK);
    assert_true(crontab.minutes == 1 << 5 && crontab.hours == 1 << 4);
    assert_true(crontab.month_days == 1 << 13 && crontab.months == 1 << 2);
    assert_int_equal(crontab.week_days, 1 << 5);
}

static void broken_lines_say_why(void **state)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"* * * *", "five fields"},
        {"* * * * * *", "more than five"},
        {"60 * * * *", "minute: 60 is not in 0-59"},
        {"* 5/2 * * *", "hour '5/2': a step needs a range"},
        {"* * 31 4,6 *", "no month has such a day"},
        {"* * 30 2 *", "no month has such a day"},
        {"99999999999999999999 * * * *", "is not in 0-59"},
        {"*/99999999999999999999x * * * *", "does not end here"},
    };
    cel_crontab crontab;
    cel_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cel__crontab_parse(&crontab, cel__view(cases[i].line), &err),
                         CEL_ECONFIG);
        if (!strstr(err.message, cases[i].why))
            fail_msg("%s: %s", cases[i].line, err.message);
    }
}

static void leap_days_are_found_both_ways(void **state)
{
    cel_crontab crontab;
    int64_t due;

    assert_int_equal(cel__crontab_parse(&crontab, CEL_VIEW("0 12 29 2 thu"), NULL), CEL_OK);
    assert_true(cel__crontab_next(&crontab, *state, parse("2026-01-01") / SECOND, &due));
    assert_int_equal(due, parse("2052-02-29T11:00:00") / SECOND);
    assert_true(cel__crontab_last(&crontab, *state, parse("2051-01-01") / SECOND, &due));
    assert_int_equal(due, parse("2024-02-29T11:00:00") / SECOND);
}

/* Over thirty years: next() and last() agree about each tick, and due() with both. */
static void next_and_last_are_inverse(void **state)
{
    static const char *const lines[] = {"*/20 2-3 * * sun", "0 * 25-31 3,10 *", "59 23 * * *",
                                        "0 0 1 1 *", "30 2 * * *"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cel_schedule schedule = {.kind = CEL_SCHEDULE_CRONTAB};
        int64_t at = parse("2020-01-01") / SECOND, end = parse("2050-01-01") / SECOND;
        size_t count = 0;

        assert_int_equal(cel__crontab_parse(&schedule.crontab, cel__view(lines[i]), NULL),
                         CEL_OK);
        while (at < end) {
            int64_t next, last, due;

            assert_true(cel__crontab_next(&schedule.crontab, *state, at, &next));
            assert_true(next > at);
            assert_true(cel__crontab_last(&schedule.crontab, *state, next, &last));
            assert_int_equal(last, next);
            if (count > 0) {
                assert_true(cel__crontab_last(&schedule.crontab, *state, next - 1, &last));
                assert_int_equal(last, at);
            }
            assert_true(cel__schedule_due(&schedule, *state, at * SECOND, next * SECOND, &due));
            assert_int_equal(due, next * SECOND);
            at = next;
            count++;
        }
        assert_true(count >= 30);
    }
}

static void the_latest_of_missed_ticks_is_due(void **state)
{
    cel_schedule schedule = {.kind = CEL_SCHEDULE_CRONTAB};
    int64_t due;

    assert_int_equal(cel__crontab_parse(&schedule.crontab, CEL_VIEW("0 4 * * *"), NULL),
                     CEL_OK);
    assert_true(cel__schedule_due(&schedule, *state, parse("2026-01-01"),
                                  parse("2026-06-10T12:00:00"), &due));
    assert_int_equal(due, parse("2026-06-10T02:00:00"));
    assert_true(cel__schedule_due(&schedule, *state, due, parse("2026-06-10T12:00:00"), &due));
    assert_int_equal(due, parse("2026-06-11T02:00:00"));
}

static void intervals_keep_their_grid(void **state)
{
    cel_schedule schedule;
    json_t *half = json_real(0.5);
    int64_t due;

    assert_int_equal(cel__schedule_load(&schedule, half, false, NULL), CEL_OK);
    assert_true(cel__schedule_due(&schedule, *state, 7, parse("2026-06-10T12:00:00"), &due));
    assert_int_equal(due, parse("2026-06-10T11:59:59.500007"));
    json_decref(half);
}

static void the_sun_does_not_rise_in_the_polar_night(void **state)
{
    cel_solar pole = {CEL_SOLAR_SUNRISE, 84, 0};
    int64_t due;

    (void)state;
    assert_true(cel__solar_next(&pole, parse("2026-10-20") / SECOND, &due));
    assert_true(due > parse("2027-02-10") / SECOND && due < parse("2027-03-05") / SECOND);
    assert_string_equal(cel__solar_name(pole.event), "sunrise");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_order_of_cron),
        cmocka_unit_test(broken_lines_say_why),
        cmocka_unit_test(leap_days_are_found_both_ways),
        cmocka_unit_test(next_and_last_are_inverse),
        cmocka_unit_test(the_latest_of_missed_ticks_is_due),
        cmocka_unit_test(intervals_keep_their_grid),
        cmocka_unit_test(the_sun_does_not_rise_in_the_polar_night),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
