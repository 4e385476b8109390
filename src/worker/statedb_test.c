/* statedb_test.c - tests of statedb.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/test_folder.h"
#include "worker/statedb.h"

static char folder[100], path[128];

static int make_folder(void **state)
{
    (void)state;
    if (!cel__test_folder(folder, sizeof folder, "statedb"))
        return -1;
    snprintf(path, sizeof path, "%s/state", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static cel_revoked *make_set(void)
{
    cel_revoked *revoked;

    assert_int_equal(cel__revoked_new(&revoked, 10, 100000, NULL), CEL_OK);
    return revoked;
}

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void what_is_saved_is_read_by_the_next(void **state)
{
    cel_revoked *revoked = make_set(), *next = make_set();
    cel_statedb *statedb;
    struct stat info;

    (void)state;
    assert_int_equal(cel__statedb_open(&statedb, path, revoked, 1000, NULL), CEL_OK);
    cel__revoked_add(revoked, CEL_VIEW("a"), 1000, 1000);
    assert_int_equal(cel__statedb_save(statedb, NULL), CEL_OK);
    cel__statedb_free(statedb);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(cel__statedb_open(&statedb, path, next, 2000, NULL), CEL_OK);
    assert_true(cel__revoked_has(next, CEL_VIEW("a"), 2000));
    cel__statedb_free(statedb);
    cel__revoked_free(revoked);
    cel__revoked_free(next);
}

static void a_change_is_written_by_the_loop(void **state)
{
    cel_revoked *revoked = make_set();
    cel_statedb *statedb;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(cel__statedb_open(&statedb, path, revoked, 1000, NULL), CEL_OK);
    cel__statedb_start(statedb, &loop, NULL, NULL);
    cel__revoked_add(revoked, CEL_VIEW("a"), 1000, 1000);
    cel__statedb_touch(statedb);
    while (access(path, F_OK) != 0)
        uv_run(&loop, UV_RUN_ONCE);
    cel__statedb_stop(statedb);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    cel__statedb_free(statedb);
    cel__revoked_free(revoked);
}

static void a_foreign_file_is_refused_and_left_alone(void **state)
{
    static const char *const texts[] = {"GDBM or so", "[1]", "{\"clock\": 1}", "{"};
    cel_revoked *revoked = make_set();
    cel_statedb *statedb;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cel_error err = {0};
        struct stat info;

        write_text(texts[i]);
        assert_int_equal(cel__statedb_open(&statedb, path, revoked, 1, &err), CEL_ECONFIG);
        assert_non_null(strstr(err.message, path));
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_size, strlen(texts[i]));
    }
    cel__revoked_free(revoked);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    cel_revoked *revoked = make_set();
    cel_statedb *statedb;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel__statedb_open(&statedb, "/nonexistent/folder/state", revoked, 1, &err),
                     CEL_OK);
    assert_int_equal(cel__statedb_save(statedb, &err), CEL_EIO);
    assert_non_null(strstr(err.message, "/nonexistent/folder/state"));
    cel__statedb_free(statedb);
    cel__revoked_free(revoked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_saved_is_read_by_the_next, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_change_is_written_by_the_loop, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_foreign_file_is_refused_and_left_alone, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
