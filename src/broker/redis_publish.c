/* redis_publish.c - publishing and declaring.
 *
 * A batch is one call of a script: all of it or nothing. The connection sends it again if it was
 * lost before the answer came; the number in it lets the script know what it has done. */
#include <string.h>

#include <uthash.h>

#include "broker/redis_impl.h"
#include "core/jscan.h"
#include "core/mem.h"

#define KNOWN_MAX 10000

struct rq_known {
    UT_hash_handle hh;
    char key[];
};

struct batch {
    cel__redis_request request;
    rq_broker *broker;
    cel_broker_cb cb;
    void *user;
};

/* ---- declaring ---- */

void cel__rq_forget_declared(rq_broker *broker)
{
    struct rq_known *known, *next;

    HASH_ITER(hh, broker->known, known, next)
    {
        HASH_DEL(broker->known, known);
        cel__free(known);
    }
}

/* True if it is new. */
static bool note(rq_broker *broker, char kind, cel_view name)
{
    struct rq_known *known;
    char key[300];

    if (name.len > sizeof key - 1)
        return true;
    key[0] = kind;
    if (name.len)
        memcpy(key + 1, name.ptr, name.len);
    HASH_FIND(hh, broker->known, key, name.len + 1, known);
    if (known)
        return false;
    if (HASH_COUNT(broker->known) >= KNOWN_MAX)
        cel__rq_forget_declared(broker);
    known = cel__malloc(sizeof *known + name.len + 1);
    if (!known)
        return true;
    memcpy(known->key, key, name.len + 1);
    HASH_ADD(hh, broker->known, key, name.len + 1, known);
    return true;
}

/* The regular expression that kombu makes of a topic's key: others match with it. */
static void add_pattern(cel__buf *buf, cel_view key)
{
    cel__buf_add_byte(buf, '^');
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool alone =
            (i == 0 || key.ptr[i - 1] == '.') && (i + 1 == key.len || key.ptr[i + 1] == '.');

        if (c == '*' && alone) {
            cel__buf_add_str(buf, ".*?[^\\.]");
            continue;
        }
        if (c == '#' && alone) {
            cel__buf_add_str(buf, ".*?");
            continue;
        }
        if (strchr("()[]{}?*+-|^$\\.&~# \t\n\r\v\f", c)) /* as re.escape() */
            cel__buf_add_byte(buf, '\\');
        cel__buf_add_byte(buf, c);
    }
    cel__buf_add_byte(buf, '$');
}

static void change_binding(rq_broker *broker,
                           const char *verb,
                           cel_view queue,
                           cel_view exchange,
                           cel_view key,
                           bool topic)
{
    cel_view sep = cel__view(broker->settings.sep);
    cel__buf command = {0}, name = {0}, member = {0};

    cel__buf_add_str(&name, broker->settings.prefix);
    cel__buf_add_str(&name, "_kombu.binding.");
    cel__buf_add_view(&name, exchange);
    cel__buf_add_view(&member, key);
    cel__buf_add_view(&member, sep);
    if (topic)
        add_pattern(&member, key);
    cel__buf_add_view(&member, sep);
    cel__buf_add_view(&member, queue);
    cel__redis_begin(&command, 3);
    cel__rq_word(&command, verb);
    cel__redis_word(&command, cel__buf_view(&name));
    cel__redis_word(&command, cel__buf_view(&member));
    command.failed = command.failed || name.failed || member.failed;
    cel__buf_done(&name);
    cel__buf_done(&member);
    cel__rq_do(broker, &command);
}

static void
add_binding(rq_broker *broker, cel_view queue, cel_view exchange, cel_view key, bool topic)
{
    change_binding(broker, "SADD", queue, exchange, key, topic);
}

void cel__rq_bind_listener(rq_consumer *consumer, bool bound)
{
    const cel_listening *listening = &consumer->options.listening;

    if (listening->kind == CEL_EXCHANGE_DIRECT && consumer->queue_count > 0)
        change_binding(consumer->broker, bound ? "SADD" : "SREM", consumer->queues[0],
                       listening->exchange, listening->pattern, false);
}

bool cel__rq_describe(const rq_broker *broker, cel_view queue, cel_queue_decl *out)
{
    *out = (cel_queue_decl){.max_priority = -1};
    return broker->describe && broker->describe(broker->describe_user, queue, out);
}

/* Further bindings of the configuration: [{"exchange": ..., "routing_key": ...}]. */
static void bind_more(rq_broker *broker, cel_view queue, const cel_queue_decl *decl, bool topic)
{
    cel_jvalue one;
    cel_jscan scan;

    cel__jscan_array(&scan, (cel_jvalue){CEL_JSON_ARRAY, decl->bindings});
    while (decl->bindings.ptr && cel__jscan_next(&scan, &one)) {
        cel__buf exchange = {0}, key = {0};

        if (cel__jscan_string(cel__jscan_get(one, "exchange"), &exchange) && exchange.len > 0) {
            cel__jscan_string(cel__jscan_get(one, "routing_key"), &key);
            add_binding(broker, queue, cel__buf_view(&exchange), cel__buf_view(&key), topic);
        }
        cel__buf_done(&exchange);
        cel__buf_done(&key);
    }
}

void cel__rq_declare(rq_broker *broker, cel_view queue)
{
    cel_queue_decl decl;
    bool topic;

    if (!note(broker, 'q', queue))
        return;
    if (!cel__rq_describe(broker, queue, &decl) || decl.exchange.len == 0) {
        add_binding(broker, queue, queue, queue, false);
        return;
    }
    topic = cel__view_is(decl.exchange_type, "topic");
    if (decl.passive || cel__view_is(decl.exchange_type, "fanout"))
        return;
    add_binding(broker, queue, decl.exchange, decl.routing_key, topic);
    bind_more(broker, queue, &decl, topic);
}

/* ---- exchanges ---- */

struct search {
    rq_broker *broker;
    bool fanout;
};

static void visit(void *to, cel_view queue)
{
    struct search *search = to;
    cel_queue_decl decl;

    if (cel__rq_describe(search->broker, queue, &decl) &&
        cel__view_is(decl.exchange_type, "fanout"))
        search->fanout = true;
    else
        cel__rq_declare(search->broker, queue);
}

/* Declares what is described as bound to the exchange; true if it is a fanout one. */
static bool prepare_exchange(rq_broker *broker, cel_view exchange)
{
    struct search search = {broker, false};

    if (broker->queues_of)
        broker->queues_of(broker->describe_user, exchange, visit, &search);
    return search.fanout;
}

void cel__rq_channel(cel__buf *buf,
                     const rq_settings *settings,
                     cel_view exchange,
                     cel_view key)
{
    cel__buf_add_str(buf, settings->fanout);
    cel__buf_add_view(buf, exchange);
    if (key.len > 0 && settings->fanout_patterns) {
        cel__buf_add_byte(buf, '/');
        cel__buf_add_view(buf, key);
    }
}

/* ---- publishing ---- */

static cel_code check(const cel_message *message, cel_error *err)
{
    if (message->exchange.len == 0)
        return cel__rq_check_queue(message->routing_key, err);
    if (message->exchange.len > 255 ||
        memchr(message->exchange.ptr, '\0', message->exchange.len))
        return cel_error_set(err, CEL_EINVAL,
                             "exchange '%.40s': longer than 255 bytes, or with a NUL",
                             message->exchange.ptr);
    return CEL_OK;
}

typedef enum route {
    ROUTE_QUEUE,
    ROUTE_REPLY,
    ROUTE_LATER,
    ROUTE_EXCHANGE,
    ROUTE_FANOUT,
} route;

static route choose(rq_broker *broker, const cel_message *message)
{
    if (message->kind == CEL_EXCHANGE_TOPIC || message->kind == CEL_EXCHANGE_FANOUT)
        return ROUTE_FANOUT; /* the first, too: as Celery has it for events on Redis */
    if (message->kind == CEL_EXCHANGE_DIRECT)
        return ROUTE_EXCHANGE;
    if (message->exchange.len > 0)
        return prepare_exchange(broker, message->exchange) ? ROUTE_FANOUT : ROUTE_EXCHANGE;
    if (message->existing)
        return ROUTE_REPLY;
    cel__rq_declare(broker, message->routing_key);
    return message->eta_ms > cel__clock_wall_ms(broker->clock) ? ROUTE_LATER : ROUTE_QUEUE;
}

/* Whether `next` can be told in the group of `first`. */
static bool
same_group(const rq_broker *broker, const cel_message *first, const cel_message *next)
{
    return first->kind == next->kind && first->eta_ms == next->eta_ms &&
           first->existing == next->existing &&
           cel__rq_step(&broker->settings, first->priority) ==
               cel__rq_step(&broker->settings, next->priority) &&
           cel__view_eq(first->exchange, next->exchange) &&
           cel__view_eq(first->routing_key, next->routing_key);
}

/* The step's part of a list's name. */
static void step_word(cel__buf *buf, const rq_settings *settings, size_t step)
{
    char number[16];

    snprintf(number, sizeof number, "%d", settings->steps[step]);
    if (settings->steps[step] == 0)
        cel__redis_word(buf, CEL_VIEW(""));
    else
        cel__redis_word2(buf, cel__view(settings->sep), cel__view(number));
}

/* The five words of a group, see redis_lua.c. */
static void add_route(cel__buf *buf, rq_broker *broker, const cel_message *message)
{
    const rq_settings *settings = &broker->settings;
    size_t step = cel__rq_step(settings, message->priority);
    static const char kinds[] = "qrexf"; /* as in `route` */
    route to = choose(broker, message);
    cel__buf text = {0};

    cel__redis_word(buf, (cel_view){kinds + to, 1});
    if (to == ROUTE_FANOUT)
        cel__rq_channel(&text, settings, message->exchange, message->routing_key);
    if (to == ROUTE_LATER) {
        cel__buf_add_byte(&text, (char)('a' + step));
        cel__buf_add_json(&text, message->routing_key);
    }
    if (to == ROUTE_QUEUE)
        cel__rq_list_word(buf, settings, message->routing_key, step);
    else if (to == ROUTE_FANOUT)
        cel__redis_word(buf, cel__buf_view(&text));
    else
        cel__redis_word(buf, to == ROUTE_EXCHANGE ? message->exchange : message->routing_key);
    if (to == ROUTE_REPLY || to == ROUTE_LATER)
        cel__rq_list_word(buf, settings, message->routing_key, step);
    else
        cel__redis_word(buf, message->routing_key.ptr ? message->routing_key : CEL_VIEW(""));
    if (to == ROUTE_LATER)
        cel__redis_int(buf, message->eta_ms);
    else if (to == ROUTE_EXCHANGE)
        step_word(buf, settings, step);
    else
        cel__redis_word(buf, CEL_VIEW(""));
    cel__redis_word(buf, to == ROUTE_LATER ? cel__buf_view(&text) : CEL_VIEW(""));
    buf->failed = buf->failed || text.failed;
    cel__buf_done(&text);
}

static size_t
add_groups(cel__buf *buf, rq_broker *broker, const cel_message *messages, size_t count)
{
    cel__buf text = {0};
    size_t words = 0, end;

    for (size_t at = 0; at < count && !buf->failed; at = end) {
        for (end = at + 1; end < count; end++)
            if (!same_group(broker, messages + at, messages + end))
                break;
        add_route(buf, broker, messages + at);
        cel__redis_int(buf, (int64_t)(end - at));
        words += 6 + end - at;
        for (size_t i = at; i < end; i++) {
            cel__buf_reset(&text);
            cel__rq_envelope(&text, messages + i);
            cel__redis_word(buf, cel__buf_view(&text));
            buf->failed = buf->failed || text.failed;
        }
    }
    cel__buf_done(&text);
    return words;
}

static cel_code not_found(cel_error *err, const redisReply *reply)
{
    const char *a = reply->element[1]->str, *b = reply->element[2]->str;

    if (strcmp(reply->element[0]->str, "gone") == 0)
        return cel_error_set(err, CEL_ENOENT, "the reply queue '%.100s' is gone", a);
    return cel_error_set(err, CEL_ENOENT,
                         "exchange '%.80s': no queue is bound for the routing key '%.80s'", a,
                         b);
}

static void
on_published(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct batch *batch = (struct batch *)request;
    rq_broker *broker = batch->broker;
    cel_error own;

    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
        not_found(&own, reply);
        err = &own;
    }
    if (!err && !broker->closing)
        cel__rq_wake_all(broker); /* the server does not tell of what we have done ourselves */
    if (batch->cb)
        batch->cb(batch->user, err ? err->code : CEL_OK, err);
    cel__free(batch);
    cel__rq_answered(broker);
}

static void begin_call(cel__buf *command, rq_broker *broker, size_t words)
{
    const rq_settings *settings = &broker->settings;

    cel__rq_call(broker, command, RQ_PUBLISH, 0, 7 + words);
    cel__rq_word(command, settings->prefix);
    cel__rq_word(command, settings->unacked);
    cel__rq_word(command, settings->index);
    cel__rq_word(command, settings->sep);
    cel__rq_word(command, broker->owner);
    cel__redis_int(command, (int64_t)++broker->batches);
    cel__rq_seconds(command, settings->visibility_ms);
}

cel_code cel__rq_publish(cel_broker *base,
                         const cel_message *messages,
                         size_t count,
                         cel_broker_cb cb,
                         void *user,
                         cel_error *err)
{
    rq_broker *broker = (rq_broker *)base;
    cel__buf command = {0}, groups = {.max = (size_t)512 << 20};
    cel_code code = CEL_OK;
    struct batch *batch;

    if (broker->closing)
        return cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    for (size_t i = 0; i < count && code == CEL_OK; i++)
        code = check(messages + i, err);
    if (code != CEL_OK)
        return code;
    size_t words = add_groups(&groups, broker, messages, count);
    begin_call(&command, broker, words);
    cel__buf_add_view(&command, cel__buf_view(&groups));
    command.failed = command.failed || groups.failed;
    cel__buf_done(&groups);
    batch = cel__malloc(sizeof *batch);
    if (!batch) {
        cel__buf_done(&command);
        return cel_error_set(err, CEL_ENOMEM, "no memory for %zu messages", count);
    }
    *batch = (struct batch){{.done = on_published}, broker, cb, user};
    code = cel__rq_send(broker, &batch->request, &command, err);
    if (code != CEL_OK)
        cel__free(batch);
    return code;
}
