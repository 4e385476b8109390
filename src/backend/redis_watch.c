/* redis_watch.c - who waits for which result: SUBSCRIBE.
 *
 * Each watched id is a topic, one channel of the listening connection. A watch is told when
 * all its channels are confirmed (what was stored before may have been missed), whenever one of
 * them speaks, and the same again after the connection was lost. Confirmations are counted, so
 * that the one of an earlier subscription to the same channel is not taken for the last.
 *
 * A topic also remembers that its result was looked for and not there, until it is heard of:
 * who waits for thousands need not ask for all of them each time one has come. */
#include "backend/redis_impl.h"

#define SUBSCRIBE_SLICE ((size_t)1000)

struct topic {
    char *id; /* owned, len bytes */
    size_t len;
    struct interest *interests;
    uint64_t asked; /* its number among the channels subscribed to; 0: not yet */
    uint64_t event; /* when it was heard of last */
    bool confirmed, absent;
    bool lost; /* the table had no memory */
    UT_hash_handle hh;
};

struct interest {
    cel_watch *watch;
    struct topic *topic;
    struct interest *prev, *next; /* of the topic */
};

struct cel_watch {
    redis_backend *backend; /* NULL once it is closed */
    void (*changed)(void *user);
    void *user;
    size_t count, unconfirmed;
    struct interest *interests; /* owned array of `count` */
    bool marked;                /* in the list of those to be called */
    cel_watch *prev, *next;
    cel_watch *marked_prev, *marked_next;
};

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory to watch results");
}

/* ---- topics ---- */

static struct topic *find_topic(const redis_backend *backend, cel_view id)
{
    struct topic *topic;

    HASH_FIND(hh, backend->topics, id.ptr, id.len, topic);
    return topic;
}

bool cel__redis_is_absent(const redis_backend *backend, cel_view task_id)
{
    const struct topic *topic = backend->topics ? find_topic(backend, task_id) : NULL;

    return topic && topic->confirmed && topic->absent;
}

void cel__redis_note_absent(redis_backend *backend, cel_view task_id, uint64_t events)
{
    struct topic *topic = backend->topics ? find_topic(backend, task_id) : NULL;

    if (topic && topic->confirmed && topic->event <= events)
        topic->absent = true;
}

static struct topic *need_topic(redis_backend *backend, cel_view id)
{
    struct topic *topic = find_topic(backend, id);

    if (topic)
        return topic;
    topic = cel__calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    topic->id = cel__memdup(id.ptr, id.len);
    topic->len = id.len;
    if (!topic->id)
        goto fail;
    HASH_ADD_KEYPTR(hh, backend->topics, topic->id, id.len, topic);
    if (!topic->lost)
        return topic;

fail:
    cel__free(topic->id);
    cel__free(topic);
    return NULL;
}

static void add_channel(cel__buf *command, const struct topic *topic)
{
    cel__redis_word2(command, CEL_VIEW(CEL_REDIS_TASK_KEY), (cel_view){topic->id, topic->len});
}

static void send_channels(redis_backend *backend, cel__buf *channels, size_t *count)
{
    cel__buf command = {0};

    if (*count == 0)
        return;
    cel__redis_begin(&command, 1 + *count);
    cel__redis_word(&command, CEL_VIEW("SUBSCRIBE"));
    cel__buf_add_view(&command, cel__buf_view(channels));
    cel__redis_write(backend->listener, &command);
    cel__buf_reset(channels);
    *count = 0;
}

/* Adds a topic to a SUBSCRIBE that is put together in `channels`, and sends it when full. */
static void
subscribe_one(redis_backend *backend, cel__buf *channels, size_t *count, struct topic *topic)
{
    add_channel(channels, topic);
    topic->asked = ++backend->subscribed;
    if (++*count == SUBSCRIBE_SLICE)
        send_channels(backend, channels, count);
}

static void drop_interest(redis_backend *backend, struct interest *interest)
{
    struct topic *topic = interest->topic;
    cel__buf command = {0};

    DL_DELETE(topic->interests, interest);
    if (topic->interests)
        return;
    if (topic->asked && backend->listener && !backend->closing) {
        cel__redis_begin(&command, 2);
        cel__redis_word(&command, CEL_VIEW("UNSUBSCRIBE"));
        add_channel(&command, topic);
        cel__redis_write(backend->listener, &command);
    }
    HASH_DEL(backend->topics, topic);
    cel__free(topic->id);
    cel__free(topic);
}

/* ---- calling ---- */

static void mark(cel_watch *watch)
{
    if (watch->marked)
        return;
    watch->marked = true;
    DL_APPEND2(watch->backend->marked, watch, marked_prev, marked_next);
}

static void unmark(cel_watch *watch)
{
    if (!watch->marked)
        return;
    watch->marked = false;
    DL_DELETE2(watch->backend->marked, watch, marked_prev, marked_next);
}

/* A callback may end any watch, or close the backend. */
static void call_marked(redis_backend *backend)
{
    while (backend->marked) {
        cel_watch *watch = backend->marked;

        unmark(watch);
        watch->changed(watch->user);
    }
}

static void confirm(redis_backend *backend, struct topic *topic)
{
    struct interest *interest;

    if (topic->confirmed)
        return;
    topic->confirmed = true;
    topic->event = ++backend->events;
    DL_FOREACH(topic->interests, interest)
    {
        if (interest->watch->unconfirmed > 0 && --interest->watch->unconfirmed == 0)
            mark(interest->watch);
    }
}

static void hear(redis_backend *backend, struct topic *topic)
{
    struct interest *interest;

    topic->event = ++backend->events;
    topic->absent = false;
    DL_FOREACH(topic->interests, interest)
    mark(interest->watch);
}

static void on_push(void *user, const redisReply *reply)
{
    redis_backend *backend = user;
    const size_t head = sizeof CEL_REDIS_TASK_KEY - 1;
    struct topic *topic = NULL;
    const char *kind;

    if (backend->closing || reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return;
    kind = reply->element[0]->str;
    if ((size_t)reply->element[1]->len >= head)
        topic = find_topic(backend, (cel_view){reply->element[1]->str + head,
                                               (size_t)reply->element[1]->len - head});
    if (strcmp(kind, "subscribe") == 0) {
        backend->confirmed++;
        if (topic && topic->asked && backend->confirmed >= topic->asked)
            confirm(backend, topic);
    } else if (strcmp(kind, "message") == 0 && topic) {
        hear(backend, topic);
    }
    call_marked(backend);
}

/* Nothing is known of the time without a connection. */
static void on_listening(void *user)
{
    redis_backend *backend = user;
    struct topic *topic, *next;
    cel_watch *watch;
    cel__buf channels = {0};
    size_t count = 0;

    if (backend->closing)
        return;
    backend->subscribed = backend->confirmed = 0;
    DL_FOREACH(backend->watches, watch)
    watch->unconfirmed = watch->count;
    HASH_ITER(hh, backend->topics, topic, next)
    {
        topic->confirmed = topic->absent = false;
        subscribe_one(backend, &channels, &count, topic);
    }
    send_channels(backend, &channels, &count);
    cel__buf_done(&channels);
}

/* ---- watches ---- */

static void detach(cel_watch *watch)
{
    redis_backend *backend = watch->backend;

    unmark(watch);
    for (size_t i = 0; i < watch->count; i++)
        drop_interest(backend, &watch->interests[i]);
    DL_DELETE(backend->watches, watch);
    watch->count = 0;
    watch->backend = NULL;
}

void cel__redis_end_watches(redis_backend *backend)
{
    while (backend->watches)
        detach(backend->watches);
}

void cel__redis_unwatch(cel_watch *watch)
{
    if (!watch)
        return;
    if (watch->backend)
        detach(watch);
    cel__free(watch->interests);
    cel__free(watch);
}

static cel_code need_listener(redis_backend *backend, cel_error *err)
{
    cel__redis_options options = {.url = &backend->url,
                                  .loop = backend->loop,
                                  .clock = backend->clock,
                                  .log = backend->log,
                                  .what = "the result store",
                                  .quiet = true,
                                  .on_push = on_push,
                                  .on_up = on_listening,
                                  .user = backend};

    return backend->listener ? CEL_OK : cel__redis_new(&backend->listener, &options, err);
}

static bool add_interests(cel_watch *watch, const cel_view *ids, size_t count)
{
    redis_backend *backend = watch->backend;
    bool up = cel__redis_is_up(backend->listener);
    cel__buf channels = {0};
    size_t asked = 0;
    bool whole = true;

    for (size_t i = 0; i < count && whole; i++) {
        struct topic *topic = need_topic(backend, ids[i]);

        whole = topic != NULL;
        if (!whole)
            break;
        watch->interests[i] = (struct interest){.watch = watch, .topic = topic};
        DL_APPEND(topic->interests, &watch->interests[i]);
        watch->count++;
        watch->unconfirmed += !topic->confirmed;
        if (up && !topic->asked)
            subscribe_one(backend, &channels, &asked, topic);
    }
    send_channels(backend, &channels, &asked);
    whole = whole && !channels.failed;
    cel__buf_done(&channels);
    return whole;
}

cel_code cel__redis_watch(cel_watch **out,
                          cel_backend *base,
                          const cel_view *ids,
                          size_t count,
                          bool group,
                          void (*changed)(void *user),
                          void *user,
                          cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel_code code = cel__redis_check_open(backend, err);
    cel_watch *watch;

    if (code == CEL_OK && group)
        code = cel_error_set(err, CEL_ENOTSUP,
                             "groups are not announced in Redis: watch the members");
    if (code == CEL_OK)
        code = need_listener(backend, err);
    if (code != CEL_OK)
        return code;
    watch = cel__calloc(1, sizeof *watch);
    if (!watch)
        return fail_memory(err);
    watch->interests = cel__calloc(count + 1, sizeof *watch->interests);
    if (!watch->interests) {
        cel__free(watch);
        return fail_memory(err);
    }
    watch->backend = backend;
    watch->changed = changed;
    watch->user = user;
    DL_APPEND(backend->watches, watch);
    if (!add_interests(watch, ids, count)) {
        cel__redis_unwatch(watch);
        return fail_memory(err);
    }
    *out = watch;
    return CEL_OK;
}
