/* report.c - what a requester that waits is told: how many parts have ended, and in the end the result.
 *
 *     {"id": …, "done": 3, "total": 4}
 *     {"id": …, "state": "SUCCESS", "result": …}
 *     {"id": …, "state": "FAILURE", "type": "ValueError", "error": "…"}
 *
 * A report watches its ids and reads those that have not ended when something has changed. It ends with the result,
 * with the reply queue, or with the dispatcher: a requester that is left without can ask again with the same
 * correlation id. What has been waited for longer than results are kept is given up when the next one begins. */
#include <inttypes.h>

#include <utlist.h>

#include "core/mem.h"
#include "dispatch/impl.h"
#include "message/result.h"

struct part {
    char *id;       /* owned */
    char *document; /* owned; of targets, once they have ended */
    size_t len;
    bool target, ended;
    UT_hash_handle hh;
};

struct cel_dispatch_report {
    cel_dispatcher *dispatcher;
    char *id, *reply_to, *correlation_id; /* owned; the last may be NULL */
    bool group;
    struct part
        *parts; /* owned: targets first, in their order; then those whose progress is told */
    struct part *by_id; /* uthash over `parts` */
    size_t count, target_count;
    size_t told; /* of the progress */
    cel_watch *watch;
    cel__buf text; /* the message that is out */
    int64_t until_ms;
    bool reading, again, telling, final, over;
    cel_dispatch_report *prev, *next;
};

static void read_parts(cel_dispatch_report *report);
static void tell(cel_dispatch_report *report);

/* ---- the end ---- */

static void free_report(cel_dispatch_report *report)
{
    HASH_CLEAR(hh, report->by_id);
    for (size_t i = 0; i < report->count; i++) {
        cel__free(report->parts[i].id);
        cel__free(report->parts[i].document);
    }
    cel__free(report->parts);
    cel__free(report->id);
    cel__free(report->reply_to);
    cel__free(report->correlation_id);
    cel__buf_done(&report->text);
    cel__free(report);
}

/* Ends it as soon as nothing is under way. */
static void end_report(cel_dispatch_report *report)
{
    cel_dispatcher *dispatcher = report->dispatcher;

    report->over = true;
    if (report->watch)
        dispatcher->backend->ops->unwatch(report->watch);
    report->watch = NULL;
    if (report->reading || report->telling)
        return;
    DL_DELETE(dispatcher->reports, report);
    dispatcher->report_count--;
    free_report(report);
    cel__dispatch_check_stop(dispatcher);
}

void cel__dispatch_reports_stop(cel_dispatcher *dispatcher)
{
    cel_dispatch_report *report, *next;

    DL_FOREACH_SAFE(dispatcher->reports, report, next)
    {
        if (!report->over)
            end_report(report);
    }
}

static void end_old(cel_dispatcher *dispatcher, int64_t now_ms)
{
    cel_dispatch_report *report, *next;

    DL_FOREACH_SAFE(dispatcher->reports, report, next)
    {
        if (report->until_ms > now_ms)
            return; /* those behind began later */
        if (!report->over)
            end_report(report);
    }
}

/* ---- telling ---- */

static void on_told(void *user, cel_code code, const cel_error *err)
{
    cel_dispatch_report *report = user;

    report->telling = false;
    if (code != CEL_OK && code != CEL_ECANCELED && code != CEL_ENOENT)
        cel__debug(report->dispatcher->log, "the requester of %s cannot be told: %s",
                   report->id, err ? err->message : "");
    if (code != CEL_OK || report->final || report->over)
        end_report(report);
    else
        tell(report);
}

static void send_text(cel_dispatch_report *report)
{
    cel_broker *broker = report->dispatcher->broker;
    cel_message message =
        cel__dispatch_reply(cel__view(report->reply_to), cel__view(report->correlation_id),
                            cel__buf_view(&report->text));
    cel_error err = {0};
    cel_code code = cel__buf_check(&report->text, &err);

    if (code == CEL_OK)
        code = broker->ops->publish(broker, &message, 1, on_told, report, &err);
    report->telling = code == CEL_OK;
    if (code == CEL_OK)
        return;
    cel__warning(report->dispatcher->log, "the requester of %s cannot be told: %s", report->id,
                 err.message);
    end_report(report);
}

static void begin_text(cel_dispatch_report *report)
{
    cel__buf_reset(&report->text);
    cel__buf_add_str(&report->text, "{\"id\": ");
    cel__buf_add_json(&report->text, cel__view(report->id));
}

/* The meta of a target; false if what is stored is no document. */
static bool load(cel_result_meta *meta, const struct part *part, cel__buf *scratch)
{
    return cel__result_meta_load(meta, (cel_view){part->document, part->len}, scratch, NULL) ==
           CEL_OK;
}

static void add_failure(cel_dispatch_report *report, const cel_result_meta *meta)
{
    cel__buf *text = &report->text;
    cel__buf scratch = {0}, message = {0};
    cel_exception exception;

    cel__exception_load(&exception, meta->result, &scratch);
    cel__exception_str(&message, &exception);
    cel__buf_add_str(text, ", \"state\": ");
    cel__buf_add_json(text, meta->status);
    cel__buf_add_str(text, ", \"type\": ");
    cel__buf_add_json(text, exception.type);
    cel__buf_add_str(text, ", \"error\": ");
    cel__buf_add_json(text, cel__buf_view(&message));
    cel__buf_done(&scratch);
    cel__buf_done(&message);
}

/* Adds the failure of the first target that has failed; false if none has. */
static bool add_first_failure(cel_dispatch_report *report)
{
    bool found = false;

    for (size_t i = 0; i < report->target_count && !found; i++) {
        cel__buf scratch = {0};
        cel_result_meta meta;

        if (!load(&meta, &report->parts[i], &scratch)) {
            meta =
                (cel_result_meta){.status = CEL_VIEW(CEL_STATE_FAILURE),
                                  .result = CEL_VIEW("\"the stored result cannot be read\"")};
            found = true;
        } else {
            found = cel__state_failed(meta.status);
        }
        if (found)
            add_failure(report, &meta);
        cel__buf_done(&scratch);
    }
    return found;
}

static void add_results(cel_dispatch_report *report)
{
    cel__buf *text = &report->text;

    cel__buf_add_str(text, ", \"state\": \"" CEL_STATE_SUCCESS "\", \"result\": ");
    cel__buf_add_str(text, report->group ? "[" : "");
    for (size_t i = 0; i < report->target_count; i++) {
        cel__buf scratch = {0};
        cel_result_meta meta = {0};

        cel__buf_add_str(text, i > 0 ? ", " : "");
        load(&meta, &report->parts[i], &scratch);
        cel__buf_add_view(text, meta.result.ptr ? meta.result : CEL_VIEW("null"));
        cel__buf_done(&scratch);
    }
    cel__buf_add_str(text, report->group ? "]" : "");
}

/* Tells what is new, one message at a time. */
static void tell(cel_dispatch_report *report)
{
    size_t ended = 0, targets_ended = 0, total = 0;

    if (report->telling || report->over)
        return;
    for (size_t i = 0; i < report->count; i++) {
        const struct part *part = &report->parts[i];
        bool counts = report->group || !part->target;

        total += counts;
        ended += counts && part->ended;
        targets_ended += part->target && part->ended;
    }
    begin_text(report);
    if (targets_ended == report->target_count) {
        report->final = true;
        if (!add_first_failure(report))
            add_results(report);
    } else if (ended > report->told) {
        report->told = ended;
        cel__buf_addf(&report->text, ", \"done\": %zu, \"total\": %zu", ended, total);
    } else {
        return;
    }
    cel__buf_add_byte(&report->text, '}');
    send_text(report);
}

/* ---- reading ---- */

static void keep_document(cel_dispatch_report *report, cel_view task_id, cel_view document)
{
    struct part *part;
    cel__buf scratch = {0};
    cel_result_meta meta;

    HASH_FIND(hh, report->by_id, task_id.ptr, task_id.len, part);
    if (!part || part->ended)
        return;
    /* What is no document will not become one. */
    part->ended = cel__result_meta_load(&meta, document, &scratch, NULL) != CEL_OK ||
                  cel__state_ready(meta.status);
    cel__buf_done(&scratch);
    if (!part->ended || !part->target)
        return;
    part->document = cel__memdup(document.ptr, document.len);
    part->len = document.len;
    part->ended = part->document != NULL; /* without memory: as if it had not come */
}

static void on_document(void *user, cel_view task_id, cel_view document, const cel_error *err)
{
    cel_dispatch_report *report = user;

    if (task_id.ptr) {
        keep_document(report, task_id, document);
        return;
    }
    report->reading = false;
    if (err)
        cel__debug(report->dispatcher->log, "results cannot be read: %s", err->message);
    if (report->over) {
        end_report(report);
        return;
    }
    if (report->again)
        read_parts(report);
    tell(report);
}

static void read_parts(cel_dispatch_report *report)
{
    cel_backend *backend = report->dispatcher->backend;
    cel_view *ids = cel__calloc(report->count, sizeof *ids);
    size_t count = 0;

    report->again = false;
    if (!ids)
        return; /* the next change brings us here again */
    for (size_t i = 0; i < report->count; i++)
        if (!report->parts[i].ended)
            ids[count++] = cel__view(report->parts[i].id);
    report->reading = count > 0 && backend->ops->fetch(backend, ids, count, on_document, report,
                                                       NULL) == CEL_OK;
    cel__free(ids);
}

static void on_changed(void *user)
{
    cel_dispatch_report *report = user;

    if (report->over)
        return;
    if (report->reading)
        report->again = true;
    else
        read_parts(report);
}

/* ---- the beginning ---- */

static bool add_part(cel_dispatch_report *report, char **id, bool target)
{
    struct part *part = &report->parts[report->count];
    struct part *known;

    if (!*id)
        return false;
    HASH_FIND_STR(report->by_id, *id, known);
    if (known) /* a part that is listed twice counts once */
        return true;
    part->id = *id;
    part->target = target;
    *id = NULL;
    HASH_ADD_KEYPTR(hh, report->by_id, part->id, strlen(part->id), part);
    report->count++;
    report->target_count += target;
    return true;
}

/* Moves the job's ids over. */
static bool add_parts(cel_dispatch_report *report, cel_dispatch_job *job)
{
    bool ok = true;

    report->parts = cel__calloc(job->count + 1, sizeof *report->parts);
    report->id = cel__strdup(job->id);
    if (!report->parts || !report->id)
        return false;
    report->group = job->group;
    if (!job->group)
        ok = add_part(report, &job->id, true);
    if (!job->group && job->count > CEL_PROGRESS_MAX)
        return ok;
    for (size_t i = 0; i < job->count && ok; i++)
        ok = add_part(report, &job->parts[i], job->group);
    return ok;
}

static bool watch_parts(cel_dispatch_report *report)
{
    cel_backend *backend = report->dispatcher->backend;
    cel_view *ids = cel__calloc(report->count + 1, sizeof *ids);
    cel_error err = {0};
    cel_code code = CEL_ENOMEM;

    for (size_t i = 0; ids && i < report->count; i++)
        ids[i] = cel__view(report->parts[i].id);
    if (ids && report->count > 0)
        code = backend->ops->watch(&report->watch, backend, ids, report->count, false,
                                   on_changed, report, &err);
    else if (ids)
        code = CEL_OK; /* an empty group: its result is there */
    cel__free(ids);
    if (code != CEL_OK)
        cel__warning(report->dispatcher->log, "the result of %s cannot be waited for: %s",
                     report->id, err.message);
    return code == CEL_OK;
}

void cel__dispatch_report_start(cel_dispatcher *dispatcher,
                                cel_dispatch_job *job,
                                cel_view reply_to,
                                cel_view correlation_id)
{
    cel_dispatch_report *report = cel__calloc(1, sizeof *report);
    int64_t now_ms = cel__clock_mono_ms(dispatcher->app->clock);
    int64_t expires_ms = cel__config_ms(dispatcher->app->config, "result_expires");

    end_old(dispatcher, now_ms);
    if (!report)
        return;
    report->dispatcher = dispatcher;
    report->until_ms = expires_ms > 0 ? now_ms + expires_ms : INT64_MAX;
    report->reply_to = cel__memdup(reply_to.ptr, reply_to.len);
    if (correlation_id.ptr)
        report->correlation_id = cel__memdup(correlation_id.ptr, correlation_id.len);
    if (!report->reply_to || (correlation_id.ptr && !report->correlation_id) ||
        !add_parts(report, job) || !watch_parts(report)) {
        free_report(report);
        return;
    }
    DL_APPEND(dispatcher->reports, report);
    dispatcher->report_count++;
    if (report->count > 0)
        read_parts(report);
    else
        tell(report);
}
