/* amqp_test.c - the AMQP broker keeps the contract, on a private RabbitMQ, which
 * tests/tools/rabbitmq.py starts: run me with `rabbitmq.py run`. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/broker_conformance.h"

#define DEADLINE_MS 60000
#define MAX_HELD    64

static int port;
static int vhosts; /* used up: each test has one of its own */

static void fresh_url(char *url, size_t size)
{
    assert_true(vhosts < 40);
    snprintf(url, size, "amqp://127.0.0.1:%d/t%d", port, vhosts++);
}

/* ---- one broker and its loop ---- */

typedef struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    char url[512];
    cel_broker *broker;
    cel_consumer *consumer;
    cel_delivery *held[MAX_HELD];
    size_t held_count;
    int pending, outages, returns;
    cel_error last; /* of a confirmation or an outage */
    int64_t ready, consumers;
    const char *delays; /* delay_queue_type */
    bool (*describe)(const void *user, cel_view queue, cel_queue_decl *out);
    void (*queues_of)(const void *user,
                      cel_view exchange,
                      void (*each)(void *to, cel_view queue),
                      void *to);
} fixture;

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static cel_code try_open(fixture *fix, const char *url, cel_error *err)
{
    cel_broker_options options = {.url = url,
                                  .loop = &fix->loop,
                                  .node = "test@here",
                                  .describe = fix->describe,
                                  .queues_of = fix->queues_of,
                                  .delay_queue_type = cel__view(fix->delays)};

    return cel__broker_open(&fix->broker, &options, err);
}

static void start_loop(fixture *fix)
{
    *fix = (fixture){0};
    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
}

static void start_with(fixture *fix, const char *delays)
{
    cel_error err = {0};

    start_loop(fix);
    fix->delays = delays;
    fresh_url(fix->url, sizeof fix->url);
    if (try_open(fix, fix->url, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
}

static void start(fixture *fix)
{
    start_with(fix, NULL);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void close_broker(fixture *fix)
{
    bool closed = false;

    fix->broker->ops->close(fix->broker, set_true, &closed);
    while (!closed)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static void stop_loop(fixture *fix)
{
    uv_close((uv_handle_t *)&fix->deadline, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
}

static void stop(fixture *fix)
{
    close_broker(fix);
    assert_int_equal(fix->pending, 0);
    stop_loop(fix);
}

static void on_confirmed(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    fix->pending--;
    fix->last = err ? *err : (cel_error){.code = code};
}

static void wait_pending(fixture *fix)
{
    while (fix->pending > 0)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static cel_message message_of(const char *key, const char *body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = cel__view(key);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.headers = CEL_VIEW("{\"task\": \"t\"}");
    message.body = cel__view(body);
    message.delivery_mode = 2;
    return message;
}

static void publish_message(fixture *fix, const cel_message *message)
{
    cel_error err = {0};

    if (fix->broker->ops->publish(fix->broker, message, 1, on_confirmed, fix, &err) != CEL_OK)
        fail_msg("publish: %s", err.message);
    fix->pending++;
}

static void publish(fixture *fix, const char *queue, const char *body)
{
    cel_message message = message_of(queue, body);

    publish_message(fix, &message);
    wait_pending(fix);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    fixture *fix = user;

    assert_true(fix->held_count < MAX_HELD);
    fix->held[fix->held_count++] = delivery;
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    if (code == CEL_OK) {
        fix->returns++;
    } else {
        fix->outages++;
        fix->last = *err;
    }
}

static void consume(fixture *fix, const char *queue, size_t window)
{
    cel_view queues[] = {cel__view(queue)};
    cel_error err = {0};
    cel_consumer_options options = {.queues = queues,
                                    .queue_count = 1,
                                    .window = window,
                                    .on_delivery = on_delivery,
                                    .on_state = on_state,
                                    .user = fix};

    if (fix->broker->ops->consume(&fix->consumer, fix->broker, &options, &err) != CEL_OK)
        fail_msg("consume: %s", err.message);
}

static void wait_held(fixture *fix, size_t count)
{
    while (fix->held_count < count)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static cel_delivery *pop(fixture *fix)
{
    assert_true(fix->held_count > 0);
    return fix->held[--fix->held_count];
}

static cel_code ack(fixture *fix, cel_delivery *delivery)
{
    fix->pending++;
    fix->broker->ops->ack(delivery, on_confirmed, fix);
    wait_pending(fix);
    return fix->last.code;
}

static void on_info(void *user, const cel_queue_info *info, const cel_error *err)
{
    fixture *fix = user;

    if (info) {
        fix->ready = info->ready;
        fix->consumers = info->consumers;
    } else {
        fix->pending--;
        fix->last = err ? *err : (cel_error){0};
    }
}

/* -1: there is no such queue. */
static int64_t ready_in(fixture *fix, const char *queue)
{
    fix->pending++;
    fix->ready = -1;
    assert_int_equal(
        fix->broker->ops->queues(fix->broker, cel__view(queue), on_info, fix, NULL), CEL_OK);
    wait_pending(fix);
    return fix->ready;
}

static void kill_server(void)
{
    FILE *file = fopen(getenv("RABBITMQ_TEST_PID_FILE"), "r");
    int pid = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    assert_true(pid > 1);
    assert_int_equal(kill(-pid, SIGKILL), 0); /* rabbitmq.py starts it again */
}

/* ---- refusals ---- */

static void expect_refusal(const char *url, cel_code code, const char *text)
{
    fixture fix;
    cel_error err = {0};

    start_loop(&fix);
    cel_code got = try_open(&fix, url, &err);
    if (got != code || !strstr(err.message, text) || strstr(err.message, "secret"))
        fail_msg("%s: %s: %s", url, cel_code_name(got), err.message);
    stop_loop(&fix);
}

static void a_wrong_login_is_a_clear_error_without_the_password(void **state)
{
    char url[256];

    (void)state;
    snprintf(url, sizeof url, "amqp://guest:secret@127.0.0.1:%d//", port);
    expect_refusal(url, CEL_ECONFIG, "ACCESS_REFUSED");
    snprintf(url, sizeof url, "amqp://127.0.0.1:%d/nowhere", port);
    expect_refusal(url, CEL_ECONFIG, "vhost nowhere not found");
    snprintf(url, sizeof url, "amqp://nobody:nobody@127.0.0.1:%d//", port);
    expect_refusal(url, CEL_ECONFIG, "refused for user 'nobody'");
    expect_refusal("amqp://guest:secret@127.0.0.1:1//", CEL_ECONN, "Connection refused");
    expect_refusal("amqp://guest:secret@127.0.0.1:x//", CEL_ECONFIG, "port");
}

static void quoted_logins_and_hosts_are_decoded(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_loop(&fix);
    snprintf(fix.url, sizeof fix.url, "amqp://us%%20er:p%%40ss%%2Fword@127.0.0.1:%d/a%%2Fb",
             port);
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("%s", err.message);
    publish(&fix, "quoted", "x");
    assert_int_equal(fix.last.code, CEL_OK);
    stop(&fix);
}

static void the_next_server_of_a_list_is_tried(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_loop(&fix);
    snprintf(fix.url, sizeof fix.url, "amqp://127.0.0.1:1//; amqp://127.0.0.1:%d/t%d", port,
             vhosts++);
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("%s", err.message);
    publish(&fix, "q", "x");
    assert_int_equal(fix.last.code, CEL_OK);
    stop(&fix);
}

static void a_queue_that_may_not_be_declared_is_reported(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_loop(&fix);
    snprintf(fix.url, sizeof fix.url, "amqp://limited:limited@127.0.0.1:%d//", port);
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("%s", err.message);
    consume(&fix, "theirs", 1);
    while (fix.outages == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    assert_int_equal(fix.last.code, CEL_ECONFIG);
    assert_non_null(strstr(fix.last.message, "queue 'theirs'"));
    assert_non_null(strstr(fix.last.message, "access to queue"));
    publish(&fix, "theirs", "x");
    assert_int_equal(fix.last.code, CEL_ECONFIG);
    stop(&fix);
}

/* ---- publishing ---- */

static void what_no_queue_takes_is_an_error(void **state)
{
    fixture fix;
    cel_message message = message_of("nobody listens", "x");

    (void)state;
    start(&fix);
    message.exchange = CEL_VIEW("amq.direct");
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last.code, CEL_ENOENT);
    assert_non_null(strstr(fix.last.message, "NO_ROUTE"));
    publish(&fix, "q", "x");
    assert_int_equal(fix.last.code, CEL_OK);
    stop(&fix);
}

static void an_exchange_that_is_missing_is_an_error_and_the_next_message_is_sent(void **state)
{
    fixture fix;
    cel_message message = message_of("key", "x");

    (void)state;
    start(&fix);
    message.exchange = CEL_VIEW("there is none");
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last.code, CEL_ENOENT);
    assert_non_null(strstr(fix.last.message, "there is none"));
    publish(&fix, "q", "x");
    assert_int_equal(fix.last.code, CEL_OK);
    stop(&fix);
}

static void headers_that_fit_no_frame_are_refused(void **state)
{
    fixture fix;
    static char headers[200016];
    cel_message message = message_of("q", "x");

    (void)state;
    start(&fix);
    snprintf(headers, sizeof headers, "{\"a\": \"%0*d\"}", 200000, 0);
    message.headers = cel__view(headers);
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last.code, CEL_EINVAL);
    publish(&fix, "q", "x");
    assert_int_equal(fix.last.code, CEL_OK);
    stop(&fix);
}

static void a_body_of_many_frames_arrives_unchanged(void **state)
{
    fixture fix;
    size_t len = 1000003;
    char *body = calloc(1, len);
    cel_message message = message_of("q", "");

    (void)state;
    start(&fix);
    if (!body)
        fail_msg("no memory");
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 7);
    message.body = (cel_view){body, len};
    publish_message(&fix, &message);
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    assert_true(cel__view_eq(fix.held[0]->message.body, (cel_view){body, len}));
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    wait_pending(&fix);
    free(body);
    stop(&fix);
}

static void all_kinds_of_headers_survive(void **state)
{
    static const char text[] = "{\"n\": null, \"t\": true, \"i\": -5, \"big\": 1099511627776, "
                               "\"f\": 1.5, \"s\": \"\\u00e4\\\"\", \"a\": [1, [], {}], "
                               "\"o\": {\"x\": \"\"}}";
    fixture fix;
    cel_message message = message_of("q", "x");

    (void)state;
    start(&fix);
    message.headers = cel__view(text);
    publish_message(&fix, &message);
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    assert_int_equal(fix.held[0]->message.headers.len, sizeof text - 1);
    assert_memory_equal(fix.held[0]->message.headers.ptr, text, sizeof text - 1);
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    stop(&fix);
}

/* ---- consuming ---- */

static void an_accepted_message_leaves_room_only_when_it_is_settled(void **state)
{
    fixture fix;

    (void)state;
    start(&fix);
    for (int i = 0; i < 5; i++)
        publish(&fix, "q", "x");
    consume(&fix, "q", 2);
    wait_held(&fix, 2);
    assert_int_equal(fix.broker->ops->accept(fix.held[0], NULL), CEL_OK);
    assert_int_equal(fix.broker->ops->accept(fix.held[1], NULL), CEL_OK);
    /* Nothing is fetched for nobody: three stay in the queue for others. */
    for (int i = 0; i < 20; i++)
        assert_true(ready_in(&fix, "q") >= 2);
    while (ready_in(&fix, "q") != 3) {
    }
    assert_int_equal(fix.held_count, 2);
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    wait_held(&fix, 2);
    while (fix.held_count > 0)
        assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    stop(&fix);
}

static void an_outage_is_reported_and_overcome(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start(&fix);
    publish(&fix, "q", "one");
    publish(&fix, "q", "two");
    consume(&fix, "q", 2);
    wait_held(&fix, 2);
    cel_delivery *late = fix.held[0], *early = fix.held[1];
    fix.held_count = 0;
    kill_server();
    while (fix.outages == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    assert_int_equal(fix.last.code, CEL_ECONN);
    assert_true(fix.last.retriable);
    assert_int_equal(fix.broker->ops->accept(early, &err), CEL_ESTALE);
    assert_int_equal(ack(&fix, late), CEL_ESTALE);
    assert_int_equal(ack(&fix, early), CEL_ESTALE);
    /* What is sent while it is down fails for certain, or is confirmed later. */
    publish(&fix, "q", "while down");
    bool sent = fix.last.code == CEL_OK;
    assert_true(sent || (fix.last.code == CEL_ECONN && !fix.last.uncertain));
    while (fix.returns == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    assert_int_equal(fix.outages, 1);
    wait_held(&fix, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fix.held[i]->attempt, CEL_ATTEMPT_AGAIN);
    while (fix.held_count > 0)
        assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    if (sent) {
        wait_held(&fix, 1);
        assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    }
    publish(&fix, "q", "after");
    assert_int_equal(fix.last.code, CEL_OK);
    wait_held(&fix, 1);
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    stop(&fix);
}

static void what_is_lost_unconfirmed_is_uncertain(void **state)
{
    fixture fix;
    cel_message messages[200];

    (void)state;
    start(&fix);
    publish(&fix, "q", "x");
    for (size_t i = 0; i < 200; i++)
        messages[i] = message_of("q", "y");
    /* Batch after batch until one is cut off by the server's death. */
    kill_server();
    while (fix.last.code == CEL_OK) {
        assert_int_equal(
            fix.broker->ops->publish(fix.broker, messages, 200, on_confirmed, &fix, NULL),
            CEL_OK);
        fix.pending++;
        wait_pending(&fix);
    }
    assert_int_equal(fix.last.code, CEL_ECONN);
    assert_true(fix.last.retriable);
    while (fix.last.code != CEL_OK)
        publish(&fix, "q", "again"); /* fails after each attempt to connect */
    assert_true(ready_in(&fix, "q") >= 2);
    stop(&fix);
}

static void a_broker_closes_while_the_server_is_down(void **state)
{
    fixture fix;

    (void)state;
    start(&fix);
    publish(&fix, "q", "x");
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    kill_server();
    while (fix.outages == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    stop(&fix);
    /* Leave a server to those that come behind. */
    start_loop(&fix);
    while (try_open(&fix, fix.url[0] ? fix.url : "amqp://127.0.0.1:1//", NULL) != CEL_OK) {
        snprintf(fix.url, sizeof fix.url, "amqp://127.0.0.1:%d//", port);
        uv_run(&fix.loop, UV_RUN_NOWAIT);
    }
    stop(&fix);
}

/* ---- delayed delivery ---- */

static int64_t wall_ms(void)
{
    return cel__clock_wall_ms(cel__clock_system());
}

static void publish_later(fixture *fix, const char *exchange, const char *key, int64_t ms)
{
    cel_message message = message_of(key, "later");

    message.exchange = cel__view(exchange);
    message.eta_ms = wall_ms() + ms;
    message.headers = CEL_VIEW("{\"task\": \"t\", \"x-death\": [{\"queue\": "
                               "\"celery_delayed_0\", \"reason\": \"expired\"}]}");
    publish_message(fix, &message);
    wait_pending(fix);
}

static void expect_later(fixture *fix, const char *exchange, const char *key)
{
    const cel_message *message;

    wait_held(fix, 1);
    message = &fix->held[0]->message;
    if (!cel__view_is(message->exchange, exchange) || !cel__view_is(message->routing_key, key))
        fail_msg("exchange '%.*s', key '%.*s'", CEL_VIEW_ARG(message->exchange),
                 CEL_VIEW_ARG(message->routing_key));
    assert_true(cel__view_is(message->headers, "{\"task\": \"t\"}"));
    assert_true(cel__view_is(message->body, "later"));
    assert_int_equal(fix->held[0]->attempt, CEL_ATTEMPT_NEW);
    assert_int_equal(ack(fix, pop(fix)), CEL_OK);
}

static void what_waits_for_its_eta_arrives_as_it_was_sent(void **state)
{
    fixture fix;

    (void)state;
    start_with(&fix, "quorum");
    publish(&fix, "b", "now");
    consume(&fix, "b", 10);
    wait_held(&fix, 1);
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    publish_later(&fix, "", "a.b", 1100); /* not for b */
    publish_later(&fix, "", "b", 2100);
    assert_int_equal(fix.last.code, CEL_OK);
    assert_int_equal(ready_in(&fix, "a.b"), 0);
    expect_later(&fix, "", "b");
    while (ready_in(&fix, "a.b") < 1) {
    }
    assert_int_equal(fix.held_count, 0);
    stop(&fix);
}

static bool describe_topic(const void *user, cel_view queue, cel_queue_decl *out)
{
    (void)user;
    if (!cel__view_is(queue, "video"))
        return false;
    *out = (cel_queue_decl){.exchange = CEL_VIEW("media"),
                            .exchange_type = CEL_VIEW("topic"),
                            .routing_key = CEL_VIEW("video.#"),
                            .durable = true,
                            .max_priority = -1};
    return true;
}

static void
queues_of_media(const void *user, cel_view exchange, void (*each)(void *to, cel_view), void *to)
{
    (void)user;
    if (cel__view_is(exchange, "media"))
        each(to, CEL_VIEW("video"));
}

static void a_topic_exchange_is_reached_after_the_delay(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_loop(&fix);
    fix.delays = "classic";
    fix.describe = describe_topic;
    fix.queues_of = queues_of_media;
    fresh_url(fix.url, sizeof fix.url);
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
    publish_later(&fix, "media", "video.short", 1100);
    assert_int_equal(fix.last.code, CEL_OK);
    assert_int_equal(ready_in(&fix, "video"), 0);
    publish_later(&fix, "media", "audio", 3600000); /* no queue would take it then */
    assert_int_equal(fix.last.code, CEL_ENOENT);
    consume(&fix, "video", 1);
    expect_later(&fix, "media", "video.short");
    stop(&fix);
}

static void queues_for_delays_that_are_others_are_used(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_with(&fix, "classic");
    publish_later(&fix, "", "q", 3600000);
    assert_int_equal(fix.last.code, CEL_OK);
    close_broker(&fix);
    fix.delays = "quorum";
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
    publish_later(&fix, "", "q", 3600000);
    assert_int_equal(fix.last.code, CEL_OK);
    assert_int_equal(ready_in(&fix, "q"), 0);
    stop(&fix);
}

static void what_may_not_wait_in_the_server_is_delivered_at_once(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    start_loop(&fix);
    fix.delays = "quorum";
    snprintf(fix.url, sizeof fix.url, "amqp://limited:limited@127.0.0.1:%d//", port);
    if (try_open(&fix, fix.url, &err) != CEL_OK)
        fail_msg("%s", err.message);
    publish_later(&fix, "", "mine", 3600000);
    assert_int_equal(fix.last.code, CEL_OK);
    consume(&fix, "mine", 1);
    wait_held(&fix, 1);
    /* Nor can it be put back for later: it stays ours. */
    fix.pending++;
    assert_int_equal(
        fix.broker->ops->postpone(fix.held[0], wall_ms() + 3600000, on_confirmed, &fix, &err),
        CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last.code, CEL_ENOTSUP);
    assert_int_equal(ack(&fix, pop(&fix)), CEL_OK);
    stop(&fix);
}

static void a_delivery_is_postponed(void **state)
{
    fixture fix;
    cel_error err = {0};
    int64_t began = wall_ms();

    (void)state;
    start_with(&fix, "quorum");
    publish(&fix, "q", "later");
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    fix.pending++;
    assert_int_equal(
        fix.broker->ops->postpone(pop(&fix), began + 2000, on_confirmed, &fix, &err), CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last.code, CEL_OK);
    assert_int_equal(fix.held_count, 0);
    assert_int_equal(ready_in(&fix, "q"), 0);
    expect_later(&fix, "", "q");
    assert_true(wall_ms() - began >= 900);
    stop(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_login_is_a_clear_error_without_the_password),
        cmocka_unit_test(quoted_logins_and_hosts_are_decoded),
        cmocka_unit_test(the_next_server_of_a_list_is_tried),
        cmocka_unit_test(a_queue_that_may_not_be_declared_is_reported),
        cmocka_unit_test(what_no_queue_takes_is_an_error),
        cmocka_unit_test(an_exchange_that_is_missing_is_an_error_and_the_next_message_is_sent),
        cmocka_unit_test(headers_that_fit_no_frame_are_refused),
        cmocka_unit_test(a_body_of_many_frames_arrives_unchanged),
        cmocka_unit_test(all_kinds_of_headers_survive),
        cmocka_unit_test(an_accepted_message_leaves_room_only_when_it_is_settled),
        cmocka_unit_test(an_outage_is_reported_and_overcome),
        cmocka_unit_test(what_is_lost_unconfirmed_is_uncertain),
        cmocka_unit_test(a_broker_closes_while_the_server_is_down),
        cmocka_unit_test(what_waits_for_its_eta_arrives_as_it_was_sent),
        cmocka_unit_test(a_topic_exchange_is_reached_after_the_delay),
        cmocka_unit_test(queues_for_delays_that_are_others_are_used),
        cmocka_unit_test(what_may_not_wait_in_the_server_is_delivered_at_once),
        cmocka_unit_test(a_delivery_is_postponed),
    };
    const char *text = getenv("RABBITMQ_TEST_PORT");

    if (!text) {
        printf("SKIP: no RabbitMQ: run me with tests/tools/rabbitmq.py run\n");
        return 77;
    }
    port = (int)strtol(text, NULL, 10);
    int failed = cel__broker_conformance(&(cel_broker_conformance){
        "amqp broker", fresh_url, true,
        CEL_LACKS_PRIORITY | CEL_LACKS_COUNTS | CEL_LACKS_RELEASE | CEL_LACKS_ACCEPTED |
            CEL_LACKS_FAIRNESS | CEL_LACKS_FINE_ETA});
    return failed + cmocka_run_group_tests_name("amqp", tests, NULL, NULL);
}
