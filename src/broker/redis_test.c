/* redis_test.c - redis:// passes the suite on a private Redis, which this program starts. */
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

#include "broker/broker_conformance.h"

#define SKIPPED 77
#define LACKS   (CEL_LACKS_PRIORITY | CEL_LACKS_ACCEPTED | CEL_LACKS_DELAY)

static char dir[64], socket_path[96];
static pid_t server;

/* ---- the server ---- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static redisContext *connect_server(void)
{
    for (int tries = 0; tries < 1000; tries++) {
        redisContext *redis = redisConnectUnix(socket_path);

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

/* Runs a command in database 1, given as for printf(); the caller frees the reply. */
static redisReply *ask(const char *fmt, ...)
{
    redisContext *redis = connect_server();
    redisReply *reply;
    va_list args;

    freeReplyObject(redisCommand(redis, "SELECT 1"));
    va_start(args, fmt);
    reply = redisvCommand(redis, fmt, args);
    va_end(args);
    assert_non_null(reply);
    redisFree(redis);
    return reply;
}

static void fresh(char *url, size_t size)
{
    freeReplyObject(ask("FLUSHALL"));
    snprintf(url, size, "redis+socket://:secret@%s?virtual_host=1", socket_path);
}

int main(void)
{
    int failed = 0;

    if (access("/usr/bin/redis-server", X_OK) != 0) {
        printf("SKIP: redis-server is not installed\n");
        return SKIPPED;
    }
    snprintf(dir, sizeof dir, "/tmp/celeriac-redis-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(socket_path, sizeof socket_path, "%s/socket", dir);
    signal(SIGPIPE, SIG_IGN);
    start_server();
    failed += cel__broker_conformance(
        &(cel_broker_conformance){"redis, one thread", fresh, false, LACKS});
    failed += cel__broker_conformance(&(cel_broker_conformance){"redis", fresh, true, LACKS});
    kill_server();
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
