/* base64.c - see base64.h. */
#include "core/base64.h"

#include <stdint.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cel__base64_encode(cel__buf *buf, cel_view bytes)
{
    const unsigned char *from = (const unsigned char *)bytes.ptr;
    size_t len = (bytes.len + 2) / 3 * 4;
    char *to = cel__buf_reserve(buf, len);

    if (!to)
        return;
    for (size_t i = 0; i < bytes.len; i += 3, to += 4) {
        size_t left = bytes.len - i;
        uint32_t word = (uint32_t)from[i] << 16;

        if (left > 1)
            word |= (uint32_t)from[i + 1] << 8;
        if (left > 2)
            word |= from[i + 2];
        to[0] = digits[word >> 18];
        to[1] = digits[word >> 12 & 63];
        to[2] = digits[word >> 6 & 63];
        to[3] = digits[word & 63];
        if (left < 3)
            to[3] = '=';
        if (left < 2)
            to[2] = '=';
    }
    buf->len += len;
}

/* 64: none; 65: to be skipped. */
static const unsigned char values[256] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 65, 64, 64, 65, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62,
    64, 64, 64, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 64, 64, 64, 64, 64, 64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
    39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64};

bool cel__base64_decode(cel__buf *buf, cel_view text)
{
    char *to = cel__buf_reserve(buf, text.len / 4 * 3 + 3);
    char *start = to;
    uint32_t word = 0;
    unsigned have = 0;
    size_t i;

    if (!to)
        return false;
    for (i = 0; i < text.len && text.ptr[i] != '='; i++) {
        unsigned value = values[(unsigned char)text.ptr[i]];

        if (value == 65)
            continue;
        if (value == 64)
            return false;
        word = word << 6 | value;
        if (++have < 4)
            continue;
        *to++ = (char)(word >> 16);
        *to++ = (char)(word >> 8);
        *to++ = (char)word;
        word = have = 0;
    }
    if (have == 1)
        return false;
    if (have > 1)
        *to++ = (char)(word >> (have == 2 ? 4 : 10));
    if (have > 2)
        *to++ = (char)(word >> 2);
    buf->len += (size_t)(to - start);
    for (unsigned padding = 0; i < text.len; i++) { /* nothing but what fills up */
        if (values[(unsigned char)text.ptr[i]] == 65)
            continue;
        if (text.ptr[i] != '=' || have + ++padding > 4 || have == 0)
            return false;
    }
    return true;
}
