/* receiver.c - see receiver.h. */
#include "events/receiver.h"

#include <string.h>

#include "core/id.h"
#include "core/json.h"
#include "core/mem.h"

#define WINDOW   1000
#define BODY_MAX ((size_t)16 << 20)
#define TYPE_MAX 255 /* bytes of an event's type */

struct cel_event_receiver {
    cel_event_receiver_options opts; /* its texts are in the buffers below */
    cel__buf exchange, queue, pattern;
    cel_consumer *consumer;
    uint64_t malformed;
    void (*closed)(void *user);
    void *closed_user;
};

/* ---- reading ---- */

static bool set_clock(json_t *event, const char *type, cel_lamport *lamport)
{
    const json_t *clock = json_object_get(event, "clock");
    int64_t value;

    if (strcmp(type, "task-sent") == 0) { /* clients do not know how late it is */
        value = lamport->value > 0 ? lamport->value - 1 : 0;
        cel__lamport_adjust(lamport, value);
        return json_object_set_new(event, "clock", json_integer(value)) == 0;
    }
    if (json_is_integer(clock)) {
        cel__lamport_adjust(lamport, json_integer_value(clock));
        return true;
    }
    return json_object_set_new(event, "clock", json_integer(cel__lamport_forward(lamport))) ==
           0;
}

static bool read_event(json_t *event,
                       int64_t now_us,
                       cel_lamport *lamport,
                       void (*each)(void *user, const char *type, json_t *event),
                       void *user)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    char copy[TYPE_MAX + 1]; /* the callback may change the event */

    if (!type || !*type || strlen(type) > TYPE_MAX || !set_clock(event, type, lamport) ||
        json_object_set_new(event, "local_received", json_real((double)now_us / 1e6)) != 0)
        return false;
    strcpy(copy, type);
    each(user, copy, event);
    return true;
}

void cel__events_read(cel_view body,
                      int64_t now_us,
                      cel_lamport *lamport,
                      uint64_t *malformed,
                      void (*each)(void *user, const char *type, json_t *event),
                      void *user)
{
    json_t *root = NULL, *event;
    size_t i;

    if (body.len > BODY_MAX || cel__json_load(&root, body, NULL) != CEL_OK) {
        ++*malformed;
        return;
    }
    if (json_is_array(root)) {
        json_array_foreach(root, i, event) *malformed +=
            !read_event(event, now_us, lamport, each, user);
    } else {
        *malformed += !read_event(root, now_us, lamport, each, user);
    }
    json_decref(root);
}

/* ---- hearing ---- */

static void on_delivery(void *user, cel_delivery *delivery)
{
    cel_event_receiver *receiver = user;
    const cel_event_receiver_options *opts = &receiver->opts;
    cel_view type = delivery->message.content_type;

    if (type.ptr && !cel__view_is(type, "application/json"))
        receiver->malformed++;
    else
        cel__events_read(delivery->message.body, cel__clock_wall_us(opts->clock), opts->lamport,
                         &receiver->malformed, opts->on_event, opts->user);
    delivery->broker->ops->ack(delivery, NULL, NULL);
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    const cel_event_receiver *receiver = user;

    if (receiver->opts.on_state)
        receiver->opts.on_state(receiver->opts.user, code, err);
}

static void free_receiver(cel_event_receiver *receiver)
{
    cel__buf_done(&receiver->exchange);
    cel__buf_done(&receiver->queue);
    cel__buf_done(&receiver->pattern);
    cel__free(receiver);
}

static cel_code listen_to(cel_event_receiver *receiver, cel_error *err)
{
    const cel_event_receiver_options *opts = &receiver->opts;
    cel_view queue = cel__buf_view(&receiver->queue);
    cel_consumer_options consumer = {
        .queues = &queue,
        .queue_count = 1,
        .window = WINDOW,
        .reply = true,
        .listening = {CEL_EXCHANGE_TOPIC, cel__buf_view(&receiver->exchange),
                      cel__buf_view(&receiver->pattern), opts->ttl_ms, opts->expires_ms},
        .on_delivery = on_delivery,
        .on_state = on_state,
        .user = receiver};

    return opts->broker->ops->consume(&receiver->consumer, opts->broker, &consumer, err);
}

cel_code cel__event_receiver_open(cel_event_receiver **out,
                                  const cel_event_receiver_options *options,
                                  cel_error *err)
{
    cel_event_receiver *receiver = cel__calloc(1, sizeof *receiver);
    char id[CEL_UUID_LEN + 1];
    cel_code code = CEL_OK;

    if (!receiver)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a receiver of events");
    receiver->opts = *options;
    cel__uuid4(id);
    cel__buf_add_view(&receiver->exchange, options->exchange);
    cel__buf_add_view(&receiver->pattern, options->pattern);
    cel__buf_add_view(&receiver->queue, options->prefix);
    cel__buf_add_byte(&receiver->queue, '.');
    cel__buf_add_str(&receiver->queue, id);
    if (receiver->exchange.failed || receiver->pattern.failed || receiver->queue.failed)
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a receiver of events");
    if (code == CEL_OK)
        code = listen_to(receiver, err);
    if (code != CEL_OK) {
        free_receiver(receiver);
        return code;
    }
    *out = receiver;
    return CEL_OK;
}

static void on_cancelled(void *user)
{
    cel_event_receiver *receiver = user;
    void (*closed)(void *user) = receiver->closed;
    void *closed_user = receiver->closed_user;

    free_receiver(receiver);
    if (closed)
        closed(closed_user);
}

void cel__event_receiver_close(cel_event_receiver *receiver,
                               void (*closed)(void *user),
                               void *user)
{
    receiver->closed = closed;
    receiver->closed_user = user;
    receiver->opts.broker->ops->cancel(receiver->consumer, on_cancelled, receiver);
}

uint64_t cel__event_receiver_malformed(const cel_event_receiver *receiver)
{
    return receiver->malformed;
}
