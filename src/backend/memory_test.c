/* memory_test.c - memory:// passes the suite, and survives the lack of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"
#include "backend/memory_store.h"
#include "core/mem.h"

static void fresh(char *url, size_t size)
{
    snprintf(url, size, "memory://test");
}

static void stores_of_different_names_are_apart(void **state)
{
    cel__pair one, two;
    char *document;

    (void)state;
    cel__pair_open(&one, "memory://one", false);
    cel__pair_open(&two, "memory://two?x=y", false);
    cel__pair_store(&one, 0, "t1", "SUCCESS", "d", NULL);
    document = cel__pair_fetch(&two, 0, "t1");
    assert_null(document);
    cel__pair_close(&one);
    cel__pair_close(&two);
}

static void an_unknown_scheme_is_named_without_the_rest(void **state)
{
    cel_backend *backend = NULL;
    cel_error err = {0};
    cel_backend_options options = {.url = "mongodb://user:secret@host",
                                   .clock = cel__clock_system()};

    (void)state;
    assert_int_equal(cel__backend_open(&backend, &options, &err), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "'mongodb'"));
    assert_non_null(strstr(err.message, "sqlite, memory"));
    assert_null(strstr(err.message, "secret"));
    options.url = "nothing";
    assert_int_equal(cel__backend_open(&backend, &options, &err), CEL_ECONFIG);
    options.url = NULL;
    assert_int_equal(cel__backend_open(&backend, &options, &err), CEL_ECONFIG);
    options.url = "memory://";
    options.expires_ms = -1;
    assert_int_equal(cel__backend_open(&backend, &options, &err), CEL_ECONFIG);
}

/* Every step is tried again until it succeeds: what failed has left nothing behind, or the
 * counts would be wrong. */
static size_t live_through(cel__memory_store *store, size_t fail_at, bool *failed)
{
    cel_backend_record record = {.task_id = CEL_VIEW("t1"),
                                 .status = CEL_VIEW("FAILURE"),
                                 .document = CEL_VIEW("d"),
                                 .group_id = CEL_VIEW("g"),
                                 .ready = true};
    cel__memory_moment moment = {1, 1000, 2000};
    cel__ready ready = {0};
    bool changed, completed = false;
    int64_t count, succeeded;
    cel_chord_part parts[] = {cel__part("c", "t1", 1, "SUCCESS", "1"),
                              cel__part("c", "t0", 0, "SUCCESS", "0")};
    int tries = 0;

    cel__mem_fail_at(fail_at);
    while (cel__memory_store_put(store, &record, 2000, &changed, NULL) != CEL_OK)
        tries++;
    record.status = CEL_VIEW("SUCCESS");
    while (cel__memory_store_put(store, &record, 2000, &changed, NULL) != CEL_OK)
        tries++;
    while (cel__memory_store_save(store, CEL_VIEW("g"), CEL_VIEW("saved"), 2000, NULL) !=
           CEL_OK)
        tries++;
    while (cel__memory_store_open(store, CEL_VIEW("c"), 2, 1000, 2000, NULL) != CEL_OK)
        tries++;
    for (size_t i = 0; i < 2; i++) {
        cel__ready_done(&ready);
        while (cel__memory_store_part(store, &parts[i], &moment, &ready, &completed, NULL) !=
               CEL_OK) {
            tries++;
            cel__ready_done(&ready);
        }
    }
    cel_chord_ready shown;
    size_t allocations = cel__mem_fail_at(0);

    assert_true(completed);
    cel__ready_show(&ready, &shown);
    assert_true(cel__view_is(shown.results, "[0, 1]"));
    cel__memory_store_count(store, CEL_VIEW("g"), &count, &succeeded);
    assert_int_equal(count, 1);
    assert_int_equal(succeeded, 1);
    assert_true(cel__view_is(cel__memory_store_saved(store, CEL_VIEW("g")), "saved"));
    cel__ready_done(&ready);
    *failed = tries > 0;
    return allocations;
}

static void out_of_memory_leaves_nothing_behind(void **state)
{
    bool failed = true;
    size_t n;

    (void)state;
    for (n = 1; failed; n++) {
        cel__memory_store *store = cel__memory_store_new();

        live_through(store, n, &failed);
        assert_int_equal(cel__memory_store_expire(store, 3000, 100), 3);
        cel__memory_store_free(store);
        assert_true(n < 1000);
    }
    assert_true(n > 20);
}

int main(void)
{
    const cel__conformance_subject subject = {.name = "memory", .fresh = fresh};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_of_different_names_are_apart),
        cmocka_unit_test(an_unknown_scheme_is_named_without_the_rest),
        cmocka_unit_test(out_of_memory_leaves_nothing_behind),
    };

    return cel__backend_conformance(&subject) + cmocka_run_group_tests(tests, NULL, NULL);
}
