/* trace_test.c - from REQUEST frames to OUTCOME frames. */
#include <stdlib.h>
#include <string.h>

#include "app/test_support.h"
#include "celeriac/send.h"
#include "core/mem.h"

/* ---- tasks ---- */

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return NULL;
    return json_integer(x + y);
}

static json_t *boom(cel_request *req)
{
    return cel_raise(req, "ValueError", "boom %d", 42);
}

static json_t *raise_named(cel_request *req)
{
    const char *name;

    if (cel_unpack(req, "name:s", &name) != CEL_OK)
        return NULL;
    return cel_raise_args(req, name, json_pack("[s, i]", "why", 7));
}

static json_t *nothing(cel_request *req)
{
    (void)req;
    return NULL;
}

static json_t *again(cel_request *req)
{
    return cel_retry(req, 1500, "not yet");
}

static json_t *again_quietly(cel_request *req)
{
    return cel_retry(req, -1, NULL);
}

static json_t *again_after_raise(cel_request *req)
{
    cel_raise(req, "KeyError", "k");
    return cel_retry(req, 0, NULL);
}

static json_t *ignore(cel_request *req)
{
    return cel_ignore(req);
}

static json_t *long_text(cel_request *req)
{
    (void)req;
    return json_sprintf("%08000d", 0);
}

static json_t *reject(cel_request *req)
{
    return cel_reject(req, true, "not %s", "mine");
}

static json_t *about(cel_request *req)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s, s:I, s:b}", "id",
                     cel_request_id(req), "task", cel_request_task(req), "root",
                     cel_request_root_id(req), "parent", cel_request_parent_id(req), "group",
                     cel_request_group(req), "hostname", cel_request_hostname(req), "queue",
                     cel_request_queue(req), "retries", (json_int_t)cel_request_retries(req),
                     "redelivered", cel_request_redelivered(req));
}

static json_t *progress(cel_request *req)
{
    cel_error err;

    if (cel_update_state(req, "PROGRESS", json_pack("{s:i}", "cur", 1), &err) != CEL_OK)
        return cel_raise(req, "OSError", "%s", err.message);
    cel_request_log(req, CEL_LOG_WARNING, "half of %d", 10);
    return json_true();
}

static json_t *spawn(cel_request *req)
{
    cel_signature *signature = cel_sig("tasks.add", "[i, i]", 1, 2);
    bool now = false;
    char id[37] = "";
    cel_error err = {0};
    cel_code code = CEL_EINVAL;

    if (cel_unpack(req, "now:b", &now) == CEL_OK)
        code = cel_request_apply(req, signature, now, id, &err);
    cel_signature_free(signature);
    if (code != CEL_OK)
        return cel_raise(req, "OSError", "%s", err.message);
    return json_string(id);
}

static json_t *replaced(cel_request *req)
{
    return cel_replace(
        req, CEL_CHAIN(cel_sig("tasks.add", "[i, i]", 1, 2), cel_sig("tasks.add", "[i]", 3)));
}

static json_t *replaced_by_nothing(cel_request *req)
{
    return cel_replace(req, NULL);
}

static json_t *joined(cel_request *req)
{
    cel_signature *signature = cel_sig("tasks.add", "[i, i]", 1, 2);
    cel_error err = {0};
    cel_code code = cel_add_to_chord(req, signature, &err);

    cel_signature_free(signature);
    return code == CEL_OK ? json_true() : cel_raise(req, "ValueError", "%s", err.message);
}

static json_t *send_from_child(cel_request *req)
{
    cel_app *app = cel_request_app(req);
    int pid = app->pid;
    cel_error err = {0};

    app->pid = -1; /* as in a forked child */
    if (cel_send(app, NULL, "tasks.add", NULL, NULL, NULL, &err) == CEL_OK)
        snprintf(err.message, sizeof err.message, "sent");
    app->pid = pid;
    return json_string(err.message);
}

static cel_app *traced_app(const char *const *settings)
{
    cel_app *app = test_app(settings);

    cel_task(app, "tasks.add", add);
    cel_task(app, "tasks.replaced", replaced);
    cel_task(app, "tasks.replaced_by_nothing", replaced_by_nothing);
    cel_task(app, "tasks.joined", joined);
    cel_task(app, "tasks.boom", boom);
    cel_task(app, "tasks.boom_expected", boom, .throws = "KeyError, builtins.ValueError");
    cel_task(app, "tasks.boom_kept", boom, .ignore_result = 1,
             .store_errors_even_if_ignored = 1);
    cel_task(app, "tasks.add_ignored", add, .ignore_result = 1);
    cel_task(app, "tasks.raise_named", raise_named);
    cel_task(app, "tasks.nothing", nothing);
    cel_task(app, "tasks.long", long_text);
    cel_task(app, "tasks.again", again);
    cel_task(app, "tasks.again_quietly", again_quietly, .default_retry_delay_ms = 60000);
    cel_task(app, "tasks.again_after_raise", again_after_raise);
    cel_task(app, "tasks.ignore", ignore);
    cel_task(app, "tasks.reject", reject);
    cel_task(app, "tasks.about", about);
    cel_task(app, "tasks.progress", progress);
    cel_task(app, "tasks.spawn", spawn);
    cel_task(app, "tasks.send_from_child", send_from_child);
    assert_int_equal(app->module_error.code, CEL_OK);
    return app;
}

struct fixture {
    cel_app *app;
    test_run run;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.app = traced_app(NULL);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    test_run_done(&fixture->run);
    cel_app_free(fixture->app);
    return 0;
}

static cel_task_message spec_of(const char *task, const char *args)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = cel__view(task);
    spec.id = CEL_VIEW("id-1");
    spec.args = cel__view(args);
    return spec;
}

/* ---- results ---- */

static void a_value_is_a_success(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.add", "[2, 3]", "{}");
    assert_view(f->run.state, "SUCCESS");
    assert_view(f->run.result, "5");
    assert_view(f->run.repr, "5");
    assert_view(f->run.children, "[]");
    assert_view(f->run.traceback, NULL);
    assert_int_equal(f->run.store, 1);
    assert_int_equal(f->run.messages + f->run.chords + f->run.parts + f->run.victims, 0);
    assert_non_null(test_section(&f->run, CEL_TAG_RUNTIME_US, 0).ptr);
}

static void the_first_outcome_tells_the_memory_in_use(void **state)
{
    struct fixture *f = *state;
    int64_t kib = 0;
    int found = 0;

    for (int i = 0; i < 64; i++) {
        test_run_call(&f->run, f->app, "tasks.add", "[2, 3]", "{}");
        if (cel__section_int(test_section(&f->run, CEL_TAG_RSS_KIB, 0), &kib))
            found++;
    }
    assert_in_range(found, 1, 63);
    assert_in_range(kib, 500, 1 << 30);
}

static void an_exception_is_a_failure_with_pythons_texts(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.boom", "[]", "{}");
    assert_view(f->run.state, "FAILURE");
    assert_view(f->run.result, "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom 42\"], "
                               "\"exc_module\": \"builtins\"}");
    assert_view(f->run.repr, "ValueError('boom 42')");
    assert_view(f->run.traceback,
                "Traceback (most recent call last):\n  Task tasks.boom[id-1] in C\n"
                "ValueError: boom 42\n");
    assert_int_equal(f->run.expected, 0);
}

static void exceptions_come_from_the_module_that_has_them(void **state)
{
    static const char *const cases[][3] = {
        {"ZeroDivisionError", "ZeroDivisionError", "builtins"},
        {"game.errors.NoSuchDay", "NoSuchDay", "game.errors"},
        {"ChordError", "ChordError", "celery.exceptions"},
        {"SoftTimeLimitExceeded", "SoftTimeLimitExceeded", "billiard.exceptions"},
        {"EncodeError", "EncodeError", "kombu.exceptions"},
        {"MyOwn", "MyOwn", "tasks"},
        {"Value", "Value", "tasks"},
        {"ValueErrors", "ValueErrors", "tasks"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cel__buf args = {0}, want = {0};

        cel__buf_addf(&args, "[\"%s\"]", cases[i][0]);
        cel__buf_addf(&want,
                      "{\"exc_type\": \"%s\", \"exc_message\": [\"why\", 7], "
                      "\"exc_module\": \"%s\"}",
                      cases[i][1], cases[i][2]);
        test_run_call(&f->run, f->app, "tasks.raise_named", cel__buf_cstr(&args), "{}");
        assert_view(f->run.result, cel__buf_cstr(&want));
        cel__buf_done(&args);
        cel__buf_done(&want);
    }
}

static void null_without_an_exception_is_a_runtime_error(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.nothing", "[]", "{}");
    assert_true(view_has(f->run.result, "\"RuntimeError\""));
    f->run.canceled = 1;
    test_run_call(&f->run, f->app, "tasks.nothing", "[]", "{}");
    assert_view(f->run.result, "{\"exc_type\": \"SoftTimeLimitExceeded\", \"exc_message\": [], "
                               "\"exc_module\": \"billiard.exceptions\"}");
    assert_true(view_has(f->run.traceback, "\nbilliard.exceptions.SoftTimeLimitExceeded"));
}

static void declared_exceptions_are_expected(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.boom_expected", "[]", "{}");
    assert_view(f->run.state, "FAILURE");
    assert_int_equal(f->run.expected, 1);
}

static void ignore_and_reject_store_nothing(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.ignore", "[]", "{}");
    assert_view(f->run.state, "IGNORED");
    assert_int_equal(f->run.store, 0);
    test_run_call(&f->run, f->app, "tasks.reject", "[]", "{}");
    assert_view(f->run.state, "REJECTED");
    assert_int_equal(f->run.store, 0);
    assert_int_equal(f->run.requeue, 1);
    assert_view(f->run.repr, "not mine");
}

/* header (-1 null) x task -> stored; the setting is off */
static void the_header_decides_whether_a_result_is_stored(void **state)
{
    static const struct {
        const char *task;
        int header, store;
    } cases[] = {
        {"tasks.add", -1, 1},         {"tasks.add", 0, 1},         {"tasks.add", 1, 0},
        {"tasks.add_ignored", -1, 0}, {"tasks.add_ignored", 0, 1}, {"tasks.add_ignored", 1, 0},
        {"tasks.boom", 1, 0},         {"tasks.boom_kept", -1, 1},  {"tasks.boom_kept", 1, 1},
    };
    static const char *const settings[] = {"task_ignore_result=True", NULL};
    struct fixture *f = *state;
    cel_app *ignoring;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cel_task_message spec = spec_of(cases[i].task, "[1, 2]");

        spec.ignore_result = cases[i].header;
        test_run_spec(&f->run, f->app, &spec);
        if (f->run.store != cases[i].store)
            fail_msg("%s with header %d: %d", cases[i].task, cases[i].header, f->run.store);
    }
    ignoring = traced_app(settings);
    test_run_call(&f->run, ignoring, "tasks.add", "[1, 2]", "{}");
    assert_int_equal(f->run.store, 0);
    cel_app_free(ignoring);
}

static void extended_results_carry_the_arguments(void **state)
{
    static const char *const settings[] = {"result_extended=True", NULL};
    struct fixture *f = *state;
    cel_app *app = traced_app(settings);

    test_run_call(&f->run, app, "tasks.add", "[1]", "{\"y\": 2}");
    assert_view(test_section(&f->run, CEL_TAG_ARGS, 0), "[1]");
    assert_view(test_section(&f->run, CEL_TAG_KWARGS, 0), "{\"y\": 2}");
    cel_app_free(app);
}

static void a_request_knows_its_message(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.about", "[]");

    spec.root_id = CEL_VIEW("root");
    spec.group = CEL_VIEW("g\"1");
    spec.retries = 2;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.result,
                "{\"id\": \"id-1\", \"task\": \"tasks.about\", \"root\": \"root\", "
                "\"parent\": null, \"group\": \"g\\\"1\", \"hostname\": \"worker@host\", "
                "\"queue\": \"celery\", \"retries\": 2, \"redelivered\": false}");
}

/* ---- what follows ---- */

static void callbacks_and_the_next_of_the_chain_follow_a_success(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.add", "[2, 3]");

    spec.root_id = CEL_VIEW("root");
    spec.callbacks = CEL_VIEW("[" SIG("tasks.cb", "[]", "{\"task_id\": \"cb-1\"}") "]");
    spec.chain = CEL_VIEW("[" SIG("tasks.last", "[]", "{\"task_id\": \"l-1\"}") ", " SIG(
        "tasks.next", "[9]", "{\"task_id\": \"n-1\"}") "]");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "SUCCESS");
    assert_int_equal(f->run.messages, 2);
    test_check_message(&f->run, 0, "tasks.cb", "[5]", "id-1");
    test_check_message(&f->run, 1, "tasks.next", "[5, 9]", "id-1");
    assert_true(view_has(f->run.children, "\"cb-1\""));
    assert_true(view_has(f->run.children, "\"n-1\""));
    assert_int_equal(f->run.victims, 0);
}

static void a_follower_that_is_no_signature_fails_the_task(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.add", "[2, 3]");

    spec.callbacks = CEL_VIEW("[17]");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_int_equal(f->run.messages, 0);
}

static void a_chord_part_ends_with_its_task(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.add", "[2, 3]");
    cel_view part;
    int64_t index;

    spec.group = CEL_VIEW("gid");
    spec.group_index = 4;
    spec.root_id = CEL_VIEW("root");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}"));
    test_run_spec(&f->run, f->app, &spec);
    assert_int_equal(f->run.parts, 1);
    part = test_section(&f->run, CEL_TAG_PART, 0);
    assert_view(test_inside(part, CEL_TAG_GID), "gid");
    assert_view(test_inside(part, CEL_TAG_ID), "id-1");
    assert_view(test_inside(part, CEL_TAG_STATE), "SUCCESS");
    assert_view(test_inside(part, CEL_TAG_RESULT), "5");
    assert_view(test_inside(part, CEL_TAG_ROOT), "root");
    assert_true(view_has(test_inside(part, CEL_TAG_BODY), "tasks.body"));
    assert_true(cel__section_int(test_inside(part, CEL_TAG_INDEX), &index));
    assert_int_equal(index, 4);
    spec.task = CEL_VIEW("tasks.ignore");
    test_run_spec(&f->run, f->app, &spec);
    assert_int_equal(f->run.parts, 0);
}

static void a_part_whose_outcome_finds_no_room_fails_and_is_counted(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.long", "[]");

    spec.group = CEL_VIEW("gid");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}"));
    f->run.out.max = 4096;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "MemoryError"));
    assert_int_equal(f->run.parts, 1);
    assert_view(test_inside(test_section(&f->run, CEL_TAG_PART, 0), CEL_TAG_STATE), "FAILURE");
}

static cel_task_message failing_chain(void)
{
    cel_task_message spec = spec_of("tasks.boom", "[]");

    spec.chain = CEL_VIEW(
        "[" SIG("tasks.last", "[]",
                "{\"task_id\": \"l-1\", \"group_id\": \"gid\", \"group_index\": 1, "
                "\"chord\": " SIG(
                    "tasks.body", "[]",
                    "{\"task_id\": \"b-1\"}") "}") ", " SIG("tasks.next", "[]",
                                                            "{\"task_id\": \"n-1\"}") "]");
    spec.errbacks = CEL_VIEW("[" SIG("tasks.eb", "[1]", "{}") "]");
    return spec;
}

static void a_failure_takes_its_chain_with_it_and_calls_errbacks(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();
    size_t last; /* which victim is the chain's last step */

    test_run_spec(&f->run, f->app, &spec);
    assert_int_equal(f->run.victims, 2);
    last =
        cel__view_is(test_inside(test_section(&f->run, CEL_TAG_VICTIM, 1), CEL_TAG_ID), "l-1");
    assert_view(test_inside(test_section(&f->run, CEL_TAG_VICTIM, last), CEL_TAG_ID), "l-1");
    assert_view(test_inside(test_section(&f->run, CEL_TAG_VICTIM, last), CEL_TAG_GID), "gid");
    assert_view(test_inside(test_section(&f->run, CEL_TAG_VICTIM, !last), CEL_TAG_ID), "n-1");
    assert_true(view_has(test_inside(test_section(&f->run, CEL_TAG_VICTIM, 1), CEL_TAG_RESULT),
                         "boom 42"));
    assert_int_equal(f->run.parts, 1);
    assert_view(test_inside(test_section(&f->run, CEL_TAG_PART, 0), CEL_TAG_ID), "l-1");
    assert_view(test_inside(test_section(&f->run, CEL_TAG_PART, 0), CEL_TAG_STATE), "FAILURE");
    assert_int_equal(f->run.messages, 1);
    test_check_message(&f->run, 0, "tasks.eb", "[\"id-1\", 1]", "id-1");
}

static void an_ignored_failure_still_ends_chord_parts(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();

    spec.ignore_result = 1;
    test_run_spec(&f->run, f->app, &spec);
    assert_int_equal(f->run.store, 0);
    assert_int_equal(f->run.victims, 0);
    assert_int_equal(f->run.parts, 1);
    assert_int_equal(f->run.messages, 1);
}

/* ---- retry ---- */

static void a_retry_is_the_same_message_later(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.again", "[1]");
    cel__buf scratch = {0}, more = {0};
    cel_message message;
    cel_task_headers headers;

    spec.kwargs = CEL_VIEW("{\"k\": \"v\"}");
    spec.origin = CEL_VIEW("gen1@client");
    spec.stamps = CEL_VIEW("{\"tenant\": \"t1\"}");
    spec.stamped_headers = CEL_VIEW("[\"tenant\"]");
    spec.headers = CEL_VIEW("{\"custom\": {\"v\": 1.50}, \"x-death\": [1]}");
    spec.chain = CEL_VIEW("[" SIG("tasks.next", "[]", "{}") "]");
    spec.priority = 4;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "RETRY");
    assert_view(f->run.repr, "Retry in 1.5s: Exception('not yet')");
    assert_true(view_has(f->run.result, "\"not yet\""));
    assert_true(view_has(f->run.traceback,
                         "celery.exceptions.Retry: Retry in 1.5s: Exception('not yet')\n"));
    assert_int_equal(f->run.messages, 1);
    test_check_message(&f->run, 0, "tasks.again", "[1]", "id-1");
    message = test_message(&f->run, 0, &scratch);
    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &more, NULL), CEL_OK);
    assert_view(headers.id, "id-1");
    assert_view(message.correlation_id, "id-1");
    assert_int_equal(headers.retries, 1);
    assert_int_equal(message.priority, 4);
    assert_true(headers.eta_us > 1700000001500000);
    assert_view(headers.origin, "gen1@client");
    assert_view(headers.stamps, "{\"tenant\": \"t1\"}");
    assert_true(view_has(message.headers, "\"custom\": {\"v\": 1.50}"));
    assert_false(view_has(message.headers, "x-death"));
    assert_true(view_has(message.body, "tasks.next"));
    cel__buf_done(&scratch);
    cel__buf_done(&more);
}

static void a_retry_waits_as_the_task_says(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.again_quietly", "[]", "{}");
    assert_view(f->run.repr, "Retry in 60s");
    assert_view(f->run.result, "null");
    test_run_call(&f->run, f->app, "tasks.again_after_raise", "[]", "{}");
    assert_view(f->run.repr, "Retry in 0s: KeyError('k')");
}

static void retries_have_a_last_one(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.again", "[1]");

    spec.retries = 2;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "RETRY");
    spec.retries = 3;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_view(f->run.repr, "Exception('not yet')");
    assert_int_equal(f->run.messages, 0);
    spec.task = CEL_VIEW("tasks.again_quietly");
    spec.kwargs = CEL_VIEW("{\"a\": \"b\"}");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.result,
                "{\"exc_type\": \"MaxRetriesExceededError\", \"exc_message\": "
                "[\"Can't retry tasks.again_quietly[id-1] args:(1,) kwargs:{'a': 'b'}\"], "
                "\"exc_module\": \"celery.exceptions\"}");
}

/* ---- while it runs ---- */

static void a_running_task_reports_and_logs(void **state)
{
    struct fixture *f = *state;
    cel_frame frame;
    int64_t len, level = 0;

    test_run_call(&f->run, f->app, "tasks.progress", "[]", "{}");
    assert_view(f->run.state, "SUCCESS");
    len = cel__frame_read(&frame, cel__buf_view(&f->run.frames));
    assert_true(len > 0);
    assert_int_equal(frame.type, CEL_FRAME_UPDATE);
    assert_int_equal(frame.request_id, 7);
    assert_view(test_inside(frame.sections, CEL_TAG_STATE), "PROGRESS");
    assert_view(test_inside(frame.sections, CEL_TAG_RESULT), "{\"cur\": 1}");
    len = cel__frame_read(&frame,
                          (cel_view){f->run.frames.ptr + len, f->run.frames.len - (size_t)len});
    assert_true(len > 0);
    assert_int_equal(frame.type, CEL_FRAME_LOG);
    assert_view(test_inside(frame.sections, CEL_TAG_TEXT), "half of 10");
    assert_true(cel__section_int(test_inside(frame.sections, CEL_TAG_LEVEL), &level));
    assert_int_equal(level, 30);
}

static void what_a_task_sends_leaves_with_its_outcome(void **state)
{
    struct fixture *f = *state;
    cel_view id;

    test_run_call(&f->run, f->app, "tasks.spawn", "[false]", "{}");
    assert_view(f->run.state, "SUCCESS");
    assert_int_equal(f->run.frames.len, 0);
    assert_int_equal(f->run.messages, 1);
    test_check_message(&f->run, 0, "tasks.add", "[1, 2]", "id-1");
    assert_int_equal(f->run.result.len, 38);
    id = (cel_view){f->run.result.ptr + 1, 36};
    assert_non_null(memmem(f->run.children.ptr, f->run.children.len, id.ptr, id.len));
}

static void what_a_task_sends_now_is_confirmed(void **state)
{
    struct fixture *f = *state;
    cel_frame frame;

    test_run_call(&f->run, f->app, "tasks.spawn", "[true]", "{}");
    assert_view(f->run.state, "SUCCESS");
    assert_int_equal(f->run.messages, 0);
    assert_true(cel__frame_read(&frame, cel__buf_view(&f->run.frames)) > 0);
    assert_int_equal(frame.type, CEL_FRAME_PUBLISH);
    assert_true(test_inside(frame.sections, CEL_TAG_MESSAGE).len > 0);
    f->run.reply = CEL_ECONN;
    test_run_call(&f->run, f->app, "tasks.spawn", "[true]", "{}");
    assert_view(f->run.repr, "OSError('no broker')");
}

static void a_forked_child_is_told_how_to_send(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "tasks.send_from_child", "[]", "{}");
    assert_true(view_has(f->run.result, "cel_request_apply"));
}

/* ---- broken input ---- */

static void unknown_tasks_and_bodies_are_failures(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.nosuch", "[]");
    cel__buf buf = {0};
    cel_message message;

    spec.errbacks = CEL_VIEW("[" SIG("tasks.eb", "[]", "{}") "]");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.result,
                "{\"exc_type\": \"NotRegistered\", \"exc_message\": [\"tasks.nosuch\"], "
                "\"exc_module\": \"celery.exceptions\"}");
    assert_int_equal(f->run.messages, 1);
    spec = spec_of("tasks.add", "[]");
    assert_int_equal(cel__task_message_build(&message, &spec, 0, &buf, NULL), CEL_OK);
    message.body = CEL_VIEW("[[1, 2], {}");
    test_run_message(&f->run, f->app, &message);
    assert_true(view_has(f->run.result, "\"DecodeError\""));
    message.body = CEL_VIEW("\x80\x04K\x01.");
    message.content_type = CEL_VIEW("application/x-python-serialize");
    message.content_encoding = CEL_VIEW("binary");
    test_run_message(&f->run, f->app, &message);
    assert_true(view_has(f->run.result, "\"ContentDisallowed\""));
    cel__buf_done(&buf);
}

static void a_frame_that_is_none_gets_an_outcome(void **state)
{
    struct fixture *f = *state;
    cel_pool_call call = {.request_id = 3};
    cel_pool_host host;

    cel__trace_host(&host, f->app);
    host.run(host.user, &call, CEL_VIEW("rubbish"), &f->run.out);
    test_parse(&f->run);
    assert_view(f->run.state, "FAILURE");
}

/* Any bytes are changed: there is always one well-formed outcome. */
static void hostile_frames_get_outcomes(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();
    cel__buf buf = {0}, frame = {0}, bad = {0};
    cel_message message;
    cel_pool_call call = {.request_id = 3};
    cel_pool_host host;
    unsigned seed = 20251123;

    spec.group = CEL_VIEW("gid");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}"));
    assert_int_equal(cel__task_message_build(&message, &spec, 0, &buf, NULL), CEL_OK);
    cel__trace_host(&host, f->app);
    cel__trace_request(&frame, 3, &message, "w@h", CEL_VIEW("celery"), false, NULL);
    for (int i = 0; i < 3000; i++) {
        cel__buf_reset(&bad);
        cel__buf_add_view(&bad, cel__buf_view(&frame));
        for (int n = rand_r(&seed) % 6; n >= 0; n--)
            bad.ptr[(size_t)rand_r(&seed) % bad.len] = (char)rand_r(&seed);
        cel__buf_reset(&f->run.out);
        host.run(host.user, &call, cel__buf_view(&bad), &f->run.out);
        test_parse(&f->run);
        assert_true(f->run.state.len > 0);
    }
    cel__buf_done(&bad);
    cel__buf_done(&frame);
    cel__buf_done(&buf);
}

static void running_out_of_memory_is_an_outcome(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();
    cel__buf buf = {0}, frame = {0}, out = {0};
    cel_message message;
    cel_pool_call call = {.request_id = 3};
    cel_pool_host host;

    assert_int_equal(cel__task_message_build(&message, &spec, 0, &buf, NULL), CEL_OK);
    cel__trace_host(&host, f->app);
    cel__trace_request(&frame, 3, &message, "w@h", CEL_VIEW("celery"), false, NULL);
    for (size_t n = 1; n < 200; n++) {
        cel_frame read;

        cel__buf_done(&out);
        cel__buf_reserve(&out, 16384); /* the frame's own memory is the pool's affair */
        cel__mem_fail_at(n);
        host.run(host.user, &call, cel__buf_view(&frame), &out);
        cel__mem_fail_at(0);
        assert_true(cel__frame_read(&read, cel__buf_view(&out)) > 0);
        assert_view(test_inside(read.sections, CEL_TAG_STATE), "FAILURE");
    }
    cel__buf_done(&out);
    cel__buf_done(&frame);
    cel__buf_done(&buf);
}

/* ---- tasks that did not run, chords ---- */

static void fail_message(struct fixture *f, const cel_task_message *spec, const char *state)
{
    cel_exception exception = {CEL_VIEW("WorkerLostError"), CEL_VIEW("billiard.exceptions"),
                               CEL_VIEW("[\"gone\"]")};
    cel__buf buf = {0}, scratch = {0};
    cel_message message;
    cel_task_headers headers;

    assert_int_equal(cel__task_message_build(&message, spec, 0, &buf, NULL), CEL_OK);
    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL), CEL_OK);
    cel__buf_reset(&f->run.out);
    cel__trace_fail(&f->run.out, f->app, 9, &message, &headers, state, &exception);
    test_parse(&f->run);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void a_lost_task_fails_with_its_chain(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();

    fail_message(f, &spec, "FAILURE");
    assert_view(f->run.state, "FAILURE");
    assert_view(f->run.traceback, NULL);
    assert_view(f->run.repr, "WorkerLostError('gone')");
    assert_int_equal(f->run.victims, 2);
    assert_int_equal(f->run.messages, 1);
}

static void a_revoked_task_ends_only_its_chord_part(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = failing_chain();

    spec.group = CEL_VIEW("outer");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-2\"}"));
    fail_message(f, &spec, "REVOKED");
    assert_view(f->run.state, "REVOKED");
    assert_int_equal(f->run.victims, 0);
    assert_int_equal(f->run.messages, 0);
    assert_int_equal(f->run.parts, 1);
    assert_view(test_inside(test_section(&f->run, CEL_TAG_PART, 0), CEL_TAG_STATE), "REVOKED");
}

static void a_replaced_task_stores_nothing_and_sends_what_replaces_it(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.replaced", "[]");

    spec.group = CEL_VIEW("gid");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}"));
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "IGNORED");
    assert_int_equal(f->run.messages, 1);
    assert_int_equal(f->run.parts, 0);
    assert_true(view_has(test_inside(test_section(&f->run, CEL_TAG_MESSAGE, 0), CEL_TAG_BODY),
                         "\"task_id\": \"id-1\""));
    spec = spec_of("tasks.replaced_by_nothing", "[]");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "construction failed"));
}

static void a_part_of_a_chord_makes_it_wait_for_more(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = spec_of("tasks.joined", "[]");
    int64_t parts = 0;

    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "no part of a chord"));
    spec.group = CEL_VIEW("gid");
    spec.chord = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}"));
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "SUCCESS");
    assert_int_equal(f->run.messages, 1);
    assert_int_equal(f->run.chords, 1);
    assert_true(cel__section_int(
        test_inside(test_section(&f->run, CEL_TAG_CHORD, 0), CEL_TAG_GROW), &parts));
    assert_int_equal(parts, 1);
    assert_int_equal(f->run.parts, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_value_is_a_success),
        TEST(the_first_outcome_tells_the_memory_in_use),
        TEST(an_exception_is_a_failure_with_pythons_texts),
        TEST(exceptions_come_from_the_module_that_has_them),
        TEST(null_without_an_exception_is_a_runtime_error),
        TEST(declared_exceptions_are_expected),
        TEST(ignore_and_reject_store_nothing),
        TEST(the_header_decides_whether_a_result_is_stored),
        TEST(extended_results_carry_the_arguments),
        TEST(a_request_knows_its_message),
        TEST(callbacks_and_the_next_of_the_chain_follow_a_success),
        TEST(a_follower_that_is_no_signature_fails_the_task),
        TEST(a_chord_part_ends_with_its_task),
        TEST(a_part_whose_outcome_finds_no_room_fails_and_is_counted),
        TEST(a_failure_takes_its_chain_with_it_and_calls_errbacks),
        TEST(an_ignored_failure_still_ends_chord_parts),
        TEST(a_retry_is_the_same_message_later),
        TEST(a_retry_waits_as_the_task_says),
        TEST(retries_have_a_last_one),
        TEST(a_running_task_reports_and_logs),
        TEST(what_a_task_sends_leaves_with_its_outcome),
        TEST(what_a_task_sends_now_is_confirmed),
        TEST(a_forked_child_is_told_how_to_send),
        TEST(unknown_tasks_and_bodies_are_failures),
        TEST(a_frame_that_is_none_gets_an_outcome),
        TEST(hostile_frames_get_outcomes),
        TEST(running_out_of_memory_is_an_outcome),
        TEST(a_lost_task_fails_with_its_chain),
        TEST(a_revoked_task_ends_only_its_chord_part),
        TEST(a_replaced_task_stores_nothing_and_sends_what_replaces_it),
        TEST(a_part_of_a_chord_makes_it_wait_for_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
