/* compress_more.c - the compressions whose libraries are optional. Each writes what Python's
 * module of that name reads with its defaults, and reads what that writes. */
#include "core/mem.h"
#include "message/compress_format.h"

#ifdef CEL_HAVE_BZIP2
#include <bzlib.h>

static bool bzip2_compress(cel__buf *buf, cel_view plain)
{
    size_t bound = plain.len + plain.len / 100 + 600; /* as its manual says */
    unsigned len = (unsigned)bound;
    char *to;

    if (bound > UINT32_MAX)
        return false;
    to = cel__buf_reserve(buf, bound);
    if (!to || BZ2_bzBuffToBuffCompress(to, &len, (char *)plain.ptr, (unsigned)plain.len, 9, 0,
                                        0) != BZ_OK)
        return false;
    buf->len += len;
    return true;
}

static bool bzip2_open(cel__flow *flow)
{
    bz_stream *stream = cel__calloc(1, sizeof *stream);

    if (!stream)
        return false;
    if (BZ2_bzDecompressInit(stream, 0, 0) != BZ_OK) {
        cel__free(stream);
        return false;
    }
    flow->state = stream;
    return true;
}

static cel__step bzip2_step(cel__flow *flow)
{
    bz_stream *stream = flow->state;
    int got;

    stream->next_in = (char *)flow->in;
    stream->avail_in = (unsigned)flow->in_len;
    stream->next_out = (char *)flow->out;
    stream->avail_out = (unsigned)flow->out_len;
    got = BZ2_bzDecompress(stream);
    flow->in = (const unsigned char *)stream->next_in;
    flow->in_len = stream->avail_in;
    flow->out_len = stream->avail_out;
    if (got == BZ_STREAM_END)
        return CEL__STEP_END;
    if (got == BZ_MEM_ERROR)
        return CEL__STEP_NOMEM;
    return got != BZ_OK || flow->out_len > 0 ? CEL__STEP_BROKEN : CEL__STEP_MORE;
}

static void bzip2_close(cel__flow *flow)
{
    BZ2_bzDecompressEnd(flow->state);
    cel__free(flow->state);
}

const cel__format cel__bzip2_format = {"application/x-bz2", {"bzip2", "bzip", NULL},
                                       bzip2_compress,      bzip2_open,
                                       bzip2_step,          bzip2_close};
#endif

#ifdef CEL_HAVE_LZMA
#include <lzma.h>

#define LZMA_MEMORY_MAX ((uint64_t)128 << 20) /* preset 9 needs 65 MiB */

static bool lzma_compress(cel__buf *buf, cel_view plain)
{
    size_t bound = lzma_stream_buffer_bound(plain.len);
    uint8_t *to = bound ? (uint8_t *)cel__buf_reserve(buf, bound) : NULL;
    size_t len = 0;

    if (!to || lzma_easy_buffer_encode(LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64, NULL,
                                       (const uint8_t *)plain.ptr, plain.len, to, &len,
                                       bound) != LZMA_OK)
        return false;
    buf->len += len;
    return true;
}

static bool lzma_open(cel__flow *flow)
{
    static const lzma_stream empty = LZMA_STREAM_INIT;
    lzma_stream *stream = cel__calloc(1, sizeof *stream);

    if (!stream)
        return false;
    *stream = empty;
    if (lzma_auto_decoder(stream, LZMA_MEMORY_MAX, 0) != LZMA_OK) {
        cel__free(stream);
        return false;
    }
    flow->state = stream;
    return true;
}

static cel__step lzma_step(cel__flow *flow)
{
    lzma_stream *stream = flow->state;
    lzma_ret got;

    stream->next_in = flow->in;
    stream->avail_in = flow->in_len;
    stream->next_out = flow->out;
    stream->avail_out = flow->out_len;
    got = lzma_code(stream, LZMA_RUN);
    flow->in = stream->next_in;
    flow->in_len = stream->avail_in;
    flow->out_len = stream->avail_out;
    if (got == LZMA_STREAM_END)
        return CEL__STEP_END;
    if (got == LZMA_MEM_ERROR)
        return CEL__STEP_NOMEM;
    return got != LZMA_OK || flow->out_len > 0 ? CEL__STEP_BROKEN : CEL__STEP_MORE;
}

static void lzma_close(cel__flow *flow)
{
    lzma_end(flow->state);
    cel__free(flow->state);
}

const cel__format cel__lzma_format = {"application/x-lzma",
                                      {"lzma", "xz", NULL},
                                      lzma_compress,
                                      lzma_open,
                                      lzma_step,
                                      lzma_close};
#endif

#ifdef CEL_HAVE_BROTLI
#include <brotli/decode.h>
#include <brotli/encode.h>

#define BROTLI_QUALITY 5 /* its default, 11, is for what is sent a thousand times */

static bool brotli_compress(cel__buf *buf, cel_view plain)
{
    size_t len = BrotliEncoderMaxCompressedSize(plain.len);
    uint8_t *to = len ? (uint8_t *)cel__buf_reserve(buf, len) : NULL;

    if (!to ||
        !BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE,
                               plain.len, (const uint8_t *)plain.ptr, &len, to))
        return false;
    buf->len += len;
    return true;
}

static bool brotli_open(cel__flow *flow)
{
    flow->state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    return flow->state != NULL;
}

static cel__step brotli_step(cel__flow *flow)
{
    switch (BrotliDecoderDecompressStream(flow->state, &flow->in_len, &flow->in, &flow->out_len,
                                          &flow->out, NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        return CEL__STEP_END;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return CEL__STEP_MORE;
    default:
        return CEL__STEP_BROKEN;
    }
}

static void brotli_close(cel__flow *flow)
{
    BrotliDecoderDestroyInstance(flow->state);
}

const cel__format cel__brotli_format = {"application/x-brotli",
                                        {"brotli", NULL, NULL},
                                        brotli_compress,
                                        brotli_open,
                                        brotli_step,
                                        brotli_close};
#endif

#ifdef CEL_HAVE_ZSTD
#include <zstd.h>

/* In one go, which puts the size of the content into the frame: Python insists on it. */
static bool zstd_compress(cel__buf *buf, cel_view plain)
{
    size_t bound = ZSTD_compressBound(plain.len);
    char *to = cel__buf_reserve(buf, bound);
    size_t len = to ? ZSTD_compress(to, bound, plain.ptr, plain.len, ZSTD_CLEVEL_DEFAULT) : 0;

    if (!to || ZSTD_isError(len))
        return false;
    buf->len += len;
    return true;
}

static bool zstd_open(cel__flow *flow)
{
    flow->state = ZSTD_createDStream();
    return flow->state != NULL;
}

static cel__step zstd_step(cel__flow *flow)
{
    ZSTD_inBuffer in = {flow->in, flow->in_len, 0};
    ZSTD_outBuffer out = {flow->out, flow->out_len, 0};
    size_t got = ZSTD_decompressStream(flow->state, &out, &in);

    flow->in += in.pos;
    flow->in_len -= in.pos;
    flow->out_len -= out.pos;
    if (ZSTD_isError(got))
        return CEL__STEP_BROKEN;
    if (got == 0)
        return CEL__STEP_END;
    return flow->out_len > 0 ? CEL__STEP_BROKEN : CEL__STEP_MORE;
}

static void zstd_close(cel__flow *flow)
{
    ZSTD_freeDStream(flow->state);
}

const cel__format cel__zstd_format = {"application/zstd", {"zstd", "zstandard", NULL},
                                      zstd_compress,      zstd_open,
                                      zstd_step,          zstd_close};
#endif

/* C wants something in a file. */
typedef int cel__compress_more_is_not_empty;
