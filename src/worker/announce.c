/* announce.c - see announce.h. The order and the fields are those of celery/worker/request.py. */
#include "worker/announce.h"

#include <utlist.h>

#include "app/sensitive.h"
#include "events/sender.h"
#include "message/result.h"

/* ---- the worker ---- */

static void tell_vitals(void *user, cel_event_vitals *out)
{
    const cel_worker *worker = user;
    const cel_worker_request *request;

    out->processed = (int64_t)worker->begun;
    DL_FOREACH2(worker->active, request, list_next)
    out->active += request->begun;
}

cel_code
cel__announce_open(cel_worker *worker, const cel_worker_options *options, cel_error *err)
{
    const cel_config *config = worker->app->config;
    const char *exchange = cel__config_string(config, "event_exchange");

    return cel__event_sender_new(
        &worker->events,
        &(cel_event_sender_options){.loop = &worker->loop,
                                    .clock = worker->app->clock,
                                    .log = &worker->app->log,
                                    .lamport = &worker->lamport,
                                    .node = cel__view(worker->node),
                                    .exchange = cel__view(exchange ? exchange : "celeryev"),
                                    .all = cel__config_bool(config, "worker_send_task_events"),
                                    .beats = !options->without_heartbeat,
                                    .interval_ms = options->heartbeat_ms,
                                    .vitals = tell_vitals,
                                    .user = worker},
        err);
}

void cel__announce_start(cel_worker *worker)
{
    cel__event_sender_start(worker->events, worker->broker);
}

void cel__announce_again(cel_worker *worker)
{
    cel__event_sender_again(worker->events);
}

/* ---- its requests ---- */

static bool is_wanted(const cel_worker_request *request)
{
    return cel__event_sender_wants(request->worker->events) &&
           (!request->entry || request->entry->options.send_events >= 0);
}

static cel__buf *begin(const cel_worker_request *request)
{
    cel__buf *event = cel__event_sender_begin(request->worker->events);

    cel__event_text(event, "uuid", request->headers.id);
    return event;
}

static void end(const cel_worker_request *request, const char *type)
{
    cel__event_sender_end(request->worker->events, type);
}

/* The arguments of protocol 1, where the sender shows none, or of a task that knows what is not to be shown while
 * its sender may not. False: they are as the sender shows them. */
static bool
read_arguments(const cel_worker_request *request, cel_task_body *body, cel__buf *scratch)
{
    const cel_task_headers *headers = &request->headers;

    if (headers->argsrepr.ptr && !(request->entry && request->entry->options.sensitive))
        return false;
    if (cel__task_body_read(body, &request->delivery->message, headers,
                            &request->worker->app->codings.tasks, scratch, NULL) != CEL_OK)
        *body = (cel_task_body){.args = CEL_VIEW("[]"), .kwargs = CEL_VIEW("{}")};
    return true;
}

static void add_arguments(cel__buf *event, const cel_worker_request *request)
{
    cel_view args = request->headers.argsrepr, kwargs = request->headers.kwargsrepr;
    cel__buf scratch = {0}, text = {0};
    cel_task_body body;

    if (read_arguments(request, &body, &scratch)) {
        cel__sensitive_repr(&text, request->entry, body.args, request->headers.protocol != 1);
        cel__event_text(event, "args", cel__buf_view(&text));
        cel__buf_reset(&text);
        cel__sensitive_repr(&text, request->entry, body.kwargs, false);
        cel__event_text(event, "kwargs", cel__buf_view(&text));
    } else {
        cel__event_text(event, "args", args.ptr ? args : CEL_VIEW(""));
        cel__event_text(event, "kwargs", kwargs.ptr ? kwargs : CEL_VIEW(""));
    }
    cel__buf_done(&scratch);
    cel__buf_done(&text);
}

void cel__announce_received(cel_worker_request *request)
{
    const cel_task_headers *headers = &request->headers;
    cel__buf *event;

    if (!is_wanted(request))
        return;
    event = begin(request);
    cel__event_text(event, "name", cel__request_name(request));
    add_arguments(event, request);
    cel__event_text(event, "root_id", headers->root_id);
    cel__event_text(event, "parent_id", headers->parent_id);
    cel__event_int(event, "retries", headers->retries);
    cel__event_time(event, "eta", headers->eta_us);
    cel__event_time(event, "expires", headers->expires_us);
    end(request, "task-received");
}

void cel__announce_started(cel_worker_request *request)
{
    if (request->begun)
        return;
    request->begun = true;
    request->worker->begun++;
    if (!is_wanted(request))
        return;
    begin(request);
    end(request, "task-started");
}

static void announce_success(const cel_worker_request *request, const cel_outcome *outcome)
{
    cel__buf *event = begin(request);

    cel__event_text(event, "result", outcome->repr.ptr ? outcome->repr : CEL_VIEW("None"));
    cel__event_seconds(event, "runtime", outcome->runtime_us);
    end(request, "task-succeeded");
}

/* Of a task that is not registered Celery tells no traceback. */
static void announce_failure(const cel_worker_request *request, const cel_outcome *outcome)
{
    cel__buf *event = begin(request);

    cel__event_text(event, "exception", outcome->repr);
    if (request->entry)
        cel__event_text(event, "traceback", outcome->traceback);
    end(request, "task-failed");
}

/* Why it is tried again, not that it is. */
static void announce_retry(const cel_worker_request *request, const cel_outcome *outcome)
{
    cel__buf *event = begin(request);
    cel__buf scratch = {0}, text = {0};
    cel_exception cause;

    if (!outcome->result.ptr || cel__view_is(outcome->result, "null")) {
        cel__buf_add_str(&text, "None");
    } else {
        cel__exception_load(&cause, outcome->result, &scratch);
        cel__exception_repr(&text, &cause);
    }
    cel__event_text(event, "exception", cel__buf_view(&text));
    cel__event_text(event, "traceback", outcome->traceback);
    end(request, "task-retried");
    cel__buf_done(&scratch);
    cel__buf_done(&text);
}

static void announce_revoked(const cel_worker_request *request)
{
    cel__buf *event = begin(request);

    cel__event_bool(event, "terminated", request->terminated);
    if (request->terminated)
        cel__event_int(event, "signum", request->signum);
    else
        cel__event_text(event, "signum", (cel_view){NULL, 0});
    cel__event_bool(event, "expired", request->expired);
    end(request, "task-revoked");
}

void cel__announce_outcome(cel_worker_request *request, const cel_outcome *outcome)
{
    if (request->announced)
        return;
    request->announced = true;
    if (!is_wanted(request))
        return;
    if (cel__view_is(outcome->state, CEL_STATE_SUCCESS))
        announce_success(request, outcome);
    else if (cel__view_is(outcome->state, CEL_STATE_FAILURE))
        announce_failure(request, outcome);
    else if (cel__view_is(outcome->state, CEL_STATE_RETRY))
        announce_retry(request, outcome);
    else if (cel__view_is(outcome->state, CEL_STATE_REVOKED))
        announce_revoked(request);
}

void cel__announce_rejected(cel_worker_request *request, bool requeue)
{
    cel__buf *event;

    if (!is_wanted(request))
        return;
    event = begin(request);
    cel__event_bool(event, "requeue", requeue);
    end(request, "task-rejected");
}
