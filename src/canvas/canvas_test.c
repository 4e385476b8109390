/* canvas_test.c - what is published for each shape of canvas. */
#include "canvas/canvas.h"
#include "canvas/test_plan.h"

/* ---- plain ---- */

static void plain_signature_becomes_its_message(void **state)
{
    const json_t *plan =
        apply(state, "{\"task\": \"t\", \"args\": [1], \"kwargs\": {\"k\": 2}}");

    is(plan, "messages.0.task", "\"t\"");
    is(plan, "messages.0.id", "\"" ID("01") "\"");
    is(plan, "messages.0.root_id", "\"" ID("01") "\"");
    is(plan, "messages.0.parent_id", "null");
    is(plan, "messages.0.args", "[1]");
    is(plan, "messages.0.kwargs", "{\"k\": 2}");
    is(plan, "messages.0.group", "null");
    is(plan, "messages.0.options", "null");
    is(plan, "result", "[[\"" ID("01") "\", null], null]");
    is(plan, "children", "[]");
    assert_int_equal(json_array_size(at(plan, "messages")), 1);
}

static void partial_arguments_come_first_and_override(void **state)
{
    cel_canvas_context context = worker();
    const json_t *plan;

    context.partial_args = CEL_VIEW("[ 7, 8 ]");
    context.partial_kwargs = test_load("{\"b\": 20, \"c\": 30}");
    plan = apply_with(
        state, "{\"task\": \"t\", \"args\": [1], \"kwargs\": {\"a\": 1, \"b\": 2}}", &context);
    is(plan, "messages.0.args", "[7, 8, 1]");
    is(plan, "messages.0.kwargs", "{\"a\": 1, \"b\": 20, \"c\": 30}");
    is(plan, "messages.0.root_id", "\"ROOT\"");
    is(plan, "messages.0.parent_id", "\"PARENT\"");
    is(plan, "children", "[[[\"" ID("01") "\", null], null]]");
    plan = apply_with(
        state, "{\"task\": \"t\", \"args\": [1], \"kwargs\": {\"a\": 1}, \"immutable\": true}",
        &context);
    is(plan, "messages.0.args", "[1]");
    is(plan, "messages.0.kwargs", "{\"a\": 1}");
    json_decref(context.partial_kwargs);
}

static void options_become_fields_and_routing(void **state)
{
    const json_t *plan = apply(
        state,
        O("t",
          "{\"task_id\": \"mine\", \"queue\": \"q\", \"priority\": 3, \"serializer\": null, "
          "\"countdown\": 1.5, \"expires\": 60, \"shadow\": \"s\", \"headers\": {\"h\": 1}, "
          "\"retries\": 2, \"ignore_result\": true, \"link\": " S(
              "l") ", "
                   "\"link_error\": [" S("e") "], \"reply_to\": \"RT\", \"root_id\": null, "
                                              "\"stamped_headers\": [\"tenant\", \"gone\"], "
                                              "\"tenant\": [\"t1\"]}"));

    is(plan, "messages.0.id", "\"mine\"");
    is(plan, "messages.0.options", "{\"queue\": \"q\", \"priority\": 3}");
    is(plan, "messages.0.eta", "1700000001500000");
    is(plan, "messages.0.expires", "1700000060000000");
    is(plan, "messages.0.shadow", "\"s\"");
    is(plan, "messages.0.headers", "{\"h\": 1}");
    is(plan, "messages.0.retries", "2");
    is(plan, "messages.0.ignore_result", "true");
    is(plan, "messages.0.callbacks.0.task", "\"l\"");
    is(plan, "messages.0.errbacks.0.task", "\"e\"");
    is(plan, "messages.0.reply_to", "\"RT\"");
    is(plan, "messages.0.root_id", "\"mine\"");
    is(plan, "messages.0.stamped_headers", "[\"tenant\"]");
    is(plan, "messages.0.stamps", "{\"tenant\": [\"t1\"]}");
}

static void times_are_read_in_all_their_forms(void **state)
{
    const struct {
        const char *options, *eta, *expires;
    } cases[] = {
        {"{\"eta\": \"2023-11-14T22:13:21Z\"}", "1700000001000000", "null"},
        {"{\"eta\": {\"__type__\": \"datetime\", \"__value__\": "
         "\"2023-11-14T22:13:21+00:00\"}}",
         "1700000001000000", "null"},
        {"{\"eta\": 1700000001}", "1700000001000000", "null"},
        {"{\"expires\": \"2023-11-14 23:13:21+01:00\"}", "null", "1700000001000000"},
        {"{\"expires\": -1}", "null", "1699999999000000"},
        {"{\"countdown\": 0}", "null", "null"},
        {"{\"countdown\": -2, \"eta\": 5}", "1699999998000000", "null"},
        {"{\"eta\": 5, \"countdown\": 1}", "1700000001000000", "null"},
    };
    char text[300];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *plan;

        snprintf(text, sizeof text, "{\"task\": \"t\", \"options\": %s}", cases[i].options);
        plan = apply(state, text);
        is(plan, "messages.0.eta", cases[i].eta);
        is(plan, "messages.0.expires", cases[i].expires);
    }
}

static void given_options_override_but_not_a_place_or_stamps(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.options =
        test_load("{\"queue\": \"new\", \"priority\": null, \"group_id\": \"other\", "
                  "\"task_id\": \"given\", \"stamped_headers\": [\"x\"], \"x\": 2, "
                  "\"link\": " S("l") "}");
    plan =
        apply_with(state,
                   O("t", "{\"queue\": \"old\", \"priority\": 5, \"group_id\": \"mine\", "
                          "\"task_id\": \"stored\", \"stamped_headers\": [\"x\"], \"x\": 1}"),
                   &context);
    is(plan, "messages.0.options", "{\"queue\": \"new\", \"priority\": 5}");
    is(plan, "messages.0.group", "\"mine\"");
    is(plan, "messages.0.id", "\"given\"");
    is(plan, "messages.0.stamps", "{\"x\": 1}");
    is(plan, "messages.0.callbacks.0.task", "\"l\"");
    json_decref(context.options);
}

/* ---- chains ---- */

static void chain_publishes_the_first_with_the_rest_reversed(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.reply_to = CEL_VIEW("RT");
    plan = apply_with(
        state, CHAIN(A("add", "[1, 2]") ", " A("add", "[3]") ", " A("mul", "[4]")), &context);
    is(plan, "messages.0.id", "\"" ID("03") "\"");
    is(plan, "messages.0.root_id", "\"" ID("03") "\"");
    is(plan, "messages.0.args", "[1, 2]");
    is(plan, "messages.0.chain",
       "[{\"task\": \"mul\", \"args\": [4], \"kwargs\": {}, \"options\": {\"task_id\": \"" ID(
           "01") "\", \"reply_to\": \"RT\"}, \"subtask_type\": null, \"immutable\": false}, "
                 "{\"task\": \"add\", \"args\": [3], \"kwargs\": {}, \"options\": "
                 "{\"task_id\": "
                 "\"" ID("02") "\", \"reply_to\": \"RT\"}, \"subtask_type\": null, "
                               "\"immutable\": false}]");
    is(plan, "result",
       "[[\"" ID("01") "\", [[\"" ID("02") "\", [[\"" ID("03") "\", null], null]], null]], "
                                                               "null]");
    assert_int_equal(json_array_size(at(plan, "messages")), 1);
}

static void chain_gives_its_options_where_they_belong(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.options = test_load("{\"task_id\": \"last\", \"queue\": \"q\", \"countdown\": 1, "
                                "\"link\": " S("l") ", \"link_error\": " S("e") "}");
    context.partial_args = CEL_VIEW("[0]");
    plan = apply_with(state, CHAIN(S("a") ", " S("b") ", " S("c")), &context);
    is(plan, "messages.0.options", "{\"queue\": \"q\"}");
    is(plan, "messages.0.eta", "1700000001000000");
    is(plan, "messages.0.args", "[0]");
    is(plan, "messages.0.callbacks", "null");
    is(plan, "messages.0.errbacks.0.task", "\"e\"");
    is(plan, "messages.0.chain.0.options.task_id", "\"last\"");
    names_are(plan, "messages.0.chain.0.options.link", "l");
    names_are(plan, "messages.0.chain.0.options.link_error", "e");
    absent(plan, "messages.0.chain.1.options.link");
    absent(plan, "messages.0.chain.1.options.queue");
    names_are(plan, "messages.0.chain.1.options.link_error", "e");
    is(plan, "result.0.0", "\"last\"");
    json_decref(context.options);
}

static void nested_chains_are_spliced_and_small_groups_unrolled(void **state)
{
    const json_t *plan = apply(
        state, CHAIN(CHAIN(S("a") ", " S("b")) ", " GROUP(S("c")) ", " CHAIN(GROUP(S("d")))));

    is(plan, "messages.0.task", "\"a\"");
    names_are(plan, "messages.0.chain", "d c b");
    assert_int_equal(json_array_size(at(plan, "chords")), 0);
}

static void group_at_the_end_of_a_chain_stays_a_group(void **state)
{
    const json_t *plan = apply(state, CHAIN(S("a") ", " GROUP(S("b") ", " S("c"))));

    is(plan, "messages.0.chain.0.subtask_type", "\"group\"");
    is(plan, "messages.0.chain.0.options.task_id", "\"" ID("01") "\"");
    names_are(plan, "messages.0.chain.0.kwargs.tasks", "b c");
    is(plan, "messages.0.chain.0.kwargs.tasks.1.options.task_id", "\"" ID("03") "\"");
    absent(plan, "messages.0.chain.0.kwargs.tasks.1.options.group_id");
    is(plan, "result",
       "[[\"" ID("01") "\", [[\"" ID("04") "\", null], null]], "
                                           "[[[\"" ID("02") "\", null], null], [[\"" ID(
                                               "03") "\", null], null]]]");
}

static void group_before_a_step_becomes_a_chord(void **state)
{
    const json_t *plan = apply(state, CHAIN(GROUP(S("a") ", " S("b")) ", " S("c") ", " S("d")));

    names_are(plan, "messages", "a b");
    is(plan, "chords.0.size", "2");
    is(plan, "messages.0.chord.subtask_type", "\"chain\"");
    names_are(plan, "messages.0.chord.kwargs.tasks", "c d");
    is(plan, "messages.0.chord.options.task_id", "\"" ID("01") "\"");
    is(plan, "messages.0.chord.kwargs.tasks.1.options.task_id", "\"" ID("01") "\"");
    is(plan, "result.0.0", "\"" ID("01") "\"");
    is(plan, "result.0.1.0.0", "\"" ID("02") "\"");
    is(plan, "result.0.1.0.1.0.0", "\"" ID("03") "\"");
}

static void chord_in_a_chain_keeps_its_group_id(void **state)
{
    const json_t *plan = apply(state, CHAIN(S("a") ", " GROUP(S("b") ", " S("c")) ", " S("d")));
    const json_t *chord = at(plan, "messages.0.chain.0");

    is(chord, "task", "\"celery.chord\"");
    is(chord, "options.task_id", "\"" ID("02") "\"");
    is(chord, "kwargs.kwargs", "{}");
    is(chord, "kwargs.header.subtask_type", "\"group\"");
    is(chord, "kwargs.header.options.task_id", "\"" ID("02") "\"");
    is(chord, "kwargs.body.options.task_id", "\"" ID("01") "\"");
    absent(chord, "kwargs.header.kwargs.tasks.0.options.group_id");
    is(plan, "result.0.1.0.1.0.0", "\"" ID("05") "\""); /* body, group, a */
    assert_int_equal(json_array_size(at(plan, "chords")), 0);
}

static void steps_after_a_chord_go_into_its_body(void **state)
{
    const json_t *plan = apply(state, CHAIN(CHORD(S("a") ", " S("b"), S("c")) ", " S(
                                          "d") ", " GROUP(S("e") ", " S("f"))));

    names_are(plan, "messages", "a b");
    names_are(plan, "messages.0.chord.kwargs.tasks", "c d");
    names_are(plan, "messages.0.chord.options.chain", "celery.group");
}

static void consecutive_groups_and_steps_fold_into_one_chord(void **state)
{
    const json_t *plan = apply(state, CHAIN(GROUP(S("a") ", " S("b")) ", " S("c") ", " GROUP(
                                          S("d") ", " S("e")) ", " S("f")));

    names_are(plan, "messages", "a b");
    names_are(plan, "messages.0.chord.kwargs.tasks", "c celery.chord");
    is(plan, "messages.0.chord.kwargs.tasks.1.kwargs.body.task", "\"f\"");
    absent(plan, "messages.0.chord.options.chain");
    is(plan, "messages.0.chord.options.task_id", "\"" ID("01") "\"");
}

static void link_error_of_a_chain_reaches_groups_and_bodies(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.options = test_load("{\"link_error\": " S("e") "}");
    plan = apply_with(
        state,
        CHAIN(S("a") ", " CHORD(S("b") ", " S("c"), S("d")) ", " GROUP(S("f") ", " S("g"))),
        &context);
    names_are(plan, "messages.0.chain", "celery.group celery.chord");
    names_are(plan, "messages.0.chain.1.kwargs.body.options.link_error", "e");
    absent(plan, "messages.0.chain.1.kwargs.header.kwargs.tasks.0.options.link_error");
    names_are(plan, "messages.0.chain.0.kwargs.tasks.1.options.link_error", "e");
    json_decref(context.options);
}

/* ---- groups ---- */

static void group_members_share_the_group_and_root_themselves(void **state)
{
    const json_t *plan =
        apply(state, GROUP(S("a") ", " GROUP(S("b") ", " GROUP(S("c"))) ", " S("d")));

    names_are(plan, "messages", "a b c d");
    is(plan, "messages.2.group", "\"" ID("01") "\"");
    is(plan, "messages.2.group_index", "2");
    is(plan, "messages.2.root_id", "\"" ID("04") "\"");
    is(plan, "messages.3.id", "\"" ID("05") "\"");
    is(plan, "result.0", "[\"" ID("01") "\", null]");
    assert_int_equal(json_array_size(at(plan, "result.1")), 4);
    is(plan, "chords", "[]");
}

static void chain_in_a_group_is_placed_by_its_last_step(void **state)
{
    const json_t *plan = apply(state, GROUP(CHAIN(S("a") ", " S("b")) ", " S("c")));

    names_are(plan, "messages", "a c");
    is(plan, "messages.0.group", "null");
    is(plan, "messages.0.group_index", "null");
    is(plan, "messages.0.chain.0.options.group_id", "\"" ID("01") "\"");
    is(plan, "messages.0.chain.0.options.group_index", "0");
    is(plan, "messages.1.group_index", "1");
    is(plan, "messages.0.root_id", "\"" ID("03") "\"");
}

static void empty_group_publishes_nothing(void **state)
{
    const json_t *plan = apply(state, GROUP(""));

    is(plan, "messages", "[]");
    is(plan, "result", "[[\"" ID("01") "\", null], []]");
    plan = apply(state, CHAIN(S("a") ", " GROUP("")));
    is(plan, "messages.0.chain", "null");
}

static void group_options_reach_every_member(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.options =
        test_load("{\"queue\": \"q\", \"task_id\": \"gid\", \"link\": " S("l") "}");
    plan = apply_with(
        state, GROUP(O("a", "{\"queue\": \"own\", \"priority\": 1}") ", " S("b") ", " S("c")),
        &context);
    is(plan, "messages.0.options", "{\"queue\": \"q\", \"priority\": 1}");
    is(plan, "messages.1.options", "{\"queue\": \"q\"}");
    is(plan, "messages.2.options", "{\"queue\": \"q\"}");
    is(plan, "messages.2.group", "\"gid\"");
    names_are(plan, "messages.1.callbacks", "l");
    json_decref(context.options);
}

/* ---- chords ---- */

static void chord_messages_carry_the_body(void **state)
{
    const json_t *plan =
        apply(state, CHORD(A("add", "[1, 2]") ", " A("add", "[3, 4]"), S("sum")));

    names_are(plan, "messages", "add add");
    is(plan, "chords", "[{\"gid\": \"" ID("02") "\", \"size\": 2, \"document\": null}]");
    is(plan, "messages.1.group", "\"" ID("02") "\"");
    is(plan, "messages.1.group_index", "1");
    is(plan, "messages.1.root_id", "\"" ID("04") "\"");
    is(plan, "messages.1.chord",
       "{\"task\": \"sum\", \"args\": [], \"kwargs\": {}, \"options\": {\"task_id\": \"" ID(
           "01") "\"}, \"subtask_type\": null, \"immutable\": false}");
    is(plan, "result",
       "[[\"" ID("01") "\", [[\"" ID("02") "\", null], [[[\"" ID(
           "03") "\", null], null], [[\"" ID("04") "\", null], null]]]], null]");
}

static void parts_of_a_chord_share_one_text(void **state)
{
    cel_canvas_context context = client();
    json_t *signature = test_load(CHORD(S("a") ", " CHAIN(S("x")) ", " S("b"), S("c")));
    cel_plan *plan = NULL;

    (void)state;
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_OK);
    assert_ptr_equal(cel__plan_task(plan, 0)->message.chord.ptr,
                     cel__plan_task(plan, 1)->message.chord.ptr);
    assert_ptr_equal(cel__plan_task(plan, 0)->message.chord.ptr,
                     cel__plan_task(plan, 2)->message.chord.ptr);
    cel__plan_free(plan);
    json_decref(signature);
}

static void chain_in_a_header_counts_once_and_by_its_last_step(void **state)
{
    const json_t *plan = apply(state, CHORD(CHAIN(S("a") ", " S("b")) ", " S("c"), S("d")));

    is(plan, "chords.0.size", "2");
    is(plan, "messages.0.chord", "null");
    is(plan, "messages.0.group", "null");
    is(plan, "messages.0.chain.0.options.chord.task", "\"d\"");
    is(plan, "messages.0.chain.0.options.group_index", "0");
    is(plan, "messages.1.group_index", "1");
    is(plan, "messages.1.chord.task", "\"d\"");
}

static void chord_in_a_header_hands_its_place_to_its_body(void **state)
{
    const json_t *plan =
        apply(state, CHORD(CHORD(S("a") ", " S("b"), S("c")) ", " S("d"), S("e")));

    names_are(plan, "messages", "a b d");
    is(plan, "chords.0.size", "2");
    is(plan, "chords.1.size", "2");
    is(plan, "messages.0.group", "\"" ID("04") "\"");
    is(plan, "messages.0.chord.options.group_id", "\"" ID("02") "\"");
    is(plan, "messages.0.chord.options.group_index", "0");
    is(plan, "messages.0.chord.options.chord.task", "\"e\"");
    is(plan, "messages.2.group", "\"" ID("02") "\"");
    is(plan, "messages.2.group_index", "1");
}

static void groups_in_a_header_are_flattened_in_order(void **state)
{
    const json_t *plan = apply(state, CHORD(GROUP(S("a") ", " S("b")) ", " S("c"), S("d")));

    names_are(plan, "messages", "a b c");
    is(plan, "chords.0.size", "3");
    is(plan, "messages.2.group_index", "2");
    is(plan, "chords.0.document", "null");
}

static void group_at_the_end_of_a_chain_in_a_header_counts_by_member(void **state)
{
    const json_t *plan =
        apply(state, CHORD(CHAIN(S("a") ", " GROUP(S("b") ", " S("c"))) ", " S("d"), S("e")));
    const json_t *group = at(plan, "messages.0.chain.0");

    is(plan, "chords.0.size", "3");
    is(group, "options.task_id", "\"" ID("02") "\""); /* the chord's own group */
    is(group, "options.group_id", "\"" ID("02") "\"");
    is(group, "options.chord.task", "\"e\"");
    is(group, "kwargs.tasks.1.options.group_id", "\"" ID("02") "\"");
    is(group, "kwargs.tasks.1.options.group_index", "1");
    is(plan, "messages.1.group_index", "2");
    is(plan, "chords.0.document.result.0.0", "\"" ID("02") "\"");
    is(plan, "chords.0.document.result.1.0.0.0", "\"" ID("02") "\"");
}

static void chord_with_a_group_as_body(void **state)
{
    const json_t *plan = apply(state, CHORD(S("a") ", " S("b"), GROUP(S("c") ", " S("d"))));

    is(plan, "messages.0.chord.subtask_type", "\"group\"");
    is(plan, "messages.0.chord.options.task_id", "\"" ID("01") "\"");
    is(plan, "messages.0.chord.kwargs.tasks.0.options.task_id", "\"" ID("02") "\"");
    is(plan, "result.0.0", "\"" ID("01") "\"");
    is(plan, "result.0.1.0.0", "\"" ID("04") "\"");
    assert_int_equal(json_array_size(at(plan, "result.1")), 2);
}

static void chord_with_an_empty_header_runs_its_body_at_once(void **state)
{
    const json_t *plan = apply(state, CHORD("", S("c")));

    names_are(plan, "messages", "c");
    is(plan, "messages.0.args", "[[]]");
    is(plan, "messages.0.chord", "null");
    is(plan, "chords", "[]");
    is(plan, "result", "[[\"" ID("01") "\", [[\"" ID("02") "\", null], []]], null]");
    plan = apply(state, CHORD("", CHAIN(S("c") ", " S("d"))));
    is(plan, "messages.0.args", "[[]]");
    is(plan, "messages.0.chain.0.task", "\"d\"");
    is(plan, "messages.0.chain.0.options.task_id", "\"" ID("01") "\"");
}

static void chord_gives_options_to_header_and_body(void **state)
{
    cel_canvas_context context = client();
    const json_t *plan;

    context.partial_args = CEL_VIEW("[9]");
    context.options = test_load("{\"task_id\": \"body\", \"queue\": \"q\", \"countdown\": 5, "
                                "\"link\": " S("l") ", \"link_error\": " S("e") "}");
    plan =
        apply_with(state, CHORD(S("a") ", " S("b"), O("c", "{\"queue\": \"own\"}")), &context);
    is(plan, "messages.0.args", "[9]");
    is(plan, "messages.0.options", "{\"queue\": \"q\"}");
    is(plan, "messages.0.eta", "1700000005000000");
    is(plan, "messages.0.callbacks", "null");
    is(plan, "messages.0.errbacks", "null");
    is(plan, "messages.0.chord.options.queue", "\"q\"");
    absent(plan, "messages.0.chord.options.countdown");
    is(plan, "messages.0.chord.options.task_id", "\"body\"");
    names_are(plan, "messages.0.chord.options.link", "l");
    names_are(plan, "messages.0.chord.options.link_error", "e");
    json_decref(context.options);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_signature_becomes_its_message),
        TEST(partial_arguments_come_first_and_override),
        TEST(options_become_fields_and_routing),
        TEST(times_are_read_in_all_their_forms),
        TEST(given_options_override_but_not_a_place_or_stamps),
        TEST(chain_publishes_the_first_with_the_rest_reversed),
        TEST(chain_gives_its_options_where_they_belong),
        TEST(nested_chains_are_spliced_and_small_groups_unrolled),
        TEST(group_at_the_end_of_a_chain_stays_a_group),
        TEST(group_before_a_step_becomes_a_chord),
        TEST(chord_in_a_chain_keeps_its_group_id),
        TEST(steps_after_a_chord_go_into_its_body),
        TEST(consecutive_groups_and_steps_fold_into_one_chord),
        TEST(link_error_of_a_chain_reaches_groups_and_bodies),
        TEST(group_members_share_the_group_and_root_themselves),
        TEST(chain_in_a_group_is_placed_by_its_last_step),
        TEST(empty_group_publishes_nothing),
        TEST(group_options_reach_every_member),
        TEST(chord_messages_carry_the_body),
        TEST(parts_of_a_chord_share_one_text),
        TEST(chain_in_a_header_counts_once_and_by_its_last_step),
        TEST(chord_in_a_header_hands_its_place_to_its_body),
        TEST(groups_in_a_header_are_flattened_in_order),
        TEST(group_at_the_end_of_a_chain_in_a_header_counts_by_member),
        TEST(chord_with_a_group_as_body),
        TEST(chord_with_an_empty_header_runs_its_body_at_once),
        TEST(chord_gives_options_to_header_and_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
