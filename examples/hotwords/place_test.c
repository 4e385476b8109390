/* place_test.c - finding files beside the program. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "place.h"
#include "test_support.h"

static void a_file_beside_the_program_is_found(void **state)
{
    char path[PATH_MAX];

    (void)state;
    assert_true(hw_place_find(path, sizeof path, "hotwords_place_test"));
    assert_int_equal(access(path, X_OK), 0);
    assert_string_equal(strrchr(path, '/'), "/hotwords_place_test");
}

static void what_is_nowhere_is_looked_for_in_the_installed_folder_last(void **state)
{
    char path[PATH_MAX];

    (void)state;
    assert_false(hw_place_find(path, sizeof path, "no such file"));
    assert_string_equal(path, HW_DATADIR "/no such file");
}

static void a_path_that_does_not_fit_is_not_found(void **state)
{
    char path[8];

    (void)state;
    assert_false(hw_place_find(path, sizeof path, "hotwords_place_test"));
    assert_int_equal(memchr(path, '\0', sizeof path) != NULL, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_beside_the_program_is_found),
        cmocka_unit_test(what_is_nowhere_is_looked_for_in_the_installed_folder_last),
        cmocka_unit_test(a_path_that_does_not_fit_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
