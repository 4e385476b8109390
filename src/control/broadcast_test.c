/* broadcast_test.c - requests over memory:// to nodes of a few lines, each on a thread and a loop of its own. For
 * ThreadSanitizer, too. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "app/declare.h"
#include "app/test_support.h"
#include "broker/broker.h"
#include "celeriac/control.h"
#include "control/mailbox.h"
#include "core/json.h"
#include "core/mem.h"

#define LONG_MS 60000 /* nobody waits so long */

/* ---- a node ---- */

struct node {
    cel_app *app;
    const char *name;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_sem_t ready;
    cel_broker *broker;
    cel_consumer *consumer;
    atomic_int casts; /* requests that wanted no reply */
    cel__buf last; /* the last request's method and arguments; read when nothing is under way */
    char queue[64];
};

static void ignore_code(void *user, cel_code code, const cel_error *err)
{
    (void)user;
    (void)code;
    (void)err;
}

/* `raw` instead of the reply, and `ticket` instead of the request's, unless they are NULL. */
static void send_reply(struct node *node,
                       const cel_mailbox_request *request,
                       const json_t *value,
                       const char *raw,
                       const char *ticket)
{
    cel_mailbox_reply reply = {
        .node = cel__view(node->name), .value = value, .ticket = request->ticket};
    cel__buf buf = {0};
    cel_message message;

    if (ticket)
        reply.ticket = cel__view(ticket);
    if (cel__mailbox_reply_encode(&message, &reply, request, &node->app->codings.tasks, &buf,
                                  NULL) == CEL_OK) {
        if (raw)
            message.body = cel__view(raw);
        node->broker->ops->publish(node->broker, &message, 1, ignore_code, NULL, NULL);
    }
    cel__buf_done(&buf);
}

static void answer(struct node *node, const cel_mailbox_request *request)
{
    json_t *pong = json_pack("{s:s}", "ok", "pong");

    if (cel__view_is(request->method, "echo"))
        send_reply(node, request, request->arguments, NULL, NULL);
    else if (cel__view_is(request->method, "null"))
        send_reply(node, request, NULL, NULL, NULL);
    else if (cel__view_is(request->method, "big"))
        send_reply(node, request, NULL, "{\"n1@test\": [123456789012345678901234567890]}",
                   NULL);
    else if (cel__view_is(request->method, "garbage"))
        send_reply(node, request, NULL, "{\"n1@test\": ", NULL);
    else if (cel__view_is(request->method, "stranger"))
        send_reply(node, request, pong, NULL, "another");
    else if (!cel__view_is(request->method, "mute"))
        send_reply(node, request, pong, NULL, NULL);
    if (cel__view_is(request->method, "twice") || cel__view_is(request->method, "garbage"))
        send_reply(node, request, pong, NULL, NULL);
    json_decref(pong);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    struct node *node = user;
    cel_mailbox_request request = {0};
    json_t *root = NULL;
    bool is = false;

    if (cel__mailbox_request_decode(&request, &root, &delivery->message,
                                    &node->app->codings.tasks, NULL) == CEL_OK &&
        cel__mailbox_is_for(&is, &request, cel__view(node->name), NULL) == CEL_OK && is) {
        cel__buf_reset(&node->last);
        cel__buf_add_view(&node->last, request.method);
        cel__buf_add_byte(&node->last, ' ');
        if (request.arguments)
            cel__json_dump(&node->last, request.arguments);
        else
            cel__buf_add_str(&node->last, "{}");
        if (request.ticket.ptr)
            answer(node, &request);
        else
            atomic_fetch_add(&node->casts, 1);
    }
    json_decref(root);
    delivery->broker->ops->ack(delivery, NULL, NULL);
}

static void on_closed(void *user)
{
    struct node *node = user;

    uv_close((uv_handle_t *)&node->wake, NULL);
}

static void on_canceled(void *user)
{
    struct node *node = user;

    node->broker->ops->close(node->broker, on_closed, node);
}

static void on_wake(uv_async_t *wake)
{
    struct node *node = wake->data;

    node->broker->ops->cancel(node->consumer, on_canceled, node);
}

static void run_node(void *user)
{
    struct node *node = user;
    cel_view queue = cel__view(node->queue);
    cel_broker_options options = {.url = node->app->broker_url,
                                  .loop = &node->loop,
                                  .clock = node->app->clock,
                                  .log = &node->app->log};

    cel__app_broker_options(node->app, &options);
    if (cel__broker_open(&node->broker, &options, NULL) != CEL_OK)
        abort();
    if (node->broker->ops->consume(
            &node->consumer, node->broker,
            &(cel_consumer_options){.queues = &queue,
                                    .queue_count = 1,
                                    .window = 100,
                                    .reply = true,
                                    .listening = cel__mailbox_listen_node(
                                        node->app->config, CEL_VIEW("celery.pidbox")),
                                    .on_delivery = on_delivery,
                                    .user = node},
            NULL) != CEL_OK)
        abort();
    uv_sem_post(&node->ready);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    uv_loop_close(&node->loop);
}

static struct node *start_node(cel_app *app, const char *name)
{
    struct node *node = calloc(1, sizeof *node);

    assert_non_null(node);
    node->app = app;
    node->name = name;
    snprintf(node->queue, sizeof node->queue, "%s.celery.pidbox", name);
    assert_int_equal(uv_loop_init(&node->loop), 0);
    assert_int_equal(uv_async_init(&node->loop, &node->wake, on_wake), 0);
    node->wake.data = node;
    assert_int_equal(uv_sem_init(&node->ready, 0), 0);
    assert_int_equal(uv_thread_create(&node->thread, run_node, node), 0);
    uv_sem_wait(&node->ready);
    return node;
}

static void stop_node(struct node *node)
{
    uv_async_send(&node->wake);
    uv_thread_join(&node->thread);
    uv_sem_destroy(&node->ready);
    cel__buf_done(&node->last);
    free(node);
}

/* ---- one app, two nodes ---- */

struct side {
    cel_app *app;
    struct node *nodes[2];
};

static int setup(void **state)
{
    struct side *side = calloc(1, sizeof *side);

    assert_non_null(side);
    side->app = test_app(NULL);
    side->nodes[0] = start_node(side->app, "n1@test");
    side->nodes[1] = start_node(side->app, "n2@test");
    *state = side;
    return 0;
}

static int teardown(void **state)
{
    struct side *side = *state;

    stop_node(side->nodes[0]);
    stop_node(side->nodes[1]);
    cel_app_free(side->app);
    free(side);
    return 0;
}

static const char *const first[] = {"n1@test", NULL};
static const char *const both[] = {"n2@test", "n1@test", NULL};

static json_t *ask(struct side *side,
                   const char *method,
                   json_t *arguments,
                   const cel_control_options *options)
{
    json_t *replies = NULL;
    cel_error err = {0};

    if (cel_control_broadcast(side->app, method, arguments, options, &replies, &err) != CEL_OK)
        fail_msg("%s: %s", method, err.message);
    return replies;
}

static void check(json_t *value, const char *wanted)
{
    cel__buf buf = {0};

    cel__json_dump(&buf, value);
    assert_string_equal(cel__buf_cstr(&buf), wanted);
    cel__buf_done(&buf);
    json_decref(value);
}

static void all_nodes_answer_and_the_limit_ends_the_wait(void **state)
{
    json_t *replies =
        ask(*state, "ping", NULL, CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .limit = 2));

    assert_int_equal(json_array_size(replies), 2);
    json_decref(replies);
}

static void who_names_nodes_waits_for_as_many(void **state)
{
    json_t *replies = ask(*state, "ping", NULL,
                          CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = both));

    assert_int_equal(json_array_size(replies), 2);
    json_decref(replies);
    check(ask(*state, "ping", NULL,
              CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = first)),
          "[{\"n1@test\": {\"ok\": \"pong\"}}]");
}

static void a_pattern_chooses_nodes(void **state)
{
    check(ask(*state, "ping", NULL,
              CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .pattern = "n?@t*", .matcher = "glob",
                                  .limit = 1, .destination = first)),
          "[{\"n1@test\": {\"ok\": \"pong\"}}]");
    check(ask(*state, "ping", NULL,
              CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .pattern = "n2", .matcher = "pcre",
                                  .limit = 1)),
          "[{\"n2@test\": {\"ok\": \"pong\"}}]");
}

static void silence_ends_the_wait(void **state)
{
    json_t *nodes = NULL;

    check(ask(*state, "mute", NULL, CEL_CONTROL_OPTIONS(.timeout_ms = 20)), "[]");
    check(ask(*state, "stranger", NULL, CEL_CONTROL_OPTIONS(.timeout_ms = 20)), "[]");
    assert_int_equal(cel_inspect(((struct side *)*state)->app, "mute", NULL,
                                 CEL_CONTROL_OPTIONS(.timeout_ms = 20), &nodes, NULL),
                     CEL_OK);
    check(nodes, "{}");
}

static void arguments_arrive_and_null_is_a_reply(void **state)
{
    check(ask(*state, "echo", json_pack("{s:[i]}", "x", 1),
              CEL_CONTROL_OPTIONS(.destination = first)),
          "[{\"n1@test\": {\"x\": [1]}}]");
    check(ask(*state, "null", NULL, CEL_CONTROL_OPTIONS(.destination = first)),
          "[{\"n1@test\": null}]");
}

static void a_reply_that_c_cannot_hold_is_shown_as_an_error(void **state)
{
    json_t *replies = ask(*state, "big", NULL,
                          CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = first));
    const json_t *error =
        json_object_get(json_object_get(json_array_get(replies, 0), "n1@test"), "error");

    assert_non_null(json_string_value(error));
    assert_non_null(strstr(json_string_value(error), "the reply cannot be shown: "));
    json_decref(replies);
}

static void a_reply_that_is_none_is_passed_over(void **state)
{
    check(ask(*state, "garbage", NULL,
              CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = first)),
          "[{\"n1@test\": {\"ok\": \"pong\"}}]");
}

static void two_replies_of_one_node_are_one_by_node(void **state)
{
    struct side *side = *state;
    json_t *nodes = NULL;

    assert_int_equal(cel_inspect(side->app, "twice", NULL,
                                 CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS,
                                                     .destination = first, .limit = 2),
                                 &nodes, NULL),
                     CEL_OK);
    check(nodes, "{\"n1@test\": {\"ok\": \"pong\"}}");
}

static void note(void *user, const char *node, const json_t *reply)
{
    strcat(user, node);
    strcat(user, json_is_object(reply) ? "+ " : "- ");
}

static void the_callback_sees_each_reply(void **state)
{
    char seen[64] = "";

    json_decref(ask(*state, "ping", NULL,
                    CEL_CONTROL_OPTIONS(.destination = first, .on_reply = note, .user = seen)));
    json_decref(ask(*state, "null", NULL,
                    CEL_CONTROL_OPTIONS(.destination = first, .on_reply = note, .user = seen)));
    assert_string_equal(seen, "n1@test+ n1@test- ");
}

static void who_wants_no_reply_does_not_wait(void **state)
{
    struct side *side = *state;

    assert_int_equal(
        cel_control_shutdown(side->app, CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS), NULL),
        CEL_OK);
    assert_int_equal(cel_control_revoke(side->app, first,
                                        CEL_CONTROL_OPTIONS(.destination = first), NULL, NULL),
                     CEL_OK);
    json_decref(
        ask(side, "ping", NULL, CEL_CONTROL_OPTIONS(.destination = both))); /* behind them */
    assert_int_equal(atomic_load(&side->nodes[0]->casts), 2);
    assert_int_equal(atomic_load(&side->nodes[1]->casts), 1);
}

static void without_nodes_nobody_answers(void **state)
{
    cel_app *app = test_app(NULL);
    json_t *replies = NULL;

    (void)state;
    assert_int_equal(
        cel_control_ping(app, CEL_CONTROL_OPTIONS(.timeout_ms = 20), &replies, NULL), CEL_OK);
    check(replies, "[]");
    assert_int_equal(cel_control_shutdown(app, NULL, NULL), CEL_OK);
    cel_app_free(app);
}

/* Commands are sent to the first node, which answers whatever it is. */
#define SENDS(wanted, call)                                                                    \
    do {                                                                                       \
        json_t *got = NULL;                                                                    \
        assert_int_equal(call, CEL_OK);                                                        \
        json_decref(got);                                                                      \
        assert_string_equal(cel__buf_cstr(&side->nodes[0]->last), wanted);                     \
    } while (0)

static void each_command_sends_the_arguments_of_celery(void **state)
{
    struct side *side = *state;
    cel_app *app = side->app;
    const cel_control_options *to =
        CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = first);
    static const char *const ids[] = {"a", "b", NULL};

    SENDS("ping {}", cel_control_ping(app, to, &got, NULL));
    SENDS("revoke {\"task_id\": [\"a\", \"b\"], \"terminate\": false, \"signal\": \"SIGTERM\"}",
          cel_control_revoke(app, ids, to, &got, NULL));
    SENDS("revoke {\"task_id\": [\"a\", \"b\"], \"terminate\": true, \"signal\": \"SIGKILL\"}",
          cel_control_terminate(app, ids, "SIGKILL", to, &got, NULL));
    SENDS("rate_limit {\"task_name\": \"t\", \"rate_limit\": \"1/m\"}",
          cel_control_rate_limit(app, "t", "1/m", to, &got, NULL));
    SENDS("time_limit {\"task_name\": \"t\", \"hard\": null, \"soft\": 1.5}",
          cel_control_time_limit(app, "t", 1.5, 0, to, &got, NULL));
    SENDS("add_consumer {\"queue\": \"q\", \"exchange\": null, \"exchange_type\": \"topic\", "
          "\"routing_key\": null}",
          cel_control_add_consumer(app, "q", json_pack("{s:s}", "exchange_type", "topic"), to,
                                   &got, NULL));
    SENDS("cancel_consumer {\"queue\": \"q\"}",
          cel_control_cancel_consumer(app, "q", to, &got, NULL));
    SENDS("pool_grow {\"n\": 2}", cel_control_pool_grow(app, 2, to, &got, NULL));
    SENDS("pool_shrink {\"n\": 1}", cel_control_pool_shrink(app, 1, to, &got, NULL));
    SENDS("autoscale {\"max\": 3, \"min\": 1}",
          cel_control_autoscale(app, 3, 1, to, &got, NULL));
    SENDS("heartbeat {}", cel_control_heartbeat(app, to, &got, NULL));
    SENDS("enable_events {}", cel_control_enable_events(app, to, &got, NULL));
    SENDS("disable_events {}", cel_control_disable_events(app, to, &got, NULL));
    SENDS("pool_restart {}", cel_control_pool_restart(app, to, &got, NULL));
    SENDS("stats {}", cel_inspect_stats(app, to, &got, NULL));
    SENDS("active_queues {}", cel_inspect_active_queues(app, to, &got, NULL));
    SENDS("registered {\"taskinfoitems\": []}",
          cel_inspect_registered(app, NULL, to, &got, NULL));
    SENDS("query_task {\"ids\": [\"a\", \"b\"]}",
          cel_inspect_query_task(app, ids, to, &got, NULL));
    SENDS("conf {\"with_defaults\": true}", cel_inspect_conf(app, true, to, &got, NULL));
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct side *side = *state;
    static const char *const bytes[] = {"\xff", NULL};
    json_t *replies = NULL;
    const cel_control_options wrong[] = {
        {.size = sizeof *wrong, .timeout_ms = -1},
        {.size = sizeof *wrong, .pattern = "x"},
        {.size = sizeof *wrong, .matcher = "glob"},
        {.size = sizeof *wrong, .pattern = "x", .matcher = "sql"},
        {.size = sizeof *wrong, .destination = bytes},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(cel_control_ping(side->app, &wrong[i], &replies, NULL), CEL_EINVAL);
    assert_int_equal(cel_control_broadcast(side->app, "", NULL, NULL, &replies, NULL),
                     CEL_EINVAL);
    assert_int_equal(cel_control_broadcast(side->app, "x", json_array(), NULL, &replies, NULL),
                     CEL_EINVAL);
    assert_int_equal(cel_control_broadcast(NULL, "x", json_object(), NULL, &replies, NULL),
                     CEL_EINVAL);
    assert_int_equal(cel_inspect_ping(side->app, NULL, NULL, NULL), CEL_EINVAL);
    assert_int_equal(cel_control_rate_limit(side->app, "t", "\xff", NULL, &replies, NULL),
                     CEL_EINVAL);
    assert_int_equal(cel_control_rate_limit(side->app, "t", NULL, NULL, &replies, NULL),
                     CEL_EINVAL);
    assert_int_equal(cel_control_revoke(side->app, bytes, NULL, &replies, NULL), CEL_EINVAL);
    assert_null(replies);
}

static void *ask_often(void *user)
{
    for (int i = 0; i < 20; i++) {
        json_t *nodes = NULL;

        if (cel_inspect_ping(user,
                             CEL_CONTROL_OPTIONS(.timeout_ms = LONG_MS, .destination = both),
                             &nodes, NULL) != CEL_OK ||
            json_object_size(nodes) != 2)
            return user;
        json_decref(nodes);
    }
    return NULL;
}

static void threads_share_an_app(void **state)
{
    struct side *side = *state;
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, side->app), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_nodes_answer_and_the_limit_ends_the_wait),
        TEST(who_names_nodes_waits_for_as_many),
        TEST(a_pattern_chooses_nodes),
        TEST(silence_ends_the_wait),
        TEST(arguments_arrive_and_null_is_a_reply),
        TEST(a_reply_that_c_cannot_hold_is_shown_as_an_error),
        TEST(a_reply_that_is_none_is_passed_over),
        TEST(two_replies_of_one_node_are_one_by_node),
        TEST(the_callback_sees_each_reply),
        TEST(who_wants_no_reply_does_not_wait),
        cmocka_unit_test(without_nodes_nobody_answers),
        TEST(each_command_sends_the_arguments_of_celery),
        TEST(what_makes_no_sense_is_refused),
        TEST(threads_share_an_app),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
