/* redis_listen.c - the connection that listens: for changes of the lists that consumers wait for
 * (client tracking), and for the messages of fanout exchanges.
 *
 * The server tells changes to a client by its number, so the listener asks for its own first and
 * the commands' connection passes it on. Whenever one of them is new, that is done again, and the
 * consumers look again: something may have come meanwhile. */
#include <string.h>

#include <utlist.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

static void psubscribe(rq_broker *broker, const rq_consumer *consumer, const char *verb)
{
    cel__buf command = {0};

    if (consumer->channel_count == 0)
        return;
    cel__redis_begin(&command, 1 + consumer->channel_count);
    cel__rq_word(&command, verb);
    for (size_t i = 0; i < consumer->channel_count; i++)
        cel__redis_word(&command, consumer->channels[2 * i]);
    cel__redis_write(broker->listener, &command);
}

static void on_listener_up(void *user)
{
    rq_broker *broker = user;
    const rq_consumer *consumer;
    cel__buf command = {0};

    broker->listener_id = 0;
    broker->tracking = false;
    if (broker->closing)
        return;
    cel__redis_begin(&command, 2);
    cel__redis_word(&command, CEL_VIEW("CLIENT"));
    cel__redis_word(&command, CEL_VIEW("ID"));
    cel__redis_begin(&command, 2);
    cel__redis_word(&command, CEL_VIEW("SUBSCRIBE"));
    cel__redis_word(&command, CEL_VIEW("__redis__:invalidate"));
    cel__redis_write(broker->listener, &command);
    DL_FOREACH(broker->consumers, consumer)
    {
        if (!consumer->cancelled)
            psubscribe(broker, consumer, "PSUBSCRIBE");
    }
}

/* The next one has another number. */
static void on_listener_down(void *user, const cel_error *err)
{
    rq_broker *broker = user;

    (void)err;
    broker->listener_id = 0;
    broker->tracking = false;
}

/* ---- tracking ---- */

struct tracking {
    cel__redis_request request;
    rq_broker *broker;
};

static void
on_tracking(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_broker *broker = ((struct tracking *)request)->broker;

    (void)reply;
    cel__free(request);
    broker->tracking = !err;
    if (err && err->code != CEL_ECONN && err->code != CEL_ECANCELED)
        cel__warning(broker->log,
                     "Redis does not tell when messages come (%s): it is asked five times a "
                     "second",
                     err->message);
    if (!broker->closing)
        cel__rq_wake_all(broker);
    cel__rq_answered(broker);
}

void cel__rq_track(rq_broker *broker)
{
    struct tracking *op;
    cel__buf command = {0};

    broker->tracking = false;
    if (broker->listener_id == 0 || broker->closing)
        return;
    op = cel__calloc(1, sizeof *op);
    if (!op)
        return;
    *op = (struct tracking){{.done = on_tracking}, broker};
    cel__redis_begin(&command, 7);
    cel__redis_word(&command, CEL_VIEW("CLIENT"));
    cel__redis_word(&command, CEL_VIEW("TRACKING"));
    cel__redis_word(&command, CEL_VIEW("ON"));
    cel__redis_word(&command, CEL_VIEW("REDIRECT"));
    cel__redis_int(&command, broker->listener_id);
    cel__redis_word(&command, CEL_VIEW("OPTIN"));
    cel__redis_word(&command, CEL_VIEW("NOLOOP"));
    if (cel__rq_send(broker, &op->request, &command, NULL) != CEL_OK)
        cel__free(op);
}

/* ---- messages ---- */

static void deliver(rq_broker *broker, const redisReply *pattern, const redisReply *text)
{
    cel_view wanted = {pattern->str, (size_t)pattern->len};
    rq_consumer *consumer, *next;

    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        for (size_t i = 0; i < consumer->channel_count && !consumer->cancelled; i++) {
            rq_delivery *delivery;
            cel_error err;

            if (!cel__view_eq(consumer->channels[2 * i], wanted))
                continue;
            if (cel__rq_delivery_new(&delivery, (cel_view){text->str, (size_t)text->len},
                                     consumer->channels[2 * i + 1], &err) != CEL_OK) {
                cel__err(broker->log, "a broadcast message is dropped: %s", err.message);
                continue;
            }
            delivery->base.broker = &broker->base;
            delivery->consumer = consumer;
            DL_APPEND(broker->deliveries, delivery);
            cel__rq_hand_over(consumer, delivery);
        }
    }
}

static bool is(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

static void on_push(void *user, const redisReply *reply)
{
    rq_broker *broker = user;

    if (broker->closing)
        return;
    if (reply->type == REDIS_REPLY_INTEGER) {
        broker->listener_id = reply->integer;
        if (cel__redis_is_up(broker->commands))
            cel__rq_track(broker);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 &&
               is(reply->element[0], "pmessage") &&
               reply->element[3]->type == REDIS_REPLY_STRING) {
        deliver(broker, reply->element[1], reply->element[3]);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
               is(reply->element[0], "message")) {
        cel__rq_wake_all(broker);
    }
}

cel_code cel__rq_listen(rq_broker *broker, rq_consumer *consumer, cel_error *err)
{
    cel__redis_options link = {.url = &broker->url,
                               .loop = broker->loop,
                               .clock = broker->clock,
                               .log = broker->log,
                               .what = "the broker",
                               .quiet = true,
                               .on_push = on_push,
                               .on_up = on_listener_up,
                               .on_down = on_listener_down,
                               .user = broker};

    if (!broker->listener)
        return cel__redis_new(&broker->listener, &link, err); /* it subscribes when it is up */
    psubscribe(broker, consumer, "PSUBSCRIBE");
    return CEL_OK;
}

void cel__rq_unlisten(rq_broker *broker, rq_consumer *consumer)
{
    psubscribe(broker, consumer, "PUNSUBSCRIBE");
}
