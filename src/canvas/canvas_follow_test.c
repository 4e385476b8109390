/* canvas_follow_test.c - what a worker sends, or fails, after a task has ended. */
#include "canvas/canvas.h"
#include "canvas/test_plan.h"
#include "core/mem.h"

/* ---- what follows ---- */

static void nothing_to_follow_costs_no_memory(void **state)
{
    const cel_task_body body = {.args = CEL_VIEW("[]"), .kwargs = CEL_VIEW("{}")};
    cel_canvas_context context = worker();
    cel_plan *plan = NULL;

    (void)state;
    cel__mem_fail_at(1000);
    assert_int_equal(cel__canvas_follow(&plan, &body, CEL_VIEW("1"), &context, NULL), CEL_OK);
    assert_int_equal(cel__mem_fail_at(0), 0);
    assert_int_equal(cel__plan_task_count(plan), 0);
    assert_true(cel__view_is(cel__plan_result(plan), "[]"));
    cel__plan_free(plan);
}

static void chain_goes_on_with_the_last_element(void **state)
{
    const cel_task_body body = {
        .chain = CEL_VIEW("[" O("c", "{\"task_id\": \"I1\"}") " , " A("d", "[ ]") ", " O(
            "b", "{\"task_id\": \"I2\", \"root_id\": \"old\"}") "]")};
    const json_t *plan = follow(state, &body, "{\"big\": 123456789012345}");

    names_are(plan, "messages", "b");
    is(plan, "messages.0.id", "\"I2\"");
    is(plan, "messages.0.args", "[{\"big\": 123456789012345}]");
    is(plan, "messages.0.root_id", "\"ROOT\"");
    is(plan, "messages.0.parent_id", "\"PARENT\"");
    names_are(plan, "messages.0.chain", "c d");
    is(plan, "result", "[[[\"I2\", null], null]]");
}

static void what_c_cannot_hold_passes_through(void **state)
{
    const cel_task_body body = {
        .chain = CEL_VIEW("[" A("b", "[1e999, 123456789012345678901234567890, NaN]") "]")};
    cel_canvas_context context = worker();
    cel_plan *plan = NULL;

    (void)state;
    assert_int_equal(cel__canvas_follow(&plan, &body, CEL_VIEW("-Infinity"), &context, NULL),
                     CEL_OK);
    assert_true(cel__view_is(cel__plan_task(plan, 0)->message.args,
                             "[-Infinity, 1e999, 123456789012345678901234567890, NaN]"));
    assert_null(cel__plan_task(plan, 0)->message.chain.ptr);
    cel__plan_free(plan);
}

static void one_callback_goes_alone_several_as_a_group(void **state)
{
    cel_task_body body = {.callbacks = CEL_VIEW("[" S("a") "]")};
    const json_t *plan = follow(state, &body, "5");

    is(plan, "messages.0.group", "null");
    is(plan, "messages.0.args", "[5]");
    is(plan, "result", "[[[\"" ID("01") "\", null], null]]");

    body.callbacks = CEL_VIEW("[" S("a") ", " GROUP(S("x") ", " S("y")) ", " A(
        "b", "[1]") ", " CHAIN(S("c") ", " S("d")) "]");
    body.chain = CEL_VIEW("[" S("z") "]");
    plan = follow(state, &body, "5");
    names_are(plan, "messages", "x y a b c z");
    is(plan, "messages.0.group", "\"" ID("01") "\"");
    is(plan, "messages.2.group", "\"" ID("04") "\"");
    is(plan, "messages.3.args", "[5, 1]");
    is(plan, "messages.3.group_index", "1");
    is(plan, "messages.4.group", "null");
    is(plan, "messages.4.chain.0.options.group_id", "\"" ID("04") "\"");
    is(plan, "messages.5.group", "null");
    assert_int_equal(json_array_size(at(plan, "result")), 3);
}

static void chord_as_next_step_writes_the_rest_into_its_body(void **state)
{
    const char *frozen =
        "{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", \"options\": {\"task_id\": "
        "\"G\"},"
        " \"kwargs\": {\"kwargs\": {}, \"header\": " GROUP(
            O("h1",
              "{\"task_id\": \"I4\"}") ", {\"task\": \"h2\", \"immutable\": true, \"args\": "
                                       "[1]}") ", \"body\": " O("b",
                                                                "{\"task_id\": \"I3\"}") "}}";
    char chain[900];
    cel_task_body body = {0};
    const json_t *plan;

    snprintf(chain, sizeof chain, "[%s, %s]", O("last", "{\"task_id\": \"I9\"}"), frozen);
    body.chain = cel__view(chain);
    plan = follow(state, &body, "5");
    names_are(plan, "messages", "h1 h2");
    is(plan, "chords", "[{\"gid\": \"G\", \"size\": 2, \"document\": null}]");
    is(plan, "messages.0.id", "\"I4\"");
    is(plan, "messages.0.group", "\"G\"");
    is(plan, "messages.0.args", "[5]");
    is(plan, "messages.1.args", "[1]");
    is(plan, "messages.0.chain", "null");
    is(plan, "messages.0.chord.options.task_id", "\"I3\"");
    is(plan, "messages.0.chord.options.chain.0.options.task_id", "\"I9\"");
    is(plan, "messages.0.chord.options.root_id", "\"ROOT\"");
    is(plan, "messages.0.chord.options.parent_id", "\"PARENT\"");
    is(plan, "result.0.0", "[\"G\", null]");
}

static void group_with_a_chord_is_sent_without_a_new_size(void **state)
{
    const cel_task_body body = {
        .chain = CEL_VIEW(
            "[{\"task\": \"celery.group\", \"subtask_type\": \"group\", "
            "\"kwargs\": {\"tasks\": "
            "[" O("b", "{\"task_id\": \"I2\", \"group_id\": \"G\", "
                       "\"group_index\": 4}") ", " S("c") "]}, \"options\": {\"task_id\": "
                                                          "\"G\", \"group_id\": \"G\", "
                                                          "\"chord\": " S("e") "}}]")};
    const json_t *plan = follow(state, &body, "1");

    is(plan, "chords", "[]");
    is(plan, "messages.0.chord.task", "\"e\"");
    is(plan, "messages.0.group", "\"G\"");
    is(plan, "messages.0.group_index", "4");
    is(plan, "messages.1.chord.task", "\"e\"");
    is(plan, "messages.1.group", "\"G\"");
}

static void errbacks_get_the_failed_id_in_one_group(void **state)
{
    cel_canvas_context context = worker();
    cel_plan *plan = NULL;
    const json_t *json;

    assert_int_equal(cel__canvas_errbacks(
                         &plan,
                         CEL_VIEW("[" S("e1") ", {\"task\": \"e2\", \"args\": [\"IMM\"], "
                                              "\"immutable\": true}, " A("e3", "[\"x\"]") "]"),
                         CEL_VIEW("I1"), &context, NULL),
                     CEL_OK);
    json = keep(state, plan);
    cel__plan_free(plan);
    is(json, "messages.0.args", "[\"I1\"]");
    is(json, "messages.1.args", "[\"IMM\"]");
    is(json, "messages.2.args", "[\"I1\", \"x\"]");
    is(json, "messages.2.group", "\"" ID("01") "\"");
    is(json, "messages.2.parent_id", "\"PARENT\"");

    assert_int_equal(
        cel__canvas_errbacks(&plan, CEL_VIEW(S("e1")), CEL_VIEW("I1"), &context, NULL), CEL_OK);
    assert_int_equal(cel__plan_task_count(plan), 1);
    cel__plan_free(plan);
    assert_int_equal(cel__canvas_errbacks(&plan, (cel_view){0}, CEL_VIEW("I1"), &context, NULL),
                     CEL_OK);
    assert_int_equal(cel__plan_task_count(plan), 0);
    cel__plan_free(plan);
    assert_int_equal(
        cel__canvas_errbacks(&plan, CEL_VIEW("[]"), CEL_VIEW("I1"), &context, NULL), CEL_OK);
    assert_int_equal(cel__plan_task_count(plan), 0);
    cel__plan_free(plan);
}

static const json_t *chord_body(void **state, const char *text)
{
    cel_canvas_context context = worker();
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_chord_body(&plan, cel__view(text), CEL_VIEW("[1, 2]"), &context, &err) !=
        CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    return json;
}

static void chord_body_gets_the_list_of_results(void **state)
{
    const json_t *plan = chord_body(state, O("b", "{\"task_id\": \"I1\"}"));

    is(plan, "messages.0.args", "[[1, 2]]");
    is(plan, "messages.0.id", "\"I1\"");
    is(plan, "messages.0.root_id", "\"ROOT\"");
    is(plan, "messages.0.parent_id", "\"PARENT\"");
    plan = chord_body(state,
                      O("b", "{\"task_id\": \"I1\", \"root_id\": \"R\", \"parent_id\": \"P\", "
                             "\"chain\": [" S("c") "], \"priority\": null}"));
    is(plan, "messages.0.root_id", "\"R\"");
    is(plan, "messages.0.parent_id", "\"P\"");
    names_are(plan, "messages.0.chain", "c");
    plan = chord_body(
        state,
        "{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": [" S(
            "b") ", " S("c") "]}, \"options\": {\"task_id\": \"L\", \"chain\": [" S("d") "]}}");
    names_are(plan, "messages.0.chain", "d c");
    is(plan, "messages.0.chain.1.options.task_id", "\"L\"");
    is(plan, "messages.0.args", "[[1, 2]]");
    plan = chord_body(state, GROUP(S("b") ", " S("c")));
    is(plan, "messages.1.args", "[[1, 2]]");
}

/* ---- victims ---- */

static char victims[1000];

static cel_code note(void *user, const cel_canvas_victim *victim)
{
    size_t len = strlen(victims);

    if (user && ++*(int *)user == 2)
        return CEL_EFULL;
    snprintf(victims + len, sizeof victims - len, "%.*s/%.*s/%d%s ",
             CEL_VIEW_ARG(victim->task_id), CEL_VIEW_ARG(victim->group_id),
             (int)victim->group_index, victim->chord.ptr ? "/chord" : "");
    return CEL_OK;
}

static void victims_are_all_that_would_have_run(void **state)
{
    /* clang-format off */
    static const char chain[] = /* the last runs next */
        "[{\"task\": \"celery.group\", \"subtask_type\": \"group\","
        "  \"options\": {\"task_id\": \"G\", \"chord\": " S("e") "},"
        "  \"kwargs\": {\"tasks\": ["
                O("a", "{\"task_id\": \"I1\", \"group_index\": 1}") "]}}, "
        CHORD(S("h"),
              O("b", "{\"task_id\": \"I2\", \"chain\": ["
                          O("c", "{\"task_id\": \"I3\"}") "]}")) ", "
        S("noid") ", "
        O("d", "{\"task_id\": \"I4\", \"group_id\": \"H\", \"group_index\": 0,"
               " \"chord\": " S("f") "}") "]";
    /* clang-format on */
    int calls = 0;

    (void)state;
    victims[0] = '\0';
    assert_int_equal(cel__canvas_victims(cel__view(chain), note, NULL, NULL), CEL_OK);
    assert_string_equal(victims, "I4/H/0/chord I2//-1 I3//-1 I1/G/1/chord ");
    assert_int_equal(cel__canvas_victims(CEL_VIEW("[" O("a", "{\"task_id\": \"1\"}") ", " O(
                                             "b", "{\"task_id\": \"2\"}") "]"),
                                         note, &calls, NULL),
                     CEL_EFULL);
    assert_int_equal(calls, 2);
}

/* ---- what takes the place of a task ---- */

static cel_task_headers running(void)
{
    return (cel_task_headers){.protocol = 2,
                              .task = CEL_VIEW("t"),
                              .id = CEL_VIEW("I"),
                              .group = CEL_VIEW("G"),
                              .group_index = 3,
                              .replaced_task_nesting = 1};
}

static const json_t *replace(void **state, const cel_task_body *body, const char *text)
{
    const cel_task_headers headers = running();
    cel_canvas_context context = worker();
    json_t *signature = test_load(text);
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_replace(&plan, signature, &headers, body, &context, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    json_decref(signature);
    return json;
}

static void what_replaces_a_task_has_its_id_and_place(void **state)
{
    const cel_task_body body = {.chord = CEL_VIEW(S("body")),
                                .callbacks = CEL_VIEW("[" S("cb") "]"),
                                .errbacks = CEL_VIEW("[" S("eb") "]")};
    const json_t *plan = replace(state, &body, O("a", "{\"queue\": \"q\"}"));

    names_are(plan, "messages", "a");
    is(plan, "messages.0.id", "\"I\"");
    is(plan, "messages.0.group", "\"G\"");
    is(plan, "messages.0.group_index", "3");
    is(plan, "messages.0.root_id", "\"ROOT\"");
    is(plan, "messages.0.parent_id", "\"PARENT\"");
    is(plan, "messages.0.chord.task", "\"body\"");
    names_are(plan, "messages.0.callbacks", "cb");
    names_are(plan, "messages.0.errbacks", "eb");
    is(plan, "children", "[]");
}

static void a_chain_in_the_place_of_a_step_goes_on_with_the_rest(void **state)
{
    const cel_task_body body = {.chain = CEL_VIEW("[" O("z", "{\"task_id\": \"Z\"}") "]"),
                                .callbacks = CEL_VIEW("[" S("cb") "]")};
    const json_t *plan = replace(state, &body, CHAIN(S("a") ", " S("b")));

    names_are(plan, "messages", "a");
    is(plan, "messages.0.callbacks", "null");
    names_are(plan, "messages.0.chain", "z b");
    is(plan, "messages.0.chain.1.options.task_id", "\"I\"");
    names_are(plan, "messages.0.chain.1.options.link", "cb");
}

static void a_group_in_the_place_of_a_task_is_collected(void **state)
{
    const cel_task_body body = {.chain = CEL_VIEW("[" O("z", "{\"task_id\": \"Z\"}") "]")};
    const json_t *plan = replace(state, &body, GROUP(S("a") ", " S("b")));

    names_are(plan, "messages", "a b");
    is(plan, "messages.0.chord.task", "\"celery.accumulate\"");
    is(plan, "messages.0.chord.kwargs", "{\"index\": 0}");
    is(plan, "messages.0.chord.options.task_id", "\"I\"");
    names_are(plan, "messages.0.chord.options.chain", "z");
    plan = replace(state, &body, CHAIN(S("a") ", " GROUP(S("b") ", " S("c"))));
    names_are(plan, "messages.0.chain", "z celery.chord");
    plan = replace(state, &body, CHORD(S("a"), GROUP(S("b") ", " S("c"))));
    is(plan, "messages.0.chord.subtask_type", "\"chord\"");
}

static void what_replaces_a_task_is_no_part_of_another_chord(void **state)
{
    const cel_task_body body = {0};
    const cel_task_headers headers = running();
    cel_canvas_context context = worker();
    json_t *signature = test_load(O("a", "{\"chord\": " S("b") "}"));
    cel_error err = {0};
    cel_plan *plan = NULL;

    (void)state;
    assert_int_equal(cel__canvas_replace(&plan, signature, &headers, &body, &context, &err),
                     CEL_EINVAL);
    assert_int_equal(cel__canvas_replace(&plan, NULL, &headers, &body, &context, &err),
                     CEL_EINVAL);
    assert_null(plan);
    json_decref(signature);
}

static void what_joins_a_chord_is_counted_by_its_ends(void **state)
{
    const cel_task_body body = {.chord = CEL_VIEW(S("body"))}, alone = {0};
    const cel_task_headers headers = running();
    cel_canvas_context context = worker();
    json_t *signature = test_load(GROUP(S("a") ", " CHAIN(S("b") ", " S("c"))));
    cel_error err = {0};
    cel_plan *plan = NULL;
    int64_t parts = 0;
    const json_t *json;

    assert_int_equal(
        cel__canvas_add_to_chord(&plan, &parts, signature, &headers, &body, &context, &err),
        CEL_OK);
    assert_int_equal(parts, 2);
    json = keep(state, plan);
    cel__plan_free(plan);
    names_are(json, "messages", "a b");
    is(json, "messages.0.group", "\"G\"");
    is(json, "messages.0.chord.task", "\"body\"");
    is(json, "messages.1.chord", "null");
    is(json, "messages.1.chain.0.options.group_id", "\"G\"");
    assert_int_equal(
        cel__canvas_add_to_chord(&plan, &parts, signature, &headers, &alone, &context, &err),
        CEL_EINVAL);
    json_decref(signature);
}

static void running_out_of_memory_replaces_nothing(void **state)
{
    const cel_task_body body = {.chord = CEL_VIEW(S("body")),
                                .callbacks = CEL_VIEW("[" S("cb") "]")};
    const cel_task_headers headers = running();
    json_t *signature = test_load(CHAIN(S("a") ", " GROUP(S("b") ", " S("c"))));
    cel_code code = CEL_ENOMEM;

    (void)state;
    for (size_t n = 1; code != CEL_OK; n++) {
        cel_canvas_context context = worker();
        cel_plan *plan = NULL;

        cel__mem_fail_at(n);
        code = cel__canvas_replace(&plan, signature, &headers, &body, &context, NULL);
        cel__mem_fail_at(0);
        assert_true(code == CEL_OK || code == CEL_ENOMEM);
        cel__plan_free(plan);
        assert_true(n < 200);
    }
    json_decref(signature);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_to_follow_costs_no_memory),
        TEST(chain_goes_on_with_the_last_element),
        TEST(what_c_cannot_hold_passes_through),
        TEST(one_callback_goes_alone_several_as_a_group),
        TEST(chord_as_next_step_writes_the_rest_into_its_body),
        TEST(group_with_a_chord_is_sent_without_a_new_size),
        TEST(errbacks_get_the_failed_id_in_one_group),
        TEST(chord_body_gets_the_list_of_results),
        TEST(victims_are_all_that_would_have_run),
        TEST(what_replaces_a_task_has_its_id_and_place),
        TEST(a_chain_in_the_place_of_a_step_goes_on_with_the_rest),
        TEST(a_group_in_the_place_of_a_task_is_collected),
        TEST(what_replaces_a_task_is_no_part_of_another_chord),
        TEST(what_joins_a_chord_is_counted_by_its_ends),
        TEST(running_out_of_memory_replaces_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
