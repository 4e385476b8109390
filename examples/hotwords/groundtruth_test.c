/* groundtruth_test.c - python jieba's own results: thousands of lines in all modes, a user
 * dictionary step by step, and whole counts. What lies outside the project is skipped if absent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "result.h"
#include "segment.h"
#include "test_support.h"
#include "userdict.h"

static hw_dict *dict;

static int open_all(void **state)
{
    (void)state;
    dict = test_open_dict();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    hw_dict_close(dict);
    return 0;
}

/* Calls `visit` for each line of a file of the ground truth. False: it is absent. */
static bool each_line(const char *name, void (*visit)(void *arg, const json_t *line), void *arg)
{
    const char *shared = test_shared_folder();
    char path[512];
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    FILE *file;

    if (!shared)
        return false;
    snprintf(path, sizeof path, "%s/data/segment/%s", shared, name);
    file = fopen(path, "r");
    assert_non_null(file);
    while ((len = getline(&line, &cap, file)) > 0) {
        json_t *object = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL);

        assert_non_null(object);
        visit(arg, object);
        json_decref(object);
    }
    free(line);
    fclose(file);
    return true;
}

/* ---- cutting ---- */

static void check_mode(hw_segmenter *seg, const json_t *line, const char *name, hw_mode mode)
{
    const json_t *text = json_object_get(line, "text"), *expected = json_object_get(line, name);
    json_t *got;

    if (!expected)
        return;
    got = test_cut_json(seg, mode, json_string_value(text), json_string_length(text));
    if (!json_equal(got, expected))
        print_error("%s of:\n", name);
    test_assert_json(got, expected, json_string_value(text));
    json_decref(got);
}

static void check_all_modes(hw_segmenter *seg, const json_t *line)
{
    check_mode(seg, line, "cut", HW_MODE_EXACT);
    check_mode(seg, line, "cut_nohmm", HW_MODE_NO_HMM);
    check_mode(seg, line, "cut_all", HW_MODE_ALL);
    check_mode(seg, line, "search", HW_MODE_SEARCH);
}

struct cases {
    hw_segmenter *seg;
    size_t count;
};

static void check_case(void *arg, const json_t *line)
{
    struct cases *cases = arg;

    check_all_modes(cases->seg, line);
    cases->count++;
}

static void every_line_is_cut_as_jieba_cuts_it(void **state)
{
    struct cases cases = {0};

    (void)state;
    assert_int_equal(hw_segmenter_new(&cases.seg, dict, NULL, NULL), HW_OK);
    if (!each_line("cases.jsonl", check_case, &cases)) {
        hw_segmenter_free(cases.seg);
        skip();
    }
    printf("%zu lines in four modes\n", cases.count);
    assert_true(cases.count > 2000);
    hw_segmenter_free(cases.seg);
}

/* An empty user dictionary takes the other way through the code. */
static void an_empty_user_dictionary_changes_nothing(void **state)
{
    struct cases cases = {0};
    hw_userdict *user = NULL;

    (void)state;
    assert_int_equal(hw_userdict_new(&user, dict, NULL), HW_OK);
    assert_int_equal(hw_segmenter_new(&cases.seg, dict, user, NULL), HW_OK);
    const bool found = each_line("cases.jsonl", check_case, &cases);
    hw_segmenter_free(cases.seg);
    hw_userdict_free(user);
    if (!found)
        skip();
}

/* ---- the user dictionary ---- */

struct steps {
    hw_userdict *user;
    hw_segmenter *seg;
    size_t count;
};

static hw_word word_of(const json_t *string)
{
    return (hw_word){json_string_value(string), json_string_length(string)};
}

static void load_file(struct steps *steps, const json_t *line)
{
    const char *shared = test_shared_folder();
    hw_error err = {0};
    char path[512];

    snprintf(path, sizeof path, "%s/data/segment/%s", shared,
             json_string_value(json_object_get(line, "file")));
    if (hw_userdict_load(steps->user, path, &err) != HW_OK)
        fail_msg("%s", err.message);
}

static void check_changed(const struct steps *steps, const json_t *changed)
{
    const char *word;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)changed, word, value)
    {
        uint64_t freq = 0;

        if (!hw_userdict_freq(steps->user, (hw_word){word, strlen(word)}, &freq))
            fail_msg("'%s' is no key", word);
        assert_int_equal(freq, json_integer_value(value));
    }
}

static void suggest(struct steps *steps, const json_t *line)
{
    const json_t *word = json_object_get(line, "word");
    char joined[256] = "";
    hw_word whole = word_of(word);
    uint64_t freq = 0;

    if (json_is_array(word)) {
        hw_word pieces[8];
        const size_t count = json_array_size(word);

        assert_true(count <= 8);
        for (size_t i = 0; i < count; i++) {
            const size_t at = strlen(joined);

            pieces[i] = word_of(json_array_get(word, i));
            snprintf(joined + at, sizeof joined - at, "%s", pieces[i].bytes);
        }
        assert_int_equal(hw_userdict_suggest_split(steps->user, pieces, count, &freq, NULL),
                         HW_OK);
        whole = (hw_word){joined, strlen(joined)};
    } else {
        assert_int_equal(hw_userdict_suggest(steps->user, whole, &freq, NULL), HW_OK);
    }
    assert_int_equal(freq, json_integer_value(json_object_get(line, "freq")));
    if (json_is_true(json_object_get(line, "tune")))
        assert_int_equal(hw_userdict_add(steps->user, whole, freq, NULL), HW_OK);
}

static void add_or_delete(struct steps *steps, const json_t *line)
{
    const json_t *given = json_object_get(line, "given");
    const hw_word word = word_of(json_object_get(line, "word"));
    const bool deletes = strcmp(json_string_value(json_object_get(line, "step")), "del") == 0;
    uint64_t freq = 0;

    if (deletes)
        assert_int_equal(hw_userdict_add(steps->user, word, 0, NULL), HW_OK);
    else if (json_is_null(given))
        assert_int_equal(hw_userdict_add_suggested(steps->user, word, NULL), HW_OK);
    else
        assert_int_equal(hw_userdict_add(steps->user, word,
                                         json_is_string(given)
                                             ? strtoull(json_string_value(given), NULL, 10)
                                             : (uint64_t)json_integer_value(given),
                                         NULL),
                         HW_OK);
    assert_true(hw_userdict_freq(steps->user, word, &freq));
    assert_int_equal(freq, json_integer_value(json_object_get(line, "freq")));
}

static void check_step(void *arg, const json_t *line)
{
    struct steps *steps = arg;
    const char *step = json_string_value(json_object_get(line, "step"));
    const json_t *text;
    size_t i;

    if (strcmp(step, "load_userdict") == 0)
        load_file(steps, line);
    else if (strcmp(step, "suggest") == 0)
        suggest(steps, line);
    else if (strcmp(step, "before") != 0)
        add_or_delete(steps, line);
    check_changed(steps, json_object_get(line, "changed"));
    assert_int_equal(hw_userdict_total(steps->user),
                     json_integer_value(json_object_get(line, "total")));
    json_array_foreach(json_object_get(line, "cuts"), i, text)
        check_all_modes(steps->seg, text);
    steps->count++;
}

static void every_step_of_the_user_dictionary_is_jiebas(void **state)
{
    struct steps steps = {0};

    (void)state;
    assert_int_equal(hw_userdict_new(&steps.user, dict, NULL), HW_OK);
    assert_int_equal(hw_segmenter_new(&steps.seg, dict, steps.user, NULL), HW_OK);
    const bool found = each_line("userdict.jsonl", check_step, &steps);
    hw_segmenter_free(steps.seg);
    hw_userdict_free(steps.user);
    if (!found)
        skip();
    printf("%zu steps\n", steps.count);
    assert_true(steps.count >= 13);
}

/* ---- whole counts ---- */

/* Counts a partition as a task would, compares, and appends the task's result to `results`. */
static void count_partition(const char *folder, const json_t *expected, json_t *results)
{
    hw_count count = {0};
    hw_error err = {0};
    json_t *ranking = NULL, *result = NULL;

    if (hw_count_day(&count, dict, folder, json_string_value(json_object_get(expected, "date")),
                     json_integer_value(json_object_get(expected, "level_lo")),
                     json_integer_value(json_object_get(expected, "level_hi")), &err) != HW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(hw_count_ranking(&ranking, &count, 100, NULL), HW_OK);
    test_assert_json(ranking, expected, "partition");
    assert_int_equal(hw_count_to_json(&result, &count, NULL), HW_OK);
    json_array_append_new(results, result);
    json_decref(ranking);
    hw_count_done(&count);
}

static void count_folder(const char *folder)
{
    char path[512];
    json_t *expected, *part, *results = json_array(), *ranking = NULL;
    hw_count sum = {0};
    hw_error err = {0};
    size_t i;

    snprintf(path, sizeof path, "%s/expected.json", folder);
    expected = test_load_json(path);
    assert_int_equal(json_array_size(json_object_get(expected, "partitions")), 4);
    json_array_foreach(json_object_get(expected, "partitions"), i, part)
        count_partition(folder, part, results);
    if (hw_count_merge(&sum, results, &err) != HW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(hw_count_ranking(&ranking, &sum, 100, NULL), HW_OK);
    test_assert_json(ranking, json_object_get(expected, "merged"), "merged");
    json_decref(ranking);
    json_decref(results);
    json_decref(expected);
    hw_count_done(&sum);
}

static void the_sample_gives_what_jieba_finds(void **state)
{
    (void)state;
    count_folder(test_env("HOTWORDS_DATA", "data"));
}

static void the_real_chat_gives_what_jieba_finds(void **state)
{
    const char *shared = test_shared_folder();
    char folder[512];

    (void)state;
    if (!shared)
        skip();
    snprintf(folder, sizeof folder, "%s/data/chat", shared);
    count_folder(folder);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(the_sample_gives_what_jieba_finds),
    };
    const struct CMUnitTest shared[] = {
        cmocka_unit_test(every_line_is_cut_as_jieba_cuts_it),
        cmocka_unit_test(an_empty_user_dictionary_changes_nothing),
        cmocka_unit_test(every_step_of_the_user_dictionary_is_jiebas),
        cmocka_unit_test(the_real_chat_gives_what_jieba_finds),
    };
    const int failed = cmocka_run_group_tests(own, open_all, close_all);

    if (failed != 0)
        return failed;
    if (!test_shared_folder())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(shared, open_all, close_all);
}
