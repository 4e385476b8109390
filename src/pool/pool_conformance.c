/* pool_conformance.c - the suite that solo, threads and prefork pass. */
#include "pool/pool_conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"

/* ---- the host: runs in the child or on the thread ---- */

static void add_outcome(cel__buf *out, uint64_t id, cel_view result)
{
    size_t start = cel__frame_begin(out, CEL_FRAME_OUTCOME, id);

    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("SUCCESS"));
    cel__section_add(out, CEL_TAG_RESULT, result);
    cel__frame_end(out, start);
}

static void add_outcome_int(cel__buf *out, uint64_t id, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    add_outcome(out, id, cel__view(text));
}

/* Sends UPDATE frames, or a PUBLISH that waits for its answer. */
static const char *send_up(cel_pool_call *call, cel_frame_type type, cel__buf *reply)
{
    cel__buf buf = {0};
    cel_error err = {0};
    size_t start = cel__frame_begin(&buf, type, call->request_id);
    cel_code code;

    cel__section_add(&buf, CEL_TAG_STATE, CEL_VIEW("PROGRESS"));
    cel__frame_end(&buf, start);
    code = call->send(call, cel__buf_view(&buf), reply, &err);
    cel__buf_done(&buf);
    return cel_code_name(code);
}

static void ask(cel_pool_call *call, cel__buf *out)
{
    cel__buf reply = {0};
    const char *code = send_up(call, CEL_FRAME_PUBLISH, &reply);
    cel_frame frame;

    if (reply.len > 0 && cel__frame_read(&frame, cel__buf_view(&reply)) > 0)
        add_outcome(out, call->request_id, cel__section_find(frame.sections, CEL_TAG_TEXT));
    else
        add_outcome(out, call->request_id, cel__view(code));
    cel__buf_done(&reply);
}

static void write_garbage(void)
{
    for (int fd = 3; fd < 64; fd++) {
        int type = 0;
        socklen_t len = sizeof type;

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM)
            (void)!write(fd, "\0\0\0\0garbage!", 12);
    }
}

/* Writes a frame with two wrong bytes into the process's socket. */
static void write_noise(uint64_t id, uint64_t seed)
{
    cel__buf buf = {0};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_UPDATE, id);

    cel__section_add(&buf, CEL_TAG_STATE, CEL_VIEW("PROGRESS"));
    cel__frame_end(&buf, start);
    for (int i = 0; i < 2; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        buf.ptr[(seed >> 33) % buf.len] ^= (char)(1 << (seed >> 20) % 8);
    }
    for (int fd = 3; fd < 64; fd++) {
        int type = 0;
        socklen_t len = sizeof type;

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM)
            (void)!write(fd, buf.ptr, buf.len);
    }
    cel__buf_done(&buf);
}

static const char *nap(long us)
{
    struct timespec pause = {us / 1000000, us % 1000000 * 1000};

    return nanosleep(&pause, NULL) == 0 ? "napped" : "interrupted";
}

static void leak(size_t mib)
{
    char *block = malloc(mib << 20);

    for (size_t at = 0; block && at < mib << 20; at += 1024)
        *(volatile char *)(block + at) = 1;
}

static bool run_deadly(const char *command, int alive)
{
    if (strcmp(command, "exit3") == 0)
        _exit(3);
    if (strcmp(command, "exit0") == 0)
        exit(0);
    if (strcmp(command, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(command, "kill9") == 0)
        raise(SIGKILL);
    if (strcmp(command, "garbage") == 0) {
        write_garbage();
        nap(5000000);
        return true;
    }
    if (strcmp(command, "closeall") == 0) {
        for (int fd = 3; fd < 64; fd++) {
            if (fd != alive)
                close(fd);
        }
        nap(5000000);
        return true;
    }
    return false;
}

/* The commands: echo text | pid | hold | nap us | poll | ask | update | big n | leak mib |
 * family | noise seed | limits | nothing, and those of run_deadly(). */
static void run_command(void *user, cel_pool_call *call, cel_view bytes, cel__buf *out)
{
    pool_fixture *fix = user;
    uint64_t id = call->request_id;
    char command[64] = "", byte;
    cel_frame frame;
    cel_view body;

    cel__frame_read(&frame, bytes);
    body = cel__section_find(frame.sections, CEL_TAG_BODY);
    memcpy(command, body.ptr, body.len < 63 ? body.len : 63);
    if (strncmp(command, "echo ", 5) == 0) {
        add_outcome(out, id, (cel_view){body.ptr + 5, body.len - 5});
    } else if (strcmp(command, "pid") == 0) {
        add_outcome_int(out, id, getpid());
    } else if (strcmp(command, "hold") == 0) {
        ssize_t got = read(fix->hold[0], &byte, 1);

        add_outcome(out, id, cel__view(got == 1 ? "held" : strerror(errno)));
    } else if (strncmp(command, "nap ", 4) == 0) {
        add_outcome(out, id, cel__view(nap(strtol(command + 4, NULL, 10))));
    } else if (strcmp(command, "poll") == 0) {
        while (!call->is_canceled(call))
            nap(500);
        add_outcome(out, id, CEL_VIEW("canceled"));
    } else if (strcmp(command, "ask") == 0) {
        ask(call, out);
    } else if (strcmp(command, "update") == 0) {
        for (int i = 0; i < 3; i++)
            send_up(call, CEL_FRAME_UPDATE, NULL);
        add_outcome(out, id, CEL_VIEW("updated"));
    } else if (strncmp(command, "big ", 4) == 0) {
        size_t len = (size_t)strtol(command + 4, NULL, 10);
        char *block = calloc(1, len);

        add_outcome(out, id, (cel_view){block, len});
        free(block);
    } else if (strncmp(command, "leak ", 5) == 0) {
        leak((size_t)strtol(command + 5, NULL, 10));
        add_outcome_int(out, id, getpid());
    } else if (strcmp(command, "family") == 0) {
        if (fork() == 0) {
            pid_t self = getpid();

            signal(SIGTERM, SIG_IGN);
            (void)!write(fix->alive[1], &self, sizeof self);
            for (;;)
                pause();
        }
        (void)!read(fix->hold[0], &byte, 1);
        add_outcome(out, id, CEL_VIEW("held"));
    } else if (strncmp(command, "noise ", 6) == 0) {
        write_noise(id, (uint64_t)strtol(command + 6, NULL, 10));
        add_outcome(out, id, CEL_VIEW("noise"));
    } else if (strcmp(command, "limits") == 0) {
        add_outcome_int(out, id, call->soft_limit_ms * 1000 + call->hard_limit_ms);
    } else if (strcmp(command, "nothing") != 0 && !run_deadly(command, fix->alive[1])) {
        add_outcome(out, id, CEL_VIEW("unknown command"));
    }
}

/* ---- the worker ---- */

static test_request *test_of(cel_pool_request *request)
{
    return (test_request *)request;
}

static void note_end(pool_fixture *fix, test_request *request)
{
    assert_false(fix->in_call);
    assert_int_equal(request->outcomes + request->losses + request->returns, 1);
    request->ended_ms = cel__clock_mono_ms(cel__clock_system());
    fix->ended++;
}

static void on_room(void *user, size_t free_slots)
{
    pool_fixture *fix = user;

    assert_false(fix->in_call);
    assert_true(free_slots <= 64);
    fix->rooms++;
}

static void on_dispatch(void *user, cel_pool_request *request)
{
    pool_fixture *fix = user;

    assert_int_equal(++test_of(request)->dispatched, 1);
    fix->dispatched++;
}

static void on_started(void *user, cel_pool_request *request, int64_t wall_us)
{
    pool_fixture *fix = user;
    int64_t now_us = cel__clock_wall_us(cel__clock_system());

    assert_false(fix->in_call);
    assert_int_equal(++test_of(request)->started, 1);
    assert_int_equal(test_of(request)->dispatched, 1);
    assert_true(wall_us <= now_us + 1000 && wall_us > now_us - 60000000);
    fix->started++;
}

static void on_frame(void *user, cel_pool_request *request, const cel_frame *frame)
{
    pool_fixture *fix = user;

    assert_int_equal(test_of(request)->started, 1);
    test_of(request)->frames++;
    assert_true(frame->request_id == request->id);
    if (frame->type == CEL_FRAME_PUBLISH && fix->answers) {
        cel__buf buf = {0};
        size_t start = cel__frame_begin(&buf, CEL_FRAME_REPLY, request->id);

        cel__section_add(&buf, CEL_TAG_TEXT, CEL_VIEW("well asked"));
        cel__frame_end(&buf, start);
        fix->ops->reply(fix->pool, request, cel__buf_view(&buf));
        cel__buf_done(&buf);
    }
}

static void on_outcome(void *user, cel_pool_request *base, const cel_frame *frame)
{
    pool_fixture *fix = user;
    test_request *request = test_of(base);

    assert_int_equal(request->started, 1);
    request->outcomes++;
    cel__buf_reset(&request->result);
    cel__buf_add_view(&request->result, cel__section_find(frame->sections, CEL_TAG_RESULT));
    note_end(fix, request);
    if (fix->resubmit && fix->count < MAX_TEST_REQUESTS)
        run_request(fix, "echo again", true);
}

static void on_lost(void *user, cel_pool_request *base, cel_pool_loss loss, const char *reason)
{
    test_request *request = test_of(base);

    request->losses++;
    request->loss = loss;
    snprintf(request->reason, sizeof request->reason, "%s", reason);
    note_end(user, request);
}

static void on_returned(void *user, cel_pool_request *request)
{
    assert_int_equal(test_of(request)->started, 0);
    test_of(request)->returns++;
    note_end(user, test_of(request));
}

static void on_soft_limit(void *user, cel_pool_request *request)
{
    (void)user;
    test_of(request)->soft++;
}

static void on_child(void *user, int slot, pid_t pid, const char *text, bool expected)
{
    pool_fixture *fix = user;

    assert_true(slot > 0 && pid > 0);
    if (!text) {
        fix->children_started++;
        return;
    }
    fix->children_ended++;
    fix->children_unexpected += !expected;
    snprintf(fix->child_text, sizeof fix->child_text, "%s", text);
}

static void on_broken(void *user, const cel_error *err)
{
    pool_fixture *fix = user;

    assert_true(err->code != CEL_OK);
    fix->broken++;
}

static void on_log(void *user, cel_log_level level, const char *message, size_t len)
{
    pool_fixture *fix = user;

    (void)level;
    fix->log_lines++;
    snprintf(fix->log_line, sizeof fix->log_line, "%.*s", (int)len, message);
}

static void on_heartbeat(uv_timer_t *timer)
{
    (void)timer; /* wakes the loop, so that deadlines are seen */
}

void fixture_init(pool_fixture *fix, const cel_pool_ops *ops, size_t slots)
{
    *fix = (pool_fixture){.ops = ops, .answers = true};
    fix->requests = calloc(MAX_TEST_REQUESTS, sizeof *fix->requests);
    assert_non_null(fix->requests);
    assert_int_equal(pipe2(fix->hold, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fix->alive, O_CLOEXEC), 0);
    fix->log = (cel_log){CEL_LOG_DEBUG, on_log, fix};
    fix->options = (cel_pool_options){
        .slots = slots,
        .loop = &fix->loop,
        .clock = cel__clock_system(),
        .log = &fix->log,
        .host = {.run = run_command, .user = fix},
        .callbacks = {on_room, on_dispatch, on_started, on_frame, on_outcome, on_lost,
                      on_returned, on_soft_limit, on_child, on_broken, fix},
    };
}

void fixture_open(pool_fixture *fix)
{
    cel_error err = {0};

    if (fix->ops->forks)
        assert_int_equal(cel__zygote_start(&fix->options.zygote, &fix->options.host, &err),
                         CEL_OK);
    uv_loop_init(&fix->loop);
    uv_timer_init(&fix->loop, &fix->heartbeat);
    uv_timer_start(&fix->heartbeat, on_heartbeat, 10, 10);
    assert_int_equal(fix->ops->open(&fix->pool, &fix->options, &err), CEL_OK);
}

static void on_closed(void *user)
{
    ((pool_fixture *)user)->closed++;
}

static void on_stopped(void *user)
{
    ((pool_fixture *)user)->stopped++;
}

void fixture_close(pool_fixture *fix)
{
    fix->in_call = true;
    fix->resubmit = false;
    fix->ops->close(fix->pool, on_closed, fix);
    fix->in_call = false;
    WAIT_FOR(fix, fix->closed);
    fixture_finish(fix);
}

void fixture_finish(pool_fixture *fix)
{
    for (size_t i = 0; i < fix->count; i++) {
        test_request *request = &fix->requests[i];

        assert_int_equal(request->outcomes + request->losses + request->returns, 1);
        cel__buf_done(&request->frame);
        cel__buf_done(&request->result);
    }
    uv_close((uv_handle_t *)&fix->heartbeat, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
    for (int i = 0; i < 2; i++) {
        close(fix->hold[i]);
        if (fix->alive[i] >= 0)
            close(fix->alive[i]);
    }
    free(fix->requests);
}

test_request *make_request(
    pool_fixture *fix, const char *command, bool is_short, int64_t soft_ms, int64_t hard_ms)
{
    test_request *request = &fix->requests[fix->count++];
    size_t start;

    assert_true(fix->count <= MAX_TEST_REQUESTS);
    start = cel__frame_begin(&request->frame, CEL_FRAME_REQUEST, fix->count);
    cel__section_add(&request->frame, CEL_TAG_BODY, cel__view(command));
    cel__frame_end(&request->frame, start);
    request->base = (cel_pool_request){.id = fix->count,
                                       .frame = cel__buf_view(&request->frame),
                                       .soft_limit_ms = soft_ms,
                                       .hard_limit_ms = hard_ms,
                                       .is_short = is_short};
    return request;
}

void submit_request(pool_fixture *fix, test_request *request)
{
    bool before = fix->in_call;

    fix->in_call = true;
    fix->ops->submit(fix->pool, &request->base);
    fix->in_call = before;
}

test_request *run_request(pool_fixture *fix, const char *command, bool is_short)
{
    test_request *request = make_request(fix, command, is_short, 0, 0);

    submit_request(fix, request);
    return request;
}

void release(pool_fixture *fix, size_t count)
{
    while (count-- > 0)
        assert_int_equal(write(fix->hold[1], "x", 1), 1);
}

bool has_ended(const test_request *request)
{
    return request->ended_ms != 0;
}

bool result_is(const test_request *request, const char *text)
{
    return request->outcomes == 1 && cel__view_is(cel__buf_view(&request->result), text);
}

/* ---- the suite ---- */

static const cel_pool_ops *suite_ops;

static bool is_solo(void)
{
    return suite_ops == &cel__solo_pool_ops;
}

static int set_up(void **state)
{
    pool_fixture *fix = malloc(sizeof *fix);

    fixture_init(fix, suite_ops, 2);
    fixture_open(fix);
    *state = fix;
    return 0;
}

static int tear_down(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static void a_request_ends_with_its_outcome(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = run_request(fix, "echo hello", false);

    WAIT_FOR(fix, has_ended(request));
    assert_true(result_is(request, "hello"));
    assert_true(request->base.pid > 0 && request->base.slot > 0);
    assert_true(request->base.started_ms > 0);
}

static void many_requests_end_once_each(void **state)
{
    pool_fixture *fix = *state;

    for (int i = 0; i < 3000; i++)
        run_request(fix, i % 7 ? "echo x" : "pid", i % 5 != 0);
    WAIT_FOR(fix, fix->ended == 3000);
    for (size_t i = 0; i < fix->count; i++)
        assert_int_equal(fix->requests[i].outcomes, 1);
}

static void requests_may_be_submitted_from_callbacks(void **state)
{
    pool_fixture *fix = *state;

    fix->resubmit = true;
    for (int i = 0; i < 40; i++)
        run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->ended >= 5000);
}

static void room_is_told_and_shrinks(void **state)
{
    pool_fixture *fix = *state;
    size_t room;

    WAIT_FOR(fix, fix->rooms > 0 && fix->ops->room(fix->pool) > 0);
    room = fix->ops->room(fix->pool);
    run_request(fix, "echo x", true);
    assert_int_equal(fix->ops->room(fix->pool), room - 1);
    WAIT_FOR(fix, fix->ended == 1);
    WAIT_FOR(fix, fix->ops->room(fix->pool) >= room);
}

static void frames_come_up_before_the_outcome(void **state)
{
    pool_fixture *fix = *state;
    test_request *first = run_request(fix, "update", true);
    test_request *second = run_request(fix, "update", false);

    WAIT_FOR(fix, has_ended(first) && has_ended(second));
    assert_int_equal(first->frames, 3);
    assert_int_equal(second->frames, 3);
}

static void a_question_is_answered(void **state)
{
    pool_fixture *fix = *state;
    test_request *requests[20];

    for (int i = 0; i < 20; i++)
        requests[i] = run_request(fix, i % 2 ? "ask" : "echo between", true);
    WAIT_FOR(fix, fix->ended == 20);
    for (int i = 0; i < 20; i++) {
        const char *answer = is_solo() ? "CEL_ENOTSUP" : "well asked";

        assert_true(result_is(requests[i], i % 2 ? answer : "between"));
    }
}

static void large_frames_pass(void **state)
{
    pool_fixture *fix = *state;
    size_t size = (size_t)20 << 20;
    char *text = malloc(size + 6);
    test_request *large, *big, *small;

    memset(text, 'a', size + 5);
    memcpy(text, "echo ", 5);
    text[size + 5] = '\0';
    large = run_request(fix, text, false);
    big = run_request(fix, "big 9000000", true);
    small = run_request(fix, "echo small", true);
    free(text);
    WAIT_FOR(fix, fix->ended == 3);
    assert_int_equal(large->result.len, size);
    assert_int_equal(big->result.len, 9000000);
    assert_true(result_is(small, "small"));
}

static void a_soft_limit_is_seen_by_the_request(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = make_request(fix, "poll", false, 60, 0);
    int64_t start = cel__clock_mono_ms(cel__clock_system());

    submit_request(fix, request);
    WAIT_FOR(fix, has_ended(request));
    assert_true(result_is(request, "canceled"));
    assert_int_equal(request->soft, 1);
    assert_true(request->ended_ms - start >= 59);
}

static void limits_reach_the_request(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = make_request(fix, "limits", true, 7000, 9000);

    submit_request(fix, request);
    WAIT_FOR(fix, has_ended(request));
    assert_true(result_is(request, "7009000")); /* all know it; some can keep it */
}

static void cancel_is_seen_by_the_request(void **state)
{
    pool_fixture *fix = *state;
    test_request *running = run_request(fix, "poll", false);
    test_request *early = make_request(fix, "poll", true, 0, 0);

    if (is_solo()) {
        fix->ops->cancel(fix->pool, &running->base);
    } else {
        WAIT_FOR(fix, running->started);
        fix->ops->cancel(fix->pool, &running->base);
    }
    submit_request(fix, early);
    fix->ops->cancel(fix->pool, &early->base); /* before it has started */
    WAIT_FOR(fix, has_ended(running) && has_ended(early));
    assert_true(result_is(running, "canceled"));
    assert_true(result_is(early, "canceled"));
}

static void drain_finishes_what_runs_and_returns_the_rest(void **state)
{
    pool_fixture *fix = *state;
    bool solo = is_solo();
    test_request *late;
    size_t running = 0, returned = 0;

    for (int i = 0; i < 2 && !solo; i++)
        run_request(fix, "hold", false);
    WAIT_FOR(fix, solo || fix->started == 2);
    for (int i = 0; i < 50; i++)
        run_request(fix, "echo x", true);
    fix->in_call = true;
    fix->ops->drain(fix->pool, on_stopped, fix);
    fix->in_call = false;
    late = run_request(fix, "echo late", true);
    WAIT_FOR(fix, fix->ended == 51);
    assert_int_equal(fix->stopped, solo);
    release(fix, 2);
    WAIT_FOR(fix, fix->stopped);
    for (size_t i = 0; i < fix->count; i++) {
        running += (size_t)fix->requests[i].outcomes;
        returned += (size_t)fix->requests[i].returns;
    }
    assert_int_equal(running, solo ? 0 : 2);
    assert_int_equal(returned, 51);
    assert_int_equal(late->returns, 1);
}

static void close_ends_every_request(void **state)
{
    pool_fixture *fix = *state;

    for (int i = 0; i < 2 && !is_solo(); i++)
        run_request(fix, "poll", false);
    WAIT_FOR(fix, is_solo() || fix->started == 2);
    for (int i = 0; i < 100; i++)
        run_request(fix, "echo x", true);
    /* tear_down closes and counts */
}

static void resize_adds_and_removes_slots(void **state)
{
    pool_fixture *fix = *state;

    if (is_solo())
        skip();
    fix->ops->resize(fix->pool, 4);
    for (int i = 0; i < 5; i++)
        run_request(fix, "hold", false);
    WAIT_FOR(fix, fix->started == 4);
    fix->ops->resize(fix->pool, 1);
    release(fix, 5);
    WAIT_FOR(fix, fix->ended == 5);
    for (int i = 0; i < 4; i++)
        run_request(fix, "hold", false);
    for (size_t ended = 5; ended < 9; ended++) {
        WAIT_FOR(fix, fix->started == ended + 1);
        assert_int_equal(fix->ended, ended); /* one at a time */
        release(fix, 1);
        WAIT_FOR(fix, fix->ended == ended + 1);
    }
    for (int i = 0; i < 100; i++)
        run_request(fix, "echo x", i % 2);
    WAIT_FOR(fix, fix->ended == 109);
}

static void kill_is_refused_where_it_cannot_be(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = run_request(fix, "echo x", true);
    cel_error err = {0};

    if (!fix->ops->hard_limits)
        assert_int_equal(fix->ops->kill(fix->pool, &request->base, SIGTERM, &err), CEL_ENOTSUP);
    else
        assert_int_equal(fix->ops->kill(fix->pool, &request->base, 0, &err), CEL_EINVAL);
    WAIT_FOR(fix, has_ended(request));
    assert_int_equal(request->outcomes, 1);
}

static void without_an_outcome_the_request_is_lost(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = run_request(fix, "nothing", false);
    test_request *next = run_request(fix, "echo next", false);

    WAIT_FOR(fix, has_ended(request) && has_ended(next));
    assert_int_equal(request->losses, 1);
    assert_int_equal(request->loss, CEL_LOST_DIED);
    assert_true(result_is(next, "next"));
}

static void without_memory_a_request_still_ends(void **state)
{
    pool_fixture *fix = *state;

    if (suite_ops == &cel__threads_pool_ops)
        skip(); /* the counter of allocations is for one thread */
    WAIT_FOR(fix, fix->ops->room(fix->pool) > 0);
    for (size_t n = 1; n < 12; n++) {
        test_request *request = make_request(fix, "echo x", n % 2, 0, 0);
        test_request *next = make_request(fix, "echo x", true, 0, 0);

        cel__mem_fail_at(n);
        submit_request(fix, request);
        submit_request(fix, next);
        uv_run(&fix->loop, UV_RUN_ONCE);
        cel__mem_fail_at(0);
        WAIT_FOR(fix, has_ended(request) && has_ended(next));
    }
}

static void every_name_finds_its_pool(void **state)
{
    (void)state;
    assert_ptr_equal(cel__pool_find("prefork"), &cel__prefork_pool_ops);
    assert_ptr_equal(cel__pool_find("processes"), &cel__prefork_pool_ops);
    assert_ptr_equal(cel__pool_find("threads"), &cel__threads_pool_ops);
    assert_ptr_equal(cel__pool_find("solo"), &cel__solo_pool_ops);
    assert_null(cel__pool_find(""));
    assert_null(cel__pool_find("prefork,processes"));
    assert_null(cel__pool_find("so"));
    assert_string_equal(cel__pool_names(), "prefork, threads, solo");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int cel__pool_conformance(const cel_pool_ops *ops)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_finds_its_pool),
        CASE(a_request_ends_with_its_outcome),
        CASE(many_requests_end_once_each),
        CASE(requests_may_be_submitted_from_callbacks),
        CASE(room_is_told_and_shrinks),
        CASE(frames_come_up_before_the_outcome),
        CASE(a_question_is_answered),
        CASE(large_frames_pass),
        CASE(a_soft_limit_is_seen_by_the_request),
        CASE(limits_reach_the_request),
        CASE(cancel_is_seen_by_the_request),
        CASE(drain_finishes_what_runs_and_returns_the_rest),
        CASE(close_ends_every_request),
        CASE(resize_adds_and_removes_slots),
        CASE(kill_is_refused_where_it_cannot_be),
        CASE(without_an_outcome_the_request_is_lost),
        CASE(without_memory_a_request_still_ends),
    };

    suite_ops = ops;
    return cmocka_run_group_tests_name(ops->names, tests, NULL, NULL);
}
