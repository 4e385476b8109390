/* redis_test.c - redis:// passes the suite on a private Redis, which this program starts; and what is its own: leases
 * that are lost, connections that are cut, workers that die, and what others have put there. */
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "broker/broker_conformance.h"
#include "redis/test_server.h"

#define SKIPPED 77
#define LACKS   (CEL_LACKS_PRIORITY | CEL_LACKS_ACCEPTED | CEL_LACKS_DELAY)

static cel__test_redis server;

/* In database 1; the caller frees the reply. */
static redisReply *ask(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    redisReply *reply = cel__test_redis_vask(&server, 1, fmt, args);
    va_end(args);
    return reply;
}

static void fresh(char *url, size_t size)
{
    freeReplyObject(ask("FLUSHALL"));
    snprintf(url, size, "redis+socket://:secret@%s?virtual_host=1", server.path);
}

/* ---- a broker and a consumer ---- */

#define DEADLINE_MS 20000
#define MAX_HELD    2048

typedef struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    char url[400];
    const char *transport; /* JSON, or NULL */
    int64_t lease_ms;
    cel_broker *broker;
    cel_consumer *consumer;
    cel_delivery *held[MAX_HELD];
    size_t held_count;
    int pending;
    cel_code last_code;
    char last_message[240];
    cel_code state; /* of on_state */
    bool closed;
} fixture;

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static cel_code try_open(fixture *fix, cel_error *err)
{
    json_t *transport = fix->transport ? json_loads(fix->transport, 0, NULL) : NULL;
    cel_broker_options options = {.url = fix->url,
                                  .loop = &fix->loop,
                                  .clock = cel__clock_system(),
                                  .threaded = true,
                                  .lease_ms = fix->lease_ms,
                                  .transport_options = transport};
    cel_code code = cel__broker_open(&fix->broker, &options, err);

    json_decref(transport);
    return code;
}

static void begin(fixture *fix, const char *transport)
{
    *fix = (fixture){.transport = transport};
    fresh(fix->url, sizeof fix->url);
    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
}

static void start(fixture *fix, const char *transport)
{
    cel_error err = {0};

    begin(fix, transport);
    if (try_open(fix, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void end_loop(fixture *fix)
{
    uv_close((uv_handle_t *)&fix->deadline, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
}

static void stop(fixture *fix)
{
    fix->broker->ops->close(fix->broker, set_true, &fix->closed);
    while (!fix->closed)
        uv_run(&fix->loop, UV_RUN_ONCE);
    end_loop(fix);
}

static void confirmed(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    fix->pending--;
    fix->last_code = code;
    snprintf(fix->last_message, sizeof fix->last_message, "%s", err ? err->message : "");
}

static void wait_pending(fixture *fix)
{
    while (fix->pending > 0)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static cel_message message_of(const char *exchange, const char *key, const char *body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = cel__view(exchange);
    message.routing_key = cel__view(key);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.headers = CEL_VIEW(
        "{\"lang\": \"c\", \"task\": \"t\", \"stamps\": [], \"big\": 12345678901234567890}");
    message.body = cel__view(body);
    return message;
}

static void publish_message(fixture *fix, const cel_message *message)
{
    cel_error err = {0};

    fix->pending++;
    if (fix->broker->ops->publish(fix->broker, message, 1, confirmed, fix, &err) != CEL_OK)
        fail_msg("publish: %s", err.message);
}

static void publish(fixture *fix, const char *queue, const char *body)
{
    cel_message message = message_of("", queue, body);

    publish_message(fix, &message);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    fixture *fix = user;

    assert_true(fix->held_count < MAX_HELD);
    fix->held[fix->held_count++] = delivery;
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    (void)err;
    ((fixture *)user)->state = code;
}

static void consume(fixture *fix, const char *queue, size_t window)
{
    cel_view name = cel__view(queue);
    cel_consumer_options options = {.queues = &name,
                                    .queue_count = 1,
                                    .window = window,
                                    .on_delivery = on_delivery,
                                    .on_state = on_state,
                                    .user = fix};

    assert_int_equal(fix->broker->ops->consume(&fix->consumer, fix->broker, &options, NULL),
                     CEL_OK);
}

static void wait_held(fixture *fix, size_t count)
{
    while (fix->held_count < count)
        uv_run(&fix->loop, UV_RUN_ONCE);
    assert_int_equal(fix->held_count, count);
}

static bool body_is(const cel_delivery *delivery, const char *body)
{
    return cel__view_is(delivery->message.body, body);
}

static cel_code ack(fixture *fix, size_t which)
{
    fix->pending++;
    fix->broker->ops->ack(fix->held[which], confirmed, fix);
    wait_pending(fix);
    return fix->last_code;
}

/* What a command answers, as a number; a text's is its value. */
static long long count(const char *command)
{
    redisReply *reply = ask(command);
    long long number = reply->type == REDIS_REPLY_INTEGER
                           ? reply->integer
                           : strtoll(reply->str ? reply->str : "-1", NULL, 10);

    freeReplyObject(reply);
    return number;
}

static void wait_for_count(fixture *fix, const char *command, long long wanted)
{
    while (count(command) != wanted)
        uv_run(&fix->loop, UV_RUN_NOWAIT); /* nothing tells: it must be asked again */
}

/* What a script returns. */
static void run_script(char out[64], const char *script)
{
    redisReply *reply = ask("EVAL %s 0", script);

    snprintf(out, 64, "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
}

/* Of the only tag that is out. */
static double score(void)
{
    char text[64];

    run_script(text, "return redis.call('ZRANGE', 'unacked_index', 0, 0, 'WITHSCORES')[2]");
    return strtod(text, NULL);
}

static void who_lost_the_lease_neither_acknowledges_nor_requeues(void **state)
{
    fixture fix;
    char text[64];

    (void)state;
    start(&fix, NULL);
    publish(&fix, "q", "one");
    publish(&fix, "q", "two");
    publish(&fix, "q", "three");
    consume(&fix, "q", 3);
    wait_held(&fix, 3);
    wait_pending(&fix);
    /* Somebody has restored the first two, and taken them. */
    run_script(text, "for _, tag in ipairs(redis.call('ZRANGE', 'unacked_index', 0, 2)) do\n"
                     "  local value = redis.call('HGET', 'unacked', tag)\n"
                     "  if not string.find(value, 'dGhyZWU=', 1, true) then\n"
                     "    redis.call('ZADD', 'unacked_index', 2000000000, tag)\n"
                     "  end\n"
                     "end\n"
                     "return 'ok'");
    assert_string_equal(text, "ok");
    assert_int_equal(ack(&fix, 0), CEL_ESTALE);
    fix.pending++;
    fix.broker->ops->reject(fix.held[1], true, confirmed, &fix);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_ESTALE);
    assert_int_equal(ack(&fix, 2), CEL_OK);
    assert_int_equal(count("HLEN unacked"), 2);
    assert_int_equal(count("ZCARD unacked_index"), 2);
    assert_int_equal(count("LLEN q"), 0);
    stop(&fix);
    assert_int_equal(count("HLEN unacked"), 2); /* the close restores what is its own only */
}

static void a_message_comes_back_as_it_was_but_for_the_marks(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, NULL);
    publish(&fix, "q", "[[], {}, {}]");
    consume(&fix, "q", 1);
    for (int i = 1; i <= 3; i++) {
        wait_held(&fix, 1);
        assert_int_equal(fix.held[0]->deliveries, i);
        assert_int_equal(fix.held[0]->attempt, i > 1 ? CEL_ATTEMPT_AGAIN : CEL_ATTEMPT_NEW);
        if (i == 3)
            break;
        fix.held_count = 0;
        fix.broker->ops->reject(fix.held[0], true, NULL, NULL);
    }
    assert_true(cel__view_is(
        fix.held[0]->message.headers,
        "{\"redelivered\": true, \"x-delivery-count\": 2, \"lang\": \"c\", \"task\": "
        "\"t\", \"stamps\": [], \"big\": 12345678901234567890}"));
    assert_int_equal(ack(&fix, 0), CEL_OK);
    wait_pending(&fix);
    stop(&fix);
}

static void messages_with_one_tag_are_all_delivered(void **state)
{
    static const char text[] =
        "{\"body\": \"%s\", \"headers\": {}, \"properties\": {\"delivery_info\": {}, "
        "\"body_encoding\": \"base64\", \"delivery_tag\": \"same\"}}";
    fixture fix;

    (void)state;
    start(&fix, NULL);
    for (int i = 0; i < 3; i++) {
        char message[256];

        snprintf(message, sizeof message, text, i == 0 ? "YQ==" : i == 1 ? "Yg==" : "Yw==");
        freeReplyObject(ask("LPUSH q %s", message));
    }
    consume(&fix, "q", 2);
    wait_held(&fix, 2);
    fix.broker->ops->set_window(fix.consumer, 3);
    wait_held(&fix, 3);
    assert_true(body_is(fix.held[0], "a") && body_is(fix.held[1], "b") &&
                body_is(fix.held[2], "c"));
    assert_int_equal(count("HLEN unacked"), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ack(&fix, i), CEL_OK);
    assert_int_equal(count("HLEN unacked"), 0);
    assert_int_equal(count("ZCARD unacked_index"), 0);
    stop(&fix);
}

static void cut_connections_neither_lose_nor_double_a_message(void **state)
{
    static unsigned char seen[1000];
    fixture fix;
    char body[16];
    int sent = 0, cuts = 0;

    (void)state;
    memset(seen, 0, sizeof seen);
    start(&fix, NULL);
    consume(&fix, "q", 40);
    while (sent < 1000 || fix.pending > 0) {
        for (int i = 0; i < 10 && sent < 1000; i++) {
            snprintf(body, sizeof body, "%d", sent++);
            publish(&fix, "q", body);
        }
        if (sent % 50 == 0 && cuts++ < 30)
            freeReplyObject(ask("CLIENT KILL TYPE %s", cuts % 2 ? "normal" : "pubsub"));
        uv_run(&fix.loop, UV_RUN_NOWAIT);
        while (fix.held_count > 0) {
            cel_delivery *delivery = fix.held[--fix.held_count];

            memcpy(body, delivery->message.body.ptr, delivery->message.body.len);
            body[delivery->message.body.len] = '\0';
            assert_int_equal(seen[strtol(body, NULL, 10)]++, 0);
            fix.broker->ops->ack(delivery, NULL, NULL);
        }
    }
    while (count("LLEN q") + count("HLEN unacked") > 0) {
        uv_run(&fix.loop, UV_RUN_NOWAIT);
        while (fix.held_count > 0) {
            cel_delivery *delivery = fix.held[--fix.held_count];

            memcpy(body, delivery->message.body.ptr, delivery->message.body.len);
            body[delivery->message.body.len] = '\0';
            assert_int_equal(seen[strtol(body, NULL, 10)]++, 0);
            fix.broker->ops->ack(delivery, NULL, NULL);
        }
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    stop(&fix);
}

static void push_by_hand(const char *body)
{
    char message[256];

    snprintf(message, sizeof message,
             "{\"body\": \"%s\", \"properties\": {\"delivery_tag\": \"%s\"}}", body, body);
    freeReplyObject(ask("LPUSH q %s", message));
}

/* Well below the time after which a consumer looks without being told. */
static void who_waits_is_told_of_others_messages_also_after_a_cut(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, NULL);
    consume(&fix, "q", 5);
    for (int i = 1; i <= 4; i++) {
        char body[8];
        int64_t until_ms = cel__clock_mono_ms(cel__clock_system()) + 300;

        while (cel__clock_mono_ms(cel__clock_system()) < until_ms)
            uv_run(&fix.loop, UV_RUN_NOWAIT); /* until it waits */
        snprintf(body, sizeof body, "%d", i);
        push_by_hand(body);
        until_ms = cel__clock_mono_ms(cel__clock_system()) + 3000;
        while (fix.held_count < (size_t)i && cel__clock_mono_ms(cel__clock_system()) < until_ms)
            uv_run(&fix.loop, UV_RUN_NOWAIT);
        assert_int_equal(fix.held_count, i);
        freeReplyObject(ask("CLIENT KILL TYPE %s", i % 2 ? "pubsub" : "normal"));
    }
    stop(&fix);
    assert_int_equal(count("LLEN q"), 4);
}

/* In the child: takes what there is, says so, and waits for its end. */
static void hold_and_wait(fixture *fix, int ready)
{
    char byte = 'r';

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (uv_loop_init(&fix->loop) != 0 || try_open(fix, NULL) != CEL_OK)
        _exit(1);
    consume(fix, "q", 10);
    while (fix->held_count < 2)
        uv_run(&fix->loop, UV_RUN_ONCE);
    if (write(ready, &byte, 1) != 1)
        _exit(1);
    for (;;)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static void what_a_killed_process_held_comes_back_within_its_lease(void **state)
{
    fixture fix;
    int ready[2];
    char byte;

    (void)state;
    start(&fix, "{\"visibility_timeout\": 3600}");
    fix.lease_ms = 600;
    publish(&fix, "q", "one");
    publish(&fix, "q", "two");
    wait_pending(&fix);
    stop(&fix);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        fixture own = {.lease_ms = 600, .transport = fix.transport};

        memcpy(own.url, fix.url, sizeof own.url);
        hold_and_wait(&own, ready[1]);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    fix.closed = false;
    assert_int_equal(uv_loop_init(&fix.loop), 0);
    uv_timer_init(&fix.loop, &fix.deadline);
    uv_timer_start(&fix.deadline, too_late, DEADLINE_MS, 0);
    assert_int_equal(try_open(&fix, NULL), CEL_OK);
    consume(&fix, "q", 10);
    wait_held(&fix, 2);
    assert_true(body_is(fix.held[0], "one") && body_is(fix.held[1], "two"));
    assert_int_equal(fix.held[0]->attempt, CEL_ATTEMPT_AGAIN);
    assert_int_equal(fix.held[0]->deliveries, 2);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    assert_int_equal(ack(&fix, 1), CEL_OK);
    assert_int_equal(count("ZCARD celeriac.owners"), 1);
    stop(&fix);
    assert_int_equal(count("ZCARD celeriac.owners"), 0);
}

static void what_is_out_for_long_keeps_its_score_young(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "{\"visibility_timeout\": 1}");
    publish(&fix, "q", "x");
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    double first = score();
    while (score() < first + 1)
        uv_run(&fix.loop, UV_RUN_NOWAIT); /* nothing tells: it must be asked again */
    assert_int_equal(fix.held_count, 1);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    wait_pending(&fix);
    stop(&fix);
}

static void a_corrupt_binding_or_value_loses_nothing(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "{\"visibility_timeout\": 1}");
    freeReplyObject(ask("ZADD unacked_index 1 t1 2 t2 3 t3"));
    freeReplyObject(ask("HSET unacked t1 %s", "not what it should be"));
    freeReplyObject(
        ask("HSET unacked t2 %s",
            "[{\"body\": \"YQ==\", \"headers\": {}, \"properties\": {\"delivery_info\": {}, "
            "\"body_encoding\": \"base64\", \"delivery_tag\": \"t2\"}}, \"gone\", \"q\"]"));
    freeReplyObject(ask("SADD _kombu.binding.gone %s", "rubbish"));
    consume(&fix, "q", 10);
    wait_held(&fix, 1); /* by its key, for want of a binding */
    assert_true(body_is(fix.held[0], "a"));
    wait_for_count(&fix, "LLEN celeriac.quarantine", 1);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    assert_int_equal(count("ZCARD unacked_index"), 0);
    stop(&fix);
}

static void an_exchange_without_a_queue_is_an_error(void **state)
{
    fixture fix;
    cel_message message = message_of("nowhere", "x", "y");

    (void)state;
    start(&fix, NULL);
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_ENOENT);
    freeReplyObject(ask("SADD _kombu.binding.nowhere %s", "x\x06\x16\x06\x16q"));
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    assert_int_equal(count("LLEN q"), 1);
    stop(&fix);
}

static void a_reply_to_pythons_queue_is_taken_and_expires(void **state)
{
    fixture fix;
    cel_message message = message_of("", "35efdec1-948a-357d-bac4-f2262a34a979", "y");

    (void)state;
    start(&fix, NULL);
    message.existing = true;
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    assert_true(count("TTL 35efdec1-948a-357d-bac4-f2262a34a979") > 0);
    stop(&fix);
}

static void transport_options_of_kombu_are_kept(void **state)
{
    fixture fix;
    cel_message message = message_of("", "q", "x");

    (void)state;
    start(&fix, "{\"global_keyprefix\": \"kp:\", \"priority_steps\": [0, 5], \"sep\": \":\", "
                "\"unacked_key\": \"mine\"}");
    message.priority = 4;
    publish_message(&fix, &message);
    message.priority = 7;
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(count("LLEN kp:q"), 1);
    assert_int_equal(count("LLEN kp:q:5"), 1);
    consume(&fix, "q", 2);
    wait_held(&fix, 2);
    assert_int_equal(count("HLEN kp:mine"), 2);
    fix.broker->ops->release(fix.held[1], NULL, NULL);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    stop(&fix);
    assert_int_equal(count("LLEN kp:q:5"), 1);
}

static void bad_transport_options_are_named(void **state)
{
    static const char *const bad[][2] = {
        {"{\"visibility_timeout\": 0}", "visibility_timeout"},
        {"{\"visibility_timeout\": \"an hour\"}", "visibility_timeout"},
        {"{\"priority_steps\": []}", "priority_steps"},
        {"{\"priority_steps\": [3, 0]}", "priority_steps"},
        {"{\"sep\": 3}", "sep"},
        {"{\"queue_order_strategy\": \"random\"}", "queue_order_strategy"},
    };
    fixture fix;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cel_error err = {0};

        begin(&fix, bad[i][0]);
        assert_int_equal(try_open(&fix, &err), CEL_ECONFIG);
        assert_non_null(strstr(err.message, bad[i][1]));
        end_loop(&fix);
    }
}

static void a_wrong_password_or_database_is_an_error_of_open(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    begin(&fix, NULL);
    snprintf(fix.url, sizeof fix.url, "redis+socket://:topsecret@%s", server.path);
    assert_int_equal(try_open(&fix, &err), CEL_ECONFIG);
    assert_null(strstr(err.message, "topsecret"));
    snprintf(fix.url, sizeof fix.url, "redis+socket://:secret@%s?virtual_host=99", server.path);
    assert_int_equal(try_open(&fix, &err), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "no database"));
    snprintf(fix.url, sizeof fix.url, "redis+socket://:secret@%s-not-there", server.path);
    assert_int_equal(try_open(&fix, &err), CEL_ECONN);
    assert_true(err.retriable);
    end_loop(&fix);
}

static void an_outage_is_told_and_what_is_out_is_settled_after_it(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, NULL);
    publish(&fix, "q", "x");
    publish(&fix, "q", "y");
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    wait_pending(&fix);
    cel__test_redis_kill(&server);
    while (fix.state != CEL_ECONN)
        uv_run(&fix.loop, UV_RUN_ONCE);
    assert_int_equal(fix.broker->ops->accept(fix.held[0], NULL), CEL_ECONN);
    fix.pending++;
    fix.broker->ops->ack(fix.held[0], confirmed, &fix);
    fix.held_count = 0;
    cel__test_redis_start(&server);
    wait_held(&fix, 1);
    assert_int_equal(fix.state, CEL_OK);
    assert_true(body_is(fix.held[0], "y"));
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    assert_int_equal(count("HLEN unacked"), 0);
    stop(&fix);
}

/* The server takes the claim when nobody waits for its answer any more. */
static void what_a_claim_without_an_answer_took_is_not_forgotten(void **state)
{
    fixture fix;
    cel_error err = {0};

    (void)state;
    begin(&fix, NULL);
    snprintf(fix.url + strlen(fix.url), sizeof fix.url - strlen(fix.url),
             "&socket_timeout=0.3");
    assert_int_equal(try_open(&fix, &err), CEL_OK);
    publish(&fix, "q", "x");
    publish(&fix, "q", "y");
    consume(&fix, "none", 1); /* so that its connections are up */
    wait_pending(&fix);
    wait_for_count(&fix, "ZCARD celeriac.consumers.none", 1);
    kill(server.pid, SIGSTOP);
    consume(&fix, "q", 5);
    while (fix.state != CEL_ECONN)
        uv_run(&fix.loop, UV_RUN_ONCE);
    int64_t until_ms = cel__clock_mono_ms(cel__clock_system()) + 700;
    while (cel__clock_mono_ms(cel__clock_system()) < until_ms)
        uv_run(&fix.loop, UV_RUN_NOWAIT); /* the claim has failed by then */
    kill(server.pid, SIGCONT);
    wait_held(&fix, 2);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    assert_int_equal(ack(&fix, 1), CEL_OK);
    assert_int_equal(count("LLEN q"), 0);
    assert_int_equal(count("HLEN unacked"), 0);
    stop(&fix);
}

static void a_full_server_takes_nothing_and_gives_what_it_has(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, NULL);
    publish(&fix, "q", "x");
    wait_pending(&fix);
    freeReplyObject(ask("CONFIG SET maxmemory 1"));
    publish(&fix, "q", "y");
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_EFULL);
    consume(&fix, "q", 5);
    wait_held(&fix, 1);
    fix.held_count = 0;
    fix.broker->ops->reject(fix.held[0], true, NULL, NULL);
    wait_held(&fix, 1);
    assert_int_equal(fix.held[0]->attempt, CEL_ATTEMPT_AGAIN);
    assert_int_equal(ack(&fix, 0), CEL_OK);
    freeReplyObject(ask("CONFIG SET maxmemory 0"));
    assert_int_equal(count("LLEN q"), 0);
    assert_int_equal(count("HLEN unacked"), 0);
    stop(&fix);
}

static void what_waits_for_its_eta_is_found_by_kombus_restore_when_it_is_due(void **state)
{
    fixture fix;
    cel_message message = message_of("", "q", "later");
    int64_t due_ms = cel__clock_wall_ms(cel__clock_system()) + 7200000;

    (void)state;
    start(&fix, NULL);
    consume(&fix, "q", 1);
    wait_for_count(&fix, "ZCARD celeriac.consumers.q", 1);
    message.eta_ms = due_ms;
    publish_message(&fix, &message);
    wait_pending(&fix);
    assert_int_equal(count("ZCARD celeriac.eta.q"), 1);
    assert_true((int64_t)(score() * 1000 + 0.5) == due_ms - 3600000);
    stop(&fix);
    assert_int_equal(count("HLEN unacked"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_lost_the_lease_neither_acknowledges_nor_requeues),
        cmocka_unit_test(a_message_comes_back_as_it_was_but_for_the_marks),
        cmocka_unit_test(messages_with_one_tag_are_all_delivered),
        cmocka_unit_test(cut_connections_neither_lose_nor_double_a_message),
        cmocka_unit_test(who_waits_is_told_of_others_messages_also_after_a_cut),
        cmocka_unit_test(what_a_killed_process_held_comes_back_within_its_lease),
        cmocka_unit_test(what_is_out_for_long_keeps_its_score_young),
        cmocka_unit_test(a_corrupt_binding_or_value_loses_nothing),
        cmocka_unit_test(an_exchange_without_a_queue_is_an_error),
        cmocka_unit_test(a_reply_to_pythons_queue_is_taken_and_expires),
        cmocka_unit_test(transport_options_of_kombu_are_kept),
        cmocka_unit_test(bad_transport_options_are_named),
        cmocka_unit_test(a_wrong_password_or_database_is_an_error_of_open),
        cmocka_unit_test(an_outage_is_told_and_what_is_out_is_settled_after_it),
        cmocka_unit_test(what_a_claim_without_an_answer_took_is_not_forgotten),
        cmocka_unit_test(a_full_server_takes_nothing_and_gives_what_it_has),
        cmocka_unit_test(what_waits_for_its_eta_is_found_by_kombus_restore_when_it_is_due),
    };
    int failed = 0;

    if (!cel__test_redis_open(&server))
        return SKIPPED;
    signal(SIGPIPE, SIG_IGN);
    failed += cel__broker_conformance(
        &(cel_broker_conformance){"redis, one thread", fresh, false, LACKS});
    failed += cel__broker_conformance(&(cel_broker_conformance){"redis", fresh, true, LACKS});
    failed += cmocka_run_group_tests_name("redis alone", tests, NULL, NULL);
    cel__test_redis_close(&server);
    return failed;
}
