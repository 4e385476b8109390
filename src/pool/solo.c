/* solo.c - a pool of one slot on the loop itself: for tests, debugging, and tasks that must
 * share the worker's process.
 *
 * One request runs per turn of the loop, in an idle handle that is active while something
 * waits, so that timers and sockets get their turn in between. While it runs nothing else does:
 * it cannot be killed, and nobody can answer an up-call. */
#include <assert.h>

#include <utlist.h>

#include "core/mem.h"
#include "pool/pool.h"

enum {
    SOLO_WAITING = 1,
    SOLO_RETURNING,
    SOLO_RUNNING,
    SOLO_ENDED,
};

#define SOLO_CANCEL 1u

struct solo {
    cel_pool base;
    cel_pool_options opts;
    uv_idle_t turn;
    cel_pool_request *waiting;
    cel_pool_request *returning;
    cel_pool_request *running;
    size_t waiting_count, outstanding;
    cel__buf out;
    bool draining, closing, freeing, room_due;
    void (*stopped)(void *user);
    void *stopped_user;
    void (*closed)(void *user);
    void *closed_user;
};

struct solo_call {
    cel_pool_call base;
    struct solo *pool;
    int64_t soft_due_ms; /* mono; INT64_MAX: none */
};

static void on_turn(uv_idle_t *handle);

static void wake(struct solo *pool)
{
    if (!pool->freeing)
        uv_idle_start(&pool->turn, on_turn);
}

static cel_code call_send(cel_pool_call *base, cel_view bytes, cel__buf *reply, cel_error *err)
{
    struct solo *pool = ((struct solo_call *)base)->pool;
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    cel_frame frame;

    if (reply)
        return cel_error_set(err, CEL_ENOTSUP, "the solo pool has nobody to answer");
    if (cel__frame_read(&frame, bytes) <= 0)
        return cel_error_set(err, CEL_EINVAL, "that is no frame");
    if (frame.type != CEL_FRAME_STARTED)
        calls->on_frame(calls->user, pool->running, &frame);
    return CEL_OK;
}

static bool call_is_canceled(const cel_pool_call *base)
{
    const struct solo_call *call = (const struct solo_call *)base;

    return call->pool->running->flags & SOLO_CANCEL ||
           (call->soft_due_ms < INT64_MAX &&
            cel__clock_mono_ms(call->pool->opts.clock) >= call->soft_due_ms);
}

static void end(struct solo *pool, cel_pool_request *request)
{
    request->state = SOLO_ENDED;
    assert(pool->outstanding > 0);
    pool->outstanding--;
    pool->room_due = true;
}

static void finish(struct solo *pool, cel_pool_request *request)
{
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    cel__buf out =
        pool->out; /* the callback may submit, but the next one runs on a later turn */
    cel_frame frame;
    bool whole = !out.failed && out.len > 0 && cel__frame_read(&frame, cel__buf_view(&out)) > 0;

    pool->running = NULL;
    end(pool, request);
    if (whole && frame.type == CEL_FRAME_OUTCOME)
        calls->on_outcome(calls->user, request, &frame);
    else
        calls->on_lost(calls->user, request, CEL_LOST_DIED, "No memory for the outcome");
    if (out.cap > (256u << 10))
        cel__buf_done(&pool->out);
}

static void run(struct solo *pool, cel_pool_request *request)
{
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    int64_t soft_ms = request->soft_limit_ms;
    struct solo_call call = {
        .base = {request->id, soft_ms, request->hard_limit_ms, call_send, call_is_canceled},
        .pool = pool,
    };

    calls->on_dispatch(calls->user, request);
    pool->running = request;
    request->state = SOLO_RUNNING;
    request->pid = uv_os_getpid();
    request->slot = 1;
    request->started_ms = cel__clock_mono_ms(pool->opts.clock);
    call.soft_due_ms = soft_ms > 0 ? request->started_ms + soft_ms : INT64_MAX;
    calls->on_started(calls->user, request, cel__clock_wall_us(pool->opts.clock));
    cel__buf_reset(&pool->out);
    pool->opts.host.run(pool->opts.host.user, &call.base, request->frame, &pool->out);
    if (soft_ms > 0 && cel__clock_mono_ms(pool->opts.clock) >= call.soft_due_ms)
        calls->on_soft_limit(calls->user, request);
    finish(pool, request);
}

static void give_back(struct solo *pool)
{
    cel_pool_request *list = pool->returning;

    pool->returning = NULL;
    while (list) {
        cel_pool_request *request = list;

        DL_DELETE(list, request);
        end(pool, request);
        pool->opts.callbacks.on_returned(pool->opts.callbacks.user, request);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct solo *pool = handle->data;
    void (*closed)(void *user) = pool->closed;
    void *user = pool->closed_user;

    cel__buf_done(&pool->out);
    cel__free(pool);
    if (closed)
        closed(user);
}

static void stop_if_done(struct solo *pool)
{
    if (pool->outstanding > 0 || pool->freeing)
        return;
    if ((pool->draining || pool->closing) && pool->stopped) {
        void (*stopped)(void *user) = pool->stopped;

        pool->stopped = NULL;
        stopped(pool->stopped_user);
    }
    if (pool->closing) {
        pool->freeing = true;
        uv_close((uv_handle_t *)&pool->turn, on_closed);
    }
}

static void on_turn(uv_idle_t *handle)
{
    struct solo *pool = handle->data;
    cel_pool_request *request = pool->waiting;

    give_back(pool);
    if (request && request == pool->waiting && !pool->draining && !pool->closing) {
        DL_DELETE(pool->waiting, request);
        pool->waiting_count--;
        run(pool, request);
    }
    if (!pool->waiting && !pool->returning)
        uv_idle_stop(handle);
    if (pool->room_due && !pool->waiting && !pool->draining && !pool->closing) {
        pool->room_due = false;
        pool->opts.callbacks.on_room(pool->opts.callbacks.user, 1);
    }
    stop_if_done(pool);
}

static void submit(cel_pool *base, cel_pool_request *request)
{
    struct solo *pool = (struct solo *)base;
    bool stopping = pool->draining || pool->closing;

    pool->outstanding++;
    request->pid = 0;
    request->slot = 0;
    request->started_ms = 0;
    request->flags = 0;
    request->state = stopping ? SOLO_RETURNING : SOLO_WAITING;
    if (stopping) {
        DL_APPEND(pool->returning, request);
    } else {
        DL_APPEND(pool->waiting, request);
        pool->waiting_count++;
    }
    wake(pool);
}

static size_t room(const cel_pool *base)
{
    const struct solo *pool = (const struct solo *)base;
    size_t max = pool->opts.in_flight;

    if (pool->draining || pool->closing || pool->waiting_count >= max)
        return 0;
    return max - pool->waiting_count;
}

static void reply(cel_pool *base, cel_pool_request *request, cel_view frame)
{
    (void)base, (void)request, (void)frame; /* nobody waits */
}

static cel_code
kill_request(cel_pool *base, cel_pool_request *request, int signum, cel_error *err)
{
    (void)base, (void)request, (void)signum;
    return cel_error_set(err, CEL_ENOTSUP, "the solo pool cannot end a request");
}

static void cancel(cel_pool *base, cel_pool_request *request)
{
    (void)base;
    request->flags |= SOLO_CANCEL;
}

static void resize(cel_pool *base, size_t slots)
{
    (void)base, (void)slots;
}

static void stop_queue(struct solo *pool)
{
    while (pool->waiting) {
        cel_pool_request *request = pool->waiting;

        DL_DELETE(pool->waiting, request);
        request->state = SOLO_RETURNING;
        DL_APPEND(pool->returning, request);
    }
    pool->waiting_count = 0;
    wake(pool);
}

static void drain(cel_pool *base, void (*stopped)(void *user), void *user)
{
    struct solo *pool = (struct solo *)base;

    pool->draining = true;
    pool->stopped = stopped;
    pool->stopped_user = user;
    stop_queue(pool);
}

static void close_pool(cel_pool *base, void (*closed)(void *user), void *user)
{
    struct solo *pool = (struct solo *)base;

    assert(!pool->closing);
    pool->closing = true;
    pool->closed = closed;
    pool->closed_user = user;
    if (pool->running)
        pool->running->flags |= SOLO_CANCEL;
    stop_queue(pool);
}

static size_t list_pids(const cel_pool *base, pid_t *pids, size_t max)
{
    (void)base;
    if (max > 0)
        pids[0] = uv_os_getpid();
    return 1;
}

static cel_code open_pool(cel_pool **out, const cel_pool_options *options, cel_error *err)
{
    struct solo *pool = cel__calloc(1, sizeof *pool);
    cel_code code;

    if (!pool)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a pool");
    if (options->host.start) {
        code = options->host.start(options->host.user, err);
        if (code) {
            cel__free(pool);
            return code;
        }
    }
    pool->base.ops = &cel__solo_pool_ops;
    pool->opts = *options;
    if (pool->opts.in_flight == 0)
        pool->opts.in_flight = 32;
    uv_idle_init(options->loop, &pool->turn);
    pool->turn.data = pool;
    pool->room_due = true;
    wake(pool);
    *out = &pool->base;
    return CEL_OK;
}

const cel_pool_ops cel__solo_pool_ops = {
    .names = "solo",
    .hard_limits = false,
    .forks = false,
    .open = open_pool,
    .submit = submit,
    .room = room,
    .reply = reply,
    .kill = kill_request,
    .cancel = cancel,
    .resize = resize,
    .drain = drain,
    .close = close_pool,
    .pids = list_pids,
};
