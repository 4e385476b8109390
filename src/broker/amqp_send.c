/* amqp_send.c - publishing with confirms.
 *
 * Every message is mandatory, but those for listeners: what no queue takes comes back
 * (basic.return) before it is confirmed, and fails its batch. Messages of a batch have
 * consecutive confirm tags. */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"
#include "core/mem.h"

#define SEND_AT_ONCE  512
#define SURE_TO_FIT   8000 /* bytes of JSON that fit a frame as a table, whatever they are */
#define FRAME_RESERVE 2000 /* of a header frame for what is not the table */

static void finish_batch(amqp_link *link, amqp_batch *batch)
{
    DL_DELETE2(link->unconfirmed, batch, prev, later);
    if (link->sending == batch)
        link->sending = NULL;
    cel__amqp_event(link->broker, &batch->node, AMQP_PUBLISH, batch);
}

static void set_error(amqp_batch *batch, const cel_error *err, bool uncertain)
{
    if (batch->err.code != CEL_OK)
        return;
    batch->err = *err;
    batch->err.uncertain = uncertain;
}

/* The rest of the batch is not sent. */
static void cut_batch(amqp_link *link, amqp_batch *batch, const cel_error *err)
{
    set_error(batch, err, batch->sent > 0);
    batch->left -= batch->count - batch->sent;
    batch->count = batch->sent;
    link->sending = NULL;
    if (batch->left == 0)
        finish_batch(link, batch);
}

static cel_code open_publish(amqp_link *link, cel_error *err)
{
    if (link->publish_open)
        return CEL_OK;
    cel_code code = cel__amqp_open_channel(link, AMQP_CH_PUBLISH, err);
    if (code != CEL_OK)
        return code;
    amqp_confirm_select(link->conn, AMQP_CH_PUBLISH);
    code = cel__amqp_reply(link, AMQP_CH_PUBLISH, NULL, err);
    link->publish_open = code == CEL_OK;
    link->next_seq = 1;
    return code;
}

static void
set_text(amqp_basic_properties_t *properties, amqp_bytes_t *to, cel_view text, amqp_flags_t bit)
{
    if (!text.ptr)
        return;
    *to = (amqp_bytes_t){text.len, (void *)text.ptr};
    properties->_flags |= bit;
}

static cel_code check_size(amqp_link *link, cel_view json, amqp_table_t *table, cel_error *err)
{
    size_t room = (size_t)amqp_get_frame_max(link->conn) - FRAME_RESERVE, offset = 0;

    if (json.len <= SURE_TO_FIT)
        return CEL_OK;
    amqp_bytes_t bytes = {room, cel__malloc(room)};
    if (!bytes.bytes)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
    int status = amqp_encode_table(bytes, table, &offset);
    cel__free(bytes.bytes);
    if (status != AMQP_STATUS_OK)
        return cel_error_set(err, CEL_EINVAL,
                             "the headers of a message do not fit one frame of %d bytes",
                             amqp_get_frame_max(link->conn));
    return CEL_OK;
}

static cel_code load_properties(amqp_link *link,
                                amqp_basic_properties_t *to,
                                const cel_message *message,
                                cel_error *err)
{
    cel_code code = CEL_OK;

    *to = (amqp_basic_properties_t){0};
    set_text(to, &to->content_type, message->content_type, AMQP_BASIC_CONTENT_TYPE_FLAG);
    set_text(to, &to->content_encoding, message->content_encoding,
             AMQP_BASIC_CONTENT_ENCODING_FLAG);
    set_text(to, &to->correlation_id, message->correlation_id, AMQP_BASIC_CORRELATION_ID_FLAG);
    set_text(to, &to->reply_to, message->reply_to, AMQP_BASIC_REPLY_TO_FLAG);
    set_text(to, &to->expiration, message->expiration, AMQP_BASIC_EXPIRATION_FLAG);
    if (message->delivery_mode > 0) {
        to->delivery_mode = (uint8_t)message->delivery_mode;
        to->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    }
    if (message->priority >= 0) {
        to->priority = (uint8_t)(message->priority > 255 ? 255 : message->priority);
        to->_flags |= AMQP_BASIC_PRIORITY_FLAG;
    }
    if (message->headers.ptr) {
        code = cel__amqp_table_load(&to->headers, message->headers, &link->pool, err);
        to->_flags |= AMQP_BASIC_HEADERS_FLAG;
        if (code == CEL_OK)
            code = check_size(link, message->headers, &to->headers, err);
    }
    return code;
}

static amqp_bytes_t as_bytes(cel_view view)
{
    return (amqp_bytes_t){view.len, (void *)view.ptr};
}

/* A message that cannot be sent leaves the connection as it is. */
static cel_code
send_one(amqp_link *link, const cel_message *message, bool delay_only, cel_error *err)
{
    amqp_basic_properties_t properties;
    cel_view exchange = message->exchange, key = message->routing_key;
    char delay_key[256];
    cel_code code = CEL_OK;
    bool delayed = false;

    if (message->kind != CEL_EXCHANGE_NONE)
        code = cel__amqp_use_listened(link, message->exchange, message->kind, err);
    else if (message->exchange.len > 0)
        code = cel__amqp_prepare_exchange(link, message->exchange, err);
    else if (!message->existing)
        code = cel__amqp_declare(link, message->routing_key, message->routing_key, NULL, err);
    if (code == CEL_OK && message->eta_ms > 0 && !message->existing &&
        message->kind == CEL_EXCHANGE_NONE) {
        code = cel__amqp_delay(link, message, delay_key, &key, err);
        delayed = code == CEL_OK;
        if (code == CEL_ENOTSUP && !delay_only)
            code = CEL_OK;
        if (delayed)
            exchange = cel__amqp_delay_exchange();
    }
    if (code == CEL_OK)
        code = load_properties(link, &properties, message, err);
    if (code != CEL_OK)
        return code;
    if (delayed) { /* with an expiration it would come too early; the header says it, too */
        properties._flags &= ~(amqp_flags_t)AMQP_BASIC_EXPIRATION_FLAG;
        cel__amqp_drop_deaths(&properties.headers);
    }
    int status = amqp_basic_publish(link->conn, AMQP_CH_PUBLISH, as_bytes(exchange),
                                    as_bytes(key), message->kind == CEL_EXCHANGE_NONE, 0,
                                    &properties, as_bytes(message->body));
    recycle_amqp_pool(&link->pool);
    cel__amqp_ok(link, status); /* part of it may be out: it counts as sent */
    return CEL_OK;
}

static void begin_batch(amqp_link *link)
{
    amqp_batch *batch = link->waiting;

    DL_DELETE2(link->waiting, batch, prev, later);
    DL_APPEND2(link->unconfirmed, batch, prev, later);
    batch->first_seq = link->next_seq;
    link->sending = batch;
}

bool cel__amqp_send_waiting(amqp_link *link)
{
    for (int n = 0; n < SEND_AT_ONCE; n++) {
        cel_error err = {0};

        if (link->broken || link->blocked || (!link->sending && !link->waiting))
            return false;
        cel_code code = open_publish(link, &err);
        if (link->broken)
            return false; /* nothing of it is out: it waits for the next connection */
        if (!link->sending)
            begin_batch(link);
        amqp_batch *batch = link->sending;
        if (code == CEL_OK)
            code = send_one(link, &batch->messages[batch->sent], batch->delay_only, &err);
        if (code != CEL_OK) {
            cut_batch(link, batch, &err);
            continue;
        }
        batch->sent++;
        link->next_seq++;
        if (batch->sent == batch->count)
            link->sending = NULL;
    }
    return link->sending || link->waiting;
}

static void answer(amqp_batch *batch, size_t index, bool nack)
{
    static const cel_error refused = {.code = CEL_EFULL,
                                      .retriable = true,
                                      .message = "the server refused a message: its queue is "
                                                 "full or out of order"};

    if (index >= batch->count || batch->answered[index])
        return;
    batch->answered[index] = 1;
    batch->left--;
    if (nack)
        set_error(batch, &refused, batch->count > 1);
}

void cel__amqp_confirmed(amqp_link *link, uint64_t tag, bool multiple, bool nack)
{
    amqp_batch *batch, *next;

    DL_FOREACH_SAFE2(link->unconfirmed, batch, next, later)
    {
        if (batch->first_seq > tag)
            break;
        uint64_t index = tag - batch->first_seq;
        if (multiple) {
            for (; batch->low < batch->count && batch->low <= index; batch->low++)
                answer(batch, batch->low, nack);
        } else if (index < batch->count) {
            answer(batch, (size_t)index, nack);
        }
        if (batch->left == 0)
            finish_batch(link, batch);
    }
}

void cel__amqp_returned(amqp_link *link, const amqp_incoming *incoming, cel_view correlation_id)
{
    cel_view key = {incoming->key, incoming->key_len};
    cel_view exchange = {incoming->exchange, incoming->exchange_len};
    bool delayed = cel__view_eq(exchange, cel__amqp_delay_exchange());
    amqp_batch *batch;
    cel_error err, gone;

    cel_error_set(&gone, CEL_ENOENT, "the reply queue '%.*s' is gone", CEL_VIEW_ARG(key));
    cel_error_set(&err, CEL_ENOENT,
                  "no queue takes a message for exchange '%.*s', routing key '%.*s': %.*s",
                  CEL_VIEW_ARG(exchange), CEL_VIEW_ARG(key), (int)incoming->reply_len,
                  incoming->reply);
    err.retriable = true; /* its queue is declared anew */
    if (delayed)
        cel__amqp_forget_all(link);
    else if (exchange.len == 0)
        cel__amqp_forget(link, key);
    else
        cel__amqp_forget_published(link, exchange);
    DL_FOREACH2(link->unconfirmed, batch, later)
    {
        for (size_t i = batch->low; i < batch->sent; i++) {
            const cel_message *message = &batch->messages[i];
            bool same = delayed ? message->eta_ms > 0
                                : cel__view_eq(message->routing_key, key) &&
                                      cel__view_eq(message->exchange, exchange);
            if (!batch->answered[i] && same &&
                cel__view_eq(message->correlation_id, correlation_id)) {
                set_error(batch, message->existing ? &gone : &err, batch->count > 1);
                return;
            }
        }
    }
}

void cel__amqp_fail_unconfirmed(amqp_link *link, const cel_error *err)
{
    while (link->unconfirmed) {
        amqp_batch *batch = link->unconfirmed;
        set_error(batch, err, batch->sent > 0);
        finish_batch(link, batch);
    }
}

void cel__amqp_fail_waiting(amqp_link *link, const cel_error *err)
{
    while (link->waiting) {
        amqp_batch *batch = link->waiting;
        DL_DELETE2(link->waiting, batch, prev, later);
        set_error(batch, err, false);
        cel__amqp_event(link->broker, &batch->node, AMQP_PUBLISH, batch);
    }
}
