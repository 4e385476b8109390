/* redis.c - results in Redis, with the keys and the bytes of Celery's store.
 *
 * celery-task-meta-<id> holds a task's document, celery-taskset-meta-<gid> a saved group.
 * Storing is one script (redis_script.c): it looks whether what is there may be replaced, sets
 * it with the results' expiry and publishes the same bytes on the channel of the key's name,
 * as Celery's MULTI does (redis_store.c). Results are read with MGET, in slices.
 *
 * Two connections (redis/conn.h): one for commands, one that listens and is made when something
 * is watched. Groups are neither watched nor counted as such: a Python worker announces tasks
 * only, so the members are. */
#include <assert.h>

#include "backend/redis_impl.h"

#define FETCH_SLICE ((size_t)500)
#define RELEASE_MS  500

typedef struct done_op {
    cel__redis_request request;
    cel_backend_cb cb;
    void *user;
} done_op;

/* A fetch is answered slice by slice, in the order of its ids. */
struct fetch {
    redis_backend *backend;
    void (*cb)(void *user, cel_view task_id, cel_view document, const cel_error *err);
    void *user;
    cel_view *ids; /* into text; owned */
    size_t count;
    char *text;
    size_t pending; /* slices */
    cel_error err;  /* the first */
};

struct slice {
    cel__redis_request request;
    struct fetch *fetch;
    size_t at, count;
    uint64_t events;
};

struct document_op {
    cel__redis_request request;
    const redis_backend *backend;
    void (*cb)(void *user, cel_view document, const cel_error *err);
    void *user;
};

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory for the result store");
}

cel_code cel__redis_check_open(const redis_backend *backend, cel_error *err)
{
    if (backend->closing)
        return cel_error_set(err, CEL_ECANCELED, "the result store is closed");
    return CEL_OK;
}

/* ---- documents ---- */

cel_code cel__redis_encode(const redis_backend *backend,
                           cel_view *out,
                           cel_view json,
                           cel__buf *scratch,
                           cel_error *err)
{
    size_t start = scratch->len;
    cel_code code;

    *out = json;
    if (backend->coding->serializer == CEL_SERIALIZER_JSON)
        return CEL_OK;
    code = cel__encode(scratch, backend->coding->serializer, backend->coding, json, err);
    if (code == CEL_OK)
        *out = (cel_view){scratch->ptr + start, scratch->len - start};
    return code;
}

cel_code cel__redis_decode(const redis_backend *backend,
                           cel_view *out,
                           cel_view stored,
                           cel__buf *scratch,
                           cel_error *err)
{
    cel__serializer serializer = backend->coding->serializer;

    if (stored.len > 0 && (stored.ptr[0] == '{' || stored.ptr[0] == '[') &&
        (backend->coding->accepted & CEL__ACCEPTS(CEL_SERIALIZER_JSON)))
        serializer = CEL_SERIALIZER_JSON;
    return cel__decode(out, serializer, backend->coding, stored, scratch, err);
}

/* ---- commands ---- */

static void on_done(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    done_op *op = (done_op *)request;
    cel_backend_cb cb = op->cb;
    void *user = op->user;

    (void)reply;
    cel__free(op);
    if (cb)
        cb(user, err ? err->code : CEL_OK, err);
}

cel_code cel__redis_do(
    redis_backend *backend, cel__buf *command, cel_backend_cb cb, void *user, cel_error *err)
{
    done_op *op = cel__calloc(1, sizeof *op);
    cel_code code;

    if (!op) {
        cel__buf_done(command);
        return fail_memory(err);
    }
    op->request.done = on_done;
    op->cb = cb;
    op->user = user;
    code = cel__redis_submit(backend, &op->request, command, err);
    if (code != CEL_OK)
        cel__free(op);
    return code;
}

/* ---- open and close ---- */

static void free_backend(redis_backend *backend)
{
    cel__redis_forget_unsure(backend);
    cel__redis_url_done(&backend->url);
    cel__buf_done(&backend->greeting);
    cel__free(backend);
}

static void
on_policy(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    done_op *op = (done_op *)request;
    const redis_backend *backend = op->user;
    const char *policy = NULL;

    if (!err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        policy = reply->element[1]->str;
    if (policy && strcmp(policy, "noeviction") != 0)
        cel__warning(backend->log,
                     "%s may throw results away before they expire: its maxmemory-policy is "
                     "%s. Set it to noeviction",
                     backend->url.shown, policy);
    cel__free(op);
}

/* Results that are evicted are lost without a trace: who runs the server should hear of it. */
static void check_policy(redis_backend *backend)
{
    cel__buf command = {0};
    done_op *op = cel__calloc(1, sizeof *op);

    backend->warns = false;
    if (!op)
        return;
    op->request.done = on_policy;
    op->user = backend;
    cel__redis_begin(&command, 3);
    cel__redis_word(&command, CEL_VIEW("CONFIG"));
    cel__redis_word(&command, CEL_VIEW("GET"));
    cel__redis_word(&command, CEL_VIEW("maxmemory-policy"));
    if (cel__redis_submit(backend, &op->request, &command, NULL) != CEL_OK)
        cel__free(op);
}

static void on_up(void *user)
{
    redis_backend *backend = user;

    if (backend->closing)
        return;
    if (backend->warns)
        check_policy(backend);
    if (backend->undone > 0)
        cel__redis_renew_lease(backend);
}

static void on_turn(void *user)
{
    redis_backend *backend = user;

    if (backend->open_ends == 0)
        cel__redis_flush_stores(backend);
}

static cel_code
open_redis(cel_backend **out, const cel_backend_options *options, cel_error *err)
{
    redis_backend *backend = cel__calloc(1, sizeof *backend);
    cel__redis_options link = {.loop = options->loop,
                               .clock = options->clock,
                               .log = options->log,
                               .what = "the result store",
                               .on_up = on_up,
                               .on_turn = on_turn};
    cel_code code;

    if (!backend)
        return fail_memory(err);
    backend->base.ops = &cel__redis_backend_ops;
    backend->loop = options->loop;
    backend->clock = options->clock;
    backend->log = options->log;
    backend->coding = options->coding ? options->coding : &cel__coding_json;
    backend->warns = options->threaded;
    backend->expires_s = (options->expires_ms + 999) / 1000;
    cel__uuid4(backend->owner);
    code = cel__redis_url_read(&backend->url, options->url, err);
    link.greeting_count = cel__redis_load_scripts(&backend->greeting);
    link.greeting = cel__buf_view(&backend->greeting);
    link.url = &backend->url;
    link.user = backend;
    if (code == CEL_OK)
        code = cel__buf_check(&backend->greeting, err);
    if (code == CEL_OK)
        code = cel__redis_new(&backend->commands, &link, err);
    if (code != CEL_OK) {
        free_backend(backend);
        return code;
    }
    uv_timer_init(options->loop, &backend->lease_timer);
    backend->lease_timer.data = backend;
    *out = &backend->base;
    return CEL_OK;
}

static void on_end_closed(void *user)
{
    redis_backend *backend = user;
    void (*closed)(void *user) = backend->closed;
    void *closed_user = backend->closed_user;

    if (--backend->open_ends > 0)
        return;
    free_backend(backend);
    if (closed)
        closed(closed_user);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_end_closed(handle->data);
}

static void close_ends(redis_backend *backend)
{
    cel__redis_flush_stores(backend); /* they are told that it was closed */
    backend->releasing = false;
    backend->open_ends = backend->listener ? 3 : 2;
    uv_close((uv_handle_t *)&backend->lease_timer, on_timer_closed);
    cel__redis_close(backend->commands, on_end_closed, backend);
    if (backend->listener)
        cel__redis_close(backend->listener, on_end_closed, backend);
}

static void on_released(void *user, cel_code code, const cel_error *err)
{
    redis_backend *backend = user;

    (void)err;
    if (backend->releasing && code != CEL_ECANCELED)
        close_ends(backend);
}

static void on_release_late(uv_timer_t *timer)
{
    close_ends(timer->data);
}

/* Chords that are left undone are let go, so that the next sweep need not wait for the lease. */
static void close_redis(cel_backend *base, void (*closed)(void *user), void *user)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};

    assert(!backend->closing);
    backend->closing = true;
    backend->closed = closed;
    backend->closed_user = user;
    cel__redis_end_watches(backend);
    if (backend->undone > 0 && cel__redis_is_up(backend->commands)) {
        cel__redis_begin(&command, 2);
        cel__redis_word(&command, CEL_VIEW("DEL"));
        cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_OWNER_KEY), cel__view(backend->owner));
        if (cel__redis_do(backend, &command, on_released, backend, NULL) == CEL_OK) {
            backend->releasing = true;
            uv_timer_start(&backend->lease_timer, on_release_late, RELEASE_MS, 0);
            return;
        }
    }
    close_ends(backend);
}

/* ---- results ---- */

static void free_fetch(struct fetch *fetch)
{
    cel__free(fetch->ids);
    cel__free(fetch->text);
    cel__free(fetch);
}

static void end_slice(struct fetch *fetch)
{
    const cel_view absent = {NULL, 0};

    if (--fetch->pending > 0)
        return;
    fetch->cb(fetch->user, absent, absent, fetch->err.code ? &fetch->err : NULL);
    free_fetch(fetch);
}

/* A result that cannot be read is what the fetch fails of. */
static void deliver_one(struct fetch *fetch, cel_view id, cel_view stored, cel__buf *scratch)
{
    cel_error wrong = {0};
    cel_view document;
    cel_code code;

    cel__buf_reset(scratch);
    code = cel__redis_decode(fetch->backend, &document, stored, scratch, &wrong);
    if (code == CEL_OK)
        fetch->cb(fetch->user, id, document, NULL);
    else if (!fetch->err.code)
        cel_error_set(&fetch->err, code, "the result of task %.*s cannot be read: %s",
                      CEL_VIEW_ARG(id), wrong.message);
}

static void deliver(const struct slice *slice, const redisReply *reply)
{
    struct fetch *fetch = slice->fetch;
    cel__buf scratch = {0};

    for (size_t i = 0; i < reply->elements && i < slice->count; i++) {
        const redisReply *found = reply->element[i];
        cel_view id = fetch->ids[slice->at + i];

        if (found->type == REDIS_REPLY_STRING)
            deliver_one(fetch, id, (cel_view){found->str, (size_t)found->len}, &scratch);
        else
            cel__redis_note_absent(fetch->backend, id, slice->events);
    }
    cel__buf_done(&scratch);
}

/* The answer of nothing to fetch is that of a PING. */
static void on_slice(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct slice *slice = (struct slice *)request;
    struct fetch *fetch = slice->fetch;

    if (!err && reply->type == REDIS_REPLY_ARRAY)
        deliver(slice, reply);
    else if (err && !fetch->err.code)
        fetch->err = *err;
    cel__free(slice);
    end_slice(fetch);
}

static cel_code send_slice(struct fetch *fetch, size_t at, size_t count, cel_error *err)
{
    redis_backend *backend = fetch->backend;
    struct slice *slice = cel__calloc(1, sizeof *slice);
    cel__buf command = {0};
    cel_code code;

    if (!slice)
        return fail_memory(err);
    *slice = (struct slice){.request.done = on_slice,
                            .fetch = fetch,
                            .at = at,
                            .count = count,
                            .events = backend->events};
    cel__redis_begin(&command, 1 + count);
    cel__redis_word(&command, count ? CEL_VIEW("MGET") : CEL_VIEW("PING"));
    for (size_t i = 0; i < count; i++)
        cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_TASK_KEY), fetch->ids[at + i]);
    code = cel__redis_submit(backend, &slice->request, &command, err);
    if (code == CEL_OK)
        fetch->pending++;
    else
        cel__free(slice);
    return code;
}

/* Copies the ids, leaving out those that are known not to be there. */
static bool copy_ids(struct fetch *fetch, const cel_view *ids, size_t count)
{
    size_t len = 0;
    char *at;

    for (size_t i = 0; i < count; i++)
        len += ids[i].len;
    fetch->ids = cel__calloc(count + 1, sizeof *fetch->ids);
    fetch->text = at = cel__malloc(len + 1);
    if (!fetch->ids || !fetch->text)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (cel__redis_is_absent(fetch->backend, ids[i]))
            continue;
        if (ids[i].len)
            memcpy(at, ids[i].ptr, ids[i].len);
        fetch->ids[fetch->count++] = (cel_view){at, ids[i].len};
        at += ids[i].len;
    }
    return true;
}

static cel_code
fetch_results(cel_backend *base,
              const cel_view *task_ids,
              size_t count,
              void (*cb)(void *user, cel_view task_id, cel_view document, const cel_error *err),
              void *user,
              cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel_code code = cel__redis_check_open(backend, err);
    struct fetch *fetch;
    size_t at = 0;

    if (code != CEL_OK)
        return code;
    fetch = cel__calloc(1, sizeof *fetch);
    if (!fetch)
        return fail_memory(err);
    *fetch = (struct fetch){.backend = backend, .cb = cb, .user = user};
    if (!copy_ids(fetch, task_ids, count)) {
        free_fetch(fetch);
        return fail_memory(err);
    }
    do {
        size_t some = fetch->count - at > FETCH_SLICE ? FETCH_SLICE : fetch->count - at;

        code = send_slice(fetch, at, some, err);
        at += some;
    } while (code == CEL_OK && at < fetch->count);
    if (code == CEL_OK || fetch->pending > 0) {
        if (code != CEL_OK) /* some slices are on their way: the last of them tells */
            cel_error_set(&fetch->err, code, "no memory for the result store");
        return CEL_OK;
    }
    free_fetch(fetch);
    return code;
}

static cel_code forget_results(cel_backend *base,
                               const cel_view *task_ids,
                               size_t count,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};
    cel_code code = cel__redis_check_open(backend, err);

    if (code != CEL_OK)
        return code;
    cel__redis_begin(&command, count + 1);
    cel__redis_word(&command, count ? CEL_VIEW("DEL") : CEL_VIEW("PING"));
    for (size_t i = 0; i < count; i++)
        cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_TASK_KEY), task_ids[i]);
    return cel__redis_do(backend, &command, cb, user, err);
}

/* ---- groups ---- */

static cel_code
count_group(cel_backend *base,
            cel_view gid,
            void (*cb)(void *user, int64_t ready, int64_t succeeded, const cel_error *err),
            void *user,
            cel_error *err)
{
    (void)base;
    (void)gid;
    (void)cb;
    (void)user;
    return cel_error_set(err, CEL_ENOTSUP,
                         "a group's results are not counted in Redis: read them");
}

static cel_code save_group(cel_backend *base,
                           cel_view gid,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0}, scratch = {0};
    cel_code code = cel__redis_check_open(backend, err);

    if (code == CEL_OK && document.ptr)
        code = cel__redis_encode(backend, &document, document, &scratch, err);
    if (code != CEL_OK)
        goto done;
    cel__redis_begin(&command, !document.ptr ? 2 : backend->expires_s ? 4 : 3);
    cel__redis_word(&command, !document.ptr        ? CEL_VIEW("DEL")
                              : backend->expires_s ? CEL_VIEW("SETEX")
                                                   : CEL_VIEW("SET"));
    cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_GROUP_KEY), gid);
    if (document.ptr && backend->expires_s)
        cel__redis_int(&command, backend->expires_s);
    if (document.ptr)
        cel__redis_word(&command, document);
    code = cel__redis_do(backend, &command, cb, user, err);

done:
    cel__buf_done(&scratch);
    return code;
}

static void
on_document(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct document_op *op = (struct document_op *)request;
    cel_view document = {NULL, 0};
    cel__buf scratch = {0};
    cel_error wrong;

    if (!err && reply->type == REDIS_REPLY_STRING &&
        cel__redis_decode(op->backend, &document, (cel_view){reply->str, (size_t)reply->len},
                          &scratch, &wrong) != CEL_OK)
        err = &wrong;
    op->cb(op->user, document, err);
    cel__buf_done(&scratch);
    cel__free(op);
}

static cel_code fetch_group(cel_backend *base,
                            cel_view gid,
                            void (*cb)(void *user, cel_view document, const cel_error *err),
                            void *user,
                            cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};
    cel_code code = cel__redis_check_open(backend, err);
    struct document_op *op;

    if (code != CEL_OK)
        return code;
    op = cel__calloc(1, sizeof *op);
    if (!op)
        return fail_memory(err);
    *op = (struct document_op){
        .request.done = on_document, .backend = backend, .cb = cb, .user = user};
    cel__redis_begin(&command, 2);
    cel__redis_word(&command, CEL_VIEW("GET"));
    cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_GROUP_KEY), gid);
    code = cel__redis_submit(backend, &op->request, &command, err);
    if (code != CEL_OK)
        cel__free(op);
    return code;
}

const cel_backend_ops cel__redis_backend_ops = {
    .schemes = "redis,rediss,redis+socket,socket,unix,sentinel",
    .counts_chords = true,
    .open = open_redis,
    .close = close_redis,
    .store = cel__redis_store,
    .fetch = fetch_results,
    .forget = forget_results,
    .watch = cel__redis_watch,
    .unwatch = cel__redis_unwatch,
    .group_count = count_group,
    .group_save = save_group,
    .group_fetch = fetch_group,
    .chord_open = cel__redis_chord_open,
    .chord_grow = cel__redis_chord_grow,
    .chord_part = cel__redis_chord_part,
    .chord_done = cel__redis_chord_done,
    .sweep = cel__redis_sweep,
};
