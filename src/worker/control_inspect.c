/* control_inspect.c - the commands that ask: what the worker holds, runs and knows. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utlist.h>

#include "app/declare.h"
#include "app/report.h"
#include "app/sensitive.h"
#include "app/settings.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/time.h"
#include "core/url.h"
#include "worker/control.h"

#define ARGS_MAX 65536 /* bytes of arguments that are shown as values */
#define PIDS_MAX 4096
#define ETA_RANK 6 /* what Celery's timer gives to tasks with an ETA */

static int64_t now_us(const cel_worker *worker)
{
    return cel__clock_wall_us(worker->app->clock);
}

/* ---- one task ---- */

/* The values, or the text that stands for them where they are too large, not to be had, or `safe`. What
 * is sensitive is in neither. */
static json_t *arguments(
    const cel_worker_request *request, cel_view json, cel_view repr, bool tuple, bool safe)
{
    bool sensitive = request->entry && request->entry->options.sensitive;
    cel__buf text = {0};
    json_t *value = NULL;

    if (safe && sensitive)
        cel__sensitive_repr(&text, request->entry, json, tuple);
    else if (!safe && json.ptr && json.len <= ARGS_MAX)
        cel__sensitive_json(&text, request->entry, json);
    if (!safe && text.len > 0 && !text.failed &&
        cel__json_load(&value, cel__buf_view(&text), NULL) != CEL_OK)
        value = NULL;
    if (!value)
        value = cel__control_text(sensitive ? cel__buf_view(&text) : repr);
    cel__buf_done(&text);
    return value;
}

static void set_arguments(json_t *task, const cel_worker_request *request, bool safe)
{
    const cel_task_headers *headers = &request->headers;
    cel__buf scratch = {0};
    cel_task_body body = {0};

    if (cel__task_body_read(&body, &request->delivery->message, headers,
                            &request->worker->app->codings.tasks, &scratch, NULL) != CEL_OK)
        body = (cel_task_body){0};
    json_object_set_new(task, "args",
                        arguments(request, body.args, headers->argsrepr, true, safe));
    json_object_set_new(task, "kwargs",
                        arguments(request, body.kwargs, headers->kwargsrepr, false, safe));
    cel__buf_done(&scratch);
}

/* What Celery shows of a request. */
static json_t *info(const cel_worker_request *request, bool safe)
{
    const cel_message *message = &request->delivery->message;
    bool started = request->started_us > 0;
    json_t *task = json_object(), *delivery = json_object();

    json_object_set_new(task, "id", cel__control_text(request->headers.id));
    json_object_set_new(task, "name", cel__control_text(cel__request_name(request)));
    set_arguments(task, request, safe);
    json_object_set_new(task, "type", cel__control_text(request->headers.task));
    json_object_set_new(task, "hostname", json_string(request->worker->node));
    json_object_set_new(task, "time_start",
                        started ? json_real((double)request->started_us / 1e6) : json_null());
    json_object_set_new(task, "acknowledged", json_boolean(request->accepted));
    json_object_set_new(delivery, "exchange", cel__control_text(message->exchange));
    json_object_set_new(delivery, "routing_key", cel__control_text(message->routing_key));
    json_object_set_new(delivery, "priority",
                        message->priority >= 0 ? json_integer(message->priority) : json_null());
    json_object_set_new(delivery, "redelivered",
                        json_boolean(request->delivery->attempt != CEL_ATTEMPT_NEW));
    json_object_set_new(task, "delivery_info", delivery);
    json_object_set_new(task, "worker_pid",
                        started && request->pool.pid > 0 ? json_integer(request->pool.pid)
                                                         : json_null());
    return task;
}

static bool runs(const cel_worker_request *request)
{
    return request->list == &request->worker->active && request->started_us > 0;
}

static bool waits_for_eta(const cel_worker_request *request)
{
    return request->list == &request->worker->timed &&
           request->headers.eta_us != CEL_TIME_NONE &&
           request->headers.eta_us > now_us(request->worker);
}

static void add_all(json_t *to,
                    const cel_worker_request *list,
                    bool (*wanted)(const cel_worker_request *request),
                    bool safe)
{
    const cel_worker_request *request;

    DL_FOREACH2(list, request, list_next)
    {
        if (request->delivery && wanted(request))
            json_array_append_new(to, info(request, safe));
    }
}

json_t *cel__control_active(cel_control_call *call)
{
    json_t *tasks = json_array();

    add_all(tasks, call->worker->active, runs,
            cel__control_truth(cel__control_arg(call, "safe")));
    return tasks;
}

/* Received, and neither running nor waiting for an ETA. */
static bool is_reserved(const cel_worker_request *request)
{
    return !runs(request) && !waits_for_eta(request);
}

json_t *cel__control_reserved(cel_control_call *call)
{
    json_t *tasks = json_array();

    add_all(tasks, call->worker->active, is_reserved, false);
    add_all(tasks, call->worker->waiting, is_reserved, false);
    add_all(tasks, call->worker->timed, is_reserved, false);
    return tasks;
}

json_t *cel__control_scheduled(cel_control_call *call)
{
    json_t *tasks = json_array(), *task;
    const cel_worker_request *request;
    char eta[CEL_TIME_TEXT];

    DL_FOREACH2(call->worker->timed, request, list_next)
    {
        if (!request->delivery || !waits_for_eta(request))
            continue;
        cel__time_format(eta, request->headers.eta_us);
        task = json_object();
        json_object_set_new(task, "eta", json_string(eta));
        json_object_set_new(task, "priority", json_integer(ETA_RANK));
        json_object_set_new(task, "request", info(request, false));
        json_array_append_new(tasks, task);
    }
    return tasks;
}

struct query {
    cel_worker *worker;
    json_t *found;
};

static void query_one(void *user, cel_view id)
{
    struct query *query = user;
    const cel_worker_request *request = cel__control_find_request(query->worker, id);
    char *key = request ? cel__memdup(id.ptr, id.len) : NULL;
    json_t *pair;

    if (!key)
        return;
    pair = json_array();
    json_array_append_new(pair, json_string(runs(request) ? "active" : "reserved"));
    json_array_append_new(pair, info(request, false));
    json_object_set_new(query->found, key, pair);
    cel__free(key);
}

json_t *cel__control_query_task(cel_control_call *call)
{
    struct query query = {call->worker, json_object()};

    cel__control_ids(cel__control_arg(call, "ids"), query_one, &query);
    return query.found;
}

/* ---- what it knows ---- */

static void add_revoked(void *user, cel_view id, int64_t since_ms)
{
    (void)since_ms;
    json_array_append_new(user, cel__control_text(id));
}

json_t *cel__control_revoked(cel_control_call *call)
{
    cel_revoked *revoked = call->worker->control->revoked;
    json_t *ids = json_array();

    cel__revoked_purge(revoked, now_us(call->worker) / 1000);
    cel__revoked_each(revoked, add_revoked, ids);
    return ids;
}

json_t *cel__control_clock(cel_control_call *call)
{
    return json_pack("{s: I}", "clock", (json_int_t)call->worker->lamport.value);
}

/* Times between workers are those of Python's time.monotonic(): seconds since the machine's start. */
struct sync {
    cel_worker *worker;
    double mono_s;
    int64_t wall_ms;
    json_t *out;
};

static void put_revoked(void *user, cel_view id, int64_t since_ms)
{
    struct sync *sync = user;
    char *key = cel__memdup(id.ptr, id.len);
    json_t *pair = json_array();

    json_array_append_new(pair,
                          json_real(sync->mono_s - (double)(sync->wall_ms - since_ms) / 1000));
    json_array_append_new(pair, cel__control_text(id));
    if (key)
        json_object_set_new(sync->out, key, pair);
    else
        json_decref(pair);
    cel__free(key);
}

static void take_revoked(struct sync *sync, const json_t *revoked)
{
    const char *id;
    json_t *value;

    json_object_foreach((json_t *)revoked, id, value)
    {
        double since =
            json_number_value(json_is_array(value) ? json_array_get(value, 0) : value);
        double age = sync->mono_s - since;
        int64_t since_ms = sync->wall_ms;

        if (since > 0 && age > 0 && age < 1e9) /* else of another machine: as of now */
            since_ms -= (int64_t)(age * 1000);
        (void)cel__revoked_add(sync->worker->control->revoked, cel__view(id), since_ms,
                               sync->wall_ms);
    }
}

json_t *cel__control_hello(cel_control_call *call)
{
    cel_worker *worker = call->worker;
    struct sync sync = {worker, (double)cel__clock_mono_ms(worker->app->clock) / 1000,
                        now_us(worker) / 1000, NULL};
    const json_t *from = cel__control_arg(call, "from_node");
    json_t *answer;

    if (cel__view_is(cel__control_view(from), worker->node))
        return json_null();
    cel__worker_log(worker, CEL_LOG_INFO, "sync with %.*s",
                    CEL_VIEW_ARG(cel__control_view(from)));
    take_revoked(&sync, cel__control_arg(call, "revoked"));
    cel__revoked_purge(worker->control->revoked, sync.wall_ms);
    cel__statedb_touch(worker->control->statedb);
    sync.out = json_object();
    cel__revoked_each(worker->control->revoked, put_revoked, &sync);
    answer = json_object();
    json_object_set_new(answer, "revoked", sync.out);
    json_object_set_new(answer, "clock", json_integer(cel__control_forward(worker)));
    return answer;
}

json_t *cel__control_report(cel_control_call *call)
{
    cel__buf text = {0};
    json_t *answer;

    cel__app_report(call->worker->app, &text);
    answer = cel__control_ok("%s", cel__buf_cstr(&text) ? text.ptr : "");
    cel__buf_done(&text);
    return answer;
}

static void set_setting(void *user, const char *name, const json_t *value)
{
    json_object_set(user, name, (json_t *)value);
}

json_t *cel__control_conf(cel_control_call *call)
{
    const cel_config *config = call->worker->app->config;
    json_t *settings = json_object();

    if (cel__control_truth(cel__control_arg(call, "with_defaults")))
        for (int i = 0; i < CEL_SETTING_COUNT_OF; i++)
            if (!cel__config_is_set(config, cel__settings[i].name))
                json_object_set(settings, cel__settings[i].name,
                                (json_t *)cel__config_at(config, i));
    cel__config_each_changed(config, set_setting, settings); /* nothing secret */
    return settings;
}

/* ---- registered tasks ---- */

struct listing {
    const cel_worker *worker;
    const json_t *items;
    bool builtins;
    json_t *out;
};

static void add_seconds(cel__buf *buf, int64_t ms)
{
    cel__buf_addf(buf, ms % 1000 ? "%.3f" : "%.0f", (double)ms / 1000);
}

static void add_flag(cel__buf *buf, int own, bool setting)
{
    cel__buf_add_str(buf, (own ? own > 0 : setting) ? "True" : "False");
}

/* Appends the attribute as Python's str() shows it; nothing if it is None or unknown. */
static void add_attribute(cel__buf *buf,
                          const cel_worker *worker,
                          const cel_task_entry *task,
                          cel_view name)
{
    const cel_task_options *options = &task->options;
    const cel_worker_settings *settings = &worker->settings;
    const char *serializer = cel__config_string(worker->app->config, "task_serializer");

    if (cel__view_is(name, "rate_limit") && options->rate_limit)
        cel__buf_add_str(buf, options->rate_limit);
    else if (cel__view_is(name, "max_retries") && options->max_retries != -1)
        cel__buf_add_int(buf, options->max_retries == 0    ? 3
                              : options->max_retries == -2 ? 0
                                                           : options->max_retries);
    else if (cel__view_is(name, "default_retry_delay"))
        add_seconds(buf,
                    options->default_retry_delay_ms ? options->default_retry_delay_ms : 180000);
    else if (cel__view_is(name, "time_limit") && options->time_limit_ms > 0)
        add_seconds(buf, options->time_limit_ms);
    else if (cel__view_is(name, "soft_time_limit") && options->soft_time_limit_ms > 0)
        add_seconds(buf, options->soft_time_limit_ms);
    else if (cel__view_is(name, "serializer"))
        cel__buf_add_str(buf, serializer ? serializer : "json");
    else if (cel__view_is(name, "acks_late"))
        add_flag(buf, options->acks_late, settings->acks_late);
    else if (cel__view_is(name, "ignore_result"))
        add_flag(buf, options->ignore_result, settings->ignore_result);
    else if (cel__view_is(name, "track_started"))
        add_flag(buf, options->track_started, settings->track_started);
    else if (cel__view_is(name, "reject_on_worker_lost"))
        add_flag(buf, options->reject_on_worker_lost, settings->reject_on_worker_lost);
    else if (cel__view_is(name, "store_errors_even_if_ignored"))
        add_flag(buf, options->store_errors_even_if_ignored,
                 cel__config_bool(worker->app->config, "task_store_errors_even_if_ignored"));
    else if (cel__view_is(name, "queue") && options->queue)
        cel__buf_add_str(buf, options->queue);
    else if (cel__view_is(name, "name"))
        cel__buf_add_str(buf, task->name);
}

static void list_task(void *user, cel_task_entry *task)
{
    struct listing *listing = user;
    cel__buf line = {0}, value = {0};
    const json_t *item;
    bool any = false;
    size_t i;

    if (!listing->builtins && strncmp(task->name, "celery.", 7) == 0)
        return;
    cel__buf_add_str(&line, task->name);
    json_array_foreach(listing->items, i, item)
    {
        cel_view name = cel__control_view(item);

        cel__buf_reset(&value);
        add_attribute(&value, listing->worker, task, name);
        if (value.len == 0)
            continue;
        cel__buf_add_str(&line, any ? " " : " [");
        cel__buf_add_view(&line, name);
        cel__buf_add_byte(&line, '=');
        cel__buf_add_view(&line, cel__buf_view(&value));
        any = true;
    }
    if (any)
        cel__buf_add_byte(&line, ']');
    json_array_append_new(listing->out, cel__control_text(cel__buf_view(&line)));
    cel__buf_done(&line);
    cel__buf_done(&value);
}

json_t *cel__control_registered(cel_control_call *call)
{
    const json_t *given = cel__control_arg(call, "taskinfoitems");
    struct listing listing = {call->worker, NULL,
                              cel__control_truth(cel__control_arg(call, "builtins")),
                              json_array()};
    json_t *items =
        cel__control_truth(given) && json_is_array(given) && json_array_size(given) <= 100
            ? json_incref((json_t *)given)
            : json_pack("[s, s, s]", "exchange", "routing_key", "rate_limit");

    listing.items = items;
    cel__registry_each(call->worker->app->registry, list_task, &listing);
    json_decref(items);
    return listing.out;
}

/* ---- queues ---- */

static json_t *optional(cel_view json)
{
    json_t *value;

    return json.ptr && cel__json_load(&value, json, NULL) == CEL_OK ? value : json_null();
}

/* As kombu's Queue.as_dict(). */
static json_t *queue_dict(const cel_worker *worker, cel_view name)
{
    static const char *const limits[] = {"expires", "message_ttl", "max_length",
                                         "max_length_bytes"};
    cel_queue_decl decl;
    json_t *queue = json_object(), *exchange = json_object();

    if (!cel__app_describe(worker->app, name, &decl))
        decl = (cel_queue_decl){.durable = true, .max_priority = -1};
    if (decl.exchange.len == 0)
        decl.exchange = decl.routing_key = name;
    json_object_set_new(exchange, "name", cel__control_text(decl.exchange));
    json_object_set_new(
        exchange, "type",
        cel__control_text(decl.exchange_type.ptr ? decl.exchange_type : CEL_VIEW("direct")));
    json_object_set_new(exchange, "arguments", optional(decl.exchange_arguments));
    json_object_set_new(exchange, "durable", json_boolean(!decl.exchange_transient));
    json_object_set_new(exchange, "passive", json_boolean(decl.exchange_passive));
    json_object_set_new(exchange, "auto_delete", json_boolean(decl.exchange_auto_delete));
    json_object_set_new(exchange, "delivery_mode", json_null());
    json_object_set_new(exchange, "no_declare", json_false());
    json_object_set_new(queue, "name", cel__control_text(name));
    json_object_set_new(queue, "exchange", exchange);
    json_object_set_new(queue, "routing_key", cel__control_text(decl.routing_key));
    json_object_set_new(queue, "queue_arguments", optional(decl.arguments));
    json_object_set_new(queue, "binding_arguments", optional(decl.binding_arguments));
    json_object_set_new(queue, "consumer_arguments", optional(decl.consumer_arguments));
    json_object_set_new(queue, "durable", json_boolean(decl.durable));
    json_object_set_new(queue, "exclusive", json_boolean(decl.exclusive));
    json_object_set_new(queue, "auto_delete", json_boolean(decl.auto_delete));
    json_object_set_new(queue, "no_ack", json_false());
    json_object_set_new(queue, "alias", json_null());
    json_object_set_new(queue, "bindings",
                        decl.bindings.ptr ? optional(decl.bindings) : json_array());
    json_object_set_new(queue, "no_declare", decl.passive ? json_true() : json_null());
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        json_object_set_new(queue, limits[i], json_null()); /* they are in the arguments */
    json_object_set_new(queue, "max_priority",
                        decl.max_priority >= 0 ? json_integer(decl.max_priority) : json_null());
    return queue;
}

json_t *cel__control_active_queues(cel_control_call *call)
{
    const cel_worker *worker = call->worker;
    json_t *queues = json_array();

    for (size_t i = 0; i < worker->queue_count; i++)
        json_array_append_new(queues, queue_dict(worker, worker->queues[i]));
    return queues;
}

/* ---- statistics ---- */

static void add_total(void *user, cel_task_entry *task)
{
    if (task->started > 0)
        json_object_set_new(user, task->name, json_integer(task->started));
}

static json_t *pool_stats(const cel_worker *worker)
{
    const cel_worker_settings *settings = &worker->settings;
    int64_t max_tasks = cel__config_int(worker->app->config, "worker_max_tasks_per_child");
    bool forks = worker->pool_ops->forks;
    pid_t *pids = cel__calloc(PIDS_MAX, sizeof *pids);
    size_t count =
        pids && worker->pool ? worker->pool_ops->pids(worker->pool, pids, PIDS_MAX) : 0;
    json_t *stats = json_object(), *processes = json_array(), *limits = json_array();

    for (size_t i = 0; i < count && i < PIDS_MAX; i++)
        json_array_append_new(processes, json_integer(pids[i]));
    cel__free(pids);
    if (!forks && count == 0)
        json_array_append_new(processes, json_integer(getpid()));
    json_object_set_new(stats, "implementation",
                        json_sprintf("celeriac:%s", worker->pool_ops->names));
    json_object_set_new(stats, "max-concurrency",
                        json_integer((json_int_t)worker->concurrency));
    json_object_set_new(stats, "processes", processes);
    json_object_set_new(stats, "max-tasks-per-child",
                        max_tasks > 0 ? json_integer(max_tasks) : json_string("N/A"));
    json_object_set_new(stats, "put-guarded-by-semaphore", json_boolean(!forks));
    json_array_append_new(limits, json_integer(settings->soft_limit_ms / 1000));
    json_array_append_new(limits, json_integer(settings->hard_limit_ms / 1000));
    json_object_set_new(stats, "timeouts", limits);
    if (forks)
        json_object_set_new(stats, "writes",
                            json_pack("{s: I, s: s, s: {s: I, s: I}}", "total",
                                      (json_int_t)worker->next_id, "strategy", "fair",
                                      "inqueues", "total", (json_int_t)worker->concurrency,
                                      "active", (json_int_t)0));
    return stats;
}

/* The first URL taken apart, its password left out, and the others masked. */
static json_t *broker_stats(const cel_worker *worker)
{
    cel_view rest = cel__view(cel__app_broker_url(worker->app)), one;
    const cel_config *config = worker->app->config;
    json_t *stats = json_object(), *others = json_array();
    const char *strategy = cel__config_string(config, "broker_failover_strategy");
    cel_url url = {0};
    bool amqp, secure;

    if (!cel__url_next(&rest, &one) || cel__url_parse(&url, one, NULL) != CEL_OK)
        url = (cel_url){0};
    amqp = url.scheme && strstr(url.scheme, "amqp");
    secure =
        url.scheme && (strcmp(url.scheme, "amqps") == 0 || strcmp(url.scheme, "rediss") == 0);
    while (cel__url_next(&rest, &one)) {
        cel__buf masked = {0};
        char *text = cel__memdup(one.ptr, one.len);

        if (text)
            cel__url_mask(&masked, text);
        json_array_append_new(others, cel__control_text(cel__buf_view(&masked)));
        cel__free(text);
        cel__buf_done(&masked);
    }
    json_object_set_new(stats, "hostname",
                        url.host ? cel__control_text(cel__view(url.host))
                        : amqp   ? json_string("127.0.0.1")
                                 : json_null());
    json_object_set_new(stats, "userid",
                        url.user ? cel__control_text(cel__view(url.user))
                        : amqp   ? json_string("guest")
                                 : json_null());
    json_object_set_new(stats, "virtual_host",
                        url.path ? cel__control_text(cel__view(url.path)) : json_string("/"));
    json_object_set_new(stats, "port",
                        url.port ? json_integer(url.port)
                        : amqp   ? json_integer(secure ? 5671 : 5672)
                        : url.scheme && strstr(url.scheme, "redis") ? json_integer(6379)
                                                                    : json_null());
    json_object_set_new(stats, "insist", json_false());
    json_object_set_new(stats, "ssl", json_boolean(secure));
    json_object_set_new(stats, "transport",
                        cel__control_text(cel__view(url.scheme ? url.scheme : "amqp")));
    json_object_set_new(
        stats, "connect_timeout",
        json_integer(cel__config_ms(config, "broker_connection_timeout") / 1000));
    json_object_set_new(stats, "transport_options", json_object());
    json_object_set_new(stats, "login_method", amqp ? json_string("PLAIN") : json_null());
    json_object_set_new(stats, "uri_prefix", json_null());
    json_object_set_new(
        stats, "heartbeat",
        json_real(json_number_value(cel__config_json(config, "broker_heartbeat"))));
    json_object_set_new(stats, "failover_strategy",
                        json_string(strategy ? strategy : "round-robin"));
    json_object_set_new(stats, "alternates", others);
    cel__url_done(&url);
    return stats;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static json_t *usage(void)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    return json_pack(
        "{s: f, s: f, s: I, s: I, s: I, s: I, s: I, s: I, s: I, s: I, s: I, s: I, "
        "s: I, s: I, s: I, s: I}",
        "utime", seconds(usage.ru_utime), "stime", seconds(usage.ru_stime), "maxrss",
        (json_int_t)usage.ru_maxrss, "ixrss", (json_int_t)usage.ru_ixrss, "idrss",
        (json_int_t)usage.ru_idrss, "isrss", (json_int_t)usage.ru_isrss, "minflt",
        (json_int_t)usage.ru_minflt, "majflt", (json_int_t)usage.ru_majflt, "nswap",
        (json_int_t)usage.ru_nswap, "inblock", (json_int_t)usage.ru_inblock, "oublock",
        (json_int_t)usage.ru_oublock, "msgsnd", (json_int_t)usage.ru_msgsnd, "msgrcv",
        (json_int_t)usage.ru_msgrcv, "nsignals", (json_int_t)usage.ru_nsignals, "nvcsw",
        (json_int_t)usage.ru_nvcsw, "nivcsw", (json_int_t)usage.ru_nivcsw);
}

json_t *cel__control_stats(cel_control_call *call)
{
    const cel_worker *worker = call->worker;
    int64_t up_ms = cel__clock_mono_ms(worker->app->clock) - worker->control->started_ms;
    json_t *stats = json_object(), *total = json_object();

    cel__registry_each(worker->app->registry, add_total, total);
    json_object_set_new(stats, "total", total);
    json_object_set_new(stats, "pid", json_integer(getpid()));
    json_object_set_new(stats, "clock",
                        json_sprintf("%lld", (long long)worker->lamport.value));
    json_object_set_new(stats, "uptime", json_integer((up_ms + 500) / 1000));
    json_object_set_new(stats, "pool", pool_stats(worker));
    json_object_set_new(stats, "broker", broker_stats(worker));
    json_object_set_new(stats, "prefetch_count", json_integer((json_int_t)worker->window_set));
    json_object_set_new(stats, "rusage", usage());
    return stats;
}

json_t *cel__control_memsample(cel_control_call *call)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages, resident = 0;

    (void)call;
    if (file) {
        if (fscanf(file, "%llu %llu", &pages, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    if (resident == 0)
        return json_null();
    return json_sprintf("%.3fMB",
                        (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024 / 1024);
}
