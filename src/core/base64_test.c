/* base64_test.c - the vectors of RFC 4648, all bytes, and what is no base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base64.h"

static const char *const vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void the_vectors_of_the_rfc_hold_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        cel__buf buf = {0};

        cel__base64_encode(&buf, cel__view(vectors[i][0]));
        assert_true(cel__view_is(cel__buf_view(&buf), vectors[i][1]));
        cel__buf_reset(&buf);
        assert_true(cel__base64_decode(&buf, cel__view(vectors[i][1])));
        assert_true(cel__view_is(cel__buf_view(&buf), vectors[i][0]));
        cel__buf_done(&buf);
    }
}

static void all_bytes_come_back(void **state)
{
    char bytes[256];
    cel__buf text = {0}, back = {0};

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        cel__buf_reset(&text);
        cel__buf_reset(&back);
        cel__base64_encode(&text, (cel_view){bytes, len});
        assert_true(cel__base64_decode(&back, cel__buf_view(&text)));
        assert_true(cel__view_eq(cel__buf_view(&back), (cel_view){bytes, len}));
    }
    cel__buf_done(&text);
    cel__buf_done(&back);
}

static void line_ends_are_skipped_and_missing_padding_is_taken(void **state)
{
    cel__buf buf = {0};

    (void)state;
    assert_true(cel__base64_decode(&buf, CEL_VIEW("Zm9v\r\nYmE=\n")));
    assert_true(cel__base64_decode(&buf, CEL_VIEW("Zg")));
    assert_true(cel__view_is(cel__buf_view(&buf), "foobaf"));
    cel__buf_done(&buf);
}

static void what_is_none_is_refused(void **state)
{
    static const char *const bad[] = {
        "Z", "Zg=a", "Zg===", "Zm9v=", "====", "Zm 9v", "Zm9\xc3", "Zm-_"};
    cel__buf buf = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cel__base64_decode(&buf, cel__view(bad[i])))
            fail_msg("'%s' was taken", bad[i]);
    cel__buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_hold_both_ways),
        cmocka_unit_test(all_bytes_come_back),
        cmocka_unit_test(line_ends_are_skipped_and_missing_padding_is_taken),
        cmocka_unit_test(what_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
