/* result_test.c - results there and back, and what is refused when they come from anyone. */
#include <string.h>

#include "result.h"
#include "test_support.h"

static void add(hw_count *count, const char *word, uint64_t n)
{
    assert_int_equal(hw_table_add(&count->table, word, strlen(word), n, NULL), HW_OK);
    count->counted += n;
}

static hw_count sample(const char *date, int64_t lo, int64_t hi)
{
    hw_count count = {.level_lo = lo,
                      .level_hi = hi,
                      .records = 3,
                      .text_bytes = 90,
                      .text_code_points = 40,
                      .tokens = 20};

    memcpy(count.date, date, sizeof count.date);
    add(&count, "北京", 2);
    add(&count, "ok", 5);
    count.bad[HW_BAD_JSON] = (hw_bad_records){2, 17};
    return count;
}

static json_t *to_json(hw_count count)
{
    json_t *result = NULL;

    assert_int_equal(hw_count_to_json(&result, &count, NULL), HW_OK);
    hw_count_done(&count);
    return result;
}

static json_t *sample_json(void)
{
    return to_json(sample("20200406", 1, 450));
}

static void a_result_has_the_documented_form(void **state)
{
    json_t *got = sample_json();
    json_t *expected = json_pack(
        "{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:{s:{s:i,s:i}},s:{s:i,s:i}}", "date", "20200406",
        "level_lo", 1, "level_hi", 450, "records", 3, "text_bytes", 90, "text_code_points", 40,
        "tokens", 20, "counted", 7, "distinct", 2, "bad_records", "broken_json", "count", 2,
        "first_line", 17, "words", "ok", 5, "北京", 2);

    (void)state;
    test_assert_json(got, expected, "result");
    assert_string_equal(json_object_iter_key(json_object_iter(json_object_get(got, "words"))),
                        "ok");
    json_decref(got);
    json_decref(expected);
}

static void a_result_comes_back_as_it_was(void **state)
{
    json_t *there = sample_json(), *again;
    hw_count count = {0};

    (void)state;
    assert_int_equal(hw_count_from_json(&count, there, NULL), HW_OK);
    again = to_json(count);
    test_assert_json(again, there, "again");
    json_decref(there);
    json_decref(again);
}

static void a_ranking_has_its_first_words_and_the_hash_of_all(void **state)
{
    hw_count count = sample("20200406", 1, 450);
    json_t *got = NULL, *expected;

    (void)state;
    memset(count.bad, 0, sizeof count.bad);
    assert_int_equal(hw_count_ranking(&got, &count, 1, NULL), HW_OK);
    /* printf 'ok\t5\n北京\t2\n' | sha256sum */
    expected = json_pack(
        "{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:[[s,i]]}", "date", "20200406", "level_lo",
        1, "level_hi", 450, "records", 3, "text_bytes", 90, "text_code_points", 40, "tokens",
        20, "counted", 7, "distinct", 2, "table_sha256",
        "62309d7d43d299dded422f17a997fb742466dff0c8305b2cdc82f17c85ae1090", "top1", "ok", 5);
    test_assert_json(got, expected, "ranking");
    json_decref(got);
    json_decref(expected);
    hw_count_done(&count);
}

static void counts_add_up_and_a_days_bad_records_count_once(void **state)
{
    json_t *results = json_array(), *ranking = NULL;
    hw_count sum = {0};

    (void)state;
    json_array_append_new(results, to_json(sample("20200406", 1, 450)));
    json_array_append_new(results, to_json(sample("20200406", 451, 900)));
    json_array_append_new(results, to_json(sample("20200407", 1, 900)));
    assert_int_equal(hw_count_merge(&sum, results, NULL), HW_OK);
    assert_int_equal(sum.records, 9);
    assert_int_equal(sum.text_bytes, 270);
    assert_int_equal(sum.counted, 21);
    assert_int_equal(sum.table.count, 2);
    assert_int_equal(hw_table_get(&sum.table, "ok", 2), 15);
    assert_int_equal(sum.bad[HW_BAD_JSON].count, 4);
    assert_int_equal(sum.bad[HW_BAD_JSON].first_line, 17);
    assert_int_equal(hw_count_ranking(&ranking, &sum, 10, NULL), HW_OK);
    assert_null(json_object_get(ranking, "date"));
    assert_non_null(json_object_get(ranking, "bad_records"));
    json_decref(ranking);
    json_decref(results);
    hw_count_done(&sum);
}

static void nothing_adds_up_to_nothing(void **state)
{
    json_t *results = json_array();
    hw_count sum = {0};

    (void)state;
    assert_int_equal(hw_count_merge(&sum, results, NULL), HW_OK);
    assert_int_equal(sum.records, 0);
    json_decref(results);
    hw_count_done(&sum);
}

/* Takes `results`. */
static void assert_merge_fails(json_t *results, const char *message)
{
    hw_count sum = {0};
    hw_error err = {0};

    assert_int_equal(hw_count_merge(&sum, results, &err), HW_EFORMAT);
    assert_string_equal(err.message, message);
    assert_null(sum.table.entries);
    json_decref(results);
}

static void the_same_records_are_not_counted_twice(void **state)
{
    json_t *results = json_array();

    (void)state;
    json_array_append_new(results, to_json(sample("20200406", 1, 450)));
    json_array_append_new(results, to_json(sample("20200407", 1, 450)));
    json_array_append_new(results, to_json(sample("20200406", 450, 900)));
    assert_merge_fails(results,
                       "result 2: it counts records of 20200406 that result 0 counts too");
}

static void results_that_are_no_array_of_results_are_refused(void **state)
{
    json_t *many = json_array();

    (void)state;
    for (unsigned i = 0; i <= HW_RESULTS_MAX; i++)
        json_array_append_new(many, json_null());
    assert_merge_fails(json_object(), "the results are no array");
    assert_merge_fails(json_pack("[i]", 1), "result 0: it is no object");
    assert_merge_fails(json_pack("[o,n]", sample_json()), "result 1: it is no object");
    assert_merge_fails(many, "4097 results are more than 4096");
}

/* Sets member `name` of a good result to `value`, which is taken; NULL deletes it. */
static void assert_refused(const char *name, json_t *value, const char *message)
{
    json_t *result = sample_json();
    hw_count count = {0};
    hw_error err = {0};

    if (value)
        json_object_set_new(result, name, value);
    else
        json_object_del(result, name);
    assert_int_equal(hw_count_from_json(&count, result, &err), HW_EFORMAT);
    assert_string_equal(err.message, message);
    assert_null(count.table.entries);
    json_decref(result);
}

static void a_member_of_another_kind_is_refused(void **state)
{
    (void)state;
    assert_refused("date", NULL, "'date' is not eight digits");
    assert_refused("date", json_string("../x"), "'date' is not eight digits");
    assert_refused("level_lo", json_integer(0), "'level_lo' is out of range");
    assert_refused("level_hi", json_integer(-1), "'level_hi' is out of range");
    assert_refused("level_lo", json_integer(451), "'level_lo' and 'level_hi' make no range");
    assert_refused("records", json_real(3), "'records' is no integer");
    assert_refused("records", NULL, "'records' is missing");
    assert_refused("tokens", json_integer(-1), "'tokens' is out of range");
    assert_refused("text_bytes", json_integer(INT64_C(9007199254740993)),
                   "'text_bytes' is out of range");
    assert_refused("bad_records", json_array(), "'bad_records' is no object");
    assert_refused("bad_records", json_pack("{s:{}}", "x"),
                   "'bad_records' has a kind that is unknown");
    assert_refused("bad_records", json_pack("{s:i}", "broken_json", 1), "'count' is missing");
    assert_refused("words", NULL, "'words' is missing");
    assert_refused("words", json_integer(1), "'words' is no object");
}

static void numbers_that_contradict_each_other_are_refused(void **state)
{
    const json_int_t most = INT64_C(9007199254740992);

    (void)state;
    assert_refused("counted", json_integer(8), "the words do not add up to 'counted'");
    assert_refused("distinct", json_integer(3), "there are not 'distinct' words");
    assert_refused("tokens", json_integer(6),
                   "'counted', 'tokens', 'text_…' contradict each other");
    assert_refused("text_bytes", json_integer(39),
                   "'counted', 'tokens', 'text_…' contradict each other");
    assert_refused("words", json_pack("{s:i,s:s}", "ok", 5, "北京", "2"),
                   "the count of '北京' is no number from 1");
    assert_refused("words", json_pack("{s:i,s:i}", "ok", 5, "北京", 0),
                   "the count of '北京' is no number from 1");
    assert_refused("words", json_pack("{s:i}", "2333", 7),
                   "'words' holds '2333', which does not count");
    assert_refused("words", json_pack("{s:i}", "我", 7),
                   "'words' holds '我', which does not count");
    assert_refused("words", json_pack("{s:I,s:I,s:I}", "aa", most, "bb", most, "cc", most),
                   "the words do not add up to 'counted'");
}

static void sums_have_a_limit(void **state)
{
    json_t *results = json_array();

    (void)state;
    for (int i = 0; i < 2; i++) {
        json_t *result = to_json(sample(i == 0 ? "20200406" : "20200407", 1, 2));

        json_object_set_new(result, "records", json_integer(INT64_C(9007199254740992)));
        json_array_append_new(results, result);
    }
    assert_merge_fails(results, "result 1: the sum of 'records' is too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_has_the_documented_form),
        cmocka_unit_test(a_result_comes_back_as_it_was),
        cmocka_unit_test(a_ranking_has_its_first_words_and_the_hash_of_all),
        cmocka_unit_test(counts_add_up_and_a_days_bad_records_count_once),
        cmocka_unit_test(nothing_adds_up_to_nothing),
        cmocka_unit_test(the_same_records_are_not_counted_twice),
        cmocka_unit_test(results_that_are_no_array_of_results_are_refused),
        cmocka_unit_test(a_member_of_another_kind_is_refused),
        cmocka_unit_test(numbers_that_contradict_each_other_are_refused),
        cmocka_unit_test(sums_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
