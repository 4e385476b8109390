/* client.c - leader and followers over a private loop.
 *
 *     submitted --start--> running --finish--> done
 *
 * `lock` guards the lists and the flags; the loop, the broker and the backend belong to the leader alone,
 * and leadership passes under the lock, which orders one leader's work before the next one's. The lock is never held
 * while the loop runs or a callback is called. A leader whose own operation has ended wakes one waiting
 * thread, which finds nobody leading and takes over; so does a waiter that leaves for its deadline, in case it was the one woken. */
#include "app/client.h"

#include "app/eager.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "app/declare.h"
#include "core/mem.h"

struct cel_client {
    cel_app *app; /* borrowed */
    pthread_mutex_t lock;
    uv_loop_t loop;
    uv_async_t wake;  /* something was submitted or abandoned */
    uv_timer_t timer; /* the leader's deadline */
    cel_broker *broker;
    cel_backend *backend;
    bool leading;
    size_t abandoned; /* operations that wait for their abandon() call */
    cel_client_op *submitted, *running;
    cel_client_op *waiters; /* threads asleep, the longest first */
    int closing;            /* handles and connections still to be closed */
};

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* ending uv_run() is all */
}

/* Runs the loop without SIGPIPE: the process that uses the library may not have said what is to
 * happen when a server closes a socket, and libuv writes as anybody does. */
static void run_loop(cel_client *client, uv_run_mode mode)
{
    static const struct timespec now = {0, 0};
    sigset_t pipe, before, pending;
    bool was_pending;

    sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    uv_run(&client->loop, mode);
    sigpending(&pending);
    if (!was_pending && sigismember(&pending, SIGPIPE) == 1)
        sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static cel_code make_client(cel_client **out, cel_app *app, cel_error *err)
{
    cel_client *client = cel__calloc(1, sizeof *client);
    int rc;

    if (!client)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the client");
    client->app = app;
    rc = uv_loop_init(&client->loop);
    if (rc < 0) {
        cel__free(client);
        return cel_error_set(err, CEL_EIO, "cannot make an event loop: %s", uv_strerror(rc));
    }
    rc = uv_async_init(&client->loop, &client->wake, on_wake);
    if (rc < 0) {
        uv_loop_close(&client->loop);
        cel__free(client);
        return cel_error_set(err, CEL_EIO, "cannot make an event loop: %s", uv_strerror(rc));
    }
    uv_timer_init(&client->loop, &client->timer);
    pthread_mutex_init(&client->lock, NULL);
    *out = client;
    return CEL_OK;
}

cel_code cel__client_get(cel_client **out, cel_app *app, cel_error *err)
{
    cel_code code = cel__app_check_process(app, err);

    if (code != CEL_OK)
        return code;
    pthread_mutex_lock(&app->client_lock);
    if (!app->client)
        code = make_client(&app->client, app, err);
    if (code == CEL_OK)
        *out = app->client;
    pthread_mutex_unlock(&app->client_lock);
    return code;
}

/* ---- operations ---- */

void cel__client_op_init(cel_client *client, cel_client_op *op)
{
    pthread_condattr_t attr;

    op->client = client;
    op->refs = 1;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&op->done_cond, &attr);
    pthread_condattr_destroy(&attr);
}

void cel__client_op_unref(cel_client_op *op)
{
    cel_client *client;
    int refs;

    if (!op)
        return;
    client = op->client;
    pthread_mutex_lock(&client->lock);
    refs = --op->refs;
    pthread_mutex_unlock(&client->lock);
    if (refs > 0)
        return;
    pthread_cond_destroy(&op->done_cond);
    op->free(op);
}

cel_broker *cel__client_broker(const cel_client_op *op)
{
    return op->client->broker;
}

cel_backend *cel__client_backend(const cel_client_op *op)
{
    return op->client->backend;
}

uv_loop_t *cel__client_loop(const cel_client_op *op)
{
    return &op->client->loop;
}

/* ---- the leader's side ---- */

static cel_code open_broker(cel_client *client, cel_error *err)
{
    const cel_app *app = client->app;
    cel_broker_options options = {
        .url = app->broker_url,
        .loop = &client->loop,
        .clock = app->clock,
        .log = &app->log,
        .node = app->origin,
    };

    if (client->broker)
        return CEL_OK;
    cel__app_broker_options(app, &options);
    return cel__broker_open(&client->broker, &options, err);
}

static cel_code open_backend(cel_client *client, cel_error *err)
{
    const cel_app *app = client->app;
    int64_t expires_ms = cel__config_ms(app->config, "result_expires");
    cel_backend_options options = {
        .url = cel__eager_backend_url(app),
        .loop = &client->loop,
        .clock = app->clock,
        .log = &app->log,
        .expires_ms = expires_ms > 0 ? expires_ms : 0,
        .coding = &app->codings.results,
        .reply_to = app->reply_to,
        .persistent = cel__config_bool(app->config, "result_persistent"),
    };
    cel_code code;

    if (client->backend)
        return CEL_OK;
    if (!options.url)
        return cel_error_set(err, CEL_ECONFIG,
                             "no result backend is configured: set result_backend "
                             "(or CELERY_RESULT_BACKEND)");
    if (cel__app_listens(app) && !cel__eager_is_on(app)) {
        code = open_broker(client, err);
        if (code != CEL_OK)
            return code;
        options.broker = client->broker;
    }
    return cel__backend_open(&client->backend, &options, err);
}

bool cel__client_one_domain(const cel_client_op *op)
{
    cel_client *client = op->client;

    if (open_broker(client, NULL) != CEL_OK || open_backend(client, NULL) != CEL_OK)
        return false;
    return client->broker->domain && client->broker->domain == client->backend->domain;
}

static void end_op(cel_client_op *op, cel_code code, const cel_error *err)
{
    cel_client *client = op->client;

    pthread_mutex_lock(&client->lock);
    assert(!op->done && op->running);
    op->code = code;
    if (code != CEL_OK) {
        if (err)
            op->err = *err;
        else
            cel_error_set(&op->err, code, "%s", cel_code_text(code));
    }
    op->done = true;
    op->running = false;
    if (op->abandoned && !op->abandon_called)
        client->abandoned--;
    DL_DELETE(client->running, op);
    if (op->waiting)
        pthread_cond_signal(&op->done_cond);
    pthread_mutex_unlock(&client->lock);
    uv_stop(&client->loop); /* it may have ended before the poll phase of this turn, which would block */
    cel__client_op_unref(op);
}

void cel__client_finish(cel_client_op *op, cel_code code, const cel_error *err)
{
    end_op(op, code, err);
}

static void start_op(cel_client_op *op)
{
    cel_client *client = op->client;
    cel_error err = {0};
    cel_code code = CEL_OK;

    if (op->needs_broker)
        code = open_broker(client, &err);
    if (code == CEL_OK && op->needs_backend)
        code = open_backend(client, &err);
    if (code == CEL_OK)
        code = op->start(op, &err);
    if (code != CEL_OK)
        end_op(op, code, &err);
}

/* Called with the lock held, returns with it held. */
static void start_submitted(cel_client *client)
{
    while (client->submitted) {
        cel_client_op *op = client->submitted;

        DL_DELETE(client->submitted, op);
        DL_APPEND(client->running, op);
        op->running = true;
        pthread_mutex_unlock(&client->lock);
        start_op(op);
        pthread_mutex_lock(&client->lock);
    }
}

/* Likewise. An abandoned operation that has no abandon() simply runs to its end. */
static void abandon_some(cel_client *client)
{
    while (client->abandoned > 0) {
        cel_client_op *op = client->running;

        while (op && !(op->abandoned && !op->abandon_called))
            op = op->next;
        assert(op);
        if (!op)
            return;
        client->abandoned--;
        op->abandon_called = true;
        pthread_mutex_unlock(&client->lock);
        if (op->abandon)
            op->abandon(op);
        pthread_mutex_lock(&client->lock);
    }
}

static void lead(cel_client *client, cel_client_op *op, int64_t deadline_ms)
{
    const cel_clock *clock = client->app->clock;

    client->leading = true;
    for (bool armed = false;;) {
        int64_t now_ms = 0;

        start_submitted(client);
        abandon_some(client);
        if (op->done)
            break;
        if (deadline_ms >= 0) {
            now_ms = cel__clock_mono_ms(clock);
            if (now_ms >= deadline_ms)
                break;
        }
        pthread_mutex_unlock(&client->lock);
        if (deadline_ms >= 0 && !armed) {
            uv_update_time(&client->loop);
            uv_timer_start(&client->timer, on_timer, (uint64_t)(deadline_ms - now_ms), 1);
            armed = true;
        }
        run_loop(client, UV_RUN_ONCE);
        pthread_mutex_lock(&client->lock);
    }
    uv_timer_stop(&client->timer);
    client->leading = false;
}

/* ---- the callers' side ---- */

/* Sleeps until signaled; false when the deadline has passed. The lock is held. */
static bool wait_turn(cel_client *client, cel_client_op *op, int64_t deadline_ms)
{
    int rc = 0;

    op->waiting = true;
    DL_APPEND2(client->waiters, op, wait_prev, wait_next);
    if (deadline_ms < 0) {
        pthread_cond_wait(&op->done_cond, &client->lock);
    } else {
        struct timespec until = {
            .tv_sec = (time_t)(deadline_ms / 1000),
            .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
        };
        rc = pthread_cond_timedwait(&op->done_cond, &client->lock, &until);
    }
    DL_DELETE2(client->waiters, op, wait_prev, wait_next);
    op->waiting = false;
    return rc != ETIMEDOUT;
}

/* The lock is held; the loop is told what it must know of an operation that nobody waits for any more. */
static void leave_op(cel_client *client, cel_client_op *op)
{
    if (op->running) {
        op->abandoned = true;
        client->abandoned++;
        return; /* the loop's reference keeps it */
    }
    DL_DELETE(client->submitted, op);
    op->refs--; /* it was never started: the loop's reference goes too; the caller has its own */
}

cel_code cel__client_run(cel_client_op *op, int64_t timeout_ms, cel_error *err)
{
    cel_client *client = op->client;
    int64_t deadline_ms = -1;
    cel_code code;

    if (timeout_ms >= 0 && timeout_ms < CEL_MAX_MS)
        deadline_ms = cel__clock_mono_ms(client->app->clock) + timeout_ms;
    pthread_mutex_lock(&client->lock);
    op->refs++;
    DL_APPEND(client->submitted, op);
    if (client->leading)
        uv_async_send(&client->wake);
    for (;;) {
        if (!client->leading)
            lead(client, op, deadline_ms);
        if (op->done)
            break;
        if (!client->leading || !wait_turn(client, op, deadline_ms))
            break; /* the deadline has passed, leading or waiting */
    }
    if (op->done) {
        code = op->code;
        if (err && code != CEL_OK)
            *err = op->err;
    } else {
        leave_op(client, op);
        code = cel_error_set(err, CEL_ETIMEDOUT, "no answer in %lld ms", (long long)timeout_ms);
    }
    if (!client->leading && client->waiters)
        pthread_cond_signal(&client->waiters->done_cond);
    else if (client->leading && client->abandoned > 0)
        uv_async_send(&client->wake);
    pthread_mutex_unlock(&client->lock);
    return code;
}

/* ---- the end ---- */

static void on_closed(void *user)
{
    cel_client *client = user;

    client->closing--;
}

static void on_handle_closed(uv_handle_t *handle)
{
    on_closed(handle->data);
}

void cel__client_free(cel_client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&client->lock);
    assert(!client->leading && !client->waiters && !client->submitted);
    abandon_some(client);
    pthread_mutex_unlock(&client->lock);
    if (client->backend) {
        client->closing++;
        client->backend->ops->close(client->backend, on_closed, client);
    }
    if (client->broker) {
        client->closing++;
        client->broker->ops->close(client->broker, on_closed, client);
    }
    while (client->closing > 0)
        run_loop(client, UV_RUN_ONCE);
    client->closing = 2;
    client->wake.data = client->timer.data = client;
    uv_close((uv_handle_t *)&client->wake, on_handle_closed);
    uv_close((uv_handle_t *)&client->timer, on_handle_closed);
    while (client->closing > 0)
        run_loop(client, UV_RUN_ONCE);
    run_loop(client, UV_RUN_DEFAULT);
    assert(!client->running);
    uv_loop_close(&client->loop);
    pthread_mutex_destroy(&client->lock);
    cel__free(client);
}
