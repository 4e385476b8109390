/* client_options_test.c - the client's command line. */
#include <stdio.h>
#include <string.h>

#include "client_options.h"
#include "test_support.h"

#define READ(...) read_words((char *[]){"hotwords", __VA_ARGS__, NULL})

static hw_options options;
static char message[256];

static bool read_words(char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    message[0] = '\0';
    return hw_options_read(&options, argc, argv, message, sizeof message);
}

static void nothing_given_is_two_days_and_two_ranges(void **state)
{
    (void)state;
    assert_true(read_words((char *[]){"hotwords", NULL}));
    assert_int_equal(options.date_count, 2);
    assert_string_equal(options.dates[0], "20200406");
    assert_string_equal(options.dates[1], "20200407");
    assert_int_equal(options.range_count, 2);
    assert_int_equal(options.ranges[0].lo, 1);
    assert_int_equal(options.ranges[0].hi, 450);
    assert_int_equal(options.ranges[1].lo, 451);
    assert_int_equal(options.ranges[1].hi, 900);
    assert_string_equal(options.queue, "celery_test");
    assert_int_equal(options.top, 20);
    assert_int_equal(options.timeout_ms, 300000);
    assert_null(options.data);
    assert_null(options.broker);
    assert_null(options.rpc);
    assert_false(options.json || options.help || options.version);
}

static void every_option_is_read(void **state)
{
    (void)state;
    assert_true(READ("--data", "d", "--dates=20200101,20200102,20191231", "--levels", "5-5,6-9",
                     "--top", "7", "-b", "u", "--result-backend", "v", "-Q", "q", "--timeout",
                     "1.5", "--json", "--report=r.html", "--config", "c.py", "--rpc=r"));
    assert_string_equal(options.data, "d");
    assert_int_equal(options.date_count, 3);
    assert_string_equal(options.dates[2], "20191231");
    assert_int_equal(options.range_count, 2);
    assert_int_equal(options.ranges[0].lo, 5);
    assert_int_equal(options.ranges[0].hi, 5);
    assert_int_equal(options.ranges[1].hi, 9);
    assert_int_equal(options.top, 7);
    assert_string_equal(options.broker, "u");
    assert_string_equal(options.backend, "v");
    assert_string_equal(options.queue, "q");
    assert_string_equal(options.rpc, "r");
    assert_int_equal(options.timeout_ms, 1500);
    assert_true(options.json);
    assert_string_equal(options.report, "r.html");
    assert_string_equal(options.config, "c.py");
}

static void a_document_has_a_hundred_words_unless_told(void **state)
{
    (void)state;
    assert_true(READ("--json"));
    assert_int_equal(options.top, 100);
    assert_true(READ("--json", "--top", "3"));
    assert_int_equal(options.top, 3);
}

static void no_time_limit_is_for_ever(void **state)
{
    (void)state;
    assert_true(READ("--timeout", "0"));
    assert_int_equal(options.timeout_ms, -1);
    assert_true(READ("--timeout", "0.0001"));
    assert_int_equal(options.timeout_ms, 0);
}

static void help_and_version_are_told(void **state)
{
    (void)state;
    assert_true(READ("--help"));
    assert_true(options.help);
    assert_true(READ("-h"));
    assert_true(options.help);
    assert_true(READ("--version"));
    assert_true(options.version);
}

static void nonsense_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *option, *value, *reason;
    } cases[] = {
        {"--dates", "", "'' is not a date of eight digits"},
        {"--dates", "2020040", "'2020040' is not a date"},
        {"--dates", "20200406,", "'' is not a date"},
        {"--dates", "2020-4-6", "'2020-4-6' is not a date"},
        {"--dates", "20200406,20200406", "20200406 comes twice"},
        {"--levels", "", "'' is not a range"},
        {"--levels", "1", "'1' is not a range"},
        {"--levels", "1-", "'1-' is not a range"},
        {"--levels", "-1-5", "'-1-5' is not a range"},
        {"--levels", "0-5", "'0-5' is not a range"},
        {"--levels", "5-1", "'5-1' is not a range"},
        {"--levels", "1-450,", "'' is not a range"},
        {"--levels", "1-450x", "'1-450x' is not a range"},
        {"--levels", "1-99999999999999999999", "is not a range"},
        {"--levels", "1-450,450-900", "'450-900' overlaps another range"},
        {"--top", "0", "'0' is not a number from 1"},
        {"--top", "-1", "'-1' is not a number from 1"},
        {"--top", "3x", "'3x' is not a number"},
        {"--top", "1000001", "is not a number from 1 to 1000000"},
        {"--timeout", "-1", "'-1' is not a number of seconds"},
        {"--timeout", "nan", "'nan' is not a number of seconds"},
        {"--timeout", "soon", "'soon' is not a number of seconds"},
        {"--nonsense", NULL, "no such option: '--nonsense'"},
        {"-b", NULL, "'-b' needs a value"},
        {"--dates", NULL, "'--dates' needs a value"},
        {"more", NULL, "unexpected argument: 'more'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[] = {"hotwords", (char *)(uintptr_t)cases[i].option,
                        (char *)(uintptr_t)cases[i].value, NULL};

        assert_false(read_words(argv));
        if (!strstr(message, cases[i].reason))
            fail_msg("%s %s: '%s' does not say '%s'", cases[i].option,
                     cases[i].value ? cases[i].value : "", message, cases[i].reason);
    }
}

static void more_days_than_there_is_room_for_are_refused(void **state)
{
    char list[(HW_DATES_MAX + 1) * (HW_DATE_LEN + 1) + 1] = "";

    (void)state;
    for (int i = 0; i <= HW_DATES_MAX; i++)
        snprintf(list + (size_t)i * (HW_DATE_LEN + 1), HW_DATE_LEN + 2, "%08d,", i);
    list[(size_t)HW_DATES_MAX * (HW_DATE_LEN + 1) - 1] = '\0';
    assert_true(READ("--dates", list));
    assert_int_equal(options.date_count, HW_DATES_MAX);
    list[(size_t)HW_DATES_MAX * (HW_DATE_LEN + 1) - 1] = ',';
    list[sizeof list - 2] = '\0';
    assert_false(READ("--dates", list));
    assert_non_null(strstr(message, "at most 64 days"));
}

static void the_help_names_every_option(void **state)
{
    static const char *const names[] = {
        "--data DIR",   "--dates D",          "--levels LO-HI", "--top N",
        "-b, --broker", "--result-backend",   "-Q, --queue",    "--timeout SECONDS",
        "--json",       "--report FILE.html", "--config FILE",  "--version",
        "-h, --help",   "-Q celery_test",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strstr(hw_options_help(), names[i]))
            fail_msg("%s is not in the help", names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_is_two_days_and_two_ranges),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(a_document_has_a_hundred_words_unless_told),
        cmocka_unit_test(no_time_limit_is_for_ever),
        cmocka_unit_test(help_and_version_are_told),
        cmocka_unit_test(nonsense_is_refused_with_its_reason),
        cmocka_unit_test(more_days_than_there_is_room_for_are_refused),
        cmocka_unit_test(the_help_names_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
