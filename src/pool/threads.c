/* threads.c - a pool of threads in the worker's process.
 *
 * The loop hands requests over through one queue that all threads take from, so nothing waits
 * behind a long request while another thread is free; what the queue holds beyond the free
 * threads is short, and can be taken back. It does so once per turn, by an idle handle that is active
 * only then, and wakes no more threads than are waiting. Threads post *notes* (started, frame, outcome, the
 * end of the thread) to a list that the loop empties when a uv_async wakes it. A thread that has its next request already does
 * not wake it for each outcome of a short one, but for WITHHELD_MAX of them, or after WITHHELD_NS, or before it begins one that is not short;
 * and the loop looks of itself while requests are queued, should a short one turn out to be long. Everything
 * shared is under one mutex; a request's cancel token is an atomic in its *run*, which lives
 * from submit() until the end.
 *
 * A thread cannot be ended: hard limits are refused, close() waits for what runs (its token is
 * set). */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <utlist.h>

#include "core/mem.h"
#include "pool/pool.h"

#define DEFAULT_AHEAD      32u
#define MAX_START_FAILURES 10u
#define WITHHELD_MAX       32
#define WITHHELD_NS        200000
#define LOOK_MS            3 /* doubled while nothing is found, up to: */
#define LOOK_MAX_MS        100

/* request->state; the loop's */
enum {
    THREADS_WAITING = 1, /* in pool->waiting */
    THREADS_QUEUED,      /* in pool->queue, or with a thread already */
    THREADS_RETURNING,
    THREADS_ENDED,
};

enum note_kind {
    NOTE_STARTED,
    NOTE_FRAME,
    NOTE_OUTCOME,
    NOTE_THREAD_READY,
    NOTE_THREAD_FAILED, /* its start() failed; the bytes say why */
    NOTE_THREAD_ENDED,
};

struct note {
    struct note *prev, *next;
    enum note_kind kind;
    struct run *run;       /* of the first three */
    struct thread *thread; /* of the others */
    cel__buf bytes;
};

/* One request while it is in the pool. */
struct run {
    struct run *prev, *next; /* in pool->queue; under the mutex */
    cel_pool_request
        *request; /* its frame and id are read by the thread, the rest is the loop's */
    atomic_bool canceled;
    _Atomic int64_t started_ms; /* mono; 0: not yet */
    int64_t wall_us;            /* valid once started_ms is */
    int slot;
    bool told;      /* the loop's: on_started was called */
    bool soft;      /* the loop's: on_soft_limit was called */
    cel__buf reply; /* under the mutex */
    bool replied;
    struct run *all_prev, *all_next;        /* the loop's: handed over and not ended */
    struct note note_started, note_outcome; /* so that these need no memory */
};

struct thread {
    struct thread *prev, *next;
    struct threads *pool;
    pthread_t id;
    int number;
    struct note note_ready, note_end;
};

struct threads {
    cel_pool base;
    cel_pool_options opts;
    uv_async_t async;
    uv_timer_t limits;
    uv_timer_t retry;
    uv_timer_t look;
    uv_idle_t turn;
    pthread_mutex_t mutex;
    pthread_cond_t work;    /* a request was queued, or the number of threads falls */
    pthread_cond_t replies; /* a reply came, or the pool closes */
    struct run *queue;      /* mutex */
    size_t queue_len;       /* mutex */
    size_t idle;            /* mutex: threads that wait for `work` */
    struct note *notes;     /* mutex */
    size_t withheld;        /* mutex: how many of them the loop was not woken for */
    uint64_t withheld_ns;   /* mutex: when the first of those came */
    size_t target;          /* mutex: threads wanted */
    size_t live;            /* mutex: threads that have not decided to end */
    bool closing;           /* mutex for reading off the loop */
    /* the loop's: */
    struct thread *threads;
    size_t thread_count; /* not joined yet */
    size_t ready;        /* started and not ended */
    int next_number;
    unsigned start_failures;
    cel_pool_request *waiting, *returning;
    size_t waiting_count, outstanding, in_hand; /* in_hand: handed over and not ended */
    struct run *runs;
    struct run *handed; /* of the present turn; not in the queue yet */
    size_t handed_count;
    uint64_t look_ms;
    bool draining, broken, freeing, room_due;
    size_t handles;
    void (*stopped)(void *user);
    void *stopped_user;
    void (*closed)(void *user);
    void *closed_user;
};

struct thread_call {
    cel_pool_call base;
    struct threads *pool;
    struct run *run;
    int64_t soft_due_ms; /* mono; INT64_MAX: none */
};

/* ---- on the threads ---- */

static void tell(struct threads *pool)
{
    pool->withheld = 0;
    uv_async_send(&pool->async);
}

static void post_locked(struct threads *pool, struct note *note)
{
    DL_APPEND(pool->notes, note);
    tell(pool);
}

/* The outcome of a short request, by a thread that looks for its next one now. */
static void post_short(struct threads *pool, struct note *note)
{
    uint64_t now = uv_hrtime();

    DL_APPEND(pool->notes, note);
    if (pool->withheld++ == 0)
        pool->withheld_ns = now;
    if (!pool->queue || !pool->queue->request->is_short || pool->withheld >= WITHHELD_MAX ||
        now - pool->withheld_ns >= WITHHELD_NS)
        tell(pool);
}

static void post(struct threads *pool, struct note *note)
{
    pthread_mutex_lock(&pool->mutex);
    post_locked(pool, note);
    pthread_mutex_unlock(&pool->mutex);
}

static cel_code wait_reply(struct thread_call *call, cel__buf *reply, cel_error *err)
{
    struct threads *pool = call->pool;
    struct run *run = call->run;
    bool replied;

    pthread_mutex_lock(&pool->mutex);
    while (!run->replied && !pool->closing)
        pthread_cond_wait(&pool->replies, &pool->mutex);
    replied = run->replied;
    run->replied = false;
    if (replied)
        cel__buf_add_view(reply, cel__buf_view(&run->reply));
    cel__buf_done(&run->reply);
    pthread_mutex_unlock(&pool->mutex);
    if (!replied)
        return cel_error_set(err, CEL_ECANCELED, "the pool closes");
    return cel__buf_check(reply, err);
}

static cel_code call_send(cel_pool_call *base, cel_view bytes, cel__buf *reply, cel_error *err)
{
    struct thread_call *call = (struct thread_call *)base;
    struct note *note = cel__calloc(1, sizeof *note);

    if (note)
        cel__buf_add_view(&note->bytes, bytes);
    if (!note || note->bytes.failed) {
        if (note)
            cel__buf_done(&note->bytes);
        cel__free(note);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a frame");
    }
    note->kind = NOTE_FRAME;
    note->run = call->run;
    post(call->pool, note);
    return reply ? wait_reply(call, reply, err) : CEL_OK;
}

static bool call_is_canceled(const cel_pool_call *base)
{
    const struct thread_call *call = (const struct thread_call *)base;

    return atomic_load_explicit(&call->run->canceled, memory_order_relaxed) ||
           (call->soft_due_ms < INT64_MAX &&
            cel__clock_mono_ms(call->pool->opts.clock) >= call->soft_due_ms);
}

static void execute(struct thread *thread, struct run *run)
{
    struct threads *pool = thread->pool;
    cel_pool_request *request = run->request;
    int64_t soft_ms = request->soft_limit_ms;
    int64_t now_ms = cel__clock_mono_ms(pool->opts.clock);
    struct thread_call call = {
        .base = {request->id, soft_ms, request->hard_limit_ms, call_send, call_is_canceled},
        .pool = pool,
        .run = run,
        .soft_due_ms = soft_ms > 0 ? now_ms + soft_ms : INT64_MAX,
    };

    run->wall_us = cel__clock_wall_us(pool->opts.clock);
    run->slot = thread->number;
    atomic_store_explicit(&run->started_ms, now_ms > 0 ? now_ms : 1, memory_order_release);
    if (!request->is_short || soft_ms > 0)
        post(pool, &run->note_started);
    pool->opts.host.run(pool->opts.host.user, &call.base, request->frame,
                        &run->note_outcome.bytes);
}

static bool start_thread(struct thread *thread)
{
    struct threads *pool = thread->pool;
    cel_error err = {0};

    if (pool->opts.host.start && pool->opts.host.start(pool->opts.host.user, &err) != CEL_OK) {
        thread->note_end.kind = NOTE_THREAD_FAILED;
        cel__buf_add_str(&thread->note_end.bytes, err.message);
        return false;
    }
    post(pool, &thread->note_ready);
    return true;
}

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    struct threads *pool = thread->pool;
    bool started = start_thread(thread);

    pthread_mutex_lock(&pool->mutex);
    while (started) {
        struct run *run;
        bool is_short;

        while (!pool->queue && pool->live <= pool->target && !pool->closing) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->mutex);
            pool->idle--;
        }
        if (!pool->queue || pool->live > pool->target || pool->closing)
            break;
        run = pool->queue;
        DL_DELETE(pool->queue, run);
        pool->queue_len--;
        is_short = run->request->is_short;
        pthread_mutex_unlock(&pool->mutex);
        execute(thread, run);
        pthread_mutex_lock(&pool->mutex);
        if (is_short)
            post_short(pool, &run->note_outcome);
        else
            post_locked(pool, &run->note_outcome);
    }
    pool->live--;
    post_locked(pool, &thread->note_end);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* ---- on the loop ---- */

static cel_code spawn(struct threads *pool, cel_error *err)
{
    struct thread *thread = cel__calloc(1, sizeof *thread);

    if (!thread)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a thread");
    thread->pool = pool;
    thread->number = ++pool->next_number;
    thread->note_ready = (struct note){.kind = NOTE_THREAD_READY, .thread = thread};
    thread->note_end = (struct note){.kind = NOTE_THREAD_ENDED, .thread = thread};
    pthread_mutex_lock(&pool->mutex);
    pool->live++;
    pthread_mutex_unlock(&pool->mutex);
    if (pthread_create(&thread->id, NULL, thread_main, thread) != 0) {
        pthread_mutex_lock(&pool->mutex);
        pool->live--;
        pthread_mutex_unlock(&pool->mutex);
        cel__free(thread);
        return cel_error_set(err, CEL_EIO, "cannot start a thread");
    }
    DL_APPEND(pool->threads, thread);
    pool->thread_count++;
    return CEL_OK;
}

static void wake(struct threads *pool)
{
    if (!pool->freeing)
        uv_async_send(&pool->async);
}

static void end(struct threads *pool, cel_pool_request *request)
{
    struct run *run = request->priv;

    if (run) {
        if (request->state == THREADS_QUEUED) {
            DL_DELETE2(pool->runs, run, all_prev, all_next);
            pool->in_hand--;
        }
        cel__buf_done(&run->reply);
        cel__free(run);
    }
    request->priv = NULL;
    request->state = THREADS_ENDED;
    assert(pool->outstanding > 0);
    pool->outstanding--;
    pool->room_due = true;
}

static void tell_started(struct threads *pool, struct run *run)
{
    cel_pool_request *request = run->request;

    if (run->told)
        return;
    run->told = true;
    request->started_ms = atomic_load_explicit(&run->started_ms, memory_order_acquire);
    request->slot = run->slot;
    request->pid = uv_os_getpid();
    pool->opts.callbacks.on_started(pool->opts.callbacks.user, request, run->wall_us);
}

/* Tells, once, that the soft limit has passed; returns when it will, INT64_MAX if nothing is
 * due. The request itself may have seen it before, by the clock. */
static int64_t tell_soft_limit(struct threads *pool, struct run *run, int64_t now)
{
    int64_t soft_ms = run->request->soft_limit_ms;
    int64_t due = atomic_load_explicit(&run->started_ms, memory_order_acquire) + soft_ms;

    if (soft_ms <= 0 || run->soft || !run->told)
        return INT64_MAX;
    if (due > now)
        return due;
    run->soft = true;
    atomic_store_explicit(&run->canceled, true, memory_order_relaxed);
    pool->opts.callbacks.on_soft_limit(pool->opts.callbacks.user, run->request);
    return INT64_MAX;
}

static void on_limits(uv_timer_t *timer)
{
    struct threads *pool = timer->data;
    int64_t now = cel__clock_mono_ms(pool->opts.clock);
    int64_t next = INT64_MAX;
    struct run *run;

    DL_FOREACH2(pool->runs, run, all_next)
    {
        int64_t due = tell_soft_limit(pool, run, now);

        next = due < next ? due : next;
    }
    if (next < INT64_MAX && !pool->freeing)
        uv_timer_start(timer, on_limits, (uint64_t)(next - now), 0);
}

static void on_turn(uv_idle_t *turn);
static void on_look(uv_timer_t *look);

static void hand_over(struct threads *pool, cel_pool_request *request)
{
    struct run *run = request->priv;

    pool->opts.callbacks.on_dispatch(pool->opts.callbacks.user, request);
    request->state = THREADS_QUEUED;
    DL_APPEND2(pool->runs, run, all_prev, all_next);
    pool->in_hand++;
    DL_APPEND(pool->handed, run);
    pool->handed_count++;
    uv_idle_start(&pool->turn, on_turn);
}

/* Puts what was handed over into the queue, at once. */
static void fill_queue(struct threads *pool)
{
    if (!pool->handed)
        return;
    pthread_mutex_lock(&pool->mutex);
    DL_CONCAT(pool->queue, pool->handed);
    pool->queue_len += pool->handed_count;
    for (size_t n = pool->idle; n > 0 && pool->handed_count > 0; n--, pool->handed_count--)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    pool->handed = NULL;
    pool->handed_count = 0;
    if (!uv_is_active((uv_handle_t *)&pool->look)) {
        pool->look_ms = LOOK_MS;
        uv_timer_start(&pool->look, on_look, LOOK_MS, 0);
    }
}

static void on_turn(uv_idle_t *turn)
{
    uv_idle_stop(turn);
    fill_queue(turn->data);
}

/* How many requests may be handed over: short ones may wait in the queue. */
static size_t credit(const struct threads *pool, bool is_short)
{
    size_t slots = pool->ready < pool->opts.slots ? pool->ready : pool->opts.slots;
    size_t max = slots > 0 && is_short ? slots + pool->opts.in_flight : slots;

    return pool->in_hand < max ? max - pool->in_hand : 0;
}

static void dispatch(struct threads *pool)
{
    while (pool->waiting && !pool->draining && !pool->closing) {
        cel_pool_request *request = pool->waiting;

        if (credit(pool, request->is_short) == 0)
            return;
        DL_DELETE(pool->waiting, request);
        pool->waiting_count--;
        hand_over(pool, request);
    }
}

/* Takes back what no thread has taken: to the front of the queue, or to be returned. */
static void take_back(struct threads *pool, bool for_good)
{
    struct run *list, *run;
    cel_pool_request *request;

    fill_queue(pool);
    pthread_mutex_lock(&pool->mutex);
    list = pool->queue;
    pool->queue = NULL;
    pool->queue_len = 0;
    pthread_mutex_unlock(&pool->mutex);
    while (list) {
        run = list->prev; /* the last */
        DL_DELETE(list, run);
        request = run->request;
        DL_DELETE2(pool->runs, run, all_prev, all_next);
        pool->in_hand--;
        request->state = for_good ? THREADS_RETURNING : THREADS_WAITING;
        if (for_good) {
            DL_PREPEND(pool->returning, request);
        } else {
            DL_PREPEND(pool->waiting, request);
            pool->waiting_count++;
        }
    }
}

static void finish(struct threads *pool, struct run *run)
{
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    cel_pool_request *request = run->request;
    cel__buf out = run->note_outcome.bytes;
    cel_frame frame;
    bool whole = !out.failed && out.len > 0 && cel__frame_read(&frame, cel__buf_view(&out)) > 0;

    tell_started(pool, run);
    tell_soft_limit(pool, run, cel__clock_mono_ms(pool->opts.clock));
    end(pool, request);
    if (whole && frame.type == CEL_FRAME_OUTCOME)
        calls->on_outcome(calls->user, request, &frame);
    else
        calls->on_lost(calls->user, request, CEL_LOST_DIED, "No memory for the outcome");
    cel__buf_done(&out);
}

static void pass_frame(struct threads *pool, struct note *note)
{
    cel_frame frame;

    tell_started(pool, note->run);
    if (cel__frame_read(&frame, cel__buf_view(&note->bytes)) > 0 &&
        frame.type != CEL_FRAME_STARTED)
        pool->opts.callbacks.on_frame(pool->opts.callbacks.user, note->run->request, &frame);
    cel__buf_done(&note->bytes);
    cel__free(note);
}

static void give_up(struct threads *pool, const char *text)
{
    cel_error err = {0};

    if (pool->broken || pool->closing)
        return;
    pool->broken = true;
    cel_error_set(&err, CEL_EIO, "%s", text);
    pool->opts.callbacks.on_broken(pool->opts.callbacks.user, &err);
}

static void on_retry(uv_timer_t *timer)
{
    struct threads *pool = timer->data;
    cel_error err = {0};

    while (pool->thread_count < pool->opts.slots && !pool->closing) {
        if (spawn(pool, &err) != CEL_OK) {
            give_up(pool, err.message);
            return;
        }
    }
}

/* A thread has ended: join it, and replace it if it failed to start. */
static void bury(struct threads *pool, struct thread *thread)
{
    bool failed = thread->note_end.kind == NOTE_THREAD_FAILED;

    pthread_join(thread->id, NULL);
    DL_DELETE(pool->threads, thread);
    pool->thread_count--;
    if (!failed)
        pool->ready--;
    if (failed && !pool->closing) {
        cel__err(pool->opts.log, "ThreadPoolWorker-%d: %.*s", thread->number,
                 CEL_VIEW_ARG(cel__buf_view(&thread->note_end.bytes)));
        if (++pool->start_failures >= MAX_START_FAILURES)
            give_up(pool, "no thread of the pool can be started");
        else
            uv_timer_start(&pool->retry, on_retry, 10u << (pool->start_failures - 1), 0);
    } else if (!failed && !pool->closing && pool->thread_count < pool->opts.slots) {
        uv_timer_start(&pool->retry, on_retry, 0, 0);
    }
    cel__buf_done(&thread->note_end.bytes);
    cel__free(thread);
}

static void handle_note(struct threads *pool, struct note *note)
{
    struct thread *thread = note->thread;

    switch (note->kind) {
    case NOTE_STARTED:
        tell_started(pool, note->run);
        on_limits(&pool->limits);
        return;
    case NOTE_FRAME:
        pass_frame(pool, note);
        return;
    case NOTE_OUTCOME:
        finish(pool, note->run);
        return;
    case NOTE_THREAD_READY:
        pool->ready++;
        pool->start_failures = 0;
        pool->room_due = true;
        return;
    case NOTE_THREAD_FAILED:
    case NOTE_THREAD_ENDED:
        bury(pool, thread);
        return;
    }
}

static void give_back(struct threads *pool)
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

static void on_handle_closed(uv_handle_t *handle)
{
    struct threads *pool = handle->data;
    void (*closed)(void *user) = pool->closed;
    void *user = pool->closed_user;

    if (--pool->handles > 0)
        return;
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->replies);
    cel__free(pool);
    if (closed)
        closed(user);
}

static void stop_if_done(struct threads *pool)
{
    if (pool->outstanding > 0 || pool->freeing)
        return;
    if ((pool->draining || pool->closing) && pool->stopped) {
        void (*stopped)(void *user) = pool->stopped;

        pool->stopped = NULL;
        stopped(pool->stopped_user);
    }
    if (!pool->closing || pool->thread_count > 0)
        return;
    pool->freeing = true;
    uv_close((uv_handle_t *)&pool->async, on_handle_closed);
    uv_close((uv_handle_t *)&pool->limits, on_handle_closed);
    uv_close((uv_handle_t *)&pool->look, on_handle_closed);
    uv_close((uv_handle_t *)&pool->turn, on_handle_closed);
    uv_close((uv_handle_t *)&pool->retry, on_handle_closed);
}

static size_t room(const cel_pool *base)
{
    const struct threads *pool = (const struct threads *)base;

    if (pool->waiting || pool->draining || pool->closing || pool->broken)
        return 0;
    return credit(pool, true);
}

static void on_async(uv_async_t *async)
{
    struct threads *pool = async->data;
    struct note *list;

    pthread_mutex_lock(&pool->mutex);
    list = pool->notes;
    pool->notes = NULL;
    pool->withheld = 0;
    pthread_mutex_unlock(&pool->mutex);
    while (list) {
        struct note *note = list;

        DL_DELETE(list, note);
        handle_note(pool, note);
    }
    give_back(pool);
    dispatch(pool);
    if (pool->room_due) {
        pool->room_due = false;
        if (room(&pool->base) > 0)
            pool->opts.callbacks.on_room(pool->opts.callbacks.user, credit(pool, false));
    }
    fill_queue(pool);
    stop_if_done(pool);
}

/* A thread may have withheld outcomes for a next request that takes long. */
static void on_look(uv_timer_t *look)
{
    struct threads *pool = look->data;
    bool found, more;

    pthread_mutex_lock(&pool->mutex);
    found = pool->notes != NULL;
    more = pool->queue != NULL;
    pthread_mutex_unlock(&pool->mutex);
    if (found)
        on_async(&pool->async);
    pool->look_ms = found ? LOOK_MS : pool->look_ms * 2;
    if (pool->look_ms > LOOK_MAX_MS)
        pool->look_ms = LOOK_MAX_MS;
    if (more && !pool->freeing)
        uv_timer_start(look, on_look, pool->look_ms, 0);
}

static void submit(cel_pool *base, cel_pool_request *request)
{
    struct threads *pool = (struct threads *)base;
    struct run *run = cel__calloc(1, sizeof *run);

    pool->outstanding++;
    request->pid = 0;
    request->slot = 0;
    request->started_ms = 0;
    request->flags = 0;
    request->priv = run;
    if (run) {
        run->request = request;
        run->note_started = (struct note){.kind = NOTE_STARTED, .run = run};
        run->note_outcome = (struct note){.kind = NOTE_OUTCOME, .run = run};
    }
    if (!run || pool->draining || pool->closing) {
        request->state = THREADS_RETURNING;
        DL_APPEND(pool->returning, request);
        wake(pool);
        return;
    }
    request->state = THREADS_WAITING;
    if (!pool->waiting && credit(pool, request->is_short) > 0) {
        hand_over(pool, request);
        return;
    }
    DL_APPEND(pool->waiting, request);
    pool->waiting_count++;
}

static void reply(cel_pool *base, cel_pool_request *request, cel_view frame)
{
    struct threads *pool = (struct threads *)base;
    struct run *run = request->priv;

    if (request->state != THREADS_QUEUED)
        return;
    pthread_mutex_lock(&pool->mutex);
    cel__buf_reset(&run->reply);
    cel__buf_add_view(&run->reply, frame);
    run->replied = true;
    pthread_cond_broadcast(&pool->replies);
    pthread_mutex_unlock(&pool->mutex);
}

static cel_code
kill_request(cel_pool *base, cel_pool_request *request, int signum, cel_error *err)
{
    (void)base, (void)request, (void)signum;
    return cel_error_set(err, CEL_ENOTSUP, "the threads pool cannot end a request");
}

static void cancel(cel_pool *base, cel_pool_request *request)
{
    struct run *run = request->priv;

    (void)base;
    if (run)
        atomic_store_explicit(&run->canceled, true, memory_order_relaxed);
}

static void resize(cel_pool *base, size_t slots)
{
    struct threads *pool = (struct threads *)base;

    pool->opts.slots = slots > 0 ? slots : 1;
    pthread_mutex_lock(&pool->mutex);
    pool->target = pool->opts.slots;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    if (!pool->closing)
        uv_timer_start(&pool->retry, on_retry, 0, 0);
    pool->room_due = true;
    wake(pool);
}

static void stop_queue(struct threads *pool)
{
    take_back(pool, true);
    while (pool->waiting) {
        cel_pool_request *request = pool->waiting;

        DL_DELETE(pool->waiting, request);
        request->state = THREADS_RETURNING;
        DL_APPEND(pool->returning, request);
    }
    pool->waiting_count = 0;
    wake(pool);
}

static void drain(cel_pool *base, void (*stopped)(void *user), void *user)
{
    struct threads *pool = (struct threads *)base;

    pool->draining = true;
    pool->stopped = stopped;
    pool->stopped_user = user;
    stop_queue(pool);
}

static void close_pool(cel_pool *base, void (*closed)(void *user), void *user)
{
    struct threads *pool = (struct threads *)base;
    struct run *run;

    assert(!pool->closing);
    pool->closed = closed;
    pool->closed_user = user;
    stop_queue(pool);
    DL_FOREACH2(pool->runs, run, all_next)
    atomic_store_explicit(&run->canceled, true, memory_order_relaxed);
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->replies);
    pthread_mutex_unlock(&pool->mutex);
    uv_timer_stop(&pool->retry);
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
    struct threads *pool;

    if (options->slots == 0 || options->slots > 10000)
        return cel_error_set(err, CEL_EINVAL, "slots is out of range");
    pool = cel__calloc(1, sizeof *pool);
    if (!pool)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a pool");
    pool->base.ops = &cel__threads_pool_ops;
    pool->opts = *options;
    if (pool->opts.in_flight == 0)
        pool->opts.in_flight = DEFAULT_AHEAD;
    pool->target = options->slots;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->replies, NULL);
    if (uv_async_init(options->loop, &pool->async, on_async) != 0) {
        cel__free(pool);
        return cel_error_set(err, CEL_EIO, "cannot make an async handle");
    }
    uv_timer_init(options->loop, &pool->limits);
    uv_timer_init(options->loop, &pool->retry);
    uv_timer_init(options->loop, &pool->look);
    uv_idle_init(options->loop, &pool->turn);
    pool->async.data = pool->limits.data = pool->retry.data = pool->look.data =
        pool->turn.data = pool;
    pool->handles = 5;
    on_retry(&pool->retry);
    *out = &pool->base;
    return CEL_OK;
}

const cel_pool_ops cel__threads_pool_ops = {
    .names = "threads",
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
