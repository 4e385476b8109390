/* amqp_declare.c - declaring queues, exchanges and bindings as Celery does, and asking for
 * queues.
 *
 * Everything is declared once per connection, on a channel that does nothing else: a refusal
 * closes it. What exists with other properties is used as it is, with a warning. */
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"
#include "core/jscan.h"
#include "core/mem.h"

#define KNOWN_MAX 10000

/* What was declared on this connection. */
struct amqp_known {
    UT_hash_handle hh;
    bool foreign; /* a queue that exists with other properties than ours */
    char key[];   /* its kind, and its name */
};

/* ---- what is known ---- */

static size_t key_of(char key[257], char kind, cel_view name)
{
    key[0] = kind;
    memcpy(key + 1, name.ptr, name.len < 256 ? name.len : 256);
    return 1 + (name.len < 256 ? name.len : 256);
}

static struct amqp_known *find_known(amqp_link *link, char kind, cel_view name)
{
    struct amqp_known *known;
    char key[257];
    size_t len = key_of(key, kind, name);

    HASH_FIND(hh, link->known, key, len, known);
    return known;
}

void cel__amqp_forget_all(amqp_link *link)
{
    struct amqp_known *known, *next;

    HASH_ITER(hh, link->known, known, next)
    {
        HASH_DEL(link->known, known);
        cel__free(known);
    }
}

static void remember(amqp_link *link, char kind, cel_view name, bool foreign)
{
    struct amqp_known *known = cel__calloc(1, sizeof *known + 257);

    if (!known)
        return;
    if (HASH_COUNT(link->known) >= KNOWN_MAX)
        cel__amqp_forget_all(link);
    size_t len = key_of(known->key, kind, name);
    known->foreign = foreign;
    HASH_ADD_KEYPTR(hh, link->known, known->key, len, known);
}

static void forget(amqp_link *link, char kind, cel_view name)
{
    struct amqp_known *known = find_known(link, kind, name);

    if (known) {
        HASH_DEL(link->known, known);
        cel__free(known);
    }
}

void cel__amqp_forget(amqp_link *link, cel_view queue)
{
    forget(link, 'q', queue);
    forget(link, 'd', queue);
}

void cel__amqp_remember(amqp_link *link, char kind, cel_view name)
{
    remember(link, kind, name, false);
}

bool cel__amqp_is_known(amqp_link *link, char kind, cel_view name)
{
    return find_known(link, kind, name) != NULL;
}

/* ---- the channel ---- */

cel_code cel__amqp_need_admin(amqp_link *link, cel_error *err)
{
    if (link->admin_open)
        return CEL_OK;
    cel_code code = cel__amqp_open_channel(link, AMQP_CH_ADMIN, err);
    link->admin_open = code == CEL_OK;
    return code;
}

cel_code cel__amqp_admin_reply(amqp_link *link, cel_error *err)
{
    bool closed;
    cel_code code = cel__amqp_reply(link, AMQP_CH_ADMIN, &closed, err);

    if (closed)
        link->admin_open = false;
    amqp_maybe_release_buffers_on_channel(link->conn, AMQP_CH_ADMIN);
    recycle_amqp_pool(&link->pool);
    return code;
}

static amqp_bytes_t as_bytes(cel_view view)
{
    return (amqp_bytes_t){view.len, (void *)view.ptr};
}

/* Absent: an empty table. */
static cel_code
load(amqp_link *link, amqp_table_t *table, cel_view json, const char *what, cel_error *err)
{
    cel_error why = {0};

    *table = amqp_empty_table;
    if (!json.ptr || cel__amqp_table_load(table, json, &link->pool, &why) == CEL_OK)
        return CEL_OK;
    return cel_error_set(err, CEL_ECONFIG, "%s: %s", what, why.message);
}

cel_code cel__amqp_declare_exchange(
    amqp_link *link, cel_view name, cel_view type, const cel_queue_decl *decl, cel_error *err)
{
    amqp_table_t arguments;
    cel_code code = cel__amqp_need_admin(link, err);

    if (code == CEL_OK)
        code = load(link, &arguments, decl ? decl->exchange_arguments : (cel_view){NULL, 0},
                    "the arguments of the exchange", err);
    if (code != CEL_OK)
        return code;
    amqp_exchange_declare(link->conn, AMQP_CH_ADMIN, as_bytes(name), as_bytes(type), 0,
                          !(decl && decl->exchange_transient),
                          decl && decl->exchange_auto_delete, 0, arguments);
    return cel__amqp_admin_reply(link, err);
}

cel_code cel__amqp_declare_queue(amqp_link *link,
                                 cel_view name,
                                 const cel_queue_decl *decl,
                                 bool passive,
                                 amqp_question *out,
                                 cel_error *err)
{
    amqp_table_t table;
    cel_code code = cel__amqp_need_admin(link, err);

    if (code == CEL_OK)
        code = load(link, &table, passive ? (cel_view){NULL, 0} : decl->arguments,
                    "the arguments of the queue", err);
    if (code != CEL_OK)
        return code;
    const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
        link->conn, AMQP_CH_ADMIN, as_bytes(name), passive, decl ? decl->durable : 1,
        decl && decl->exclusive, decl && decl->auto_delete, table);
    if (ok && out) {
        out->found = true;
        out->count = ok->message_count;
        out->consumers = ok->consumer_count;
    }
    return cel__amqp_admin_reply(link, err);
}

cel_code cel__amqp_bind(amqp_link *link,
                        cel_view queue,
                        cel_view exchange,
                        cel_view key,
                        cel_view arguments,
                        cel_error *err)
{
    amqp_table_t table;
    cel_code code = cel__amqp_need_admin(link, err);

    if (code == CEL_OK)
        code = load(link, &table, arguments, "the arguments of the binding", err);
    if (code != CEL_OK)
        return code;
    amqp_queue_bind(link->conn, AMQP_CH_ADMIN, as_bytes(queue), as_bytes(exchange),
                    as_bytes(key), table);
    return cel__amqp_admin_reply(link, err);
}

/* ---- queues ---- */

static bool is_reserved(cel_view name)
{
    return name.len >= 4 && memcmp(name.ptr, "amq.", 4) == 0;
}

/* As described, or as one that nobody described. */
void cel__amqp_describe(amqp_link *link, cel_view queue, cel_queue_decl *decl)
{
    const amqp_broker *broker = link->broker;

    if (!broker->describe || !broker->describe(broker->describe_user, queue, decl))
        *decl = (cel_queue_decl){.durable = true, .max_priority = -1};
    if (decl->exchange.len == 0) {
        decl->exchange = decl->routing_key = queue;
        decl->exchange_type = CEL_VIEW("direct");
    }
}

/* The exchange, once. One that exists with other properties is used as it is. */
static cel_code use_exchange(
    amqp_link *link, cel_view name, cel_view type, const cel_queue_decl *decl, cel_error *err)
{
    cel_error why = {0};

    if (decl->exchange_passive || is_reserved(name) || find_known(link, 'x', name))
        return CEL_OK;
    cel_code code = cel__amqp_declare_exchange(link, name, type, decl, &why);
    if (code == CEL_EINVAL && !link->broken) { /* 406 */
        cel__warning(link->broker->log,
                     "exchange '%.*s' exists with other properties, it is used as it is: %s",
                     CEL_VIEW_ARG(name), why.message);
        code = CEL_OK;
    }
    if (code != CEL_OK)
        return cel_error_set(err, code, "exchange '%.*s': %s", CEL_VIEW_ARG(name), why.message);
    remember(link, 'x', name, false);
    return CEL_OK;
}

static cel_view text_of(cel_jvalue value)
{
    if (value.type != CEL_JSON_STRING)
        return (cel_view){NULL, 0};
    return (cel_view){value.text.ptr + 1,
                      value.text.len - 2}; /* names with escapes: not here */
}

static cel_view member(cel_jvalue object, const char *name, cel_jvalue *out)
{
    cel_jscan scan;
    cel_jvalue key, value;

    *out = (cel_jvalue){0};
    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (cel__view_is(text_of(key), name)) {
            *out = value;
            return text_of(value);
        }
    }
    return (cel_view){NULL, 0};
}

/* One of Queue(bindings=[...]). */
static cel_code
bind_further(amqp_link *link, cel_view queue, cel_jvalue binding, cel_error *err)
{
    cel_queue_decl of = {0};
    cel_jvalue exchange, ignored, arguments;
    cel_view name = member(binding, "exchange", &exchange), type = {NULL, 0};
    cel_view key = member(binding, "routing_key", &ignored);

    (void)member(binding, "arguments", &arguments);
    if (exchange.type == CEL_JSON_OBJECT) {
        name = member(exchange, "name", &ignored);
        type = member(exchange, "type", &ignored);
        (void)member(exchange, "durable", &ignored);
        of.exchange_transient = ignored.type == CEL_JSON_FALSE;
    }
    if (name.len == 0)
        return CEL_OK;
    cel_code code =
        use_exchange(link, name, type.len > 0 ? type : CEL_VIEW("direct"), &of, err);
    if (code != CEL_OK)
        return code;
    return cel__amqp_bind(
        link, queue, name, key.ptr ? key : CEL_VIEW(""),
        arguments.type == CEL_JSON_OBJECT ? arguments.text : (cel_view){NULL, 0}, err);
}

static cel_code
bind_bindings(amqp_link *link, cel_view queue, const cel_queue_decl *decl, cel_error *err)
{
    cel_jvalue array, binding;
    cel_jscan scan;
    cel_code code = CEL_OK;

    if (!decl->bindings.ptr || cel__jscan_value(&array, decl->bindings, NULL) != CEL_OK ||
        array.type != CEL_JSON_ARRAY)
        return CEL_OK;
    cel__jscan_array(&scan, array);
    while (code == CEL_OK && cel__jscan_next(&scan, &binding)) {
        if (binding.type == CEL_JSON_OBJECT)
            code = bind_further(link, queue, binding, err);
    }
    return code;
}

static bool is_direct(const cel_queue_decl *decl)
{
    return cel__view_is(decl->exchange_type, "direct");
}

/* The default exchange delivers to a queue without a binding, so on a direct exchange a refusal
 * does no harm: the binding is there for programs that look for it. */
static cel_code
bind_queue(amqp_link *link, cel_view queue, const cel_queue_decl *decl, cel_error *err)
{
    cel_error why = {0};
    cel_code code = use_exchange(link, decl->exchange, decl->exchange_type, decl, &why);

    if (code == CEL_OK)
        code = cel__amqp_bind(link, queue, decl->exchange,
                              decl->routing_key.ptr ? decl->routing_key : CEL_VIEW(""),
                              decl->binding_arguments, &why);
    if (code == CEL_OK)
        code = bind_bindings(link, queue, decl, &why);
    if (code == CEL_OK)
        return CEL_OK;
    if (!is_direct(decl) || link->broken)
        return cel_error_set(err, code, "queue '%.*s' is not bound: %s", CEL_VIEW_ARG(queue),
                             why.message);
    cel__debug(link->broker->log, "queue '%.*s' is not bound to an exchange: %s",
               CEL_VIEW_ARG(queue), why.message);
    return CEL_OK;
}

/* *other: it exists, but not as it is described. */
static cel_code make_queue(
    amqp_link *link, cel_view queue, const cel_queue_decl *decl, bool *other, cel_error *err)
{
    cel_error why = {0};

    *other = decl->passive || is_reserved(queue); /* the server's own: only looked at */
    cel_code code = cel__amqp_declare_queue(link, queue, decl, *other, NULL, &why);
    if (code == CEL_EINVAL && !*other && !link->broken) { /* 406 */
        cel_error first = why;
        *other = true;
        code = cel__amqp_declare_queue(link, queue, decl, true, NULL, &why);
        if (code == CEL_OK)
            cel__warning(link->broker->log,
                         "queue '%.*s' exists with other properties, it is used as it is: %s",
                         CEL_VIEW_ARG(queue), first.message);
        else if (code == CEL_ENOENT) /* the server does not take such properties */
            cel_error_set(&why, code = CEL_ECONFIG, "%s", first.message);
    }
    if (code != CEL_OK)
        return cel_error_set(err, code, "queue '%.*s': %s", CEL_VIEW_ARG(queue), why.message);
    return CEL_OK;
}

bool cel__amqp_is_quorum(const cel_queue_decl *decl)
{
    return decl->arguments.ptr &&
           memmem(decl->arguments.ptr, decl->arguments.len, "\"quorum\"", 8) != NULL;
}

cel_code
cel__amqp_declare(amqp_link *link, cel_view queue, cel_view wire, bool *foreign, cel_error *err)
{
    const struct amqp_known *known = find_known(link, 'q', wire);
    cel_queue_decl decl;
    bool other;

    if (known) {
        if (foreign)
            *foreign = known->foreign;
        return CEL_OK;
    }
    cel__amqp_describe(link, queue, &decl);
    cel_code code = make_queue(link, wire, &decl, &other, err);
    if (code == CEL_OK && !other)
        code = bind_queue(link, wire, &decl, err);
    if (link->broken)
        return cel_error_set(err, CEL_ECONN, "%s", link->error.message);
    if (code != CEL_OK)
        return code;
    other = other || cel__amqp_is_quorum(&decl);
    remember(link, 'q', wire, other);
    if (foreign)
        *foreign = other;
    return CEL_OK;
}

cel_code cel__amqp_use_listened(amqp_link *link,
                                cel_view exchange,
                                cel_exchange_kind kind,
                                cel_error *err)
{
    static const char *const types[] = {"", "topic", "fanout", "direct"};
    cel_queue_decl decl = {.exchange_transient = kind != CEL_EXCHANGE_TOPIC};

    return use_exchange(link, exchange, cel__view(types[kind]), &decl, err);
}

static void add_argument(cel__buf *buf, const char *name, int64_t ms)
{
    if (ms > 0)
        cel__buf_addf(buf, "%s\"%s\": %lld", buf->len > 1 ? ", " : "", name, (long long)ms);
}

cel_code cel__amqp_declare_reply(amqp_link *link,
                                 cel_view queue,
                                 const cel_listening *listening,
                                 cel_error *err)
{
    cel_queue_decl decl = {.exclusive = true, .auto_delete = true};
    cel__buf arguments = {0};

    cel__buf_add_byte(&arguments, '{');
    add_argument(&arguments, "x-message-ttl", listening->message_ttl_ms);
    add_argument(&arguments, "x-expires", listening->expires_ms);
    cel__buf_add_byte(&arguments, '}');
    decl.arguments = cel__buf_view(&arguments);
    cel_code code = cel__buf_check(&arguments, err);
    if (code == CEL_OK)
        code = cel__amqp_declare_queue(link, queue, &decl, false, NULL, err);
    cel__buf_done(&arguments);
    if (code != CEL_OK || listening->kind == CEL_EXCHANGE_NONE)
        return code;
    code = cel__amqp_use_listened(link, listening->exchange, listening->kind, err);
    if (code == CEL_OK)
        code = cel__amqp_bind(link, queue, listening->exchange,
                              listening->kind == CEL_EXCHANGE_FANOUT ? CEL_VIEW("")
                                                                     : listening->pattern,
                              (cel_view){NULL, 0}, err);
    return code;
}

/* ---- exchanges ---- */

struct publisher {
    amqp_link *link;
    cel_error err;
};

static void declare_member(void *user, cel_view queue)
{
    struct publisher *publisher = user;
    amqp_link *link = publisher->link;
    cel_queue_decl decl;

    if (publisher->err.code != CEL_OK)
        return;
    cel__amqp_describe(link, queue, &decl);
    if (decl.broadcast) /* its consumers make the queues */
        use_exchange(link, decl.exchange, decl.exchange_type, &decl, &publisher->err);
    else
        cel__amqp_declare(link, queue, queue, NULL, &publisher->err);
}

cel_code cel__amqp_prepare_exchange(amqp_link *link, cel_view exchange, cel_error *err)
{
    const amqp_broker *broker = link->broker;
    struct publisher publisher = {link, {0}};

    if (find_known(link, 'p', exchange))
        return CEL_OK;
    if (broker->queues_of)
        broker->queues_of(broker->describe_user, exchange, declare_member, &publisher);
    if (publisher.err.code != CEL_OK) {
        if (err)
            *err = publisher.err;
        return publisher.err.code;
    }
    remember(link, 'p', exchange, false);
    return CEL_OK;
}

void cel__amqp_forget_published(amqp_link *link, cel_view exchange)
{
    forget(link, 'p', exchange);
    forget(link, 'x', exchange);
}

/* ---- asking ---- */

static cel_code purge(amqp_link *link, amqp_question *question)
{
    cel_code code = cel__amqp_need_admin(link, &question->err);

    if (code != CEL_OK)
        return code;
    const amqp_queue_purge_ok_t *ok = amqp_queue_purge(
        link->conn, AMQP_CH_ADMIN, (amqp_bytes_t){question->name_len, question->name});
    if (ok)
        question->count = ok->message_count;
    return cel__amqp_admin_reply(link, &question->err);
}

void cel__amqp_ask(amqp_link *link, amqp_question *question)
{
    cel_view name = {question->name, question->name_len};
    cel_code code = question->purged ? purge(link, question)
                                     : cel__amqp_declare_queue(link, name, NULL, true, question,
                                                               &question->err);

    if (code == CEL_ENOENT) /* no such queue: nothing in it, nothing to tell */
        question->err.code = CEL_OK;
    if (question->err.code == CEL_ECONN)
        question->err.uncertain = question->purged != NULL;
}
