/* table_test.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "test_support.h"

static void counts_add_up(void **state)
{
    hw_table table = {0};

    (void)state;
    assert_int_equal(hw_table_get(&table, "a", 1), 0);
    assert_int_equal(hw_table_add(&table, "ab", 2, 1, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "abc", 3, 5, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "ab", 2, 2, NULL), HW_OK);
    assert_int_equal(hw_table_get(&table, "ab", 2), 3);
    assert_int_equal(hw_table_get(&table, "abc", 3), 5);
    assert_int_equal(hw_table_get(&table, "a", 1), 0);
    assert_int_equal(table.count, 2);
    hw_table_done(&table);
    assert_int_equal(hw_table_get(&table, "ab", 2), 0);
}

static void a_count_never_wraps(void **state)
{
    hw_table table = {0};

    (void)state;
    assert_int_equal(hw_table_add(&table, "a", 1, UINT64_MAX - 1, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "a", 1, 1, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "a", 1, 1, NULL), HW_EINVAL);
    assert_int_equal(hw_table_get(&table, "a", 1), UINT64_MAX);
    hw_table_done(&table);
}

static void many_words_are_kept_apart_while_the_table_grows(void **state)
{
    hw_table table = {0};
    char word[32];

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        int len = snprintf(word, sizeof word, "a rather long word %u", i);
        assert_int_equal(hw_table_add(&table, word, (size_t)len, i + 1, NULL), HW_OK);
    }
    for (unsigned i = 0; i < 20000; i++) {
        int len = snprintf(word, sizeof word, "a rather long word %u", i);
        assert_int_equal(hw_table_get(&table, word, (size_t)len), i + 1);
    }
    assert_int_equal(table.count, 20000);
    hw_table_done(&table);
}

static void the_ranking_is_by_count_then_bytes_then_length(void **state)
{
    static const char *const expected[] = {"z", "a", "aa", "b", "中国", "A"};
    hw_table table = {0};
    hw_rank *ranks = NULL;

    (void)state;
    assert_int_equal(hw_table_add(&table, "A", 1, 1, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "中国", 6, 2, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "b", 1, 2, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "aa", 2, 2, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "a", 1, 2, NULL), HW_OK);
    assert_int_equal(hw_table_add(&table, "z", 1, 9, NULL), HW_OK);
    assert_int_equal(hw_table_rank(&ranks, &table, NULL), HW_OK);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(ranks[i].word, expected[i]);
    assert_int_equal(ranks[0].count, 9);
    assert_int_equal(ranks[4].len, 6);
    free(ranks);
    hw_table_done(&table);
}

static void an_empty_table_has_an_empty_ranking(void **state)
{
    hw_table table = {0};
    hw_rank *ranks = NULL;

    (void)state;
    assert_int_equal(hw_table_rank(&ranks, &table, NULL), HW_OK);
    free(ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_add_up),
        cmocka_unit_test(a_count_never_wraps),
        cmocka_unit_test(many_words_are_kept_apart_while_the_table_grows),
        cmocka_unit_test(the_ranking_is_by_count_then_bytes_then_length),
        cmocka_unit_test(an_empty_table_has_an_empty_ranking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
