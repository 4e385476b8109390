/* program_test.c - programs as tasks: shell scripts, run as the pools solo and threads would. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/request.h"
#include "app/test_support.h"
#include "celeriac/program.h"
#include "core/test_folder.h"

struct fixture {
    cel_app *app;
    test_run run;
    char folder[100];
    char path[120]; /* a file in it */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_true(cel__test_folder(f->folder, sizeof f->folder, "program"));
    snprintf(f->path, sizeof f->path, "%s/file", f->folder);
    f->app = test_app(NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    test_run_done(&f->run);
    cel_app_free(f->app);
    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

/* Declares a shell script as the task p.sh. */
static void declare(struct fixture *f, const char *script, const cel_program_options *options)
{
    const char *argv[] = {"/bin/sh", "-c", script, f->path, NULL};
    cel_error err = {0};

    if (cel_program_register(f->app, "p.sh", argv, options, &err) != CEL_OK)
        fail_msg("%s", err.message);
}

static void run(struct fixture *f, const char *script, const char *args)
{
    declare(f, script, NULL);
    test_run_call(&f->run, f->app, "p.sh", args, "{\"k\": \"v\"}");
}

/* ---- input and result ---- */

static void a_program_reads_its_arguments_and_prints_its_result(void **state)
{
    struct fixture *f = *state;

    run(f, "cat", "[1, 12345678901234567890123]");
    assert_view(f->run.state, "FAILURE"); /* its big integer is no value in C, but reached it */
    assert_true(view_has(f->run.result, "printed what is no JSON"));
    run(f, "cat", "[1, \"\xc3\xa9\"]");
    assert_view(f->run.state, "SUCCESS");
    assert_true(view_has(f->run.result, "\"task\": \"p.sh\""));
    assert_true(view_has(f->run.result, "\"retries\": 0, \"args\": [1, \"\\u00e9\"], "
                                        "\"kwargs\": {\"k\": \"v\"}"));
    run(f, "exec 0<&- 1>&- 2>&- 3>&-; exit 0", "[]");
    assert_view(f->run.result, "null");
    run(f, "echo '{\"a\": [1, 2]}  '; echo", "[]");
    assert_view(f->run.result, "{\"a\": [1, 2]}");
    run(f, "echo hello", "[]");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "/bin/sh printed what is no JSON"));
}

static void a_text_is_taken_as_it_is(void **state)
{
    struct fixture *f = *state;
    cel_program_options options = {.size = sizeof options, .text_result = true};

    declare(f, "echo hello; echo", &options);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_view(f->run.result, "\"hello\\n\"");
    declare(f, "printf '\\377'", &options);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "no UTF-8"));
}

static void large_inputs_and_results_pass(void **state)
{
    struct fixture *f = *state;
    cel__buf args = {0};

    cel__buf_add_str(&args, "[\"");
    for (int i = 0; i < 300000; i++)
        cel__buf_add_str(&args, "abcdefgh");
    cel__buf_add_str(&args, "\"]");
    run(f, "cat; cat >&2 </dev/null", cel__buf_cstr(&args));
    assert_view(f->run.state, "SUCCESS");
    assert_true(f->run.result.len > 2400000);
    cel__buf_done(&args);
}

static void a_flood_is_cut_off(void **state)
{
    struct fixture *f = *state;

    run(f, "exec cat /dev/zero", "[]");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "printed more than"));
    run(f, "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1", "[]");
    assert_true(view_has(f->run.traceback, "end\n"));
    assert_true(f->run.traceback.len < 20000);
    run(f, "head -c 3000000 /dev/zero | tr '\\0' 1 >&3; echo >&3; echo 7 >&3; echo true", "[]");
    assert_view(f->run.state, "SUCCESS");
    assert_true(view_has(cel__buf_view(&f->run.frames), "longer than"));
    assert_true(view_has(cel__buf_view(&f->run.frames), "PROGRESS"));
}

static void the_environment_says_what_runs(void **state)
{
    static const char *const more[] = {"COLOUR=red", "HOME=/nowhere", NULL};
    struct fixture *f = *state;
    cel_program_options options = {
        .size = sizeof options, .environment = more, .directory = "/usr", .text_result = true};

    declare(f, "echo $CELERIAC_TASK_NAME $CELERIAC_RETRIES $COLOUR $HOME ${PATH:+path} $PWD",
            &options);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_view(f->run.result, "\"p.sh 0 red /nowhere path /usr\"");
}

/* ---- ends ---- */

static void exit_statuses_are_failures_with_the_last_words(void **state)
{
    struct fixture *f = *state;

    run(f, "echo first >&2; echo 'no such image' >&2; exit 3", "[]");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "ChildProcessError"));
    assert_true(view_has(f->run.result, "/bin/sh exited with status 3: no such image"));
    assert_true(
        view_has(f->run.traceback, "    first\n    no such image\nChildProcessError: "));
    run(f, "kill -SEGV $$", "[]");
    assert_true(view_has(f->run.result, "/bin/sh was ended by signal 11 (SIGSEGV)"));
    run(f, "printf 'x\\377y' >&2; exit 1", "[]");
    assert_true(view_has(f->run.traceback, "x\xef\xbf\xbdy"));
}

static void notes_name_the_exception(void **state)
{
    struct fixture *f = *state;

    run(f,
        "echo '{\"error\": {\"type\": \"game.errors.NoDay\", \"message\": \"which?\"}}' >&3; "
        "exit 1",
        "[]");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "\"exc_type\": \"NoDay\""));
    assert_true(view_has(f->run.result, "game.errors"));
    run(f, "echo '{\"error\": {\"type\": \"KeyError\"}}' >&3; echo 1", "[]");
    assert_view(f->run.state, "SUCCESS"); /* it has changed its mind */
}

static void status_75_is_a_retry(void **state)
{
    struct fixture *f = *state;

    run(f, "echo 'host is busy' >&2; echo '{\"retry\": 2.5}' >&3; exit 75", "[]");
    assert_view(f->run.state, "RETRY");
    assert_true(view_has(f->run.repr, "Retry in 2.5s: ChildProcessError("));
    run(f, "exit 75", "[]");
    assert_view(f->run.state, "RETRY");
    assert_view(f->run.repr, "Retry in 180s");
}

static void progress_is_a_state(void **state)
{
    struct fixture *f = *state;
    cel_view frames;

    run(f,
        "echo '{\"done\": 1}' >&3; echo nonsense >&3; echo >&3; "
        "echo '{\"state\": \"LOADING\", \"meta\": [2]}' >&3; printf '{\"state\": \"LAST\"}' "
        ">&3; "
        "echo remark >&2; echo 5",
        "[]");
    assert_view(f->run.result, "5");
    frames = cel__buf_view(&f->run.frames);
    assert_true(view_has(frames, "PROGRESS") && view_has(frames, "{\"done\": 1}"));
    assert_true(view_has(frames, "LOADING") && view_has(frames, "[2]"));
    assert_true(view_has(frames, "LAST"));
    assert_true(view_has(frames, "a note of the program is no JSON"));
    assert_true(view_has(frames, "remark"));
}

static void what_cannot_be_run_is_a_failure(void **state)
{
    static const char *const missing[] = {"/no/such/program", NULL};
    static const char *const folder[] = {"/usr", NULL};
    struct fixture *f = *state;
    cel_program_options options = {.size = sizeof options, .directory = "/no/such/folder"};

    cel_program(f->app, "p.missing", missing);
    test_run_call(&f->run, f->app, "p.missing", "[]", "{}");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "FileNotFoundError"));
    assert_true(view_has(f->run.result, "/no/such/program cannot be run: No such file"));
    cel_program(f->app, "p.folder", folder);
    test_run_call(&f->run, f->app, "p.folder", "[]", "{}");
    assert_true(view_has(f->run.result, "OSError"));
    declare(f, "true", &options);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_true(view_has(f->run.result, "FileNotFoundError"));
}

/* ---- limits ---- */

static void the_soft_limit_asks_and_then_kills(void **state)
{
    struct fixture *f = *state;
    cel_program_options options = {.size = sizeof options, .grace_ms = 50};

    f->run.canceled = 1;
    declare(f, "sleep 100", NULL);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_true(view_has(f->run.result, "SoftTimeLimitExceeded"));
    declare(f, "trap 'echo 3; exit 0' TERM; sleep 100 & wait", NULL);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_true(view_has(f->run.state, "SUCCESS") ||
                view_has(f->run.result, "SoftTimeLimitExceeded")); /* before the trap was set */
    declare(f, "trap '' TERM; while :; do sleep 0.01; done", &options);
    test_run_call(&f->run, f->app, "p.sh", "[]", "{}");
    assert_true(view_has(f->run.result, "SoftTimeLimitExceeded"));
}

static pid_t pid_in(const char *path)
{
    FILE *file = fopen(path, "r");
    int pid = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    return pid;
}

/* Whether the process ends; one that is a zombie of somebody else's has ended, too. */
static bool ends(pid_t pid)
{
    for (int i = 0; i < 5000; i++) {
        char path[64], state = 'Z';
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        file = fopen(path, "r");
        if (!file)
            return true;
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 'Z';
        fclose(file);
        if (state == 'Z')
            return true;
        usleep(1000);
    }
    return false;
}

static void what_it_leaves_behind_ends_with_it(void **state)
{
    struct fixture *f = *state;

    run(f, "sleep 1000 & echo $! >$0; echo 1", "[]");
    assert_view(f->run.state, "SUCCESS");
    assert_true(ends(pid_in(f->path)));
}

/* ---- declarations ---- */

static void nonsense_is_refused(void **state)
{
    static const char *const none[] = {NULL}, *const true_program[] = {"true", NULL};
    static const char *const bad[] = {"novalue", NULL};
    struct fixture *f = *state;
    cel_program_options options = {.size = sizeof options, .environment = bad};
    cel_error err;

    assert_int_equal(cel_program_register(f->app, "p", none, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_program_register(f->app, "p", NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_program_register(f->app, "p", true_program, &options, &err),
                     CEL_EINVAL);
    options = (cel_program_options){.size = sizeof options, .grace_ms = -1};
    assert_int_equal(cel_program_register(f->app, "p", true_program, &options, &err),
                     CEL_EINVAL);
    assert_int_equal(cel_program_register(f->app, "", true_program, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_program_register(NULL, "p", true_program, NULL, &err), CEL_EINVAL);
    cel_program(f->app, "p", none);
    assert_int_equal(f->app->module_error.code, CEL_EINVAL);
}

static void the_configuration_declares_programs(void **state)
{
    static const char *const settings[] = {
        "task_programs={'p.list': ['echo', '1'], 'p.full': {'command': ['sh', '-c', 'echo "
        "$COLOUR'], 'environment': {'COLOUR': 'blue'}, 'directory': '/usr', 'text_result': "
        "True, 'grace': 0.5, 'time_limit': 60, 'acks_late': True, 'max_retries': 7, "
        "'autoretry_for': 'Exception'}}",
        NULL};
    cel_app *app = test_app(settings);
    const cel_task_entry *entry = cel__registry_find(app->registry, CEL_VIEW("p.full"));
    test_run run = {0};

    (void)state;
    assert_non_null(entry);
    assert_int_equal(entry->options.time_limit_ms, 60000);
    assert_int_equal(entry->options.acks_late, 1);
    assert_int_equal(entry->options.max_retries, 7);
    assert_string_equal(entry->options.autoretry_for, "Exception");
    test_run_call(&run, app, "p.full", "[]", "{}");
    assert_view(run.result, "\"blue\"");
    test_run_call(&run, app, "p.list", "[]", "{}");
    assert_view(run.result, "1");
    test_run_done(&run);
    cel_app_free(app);
}

static void wrong_declarations_are_errors(void **state)
{
    static const char *const wrong[] = {
        "task_programs={'p': []}",
        "task_programs={'p': 5}",
        "task_programs={'p': {}}",
        "task_programs={'p': {'command': ['a', 5]}}",
        "task_programs={'p': {'command': 'a', 'colour': 'red'}}",
        "task_programs={'p': {'command': 'a', 'acks_late': 'yes'}}",
        "task_programs={'p': {'command': 'a', 'time_limit': -1}}",
        "task_programs={'p': {'command': 'a', 'priority': 300}}",
        "task_programs={'p': {'command': 'a', 'environment': {'A': 1}}}",
        "task_programs={'': 'a'}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *settings[] = {wrong[i], NULL};
        cel_app *app = NULL;
        cel_error err = {0};
        cel_code code =
            cel_app_new(&app,
                        CEL_APP_OPTIONS(.ignore_environment = true, .broker = "memory://",
                                        .settings = settings),
                        &err);

        if (code != CEL_ECONFIG)
            fail_msg("%s: %d", wrong[i], (int)code);
        assert_non_null(strstr(err.message, "task_programs"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_reads_its_arguments_and_prints_its_result),
        TEST(a_text_is_taken_as_it_is),
        TEST(large_inputs_and_results_pass),
        TEST(a_flood_is_cut_off),
        TEST(the_environment_says_what_runs),
        TEST(exit_statuses_are_failures_with_the_last_words),
        TEST(notes_name_the_exception),
        TEST(status_75_is_a_retry),
        TEST(progress_is_a_state),
        TEST(what_cannot_be_run_is_a_failure),
        TEST(the_soft_limit_asks_and_then_kills),
        TEST(what_it_leaves_behind_ends_with_it),
        TEST(nonsense_is_refused),
        cmocka_unit_test(the_configuration_declares_programs),
        cmocka_unit_test(wrong_declarations_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
