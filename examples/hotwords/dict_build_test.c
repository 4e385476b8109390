/* dict_build_test.c - what goes into a dictionary is found again, and nothing else. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cells.h"
#include "dict.h"
#include "dict_build.h"
#include "test_support.h"
#include "userdict.h"
#include "utf8.h"

static hw_code add(hw_dict_builder *builder, const char *word, uint32_t freq, hw_error *err)
{
    return hw_dict_builder_word(builder, word, strlen(word), freq, err);
}

/* -1: no key; else its frequency. */
static int64_t freq_of(const hw_dict *dict, const char *word)
{
    const unsigned char *p = (const unsigned char *)word;
    uint32_t cell = 0;

    for (size_t left = strlen(word); left > 0;) {
        uint32_t cp = 0;
        unsigned taken = hw_utf8_decode(p, left, &cp);

        cell = hw_dict_step(dict, cell, hw_dict_label(dict, cp));
        if (cell == 0)
            return -1;
        p += taken;
        left -= taken;
    }
    return (int64_t)dict->freq[dict->cell[cell].freq];
}

static void words_prefixes_and_absent_ones_are_told_apart(void **state)
{
    const char *path = test_path(state, "a.dict");
    hw_dict_builder *builder = NULL;
    hw_dict *dict = NULL;

    assert_int_equal(hw_dict_builder_new(&builder, NULL), HW_OK);
    assert_int_equal(add(builder, "中国人", 7, NULL), HW_OK);
    assert_int_equal(add(builder, "国", 4000000000u, NULL), HW_OK);
    assert_int_equal(add(builder, "A", 3, NULL), HW_OK);
    assert_int_equal(add(builder, "A座", 2, NULL), HW_OK);
    assert_int_equal(add(builder, "国", 9, NULL), HW_OK); /* the last counts, both are summed */
    assert_int_equal(hw_dict_builder_write(builder, path, NULL), HW_OK);
    hw_dict_builder_free(builder);
    assert_int_equal(hw_dict_open(&dict, path, NULL), HW_OK);
    assert_int_equal(freq_of(dict, "中国人"), 7);
    assert_int_equal(freq_of(dict, "中国"), 0);
    assert_int_equal(freq_of(dict, "中"), 0);
    assert_int_equal(freq_of(dict, "国"), 9);
    assert_int_equal(freq_of(dict, "国人"), -1);
    assert_int_equal(freq_of(dict, "A"), 3);
    assert_int_equal(freq_of(dict, "A座"), 2);
    assert_int_equal(freq_of(dict, "座"), -1);
    assert_int_equal(freq_of(dict, "，"), -1);
    assert_int_equal(dict->header->total, 4000000021u);
    assert_int_equal(dict->header->word_count, 4);
    assert_true(dict->header->log_total == log(4000000021.0));
    hw_dict_close(dict);
}

static void a_thousand_words_are_found_again(void **state)
{
    const char *path = test_path(state, "many.dict");
    hw_dict_builder *builder = NULL;
    hw_dict *dict = NULL;
    char word[32];

    assert_int_equal(hw_dict_builder_new(&builder, NULL), HW_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(word, sizeof word, "w%u", i * 7919 % 10007);
        assert_int_equal(add(builder, word, i + 1, NULL), HW_OK);
    }
    assert_int_equal(hw_dict_builder_write(builder, path, NULL), HW_OK);
    hw_dict_builder_free(builder);
    assert_int_equal(hw_dict_open(&dict, path, NULL), HW_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(word, sizeof word, "w%u", i * 7919 % 10007);
        assert_int_equal(freq_of(dict, word), i + 1);
    }
    assert_int_equal(freq_of(dict, "w99999"), -1);
    hw_dict_close(dict);
}

static void bad_words_are_refused(void **state)
{
    hw_dict_builder *builder = NULL;
    hw_error err = {0};

    (void)state;
    assert_int_equal(hw_dict_builder_new(&builder, NULL), HW_OK);
    assert_int_equal(add(builder, "", 1, &err), HW_EINVAL);
    assert_int_equal(add(builder, "词", 0, &err), HW_EINVAL);
    assert_int_equal(add(builder, "\xE4\xB8", 1, &err), HW_EINVAL);
    assert_string_equal(err.message, "the word is not UTF-8");
    assert_int_equal(add(builder, "\xF0\xA0\xAE\xB7", 1, &err), HW_EINVAL);
    assert_string_equal(err.message, "the word holds U+20BB7, outside the BMP");
    assert_int_equal(hw_dict_builder_write(builder, "/nowhere/x", &err), HW_EINVAL);
    assert_string_equal(err.message, "there are no words");
    hw_dict_builder_free(builder);
}

static size_t files_in(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void a_file_that_cannot_be_written_leaves_nothing_behind(void **state)
{
    const test_folder *folder = *state;
    const char *path = test_path(state, "occupied");
    hw_dict_builder *builder = NULL;
    hw_error err = {0};
    size_t before;

    assert_int_equal(mkdir(path, 0700), 0);
    before = files_in(folder->path);
    assert_int_equal(hw_dict_builder_new(&builder, NULL), HW_OK);
    assert_int_equal(add(builder, "词", 1, NULL), HW_OK);
    assert_int_equal(hw_dict_builder_write(builder, path, &err), HW_EIO);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(files_in(folder->path), before);
    hw_dict_builder_free(builder);
}

static void no_two_nodes_share_a_base_or_a_cell(void **state)
{
    static const uint16_t labels[][4] = {{1, 2, 3, 4}, {2, 9, 700, 60000}, {5}, {5}, {1, 3},
                                         {65000}};
    static const size_t counts[] = {4, 4, 1, 1, 2, 1};
    static unsigned char cells_seen[200000], bases_seen[200000];
    hw_cells cells = {0};

    (void)state;
    memset(cells_seen, 0, sizeof cells_seen);
    memset(bases_seen, 0, sizeof bases_seen);
    cells_seen[0] = 1;
    bases_seen[0] = 1;
    for (unsigned round = 0; round < 300; round++) {
        const size_t which = round % 6;
        uint32_t base = 0;

        assert_int_equal(hw_cells_place(&cells, labels[which], counts[which], &base, NULL),
                         HW_OK);
        assert_int_equal(bases_seen[base]++, 0);
        for (size_t i = 0; i < counts[which]; i++) {
            assert_int_equal(cells_seen[base + labels[which][i]]++, 0);
            assert_true(base + labels[which][i] <= cells.last);
        }
        assert_true(base <= cells.last_base);
    }
    hw_cells_done(&cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_prefixes_and_absent_ones_are_told_apart),
        cmocka_unit_test(a_thousand_words_are_found_again),
        cmocka_unit_test(bad_words_are_refused),
        cmocka_unit_test(a_file_that_cannot_be_written_leaves_nothing_behind),
        cmocka_unit_test(no_two_nodes_share_a_base_or_a_cell),
    };

    return cmocka_run_group_tests(tests, test_folder_setup, test_folder_teardown);
}
