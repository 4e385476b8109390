/* client_test.c - leaders, followers, deadlines: operations made of timers, without broker or result store. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "app/client.h"
#include "app/test_support.h"
#include "core/mem.h"

#define THREADS 8
#define ROUNDS  100

struct timer_op {
    cel_client_op op;
    uv_timer_t timer;
    uint64_t delay_ms; /* UINT64_MAX: never */
    cel_code start_code, end_code;
};

static atomic_int live, abandoned, started;

static void on_timer_closed(uv_handle_t *handle)
{
    struct timer_op *op = handle->data;
    cel_error err = {0};

    if (op->end_code != CEL_OK)
        cel_error_set(&err, op->end_code, "as ordered");
    cel__client_finish(&op->op, op->end_code, &err);
}

static void on_time(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

static cel_code start_timer(cel_client_op *base, cel_error *err)
{
    struct timer_op *op = (struct timer_op *)base;

    atomic_fetch_add(&started, 1);
    if (op->start_code != CEL_OK)
        return cel_error_set(err, op->start_code, "not today");
    uv_timer_init(cel__client_loop(base), &op->timer);
    op->timer.data = op;
    uv_update_time(cel__client_loop(base));
    if (op->delay_ms != UINT64_MAX)
        uv_timer_start(&op->timer, on_time, op->delay_ms, 0);
    return CEL_OK;
}

static void abandon_timer(cel_client_op *base)
{
    struct timer_op *op = (struct timer_op *)base;

    atomic_fetch_add(&abandoned, 1);
    op->end_code = CEL_ECANCELED;
    if (!uv_is_closing((uv_handle_t *)&op->timer))
        uv_close((uv_handle_t *)&op->timer, on_timer_closed);
}

static void free_timer(cel_client_op *op)
{
    atomic_fetch_sub(&live, 1);
    cel__free(op);
}

static struct timer_op *make_op(cel_app *app, uint64_t delay_ms, bool can_abandon)
{
    struct timer_op *op = cel__calloc(1, sizeof *op);
    cel_client *client;

    assert_int_equal(cel__client_get(&client, app, NULL), CEL_OK);
    op->delay_ms = delay_ms;
    op->op.start = start_timer;
    op->op.abandon = can_abandon ? abandon_timer : NULL;
    op->op.free = free_timer;
    cel__client_op_init(client, &op->op);
    atomic_fetch_add(&live, 1);
    return op;
}

static cel_code run_op(cel_app *app, uint64_t delay_ms, bool can_abandon, int64_t timeout_ms)
{
    struct timer_op *op = make_op(app, delay_ms, can_abandon);
    cel_error err = {0};
    cel_code code = cel__client_run(&op->op, timeout_ms, &err);

    cel__client_op_unref(&op->op);
    return code;
}

static int set_up(void **state)
{
    atomic_store(&live, 0);
    atomic_store(&abandoned, 0);
    atomic_store(&started, 0);
    *state = test_app(NULL);
    return 0;
}

static int tear_down(void **state)
{
    cel_app_free(*state);
    assert_int_equal(atomic_load(&live), 0);
    return 0;
}

static void an_operation_runs_to_its_end(void **state)
{
    assert_int_equal(run_op(*state, 0, false, -1), CEL_OK);
    assert_int_equal(run_op(*state, 2, false, 10000), CEL_OK);
    assert_int_equal(atomic_load(&live), 0);
}

static void a_failure_is_handed_to_the_caller(void **state)
{
    struct timer_op *op = make_op(*state, 0, false);
    cel_error err = {0};

    op->start_code = CEL_EFULL;
    assert_int_equal(cel__client_run(&op->op, -1, &err), CEL_EFULL);
    assert_string_equal(err.message, "not today");
    assert_true(err.retriable);
    cel__client_op_unref(&op->op);
    op = make_op(*state, 1, false);
    op->end_code = CEL_EPROTO;
    assert_int_equal(cel__client_run(&op->op, -1, &err), CEL_EPROTO);
    assert_string_equal(err.message, "as ordered");
    cel__client_op_unref(&op->op);
}

static void a_deadline_leaves_the_operation_to_the_loop(void **state)
{
    assert_int_equal(run_op(*state, 20, false, 5), CEL_ETIMEDOUT);
    assert_int_equal(atomic_load(&live), 1);
    assert_int_equal(run_op(*state, 40, false, -1), CEL_OK);
    assert_int_equal(atomic_load(&live), 0);
}

static void what_nobody_waits_for_is_abandoned_once(void **state)
{
    assert_int_equal(run_op(*state, UINT64_MAX, true, 5), CEL_ETIMEDOUT);
    assert_int_equal(atomic_load(&abandoned), 0);
    assert_int_equal(run_op(*state, 1, true, -1), CEL_OK);
    assert_int_equal(run_op(*state, 1, true, -1), CEL_OK);
    assert_int_equal(atomic_load(&abandoned), 1);
    assert_int_equal(atomic_load(&live), 0);
}

static void the_end_of_the_app_abandons_too(void **state)
{
    assert_int_equal(run_op(*state, UINT64_MAX, true, 0), CEL_ETIMEDOUT);
    assert_int_equal(run_op(*state, UINT64_MAX, true, 1), CEL_ETIMEDOUT);
    assert_in_range(atomic_load(&live), 1, 2); /* tear_down() frees the app and counts again */
}

struct runner {
    cel_app *app;
    uint64_t delay_ms;
    int64_t timeout_ms;
    cel_code code;
    pthread_t thread;
};

static void *run_one(void *user)
{
    struct runner *runner = user;

    runner->code = run_op(runner->app, runner->delay_ms, true, runner->timeout_ms);
    return NULL;
}

static void wait_started(int count)
{
    while (atomic_load(&started) < count)
        sched_yield();
}

static void a_leader_hands_over(void **state)
{
    struct runner first = {.app = *state, .delay_ms = 20, .timeout_ms = -1};
    struct runner second = {.app = *state, .delay_ms = 60, .timeout_ms = 10000};
    struct runner third = {.app = *state, .delay_ms = 90, .timeout_ms = -1};

    pthread_create(&first.thread, NULL, run_one, &first);
    wait_started(1);
    pthread_create(&second.thread, NULL, run_one, &second);
    pthread_create(&third.thread, NULL, run_one, &third);
    wait_started(3);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    pthread_join(third.thread, NULL);
    assert_int_equal(first.code, CEL_OK);
    assert_int_equal(second.code, CEL_OK);
    assert_int_equal(third.code, CEL_OK);
}

static void a_follower_keeps_its_deadline(void **state)
{
    struct runner leader = {.app = *state, .delay_ms = 300, .timeout_ms = -1};
    int64_t start_ms = cel__clock_mono_ms(cel__clock_system());

    pthread_create(&leader.thread, NULL, run_one, &leader);
    wait_started(1);
    assert_int_equal(run_op(*state, UINT64_MAX, true, 20), CEL_ETIMEDOUT);
    assert_in_range(cel__clock_mono_ms(cel__clock_system()) - start_ms, 20, 280);
    while (atomic_load(&abandoned) == 0)
        sched_yield(); /* by the leader, although its own operation goes on */
    pthread_join(leader.thread, NULL);
    assert_int_equal(leader.code, CEL_OK);
}

static void *run_many(void *user)
{
    struct runner *runner = user;
    unsigned seed = (unsigned)runner->delay_ms;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t delay_ms = (uint64_t)rand_r(&seed) % 3;
        bool hasty = rand_r(&seed) % 8 == 0;
        cel_code code = run_op(runner->app, delay_ms, true, hasty ? 0 : 10000);

        if (code != CEL_OK && !(hasty && code == CEL_ETIMEDOUT))
            runner->code = code;
    }
    return NULL;
}

static void many_threads_share_one_loop(void **state)
{
    struct runner runners[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){.app = *state, .delay_ms = i};
        pthread_create(&runners[i].thread, NULL, run_many, &runners[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(runners[i].thread, NULL);
        assert_int_equal(runners[i].code, CEL_OK);
    }
}

static void a_forked_child_is_refused(void **state)
{
    cel_app *app = *state;
    cel_client *client;
    cel_error err = {0};
    int pid = app->pid;

    app->pid = -1;
    assert_int_equal(cel__client_get(&client, app, &err), CEL_EINVAL);
    app->pid = pid;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_operation_runs_to_its_end),
        TEST(a_failure_is_handed_to_the_caller),
        TEST(a_deadline_leaves_the_operation_to_the_loop),
        TEST(what_nobody_waits_for_is_abandoned_once),
        TEST(the_end_of_the_app_abandons_too),
        TEST(a_leader_hands_over),
        TEST(a_follower_keeps_its_deadline),
        TEST(many_threads_share_one_loop),
        TEST(a_forked_child_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
