/* banner_test.c - Celery's banner, to the blanks at the ends of lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "celeriac/task.h"
#include "celeriac/version.h"
#include "cli/banner.h"

static json_t *nothing(cel_request *req)
{
    (void)req;
    return NULL;
}

static int make_app(void **state)
{
    cel_app *app = NULL;

    if (cel_app_new(&app,
                    CEL_APP_OPTIONS(.name = "proj", .broker = "amqp://guest:secret@host:5672/v",
                                    .backend = "redis://:secret@host:6379/6",
                                    .ignore_environment = true),
                    NULL) != CEL_OK)
        return -1;
    cel_task_register(app, "t.fail", nothing, NULL, NULL);
    cel_task_register(app, "t.add", nothing, NULL, NULL);
    *state = app;
    return 0;
}

static int free_app(void **state)
{
    cel_app_free(*state);
    return 0;
}

/* Prints the banner; the caller frees *buf. Two things differ from run to run: they are cut out. */
static void print(cel__buf *buf, cel_app *app, bool with_tasks, bool with_builtins)
{
    const cel_view queues[] = {CEL_VIEW("celery"), CEL_VIEW("a_rather_long_name_of_a_queue"),
                               CEL_VIEW("b")};
    char *at;

    cel__banner_print(buf, &(cel_banner){.app = app,
                                         .node = "w1@vm",
                                         .pool = "prefork",
                                         .concurrency = 2,
                                         .queues = queues,
                                         .queue_count = 3,
                                         .with_tasks = with_tasks,
                                         .with_builtins = with_builtins});
    assert_non_null(cel__buf_cstr(buf));
    at = strstr(buf->ptr, "-- ******* ---- ");
    assert_non_null(at);
    memset(at + 16, 'P', strcspn(at + 16, "\n"));
    at = strstr(buf->ptr, "proj:0x");
    assert_non_null(at);
    memset(at + 5, 'A', strcspn(at + 5, "\n"));
}

static void assert_lines(const char *text, const char *const *lines)
{
    for (; *lines; lines++) {
        size_t len = strcspn(text, "\n");
        const char *line = *lines;
        size_t want = strlen(line);

        if (want > 0 && line[want - 1] == '~') { /* what is behind it differs */
            assert_memory_equal(text, line, want - 1);
        } else {
            assert_int_equal(len, want);
            assert_memory_equal(text, line, len);
        }
        assert_int_equal(text[len], '\n');
        text += len + 1;
    }
    assert_string_equal(text, "");
}

static void the_layout_is_celerys(void **state)
{
    static const char *const lines[] = {
        " ",
        " -------------- w1@vm v" CEL_VERSION_STRING " (celeriac)",
        "--- ***** ----- ",
        "-- ******* ---- PPPP~",
        "- *** --- * --- ",
        "- ** ---------- [config]",
        "- ** ---------- .> app:         proj:AA~",
        "- ** ---------- .> transport:   amqp://guest:**@host:5672/v",
        "- ** ---------- .> results:     redis://:**@host:6379/6",
        "- *** --- * --- .> concurrency: 2 (prefork)",
        "-- ******* ---- .> task events: OFF (enable -E to monitor tasks in this worker)",
        "--- ***** ----- ",
        " -------------- [queues]",
        "                .> a_rather_long_name_of_a_queue "
        "exchange=a_rather_long_name_of_a_queue(direct) key=a_rather_long_name_of_a_queue",
        "                .> b                exchange=b(direct) key=b",
        "                .> celery           exchange=celery(direct) key=celery",
        "                ",
        "",
        "[tasks]",
        "  . t.add",
        "  . t.fail",
        "",
        NULL,
    };
    cel__buf buf = {0};

    print(&buf, *state, true, false);
    assert_lines(buf.ptr, lines);
    cel__buf_done(&buf);
}

static void tasks_are_listed_at_info_only_and_those_of_celery_at_debug(void **state)
{
    cel__buf buf = {0};

    print(&buf, *state, false, false);
    assert_null(strstr(buf.ptr, "[tasks]"));
    cel__buf_done(&buf);
    print(&buf, *state, true, true);
    assert_non_null(strstr(buf.ptr, "\n  . celery."));
    cel__buf_done(&buf);
}

static void no_password_is_shown(void **state)
{
    cel__buf buf = {0};

    print(&buf, *state, true, true);
    assert_null(strstr(buf.ptr, "secret"));
    cel__buf_done(&buf);
}

static void a_worker_without_results_says_so(void **state)
{
    cel_app *app = NULL;
    cel__buf buf = {0};

    (void)state;
    assert_int_equal(
        cel_app_new(&app,
                    CEL_APP_OPTIONS(.name = "proj", .broker = "memory://",
                                    .backend = "disabled://", .ignore_environment = true),
                    NULL),
        CEL_OK);
    print(&buf, app, true, false);
    assert_non_null(strstr(buf.ptr, "- ** ---------- .> results:     disabled://\n"));
    cel__buf_done(&buf);
    cel_app_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_layout_is_celerys, make_app, free_app),
        cmocka_unit_test_setup_teardown(
            tasks_are_listed_at_info_only_and_those_of_celery_at_debug, make_app, free_app),
        cmocka_unit_test_setup_teardown(no_password_is_shown, make_app, free_app),
        cmocka_unit_test(a_worker_without_results_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
