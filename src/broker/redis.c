/* redis.c - Redis as broker, in the layout of kombu: opening and closing. See redis_impl.h for the
 * keys, redis_lua.c for the scripts.
 *
 * Three connections: one for commands, whose order is that of the calls; one that listens, and
 * one of the pulse, both made with the first consumer. The first one sends again what was not
 * answered when it was lost, so what is sent may be done twice without harm: batches and claims
 * have numbers, settlements a fence.
 *
 * A lost connection loses no lease: what runs goes on, and is settled when the server is back. What
 * has not begun is handed back by its holder, who is told of the outage: the server may be gone
 * for longer than the lease. */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define LEASE_MS       30000
#define LEASE_MIN_MS   100
#define MAX_QUEUE_NAME 255

cel_code cel__rq_check_queue(cel_view name, cel_error *err)
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

/* ---- commands ---- */

void cel__rq_call(
    rq_broker *broker, cel__buf *command, rq_script script, size_t keys, size_t args)
{
    cel__lua_call(command, broker->scripts + script, keys, args);
}

void cel__rq_word(cel__buf *command, const char *text)
{
    cel__redis_word(command, cel__view(text));
}

void cel__rq_seconds(cel__buf *command, int64_t ms)
{
    char text[40];

    snprintf(text, sizeof text, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
    cel__rq_word(command, text);
}

cel_code
cel__rq_send(rq_broker *broker, cel__redis_request *request, cel__buf *command, cel_error *err)
{
    cel_code code = cel__redis_send(broker->commands, request, command, err);

    if (code == CEL_OK)
        broker->pending++;
    return code;
}

void cel__rq_answered(rq_broker *broker)
{
    assert(broker->pending > 0);
    broker->pending--;
    cel__rq_check_closed(broker);
}

struct plain {
    cel__redis_request request;
    rq_broker *broker;
};

static void on_plain(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_broker *broker = ((struct plain *)request)->broker;

    (void)reply, (void)err;
    cel__free(request);
    cel__rq_answered(broker);
}

void cel__rq_do(rq_broker *broker, cel__buf *command)
{
    struct plain *plain = cel__calloc(1, sizeof *plain);

    if (!plain) {
        cel__buf_done(command);
        return;
    }
    *plain = (struct plain){{.done = on_plain}, broker};
    if (cel__rq_send(broker, &plain->request, command, NULL) != CEL_OK)
        cel__free(plain);
}

/* ---- the connection ---- */

static void tell_state(rq_broker *broker, cel_code code, const cel_error *err)
{
    rq_consumer *consumer, *next;

    broker->pending++;
    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        if (!consumer->cancelled && consumer->options.on_state)
            consumer->options.on_state(consumer->options.user, code, err);
    }
    cel__rq_answered(broker);
}

/* Tells on a turn of its own: who is told may close. */
static void on_news(uv_timer_t *timer)
{
    rq_broker *broker = timer->data;
    bool outage = broker->outage;

    if (broker->closing || outage == broker->outage_told)
        return;
    broker->outage_told = outage;
    if (outage)
        tell_state(broker, broker->outage_error.code, &broker->outage_error);
    else
        tell_state(broker, CEL_OK, NULL);
}

static void news(rq_broker *broker)
{
    if (!broker->closing)
        uv_timer_start(&broker->news_timer, on_news, 0, 0);
}

static void on_down(void *user, const cel_error *err)
{
    rq_broker *broker = user;

    broker->outage = true;
    broker->tracking = false;
    broker->outage_error = *err;
    news(broker);
}

static void
on_policy(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_broker *broker = ((struct plain *)request)->broker;
    const char *policy = NULL;

    if (!err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        policy = reply->element[1]->str;
    if (policy && strcmp(policy, "noeviction") != 0)
        cel__warning(broker->log,
                     "%s may throw messages away: its maxmemory-policy is %s. Set it to "
                     "noeviction",
                     broker->url.shown, policy);
    cel__free(request);
    cel__rq_answered(broker);
}

/* Messages that are evicted are lost without a trace: who runs the server should hear of it. */
static void check_policy(rq_broker *broker)
{
    struct plain *plain = cel__calloc(1, sizeof *plain);
    cel__buf command = {0};

    broker->warned = true;
    if (!plain)
        return;
    *plain = (struct plain){{.done = on_policy}, broker};
    cel__redis_begin(&command, 3);
    cel__redis_word(&command, CEL_VIEW("CONFIG"));
    cel__redis_word(&command, CEL_VIEW("GET"));
    cel__redis_word(&command, CEL_VIEW("maxmemory-policy"));
    if (cel__rq_send(broker, &plain->request, &command, NULL) != CEL_OK)
        cel__free(plain);
}

static void on_up(void *user)
{
    rq_broker *broker = user;

    if (broker->outage)
        news(broker);
    broker->outage = false;
    cel__rq_forget_declared(broker);
    if (broker->closing)
        return;
    const rq_consumer *consumer;
    DL_FOREACH(broker->consumers, consumer)
    {
        for (size_t i = 0; !consumer->options.reply && i < consumer->queue_count; i++)
            cel__rq_declare(broker, consumer->queues[i]);
    }
    if (broker->threaded && !broker->warned)
        check_policy(broker);
    cel__rq_track(broker);
    cel__rq_wake_all(broker);
}

static void on_turn(void *user)
{
    rq_broker *broker = user;

    if (broker->leaving)
        return;
    cel__rq_send_settled(broker);
    cel__rq_send_claims(broker);
}

/* ---- opening ---- */

static void free_broker(rq_broker *broker)
{
    cel__rq_forget_declared(broker);
    cel__rq_settings_done(&broker->settings);
    cel__redis_url_done(&broker->url);
    cel__buf_done(&broker->greeting);
    cel__rq_free_scripts(broker->scripts);
    cel__free(broker);
}

/* What kombu has in its options for sentinels. */
static cel_code name_master(rq_broker *broker, const json_t *options, cel_error *err)
{
    const json_t *more = json_object_get(options, "sentinel_kwargs");

    return cel__redis_url_master(&broker->url,
                                 json_string_value(json_object_get(options, "master_name")),
                                 json_string_value(json_object_get(more, "password")), err);
}

static cel_code
read_options(rq_broker *broker, const cel_broker_options *options, cel_error *err)
{
    cel_code code = cel__redis_url_read(&broker->url, options->url, err);

    if (code == CEL_OK)
        code = name_master(broker, options->transport_options, err);
    if (code == CEL_OK)
        code = cel__rq_settings_read(&broker->settings, options->transport_options,
                                     &broker->url, err);
    if (code != CEL_OK)
        return code;
    broker->lease_ms = options->lease_ms ? options->lease_ms : LEASE_MS;
    if (broker->lease_ms > broker->settings.visibility_ms / 2)
        broker->lease_ms = broker->settings.visibility_ms / 2;
    if (broker->lease_ms < LEASE_MIN_MS)
        broker->lease_ms = LEASE_MIN_MS;
    return cel__rq_init_scripts(broker->scripts, &broker->greeting, err);
}

/* Waits for a first connection, so that a wrong password is an error of this call. */
static cel_code
connect_first(rq_broker *broker, const cel_broker_options *options, cel_error *err)
{
    int64_t timeout_ms = broker->url.timeout_ms;
    cel_code code;

    if (options->connect_timeout_ms)
        broker->url.timeout_ms = options->connect_timeout_ms;
    code = cel__redis_probe(&broker->url, broker->clock, err);
    broker->url.timeout_ms = timeout_ms;
    return code;
}

static cel_code open_redis(cel_broker **out, const cel_broker_options *options, cel_error *err)
{
    rq_broker *broker = cel__calloc(1, sizeof *broker);
    cel__redis_options link = {.loop = options->loop,
                               .log = options->log,
                               .what = "the broker",
                               .greeting_count = RQ_SCRIPTS,
                               .quiet = true,
                               .on_up = on_up,
                               .on_down = on_down,
                               .on_turn = on_turn};
    cel_code code;

    if (!broker)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    broker->base.ops = &cel__redis_broker_ops;
    broker->loop = options->loop;
    broker->clock = options->clock ? options->clock : cel__clock_system();
    broker->log = options->log;
    broker->threaded = options->threaded;
    broker->describe = options->describe;
    broker->queues_of = options->queues_of;
    broker->describe_user = options->describe_user;
    broker->verbs_end = &broker->verbs;
    cel__uuid4(broker->owner);
    code = read_options(broker, options, err);
    if (code == CEL_OK)
        code = connect_first(broker, options, err);
    link.url = &broker->url;
    link.clock = broker->clock;
    link.greeting = cel__buf_view(&broker->greeting);
    link.user = broker;
    if (code == CEL_OK)
        code = cel__redis_new(&broker->commands, &link, err);
    if (code != CEL_OK) {
        free_broker(broker);
        return code;
    }
    uv_timer_init(broker->loop, &broker->tell_timer);
    uv_timer_init(broker->loop, &broker->retry_timer);
    uv_timer_init(broker->loop, &broker->news_timer);
    broker->tell_timer.data = broker->retry_timer.data = broker->news_timer.data = broker;
    *out = &broker->base;
    return CEL_OK;
}

/* ---- closing ----
 * consumers cancelled, nothing pending -> what is out is put back -> the pulse -> connections */

static void end_one(rq_broker *broker)
{
    void (*closed)(void *user) = broker->closed;
    void *user = broker->closed_user;
    rq_claim *claim;

    if (--broker->ends > 0)
        return;
    while (broker->deliveries)
        cel__rq_drop_delivery(broker->deliveries);
    while ((claim = broker->drops) != NULL) {
        broker->drops = claim->next;
        cel__free(claim);
    }
    free_broker(broker);
    if (closed)
        closed(user);
}

static void on_end(void *user)
{
    end_one(user);
}

static void on_timer_closed(uv_handle_t *handle)
{
    end_one(handle->data);
}

static void close_ends(void *user)
{
    rq_broker *broker = user;
    uv_timer_t *timers[] = {&broker->tell_timer, &broker->retry_timer, &broker->news_timer};

    broker->leaving = true;
    broker->ends = 4 + (broker->listener != NULL);
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        uv_close((uv_handle_t *)timers[i], on_timer_closed);
    if (broker->listener)
        cel__redis_close(broker->listener, on_end, broker);
    cel__redis_close(broker->commands, on_end, broker);
}

static void stop_pulse(rq_broker *broker)
{
    rq_pulse *pulse = broker->pulse;

    broker->pulse = NULL;
    if (pulse)
        cel__rq_pulse_stop(pulse, close_ends, broker);
    else
        close_ends(broker);
}

static void put_back(rq_broker *broker);

/* If it could not be done, the lease's end does it. */
static void
on_put_back(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_broker *broker = ((struct plain *)request)->broker;
    bool more = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
                reply->element[2]->integer > 0;

    cel__free(request);
    broker->pending--;
    if (more)
        put_back(broker);
    else
        stop_pulse(broker);
}

static void put_back(rq_broker *broker)
{
    const rq_settings *settings = &broker->settings;
    struct plain *plain = cel__calloc(1, sizeof *plain);
    cel__buf command = {0};

    broker->closed_own = true;
    cel__rq_call(broker, &command, RQ_RECOVER, 0, 10);
    cel__rq_word(&command, settings->prefix);
    cel__rq_word(&command, settings->unacked);
    cel__rq_word(&command, settings->index);
    cel__rq_word(&command, settings->sep);
    cel__rq_word(&command, settings->steps_text);
    cel__rq_word(&command, broker->owner);
    cel__rq_seconds(&command, settings->visibility_ms);
    cel__redis_int(&command, 0);
    cel__rq_word(&command, settings->mutex);
    cel__redis_word(&command, CEL_VIEW("own"));
    if (plain) {
        *plain = (struct plain){{.done = on_put_back}, broker};
        if (cel__rq_send(broker, &plain->request, &command, NULL) == CEL_OK)
            return;
    } else {
        cel__buf_done(&command);
    }
    cel__free(plain);
    stop_pulse(broker);
}

/* Whether something settled waits for the end of the turn. */
static bool has_settled(const rq_broker *broker)
{
    return broker->dirty || broker->verbs || broker->to_tell;
}

void cel__rq_check_closed(rq_broker *broker)
{
    if (!broker->closing || broker->closed_own || broker->pending > 0 || broker->consumers ||
        has_settled(broker))
        return;
    broker->closed_own = true;
    if (broker->claims > 0 && !broker->outage)
        put_back(broker);
    else
        stop_pulse(broker);
}

static void close_redis(cel_broker *base, void (*closed)(void *user), void *user)
{
    rq_broker *broker = (rq_broker *)base;
    rq_consumer *consumer, *next;

    assert(!broker->closing);
    broker->closed = closed;
    broker->closed_user = user;
    broker->pending++;
    DL_FOREACH_SAFE(broker->consumers, consumer, next)
    {
        if (!consumer->cancelled)
            cel__rq_cancel((cel_consumer *)consumer, NULL, NULL);
    }
    broker->closing = true;
    cel__rq_on_retry(&broker->retry_timer);
    uv_timer_start(&broker->tell_timer, cel__rq_on_tell, 0, 0);
    cel__rq_answered(broker);
}

const cel_broker_ops cel__redis_broker_ops = {
    .schemes = "redis,rediss,sentinel,redis+socket",
    .native_eta = true,
    .open = open_redis,
    .close = close_redis,
    .publish = cel__rq_publish,
    .consume = cel__rq_consume,
    .cancel = cel__rq_cancel,
    .set_window = cel__rq_set_window,
    .accept = cel__rq_accept,
    .ack = cel__rq_ack,
    .reject = cel__rq_reject,
    .release = cel__rq_release,
    .purge = cel__rq_purge,
    .queues = cel__rq_queues,
};
