/* ask.c - the commands of control.h by their names: each builds the arguments and broadcasts. */
#include <string.h>

#include "app/app.h"
#include "celeriac/control.h"

/* An array of the words, NULL if one is no UTF-8. */
static json_t *array_of(const char *const *words)
{
    json_t *array = json_array();

    for (; words && *words; words++) {
        if (json_array_append_new(array, json_string(*words)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* Takes `arguments`, which are NULL if one of them is no UTF-8. */
static cel_code tell(cel_app *app,
                     const char *method,
                     json_t *arguments,
                     const cel_control_options *options,
                     json_t **replies,
                     cel_error *err)
{
    if (!arguments)
        return cel_error_set(err, CEL_EINVAL, "an argument of '%s' is missing, or no UTF-8",
                             method);
    return cel_control_broadcast(app, method, arguments, options, replies, err);
}

/* Those without arguments. */
#define CEL_X(name)                                                                            \
    cel_code cel_control_##name(cel_app *app, const cel_control_options *options,              \
                                json_t **replies, cel_error *err)                              \
    {                                                                                          \
        return cel_control_broadcast(app, #name, NULL, options, replies, err);                 \
    }
CEL_X(ping)
CEL_X(enable_events)
CEL_X(disable_events)
CEL_X(heartbeat)
CEL_X(pool_restart)
#undef CEL_X

cel_code cel_control_shutdown(cel_app *app, const cel_control_options *options, cel_error *err)
{
    return cel_control_broadcast(app, "shutdown", NULL, options, NULL, err);
}

cel_code cel_control_revoke(cel_app *app,
                            const char *const *task_ids,
                            const cel_control_options *options,
                            json_t **replies,
                            cel_error *err)
{
    return tell(app, "revoke",
                json_pack("{s:o, s:b, s:s}", "task_id", array_of(task_ids), "terminate", 0,
                          "signal", "SIGTERM"),
                options, replies, err);
}

cel_code cel_control_terminate(cel_app *app,
                               const char *const *task_ids,
                               const char *signal,
                               const cel_control_options *options,
                               json_t **replies,
                               cel_error *err)
{
    return tell(app, "revoke",
                json_pack("{s:o, s:b, s:s}", "task_id", array_of(task_ids), "terminate", 1,
                          "signal", signal ? signal : "SIGTERM"),
                options, replies, err);
}

cel_code cel_control_rate_limit(cel_app *app,
                                const char *task,
                                const char *rate_limit,
                                const cel_control_options *options,
                                json_t **replies,
                                cel_error *err)
{
    return tell(app, "rate_limit",
                json_pack("{s:s, s:s}", "task_name", task, "rate_limit", rate_limit), options,
                replies, err);
}

static json_t *limit_of(double seconds)
{
    return seconds > 0 ? json_real(seconds) : json_null();
}

cel_code cel_control_time_limit(cel_app *app,
                                const char *task,
                                double soft_s,
                                double hard_s,
                                const cel_control_options *options,
                                json_t **replies,
                                cel_error *err)
{
    return tell(app, "time_limit",
                json_pack("{s:s, s:o, s:o}", "task_name", task, "hard", limit_of(hard_s),
                          "soft", limit_of(soft_s)),
                options, replies, err);
}

cel_code cel_control_add_consumer(cel_app *app,
                                  const char *queue,
                                  json_t *queue_options,
                                  const cel_control_options *options,
                                  json_t **replies,
                                  cel_error *err)
{
    json_t *arguments = json_pack("{s:s, s:n, s:s, s:n}", "queue", queue, "exchange",
                                  "exchange_type", "direct", "routing_key");

    if (arguments && queue_options && json_object_update(arguments, queue_options) != 0) {
        json_decref(arguments);
        arguments = NULL;
    }
    json_decref(queue_options);
    return tell(app, "add_consumer", arguments, options, replies, err);
}

cel_code cel_control_cancel_consumer(cel_app *app,
                                     const char *queue,
                                     const cel_control_options *options,
                                     json_t **replies,
                                     cel_error *err)
{
    return tell(app, "cancel_consumer", json_pack("{s:s}", "queue", queue), options, replies,
                err);
}

cel_code cel_control_pool_grow(
    cel_app *app, int n, const cel_control_options *options, json_t **replies, cel_error *err)
{
    return tell(app, "pool_grow", json_pack("{s:i}", "n", n), options, replies, err);
}

cel_code cel_control_pool_shrink(
    cel_app *app, int n, const cel_control_options *options, json_t **replies, cel_error *err)
{
    return tell(app, "pool_shrink", json_pack("{s:i}", "n", n), options, replies, err);
}

cel_code cel_control_autoscale(cel_app *app,
                               int max,
                               int min,
                               const cel_control_options *options,
                               json_t **replies,
                               cel_error *err)
{
    return tell(app, "autoscale", json_pack("{s:i, s:i}", "max", max, "min", min), options,
                replies, err);
}

/* ---- asking ---- */

/* The replies by node; NULL if there is no memory. */
static json_t *by_node(const cel_app *app, const json_t *replies)
{
    json_t *nodes = json_object();
    const json_t *reply;
    size_t i;

    json_array_foreach(replies, i, reply)
    {
        const char *node = json_object_iter_key(json_object_iter((json_t *)reply));

        if (json_object_get(nodes, node))
            cel__warning(&app->log,
                         "Received multiple replies from node %s. Please make sure you give "
                         "each node a unique "
                         "nodename using the worker's -n option.",
                         node);
        if (json_object_update(nodes, (json_t *)reply) != 0) {
            json_decref(nodes);
            return NULL;
        }
    }
    return nodes;
}

cel_code cel_inspect(cel_app *app,
                     const char *method,
                     json_t *arguments,
                     const cel_control_options *options,
                     json_t **nodes,
                     cel_error *err)
{
    json_t *replies = NULL, *found;
    cel_code code;

    if (!nodes) {
        json_decref(arguments);
        return cel_error_set(err, CEL_EINVAL, "'%s': no place for the answer",
                             method ? method : "");
    }
    code = cel_control_broadcast(app, method, arguments, options, &replies, err);
    if (code != CEL_OK)
        return code;
    found = by_node(app, replies);
    json_decref(replies);
    if (!found)
        return cel_error_set(err, CEL_ENOMEM, "no memory for replies");
    *nodes = found;
    return CEL_OK;
}

#define CEL_X(name)                                                                            \
    cel_code cel_inspect_##name(cel_app *app, const cel_control_options *options,              \
                                json_t **nodes, cel_error *err)                                \
    {                                                                                          \
        return cel_inspect(app, #name, NULL, options, nodes, err);                             \
    }
CEL_X(ping)
CEL_X(stats)
CEL_X(active)
CEL_X(reserved)
CEL_X(scheduled)
CEL_X(revoked)
CEL_X(active_queues)
CEL_X(clock)
CEL_X(report)
#undef CEL_X

static cel_code ask(cel_app *app,
                    const char *method,
                    json_t *arguments,
                    const cel_control_options *options,
                    json_t **nodes,
                    cel_error *err)
{
    if (!arguments)
        return cel_error_set(err, CEL_EINVAL, "an argument of '%s' is no UTF-8", method);
    return cel_inspect(app, method, arguments, options, nodes, err);
}

cel_code cel_inspect_registered(cel_app *app,
                                const char *const *attributes,
                                const cel_control_options *options,
                                json_t **nodes,
                                cel_error *err)
{
    return ask(app, "registered", json_pack("{s:o}", "taskinfoitems", array_of(attributes)),
               options, nodes, err);
}

cel_code cel_inspect_query_task(cel_app *app,
                                const char *const *task_ids,
                                const cel_control_options *options,
                                json_t **nodes,
                                cel_error *err)
{
    return ask(app, "query_task", json_pack("{s:o}", "ids", array_of(task_ids)), options, nodes,
               err);
}

cel_code cel_inspect_conf(cel_app *app,
                          bool with_defaults,
                          const cel_control_options *options,
                          json_t **nodes,
                          cel_error *err)
{
    return ask(app, "conf", json_pack("{s:b}", "with_defaults", with_defaults), options, nodes,
               err);
}
