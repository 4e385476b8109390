/* body.c - see body.h. A body is serialized, then compressed; what lies between the two steps has
 * a buffer of its own only if both are needed. */
#include "message/body.h"

#include <string.h>
#include <strings.h>

static bool is_any(cel_view text, const char *const *names)
{
    for (; *names; names++)
        if (text.len == strlen(*names) && strncasecmp(text.ptr, *names, text.len) == 0)
            return true;
    return false;
}

cel_code cel__body_serializer(cel__serializer *out,
                              const cel_message *message,
                              const cel__coding *coding,
                              cel_error *err)
{
    static const char *const encodings[] = {"utf-8", "utf8",   "us-ascii",
                                            "ascii", "binary", NULL};
    cel__serializer serializer = CEL_SERIALIZER_JSON;

    if (message->content_type.len == 0)
        return cel_error_set(err, CEL_ENOTSUP, "the message has no content type");
    if (!cel__serializer_find(&serializer, message->content_type) ||
        !memchr(message->content_type.ptr, '/', message->content_type.len))
        return cel_error_set(err, CEL_ENOTSUP, "content type '%.*s' is not accepted",
                             CEL_VIEW_ARG(message->content_type));
    if (serializer == CEL_SERIALIZER_PICKLE || !(coding->accepted & CEL__ACCEPTS(serializer))) {
        cel_view none;

        return cel__decode(&none, serializer, coding, message->body, NULL, err); /* says why */
    }
    if (message->content_encoding.len > 0 && !is_any(message->content_encoding, encodings))
        return cel_error_set(err, CEL_ENOTSUP, "content encoding '%.*s' is not accepted",
                             CEL_VIEW_ARG(message->content_encoding));
    *out = serializer;
    return CEL_OK;
}

cel_code cel__body_decode(cel_view *out,
                          const cel_message *message,
                          cel_view compression,
                          const cel__coding *coding,
                          cel__buf *scratch,
                          cel_error *err)
{
    size_t max_bytes = coding->max_bytes ? coding->max_bytes : CEL__BODY_MAX;
    cel__buf between = {0};
    cel__serializer serializer = CEL_SERIALIZER_JSON;
    cel_view bytes = message->body;
    cel_code code = cel__body_serializer(&serializer, message, coding, err);

    if (code == CEL_OK && compression.len > 0)
        code = cel__decompress(&bytes, compression, message->body, max_bytes,
                               serializer == CEL_SERIALIZER_JSON ? scratch : &between, err);
    if (code == CEL_OK)
        code = cel__decode(out, serializer, coding, bytes, scratch, err);
    cel__buf_done(&between);
    return code;
}

cel_code cel__body_encode(cel__buf *buf,
                          cel_view json,
                          cel__serializer serializer,
                          const cel__coding *coding,
                          const char *compression,
                          cel_error *err)
{
    cel__buf between = {.max = buf->max};
    cel_code code = CEL_OK;

    if (!compression)
        return cel__encode(buf, serializer, coding, json, err);
    if (serializer != CEL_SERIALIZER_JSON)
        code = cel__encode(&between, serializer, coding, json, err);
    if (code == CEL_OK)
        code = cel__compress(buf, cel__view(compression),
                             serializer == CEL_SERIALIZER_JSON ? json : cel__buf_view(&between),
                             err);
    cel__buf_done(&between);
    return code;
}
