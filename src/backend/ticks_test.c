/* ticks_test.c - what every keeper of beat's records must do. Runs on memory://, on an embedded file, and on the URLs
 * given as arguments (a private Redis of tests/integration/beat_test.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/ticks.h"
#include "core/id.h"
#include "core/mem.h"
#include "core/test_folder.h"

#define LEASE_MS 60000

static const char *url;
static char serial[CEL_UUID_LEN + 1]; /* entries of one test are its own */
static int64_t now_us;

static int64_t wall(const cel_clock *clock)
{
    (void)clock;
    return now_us;
}

static int64_t mono(const cel_clock *clock)
{
    (void)clock;
    return cel__clock_mono_ms(cel__clock_system());
}

static const cel_clock clock_by_hand = {mono, wall};

/* Two beats on one loop. */
struct pair {
    uv_loop_t loop;
    cel_ticks *ticks[2];
    int closed;
    cel_tick_reply replies[CEL_TICKS_MAX];
    size_t count;
    bool done;
    cel_error err;
};

static void on_closed(void *user)
{
    ((struct pair *)user)->closed++;
}

static int setup(void **state)
{
    static struct pair pair;

    memset(&pair, 0, sizeof pair);
    now_us = cel__clock_wall_us(cel__clock_system());
    cel__uuid4(serial);
    assert_int_equal(uv_loop_init(&pair.loop), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(cel__ticks_open(&pair.ticks[i],
                                         &(cel_ticks_options){.url = url,
                                                              .loop = &pair.loop,
                                                              .clock = &clock_by_hand,
                                                              .owner = cel__view(i ? "b" : "a"),
                                                              .lease_ms = LEASE_MS},
                                         NULL),
                         CEL_OK);
    *state = &pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;

    for (int i = 0; i < 2; i++)
        pair->ticks[i]->ops->close(pair->ticks[i], on_closed, pair);
    assert_int_equal(pair->closed, 0); /* never before the return */
    while (pair->closed < 2)
        uv_run(&pair->loop, UV_RUN_ONCE);
    while (uv_run(&pair->loop, UV_RUN_ONCE))
        ;
    assert_int_equal(uv_loop_close(&pair->loop), 0);
    return 0;
}

static void on_replies(void *user, const cel_tick_reply *replies, const cel_error *err)
{
    struct pair *pair = user;

    assert_false(pair->done);
    pair->done = true;
    if (err)
        pair->err = *err;
    else
        memcpy(pair->replies, replies, pair->count * sizeof *replies);
}

static void submit(struct pair *pair, int who, const cel_tick *list, size_t count)
{
    pair->done = false;
    pair->count = count;
    pair->err = (cel_error){0};
    assert_int_equal(
        pair->ticks[who]->ops->submit(pair->ticks[who], list, count, on_replies, pair, NULL),
        CEL_OK);
    assert_false(pair->done);
    while (!pair->done)
        uv_run(&pair->loop, UV_RUN_ONCE);
    if (pair->err.code != CEL_OK)
        fail_msg("%s", pair->err.message);
}

static cel_tick_reply one(struct pair *pair,
                          int who,
                          cel_tick_verb verb,
                          const char *entry,
                          int64_t last,
                          int64_t due)
{
    char key[128];
    cel_tick tick = {.verb = verb, .last_us = last, .due_us = due};

    snprintf(key, sizeof key, "%s-%s", serial, entry);
    tick.entry = cel__view(key);
    submit(pair, who, &tick, 1);
    return pair->replies[0];
}

#define assert_reply(reply, what, last, sent)                                                  \
    do {                                                                                       \
        cel_tick_reply got_ = (reply);                                                         \
        assert_int_equal(got_.outcome, what);                                                  \
        assert_int_equal(got_.last_us, last);                                                  \
        assert_int_equal(got_.count, sent);                                                    \
    } while (0)

static void the_first_look_makes_the_record(void **state)
{
    assert_reply(one(*state, 0, CEL_TICK_LOOK, "x", 0, 1793000000000001), CEL_TICK_SEEN,
                 1793000000000001, 0);
    assert_reply(one(*state, 1, CEL_TICK_LOOK, "x", 0, 1793000000000002), CEL_TICK_SEEN,
                 1793000000000001, 0);
}

static void a_tick_is_claimed_by_one(void **state)
{
    cel_tick_reply reply;

    one(*state, 0, CEL_TICK_LOOK, "x", 0, 100);
    assert_reply(one(*state, 0, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_CLAIMED, 100, 0);
    reply = one(*state, 1, CEL_TICK_CLAIM, "x", 100, 200);
    assert_reply(reply, CEL_TICK_BUSY, 100, 0);
    assert_true(reply.wait_ms > 0 && reply.wait_ms <= LEASE_MS);
    assert_reply(one(*state, 0, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_CLAIMED, 100, 0);
    assert_reply(one(*state, 0, CEL_TICK_DONE, "x", 100, 200), CEL_TICK_COUNTED, 200, 1);
    assert_reply(one(*state, 1, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_MOVED, 200, 1);
    assert_reply(one(*state, 1, CEL_TICK_CLAIM, "x", 200, 300), CEL_TICK_CLAIMED, 200, 1);
    assert_reply(one(*state, 1, CEL_TICK_DONE, "x", 200, 300), CEL_TICK_COUNTED, 300, 2);
}

static void what_another_claims_cannot_be_ended(void **state)
{
    one(*state, 0, CEL_TICK_LOOK, "x", 0, 100);
    one(*state, 0, CEL_TICK_CLAIM, "x", 100, 200);
    assert_reply(one(*state, 1, CEL_TICK_DONE, "x", 100, 200), CEL_TICK_MOVED, 100, 0);
    assert_reply(one(*state, 0, CEL_TICK_DONE, "x", 100, 200), CEL_TICK_COUNTED, 200, 1);
}

static void a_claim_runs_out(void **state)
{
    if (strncmp(url, "memory", 6) != 0 && strncmp(url, "sqlite", 6) != 0)
        skip(); /* by the server's clock: see beat_test.py */
    one(*state, 0, CEL_TICK_LOOK, "x", 0, 100);
    one(*state, 0, CEL_TICK_CLAIM, "x", 100, 200);
    now_us += (LEASE_MS - 1) * INT64_C(1000);
    assert_reply(one(*state, 1, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_BUSY, 100, 0);
    now_us += 2000;
    assert_reply(one(*state, 1, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_CLAIMED, 100, 0);
    assert_reply(one(*state, 0, CEL_TICK_DONE, "x", 100, 200), CEL_TICK_MOVED, 100, 0);
    now_us -= INT64_C(3600000000); /* a clock that is set back keeps no claim alive */
    assert_reply(one(*state, 0, CEL_TICK_CLAIM, "x", 100, 200), CEL_TICK_CLAIMED, 100, 0);
}

static void a_thousand_at_once(void **state)
{
    static char keys[CEL_TICKS_MAX][64];
    static cel_tick list[CEL_TICKS_MAX];
    struct pair *pair = *state;

    for (size_t i = 0; i < CEL_TICKS_MAX; i++) {
        snprintf(keys[i], sizeof keys[i], "%s-%zu", serial, i);
        list[i] = (cel_tick){CEL_TICK_LOOK, cel__view(keys[i]), 0, (int64_t)i};
    }
    submit(pair, 0, list, CEL_TICKS_MAX);
    for (size_t i = 0; i < CEL_TICKS_MAX; i++) {
        assert_int_equal(pair->replies[i].last_us, i);
        list[i].verb = CEL_TICK_CLAIM;
        list[i].last_us = (int64_t)(i + i % 2); /* every second one is wrong */
        list[i].due_us = 5000;
    }
    submit(pair, 1, list, CEL_TICKS_MAX);
    for (size_t i = 0; i < CEL_TICKS_MAX; i++)
        assert_int_equal(pair->replies[i].outcome, i % 2 ? CEL_TICK_MOVED : CEL_TICK_CLAIMED);
}

static int run(const char *at)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_look_makes_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tick_is_claimed_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_claims_cannot_be_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_claim_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thousand_at_once, setup, teardown),
    };

    url = at;
    printf("%.6s\n", at);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static void schemes_are_known(void **state)
{
    cel_ticks *ticks = NULL;
    cel_error err;

    (void)state;
    assert_true(cel__ticks_supports("sqlite:///x"));
    assert_false(cel__ticks_supports("amqp://"));
    assert_false(cel__ticks_supports(NULL));
    assert_int_equal(
        cel__ticks_open(&ticks, &(cel_ticks_options){.url = "rpc://user:secret@x"}, &err),
        CEL_ECONFIG);
    assert_non_null(strstr(err.message, "rpc"));
    assert_null(strstr(err.message, "secret"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schemes_are_known)};
    char folder[100], at[128], command[128];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    for (int i = 1; i < argc; i++)
        failed += run(argv[i]);
    if (argc > 1)
        return failed;
    failed += run("memory://ticks");
    if (!cel__test_folder(folder, sizeof folder, "ticks"))
        return 1;
    snprintf(at, sizeof at, "sqlite:///%s/x.db", folder);
    failed += run(at);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? failed : 1;
}
