/* redis_consume.c - consumers.
 *
 * A consumer has at most one claim under way, sent at the end of a turn and behind its
 * settlements, so that it asks for as much as they have freed. When a claim has found too little,
 * the next one is *armed*: the server remembers the lists that it read (client tracking) and
 * tells the listener when one is changed. So a consumer that has found nothing waits without
 * asking, and no message leaves its list before it is registered. A timer looks now and then
 * all the same, and when something is due. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define LOOK_MS       10000 /* between two looks nobody asked for */
#define LOOK_BLIND_MS 200   /* the same where the server does not tell */
#define HELD_MAX      10000 /* fanout messages kept for a full window */

static rq_consumer *of_request(cel__redis_request *request)
{
    return (rq_consumer *)((char *)request - offsetof(rq_consumer, request));
}

/* ---- looking ---- */

void cel__rq_pump(rq_consumer *consumer)
{
    if (consumer->cancelled)
        return;
    while (consumer->held_back && consumer->out < consumer->options.window) {
        rq_delivery *delivery = consumer->held_back;

        consumer->held_back = delivery->link;
        consumer->held_count--;
        consumer->out++;
        consumer->options.on_delivery(consumer->options.user, &delivery->base);
        if (consumer->cancelled)
            return;
    }
    consumer->wanted = !consumer->idle && consumer->queue_count > 0 &&
                       consumer->out < consumer->options.window;
}

static void wake(rq_consumer *consumer)
{
    consumer->again = true;
    consumer->idle = false;
    cel__rq_pump(consumer);
}

void cel__rq_wake_all(rq_broker *broker)
{
    rq_consumer *consumer;

    DL_FOREACH(broker->consumers, consumer)
    wake(consumer);
}

static void on_timer(uv_timer_t *timer)
{
    wake(timer->data);
}

static void wait_for(rq_consumer *consumer, int64_t due_in_ms)
{
    int64_t wait_ms = consumer->broker->tracking ? LOOK_MS : LOOK_BLIND_MS;

    if (due_in_ms >= 0 && due_in_ms < wait_ms)
        wait_ms = due_in_ms + 1;
    uv_timer_start(&consumer->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* ---- handing over ---- */

static void on_given_back(void *user, cel_code code, const cel_error *err)
{
    rq_consumer *consumer = user;

    (void)code, (void)err;
    consumer->returning--;
    cel__rq_finish_cancel(consumer);
}

/* What was claimed for a consumer that wants it no more. */
static void give_back(rq_consumer *consumer, rq_delivery *delivery)
{
    delivery->consumer = NULL;
    consumer->returning++;
    cel__rq_settle(delivery, 'r', on_given_back, consumer);
}

void cel__rq_hand_over(rq_consumer *consumer, rq_delivery *delivery)
{
    if (consumer->cancelled || (consumer->options.window == 0 && delivery->claim)) {
        give_back(consumer, delivery);
        return;
    }
    if (!delivery->claim && consumer->out >= consumer->options.window) {
        if (consumer->held_count >= HELD_MAX) { /* as if it had come when nobody listened */
            delivery->consumer = NULL;
            cel__rq_settle(delivery, 'a', NULL, NULL);
            return;
        }
        delivery->link = NULL;
        LL_APPEND2(consumer->held_back, delivery, link);
        consumer->held_count++;
        return;
    }
    consumer->out++;
    consumer->options.on_delivery(consumer->options.user, &delivery->base);
}

static void put_aside(rq_delivery *delivery)
{
    delivery->consumer = NULL;
    cel__rq_settle(delivery, 'x', NULL, NULL);
}

/* What is no message is settled by its tag; it has one, or the script had put it aside. */
static rq_delivery *hostile(rq_consumer *consumer, cel_view text, const cel_error *why)
{
    cel_view tag = cel__rq_tag(text);
    rq_delivery *delivery = cel__calloc(1, sizeof *delivery + tag.len);

    cel__err(consumer->broker->log, "a message in Redis is put aside (celeriac.quarantine): %s",
             why->message);
    if (!delivery)
        return NULL;
    if (tag.len)
        memcpy(delivery->bytes, tag.ptr, tag.len);
    delivery->tag = (cel_view){delivery->bytes, tag.len};
    return delivery;
}

static void
take_message(rq_consumer *consumer, rq_claim *claim, cel_view list, size_t place, cel_view text)
{
    rq_broker *broker = consumer->broker;
    cel_view queue = consumer->queues[place % consumer->queue_count];
    rq_delivery *delivery;
    cel_error err;
    bool bad = cel__rq_delivery_new(&delivery, text, queue, &err) != CEL_OK;

    if (bad)
        delivery = hostile(consumer, text, &err);
    if (!delivery)
        return; /* no memory: the lease has it, and its end gives it back */
    delivery->base.broker = &broker->base;
    delivery->consumer = consumer;
    delivery->claim = claim;
    delivery->list = list;
    delivery->place = (char)('a' + place / consumer->queue_count);
    if (claim)
        claim->left++;
    DL_APPEND(broker->deliveries, delivery);
    if (bad) {
        put_aside(delivery);
    } else if (claim && delivery->eta_ms > cel__clock_wall_ms(broker->clock)) {
        delivery->consumer = NULL;
        cel__rq_settle(delivery, 'p', NULL, NULL);
        consumer->again = true; /* to learn when it is due */
    } else {
        cel__rq_hand_over(consumer, delivery);
    }
}

/* The list's name among the words of the claim. */
static cel_view list_of(const rq_consumer *consumer, size_t place)
{
    return consumer->lists[place];
}

/* The runs of a claim's answer; returns how many messages there were. */
static size_t take_runs(rq_consumer *consumer, const redisReply *reply)
{
    size_t places = consumer->queue_count * consumer->broker->settings.step_count;
    rq_claim *claim = NULL;
    size_t got = 0, at = 3;

    if (!consumer->options.reply && reply->elements > 3) {
        claim = cel__calloc(1, sizeof *claim);
        if (!claim)
            return reply->elements; /* as above */
        claim->seq = consumer->seq;
        claim->left = 1; /* ours, until all are taken */
    }
    while (at + 1 < reply->elements) {
        size_t place = (size_t)reply->element[at]->integer - 1;
        size_t count = (size_t)reply->element[at + 1]->integer;

        at += 2;
        for (size_t i = 0; i < count && at < reply->elements && place < places; i++, at++) {
            const redisReply *text = reply->element[at];

            got++;
            take_message(consumer, claim, list_of(consumer, place), place,
                         (cel_view){text->str, (size_t)text->len});
        }
    }
    if (claim)
        claim->left--;
    return got;
}

/* ---- claiming ---- */

static void claim_failed(rq_consumer *consumer)
{
    consumer->idle = true;
    if (!consumer->cancelled)
        uv_timer_start(&consumer->timer, on_timer, 500, 0);
}

static void take_answer(rq_consumer *consumer, const redisReply *reply)
{
    size_t asked = consumer->asked;
    int64_t now_ms = reply->elements > 1 ? reply->element[0]->integer : 0;
    int64_t due_ms = reply->elements > 1 ? reply->element[1]->integer : 0;
    bool armed = consumer->armed;
    size_t got;

    if (reply->elements < 3)
        return;
    if (reply->element[2]->integer > 0)
        cel__err(consumer->broker->log,
                 "%lld messages without a delivery tag are put aside (celeriac.quarantine)",
                 reply->element[2]->integer);
    consumer->turn++;
    got = take_runs(consumer, reply);
    /* Idle is who has found nothing and will be told of what comes. */
    consumer->arm = got < asked;
    consumer->idle = got == 0 && (armed || !consumer->broker->tracking) && !consumer->again;
    if (consumer->cancelled)
        return;
    if (due_ms > 0)
        wait_for(consumer, due_ms > now_ms ? due_ms - now_ms : 0);
    else if (consumer->idle)
        wait_for(consumer, -1);
}

static void
on_claimed(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_consumer *consumer = of_request(request);
    rq_broker *broker = consumer->broker;

    consumer->claiming = false;
    consumer->unsure = err != NULL;
    if (err || reply->type != REDIS_REPLY_ARRAY) {
        if (err && err->code != CEL_ECONN && err->code != CEL_ECANCELED &&
            !consumer->told_error)
            cel__err(broker->log, "cannot take messages from Redis, trying again: %s",
                     err->message);
        consumer->told_error = err && err->code != CEL_ECONN;
        claim_failed(consumer);
    } else {
        consumer->told_error = false;
        take_answer(consumer, reply);
    }
    cel__rq_pump(consumer);
    cel__rq_finish_cancel(consumer);
    cel__rq_answered(broker);
}

static void arm(rq_broker *broker)
{
    cel__buf command = {0};

    cel__redis_begin(&command, 3);
    cel__redis_word(&command, CEL_VIEW("CLIENT"));
    cel__redis_word(&command, CEL_VIEW("CACHING"));
    cel__redis_word(&command, CEL_VIEW("YES"));
    cel__rq_do(broker, &command);
}

static void claim(rq_consumer *consumer)
{
    rq_broker *broker = consumer->broker;
    const rq_settings *settings = &broker->settings;
    size_t room = consumer->options.window - consumer->out;
    cel__buf command = {0};
    cel_error err;

    consumer->wanted = false;
    consumer->again = consumer->unsure; /* that answer may be an old one, or none */
    consumer->asked = room < RQ_CLAIM_MAX ? room : RQ_CLAIM_MAX;
    consumer->armed = consumer->arm && broker->tracking;
    if (consumer->armed)
        arm(broker);
    cel__rq_call(broker, &command, RQ_CLAIM, consumer->queue_count * (settings->step_count + 1),
                 11 + consumer->queue_count);
    cel__buf_add_view(&command, cel__buf_view(&consumer->head));
    if (!consumer->unsure) /* else it may have been done: then the same is answered */
        consumer->seq = ++broker->claims;
    cel__redis_int(&command, (int64_t)consumer->seq);
    cel__redis_int(&command, (int64_t)consumer->asked);
    cel__redis_int(&command, (int64_t)consumer->queue_count);
    cel__redis_int(&command, (int64_t)settings->step_count);
    cel__redis_int(&command,
                   settings->rotates ? (int64_t)(consumer->turn % consumer->queue_count) : 0);
    cel__redis_int(&command, !consumer->options.reply);
    cel__buf_add_view(&command, cel__buf_view(&consumer->tail));
    consumer->claiming = true;
    if (cel__rq_send(broker, &consumer->request, &command, &err) == CEL_OK)
        return;
    consumer->claiming = false;
    claim_failed(consumer);
}

void cel__rq_send_claims(rq_broker *broker)
{
    rq_consumer *consumer;

    DL_FOREACH(broker->consumers, consumer)
    {
        if (consumer->wanted && !consumer->claiming && !consumer->cancelled &&
            !broker->outage && consumer->out < consumer->options.window)
            claim(consumer);
    }
}

/* ---- beginning ---- */

void cel__rq_free_consumer(rq_consumer *consumer)
{
    cel__free(consumer->queues);
    cel__free(consumer->channels);
    cel__free(consumer->names);
    cel__free(consumer->lists);
    cel__buf_done(&consumer->head);
    cel__buf_done(&consumer->tail);
    cel__free(consumer);
}

static int compare(const void *a, const void *b)
{
    const cel_view *left = a, *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = memcmp(left->ptr, right->ptr, len);

    return order ? order : (left->len > right->len) - (left->len < right->len);
}

/* Whether its messages come over the channel of decl->exchange and decl->routing_key. */
static bool is_fanout(const rq_broker *broker,
                      const cel_consumer_options *options,
                      cel_view queue,
                      cel_queue_decl *decl)
{
    const cel_listening *listening = &options->listening;

    if (!options->reply)
        return cel__rq_describe(broker, queue, decl) &&
               cel__view_is(decl->exchange_type, "fanout");
    *decl = (cel_queue_decl){.exchange = listening->exchange};
    if (listening->kind == CEL_EXCHANGE_TOPIC)
        decl->routing_key = listening->pattern;
    return listening->kind == CEL_EXCHANGE_TOPIC || listening->kind == CEL_EXCHANGE_FANOUT;
}

/* Sorts the queues into lists and channels. */
static cel_code
sort_queues(rq_consumer *consumer, const cel_consumer_options *options, cel_error *err)
{
    rq_broker *broker = consumer->broker;
    cel__buf names = {0};
    size_t *ends = cel__calloc(options->queue_count, 3 * sizeof *ends);
    size_t lists = 0, channels = 0;
    cel_code code = CEL_OK;

    for (size_t i = 0; ends && i < options->queue_count; i++) {
        cel_queue_decl decl;
        bool fanout = is_fanout(broker, options, options->queues[i], &decl);

        ends[3 * i] = names.len;
        cel__buf_add_view(&names, options->queues[i]);
        ends[3 * i + 1] = names.len;
        if (fanout)
            cel__rq_channel(&names, &broker->settings, decl.exchange, decl.routing_key);
        for (size_t at = ends[3 * i + 1]; at < names.len && !names.failed; at++)
            if (names.ptr[at] == '#')
                names.ptr[at] = '*';
        ends[3 * i + 2] = names.len;
    }
    cel__buf_add_byte(&names, '\0');
    consumer->names = cel__buf_detach(&names, NULL);
    consumer->queues = cel__calloc(options->queue_count, sizeof *consumer->queues);
    consumer->channels = cel__calloc(options->queue_count, 2 * sizeof *consumer->channels);
    if (!ends || !consumer->names || !consumer->queues || !consumer->channels)
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    for (size_t i = 0; code == CEL_OK && i < options->queue_count; i++) {
        const size_t *end = ends + 3 * i;
        cel_view name = {consumer->names + end[0], end[1] - end[0]};

        if (end[2] > end[1]) {
            consumer->channels[2 * channels] =
                (cel_view){consumer->names + end[1], end[2] - end[1]};
            consumer->channels[2 * channels++ + 1] = name;
        } else {
            consumer->queues[lists++] = name;
        }
    }
    cel__free(ends);
    consumer->queue_count = lists;
    consumer->channel_count = channels;
    if (code == CEL_OK && broker->settings.sorted)
        qsort(consumer->queues, lists, sizeof *consumer->queues, compare);
    return code;
}

/* The names of the lists, as words of a command and as views into those words. */
static cel_code add_lists(rq_consumer *consumer, cel_error *err)
{
    const rq_settings *settings = &consumer->broker->settings;
    size_t count = consumer->queue_count * settings->step_count, at;

    consumer->lists = cel__calloc(count + 1, sizeof *consumer->lists);
    for (size_t i = 0; i < count; i++)
        cel__rq_list_word(&consumer->head, settings,
                          consumer->queues[i % consumer->queue_count],
                          i / consumer->queue_count);
    for (size_t i = 0; i < consumer->queue_count; i++) {
        cel__buf name = {0};

        cel__buf_add_str(&name, settings->prefix);
        cel__buf_add_str(&name, "celeriac.eta.");
        cel__buf_add_view(&name, consumer->queues[i]);
        cel__redis_word(&consumer->head, cel__buf_view(&name));
        cel__buf_done(&name);
    }
    cel__rq_word(&consumer->head, settings->prefix);
    cel__rq_word(&consumer->head, settings->unacked);
    cel__rq_word(&consumer->head, settings->index);
    cel__rq_word(&consumer->head, consumer->broker->owner);
    cel__redis_int(&consumer->head, consumer->broker->lease_ms);
    if (!consumer->lists || consumer->head.failed)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    at = 0;
    for (size_t i = 0; i < count; i++) { /* $<len>\r\n<name>\r\n */
        size_t len = strtoul(consumer->head.ptr + at + 1, NULL, 10);

        at += strcspn(consumer->head.ptr + at, "\n") + 1;
        consumer->lists[i] = (cel_view){consumer->head.ptr + at, len};
        at += len + 2;
    }
    return CEL_OK;
}

static cel_code
prepare(rq_consumer *consumer, const cel_consumer_options *options, cel_error *err)
{
    cel_code code = sort_queues(consumer, options, err);

    if (code == CEL_OK)
        code = add_lists(consumer, err);
    for (size_t i = 0; code == CEL_OK && i < consumer->queue_count; i++) {
        cel__buf name = {0};

        cel__buf_add_json(&name, consumer->queues[i]);
        cel__redis_word(&consumer->tail, cel__buf_view(&name));
        consumer->tail.failed = consumer->tail.failed || name.failed;
        cel__buf_done(&name);
    }
    if (code == CEL_OK)
        code = cel__buf_check(&consumer->tail, err);
    return code;
}

static void announce(rq_consumer *consumer)
{
    rq_broker *broker = consumer->broker;

    for (size_t i = 0; i < consumer->queue_count; i++) {
        if (!consumer->options.reply)
            cel__rq_declare(broker, consumer->queues[i]);
        cel__rq_pulse_add(broker->pulse, consumer->options.reply ? 'm' : 'c',
                          consumer->queues[i]);
    }
    cel__rq_bind_listener(consumer, true);
}

cel_code cel__rq_consume(cel_consumer **out,
                         cel_broker *base,
                         const cel_consumer_options *options,
                         cel_error *err)
{
    rq_broker *broker = (rq_broker *)base;
    rq_consumer *consumer;
    cel_code code = CEL_OK;

    if (options->queue_count == 0 || broker->closing)
        return cel_error_set(err, CEL_EINVAL,
                             broker->closing ? "the broker is closing"
                                             : "a consumer needs a queue");
    for (size_t i = 0; code == CEL_OK && i < options->queue_count; i++)
        code = cel__rq_check_queue(options->queues[i], err);
    if (code != CEL_OK)
        return code;
    consumer = cel__calloc(1, sizeof *consumer);
    if (!consumer)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a consumer");
    consumer->broker = broker;
    consumer->options = *options;
    consumer->request.done = on_claimed;
    consumer->arm = true;
    code = prepare(consumer, options, err);
    if (code == CEL_OK)
        code = cel__rq_pulse_start(broker, err);
    if (code == CEL_OK)
        code = cel__rq_listen(broker, consumer, err);
    if (code != CEL_OK) {
        cel__rq_free_consumer(consumer);
        return code;
    }
    uv_timer_init(broker->loop, &consumer->timer);
    consumer->timer.data = consumer;
    DL_APPEND(broker->consumers, consumer);
    announce(consumer);
    cel__rq_pump(consumer);
    *out = (cel_consumer *)consumer;
    return CEL_OK;
}

void cel__rq_set_window(cel_consumer *base, size_t window)
{
    rq_consumer *consumer = (rq_consumer *)base;

    consumer->options.window = window;
    cel__rq_pump(consumer);
}

/* ---- canceling ---- */

void cel__rq_finish_cancel(rq_consumer *consumer)
{
    rq_broker *broker = consumer->broker;
    void (*done)(void *user) = consumer->done;
    void *user = consumer->done_user;

    if (!consumer->cancelled || !consumer->forgotten || !consumer->timer_closed ||
        consumer->claiming || consumer->returning > 0)
        return;
    DL_DELETE(broker->consumers, consumer);
    cel__rq_free_consumer(consumer);
    broker->pending++;
    if (done)
        done(user);
    cel__rq_answered(broker);
}

struct forgetting {
    cel__redis_request request;
    rq_consumer *consumer;
};

/* If it could not be told, it runs out. */
static void
on_forgotten(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_consumer *consumer = ((struct forgetting *)request)->consumer;
    rq_broker *broker = consumer->broker;

    (void)reply, (void)err;
    cel__free(request);
    consumer->forgotten = true;
    cel__rq_finish_cancel(consumer);
    cel__rq_answered(broker);
}

/* Behind the claim that may be under way. */
static void forget(rq_consumer *consumer)
{
    rq_broker *broker = consumer->broker;
    struct forgetting *op = cel__calloc(1, sizeof *op);
    char kind = consumer->options.reply ? 'm' : 'c';
    cel__buf command = {0};

    cel__rq_call(broker, &command, RQ_FORGET, 0, 4 + 2 * consumer->queue_count);
    cel__rq_word(&command, broker->settings.prefix);
    cel__rq_word(&command, broker->owner);
    cel__rq_word(&command, broker->settings.sep);
    cel__rq_word(&command, broker->settings.steps_text);
    for (size_t i = 0; i < consumer->queue_count; i++) {
        cel__rq_pulse_remove(broker->pulse, kind, consumer->queues[i]);
        cel__redis_word(&command, (cel_view){&kind, 1});
        cel__redis_word(&command, consumer->queues[i]);
    }
    if (op && !broker->outage) {
        *op = (struct forgetting){{.done = on_forgotten}, consumer};
        if (cel__rq_send(broker, &op->request, &command, NULL) == CEL_OK)
            return;
    } else {
        cel__buf_done(&command);
    }
    cel__free(op);
    consumer->forgotten = true;
}

static void timer_closed(uv_handle_t *handle)
{
    rq_consumer *consumer = handle->data;

    consumer->timer_closed = true;
    cel__rq_finish_cancel(consumer);
}

void cel__rq_cancel(cel_consumer *base, void (*done)(void *user), void *user)
{
    rq_consumer *consumer = (rq_consumer *)base;
    rq_broker *broker = consumer->broker;
    rq_delivery *delivery;

    assert(!consumer->cancelled);
    consumer->cancelled = true;
    consumer->wanted = false;
    consumer->done = done;
    consumer->done_user = user;
    DL_FOREACH(broker->deliveries, delivery)
    {
        if (delivery->consumer == consumer)
            delivery->consumer = NULL;
    }
    while (consumer->held_back) {
        delivery = consumer->held_back;
        consumer->held_back = delivery->link;
        cel__rq_settle(delivery, 'a', NULL, NULL);
    }
    cel__rq_unlisten(broker, consumer);
    cel__rq_bind_listener(consumer, false);
    forget(consumer);
    uv_close((uv_handle_t *)&consumer->timer, timer_closed);
}
