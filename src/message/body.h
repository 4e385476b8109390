/* body.h - message bodies: from wire bytes to JSON text and back. Pure; any thread. */
#ifndef CEL_MESSAGE_BODY_H
#define CEL_MESSAGE_BODY_H

#include "message/message.h"

#define CEL__BODY_MAX ((size_t)256 << 20) /* the default bound of a decompressed body */

/* Celery's "gzip" and "zlib" both mean a zlib stream, under the MIME type of gzip. */
#define CEL__ZLIB_MIME "application/x-gzip"

/* Whether a `compression` header or option names that format: by its MIME type or an alias. */
bool cel__body_is_zlib(cel_view compression);

/* Appends `plain` as a zlib stream; on failure the buffer is failed. */
void cel__body_compress(cel__buf *buf, cel_view plain);

/* Gives the text of `message`'s body: a view into it, or into `scratch` to which the
 * decompressed text was appended. `compression` is the header's value, absent for none. It
 * checks that the text is called JSON and UTF-8, not that it is. Codes as
 * cel__task_body_read(). */
cel_code cel__body_decode(cel_view *out,
                          const cel_message *message,
                          cel_view compression,
                          size_t max_bytes,
                          cel__buf *scratch,
                          cel_error *err);

#endif
