/* strategy.c - from a delivery to the pool, and from the pool to the settlement. */
#include "worker/strategy.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

#include "app/sent.h"
#include "app/signals.h"
#include "app/trace.h"
#include "core/mem.h"
#include "worker/announce.h"
#include "worker/control.h"
#include "worker/outcome.h"
#include "worker/rate.h"
#include "worker/settle.h"

#define POSTPONE_AHEAD  512     /* so many more are asked for while some are postponed */
#define POSTPONE_MIN_US 2000000 /* what is due sooner waits here */
#define SHORT_US        5000 /* a task that takes less on average may wait behind others of its kind */

static int64_t now_us(const cel_worker *worker)
{
    return cel__clock_wall_us(worker->app->clock);
}

static cel_worker_request *of_pool(cel_pool_request *pool_request)
{
    return (cel_worker_request *)pool_request; /* its first member */
}

/* ---- ends without a run ---- */

static void
fail(cel_worker_request *request, const char *type, const char *module, const char *args)
{
    cel__settle_failure(request, "FAILURE",
                        &(cel_exception){cel__view(type), cel__view(module), cel__view(args)});
}

static void fail_lost(cel_worker_request *request, const char *reason)
{
    cel__buf args = {0};

    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, cel__view(reason));
    cel__buf_add_byte(&args, ']');
    fail(request, "WorkerLostError", "billiard.exceptions", cel__buf_cstr(&args));
    cel__buf_done(&args);
}

static void fail_unregistered(cel_worker_request *request)
{
    cel__buf args = {0};

    cel__worker_log(
        request->worker, CEL_LOG_ERROR,
        "Received unregistered task of type '%.*s' (id %.*s).\n"
        "The message is discarded and its result is FAILURE: NotRegistered. Is the module that "
        "defines the task the one that was given with -A?",
        CEL_VIEW_ARG(request->headers.task), CEL_VIEW_ARG(request->headers.id));
    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, request->headers.task);
    cel__buf_add_byte(&args, ']');
    fail(request, "NotRegistered", "celery.exceptions", cel__buf_cstr(&args));
    cel__buf_done(&args);
}

static void send_signal(const cel_worker_request *request, cel_signal name)
{
    cel__signal_message(request->worker->app, name, request->headers.task, request->headers.id,
                        request->delivery->queue);
}

static bool is_expired(const cel_worker_request *request)
{
    return request->headers.expires_us != CEL_TIME_NONE &&
           request->headers.expires_us <= now_us(request->worker);
}

static void end_revoked(cel_worker_request *request, const char *why)
{
    char args[64];

    send_signal(request, CEL_SIGNAL_TASK_REVOKED);
    request->expired = is_expired(request) && !request->terminated;
    snprintf(args, sizeof args, "[\"%s\"]", why);
    cel__settle_failure(request, "REVOKED",
                        &(cel_exception){CEL_VIEW("TaskRevokedError"),
                                         CEL_VIEW("celery.exceptions"), cel__view(args)});
}

static void discard(cel_worker_request *request, const char *why)
{
    cel__worker_log(request->worker, CEL_LOG_INFO, "Discarding revoked task: %.*s[%.*s]",
                    CEL_VIEW_ARG(cel__request_name(request)),
                    CEL_VIEW_ARG(request->headers.id));
    end_revoked(request, why);
}

/* ---- into the pool ---- */

static void submit(cel_worker_request *request)
{
    cel_worker *worker = request->worker;
    cel_error err = {0};

    request->pool.id = ++worker->next_id;
    cel__buf_reset(&request->frame);
    cel__trace_request(&request->frame, request->pool.id, &request->delivery->message,
                       worker->node, request->delivery->queue,
                       request->delivery->attempt != CEL_ATTEMPT_NEW, &err);
    if (request->frame.failed) {
        cel__worker_log(worker, CEL_LOG_CRITICAL,
                        "no memory for a request: its message is put back");
        cel__settle_reject(request, true);
        return;
    }
    request->pool.frame = cel__buf_view(&request->frame);
    cel__request_limits(request, &request->pool.soft_limit_ms, &request->pool.hard_limit_ms);
    request->pool.is_short =
        request->entry->average_us > 0 && request->entry->average_us < SHORT_US;
    cel__request_move(request, &worker->active);
    worker->pool_ops->submit(worker->pool, &request->pool);
}

/* What waits for its time must not keep others out: it is held beyond the window, but not without end. */
static void adjust_window(cel_worker *worker)
{
    size_t limit = worker->settings.eta_limit;
    size_t beyond = worker->timed_count < limit ? worker->timed_count : limit;
    size_t size = cel__window_size(&worker->window) + beyond;

    if (worker->postponed_count > 0) /* there are many of them, and each takes a round trip */
        size += POSTPONE_AHEAD;
    if (!worker->consumer || size == worker->window_set)
        return;
    worker->window_set = size;
    worker->broker->ops->set_window(worker->consumer, size);
}

void cel__strategy_pump(cel_worker *worker)
{
    if (worker->phase != CEL_WORKER_RUNNING)
        return;
    while (worker->waiting && worker->pool_ops->room(worker->pool) > 0) {
        cel_worker_request *request = worker->waiting;

        if (is_expired(request))
            discard(request, "expired");
        else if (cel__control_is_revoked(request))
            discard(request, "revoked");
        else
            submit(request);
    }
    adjust_window(worker);
}

/* ---- waiting for a time ---- */

static void free_timer(uv_handle_t *handle)
{
    cel__free(handle);
}

static void drop_timer(cel_worker_request *request)
{
    if (!request->timer)
        return;
    uv_close((uv_handle_t *)request->timer, free_timer);
    request->timer = NULL;
    request->worker->timed_count--;
}

static void on_due(uv_timer_t *timer)
{
    cel_worker_request *request = timer->data;
    cel_worker *worker = request->worker;

    drop_timer(request);
    cel__request_move(request, &worker->waiting);
    cel__strategy_pump(worker);
}

/* Lets the request wait `delay_us`; false if there is no memory for a timer (then it goes at once). */
static bool wait_for(cel_worker_request *request, int64_t delay_us)
{
    cel_worker *worker = request->worker;
    uint64_t delay_ms = (uint64_t)(delay_us + 999) / 1000;

    request->timer = cel__calloc(1, sizeof *request->timer);
    if (!request->timer)
        return false;
    uv_timer_init(&worker->loop, request->timer);
    request->timer->data = request;
    uv_update_time(&worker->loop);
    uv_timer_start(request->timer, on_due, delay_ms, 0);
    worker->timed_count++;
    cel__request_move(request, &worker->timed);
    return true;
}

/* How long until its ETA; brokers with native_eta have waited already. */
static int64_t eta_delay_us(const cel_worker_request *request)
{
    int64_t now = now_us(request->worker);
    int64_t eta = request->headers.eta_us;

    return eta != CEL_TIME_NONE && eta > now ? eta - now : 0;
}

/* How long it must wait for its ETA and its rate limit. */
static int64_t delay_us(cel_worker_request *request)
{
    int64_t eta = eta_delay_us(request);
    int64_t rate = cel__rate_delay_us(request->entry, now_us(request->worker));

    return eta > rate ? eta : rate;
}

static void hold(cel_worker_request *request)
{
    int64_t delay = delay_us(request);

    if (delay <= 0 || !wait_for(request, delay))
        cel__request_move(request, &request->worker->waiting);
}

/* ---- waiting in the broker ---- */

static void on_postponed(void *user, cel_code code, const cel_error *err)
{
    cel_worker_request *request = user;
    cel_worker *worker = request->worker;

    worker->postponed_count--;
    if (code == CEL_OK || code == CEL_ESTALE || code == CEL_ECANCELED) {
        request->delivery = NULL;
        cel__request_free(request);
    } else if (worker->phase != CEL_WORKER_RUNNING || code == CEL_ECONN) {
        cel__request_release(request);
    } else {
        cel__worker_log(worker, CEL_LOG_DEBUG, "Task %.*s[%.*s] waits for its ETA here: %s",
                        CEL_VIEW_ARG(cel__request_name(request)),
                        CEL_VIEW_ARG(request->headers.id), err ? err->message : "");
        hold(request);
    }
    cel__strategy_pump(worker);
    cel__worker_check_stop(worker);
}

/* A few wait here, as with Celery; more go back to the broker where that can keep them: senders
 * that know nothing of delayed delivery must not fill the memory, nor keep others waiting. */
static bool postpone(cel_worker_request *request)
{
    const cel_broker_ops *ops = request->delivery->broker->ops;
    cel_worker *worker = request->worker;

    if (!ops->postpone || worker->timed_count < worker->settings.eta_limit ||
        eta_delay_us(request) < POSTPONE_MIN_US)
        return false;
    if (ops->postpone(request->delivery, request->headers.eta_us / 1000, on_postponed, request,
                      NULL) != CEL_OK)
        return false;
    cel__request_move(request, &worker->postponed);
    worker->postponed_count++;
    return true;
}

/* ---- receiving ---- */

static bool is_late(const cel_worker_request *request)
{
    int own = request->entry->options.acks_late;

    return own ? own > 0 : request->worker->settings.acks_late;
}

/* An early-acked task whose worker died must not run again. */
static bool is_lost(cel_worker_request *request)
{
    if (request->delivery->attempt != CEL_ATTEMPT_ACCEPTED || request->late)
        return false;
    cel__worker_log(request->worker, CEL_LOG_ERROR,
                    "Task %.*s[%.*s] was running in a worker that died: it is not run again "
                    "(acks_late is off)",
                    CEL_VIEW_ARG(cel__request_name(request)),
                    CEL_VIEW_ARG(request->headers.id));
    fail_lost(request, "The worker that ran the task died");
    return true;
}

static void admit(cel_worker_request *request)
{
    cel_worker *worker = request->worker;

    request->entry = cel__registry_find(worker->app->registry, request->headers.task);
    if (!request->entry) {
        send_signal(request, CEL_SIGNAL_TASK_UNKNOWN);
        fail_unregistered(request);
        return;
    }
    request->late = is_late(request);
    if (is_lost(request))
        return;
    if (is_expired(request)) {
        discard(request, "expired");
        return;
    }
    if (cel__control_is_revoked(request)) {
        discard(request, "revoked");
        return;
    }
    if (cel__worker_logs(worker, CEL_LOG_INFO))
        cel__worker_log(worker, CEL_LOG_INFO, "Task %.*s[%.*s] received",
                        CEL_VIEW_ARG(cel__request_name(request)),
                        CEL_VIEW_ARG(request->headers.id));
    send_signal(request, CEL_SIGNAL_TASK_RECEIVED);
    cel__announce_received(request);
    if (!postpone(request))
        hold(request);
}

static void signal_rejected(const cel_worker_request *request)
{
    cel__signal_message(request->worker->app, CEL_SIGNAL_TASK_REJECTED, (cel_view){NULL, 0},
                        (cel_view){NULL, 0}, request->delivery->queue);
}

void cel__strategy_receive(void *user, cel_delivery *delivery)
{
    cel_worker *worker = user;
    cel_worker_request *request;
    cel_error err = {0};

    worker->received++;
    if (worker->phase != CEL_WORKER_RUNNING) {
        delivery->broker->ops->release(delivery, NULL, NULL);
        return;
    }
    request = cel__request_new(worker, delivery);
    if (!request) {
        cel__worker_log(worker, CEL_LOG_CRITICAL,
                        "no memory for a delivery: it is handed back");
        delivery->broker->ops->release(delivery, NULL, NULL);
        return;
    }
    if (cel__task_headers_read(&request->headers, &delivery->message,
                               &worker->app->codings.tasks, &request->scratch,
                               &err) != CEL_OK) {
        cel__worker_log(worker, CEL_LOG_ERROR,
                        "Received and rejected a message that is no task (queue %.*s, %zu "
                        "bytes of headers, %zu of "
                        "body): %s",
                        CEL_VIEW_ARG(delivery->queue), delivery->message.headers.len,
                        delivery->message.body.len, err.message);
        signal_rejected(request);
        cel__settle_reject(request, false);
        return;
    }
    if (cel__task_body_check(&delivery->message, &request->headers, &worker->app->codings.tasks,
                             &err) != CEL_OK) {
        cel__worker_log(worker, CEL_LOG_ERROR,
                        "Received and rejected a task whose content is not allowed: "
                        "%.*s[%.*s] (queue %.*s): %s",
                        CEL_VIEW_ARG(cel__request_name(request)),
                        CEL_VIEW_ARG(request->headers.id), CEL_VIEW_ARG(delivery->queue),
                        err.message);
        signal_rejected(request);
        cel__settle_reject(request, false);
        return;
    }
    if (worker->metrics)
        cel__metrics_received(worker->metrics, request->headers.task, delivery->queue);
    admit(request);
    cel__strategy_pump(worker);
}

void cel__strategy_release_all(cel_worker *worker)
{
    while (worker->timed) {
        drop_timer(worker->timed);
        cel__request_release(worker->timed);
    }
    while (worker->waiting)
        cel__request_release(worker->waiting);
}

/* ---- remote control ---- */

cel_code cel__strategy_terminate(cel_worker_request *request, int signum, cel_error *err)
{
    cel_worker *worker = request->worker;

    if (request->list != &worker->active) /* its id is revoked: it is discarded in its turn */
        return CEL_OK;
    if (!worker->pool_ops->hard_limits)
        return cel_error_set(err, CEL_ENOTSUP, "the pool %s cannot end a running task",
                             worker->pool_ops->names);
    request->terminated = true;
    request->signum = signum;
    return worker->pool_ops->kill(worker->pool, &request->pool, signum, err);
}

static void forget_turn(void *user, cel_task_entry *task)
{
    (void)user;
    task->next_turn_us = 0;
}

void cel__strategy_reset_rates(cel_worker *worker)
{
    cel_worker_request *list = worker->timed, *request;

    cel__registry_each(worker->app->registry, forget_turn, NULL);
    worker->timed = NULL;
    while ((request = list) != NULL) {
        DL_DELETE2(list, request, list_prev, list_next);
        request->list = NULL;
        drop_timer(request);
        hold(request);
    }
    cel__strategy_pump(worker);
}

/* ---- the pool's callbacks ---- */

void cel__strategy_on_room(void *user, size_t free_slots)
{
    (void)free_slots;
    cel__strategy_pump(user);
}

void cel__strategy_on_dispatch(void *user, cel_pool_request *pool_request)
{
    cel_worker *worker = user;
    cel_worker_request *request = of_pool(pool_request);
    cel_error err = {0};

    if (request->late || request->accepted)
        return;
    request->accepted = true;
    if (request->delivery->broker->ops->accept(request->delivery, &err) != CEL_OK)
        cel__worker_log(worker, CEL_LOG_WARNING, "a message could not be accepted early: %s",
                        err.message);
}

static void store_state(cel_worker_request *request, cel_view state, cel_view result)
{
    cel_worker *worker = request->worker;
    cel_backend_record record = {.task_id = request->headers.id,
                                 .status = state,
                                 .reply_to = request->delivery->message.reply_to,
                                 .correlation_id = request->delivery->message.correlation_id};
    cel_error err = {0};

    if (!worker->backend || request->headers.ignore_result == 1)
        return;
    cel__buf_reset(&worker->scratch);
    cel__result_meta_dump(&worker->scratch,
                          &(cel_result_meta){.task_id = request->headers.id,
                                             .status = state,
                                             .result = result,
                                             .children = CEL_VIEW("[]"),
                                             .date_done_us = CEL_TIME_NONE,
                                             .group_id = request->headers.group,
                                             .parent_id = request->headers.parent_id});
    if (cel__buf_check(&worker->scratch, &err) == CEL_OK) {
        record.document = cel__buf_view(&worker->scratch);
        record.group_id = request->headers.group;
        if (worker->backend->ops->store(worker->backend, &record, NULL, NULL, &err) == CEL_OK)
            return;
    }
    cel__request_log(request, CEL_LOG_WARNING, "the state of a running task is not stored: %s",
                     err.message);
}

static bool ignores_result(const cel_worker_request *request)
{
    int own = request->entry->options.ignore_result;

    if (request->headers.ignore_result >= 0)
        return request->headers.ignore_result > 0;
    return own ? own > 0 : request->worker->settings.ignore_result;
}

/* Once, whether the pool tells of the start or of the end only. */
static void note_start(cel_worker_request *request, int64_t wall_us)
{
    if (request->started_us > 0)
        return;
    request->started_us = wall_us > 0 ? wall_us : now_us(request->worker);
    request->entry->started++;
}

void cel__strategy_on_started(void *user, cel_pool_request *pool_request, int64_t wall_us)
{
    cel_worker *worker = user;
    cel_worker_request *request = of_pool(pool_request);
    int own = request->entry->options.track_started;
    cel__buf result = {0};

    note_start(request, wall_us);
    cel__announce_started(request);
    if ((own ? own < 0 : !worker->settings.track_started) || ignores_result(request))
        return;
    cel__buf_addf(&result, "{\"pid\": %d, \"hostname\": ", (int)pool_request->pid);
    cel__buf_add_json(&result, cel__view(worker->node));
    cel__buf_add_byte(&result, '}');
    if (!result.failed)
        store_state(request, CEL_VIEW("STARTED"), cel__buf_view(&result));
    cel__buf_done(&result);
}

static void on_published(void *user, cel_code code, const cel_error *err);

/* A task that sends messages while it runs waits for the reply. */
typedef struct upcall {
    cel_worker *worker;
    uint64_t request_id;
    size_t pending;
    cel_error failure;
} upcall;

static void answer(upcall *call)
{
    cel_worker *worker = call->worker;
    cel_worker_request *request;
    cel__buf reply = {0};
    size_t start;

    DL_FOREACH2(worker->active, request, list_next)
    {
        if (request->pool.id == call->request_id)
            break;
    }
    if (request) {
        start = cel__frame_begin(&reply, CEL_FRAME_REPLY, call->request_id);
        cel__section_add_int(&reply, CEL_TAG_CODE, call->failure.code);
        if (call->failure.code != CEL_OK)
            cel__section_add(&reply, CEL_TAG_TEXT, cel__view(call->failure.message));
        cel__frame_end(&reply, start);
        worker->pool_ops->reply(worker->pool, &request->pool, cel__buf_view(&reply));
        cel__buf_done(&reply);
    }
    worker->held--;
    cel__free(call);
    cel__worker_check_stop(worker);
}

static void on_published(void *user, cel_code code, const cel_error *err)
{
    upcall *call = user;

    if (code != CEL_OK && call->failure.code == CEL_OK)
        cel_error_set(&call->failure, code, "%s", err ? err->message : cel_code_text(code));
    if (--call->pending == 0)
        answer(call);
}

static void publish_for_task(cel_worker_request *request, const cel_frame *frame)
{
    cel_worker *worker = request->worker;
    upcall *call = cel__calloc(1, sizeof *call);
    cel_view rest = frame->sections;
    cel_section_tag tag;
    cel_view bytes;
    cel_error err = {0};

    if (!call)
        return;
    *call = (upcall){.worker = worker, .request_id = request->pool.id, .pending = 1};
    worker->held++;
    while (cel__section_next(&rest, &tag, &bytes)) {
        cel_code code = CEL_OK;

        if (tag == CEL_TAG_CHORD && worker->backend) {
            cel_outcome_chord chord;

            cel__outcome_chord(&chord, bytes);
            code = worker->backend->ops->chord_open(worker->backend, chord.gid, chord.size,
                                                    on_published, call, &err);
            if (code == CEL_OK && chord.document.ptr) {
                call->pending++;
                code = worker->backend->ops->group_save(
                    worker->backend, chord.gid, chord.document, on_published, call, &err);
            }
        } else if (tag == CEL_TAG_MESSAGE) {
            cel_message message;

            cel__buf_reset(&worker->scratch);
            code = cel__section_message(&message, bytes, &worker->scratch, &err);
            if (code == CEL_OK)
                code = worker->broker->ops->publish(worker->broker, &message, 1, on_published,
                                                    call, &err);
            if (code == CEL_OK)
                cel__sent_tell(worker->app, worker->broker, &message, 1);
        } else {
            continue;
        }
        if (code == CEL_OK)
            call->pending++;
        else
            call->failure = err;
    }
    on_published(call, CEL_OK, NULL);
}

static void log_for_task(cel_worker_request *request, const cel_frame *frame)
{
    cel_worker *worker = request->worker;
    int64_t level = CEL_LOG_INFO;
    cel_view text = {0};
    cel_view rest = frame->sections;
    cel_section_tag tag;
    cel_view bytes;

    while (cel__section_next(&rest, &tag, &bytes)) {
        if (tag == CEL_TAG_LEVEL && !cel__section_int(bytes, &level))
            level = CEL_LOG_INFO;
        else if (tag == CEL_TAG_TEXT)
            text = bytes;
    }
    if (level < CEL_LOG_DEBUG || level > CEL_LOG_CRITICAL ||
        !cel__worker_logs(worker, (cel_log_level)level))
        return;
    worker->log(worker->log_user, (cel_log_level)level, cel__request_process(request),
                cel__request_name(request), request->headers.id, text);
}

void cel__strategy_on_frame(void *user, cel_pool_request *pool_request, const cel_frame *frame)
{
    cel_worker_request *request = of_pool(pool_request);
    cel_outcome update;

    (void)user;
    if (frame->type == CEL_FRAME_PUBLISH)
        publish_for_task(request, frame);
    else if (frame->type == CEL_FRAME_LOG)
        log_for_task(request, frame);
    else if (frame->type == CEL_FRAME_UPDATE &&
             cel__outcome_read(&update, frame->sections, NULL) == CEL_OK)
        store_state(request, update.state, update.result);
}

void cel__strategy_on_outcome(void *user,
                              cel_pool_request *pool_request,
                              const cel_frame *frame)
{
    cel_worker_request *request = of_pool(pool_request);
    cel_outcome outcome;

    (void)user;
    note_start(request, 0);
    /* A task may notice the signal and end by itself, just before its process does. */
    if (request->terminated && cel__outcome_read(&outcome, frame->sections, NULL) == CEL_OK &&
        cel__view_is(outcome.state, "FAILURE"))
        end_revoked(request, "terminated");
    else
        cel__settle_outcome(request, frame);
}

/* Whether a task that has cost a process is not poison yet. Classic queues of RabbitMQ do not
 * count deliveries: then this worker does. */
static bool may_run_again(cel_worker_request *request)
{
    int64_t limit = request->worker->settings.crash_limit;
    int64_t times = request->delivery->deliveries;
    int64_t noted = cel__poison_note(&request->worker->poison, request->headers.id);

    return limit <= 0 || (times > 0 ? times : noted) < limit;
}

static bool goes_back(cel_worker_request *request)
{
    int own = request->entry->options.reject_on_worker_lost;

    if (!request->late || !(own ? own > 0 : request->worker->settings.reject_on_worker_lost))
        return false;
    return may_run_again(request);
}

static void lost_hard_limit(cel_worker_request *request)
{
    double seconds = (double)request->pool.hard_limit_ms / 1000.0;
    int own = request->entry->options.acks_on_failure_or_timeout;
    char args[48];

    cel__worker_log(
        request->worker, CEL_LOG_ERROR, "Hard time limit (%gs) exceeded for %.*s[%.*s]",
        seconds, CEL_VIEW_ARG(cel__request_name(request)), CEL_VIEW_ARG(request->headers.id));
    if (request->late && (own ? own < 0 : !request->worker->settings.acks_on_timeout) &&
        may_run_again(request)) { /* as with Celery, but not for ever */
        cel__settle_reject(request, true);
        return;
    }
    snprintf(args, sizeof args, seconds == floor(seconds) ? "[%.0f]" : "[%.3f]", seconds);
    fail(request, "TimeLimitExceeded", "billiard.exceptions", args);
}

static void lost_died(cel_worker_request *request, const char *reason)
{
    if (goes_back(request)) {
        cel__worker_log(request->worker, CEL_LOG_ERROR,
                        "Task %.*s[%.*s] lost its process (%s): its message is put back",
                        CEL_VIEW_ARG(cel__request_name(request)),
                        CEL_VIEW_ARG(request->headers.id), reason);
        cel__announce_rejected(request, true);
        cel__settle_reject(request, true);
        return;
    }
    fail_lost(request, reason);
}

void cel__strategy_on_lost(void *user,
                           cel_pool_request *pool_request,
                           cel_pool_loss loss,
                           const char *reason)
{
    cel_worker *worker = user;
    cel_worker_request *request = of_pool(pool_request);

    if (loss == CEL_LOST_HARD_LIMIT)
        lost_hard_limit(request);
    else if (request->terminated && worker->phase != CEL_WORKER_KILLING)
        end_revoked(request, "terminated");
    else if (loss == CEL_LOST_KILLED && request->late && worker->phase != CEL_WORKER_RUNNING)
        cel__request_release(request); /* a cold stop hands back what is not finished */
    else if (loss == CEL_LOST_KILLED)
        fail_lost(request, reason);
    else
        lost_died(request, reason);
    cel__worker_check_stop(worker);
}

void cel__strategy_on_returned(void *user, cel_pool_request *pool_request)
{
    cel_worker *worker = user;

    cel__request_release(of_pool(pool_request));
    cel__worker_check_stop(worker);
}

void cel__strategy_on_soft_limit(void *user, cel_pool_request *pool_request)
{
    cel_worker *worker = user;
    cel_worker_request *request = of_pool(pool_request);

    cel__worker_log(worker, CEL_LOG_WARNING, "Soft time limit (%gs) exceeded for %.*s[%.*s]",
                    (double)pool_request->soft_limit_ms / 1000.0,
                    CEL_VIEW_ARG(cel__request_name(request)),
                    CEL_VIEW_ARG(request->headers.id));
}
