/* flow_test.c - the job from parameters, and what is said of wrong ones. */
#include <string.h>

#include "flow.h"
#include "test_support.h"

static cel_error err;

static cel_signature *build(const char *params)
{
    json_t *json = json_loads(params, 0, NULL);
    cel_signature *job;

    assert_non_null(json);
    err = (cel_error){0};
    job = hw_flow(NULL, json, NULL, &err);
    json_decref(json);
    return job;
}

static void refused(const char *params, const char *why)
{
    assert_null(build(params));
    assert_int_equal(err.code, CEL_EINVAL);
    if (!strstr(err.message, why))
        fail_msg("%s: said '%s', expected '%s'", params, err.message, why);
}

static void two_days_and_two_ranges_are_a_chord_of_four_parts(void **state)
{
    static const char *const calls[] = {"[\"20200406\", 1, 450]", "[\"20200406\", 451, 900]",
                                        "[\"20200407\", 1, 450]", "[\"20200407\", 451, 900]"};
    cel_signature *job =
        build("{\"dates\": [\"20200406\", \"20200407\"], \"levels\": [[1, 450], "
              "[451, 900]], \"top\": 7}");
    const json_t *kwargs, *header;

    (void)state;
    assert_non_null(job);
    kwargs = json_object_get(cel_signature_json(job), "kwargs");
    header =
        json_object_get(json_object_get(json_object_get(kwargs, "header"), "kwargs"), "tasks");
    if (!header)
        header = json_object_get(kwargs, "header");
    assert_int_equal(json_array_size(header), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *part = json_array_get(header, i);
        char *args = json_dumps(json_object_get(part, "args"), 0);

        assert_string_equal(json_string_value(json_object_get(part, "task")),
                            "make_result_str");
        assert_string_equal(args, calls[i]);
        free(args);
    }
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(kwargs, "body"), "task")),
        "make_model");
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(json_object_get(kwargs, "body"), "kwargs"), "top")),
                     7);
    cel_signature_free(job);
}

static void a_date_may_be_a_number_and_data_is_handed_on(void **state)
{
    cel_signature *job =
        build("{\"dates\": [20200406], \"levels\": [[1, 1]], \"data\": \"/d\"}");
    char *text;

    (void)state;
    assert_non_null(job);
    text = json_dumps(cel_signature_json(job), 0);
    assert_non_null(strstr(text, "[20200406, 1, 1, \"/d\"]"));
    free(text);
    cel_signature_free(job);
}

static void the_url_of_a_table_is_handed_on_and_shown_without_its_password(void **state)
{
    cel_signature *job = build("{\"dates\": [\"20200406\", 20200407], \"levels\": [[1, 2]], "
                               "\"data\": \"mysql://u:sesame@h/d/t\"}");
    char *text;

    (void)state;
    assert_non_null(job);
    text = json_dumps(cel_signature_json(job), 0);
    assert_non_null(strstr(text, "[\"20200406\", 1, 2, \"mysql://u:sesame@h/d/t\"]"));
    assert_non_null(strstr(text, "\"('20200406', 1, 2, 'mysql://u:**@h/d/t')\""));
    assert_non_null(strstr(text, "\"(20200407, 1, 2, 'mysql://u:**@h/d/t')\""));
    free(text);
    cel_signature_free(job);
    refused("{\"dates\": [\"20200406\"], \"levels\": [[1, 2]], \"data\": "
            "\"mysql://u:sesame@h/d\"}",
            "'data': the table's URL must be mysql://");
    assert_null(strstr(err.message, "sesame"));
}

static void wrong_parameters_are_named(void **state)
{
    (void)state;
    refused("{}", "'dates' is missing");
    refused("{\"dates\": [\"20200406\"]}", "'levels' is missing");
    refused("{\"dates\": [], \"levels\": [[1, 2]]}", "'dates' must be a list");
    refused("{\"dates\": \"20200406\", \"levels\": [[1, 2]]}", "'dates' must be a list");
    refused("{\"dates\": [\"2020-04-06\"], \"levels\": [[1, 2]]}", "eight digits");
    refused("{\"dates\": [null], \"levels\": [[1, 2]]}", "eight digits");
    refused("{\"dates\": [\"../../etc\"], \"levels\": [[1, 2]]}", "eight digits");
    refused("{\"dates\": [\"20200406\", 20200406], \"levels\": [[1, 2]]}", "comes twice");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[2, 1]]}", "1 <= lo <= hi");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[0, 1]]}", "1 <= lo <= hi");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[1, 2, 3]]}", "1 <= lo <= hi");
    refused("{\"dates\": [\"20200406\"], \"levels\": [1, 2]}", "1 <= lo <= hi");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[5, 9], [1, 5]]}", "overlap");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[1, 2]], \"top\": 0}", "'top'");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[1, 2]], \"top\": \"7\"}", "'top'");
    refused("{\"dates\": [\"20200406\"], \"levels\": [[1, 2]], \"data\": 1}", "'data'");
    refused("{\"dates\": [\"20200406\"], \"level\": [[1, 2]]}", "unknown parameter 'level'");
}

static void too_many_parts_are_refused(void **state)
{
    json_t *params = json_pack("{s:[], s:[]}", "dates", "levels");

    (void)state;
    for (int i = 0; i < 100; i++) {
        json_array_append_new(json_object_get(params, "dates"), json_integer(20200101 + i));
        json_array_append_new(json_object_get(params, "levels"),
                              json_pack("[i, i]", i + 1, i + 1));
    }
    err = (cel_error){0};
    assert_null(hw_flow(NULL, params, NULL, &err));
    assert_non_null(strstr(err.message, "at most 4096 parts"));
    json_decref(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_days_and_two_ranges_are_a_chord_of_four_parts),
        cmocka_unit_test(a_date_may_be_a_number_and_data_is_handed_on),
        cmocka_unit_test(the_url_of_a_table_is_handed_on_and_shown_without_its_password),
        cmocka_unit_test(wrong_parameters_are_named),
        cmocka_unit_test(too_many_parts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
