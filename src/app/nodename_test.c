/* nodename_test.c - tests of nodename.c; the expectations were taken from Celery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/nodename.h"

static void worker_names_are_completed(void **state)
{
    static const char *const cases[][3] = {
        /* option, host name, node name; NULL: refused */
        {NULL, "vm", "celery@vm"},
        {"", "vm", "celery@vm"},
        {"w1", "vm", "celery@w1"},
        {"w1@%h", "x.example.com", "w1@x.example.com"},
        {"w1@", "vm", "w1@vm"},
        {"@h", "vm", "celery@h"},
        {"a@b@c", "vm", "a@b@c"},
        {"%n@%d", "x.example.com", "x@example.com"},
        {"w%i%I@%n.%d", "x.example.com", "w0@x.example.com"},
        {"w%%@h", "vm", "w%@h"},
        {"%p@h", "vm", NULL},
        {"w%", "vm", NULL},
        {"w 1@h", "vm", NULL},
        {"w\n@h", "vm", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel__buf buf = {0};
        cel_error err;
        cel_code code = cel__nodename(&buf, cases[i][0], cases[i][1], &err);
        assert_int_equal(code, cases[i][2] ? CEL_OK : CEL_EINVAL);
        if (cases[i][2])
            assert_string_equal(cel__buf_cstr(&buf), cases[i][2]);
        cel__buf_done(&buf);
    }
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    char name[400];
    cel__buf buf = {0};

    (void)state;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(cel__nodename(&buf, name, "vm", NULL), CEL_EINVAL);
    cel__buf_done(&buf);
}

static void paths_are_made_from_templates(void **state)
{
    static const struct {
        const char *format, *node;
        int index;
        const char *path;
    } cases[] = {
        {"/v/%n%I.log", "w1@x.example.com", 0, "/v/w1.log"},
        {"/v/%n%I.log", "w1@x.example.com", 3, "/v/w1-3.log"},
        {"%h|%d|%p|%i|%%", "w1@x.example.com", 2,
         "x.example.com|example.com|w1@x.example.com|2|%"},
        {"%d.", "w1@host", 0, "."},
        {"%n", "@host", 0, "celery"},
        {"%x", "w1@host", 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel__buf buf = {0};
        cel_code code =
            cel__node_format(&buf, cases[i].format, cases[i].node, cases[i].index, NULL);
        assert_int_equal(code, cases[i].path ? CEL_OK : CEL_EINVAL);
        if (cases[i].path)
            assert_string_equal(cel__buf_cstr(&buf), cases[i].path);
        cel__buf_done(&buf);
    }
}

static void clients_have_a_name_of_their_own(void **state)
{
    char hostname[CEL_HOSTNAME_MAX];
    cel__buf buf = {0};

    (void)state;
    cel__hostname(hostname);
    assert_true(hostname[0] != '\0');
    cel__nodename_anonymous(&buf, 42, "h");
    assert_string_equal(cel__buf_cstr(&buf), "gen42@h");
    cel__buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_names_are_completed),
        cmocka_unit_test(a_name_that_is_too_long_is_refused),
        cmocka_unit_test(paths_are_made_from_templates),
        cmocka_unit_test(clients_have_a_name_of_their_own),
    };

    return cmocka_run_group_tests_name("nodename", tests, NULL, NULL);
}
