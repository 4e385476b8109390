/* result_test.c - documents and exceptions by hand. Recorded ones are in vectors_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "message/result.h"
#include "message/task.h"

#define DONE_US INT64_C(1795316474105188)

static void assert_text(cel_view text, const char *want)
{
    if (!cel__view_is(text, want))
        fail_msg("\n got %.*s\nwant %s", CEL_VIEW_ARG(text), want);
}

static void assert_dumps(const cel_result_meta *meta, const char *want)
{
    cel__buf buf = {0};

    cel__result_meta_dump(&buf, meta);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
}

static void a_document_is_celerys(void **state)
{
    cel_result_meta meta = {.task_id = CEL_VIEW("I1"),
                            .status = CEL_VIEW("SUCCESS"),
                            .result = CEL_VIEW("3"),
                            .children = CEL_VIEW("[]"),
                            .date_done_us = DONE_US};

    (void)state;
    assert_dumps(
        &meta,
        "{\"status\": \"SUCCESS\", \"result\": 3, \"traceback\": null, \"children\": [], "
        "\"date_done\": \"2026-11-22T03:01:14.105188+00:00\", \"task_id\": \"I1\"}");
    meta.date_done_us = CEL_TIME_NONE;
    meta.group_id = CEL_VIEW("G");
    meta.parent_id = CEL_VIEW("P");
    meta.children = meta.result = (cel_view){NULL, 0};
    meta.traceback = CEL_VIEW("line\n");
    assert_dumps(&meta,
                 "{\"status\": \"SUCCESS\", \"result\": null, \"traceback\": \"line\\n\", "
                 "\"children\": null, \"date_done\": null, \"group_id\": \"G\", \"parent_id\": "
                 "\"P\", \"task_id\": \"I1\"}");
}

static void an_extended_document_has_the_call_and_the_stamps(void **state)
{
    cel_result_meta meta = {.task_id = CEL_VIEW("I1"),
                            .status = CEL_VIEW("SUCCESS"),
                            .date_done_us = CEL_TIME_NONE,
                            .name = CEL_VIEW("w.add"),
                            .args = CEL_VIEW("[1, 2]"),
                            .kwargs = CEL_VIEW("{}"),
                            .worker = CEL_VIEW("w1@vm"),
                            .queue = CEL_VIEW("wq"),
                            .stamped_headers = CEL_VIEW("[\"tenant\"]"),
                            .stamps = CEL_VIEW("{\"tenant\": \"t1\"}")};

    (void)state;
    assert_dumps(
        &meta,
        "{\"status\": \"SUCCESS\", \"result\": null, \"traceback\": null, \"children\": null, "
        "\"date_done\": null, \"name\": \"w.add\", \"args\": [1, 2], \"kwargs\": {}, "
        "\"worker\": \"w1@vm\", \"retries\": 0, \"queue\": \"wq\", \"stamped_headers\": "
        "[\"tenant\"], \"tenant\": \"t1\", \"task_id\": \"I1\"}");
}

static cel_code load(cel_result_meta *meta, const char *text, cel__buf *scratch)
{
    cel_error err = {0};
    cel_code code = cel__result_meta_load(meta, cel__view(text), scratch, &err);

    assert_true(code == CEL_OK || err.message[0] != '\0');
    return code;
}

static void documents_of_all_versions_are_read(void **state)
{
    cel_result_meta meta;
    cel__buf scratch = {0};

    (void)state;
    assert_int_equal(load(&meta,
                          "{\"status\": \"SUCCESS\", \"result\": null, \"task_id\": \"I\"}",
                          &scratch),
                     CEL_OK);
    assert_text(meta.status, "SUCCESS");
    assert_null(meta.result.ptr);
    assert_null(meta.name.ptr);
    assert_true(meta.date_done_us == CEL_TIME_NONE);

    assert_int_equal(
        load(&meta,
             "{\"status\": \"FAILURE\", \"result\": {\"exc_type\": \"E\"}, \"traceback\": "
             "\"a\\nb\", \"children\": [[[\"c\", null], null]], \"date_done\": "
             "\"2026-11-22T03:01:14.105188\", \"group_id\": \"G\", \"parent_id\": null, "
             "\"name\": "
             "\"\\u0061dd\", \"args\": [1], \"kwargs\": {\"k\": 1}, \"worker\": \"w\", "
             "\"retries\": 4, \"queue\": \"q\", \"tenant\": 1, \"task_id\": \"I\"}",
             &scratch),
        CEL_OK);
    assert_text(meta.result, "{\"exc_type\": \"E\"}");
    assert_text(meta.traceback, "a\nb");
    assert_text(meta.children, "[[[\"c\", null], null]]");
    assert_true(meta.date_done_us == DONE_US);
    assert_text(meta.group_id, "G");
    assert_null(meta.parent_id.ptr);
    assert_text(meta.name, "add");
    assert_text(meta.args, "[1]");
    assert_text(meta.kwargs, "{\"k\": 1}");
    assert_int_equal(meta.retries, 4);
    assert_text(meta.queue, "q");

    assert_int_equal(
        load(&meta,
             "{\"status\": \"X\", \"date_done\": {\"__type__\": \"datetime\", \"__value__\": "
             "\"2026-11-22T03:01:14.105188+00:00\"}, \"retries\": null}",
             &scratch),
        CEL_OK);
    assert_true(meta.date_done_us == DONE_US);
    cel__buf_done(&scratch);
}

static void what_is_no_document_is_refused(void **state)
{
    static const char *const bad[] = {NULL,
                                      "",
                                      "null",
                                      "[]",
                                      "{}",
                                      "{\"status\": 5}",
                                      "{\"status\": \"\"}",
                                      "{\"status\": \"SUCCESS\"",
                                      "{\"status\": \"SUCCESS\"} 1"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cel__buf scratch = {0};
        cel_result_meta meta;

        if (load(&meta, bad[i], &scratch) != CEL_EPROTO)
            fail_msg("accepted: %s", bad[i]);
        cel__buf_done(&scratch);
    }
}

static void loading_without_memory_is_an_error(void **state)
{
    cel__buf scratch = {0};
    cel_result_meta meta;

    (void)state;
    cel__mem_fail_at(1);
    assert_int_equal(load(&meta, "{\"status\": \"\\u0041\"}", &scratch), CEL_ENOMEM);
    cel__mem_fail_at(0);
    cel__buf_done(&scratch);
}

static void states_know_what_they_are(void **state)
{
    (void)state;
    assert_true(cel__state_ready(CEL_VIEW("SUCCESS")) &&
                cel__state_ready(CEL_VIEW("FAILURE")) && cel__state_ready(CEL_VIEW("REVOKED")));
    assert_false(cel__state_ready(CEL_VIEW("RETRY")) ||
                 cel__state_ready(CEL_VIEW("PROGRESS")) || cel__state_ready(CEL_VIEW("")));
    assert_true(cel__state_failed(CEL_VIEW("FAILURE")) &&
                cel__state_failed(CEL_VIEW("REVOKED")));
    assert_false(cel__state_failed(CEL_VIEW("SUCCESS")) ||
                 cel__state_failed(CEL_VIEW("RETRY")));
    assert_true(cel__state_exception(CEL_VIEW("RETRY")));
    assert_false(cel__state_exception(CEL_VIEW("STARTED")));
}

static void exceptions_go_there_and_back(void **state)
{
    cel_exception exception = {CEL_VIEW("ValueError"), CEL_VIEW("builtins"),
                               CEL_VIEW("[\"boom\", 42]")};
    cel_exception back;
    cel__buf buf = {0}, scratch = {0};

    (void)state;
    cel__exception_dump(&buf, &exception);
    assert_string_equal(cel__buf_cstr(&buf),
                        "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom\", 42], "
                        "\"exc_module\": \"builtins\"}");
    cel__exception_load(&back, cel__buf_view(&buf), &scratch);
    assert_true(cel__view_eq(back.type, exception.type) &&
                cel__view_eq(back.module, exception.module) &&
                cel__view_eq(back.args, exception.args));
    cel__buf_reset(&buf);
    cel__exception_dump(&buf, &(cel_exception){.type = CEL_VIEW("E")});
    assert_string_equal(cel__buf_cstr(&buf),
                        "{\"exc_type\": \"E\", \"exc_message\": [], \"exc_module\": null}");
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void exceptions_are_read_however_they_were_stored(void **state)
{
    static const struct {
        const char *text, *type, *args;
    } cases[] = {
        {"{\"exc_type\": \"E\"}", "E", "[]"},
        {"{\"exc_type\": \"E\", \"exc_message\": \"m\\u0061\"}", "E", "[\"m\\u0061\"]"},
        {"{\"exc_type\": \"\\u0045\", \"exc_message\": null, \"exc_module\": \"\\u0062\"}", "E",
         "[null]"},
        {"{\"exc_type\": \"E\", \"exc_message\": {\"a\": 1}}", "E", "[{\"a\": 1}]"},
        {"\"plain\"", "Exception", "[\"plain\"]"},
        {"null", "Exception", "[null]"},
        {"{\"exc_type\": \"\"}", "Exception", "[{\"exc_type\": \"\"}]"},
        {"{\"exc_type\": 5}", "Exception", "[{\"exc_type\": 5}]"},
        {"no json", "Exception", "[\"no json\"]"},
        {NULL, "Exception", "[\"\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel__buf scratch = {0};
        cel_exception exception;

        cel__exception_load(&exception, cel__view(cases[i].text), &scratch);
        assert_text(exception.type, cases[i].type);
        assert_text(exception.args, cases[i].args);
        cel__buf_done(&scratch);
    }
}

/* More of these, recorded, are in vectors_test.c. */
static void exceptions_look_as_in_python(void **state)
{
    static const struct {
        const char *type, *args, *repr, *str;
    } cases[] = {
        {"ValueError", "[\"boom\", 42]", "ValueError('boom', 42)", "('boom', 42)"},
        {"ValueError", "[\"it's\"]", "ValueError(\"it's\")", "it's"},
        {"ValueError", NULL, "ValueError()", ""},
        {"ValueError", "[null]", "ValueError(None)", "None"},
        {"ValueError", "[[1, \"a\"]]", "ValueError([1, 'a'])", "[1, 'a']"},
        {"Outer.Inner", "[1.0]", "Inner(1.0)", "1.0"},
        {"KeyError", "[\"x\"]", "KeyError('x')", "'x'"},
        {"KeyError", "[\"x\", 1]", "KeyError('x', 1)", "('x', 1)"},
        {"FileNotFoundError", "[2, \"No such file or directory\"]",
         "FileNotFoundError(2, 'No such file or directory')",
         "[Errno 2] No such file or directory"},
        {"OSError", "[\"x\"]", "OSError('x')", "x"},
        {"SoftTimeLimitExceeded", "[]", "SoftTimeLimitExceeded()", "SoftTimeLimitExceeded()"},
        {"TimeLimitExceeded", "[1]", "TimeLimitExceeded(1)", "TimeLimitExceeded(1,)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_exception exception = {.type = cel__view(cases[i].type),
                                   .args = cel__view(cases[i].args)};
        cel__buf repr = {0}, str = {0};

        cel__exception_repr(&repr, &exception);
        cel__exception_str(&str, &exception);
        assert_text(cel__buf_view(&repr), cases[i].repr);
        assert_text(cel__buf_view(&str), cases[i].str);
        cel__buf_done(&repr);
        cel__buf_done(&str);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_celerys),
        cmocka_unit_test(an_extended_document_has_the_call_and_the_stamps),
        cmocka_unit_test(documents_of_all_versions_are_read),
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(loading_without_memory_is_an_error),
        cmocka_unit_test(states_know_what_they_are),
        cmocka_unit_test(exceptions_go_there_and_back),
        cmocka_unit_test(exceptions_are_read_however_they_were_stored),
        cmocka_unit_test(exceptions_look_as_in_python),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
