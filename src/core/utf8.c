/* utf8.c - see utf8.h. */
#include "core/utf8.h"

static bool is_tail(const char *text, size_t i)
{
    return ((unsigned char)text[i] & 0xC0) == 0x80;
}

static uint32_t tail(const char *text, size_t i)
{
    return (unsigned char)text[i] & 0x3F;
}

size_t cel__utf8_decode(const char *text, size_t len, uint32_t *cp)
{
    unsigned char lead = (unsigned char)text[0];

    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    if (lead >= 0xC2 && lead < 0xE0 && len >= 2 && is_tail(text, 1)) {
        *cp = (lead & 0x1Fu) << 6 | tail(text, 1);
        return 2;
    }
    if (lead >= 0xE0 && lead < 0xF0 && len >= 3 && is_tail(text, 1) && is_tail(text, 2)) {
        *cp = (lead & 0x0Fu) << 12 | tail(text, 1) << 6 | tail(text, 2);
        if (*cp >= 0x800)
            return 3;
    }
    if (lead >= 0xF0 && lead < 0xF5 && len >= 4 && is_tail(text, 1) && is_tail(text, 2) &&
        is_tail(text, 3)) {
        *cp = (lead & 0x07u) << 18 | tail(text, 1) << 12 | tail(text, 2) << 6 | tail(text, 3);
        if (*cp >= 0x10000 && *cp <= 0x10FFFF)
            return 4;
    }
    *cp = CEL_UTF8_REPLACEMENT;
    return 1;
}

size_t cel__utf8_encode(uint32_t cp, char out[4])
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

bool cel__utf8_valid(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint32_t cp;
        size_t took = cel__utf8_decode(text + at, len - at, &cp);

        if ((cp == CEL_UTF8_REPLACEMENT && took == 1) || (cp >= 0xD800 && cp < 0xE000))
            return false;
        at += took;
    }
    return true;
}
