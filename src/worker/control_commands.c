/* control_commands.c - the commands that change something, and the table of all. */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "app/declare.h"
#include "core/json.h"
#include "core/mem.h"
#include "events/sender.h"
#include "worker/control.h"
#include "worker/rate.h"
#include "worker/strategy.h"

#define SLOTS_MAX 4096

static json_t *ping(cel_control_call *call)
{
    (void)call;
    return cel__control_ok("pong");
}

/* ---- tasks ---- */

static cel_task_entry *find_task(cel_control_call *call, const char *what)
{
    cel_view name = cel__control_view(cel__control_arg(call, "task_name"));
    cel_task_entry *task =
        name.ptr ? cel__registry_find(call->worker->app->registry, name) : NULL;

    if (!task)
        cel__worker_log(call->worker, CEL_LOG_ERROR, "%s attempt for unknown task %.*s", what,
                        CEL_VIEW_ARG(name));
    return task;
}

/* What Python's float() says of the number before the '/'. */
static json_t *invalid_rate(const char *text)
{
    cel__buf json = {0}, repr = {0}, whole = {0};
    json_t *answer;

    cel__buf_add_json(&json, (cel_view){text, strcspn(text, "/")});
    cel__json_pyrepr(&repr, cel__buf_view(&json), false);
    cel__buf_reset(&json);
    cel__buf_addf(&whole, "could not convert string to float: %.300s",
                  cel__buf_cstr(&repr) ? repr.ptr : "");
    cel__buf_add_json(&json, cel__buf_view(&whole));
    cel__buf_reset(&repr);
    cel__json_pyrepr(&repr, cel__buf_view(&json), false);
    answer = cel__control_nok("Invalid rate limit string: ValueError(%s)",
                              cel__buf_cstr(&repr) ? repr.ptr : "");
    cel__buf_done(&json);
    cel__buf_done(&repr);
    cel__buf_done(&whole);
    return answer;
}

static json_t *rate_limit(cel_control_call *call)
{
    const json_t *given = cel__control_arg(call, "rate_limit");
    cel_worker *worker = call->worker;
    cel__buf text = {0};
    cel_task_entry *task;
    int64_t interval_us;
    json_t *answer = NULL;

    if (json_is_string(given))
        cel__buf_add_view(&text, cel__control_view(given));
    else if (json_is_number(given))
        cel__json_dump(&text, given);
    else if (cel__control_truth(given))
        return cel__control_raise(call, "TypeError", "rate_limit is no string and no number");
    if (!cel__buf_cstr(&text) || !cel__rate_parse(&interval_us, text.ptr)) {
        answer = invalid_rate(text.ptr ? text.ptr : "");
    } else if (!(task = find_task(call, "Rate limit"))) {
        answer = cel__control_nok("unknown task");
    } else if (cel__registry_set_rate_limit(task, interval_us > 0 ? text.ptr : NULL) ==
               CEL_OK) {
        cel__strategy_reset_rates(worker);
        if (interval_us > 0)
            cel__worker_log(worker, CEL_LOG_INFO, "New rate limit for tasks of type %s: %s.",
                            task->name, text.ptr);
        else
            cel__worker_log(worker, CEL_LOG_INFO, "Rate limits disabled for tasks of type %s",
                            task->name);
        answer = interval_us > 0 ? cel__control_ok("new rate limit set successfully")
                                 : cel__control_ok("rate limit disabled successfully");
    }
    cel__buf_done(&text);
    return answer;
}

/* Seconds as milliseconds; 0 for none. False after raising. */
static bool limit_of(cel_control_call *call, const char *name, int64_t *out)
{
    const json_t *value = cel__control_arg(call, name);
    double seconds = json_number_value(value);

    *out = 0;
    if (!value)
        return true;
    if (!json_is_number(value) || !(seconds >= 0 && seconds <= 1e9)) {
        cel__control_raise(call, "ValueError", "%s is no number of seconds", name);
        return false;
    }
    *out = (int64_t)(seconds * 1000 + 0.5);
    if (*out == 0 && seconds > 0)
        *out = 1;
    return true;
}

static json_t *time_limit(cel_control_call *call)
{
    cel_worker *worker = call->worker;
    cel_task_entry *task = find_task(call, "Change time limit");
    int64_t soft_ms, hard_ms;

    if (!task)
        return cel__control_nok("unknown task");
    if (!limit_of(call, "soft", &soft_ms) || !limit_of(call, "hard", &hard_ms))
        return NULL;
    if (hard_ms > 0 && !worker->pool_ops->hard_limits)
        return cel__control_raise(call, "NotImplementedError",
                                  "the pool %s cannot end a running task",
                                  worker->pool_ops->names);
    task->options.soft_time_limit_ms = soft_ms;
    task->options.time_limit_ms = hard_ms;
    cel__worker_log(worker, CEL_LOG_INFO,
                    "New time limits for tasks of type %s: soft=%gs hard=%gs", task->name,
                    (double)soft_ms / 1000, (double)hard_ms / 1000);
    return cel__control_ok("time limits set successfully");
}

/* ---- events ---- */

static json_t *switch_events(cel_control_call *call, bool on)
{
    struct cel_event_sender *events = call->worker->events;
    bool changed = events && (on ? cel__event_sender_enable(events)
                                 : cel__event_sender_disable(events));

    if (changed)
        cel__worker_log(call->worker, CEL_LOG_INFO, "Events of group {task} %s by remote.",
                        on ? "enabled" : "disabled");
    return cel__control_ok("task events %s%s", changed ? "" : "already ",
                           on ? "enabled" : "disabled");
}

static json_t *enable_events(cel_control_call *call)
{
    return switch_events(call, true);
}

static json_t *disable_events(cel_control_call *call)
{
    return switch_events(call, false);
}

static json_t *heartbeat(cel_control_call *call)
{
    cel__worker_log(call->worker, CEL_LOG_DEBUG, "Heartbeat requested by remote.");
    if (call->worker->events)
        cel__event_sender_beat(call->worker->events);
    return json_null();
}

static json_t *election(cel_control_call *call)
{
    (void)call; /* as of a worker without gossip: nobody is elected here */
    return json_null();
}

/* ---- the pool ---- */

static json_t *resize(cel_control_call *call, bool grow)
{
    cel_worker *worker = call->worker;
    const json_t *given = cel__control_arg(call, "n");
    json_int_t n = given ? json_integer_value(given) : 1;
    const char *name = grow ? "grow" : "shrink";

    if (given && !json_is_integer(given))
        return cel__control_raise(call, "TypeError", "n is no integer");
    if (strcmp(worker->pool_ops->names, "solo") == 0)
        return cel__control_raise(call, "AttributeError",
                                  "'TaskPool' object has no attribute '%s'", name);
    if (worker->phase != CEL_WORKER_RUNNING || !worker->pool)
        return cel__control_raise(call, "RuntimeError", "the worker is stopping");
    if (n > SLOTS_MAX || (grow && n + (json_int_t)worker->concurrency > SLOTS_MAX))
        return cel__control_raise(call, "ValueError", "a pool has at most %d slots", SLOTS_MAX);
    if (!grow && n >= (json_int_t)worker->concurrency)
        return cel__control_raise(call, "ValueError",
                                  "Can't shrink pool. One of its %zu slots must stay",
                                  worker->concurrency);
    if (n > 0) {
        worker->concurrency =
            grow ? worker->concurrency + (size_t)n : worker->concurrency - (size_t)n;
        worker->window.slots = worker->concurrency;
        worker->pool_ops->resize(worker->pool, worker->concurrency);
        cel__strategy_pump(worker);
    }
    return cel__control_ok("pool will %s", name);
}

static json_t *pool_grow(cel_control_call *call)
{
    return resize(call, true);
}

static json_t *pool_shrink(cel_control_call *call)
{
    return resize(call, false);
}

static json_t *pool_restart(cel_control_call *call)
{
    if (!cel__config_bool(call->worker->app->config, "worker_pool_restarts"))
        return cel__control_raise(call, "ValueError", "Pool restarts not enabled");
    return cel__control_raise(call, "NotImplementedError",
                              "a pool keeps the module that it was started with: restart the "
                              "worker (HUP)");
}

static json_t *autoscale(cel_control_call *call)
{
    return cel__control_raise(call, "ValueError", "Autoscale not enabled");
}

static json_t *shut_down(cel_control_call *call)
{
    cel_view text = cel__control_view(cel__control_arg(call, "msg"));

    call->silent = true;
    cel__worker_log(call->worker, CEL_LOG_WARNING, "%.*s",
                    CEL_VIEW_ARG(text.ptr ? text : CEL_VIEW("Got shutdown from remote")));
    cel__worker_warm(call->worker);
    return NULL;
}

/* ---- queues ---- */

static bool is_type(cel_view type)
{
    return cel__view_is(type, "direct") || cel__view_is(type, "topic") ||
           cel__view_is(type, "fanout") || cel__view_is(type, "headers");
}

static json_t *add_consumer(cel_control_call *call)
{
    cel_view queue = cel__control_view(cel__control_arg(call, "queue"));
    cel_view exchange = cel__control_view(cel__control_arg(call, "exchange"));
    cel_view type = cel__control_view(cel__control_arg(call, "exchange_type"));
    cel_view key = cel__control_view(cel__control_arg(call, "routing_key"));
    cel_error err = {0};

    if (queue.len == 0 || queue.len > 255 || exchange.len > 255 || key.len > 255)
        return cel__control_raise(call, "ValueError", "a queue has a name of 1 to 255 bytes");
    if (type.len > 0 && !is_type(type))
        return cel__control_raise(call, "ValueError", "there is no exchange type '%.*s'",
                                  (int)(type.len < 100 ? type.len : 100), type.ptr);
    if (cel__app_add_queue(call->worker->app, queue, exchange,
                           type.len > 0 ? type : CEL_VIEW("direct"), key, &err) != CEL_OK ||
        cel__worker_add_queue(call->worker, queue, &err) != CEL_OK)
        return cel__control_raise(call, "ValueError", "%s", err.message);
    return cel__control_ok("add consumer %.*s", CEL_VIEW_ARG(queue));
}

static json_t *cancel_consumer(cel_control_call *call)
{
    cel_view queue = cel__control_view(cel__control_arg(call, "queue"));

    if (!queue.ptr)
        return cel__control_raise(call, "TypeError", "queue is no string");
    cel__worker_log(call->worker, CEL_LOG_INFO, "Canceling queue %.*s", CEL_VIEW_ARG(queue));
    cel__worker_drop_queue(call->worker, queue);
    return cel__control_ok("no longer consuming from %.*s", CEL_VIEW_ARG(queue));
}

const cel_control_fn cel__control_functions[] = {
    [CEL_COMMAND_report] = cel__control_report,
    [CEL_COMMAND_conf] = cel__control_conf,
    [CEL_COMMAND_query_task] = cel__control_query_task,
    [CEL_COMMAND_clock] = cel__control_clock,
    [CEL_COMMAND_hello] = cel__control_hello,
    [CEL_COMMAND_ping] = ping,
    [CEL_COMMAND_stats] = cel__control_stats,
    [CEL_COMMAND_scheduled] = cel__control_scheduled,
    [CEL_COMMAND_reserved] = cel__control_reserved,
    [CEL_COMMAND_active] = cel__control_active,
    [CEL_COMMAND_revoked] = cel__control_revoked,
    [CEL_COMMAND_registered] = cel__control_registered,
    [CEL_COMMAND_memsample] = cel__control_memsample,
    [CEL_COMMAND_active_queues] = cel__control_active_queues,
    [CEL_COMMAND_revoke] = cel__control_revoke,
    [CEL_COMMAND_revoke_by_stamped_headers] = cel__control_revoke_by_stamped_headers,
    [CEL_COMMAND_terminate] = cel__control_terminate,
    [CEL_COMMAND_rate_limit] = rate_limit,
    [CEL_COMMAND_time_limit] = time_limit,
    [CEL_COMMAND_election] = election,
    [CEL_COMMAND_enable_events] = enable_events,
    [CEL_COMMAND_disable_events] = disable_events,
    [CEL_COMMAND_heartbeat] = heartbeat,
    [CEL_COMMAND_pool_grow] = pool_grow,
    [CEL_COMMAND_pool_shrink] = pool_shrink,
    [CEL_COMMAND_pool_restart] = pool_restart,
    [CEL_COMMAND_autoscale] = autoscale,
    [CEL_COMMAND_shutdown] = shut_down,
    [CEL_COMMAND_add_consumer] = add_consumer,
    [CEL_COMMAND_cancel_consumer] = cancel_consumer,
};

static_assert(sizeof cel__control_functions / sizeof *cel__control_functions ==
                  CEL_COMMAND_COUNT,
              "each command has a function");
