/* child.c - the process that runs requests for a prefork pool.
 *
 * One thread, one loop: read many frames, run each REQUEST that it can claim (claim.h), put the
 * OUTCOME into the claim page's `pending`, and write that out when nothing more is at hand,
 * when the oldest outcome has waited for 200 us, or before a request that is announced as not
 * short. Should the next request take long all the same, the worker fetches the outcomes from
 * the page.
 *
 * Nothing is allocated that is not used: an idle child costs what the fork dirtied. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "pool/claim.h"
#include "pool/zygote.h"

#define READ_SIZE      (64u << 10)
#define KEEP_SIZE      (256u << 10) /* a buffer that grew beyond is given back */
#define MAX_PENDING    32           /* outcomes */
#define PENDING_NS     200000       /* outcomes wait at most this long for a next request */
#define SIGNAL_WAIT_NS 1000000000   /* for the signal that was announced in the claim page */

_Static_assert(offsetof(cel__claim_page, slots) == 64, "documented in docs/pool-protocol.md");
_Static_assert(sizeof(cel__claim_slot) == 32, "documented in docs/pool-protocol.md");

struct child {
    const cel_pool_host *host;
    int fd;
    int statm; /* /proc/self/statm, -1 if memory is not limited */
    cel__claim_page *page;
    cel__buf in; /* what was read; frames up to `at` are done with */
    size_t at;
    cel__buf more;  /* what was read while a request waited for its REPLY: comes after `in` */
    bool diverted;  /* reading goes to `more` */
    size_t more_at; /* up to here there is no REPLY in `more` */
    cel__buf out;
    unsigned held; /* outcomes in page->pending */
    uint64_t held_since_ns;
    uint64_t seen;
};

struct child_call {
    cel_pool_call base;
    struct child *child;
    uint64_t ticket;
    size_t frame_end; /* in child->in */
};

static volatile sig_atomic_t interrupted; /* SIGUSR1 came during this request */

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- writing ---- */

/* Writes all bytes; false if the worker is gone. */
static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static void lock_page(struct child *child)
{
    uint32_t none = 0;

    while (!atomic_compare_exchange_weak_explicit(&child->page->lock, &none, 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
        none = 0;
        sched_yield(); /* the worker is copying what is pending */
    }
}

static void unlock_page(struct child *child)
{
    atomic_store_explicit(&child->page->lock, 0, memory_order_release);
}

static void flush(struct child *child)
{
    cel__claim_page *page = child->page;
    uint32_t len;

    if (child->held == 0)
        return;
    lock_page(child);
    len = atomic_load_explicit(&page->pending_len, memory_order_relaxed);
    if (len > 0 && !send_all(child->fd, page->pending, len))
        _exit(0);
    atomic_store_explicit(&page->pending_len, 0, memory_order_release);
    unlock_page(child);
    child->held = 0;
}

static void send_now(struct child *child, cel_view frame)
{
    flush(child);
    if (!send_all(child->fd, frame.ptr, frame.len))
        _exit(0); /* no worker: nobody wants what we could still do */
}

/* Puts an outcome behind those that wait, or writes it at once if it is large. */
static void hold(struct child *child, cel_view outcome, uint64_t taken_ns)
{
    cel__claim_page *page = child->page;
    uint32_t len = atomic_load_explicit(&page->pending_len, memory_order_acquire);

    if (outcome.len > CEL_CLAIM_PENDING - len)
        flush(child);
    if (outcome.len > CEL_CLAIM_PENDING / 2) {
        send_now(child, outcome);
        return;
    }
    lock_page(child);
    len = atomic_load_explicit(&page->pending_len, memory_order_relaxed);
    memcpy(page->pending + len, outcome.ptr, outcome.len);
    if (len == 0) {
        atomic_store_explicit(&page->pending_since_ns, taken_ns, memory_order_relaxed);
        child->held = 0;
        child->held_since_ns = taken_ns;
    }
    atomic_store_explicit(&page->pending_len, len + (uint32_t)outcome.len,
                          memory_order_release);
    unlock_page(child);
    child->held++;
}

static void send_log(struct child *child, cel_log_level level, const char *text)
{
    cel__buf buf = {0};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_LOG, 0);

    cel__section_add_int(&buf, CEL_TAG_LEVEL, level);
    cel__section_add(&buf, CEL_TAG_TEXT, cel__view(text));
    cel__frame_end(&buf, start);
    if (!buf.failed)
        send_now(child, cel__buf_view(&buf));
    cel__buf_done(&buf);
}

static void send_hello(struct child *child)
{
    cel__buf buf = {0};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_HELLO, 0);

    cel__section_add_int(&buf, CEL_TAG_VERSION, CEL_PROTOCOL_VERSION);
    cel__section_add_int(&buf, CEL_TAG_PID, getpid());
    cel__section_add_int(&buf, CEL_TAG_IN_FLIGHT, CEL_CLAIM_SLOTS / 2);
    cel__frame_end(&buf, start);
    if (buf.failed)
        _exit(1);
    send_now(child, cel__buf_view(&buf));
    cel__buf_done(&buf);
}

static void send_started(struct child *child, uint64_t request_id)
{
    struct timespec now;
    cel__buf buf = {0};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_STARTED, request_id);

    clock_gettime(CLOCK_REALTIME, &now);
    cel__section_add_int(&buf, CEL_TAG_PID, getpid());
    cel__section_add_int(&buf, CEL_TAG_TIME_US, now.tv_sec * 1000000 + now.tv_nsec / 1000);
    cel__frame_end(&buf, start);
    if (!buf.failed) /* else the worker learns it a little later from the claim page */
        send_now(child, cel__buf_view(&buf));
    cel__buf_done(&buf);
}

/* ---- reading ---- */

static cel_view tail_of(const cel__buf *buf, size_t from)
{
    return buf->ptr ? (cel_view){buf->ptr + from, buf->len - from} : (cel_view){"", 0};
}

/* Reads what there is behind the bytes of `buf`, waiting for it; makes room for a whole frame
 * that begins at `from`. */
static void read_more(struct child *child, cel__buf *buf, size_t from)
{
    int64_t need = cel__frame_need(tail_of(buf, from));
    size_t have = buf->len - from;
    size_t want = READ_SIZE;
    ssize_t got;
    char *to;

    if (need < 0)
        _exit(2); /* not a worker of ours */
    if ((size_t)need > have && (size_t)need - have > want)
        want = (size_t)need - have;
    to = cel__buf_reserve(buf, want);
    if (!to) {
        send_log(child, CEL_LOG_ERROR, "no memory to read a request");
        _exit(1);
    }
    do
        got = recv(child->fd, to, want, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        _exit(0);
    buf->len += (size_t)got;
}

/* Forgets what has been handled, so that `in` begins with a frame. */
static void compact(struct child *child)
{
    cel__buf *in = &child->in;
    size_t rest = in->len - child->at;

    if (rest > 0 && child->at > 0)
        memmove(in->ptr, in->ptr + child->at, rest);
    in->len = rest;
    child->at = 0;
    if (rest == 0 && in->cap > KEEP_SIZE)
        cel__buf_done(in);
}

/* ---- what a running request can do ---- */

/* From now on reading goes to `more`: `in` must not move while the request looks at its frame. */
static void divert(struct child *child, size_t frame_end)
{
    if (child->diverted)
        return;
    cel__buf_add(&child->more, child->in.ptr + frame_end, child->in.len - frame_end);
    if (child->more.failed) {
        send_log(child, CEL_LOG_ERROR, "no memory to read a reply");
        _exit(1);
    }
    child->in.len = frame_end;
    child->diverted = true;
    child->more_at = 0;
}

static void join_again(struct child *child)
{
    if (!child->diverted)
        return;
    cel__buf_done(&child->in);
    child->in = child->more;
    child->at = 0;
    child->more = (cel__buf){0};
    child->diverted = false;
}

/* Takes a REPLY to `request_id` out of `more`; false if there is none yet. */
static bool take_reply(struct child *child, uint64_t request_id, cel__buf *reply)
{
    cel__buf *more = &child->more;

    for (;;) {
        cel_view rest = tail_of(more, child->more_at);
        cel_frame frame;
        int64_t len = cel__frame_read(&frame, rest);

        if (len < 0)
            _exit(2);
        if (len == 0)
            return false;
        if (frame.type == CEL_FRAME_REPLY && frame.request_id == request_id) {
            char *at = more->ptr + child->more_at;

            cel__buf_add(reply, at, (size_t)len);
            memmove(at, at + len, rest.len - (size_t)len);
            more->len -= (size_t)len;
            return true;
        }
        child->more_at += (size_t)len;
    }
}

static cel_code call_send(cel_pool_call *base, cel_view frame, cel__buf *reply, cel_error *err)
{
    struct child_call *call = (struct child_call *)base;
    struct child *child = call->child;

    send_now(child, frame);
    if (!reply)
        return CEL_OK;
    divert(child, call->frame_end);
    while (!take_reply(child, base->request_id, reply))
        read_more(child, &child->more, child->more_at);
    return cel__buf_check(reply, err);
}

static bool call_is_canceled(const cel_pool_call *base)
{
    const struct child_call *call = (const struct child_call *)base;
    enum cel__claim_state state = cel__claim_get(call->child->page, call->ticket);

    return state == CEL_CLAIM_CANCELED || state == CEL_CLAIM_DOOMED;
}

/* ---- running ---- */

/* Waits for the signal that a CANCELED request is about to get, unless it came already. */
static void await_interrupt(void)
{
    struct timespec limit = {SIGNAL_WAIT_NS / 1000000000, SIGNAL_WAIT_NS % 1000000000};
    sigset_t mask, old;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, &old);
    if (!interrupted)
        sigtimedwait(&mask, NULL, &limit);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Ends the claim; does not return before a signal that was meant for this request has come. */
static void settle(struct child *child, uint64_t ticket)
{
    cel__claim_page *page = child->page;
    struct timespec limit = {SIGNAL_WAIT_NS / 1000000000, SIGNAL_WAIT_NS % 1000000000};

    if (cel__claim_move(page, ticket, CEL_CLAIM_TAKEN, CEL_CLAIM_DONE))
        return;
    flush(child);
    if (cel__claim_get(page, ticket) == CEL_CLAIM_CANCELED)
        await_interrupt();
    if (cel__claim_move(page, ticket, CEL_CLAIM_CANCELED, CEL_CLAIM_DONE))
        return;
    while (nanosleep(&limit, &limit) < 0 && errno == EINTR)
        ;
    cel__claim_move(page, ticket, CEL_CLAIM_DOOMED,
                    CEL_CLAIM_DONE); /* the signal was harmless */
}

/* Leaves the resident memory in the page, before the outcome is seen. */
static void measure(struct child *child)
{
    char text[128];
    ssize_t len = pread(child->statm, text, sizeof text - 1, 0);
    uint64_t pages = 0;
    const char *at = text;

    if (len <= 0)
        return;
    text[len] = '\0';
    while (*at && *at != ' ')
        at++;
    while (*at == ' ')
        at++;
    for (; *at >= '0' && *at <= '9'; at++)
        pages = pages * 10 + (uint64_t)(*at - '0');
    atomic_store_explicit(&child->page->rss_kib,
                          pages * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024),
                          memory_order_release);
}

/* Whether `out` holds the one OUTCOME frame that it should. */
static bool is_outcome(const cel__buf *out, uint64_t request_id)
{
    cel_frame frame;
    int64_t len =
        out->failed || out->len == 0 ? 0 : cel__frame_read(&frame, cel__buf_view(out));

    return len > 0 && (size_t)len == out->len && frame.type == CEL_FRAME_OUTCOME &&
           frame.request_id == request_id;
}

static void
run_claimed(struct child *child, const cel_frame *frame, size_t len, uint64_t taken_ns)
{
    uint64_t ticket = child->seen;
    cel__claim_slot *slot = cel__claim_slot_of(child->page, ticket);
    struct child_call call = {
        .base = {frame->request_id, slot->soft_limit_ms, slot->hard_limit_ms, call_send,
                 call_is_canceled},
        .child = child,
        .ticket = ticket,
        .frame_end = child->at + len,
    };
    cel__buf *out = &child->out;

    interrupted = 0;
    if (frame->flags & CEL_FRAME_ANNOUNCE)
        send_started(child, frame->request_id);
    cel__buf_reset(out);
    child->host->run(child->host->user, &call.base, (cel_view){child->in.ptr + child->at, len},
                     out);
    if (!is_outcome(out, frame->request_id)) {
        send_log(child, CEL_LOG_ERROR, "no memory for the outcome of a request");
        _exit(1);
    }
    if (child->statm >= 0)
        measure(child);
    hold(child, cel__buf_view(out), taken_ns);
    settle(child, ticket);
    if (out->cap > KEEP_SIZE)
        cel__buf_done(out);
}

static void handle_request(struct child *child, const cel_frame *frame, size_t len)
{
    uint64_t ticket = child->seen;
    uint64_t now = now_ns();
    cel__claim_slot *slot = cel__claim_slot_of(child->page, ticket);

    if (child->held && (child->held >= MAX_PENDING || now - child->held_since_ns > PENDING_NS ||
                        frame->flags & CEL_FRAME_ANNOUNCE))
        flush(child);
    atomic_store_explicit(&slot->taken_ns, now, memory_order_relaxed);
    if (cel__claim_move(child->page, ticket, CEL_CLAIM_QUEUED, CEL_CLAIM_TAKEN))
        run_claimed(child, frame, len, now);
    child->seen++;
    atomic_store_explicit(&child->page->seen, child->seen, memory_order_release);
}

static void serve(struct child *child)
{
    for (;;) {
        cel_frame frame;
        int64_t len = cel__frame_read(&frame, tail_of(&child->in, child->at));

        if (len < 0)
            _exit(2);
        if (len == 0) {
            flush(child);
            compact(child);
            read_more(child, &child->in, 0);
            continue;
        }
        if (frame.type == CEL_FRAME_QUIT)
            break;
        if (frame.type == CEL_FRAME_REQUEST)
            handle_request(child, &frame, (size_t)len);
        if (child->diverted)
            join_again(child);
        else
            child->at += (size_t)len;
    }
    flush(child);
    fflush(NULL);
    _exit(0);
}

_Noreturn void cel__child_main(const cel_pool_host *host, int fd, int page_fd, int number)
{
    struct sigaction action = {.sa_handler =
                                   on_interrupt}; /* no SA_RESTART: it is to interrupt */
    struct child child = {.host = host, .fd = fd, .statm = -1};
    cel_error err = {0};
    void *page =
        mmap(NULL, sizeof(cel__claim_page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);

    (void)number;
    if (page == MAP_FAILED)
        _exit(1);
    close(page_fd);
    child.page = page;
    if (child.page->magic != CEL_CLAIM_MAGIC)
        _exit(1);
    if (child.page->max_memory_kib > 0)
        child.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    sigaction(SIGUSR1, &action, NULL);
    if (host->start && host->start(host->user, &err) != CEL_OK) {
        send_log(&child, CEL_LOG_ERROR, err.message);
        _exit(1);
    }
    send_hello(&child);
    serve(&child);
    _exit(0);
}
