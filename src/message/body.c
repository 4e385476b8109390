/* body.c - decompression in steps, so that a small bomb cannot ask for much memory at once. */
#include "message/body.h"

#include <string.h>
#include <strings.h>

#include <zlib.h>

#define MIN_ROOM ((size_t)4096)    /* the least that inflate() is given to write to, */
#define MAX_ROOM ((size_t)1 << 30) /* and the most */

static bool is_any(cel_view text, const char *const *names)
{
    for (; *names; names++)
        if (text.len == strlen(*names) && strncasecmp(text.ptr, *names, text.len) == 0)
            return true;
    return false;
}

bool cel__body_is_zlib(cel_view compression)
{
    static const char *const names[] = {CEL__ZLIB_MIME, "application/gzip", "gzip", "zlib",
                                        NULL};

    return is_any(compression, names);
}

void cel__body_compress(cel__buf *buf, cel_view plain)
{
    uLongf len = compressBound(plain.len);
    char *to = cel__buf_reserve(buf, len);

    if (!to)
        return;
    if (compress2((Bytef *)to, &len, (const Bytef *)plain.ptr, plain.len,
                  Z_DEFAULT_COMPRESSION) == Z_OK)
        buf->len += len;
    else
        buf->failed = true;
}

/* Gives inflate() something to write to, within `max_bytes` and one byte more, by which a
 * text that is too long gives itself away. */
static cel_code
make_room(z_stream *stream, size_t done, size_t max_bytes, cel__buf *scratch, cel_error *err)
{
    size_t room = done > MIN_ROOM ? done : MIN_ROOM;
    char *to;

    if (done > max_bytes)
        return cel_error_set(err, CEL_EFULL, "the body decompresses to more than %zu bytes",
                             max_bytes);
    if (room > MAX_ROOM)
        room = MAX_ROOM;
    if (room - 1 > max_bytes - done)
        room = max_bytes - done + 1;
    to = cel__buf_reserve(scratch, room);
    if (!to)
        return cel__buf_check(scratch, err);
    stream->next_out = (Bytef *)to;
    stream->avail_out = (uInt)room;
    return CEL_OK;
}

static cel_code
inflate_all(z_stream *stream, size_t max_bytes, cel__buf *scratch, cel_error *err)
{
    size_t start = scratch->len;

    for (;;) {
        cel_code code = make_room(stream, scratch->len - start, max_bytes, scratch, err);
        uInt room = stream->avail_out;
        int got;

        if (code)
            return code;
        got = inflate(stream, Z_NO_FLUSH);
        scratch->len += room - stream->avail_out;
        if (got == Z_STREAM_END)
            break;
        if (got == Z_MEM_ERROR)
            return cel_error_set(err, CEL_ENOMEM, "no memory to decompress the body");
        if (got != Z_OK || stream->avail_out > 0) /* broken, or all input used before the end */
            return cel_error_set(err, CEL_EPROTO, "the compressed body is broken");
    }
    if (scratch->len - start > max_bytes)
        return cel_error_set(err, CEL_EFULL, "the body decompresses to more than %zu bytes",
                             max_bytes);
    return CEL_OK;
}

static cel_code
decompress(cel_view *out, cel_view body, size_t max_bytes, cel__buf *scratch, cel_error *err)
{
    z_stream stream = {.next_in = (Bytef *)body.ptr, .avail_in = (uInt)body.len};
    size_t start = scratch->len;
    cel_code code;

    if (body.len > CEL__BODY_MAX)
        return cel_error_set(err, CEL_EFULL, "the compressed body has %zu bytes", body.len);
    if (inflateInit2(&stream, 15 + 32) != Z_OK) /* zlib or gzip, whichever it is */
        return cel_error_set(err, CEL_ENOMEM, "no memory to decompress the body");
    code = inflate_all(&stream, max_bytes, scratch, err);
    inflateEnd(&stream);
    if (code)
        return code;
    *out = (cel_view){scratch->ptr + start, scratch->len - start};
    return CEL_OK;
}

static cel_code check_type(const cel_message *message, cel_error *err)
{
    static const char *const types[] = {"application/json", NULL};
    static const char *const encodings[] = {"utf-8", "utf8",   "us-ascii",
                                            "ascii", "binary", NULL};

    if (message->content_type.len == 0)
        return cel_error_set(err, CEL_ENOTSUP, "the message has no content type");
    if (!is_any(message->content_type, types))
        return cel_error_set(err, CEL_ENOTSUP, "content type '%.*s' is not accepted",
                             CEL_VIEW_ARG(message->content_type));
    if (message->content_encoding.len > 0 && !is_any(message->content_encoding, encodings))
        return cel_error_set(err, CEL_ENOTSUP, "content encoding '%.*s' is not accepted",
                             CEL_VIEW_ARG(message->content_encoding));
    return CEL_OK;
}

cel_code cel__body_decode(cel_view *out,
                          const cel_message *message,
                          cel_view compression,
                          size_t max_bytes,
                          cel__buf *scratch,
                          cel_error *err)
{
    cel_code code = check_type(message, err);

    if (code)
        return code;
    if (compression.len == 0) {
        *out = message->body.ptr ? message->body : CEL_VIEW("");
        return CEL_OK;
    }
    if (!cel__body_is_zlib(compression))
        return cel_error_set(err, CEL_ENOTSUP, "compression '%.*s' is not supported",
                             CEL_VIEW_ARG(compression));
    return decompress(out, message->body, max_bytes ? max_bytes : CEL__BODY_MAX, scratch, err);
}
