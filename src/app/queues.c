/* queues.c - task_queues as a list of Queue objects or a dictionary of options by name. */
#include "app/queues.h"

#include <stdio.h>
#include <string.h>

#include "app/settings.h"

/* ---- checks ---- */

static bool is_object(const json_t *value, const char *class_name)
{
    const char *name = json_string_value(json_object_get(value, "__class__"));

    return name && strcmp(name, class_name) == 0;
}

/* A name that can be a queue's or an exchange's: AMQP holds 255 bytes. */
static bool is_name(const json_t *value)
{
    size_t len = json_string_length(value);

    return json_is_string(value) && len > 0 && len <= 255 &&
           strlen(json_string_value(value)) == len;
}

static cel_code check_queue(const json_t *queue, cel_error *err)
{
    if (is_name(queue))
        return CEL_OK;
    if (!is_object(queue, "Queue") && !is_object(queue, "Broadcast"))
        return cel_error_set(err, CEL_ECONFIG, "a Queue is expected in the list");
    if (!is_name(json_object_get(queue, "name")))
        return cel_error_set(err, CEL_ECONFIG, "a Queue without a name of 1 to 255 bytes");
    const json_t *exchange = json_object_get(queue, "exchange");
    bool known = !exchange || json_is_null(exchange) || json_is_string(exchange) ||
                 is_object(exchange, "Exchange");
    if (!known)
        return cel_error_set(err, CEL_ECONFIG, "Queue '%s': the exchange is none",
                             json_string_value(json_object_get(queue, "name")));
    return CEL_OK;
}

static cel_code check_queues(const json_t *value, cel_error *err)
{
    const char *name;
    json_t *queue;
    size_t i;

    if (json_is_object(value) && !json_object_get(value, "__class__")) {
        json_object_foreach((json_t *)value, name, queue)
        {
            if (*name == '\0' || strlen(name) > 255 || !json_is_object(queue))
                return cel_error_set(err, CEL_ECONFIG,
                                     "'%.60s': a dictionary of options is expected", name);
        }
        return CEL_OK;
    }
    if (!json_is_array(value))
        return cel_error_set(err, CEL_ECONFIG,
                             "a list of queues, or a dictionary, is expected");
    json_array_foreach((json_t *)value, i, queue)
    {
        cel_code code = check_queue(queue, err);
        if (code)
            return code;
    }
    return CEL_OK;
}

static bool is_route(const json_t *route)
{
    return json_is_string(route) || json_is_null(route) ||
           (json_is_object(route) &&
            (!json_object_get(route, "__class__") || is_object(route, "Queue")));
}

static bool is_pair(const json_t *value)
{
    return json_array_size(value) == 2 && json_is_string(json_array_get(value, 0)) &&
           is_route(json_array_get(value, 1)) && !json_is_array(json_array_get(value, 1));
}

/* A dictionary pattern -> route, a pair of these, or a list of pairs or dictionaries. */
static cel_code check_router(const json_t *router, int depth, cel_error *err)
{
    const char *pattern;
    json_t *member;
    size_t i;

    if (json_is_object(router)) {
        json_object_foreach((json_t *)router, pattern, member)
        {
            if (!is_route(member))
                return cel_error_set(
                    err, CEL_ECONFIG,
                    "'%.60s': the name of a queue or a dictionary of options is expected",
                    pattern);
        }
        return CEL_OK;
    }
    if (is_pair(router))
        return CEL_OK;
    if (!json_is_array(router) || depth == 0)
        return cel_error_set(err, CEL_ECONFIG,
                             "a dictionary, or a list of dictionaries or pairs, is expected: "
                             "celeriac cannot call Python's routers");
    json_array_foreach((json_t *)router, i, member)
    {
        cel_code code = check_router(member, depth - 1, err);
        if (code)
            return code;
    }
    return CEL_OK;
}

cel_code cel__queues_check(const char *setting, const json_t *value, cel_error *err)
{
    if (strcmp(setting, "task_queues") == 0)
        return check_queues(value, err);
    if (strcmp(setting, "task_routes") == 0)
        return check_router(value, 2, err);
    return CEL_OK;
}

/* ---- lookups ---- */

static cel_view as_view(const json_t *value)
{
    return json_is_string(value)
               ? (cel_view){json_string_value(value), json_string_length(value)}
               : (cel_view){NULL, 0};
}

/* The value of a setting, or of the default queue's name where it is None. */
static cel_view or_default_queue(const cel_config *config, int index)
{
    const json_t *value = cel__config_at(config, index);

    return json_is_string(value) ? as_view(value)
                                 : as_view(cel__config_at(config, CEL_SET_task_default_queue));
}

static int max_priority(const cel_config *config, const json_t *object)
{
    const json_t *value = json_object_get(object, "max_priority");

    if (!json_is_integer(value))
        value = json_object_get(json_object_get(object, "queue_arguments"), "x-max-priority");
    if (!json_is_integer(value))
        value = cel__config_at(config, CEL_SET_task_queue_max_priority);
    json_int_t priority = json_is_integer(value) ? json_integer_value(value) : -1;
    return priority < 0 || priority > 255 ? -1 : (int)priority;
}

/* A queue without anything of its own: on the default exchange. */
static cel_queue_spec plain_queue(const cel_config *config, cel_view name)
{
    return (cel_queue_spec){
        .name = name,
        .exchange = or_default_queue(config, CEL_SET_task_default_exchange),
        .exchange_type = as_view(cel__config_at(config, CEL_SET_task_default_exchange_type)),
        .routing_key = or_default_queue(config, CEL_SET_task_default_routing_key),
        .durable = true,
        .max_priority = max_priority(config, NULL),
    };
}

static void take_exchange(cel_queue_spec *out, const json_t *exchange)
{
    cel_view name =
        as_view(json_is_string(exchange) ? exchange : json_object_get(exchange, "name"));
    cel_view type = as_view(json_object_get(exchange, "type"));

    if (name.len == 0)
        return;
    out->exchange = name;
    out->exchange_type = type.len > 0 ? type : CEL_VIEW("direct");
}

/* `object` is a Queue, or the options of a dictionary. */
static cel_queue_spec describe(const cel_config *config, cel_view name, const json_t *object)
{
    cel_queue_spec queue = plain_queue(config, name);
    cel_view type = as_view(json_object_get(object, "exchange_type"));
    cel_view key = as_view(json_object_get(object, "routing_key"));

    if (key.len == 0)
        key = as_view(json_object_get(object, "binding_key"));
    take_exchange(&queue, json_object_get(object, "exchange"));
    if (type.len > 0)
        queue.exchange_type = type;
    if (key.len > 0)
        queue.routing_key = key;
    queue.object = object;
    queue.durable = !json_is_false(json_object_get(object, "durable"));
    queue.max_priority = max_priority(config, object);
    queue.broadcast = is_object(object, "Broadcast");
    if (queue.broadcast) {
        if (!json_object_get(object, "exchange"))
            queue.exchange = name;
        queue.exchange_type = CEL_VIEW("fanout");
    }
    return queue;
}

static cel_queue_spec describe_member(const cel_config *config, const json_t *member)
{
    if (json_is_string(member))
        return plain_queue(config, as_view(member));
    return describe(config, as_view(json_object_get(member, "name")), member);
}

static bool has_queues(const json_t *queues)
{
    return json_array_size(queues) > 0 || json_object_size(queues) > 0;
}

/* One of task_queues; an alias is a name, too. */
static bool find_configured(cel_queue_spec *out, const cel_config *config, cel_view name)
{
    const json_t *queues = cel__config_at(config, CEL_SET_task_queues);
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach((json_t *)queues, key, member)
    {
        if (cel__view_is(name, key)) {
            *out = describe(config, cel__view(key), member);
            return true;
        }
    }
    json_array_foreach((json_t *)queues, i, member)
    {
        cel_queue_spec queue = describe_member(config, member);
        cel_view alias = as_view(json_object_get(member, "alias"));
        if (cel__view_eq(queue.name, name) || (alias.len > 0 && cel__view_eq(alias, name))) {
            *out = queue;
            return true;
        }
    }
    return false;
}

cel_code
cel__queue_find(cel_queue_spec *out, const cel_config *config, cel_view name, cel_error *err)
{
    if (find_configured(out, config, name))
        return CEL_OK;
    cel_view normal = as_view(cel__config_at(config, CEL_SET_task_default_queue));
    if (!has_queues(cel__config_at(config, CEL_SET_task_queues)) &&
        cel__view_eq(name, normal)) {
        *out = plain_queue(config, normal);
        return CEL_OK;
    }
    if (!json_is_true(cel__config_at(config, CEL_SET_task_create_missing_queues)))
        return cel_error_set(err, CEL_ECONFIG,
                             "queue '%.*s' is not in task_queues, and "
                             "task_create_missing_queues is off",
                             CEL_VIEW_ARG(name));
    cel_view type =
        as_view(cel__config_at(config, CEL_SET_task_create_missing_queue_exchange_type));
    *out = plain_queue(config, name);
    out->exchange = out->routing_key = name;
    out->exchange_type = type.len > 0 ? type : CEL_VIEW("direct");
    return CEL_OK;
}

void cel__queues_each(const cel_config *config,
                      void (*each)(void *user, const cel_queue_spec *queue),
                      void *user)
{
    const json_t *queues = cel__config_at(config, CEL_SET_task_queues);
    const char *key;
    json_t *member;
    size_t i;

    if (!has_queues(queues)) {
        cel_queue_spec queue =
            plain_queue(config, as_view(cel__config_at(config, CEL_SET_task_default_queue)));
        each(user, &queue);
        return;
    }
    json_object_foreach((json_t *)queues, key, member)
    {
        cel_queue_spec queue = describe(config, cel__view(key), member);
        each(user, &queue);
    }
    json_array_foreach((json_t *)queues, i, member)
    {
        cel_queue_spec queue = describe_member(config, member);
        each(user, &queue);
    }
}
