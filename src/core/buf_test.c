/* buf_test.c - growth, the limit, sticky failure, JSON strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

static void it_grows_as_needed(void **state)
{
    cel__buf buf = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        cel__buf_add_int(&buf, i % 10);
    assert_int_equal(buf.len, 1000);
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf.ptr[i], '0' + i % 10);
    cel__buf_done(&buf);
    assert_null(buf.ptr);
}

static void an_empty_one_owns_nothing_and_views_empty_text(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__buf_add(&buf, NULL, 0);
    cel__buf_add_view(&buf, (cel_view){NULL, 0});
    assert_int_equal(buf.len, 0);
    assert_non_null(cel__buf_view(&buf).ptr);
    assert_string_equal(cel__buf_cstr(&buf), "");
    cel__buf_done(&buf);
    cel__buf_done(&buf);
}

static void the_limit_fails_it_and_keeps_a_prefix(void **state)
{
    cel__buf buf = {.max = 10};
    cel_error err;

    (void)state;
    cel__buf_add_str(&buf, "12345678");
    cel__buf_add_str(&buf, "abc");
    cel__buf_add_byte(&buf, 'x');
    assert_int_equal(buf.len, 8);
    assert_int_equal(cel__buf_check(&buf, &err), CEL_ENOMEM);
    assert_true(err.retriable);
    assert_null(cel__buf_cstr(&buf));
    assert_null(cel__buf_detach(&buf, NULL));
    cel__buf_reset(&buf);
    cel__buf_add_str(&buf, "1234567890");
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_OK);
    cel__buf_done(&buf);
    assert_int_equal(buf.max, 10);
}

static void memory_that_runs_out_fails_it(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__buf_add_str(&buf, "abc");
    cel__mem_fail_at(1);
    cel__buf_addf(&buf, "%0*d", 200, 7);
    cel__mem_fail_at(0);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 3);
    cel__buf_done(&buf);
    assert_false(buf.failed);
}

static void integers_are_decimal(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__buf_add_int(&buf, INT64_MIN);
    cel__buf_add_byte(&buf, ' ');
    cel__buf_add_int(&buf, INT64_MAX);
    cel__buf_add_byte(&buf, ' ');
    cel__buf_add_int(&buf, 0);
    assert_string_equal(cel__buf_cstr(&buf), "-9223372036854775808 9223372036854775807 0");
    cel__buf_done(&buf);
}

static void formatting_appends(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__buf_addf(&buf, "%s-%d", "a", 5);
    cel__buf_addf(&buf, "%s", "");
    cel__buf_addf(&buf, "%0*d", 100, 1);
    assert_int_equal(buf.len, 103);
    assert_memory_equal(buf.ptr, "a-5000", 6);
    cel__buf_done(&buf);
}

static void detaching_moves_the_content_out(void **state)
{
    cel__buf buf = {0};
    size_t len = 0;
    char *text;

    (void)state;
    cel__buf_add(&buf, "a\0b", 3);
    text = cel__buf_detach(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "a\0b", 4);
    assert_null(buf.ptr);
    assert_int_equal(buf.len + buf.cap, 0);
    cel__free(text);
}

static void assert_json(cel_view text, const char *want)
{
    cel__buf buf = {0};

    cel__buf_add_json(&buf, text);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
}

static void json_strings_are_as_pythons(void **state)
{
    (void)state;
    assert_json(CEL_VIEW(""), "\"\"");
    assert_json(CEL_VIEW("plain text of more than eight bytes"),
                "\"plain text of more than eight bytes\"");
    assert_json(CEL_VIEW("\"\\/\b\f\n\r\t\x01\x1f\x7f"),
                "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"");
    assert_json((cel_view){"a\0b", 3}, "\"a\\u0000b\"");
    assert_json(CEL_VIEW("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                "\"\\u00e9\\u20ac\\ud83d\\ude00\"");
    assert_json(CEL_VIEW("\xed\xa0\x80"), "\"\\ud800\"");
    assert_json(CEL_VIEW("\xff\xc3x"), "\"\\ufffd\\ufffdx\"");
    assert_json(CEL_VIEW("12345678\xc3\xa9"
                         "12345678\"12345678"),
                "\"12345678\\u00e912345678\\\"12345678\"");
}

static void plain_runs_end_at_the_first_byte_that_wants_a_look(void **state)
{
    char text[40];

    (void)state;
    for (size_t at = 0; at < sizeof text; at++) {
        for (int c = 0; c < 256; c++) {
            bool plain = c >= ' ' && c < 127 && c != '"' && c != '\\';

            memset(text, 'x', sizeof text);
            text[at] = (char)c;
            assert_int_equal(cel__json_plain(text, sizeof text), plain ? sizeof text : at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_as_needed),
        cmocka_unit_test(an_empty_one_owns_nothing_and_views_empty_text),
        cmocka_unit_test(the_limit_fails_it_and_keeps_a_prefix),
        cmocka_unit_test(memory_that_runs_out_fails_it),
        cmocka_unit_test(integers_are_decimal),
        cmocka_unit_test(formatting_appends),
        cmocka_unit_test(detaching_moves_the_content_out),
        cmocka_unit_test(json_strings_are_as_pythons),
        cmocka_unit_test(plain_runs_end_at_the_first_byte_that_wants_a_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
