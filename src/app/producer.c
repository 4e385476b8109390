/* producer.c - from calls to confirmed messages.
 *
 * Messages are built on the caller's thread, then handed to the loop in one operation (submit.h). The operation owns
 * the batch: it may outlive the caller's patience. */
#include <stdarg.h>
#include <time.h>

#include "app/client.h"
#include "app/eager.h"
#include "app/handle.h"
#include "app/submit.h"
#include "celeriac/send.h"
#include "core/json.h"
#include "core/mem.h"

#define SEND_TIMEOUT_MS 10000
#define EAGER_LOOK_MS   1000 /* for a result that is there */
#define CANVAS_SECOND   1000.0

/* ---- the operation ---- */

struct send_op {
    cel_client_op op;
    cel_submit submit;
};

static void free_send(cel_client_op *op)
{
    struct send_op *send = (struct send_op *)op;

    cel__batch_done(&send->submit.batch);
    cel__free(send);
}

static void on_submitted(cel_submit *submit)
{
    struct send_op *send =
        (struct send_op *)((char *)submit - offsetof(struct send_op, submit));

    cel__client_finish(&send->op, submit->code, &submit->err);
}

static cel_code submit(struct send_op *send, cel_error *err)
{
    cel_client_op *op = &send->op;

    return cel__submit_start(&send->submit, cel__client_broker(op),
                             op->needs_backend ? cel__client_backend(op) : NULL,
                             op->needs_backend && cel__client_one_domain(op), err);
}

static void on_prepared(void *user, cel_code code, const cel_error *err)
{
    struct send_op *send = user;
    cel_error why = {0};

    if (code == CEL_OK) {
        code = submit(send, &why);
        err = &why;
    }
    if (code != CEL_OK)
        cel__client_finish(&send->op, code, err);
}

static cel_code start_send(cel_client_op *op, cel_error *err)
{
    struct send_op *send = (struct send_op *)op;
    cel_backend *backend = op->needs_backend ? cel__client_backend(op) : NULL;

    if (backend && backend->ops->prepare)
        return backend->ops->prepare(backend, on_prepared, send, err);
    return submit(send, err);
}

static struct send_op *make_send(cel_client *client, cel_app *app)
{
    struct send_op *send = cel__calloc(1, sizeof *send);

    if (!send)
        return NULL;
    send->op.start = start_send;
    send->op.free = free_send;
    send->op.needs_broker = true;
    send->submit.done = on_submitted;
    cel__batch_init(&send->submit.batch, app);
    cel__client_op_init(client, &send->op);
    return send;
}

/* ---- sending a built batch ---- */

/* What the whole call works on. */
struct sender {
    cel_app *app;
    cel_client *client;
    struct send_op *send;
    cel_send_options options; /* loaded and checked */
};

static cel_code sender_init(struct sender *sender,
                            cel_app *app,
                            const cel_send_options *options,
                            cel_error *err)
{
    cel_code code;

    if (!app)
        return cel_error_set(err, CEL_EINVAL, "no app");
    sender->app = app;
    sender->send = NULL;
    cel__send_options_load(&sender->options, options);
    code = cel__send_options_check(&sender->options, err);
    if (code == CEL_OK)
        code = cel__client_get(&sender->client, app, err);
    if (code != CEL_OK)
        return code;
    sender->send = make_send(sender->client, app);
    if (!sender->send)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a send operation");
    return CEL_OK;
}

static void sender_done(struct sender *sender)
{
    if (sender->send)
        cel__client_op_unref(&sender->send->op);
}

/* Runs the operation. An outage that is certain to have had no effect was handled inside: see retry_send(). */
static cel_code run_send(struct sender *sender, int64_t timeout_ms, cel_error *err)
{
    cel_error local = {0};
    cel_code code;

    sender->send->op.needs_backend =
        sender->send->submit.batch.chord_count > 0 || cel__app_listens(sender->app);
    code = cel__client_run(&sender->send->op, timeout_ms, &local);
    if (code == CEL_ETIMEDOUT) {
        cel_error_set(&local, CEL_ETIMEDOUT, "the broker did not confirm within %lld ms",
                      (long long)timeout_ms);
        local.uncertain = true;
    }
    if (code != CEL_OK && err)
        *err = local;
    return code;
}

/* Takes the batch out of a failed operation that has had no effect, into a new one. Chunks that were handed over are
 * gone from the batch: then there is no second try. */
static bool renew_send(struct sender *sender, size_t count)
{
    struct send_op *old = sender->send;
    struct send_op *renewed;
    size_t left = 0;

    for (cel_batch_chunk *chunk = old->submit.batch.first; chunk; chunk = chunk->next)
        left += chunk->count;
    if (left != count)
        return false;
    renewed = make_send(sender->client, sender->app);
    if (!renewed)
        return false;
    renewed->submit.batch = old->submit.batch;
    old->submit.batch = (cel_batch){.app = sender->app};
    sender->send = renewed;
    cel__client_op_unref(&old->op);
    return true;
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&pause, NULL);
}

static int64_t policy_ms(const json_t *policy, const char *key, int64_t otherwise_ms)
{
    const json_t *value = json_object_get(policy, key);
    double seconds = json_number_value(value);

    if (!json_is_number(value) || !(seconds >= 0 && seconds < 1e6))
        return otherwise_ms;
    return (int64_t)(seconds * 1000);
}

/* task_publish_retry: tries again after an outage, with Celery's pauses (start, step, max), within the timeout. */
static cel_code send_batch(struct sender *sender, cel_error *err)
{
    const cel_config *config = sender->app->config;
    const json_t *policy = cel__config_json(config, "task_publish_retry_policy");
    size_t count = sender->send->submit.batch.count;
    int64_t timeout_ms = sender->options.timeout_ms ? sender->options.timeout_ms
                                                    : SEND_TIMEOUT_MS + (int64_t)count / 10;
    int64_t start_ms = cel__clock_mono_ms(sender->app->clock);
    int64_t pause = policy_ms(policy, "interval_start", 0);
    int64_t tries = cel__config_bool(config, "task_publish_retry")
                        ? policy_ms(policy, "max_retries", 3000) / 1000
                        : 0;
    cel_error local = {0};

    if (count == 0 && sender->send->submit.batch.chord_count == 0)
        return CEL_OK; /* an empty group */
    if (cel__eager_is_on(sender->app))
        return cel__eager_run(sender->app, &sender->send->submit.batch, err);
    for (int64_t left_ms = timeout_ms;;) {
        cel_code code = run_send(sender, left_ms, &local);

        if (code == CEL_OK)
            return code;
        left_ms = timeout_ms - (cel__clock_mono_ms(sender->app->clock) - start_ms) - pause;
        if (!local.retriable || local.uncertain || code == CEL_ETIMEDOUT || tries-- <= 0 ||
            (timeout_ms > 0 && left_ms <= 0) || !renew_send(sender, count)) {
            if (err)
                *err = local;
            return code;
        }
        pause_ms(pause);
        pause += policy_ms(policy, "interval_step", 200);
        if (pause > policy_ms(policy, "interval_max", 1000))
            pause = policy_ms(policy, "interval_max", 1000);
        if (timeout_ms < 0)
            left_ms = -1;
    }
}

/* ---- one call ---- */

static cel_code
check_call(const char *task, const json_t *args, const json_t *kwargs, cel_error *err)
{
    if (!task || !task[0])
        return cel_error_set(err, CEL_EINVAL, "the task's name is empty");
    if (args && !json_is_array(args))
        return cel_error_set(err, CEL_EINVAL, "args of %s is no JSON array", task);
    if (kwargs && !json_is_object(kwargs))
        return cel_error_set(err, CEL_EINVAL, "kwargs of %s is no JSON object", task);
    return CEL_OK;
}

static cel_batch_call make_call(const struct sender *sender,
                                const char *task,
                                const json_t *args,
                                const json_t *kwargs)
{
    return (cel_batch_call){
        .task = cel__view(task),
        .args = args,
        .kwargs = kwargs,
        .options = &sender->options,
        .origin = cel__view(sender->app->origin),
        .reply_to = cel__view(sender->app->reply_to),
    };
}

/* task_eager_propagates: a task that fails is a failure of the call. */
static bool propagates(const struct sender *sender)
{
    return cel__eager_is_on(sender->app) &&
           cel__config_bool(sender->app->config, "task_eager_propagates");
}

/* Sends and, on success, gives the handle, which was made before so that nothing can fail afterwards. Takes the handle. */
static cel_code
send_for(struct sender *sender, cel_result *handle, cel_result **out, cel_error *err)
{
    cel_code code = send_batch(sender, err);

    if (code == CEL_OK && handle && propagates(sender))
        code = cel_result_get(handle, NULL, EAGER_LOOK_MS, err);
    if (code == CEL_OK && out)
        *out = handle;
    else
        cel_result_free(handle);
    return code;
}

cel_code cel_send(cel_app *app,
                  cel_result **out,
                  const char *task,
                  json_t *args,
                  json_t *kwargs,
                  const cel_send_options *options,
                  cel_error *err)
{
    struct sender sender = {0};
    cel_result *handle = NULL;
    cel_view id = {NULL, 0};
    cel_code code = check_call(task, args, kwargs, err);

    if (code == CEL_OK)
        code = sender_init(&sender, app, options, err);
    if (code == CEL_OK) {
        cel_batch_call call = make_call(&sender, task, args, kwargs);

        code = cel__batch_add_call(&sender.send->submit.batch, &call, &id, err);
    }
    if (code == CEL_OK && (out || propagates(&sender)))
        code = cel__result_from_id(&handle, app, id, err);
    if (code == CEL_OK)
        code = send_for(&sender, handle, out, err);
    sender_done(&sender);
    json_decref(args);
    json_decref(kwargs);
    return code;
}

cel_code cel_delay(
    cel_app *app, cel_result **out, cel_error *err, const char *task, const char *fmt, ...)
{
    json_t *args = NULL;

    if (fmt && fmt[0]) {
        json_error_t why;
        va_list list;

        va_start(list, fmt);
        args = json_vpack_ex(&why, 0, fmt, list);
        va_end(list);
        if (!args)
            return cel_error_set(err, CEL_EINVAL, "arguments of %s: %s", task ? task : "?",
                                 why.text);
        if (!json_is_array(args)) {
            json_decref(args);
            return cel_error_set(err, CEL_EINVAL, "arguments of %s: the format is no [array]",
                                 task ? task : "?");
        }
    }
    return cel_send(app, out, task, args, NULL, NULL, err);
}

/* ---- signatures ---- */

/* A call of one task without options of its own needs no canvas. */
static bool is_plain(const json_t *signature)
{
    const json_t *type = json_object_get(signature, "subtask_type");
    const json_t *options = json_object_get(signature, "options");

    return (!type || json_is_null(type)) && json_object_size(options) == 0 &&
           json_string_length(json_object_get(signature, "task")) > 0;
}

static int set_seconds(json_t *options, const char *key, int64_t ms)
{
    if (!ms)
        return 0;
    return json_object_set_new(options, key, json_real((double)ms / CANVAS_SECOND));
}

static int set_text(json_t *options, const char *key, const char *text)
{
    return text ? json_object_set_new(options, key, json_string(text)) : 0;
}

/* Returns the options of the caller as canvas takes them; NULL when out of memory or no UTF-8. */
static json_t *canvas_options(const cel_send_options *o, int64_t now_us)
{
    json_t *options = json_object();
    int64_t countdown_ms = o->countdown_ms;
    int rc = 0;

    if (o->eta_ms) {
        countdown_ms = o->eta_ms - now_us / 1000;
        countdown_ms = countdown_ms ? countdown_ms : -1; /* 0 would mean none */
    }
    rc |= set_text(options, "task_id", o->task_id);
    rc |= set_text(options, "queue", o->queue);
    rc |= set_text(options, "exchange", o->exchange);
    rc |= set_text(options, "routing_key", o->routing_key);
    rc |= set_text(options, "compression", o->compression);
    rc |= set_text(options, "serializer", o->serializer);
    rc |= set_text(options, "shadow", o->shadow);
    rc |= set_text(options, "argsrepr", o->argsrepr);
    rc |= set_text(options, "kwargsrepr", o->kwargsrepr);
    if (o->priority)
        rc |= json_object_set_new(options, "priority", json_integer(o->priority));
    rc |= set_seconds(options, "countdown", countdown_ms);
    rc |= set_seconds(options, "expires", o->expires_ms);
    rc |= set_seconds(options, "time_limit", o->time_limit_ms);
    rc |= set_seconds(options, "soft_time_limit", o->soft_time_limit_ms);
    if (o->ignore_result)
        rc |= json_object_set_new(options, "ignore_result", json_boolean(o->ignore_result > 0));
    if (o->headers)
        rc |= json_object_set(options, "headers", o->headers);
    if (o->link)
        rc |= json_object_set_new(options, "link", json_deep_copy(cel_signature_json(o->link)));
    if (o->link_error)
        rc |= json_object_set_new(options, "link_error",
                                  json_deep_copy(cel_signature_json(o->link_error)));
    if (!options || rc) {
        json_decref(options);
        return NULL;
    }
    return options;
}

static cel_code
add_canvas(struct sender *sender, const json_t *json, cel_result **handle, cel_error *err)
{
    cel_batch *batch = &sender->send->submit.batch;
    cel_canvas_context context = {
        .now_us = batch->now_us,
        .options = canvas_options(&sender->options, batch->now_us),
        .origin = cel__view(sender->app->origin),
        .reply_to = cel__view(sender->app->reply_to),
    };
    cel_plan *plan = NULL;
    cel_code code;

    if (!context.options)
        return cel_error_set(err, CEL_EINVAL, "an option is no UTF-8");
    code = cel__canvas_apply(&plan, json, &context, err);
    if (code == CEL_OK)
        code = cel__batch_add_plan(batch, plan, err);
    if (code == CEL_OK && handle)
        code = cel__result_from_tuple(handle, sender->app, cel__plan_result(plan), err);
    cel__plan_free(plan);
    json_decref(context.options);
    return code;
}

static cel_code add_signature(struct sender *sender,
                              const cel_signature *signature,
                              cel_result **handle,
                              cel_error *err)
{
    const json_t *json = signature ? cel_signature_json(signature) : NULL;
    cel_batch_call call;
    cel_view id;
    cel_code code;

    if (!json)
        return cel_error_set(err, CEL_EINVAL, "the signature is NULL: its construction failed");
    if (!is_plain(json))
        return add_canvas(sender, json, handle, err);
    call = make_call(sender, json_string_value(json_object_get(json, "task")),
                     json_object_get(json, "args"), json_object_get(json, "kwargs"));
    code = cel__batch_add_call(&sender->send->submit.batch, &call, &id, err);
    if (code == CEL_OK && handle)
        code = cel__result_from_id(handle, sender->app, id, err);
    return code;
}

cel_code cel_apply(cel_app *app,
                   cel_result **out,
                   const cel_signature *signature,
                   const cel_send_options *options,
                   cel_error *err)
{
    struct sender sender = {0};
    cel_result *handle = NULL;
    cel_code code = sender_init(&sender, app, options, err);

    if (code == CEL_OK)
        code = add_signature(&sender, signature,
                             out || propagates(&sender) ? &handle : NULL, err);
    if (code == CEL_OK)
        code = send_for(&sender, handle, out, err);
    sender_done(&sender);
    return code;
}

cel_code cel_apply_many(cel_app *app,
                        cel_result **results,
                        const cel_signature *const *signatures,
                        size_t count,
                        const cel_send_options *options,
                        cel_error *err)
{
    struct sender sender = {0};
    size_t made = 0;
    cel_code code;

    if (count == 0)
        return CEL_OK;
    if (!signatures)
        return cel_error_set(err, CEL_EINVAL, "no signatures");
    if (options && options->size > offsetof(cel_send_options, task_id) && options->task_id &&
        count > 1)
        return cel_error_set(err, CEL_EINVAL, "one task_id for %zu tasks", count);
    code = sender_init(&sender, app, options, err);
    for (; code == CEL_OK && made < count; made++) {
        code = add_signature(&sender, signatures[made], results ? &results[made] : NULL, err);
        if (code != CEL_OK)
            break;
    }
    if (code == CEL_OK)
        code = send_batch(&sender, err);
    if (code != CEL_OK && results)
        while (made-- > 0) {
            cel_result_free(results[made]);
            results[made] = NULL;
        }
    sender_done(&sender);
    return code;
}

/* ---- purge ---- */

struct purge_op {
    cel_client_op op;
    char *queue; /* owned */
    int64_t count;
};

static void on_purged(void *user, int64_t count, const cel_error *err)
{
    struct purge_op *purge = user;

    purge->count = count;
    cel__client_finish(&purge->op, err ? err->code : CEL_OK, err);
}

static cel_code start_purge(cel_client_op *op, cel_error *err)
{
    struct purge_op *purge = (struct purge_op *)op;
    cel_broker *broker = cel__client_broker(op);

    return broker->ops->purge(broker, cel__view(purge->queue), on_purged, purge, err);
}

static void free_purge(cel_client_op *op)
{
    struct purge_op *purge = (struct purge_op *)op;

    cel__free(purge->queue);
    cel__free(purge);
}

cel_code cel_purge(cel_app *app, const char *queue, int64_t *count, cel_error *err)
{
    struct purge_op *purge;
    cel_client *client;
    cel_code code;

    if (!app || !queue || !queue[0])
        return cel_error_set(err, CEL_EINVAL, "no queue is named");
    code = cel__client_get(&client, app, err);
    if (code != CEL_OK)
        return code;
    purge = cel__calloc(1, sizeof *purge);
    if (purge)
        purge->queue = cel__strdup(queue);
    if (!purge || !purge->queue) {
        cel__free(purge);
        return cel_error_set(err, CEL_ENOMEM, "no memory to purge '%s'", queue);
    }
    purge->op.start = start_purge;
    purge->op.free = free_purge;
    purge->op.needs_broker = true;
    cel__client_op_init(client, &purge->op);
    code = cel__client_run(&purge->op, SEND_TIMEOUT_MS, err);
    if (code == CEL_OK && count)
        *count = purge->count;
    cel__client_op_unref(&purge->op);
    return code;
}
