/* message.c - properties as JSON. Their names are one table; delivery_info nests two more. */
#include "message/message.h"

#include <stddef.h>

#include "core/jscan.h"

enum kind {
    KIND_TEXT,
    KIND_MODE,     /* 1 or 2; 0: absent */
    KIND_PRIORITY, /* 0 to 255; -1: absent */
    KIND_INFO,     /* the object with the texts of `info` */
};

struct property {
    const char *name;
    enum kind kind;
    size_t offset; /* in cel_message */
};

#define TEXT(name)                                                                             \
    {                                                                                          \
#name, KIND_TEXT, offsetof(cel_message, name)                                          \
    }

static const struct property properties[] = {
    TEXT(correlation_id),
    TEXT(reply_to),
    {"delivery_mode", KIND_MODE, offsetof(cel_message, delivery_mode)},
    TEXT(expiration),
    {"delivery_info", KIND_INFO, 0},
    {"priority", KIND_PRIORITY, offsetof(cel_message, priority)},
    TEXT(content_type),
    TEXT(content_encoding),
};
static const struct property info[] = {TEXT(exchange), TEXT(routing_key)};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- writing ---- */

static void put_name(cel__buf *buf, const char *name, bool *first)
{
    if (!*first)
        cel__buf_add(buf, ", ", 2);
    *first = false;
    cel__buf_add_byte(buf, '"');
    cel__buf_add_str(buf, name);
    cel__buf_add(buf, "\": ", 3);
}

static void put_text(cel__buf *buf,
                     const struct property *property,
                     const cel_message *message,
                     bool *first)
{
    const cel_view *text = (const void *)((const char *)message + property->offset);

    if (!text->ptr)
        return;
    put_name(buf, property->name, first);
    cel__buf_add_json(buf, *text);
}

static void put_info(cel__buf *buf,
                     const struct property *property,
                     const cel_message *message,
                     bool *first)
{
    bool inner_first = true;

    if (!message->exchange.ptr && !message->routing_key.ptr)
        return;
    put_name(buf, property->name, first);
    cel__buf_add_byte(buf, '{');
    for (size_t i = 0; i < COUNT(info); i++)
        put_text(buf, &info[i], message, &inner_first);
    cel__buf_add_byte(buf, '}');
}

static void put_number(cel__buf *buf,
                       const struct property *property,
                       const cel_message *message,
                       bool *first)
{
    const int *number = (const void *)((const char *)message + property->offset);

    if (*number < 0 || (property->kind == KIND_MODE && *number == 0))
        return;
    put_name(buf, property->name, first);
    cel__buf_add_int(buf, *number);
}

void cel__message_dump_properties(cel__buf *buf, const cel_message *message)
{
    bool first = true;

    cel__buf_add_byte(buf, '{');
    for (size_t i = 0; i < COUNT(properties); i++) {
        if (properties[i].kind == KIND_TEXT)
            put_text(buf, &properties[i], message, &first);
        else if (properties[i].kind == KIND_INFO)
            put_info(buf, &properties[i], message, &first);
        else
            put_number(buf, &properties[i], message, &first);
    }
    cel__buf_add_byte(buf, '}');
}

/* ---- reading ---- */

struct loader {
    cel_message *message;
    cel_view text;
    cel__buf *scratch;
    bool reserved; /* scratch has room for all strings of the text: views into it stay */
    cel_error *err;
};

static cel_code wrong(struct loader *loader, const struct property *property)
{
    return cel_error_set(loader->err, CEL_EPROTO, "property '%s' is of the wrong kind",
                         property->name);
}

static cel_code
load_text(struct loader *loader, const struct property *property, cel_jvalue value)
{
    cel_view *text = (void *)((char *)loader->message + property->offset);

    if (value.type == CEL_JSON_INTEGER) { /* an expiration, as some peers write it */
        *text = value.text;
        return CEL_OK;
    }
    if (value.type != CEL_JSON_STRING)
        return wrong(loader, property);
    if (!loader->reserved && memchr(value.text.ptr, '\\', value.text.len)) {
        cel__buf_reserve(loader->scratch, loader->text.len);
        loader->reserved = true;
    }
    *text = cel__jscan_view(value, loader->scratch);
    return CEL_OK;
}

static cel_code
load_number(struct loader *loader, const struct property *property, cel_jvalue value)
{
    int *number = (void *)((char *)loader->message + property->offset);
    int64_t read;

    if (!cel__jscan_int(value, &read) || read < 0 ||
        read > (property->kind == KIND_MODE ? 2 : 255))
        return wrong(loader, property);
    *number = (int)read;
    return CEL_OK;
}

static cel_code
load_info(struct loader *loader, const struct property *property, cel_jvalue value);

static cel_code load_member(struct loader *loader,
                            const struct property *table,
                            size_t count,
                            cel_jvalue key,
                            cel_jvalue value)
{
    for (size_t i = 0; i < count && value.type != CEL_JSON_NULL; i++) {
        if (!cel__jscan_is(key, table[i].name))
            continue;
        if (table[i].kind == KIND_TEXT)
            return load_text(loader, &table[i], value);
        if (table[i].kind == KIND_INFO)
            return load_info(loader, &table[i], value);
        return load_number(loader, &table[i], value);
    }
    return CEL_OK;
}

static cel_code
load_info(struct loader *loader, const struct property *property, cel_jvalue value)
{
    cel_jvalue key, member;
    cel_jscan scan;
    cel_code code = CEL_OK;

    if (value.type != CEL_JSON_OBJECT)
        return wrong(loader, property);
    cel__jscan_object(&scan, value);
    while (!code && cel__jscan_next_member(&scan, &key, &member))
        code = load_member(loader, info, COUNT(info), key, member);
    return code;
}

cel_code cel__message_load_properties(cel_message *message,
                                      cel_view text,
                                      cel__buf *scratch,
                                      cel_error *err)
{
    cel_message read = {.headers = message->headers,
                        .body = message->body,
                        .task = message->task,
                        .eta_ms = message->eta_ms,
                        .priority = -1};
    struct loader loader = {&read, text, scratch, false, err};
    cel_jvalue key, value;
    cel_jscan scan;
    cel_code code;

    if (!text.ptr)
        return cel_error_set(err, CEL_EPROTO, "the properties are missing");
    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, text});
    while (cel__jscan_next_member(&scan, &key, &value)) {
        code = load_member(&loader, properties, COUNT(properties), key, value);
        if (code)
            return code;
    }
    if (scan.failed)
        return cel_error_set(err, CEL_EPROTO, "the properties are no JSON object");
    code = cel__buf_check(scratch, err);
    if (code)
        return code;
    *message = read;
    return CEL_OK;
}
