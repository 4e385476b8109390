/* amqp_recv.c - what the server sends on its own: deliveries, confirms, returns, closes.
 *
 * A message is a method frame, a header frame and body frames; frames of several channels may
 * be mixed, so each channel has its own amqp_incoming. What librabbitmq hands us lives until
 * the channel's buffers are released, after each frame: all is copied. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"
#include "core/mem.h"

#define FRAMES_AT_ONCE 4096
#define MAX_BODY       ((uint64_t)1 << 30)

static cel_view as_view(amqp_bytes_t bytes)
{
    return (cel_view){bytes.bytes ? bytes.bytes : "", bytes.len};
}

static size_t copy_short(char to[256], amqp_bytes_t from)
{
    size_t len = from.len > 255 ? 255 : from.len;

    if (len > 0)
        memcpy(to, from.bytes, len);
    to[len] = '\0';
    return len;
}

static void free_incoming(amqp_incoming *incoming)
{
    cel__free(incoming->delivery);
    incoming->delivery = NULL;
    incoming->busy = false;
}

void cel__amqp_drop_incoming(amqp_link *link)
{
    for (size_t i = 0; i < AMQP_CHANNELS; i++)
        free_incoming(&link->incoming[i]);
}

/* ---- deliveries ---- */

/* Of the tag "<generation>.<index of the queue>". */
static size_t queue_of(amqp_bytes_t tag, size_t count)
{
    const char *dot = tag.len ? memchr(tag.bytes, '.', tag.len) : NULL;
    size_t index = 0;

    if (!dot)
        return 0;
    for (const char *c = dot + 1; c < (const char *)tag.bytes + tag.len; c++)
        index = index * 10 + (size_t)(*c - '0');
    return index < count ? index : 0;
}

static void begin_delivery(amqp_link *link,
                           amqp_incoming *incoming,
                           uint16_t channel,
                           const amqp_basic_deliver_t *method)
{
    amqp_consumer *consumer = cel__amqp_consumer_of(link, channel);

    if (!consumer) {
        cel__amqp_break(link, CEL_EPROTO, "a delivery on a channel without a consumer");
        return;
    }
    incoming->busy = true;
    incoming->returned = false;
    incoming->consumer = consumer;
    incoming->queue = queue_of(method->consumer_tag, consumer->options.queue_count);
    incoming->tag = method->delivery_tag;
    incoming->redelivered = method->redelivered;
    incoming->exchange_len = copy_short(incoming->exchange, method->exchange);
    incoming->key_len = copy_short(incoming->key, method->routing_key);
    incoming->delayed =
        cel__amqp_undelay(link, incoming, consumer->options.queues[incoming->queue]);
}

static void begin_return(amqp_incoming *incoming, const amqp_basic_return_t *method)
{
    incoming->busy = true;
    incoming->returned = true;
    incoming->exchange_len = copy_short(incoming->exchange, method->exchange);
    incoming->key_len = copy_short(incoming->key, method->routing_key);
    incoming->reply_len = copy_short(incoming->reply, method->reply_text);
}

static cel_view put(char **at, cel_view text)
{
    char *copy = *at;

    if (!text.ptr)
        return text;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    *at += text.len;
    return (cel_view){copy, text.len};
}

static cel_view
property(const amqp_basic_properties_t *properties, amqp_flags_t bit, amqp_bytes_t value)
{
    return properties->_flags & bit ? as_view(value) : (cel_view){NULL, 0};
}

/* How often it was delivered, this time included: quorum queues count. */
static int64_t count_deliveries(const amqp_basic_properties_t *properties, bool redelivered)
{
    if (!redelivered)
        return 1;
    if (!(properties->_flags & AMQP_BASIC_HEADERS_FLAG))
        return 0;
    for (int i = 0; i < properties->headers.num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->headers.entries[i];
        if (!cel__view_is(as_view(entry->key), "x-delivery-count"))
            continue;
        if (entry->value.kind == AMQP_FIELD_KIND_I64)
            return entry->value.value.i64 + 1;
        if (entry->value.kind == AMQP_FIELD_KIND_I32)
            return entry->value.value.i32 + 1;
    }
    return 0;
}

static void fill_message(cel_message *message, const amqp_basic_properties_t *p, char **at)
{
    message->content_type = put(at, property(p, AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type));
    message->content_encoding =
        put(at, property(p, AMQP_BASIC_CONTENT_ENCODING_FLAG, p->content_encoding));
    message->correlation_id =
        put(at, property(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id));
    message->reply_to = put(at, property(p, AMQP_BASIC_REPLY_TO_FLAG, p->reply_to));
    message->expiration = put(at, property(p, AMQP_BASIC_EXPIRATION_FLAG, p->expiration));
    if (p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG)
        message->delivery_mode = p->delivery_mode;
    if (p->_flags & AMQP_BASIC_PRIORITY_FLAG)
        message->priority = p->priority;
}

static size_t text_size(const amqp_link *link,
                        const amqp_incoming *incoming,
                        const amqp_basic_properties_t *p,
                        cel_view queue)
{
    return incoming->exchange_len + incoming->key_len + queue.len + link->scratch.len +
           property(p, AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type).len +
           property(p, AMQP_BASIC_CONTENT_ENCODING_FLAG, p->content_encoding).len +
           property(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id).len +
           property(p, AMQP_BASIC_REPLY_TO_FLAG, p->reply_to).len +
           property(p, AMQP_BASIC_EXPIRATION_FLAG, p->expiration).len;
}

static void make_delivery(amqp_link *link,
                          amqp_incoming *incoming,
                          const amqp_basic_properties_t *p,
                          uint64_t size)
{
    amqp_consumer *consumer = incoming->consumer;
    cel_view queue = consumer->options.queues[incoming->queue];
    cel_view headers = {NULL, 0};

    cel__buf_reset(&link->scratch);
    if (p->_flags & AMQP_BASIC_HEADERS_FLAG) {
        amqp_table_t table = p->headers;
        if (incoming->delayed)
            cel__amqp_drop_deaths(&table);
        cel__amqp_table_dump(&link->scratch, &table);
    }
    if (link->scratch.failed) /* no task's: the receiver rejects it */
        cel__buf_reset(&link->scratch);
    if (link->scratch.len > 0)
        headers = cel__buf_view(&link->scratch);
    amqp_delivery *delivery =
        size > MAX_BODY ? NULL
                        : cel__malloc(sizeof *delivery + text_size(link, incoming, p, queue) +
                                      (size_t)size + 1);
    if (!delivery) {
        cel__amqp_break(link, CEL_ENOMEM, "no memory for a message of %llu bytes",
                        (unsigned long long)size);
        return;
    }
    *delivery =
        (amqp_delivery){.consumer = consumer, .tag = incoming->tag, .epoch = consumer->epoch};
    char *at = delivery->bytes;
    cel_message *message = &delivery->base.message;
    *message = (cel_message)CEL_MESSAGE_INIT;
    fill_message(message, p, &at);
    message->exchange = put(&at, (cel_view){incoming->exchange, incoming->exchange_len});
    message->routing_key = put(&at, (cel_view){incoming->key, incoming->key_len});
    message->headers = put(&at, headers);
    delivery->base.broker = &link->broker->base;
    delivery->base.queue = put(&at, queue);
    delivery->base.attempt = incoming->redelivered ? CEL_ATTEMPT_AGAIN : CEL_ATTEMPT_NEW;
    delivery->base.deliveries = count_deliveries(p, incoming->redelivered);
    message->body = (cel_view){at, (size_t)size};
    incoming->at = at;
    incoming->delivery = delivery;
}

static void finish_message(amqp_link *link, amqp_incoming *incoming)
{
    amqp_delivery *delivery = incoming->delivery;

    incoming->busy = false;
    incoming->delivery = NULL;
    if (!delivery)
        return;
    delivery->linked = true;
    incoming->consumer->quiet_ms = 0;
    DL_APPEND2(incoming->consumer->unsettled, delivery, tag_prev, tag_next);
    incoming->consumer->unsettled_count++;
    link->came++;
    cel__amqp_push(&link->gathered, &delivery->node, AMQP_DELIVER, delivery);
}

static void take_header(amqp_link *link, amqp_incoming *incoming, const amqp_frame_t *frame)
{
    const amqp_basic_properties_t *p = frame->payload.properties.decoded;
    uint64_t size = frame->payload.properties.body_size;

    if (!incoming->busy || !p)
        return;
    if (incoming->returned)
        cel__amqp_returned(link, incoming,
                           property(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id));
    else
        make_delivery(link, incoming, p, size);
    incoming->left = (size_t)size;
    if (size == 0 && !link->broken)
        finish_message(link, incoming);
}

static void take_body(amqp_link *link, amqp_incoming *incoming, amqp_bytes_t bytes)
{
    if (!incoming->busy)
        return;
    if (bytes.len > incoming->left) {
        cel__amqp_break(link, CEL_EPROTO, "a message is longer than its header says");
        return;
    }
    if (incoming->delivery && bytes.len > 0) {
        memcpy(incoming->at, bytes.bytes, bytes.len);
        incoming->at += bytes.len;
    }
    incoming->left -= bytes.len;
    if (incoming->left == 0)
        finish_message(link, incoming);
}

/* ---- methods ---- */

static void take_connection_method(amqp_link *link, const amqp_method_t *method)
{
    const amqp_connection_close_t *close = method->decoded;
    const amqp_connection_blocked_t *blocked = method->decoded;

    switch (method->id) {
    case AMQP_CONNECTION_CLOSE_METHOD:
        amqp_send_method(link->conn, 0, AMQP_CONNECTION_CLOSE_OK_METHOD,
                         &(amqp_connection_close_ok_t){0});
        cel__amqp_break(link, CEL_ECONN, "the server closed the connection (%u): %.*s",
                        close->reply_code, CEL_VIEW_ARG(as_view(close->reply_text)));
        break;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        link->blocked = true;
        cel__warning(link->broker->log, "the broker takes no messages for now: %.*s",
                     CEL_VIEW_ARG(as_view(blocked->reason)));
        break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        link->blocked = false;
        cel__info(link->broker->log, "the broker takes messages again");
        break;
    default:
        break;
    }
}

static void
take_channel_close(amqp_link *link, uint16_t channel, const amqp_channel_close_t *close)
{
    amqp_consumer *consumer;
    cel_error err;

    cel__amqp_channel_error(&err, close->reply_code, close->reply_text);
    cel__amqp_ok(link, amqp_send_method(link->conn, channel, AMQP_CHANNEL_CLOSE_OK_METHOD,
                                        &(amqp_channel_close_ok_t){0}));
    free_incoming(&link->incoming[channel]);
    if (channel == AMQP_CH_PUBLISH) {
        link->publish_open = false;
        cel__amqp_forget_all(link); /* an exchange that was there may be gone */
        cel__amqp_fail_unconfirmed(link, &err);
    } else if (channel == AMQP_CH_ADMIN) {
        link->admin_open = false;
    } else if ((consumer = cel__amqp_consumer_of(link, channel)) != NULL) {
        cel__amqp_consumer_closed(link, consumer, &err);
    }
}

static void take_method(amqp_link *link, uint16_t channel, const amqp_method_t *method)
{
    amqp_incoming *incoming = &link->incoming[channel];
    amqp_consumer *consumer = cel__amqp_consumer_of(link, channel);
    const amqp_basic_ack_t *ack = method->decoded;
    const amqp_basic_nack_t *nack = method->decoded;

    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        begin_delivery(link, incoming, channel, method->decoded);
        break;
    case AMQP_BASIC_ACK_METHOD:
        cel__amqp_confirmed(link, ack->delivery_tag, ack->multiple, false);
        break;
    case AMQP_BASIC_NACK_METHOD:
        cel__amqp_confirmed(link, nack->delivery_tag, nack->multiple, true);
        break;
    case AMQP_BASIC_RETURN_METHOD:
        begin_return(incoming, method->decoded);
        break;
    case AMQP_BASIC_CANCEL_OK_METHOD:
        if (consumer)
            cel__amqp_cancel_answered(link, consumer);
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        if (consumer)
            cel__amqp_consumer_dropped(
                link, consumer,
                as_view(((const amqp_basic_cancel_t *)method->decoded)->consumer_tag));
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        take_channel_close(link, channel, method->decoded);
        break;
    default: /* qos-ok and the like: nobody waits for them */
        break;
    }
}

static void take_frame(amqp_link *link, const amqp_frame_t *frame)
{
    if (frame->channel >= AMQP_CHANNELS) {
        cel__amqp_break(link, CEL_EPROTO, "a frame on channel %u", frame->channel);
        return;
    }
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        if (frame->channel == 0)
            take_connection_method(link, &frame->payload.method);
        else
            take_method(link, frame->channel, &frame->payload.method);
        break;
    case AMQP_FRAME_HEADER:
        take_header(link, &link->incoming[frame->channel], frame);
        break;
    case AMQP_FRAME_BODY:
        take_body(link, &link->incoming[frame->channel], frame->payload.body_fragment);
        break;
    default:
        break;
    }
}

bool cel__amqp_receive(amqp_link *link)
{
    const struct timeval now = {0, 0};

    for (int n = 0; n < FRAMES_AT_ONCE && !link->broken; n++) {
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(link->conn, &frame, &now);

        if (status == AMQP_STATUS_TIMEOUT)
            return false;
        if (!cel__amqp_ok(link, status))
            return false;
        take_frame(link, &frame);
        amqp_maybe_release_buffers_on_channel(link->conn, frame.channel);
    }
    return true;
}
