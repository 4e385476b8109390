/* revoked_test.c - tests of revoked.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "worker/revoked.h"

static cel_revoked *make(size_t max, int64_t expires_ms)
{
    cel_revoked *revoked;

    assert_int_equal(cel__revoked_new(&revoked, max, expires_ms, NULL), CEL_OK);
    return revoked;
}

static void an_id_is_there_until_it_expires(void **state)
{
    cel_revoked *revoked = make(10, 1000);

    (void)state;
    assert_false(cel__revoked_has(revoked, CEL_VIEW("a"), 0));
    assert_true(cel__revoked_add(revoked, CEL_VIEW("a"), 5000, 5000));
    assert_true(cel__revoked_has(revoked, CEL_VIEW("a"), 5999));
    assert_false(cel__revoked_has(revoked, CEL_VIEW("a"), 6000));
    assert_false(cel__revoked_has(revoked, CEL_VIEW("b"), 5000));
    cel__revoked_purge(revoked, 6000);
    assert_int_equal(cel__revoked_count(revoked), 0);
    cel__revoked_free(revoked);
}

static void the_oldest_goes_when_it_is_full(void **state)
{
    cel_revoked *revoked = make(CEL_REVOKED_MAX, CEL_REVOKED_EXPIRES_MS);
    char id[32];

    (void)state;
    for (int i = 0; i <= CEL_REVOKED_MAX; i++) {
        snprintf(id, sizeof id, "task-%d", i);
        assert_true(cel__revoked_add(revoked, cel__view(id), i, i));
    }
    assert_int_equal(cel__revoked_count(revoked), CEL_REVOKED_MAX);
    assert_false(cel__revoked_has(revoked, CEL_VIEW("task-0"), CEL_REVOKED_MAX));
    assert_true(cel__revoked_has(revoked, CEL_VIEW("task-1"), CEL_REVOKED_MAX));
    cel__revoked_free(revoked);
}

static void a_second_time_renews(void **state)
{
    cel_revoked *revoked = make(2, 1000);

    (void)state;
    cel__revoked_add(revoked, CEL_VIEW("a"), 1, 1);
    cel__revoked_add(revoked, CEL_VIEW("b"), 2, 2);
    cel__revoked_add(revoked, CEL_VIEW("a"), 500, 500);
    cel__revoked_add(revoked, CEL_VIEW("c"), 501, 501);
    assert_true(cel__revoked_has(revoked, CEL_VIEW("a"), 1400));
    assert_false(cel__revoked_has(revoked, CEL_VIEW("b"), 501));
    cel__revoked_add(revoked, CEL_VIEW("a"), 3, 600); /* older news change nothing */
    assert_true(cel__revoked_has(revoked, CEL_VIEW("a"), 1400));
    cel__revoked_free(revoked);
}

static void times_to_come_and_strange_ids_are_bounded(void **state)
{
    cel_revoked *revoked = make(10, 1000);
    char *id = cel__malloc(1000);

    (void)state;
    for (int i = 0; i < 1000; i++)
        id[i] = 'x';
    cel__revoked_add(revoked, CEL_VIEW("a"), INT64_C(1) << 60, 5);
    assert_false(cel__revoked_has(revoked, CEL_VIEW("a"), 1005));
    assert_true(cel__revoked_add(revoked, (cel_view){id, 1000}, 5, 5));
    assert_true(cel__revoked_add(revoked, CEL_VIEW(""), 5, 5));
    assert_int_equal(cel__revoked_count(revoked), 1);
    cel__free(id);
    cel__revoked_free(revoked);
}

static void it_is_written_and_read_back(void **state)
{
    cel_revoked *revoked = make(10, 1000), *copy = make(10, 1000);
    cel__buf buf = {0};

    (void)state;
    cel__revoked_add(revoked, CEL_VIEW("a\"b"), 100, 100);
    cel__revoked_add(revoked, CEL_VIEW("c"), 900, 900);
    cel__revoked_dump(&buf, revoked);
    assert_int_equal(cel__revoked_load(copy, cel__buf_view(&buf), 950, NULL), CEL_OK);
    assert_int_equal(cel__revoked_count(copy), 2);
    assert_true(cel__revoked_has(copy, CEL_VIEW("a\"b"), 1099));
    assert_false(cel__revoked_has(copy, CEL_VIEW("a\"b"), 1100));
    assert_true(cel__revoked_has(copy, CEL_VIEW("c"), 1100));
    cel__buf_done(&buf);
    cel__revoked_free(copy);
    cel__revoked_free(revoked);
}

static void garbage_is_refused(void **state)
{
    static const char *const texts[] = {"", "[]", "{", "1", "{\"a\": 1} x"};
    cel_revoked *revoked = make(10, 1000);

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(cel__revoked_load(revoked, cel__view(texts[i]), 1, NULL), CEL_EPROTO);
    assert_int_equal(
        cel__revoked_load(revoked, CEL_VIEW("{\"a\": null, \"b\": \"x\"}"), 1, NULL), CEL_OK);
    assert_int_equal(cel__revoked_count(revoked), 0);
    cel__revoked_free(revoked);
}

static void without_memory_nothing_is_added(void **state)
{
    cel_revoked *revoked = make(10, 1000);

    (void)state;
    cel__mem_fail_at(1);
    assert_false(cel__revoked_add(revoked, CEL_VIEW("a"), 1, 1));
    cel__mem_fail_at(0);
    assert_false(cel__revoked_has(revoked, CEL_VIEW("a"), 1));
    cel__revoked_free(revoked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_there_until_it_expires),
        cmocka_unit_test(the_oldest_goes_when_it_is_full),
        cmocka_unit_test(a_second_time_renews),
        cmocka_unit_test(times_to_come_and_strange_ids_are_bounded),
        cmocka_unit_test(it_is_written_and_read_back),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(without_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
