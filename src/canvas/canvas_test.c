#include <stdlib.h>
#include <time.h>

#include "canvas/canvas.h"
#include "canvas/test_plan.h"
#include "core/jscan.h"
#include "core/mem.h"

#define S(name)                                                                                \
    "{\"task\": \"" name "\", \"args\": [], \"kwargs\": {}, \"options\": {}, "                 \
    "\"subtask_type\": null, \"immutable\": false}"
#define A(name, args)    "{\"task\": \"" name "\", \"args\": " args "}"
#define O(name, options) "{\"task\": \"" name "\", \"options\": " options "}"
#define CHAIN(parts)                                                                           \
    "{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", "                               \
    "\"kwargs\": {\"tasks\": [" parts "]}}"
#define GROUP(parts)                                                                           \
    "{\"task\": \"celery.group\", \"subtask_type\": \"group\", "                               \
    "\"kwargs\": {\"tasks\": [" parts "]}}"
#define CHORD(header, body)                                                                    \
    "{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", "                               \
    "\"kwargs\": {\"kwargs\": {}, \"header\": [" header "], \"body\": " body "}}"

#define ID(n) "00000000-0000-4000-8000-0000000000" n

static unsigned counter;

static cel_canvas_context client(void)
{
    counter = 0;
    return (cel_canvas_context){.new_id = test_new_id, .user = &counter, .now_us = TEST_NOW_US};
}

static cel_canvas_context worker(void)
{
    cel_canvas_context context = client();

    context.root_id = CEL_VIEW("ROOT");
    context.parent_id = CEL_VIEW("PARENT");
    return context;
}

/* Puts the plan as JSON in *state, which teardown frees. */
static const json_t *keep(void **state, const cel_plan *plan)
{
    json_decref(*state);
    *state = test_plan_json(plan);
    return *state;
}

static int teardown(void **state)
{
    json_decref(*state);
    return 0;
}

static const json_t *
apply_with(void **state, const char *text, const cel_canvas_context *context)
{
    json_t *signature = test_load(text);
    json_t *before = json_deep_copy(signature);
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_apply(&plan, signature, context, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    assert_true(json_equal(signature, before));
    json_decref(before);
    json_decref(signature);
    return json;
}

static const json_t *apply(void **state, const char *text)
{
    cel_canvas_context context = client();

    return apply_with(state, text, &context);
}

static const json_t *follow(void **state, const cel_task_body *body, const char *result)
{
    cel_canvas_context context = worker();
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_follow(&plan, body, cel__view(result), &context, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    return json;
}

/* Returns what a path such as "messages.0.id" leads to; NULL if nowhere. */
static const json_t *at(const json_t *json, const char *path)
{
    char copy[200], *save = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save))
        json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
    return json;
}

static void is(const json_t *json, const char *path, const char *expected)
{
    json_t *want = test_load(expected);
    const json_t *have = at(json, path);

    if (!json_equal(have, want)) {
        char *text = json_dumps(have, JSON_ENCODE_ANY);

        fail_msg("%s is %s, not %s", path, text, expected);
    }
    json_decref(want);
}

static void absent(const json_t *json, const char *path)
{
    if (at(json, path))
        fail_msg("%s is there", path);
}

/* The member `task` of the elements, as one text. */
static void names_are(const json_t *json, const char *path, const char *expected)
{
    const json_t *array = at(json, path);
    char text[400] = "";
    size_t len = 0;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *task = json_object_get(json_array_get(array, i), "task");

        len += (size_t)snprintf(text + len, sizeof text - len, i ? " %s" : "%s",
                                json_string_value(task));
    }
    assert_string_equal(text, expected);
}

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
    is(plan, "chords.0.document.0.0", "\"" ID("02") "\"");
    is(plan, "chords.0.document.1.0.0.0", "\"" ID("02") "\"");
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
    int calls = 0;

    (void)state;
    victims[0] = '\0';
    assert_int_equal(
        cel__canvas_victims(
            CEL_VIEW(
                "[{\"task\": \"celery.group\", \"subtask_type\": \"group\", \"options\": "
                "{\"task_id\": \"G\", \"chord\": " S("e") "}, \"kwargs\": {\"tasks\": [" O("a", "{\"task_id\": \"I1\", \"group_index\": 1}") "]}}, " CHORD(
                    S("h"),
                    O("b",
                      "{\"task_id\": \"I2\", \"chain\": [" O(
                          "c",
                          "{\"task_id\": \"I3\"}") "]}")) ", " S("noid") ", " O("d",
                                                                                "{\"task_id\": "
                                                                                "\"I4\", "
                                                                                "\"group_id\": "
                                                                                "\"H\", "
                                                                                "\"chord\": " S(
                                                                                    "f") ", "
                                                                                         "\"gro"
                                                                                         "up_"
                                                                                         "index"
                                                                                         "\": "
                                                                                         "0}") "]"),
            note, NULL, NULL),
        CEL_OK);
    assert_string_equal(victims, "I4/H/0/chord I2//-1 I3//-1 I1/G/1/chord ");
    assert_int_equal(cel__canvas_victims(CEL_VIEW("[" O("a", "{\"task_id\": \"1\"}") ", " O(
                                             "b", "{\"task_id\": \"2\"}") "]"),
                                         note, &calls, NULL),
                     CEL_EFULL);
    assert_int_equal(calls, 2);
}

/* ---- nonsense ---- */

static void nonsense_is_named(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "an array, not an object"},
        {"{}", "task of a signature is missing"},
        {"{\"task\": 5}", "task of a signature is a number"},
        {"{\"task\": \"\"}", "empty name"},
        {"{\"task\": \"t\", \"args\": 5}", "args of 't' is a number"},
        {"{\"task\": \"t\", \"kwargs\": []}", "kwargs of 't' is an array"},
        {"{\"task\": \"t\", \"options\": 1}", "options of 't' are a number"},
        {"{\"task\": \"t\", \"immutable\": 1}", "immutable of 't'"},
        {"{\"task\": \"t\", \"subtask_type\": \"swarm\"}", "'swarm' is not known"},
        {O("t", "{\"task_id\": 5}"), "option 'task_id' of 't' is a number"},
        {O("t", "{\"link\": [1]}"), "option 'link' of 't' is a number, not a signature"},
        {O("t", "{\"link_error\": 1}"), "'link_error'"},
        {O("t", "{\"chord\": []}"), "'chord'"},
        {O("t", "{\"chain\": {\"a\": 1}}"), "'chain'"},
        {O("t", "{\"group_index\": -1}"), "'group_index'"},
        {O("t", "{\"eta\": \"\"}"), "'eta' of 't' is no time"},
        {O("t", "{\"eta\": {\"__type__\": \"datetime\"}}"), "'eta' of 't' is no time"},
        {O("t", "{\"expires\": \"soon\"}"), "'expires'"},
        {O("t", "{\"expires\": 1e300}"), "'expires'"},
        {O("t", "{\"countdown\": \"1\"}"), "'countdown'"},
        {O("t", "{\"time_limit\": -1}"), "'time_limit'"},
        {O("t", "{\"queue\": {}}"), "'queue' of 't' is no string"},
        {O("t", "{\"priority\": 256}"), "'priority'"},
        {O("t", "{\"headers\": []}"), "'headers'"},
        {O("t", "{\"retries\": -1}"), "'retries'"},
        {O("t", "{\"ignore_result\": 1}"), "'ignore_result'"},
        {O("t", "{\"delivery_mode\": 3}"), "'delivery_mode'"},
        {O("t", "{\"stamped_headers\": 3}"), "'stamped_headers'"},
        {CHAIN(""), "a chain has no tasks"},
        {CHAIN("5"), "a signature is a number"},
        {"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\"}",
         "kwargs of 'celery.chain'"},
        {"{\"task\": \"celery.group\", \"subtask_type\": \"group\", \"kwargs\": {}}",
         "tasks of"},
        {"{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", \"kwargs\": {}}",
         "header of"},
        {CHORD(S("a"), "null"), "a chord has no body"},
        {CHORD(S("a"), "[]"), "a signature is an array"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_canvas_context context = client();
        json_t *signature = test_load(cases[i].text);
        cel_error err = {0};
        cel_plan *plan = NULL;

        assert_int_equal(cel__canvas_apply(&plan, signature, &context, &err), CEL_EINVAL);
        if (!strstr(err.message, cases[i].message))
            fail_msg("'%s' says nothing of %s", err.message, cases[i].message);
        assert_null(plan);
        json_decref(signature);
    }
}

static void texts_that_are_no_json_are_refused(void **state)
{
    static const char *const texts[] = {"", "[", "{", "5", "\"x\"", "{}", "[5]", "[{}]", "nul"};
    cel_canvas_context context = worker();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cel_task_body body = {.chain = cel__view(texts[i])};
        cel_error err = {0};
        cel_plan *plan = NULL;

        assert_int_equal(cel__canvas_follow(&plan, &body, CEL_VIEW("1"), &context, &err),
                         CEL_EINVAL);
        assert_true(err.message[0] != '\0');
        assert_int_equal(cel__canvas_victims(body.chain, note, NULL, &err), CEL_EINVAL);
        assert_int_equal(
            cel__canvas_chord_body(&plan, body.chain, CEL_VIEW("[]"), &context, &err),
            CEL_EINVAL);
    }
}

/* Returns a chord whose headers are chords, `depth` deep. */
static json_t *deep_chord(int depth)
{
    json_t *signature = test_load(S("t"));

    for (int i = 1; i < depth; i++) {
        json_t *body = test_load(S("b"));

        signature =
            json_pack("{s:s, s:s, s:{s:[o], s:o}}", "task", "celery.chord", "subtask_type",
                      "chord", "kwargs", "header", signature, "body", body);
    }
    return signature;
}

static void nesting_is_bounded_and_what_is_made_can_be_read(void **state)
{
    cel_canvas_context context = client();
    cel_error err = {0};
    cel_plan *plan = NULL;
    json_t *signature = deep_chord(65);

    (void)state;
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, &err), CEL_EINVAL);
    assert_non_null(strstr(err.message, "deeper than 64"));
    json_decref(signature);

    signature = deep_chord(63);
    signature = json_pack("{s:s, s:s, s:{s:[o, o]}}", "task", "celery.chain", "subtask_type",
                          "chain", "kwargs", "tasks", test_load(S("first")), signature);
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, &err), CEL_OK);
    for (size_t i = 0; i < cel__plan_task_count(plan); i++) {
        const cel_task_message *message = &cel__plan_task(plan, i)->message;
        cel_jvalue value;

        if (message->chain.ptr && cel__jscan_value(&value, message->chain, &err) != CEL_OK)
            fail_msg("%s", err.message);
    }
    cel__plan_free(plan);
    json_decref(signature);
}

static void long_chain_has_a_readable_handle(void **state)
{
    cel_canvas_context context = client();
    json_t *tasks = json_array();
    json_t *signature;
    cel_plan *plan = NULL;
    cel_jvalue value;

    (void)state;
    for (int i = 0; i < 5000; i++)
        json_array_append_new(tasks, test_load(S("t")));
    signature = json_pack("{s:s, s:s, s:{s:o}}", "task", "celery.chain", "subtask_type",
                          "chain", "kwargs", "tasks", tasks);
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_OK);
    assert_int_equal(cel__jscan_value(&value, cel__plan_result(plan), NULL), CEL_OK);
    assert_int_equal(cel__jscan_value(&value, cel__plan_task(plan, 0)->message.chain, NULL),
                     CEL_OK);
    cel__plan_free(plan);
    json_decref(signature);
}

static void too_many_options_are_refused(void **state)
{
    cel_canvas_context context = client();
    json_t *signature = test_load(S("t"));
    json_t *options = json_object_get(signature, "options");
    cel_plan *plan = NULL;
    char key[20];

    (void)state;
    for (int i = 0; i < 257; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_object_set_new(options, key, json_integer(i));
    }
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_EINVAL);
    json_object_del(options, "k7");
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_OK);
    cel__plan_free(plan);
    json_decref(signature);
}

/* ---- mutation ---- */

static const char *const seeds[] = {
    CHAIN(S("a") ", " GROUP(S("b") ", " S("c")) ", " O("d",
                                                       "{\"link\": " S("l") ", \"eta\": 5}")),
    CHORD(CHAIN(S("a") ", " GROUP(S("b") ", " S("c"))) ", " S("d"), CHAIN(S("e") ", " S("f"))),
    CHORD(CHORD(S("a"), GROUP(S("x") ", " S("y"))) ", " S("d"),
          O("e",
            "{\"task_id\": \"I\", \"chain\": [" S(
                "z") "], \"stamped_headers\": [\"s\"], \"s\": 1}")),
    GROUP(
        O("a", "{\"queue\": \"q\", \"countdown\": 1, \"expires\": \"2030-01-01\"}") ", " CHAIN(
            GROUP(S("b")) ", " CHORD(S("g") ", " S("h"), S("i")) ", " S("k"))),
};

static uint64_t rnd_state = 42;

static unsigned rnd(unsigned n)
{
    rnd_state = rnd_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(rnd_state >> 33) % n;
}

static json_t *odd_value(void)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "0",
                                         "-1",
                                         "1.5",
                                         "\"\"",
                                         "\"x\"",
                                         "[]",
                                         "{}",
                                         "[null]",
                                         "{\"a\": null}",
                                         "\"celery.chord\"",
                                         "\"chord\"",
                                         "\"group\"",
                                         "\"chain\"",
                                         S("odd"),
                                         "9223372036854775807"};

    return test_load(values[rnd(sizeof values / sizeof *values)]);
}

/* Changes one random member somewhere below. */
static void mutate(json_t *json)
{
    void *iter = json_object_iter(json);
    size_t count = json_is_object(json) ? json_object_size(json) : json_array_size(json);
    size_t pick;
    json_t *member;

    if (count == 0)
        return;
    pick = rnd((unsigned)count);
    for (size_t i = 0; i < pick && json_is_object(json); i++)
        iter = json_object_iter_next(json, iter);
    member = json_is_object(json) ? json_object_iter_value(iter) : json_array_get(json, pick);
    if ((json_is_object(member) || json_is_array(member)) && rnd(5) > 0) {
        mutate(member);
    } else if (json_is_object(json)) {
        if (rnd(4) == 0)
            json_object_del(json, json_object_iter_key(iter));
        else
            json_object_iter_set_new(json, iter, odd_value());
    } else if (rnd(4) == 0) {
        json_array_remove(json, pick);
    } else {
        json_array_set_new(json, pick, odd_value());
    }
}

/* All that a hostile text can reach. */
static void follow_text(const char *text, const cel_canvas_context *context)
{
    cel_view view = cel__view(text);
    cel_task_body body = {.callbacks = view, .chain = view};
    cel_error err = {0};
    cel_plan *plan = NULL;

    if (cel__canvas_follow(&plan, &body, CEL_VIEW("[1]"), context, &err) == CEL_OK)
        cel__plan_free(plan);
    if (cel__canvas_errbacks(&plan, view, CEL_VIEW("I"), context, &err) == CEL_OK)
        cel__plan_free(plan);
    if (cel__canvas_chord_body(&plan, view, CEL_VIEW("[2]"), context, &err) == CEL_OK)
        cel__plan_free(plan);
    cel__canvas_victims(view, note, NULL, &err);
}

static void mutated_signatures_never_crash(void **state)
{
    int sent = 0, refused = 0;

    (void)state;
    for (int round = 0; round < 6000; round++) {
        cel_canvas_context context = round % 2 ? worker() : client();
        json_t *signature = test_load(seeds[round % 4]);
        json_t *list = json_pack("[O, O]", signature, signature);
        cel_error err = {0};
        cel_plan *plan = NULL;
        char *text;

        for (unsigned n = rnd(4) + 1; n > 0; n--)
            mutate(signature);
        victims[0] = '\0';
        if (cel__canvas_apply(&plan, signature, &context, &err) == CEL_OK) {
            json_decref(test_plan_json(plan)); /* every text is JSON */
            sent++;
            cel__plan_free(plan);
        } else {
            assert_int_equal(err.code, CEL_EINVAL);
            refused++;
        }
        text = json_dumps(list, 0);
        follow_text(text, &context);
        follow_text(strchr(text, '{') ? strchr(text, '{') : "", &context);
        if (text[0]) { /* bytes too */
            text[rnd((unsigned)strlen(text))] = (char)(rnd(255) + 1);
            follow_text(text, &context);
        }
        free(text);
        json_decref(list);
        json_decref(signature);
    }
    assert_true(sent > 500);
    assert_true(refused > 500);
}

static void no_memory_is_an_error_wherever_it_ends(void **state)
{
    json_t *options =
        test_load("{\"queue\": \"q\", \"link_error\": " S("e") ", \"stamped_headers\": "
                                                               "[\"s\"], \"s\": 1}");

    (void)state;
    for (size_t seed = 0; seed < sizeof seeds / sizeof *seeds; seed++) {
        json_t *signature = test_load(seeds[seed]);
        char *text = json_dumps(signature, 0);
        char chain[3000];
        cel_code code = CEL_ENOMEM;

        snprintf(chain, sizeof chain, "[%s, %s]", S("z"), text);
        for (size_t n = 1; code != CEL_OK; n++) {
            cel_canvas_context context = client();
            cel_plan *plan = NULL;
            cel_error err = {0};

            context.options = options;
            cel__mem_fail_at(n);
            code = cel__canvas_apply(&plan, signature, &context, &err);
            cel__mem_fail_at(0);
            if (code != CEL_OK)
                assert_int_equal(err.code, CEL_ENOMEM);
            else
                cel__plan_free(plan);
            assert_true(n < 1000);
        }
        code = CEL_ENOMEM;
        for (size_t n = 1; code != CEL_OK; n++) {
            cel_canvas_context context = worker();
            cel_task_body body = {.callbacks = cel__view(chain), .chain = cel__view(chain)};
            cel_plan *plan = NULL;

            cel__mem_fail_at(n);
            code = cel__canvas_follow(&plan, &body, CEL_VIEW("1"), &context, NULL);
            cel__mem_fail_at(0);
            if (code != CEL_OK)
                assert_int_equal(code, CEL_ENOMEM);
            else
                cel__plan_free(plan);
            assert_true(n < 1000);
        }
        free(text);
        json_decref(signature);
    }
    json_decref(options);
}

/* ---- size ---- */

static double seconds_of(int parts)
{
    cel_canvas_context context = {.now_us = TEST_NOW_US};
    json_t *header = json_array();
    json_t *signature;
    cel_plan *plan = NULL;
    struct timespec from, to;

    for (int i = 0; i < parts; i++)
        json_array_append_new(header, json_pack("{s:s, s:[i, i], s:{}, s:{}, s:n, s:b}", "task",
                                                "tasks.add", "args", i, i + 1, "kwargs",
                                                "options", "subtask_type", "immutable", 0));
    signature =
        json_pack("{s:s, s:s, s:{s:o, s:o}}", "task", "celery.chord", "subtask_type", "chord",
                  "kwargs", "header", header, "body", test_load(S("tasks.sum")));
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_OK);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(cel__plan_task_count(plan), parts);
    assert_int_equal(cel__plan_chord(plan, 0)->size, parts);
    assert_ptr_equal(cel__plan_task(plan, 0)->message.chord.ptr,
                     cel__plan_task(plan, (size_t)parts - 1)->message.chord.ptr);
    cel__plan_free(plan);
    json_decref(signature);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void chord_of_fifty_thousand_parts_is_linear(void **state)
{
    double small, large;

    (void)state;
    seconds_of(1000);
    small = seconds_of(5000) / 5000;
    large = seconds_of(50000) / 50000;
    print_message("%.2f us per part of 5,000, %.2f of 50,000\n", small * 1e6, large * 1e6);
    assert_true(large < small * 5); /* generous: other tests run beside this one */
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
        TEST(nothing_to_follow_costs_no_memory),
        TEST(chain_goes_on_with_the_last_element),
        TEST(what_c_cannot_hold_passes_through),
        TEST(one_callback_goes_alone_several_as_a_group),
        TEST(chord_as_next_step_writes_the_rest_into_its_body),
        TEST(group_with_a_chord_is_sent_without_a_new_size),
        TEST(errbacks_get_the_failed_id_in_one_group),
        TEST(chord_body_gets_the_list_of_results),
        TEST(victims_are_all_that_would_have_run),
        TEST(nonsense_is_named),
        TEST(texts_that_are_no_json_are_refused),
        TEST(nesting_is_bounded_and_what_is_made_can_be_read),
        TEST(long_chain_has_a_readable_handle),
        TEST(too_many_options_are_refused),
        TEST(mutated_signatures_never_crash),
        TEST(no_memory_is_an_error_wherever_it_ends),
        TEST(chord_of_fifty_thousand_parts_is_linear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
