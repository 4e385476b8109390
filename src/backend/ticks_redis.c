/* ticks_redis.c - redis://: records as hashes, claims as keys that expire by the server's clock.
 *
 *   celeriac-beat-<entry>    l: the last tick, n: how many. Expires two years after it was last used
 *   celeriac-beat-<entry>.c  who sends the next one; expires with the lease
 *
 * The script is sent by its text: once a tick and beat that costs less than a name that may be unknown. All it does can be
 * done twice (a reply may get lost): a second DONE finds its tick to be the last one, which on_replies() counts as done. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ticks.h"
#include "core/mem.h"
#include "redis/conn.h"

#define KEEP_S 63072000

/* Arguments: owner, the lease's milliseconds, how long records are kept; then of each key the verb, the last tick and the due one. */
static const char script[] =
    "local out = {}\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local verb, last, due = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]\n"
    "  local record = redis.call('HMGET', key, 'l', 'n')\n"
    "  local claim, outcome, wait = key .. '.c', 0, 0\n"
    "  local holder = redis.call('GET', claim)\n"
    "  if not record[1] then\n"
    "    record = {verb == '0' and due or last, '0'}\n"
    "    redis.call('HSET', key, 'l', record[1], 'n', '0')\n"
    "  end\n"
    "  if verb ~= '0' and record[1] ~= last then outcome = 3\n"
    "  elseif verb ~= '0' and holder and holder ~= ARGV[1] then\n"
    "    outcome = verb == '1' and 2 or 3\n"
    "    wait = redis.call('PTTL', claim)\n"
    "  elseif verb == '1' then\n"
    "    redis.call('SET', claim, ARGV[1], 'PX', ARGV[2])\n"
    "    outcome = 1\n"
    "  elseif verb == '2' then\n"
    "    redis.call('DEL', claim)\n"
    "    redis.call('HSET', key, 'l', due)\n"
    "    record = {due, tostring(redis.call('HINCRBY', key, 'n', 1))}\n"
    "    outcome = 4\n"
    "  end\n"
    "  redis.call('EXPIRE', key, ARGV[3])\n"
    "  out[#out + 1] = tostring(outcome)\n"
    "  out[#out + 1] = record[1]\n"
    "  out[#out + 1] = record[2]\n"
    "  out[#out + 1] = tostring(wait)\n"
    "end\n"
    "return out\n";

struct redis_ticks {
    cel_ticks base;
    cel__redis_url url;
    cel__redis *commands;
    char owner[64];
    int64_t lease_ms;
    void (*closed)(void *user);
    void *closed_user;
};

struct tick_request {
    cel__redis_request request;
    cel_ticks_cb cb;
    void *user;
    size_t count;
    struct {
        cel_tick_verb verb;
        int64_t due_us;
    } asked[];
};

static int64_t number_of(const redisReply *reply, size_t i)
{
    const redisReply *element = reply->element[i];

    return element->type == REDIS_REPLY_STRING ? strtoll(element->str, NULL, 10) : 0;
}

static void
read_replies(const struct tick_request *op, const redisReply *reply, cel_tick_reply *out)
{
    for (size_t i = 0; i < op->count; i++) {
        int64_t outcome = number_of(reply, 4 * i);

        out[i] = (cel_tick_reply){
            .outcome = outcome >= 0 && outcome <= CEL_TICK_COUNTED ? (cel_tick_outcome)outcome
                                                                   : CEL_TICK_MOVED,
            .last_us = number_of(reply, 4 * i + 1),
            .count = number_of(reply, 4 * i + 2),
            .wait_ms = number_of(reply, 4 * i + 3),
        };
        if (out[i].outcome == CEL_TICK_MOVED && op->asked[i].verb == CEL_TICK_DONE &&
            out[i].last_us == op->asked[i].due_us)
            out[i].outcome = CEL_TICK_COUNTED;
    }
}

static void
on_replies(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct tick_request *op = (struct tick_request *)request;
    cel_tick_reply *replies = NULL;
    cel_error why;

    if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4 * op->count)) {
        cel_error_set(&why, CEL_EPROTO, "beat's records: an unexpected reply of the server");
        err = &why;
    }
    if (!err)
        replies = cel__calloc(op->count + 1, sizeof *replies);
    if (!err && !replies) {
        cel_error_set(&why, CEL_ENOMEM, "no memory for beat's records");
        why.uncertain = true;
        err = &why;
    }
    if (replies)
        read_replies(op, reply, replies);
    op->cb(op->user, replies, err);
    cel__free(replies);
    cel__free(op);
}

static cel_code submit_redis(cel_ticks *base,
                             const cel_tick *list,
                             size_t count,
                             cel_ticks_cb cb,
                             void *user,
                             cel_error *err)
{
    struct redis_ticks *ticks = (struct redis_ticks *)base;
    struct tick_request *op = cel__malloc(sizeof *op + count * sizeof op->asked[0]);
    cel__buf command = {0};
    cel_code code;

    assert(count <= CEL_TICKS_MAX);
    if (!op)
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    *op = (struct tick_request){
        .request.done = on_replies, .cb = cb, .user = user, .count = count};
    cel__redis_begin(&command, 6 + 4 * count);
    cel__redis_word(&command, CEL_VIEW("EVAL"));
    cel__redis_word(&command, cel__view(script));
    cel__redis_int(&command, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        cel__redis_word2(&command, CEL_VIEW("celeriac-beat-"), list[i].entry);
    cel__redis_word(&command, cel__view(ticks->owner));
    cel__redis_int(&command, ticks->lease_ms);
    cel__redis_int(&command, KEEP_S);
    for (size_t i = 0; i < count; i++) {
        op->asked[i].verb = list[i].verb;
        op->asked[i].due_us = list[i].due_us;
        cel__redis_int(&command, (int64_t)list[i].verb);
        cel__redis_int(&command, list[i].last_us);
        cel__redis_int(&command, list[i].due_us);
    }
    code = cel__redis_send(ticks->commands, &op->request, &command, err);
    cel__buf_done(&command);
    if (code != CEL_OK)
        cel__free(op);
    return code;
}

static void free_ticks(struct redis_ticks *ticks)
{
    cel__redis_url_done(&ticks->url);
    cel__free(ticks);
}

static cel_code open_redis(cel_ticks **out, const cel_ticks_options *options, cel_error *err)
{
    struct redis_ticks *ticks = cel__calloc(1, sizeof *ticks);
    cel_code code;

    if (!ticks)
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    ticks->base.ops = &cel__redis_ticks_ops;
    ticks->lease_ms = options->lease_ms;
    snprintf(ticks->owner, sizeof ticks->owner, "%.*s", CEL_VIEW_ARG(options->owner));
    code = cel__redis_url_read(&ticks->url, options->url, err);
    if (code == CEL_OK)
        code = cel__redis_url_master(&ticks->url, options->master_name,
                                     options->sentinel_password, err);
    if (code == CEL_OK)
        code = cel__redis_new(&ticks->commands,
                              &(cel__redis_options){.url = &ticks->url,
                                                    .loop = options->loop,
                                                    .clock = options->clock,
                                                    .log = options->log,
                                                    .what = "beat's records"},
                              err);
    if (code != CEL_OK) {
        free_ticks(ticks);
        return code;
    }
    *out = &ticks->base;
    return CEL_OK;
}

static void on_closed(void *user)
{
    struct redis_ticks *ticks = user;

    if (ticks->closed)
        ticks->closed(ticks->closed_user);
    free_ticks(ticks);
}

static void close_redis(cel_ticks *base, void (*closed)(void *user), void *user)
{
    struct redis_ticks *ticks = (struct redis_ticks *)base;

    ticks->closed = closed;
    ticks->closed_user = user;
    cel__redis_close(ticks->commands, on_closed, ticks);
}

const cel_ticks_ops cel__redis_ticks_ops = {
    .schemes = "redis,rediss,redis+socket,socket,unix,sentinel",
    .open = open_redis,
    .close = close_redis,
    .submit = submit_redis,
};
