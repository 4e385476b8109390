/* backend_conformance.c - see backend_conformance.h. Each test begins with an empty store. */
#include "backend/backend_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

static const cel__conformance_subject *subject;

static int set_up(void **state)
{
    static cel__pair pair;
    char url[512];

    subject->fresh(url, sizeof url);
    cel__pair_open(&pair, url, subject->threaded);
    pair.real_time = subject->real_time;
    *state = &pair;
    return 0;
}

static int tear_down(void **state)
{
    cel__pair_close(*state);
    if (subject->remove)
        subject->remove();
    return 0;
}

static void assert_document(cel__pair *pair, const char *task_id, const char *expected)
{
    for (int which = 0; which < 2; which++) {
        char *document = cel__pair_fetch(pair, which, task_id);

        if (expected) {
            assert_non_null(document);
            assert_string_equal(document, expected);
        } else {
            assert_null(document);
        }
        cel__free(document);
    }
}

static void assert_count(cel__pair *pair, const char *gid, int64_t ready, int64_t succeeded)
{
    for (int which = 0; which < 2 && !subject->no_groups; which++) {
        int64_t got;

        assert_int_equal(cel__pair_count(pair, which, gid, &got), ready);
        assert_int_equal(got, succeeded);
    }
}

/* ---- results ---- */

static void a_stored_result_is_fetched_by_all(void **state)
{
    cel__pair_store(*state, 0, "t1", "SUCCESS", "{\"a\": 1}", NULL);
    assert_document(*state, "t1", "{\"a\": 1}");
    assert_document(*state, "t2", NULL);
}

static void success_is_never_replaced(void **state)
{
    static const char *const states[] = {"STARTED", "RETRY",   "FAILURE",
                                         "REVOKED", "SUCCESS", "MINE"};

    cel__pair_store(*state, 0, "t1", "SUCCESS", "{\"status\": \"SUCCESS\"}", NULL);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        cel__pair_store(*state, (int)i & 1, "t1", states[i], "second", NULL);
    assert_document(*state, "t1", "{\"status\": \"SUCCESS\"}");
}

static void failure_is_replaced_by_what_is_ready_only(void **state)
{
    cel__pair_store(*state, 0, "t1", "FAILURE", "{\"status\": \"FAILURE\"}", NULL);
    cel__pair_store(*state, 0, "t1", "STARTED", "second", NULL);
    assert_document(*state, "t1", "{\"status\": \"FAILURE\"}");
    cel__pair_store(*state, 1, "t1", "REVOKED", "third", NULL);
    assert_document(*state, "t1", "third");
    cel__pair_store(*state, 1, "t1", "SUCCESS", "fourth", NULL);
    assert_document(*state, "t1", "fourth");
}

static void unready_states_follow_each_other(void **state)
{
    cel__pair_store(*state, 0, "t1", "STARTED", "first", NULL);
    cel__pair_store(*state, 1, "t1", "PROGRESS", "second", NULL);
    assert_document(*state, "t1", "second");
    cel__pair_store(*state, 0, "t1", "SUCCESS", "third", NULL);
    assert_document(*state, "t1", "third");
}

static void odd_ids_and_documents_are_kept_as_they_are(void **state)
{
    char id[2001];

    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    cel__pair_store(*state, 0, id, "SUCCESS", "long", NULL);
    cel__pair_store(*state, 0, "'; DROP TABLE result; --", "SUCCESS", "quoted", "g'\"");
    cel__pair_store(*state, 0, "\xff\xfe", "SUCCESS", "\xc3(", NULL);
    cel__pair_store(*state, 0, "", "SUCCESS", "", NULL);
    assert_document(*state, id, "long");
    assert_document(*state, "'; DROP TABLE result; --", "quoted");
    assert_document(*state, "\xff\xfe", "\xc3(");
    assert_document(*state, "", "");
    assert_count(*state, "g'\"", 1, 1);
}

static void count_call(void *user, cel_code code, const cel_error *err)
{
    (void)err;
    assert_int_equal(code, CEL_OK);
    (*(int *)user)++;
}

static void forget(cel__pair *pair, int which, const char *const *ids, size_t count)
{
    cel_backend *backend = pair->backends[which];
    cel_view views[8];
    int called = 0;

    for (size_t i = 0; i < count; i++)
        views[i] = cel__view(ids[i]);
    assert_int_equal(backend->ops->forget(backend, views, count, count_call, &called, NULL),
                     CEL_OK);
    cel__pair_wait(pair, &called, 1);
}

static void a_forgotten_result_is_gone(void **state)
{
    static const char *const ids[] = {"t1", "unknown", "t2"};

    cel__pair_store(*state, 0, "t1", "SUCCESS", "one", "g");
    cel__pair_store(*state, 0, "t2", "FAILURE", "two", "g");
    cel__pair_store(*state, 0, "t3", "SUCCESS", "three", "g");
    forget(*state, 1, ids, 3);
    assert_document(*state, "t1", NULL);
    assert_document(*state, "t2", NULL);
    assert_document(*state, "t3", "three");
    assert_count(*state, "g", 1, 1);
    cel__pair_store(*state, 0, "t1", "STARTED", "again", "g");
    assert_document(*state, "t1", "again");
}

struct fetched {
    int found, ended;
    size_t bytes;
};

static void count_fetched(void *user, cel_view task_id, cel_view document, const cel_error *err)
{
    struct fetched *fetched = user;

    assert_null(err);
    fetched->found += task_id.ptr != NULL;
    fetched->bytes += document.len;
    fetched->ended += task_id.ptr == NULL;
}

/* More than one slice of every implementation, in ids and in bytes. */
static void many_results_are_fetched_at_once(void **state)
{
    enum {
        COUNT = 2500,
        SIZE = 4096
    };
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    static char ids[2 * COUNT][16], document[SIZE];
    static cel_view views[2 * COUNT];
    struct fetched fetched = {0};
    int stored = 0;

    memset(document, 'd', sizeof document);
    for (int i = 0; i < 2 * COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "task-%d", i);
        views[i] = cel__view(ids[i]);
        cel_backend_record record = {.task_id = views[i],
                                     .status = CEL_VIEW("SUCCESS"),
                                     .document = {document, sizeof document},
                                     .ready = true};

        if (i % 2 == 0)
            assert_int_equal(backend->ops->store(backend, &record, count_call, &stored, NULL),
                             CEL_OK);
    }
    cel__pair_wait(pair, &stored, COUNT);
    backend = pair->backends[1];
    assert_int_equal(
        backend->ops->fetch(backend, views, 2 * COUNT, count_fetched, &fetched, NULL), CEL_OK);
    cel__pair_wait(pair, &fetched.ended, 1);
    assert_int_equal(fetched.found, COUNT);
    assert_int_equal(fetched.bytes, (size_t)COUNT * SIZE);
}

static void fetching_nothing_finds_nothing(void **state)
{
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    struct fetched fetched = {0};

    assert_int_equal(backend->ops->fetch(backend, NULL, 0, count_fetched, &fetched, NULL),
                     CEL_OK);
    cel__pair_wait(pair, &fetched.ended, 1);
    assert_int_equal(fetched.found, 0);
}

/* ---- groups ---- */

static void a_group_counts_its_ready_members_once(void **state)
{
    assert_count(*state, "g", 0, 0);
    cel__pair_store(*state, 0, "t1", "STARTED", "d", "g");
    assert_count(*state, "g", 0, 0);
    cel__pair_store(*state, 0, "t1", "SUCCESS", "d", "g");
    cel__pair_store(*state, 1, "t1", "SUCCESS", "d", "g");
    cel__pair_store(*state, 1, "t2", "FAILURE", "d", "g");
    cel__pair_store(*state, 0, "t2", "FAILURE", "d", "g");
    cel__pair_store(*state, 0, "t3", "SUCCESS", "d", "other");
    assert_count(*state, "g", 2, 1);
    cel__pair_store(*state, 0, "t2", "SUCCESS", "d", "g");
    assert_count(*state, "g", 2, 2);
    assert_count(*state, "other", 1, 1);
}

static void hear_document(void *user, cel_view document, const cel_error *err)
{
    cel__heard *heard = user;

    assert_null(err);
    cel__free(heard->document);
    heard->document = document.ptr ? cel__memdup(document.ptr, document.len) : NULL;
    heard->called++;
}

static void assert_saved(cel__pair *pair, const char *gid, const char *expected)
{
    for (int which = 0; which < 2; which++) {
        cel_backend *backend = pair->backends[which];
        cel__heard heard = {0};

        assert_int_equal(
            backend->ops->group_fetch(backend, cel__view(gid), hear_document, &heard, NULL),
            CEL_OK);
        cel__pair_wait(pair, &heard.called, 1);
        assert_true(!heard.document == !expected);
        if (expected)
            assert_string_equal(heard.document, expected);
        cel__heard_done(&heard);
    }
}

static void save(cel__pair *pair, int which, const char *gid, const char *document)
{
    cel_backend *backend = pair->backends[which];
    int called = 0;

    assert_int_equal(backend->ops->group_save(backend, cel__view(gid), cel__view(document),
                                              count_call, &called, NULL),
                     CEL_OK);
    cel__pair_wait(pair, &called, 1);
}

static void a_saved_group_is_kept_until_it_is_deleted(void **state)
{
    assert_saved(*state, "g", NULL);
    save(*state, 0, "g", "{\"result\": 1}");
    assert_saved(*state, "g", "{\"result\": 1}");
    save(*state, 1, "g", "{\"result\": 2}");
    assert_saved(*state, "g", "{\"result\": 2}");
    cel__pair_store(*state, 0, "t1", "SUCCESS", "d", "g");
    assert_saved(*state, "g", "{\"result\": 2}");
    save(*state, 0, "g", NULL);
    assert_saved(*state, "g", NULL);
    assert_count(*state, "g", 1, 1);
    save(*state, 0, "unknown", NULL);
}

/* ---- expiry ---- */

static void sweep(cel__pair *pair)
{
    cel__heard heard = {0};

    cel__pair_sweep(pair, 0, CEL_TEST_LONG_MS, &heard);
    assert_int_equal(heard.fired, 0);
    cel__heard_done(&heard);
}

static void what_is_old_goes_and_what_changed_stays(void **state)
{
    cel__pair *pair = *state;

    if (subject->real_time)
        skip();
    cel__pair_store(pair, 0, "old", "SUCCESS", "d", "g");
    cel__pair_store(pair, 0, "kept", "STARTED", "d", "g");
    save(pair, 0, "g", "doc");
    cel__pair_advance(pair, pair->expires_ms - 1000);
    sweep(pair);
    assert_document(pair, "old", "d");
    cel__pair_store(pair, 1, "kept", "SUCCESS", "e", "g");
    cel__pair_advance(pair, 2000);
    sweep(pair);
    assert_document(pair, "old", NULL);
    assert_document(pair, "kept", "e");
    assert_count(pair, "g", 1, 1);
    cel__pair_advance(pair, pair->expires_ms);
    sweep(pair);
    assert_document(pair, "kept", NULL);
    assert_saved(pair, "g", NULL);
    assert_count(pair, "g", 0, 0);
}

static void thousands_expire_in_one_sweep(void **state)
{
    enum {
        COUNT = 4500
    };
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    struct fetched fetched = {0};
    static char ids[COUNT][16];
    static cel_view views[COUNT];
    int stored = 0;

    if (subject->real_time)
        skip();
    for (int i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "task-%d", i);
        views[i] = cel__view(ids[i]);
        cel_backend_record record = {.task_id = views[i],
                                     .status = CEL_VIEW("SUCCESS"),
                                     .document = CEL_VIEW("d"),
                                     .group_id = CEL_VIEW("g"),
                                     .ready = true};

        assert_int_equal(backend->ops->store(backend, &record, count_call, &stored, NULL),
                         CEL_OK);
    }
    cel__pair_wait(pair, &stored, COUNT);
    assert_count(pair, "g", COUNT, COUNT);
    cel__pair_advance(pair, pair->expires_ms + 1);
    sweep(pair);
    assert_int_equal(backend->ops->fetch(backend, views, COUNT, count_fetched, &fetched, NULL),
                     CEL_OK);
    cel__pair_wait(pair, &fetched.ended, 1);
    assert_int_equal(fetched.found, 0);
    assert_count(pair, "g", 0, 0);
}

static void without_expiry_results_stay(void **state)
{
    cel__pair *pair = *state;
    cel__heard heard = {0};

    for (int i = 0; i < 2; i++)
        cel__pair_close_one(pair, i);
    pair->expires_ms = 0;
    for (int i = 0; i < 2; i++)
        cel__pair_open_one(pair, i);
    cel__pair_store(pair, 0, "t1", "SUCCESS", "d", "g");
    cel__pair_open_chord(pair, 0, "g", 2);
    cel__pair_add(pair, 0, "g", "t0", 0, "0", &heard);
    cel__pair_advance(pair, CEL_TEST_LONG_MS * 24 * 366);
    sweep(pair);
    assert_document(pair, "t1", "d");
    assert_count(pair, "g", 1, 1);
    cel__pair_add(pair, 0, "g", "t1", 1, "1", &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
}

/* ---- watching ---- */

static void count_change(void *user)
{
    (*(int *)user)++;
}

static cel_watch *watch(cel__pair *pair, int which, const char *id, bool group, int *changes)
{
    cel_backend *backend = pair->backends[which];
    cel_view view = cel__view(id);
    cel_watch *out = NULL;

    cel_code code =
        backend->ops->watch(&out, backend, &view, 1, group, count_change, changes, NULL);
    if (group && subject->no_groups) {
        assert_int_equal(code, CEL_ENOTSUP);
        assert_null(out);
        return NULL;
    }
    assert_int_equal(code, CEL_OK);
    assert_non_null(out);
    return out;
}

static void a_watch_hears_every_change(void **state)
{
    cel__pair *pair = *state;

    for (int from = 0; from < 2; from++) {
        int task = 0, group = 0, seen;
        cel_watch *watches[] = {watch(pair, 0, "t1", false, &task),
                                watch(pair, 0, "g", true, &group)};

        cel__pair_store(pair, from, "t1", "STARTED", "d", "g");
        cel__pair_wait(pair, &task, 1);
        cel__pair_wait(pair, &group, subject->no_groups ? 0 : 1);
        seen = task;
        cel__pair_store(pair, from, "t1", "FAILURE", "d", "g");
        cel__pair_wait(pair, &task, seen + 1);
        seen = group;
        cel__pair_store(pair, from, "t2", "SUCCESS", "d", "g");
        cel__pair_wait(pair, &group, subject->no_groups ? 0 : seen + 1);
        for (size_t i = 0; i < 2; i++)
            pair->backends[0]->ops->unwatch(watches[i]);
        seen = task;
        cel__pair_store(pair, from, "t1", "REVOKED", "d", "g");
        assert_document(pair, "t1", "d");
        assert_int_equal(task, seen);
        forget(pair, 0, (const char *const[]){"t1", "t2"}, 2);
    }
    pair->backends[0]->ops->unwatch(NULL);
}

/* Watch, then read: whatever is stored after watch() has returned is heard, though no loop
 * has run in between. */
static void a_change_right_after_watch_is_heard(void **state)
{
    cel__pair *pair = *state;
    cel_backend *other = pair->backends[1];
    cel_backend_record record = {.task_id = CEL_VIEW("t1"),
                                 .status = CEL_VIEW("SUCCESS"),
                                 .document = CEL_VIEW("d"),
                                 .ready = true};
    int changes = 0, stored = 0;
    cel_watch *one = watch(pair, 0, "t1", false, &changes);

    assert_int_equal(other->ops->store(other, &record, count_call, &stored, NULL), CEL_OK);
    while (stored == 0)
        uv_run(&pair->loops[1], UV_RUN_ONCE);
    cel__pair_wait(pair, &changes, 1);
    pair->backends[0]->ops->unwatch(one);
}

static void one_watch_has_many_ids(void **state)
{
    enum {
        COUNT = 300
    };
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    char ids[COUNT][16];
    cel_view views[COUNT];
    cel_watch *one = NULL;
    int changes = 0;

    for (int i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "task-%d", i);
        views[i] = cel__view(ids[i]);
    }
    assert_int_equal(
        backend->ops->watch(&one, backend, views, COUNT, false, count_change, &changes, NULL),
        CEL_OK);
    for (int i = 0; i < COUNT; i += 99) {
        int seen = changes;

        cel__pair_store(pair, 1, ids[i], "SUCCESS", "d", NULL);
        cel__pair_wait(pair, &changes, seen + 1);
    }
    backend->ops->unwatch(one);
}

struct nosy {
    cel__pair *pair;
    cel_watch *watches[2];
    int called;
};

static void end_both(void *user)
{
    struct nosy *nosy = user;

    nosy->called++;
    for (size_t i = 0; i < 2; i++)
        nosy->pair->backends[0]->ops->unwatch(nosy->watches[i]);
    memset(nosy->watches, 0, sizeof nosy->watches);
}

static void a_watcher_may_end_itself_and_others(void **state)
{
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    struct nosy nosy = {.pair = pair};

    for (size_t i = 0; i < 2; i++)
        assert_int_equal(backend->ops->watch(&nosy.watches[i], backend, &CEL_VIEW("t1"), 1,
                                             false, end_both, &nosy, NULL),
                         CEL_OK);
    cel__pair_store(pair, 1, "t1", "SUCCESS", "d", NULL);
    cel__pair_wait(pair, &nosy.called, 1);
    cel__pair_store(pair, 1, "t2", "SUCCESS", "d", NULL);
    assert_int_equal(nosy.called, 1);
}

/* ---- order and the end ---- */

struct order {
    int next;
    bool wrong;
};

struct numbered {
    struct order *order;
    int number;
};

static void check_order(void *user, cel_code code, const cel_error *err)
{
    struct numbered *numbered = user;

    (void)err;
    if (code != CEL_OK || numbered->order->next++ != numbered->number)
        numbered->order->wrong = true;
}

static void callbacks_come_in_the_order_of_the_calls(void **state)
{
    enum {
        COUNT = 500
    };
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    static struct numbered numbers[COUNT];
    struct order order = {0};

    for (int i = 0; i < COUNT; i++) {
        char id[16];
        cel_backend_record record = {
            .status = CEL_VIEW("SUCCESS"), .document = CEL_VIEW("d"), .ready = true};

        snprintf(id, sizeof id, "t%d", i);
        record.task_id = cel__view(id);
        numbers[i] = (struct numbered){&order, i};
        assert_int_equal(backend->ops->store(backend, &record, check_order, &numbers[i], NULL),
                         CEL_OK);
    }
    assert_int_equal(order.next, 0);
    cel__pair_wait(pair, &order.next, COUNT);
    assert_false(order.wrong);
}

static void count_any(void *user, cel_code code, const cel_error *err)
{
    (void)code;
    (void)err;
    (*(int *)user)++;
}

static void ignore_change(void *user)
{
    (void)user;
    fail_msg("called after the close");
}

static void closed_after(void *user)
{
    int *numbers = user; /* callbacks heard, and what was heard when closed was called */

    numbers[1] = numbers[0];
    numbers[2]++;
}

static void a_close_ends_all_that_was_begun(void **state)
{
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    cel_watch *one = NULL;
    int numbers[3] = {0};

    assert_int_equal(backend->ops->watch(&one, backend, &CEL_VIEW("t1"), 1, false,
                                         ignore_change, NULL, NULL),
                     CEL_OK);
    for (int i = 0; i < 50; i++) {
        char id[16];
        cel_backend_record record = {
            .status = CEL_VIEW("SUCCESS"), .document = CEL_VIEW("d"), .ready = true};

        snprintf(id, sizeof id, "t%d", i);
        record.task_id = cel__view(id);
        assert_int_equal(backend->ops->store(backend, &record, count_any, numbers, NULL),
                         CEL_OK);
    }
    pair->backends[0] = NULL;
    backend->ops->close(backend, closed_after, numbers);
    assert_int_equal(numbers[0], 0);
    cel__pair_wait(pair, &numbers[2], 1);
    assert_int_equal(numbers[1], 50);
    cel__memory_backend_ops.unwatch(NULL);
    cel__pair_open_one(pair, 0);
    pair->backends[0]->ops->unwatch(one);
}

static void close_backend(void *user, cel_code code, const cel_error *err)
{
    struct nosy *nosy = user;
    cel_backend *backend = nosy->pair->backends[0];

    (void)code;
    (void)err;
    nosy->pair->backends[0] = NULL;
    backend->ops->close(backend, count_change, &nosy->called);
}

static void a_callback_may_close_its_backend(void **state)
{
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    struct nosy nosy = {.pair = pair};
    cel_backend_record record = {.task_id = CEL_VIEW("t1"),
                                 .status = CEL_VIEW("SUCCESS"),
                                 .document = CEL_VIEW("d"),
                                 .ready = true};
    int heard = 0;

    assert_int_equal(backend->ops->store(backend, &record, close_backend, &nosy, NULL), CEL_OK);
    record.task_id = CEL_VIEW("t2");
    assert_int_equal(backend->ops->store(backend, &record, count_any, &heard, NULL), CEL_OK);
    cel__pair_wait(pair, &nosy.called, 1);
    assert_int_equal(heard, 1);
    cel__pair_open_one(pair, 0);
}

int cel__backend_conformance(const cel__conformance_subject *tested)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stored_result_is_fetched_by_all),
        TEST(success_is_never_replaced),
        TEST(failure_is_replaced_by_what_is_ready_only),
        TEST(unready_states_follow_each_other),
        TEST(odd_ids_and_documents_are_kept_as_they_are),
        TEST(a_forgotten_result_is_gone),
        TEST(many_results_are_fetched_at_once),
        TEST(fetching_nothing_finds_nothing),
        TEST(a_group_counts_its_ready_members_once),
        TEST(a_saved_group_is_kept_until_it_is_deleted),
#define X(name) cmocka_unit_test_setup_teardown(cel__test_##name, set_up, tear_down),
        CEL_CHORD_TESTS(X)
#undef X
            TEST(what_is_old_goes_and_what_changed_stays),
        TEST(thousands_expire_in_one_sweep),
        TEST(without_expiry_results_stay),
        TEST(a_watch_hears_every_change),
        TEST(a_change_right_after_watch_is_heard),
        TEST(one_watch_has_many_ids),
        TEST(a_watcher_may_end_itself_and_others),
        TEST(callbacks_come_in_the_order_of_the_calls),
        TEST(a_close_ends_all_that_was_begun),
        TEST(a_callback_may_close_its_backend),
    };
#undef TEST

    subject = tested;
    printf("# %s\n", tested->name);
    return cmocka_run_group_tests_name(tested->name, tests, NULL, NULL);
}
