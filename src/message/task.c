/* task.c - task messages are written header by header after one table.
 *
 * Everything goes into the caller's buffer, in the order headers, body, expiration; the
 * positions are offsets until nothing more can move the buffer. */
#include "message/task.h"

#include <assert.h>
#include <string.h>

#include "core/jscan.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/number.h"
#include "core/time.h"
#include "message/body.h"
#include "message/task_headers.h"

#define REPR_MAX 1024 /* Celery's argsrepr_maxsize and kwargsrepr_maxsize */

struct header {
    const char *name;
    const char *prefix; /* `, "name": ` */
    size_t prefix_len;
    cel__header_kind kind;
    size_t offset; /* in cel_task_message */
};

#define PREFIX(name) ", \"" #name "\": "
#define CEL_X(header, field, kind)                                                             \
    {#header, PREFIX(header), sizeof PREFIX(header) - 1, CEL__HEADER_##kind,                   \
     offsetof(cel_task_message, field)},
static const struct header table[] = {
    {"lang", "{\"lang\": ", sizeof "{\"lang\": " - 1, CEL__HEADER_LANG, 0},
    CEL__TASK_HEADERS(CEL_X)};
#undef CEL_X

#define COUNT (sizeof table / sizeof *table)

/* ---- what may not be said ---- */

static bool begins(cel_view json, char bracket)
{
    return !json.ptr || (json.len >= 2 && json.ptr[0] == bracket);
}

static cel_code check_texts(const cel_task_message *spec, cel_error *err)
{
    const struct {
        const char *name;
        cel_view text;
        char bracket;
    } texts[] = {
        {"args", spec->args, '['},           {"kwargs", spec->kwargs, '{'},
        {"callbacks", spec->callbacks, '['}, {"errbacks", spec->errbacks, '['},
        {"chain", spec->chain, '['},         {"chord", spec->chord, '{'},
        {"stamps", spec->stamps, '{'},       {"stamped_headers", spec->stamped_headers, '['},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!begins(texts[i].text, texts[i].bracket))
            return cel_error_set(err, CEL_EINVAL, "task '%.*s': %s must be a JSON %s",
                                 CEL_VIEW_ARG(spec->task), texts[i].name,
                                 texts[i].bracket == '[' ? "array" : "object");
    return CEL_OK;
}

static cel_code check_custom(const cel_task_message *spec, cel_error *err)
{
    cel_jvalue value;

    if (!spec->headers.ptr)
        return CEL_OK;
    if (cel__jscan_value(&value, spec->headers, NULL) || value.type != CEL_JSON_OBJECT)
        return cel_error_set(err, CEL_EINVAL, "task '%.*s': headers must be a JSON object",
                             CEL_VIEW_ARG(spec->task));
    return CEL_OK;
}

static cel_code check(const cel_task_message *spec, cel_error *err)
{
    cel_code code;

    if (spec->task.len == 0)
        return cel_error_set(err, CEL_EINVAL, "the task has no name");
    if (spec->id.len == 0)
        return cel_error_set(err, CEL_EINVAL, "task '%.*s' has no id",
                             CEL_VIEW_ARG(spec->task));
    if (spec->retries < 0 || spec->replaced_task_nesting < 0 || spec->group_index < -1 ||
        spec->priority < -1 || spec->priority > 255 || spec->delivery_mode < 0 ||
        spec->delivery_mode > 2)
        return cel_error_set(err, CEL_EINVAL, "task '%.*s': a number is out of range",
                             CEL_VIEW_ARG(spec->task));
    if (!(spec->time_limit_s >= 0 && spec->time_limit_s <= CEL__LIMIT_MAX_S) ||
        !(spec->soft_time_limit_s >= 0 && spec->soft_time_limit_s <= CEL__LIMIT_MAX_S))
        return cel_error_set(err, CEL_EINVAL, "task '%.*s': a time limit is out of range",
                             CEL_VIEW_ARG(spec->task));
    code = check_texts(spec, err);
    return code ? code : check_custom(spec, err);
}

/* ---- headers ---- */

static void put_null(cel__buf *buf)
{
    cel__buf_add(buf, "null", 4);
}

static void put_time(cel__buf *buf, int64_t wall_us)
{
    char text[CEL_TIME_TEXT];

    if (wall_us == CEL_TIME_NONE) {
        put_null(buf);
        return;
    }
    cel__time_format(text, wall_us);
    cel__buf_add_json(buf, cel__view(text));
}

/* Whole seconds are integers, as people write them in Python. */
static void put_limit(cel__buf *buf, double limit_s)
{
    char text[CEL_DOUBLE_TEXT];

    if (limit_s == 0)
        put_null(buf);
    else if (limit_s == (double)(int64_t)limit_s)
        cel__buf_add_int(buf, (int64_t)limit_s);
    else
        cel__buf_add(buf, text, cel__double_format(text, limit_s));
}

static void put_limits(cel__buf *buf, const double *limits)
{
    cel__buf_add_byte(buf, '[');
    put_limit(buf, limits[0]);
    cel__buf_add(buf, ", ", 2);
    put_limit(buf, limits[1]);
    cel__buf_add_byte(buf, ']');
}

static void put_choice(cel__buf *buf, int choice)
{
    if (choice < 0)
        put_null(buf);
    else
        cel__buf_add_str(buf, choice ? "true" : "false");
}

static void put_header(cel__buf *buf, const struct header *header, const cel_task_message *spec)
{
    const void *field = (const char *)spec + header->offset;
    const cel_view *text = field;

    switch (header->kind) {
    case CEL__HEADER_LANG:
        cel__buf_add(buf, "\"py\"", 4);
        break;
    case CEL__HEADER_TEXT:
    case CEL__HEADER_LABEL:
        if (text->ptr)
            cel__buf_add_json(buf, *text);
        else
            put_null(buf);
        break;
    case CEL__HEADER_TIME:
        put_time(buf, *(const int64_t *)field);
        break;
    case CEL__HEADER_COUNT:
        cel__buf_add_int(buf, *(const int64_t *)field);
        break;
    case CEL__HEADER_INDEX:
        if (*(const int64_t *)field < 0)
            put_null(buf);
        else
            cel__buf_add_int(buf, *(const int64_t *)field);
        break;
    case CEL__HEADER_LIMITS:
        put_limits(buf, field);
        break;
    case CEL__HEADER_CHOICE:
        put_choice(buf, *(const int *)field);
        break;
    case CEL__HEADER_JSON:
        if (text->ptr)
            cel__buf_add_view(buf, *text);
        else
            put_null(buf);
        break;
    }
}

/* The repr is made where it is to stand; only if something in it wants escaping is it moved. */
static void put_repr(cel__buf *buf, cel_view json, bool tuple)
{
    size_t start;
    char *copy;

    cel__buf_add_byte(buf, '"');
    start = buf->len;
    cel__json_repr(buf, json, REPR_MAX, tuple);
    if (buf->failed)
        return;
    if (cel__json_plain(buf->ptr + start, buf->len - start) == buf->len - start) {
        cel__buf_add_byte(buf, '"');
        return;
    }
    copy = cel__memdup(buf->ptr + start, buf->len - start);
    if (!copy) {
        buf->failed = true;
        return;
    }
    cel_view text = {copy, buf->len - start};
    buf->len = start - 1;
    cel__buf_add_json(buf, text);
    cel__free(copy);
}

static bool is_protected(const char *name)
{
    return strcmp(name, "task") == 0 || strcmp(name, "id") == 0;
}

/* What the caller's custom headers say in place of a standard one; CEL_JSON_NONE if nothing. */
static cel_jvalue find_override(const cel_task_message *spec, const char *name)
{
    if (!spec->headers.ptr || is_protected(name))
        return (cel_jvalue){CEL_JSON_NONE, {NULL, 0}};
    return cel__jscan_get((cel_jvalue){CEL_JSON_OBJECT, spec->headers}, name);
}

static bool is_standard(cel_jvalue key)
{
    for (size_t i = 0; i < COUNT; i++)
        if (cel__jscan_is(key, table[i].name))
            return true;
    return cel__jscan_is(key, "compression");
}

static void put_custom(cel__buf *buf, cel_view headers)
{
    cel_jvalue key, value;
    cel_jscan scan;

    if (!headers.ptr)
        return;
    cel__jscan_object(&scan, (cel_jvalue){CEL_JSON_OBJECT, headers});
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (is_standard(key))
            continue;
        cel__buf_add(buf, ", ", 2);
        cel__buf_add_view(buf, key.text);
        cel__buf_add(buf, ": ", 2);
        cel__buf_add_view(buf, value.text);
    }
}

static void put_headers(cel__buf *buf, const cel_task_message *spec)
{
    for (size_t i = 0; i < COUNT; i++) {
        cel_jvalue override = find_override(spec, table[i].name);

        cel__buf_add(buf, table[i].prefix, table[i].prefix_len);
        if (override.type != CEL_JSON_NONE)
            cel__buf_add_view(buf, override.text);
        else if (table[i].offset == offsetof(cel_task_message, argsrepr) && !spec->argsrepr.ptr)
            put_repr(buf, spec->args, true);
        else if (table[i].offset == offsetof(cel_task_message, kwargsrepr) &&
                 !spec->kwargsrepr.ptr)
            put_repr(buf, spec->kwargs, false);
        else
            put_header(buf, &table[i], spec);
    }
    put_custom(buf, spec->headers);
    if (spec->compression) {
        cel__buf_add_str(buf, ", \"compression\": \"");
        cel__buf_add_str(buf, spec->compression);
        cel__buf_add_byte(buf, '"');
    }
    cel__buf_add_byte(buf, '}');
}

/* ---- body ---- */

static void put_json_or_null(cel__buf *buf, const char *prefix, cel_view json)
{
    cel__buf_add_str(buf, prefix);
    if (json.ptr)
        cel__buf_add_view(buf, json);
    else
        put_null(buf);
}

static void put_body(cel__buf *buf, const cel_task_message *spec)
{
    cel__buf_add_byte(buf, '[');
    cel__buf_add_view(buf, spec->args);
    cel__buf_add(buf, ", ", 2);
    cel__buf_add_view(buf, spec->kwargs);
    put_json_or_null(buf, ", {\"callbacks\": ", spec->callbacks);
    put_json_or_null(buf, ", \"errbacks\": ", spec->errbacks);
    put_json_or_null(buf, ", \"chain\": ", spec->chain);
    put_json_or_null(buf, ", \"chord\": ", spec->chord);
    cel__buf_add(buf, "}]", 2);
}

/* A body that is not to be sent as it stands: made apart, then put into its form. */
static cel_code put_coded_body(cel__buf *buf,
                               const cel_task_message *spec,
                               cel__serializer serializer,
                               cel_error *err)
{
    cel__buf plain = {.max = buf->max};
    cel_error wrong = {0};
    cel_code code;

    put_body(&plain, spec);
    code = cel__buf_check(&plain, &wrong);
    if (code == CEL_OK)
        code = cel__body_encode(buf, cel__buf_view(&plain), serializer, spec->coding,
                                spec->compression, &wrong);
    cel__buf_done(&plain);
    if (code == CEL_EINVAL || code == CEL_ENOTSUP)
        return cel_error_set(err, code, "task '%.*s': %s", CEL_VIEW_ARG(spec->task),
                             wrong.message);
    if (code && err)
        *err = wrong;
    return code;
}

/* ---- all of it ---- */

static void fill_defaults(cel_task_message *spec)
{
    if (!spec->args.ptr)
        spec->args = CEL_VIEW("[]");
    if (!spec->kwargs.ptr)
        spec->kwargs = CEL_VIEW("{}");
    if (spec->root_id.len == 0)
        spec->root_id = spec->id;
    if (!spec->stamps.ptr)
        spec->stamps = CEL_VIEW("{}");
    if (!spec->reply_to.ptr)
        spec->reply_to = CEL_VIEW("");
    if (!spec->exchange.ptr)
        spec->exchange = CEL_VIEW("");
    if (!spec->coding)
        spec->coding = &cel__coding_json;
}

/* Replaces the names by what they mean. */
static cel_code choose_form(cel_task_message *spec, cel__serializer *serializer, cel_error *err)
{
    const char *compression = spec->compression;

    spec->compression = NULL;
    if (compression && *compression) {
        cel_view name = cel__view(compression);

        spec->compression = cel__compression_mime(name);
        if (!spec->compression)
            return cel_error_set(err, CEL_ENOTSUP,
                                 cel__compression_known(name)
                                     ? "task '%.*s': compression '%s' is not built in"
                                     : "task '%.*s': compression '%s' is not supported",
                                 CEL_VIEW_ARG(spec->task), compression);
    }
    *serializer = spec->coding->serializer;
    if (spec->serializer && *spec->serializer &&
        !cel__serializer_find(serializer, cel__view(spec->serializer)))
        return cel_error_set(err, CEL_ENOTSUP, "task '%.*s': there is no serializer '%s'",
                             CEL_VIEW_ARG(spec->task), spec->serializer);
    return CEL_OK;
}

static int64_t eta_ms(int64_t eta_us)
{
    if (eta_us == CEL_TIME_NONE || eta_us <= 0)
        return 0;
    return eta_us / 1000 + (eta_us % 1000 != 0);
}

static void
fill_message(cel_message *out, const cel_task_message *spec, cel__serializer serializer)
{
    *out = (cel_message){
        .exchange = spec->exchange,
        .routing_key = spec->routing_key,
        .content_type = cel__serializer_type(serializer),
        .content_encoding = cel__serializer_encoding(serializer),
        .correlation_id = spec->id,
        .reply_to = spec->reply_to,
        .delivery_mode = spec->delivery_mode ? spec->delivery_mode : 2,
        .priority = spec->priority < 0 ? 0 : spec->priority,
        .eta_ms = eta_ms(spec->eta_us),
        .task = spec->task,
    };
}

/* Milliseconds from now to then, in a calculation that cannot overflow. */
static int64_t expiration_ms(int64_t expires_us, int64_t now_us)
{
    int64_t left;

    if (expires_us <= now_us)
        return 0;
    if (__builtin_sub_overflow(expires_us, now_us, &left))
        left = INT64_MAX;
    return left / 1000;
}

cel_code cel__task_message_build(cel_message *out,
                                 const cel_task_message *spec,
                                 int64_t now_us,
                                 cel__buf *buf,
                                 cel_error *err)
{
    cel_task_message full = *spec;
    size_t start = buf->len;
    size_t body, expiration;
    cel__serializer serializer;
    cel_code code = check(spec, err);

    if (code)
        return code;
    fill_defaults(&full);
    code = choose_form(&full, &serializer, err);
    if (code)
        return code;
    put_headers(buf, &full);
    body = buf->len;
    if (full.compression || serializer != CEL_SERIALIZER_JSON)
        code = put_coded_body(buf, &full, serializer, err);
    else
        put_body(buf, &full);
    expiration = buf->len;
    if (full.expires_us != CEL_TIME_NONE)
        cel__buf_add_int(buf, expiration_ms(full.expires_us, now_us));
    if (code == CEL_OK)
        code = cel__buf_check(buf, err);
    if (code) {
        buf->len = start;
        return code;
    }
    fill_message(out, &full, serializer);
    out->headers = (cel_view){buf->ptr + start, body - start};
    out->body = (cel_view){buf->ptr + body, expiration - body};
    if (full.expires_us != CEL_TIME_NONE)
        out->expiration = (cel_view){buf->ptr + expiration, buf->len - expiration};
    return CEL_OK;
}
