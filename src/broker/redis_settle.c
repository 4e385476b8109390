/* redis_settle.c - from a delivery's settlement to its end.
 *
 * What is settled in a turn of the loop leaves at its end in one call of a script. An early
 * acknowledgement (accept) is sent like another; the delivery stays the holder's until it is
 * settled. What could not be settled is the holder's again, or, if nobody waits for it, tried
 * again. */
#include <assert.h>

#include <utlist.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define BATCH_MAX 1000
#define RETRY_MS  500

/* Deliveries whose settlement is under way, in the order of the script's places. */
struct settling {
    cel__redis_request request;
    rq_broker *broker;
    size_t count;
    rq_delivery *deliveries[];
};

static rq_broker *broker_of(const rq_delivery *delivery)
{
    return (rq_broker *)delivery->base.broker;
}

/* ---- the end of a delivery ---- */

/* All of a claim are settled. Mostly the script has forgotten it with the last one. */
static void drop_claim(rq_broker *broker, rq_claim *claim)
{
    assert(!claim->dirty);
    if (claim->dropped) {
        cel__free(claim);
        return;
    }
    claim->next = broker->drops;
    broker->drops = claim;
}

static void unref_claim(rq_delivery *delivery)
{
    if (--delivery->claim->left == 0)
        drop_claim(broker_of(delivery), delivery->claim);
    delivery->claim = NULL;
}

void cel__rq_free_delivery(rq_delivery *delivery)
{
    rq_broker *broker = broker_of(delivery);

    DL_DELETE(broker->deliveries, delivery);
    cel__free(delivery);
}

void cel__rq_drop_delivery(rq_delivery *delivery)
{
    if (delivery->claim)
        unref_claim(delivery);
    cel__rq_free_delivery(delivery);
}

/* Runs its callback and frees it. */
static void finish(rq_delivery *delivery)
{
    const char *what = delivery->code == CEL_ESTALE
                           ? "the message was delivered to somebody else meanwhile"
                           : "the broker was closed";
    cel_error err;

    if (delivery->cb && delivery->code == CEL_OK) {
        delivery->cb(delivery->user, CEL_OK, NULL);
    } else if (delivery->cb) {
        cel_error_set(&err, delivery->code, "%s", what);
        delivery->cb(delivery->user, delivery->code, &err);
    }
    cel__rq_free_delivery(delivery);
}

static void tell_later(rq_delivery *delivery, cel_code code)
{
    rq_broker *broker = broker_of(delivery);

    delivery->code = code;
    delivery->link = NULL;
    LL_APPEND2(broker->to_tell, delivery, link);
    if (!uv_is_active((uv_handle_t *)&broker->tell_timer))
        uv_timer_start(&broker->tell_timer, cel__rq_on_tell, 0, 0);
}

void cel__rq_on_tell(uv_timer_t *timer)
{
    rq_broker *broker = timer->data;
    rq_delivery *list = broker->to_tell;

    broker->to_tell = NULL;
    broker->pending++; /* a callback may close */
    while (list) {
        rq_delivery *delivery = list;

        list = delivery->link;
        finish(delivery);
    }
    cel__rq_answered(broker);
}

/* ---- sending ---- */

static void submit(rq_delivery *delivery)
{
    rq_broker *broker = broker_of(delivery);
    rq_claim *claim = delivery->claim;

    delivery->link = NULL;
    if (delivery->verb != 'a') {
        *broker->verbs_end = delivery;
        broker->verbs_end = &delivery->link;
        return;
    }
    delivery->link = claim->acks;
    claim->acks = delivery;
    claim->ack_count++;
    if (claim->dirty)
        return;
    claim->dirty = true;
    DL_APPEND(broker->dirty, claim);
}

void cel__rq_on_retry(uv_timer_t *timer)
{
    rq_broker *broker = timer->data;
    rq_delivery *list = broker->retries;

    broker->retries = NULL;
    while (list) {
        rq_delivery *delivery = list;

        list = delivery->link;
        submit(delivery);
    }
}

static void retry_later(rq_delivery *delivery)
{
    rq_broker *broker = broker_of(delivery);

    if (broker->closing) { /* the owner's end, or its lease's, puts it back */
        cel__rq_drop_delivery(delivery);
        return;
    }
    delivery->link = broker->retries;
    broker->retries = delivery;
    if (!uv_is_active((uv_handle_t *)&broker->retry_timer))
        uv_timer_start(&broker->retry_timer, cel__rq_on_retry, RETRY_MS, 0);
}

static void settled(rq_delivery *delivery, cel_code code)
{
    delivery->claim->sent--;
    unref_claim(delivery);
    delivery->code = delivery->in_vain ? CEL_ESTALE : code;
    if (!delivery->early) {
        finish(delivery);
        return;
    }
    delivery->early_done = true;
    if (delivery->state == RQ_SETTLED) /* its holder was waiting for this */
        finish(delivery);
}

static void failed(rq_delivery *delivery, const cel_error *err)
{
    rq_broker *broker = broker_of(delivery);

    delivery->claim->sent--;
    if (delivery->early || !delivery->cb || broker->closing) {
        if (delivery->cb && broker->closing)
            delivery->cb(delivery->user, CEL_ECANCELED, err);
        retry_later(delivery);
        return;
    }
    delivery->state = RQ_OUT;
    if (delivery->consumer)
        delivery->consumer->out++;
    delivery->cb(delivery->user, err->code, err);
}

static void
on_settled(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct settling *settling = (struct settling *)request;
    rq_broker *broker = settling->broker;
    size_t stale = 0;
    bool moved = false;

    for (size_t i = 0; i < settling->count; i++) {
        rq_delivery *delivery = settling->deliveries[i];
        bool lost = !err && stale < reply->elements &&
                    reply->element[stale]->integer == (long long)i + 1;

        stale += lost;
        moved = moved || delivery->verb != 'a';
        if (err)
            failed(delivery, err);
        else
            settled(delivery, lost ? CEL_ESTALE : CEL_OK);
    }
    cel__free(settling);
    if (moved && !err && !broker->closing)
        cel__rq_wake_all(broker);
    cel__rq_answered(broker);
}

struct batch {
    cel__buf groups;
    size_t words;
    struct settling *settling;
};

static bool begin_batch(struct batch *batch, rq_broker *broker)
{
    struct settling *settling =
        cel__malloc(sizeof *settling + BATCH_MAX * sizeof *settling->deliveries);

    if (!settling)
        return false;
    *settling = (struct settling){.request.done = on_settled, .broker = broker};
    *batch = (struct batch){.settling = settling};
    return true;
}

static void end_batch(struct batch *batch, rq_broker *broker)
{
    struct settling *settling = batch->settling;
    cel__buf command = {0};
    cel_error err;

    cel__rq_call(broker, &command, RQ_SETTLE, 0, 5 + batch->words);
    cel__rq_word(&command, broker->settings.prefix);
    cel__rq_word(&command, broker->settings.unacked);
    cel__rq_word(&command, broker->settings.index);
    cel__rq_word(&command, broker->owner);
    cel__rq_seconds(&command, broker->settings.visibility_ms);
    cel__buf_add_view(&command, cel__buf_view(&batch->groups));
    command.failed = command.failed || batch->groups.failed;
    cel__buf_done(&batch->groups);
    if (cel__rq_send(broker, &settling->request, &command, &err) != CEL_OK) {
        broker->pending++;
        on_settled(&settling->request, NULL, &err);
    }
}

static void
begin_group(struct batch *batch, char verb, const rq_claim *claim, bool last, size_t count)
{
    cel__redis_word(&batch->groups, (cel_view){&verb, 1});
    cel__redis_int(&batch->groups, (int64_t)claim->seq);
    cel__redis_int(&batch->groups, last);
    cel__redis_int(&batch->groups, (int64_t)(claim->left - claim->sent));
    cel__redis_int(&batch->groups, (int64_t)count);
    batch->words += 5;
}

static void add_delivery(struct batch *batch, rq_delivery *delivery)
{
    batch->settling->deliveries[batch->settling->count++] = delivery;
    cel__redis_word(&batch->groups, delivery->tag);
    batch->words++;
}

/* The script forgets the claim with its last delivery, unless others are still on their way: they
 * may have to be sent again. */
static void begin_last(struct batch *batch, char verb, rq_claim *claim, size_t count)
{
    claim->dropped = claim->left == count && claim->sent == 0;
    begin_group(batch, verb, claim, claim->dropped, count);
    claim->sent += count;
}

static void add_acks(struct batch *batch, rq_claim *claim, size_t room)
{
    size_t count = claim->ack_count < room ? claim->ack_count : room;

    begin_last(batch, 'a', claim, count);
    for (size_t i = 0; i < count; i++) {
        rq_delivery *delivery = claim->acks;

        claim->acks = delivery->link;
        add_delivery(batch, delivery);
    }
    claim->ack_count -= count;
}

static void send_acks(rq_broker *broker)
{
    while (broker->dirty) {
        struct batch batch;

        if (!begin_batch(&batch, broker))
            return;
        while (broker->dirty && batch.settling->count < BATCH_MAX) {
            rq_claim *claim = broker->dirty;

            add_acks(&batch, claim, BATCH_MAX - batch.settling->count);
            if (claim->ack_count > 0)
                break;
            claim->dirty = false;
            DL_DELETE(broker->dirty, claim);
        }
        end_batch(&batch, broker);
    }
}

/* Name and extra word of a verb, see redis_lua.c. */
static void add_place(struct batch *batch, const rq_delivery *delivery)
{
    cel__buf extra = {0};

    if (delivery->verb == 'p') {
        cel__buf_addf(&extra, "%c%lld ", delivery->place, (long long)delivery->eta_ms);
        cel__buf_add_json(&extra, delivery->base.queue);
        cel__redis_word(&batch->groups, delivery->base.queue);
    } else {
        cel__redis_word(&batch->groups, delivery->list);
    }
    cel__redis_word(&batch->groups, cel__buf_view(&extra));
    batch->groups.failed = batch->groups.failed || extra.failed;
    cel__buf_done(&extra);
    batch->words += 2;
}

static void send_verbs(rq_broker *broker)
{
    while (broker->verbs) {
        struct batch batch;

        if (!begin_batch(&batch, broker))
            return;
        while (broker->verbs && batch.settling->count < BATCH_MAX) {
            rq_delivery *delivery = broker->verbs;

            broker->verbs = delivery->link;
            begin_last(&batch, delivery->verb, delivery->claim, 1);
            add_delivery(&batch, delivery);
            add_place(&batch, delivery);
        }
        if (!broker->verbs)
            broker->verbs_end = &broker->verbs;
        end_batch(&batch, broker);
    }
}

/* Claims that are to be forgotten though nothing of them is settled by this. */
static void send_drops(rq_broker *broker)
{
    struct batch batch;

    if (!broker->drops || !begin_batch(&batch, broker))
        return;
    while (broker->drops) {
        rq_claim *claim = broker->drops;

        broker->drops = claim->next;
        begin_group(&batch, 'd', claim, true, 0);
        cel__free(claim);
    }
    end_batch(&batch, broker);
}

void cel__rq_send_settled(rq_broker *broker)
{
    send_acks(broker);
    send_verbs(broker);
    send_drops(broker);
}

/* ---- the holder's side ---- */

void cel__rq_settle(rq_delivery *delivery, char verb, cel_broker_cb cb, void *user)
{
    rq_consumer *consumer = delivery->consumer;
    bool early = delivery->state == RQ_ACCEPTED;

    assert(delivery->state != RQ_SETTLED);
    delivery->state = RQ_SETTLED;
    delivery->cb = cb;
    delivery->user = user;
    if (early) {
        /* It is acknowledged: nothing else can be done with it. */
        delivery->in_vain = verb != 'a';
        if (delivery->early_done)
            tell_later(delivery, delivery->in_vain ? CEL_ESTALE : CEL_OK);
    } else if (!delivery->claim) {
        tell_later(delivery, CEL_OK);
    } else {
        delivery->verb = verb;
        submit(delivery);
    }
    if (!consumer)
        return;
    assert(consumer->out > 0);
    consumer->out--;
    cel__rq_pump(consumer);
}

cel_code cel__rq_accept(cel_delivery *base, cel_error *err)
{
    rq_delivery *delivery = (rq_delivery *)base;
    rq_broker *broker = broker_of(delivery);

    if (delivery->state == RQ_ACCEPTED || !delivery->claim)
        return CEL_OK;
    assert(delivery->state == RQ_OUT);
    if (broker->outage)
        return cel_error_set(err, CEL_ECONN, "Redis is out of reach");
    delivery->state = RQ_ACCEPTED;
    delivery->early = true;
    delivery->verb = 'a';
    submit(delivery);
    return CEL_OK;
}

void cel__rq_ack(cel_delivery *delivery, cel_broker_cb cb, void *user)
{
    cel__rq_settle((rq_delivery *)delivery, 'a', cb, user);
}

void cel__rq_reject(cel_delivery *delivery, bool requeue, cel_broker_cb cb, void *user)
{
    cel__rq_settle((rq_delivery *)delivery, requeue ? 'q' : 'a', cb, user);
}

void cel__rq_release(cel_delivery *delivery, cel_broker_cb cb, void *user)
{
    cel__rq_settle((rq_delivery *)delivery, 'r', cb, user);
}
