/* bare.h - the bare loops beside which the worker on RabbitMQ and Redis is measured: what a worker must do for each
 * message, and nothing else. */
#ifndef CEL_BENCH_BARE_H
#define CEL_BENCH_BARE_H

#include <amqp.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>

/* A result as Celery stores it, and its publication: appended to the pipeline. `id` is 36 bytes. */
void bare_append_result(redisContext *redis, const char *id);

/* Reads the replies of `results` results. */
void bare_read_results(redisContext *redis, int results);

redisContext *bare_redis(const char *socket_path);

/* Connects to 127.0.0.1 as guest, virtual host /, channel 1 open. */
amqp_connection_state_t bare_rabbit(int port);

/* Fails the program if the last call of the connection failed. */
void bare_check(amqp_connection_state_t conn, const char *what);

/* Publishes `count` messages of about the size of Celery's, `batch` of them in flight until confirmed. */
double bare_publish(int port, const char *queue, bool quorum, int count, int batch);

/* Consumes `count` messages of a queue: result, publication, acknowledgement. `coalesce`: one ack for all that came
 * together. Returns seconds. */
double bare_work_rabbit(
    int port, const char *redis, const char *queue, int count, int prefetch, bool coalesce);

/* The same on Redis as broker: a script takes and registers 64 messages, another acknowledges them. */
double bare_work_redis(const char *redis, const char *queue, int count);

#endif
