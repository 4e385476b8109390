/* route.c - as celery/app/routes.py and celery/app/amqp.py do it: the first router that knows
 * the task wins, explicit options win over what it says. */
#include "app/route.h"

#include <string.h>

#include "app/glob.h"
#include "app/queues.h"
#include "app/settings.h"

#define NAME_MAX_BYTES 255

/* ---- task_routes ---- */

static const json_t *not_null(const json_t *value)
{
    return value && !json_is_null(value) ? value : NULL;
}

static bool is_pattern(const char *key)
{
    return strchr(key, '*') != NULL;
}

static bool matches(const char *key, cel_view task, bool patterns)
{
    if (is_pattern(key) != patterns)
        return false;
    return patterns ? cel__glob_match(key, task) : cel__view_is(task, key);
}

/* In one dictionary or list of pairs: exact names before patterns. */
static const json_t *look_up(const json_t *router, cel_view task, bool patterns)
{
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach((json_t *)router, key, member)
    {
        if (matches(key, task, patterns))
            return not_null(member);
    }
    json_array_foreach((json_t *)router, i, member)
    {
        key = json_string_value(json_array_get(member, 0));
        if (key && matches(key, task, patterns))
            return not_null(json_array_get(member, 1));
    }
    return NULL;
}

static bool holds_pairs(const json_t *router)
{
    const json_t *first = json_array_get(router, 0);

    return json_is_array(first) && json_is_string(json_array_get(first, 0));
}

/* Returns the route for the task, a string or an object, or NULL. */
static const json_t *find_route(const json_t *routes, cel_view task)
{
    const json_t *route;
    json_t *router;
    size_t i;

    if (json_is_object(routes) || holds_pairs(routes)) {
        route = look_up(routes, task, false);
        return route ? route : look_up(routes, task, true);
    }
    json_array_foreach((json_t *)routes, i, router)
    {
        route = look_up(router, task, false);
        if (!route)
            route = look_up(router, task, true);
        if (route)
            return route;
    }
    return NULL;
}

/* ---- options ---- */

/* What is looked through for an option, in this order; NULL entries are skipped. */
struct sources {
    const json_t *options, *route;
};

static const json_t *get(const struct sources *sources, const char *key)
{
    const json_t *value = not_null(json_object_get(sources->options, key));

    return value ? value : not_null(json_object_get(sources->route, key));
}

static cel_view as_view(const json_t *value)
{
    return json_is_string(value)
               ? (cel_view){json_string_value(value), json_string_length(value)}
               : (cel_view){NULL, 0};
}

/* A queue by name, or as the Queue object that a route may hold. */
static cel_view queue_name(const json_t *queue)
{
    return as_view(json_is_object(queue) ? json_object_get(queue, "name") : queue);
}

static cel_view choose_queue(const struct sources *sources,
                             const json_t *route,
                             const cel_task_entry *entry,
                             const cel_config *config)
{
    cel_view queue = queue_name(get(sources, "queue"));

    if (!queue.ptr && route && json_is_string(route))
        queue = as_view(route);
    if (!queue.ptr && json_object_get(route, "__class__"))
        queue = queue_name(route);
    if (!queue.ptr && entry && entry->options.queue)
        queue = cel__view(entry->options.queue);
    if (!queue.ptr)
        queue = as_view(cel__config_at(config, CEL_SET_task_default_queue));
    return queue;
}

/* 1, 2, "transient", "persistent"; 0 for anything else. */
static int delivery_mode(const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value))
        return json_integer_value(value) == 1 ? 1 : json_integer_value(value) == 2 ? 2 : 0;
    if (!text)
        return 0;
    if (strcmp(text, "transient") == 0 || strcmp(text, "1") == 0)
        return 1;
    return strcmp(text, "persistent") == 0 || strcmp(text, "2") == 0 ? 2 : 0;
}

static void set_properties(cel_task_message *message,
                           const cel_config *config,
                           const struct sources *sources,
                           const cel_task_options *own,
                           const cel_queue_spec *queue)
{
    const json_t *priority = get(sources, "priority");
    const json_t *mode = get(sources, "delivery_mode");
    const json_t *compression = get(sources, "compression");
    const json_t *serializer = get(sources, "serializer");

    if (!priority && own && own->priority > 0)
        message->priority = own->priority;
    else if (!priority)
        priority = not_null(cel__config_at(config, CEL_SET_task_default_priority));
    if (json_is_integer(priority)) {
        json_int_t value = json_integer_value(priority);
        message->priority = value < 0 ? 0 : value > 255 ? 255 : (int)value;
    }
    if (!mode)
        mode = not_null(
            json_object_get(json_object_get(queue->object, "exchange"), "delivery_mode"));
    if (!mode)
        mode = cel__config_at(config, CEL_SET_task_default_delivery_mode);
    message->delivery_mode = delivery_mode(mode);
    if (!compression && own && own->compression)
        message->compression = own->compression;
    else if (!compression)
        compression = cel__config_at(config, CEL_SET_task_compression);
    if (json_is_string(compression))
        message->compression = json_string_value(compression);
    if (own && own->serializer)
        message->serializer = own->serializer;
    if (json_is_string(serializer))
        message->serializer = json_string_value(serializer);
}

/* What no broker takes (AMQP's short strings have 255 bytes) is found before anything is sent. */
static cel_code check_name(const char *what, cel_view name, cel_error *err)
{
    if (name.len <= NAME_MAX_BYTES && !(name.len > 0 && memchr(name.ptr, '\0', name.len)))
        return CEL_OK;
    return cel_error_set(err, CEL_EINVAL, "%s '%.*s': longer than %d bytes, or with a NUL",
                         what, name.len < 40 ? (int)name.len : 40, name.ptr, NAME_MAX_BYTES);
}

static cel_code check_route(const cel_task_message *message, cel_error *err)
{
    cel_code code = check_name("exchange", message->exchange, err);

    if (code == CEL_OK)
        code = check_name("queue", message->routing_key, err);
    if (code == CEL_OK && message->exchange.len == 0 && message->routing_key.len == 0)
        code = cel_error_set(err, CEL_EINVAL, "task %.*s has no queue to go to",
                             CEL_VIEW_ARG(message->task));
    return code;
}

cel_code cel__route(cel_task_message *message,
                    const cel_config *config,
                    const cel_task_entry *entry,
                    const json_t *options,
                    cel__buf *scratch,
                    cel_error *err)
{
    const json_t *route =
        find_route(cel__config_at(config, CEL_SET_task_routes), message->task);
    bool plain = json_is_object(route) && !json_object_get(route, "__class__");
    const struct sources sources = {options, plain ? route : NULL};
    cel_view exchange = as_view(get(&sources, "exchange"));
    cel_view key = as_view(get(&sources, "routing_key"));
    bool named = get(&sources, "queue") || (route && !plain);
    cel_queue_spec queue;

    (void)scratch;
    if (entry && !named && !exchange.ptr && !key.ptr) { /* a queue that is asked for wins */
        exchange = cel__view(entry->options.exchange);
        key = cel__view(entry->options.routing_key);
    }
    cel_code code =
        cel__queue_find(&queue, config, choose_queue(&sources, route, entry, config), err);
    if (code)
        return code;
    bool direct = cel__view_is(queue.exchange_type, "direct");
    if (direct && (exchange.len == 0 || key.len == 0)) {
        exchange = CEL_VIEW("");
        key = queue.name;
    } else {
        if (!exchange.ptr)
            exchange = queue.exchange;
        if (key.len == 0)
            key = queue.routing_key;
    }
    message->exchange = exchange;
    message->routing_key = key;
    set_properties(message, config, &sources, entry ? &entry->options : NULL, &queue);
    return check_route(message, err);
}
