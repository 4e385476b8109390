/* userdict_test.c - a user's words over a small dictionary, and files of them. */
#include <stdio.h>
#include <string.h>

#include "segment.h"
#include "test_support.h"
#include "userdict.h"

struct bench {
    hw_dict *dict;
    hw_userdict *user;
    hw_segmenter *seg;
};

static hw_word word_of(const char *text)
{
    return (hw_word){text, strlen(text)};
}

static struct bench open_bench(void **state)
{
    static const char *const words[] = {"中国", "中国人", "国人", "人民"};
    struct bench bench = {0};

    bench.dict = test_small_dict(state, words, 4);
    assert_int_equal(hw_userdict_new(&bench.user, bench.dict, NULL), HW_OK);
    assert_int_equal(hw_segmenter_new(&bench.seg, bench.dict, bench.user, NULL), HW_OK);
    return bench;
}

static void close_bench(struct bench *bench)
{
    hw_segmenter_free(bench->seg);
    hw_userdict_free(bench->user);
    hw_dict_close(bench->dict);
}

static hw_code add(struct bench *bench, const char *word, uint64_t freq)
{
    return hw_userdict_add(bench->user, word_of(word), freq, NULL);
}

/* -1: no key. */
static int64_t freq_of(const struct bench *bench, const char *word)
{
    uint64_t freq = 0;

    return hw_userdict_freq(bench->user, word_of(word), &freq) ? (int64_t)freq : -1;
}

static void without_words_all_is_as_before(void **state)
{
    struct bench bench = open_bench(state);

    assert_int_equal(freq_of(&bench, "中国"), 10);
    assert_int_equal(freq_of(&bench, "中"), 0);
    assert_int_equal(freq_of(&bench, "国家"), -1);
    assert_int_equal(freq_of(&bench, ""), -1);
    assert_int_equal(hw_userdict_total(bench.user), 40);
    test_assert_cut(bench.seg, HW_MODE_EXACT, "中国人民", "中国|人民");
    close_bench(&bench);
}

static void an_added_word_counts_from_the_next_cut_on(void **state)
{
    struct bench bench = open_bench(state);

    test_assert_cut(bench.seg, HW_MODE_NO_HMM, "国家队，中国人民", "国|家|队|，|中国|人民");
    assert_int_equal(add(&bench, "国家队", 5), HW_OK);
    assert_int_equal(add(&bench, "中国人民", 5), HW_OK);
    test_assert_cut(bench.seg, HW_MODE_NO_HMM, "国家队，中国人民", "国家队|，|中国人民");
    assert_int_equal(freq_of(&bench, "国家"), 0);
    assert_int_equal(freq_of(&bench, "中国人"), 10);
    assert_int_equal(hw_userdict_total(bench.user), 50);
    close_bench(&bench);
}

static void adding_again_replaces_the_frequency_but_sums_the_total(void **state)
{
    struct bench bench = open_bench(state);

    assert_int_equal(add(&bench, "中国", 3), HW_OK);
    assert_int_equal(add(&bench, "中国", 4), HW_OK);
    assert_int_equal(freq_of(&bench, "中国"), 4);
    assert_int_equal(hw_userdict_total(bench.user), 47);
    close_bench(&bench);
}

static void a_deleted_word_is_not_made_by_the_hmm_either(void **state)
{
    struct bench bench = open_bench(state);

    assert_int_equal(add(&bench, "国人", 0), HW_OK);
    assert_int_equal(freq_of(&bench, "国人"), 0);
    test_assert_cut(bench.seg, HW_MODE_EXACT, "国人国家",
                    "国|人|国家"); /* the HMM makes pairs */
    assert_int_equal(add(&bench, "国家", 0), HW_OK);
    test_assert_cut(bench.seg, HW_MODE_EXACT, "国人国家", "国|人|国|家");
    close_bench(&bench);
}

static void a_deleted_latin_word_stays_whole(void **state)
{
    struct bench bench = open_bench(state);

    assert_int_equal(add(&bench, "ab", 0), HW_OK);
    assert_int_equal(add(&bench, "++", 0), HW_OK);
    test_assert_cut(bench.seg, HW_MODE_EXACT, "ab++", "ab|++");
    close_bench(&bench);
}

static void bad_words_and_frequencies_are_refused(void **state)
{
    struct bench bench = open_bench(state);

    assert_int_equal(add(&bench, "", 1), HW_EINVAL);
    assert_int_equal(add(&bench, "\xE4\xB8", 1), HW_EINVAL);
    assert_int_equal(add(&bench, "词", HW_FREQ_MAX + 1), HW_EINVAL);
    assert_int_equal(add(&bench, "词", HW_FREQ_MAX),
                     HW_EINVAL); /* with the total it is too much */
    assert_int_equal(add(&bench, "词", HW_FREQ_MAX - 40), HW_OK);
    assert_int_equal(add(&bench, "词", 1), HW_EINVAL);
    assert_int_equal(hw_userdict_total(bench.user), HW_FREQ_MAX);
    close_bench(&bench);
}

static void many_words_stay_apart(void **state)
{
    struct bench bench = open_bench(state);
    char word[16];

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(word, sizeof word, "词%u", i);
        assert_int_equal(add(&bench, word, i + 1), HW_OK);
    }
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(word, sizeof word, "词%u", i);
        assert_int_equal(freq_of(&bench, word), i + 1);
    }
    assert_int_equal(freq_of(&bench, "词5000"), -1);
    close_bench(&bench);
}

static void a_suggestion_makes_or_breaks_a_word(void **state)
{
    struct bench bench = open_bench(state);
    const hw_word pieces[] = {word_of("中国"), word_of("人")};
    uint64_t freq = 0;

    assert_int_equal(hw_userdict_suggest(bench.user, word_of("中国人民"), &freq, NULL), HW_OK);
    assert_int_equal(freq, 3); /* 10/40 * 10/40 * 40, and one more */
    assert_int_equal(hw_userdict_total(bench.user), 40);
    assert_int_equal(hw_userdict_add_suggested(bench.user, word_of("中国人民"), NULL), HW_OK);
    test_assert_cut(bench.seg, HW_MODE_NO_HMM, "中国人民", "中国人民");
    assert_int_equal(hw_userdict_suggest_split(bench.user, pieces, 2, &freq, NULL), HW_OK);
    assert_int_equal(freq, 0);
    assert_int_equal(hw_userdict_suggest(bench.user, word_of("\xFF"), &freq, NULL), HW_EFORMAT);
    close_bench(&bench);
}

static void a_line_is_word_frequency_tag(void **state)
{
    struct bench bench = open_bench(state);
    const char *path =
        test_write_text(state, "user.txt",
                        "\xEF\xBB\xBF一号 11 n\n\n二 号 12\r\n三号 nz\n四号\t5\n五号 -5 \n六号 "
                        "7 N\n七号  8\n  9  \n十号 13");

    assert_int_equal(hw_userdict_load(bench.user, path, NULL), HW_OK);
    assert_int_equal(freq_of(&bench, "一号"), 11);
    assert_int_equal(freq_of(&bench, "二 号"), 12);
    assert_int_equal(freq_of(&bench, "三号"), 1);
    assert_int_equal(freq_of(&bench, "四号\t5"), 1);
    assert_int_equal(freq_of(&bench, "五号 -5"), 1);
    assert_int_equal(freq_of(&bench, "六号 7 N"), 1);
    assert_int_equal(freq_of(&bench, "七号 "), 8);
    assert_int_equal(freq_of(&bench, "9"), 2); /* 1/total * total, and one more */
    assert_int_equal(freq_of(&bench, "十号"), 13);
    close_bench(&bench);
}

static void a_bad_line_is_named_and_the_words_before_it_stay(void **state)
{
    struct bench bench = open_bench(state);
    hw_error err = {0};

    assert_int_equal(hw_userdict_load(bench.user,
                                      test_write_text(state, "bad.txt", "一号 2\n\n\xFF 3\n"),
                                      &err),
                     HW_EFORMAT);
    assert_non_null(strstr(err.message, "bad.txt:3: the word is not UTF-8"));
    assert_int_equal(freq_of(&bench, "一号"), 2);
    assert_int_equal(
        hw_userdict_load(bench.user,
                         test_write_text(state, "big.txt", "二号 99999999999999999999999\n"),
                         &err),
        HW_EFORMAT);
    assert_non_null(strstr(err.message, "big.txt:1: the frequency is above 2^53"));
    assert_int_equal(hw_userdict_load(bench.user, test_path(state, "none"), &err), HW_ENOENT);
    assert_non_null(strstr(err.message, "/none'"));
    close_bench(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_words_all_is_as_before),
        cmocka_unit_test(an_added_word_counts_from_the_next_cut_on),
        cmocka_unit_test(adding_again_replaces_the_frequency_but_sums_the_total),
        cmocka_unit_test(a_deleted_word_is_not_made_by_the_hmm_either),
        cmocka_unit_test(a_deleted_latin_word_stays_whole),
        cmocka_unit_test(bad_words_and_frequencies_are_refused),
        cmocka_unit_test(many_words_stay_apart),
        cmocka_unit_test(a_suggestion_makes_or_breaks_a_word),
        cmocka_unit_test(a_line_is_word_frequency_tag),
        cmocka_unit_test(a_bad_line_is_named_and_the_words_before_it_stay),
    };

    return cmocka_run_group_tests(tests, test_folder_setup, test_folder_teardown);
}
