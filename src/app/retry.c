/* retry.c - the same headers and body again; see the reference, 9.3. Headers that are none of Celery's own are kept, except
 * those that a broker adds when a message dies. */
#include "app/retry.h"

#include <string.h>

#include "app/sensitive.h"
#include "core/jscan.h"
#include "message/compress.h"

/* X-death headers describe the first message's fate, not the new one's. */
static const char *const dropped_headers[] = {
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
};

/* What cel__task_message_build() writes itself. */
static const char *const own_headers[] = {
    "lang",
    "task",
    "id",
    "shadow",
    "eta",
    "expires",
    "group",
    "group_index",
    "retries",
    "timelimit",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "replaced_task_nesting",
    "stamped_headers",
    "stamps",
    "compression",
};

static bool is_among(cel_jvalue key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cel__jscan_is(key, names[i]))
            return true;
    return false;
}

/* Appends the object of the caller's own headers; nothing if there are none. */
static void add_custom_headers(cel__buf *buf, cel_view headers)
{
    cel_jvalue object, key, value;
    cel_jscan scan;
    size_t start = buf->len;

    if (!headers.ptr || cel__jscan_value(&object, headers, NULL) != CEL_OK)
        return;
    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (is_among(key, own_headers, sizeof own_headers / sizeof own_headers[0]) ||
            is_among(key, dropped_headers, sizeof dropped_headers / sizeof dropped_headers[0]))
            continue;
        cel__buf_add_str(buf, buf->len == start ? "{" : ", ");
        cel__buf_add_view(buf, key.text);
        cel__buf_add_str(buf, ": ");
        cel__buf_add_view(buf, value.text);
    }
    if (buf->len > start)
        cel__buf_add_byte(buf, '}');
}

static void set_body(cel_task_message *spec, const cel_task_body *body)
{
    spec->args = body->args;
    spec->kwargs = body->kwargs;
    spec->callbacks = body->callbacks;
    spec->errbacks = body->errbacks;
    spec->chain = body->chain;
    spec->chord = body->chord;
}

static void set_headers(cel_task_message *spec, const cel_task_headers *headers)
{
    spec->task = headers->task;
    spec->id = headers->id;
    spec->shadow = headers->shadow;
    spec->group = headers->group;
    spec->group_index = headers->group_index;
    spec->root_id = cel__headers_root(headers);
    spec->parent_id = headers->parent_id.ptr ? headers->parent_id : headers->id;
    spec->origin = headers->origin;
    spec->expires_us = headers->expires_us;
    spec->time_limit_s = headers->time_limit_s;
    spec->soft_time_limit_s = headers->soft_time_limit_s;
    spec->ignore_result = headers->ignore_result;
    spec->replaced_task_nesting = headers->replaced_task_nesting;
    spec->stamped_headers = headers->stamped_headers;
    spec->stamps = headers->stamps;
    spec->argsrepr = headers->argsrepr;
    spec->kwargsrepr = headers->kwargsrepr;
    spec->retries = headers->retries < INT64_MAX ? headers->retries + 1 : INT64_MAX;
}

cel_code cel__retry_message(const cel_follow *follow, cel_request *req, cel_error *err)
{
    const cel_message *old = req->message;
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;
    cel__serializer serializer;
    cel__buf shown = {0};
    cel_message message;
    cel_code code;

    cel__request_load_properties(req);
    cel__request_load_info(req);
    set_headers(&spec, req->headers);
    set_body(&spec, req->body);
    if (req->retry_ms > 0)
        spec.eta_us = follow->now_us + req->retry_ms * 1000;
    spec.reply_to = old->reply_to;
    spec.priority = old->priority;
    spec.delivery_mode = old->delivery_mode;
    spec.exchange = old->exchange;
    spec.routing_key = old->routing_key.len > 0 ? old->routing_key : req->queue;
    spec.compression = cel__compression_mime(req->headers->compression);
    spec.coding = &follow->app->codings.tasks;
    if (cel__serializer_find(&serializer, old->content_type) &&
        cel__serializer_check(serializer, spec.coding->security, true, NULL) == CEL_OK)
        spec.serializer = cel__serializer_name(serializer);
    cel__buf_reset(follow->scratch);
    add_custom_headers(follow->scratch, old->headers);
    if (follow->scratch->len > 0)
        spec.headers = cel__buf_view(follow->scratch);
    cel__buf_reset(follow->build);
    if (req->entry->options.sensitive) /* the sender may not have known */
        spec.argsrepr = spec.kwargsrepr = (cel_view){NULL, 0};
    code = cel__sensitive_spec(&spec, req->entry, &shown, err);
    if (code == CEL_OK)
        code = cel__task_message_build(&message, &spec, follow->now_us, follow->build, err);
    cel__buf_done(&shown);
    if (code != CEL_OK)
        return code;
    cel__section_add_message(follow->out, &message);
    return cel__buf_check(follow->out, err);
}

void cel__retry_text(cel__buf *buf, const cel_request *req)
{
    cel__buf_addf(buf, "Retry in %lld", (long long)(req->retry_ms / 1000));
    if (req->retry_ms % 1000) {
        size_t mark = buf->len;

        cel__buf_addf(buf, ".%03d", (int)(req->retry_ms % 1000));
        while (buf->len > mark && buf->ptr[buf->len - 1] == '0')
            buf->len--;
    }
    cel__buf_add_byte(buf, 's');
    if (!req->exception.type.ptr)
        return;
    cel__buf_add_str(buf, ": ");
    cel__exception_repr(buf, &req->exception);
}
