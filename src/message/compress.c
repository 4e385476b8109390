/* compress.c - decompression in steps, so that a small bomb cannot ask for much memory at once. */
#include "message/compress.h"

#include <string.h>
#include <strings.h>

#include <zlib.h>

#include "core/mem.h"
#include "message/compress_format.h"

#define MIN_ROOM ((size_t)4096)    /* the least that a step is given to write to, */
#define MAX_ROOM ((size_t)1 << 30) /* and the most */

/* ---- zlib ---- */

static bool zlib_compress(cel__buf *buf, cel_view plain)
{
    uLongf len = compressBound(plain.len);
    char *to = cel__buf_reserve(buf, len);

    if (!to || compress2((Bytef *)to, &len, (const Bytef *)plain.ptr, plain.len,
                         Z_DEFAULT_COMPRESSION) != Z_OK)
        return false;
    buf->len += len;
    return true;
}

static bool zlib_open(cel__flow *flow)
{
    z_stream *stream = cel__calloc(1, sizeof *stream);

    if (!stream)
        return false;
    if (inflateInit2(stream, 15 + 32) != Z_OK) { /* zlib or gzip, whichever it is */
        cel__free(stream);
        return false;
    }
    flow->state = stream;
    return true;
}

static cel__step zlib_step(cel__flow *flow)
{
    z_stream *stream = flow->state;
    int got;

    stream->next_in = (Bytef *)flow->in;
    stream->avail_in = (uInt)flow->in_len;
    stream->next_out = flow->out;
    stream->avail_out = (uInt)flow->out_len;
    got = inflate(stream, Z_NO_FLUSH);
    flow->in = stream->next_in;
    flow->in_len = stream->avail_in;
    flow->out_len = stream->avail_out;
    if (got == Z_STREAM_END)
        return CEL__STEP_END;
    if (got == Z_MEM_ERROR)
        return CEL__STEP_NOMEM;
    if (got != Z_OK || flow->out_len > 0) /* broken, or all input used before the end */
        return CEL__STEP_BROKEN;
    return CEL__STEP_MORE;
}

static void zlib_close(cel__flow *flow)
{
    inflateEnd(flow->state);
    cel__free(flow->state);
}

static const cel__format zlib_format = {"application/x-gzip",
                                        {"gzip", "zlib", "application/gzip"},
                                        zlib_compress,
                                        zlib_open,
                                        zlib_step,
                                        zlib_close};

/* ---- names ---- */

static const cel__format *const formats[] = {
    &zlib_format,
#ifdef CEL_HAVE_BZIP2
    &cel__bzip2_format,
#endif
#ifdef CEL_HAVE_LZMA
    &cel__lzma_format,
#endif
#ifdef CEL_HAVE_BROTLI
    &cel__brotli_format,
#endif
#ifdef CEL_HAVE_ZSTD
    &cel__zstd_format,
#endif
};

static bool is_name(cel_view text, const char *name)
{
    return name && text.len == strlen(name) && strncasecmp(text.ptr, name, text.len) == 0;
}

static const cel__format *find_format(cel_view name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (is_name(name, formats[i]->mime))
            return formats[i];
        for (size_t k = 0; k < 3; k++)
            if (is_name(name, formats[i]->aliases[k]))
                return formats[i];
    }
    return NULL;
}

const char *cel__compression_mime(cel_view name)
{
    const cel__format *format = find_format(name);

    return format ? format->mime : NULL;
}

bool cel__compression_known(cel_view name)
{
    static const char *const optional[] = {
        "application/x-bz2",
        "bzip2",
        "bzip",
        "application/x-lzma",
        "lzma",
        "xz",
        "application/x-brotli",
        "brotli",
        "application/zstd",
        "zstd",
        "zstandard",
    };

    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        if (is_name(name, optional[i]))
            return true;
    return find_format(name) != NULL;
}

static cel_code unsupported(cel_view name, cel_error *err)
{
    return cel_error_set(err, CEL_ENOTSUP,
                         cel__compression_known(name) ? "compression '%.*s' is not built in"
                                                      : "compression '%.*s' is not supported",
                         CEL_VIEW_ARG(name));
}

/* ---- both ways ---- */

cel_code cel__compress(cel__buf *buf, cel_view name, cel_view plain, cel_error *err)
{
    const cel__format *format = find_format(name);

    if (!format)
        return unsupported(name, err);
    if (!format->compress(buf, plain))
        buf->failed = true;
    return cel__buf_check(buf, err);
}

static cel_code too_long(size_t max_bytes, cel_error *err)
{
    return cel_error_set(err, CEL_EFULL, "the body decompresses to more than %zu bytes",
                         max_bytes);
}

/* Gives a step something to write to, within `max_bytes` and one byte more, by which a text that
 * is too long gives itself away. */
static cel_code
make_room(cel__flow *flow, size_t done, size_t max_bytes, cel__buf *scratch, cel_error *err)
{
    size_t room = done > MIN_ROOM ? done : MIN_ROOM;

    if (done > max_bytes)
        return too_long(max_bytes, err);
    if (room > MAX_ROOM)
        room = MAX_ROOM;
    if (room - 1 > max_bytes - done)
        room = max_bytes - done + 1;
    flow->out = (unsigned char *)cel__buf_reserve(scratch, room);
    flow->out_len = room;
    return flow->out ? CEL_OK : cel__buf_check(scratch, err);
}

static cel_code run(const cel__format *format,
                    cel__flow *flow,
                    size_t max_bytes,
                    cel__buf *scratch,
                    cel_error *err)
{
    size_t start = scratch->len;
    cel__step step;

    do {
        cel_code code = make_room(flow, scratch->len - start, max_bytes, scratch, err);
        size_t room = flow->out_len;

        if (code)
            return code;
        step = format->step(flow);
        scratch->len += room - flow->out_len;
    } while (step == CEL__STEP_MORE);
    if (step == CEL__STEP_NOMEM)
        return cel_error_set(err, CEL_ENOMEM, "no memory to decompress the body");
    if (step == CEL__STEP_BROKEN)
        return cel_error_set(err, CEL_EPROTO, "the compressed body is broken");
    return scratch->len - start > max_bytes ? too_long(max_bytes, err) : CEL_OK;
}

cel_code cel__decompress(cel_view *out,
                         cel_view name,
                         cel_view body,
                         size_t max_bytes,
                         cel__buf *scratch,
                         cel_error *err)
{
    const cel__format *format = find_format(name);
    cel__flow flow = {.in = (const unsigned char *)body.ptr, .in_len = body.len};
    size_t start = scratch->len;
    cel_code code;

    if (!format)
        return unsupported(name, err);
    if (body.len > CEL__BODY_MAX)
        return cel_error_set(err, CEL_EFULL, "the compressed body has %zu bytes", body.len);
    if (!format->open(&flow))
        return cel_error_set(err, CEL_ENOMEM, "no memory to decompress the body");
    code = run(format, &flow, max_bytes, scratch, err);
    format->close(&flow);
    if (code)
        return code;
    *out = (cel_view){scratch->ptr + start, scratch->len - start};
    return CEL_OK;
}
