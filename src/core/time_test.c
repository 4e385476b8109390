/* time_test.c - ISO 8601 as Celery's releases write it and as they accept it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/time.h"

#define SECOND INT64_C(1000000)
#define T0     (INT64_C(1704164645) * SECOND) /* 2024-01-02T03:04:05Z */

static void assert_format(int64_t wall_us, const char *want)
{
    char text[CEL_TIME_TEXT];

    cel__time_format(text, wall_us);
    assert_string_equal(text, want);
}

static void times_are_written_with_six_digits_or_none(void **state)
{
    (void)state;
    assert_format(T0, "2024-01-02T03:04:05+00:00");
    assert_format(T0 + 678, "2024-01-02T03:04:05.000678+00:00");
    assert_format(T0 + 120000, "2024-01-02T03:04:05.120000+00:00");
    assert_format(0, "1970-01-01T00:00:00+00:00");
    assert_format(-1, "1969-12-31T23:59:59.999999+00:00");
    assert_format(INT64_C(951782400) * SECOND, "2000-02-29T00:00:00+00:00");
    assert_format(INT64_C(-62135596800) * SECOND, "0001-01-01T00:00:00+00:00");
    assert_format(INT64_C(253402300799) * SECOND + 999999, "9999-12-31T23:59:59.999999+00:00");
    assert_format(INT64_MAX, "9999-12-31T23:59:59.999999+00:00");
    assert_format(INT64_MIN, "0001-01-01T00:00:00+00:00");
}

static void all_spellings_of_a_time_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t wall_us;
    } cases[] = {
        {"2024-01-02T03:04:05+00:00", T0},
        {"2024-01-02T03:04:05Z", T0},
        {"2024-01-02T03:04:05", T0},
        {"2024-01-02 03:04:05", T0},
        {"2024-01-02T05:04:05+02:00", T0},
        {"2024-01-01T22:34:05-0430", T0},
        {"2024-01-02T04:04:05+01", T0},
        {"20240102T030405Z", T0},
        {"20240102T030405", T0},
        {"2024-01-02T03:04:05.5Z", T0 + 500000},
        {"2024-01-02T03:04:05,5", T0 + 500000},
        {"2024-01-02T03:04:05.000678+00:00", T0 + 678},
        {"2024-01-02T03:04:05.123456789", T0 + 123456},
        {"2024-01-02T03:04", T0 - 5 * SECOND},
        {"2024-01-02T03", T0 - 245 * SECOND},
        {"2024-01-02", T0 - 11045 * SECOND},
        {"20240102", T0 - 11045 * SECOND},
        {"2024-01-02T03:04:05.00000000000000000000000000001Z", T0},
        {"0001-01-01T00:00:00", INT64_C(-62135596800) * SECOND},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t wall_us = -1;

        if (!cel__time_parse(&wall_us, (cel_view){cases[i].text, strlen(cases[i].text)}) ||
            wall_us != cases[i].wall_us)
            fail_msg("%s read as %lld", cases[i].text, (long long)wall_us);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "2024",
        "2024-01",
        "2024-1-2",
        "2024-13-01",
        "2024-00-01",
        "2024-01-32",
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "0000-01-01",
        "2024-01-02T",
        "2024-01-02T24:00:00",
        "2024-01-02T03:60",
        "2024-01-02T03:04:60",
        "2024-01-02T03:04:05.",
        "2024-01-02T03:04:05.Z",
        "2024-01-02T03:04:05+",
        "2024-01-02T03:04:05+24:00",
        "2024-01-02T03:04:05+00:60",
        "2024-01-02T03:04:05+00:0",
        "2024-01-02T03:04:05ZZ",
        "2024-01-02T03:04:05 +00:00",
        "2024-0102",
        "202401-02",
        "2024-01-02x",
        " 2024-01-02",
        "2024-01-02 ",
        "+2024-01-02",
        "2024-01-02T03:04:05Zx",
        "2024-01-02T-3:04:05",
        "12345-01-01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t wall_us = 77;

        if (cel__time_parse(&wall_us, (cel_view){bad[i], strlen(bad[i])}))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(wall_us, 77);
    }
}

static void nothing_is_read_beyond_the_end(void **state)
{
    static const char text[] = "2024-01-02T03:04:05.000678+00:00";
    int64_t wall_us;

    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len ? len : 1);

        memcpy(copy, text, len);
        cel__time_parse(&wall_us, (cel_view){copy, len});
        free(copy);
    }
}

static void random_times_go_there_and_back(void **state)
{
    uint64_t seed = 99;
    char text[CEL_TIME_TEXT];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        int64_t wall_us, back = 0;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        wall_us = (int64_t)(seed >> 8) % (INT64_C(253402300800) * SECOND);
        cel__time_format(text, wall_us);
        assert_true(cel__time_parse(&back, cel__view(text)));
        assert_true(back == wall_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_with_six_digits_or_none),
        cmocka_unit_test(all_spellings_of_a_time_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
        cmocka_unit_test(random_times_go_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
