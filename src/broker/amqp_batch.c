/* amqp_batch.c - messages on their way to the link: checked against what AMQP can carry, and copied. */
#include <string.h>

#include "broker/amqp_impl.h"
#include "core/mem.h"

#define MAX_NAME   255
#define VIEW_COUNT 10

cel_code cel__amqp_check_name(cel_view name, const char *what, cel_error *err)
{
    if (name.len > MAX_NAME || (name.len > 0 && memchr(name.ptr, '\0', name.len)))
        return cel_error_set(err, CEL_EINVAL,
                             "%s '%.*s': the name is longer than 255 bytes or holds a NUL",
                             what, name.len < 40 ? (int)name.len : 40, name.ptr);
    return CEL_OK;
}

cel_code cel__amqp_check_queue(cel_view name, cel_error *err)
{
    if (!name.ptr || name.len == 0)
        return cel_error_set(err, CEL_EINVAL,
                             "a message without a routing key has no queue to go to");
    return cel__amqp_check_name(name, "queue", err);
}

static void views_of(cel_view *views[VIEW_COUNT], cel_message *message)
{
    views[0] = &message->exchange;
    views[1] = &message->routing_key;
    views[2] = &message->content_type;
    views[3] = &message->content_encoding;
    views[4] = &message->correlation_id;
    views[5] = &message->reply_to;
    views[6] = &message->expiration;
    views[7] = &message->headers;
    views[8] = &message->body;
    views[9] = &message->task;
}

static cel_code check_message(const cel_message *message, cel_error *err)
{
    cel_code code = message->exchange.len == 0
                        ? cel__amqp_check_queue(message->routing_key, err)
                        : cel__amqp_check_name(message->routing_key, "routing key", err);
    const struct {
        const char *what;
        cel_view text;
    } shorts[] = {
        {"exchange", message->exchange},
        {"content type", message->content_type},
        {"content encoding", message->content_encoding},
        {"correlation id", message->correlation_id},
        {"reply_to", message->reply_to},
        {"expiration", message->expiration},
    };

    for (size_t i = 0; code == CEL_OK && i < sizeof shorts / sizeof *shorts; i++)
        code = cel__amqp_check_name(shorts[i].text, shorts[i].what, err);
    return code;
}

static void copy_message(cel_message *copy, const cel_message *message, char **at)
{
    cel_view *views[VIEW_COUNT];

    *copy = *message;
    views_of(views, copy);
    for (size_t i = 0; i < VIEW_COUNT; i++) {
        if (!views[i]->ptr)
            continue;
        if (views[i]->len > 0)
            memcpy(*at, views[i]->ptr, views[i]->len);
        views[i]->ptr = *at;
        *at += views[i]->len;
    }
}

cel_code cel__amqp_copy_batch(amqp_batch **out,
                              const cel_message *messages,
                              size_t count,
                              cel_error *err)
{
    size_t bytes = 1;
    cel_view *views[VIEW_COUNT];

    for (size_t i = 0; i < count; i++) {
        cel_message message = messages[i];
        cel_code code = check_message(&message, err);
        if (code != CEL_OK)
            return code;
        views_of(views, &message);
        for (size_t v = 0; v < VIEW_COUNT; v++)
            bytes += views[v]->len;
    }
    amqp_batch *batch = cel__malloc(sizeof *batch + bytes);
    cel_message *copies = cel__calloc(count, sizeof *copies);
    unsigned char *answered = cel__calloc(count, 1);
    if (!batch || !copies || !answered) {
        cel__free(batch);
        cel__free(copies);
        cel__free(answered);
        return cel_error_set(err, CEL_ENOMEM, "no memory for %zu messages", count);
    }
    *batch =
        (amqp_batch){.messages = copies, .answered = answered, .count = count, .left = count};
    char *at = batch->bytes;
    for (size_t i = 0; i < count; i++)
        copy_message(&copies[i], &messages[i], &at);
    *out = batch;
    return CEL_OK;
}

void cel__amqp_tell_batch(amqp_batch *batch)
{
    if (batch->cb)
        batch->cb(batch->user, batch->err.code, batch->err.code == CEL_OK ? NULL : &batch->err);
    cel__free(batch->messages);
    cel__free(batch->answered);
    cel__free(batch);
}
