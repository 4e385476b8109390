/* sqlite.c - the SQLite broker, the loop's side. The transactions are in sqlite_db.c.
 *
 * A consumer has at most one claim under way. It listens for its queues while its window has
 * room, and claims again only if woken, due, or if the last claim was filled: an idle one reads
 * nothing, a full one is not even poked. A claim submitted in the same turn as acknowledgements
 * is in their transaction and asks for as much as they have freed.
 *
 * A delivery is in broker->deliveries from on_delivery until its settlement is confirmed. One
 * that could not be settled (disk full) is the holder's again, or, without a callback, put back
 * by the retry timer. */
#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include <utlist.h>

#include "broker/sqlite_impl.h"
#include "core/mem.h"

#define MAX_QUEUE_NAME  255
#define SPARE_PUBLISHES 16
#define SPARE_BYTES     ((size_t)256 << 10)
#define BACKOFF_MIN_MS  50
#define BACKOFF_MAX_MS  5000
#define LOOK_MS         2000  /* between two looks for messages put in by hand */
#define MAX_TIMER_MS    60000 /* the wall clock may be set: look again after a minute */

static void pump(sqlite_consumer *consumer);
static void check_closed(sqlite_broker *broker);
static void settle(sqlite_delivery *delivery, settle_kind kind, cel_broker_cb cb, void *user);

static sqlite_broker *broker_of(cel_broker *broker)
{
    return (sqlite_broker *)broker;
}

static void submit(sqlite_broker *broker, sqlite_op *op)
{
    op->broker = broker;
    broker->pending++;
    cel__engine_submit(broker->engine, &op->op);
}

static const cel_error *error_of(const cel_engine_op *op)
{
    return op->err.code == CEL_OK ? NULL : &op->err;
}

/* ---- publish ---- */

static void free_publish(publish_op *publish)
{
    cel__buf_done(&publish->bytes);
    cel__free(publish->entries);
    cel__free(publish);
}

static publish_op *get_publish(sqlite_broker *broker, size_t count)
{
    publish_op *publish = broker->spare;

    if (publish) {
        broker->spare = publish->next_spare;
        broker->spare_count--;
    } else {
        publish = cel__calloc(1, sizeof *publish);
        if (!publish)
            return NULL;
        publish->bytes.max = SIZE_MAX / 2;
    }
    if (publish->cap < count) {
        publish_entry *entries = cel__realloc(publish->entries, count * sizeof *entries);
        if (!entries) {
            free_publish(publish);
            return NULL;
        }
        publish->entries = entries;
        publish->cap = count;
    }
    publish->count = 0;
    publish->existing = publish->cast = publish->heard = false;
    cel__buf_reset(&publish->bytes);
    return publish;
}

static void put_publish(sqlite_broker *broker, publish_op *publish)
{
    if (broker->spare_count >= SPARE_PUBLISHES || publish->bytes.cap > SPARE_BYTES ||
        publish->cap > 1024) {
        free_publish(publish);
        return;
    }
    publish->next_spare = broker->spare;
    broker->spare = publish;
    broker->spare_count++;
}

static publish_text add_text(publish_op *publish, cel_view text)
{
    publish_text added = {text.ptr ? publish->bytes.len : SIZE_MAX, text.len};

    cel__buf_add_view(&publish->bytes, text);
    return added;
}

static cel_code check_queue(cel_view name, cel_error *err)
{
    if (!name.ptr || name.len == 0)
        return cel_error_set(err, CEL_EINVAL,
                             "a message without a routing key has no queue to go to");
    if (name.len > MAX_QUEUE_NAME || memchr(name.ptr, '\0', name.len))
        return cel_error_set(err, CEL_EINVAL,
                             "queue '%.40s': the name is longer than %d bytes or holds a NUL",
                             name.ptr, MAX_QUEUE_NAME);
    return CEL_OK;
}

static bool is_utf8(const cel_message *message)
{
    cel_view encoding = message->content_encoding;

    return (encoding.len == 5 && strncasecmp(encoding.ptr, "utf-8", 5) == 0) ||
           (encoding.len == 8 && strncasecmp(encoding.ptr, "us-ascii", 8) == 0);
}

static cel_code add_message(publish_op *publish, const cel_message *message, cel_error *err)
{
    publish_entry *entry = publish->entries + publish->count;
    bool cast = message->kind != CEL_EXCHANGE_NONE;
    cel_code code = cast ? CEL_OK : check_queue(message->routing_key, err);

    if (code != CEL_OK)
        return code;
    publish->cast |= cast;
    entry->exchange = cast ? add_text(publish, message->exchange) : (publish_text){SIZE_MAX, 0};
    /* Runs of messages for one queue share its name. */
    if (publish->count > 0 &&
        cel__view_eq(message->routing_key,
                     (cel_view){publish->bytes.ptr + entry[-1].queue.at, entry[-1].queue.len}))
        entry->queue = entry[-1].queue;
    else
        entry->queue = add_text(publish, message->routing_key);
    size_t before = publish->bytes.len;
    entry->task = add_text(publish, message->task);
    entry->properties.at = publish->bytes.len;
    cel__message_dump_properties(&publish->bytes, message);
    entry->properties.len = publish->bytes.len - entry->properties.at;
    entry->headers = add_text(publish, message->headers);
    entry->body = add_text(publish, message->body);
    if (publish->bytes.len - before > CEL_SQLITE_MAX_MESSAGE)
        return cel_error_set(err, CEL_EINVAL,
                             "a message of %zu bytes is larger than the broker takes (%zu)",
                             publish->bytes.len - before, CEL_SQLITE_MAX_MESSAGE);
    entry->text = is_utf8(message);
    entry->priority = message->priority < 0     ? 0
                      : message->priority > 255 ? 255
                                                : message->priority;
    entry->eta_ms = message->eta_ms;
    entry->existing = message->existing;
    publish->existing |= message->existing;
    publish->count++;
    return CEL_OK;
}

/* Somebody listens: now it is written. */
static void write_cast(publish_op *publish)
{
    publish->heard = false;
    publish->base.op.run = cel__sqlite_cast_run;
    publish->base.op.read_only = false;
    cel__engine_submit(publish->base.broker->engine, &publish->base.op);
}

static void publish_done(cel_engine_op *op)
{
    publish_op *publish = (publish_op *)op;
    sqlite_broker *broker = publish->base.broker;

    if (publish->heard && op->err.code == CEL_OK) {
        write_cast(publish);
        return;
    }
    cel_error err = op->err;
    cel_broker_cb cb = publish->base.cb;
    void *user = publish->base.user;

    put_publish(broker, publish);
    if (cb)
        cb(user, err.code, err.code == CEL_OK ? NULL : &err);
    broker->pending--;
    check_closed(broker);
}

static cel_code sqlite_publish(cel_broker *base,
                               const cel_message *messages,
                               size_t count,
                               cel_broker_cb cb,
                               void *user,
                               cel_error *err)
{
    sqlite_broker *broker = broker_of(base);
    publish_op *publish;
    cel_code code = CEL_OK;

    if (broker->closing)
        return cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    publish = get_publish(broker, count);
    if (!publish)
        return cel_error_set(err, CEL_ENOMEM, "no memory for %zu messages", count);
    for (size_t i = 0; i < count && code == CEL_OK; i++)
        code = add_message(publish, messages + i, err);
    if (code == CEL_OK)
        code = cel__buf_check(&publish->bytes, err);
    if (code != CEL_OK) {
        put_publish(broker, publish);
        return code;
    }
    publish->base.op.run = publish->cast ? cel__sqlite_cast_look_run : cel__sqlite_publish_run;
    publish->base.op.done = publish_done;
    publish->base.op.sync = !publish->cast;
    publish->base.op.read_only = publish->cast;
    publish->base.cb = cb;
    publish->base.user = user;
    submit(broker, &publish->base);
    return CEL_OK;
}

/* ---- settling ---- */

static void free_delivery(sqlite_delivery *delivery)
{
    DL_DELETE(delivery->settle.broker->deliveries, delivery);
    cel__sqlite_delivery_free(delivery);
}

static void retry_returns(uv_timer_t *timer)
{
    sqlite_broker *broker = timer->data;
    sqlite_delivery *list = broker->to_return;

    broker->to_return = NULL;
    while (list) {
        sqlite_delivery *delivery = list;
        list = delivery->next_return;
        delivery->waits = false;
        submit(broker, &delivery->settle);
    }
}

/* Nobody waits for it: it goes back when the disk has room again, or by the close. */
static void return_later(sqlite_delivery *delivery)
{
    sqlite_broker *broker = delivery->settle.broker;

    if (broker->closing) {
        free_delivery(delivery);
        return;
    }
    if (delivery->kind == SETTLE_ACK)
        delivery->kind = SETTLE_RETURN;
    delivery->waits = true;
    delivery->next_return = broker->to_return;
    broker->to_return = delivery;
    if (!uv_is_active((uv_handle_t *)&broker->retry))
        uv_timer_start(&broker->retry, retry_returns, 500, 0);
}

static void give_back_to_holder(sqlite_delivery *delivery)
{
    delivery->settled = false;
    if (delivery->consumer)
        delivery->consumer->out++;
    delivery->settle.cb(delivery->settle.user, delivery->settle.op.err.code,
                        &delivery->settle.op.err);
}

static void settle_done(cel_engine_op *op)
{
    sqlite_delivery *delivery =
        (sqlite_delivery *)((char *)op - offsetof(sqlite_delivery, settle));
    sqlite_broker *broker = delivery->settle.broker;
    cel_code code = op->err.code;

    if (code == CEL_OK || code == CEL_ESTALE) {
        cel__ledger_clear(delivery->ledger, delivery->cell);
        delivery->cell = CEL_LEDGER_NONE;
        if (delivery->settle.cb)
            delivery->settle.cb(delivery->settle.user, code, error_of(op));
        free_delivery(delivery);
    } else if (delivery->settle.cb && !delivery->nobodys && !broker->closing) {
        give_back_to_holder(delivery);
    } else {
        if (delivery->settle.cb)
            delivery->settle.cb(delivery->settle.user, CEL_ECANCELED, &op->err);
        delivery->settle.cb = NULL;
        return_later(delivery);
    }
    broker->pending--;
    check_closed(broker);
}

static void settle(sqlite_delivery *delivery, settle_kind kind, cel_broker_cb cb, void *user)
{
    sqlite_consumer *consumer = delivery->consumer;

    assert(!delivery->settled);
    delivery->settled = true;
    delivery->kind = kind;
    delivery->settle.op.run = cel__sqlite_settle_run;
    delivery->settle.op.done = settle_done;
    delivery->settle.cb = cb;
    delivery->settle.user = user;
    if (kind == SETTLE_REQUEUE || kind == SETTLE_RELEASE) {
        /* Before the commit: the claim that follows must find no old mark if this process dies.
         */
        cel__ledger_clear(delivery->ledger, delivery->cell);
        delivery->cell = CEL_LEDGER_NONE;
    }
    submit(delivery->settle.broker, &delivery->settle);
    if (consumer) {
        assert(consumer->out > 0);
        consumer->out--;
        pump(consumer);
    }
}

static cel_code sqlite_accept(cel_delivery *base, cel_error *err)
{
    sqlite_delivery *delivery = (sqlite_delivery *)base;

    assert(!delivery->settled);
    if (delivery->cell != CEL_LEDGER_NONE)
        return CEL_OK;
    return cel__ledger_note(delivery->ledger, delivery->id, &delivery->cell, err);
}

static void sqlite_ack(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((sqlite_delivery *)base, SETTLE_ACK, cb, user);
}

static void sqlite_reject(cel_delivery *base, bool requeue, cel_broker_cb cb, void *user)
{
    settle((sqlite_delivery *)base, requeue ? SETTLE_REQUEUE : SETTLE_ACK, cb, user);
}

static void sqlite_release(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((sqlite_delivery *)base, SETTLE_RELEASE, cb, user);
}

/* ---- consuming ---- */

static void woken(void *user)
{
    sqlite_consumer *consumer = user;

    consumer->again = true;
    consumer->empty = false;
    pump(consumer);
}

static void on_timer(uv_timer_t *timer)
{
    woken(timer->data);
}

static void unlisten(sqlite_consumer *consumer)
{
    for (size_t i = 0; i < consumer->options.queue_count; i++) {
        cel__engine_unlisten(consumer->queues[i].listener);
        consumer->queues[i].listener = NULL;
    }
    consumer->listening = false;
    consumer->empty = false;
}

static void listen_all(sqlite_consumer *consumer)
{
    consumer->listening = true;
    for (size_t i = 0; i < consumer->options.queue_count && consumer->listening; i++) {
        consumer_queue *queue = consumer->queues + i;
        if (cel__engine_listen(&queue->listener, consumer->broker->engine, CEL_EVENT_QUEUE,
                               queue->hash, woken, consumer, NULL) != CEL_OK)
            unlisten(consumer); /* no memory: the next pump tries again */
    }
}

static void finish_cancel(sqlite_consumer *consumer);

static void on_given_back(void *user, cel_code code, const cel_error *err)
{
    sqlite_consumer *consumer = user;

    (void)code, (void)err;
    consumer->returning--;
    finish_cancel(consumer);
}

/* What was claimed for a consumer that wants it no more. */
static void give_back(sqlite_consumer *consumer, sqlite_delivery *delivery)
{
    delivery->consumer = NULL;
    consumer->returning++;
    settle(delivery, SETTLE_RELEASE, on_given_back, consumer);
    delivery->nobodys = true;
}

static void hand_out(sqlite_consumer *consumer, sqlite_delivery *list)
{
    sqlite_broker *broker = consumer->broker;

    while (list) {
        sqlite_delivery *delivery = list;
        list = delivery->next;
        DL_APPEND(broker->deliveries, delivery);
        if (consumer->cancelled || consumer->options.window == 0) {
            give_back(consumer, delivery);
            continue;
        }
        consumer->out++;
        consumer->options.on_delivery(consumer->options.user, &delivery->base);
    }
}

static int64_t until_due(const sqlite_consumer *consumer, int64_t due_ms)
{
    int64_t left_ms = due_ms - cel__clock_wall_ms(consumer->broker->clock);

    return left_ms < 1 ? 1 : left_ms > MAX_TIMER_MS ? MAX_TIMER_MS : left_ms;
}

static void claim_failed(sqlite_consumer *consumer, const cel_error *err)
{
    bool begins = !consumer->outage;

    consumer->outage = true;
    consumer->backoff_ms = consumer->backoff_ms ? consumer->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (consumer->backoff_ms > BACKOFF_MAX_MS)
        consumer->backoff_ms = BACKOFF_MAX_MS;
    if (consumer->cancelled)
        return;
    uv_timer_start(&consumer->timer, on_timer, (uint64_t)consumer->backoff_ms, 0);
    consumer->empty = true; /* until the timer */
    if (begins && consumer->options.on_state)
        consumer->options.on_state(consumer->options.user, err->code, err);
}

static void claim_succeeded(sqlite_consumer *consumer)
{
    claim_op *claim = &consumer->claim;
    sqlite_delivery *list = claim->first;
    bool looked = claim->adopt && claim->got == 0;
    bool filled = claim->got >= claim->want || claim->more || (claim->adopt && !looked);
    bool outage = consumer->outage;

    claim->registered = claim->owner;
    if (looked)
        consumer->adopted_mono_ms = cel__clock_mono_ms(cel__clock_system());
    claim->adopted_to = claim->adopt_next;
    claim->first = NULL;
    claim->end = &claim->first;
    claim->got = 0;
    consumer->outage = false;
    consumer->backoff_ms = 0;
    consumer->empty = !filled && !consumer->again && consumer->listening;
    if (claim->next_due_ms && !consumer->cancelled)
        uv_timer_start(&consumer->timer, on_timer,
                       (uint64_t)until_due(consumer, claim->next_due_ms), 0);
    if (outage && !consumer->cancelled && consumer->options.on_state)
        consumer->options.on_state(consumer->options.user, CEL_OK, NULL);
    hand_out(consumer, list);
}

static void claim_done(cel_engine_op *op)
{
    claim_op *claim = (claim_op *)op;
    sqlite_consumer *consumer = claim->consumer;
    sqlite_broker *broker = consumer->broker;

    consumer->claiming = false;
    broker->pending++; /* the callbacks may close the broker: it waits for us */
    if (op->err.code != CEL_OK) {
        cel__sqlite_claim_reset(claim);
        claim_failed(consumer, &op->err);
    } else {
        claim_succeeded(consumer);
    }
    pump(consumer);
    broker->pending -= 2;
    check_closed(broker);
}

/* Brings listening and claiming up to date with the window. */
static void pump(sqlite_consumer *consumer)
{
    claim_op *claim = &consumer->claim;
    size_t window = consumer->options.window;
    size_t room = window > consumer->out ? window - consumer->out : 0;

    if (consumer->cancelled)
        return;
    if (consumer->claiming) {
        if (!claim->base.op.handed)
            claim->want = room;
        return;
    }
    if (room == 0) {
        if (consumer->listening)
            unlisten(consumer);
        return;
    }
    if (!consumer->listening)
        listen_all(consumer); /* first listen, then read */
    if (consumer->empty)
        return;
    int64_t now_ms = cel__clock_mono_ms(cel__clock_system());
    claim->adopt = now_ms - consumer->adopted_mono_ms >= LOOK_MS;
    claim->want = room;
    consumer->claiming = true;
    consumer->again = false;
    submit(consumer->broker, &claim->base);
}

static void free_consumer(sqlite_consumer *consumer)
{
    for (size_t i = 0; consumer->queues && i < consumer->options.queue_count; i++)
        cel__free(consumer->queues[i].name);
    cel__free(consumer->queues);
    cel__free(consumer);
}

static cel_code
copy_queues(sqlite_consumer *consumer, const cel_consumer_options *options, cel_error *err)
{
    consumer->queues = cel__calloc(options->queue_count, sizeof *consumer->queues);
    if (!consumer->queues)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    for (size_t i = 0; i < options->queue_count; i++) {
        consumer_queue *queue = consumer->queues + i;
        cel_view name = options->queues[i];
        cel_code code = check_queue(name, err);
        if (code != CEL_OK)
            return code;
        queue->name = cel__memdup(name.ptr, name.len);
        if (!queue->name)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
        queue->len = name.len;
        queue->hash = cel__engine_hash(name.ptr, name.len);
    }
    return CEL_OK;
}

static cel_code sqlite_consume(cel_consumer **out,
                               cel_broker *base,
                               const cel_consumer_options *options,
                               cel_error *err)
{
    sqlite_broker *broker = broker_of(base);
    sqlite_consumer *consumer;

    if (options->queue_count == 0 || broker->closing)
        return cel_error_set(err, CEL_EINVAL,
                             broker->closing ? "the broker is closing"
                                             : "a consumer needs a queue");
    consumer = cel__calloc(1, sizeof *consumer);
    if (!consumer)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    consumer->broker = broker;
    consumer->options = *options;
    cel_code code = copy_queues(consumer, options, err);
    if (code != CEL_OK) {
        free_consumer(consumer);
        return code;
    }
    consumer->adopted_mono_ms = cel__clock_mono_ms(cel__clock_system()) - LOOK_MS;
    consumer->claim.base.op.run = cel__sqlite_claim_run;
    consumer->claim.base.op.done = claim_done;
    consumer->claim.consumer = consumer;
    consumer->claim.end = &consumer->claim.first;
    uv_timer_init(broker->loop, &consumer->timer);
    consumer->timer.data = consumer;
    DL_APPEND(broker->consumers, consumer);
    /* Even with no window: the claim declares the queues and lists the consumer. */
    consumer->claiming = true;
    consumer->claim.want = options->window;
    consumer->claim.adopt = true;
    if (options->window > 0)
        listen_all(consumer);
    submit(broker, &consumer->claim.base);
    *out = (cel_consumer *)consumer;
    return CEL_OK;
}

static void sqlite_set_window(cel_consumer *base, size_t window)
{
    sqlite_consumer *consumer = (sqlite_consumer *)base;

    consumer->options.window = window;
    pump(consumer);
}

/* ---- canceling ---- */

static void finish_cancel(sqlite_consumer *consumer)
{
    sqlite_broker *broker = consumer->broker;
    void (*done)(void *user) = consumer->canceled;
    void *user = consumer->canceled_user;

    if (!consumer->unlisted || !consumer->timer_closed || consumer->returning > 0)
        return;
    DL_DELETE(broker->consumers, consumer);
    free_consumer(consumer);
    broker->pending++;
    if (done)
        done(user);
    broker->pending--;
    check_closed(broker);
}

static void timer_closed(uv_handle_t *handle)
{
    sqlite_consumer *consumer = handle->data;

    consumer->timer_closed = true;
    finish_cancel(consumer);
}

static void cancel_done(cel_engine_op *op)
{
    sqlite_consumer *consumer =
        (sqlite_consumer *)((char *)op - offsetof(sqlite_consumer, cancel));
    sqlite_broker *broker = consumer->broker;

    consumer->unlisted = true;
    finish_cancel(consumer);
    broker->pending--;
    check_closed(broker);
}

static void sqlite_cancel(cel_consumer *base, void (*done)(void *user), void *user)
{
    sqlite_consumer *consumer = (sqlite_consumer *)base;
    sqlite_broker *broker = consumer->broker;
    sqlite_delivery *delivery;

    assert(!consumer->cancelled);
    consumer->cancelled = true;
    consumer->canceled = done;
    consumer->canceled_user = user;
    unlisten(consumer);
    DL_FOREACH(broker->deliveries, delivery)
    {
        if (delivery->consumer == consumer)
            delivery->consumer = NULL;
    }
    uv_close((uv_handle_t *)&consumer->timer, timer_closed);
    if (consumer->claiming && !consumer->claim.base.op.handed)
        consumer->claim.want = 0;
    /* Behind the claim that may be under way. */
    consumer->cancel.op.run = cel__sqlite_cancel_run;
    consumer->cancel.op.done = cancel_done;
    submit(broker, &consumer->cancel);
}

/* ---- purge and list ---- */

static void purge_done(cel_engine_op *op)
{
    purge_op *purge = (purge_op *)op;
    sqlite_broker *broker = purge->base.broker;

    if (purge->purged)
        purge->purged(purge->base.user, op->err.code == CEL_OK ? purge->count : 0,
                      error_of(op));
    cel__free(purge);
    broker->pending--;
    check_closed(broker);
}

static cel_code sqlite_purge(cel_broker *base,
                             cel_view queue,
                             void (*cb)(void *user, int64_t count, const cel_error *err),
                             void *user,
                             cel_error *err)
{
    sqlite_broker *broker = broker_of(base);
    cel_code code = check_queue(queue, err);
    purge_op *purge;

    if (code != CEL_OK)
        return code;
    if (broker->closing)
        return cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    purge = cel__calloc(1, sizeof *purge + queue.len);
    if (!purge)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a purge");
    purge->base.op.run = cel__sqlite_purge_run;
    purge->base.op.done = purge_done;
    purge->base.user = user;
    purge->purged = cb;
    purge->len = queue.len;
    memcpy(purge->queue, queue.ptr, queue.len);
    submit(broker, &purge->base);
    return CEL_OK;
}

static void list_done(cel_engine_op *op)
{
    list_op *list = (list_op *)op;
    sqlite_broker *broker = list->base.broker;

    for (size_t i = 0; op->err.code == CEL_OK && i < list->count; i++) {
        const queue_row *row = list->rows + i;
        cel_queue_info info = {
            {row->name, row->len}, row->ready, row->delayed, row->unsettled, row->consumers};
        list->listed(list->base.user, &info, NULL);
    }
    list->listed(list->base.user, NULL, error_of(op));
    cel__sqlite_list_reset(list);
    cel__free(list->rows);
    cel__free(list);
    broker->pending--;
    check_closed(broker);
}

static cel_code
sqlite_queues(cel_broker *base,
              cel_view queue,
              void (*cb)(void *user, const cel_queue_info *info, const cel_error *err),
              void *user,
              cel_error *err)
{
    sqlite_broker *broker = broker_of(base);
    list_op *list;

    if (broker->closing)
        return cel_error_set(err, CEL_ECANCELED, "the broker is closing");
    list = cel__calloc(1, sizeof *list + queue.len);
    if (!list)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a list of queues");
    list->base.op.run = cel__sqlite_list_run;
    list->base.op.done = list_done;
    list->base.op.read_only = true;
    list->base.user = user;
    list->listed = cb;
    list->all = !queue.ptr;
    list->len = queue.len;
    if (queue.len > 0)
        memcpy(list->queue, queue.ptr, queue.len);
    submit(broker, &list->base);
    return CEL_OK;
}

/* ---- opening and closing ---- */

static cel_code sqlite_open(cel_broker **out, const cel_broker_options *options, cel_error *err)
{
    sqlite_broker *broker = cel__calloc(1, sizeof *broker);
    cel_engine_options engine_options = {
        .url = options->url,
        .loop = options->loop,
        .clock = options->clock,
        .log = options->log,
        .threaded = options->threaded,
        .node = options->node,
        .lease_ms = options->lease_ms,
    };

    if (!broker)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    cel_code code = cel__engine_open(&broker->engine, &engine_options, err);
    if (code != CEL_OK) {
        cel__free(broker);
        return code;
    }
    broker->base.ops = &cel__sqlite_broker_ops;
    broker->base.domain = broker->engine;
    broker->loop = options->loop;
    broker->clock = cel__engine_clock(broker->engine);
    broker->log = options->log;
    uv_timer_init(broker->loop, &broker->retry);
    broker->retry.data = broker;
    *out = &broker->base;
    return CEL_OK;
}

static void engine_closed(void *user)
{
    sqlite_broker *broker = user;
    void (*closed)(void *) = broker->closed;
    void *closed_user = broker->closed_user;

    cel__sqlite_forget_queues(broker);
    while (broker->spare) {
        publish_op *next = broker->spare->next_spare;
        free_publish(broker->spare);
        broker->spare = next;
    }
    cel__free(broker);
    if (closed)
        closed(closed_user);
}

static void retry_closed(uv_handle_t *handle)
{
    sqlite_broker *broker = handle->data;

    cel__engine_unref(broker->engine, engine_closed, broker);
}

static void check_closed(sqlite_broker *broker)
{
    if (!broker->closing || broker->leaving || broker->pending > 0 || broker->consumers)
        return;
    broker->leaving = true;
    uv_close((uv_handle_t *)&broker->retry, retry_closed);
}

static void sqlite_close(cel_broker *base, void (*closed)(void *user), void *user)
{
    sqlite_broker *broker = broker_of(base);
    sqlite_consumer *consumer, *next;
    sqlite_delivery *delivery, *after;

    assert(!broker->closing);
    broker->closed = closed;
    broker->closed_user = user;
    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        if (!consumer->cancelled)
            sqlite_cancel((cel_consumer *)consumer, NULL, NULL);
    }
    broker->closing = true;
    broker->to_return = NULL;
    DL_FOREACH_SAFE(broker->deliveries, delivery, after)
    {
        if (!delivery->settled)
            settle(delivery, SETTLE_RETURN, NULL, NULL);
        else if (delivery->waits)
            free_delivery(delivery); /* the engine's close puts it back */
    }
    check_closed(broker);
}

const cel_broker_ops cel__sqlite_broker_ops = {
    .schemes = "sqlite",
    .native_eta = true,
    .open = sqlite_open,
    .close = sqlite_close,
    .publish = sqlite_publish,
    .consume = sqlite_consume,
    .cancel = sqlite_cancel,
    .set_window = sqlite_set_window,
    .accept = sqlite_accept,
    .ack = sqlite_ack,
    .reject = sqlite_reject,
    .release = sqlite_release,
    .purge = sqlite_purge,
    .queues = sqlite_queues,
};
