/* window_test.c - how many deliveries a worker holds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/window.h"

static void a_multiplier_fixes_the_window(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 4, 3);
    assert_int_equal(cel__window_size(&window), 12);
    cel__window_note(&window, 1);
    assert_int_equal(cel__window_size(&window), 12);
}

static void nothing_is_held_ahead_before_a_runtime_is_known(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 4, 0);
    assert_int_equal(cel__window_size(&window), 4);
}

static void short_tasks_widen_it_and_long_ones_do_not(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 2, 0);
    cel__window_note(&window, 50);
    assert_int_equal(cel__window_size(&window), 2 + 2 * 200);
    cel__window_init(&window, 2, 0);
    cel__window_note(&window, 2000000);
    assert_int_equal(cel__window_size(&window), 2);
}

static void one_long_task_ends_the_hoarding_at_once(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 2, 0);
    for (int i = 0; i < 100; i++)
        cel__window_note(&window, 10);
    cel__window_note(&window, 3000000);
    assert_int_equal(cel__window_size(&window), 2);
    for (int i = 0; i < 500; i++)
        cel__window_note(&window, 10);
    assert_true(cel__window_size(&window) > 100);
}

/* A slot that the kernel took from one: nothing about the next ones. */
static void interruptions_do_not_narrow_it(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 2, 0);
    cel__window_note(&window, 10);
    for (int i = 0; i < 1000; i++)
        cel__window_note(&window, i % 50 ? 10 : 4000);
    assert_true(cel__window_size(&window) > 500);
}

static void it_has_a_limit(void **state)
{
    cel_window window;

    (void)state;
    cel__window_init(&window, 1000, 0);
    cel__window_note(&window, 0);
    assert_int_equal(cel__window_size(&window), 1000 + CEL_WINDOW_AHEAD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_multiplier_fixes_the_window),
        cmocka_unit_test(nothing_is_held_ahead_before_a_runtime_is_known),
        cmocka_unit_test(short_tasks_widen_it_and_long_ones_do_not),
        cmocka_unit_test(one_long_task_ends_the_hoarding_at_once),
        cmocka_unit_test(interruptions_do_not_narrow_it),
        cmocka_unit_test(it_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
