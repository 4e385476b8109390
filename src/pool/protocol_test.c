/* protocol_test.c - the frame codec: layout, truncation at every byte, mutations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "pool/protocol.h"

static void build_sample(cel__buf *buf)
{
    size_t start = cel__frame_begin(buf, CEL_FRAME_OUTCOME, UINT64_C(0x1122334455667788));
    size_t part;

    cel__section_add(buf, CEL_TAG_STATE, CEL_VIEW("SUCCESS"));
    cel__section_add(buf, CEL_TAG_TRACEBACK, (cel_view){NULL, 0});
    cel__section_add(buf, CEL_TAG_RESULT, CEL_VIEW(""));
    part = cel__section_begin(buf, CEL_TAG_PART);
    cel__section_add(buf, CEL_TAG_GID, CEL_VIEW("group"));
    cel__section_add_int(buf, CEL_TAG_INDEX, -1);
    cel__section_end(buf, part);
    cel__section_add_int(buf, CEL_TAG_RUNTIME_US, INT64_MIN);
    cel__frame_end(buf, start);
    assert_false(buf->failed);
}

static void a_frame_has_the_documented_bytes(void **state)
{
    static const unsigned char expected[] = {
        33,  0, 0, 0, 9, 0, 0, 0, 2,   1,   0,   0, 0, 0, 0, 0, /* LOG, request 258 */
        32,  0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c',                /* TEXT */
        255, 0, 0, 0, 2, 0, 0, 0, 'x', 'y',
    };
    cel__buf buf = {0};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_LOG, 258);

    (void)state;
    cel__section_add(&buf, CEL_TAG_TEXT, CEL_VIEW("abc"));
    cel__section_add(&buf, (cel_section_tag)255, CEL_VIEW("xy"));
    cel__frame_end(&buf, start);
    assert_int_equal(buf.len, sizeof expected);
    assert_memory_equal(buf.ptr, expected, sizeof expected);
    cel__buf_done(&buf);
}

static void what_was_written_is_read(void **state)
{
    cel__buf buf = {0};
    cel_frame frame;
    cel_view rest, bytes;
    cel_section_tag tag;
    int64_t value;

    (void)state;
    build_sample(&buf);
    cel__buf_add_str(&buf, "the next frame");
    assert_int_equal(cel__frame_read(&frame, cel__buf_view(&buf)), buf.len - 14);
    assert_int_equal(frame.type, CEL_FRAME_OUTCOME);
    assert_int_equal(frame.flags, 0);
    assert_true(frame.request_id == UINT64_C(0x1122334455667788));
    rest = frame.sections;
    assert_true(cel__section_next(&rest, &tag, &bytes));
    assert_int_equal(tag, CEL_TAG_STATE);
    assert_true(cel__view_is(bytes, "SUCCESS"));
    assert_true(cel__section_next(&rest, &tag, &bytes)); /* the absent view left nothing */
    assert_int_equal(tag, CEL_TAG_RESULT);
    assert_int_equal(bytes.len, 0);
    assert_non_null(bytes.ptr);
    assert_true(cel__section_next(&rest, &tag, &bytes));
    assert_int_equal(tag, CEL_TAG_PART);
    assert_true(cel__view_is(cel__section_find(bytes, CEL_TAG_GID), "group"));
    assert_true(cel__section_int(cel__section_find(bytes, CEL_TAG_INDEX), &value));
    assert_int_equal(value, -1);
    assert_null(cel__section_find(bytes, CEL_TAG_ROOT).ptr);
    assert_true(cel__section_next(&rest, &tag, &bytes));
    assert_true(cel__section_int(bytes, &value));
    assert_true(value == INT64_MIN);
    assert_false(cel__section_next(&rest, &tag, &bytes));
    assert_non_null(rest.ptr);
    assert_false(cel__section_int(CEL_VIEW("1234567"), &value));
    cel__buf_done(&buf);
}

static void a_frame_cut_at_any_byte_is_incomplete(void **state)
{
    cel__buf buf = {0};
    cel_frame frame = {.request_id = 7};

    (void)state;
    build_sample(&buf);
    for (size_t len = 0; len < buf.len; len++) {
        char *copy = cel__memdup(buf.ptr, len); /* exact, so that ASan sees a byte too many */

        assert_int_equal(cel__frame_read(&frame, (cel_view){copy, len}), 0);
        assert_int_equal(frame.request_id, 7);
        assert_int_equal(cel__frame_need((cel_view){copy, len}),
                         len < 4 ? 0 : (int64_t)buf.len);
        cel__free(copy);
    }
    cel__buf_done(&buf);
}

static void sections_cut_at_any_byte_are_malformed_or_fewer(void **state)
{
    cel__buf buf = {0};
    cel_frame frame;
    size_t whole = 0;

    (void)state;
    build_sample(&buf);
    assert_true(cel__frame_read(&frame, cel__buf_view(&buf)) > 0);
    for (size_t len = 0; len <= frame.sections.len; len++) {
        char *copy = cel__memdup(frame.sections.ptr, len);

        whole += cel__sections_valid((cel_view){copy, len});
        cel__free(copy);
    }
    assert_int_equal(whole, 5); /* none, and behind each of the four */
    cel__buf_done(&buf);
}

static void lengths_that_are_no_frame_are_refused(void **state)
{
    static const char shorter[16] = {11};
    static const char longer[16] = {(char)0xfd, (char)0xff, (char)0xff, 0x1f};
    static const char longest[16] = {(char)0xfc, (char)0xff, (char)0xff, 0x1f};
    cel_frame frame;

    (void)state;
    assert_int_equal(cel__frame_read(&frame, (cel_view){shorter, 16}), -1);
    assert_int_equal(cel__frame_read(&frame, (cel_view){longer, 16}), -1);
    assert_int_equal(cel__frame_read(&frame, (cel_view){longest, 16}), 0);
    assert_int_equal(cel__frame_need((cel_view){longest, 16}), CEL_FRAME_MAX);
}

static void mutated_frames_stay_inside_their_bytes(void **state)
{
    cel__buf buf = {0};
    uint64_t random = 88172645463325252u;
    size_t good = 0, bad = 0;

    (void)state;
    build_sample(&buf);
    for (int round = 0; round < 20000; round++) {
        char *copy = cel__memdup(buf.ptr, buf.len);
        cel_frame frame;
        int64_t len;

        for (int i = 0; i < 3; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            copy[4 + random % (buf.len - 4)] = (char)(random >> 32);
        }
        if (round % 4 == 0)
            copy[random >> 16 & 3] ^= (char)(random >> 8);
        len = cel__frame_read(&frame, (cel_view){copy, buf.len});
        if (len > 0 && cel__sections_valid(frame.sections))
            good++;
        else
            bad++;
        if (len > 0) {
            cel_view part = cel__section_find(frame.sections, CEL_TAG_PART);

            assert_true(!part.ptr || part.ptr + part.len <= copy + buf.len);
        }
        cel__free(copy);
    }
    assert_true(good > 100 && bad > 100);
    cel__buf_done(&buf);
}

static void failure_to_allocate_sticks(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        cel__buf buf = {0};
        size_t start;
        bool failed;

        cel__mem_fail_at(n);
        start = cel__frame_begin(&buf, CEL_FRAME_UPDATE, 1);
        for (int i = 0; i < 40; i++)
            cel__section_add(&buf, CEL_TAG_RESULT, CEL_VIEW("0123456789"));
        cel__frame_end(&buf, start);
        cel__mem_fail_at(0);
        failed = buf.failed;
        cel__buf_done(&buf);
        if (!failed) {
            assert_true(n > 3); /* it did grow, and each growth was made to fail */
            return;
        }
    }
}

static void a_frame_beyond_the_limit_fails(void **state)
{
    cel__buf buf = {.max = 600};
    size_t start = cel__frame_begin(&buf, CEL_FRAME_UPDATE, 1);

    (void)state;
    for (int i = 0; i < 100; i++)
        cel__section_add(&buf, CEL_TAG_RESULT, CEL_VIEW("0123456789"));
    cel__frame_end(&buf, start);
    assert_true(buf.failed);
    cel__buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_has_the_documented_bytes),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_incomplete),
        cmocka_unit_test(sections_cut_at_any_byte_are_malformed_or_fewer),
        cmocka_unit_test(lengths_that_are_no_frame_are_refused),
        cmocka_unit_test(mutated_frames_stay_inside_their_bytes),
        cmocka_unit_test(failure_to_allocate_sticks),
        cmocka_unit_test(a_frame_beyond_the_limit_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
