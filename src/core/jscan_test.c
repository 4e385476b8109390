/* jscan_test.c - what Python's json.loads() takes is taken, what it refuses is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/jscan.h"
#include "core/mem.h"

static cel_jvalue parse(const char *text)
{
    cel_jvalue value;
    cel_error err = {0};

    if (cel__jscan_value(&value, cel__view(text), &err))
        fail_msg("%s: %s", text, err.message);
    return value;
}

/* A copy without anything behind it, so that a read beyond the end is a read beyond the
 * block. */
static cel_code check_exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    cel_jvalue value;
    cel_code code;

    memcpy(copy, text, len);
    code = cel__jscan_value(&value, (cel_view){copy, len}, NULL);
    free(copy);
    return code;
}

static void values_have_their_type_and_text(void **state)
{
    static const struct {
        const char *text;
        cel_jtype type;
        const char *inner;
    } cases[] = {
        {" null\n", CEL_JSON_NULL, "null"},
        {"true", CEL_JSON_TRUE, "true"},
        {"false", CEL_JSON_FALSE, "false"},
        {"-0", CEL_JSON_INTEGER, "-0"},
        {"123456789012345678901234567890", CEL_JSON_INTEGER, "123456789012345678901234567890"},
        {"1.0", CEL_JSON_REAL, "1.0"},
        {"1E5", CEL_JSON_REAL, "1E5"},
        {"-1e-05", CEL_JSON_REAL, "-1e-05"},
        {"NaN", CEL_JSON_REAL, "NaN"},
        {"Infinity", CEL_JSON_REAL, "Infinity"},
        {"-Infinity", CEL_JSON_REAL, "-Infinity"},
        {"\t\"a\\u00e9\" ", CEL_JSON_STRING, "\"a\\u00e9\""},
        {"\"\\ud800\"", CEL_JSON_STRING, "\"\\ud800\""},
        {"\"\x7f \xc3\xa9 \xf0\x9f\x98\x80\"", CEL_JSON_STRING,
         "\"\x7f \xc3\xa9 \xf0\x9f\x98\x80\""},
        {" [ ] ", CEL_JSON_ARRAY, "[ ]"},
        {"[1,[2,{\"a\":[]}],{}]", CEL_JSON_ARRAY, "[1,[2,{\"a\":[]}],{}]"},
        {"{ \"a\" : 1 , \"b\":{} }", CEL_JSON_OBJECT, "{ \"a\" : 1 , \"b\":{} }"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_jvalue value = parse(cases[i].text);

        assert_int_equal(value.type, cases[i].type);
        assert_true(cel__view_is(value.text, cases[i].inner));
        assert_int_equal(check_exact(cases[i].text, strlen(cases[i].text)), CEL_OK);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "-Inf",
        "-NaN",
        "Infinit",
        "\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u123",
        "\"a\nb\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1]",
        "1 2",
        "[] []",
        "\357\273\2771",
        "'a'",
        "[1]x",
        "{\"a\":1,,\"b\":2}",
        "[[]",
        "[[],",
        "[{}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (check_exact(cases[i], strlen(cases[i])) != CEL_EPROTO)
            fail_msg("accepted: %s", cases[i]);
}

static void errors_name_the_place(void **state)
{
    cel_jvalue value;
    cel_error err;

    (void)state;
    assert_int_equal(cel__jscan_value(&value, CEL_VIEW("[1, x]"), &err), CEL_EPROTO);
    assert_string_equal(err.message, "not JSON: a value was expected, at byte 4 of 6");
    assert_int_equal(cel__jscan_value(&value, (cel_view){NULL, 0}, &err), CEL_EPROTO);
}

static void depth_is_bounded(void **state)
{
    char text[2 * (CEL_JSCAN_DEPTH + 1)];
    size_t deep = CEL_JSCAN_DEPTH;

    (void)state;
    memset(text, '[', deep);
    memset(text + deep, ']', deep);
    assert_int_equal(check_exact(text, 2 * deep), CEL_OK);
    deep++;
    memset(text, '[', deep);
    memset(text + deep, ']', deep);
    assert_int_equal(check_exact(text, 2 * deep), CEL_EPROTO);
    assert_int_equal(check_exact(text, deep), CEL_EPROTO);
}

static void walks_give_all_members(void **state)
{
    cel_jvalue value, key;
    cel_jscan scan;

    (void)state;
    cel__jscan_array(&scan, parse("[1, \"b\" , [2], {}]"));
    assert_true(cel__jscan_next(&scan, &value) && cel__view_is(value.text, "1"));
    assert_true(cel__jscan_next(&scan, &value) && cel__view_is(value.text, "\"b\""));
    assert_true(cel__jscan_next(&scan, &value) && cel__view_is(value.text, "[2]"));
    assert_true(cel__jscan_next(&scan, &value) && value.type == CEL_JSON_OBJECT);
    assert_false(cel__jscan_next(&scan, &value));
    assert_false(cel__jscan_next(&scan, &value));
    assert_false(scan.failed);

    cel__jscan_object(&scan, parse("{\"a\": 1, \"b\": [3]}"));
    assert_true(cel__jscan_next_member(&scan, &key, &value));
    assert_true(cel__view_is(key.text, "\"a\"") && cel__view_is(value.text, "1"));
    assert_true(cel__jscan_next_member(&scan, &key, &value));
    assert_true(cel__view_is(key.text, "\"b\"") && cel__view_is(value.text, "[3]"));
    assert_false(cel__jscan_next_member(&scan, &key, &value));
    assert_false(scan.failed);
}

static void a_walk_over_something_else_is_over_at_once(void **state)
{
    cel_jvalue value, key;
    cel_jscan scan;

    (void)state;
    cel__jscan_array(&scan, parse("{\"a\":1}"));
    assert_false(cel__jscan_next(&scan, &value));
    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_NONE, {NULL, 0}});
    assert_false(cel__jscan_next_member(&scan, &key, &value));
    assert_false(scan.failed);
}

/* Walks a raw text as an object and as an array; returns whether either walk came to a good
 * end. */
static bool walks_well(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    cel_jvalue value, key;
    cel_jscan array, object;

    memcpy(copy, text, len);
    cel__jscan_array(&array, (cel_jvalue){CEL_JSON_ARRAY, {copy, len}});
    while (cel__jscan_next(&array, &value))
        continue;
    cel__jscan_object(&object, (cel_jvalue){CEL_JSON_OBJECT, {copy, len}});
    while (cel__jscan_next_member(&object, &key, &value))
        continue;
    free(copy);
    return !array.failed || !object.failed;
}

static void walks_over_raw_text_find_every_error(void **state)
{
    static const char *const good[] = {"[]", " [1, 2] ", "{}", "{\"a\": [1, {}]}",
                                       " {\"a\" : 1 , \"b\":2}\n"};
    static const char *const bad[] = {"[1",         "[1,]",       "[1 2]", "[1]x", "{\"a\":1",
                                      "{\"a\":1}}", "{\"a\":1,}", "",      "1",    "[nul]"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(walks_well(good[i], strlen(good[i])));
        for (size_t cut = 0; cut < strlen(good[i]); cut++)
            if (check_exact(good[i], cut) != CEL_OK)
                assert_false(walks_well(good[i], cut));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(walks_well(bad[i], strlen(bad[i])));
}

static void the_last_of_equal_keys_wins(void **state)
{
    cel_jvalue object = parse("{\"a\": 1, \"\\u0061\": 2, \"b\": 3}");

    (void)state;
    assert_true(cel__view_is(cel__jscan_get(object, "a").text, "2"));
    assert_true(cel__view_is(cel__jscan_get(object, "b").text, "3"));
    assert_int_equal(cel__jscan_get(object, "c").type, CEL_JSON_NONE);
    assert_int_equal(cel__jscan_get(parse("[1]"), "a").type, CEL_JSON_NONE);
}

static void strings_are_compared_by_meaning(void **state)
{
    (void)state;
    assert_true(cel__jscan_is(parse("\"abc\""), "abc"));
    assert_true(cel__jscan_is(parse("\"\\u0061b\\u0063\""), "abc"));
    assert_true(cel__jscan_is(parse("\"\\\"\\/\\n\""), "\"/\n"));
    assert_true(cel__jscan_is(parse("\"\\ud83d\\ude00!\""), "\xf0\x9f\x98\x80!"));
    assert_true(cel__jscan_is(parse("\"\""), ""));
    assert_false(cel__jscan_is(parse("\"abc\""), "ab"));
    assert_false(cel__jscan_is(parse("\"ab\""), "abc"));
    assert_false(cel__jscan_is(parse("\"\\n\""), "\\n"));
    assert_false(cel__jscan_is(parse("\"a\\u0062\""), "abc"));
    assert_false(cel__jscan_is(parse("5"), "5"));
}

static void strings_are_resolved(void **state)
{
    cel__buf buf = {0};
    cel_jvalue plain = parse("\"abc\"");
    cel_view view = cel__jscan_view(plain, &buf);

    (void)state;
    assert_ptr_equal(view.ptr, plain.text.ptr + 1);
    assert_int_equal(buf.len, 0);
    view = cel__jscan_view(parse("\"\\b\\f\\n\\r\\t\\\\\\u00e9\\ud83d\\ude00x\\ud800\""), &buf);
    assert_true(cel__view_is(view, "\b\f\n\r\t\\\xc3\xa9\xf0\x9f\x98\x80x\xed\xa0\x80"));
    view = cel__jscan_view(parse("\"\\ud800\\u0041\""), &buf);
    assert_true(cel__view_is(view, "\xed\xa0\x80"
                                   "A"));
    assert_true(cel__jscan_view(parse("12"), &buf).ptr == NULL);
    assert_false(cel__jscan_string(parse("null"), &buf));
    cel__buf_done(&buf);
}

static void resolving_without_memory_fails_the_buffer(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__mem_fail_at(1);
    assert_int_equal(cel__jscan_view(parse("\"\\n\""), &buf).len, 0);
    cel__mem_fail_at(0);
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_ENOMEM);
    cel__buf_done(&buf);
}

static void integers_are_bounded(void **state)
{
    int64_t number = 0;

    (void)state;
    assert_true(cel__jscan_int(parse("9223372036854775807"), &number) && number == INT64_MAX);
    assert_true(cel__jscan_int(parse("-9223372036854775808"), &number) && number == INT64_MIN);
    assert_true(cel__jscan_int(parse("-0"), &number) && number == 0);
    assert_false(cel__jscan_int(parse("9223372036854775808"), &number));
    assert_false(cel__jscan_int(parse("-9223372036854775809"), &number));
    assert_false(cel__jscan_int(parse("100000000000000000000"), &number));
    assert_false(cel__jscan_int(parse("1.0"), &number));
    assert_false(cel__jscan_int(parse("\"1\""), &number));
}

static void doubles_are_read(void **state)
{
    double number = 0;

    (void)state;
    assert_true(cel__jscan_double(parse("1.5e300"), &number) && number == 1.5e300);
    assert_true(cel__jscan_double(parse("-3"), &number) && number == -3);
    assert_false(cel__jscan_double(parse("NaN"), &number));
    assert_false(cel__jscan_double(parse("-Infinity"), &number));
    assert_false(cel__jscan_double(parse("1e400"), &number));
    assert_false(cel__jscan_double(parse("\"1\""), &number));
}

/* A long string with one odd byte at every offset: the eight-byte steps must not miss it. */
static void odd_bytes_are_seen_at_every_offset(void **state)
{
    static const char odd[] = "\"\\\x01\x1f\x80\xff\n";
    char text[64];

    (void)state;
    for (size_t at = 1; at < 40; at++) {
        for (const char *c = odd; *c; c++) {
            memset(text, 'x', sizeof text);
            text[0] = text[41] = '"';
            text[at] = *c;
            assert_int_equal(check_exact(text, 42), CEL_EPROTO);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_their_type_and_text),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(walks_give_all_members),
        cmocka_unit_test(a_walk_over_something_else_is_over_at_once),
        cmocka_unit_test(walks_over_raw_text_find_every_error),
        cmocka_unit_test(the_last_of_equal_keys_wins),
        cmocka_unit_test(strings_are_compared_by_meaning),
        cmocka_unit_test(strings_are_resolved),
        cmocka_unit_test(resolving_without_memory_fails_the_buffer),
        cmocka_unit_test(integers_are_bounded),
        cmocka_unit_test(doubles_are_read),
        cmocka_unit_test(odd_bytes_are_seen_at_every_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
