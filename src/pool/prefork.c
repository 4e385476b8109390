/* prefork.c - a pool of processes: the vtable, the queue, who gets which request, the pool's
 * life.
 *
 * A request goes to an idle child; if there is none, a short one is written ahead to a child
 * that runs short ones (in turn, so that all fill evenly). Nothing is written behind a request
 * that is not short, and what turns out to wait behind a long one is taken back
 * (prefork_watch.c). All else waits here, first in, first out.
 *
 * What is to be done soon, is done once per turn of the loop, by an idle handle that is active
 * only then: due callbacks, handing out what waits, one write per child that has bytes to get. */
#include "pool/prefork.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utlist.h>

#include "core/mem.h"

#define DEFAULT_IN_FLIGHT  32u
#define MAX_IN_FLIGHT      (CEL_CLAIM_SLOTS / 2)
#define MAX_START_FAILURES 10u
#define MAX_BACKOFF_MS     1000u
#define SCRATCH_SIZE       (256u << 10) /* as in prefork_child.c */

static void on_turn(uv_idle_t *handle);
static void on_control(uv_poll_t *handle, int status, int events);

static bool is_stopping(const struct prefork *pool)
{
    return pool->draining || pool->closing;
}

/* ---- small services ---- */

void cel__prefork_wake(struct prefork *pool)
{
    if (!pool->freeing)
        uv_idle_start(&pool->turn, on_turn);
}

void cel__prefork_want_room(struct prefork *pool)
{
    pool->room_due = true;
    cel__prefork_wake(pool);
}

void cel__prefork_notify(struct prefork *pool,
                         cel_pool_request *request,
                         enum request_state state)
{
    request->state = (int)state;
    DL_APPEND(pool->notices, request);
    cel__prefork_wake(pool);
}

void cel__prefork_requeue(struct prefork *pool, cel_pool_request *request)
{
    if (is_stopping(pool)) {
        cel__prefork_notify(pool, request, REQUEST_RETURNING);
        return;
    }
    request->state = REQUEST_WAITING;
    request->priv = NULL;
    DL_PREPEND(pool->waiting, request);
    pool->waiting_count++;
    cel__prefork_wake(pool);
}

void cel__prefork_end(struct prefork *pool, cel_pool_request *request)
{
    request->state = REQUEST_ENDED;
    request->priv = NULL;
    assert(pool->outstanding > 0);
    if (--pool->outstanding == 0)
        cel__prefork_wake(pool);
}

void cel__prefork_break(struct prefork *pool, cel_code code, const char *text)
{
    cel_error err = {0};

    if (pool->broken || pool->closing)
        return;
    pool->broken = true;
    cel_error_set(&err, code, "%s", text);
    pool->opts.callbacks.on_broken(pool->opts.callbacks.user, &err);
}

/* ---- the zygote ---- */

static bool send_command(struct prefork *pool, struct command *command)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec part = {&command->packet, sizeof command->packet};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (command->fds[0] >= 0) {
        struct cmsghdr *head = &control.align;

        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(head), command->fds, 2 * sizeof(int));
    }
    if (sendmsg(pool->zygote->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return true;
    return errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS; /* or it is gone */
}

static void drop_command(struct command *command)
{
    for (int i = 0; i < 2; i++) {
        if (command->fds[i] >= 0)
            close(command->fds[i]);
    }
}

static void flush_commands(struct prefork *pool)
{
    size_t done = 0;
    int events = UV_READABLE;

    if (pool->zygote_gone)
        return;
    while (done < pool->command_count && send_command(pool, &pool->commands[done]))
        drop_command(&pool->commands[done++]);
    pool->command_count -= done;
    if (pool->command_count > 0) {
        memmove(pool->commands, pool->commands + done,
                pool->command_count * sizeof *pool->commands);
        events |= UV_WRITABLE;
    }
    if (events != pool->control_events) {
        pool->control_events = events;
        uv_poll_start(&pool->control, events, on_control);
    }
}

static bool grow_commands(struct prefork *pool)
{
    size_t cap = pool->command_cap ? 2 * pool->command_cap : 16;
    struct command *commands = cel__realloc(pool->commands, cap * sizeof *commands);

    if (!commands)
        return false;
    pool->commands = commands;
    pool->command_cap = cap;
    return true;
}

void cel__prefork_command(
    struct prefork *pool, cel__zygote_kind kind, int number, int value, const int fds[2])
{
    struct command command = {{(uint32_t)kind, number, 0, value}, {fds[0], fds[1]}};

    if (pool->command_count == pool->command_cap && !grow_commands(pool))
        goto drop;
    if (pool->zygote_gone || pool->closing)
        goto drop;
    pool->commands[pool->command_count++] = command;
    flush_commands(pool);
    return;

drop:
    drop_command(&command); /* a child whose end of the socket is gone ends by that */
}

static void drop_commands(struct prefork *pool)
{
    for (size_t i = 0; i < pool->command_count; i++)
        drop_command(&pool->commands[i]);
    pool->command_count = 0;
}

static void bury_all(struct prefork *pool)
{
    struct child *child;

    DL_FOREACH2(pool->all, child, all_next)
    {
        if (child->state != CHILD_DEAD)
            cel__child_exited(child, SIGKILL);
    }
}

/* The control stream has ended: after close() as it should, else the zygote was killed. Then
 * the children die of their PDEATHSIG, their groups by what we do here; each one's end of file
 * tells when. */
static void lose_zygote(struct prefork *pool)
{
    struct child *child;

    pool->zygote_gone = true;
    drop_commands(pool);
    uv_poll_stop(&pool->control);
    while (waitpid(pool->zygote->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    cel__prefork_wake(pool);
    if (pool->closing) {
        bury_all(pool);
        return;
    }
    DL_FOREACH2(pool->all, child, all_next)
    {
        if (child->state == CHILD_DEAD)
            continue;
        if (child->confirmed)
            kill(-child->pid, SIGKILL);
        if (child->eof || child->garbage)
            cel__child_exited(child, SIGKILL);
    }
    cel__prefork_break(pool, CEL_EIO, "the process that forks the pool's children has died");
}

static struct child *find_child(struct prefork *pool, int number)
{
    struct child *child;

    DL_FOREACH2(pool->all, child, all_next)
    {
        if (child->number == number)
            return child;
    }
    return NULL;
}

static void on_control(uv_poll_t *handle, int status, int events)
{
    struct prefork *pool = handle->data;
    cel__zygote_packet packet;
    ssize_t got;

    if (status == 0 && events & UV_WRITABLE)
        flush_commands(pool);
    while ((got = recv(pool->zygote->fd, &packet, sizeof packet, MSG_DONTWAIT)) > 0) {
        struct child *child = find_child(pool, packet.number);

        if (got < (ssize_t)sizeof packet || !child || child->state == CHILD_DEAD)
            continue;
        if (packet.kind == CEL_ZYGOTE_FORKED) {
            child->confirmed = true;
            cel__child_known(child, packet.pid);
        } else if (packet.kind == CEL_ZYGOTE_EXITED) {
            cel__child_exited(child, packet.value);
        } else if (packet.kind == CEL_ZYGOTE_FAILED) {
            cel__err(pool->opts.log, "cannot fork: %s", strerror(packet.value));
            cel__child_exited(child, 1 << 8);
        }
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        lose_zygote(pool);
}

/* ---- how many children ---- */

static void on_retry(uv_timer_t *timer)
{
    struct prefork *pool = timer->data;

    pool->waits_for_retry = false;
    cel__prefork_balance(pool);
}

void cel__prefork_start_failed(struct prefork *pool, unsigned epoch)
{
    unsigned delay = 10u;

    if (epoch != pool->start_failures || is_stopping(pool))
        return; /* it was forked before the last failure was known */
    if (++pool->start_failures >= MAX_START_FAILURES) {
        cel__prefork_break(pool, CEL_EIO, "no process of the pool can be started");
        return;
    }
    delay <<= pool->start_failures - 1;
    pool->waits_for_retry = true;
    uv_timer_start(&pool->retry, on_retry, delay < MAX_BACKOFF_MS ? delay : MAX_BACKOFF_MS, 0);
}

static void dismiss(struct child *child)
{
    child->expected = true;
    cel__child_move(child, CHILD_QUITTING);
    cel__child_signal(child, SIGKILL);
}

/* Gives up one seat, of whoever minds it least. */
static void retire_one(struct prefork *pool)
{
    struct child *child;

    if (pool->lists[CHILD_IDLE]) {
        cel__child_leave(pool->lists[CHILD_IDLE]->prev, false);
        return;
    }
    DL_FOREACH(pool->lists[CHILD_STARTING], child)
    {
        if (!child->is_standby) {
            dismiss(child);
            return;
        }
    }
    DL_FOREACH(pool->lists[CHILD_LEAVING], child)
    {
        if (!child->replace)
            continue;
        child->replace = false;
        if (child->successor) {
            struct child *successor = child->successor;

            child->successor = successor->predecessor = NULL;
            dismiss(successor);
        }
        return;
    }
    child = pool->lists[CHILD_OPEN] ? pool->lists[CHILD_OPEN] : pool->lists[CHILD_BUSY];
    cel__child_leave(child, false);
}

static bool spawn(struct prefork *pool, struct child *predecessor)
{
    cel_error err = {0};
    struct child *child;

    if (cel__child_spawn(pool, &child, &err) != CEL_OK) {
        cel__err(pool->opts.log, "cannot start a process of the pool: %s", err.message);
        cel__prefork_start_failed(pool, pool->start_failures);
        return false;
    }
    if (predecessor) {
        child->is_standby = true;
        child->predecessor = predecessor;
        predecessor->successor = child;
    }
    return true;
}

/* Counts seats: those held by children that stay or will be replaced, and by those that just
 * go. */
static void count_seats(const struct prefork *pool, size_t *holders, size_t *leavers)
{
    const struct child *child;

    *holders = pool->counts[CHILD_IDLE] + pool->counts[CHILD_OPEN] + pool->counts[CHILD_BUSY];
    *leavers = 0;
    DL_FOREACH(pool->lists[CHILD_STARTING], child)
    {
        if (!child->is_standby)
            ++*holders;
    }
    DL_FOREACH(pool->lists[CHILD_LEAVING], child)
    {
        if (child->replace)
            ++*holders;
        else
            ++*leavers;
    }
}

void cel__prefork_balance(struct prefork *pool)
{
    size_t holders, leavers;
    struct child *child;

    if (is_stopping(pool) || pool->broken || pool->zygote_gone)
        return;
    count_seats(pool, &holders, &leavers);
    for (; holders > pool->slots; holders--) {
        retire_one(pool); /* which may come back here, and find all in order */
        count_seats(pool, &holders, &leavers);
        if (holders <= pool->slots)
            break;
        holders++;
    }
    for (; holders + leavers < pool->slots && !pool->waits_for_retry; holders++) {
        if (pool->start_failures > 0 && pool->counts[CHILD_STARTING] > 0)
            return; /* one at a time until one comes up */
        if (!spawn(pool, NULL))
            return;
    }
    DL_FOREACH(pool->lists[CHILD_LEAVING], child)
    {
        if (child->replace && !child->successor && !pool->waits_for_retry &&
            !spawn(pool, child))
            return;
    }
}

/* ---- requests ---- */

/* Gives a request to a child; false if it has to wait. */
static bool place(struct prefork *pool, cel_pool_request *request)
{
    struct child *child = pool->lists[CHILD_IDLE];

    if (pool->zygote_gone)
        return false;
    if (child) {
        cel__child_assign(child, request);
        return true;
    }
    child = pool->lists[CHILD_OPEN];
    if (!child || !request->is_short)
        return false;
    if (cel__child_credit(child) == 0) {
        cel__child_update(child);
        return false;
    }
    cel__child_assign(child, request);
    if (child->state == CHILD_OPEN)
        cel__child_move(child, CHILD_OPEN); /* to the end: the others are next */
    return true;
}

static void submit(cel_pool *base, cel_pool_request *request)
{
    struct prefork *pool = (struct prefork *)base;

    pool->outstanding++;
    request->pid = 0;
    request->slot = 0;
    request->started_ms = 0;
    request->flags = 0;
    request->priv = NULL;
    if (is_stopping(pool)) {
        cel__prefork_notify(pool, request, REQUEST_RETURNING);
        return;
    }
    request->state = REQUEST_WAITING;
    if (!pool->waiting && place(pool, request))
        return;
    DL_APPEND(pool->waiting, request);
    pool->waiting_count++;
}

static void dispatch(struct prefork *pool)
{
    while (pool->waiting && !is_stopping(pool)) {
        cel_pool_request *request = pool->waiting;

        DL_DELETE(pool->waiting, request);
        pool->waiting_count--;
        if (place(pool, request))
            continue;
        DL_PREPEND(pool->waiting, request);
        pool->waiting_count++;
        return;
    }
}

static size_t room(const cel_pool *base)
{
    const struct prefork *pool = (const struct prefork *)base;
    const struct child *child;
    size_t sum = 0;

    if (pool->waiting || is_stopping(pool) || pool->broken)
        return 0;
    DL_FOREACH(pool->lists[CHILD_IDLE], child)
    sum += cel__child_credit(child);
    DL_FOREACH(pool->lists[CHILD_OPEN], child)
    sum += cel__child_credit(child);
    return sum;
}

static void reply(cel_pool *base, cel_pool_request *request, cel_view frame)
{
    (void)base;
    if (request->state == REQUEST_SENT)
        cel__child_write_frame(request->priv, frame);
}

/* ---- the turn ---- */

static void deliver(struct prefork *pool)
{
    const cel_pool_callbacks *calls = &pool->opts.callbacks;
    cel_pool_request *list = pool->notices;

    pool->notices = NULL;
    while (list) {
        cel_pool_request *request = list;
        bool losing = request->state == REQUEST_LOSING;

        DL_DELETE(list, request);
        cel__prefork_end(pool, request);
        if (!losing)
            calls->on_returned(calls->user, request);
        else if (request->flags & REQUEST_NO_MEMORY)
            calls->on_lost(calls->user, request, CEL_LOST_DIED,
                           "No memory to send the request");
        else
            calls->on_lost(calls->user, request, CEL_LOST_KILLED,
                           "Terminated before it started");
    }
}

static void flush_all(struct prefork *pool)
{
    struct child *child = pool->dirty;

    pool->dirty = NULL;
    while (child) {
        struct child *next = child->dirty_next;

        child->is_dirty = false;
        cel__child_flush(child);
        child = next;
    }
}

static void free_pool(struct prefork *pool)
{
    void (*closed)(void *user) = pool->closed;
    void *user = pool->closed_user;

    close(pool->zygote->fd);
    cel__free(pool->zygote);
    cel__free(pool->commands);
    cel__free(pool->scratch);
    cel__free(pool);
    if (closed)
        closed(user);
}

void cel__prefork_handle_closed(struct prefork *pool)
{
    if (--pool->handles == 0)
        free_pool(pool);
}

static void on_handle_closed(uv_handle_t *handle)
{
    cel__prefork_handle_closed(handle->data);
}

/* Ends the life of the pool, once nothing of it is in use. */
static void try_to_free(struct prefork *pool)
{
    if (!pool->closing || !pool->zygote_gone || pool->outstanding > 0 || pool->freeing)
        return;
    if (pool->stopped) {
        void (*stopped)(void *user) = pool->stopped;

        pool->stopped = NULL;
        stopped(pool->stopped_user);
    }
    pool->freeing = true;
    uv_idle_stop(&pool->turn);
    uv_close((uv_handle_t *)&pool->control, on_handle_closed);
    uv_close((uv_handle_t *)&pool->turn, on_handle_closed);
    uv_close((uv_handle_t *)&pool->watch, on_handle_closed);
    uv_close((uv_handle_t *)&pool->retry, on_handle_closed);
}

static void on_turn(uv_idle_t *handle)
{
    struct prefork *pool = handle->data;
    const cel_pool_callbacks *calls = &pool->opts.callbacks;

    uv_idle_stop(handle);
    deliver(pool);
    dispatch(pool);
    if (pool->room_due) {
        pool->room_due = false;
        if (room(&pool->base) > 0)
            calls->on_room(calls->user, pool->counts[CHILD_IDLE]);
    }
    flush_all(pool);
    if (pool->draining && pool->outstanding == 0 && pool->stopped) {
        void (*stopped)(void *user) = pool->stopped;

        pool->stopped = NULL;
        stopped(pool->stopped_user);
    }
    try_to_free(pool);
}

/* ---- life ---- */

static void resize(cel_pool *base, size_t slots)
{
    struct prefork *pool = (struct prefork *)base;

    pool->slots = slots > 0 ? slots : 1;
    cel__prefork_balance(pool);
}

/* Returns all that has not begun. */
static void stop_queue(struct prefork *pool)
{
    struct child *child;

    while (pool->waiting) {
        cel_pool_request *request = pool->waiting;

        DL_DELETE(pool->waiting, request);
        pool->waiting_count--;
        cel__prefork_notify(pool, request, REQUEST_RETURNING);
    }
    DL_FOREACH2(pool->all, child, all_next)
    {
        cel__prefork_reclaim(child);
        cel__child_update(child);
    }
    cel__prefork_wake(pool);
}

static void drain(cel_pool *base, void (*stopped)(void *user), void *user)
{
    struct prefork *pool = (struct prefork *)base;

    assert(!pool->draining);
    pool->draining = true;
    pool->stopped = stopped;
    pool->stopped_user = user;
    stop_queue(pool);
}

static void close_pool(cel_pool *base, void (*closed)(void *user), void *user)
{
    struct prefork *pool = (struct prefork *)base;

    assert(!pool->closing);
    pool->closing = true;
    pool->closed = closed;
    pool->closed_user = user;
    uv_timer_stop(&pool->retry);
    stop_queue(pool);
    if (pool->zygote_gone) {
        bury_all(pool);
        return;
    }
    drop_commands(pool);
    shutdown(pool->zygote->fd,
             SHUT_WR); /* it kills all; its end of file says that they are dead */
}

static size_t list_pids(const cel_pool *base, pid_t *pids, size_t max)
{
    const struct prefork *pool = (const struct prefork *)base;
    const struct child *child;
    size_t count = 0;

    DL_FOREACH2(pool->all, child, all_next)
    {
        if (child->pid <= 0 || child->state == CHILD_DEAD)
            continue;
        if (count < max)
            pids[count] = child->pid;
        count++;
    }
    return count;
}

static void init_handles(struct prefork *pool)
{
    uv_loop_t *loop = pool->opts.loop;

    uv_idle_init(loop, &pool->turn);
    uv_timer_init(loop, &pool->watch);
    uv_timer_init(loop, &pool->retry);
    pool->turn.data = pool->watch.data = pool->retry.data = pool->control.data = pool;
    pool->handles = 4;
    pool->control_events = UV_READABLE;
    uv_poll_start(&pool->control, UV_READABLE, on_control);
}

static cel_code open_pool(cel_pool **out, const cel_pool_options *options, cel_error *err)
{
    struct prefork *pool = NULL;
    cel_code code;

    if (!options->zygote)
        return cel_error_set(err, CEL_EINVAL, "a prefork pool needs a zygote");
    if (options->slots == 0 || options->slots > 100000 || options->in_flight > MAX_IN_FLIGHT) {
        code = cel_error_set(err, CEL_EINVAL, "slots or in_flight is out of range");
        goto fail;
    }
    pool = cel__calloc(1, sizeof *pool);
    if (pool)
        pool->scratch = cel__malloc(SCRATCH_SIZE);
    if (!pool || !pool->scratch) {
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a pool");
        goto fail;
    }
    pool->base.ops = &cel__prefork_pool_ops;
    pool->opts = *options;
    pool->slots = options->slots;
    pool->in_flight = options->in_flight ? options->in_flight : DEFAULT_IN_FLIGHT;
    pool->zygote = options->zygote;
    pool->watch_due_ms = INT64_MAX;
    if (uv_poll_init(options->loop, &pool->control, pool->zygote->fd) != 0) {
        code = cel_error_set(err, CEL_EIO, "cannot poll the zygote's socket");
        goto fail;
    }
    init_handles(pool);
    cel__prefork_balance(pool);
    *out = &pool->base;
    return CEL_OK;

fail:
    if (pool)
        cel__free(pool->scratch);
    cel__free(pool);
    cel__zygote_stop(options->zygote);
    return code;
}

const cel_pool_ops cel__prefork_pool_ops = {
    .names = "prefork,processes",
    .hard_limits = true,
    .forks = true,
    .open = open_pool,
    .submit = submit,
    .room = room,
    .reply = reply,
    .kill = cel__prefork_kill,
    .cancel = cel__prefork_cancel,
    .resize = resize,
    .drain = drain,
    .close = close_pool,
    .pids = list_pids,
};
