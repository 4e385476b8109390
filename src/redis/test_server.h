/* test_server.h - a private redis-server for tests: on a socket in a folder of its own below $TMPDIR, with the password "secret",
 * its data kept in an append-only file, so that a killed one comes back with them. For one thread; what fails ends the program. */
#ifndef CEL_REDIS_TEST_SERVER_H
#define CEL_REDIS_TEST_SERVER_H

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct cel__test_redis {
    char dir[100], path[120]; /* of the folder, and of the socket */
    pid_t pid;
} cel__test_redis;

/* False, having said so, if redis-server is not installed: then the test is to be skipped. */
bool cel__test_redis_open(cel__test_redis *server);

/* Kills it and removes its folder. */
void cel__test_redis_close(cel__test_redis *server);

/* Kills it as a crash would; start() brings it back. */
void cel__test_redis_kill(cel__test_redis *server);
void cel__test_redis_start(cel__test_redis *server);

/* Waits until it answers; the caller frees the connection. */
redisContext *cel__test_redis_connect(const cel__test_redis *server);

/* Runs one command, given as for printf(), in the database; the caller frees the reply, which is not NULL. */
redisReply *cel__test_redis_ask(const cel__test_redis *server, int db, const char *fmt, ...);
redisReply *
cel__test_redis_vask(const cel__test_redis *server, int db, const char *fmt, va_list args);

#endif
