/* test_server.c - see test_server.h. The server dies with this program, whatever ends it. */
#include "redis/test_server.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/test_folder.h"

#define TRIES   1000
#define STEP_MS 10 /* between two looks whether it answers */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

redisContext *cel__test_redis_connect(const cel__test_redis *server)
{
    for (int tries = 0; tries < TRIES; tries++) {
        redisContext *redis = redisConnectUnix(server->path);

        if (redis && !redis->err) {
            redisReply *reply = redisCommand(redis, "AUTH secret");
            bool ready = reply && reply->type == REDIS_REPLY_STATUS;

            freeReplyObject(reply);
            if (ready)
                return redis;
        }
        redisFree(redis);
        poll(NULL, 0, STEP_MS);
    }
    fail("redis-server does not answer");
    return NULL;
}

void cel__test_redis_start(cel__test_redis *server)
{
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->path,
               "--dir", server->dir, "--requirepass", "secret", "--appendonly", "yes", "--save",
               "", (char *)NULL);
        _exit(127);
    }
    redisFree(cel__test_redis_connect(server));
}

void cel__test_redis_kill(cel__test_redis *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    unlink(server->path);
}

bool cel__test_redis_open(cel__test_redis *server)
{
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        puts("SKIP: redis-server is not installed");
        return false;
    }
    if (!cel__test_folder(server->dir, sizeof server->dir, "redis"))
        fail("no folder for redis-server");
    snprintf(server->path, sizeof server->path, "%s/redis.sock", server->dir);
    cel__test_redis_start(server);
    return true;
}

void cel__test_redis_close(cel__test_redis *server)
{
    cel__test_redis_kill(server);
    nftw(server->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

redisReply *
cel__test_redis_vask(const cel__test_redis *server, int db, const char *fmt, va_list args)
{
    redisContext *redis = cel__test_redis_connect(server);

    freeReplyObject(redisCommand(redis, "SELECT %d", db));
    redisReply *reply = redisvCommand(redis, fmt, args);
    if (!reply)
        fail(redis->errstr);
    redisFree(redis);
    return reply;
}

redisReply *cel__test_redis_ask(const cel__test_redis *server, int db, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    redisReply *reply = cel__test_redis_vask(server, db, fmt, args);
    va_end(args);
    return reply;
}
