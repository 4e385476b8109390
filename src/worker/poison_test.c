/* poison_test.c - the short memory of poisonous tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/poison.h"

static void each_id_is_counted_by_itself(void **state)
{
    cel_poison poison = {0};

    (void)state;
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("a")), 1);
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("b")), 1);
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("a")), 2);
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("a")), 3);
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("")), 1);
}

static void the_oldest_is_forgotten(void **state)
{
    cel_poison poison = {0};
    char id[16];

    (void)state;
    for (int i = 0; i < CEL_POISON_MAX + 1; i++) {
        snprintf(id, sizeof id, "task %d", i);
        assert_int_equal(cel__poison_note(&poison, cel__view(id)), 1);
    }
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("task 2")), 2);
    assert_int_equal(cel__poison_note(&poison, CEL_VIEW("task 0")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_id_is_counted_by_itself),
        cmocka_unit_test(the_oldest_is_forgotten),
    };

    return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
