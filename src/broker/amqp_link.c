/* amqp_link.c - the thread that owns the connection.
 *
 *              first connect ok                 broken
 *     START ------------------> CONNECTED -----------------> DOWN --+ a try fails: wait, with
 *       |                        |     ^                      |     | back-off and jitter
 *       | failed                 |     +-------- connected ---+ <---+
 *       v                        v close, when all is confirmed (or at once when DOWN)
 *      END <------------------- END
 *
 * One turn: take the commands; narrow windows; send settlements; widen windows, consume, cancel;
 * publish; receive; wait. Windows are narrowed before acknowledgements and widened after them,
 * so that the server never has room that nobody wants filled.
 *
 * Windows: on RabbitMQ before 4 a channel's basic.qos with global=true holds at once and for all
 * its consumers together: it is sent whenever the target changes noticeably. Later servers and
 * quorum queues know only qos per consumer, fixed when it begins: then consuming is begun anew
 * when the target has doubled or halved. Where nothing comes, any growth is told after a moment:
 * messages that are held for their ETA may be all that the server was asked for. A target of 0 cancels, as 0 means "no limit" to AMQP
 * (but not of a reply queue, which would be gone with its consumer).
 *
 * Acknowledgements: those at the front of the channel's unsettled deliveries go out as one with
 * multiple=true, others one by one.
 *
 * Where deliveries come in a stream, the link rests for REST_NS after each turn: it leaves its socket alone, and neither acknowledgements
 * nor windows wake it. Then all that has come is read, and all that is to be acknowledged is sent, at once. To be woken for
 * each costs link, loop, pool, store and server (most of all a quorum queue, by an entry in its log for each acknowledgement) several times
 * as much as the message itself. What is published does not wait for that. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"
#include "core/mem.h"

#define BACKOFF_MIN_MS   200
#define BACKOFF_MAX_MS   10000
#define CLOSE_TIMEOUT_MS 10000
#define IDLE_MS          5000 /* how often heartbeats are looked at */
#define REFUSED_MS       1000
#define QUIET_MS         2
#define FLOWING_MS       200 /* then whether it still flows is looked at */
#define REST_NS          2000000
#define REST_MIN         4 /* deliveries in a turn: they come in a stream */
#define REST_SHARE       2 /* the part of its window that the server must have left */

static int64_t now_ms(const amqp_link *link)
{
    return cel__clock_mono_ms(link->broker->clock);
}

static bool is_up(const amqp_link *link)
{
    return link->conn && !link->broken;
}

static void
tell_state(amqp_link *link, amqp_consumer *consumer, cel_code code, const cel_error *err)
{
    amqp_news *news = cel__calloc(1, sizeof *news);

    if (!news)
        return;
    news->consumer = consumer;
    news->code = code;
    if (err)
        news->err = *err;
    cel__amqp_event(link->broker, &news->node, AMQP_STATE, news);
}

/* ---- consumers ---- */

amqp_consumer *cel__amqp_consumer_of(amqp_link *link, uint16_t channel)
{
    amqp_consumer *consumer;

    DL_FOREACH2(link->consumers, consumer, link_next)
    {
        if (consumer->channel == channel)
            return consumer;
    }
    return NULL;
}

static void unlink_delivery(amqp_delivery *delivery)
{
    DL_DELETE2(delivery->consumer->unsettled, delivery, tag_prev, tag_next);
    delivery->consumer->unsettled_count--;
    delivery->linked = false;
}

static void set_epoch(amqp_consumer *consumer, uint64_t epoch)
{
    pthread_mutex_lock(&consumer->broker->mutex);
    consumer->epoch = epoch;
    pthread_mutex_unlock(&consumer->broker->mutex);
}

/* The channel is gone, and with it the right to settle what came from it. */
static void forget_channel(amqp_link *link, amqp_consumer *consumer)
{
    link->incoming[consumer->channel].busy = false;
    set_epoch(consumer, 0);
    while (consumer->unsettled)
        unlink_delivery(consumer->unsettled);
    consumer->marked = NULL;
    consumer->open = consumer->active = false;
    consumer->qos = consumer->cancels = 0;
}

static void send_qos(amqp_link *link, amqp_consumer *consumer)
{
    amqp_basic_qos_t qos = {.global = !consumer->per_consumer};

    consumer->qos = consumer->wanted > 0 ? consumer->wanted : 1;
    consumer->quiet_ms = 0;
    qos.prefetch_count = (uint16_t)consumer->qos;
    cel__amqp_ok(link,
                 amqp_send_method(link->conn, consumer->channel, AMQP_BASIC_QOS_METHOD, &qos));
}

static void tag_of(char tag[48], const amqp_consumer *consumer, size_t queue)
{
    snprintf(tag, 48, "%u.%zu", consumer->generation, queue);
}

static void send_cancels(amqp_link *link, amqp_consumer *consumer)
{
    consumer->active = false;
    for (size_t i = 0; i < consumer->options.queue_count && !link->broken; i++) {
        char tag[48];
        tag_of(tag, consumer, i);
        amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(tag)};
        consumer->cancels++;
        cel__amqp_ok(link, amqp_send_method(link->conn, consumer->channel,
                                            AMQP_BASIC_CANCEL_METHOD, &cancel));
    }
}

void cel__amqp_cancel_answered(amqp_link *link, amqp_consumer *consumer)
{
    if (consumer->cancels > 0)
        consumer->cancels--;
    link->again = link->again || consumer->cancels == 0;
}

static void refused(amqp_link *link, amqp_consumer *consumer, const cel_error *err)
{
    if (link->broken)
        return; /* that is told to all */
    unsigned shift = consumer->refusals < 5 ? consumer->refusals : 5;
    consumer->retry_ms = now_ms(link) + ((int64_t)REFUSED_MS << shift);
    if (consumer->refusals++ == 0)
        tell_state(link, consumer, err->code, err);
}

/* Python's clients publish with an ETA to exchanges that they leave to the workers to declare,
 * where a queue is a quorum queue. */
static cel_code prepare_delays(amqp_link *link, amqp_consumer *consumer, cel_error *err)
{
    cel_code code = CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < consumer->options.queue_count; i++) {
        cel_queue_decl decl;
        cel__amqp_describe(link, consumer->options.queues[i], &decl);
        if (!consumer->options.reply && !decl.broadcast && cel__amqp_is_quorum(&decl))
            code = cel__amqp_bind_delayed(link, consumer->options.queues[i], err);
    }
    return code;
}

static cel_code prepare(amqp_link *link, amqp_consumer *consumer, cel_error *err)
{
    bool foreign = false, any = false;
    cel_code code = CEL_OK;

    for (size_t i = 0; code == CEL_OK && i < consumer->options.queue_count; i++) {
        code = consumer->options.reply
                   ? cel__amqp_declare_reply(link, consumer->options.queues[i],
                                             &consumer->options.listening, err)
                   : cel__amqp_declare(link, consumer->options.queues[i], consumer->wires[i],
                                       &foreign, err);
        any = any || foreign;
    }
    if (code == CEL_OK)
        code = prepare_delays(link, consumer, err);
    if (code == CEL_OK && !consumer->open) {
        code = cel__amqp_open_channel(link, consumer->channel, err);
        consumer->open = code == CEL_OK;
        if (code == CEL_OK)
            set_epoch(consumer, ++link->epochs);
    }
    consumer->per_consumer = any || link->version == 0 || link->version >= 4;
    return code;
}

/* The consumer_arguments of the queue: x-priority. */
static amqp_table_t
consume_arguments(amqp_link *link, const amqp_consumer *consumer, size_t queue)
{
    const amqp_broker *broker = link->broker;
    amqp_table_t table = amqp_empty_table;
    cel_queue_decl decl;

    if (consumer->options.reply || !broker->describe ||
        !broker->describe(broker->describe_user, consumer->options.queues[queue], &decl) ||
        !decl.consumer_arguments.ptr)
        return table;
    if (cel__amqp_table_load(&table, decl.consumer_arguments, &link->pool, NULL) != CEL_OK)
        return amqp_empty_table;
    return table;
}

static void start_consuming(amqp_link *link, amqp_consumer *consumer)
{
    cel_error err = {0};

    if (prepare(link, consumer, &err) != CEL_OK) {
        refused(link, consumer, &err);
        return;
    }
    if (consumer->refusals > 0)
        tell_state(link, consumer, CEL_OK, NULL);
    consumer->refusals = 0;
    consumer->retry_ms = 0;
    consumer->generation++;
    consumer->active = true;
    send_qos(link, consumer);
    for (size_t i = 0; i < consumer->options.queue_count && !link->broken; i++) {
        char tag[48];
        cel_view queue = consumer->wires[i];
        tag_of(tag, consumer, i);
        amqp_basic_consume_t consume = {.queue = {queue.len, (void *)queue.ptr},
                                        .consumer_tag = amqp_cstring_bytes(tag),
                                        .nowait = 1,
                                        .arguments = consume_arguments(link, consumer, i)};
        cel__amqp_ok(link, amqp_send_method(link->conn, consumer->channel,
                                            AMQP_BASIC_CONSUME_METHOD, &consume));
        recycle_amqp_pool(&link->pool);
    }
}

void cel__amqp_consumer_closed(amqp_link *link, amqp_consumer *consumer, const cel_error *err)
{
    forget_channel(link, consumer);
    for (size_t i = 0; i < consumer->options.queue_count; i++)
        cel__amqp_forget(link, consumer->wires[i]);
    refused(link, consumer, err);
}

/* Its queue was deleted: all of them are declared and consumed anew. */
void cel__amqp_consumer_dropped(amqp_link *link, amqp_consumer *consumer, cel_view tag)
{
    char current[48];

    if (!consumer->active)
        return;
    for (size_t i = 0; i < consumer->options.queue_count; i++) {
        tag_of(current, consumer, i);
        cel__amqp_forget(link, consumer->wires[i]);
        if (cel__view_is(tag, current))
            cel__warning(link->broker->log,
                         "the queue '%.*s' was deleted or moved: it is declared anew",
                         CEL_VIEW_ARG(consumer->options.queues[i]));
    }
    send_cancels(link, consumer); /* an unknown tag is answered, too */
}

static bool is_noticeable(size_t a, size_t b)
{
    size_t more = a > b ? a : b, less = a > b ? b : a;

    return more - less > less / 8;
}

/* More would be taken than the server was told, and nothing comes: then small changes count, too. */
static bool is_starved(amqp_link *link, amqp_consumer *consumer)
{
    if (consumer->wanted <= consumer->qos) {
        consumer->quiet_ms = 0;
        return false;
    }
    if (consumer->quiet_ms == 0)
        consumer->quiet_ms = now_ms(link) + QUIET_MS;
    return now_ms(link) >= consumer->quiet_ms;
}

/* A queue of its own ends with the consumer: it is consumed until nobody wants it any more. */
static bool is_kept(const amqp_consumer *consumer)
{
    return consumer->kept && !consumer->stopping;
}

static void narrow_window(amqp_link *link, amqp_consumer *consumer)
{
    if (!consumer->active || link->broken || is_kept(consumer))
        return;
    if (consumer->wanted == 0)
        send_cancels(link, consumer);
    else if (!consumer->per_consumer && consumer->wanted < consumer->qos &&
             is_noticeable(consumer->wanted, consumer->qos))
        send_qos(link, consumer);
}

static void widen_window(amqp_link *link, amqp_consumer *consumer)
{
    if (link->broken)
        return;
    if (!consumer->active) {
        if ((consumer->wanted > 0 || is_kept(consumer)) && consumer->cancels == 0 &&
            now_ms(link) >= consumer->retry_ms)
            start_consuming(link, consumer);
    } else if (is_kept(consumer)) {
        return;
    } else if (!consumer->per_consumer) {
        if (consumer->wanted > consumer->qos &&
            (is_noticeable(consumer->wanted, consumer->qos) || is_starved(link, consumer)))
            send_qos(link, consumer);
    } else if (consumer->wanted >= 2 * consumer->qos || consumer->wanted * 2 <= consumer->qos ||
               is_starved(link, consumer)) {
        send_cancels(link, consumer); /* and again with the new one when that is answered */
    }
}

/* Once nothing more can come; and once nothing is out, the channel is closed. */
static void end_consumer(amqp_link *link, amqp_consumer *consumer)
{
    if (!consumer->stopping || consumer->active || consumer->cancels > 0)
        return;
    if (!consumer->stopped) {
        consumer->stopped = true;
        cel__amqp_event(link->broker, &consumer->stopped_node, AMQP_STOPPED, consumer);
    }
    if (consumer->unsettled)
        return;
    if (consumer->open && is_up(link)) {
        amqp_channel_close(link->conn, consumer->channel, AMQP_REPLY_SUCCESS);
        cel__amqp_reply(link, consumer->channel, NULL, NULL);
    }
    forget_channel(link, consumer);
    DL_DELETE2(link->consumers, consumer, link_prev, link_next);
    cel__amqp_event(link->broker, &consumer->node, AMQP_CANCEL, consumer);
}

static void add_consumer(amqp_link *link, amqp_consumer *consumer)
{
    uint16_t channel = AMQP_CH_CONSUMER;

    while (cel__amqp_consumer_of(link, channel))
        channel++;
    consumer->channel = channel;
    DL_APPEND2(link->consumers, consumer, link_prev, link_next);
    if (channel >= AMQP_CHANNELS) { /* cancelled ones still have deliveries out */
        cel_error err;
        cel_error_set(&err, CEL_EFULL, "too many consumers on one connection");
        consumer->retry_ms = INT64_MAX;
        tell_state(link, consumer, err.code, &err);
    }
}

/* ---- settlements ---- */

static void mark(amqp_delivery *delivery, amqp_verdict verdict)
{
    delivery->mark = verdict;
    delivery->mark_next = delivery->consumer->marked;
    delivery->consumer->marked = delivery;
}

static void take_accept(amqp_delivery *delivery)
{
    if (delivery->linked && delivery->mark == AMQP_OPEN)
        mark(delivery, AMQP_ACKED);
}

/* What was lost with its channel is not linked. */
static void take_settle(amqp_delivery *delivery)
{
    if (delivery->sent || delivery->mark != AMQP_OPEN)
        delivery->code = delivery->verdict == AMQP_REQUEUED ? CEL_ESTALE : CEL_OK;
    else if (!delivery->linked)
        delivery->code = CEL_ESTALE;
    else
        mark(delivery, delivery->verdict);
}

static void was_sent(amqp_delivery *delivery)
{
    unlink_delivery(delivery);
    delivery->sent = true;
}

static void send_front(amqp_link *link, amqp_consumer *consumer)
{
    uint64_t tag = 0;
    size_t count = 0;

    for (; consumer->unsettled && consumer->unsettled->mark == AMQP_ACKED; count++) {
        tag = consumer->unsettled->tag;
        was_sent(consumer->unsettled);
    }
    if (count > 0)
        cel__amqp_ok(link, amqp_basic_ack(link->conn, consumer->channel, tag, count > 1));
}

static void send_marked(amqp_link *link, amqp_consumer *consumer)
{
    amqp_delivery *delivery, *next;

    if (!consumer->marked)
        return;
    for (delivery = consumer->marked; delivery; delivery = delivery->mark_next) {
        if (delivery->mark == AMQP_ACKED || link->broken)
            continue;
        cel__amqp_ok(link, amqp_basic_reject(link->conn, consumer->channel, delivery->tag,
                                             delivery->mark == AMQP_REQUEUED));
        was_sent(delivery);
    }
    if (!link->broken)
        send_front(link, consumer);
    for (delivery = consumer->marked; delivery; delivery = next) {
        next = delivery->mark_next;
        delivery->mark_next = NULL;
        if (delivery->sent || link->broken)
            continue;
        cel__amqp_ok(link, amqp_basic_ack(link->conn, consumer->channel, delivery->tag, 0));
        was_sent(delivery);
    }
    consumer->marked = NULL;
}

/* After the flush: what could not be sent is lost with the connection. */
static void tell_settled(amqp_link *link, amqp_list *settled)
{
    amqp_node *node;

    while ((node = cel__amqp_pop(settled)) != NULL) {
        amqp_delivery *delivery = node->owner;
        if (delivery->code == CEL_OK && !delivery->sent)
            delivery->code = CEL_ESTALE;
        if (delivery->linked)
            unlink_delivery(delivery);
        cel__amqp_event(link->broker, node, AMQP_SETTLE, delivery);
    }
}

/* ---- commands ---- */

static void take_question(amqp_link *link, amqp_question *question)
{
    if (is_up(link))
        cel__amqp_ask(link, question);
    else
        cel_error_set(&question->err, CEL_ECONN, "%s", link->error.message);
    cel__amqp_event(link->broker, &question->node, AMQP_ASK, question);
}

/* A consumer whose queue would end with it can only be begun anew with the connection. */
static void take_revival(amqp_link *link, amqp_revival *revival)
{
    amqp_consumer *consumer = revival->consumer;

    consumer->retry_ms = 0;
    if (revival->reconnect && is_up(link)) {
        link->server = (link->server + 1) % link->server_count;
        cel__amqp_break(link, CEL_ECONN, "messages wait in a queue, but do not come");
    } else if (is_up(link) && consumer->active && !is_kept(consumer)) {
        for (size_t i = 0; i < consumer->options.queue_count; i++)
            cel__amqp_forget(link, consumer->wires[i]);
        send_cancels(link, consumer);
    }
    cel__free(revival);
}

static void take_command(amqp_link *link, amqp_node *node, amqp_list *settled)
{
    amqp_batch *batch;
    amqp_delivery *delivery;

    switch (node->kind) {
    case AMQP_PUBLISH:
        batch = node->owner;
        DL_APPEND2(link->waiting, batch, prev, later);
        break;
    case AMQP_CONSUME:
        add_consumer(link, node->owner);
        break;
    case AMQP_CANCEL:
        ((amqp_consumer *)node->owner)->stopping = true;
        break;
    case AMQP_ACCEPT:
        take_accept(node->owner);
        break;
    case AMQP_SETTLE:
        delivery = node->owner;
        take_settle(delivery);
        cel__amqp_push(settled, node, AMQP_SETTLE, delivery);
        break;
    case AMQP_ASK:
        take_question(link, node->owner);
        break;
    case AMQP_REVIVE:
        take_revival(link, node->owner);
        break;
    case AMQP_CLOSE:
        link->closing = true;
        link->closing_until_ms = now_ms(link) + CLOSE_TIMEOUT_MS;
        break;
    default:
        assert(node->kind == AMQP_CLOSE); /* no event comes this way */
    }
}

static void take_commands(amqp_link *link, amqp_list *commands)
{
    amqp_broker *broker = link->broker;
    amqp_consumer *consumer;
    uint64_t ignored;

    pthread_mutex_lock(&broker->mutex);
    broker->resting = false;
    if (broker->woken && read(broker->wake_fd, &ignored, sizeof ignored) > 0)
        broker->woken = false;
    *commands = broker->commands;
    broker->commands = (amqp_list){NULL, NULL};
    DL_FOREACH2(link->consumers, consumer, link_next)
    consumer->wanted = cel__amqp_target(consumer, &consumer->flows);
    for (amqp_node *node = commands->first; node; node = node->next) {
        if (node->kind != AMQP_CONSUME)
            continue;
        consumer = node->owner;
        consumer->wanted = cel__amqp_target(consumer, &consumer->flows);
    }
    pthread_mutex_unlock(&broker->mutex);
}

static void run_commands(amqp_link *link)
{
    amqp_list commands, settled = {NULL, NULL};
    amqp_consumer *consumer, *next;
    amqp_node *node;

    take_commands(link, &commands);
    if (is_up(link)) {
        DL_FOREACH2(link->consumers, consumer, link_next)
        narrow_window(link, consumer);
    }
    while ((node = cel__amqp_pop(&commands)) != NULL)
        take_command(link, node, &settled);
    DL_FOREACH2(link->consumers, consumer, link_next)
    {
        if (is_up(link))
            send_marked(link, consumer);
    }
    tell_settled(link, &settled);
    DL_FOREACH_SAFE2(link->consumers, consumer, next, link_next)
    {
        if (is_up(link) && consumer->channel < AMQP_CHANNELS && !consumer->stopping)
            widen_window(link, consumer);
        if (is_up(link) && consumer->stopping)
            narrow_window(link, consumer);
        end_consumer(link, consumer);
    }
}

/* ---- the connection's life ---- */

/* Half of it at random, so that a thousand workers do not come back at once. */
static int64_t backoff_ms(amqp_link *link)
{
    unsigned shift = link->tries < 8 ? link->tries : 8;
    int64_t ms = (int64_t)BACKOFF_MIN_MS << shift;

    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    link->tries++;
    return ms / 2 + rand_r(&link->random) % (ms / 2 + 1);
}

static void begin_outage(amqp_link *link)
{
    if (link->outage)
        return;
    link->outage = true;
    tell_state(link, NULL, CEL_ECONN, &link->error);
}

static void lost(amqp_link *link)
{
    amqp_consumer *consumer;

    link->error.code = CEL_ECONN;
    link->error.retriable = true;
    cel__amqp_drop_incoming(link);
    DL_FOREACH2(link->consumers, consumer, link_next)
    forget_channel(link, consumer);
    cel__amqp_fail_unconfirmed(link, &link->error);
    cel__amqp_disconnect(link);
    link->tries = 0;
    link->next_try_ms = now_ms(link) + rand_r(&link->random) % 100;
    if (!link->closing)
        begin_outage(link);
}

static void reconnect(amqp_link *link)
{
    amqp_consumer *consumer;
    cel_error err = {0};

    if (cel__amqp_connect(link, &err) != CEL_OK) {
        link->error = err;
        link->error.code = CEL_ECONN;
        link->error.retriable = true;
        cel__amqp_fail_waiting(link, &link->error);
        link->next_try_ms = now_ms(link) + backoff_ms(link);
        cel__debug(link->broker->log, "cannot connect: %s", err.message);
        return;
    }
    link->outage = false;
    link->tries = 0;
    DL_FOREACH2(link->consumers, consumer, link_next)
    {
        consumer->refusals = 0;
        if (consumer->channel < AMQP_CHANNELS)
            consumer->retry_ms = 0;
    }
    tell_state(link, NULL, CEL_OK, NULL);
}

/* See above. Not where the server could run out of room to send meanwhile. */
static void rest(amqp_link *link)
{
    const amqp_consumer *consumer;
    size_t came = link->came;

    link->came = 0;
    link->rest_until_ns = 0;
    if (came < REST_MIN || link->broken)
        return;
    DL_FOREACH2(link->consumers, consumer, link_next)
    {
        if (consumer->stopping || consumer->unsettled_count * REST_SHARE > consumer->wanted)
            return;
    }
    link->rest_until_ns = uv_hrtime() + REST_NS;
}

static bool is_resting(const amqp_link *link)
{
    return link->rest_until_ns > 0 && uv_hrtime() < link->rest_until_ns;
}

static int wait_time(amqp_link *link, bool more)
{
    int64_t now = now_ms(link), until = now + IDLE_MS;
    const amqp_consumer *consumer;

    if (more || (link->conn && amqp_frames_enqueued(link->conn)))
        return 0;
    if (!link->conn && link->next_try_ms < until)
        until = link->next_try_ms;
    if (link->closing && link->closing_until_ms < until)
        until = link->closing_until_ms;
    DL_FOREACH2(link->consumers, consumer, link_next)
    {
        if (link->conn && !consumer->active && consumer->retry_ms > 0 &&
            consumer->retry_ms < until)
            until = consumer->retry_ms;
        if (consumer->flows && now + FLOWING_MS < until)
            until = now + FLOWING_MS;
        if (link->conn && consumer->active && consumer->quiet_ms > 0 &&
            consumer->quiet_ms < until)
            until = consumer->quiet_ms;
    }
    return until > now ? (int)(until - now) : 0;
}

static int64_t rest_left_ns(amqp_link *link)
{
    uint64_t now = uv_hrtime();

    pthread_mutex_lock(&link->broker->mutex);
    link->broker->resting = true;
    pthread_mutex_unlock(&link->broker->mutex);
    return now < link->rest_until_ns ? (int64_t)(link->rest_until_ns - now) : 0;
}

static void wait_for_something(amqp_link *link, bool more)
{
    struct pollfd fds[2] = {{.fd = link->broker->wake_fd, .events = POLLIN},
                            {.fd = -1, .events = POLLIN}};
    int64_t ns = 1000000LL * wait_time(link, more);

    if (ns > 0 && is_resting(link)) {
        int64_t left = rest_left_ns(link);
        ns = left < ns ? left : ns;
    } else if (link->conn) {
        fds[1].fd = amqp_get_sockfd(link->conn);
    }
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    while (ppoll(fds, 2, &time, NULL) < 0 && errno == EINTR) {
    }
}

static bool is_finished(const amqp_link *link)
{
    if (!link->closing)
        return false;
    return !link->conn || (!link->waiting && !link->unconfirmed) ||
           now_ms(link) >= link->closing_until_ms;
}

static void turn(amqp_link *link)
{
    bool more = false;

    if (!link->conn && !link->closing && now_ms(link) >= link->next_try_ms)
        reconnect(link);
    run_commands(link);
    if (is_up(link))
        more = cel__amqp_send_waiting(link);
    link->again = false;
    if (is_up(link) && !is_resting(link)) {
        if (cel__amqp_receive(link))
            more = true;
        cel__amqp_hand_over(link->broker);
        rest(link);
    }
    more = more || link->again;
    if (link->conn && link->broken)
        lost(link);
    if (!is_finished(link))
        wait_for_something(link, more);
}

static void end(amqp_link *link)
{
    amqp_consumer *consumer, *next;
    cel_error err;

    cel_error_set(&err, CEL_ECANCELED, "the broker was closed");
    cel__amqp_fail_waiting(link, &err);
    cel__amqp_fail_unconfirmed(link, &err);
    cel__amqp_drop_incoming(link);
    DL_FOREACH_SAFE2(link->consumers, consumer, next, link_next)
    {
        forget_channel(link, consumer);
        DL_DELETE2(link->consumers, consumer, link_prev, link_next);
    }
    cel__amqp_disconnect(link);
}

static bool connect_first(amqp_link *link)
{
    amqp_broker *broker = link->broker;
    cel_error err = {0};
    cel_code code = cel__amqp_connect(link, &err);

    pthread_mutex_lock(&broker->mutex);
    broker->first = err;
    broker->first.code = code;
    broker->opened = true;
    pthread_cond_signal(&broker->opened_cond);
    pthread_mutex_unlock(&broker->mutex);
    return code == CEL_OK;
}

void *cel__amqp_run(void *arg)
{
    amqp_link *link = arg;
    amqp_broker *broker = link->broker;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    init_amqp_pool(&link->pool, 4096);
    bool connected = connect_first(link);
    if (connected) {
        do
            turn(link);
        while (!is_finished(link));
        end(link);
    }
    empty_amqp_pool(&link->pool);
    cel__buf_done(&link->scratch);
    if (connected)
        cel__amqp_event(broker, &broker->close_node, AMQP_CLOSE, broker);
    return NULL;
}
