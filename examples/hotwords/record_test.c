/* record_test.c - the scanner against jansson, and what it says of bad lines. */
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "test_support.h"

static void assert_good(const char *line, int64_t level, const char *text)
{
    hw_record record;
    hw_buf out = {0};
    hw_bad bad = HW_BAD_KINDS;

    if (!hw_record_read(&record, line, strlen(line), &bad))
        fail_msg("%s: %s", line, hw_bad_names[bad]);
    assert_int_equal(record.level, level);
    assert_true(hw_record_unescape(&record, &out));
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.bytes ? out.bytes : "", text, out.len);
    hw_buf_done(&out);
}

static void assert_bad(const char *line, hw_bad expected)
{
    hw_record record;
    hw_bad bad = HW_BAD_KINDS;

    if (hw_record_read(&record, line, strlen(line), &bad))
        fail_msg("'%s' was accepted", line);
    if (bad != expected)
        fail_msg("'%s' is %s, not %s", line, hw_bad_names[bad], hw_bad_names[expected]);
}

static void level_and_text_are_found_wherever_they_stand(void **state)
{
    (void)state;
    assert_good("{\"level\":7,\"text\":\"你好\"}", 7, "你好");
    assert_good(" { \"text\" : \"\" , \"x\":[1,{\"level\":3,\"y\":[]}] ,\"level\" : 900 } \r",
                900, "");
    assert_good("{\"a\":null,\"b\":true,\"c\":false,\"d\":-1.5e+3,\"level\":1,\"text\":\"x\"}",
                1, "x");
    assert_good("{\"level\":1,\"text\":\"a\",\"level\":2,\"text\":\"b\"}", 2, "b");
    assert_good("{\"le\\u0076el\":1,\"\\u0074ext\":\"a\"}", 1, "a");
    assert_good("{\"level\":1000000,\"text\":\"a\",\"levels\":\"x\"}", 1000000, "a");
    assert_good("{\"level\":0,\"text\":\"a\",\"level\":5}", 5, "a");
}

static void escapes_are_resolved(void **state)
{
    hw_record record;
    hw_buf out = {0};
    hw_bad bad;
    static const char nul[] = "{\"level\":1,\"text\":\"a\\u0000b\"}";

    (void)state;
    assert_good("{\"level\":1,\"text\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", 1, "\"\\/\b\f\n\r\t");
    assert_good("{\"level\":1,\"text\":\"\\u4f60\\u00e9\\u007A\\ud83d\\uDE02!\"}", 1, "你éz😂!");
    assert_true(hw_record_read(&record, nul, sizeof nul - 1, &bad));
    assert_true(hw_record_unescape(&record, &out));
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.bytes, "a\0b", 3);
    hw_buf_done(&out);
}

static void bad_lines_are_told_apart(void **state)
{
    (void)state;
    assert_bad("", HW_BAD_JSON);
    assert_bad("x", HW_BAD_JSON);
    assert_bad("[]", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\"", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\"}}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",}", HW_BAD_JSON);
    assert_bad("{\"level\":01,\"text\":\"x\"}", HW_BAD_JSON);
    assert_bad("{\"level\":-,\"text\":\"x\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1.,\"text\":\"x\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1e,\"text\":\"x\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"a\tb\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"\\x\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"\\u12g4\"}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",\"y\":[1,]}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",\"y\":{\"a\"}}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",\"y\":[}}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",\"y\":nul}", HW_BAD_JSON);
    assert_bad("{\"level\":1,\"text\":\"x\",\"y\":truefalse}", HW_BAD_JSON);
    assert_bad("{\"level\":\"1\",\"text\":\"x\"}", HW_BAD_TYPE);
    assert_bad("{\"level\":null,\"text\":\"x\"}", HW_BAD_TYPE);
    assert_bad("{\"level\":1.0,\"text\":\"x\"}", HW_BAD_TYPE);
    assert_bad("{\"level\":1e2,\"text\":\"x\"}", HW_BAD_TYPE);
    assert_bad("{\"level\":1,\"text\":[\"x\"]}", HW_BAD_TYPE);
    assert_bad("{}", HW_BAD_FIELD);
    assert_bad("{\"level\":1}", HW_BAD_FIELD);
    assert_bad("{\"text\":\"x\",\"LEVEL\":1}", HW_BAD_FIELD);
    assert_bad("{\"level\":1,\"text\":\"\xFF\"}", HW_BAD_UTF8);
    assert_bad("{\"level\":1,\"text\":\"\xE4\xB8\"}", HW_BAD_UTF8);
    assert_bad("{\"level\":1,\"text\":\"\\ud83d\"}", HW_BAD_UTF8);
    assert_bad("{\"level\":1,\"text\":\"\\ud83d\\u0041\"}", HW_BAD_UTF8);
    assert_bad("{\"level\":1,\"text\":\"\\ude02\"}", HW_BAD_UTF8);
    assert_bad("{\"level\":0,\"text\":\"x\"}", HW_BAD_LEVEL);
    assert_bad("{\"level\":-5,\"text\":\"x\"}", HW_BAD_LEVEL);
    assert_bad("{\"level\":1000001,\"text\":\"x\"}", HW_BAD_LEVEL);
    assert_bad("{\"level\":99999999999999999999999999999999,\"text\":\"x\"}", HW_BAD_LEVEL);
}

static void nesting_has_a_limit(void **state)
{
    char line[512] = "{\"level\":1,\"text\":\"x\",\"y\":";
    const size_t head = strlen(line);

    (void)state;
    for (size_t depth = 60; depth < 70; depth++) {
        memset(line + head, '[', depth);
        line[head + depth] = '1';
        memset(line + head + depth + 1, ']', depth);
        memcpy(line + head + 2 * depth + 1, "}", 2);
        if (depth <= 64)
            assert_good(line, 1, "x");
        else
            assert_bad(line, HW_BAD_JSON);
    }
}

/* Where jansson sees an object with a sensible level and text, so do we, and the same. */
static void compare(const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    const json_t *level = json_object_get(object, "level");
    const json_t *text = json_object_get(object, "text");
    const bool expected = json_is_integer(level) && json_is_string(text) &&
                          json_integer_value(level) >= 1 &&
                          json_integer_value(level) <= HW_LEVEL_MAX;
    hw_record record;
    hw_buf out = {0};
    hw_bad bad;
    const bool got = hw_record_read(&record, line, len, &bad);

    if (got != expected)
        fail_msg("%.*s: jansson %d, we %d", (int)len, line, expected, got);
    if (got) {
        assert_int_equal(record.level, json_integer_value(level));
        assert_true(hw_record_unescape(&record, &out));
        assert_int_equal(out.len, json_string_length(text));
        assert_memory_equal(out.bytes ? out.bytes : "", json_string_value(text), out.len);
        hw_buf_done(&out);
    }
    json_decref(object);
}

static void changed_lines_are_judged_as_by_jansson(void **state)
{
    static const char line[] = "{\"ts\":\"2020\",\"n\":[1,-2.5e3,{\"a\":null}],\"level\":83,"
                               "\"text\":\"\\u4f60好\\ud83d\\ude02 \\\"x\\\"\",\"o\":{}}";
    static const char bytes[] = "{}[]\",:\\/u0129eE+-.ntfabd \x80\xE4\xFF\x1F";
    char changed[sizeof line];
    unsigned seed = 3;

    (void)state;
    for (size_t len = 0; len < sizeof line; len++)
        compare(line, len);
    for (size_t at = 0; at < sizeof line - 1; at++) {
        for (size_t i = 0; i < sizeof bytes - 1; i++) {
            memcpy(changed, line, sizeof line);
            changed[at] = bytes[i];
            compare(changed, sizeof line - 1);
        }
    }
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(changed, line, sizeof line);
        for (unsigned i = 0; i < 3; i++)
            changed[(unsigned)rand_r(&seed) % (sizeof line - 1)] =
                bytes[(unsigned)rand_r(&seed) % (sizeof bytes - 1)];
        compare(changed, sizeof line - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(level_and_text_are_found_wherever_they_stand),
        cmocka_unit_test(escapes_are_resolved),
        cmocka_unit_test(bad_lines_are_told_apart),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(changed_lines_are_judged_as_by_jansson),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
