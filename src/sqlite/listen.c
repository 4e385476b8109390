/* listen.c - a chained hash table of listeners, and the list of those that are due. */
#include "sqlite/listen.h"

#include "core/mem.h"

#define FIRST_BUCKETS 16

struct cel_engine_listener {
    cel__listeners *listeners;
    uint64_t hash;
    void (*woken)(void *user);
    void *user;
    bool due;
    cel_engine_listener *prev, *next;         /* in its bucket */
    cel_engine_listener *due_prev, *due_next; /* in listeners->due while due */
};

static cel__listen_list *bucket_of(cel__listen_list *buckets, size_t count, uint64_t hash)
{
    return buckets + ((hash >> 20) & (count - 1));
}

static void link_listener(cel__listen_list *list, cel_engine_listener *listener)
{
    listener->prev = list->last;
    listener->next = NULL;
    if (list->last)
        list->last->next = listener;
    else
        list->first = listener;
    list->last = listener;
}

static void unlink_listener(cel__listen_list *list, cel_engine_listener *listener)
{
    if (listener->prev)
        listener->prev->next = listener->next;
    else
        list->first = listener->next;
    if (listener->next)
        listener->next->prev = listener->prev;
    else
        list->last = listener->prev;
}

static bool grow(cel__listeners *listeners)
{
    size_t count = listeners->bucket_count ? listeners->bucket_count * 2 : FIRST_BUCKETS;
    cel__listen_list *buckets = cel__calloc(count, sizeof *buckets);

    if (!buckets)
        return false;
    for (size_t i = 0; i < listeners->bucket_count; i++) {
        while (listeners->buckets[i].first) {
            cel_engine_listener *listener = listeners->buckets[i].first;
            unlink_listener(listeners->buckets + i, listener);
            link_listener(bucket_of(buckets, count, listener->hash), listener);
        }
    }
    cel__free(listeners->buckets);
    listeners->buckets = buckets;
    listeners->bucket_count = count;
    return true;
}

cel_code cel__listeners_add(cel_engine_listener **out,
                            cel__listeners *listeners,
                            uint64_t hash,
                            void (*woken)(void *user),
                            void *user,
                            cel_error *err)
{
    cel_engine_listener *listener = cel__calloc(1, sizeof *listener);

    if (!listener || (listeners->count >= listeners->bucket_count && !grow(listeners))) {
        cel__free(listener);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a listener");
    }
    listener->listeners = listeners;
    listener->hash = hash;
    listener->woken = woken;
    listener->user = user;
    link_listener(bucket_of(listeners->buckets, listeners->bucket_count, hash), listener);
    if (listeners->count++ == 0)
        uv_ref(listeners->keep);
    cel__bell_want(listeners->bell, hash);
    *out = listener;
    return CEL_OK;
}

static void unlink_due(cel_engine_listener *listener)
{
    cel__listen_list *due = &listener->listeners->due;

    if (listener->due_prev)
        listener->due_prev->due_next = listener->due_next;
    else
        due->first = listener->due_next;
    if (listener->due_next)
        listener->due_next->due_prev = listener->due_prev;
    else
        due->last = listener->due_prev;
    listener->due = false;
}

void cel__engine_unlisten(cel_engine_listener *listener)
{
    if (!listener)
        return;
    cel__listeners *listeners = listener->listeners;
    if (listener->due)
        unlink_due(listener);
    unlink_listener(bucket_of(listeners->buckets, listeners->bucket_count, listener->hash),
                    listener);
    if (--listeners->count == 0)
        uv_unref(listeners->keep);
    cel__bell_unwant(listeners->bell, listener->hash);
    cel__free(listener);
}

static void make_due(cel_engine_listener *listener)
{
    cel__listen_list *due = &listener->listeners->due;

    if (listener->due)
        return;
    listener->due = true;
    listener->due_prev = due->last;
    listener->due_next = NULL;
    if (due->last)
        due->last->due_next = listener;
    else
        due->first = listener;
    due->last = listener;
}

void cel__listeners_mark(cel__listeners *listeners, uint64_t hash)
{
    if (listeners->count == 0)
        return;
    cel_engine_listener *listener =
        bucket_of(listeners->buckets, listeners->bucket_count, hash)->first;
    for (; listener; listener = listener->next)
        if (((listener->hash ^ hash) & CEL_BELL_MASK) == 0)
            make_due(listener);
}

void cel__listeners_mark_all(cel__listeners *listeners)
{
    for (size_t i = 0; i < listeners->bucket_count; i++)
        for (cel_engine_listener *listener = listeners->buckets[i].first; listener;
             listener = listener->next)
            make_due(listener);
}

void cel__listeners_wake(cel__listeners *listeners)
{
    while (listeners->due.first) {
        cel_engine_listener *listener = listeners->due.first;
        unlink_due(listener);
        listener->woken(listener->user);
    }
}

void cel__listeners_done(cel__listeners *listeners)
{
    cel__free(listeners->buckets);
    *listeners = (cel__listeners){0};
}
