/* eager_test.c - task_always_eager: no broker, no worker, and results all the same. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/eager.h"
#include "app/test_support.h"
#include "celeriac/result.h"
#include "celeriac/send.h"
#include "core/test_folder.h"

static int runs;

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return NULL;
    runs++;
    return json_integer(x + y);
}

static json_t *sum(cel_request *req)
{
    json_t *numbers, *number;
    json_int_t total = 0;
    size_t i;

    if (cel_unpack(req, "numbers:L", &numbers) != CEL_OK)
        return NULL;
    json_array_foreach(numbers, i, number) total += json_integer_value(number);
    return json_integer(total);
}

static json_t *boom(cel_request *req)
{
    return cel_raise(req, "ValueError", "boom");
}

static json_t *again(cel_request *req)
{
    if (cel_request_retries(req) < 2)
        return cel_retry(req, 3600000, "not yet");
    return json_integer(cel_request_retries(req));
}

/* Sends a task from inside of one, as a test's own code may. */
static json_t *nested(cel_request *req)
{
    cel_result *result = NULL;
    json_t *value = NULL;
    cel_error err = {0};

    if (cel_delay(cel_request_app(req), &result, &err, "e.add", "[i, i]", 20, 1) != CEL_OK ||
        cel_result_get(result, &value, 5000, &err) != CEL_OK)
        cel_raise(req, "OSError", "%s", err.message);
    cel_result_free(result);
    return value;
}

static json_t *child(cel_request *req)
{
    cel_signature *signature = cel_sig("e.add", "[i, i]", 1, 1);
    cel_error err = {0};
    bool now = false;

    if (cel_unpack(req, "now:b", &now) == CEL_OK &&
        cel_request_apply(req, signature, now, NULL, &err) != CEL_OK)
        cel_raise(req, "OSError", "%s", err.message);
    cel_signature_free(signature);
    cel_update_state(req, "PROGRESS", json_integer(1), NULL);
    return json_true();
}

static json_t *grow(cel_request *req)
{
    cel_signature *signature = cel_sig("e.add", "[i, i]", 300, 0);
    cel_error err = {0};

    if (cel_add_to_chord(req, signature, &err) != CEL_OK)
        cel_raise(req, "OSError", "%s", err.message);
    cel_signature_free(signature);
    return json_integer(4000);
}

static cel_app *make_app(const char *more)
{
    const char *settings[] = {"task_always_eager=true", more, NULL};
    cel_app *app = NULL;
    cel_error err = {0};

    /* Nobody listens on this port: a message that left would be an error. */
    if (cel_app_new(&app,
                    CEL_APP_OPTIONS(.ignore_environment = true, .settings = settings,
                                    .broker = "redis://127.0.0.1:1/0"),
                    &err) != CEL_OK)
        fail_msg("%s", err.message);
    cel_task(app, "e.add", add);
    cel_task(app, "e.sum", sum);
    cel_task(app, "e.boom", boom);
    cel_task(app, "e.again", again);
    cel_task(app, "e.nested", nested);
    cel_task(app, "e.child", child);
    cel_task(app, "e.grow", grow);
    runs = 0;
    return app;
}

/* Waits for nothing: the result is there. Takes the handle. */
static json_int_t value_of(cel_result *result)
{
    json_t *value = NULL;
    json_int_t number;
    cel_error err = {0};

    if (cel_result_get(result, &value, 5000, &err) != CEL_OK)
        fail_msg("%s", err.message);
    number = json_integer_value(value);
    json_decref(value);
    cel_result_free(result);
    return number;
}

static json_int_t apply(cel_app *app, cel_signature *signature)
{
    cel_result *result = NULL;
    cel_error err = {0};

    if (cel_apply(app, &result, signature, NULL, &err) != CEL_OK)
        fail_msg("%s", err.message);
    cel_signature_free(signature);
    return value_of(result);
}

static void a_task_has_run_when_the_call_returns(void **state)
{
    cel_app *app = make_app(NULL);
    cel_result *result = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel_delay(app, &result, &err, "e.add", "[i, i]", 1, 2), CEL_OK);
    assert_int_equal(runs, 1);
    assert_int_equal(value_of(result), 3);
    assert_int_equal(cel_send(app, NULL, "e.add", json_pack("[i, i]", 1, 2), NULL,
                              CEL_SEND_OPTIONS(.countdown_ms = 3600000, .queue = "any"), &err),
                     CEL_OK);
    assert_int_equal(runs, 2);
    cel_app_free(app);
}

static void canvases_are_worked_through(void **state)
{
    cel_app *app = make_app(NULL);

    (void)state;
    assert_int_equal(
        apply(app, CEL_CHAIN(cel_sig("e.add", "[i, i]", 1, 2), cel_sig("e.add", "[i]", 10))),
        13);
    assert_int_equal(
        apply(app, CEL_CHORD(CEL_GROUP(cel_sig("e.add", "[i, i]", 1, 2),
                                       cel_sig("e.add", "[i, i]", 3, 4)),
                             CEL_CHAIN(cel_sig("e.sum", NULL), cel_sig("e.add", "[i]", 100)))),
        110);
    assert_int_equal(
        apply(app, CEL_CHAIN(cel_sig("e.add", "[i, i]", 1, 1),
                             CEL_GROUP(cel_sig("e.add", "[i]", 5), cel_sig("e.add", "[i]", 6)),
                             cel_sig("e.sum", NULL))),
        15);
    cel_app_free(app);
}

static void a_chord_may_grow_while_it_runs(void **state)
{
    cel_app *app = make_app(NULL);

    (void)state;
    assert_int_equal(apply(app, CEL_CHORD(CEL_GROUP(cel_sig("e.grow", NULL),
                                                    cel_sig("e.add", "[i, i]", 20, 1)),
                                          cel_sig("e.sum", NULL))),
                     4321);
    cel_app_free(app);
}

static void failures_and_retries_are_results(void **state)
{
    cel_app *app = make_app(NULL);
    cel_signature *chord = CEL_CHORD(
        CEL_GROUP(cel_sig("e.boom", NULL), cel_sig("e.boom", NULL)), cel_sig("e.sum", NULL));
    cel_result *result = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel_send(app, &result, "e.boom", NULL, NULL, NULL, &err), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, 5000, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "ValueError");
    cel_result_free(result);
    assert_int_equal(cel_send(app, &result, "e.again", NULL, NULL, NULL, &err), CEL_OK);
    assert_int_equal(value_of(result), 2);
    assert_int_equal(cel_send(app, &result, "e.unknown", NULL, NULL, NULL, &err), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, 5000, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "NotRegistered");
    cel_result_free(result);
    assert_int_equal(cel_apply(app, &result, chord, NULL, &err), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, 5000, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "ChordError");
    cel_result_free(result);
    cel_signature_free(chord);
    cel_app_free(app);
}

static void a_task_may_send_others(void **state)
{
    cel_app *app = make_app(NULL);
    cel_error err = {0};

    (void)state;
    assert_int_equal(apply(app, cel_sig("e.nested", NULL)), 21);
    runs = 0;
    assert_int_equal(cel_delay(app, NULL, &err, "e.child", "[b]", 0), CEL_OK);
    assert_int_equal(cel_delay(app, NULL, &err, "e.child", "[b]", 1), CEL_OK);
    assert_int_equal(runs, 2);
    cel_app_free(app);
}

static void failures_are_the_callers_where_they_propagate(void **state)
{
    cel_app *app = make_app("task_eager_propagates=true");
    cel_signature *chain = CEL_CHAIN(cel_sig("e.add", "[i, i]", 1, 2), cel_sig("e.boom", NULL));
    cel_result *result = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel_send(app, NULL, "e.boom", NULL, NULL, NULL, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "ValueError");
    assert_int_equal(cel_apply(app, &result, chain, NULL, &err), CEL_ETASK);
    assert_null(result);
    assert_int_equal(cel_delay(app, &result, &err, "e.add", "[i, i]", 1, 2), CEL_OK);
    assert_int_equal(value_of(result), 3);
    cel_signature_free(chain);
    cel_app_free(app);
}

static void results_are_stored_where_that_is_asked_for(void **state)
{
    const char *settings[] = {"task_always_eager=true", "task_store_eager_result=true", NULL};
    char folder[100], url[140];
    cel_app *app = NULL, *reader = NULL;
    cel_result *result = NULL, *read = NULL;
    cel_error err = {0};

    (void)state;
    assert_true(cel__test_folder(folder, sizeof folder, "eager"));
    snprintf(url, sizeof url, "sqlite:///%s/e.db", folder);
    assert_int_equal(cel_app_new(&app,
                                 CEL_APP_OPTIONS(.ignore_environment = true, .broker = url,
                                                 .settings = settings),
                                 &err),
                     CEL_OK);
    cel_task(app, "e.add", add);
    assert_int_equal(cel_delay(app, &result, &err, "e.add", "[i, i]", 1, 2), CEL_OK);
    assert_int_equal(
        cel_app_new(&reader, CEL_APP_OPTIONS(.ignore_environment = true, .broker = url), &err),
        CEL_OK);
    assert_int_equal(cel_result_new(&read, reader, cel_result_id(result), &err), CEL_OK);
    assert_int_equal(value_of(read), 3);
    assert_int_equal(value_of(result), 3);
    cel_app_free(reader);
    cel_app_free(app);
    for (size_t i = 0; i < 5; i++) {
        static const char *const ends[] = {"", "-wal", "-shm", "-bell", "-ledger"};

        snprintf(url, sizeof url, "%s/e.db%s", folder, ends[i]);
        unlink(url);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_has_run_when_the_call_returns),
        cmocka_unit_test(canvases_are_worked_through),
        cmocka_unit_test(a_chord_may_grow_while_it_runs),
        cmocka_unit_test(failures_and_retries_are_results),
        cmocka_unit_test(a_task_may_send_others),
        cmocka_unit_test(failures_are_the_callers_where_they_propagate),
        cmocka_unit_test(results_are_stored_where_that_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
