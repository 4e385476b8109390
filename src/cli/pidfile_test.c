/* pidfile_test.c - one worker per pidfile, and no file left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pidfile.h"
#include "core/test_folder.h"

static char folder[100];
static char path[120];

static int make_folder(void **state)
{
    (void)state;
    if (!cel__test_folder(folder, sizeof folder, "pidfile"))
        return -1;
    snprintf(path, sizeof path, "%s/worker.pid", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_holds_own_pid(void)
{
    FILE *file = fopen(path, "r");
    int pid = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    assert_int_equal(fgetc(file), '\n');
    fclose(file);
    assert_int_equal(pid, getpid());
}

/* A process id that was in use and is not any more. */
static int dead_pid(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return (int)pid;
}

static void a_new_file_holds_the_process_id_and_is_readable_by_all(void **state)
{
    struct stat st;
    int pid = 0;
    bool stale = true;

    (void)state;
    umask(022);
    assert_int_equal(cel__pidfile_create(path, &pid, &stale, NULL), CEL_OK);
    assert_false(stale);
    assert_holds_own_pid();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    cel__pidfile_remove(path);
    assert_int_equal(access(path, F_OK), -1);
}

static void the_file_of_a_living_process_is_left_alone(void **state)
{
    char text[32];
    int pid = 0;
    bool stale = false;
    cel_error err = {0};

    (void)state;
    snprintf(text, sizeof text, "%d\n", (int)getppid());
    write_file(text);
    assert_int_equal(cel__pidfile_create(path, &pid, &stale, &err), CEL_EEXIST);
    assert_int_equal(pid, getppid());
    assert_non_null(strstr(err.message, "already exists."));
    cel__pidfile_remove(path); /* not ours */
    assert_int_equal(access(path, F_OK), 0);
}

static void the_file_of_a_dead_process_is_replaced(void **state)
{
    char text[32];
    int pid = 0;
    bool stale = false;

    (void)state;
    snprintf(text, sizeof text, "%d\n", dead_pid());
    write_file(text);
    assert_int_equal(cel__pidfile_create(path, &pid, &stale, NULL), CEL_OK);
    assert_true(stale);
    assert_holds_own_pid();
}

static void a_file_without_a_process_id_is_replaced(void **state)
{
    static const char *const texts[] = {"",       "\n",  "nonsense\n",           "12 monkeys\n",
                                        "-5\n",   "0\n", "99999999999999999999", "4294967297\n",
                                        "1.5e3\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int pid = 0;
        bool stale = false;

        write_file(texts[i]);
        assert_int_equal(cel__pidfile_create(path, &pid, &stale, NULL), CEL_OK);
        assert_true(stale);
        assert_holds_own_pid();
        cel__pidfile_remove(path);
    }
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    char missing[128];
    int pid = 0;
    bool stale = false;
    cel_error err = {0};

    (void)state;
    snprintf(missing, sizeof missing, "%s/missing/worker.pid", folder);
    assert_int_equal(cel__pidfile_create(missing, &pid, &stale, &err), CEL_EIO);
    assert_non_null(strstr(err.message, missing));
}

static void removing_what_is_not_there_does_nothing(void **state)
{
    (void)state;
    cel__pidfile_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_file_holds_the_process_id_and_is_readable_by_all,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_file_of_a_living_process_is_left_alone, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_file_of_a_dead_process_is_replaced, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_file_without_a_process_id_is_replaced, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_named, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(removing_what_is_not_there_does_nothing, make_folder,
                                        remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
