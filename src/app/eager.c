/* eager.c - see eager.h.
 *
 *     batch -> jobs -> host function -> outcome -> store, more jobs -> ... -> none left
 *
 * A job is a REQUEST frame. The store is on a loop of its own that only turns while somebody waits for a confirmation, under a
 * lock; no lock is held while a task runs. */
#include "app/eager.h"

#include <pthread.h>
#include <string.h>

#include <uv.h>

#include "app/trace.h"
#include "backend/backend.h"
#include "core/mem.h"
#include "message/result.h"

struct cel_eager {
    pthread_mutex_t lock; /* guards the loop and what is on it */
    uv_loop_t loop;
    cel_backend *backend;
};

struct job {
    struct job *next;
    cel__buf frame;
};

struct eager_run {
    cel_app *app;
    struct cel_eager *eager;
    struct job *first, **last; /* owned */
    uint64_t next_id;
    cel_error failure; /* the first; code CEL_OK: none */
};

struct eager_call {
    cel_pool_call base;
    struct eager_run *run;
    const cel_task_headers *headers;
};

/* ---- settings ---- */

bool cel__eager_is_on(const cel_app *app)
{
    return cel__config_bool(app->config, "task_always_eager");
}

const char *cel__eager_backend_url(const cel_app *app)
{
    if (!cel__eager_is_on(app))
        return app->backend_url;
    if (app->backend_url && !cel__app_listens(app) &&
        cel__config_bool(app->config, "task_store_eager_result"))
        return app->backend_url;
    return app->eager_url;
}

/* ---- the store ---- */

static cel_code open_store(struct cel_eager *eager, const cel_app *app, cel_error *err)
{
    int64_t expires_ms = cel__config_ms(app->config, "result_expires");
    cel_backend_options options = {
        .url = cel__eager_backend_url(app),
        .loop = &eager->loop,
        .clock = app->clock,
        .log = &app->log,
        .expires_ms = expires_ms > 0 ? expires_ms : 0,
        .coding = &app->codings.results,
    };

    return cel__backend_open(&eager->backend, &options, err);
}

static struct cel_eager *make_eager(const cel_app *app, cel_error *err)
{
    struct cel_eager *eager = cel__calloc(1, sizeof *eager);

    if (!eager || uv_loop_init(&eager->loop) != 0) {
        cel__free(eager);
        cel_error_set(err, CEL_ENOMEM, "no memory to run tasks eagerly");
        return NULL;
    }
    pthread_mutex_init(&eager->lock, NULL);
    if (open_store(eager, app, err) == CEL_OK)
        return eager;
    eager->backend = NULL;
    cel__eager_free(eager);
    return NULL;
}

static void on_closed(void *user)
{
    (void)user;
}

void cel__eager_free(struct cel_eager *eager)
{
    if (!eager)
        return;
    if (eager->backend)
        eager->backend->ops->close(eager->backend, on_closed, NULL);
    uv_run(&eager->loop, UV_RUN_DEFAULT);
    uv_loop_close(&eager->loop);
    pthread_mutex_destroy(&eager->lock);
    cel__free(eager);
}

static void note(struct eager_run *run, cel_code code, const cel_error *err)
{
    if (code == CEL_OK || run->failure.code != CEL_OK)
        return;
    cel_error_set(&run->failure, code, "%s", err ? err->message : cel_code_text(code));
}

/* One operation of the store, from its submission to its confirmation. */
struct waiting {
    struct eager_run *run;
    bool done;
    cel__buf chord; /* what follows from a chord that is complete: a frame */
    cel__buf gid;
};

static void on_confirmed(void *user, cel_code code, const cel_error *err)
{
    struct waiting *waiting = user;

    note(waiting->run, code, err);
    waiting->done = true;
}

static void
on_part(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    struct waiting *waiting = user;

    note(waiting->run, code, err);
    if (ready) {
        cel__trace_chord(&waiting->chord, waiting->run->app, ready, NULL);
        cel__buf_add_view(&waiting->gid, ready->gid);
    }
    waiting->done = true;
}

/* The lock is held. */
static void wait_for(struct waiting *waiting, cel_code code, const cel_error *err)
{
    struct eager_run *run = waiting->run;

    note(run, code, err);
    while (code == CEL_OK && !waiting->done)
        uv_run(&run->eager->loop, UV_RUN_ONCE);
}

static void store(struct eager_run *run, const cel_result_meta *meta)
{
    struct waiting waiting = {.run = run};
    cel_backend *backend = run->eager->backend;
    cel_error err = {0};
    cel__buf document = {0};
    cel_backend_record record = {.task_id = meta->task_id,
                                 .status = meta->status,
                                 .group_id = meta->group_id,
                                 .ready = cel__state_ready(meta->status)};

    cel__result_meta_dump(&document, meta);
    if (cel__buf_check(&document, &err) != CEL_OK) {
        note(run, CEL_ENOMEM, &err);
    } else {
        record.document = cel__buf_view(&document);
        pthread_mutex_lock(&run->eager->lock);
        wait_for(&waiting, backend->ops->store(backend, &record, on_confirmed, &waiting, &err),
                 &err);
        pthread_mutex_unlock(&run->eager->lock);
    }
    cel__buf_done(&document);
}

static void open_chord(struct eager_run *run, cel_view gid, int64_t size, cel_view document)
{
    cel_backend *backend = run->eager->backend;
    struct waiting waiting = {.run = run};
    cel_error err = {0};

    pthread_mutex_lock(&run->eager->lock);
    if (document.ptr) {
        wait_for(&waiting,
                 backend->ops->group_save(backend, gid, document, on_confirmed, &waiting, &err),
                 &err);
        waiting.done = false;
    }
    wait_for(&waiting,
             backend->ops->chord_open(backend, gid, size, on_confirmed, &waiting, &err), &err);
    pthread_mutex_unlock(&run->eager->lock);
}

static void grow_chord(struct eager_run *run, cel_view gid, int64_t count)
{
    cel_backend *backend = run->eager->backend;
    struct waiting waiting = {.run = run};
    cel_error err = {0};

    pthread_mutex_lock(&run->eager->lock);
    wait_for(&waiting,
             backend->ops->chord_grow(backend, gid, count, on_confirmed, &waiting, &err), &err);
    pthread_mutex_unlock(&run->eager->lock);
}

/* ---- jobs ---- */

static void add_job(struct eager_run *run, const cel_message *message)
{
    struct job *job = cel__calloc(1, sizeof *job);
    cel_error err = {0};

    if (!job) {
        cel_error_set(&run->failure, CEL_ENOMEM, "no memory for a task");
        return;
    }
    cel__trace_request(&job->frame, ++run->next_id, message, run->app->origin,
                       message->routing_key, false, &err);
    if (job->frame.failed) {
        note(run, CEL_ENOMEM, &err);
        cel__buf_done(&job->frame);
        cel__free(job);
        return;
    }
    *run->last = job;
    run->last = &job->next;
}

static struct job *take_job(struct eager_run *run)
{
    struct job *job = run->first;

    if (!job)
        return NULL;
    run->first = job->next;
    if (!run->first)
        run->last = &run->first;
    return job;
}

static void free_job(struct job *job)
{
    cel__buf_done(&job->frame);
    cel__free(job);
}

/* ---- what follows from a frame ---- */

static void take_message(struct eager_run *run, cel_view bytes)
{
    cel__buf scratch = {0};
    cel_message message;
    cel_error err = {0};

    if (cel__section_message(&message, bytes, &scratch, &err) == CEL_OK)
        add_job(run, &message);
    else
        note(run, CEL_EPROTO, &err);
    cel__buf_done(&scratch);
}

static int64_t number_of(cel_view sections, cel_section_tag tag, int64_t otherwise)
{
    int64_t value;

    return cel__section_int(cel__section_find(sections, tag), &value) ? value : otherwise;
}

static void take_victim(struct eager_run *run, cel_view bytes)
{
    store(run, &(cel_result_meta){
                   .task_id = cel__section_find(bytes, CEL_TAG_ID),
                   .status = cel__section_find(bytes, CEL_TAG_STATE),
                   .result = cel__section_find(bytes, CEL_TAG_RESULT),
                   .traceback = cel__section_find(bytes, CEL_TAG_TRACEBACK),
                   .children = CEL_VIEW("[]"),
                   .date_done_us = cel__clock_wall_us(run->app->clock),
                   .group_id = cel__section_find(bytes, CEL_TAG_GID),
               });
}

static void follow(struct eager_run *run, cel_view sections, const cel_task_headers *headers);

static void take_part(struct eager_run *run, cel_view bytes)
{
    struct waiting waiting = {.run = run};
    cel_backend *backend = run->eager->backend;
    cel_chord_part part = {
        .gid = cel__section_find(bytes, CEL_TAG_GID),
        .task_id = cel__section_find(bytes, CEL_TAG_ID),
        .index = number_of(bytes, CEL_TAG_INDEX, -1),
        .status = cel__section_find(bytes, CEL_TAG_STATE),
        .result = cel__section_find(bytes, CEL_TAG_RESULT),
        .body = cel__section_find(bytes, CEL_TAG_BODY),
        .root_id = cel__section_find(bytes, CEL_TAG_ROOT),
    };
    cel_error err = {0};
    cel_frame frame;

    if (!backend->ops->counts_chords)
        return;
    pthread_mutex_lock(&run->eager->lock);
    wait_for(&waiting, backend->ops->chord_part(backend, &part, on_part, &waiting, &err), &err);
    pthread_mutex_unlock(&run->eager->lock);
    if (waiting.gid.len > 0) {
        struct waiting done = {.run = run};

        if (cel__frame_read(&frame, cel__buf_view(&waiting.chord)) > 0)
            follow(run, frame.sections, NULL);
        pthread_mutex_lock(&run->eager->lock);
        wait_for(&done,
                 backend->ops->chord_done(backend, cel__buf_view(&waiting.gid), on_confirmed,
                                          &done, &err),
                 &err);
        pthread_mutex_unlock(&run->eager->lock);
    }
    cel__buf_done(&waiting.chord);
    cel__buf_done(&waiting.gid);
}

static void
store_result(struct eager_run *run, cel_view sections, const cel_task_headers *headers)
{
    cel_view state = cel__section_find(sections, CEL_TAG_STATE);
    cel_view children = cel__section_find(sections, CEL_TAG_CHILDREN);
    bool ready = cel__state_ready(state);

    if (cel__view_is(state, "IGNORED") || cel__view_is(state, "REJECTED"))
        return;
    store(run, &(cel_result_meta){
                   .task_id = headers->id,
                   .status = state,
                   .result = cel__section_find(sections, CEL_TAG_RESULT),
                   .traceback = cel__section_find(sections, CEL_TAG_TRACEBACK),
                   .children = children.ptr ? children : CEL_VIEW("[]"),
                   .date_done_us = ready ? cel__clock_wall_us(run->app->clock) : CEL_TIME_NONE,
                   .group_id = headers->group,
                   .parent_id = headers->parent_id,
               });
}

/* `headers`: of the task that has ended; NULL: a chord, which has no result of its own. */
static void follow(struct eager_run *run, cel_view sections, const cel_task_headers *headers)
{
    cel_section_tag tag;
    cel_view rest = sections, bytes;

    if (headers)
        store_result(run, sections, headers);
    while (cel__section_next(&rest, &tag, &bytes)) {
        if (tag == CEL_TAG_CHORD && number_of(bytes, CEL_TAG_GROW, 0) > 0)
            grow_chord(run, cel__section_find(bytes, CEL_TAG_GID),
                       number_of(bytes, CEL_TAG_GROW, 0));
        else if (tag == CEL_TAG_CHORD)
            open_chord(run, cel__section_find(bytes, CEL_TAG_GID),
                       number_of(bytes, CEL_TAG_SIZE, 0), (cel_view){NULL, 0});
        else if (tag == CEL_TAG_MESSAGE)
            take_message(run, bytes);
        else if (tag == CEL_TAG_VICTIM)
            take_victim(run, bytes);
        else if (tag == CEL_TAG_PART)
            take_part(run, bytes);
    }
}

/* ---- running ---- */

static void take_update(struct eager_call *call, cel_view sections)
{
    store(call->run, &(cel_result_meta){
                         .task_id = call->headers->id,
                         .status = cel__section_find(sections, CEL_TAG_STATE),
                         .result = cel__section_find(sections, CEL_TAG_RESULT),
                         .children = CEL_VIEW("[]"),
                         .date_done_us = CEL_TIME_NONE,
                         .group_id = call->headers->group,
                         .parent_id = call->headers->parent_id,
                     });
}

static void take_log(struct eager_call *call, cel_view sections)
{
    int64_t level = number_of(sections, CEL_TAG_LEVEL, CEL_LOG_INFO);

    if (level >= CEL_LOG_DEBUG && level <= CEL_LOG_CRITICAL)
        cel__log(&call->run->app->log, (cel_log_level)level, "%.*s",
                 CEL_VIEW_ARG(cel__section_find(sections, CEL_TAG_TEXT)));
}

static cel_code call_send(cel_pool_call *base, cel_view bytes, cel__buf *reply, cel_error *err)
{
    struct eager_call *call = (struct eager_call *)base;
    cel_frame frame;
    size_t start;

    if (cel__frame_read(&frame, bytes) <= 0)
        return cel_error_set(err, CEL_EINVAL, "that is no frame");
    if (frame.type == CEL_FRAME_UPDATE)
        take_update(call, frame.sections);
    else if (frame.type == CEL_FRAME_LOG)
        take_log(call, frame.sections);
    else if (frame.type == CEL_FRAME_PUBLISH)
        follow(call->run, frame.sections, NULL);
    if (!reply)
        return CEL_OK;
    start = cel__frame_begin(reply, CEL_FRAME_REPLY, base->request_id);
    cel__section_add_int(reply, CEL_TAG_CODE, CEL_OK);
    cel__frame_end(reply, start);
    return cel__buf_check(reply, err);
}

static bool never(const cel_pool_call *call)
{
    (void)call;
    return false;
}

static void run_job(struct eager_run *run, const struct job *job)
{
    cel__buf out = {0}, scratch = {0};
    cel_pool_host host;
    cel_frame frame;
    cel_task_headers headers;
    cel_message message = {.priority = -1};
    cel_error err = {0};

    if (cel__frame_read(&frame, cel__buf_view(&job->frame)) <= 0)
        return;
    message.headers = cel__section_find(frame.sections, CEL_TAG_HEADERS);
    if (cel__task_headers_read(&headers, &message, &run->app->codings.tasks, &scratch, &err) ==
        CEL_OK) {
        struct eager_call call = {.base = {frame.request_id, 0, 0, call_send, never},
                                  .run = run,
                                  .headers = &headers};

        cel__trace_host(&host, run->app);
        host.run(host.user, &call.base, cel__buf_view(&job->frame), &out);
        if (cel__frame_read(&frame, cel__buf_view(&out)) > 0)
            follow(run, frame.sections, &headers);
        else
            cel_error_set(&run->failure, CEL_ENOMEM, "no memory for the outcome of a task");
    } else {
        note(run, err.code, &err);
    }
    cel__buf_done(&out);
    cel__buf_done(&scratch);
}

static void *run_all(void *user)
{
    struct eager_run *run = user;
    struct job *job;

    while ((job = take_job(run))) {
        if (run->failure.code == CEL_OK)
            run_job(run, job);
        free_job(job);
    }
    return NULL;
}

static cel_code get_eager(struct cel_eager **out, cel_app *app, cel_error *err)
{
    pthread_mutex_lock(&app->client_lock);
    if (!app->eager)
        app->eager = make_eager(app, err);
    *out = app->eager;
    pthread_mutex_unlock(&app->client_lock);
    return *out ? CEL_OK : CEL_ENOMEM;
}

cel_code cel__eager_run(cel_app *app, const cel_batch *batch, cel_error *err)
{
    struct eager_run run = {.app = app};
    pthread_t thread;

    run.last = &run.first;
    if (get_eager(&run.eager, app, &run.failure) == CEL_OK) {
        for (size_t i = 0; i < batch->chord_count; i++)
            open_chord(&run, batch->chords[i].gid, batch->chords[i].size,
                       batch->chords[i].document);
        for (const cel_batch_chunk *chunk = batch->first; chunk; chunk = chunk->next)
            for (size_t i = 0; i < chunk->count; i++)
                add_job(&run, &chunk->messages[i]);
        if (pthread_create(&thread, NULL, run_all, &run) == 0)
            pthread_join(thread, NULL);
        else
            note(&run, CEL_EIO, &(cel_error){.message = "no thread to run tasks eagerly"});
    }
    while (run.first)
        free_job(take_job(&run));
    if (run.failure.code != CEL_OK && err)
        *err = run.failure;
    return run.failure.code;
}
