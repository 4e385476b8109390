/* watch.c - notices that messages wait, a slot is free and none comes.
 *
 * A connection can look well and deliver nothing: a consumer that the server has forgotten, a
 * proxy that swallows. So when nothing has come for worker_watchdog_timeout though there was
 * room for it, the queues are asked how much they hold. If one holds something and still nothing
 * comes, that is a strike. Each strike leaves the same time again:
 *
 *   1 consume anew   2 connect anew   3 end with an error, so that who supervises the worker sees
 *
 * A message, or a queue that is empty, begins it all from the start. */
#include "worker/watch.h"

#include <stdio.h>
#include <string.h>

#include "app/declare.h"

#define LOOKS 4 /* per timeout */

static int64_t now_ms(const cel_worker *worker)
{
    return cel__clock_mono_ms(worker->app->clock);
}

static void begin_anew(cel_worker *worker)
{
    worker->watch.since_ms = now_ms(worker);
    worker->watch.received = worker->received;
    worker->watch.found = false;
}

/* Whether a message would be taken if it came. */
static bool has_room(const cel_worker *worker)
{
    return worker->phase == CEL_WORKER_RUNNING && worker->consumer && !worker->unreachable &&
           !worker->waiting && worker->held < worker->window_set &&
           worker->pool_ops->room(worker->pool) > 0;
}

/* All is well, or there is nothing to be expected. */
static bool is_well(cel_worker *worker)
{
    if (worker->received != worker->watch.received) {
        worker->watch.strikes = 0;
        return true;
    }
    return !has_room(worker);
}

static void strike(cel_worker *worker)
{
    const cel_worker_watch *watch = &worker->watch;
    double seconds = (double)(now_ms(worker) - watch->since_ms) / 1000.0;
    unsigned strikes = ++worker->watch.strikes;
    cel_error err;

    if (strikes > 2) {
        cel_error_set(
            &err, CEL_ECONN,
            "%lld messages wait in queue '%s', a process is free, and none comes, also "
            "over a new connection",
            (long long)watch->ready, watch->queue);
        cel__worker_break(worker, &err);
        return;
    }
    cel__worker_log(
        worker, CEL_LOG_WARNING,
        "%lld messages wait in queue '%s', a process is free, and none has come for "
        "%.1f seconds: %s anew",
        (long long)watch->ready, watch->queue, seconds,
        strikes == 1 ? "consuming" : "connecting");
    worker->broker->ops->revive(worker->consumer, strikes > 1);
    begin_anew(worker);
}

static void answered(cel_worker *worker, const cel_error *err)
{
    cel_worker_watch *watch = &worker->watch;

    if (--watch->asked == 0 && worker->phase == CEL_WORKER_RUNNING) {
        if (err || !watch->found || is_well(worker))
            begin_anew(worker);
        else
            strike(worker);
    }
}

static void on_queue(void *user, const cel_queue_info *info, const cel_error *err)
{
    cel_worker *worker = user;
    cel_worker_watch *watch = &worker->watch;

    if (!info) {
        answered(worker, err);
        return;
    }
    if (info->ready <= 0)
        return;
    watch->found = true;
    watch->ready = info->ready;
    snprintf(watch->queue, sizeof watch->queue, "%.*s", CEL_VIEW_ARG(info->name));
}

/* Of such a queue only one consumer gets anything, and that need not be this one. */
static bool has_one_consumer(const cel_worker *worker, cel_view queue)
{
    static const char argument[] = "x-single-active-consumer";
    cel_queue_decl decl;

    return cel__app_describe(worker->app, queue, &decl) && decl.arguments.ptr &&
           memmem(decl.arguments.ptr, decl.arguments.len, argument, sizeof argument - 1);
}

static void ask(cel_worker *worker)
{
    cel_worker_watch *watch = &worker->watch;

    watch->found = false;
    for (size_t i = 0; i < worker->queue_count; i++) {
        if (has_one_consumer(worker, worker->queues[i]) ||
            worker->broker->ops->queues(worker->broker, worker->queues[i], on_queue, worker,
                                        NULL) != CEL_OK)
            continue;
        watch->asked++;
    }
    if (watch->asked == 0)
        begin_anew(worker);
}

static void on_watch(uv_timer_t *timer)
{
    cel_worker *worker = timer->data;

    if (worker->watch.asked > 0) /* who gives no answer is given up by the broker itself */
        return;
    if (is_well(worker))
        begin_anew(worker);
    else if (now_ms(worker) - worker->watch.since_ms >= worker->settings.watch_ms)
        ask(worker);
}

void cel__watch_start(cel_worker *worker)
{
    int64_t every_ms = worker->settings.watch_ms / LOOKS;

    if (worker->settings.watch_ms <= 0 || !worker->broker->ops->revive)
        return;
    begin_anew(worker);
    every_ms = every_ms > 0 ? every_ms : 1;
    uv_timer_start(&worker->watch_timer, on_watch, (uint64_t)every_ms, (uint64_t)every_ms);
}
