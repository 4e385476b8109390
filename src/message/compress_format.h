/* compress_format.h - what a compression format is to compress.c. Private to message/. */
#ifndef CEL_MESSAGE_COMPRESS_FORMAT_H
#define CEL_MESSAGE_COMPRESS_FORMAT_H

#include "core/buf.h"
#include "core/view.h"

/* A stream being decompressed: what is left of the input, where the output goes. */
typedef struct cel__flow {
    const unsigned char *in;
    size_t in_len;
    unsigned char *out;
    size_t out_len;
    void *state; /* the format's, from open() to close() */
} cel__flow;

typedef enum cel__step {
    CEL__STEP_MORE, /* wants more room for its output */
    CEL__STEP_END,
    CEL__STEP_BROKEN, /* no such stream, or the input ended before it did */
    CEL__STEP_NOMEM,
} cel__step;

typedef struct cel__format {
    const char *mime;
    const char *aliases[3];                          /* NULL where there are fewer */
    bool (*compress)(cel__buf *buf, cel_view plain); /* appends; false: no memory */
    bool (*open)(cel__flow *flow);                   /* false: no memory */
    cel__step (*step)(cel__flow *flow); /* writes what it can, and moves on in both */
    void (*close)(cel__flow *flow);
} cel__format;

/* Zlib, in compress.c, and the optional ones, in compress_more.c: only with their libraries. */
extern const cel__format cel__bzip2_format;  /* CEL_HAVE_BZIP2 */
extern const cel__format cel__lzma_format;   /* CEL_HAVE_LZMA */
extern const cel__format cel__brotli_format; /* CEL_HAVE_BROTLI */
extern const cel__format cel__zstd_format;   /* CEL_HAVE_ZSTD */

#endif
