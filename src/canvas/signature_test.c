#include <stdlib.h>

#include "canvas/test_plan.h"
#include "celeriac/signature.h"
#include "core/mem.h"

/* Checks the JSON form and frees the signature. */
static void form_is(cel_signature *signature, const char *expected)
{
    json_t *want = test_load(expected);
    const json_t *json = cel_signature_json(signature);

    if (!json_equal(json, want)) {
        char *text = json_dumps(json, JSON_ENCODE_ANY);

        fail_msg("%s\nis not\n%s", text ? text : "NULL", expected);
    }
    json_decref(want);
    cel_signature_free(signature);
}

#define REST  "\"options\": {}, \"subtask_type\": null, \"immutable\": false}"
#define SIG_A "{\"task\": \"a\", \"args\": [], \"kwargs\": {}, " REST
#define SIG_B "{\"task\": \"b\", \"args\": [], \"kwargs\": {}, " REST
#define LINKED(key)                                                                            \
    "{\"task\": \"a\", \"args\": [], \"kwargs\": {}, \"options\": {\"" key "\": [" SIG_B       \
    "]}, \"subtask_type\": null, \"immutable\": false}"

static void signature_has_all_six_members(void **state)
{
    (void)state;
    form_is(cel_signature_new("a", NULL, NULL), SIG_A);
    form_is(cel_sig("add", "[i,i]", 2, 3),
            "{\"task\": \"add\", \"args\": [2, 3], \"kwargs\": {}, " REST);
    form_is(cel_signature_new("a", NULL, json_pack("{s:i}", "x", 1)),
            "{\"task\": \"a\", \"args\": [], \"kwargs\": {\"x\": 1}, " REST);
}

static void canvas_has_the_shape_of_celery(void **state)
{
    (void)state;
    form_is(CEL_CHAIN(cel_sig("a", NULL), cel_sig("b", NULL)),
            "{\"task\":\"celery.chain\",\"args\":[],\"kwargs\":{\"tasks\":[" SIG_A ", " SIG_B
            "]},\"options\":{},\"subtask_type\":\"chain\",\"immutable\":false}");
    form_is(CEL_GROUP(cel_sig("a", NULL), cel_sig("b", NULL)),
            "{\"task\":\"celery.group\",\"args\":[],\"kwargs\":{\"tasks\":[" SIG_A ", " SIG_B
            "]},\"options\":{},\"subtask_type\":\"group\",\"immutable\":false}");
    form_is(
        CEL_CHORD(CEL_GROUP(cel_sig("a", NULL), cel_sig("b", NULL)), cel_sig("b", NULL)),
        "{\"task\":\"celery.chord\",\"args\":[],\"kwargs\":{\"kwargs\":{},\"header\":[" SIG_A
        ", " SIG_B "],\"body\":" SIG_B
        "},\"options\":{},\"subtask_type\":\"chord\",\"immutable\":false}");
    form_is(
        CEL_CHORD(cel_sig("a", NULL), cel_sig("b", NULL)),
        "{\"task\":\"celery.chord\",\"args\":[],\"kwargs\":{\"kwargs\":{},\"header\":[" SIG_A
        "],\"body\":" SIG_B "},\"options\":{},\"subtask_type\":\"chord\",\"immutable\":false}");
    form_is(cel_group(0, NULL),
            "{\"task\":\"celery.group\",\"args\":[],\"kwargs\":{\"tasks\":[]},\"options\":{},"
            "\"subtask_type\":\"group\",\"immutable\":false}");
}

static void maps_and_chunks_have_the_shape_of_celery(void **state)
{
    (void)state;
    form_is(cel_map("a", json_pack("[i,i]", 1, 2)),
            "{\"task\":\"celery.map\",\"args\":[],\"kwargs\":{\"task\":" SIG_A
            ",\"it\":[1,2]},\"options\":{},\"subtask_type\":null,\"immutable\":true}");
    form_is(cel_chunks("a", json_pack("[[i],[i],[i]]", 1, 2, 3), 2),
            "{\"task\":\"celery.group\",\"args\":[],\"kwargs\":{\"tasks\":["
            "{\"task\":\"celery.starmap\",\"args\":[],\"kwargs\":{\"task\":" SIG_A
            ",\"it\":[[1],[2]]},\"options\":{},\"subtask_type\":null,\"immutable\":true},"
            "{\"task\":\"celery.starmap\",\"args\":[],\"kwargs\":{\"task\":" SIG_A
            ",\"it\":[[3]]},\"options\":{},\"subtask_type\":null,\"immutable\":true}"
            "]},\"options\":{},\"subtask_type\":\"group\",\"immutable\":false}");
    assert_null(cel_chunks("a", json_array(), 0));
    assert_null(cel_map("a", json_object()));
    cel_signature_free(cel_chunks("a", json_pack("[[i]]", 1), SIZE_MAX));
}

static void options_are_set_and_removed(void **state)
{
    cel_signature *signature = cel_sig("a", NULL);

    (void)state;
    signature = cel_signature_set(signature, "queue", json_string("q"));
    assert_string_equal(
        json_string_value(json_object_get(
            json_object_get(cel_signature_json(signature), "options"), "queue")),
        "q");
    form_is(cel_signature_set(signature, "queue", NULL), SIG_A);
    assert_null(cel_signature_set(NULL, "queue", json_string("q")));
    assert_null(cel_signature_set(cel_sig("a", NULL), NULL, json_string("q")));
}

static void immutable_reaches_the_members_of_groups_and_headers(void **state)
{
    cel_signature *signature =
        cel_signature_immutable(CEL_CHORD(CEL_GROUP(cel_sig("a", NULL)), cel_sig("b", NULL)));
    const json_t *kwargs = json_object_get(cel_signature_json(signature), "kwargs");

    (void)state;
    assert_true(json_is_true(
        json_object_get(json_array_get(json_object_get(kwargs, "header"), 0), "immutable")));
    assert_true(json_is_false(json_object_get(json_object_get(kwargs, "body"), "immutable")));
    assert_true(json_is_false(json_object_get(cel_signature_json(signature), "immutable")));
    cel_signature_free(signature);
    assert_null(cel_signature_immutable(NULL));
}

static void links_go_where_the_canvas_ends(void **state)
{
    (void)state;
    form_is(cel_signature_link(cel_sig("a", NULL), cel_sig("b", NULL)), LINKED("link"));
    form_is(cel_signature_link(cel_signature_link(cel_sig("a", NULL), cel_sig("b", NULL)),
                               cel_sig("b", NULL)),
            LINKED("link"));
    form_is(
        cel_signature_link_error(CEL_GROUP(cel_sig("a", NULL)), cel_sig("b", NULL)),
        "{\"task\":\"celery.group\",\"args\":[],\"kwargs\":{\"tasks\":[" LINKED(
            "link_error") "]},\"options\":{},\"subtask_type\":\"group\",\"immutable\":false}");
    form_is(
        cel_signature_link(CEL_CHORD(cel_sig("b", NULL), cel_sig("a", NULL)),
                           cel_sig("b", NULL)),
        "{\"task\":\"celery.chord\",\"args\":[],\"kwargs\":{\"kwargs\":{},\"header\":[" SIG_B
        "],\"body\":" LINKED(
            "link") "},\"options\":{},\"subtask_type\":\"chord\",\"immutable\":false}");
}

static void nonsense_gives_null_and_leaks_nothing(void **state)
{
    (void)state;
    assert_null(cel_signature_new("", NULL, NULL));
    assert_null(cel_signature_new(NULL, json_array(), json_object()));
    assert_null(cel_signature_new("a", json_object(), NULL));
    assert_null(cel_signature_new("a", NULL, json_array()));
    assert_null(cel_signature_new("\xff", NULL, NULL));
    assert_null(cel_sig("a", "[i", 1));
    assert_null(cel_sig("a", "{s:i}", "x", 1));
    assert_null(CEL_CHAIN(cel_sig("a", NULL), NULL, cel_sig("b", NULL)));
    assert_null(cel_chord(cel_sig("a", NULL), NULL));
    assert_null(cel_chord(NULL, cel_sig("a", NULL)));
    assert_null(cel_signature_link(NULL, cel_sig("b", NULL)));
    assert_null(cel_signature_link(cel_sig("b", NULL), NULL));
    assert_null(cel_signature_copy(NULL));
    assert_null(cel_signature_json(NULL));
    cel_signature_free(NULL);
}

static void copy_is_deep(void **state)
{
    cel_signature *signature = cel_sig("a", NULL);
    cel_signature *copy = cel_signature_copy(signature);

    (void)state;
    copy = cel_signature_immutable(copy);
    form_is(signature, SIG_A);
    cel_signature_free(copy);
}

static void json_form_is_completed_and_checked(void **state)
{
    static const char *const bad[] = {"[]",
                                      "{}",
                                      "{\"task\": 5}",
                                      "{\"task\": \"\"}",
                                      "{\"task\": \"a\", \"args\": {}}",
                                      "{\"task\": \"a\", \"args\": false}",
                                      "{\"task\": \"a\", \"kwargs\": []}",
                                      "{\"task\": \"a\", \"options\": 5}",
                                      "{\"task\": \"a\", \"subtask_type\": 5}",
                                      "{\"task\": \"a\", \"immutable\": \"yes\"}"};
    cel_signature *signature = NULL;
    cel_error err = {0};
    json_t *json = test_load("{\"task\": \"a\", \"args\": null}");

    (void)state;
    assert_int_equal(cel_signature_from_json(&signature, json, &err), CEL_OK);
    form_is(signature, SIG_A);
    json_decref(json);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json = test_load(bad[i]);
        signature = NULL;
        assert_int_equal(cel_signature_from_json(&signature, json, &err), CEL_EINVAL);
        assert_null(signature);
        json_decref(json);
    }
    assert_int_equal(cel_signature_from_json(&signature, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_signature_from_json(NULL, NULL, &err), CEL_EINVAL);
}

static void partial_arguments_go_in_front(void **state)
{
    cel_signature *signature = cel_signature_partial(
        cel_sig("a", "[i]", 3), json_pack("[i, i]", 1, 2), json_pack("{s:i}", "k", 4));
    json_t *want = json_pack("[i, i, i]", 1, 2, 3);
    const json_t *json = cel_signature_json(signature);

    (void)state;
    assert_true(json_equal(json_object_get(json, "args"), want));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "kwargs"), "k")),
                     4);
    signature =
        cel_signature_partial(cel_signature_immutable(signature), json_pack("[i]", 9), NULL);
    assert_true(json_equal(json_object_get(cel_signature_json(signature), "args"), want));
    cel_signature_free(signature);
    signature = CEL_CHAIN(CEL_GROUP(cel_sig("a", "[i]", 3), cel_sig("b", "[i]", 3)),
                          cel_sig("c", NULL));
    signature = cel_signature_partial(signature, json_pack("[i, i]", 1, 2), NULL);
    json = cel_signature_json(signature);
    json = json_object_get(json_object_get(json, "kwargs"), "tasks");
    assert_int_equal(json_array_size(json_object_get(json_array_get(json, 1), "args")), 0);
    json = json_object_get(json_object_get(json_array_get(json, 0), "kwargs"), "tasks");
    assert_true(json_equal(json_object_get(json_array_get(json, 1), "args"), want));
    cel_signature_free(signature);
    assert_null(cel_signature_partial(NULL, json_array(), json_object()));
    assert_null(cel_signature_partial(cel_sig("a", NULL), json_object(), NULL));
    json_decref(want);
}

static void no_memory_gives_null(void **state)
{
    bool done = false;

    (void)state;
    for (size_t n = 1; !done; n++) {
        cel_signature *signature;

        cel__mem_fail_at(n);
        signature = cel_signature_link(
            CEL_CHORD(CEL_GROUP(cel_sig("a", NULL), cel_sig("b", NULL)), cel_sig("c", NULL)),
            cel_sig("d", NULL));
        cel__mem_fail_at(0);
        done = signature != NULL;
        cel_signature_free(signature);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signature_has_all_six_members),
        cmocka_unit_test(canvas_has_the_shape_of_celery),
        cmocka_unit_test(maps_and_chunks_have_the_shape_of_celery),
        cmocka_unit_test(options_are_set_and_removed),
        cmocka_unit_test(immutable_reaches_the_members_of_groups_and_headers),
        cmocka_unit_test(links_go_where_the_canvas_ends),
        cmocka_unit_test(nonsense_gives_null_and_leaks_nothing),
        cmocka_unit_test(copy_is_deep),
        cmocka_unit_test(json_form_is_completed_and_checked),
        cmocka_unit_test(partial_arguments_go_in_front),
        cmocka_unit_test(no_memory_gives_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
