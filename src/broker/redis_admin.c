/* redis_admin.c - purging and listing. All queues are those that are bound: they are found by
 * the keys of the bindings, a part of the database at a time. */
#include <stdlib.h>
#include <string.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define SCAN_COUNT 1000
#define INFO_COUNT 100

/* ---- purge ---- */

struct purge {
    cel__redis_request request;
    rq_broker *broker;
    void (*cb)(void *user, int64_t count, const cel_error *err);
    void *user;
};

static void
on_purged(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct purge *purge = (struct purge *)request;
    rq_broker *broker = purge->broker;

    if (purge->cb)
        purge->cb(purge->user, err ? 0 : reply->integer, err);
    cel__free(purge);
    cel__rq_answered(broker);
}

cel_code cel__rq_purge(cel_broker *base,
                       cel_view queue,
                       void (*cb)(void *user, int64_t count, const cel_error *err),
                       void *user,
                       cel_error *err)
{
    rq_broker *broker = (rq_broker *)base;
    cel_code code = cel__rq_check_queue(queue, err);
    cel__buf command = {0};
    struct purge *purge;

    if (code == CEL_OK && broker->closing)
        code = cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    if (code != CEL_OK)
        return code;
    purge = cel__calloc(1, sizeof *purge);
    if (!purge)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a purge");
    *purge = (struct purge){{.done = on_purged}, broker, cb, user};
    cel__rq_call(broker, &command, RQ_PURGE, 0, 6);
    cel__rq_word(&command, broker->settings.prefix);
    cel__rq_word(&command, broker->settings.unacked);
    cel__rq_word(&command, broker->settings.index);
    cel__rq_word(&command, broker->settings.sep);
    cel__rq_word(&command, broker->settings.steps_text);
    cel__redis_word(&command, queue);
    code = cel__rq_send(broker, &purge->request, &command, err);
    if (code != CEL_OK)
        cel__free(purge);
    return code;
}

/* ---- list ---- */

struct listing {
    cel__redis_request request;
    rq_broker *broker;
    void (*cb)(void *user, const cel_queue_info *info, const cel_error *err);
    void *user;
    bool all;
    char **names; /* owned, as each of them */
    size_t count, cap;
    size_t at, asked; /* of the names: told; being asked for */
    size_t pending;   /* bindings being read */
    bool scanned;
    cel_error err;
};

/* One set of bindings being read. */
struct reading {
    cel__redis_request request;
    struct listing *listing;
};

static void end_listing(struct listing *listing)
{
    rq_broker *broker = listing->broker;

    listing->cb(listing->user, NULL, listing->err.code ? &listing->err : NULL);
    for (size_t i = 0; i < listing->count; i++)
        cel__free(listing->names[i]);
    cel__free(listing->names);
    cel__free(listing);
    cel__rq_answered(broker);
}

static void fail(struct listing *listing, const cel_error *err)
{
    if (listing->err.code == CEL_OK)
        listing->err = *err;
}

static void add_name(struct listing *listing, cel_view name)
{
    cel_error err;

    if (listing->count == listing->cap) {
        size_t cap = listing->cap ? 2 * listing->cap : 16;
        char **names = cel__realloc(listing->names, cap * sizeof *names);

        if (names) {
            listing->names = names;
            listing->cap = cap;
        }
    }
    if (listing->count < listing->cap)
        listing->names[listing->count] = cel__memdup(name.ptr, name.len);
    if (listing->count < listing->cap && listing->names[listing->count]) {
        listing->count++;
        return;
    }
    cel_error_set(&err, CEL_ENOMEM, "no memory for a list of queues");
    fail(listing, &err);
}

static void ask(struct listing *listing);

static void tell(struct listing *listing, const redisReply *reply)
{
    for (size_t i = 0; 5 * i + 4 < reply->elements && i < listing->asked; i++) {
        redisReply **row = reply->element + 5 * i;
        cel_queue_info info = {.name = cel__view(listing->names[listing->at + i]),
                               .ready = row[1]->integer,
                               .delayed = row[2]->integer,
                               .unsettled = row[3]->integer,
                               .consumers = row[4]->integer};

        if (row[0]->integer)
            listing->cb(listing->user, &info, NULL);
    }
}

static void on_info(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct listing *listing = (struct listing *)request;

    if (err)
        fail(listing, err);
    else
        tell(listing, reply);
    listing->at += listing->asked;
    ask(listing);
}

/* The next names, or the end. */
static void ask(struct listing *listing)
{
    rq_broker *broker = listing->broker;
    size_t count = listing->count - listing->at;
    cel__buf command = {0};
    cel_error err;

    if (count == 0 || listing->err.code != CEL_OK) {
        end_listing(listing);
        return;
    }
    listing->asked = count < INFO_COUNT ? count : INFO_COUNT;
    cel__rq_call(broker, &command, RQ_INFO, 0, 4 + listing->asked);
    cel__rq_word(&command, broker->settings.prefix);
    cel__rq_word(&command, broker->settings.unacked);
    cel__rq_word(&command, broker->settings.sep);
    cel__rq_word(&command, broker->settings.steps_text);
    for (size_t i = 0; i < listing->asked; i++)
        cel__rq_word(&command, listing->names[listing->at + i]);
    listing->request.done = on_info;
    if (cel__redis_send(broker->commands, &listing->request, &command, &err) == CEL_OK)
        return;
    fail(listing, &err);
    end_listing(listing);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void end_scan(struct listing *listing)
{
    size_t kept = 0;

    if (!listing->scanned || listing->pending > 0)
        return;
    if (listing->count > 0)
        qsort(listing->names, listing->count, sizeof *listing->names, by_name);
    for (size_t i = 0; i < listing->count; i++) {
        if (kept > 0 && strcmp(listing->names[kept - 1], listing->names[i]) == 0)
            cel__free(listing->names[i]);
        else
            listing->names[kept++] = listing->names[i];
    }
    listing->count = kept;
    ask(listing);
}

/* The members of a set of bindings: the queue is behind the second separator. */
static void
on_members(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct listing *listing = ((struct reading *)request)->listing;
    const char *sep = listing->broker->settings.sep;

    cel__free(request);
    if (err && err->code != CEL_EPROTO)
        fail(listing, err);
    for (size_t i = 0; !err && i < reply->elements; i++) {
        const char *name = reply->element[i]->str;

        for (int field = 0; field < 2 && name; field++) {
            name = strstr(name, sep);
            name = name ? name + strlen(sep) : NULL;
        }
        if (name && *name)
            add_name(listing, cel__view(name));
    }
    listing->pending--;
    end_scan(listing);
}

static void read_binding(struct listing *listing, const redisReply *key)
{
    struct reading *reading = cel__calloc(1, sizeof *reading);
    cel__buf command = {0};
    cel_error err;

    cel__redis_begin(&command, 2);
    cel__redis_word(&command, CEL_VIEW("SMEMBERS"));
    cel__redis_word(&command, (cel_view){key->str, (size_t)key->len});
    if (reading) {
        *reading = (struct reading){{.done = on_members}, listing};
        if (cel__redis_send(listing->broker->commands, &reading->request, &command, &err) ==
            CEL_OK) {
            listing->pending++;
            return;
        }
        cel__free(reading);
    } else {
        cel__buf_done(&command);
        cel_error_set(&err, CEL_ENOMEM, "no memory for a list of queues");
    }
    fail(listing, &err);
}

static cel_code scan(struct listing *listing, const char *cursor, cel_error *err);

static void
on_scanned(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct listing *listing = (struct listing *)request;
    bool good = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[1]->type == REDIS_REPLY_ARRAY;
    cel_error own;

    listing->scanned = true;
    if (err)
        fail(listing, err);
    for (size_t i = 0; good && i < reply->element[1]->elements; i++)
        read_binding(listing, reply->element[1]->element[i]);
    if (good && strcmp(reply->element[0]->str, "0") != 0 && listing->err.code == CEL_OK) {
        listing->scanned = false;
        if (scan(listing, reply->element[0]->str, &own) == CEL_OK)
            return;
        listing->scanned = true;
        fail(listing, &own);
    }
    end_scan(listing);
}

static cel_code scan(struct listing *listing, const char *cursor, cel_error *err)
{
    cel__buf command = {0}, pattern = {0};

    for (const char *at = listing->broker->settings.prefix; *at; at++) {
        if (strchr("*?[]\\", *at))
            cel__buf_add_byte(&pattern, '\\');
        cel__buf_add_byte(&pattern, *at);
    }
    cel__buf_add_str(&pattern, "_kombu.binding.*");
    cel__redis_begin(&command, 6);
    cel__redis_word(&command, CEL_VIEW("SCAN"));
    cel__rq_word(&command, cursor);
    cel__redis_word(&command, CEL_VIEW("MATCH"));
    cel__redis_word(&command, cel__buf_view(&pattern));
    cel__redis_word(&command, CEL_VIEW("COUNT"));
    cel__redis_int(&command, SCAN_COUNT);
    cel__buf_done(&pattern);
    listing->request.done = on_scanned;
    return cel__redis_send(listing->broker->commands, &listing->request, &command, err);
}

static cel_code start_one(struct listing *listing, cel_view queue, cel_error *err)
{
    rq_broker *broker = listing->broker;
    cel__buf command = {0};

    add_name(listing, queue);
    if (listing->count == 0)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a list of queues");
    listing->asked = 1;
    cel__rq_call(broker, &command, RQ_INFO, 0, 5);
    cel__rq_word(&command, broker->settings.prefix);
    cel__rq_word(&command, broker->settings.unacked);
    cel__rq_word(&command, broker->settings.sep);
    cel__rq_word(&command, broker->settings.steps_text);
    cel__redis_word(&command, queue);
    listing->request.done = on_info;
    return cel__redis_send(broker->commands, &listing->request, &command, err);
}

cel_code
cel__rq_queues(cel_broker *base,
               cel_view queue,
               void (*cb)(void *user, const cel_queue_info *info, const cel_error *err),
               void *user,
               cel_error *err)
{
    rq_broker *broker = (rq_broker *)base;
    cel_code code = queue.ptr ? cel__rq_check_queue(queue, err) : CEL_OK;
    struct listing *listing;

    if (code == CEL_OK && broker->closing)
        code = cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    if (code != CEL_OK)
        return code;
    listing = cel__calloc(1, sizeof *listing);
    if (!listing)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a list of queues");
    listing->broker = broker;
    listing->cb = cb;
    listing->user = user;
    code = queue.ptr ? start_one(listing, queue, err) : scan(listing, "0", err);
    if (code == CEL_OK) {
        broker->pending++;
        return CEL_OK;
    }
    for (size_t i = 0; i < listing->count; i++)
        cel__free(listing->names[i]);
    cel__free(listing->names);
    cel__free(listing);
    return code;
}
