/* bare.c - bare loops on librabbitmq and hiredis: one thread, blocking calls, pipelined. */
#include "bare.h"

#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "bench.h"

#define CLAIM 64
#define DOCUMENT                                                                               \
    "{\"status\": \"SUCCESS\", \"result\": null, \"traceback\": null, \"children\": [], "      \
    "\"date_done\": \"2026-11-23T03:01:14.105188\", \"task_id\": \"%.36s\"}"

/* ---- Redis ---- */

redisContext *bare_redis(const char *socket_path)
{
    redisContext *redis = redisConnectUnix(socket_path);

    if (!redis || redis->err)
        bench_fail("redis: %s", redis ? redis->errstr : "no memory");
    return redis;
}

void bare_append_result(redisContext *redis, const char *id)
{
    char document[256];

    snprintf(document, sizeof document, DOCUMENT, id);
    redisAppendCommand(redis, "MULTI");
    redisAppendCommand(redis, "SETEX celery-task-meta-%b 86400 %s", id, (size_t)36, document);
    redisAppendCommand(redis, "PUBLISH celery-task-meta-%b %s", id, (size_t)36, document);
    redisAppendCommand(redis, "EXEC");
}

static redisReply *read_reply(redisContext *redis)
{
    void *reply;

    if (redisGetReply(redis, &reply) != REDIS_OK)
        bench_fail("redis: %s", redis->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        bench_fail("redis: %s", ((redisReply *)reply)->str);
    return reply;
}

void bare_read_results(redisContext *redis, int results)
{
    for (int i = 0; i < 4 * results; i++)
        freeReplyObject(read_reply(redis));
}

/* The id of the task in a message of kombu's: its correlation id. */
static const char *id_of(const redisReply *message)
{
    const char *at = strstr(message->str, "\"correlation_id\":");

    at = at ? strchr(at + 17, '"') : NULL;
    if (!at || strlen(at) < 37)
        bench_fail("a message without correlation id: %.200s", message->str);
    return at + 1;
}

static const char claim_script[] =
    "local taken = redis.call('RPOP', KEYS[1], ARGV[1])\n"
    "if not taken then return {} end\n"
    "for i, text in ipairs(taken) do\n"
    "  local tag = string.match(text, '\"delivery_tag\": *\"([^\"]+)\"')\n"
    "  redis.call('HSET', 'unacked', tag, text)\n"
    "  redis.call('ZADD', 'unacked_index', ARGV[2], tag)\n"
    "end\n"
    "return taken\n";
static const char ack_script[] = "for i, tag in ipairs(ARGV) do\n"
                                 "  redis.call('ZREM', 'unacked_index', tag)\n"
                                 "  redis.call('HDEL', 'unacked', tag)\n"
                                 "end\n"
                                 "return #ARGV\n";

static void load_script(redisContext *redis, const char *script, char sha[41])
{
    redisReply *reply;

    redisAppendCommand(redis, "SCRIPT LOAD %s", script);
    reply = read_reply(redis);
    snprintf(sha, 41, "%s", reply->str);
    freeReplyObject(reply);
}

static void append_acks(redisContext *redis, const char *sha, const redisReply *taken)
{
    const char *words[3 + CLAIM] = {"EVALSHA", sha, "0"};
    size_t lengths[3 + CLAIM] = {7, 40, 1};

    for (size_t i = 0; i < taken->elements; i++) {
        const char *tag = strstr(taken->element[i]->str, "\"delivery_tag\":");

        tag = strchr(tag + 15, '"') + 1;
        words[3 + i] = tag;
        lengths[3 + i] = (size_t)(strchr(tag, '"') - tag);
    }
    redisAppendCommandArgv(redis, 3 + (int)taken->elements, words, lengths);
}

double bare_work_redis(const char *path, const char *queue, int count)
{
    redisContext *redis = bare_redis(path);
    char claim[41], ack[41];
    double start;

    load_script(redis, claim_script, claim);
    load_script(redis, ack_script, ack);
    start = bench_now_s();
    for (int done = 0; done < count;) {
        redisAppendCommand(redis, "EVALSHA %s 1 %s %d %d", claim, queue, CLAIM, 2000000000);
        redisReply *taken = read_reply(redis);

        for (size_t i = 0; i < taken->elements; i++)
            bare_append_result(redis, id_of(taken->element[i]));
        bare_read_results(redis, (int)taken->elements);
        append_acks(redis, ack, taken);
        freeReplyObject(read_reply(redis));
        done += (int)taken->elements;
        if (taken->elements == 0)
            bench_fail("the bare loop found %d of %d messages", done, count);
        freeReplyObject(taken);
    }
    start = bench_now_s() - start;
    redisFree(redis);
    return start;
}

/* ---- RabbitMQ ---- */

void bare_check(amqp_connection_state_t conn, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn);

    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_fail("rabbitmq: %s failed", what);
}

amqp_connection_state_t bare_rabbit(int port)
{
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *sock = amqp_tcp_socket_new(conn);

    if (!sock || amqp_socket_open(sock, "127.0.0.1", port) != 0)
        bench_fail("rabbitmq: no connection to port %d", port);
    if (amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
            .reply_type != AMQP_RESPONSE_NORMAL)
        bench_fail("rabbitmq: no login");
    amqp_channel_open(conn, 1);
    bare_check(conn, "channel.open");
    return conn;
}

static void declare(amqp_connection_state_t conn, const char *queue, bool quorum)
{
    amqp_table_entry_t entry = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")},
    };
    amqp_table_t arguments = {.num_entries = quorum ? 1 : 0, .entries = &entry};

    amqp_queue_declare(conn, 1, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
    bare_check(conn, "queue.declare");
}

static amqp_table_entry_t text_header(const char *key, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)},
    };
}

/* Waits until `last` is confirmed. */
static void wait_confirmed(amqp_connection_state_t conn, uint64_t last)
{
    for (uint64_t seen = 0; seen < last;) {
        amqp_frame_t frame;

        if (amqp_simple_wait_frame(conn, &frame) != AMQP_STATUS_OK)
            bench_fail("rabbitmq: the connection is lost");
        if (frame.frame_type != AMQP_FRAME_METHOD ||
            frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            bench_fail("rabbitmq: not confirmed");
        seen = ((amqp_basic_ack_t *)frame.payload.method.decoded)->delivery_tag;
        amqp_maybe_release_buffers(conn);
    }
}

double bare_publish(int port, const char *queue, bool quorum, int count, int batch)
{
    static const char id[] = "0193ab12-4f00-7000-8000-0123456789ab";
    static const char body[] =
        "[[], {}, {\"callbacks\": null, \"errbacks\": null, \"chain\": null, "
        "\"chord\": null}]";
    amqp_table_entry_t headers[] = {
        text_header("lang", "py"),
        text_header("task", "bench.noop"),
        text_header("id", id),
        text_header("root_id", id),
        text_header("argsrepr", "()"),
        text_header("kwargsrepr", "{}"),
        text_header("origin", "gen1@bench"),
        text_header("replaced", "0"),
        text_header("parent", ""),
        text_header("stamps", ""),
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                  AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .content_encoding = amqp_cstring_bytes("utf-8"),
        .headers = {.num_entries = sizeof headers / sizeof *headers, .entries = headers},
        .delivery_mode = 2,
        .correlation_id = amqp_cstring_bytes(id),
        .reply_to = amqp_cstring_bytes(id),
    };
    amqp_connection_state_t conn = bare_rabbit(port);
    double start;

    declare(conn, queue, quorum);
    amqp_confirm_select(conn, 1);
    bare_check(conn, "confirm.select");
    start = bench_now_s();
    for (int i = 1; i <= count; i++) {
        if (amqp_basic_publish(conn, 1, amqp_empty_bytes, amqp_cstring_bytes(queue), 1, 0,
                               &properties, amqp_cstring_bytes(body)) != AMQP_STATUS_OK)
            bench_fail("rabbitmq: the connection is lost");
        if (i % batch == 0 || i == count)
            wait_confirmed(conn, (uint64_t)i);
    }
    start = bench_now_s() - start;
    amqp_destroy_connection(conn);
    return start;
}

/* Receives what is there, up to `most`, and appends the results; returns how many. */
static int take(amqp_connection_state_t conn, redisContext *redis, int most, uint64_t *last)
{
    static struct timeval none;
    int taken = 0;

    while (taken < most) {
        amqp_envelope_t envelope;
        amqp_rpc_reply_t reply;

        amqp_maybe_release_buffers(conn);
        reply = amqp_consume_message(conn, &envelope, taken > 0 ? &none : NULL, 0);
        if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
            if (taken == 0)
                bench_fail("rabbitmq: the connection is lost");
            break;
        }
        bare_append_result(redis, envelope.message.properties.correlation_id.bytes);
        *last = envelope.delivery_tag;
        amqp_destroy_envelope(&envelope);
        taken++;
    }
    return taken;
}

double bare_work_rabbit(
    int port, const char *path, const char *queue, int count, int prefetch, bool coalesce)
{
    amqp_connection_state_t conn = bare_rabbit(port);
    redisContext *redis = bare_redis(path);
    uint64_t last = 0;
    double start = bench_now_s();

    amqp_basic_qos(conn, 1, 0, (uint16_t)prefetch, 0);
    bare_check(conn, "basic.qos");
    amqp_basic_consume(conn, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    bare_check(conn, "basic.consume");
    for (int done = 0; done < count;) {
        uint64_t first = last + 1;
        int taken = take(conn, redis, prefetch / 2, &last);

        bare_read_results(redis, taken);
        if (coalesce) {
            amqp_basic_ack(conn, 1, last, 1);
        } else {
            for (; first <= last; first++)
                amqp_basic_ack(conn, 1, first, 0);
        }
        done += taken;
    }
    start = bench_now_s() - start;
    amqp_channel_close(conn, 1, AMQP_REPLY_SUCCESS); /* so that the last ack has arrived */
    amqp_destroy_connection(conn);
    redisFree(redis);
    return start;
}
