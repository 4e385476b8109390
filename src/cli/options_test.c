/* options_test.c - command lines as click reads them, and where the values come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

static const cel_option outer[] = {
    {"app", 'A', NULL, CEL_OPTION_STRING, "MODULE", "TEST_APP", "Module"},
    {"quiet", 'q', NULL, CEL_OPTION_FLAG, NULL, NULL, "Quiet"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

static const cel_option inner[] = {
    {"concurrency", 'c', NULL, CEL_OPTION_INT, "N", NULL, "Slots"},
    {"max-tasks-per-child", 0, "maxtasksperchild,mtpc", CEL_OPTION_INT, "N", NULL, "Limit"},
    {"time-limit", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL, "Limit"},
    {"events", 'E', NULL, CEL_OPTION_FLAG, NULL, NULL, "Events"},
    {"loglevel", 'l', NULL, CEL_OPTION_STRING, "LEVEL", NULL, "Level"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* Reads the words, a NULL-terminated list, with both tables. */
static cel_code read_words(cel_args *args, const char *const *words, cel_error *err)
{
    int argc = 0, at = 0;

    while (words[argc])
        argc++;
    *args = (cel_args){.tables = {outer, inner}};
    return cel__args_read(args, argc, (char *const *)words, &at, false, err);
}

#define READ(args, err, ...) read_words(args, (const char *const[]){__VA_ARGS__, NULL}, err)

static void long_options_take_a_value_behind_equals_or_as_the_next_word(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "--concurrency=4", "--loglevel", "info"), CEL_OK);
    assert_int_equal(cel__args_int(&args, "concurrency", 0), 4);
    assert_string_equal(cel__args_string(&args, "loglevel"), "info");
    assert_int_equal(READ(&args, NULL, "--loglevel="), CEL_OK);
    assert_string_equal(cel__args_string(&args, "loglevel"), "");
}

static void letters_may_be_run_together_and_end_with_a_value(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "-qEc4"), CEL_OK);
    assert_true(cel__args_flag(&args, "quiet"));
    assert_true(cel__args_flag(&args, "events"));
    assert_int_equal(cel__args_int(&args, "concurrency", 0), 4);
    assert_int_equal(READ(&args, NULL, "-El", "info", "-c", "2"), CEL_OK);
    assert_string_equal(cel__args_string(&args, "loglevel"), "info");
    assert_int_equal(cel__args_int(&args, "concurrency", 0), 2);
}

static void an_alias_is_known_by_the_options_name(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "--maxtasksperchild", "7"), CEL_OK);
    assert_int_equal(cel__args_int(&args, "max-tasks-per-child", 0), 7);
    assert_int_equal(READ(&args, NULL, "--mtpc=8"), CEL_OK);
    assert_int_equal(cel__args_int(&args, "max-tasks-per-child", 0), 8);
    assert_int_equal(READ(&args, NULL, "--maxtasks", "7"), CEL_EINVAL);
}

static void the_last_of_equal_options_wins(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "-c", "2", "-c", "3"), CEL_OK);
    assert_int_equal(cel__args_int(&args, "concurrency", 0), 3);
}

static void words_are_collected_between_and_behind_options(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "one", "-q", "two", "--", "--three", "-4"), CEL_OK);
    assert_int_equal(args.word_count, 4);
    assert_string_equal(args.words[0], "one");
    assert_string_equal(args.words[2], "--three");
    assert_string_equal(args.words[3], "-4");
    assert_int_equal(READ(&args, NULL, "-1", "-"), CEL_OK);
    assert_int_equal(args.word_count, 2);
}

static void reading_stops_at_the_command(void **state)
{
    const char *const argv[] = {"-A", "tasks", "worker", "-x"};
    cel_args args = {.tables = {outer, NULL}};
    int at = 0;

    (void)state;
    assert_int_equal(cel__args_read(&args, 4, (char *const *)argv, &at, true, NULL), CEL_OK);
    assert_int_equal(at, 2);
    assert_int_equal(args.word_count, 0);
}

static void assert_refused(const char *const *words, const char *message)
{
    cel_args args;
    cel_error err = {0};

    assert_int_equal(read_words(&args, words, &err), CEL_EINVAL);
    assert_string_equal(err.message, message);
}

static void what_is_wrong_is_said_as_click_says_it(void **state)
{
    (void)state;
    assert_refused((const char *const[]){"--concurency", "2", NULL},
                   "No such option: --concurency. Did you mean --concurrency?");
    assert_refused((const char *const[]){"--zzzzzzzz", NULL}, "No such option: --zzzzzzzz");
    assert_refused((const char *const[]){"-qz", NULL}, "No such option: -z");
    assert_refused((const char *const[]){"-c", NULL}, "Option '-c' requires an argument.");
    assert_refused((const char *const[]){"--app", NULL},
                   "Option '--app' requires an argument.");
    assert_refused((const char *const[]){"--quiet=1", NULL},
                   "Option '--quiet' does not take a value.");
    assert_refused((const char *const[]){"-c", "two", NULL},
                   "Invalid value for '--concurrency': 'two' is not a valid integer.");
    assert_refused((const char *const[]){"-c", "99999999999999999999", NULL},
                   "Invalid value for '--concurrency': '99999999999999999999' is not a valid "
                   "integer.");
    assert_refused((const char *const[]){"--time-limit", "1.5s", NULL},
                   "Invalid value for '--time-limit': '1.5s' is not a valid number.");
}

static void too_many_options_and_words_are_refused(void **state)
{
    const char *words[CEL_WORDS_MAX + 2];

    (void)state;
    for (size_t i = 0; i < CEL_WORDS_MAX + 1; i++)
        words[i] = "word";
    words[CEL_WORDS_MAX + 1] = NULL;
    assert_refused(words, "Too many arguments.");
    for (size_t i = 0; i < CEL_WORDS_MAX + 1; i++)
        words[i] = "-q";
    assert_refused(words, "Too many options.");
}

static void what_is_not_given_has_the_default(void **state)
{
    cel_args args;

    (void)state;
    assert_int_equal(READ(&args, NULL, "word"), CEL_OK);
    assert_null(cel__args_string(&args, "app"));
    assert_false(cel__args_flag(&args, "quiet"));
    assert_int_equal(cel__args_int(&args, "concurrency", 9), 9);
    assert_true(cel__args_float(&args, "time-limit", 1.5) == 1.5);
}

static void the_environment_gives_what_the_command_line_does_not(void **state)
{
    cel_args args;
    cel_error err = {0};

    (void)state;
    setenv("TEST_APP", "from-environment", 1);
    setenv("CELERY_WORKER_MAX_TASKS_PER_CHILD", "5", 1);
    setenv("CELERY_WORKER_CONCURRENCY", "5", 1);
    setenv("CELERY_WORKER_EVENTS", "0", 1);
    assert_int_equal(READ(&args, NULL, "-c", "2"), CEL_OK);
    assert_int_equal(cel__args_environment(&args, "worker", &err), CEL_OK);
    assert_string_equal(cel__args_string(&args, "app"), "from-environment");
    assert_int_equal(cel__args_int(&args, "max-tasks-per-child", 0), 5);
    assert_int_equal(cel__args_int(&args, "concurrency", 0), 2);
    assert_false(cel__args_flag(&args, "events"));

    setenv("CELERY_WORKER_MAX_TASKS_PER_CHILD", "many", 1);
    assert_int_equal(READ(&args, NULL, "-q"), CEL_OK);
    assert_int_equal(cel__args_environment(&args, "worker", &err), CEL_EINVAL);
    unsetenv("TEST_APP");
    unsetenv("CELERY_WORKER_MAX_TASKS_PER_CHILD");
    unsetenv("CELERY_WORKER_CONCURRENCY");
    unsetenv("CELERY_WORKER_EVENTS");
}

static void a_likely_word_is_suggested_and_an_unlikely_one_is_not(void **state)
{
    static const char *const words[] = {"worker", "call", "result", "purge", NULL};

    (void)state;
    assert_string_equal(cel__did_you_mean("wroker", words), "worker");
    assert_string_equal(cel__did_you_mean("results", words), "result");
    assert_string_equal(cel__did_you_mean("cal", words), "call");
    assert_null(cel__did_you_mean("inspect", words));
    assert_null(cel__did_you_mean(
        "a-word-that-is-longer-than-the-table-of-the-distance-has-columns-for-it", words));
}

static void help_shows_letters_values_and_wraps(void **state)
{
    char text[4096] = "";
    FILE *to = fmemopen(text, sizeof text, "w");

    (void)state;
    assert_non_null(to);
    cel__options_print(to, inner);
    fclose(to);
    assert_non_null(strstr(text, "  -c, --concurrency N           Slots\n"));
    assert_non_null(strstr(text, "  --max-tasks-per-child N       Limit\n"));
    assert_non_null(strstr(text, "  -E, --events                  Events\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_options_take_a_value_behind_equals_or_as_the_next_word),
        cmocka_unit_test(letters_may_be_run_together_and_end_with_a_value),
        cmocka_unit_test(an_alias_is_known_by_the_options_name),
        cmocka_unit_test(the_last_of_equal_options_wins),
        cmocka_unit_test(words_are_collected_between_and_behind_options),
        cmocka_unit_test(reading_stops_at_the_command),
        cmocka_unit_test(what_is_wrong_is_said_as_click_says_it),
        cmocka_unit_test(too_many_options_and_words_are_refused),
        cmocka_unit_test(what_is_not_given_has_the_default),
        cmocka_unit_test(the_environment_gives_what_the_command_line_does_not),
        cmocka_unit_test(a_likely_word_is_suggested_and_an_unlikely_one_is_not),
        cmocka_unit_test(help_shows_letters_values_and_wraps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
