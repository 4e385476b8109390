/* amqp_delay.c - messages that wait for their ETA in the server, where kombu (5.5) lets them wait.
 *
 *   celery_delayed_27 -1-> queue, 2^27 s --+        A topic exchange and a queue for each bit of
 *          |0                              |        the delay in seconds. The routing key begins
 *   celery_delayed_26 <--------------------+        with the bits: "0.0. ... .1.1.celery". Where
 *          | ...                                    a bit is 1 the message waits in the queue,
 *   celery_delayed_0 -1-> queue, 1 s ------+        which dead-letters it to the next exchange.
 *          |0                              |
 *   celery_delayed_delivery <--------------+        Here all arrive, and go where the rest of
 *                                                   the key says.
 *
 * To a queue: it is bound to celery_delayed_delivery by 28 '*' and its name; kombu has no such
 * bindings, but leaves a queue on a direct exchange to the workers' memory. To a topic exchange:
 * bindings "#.<key>", to it and from it, which are kombu's.
 *
 * The part of a second that is left is the consumer's to wait, as is all of it where the server
 * refuses one of these declarations: then the message goes out at once, its header `eta` says
 * the rest, and a warning says why. */
#include <stdio.h>
#include <string.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"

#define LEVELS      28
#define BITS_LEN    ((size_t)(2 * LEVELS))       /* "0.1. ... 0." */
#define MAX_SECONDS (((int64_t)1 << LEVELS) - 1) /* eight years and a half */
#define PREFIX      "celery_delayed_"
#define DELIVERY    "celery_delayed_delivery"
#define FIRST       "celery_delayed_27"
#define RETRY_MS    60000 /* how long a refusal is believed */

static amqp_bytes_t as_bytes(cel_view view)
{
    return (amqp_bytes_t){view.len, (void *)view.ptr};
}

/* ---- the levels ---- */

/* celery_delayed_<level>; level -1 is where all arrive. */
static amqp_bytes_t level_name(char name[32], int level)
{
    if (level < 0)
        return amqp_cstring_bytes(DELIVERY);
    snprintf(name, 32, "celery_delayed_%d", level);
    return amqp_cstring_bytes(name);
}

/* "*.*.1.#": what level takes whose bit is `bit`. */
static amqp_bytes_t level_key(char key[BITS_LEN + 4], int level, char bit)
{
    char *at = key;

    for (int i = LEVELS - 1; i > level; i--) {
        *at++ = '*';
        *at++ = '.';
    }
    *at++ = bit;
    memcpy(at, ".#", 3);
    return amqp_cstring_bytes(key);
}

static amqp_table_entry_t text_entry(const char *key, amqp_bytes_t text)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(key)};

    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = text;
    return entry;
}

/* None of these waits for its answer: a refusal closes the channel, and the next call tells. */
static void send_declare(amqp_link *link, amqp_method_number_t method, void *fields)
{
    if (!link->broken)
        cel__amqp_ok(link, amqp_send_method(link->conn, AMQP_CH_ADMIN, method, fields));
}

static void declare_exchange(amqp_link *link, int level)
{
    char name[32];
    amqp_exchange_declare_t declare = {.exchange = level_name(name, level),
                                       .type = amqp_cstring_bytes("topic"),
                                       .durable = 1,
                                       .nowait = 1};

    send_declare(link, AMQP_EXCHANGE_DECLARE_METHOD, &declare);
}

static void declare_queue(amqp_link *link, int level, bool passive)
{
    char name[32], next[32];
    bool quorum = !link->broker->delay_classic;
    amqp_table_entry_t arguments[] = {
        text_entry("x-queue-type", amqp_cstring_bytes(quorum ? "quorum" : "classic")),
        text_entry("x-overflow", amqp_cstring_bytes("reject-publish")),
        {.key = amqp_cstring_bytes("x-message-ttl")},
        text_entry("x-dead-letter-exchange", level_name(next, level - 1)),
        text_entry("x-dead-letter-strategy", amqp_cstring_bytes("at-least-once")),
    };
    amqp_queue_declare_t declare = {.queue = level_name(name, level),
                                    .passive = passive,
                                    .durable = 1,
                                    .nowait = 1,
                                    .arguments = {quorum ? 5 : 4, arguments}};

    arguments[2].value.kind = AMQP_FIELD_KIND_I64;
    arguments[2].value.value.i64 = ((int64_t)1 << level) * 1000;
    send_declare(link, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

static void bind_level(amqp_link *link, int level)
{
    char name[32], next[32], key[BITS_LEN + 4];
    amqp_queue_bind_t taken = {.queue = level_name(name, level),
                               .exchange = level_name(name, level),
                               .routing_key = level_key(key, level, '1'),
                               .nowait = 1};

    send_declare(link, AMQP_QUEUE_BIND_METHOD, &taken);
    amqp_exchange_bind_t passed = {.destination = level_name(next, level - 1),
                                   .source = level_name(name, level),
                                   .routing_key = level_key(key, level, '0'),
                                   .nowait = 1};
    send_declare(link, AMQP_EXCHANGE_BIND_METHOD, &passed);
}

/* `ours`: declares everything. Otherwise looks whether the queues are there. Ends with a call
 * that waits, and so tells of the first refusal. */
static cel_code declare_levels(amqp_link *link, bool ours, cel_error *err)
{
    cel_code code = cel__amqp_need_admin(link, err);

    if (code != CEL_OK)
        return code;
    for (int level = -1; ours && level < LEVELS; level++)
        declare_exchange(link, level);
    for (int level = 0; level < LEVELS; level++)
        declare_queue(link, level, !ours);
    for (int level = 0; ours && level < LEVELS; level++)
        bind_level(link, level);
    if (link->broken)
        return cel_error_set(err, CEL_ECONN, "%s", link->error.message);
    amqp_exchange_declare(link->conn, AMQP_CH_ADMIN, amqp_cstring_bytes(DELIVERY),
                          amqp_cstring_bytes("topic"), 1, 1, 0, 0, amqp_empty_table);
    return cel__amqp_admin_reply(link, err);
}

/* Those of others are used as they are. */
static cel_code need_levels(amqp_link *link, cel_error *err)
{
    cel_error ignored;

    if (cel__amqp_is_known(link, 'D', CEL_VIEW("")))
        return CEL_OK;
    cel_code code = declare_levels(link, true, err);
    if (code != CEL_OK && !link->broken && declare_levels(link, false, &ignored) == CEL_OK)
        code = CEL_OK;
    if (code == CEL_OK)
        cel__amqp_remember(link, 'D', CEL_VIEW(""));
    return code;
}

/* ---- where they go in the end ---- */

static cel_code bind_exchange(
    amqp_link *link, cel_view destination, cel_view source, cel_view key, cel_error *err)
{
    cel_code code = cel__amqp_need_admin(link, err);

    if (code != CEL_OK)
        return code;
    amqp_exchange_bind(link->conn, AMQP_CH_ADMIN, as_bytes(destination), as_bytes(source),
                       as_bytes(key), amqp_empty_table);
    return cel__amqp_admin_reply(link, err);
}

/* A queue whose name can be the end of a routing key and of a binding's pattern. */
static bool is_plain_name(cel_view name)
{
    for (size_t i = 0; i < name.len; i++) {
        bool word =
            (i == 0 || name.ptr[i - 1] == '.') && (i + 1 == name.len || name.ptr[i + 1] == '.');
        if (word && (name.ptr[i] == '*' || name.ptr[i] == '#'))
            return false;
    }
    return name.len > 0 && name.len <= 255 - BITS_LEN;
}

static cel_code bind_queue(amqp_link *link, cel_view queue, cel_error *err)
{
    char key[256];

    if (cel__amqp_is_known(link, 'd', queue))
        return CEL_OK;
    for (size_t i = 0; i < BITS_LEN; i += 2)
        memcpy(key + i, "*.", 2);
    memcpy(key + BITS_LEN, queue.ptr, queue.len);
    cel_code code =
        cel__amqp_bind(link, queue, CEL_VIEW(DELIVERY), (cel_view){key, BITS_LEN + queue.len},
                       (cel_view){NULL, 0}, err);
    if (code == CEL_OK)
        cel__amqp_remember(link, 'd', queue);
    return code;
}

/* As kombu: "#.<key>", unless it begins so. False: too long. */
static bool any_bits(char out[256], cel_view key, cel_view *view)
{
    size_t skip = key.len > 0 && key.ptr[0] == '#' ? 0 : 2;

    if (key.len + skip > 255)
        return false;
    memcpy(out, "#.", skip);
    if (key.len > 0)
        memcpy(out + skip, key.ptr, key.len);
    *view = (cel_view){out, key.len + skip};
    return true;
}

static cel_code
bind_topic(amqp_link *link, cel_view queue, const cel_queue_decl *decl, cel_error *err)
{
    char text[256];
    cel_view key;

    if (cel__amqp_is_known(link, 'd', queue))
        return CEL_OK;
    if (!any_bits(text, decl->routing_key, &key))
        return cel_error_set(err, CEL_ENOTSUP, "the routing key is too long");
    cel_code code = bind_exchange(link, decl->exchange, CEL_VIEW(DELIVERY), key, err);
    if (code == CEL_OK)
        code = cel__amqp_bind(link, queue, decl->exchange, key, (cel_view){NULL, 0}, err);
    if (code == CEL_OK)
        cel__amqp_remember(link, 'd', queue);
    return code;
}

/* What is described as bound to an exchange and takes a key. */
struct search {
    amqp_link *link;
    cel_view exchange, key;
    cel_view queue; /* the last one found */
    size_t direct, topic, other;
    cel_error err;
};

static void look_at(void *user, cel_view queue)
{
    struct search *search = user;
    cel_queue_decl decl;

    cel__amqp_describe(search->link, queue, &decl);
    if (cel__view_is(decl.exchange_type, "direct") && !decl.broadcast) {
        if (!cel__view_eq(decl.routing_key, search->key))
            return;
        search->direct++;
        search->queue = queue;
    } else if (cel__view_is(decl.exchange_type, "topic") && !decl.broadcast) {
        search->topic += cel__topic_matches(decl.routing_key, search->key);
        if (search->err.code == CEL_OK)
            bind_topic(search->link, queue, &decl, &search->err);
    } else {
        search->other++;
    }
}

/* Prepares the way to where the message is to end; the rest of its key in *rest. CEL_ENOTSUP:
 * that is not known, or not one place. */
static cel_code
prepare_end(amqp_link *link, const cel_message *message, cel_view *rest, cel_error *err)
{
    const amqp_broker *broker = link->broker;
    struct search search = {
        .link = link, .exchange = message->exchange, .key = message->routing_key};

    *rest = message->routing_key;
    if (message->exchange.len > 0) {
        if (broker->queues_of)
            broker->queues_of(broker->describe_user, message->exchange, look_at, &search);
        if (search.err.code != CEL_OK) {
            *err = search.err;
            return err->code;
        }
        bool topic = search.topic > 0 && search.direct + search.other == 0;
        if (topic && rest->len > 0 && rest->len <= 255 - BITS_LEN)
            return CEL_OK;
        if (search.direct != 1 || search.topic + search.other > 0)
            return cel_error_set(err, CEL_ENOTSUP, "no one queue is described for it");
        *rest = search.queue;
    }
    if (!is_plain_name(*rest))
        return cel_error_set(err, CEL_ENOTSUP,
                             "the name of its queue is too long or a pattern");
    return bind_queue(link, *rest, err);
}

/* ---- publishing ---- */

/* "0.0. ... .1." and the rest. */
static cel_view write_key(char out[256], int64_t seconds, cel_view rest)
{
    for (int level = LEVELS - 1; level >= 0; level--) {
        *out++ = seconds >> level & 1 ? '1' : '0';
        *out++ = '.';
    }
    memcpy(out, rest.ptr, rest.len);
    return (cel_view){out - BITS_LEN, BITS_LEN + rest.len};
}

/* CEL_ENOTSUP: not this message, or not here. */
static cel_code
set_up(amqp_link *link, const cel_message *message, cel_view *rest, cel_error *err)
{
    int64_t now = cel__clock_mono_ms(link->broker->clock);

    if (!link->broker->delays || link->version == 0)
        return cel_error_set(err, CEL_ENOTSUP, "delayed delivery is off, or not RabbitMQ's");
    if (link->delays_failed_ms > 0 && now - link->delays_failed_ms < RETRY_MS)
        return cel_error_set(err, CEL_ENOTSUP, "the server has refused it");
    cel_code code = need_levels(link, err);
    if (code == CEL_OK)
        code = prepare_end(link, message, rest, err);
    if (code == CEL_OK)
        link->delays_failed_ms = 0;
    if (code == CEL_OK || code == CEL_ENOTSUP || link->broken)
        return code;
    if (link->delays_failed_ms == 0)
        cel__warning(link->broker->log,
                     "the server does not let messages wait for their ETA, so workers hold "
                     "them in memory (broker_native_delayed_delivery_queue_type = None would "
                     "not ask it to): %s",
                     err->message);
    link->delays_failed_ms = now > 0 ? now : 1;
    return cel_error_set(err, CEL_ENOTSUP, "the server has refused it");
}

cel_code cel__amqp_delay(amqp_link *link,
                         const cel_message *message,
                         char key[256],
                         cel_view *routing_key,
                         cel_error *err)
{
    int64_t seconds = (message->eta_ms - cel__clock_wall_ms(link->broker->clock)) / 1000;
    cel_error why = {0};
    cel_view rest = {NULL, 0};

    if (message->eta_ms == 0 || seconds < 1)
        return cel_error_set(err, CEL_ENOTSUP, "it is due");
    if (seconds > MAX_SECONDS)
        seconds = MAX_SECONDS;
    cel_code code = set_up(link, message, &rest, &why);
    if (code != CEL_OK)
        return cel_error_set(err, code, "it cannot wait in the server: %s", why.message);
    *routing_key = write_key(key, seconds, rest);
    return CEL_OK;
}

cel_view cel__amqp_delay_exchange(void)
{
    return CEL_VIEW(FIRST);
}

cel_code cel__amqp_bind_delayed(amqp_link *link, cel_view queue, cel_error *err)
{
    cel_queue_decl decl;
    cel_error why = {0};

    cel__amqp_describe(link, queue, &decl);
    if (!link->broker->delays || link->version == 0)
        return CEL_OK;
    cel_code code = need_levels(link, &why);
    if (code == CEL_OK && cel__view_is(decl.exchange_type, "topic"))
        code = bind_topic(link, queue, &decl, &why);
    if (code == CEL_OK || link->broken)
        return code == CEL_OK ? code : cel_error_set(err, code, "%s", why.message);
    if (link->delays_failed_ms == 0)
        cel__warning(link->broker->log, "delayed delivery to queue '%.*s' is not set up: %s",
                     CEL_VIEW_ARG(queue), why.message);
    return CEL_OK;
}

/* ---- receiving ---- */

bool cel__amqp_undelay(amqp_link *link, amqp_incoming *incoming, cel_view queue)
{
    cel_view exchange = {incoming->exchange, incoming->exchange_len};
    cel_queue_decl decl;

    /* The exchange is the one after the last queue that it waited in. */
    if (exchange.len < strlen(PREFIX) || memcmp(exchange.ptr, PREFIX, strlen(PREFIX)) != 0 ||
        incoming->key_len < BITS_LEN)
        return false;
    for (size_t i = 0; i < BITS_LEN; i += 2) {
        if ((incoming->key[i] != '0' && incoming->key[i] != '1') || incoming->key[i + 1] != '.')
            return false;
    }
    cel__amqp_describe(link, queue, &decl);
    bool topic = cel__view_is(decl.exchange_type, "topic") && decl.exchange.len < 256;
    cel_view from = topic ? decl.exchange : CEL_VIEW("");
    cel_view key =
        topic ? (cel_view){incoming->key + BITS_LEN, incoming->key_len - BITS_LEN} : queue;
    memmove(incoming->key, key.ptr, key.len);
    incoming->key_len = key.len;
    memcpy(incoming->exchange, from.ptr, from.len);
    incoming->exchange_len = from.len;
    return true;
}

void cel__amqp_drop_deaths(amqp_table_t *headers)
{
    static const char *const prefixes[] = {"x-death", "x-first-death-", "x-last-death-",
                                           "x-delivery-count"};
    int kept = 0;

    for (int i = 0; i < headers->num_entries; i++) {
        amqp_bytes_t key = headers->entries[i].key;
        bool dropped = false;
        for (size_t n = 0; n < sizeof prefixes / sizeof *prefixes; n++) {
            size_t len = strlen(prefixes[n]);
            dropped = dropped || (key.len >= len && memcmp(key.bytes, prefixes[n], len) == 0);
        }
        if (!dropped)
            headers->entries[kept++] = headers->entries[i];
    }
    headers->num_entries = kept;
}
