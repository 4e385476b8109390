/* dispatch.c - the dispatcher's life: an operation of the client that ends when it is told to. */
#include "dispatch/dispatch.h"

#include "core/mem.h"
#include "dispatch/impl.h"

#define WINDOW  64
#define TICK_MS 50 /* how exactly the pauses of requests are kept */

cel_message cel__dispatch_reply(cel_view reply_to, cel_view correlation_id, cel_view body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = reply_to;
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.correlation_id = correlation_id;
    message.headers = CEL_VIEW("{}");
    message.body = body;
    message.delivery_mode = 1;
    message.existing = true;
    return message;
}

/* ---- pauses ---- */

static void on_timer(uv_timer_t *timer)
{
    cel__dispatch_retry_due(timer->data);
}

/* The timer runs while there is anything to be tried again. */
void cel__dispatch_tick(cel_dispatcher *dispatcher, bool wanted)
{
    uv_timer_t *timer = &dispatcher->timer;

    if (!wanted)
        uv_timer_stop(timer);
    else if (!uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, TICK_MS, TICK_MS);
}

/* ---- the stop ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    cel_dispatcher *dispatcher = handle->data;

    cel__client_finish(&dispatcher->op, dispatcher->failure.code, &dispatcher->failure);
}

void cel__dispatch_check_stop(cel_dispatcher *dispatcher)
{
    if (!dispatcher->stopping || !dispatcher->canceled || dispatcher->closing ||
        dispatcher->request_count > 0 || dispatcher->report_count > 0)
        return;
    dispatcher->closing = true;
    uv_close((uv_handle_t *)&dispatcher->timer, on_timer_closed);
}

static void on_canceled(void *user)
{
    cel_dispatcher *dispatcher = user;

    dispatcher->canceled = true;
    cel__dispatch_check_stop(dispatcher);
}

void cel__dispatcher_stop(cel_dispatcher *dispatcher)
{
    if (dispatcher->stopping)
        return;
    dispatcher->stopping = true;
    cel__dispatch_reports_stop(dispatcher);
    cel__dispatch_retry_due(dispatcher);
    dispatcher->broker->ops->cancel(dispatcher->consumer, on_canceled, dispatcher);
}

const char *cel__dispatcher_why_not(const cel_dispatcher *dispatcher)
{
    return dispatcher->stopping      ? "stopping"
           : dispatcher->unreachable ? "the broker is out of reach"
                                     : NULL;
}

/* ---- the start ---- */

static void on_state(void *user, cel_code code, const cel_error *err)
{
    cel_dispatcher *dispatcher = user;

    dispatcher->unreachable = code != CEL_OK;
    if (code == CEL_OK) {
        cel__info(dispatcher->log, "the broker is reachable again");
        return;
    }
    if (code == CEL_ECANCELED)
        return;
    cel__err(dispatcher->log, "the broker is out of reach, trying again: %s",
             err ? err->message : "");
    if (code == CEL_ECONFIG && err && !dispatcher->stopping) { /* no other try will help */
        dispatcher->failure = *err;
        cel__dispatcher_stop(dispatcher);
    }
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    cel_dispatcher *dispatcher = (cel_dispatcher *)op;
    const cel_dispatcher_options *options = &dispatcher->options;
    uv_loop_t *loop = cel__client_loop(op);
    cel_code code;

    dispatcher->broker = cel__client_broker(op);
    if (op->needs_backend && cel__client_backend(op)->ops->counts_chords) /* it stores, too */
        dispatcher->backend = cel__client_backend(op);
    dispatcher->together = dispatcher->backend && cel__client_one_domain(op);
    code = dispatcher->broker->ops->consume(
        &dispatcher->consumer, dispatcher->broker,
        &(cel_consumer_options){.queues = options->queues,
                                .queue_count = options->queue_count,
                                .window = options->window ? options->window : WINDOW,
                                .on_delivery = cel__dispatch_receive,
                                .on_state = on_state,
                                .user = dispatcher},
        err);
    if (code != CEL_OK)
        return code;
    uv_timer_init(loop, &dispatcher->timer);
    dispatcher->timer.data = dispatcher;
    if (options->on_start)
        options->on_start(options->user, dispatcher, loop);
    return CEL_OK;
}

static void free_dispatcher(cel_client_op *op)
{
    cel_dispatcher *dispatcher = (cel_dispatcher *)op;

    cel__dispatch_memory_done(&dispatcher->memory);
    cel__free(dispatcher);
}

cel_code cel__dispatcher_run(const cel_dispatcher_options *options, cel_error *err)
{
    cel_client *client;
    cel_dispatcher *dispatcher;
    cel_code code = cel__client_get(&client, options->app, err);

    if (code != CEL_OK)
        return code;
    dispatcher = cel__calloc(1, sizeof *dispatcher);
    if (!dispatcher)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a dispatcher");
    dispatcher->options = *options;
    dispatcher->app = options->app;
    dispatcher->log = &options->app->log;
    dispatcher->op.start = start;
    dispatcher->op.free = free_dispatcher;
    dispatcher->op.needs_broker = true;
    dispatcher->op.needs_backend = options->app->backend_url != NULL;
    cel__client_op_init(client, &dispatcher->op);
    code = cel__client_run(&dispatcher->op, -1, err);
    cel__client_op_unref(&dispatcher->op);
    return code;
}
