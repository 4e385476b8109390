/* control.c - the mailbox: from a message to a command's function, and back with its answer. */
#include "worker/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "control/mailbox.h"
#include "core/json.h"
#include "core/mem.h"

#define MAILBOX_WINDOW 16

/* ---- what commands use ---- */

static json_t *pack(const char *key, const char *fmt, va_list args) CEL_PRINTF(2, 0);

static json_t *pack(const char *key, const char *fmt, va_list args)
{
    va_list again;
    json_t *answer = NULL;
    int len;

    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    char *text = len >= 0 ? cel__malloc((size_t)len + 1) : NULL;
    if (text) {
        vsnprintf(text, (size_t)len + 1, fmt, again);
        answer = json_object();
        json_object_set_new(answer, key, cel__control_text(cel__view(text)));
        cel__free(text);
    }
    va_end(again);
    return answer;
}

json_t *cel__control_ok(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    json_t *answer = pack("ok", fmt, args);
    va_end(args);
    return answer;
}

json_t *cel__control_nok(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    json_t *answer = pack("error", fmt, args);
    va_end(args);
    return answer;
}

json_t *cel__control_text(cel_view text)
{
    cel__buf buf = {0};
    json_t *value;

    if (!text.ptr)
        return json_null();
    value = json_stringn(text.ptr, text.len);
    if (value)
        return value;
    cel__buf_add_json(&buf, text); /* with the bad bytes replaced */
    if (cel__json_load(&value, cel__buf_view(&buf), NULL) != CEL_OK)
        value = NULL;
    cel__buf_done(&buf);
    return value ? value : json_string("?");
}

json_t *cel__control_raise(cel_control_call *call, const char *type, const char *fmt, ...)
{
    cel__buf json = {0};
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cel__buf_reset(&call->error);
    cel__buf_addf(&call->error, "%s(", type);
    cel__buf_add_json(&json, cel__view(text));
    cel__json_pyrepr(&call->error, cel__buf_view(&json), false);
    cel__buf_add_byte(&call->error, ')');
    cel__buf_done(&json);
    return NULL;
}

const json_t *cel__control_arg(const cel_control_call *call, const char *name)
{
    const json_t *value = json_object_get(call->arguments, name);

    return json_is_null(value) ? NULL : value;
}

bool cel__control_truth(const json_t *value)
{
    if (!value || json_is_null(value) || json_is_false(value))
        return false;
    if (json_is_number(value))
        return json_number_value(value) != 0;
    if (json_is_string(value))
        return json_string_length(value) > 0;
    return json_is_true(value) || json_array_size(value) + json_object_size(value) > 0;
}

void cel__control_ids(const json_t *ids, void (*each)(void *user, cel_view id), void *user)
{
    const json_t *value;
    size_t i;

    if (json_is_string(ids))
        each(user, cel__control_view(ids));
    json_array_foreach(ids, i, value) if (json_is_string(value))
        each(user, cel__control_view(value));
}

cel_worker_request *cel__control_find_request(cel_worker *worker, cel_view id)
{
    cel_worker_request *lists[] = {worker->active, worker->waiting, worker->timed};
    cel_worker_request *request;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        DL_FOREACH2(lists[i], request, list_next)
        {
            if (request->delivery && cel__view_eq(request->headers.id, id))
                return request;
        }
    return NULL;
}

int64_t cel__control_forward(cel_worker *worker)
{
    return cel__lamport_forward(&worker->lamport);
}

void cel__control_adjust(cel_worker *worker, int64_t other)
{
    (void)cel__lamport_adjust(&worker->lamport, other);
}

/* ---- calling ---- */

/* Python's TypeError for what is missing: "'a'", "'a' and 'b'", "'a', 'b', and 'c'". */
static void raise_missing(cel_control_call *call, const char *const *names, size_t count)
{
    cel__buf list = {0};

    for (size_t i = 0; i < count; i++)
        cel__buf_addf(&list, "%s'%s'",
                      i == 0          ? ""
                      : i + 1 < count ? ", "
                      : count == 2    ? " and "
                                      : ", and ",
                      names[i]);
    cel__control_raise(call, "TypeError", "%s() missing %zu required positional argument%s: %s",
                       call->command->name, count, count == 1 ? "" : "s",
                       cel__buf_cstr(&list) ? list.ptr : "");
    cel__buf_done(&list);
}

static bool knows(const cel_control_command *command, const char *name)
{
    for (const cel_control_arg *arg = command->args; arg->name; arg++)
        if (strcmp(arg->name, name) == 0)
            return true;
    return false;
}

/* As Python binds keywords to a function's parameters; false if that raised. */
static bool bind_arguments(cel_control_call *call)
{
    const cel_control_command *command = call->command;
    const char *missing[CEL_CONTROL_ARGS_MAX];
    size_t count = 0;
    const char *key;
    json_t *value;

    if (call->arguments && !json_is_object(call->arguments)) {
        cel__control_raise(call, "TypeError", "%s() argument after ** must be a mapping",
                           command->name);
        return false;
    }
    json_object_foreach((json_t *)call->arguments, key, value)
    {
        if (strcmp(key, "state") == 0)
            cel__control_raise(call, "TypeError",
                               "%s() got multiple values for argument 'state'", command->name);
        else if (command->flags & CEL_CONTROL_STRICT && !knows(command, key))
            cel__control_raise(call, "TypeError",
                               "%s() got an unexpected keyword argument '%.100s'",
                               command->name, key);
        if (call->error.len > 0)
            return false;
    }
    for (const cel_control_arg *arg = command->args; arg->name; arg++)
        if (arg->flags & CEL_CONTROL_REQUIRED && !json_object_get(call->arguments, arg->name))
            missing[count++] = arg->name;
    if (count > 0)
        raise_missing(call, missing, count);
    return count == 0;
}

/* Returns the answer; NULL if there is none. */
static json_t *run(cel_control_call *call, cel_view method)
{
    json_t *answer = NULL;

    call->command = cel__control_find(method);
    if (!call->command)
        cel__control_raise(call, "KeyError", "%.*s", (int)(method.len < 200 ? method.len : 200),
                           method.ptr);
    else if (bind_arguments(call))
        answer = cel__control_functions[cel__control_id(call->command)](call);
    if (call->silent || answer)
        return answer;
    if (call->error.len == 0)
        cel__control_raise(call, "MemoryError", "no memory for an answer");
    cel__worker_log(call->worker, CEL_LOG_ERROR, "pidbox command error: %.*s",
                    CEL_VIEW_ARG(cel__buf_view(&call->error)));
    answer = json_object();
    json_object_set_new(answer, "error", cel__control_text(cel__buf_view(&call->error)));
    return answer;
}

/* ---- answering ---- */

static void on_replied(void *user, cel_code code, const cel_error *err)
{
    cel_worker *worker = user;

    if (code != CEL_OK && code != CEL_ECANCELED)
        cel__worker_log(worker, CEL_LOG_DEBUG, "an answer to a control command is lost: %s",
                        err ? err->message : cel_code_text(code));
}

/* The server's own exchanges cannot be declared, and publishing to one that is not there costs the
 * channel of all that is published. */
static bool is_servers(cel_view exchange)
{
    return exchange.len >= 4 && memcmp(exchange.ptr, "amq.", 4) == 0;
}

static void reply(cel_worker *worker, const cel_mailbox_request *request, const json_t *answer)
{
    cel_mailbox_reply reply = {cel__view(worker->node), answer, request->ticket,
                               cel__control_forward(worker)};
    const cel__coding *coding = &worker->app->codings.tasks;
    json_t *instead = NULL;
    cel__buf buf = {0};
    cel_message message;
    cel_error err = {0};
    cel_code code;

    if (is_servers(request->reply_exchange)) {
        cel__worker_log(
            worker, CEL_LOG_WARNING,
            "a control command wants its answer in the server's exchange '%.*s': it "
            "gets none",
            CEL_VIEW_ARG(request->reply_exchange));
        return;
    }
    code = cel__mailbox_reply_encode(&message, &reply, request, coding, &buf, &err);
    if (code != CEL_OK) { /* larger than a reply may be */
        cel__buf_reset(&buf);
        instead = cel__control_nok("the answer cannot be sent: %s", err.message);
        reply.value = instead;
        code = cel__mailbox_reply_encode(&message, &reply, request, coding, &buf, &err);
    }
    if (code == CEL_OK)
        code =
            worker->broker->ops->publish(worker->broker, &message, 1, on_replied, worker, &err);
    if (code != CEL_OK)
        cel__worker_log(worker, CEL_LOG_ERROR, "a control command gets no answer: %s",
                        err.message);
    cel__buf_done(&buf);
    json_decref(instead);
}

static void dispatch(cel_worker *worker, const cel_mailbox_request *request)
{
    cel_control_call call = {.worker = worker, .arguments = request->arguments};
    json_t *answer;

    cel__worker_log(worker, CEL_LOG_DEBUG,
                    "pidbox received method %.*s [reply_to:%.*s ticket:%.*s]",
                    CEL_VIEW_ARG(request->method), CEL_VIEW_ARG(request->reply_key),
                    CEL_VIEW_ARG(request->ticket));
    answer = run(&call, request->method);
    if (request->reply_key.ptr && !call.silent && worker->broker)
        reply(worker, request, answer);
    json_decref(answer);
    cel__buf_done(&call.error);
}

static void on_mail(void *user, cel_delivery *delivery)
{
    cel_worker *worker = user;
    cel_mailbox_request request;
    json_t *root;
    bool is = false;
    cel_error err = {0};
    cel_code code = cel__mailbox_request_decode(&request, &root, &delivery->message,
                                                &worker->app->codings.tasks, &err);

    delivery->broker->ops->ack(delivery, NULL, NULL);
    if (code != CEL_OK) {
        cel__worker_log(worker, CEL_LOG_ERROR,
                        "a control command that cannot be read is dropped: %s", err.message);
        return;
    }
    cel__control_adjust(worker, request.clock);
    code = cel__mailbox_is_for(&is, &request, cel__view(worker->node), &err);
    if (code != CEL_OK)
        cel__worker_log(worker, CEL_LOG_ERROR, "Control command error: %s", err.message);
    else if (is)
        dispatch(worker, &request);
    json_decref(root);
}

/* ---- the mailbox ---- */

static void on_mailbox_state(void *user, cel_code code, const cel_error *err)
{
    cel_worker *worker = user;

    if (code == CEL_OK || code == CEL_ECONN) /* told of the connection as such */
        return;
    if (code == CEL_EBUSY)
        cel__worker_log(worker, CEL_LOG_WARNING,
                        "A node named %s is already using this process mailbox! Give each node "
                        "a name of its own. Trying again",
                        worker->node);
    else
        cel__worker_log(worker, CEL_LOG_ERROR, "the mailbox of remote control: %s",
                        err ? err->message : cel_code_text(code));
}

static void on_statedb_failed(void *user, const cel_error *err)
{
    cel__worker_log(user, CEL_LOG_ERROR, "%s", err->message);
}

void cel__control_start(cel_worker *worker)
{
    cel_control *control = worker->control;
    const cel_config *config = worker->app->config;
    cel_view queue = cel__buf_view(&control->queue);
    cel_error err = {0};

    if (!cel__config_bool(config, "worker_enable_remote_control") || control->consumer)
        return;
    if (worker->broker->ops->consume(
            &control->consumer, worker->broker,
            &(cel_consumer_options){.queues = &queue,
                                    .queue_count = 1,
                                    .window = MAILBOX_WINDOW,
                                    .reply = true,
                                    .listening = cel__mailbox_listen_node(
                                        config, cel__buf_view(&control->exchange)),
                                    .on_delivery = on_mail,
                                    .on_state = on_mailbox_state,
                                    .user = worker},
            &err) != CEL_OK) {
        control->consumer = NULL;
        cel__worker_log(worker, CEL_LOG_ERROR, "no remote control: %s", err.message);
    }
}

void cel__control_stop(cel_worker *worker)
{
    worker->control->consumer = NULL;
    cel__statedb_stop(worker->control->statedb);
}

cel_code cel__control_new(cel_worker *worker, const char *statedb, cel_error *err)
{
    cel_control *control = cel__calloc(1, sizeof *control);
    const char *name_space = cel__config_string(worker->app->config, "control_exchange");
    cel_code code;

    if (!control)
        return cel_error_set(err, CEL_ENOMEM, "no memory for remote control");
    worker->control = control;
    control->worker = worker;
    control->started_ms = cel__clock_mono_ms(worker->app->clock);
    control->stamps = json_object();
    cel__mailbox_exchange(&control->exchange, name_space ? name_space : "celery");
    cel__mailbox_node_queue(&control->queue, name_space ? name_space : "celery", worker->node);
    code = cel__revoked_new(&control->revoked, CEL_REVOKED_MAX, CEL_REVOKED_EXPIRES_MS, err);
    if (code == CEL_OK && (control->exchange.failed || control->queue.failed))
        code = cel_error_set(err, CEL_ENOMEM, "no memory for remote control");
    if (code == CEL_OK && statedb)
        code = cel__statedb_open(&control->statedb, statedb, control->revoked,
                                 cel__clock_wall_ms(worker->app->clock), err);
    if (code == CEL_OK && control->statedb)
        cel__statedb_start(control->statedb, &worker->loop, on_statedb_failed, worker);
    return code;
}

void cel__control_free(cel_control *control)
{
    cel_error err = {0};

    if (!control)
        return;
    if (cel__statedb_save(control->statedb, &err) != CEL_OK)
        cel__worker_log(control->worker, CEL_LOG_ERROR, "%s", err.message);
    cel__statedb_free(control->statedb);
    cel__revoked_free(control->revoked);
    json_decref(control->stamps);
    cel__buf_done(&control->exchange);
    cel__buf_done(&control->queue);
    cel__free(control);
}
