/* result.c - result documents are written and read after one table of keys. */
#include "message/result.h"

#include <stddef.h>

#include "core/jscan.h"
#include "core/time.h"
#include "message/task.h"

enum kind {
    KIND_TEXT, /* cel_view, plain */
    KIND_JSON, /* cel_view, spliced */
    KIND_TIME, /* int64_t */
    KIND_COUNT /* int64_t */
};

enum presence {
    ALWAYS,   /* null if absent */
    IF_SET,   /* left out if absent */
    EXTENDED, /* null if absent, left out if there is no `name` */
};

struct field {
    const char *key;
    enum kind kind;
    enum presence presence;
    size_t offset; /* in cel_result_meta */
};

#define FIELD(key, field, kind, presence)                                                      \
    {                                                                                          \
        key, kind, presence, offsetof(cel_result_meta, field)                                  \
    }

/* In Celery's order; the stamps stand before task_id. */
static const struct field fields[] = {
    FIELD("status", status, KIND_TEXT, ALWAYS),
    FIELD("result", result, KIND_JSON, ALWAYS),
    FIELD("traceback", traceback, KIND_TEXT, ALWAYS),
    FIELD("children", children, KIND_JSON, ALWAYS),
    FIELD("date_done", date_done_us, KIND_TIME, ALWAYS),
    FIELD("group_id", group_id, KIND_TEXT, IF_SET),
    FIELD("parent_id", parent_id, KIND_TEXT, IF_SET),
    FIELD("name", name, KIND_TEXT, EXTENDED),
    FIELD("args", args, KIND_JSON, EXTENDED),
    FIELD("kwargs", kwargs, KIND_JSON, EXTENDED),
    FIELD("worker", worker, KIND_TEXT, EXTENDED),
    FIELD("retries", retries, KIND_COUNT, EXTENDED),
    FIELD("queue", queue, KIND_TEXT, EXTENDED),
    FIELD("task_id", task_id, KIND_TEXT, ALWAYS),
};

#define COUNT (sizeof fields / sizeof *fields)

/* ---- states ---- */

bool cel__state_ready(cel_view status)
{
#define CEL_X(constant, text, ready, failed)                                                   \
    if (ready && cel__view_eq(status, CEL_VIEW(text)))                                         \
        return true;
    CEL_STATES(CEL_X)
#undef CEL_X
    return false;
}

bool cel__state_exception(cel_view status)
{
#define CEL_X(constant, text, ready, failed)                                                   \
    if (failed && cel__view_eq(status, CEL_VIEW(text)))                                        \
        return true;
    CEL_STATES(CEL_X)
#undef CEL_X
    return false;
}

bool cel__state_failed(cel_view status)
{
    return cel__state_ready(status) && cel__state_exception(status);
}

/* ---- writing ---- */

static void put_time(cel__buf *buf, int64_t wall_us)
{
    char text[CEL_TIME_TEXT];

    if (wall_us == CEL_TIME_NONE) {
        cel__buf_add(buf, "null", 4);
        return;
    }
    cel__time_format(text, wall_us);
    cel__buf_add_json(buf, cel__view(text));
}

static void put_field(cel__buf *buf, const struct field *field, const cel_result_meta *meta)
{
    const void *value = (const char *)meta + field->offset;
    const cel_view *text = value;

    cel__buf_add_str(buf, field == fields ? "{\"" : ", \"");
    cel__buf_add_str(buf, field->key);
    cel__buf_add(buf, "\": ", 3);
    if (field->kind == KIND_TIME)
        put_time(buf, *(const int64_t *)value);
    else if (field->kind == KIND_COUNT)
        cel__buf_add_int(buf, *(const int64_t *)value);
    else if (!text->ptr)
        cel__buf_add(buf, "null", 4);
    else if (field->kind == KIND_JSON)
        cel__buf_add_view(buf, *text);
    else
        cel__buf_add_json(buf, *text);
}

static void put_stamps(cel__buf *buf, const cel_result_meta *meta)
{
    cel_jvalue key, value;
    cel_jscan scan;

    if (!meta->name.ptr || !meta->stamped_headers.ptr)
        return;
    cel__buf_add_str(buf, ", \"stamped_headers\": ");
    cel__buf_add_view(buf, meta->stamped_headers);
    if (!meta->stamps.ptr)
        return;
    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, meta->stamps});
    while (cel__jscan_next_member(&scan, &key, &value)) {
        cel__buf_add(buf, ", ", 2);
        cel__buf_add_view(buf, key.text);
        cel__buf_add(buf, ": ", 2);
        cel__buf_add_view(buf, value.text);
    }
}

void cel__result_meta_dump(cel__buf *buf, const cel_result_meta *meta)
{
    for (size_t i = 0; i < COUNT; i++) {
        const cel_view *text = (const void *)((const char *)meta + fields[i].offset);

        if (i + 1 == COUNT)
            put_stamps(buf, meta);
        if ((fields[i].presence == IF_SET && !text->ptr) ||
            (fields[i].presence == EXTENDED && !meta->name.ptr))
            continue;
        put_field(buf, &fields[i], meta);
    }
    cel__buf_add_byte(buf, '}');
}

/* ---- reading ---- */

struct loader {
    cel_result_meta *meta;
    cel__buf *scratch;
    size_t text_len;
    bool reserved; /* scratch has room for all strings of the text: views into it stay */
};

static cel_view resolve(struct loader *loader, cel_jvalue string)
{
    if (!loader->reserved && memchr(string.text.ptr, '\\', string.text.len)) {
        cel__buf_reserve(loader->scratch, loader->text_len);
        loader->reserved = true;
    }
    return cel__jscan_view(string, loader->scratch);
}

/* A text, or the object that kombu 5.3 makes of a datetime. */
static int64_t load_time(struct loader *loader, cel_jvalue value)
{
    int64_t wall_us = CEL_TIME_NONE;

    if (value.type == CEL_JSON_OBJECT)
        value = cel__jscan_get(value, "__value__");
    if (value.type != CEL_JSON_STRING || !cel__time_parse(&wall_us, resolve(loader, value)))
        return CEL_TIME_NONE;
    return wall_us;
}

static void load_field(struct loader *loader, const struct field *field, cel_jvalue value)
{
    void *to = (char *)loader->meta + field->offset;

    switch (field->kind) {
    case KIND_TEXT:
        *(cel_view *)to =
            value.type == CEL_JSON_STRING ? resolve(loader, value) : (cel_view){NULL, 0};
        break;
    case KIND_JSON:
        *(cel_view *)to = value.type == CEL_JSON_NULL ? (cel_view){NULL, 0} : value.text;
        break;
    case KIND_TIME:
        *(int64_t *)to = load_time(loader, value);
        break;
    case KIND_COUNT:
        if (!cel__jscan_int(value, to))
            *(int64_t *)to = 0;
        break;
    }
}

cel_code
cel__result_meta_load(cel_result_meta *out, cel_view text, cel__buf *scratch, cel_error *err)
{
    cel_result_meta meta = {.date_done_us = CEL_TIME_NONE};
    struct loader loader = {&meta, scratch, text.len, false};
    cel_jvalue key, value;
    cel_jscan scan;

    if (!text.ptr)
        return cel_error_set(err, CEL_EPROTO, "the result document is missing");
    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, text});
    while (cel__jscan_next_member(&scan, &key, &value))
        for (size_t i = 0; i < COUNT; i++)
            if (cel__jscan_is(key, fields[i].key))
                load_field(&loader, &fields[i], value);
    if (scan.failed)
        return cel_error_set(err, CEL_EPROTO, "the result document is no JSON object");
    if (scratch->failed)
        return cel__buf_check(scratch, err);
    if (meta.status.len == 0)
        return cel_error_set(err, CEL_EPROTO, "the result document has no status");
    *out = meta;
    return CEL_OK;
}
