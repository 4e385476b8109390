/* redis_message.c - messages as kombu's virtual transports write them: one JSON object, the body
 * in base64. */
#include <string.h>

#include "broker/redis_impl.h"
#include "core/base64.h"
#include "core/jscan.h"
#include "core/mem.h"
#include "core/time.h"

/* ---- writing ---- */

static void add_text(cel__buf *buf, cel_view text)
{
    if (text.ptr)
        cel__buf_add_json(buf, text);
    else
        cel__buf_add_str(buf, "null");
}

void cel__rq_envelope(cel__buf *buf, const cel_message *message)
{
    cel_message properties = *message;
    char tag[CEL_UUID_LEN + 1];

    properties.content_type = properties.content_encoding = (cel_view){NULL, 0};
    cel__uuid4(tag);
    cel__buf_add_str(buf, "{\"body\": \"");
    cel__base64_encode(buf, message->body);
    cel__buf_add_str(buf, "\", \"content-encoding\": ");
    add_text(buf, message->content_encoding);
    cel__buf_add_str(buf, ", \"content-type\": ");
    add_text(buf, message->content_type);
    cel__buf_add_str(buf, ", \"headers\": ");
    cel__buf_add_view(buf, message->headers.ptr ? message->headers : CEL_VIEW("{}"));
    cel__buf_add_str(buf, ", \"properties\": ");
    cel__message_dump_properties(buf, &properties);
    if (buf->failed)
        return;
    buf->len--; /* its last brace: there is always delivery_info in it */
    cel__buf_add_str(buf, ", \"body_encoding\": \"base64\", \"delivery_tag\": \"");
    cel__buf_add(buf, tag, CEL_UUID_LEN);
    cel__buf_add_str(buf, "\"}}");
}

/* ---- reading ---- */

struct parts {
    cel_jvalue body, encoding, type, headers, properties;
    cel_jvalue body_encoding;
};

static cel_code fail_proto(const char *what, cel_error *err)
{
    return cel_error_set(err, CEL_EPROTO, "it is no message: %s", what);
}

static cel_code take_apart(struct parts *out, cel_view text, cel_error *err)
{
    cel_jvalue key, value;
    cel_jscan scan;

    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, text});
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (cel__jscan_is(key, "body"))
            out->body = value;
        else if (cel__jscan_is(key, "headers"))
            out->headers = value;
        else if (cel__jscan_is(key, "properties"))
            out->properties = value;
        else if (cel__jscan_is(key, "content-type"))
            out->type = value;
        else if (cel__jscan_is(key, "content-encoding"))
            out->encoding = value;
    }
    if (scan.failed)
        return fail_proto("it is no JSON object", err);
    if (out->body.type != CEL_JSON_STRING)
        return fail_proto("the body is missing", err);
    if (out->properties.type != CEL_JSON_OBJECT)
        return fail_proto("the properties are missing", err);
    if (out->headers.type != CEL_JSON_OBJECT && out->headers.type != CEL_JSON_NULL &&
        out->headers.type != CEL_JSON_NONE)
        return fail_proto("the headers are no object", err);
    cel__jscan_object(&scan, out->properties);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (cel__jscan_is(key, "body_encoding"))
            out->body_encoding = value;
    }
    return CEL_OK;
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r')))
        at++;
    return at;
}

cel_view cel__rq_tag(cel_view text)
{
    static const char name[] = "\"delivery_tag\"";
    const char *end = text.ptr + text.len, *at = text.ptr;
    cel_view found = {NULL, 0};

    while (at < end) {
        const char *hit = memmem(at, (size_t)(end - at), name, sizeof name - 1);
        const char *value;
        size_t len = 0;

        if (!hit)
            break;
        at = hit + sizeof name - 1;
        value = skip_space(at, end);
        if (value == end || *value != ':')
            continue;
        value = skip_space(value + 1, end);
        if (value == end || *value++ != '"')
            continue;
        while (value + len < end && value[len] != '"' && value[len] != '\\')
            len++;
        if (len > 0 && value + len < end && value[len] == '"')
            found = (cel_view){value, len};
    }
    return found;
}

static bool contains(cel_view text, const char *word)
{
    return text.ptr && memmem(text.ptr, text.len, word, strlen(word));
}

/* When it is due, and how often it was delivered. */
static void read_headers(rq_delivery *delivery, const struct parts *parts, cel__buf *scratch)
{
    cel_view text = parts->headers.text;
    int64_t due_us, count = 0;
    bool redelivered = false;

    if (contains(text, "\"eta\": \"") || contains(text, "\"eta\":\"")) {
        cel_view eta = cel__jscan_view(cel__jscan_get(parts->headers, "eta"), scratch);

        if (eta.ptr && cel__time_parse(&due_us, eta))
            delivery->eta_ms = due_us / 1000;
    }
    if (contains(text, "\"redelivered\""))
        redelivered = cel__jscan_get(parts->headers, "redelivered").type == CEL_JSON_TRUE;
    if (contains(text, "\"x-delivery-count\""))
        cel__jscan_int(cel__jscan_get(parts->headers, "x-delivery-count"), &count);
    if (count < 0 || count > 1000000)
        count = 0;
    delivery->base.attempt = redelivered ? CEL_ATTEMPT_AGAIN : CEL_ATTEMPT_NEW;
    delivery->base.deliveries = count > 0 ? count + 1 : redelivered ? 0 : 1;
}

static cel_view view_of(cel_jvalue value, cel__buf *scratch)
{
    return value.type == CEL_JSON_STRING ? cel__jscan_view(value, scratch)
                                         : (cel_view){NULL, 0};
}

static cel_code
read_body(cel_message *message, const struct parts *parts, cel__buf *scratch, cel_error *err)
{
    size_t at = scratch->len;
    cel_view text = cel__jscan_view(parts->body, scratch);

    message->body = text;
    if (parts->body_encoding.type != CEL_JSON_STRING ||
        !cel__jscan_is(parts->body_encoding, "base64"))
        return CEL_OK;
    /* Base64 has no escapes but "\/", which some write. */
    at = scratch->len;
    if (!cel__base64_decode(scratch, text))
        return fail_proto("the body is no base64", err);
    message->body = (cel_view){scratch->ptr + at, scratch->len - at};
    return CEL_OK;
}

/* All that is decoded fits in as many bytes as the text has, and the body once more, so that
 * views into the scratch stay. */
static cel_code
read_message(rq_delivery *delivery, cel_view text, cel__buf *scratch, cel_error *err)
{
    cel_message *message = &delivery->base.message;
    struct parts parts = {0};
    cel_code code = take_apart(&parts, text, err);

    *message = (cel_message)CEL_MESSAGE_INIT;
    if (code == CEL_OK)
        code = cel__message_load_properties(message, parts.properties.text, scratch, err);
    if (code != CEL_OK)
        return code;
    message->content_type = view_of(parts.type, scratch);
    message->content_encoding = view_of(parts.encoding, scratch);
    if (parts.headers.type == CEL_JSON_OBJECT)
        message->headers = parts.headers.text;
    delivery->tag = cel__rq_tag(text);
    code = read_body(message, &parts, scratch, err);
    if (code == CEL_OK)
        read_headers(delivery, &parts, scratch);
    return code == CEL_OK ? cel__buf_check(scratch, err) : code;
}

cel_code cel__rq_delivery_new(rq_delivery **out, cel_view text, cel_view queue, cel_error *err)
{
    size_t room = text.len * 2 + 64;
    rq_delivery *delivery = cel__malloc(sizeof *delivery + text.len + queue.len + room);
    cel__buf scratch = {0};
    cel_code code;

    if (!delivery)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a message of %zu bytes", text.len);
    *delivery = (rq_delivery){0};
    memcpy(delivery->bytes, text.ptr, text.len);
    if (queue.len)
        memcpy(delivery->bytes + text.len, queue.ptr, queue.len);
    delivery->base.queue = (cel_view){delivery->bytes + text.len, queue.len};
    /* A buffer in the delivery's own memory: it has room and never grows. */
    scratch.ptr = delivery->bytes + text.len + queue.len;
    scratch.cap = scratch.max = room;
    code = read_message(delivery, (cel_view){delivery->bytes, text.len}, &scratch, err);
    if (code != CEL_OK) {
        cel__free(delivery);
        return code;
    }
    *out = delivery;
    return CEL_OK;
}
