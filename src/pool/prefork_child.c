/* prefork_child.c - one child seen from the worker: its birth, its socket, its end. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utlist.h>

#include "core/mem.h"
#include "pool/prefork.h"

#define SCRATCH_SIZE (256u << 10)
#define KEEP_SIZE    (256u << 10) /* a buffer that grew beyond is given back */
#define MAX_READS    8            /* per turn and child */
#define LAST_READS   4096         /* of what a dead child has left behind */

static void on_child_poll(uv_poll_t *handle, int status, int events);

/* ---- birth ---- */

static cel__claim_page *new_page(struct prefork *pool, int *fd, cel_error *err)
{
    cel__claim_page *page;

    *fd = memfd_create("celeriac-claims", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, sizeof *page) < 0) {
        cel_error_set(err, CEL_EIO, "cannot make a claim page: %s", strerror(errno));
        return NULL;
    }
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (page == MAP_FAILED) {
        cel_error_set(err, CEL_EIO, "cannot map a claim page: %s", strerror(errno));
        return NULL;
    }
    page->magic = CEL_CLAIM_MAGIC;
    page->slot_count = CEL_CLAIM_SLOTS;
    page->max_memory_kib = pool->opts.max_memory_kib;
    return page;
}

cel_code cel__child_spawn(struct prefork *pool, struct child **out, cel_error *err)
{
    int fds[2] = {-1, -1}, pair[2] = {-1, -1};
    struct child *child = cel__calloc(1, sizeof *child);

    if (!child)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a child");
    child->fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        cel_error_set(err, CEL_EIO, "cannot make a socket pair: %s", strerror(errno));
        goto fail;
    }
    child->page = new_page(pool, &fds[1], err);
    if (!child->page)
        goto fail;
    if (uv_poll_init(pool->opts.loop, &child->poll, pair[0]) != 0) { /* makes it non-blocking */
        cel_error_set(err, CEL_EIO, "cannot poll a child's socket");
        goto fail;
    }
    child->fd = pair[0];
    fds[0] = pair[1];
    child->poll.data = child;
    child->pool = pool;
    child->number = ++pool->next_number;
    child->epoch = pool->start_failures;
    child->state = CHILD_STARTING;
    DL_APPEND(pool->lists[CHILD_STARTING], child);
    pool->counts[CHILD_STARTING]++;
    DL_APPEND2(pool->all, child, all_prev, all_next);
    pool->handles++;
    uv_poll_start(&child->poll, UV_READABLE, on_child_poll);
    cel__prefork_command(pool, CEL_ZYGOTE_FORK, child->number, 0, fds);
    *out = child;
    return CEL_OK;

fail:
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        if (fds[i] >= 0)
            close(fds[i]);
    }
    if (child->page)
        munmap(child->page, sizeof *child->page);
    cel__free(child);
    return err && err->code ? err->code : CEL_EIO;
}

void cel__child_known(struct child *child, pid_t pid)
{
    const cel_pool_callbacks *calls = &child->pool->opts.callbacks;

    if (pid <= 1)
        return;
    child->pid = pid;
    if (child->announced)
        return;
    child->announced = true;
    calls->on_child(calls->user, child->number, pid, NULL, true);
}

/* ---- states ---- */

void cel__child_move(struct child *child, enum child_state state)
{
    struct prefork *pool = child->pool;

    DL_DELETE(pool->lists[child->state], child);
    pool->counts[child->state]--;
    child->state = state;
    if (state == CHILD_IDLE)
        DL_PREPEND(pool->lists[state], child); /* the one with warm caches first */
    else
        DL_APPEND(pool->lists[state], child);
    pool->counts[state]++;
}

size_t cel__child_credit(const struct child *child)
{
    const struct prefork *pool = child->pool;
    uint64_t seen = atomic_load_explicit(&child->page->seen, memory_order_acquire);
    uint64_t unseen = child->written - seen;
    uint64_t credit = pool->in_flight - child->in_flight;

    if (child->is_long || child->in_flight >= pool->in_flight || unseen >= CEL_CLAIM_SLOTS)
        return 0;
    if (credit > CEL_CLAIM_SLOTS - unseen)
        credit = CEL_CLAIM_SLOTS - unseen;
    if (pool->opts.max_tasks_per_child > 0) {
        uint64_t max = (uint64_t)pool->opts.max_tasks_per_child;

        if (child->assigned >= max)
            return 0;
        if (credit > max - child->assigned)
            credit = max - child->assigned;
    }
    return (size_t)credit;
}

static void quit(struct child *child)
{
    struct child *successor = child->successor;
    cel__buf *out = &child->out;

    child->expected = true;
    cel__child_move(child, CHILD_QUITTING);
    if (successor) {
        child->successor = NULL;
        successor->predecessor = NULL;
        successor->is_standby = false;
        if (successor->state == CHILD_STANDBY)
            cel__child_move(successor, CHILD_IDLE);
        cel__prefork_want_room(child->pool);
    }
    cel__frame_end(out, cel__frame_begin(out, CEL_FRAME_QUIT, 0));
    if (out->failed)
        cel__child_signal(child, SIGKILL);
    else
        cel__child_write_frame(child, (cel_view){"", 0});
    cel__prefork_balance(child->pool);
}

void cel__child_leave(struct child *child, bool replace)
{
    if (child->state == CHILD_QUITTING || child->state == CHILD_DEAD)
        return;
    child->replace = replace;
    if (child->state != CHILD_LEAVING)
        cel__child_move(child, CHILD_LEAVING);
    cel__prefork_reclaim(child);
    cel__child_update(child);
}

void cel__child_update(struct child *child)
{
    const cel_pool_options *opts = &child->pool->opts;
    enum child_state state;

    if (child->state == CHILD_LEAVING) {
        /* A successor that still starts is waited for only in that it gets no seat before. */
        if (child->in_flight == 0)
            quit(child);
        return;
    }
    if (child->state != CHILD_IDLE && child->state != CHILD_OPEN && child->state != CHILD_BUSY)
        return;
    if (opts->max_tasks_per_child > 0 &&
        child->assigned >= (uint64_t)opts->max_tasks_per_child) {
        child->replace = true;
        cel__child_move(child, CHILD_LEAVING);
        cel__prefork_balance(child->pool);
        if (child->in_flight == 0 && child->state == CHILD_LEAVING)
            quit(child);
        return;
    }
    if (child->in_flight == 0) {
        child->is_long = false;
        state = CHILD_IDLE;
    } else {
        state = cel__child_credit(child) > 0 ? CHILD_OPEN : CHILD_BUSY;
    }
    if (state == child->state)
        return;
    cel__child_move(child, state);
    if (state != CHILD_BUSY)
        cel__prefork_want_room(child->pool);
}

/* ---- writing ---- */

static void mark_dirty(struct child *child)
{
    struct prefork *pool = child->pool;

    if (child->is_dirty || child->eof)
        return;
    child->is_dirty = true;
    child->dirty_next = pool->dirty;
    pool->dirty = child;
    cel__prefork_wake(pool);
}

void cel__child_write_frame(struct child *child, cel_view frame)
{
    cel__buf_add_view(&child->out, frame);
    mark_dirty(child);
}

void cel__child_signal(struct child *child, int signum)
{
    static const int none[2] = {-1, -1};

    cel__prefork_command(child->pool, CEL_ZYGOTE_KILL, child->number, signum, none);
}

void cel__child_assign(struct child *child, cel_pool_request *request)
{
    struct prefork *pool = child->pool;
    cel__claim_slot *slot = cel__claim_slot_of(child->page, child->written);
    cel__buf *out = &child->out;
    size_t start = out->len;

    assert(request->frame.len >= CEL_FRAME_HEAD);
    if (!(request->flags & REQUEST_DISPATCHED)) {
        request->flags |= REQUEST_DISPATCHED;
        pool->opts.callbacks.on_dispatch(pool->opts.callbacks.user, request);
    }
    cel__buf_add_view(out, request->frame);
    if (out->failed) {
        out->failed = false;
        out->len = start;
        request->flags |= REQUEST_NO_MEMORY;
        cel__prefork_notify(pool, request, REQUEST_LOSING);
        return;
    }
    if (!request->is_short) {
        out->ptr[start + 5] = (char)(out->ptr[start + 5] | CEL_FRAME_ANNOUNCE);
        child->is_long = true;
    }
    request->ticket = child->written++;
    request->state = REQUEST_SENT;
    request->priv = child;
    request->pid = child->pid;
    request->slot = child->number;
    slot->soft_limit_ms = request->soft_limit_ms;
    slot->hard_limit_ms = request->hard_limit_ms;
    atomic_store_explicit(&slot->taken_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->word, cel__claim_word(request->ticket, CEL_CLAIM_QUEUED),
                          memory_order_release);
    DL_APPEND(child->requests, request);
    child->in_flight++;
    child->assigned++;
    mark_dirty(child);
    cel__child_update(child);
    cel__prefork_watch_within(pool, CEL_WATCH_MS);
}

static void poll_events(struct child *child)
{
    int events = child->write_blocked ? UV_READABLE | UV_WRITABLE : UV_READABLE;

    uv_poll_start(&child->poll, events, on_child_poll);
}

void cel__child_flush(struct child *child)
{
    cel__buf *out = &child->out;
    bool was_blocked = child->write_blocked;

    if (child->eof || child->state == CHILD_DEAD)
        return;
    child->write_blocked = false;
    while (child->out_at < out->len) {
        ssize_t sent = send(child->fd, out->ptr + child->out_at, out->len - child->out_at,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            child->write_blocked = errno == EAGAIN || errno == EWOULDBLOCK;
            break; /* any other error is the end of the child; reading tells */
        }
        child->out_at += (size_t)sent;
    }
    if (child->out_at == out->len) {
        cel__buf_reset(out);
        child->out_at = 0;
        if (out->cap > KEEP_SIZE)
            cel__buf_done(out);
    }
    if (child->write_blocked != was_blocked)
        poll_events(child);
}

/* ---- reading ---- */

static cel_pool_request *find_request(struct child *child, uint64_t id)
{
    cel_pool_request *request;

    DL_FOREACH(child->requests, request)
    {
        if (request->id == id)
            return request;
    }
    return NULL;
}

void cel__child_distrust(struct child *child, const char *what)
{
    if (child->garbage)
        return;
    child->garbage = true;
    cel__err(child->pool->opts.log, "ForkPoolWorker-%d pid:%d %s: it is replaced",
             child->number, (int)child->pid, what);
    cel__child_signal(child, SIGKILL);
}

static void greet(struct child *child, const cel_frame *frame)
{
    struct prefork *pool = child->pool;
    int64_t version = 0, pid = 0;

    if (!cel__section_int(cel__section_find(frame->sections, CEL_TAG_VERSION), &version) ||
        version != CEL_PROTOCOL_VERSION) {
        cel__child_distrust(child, "speaks another version of the pool protocol");
        return;
    }
    cel__section_int(cel__section_find(frame->sections, CEL_TAG_PID), &pid);
    if (child->pid == 0 && pid <= INT32_MAX)
        cel__child_known(child, (pid_t)pid); /* the zygote's report is on its way */
    child->greeted = true;
    pool->start_failures = 0;
    if (child->state == CHILD_STARTING)
        cel__child_move(child, child->is_standby ? CHILD_STANDBY : CHILD_IDLE);
    cel__prefork_want_room(pool);
    cel__prefork_balance(pool); /* there was one probe only if children had failed to start */
}

static void log_line(struct child *child, const cel_frame *frame)
{
    cel_view text = cel__section_find(frame->sections, CEL_TAG_TEXT);
    int64_t level = CEL_LOG_ERROR;

    cel__section_int(cel__section_find(frame->sections, CEL_TAG_LEVEL), &level);
    cel__log(child->pool->opts.log, (cel_log_level)level, "ForkPoolWorker-%d: %.*s",
             child->number, CEL_VIEW_ARG(text));
}

static void finish(struct child *child, cel_pool_request *request, const cel_frame *frame)
{
    struct prefork *pool = child->pool;
    uint64_t rss_kib = atomic_load_explicit(&child->page->rss_kib, memory_order_acquire);

    if (child->written - atomic_load_explicit(&child->page->seen, memory_order_acquire) >
        CEL_CLAIM_SLOTS) {
        cel__child_distrust(child, "scribbled over its claim page");
        return;
    }
    cel__prefork_started(child, request, pool->turn_ns);
    DL_DELETE(child->requests, request);
    child->in_flight--;
    child->is_long = false;
    child->silent_looks = 0;
    cel__prefork_end(pool, request);
    if (pool->opts.max_memory_kib > 0 && rss_kib > (uint64_t)pool->opts.max_memory_kib)
        cel__child_leave(child, true);
    else
        cel__child_update(child);
    if (child->state == CHILD_OPEN)
        cel__prefork_want_room(pool);
    pool->opts.callbacks.on_outcome(pool->opts.callbacks.user, request, frame);
}

static void handle_up(struct child *child, const cel_frame *frame)
{
    const cel_pool_callbacks *calls = &child->pool->opts.callbacks;
    cel_pool_request *request = find_request(child, frame->request_id);

    if (!request)
        return; /* told already: it came through the claim page */
    if (cel__claim_get(child->page, request->ticket) == CEL_CLAIM_QUEUED) {
        cel__child_distrust(child, "spoke of a request that it has not taken");
        return;
    }
    if (frame->type == CEL_FRAME_OUTCOME) {
        finish(child, request, frame);
        return;
    }
    cel__prefork_started(child, request, child->pool->turn_ns);
    if (frame->type != CEL_FRAME_STARTED)
        calls->on_frame(calls->user, request, frame);
}

static void handle_frame(struct child *child, const cel_frame *frame)
{
    if (!cel__sections_valid(frame->sections)) {
        cel__child_distrust(child, "sent a malformed frame");
    } else if (frame->type == CEL_FRAME_LOG && frame->request_id == 0) {
        log_line(child, frame);
    } else if (!child->greeted) {
        if (frame->type == CEL_FRAME_HELLO)
            greet(child, frame);
        else
            cel__child_distrust(child, "did not say hello");
    } else if (frame->type == CEL_FRAME_STARTED || frame->type == CEL_FRAME_UPDATE ||
               frame->type == CEL_FRAME_PUBLISH || frame->type == CEL_FRAME_OUTCOME ||
               frame->type == CEL_FRAME_LOG) {
        handle_up(child, frame);
    } /* other types are those of a later version */
}

/* Handles the whole frames of `bytes`; returns how many bytes they have. */
static size_t handle_bytes(struct child *child, cel_view bytes)
{
    size_t at = 0;

    while (!child->garbage) {
        cel_frame frame;
        int64_t len = cel__frame_read(&frame, (cel_view){bytes.ptr + at, bytes.len - at});

        if (len == 0)
            break;
        if (len < 0) {
            cel__child_distrust(child, "sent bytes that are no frame");
            break;
        }
        at += (size_t)len;
        handle_frame(child, &frame);
    }
    return at;
}

/* Keeps the beginning of a frame for the next read. */
static void keep_rest(struct child *child, cel_view bytes)
{
    cel__buf *in = &child->in;
    int64_t need = cel__frame_need(bytes);

    if (in->ptr && bytes.ptr >= in->ptr && bytes.ptr <= in->ptr + in->len) {
        if (bytes.ptr != in->ptr) /* not for each piece of a large frame */
            memmove(in->ptr, bytes.ptr, bytes.len);
        in->len = bytes.len;
    } else {
        cel__buf_add_view(in, bytes);
    }
    if (in->len == 0 && in->cap > KEEP_SIZE)
        cel__buf_done(in);
    if (need > 0 && (size_t)need > in->len)
        cel__buf_reserve(in, (size_t)need - in->len);
    if (in->failed)
        cel__child_distrust(child, "sent a frame that there is no memory for");
}

/* Reads once. Returns false when there is nothing more for now, or for ever (then child->eof). */
static bool read_once(struct child *child)
{
    struct prefork *pool = child->pool;
    cel__buf *in = &child->in;
    bool direct = in->len == 0;
    size_t room = SCRATCH_SIZE;
    char *to = pool->scratch;
    cel_view bytes;
    ssize_t got;
    size_t used;

    if (!direct) {
        room = in->cap - in->len > SCRATCH_SIZE ? in->cap - in->len : SCRATCH_SIZE;
        to = cel__buf_reserve(in, room);
        if (!to) {
            cel__child_distrust(child, "sent a frame that there is no memory for");
            return false;
        }
    }
    do
        got = recv(child->fd, to, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (got <= 0) {
        child->eof = true;
        return false;
    }
    if (!direct)
        in->len += (size_t)got;
    bytes = direct ? (cel_view){to, (size_t)got} : cel__buf_view(in);
    used = handle_bytes(child, bytes);
    if (child->garbage)
        return false;
    keep_rest(child, (cel_view){bytes.ptr + used, bytes.len - used});
    return (size_t)got == room && !child->garbage;
}

static void read_child(struct child *child, int max_reads)
{
    struct prefork *pool = child->pool;

    pool->turn_ns = uv_hrtime();
    pool->turn_wall_us = cel__clock_wall_us(pool->opts.clock);
    while (max_reads-- > 0 && !child->eof && !child->garbage) {
        if (!read_once(child))
            break;
    }
}

static void on_child_poll(uv_poll_t *handle, int status, int events)
{
    struct child *child = handle->data;

    if (status == 0 && events & UV_WRITABLE)
        cel__child_flush(child);
    if (status < 0 || events & UV_READABLE)
        read_child(child, MAX_READS);
    if (child->state != CHILD_DEAD && (child->garbage || child->eof)) {
        uv_poll_stop(&child->poll);
        if (child->pool->zygote_gone)
            cel__child_exited(child, SIGKILL);
        else if (!child->garbage)
            cel__child_signal(child, SIGKILL); /* for one that only closed its socket */
    }
}

void cel__child_steal(struct child *child)
{
    cel__claim_page *page = child->page;
    cel__buf taken = {0};
    uint32_t free_lock = 0;
    bool dead = child->state == CHILD_DEAD;
    uint32_t len;

    if (!dead && !atomic_compare_exchange_strong_explicit(
                     &page->lock, &free_lock, 2, memory_order_acquire, memory_order_relaxed))
        return; /* the child is at it; at the next look */
    len = atomic_load_explicit(&page->pending_len, memory_order_acquire);
    if (len <= CEL_CLAIM_PENDING)
        cel__buf_add(&taken, page->pending, len);
    if (!taken.failed)
        atomic_store_explicit(&page->pending_len, 0, memory_order_release);
    if (!dead)
        atomic_store_explicit(&page->lock, 0, memory_order_release);
    if (!taken.failed && taken.len > 0) {
        read_child(child, LAST_READS); /* what was sent before comes before */
        if (handle_bytes(child, cel__buf_view(&taken)) < taken.len)
            cel__child_distrust(child, "left a broken frame in its claim page");
    }
    cel__buf_done(&taken);
}

/* ---- the end ---- */

static void describe(char *text, size_t size, int status)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));

        snprintf(text, size, "signal %d (SIG%s)", WTERMSIG(status), name ? name : "?");
    } else {
        snprintf(text, size, "exitcode %d", WEXITSTATUS(status));
    }
}

/* What was not taken goes elsewhere; what ran is lost. */
static void lose_requests(struct child *child, const char *how)
{
    struct prefork *pool = child->pool;
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    char reason[160];

    if (child->garbage)
        snprintf(reason, sizeof reason, "Worker sent garbage and was ended: %s", how);
    else
        snprintf(reason, sizeof reason, "Worker exited prematurely: %s", how);
    cel__prefork_reclaim(child);
    while (child->requests) {
        cel_pool_request *request = child->requests;
        bool doomed = child->doomed && child->doomed_ticket == request->ticket;
        cel_pool_loss loss = pool->closing ? CEL_LOST_KILLED : CEL_LOST_DIED;

        cel__prefork_started(child, request, pool->turn_ns);
        DL_DELETE(child->requests, request);
        child->in_flight--;
        cel__prefork_end(pool, request);
        calls->on_lost(calls->user, request, doomed ? child->doomed_loss : loss, reason);
    }
}

static void count_crash(struct prefork *pool)
{
    size_t size = sizeof pool->crash_ms / sizeof *pool->crash_ms;
    int64_t now = cel__clock_mono_ms(pool->opts.clock);
    int64_t *oldest = &pool->crash_ms[pool->crash_at++ % size];
    bool full = pool->crash_at > size;

    if (full && now - *oldest < 1000)
        cel__prefork_break(pool, CEL_EIO, "100 processes of the pool died within a second");
    *oldest = now;
}

static void part_from_kin(struct child *child)
{
    if (child->successor) { /* takes the seat */
        child->successor->predecessor = NULL;
        child->successor->is_standby = false;
        if (child->successor->state == CHILD_STANDBY) {
            cel__child_move(child->successor, CHILD_IDLE);
            cel__prefork_want_room(child->pool);
        }
    }
    if (child->predecessor)
        child->predecessor->successor = NULL;
    child->successor = child->predecessor = NULL;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    struct prefork *pool = child->pool;

    cel__child_free(child);
    cel__prefork_handle_closed(pool);
}

void cel__child_exited(struct child *child, int status)
{
    struct prefork *pool = child->pool;
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    bool expected = child->expected || pool->closing;
    bool doomed = child->doomed;
    char how[64], text[96];

    if (child->state == CHILD_DEAD)
        return;
    describe(how, sizeof how, status);
    snprintf(text, sizeof text, "exited with '%s'", how);
    read_child(child, LAST_READS);
    if (child->state == CHILD_DEAD)
        return; /* a callback closed the pool */
    cel__child_move(child, CHILD_DEAD);
    if (!child->garbage)
        cel__child_steal(child);
    part_from_kin(child);
    child->eof = true;
    uv_close((uv_handle_t *)&child->poll, on_poll_closed);
    if (child->announced)
        calls->on_child(calls->user, child->number, child->pid, text, expected);
    lose_requests(child, how);
    if (!child->greeted && !expected)
        cel__prefork_start_failed(pool, child->epoch);
    else if (!expected && !doomed)
        count_crash(pool);
    cel__prefork_balance(pool);
    cel__prefork_wake(pool);
}

void cel__child_free(struct child *child)
{
    struct prefork *pool = child->pool;

    assert(!child->requests);
    DL_DELETE(pool->lists[child->state], child);
    pool->counts[child->state]--;
    DL_DELETE2(pool->all, child, all_prev, all_next);
    if (child->is_dirty) {
        struct child **at = &pool->dirty;

        while (*at != child)
            at = &(*at)->dirty_next;
        *at = child->dirty_next;
    }
    close(child->fd);
    munmap(child->page, sizeof *child->page);
    cel__buf_done(&child->in);
    cel__buf_done(&child->out);
    cel__free(child);
}
