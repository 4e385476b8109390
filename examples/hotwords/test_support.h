/* test_support.h - what the tests of this example share. Failures end the test through cmocka. */
#ifndef HW_TEST_SUPPORT_H
#define HW_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dict.h"
#include "segment.h"

#define TEST_SKIPPED 77 /* the exit status that says so */

typedef struct test_folder {
    char path[256];
} test_folder;

/* Group fixtures: *state is a test_folder, empty, removed with all that is in it. */
int test_folder_setup(void **state);
int test_folder_teardown(void **state);

/* The path of `name` in the folder; valid until the fourth call after this one. */
const char *test_path(void **state, const char *name);

/* Writes a file; test_write_text() takes a string. Return its path, as test_path() does. */
const char *test_write(void **state, const char *name, const void *bytes, size_t len);
const char *test_write_text(void **state, const char *name, const char *text);

/* The value of an environment variable that meson sets, or `otherwise`. */
const char *test_env(const char *name, const char *otherwise);

/* Opens the dictionary that was built; the caller closes it. */
hw_dict *test_open_dict(void);

/* Compiles and opens a dictionary of `count` words, all of frequency 10, and an HMM that joins every
 * two characters; the caller closes it. */
hw_dict *test_small_dict(void **state, const char *const *words, size_t count);

/* Cuts and compares: `expected` is the tokens joined with '|'. */
void test_assert_cut(hw_segmenter *seg, hw_mode mode, const char *text, const char *expected);

/* Cuts and returns the tokens as a JSON array, for the caller to decref. */
json_t *test_cut_json(hw_segmenter *seg, hw_mode mode, const char *text, size_t len);

/* Fails with both values printed if they differ. */
void test_assert_json(const json_t *got, const json_t *expected, const char *what);

/* Reads a JSON file; the caller decrefs. */
json_t *test_load_json(const char *path);

/* The folder with the project's ground truth, or NULL after having said that it is absent. */
const char *test_shared_folder(void);

#endif
