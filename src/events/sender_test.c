/* sender_test.c - what the sender says, heard at a broker in memory, and what becomes of it when
 * the broker does not take it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/mem.h"
#include "events/sender.h"

#define NOW_US      INT64_C(1795402675838644)
#define DEADLINE_MS 20000
#define HEARD_MAX   400

static int64_t fixed_mono(const cel_clock *clock)
{
    (void)clock;
    return 1000;
}

static int64_t fixed_wall(const cel_clock *clock)
{
    (void)clock;
    return NOW_US;
}

static const cel_clock fixed = {fixed_mono, fixed_wall};

/* A broker that refuses, or says nothing: what the sender sees of a server that is away. */
typedef struct deaf_broker {
    cel_broker base;
    bool refuses, silent;
    size_t published, bytes;
    struct {
        cel_broker_cb cb;
        void *user;
    } owed[8192];
    size_t owed_count;
} deaf_broker;

static cel_code deaf_publish(cel_broker *base,
                             const cel_message *messages,
                             size_t count,
                             cel_broker_cb cb,
                             void *user,
                             cel_error *err)
{
    deaf_broker *broker = (deaf_broker *)base;

    if (broker->refuses)
        return cel_error_set(err, CEL_ECONN, "it is away");
    for (size_t i = 0; i < count; i++)
        broker->bytes += messages[i].body.len;
    broker->published += count;
    assert_true(broker->owed_count < sizeof broker->owed / sizeof *broker->owed);
    broker->owed[broker->owed_count].cb = cb;
    broker->owed[broker->owed_count++].user = user;
    return CEL_OK;
}

static void answer_all(deaf_broker *broker, cel_code code)
{
    while (broker->owed_count > 0) {
        size_t count = broker->owed_count;
        deaf_broker now = *broker;

        broker->owed_count = 0;
        for (size_t i = 0; i < count; i++)
            now.owed[i].cb(now.owed[i].user, code, NULL);
    }
}

static const cel_broker_ops deaf_ops = {.schemes = "deaf", .publish = deaf_publish};

typedef struct heard_event {
    char key[64];
    char *body; /* owned */
    char headers[64];
} heard_event;

typedef struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    cel_lamport lamport;
    cel_event_sender *sender;
    cel_broker *broker;
    cel_consumer *consumer;
    bool closed;
    heard_event heard[HEARD_MAX];
    size_t count;
    deaf_broker deaf;
    cel_event_vitals vitals;
} fixture;

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static void tell_vitals(void *user, cel_event_vitals *out)
{
    *out = ((fixture *)user)->vitals;
}

static void make_sender(fixture *fix, bool all, bool beats, int64_t interval_ms)
{
    cel_error err = {0};

    *fix = (fixture){.vitals = {1, 7}, .deaf.base.ops = &deaf_ops};
    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
    assert_int_equal(
        cel__event_sender_new(&fix->sender,
                              &(cel_event_sender_options){.loop = &fix->loop,
                                                          .clock = &fixed,
                                                          .lamport = &fix->lamport,
                                                          .node = CEL_VIEW("w1@vm"),
                                                          .exchange = CEL_VIEW("celeryev"),
                                                          .all = all,
                                                          .beats = beats,
                                                          .interval_ms = interval_ms,
                                                          .vitals = tell_vitals,
                                                          .user = fix},
                              &err),
        CEL_OK);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    fixture *fix = user;
    const cel_message *message = &delivery->message;
    heard_event *heard = fix->heard + fix->count;

    assert_true(fix->count < HEARD_MAX);
    assert_int_equal(message->delivery_mode, 1);
    assert_true(cel__view_is(message->exchange, "celeryev"));
    assert_true(cel__view_is(message->content_type, "application/json"));
    assert_true(cel__view_is(message->content_encoding, "utf-8"));
    snprintf(heard->key, sizeof heard->key, "%.*s", CEL_VIEW_ARG(message->routing_key));
    snprintf(heard->headers, sizeof heard->headers, "%.*s", CEL_VIEW_ARG(message->headers));
    heard->body = cel__memdup(message->body.ptr, message->body.len);
    assert_non_null(heard->body);
    fix->count++;
    delivery->broker->ops->ack(delivery, NULL, NULL);
}

static void listen_in_memory(fixture *fix)
{
    static const cel_view queue = {"ears", 4};
    cel_broker_options options = {.url = "memory://events", .loop = &fix->loop};
    cel_consumer_options consumer = {
        .queues = &queue,
        .queue_count = 1,
        .window = HEARD_MAX,
        .reply = true,
        .listening = {CEL_EXCHANGE_TOPIC, {"celeryev", 8}, {"#", 1}, 5000, 60000},
        .on_delivery = on_delivery,
        .user = fix};

    assert_int_equal(cel__broker_open(&fix->broker, &options, NULL), CEL_OK);
    assert_int_equal(fix->broker->ops->consume(&fix->consumer, fix->broker, &consumer, NULL),
                     CEL_OK);
}

static void wait_heard(fixture *fix, size_t count)
{
    while (fix->count < count)
        uv_run(&fix->loop, UV_RUN_ONCE);
    assert_int_equal(fix->count, count);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void stop(fixture *fix)
{
    cel__event_sender_stop(fix->sender);
    if (fix->broker) {
        fix->broker->ops->close(fix->broker, set_true, &fix->closed);
        while (!fix->closed)
            uv_run(&fix->loop, UV_RUN_ONCE);
    }
    answer_all(&fix->deaf, CEL_ECANCELED);
    uv_close((uv_handle_t *)&fix->deadline, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    cel__event_sender_free(fix->sender);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
    for (size_t i = 0; i < fix->count; i++)
        cel__free(fix->heard[i].body);
}

static void say_started(fixture *fix, int n)
{
    char id[16];

    snprintf(id, sizeof id, "%d", n);
    cel__event_text(cel__event_sender_begin(fix->sender), "uuid", cel__view(id));
    cel__event_sender_end(fix->sender, "task-started");
}

static const char *vector(json_t *root, size_t index, const char *key)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(root, "vectors"), index), key));
}

/* What differs from machine to machine and from us to Python. */
static json_t *comparable(const char *text)
{
    json_t *event = json_loads(text, 0, NULL);

    assert_non_null(event);
    for (size_t i = 0; i < json_array_size(event); i++) {
        json_object_del(json_array_get(event, i), "utcoffset");
        json_object_del(json_array_get(event, i), "pid");
        json_object_del(json_array_get(event, i), "clock");
    }
    if (json_is_object(event)) {
        json_object_del(event, "utcoffset");
        json_object_del(event, "pid");
        json_object_del(event, "clock");
        json_object_del(event, "loadavg");
        json_object_del(event, "sw_ident");
        json_object_del(event, "sw_ver");
    }
    return event;
}

static void assert_same(const char *got, const char *want)
{
    json_t *left = comparable(got), *right = comparable(want);

    if (!json_equal(left, right))
        fail_msg("got %s\nwant %s", got, want);
    json_decref(left);
    json_decref(right);
}

static void a_worker_says_what_celerys_dispatcher_says(void **state)
{
    fixture fix;
    json_t *root = json_load_file(CEL_VECTORS "/events.json", 0, NULL);

    (void)state;
    assert_non_null(root);
    make_sender(&fix, true, true, 0);
    listen_in_memory(&fix);
    cel__event_sender_start(fix.sender, fix.broker);
    wait_heard(&fix, 1);
    assert_string_equal(fix.heard[0].key, "worker.online");
    assert_string_equal(fix.heard[0].headers, vector(root, 0, "headers"));
    assert_same(fix.heard[0].body, vector(root, 0, "body"));
    assert_non_null(strstr(fix.heard[0].body, "\"sw_ident\": \"celeriac\""));
    for (int n = 0; n < CEL_EVENT_LIST + 1; n++)
        say_started(&fix, n);
    wait_heard(&fix, 3);
    for (size_t i = 1; i <= 2; i++) { /* vectors 3 and 4 */
        assert_string_equal(fix.heard[i].key, vector(root, i + 2, "routing_key"));
        assert_same(fix.heard[i].body, vector(root, i + 2, "body"));
    }
    cel__event_sender_stop(fix.sender);
    wait_heard(&fix, 4);
    assert_string_equal(fix.heard[3].key, "worker.offline");
    assert_same(fix.heard[3].body, vector(root, 5, "body"));
    assert_int_equal(fix.lamport.value, 2 + CEL_EVENT_LIST + 1);
    stop(&fix);
    json_decref(root);
}

static void heartbeats_come_of_themselves_and_when_asked_for(void **state)
{
    fixture fix;

    (void)state;
    make_sender(&fix, false, true, 5);
    listen_in_memory(&fix);
    cel__event_sender_start(fix.sender, fix.broker);
    assert_false(cel__event_sender_wants(fix.sender));
    while (fix.count < 4)
        uv_run(&fix.loop, UV_RUN_ONCE);
    for (size_t i = 1; i < 4; i++)
        assert_string_equal(fix.heard[i].key, "worker.heartbeat");
    assert_non_null(strstr(fix.heard[1].body,
                           "\"freq\": 0.005, \"active\": 1, \"processed\": 7, "
                           "\"loadavg\": ["));
    size_t before = fix.count;
    cel__event_sender_beat(fix.sender);
    bool brief = false;
    while (!brief) {
        uv_run(&fix.loop, UV_RUN_ONCE);
        for (size_t i = before; i < fix.count; i++)
            brief = brief || strstr(fix.heard[i].body, "\"freq\": 5, \"sw_ident\"");
    }
    stop(&fix);
}

static void a_worker_without_heartbeat_says_nothing_of_itself(void **state)
{
    fixture fix;

    (void)state;
    make_sender(&fix, true, false, 1);
    listen_in_memory(&fix);
    cel__event_sender_start(fix.sender, fix.broker);
    say_started(&fix, 1);
    wait_heard(&fix, 1);
    assert_string_equal(fix.heard[0].key, "task.multi");
    cel__event_sender_again(fix.sender);
    stop(&fix);
    assert_int_equal(fix.count, 1);
}

static void task_events_are_enabled_and_disabled(void **state)
{
    fixture fix;

    (void)state;
    make_sender(&fix, false, false, 0);
    assert_false(cel__event_sender_wants(NULL));
    assert_true(cel__event_sender_enable(fix.sender));
    assert_false(cel__event_sender_wants(fix.sender)); /* there is no broker yet */
    cel__event_sender_start(fix.sender, &fix.deaf.base);
    assert_true(cel__event_sender_wants(fix.sender));
    assert_false(cel__event_sender_enable(fix.sender)); /* already */
    assert_true(cel__event_sender_disable(fix.sender));
    assert_false(cel__event_sender_wants(fix.sender));
    assert_false(cel__event_sender_disable(fix.sender)); /* already */
    stop(&fix);
    /* Celery's trap: with -E nothing can be disabled. */
    make_sender(&fix, true, false, 0);
    cel__event_sender_start(fix.sender, &fix.deaf.base);
    assert_false(cel__event_sender_disable(fix.sender));
    assert_true(cel__event_sender_wants(fix.sender));
    stop(&fix);
}

static void turn(fixture *fix)
{
    uv_run(&fix->loop, UV_RUN_NOWAIT);
}

static void what_an_outage_held_up_is_sent_after_it(void **state)
{
    fixture fix;

    (void)state;
    make_sender(&fix, true, true, 0);
    fix.deaf.refuses = true;
    cel__event_sender_start(fix.sender, &fix.deaf.base);
    for (int n = 0; n < 10; n++) {
        say_started(&fix, n);
        turn(&fix);
    }
    assert_int_equal(fix.deaf.published, 0);
    fix.deaf.refuses = false;
    cel__event_sender_beat(fix.sender); /* finds that it is back */
    assert_int_equal(fix.deaf.published, 1);
    answer_all(&fix.deaf, CEL_OK);
    assert_int_equal(fix.deaf.published, 1 + 10);
    assert_int_equal(cel__event_sender_dropped(fix.sender), 0);
    /* And what is on its way when it is lost. */
    say_started(&fix, 10);
    turn(&fix);
    assert_int_equal(fix.deaf.published, 12);
    answer_all(&fix.deaf, CEL_ECONN);
    cel__event_sender_beat(fix.sender);
    answer_all(&fix.deaf, CEL_OK);
    assert_int_equal(fix.deaf.published, 14);
    stop(&fix);
}

static void beyond_the_bound_the_oldest_are_dropped_and_counted(void **state)
{
    fixture fix;
    size_t said = 0;

    (void)state;
    make_sender(&fix, true, true, 0);
    fix.deaf.refuses = true;
    cel__event_sender_start(fix.sender, &fix.deaf.base);
    while (cel__event_sender_dropped(fix.sender) < 5000) {
        say_started(&fix, (int)said);
        if (++said % 300 == 0)
            turn(&fix);
        assert_true(said < 100000);
    }
    turn(&fix);
    fix.deaf.refuses = false;
    cel__event_sender_beat(fix.sender);
    answer_all(&fix.deaf, CEL_OK);
    assert_true(fix.deaf.bytes <= CEL_EVENTS_KEPT + 1000);
    assert_true(fix.deaf.bytes > CEL_EVENTS_KEPT / 2);
    stop(&fix);
}

/* A server that takes everything and confirms nothing (blocked) must not fill the memory. */
static void a_silent_broker_is_given_only_so_much(void **state)
{
    fixture fix;

    (void)state;
    make_sender(&fix, true, true, 0);
    cel__event_sender_start(fix.sender, &fix.deaf.base);
    for (int n = 0; n < 200000; n++) {
        say_started(&fix, n);
        if (n % 300 == 0)
            turn(&fix);
    }
    assert_true(fix.deaf.bytes < (size_t)10 << 20);
    assert_true(cel__event_sender_dropped(fix.sender) > 0);
    answer_all(&fix.deaf, CEL_OK);
    stop(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_says_what_celerys_dispatcher_says),
        cmocka_unit_test(heartbeats_come_of_themselves_and_when_asked_for),
        cmocka_unit_test(a_worker_without_heartbeat_says_nothing_of_itself),
        cmocka_unit_test(task_events_are_enabled_and_disabled),
        cmocka_unit_test(what_an_outage_held_up_is_sent_after_it),
        cmocka_unit_test(beyond_the_bound_the_oldest_are_dropped_and_counted),
        cmocka_unit_test(a_silent_broker_is_given_only_so_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
