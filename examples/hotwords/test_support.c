/* test_support.c - what the tests of this example share. */
#include "test_support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "dict_build.h"

int test_folder_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    test_folder *folder = calloc(1, sizeof *folder);

    if (!folder)
        return -1;
    snprintf(folder->path, sizeof folder->path, "%s/hotwords-test.XXXXXX",
             base ? base : "/tmp");
    if (!mkdtemp(folder->path)) {
        free(folder);
        return -1;
    }
    *state = folder;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *ftw)
{
    (void)about;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int test_folder_teardown(void **state)
{
    test_folder *folder = *state;
    int result = nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    free(folder);
    return result;
}

const char *test_path(void **state, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    const test_folder *folder = *state;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

const char *test_write(void **state, const char *name, const void *bytes, size_t len)
{
    const char *path = test_path(state, name);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *test_write_text(void **state, const char *name, const char *text)
{
    return test_write(state, name, text, strlen(text));
}

const char *test_env(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

hw_dict *test_open_dict(void)
{
    hw_dict *dict = NULL;
    hw_error err = {0};

    if (hw_dict_open_default(&dict, &err) != HW_OK)
        fail_msg("%s", err.message);
    return dict;
}

hw_dict *test_small_dict(void **state, const char *const *words, size_t count)
{
    const char *path = test_path(state, "small.dict");
    hw_dict_builder *builder = NULL;
    hw_dict *dict = NULL;
    hw_error err = {0};

    assert_int_equal(hw_dict_builder_new(&builder, NULL), HW_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hw_dict_builder_word(builder, words[i], strlen(words[i]), 10, NULL),
                         HW_OK);
    hw_dict_builder_start(builder, HW_STATE_B, -1);
    hw_dict_builder_start(builder, HW_STATE_S, -2);
    hw_dict_builder_trans(builder, HW_STATE_B, HW_STATE_E, -1);
    hw_dict_builder_trans(builder, HW_STATE_E, HW_STATE_B, -1);
    hw_dict_builder_trans(builder, HW_STATE_E, HW_STATE_S, -2);
    for (uint32_t cp = HW_HAN_FIRST; cp <= HW_HAN_LAST; cp++)
        for (unsigned state_number = 0; state_number < HW_STATES; state_number++)
            hw_dict_builder_emit(builder, (enum hw_state)state_number, cp, -1);
    if (hw_dict_builder_write(builder, path, &err) != HW_OK ||
        hw_dict_open(&dict, path, &err) != HW_OK)
        fail_msg("%s", err.message);
    hw_dict_builder_free(builder);
    return dict;
}

json_t *test_cut_json(hw_segmenter *seg, hw_mode mode, const char *text, size_t len)
{
    json_t *array = json_array();
    const hw_token *tokens = NULL;
    size_t count = 0;
    hw_error err = {0};

    if (hw_cut(seg, mode, text, len, &tokens, &count, &err) != HW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_stringn(tokens[i].bytes, tokens[i].len));
    return array;
}

void test_assert_cut(hw_segmenter *seg, hw_mode mode, const char *text, const char *expected)
{
    const hw_token *tokens = NULL;
    size_t count = 0;
    hw_buf joined = {0};
    hw_error err = {0};

    if (hw_cut(seg, mode, text, strlen(text), &tokens, &count, &err) != HW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            hw_buf_add_byte(&joined, '|');
        hw_buf_add(&joined, tokens[i].bytes, tokens[i].len);
    }
    hw_buf_add_byte(&joined, '\0');
    assert_string_equal(joined.bytes, expected);
    hw_buf_done(&joined);
}

void test_assert_json(const json_t *got, const json_t *expected, const char *what)
{
    char *left, *right;

    if (json_equal(got, expected))
        return;
    left = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);
    right = json_dumps(expected, JSON_ENCODE_ANY | JSON_COMPACT);
    print_error("%.300s:\ngot      %.2000s\nexpected %.2000s\n", what, left, right);
    free(left);
    free(right);
    fail();
}

json_t *test_load_json(const char *path)
{
    json_error_t why;
    json_t *document = json_load_file(path, 0, &why);

    if (!document)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    return document;
}

const char *test_shared_folder(void)
{
    const char *shared = test_env("CELERIAC_SHARED", "../shared");
    char path[512];

    snprintf(path, sizeof path, "%s/data/segment/cases.jsonl", shared);
    if (access(path, R_OK) == 0)
        return shared;
    printf("skipped: there is no ground truth in '%s' (set CELERIAC_SHARED)\n", shared);
    return NULL;
}
