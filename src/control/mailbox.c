/* mailbox.c - see mailbox.h. The forms were captured from Celery: the order of members is theirs. */
#include "control/mailbox.h"

#include <math.h>
#include <string.h>

#include "app/glob.h"
#include "control/regex.h"
#include "core/json.h"
#include "core/mem.h"
#include "message/body.h"

#define CLOCK_MAX (INT64_C(1) << 62) /* who counts further has not counted */

void cel__mailbox_exchange(cel__buf *buf, const char *name_space)
{
    cel__buf_addf(buf, "%s.pidbox", name_space);
}

void cel__mailbox_reply_exchange(cel__buf *buf, const char *name_space)
{
    cel__buf_addf(buf, "reply.%s.pidbox", name_space);
}

void cel__mailbox_node_queue(cel__buf *buf, const char *name_space, const char *node)
{
    cel__buf_addf(buf, "%s.%s.pidbox", node, name_space);
}

void cel__mailbox_reply_queue(cel__buf *buf, const char *name_space, const char *id)
{
    cel__buf_addf(buf, "%s.reply.%s.pidbox", id, name_space);
}

static cel_listening
listen_to(const cel_config *config, cel_exchange_kind kind, cel_view exchange)
{
    int64_t ttl_ms = cel__config_ms(config, "control_queue_ttl");
    int64_t expires_ms = cel__config_ms(config, "control_queue_expires");

    return (cel_listening){.kind = kind,
                           .exchange = exchange,
                           .message_ttl_ms = ttl_ms > 0 ? ttl_ms : 0,
                           .expires_ms = expires_ms > 0 ? expires_ms : 0};
}

cel_listening cel__mailbox_listen_node(const cel_config *config, cel_view exchange)
{
    return listen_to(config, CEL_EXCHANGE_FANOUT, exchange);
}

cel_listening
cel__mailbox_listen_reply(const cel_config *config, cel_view exchange, cel_view id)
{
    cel_listening listening = listen_to(config, CEL_EXCHANGE_DIRECT, exchange);

    listening.pattern = id;
    return listening;
}

/* ---- writing ---- */

static void add_text(cel__buf *buf, const char *key, cel_view text)
{
    cel__buf_addf(buf, ", \"%s\": ", key);
    if (text.ptr)
        cel__buf_add_json(buf, text);
    else
        cel__buf_add_str(buf, "null");
}

static void dump_request(cel__buf *buf, const cel_mailbox_request *request)
{
    cel__buf_add_str(buf, "{\"method\": ");
    cel__buf_add_json(buf, request->method);
    cel__buf_add_str(buf, ", \"arguments\": ");
    if (request->arguments)
        cel__json_dump(buf, request->arguments);
    else
        cel__buf_add_str(buf, "{}");
    cel__buf_add_str(buf, ", \"destination\": ");
    cel__json_dump(buf, request->destination);
    add_text(buf, "pattern", request->pattern);
    add_text(buf, "matcher", request->matcher);
    if (request->ticket.ptr) {
        add_text(buf, "ticket", request->ticket);
        cel__buf_add_str(buf, ", \"reply_to\": {\"exchange\": ");
        cel__buf_add_json(buf, request->reply_exchange);
        add_text(buf, "routing_key", request->reply_key);
        cel__buf_add_byte(buf, '}');
    }
    cel__buf_add_byte(buf, '}');
}

/* Appends the headers and, encoded, the body; *out gets views of both. */
static cel_code finish(cel_message *out,
                       const cel__buf *headers,
                       const cel__buf *json,
                       const cel__coding *coding,
                       cel__buf *buf,
                       cel_error *err)
{
    cel_code code = cel__buf_check(json, err);
    size_t body, start = buf->len;

    if (code == CEL_OK)
        code = cel__buf_check(headers, err);
    if (code != CEL_OK)
        return code;
    cel__buf_add_view(buf, cel__buf_view(headers));
    body = buf->len;
    code = cel__body_encode(buf, cel__buf_view(json), coding->serializer, coding, NULL, err);
    if (code == CEL_OK)
        code = cel__buf_check(buf, err);
    if (code != CEL_OK) {
        buf->len = start;
        return code;
    }
    out->headers = (cel_view){buf->ptr + start, body - start};
    out->body = (cel_view){buf->ptr + body, buf->len - body};
    out->content_type = cel__serializer_type(coding->serializer);
    out->content_encoding = cel__serializer_encoding(coding->serializer);
    return CEL_OK;
}

cel_code cel__mailbox_request_encode(cel_message *out,
                                     const cel_mailbox_request *request,
                                     cel_view exchange,
                                     const cel__coding *coding,
                                     cel__buf *buf,
                                     cel_error *err)
{
    cel_message message = {.exchange = exchange,
                           .routing_key = CEL_VIEW(""),
                           .delivery_mode = 2, /* as kombu sends it, though none of it lasts */
                           .priority = 0,
                           .kind = CEL_EXCHANGE_FANOUT};
    cel__buf json = {.max = CEL_MAILBOX_MAX}, headers = {0};
    json_t *expires = json_real(request->expires_s);
    cel_code code;

    if (request->method.len == 0) {
        json_decref(expires);
        return cel_error_set(err, CEL_EINVAL, "a control command has no name");
    }
    dump_request(&json, request);
    cel__buf_add_str(&headers, "{\"clock\": ");
    cel__buf_add_int(&headers, request->clock);
    cel__buf_add_str(&headers, ", \"expires\": ");
    if (request->expires_s > 0)
        cel__json_dump(&headers, expires);
    else
        cel__buf_add_byte(&headers, '0');
    cel__buf_add_byte(&headers, '}');
    code = finish(&message, &headers, &json, coding ? coding : &cel__coding_json, buf, err);
    cel__buf_done(&json);
    cel__buf_done(&headers);
    json_decref(expires);
    if (code == CEL_OK)
        *out = message;
    return code;
}

cel_code cel__mailbox_reply_encode(cel_message *out,
                                   const cel_mailbox_reply *reply,
                                   const cel_mailbox_request *request,
                                   const cel__coding *coding,
                                   cel__buf *buf,
                                   cel_error *err)
{
    cel_message message = {.exchange = request->reply_exchange,
                           .routing_key = request->reply_key,
                           .delivery_mode = 1,
                           .priority = 0};
    cel__buf json = {.max = CEL_MAILBOX_MAX}, headers = {0};
    cel_code code;

    if (message.exchange.len > 0)
        message.kind = CEL_EXCHANGE_DIRECT;
    else
        message.existing = true;
    cel__buf_add_byte(&json, '{');
    cel__buf_add_json(&json, reply->node);
    cel__buf_add_str(&json, ": ");
    cel__json_dump(&json, reply->value);
    cel__buf_add_byte(&json, '}');
    cel__buf_add_str(&headers, "{\"ticket\": ");
    if (reply->ticket.ptr)
        cel__buf_add_json(&headers, reply->ticket);
    else
        cel__buf_add_str(&headers, "null");
    cel__buf_add_str(&headers, ", \"clock\": ");
    cel__buf_add_int(&headers, reply->clock);
    cel__buf_add_byte(&headers, '}');
    code = finish(&message, &headers, &json, coding ? coding : &cel__coding_json, buf, err);
    cel__buf_done(&json);
    cel__buf_done(&headers);
    if (code == CEL_OK)
        *out = message;
    return code;
}

/* ---- reading ---- */

static cel_view text_of(const json_t *value)
{
    return json_is_string(value)
               ? (cel_view){json_string_value(value), json_string_length(value)}
               : (cel_view){NULL, 0};
}

/* What Python takes for false: such a member is as good as absent. */
static bool is_empty(const json_t *value)
{
    if (!value || json_is_null(value) || json_is_false(value))
        return true;
    if (json_is_number(value))
        return json_number_value(value) == 0;
    return json_is_string(value)
               ? json_string_length(value) == 0
               : json_array_size(value) + json_object_size(value) == 0 && !json_is_true(value);
}

/* The member if it is a string, absent if it is empty; false if it is something else. */
static bool take_text(cel_view *out, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    *out = text_of(value);
    return out->ptr || is_empty(value);
}

static cel_code
load_body(json_t **out, const cel_message *message, const cel__coding *coding, cel_error *err)
{
    cel__buf scratch = {.max = CEL_MAILBOX_MAX};
    cel_view text;
    cel_code code;

    if (message->body.len > CEL_MAILBOX_MAX)
        return cel_error_set(err, CEL_EFULL, "it has %zu bytes; the limit is %u",
                             message->body.len, CEL_MAILBOX_MAX);
    code = cel__body_decode(&text, message, (cel_view){0}, coding, &scratch, err);
    if (code == CEL_OK)
        code = cel__json_load(out, text, err);
    cel__buf_done(&scratch);
    if (code == CEL_OK && !json_is_object(*out)) {
        json_decref(*out);
        code = cel_error_set(err, CEL_EPROTO, "its body is no dictionary");
    }
    return code;
}

/* The headers as a value of the caller's; an empty one if there are none that can be read. */
static json_t *load_headers(const cel_message *message)
{
    json_t *headers = NULL;

    if (message->headers.len > 0 && message->headers.len <= CEL_MAILBOX_MAX &&
        cel__json_load(&headers, message->headers, NULL) != CEL_OK)
        headers = NULL;
    return headers ? headers : json_object();
}

static int64_t clock_of(const json_t *headers)
{
    json_int_t clock = json_integer_value(json_object_get(headers, "clock"));

    return clock > 0 && clock < CLOCK_MAX ? clock : 0;
}

/* The members of a request but its method, from `root`. */
static cel_code take_members(cel_mailbox_request *out, const json_t *root, cel_error *err)
{
    const json_t *reply_to = json_object_get(root, "reply_to");
    const json_t *arguments = json_object_get(root, "arguments");

    out->arguments = is_empty(arguments) ? NULL : arguments;
    out->destination = json_object_get(root, "destination");
    if (is_empty(out->destination))
        out->destination = NULL;
    if (!take_text(&out->pattern, root, "pattern") ||
        !take_text(&out->matcher, root, "matcher"))
        return cel_error_set(err, CEL_EPROTO, "its pattern or matcher is no string");
    (void)take_text(&out->ticket, root, "ticket"); /* what is no string serves nobody */
    if (is_empty(reply_to))
        return CEL_OK;
    if (!take_text(&out->reply_exchange, reply_to, "exchange") ||
        !take_text(&out->reply_key, reply_to, "routing_key") || !out->reply_key.ptr ||
        out->reply_exchange.len > 255 || out->reply_key.len > 255)
        return cel_error_set(err, CEL_EPROTO, "its reply_to names no exchange and routing key");
    if (!out->reply_exchange.ptr)
        out->reply_exchange = CEL_VIEW("");
    return CEL_OK;
}

cel_code cel__mailbox_request_decode(cel_mailbox_request *out,
                                     json_t **root,
                                     const cel_message *message,
                                     const cel__coding *coding,
                                     cel_error *err)
{
    cel_mailbox_request request = {0};
    json_t *body, *headers;
    cel_code code;

    code = load_body(&body, message, coding ? coding : &cel__coding_json, err);
    if (code != CEL_OK)
        return code;
    request.method = text_of(json_object_get(body, "method"));
    if (!request.method.ptr)
        code = cel_error_set(err, CEL_EPROTO, "it has no method");
    else
        code = take_members(&request, body, err);
    if (code != CEL_OK) {
        json_decref(body);
        return code;
    }
    headers = load_headers(message);
    request.clock = clock_of(headers);
    request.expires_s = json_number_value(json_object_get(headers, "expires"));
    json_decref(headers);
    *out = request;
    *root = body;
    return CEL_OK;
}

cel_code cel__mailbox_reply_decode(cel_mailbox_reply *out,
                                   json_t **root,
                                   const cel_message *message,
                                   const cel__coding *coding,
                                   cel_error *err)
{
    json_t *body, *headers, *both;
    void *member;
    cel_code code = load_body(&body, message, coding ? coding : &cel__coding_json, err);

    if (code != CEL_OK)
        return code;
    if (json_object_size(body) != 1) {
        json_decref(body);
        return cel_error_set(err, CEL_EPROTO, "a reply does not come from exactly one node");
    }
    headers = load_headers(message);
    both = json_pack("[o, o]", body, headers);
    if (!both)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a reply");
    member = json_object_iter(body);
    *out = (cel_mailbox_reply){.node = cel__view(json_object_iter_key(member)),
                               .value = json_object_iter_value(member),
                               .ticket = text_of(json_object_get(headers, "ticket")),
                               .clock = clock_of(headers)};
    *root = both;
    return CEL_OK;
}

/* ---- selecting ---- */

/* `node in destination`, as Python understands it. */
static bool is_in(const json_t *destination, cel_view node)
{
    const json_t *value;
    size_t i;

    if (json_is_string(destination)) {
        cel_view text = text_of(destination);

        return memmem(text.ptr, text.len, node.ptr, node.len) != NULL;
    }
    if (json_is_object(destination)) {
        const char *key;

        json_object_foreach((json_t *)destination, key,
                            value) if (cel__view_is(node, key)) return true;
        return false;
    }
    json_array_foreach(destination, i,
                       value) if (json_is_string(value) &&
                                  cel__view_eq(text_of(value), node)) return true;
    return false;
}

cel_code
cel__mailbox_is_for(bool *is, const cel_mailbox_request *request, cel_view node, cel_error *err)
{
    if (request->destination) {
        *is = is_in(request->destination, node);
        return CEL_OK;
    }
    if (request->pattern.len == 0 || request->matcher.len == 0) {
        *is = true;
        return CEL_OK;
    }
    if (request->pattern.len > CEL_MAILBOX_PATTERN_MAX)
        return cel_error_set(err, CEL_EINVAL, "the pattern has %zu bytes; the limit is %d",
                             request->pattern.len, CEL_MAILBOX_PATTERN_MAX);
    if (cel__view_is(request->matcher, "pcre"))
        return cel__regex_match(is, request->pattern, node, err);
    if (!cel__view_is(request->matcher, "glob"))
        return cel_error_set(err, CEL_EINVAL, "there is no matcher '%.*s': glob or pcre",
                             CEL_VIEW_ARG(request->matcher));
    char *pattern = cel__memdup(request->pattern.ptr, request->pattern.len);
    if (!pattern)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a pattern");
    *is = cel__glob_match(pattern, node);
    cel__free(pattern);
    return CEL_OK;
}
