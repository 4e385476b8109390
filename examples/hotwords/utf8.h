/* utf8.h - decoding UTF-8 strictly, one code point at a time. */
#ifndef HW_UTF8_H
#define HW_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define HW_UTF8_MAX 4 /* the longest encoding of one code point, in bytes */

/* Decodes the code point at `p`, of which `left` bytes (at least one) may be read. Returns the
 * bytes it takes, or 0 for what is not UTF-8: a stray or missing continuation byte, an overlong
 * form, a surrogate, anything above U+10FFFF. */
static inline unsigned hw_utf8_decode(const unsigned char *p, size_t left, uint32_t *cp)
{
    uint32_t c = p[0];

    if (c < 0x80) {
        *cp = c;
        return 1;
    }
    if (c >= 0xE0 && c < 0xF0) {
        if (left < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80)
            return 0;
        c = (c & 0x0F) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        if (c < 0x800 || (c >= 0xD800 && c < 0xE000))
            return 0;
        *cp = c;
        return 3;
    }
    if (c >= 0xC2 && c < 0xE0) {
        if (left < 2 || (p[1] & 0xC0) != 0x80)
            return 0;
        *cp = (c & 0x1F) << 6 | (p[1] & 0x3Fu);
        return 2;
    }
    if (c < 0xF0 || c > 0xF4 || left < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 ||
        (p[3] & 0xC0) != 0x80)
        return 0;
    c = (c & 0x07) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    if (c < 0x10000 || c > 0x10FFFF)
        return 0;
    *cp = c;
    return 4;
}

/* Encodes `cp`, a code point that is no surrogate, and returns the bytes written. */
static inline unsigned hw_utf8_encode(uint32_t cp, char out[HW_UTF8_MAX])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

#endif
