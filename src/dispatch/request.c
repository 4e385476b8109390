/* request.c - one request's way: read, looked up, built, sent, remembered, answered, acknowledged.
 *
 *     read -> look -> send -> save -> answer -> settle
 *       |       |       |                ^
 *       +-------+-------+----- refuse ---+
 *
 * Each step ends in a callback that begins the next. A step that an outage has stopped is tried again after a
 * pause, for as long as it takes: the requester may have gone, but the request has not. Where broker and
 * result store share a transaction, sending and saving are one step. Of several requests with one correlation id
 * that are there at once, the later ones wait for the first to be settled. */
#include <inttypes.h>
#include <stdlib.h>

#include <utlist.h>

#include "app/handle.h"
#include "celeriac/result.h"
#include "core/json.h"
#include "core/mem.h"
#include "dispatch/ids.h"
#include "dispatch/impl.h"

#define KEY_MAX      255 /* bytes of a correlation id, AMQP's limit */
#define NAME_MAX_LEN 255
#define DELIVERIES_MAX                                                                         \
    10 /* a request that was delivered more often than that has ended dispatchers */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 30000

struct cel_dispatch_request {
    cel_dispatcher *dispatcher;
    cel_delivery *delivery; /* NULL once it is settled */
    cel_view key; /* of the delivery, like reply_to: absent without a correlation id */
    cel_view reply_to;
    char record_id[CEL_UUID_LEN + 1];
    char digest[CEL_DIGEST_LEN + 1]; /* of what was asked for */
    json_t *params;
    const cel_flow_entry *flow;
    char *queue; /* owned; NULL: as the flow says */
    bool wait;
    uint64_t ids; /* how many were made */
    cel_submit submit;
    size_t pending; /* of sending and saving together */
    cel_code code;  /* of these, the first failure */
    cel_error err;
    cel__buf document; /* what is to be remembered */
    cel__buf answer;
    cel_dispatch_job job;
    bool refused, keyed;
    void (*step)(
        cel_dispatch_request *request); /* to be tried again at due_ms; 0: nothing is */
    int64_t due_ms, pause_ms;
    cel_dispatch_request *prev, *next; /* in dispatcher->requests */
    cel_dispatch_request *same;        /* the next with this correlation id */
    UT_hash_handle hh;
};

/* What logs call it. */
#define NAME(request) CEL_VIEW_ARG((request)->key.ptr ? (request)->key : CEL_VIEW("without id"))

static void look(cel_dispatch_request *request);
static void send_job(cel_dispatch_request *request);
static void save(cel_dispatch_request *request);
static void answer(cel_dispatch_request *request);
static void settle(cel_dispatch_request *request);
static void begin(cel_dispatch_request *request);

/* ---- the end of a request ---- */

/* Frees it, and lets the next one with its correlation id begin. */
static void finish(cel_dispatch_request *request)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    cel_dispatch_request *same = request->same;

    if (request->keyed)
        HASH_DEL(dispatcher->by_key, request);
    DL_DELETE(dispatcher->requests, request);
    dispatcher->request_count--;
    json_decref(request->params);
    cel__free(request->queue);
    cel__batch_done(&request->submit.batch);
    cel__buf_done(&request->document);
    cel__buf_done(&request->answer);
    cel__dispatch_job_done(&request->job);
    cel__free(request);
    if (same)
        begin(same);
    cel__dispatch_check_stop(dispatcher);
}

/* Leaves it for the next dispatcher. */
static void abandon(cel_dispatch_request *request)
{
    cel_delivery *delivery = request->delivery;

    request->delivery = NULL;
    if (delivery)
        delivery->broker->ops->release(delivery, NULL, NULL);
    finish(request);
}

static void pause_before(cel_dispatch_request *request,
                         void (*step)(cel_dispatch_request *request))
{
    cel_dispatcher *dispatcher = request->dispatcher;

    request->pause_ms = request->pause_ms ? 2 * request->pause_ms : PAUSE_MIN_MS;
    if (request->pause_ms > PAUSE_MAX_MS)
        request->pause_ms = PAUSE_MAX_MS;
    request->step = step;
    request->due_ms = cel__clock_mono_ms(dispatcher->app->clock) + request->pause_ms;
    cel__dispatch_tick(dispatcher, true);
}

/* True if the step is to be tried again: an outage. */
static bool is_outage(cel_code code, const cel_error *err)
{
    return code == CEL_ECONN || code == CEL_ETIMEDOUT || (err && err->retriable);
}

static void step_failed(cel_dispatch_request *request,
                        void (*step)(cel_dispatch_request *request),
                        const char *what,
                        const cel_error *err)
{
    if (request->dispatcher->stopping) {
        abandon(request);
        return;
    }
    cel__warning(request->dispatcher->log, "Request %.*s: %s, trying again: %s", NAME(request),
                 what, err ? err->message : "");
    pause_before(request, step);
}

/* Runs one step that is due, or abandons one; false if there is none. Either may change the list. */
static bool retry_one(cel_dispatcher *dispatcher, int64_t now_ms, bool *paused)
{
    cel_dispatch_request *request;

    *paused = false;
    DL_FOREACH(dispatcher->requests, request)
    {
        if (request->due_ms == 0)
            continue;
        *paused = true;
        if (dispatcher->stopping) {
            abandon(request);
            return true;
        }
        if (request->due_ms <= now_ms) {
            request->due_ms = 0;
            request->step(request);
            return true;
        }
    }
    return false;
}

void cel__dispatch_retry_due(cel_dispatcher *dispatcher)
{
    int64_t now_ms = cel__clock_mono_ms(dispatcher->app->clock);
    bool paused;

    while (retry_one(dispatcher, now_ms, &paused))
        continue;
    cel__dispatch_tick(dispatcher, paused);
}

/* ---- refusing ---- */

static void refuse(cel_dispatch_request *request, const char *message)
{
    cel__warning(request->dispatcher->log, "Request %.*s refused: %s", NAME(request), message);
    request->refused = true;
    cel__buf_reset(&request->answer);
    cel__buf_add_str(&request->answer, "{\"error\": ");
    cel__buf_add_json(&request->answer, cel__view(message));
    cel__buf_add_byte(&request->answer, '}');
    answer(request);
}

/* ---- reading ---- */

static bool read_text(cel_view *out, const json_t *params, const char *name, cel_error *err)
{
    const json_t *value = json_object_get(params, name);

    if (!value)
        return true;
    *out = (cel_view){json_string_value(value), json_string_length(value)};
    if (out->len > 0 && out->len <= NAME_MAX_LEN && !memchr(out->ptr, '\0', out->len))
        return true;
    cel_error_set(err, CEL_EINVAL, "'%s' must be a string of 1 to %d bytes", name,
                  NAME_MAX_LEN);
    return false;
}

static bool read_wait(cel_dispatch_request *request, cel_error *err)
{
    const cel_dispatcher *dispatcher = request->dispatcher;
    const json_t *value = json_object_get(request->params, "wait");

    if (value && !json_is_boolean(value)) {
        cel_error_set(err, CEL_EINVAL, "'wait' must be true or false");
        return false;
    }
    request->wait = json_is_true(value);
    if (request->wait && !dispatcher->backend) {
        cel_error_set(err, CEL_EINVAL, "'wait' needs a result store, and none is configured");
        return false;
    }
    if (request->wait && dispatcher->report_count >= CEL_REPORTS_MAX) {
        cel_error_set(err, CEL_EFULL,
                      "%d requesters wait for results already: ask without 'wait'",
                      CEL_REPORTS_MAX);
        return false;
    }
    return true;
}

/* Takes what is the dispatcher's own out of the members, and the digest of the rest. */
static cel_code read_params(cel_dispatch_request *request, cel_error *err)
{
    cel_view flow = {NULL, 0}, queue = {NULL, 0};
    cel__buf canonical = {0};
    char *text;
    cel_code code;
    bool ok;

    if (!read_text(&flow, request->params, "flow", err) ||
        !read_text(&queue, request->params, "queue", err) || !read_wait(request, err))
        return CEL_EINVAL;
    code = cel__flow_find(&request->flow, request->dispatcher->app, flow, err);
    if (code != CEL_OK)
        return code;
    request->queue = queue.ptr ? cel__memdup(queue.ptr, queue.len) : NULL;
    if (queue.ptr && !request->queue)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    json_object_del(request->params, "flow");
    json_object_del(request->params, "wait");
    json_object_del(request->params, "queue");
    text = json_dumps(request->params, JSON_SORT_KEYS | JSON_COMPACT);
    cel__buf_addf(&canonical, "%s\n%s\n%s", request->flow->name,
                  request->queue ? request->queue : "", text ? text : "");
    ok = text && !canonical.failed &&
         cel__dispatch_digest(request->digest, cel__buf_view(&canonical));
    free(text);
    cel__buf_done(&canonical);
    return ok ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a request");
}

static cel_code read_request(cel_dispatch_request *request, cel_error *err)
{
    const cel_delivery *delivery = request->delivery;
    cel_error why = {0};

    if (delivery->deliveries > DELIVERIES_MAX)
        return cel_error_set(err, CEL_EINVAL,
                             "given up: delivered %" PRId64
                             " times, and no dispatcher has finished it",
                             delivery->deliveries);
    if (request->key.len > KEY_MAX) {
        request->key.len = KEY_MAX;
        return cel_error_set(err, CEL_EINVAL, "the correlation id is longer than %d bytes",
                             KEY_MAX);
    }
    if (cel__json_load(&request->params, delivery->message.body, &why) != CEL_OK)
        return cel_error_set(err, CEL_EINVAL, "the request is no JSON: %s", why.message);
    if (!json_is_object(request->params))
        return cel_error_set(
            err, CEL_EINVAL,
            "the request must be a JSON object: the flow's name in \"flow\", and "
            "its parameters");
    if (request->key.ptr && !cel__dispatch_id(request->record_id, request->key, 0))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a request");
    return read_params(request, err);
}

static void begin(cel_dispatch_request *request)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    cel_dispatch_request *first = NULL;
    cel_error err = {0};

    if (dispatcher->stopping) {
        abandon(request);
        return;
    }
    if (request->key.ptr)
        HASH_FIND(hh, dispatcher->by_key, request->key.ptr, request->key.len, first);
    if (first) { /* one is being worked on: this one waits for it */
        request->same = first->same;
        first->same = request;
        return;
    }
    if (request->key.ptr) {
        HASH_ADD_KEYPTR(hh, dispatcher->by_key, request->key.ptr, request->key.len, request);
        request->keyed = true;
    }
    if (!request->params && read_request(request, &err) != CEL_OK)
        refuse(request, err.message);
    else
        look(request);
}

/* A list of those that wait is handed on as it is: the first of them begins, the others are its. */
void cel__dispatch_receive(void *user, cel_delivery *delivery)
{
    cel_dispatcher *dispatcher = user;
    cel_dispatch_request *request = cel__calloc(1, sizeof *request);

    if (!request) {
        cel__err(dispatcher->log, "no memory for a request: it stays in its queue");
        delivery->broker->ops->release(delivery, NULL, NULL);
        return;
    }
    request->dispatcher = dispatcher;
    request->delivery = delivery;
    if (delivery->message.correlation_id.len > 0)
        request->key = delivery->message.correlation_id;
    if (delivery->message.reply_to.len > 0)
        request->reply_to = delivery->message.reply_to;
    DL_APPEND(dispatcher->requests, request);
    dispatcher->request_count++;
    begin(request);
}

/* ---- looking it up ---- */

/* Reads the document of a request that was sent before; answers. */
static void answer_again(cel_dispatch_request *request, cel_view document)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    cel__buf tuple = {0};
    json_t *json = NULL;
    cel_error err = {0};
    cel_code code = cel__json_load(&json, document, &err);
    const char *digest = json_string_value(json_object_get(json, "request"));
    bool same = digest && strcmp(digest, request->digest) == 0;

    if (code == CEL_OK) {
        cel__json_dump(&tuple, json_object_get(json, "result"));
        code = cel__buf_check(&tuple, &err);
    }
    if (code == CEL_OK)
        code =
            cel__dispatch_job_load(&request->job, dispatcher->app, cel__buf_view(&tuple), &err);
    cel__buf_done(&tuple);
    json_decref(json);
    if (code != CEL_OK) {
        cel__err(dispatcher->log, "Request %.*s: what is remembered of it cannot be read: %s",
                 NAME(request), err.message);
        refuse(request, "what is remembered of this request cannot be read");
    } else if (!same) {
        refuse(request, "this correlation id was used for a request with other parameters: "
                        "take a new one");
    } else {
        cel__info(dispatcher->log, "Request %.*s: sent before, as %s", NAME(request),
                  request->job.id);
        answer(request);
    }
}

static void on_document(void *user, cel_view document, const cel_error *err)
{
    cel_dispatch_request *request = user;

    if (err && is_outage(err->code, err))
        step_failed(request, look, "the result store cannot be asked", err);
    else if (err)
        refuse(request, err->message);
    else if (document.ptr)
        answer_again(request, document);
    else
        send_job(request);
}

static void look(cel_dispatch_request *request)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    cel_error err = {0};
    cel_code code;

    if (!request->key.ptr) {
        send_job(request);
        return;
    }
    if (!dispatcher->backend) {
        on_document(request, cel__dispatch_memory_get(&dispatcher->memory, request->key), NULL);
        return;
    }
    code = dispatcher->backend->ops->group_fetch(
        dispatcher->backend, cel__view(request->record_id), on_document, request, &err);
    if (code != CEL_OK)
        on_document(request, (cel_view){NULL, 0}, &err);
}

/* ---- sending ---- */

static void next_id(void *user, char out[CEL_UUID_LEN + 1])
{
    cel_dispatch_request *request = user;

    if (!request->key.ptr || !cel__dispatch_id(out, request->key, ++request->ids))
        cel__uuid4(out);
}

static cel_code keep_plan(cel_dispatch_request *request, const cel_plan *plan, cel_error *err)
{
    cel__buf *document = &request->document;
    cel_view tuple = cel__plan_result(plan);
    cel_code code = cel__batch_add_plan(&request->submit.batch, plan, err);

    cel__buf_add_str(document, "{\"result\": ");
    cel__buf_add_view(document, tuple);
    cel__buf_addf(document, ", \"request\": \"%s\"}", request->digest);
    if (code == CEL_OK)
        code = cel__buf_check(document, err);
    if (code == CEL_OK)
        code = cel__dispatch_job_load(&request->job, request->dispatcher->app, tuple, err);
    return code;
}

static cel_code
plan_job(cel_dispatch_request *request, const cel_signature *signature, cel_error *err)
{
    cel_app *app = request->dispatcher->app;
    const char *queue = request->queue ? request->queue : request->flow->queue;
    cel_canvas_context context = {
        .new_id = next_id,
        .user = request,
        .now_us = request->submit.batch.now_us,
        .options = queue ? json_pack("{s:s}", "queue", queue) : NULL,
        .origin = cel__view(app->origin),
        .reply_to = cel__view(app->reply_to),
    };
    cel_plan *plan = NULL;
    cel_code code;

    if (queue && !context.options)
        return cel_error_set(err, CEL_EINVAL, "the name of the queue is no UTF-8");
    code = cel__canvas_apply(&plan, cel_signature_json(signature), &context, err);
    if (code == CEL_OK)
        code = keep_plan(request, plan, err);
    cel__plan_free(plan);
    json_decref(context.options);
    return code;
}

static cel_code build(cel_dispatch_request *request, cel_error *err)
{
    cel_app *app = request->dispatcher->app;
    cel_signature *signature = NULL;
    cel_code code = cel__flow_call(&signature, app, request->flow, request->params, err);

    if (code != CEL_OK)
        return code;
    cel__batch_init(&request->submit.batch, app);
    code = plan_job(request, signature, err);
    cel_signature_free(signature);
    if (code == CEL_OK && request->submit.batch.chord_count > 0 &&
        !request->dispatcher->backend)
        code = cel_error_set(err, CEL_ECONFIG,
                             "a chord needs a result store, and none is configured");
    return code;
}

static void sent(cel_dispatch_request *request)
{
    cel_error *err = &request->err;

    if (request->code == CEL_OK && request->dispatcher->together)
        answer(request);
    else if (request->code == CEL_OK)
        save(request);
    else if (is_outage(request->code, err) || err->uncertain || request->code == CEL_ECANCELED)
        step_failed(request, send_job, "it cannot be sent", err);
    else
        refuse(request, err->message);
}

static void note_sent(cel_dispatch_request *request, cel_code code, const cel_error *err)
{
    if (code != CEL_OK && request->code == CEL_OK) {
        request->code = code;
        if (err)
            request->err = *err;
        else
            cel_error_set(&request->err, code, "%s", cel_code_text(code));
    }
    if (--request->pending == 0)
        sent(request);
}

static void on_submitted(cel_submit *submit)
{
    note_sent((cel_dispatch_request *)((char *)submit - offsetof(cel_dispatch_request, submit)),
              submit->code, &submit->err);
}

static void on_saved_together(void *user, cel_code code, const cel_error *err)
{
    note_sent(user, code, err);
}

/* Messages, chords and what is to be remembered; the last only here if all of it takes effect together. */
static void send_job(cel_dispatch_request *request)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    bool save_too = dispatcher->together && request->key.ptr;
    cel_error err = {0};
    cel_code code = CEL_OK;

    if (!request->job.id)
        code = build(request, &err);
    if (code != CEL_OK) {
        refuse(request, err.message);
        return;
    }
    request->code = CEL_OK;
    request->err = (cel_error){0};
    request->submit.keep = true;
    request->submit.done = on_submitted;
    request->pending = 1;
    if (request->submit.batch.count > 0) {
        request->pending++;
        code = cel__submit_start(&request->submit, dispatcher->broker, dispatcher->backend,
                                 dispatcher->together, &err);
        if (code != CEL_OK)
            note_sent(request, code, &err);
    }
    if (code == CEL_OK && save_too) {
        request->pending++;
        code = dispatcher->backend->ops->group_save(
            dispatcher->backend, cel__view(request->record_id),
            cel__buf_view(&request->document), on_saved_together, request, &err);
        if (code != CEL_OK)
            note_sent(request, code, &err);
    }
    note_sent(request, CEL_OK, NULL);
}

/* ---- remembering ---- */

static void on_saved(void *user, cel_code code, const cel_error *err)
{
    cel_dispatch_request *request = user;

    if (code != CEL_OK && (is_outage(code, err) || code == CEL_ECANCELED)) {
        step_failed(request, save, "it is sent, but cannot be remembered", err);
        return;
    }
    if (code != CEL_OK)
        cel__err(request->dispatcher->log,
                 "Request %.*s: it is sent, but not remembered: %s; if it comes again it will "
                 "be sent again, with the same ids",
                 NAME(request), err ? err->message : "");
    answer(request);
}

static void save(cel_dispatch_request *request)
{
    cel_dispatcher *dispatcher = request->dispatcher;
    cel_error err = {0};
    cel_code code;

    if (!request->key.ptr) {
        answer(request);
        return;
    }
    if (!dispatcher->backend) {
        cel__dispatch_memory_put(&dispatcher->memory, request->key,
                                 cel__buf_view(&request->document));
        answer(request);
        return;
    }
    code = dispatcher->backend->ops->group_save(
        dispatcher->backend, cel__view(request->record_id), cel__buf_view(&request->document),
        on_saved, request, &err);
    if (code != CEL_OK)
        on_saved(request, code, &err);
}

/* ---- answering ---- */

static void on_answered(void *user, cel_code code, const cel_error *err)
{
    cel_dispatch_request *request = user;

    if (code == CEL_ENOENT)
        cel__warning(request->dispatcher->log, "Request %.*s: its reply queue is gone",
                     NAME(request));
    else if (code != CEL_OK && (is_outage(code, err) || code == CEL_ECANCELED)) {
        step_failed(request, answer, "it cannot be answered", err);
        return;
    } else if (code != CEL_OK)
        cel__err(request->dispatcher->log, "Request %.*s: the broker refused the answer: %s",
                 NAME(request), err ? err->message : "");
    if (code == CEL_OK && request->wait && !request->refused)
        cel__dispatch_report_start(request->dispatcher, &request->job, request->reply_to,
                                   request->key);
    settle(request);
}

static void write_answer(cel_dispatch_request *request)
{
    cel__buf *text = &request->answer;

    cel__buf_add_byte(text, '{');
    cel__dispatch_job_dump(text, &request->job);
    cel__buf_add_byte(text, '}');
    if (request->document.len > 0) /* not one that was sent before */
        cel__info(request->dispatcher->log, "Request %.*s: flow %s sent as %s (%zu part%s)",
                  NAME(request), request->flow->name, request->job.id, request->job.count,
                  request->job.count == 1 ? "" : "s");
}

static void answer(cel_dispatch_request *request)
{
    cel_broker *broker = request->dispatcher->broker;
    cel_error err = {0};
    cel_message reply;
    cel_code code;

    if (request->answer.len == 0)
        write_answer(request);
    if (!request->reply_to.ptr) { /* nobody wants to know */
        settle(request);
        return;
    }
    code = cel__buf_check(&request->answer, &err);
    if (code == CEL_OK) {
        reply = cel__dispatch_reply(request->reply_to, request->key,
                                    cel__buf_view(&request->answer));
        code = broker->ops->publish(broker, &reply, 1, on_answered, request, &err);
    }
    if (code != CEL_OK)
        on_answered(request, code, &err);
}

/* ---- the acknowledgement ---- */

static void on_settled(void *user, cel_code code, const cel_error *err)
{
    cel_dispatch_request *request = user;

    if (code == CEL_OK || code == CEL_ESTALE || code == CEL_ECANCELED) {
        request->delivery = NULL;
        finish(request);
        return;
    }
    step_failed(request, settle, "it cannot be acknowledged", err);
}

static void settle(cel_dispatch_request *request)
{
    cel_delivery *delivery = request->delivery;

    delivery->broker->ops->ack(delivery, on_settled, request);
}
