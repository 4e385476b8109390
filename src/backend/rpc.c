/* rpc.c - rpc://: results are messages to whoever sent the task; nothing is stored.
 *
 * Format: celery/backends/rpc.py. A worker publishes the document to the queue that the task names in reply_to,
 * with its correlation id; a queue that is gone means that nobody waits, and the result is dropped. A client
 * consumes one queue, its own, and keeps what comes: of each task the latest document, at most KEPT_MAX of them, the oldest
 * making room. Only the client that sent a task learns of its result, and only while its connection lasts.
 *
 * The queue is exclusive and transient, a form that all servers accept. Results that come before it is there
 * would be lost, so prepare() tells when it is: the queue is sent a message of its own until the broker takes it.
 *
 * This is the one result store that knows of brokers. */
#include <assert.h>
#include <string.h>

#include "backend/backend.h"
#include "broker/broker.h"
#include "core/mem.h"
#include "message/body.h"
#include "message/result.h"

#define HASH_NONFATAL_OOM         1
#define uthash_malloc(size)       cel__malloc(size)
#define uthash_free(ptr, size)    cel__free(ptr)
#define uthash_nonfatal_oom(slot) ((slot)->lost = true)
#include <uthash.h>
#include <utlist.h>

#define KEPT_MAX 100000 /* documents of tasks that nobody watches */
#define WINDOW   1000
#define PROBE_MS 5

typedef struct rpc_backend rpc_backend;

/* One task: its latest document, and who watches it. */
struct slot {
    char *id;       /* owned */
    char *document; /* owned; NULL: none has come */
    size_t len;
    bool ready;
    bool lost; /* the table had no memory */
    struct interest *interests;
    struct slot *prev, *next; /* in rpc->kept, the oldest first, if there is a document */
    UT_hash_handle hh;
};

struct interest {
    struct cel_watch *watch;
    struct slot *slot;
    struct interest *prev, *next; /* of the slot */
};

struct cel_watch {
    rpc_backend *rpc; /* NULL once it is closed */
    void (*changed)(void *user);
    void *user;
    bool marked;
    size_t count;
    struct interest *interests; /* owned array */
    struct cel_watch *prev, *next;
};

/* A callback that waits for the next turn. */
struct call {
    void (*run)(struct call *call);
    cel_backend_cb done;
    void (*fetched)(void *user, cel_view task_id, cel_view document, const cel_error *err);
    cel_chord_cb swept;
    void *user;
    char **ids; /* owned, as the texts: to be fetched */
    size_t count;
    struct call *next;
};

struct rpc_backend {
    cel_backend base;
    cel_broker *broker; /* borrowed */
    const cel_clock *clock;
    const cel_log *log;
    char *queue; /* owned; NULL: this side only publishes */
    bool persistent;
    const cel__coding *coding; /* never NULL */
    cel_consumer *consumer;
    struct slot *slots; /* uthash */
    struct slot *kept;
    size_t kept_count;
    struct cel_watch *watches;
    struct call *calls;     /* for the next turn */
    struct call *preparing; /* until the queue is there */
    uv_async_t async;
    uv_timer_t probe;
    size_t pending; /* publishes under way */
    bool listening, probing, closing, canceled;
    int handles;
    void (*closed)(void *user);
    void *closed_user;
};

/* ---- callbacks of the next turn ---- */

static void free_call(struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        cel__free(call->ids[i]);
    cel__free(call->ids);
    cel__free(call);
}

static struct call *new_call(void (*run)(struct call *call), void *user, cel_error *err)
{
    struct call *call = cel__calloc(1, sizeof *call);

    if (!call) {
        cel_error_set(err, CEL_ENOMEM, "no memory in the result store");
        return NULL;
    }
    call->run = run;
    call->user = user;
    return call;
}

static void run_done(struct call *call)
{
    if (call->done)
        call->done(call->user, CEL_OK, NULL);
}

static void run_swept(struct call *call)
{
    if (call->swept)
        call->swept(call->user, NULL, CEL_OK, NULL);
}

static void defer(rpc_backend *rpc, struct call *call)
{
    LL_APPEND(rpc->calls, call);
    uv_async_send(&rpc->async);
}

static void fetch_from(rpc_backend *rpc, struct call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        struct slot *slot;

        HASH_FIND_STR(rpc->slots, call->ids[i], slot);
        if (slot && slot->document)
            call->fetched(call->user, cel__view(call->ids[i]),
                          (cel_view){slot->document, slot->len}, NULL);
    }
    call->fetched(call->user, (cel_view){NULL, 0}, (cel_view){NULL, 0}, NULL);
}

static void on_async(uv_async_t *async)
{
    rpc_backend *rpc = async->data;
    struct call *calls = rpc->calls;
    struct cel_watch *watch;

    rpc->calls = NULL;
    while (calls) {
        struct call *call = calls;

        calls = call->next;
        if (call->fetched)
            fetch_from(rpc, call);
        else
            call->run(call);
        free_call(call);
    }
    do { /* a callback may end any watch, so the search begins anew after each */
        DL_SEARCH_SCALAR(rpc->watches, watch, marked, true);
        if (watch) {
            watch->marked = false;
            watch->changed(watch->user);
        }
    } while (watch);
}

/* ---- slots ---- */

static void free_slot(rpc_backend *rpc, struct slot *slot)
{
    if (!slot->lost)
        HASH_DEL(rpc->slots, slot);
    if (slot->document) {
        DL_DELETE(rpc->kept, slot);
        rpc->kept_count--;
    }
    cel__free(slot->document);
    cel__free(slot->id);
    cel__free(slot);
}

static struct slot *find_slot(rpc_backend *rpc, cel_view id, bool make)
{
    struct slot *slot;

    HASH_FIND(hh, rpc->slots, id.ptr, id.len, slot);
    if (slot || !make)
        return slot;
    slot = cel__calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    slot->id = cel__memdup(id.ptr, id.len);
    slot->lost = !slot->id;
    if (slot->id)
        HASH_ADD_KEYPTR(hh, rpc->slots, slot->id, id.len, slot);
    if (!slot->lost)
        return slot;
    free_slot(rpc, slot);
    return NULL;
}

static void drop_oldest(rpc_backend *rpc)
{
    struct slot *slot, *next;

    DL_FOREACH_SAFE(rpc->kept, slot, next)
    {
        if (rpc->kept_count <= KEPT_MAX)
            return;
        if (!slot->interests)
            free_slot(rpc, slot);
    }
}

/* The last one wins, but what has ended has ended. */
static void keep(rpc_backend *rpc, cel_view id, cel_view document, bool ready)
{
    struct slot *slot = find_slot(rpc, id, true);
    struct interest *interest;
    char *copy;

    if (!slot || (slot->ready && !ready))
        return;
    copy = cel__memdup(document.ptr, document.len);
    if (!copy)
        return;
    if (slot->document) {
        DL_DELETE(rpc->kept, slot);
        rpc->kept_count--;
    }
    cel__free(slot->document);
    slot->document = copy;
    slot->len = document.len;
    slot->ready = ready;
    DL_APPEND(rpc->kept, slot);
    rpc->kept_count++;
    DL_FOREACH(slot->interests, interest)
    interest->watch->marked = true;
    if (slot->interests)
        uv_async_send(&rpc->async);
    drop_oldest(rpc);
}

/* ---- what comes ---- */

static void on_delivery(void *user, cel_delivery *delivery)
{
    rpc_backend *rpc = user;
    cel_view body = delivery->message.body;
    cel__buf scratch = {0}, decoded = {0};
    cel_result_meta meta;
    cel_error err = {0};

    if (!cel__view_is(delivery->message.correlation_id, rpc->queue)) { /* not the probe */
        if (cel__body_decode(&body, &delivery->message, (cel_view){NULL, 0}, rpc->coding,
                             &decoded, &err) == CEL_OK &&
            cel__result_meta_load(&meta, body, &scratch, &err) == CEL_OK)
            keep(rpc, meta.task_id, body, cel__state_ready(meta.status));
        else
            cel__warning(rpc->log, "a result that cannot be read is dropped: %s", err.message);
    }
    cel__buf_done(&decoded);
    cel__buf_done(&scratch);
    delivery->broker->ops->ack(delivery, NULL, NULL);
}

/* ---- the queue is there ---- */

static void try_close(rpc_backend *rpc);
static void send_probe(rpc_backend *rpc);

static void prepared(rpc_backend *rpc, cel_code code, const cel_error *err)
{
    struct call *waiting = rpc->preparing;

    rpc->preparing = NULL;
    rpc->probing = false;
    rpc->listening = code == CEL_OK;
    while (waiting) {
        struct call *call = waiting;

        waiting = call->next;
        call->done(call->user, code, err);
        free_call(call);
    }
}

static void on_probe(uv_timer_t *timer)
{
    send_probe(timer->data);
}

static void on_probed(void *user, cel_code code, const cel_error *err)
{
    rpc_backend *rpc = user;

    rpc->pending--;
    if (code == CEL_ENOENT && !rpc->closing)
        uv_timer_start(&rpc->probe, on_probe, PROBE_MS, 0);
    else
        prepared(rpc, code, err);
    try_close(rpc);
}

static cel_message message_to(const rpc_backend *rpc, cel_view queue)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = queue;
    message.content_type = cel__serializer_type(rpc->coding->serializer);
    message.content_encoding = cel__serializer_encoding(rpc->coding->serializer);
    message.headers = CEL_VIEW("{}");
    message.delivery_mode = rpc->persistent ? 2 : 1;
    message.priority = 0;
    message.existing = true;
    return message;
}

static void send_probe(rpc_backend *rpc)
{
    cel_message message = message_to(rpc, cel__view(rpc->queue));
    cel_error err = {0};
    cel_code code;

    message.correlation_id = message.routing_key;
    message.body = CEL_VIEW("{}");
    code = rpc->broker->ops->publish(rpc->broker, &message, 1, on_probed, rpc, &err);
    if (code == CEL_OK)
        rpc->pending++;
    else
        prepared(rpc, code, &err);
}

static cel_code prepare(cel_backend *base, cel_backend_cb cb, void *user, cel_error *err)
{
    rpc_backend *rpc = (rpc_backend *)base;
    struct call *call = new_call(run_done, user, err);

    if (!call)
        return CEL_ENOMEM;
    call->done = cb;
    if (rpc->listening || !rpc->queue) {
        defer(rpc, call);
        return CEL_OK;
    }
    LL_APPEND(rpc->preparing, call);
    if (!rpc->probing)
        uv_timer_start(&rpc->probe, on_probe, 0, 0);
    rpc->probing = true;
    return CEL_OK;
}

/* After an outage the queue is another one of the same name: what was in it is gone. */
static void on_state(void *user, cel_code code, const cel_error *err)
{
    rpc_backend *rpc = user;

    (void)err;
    if (code != CEL_OK && code != CEL_ECANCELED) {
        rpc->listening = false;
        cel__warning(rpc->log, "the results' queue is lost: what comes meanwhile is not seen");
    }
}

/* ---- open and close ---- */

static cel_code start_listening(rpc_backend *rpc, cel_error *err)
{
    cel_view queue = cel__view(rpc->queue);

    return rpc->broker->ops->consume(&rpc->consumer, rpc->broker,
                                     &(cel_consumer_options){.queues = &queue,
                                                             .queue_count = 1,
                                                             .window = WINDOW,
                                                             .reply = true,
                                                             .on_delivery = on_delivery,
                                                             .on_state = on_state,
                                                             .user = rpc},
                                     err);
}

static cel_code open_rpc(cel_backend **out, const cel_backend_options *options, cel_error *err)
{
    rpc_backend *rpc;
    cel_code code = CEL_OK;

    if (!options->broker)
        return cel_error_set(err, CEL_ECONFIG, "rpc:// needs a broker");
    rpc = cel__calloc(1, sizeof *rpc);
    if (rpc)
        rpc->queue = cel__strdup(options->reply_to);
    if (!rpc || (options->reply_to && !rpc->queue)) {
        cel__free(rpc);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a result store");
    }
    rpc->base.ops = &cel__rpc_backend_ops;
    rpc->broker = options->broker;
    rpc->clock = options->clock;
    rpc->log = options->log;
    rpc->persistent = options->persistent;
    rpc->coding = options->coding ? options->coding : &cel__coding_json;
    if (rpc->queue)
        code = start_listening(rpc, err);
    if (code != CEL_OK) {
        cel__free(rpc->queue);
        cel__free(rpc);
        return code;
    }
    uv_async_init(options->loop, &rpc->async, on_async);
    uv_timer_init(options->loop, &rpc->probe);
    uv_unref((uv_handle_t *)&rpc->async);
    rpc->async.data = rpc->probe.data = rpc;
    *out = &rpc->base;
    return CEL_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    rpc_backend *rpc = handle->data;
    void (*closed)(void *user) = rpc->closed;
    void *user = rpc->closed_user;

    if (--rpc->handles > 0)
        return;
    while (rpc->slots)
        free_slot(rpc, rpc->slots);
    cel__free(rpc->queue);
    cel__free(rpc);
    if (closed)
        closed(user);
}

static void end_calls(rpc_backend *rpc)
{
    cel_error err;

    on_async(&rpc->async);
    cel_error_set(&err, CEL_ECANCELED, "the result store was closed");
    prepared(rpc, CEL_ECANCELED, &err);
}

static void try_close(rpc_backend *rpc)
{
    if (!rpc->closing || !rpc->canceled || rpc->pending > 0 || rpc->handles > 0)
        return;
    rpc->handles = 2;
    end_calls(rpc);
    uv_close((uv_handle_t *)&rpc->async, on_handle_closed);
    uv_close((uv_handle_t *)&rpc->probe, on_handle_closed);
}

static void on_canceled(void *user)
{
    rpc_backend *rpc = user;

    rpc->canceled = true;
    try_close(rpc);
}

static void detach(struct cel_watch *watch)
{
    rpc_backend *rpc = watch->rpc;

    if (!rpc)
        return;
    for (size_t i = 0; i < watch->count; i++) {
        struct slot *slot = watch->interests[i].slot;

        DL_DELETE(slot->interests, &watch->interests[i]);
        if (!slot->interests && !slot->document)
            free_slot(rpc, slot);
    }
    DL_DELETE(rpc->watches, watch);
    watch->rpc = NULL;
}

static void close_rpc(cel_backend *base, void (*closed)(void *user), void *user)
{
    rpc_backend *rpc = (rpc_backend *)base;

    assert(!rpc->closing);
    rpc->closing = true;
    rpc->closed = closed;
    rpc->closed_user = user;
    uv_timer_stop(&rpc->probe);
    while (rpc->watches)
        detach(rpc->watches);
    if (rpc->consumer)
        rpc->broker->ops->cancel(rpc->consumer, on_canceled, rpc);
    else
        on_canceled(rpc);
}

/* ---- the worker's side ---- */

struct publication {
    rpc_backend *rpc;
    cel_backend_cb cb;
    void *user;
};

static void on_published(void *user, cel_code code, const cel_error *err)
{
    struct publication publication = *(struct publication *)user;
    rpc_backend *rpc = publication.rpc;

    cel__free(user);
    rpc->pending--;
    if (code == CEL_ENOENT) { /* the client is gone */
        code = CEL_OK;
        err = NULL;
    }
    if (publication.cb)
        publication.cb(publication.user, code, err);
    try_close(rpc);
}

static cel_code store(cel_backend *base,
                      const cel_backend_record *record,
                      cel_backend_cb cb,
                      void *user,
                      cel_error *err)
{
    rpc_backend *rpc = (rpc_backend *)base;
    struct publication *publication;
    cel__buf body = {0};
    cel_message message;
    struct call *call;
    cel_code code;

    if (record->reply_to.len == 0) { /* nobody wants it */
        call = new_call(run_done, user, err);
        if (!call)
            return CEL_ENOMEM;
        call->done = cb;
        defer(rpc, call);
        return CEL_OK;
    }
    publication = cel__calloc(1, sizeof *publication);
    if (!publication)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a result");
    *publication = (struct publication){rpc, cb, user};
    message = message_to(rpc, record->reply_to);
    message.correlation_id =
        record->correlation_id.len > 0 ? record->correlation_id : record->task_id;
    code = cel__encode(&body, rpc->coding->serializer, rpc->coding, record->document, err);
    message.body = cel__buf_view(&body);
    if (code == CEL_OK)
        code =
            rpc->broker->ops->publish(rpc->broker, &message, 1, on_published, publication, err);
    cel__buf_done(&body);
    if (code == CEL_OK)
        rpc->pending++;
    else
        cel__free(publication);
    return code;
}

/* ---- the client's side ---- */

static cel_code
fetch(cel_backend *base,
      const cel_view *task_ids,
      size_t count,
      void (*cb)(void *user, cel_view task_id, cel_view document, const cel_error *err),
      void *user,
      cel_error *err)
{
    rpc_backend *rpc = (rpc_backend *)base;
    struct call *call = new_call(NULL, user, err);

    if (call)
        call->ids = cel__calloc(count + 1, sizeof *call->ids);
    for (; call && call->ids && call->count < count; call->count++) {
        call->ids[call->count] =
            cel__memdup(task_ids[call->count].ptr, task_ids[call->count].len);
        if (!call->ids[call->count])
            break;
    }
    if (!call || !call->ids || call->count < count) {
        if (call)
            free_call(call);
        return cel_error_set(err, CEL_ENOMEM, "no memory to read results");
    }
    call->fetched = cb;
    defer(rpc, call);
    return CEL_OK;
}

static cel_code forget(cel_backend *base,
                       const cel_view *task_ids,
                       size_t count,
                       cel_backend_cb cb,
                       void *user,
                       cel_error *err)
{
    rpc_backend *rpc = (rpc_backend *)base;
    struct call *call = new_call(run_done, user, err);

    if (!call)
        return CEL_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = find_slot(rpc, task_ids[i], false);

        if (slot && slot->interests && slot->document) {
            DL_DELETE(rpc->kept, slot);
            rpc->kept_count--;
            cel__free(slot->document);
            slot->document = NULL;
            slot->ready = false;
        } else if (slot && !slot->interests) {
            free_slot(rpc, slot);
        }
    }
    call->done = cb;
    defer(rpc, call);
    return CEL_OK;
}

static cel_code no_groups(cel_error *err)
{
    return cel_error_set(err, CEL_ENOTSUP,
                         "rpc:// stores nothing: no chords, and no groups by their id");
}

static cel_code watch(cel_watch **out,
                      cel_backend *base,
                      const cel_view *ids,
                      size_t count,
                      bool group,
                      void (*changed)(void *user),
                      void *user,
                      cel_error *err)
{
    rpc_backend *rpc = (rpc_backend *)base;
    struct cel_watch *made;

    if (group)
        return no_groups(err);
    made = cel__calloc(1, sizeof *made);
    if (made)
        made->interests = cel__calloc(count + 1, sizeof *made->interests);
    if (!made || !made->interests) {
        cel__free(made);
        return cel_error_set(err, CEL_ENOMEM, "no memory to wait for results");
    }
    made->rpc = rpc;
    made->changed = changed;
    made->user = user;
    DL_APPEND(rpc->watches, made);
    for (; made->count < count; made->count++) {
        struct interest *interest = &made->interests[made->count];

        interest->watch = made;
        interest->slot = find_slot(rpc, ids[made->count], true);
        if (!interest->slot) {
            rpc->base.ops->unwatch(made);
            return cel_error_set(err, CEL_ENOMEM, "no memory to wait for results");
        }
        DL_APPEND(interest->slot->interests, interest);
    }
    *out = made;
    return CEL_OK;
}

static void unwatch(cel_watch *watch)
{
    if (!watch)
        return;
    detach(watch);
    cel__free(watch->interests);
    cel__free(watch);
}

/* ---- what cannot be had ---- */

static cel_code
group_count(cel_backend *base,
            cel_view gid,
            void (*cb)(void *user, int64_t ready, int64_t succeeded, const cel_error *err),
            void *user,
            cel_error *err)
{
    (void)base, (void)gid, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code group_save(cel_backend *base,
                           cel_view gid,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    (void)base, (void)gid, (void)document, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code group_fetch(cel_backend *base,
                            cel_view gid,
                            void (*cb)(void *user, cel_view document, const cel_error *err),
                            void *user,
                            cel_error *err)
{
    (void)base, (void)gid, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code chord_open(cel_backend *base,
                           cel_view gid,
                           int64_t size,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    (void)base, (void)gid, (void)size, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code chord_grow(cel_backend *base,
                           cel_view gid,
                           int64_t count,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    (void)base, (void)gid, (void)count, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code chord_part(
    cel_backend *base, const cel_chord_part *part, cel_chord_cb cb, void *user, cel_error *err)
{
    (void)base, (void)part, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code
chord_done(cel_backend *base, cel_view gid, cel_backend_cb cb, void *user, cel_error *err)
{
    (void)base, (void)gid, (void)cb, (void)user;
    return no_groups(err);
}

static cel_code
sweep(cel_backend *base, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err)
{
    struct call *call = new_call(run_swept, user, err);

    (void)older_ms;
    if (!call)
        return CEL_ENOMEM;
    call->swept = cb;
    defer((rpc_backend *)base, call);
    return CEL_OK;
}

const cel_backend_ops cel__rpc_backend_ops = {
    .schemes = "rpc",
    .counts_chords = false,
    .open = open_rpc,
    .close = close_rpc,
    .prepare = prepare,
    .store = store,
    .fetch = fetch,
    .forget = forget,
    .watch = watch,
    .unwatch = unwatch,
    .group_count = group_count,
    .group_save = group_save,
    .group_fetch = group_fetch,
    .chord_open = chord_open,
    .chord_grow = chord_grow,
    .chord_part = chord_part,
    .chord_done = chord_done,
    .sweep = sweep,
};
