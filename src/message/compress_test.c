/* compress_test.c - compressed bodies, their bounds, and bytes that are none. What Python's
 * modules write is read in tests/interop/message_interop.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "message/compress.h"

static const char *const names[] = {
    "zlib",
#ifdef CEL_HAVE_BZIP2
    "bzip2",
#endif
#ifdef CEL_HAVE_LZMA
    "lzma",
#endif
#ifdef CEL_HAVE_BROTLI
    "brotli",
#endif
#ifdef CEL_HAVE_ZSTD
    "zstd",
#endif
};

#define COUNT (sizeof names / sizeof *names)

static void what_is_compressed_is_read_again(void **state)
{
    static const size_t lengths[] = {0, 1, 100, 5000, 300000};

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            char *text = malloc(lengths[k] + 1);
            cel__buf packed = {0}, scratch = {0};
            cel_view name = cel__view(names[i]), plain = {text, lengths[k]}, read;

            for (size_t n = 0; n < lengths[k]; n++)
                text[n] = (char)("abcdefghij"[n % 10] + n / 1000 % 7);
            cel__buf_add_str(&packed, "before");
            cel__buf_add_str(&scratch, "before");
            assert_int_equal(cel__compress(&packed, name, plain, NULL), CEL_OK);
            cel_view body = {packed.ptr + 6, packed.len - 6};
            assert_int_equal(cel__decompress(&read, name, body, plain.len, &scratch, NULL),
                             CEL_OK);
            assert_true(cel__view_eq(read, plain));
            cel__buf_done(&packed);
            cel__buf_done(&scratch);
            free(text);
        }
}

static void a_name_is_kombus_type_or_alias(void **state)
{
    (void)state;
    assert_string_equal(cel__compression_mime(CEL_VIEW("gzip")), "application/x-gzip");
    assert_string_equal(cel__compression_mime(CEL_VIEW("zlib")), "application/x-gzip");
    assert_string_equal(cel__compression_mime(CEL_VIEW("Application/X-Gzip")),
                        "application/x-gzip");
#ifdef CEL_HAVE_BZIP2
    assert_string_equal(cel__compression_mime(CEL_VIEW("bzip")), "application/x-bz2");
#endif
#ifdef CEL_HAVE_LZMA
    assert_string_equal(cel__compression_mime(CEL_VIEW("xz")), "application/x-lzma");
#endif
#ifdef CEL_HAVE_BROTLI
    assert_string_equal(cel__compression_mime(CEL_VIEW("brotli")), "application/x-brotli");
#endif
#ifdef CEL_HAVE_ZSTD
    assert_string_equal(cel__compression_mime(CEL_VIEW("zstandard")), "application/zstd");
#endif
    assert_null(cel__compression_mime(CEL_VIEW("rot13")));
    assert_false(cel__compression_known(CEL_VIEW("rot13")));
    assert_true(cel__compression_known(CEL_VIEW("application/zstd")));
}

static void an_unknown_compression_is_refused(void **state)
{
    cel__buf buf = {0};
    cel_error err = {0};
    cel_view read;

    (void)state;
    assert_int_equal(cel__compress(&buf, CEL_VIEW("rot13"), CEL_VIEW("x"), &err), CEL_ENOTSUP);
    assert_string_equal(err.message, "compression 'rot13' is not supported");
    assert_int_equal(cel__decompress(&read, CEL_VIEW("rot13"), CEL_VIEW("x"), 10, &buf, NULL),
                     CEL_ENOTSUP);
}

/* A hundred million zeros come out of a few bytes; the memory for them is not even asked for. */
static void a_bomb_costs_no_more_than_its_bound(void **state)
{
    static char zeros[4000000];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        cel__buf packed = {0}, scratch = {0};
        cel_view name = cel__view(names[i]), read;

        assert_int_equal(cel__compress(&packed, name, (cel_view){zeros, sizeof zeros}, NULL),
                         CEL_OK);
        assert_true(packed.len < sizeof zeros / 100);
        assert_int_equal(
            cel__decompress(&read, name, cel__buf_view(&packed), 100000, &scratch, NULL),
            CEL_EFULL);
        assert_true(scratch.cap <= 400000);
        cel__buf_done(&scratch);
        assert_int_equal(cel__decompress(&read, name, cel__buf_view(&packed), sizeof zeros - 1,
                                         &scratch, NULL),
                         CEL_EFULL);
        cel__buf_done(&packed);
        cel__buf_done(&scratch);
    }
}

static void a_damaged_body_is_an_error(void **state)
{
    static const char text[] =
        "a text that is long enough to be compressed, compressed, compressed";

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        cel__buf packed = {0};
        cel_view name = cel__view(names[i]), read;

        assert_int_equal(cel__compress(&packed, name, CEL_VIEW("") /* nothing */, NULL),
                         CEL_OK);
        cel__buf_reset(&packed);
        assert_int_equal(cel__compress(&packed, name, (cel_view){text, sizeof text}, NULL),
                         CEL_OK);
        for (size_t len = 0; len < packed.len; len++) { /* cut, in a block of that size */
            cel__buf scratch = {0};
            char *copy = malloc(len + 1);
            cel_error err = {0};

            memcpy(copy, packed.ptr, len);
            if (cel__decompress(&read, name, (cel_view){copy, len}, 1000, &scratch, &err) !=
                CEL_OK)
                assert_int_equal(err.code, CEL_EPROTO);
            else
                assert_true(len + 8 > packed.len);
            free(copy);
            cel__buf_done(&scratch);
        }
        for (size_t at = 0; at < packed.len; at++) { /* changed */
            cel__buf scratch = {0};

            packed.ptr[at] ^= 0x55;
            (void)cel__decompress(&read, name, cel__buf_view(&packed), 1000, &scratch, NULL);
            packed.ptr[at] ^= 0x55;
            cel__buf_done(&scratch);
        }
        cel__buf_done(&packed);
    }
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        cel__buf packed = {0}, scratch = {0};
        cel_view read;
        cel_code code = CEL_ENOMEM;

        assert_int_equal(cel__compress(&packed, cel__view(names[i]), CEL_VIEW("text"), NULL),
                         CEL_OK);
        for (unsigned n = 1; code == CEL_ENOMEM && n < 10; n++) {
            cel__mem_fail_at(n);
            code = cel__decompress(&read, cel__view(names[i]), cel__buf_view(&packed), 1000,
                                   &scratch, NULL);
            cel__mem_fail_at(0);
            cel__buf_done(&scratch);
        }
        assert_int_equal(code, CEL_OK);
        cel__mem_fail_at(1);
        assert_int_equal(cel__compress(&scratch, cel__view(names[i]), CEL_VIEW("text"), NULL),
                         CEL_ENOMEM);
        cel__mem_fail_at(0);
        cel__buf_done(&scratch);
        cel__buf_done(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_compressed_is_read_again),
        cmocka_unit_test(a_name_is_kombus_type_or_alias),
        cmocka_unit_test(an_unknown_compression_is_refused),
        cmocka_unit_test(a_bomb_costs_no_more_than_its_bound),
        cmocka_unit_test(a_damaged_body_is_an_error),
        cmocka_unit_test(no_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
