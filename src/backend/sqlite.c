/* sqlite.c - the embedded result store: the seam on one side, the engine's operations on the
 * other.
 *
 * Every call becomes a *request*: an engine operation with a copy of its arguments behind it.
 * Requests of the usual size come from a free list, so that storing a result allocates nothing.
 * What takes long (fetching many documents, sweeping, clearing a chord of 50,000 parts) is done
 * in slices: the request is submitted again for the next one, and others run in between.
 *
 * A watch is a set of engine listeners; the engine wakes those of this loop, of other loops
 * and of other processes alike. */
#include <assert.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/hash.h"
#include "backend/sqlite_store.h"
#include "core/mem.h"
#include "sqlite/engine.h"

#define INLINE_BYTES  ((size_t)768)     /* of arguments in a request from the free list */
#define FREE_REQUESTS ((size_t)1024)    /* kept */
#define FETCH_SLICE   ((size_t)4 << 20) /* bytes of documents read in one go */
#define FETCH_IDS     ((size_t)1000)    /* ids looked up in one go */
#define SMALLEST_SLACK                                                                         \
    ((int64_t)16) /* part of the expiry by which a counter's row may be out of date */

typedef struct sqlite_backend sqlite_backend;
typedef struct request request;

typedef void fetch_cb(void *user, cel_view task_id, cel_view document, const cel_error *err);
typedef void count_cb(void *user, int64_t ready, int64_t succeeded, const cel_error *err);
typedef void document_cb(void *user, cel_view document, const cel_error *err);

/* What fetch and forget work on: `count` ids, of which `at` are done. */
struct id_list {
    cel_view *ids; /* in the request's bytes */
    size_t count, at, slice;
    struct found {
        size_t id, at, len;
    } * found; /* owned; of this slice: the id's number, and where `text` has the document */
    size_t found_count;
};

enum sweep_phase {
    SWEEP_CLAIM,
    SWEEP_EXPIRE,
    SWEEP_CLEAR,
    SWEEP_END
};

struct request {
    cel_engine_op op;
    sqlite_backend *backend;
    union {
        cel_backend_cb done;
        fetch_cb *fetch;
        count_cb *count;
        document_cb *document;
        cel_chord_cb chord;
    } cb;
    void *user;
    cel__sqlite_moment moment;
    union {
        cel_backend_record record;
        cel_chord_part part;
        struct id_list list;
        struct {
            cel_view gid, document;
            int64_t size, ready, succeeded;
            bool present;
        } group;
        struct {
            int64_t older_ms;
            enum sweep_phase phase;
        } sweep;
    } u;
    cel__buf text;    /* documents found */
    cel__ready ready; /* a chord's texts */
    bool completed;   /* `ready` is one */
    bool more;        /* there is another slice */
    request *next;    /* of the free list */
    size_t cap, len;  /* of bytes */
    char bytes[];     /* copies of the arguments */
};

struct sqlite_backend {
    cel_backend base;
    cel_engine *engine;
    const cel_clock *clock;
    int64_t expires_ms;
    request *free;
    size_t free_count;
    size_t outstanding;    /* requests submitted, not done */
    bool clearing;         /* a request clears done chords */
    cel__sqlite_walk walk; /* the engine thread's; two sweeps at once share it */
    struct cel_watch *watches;
    bool closing, unreffed;
    void (*closed)(void *user);
    void *closed_user;
};

struct cel_watch {
    sqlite_backend *backend; /* NULL once it is closed */
    size_t count;
    cel_engine_listener **listeners; /* owned array of `count` */
    struct cel_watch *prev, *next;
};

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory for a request to the result store");
}

/* ---- requests ---- */

static cel__sqlite_moment moment_of(const sqlite_backend *backend)
{
    int64_t now_ms = cel__clock_wall_ms(backend->clock), expires_ms = backend->expires_ms;

    if (expires_ms == 0)
        return (cel__sqlite_moment){now_ms, CEL_MAX_MS, CEL_MAX_MS};
    return (cel__sqlite_moment){now_ms, now_ms + expires_ms,
                                now_ms + expires_ms - expires_ms / SMALLEST_SLACK};
}

/* Gives a request with room for `bytes` of arguments. */
static request *new_request(sqlite_backend *backend, size_t bytes, cel_error *err)
{
    request *req = backend->free;
    size_t cap = bytes > INLINE_BYTES ? bytes : INLINE_BYTES;

    if (req && bytes <= INLINE_BYTES) {
        backend->free = req->next;
        backend->free_count--;
    } else {
        req = cel__malloc(sizeof *req + cap);
        if (!req) {
            fail_memory(err);
            return NULL;
        }
        req->cap = cap;
    }
    memset(req, 0, offsetof(request, cap));
    req->len = 0;
    req->backend = backend;
    req->moment = moment_of(backend);
    return req;
}

/* Texts and lists have been freed by who used them. */
static void free_request(request *req)
{
    sqlite_backend *backend = req->backend;

    if (req->cap > INLINE_BYTES || backend->free_count >= FREE_REQUESTS) {
        cel__free(req);
        return;
    }
    req->next = backend->free;
    backend->free = req;
    backend->free_count++;
}

static cel_view keep(request *req, cel_view view)
{
    char *to = req->bytes + req->len;

    assert(req->cap - req->len >= view.len);
    if (!view.ptr)
        return view;
    memcpy(to, view.ptr, view.len);
    req->len += view.len;
    return (cel_view){to, view.len};
}

static cel_code submit(request *req,
                       cel_code (*run)(cel_engine_op *op, cel_engine *engine),
                       void (*done)(cel_engine_op *op))
{
    req->op.run = run;
    req->op.done = done;
    req->op.err.code = CEL_OK;
    req->backend->outstanding++;
    cel__engine_submit(req->backend->engine, &req->op);
    return CEL_OK;
}

static void on_unreffed(void *user)
{
    sqlite_backend *backend = user;
    void (*closed)(void *) = backend->closed;
    void *closed_user = backend->closed_user;

    while (backend->free) {
        request *req = backend->free;

        backend->free = req->next;
        cel__free(req);
    }
    cel__free(backend);
    if (closed)
        closed(closed_user);
}

/* The engine may serve others for long after the backend was closed, so its own requests are
 * waited for. */
static void maybe_unref(sqlite_backend *backend)
{
    if (!backend->closing || backend->outstanding > 0 || backend->unreffed)
        return;
    backend->unreffed = true;
    cel__engine_unref(backend->engine, on_unreffed, backend);
}

/* A request's end, after its callback: which may have closed the backend, but not freed it. */
static void end_request(request *req)
{
    sqlite_backend *backend = req->backend;

    free_request(req);
    backend->outstanding--;
    maybe_unref(backend);
}

static request *request_of(cel_engine_op *op)
{
    return (request *)op; /* its first member */
}

static const cel_error *error_of(const request *req)
{
    return req->op.err.code == CEL_OK ? NULL : &req->op.err;
}

static void report_done(cel_engine_op *op)
{
    request *req = request_of(op);

    if (req->cb.done)
        req->cb.done(req->user, op->err.code, error_of(req));
    end_request(req);
}

/* Submits the request once more, unless the backend is closing or the last slice failed. */
static bool again(request *req)
{
    if (req->op.err.code != CEL_OK)
        return false;
    if (req->backend->closing) {
        cel_error_set(&req->op.err, CEL_ECANCELED, "the result store was closed");
        return false;
    }
    cel__engine_submit(req->backend->engine, &req->op);
    return true;
}

/* ---- results ---- */

static cel_code run_store(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_put(engine, &req->u.record, &req->moment, &op->err);
}

static cel_code store_result(cel_backend *base,
                             const cel_backend_record *record,
                             cel_backend_cb cb,
                             void *user,
                             cel_error *err)
{
    request *req = new_request((sqlite_backend *)base,
                               record->task_id.len + record->status.len + record->document.len +
                                   record->group_id.len,
                               err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->user = user;
    req->u.record = (cel_backend_record){
        .task_id = keep(req, record->task_id),
        .status = keep(req, record->status),
        .document = keep(req, record->document),
        .group_id = keep(req, record->group_id),
        .ready = record->ready,
    };
    req->op.sync = true;
    return submit(req, run_store, report_done);
}

/* Gives a request with a copy of the ids. */
static request *
new_list_request(sqlite_backend *backend, const cel_view *ids, size_t count, cel_error *err)
{
    size_t bytes = count * sizeof *ids;
    request *req;

    for (size_t i = 0; i < count; i++)
        bytes += ids[i].len;
    req = new_request(backend, bytes, err);
    if (!req)
        return NULL;
    static_assert(offsetof(request, bytes) % _Alignof(cel_view) == 0, "ids stand in bytes");
    req->u.list.ids = (cel_view *)(void *)req->bytes;
    req->u.list.count = count;
    req->len = count * sizeof *ids;
    for (size_t i = 0; i < count; i++)
        req->u.list.ids[i] = keep(req, ids[i]);
    return req;
}

static cel_code run_fetch(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);
    struct id_list *list = &req->u.list;
    cel_code code = CEL_OK;

    cel__buf_reset(&req->text);
    list->found_count = 0;
    list->slice = 0;
    while (list->at + list->slice < list->count && list->slice < FETCH_IDS &&
           req->text.len < FETCH_SLICE) {
        size_t i = list->at + list->slice++;
        size_t at = req->text.len;
        bool found;

        code = cel__sqlite_get(engine, list->ids[i], &req->text, &found, &op->err);
        if (code != CEL_OK)
            return code;
        if (found)
            list->found[list->found_count++] = (struct found){i, at, req->text.len - at};
    }
    return cel__buf_check(&req->text, &op->err);
}

static void fetch_done(cel_engine_op *op)
{
    request *req = request_of(op);
    struct id_list *list = &req->u.list;

    for (size_t i = 0; op->err.code == CEL_OK && i < list->found_count; i++) {
        const struct found *found = &list->found[i];

        req->cb.fetch(req->user, list->ids[found->id],
                      (cel_view){cel__buf_view(&req->text).ptr + found->at, found->len}, NULL);
    }
    list->at += list->slice;
    if (list->at < list->count && again(req))
        return;
    cel__free(list->found);
    cel__buf_done(&req->text);
    req->cb.fetch(req->user, (cel_view){NULL, 0}, (cel_view){NULL, 0}, error_of(req));
    end_request(req);
}

static cel_code fetch_results(cel_backend *base,
                              const cel_view *task_ids,
                              size_t count,
                              fetch_cb *cb,
                              void *user,
                              cel_error *err)
{
    request *req = new_list_request((sqlite_backend *)base, task_ids, count, err);

    if (!req)
        return CEL_ENOMEM;
    req->u.list.found =
        cel__calloc(count < FETCH_IDS ? count : FETCH_IDS, sizeof(struct found));
    if (!req->u.list.found) {
        free_request(req);
        return fail_memory(err);
    }
    req->cb.fetch = cb;
    req->user = user;
    req->op.read_only = true;
    return submit(req, run_fetch, fetch_done);
}

static cel_code run_forget(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);
    struct id_list *list = &req->u.list;
    cel_code code = CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < list->count; i++)
        code = cel__sqlite_forget(engine, list->ids[i], &op->err);
    return code;
}

static cel_code forget_results(cel_backend *base,
                               const cel_view *task_ids,
                               size_t count,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err)
{
    request *req = new_list_request((sqlite_backend *)base, task_ids, count, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->user = user;
    return submit(req, run_forget, report_done);
}

/* ---- watches ---- */

static void detach_watch(cel_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        cel__engine_unlisten(watch->listeners[i]);
    watch->count = 0;
    DL_DELETE(watch->backend->watches, watch);
    watch->backend = NULL;
}

static void unwatch(cel_watch *watch)
{
    if (!watch)
        return;
    if (watch->backend)
        detach_watch(watch);
    cel__free(watch->listeners);
    cel__free(watch);
}

static cel_code watch_ids(cel_watch **out,
                          cel_backend *base,
                          const cel_view *ids,
                          size_t count,
                          bool group,
                          void (*changed)(void *user),
                          void *user,
                          cel_error *err)
{
    sqlite_backend *backend = (sqlite_backend *)base;
    cel_watch *watch = cel__calloc(1, sizeof *watch);
    cel_code code = CEL_OK;

    (void)group; /* ids of tasks and groups ring the same bell */
    if (!watch)
        return fail_memory(err);
    watch->backend = backend;
    DL_APPEND(backend->watches, watch);
    watch->listeners = cel__calloc(count, sizeof *watch->listeners);
    if (!watch->listeners)
        code = fail_memory(err);
    for (size_t i = 0; code == CEL_OK && i < count; i++) {
        code = cel__engine_listen(&watch->listeners[i], backend->engine, CEL_EVENT_RESULT,
                                  cel__engine_hash(ids[i].ptr, ids[i].len), changed, user, err);
        if (code == CEL_OK)
            watch->count++;
    }
    if (code != CEL_OK) {
        unwatch(watch);
        return code;
    }
    *out = watch;
    return CEL_OK;
}

/* ---- groups ---- */

static request *new_group_request(
    sqlite_backend *backend, cel_view gid, cel_view document, void *user, cel_error *err)
{
    request *req = new_request(backend, gid.len + document.len, err);

    if (!req)
        return NULL;
    req->user = user;
    req->u.group.gid = keep(req, gid);
    req->u.group.document = keep(req, document);
    return req;
}

static cel_code run_count(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_count(engine, req->u.group.gid, &req->u.group.ready,
                             &req->u.group.succeeded, &op->err);
}

static void count_done(cel_engine_op *op)
{
    request *req = request_of(op);

    req->cb.count(req->user, req->u.group.ready, req->u.group.succeeded, error_of(req));
    end_request(req);
}

static cel_code
count_group(cel_backend *base, cel_view gid, count_cb *cb, void *user, cel_error *err)
{
    request *req =
        new_group_request((sqlite_backend *)base, gid, (cel_view){NULL, 0}, user, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.count = cb;
    req->op.read_only = true;
    return submit(req, run_count, count_done);
}

static cel_code run_save(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_save(engine, req->u.group.gid, req->u.group.document, &req->moment,
                            &op->err);
}

static cel_code save_group(cel_backend *base,
                           cel_view gid,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    request *req = new_group_request((sqlite_backend *)base, gid, document, user, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->op.sync = true;
    return submit(req, run_save, report_done);
}

static cel_code run_saved(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);
    cel_code code;

    cel__buf_reset(&req->text);
    code = cel__sqlite_saved(engine, req->u.group.gid, &req->text, &req->u.group.present,
                             &op->err);
    return code == CEL_OK ? cel__buf_check(&req->text, &op->err) : code;
}

static void saved_done(cel_engine_op *op)
{
    request *req = request_of(op);
    bool present = op->err.code == CEL_OK && req->u.group.present;

    req->cb.document(req->user, present ? cel__buf_view(&req->text) : (cel_view){NULL, 0},
                     error_of(req));
    cel__buf_done(&req->text);
    end_request(req);
}

static cel_code
fetch_group(cel_backend *base, cel_view gid, document_cb *cb, void *user, cel_error *err)
{
    request *req =
        new_group_request((sqlite_backend *)base, gid, (cel_view){NULL, 0}, user, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.document = cb;
    req->op.read_only = true;
    return submit(req, run_saved, saved_done);
}

/* ---- chords ---- */

static cel_code run_open(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_chord_open(engine, req->u.group.gid, req->u.group.size, &req->moment,
                                  &op->err);
}

static cel_code open_chord(cel_backend *base,
                           cel_view gid,
                           int64_t size,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    request *req;

    if (size < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord of %lld parts", (long long)size);
    req = new_group_request((sqlite_backend *)base, gid, (cel_view){NULL, 0}, user, err);
    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->u.group.size = size;
    req->op.sync = true;
    return submit(req, run_open, report_done);
}

static cel_code run_grow(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_chord_grow(engine, req->u.group.gid, req->u.group.size, &req->moment,
                                  &op->err);
}

static cel_code grow_chord(cel_backend *base,
                           cel_view gid,
                           int64_t count,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    request *req;

    if (count < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord grows by %lld parts", (long long)count);
    req = new_group_request((sqlite_backend *)base, gid, (cel_view){NULL, 0}, user, err);
    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->u.group.size = count;
    req->op.sync = true;
    return submit(req, run_grow, report_done);
}

/* The batch may be run again after it failed: what the last attempt left is dropped. */
static cel_code run_part(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    cel__ready_done(&req->ready);
    return cel__sqlite_chord_part(engine, &req->u.part, &req->moment, &req->ready,
                                  &req->completed, &op->err);
}

static void report_chord(request *req, bool complete)
{
    cel_chord_ready ready;

    cel__ready_show(&req->ready, &ready);
    if (req->cb.chord)
        req->cb.chord(req->user, complete ? &ready : NULL, req->op.err.code, error_of(req));
    cel__ready_done(&req->ready);
}

static void part_done(cel_engine_op *op)
{
    request *req = request_of(op);

    report_chord(req, op->err.code == CEL_OK && req->completed);
    end_request(req);
}

static cel_code count_part(
    cel_backend *base, const cel_chord_part *part, cel_chord_cb cb, void *user, cel_error *err)
{
    request *req = new_request((sqlite_backend *)base,
                               part->gid.len + part->task_id.len + part->status.len +
                                   part->result.len + part->body.len + part->root_id.len,
                               err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.chord = cb;
    req->user = user;
    req->u.part = (cel_chord_part){
        .gid = keep(req, part->gid),
        .task_id = keep(req, part->task_id),
        .index = part->index,
        .status = keep(req, part->status),
        .result = keep(req, part->result),
        .body = keep(req, part->body),
        .root_id = keep(req, part->root_id),
    };
    req->op.sync = true;
    return submit(req, run_part, part_done);
}

static cel_code run_clear(cel_engine_op *op, cel_engine *engine)
{
    return cel__sqlite_chord_clear(engine, &request_of(op)->more, &op->err);
}

static void clear_done(cel_engine_op *op)
{
    request *req = request_of(op);

    if (req->more && again(req))
        return;
    req->backend->clearing = false;
    end_request(req);
}

/* Clears what chord_done left. If it fails or is cut short, the next sweep does it. */
static void start_clearing(sqlite_backend *backend)
{
    request *req;

    if (backend->clearing || backend->closing)
        return;
    req = new_request(backend, 0, NULL);
    if (!req)
        return;
    backend->clearing = true;
    submit(req, run_clear, clear_done);
}

static cel_code run_end(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);

    return cel__sqlite_chord_done(engine, req->u.group.gid, &req->moment, &req->more, &op->err);
}

static void end_done(cel_engine_op *op)
{
    request *req = request_of(op);

    if (op->err.code == CEL_OK && req->more)
        start_clearing(req->backend);
    report_done(op);
}

static cel_code
end_chord(cel_backend *base, cel_view gid, cel_backend_cb cb, void *user, cel_error *err)
{
    request *req =
        new_group_request((sqlite_backend *)base, gid, (cel_view){NULL, 0}, user, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.done = cb;
    req->op.sync = true;
    return submit(req, run_end, end_done);
}

/* ---- the sweep ---- */

static cel_code run_sweep(cel_engine_op *op, cel_engine *engine)
{
    request *req = request_of(op);
    cel__sqlite_walk walk = req->backend->walk;
    cel_code code = CEL_OK;

    req->completed = false;
    req->more = false;
    cel__ready_done(&req->ready);
    switch (req->u.sweep.phase) {
    case SWEEP_CLAIM:
        code = cel__sqlite_chord_claim(engine, &req->moment,
                                       req->moment.now_ms - req->u.sweep.older_ms, &req->ready,
                                       &req->completed, &op->err);
        req->more = req->completed;
        break;
    case SWEEP_EXPIRE:
        code = cel__sqlite_expire(engine, &walk, req->moment.now_ms, &req->more, &op->err);
        break;
    case SWEEP_CLEAR:
        code = cel__sqlite_chord_clear(engine, &req->more, &op->err);
        break;
    case SWEEP_END:
        break;
    }
    if (code == CEL_OK)
        req->backend->walk = walk;
    return code;
}

static void sweep_done(cel_engine_op *op)
{
    request *req = request_of(op);

    if (op->err.code == CEL_OK && req->completed)
        report_chord(req, true);
    if (op->err.code == CEL_OK && !req->more)
        req->u.sweep.phase++;
    if (req->u.sweep.phase < SWEEP_END && again(req))
        return;
    report_chord(req, false);
    end_request(req);
}

static cel_code
sweep(cel_backend *base, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err)
{
    sqlite_backend *backend = (sqlite_backend *)base;
    request *req = new_request(backend, 0, err);

    if (!req)
        return CEL_ENOMEM;
    req->cb.chord = cb;
    req->user = user;
    req->u.sweep.older_ms = older_ms;
    req->u.sweep.phase = SWEEP_CLAIM;
    return submit(req, run_sweep, sweep_done);
}

/* ---- open and close ---- */

static cel_code
open_sqlite(cel_backend **out, const cel_backend_options *options, cel_error *err)
{
    sqlite_backend *backend = cel__calloc(1, sizeof *backend);
    cel_engine_options engine = {
        .url = options->url,
        .loop = options->loop,
        .clock = options->clock,
        .log = options->log,
        .threaded = options->threaded,
    };
    cel_code code;

    if (!backend)
        return fail_memory(err);
    code = cel__engine_open(&backend->engine, &engine, err);
    if (code != CEL_OK) {
        cel__free(backend);
        return code;
    }
    backend->base.ops = &cel__sqlite_backend_ops;
    backend->base.domain = backend->engine;
    backend->clock = options->clock;
    backend->expires_ms = options->expires_ms;
    *out = &backend->base;
    return CEL_OK;
}

static void close_sqlite(cel_backend *base, void (*closed)(void *user), void *user)
{
    sqlite_backend *backend = (sqlite_backend *)base;

    assert(!backend->closing);
    backend->closing = true;
    backend->closed = closed;
    backend->closed_user = user;
    while (backend->watches)
        detach_watch(backend->watches);
    maybe_unref(backend);
}

const cel_backend_ops cel__sqlite_backend_ops = {
    .schemes = "sqlite",
    .counts_chords = true,
    .open = open_sqlite,
    .close = close_sqlite,
    .store = store_result,
    .fetch = fetch_results,
    .forget = forget_results,
    .watch = watch_ids,
    .unwatch = unwatch,
    .group_count = count_group,
    .group_save = save_group,
    .group_fetch = fetch_group,
    .chord_open = open_chord,
    .chord_grow = grow_chord,
    .chord_part = count_part,
    .chord_done = end_chord,
    .sweep = sweep,
};
