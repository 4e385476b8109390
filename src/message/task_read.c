/* task_read.c - task headers and bodies are read in one walk each, which checks what it
 * passes.
 *
 * Members are looked up in the table of headers beginning behind the one found last: from a
 * peer that writes them in Celery's order each costs one comparison.
 *
 *   header `task`?  body is an object?   protocol   fields from
 *   yes             no                   2          headers
 *   yes             yes: hybrid          2          body, overlaid with the headers
 *   no              yes, with `task`     1          body
 *   no              no                   error */
#include <assert.h>
#include <string.h>

#include "core/jscan.h"
#include "core/time.h"
#include "message/body.h"
#include "message/task.h"
#include "message/task_headers.h"

struct header {
    const char *name;
    size_t len;
    cel__header_kind kind;
    size_t offset; /* in cel_task_headers */
};

#define CEL_X(header, field, kind)                                                             \
    {#header, sizeof #header - 1, CEL__HEADER_##kind, offsetof(cel_task_headers, field)},
static const struct header table[] = {
    {"lang", 4, CEL__HEADER_LANG, 0},
    CEL__TASK_HEADERS(CEL_X){"compression", 11, CEL__HEADER_TEXT,
                             offsetof(cel_task_headers, compression)},
};
#undef CEL_X

#define COUNT (sizeof table / sizeof *table)

struct reader {
    cel_task_headers *out;
    const cel__coding *coding;
    cel__buf *scratch;
    size_t text_len; /* no more than this can be resolved into scratch */
    bool reserved;   /* scratch has room for that much: views into it stay */
    size_t next;     /* where in the table to look first */
    cel_error *err;
};

/* ---- single headers ---- */

static cel_code garbage(struct reader *in, const char *name, cel_jvalue value)
{
    return cel_error_set(in->err, CEL_EPROTO, "header '%s' is garbage: %.*s", name,
                         (int)(value.text.len > 60 ? 60 : value.text.len), value.text.ptr);
}

static cel_view resolve(struct reader *in, cel_jvalue string)
{
    if (!memchr(string.text.ptr, '\\', string.text.len))
        return (cel_view){string.text.ptr + 1, string.text.len - 2};
    if (!in->reserved)
        cel__buf_reserve(in->scratch, in->text_len);
    in->reserved = true;
    return cel__jscan_view(string, in->scratch);
}

static cel_code
read_text(struct reader *in, const struct header *header, cel_view *field, cel_jvalue value)
{
    *field = (cel_view){NULL, 0};
    if (value.type == CEL_JSON_STRING) {
        cel_view text = resolve(in, value);

        if (text.len > 0)
            *field = text;
        return CEL_OK;
    }
    if (value.type == CEL_JSON_NULL || header->kind == CEL__HEADER_LABEL)
        return CEL_OK;
    return garbage(in, header->name, value);
}

/* A text, or what kombu 5.3 makes of a datetime: {"__type__": "datetime", "__value__":
 * text}. */
static cel_code
read_time(struct reader *in, const struct header *header, int64_t *field, cel_jvalue value)
{
    cel_jvalue text = value;

    *field = CEL_TIME_NONE;
    if (value.type == CEL_JSON_NULL)
        return CEL_OK;
    if (value.type == CEL_JSON_OBJECT &&
        cel__jscan_is(cel__jscan_get(value, "__type__"), "datetime"))
        text = cel__jscan_get(value, "__value__");
    if (text.type == CEL_JSON_STRING && cel__time_parse(field, resolve(in, text)))
        return CEL_OK;
    return garbage(in, header->name, value);
}

static cel_code
read_count(struct reader *in, const struct header *header, int64_t *field, cel_jvalue value)
{
    *field = header->kind == CEL__HEADER_INDEX ? -1 : 0;
    if (value.type == CEL_JSON_NULL || (cel__jscan_int(value, field) && *field >= 0))
        return CEL_OK;
    return garbage(in, header->name, value);
}

static bool read_limit(double *limit_s, cel_jvalue value)
{
    *limit_s = 0;
    if (value.type == CEL_JSON_NULL)
        return true;
    if (!cel__jscan_double(value, limit_s) || *limit_s < 0)
        return false;
    if (*limit_s > CEL__LIMIT_MAX_S)
        *limit_s = CEL__LIMIT_MAX_S;
    return true;
}

/* [hard, soft], or null. One element, which kills a Python worker, is garbage. */
static cel_code
read_limits(struct reader *in, const struct header *header, double *fields, cel_jvalue value)
{
    cel_jvalue hard, soft, more;
    cel_jscan scan;

    fields[0] = fields[1] = 0;
    if (value.type == CEL_JSON_NULL)
        return CEL_OK;
    cel__jscan_array(&scan, value);
    if (cel__jscan_next(&scan, &hard) && cel__jscan_next(&scan, &soft) &&
        !cel__jscan_next(&scan, &more) && read_limit(&fields[0], hard) &&
        read_limit(&fields[1], soft))
        return CEL_OK;
    return garbage(in, header->name, value);
}

static int read_choice(cel_jvalue value)
{
    int64_t number;

    if (value.type == CEL_JSON_TRUE)
        return 1;
    if (value.type == CEL_JSON_FALSE)
        return 0;
    return cel__jscan_int(value, &number) ? number != 0 : -1;
}

static cel_code read_header(struct reader *in, const struct header *header, cel_jvalue value)
{
    void *field = (char *)in->out + header->offset;

    switch (header->kind) {
    case CEL__HEADER_LANG:
        break;
    case CEL__HEADER_TEXT:
    case CEL__HEADER_LABEL:
        return read_text(in, header, field, value);
    case CEL__HEADER_TIME:
        return read_time(in, header, field, value);
    case CEL__HEADER_COUNT:
    case CEL__HEADER_INDEX:
        return read_count(in, header, field, value);
    case CEL__HEADER_LIMITS:
        return read_limits(in, header, field, value);
    case CEL__HEADER_CHOICE:
        *(int *)field = read_choice(value);
        break;
    case CEL__HEADER_JSON:
        *(cel_view *)field = value.type == CEL_JSON_NULL ? (cel_view){NULL, 0} : value.text;
        break;
    }
    return CEL_OK;
}

static const struct header *find_name(struct reader *in, cel_view name)
{
    for (size_t n = 0; n < COUNT; n++) {
        const struct header *header = &table[in->next];

        in->next = in->next + 1 == COUNT ? 0 : in->next + 1;
        if (header->len == name.len && memcmp(header->name, name.ptr, name.len) == 0)
            return header;
    }
    return NULL;
}

/* No name has an escape in it, so one found in the raw text is found. */
static const struct header *find_header(struct reader *in, cel_jvalue key)
{
    cel_view raw = {key.text.ptr + 1, key.text.len - 2};
    const struct header *header = find_name(in, raw);

    if (!header && memchr(raw.ptr, '\\', raw.len))
        header = find_name(in, resolve(in, key));
    return header;
}

/* Reads the members of a JSON object that are headers: the headers' own, or a body's. */
static cel_code read_members(struct reader *in, cel_view object, const char *what)
{
    cel_jvalue key, value;
    cel_jscan scan;

    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, object});
    while (cel__jscan_next_member(&scan, &key, &value)) {
        const struct header *header = find_header(in, key);
        cel_code code = header ? read_header(in, header, value) : CEL_OK;

        if (code)
            return code;
    }
    if (scan.failed)
        return cel_error_set(in->err, CEL_EPROTO, "the %s are no JSON object", what);
    return CEL_OK;
}

/* ---- protocol 1 and hybrids ---- */

static bool is_object(cel_view text)
{
    size_t at = 0;

    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\n' ||
                             text.ptr[at] == '\t' || text.ptr[at] == '\r'))
        at++;
    return at < text.len && text.ptr[at] == '{';
}

/* The fields of a body that is an object; `taskset` is the old name of `group` and goes
 * before it. */
static cel_code read_embed(struct reader *in, cel_view embed)
{
    cel_jvalue checked, taskset;
    cel_code code = cel__jscan_value(&checked, embed, in->err);

    if (code)
        return code;
    code = read_members(in, embed, "fields of the body");
    if (code)
        return code;
    taskset = cel__jscan_get(checked, "taskset");
    if (taskset.type == CEL_JSON_STRING && taskset.text.len > 2)
        in->out->group = resolve(in, taskset);
    return CEL_OK;
}

/* Makes room for the strings of headers and body together; later nothing moves. The embedded
 * text may itself lie in scratch, at `offset`. */
static void reserve_for_both(struct reader *in, cel_view *embed, const cel_message *message)
{
    bool inside = in->scratch->ptr && embed->ptr >= in->scratch->ptr &&
                  embed->ptr < in->scratch->ptr + in->scratch->len;
    size_t offset = inside ? (size_t)(embed->ptr - in->scratch->ptr) : 0;

    in->reserved = true;
    if (cel__buf_reserve(in->scratch, embed->len + message->headers.len) && inside)
        embed->ptr = in->scratch->ptr + offset;
}

static cel_task_headers no_headers(int protocol)
{
    return (cel_task_headers){.protocol = protocol,
                              .group_index = -1,
                              .eta_us = CEL_TIME_NONE,
                              .expires_us = CEL_TIME_NONE,
                              .ignore_result = -1};
}

/* If the body is an object, begins anew: reads the body into in->out, then the headers over
 * it. */
static cel_code read_both(struct reader *in, const cel_message *message)
{
    cel_view embed;
    cel_code code = cel__body_decode(&embed, message, in->out->compression, in->coding,
                                     in->scratch, in->err);

    if (code || !is_object(embed))
        return code;
    *in->out = no_headers(in->out->task.len > 0 ? 2 : 1);
    reserve_for_both(in, &embed, message);
    in->next = 0;
    code = read_embed(in, embed);
    if (code)
        return code;
    in->out->embed = embed;
    in->next = 0;
    return message->headers.len ? read_members(in, message->headers, "headers") : CEL_OK;
}

/* ---- all of it ---- */

static cel_code check_names(const cel_task_headers *headers, cel_error *err)
{
    if (headers->task.len == 0)
        return cel_error_set(err, CEL_EPROTO,
                             "no task message: neither headers nor body name a task");
    if (headers->id.len == 0)
        return cel_error_set(err, CEL_EPROTO, "task '%.*s' has no id",
                             CEL_VIEW_ARG(headers->task));
    return CEL_OK;
}

cel_code cel__task_headers_read(cel_task_headers *out,
                                const cel_message *message,
                                const cel__coding *coding,
                                cel__buf *scratch,
                                cel_error *err)
{
    cel_task_headers read = no_headers(2);
    struct reader in = {.out = &read,
                        .coding = coding ? coding : &cel__coding_json,
                        .scratch = scratch,
                        .text_len = message->headers.len,
                        .err = err};
    cel_code code = CEL_OK;

    if (message->headers.len)
        code = read_members(&in, message->headers, "headers");
    if (!code && (read.task.len == 0 || read.id.len == 0 || is_object(message->body)))
        code = read_both(&in, message);
    if (scratch->failed) /* whatever else was found wrong may come of that */
        return cel__buf_check(scratch, err);
    if (!code)
        code = check_names(&read, err);
    if (!code)
        *out = read;
    return code;
}

cel_code cel__task_body_check(const cel_message *message,
                              const cel_task_headers *headers,
                              const cel__coding *coding,
                              cel_error *err)
{
    cel__buf scratch = {0};
    cel__serializer serializer;
    cel_view body;
    cel_code code;

    if (!coding)
        coding = &cel__coding_json;
    code = cel__body_serializer(&serializer, message, coding, err);

    if (code == CEL_OK && serializer == CEL_SERIALIZER_AUTH)
        code = cel__body_decode(&body, message, headers->compression, coding, &scratch, err);
    cel__buf_done(&scratch);
    return code;
}

/* ---- bodies ---- */

/* A list that is absent where it is null or empty. */
static cel_code take_list(cel_view *out, cel_jvalue value, const char *name, cel_error *err)
{
    cel_jvalue member;
    cel_jscan scan;

    if (value.type == CEL_JSON_NONE || value.type == CEL_JSON_NULL)
        return CEL_OK;
    if (value.type != CEL_JSON_ARRAY)
        return cel_error_set(err, CEL_EPROTO, "the body's %s are no list", name);
    cel__jscan_array(&scan, value);
    if (cel__jscan_next(&scan, &member))
        *out = value.text;
    return CEL_OK;
}

/* Callbacks, errbacks, chain and chord, from the embed of protocol 2 or the body of protocol
 * 1. */
static cel_code take_embed(cel_task_body *out, cel_jvalue embed, cel_error *err)
{
    static const char *const names[] = {"callbacks", "errbacks", "chain", "chord"};
    cel_view *const lists[] = {&out->callbacks, &out->errbacks, &out->chain};
    cel_jvalue values[4] = {{CEL_JSON_NONE, {NULL, 0}}};
    cel_jvalue key, value;
    cel_jscan scan;

    cel__jscan_object(&scan, embed);
    while (cel__jscan_next_member(&scan, &key, &value))
        for (size_t i = 0; i < 4; i++)
            if (cel__jscan_is(key, names[i]))
                values[i] = value;
    for (size_t i = 0; i < 3; i++) {
        cel_code code = take_list(lists[i], values[i], names[i], err);

        if (code)
            return code;
    }
    if (values[3].type == CEL_JSON_NONE || values[3].type == CEL_JSON_NULL)
        return CEL_OK;
    if (values[3].type != CEL_JSON_OBJECT)
        return cel_error_set(err, CEL_EPROTO, "the body's chord is no signature");
    out->chord = values[3].text;
    return CEL_OK;
}

static cel_code
take_args(cel_task_body *out, cel_jvalue args, cel_jvalue kwargs, cel_error *err)
{
    if (args.type != CEL_JSON_ARRAY)
        return cel_error_set(err, CEL_EPROTO, "the body's args are no list");
    if (kwargs.type != CEL_JSON_OBJECT)
        return cel_error_set(err, CEL_EPROTO, "the body's kwargs are no mapping");
    out->args = args.text;
    out->kwargs = kwargs.text;
    return CEL_OK;
}

/* [args, kwargs, embed]; embed may be null. */
static cel_code take_protocol2(cel_task_body *out, cel_view text, cel_error *err)
{
    cel_jvalue values[3], more;
    size_t count = 0;
    cel_jscan scan;
    cel_code code;

    cel__jscan_array(&scan, (cel_jvalue){CEL_JSON_ARRAY, text});
    while (count < 3 && cel__jscan_next(&scan, &values[count]))
        count++;
    if (count == 3 && cel__jscan_next(&scan, &more))
        count++;
    if (scan.failed)
        return cel_error_set(err, CEL_EPROTO, "the body is no JSON array");
    if (count != 3)
        return cel_error_set(err, CEL_EPROTO, "the body is no list of args, kwargs and embed");
    if (values[2].type != CEL_JSON_OBJECT && values[2].type != CEL_JSON_NULL)
        return cel_error_set(err, CEL_EPROTO, "the body's embed is no mapping");
    code = take_args(out, values[0], values[1], err);
    return code ? code : take_embed(out, values[2], err);
}

/* `object` has been checked. */
static cel_code take_protocol1(cel_task_body *out, cel_jvalue object, cel_error *err)
{
    cel_jvalue args = cel__jscan_get(object, "args");
    cel_jvalue kwargs = cel__jscan_get(object, "kwargs");
    cel_code code;

    if (args.type == CEL_JSON_NONE)
        args = (cel_jvalue){CEL_JSON_ARRAY, CEL_VIEW("[]")};
    if (kwargs.type == CEL_JSON_NONE)
        kwargs = (cel_jvalue){CEL_JSON_OBJECT, CEL_VIEW("{}")};
    code = take_args(out, args, kwargs, err);
    return code ? code : take_embed(out, object, err);
}

/* A hybrid that is seen only now, since it was compressed. */
static cel_code take_hybrid(cel_task_body *out, cel_view text, cel_error *err)
{
    cel_jvalue object;
    cel_code code = cel__jscan_value(&object, text, err);

    return code ? code : take_protocol1(out, object, err);
}

cel_code cel__task_body_read(cel_task_body *out,
                             const cel_message *message,
                             const cel_task_headers *headers,
                             const cel__coding *coding,
                             cel__buf *scratch,
                             cel_error *err)
{
    cel_task_body body = {.args = {NULL, 0}};
    cel_view text;
    cel_code code;

    if (!coding)
        coding = &cel__coding_json;
    if (headers->embed.ptr) {
        code = take_protocol1(&body, (cel_jvalue){CEL_JSON_OBJECT, headers->embed}, err);
    } else {
        code = cel__body_decode(&text, message, headers->compression, coding, scratch, err);
        if (!code)
            code = is_object(text) ? take_hybrid(&body, text, err)
                                   : take_protocol2(&body, text, err);
    }
    if (!code)
        *out = body;
    return code;
}
