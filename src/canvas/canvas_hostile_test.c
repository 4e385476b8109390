/* canvas_hostile_test.c - nonsense, mutation, no memory, and sizes. */
#include <time.h>

#include "canvas/canvas.h"
#include "canvas/test_plan.h"
#include "core/jscan.h"
#include "core/mem.h"

static cel_code note(void *user, const cel_canvas_victim *victim)
{
    (void)user;
    assert_non_null(victim->task_id.ptr);
    return CEL_OK;
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
    for (int round = 0; round < 3000; round++) {
        cel_canvas_context context = round % 2 ? worker() : client();
        json_t *signature = test_load(seeds[round % 4]);
        json_t *list = json_pack("[O, O]", signature, signature);
        cel_error err = {0};
        cel_plan *plan = NULL;
        char *text;

        for (unsigned n = rnd(4) + 1; n > 0; n--)
            mutate(signature);
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
    assert_true(sent > 250);
    assert_true(refused > 250);
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
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    assert_int_equal(cel__canvas_apply(&plan, signature, &context, NULL), CEL_OK);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
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
