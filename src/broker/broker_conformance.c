/* broker_conformance.c - the contract of broker.h, one sentence per test. */
#include "broker/broker_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/time.h"

#define DEADLINE_MS 20000
#define MAX_HELD    512

static const cel_broker_conformance *subject;

/* Everything of one test: a loop, brokers, and what has been delivered. */
typedef struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    char url[512];
    int64_t pending; /* callbacks that have not come */
    cel_code last_code;
    int64_t last_count;
    cel_queue_info info;
    size_t infos;
} fixture;

/* A broker with a consumer. */
typedef struct test_side {
    fixture *fix;
    cel_broker *broker;
    cel_consumer *consumer;
    cel_delivery *held[MAX_HELD];
    size_t held_count;
    bool closed, cancelled;
} test_side;

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static void open_side(fixture *fix, test_side *side)
{
    cel_error err = {0};
    cel_broker_options options = {.url = fix->url,
                                  .loop = &fix->loop,
                                  .clock = cel__clock_system(),
                                  .threaded = subject->threaded,
                                  .node = "test@here",
                                  .delay_queue_type = CEL_VIEW("quorum")};

    *side = (test_side){.fix = fix};
    if (cel__broker_open(&side->broker, &options, &err) != CEL_OK)
        fail_msg("open '%s': %s", fix->url, err.message);
}

static void start(fixture *fix, test_side *side)
{
    *fix = (fixture){0};
    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
    subject->fresh_url(fix->url, sizeof fix->url);
    open_side(fix, side);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void run_once(fixture *fix)
{
    uv_run(&fix->loop, UV_RUN_ONCE);
}

static void close_side(test_side *side)
{
    side->broker->ops->close(side->broker, set_true, &side->closed);
    assert_false(side->closed);
    while (!side->closed)
        run_once(side->fix);
}

static void stop(fixture *fix, test_side *side)
{
    if (side && !side->closed)
        close_side(side);
    assert_int_equal(fix->pending, 0);
    uv_close((uv_handle_t *)&fix->deadline, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
}

static void confirmed(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    assert_true((err == NULL) == (code == CEL_OK));
    fix->pending--;
    fix->last_code = code;
}

static void wait_pending(fixture *fix)
{
    while (fix->pending > 0)
        run_once(fix);
}

static cel_message message_of(const char *queue, const char *body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = cel__view(queue);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.correlation_id = CEL_VIEW("6ff0f5cd-58c7-4a40-9c2c-1c6b4b9f4b1a");
    message.headers = CEL_VIEW("{\"lang\": \"c\", \"task\": \"t\"}");
    message.body = cel__view(body);
    message.task = CEL_VIEW("t");
    message.delivery_mode = 2;
    return message;
}

/* In the headers, too: a broker may have nothing but them to tell it by. */
static void set_eta(cel_message *message, int64_t eta_ms)
{
    static char headers[8][CEL_TIME_TEXT + 64];
    static size_t next;
    char *text = headers[next++ % 8], when[CEL_TIME_TEXT];

    cel__time_format(when, eta_ms * 1000);
    snprintf(text, sizeof *headers, "{\"lang\": \"c\", \"task\": \"t\", \"eta\": \"%s\"}",
             when);
    message->headers = cel__view(text);
    message->eta_ms = eta_ms;
}

static void publish_message(test_side *side, const cel_message *message)
{
    cel_error err = {0};
    int64_t before = side->fix->pending++;

    if (side->broker->ops->publish(side->broker, message, 1, confirmed, side->fix, &err) !=
        CEL_OK)
        fail_msg("publish: %s", err.message);
    assert_int_equal(side->fix->pending, before + 1);
}

static void publish(test_side *side, const char *queue, const char *body)
{
    cel_message message = message_of(queue, body);

    publish_message(side, &message);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    test_side *side = user;

    assert_false(side->cancelled);
    assert_true(side->held_count < MAX_HELD);
    side->held[side->held_count++] = delivery;
}

static void
listen_to(test_side *side, const char *queue, size_t window, cel_listening listening)
{
    cel_view name = cel__view(queue);
    cel_error err = {0};
    cel_consumer_options options = {.queues = &name,
                                    .queue_count = 1,
                                    .window = window,
                                    .reply = true,
                                    .listening = listening,
                                    .on_delivery = on_delivery,
                                    .user = side};

    if (side->broker->ops->consume(&side->consumer, side->broker, &options, &err) != CEL_OK)
        fail_msg("consume: %s", err.message);
}

static void consume_replies(test_side *side, const char *queue, size_t window)
{
    listen_to(side, queue, window, (cel_listening){0});
}

static void consume(test_side *side, const char *queue, const char *second, size_t window)
{
    cel_view queues[2] = {cel__view(queue), cel__view(second)};
    cel_error err = {0};
    cel_consumer_options options = {.queues = queues,
                                    .queue_count = second ? 2 : 1,
                                    .window = window,
                                    .on_delivery = on_delivery,
                                    .user = side};

    if (side->broker->ops->consume(&side->consumer, side->broker, &options, &err) != CEL_OK)
        fail_msg("consume: %s", err.message);
}

static void wait_held(test_side *side, size_t count)
{
    while (side->held_count < count)
        run_once(side->fix);
    assert_int_equal(side->held_count, count);
}

static bool body_is(const cel_delivery *delivery, const char *body)
{
    return cel__view_is(delivery->message.body, body);
}

static cel_delivery *pop(test_side *side)
{
    assert_true(side->held_count > 0);
    cel_delivery *delivery = side->held[0];
    side->held_count--;
    memmove(side->held, side->held + 1, side->held_count * sizeof *side->held);
    return delivery;
}

static void ack_one(test_side *side)
{
    side->fix->pending++;
    side->broker->ops->ack(pop(side), confirmed, side->fix);
}

static void ack_held(test_side *side)
{
    while (side->held_count > 0)
        ack_one(side);
    wait_pending(side->fix);
    assert_int_equal(side->fix->last_code, CEL_OK);
}

static void count_info(void *user, const cel_queue_info *info, const cel_error *err)
{
    fixture *fix = user;

    assert_null(err);
    if (info) {
        fix->info = *info;
        fix->infos++;
    } else {
        fix->pending--;
    }
}

static const cel_queue_info *info_of(test_side *side, const char *queue)
{
    fixture *fix = side->fix;
    cel_error err = {0};

    fix->pending++;
    fix->infos = 0;
    assert_int_equal(
        side->broker->ops->queues(side->broker, cel__view(queue), count_info, fix, &err),
        CEL_OK);
    wait_pending(fix);
    assert_true(fix->infos <= 1);
    return fix->infos ? &fix->info : NULL;
}

static bool lacks(unsigned what)
{
    return (subject->lacks & what) != 0;
}

/* Compares a count of cel_queue_info, if the broker can tell it. */
static void assert_count(int64_t got, int64_t want)
{
    if (lacks(CEL_LACKS_COUNTS))
        assert_int_equal(got, -1);
    else
        assert_int_equal(got, want);
}

/* ---- the contract ---- */

static void what_is_published_is_delivered_as_it_was(void **state)
{
    fixture fix;
    test_side side;

    (void)state;
    start(&fix, &side);
    cel_message sent = message_of("q", "[[1, \"\\u00e4 \xc3\xa4\"], {}, {}]");
    sent.reply_to = CEL_VIEW("someone");
    sent.priority = 3;
    publish_message(&side, &sent);
    consume(&side, "q", NULL, 10);
    wait_held(&side, 1);
    const cel_delivery *got = side.held[0];
    assert_true(cel__view_is(got->queue, "q"));
    assert_int_equal(got->attempt, CEL_ATTEMPT_NEW);
    assert_int_equal(got->deliveries, 1);
    assert_true(cel__view_eq(got->message.body, sent.body));
    assert_true(cel__view_eq(got->message.headers, sent.headers));
    assert_true(cel__view_eq(got->message.content_type, sent.content_type));
    assert_true(cel__view_eq(got->message.content_encoding, sent.content_encoding));
    assert_true(cel__view_eq(got->message.correlation_id, sent.correlation_id));
    assert_true(cel__view_eq(got->message.reply_to, sent.reply_to));
    assert_true(cel__view_eq(got->message.routing_key, sent.routing_key));
    assert_int_equal(got->message.priority, 3);
    assert_int_equal(got->message.delivery_mode, 2);
    wait_pending(&fix);
    ack_held(&side);
    stop(&fix, &side);
}

static void bytes_that_are_no_text_arrive_unchanged(void **state)
{
    static const char bytes[] = "\x78\x9c\0\xff\xfe{";
    fixture fix;
    test_side side;

    (void)state;
    start(&fix, &side);
    cel_message sent = message_of("q", "");
    sent.content_encoding = CEL_VIEW("binary");
    sent.body = (cel_view){bytes, sizeof bytes};
    publish_message(&side, &sent);
    sent.body = (cel_view){bytes, 0};
    publish_message(&side, &sent);
    consume(&side, "q", NULL, 10);
    wait_held(&side, 2);
    assert_true(cel__view_eq(side.held[0]->message.body, (cel_view){bytes, sizeof bytes}));
    assert_int_equal(side.held[1]->message.body.len, 0);
    assert_non_null(side.held[1]->message.body.ptr);
    ack_held(&side);
    stop(&fix, &side);
}

static void messages_come_by_priority_then_in_order(void **state)
{
    static const char *const expected[] = {"nine", "five-1", "five-2", "none-1", "none-2"};
    fixture fix;
    test_side side;

    (void)state;
    if (lacks(CEL_LACKS_PRIORITY))
        skip();
    start(&fix, &side);
    publish(&side, "q", "none-1");
    cel_message message = message_of("q", "five-1");
    message.priority = 5;
    publish_message(&side, &message);
    message = message_of("q", "nine");
    message.priority = 9;
    publish_message(&side, &message);
    message = message_of("q", "five-2");
    message.priority = 5;
    publish_message(&side, &message);
    publish(&side, "q", "none-2");
    wait_pending(&fix);
    consume(&side, "q", NULL, 10);
    wait_held(&side, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(body_is(side.held[i], expected[i]));
    ack_held(&side);
    stop(&fix, &side);
}

static void a_batch_is_published_in_order(void **state)
{
    fixture fix;
    test_side side;
    char bodies[300][16];
    cel_message messages[300];

    (void)state;
    start(&fix, &side);
    for (int i = 0; i < 300; i++) {
        snprintf(bodies[i], sizeof bodies[i], "%d", i);
        messages[i] = message_of("q", bodies[i]);
    }
    fix.pending++;
    assert_int_equal(
        side.broker->ops->publish(side.broker, messages, 300, confirmed, &fix, NULL), CEL_OK);
    consume(&side, "q", NULL, 400);
    wait_held(&side, 300);
    for (int i = 0; i < 300; i++)
        assert_true(body_is(side.held[i], bodies[i]));
    wait_pending(&fix);
    ack_held(&side);
    stop(&fix, &side);
}

static void no_more_than_the_window_are_out(void **state)
{
    fixture fix;
    test_side side;

    (void)state;
    start(&fix, &side);
    for (int i = 0; i < 7; i++)
        publish(&side, "q", "x");
    wait_pending(&fix);
    consume(&side, "q", NULL, 3);
    wait_held(&side, 3);
    assert_int_equal(info_of(&side, "q")->ready, 4);
    assert_count(info_of(&side, "q")->unsettled, 3);
    assert_int_equal(side.held_count, 3);
    ack_one(&side);
    wait_held(&side, 3);
    side.broker->ops->set_window(side.consumer, 5);
    wait_held(&side, 5);
    side.broker->ops->set_window(side.consumer, 0);
    ack_held(&side);
    assert_int_equal(info_of(&side, "q")->ready, 1);
    assert_int_equal(side.held_count, 0);
    side.broker->ops->set_window(side.consumer, 1);
    wait_held(&side, 1);
    ack_held(&side);
    stop(&fix, &side);
}

static void a_waiting_consumer_is_woken_by_a_message(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    consume(&side, "q", NULL, 1);
    while (!info_of(&other, "q") || fix.info.consumers != 1)
        uv_run(&fix.loop, UV_RUN_NOWAIT); /* nothing tells: it must be asked again */
    publish(&other, "q", "wake");
    wait_held(&side, 1);
    assert_true(body_is(side.held[0], "wake"));
    ack_held(&side);
    close_side(&other);
    stop(&fix, &side);
}

static void several_queues_are_served_fairly(void **state)
{
    fixture fix;
    test_side side;
    size_t second = 0;

    (void)state;
    if (lacks(CEL_LACKS_FAIRNESS))
        skip();
    start(&fix, &side);
    for (int i = 0; i < 50; i++)
        publish(&side, "busy", "x");
    for (int i = 0; i < 5; i++)
        publish(&side, "calm", "y");
    wait_pending(&fix);
    consume(&side, "busy", "calm", 10);
    wait_held(&side, 10);
    for (size_t i = 0; i < 10; i++)
        second += body_is(side.held[i], "y");
    assert_int_equal(second, 5);
    ack_held(&side);
    stop(&fix, &side);
}

static void a_message_waits_for_its_eta_in_the_broker(void **state)
{
    fixture fix;
    test_side side;
    int64_t now_ms = cel__clock_wall_ms(cel__clock_system());
    int64_t coarse_ms = lacks(CEL_LACKS_FINE_ETA) ? 1000 : 0;

    (void)state;
    start(&fix, &side);
    if (!side.broker->ops->native_eta) {
        stop(&fix, &side);
        skip();
    }
    cel_message message = message_of("q", "later");
    set_eta(&message, now_ms + coarse_ms + 1000);
    publish_message(&side, &message);
    message = message_of("q", "much later");
    set_eta(&message, now_ms + 3600000);
    publish_message(&side, &message);
    wait_pending(&fix);
    assert_count(info_of(&side, "q")->delayed, lacks(CEL_LACKS_DELAY) ? 0 : 2);
    consume(&side, "q", NULL, 10);
    publish(&side, "q", "now");
    wait_held(&side, 1);
    assert_true(body_is(side.held[0], "now"));
    wait_held(&side, 2);
    assert_true(body_is(side.held[1], "later"));
    assert_true(cel__clock_wall_ms(cel__clock_system()) >= now_ms + 1000);
    assert_count(info_of(&side, "q")->delayed, 1);
    /* an earlier one that is published while the timer runs is not overlooked */
    message = message_of("q", "sooner");
    set_eta(&message, cel__clock_wall_ms(cel__clock_system()) + coarse_ms + 50);
    publish_message(&side, &message);
    wait_held(&side, 3);
    ack_held(&side);
    stop(&fix, &side);
}

static void requeue_counts_and_release_does_not(void **state)
{
    fixture fix;
    test_side side;

    (void)state;
    start(&fix, &side);
    publish(&side, "q", "x");
    wait_pending(&fix);
    consume(&side, "q", NULL, 1);
    wait_held(&side, 1);
    fix.pending++;
    side.broker->ops->release(pop(&side), confirmed, &fix);
    wait_held(&side, 1);
    if (!lacks(CEL_LACKS_RELEASE)) {
        assert_int_equal(side.held[0]->attempt, CEL_ATTEMPT_NEW);
        assert_int_equal(side.held[0]->deliveries, 1);
    }
    if (!lacks(CEL_LACKS_ACCEPTED))
        assert_int_equal(side.broker->ops->accept(side.held[0], NULL), CEL_OK);
    side.broker->ops->reject(pop(&side), true, NULL, NULL);
    wait_held(&side, 1);
    assert_int_equal(side.held[0]->attempt, CEL_ATTEMPT_AGAIN);
    assert_int_equal(side.held[0]->deliveries, lacks(CEL_LACKS_RELEASE) ? 0 : 2);
    fix.pending++;
    side.broker->ops->reject(pop(&side), false, confirmed, &fix);
    wait_pending(&fix);
    assert_int_equal(info_of(&side, "q")->ready, 0);
    assert_count(info_of(&side, "q")->unsettled, 0);
    stop(&fix, &side);
}

static void what_a_closed_broker_had_out_comes_back(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    publish(&side, "q", "accepted");
    publish(&side, "q", "untouched");
    wait_pending(&fix);
    consume(&side, "q", NULL, 2);
    wait_held(&side, 2);
    bool back = !lacks(CEL_LACKS_ACCEPTED);
    assert_int_equal(side.broker->ops->accept(side.held[0], NULL), CEL_OK);
    close_side(&side);
    consume(&other, "q", NULL, 2);
    wait_held(&other, back ? 2 : 1);
    if (back) {
        assert_true(body_is(other.held[0], "accepted"));
        assert_int_equal(other.held[0]->attempt, CEL_ATTEMPT_ACCEPTED);
    }
    assert_true(body_is(other.held[back], "untouched"));
    assert_int_equal(other.held[back]->attempt, CEL_ATTEMPT_AGAIN);
    ack_held(&other);
    stop(&fix, &other);
}

static void nothing_is_delivered_after_cancel(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    for (int i = 0; i < 20; i++)
        publish(&side, "q", "x");
    consume(&side, "q", NULL, 5);
    wait_held(&side, 5);
    ack_one(&side); /* a claim may be under way now */
    bool done = false;
    side.broker->ops->cancel(side.consumer, set_true, &done);
    side.cancelled = true;
    assert_false(done);
    while (!done)
        run_once(&fix);
    assert_int_equal(side.held_count, 4);
    ack_held(&side);
    consume(&other, "q", NULL, 100);
    wait_held(&other, 15);
    for (size_t i = 0; i < 15 && !lacks(CEL_LACKS_RELEASE); i++)
        assert_int_equal(other.held[i]->attempt, CEL_ATTEMPT_NEW);
    ack_held(&other);
    close_side(&other);
    stop(&fix, &side);
}

static void counted(void *user, int64_t count, const cel_error *err)
{
    fixture *fix = user;

    assert_null(err);
    fix->pending--;
    fix->last_count = count;
}

static void purge_deletes_what_is_ready_or_delayed(void **state)
{
    fixture fix;
    test_side side;

    (void)state;
    start(&fix, &side);
    for (int i = 0; i < 4; i++)
        publish(&side, "q", "x");
    publish(&side, "kept", "y");
    cel_message message = message_of("q", "later");
    set_eta(&message, cel__clock_wall_ms(cel__clock_system()) + 3600000);
    publish_message(&side, &message);
    message.routing_key = CEL_VIEW("kept");
    publish_message(&side, &message);
    consume(&side, "q", NULL, 1);
    wait_held(&side, 1);
    wait_pending(&fix);
    side.broker->ops->set_window(side.consumer, 0);
    fix.pending++;
    assert_int_equal(side.broker->ops->purge(side.broker, CEL_VIEW("q"), counted, &fix, NULL),
                     CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last_count, lacks(CEL_LACKS_FINE_ETA) ? 3 : 4);
    bool waits = side.broker->ops->native_eta && !lacks(CEL_LACKS_DELAY);
    assert_int_equal(info_of(&side, "kept")->ready, waits ? 1 : 2);
    assert_count(info_of(&side, "kept")->delayed, waits);
    assert_count(info_of(&side, "q")->unsettled, 1);
    fix.pending++;
    assert_int_equal(
        side.broker->ops->purge(side.broker, CEL_VIEW("never heard of"), counted, &fix, NULL),
        CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last_count, 0);
    ack_held(&side);
    stop(&fix, &side);
}

static void close_confirms_what_was_published(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    publish(&side, "q", "x");
    close_side(&side);
    assert_int_equal(fix.pending, 0);
    assert_int_equal(fix.last_code, CEL_OK);
    consume(&other, "q", NULL, 1);
    wait_held(&other, 1);
    ack_held(&other);
    stop(&fix, &other);
}

static void a_message_for_no_queue_is_refused(void **state)
{
    fixture fix;
    test_side side;
    cel_error err = {0};

    (void)state;
    start(&fix, &side);
    cel_message messages[2] = {message_of("q", "x"), message_of("", "y")};
    assert_int_equal(side.broker->ops->publish(side.broker, messages, 2, confirmed, &fix, &err),
                     CEL_EINVAL);
    const cel_queue_info *info = info_of(&side, "q");
    assert_true(!info || info->ready == 0);
    stop(&fix, &side);
}

static void cancel(test_side *side)
{
    bool done = false;

    side->broker->ops->cancel(side->consumer, set_true, &done);
    side->cancelled = true;
    while (!done)
        run_once(side->fix);
}

static cel_message reply_of(const char *queue, const char *body)
{
    cel_message message = message_of(queue, body);

    message.existing = true;
    message.correlation_id = CEL_VIEW("the request's");
    message.delivery_mode = 1;
    return message;
}

static void reply(test_side *side, const char *queue, const char *body)
{
    cel_message message = reply_of(queue, body);

    publish_message(side, &message);
    wait_pending(side->fix);
}

static void a_reply_queue_takes_replies_and_ends_with_its_consumer(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    reply(&other, "replies", "too early");
    assert_int_equal(fix.last_code, CEL_ENOENT);
    assert_null(info_of(&side, "replies"));
    consume_replies(&side, "replies", 1);
    do
        reply(&other, "replies", "one"); /* consuming begins soon */
    while (fix.last_code == CEL_ENOENT);
    assert_int_equal(fix.last_code, CEL_OK);
    wait_held(&side, 1);
    assert_true(body_is(side.held[0], "one"));
    assert_true(cel__view_is(side.held[0]->message.correlation_id, "the request's"));
    assert_true(cel__view_is(side.held[0]->queue, "replies"));
    /* Its window may close and open again. */
    side.broker->ops->set_window(side.consumer, 0);
    ack_held(&side);
    reply(&other, "replies", "two");
    assert_int_equal(fix.last_code, CEL_OK);
    assert_int_equal(side.held_count, 0);
    side.broker->ops->set_window(side.consumer, 2);
    wait_held(&side, 1);
    assert_true(body_is(side.held[0], "two"));
    ack_held(&side);
    publish(&other, "made meanwhile",
            "kept"); /* a queue as any, though made beside a reply queue */
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    cancel(&side);
    reply(&other, "replies", "too late");
    assert_int_equal(fix.last_code, CEL_ENOENT);
    assert_null(info_of(&other, "replies"));
    assert_non_null(info_of(&other, "made meanwhile"));
    close_side(&other);
    stop(&fix, &side);
}

static void replies_nobody_took_end_with_their_queue(void **state)
{
    fixture fix;
    test_side side, other;

    (void)state;
    start(&fix, &side);
    open_side(&fix, &other);
    consume_replies(&side, "replies", 1);
    do
        reply(&other, "replies", "out");
    while (fix.last_code == CEL_ENOENT);
    reply(&other, "replies", "left");
    wait_held(&side, 1);
    cancel(&side);
    fix.pending++;
    side.broker->ops->release(pop(&side), confirmed, &fix); /* it has nowhere to go */
    wait_pending(&fix);
    side.cancelled = false;
    do /* AMQP ends the queue when the consumer's channel is closed */
        reply(&other, "replies", "to nobody");
    while (fix.last_code == CEL_OK);
    consume_replies(&side, "replies", 9);
    do
        reply(&other, "replies", "fresh");
    while (fix.last_code == CEL_ENOENT);
    wait_held(&side, 1);
    assert_true(body_is(side.held[0], "fresh"));
    ack_held(&side);
    close_side(&other);
    stop(&fix, &side);
}

static void a_batch_with_a_reply_to_nobody_is_an_error(void **state)
{
    fixture fix;
    test_side side;
    cel_error err = {0};

    (void)state;
    start(&fix, &side);
    cel_message messages[2] = {reply_of("nobody", "x"), message_of("q", "y")};
    fix.pending++;
    assert_int_equal(side.broker->ops->publish(side.broker, messages, 2, confirmed, &fix, &err),
                     CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_ENOENT);
    publish(&side, "q", "z");
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    stop(&fix, &side);
}

/* ---- listeners ---- */

static void cast(test_side *side, const char *key, const char *body)
{
    cel_message message = message_of(key, body);

    message.kind = key[0] ? CEL_EXCHANGE_TOPIC : CEL_EXCHANGE_FANOUT;
    message.exchange = key[0] ? CEL_VIEW("spoken") : CEL_VIEW("shouted");
    publish_message(side, &message);
    wait_pending(side->fix);
    assert_int_equal(side->fix->last_code, CEL_OK);
}

/* Consuming begins soon: says it until it is heard. */
static void cast_until_heard(test_side *from, const char *key, const test_side *to)
{
    while (to->held_count == 0) {
        cast(from, key, "begin");
        for (int i = 0; i < 20 && to->held_count == 0; i++)
            uv_run(&from->fix->loop, UV_RUN_NOWAIT);
    }
}

/* All that is heard till then are beginnings. */
static void hear(test_side *side, const char *body)
{
    for (bool last = false; !last; ack_one(side), wait_pending(side->fix)) {
        while (side->held_count == 0)
            run_once(side->fix);
        last = body_is(side->held[0], body);
        assert_true(last || body_is(side->held[0], "begin"));
    }
}

static void who_listens_gets_a_copy_and_nobody_is_no_error(void **state)
{
    static const cel_view spoken = {"spoken", 6};
    fixture fix;
    test_side all, some, other;

    (void)state;
    start(&fix, &all);
    open_side(&fix, &some);
    open_side(&fix, &other);
    cast(&other, "test.nobody", "to nobody");
    assert_null(info_of(&other, "test.nobody"));
    listen_to(&all, "ears", MAX_HELD,
              (cel_listening){CEL_EXCHANGE_TOPIC, spoken, CEL_VIEW("#"), 5000, 60000});
    listen_to(&some, "more ears", MAX_HELD,
              (cel_listening){CEL_EXCHANGE_TOPIC, spoken, CEL_VIEW("test.#"), 0, 0});
    cast_until_heard(&other, "test.begin", &all);
    cast_until_heard(&other, "test.begin", &some);
    cast(&other, "quiz.one", "for one");
    cast(&other, "test.two.words", "for both");
    hear(&all, "for one");
    wait_held(&all, 1);
    assert_true(cel__view_is(all.held[0]->message.routing_key, "test.two.words"));
    hear(&all, "for both");
    hear(&some, "for both");
    cancel(&some);
    cast(&other, "test.three", "for who is left");
    hear(&all, "for who is left");
    close_side(&other);
    close_side(&some);
    stop(&fix, &all);
}

static void what_is_shouted_is_heard_by_all(void **state)
{
    static const cel_listening shouted = {.kind = CEL_EXCHANGE_FANOUT,
                                          .exchange = {"shouted", 7}};
    fixture fix;
    test_side first, second;

    (void)state;
    start(&fix, &first);
    open_side(&fix, &second);
    listen_to(&first, "a", MAX_HELD, shouted);
    listen_to(&second, "b", MAX_HELD, shouted);
    cast_until_heard(&first, "", &first);
    cast_until_heard(&first, "", &second);
    cast(&second, "", "!");
    hear(&first, "!");
    hear(&second, "!");
    close_side(&second);
    stop(&fix, &first);
}

int cel__broker_conformance(const cel_broker_conformance *which)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_published_is_delivered_as_it_was),
        cmocka_unit_test(bytes_that_are_no_text_arrive_unchanged),
        cmocka_unit_test(messages_come_by_priority_then_in_order),
        cmocka_unit_test(a_batch_is_published_in_order),
        cmocka_unit_test(no_more_than_the_window_are_out),
        cmocka_unit_test(a_waiting_consumer_is_woken_by_a_message),
        cmocka_unit_test(several_queues_are_served_fairly),
        cmocka_unit_test(a_message_waits_for_its_eta_in_the_broker),
        cmocka_unit_test(requeue_counts_and_release_does_not),
        cmocka_unit_test(what_a_closed_broker_had_out_comes_back),
        cmocka_unit_test(nothing_is_delivered_after_cancel),
        cmocka_unit_test(purge_deletes_what_is_ready_or_delayed),
        cmocka_unit_test(close_confirms_what_was_published),
        cmocka_unit_test(a_message_for_no_queue_is_refused),
        cmocka_unit_test(a_reply_queue_takes_replies_and_ends_with_its_consumer),
        cmocka_unit_test(replies_nobody_took_end_with_their_queue),
        cmocka_unit_test(a_batch_with_a_reply_to_nobody_is_an_error),
        cmocka_unit_test(who_listens_gets_a_copy_and_nobody_is_no_error),
        cmocka_unit_test(what_is_shouted_is_heard_by_all),
    };

    subject = which;
    return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
