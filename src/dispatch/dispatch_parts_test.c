/* dispatch_parts_test.c - ids that follow from a request, what is remembered, jobs read from result tuples, flows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/test_support.h"
#include "celeriac/flow.h"
#include "core/mem.h"
#include "dispatch/ids.h"
#include "dispatch/impl.h"
#include "dispatch/memory.h"

/* ---- ids ---- */

static void ids_are_those_of_pythons_uuid5(void **state)
{
    char id[CEL_UUID_LEN + 1];

    (void)state;
    assert_true(cel__dispatch_id(id, CEL_VIEW("abc"), 0));
    assert_string_equal(id, "dfa952da-a7bd-5e7a-bb6d-db376dbac2ad");
    assert_true(cel__dispatch_id(id, CEL_VIEW("abc"), 1));
    assert_string_equal(id, "c82b0de5-60b4-5bbd-8f1c-b88da43c95c5");
    assert_true(cel__dispatch_id(id, CEL_VIEW("\xc3\xa9"), 12345678901));
    assert_string_equal(id, "ce491835-0e07-58c2-8312-327cdb067ab5");
}

static void the_digest_is_sha256(void **state)
{
    char digest[CEL_DIGEST_LEN + 1];

    (void)state;
    assert_true(cel__dispatch_digest(digest, CEL_VIEW("abc")));
    assert_string_equal(digest,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- memory ---- */

static void what_is_remembered_is_found_until_too_much_came_after_it(void **state)
{
    cel_dispatch_memory memory = {0};

    (void)state;
    assert_null(cel__dispatch_memory_get(&memory, CEL_VIEW("a")).ptr);
    cel__dispatch_memory_put(&memory, CEL_VIEW("a"), CEL_VIEW("one"));
    cel__dispatch_memory_put(&memory, CEL_VIEW("b"), CEL_VIEW(""));
    assert_view(cel__dispatch_memory_get(&memory, CEL_VIEW("a")), "one");
    assert_int_equal(cel__dispatch_memory_get(&memory, CEL_VIEW("b")).len, 0);
    cel__dispatch_memory_put(&memory, CEL_VIEW("a"), CEL_VIEW("two")); /* now the newest */
    assert_view(cel__dispatch_memory_get(&memory, CEL_VIEW("a")), "two");
    for (int i = 0; i < CEL_MEMORY_MAX - 1; i++) {
        char key[16];

        snprintf(key, sizeof key, "%d", i);
        cel__dispatch_memory_put(&memory, cel__view(key), CEL_VIEW("x"));
    }
    assert_null(cel__dispatch_memory_get(&memory, CEL_VIEW("b")).ptr);
    assert_view(cel__dispatch_memory_get(&memory, CEL_VIEW("a")), "two");
    cel__dispatch_memory_put(&memory, CEL_VIEW("last"), CEL_VIEW("x"));
    assert_null(cel__dispatch_memory_get(&memory, CEL_VIEW("a")).ptr);
    cel__dispatch_memory_done(&memory);
}

static void without_memory_nothing_is_remembered(void **state)
{
    cel_dispatch_memory memory = {0};

    (void)state;
    cel__mem_fail_at(1);
    cel__dispatch_memory_put(&memory, CEL_VIEW("a"), CEL_VIEW("one"));
    assert_null(cel__dispatch_memory_get(&memory, CEL_VIEW("a")).ptr);
    cel__mem_fail_at(2); /* the table */
    cel__dispatch_memory_put(&memory, CEL_VIEW("a"), CEL_VIEW("one"));
    cel__mem_fail_at(0);
    assert_null(cel__dispatch_memory_get(&memory, CEL_VIEW("a")).ptr);
    cel__dispatch_memory_done(&memory);
}

/* ---- jobs ---- */

static void assert_job(cel_app *app, const char *tuple, const char *expected, bool group)
{
    cel_dispatch_job job = {0};
    cel__buf text = {0};

    assert_int_equal(cel__dispatch_job_load(&job, app, cel__view(tuple), NULL), CEL_OK);
    cel__dispatch_job_dump(&text, &job);
    assert_view(cel__buf_view(&text), expected);
    assert_int_equal(job.group, group);
    cel__buf_done(&text);
    cel__dispatch_job_done(&job);
}

static void a_job_names_its_result_and_the_parts_before_it(void **state)
{
    cel_app *app = test_app(NULL);
    cel_dispatch_job job = {0};
    cel_error err = {0};

    (void)state;
    assert_job(app, "[[\"a\", null], null]", "\"id\": \"a\", \"parts\": []", false);
    assert_job(app, "[[\"g\", null], [[[\"a\", null], null], [[\"b\", null], null]]]",
               "\"id\": \"g\", \"parts\": [\"a\", \"b\"]", true);
    assert_job(app, "[[\"body\", [[\"g\", null], [[[\"a\", null], null]]]], null]",
               "\"id\": \"body\", \"parts\": [\"a\"]", false);
    assert_job(app, "[[\"second\", [[\"first\", null], null]], null]",
               "\"id\": \"second\", \"parts\": []", false);
    assert_int_equal(cel__dispatch_job_load(&job, app, CEL_VIEW("[1]"), &err), CEL_EPROTO);
    cel_app_free(app);
}

/* ---- flows ---- */

static cel_signature *build(cel_app *app, const json_t *params, void *user, cel_error *err)
{
    (void)app;
    if (json_object_get(params, "fail"))
        cel_error_set(err, CEL_EINVAL, "'fail' is given");
    if (json_object_size(params) > 0)
        return NULL;
    return cel_sig("task", "[s]", user ? (const char *)user : "nobody");
}

static void flows_are_found_by_name_or_alone(void **state)
{
    cel_app *app = test_app(NULL);
    cel_signature *signature;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel_flow_build(&signature, app, NULL, NULL, &err), CEL_ENOENT);
    assert_string_equal(err.message, "no flow is declared here");
    cel_flow(app, "z", build, .user = "first");
    cel_flow(app, "z", build, .user = "second", .queue = "q",
             .summary = "s"); /* in its place */
    assert_int_equal(cel_flow_build(&signature, app, NULL, NULL, &err), CEL_OK);
    assert_string_equal(json_string_value(json_array_get(
                            json_object_get(cel_signature_json(signature), "args"), 0)),
                        "second");
    cel_signature_free(signature);
    cel_flow(app, "a", build, .queue = NULL);
    assert_int_equal(cel_flow_build(&signature, app, NULL, NULL, &err), CEL_ENOENT);
    assert_string_equal(err.message, "'flow' must name one of: a, z");
    assert_int_equal(cel_flow_build(&signature, app, "b", NULL, &err), CEL_ENOENT);
    assert_string_equal(err.message, "no flow 'b'; there is: a, z");
    cel_app_free(app);
}

static void a_flow_says_what_is_wrong_with_its_parameters(void **state)
{
    cel_app *app = test_app(NULL);
    json_t *params = json_pack("{s:b}", "fail", 1);
    cel_signature *signature = NULL;
    cel_error err = {0};

    (void)state;
    cel_flow(app, "f", build, .queue = NULL);
    assert_int_equal(cel_flow_build(&signature, app, "f", params, &err), CEL_EINVAL);
    assert_string_equal(err.message, "'fail' is given");
    json_object_clear(params);
    json_object_set_new(params, "other", json_null());
    assert_int_equal(cel_flow_build(&signature, app, "f", params, &err), CEL_EINVAL);
    assert_string_equal(err.message, "flow 'f' built nothing, and did not say why");
    json_decref(params);
    cel_app_free(app);
}

static void wrong_flows_are_refused(void **state)
{
    cel_app *app = test_app(NULL);
    cel_flow_options options = {.size = sizeof options, .queue = ""};
    char name[300];
    cel_error err;

    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(cel_flow_register(app, "", build, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_flow_register(app, name, build, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_flow_register(app, "\xff", build, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_flow_register(app, "f", NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_flow_register(app, "f", build, &options, &err), CEL_EINVAL);
    assert_int_equal(cel_flow_register(NULL, "f", build, NULL, &err), CEL_EINVAL);
    cel_flow_declare(app, "", build, NULL);
    assert_int_equal(app->module_error.code, CEL_EINVAL);
    for (size_t n = 1; n < 5; n++) { /* without memory */
        options.queue = "q";
        options.summary = "s";
        cel__mem_fail_at(n);
        assert_int_equal(cel_flow_register(app, "f", build, &options, &err), CEL_ENOMEM);
    }
    cel__mem_fail_at(0);
    assert_null(app->flows);
    cel_app_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_pythons_uuid5),
        cmocka_unit_test(the_digest_is_sha256),
        cmocka_unit_test(what_is_remembered_is_found_until_too_much_came_after_it),
        cmocka_unit_test(without_memory_nothing_is_remembered),
        cmocka_unit_test(a_job_names_its_result_and_the_parts_before_it),
        cmocka_unit_test(flows_are_found_by_name_or_alone),
        cmocka_unit_test(a_flow_says_what_is_wrong_with_its_parameters),
        cmocka_unit_test(wrong_flows_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
