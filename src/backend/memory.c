/* memory.c - memory://name: a result store that lives as long as somebody in this process has
 * it open.
 *
 * All backends of one name share one `hub`, also across loops and threads: a mutex guards
 * the store, the list of backends and who watches what. An operation takes effect during its
 * call; its callback waits in the backend's queue until the loop's next turn, which a
 * uv_async starts. A watcher is marked under the mutex by whoever stores, and called on its
 * own loop. There is no transaction domain: the caller waits for confirmations, as with a
 * remote store. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/hash.h"
#include "backend/memory_store.h"
#include "backend/ready.h"
#include "core/mem.h"

#define EXPIRE_SLICE ((size_t)1000)

typedef struct memory_backend memory_backend;

struct hub {
    char *name;
    size_t users; /* guarded by hubs_lock, as next */
    struct hub *next;
    uv_mutex_t lock; /* guards all below */
    cel__memory_store *store;
    memory_backend *backends;
    uint64_t last_number;
    struct topic *topics[2]; /* what is watched: tasks, groups */
};

/* One id that is watched, and by whom. */
struct topic {
    char *id;
    struct interest *interests;
    bool group;
    bool lost; /* the table had no memory */
    UT_hash_handle hh;
};

struct interest {
    struct cel_watch *watch;
    struct topic *topic;
    struct interest *prev, *next; /* of the topic */
};

struct cel_watch {
    memory_backend *backend; /* NULL once it is closed */
    void (*changed)(void *user);
    void *user;
    bool marked;    /* guarded by the hub's lock: to be called */
    uint64_t round; /* the turn in which it was called last */
    size_t count;
    struct interest *interests; /* owned array of `count` */
    struct cel_watch *prev, *next;
};

typedef enum completion_kind {
    COMPLETION_DONE,
    COMPLETION_FETCH,
    COMPLETION_COUNT,
    COMPLETION_DOCUMENT,
    COMPLETION_CHORD,
} completion_kind;

/* A callback that waits for its turn. */
typedef struct completion {
    completion_kind kind;
    union {
        cel_backend_cb done;
        void (*fetch)(void *user, cel_view task_id, cel_view document, const cel_error *err);
        void (*count)(void *user, int64_t ready, int64_t succeeded, const cel_error *err);
        void (*document)(void *user, cel_view document, const cel_error *err);
        cel_chord_cb chord;
    } cb;
    void *user;
    bool present;             /* DOCUMENT: there is one. CHORD: it is complete */
    int64_t ready, succeeded; /* COUNT */
    cel__buf text;            /* FETCH: id and document in turn, as `lens` say. DOCUMENT */
    size_t *lens;             /* owned; two for each of `found` */
    size_t found;
    cel__ready chord;
    struct completion *next;
} completion;

struct memory_backend {
    cel_backend base;
    struct hub *hub;
    const cel_clock *clock;
    int64_t expires_ms;
    uint64_t number; /* as the owner of chords */
    uv_async_t async;
    completion *queue, *queue_tail; /* in order; what waits for the next turn */
    cel_watch *watches;
    uint64_t round;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
    memory_backend *prev, *next; /* of the hub */
};

static pthread_mutex_t hubs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hub *hubs;

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory in the result store");
}

/* ---- the hub ---- */

static void free_hub(struct hub *hub)
{
    if (!hub)
        return;
    cel__memory_store_free(hub->store);
    cel__free(hub->name);
    cel__free(hub);
}

static struct hub *new_hub(cel_view name)
{
    struct hub *hub = cel__calloc(1, sizeof *hub);

    if (!hub)
        return NULL;
    hub->name = cel__memdup(name.ptr, name.len);
    hub->store = cel__memory_store_new();
    if (hub->name && hub->store && uv_mutex_init(&hub->lock) == 0)
        return hub;
    free_hub(hub);
    return NULL;
}

static struct hub *take_hub(cel_view name)
{
    struct hub *hub;

    pthread_mutex_lock(&hubs_lock);
    LL_FOREACH(hubs, hub)
    if (cel__view_is(name, hub->name))
        break;
    if (!hub) {
        hub = new_hub(name);
        if (hub)
            LL_PREPEND(hubs, hub);
    }
    if (hub)
        hub->users++;
    pthread_mutex_unlock(&hubs_lock);
    return hub;
}

static void drop_hub(struct hub *hub)
{
    pthread_mutex_lock(&hubs_lock);
    if (--hub->users == 0) {
        LL_DELETE(hubs, hub);
        uv_mutex_destroy(&hub->lock);
        free_hub(hub);
    }
    pthread_mutex_unlock(&hubs_lock);
}

/* Marks and wakes who watches the id. Hub locked. */
static void wake(struct hub *hub, bool group, cel_view id)
{
    struct topic *topic;
    struct interest *interest;

    HASH_FIND(hh, hub->topics[group], id.ptr, id.len, topic);
    if (!topic)
        return;
    DL_FOREACH(topic->interests, interest)
    {
        interest->watch->marked = true;
        uv_async_send(&interest->watch->backend->async);
    }
}

static bool is_alive(void *user, uint64_t number)
{
    const struct hub *hub = user;
    const memory_backend *backend;

    DL_FOREACH(hub->backends, backend)
    if (backend->number == number)
        return true;
    return false;
}

/* ---- completions ---- */

static void free_completion(completion *done)
{
    cel__buf_done(&done->text);
    cel__ready_done(&done->chord);
    cel__free(done->lens);
    cel__free(done);
}

/* The caller has reserved `done` before it did anything, so that what has happened is always
 * reported. */
static completion *new_completion(completion_kind kind, void *user, cel_error *err)
{
    completion *done = cel__calloc(1, sizeof *done);

    if (!done) {
        fail_memory(err);
        return NULL;
    }
    done->kind = kind;
    done->user = user;
    return done;
}

static void queue_completion(memory_backend *backend, completion *done)
{
    if (backend->queue)
        backend->queue_tail->next = done;
    else
        backend->queue = done;
    backend->queue_tail = done;
    uv_async_send(&backend->async);
}

/* What most operations have in common: queue the completion of what was done, or free it. */
static cel_code finish(memory_backend *backend, completion *done, cel_code code)
{
    uv_mutex_unlock(&backend->hub->lock);
    if (code == CEL_OK)
        queue_completion(backend, done);
    else
        free_completion(done);
    return code;
}

static void deliver_fetch(const completion *done)
{
    size_t at = 0;

    for (size_t i = 0; i < done->found; i++) {
        size_t id_len = done->lens[2 * i], len = done->lens[2 * i + 1];
        cel_view id = {done->text.ptr + at, id_len};

        at += id_len + len;
        done->cb.fetch(done->user, id, (cel_view){id.ptr + id_len, len}, NULL);
    }
    done->cb.fetch(done->user, (cel_view){NULL, 0}, (cel_view){NULL, 0}, NULL);
}

static void deliver_chord(const completion *done)
{
    cel_chord_ready ready;

    if (!done->cb.chord)
        return;
    cel__ready_show(&done->chord, &ready);
    done->cb.chord(done->user, done->present ? &ready : NULL, CEL_OK, NULL);
}

static void deliver(completion *done)
{
    switch (done->kind) {
    case COMPLETION_DONE:
        if (done->cb.done)
            done->cb.done(done->user, CEL_OK, NULL);
        break;
    case COMPLETION_FETCH:
        deliver_fetch(done);
        break;
    case COMPLETION_COUNT:
        done->cb.count(done->user, done->ready, done->succeeded, NULL);
        break;
    case COMPLETION_DOCUMENT:
        done->cb.document(
            done->user, done->present ? cel__buf_view(&done->text) : (cel_view){NULL, 0}, NULL);
        break;
    case COMPLETION_CHORD:
        deliver_chord(done);
        break;
    }
    free_completion(done);
}

/* Takes a marked watch that was not called in this turn yet. */
static cel_watch *take_marked(memory_backend *backend, bool *more)
{
    cel_watch *watch;

    uv_mutex_lock(&backend->hub->lock);
    DL_FOREACH(backend->watches, watch)
    {
        if (!watch->marked)
            continue;
        if (watch->round != backend->round)
            break;
        *more = true;
    }
    if (watch)
        watch->marked = false;
    uv_mutex_unlock(&backend->hub->lock);
    return watch;
}

/* A callback may unwatch anything, so the search starts anew after each. What callbacks
 * cause waits for the next turn. */
static void on_async(uv_async_t *async)
{
    memory_backend *backend = async->data;
    completion *queue = backend->queue; /* the tail matters only while there is a queue */
    bool more = false;
    cel_watch *watch;

    backend->queue = NULL;
    while (queue) {
        completion *done = queue;

        queue = done->next;
        deliver(done);
    }
    backend->round++;
    while (!backend->closing && (watch = take_marked(backend, &more))) {
        watch->round = backend->round;
        watch->changed(watch->user);
    }
    if (more && !backend->closing)
        uv_async_send(&backend->async);
}

/* ---- open and close ---- */

static cel_view name_of(const char *url)
{
    const char *name = strchr(url, ':') + 1;

    name += strspn(name, "/");
    return (cel_view){name, strcspn(name, "?#")};
}

static cel_code
open_memory(cel_backend **out, const cel_backend_options *options, cel_error *err)
{
    memory_backend *backend = cel__calloc(1, sizeof *backend);

    if (!backend)
        return fail_memory(err);
    backend->base.ops = &cel__memory_backend_ops;
    backend->clock = options->clock;
    backend->expires_ms = options->expires_ms;
    backend->hub = take_hub(name_of(options->url));
    if (!backend->hub) {
        cel__free(backend);
        return fail_memory(err);
    }
    if (uv_async_init(options->loop, &backend->async, on_async) != 0) {
        drop_hub(backend->hub);
        cel__free(backend);
        return cel_error_set(err, CEL_EIO, "the loop takes no more handles");
    }
    backend->async.data = backend;
    uv_mutex_lock(&backend->hub->lock);
    backend->number = ++backend->hub->last_number;
    DL_APPEND(backend->hub->backends, backend);
    uv_mutex_unlock(&backend->hub->lock);
    *out = &backend->base;
    return CEL_OK;
}

static void on_closed(uv_handle_t *handle)
{
    memory_backend *backend = handle->data;
    void (*closed)(void *user) = backend->closed;
    void *user = backend->closed_user;
    completion *queue;

    while ((queue = backend->queue)) {
        backend->queue = queue->next;
        deliver(queue);
    }
    drop_hub(backend->hub);
    cel__free(backend);
    if (closed)
        closed(user);
}

static void detach_watch(cel_watch *watch);

static void close_memory(cel_backend *base, void (*closed)(void *user), void *user)
{
    memory_backend *backend = (memory_backend *)base;

    assert(!backend->closing);
    backend->closing = true;
    backend->closed = closed;
    backend->closed_user = user;
    while (backend->watches)
        detach_watch(backend->watches);
    uv_mutex_lock(&backend->hub->lock);
    DL_DELETE(backend->hub->backends, backend);
    uv_mutex_unlock(&backend->hub->lock);
    uv_close((uv_handle_t *)&backend->async, on_closed);
}

/* ---- results ---- */

static int64_t expiry(const memory_backend *backend)
{
    return backend->expires_ms ? cel__clock_wall_ms(backend->clock) + backend->expires_ms : 0;
}

static cel_code store_result(cel_backend *base,
                             const cel_backend_record *record,
                             cel_backend_cb cb,
                             void *user,
                             cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_DONE, user, err);
    bool changed;
    cel_code code;

    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    code = cel__memory_store_put(backend->hub->store, record, expiry(backend), &changed, err);
    if (code == CEL_OK && changed) {
        wake(backend->hub, false, record->task_id);
        if (record->group_id.ptr)
            wake(backend->hub, true, record->group_id);
    }
    return finish(backend, done, code);
}

static cel_code
fetch_results(cel_backend *base,
              const cel_view *task_ids,
              size_t count,
              void (*cb)(void *user, cel_view task_id, cel_view document, const cel_error *err),
              void *user,
              cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_FETCH, user, err);

    if (!done)
        return CEL_ENOMEM;
    done->cb.fetch = cb;
    done->lens = cel__calloc(count, 2 * sizeof *done->lens);
    if (!done->lens)
        done->text.failed = true;
    uv_mutex_lock(&backend->hub->lock);
    for (size_t i = 0; i < count && !done->text.failed; i++) {
        cel_view document = cel__memory_store_get(backend->hub->store, task_ids[i]);

        if (!document.ptr)
            continue;
        cel__buf_add_view(&done->text, task_ids[i]);
        cel__buf_add_view(&done->text, document);
        done->lens[2 * done->found] = task_ids[i].len;
        done->lens[2 * done->found++ + 1] = document.len;
    }
    return finish(backend, done, cel__buf_check(&done->text, err));
}

static cel_code forget_results(cel_backend *base,
                               const cel_view *task_ids,
                               size_t count,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_DONE, user, err);

    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    for (size_t i = 0; i < count; i++)
        cel__memory_store_forget(backend->hub->store, task_ids[i]);
    return finish(backend, done, CEL_OK);
}

/* ---- watches ---- */

static struct topic *need_topic(struct hub *hub, bool group, cel_view id)
{
    struct topic *topic;

    HASH_FIND(hh, hub->topics[group], id.ptr, id.len, topic);
    if (topic)
        return topic;
    topic = cel__calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    topic->group = group;
    topic->id = cel__memdup(id.ptr, id.len);
    if (!topic->id)
        goto fail;
    HASH_ADD_KEYPTR(hh, hub->topics[group], topic->id, id.len, topic);
    if (!topic->lost)
        return topic;

fail:
    cel__free(topic->id);
    cel__free(topic);
    return NULL;
}

static void drop_interest(struct hub *hub, struct interest *interest)
{
    struct topic *topic = interest->topic;

    DL_DELETE(topic->interests, interest);
    if (topic->interests)
        return;
    HASH_DEL(hub->topics[topic->group], topic);
    cel__free(topic->id);
    cel__free(topic);
}

static void detach_watch(cel_watch *watch)
{
    memory_backend *backend = watch->backend;

    uv_mutex_lock(&backend->hub->lock);
    for (size_t i = 0; i < watch->count; i++)
        drop_interest(backend->hub, &watch->interests[i]);
    DL_DELETE(backend->watches, watch);
    uv_mutex_unlock(&backend->hub->lock);
    watch->count = 0;
    watch->backend = NULL;
}

static void unwatch(cel_watch *watch)
{
    if (!watch)
        return;
    if (watch->backend)
        detach_watch(watch);
    cel__free(watch->interests);
    cel__free(watch);
}

static bool add_interests(cel_watch *watch, const cel_view *ids, size_t count, bool group)
{
    for (size_t i = 0; i < count; i++) {
        struct topic *topic = need_topic(watch->backend->hub, group, ids[i]);

        if (!topic)
            return false;
        watch->interests[i] = (struct interest){.watch = watch, .topic = topic};
        DL_APPEND(topic->interests, &watch->interests[i]);
        watch->count++;
    }
    return true;
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
    memory_backend *backend = (memory_backend *)base;
    cel_watch *watch = cel__calloc(1, sizeof *watch);
    bool whole;

    if (!watch)
        return fail_memory(err);
    watch->interests = cel__calloc(count, sizeof *watch->interests);
    if (!watch->interests) {
        cel__free(watch);
        return fail_memory(err);
    }
    watch->backend = backend;
    watch->changed = changed;
    watch->user = user;
    watch->round = backend->round;
    uv_mutex_lock(&backend->hub->lock);
    whole = add_interests(watch, ids, count, group);
    DL_APPEND(backend->watches, watch);
    uv_mutex_unlock(&backend->hub->lock);
    if (!whole) {
        unwatch(watch);
        return fail_memory(err);
    }
    *out = watch;
    return CEL_OK;
}

/* ---- groups ---- */

static cel_code
count_group(cel_backend *base,
            cel_view gid,
            void (*cb)(void *user, int64_t ready, int64_t succeeded, const cel_error *err),
            void *user,
            cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_COUNT, user, err);

    if (!done)
        return CEL_ENOMEM;
    done->cb.count = cb;
    uv_mutex_lock(&backend->hub->lock);
    cel__memory_store_count(backend->hub->store, gid, &done->ready, &done->succeeded);
    return finish(backend, done, CEL_OK);
}

static cel_code save_group(cel_backend *base,
                           cel_view gid,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_DONE, user, err);

    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    return finish(
        backend, done,
        cel__memory_store_save(backend->hub->store, gid, document, expiry(backend), err));
}

static cel_code fetch_group(cel_backend *base,
                            cel_view gid,
                            void (*cb)(void *user, cel_view document, const cel_error *err),
                            void *user,
                            cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_DOCUMENT, user, err);
    cel_view document;

    if (!done)
        return CEL_ENOMEM;
    done->cb.document = cb;
    uv_mutex_lock(&backend->hub->lock);
    document = cel__memory_store_saved(backend->hub->store, gid);
    done->present = document.ptr != NULL;
    cel__buf_add_view(&done->text, document);
    return finish(backend, done, cel__buf_check(&done->text, err));
}

/* ---- chords ---- */

static cel__memory_moment now(const memory_backend *backend)
{
    return (cel__memory_moment){backend->number, cel__clock_wall_ms(backend->clock),
                                expiry(backend)};
}

static cel_code open_chord(cel_backend *base,
                           cel_view gid,
                           int64_t size,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done;

    if (size < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord of %lld parts", (long long)size);
    done = new_completion(COMPLETION_DONE, user, err);
    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    return finish(backend, done,
                  cel__memory_store_open(backend->hub->store, gid, size,
                                         cel__clock_wall_ms(backend->clock), expiry(backend),
                                         err));
}

static cel_code grow_chord(cel_backend *base,
                           cel_view gid,
                           int64_t count,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done;

    if (count < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord grows by %lld parts", (long long)count);
    done = new_completion(COMPLETION_DONE, user, err);
    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    cel__memory_store_grow(backend->hub->store, gid, count);
    return finish(backend, done, CEL_OK);
}

static cel_code count_part(
    cel_backend *base, const cel_chord_part *part, cel_chord_cb cb, void *user, cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_CHORD, user, err);
    cel__memory_moment moment = now(backend);

    if (!done)
        return CEL_ENOMEM;
    done->cb.chord = cb;
    uv_mutex_lock(&backend->hub->lock);
    return finish(backend, done,
                  cel__memory_store_part(backend->hub->store, part, &moment, &done->chord,
                                         &done->present, err));
}

static cel_code
end_chord(cel_backend *base, cel_view gid, cel_backend_cb cb, void *user, cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *done = new_completion(COMPLETION_DONE, user, err);

    if (!done)
        return CEL_ENOMEM;
    done->cb.done = cb;
    uv_mutex_lock(&backend->hub->lock);
    cel__memory_store_fired(backend->hub->store, gid);
    return finish(backend, done, CEL_OK);
}

/* One completion for each chord claimed and one for the end. When memory runs out on the
 * way, what was claimed is reported all the same, and the rest is left to the next sweep. */
static cel_code
sweep(cel_backend *base, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err)
{
    memory_backend *backend = (memory_backend *)base;
    completion *end = new_completion(COMPLETION_CHORD, user, err), *done;
    cel__memory_moment moment = now(backend);
    bool found = true;

    if (!end)
        return CEL_ENOMEM;
    end->cb.chord = cb;
    uv_mutex_lock(&backend->hub->lock);
    while (cel__memory_store_expire(backend->hub->store, moment.now_ms, EXPIRE_SLICE) >=
           EXPIRE_SLICE)
        ;
    while (found && (done = new_completion(COMPLETION_CHORD, user, NULL))) {
        done->cb.chord = cb;
        if (cel__memory_store_claim(backend->hub->store, &moment, moment.now_ms - older_ms,
                                    is_alive, backend->hub, &done->chord, &found,
                                    NULL) != CEL_OK)
            found = false;
        done->present = found;
        if (found)
            queue_completion(backend, done);
        else
            free_completion(done);
    }
    return finish(backend, end, CEL_OK);
}

const cel_backend_ops cel__memory_backend_ops = {
    .schemes = "memory",
    .counts_chords = true,
    .open = open_memory,
    .close = close_memory,
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
