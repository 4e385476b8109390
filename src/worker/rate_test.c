/* rate_test.c - rate limits. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/rate.h"

static void limits_are_read_as_celery_writes_them(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"100/s", 10000}, {"10/m", 6000000}, {"5/h", 720000000},
                {"2", 500000},    {"0", 0},          {"", 0}};
    static const char *const bad[] = {"x", "10/d", "-1/s", "1/s ", "/s", "nan", "1e-300/h"};
    int64_t us;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cel__rate_parse(&us, good[i].text));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cel__rate_parse(&us, bad[i]));
}

static void turns_are_one_interval_apart(void **state)
{
    cel_task_entry entry = {.options.rate_limit = "10/s"};
    int64_t now = 1000000000;

    (void)state;
    assert_int_equal(cel__rate_delay_us(&entry, now), 0);
    assert_int_equal(cel__rate_delay_us(&entry, now), 100000);
    assert_int_equal(cel__rate_delay_us(&entry, now + 50000), 150000);
    assert_int_equal(cel__rate_delay_us(&entry, now + 1000000), 0);
}

static void a_task_without_limit_never_waits(void **state)
{
    cel_task_entry entry = {0};

    (void)state;
    assert_int_equal(cel__rate_delay_us(&entry, 5), 0);
    assert_int_equal(cel__rate_delay_us(&entry, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_read_as_celery_writes_them),
        cmocka_unit_test(turns_are_one_interval_apart),
        cmocka_unit_test(a_task_without_limit_never_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
