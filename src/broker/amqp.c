/* amqp.c - amqp:// and amqps://: RabbitMQ, the loop's side. See amqp_impl.h for the threads.
 *
 * The window counts deliveries that are out, accepted or not; RabbitMQ counts what is not
 * acknowledged. So it is told window - accepted (the consumer's target), and what still comes
 * in excess is held back here, or put back at once when nothing more is wanted. While accepted ones are settled within a few
 * milliseconds, it is told the whole window: else that would be told anew all the time, which costs a quorum queue
 * a new consumer each time.
 *
 * accept() is the acknowledgement itself: an accepted delivery does not come back. That an
 * acknowledgement has arrived is never confirmed in AMQP: ack's callback runs when it has been
 * written. What was delivered before a connection was lost is settled with CEL_ESTALE.
 *
 * open() waits for the first attempt to connect, so that a wrong password is an error of open();
 * nothing else blocks. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utlist.h>

#include "broker/amqp_impl.h"
#include "core/id.h"
#include "core/mem.h"

#define FLOW_MS       100
#define BROADCAST_LEN 42 /* "bcast." and a UUID */

/* ---- nodes ---- */

void cel__amqp_push(amqp_list *list, amqp_node *node, amqp_kind kind, void *owner)
{
    *node = (amqp_node){NULL, kind, owner};
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
}

amqp_node *cel__amqp_pop(amqp_list *list)
{
    amqp_node *node = list->first;

    if (node) {
        list->first = node->next;
        if (!list->first)
            list->last = NULL;
        node->next = NULL;
    }
    return node;
}

static void append(amqp_list *list, amqp_list *more)
{
    if (!more->first)
        return;
    if (list->first)
        list->last->next = more->first;
    else
        list->first = more->first;
    list->last = more->last;
    *more = (amqp_list){NULL, NULL};
}

void cel__amqp_hand_over(amqp_broker *broker)
{
    if (!broker->link.gathered.first)
        return;
    pthread_mutex_lock(&broker->mutex);
    bool first = !broker->events.first;
    append(&broker->events, &broker->link.gathered);
    pthread_mutex_unlock(&broker->mutex);
    if (first)
        uv_async_send(&broker->async);
}

void cel__amqp_event(amqp_broker *broker, amqp_node *node, amqp_kind kind, void *owner)
{
    pthread_mutex_lock(&broker->mutex);
    bool first = !broker->events.first;
    append(&broker->events, &broker->link.gathered);
    cel__amqp_push(&broker->events, node, kind, owner);
    pthread_mutex_unlock(&broker->mutex);
    if (first)
        uv_async_send(&broker->async);
}

/* The mutex is held. */
static void wake(amqp_broker *broker)
{
    uint64_t one = 1;

    if (broker->woken)
        return;
    broker->woken = true;
    while (write(broker->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* For what may go with the rest: at the latest when the link has rested. The mutex is held. */
static void nudge(amqp_broker *broker)
{
    if (!broker->resting)
        wake(broker);
}

static void command(amqp_broker *broker, amqp_node *node, amqp_kind kind, void *owner)
{
    pthread_mutex_lock(&broker->mutex);
    cel__amqp_push(&broker->commands, node, kind, owner);
    wake(broker);
    pthread_mutex_unlock(&broker->mutex);
}

/* The mutex is held. */
static void count_settled(amqp_consumer *consumer)
{
    int64_t now = cel__clock_mono_ms(consumer->broker->clock);

    if (now - consumer->slot_ms >= FLOW_MS) {
        consumer->last_count = now - consumer->slot_ms < 2 * FLOW_MS ? consumer->slot_count : 0;
        consumer->slot_count = 0;
        consumer->slot_ms = now;
    }
    consumer->slot_count++;
}

/* What was accepted takes its share of the window, unless it is done with so soon, in half a slot of time, that the window would only
 * flutter. */
size_t cel__amqp_target(const amqp_consumer *consumer, bool *flows)
{
    size_t window = consumer->cancelled ? 0 : consumer->options.window;
    size_t settled = consumer->last_count > consumer->slot_count ? consumer->last_count
                                                                 : consumer->slot_count;
    int64_t age = cel__clock_mono_ms(consumer->broker->clock) - consumer->slot_ms;

    *flows = consumer->accepted > 0 && settled >= 2 * consumer->accepted && age < 2 * FLOW_MS;
    size_t taken = *flows ? 0 : consumer->accepted;
    size_t target = window > taken ? window - taken : 0;
    return target < UINT16_MAX ? target : UINT16_MAX;
}

/* The mutex is held. */
static void update_target(amqp_consumer *consumer)
{
    bool flows;
    size_t target = cel__amqp_target(consumer, &flows);

    if (target == consumer->target)
        return;
    consumer->target = target;
    nudge(consumer->broker);
}

/* ---- settling ---- */

static void settle(amqp_delivery *delivery, amqp_verdict verdict, cel_broker_cb cb, void *user)
{
    amqp_broker *broker = (amqp_broker *)delivery->base.broker;
    amqp_consumer *consumer = delivery->consumer;

    assert(delivery->verdict == AMQP_OPEN);
    delivery->cb = cb;
    delivery->user = user;
    pthread_mutex_lock(&broker->mutex);
    if (delivery->out) {
        delivery->out = false;
        consumer->out--;
        consumer->accepted -= delivery->accepted;
        count_settled(consumer);
        update_target(consumer);
    }
    delivery->verdict = verdict;
    cel__amqp_push(&broker->commands, &delivery->node, AMQP_SETTLE, delivery);
    nudge(broker);
    pthread_mutex_unlock(&broker->mutex);
    if (consumer->held_back) /* there is room for one more: on a later turn */
        uv_async_send(&broker->async);
}

static cel_code amqp_accept(cel_delivery *base, cel_error *err)
{
    amqp_delivery *delivery = (amqp_delivery *)base;
    amqp_broker *broker = (amqp_broker *)base->broker;
    cel_code code = CEL_OK;

    if (delivery->accepted)
        return CEL_OK;
    pthread_mutex_lock(&broker->mutex);
    if (delivery->consumer->epoch != delivery->epoch) {
        code = cel_error_set(err, CEL_ESTALE,
                             "the connection that delivered the message was lost");
    } else {
        delivery->accepted = true;
        delivery->consumer->accepted++;
        update_target(delivery->consumer);
        cel__amqp_push(&broker->commands, &delivery->accept, AMQP_ACCEPT, delivery);
        nudge(broker);
    }
    pthread_mutex_unlock(&broker->mutex);
    return code;
}

static void amqp_ack(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((amqp_delivery *)base, AMQP_ACKED, cb, user);
}

static void amqp_reject(cel_delivery *base, bool requeue, cel_broker_cb cb, void *user)
{
    settle((amqp_delivery *)base, requeue ? AMQP_REQUEUED : AMQP_DROPPED, cb, user);
}

static void amqp_release(cel_delivery *base, cel_broker_cb cb, void *user)
{
    settle((amqp_delivery *)base, AMQP_REQUEUED, cb, user);
}

static void free_consumer(amqp_consumer *consumer)
{
    if (!consumer)
        return;
    cel__free(consumer->queues);
    cel__free(consumer->wires);
    cel__free(consumer->names);
    cel__free(consumer);
}

static void drop_consumer(amqp_broker *broker, amqp_consumer *consumer)
{
    if (!consumer->link_done || consumer->live > 0)
        return;
    DL_DELETE(broker->leaving, consumer);
    free_consumer(consumer);
}

static void tell_settled(amqp_delivery *delivery)
{
    amqp_broker *broker = (amqp_broker *)delivery->base.broker;
    cel_error err = {0};

    if (delivery->code == CEL_ESTALE)
        cel_error_set(&err, CEL_ESTALE, "%s",
                      delivery->accepted
                          ? "the message was acknowledged when it was accepted"
                          : "the connection that delivered the message was lost");
    else if (delivery->code != CEL_OK)
        cel_error_set(&err, delivery->code, "the broker was closed");
    if (delivery->cb)
        delivery->cb(delivery->user, delivery->code, delivery->code == CEL_OK ? NULL : &err);
    DL_DELETE(broker->deliveries, delivery);
    delivery->consumer->live--;
    drop_consumer(broker, delivery->consumer);
    cel__free(delivery);
}

/* ---- consuming ---- */

static void hand_over(amqp_delivery *delivery)
{
    delivery->out = true;
    delivery->consumer->out++;
    delivery->consumer->options.on_delivery(delivery->consumer->options.user, &delivery->base);
}

/* Who is a queue's only consumer keeps what it cannot hand over. */
static bool is_unwanted(const amqp_consumer *consumer)
{
    return consumer->cancelled || (consumer->target == 0 && !consumer->kept);
}

static void take_delivery(amqp_broker *broker, amqp_delivery *delivery)
{
    amqp_consumer *consumer = delivery->consumer;

    DL_APPEND(broker->deliveries, delivery);
    consumer->live++;
    if (is_unwanted(consumer)) {
        settle(delivery, AMQP_REQUEUED, NULL, NULL);
    } else if (consumer->held_back || consumer->out >= consumer->options.window) {
        LL_APPEND2(consumer->held_back, delivery, mark_next);
    } else {
        hand_over(delivery);
    }
}

static amqp_delivery *take_held_back(amqp_consumer *consumer)
{
    amqp_delivery *delivery = consumer->held_back;

    LL_DELETE2(consumer->held_back, delivery, mark_next);
    delivery->mark_next = NULL;
    return delivery;
}

/* What is held back goes out as there is room, or back if nobody wants it any more. */
static void serve_held_back(amqp_broker *broker)
{
    amqp_consumer *consumer, *next;

    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        /* A callback may cancel this consumer, or the next: begin again then. */
        while (consumer->held_back && is_unwanted(consumer))
            settle(take_held_back(consumer), AMQP_REQUEUED, NULL, NULL);
        if (consumer->held_back && consumer->out < consumer->options.window) {
            hand_over(take_held_back(consumer));
            uv_async_send(&broker->async);
            return;
        }
    }
}

/* As Celery's Broadcast: each consumer has a queue of its own. */
static cel_view name_wire(amqp_consumer *consumer, cel_view queue, char **at)
{
    const amqp_broker *broker = consumer->broker;
    cel_queue_decl decl;
    char uuid[37];

    if (consumer->options.reply)
        consumer->kept = true;
    if (consumer->options.reply || !broker->describe ||
        !broker->describe(broker->describe_user, queue, &decl))
        return queue;
    consumer->kept = consumer->kept || decl.auto_delete;
    if (!decl.broadcast)
        return queue;
    cel__uuid4(uuid);
    cel_view wire = {*at, BROADCAST_LEN};
    memcpy(*at, "bcast.", 6);
    memcpy(*at + 6, uuid, 36);
    *at += BROADCAST_LEN;
    return wire;
}

static cel_code
copy_queues(amqp_consumer *consumer, const cel_consumer_options *options, cel_error *err)
{
    size_t bytes = 1;

    for (size_t i = 0; i < options->queue_count; i++) {
        cel_code code = cel__amqp_check_queue(options->queues[i], err);
        if (code != CEL_OK)
            return code;
        bytes += options->queues[i].len + BROADCAST_LEN;
    }
    consumer->wires = cel__calloc(options->queue_count, sizeof *consumer->wires);
    consumer->queues = cel__calloc(options->queue_count, sizeof *consumer->queues);
    consumer->names = cel__malloc(bytes);
    if (!consumer->queues || !consumer->wires || !consumer->names)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    char *at = consumer->names;
    for (size_t i = 0; i < options->queue_count; i++) {
        cel_view name = options->queues[i];
        memcpy(at, name.ptr, name.len);
        consumer->queues[i] = (cel_view){at, name.len};
        at += name.len;
        consumer->wires[i] = name_wire(consumer, consumer->queues[i], &at);
    }
    return CEL_OK;
}

static cel_code amqp_consume(cel_consumer **out,
                             cel_broker *base,
                             const cel_consumer_options *options,
                             cel_error *err)
{
    amqp_broker *broker = (amqp_broker *)base;
    amqp_consumer *consumer, *other;
    int count;

    if (options->queue_count == 0)
        return cel_error_set(err, CEL_EINVAL, "a consumer needs a queue");
    DL_COUNT(broker->consumers, other, count);
    if (count >= AMQP_CHANNELS - AMQP_CH_CONSUMER)
        return cel_error_set(err, CEL_EFULL, "%d consumers on one connection", count);
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
    consumer->options.queues = consumer->queues;
    DL_APPEND(broker->consumers, consumer);
    pthread_mutex_lock(&broker->mutex);
    update_target(consumer);
    cel__amqp_push(&broker->commands, &consumer->node, AMQP_CONSUME, consumer);
    wake(broker);
    pthread_mutex_unlock(&broker->mutex);
    *out = (cel_consumer *)consumer;
    return CEL_OK;
}

static void stop_consumer(amqp_consumer *consumer)
{
    amqp_broker *broker = consumer->broker;

    while (consumer->held_back)
        settle(take_held_back(consumer), AMQP_REQUEUED, NULL, NULL);
    DL_DELETE(broker->consumers, consumer);
    DL_APPEND(broker->leaving, consumer);
    pthread_mutex_lock(&broker->mutex);
    consumer->cancelled = true;
    update_target(consumer);
    pthread_mutex_unlock(&broker->mutex);
}

static void amqp_cancel(cel_consumer *base, void (*done)(void *user), void *user)
{
    amqp_consumer *consumer = (amqp_consumer *)base;

    stop_consumer(consumer);
    consumer->done = done;
    consumer->done_user = user;
    command(consumer->broker, &consumer->stopped_node, AMQP_CANCEL, consumer);
}

static void tell_stopped(amqp_consumer *consumer)
{
    void (*done)(void *) = consumer->done;

    consumer->done = NULL;
    if (done)
        done(consumer->done_user);
}

static void amqp_set_window(cel_consumer *base, size_t window)
{
    amqp_consumer *consumer = (amqp_consumer *)base;

    pthread_mutex_lock(&consumer->broker->mutex);
    consumer->options.window = window;
    update_target(consumer);
    pthread_mutex_unlock(&consumer->broker->mutex);
    if (consumer->held_back)
        uv_async_send(&consumer->broker->async);
}

static void amqp_revive(cel_consumer *base, bool reconnect)
{
    amqp_consumer *consumer = (amqp_consumer *)base;
    amqp_revival *revival = cel__calloc(1, sizeof *revival);

    if (!revival)
        return;
    revival->consumer = consumer;
    revival->reconnect = reconnect;
    command(consumer->broker, &revival->node, AMQP_REVIVE, revival);
}

static void tell_state(amqp_broker *broker, amqp_news *news)
{
    amqp_consumer *consumer, *next;

    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        if (news->consumer && news->consumer != consumer)
            continue;
        if (consumer->options.on_state)
            consumer->options.on_state(consumer->options.user, news->code,
                                       news->code == CEL_OK ? NULL : &news->err);
        break; /* a worker has one consumer; a callback may have changed the list */
    }
    cel__free(news);
}

/* ---- publishing ---- */

static cel_code amqp_publish(cel_broker *base,
                             const cel_message *messages,
                             size_t count,
                             cel_broker_cb cb,
                             void *user,
                             cel_error *err)
{
    amqp_batch *batch;

    if (count == 0)
        return cel_error_set(err, CEL_EINVAL, "nothing to publish");
    cel_code code = cel__amqp_copy_batch(&batch, messages, count, err);
    if (code != CEL_OK)
        return code;
    batch->cb = cb;
    batch->user = user;
    command((amqp_broker *)base, &batch->node, AMQP_PUBLISH, batch);
    return CEL_OK;
}

/* ---- postponing ---- */

static void on_postponed(void *user, cel_code code, const cel_error *err)
{
    amqp_delivery *delivery = user;

    if (code == CEL_OK)
        settle(delivery, AMQP_ACKED, delivery->cb, delivery->user);
    else
        delivery->cb(delivery->user, code, err);
}

/* What was lost with its connection is delivered again anyhow: that one may be postponed. */
static bool is_lost(const amqp_delivery *delivery)
{
    amqp_broker *broker = (amqp_broker *)delivery->base.broker;

    pthread_mutex_lock(&broker->mutex);
    bool lost = delivery->consumer->epoch != delivery->epoch;
    pthread_mutex_unlock(&broker->mutex);
    return lost;
}

static cel_code
amqp_postpone(cel_delivery *base, int64_t eta_ms, cel_broker_cb cb, void *user, cel_error *err)
{
    amqp_delivery *delivery = (amqp_delivery *)base;
    cel_message message = base->message;
    amqp_batch *batch = NULL;

    if (delivery->consumer->kept) /* the queue is not reached by its name, or ends too soon */
        return cel_error_set(err, CEL_ENOTSUP, "the queue is the consumer's own");
    if (is_lost(delivery))
        return cel_error_set(err, CEL_ESTALE, "the connection that delivered it was lost");
    message.exchange = CEL_VIEW("");
    message.routing_key = base->queue;
    message.eta_ms = eta_ms;
    delivery->cb = cb;
    delivery->user = user;
    cel_code code = cel__amqp_copy_batch(&batch, &message, 1, err);
    if (code != CEL_OK)
        return code;
    batch->delay_only = true;
    batch->cb = on_postponed;
    batch->user = delivery;
    command((amqp_broker *)base->broker, &batch->node, AMQP_PUBLISH, batch);
    return CEL_OK;
}

/* ---- asking ---- */

static cel_code new_question(amqp_question **out, cel_view name, cel_error *err)
{
    cel_code code = cel__amqp_check_queue(name, err);

    if (code != CEL_OK)
        return code;
    *out = cel__calloc(1, sizeof **out + name.len + 1);
    if (!*out)
        return cel_error_set(err, CEL_ENOMEM, "no memory to ask for a queue");
    memcpy((*out)->name, name.ptr, name.len);
    (*out)->name_len = name.len;
    return CEL_OK;
}

static cel_code amqp_purge(cel_broker *base,
                           cel_view name,
                           void (*cb)(void *user, int64_t count, const cel_error *err),
                           void *user,
                           cel_error *err)
{
    amqp_question *question;
    cel_code code = new_question(&question, name, err);

    if (code != CEL_OK)
        return code;
    question->purged = cb;
    question->user = user;
    command((amqp_broker *)base, &question->node, AMQP_ASK, question);
    return CEL_OK;
}

static cel_code
amqp_queues(cel_broker *base,
            cel_view name,
            void (*cb)(void *user, const cel_queue_info *info, const cel_error *err),
            void *user,
            cel_error *err)
{
    amqp_question *question;

    if (!name.ptr)
        return cel_error_set(err, CEL_ENOTSUP,
                             "AMQP cannot list the queues there are, only ask for one by name");
    cel_code code = new_question(&question, name, err);
    if (code != CEL_OK)
        return code;
    question->listed = cb;
    question->user = user;
    command((amqp_broker *)base, &question->node, AMQP_ASK, question);
    return CEL_OK;
}

static void tell_answer(amqp_question *question)
{
    const cel_error *err = question->err.code == CEL_OK ? NULL : &question->err;

    if (question->purged)
        question->purged(question->user, question->count, err);
    if (question->listed && question->found && !err) {
        cel_queue_info info = {
            {question->name, question->name_len}, question->count, -1, -1, question->consumers};
        question->listed(question->user, &info, NULL);
    }
    if (question->listed)
        question->listed(question->user, NULL, err);
    cel__free(question);
}

/* ---- the loop ---- */

static void free_broker(amqp_broker *broker)
{
    pthread_mutex_destroy(&broker->mutex);
    pthread_cond_destroy(&broker->opened_cond);
    cel__amqp_servers_free(broker->link.servers, broker->link.server_count);
    if (broker->wake_fd >= 0)
        close(broker->wake_fd);
    cel__free(broker->node);
    cel__free(broker);
}

static void handle_closed(uv_handle_t *handle)
{
    amqp_broker *broker = handle->data;
    void (*closed)(void *) = broker->closed;
    void *user = broker->closed_user;

    free_broker(broker);
    if (closed)
        closed(user);
}

static void free_consumers(amqp_consumer *consumer)
{
    while (consumer) {
        amqp_consumer *next = consumer->next;
        tell_stopped(consumer);
        free_consumer(consumer);
        consumer = next;
    }
}

/* What was submitted by callbacks while the link was ending. */
static void cancel_commands(amqp_broker *broker)
{
    amqp_node *node;

    while ((node = cel__amqp_pop(&broker->commands)) != NULL) {
        if (node->kind == AMQP_SETTLE) {
            ((amqp_delivery *)node->owner)->code = CEL_ECANCELED;
            tell_settled(node->owner);
        } else if (node->kind == AMQP_PUBLISH) {
            cel_error_set(&((amqp_batch *)node->owner)->err, CEL_ECANCELED,
                          "the broker was closed");
            cel__amqp_tell_batch(node->owner);
        } else if (node->kind == AMQP_ASK) {
            cel_error_set(&((amqp_question *)node->owner)->err, CEL_ECANCELED,
                          "the broker was closed");
            tell_answer(node->owner);
        } else if (node->kind == AMQP_REVIVE) {
            cel__free(node->owner);
        }
    }
}

/* The link has ended: nothing is under way any more. */
static void finish_close(amqp_broker *broker)
{
    pthread_join(broker->thread, NULL);
    cancel_commands(broker);
    while (broker->deliveries) {
        amqp_delivery *delivery = broker->deliveries;
        DL_DELETE(broker->deliveries, delivery);
        cel__free(delivery);
    }
    amqp_consumer *leaving = broker->leaving;
    broker->leaving = NULL;
    free_consumers(leaving);
    uv_close((uv_handle_t *)&broker->async, handle_closed);
}

static void tell(amqp_broker *broker, amqp_node *node)
{
    amqp_consumer *consumer;

    switch (node->kind) {
    case AMQP_PUBLISH:
        cel__amqp_tell_batch(node->owner);
        break;
    case AMQP_SETTLE:
        tell_settled(node->owner);
        break;
    case AMQP_DELIVER:
        take_delivery(broker, node->owner);
        break;
    case AMQP_ASK:
        tell_answer(node->owner);
        break;
    case AMQP_STATE:
        tell_state(broker, node->owner);
        break;
    case AMQP_STOPPED:
        tell_stopped(node->owner);
        break;
    case AMQP_CANCEL:
        consumer = node->owner;
        consumer->link_done = true;
        drop_consumer(broker, consumer);
        break;
    case AMQP_CLOSE:
        finish_close(broker);
        break;
    default:
        assert(node->kind == AMQP_CLOSE); /* no command comes this way */
    }
}

static void on_async(uv_async_t *async)
{
    amqp_broker *broker = async->data;
    bool more = true;

    if (!broker->closing)
        serve_held_back(broker);
    /* A bounded number of rounds: others want the loop as well. */
    for (int rounds = 0; more && rounds < 1000; rounds++) {
        pthread_mutex_lock(&broker->mutex);
        amqp_node *node = cel__amqp_pop(&broker->events);
        pthread_mutex_unlock(&broker->mutex);
        more = node != NULL;
        bool last = node && node->kind == AMQP_CLOSE;
        if (node)
            tell(broker, node);
        if (last)
            return;
    }
    if (more)
        uv_async_send(async);
}

/* ---- opening and closing ---- */

static cel_code start_link(amqp_broker *broker, cel_error *err)
{
    cel_code code;

    broker->link.broker = broker;
    broker->link.random = (unsigned)(cel__clock_wall_us(broker->clock) ^ getpid());
    int rc = pthread_create(&broker->thread, NULL, cel__amqp_run, &broker->link);
    if (rc != 0)
        return cel_error_set(err, CEL_EIO, "cannot start a thread: %s", strerror(rc));
    pthread_mutex_lock(&broker->mutex);
    while (!broker->opened)
        pthread_cond_wait(&broker->opened_cond, &broker->mutex);
    code = broker->first.code;
    pthread_mutex_unlock(&broker->mutex);
    if (code == CEL_OK)
        return CEL_OK;
    pthread_join(broker->thread, NULL); /* the link ends when its first attempt fails */
    if (err)
        *err = broker->first;
    return code;
}

static cel_code amqp_open(cel_broker **out, const cel_broker_options *options, cel_error *err)
{
    amqp_broker *broker = cel__calloc(1, sizeof *broker);

    if (!broker)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    pthread_mutex_init(&broker->mutex, NULL);
    pthread_cond_init(&broker->opened_cond, NULL);
    broker->base.ops = &cel__amqp_broker_ops;
    broker->clock = options->clock ? options->clock : cel__clock_system();
    broker->log = options->log;
    broker->describe = options->describe;
    broker->queues_of = options->queues_of;
    broker->describe_user = options->describe_user;
    broker->connect_timeout_ms = options->connect_timeout_ms;
    broker->heartbeat_s = options->heartbeat_s;
    broker->delays = options->delay_queue_type.len > 0;
    broker->delay_classic = cel__view_is(options->delay_queue_type, "classic");
    broker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    broker->node = cel__strdup(options->node ? options->node : "celeriac");
    cel_code code = broker->wake_fd < 0
                        ? cel_error_set(err, CEL_EIO, "eventfd: %s", strerror(errno))
                    : !broker->node ? cel_error_set(err, CEL_ENOMEM, "no memory for a broker")
                                    : CEL_OK;
    if (code == CEL_OK && broker->delays && !broker->delay_classic &&
        !cel__view_is(options->delay_queue_type, "quorum"))
        code = cel_error_set(err, CEL_ECONFIG,
                             "broker_native_delayed_delivery_queue_type is '%.*s': quorum, "
                             "classic or None is expected",
                             CEL_VIEW_ARG(options->delay_queue_type));
    if (code == CEL_OK)
        code = cel__amqp_servers_parse(&broker->link.servers, &broker->link.server_count,
                                       options->url, err);
    if (code != CEL_OK) {
        free_broker(broker);
        return code;
    }
    int rc = uv_async_init(options->loop, &broker->async, on_async);
    if (rc != 0) {
        free_broker(broker);
        return cel_error_set(err, CEL_EIO, "uv_async_init: %s", uv_strerror(rc));
    }
    broker->async.data = broker;
    code = start_link(broker, err);
    if (code != CEL_OK) {
        uv_close((uv_handle_t *)&broker->async, handle_closed); /* frees the broker */
        return code;
    }
    *out = &broker->base;
    return CEL_OK;
}

static void amqp_close(cel_broker *base, void (*closed)(void *user), void *user)
{
    amqp_broker *broker = (amqp_broker *)base;

    assert(!broker->closing);
    broker->closed = closed;
    broker->closed_user = user;
    while (broker->consumers)
        stop_consumer(broker->consumers);
    broker->closing = true;
    command(broker, &broker->close_node, AMQP_CLOSE, broker);
}

const cel_broker_ops cel__amqp_broker_ops = {
    .schemes = "amqp,amqps,pyamqp,librabbitmq",
    .native_eta = true,
    .open = amqp_open,
    .close = amqp_close,
    .publish = amqp_publish,
    .consume = amqp_consume,
    .cancel = amqp_cancel,
    .set_window = amqp_set_window,
    .revive = amqp_revive,
    .accept = amqp_accept,
    .ack = amqp_ack,
    .reject = amqp_reject,
    .release = amqp_release,
    .postpone = amqp_postpone,
    .purge = amqp_purge,
    .queues = amqp_queues,
};
