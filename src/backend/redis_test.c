/* redis_test.c - redis:// passes the suite on a private Redis, which this program starts; and
 * what a server alone can do: die and come back, be full, refuse the login, hold what others
 * have put there. */
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"
#include "core/mem.h"
#include "redis/test_server.h"

#define EXPIRES_MS ((int64_t)86400000)
#define SKIPPED    77

static cel__test_redis server;

/* In database 0; the caller frees the reply. */
static redisReply *ask(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    redisReply *reply = cel__test_redis_vask(&server, 0, fmt, args);
    va_end(args);
    return reply;
}

static long long ask_number(const char *fmt, const char *key)
{
    redisReply *reply = ask(fmt, key);
    long long number = reply->integer;

    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
    return number;
}

static void fresh(char *url, size_t size)
{
    freeReplyObject(ask("FLUSHALL"));
    snprintf(url, size, "redis+socket://:secret@%s?virtual_host=1", server.path);
}

/* ---- tests ---- */

static cel__pair pair;

static int open_pair(void **state)
{
    char url[512];

    (void)state;
    fresh(url, sizeof url);
    cel__pair_open(&pair, url, false);
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    cel__pair_close(&pair);
    return 0;
}

static void a_result_has_celerys_key_and_expires(void **state)
{
    redisReply *reply;

    (void)state;
    cel__pair_store(&pair, 0, "id-1", "SUCCESS", "{\"status\": \"SUCCESS\"}", NULL);
    reply = cel__test_redis_ask(&server, 1, "GET celery-task-meta-id-1");
    assert_string_equal(reply->str, "{\"status\": \"SUCCESS\"}");
    freeReplyObject(reply);
    reply = cel__test_redis_ask(&server, 1, "TTL celery-task-meta-id-1");
    assert_in_range(reply->integer, 1, EXPIRES_MS / 1000);
    freeReplyObject(reply);
}

static void all_keys_of_a_chord_expire_or_go(void **state)
{
    cel__heard heard = {0};
    redisReply *keys;

    (void)state;
    cel__pair_open_chord(&pair, 0, "gid", 2);
    cel__pair_add(&pair, 0, "gid", "a", 0, "1", &heard);
    cel__pair_add(&pair, 1, "gid", "b", 1, "2", &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_done(&pair, 1, "gid");
    keys = cel__test_redis_ask(&server, 1, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++) {
        char command[256];
        redisReply *ttl;

        snprintf(command, sizeof command, "TTL %s", keys->element[i]->str);
        ttl = cel__test_redis_ask(&server, 1, command);
        if (ttl->integer < 0)
            fail_msg("%s does not expire", keys->element[i]->str);
        freeReplyObject(ttl);
    }
    freeReplyObject(keys);
    cel__heard_done(&heard);
}

static void note(void *user, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    (void)err;
    heard->code = code;
    heard->called++;
}

static void a_killed_server_that_comes_back_gets_what_was_stored_meanwhile(void **state)
{
    cel__heard heard = {0};
    cel_error err;
    cel_backend_record record = {.task_id = CEL_VIEW("id-2"),
                                 .status = CEL_VIEW("SUCCESS"),
                                 .document = CEL_VIEW("{}"),
                                 .ready = true};
    redisReply *reply;

    (void)state;
    cel__pair_store(&pair, 0, "id-1", "SUCCESS", "{\"status\": \"SUCCESS\"}", NULL);
    cel__test_redis_kill(&server);
    assert_int_equal(
        pair.backends[0]->ops->store(pair.backends[0], &record, note, &heard, &err), CEL_OK);
    cel__test_redis_start(&server);
    cel__pair_wait(&pair, &heard.called, 1);
    assert_int_equal(heard.code, CEL_OK);
    reply = cel__test_redis_ask(&server, 1, "GET celery-task-meta-id-2");
    assert_string_equal(reply->str, "{}");
    freeReplyObject(reply);
}

static void a_full_server_is_an_error_that_may_pass(void **state)
{
    cel__heard heard = {0};
    cel_error err;
    cel_backend_record record = {.task_id = CEL_VIEW("id-3"),
                                 .status = CEL_VIEW("SUCCESS"),
                                 .document = CEL_VIEW("{}"),
                                 .ready = true};

    (void)state;
    freeReplyObject(ask("CONFIG SET maxmemory 1"));
    assert_int_equal(
        pair.backends[0]->ops->store(pair.backends[0], &record, note, &heard, &err), CEL_OK);
    cel__pair_wait(&pair, &heard.called, 1);
    freeReplyObject(ask("CONFIG SET maxmemory 0"));
    assert_int_equal(heard.code, CEL_EFULL);
    assert_int_equal(ask_number("EXISTS %s", "celery-task-meta-id-3"), 0);
    cel__pair_store(&pair, 0, "id-3", "SUCCESS", "{}", NULL);
}

static void a_wrong_password_is_refused_and_not_shown(void **state)
{
    char url[512];
    cel__heard heard = {0};
    cel_error err = {0};
    cel_backend_record record = {
        .task_id = CEL_VIEW("id"), .status = CEL_VIEW("SUCCESS"), .document = CEL_VIEW("{}")};

    (void)state;
    snprintf(url, sizeof url, "redis+socket://:topsecret@%s", server.path);
    cel__pair_open(&pair, url, false);
    assert_int_equal(
        pair.backends[0]->ops->store(pair.backends[0], &record, note, &heard, &err), CEL_OK);
    cel__pair_wait(&pair, &heard.called, 1);
    assert_int_equal(heard.code, CEL_ECONN);
    cel__pair_close(&pair);
}

int main(void)
{
    static const cel__conformance_subject subject = {
        .name = "redis", .fresh = fresh, .no_groups = true, .real_time = true};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_has_celerys_key_and_expires, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(all_keys_of_a_chord_expire_or_go, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(
            a_killed_server_that_comes_back_gets_what_was_stored_meanwhile, open_pair,
            close_pair),
        cmocka_unit_test_setup_teardown(a_full_server_is_an_error_that_may_pass, open_pair,
                                        close_pair),
        cmocka_unit_test(a_wrong_password_is_refused_and_not_shown),
    };
    int failed;

    if (!cel__test_redis_open(&server))
        return SKIPPED;
    signal(SIGPIPE, SIG_IGN);
    failed = cel__backend_conformance(&subject);
    failed += cmocka_run_group_tests_name("redis alone", tests, NULL, NULL);
    cel__test_redis_close(&server);
    return failed;
}
