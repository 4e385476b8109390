/* msgpack.h - MessagePack as Python's kombu writes and reads it. Pure; any thread.
 *
 * Strings are str, bytes are bin; kombu's {"__type__": "bytes" or "base64", "__value__": ...}
 * stand for bytes in JSON. Extension types, keys that are no strings and strings that are no
 * UTF-8 are refused, as Python refuses them. The code is ours because the C library of
 * MessagePack gives up beyond 32 levels, which a canvas of chords has, and reserves memory for as
 * many elements as a message says that there are. */
#ifndef CEL_MESSAGE_MSGPACK_H
#define CEL_MESSAGE_MSGPACK_H

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* Appends the JSON text of `bytes`, as Python's json.dumps() writes it. CEL_EPROTO if they are
 * no single MessagePack value that JSON can hold or nest more than CEL_JSCAN_DEPTH deep;
 * CEL_EFULL for a text of more than `max_bytes`; CEL_ENOMEM. */
cel_code cel__msgpack_to_json(cel__buf *buf, cel_view bytes, size_t max_bytes, cel_error *err);

/* Appends the MessagePack of `json`. CEL_EINVAL if it is no JSON or holds an integer beyond 64
 * bits or a lone surrogate; CEL_ENOMEM. */
cel_code cel__msgpack_from_json(cel__buf *buf, cel_view json, cel_error *err);

#endif
