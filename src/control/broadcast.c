/* broadcast.c - the requester's side: a reply queue, a request to all, and what comes back.
 *
 *     probing --the reply queue is there--> sending --taken--> collecting --silence, limit--> ending
 *
 * The reply queue must be there before the request leaves, and a consumer does not say when it has begun: so the
 * reply exchange is sent a message for it first, again and again until the broker finds the queue. A request is never sent
 * twice: workers would act twice. So the loss of the connection ends the call. */
#include <string.h>

#include "app/client.h"
#include "celeriac/control.h"
#include "control/mailbox.h"
#include "core/id.h"
#include "core/jscan.h"
#include "core/mem.h"

#define TIMEOUT_MS   1000
#define TAKEN_MS     10000 /* by when the broker must have taken the request */
#define PROBE_MS     5
#define PROBE_MAX_MS 160
#define PROBE        "probe" /* correlation id; replies have none */
#define WINDOW       64
#define REPLIES_MAX  10000
#define BYTES_MAX    (64u << 20)

typedef enum state {
    PROBING,    /* the reply queue may not be there yet; never, if no replies are asked for */
    SENDING,    /* the request is under way */
    COLLECTING, /* the broker has it */
    ENDING,     /* the outcome is known */
} state;

struct broadcast_op {
    cel_client_op op; /* first */
    state state;
    const cel_log *log; /* borrowed */
    const cel_clock *clock;
    const cel__coding *coding;
    cel_control_options options;      /* of its texts only what is copied below */
    char *method, *pattern, *matcher; /* owned; the last two may be NULL */
    json_t *arguments, *destination;  /* owned; may be NULL */
    char id[CEL_UUID_LEN + 1];        /* of the reply queue */
    char ticket[CEL_UUID_LEN + 1];    /* empty: no replies are asked for */
    cel__buf exchange, reply_exchange, reply_queue;
    cel_listening listening; /* its texts are the ones above */
    cel_consumer *consumer;  /* NULL: none, or cancelled */
    bool canceling;
    uv_timer_t probe, deadline;
    uint64_t probe_ms; /* until the next probe */
    size_t pending;    /* publishes under way */
    json_t *replies;   /* owned: an array of {node: reply} */
    size_t bytes;      /* of their bodies */
    int closing;       /* handles */
    bool ends;         /* see end_after(): code and err say how */
    cel_code code;
    cel_error err;
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct broadcast_op *cast = handle->data;

    if (--cast->closing == 0)
        cel__client_finish(&cast->op, cast->code, &cast->err);
}

static void check_end(struct broadcast_op *cast)
{
    if (cast->state != ENDING || cast->canceling || cast->pending > 0 || cast->closing > 0)
        return;
    cast->closing = 2;
    uv_close((uv_handle_t *)&cast->probe, on_closed);
    uv_close((uv_handle_t *)&cast->deadline, on_closed);
}

static void on_canceled(void *user)
{
    struct broadcast_op *cast = user;

    cast->canceling = false;
    check_end(cast);
}

static void end_cast(struct broadcast_op *cast, cel_code code, const cel_error *err)
{
    cel_consumer *consumer = cast->consumer;
    bool taken = cast->state == COLLECTING;

    if (cast->state == ENDING)
        return;
    cast->state = ENDING;
    cast->code = code;
    if (err)
        cast->err = *err;
    if (taken && code != CEL_OK)
        cast->err.uncertain = true; /* workers have the request, or had it */
    uv_timer_stop(&cast->probe);
    uv_timer_stop(&cast->deadline);
    cast->consumer = NULL;
    cast->canceling = consumer != NULL;
    if (consumer)
        cel__client_broker(&cast->op)->ops->cancel(consumer, on_canceled, cast);
    check_end(cast);
}

static void abandon(cel_client_op *op)
{
    end_cast((struct broadcast_op *)op, CEL_ECANCELED, NULL);
}

static void free_cast(cel_client_op *op)
{
    struct broadcast_op *cast = (struct broadcast_op *)op;

    cel__free(cast->method);
    cel__free(cast->pattern);
    cel__free(cast->matcher);
    json_decref(cast->arguments);
    json_decref(cast->destination);
    json_decref(cast->replies);
    cel__buf_done(&cast->exchange);
    cel__buf_done(&cast->reply_exchange);
    cel__buf_done(&cast->reply_queue);
    cel__free(cast);
}

static void on_deadline(uv_timer_t *timer)
{
    struct broadcast_op *cast = timer->data;
    cel_error err = {0};

    if (cast->state == COLLECTING) {
        end_cast(cast, CEL_OK, NULL);
        return;
    }
    cel_error_set(&err, CEL_ETIMEDOUT, "the broker has not taken the request within %d s",
                  TAKEN_MS / 1000);
    err.uncertain = cast->state == SENDING;
    end_cast(cast, CEL_ETIMEDOUT, &err);
}

/* Silence is counted from now on. */
static void wait_for_next(struct broadcast_op *cast)
{
    if (cast->state == COLLECTING)
        uv_timer_start(&cast->deadline, on_deadline, (uint64_t)cast->options.timeout_ms, 0);
}

/* ---- replies ---- */

/* To be ended when the delivery at hand is settled: the consumer must not be cancelled before. */
static void end_after(struct broadcast_op *cast, cel_code code, const cel_error *err)
{
    cast->ends = true;
    cast->code = code;
    if (err)
        cast->err = *err;
}

static void keep_reply(struct broadcast_op *cast, cel_view node, const json_t *value)
{
    json_t *name = json_stringn(node.ptr, node.len);
    json_t *own = value ? json_incref((json_t *)value) : json_null();
    json_t *reply = name ? json_pack("{s:O}", json_string_value(name), own) : NULL;
    cel_error err = {0};

    if (reply && cast->options.on_reply)
        cast->options.on_reply(cast->options.user, json_string_value(name), own);
    json_decref(name);
    json_decref(own);
    if (json_array_append_new(cast->replies, reply) != 0) { /* also if that is NULL */
        end_after(cast, cel_error_set(&err, CEL_ENOMEM, "no memory for a reply"), &err);
        return;
    }
    if (json_array_size(cast->replies) == cast->options.limit)
        end_after(cast, CEL_OK, NULL);
    else
        wait_for_next(cast);
}

/* JSON for Python, but not for C: who it is from can be told, and why there is no more of it. */
static void
keep_error(struct broadcast_op *cast, const cel_message *message, const cel_error *why)
{
    cel_jvalue body, node, value;
    cel__buf name = {0};
    cel_jscan scan;
    json_t *error;

    if (cel__jscan_value(&body, message->body, NULL) != CEL_OK)
        return;
    cel__jscan_object(&scan, body);
    error = json_pack("{s:o}", "error",
                      json_sprintf("the reply cannot be shown: %s", why->message));
    if (error && cel__jscan_next_member(&scan, &node, &value))
        keep_reply(cast, cel__jscan_view(node, &name), error);
    json_decref(error);
    cel__buf_done(&name);
}

static void take_reply(struct broadcast_op *cast, const cel_message *message)
{
    cel_mailbox_reply reply = {.value = NULL};
    json_t *root = NULL;
    cel_error err = {0};
    cel_code code = cel__mailbox_reply_decode(&reply, &root, message, cast->coding, &err);
    /* A reply without a ticket is one to us: nobody else knows the queue. */
    bool ours = !reply.ticket.ptr || cel__view_is(reply.ticket, cast->ticket);

    cast->bytes += message->body.len;
    if (cast->bytes > BYTES_MAX || json_array_size(cast->replies) >= REPLIES_MAX)
        end_after(cast,
                  cel_error_set(&err, CEL_EFULL, "more than %d replies, or %u MB of them",
                                REPLIES_MAX, BYTES_MAX >> 20),
                  &err);
    else if (code == CEL_OK && ours)
        keep_reply(cast, reply.node, reply.value);
    else if (code == CEL_EINVAL && ours)
        keep_error(cast, message, &err);
    else if (code == CEL_ENOMEM)
        end_after(cast, code, &err);
    else if (code != CEL_OK)
        cel__warning(cast->log, "A reply to '%s' cannot be read: %s", cast->method,
                     err.message);
    json_decref(root);
}

/* ---- the request ---- */

static cel_code
publish(struct broadcast_op *cast, const cel_message *message, cel_broker_cb cb, cel_error *err)
{
    cel_broker *broker = cel__client_broker(&cast->op);
    cel_code code = broker->ops->publish(broker, message, 1, cb, cast, err);

    if (code == CEL_OK)
        cast->pending++;
    return code;
}

static void on_sent(void *user, cel_code code, const cel_error *err)
{
    struct broadcast_op *cast = user;

    cast->pending--;
    if (code == CEL_ENOENT) /* there is no worker, so nobody will answer */
        end_cast(cast, CEL_OK, NULL);
    else if (code != CEL_OK || !cast->ticket[0])
        end_cast(cast, code, err);
    else if (cast->state == SENDING) {
        cast->state = COLLECTING;
        wait_for_next(cast);
    }
    check_end(cast);
}

static cel_code send_request(struct broadcast_op *cast, cel_error *err)
{
    int64_t timeout_ms = cast->options.timeout_ms;
    cel_mailbox_request request = {
        .method = cel__view(cast->method),
        .arguments = cast->arguments,
        .destination = cast->destination,
        .pattern = cel__view(cast->pattern),
        .matcher = cel__view(cast->matcher),
        .expires_s = (double)(cel__clock_wall_ms(cast->clock) + timeout_ms) / 1000,
    };
    cel__buf buf = {0};
    cel_message message;
    cel_code code;

    if (cast->ticket[0]) {
        request.ticket = cel__view(cast->ticket);
        request.reply_exchange = cel__buf_view(&cast->reply_exchange);
        request.reply_key = cel__view(cast->id);
    }
    code = cel__mailbox_request_encode(&message, &request, cel__buf_view(&cast->exchange),
                                       cast->coding, &buf, err);
    if (code == CEL_OK)
        code = publish(cast, &message, on_sent, err);
    cel__buf_done(&buf);
    if (code == CEL_OK)
        cast->state = SENDING;
    return code;
}

/* ---- the reply queue ---- */

static void send_probe(struct broadcast_op *cast);

static void on_probe(uv_timer_t *timer)
{
    send_probe(timer->data);
}

static void on_probe_sent(void *user, cel_code code, const cel_error *err)
{
    struct broadcast_op *cast = user;

    cast->pending--;
    if (code != CEL_OK && code != CEL_ENOENT)
        end_cast(cast, code, err);
    check_end(cast);
}

/* Sends one, and the next unless this one comes back. */
static void send_probe(struct broadcast_op *cast)
{
    cel_message message = CEL_MESSAGE_INIT;
    cel_error err = {0};

    message.exchange = cel__buf_view(&cast->reply_exchange);
    message.routing_key = cel__view(cast->id);
    message.kind = CEL_EXCHANGE_DIRECT;
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.correlation_id = CEL_VIEW(PROBE);
    message.headers = CEL_VIEW("{}");
    message.body = CEL_VIEW("{}");
    message.delivery_mode = 1;
    if (publish(cast, &message, on_probe_sent, &err) != CEL_OK) {
        end_cast(cast, err.code, &err);
        return;
    }
    uv_timer_start(&cast->probe, on_probe, cast->probe_ms, 0);
    if (cast->probe_ms < PROBE_MAX_MS)
        cast->probe_ms *= 2;
}

static void take_probe(struct broadcast_op *cast)
{
    cel_error err = {0};

    if (cast->state != PROBING)
        return;
    uv_timer_stop(&cast->probe);
    if (send_request(cast, &err) != CEL_OK)
        end_after(cast, err.code, &err);
}

/* ---- listening ---- */

static void on_delivery(void *user, cel_delivery *delivery)
{
    struct broadcast_op *cast = user;

    if (cel__view_is(delivery->message.correlation_id, PROBE))
        take_probe(cast);
    else if (cast->state != ENDING)
        take_reply(cast, &delivery->message);
    delivery->broker->ops->ack(delivery, NULL, NULL);
    if (cast->ends)
        end_cast(cast, cast->code, NULL);
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        end_cast(user, code, err); /* replies on their way are lost with the queue */
}

static cel_code listen_for_replies(struct broadcast_op *cast, cel_error *err)
{
    cel_broker *broker = cel__client_broker(&cast->op);
    cel_view queue = cel__buf_view(&cast->reply_queue);

    return broker->ops->consume(&cast->consumer, broker,
                                &(cel_consumer_options){.queues = &queue,
                                                        .queue_count = 1,
                                                        .window = WINDOW,
                                                        .reply = true,
                                                        .listening = cast->listening,
                                                        .on_delivery = on_delivery,
                                                        .on_state = on_state,
                                                        .user = cast},
                                err);
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    struct broadcast_op *cast = (struct broadcast_op *)op;
    bool replies = cast->ticket[0] != '\0';
    cel_code code = replies ? listen_for_replies(cast, err) : send_request(cast, err);

    if (code != CEL_OK)
        return code;
    uv_timer_init(cel__client_loop(op), &cast->probe);
    uv_timer_init(cel__client_loop(op), &cast->deadline);
    cast->probe.data = cast->deadline.data = cast;
    uv_timer_start(&cast->deadline, on_deadline, TAKEN_MS, 0);
    if (replies)
        uv_timer_start(&cast->probe, on_probe, 0, 0);
    return CEL_OK;
}

/* ---- the call ---- */

static cel_code check_options(const cel_control_options *options, cel_error *err)
{
    if (options->timeout_ms < 0 || options->timeout_ms > CEL_MAX_MS)
        return cel_error_set(err, CEL_EINVAL, "timeout_ms is out of range");
    if (!options->pattern != !options->matcher)
        return cel_error_set(err, CEL_EINVAL,
                             "a pattern needs a matcher, and a matcher a pattern");
    if (options->matcher && strcmp(options->matcher, "glob") != 0 &&
        strcmp(options->matcher, "pcre") != 0)
        return cel_error_set(err, CEL_EINVAL,
                             "the matcher '%.40s' is neither 'glob' nor 'pcre'",
                             options->matcher);
    return CEL_OK;
}

/* An array of the words; NULL if there are none or one is no UTF-8. */
static json_t *array_of(const char *const *words)
{
    json_t *array = words && *words ? json_array() : NULL;

    for (; array && *words; words++) {
        if (json_array_append_new(array, json_string(*words)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static cel_code
fill(struct broadcast_op *cast, const cel_app *app, const char *method, cel_error *err)
{
    cel_control_options *options = &cast->options;
    const char *const *destination = options->destination;
    const char *name_space = cel__config_string(app->config, "control_exchange");
    cel_code code = check_options(options, err);

    if (code != CEL_OK)
        return code;
    cast->destination = array_of(destination);
    if (destination && *destination && !cast->destination)
        return cel_error_set(err, CEL_EINVAL, "the name of a node is no UTF-8");
    if (options->timeout_ms == 0)
        options->timeout_ms = TIMEOUT_MS;
    if (options->limit == 0)
        options->limit = json_array_size(cast->destination);
    cast->method = cel__strdup(method);
    cast->pattern = options->pattern ? cel__strdup(options->pattern) : NULL;
    cast->matcher = options->matcher ? cel__strdup(options->matcher) : NULL;
    if (!cast->method || (options->pattern && (!cast->pattern || !cast->matcher)))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    name_space = name_space && *name_space ? name_space : "celery";
    cel__uuid4(cast->id);
    cel__mailbox_exchange(&cast->exchange, name_space);
    cel__mailbox_reply_exchange(&cast->reply_exchange, name_space);
    cel__mailbox_reply_queue(&cast->reply_queue, name_space, cast->id);
    cast->listening = cel__mailbox_listen_reply(
        app->config, cel__buf_view(&cast->reply_exchange), cel__view(cast->id));
    code = cel__buf_check(&cast->exchange, err);
    if (code == CEL_OK)
        code = cel__buf_check(&cast->reply_exchange, err);
    return code == CEL_OK ? cel__buf_check(&cast->reply_queue, err) : code;
}

/* Takes `arguments`. */
static cel_code make_cast(struct broadcast_op **out,
                          cel_app *app,
                          const cel_control_options *options,
                          json_t *arguments,
                          bool replies,
                          cel_error *err)
{
    struct broadcast_op *cast = NULL;
    cel_client *client;
    cel_code code = cel__client_get(&client, app, err);

    if (code == CEL_OK) {
        cast = cel__calloc(1, sizeof *cast);
        if (!cast)
            code = cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    }
    if (code != CEL_OK) {
        json_decref(arguments);
        return code;
    }
    if (options)
        memcpy(&cast->options, options,
               options->size < sizeof *options ? options->size : sizeof *options);
    cast->arguments = arguments;
    cast->log = &app->log;
    cast->clock = app->clock;
    cast->coding = &app->codings.tasks;
    cast->probe_ms = PROBE_MS;
    cast->op.start = start;
    cast->op.abandon = abandon;
    cast->op.free = free_cast;
    cast->op.needs_broker = true;
    cel__client_op_init(client, &cast->op);
    if (replies) {
        cel__uuid4(cast->ticket);
        cast->replies = json_array();
    } else {
        cast->state = SENDING;
    }
    *out = cast;
    return replies && !cast->replies ? cel_error_set(err, CEL_ENOMEM, "no memory for replies")
                                     : CEL_OK;
}

cel_code cel_control_broadcast(cel_app *app,
                               const char *method,
                               json_t *arguments,
                               const cel_control_options *options,
                               json_t **replies,
                               cel_error *err)
{
    struct broadcast_op *cast = NULL;
    cel_code code;

    if (!app || !method || !*method || (arguments && !json_is_object(arguments))) {
        json_decref(arguments);
        return cel_error_set(err, CEL_EINVAL,
                             "no app, no method, or arguments that are no object");
    }
    code = make_cast(&cast, app, options, arguments, replies != NULL, err);
    if (code == CEL_OK)
        code = fill(cast, app, method, err);
    if (code == CEL_OK)
        code = cel__client_run(&cast->op, -1, err);
    if (code == CEL_OK && replies) {
        *replies = cast->replies;
        cast->replies = NULL;
    }
    if (cast)
        cel__client_op_unref(&cast->op);
    return code;
}
