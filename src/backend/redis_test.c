/* redis_test.c - redis:// passes the suite on a private Redis, which this program starts; and
 * what a server alone can do: die and come back, be full, refuse the login, hold what others
 * have put there. */
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"
#include "core/mem.h"

#define EXPIRES_MS ((int64_t)86400000)
#define SKIPPED    77

static char dir[64], socket_path[96];
static pid_t server;

/* ---- the server ---- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static redisContext *connect_server(void)
{
    redisContext *redis = NULL;

    for (int tries = 0; tries < 1000; tries++) {
        redis = redisConnectUnix(socket_path);
        if (redis && !redis->err) {
            redisReply *reply = redisCommand(redis, "AUTH secret");
            bool ready = reply && reply->type == REDIS_REPLY_STATUS;
            freeReplyObject(reply);
            if (ready)
                return redis;
        }
        redisFree(redis);
        usleep(10000); /* the step of a look */
    }
    fprintf(stderr, "redis-server does not answer\n");
    exit(1);
}

static void start_server(void)
{
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_path,
               "--dir", dir, "--requirepass", "secret", "--appendonly", "yes", "--save", "",
               (char *)NULL);
        _exit(127);
    }
    redisFree(connect_server());
}

static void kill_server(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    unlink(socket_path);
}

/* Runs a command, given as for printf(); the caller frees the reply. */
static redisReply *ask(const char *fmt, ...)
{
    redisContext *redis = connect_server();
    redisReply *reply;
    va_list args;

    va_start(args, fmt);
    reply = redisvCommand(redis, fmt, args);
    va_end(args);
    assert_non_null(reply);
    redisFree(redis);
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
    snprintf(url, size, "redis+socket://:secret@%s?virtual_host=1", socket_path);
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

static redisReply *ask_db1(const char *command)
{
    redisContext *redis = connect_server();
    redisReply *reply;

    freeReplyObject(redisCommand(redis, "SELECT 1"));
    reply = redisCommand(redis, command);
    redisFree(redis);
    assert_non_null(reply);
    return reply;
}

static void a_result_has_celerys_key_and_expires(void **state)
{
    redisReply *reply;

    (void)state;
    cel__pair_store(&pair, 0, "id-1", "SUCCESS", "{\"status\": \"SUCCESS\"}", NULL);
    reply = ask_db1("GET celery-task-meta-id-1");
    assert_string_equal(reply->str, "{\"status\": \"SUCCESS\"}");
    freeReplyObject(reply);
    reply = ask_db1("TTL celery-task-meta-id-1");
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
    keys = ask_db1("KEYS *");
    for (size_t i = 0; i < keys->elements; i++) {
        char command[256];
        redisReply *ttl;

        snprintf(command, sizeof command, "TTL %s", keys->element[i]->str);
        ttl = ask_db1(command);
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
    kill_server();
    assert_int_equal(
        pair.backends[0]->ops->store(pair.backends[0], &record, note, &heard, &err), CEL_OK);
    start_server();
    cel__pair_wait(&pair, &heard.called, 1);
    assert_int_equal(heard.code, CEL_OK);
    reply = ask_db1("GET celery-task-meta-id-2");
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
    snprintf(url, sizeof url, "redis+socket://:topsecret@%s", socket_path);
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

    if (access("/usr/bin/redis-server", X_OK) != 0) {
        puts("SKIP: redis-server is not installed");
        return SKIPPED;
    }
    snprintf(dir, sizeof dir, "/tmp/celeriac-redis-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(socket_path, sizeof socket_path, "%s/redis.sock", dir);
    signal(SIGPIPE, SIG_IGN);
    start_server();
    failed = cel__backend_conformance(&subject);
    failed += cmocka_run_group_tests_name("redis alone", tests, NULL, NULL);
    kill_server();
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
