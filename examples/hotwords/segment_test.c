/* segment_test.c - the rules of cutting, one by one. The proof that all of them together are jieba's
 * is groundtruth_test.c. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "segment.h"
#include "test_support.h"

struct fixture {
    hw_dict *dict;
    hw_segmenter *seg;
};

static struct fixture all;

static int open_all(void **state)
{
    if (test_folder_setup(state) != 0)
        return -1;
    all.dict = test_open_dict();
    return hw_segmenter_new(&all.seg, all.dict, NULL, NULL) == HW_OK ? 0 : -1;
}

static int close_all(void **state)
{
    hw_segmenter_free(all.seg);
    hw_dict_close(all.dict);
    return test_folder_teardown(state);
}

static void nothing_gives_nothing(void **state)
{
    const hw_token *tokens;
    size_t count = 7;

    (void)state;
    for (unsigned mode = HW_MODE_EXACT; mode <= HW_MODE_SEARCH; mode++) {
        assert_int_equal(hw_cut(all.seg, (hw_mode)mode, NULL, 0, &tokens, &count, NULL), HW_OK);
        assert_int_equal(count, 0);
    }
}

static void words_are_found(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_EXACT, "我来到北京清华大学", "我|来到|北京|清华大学");
    test_assert_cut(all.seg, HW_MODE_NO_HMM, "他来到了网易杭研大厦",
                    "他|来到|了|网易|杭|研|大厦");
    test_assert_cut(all.seg, HW_MODE_EXACT, "他来到了网易杭研大厦",
                    "他|来到|了|网易|杭研|大厦");
    test_assert_cut(all.seg, HW_MODE_ALL, "我来到北京清华大学",
                    "我|来到|北京|清华|清华大学|华大|大学");
    test_assert_cut(all.seg, HW_MODE_SEARCH, "清华大学", "清华|华大|大学|清华大学");
}

static void of_equal_routes_the_longer_first_word_wins(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_EXACT, "哈哈哈哈哈", "哈哈哈|哈哈");
    test_assert_cut(all.seg, HW_MODE_EXACT, "冲冲冲", "冲冲|冲");
}

static void characters_of_a_known_word_are_not_joined_again(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_EXACT, "不约", "不|约");
}

static void numbers_keep_their_fraction_and_percent_sign(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_EXACT, "3.14%和v1.2.3", "3.14%|和|v1.2|.|3");
    test_assert_cut(all.seg, HW_MODE_EXACT, "50%%", "50%|%");
    test_assert_cut(all.seg, HW_MODE_EXACT, "1..2", "1|..|2");
    test_assert_cut(all.seg, HW_MODE_EXACT, "i++", "i|++");
    test_assert_cut(all.seg, HW_MODE_NO_HMM, "3.14", "3|.|14");
    test_assert_cut(all.seg, HW_MODE_NO_HMM, "--", "-|-");
}

static void outside_blocks_each_character_is_a_token(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_EXACT, " \t，。〇𠮷é", " |\t|，|。|〇|𠮷|é");
    test_assert_cut(all.seg, HW_MODE_EXACT, "\r\n\n\r", "\r\n|\n|\r");
    test_assert_cut(all.seg, HW_MODE_EXACT, "\xE9\xBF\x95\xE9\xBF\x96",
                    "\xE9\xBF\x95|\xE9\xBF\x96");
}

static void cut_all_gives_empty_pieces_and_late_latin(void **state)
{
    (void)state;
    test_assert_cut(all.seg, HW_MODE_ALL, " ", "| |");
    test_assert_cut(all.seg, HW_MODE_ALL, "a b", "a|| ||b");
    test_assert_cut(all.seg, HW_MODE_ALL, "，。", "，。");
    test_assert_cut(all.seg, HW_MODE_ALL, "\r\n", "|\r\n|");
    test_assert_cut(all.seg, HW_MODE_ALL, "aT恤b", "aT恤|b");
    test_assert_cut(all.seg, HW_MODE_ALL, "XX光线", "X光|X光线|X|光线");
}

/* Two Latin words that overlap stand between two that do not: jieba joins the outer ones. */
static void cut_all_joins_latin_that_stands_apart(void **state)
{
    static const char *const words[] = {"b", "bc", "d"};
    hw_dict *dict = test_small_dict(state, words, 3);
    hw_segmenter *seg = NULL;

    assert_int_equal(hw_segmenter_new(&seg, dict, NULL, NULL), HW_OK);
    test_assert_cut(seg, HW_MODE_ALL, "abcd abcd", "bc|ad|| ||bc|ad");
    hw_segmenter_free(seg);
    hw_dict_close(dict);
}

static void nul_is_a_character_like_any_other(void **state)
{
    json_t *got = test_cut_json(all.seg, HW_MODE_EXACT, "你好\0世界", 13);
    json_t *expected = json_pack("[s,s#,s]", "你好", "\0", 1, "世界");

    (void)state;
    test_assert_json(got, expected, "NUL");
    json_decref(got);
    json_decref(expected);
}

static void what_is_not_utf8_is_an_error_that_says_where(void **state)
{
    static const char *const bad[] = {
        "你好\x80",         "你好\xE4\xB8",         "你好\xC0\x80",
        "你好\xED\xA0\x80", "你好\xF4\x90\x80\x80", "你好\xFF",
        "你好\xF0\x9F\x98", "你好\xE0\x80\x80",
    };
    const hw_token *tokens;
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (unsigned mode = HW_MODE_EXACT; mode <= HW_MODE_SEARCH; mode++) {
            hw_error err = {0};

            assert_int_equal(
                hw_cut(all.seg, (hw_mode)mode, bad[i], strlen(bad[i]), &tokens, &count, &err),
                HW_EFORMAT);
            assert_string_equal(err.message, "the text is not UTF-8 at byte 6");
        }
    }
    test_assert_cut(all.seg, HW_MODE_EXACT, "你好", "你好"); /* and goes on working */
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    const hw_token *tokens;
    size_t count;

    (void)state;
    assert_int_equal(
        hw_cut(all.seg, HW_MODE_EXACT, "x", HW_TEXT_MAX + 1, &tokens, &count, NULL), HW_EINVAL);
}

/* Every code point and random bytes: the tokens of the exact modes are the text. */
static void assert_joined(hw_mode mode, const char *text, size_t len)
{
    const hw_token *tokens;
    size_t count = 0, at = 0;

    assert_int_equal(hw_cut(all.seg, mode, text, len, &tokens, &count, NULL), HW_OK);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(tokens[i].bytes, text + at);
        assert_true(tokens[i].len > 0 && tokens[i].chars > 0);
        at += tokens[i].len;
    }
    assert_int_equal(at, len);
}

static void the_tokens_joined_are_the_text(void **state)
{
    hw_buf text = {0};
    unsigned seed = 7;

    (void)state;
    for (uint32_t cp = 0; cp <= 0xFFFF; cp++) {
        const unsigned char three[] = {(unsigned char)(0xE0 | cp >> 12),
                                       (unsigned char)(0x80 | (cp >> 6 & 0x3F)),
                                       (unsigned char)(0x80 | (cp & 0x3F))};

        if (cp < 0x80)
            hw_buf_add_byte(&text, (char)cp);
        else if (cp >= 0x800 && (cp < 0xD800 || cp > 0xDFFF))
            hw_buf_add(&text, three, 3);
        if (rand_r(&seed) % 5 == 0)
            hw_buf_add(&text, "的", 3);
    }
    assert_joined(HW_MODE_EXACT, text.bytes, text.len);
    assert_joined(HW_MODE_NO_HMM, text.bytes, text.len);
    hw_buf_done(&text);
}

/* Must take a moment, not minutes: no mode may look at the rest of the text for each token. */
static void a_long_block_takes_linear_time(void **state)
{
    hw_buf text = {0};
    const hw_token *tokens;
    size_t count;

    (void)state;
    for (size_t i = 0; i < 40000; i++)
        hw_buf_add(&text, "清华大学网易杭研", 24);
    for (unsigned mode = HW_MODE_EXACT; mode <= HW_MODE_SEARCH; mode++)
        assert_int_equal(
            hw_cut(all.seg, (hw_mode)mode, text.bytes, text.len, &tokens, &count, NULL), HW_OK);
    assert_joined(HW_MODE_EXACT, text.bytes, text.len);
    hw_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gives_nothing),
        cmocka_unit_test(words_are_found),
        cmocka_unit_test(of_equal_routes_the_longer_first_word_wins),
        cmocka_unit_test(characters_of_a_known_word_are_not_joined_again),
        cmocka_unit_test(numbers_keep_their_fraction_and_percent_sign),
        cmocka_unit_test(outside_blocks_each_character_is_a_token),
        cmocka_unit_test(cut_all_gives_empty_pieces_and_late_latin),
        cmocka_unit_test(cut_all_joins_latin_that_stands_apart),
        cmocka_unit_test(nul_is_a_character_like_any_other),
        cmocka_unit_test(what_is_not_utf8_is_an_error_that_says_where),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(the_tokens_joined_are_the_text),
        cmocka_unit_test(a_long_block_takes_linear_time),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
