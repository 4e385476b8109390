/* zone_test.c - zone data from hostile hands, and the edges that the comparison with Python
 * (schedules_interop.py) does not reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "beat/zone.h"
#include "core/mem.h"

/* Version 2 with one change, at 1000 s, from +1:00 to +2:00, and this footer. */
static size_t make_file(char out[512], const char *footer)
{
    static const char counts[] = "\0\0\0\0"
                                 "\0\0\0\0"
                                 "\0\0\0\0"
                                 "\0\0\0\1"
                                 "\0\0\0\2"
                                 "\0\0\0\4";
    static const char body[] = "\0\0\0\0\0\0\3\xe8"
                               "\1"
                               "\0\0\x0e\x10\0\0"
                               "\0\0\x1c\x20\1\0"
                               "CET";
    size_t at = 0;

    memset(out, 0, 512);
    memcpy(out, "TZif2", 5);
    memcpy(out + 20, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0", 24); /* one type */
    at = 44 + 6;
    memcpy(out + at, "TZif2", 5);
    memcpy(out + at + 20, counts, 24);
    at += 44;
    memcpy(out + at, body, sizeof body);
    at += 8 + 1 + 12 + 4;
    at += (size_t)sprintf(out + at, "\n%s\n", footer);
    return at;
}

static void a_table_and_its_rule_are_read(void **state)
{
    char file[512];
    size_t len = make_file(file, "CET-1");
    cel_zone *zone;
    cel_zone_span span;

    (void)state;
    assert_int_equal(cel__zone_load(&zone, "x", (cel_view){file, len}, NULL), CEL_OK);
    span = cel__zone_span(zone, 999);
    assert_true(span.start_s == INT64_MIN && span.end_s == 1000 && span.offset_s == 3600);
    span = cel__zone_span(zone, 1000);
    assert_true(span.start_s == 1000 && span.end_s == INT64_MAX && span.offset_s == 3600);
    cel__zone_free(zone);
    len = make_file(file, ""); /* no rule: as at last */
    assert_int_equal(cel__zone_load(&zone, "x", (cel_view){file, len}, NULL), CEL_OK);
    assert_int_equal(cel__zone_span(zone, INT64_C(1) << 40).offset_s, 7200);
    cel__zone_free(zone);
}

static void every_cut_file_is_refused(void **state)
{
    char file[512];
    size_t len = make_file(file, "CET-1CEST,M3.5.0,M10.5.0/3");

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char *copy = malloc(i + 1); /* of its size, so that a read behind it is seen */
        cel_zone *zone = NULL;
        cel_error err = {0};

        memcpy(copy, file, i);
        assert_int_equal(cel__zone_load(&zone, "x", (cel_view){copy, i}, &err), CEL_ECONFIG);
        assert_non_null(strstr(err.message, "'x'"));
        free(copy);
    }
}

static void any_changed_byte_is_read_or_refused(void **state)
{
    char file[512];
    size_t len = make_file(file, "CET-1CEST,M3.5.0,M10.5.0/3");

    (void)state;
    for (size_t i = 0; i < len; i++) {
        for (int value = 0; value < 256; value += 15) {
            char kept = file[i];
            cel_zone *zone = NULL;
            int64_t out[2];
            bool gap;

            file[i] = (char)value;
            if (cel__zone_load(&zone, "x", (cel_view){file, len}, NULL) == CEL_OK)
                assert_in_range(cel__zone_instants(zone, 123456789, out, &gap), 1, 2);
            cel__zone_free(zone);
            file[i] = kept;
        }
    }
}

static void posix_texts(void **state)
{
    static const struct {
        const char *text;
        int64_t january, july; /* offsets in 2026; -1: refused */
    } cases[] = {
        {"UTC0", 0, 0},
        {"EST5EDT", -18000, -14400},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 3600, 7200},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 0, 3600},
        {"<+0330>-3:30", 12600, 12600},
        {"AAA-3BBB-4:30:10,J60/-1,300/167", 10800, 16210},
        {"XXX3EDT4,0/0,J365/23", -14400, -14400},
        {"", -1, -1},
        {"AB3", -1, -1},
        {"<+03", -1, -1},
        {"CET", -1, -1},
        {"CET-25", -1, -1},
        {"CET-1CEST,", -1, -1},
        {"CET-1CEST,M3.5.0", -1, -1},
        {"CET-1CEST,M13.5.0,M10.5.0", -1, -1},
        {"CET-1CEST,M3.6.0,M10.5.0", -1, -1},
        {"CET-1CEST,M3.5.0,J0", -1, -1},
        {"CET-1CEST,M3.5.0,M10.5.0/168", -1, -1},
        {"CET-1CEST,M3.5.0,M10.5.0 ", -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_zone *zone = NULL;
        cel_code code = cel__zone_posix(&zone, cases[i].text, NULL);

        if (cases[i].january == -1) {
            assert_int_equal(code, CEL_ECONFIG);
            continue;
        }
        assert_int_equal(code, CEL_OK);
        assert_int_equal(cel__zone_span(zone, 1768000000).offset_s, cases[i].january);
        assert_int_equal(cel__zone_span(zone, 1784000000).offset_s, cases[i].july);
        cel__zone_free(zone);
    }
}

static void names_stay_inside_the_folder(void **state)
{
    static const char *const names[] = {
        "../etc/passwd", "/etc/localtime", "Europe/../UTC", "No/Where",
        "a b",           ".hidden",        "Europe"};
    cel_zone *zone = NULL;
    cel_error err;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(cel__zone_open(&zone, names[i], &err), CEL_ECONFIG);
        assert_non_null(strstr(err.message, names[i]));
    }
}

static void utc_and_local_need_no_name(void **state)
{
    cel_zone *zone;

    (void)state;
    assert_int_equal(cel__zone_open(&zone, NULL, NULL), CEL_OK);
    assert_string_equal(cel__zone_name(zone), "UTC");
    assert_int_equal(cel__zone_local(zone, 1784000000), 1784000000);
    cel__zone_free(zone);
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    assert_int_equal(cel__zone_open(&zone, "", NULL), CEL_OK);
    assert_int_equal(cel__zone_span(zone, 1784000000).offset_s, -14400);
    cel__zone_free(zone);
    setenv("TZ", ":No/Where", 1);
    assert_int_equal(cel__zone_open(&zone, "", NULL), CEL_ECONFIG);
    setenv("TZ", "/no/such/file", 1);
    assert_int_equal(cel__zone_open(&zone, "", NULL), CEL_ECONFIG);
    unsetenv("TZ");
    assert_int_equal(cel__zone_open(&zone, "", NULL), CEL_OK);
    cel__zone_free(zone);
}

static void memory_may_run_out(void **state)
{
    char file[512];
    size_t len = make_file(file, "CET-1");
    cel_zone *zone = NULL;

    (void)state;
    for (size_t n = 1;; n++) {
        cel_code code;

        cel__mem_fail_at(n);
        code = cel__zone_load(&zone, "x", (cel_view){file, len}, NULL);
        cel__mem_fail_at(0);
        if (code == CEL_OK) {
            assert_int_equal(n, 5);
            break;
        }
        assert_int_equal(code, CEL_ENOMEM);
    }
    cel__zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_and_its_rule_are_read),
        cmocka_unit_test(every_cut_file_is_refused),
        cmocka_unit_test(any_changed_byte_is_read_or_refused),
        cmocka_unit_test(posix_texts),
        cmocka_unit_test(names_stay_inside_the_folder),
        cmocka_unit_test(utc_and_local_need_no_name),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
