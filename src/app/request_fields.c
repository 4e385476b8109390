/* request_fields.c - what a task may ask about its request. Texts are copied, with a NUL, when they are asked for. */
#include "app/request.h"
#include "core/jscan.h"

void cel__request_load_properties(cel_request *req)
{
    cel_message loaded = {.priority = -1};

    if (req->properties_loaded)
        return;
    req->properties_loaded = true;
    cel__buf_reset(&req->properties_text);
    if (!req->properties.ptr ||
        cel__message_load_properties(&loaded, req->properties, &req->properties_text, NULL) !=
            CEL_OK)
        return;
    loaded.headers = req->message->headers;
    loaded.body = req->message->body;
    *req->message = loaded;
}

void cel__request_load_info(cel_request *req)
{
    cel_jvalue info, key, value;
    cel_jscan scan;

    if (req->info_loaded)
        return;
    req->info_loaded = true;
    req->hostname = req->queue = (cel_view){NULL, 0};
    req->redelivered = false;
    cel__buf_reset(&req->hostname_buf);
    cel__buf_reset(&req->queue_buf);
    if (!req->info.ptr || cel__jscan_value(&info, req->info, NULL) != CEL_OK)
        return;
    cel__jscan_object(&scan, info);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (cel__jscan_is(key, "hostname"))
            req->hostname = cel__jscan_view(value, &req->hostname_buf);
        else if (cel__jscan_is(key, "queue"))
            req->queue = cel__jscan_view(value, &req->queue_buf);
        else if (cel__jscan_is(key, "redelivered"))
            req->redelivered = value.type == CEL_JSON_TRUE;
    }
}

cel_view cel__headers_root(const cel_task_headers *headers)
{
    return headers->root_id.ptr ? headers->root_id : headers->id;
}

cel_view cel__task_short_name(cel_view task)
{
    for (size_t i = task.len; i > 0; i--)
        if (task.ptr[i - 1] == '.')
            return (cel_view){task.ptr + i, task.len - i};
    return task;
}

/* Gives the NUL-terminated copy, made on the first call. */
static const char *
text_of(const cel_request *const_req, const char *const *const_slot, cel_view view)
{
    cel_request *req =
        (cel_request *)const_req; /* a cache, filled on the one thread that has the request */
    const char **slot = (const char **)const_slot;

    if (!*slot && view.ptr)
        *slot = cel__arena_copy(&req->texts, view).ptr;
    return *slot;
}

const char *cel_request_id(const cel_request *req)
{
    return text_of(req, &req->id, req->headers->id);
}

const char *cel_request_task(const cel_request *req)
{
    return text_of(req, &req->task, req->headers->task);
}

const char *cel_request_root_id(const cel_request *req)
{
    return text_of(req, &req->root_id, cel__headers_root(req->headers));
}

const char *cel_request_parent_id(const cel_request *req)
{
    return text_of(req, &req->parent_id, req->headers->parent_id);
}

const char *cel_request_group(const cel_request *req)
{
    return text_of(req, &req->group, req->headers->group);
}

const char *cel_request_hostname(const cel_request *req)
{
    cel__request_load_info((cel_request *)req);
    return text_of(req, &req->hostname_text, req->hostname);
}

const char *cel_request_queue(const cel_request *req)
{
    cel__request_load_info((cel_request *)req);
    return text_of(req, &req->queue_text, req->queue);
}

int64_t cel_request_retries(const cel_request *req)
{
    return req->headers->retries;
}

bool cel_request_redelivered(const cel_request *req)
{
    cel__request_load_info((cel_request *)req);
    return req->redelivered;
}

const char *cel_request_correlation_id(const cel_request *req)
{
    cel__request_load_properties((cel_request *)req);
    return text_of(req, &req->correlation_id, req->message->correlation_id);
}

const char *cel_request_reply_to(const cel_request *req)
{
    cel__request_load_properties((cel_request *)req);
    return text_of(req, &req->reply_to, req->message->reply_to);
}

const char *cel_request_origin(const cel_request *req)
{
    return text_of(req, &req->origin, req->headers->origin);
}

const char *cel_request_shadow(const cel_request *req)
{
    return text_of(req, &req->shadow, req->headers->shadow);
}

const char *cel_request_exchange(const cel_request *req)
{
    cel__request_load_properties((cel_request *)req);
    return text_of(req, &req->exchange, req->message->exchange);
}

const char *cel_request_routing_key(const cel_request *req)
{
    cel__request_load_properties((cel_request *)req);
    return text_of(req, &req->routing_key, req->message->routing_key);
}

int cel_request_priority(const cel_request *req)
{
    cel__request_load_properties((cel_request *)req);
    return req->message->priority;
}

int64_t cel_request_group_index(const cel_request *req)
{
    return req->headers->group_index;
}

static int64_t as_ms(int64_t wall_us)
{
    return wall_us == CEL_TIME_NONE ? -1 : wall_us / 1000;
}

int64_t cel_request_eta_ms(const cel_request *req)
{
    return as_ms(req->headers->eta_us);
}

int64_t cel_request_expires_ms(const cel_request *req)
{
    return as_ms(req->headers->expires_us);
}

int64_t cel_request_time_limit_ms(const cel_request *req)
{
    return req->call->hard_limit_ms;
}

int64_t cel_request_soft_time_limit_ms(const cel_request *req)
{
    return req->call->soft_limit_ms;
}

void *cel_request_user(const cel_request *req)
{
    return req->entry->options.user;
}

cel_app *cel_request_app(const cel_request *req)
{
    return req->app;
}
