/* unpack_test.c - cel_unpack() against what Python says, and its conversions. */
#include <string.h>

#include "app/test_support.h"
#include "app/unpack_vectors.h"

static const char *current_spec; /* of the task `add` below */

static json_t *add(cel_request *req)
{
    json_t *values[8] = {NULL};

    if (cel_unpack(req, current_spec, &values[0], &values[1], &values[2], &values[3],
                   &values[4], &values[5]) != CEL_OK)
        return NULL;
    return json_null();
}

static void errors_are_pythons(void **state)
{
    cel_app *app = test_app(NULL);
    test_run run = {0};

    (void)state;
    cel_task(app, "tasks.add", add);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        cel__buf want = {0};

        current_spec = vectors[i].spec;
        test_run_call(&run, app, "tasks.add", vectors[i].args, vectors[i].kwargs);
        if (vectors[i].error[0]) {
            cel__buf_add_str(&want, "{\"exc_type\": \"TypeError\", \"exc_message\": [");
            cel__buf_add_json(&want, cel__view(vectors[i].error));
            cel__buf_add_str(&want, "], \"exc_module\": \"builtins\"}");
        } else {
            cel__buf_add_str(&want, "null");
        }
        if (!cel__view_eq(run.result, cel__buf_view(&want)))
            print_error("spec <%s> args %s kwargs %s\n", vectors[i].spec, vectors[i].args,
                        vectors[i].kwargs);
        assert_view(run.result, cel__buf_cstr(&want));
        cel__buf_done(&want);
    }
    test_run_done(&run);
    cel_app_free(app);
}

static json_t *convert(cel_request *req)
{
    json_int_t big = -1;
    int small = -2;
    bool yes = false;
    double real = -4;
    const char *text = "default", *maybe = "default";
    json_t *list = NULL, *dict = NULL;

    if (cel_unpack(req, "big:I small:i real:F yes:b text:s maybe:z | list:L dict:D", &big,
                   &small, &real, &yes, &text, &maybe, &list, &dict) != CEL_OK)
        return NULL;
    return json_pack("[I, i, f, i, s, s?, i, i]", big, small, real, yes, text, maybe,
                     (int)json_array_size(list), (int)json_object_size(dict));
}

static void values_arrive_in_their_types(void **state)
{
    static const struct {
        const char *args, *result;
    } cases[] = {
        {"[9007199254740993, -5, 2, true, \"a\", null]",
         "[9007199254740993, -5, 2.0, 1, \"a\", null, 0, 0]"},
        {"[true, false, 2.5, false, \"\", \"b\", [1, 2], {\"k\": 1}]",
         "[1, 0, 2.5, 0, \"\", \"b\", 2, 1]"},
        {"[1, 1, 1, true, \"a\", \"b\", null, null]", "[1, 1, 1.0, 1, \"a\", \"b\", 0, 0]"},
        {"[\"1\", 1, 1, true, \"a\", \"b\"]", "convert() argument 'big' must be int, not str"},
        {"[1, 2147483648, 1, true, \"a\", \"b\"]",
         "convert() argument 'small': signed integer is greater than maximum"},
        {"[1, -2147483649, 1, true, \"a\", \"b\"]",
         "convert() argument 'small': signed integer is less than minimum"},
        {"[1.5, 1, 1, true, \"a\", \"b\"]", "convert() argument 'big' must be int, not float"},
        {"[1, 1, null, true, \"a\", \"b\"]",
         "convert() argument 'real' must be real number, not NoneType"},
        {"[1, 1, 1, 1, \"a\", \"b\"]", "convert() argument 'yes' must be bool, not int"},
        {"[1, 1, 1, true, [], \"b\"]", "convert() argument 'text' must be str, not list"},
        {"[1, 1, 1, true, \"a\\u0000b\", \"b\"]",
         "convert() argument 'text': embedded null character"},
        {"[1, 1, 1, true, \"a\", {}]",
         "convert() argument 'maybe' must be str or None, not dict"},
        {"[1, 1, 1, true, \"a\", \"b\", {}]",
         "convert() argument 'list' must be list, not dict"},
        {"[1, 1, 1, true, \"a\", \"b\", [], []]",
         "convert() argument 'dict' must be dict, not list"},
    };
    cel_app *app = test_app(NULL);
    test_run run = {0};

    (void)state;
    cel_task(app, "convert", convert);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_run_call(&run, app, "convert", cases[i].args, "{}");
        if (cases[i].result[0] == '[')
            assert_view(run.result, cases[i].result);
        else if (!view_has(run.result, cases[i].result))
            fail_msg("args %s gave %.*s", cases[i].args, CEL_VIEW_ARG(run.result));
    }
    test_run_done(&run);
    cel_app_free(app);
}

static void what_c_cannot_hold_is_an_error_of_who_reads_it(void **state)
{
    cel_app *app = test_app(NULL);
    test_run run = {0};

    (void)state;
    cel_task(app, "tasks.add", add);
    current_spec = "x:O";
    test_run_call(&run, app, "tasks.add", "[123456789012345678901234567890]", "{}");
    assert_view(run.state, "FAILURE");
    assert_true(view_has(run.result, "\"ValueError\""));
    test_run_call(&run, app, "tasks.add", "[NaN]", "{}");
    assert_view(run.state, "FAILURE");
    test_run_done(&run);
    cel_app_free(app);
}

static void a_bad_specification_is_a_clear_error(void **state)
{
    static const char *const specs[] = {"x", "x:", "x:Q", ":I", "x=I", "x:II"};
    cel_app *app = test_app(NULL);
    test_run run = {0};

    (void)state;
    cel_task(app, "tasks.add", add);
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        current_spec = specs[i];
        test_run_call(&run, app, "tasks.add", "[1]", "{}");
        assert_true(view_has(run.result, "\"SystemError\""));
    }
    test_run_done(&run);
    cel_app_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_pythons),
        cmocka_unit_test(values_arrive_in_their_types),
        cmocka_unit_test(what_c_cannot_hold_is_an_error_of_who_reads_it),
        cmocka_unit_test(a_bad_specification_is_a_clear_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
