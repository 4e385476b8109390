/* fuzz_decode.c - decoders: the first byte chooses a serializer, or a compression. What a decoder
 * gives is JSON; what its encoder makes of that comes back, and from then on unchanged. */
#include "fuzz.h"
#include "message/compress.h"

static const char *const compressions[] = {"zlib", "bzip2", "lzma", "brotli", "zstd"};

static void decompress(unsigned which, cel_view bytes)
{
    cel__buf scratch = {0};
    cel_view plain;

    if (cel__decompress(&plain, cel__view(compressions[which]), bytes, (size_t)1 << 16,
                        &scratch, NULL) == CEL_OK)
        assert(plain.len <= (size_t)1 << 16);
    cel__buf_done(&scratch);
}

/* Writes and reads it again; false if it cannot be written. */
static bool go_round(cel__serializer serializer, cel_view json, cel__buf *out)
{
    cel__coding coding = fuzz_coding();
    cel__buf bytes = {0};
    bool written = cel__encode(&bytes, serializer, &coding, json, NULL) == CEL_OK;
    cel_view again;

    coding.max_bytes = 0;
    if (written)
        assert(cel__decode(&again, serializer, &coding, cel__buf_view(&bytes), out, NULL) ==
               CEL_OK);
    cel__buf_done(&bytes);
    return written;
}

static void decode(cel__serializer serializer, cel_view bytes)
{
    cel__coding coding = fuzz_coding();
    cel__buf first = {0}, second = {0}, third = {0};
    cel_view json;

    if (cel__decode(&json, serializer, &coding, bytes, &first, NULL) == CEL_OK &&
        serializer != CEL_SERIALIZER_JSON) {
        fuzz_is_json(json);
        if (go_round(serializer, json, &second)) {
            assert(go_round(serializer, cel__buf_view(&second), &third));
            assert(cel__view_eq(cel__buf_view(&second), cel__buf_view(&third)));
        }
    }
    cel__buf_done(&first);
    cel__buf_done(&second);
    cel__buf_done(&third);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cel_view bytes;
    unsigned which;

    if (size == 0)
        return 0;
    which = data[0] % (CEL_SERIALIZER_COUNT + sizeof compressions / sizeof *compressions);
    bytes = (cel_view){(const char *)data + 1, size - 1};
    if (which < CEL_SERIALIZER_COUNT)
        decode((cel__serializer)which, bytes);
    else
        decompress(which - CEL_SERIALIZER_COUNT, bytes);
    return 0;
}
