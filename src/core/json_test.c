/* json_test.c - texts as Python writes them. The reprs are also checked against recorded
 * ones, see message/vectors_test.c. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/jscan.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/number.h"

static void assert_dumps(json_t *value, const char *want)
{
    cel__buf buf = {0};

    cel__json_dump(&buf, value);
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_OK);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
    json_decref(value);
}

static void dumps_are_as_pythons(void **state)
{
    (void)state;
    assert_dumps(json_pack("{s:[i,f,n,b,b],s:{},s:[],s:s}", "a", 1, 1.0, 1, 0, "b", "c", "d",
                           "\xc3\xa9\"\\\n\x7f"),
                 "{\"a\": [1, 1.0, null, true, false], \"b\": {}, \"c\": [], \"d\": "
                 "\"\\u00e9\\\"\\\\\\n\\u007f\"}");
    assert_dumps(json_string("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\"");
    assert_dumps(json_stringn("a\0b", 3), "\"a\\u0000b\"");
    assert_dumps(json_integer(INT64_MIN), "-9223372036854775808");
    assert_dumps(NULL, "null");
    assert_dumps(json_pack("[[[]],[]]"), "[[[]], []]");
}

static void reals_are_the_shortest_that_read_back(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e15, "1000000000000000.0"},
        {9999999999999998.0, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1.5e300, "1.5e+300"},
        {1e-4, "0.0001"},
        {1.5e-5, "1.5e-05"},
        {1e-05, "1e-05"},
        {123456.789, "123456.789"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {1e22, "1e+22"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {100.0, "100.0"},
        {3.141592653589793, "3.141592653589793"},
        {2.5e-100, "2.5e-100"},
    };
    char text[CEL_DOUBLE_TEXT];
    double back = 0;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cel__double_format(text, cases[i].value), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_true(cel__double_parse(&back, cel__view(text)));
        assert_memory_equal(&back, &cases[i].value, sizeof back);
    }
    cel__double_format(text, (double)NAN);
    assert_string_equal(text, "nan");
    cel__double_format(text, -(double)INFINITY);
    assert_string_equal(text, "-inf");
}

static void doubles_survive_the_round_trip(void **state)
{
    uint64_t seed = 12345;
    char text[CEL_DOUBLE_TEXT];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        double value, back = 0;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &seed, sizeof value);
        if (!isfinite(value))
            continue;
        cel__double_format(text, value);
        assert_true(cel__double_parse(&back, cel__view(text)));
        assert_memory_equal(&back, &value, sizeof back);
    }
}

static void numbers_are_refused_where_they_are_none(void **state)
{
    static const char *const bad[] = {"",     "x",     "1x", "nan", "inf",
                                      "0x10", "1e400", "-",  "1e",  " 1"};
    double number;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cel__double_parse(&number, cel__view(bad[i])))
            fail_msg("accepted: %s", bad[i]);
}

static void long_numbers_are_read(void **state)
{
    char text[400];
    double number = 0;

    (void)state;
    memset(text, '1', sizeof text);
    text[1] = '.';
    assert_true(cel__double_parse(&number, (cel_view){text, sizeof text}));
    assert_true(number == 1.1111111111111112);
    cel__mem_fail_at(1);
    assert_false(cel__double_parse(&number, (cel_view){text, sizeof text}));
    cel__mem_fail_at(0);
}

/* A locale with a decimal comma must not change a byte; skipped where none is installed. */
static void the_locale_does_not_matter(void **state)
{
    char text[CEL_DOUBLE_TEXT];
    double number = 0;

    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip();
    cel__double_format(text, 0.30000000000000004);
    assert_string_equal(text, "0.30000000000000004");
    assert_true(cel__double_parse(&number, CEL_VIEW("0.30000000000000004")));
    assert_true(number == 0.30000000000000004);
    setlocale(LC_NUMERIC, "C");
}

static void what_is_nested_too_deeply_fails_the_buffer(void **state)
{
    json_t *tree = json_array();
    cel__buf buf = {0};

    (void)state;
    for (int i = 1; i < CEL_JSCAN_DEPTH; i++) {
        json_t *outer = json_array();

        json_array_append_new(outer, tree);
        tree = outer;
    }
    cel__json_dump(&buf, tree);
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_OK);
    assert_int_equal(buf.len, 2 * CEL_JSCAN_DEPTH);
    cel__buf_reset(&buf);
    json_t *outer = json_array();
    json_array_append_new(outer, tree);
    cel__json_dump(&buf, outer);
    assert_int_equal(cel__buf_check(&buf, NULL), CEL_ENOMEM);
    json_decref(outer);
    cel__buf_done(&buf);
}

static void dumping_without_memory_fails_the_buffer(void **state)
{
    json_t *value =
        json_pack("{s:[i,i,s]}", "a", 1, 2,
                  "a long enough string to make the buffer grow more than once.......");

    (void)state;
    for (size_t n = 1;; n++) {
        cel__buf buf = {0};

        cel__mem_fail_at(n);
        cel__json_dump(&buf, value);
        cel__mem_fail_at(0);
        bool failed = buf.failed;
        cel__buf_done(&buf);
        if (!failed)
            break;
        assert_true(n < 100);
    }
    json_decref(value);
}

static void loading_tells_no_json_from_what_c_cannot_hold(void **state)
{
    static const char *const beyond[] = {"[123456789012345678901234567890]",
                                         "NaN",
                                         "[-Infinity]",
                                         "\"\\ud800\"",
                                         "1e400",
                                         "{\"a\\u0000b\": 1}"};
    json_t *value = NULL;
    cel_error err;

    (void)state;
    assert_int_equal(cel__json_load(&value, CEL_VIEW(" {\"a\": [1, \"x\\u0000y\"]} "), &err),
                     CEL_OK);
    assert_int_equal(json_string_length(json_array_get(json_object_get(value, "a"), 1)), 3);
    json_decref(value);
    assert_int_equal(cel__json_load(&value, CEL_VIEW("7"), &err), CEL_OK);
    assert_int_equal(json_integer_value(value), 7);
    json_decref(value);
    assert_int_equal(cel__json_load(&value, CEL_VIEW("{\"a\""), &err), CEL_EPROTO);
    assert_string_equal(err.message, "not JSON: ':' was expected, at byte 4 of 4");
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        if (cel__json_load(&value, cel__view(beyond[i]), &err) != CEL_EINVAL)
            fail_msg("not CEL_EINVAL: %s", beyond[i]);
        assert_memory_equal(err.message, "JSON that C cannot hold", 23);
    }
}

static void assert_repr(const char *json, size_t max_len, bool tuple, const char *want)
{
    cel__buf buf = {0};

    cel__json_repr(&buf, cel__view(json), max_len, tuple);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
}

static void bounded_reprs_are_as_saferepr(void **state)
{
    (void)state;
    assert_repr("[2, 3]", 1024, true, "(2, 3)");
    assert_repr("[1]", 1024, true, "(1,)");
    assert_repr("[]", 1024, true, "()");
    assert_repr("[[1]]", 1024, true, "([1],)");
    assert_repr("{\"a\": [null, true, false, 1.0, 1E5, NaN, -Infinity]}", 1024, true,
                "{'a': [None, True, False, 1.0, 100000.0, nan, -inf]}");
    assert_repr("[123456789012345678901234567890, -0]", 1024, false,
                "[123456789012345678901234567890, 0]");
    assert_repr("[\"it's\", \"\\u00e9\\n\"]", 1024, false, "['it\\'s', '\xc3\xa9\n']");
    assert_repr("[[[[1, 2], {\"a\": 1}]]]", 1024, false, "[[[[...], {...}]]]");
    assert_repr("[\"aaaa bbbb cccc\", 1]", 10, true, "('aaaa...', ...)");
    assert_repr("[1, 2, 3, 4, 5, 6]", 5, true, "(1, 2..., ...)");
    assert_repr("[1, x", 1024, true, "(1, )");
}

static void assert_pyrepr(const char *json, bool tuple, const char *want)
{
    cel__buf buf = {0};

    cel__json_pyrepr(&buf, cel__view(json), tuple);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
}

static void full_reprs_are_as_pythons(void **state)
{
    (void)state;
    assert_pyrepr("[\"boom\",42]", true, "('boom', 42)");
    assert_pyrepr("[ ]", true, "()");
    assert_pyrepr("[[]]", true, "([],)");
    assert_pyrepr("[{\"a\":[1,2]}]", true, "({'a': [1, 2]},)");
    assert_pyrepr("[\"it's\", \"say \\\"hi\\\"\", \"it's \\\"\"]", false,
                  "[\"it's\", 'say \"hi\"', 'it\\'s \"']");
    assert_pyrepr("\"\\\\ \\n\\t\\r\\u0001\\u007f\\u00a0\\u00e9\\u200b\\ud800\\udb40\\udc01\"",
                  false, "'\\\\ \\n\\t\\r\\x01\\x7f\\xa0\xc3\xa9\\u200b\\ud800\\U000e0001'");
    assert_pyrepr("[null,true,1e3]", false, "[None, True, 1000.0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_are_as_pythons),
        cmocka_unit_test(reals_are_the_shortest_that_read_back),
        cmocka_unit_test(doubles_survive_the_round_trip),
        cmocka_unit_test(numbers_are_refused_where_they_are_none),
        cmocka_unit_test(long_numbers_are_read),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(what_is_nested_too_deeply_fails_the_buffer),
        cmocka_unit_test(dumping_without_memory_fails_the_buffer),
        cmocka_unit_test(loading_tells_no_json_from_what_c_cannot_hold),
        cmocka_unit_test(bounded_reprs_are_as_saferepr),
        cmocka_unit_test(full_reprs_are_as_pythons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
