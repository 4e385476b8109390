/* ticks_memory.c - memory://name: records as long as the process lives, for all beats in it. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <uthash.h>

#include "backend/ticks.h"
#include "core/mem.h"

struct held {
    char *key; /* owned: the URL, a NUL, the entry */
    cel_tick_record record;
    UT_hash_handle hh;
};

/* A callback that waits for its turn. */
struct turn {
    cel_ticks_cb cb;
    void *user;
    struct turn *next;
    cel_tick_reply replies[];
};

struct memory_ticks {
    cel_ticks base;
    char *url; /* owned */
    char owner[64];
    int64_t lease_ms;
    const cel_clock *clock;
    uv_async_t async;
    struct turn *first, **last;
    void (*closed)(void *user);
    void *closed_user;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct held *records;
static size_t users; /* who has opened any; guarded by lock, as records */

static struct held *find_or_make(const char *url, cel_view entry, bool *present)
{
    size_t head = strlen(url) + 1, len = head + entry.len;
    char *key = cel__malloc(len + 1);
    struct held *held = NULL;

    if (!key)
        return NULL;
    memcpy(key, url, head);
    memcpy(key + head, entry.ptr, entry.len);
    HASH_FIND(hh, records, key, len, held);
    *present = held != NULL;
    if (!held)
        held = cel__calloc(1, sizeof *held);
    if (!held || *present) {
        cel__free(key);
        return held;
    }
    held->key = key;
    HASH_ADD_KEYPTR(hh, records, held->key, len, held);
    return held;
}

static void on_async(uv_async_t *async)
{
    struct memory_ticks *ticks = async->data;

    while (ticks->first) {
        struct turn *turn = ticks->first;

        ticks->first = turn->next;
        if (!ticks->first)
            ticks->last = &ticks->first;
        turn->cb(turn->user, turn->replies, NULL);
        cel__free(turn);
    }
}

static cel_code submit_memory(cel_ticks *base,
                              const cel_tick *list,
                              size_t count,
                              cel_ticks_cb cb,
                              void *user,
                              cel_error *err)
{
    struct memory_ticks *ticks = (struct memory_ticks *)base;
    struct turn *turn = cel__malloc(sizeof *turn + count * sizeof *turn->replies);
    int64_t now_ms = cel__clock_wall_ms(ticks->clock);
    bool failed = !turn;

    assert(count <= CEL_TICKS_MAX);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count && !failed; i++) {
        bool present = false;
        struct held *held = find_or_make(ticks->url, list[i].entry, &present);

        failed = !held;
        if (held)
            turn->replies[i] = cel__tick_apply(&held->record, present, &list[i], ticks->owner,
                                               now_ms, ticks->lease_ms);
    }
    pthread_mutex_unlock(&lock);
    if (failed) {
        cel__free(turn);
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    }
    turn->cb = cb;
    turn->user = user;
    turn->next = NULL;
    *ticks->last = turn;
    ticks->last = &turn->next;
    uv_async_send(&ticks->async);
    return CEL_OK;
}

static cel_code open_memory(cel_ticks **out, const cel_ticks_options *options, cel_error *err)
{
    struct memory_ticks *ticks = cel__calloc(1, sizeof *ticks);

    if (ticks)
        ticks->url = cel__strdup(options->url);
    if (!ticks || !ticks->url) {
        cel__free(ticks);
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's records");
    }
    if (uv_async_init(options->loop, &ticks->async, on_async) != 0) {
        cel__free(ticks->url);
        cel__free(ticks);
        return cel_error_set(err, CEL_EIO, "no descriptor for beat's records");
    }
    ticks->base.ops = &cel__memory_ticks_ops;
    ticks->async.data = ticks;
    ticks->clock = options->clock;
    ticks->lease_ms = options->lease_ms;
    ticks->last = &ticks->first;
    snprintf(ticks->owner, sizeof ticks->owner, "%.*s", CEL_VIEW_ARG(options->owner));
    pthread_mutex_lock(&lock);
    users++;
    pthread_mutex_unlock(&lock);
    *out = &ticks->base;
    return CEL_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct memory_ticks *ticks = handle->data;
    struct held *held, *next;

    on_async(&ticks->async);
    pthread_mutex_lock(&lock);
    if (--users == 0) {
        HASH_ITER(hh, records, held, next)
        {
            HASH_DEL(records, held);
            cel__free(held->key);
            cel__free(held);
        }
    }
    pthread_mutex_unlock(&lock);
    if (ticks->closed)
        ticks->closed(ticks->closed_user);
    cel__free(ticks->url);
    cel__free(ticks);
}

static void close_memory(cel_ticks *base, void (*closed)(void *user), void *user)
{
    struct memory_ticks *ticks = (struct memory_ticks *)base;

    ticks->closed = closed;
    ticks->closed_user = user;
    uv_close((uv_handle_t *)&ticks->async, on_closed);
}

const cel_ticks_ops cel__memory_ticks_ops = {
    .schemes = "memory",
    .open = open_memory,
    .close = close_memory,
    .submit = submit_memory,
};
