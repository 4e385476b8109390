/* fuzz.h - what the fuzz targets share. */
#ifndef CEL_FUZZ_H
#define CEL_FUZZ_H

#undef NDEBUG
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "core/jscan.h"
#include "message/serializer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that can be read without keys, and not much of it. */
static inline cel__coding fuzz_coding(void)
{
    return (cel__coding){
        .serializer = CEL_SERIALIZER_JSON,
        .accepted = CEL__ACCEPTS(CEL_SERIALIZER_JSON) | CEL__ACCEPTS(CEL_SERIALIZER_YAML) |
                    CEL__ACCEPTS(CEL_SERIALIZER_MSGPACK) | CEL__ACCEPTS(CEL_SERIALIZER_AUTH),
        .max_bytes = (size_t)1 << 16};
}

/* Gives what comes before the first NUL, returns what comes behind it. */
static inline cel_view fuzz_split(cel_view *front, cel_view text)
{
    const char *end = text.len ? memchr(text.ptr, '\0', text.len) : NULL;

    *front = text;
    if (!end)
        return (cel_view){text.ptr + text.len, 0};
    front->len = (size_t)(end - text.ptr);
    return (cel_view){end + 1, text.len - front->len - 1};
}

static inline void fuzz_is_json(cel_view text)
{
    cel_jvalue value;

    assert(cel__jscan_value(&value, text, NULL) == CEL_OK);
}

#endif
