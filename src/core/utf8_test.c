/* utf8_test.c - every code point there and back, hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char bytes[4];
        size_t len = cel__utf8_encode(cp, bytes);
        uint32_t back;

        assert_int_equal(cel__utf8_decode(bytes, len, &back), len);
        assert_int_equal(back, cp);
        assert_int_equal(cel__utf8_valid(bytes, len), cp < 0xD800 || cp >= 0xE000);
        if (len > 1) {
            assert_int_equal(cel__utf8_decode(bytes, len - 1, &back), 1);
            assert_int_equal(back, CEL_UTF8_REPLACEMENT);
        }
    }
}

static void what_is_malformed_takes_one_byte(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3(",
        "\xe2\x82(",
        "\xf0\x9f\x98(",
    };
    uint32_t cp;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cel__utf8_decode(bad[i], strlen(bad[i]), &cp), 1);
        assert_int_equal(cp, CEL_UTF8_REPLACEMENT);
        assert_false(cel__utf8_valid(bad[i], strlen(bad[i])));
    }
}

static void the_replacement_character_itself_is_valid(void **state)
{
    (void)state;
    assert_true(cel__utf8_valid("\xef\xbf\xbd", 3));
    assert_true(cel__utf8_valid("", 0));
    assert_true(cel__utf8_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(what_is_malformed_takes_one_byte),
        cmocka_unit_test(the_replacement_character_itself_is_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
