/* body.h - message bodies: from wire bytes to JSON text and back. Pure; any thread. */
#ifndef CEL_MESSAGE_BODY_H
#define CEL_MESSAGE_BODY_H

#include "message/compress.h"
#include "message/message.h"
#include "message/serializer.h"

/* Which serializer wrote the body, by its content type. CEL_ENOTSUP, with what to do about it, if
 * there is no content type or it is not accepted, or if the content encoding is none of text. */
cel_code cel__body_serializer(cel__serializer *out,
                              const cel_message *message,
                              const cel__coding *coding,
                              cel_error *err);

/* Gives the JSON text of `message`'s body: a view into it, or into `scratch` to which it was
 * appended. `compression` is the header's value, absent for none. A body that is JSON on the
 * wire is not checked to be any. Codes as cel__task_body_read(). */
cel_code cel__body_decode(cel_view *out,
                          const cel_message *message,
                          cel_view compression,
                          const cel__coding *coding,
                          cel__buf *scratch,
                          cel_error *err);

/* Appends the JSON text `json` as a body: serialized, then compressed with the compression of
 * that name (NULL: not at all). Codes as cel__encode() and cel__compress(). */
cel_code cel__body_encode(cel__buf *buf,
                          cel_view json,
                          cel__serializer serializer,
                          const cel__coding *coding,
                          const char *compression,
                          cel_error *err);

#endif
