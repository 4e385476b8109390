/* logging_test.c - lines as Celery's, when they are written, and a file that is renamed. */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/logging.h"
#include "core/test_folder.h"

#define STAMP "\\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}: "

struct fixture {
    char folder[100], path[120], moved[120];
    char text[8192];
    cel_logging logging;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    *state = f;
    if (!f)
        return -1;
    if (!cel__test_folder(f->folder, sizeof f->folder, "logging"))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/log", f->folder);
    snprintf(f->moved, sizeof f->moved, "%s/log.1", f->folder);
    cel__logging_init(&f->logging);
    f->logging.level = CEL_LOG_DEBUG;
    return cel__logging_open(&f->logging, f->path, NULL) == CEL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cel__logging_done(&f->logging);
    unlink(f->path);
    unlink(f->moved);
    rmdir(f->folder);
    free(f);
    return 0;
}

static const char *content(struct fixture *f, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t len = 0;

    if (file) {
        len = fread(f->text, 1, sizeof f->text - 1, file);
        fclose(file);
    }
    f->text[len] = '\0';
    return f->text;
}

static void log_text(struct fixture *f, cel_log_level level, const char *text)
{
    cel__logging_sink(&f->logging, level, text, strlen(text));
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    int rc;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (rc != 0)
        fail_msg("%s\ndoes not match\n%s", text, pattern);
}

static void a_line_looks_as_in_celery(void **state)
{
    struct fixture *f = *state;

    log_text(f, CEL_LOG_INFO, "w1@vm ready.");
    assert_matches(content(f, f->path), "^" STAMP "INFO/MainProcess\\] w1@vm ready\\.\n$");
}

static void every_level_has_pythons_name(void **state)
{
    static const struct {
        cel_log_level level;
        const char *pattern;
    } cases[] = {
        {CEL_LOG_DEBUG, "^" STAMP "DEBUG/MainProcess\\] x\n"},
        {CEL_LOG_INFO, "\n" STAMP "INFO/MainProcess\\] x\n"},
        {CEL_LOG_WARNING, "\n" STAMP "WARNING/MainProcess\\] x\n"},
        {CEL_LOG_ERROR, "\n" STAMP "ERROR/MainProcess\\] x\n"},
        {CEL_LOG_CRITICAL, "\n" STAMP "CRITICAL/MainProcess\\] x\n$"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        log_text(f, cases[i].level, "x");
    content(f, f->path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_matches(f->text, cases[i].pattern);
}

static void a_line_of_a_task_names_process_task_and_id(void **state)
{
    struct fixture *f = *state;

    cel__logging_worker(&f->logging, CEL_LOG_INFO, "ForkPoolWorker-2", CEL_VIEW("test.log"),
                        CEL_VIEW("an-id"), CEL_VIEW("hello"));
    assert_matches(content(f, f->path),
                   "^" STAMP "INFO/ForkPoolWorker-2\\] test\\.log\\[an-id\\]: hello\n$");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    struct fixture *f = *state;

    f->logging.level = CEL_LOG_WARNING;
    log_text(f, CEL_LOG_INFO, "no");
    log_text(f, CEL_LOG_WARNING, "yes");
    assert_matches(content(f, f->path), "^" STAMP "WARNING/MainProcess\\] yes\n$");
}

static void lines_wait_for_the_flush_but_errors_do_not(void **state)
{
    struct fixture *f = *state;

    f->logging.direct = false;
    log_text(f, CEL_LOG_INFO, "first");
    assert_string_equal(content(f, f->path), "");
    cel__logging_flush(&f->logging);
    assert_matches(content(f, f->path), "first\n$");
    log_text(f, CEL_LOG_INFO, "second");
    log_text(f, CEL_LOG_ERROR, "third");
    assert_matches(content(f, f->path), "second\n.*third\n$");
}

static void what_fills_the_buffer_is_written_without_a_flush(void **state)
{
    struct fixture *f = *state;
    char line[1024];

    f->logging.direct = false;
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (int i = 0; i < 100; i++)
        log_text(f, CEL_LOG_INFO, line);
    assert_true(strlen(content(f, f->path)) > 1024);
}

static void a_renamed_file_is_opened_anew(void **state)
{
    struct fixture *f = *state;

    log_text(f, CEL_LOG_INFO, "old");
    assert_int_equal(rename(f->path, f->moved), 0);
    cel__logging_reopen(&f->logging);
    log_text(f, CEL_LOG_INFO, "new");
    assert_matches(content(f, f->moved), "old\n$");
    assert_matches(content(f, f->path), "^" STAMP "INFO/MainProcess\\] new\n$");
}

static void colors_are_only_for_terminals(void **state)
{
    struct fixture *f = *state;

    log_text(f, CEL_LOG_ERROR, "plain");
    assert_null(strchr(content(f, f->path), '\033'));
    f->logging.color = true;
    log_text(f, CEL_LOG_ERROR, "red");
    assert_non_null(strstr(content(f, f->path), "\033[1;31mred\033[0m\n"));
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    cel_logging logging;
    cel_error err = {0};

    (void)state;
    cel__logging_init(&logging);
    assert_int_equal(cel__logging_open(&logging, "/nowhere/at/all.log", &err), CEL_EIO);
    assert_non_null(strstr(err.message, "/nowhere/at/all.log"));
    cel__logging_done(&logging);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_looks_as_in_celery, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_level_has_pythons_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_of_a_task_names_process_task_and_id, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_below_the_level_is_not_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lines_wait_for_the_flush_but_errors_do_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_fills_the_buffer_is_written_without_a_flush,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_renamed_file_is_opened_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colors_are_only_for_terminals, set_up, tear_down),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
