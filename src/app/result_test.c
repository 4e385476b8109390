/* result_test.c - sending and waiting over memory://, with a small worker on another thread. */
#include <pthread.h>
#include <string.h>

#include "app/handle.h"
#include "app/test_support.h"
#include "app/test_worker.h"
#include "celeriac/send.h"
#include "core/json.h"

#define WAIT_MS 20000

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return NULL;
    return json_integer(x + y);
}

static json_t *sum(cel_request *req)
{
    json_t *list, *value;
    json_int_t total = 0;
    size_t i;

    if (cel_unpack(req, "list:L", &list) != CEL_OK)
        return NULL;
    json_array_foreach(list, i, value) total += json_integer_value(value);
    return json_integer(total);
}

static json_t *boom(cel_request *req)
{
    return cel_raise(req, "ValueError", "boom");
}

static json_t *echo(cel_request *req)
{
    return json_deep_copy(cel_request_args(req));
}

static json_t *flaky(cel_request *req)
{
    if (cel_request_retries(req) < 2)
        return cel_retry(req, 0, "attempt %d", (int)cel_request_retries(req));
    return json_string("at last");
}

static json_t *parent_task(cel_request *req)
{
    cel_signature *signature = cel_sig("tasks.add", "[i, i]", 20, 22);
    char id[37];
    cel_code code = cel_request_apply(req, signature, false, id, NULL);

    cel_signature_free(signature);
    return code == CEL_OK ? json_string(id) : cel_raise(req, "OSError", "no");
}

struct fixture {
    cel_app *app;
    test_worker *worker;
};

static int set_up_with(void **state, bool held)
{
    static struct fixture fixture;

    fixture.app = test_app(NULL);
    cel_task(fixture.app, "tasks.add", add);
    cel_task(fixture.app, "tasks.sum", sum);
    cel_task(fixture.app, "tasks.boom", boom);
    cel_task(fixture.app, "tasks.echo", echo);
    cel_task(fixture.app, "tasks.flaky", flaky);
    cel_task(fixture.app, "tasks.parent", parent_task);
    fixture.worker = test_worker_start(fixture.app, held);
    *state = &fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, false);
}

static int set_up_held(void **state)
{
    return set_up_with(state, true);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    test_worker_stop(fixture->worker);
    cel_app_free(fixture->app);
    return 0;
}

/* Takes the result, waits and compares with the JSON text. */
static void expect(cel_result *result, const char *text)
{
    cel__buf got = {0};
    json_t *value = NULL;
    cel_error err = {0};

    if (cel_result_get(result, &value, WAIT_MS, &err) != CEL_OK)
        fail_msg("%s: %s", cel_code_name(err.code), err.message);
    cel__json_dump(&got, value);
    assert_string_equal(cel__buf_cstr(&got), text);
    cel__buf_done(&got);
    json_decref(value);
    cel_result_free(result);
}

static cel_result *apply(cel_app *app, cel_signature *signature)
{
    cel_result *result = NULL;
    cel_error err = {0};

    if (cel_apply(app, &result, signature, NULL, &err) != CEL_OK)
        fail_msg("%s", err.message);
    cel_signature_free(signature);
    return result;
}

/* ---- single tasks ---- */

static void a_sent_task_gives_its_value(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;
    cel_error err = {0};

    assert_int_equal(cel_delay(f->app, &result, &err, "tasks.add", "[i, i]", 2, 3), CEL_OK);
    assert_int_equal(strlen(cel_result_id(result)), 36);
    assert_false(cel_result_is_group(result));
    assert_null(cel_result_parent(result));
    expect(result, "5");
}

static void options_travel_with_the_task(void **state)
{
    struct fixture *f = *state;
    cel_signature *link = cel_sig("tasks.add", "[i]", 100);
    cel_result *result = NULL, *linked = NULL;
    cel_error err = {0};

    link = cel_signature_set(link, "task_id", json_string("linked-id"));
    assert_int_equal(
        cel_send(f->app, &result, "tasks.add", json_pack("[i, i]", 1, 2), NULL,
                 CEL_SEND_OPTIONS(.task_id = "my-id", .link = link, .compression = "zlib",
                                  .expires_ms = 60000, .priority = 3),
                 &err),
        CEL_OK);
    cel_signature_free(link);
    assert_string_equal(cel_result_id(result), "my-id");
    expect(result, "3");
    assert_int_equal(cel_result_new(&linked, f->app, "linked-id", NULL), CEL_OK);
    expect(linked, "103");
}

static void a_failure_is_raised_with_all_that_is_known(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;
    cel_error err = {0};
    json_t *value = NULL;

    assert_int_equal(cel_delay(f->app, &result, &err, "tasks.boom", NULL), CEL_OK);
    assert_null(cel_result_exception_type(result));
    for (int i = 0; i < 2; i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(cel_result_get(result, &value, WAIT_MS, &err), CEL_ETASK);
        assert_string_equal(err.exc_type, "ValueError");
        assert_string_equal(err.message, "boom");
    }
    assert_null(value);
    assert_string_equal(cel_result_exception_type(result), "ValueError");
    assert_string_equal(cel_result_exception_message(result), "boom");
    assert_string_equal(cel_result_culprit(result), cel_result_id(result));
    assert_non_null(strstr(cel_result_traceback(result), "ValueError: boom"));
    cel_result_free(result);
}

static void the_document_can_be_read_as_it_is(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;
    json_t *document = NULL;
    char text[16];

    assert_int_equal(cel_delay(f->app, &result, NULL, "tasks.echo", "[s]", "ok"), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, WAIT_MS, NULL), CEL_OK);
    assert_int_equal(cel_result_document(result, &document, NULL), CEL_OK);
    assert_string_equal(json_string_value(json_object_get(document, "status")), "SUCCESS");
    assert_int_equal(cel_result_state(result, text, sizeof text, NULL), CEL_OK);
    assert_string_equal(text, "SUCCESS");
    json_decref(document);
    cel_result_free(result);
}

static void a_task_may_retry_until_it_succeeds(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;

    assert_int_equal(cel_delay(f->app, &result, NULL, "tasks.flaky", NULL), CEL_OK);
    expect(result, "\"at last\"");
}

static void a_task_may_send_another(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL, *child = NULL;
    json_t *id = NULL;

    assert_int_equal(cel_delay(f->app, &result, NULL, "tasks.parent", NULL), CEL_OK);
    assert_int_equal(cel_result_get(result, &id, WAIT_MS, NULL), CEL_OK);
    assert_int_equal(cel_result_new(&child, f->app, json_string_value(id), NULL), CEL_OK);
    expect(child, "42");
    json_decref(id);
    cel_result_free(result);
}

static void waiting_has_an_end(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;
    cel_error err = {0};
    char text[16];
    bool ready = true;
    json_t *document = NULL;

    assert_int_equal(cel_delay(f->app, &result, &err, "tasks.add", "[i, i]", 2, 3), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, 0, &err), CEL_ETIMEDOUT);
    assert_int_equal(cel_result_get(result, NULL, 10, &err), CEL_ETIMEDOUT);
    assert_non_null(strstr(err.message, cel_result_id(result)));
    assert_int_equal(cel_result_state(result, text, sizeof text, &err), CEL_OK);
    assert_string_equal(text, "PENDING");
    assert_int_equal(cel_result_ready(result, &ready, &err), CEL_OK);
    assert_false(ready);
    assert_int_equal(cel_result_document(result, &document, &err), CEL_ENOENT);
    test_worker_release(f->worker);
    assert_int_equal(cel_result_get(result, NULL, WAIT_MS, &err), CEL_OK);
    assert_int_equal(cel_result_ready(result, &ready, &err), CEL_OK);
    assert_true(ready);
    expect(result, "5");
}

static void a_forgotten_result_is_gone(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL, *other = NULL;
    char text[16];

    assert_int_equal(cel_delay(f->app, &result, NULL, "tasks.add", "[i, i]", 2, 3), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, WAIT_MS, NULL), CEL_OK);
    assert_int_equal(cel_result_forget(result, NULL), CEL_OK);
    assert_int_equal(cel_result_new(&other, f->app, cel_result_id(result), NULL), CEL_OK);
    assert_int_equal(cel_result_state(other, text, sizeof text, NULL), CEL_OK);
    assert_string_equal(text, "PENDING");
    cel_result_free(other);
    cel_result_free(result);
}

struct caller {
    cel_app *app;
    cel_result *result;
    pthread_t thread;
    int wrong;
};

static void *call_often(void *user)
{
    struct caller *caller = user;

    for (int i = 0; i < 50; i++) {
        cel_result *result = NULL;
        json_t *value = NULL;
        cel_error err = {0};

        if (cel_delay(caller->app, &result, &err, "tasks.add", "[i, i]", i, 1) != CEL_OK ||
            (i % 7 == 0 && cel_result_get(result, NULL, 1, &err) == CEL_ETASK) ||
            cel_result_get(result, &value, WAIT_MS, &err) != CEL_OK ||
            json_integer_value(value) != i + 1)
            caller->wrong++;
        json_decref(value);
        cel_result_free(result);
    }
    return NULL;
}

static void many_threads_call_at_once(void **state)
{
    struct fixture *f = *state;
    struct caller callers[16];

    for (size_t i = 0; i < 16; i++) {
        callers[i] = (struct caller){.app = f->app};
        pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    for (size_t i = 0; i < 16; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
}

static void *get_one(void *user)
{
    struct caller *caller = user;
    json_t *value = NULL;

    if (cel_result_get(caller->result, &value, WAIT_MS, NULL) != CEL_OK ||
        json_integer_value(value) != 5)
        caller->wrong++;
    json_decref(value);
    return NULL;
}

static void several_threads_wait_for_one_result(void **state)
{
    struct fixture *f = *state;
    struct caller callers[8];
    cel_result *result = NULL;

    assert_int_equal(cel_delay(f->app, &result, NULL, "tasks.add", "[i, i]", 2, 3), CEL_OK);
    for (size_t i = 0; i < 8; i++) {
        callers[i] = (struct caller){.result = result};
        pthread_create(&callers[i].thread, NULL, get_one, &callers[i]);
    }
    test_worker_release(f->worker);
    for (size_t i = 0; i < 8; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    cel_result_free(result);
}

/* ---- canvas ---- */

static void a_chain_passes_values_on(void **state)
{
    struct fixture *f = *state;
    cel_signature *steps[] = {cel_sig("tasks.add", "[i, i]", 1, 2),
                              cel_sig("tasks.add", "[i]", 3), cel_sig("tasks.add", "[i]", 4)};
    cel_result *result = apply(f->app, cel_chain(3, steps));

    assert_non_null(cel_result_parent(result));
    assert_non_null(cel_result_parent(cel_result_parent(result)));
    assert_null(cel_result_parent(cel_result_parent(cel_result_parent(result))));
    expect(cel_result_ref(result), "10");
    expect(cel_result_ref(cel_result_parent(result)), "6");
    cel_result_free(result);
}

static void a_broken_chain_names_its_culprit(void **state)
{
    struct fixture *f = *state;
    cel_signature *steps[] = {cel_sig("tasks.add", "[i, i]", 1, 2),
                              cel_signature_immutable(cel_sig("tasks.boom", NULL)),
                              cel_sig("tasks.add", "[i]", 4)};
    cel_result *result = apply(f->app, cel_chain(3, steps));
    cel_error err = {0};

    assert_int_equal(cel_result_get(result, NULL, WAIT_MS, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "ValueError");
    assert_string_equal(cel_result_culprit(result), cel_result_id(cel_result_parent(result)));
    cel_result_free(result);
}

static cel_signature *many_adds(size_t count, bool failing)
{
    cel_signature *parts[200];

    for (size_t i = 0; i < count; i++)
        parts[i] = failing && i == count / 2 ? cel_sig("tasks.boom", NULL)
                                             : cel_sig("tasks.add", "[i, i]", (int)i, 1);
    return cel_group(count, parts);
}

static void a_group_gives_its_values_in_order(void **state)
{
    struct fixture *f = *state;
    size_t ended = 0, succeeded = 0;
    char text[16];
    cel_result *result = apply(f->app, many_adds(3, false));

    assert_true(cel_result_is_group(result));
    assert_int_equal(cel_result_count(result), 3);
    assert_null(cel_result_child(result, 3));
    expect(cel_result_ref(result), "[1, 2, 3]");
    assert_int_equal(cel_result_completed(result, &ended, &succeeded, NULL), CEL_OK);
    assert_int_equal(ended, 3);
    assert_int_equal(succeeded, 3);
    assert_int_equal(cel_result_state(result, text, sizeof text, NULL), CEL_OK);
    assert_string_equal(text, "SUCCESS");
    cel_result_free(result);
}

static void a_large_group_is_counted(void **state)
{
    struct fixture *f = *state;
    cel_result *result = apply(f->app, many_adds(150, false));
    json_t *value = NULL;
    size_t ended = 99;
    cel_error err = {0};

    assert_int_equal(cel_result_completed(result, &ended, NULL, &err), CEL_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(cel_result_wait(result, 0, &ended, 5, &err), CEL_ETIMEDOUT);
    test_worker_release(f->worker);
    ended = 0;
    while (ended < 150)
        assert_int_equal(cel_result_wait(result, ended, &ended, WAIT_MS, &err), CEL_OK);
    assert_int_equal(cel_result_get(result, &value, WAIT_MS, &err), CEL_OK);
    assert_int_equal(json_array_size(value), 150);
    assert_int_equal(json_integer_value(json_array_get(value, 149)), 150);
    json_decref(value);
    cel_result_free(result);
}

static void a_failed_member_fails_its_group(void **state)
{
    static const size_t sizes[] = {5, 100};
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        cel_result *result = apply(f->app, many_adds(sizes[i], true));
        size_t ended = 0, succeeded = 0;
        cel_error err = {0};
        char text[16];

        assert_int_equal(cel_result_get(result, NULL, WAIT_MS, &err), CEL_ETASK);
        assert_string_equal(cel_result_culprit(result),
                            cel_result_id(cel_result_child(result, sizes[i] / 2)));
        assert_int_equal(cel_result_completed(result, &ended, &succeeded, &err), CEL_OK);
        assert_int_equal(ended, sizes[i]);
        assert_int_equal(succeeded, sizes[i] - 1);
        assert_int_equal(cel_result_state(result, text, sizeof text, NULL), CEL_OK);
        assert_string_equal(text, "FAILURE");
        cel_result_free(result);
    }
}

static void a_chord_gives_its_bodys_value(void **state)
{
    struct fixture *f = *state;
    cel_result *result =
        apply(f->app, cel_chord(many_adds(10, false), cel_sig("tasks.sum", NULL)));

    assert_non_null(cel_result_parent(result));
    assert_true(cel_result_is_group(cel_result_parent(result)));
    assert_int_equal(cel_result_count(cel_result_parent(result)), 10);
    expect(cel_result_ref(result), "55");
    expect(cel_result_ref(cel_result_parent(result)), "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]");
    cel_result_free(result);
}

static void a_failed_header_fails_the_body(void **state)
{
    struct fixture *f = *state;
    cel_result *result =
        apply(f->app, cel_chord(many_adds(4, true), cel_sig("tasks.sum", NULL)));
    cel_error err = {0};

    assert_int_equal(cel_result_get(result, NULL, WAIT_MS, &err), CEL_ETASK);
    assert_string_equal(err.exc_type, "ChordError");
    assert_non_null(strstr(err.message, "raised ValueError('boom')"));
    cel_result_free(result);
}

static void a_chain_of_group_and_task_is_a_chord(void **state)
{
    struct fixture *f = *state;
    cel_signature *steps[] = {cel_sig("tasks.add", "[i, i]", 1, 1), many_adds(2, false),
                              cel_sig("tasks.sum", NULL), cel_sig("tasks.add", "[i]", 1000)};
    cel_result *result;

    cel_signature_free(steps[1]);
    steps[1] = cel_group(2, (cel_signature *[]){cel_sig("tasks.add", "[i]", 10),
                                                cel_sig("tasks.add", "[i]", 20)});
    result = apply(f->app, cel_chain(4, steps));
    expect(result, "1034");
}

static void built_in_tasks_work(void **state)
{
    static const struct {
        const char *task, *kwargs, *result;
    } cases[] = {
        {"celery.map", "{\"task\": {\"task\": \"tasks.echo\"}, \"it\": [1, [2]]}",
         "[[1], [[2]]]"},
        {"celery.starmap", "{\"task\": {\"task\": \"tasks.add\"}, \"it\": [[1, 2], [3, 4]]}",
         "[3, 7]"},
        {"celery.backend_cleanup", "{}", "null"},
    };
    struct fixture *f = *state;
    cel_result *result = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *kwargs = json_loads(cases[i].kwargs, 0, NULL);

        assert_int_equal(cel_send(f->app, &result, cases[i].task, NULL, kwargs, NULL, NULL),
                         CEL_OK);
        expect(result, cases[i].result);
    }
    assert_int_equal(cel_delay(f->app, &result, NULL, "celery.accumulate", "[i, i]", 7, 8),
                     CEL_OK);
    expect(result, "[7, 8]");
    assert_int_equal(cel_send(f->app, &result, "celery.accumulate", json_pack("[i, i]", 7, 8),
                              json_pack("{s:i}", "index", 1), NULL, NULL),
                     CEL_OK);
    expect(result, "8");
}

static void built_in_tasks_fail_as_pythons_do(void **state)
{
    static const char *const cases[][3] = {
        {"celery.map", "{\"task\": {\"task\": \"tasks.boom\"}, \"it\": [1]}", "ValueError"},
        {"celery.map", "{\"task\": {\"task\": \"no.such\"}, \"it\": [1]}", "NotRegistered"},
        {"celery.map", "{\"task\": 7, \"it\": [1]}", "TypeError"},
        {"celery.starmap", "{\"task\": {\"task\": \"tasks.add\"}, \"it\": [1]}", "TypeError"},
        {"celery.chain", "{}", "NotImplementedError"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *kwargs = json_loads(cases[i][1], 0, NULL);
        cel_result *result = NULL;
        cel_error err = {0};

        assert_int_equal(cel_send(f->app, &result, cases[i][0], NULL, kwargs, NULL, NULL),
                         CEL_OK);
        assert_int_equal(cel_result_get(result, NULL, WAIT_MS, &err), CEL_ETASK);
        assert_string_equal(err.exc_type, cases[i][2]);
        cel_result_free(result);
    }
}

static cel_result *tuple_result(cel_app *app, json_t *tuple)
{
    cel__buf text = {0};
    cel_result *result = NULL;
    cel_error err = {0};

    cel__json_dump(&text, tuple);
    if (cel__result_from_tuple(&result, app, cel__buf_view(&text), &err) != CEL_OK)
        fail_msg("%s", cel__buf_cstr(&text));
    cel__buf_done(&text);
    json_decref(tuple);
    return result;
}

static void built_in_tasks_start_canvas(void **state)
{
    struct fixture *f = *state;
    cel_result *result = NULL;
    json_t *tuple = NULL;
    json_t *kwargs =
        json_loads("{\"task\": {\"task\": \"tasks.add\"}, \"it\": [[1, 2], [3, 4], [5, 6]], "
                   "\"n\": 2}",
                   0, NULL);

    assert_int_equal(cel_send(f->app, &result, "celery.chunks", NULL, kwargs, NULL, NULL),
                     CEL_OK);
    assert_int_equal(cel_result_get(result, &tuple, WAIT_MS, NULL), CEL_OK);
    cel_result_free(result);
    expect(tuple_result(f->app, tuple), "[[3, 7], [11]]");
    kwargs =
        json_loads("{\"header\": [{\"task\": \"tasks.add\", \"args\": [1, 2], \"kwargs\": "
                   "{}, \"options\": {}}, {\"task\": \"tasks.add\", \"args\": [3, 4], "
                   "\"kwargs\": {}, \"options\": {}}], \"body\": {\"task\": \"tasks.sum\", "
                   "\"args\": [], \"kwargs\": {}, \"options\": {}}}",
                   0, NULL);
    assert_int_equal(cel_send(f->app, &result, "celery.chord", NULL, kwargs, NULL, NULL),
                     CEL_OK);
    assert_int_equal(cel_result_get(result, &tuple, WAIT_MS, NULL), CEL_OK);
    cel_result_free(result);
    expect(tuple_result(f->app, tuple), "10");
}

/* ---- tuples ---- */

static void tuples_of_any_depth_become_handles(void **state)
{
    struct fixture *f = *state;
    cel__buf text = {0};
    cel_result *result = NULL;
    cel_result *step;
    size_t count = 0;
    const size_t depth = 100000;

    for (size_t i = 0; i < depth; i++)
        cel__buf_addf(&text, "[[\"id-%zu\", ", i);
    cel__buf_add_str(&text, "null");
    for (size_t i = 0; i < depth; i++)
        cel__buf_add_str(&text, "], null]");
    assert_int_equal(cel__result_from_tuple(&result, f->app, cel__buf_view(&text), NULL),
                     CEL_OK);
    for (step = result; step; step = cel_result_parent(step))
        count++;
    assert_int_equal(count, depth);
    assert_string_equal(cel_result_id(cel_result_parent(result)), "id-1");
    cel_result_free(result);
    cel__buf_done(&text);
}

static void a_missing_handle_is_an_error(void **state)
{
    char text[16];
    size_t ended;
    bool ready;

    (void)state;
    assert_int_equal(cel_result_get(NULL, NULL, 0, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_state(NULL, text, sizeof text, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_ready(NULL, &ready, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_completed(NULL, &ended, NULL, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_wait(NULL, 0, &ended, 0, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_document(NULL, NULL, NULL), CEL_EINVAL);
    assert_int_equal(cel_result_forget(NULL, NULL), CEL_EINVAL);
}

static void broken_tuples_are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "[",
                                        "[[\"a\"",
                                        "[[\"a\", null]",
                                        "[[\"a\", null], ",
                                        "[[\"a\", null], [[[\"b\", null], null]",
                                        "[[7, null], null]",
                                        "[[\"a\\",
                                        "[[\"a\", [[\"b\", null], null]], x]"};
    struct fixture *f = *state;
    cel_result *result = NULL;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(cel__result_from_tuple(&result, f->app, cel__view(texts[i]), NULL),
                         CEL_EPROTO);
    assert_null(result);
}

int main(void)
{
#define TEST(name)      cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_HELD(name) cmocka_unit_test_setup_teardown(name, set_up_held, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_sent_task_gives_its_value),
        TEST(options_travel_with_the_task),
        TEST(a_failure_is_raised_with_all_that_is_known),
        TEST(the_document_can_be_read_as_it_is),
        TEST(a_task_may_retry_until_it_succeeds),
        TEST(a_task_may_send_another),
        TEST_HELD(waiting_has_an_end),
        TEST(a_forgotten_result_is_gone),
        TEST(many_threads_call_at_once),
        TEST_HELD(several_threads_wait_for_one_result),
        TEST(a_chain_passes_values_on),
        TEST(a_broken_chain_names_its_culprit),
        TEST(a_group_gives_its_values_in_order),
        TEST_HELD(a_large_group_is_counted),
        TEST(a_failed_member_fails_its_group),
        TEST(a_chord_gives_its_bodys_value),
        TEST(a_failed_header_fails_the_body),
        TEST(a_chain_of_group_and_task_is_a_chord),
        TEST(built_in_tasks_work),
        TEST(built_in_tasks_fail_as_pythons_do),
        TEST(built_in_tasks_start_canvas),
        TEST_HELD(tuples_of_any_depth_become_handles),
        TEST_HELD(a_missing_handle_is_an_error),
        TEST_HELD(broken_tuples_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
