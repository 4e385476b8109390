/* dispatch_test.c - a dispatcher and requesters on threads of one process, over memory://: they share the app's loop, whose
 * leader may be either. For ThreadSanitizer, too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/test_support.h"
#include "app/test_worker.h"
#include "celeriac/flow.h"
#include "celeriac/result.h"
#include "celeriac/rpc.h"
#include "celeriac/send.h"
#include "dispatch/dispatch.h"

#define ASKERS 4
#define ASKS   25

/* ---- an app with a flow, and its dispatcher on a thread ---- */

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return NULL;
    return json_integer(x + y);
}

static cel_signature *build(cel_app *app, const json_t *params, void *user, cel_error *err)
{
    const json_t *x = json_object_get(params, "x");

    (void)app;
    (void)user;
    if (!json_is_integer(x)) {
        cel_error_set(err, CEL_EINVAL, "'x' must be an integer");
        return NULL;
    }
    return CEL_GROUP(cel_sig("add", "[I, i]", json_integer_value(x), 1),
                     cel_sig("add", "[I, i]", json_integer_value(x), 2));
}

struct side {
    cel_app *app;
    pthread_t thread;
    uv_async_t stop;
    cel_dispatcher *dispatcher;
    atomic_bool started;
    cel_code code;
};

static void on_stop(uv_async_t *async)
{
    struct side *side = async->data;

    uv_close((uv_handle_t *)async, NULL);
    cel__dispatcher_stop(side->dispatcher);
}

static void on_start(void *user, cel_dispatcher *dispatcher, uv_loop_t *loop)
{
    struct side *side = user;

    side->dispatcher = dispatcher;
    side->stop.data = side;
    assert_int_equal(uv_async_init(loop, &side->stop, on_stop), 0);
    uv_unref((uv_handle_t *)&side->stop);
    atomic_store(&side->started, true);
}

static void *run(void *user)
{
    struct side *side = user;
    cel_view queue = CEL_VIEW(CEL_DISPATCH_QUEUE);

    side->code = cel__dispatcher_run(&(cel_dispatcher_options){.app = side->app,
                                                               .queues = &queue,
                                                               .queue_count = 1,
                                                               .on_start = on_start,
                                                               .user = side},
                                     NULL);
    return NULL;
}

static void start(struct side *side)
{
    *side = (struct side){.app = test_app(NULL)};
    cel_task(side->app, "add", add, .queue = NULL);
    cel_flow(side->app, "adds", build, .queue = NULL);
    assert_int_equal(pthread_create(&side->thread, NULL, run, side), 0);
    while (!atomic_load(&side->started))
        sched_yield();
}

static void stop(struct side *side)
{
    uv_async_send(&side->stop);
    pthread_join(side->thread, NULL);
    assert_int_equal(side->code, CEL_OK);
    cel_app_free(side->app);
}

static cel_code
ask(struct side *side, json_t **answer, int x, const cel_rpc_options *options, cel_error *err)
{
    return cel_rpc(side->app, answer, json_pack("{s:s, s:i}", "flow", "adds", "x", x), options,
                   err);
}

/* ---- tests ---- */

static void a_request_is_answered(void **state)
{
    struct side side;
    json_t *first = NULL, *again = NULL;
    cel_error err = {0};
    int64_t count = 0;

    (void)state;
    start(&side);
    assert_int_equal(ask(&side, &first, 1, CEL_RPC_OPTIONS(.correlation_id = "one"), &err),
                     CEL_OK);
    assert_int_equal(json_array_size(json_object_get(first, "parts")), 2);
    assert_int_equal(ask(&side, &again, 1, CEL_RPC_OPTIONS(.correlation_id = "one"), &err),
                     CEL_OK);
    assert_true(json_equal(first, again));
    assert_int_equal(ask(&side, NULL, 2, CEL_RPC_OPTIONS(.correlation_id = "one"), &err),
                     CEL_EINVAL);
    assert_int_equal(cel_purge(side.app, "celery", &count, &err), CEL_OK);
    assert_int_equal(count, 2);
    json_decref(first);
    json_decref(again);
    stop(&side);
}

static void wrong_requests_are_refused(void **state)
{
    struct side side;
    cel_error err = {0};

    (void)state;
    start(&side);
    assert_int_equal(cel_rpc(side.app, NULL, json_object(), NULL, &err), CEL_EINVAL);
    assert_string_equal(err.message, "'x' must be an integer");
    assert_int_equal(cel_rpc(side.app, NULL, json_pack("{s:s}", "flow", "no"), NULL, &err),
                     CEL_EINVAL);
    assert_int_equal(cel_rpc(side.app, NULL, json_array(), NULL, &err), CEL_EINVAL);
    assert_string_equal(err.message, "a request is a JSON object");
    assert_int_equal(ask(&side, NULL, 1, CEL_RPC_OPTIONS(.queue = ""), &err), CEL_EINVAL);
    stop(&side);
}

static void without_a_dispatcher_the_deadline_passes_and_the_request_stays(void **state)
{
    struct side side;
    cel_error err = {0};
    int64_t count = 0;

    (void)state;
    start(&side);
    assert_int_equal(
        ask(&side, NULL, 1, CEL_RPC_OPTIONS(.queue = "elsewhere", .timeout_ms = 100), &err),
        CEL_ETIMEDOUT);
    assert_true(err.uncertain);
    err = (cel_error){0};
    assert_int_equal(ask(&side, NULL, 1,
                         CEL_RPC_OPTIONS(.queue = "elsewhere", .timeout_ms = 100, .wait = true),
                         &err),
                     CEL_ETIMEDOUT);
    assert_true(err.uncertain);
    assert_int_equal(cel_purge(side.app, "elsewhere", &count, &err), CEL_OK);
    assert_int_equal(count, 2);
    stop(&side);
}

static void count_message(void *user, const json_t *message)
{
    (void)message;
    atomic_fetch_add((atomic_int *)user, 1);
}

static void who_waits_gets_the_results(void **state)
{
    struct side side;
    test_worker *worker;
    json_t *answer = NULL;
    atomic_int messages = 0;
    cel_error err = {0};

    (void)state;
    start(&side);
    worker = test_worker_start(side.app, false);
    assert_int_equal(
        ask(&side, &answer, 40,
            CEL_RPC_OPTIONS(.wait = true, .on_message = count_message, .user = &messages),
            &err),
        CEL_OK);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(answer, "result"), 0)),
                     41);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(answer, "result"), 1)),
                     42);
    assert_in_range(messages, 2, 4); /* the ids, progress if it was seen, the result */
    json_decref(answer);
    test_worker_stop(worker);
    stop(&side);
}

static void *ask_many(void *user)
{
    struct side *side = user;

    for (int i = 0; i < ASKS; i++) {
        char id[16];
        json_t *answer = NULL;

        snprintf(id, sizeof id, "%d", i); /* all threads ask for the same */
        if (ask(side, &answer, i, CEL_RPC_OPTIONS(.correlation_id = id, .timeout_ms = 60000),
                NULL) != CEL_OK)
            return "failed";
        json_decref(answer);
    }
    return NULL;
}

static void many_threads_ask_for_the_same_and_it_is_sent_once(void **state)
{
    struct side side;
    pthread_t threads[ASKERS];
    int64_t count = 0;

    (void)state;
    start(&side);
    for (int i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &side), 0);
    for (int i = 0; i < ASKERS; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(cel_purge(side.app, "celery", &count, NULL), CEL_OK);
    assert_int_equal(count, ASKS * 2);
    stop(&side);
}

static void a_dispatcher_ends_while_somebody_waits_for_a_result(void **state)
{
    struct side side;
    json_t *answer = NULL;
    cel_error err = {0};

    (void)state;
    start(&side);
    assert_int_equal(
        ask(&side, &answer, 1, CEL_RPC_OPTIONS(.wait = true, .result_timeout_ms = 100), &err),
        CEL_ETIMEDOUT); /* no worker */
    stop(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(without_a_dispatcher_the_deadline_passes_and_the_request_stays),
        cmocka_unit_test(who_waits_gets_the_results),
        cmocka_unit_test(many_threads_ask_for_the_same_and_it_is_sent_once),
        cmocka_unit_test(a_dispatcher_ends_while_somebody_waits_for_a_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
