/* events.c - cel_events: a receiver with a loop and a broker of its own. */
#include "celeriac/events.h"

#include <uv.h>

#include "app/app.h"
#include "app/declare.h"
#include "core/mem.h"
#include "events/receiver.h"

struct cel_events {
    cel_app *app;
    cel_events_options options;
    uv_loop_t loop;
    uv_async_t stop;
    uv_timer_t timer;
    cel_broker *broker;
    cel_event_receiver *receiver;
    cel_lamport lamport;
    bool stopped; /* the run is to end */
    bool timer_over, refused;
    size_t closing; /* what must end before the loop */
    cel_error failure;
};

static void on_event(void *user, const char *type, json_t *event)
{
    cel_events *events = user;

    events->options.on_event(events->options.user, type, event);
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    cel_events *events = user;

    if (code == CEL_ECONFIG && err) { /* it may not listen: no other try will help */
        events->failure = *err;
        events->refused = true;
        return;
    }
    if (events->options.on_outage)
        events->options.on_outage(events->options.user, code == CEL_OK ? NULL : err);
}

static void on_stop(uv_async_t *async)
{
    ((cel_events *)async->data)->stopped = true;
}

static void on_timer(uv_timer_t *timer)
{
    ((cel_events *)timer->data)->timer_over = true;
}

static void on_closed(void *user)
{
    ((cel_events *)user)->closing--;
}

static cel_code open_ends(cel_events *events, cel_error *err)
{
    const cel_config *config = events->app->config;
    const char *exchange = cel__config_string(config, "event_exchange");
    const char *prefix = cel__config_string(config, "event_queue_prefix");
    int64_t ttl_ms = cel__config_ms(config, "event_queue_ttl");
    int64_t expires_ms = cel__config_ms(config, "event_queue_expires");
    cel_broker_options broker = {.url = cel__app_broker_url(events->app),
                                 .loop = &events->loop,
                                 .clock = events->app->clock,
                                 .log = &events->app->log};
    cel_code code;

    cel__app_broker_options(events->app, &broker);
    code = cel__broker_open(&events->broker, &broker, err);
    if (code != CEL_OK)
        return code;
    return cel__event_receiver_open(
        &events->receiver,
        &(cel_event_receiver_options){.broker = events->broker,
                                      .clock = events->app->clock,
                                      .log = &events->app->log,
                                      .lamport = &events->lamport,
                                      .exchange = cel__view(exchange ? exchange : "celeryev"),
                                      .prefix = cel__view(prefix ? prefix : "celeryev"),
                                      .pattern = cel__view(events->options.pattern),
                                      .ttl_ms = ttl_ms > 0 ? ttl_ms : 0,
                                      .expires_ms = expires_ms > 0 ? expires_ms : 0,
                                      .on_event = on_event,
                                      .on_state = on_state,
                                      .user = events},
        err);
}

cel_code cel_events_open(cel_events **out,
                         cel_app *app,
                         const cel_events_options *options,
                         cel_error *err)
{
    cel_events *events;
    cel_code code;

    if (!app || !options || options->size < sizeof *options || !options->on_event)
        return cel_error_set(err, CEL_EINVAL, "cel_events_open() needs an app and on_event");
    events = cel__calloc(1, sizeof *events);
    if (!events)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a receiver of events");
    events->app = app;
    events->options = *options;
    events->options.pattern =
        cel__strdup(options->pattern && *options->pattern ? options->pattern : "#");
    if (!events->options.pattern || uv_loop_init(&events->loop) != 0) {
        cel__free((char *)events->options.pattern);
        cel__free(events);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a receiver of events");
    }
    uv_timer_init(&events->loop, &events->timer);
    if (uv_async_init(&events->loop, &events->stop, on_stop) != 0) {
        uv_close((uv_handle_t *)&events->timer, NULL);
        uv_run(&events->loop, UV_RUN_NOWAIT);
        uv_loop_close(&events->loop);
        cel__free((char *)events->options.pattern);
        cel__free(events);
        return cel_error_set(err, CEL_EIO, "no event loop: too many open files?");
    }
    events->stop.data = events->timer.data = events;
    code = open_ends(events, err);
    if (code != CEL_OK) {
        cel_events_close(events);
        return code;
    }
    *out = events;
    return CEL_OK;
}

cel_code cel_events_run(cel_events *events, int64_t timeout_ms, cel_error *err)
{
    events->timer_over = timeout_ms == 0;
    uv_update_time(&events->loop);
    if (timeout_ms > 0)
        uv_timer_start(&events->timer, on_timer, (uint64_t)timeout_ms, 0);
    do
        uv_run(&events->loop, timeout_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    while (!events->stopped && !events->timer_over && !events->refused);
    uv_timer_stop(&events->timer);
    events->stopped = false;
    if (!events->refused)
        return CEL_OK;
    if (err)
        *err = events->failure;
    return events->failure.code;
}

void cel_events_stop(cel_events *events)
{
    uv_async_send(&events->stop);
}

void cel_events_close(cel_events *events)
{
    if (!events)
        return;
    if (events->receiver) {
        events->closing++;
        cel__event_receiver_close(events->receiver, on_closed, events);
        while (events->closing > 0)
            uv_run(&events->loop, UV_RUN_ONCE);
    }
    if (events->broker) {
        events->closing++;
        events->broker->ops->close(events->broker, on_closed, events);
        while (events->closing > 0)
            uv_run(&events->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&events->timer, NULL);
    uv_close((uv_handle_t *)&events->stop, NULL);
    uv_run(&events->loop, UV_RUN_DEFAULT);
    uv_loop_close(&events->loop);
    cel__free((char *)events->options.pattern);
    cel__free(events);
}

uint64_t cel_events_malformed(const cel_events *events)
{
    return cel__event_receiver_malformed(events->receiver);
}
