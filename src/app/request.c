/* request.c - what a task's function sees and does. See request.h and celeriac/task.h. */
#include "app/request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/excname.h"
#include "app/follow.h"
#include "app/sensitive.h"
#include "core/id.h"
#include "core/jscan.h"
#include "core/json.h"
#include "core/mem.h"

#define RETRY_DELAY_MS  180000
#define RETRY_LIMIT     3
#define RETRY_MAX_MS    ((int64_t)1 << 50)
#define BACKOFF_MAX_MS  600000
#define RAISE_MAX_BYTES 65536

/* ---- life ---- */

void cel__request_reset(cel_request *req)
{
    json_decref(req->args);
    json_decref(req->kwargs);
    json_decref(req->headers_json);
    req->args = req->kwargs = req->headers_json = NULL;
    cel__arena_reset(&req->texts);
    req->id = req->task = req->root_id = req->parent_id = req->group = NULL;
    req->hostname_text = req->queue_text = NULL;
    req->correlation_id = req->reply_to = req->origin = req->shadow = NULL;
    req->exchange = req->routing_key = NULL;
    req->properties_loaded = req->info_loaded = false;
    req->end = CEL_END_NONE;
    req->exception = (cel_exception){0};
    req->retry_ms = 0;
    req->requeue = false;
    req->details = (cel_view){NULL, 0};
    cel__buf_reset(&req->sections);
    cel__buf_reset(&req->children);
}

void cel__request_done(cel_request *req)
{
    cel__request_reset(req);
    cel__arena_done(&req->texts);
    cel__buf_done(&req->properties_text);
    cel__buf_done(&req->hostname_buf);
    cel__buf_done(&req->queue_buf);
    cel__buf_done(&req->sections);
    cel__buf_done(&req->children);
    cel__buf_done(&req->frame);
    cel__buf_done(&req->build);
    cel__buf_done(&req->scratch);
}

/* ---- what it was given ---- */

/* Parses on the first call. What cannot be held in C is raised on the request. */
static json_t *value_of(cel_request *req, json_t **slot, cel_view text, const char *what)
{
    cel_error err = {0};

    if (*slot)
        return *slot;
    if (cel__json_load(slot, text, &err) != CEL_OK) {
        *slot = NULL;
        cel_raise(req, "ValueError", "%s of %s: %s", what, cel_request_task(req), err.message);
    }
    return *slot;
}

const json_t *cel_request_args(cel_request *req)
{
    return value_of(req, &req->args, req->body->args, "args");
}

const json_t *cel_request_kwargs(cel_request *req)
{
    return value_of(req, &req->kwargs, req->body->kwargs, "kwargs");
}

const json_t *cel_request_headers(cel_request *req)
{
    cel_view text = req->message->headers.ptr ? req->message->headers : CEL_VIEW("{}");

    return value_of(req, &req->headers_json, text, "headers");
}

bool cel_canceled(const cel_request *req)
{
    return req->call->is_canceled && req->call->is_canceled(req->call);
}

/* ---- how it ends ---- */

void cel__request_raise(cel_request *req, cel_view type, cel_view module, cel_view args)
{
    req->end = CEL_END_RAISED;
    req->exception = (cel_exception){
        .type = cel__arena_copy(&req->texts, type),
        .module = cel__arena_copy(&req->texts, module),
        .args = cel__arena_copy(&req->texts, args),
    };
    if (!req->exception.type.ptr)
        req->exception =
            (cel_exception){CEL_VIEW("MemoryError"), CEL_VIEW("builtins"), CEL_VIEW("[]")};
}

static void raise_named(cel_request *req, const char *name, cel_view args)
{
    cel_view type, module;
    cel_view given = cel__view(name && name[0] ? name : "RuntimeError");

    cel__exception_name(&type, &module, given, cel__view(req->entry->name));
    cel__request_raise(req, type, module, args);
}

/* Formats into the JSON array of one string, in `buf`. */
CEL_PRINTF(2, 0)
static void format_args(cel__buf *buf, const char *fmt, va_list list)
{
    char small[512];
    char *text = small;
    va_list again;
    int len;

    va_copy(again, list);
    len = vsnprintf(small, sizeof small, fmt, list);
    if (len >= (int)sizeof small) {
        if (len > RAISE_MAX_BYTES)
            len = RAISE_MAX_BYTES;
        text = cel__malloc((size_t)len + 1);
        if (text)
            vsnprintf(text, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    cel__buf_add_byte(buf, '[');
    cel__buf_add_json(buf, cel__view(len < 0 ? fmt : (text ? text : small)));
    cel__buf_add_byte(buf, ']');
    if (text != small)
        cel__free(text);
}

json_t *cel_raise(cel_request *req, const char *type, const char *fmt, ...)
{
    cel__buf args = {0};
    va_list list;

    va_start(list, fmt);
    if (fmt && fmt[0])
        format_args(&args, fmt, list);
    else
        cel__buf_add_str(&args, "[]");
    va_end(list);
    raise_named(req, type, cel__buf_view(&args));
    cel__buf_done(&args);
    return NULL;
}

json_t *cel_raise_args(cel_request *req, const char *type, json_t *args)
{
    cel__buf text = {0};

    if (json_is_array(args))
        cel__json_dump(&text, args);
    else
        cel__buf_add_str(&text, "[]");
    json_decref(args);
    raise_named(req, type, cel__buf_view(&text));
    cel__buf_done(&text);
    return NULL;
}

static bool may_retry(const cel_request *req)
{
    int limit = req->entry->options.max_retries;

    if (limit == -1)
        return true;
    if (limit == -2)
        limit = 0;
    else if (limit == 0)
        limit = RETRY_LIMIT;
    return req->headers->retries < limit;
}

static void raise_exhausted(cel_request *req)
{
    cel__buf text = {0}, args = {0};

    cel__buf_addf(&text, "Can't retry %.*s[%.*s] args:", CEL_VIEW_ARG(req->headers->task),
                  CEL_VIEW_ARG(req->headers->id));
    cel__sensitive_repr(&text, req->entry, req->body->args, true);
    cel__buf_add_str(&text, " kwargs:");
    cel__sensitive_repr(&text, req->entry, req->body->kwargs, false);
    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, cel__buf_view(&text));
    cel__buf_add_byte(&args, ']');
    raise_named(req, "MaxRetriesExceededError", cel__buf_view(&args));
    cel__buf_done(&text);
    cel__buf_done(&args);
}

/* How long a retry without a countdown of its own waits. */
static int64_t retry_delay_ms(const cel_request *req)
{
    const cel_task_options *o = &req->entry->options;
    int64_t delay = o->retry_backoff_ms;
    int64_t max = o->retry_backoff_max_ms > 0 ? o->retry_backoff_max_ms : BACKOFF_MAX_MS;

    if (delay == 0)
        return o->default_retry_delay_ms > 0 ? o->default_retry_delay_ms : RETRY_DELAY_MS;
    for (int64_t i = 0; i < req->headers->retries && delay < max; i++)
        delay = delay > max / 2 ? max : 2 * delay;
    if (delay > max)
        delay = max;
    return o->retry_jitter < 0 ? delay
                               : (int64_t)(cel__random64() % ((uint64_t)delay + 1));
}

void cel__request_autoretry(cel_request *req)
{
    const cel_task_options *o = &req->entry->options;
    const cel_exception *raised = &req->exception;

    if (req->end == CEL_END_RAISED && o->autoretry_for &&
        cel__exception_listed(o->autoretry_for, raised->type, raised->module) &&
        !cel__exception_listed(o->dont_autoretry_for, raised->type, raised->module))
        cel_retry(req, -1, NULL);
}

/* The reason is an exception raised before, as in Python's retry(exc=...), else Exception(text). */
json_t *cel_retry(cel_request *req, int64_t countdown_ms, const char *fmt, ...)
{
    bool reason = req->end == CEL_END_RAISED;

    if (fmt && fmt[0] && !reason) {
        cel__buf args = {0};
        va_list list;

        va_start(list, fmt);
        format_args(&args, fmt, list);
        va_end(list);
        raise_named(req, "Exception", cel__buf_view(&args));
        cel__buf_done(&args);
        reason = true;
    }
    if (!may_retry(req)) {
        if (!reason)
            raise_exhausted(req);
        return NULL;
    }
    if (!reason)
        req->exception = (cel_exception){0};
    if (countdown_ms < 0)
        countdown_ms = retry_delay_ms(req);
    req->retry_ms = countdown_ms < RETRY_MAX_MS ? countdown_ms : RETRY_MAX_MS;
    req->end = CEL_END_RETRY;
    return NULL;
}

json_t *cel_ignore(cel_request *req)
{
    req->end = CEL_END_IGNORE;
    return NULL;
}

json_t *cel_reject(cel_request *req, bool requeue, const char *fmt, ...)
{
    cel__buf args = {0};

    if (fmt && fmt[0]) {
        va_list list;

        va_start(list, fmt);
        format_args(&args, fmt, list);
        va_end(list);
        raise_named(req, "Reject", cel__buf_view(&args));
    } else {
        raise_named(req, "Reject", CEL_VIEW("[null]"));
    }
    cel__buf_done(&args);
    req->end = CEL_END_REJECT;
    req->requeue = requeue;
    return NULL;
}

json_t *cel__request_call(cel_request *req, const char *task, json_t *args, json_t *kwargs)
{
    const cel_task_entry *entry = cel__registry_find(req->app->registry, cel__view(task));
    const cel_task_entry *outer = req->entry;
    json_t *outer_args = req->args, *outer_kwargs = req->kwargs;
    json_t *value = NULL;

    if (!entry) {
        json_decref(args);
        json_decref(kwargs);
        return cel_raise(req, "NotRegistered", "%s", task);
    }
    req->entry = entry;
    req->args = args;
    req->kwargs = kwargs;
    if (args && kwargs)
        value = entry->fn(req);
    else
        cel_raise_args(req, "MemoryError", NULL);
    json_decref(req->args);
    json_decref(req->kwargs);
    req->entry = outer;
    req->args = outer_args;
    req->kwargs = outer_kwargs;
    return value;
}

/* ---- what it does while it runs ---- */

cel_code cel_update_state(cel_request *req, const char *state, json_t *meta, cel_error *err)
{
    cel__buf *frame = &req->frame;
    cel__buf result = {0};
    size_t start;
    cel_code code;

    if (!state || !state[0]) {
        json_decref(meta);
        return cel_error_set(err, CEL_EINVAL, "the state is empty");
    }
    cel__json_dump(&result, meta);
    json_decref(meta);
    cel__buf_reset(frame);
    start = cel__frame_begin(frame, CEL_FRAME_UPDATE, req->call->request_id);
    cel__section_add(frame, CEL_TAG_STATE, cel__view(state));
    cel__section_add(frame, CEL_TAG_RESULT, cel__buf_view(&result));
    cel__frame_end(frame, start);
    code = result.failed ? cel__buf_check(&result, err) : cel__buf_check(frame, err);
    cel__buf_done(&result);
    if (code != CEL_OK)
        return code;
    return req->call->send(req->call, cel__buf_view(frame), NULL, err);
}

void cel_request_log(cel_request *req, cel_log_level level, const char *fmt, ...)
{
    cel__buf *frame = &req->frame;
    char line[4096];
    va_list list;
    size_t start;

    va_start(list, fmt);
    vsnprintf(line, sizeof line, fmt, list);
    va_end(list);
    cel__buf_reset(frame);
    start = cel__frame_begin(frame, CEL_FRAME_LOG, req->call->request_id);
    cel__section_add_int(frame, CEL_TAG_LEVEL, level);
    cel__section_add(frame, CEL_TAG_TEXT, cel__view(line));
    cel__frame_end(frame, start);
    if (!frame->failed)
        req->call->send(req->call, cel__buf_view(frame), NULL, NULL);
}

/* Reads a REPLY: CODE and TEXT. */
static cel_code read_reply(cel_view bytes, cel_error *err)
{
    cel_frame frame;
    cel_view rest, value, text = {NULL, 0};
    cel_section_tag tag;
    int64_t code = CEL_EPROTO;

    if (cel__frame_read(&frame, bytes) <= 0 || frame.type != CEL_FRAME_REPLY)
        return cel_error_set(err, CEL_EPROTO, "the worker did not answer");
    rest = frame.sections;
    while (cel__section_next(&rest, &tag, &value)) {
        if (tag == CEL_TAG_CODE && !cel__section_int(value, &code))
            code = CEL_EPROTO;
        if (tag == CEL_TAG_TEXT)
            text = value;
    }
    if (code == CEL_OK)
        return CEL_OK;
    return cel_error_set(err, (cel_code)code, "%.*s", CEL_VIEW_ARG(text));
}

static cel_code
publish_now(cel_request *req, const cel_plan *plan, const cel_follow *follow, cel_error *err)
{
    cel__buf reply = {0};
    size_t start;
    cel_code code;

    cel__buf_reset(&req->frame);
    start = cel__frame_begin(&req->frame, CEL_FRAME_PUBLISH, req->call->request_id);
    code = cel__follow_plan(follow, plan, err);
    cel__frame_end(&req->frame, start);
    if (code == CEL_OK)
        code = cel__buf_check(&req->frame, err);
    if (code == CEL_OK)
        code = req->call->send(req->call, cel__buf_view(&req->frame), &reply, err);
    if (code == CEL_OK)
        code = read_reply(cel__buf_view(&reply), err);
    cel__buf_done(&reply);
    return code;
}

static cel_code
publish_later(cel_request *req, const cel_plan *plan, const cel_follow *follow, cel_error *err)
{
    size_t start = req->sections.len;
    cel_code code = cel__follow_plan(follow, plan, err);

    if (code == CEL_OK)
        code = cel__buf_check(&req->sections, err);
    if (code != CEL_OK)
        req->sections.len = start;
    return code;
}

void cel__request_add_children(cel_request *req, cel_view children)
{
    if (children.len <= 2)
        return;
    if (req->children.len > 0)
        cel__buf_add_str(&req->children, ", ");
    cel__buf_add(&req->children, children.ptr + 1, children.len - 2);
}

cel_code cel__request_send(cel_request *req,
                           const json_t *signature,
                           json_t *options,
                           cel_view partial_args,
                           bool now,
                           cel__buf *tuple,
                           cel_error *err)
{
    cel_follow follow = {
        .app = req->app,
        .out = now ? &req->frame : &req->sections,
        .build = &req->build,
        .scratch = &req->scratch,
        .now_us = cel__clock_wall_us(req->app->clock),
    };
    cel_canvas_context context =
        cel__follow_context(&follow, cel__headers_root(req->headers), req->headers->id);
    cel_plan *plan = NULL;
    cel_code code;

    context.options = options;
    context.partial_args = partial_args;
    code = cel__canvas_apply(&plan, signature, &context, err);
    if (code == CEL_OK)
        code =
            now ? publish_now(req, plan, &follow, err) : publish_later(req, plan, &follow, err);
    if (code == CEL_OK) {
        cel__request_add_children(req, cel__plan_children(plan));
        if (tuple)
            cel__buf_add_view(tuple, cel__plan_result(plan));
    }
    cel__plan_free(plan);
    return code;
}

/* Copies the id out of [["id", ... */
static void copy_id(char out[37], cel_view tuple)
{
    size_t len = 0;

    while (len < 36 && len + 3 < tuple.len && tuple.ptr[len + 3] != '"') {
        out[len] = tuple.ptr[len + 3];
        len++;
    }
    out[len] = '\0';
}

cel_code cel_request_apply(
    cel_request *req, const cel_signature *signature, bool now, char *id, cel_error *err)
{
    cel__buf tuple = {0};
    cel_code code;

    if (!signature)
        return cel_error_set(err, CEL_EINVAL, "the signature is NULL: its construction failed");
    code = cel__request_send(req, cel_signature_json(signature), NULL, (cel_view){NULL, 0}, now,
                             &tuple, err);
    if (code == CEL_OK && id)
        copy_id(id, cel__buf_view(&tuple));
    cel__buf_done(&tuple);
    return code;
}
