/* redis_pulse.c - says that its owner lives, renews what it has out, and looks after the dead.
 *
 * A beat renews the owner's place among the living and those of its queues; at every fourth of
 * the visibility timeout also the scores of its tags in unacked_index, so that kombu's consumers
 * do not take a long task for a lost one. What is out is known to the server (the lease), so
 * the pulse needs to know nothing of the deliveries. Behind the beat goes the sweep, again as
 * long as there is more.
 *
 * In a worker the pulse has a thread with a loop and a connection: while a task of the solo pool
 * runs, the worker's loop stands still. */
#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define GRACE_MS     2000 /* by which a sweep is later than the visibility timeout */
#define LEASE_KEEP_S INT64_C(604800)
#define FIRST_TRY_MS 20

struct item {
    struct item *prev, *next;
    char kind;
    size_t len, uses;
    char queue[];
};

struct beat {
    cel__redis_request request;
    rq_pulse *pulse;
};

struct rq_pulse {
    rq_broker *broker; /* what does not change of it */
    uv_loop_t own_loop;
    uv_loop_t *loop;
    uv_thread_t thread;
    bool threaded;
    /* the pulse's loop */
    cel__redis *conn;
    uv_timer_t timer;
    uv_async_t async;
    size_t handles;
    int64_t renewed_ms; /* when the scores were renewed */
    bool beating, sweeping, stopping;
    /* shared */
    uv_mutex_t mutex;
    struct item *items;
    size_t item_count, consumed;
    bool stop;
    /* the broker's loop */
    uv_async_t ended; /* the thread is over */
    void (*stopped)(void *user);
    void *stopped_user;
};

static void on_timer(uv_timer_t *timer);

static int64_t lease_ms(const rq_pulse *pulse)
{
    return pulse->broker->lease_ms;
}

static void call(const rq_pulse *pulse, cel__buf *command, rq_script script, size_t args)
{
    cel__lua_call(command, pulse->broker->scripts + script, 0, args);
}

static struct beat *new_beat(rq_pulse *pulse,
                             void (*done)(cel__redis_request *request,
                                          const redisReply *reply,
                                          const cel_error *err))
{
    struct beat *beat = cel__calloc(1, sizeof *beat);

    if (beat) {
        beat->request.done = done;
        beat->pulse = pulse;
    }
    return beat;
}

/* ---- sweeping ---- */

static void sweep(rq_pulse *pulse);

static void on_swept(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_pulse *pulse = ((struct beat *)request)->pulse;
    bool more = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
                reply->element[2]->integer > 0;

    cel__free(request);
    pulse->sweeping = false;
    if (more && !pulse->stopping)
        sweep(pulse);
}

static void sweep(rq_pulse *pulse)
{
    const rq_settings *settings = &pulse->broker->settings;
    struct beat *beat = new_beat(pulse, on_swept);
    cel__buf command = {0};

    if (!beat)
        return;
    call(pulse, &command, RQ_RECOVER, 10);
    cel__rq_word(&command, settings->prefix);
    cel__rq_word(&command, settings->unacked);
    cel__rq_word(&command, settings->index);
    cel__rq_word(&command, settings->sep);
    cel__rq_word(&command, settings->steps_text);
    cel__rq_word(&command, pulse->broker->owner);
    cel__rq_seconds(&command, settings->visibility_ms);
    cel__redis_int(&command, GRACE_MS);
    cel__rq_word(&command, settings->mutex);
    cel__redis_word(&command, CEL_VIEW("sweep"));
    pulse->sweeping = true;
    if (cel__redis_send(pulse->conn, &beat->request, &command, NULL) == CEL_OK)
        return;
    pulse->sweeping = false;
    cel__free(beat);
}

/* ---- beating ---- */

static void beat_after(rq_pulse *pulse, int64_t ms)
{
    uv_timer_start(&pulse->timer, on_timer, (uint64_t)ms, 0);
}

static void on_beat(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    rq_pulse *pulse = ((struct beat *)request)->pulse;
    bool sweeps;

    cel__free(request);
    pulse->beating = false;
    if (pulse->stopping)
        return;
    uv_mutex_lock(&pulse->mutex);
    sweeps = pulse->consumed > 0;
    uv_mutex_unlock(&pulse->mutex);
    if (!err && reply->integer == 1)
        pulse->renewed_ms = cel__clock_mono_ms(pulse->broker->clock);
    if (!err && sweeps && !pulse->sweeping)
        sweep(pulse);
    beat_after(pulse, err ? lease_ms(pulse) / 20 + 1 : lease_ms(pulse) / 3);
}

/* The words of what is consumed. */
static size_t add_items(rq_pulse *pulse, cel__buf *words)
{
    struct item *item;
    size_t count;

    uv_mutex_lock(&pulse->mutex);
    count = pulse->item_count;
    DL_FOREACH(pulse->items, item)
    {
        cel__redis_word(words, (cel_view){&item->kind, 1});
        cel__redis_word(words, (cel_view){item->queue, item->len});
    }
    uv_mutex_unlock(&pulse->mutex);
    return 2 * count;
}

static void beat(rq_pulse *pulse)
{
    const rq_settings *settings = &pulse->broker->settings;
    int64_t since_ms = cel__clock_mono_ms(pulse->broker->clock) - pulse->renewed_ms;
    int64_t keep_s = settings->visibility_ms / 500 + LEASE_KEEP_S;
    struct beat *beat = new_beat(pulse, on_beat);
    cel__buf command = {0}, words = {0};
    size_t count = add_items(pulse, &words);

    if (!beat)
        goto fail;
    call(pulse, &command, RQ_PULSE, 6 + count);
    cel__rq_word(&command, settings->prefix);
    cel__rq_word(&command, settings->index);
    cel__rq_word(&command, pulse->broker->owner);
    cel__redis_int(&command, lease_ms(pulse));
    cel__redis_int(&command, since_ms * 4 >= settings->visibility_ms);
    cel__redis_int(&command, keep_s);
    cel__buf_add_view(&command, cel__buf_view(&words));
    command.failed = command.failed || words.failed;
    cel__buf_done(&words);
    pulse->beating = true;
    if (cel__redis_send(pulse->conn, &beat->request, &command, NULL) == CEL_OK)
        return;
    pulse->beating = false;
    cel__free(beat);

fail:
    cel__buf_done(&words);
    beat_after(pulse, lease_ms(pulse) / 20 + 1);
}

static void on_timer(uv_timer_t *timer)
{
    rq_pulse *pulse = timer->data;

    if (pulse->stopping)
        return;
    if (pulse->beating)
        beat_after(pulse, FIRST_TRY_MS);
    else
        beat(pulse);
}

static void on_up(void *user)
{
    rq_pulse *pulse = user;

    if (!pulse->stopping)
        beat_after(pulse, 0);
}

/* ---- the end ---- */

static void free_pulse(rq_pulse *pulse)
{
    struct item *item, *next;

    DL_FOREACH_SAFE(pulse->items, item, next)
    cel__free(item);
    uv_mutex_destroy(&pulse->mutex);
    cel__free(pulse);
}

static void tell_stopped(rq_pulse *pulse)
{
    void (*stopped)(void *user) = pulse->stopped;
    void *user = pulse->stopped_user;

    free_pulse(pulse);
    stopped(user);
}

static void drop_handle(rq_pulse *pulse)
{
    if (--pulse->handles > 0 || pulse->threaded)
        return;
    tell_stopped(pulse);
}

static void on_conn_closed(void *user)
{
    drop_handle(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
    drop_handle(handle->data);
}

static void end(rq_pulse *pulse)
{
    pulse->stopping = true;
    cel__redis_close(pulse->conn, on_conn_closed, pulse);
    uv_close((uv_handle_t *)&pulse->timer, on_handle_closed);
    uv_close((uv_handle_t *)&pulse->async, on_handle_closed);
}

/* Something has changed: another queue, or the end. */
static void on_async(uv_async_t *async)
{
    rq_pulse *pulse = async->data;
    bool stop;

    uv_mutex_lock(&pulse->mutex);
    stop = pulse->stop;
    uv_mutex_unlock(&pulse->mutex);
    if (pulse->stopping)
        return;
    if (stop)
        end(pulse);
    else
        beat_after(pulse, 0);
}

/* ---- the beginning ---- */

static cel_code begin(rq_pulse *pulse, cel_error *err)
{
    rq_broker *broker = pulse->broker;
    cel__redis_options link = {.url = &broker->url,
                               .loop = pulse->loop,
                               .clock = broker->clock,
                               .log = broker->log,
                               .what = "the broker",
                               .greeting = cel__buf_view(&broker->greeting),
                               .greeting_count = RQ_SCRIPTS,
                               .quiet = true,
                               .on_up = on_up,
                               .user = pulse};
    cel_code code = cel__redis_new(&pulse->conn, &link, err);

    if (code != CEL_OK)
        return code;
    if (uv_async_init(pulse->loop, &pulse->async, on_async) != 0) {
        pulse->handles = SIZE_MAX / 2; /* nobody is told */
        cel__redis_close(pulse->conn, NULL, NULL);
        return cel_error_set(err, CEL_EIO, "uv_async_init failed");
    }
    uv_timer_init(pulse->loop, &pulse->timer);
    pulse->async.data = pulse->timer.data = pulse;
    pulse->handles = 3;
    pulse->renewed_ms = cel__clock_mono_ms(broker->clock);
    return CEL_OK;
}

static void run(void *user)
{
    rq_pulse *pulse = user;

    uv_run(&pulse->own_loop, UV_RUN_DEFAULT);
    uv_async_send(&pulse->ended);
}

static void on_ended_closed(uv_handle_t *handle)
{
    tell_stopped(handle->data);
}

static void on_ended(uv_async_t *async)
{
    rq_pulse *pulse = async->data;

    uv_thread_join(&pulse->thread);
    uv_loop_close(&pulse->own_loop);
    uv_close((uv_handle_t *)async, on_ended_closed);
}

static cel_code start_thread(rq_pulse *pulse, cel_error *err)
{
    cel_code code;

    if (uv_loop_init(&pulse->own_loop) != 0)
        return cel_error_set(err, CEL_EIO, "cannot make a loop");
    pulse->loop = &pulse->own_loop;
    code = begin(pulse, err);
    if (code != CEL_OK) {
        uv_run(&pulse->own_loop, UV_RUN_DEFAULT);
        uv_loop_close(&pulse->own_loop);
        return code;
    }
    if (uv_async_init(pulse->broker->loop, &pulse->ended, on_ended) == 0) {
        pulse->ended.data = pulse;
        if (uv_thread_create(&pulse->thread, run, pulse) == 0)
            return CEL_OK;
        uv_close((uv_handle_t *)&pulse->ended, NULL);
        uv_run(pulse->broker->loop, UV_RUN_NOWAIT);
    }
    end(pulse);
    uv_run(&pulse->own_loop, UV_RUN_DEFAULT);
    uv_loop_close(&pulse->own_loop);
    return cel_error_set(err, CEL_EIO, "cannot start a thread");
}

cel_code cel__rq_pulse_start(rq_broker *broker, cel_error *err)
{
    rq_pulse *pulse;
    cel_code code;

    if (broker->pulse)
        return CEL_OK;
    pulse = cel__calloc(1, sizeof *pulse);
    if (!pulse || uv_mutex_init(&pulse->mutex) != 0) {
        cel__free(pulse);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    }
    pulse->broker = broker;
    pulse->loop = broker->loop;
    pulse->threaded = broker->threaded;
    code = pulse->threaded ? start_thread(pulse, err) : begin(pulse, err);
    if (code == CEL_OK)
        broker->pulse = pulse;
    else
        free_pulse(pulse);
    return code;
}

void cel__rq_pulse_stop(rq_pulse *pulse, void (*stopped)(void *user), void *user)
{
    pulse->stopped = stopped;
    pulse->stopped_user = user;
    uv_mutex_lock(&pulse->mutex);
    pulse->stop = true;
    uv_mutex_unlock(&pulse->mutex);
    uv_async_send(&pulse->async);
}

/* ---- what is consumed ---- */

static struct item *find(const rq_pulse *pulse, char kind, cel_view queue)
{
    struct item *item;

    DL_FOREACH(pulse->items, item)
    {
        if (item->kind == kind && cel__view_eq((cel_view){item->queue, item->len}, queue))
            return item;
    }
    return NULL;
}

void cel__rq_pulse_add(rq_pulse *pulse, char kind, cel_view queue)
{
    struct item *item;

    uv_mutex_lock(&pulse->mutex);
    item = find(pulse, kind, queue);
    if (!item) {
        item = cel__calloc(1, sizeof *item + queue.len);
        if (item) {
            item->kind = kind;
            item->len = queue.len;
            memcpy(item->queue, queue.ptr, queue.len);
            DL_APPEND(pulse->items, item);
            pulse->item_count++;
            pulse->consumed += kind == 'c';
        }
    }
    if (item)
        item->uses++;
    uv_mutex_unlock(&pulse->mutex);
    uv_async_send(&pulse->async);
}

void cel__rq_pulse_remove(rq_pulse *pulse, char kind, cel_view queue)
{
    struct item *item;

    uv_mutex_lock(&pulse->mutex);
    item = find(pulse, kind, queue);
    if (item && --item->uses == 0) {
        DL_DELETE(pulse->items, item);
        pulse->item_count--;
        pulse->consumed -= kind == 'c';
        cel__free(item);
    }
    uv_mutex_unlock(&pulse->mutex);
}
