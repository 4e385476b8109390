/* task_options_test.c - what the options of a task do: retries by type, backoff, hooks, sensitive arguments, routing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/batch.h"
#include "app/excname.h"
#include "app/test_support.h"
#include "celeriac/send.h"

/* ---- tasks and hooks ---- */

static char trail[512]; /* what the hooks were told, one after the other */

static void note(const char *hook, const cel_task_end *end)
{
    size_t len = strlen(trail);

    snprintf(trail + len, sizeof trail - len, "%s:%s:%s:%s ", hook, end->state,
             end->exc_type ? end->exc_type : "-", end->exc_message ? end->exc_message : "-");
}

static void before(cel_request *req, const cel_task_end *end)
{
    note("before", end);
    if (json_object_get(cel_request_kwargs(req), "stop"))
        cel_raise(req, "PermissionError", "closed");
}

static void succeeded(cel_request *req, const cel_task_end *end)
{
    note("success", end);
    assert_int_equal(json_integer_value(end->result), 1);
    cel_raise(req, "ValueError", "too late");
}

static void failed(cel_request *req, const cel_task_end *end)
{
    note("failure", end);
    assert_null(end->result);
    cel_retry(req, 1, NULL);
}

static void retried(cel_request *req, const cel_task_end *end)
{
    (void)req;
    note("retry", end);
    assert_int_equal(end->retry_ms, 7000);
}

static void after(cel_request *req, const cel_task_end *end)
{
    (void)req;
    note("after", end);
}

static json_t *act(cel_request *req)
{
    const char *how = "";

    if (cel_unpack(req, "|how:s stop:O", &how, &(json_t *){NULL}) != CEL_OK)
        return NULL;
    if (strcmp(how, "retry") == 0)
        return cel_retry(req, 7000, "later");
    if (strcmp(how, "ignore") == 0)
        return cel_ignore(req);
    if (*how)
        return cel_raise(req, how, "as told");
    return json_integer(1);
}

static json_t *describe(cel_request *req)
{
    return json_pack(
        "{s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:i, s:I, s:I, s:I, s:I, s:I}", "correlation_id",
        cel_request_correlation_id(req), "reply_to", cel_request_reply_to(req), "origin",
        cel_request_origin(req), "shadow", cel_request_shadow(req), "exchange",
        cel_request_exchange(req), "routing_key", cel_request_routing_key(req), "priority",
        cel_request_priority(req), "group_index", (json_int_t)cel_request_group_index(req),
        "eta", (json_int_t)cel_request_eta_ms(req), "expires",
        (json_int_t)cel_request_expires_ms(req), "hard",
        (json_int_t)cel_request_time_limit_ms(req), "soft",
        (json_int_t)cel_request_soft_time_limit_ms(req));
}

/* ---- fixture ---- */

struct fixture {
    cel_app *app;
    test_run run;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->app = test_app(NULL);
    trail[0] = '\0';
    cel_task(f->app, "t.act", act, .before_start = before, .on_success = succeeded,
             .on_failure = failed, .on_retry = retried, .after_return = after);
    cel_task(f->app, "t.describe", describe);
    assert_int_equal(f->app->module_error.code, CEL_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    test_run_done(&f->run);
    cel_app_free(f->app);
    free(f);
    return 0;
}

/* ---- hooks ---- */

static void hooks_hear_of_a_success_and_cannot_change_it(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "t.act", "[]", "{}");
    assert_view(f->run.state, "SUCCESS");
    assert_string_equal(trail, "before:STARTED:-:- success:SUCCESS:-:- after:SUCCESS:-:- ");
}

static void hooks_hear_of_a_failure_and_cannot_change_it(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "t.act", "[\"KeyError\"]", "{}");
    assert_view(f->run.state, "FAILURE");
    assert_string_equal(trail, "before:STARTED:-:- failure:FAILURE:KeyError:'as told' "
                               "after:FAILURE:KeyError:'as told' ");
}

static void hooks_hear_of_retries_and_of_what_is_ignored(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "t.act", "[\"retry\"]", "{}");
    assert_view(f->run.state, "RETRY");
    assert_string_equal(trail, "before:STARTED:-:- retry:RETRY:Exception:later "
                               "after:RETRY:Exception:later ");
    trail[0] = '\0';
    test_run_call(&f->run, f->app, "t.act", "[\"ignore\"]", "{}");
    assert_string_equal(trail, "before:STARTED:-:- after:IGNORED:-:- ");
}

static void a_hook_before_the_start_can_prevent_it(void **state)
{
    struct fixture *f = *state;

    test_run_call(&f->run, f->app, "t.act", "[]", "{\"stop\": true}");
    assert_view(f->run.state, "FAILURE");
    assert_true(view_has(f->run.result, "PermissionError"));
    assert_string_equal(trail, "before:STARTED:-:- failure:FAILURE:PermissionError:closed "
                               "after:FAILURE:PermissionError:closed ");
}

/* ---- retries ---- */

static const char *state_after(struct fixture *f, const char *type, int64_t retries)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;
    static char text[32];
    cel__buf args = {0};

    cel__buf_addf(&args, "[\"%s\"]", type);
    spec.task = CEL_VIEW("t.auto");
    spec.id = CEL_VIEW("auto-1");
    spec.args = cel__buf_view(&args);
    spec.retries = retries;
    test_run_spec(&f->run, f->app, &spec);
    snprintf(text, sizeof text, "%.*s", CEL_VIEW_ARG(f->run.state));
    cel__buf_done(&args);
    return text;
}

static void listed_exceptions_are_retried(void **state)
{
    struct fixture *f = *state;

    cel_task(f->app, "t.auto", act, .autoretry_for = "LookupError, game.errors.Busy,OSError",
             .dont_autoretry_for = "FileNotFoundError");
    assert_string_equal(state_after(f, "KeyError", 0), "RETRY");
    assert_string_equal(state_after(f, "game.errors.Busy", 0), "RETRY");
    assert_string_equal(state_after(f, "ConnectionResetError", 2), "RETRY");
    assert_true(view_has(f->run.repr, "Retry in 180s: ConnectionResetError('as told')"));
    assert_string_equal(state_after(f, "ConnectionResetError", 3), "FAILURE");
    assert_true(view_has(f->run.result, "ConnectionResetError"));
    assert_string_equal(state_after(f, "FileNotFoundError", 0), "FAILURE");
    assert_string_equal(state_after(f, "ValueError", 0), "FAILURE");
    assert_string_equal(state_after(f, "game.errors.KeyError", 0), "FAILURE");
    assert_string_equal(state_after(f, "ignore", 0), "IGNORED");
    cel_task(f->app, "t.auto", act, .autoretry_for = "Exception");
    assert_string_equal(state_after(f, "game.errors.Odd", 0), "RETRY");
    assert_string_equal(state_after(f, "SystemExit", 0), "FAILURE");
}

static void backoff_doubles_up_to_its_maximum(void **state)
{
    static const char *const texts[] = {"in 3s", "in 6s", "in 12s", "in 20s", "in 20s"};
    struct fixture *f = *state;

    cel_task(f->app, "t.auto", act, .autoretry_for = "KeyError", .max_retries = -1,
             .retry_backoff_ms = 3000, .retry_backoff_max_ms = 20000, .retry_jitter = -1);
    for (int64_t i = 0; i < 5; i++) {
        assert_string_equal(state_after(f, "KeyError", i), "RETRY");
        assert_true(view_has(f->run.repr, texts[i]));
    }
    assert_string_equal(state_after(f, "KeyError", INT64_MAX), "RETRY");
    assert_true(view_has(f->run.repr, "in 20s"));
}

static void jitter_stays_below_the_backoff(void **state)
{
    struct fixture *f = *state;
    double seconds, least = 1e9, most = -1;

    cel_task(f->app, "t.auto", act, .autoretry_for = "KeyError", .retry_backoff_ms = 4000);
    for (int i = 0; i < 200; i++) {
        char text[128];

        assert_string_equal(state_after(f, "KeyError", 1), "RETRY");
        snprintf(text, sizeof text, "%.*s", CEL_VIEW_ARG(f->run.repr));
        assert_int_equal(sscanf(text, "Retry in %lfs", &seconds), 1);
        least = seconds < least ? seconds : least;
        most = seconds > most ? seconds : most;
    }
    assert_true(least >= 0 && most <= 8 && most - least > 2);
}

static void builtin_classes_have_ancestors(void **state)
{
    const cel_view builtins = CEL_VIEW("builtins");

    (void)state;
    assert_true(cel__exception_listed("IOError", CEL_VIEW("BrokenPipeError"), builtins));
    assert_true(cel__exception_listed("ValueError", CEL_VIEW("UnicodeDecodeError"), builtins));
    assert_true(cel__exception_listed("BaseException", CEL_VIEW("SystemExit"), builtins));
    assert_false(cel__exception_listed("Exception", CEL_VIEW("SystemExit"), builtins));
    assert_false(cel__exception_listed("LookupError", CEL_VIEW("KeyError"), CEL_VIEW("a.b")));
    assert_false(cel__exception_listed(NULL, CEL_VIEW("KeyError"), builtins));
}

/* ---- the request ---- */

static void a_request_tells_all_of_its_message(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = CEL_VIEW("t.describe");
    spec.id = CEL_VIEW("d-1");
    spec.reply_to = CEL_VIEW("replies");
    spec.origin = CEL_VIEW("gen1@here");
    spec.shadow = CEL_VIEW("nick");
    spec.priority = 5;
    spec.group = CEL_VIEW("g");
    spec.group_index = 3;
    spec.eta_us = 1700000000500000;
    spec.expires_us = 4000000000000000;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "SUCCESS");
    assert_view(f->run.result,
                "{\"correlation_id\": \"d-1\", \"reply_to\": \"replies\", \"origin\": "
                "\"gen1@here\", \"shadow\": \"nick\", \"exchange\": \"\", \"routing_key\": "
                "\"celery\", \"priority\": 5, \"group_index\": 3, \"eta\": 1700000000500, "
                "\"expires\": 4000000000000, \"hard\": 0, \"soft\": 0}");
}

/* ---- what is sent ---- */

/* Routes and builds the message of a call as a sender does. */
static cel_message built(cel_batch *batch,
                         cel_app *app,
                         const char *task,
                         const char *args,
                         const char *kwargs,
                         const cel_send_options *options)
{
    json_t *list = json_loads(args, 0, NULL), *object = json_loads(kwargs, 0, NULL);
    cel_batch_call call = {
        .task = cel__view(task), .args = list, .kwargs = object, .options = options};
    cel_error err = {0};

    cel__batch_init(batch, app);
    if (cel__batch_add_call(batch, &call, NULL, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json_decref(list);
    json_decref(object);
    return batch->first->messages[0];
}

static void sensitive_arguments_are_not_shown(void **state)
{
    struct fixture *f = *state;
    cel_batch batch;
    cel_message message;

    cel_task(f->app, "t.login", act, .sensitive = "1, password");
    message = built(&batch, f->app, "t.login", "[\"ada\", \"hush\", 7]",
                    "{\"password\": {\"deep\": \"hush\"}, \"x\": 1}", NULL);
    assert_false(view_has(message.headers, "hush"));
    assert_true(view_has(message.headers, "\"argsrepr\": \"('ada', '***', 7)\""));
    assert_true(view_has(message.headers, "\"kwargsrepr\": \"{'password': '***', 'x': 1}\""));
    assert_true(view_has(message.body, "hush"));
    cel__batch_done(&batch);
    cel_task(f->app, "t.login", act, .sensitive = "*");
    message = built(&batch, f->app, "t.login", "[\"ada\"]", "{\"a\": 1}", NULL);
    assert_true(view_has(message.headers, "\"argsrepr\": \"('***',)\""));
    assert_true(view_has(message.headers, "\"kwargsrepr\": \"{'a': '***'}\""));
    cel__batch_done(&batch);
    message =
        built(&batch, f->app, "t.unknown", "[\"hush\"]", "{\"a\": \"hush\"}",
              CEL_SEND_OPTIONS(.argsrepr = "(<a secret>)", .kwargsrepr = "{<more of them>}"));
    assert_true(view_has(message.headers, "\"argsrepr\": \"(<a secret>)\""));
    assert_true(view_has(message.headers, "\"kwargsrepr\": \"{<more of them>}\""));
    cel__batch_done(&batch);
}

static void sensitive_arguments_are_in_no_exception_and_no_retry(void **state)
{
    struct fixture *f = *state;
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;
    cel__buf scratch = {0};
    cel_message message;

    cel_task(f->app, "t.login", act, .sensitive = "*", .autoretry_for = "Exception");
    spec.task = CEL_VIEW("t.login");
    spec.id = CEL_VIEW("login-1");
    spec.args = CEL_VIEW("[\"KeyError\"]");
    spec.kwargs = CEL_VIEW("{\"stop\": \"hush\"}");
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "RETRY");
    message = test_message(&f->run, 0, &scratch);
    assert_false(view_has(message.headers, "hush"));
    assert_true(view_has(message.headers, "{'stop': '***'}"));
    assert_true(view_has(message.body, "hush"));
    spec.args = CEL_VIEW("[\"retry\"]");
    spec.retries = 3;
    test_run_spec(&f->run, f->app, &spec);
    assert_view(f->run.state, "FAILURE");
    assert_false(view_has(cel__buf_view(&f->run.out), "hush"));
    cel__buf_done(&scratch);
}

static void stored_arguments_hide_what_is_sensitive(void **state)
{
    static const char *const settings[] = {"result_extended=true", NULL};
    cel_app *app = test_app(settings);
    test_run run = {0};

    (void)state;
    cel_task(app, "t.login", act, .sensitive = "stop");
    test_run_call(&run, app, "t.login", "[\"\"]", "{\"stop\": \"hush\"}");
    assert_view(run.state, "SUCCESS");
    assert_view(test_section(&run, CEL_TAG_KWARGS, 0), "{\"stop\": \"***\"}");
    assert_view(test_section(&run, CEL_TAG_ARGS, 0), "[\"\"]");
    test_run_done(&run);
    cel_app_free(app);
}

static void a_task_says_how_it_is_sent(void **state)
{
    struct fixture *f = *state;
    cel_batch batch;
    cel_message message;

    cel_task(f->app, "t.sent", act, .priority = 7, .serializer = "yaml", .expires_ms = 60000,
             .compression = "zlib", .exchange = "ex", .routing_key = "key");
    message = built(&batch, f->app, "t.sent", "[1]", "{}", NULL);
    assert_int_equal(message.priority, 7);
    assert_view(message.content_type, "application/x-yaml");
    assert_view(message.expiration, "60000");
    assert_view(message.exchange, "ex");
    assert_view(message.routing_key, "key");
    assert_true(view_has(message.headers, "\"compression\": \"application/x-gzip\""));
    cel__batch_done(&batch);
    message = built(&batch, f->app, "t.sent", "[1]", "{}",
                    CEL_SEND_OPTIONS(.priority = 2, .serializer = "json", .expires_ms = 5000,
                                     .queue = "other"));
    assert_int_equal(message.priority, 2);
    assert_view(message.content_type, "application/json");
    assert_view(message.expiration, "5000");
    assert_view(message.exchange, "");
    assert_view(message.routing_key, "other");
    cel__batch_done(&batch);
}

static void options_out_of_range_are_refused(void **state)
{
    static const cel_task_options wrong[] = {
        {.size = sizeof *wrong, .retry_backoff_ms = -1},
        {.size = sizeof *wrong, .retry_backoff_max_ms = -1},
        {.size = sizeof *wrong, .retry_jitter = 2},
        {.size = sizeof *wrong, .acks_on_failure_or_timeout = -2},
        {.size = sizeof *wrong, .priority = 256},
        {.size = sizeof *wrong, .expires_ms = -5},
    };
    static const char *const names[] = {"retry_backoff_ms", "retry_backoff_max_ms",
                                        "retry_jitter",     "acks_on_failure_or_timeout",
                                        "priority",         "expires_ms"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cel_error err = {0};

        assert_int_equal(cel_task_register(f->app, "t.bad", act, &wrong[i], &err), CEL_EINVAL);
        assert_non_null(strstr(err.message, names[i]));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hooks_hear_of_a_success_and_cannot_change_it),
        TEST(hooks_hear_of_a_failure_and_cannot_change_it),
        TEST(hooks_hear_of_retries_and_of_what_is_ignored),
        TEST(a_hook_before_the_start_can_prevent_it),
        TEST(listed_exceptions_are_retried),
        TEST(backoff_doubles_up_to_its_maximum),
        TEST(jitter_stays_below_the_backoff),
        cmocka_unit_test(builtin_classes_have_ancestors),
        TEST(a_request_tells_all_of_its_message),
        TEST(sensitive_arguments_are_not_shown),
        TEST(sensitive_arguments_are_in_no_exception_and_no_retry),
        cmocka_unit_test(stored_arguments_hide_what_is_sensitive),
        TEST(a_task_says_how_it_is_sent),
        TEST(options_out_of_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
