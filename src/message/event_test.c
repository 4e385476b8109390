/* event_test.c - events, to the byte as Celery's dispatcher writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/time.h"
#include "message/event.h"
#include "message/task.h"

#define NOW_US INT64_C(1795402675838644)

static const cel_view uuid = {"21ca3f6e-4f0c-4a3c-9e6a-0d8c3a1f7b52", 36};

static void begin(cel__buf *buf, const cel__buf *head, int64_t clock)
{
    cel__buf_add_str(buf, clock == 3 ? "[" : ", ");
    cel__event_begin(buf, cel__buf_view(head), clock);
    cel__event_text(buf, "uuid", uuid);
}

static void write_list(cel__buf *buf, const cel__buf *head)
{
    int64_t expires_us;

    assert_true(cel__time_parse(&expires_us, CEL_VIEW("2026-11-23T03:01:14.105188+00:00")));
    begin(buf, head, 3);
    cel__event_text(buf, "name", CEL_VIEW("t.add"));
    cel__event_text(buf, "args", CEL_VIEW("(1, \"\xc3\xa4\n\")"));
    cel__event_text(buf, "kwargs", CEL_VIEW("{}"));
    cel__event_text(buf, "root_id", uuid);
    cel__event_text(buf, "parent_id", (cel_view){NULL, 0});
    cel__event_int(buf, "retries", 0);
    cel__event_time(buf, "eta", CEL_TIME_NONE);
    cel__event_time(buf, "expires", expires_us);
    cel__event_end(buf, NOW_US, "task-received");
    begin(buf, head, 4);
    cel__event_end(buf, NOW_US, "task-started");
    begin(buf, head, 5);
    cel__event_text(buf, "result", CEL_VIEW("'\xf0\x9f\x98\x80'"));
    cel__event_seconds(buf, "runtime", 5519);
    cel__event_end(buf, NOW_US, "task-succeeded");
    begin(buf, head, 6);
    cel__event_text(buf, "exception", CEL_VIEW("ValueError('boom')"));
    cel__event_text(buf, "traceback", CEL_VIEW("Traceback (most recent call last):\n  ...\n"));
    cel__event_end(buf, NOW_US, "task-failed");
    begin(buf, head, 7);
    cel__event_text(buf, "exception", CEL_VIEW("None"));
    cel__event_text(buf, "traceback", CEL_VIEW("x"));
    cel__event_end(buf, NOW_US, "task-retried");
    begin(buf, head, 8);
    cel__event_bool(buf, "terminated", false);
    cel__event_json(buf, "signum", CEL_VIEW("null"));
    cel__event_bool(buf, "expired", true);
    cel__event_end(buf, NOW_US, "task-revoked");
    begin(buf, head, 9);
    cel__event_bool(buf, "requeue", true);
    cel__event_end(buf, NOW_US, "task-rejected");
    cel__buf_add_byte(buf, ']');
}

static void events_are_those_that_celery_writes(void **state)
{
    json_error_t why;
    json_t *root = json_load_file(CEL_VECTORS "/events.json", 0, &why);
    const json_t *vector = json_array_get(json_object_get(root, "vectors"), 2);
    cel__buf head = {0}, text = {0}, headers = {0};

    (void)state;
    assert_non_null(root);
    cel__event_head(&head, CEL_VIEW("w1@vm"), 5, 16958);
    write_list(&text, &head);
    assert_string_equal(cel__buf_cstr(&text),
                        json_string_value(json_object_get(vector, "body")));
    cel__event_headers(&headers, CEL_VIEW("w1@vm"));
    assert_string_equal(cel__buf_cstr(&headers),
                        json_string_value(json_object_get(vector, "headers")));
    cel__buf_done(&head);
    cel__buf_done(&text);
    cel__buf_done(&headers);
    json_decref(root);
}

static void seconds_have_the_digits_they_need(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, ", \"s\": 0.0"},          {1, ", \"s\": 0.000001"},
                 {1500000, ", \"s\": 1.5"},    {2000000, ", \"s\": 2.0"},
                 {-1250000, ", \"s\": -1.25"}, {NOW_US, ", \"s\": 1795402675.838644"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel__buf text = {0};

        cel__event_seconds(&text, "s", cases[i].us);
        assert_string_equal(cel__buf_cstr(&text), cases[i].text);
        cel__buf_done(&text);
    }
}

/* New York in winter is 5 hours west, Kolkata 5.5 east: -6, rounded down. */
static void hours_west_are_rounded_down(void **state)
{
    static const struct {
        const char *zone;
        int hours;
    } cases[] = {{"UTC0", 0}, {"EST5", 5}, {"IST-5:30", -6}, {"CET-1", -1}, {"NST3:30", 3}};
    const char *before = getenv("TZ");
    char kept[64];

    (void)state;
    snprintf(kept, sizeof kept, "%s", before ? before : "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("TZ", cases[i].zone, 1);
        tzset();
        assert_int_equal(cel__event_utcoffset(NOW_US), cases[i].hours);
    }
    if (before)
        setenv("TZ", kept, 1);
    else
        unsetenv("TZ");
    tzset();
}

static void what_was_heard_came_before_what_is_said(void **state)
{
    cel_lamport clock = {0};

    (void)state;
    assert_int_equal(cel__lamport_forward(&clock), 1);
    assert_int_equal(cel__lamport_adjust(&clock, 40), 41);
    assert_int_equal(cel__lamport_adjust(&clock, 7), 42);
    assert_int_equal(cel__lamport_adjust(&clock, INT64_MAX),
                     43); /* nobody has counted so far */
    assert_int_equal(cel__lamport_forward(&clock), 44);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_those_that_celery_writes),
        cmocka_unit_test(seconds_have_the_digits_they_need),
        cmocka_unit_test(hours_west_are_rounded_down),
        cmocka_unit_test(what_was_heard_came_before_what_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
