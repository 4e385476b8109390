/* buf.h - a growing array of bytes, with a limit and a sticky failure.
 *
 * Zero-initialised it is empty, owns nothing and may grow to CEL_BUF_MAX. Appending never
 * fails visibly: when memory or the limit is exhausted the buffer becomes *failed*, further
 * appends do nothing, and cel__buf_check() tells, once, after a whole piece has been built.
 * One thread. */
#ifndef CEL_CORE_BUF_H
#define CEL_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "celeriac/error.h"
#include "core/view.h"

#define CEL_BUF_MAX ((size_t)1 << 30) /* the limit where `max` is zero */

typedef struct cel__buf {
    char *ptr; /* owned; NULL while cap is 0 */
    size_t len;
    size_t cap;
    size_t max;  /* bytes it may hold; 0 means CEL_BUF_MAX */
    bool failed; /* an append did not fit or had no memory; the content is a prefix */
} cel__buf;

/* Frees what the buffer owns and makes it empty and not failed; `max` stays. */
void cel__buf_done(cel__buf *buf);

/* Empties it and clears `failed`, keeping the memory. */
void cel__buf_reset(cel__buf *buf);

/* Makes room for `more` bytes behind the content and returns where they go, or NULL (then
 * failed). The caller writes up to `more` bytes there and adds what it wrote to buf->len. */
char *cel__buf_reserve(cel__buf *buf, size_t more);

/* What cel__buf_add() does when the bytes may not fit. */
void cel__buf_add_slowly(cel__buf *buf, const void *bytes, size_t len);

static inline void cel__buf_add(cel__buf *buf, const void *bytes, size_t len)
{
    if (buf->failed || len == 0 || len >= buf->cap - buf->len) {
        cel__buf_add_slowly(buf, bytes, len);
        return;
    }
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

static inline void cel__buf_add_view(cel__buf *buf, cel_view view)
{
    cel__buf_add(buf, view.ptr, view.len);
}

static inline void cel__buf_add_str(cel__buf *buf, const char *text)
{
    cel__buf_add(buf, text, strlen(text));
}

static inline void cel__buf_add_byte(cel__buf *buf, char byte)
{
    cel__buf_add(buf, &byte, 1);
}

void cel__buf_add_int(cel__buf *buf, int64_t value); /* decimal */
void cel__buf_addf(cel__buf *buf, const char *fmt, ...) CEL_PRINTF(2, 3);

/* Appends a JSON string literal, quotes included, as Python's json.dumps() writes it: ASCII
 * only, \uXXXX in lower-case hex, surrogate pairs beyond the BMP. Bytes that are no UTF-8
 * become U+FFFD, except that a lone surrogate in its three-byte form is written as its
 * unpaired \udXXX. */
void cel__buf_add_json(cel__buf *buf, cel_view text);

/* How many bytes at the start of `text` stand for themselves in a JSON string: ASCII without
 * quote, backslash and control characters, DEL included. Eight at a time while there are
 * eight. */
static inline size_t cel__json_plain(const char *text, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    size_t at = 0;

    for (; len - at >= 8; at += 8) {
        uint64_t word, quote, slash;

        memcpy(&word, text + at, sizeof word);
        quote = word ^ ones * '"';
        slash = word ^ ones * '\\';
        if (((word - ones * ' ') | (word + ones) | (quote - ones) | (slash - ones) | word) &
            highs)
            break;
    }
    while (at < len && (unsigned char)text[at] >= ' ' && (unsigned char)text[at] < 0x7f &&
           text[at] != '"' && text[at] != '\\')
        at++;
    return at;
}

/* Puts a NUL behind the content (not counted in len) and returns the content; NULL if
 * failed. */
const char *cel__buf_cstr(cel__buf *buf);

static inline cel_view cel__buf_view(const cel__buf *buf)
{
    return (cel_view){buf->ptr ? buf->ptr : "", buf->len};
}

/* CEL_OK, or CEL_ENOMEM if an append failed. */
cel_code cel__buf_check(const cel__buf *buf, cel_error *err);

/* Moves the content out: returns a NUL-terminated block owned by the caller, free with
 * cel__free(), or NULL if the buffer failed. The buffer is empty afterwards. */
char *cel__buf_detach(cel__buf *buf, size_t *len);

#endif
