/* memory.c - memory://name: queues in this process, for tests and for programs that are their
 * own worker.
 *
 * All brokers with the same name share one *hub*, also those of different loops; it lives as
 * long as one of them is open. Everything takes effect at once under the hub's mutex; what is
 * to be told goes through the broker's list of *notes* and its uv_async, so that callbacks run
 * later, on the right loop. A message is always in exactly one list: ready or waiting of its
 * queue, or the deliveries of a broker. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include <utlist.h>

#include "broker/broker.h"
#include "core/mem.h"

#define MAX_TIMER_MS 60000
#define MAX_UNHEARD  10000 /* copies that wait for a listener; more are dropped */

typedef struct memory_hub memory_hub;
typedef struct memory_broker memory_broker;
typedef struct memory_consumer memory_consumer;

/* A message, in a queue or delivered. */
typedef struct memory_delivery {
    cel_delivery base; /* its views point into bytes */
    struct memory_delivery *prev, *next;
    memory_consumer *consumer; /* delivered: whose window it takes; NULL: canceled meanwhile */
    uint64_t number;           /* order of arrival */
    int64_t deliveries;        /* how often it was delivered and came back */
    int priority;
    bool accepted, lost;
    struct memory_queue *queue;
    char bytes[];
} memory_delivery;

typedef struct memory_queue {
    struct memory_queue *next;
    char *name;               /* owned */
    memory_delivery *ready;   /* by priority, then number */
    memory_delivery *waiting; /* by eta_ms */
    int64_t ready_count, waiting_count, out_count, consumers;
    bool reply;              /* lives as long as it has a consumer */
    bool gone;               /* out of the hub's list; freed when nothing is out */
    cel_listening listening; /* of its consumer */
} memory_queue;

struct memory_hub {
    memory_hub *next;
    char *name; /* owned */
    size_t refs;
    uint64_t number;
    memory_queue *queues;
    memory_broker *brokers;
};

/* Something to be told on the broker's loop. */
typedef struct memory_note {
    struct memory_note *next;
    cel_broker_cb cb;
    void (*purged)(void *user, int64_t count, const cel_error *err);
    void (*listed)(void *user, const cel_queue_info *info, const cel_error *err);
    void (*plain)(void *user);
    void *user;
    int64_t count;
    cel_code code;
    const char *why;          /* static; with a code */
    memory_delivery *settled; /* freed afterwards */
    memory_consumer *canceled;
    cel_queue_info *infos; /* owned, with the names */
    size_t info_count;
} memory_note;

struct memory_consumer {
    memory_broker *broker;
    memory_consumer *prev, *next;
    cel_consumer_options options;
    memory_queue **queues; /* owned */
    size_t out, turn;
    bool cancelled;
};

struct memory_broker {
    cel_broker base;
    memory_hub *hub;
    memory_broker *prev, *next;
    const cel_clock *clock;
    uv_async_t async;
    uv_timer_t timer;
    int open_handles;
    memory_note *notes;
    memory_consumer *consumers;
    memory_delivery *deliveries;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

static pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* for all hubs: tests do not contend */
static memory_hub *hubs;

/* ---- queues; the mutex is held ---- */

static memory_queue *find_queue(memory_hub *hub, cel_view name)
{
    memory_queue *queue;

    LL_FOREACH(hub->queues, queue)
    {
        if (cel__view_is(name, queue->name))
            return queue;
    }
    return NULL;
}

static memory_queue *make_queue(memory_hub *hub, cel_view name)
{
    memory_queue *queue = find_queue(hub, name);

    if (queue)
        return queue;
    queue = cel__calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->name = cel__memdup(name.ptr, name.len);
    if (!queue->name) {
        cel__free(queue);
        return NULL;
    }
    LL_APPEND(hub->queues, queue);
    return queue;
}

static int by_rank(const memory_delivery *a, const memory_delivery *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int by_eta(const memory_delivery *a, const memory_delivery *b)
{
    int64_t left = a->base.message.eta_ms, right = b->base.message.eta_ms;

    if (left != right)
        return left < right ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static void wake_all(memory_hub *hub)
{
    memory_broker *broker;

    DL_FOREACH(hub->brokers, broker)
    uv_async_send(&broker->async);
}

/* The common case, the highest place at the end, costs nothing. */
static void place(memory_delivery **list,
                  memory_delivery *message,
                  int (*order)(const memory_delivery *, const memory_delivery *))
{
    if (!*list || order((*list)->prev, message) < 0)
        DL_APPEND(*list, message);
    else
        DL_INSERT_INORDER(*list, message, order);
}

static void put_ready(memory_delivery *message)
{
    place(&message->queue->ready, message, by_rank);
    message->queue->ready_count++;
}

static void move_due(memory_hub *hub, int64_t now_ms)
{
    memory_queue *queue;

    LL_FOREACH(hub->queues, queue)
    {
        while (queue->waiting && queue->waiting->base.message.eta_ms <= now_ms) {
            memory_delivery *message = queue->waiting;
            DL_DELETE(queue->waiting, message);
            queue->waiting_count--;
            put_ready(message);
        }
    }
}

/* Of a reply queue without a consumer nothing stays but what is out. */
static void drop_queue(memory_queue *queue)
{
    if (!queue->gone || queue->out_count > 0)
        return;
    cel__free(queue->name);
    cel__free(queue);
}

static int64_t drop_all(memory_delivery **list)
{
    int64_t count = 0;

    while (*list) {
        memory_delivery *message = *list;
        DL_DELETE(*list, message);
        cel__free(message);
        count++;
    }
    return count;
}

static void leave_queue(memory_hub *hub, memory_queue *queue)
{
    queue->consumers--;
    if (!queue->reply || queue->consumers > 0)
        return;
    queue->gone = true;
    LL_DELETE(hub->queues, queue);
    drop_all(&queue->ready);
    drop_all(&queue->waiting);
    drop_queue(queue);
}

static void take_out(memory_queue *queue)
{
    queue->out_count--;
    drop_queue(queue);
}

/* Back into its queue; counted unless it was never started. */
static void put_back(memory_delivery *message, bool counted, bool lost)
{
    if (message->queue->gone) {
        take_out(message->queue);
        cel__free(message);
        return;
    }
    message->deliveries += counted;
    message->lost = lost;
    message->accepted = false;
    message->consumer = NULL;
    message->queue->out_count--;
    put_ready(message);
}

/* ---- notes ---- */

static void add_note(memory_broker *broker, memory_note *note)
{
    LL_APPEND(broker->notes, note);
    uv_async_send(&broker->async);
}

static void tell(memory_note *note)
{
    cel_error err = {0};

    if (note->code != CEL_OK)
        cel_error_set(&err, note->code, "%s", note->why);
    const cel_error *why = note->code != CEL_OK ? &err : NULL;
    if (note->cb)
        note->cb(note->user, note->code, why);
    if (note->purged)
        note->purged(note->user, note->count, why);
    for (size_t i = 0; i < note->info_count; i++)
        note->listed(note->user, note->infos + i, NULL);
    if (note->listed)
        note->listed(note->user, NULL, why);
    if (note->canceled) {
        cel__free(note->canceled->queues);
        cel__free(note->canceled);
    }
    if (note->plain)
        note->plain(note->user);
    cel__free(note->settled);
    cel__free(note->infos);
    cel__free(note);
}

/* ---- the loop ---- */

static memory_delivery *take_next(memory_consumer *consumer)
{
    for (size_t i = 0; i < consumer->options.queue_count; i++) {
        memory_queue *queue =
            consumer->queues[consumer->turn++ % consumer->options.queue_count];
        memory_delivery *message = queue->ready;
        if (!message)
            continue;
        DL_DELETE(queue->ready, message);
        queue->ready_count--;
        queue->out_count++;
        message->consumer = consumer;
        message->base.broker = &consumer->broker->base;
        message->base.deliveries = message->deliveries + 1;
        message->base.attempt = message->lost         ? CEL_ATTEMPT_ACCEPTED
                                : message->deliveries ? CEL_ATTEMPT_AGAIN
                                                      : CEL_ATTEMPT_NEW;
        DL_APPEND(consumer->broker->deliveries, message);
        consumer->out++;
        return message;
    }
    return NULL;
}

/* Takes one message for one of the consumers that have room; the callbacks may cancel any of
 * them. */
static memory_delivery *take_any(memory_broker *broker)
{
    memory_consumer *consumer;

    DL_FOREACH(broker->consumers, consumer)
    {
        memory_delivery *message =
            consumer->out < consumer->options.window ? take_next(consumer) : NULL;
        if (message)
            return message;
    }
    return NULL;
}

static void on_timer(uv_timer_t *timer);

static void set_timer(memory_broker *broker, int64_t now_ms)
{
    int64_t due_ms = 0;
    memory_queue *queue;

    LL_FOREACH(broker->hub->queues, queue)
    {
        if (queue->waiting && (due_ms == 0 || queue->waiting->base.message.eta_ms < due_ms))
            due_ms = queue->waiting->base.message.eta_ms;
    }
    if (due_ms == 0 || !broker->consumers)
        return;
    int64_t left_ms = due_ms - now_ms;
    left_ms = left_ms < 1 ? 1 : left_ms > MAX_TIMER_MS ? MAX_TIMER_MS : left_ms;
    uv_timer_start(&broker->timer, on_timer, (uint64_t)left_ms, 0);
}

static void check_closed(memory_broker *broker);

static void on_async(uv_async_t *async)
{
    memory_broker *broker = async->data;
    int64_t now_ms = cel__clock_wall_ms(broker->clock);

    /* A bounded number of rounds: others want the loop as well. */
    for (int rounds = 0; rounds < 1000; rounds++) {
        pthread_mutex_lock(&mutex);
        memory_note *note = broker->notes;
        if (note)
            LL_DELETE(broker->notes, note);
        move_due(broker->hub, now_ms);
        memory_delivery *message = note || broker->closing ? NULL : take_any(broker);
        if (!note && !message)
            set_timer(broker, now_ms);
        pthread_mutex_unlock(&mutex);
        if (note)
            tell(note);
        else if (message)
            message->consumer->options.on_delivery(message->consumer->options.user,
                                                   &message->base);
        else {
            check_closed(broker);
            return;
        }
    }
    uv_async_send(&broker->async);
}

static void on_timer(uv_timer_t *timer)
{
    memory_broker *broker = timer->data;

    on_async(&broker->async);
}

/* ---- publish ---- */

static cel_view copy_text(char **at, cel_view text)
{
    if (!text.ptr)
        return text;
    char *copy = *at;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    *at += text.len;
    return (cel_view){copy, text.len};
}

static memory_delivery *copy_message(const cel_message *message)
{
    cel_message copy = *message;
    cel_view *views[] = {
        &copy.exchange,       &copy.routing_key, &copy.content_type, &copy.content_encoding,
        &copy.correlation_id, &copy.reply_to,    &copy.expiration,   &copy.headers,
        &copy.body,           &copy.task};
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        bytes += views[i]->len;
    memory_delivery *delivery = cel__calloc(1, sizeof *delivery + bytes);
    if (!delivery)
        return NULL;
    char *at = delivery->bytes;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        *views[i] = copy_text(&at, *views[i]);
    delivery->base.message = copy;
    delivery->base.queue = copy.routing_key;
    delivery->priority = copy.priority < 0 ? 0 : copy.priority;
    return delivery;
}

static void free_messages(memory_delivery *list)
{
    memory_delivery *message, *next;

    DL_FOREACH_SAFE(list, message, next)
    cel__free(message);
}

static cel_code check_queue(cel_view name, cel_error *err)
{
    if (!name.ptr || name.len == 0)
        return cel_error_set(err, CEL_EINVAL,
                             "a message without a routing key has no queue to go to");
    if (name.len > 255 || memchr(name.ptr, '\0', name.len))
        return cel_error_set(err, CEL_EINVAL,
                             "queue '%.40s': the name is longer than 255 bytes or holds a NUL",
                             name.ptr);
    return CEL_OK;
}

static cel_code
copy_messages(memory_delivery **list, const cel_message *messages, size_t count, cel_error *err)
{
    for (size_t i = 0; i < count && messages[i].kind == CEL_EXCHANGE_NONE; i++) {
        cel_code code = check_queue(messages[i].routing_key, err);
        if (code != CEL_OK)
            return code;
        memory_delivery *copy = copy_message(messages + i);
        if (!copy)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
        DL_APPEND(*list, copy);
    }
    return CEL_OK;
}

/* A copy for each queue that hears it; the mutex is held. */
static void cast(memory_hub *hub, const cel_message *message)
{
    memory_queue *queue;

    LL_FOREACH(hub->queues, queue)
    {
        if (!cel__view_eq(queue->listening.exchange, message->exchange) ||
            !cel__listening_hears(&queue->listening, message->routing_key) ||
            queue->ready_count >= MAX_UNHEARD)
            continue;
        memory_delivery *copy = copy_message(message);
        if (!copy)
            return; /* as if nobody had listened */
        copy->queue = queue;
        copy->base.queue = cel__view(queue->name);
        copy->number = ++hub->number;
        put_ready(copy);
    }
}

/* All or none; the mutex is held. */
static cel_code find_places(memory_broker *broker, memory_delivery *list)
{
    memory_delivery *message;

    DL_FOREACH(list, message)
    {
        cel_view name = message->base.queue;
        bool existing = message->base.message.existing;
        message->queue =
            existing ? find_queue(broker->hub, name) : make_queue(broker->hub, name);
        if (!message->queue)
            return existing ? CEL_ENOENT : CEL_ENOMEM;
    }
    return CEL_OK;
}

static cel_code memory_publish(cel_broker *base,
                               const cel_message *messages,
                               size_t count,
                               cel_broker_cb cb,
                               void *user,
                               cel_error *err)
{
    memory_broker *broker = (memory_broker *)base;
    memory_delivery *list = NULL, *message, *next;
    int64_t now_ms = cel__clock_wall_ms(broker->clock);
    memory_note *done = cel__calloc(1, sizeof *done);
    cel_code code = done ? copy_messages(&list, messages, count, err)
                         : cel_error_set(err, CEL_ENOMEM, "no memory for a message");

    if (code != CEL_OK) {
        free_messages(list);
        cel__free(done);
        return code;
    }
    done->cb = cb;
    done->user = user;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < count && messages[i].kind != CEL_EXCHANGE_NONE; i++)
        cast(broker->hub, messages + i);
    done->code = find_places(broker, list);
    if (done->code != CEL_OK) {
        free_messages(list);
        list = NULL;
        done->why =
            done->code == CEL_ENOENT ? "the reply queue is gone" : "no memory for a queue";
    }
    DL_FOREACH_SAFE(list, message, next)
    {
        message->number = ++broker->hub->number;
        if (message->base.message.eta_ms > now_ms) {
            place(&message->queue->waiting, message, by_eta);
            message->queue->waiting_count++;
        } else {
            put_ready(message);
        }
    }
    add_note(broker, done);
    wake_all(broker->hub);
    pthread_mutex_unlock(&mutex);
    return CEL_OK;
}

/* ---- consume ---- */

static cel_code memory_consume(cel_consumer **out,
                               cel_broker *base,
                               const cel_consumer_options *options,
                               cel_error *err)
{
    memory_broker *broker = (memory_broker *)base;
    memory_consumer *consumer = cel__calloc(1, sizeof *consumer);
    cel_code code = options->queue_count == 0
                        ? cel_error_set(err, CEL_EINVAL, "a consumer needs a queue")
                        : CEL_OK;

    if (code == CEL_OK && consumer)
        consumer->queues = cel__calloc(options->queue_count, sizeof *consumer->queues);
    if (code == CEL_OK && (!consumer || !consumer->queues))
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    for (size_t i = 0; code == CEL_OK && i < options->queue_count; i++) {
        code = check_queue(options->queues[i], err);
        pthread_mutex_lock(&mutex);
        bool fresh = code == CEL_OK && !find_queue(broker->hub, options->queues[i]);
        consumer->queues[i] =
            code == CEL_OK ? make_queue(broker->hub, options->queues[i]) : NULL;
        if (consumer->queues[i] && fresh)
            consumer->queues[i]->reply = options->reply;
        if (consumer->queues[i] && options->reply)
            consumer->queues[i]->listening = options->listening;
        pthread_mutex_unlock(&mutex);
        if (code == CEL_OK && !consumer->queues[i])
            code = cel_error_set(err, CEL_ENOMEM, "no memory for a queue");
    }
    if (code != CEL_OK) {
        if (consumer)
            cel__free(consumer->queues);
        cel__free(consumer);
        return code;
    }
    consumer->broker = broker;
    consumer->options = *options;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < options->queue_count; i++)
        consumer->queues[i]->consumers++;
    DL_APPEND(broker->consumers, consumer);
    uv_async_send(&broker->async);
    pthread_mutex_unlock(&mutex);
    *out = (cel_consumer *)consumer;
    return CEL_OK;
}

static void stop_consumer(memory_consumer *consumer)
{
    memory_broker *broker = consumer->broker;
    memory_delivery *message;

    DL_DELETE(broker->consumers, consumer);
    for (size_t i = 0; i < consumer->options.queue_count; i++)
        leave_queue(broker->hub, consumer->queues[i]);
    DL_FOREACH(broker->deliveries, message)
    {
        if (message->consumer == consumer)
            message->consumer = NULL;
    }
    consumer->cancelled = true;
}

static void memory_cancel(cel_consumer *base, void (*done)(void *user), void *user)
{
    memory_consumer *consumer = (memory_consumer *)base;
    memory_note *note = cel__calloc(1, sizeof *note);

    pthread_mutex_lock(&mutex);
    stop_consumer(consumer);
    if (note) {
        note->canceled = consumer;
        note->plain = done;
        note->user = user;
        add_note(consumer->broker, note);
    }
    pthread_mutex_unlock(&mutex);
}

static void memory_set_window(cel_consumer *base, size_t window)
{
    memory_consumer *consumer = (memory_consumer *)base;

    consumer->options.window = window;
    uv_async_send(&consumer->broker->async);
}

/* ---- settle ---- */

static cel_code memory_accept(cel_delivery *base, cel_error *err)
{
    (void)err;
    ((memory_delivery *)base)->accepted = true;
    return CEL_OK;
}

typedef enum settle_kind {
    SETTLE_ACK,
    SETTLE_REQUEUE,
    SETTLE_RELEASE
} settle_kind;

static void settle(memory_delivery *message, settle_kind kind, cel_broker_cb cb, void *user)
{
    memory_broker *broker = (memory_broker *)message->base.broker;
    memory_note *note = cel__calloc(1, sizeof *note);

    pthread_mutex_lock(&mutex);
    DL_DELETE(broker->deliveries, message);
    if (message->consumer)
        message->consumer->out--;
    if (note) {
        note->cb = cb;
        note->user = user;
    }
    if (kind == SETTLE_ACK) {
        take_out(message->queue);
        if (note)
            note->settled = message; /* its views live until the callback */
        else
            cel__free(message);
    } else {
        put_back(message, kind == SETTLE_REQUEUE, kind == SETTLE_RELEASE && message->lost);
        wake_all(broker->hub);
    }
    if (note)
        add_note(broker, note);
    uv_async_send(&broker->async);
    pthread_mutex_unlock(&mutex);
}

static void memory_ack(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((memory_delivery *)base, SETTLE_ACK, cb, user);
}

static void memory_reject(cel_delivery *base, bool requeue, cel_broker_cb cb, void *user)
{
    settle((memory_delivery *)base, requeue ? SETTLE_REQUEUE : SETTLE_ACK, cb, user);
}

static void memory_release(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((memory_delivery *)base, SETTLE_RELEASE, cb, user);
}

/* ---- purge and list ---- */

static cel_code memory_purge(cel_broker *base,
                             cel_view name,
                             void (*cb)(void *user, int64_t count, const cel_error *err),
                             void *user,
                             cel_error *err)
{
    memory_broker *broker = (memory_broker *)base;
    cel_code code = check_queue(name, err);
    memory_note *note = code == CEL_OK ? cel__calloc(1, sizeof *note) : NULL;

    if (code != CEL_OK)
        return code;
    if (!note)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a purge");
    note->purged = cb;
    note->user = user;
    pthread_mutex_lock(&mutex);
    memory_queue *queue = find_queue(broker->hub, name);
    if (queue) {
        note->count = drop_all(&queue->ready) + drop_all(&queue->waiting);
        queue->ready_count = queue->waiting_count = 0;
    }
    add_note(broker, note);
    pthread_mutex_unlock(&mutex);
    return CEL_OK;
}

static cel_code
memory_queues(cel_broker *base,
              cel_view name,
              void (*cb)(void *user, const cel_queue_info *info, const cel_error *err),
              void *user,
              cel_error *err)
{
    memory_broker *broker = (memory_broker *)base;
    memory_note *note = cel__calloc(1, sizeof *note);
    memory_queue *queue;
    size_t count = 0, bytes = 1;

    pthread_mutex_lock(&mutex);
    LL_FOREACH(broker->hub->queues, queue)
    {
        count++;
        bytes += strlen(queue->name);
    }
    if (note)
        note->infos = cel__calloc(1, count * sizeof *note->infos + bytes);
    if (!note || !note->infos) {
        pthread_mutex_unlock(&mutex);
        cel__free(note);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a list of queues");
    }
    char *at = (char *)(note->infos + count);
    LL_FOREACH(broker->hub->queues, queue)
    {
        if (!name.ptr || cel__view_is(name, queue->name))
            note->infos[note->info_count++] =
                (cel_queue_info){copy_text(&at, cel__view(queue->name)), queue->ready_count,
                                 queue->waiting_count, queue->out_count, queue->consumers};
    }
    note->listed = cb;
    note->user = user;
    add_note(broker, note);
    pthread_mutex_unlock(&mutex);
    return CEL_OK;
}

/* ---- opening and closing ---- */

static memory_hub *take_hub(const char *name)
{
    memory_hub *hub;

    LL_FOREACH(hubs, hub)
    {
        if (strcmp(hub->name, name) == 0) {
            hub->refs++;
            return hub;
        }
    }
    hub = cel__calloc(1, sizeof *hub);
    if (!hub)
        return NULL;
    hub->refs = 1;
    hub->name = cel__strdup(name);
    if (!hub->name) {
        cel__free(hub);
        return NULL;
    }
    LL_PREPEND(hubs, hub);
    return hub;
}

static void drop_hub(memory_hub *hub)
{
    if (--hub->refs > 0)
        return;
    LL_DELETE(hubs, hub);
    while (hub->queues) {
        memory_queue *queue = hub->queues;
        LL_DELETE(hub->queues, queue);
        drop_all(&queue->ready);
        drop_all(&queue->waiting);
        cel__free(queue->name);
        cel__free(queue);
    }
    cel__free(hub->name);
    cel__free(hub);
}

static void handle_closed(uv_handle_t *handle)
{
    memory_broker *broker = handle->data;
    void (*closed)(void *) = broker->closed;
    void *user = broker->closed_user;

    if (--broker->open_handles > 0)
        return;
    pthread_mutex_lock(&mutex);
    drop_hub(broker->hub);
    pthread_mutex_unlock(&mutex);
    cel__free(broker);
    if (closed)
        closed(user);
}

static void check_closed(memory_broker *broker)
{
    if (!broker->closing || uv_is_closing((uv_handle_t *)&broker->async))
        return;
    pthread_mutex_lock(&mutex);
    DL_DELETE(broker->hub->brokers, broker); /* nobody wakes it from now on */
    pthread_mutex_unlock(&mutex);
    uv_close((uv_handle_t *)&broker->async, handle_closed);
    uv_close((uv_handle_t *)&broker->timer, handle_closed);
}

static cel_code memory_open(cel_broker **out, const cel_broker_options *options, cel_error *err)
{
    memory_broker *broker = cel__calloc(1, sizeof *broker);
    const char *name = strstr(options->url, "://");

    pthread_mutex_lock(&mutex);
    if (broker)
        broker->hub = take_hub(name ? name + 3 : "");
    pthread_mutex_unlock(&mutex);
    if (!broker || !broker->hub) {
        cel__free(broker);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    }
    int rc = uv_async_init(options->loop, &broker->async, on_async);
    if (rc != 0) {
        pthread_mutex_lock(&mutex);
        drop_hub(broker->hub);
        pthread_mutex_unlock(&mutex);
        cel__free(broker);
        return cel_error_set(err, CEL_EIO, "uv_async_init: %s", uv_strerror(rc));
    }
    uv_timer_init(options->loop, &broker->timer);
    broker->async.data = broker->timer.data = broker;
    broker->open_handles = 2;
    broker->clock = options->clock ? options->clock : cel__clock_system();
    broker->base.ops = &cel__memory_broker_ops;
    pthread_mutex_lock(&mutex);
    DL_APPEND(broker->hub->brokers, broker);
    pthread_mutex_unlock(&mutex);
    *out = &broker->base;
    return CEL_OK;
}

static void memory_close(cel_broker *base, void (*closed)(void *user), void *user)
{
    memory_broker *broker = (memory_broker *)base;

    broker->closing = true;
    broker->closed = closed;
    broker->closed_user = user;
    pthread_mutex_lock(&mutex);
    while (broker->consumers) {
        memory_consumer *consumer = broker->consumers;
        stop_consumer(consumer);
        memory_note *note = cel__calloc(1, sizeof *note);
        if (note) {
            note->canceled = consumer;
            add_note(broker, note);
        }
    }
    while (broker->deliveries) {
        memory_delivery *message = broker->deliveries;
        DL_DELETE(broker->deliveries, message);
        put_back(message, true, message->lost || message->accepted);
    }
    wake_all(broker->hub);
    pthread_mutex_unlock(&mutex);
}

const cel_broker_ops cel__memory_broker_ops = {
    .schemes = "memory",
    .native_eta = true,
    .open = memory_open,
    .close = memory_close,
    .publish = memory_publish,
    .consume = memory_consume,
    .cancel = memory_cancel,
    .set_window = memory_set_window,
    .accept = memory_accept,
    .ack = memory_ack,
    .reject = memory_reject,
    .release = memory_release,
    .purge = memory_purge,
    .queues = memory_queues,
};
