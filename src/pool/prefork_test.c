/* prefork_test.c - the prefork pool passes the suite; and what only processes can do: crash, be
 * killed, be limited, be replaced. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "pool/pool_conformance.h"
#include "pool/zygote.h"

static int set_up_slots(void **state, size_t slots)
{
    pool_fixture *fix = malloc(sizeof *fix);

    fixture_init(fix, &cel__prefork_pool_ops, slots);
    fixture_open(fix);
    *state = fix;
    return 0;
}

static int set_up_one(void **state)
{
    return set_up_slots(state, 1);
}

static int set_up_two(void **state)
{
    return set_up_slots(state, 2);
}

static int tear_down(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static int64_t now_ms(void)
{
    return cel__clock_mono_ms(cel__clock_system());
}

/* Whether the process runs; one that waits to be reaped by a stranger does not. */
static bool is_running(pid_t pid)
{
    char path[64], state = 'Z';
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return false;
    if (fscanf(file, "%*d %*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state != 'Z' && state != 'X';
}

static void an_idle_child_that_dies_is_replaced(void **state)
{
    pool_fixture *fix = *state;
    pid_t pids[8];

    WAIT_FOR(fix, fix->rooms > 0 && fix->ops->pids(fix->pool, pids, 8) == 2);
    kill(pids[0], SIGKILL);
    WAIT_FOR(fix, fix->children_ended == 1 && fix->children_started == 3);
    assert_string_equal(fix->child_text, "exited with 'signal 9 (SIGKILL)'");
    assert_int_equal(fix->children_unexpected, 1);
    run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->ended == 1);
}

static void check_loss(pool_fixture *fix, const char *command, const char *reason)
{
    test_request *request = run_request(fix, command, false);
    test_request *next = run_request(fix, "echo next", true);

    WAIT_FOR(fix, has_ended(request) && has_ended(next));
    assert_int_equal(request->losses, 1);
    assert_int_equal(request->loss, CEL_LOST_DIED);
    assert_string_equal(request->reason, reason);
    assert_true(result_is(next, "next"));
}

static void a_crash_loses_the_request_and_says_how(void **state)
{
    check_loss(*state, "segv", "Worker exited prematurely: signal 11 (SIGSEGV)");
    check_loss(*state, "kill9", "Worker exited prematurely: signal 9 (SIGKILL)");
    check_loss(*state, "exit3", "Worker exited prematurely: exitcode 3");
    check_loss(*state, "exit0", "Worker exited prematurely: exitcode 0");
}

static void garbage_loses_the_request_and_says_so(void **state)
{
    pool_fixture *fix = *state;

    check_loss(fix, "garbage", "Worker sent garbage and was ended: signal 9 (SIGKILL)");
    assert_true(fix->log_lines > 0);
}

static void a_child_that_closed_its_socket_is_replaced(void **state)
{
    check_loss(*state, "closeall", "Worker exited prematurely: signal 9 (SIGKILL)");
}

static void a_crash_loses_only_what_ran(void **state)
{
    pool_fixture *fix = *state;

    for (int i = 0; i < 31; i++)
        run_request(fix, i == 15 ? "kill9" : "echo x", true);
    WAIT_FOR(fix, fix->ended == 31);
    for (size_t i = 0; i < 31; i++) {
        assert_int_equal(fix->requests[i].losses, i == 15);
        assert_int_equal(fix->requests[i].outcomes, i != 15);
    }
}

static void what_waits_behind_a_long_request_is_moved(void **state)
{
    pool_fixture *fix = *state;
    test_request *held;

    WAIT_FOR(fix, fix->children_started == 2 && fix->rooms > 0);
    WAIT_FOR(fix, fix->ops->room(fix->pool) == 64);
    held = run_request(fix, "hold", true); /* short, it was said */
    for (int i = 0; i < 60; i++)
        run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->ended == 60);
    assert_false(has_ended(held));
    assert_int_equal(held->started, 1);
    release(fix, 1);
    WAIT_FOR(fix, has_ended(held));
    assert_true(result_is(held, "held"));
}

static void outcomes_before_a_stuck_request_are_told(void **state)
{
    pool_fixture *fix = *state;
    test_request *held, *behind;

    WAIT_FOR(fix, fix->rooms > 0);
    for (int i = 0; i < 5; i++)
        run_request(fix, "echo x", true);
    held = run_request(fix, "hold", true);
    behind = run_request(fix, "echo behind", true);
    WAIT_FOR(fix, fix->ended == 5 && held->started);
    WAIT_FOR(fix, fix->ops->room(fix->pool) == 0); /* and what waited behind it is back */
    assert_false(has_ended(behind));
    release(fix, 1);
    WAIT_FOR(fix, has_ended(behind));
}

static void nothing_is_written_behind_what_is_not_short(void **state)
{
    pool_fixture *fix = *state;
    test_request *held = run_request(fix, "hold", false);
    test_request *behind = run_request(fix, "echo x", true);

    WAIT_FOR(fix, held->started);
    assert_int_equal(behind->dispatched, 0);
    assert_int_equal(fix->ops->room(fix->pool), 0);
    release(fix, 1);
    WAIT_FOR(fix, has_ended(behind));
}

static void a_hard_limit_ends_the_process_and_the_pool_is_whole_at_once(void **state)
{
    pool_fixture *fix = *state;
    test_request *limited = make_request(fix, "hold", false, 0, 120);
    test_request *next = make_request(fix, "pid", true, 0, 0);

    submit_request(fix, limited);
    submit_request(fix, next);
    WAIT_FOR(fix, has_ended(limited) && has_ended(next));
    assert_int_equal(limited->losses, 1);
    assert_int_equal(limited->loss, CEL_LOST_HARD_LIMIT);
    assert_true(limited->ended_ms - limited->base.started_ms >= 119);
    assert_true(limited->ended_ms - limited->base.started_ms < 120 + 1000);
    assert_int_equal(next->outcomes, 1);
    assert_int_not_equal(next->base.pid, limited->base.pid);
    assert_false(is_running(limited->base.pid));
    print_message("hard limit of 120 ms: lost after %d ms, next ended %d ms later\n",
                  (int)(limited->ended_ms - limited->base.started_ms),
                  (int)(next->ended_ms - limited->ended_ms));
}

static void a_soft_limit_interrupts_a_system_call(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = make_request(fix, "hold", false, 80, 5000);

    submit_request(fix, request);
    WAIT_FOR(fix, has_ended(request));
    assert_true(result_is(request, "Interrupted system call"));
    assert_int_equal(request->soft, 1);
}

static void a_soft_limit_of_a_short_request_counts_from_its_start(void **state)
{
    pool_fixture *fix = *state;
    test_request *first, *second;

    first = make_request(fix, "nap 30000", true, 0, 0);
    second = make_request(fix, "hold", true, 60, 0);
    submit_request(fix, first);
    submit_request(fix, second);
    WAIT_FOR(fix, fix->ended == 2);
    assert_true(result_is(second, "Interrupted system call"));
    assert_true(second->ended_ms - first->ended_ms >= 58);
}

static void a_signal_never_hits_the_next_request(void **state)
{
    pool_fixture *fix = *state;
    size_t soft = 0;

    for (int i = 0; i < 200; i++) {
        submit_request(fix, make_request(fix, "nap 4000", true, 3, 0));
        submit_request(fix, make_request(fix, "nap 1000", true, 0, 0));
    }
    WAIT_FOR(fix, fix->ended == 400);
    for (size_t i = 0; i < 400; i++) {
        if (i % 2)
            assert_true(result_is(&fix->requests[i], "napped"));
        soft += (size_t)fix->requests[i].soft;
    }
    print_message("%zu of 200 met their soft limit\n", soft);
}

static void kill_ends_a_running_request(void **state)
{
    pool_fixture *fix = *state;
    test_request *running = run_request(fix, "hold", false);
    test_request *waiting = run_request(fix, "hold", true);
    cel_error err = {0};

    WAIT_FOR(fix, running->started);
    fix->in_call = true;
    assert_int_equal(fix->ops->kill(fix->pool, &waiting->base, SIGTERM, &err), CEL_OK);
    assert_int_equal(fix->ops->kill(fix->pool, &running->base, SIGTERM, &err), CEL_OK);
    fix->in_call = false;
    WAIT_FOR(fix, has_ended(running) && has_ended(waiting));
    assert_int_equal(running->loss, CEL_LOST_KILLED);
    assert_string_equal(running->reason, "Worker exited prematurely: signal 15 (SIGTERM)");
    assert_int_equal(waiting->losses, 1);
    assert_int_equal(waiting->loss, CEL_LOST_KILLED);
    assert_int_equal(waiting->started, 0);
    run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->ended == 3);
}

static void a_family_dies_with_its_request(void **state)
{
    pool_fixture *fix = *state;
    test_request *request = make_request(fix, "family", false, 0, 100);
    pid_t grandchild = 0;

    submit_request(fix, request);
    WAIT_FOR(fix, has_ended(request));
    assert_int_equal(request->loss, CEL_LOST_HARD_LIMIT);
    assert_int_equal(read(fix->alive[0], &grandchild, sizeof grandchild), sizeof grandchild);
    WAIT_FOR(fix, !is_running(grandchild));
}

static void a_killed_zygote_breaks_the_pool_and_ends_all(void **state)
{
    pool_fixture *fix = *state;
    test_request *first = run_request(fix, "hold", false);
    test_request *second = run_request(fix, "hold", false);
    test_request *third = run_request(fix, "echo x", true);
    pid_t pids[8];

    WAIT_FOR(fix, first->started && second->started);
    assert_int_equal(fix->ops->pids(fix->pool, pids, 8), 2);
    kill(fix->options.zygote->pid, SIGKILL);
    WAIT_FOR(fix, fix->broken == 1 && has_ended(first) && has_ended(second));
    assert_int_equal(first->losses + second->losses, 2);
    assert_false(has_ended(third));
    WAIT_FOR(fix, !is_running(pids[0]) && !is_running(pids[1]));
    /* tear_down returns the third */
}

/* A worker of its own, to be killed. */
static void be_a_worker(int ready)
{
    pool_fixture *fix = malloc(sizeof *fix);

    fixture_init(fix, &cel__prefork_pool_ops, 2);
    fixture_open(fix);
    run_request(fix, "hold", false);
    run_request(fix, "hold", false);
    WAIT_FOR(fix, fix->started == 2);
    (void)!write(ready, "r", 1);
    for (;;)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static void all_die_with_the_worker(void **state)
{
    int pipe_fds[2];
    char byte;
    struct pollfd hangup;
    pid_t worker;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    worker = fork();
    if (worker == 0) {
        close(pipe_fds[0]);
        be_a_worker(pipe_fds[1]);
        _exit(1);
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    kill(worker, SIGKILL);
    waitpid(worker, NULL, 0);
    hangup = (struct pollfd){.fd = pipe_fds[0], .events = POLLIN};
    assert_int_equal(poll(&hangup, 1, 5000), 1); /* zygote and children had the other end */
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
    close(pipe_fds[0]);
}

static pool_fixture *prepare(size_t slots)
{
    pool_fixture *fix = malloc(sizeof *fix);

    fixture_init(fix, &cel__prefork_pool_ops, slots);
    return fix;
}

static void a_child_runs_no_more_than_its_tasks(void **state)
{
    pool_fixture *fix = prepare(2);

    fix->options.max_tasks_per_child = 3;
    fixture_open(fix);
    for (int i = 0; i < 100; i++)
        run_request(fix, "pid", i % 3 != 0);
    WAIT_FOR(fix, fix->ended == 100);
    for (size_t i = 0; i < 100; i++) {
        size_t same = 0;

        for (size_t k = 0; k < 100; k++)
            same += fix->requests[k].base.pid == fix->requests[i].base.pid;
        assert_int_equal(fix->requests[i].outcomes, 1);
        assert_in_range(same, 1, 3);
    }
    assert_int_equal(fix->children_unexpected, 0);
    *state = fix;
    tear_down(state);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void a_child_that_grew_is_replaced(void **state)
{
    pool_fixture *fix = prepare(1);
    test_request *small, *large, *next;

    fix->options.max_memory_kib = resident_kib() + 40 * 1024;
    fixture_open(fix);
    small = run_request(fix, "leak 1", false);
    large = run_request(fix, "leak 90", false);
    next = run_request(fix, "pid", false);
    WAIT_FOR(fix, fix->ended == 3);
    assert_int_equal(small->base.pid, large->base.pid);
    assert_int_not_equal(next->base.pid, large->base.pid);
    WAIT_FOR(fix, fix->children_ended == 1);
    assert_int_equal(fix->children_unexpected, 0);
    assert_string_equal(fix->child_text, "exited with 'exitcode 0'");
    *state = fix;
    tear_down(state);
}

static int *start_failures_left; /* shared with the children */

static cel_code start_at_last(void *user, cel_error *err)
{
    (void)user;
    if (__atomic_fetch_sub(start_failures_left, 1, __ATOMIC_SEQ_CST) > 0)
        return cel_error_set(err, CEL_EMODULE, "not yet");
    return CEL_OK;
}

static pool_fixture *open_failing(int failures)
{
    pool_fixture *fix = prepare(2);

    start_failures_left =
        mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *start_failures_left = failures;
    fix->options.host.start = start_at_last;
    fixture_open(fix);
    return fix;
}

static void children_that_fail_to_start_are_tried_again(void **state)
{
    pool_fixture *fix = open_failing(4);

    run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->ended == 1);
    WAIT_FOR(fix, fix->ops->room(fix->pool) == 64);
    assert_non_null(strstr(fix->log_line, "not yet"));
    assert_int_equal(fix->broken, 0);
    *state = fix;
    tear_down(state);
}

static void children_that_never_start_break_the_pool(void **state)
{
    pool_fixture *fix = open_failing(1000000);

    run_request(fix, "echo x", true);
    WAIT_FOR(fix, fix->broken == 1);
    assert_in_range(1000000 - *start_failures_left, 10, 12);
    *state = fix;
    tear_down(state);
}

static int64_t frozen_mono_ms(const cel_clock *clock)
{
    (void)clock;
    return 1000;
}

static int64_t system_wall_us(const cel_clock *clock)
{
    (void)clock;
    return cel__clock_wall_us(cel__clock_system());
}

static void a_hundred_deaths_within_a_second_break_the_pool(void **state)
{
    static const cel_clock frozen = {frozen_mono_ms, system_wall_us};
    pool_fixture *fix = prepare(2);

    fix->options.clock = &frozen; /* however slow the machine is */
    fixture_open(fix);
    for (int i = 0; i < 120; i++)
        run_request(fix, "exit3", false);
    WAIT_FOR(fix, fix->broken == 1);
    assert_in_range(fix->children_unexpected, 101, 102);
    *state = fix;
    tear_down(state);
}

static void a_child_that_does_not_read_blocks_nobody(void **state)
{
    pool_fixture *fix = *state;
    size_t size = (size_t)4 << 20;
    char *text = malloc(size + 1);
    test_request *stuck[2];
    pid_t pids[2];

    memset(text, 'a', size);
    memcpy(text, "echo ", 5);
    text[size] = '\0';
    WAIT_FOR(fix, fix->ops->room(fix->pool) == 64);
    fix->ops->pids(fix->pool, pids, 2);
    kill(pids[0], SIGSTOP);
    stuck[0] = run_request(fix, text, true);
    stuck[1] = run_request(fix, text, true);
    WAIT_FOR(fix, fix->ended == 1);
    for (int i = 0; i < 50; i++)
        run_request(fix, "echo x", false);
    WAIT_FOR(fix, fix->ended == 51);
    kill(pids[0], SIGCONT);
    WAIT_FOR(fix, fix->ended == 52);
    assert_int_equal(stuck[0]->outcomes + stuck[1]->outcomes, 2);
    free(text);
}

static void noise_in_the_socket_ends_every_request_once(void **state)
{
    pool_fixture *fix = prepare(4);
    size_t losses = 0;

    fixture_open(fix);
    for (int i = 0; i < 90; i++) {
        char command[24];

        snprintf(command, sizeof command, "noise %d", i);
        run_request(fix, command, i % 2);
    }
    WAIT_FOR(fix, fix->ended == 90);
    for (size_t i = 0; i < 90; i++)
        losses += (size_t)fix->requests[i].losses;
    assert_in_range(losses, 1, 89);
    print_message("%zu of 90 lost by noise\n", losses);
    *state = fix;
    tear_down(state);
}

static void opening_without_memory_fails_or_recovers(void **state)
{
    (void)state;
    for (size_t n = 1; n < 6; n++) {
        pool_fixture *fix = prepare(2);
        cel_error err = {0};
        cel_code code;

        assert_int_equal(cel__zygote_start(&fix->options.zygote, &fix->options.host, &err),
                         CEL_OK);
        uv_loop_init(&fix->loop);
        uv_timer_init(&fix->loop, &fix->heartbeat);
        fix->heartbeat.data = fix;
        cel__mem_fail_at(n);
        code = fix->ops->open(&fix->pool, &fix->options, &err);
        cel__mem_fail_at(0);
        if (code == CEL_OK)
            run_request(fix, "echo x", true);
        WAIT_FOR(fix, code != CEL_OK || fix->ended == 1);
        if (code == CEL_OK)
            fixture_close(fix);
        else
            fixture_finish(fix);
        free(fix);
        assert_int_equal(code, n <= 2 ? CEL_ENOMEM : CEL_OK);
    }
}

static void ten_thousand_requests_survive_random_kills(void **state)
{
    pool_fixture *fix = prepare(4);
    uint64_t random = 4711;
    size_t submitted = 0, kills = 0, losses = 0, long_ones = 0;
    int64_t start = now_ms();

    fixture_open(fix);
    while (fix->ended < 10000) {
        pid_t pids[16];
        size_t count;

        for (; submitted < 10000 && submitted - fix->ended < 150; submitted++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            long_ones += random >> 60 == 0;
            run_request(fix, random >> 60 == 0 ? "nap 300" : "echo x", random >> 59 & 1);
        }
        count = fix->ops->pids(fix->pool, pids, 16);
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (count > 0 && kills < fix->ended / 125) {
            kill(pids[(random >> 33) % count], SIGKILL);
            kills++;
        }
        assert_true(now_ms() - start < 60000);
        uv_run(&fix->loop, UV_RUN_ONCE);
    }
    for (size_t i = 0; i < 10000; i++) {
        losses += (size_t)fix->requests[i].losses;
        assert_int_equal(fix->requests[i].dispatched, 1);
    }
    assert_true(losses <= kills);
    assert_int_equal(fix->broken, 0);
    print_message("%zu kills, %zu requests lost, %zu naps\n", kills, losses, long_ones);
    *state = fix;
    tear_down(state);
}

#define ONE(name)  cmocka_unit_test_setup_teardown(name, set_up_one, tear_down)
#define TWO(name)  cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)
#define BARE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(all_die_with_the_worker),
        TWO(an_idle_child_that_dies_is_replaced),
        TWO(a_crash_loses_the_request_and_says_how),
        ONE(garbage_loses_the_request_and_says_so),
        ONE(a_child_that_closed_its_socket_is_replaced),
        ONE(a_crash_loses_only_what_ran),
        TWO(what_waits_behind_a_long_request_is_moved),
        ONE(outcomes_before_a_stuck_request_are_told),
        ONE(nothing_is_written_behind_what_is_not_short),
        ONE(a_hard_limit_ends_the_process_and_the_pool_is_whole_at_once),
        ONE(a_soft_limit_interrupts_a_system_call),
        ONE(a_soft_limit_of_a_short_request_counts_from_its_start),
        ONE(a_signal_never_hits_the_next_request),
        ONE(kill_ends_a_running_request),
        ONE(a_family_dies_with_its_request),
        TWO(a_killed_zygote_breaks_the_pool_and_ends_all),
        BARE(a_child_runs_no_more_than_its_tasks),
        BARE(a_child_that_grew_is_replaced),
        BARE(children_that_fail_to_start_are_tried_again),
        BARE(children_that_never_start_break_the_pool),
        BARE(a_hundred_deaths_within_a_second_break_the_pool),
        TWO(a_child_that_does_not_read_blocks_nobody),
        BARE(noise_in_the_socket_ends_every_request_once),
        BARE(opening_without_memory_fails_or_recovers),
        BARE(ten_thousand_requests_survive_random_kills),
    };
    int failed = cel__pool_conformance(&cel__prefork_pool_ops);

    return failed + cmocka_run_group_tests_name("prefork only", tests, NULL, NULL);
}
