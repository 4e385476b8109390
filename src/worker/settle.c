/* settle.c - from an outcome to the acknowledgement.
 *
 * A settlement goes through the stages below in order. Where broker and result store share transactions, all stages are submitted in
 * one turn of the loop: they take effect together or not at all, and a failure starts the whole again. Elsewhere each stage waits
 * for the confirmation of the one before, so that the acknowledgement comes last, and a failure repeats its own stage; what is
 * repeated is idempotent but for publishing, where a lost confirmation may double a message: at least once.
 *
 * A part that completes its chord begins a settlement of its own, that of the chord: publish the body (or store the ChordError), then
 * chord_done. If the process dies in between, another worker's sweep finds the chord complete and not done. */
#include "worker/settle.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "app/sent.h"
#include "app/trace.h"
#include "core/mem.h"
#include "worker/announce.h"
#include "worker/outcome.h"

enum stage {
    STAGE_CHORDS,
    STAGE_PUBLISH,
    STAGE_STORE,
    STAGE_VICTIMS, /* after it: who reads a victim's failure must find the one that caused it */
    STAGE_PARTS,
    STAGE_ACK,
    STAGE_END,
};

#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 5000
#define REFUSALS_MAX 3

static void launch(cel_settlement *settlement);
static void failed(cel_settlement *settlement);
static void confirmed(cel_settlement *settlement, cel_code code, const cel_error *err);

/* ---- the end of a settlement ---- */

static void free_chord(cel_settlement *settlement)
{
    settlement->worker->held--;
    cel__buf_done(&settlement->frame);
    cel__free(settlement->gid);
    cel__free(settlement);
}

static void finish(cel_settlement *settlement)
{
    cel_worker *worker = settlement->worker;
    cel_settlement *parent = settlement->parent;

    if (worker->outage) {
        worker->outage = false;
        cel__worker_log(worker, CEL_LOG_WARNING,
                        "results are stored and messages settled again");
    }
    worker->retry_ms = 0;
    if (settlement->request) {
        worker->total++;
        assert(!settlement->request->delivery);
        cel__request_free(settlement->request);
    } else {
        free_chord(settlement);
    }
    if (parent)
        confirmed(parent, CEL_OK, NULL);
    cel__worker_check_stop(worker);
}

static void try_again(cel_settlement *settlement)
{
    cel_worker *worker = settlement->worker;

    settlement->stage = worker->one_domain ? STAGE_CHORDS : settlement->stage - 1;
    if (!worker->outage) {
        worker->outage = true;
        cel__worker_log(worker, CEL_LOG_ERROR, "cannot settle what has ended, trying again: %s",
                        settlement->failure.message);
    }
    if (settlement->parent && worker->phase == CEL_WORKER_KILLING) {
        /* Whose acknowledgement waits for it is not acknowledged either; a sweep finds the chord. */
        cel_settlement *parent = settlement->parent;
        cel_error err = settlement->failure;

        free_chord(settlement);
        confirmed(parent, err.code, &err);
        return;
    }
    settlement->failure.code = CEL_OK;
    LL_APPEND(worker->failed, settlement);
    if (!uv_is_active((uv_handle_t *)&worker->retry_timer)) {
        worker->retry_ms = worker->retry_ms ? worker->retry_ms * 2 : RETRY_MIN_MS;
        if (worker->retry_ms > RETRY_MAX_MS)
            worker->retry_ms = RETRY_MAX_MS;
        uv_timer_start(&worker->retry_timer, cel__settle_retry, (uint64_t)worker->retry_ms, 0);
    }
    cel__worker_check_stop(
        worker); /* a cold stop waits for no further try; it may free the settlement */
}

void cel__settle_retry(uv_timer_t *timer)
{
    cel_worker *worker = timer->data;
    cel_settlement *settlement = worker->failed;

    worker->failed = NULL;
    while (settlement) {
        cel_settlement *next = settlement->next;

        settlement->next = NULL;
        launch(settlement);
        settlement = next;
    }
}

static void confirmed(cel_settlement *settlement, cel_code code, const cel_error *err)
{
    assert(settlement->pending > 0);
    settlement->pending--;
    if (code != CEL_OK && code != CEL_ESTALE && settlement->failure.code == CEL_OK) {
        if (err)
            settlement->failure = *err;
        settlement->failure.code = code;
    }
    if (settlement->pending > 0 || settlement->launching)
        return;
    if (settlement->failure.code == CEL_OK)
        launch(settlement);
    else
        failed(settlement);
}

static void on_confirmed(void *user, cel_code code, const cel_error *err)
{
    confirmed(user, code, err);
}

/* An operation that could not even be submitted counts as one that failed. */
static void submitted(cel_settlement *settlement, cel_code code, const cel_error *err)
{
    if (code == CEL_OK) {
        settlement->pending++;
        return;
    }
    if (settlement->failure.code == CEL_OK) {
        settlement->failure = *err;
        settlement->failure.code = code;
    }
}

/* ---- the stages ---- */

static void open_chords(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_backend *backend = settlement->worker->backend;
    cel_view rest = outcome->sections;
    cel_view bytes;
    cel_error err = {0};

    while (backend && cel__outcome_next(&rest, CEL_TAG_CHORD, &bytes)) {
        cel_outcome_chord chord;

        cel__outcome_chord(&chord, bytes);
        if (chord.size > 0)
            submitted(settlement,
                      backend->ops->chord_open(backend, chord.gid, chord.size, on_confirmed,
                                               settlement, &err),
                      &err);
        if (chord.grow > 0)
            submitted(settlement,
                      backend->ops->chord_grow(backend, chord.gid, chord.grow, on_confirmed,
                                               settlement, &err),
                      &err);
        if (chord.document.ptr)
            submitted(settlement,
                      backend->ops->group_save(backend, chord.gid, chord.document, on_confirmed,
                                               settlement, &err),
                      &err);
    }
}

static void publish(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_worker *worker = settlement->worker;
    cel_view rest = outcome->sections;
    cel_view bytes;
    cel_error err = {0};

    while (cel__outcome_next(&rest, CEL_TAG_MESSAGE, &bytes)) {
        cel_message message;

        cel__buf_reset(&worker->scratch);
        if (cel__section_message(&message, bytes, &worker->scratch, &err) != CEL_OK) {
            cel__worker_log(worker, CEL_LOG_ERROR,
                            "a message of the pool's child is dropped: %s", err.message);
            continue;
        }
        submitted(settlement,
                  worker->broker->ops->publish(worker->broker, &message, 1, on_confirmed,
                                               settlement, &err),
                  &err);
        cel__sent_tell(worker->app, worker->broker, &message, 1);
    }
}

static void store_document(cel_settlement *settlement, cel_result_meta *meta, bool ready)
{
    cel_worker *worker = settlement->worker;
    cel_error err = {0};
    cel_backend_record record = {.task_id = meta->task_id,
                                 .status = meta->status,
                                 .ready = ready,
                                 .group_id = meta->group_id};
    const cel_worker_request *request = settlement->request;
    cel_code code;

    if (request && request->delivery) {
        record.reply_to = request->delivery->message.reply_to;
        if (cel__view_eq(meta->task_id, request->headers.id)) /* else of a victim */
            record.correlation_id = request->delivery->message.correlation_id;
    }

    cel__buf_reset(&worker->scratch);
    cel__result_meta_dump(&worker->scratch, meta);
    code = cel__buf_check(&worker->scratch, &err);
    if (code == CEL_OK) {
        record.document = cel__buf_view(&worker->scratch);
        code = worker->backend->ops->store(worker->backend, &record, on_confirmed, settlement,
                                           &err);
    }
    submitted(settlement, code, &err);
}

static int64_t now_us(const cel_worker *worker)
{
    return cel__clock_wall_us(worker->app->clock);
}

static void store_victims(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_view rest = outcome->sections;
    cel_view bytes;

    while (settlement->worker->backend && cel__outcome_next(&rest, CEL_TAG_VICTIM, &bytes)) {
        cel_outcome_victim victim;

        cel__outcome_victim(&victim, bytes);
        if (victim.id.len == 0)
            continue;
        store_document(settlement,
                       &(cel_result_meta){.task_id = victim.id,
                                          .status = victim.state,
                                          .result = victim.result,
                                          .traceback = victim.traceback,
                                          .group_id = victim.gid,
                                          .date_done_us = now_us(settlement->worker)},
                       true);
    }
}

static void store_result(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_worker *worker = settlement->worker;
    cel_worker_request *request = settlement->request;
    bool ready = cel__state_ready(outcome->state);
    cel_result_meta meta;

    if (!request || !worker->backend || !outcome->store)
        return;
    if (cel__view_is(outcome->state, "IGNORED") || cel__view_is(outcome->state, "REJECTED"))
        return;
    meta = (cel_result_meta){
        .task_id = request->headers.id,
        .status = outcome->state,
        .result = outcome->result,
        .traceback = outcome->traceback,
        .children = outcome->children.ptr ? outcome->children : CEL_VIEW("[]"),
        .date_done_us = ready ? now_us(worker) : CEL_TIME_NONE,
        .group_id = request->headers.group,
        .parent_id = request->headers.parent_id,
    };
    if (worker->settings.extended) {
        meta.name = request->headers.task;
        meta.args = outcome->args;
        meta.kwargs = outcome->kwargs;
        meta.worker = cel__view(worker->node);
        meta.queue = request->delivery->queue;
        meta.retries = request->headers.retries;
    }
    store_document(settlement, &meta, ready);
}

static void
on_part(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    cel_settlement *settlement = user;
    cel_worker *worker = settlement->worker;

    if (code == CEL_OK && ready)
        cel__settle_chord(worker, ready, worker->one_domain ? NULL : settlement);
    confirmed(settlement, code, err);
}

static void count_parts(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_backend *backend = settlement->worker->backend;
    cel_view rest = outcome->sections;
    cel_view bytes;
    cel_error err = {0};

    while (backend && backend->ops->counts_chords &&
           cel__outcome_next(&rest, CEL_TAG_PART, &bytes)) {
        cel_chord_part part;

        cel__outcome_part(&part, bytes);
        if (part.gid.len > 0 && part.task_id.len > 0)
            submitted(settlement,
                      backend->ops->chord_part(backend, &part, on_part, settlement, &err),
                      &err);
    }
}

/* The delivery is gone, whatever becomes of the rest of the round: it must not be settled again. */
static void on_acked(void *user, cel_code code, const cel_error *err)
{
    cel_settlement *settlement = user;

    if (code == CEL_OK || code == CEL_ESTALE || code == CEL_ECANCELED) {
        settlement->acked = true;
        settlement->request->delivery = NULL; /* and with it what the headers point to */
    }
    confirmed(settlement, code, err);
}

/* task_acks_on_failure off: the message of a late-acked task that failed is dead-lettered, where its
 * queue says where to. */
static bool is_rejected(const cel_worker_request *request, const cel_outcome *outcome)
{
    int own = request->entry ? request->entry->options.acks_on_failure_or_timeout : 0;

    return request->late && (own ? own < 0 : !request->worker->settings.acks_on_failure) &&
           cel__view_is(outcome->state, "FAILURE");
}

static void acknowledge(cel_settlement *settlement, const cel_outcome *outcome)
{
    cel_worker_request *request = settlement->request;
    cel_backend *backend = settlement->worker->backend;
    cel_error err = {0};

    if (!request) {
        submitted(settlement,
                  backend->ops->chord_done(backend, cel__view(settlement->gid), on_confirmed,
                                           settlement, &err),
                  &err);
        return;
    }
    settlement->pending++;
    const cel_broker_ops *ops = request->delivery->broker->ops;
    bool rejected = is_rejected(request, outcome);
    if (rejected && !request->announced)
        cel__announce_rejected(request, false);
    cel__announce_outcome(request, outcome);
    if (rejected)
        ops->reject(request->delivery, false, on_acked, settlement);
    else
        ops->ack(request->delivery, on_acked, settlement);
}

/* The sections of the frame that the settlement keeps. */
static cel_view kept_sections(const cel_settlement *settlement)
{
    return cel__buf_view(&settlement->frame);
}

static void launch_stage(cel_settlement *settlement, const cel_outcome *outcome, int stage)
{
    switch (stage) {
    case STAGE_CHORDS:
        open_chords(settlement, outcome);
        break;
    case STAGE_PUBLISH:
        publish(settlement, outcome);
        break;
    case STAGE_STORE:
        store_result(settlement, outcome);
        break;
    case STAGE_VICTIMS:
        store_victims(settlement, outcome);
        break;
    case STAGE_PARTS:
        count_parts(settlement, outcome);
        break;
    case STAGE_ACK:
        acknowledge(settlement, outcome);
        break;
    default:
        break;
    }
}

/* Submits stages until one must be waited for, or all are done. */
static void launch(cel_settlement *settlement)
{
    bool at_once = settlement->worker->one_domain;
    cel_outcome outcome;

    if (settlement->stage == STAGE_END) {
        finish(settlement);
        return;
    }
    (void)cel__outcome_read(&outcome, kept_sections(settlement), NULL); /* it was read before */
    settlement->launching = true;
    while (settlement->stage < STAGE_END && settlement->failure.code == CEL_OK) {
        launch_stage(settlement, &outcome, settlement->stage++);
        if (!at_once && settlement->pending > 0)
            break;
    }
    settlement->launching = false;
    if (settlement->pending > 0)
        return;
    if (settlement->failure.code == CEL_OK)
        finish(settlement);
    else
        failed(settlement);
}

/* ---- rounds that failed ---- */

/* Turns the outcome into the failure that its settlement was. */
static void fail_refused(cel_worker_request *request, const char *why)
{
    cel__buf args = {0};

    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, cel__view(why));
    cel__buf_add_byte(&args, ']');
    cel__settle_failure(
        request, "FAILURE",
        &(cel_exception){CEL_VIEW("ValueError"), CEL_VIEW("builtins"), cel__buf_view(&args)});
    cel__buf_done(&args);
}

/* What is invalid does not become valid by another try. So the task fails of it; should its errbacks be refused too, they are
 * left out, and at last everything: one message must not keep the worker from settling and stopping. */
static void refuse(cel_settlement *settlement)
{
    cel_worker_request *request = settlement->request;
    cel_view id = request ? request->headers.id : cel__view(settlement->gid);
    char why[sizeof settlement->failure.message];

    snprintf(why, sizeof why, "%s", settlement->failure.message);
    settlement->failure.code = CEL_OK;
    cel__worker_log(settlement->worker, CEL_LOG_ERROR,
                    "what follows from %s %.*s is refused: %s", request ? "task" : "chord",
                    CEL_VIEW_ARG(id), why);
    if (settlement->refusals++ == 0 && request) {
        fail_refused(request, why);
        return;
    }
    settlement->stage = settlement->refusals <= 2 ? STAGE_STORE : STAGE_ACK;
    launch(settlement);
}

static void failed(cel_settlement *settlement)
{
    if (settlement->acked) {
        /* Only for want of memory can a part of a transaction fail alone: the message is gone, there is nothing to repeat. */
        cel__worker_log(settlement->worker, CEL_LOG_CRITICAL,
                        "a task is acknowledged, but what follows from it is lost: %s",
                        settlement->failure.message);
        finish(settlement);
    } else if ((settlement->failure.code == CEL_EINVAL ||
                settlement->failure.code == CEL_ENOTSUP) &&
               settlement->refusals < REFUSALS_MAX) {
        refuse(settlement);
    } else {
        try_again(settlement);
    }
}

/* ---- beginnings ---- */

static bool keep(cel_settlement *settlement, cel_view sections)
{
    if (settlement->frame.ptr != sections.ptr) {
        cel__buf_reset(&settlement->frame);
        cel__buf_add_view(&settlement->frame, sections);
    }
    return !settlement->frame.failed;
}

static void log_failure(cel_worker_request *request, const cel_outcome *outcome)
{
    cel_view name = cel__request_name(request);
    cel_view id = request->headers.id;
    cel_view traceback = outcome->traceback;

    if (traceback.len > 0 && traceback.ptr[traceback.len - 1] == '\n')
        traceback.len--; /* the log ends the line */
    if (outcome->expected) {
        cel__request_log(request, CEL_LOG_INFO, "Task %.*s[%.*s] raised expected: %.*s",
                         CEL_VIEW_ARG(name), CEL_VIEW_ARG(id), CEL_VIEW_ARG(outcome->repr));
        return;
    }
    cel__request_log(request, CEL_LOG_ERROR, "Task %.*s[%.*s] raised unexpected: %.*s%s%.*s",
                     CEL_VIEW_ARG(name), CEL_VIEW_ARG(id), CEL_VIEW_ARG(outcome->repr),
                     traceback.len > 0 ? "\n" : "", CEL_VIEW_ARG(traceback));
}

static void log_outcome(cel_worker_request *request, const cel_outcome *outcome)
{
    cel_view name = cel__request_name(request);
    cel_view id = request->headers.id;

    if (cel__view_is(outcome->state, "FAILURE")) {
        log_failure(request, outcome);
    } else if (!cel__worker_logs(request->worker, CEL_LOG_INFO) &&
               !cel__view_is(outcome->state, "REJECTED")) {
        return;
    } else if (cel__view_is(outcome->state, "SUCCESS")) {
        cel__request_log(request, CEL_LOG_INFO, "Task %.*s[%.*s] succeeded in %.9gs: %.*s",
                         CEL_VIEW_ARG(name), CEL_VIEW_ARG(id),
                         (double)outcome->runtime_us / 1e6, CEL_VIEW_ARG(outcome->repr));
    } else if (cel__view_is(outcome->state, "RETRY")) {
        cel__request_log(request, CEL_LOG_INFO, "Task %.*s[%.*s] retry: %.*s",
                         CEL_VIEW_ARG(name), CEL_VIEW_ARG(id), CEL_VIEW_ARG(outcome->repr));
    } else if (cel__view_is(outcome->state, "IGNORED")) {
        cel__request_log(request, CEL_LOG_INFO, "Task %.*s[%.*s] ignored", CEL_VIEW_ARG(name),
                         CEL_VIEW_ARG(id));
    } else if (cel__view_is(outcome->state, "REJECTED")) {
        cel__request_log(request, CEL_LOG_WARNING, "Task %.*s[%.*s] reject requeue=%s: %.*s",
                         CEL_VIEW_ARG(name), CEL_VIEW_ARG(id),
                         outcome->requeue ? "True" : "False", CEL_VIEW_ARG(outcome->repr));
    }
}

static void begin(cel_worker_request *request, const cel_outcome *outcome)
{
    log_outcome(request, outcome);
    if (request->worker->metrics)
        cel__metrics_ended(request->worker->metrics, request->headers.task,
                           request->delivery->queue, outcome->state, outcome->runtime_us);
    if (cel__view_is(outcome->state, "REJECTED") && request->late) {
        cel__announce_rejected(request, outcome->requeue);
        cel__settle_reject(request, outcome->requeue);
        return;
    }
    if (cel__view_is(outcome->state, "RETRY")) /* else the next try may end before it is told */
        cel__announce_outcome(request, outcome);
    cel__request_move(request, &request->worker->settling);
    request->settlement.stage = STAGE_CHORDS;
    request->settlement.failure.code = CEL_OK;
    launch(&request->settlement);
}

void cel__settle_outcome(cel_worker_request *request, const cel_frame *frame)
{
    cel_outcome outcome;
    cel_error err = {0};

    cel__announce_started(request);
    if (!keep(&request->settlement, frame->sections)) {
        cel_error_set(&err, CEL_ENOMEM, "no memory for the outcome");
        goto fail;
    }
    if (cel__outcome_read(&outcome, kept_sections(&request->settlement), &err) != CEL_OK)
        goto fail;
    if (request->entry && outcome.runtime_us > 0) {
        cel_task_entry *entry = request->entry;

        cel__window_note(&request->worker->window, outcome.runtime_us);
        entry->average_us =
            entry->average_us && outcome.runtime_us < entry->average_us * 8
                ? entry->average_us + (outcome.runtime_us - entry->average_us) / 8
                : outcome.runtime_us;
    }
    begin(request, &outcome);
    return;

fail:
    cel__request_log(request, CEL_LOG_CRITICAL, "the outcome of a task cannot be used: %s",
                     err.message);
    cel__settle_failure(
        request, "FAILURE",
        &(cel_exception){CEL_VIEW("WorkerLostError"), CEL_VIEW("billiard.exceptions"),
                         CEL_VIEW("[\"The worker could not use the task's outcome\"]")});
}

void cel__settle_failure(cel_worker_request *request,
                         const char *state,
                         const cel_exception *exception)
{
    cel_worker *worker = request->worker;
    cel__buf *buf = &request->settlement.frame;
    cel_outcome outcome;
    cel_frame frame;

    cel__buf_reset(buf);
    cel__trace_fail(buf, worker->app, request->pool.id, &request->delivery->message,
                    &request->headers, state, exception);
    if (buf->failed || cel__frame_read(&frame, cel__buf_view(buf)) <= 0 ||
        cel__outcome_read(&outcome, frame.sections, NULL) != CEL_OK) {
        /* No memory for the bookkeeping: the message goes back to whoever has some. */
        cel__worker_log(worker, CEL_LOG_CRITICAL,
                        "no memory to settle a task: its message is put back");
        cel__settle_reject(request, true);
        return;
    }
    /* The settlement keeps sections, not frames: drop the head in place. */
    memmove(buf->ptr, frame.sections.ptr, frame.sections.len);
    buf->len = frame.sections.len;
    (void)cel__outcome_read(&outcome, cel__buf_view(buf), NULL);
    begin(request, &outcome);
}

void cel__settle_chord(cel_worker *worker, const cel_chord_ready *ready, cel_settlement *parent)
{
    cel_settlement *settlement = cel__calloc(1, sizeof *settlement);
    cel_error err = {0};
    cel_frame frame;

    if (!settlement)
        goto fail;
    settlement->worker = worker;
    settlement->gid = cel__memdup(ready->gid.ptr, ready->gid.len);
    cel__trace_chord(&settlement->frame, worker->app, ready, &err);
    if (!settlement->gid || settlement->frame.failed ||
        cel__frame_read(&frame, cel__buf_view(&settlement->frame)) <= 0)
        goto fail;
    memmove(settlement->frame.ptr, frame.sections.ptr, frame.sections.len);
    settlement->frame.len = frame.sections.len;
    settlement->parent = parent;
    if (parent)
        parent->pending++;
    worker->held++;
    launch(settlement);
    return;

fail:
    /* It stays complete and not done: the next sweep finds it. */
    cel__worker_log(worker, CEL_LOG_CRITICAL,
                    "no memory for the body of a chord: it will be tried again");
    if (settlement) {
        cel__buf_done(&settlement->frame);
        cel__free(settlement->gid);
        cel__free(settlement);
    }
}

void cel__settle_reject(cel_worker_request *request, bool requeue)
{
    cel_worker *worker = request->worker;
    cel_delivery *delivery = request->delivery;

    request->delivery = NULL;
    delivery->broker->ops->reject(delivery, requeue, NULL, NULL);
    worker->total++;
    cel__request_free(request);
    cel__worker_check_stop(worker);
}

void cel__settle_abandon(cel_worker *worker)
{
    while (worker->failed) {
        cel_settlement *settlement = worker->failed;

        worker->failed = settlement->next;
        settlement->next = NULL;
        if (settlement->request) {
            settlement->request->delivery =
                NULL; /* the broker's: delivered again after the close */
            cel__request_free(settlement->request);
            continue;
        }
        free_chord(settlement);
    }
    uv_timer_stop(&worker->retry_timer);
}
