/* worker.c - the worker's life: connect, start, run, stop. The diagram is in worker.h. */
#include "worker/worker.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "app/declare.h"
#include "app/settings.h"
#include "app/signals.h"
#include "app/trace.h"
#include "core/mem.h"
#include "events/sender.h"
#include "worker/announce.h"
#include "worker/control.h"
#include "worker/request.h"
#include "worker/settle.h"
#include "worker/strategy.h"
#include "worker/watch.h"

#define SWEEP_MS 15000 /* how often chords of dead workers are looked for */
#define SWEEP_OLDER_MS                                                                         \
    60000 /* a complete chord this long not done is taken over, whoever completed it */
#define CONNECT_MAX_MS 30000
#define ETA_LIMIT      1000
#define QUEUES_MAX     1000

void cel__worker_vlog(
    cel_worker *worker, cel_log_level level, const char *process, const char *fmt, va_list args)
{
    char text[8192];
    int len;

    if (!cel__worker_logs(worker, level))
        return;
    len = vsnprintf(text, sizeof text, fmt, args);
    if (len < 0)
        return;
    if (len >= (int)sizeof text)
        len = (int)sizeof text - 1;
    worker->log(worker->log_user, level, process, (cel_view){0}, (cel_view){0},
                (cel_view){text, (size_t)len});
}

void cel__worker_log(cel_worker *worker, cel_log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    cel__worker_vlog(worker, level, "MainProcess", fmt, args);
    va_end(args);
}

/* ---- construction ---- */

static int64_t limit_of(const cel_config *config, const char *name)
{
    int64_t ms = cel__config_ms(config, name);

    return ms > 0 ? ms : 0;
}

/* The setting, or where it is None the one that was there before it. */
static bool falls_back(const cel_config *config, const char *name)
{
    if (json_is_null(cel__config_json(config, name)))
        name = "task_acks_on_failure_or_timeout";
    return cel__config_bool(config, name);
}

static void read_settings(cel_worker *worker)
{
    const cel_config *config = worker->app->config;
    const json_t *limit = cel__config_at(config, CEL_SET_worker_eta_task_limit);
    int64_t multiplier = 0;

    if (cel__config_is_set(config, "worker_prefetch_multiplier"))
        multiplier = cel__config_int(config, "worker_prefetch_multiplier");
    cel__window_init(&worker->window, worker->concurrency, multiplier);
    worker->settings = (cel_worker_settings){
        .acks_late = cel__config_bool(config, "task_acks_late"),
        .acks_on_failure = falls_back(config, "task_acks_on_failure"),
        .acks_on_timeout = falls_back(config, "task_acks_on_timeout"),
        .reject_on_worker_lost = cel__config_bool(config, "task_reject_on_worker_lost"),
        .track_started = cel__config_bool(config, "task_track_started"),
        .ignore_result = cel__config_bool(config, "task_ignore_result"),
        .extended = cel__config_bool(config, "result_extended"),
        .soft_limit_ms = limit_of(config, "task_soft_time_limit"),
        .hard_limit_ms = limit_of(config, "task_time_limit"),
        .watch_ms = limit_of(config, "worker_watchdog_timeout"),
        .eta_limit = json_is_integer(limit) ? (size_t)json_integer_value(limit) : ETA_LIMIT,
        .crash_limit = cel__config_int(config, "task_delivery_limit"),
    };
}

static cel_code
copy_queues(cel_worker *worker, const cel_worker_options *options, cel_error *err)
{
    worker->queues = cel__calloc(options->queue_count, sizeof *worker->queues);
    if (!worker->queues)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the names of the queues");
    for (size_t i = 0; i < options->queue_count; i++) {
        cel_view name = options->queues[i];
        char *copy = cel__memdup(name.ptr, name.len);

        if (!copy)
            return cel_error_set(err, CEL_ENOMEM, "no memory for the names of the queues");
        worker->queues[worker->queue_count++] = (cel_view){copy, name.len};
    }
    return CEL_OK;
}

/* A limit that the pool cannot keep is refused, not ignored. */
static cel_code check_limits(const cel_worker *worker, cel_error *err)
{
    if (worker->pool_ops->hard_limits || worker->settings.hard_limit_ms == 0)
        return CEL_OK;
    return cel_error_set(err, CEL_ECONFIG,
                         "the pool %s cannot end a running task: no hard time limit can be "
                         "kept; use -P prefork or "
                         "only a soft limit",
                         worker->pool_ops->names);
}

cel_code cel__worker_new(cel_worker **out, const cel_worker_options *options, cel_error *err)
{
    cel_worker *worker = cel__calloc(1, sizeof *worker);
    cel_code code;

    if (!worker) {
        cel__zygote_stop(options->zygote);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a worker");
    }
    worker->zygote = options->zygote;
    worker->app = options->app;
    worker->pool_ops = options->pool;
    worker->concurrency = options->concurrency;
    worker->log = options->log;
    worker->log_user = options->log_user;
    worker->on_ready = options->on_ready;
    worker->user = options->user;
    worker->node = cel__strdup(options->node);
    if (uv_loop_init(&worker->loop) != 0) {
        cel__free(worker->node);
        cel__free(worker);
        cel__zygote_stop(options->zygote);
        return cel_error_set(err, CEL_EIO, "no event loop: too many open files?");
    }
    worker->loop.data = worker;
    read_settings(worker);
    code = check_limits(worker, err);
    if (code == CEL_OK)
        code = copy_queues(worker, options, err);
    if (code == CEL_OK && !worker->node)
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a worker");
    if (code == CEL_OK)
        code = cel__announce_open(worker, options, err);
    if (code == CEL_OK)
        code = cel__control_new(worker, options->statedb, err);
    if (code != CEL_OK) {
        cel__worker_free(worker);
        return code;
    }
    *out = worker;
    return CEL_OK;
}

void cel__worker_free(cel_worker *worker)
{
    if (!worker)
        return;
    assert(worker->phase == CEL_WORKER_NEW || worker->phase == CEL_WORKER_STOPPED);
    cel__zygote_stop(worker->zygote);
    cel__request_drop_idle(worker);
    cel__control_free(worker->control);
    uv_run(&worker->loop, UV_RUN_NOWAIT);
    cel__event_sender_free(worker->events);
    uv_loop_close(&worker->loop);
    for (size_t i = 0; i < worker->queue_count; i++)
        cel__free((void *)worker->queues[i].ptr);
    cel__free(worker->queues);
    cel__free(worker->node);
    cel__buf_done(&worker->scratch);
    cel__metrics_free(worker->metrics);
    cel__free(worker->health.lengths);
    cel__free(worker);
}

uv_loop_t *cel__worker_loop(cel_worker *worker)
{
    return &worker->loop;
}

bool cel__worker_is_stopping(const cel_worker *worker)
{
    return worker->phase > CEL_WORKER_RUNNING;
}

/* ---- closing ---- */

static void on_closed(void *user)
{
    cel_worker *worker = user;

    assert(worker->open_handles > 0);
    worker->open_handles--;
}

static void close_ends(cel_worker *worker)
{
    worker->phase = CEL_WORKER_CLOSING;
    cel__settle_abandon(worker);
    cel__event_sender_stop(worker->events);
    cel__control_stop(worker);
    uv_close((uv_handle_t *)&worker->sweep_timer, NULL);
    uv_close((uv_handle_t *)&worker->watch_timer, NULL);
    uv_close((uv_handle_t *)&worker->retry_timer, NULL);
    uv_close((uv_handle_t *)&worker->connect_timer, NULL);
    if (worker->backend) {
        worker->open_handles++;
        worker->backend->ops->close(worker->backend, on_closed, worker);
    }
    if (worker->broker) {
        worker->open_handles++;
        worker->broker->ops->close(worker->broker, on_closed, worker);
    }
    worker->backend = NULL;
    worker->broker = NULL;
}

static void on_pool_closed(void *user)
{
    cel_worker *worker = user;

    worker->pool = NULL;
    worker->pool_stopped = true;
    cel__worker_check_stop(worker);
}

/* Ends in on_pool_closed(). */
static void close_pool(cel_worker *worker)
{
    worker->pool_closing = true;
    worker->pool_stopped = false;
    if (worker->pool)
        worker->pool_ops->close(worker->pool, on_pool_closed, worker);
    else
        on_pool_closed(worker);
}

/* What could not be settled keeps a warm stop waiting, but not a cold one. */
static bool is_settled(const cel_worker *worker)
{
    size_t left = worker->held;

    if (worker->phase == CEL_WORKER_KILLING) {
        const cel_settlement *settlement;

        LL_FOREACH(worker->failed, settlement)
        left--;
    }
    return left == 0;
}

void cel__worker_check_stop(cel_worker *worker)
{
    if (worker->phase != CEL_WORKER_DRAINING && worker->phase != CEL_WORKER_KILLING)
        return;
    if (!worker->pool_stopped || !worker->consumer_stopped || !is_settled(worker))
        return;
    if (worker->pool && !worker->pool_closing)
        close_pool(worker);
    else
        close_ends(worker);
}

static void on_drained(void *user)
{
    cel_worker *worker = user;

    if (worker->phase != CEL_WORKER_DRAINING)
        return; /* a cold stop has overtaken */
    worker->pool_stopped = true;
    cel__worker_check_stop(worker);
}

static void on_cancelled(void *user)
{
    cel_worker *worker = user;

    worker->consumer_stopped = true;
    cel__worker_check_stop(worker);
}

static void stop_receiving(cel_worker *worker)
{
    cel_consumer *consumer = worker->consumer;

    worker->consumer = NULL;
    uv_timer_stop(&worker->sweep_timer);
    uv_timer_stop(&worker->watch_timer);
    uv_timer_stop(&worker->connect_timer);
    cel__strategy_release_all(worker);
    if (consumer)
        worker->broker->ops->cancel(consumer, on_cancelled, worker);
    else
        worker->consumer_stopped = true;
}

void cel__worker_warm(cel_worker *worker)
{
    if (worker->phase != CEL_WORKER_RUNNING)
        return;
    worker->phase = CEL_WORKER_DRAINING;
    cel__signal_send(worker->app,
                     &(cel_signal_event){.signal = CEL_SIGNAL_WORKER_SHUTTING_DOWN});
    stop_receiving(worker);
    if (worker->pool)
        worker->pool_ops->drain(worker->pool, on_drained, worker);
    else
        worker->pool_stopped = true;
    cel__worker_check_stop(worker);
}

void cel__worker_cold(cel_worker *worker)
{
    if (worker->phase == CEL_WORKER_RUNNING) {
        worker->phase = CEL_WORKER_KILLING;
        cel__signal_send(worker->app,
                         &(cel_signal_event){.signal = CEL_SIGNAL_WORKER_SHUTTING_DOWN});
        stop_receiving(worker);
    } else if (worker->phase == CEL_WORKER_DRAINING) {
        worker->phase = CEL_WORKER_KILLING;
    } else {
        return;
    }
    if (worker->failed) /* one last try, at once */
        uv_timer_start(&worker->retry_timer, cel__settle_retry, 0, 0);
    if (!worker->pool_closing)
        close_pool(worker);
    else
        cel__worker_check_stop(worker);
}

void cel__worker_break(cel_worker *worker, const cel_error *err)
{
    if (worker->broken.code == CEL_OK)
        worker->broken = *err;
    cel__worker_log(worker, CEL_LOG_CRITICAL, "Unrecoverable error: %s", err->message);
    cel__worker_cold(worker);
}

/* ---- running ---- */

static void
on_swept(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    cel_worker *worker = user;

    if (ready) {
        cel__settle_chord(worker, ready, NULL);
        return;
    }
    if (code != CEL_OK && code != CEL_ECANCELED)
        cel__worker_log(worker, CEL_LOG_WARNING, "the sweep of the result store failed: %s",
                        err ? err->message : "");
    worker->held--;
    cel__worker_check_stop(worker);
}

static void on_sweep(uv_timer_t *timer)
{
    cel_worker *worker = timer->data;
    cel_error err = {0};

    if (!worker->backend || !worker->backend->ops->sweep)
        return;
    if (worker->backend->ops->sweep(worker->backend, SWEEP_OLDER_MS, on_swept, worker, &err) ==
        CEL_OK)
        worker->held++;
}

static void on_broker_state(void *user, cel_code code, const cel_error *err)
{
    cel_worker *worker = user;

    if (code == CEL_ECONFIG) { /* it may not consume: no other try will help */
        cel__worker_break(worker, err);
        return;
    }
    /* What has not begun is delivered again when the broker is back: it must not run twice. */
    worker->unreachable = code != CEL_OK;
    if (code == CEL_OK)
        cel__announce_again(worker);
    if (code == CEL_ECONN)
        cel__strategy_release_all(worker);
    if (code == CEL_OK)
        cel__worker_log(worker, CEL_LOG_INFO, "the broker is reachable again");
    else
        cel__worker_log(worker, CEL_LOG_ERROR, "the broker is out of reach, trying again: %s",
                        err ? err->message : "");
}

static cel_code open_broker(cel_worker *worker, cel_error *err)
{
    cel_broker_options options = {.url = cel__app_broker_url(worker->app),
                                  .loop = &worker->loop,
                                  .clock = worker->app->clock,
                                  .log = &worker->app->log,
                                  .threaded = true,
                                  .node = worker->node};

    cel__app_broker_options(worker->app, &options);
    return cel__broker_open(&worker->broker, &options, err);
}

static cel_code open_backend(cel_worker *worker, cel_error *err)
{
    const char *url = cel__app_backend_url(worker->app);
    int64_t expires_ms = cel__config_ms(worker->app->config, "result_expires");

    if (!url)
        return CEL_OK;
    return cel__backend_open(
        &worker->backend,
        &(cel_backend_options){.url = url,
                               .loop = &worker->loop,
                               .clock = worker->app->clock,
                               .log = &worker->app->log,
                               .threaded = true,
                               .expires_ms = expires_ms > 0 ? expires_ms : 0,
                               .broker = worker->broker,
                               .coding = &worker->app->codings.results,
                               .persistent =
                                   cel__config_bool(worker->app->config, "result_persistent")},
        err);
}

static cel_code consume(cel_worker *worker, cel_error *err)
{
    worker->window_set = cel__window_size(&worker->window);
    return worker->broker->ops->consume(
        &worker->consumer, worker->broker,
        &(cel_consumer_options){.queues = worker->queues,
                                .queue_count = worker->queue_count,
                                .window = worker->window_set,
                                .on_delivery = cel__strategy_receive,
                                .on_state = on_broker_state,
                                .user = worker},
        err);
}

/* ---- other queues ---- */

static void on_left(void *user)
{
    (void)user;
}

/* Consumes anew, with the queues that there are now. What is out stays out. */
static cel_code consume_anew(cel_worker *worker, cel_error *err)
{
    cel_consumer *old = worker->consumer;

    worker->consumer = NULL;
    if (old)
        worker->broker->ops->cancel(old, on_left, worker);
    return worker->queue_count > 0 ? consume(worker, err) : CEL_OK;
}

static size_t find_queue(const cel_worker *worker, cel_view queue)
{
    size_t i = 0;

    while (i < worker->queue_count && !cel__view_eq(worker->queues[i], queue))
        i++;
    return i;
}

static void drop_queue(cel_worker *worker, size_t at)
{
    cel__free((void *)worker->queues[at].ptr);
    worker->queue_count--;
    memmove(&worker->queues[at], &worker->queues[at + 1],
            (worker->queue_count - at) * sizeof *worker->queues);
}

cel_code cel__worker_add_queue(cel_worker *worker, cel_view queue, cel_error *err)
{
    cel_view *queues;
    char *copy;
    cel_code code;

    if (worker->phase != CEL_WORKER_RUNNING || find_queue(worker, queue) < worker->queue_count)
        return CEL_OK;
    if (worker->queue_count >= QUEUES_MAX)
        return cel_error_set(err, CEL_EFULL, "the worker consumes %d queues already",
                             QUEUES_MAX);
    queues = cel__realloc(worker->queues, (worker->queue_count + 1) * sizeof *queues);
    if (queues)
        worker->queues = queues;
    copy = queues ? cel__memdup(queue.ptr, queue.len) : NULL;
    if (!copy)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the name of a queue");
    worker->queues[worker->queue_count++] = (cel_view){copy, queue.len};
    code = consume_anew(worker, err);
    if (code != CEL_OK) { /* of the name: without it, it is as it was */
        drop_queue(worker, worker->queue_count - 1);
        cel_error again = {0};
        if (consume_anew(worker, &again) != CEL_OK)
            cel__worker_break(worker, &again);
        return code;
    }
    cel__worker_log(worker, CEL_LOG_INFO, "Started consuming from %.*s", CEL_VIEW_ARG(queue));
    return CEL_OK;
}

void cel__worker_drop_queue(cel_worker *worker, cel_view queue)
{
    size_t at = find_queue(worker, queue);
    cel_error err = {0};

    if (worker->phase != CEL_WORKER_RUNNING || at == worker->queue_count)
        return;
    drop_queue(worker, at);
    if (consume_anew(worker, &err) != CEL_OK)
        cel__worker_break(worker, &err);
}

static void announce(cel_worker *worker)
{
    cel__buf url = {0};

    cel__url_mask(&url, cel__app_broker_url(worker->app));
    if (cel__buf_cstr(&url))
        cel__worker_log(worker, CEL_LOG_INFO, "Connected to %s", url.ptr);
    cel__buf_done(&url);
    cel__worker_log(worker, CEL_LOG_INFO, "%s ready.", worker->node);
    cel__signal_send(worker->app, &(cel_signal_event){.signal = CEL_SIGNAL_WORKER_READY});
    if (worker->on_ready)
        worker->on_ready(worker->user);
}

static void on_connect_timer(uv_timer_t *timer);

/* Opens what is not open yet. An outage at the start is waited for; a wrong URL or a foreign file is not. */
static cel_code connect_ends(cel_worker *worker, cel_error *err)
{
    cel_code code = CEL_OK;

    if (!worker->broker)
        code = open_broker(worker, err);
    if (code == CEL_OK && !worker->backend)
        code = open_backend(worker, err);
    if (code == CEL_OK && !worker->consumer) {
        worker->one_domain = worker->backend && worker->broker->domain &&
                             worker->broker->domain == worker->backend->domain;
        code = consume(worker, err);
    }
    if (code != CEL_OK)
        return code;
    cel__announce_start(worker);
    cel__control_start(worker);
    announce(worker);
    uv_timer_start(&worker->sweep_timer, on_sweep, 0, SWEEP_MS);
    cel__watch_start(worker);
    return CEL_OK;
}

static void retry_connect(cel_worker *worker, const cel_error *err)
{
    worker->connect_ms = worker->connect_ms ? worker->connect_ms * 2 : 500;
    if (worker->connect_ms > CONNECT_MAX_MS)
        worker->connect_ms = CONNECT_MAX_MS;
    cel__worker_log(worker, CEL_LOG_ERROR, "cannot connect: %s. Trying again in %.1f seconds",
                    err->message, (double)worker->connect_ms / 1000.0);
    uv_timer_start(&worker->connect_timer, on_connect_timer, (uint64_t)worker->connect_ms, 0);
}

static void on_connect_timer(uv_timer_t *timer)
{
    cel_worker *worker = timer->data;
    cel_error err = {0};

    if (worker->phase != CEL_WORKER_RUNNING || connect_ends(worker, &err) == CEL_OK)
        return;
    if (err.retriable)
        retry_connect(worker, &err);
    else
        cel__worker_break(worker, &err);
}

static void on_child(void *user, int slot, pid_t pid, const char *text, bool expected)
{
    cel_worker *worker = user;

    if (!text)
        cel__worker_log(worker, CEL_LOG_DEBUG, "ForkPoolWorker-%d started with pid %d", slot,
                        (int)pid);
    else
        cel__worker_log(worker, expected ? CEL_LOG_DEBUG : CEL_LOG_ERROR,
                        "Process 'ForkPoolWorker-%d' pid:%d %s", slot, (int)pid, text);
}

static void on_broken(void *user, const cel_error *err)
{
    cel__worker_break(user, err);
}

static cel_code open_pool(cel_worker *worker, cel_error *err)
{
    const cel_config *config = worker->app->config;
    cel_pool_options options = {
        .slots = worker->concurrency,
        .loop = &worker->loop,
        .clock = worker->app->clock,
        .log = &worker->app->log,
        .callbacks = {cel__strategy_on_room, cel__strategy_on_dispatch,
                      cel__strategy_on_started, cel__strategy_on_frame,
                      cel__strategy_on_outcome, cel__strategy_on_lost,
                      cel__strategy_on_returned, cel__strategy_on_soft_limit, on_child,
                      on_broken, worker},
        .max_tasks_per_child = cel__config_int(config, "worker_max_tasks_per_child"),
        .max_memory_kib = cel__config_int(config, "worker_max_memory_per_child"),
        .zygote = worker->zygote,
    };

    cel__trace_host(&options.host, worker->app);
    worker->zygote = NULL;
    return worker->pool_ops->open(&worker->pool, &options, err);
}

static void start_timers(cel_worker *worker)
{
    uv_timer_t *timers[] = {&worker->sweep_timer, &worker->watch_timer, &worker->retry_timer,
                            &worker->connect_timer};

    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
        uv_timer_init(&worker->loop, timers[i]);
        timers[i]->data = worker;
    }
}

cel_code cel__worker_run(cel_worker *worker, cel_error *err)
{
    cel_error failure = {0};
    cel_code code;

    assert(worker->phase == CEL_WORKER_NEW);
    start_timers(worker);
    worker->phase = CEL_WORKER_RUNNING;
    code = open_pool(worker, &failure);
    if (code == CEL_OK)
        code = connect_ends(worker, &failure);
    if (code != CEL_OK && failure.retriable && worker->pool)
        retry_connect(worker, &failure);
    else if (code != CEL_OK)
        cel__worker_break(worker, &failure);
    while (worker->phase != CEL_WORKER_CLOSING || worker->open_handles > 0)
        uv_run(&worker->loop, UV_RUN_ONCE);
    uv_run(&worker->loop, UV_RUN_NOWAIT);
    worker->phase = CEL_WORKER_STOPPED;
    if (worker->broken.code != CEL_OK) {
        if (err)
            *err = worker->broken;
        return worker->broken.code;
    }
    return CEL_OK;
}
