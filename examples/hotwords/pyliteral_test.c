/* pyliteral_test.c */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "pyliteral.h"
#include "test_support.h"

/* Writes what is visited as text. */
static hw_code note(void *arg, uint32_t outer, uint32_t inner, double value, hw_error *err)
{
    char line[96];

    snprintf(line, sizeof line, "%X %X %g;", outer, inner, value);
    return hw_buf_add(arg, line, strlen(line)) ? HW_OK : hw_fail_memory(err);
}

static hw_code stop(void *arg, uint32_t outer, uint32_t inner, double value, hw_error *err)
{
    (void)arg;
    (void)outer;
    (void)inner;
    (void)value;
    return hw_fail(err, HW_EINVAL, "enough");
}

static void assert_read(const char *source, unsigned depth, const char *expected)
{
    hw_buf seen = {0};
    hw_error err = {0};

    if (hw_pyliteral_read(source, strlen(source), "x.py", depth, note, &seen, &err) != HW_OK)
        fail_msg("%s", err.message);
    hw_buf_add_byte(&seen, '\0');
    assert_string_equal(seen.bytes, expected);
    hw_buf_done(&seen);
}

static void assert_refused(const char *source, unsigned depth, const char *message)
{
    hw_buf seen = {0};
    hw_error err = {0};

    assert_int_equal(
        hw_pyliteral_read(source, strlen(source), "x.py", depth, note, &seen, &err),
        HW_EFORMAT);
    assert_string_equal(err.message, message);
    hw_buf_done(&seen);
}

static void numbers_come_in_order(void **state)
{
    (void)state;
    assert_read("P={'B': -0.5,\n 'E': -3.14e+100}\n", 1, "0 42 -0.5;0 45 -3.14e+100;");
    assert_read("P = {}", 1, "");
    assert_read("P={'B': {'\\u4e00': 1, \"\xE4\xB8\x81\": 2,}, 'E': {}}", 2,
                "42 4E00 1;42 4E01 2;");
}

static void imports_and_comments_are_skipped(void **state)
{
    (void)state;
    assert_read("# x\nfrom __future__ import unicode_literals\n\nP={ # y\n'B': 1}\n# z", 1,
                "0 42 1;");
}

static void all_else_is_an_error_that_names_the_line(void **state)
{
    (void)state;
    assert_refused("", 1, "x.py:1: expected 'P = {'");
    assert_refused("import os\nP={}", 1, "x.py:1: expected 'P = {'");
    assert_refused("P=[]", 1, "x.py:1: expected '{'");
    assert_refused("P={\n'B' 1}", 1, "x.py:2: expected ':'");
    assert_refused("P={\n\n'BE': 1}", 1, "x.py:3: expected a string of one character");
    assert_refused("P={'': 1}", 1, "x.py:1: expected a string of one character");
    assert_refused("P={'\\u4e0': 1}", 1, "x.py:1: expected four hexadecimal digits after \\u");
    assert_refused("P={'\xFF': 1}", 1, "x.py:1: expected UTF-8");
    assert_refused("P={'B': x}", 1, "x.py:1: expected a number");
    assert_refused("P={'B': 1e999}", 1, "x.py:1: expected a number");
    assert_refused("P={'B': 1 'E': 2}", 1, "x.py:1: expected ',' or '}'");
    assert_refused("P={'B': 1", 1, "x.py:1: expected ',' or '}'");
    assert_refused("P={'B': 1}\nimport os", 1, "x.py:2: expected the end of the file");
    assert_refused("P={'B': 1}", 2, "x.py:1: expected '{'");
    assert_refused("P={'B': {'E': 1}}", 1, "x.py:1: expected a number");
    assert_refused("P={'B': 1111111111111111111111111111111111111111111111111111111111111111}",
                   1, "x.py:1: expected a shorter number");
}

static void every_truncation_is_an_error(void **state)
{
    static const char source[] = "P={'B': {'\\u4e00': -1.5, '\xE4\xB8\x81': 2}}";

    (void)state;
    for (size_t len = 0; len < sizeof source - 1; len++) {
        hw_buf seen = {0};

        assert_int_equal(hw_pyliteral_read(source, len, "x.py", 2, note, &seen, NULL),
                         HW_EFORMAT);
        hw_buf_done(&seen);
    }
}

static void the_visitor_stops_the_reading(void **state)
{
    hw_error err = {0};

    (void)state;
    assert_int_equal(hw_pyliteral_read("P={'B':1,,", 10, "x.py", 1, stop, NULL, &err),
                     HW_EINVAL);
    assert_string_equal(err.message, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_in_order),
        cmocka_unit_test(imports_and_comments_are_skipped),
        cmocka_unit_test(all_else_is_an_error_that_names_the_line),
        cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(the_visitor_stops_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
