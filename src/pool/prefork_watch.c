/* prefork_watch.c - what the claim pages tell the worker.
 *
 * One timer serves the pool. While some child may be running a request that nobody knows to be
 * long, it fires every CEL_WATCH_MS: then it learns of starts, takes back what waits behind a
 * long request, and fetches outcomes that a child holds back. Otherwise it fires at the next
 * time limit, or never. */
#include <signal.h>
#include <string.h>

#include <utlist.h>

#include "pool/prefork.h"

void cel__prefork_watch_within(struct prefork *pool, int64_t ms)
{
    int64_t due = (int64_t)uv_now(pool->opts.loop) + ms;

    if (pool->watch_due_ms <= due || pool->freeing)
        return;
    pool->watch_due_ms = due;
    uv_timer_start(&pool->watch, cel__prefork_on_watch, (uint64_t)ms, 0);
}

void cel__prefork_started(struct child *child, cel_pool_request *request, uint64_t now_ns)
{
    struct prefork *pool = child->pool;
    cel__claim_slot *slot = cel__claim_slot_of(child->page, request->ticket);
    uint64_t taken_ns = atomic_load_explicit(&slot->taken_ns, memory_order_relaxed);
    uint64_t age_ns = taken_ns && taken_ns < now_ns ? now_ns - taken_ns : 0;

    if (request->flags & REQUEST_STARTED)
        return;
    request->flags |= REQUEST_STARTED;
    request->started_ms = cel__clock_mono_ms(pool->opts.clock) - (int64_t)(age_ns / 1000000);
    pool->opts.callbacks.on_started(pool->opts.callbacks.user, request,
                                    pool->turn_wall_us - (int64_t)(age_ns / 1000));
}

void cel__prefork_reclaim(struct child *child)
{
    cel_pool_request *request = child->requests ? child->requests->prev : NULL;

    /* From the last to the first: each goes to the front of the queue, so their order stays. */
    while (request) {
        cel_pool_request *before = request == child->requests ? NULL : request->prev;

        if (cel__claim_move(child->page, request->ticket, CEL_CLAIM_QUEUED,
                            CEL_CLAIM_RECLAIMED)) {
            DL_DELETE(child->requests, request);
            child->in_flight--;
            child->assigned--;
            cel__prefork_requeue(child->pool, request);
        }
        request = before;
    }
}

/* Sets the cancel token of a request that runs and interrupts it; false if it does not run. */
static bool interrupt_request(struct child *child, cel_pool_request *request)
{
    if (!cel__claim_move(child->page, request->ticket, CEL_CLAIM_TAKEN, CEL_CLAIM_CANCELED))
        return false;
    cel__child_signal(child, SIGUSR1);
    return true;
}

/* Ends the process of a request that runs; false if it does not run (any more). */
static bool
doom_request(struct child *child, cel_pool_request *request, cel_pool_loss loss, int signum)
{
    cel__claim_page *page = child->page;

    if (!cel__claim_move(page, request->ticket, CEL_CLAIM_TAKEN, CEL_CLAIM_DOOMED) &&
        !cel__claim_move(page, request->ticket, CEL_CLAIM_CANCELED, CEL_CLAIM_DOOMED) &&
        cel__claim_get(page, request->ticket) != CEL_CLAIM_DOOMED)
        return false;
    if (!child->doomed || child->doomed_ticket != request->ticket) {
        child->doomed = true;
        child->doomed_ticket = request->ticket;
        child->doomed_loss = loss;
    }
    cel__child_signal(child, signum);
    return true;
}

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Applies the limits of the running request; returns when to look again. */
static int64_t check_limits(struct child *child, cel_pool_request *request, int64_t age_ms)
{
    struct prefork *pool = child->pool;
    int64_t due = INT64_MAX;

    if (request->hard_limit_ms > 0) {
        if (age_ms >= request->hard_limit_ms) {
            if (!child->doomed || child->doomed_ticket != request->ticket)
                doom_request(child, request, CEL_LOST_HARD_LIMIT, SIGKILL);
            return due;
        }
        due = request->hard_limit_ms - age_ms;
    }
    if (request->soft_limit_ms > 0 && !(request->flags & REQUEST_SOFT)) {
        if (age_ms < request->soft_limit_ms)
            return min_ms(due, request->soft_limit_ms - age_ms);
        request->flags |= REQUEST_SOFT;
        if (interrupt_request(child, request) ||
            cel__claim_get(child->page, request->ticket) == CEL_CLAIM_CANCELED)
            pool->opts.callbacks.on_soft_limit(pool->opts.callbacks.user, request);
    }
    return due;
}

/* Looks at a child that has requests in flight; returns in how many ms to look again. */
static int64_t watch_child(struct child *child, uint64_t now_ns)
{
    cel__claim_page *page = child->page;
    uint64_t since = atomic_load_explicit(&page->pending_since_ns, memory_order_relaxed);
    uint32_t held = atomic_load_explicit(&page->pending_len, memory_order_acquire);
    cel_pool_request *head;
    enum cel__claim_state state;
    uint64_t age_ns;
    int64_t due;

    if (held > 0 && now_ns > since + CEL_LONG_NS)
        cel__child_steal(child);
    head = child->requests;
    if (!head || child->state == CHILD_DEAD)
        return INT64_MAX;
    state = cel__claim_get(page, head->ticket);
    if (state != CEL_CLAIM_TAKEN && state != CEL_CLAIM_CANCELED && state != CEL_CLAIM_DOOMED) {
        /* DONE comes behind the outcome's bytes: they must be here soon, unless a task wrote
         * into its process's socket and made us wait for the rest of a frame that has none. */
        if (state != CEL_CLAIM_QUEUED && ++child->silent_looks > CEL_SILENT_LOOKS)
            cel__child_distrust(child, "ended a request without an outcome");
        return CEL_WATCH_MS;
    }
    cel__prefork_started(child, head, now_ns);
    age_ns = atomic_load_explicit(&cel__claim_slot_of(page, head->ticket)->taken_ns,
                                  memory_order_relaxed);
    age_ns = now_ns > age_ns ? now_ns - age_ns : 0;
    if (head->flags & REQUEST_CANCEL)
        interrupt_request(child, head);
    due = check_limits(child, head, (int64_t)(age_ns / 1000000));
    if (age_ns < CEL_LONG_NS && !child->is_long)
        return CEL_WATCH_MS;
    child->is_long = true;
    if (child->requests->next)
        cel__prefork_reclaim(child);
    cel__child_update(child);
    return due;
}

void cel__prefork_on_watch(uv_timer_t *timer)
{
    struct prefork *pool = timer->data;
    uint64_t now_ns = uv_hrtime();
    int64_t due = INT64_MAX;
    struct child *child;

    pool->watch_due_ms = INT64_MAX;
    pool->turn_ns = now_ns;
    pool->turn_wall_us = cel__clock_wall_us(pool->opts.clock);
    DL_FOREACH2(pool->all, child, all_next)
    {
        if (child->requests || child->in_flight)
            due = min_ms(due, watch_child(child, now_ns));
    }
    if (due < INT64_MAX)
        cel__prefork_watch_within(pool, due < 1 ? 1 : due);
}

cel_code
cel__prefork_kill(cel_pool *base, cel_pool_request *request, int signum, cel_error *err)
{
    struct prefork *pool = (struct prefork *)base;
    struct child *child = request->priv;

    if (signum < 1 || signum >= NSIG)
        return cel_error_set(err, CEL_EINVAL, "%d is no signal", signum);
    if (request->state == REQUEST_WAITING) {
        DL_DELETE(pool->waiting, request);
        pool->waiting_count--;
        cel__prefork_notify(pool, request, REQUEST_LOSING);
        return CEL_OK;
    }
    if (request->state != REQUEST_SENT)
        return CEL_OK; /* it is ending already */
    if (cel__claim_move(child->page, request->ticket, CEL_CLAIM_QUEUED, CEL_CLAIM_RECLAIMED)) {
        DL_DELETE(child->requests, request);
        child->in_flight--;
        child->assigned--;
        cel__child_update(child);
        cel__prefork_notify(pool, request, REQUEST_LOSING);
        return CEL_OK;
    }
    doom_request(child, request, CEL_LOST_KILLED, signum);
    return CEL_OK;
}

void cel__prefork_cancel(cel_pool *base, cel_pool_request *request)
{
    struct prefork *pool = (struct prefork *)base;

    if (request->state != REQUEST_WAITING && request->state != REQUEST_SENT)
        return;
    request->flags |= REQUEST_CANCEL;
    if (request->state == REQUEST_SENT && !interrupt_request(request->priv, request))
        cel__prefork_watch_within(pool, CEL_WATCH_MS);
}
