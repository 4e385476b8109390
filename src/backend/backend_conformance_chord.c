/* backend_conformance_chord.c - the part of the suite that is about chords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"

static void ignore_call(void *user, cel_code code, const cel_error *err)
{
    (void)user;
    (void)code;
    (void)err;
}

static void add_failed(cel__pair *pair,
                       const char *gid,
                       const char *id,
                       int64_t index,
                       const char *status,
                       const char *result,
                       cel__heard *heard)
{
    cel_chord_part part = cel__part(gid, id, index, status, result);

    cel__pair_part(pair, 0, &part, heard);
}

void cel__test_a_chord_completes_once_with_results_in_order(void **state)
{
    cel__heard heard = {0};

    cel__pair_open_chord(*state, 0, "g", 6);
    cel__pair_add(*state, 0, "g", "t5", -1, "\"late\"", &heard);
    cel__pair_add(*state, 1, "g", "t3", 3, "{\"k\": [1]}", &heard);
    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    cel__pair_add(*state, 1, "g", "t6", -1, "6", &heard);
    cel__pair_add(*state, 0, "g", "t0", 0, "null", &heard);
    assert_int_equal(heard.fired, 0);
    cel__pair_add(*state, 1, "g", "t4", 1, "\"tie\"", &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[null, 1, \"tie\", {\"k\": [1]}, \"late\", 6]");
    assert_null(heard.failed_id);
    assert_null(heard.failed_result);
    assert_string_equal(heard.gid, "g");
    assert_string_equal(heard.body, "{\"task\": \"body\"}");
    assert_string_equal(heard.parent_id, "t4");
    assert_string_equal(heard.root_id, "root");
    cel__heard_done(&heard);
}

void cel__test_a_part_that_comes_twice_counts_once(void **state)
{
    cel__heard heard = {0};

    cel__pair_open_chord(*state, 0, "g", 2);
    cel__pair_add(*state, 0, "g", "t0", 0, "\"first\"", &heard);
    cel__pair_add(*state, 1, "g", "t0", 0, "\"second\"", &heard);
    cel__pair_add(*state, 1, "g", "t0", 7, "\"third\"", &heard);
    add_failed(*state, "g", "t0", -1, "FAILURE", "{}", &heard);
    assert_int_equal(heard.fired, 0);
    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[\"first\", 1]");
    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
}

void cel__test_the_first_failed_part_in_order_is_named(void **state)
{
    cel__heard heard = {0};

    cel__pair_open_chord(*state, 0, "g", 4);
    add_failed(*state, "g", "t9", -1, "FAILURE", "{\"exc_type\": \"A\"}", &heard);
    add_failed(*state, "g", "t3", 3, "FAILURE", "{\"exc_type\": \"B\"}", &heard);
    add_failed(*state, "g", "t2", 2, "REVOKED", "{\"exc_type\": \"C\"}", &heard);
    cel__pair_add(*state, 0, "g", "t0", 0, "0", &heard);
    assert_int_equal(heard.fired, 1);
    assert_null(heard.results);
    assert_string_equal(heard.failed_id, "t2");
    assert_string_equal(heard.failed_result, "{\"exc_type\": \"C\"}");
    assert_string_equal(heard.body, "{\"task\": \"body\"}");
    cel__heard_done(&heard);
}

void cel__test_parts_before_the_opening_are_kept(void **state)
{
    cel__heard heard = {0};

    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    cel__pair_add(*state, 1, "g", "t0", 0, "0", &heard);
    cel__pair_open_chord(*state, 0, "g", 3);
    cel__pair_open_chord(*state, 1, "g", 50); /* is open already */
    cel__pair_add(*state, 1, "g", "t2", 2, "2", &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[0, 1, 2]");
    cel__heard_done(&heard);
}

void cel__test_a_chord_complete_when_opened_is_left_to_the_sweep(void **state)
{
    cel__heard heard = {0};

    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    cel__pair_add(*state, 0, "g", "t0", 0, "0", &heard);
    cel__pair_open_chord(*state, 0, "g", 2);
    cel__pair_add(*state, 0, "g", "t9", 9, "9", &heard);
    assert_int_equal(heard.fired, 0);
    cel__pair_sweep(*state, 1, CEL_TEST_LONG_MS, &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[0, 1]");
    assert_string_equal(heard.parent_id, "t0");
    assert_string_equal(heard.root_id, "root");
    assert_string_equal(heard.body, "{\"task\": \"body\"}");
    cel__pair_sweep(*state, 0, CEL_TEST_LONG_MS, &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
}

void cel__test_an_open_chord_grows(void **state)
{
    cel__heard heard = {0};

    cel__pair_grow_chord(*state, 0, "g", 1); /* is not open */
    cel__pair_open_chord(*state, 0, "g", 2);
    cel__pair_add(*state, 0, "g", "t0", 0, "0", &heard);
    cel__pair_grow_chord(*state, 1, "g", 2);
    cel__pair_add(*state, 1, "g", "t1", 1, "1", &heard);
    cel__pair_add(*state, 1, "g", "t2", 2, "2", &heard);
    assert_int_equal(heard.fired, 0);
    cel__pair_add(*state, 0, "g", "t3", 3, "3", &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[0, 1, 2, 3]");
    cel__pair_grow_chord(*state, 0, "g", 1); /* is complete */
    cel__pair_add(*state, 0, "g", "t4", 4, "4", &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
}

void cel__test_a_chord_of_nothing_is_refused(void **state)
{
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    cel_error err;

    assert_int_equal(
        backend->ops->chord_open(backend, CEL_VIEW("g"), 0, ignore_call, NULL, &err),
        CEL_EINVAL);
    assert_int_equal(
        backend->ops->chord_open(backend, CEL_VIEW("g"), -1, ignore_call, NULL, &err),
        CEL_EINVAL);
}

void cel__test_a_chord_that_is_done_cannot_be_started_again(void **state)
{
    cel__heard heard = {0};

    cel__pair_open_chord(*state, 0, "g", 1);
    cel__pair_add(*state, 0, "g", "t0", 0, "0", &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_done(*state, 0, "g");
    cel__pair_done(*state, 1, "g");
    cel__pair_open_chord(*state, 1, "g", 1);
    cel__pair_add(*state, 1, "g", "t0", 0, "0", &heard);
    cel__pair_add(*state, 1, "g", "other", 1, "1", &heard);
    cel__pair_sweep(*state, 1, 0, &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_done(*state, 1, "unknown");
    cel__heard_done(&heard);
}

void cel__test_a_chord_nobody_finished_is_fired_again_when_old(void **state)
{
    cel__heard heard = {0};

    cel__pair_open_chord(*state, 0, "g", 2);
    cel__pair_add(*state, 0, "g", "t1", 1, "1", &heard);
    cel__pair_add(*state, 0, "g", "t0", 0, "0", &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_sweep(*state, 1, 1000, &heard);
    cel__pair_sweep(*state, 0, 1000, &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_advance(*state, 1500);
    cel__pair_sweep(*state, 1, 1000, &heard);
    assert_int_equal(heard.fired, 2);
    assert_string_equal(heard.results, "[0, 1]");
    assert_string_equal(heard.parent_id, "t0");
    assert_string_equal(heard.root_id, "root");
    cel__pair_sweep(*state, 0, 1000, &heard);
    assert_int_equal(heard.fired, 2);
    cel__pair_done(*state, 1, "g");
    cel__pair_advance(*state, 1500);
    cel__pair_sweep(*state, 0, 0, &heard);
    assert_int_equal(heard.fired, 2);
    cel__heard_done(&heard);
}

void cel__test_all_chords_of_a_closed_completer_are_fired_again(void **state)
{
    cel__heard heard = {0};

    for (int i = 0; i < 3; i++) {
        char gid[8];

        snprintf(gid, sizeof gid, "g%d", i);
        cel__pair_open_chord(*state, 0, gid, 1);
        cel__pair_add(*state, 1, gid, "t0", 0, "0", &heard);
    }
    cel__pair_open_chord(*state, 0, "mine", 1);
    cel__pair_add(*state, 0, "mine", "t0", 0, "0", &heard);
    cel__pair_done(*state, 1, "g1");
    assert_int_equal(heard.fired, 4);
    cel__pair_close_one(*state, 1);
    cel__pair_sweep(*state, 0, CEL_TEST_LONG_MS, &heard);
    assert_int_equal(heard.fired, 6);
    cel__pair_sweep(*state, 0, CEL_TEST_LONG_MS, &heard);
    assert_int_equal(heard.fired, 6);
    cel__pair_open_one(*state, 1);
    cel__heard_done(&heard);
}

void cel__test_two_completers_fire_once(void **state)
{
    enum {
        CHORDS = 20,
        PARTS = 6
    };
    cel__pair *pair = *state;
    cel__heard heard = {0};

    for (int c = 0; c < CHORDS; c++) {
        char gid[16];

        snprintf(gid, sizeof gid, "g%d", c);
        cel__pair_open_chord(pair, 0, gid, PARTS);
        for (int i = 0; i < PARTS; i++) {
            char id[16];

            snprintf(id, sizeof id, "t%d", i);
            cel__pair_add(pair, 0, gid, id, i, "1", &heard);
            cel__pair_add(pair, 1, gid, id, i, "1", &heard);
        }
        assert_int_equal(heard.fired, c + 1);
        assert_string_equal(heard.results, "[1, 1, 1, 1, 1, 1]");
    }
    cel__heard_done(&heard);
}

struct fired {
    int called, fired;
    size_t len;
    unsigned commas;
};

static void
count_fired(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    struct fired *fired = user;

    (void)err;
    assert_int_equal(code, CEL_OK);
    fired->called++;
    if (!ready)
        return;
    fired->fired++;
    fired->len = ready->results.len;
    for (size_t i = 0; i < ready->results.len; i++)
        fired->commas += ready->results.ptr[i] == ',';
}

/* Long enough that clearing it takes several slices. */
void cel__test_a_large_chord_is_complete_and_cleared(void **state)
{
    enum {
        PARTS = 3000,
        SIZE = 1000
    };
    cel__pair *pair = *state;
    cel_backend *backend = pair->backends[0];
    static char result[SIZE];
    struct fired fired = {0};
    cel__heard heard = {0};
    char gid[] = "large";

    memset(result, '7', sizeof result);
    cel__pair_open_chord(pair, 0, gid, PARTS);
    for (int i = PARTS; i-- > 0;) {
        char id[16];

        snprintf(id, sizeof id, "t%d", i);
        cel_chord_part part = cel__part(gid, id, i, "SUCCESS", "");

        part.result = (cel_view){result, sizeof result};
        assert_int_equal(backend->ops->chord_part(backend, &part, count_fired, &fired, NULL),
                         CEL_OK);
    }
    cel__pair_wait(pair, &fired.called, PARTS);
    assert_int_equal(fired.fired, 1);
    assert_int_equal(fired.commas, PARTS - 1);
    assert_int_equal(fired.len, PARTS * (SIZE + 2));
    cel__pair_done(pair, 1, gid);
    cel__pair_sweep(pair, 0, 0, &heard);
    cel__pair_open_chord(pair, 0, gid, PARTS);
    cel__pair_add(pair, 0, gid, "t0", 0, "0", &heard);
    assert_int_equal(heard.fired, 0);
    cel__heard_done(&heard);
}

/* By parts alone a chord lives on; without any it is forgotten, and the next part begins a
 * new one. */
void cel__test_a_part_keeps_its_chord(void **state)
{
    cel__pair *pair = *state;
    cel__heard heard = {0};

    cel__pair_open_chord(pair, 0, "g", 3);
    cel__pair_add(pair, 0, "g", "t0", 0, "0", &heard);
    cel__pair_advance(pair, pair->expires_ms - 1000);
    cel__pair_add(pair, 0, "g", "t1", 1, "1", &heard);
    cel__pair_advance(pair, pair->expires_ms - 1000);
    cel__pair_sweep(pair, 0, CEL_TEST_LONG_MS, &heard);
    cel__pair_add(pair, 0, "g", "t2", 2, "2", &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[0, 1, 2]");
    cel__pair_done(pair, 0, "g");
    if (pair->real_time) {
        cel__heard_done(&heard);
        return;
    }
    cel__pair_open_chord(pair, 0, "h", 2);
    cel__pair_add(pair, 0, "h", "t0", 0, "0", &heard);
    cel__pair_advance(pair, pair->expires_ms + 1);
    cel__pair_sweep(pair, 0, CEL_TEST_LONG_MS, &heard);
    cel__pair_sweep(pair, 0, CEL_TEST_LONG_MS, &heard);
    cel__pair_sweep(pair, 0, CEL_TEST_LONG_MS, &heard);
    cel__pair_open_chord(pair, 0, "h", 2);
    cel__pair_add(pair, 0, "h", "t1", 1, "1", &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_add(pair, 0, "h", "t0", 0, "0", &heard);
    assert_int_equal(heard.fired, 2);
    cel__heard_done(&heard);
}
