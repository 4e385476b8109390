/* count_test.c - days with good, bad and strange records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "count.h"
#include "test_support.h"

static hw_dict *dict;

static int open_all(void **state)
{
    if (test_folder_setup(state) != 0)
        return -1;
    dict = test_open_dict();
    return 0;
}

static int close_all(void **state)
{
    hw_dict_close(dict);
    return test_folder_teardown(state);
}

static hw_count count_text(void **state, const char *text, size_t len, int64_t lo, int64_t hi)
{
    const test_folder *folder = *state;
    hw_count count = {0};
    hw_error err = {0};

    test_write(state, "20200406.jsonl", text, len);
    if (hw_count_day(&count, dict, folder->path, "20200406", lo, hi, &err) != HW_OK)
        fail_msg("%s", err.message);
    return count;
}

static uint64_t get(const hw_count *count, const char *word)
{
    return hw_table_get(&count->table, word, strlen(word));
}

static void both_ends_of_the_level_range_count(void **state)
{
    static const char text[] =
        "{\"level\":9,\"text\":\"九九\"}\n{\"level\":10,\"text\":\"北京\"}\n"
        "{\"level\":20,\"text\":\"上海\"}\n{\"level\":21,\"text\":\"天津\"}\n";
    hw_count count = count_text(state, text, sizeof text - 1, 10, 20);

    assert_string_equal(count.date, "20200406");
    assert_int_equal(count.records, 2);
    assert_int_equal(count.text_bytes, 12);
    assert_int_equal(count.text_code_points, 4);
    assert_int_equal(count.counted, 2);
    assert_int_equal(get(&count, "北京"), 1);
    assert_int_equal(get(&count, "上海"), 1);
    assert_int_equal(count.table.count, 2);
    hw_count_done(&count);
}

static void numbers_signs_and_single_characters_are_no_words(void **state)
{
    static const char text[] =
        "{\"level\":1,\"text\":\"我 3.14 50% ... 2333 T恤 ok 北京 v1.2\"}\n";
    hw_count count = count_text(state, text, sizeof text - 1, 1, 900);

    assert_int_equal(get(&count, "T恤"), 1);
    assert_int_equal(get(&count, "ok"), 1);
    assert_int_equal(get(&count, "北京"), 1);
    assert_int_equal(get(&count, "v1.2"), 1);
    assert_int_equal(count.counted, 4);
    assert_int_equal(count.tokens, 17);
    assert_false(hw_word_counts("\xFFx", 2));
    assert_false(hw_word_counts("", 0));
    hw_count_done(&count);
}

static void bad_records_are_counted_by_kind_with_their_first_line(void **state)
{
    static const char text[] = "{\"level\":1,\"text\":\"北京\"}\n"
                               "\n"
                               "  \r\n"
                               "{\"level\":1,\"text\":\"北京\n"
                               "{\"level\":\"1\",\"text\":\"北京\"}\n"
                               "{\"level\":1}\n"
                               "{\"level\":1,\"text\":\"\xFF\"}\n"
                               "{\"level\":0,\"text\":\"北京\"}\n"
                               "nonsense\n"
                               "{\"level\":1,\"text\":\"北京\"}"; /* no line end */
    hw_count count = count_text(state, text, sizeof text - 1, 1, 450);

    assert_int_equal(count.records, 2);
    assert_int_equal(get(&count, "北京"), 2);
    assert_int_equal(count.bad[HW_BAD_JSON].count, 2);
    assert_int_equal(count.bad[HW_BAD_JSON].first_line, 4);
    assert_int_equal(count.bad[HW_BAD_TYPE].count, 1);
    assert_int_equal(count.bad[HW_BAD_TYPE].first_line, 5);
    assert_int_equal(count.bad[HW_BAD_FIELD].first_line, 6);
    assert_int_equal(count.bad[HW_BAD_UTF8].first_line, 7);
    assert_int_equal(count.bad[HW_BAD_LEVEL].first_line, 8);
    assert_int_equal(count.bad[HW_BAD_LENGTH].count, 0);
    hw_count_done(&count);
}

/* Lines of HW_LINE_MAX and one more, one that never ends, and good ones between them. */
static void a_line_that_is_too_long_is_dropped_alone(void **state)
{
    static const char good[] = "{\"level\":1,\"text\":\"北京\"}\n";
    hw_buf text = {0};
    hw_count count;

    hw_buf_add(&text, good, sizeof good - 1);
    for (size_t pad = 0; pad <= 1; pad++) {
        const size_t begin = text.len;
        hw_buf_add(&text, good, sizeof good - 2);
        while (text.len - begin < HW_LINE_MAX + pad)
            hw_buf_add_byte(&text, ' ');
        hw_buf_add_byte(&text, '\n');
    }
    hw_buf_add(&text, good, sizeof good - 1);
    for (size_t i = 0; i < 3 * (size_t)HW_LINE_MAX; i++)
        hw_buf_add_byte(&text, 'x');
    hw_buf_add_byte(&text, '\n');
    hw_buf_add(&text, good, sizeof good - 1);
    hw_buf_add(&text, "x", 1);
    for (size_t i = 0; i < 2 * (size_t)HW_LINE_MAX; i++)
        hw_buf_add_byte(&text, 'x');
    count = count_text(state, text.bytes, text.len, 1, 1);
    assert_int_equal(count.records, 4);
    assert_int_equal(count.bad[HW_BAD_LENGTH].count, 3);
    assert_int_equal(count.bad[HW_BAD_LENGTH].first_line, 3);
    assert_int_equal(count.bad[HW_BAD_JSON].count, 0);
    hw_count_done(&count);
    hw_buf_done(&text);
}

static void a_file_of_random_bytes_is_counted_to_its_end(void **state)
{
    static char noise[200000];
    unsigned seed = 5;
    uint64_t bad = 0;
    hw_count count;

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = rand_r(&seed) % 40 == 0 ? '\n' : (char)rand_r(&seed);
    count = count_text(state, noise, sizeof noise, 1, 900);
    for (size_t i = 0; i < HW_BAD_KINDS; i++)
        bad += count.bad[i].count;
    assert_int_equal(count.records, 0);
    assert_true(bad > 3000);
    hw_count_done(&count);
}

static void an_empty_day_has_no_words(void **state)
{
    hw_count count = count_text(state, "", 0, 1, 900);

    assert_int_equal(count.records, 0);
    assert_int_equal(count.table.count, 0);
    hw_count_done(&count);
}

static void
assert_refused(const char *dir, const char *date, int64_t lo, int64_t hi, hw_code code)
{
    hw_count count = {0};
    hw_error err = {0};

    assert_int_equal(hw_count_day(&count, dict, dir, date, lo, hi, &err), code);
    assert_int_not_equal(strlen(err.message), 0);
    assert_null(count.table.entries);
}

static void a_date_is_eight_digits_and_no_path(void **state)
{
    const test_folder *folder = *state;
    static const char *const bad[] = {"",           "2020040",         "202004061",
                                      "2020-4-6",   "../../et",        "20200406/",
                                      "20200406\n", "２０２００４０６"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(folder->path, bad[i], 1, 900, HW_EINVAL);
}

static void a_level_range_must_make_sense(void **state)
{
    const test_folder *folder = *state;

    assert_refused(folder->path, "20200406", 0, 900, HW_EINVAL);
    assert_refused(folder->path, "20200406", 2, 1, HW_EINVAL);
    assert_refused(folder->path, "20200406", INT64_MIN, INT64_MAX, HW_EINVAL);
    assert_refused(folder->path, "20200406", 1, HW_LEVEL_MAX + 1, HW_EINVAL);
}

static void a_missing_or_unreadable_file_is_named(void **state)
{
    const test_folder *folder = *state;
    hw_count count = {0};
    hw_error err = {0};

    assert_int_equal(hw_count_day(&count, dict, folder->path, "19990101", 1, 2, &err),
                     HW_ENOENT);
    assert_non_null(strstr(err.message, "/19990101.jsonl'"));
    assert_int_equal(mkdir(test_path(state, "19990102.jsonl"), 0700), 0);
    assert_int_equal(hw_count_day(&count, dict, folder->path, "19990102", 1, 2, &err), HW_EIO);
    assert_non_null(strstr(err.message, "/19990102.jsonl'"));
    assert_int_equal(mkfifo(test_path(state, "19990103.jsonl"), 0700), 0);
    assert_int_equal(hw_count_day(&count, dict, folder->path, "19990103", 1, 2, &err), HW_EIO);
}

static bool stop_at_third(void *user)
{
    return ++*(int *)user == 3;
}

static void a_count_stops_when_it_is_asked_to(void **state)
{
    static const char line[] = "{\"level\": 1, \"text\": \"你好世界\"}\n";
    const test_folder *folder = *state;
    hw_buf text = {0};
    hw_count count = {0};
    hw_error err = {0};
    int asked = 0;
    hw_partition partition = {.dir = folder->path,
                              .date = "20200406",
                              .level_lo = 1,
                              .level_hi = 1,
                              .stop = stop_at_third,
                              .user = &asked};

    while (text.len < 1000000)
        assert_true(hw_buf_add(&text, line, sizeof line - 1));
    test_write(state, "20200406.jsonl", text.bytes, text.len);
    assert_int_equal(hw_count_partition(&count, dict, &partition, &err), HW_ECANCELED);
    assert_int_equal(asked, 3);
    assert_int_equal(count.records, 0);
    assert_null(count.table.entries);
    assert_int_equal(hw_count_partition(&count, dict, &partition, &err), HW_OK);
    assert_true(asked > 6);
    assert_int_equal(count.records, text.len / (sizeof line - 1));
    hw_count_done(&count);
    hw_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_of_the_level_range_count),
        cmocka_unit_test(a_count_stops_when_it_is_asked_to),
        cmocka_unit_test(numbers_signs_and_single_characters_are_no_words),
        cmocka_unit_test(bad_records_are_counted_by_kind_with_their_first_line),
        cmocka_unit_test(a_line_that_is_too_long_is_dropped_alone),
        cmocka_unit_test(a_file_of_random_bytes_is_counted_to_its_end),
        cmocka_unit_test(an_empty_day_has_no_words),
        cmocka_unit_test(a_date_is_eight_digits_and_no_path),
        cmocka_unit_test(a_level_range_must_make_sense),
        cmocka_unit_test(a_missing_or_unreadable_file_is_named),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
