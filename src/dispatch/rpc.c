/* rpc.c - the requester's side: a reply queue, a request, and the messages that come back.
 *
 * The reply queue must be there before the request leaves, and a consumer does not say when it has begun: so the
 * queue is sent a message of its own first, again and again until the broker takes it. After an outage the queue is
 * made anew and the request is sent again, with the same correlation id: the dispatcher answers it again. */
#include "celeriac/rpc.h"

#include "app/client.h"
#include "core/id.h"
#include "core/json.h"
#include "core/mem.h"
#include "dispatch/dispatch.h"

#define TIMEOUT_MS 10000
#define PROBE_MS   5
#define WINDOW     16

struct rpc_op {
    cel_client_op op;
    char *queue, *correlation_id; /* owned */
    char reply_queue[CEL_UUID_LEN + 1];
    cel__buf body;
    cel_rpc_options options; /* of its texts only what is copied above */
    cel_consumer *consumer;
    uv_timer_t probe;    /* until the next try */
    uv_timer_t deadline; /* with `wait`: of the first answer, then of the result */
    char *job_id;        /* owned; NULL before the first answer */
    size_t pending;      /* publishes under way */
    json_t *answer;      /* owned; the last message */
    bool listening, ending, canceled;
    int closing; /* handles */
    cel_code code;
    cel_error err;
};

static void send_probe(struct rpc_op *rpc);

/* ---- the end ---- */

static void check_end(struct rpc_op *rpc);

static void on_closed(uv_handle_t *handle)
{
    struct rpc_op *rpc = handle->data;

    if (--rpc->closing == 0)
        cel__client_finish(&rpc->op, rpc->code, &rpc->err);
}

static void check_end(struct rpc_op *rpc)
{
    if (!rpc->ending || !rpc->canceled || rpc->pending > 0 || rpc->closing > 0)
        return;
    rpc->closing = 2;
    uv_close((uv_handle_t *)&rpc->probe, on_closed);
    uv_close((uv_handle_t *)&rpc->deadline, on_closed);
}

static void on_canceled(void *user)
{
    struct rpc_op *rpc = user;

    rpc->canceled = true;
    check_end(rpc);
}

static void end_rpc(struct rpc_op *rpc, cel_code code, const cel_error *err)
{
    if (rpc->ending)
        return;
    rpc->ending = true;
    rpc->code = code;
    if (err)
        rpc->err = *err;
    uv_timer_stop(&rpc->probe);
    uv_timer_stop(&rpc->deadline);
    cel__client_broker(&rpc->op)->ops->cancel(rpc->consumer, on_canceled, rpc);
}

static void abandon(cel_client_op *op)
{
    end_rpc((struct rpc_op *)op, CEL_ECANCELED, NULL);
}

static void free_rpc(cel_client_op *op)
{
    struct rpc_op *rpc = (struct rpc_op *)op;

    cel__free(rpc->queue);
    cel__free(rpc->correlation_id);
    cel__free(rpc->job_id);
    cel__buf_done(&rpc->body);
    json_decref(rpc->answer);
    cel__free(rpc);
}

static cel_code no_answer(const struct rpc_op *rpc, cel_error *err)
{
    cel_error_set(err, CEL_ETIMEDOUT,
                  "no answer from a dispatcher on the queue '%s': is one running? The request "
                  "stays there; to ask again without sending twice, use the correlation id %s",
                  rpc->queue, rpc->correlation_id);
    if (err)
        err->uncertain = true;
    return CEL_ETIMEDOUT;
}

static void on_deadline(uv_timer_t *timer)
{
    struct rpc_op *rpc = timer->data;
    cel_error err = {0};

    if (rpc->job_id)
        cel_error_set(&err, CEL_ETIMEDOUT, "no result within %g s: the job %s goes on",
                      (double)rpc->options.result_timeout_ms / 1000, rpc->job_id);
    else
        no_answer(rpc, &err);
    end_rpc(rpc, CEL_ETIMEDOUT, &err);
}

/* The first answer is there: from now on the result is waited for. */
static void note_job(struct rpc_op *rpc, const json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "id"));

    if (rpc->job_id)
        return;
    rpc->job_id = cel__strdup(id ? id : "?");
    uv_timer_stop(&rpc->deadline);
    if (rpc->options.result_timeout_ms > 0)
        uv_timer_start(&rpc->deadline, on_deadline, (uint64_t)rpc->options.result_timeout_ms,
                       0);
}

/* ---- answers ---- */

/* The job's outcome as a code: what cel_result_get() would say. */
static cel_code outcome_of(const json_t *message, cel_error *err)
{
    const char *state = json_string_value(json_object_get(message, "state"));
    const char *error = json_string_value(json_object_get(message, "error"));
    const char *type = json_string_value(json_object_get(message, "type"));
    cel_code code = CEL_EINVAL;

    if (!error)
        return CEL_OK;
    if (state)
        code = strcmp(state, "REVOKED") == 0 ? CEL_EREVOKED : CEL_ETASK;
    cel_error_set(err, code, "%s", error);
    if (state && type)
        snprintf(err->exc_type, sizeof err->exc_type, "%s", type);
    return code;
}

static void take_message(struct rpc_op *rpc, json_t *message)
{
    cel_error err = {0};
    cel_code code = outcome_of(message, &err);
    bool last = code != CEL_OK || !rpc->options.wait || json_object_get(message, "state");

    if (rpc->options.on_message)
        rpc->options.on_message(rpc->options.user, message);
    if (!last) {
        note_job(rpc, message);
        return;
    }
    if (code == CEL_OK && !json_object_get(message, "id"))
        code = cel_error_set(&err, CEL_EPROTO, "the answer has neither 'id' nor 'error'");
    if (code == CEL_OK)
        rpc->answer = json_incref(message);
    end_rpc(rpc, code, &err);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    struct rpc_op *rpc = user;
    json_t *message = NULL;
    cel_error err = {0};
    bool ours =
        !rpc->ending && cel__view_is(delivery->message.correlation_id, rpc->correlation_id);
    cel_code code = ours ? cel__json_load(&message, delivery->message.body, &err) : CEL_OK;

    delivery->broker->ops->ack(delivery, NULL, NULL);
    if (!ours)
        return;
    if (code == CEL_OK && !json_is_object(message))
        code = cel_error_set(&err, CEL_EPROTO, "it is no JSON object");
    if (code == CEL_OK)
        take_message(rpc, message);
    else if (code != CEL_EPROTO)
        end_rpc(rpc, code, &err);
    else
        end_rpc(rpc, cel_error_set(&err, CEL_EPROTO, "the answer cannot be read"), &err);
    json_decref(message);
}

/* ---- the request ---- */

static void on_sent(void *user, cel_code code, const cel_error *err)
{
    struct rpc_op *rpc = user;

    rpc->pending--;
    if (code != CEL_OK && !rpc->answer)
        end_rpc(rpc, code, err);
    check_end(rpc);
}

static void publish(struct rpc_op *rpc, const cel_message *message, cel_broker_cb cb)
{
    cel_broker *broker = cel__client_broker(&rpc->op);
    cel_error err = {0};
    cel_code code = broker->ops->publish(broker, message, 1, cb, rpc, &err);

    if (code == CEL_OK)
        rpc->pending++;
    else
        end_rpc(rpc, code, &err);
}

static cel_message message_to(const char *queue)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = cel__view(queue);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.headers = CEL_VIEW("{}");
    return message;
}

static void send_request(struct rpc_op *rpc)
{
    cel_message message = message_to(rpc->queue);

    message.correlation_id = cel__view(rpc->correlation_id);
    message.reply_to = cel__view(rpc->reply_queue);
    message.body = cel__buf_view(&rpc->body);
    message.delivery_mode = 2;
    publish(rpc, &message, on_sent);
}

static void on_probe(uv_timer_t *timer)
{
    send_probe(timer->data);
}

static void on_probed(void *user, cel_code code, const cel_error *err)
{
    struct rpc_op *rpc = user;

    rpc->pending--;
    if (rpc->ending) {
        check_end(rpc);
    } else if (code == CEL_OK) {
        rpc->listening = true;
        send_request(rpc);
    } else if (code == CEL_ENOENT) {
        uv_timer_start(&rpc->probe, on_probe, PROBE_MS, 0);
    } else {
        end_rpc(rpc, code, err);
        check_end(rpc);
    }
}

static void send_probe(struct rpc_op *rpc)
{
    cel_message message = message_to(rpc->reply_queue);

    message.body = CEL_VIEW("{}");
    message.delivery_mode = 1;
    message.existing = true;
    publish(rpc, &message, on_probed);
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    struct rpc_op *rpc = user;

    if (code == CEL_ECONFIG)
        end_rpc(rpc, code, err);
    else if (code == CEL_OK && rpc->listening && !rpc->ending)
        uv_timer_start(&rpc->probe, on_probe, 0, 0); /* what was on its way to us is gone */
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    struct rpc_op *rpc = (struct rpc_op *)op;
    cel_broker *broker = cel__client_broker(op);
    cel_view queue = cel__view(rpc->reply_queue);
    cel_code code = broker->ops->consume(&rpc->consumer, broker,
                                         &(cel_consumer_options){.queues = &queue,
                                                                 .queue_count = 1,
                                                                 .window = WINDOW,
                                                                 .reply = true,
                                                                 .on_delivery = on_delivery,
                                                                 .on_state = on_state,
                                                                 .user = rpc},
                                         err);

    if (code != CEL_OK)
        return code;
    uv_timer_init(cel__client_loop(op), &rpc->probe);
    uv_timer_init(cel__client_loop(op), &rpc->deadline);
    rpc->probe.data = rpc->deadline.data = rpc;
    if (rpc->options.wait && rpc->options.timeout_ms > 0)
        uv_timer_start(&rpc->deadline, on_deadline, (uint64_t)rpc->options.timeout_ms, 0);
    uv_timer_start(&rpc->probe, on_probe, 0, 0);
    return CEL_OK;
}

/* ---- the call ---- */

static cel_code fill(struct rpc_op *rpc, json_t *request, cel_error *err)
{
    const char *queue = rpc->options.queue;
    const char *id = rpc->options.correlation_id;
    char fresh[CEL_UUID_LEN + 1];

    if (!json_is_object(request))
        return cel_error_set(err, CEL_EINVAL, "a request is a JSON object");
    if ((queue && !*queue) || (id && (!*id || strlen(id) > 255)))
        return cel_error_set(err, CEL_EINVAL,
                             "the queue is empty, or the correlation id not 1 to 255 bytes");
    if (rpc->options.wait && json_object_set_new(request, "wait", json_true()) != 0)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    cel__uuid4(fresh);
    cel__uuid4(rpc->reply_queue);
    rpc->queue = cel__strdup(queue ? queue : CEL_DISPATCH_QUEUE);
    rpc->correlation_id = cel__strdup(id ? id : fresh);
    cel__json_dump(&rpc->body, request);
    if (!rpc->queue || !rpc->correlation_id)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    return cel__buf_check(&rpc->body, err);
}

static cel_code make_rpc(struct rpc_op **out,
                         cel_client *client,
                         const cel_rpc_options *options,
                         cel_error *err)
{
    struct rpc_op *rpc = cel__calloc(1, sizeof *rpc);

    if (!rpc)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    if (options)
        memcpy(&rpc->options, options,
               options->size < sizeof *options ? options->size : sizeof *options);
    if (rpc->options.timeout_ms == 0)
        rpc->options.timeout_ms = TIMEOUT_MS;
    rpc->op.start = start;
    rpc->op.abandon = abandon;
    rpc->op.free = free_rpc;
    rpc->op.needs_broker = true;
    cel__client_op_init(client, &rpc->op);
    *out = rpc;
    return CEL_OK;
}

/* How long the whole may take; negative: for ever. */
static int64_t whole_timeout(const cel_rpc_options *options)
{
    if (!options->wait)
        return options->timeout_ms;
    if (options->result_timeout_ms <= 0 || options->timeout_ms < 0)
        return -1;
    return options->timeout_ms + options->result_timeout_ms;
}

cel_code cel_rpc(cel_app *app,
                 json_t **answer,
                 json_t *request,
                 const cel_rpc_options *options,
                 cel_error *err)
{
    cel_client *client;
    struct rpc_op *rpc = NULL;
    cel_code code;

    code = app ? cel__client_get(&client, app, err) : cel_error_set(err, CEL_EINVAL, "no app");
    if (code == CEL_OK)
        code = make_rpc(&rpc, client, options, err);
    if (code == CEL_OK)
        code = fill(rpc, request, err);
    json_decref(request);
    if (code == CEL_OK) {
        code = cel__client_run(&rpc->op, whole_timeout(&rpc->options), err);
        if (code == CEL_ETIMEDOUT && !rpc->options.wait)
            no_answer(rpc, err);
        if (code == CEL_OK && answer) {
            *answer = rpc->answer;
            rpc->answer = NULL;
        }
    }
    if (rpc)
        cel__client_op_unref(&rpc->op);
    return code;
}
