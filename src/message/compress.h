/* compress.h - compressed bodies, in the formats and under the names of kombu. Pure; any thread.
 *
 * zlib is always there; bzip2, lzma (xz), brotli and zstd where their libraries were at the
 * build. */
#ifndef CEL_MESSAGE_COMPRESS_H
#define CEL_MESSAGE_COMPRESS_H

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

#define CEL__BODY_MAX ((size_t)256 << 20) /* the default bound of a decompressed body */

/* The MIME type of the compression that a `compression` header or option names, by that type or
 * an alias ("gzip" and "zlib" both mean a zlib stream under the MIME type of gzip). Static text;
 * NULL if the name is unknown or the format is not built in. */
const char *cel__compression_mime(cel_view name);

/* Whether kombu knows the name, be it built in or not: for messages of errors. */
bool cel__compression_known(cel_view name);

/* Appends `plain` compressed. CEL_ENOTSUP for a name that cel__compression_mime() does not
 * know; CEL_ENOMEM. */
cel_code cel__compress(cel__buf *buf, cel_view name, cel_view plain, cel_error *err);

/* Appends `body` decompressed to `scratch` and gives a view of that. What follows the end of the
 * compressed stream is ignored. CEL_ENOTSUP as above, CEL_EPROTO for a broken stream, CEL_EFULL
 * if it is longer than `max_bytes`: that much is never asked for at once, a small bomb costs
 * little. CEL_ENOMEM. */
cel_code cel__decompress(cel_view *out,
                         cel_view name,
                         cel_view body,
                         size_t max_bytes,
                         cel__buf *scratch,
                         cel_error *err);

#endif
