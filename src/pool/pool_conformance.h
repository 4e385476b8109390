/* pool_conformance.h - what every pool must do, and the tools that the tests of pools share. */
#ifndef CEL_POOL_CONFORMANCE_H
#define CEL_POOL_CONFORMANCE_H

#include "pool/pool.h"

#define MAX_TEST_REQUESTS 12000

typedef struct test_request {
    cel_pool_request base; /* first */
    cel__buf frame;
    int dispatched, started, soft, frames;
    int outcomes, losses, returns;
    cel_pool_loss loss;
    char reason[160];
    cel__buf result; /* RESULT of the outcome */
    int64_t ended_ms;
} test_request;

/* A pool with its loop. The host's commands (the BODY of a request) are listed at run_command()
 * in pool_conformance.c. "hold" reads one byte from hold[0]; the test releases it through
 * hold[1]. */
typedef struct pool_fixture {
    const cel_pool_ops *ops;
    cel_pool_options options;
    cel_pool *pool;
    uv_loop_t loop;
    uv_timer_t heartbeat;
    int hold[2];  /* pipe */
    int alive[2]; /* pipe: "family" writes the pid of its grandchild */
    test_request *requests;
    size_t count;
    size_t ended, started, dispatched, children_started, children_ended, children_unexpected;
    size_t rooms, broken, stopped, closed;
    bool in_call;        /* inside a call to the pool: no callback may run */
    bool resubmit;       /* on_outcome submits the request's next one */
    bool answers;        /* PUBLISH is answered at once */
    char child_text[96]; /* how the last child ended */
    size_t log_lines;
    char log_line[300]; /* the last one */
    cel_log log;
} pool_fixture;

/* Makes everything but the pool. `options` may be changed before fixture_open(). */
void fixture_init(pool_fixture *fix, const cel_pool_ops *ops, size_t slots);
void fixture_open(pool_fixture *fix);
/* Closes the pool and checks that each request has ended once. */
void fixture_close(pool_fixture *fix);
/* The second half of it: for a pool that was not opened or has been closed. */
void fixture_finish(pool_fixture *fix);

/* Makes a request; its id is its index + 1. */
test_request *make_request(
    pool_fixture *fix, const char *command, bool is_short, int64_t soft_ms, int64_t hard_ms);
void submit_request(pool_fixture *fix, test_request *request);
/* Makes and submits a request without limits. */
test_request *run_request(pool_fixture *fix, const char *command, bool is_short);
void release(pool_fixture *fix, size_t count);
bool has_ended(const test_request *request);
bool result_is(const test_request *request, const char *text);

/* Runs the loop until `condition` holds; fails the test after ten seconds. */
#define WAIT_FOR(fix, condition)                                                               \
    do {                                                                                       \
        int64_t wait_start_ = cel__clock_mono_ms(cel__clock_system());                         \
        while (!(condition)) {                                                                 \
            assert_true(cel__clock_mono_ms(cel__clock_system()) - wait_start_ < 10000);        \
            uv_run(&(fix)->loop, UV_RUN_ONCE);                                                 \
        }                                                                                      \
    } while (0)

/* Runs the suite; returns how many tests failed. */
int cel__pool_conformance(const cel_pool_ops *ops);

#endif
