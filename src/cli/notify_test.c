/* notify_test.c - what a service manager hears. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/notify.h"

struct fixture {
    uv_loop_t loop;
    cel_notify notify;
    int manager; /* the manager's socket */
    char name[108];
    const char *why;
};

static const char *why_not(void *user)
{
    return ((struct fixture *)user)->why;
}

/* A manager with an address that is no file. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len;

    if (!f)
        return -1;
    len = snprintf(f->name, sizeof f->name, "@celeriac-notify-%d", (int)getpid());
    memcpy(address.sun_path + 1, f->name + 1, (size_t)len - 1);
    f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(f->manager, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) != 0)
        return -1;
    setenv("NOTIFY_SOCKET", f->name, 1);
    uv_loop_init(&f->loop);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cel__notify_stop(&f->notify);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_loop_close(&f->loop);
    close(f->manager);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    cel__notify_start(&f->notify, &f->loop, why_not, f);
    if (f->notify.started)
        uv_ref((uv_handle_t *)&f->notify.timer); /* nothing else keeps this loop going */
}

/* Ends what was started, so that it can be started again. */
static void stop(struct fixture *f)
{
    cel__notify_stop(&f->notify);
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

/* What was said next; the loop turns until something is. */
static const char *heard(struct fixture *f)
{
    static char text[512];
    ssize_t len;

    while ((len = recv(f->manager, text, sizeof text - 1, 0)) < 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    text[len] = '\0';
    return text;
}

/* What was said next that is news. */
static const char *news(struct fixture *f)
{
    const char *text;

    do
        text = heard(f);
    while (strcmp(text, "WATCHDOG=1") == 0);
    return text;
}

static void assert_silent(struct fixture *f)
{
    char text[512];

    assert_int_equal(recv(f->manager, text, sizeof text, 0), -1);
}

static void ready_means_that_it_takes_work(void **state)
{
    struct fixture *f = *state;

    f->why = "the broker is out of reach";
    start(f);
    assert_string_equal(heard(f), "STATUS=the broker is out of reach");
    assert_string_equal(heard(f), "WATCHDOG=1");
    assert_string_equal(heard(f), "WATCHDOG=1"); /* nothing new: nothing but that */
    f->why = NULL;
    assert_string_equal(news(f), "READY=1\nSTATUS=takes work");
    assert_string_equal(heard(f), "WATCHDOG=1");
}

static void an_outage_later_is_a_status_and_ready_is_said_once(void **state)
{
    struct fixture *f = *state;

    setenv("WATCHDOG_USEC", "20000", 1);
    start(f);
    assert_int_equal(f->notify.every_ms, 10);
    assert_string_equal(news(f), "READY=1\nSTATUS=takes work");
    f->why = "the broker is out of reach";
    assert_string_equal(news(f), "STATUS=the broker is out of reach");
    f->why = NULL;
    assert_string_equal(news(f), "STATUS=takes work");
}

static void the_end_and_a_new_beginning_are_told(void **state)
{
    struct fixture *f = *state;

    start(f);
    cel__notify_stopping(&f->notify, true);
    assert_int_equal(strncmp(heard(f), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    cel__notify_stopping(&f->notify, false);
    assert_string_equal(heard(f), "STOPPING=1");
    cel__notify_stop(&f->notify);
    cel__notify_stopping(&f->notify, false);
    assert_silent(f);
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
    struct fixture *f = *state;

    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    start(f);
    assert_int_equal(f->notify.every_ms, 1000);
    stop(f);
    setenv("WATCHDOG_USEC", "-5", 1);
    unsetenv("WATCHDOG_PID");
    start(f);
    assert_int_equal(f->notify.every_ms, 1000);
}

static void nobody_listens_and_nothing_happens(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"", "relative", "@", "/no/such/socket"};
    char longest[300];

    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        start(f);
        assert_false(f->notify.started);
        cel__notify_stopping(&f->notify, false);
        cel__notify_stop(&f->notify);
    }
    setenv("NOTIFY_SOCKET", longest, 1);
    start(f);
    assert_false(f->notify.started);
    unsetenv("NOTIFY_SOCKET");
    start(f);
    assert_false(f->notify.started);
}

/* A full queue of datagrams blocks nobody. */
static void a_manager_that_does_not_read_holds_nothing_up(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (int i = 0; i < 10000; i++)
        cel__notify_stopping(&f->notify, false);
    assert_string_equal(heard(f), "STOPPING=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ready_means_that_it_takes_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_outage_later_is_a_status_and_ready_is_said_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_and_a_new_beginning_are_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_watchdog_of_another_process_is_not_ours, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nobody_listens_and_nothing_happens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_manager_that_does_not_read_holds_nothing_up, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
