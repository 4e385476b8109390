/* chord_test.c - tests of chord.c. */
#include <string.h>

#include "app/test_support.h"

struct fixture {
    cel_app *app;
    test_run run;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.app = test_app(NULL);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    test_run_done(&fixture->run);
    cel_app_free(fixture->app);
    return 0;
}

static void finish_chord(struct fixture *f, const cel_chord_ready *ready)
{
    cel_error err = {0};

    cel__buf_reset(&f->run.out);
    cel__trace_chord(&f->run.out, f->app, ready, &err);
    test_parse(&f->run);
    assert_view(f->run.state, "IGNORED");
    assert_int_equal(f->run.store, 0);
}

static void a_complete_chord_sends_its_body(void **state)
{
    struct fixture *f = *state;

    finish_chord(f, &(cel_chord_ready){
                        .gid = CEL_VIEW("gid"),
                        .results = CEL_VIEW("[5, {\"big\": 123456789012345678901234567890}]"),
                        .body = CEL_VIEW(SIG("tasks.body", "[8]", "{\"task_id\": \"b-1\"}")),
                        .parent_id = CEL_VIEW("p-1"),
                        .root_id = CEL_VIEW("r-1")});
    assert_int_equal(f->run.messages, 1);
    test_check_message(&f->run, 0, "tasks.body",
                       "[[5, {\"big\": 123456789012345678901234567890}], 8]", "p-1");
}

static void a_failed_part_fails_the_body_and_calls_its_errbacks(void **state)
{
    struct fixture *f = *state;

    finish_chord(
        f, &(cel_chord_ready){
               .gid = CEL_VIEW("gid"),
               .failed_id = CEL_VIEW("part-2"),
               .failed_result = CEL_VIEW("{\"exc_type\": \"ValueError\", \"exc_message\": "
                                         "[\"boom\", 42], \"exc_module\": \"builtins\"}"),
               .body = CEL_VIEW(SIG("tasks.body", "[8]",
                                    "{\"task_id\": \"b-1\", \"link_error\": [" SIG(
                                        "tasks.eb", "[]", "{}") "]}")),
               .parent_id = CEL_VIEW("p-1"),
               .root_id = CEL_VIEW("r-1")});
    assert_int_equal(f->run.victims, 1);
    assert_view(test_inside(test_section(&f->run, CEL_TAG_VICTIM, 0), CEL_TAG_ID), "b-1");
    assert_view(test_inside(test_section(&f->run, CEL_TAG_VICTIM, 0), CEL_TAG_RESULT),
                "{\"exc_type\": \"ChordError\", \"exc_message\": [\"Dependency part-2 raised "
                "ValueError('boom', 42)\"], \"exc_module\": \"celery.exceptions\"}");
    assert_int_equal(f->run.messages, 1);
    test_check_message(&f->run, 0, "tasks.eb", "[\"b-1\"]", "b-1");
}

static void a_body_that_is_no_signature_harms_nobody(void **state)
{
    static const char *const bodies[] = {"17", "{", "{\"options\": {\"task_id\": \"b-1\"}}",
                                         ""};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        finish_chord(f, &(cel_chord_ready){.gid = CEL_VIEW("gid"),
                                           .results = CEL_VIEW("[1]"),
                                           .body = cel__view(bodies[i])});
        assert_int_equal(f->run.messages, 0);
    }
}

static void results_too_large_for_a_message_fail_the_body(void **state)
{
    struct fixture *f = *state;

    finish_chord(f, &(cel_chord_ready){
                        .gid = CEL_VIEW("gid"),
                        .results = {"[", (size_t)300 << 20}, /* not to be read */
                        .body = CEL_VIEW(SIG("tasks.body", "[]", "{\"task_id\": \"b-1\"}")),
                        .parent_id = CEL_VIEW("p-1"),
                        .root_id = CEL_VIEW("r-1")});
    assert_int_equal(f->run.messages, 0);
    assert_int_equal(f->run.victims, 1);
    assert_true(view_has(test_inside(test_section(&f->run, CEL_TAG_VICTIM, 0), CEL_TAG_RESULT),
                         "too large for a message"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_complete_chord_sends_its_body),
        TEST(a_failed_part_fails_the_body_and_calls_its_errbacks),
        TEST(a_body_that_is_no_signature_harms_nobody),
        TEST(results_too_large_for_a_message_fail_the_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
