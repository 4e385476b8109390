/* buf.c - growth by doubling; JSON escapes decoded from UTF-8 on the fly. */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

void cel__buf_done(cel__buf *buf)
{
    cel__free(buf->ptr);
    *buf = (cel__buf){.max = buf->max};
}

void cel__buf_reset(cel__buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* As cel__buf_reserve(), with `extra` bytes more that are no content and do not count. */
static char *reserve(cel__buf *buf, size_t more, size_t extra)
{
    size_t max = buf->max ? buf->max : CEL_BUF_MAX;
    size_t cap = buf->cap ? buf->cap : 64;
    char *ptr;

    if (buf->failed)
        return NULL;
    if (more > max - buf->len)
        goto fail;
    if (more + extra <= buf->cap - buf->len && buf->ptr)
        return buf->ptr + buf->len;
    while (cap - buf->len < more + extra)
        cap *= 2;
    if (cap >
        max + 1) /* cel__buf_add() relies on it: content of cap - 1 bytes is within the limit */
        cap = max + 1;
    ptr = cel__realloc(buf->ptr, cap);
    if (!ptr)
        goto fail;
    buf->ptr = ptr;
    buf->cap = cap;
    return ptr + buf->len;

fail:
    buf->failed = true;
    return NULL;
}

char *cel__buf_reserve(cel__buf *buf, size_t more)
{
    return reserve(buf, more, 0);
}

void cel__buf_add_slowly(cel__buf *buf, const void *bytes, size_t len)
{
    char *to = reserve(buf, len, 0);

    if (!to || len == 0)
        return;
    memcpy(to, bytes, len);
    buf->len += len;
}

void cel__buf_add_int(cel__buf *buf, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    cel__buf_add(buf, at, (size_t)(digits + sizeof digits - at));
}

void cel__buf_addf(cel__buf *buf, const char *fmt, ...)
{
    va_list args;
    char *to;
    int need;

    va_start(args, fmt);
    need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (need < 0) {
        buf->failed = true;
        return;
    }
    to = reserve(buf, (size_t)need, 1);
    if (!to)
        return;
    va_start(args, fmt);
    vsnprintf(to, (size_t)need + 1, fmt, args);
    va_end(args);
    buf->len += (size_t)need;
}

static void add_unit(cel__buf *buf, unsigned unit)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {
        '\\',          'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
        hex[unit & 15]};

    cel__buf_add(buf, escape, sizeof escape);
}

static void add_escaped(cel__buf *buf, uint32_t cp)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; cp < 128 && i + 1 < sizeof shorts; i += 2) {
        if (cp == (unsigned char)shorts[i]) {
            char escape[2] = {'\\', shorts[i + 1]};

            cel__buf_add(buf, escape, 2);
            return;
        }
    }
    if (cp < 0x10000) {
        add_unit(buf, cp);
        return;
    }
    add_unit(buf, 0xd800 + ((cp - 0x10000) >> 10));
    add_unit(buf, 0xdc00 + ((cp - 0x10000) & 0x3ff));
}

void cel__buf_add_json(cel__buf *buf, cel_view text)
{
    size_t at = 0;

    cel__buf_add_byte(buf, '"');
    while (at < text.len) {
        size_t plain = cel__json_plain(text.ptr + at, text.len - at);
        uint32_t cp;

        cel__buf_add(buf, text.ptr + at, plain);
        at += plain;
        if (at == text.len)
            break;
        at += cel__utf8_decode(text.ptr + at, text.len - at, &cp);
        add_escaped(buf, cp);
    }
    cel__buf_add_byte(buf, '"');
}

const char *cel__buf_cstr(cel__buf *buf)
{
    char *end = reserve(buf, 0, 1);

    if (!end)
        return NULL;
    *end = '\0';
    return buf->ptr;
}

cel_code cel__buf_check(const cel__buf *buf, cel_error *err)
{
    if (!buf->failed)
        return CEL_OK;
    return cel_error_set(err, CEL_ENOMEM, "no memory behind the first %zu bytes", buf->len);
}

char *cel__buf_detach(cel__buf *buf, size_t *len)
{
    char *ptr;

    if (!cel__buf_cstr(buf))
        return NULL;
    ptr = buf->ptr;
    if (len)
        *len = buf->len;
    *buf = (cel__buf){.max = buf->max};
    return ptr;
}
