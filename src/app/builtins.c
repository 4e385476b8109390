/* builtins.c - see the reference, 11. Tasks that send others do it when they end, together with their result. */
#include "app/builtins.h"

#include "app/request.h"
#include "core/json.h"

/* accumulate(*args, index=None) */
static json_t *accumulate(cel_request *req)
{
    const json_t *args = cel_request_args(req);
    const json_t *kwargs = cel_request_kwargs(req);
    const json_t *index = json_object_get(kwargs, "index");
    json_int_t at;

    if (!args || !kwargs)
        return NULL;
    if (!index || json_is_null(index))
        return json_deep_copy(args);
    at = json_integer_value(index);
    if (at < 0)
        at += (json_int_t)json_array_size(args);
    if (!json_is_integer(index) || at < 0 || (size_t)at >= json_array_size(args))
        return cel_raise(req, "IndexError", "tuple index out of range");
    return json_incref(json_array_get(args, (size_t)at));
}

/* The name of the task that a signature (or a plain name) calls; NULL after raising. */
static const char *called_task(cel_request *req, const json_t *signature)
{
    const json_t *name =
        json_is_string(signature) ? signature : json_object_get(signature, "task");

    if (!json_is_string(name) || json_string_length(name) == 0) {
        cel_raise(req, "TypeError", "task is no signature");
        return NULL;
    }
    return json_string_value(name);
}

/* Appends task(*args) to the list; takes args. */
static bool append_call(cel_request *req, json_t *values, const char *task, json_t *args)
{
    json_t *value = cel__request_call(req, task, args, json_object());

    if (!value) {
        if (req->end == CEL_END_NONE)
            cel_raise(req, "RuntimeError", "task %s returned NULL without an exception", task);
        return false;
    }
    if (json_array_append_new(values, value) == 0)
        return true;
    cel_raise_args(req, "MemoryError", NULL);
    return false;
}

static json_t *map_over(cel_request *req, bool star)
{
    json_t *signature, *it, *values, *element;
    const char *task;
    size_t i;

    if (cel_unpack(req, "task:O it:L", &signature, &it) != CEL_OK)
        return NULL;
    task = called_task(req, signature);
    if (!task)
        return NULL;
    values = json_array();
    json_array_foreach(it, i, element)
    {
        json_t *args = NULL;

        if (star && !json_is_array(element))
            cel_raise(req, "TypeError", "%s() argument after * must be an iterable", task);
        else
            args = star ? json_incref(element) : json_pack("[O]", element);
        if (!args || !append_call(req, values, task, args)) {
            json_decref(values);
            return NULL;
        }
    }
    return values;
}

static json_t *map(cel_request *req)
{
    return map_over(req, false);
}

static json_t *starmap(cel_request *req)
{
    return map_over(req, true);
}

/* Sends the signature (taken) with the task's end and returns its result tuple. */
static json_t *send_canvas(cel_request *req, json_t *signature, json_t *partial_args)
{
    cel__buf tuple = {0}, partial = {0};
    json_t *value = NULL;
    cel_error err = {0};
    cel_code code;

    if (!signature)
        return cel_raise_args(req, "MemoryError", NULL);
    if (partial_args && !json_is_null(partial_args))
        cel__json_dump(&partial, partial_args);
    code = cel__request_send(req, signature, NULL,
                             partial.len > 0 ? cel__buf_view(&partial) : (cel_view){NULL, 0},
                             false, &tuple, &err);
    if (code == CEL_OK)
        code = cel__json_load(&value, cel__buf_view(&tuple), &err);
    if (code != CEL_OK)
        cel_raise(req, "ValueError", "%s", err.message);
    json_decref(signature);
    cel__buf_done(&tuple);
    cel__buf_done(&partial);
    return value;
}

/* One celeriac-built starmap over elements [from, to). */
static json_t *chunk_signature(json_t *task, json_t *it, size_t from, size_t to)
{
    json_t *slice = json_array();

    for (size_t i = from; i < to && i < json_array_size(it); i++)
        json_array_append(slice, json_array_get(it, i));
    return json_pack("{s:s, s:[], s:{s:O, s:o}, s:{}, s:n, s:b}", "task", "celery.starmap",
                     "args", "kwargs", "task", task, "it", slice, "options", "subtask_type",
                     "immutable", 1);
}

static json_t *group_signature(json_t *tasks)
{
    return json_pack("{s:s, s:[], s:{s:o}, s:{}, s:s, s:b}", "task", "celery.group", "args",
                     "kwargs", "tasks", tasks, "options", "subtask_type", "group", "immutable",
                     0);
}

static json_t *chunks(cel_request *req)
{
    json_t *task, *it, *tasks;
    json_int_t n;

    if (cel_unpack(req, "task:O it:L n:I", &task, &it, &n) != CEL_OK)
        return NULL;
    if (n <= 0)
        return cel_raise(req, "ValueError", "n must be positive");
    tasks = json_array();
    for (size_t from = 0; from < json_array_size(it); from += (size_t)n)
        json_array_append_new(tasks, chunk_signature(task, it, from, from + (size_t)n));
    return send_canvas(req, group_signature(tasks), NULL);
}

/* group(tasks, result, group_id, partial_args, add_to_parent=True): the members are frozen already. */
static json_t *group(cel_request *req)
{
    json_t *tasks, *result, *partial_args, *add_to_parent = NULL, *member, *options;
    const char *group_id;
    cel__buf partial = {0};
    cel_error err = {0};
    cel_code code = CEL_OK;
    size_t i;

    if (cel_unpack(req, "tasks:L result:O group_id:s partial_args:L | add_to_parent:O", &tasks,
                   &result, &group_id, &partial_args, &add_to_parent) != CEL_OK)
        return NULL;
    options = json_pack("{s:s}", "group_id", group_id);
    cel__json_dump(&partial, partial_args);
    json_array_foreach(tasks, i, member)
    {
        if (code == CEL_OK)
            code = cel__request_send(req, member, options, cel__buf_view(&partial), false, NULL,
                                     &err);
    }
    json_decref(options);
    cel__buf_done(&partial);
    if (code != CEL_OK)
        return cel_raise(req, "ValueError", "%s", err.message);
    return json_incref(result);
}

static json_t *chain(cel_request *req)
{
    return cel_raise(req, "NotImplementedError", "chain is not a real task");
}

/* chord(header, body, partial_args=(), interval=None, countdown=1, max_retries=None, eager=False); what is about polling has no
 * meaning here. */
static json_t *chord(cel_request *req)
{
    json_t *header, *body, *partial_args = NULL, *unused = NULL;

    if (cel_unpack(
            req,
            "header:O body:D | partial_args:O interval:O countdown:O max_retries:O eager:O",
            &header, &body, &partial_args, &unused, &unused, &unused, &unused) != CEL_OK)
        return NULL;
    return send_canvas(req,
                       json_pack("{s:s, s:[], s:{s:{}, s:O, s:O}, s:{}, s:s, s:b}", "task",
                                 "celery.chord", "args", "kwargs", "kwargs", "header", header,
                                 "body", body, "options", "subtask_type", "chord", "immutable",
                                 0),
                       partial_args);
}

/* The result stores of this house expire records themselves: workers sweep. */
static json_t *backend_cleanup(cel_request *req)
{
    (void)req;
    return json_null();
}

cel_code cel__builtins_register(cel_app *app, cel_error *err)
{
    static const struct {
        const char *name;
        cel_task_fn fn;
    } tasks[] = {
        {"celery.accumulate", accumulate},
        {"celery.backend_cleanup", backend_cleanup},
        {"celery.chain", chain},
        {"celery.chord", chord},
        {"celery.chunks", chunks},
        {"celery.group", group},
        {"celery.map", map},
        {"celery.starmap", starmap},
    };

    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        cel_code code = cel__registry_add(app->registry, tasks[i].name, tasks[i].fn, NULL, err);

        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}
