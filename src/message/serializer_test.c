/* serializer_test.c - msgpack and YAML beside JSON. That Python reads what is written, and the
 * reverse, is in tests/interop/message_interop.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/jscan.h"
#include "core/mem.h"
#include "message/serializer.h"

static const cel__coding all = {.serializer = CEL_SERIALIZER_JSON,
                                .accepted = CEL__ACCEPTS(CEL_SERIALIZER_JSON) |
                                            CEL__ACCEPTS(CEL_SERIALIZER_YAML) |
                                            CEL__ACCEPTS(CEL_SERIALIZER_MSGPACK)};

static const cel__serializer forms[] = {
    CEL_SERIALIZER_JSON,
    CEL_SERIALIZER_MSGPACK,
#ifdef CEL_HAVE_YAML
    CEL_SERIALIZER_YAML,
#endif
};

#define COUNT (sizeof forms / sizeof *forms)

/* Reads from a block of the exact size. */
static cel_code
read(cel__buf *out, cel__serializer form, const char *bytes, size_t len, cel_error *err)
{
    char *copy = malloc(len ? len : 1);
    cel_view text;
    cel_code code;

    memcpy(copy, bytes, len);
    code = cel__decode(&text, form, &all, (cel_view){copy, len}, out, err);
    if (code == CEL_OK && form == CEL_SERIALIZER_JSON)
        cel__buf_add_view(out, text);
    free(copy);
    return code;
}

static void assert_reads(cel__serializer form, const char *bytes, size_t len, const char *want)
{
    cel__buf out = {0};
    cel_error err = {0};

    if (read(&out, form, bytes, len, &err) != CEL_OK)
        fail_msg("%s: %s", want, err.message);
    if (!cel__view_is(cel__buf_view(&out), want))
        fail_msg("\n got %.*s\nwant %s", (int)out.len, out.ptr, want);
    cel__buf_done(&out);
}

static void assert_fails(cel__serializer form, const char *bytes, size_t len, const char *why)
{
    cel__buf out = {0};
    cel_error err = {0};

    assert_int_equal(read(&out, form, bytes, len, &err), CEL_EPROTO);
    if (!strstr(err.message, why))
        fail_msg("\n got %s\nwant %s", err.message, why);
    cel__buf_done(&out);
}

#define READS(bytes, want) assert_reads(CEL_SERIALIZER_MSGPACK, bytes, sizeof bytes - 1, want)
#define FAILS(bytes, why)  assert_fails(CEL_SERIALIZER_MSGPACK, bytes, sizeof bytes - 1, why)

static void what_is_written_is_read_again(void **state)
{
    static const char *const values[] = {
        "null",
        "[true, false, null]",
        "[0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9223372036854775807, "
        "18446744073709551615]",
        "[-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, "
        "-9223372036854775808]",
        "[0.0, -0.5, 1.5, 1e+16, 1e-07, 1.7976931348623157e+308, NaN, Infinity, -Infinity]",
        "[\"\", \"a\", \"caf\\u00e9\", \"\\ud83d\\ude00\", \"a\\u0000b\", \"\\\"\\\\\\n\\t\"]",
        "[\"yes\", \"no\", \"1\", \"1.5\", \"0x1f\", \"~\", \"null\", \"2001-12-14\", "
        "\"1:30\", "
        "\"<<\", \"=\", \"-\", \"- a\", \"a: b\", \"#\", \"!x\", \"&a\", \"*a\", \" a\", \"a "
        "\", \".inf\", \"1_000\", \"a\\nb\", \"a\\n\"]",
        "{}",
        "[]",
        "[[], [[]], {}, [{}]]",
        "{\"a\": {\"b\": [1, {\"c\": null}]}, \"\": 0, \"yes\": 1, \"1\": 2}",
        "{\"__type__\": \"bytes\", \"__value__\": \"abc\"}",
        "{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}",
        "{\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"00\"}}",
        "{\"__type__\": \"decimal\", \"__value__\": \"1.50\"}",
        "{\"__type__\": \"datetime\", \"__value__\": \"2024-01-02T03:04:05.000678+00:00\"}",
        "{\"__type__\": \"date\", \"__value__\": \"2024-01-02\"}",
        "{\"__type__\": \"datetime\", \"__value__\": \"noon\"}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            cel__buf bytes = {0};
            cel_error err = {0};

            if (cel__encode(&bytes, forms[i], &all, cel__view(values[k]), &err) != CEL_OK)
                fail_msg("%s: %s", values[k], err.message);
            assert_reads(forms[i], bytes.ptr, bytes.len, values[k]);
            cel__buf_done(&bytes);
        }
}

static void long_things_are_read_again(void **state)
{
    static const size_t lengths[] = {31, 32, 255, 256, 65535, 65536};

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            cel__buf json = {0}, bytes = {0};

            cel__buf_add_str(&json, "{\"list\": [");
            for (size_t n = 0; n < lengths[k]; n++)
                cel__buf_addf(&json, "%s%d", n ? ", " : "", (int)(n % 10));
            cel__buf_add_str(&json, "], \"text\": \"");
            for (size_t n = 0; n < lengths[k]; n++)
                cel__buf_add_byte(&json, (char)('a' + n % 26));
            cel__buf_add_str(&json, "\", \"");
            for (size_t n = 0; n < lengths[k]; n++)
                cel__buf_add_byte(&json, 'k');
            cel__buf_add_str(&json, "\": {\"__type__\": \"bytes\", \"__value__\": \"");
            for (size_t n = 0; n < lengths[k]; n++)
                cel__buf_add_byte(&json, 'x');
            cel__buf_add_str(&json, "\"}}");
            assert_int_equal(cel__encode(&bytes, forms[i], &all, cel__buf_view(&json), NULL),
                             CEL_OK);
            assert_reads(forms[i], bytes.ptr, bytes.len, cel__buf_cstr(&json));
            cel__buf_done(&json);
            cel__buf_done(&bytes);
        }
}

static void what_a_form_cannot_hold_is_an_error(void **state)
{
    static const struct {
        cel__serializer form;
        const char *json, *why;
    } cases[] = {
        {CEL_SERIALIZER_MSGPACK, "[18446744073709551616]", "64 bits"},
        {CEL_SERIALIZER_MSGPACK, "[-9223372036854775809]", "64 bits"},
        {CEL_SERIALIZER_MSGPACK, "[\"\\ud83d\"]", "surrogate"},
        {CEL_SERIALIZER_MSGPACK, "[1", "JSON"},
#ifdef CEL_HAVE_YAML
        {CEL_SERIALIZER_YAML, "[\"\\ud83d\"]", "surrogate"},
        {CEL_SERIALIZER_YAML, "[1", "JSON"},
#endif
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel__buf out = {0};
        cel_error err = {0};

        cel__buf_add_str(&out, "before");
        assert_int_equal(cel__encode(&out, cases[i].form, &all, cel__view(cases[i].json), &err),
                         CEL_EINVAL);
        assert_int_equal(out.len, 6);
        assert_true(err.message[0] != '\0');
        cel__buf_done(&out);
    }
}

static void msgpack_of_each_type_is_read(void **state)
{
    (void)state;
    READS("\xc0", "null");
    READS("\xca\x3f\xc0\x00\x00", "1.5");
    READS("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5");
    READS("\xd3\xff\xff\xff\xff\xff\xff\xff\xff", "-1");
    READS("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
    READS("\xd9\x01"
          "a",
          "\"a\"");
    READS("\xdb\x00\x00\x00\x01"
          "a",
          "\"a\"");
    READS("\xc4\x02"
          "ab",
          "{\"__type__\": \"bytes\", \"__value__\": \"ab\"}");
    READS("\xc6\x00\x00\x00\x02\xff\x00",
          "{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}");
    READS("\xdc\x00\x01\x01", "[1]");
    READS("\xdd\x00\x00\x00\x01\x01", "[1]");
    READS("\xde\x00\x01\xa1"
          "a\x01",
          "{\"a\": 1}");
    READS("\xdf\x00\x00\x00\x01\xd9\x01"
          "a\x01",
          "{\"a\": 1}");
}

static void msgpack_that_is_hostile_is_refused(void **state)
{
    char deep[CEL_JSCAN_DEPTH + 2];

    (void)state;
    FAILS("", "ends in the middle");
    FAILS("\xdd\xff\xff\xff\xff", "ends in the middle");
    FAILS("\xdb\xff\xff\xff\xff"
          "a",
          "ends in the middle");
    FAILS("\xdf\xff\xff\xff\xff", "ends in the middle");
    FAILS("\x81\xa1"
          "a",
          "ends in the middle");
    FAILS("\xcb\x00", "ends in the middle");
    FAILS("\x01\x01", "behind");
    FAILS("\x81\x01\x02", "key");
    FAILS("\xa1\xff", "UTF-8");
    FAILS("\xd6\xff\x00\x00\x00\x00", "extension");
    FAILS("\xc1", "0xc1");
    memset(deep, '\x91', sizeof deep);
    assert_fails(CEL_SERIALIZER_MSGPACK, deep, sizeof deep, "deep");
}

#ifdef CEL_HAVE_YAML
static void yaml(const char *text, const char *want)
{
    assert_reads(CEL_SERIALIZER_YAML, text, strlen(text), want);
}

static void no_yaml(const char *text, const char *why)
{
    assert_fails(CEL_SERIALIZER_YAML, text, strlen(text), why);
}

static void plain_words_of_yaml_mean_what_they_mean_in_python(void **state)
{
    (void)state;
    yaml("[~, null, NULL, ]", "[null, null, null]");
    yaml("[yes, No, ON, off, true, y, n]", "[true, false, true, false, true, \"y\", \"n\"]");
    yaml("[0, +1, -1, 0b101, 0x1F, 017, 1_000, 1:30, -1:30:5, 123456789012345678901234567890]",
         "[0, 1, -1, 5, 31, 15, 1000, 90, -5405, 123456789012345678901234567890]");
    yaml("[08, 0o17, 1e5, 1.e5, '1']", "[\"08\", \"0o17\", \"1e5\", \"1.e5\", \"1\"]");
    yaml("[1., .5, 1.5e+3, -1_0.25, 007.5, 1:30.5, -.inf, .NaN]",
         "[1.0, 0.5, 1500.0, -10.25, 7.5, 90.5, -Infinity, NaN]");
    yaml("2001-12-14", "{\"__type__\": \"date\", \"__value__\": \"2001-12-14\"}");
    yaml("2001-12-14t21:59:43.10-05:00",
         "{\"__type__\": \"datetime\", \"__value__\": \"2001-12-14T21:59:43.100000-05:00\"}");
    yaml("2001-12-14 21:59:43 Z",
         "{\"__type__\": \"datetime\", \"__value__\": \"2001-12-14T21:59:43+00:00\"}");
    yaml("{1: a, true: b, ~: c, 1.5: d}",
         "{\"1\": \"a\", \"true\": \"b\", \"null\": \"c\", \"1.5\": \"d\"}");
    yaml("!!str 1", "\"1\"");
    yaml("!!int '1'", "1");
    yaml("!!float 1", "1.0");
    yaml("! 1", "\"1\"");
    yaml("!!binary \"/wA=\"", "{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}");
    yaml("!!binary |\n  YWJj\n  ZGVm\n",
         "{\"__type__\": \"bytes\", \"__value__\": \"abcdef\"}");
    yaml("- &a [1, 2]\n- *a\n- &k key\n- {*k : *a}\n",
         "[[1, 2], [1, 2], \"key\", {\"key\": [1, 2]}]");
    yaml("[&a [1, &a [2]], *a]", "[[1, [2]], [2]]");
    yaml("--- |\n a\n b\n...\n", "\"a\\nb\\n\"");
    yaml("\"\\U0001F600\"", "\"\\ud83d\\ude00\"");
}

static void yaml_that_is_hostile_is_refused(void **state)
{
    static const char bomb[] = "- &a [x,x,x,x,x,x,x,x,x,x]\n"
                               "- &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                               "- &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                               "- &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                               "- &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                               "- &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                               "- &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    char deep[CEL_JSCAN_DEPTH + 2];

    (void)state;
    no_yaml("!!python/object/apply:os.system ['echo']",
            "line 1 of the YAML: the tag !!python/object/apply:os.system is refused");
    no_yaml("- 1\n- !!python/name:os.system ''", "line 2");
    no_yaml("!!set {a, b}", "the tag set is not supported");
    no_yaml("!mine x", "the tag !mine is not supported");
    no_yaml("!!int x", "does not fit its type");
    no_yaml("!!binary '***'", "base64");
    no_yaml("2001-13-14", "does not fit its type");
    no_yaml("0x_", "does not fit its type");
    no_yaml("{<<: {a: 1}}", "merge");
    no_yaml("&a [*a]", "contains itself");
    no_yaml("[*a]", "no anchor");
    no_yaml(bomb, "blow it up");
    no_yaml("{[1]: 2}", "key");
    no_yaml("{2001-12-14: 2}", "key");
    no_yaml("a\n---\nb\n", "more than one");
    no_yaml("", "empty");
    no_yaml("[1", "line");
    no_yaml("\"\\ud83d\"", "line 1");
    no_yaml("a: \xff", "line");
    memset(deep, '[', sizeof deep);
    assert_fails(CEL_SERIALIZER_YAML, deep, sizeof deep, "deep");
}
#endif

static void pickle_is_refused_with_advice(void **state)
{
    cel__coding coding = all;
    cel_error err = {0};
    cel__buf out = {0};
    cel_view text;

    (void)state;
    coding.accepted |= CEL__ACCEPTS(CEL_SERIALIZER_PICKLE);
    assert_int_equal(
        cel__decode(&text, CEL_SERIALIZER_PICKLE, &coding, CEL_VIEW("\x80\x04N."), &out, &err),
        CEL_ENOTSUP);
    assert_non_null(strstr(err.message, "set task_serializer to 'json'"));
    assert_int_equal(cel__encode(&out, CEL_SERIALIZER_PICKLE, &coding, CEL_VIEW("1"), &err),
                     CEL_ENOTSUP);
    assert_int_equal(err.code, CEL_ENOTSUP);
    assert_int_equal(cel__serializer_check(CEL_SERIALIZER_PICKLE, NULL, true, &err),
                     CEL_ECONFIG);
}

static void what_is_not_accepted_is_refused(void **state)
{
    cel_error err = {0};
    cel__buf out = {0};
    cel_view text;

    (void)state;
    assert_int_equal(cel__decode(&text, CEL_SERIALIZER_MSGPACK, &cel__coding_json,
                                 CEL_VIEW("\x01"), &out, &err),
                     CEL_ENOTSUP);
    assert_non_null(strstr(err.message, "accept_content does not have 'msgpack'"));
    assert_int_equal(
        cel__decode(&text, CEL_SERIALIZER_AUTH, &cel__coding_json, CEL_VIEW("x"), &out, &err),
        CEL_ENOTSUP);
}

static void a_long_text_is_bounded(void **state)
{
    static char zeros[2000]; /* 2000 zeros in msgpack are 6000 bytes of JSON */
    cel__coding coding = all;
    cel__buf out = {0};
    cel_view text;

    (void)state;
    zeros[0] = '\xdc';
    zeros[1] = (char)(1997 >> 8);
    zeros[2] = (char)(1997 & 255);
    coding.max_bytes = 5000;
    assert_int_equal(cel__decode(&text, CEL_SERIALIZER_MSGPACK, &coding,
                                 (cel_view){zeros, sizeof zeros}, &out, NULL),
                     CEL_EFULL);
    cel__buf_reset(&out);
    coding.max_bytes = 6000;
    assert_int_equal(cel__decode(&text, CEL_SERIALIZER_MSGPACK, &coding,
                                 (cel_view){zeros, sizeof zeros}, &out, NULL),
                     CEL_OK);
    cel__buf_done(&out);
#ifdef CEL_HAVE_YAML
    coding.max_bytes = 5;
    assert_int_equal(
        cel__decode(&text, CEL_SERIALIZER_YAML, &coding, CEL_VIEW("[1, 2, 3]"), &out, NULL),
        CEL_EFULL);
    cel__buf_done(&out);
#endif
}

static void no_memory_is_an_error(void **state)
{
    static const char json[] = "{\"a\": [1, 1.5, \"x\\n\", {\"__type__\": \"base64\", "
                               "\"__value__\": \"/wA=\"}], \"b\": null}";

    (void)state;
    for (size_t i = 1; i < COUNT; i++) {
        cel__buf bytes = {0}, out = {0};
        cel_code code = CEL_ENOMEM;
        cel_view text;

        for (unsigned n = 1; code == CEL_ENOMEM && n < 50; n++) {
            cel__mem_fail_at(n);
            code = cel__encode(&bytes, forms[i], &all, cel__view(json), NULL);
            cel__mem_fail_at(0);
            if (code == CEL_ENOMEM)
                cel__buf_done(&bytes);
        }
        assert_int_equal(code, CEL_OK);
        code = CEL_ENOMEM;
        for (unsigned n = 1; code == CEL_ENOMEM && n < 50; n++) {
            cel__buf_done(&out);
            cel__mem_fail_at(n);
            code = cel__decode(&text, forms[i], &all, cel__buf_view(&bytes), &out, NULL);
            cel__mem_fail_at(0);
        }
        assert_int_equal(code, CEL_OK);
        if (!cel__view_is(text, json))
            fail_msg("%zu: %zu %.*s", i, bytes.len, CEL_VIEW_ARG(text));
        cel__buf_done(&bytes);
        cel__buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(long_things_are_read_again),
        cmocka_unit_test(what_a_form_cannot_hold_is_an_error),
        cmocka_unit_test(msgpack_of_each_type_is_read),
        cmocka_unit_test(msgpack_that_is_hostile_is_refused),
#ifdef CEL_HAVE_YAML
        cmocka_unit_test(plain_words_of_yaml_mean_what_they_mean_in_python),
        cmocka_unit_test(yaml_that_is_hostile_is_refused),
#endif
        cmocka_unit_test(pickle_is_refused_with_advice),
        cmocka_unit_test(what_is_not_accepted_is_refused),
        cmocka_unit_test(a_long_text_is_bounded),
        cmocka_unit_test(no_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
