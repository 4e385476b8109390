/* outcome_test.c - outcome frames, whole and broken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/outcome.h"

static cel_view build(cel__buf *buf)
{
    cel_frame frame;
    size_t start = cel__frame_begin(buf, CEL_FRAME_OUTCOME, 7);
    size_t part;

    cel__section_add(buf, CEL_TAG_STATE, CEL_VIEW("SUCCESS"));
    cel__section_add(buf, CEL_TAG_RESULT, CEL_VIEW("5"));
    cel__section_add_int(buf, CEL_TAG_RUNTIME_US, 42);
    part = cel__section_begin(buf, CEL_TAG_PART);
    cel__section_add(buf, CEL_TAG_GID, CEL_VIEW("g"));
    cel__section_add(buf, CEL_TAG_ID, CEL_VIEW("t"));
    cel__section_add_int(buf, CEL_TAG_INDEX, 3);
    cel__section_end(buf, part);
    part = cel__section_begin(buf, CEL_TAG_VICTIM);
    cel__section_add(buf, CEL_TAG_ID, CEL_VIEW("v"));
    cel__section_add(buf, CEL_TAG_STATE, CEL_VIEW("FAILURE"));
    cel__section_add(buf, CEL_TAG_GID, CEL_VIEW("h"));
    cel__section_end(buf, part);
    cel__frame_end(buf, start);
    assert_true(cel__frame_read(&frame, cel__buf_view(buf)) > 0);
    return frame.sections;
}

static void every_section_is_read(void **state)
{
    cel__buf buf = {0};
    cel_view sections = build(&buf);
    cel_outcome outcome;
    cel_chord_part part;
    cel_outcome_victim victim;
    cel_view rest, bytes;

    (void)state;
    assert_int_equal(cel__outcome_read(&outcome, sections, NULL), CEL_OK);
    assert_true(cel__view_is(outcome.state, "SUCCESS") && cel__view_is(outcome.result, "5"));
    assert_true(outcome.store && !outcome.requeue && outcome.runtime_us == 42);
    rest = outcome.sections;
    assert_true(cel__outcome_next(&rest, CEL_TAG_PART, &bytes));
    cel__outcome_part(&part, bytes);
    assert_true(cel__view_is(part.gid, "g") && cel__view_is(part.task_id, "t") &&
                part.index == 3);
    assert_false(cel__outcome_next(&rest, CEL_TAG_PART, &bytes));
    rest = outcome.sections;
    assert_true(cel__outcome_next(&rest, CEL_TAG_VICTIM, &bytes));
    cel__outcome_victim(&victim, bytes);
    assert_true(cel__view_is(victim.id, "v") && cel__view_is(victim.state, "FAILURE"));
    assert_true(cel__view_is(victim.gid, "h"));
    cel__buf_done(&buf);
}

static void a_frame_without_a_state_is_refused(void **state)
{
    cel_outcome outcome;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel__outcome_read(&outcome, CEL_VIEW(""), &err), CEL_EPROTO);
    assert_string_equal(err.message, "the outcome has no state");
}

/* Each prefix lies in a block of its own, so that a read behind its end is seen. */
static void every_truncation_is_survived(void **state)
{
    cel__buf buf = {0};
    cel_view sections = build(&buf);
    size_t whole = 0;

    (void)state;
    for (size_t len = 0; len < sections.len; len++) {
        char *copy = malloc(len + 1);
        cel_outcome outcome;

        assert_non_null(copy);
        memcpy(copy, sections.ptr, len);
        whole += cel__outcome_read(&outcome, (cel_view){copy, len}, NULL) == CEL_OK;
        free(copy);
    }
    assert_true(whole > 0 && whole < 8); /* only cuts between two sections are frames */
    cel__buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_section_is_read),
        cmocka_unit_test(a_frame_without_a_state_is_refused),
        cmocka_unit_test(every_truncation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
