/* buf_test.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "test_support.h"

static void what_is_added_is_there(void **state)
{
    hw_buf buf = {0};

    (void)state;
    assert_true(hw_buf_add(&buf, NULL, 0));
    assert_true(hw_buf_add(&buf, "ab", 2));
    assert_true(hw_buf_add_byte(&buf, '\0'));
    for (int i = 0; i < 1000; i++)
        assert_true(hw_buf_add_byte(&buf, (char)('0' + i % 10)));
    assert_int_equal(buf.len, 1003);
    assert_memory_equal(buf.bytes, "ab\0000123456789", 13);
    hw_buf_done(&buf);
    assert_null(buf.bytes);
    assert_int_equal(buf.cap, 0);
}

static void room_that_cannot_be_is_refused(void **state)
{
    hw_buf buf = {0};

    (void)state;
    assert_true(hw_buf_add(&buf, "ab", 2));
    assert_false(hw_buf_reserve(&buf, SIZE_MAX));
    assert_false(hw_buf_reserve(&buf, SIZE_MAX - 1));
    assert_int_equal(buf.len, 2);
    assert_memory_equal(buf.bytes, "ab", 2);
    hw_buf_done(&buf);
}

static void an_array_grows_by_doubling(void **state)
{
    size_t cap = 0, moves = 0;
    uint64_t *items = NULL;

    (void)state;
    for (size_t i = 0; i < 100000; i++) {
        const size_t before = cap;

        items = hw_grow(items, &cap, sizeof *items, i + 1);
        assert_non_null(items);
        assert_true(cap > i);
        items[i] = i;
        moves += cap != before;
    }
    assert_true(moves < 20);
    assert_int_equal(items[99999], 99999);
    assert_null(hw_grow(items, &cap, sizeof *items, SIZE_MAX / 4));
    free(items);
}

static void a_file_is_appended(void **state)
{
    const char *path = test_write(state, "file", "x\0y", 3);
    hw_buf buf = {0};

    assert_true(hw_buf_add(&buf, "a", 1));
    assert_int_equal(hw_buf_add_file(&buf, path, NULL), HW_OK);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.bytes, "ax\0y", 4);
    hw_buf_done(&buf);
}

static void a_missing_file_and_a_folder_are_errors_that_name_them(void **state)
{
    const test_folder *folder = *state;
    hw_buf buf = {0};
    hw_error err = {0};

    assert_true(hw_buf_add(&buf, "a", 1));
    assert_int_equal(hw_buf_add_file(&buf, test_path(state, "none"), &err), HW_ENOENT);
    assert_non_null(strstr(err.message, "/none'"));
    assert_int_equal(hw_buf_add_file(&buf, folder->path, &err), HW_EIO);
    assert_non_null(strstr(err.message, folder->path));
    assert_int_equal(buf.len, 1);
    hw_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_there),
        cmocka_unit_test(room_that_cannot_be_is_refused),
        cmocka_unit_test(an_array_grows_by_doubling),
        cmocka_unit_test(a_file_is_appended),
        cmocka_unit_test(a_missing_file_and_a_folder_are_errors_that_name_them),
    };

    return cmocka_run_group_tests(tests, test_folder_setup, test_folder_teardown);
}
