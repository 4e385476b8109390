/* trace.c - one task's run. Each thread that runs tasks has a tracer: the buffers of one run, used again for
 * the next, so that a short task costs no allocation but those of its values.
 *
 *     REQUEST -> message -> headers, body -> function -> outcome -> OUTCOME
 *
 * What follows from a success is computed before the frame is written, because it can still turn
 * the success into a failure (a callback that is no signature, a queue that does not exist). */
#include "app/trace.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/excname.h"
#include "app/follow.h"
#include "app/hooks.h"
#include "app/request.h"
#include "app/retry.h"
#include "app/sensitive.h"
#include "app/signals.h"
#include "core/json.h"
#include "core/mem.h"

#define REPR_MAX     1024
#define RSS_EVERY    32
#define RSS_AFTER_US 1000

/* Settings that every run asks for. */
struct trace_settings {
    bool ignore_result, store_errors, extended;
};

struct tracer {
    cel_app *app; /* borrowed; NULL: `settings` are not valid */
    uint64_t serial;
    struct trace_settings settings;
    cel_request request;
    cel__buf headers, body; /* resolved texts */
    cel__buf result, exception, traceback, repr, follow, children;
    unsigned runs;
};

static pthread_key_t tracer_key;
static pthread_once_t tracer_once = PTHREAD_ONCE_INIT;
static _Thread_local struct tracer *tracer_here;

/* ---- tracers ---- */

static void free_tracer(void *ptr)
{
    struct tracer *tracer = ptr;
    cel__buf *const buffers[] = {
        &tracer->headers,   &tracer->body, &tracer->result, &tracer->exception,
        &tracer->traceback, &tracer->repr, &tracer->follow, &tracer->children,
    };

    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        cel__buf_done(buffers[i]);
    cel__request_done(&tracer->request);
    cel__free(tracer);
}

static void make_key(void)
{
    pthread_key_create(&tracer_key, free_tracer);
}

static struct trace_settings read_settings(const cel_app *app)
{
    const cel_config *config = app->config;

    return (struct trace_settings){
        .ignore_result = cel__config_bool(config, "task_ignore_result"),
        .store_errors = cel__config_bool(config, "task_store_errors_even_if_ignored"),
        .extended = cel__config_bool(config, "result_extended"),
    };
}

/* Returns this thread's tracer, NULL if there is no memory for it. */
static struct tracer *get_tracer(cel_app *app)
{
    struct tracer *tracer = tracer_here;

    if (!tracer) {
        pthread_once(&tracer_once, make_key);
        tracer = cel__calloc(1, sizeof *tracer);
        if (!tracer)
            return NULL;
        if (pthread_setspecific(tracer_key, tracer) != 0) {
            cel__free(tracer);
            return NULL;
        }
        tracer_here = tracer;
    }
    if (tracer->serial != app->serial) {
        tracer->app = app;
        tracer->serial = app->serial;
        tracer->settings = read_settings(app);
    }
    return tracer;
}

/* ---- frames down ---- */

void cel__trace_request(cel__buf *buf,
                        uint64_t request_id,
                        const cel_message *message,
                        const char *hostname,
                        cel_view queue,
                        bool redelivered,
                        cel_error *err)
{
    size_t start = cel__frame_begin(buf, CEL_FRAME_REQUEST, request_id);
    size_t section = cel__section_begin(buf, CEL_TAG_PROPERTIES);

    cel__message_dump_properties(buf, message);
    cel__section_end(buf, section);
    cel__section_add(buf, CEL_TAG_HEADERS, message->headers);
    cel__section_add(buf, CEL_TAG_BODY, message->body);
    section = cel__section_begin(buf, CEL_TAG_DELIVERY_INFO);
    cel__buf_add_str(buf, "{\"hostname\": ");
    cel__buf_add_json(buf, cel__view(hostname ? hostname : ""));
    cel__buf_add_str(buf, ", \"queue\": ");
    cel__buf_add_json(buf, queue);
    cel__buf_add_str(buf,
                     redelivered ? ", \"redelivered\": true}" : ", \"redelivered\": false}");
    cel__section_end(buf, section);
    cel__frame_end(buf, start);
    cel__buf_check(buf, err);
}

/* Whether the properties say what nearly all do: JSON in UTF-8. A quote inside of a string would be escaped, so the
 * sequences can only be members. */
static bool is_plain_json(cel_view properties)
{
    static const char type[] = "\"content_type\": \"application/json\"";
    static const char encoding[] = "\"content_encoding\": \"utf-8\"";

    return properties.ptr && memmem(properties.ptr, properties.len, type, sizeof type - 1) &&
           memmem(properties.ptr, properties.len, encoding, sizeof encoding - 1);
}

/* Takes the frame apart into the message and the request's views. */
static cel_code
read_request(cel_request *req, cel_message *message, cel_view bytes, cel_error *err)
{
    cel_view rest, value;
    cel_section_tag tag;
    cel_frame frame;

    if (cel__frame_read(&frame, bytes) <= 0 || frame.type != CEL_FRAME_REQUEST)
        return cel_error_set(err, CEL_EPROTO, "not a request frame");
    *message = (cel_message){.priority = -1};
    req->message = message;
    req->properties = req->info = (cel_view){NULL, 0};
    rest = frame.sections;
    while (cel__section_next(&rest, &tag, &value)) {
        if (tag == CEL_TAG_PROPERTIES)
            req->properties = value;
        else if (tag == CEL_TAG_HEADERS)
            message->headers = value;
        else if (tag == CEL_TAG_BODY)
            message->body = value;
        else if (tag == CEL_TAG_DELIVERY_INFO)
            req->info = value;
    }
    if (is_plain_json(req->properties)) {
        message->content_type = CEL_VIEW("application/json");
        message->content_encoding = CEL_VIEW("utf-8");
    } else {
        cel__request_load_properties(req);
    }
    return CEL_OK;
}

/* ---- texts of failures ---- */

/* Python's last line of a traceback: the class, with its module unless built in, and str(). */
static void
add_traceback(cel__buf *buf, const cel_request *req, const cel_exception *exception)
{
    const cel_task_headers *headers = req->headers;
    size_t mark;

    cel__buf_addf(buf, "Traceback (most recent call last):\n  Task %.*s[%.*s] in C\n",
                  CEL_VIEW_ARG(headers->task), CEL_VIEW_ARG(headers->id));
    if (req->details.ptr)
        cel__buf_add_view(buf, req->details);
    if (exception->module.ptr && !cel__view_is(exception->module, "builtins"))
        cel__buf_addf(buf, "%.*s.", CEL_VIEW_ARG(exception->module));
    cel__buf_add_view(buf, exception->type);
    cel__buf_add_str(buf, ": ");
    mark = buf->len;
    cel__exception_str(buf, exception);
    if (buf->len == mark && !buf->failed)
        buf->len -= 2; /* no text, no colon */
    cel__buf_add_byte(buf, '\n');
}

/* Whether the result goes into the store; see the reference, 18.3. `entry` may be NULL. */
static bool is_stored(const struct trace_settings *settings,
                      const cel_task_entry *entry,
                      const cel_task_headers *headers,
                      bool error)
{
    bool ignored = settings->ignore_result;
    bool keep_errors = settings->store_errors;

    if (entry && entry->options.ignore_result)
        ignored = entry->options.ignore_result > 0;
    if (headers->ignore_result >= 0)
        ignored = headers->ignore_result > 0;
    if (entry && entry->options.store_errors_even_if_ignored)
        keep_errors = entry->options.store_errors_even_if_ignored > 0;
    return !ignored || (error && keep_errors);
}

/* ---- what follows from a success ---- */

static cel_follow follow_into(struct tracer *tracer, cel__buf *out)
{
    return (cel_follow){
        .app = tracer->app,
        .out = out,
        .build = &tracer->request.build,
        .scratch = &tracer->request.scratch,
        .now_us = cel__clock_wall_us(tracer->app->clock),
    };
}

/* Joins the children that the task sent itself and those of the plan ("[...]") into tracer->children. */
static void join_children(struct tracer *tracer, cel_view plan)
{
    cel__buf *out = &tracer->children;
    cel_request *req = &tracer->request;

    cel__buf_reset(out);
    cel__buf_add_byte(out, '[');
    cel__buf_add_view(out, cel__buf_view(&req->children));
    if (plan.len > 2 && req->children.len > 0)
        cel__buf_add_str(out, ", ");
    if (plan.len > 2)
        cel__buf_add(out, plan.ptr + 1, plan.len - 2);
    cel__buf_add_byte(out, ']');
}

static cel_code follow_success(struct tracer *tracer, cel_error *err)
{
    cel_request *req = &tracer->request;
    cel_view result = cel__buf_view(&tracer->result);
    cel_view root_id = cel__headers_root(req->headers);
    cel_follow follow = {0};
    cel_plan *plan = NULL;
    cel_code code = CEL_OK;

    cel__buf_reset(&tracer->follow);
    if (req->body->callbacks.ptr || req->body->chain.ptr) {
        cel_canvas_context context;

        follow = follow_into(tracer, &tracer->follow);
        context = cel__follow_context(&follow, root_id, req->headers->id);
        code = cel__canvas_follow(&plan, req->body, result, &context, err);
        if (code == CEL_OK)
            code = cel__follow_plan(&follow, plan, err);
    }
    if (code == CEL_OK)
        join_children(tracer, plan ? cel__plan_result(plan) : (cel_view){NULL, 0});
    cel__plan_free(plan);
    if (code == CEL_OK && req->body->chord.ptr && req->headers->group.ptr) {
        follow.out = &tracer->follow;
        cel__follow_part(&follow, &(cel_chord_part){.gid = req->headers->group,
                                                    .task_id = req->headers->id,
                                                    .index = req->headers->group_index,
                                                    .status = CEL_VIEW("SUCCESS"),
                                                    .result = result,
                                                    .body = req->body->chord,
                                                    .root_id = root_id});
    }
    return code == CEL_OK ? cel__buf_check(&tracer->follow, err) : code;
}

/* ---- frames up ---- */

/* The resident memory of this process; 0: not known. One descriptor per process, opened when first asked for. */
static int64_t read_rss_kib(void)
{
    char text[128];
    char *at;
    ssize_t len;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    strtoll(text, &at, 10);
    return strtoll(at, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void add_runtime(struct tracer *tracer, cel__buf *out, int64_t runtime_us)
{
    cel__section_add_int(out, CEL_TAG_RUNTIME_US, runtime_us);
    if (runtime_us > RSS_AFTER_US || tracer->runs % RSS_EVERY == 0)
        cel__section_add_int(out, CEL_TAG_RSS_KIB, read_rss_kib());
    tracer->runs++;
}

/* `entry` may be NULL. */
static void
add_arguments(cel__buf *out, const cel_task_entry *entry, const cel_task_body *body)
{
    size_t section = cel__section_begin(out, CEL_TAG_ARGS);

    cel__sensitive_json(out, entry, body->args);
    cel__section_end(out, section);
    section = cel__section_begin(out, CEL_TAG_KWARGS);
    cel__sensitive_json(out, entry, body->kwargs);
    cel__section_end(out, section);
}

static void add_extended(struct tracer *tracer, cel__buf *out)
{
    if (tracer->settings.extended && tracer->request.body)
        add_arguments(out, tracer->request.entry, tracer->request.body);
}

static void add_success(struct tracer *tracer, cel__buf *out)
{
    cel_request *req = &tracer->request;
    cel_view result = cel__buf_view(&tracer->result);

    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("SUCCESS"));
    cel__section_add(out, CEL_TAG_RESULT, result);
    cel__buf_reset(&tracer->repr);
    cel__json_repr(&tracer->repr, result, REPR_MAX, false);
    cel__section_add(out, CEL_TAG_REPR, cel__buf_view(&tracer->repr));
    cel__section_add(out, CEL_TAG_CHILDREN, cel__buf_view(&tracer->children));
    if (!is_stored(&tracer->settings, req->entry, req->headers, false))
        cel__section_add_int(out, CEL_TAG_STORE, 0);
    cel__buf_add_view(out, cel__buf_view(&req->sections));
    cel__buf_add_view(out, cel__buf_view(&tracer->follow));
}

static void add_children(struct tracer *tracer, cel__buf *out)
{
    if (tracer->request.children.len == 0)
        return;
    join_children(tracer, (cel_view){NULL, 0});
    cel__section_add(out, CEL_TAG_CHILDREN, cel__buf_view(&tracer->children));
}

static void add_failure(struct tracer *tracer, cel__buf *out)
{
    static const cel_task_body no_body = {0};
    cel_request *req = &tracer->request;
    const cel_exception *exception = &req->exception;
    bool stored = is_stored(&tracer->settings, req->entry, req->headers, true);
    cel_follow follow = follow_into(tracer, out);

    cel__buf_reset(&tracer->exception);
    cel__buf_reset(&tracer->traceback);
    cel__buf_reset(&tracer->repr);
    cel__exception_dump(&tracer->exception, exception);
    cel__exception_repr(&tracer->repr, exception);
    add_traceback(&tracer->traceback, req, exception);
    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("FAILURE"));
    cel__section_add(out, CEL_TAG_RESULT, cel__buf_view(&tracer->exception));
    cel__section_add(out, CEL_TAG_TRACEBACK, cel__buf_view(&tracer->traceback));
    cel__section_add(out, CEL_TAG_REPR, cel__buf_view(&tracer->repr));
    add_children(tracer, out);
    if (req->entry &&
        cel__exception_listed(req->entry->options.throws, exception->type, exception->module))
        cel__section_add_int(out, CEL_TAG_EXPECTED, 1);
    if (!stored)
        cel__section_add_int(out, CEL_TAG_STORE, 0);
    cel__buf_add_view(out, cel__buf_view(&req->sections));
    cel__follow_failure(&follow, req->headers, req->body ? req->body : &no_body,
                        CEL_VIEW("FAILURE"), cel__buf_view(&tracer->exception),
                        cel__buf_view(&tracer->traceback), stored);
}

static void add_retry(struct tracer *tracer, cel__buf *out)
{
    cel_request *req = &tracer->request;
    cel_follow follow = follow_into(tracer, &tracer->follow);
    cel_exception retry = {CEL_VIEW("Retry"), CEL_VIEW("celery.exceptions"), CEL_VIEW("[]")};
    cel_error err = {0};

    cel__buf_reset(&tracer->follow);
    if (cel__retry_message(&follow, req, &err) != CEL_OK) {
        cel_raise(req, "RuntimeError", "the retry cannot be sent: %s", err.message);
        add_failure(tracer, out);
        return;
    }
    cel__buf_reset(&tracer->exception);
    cel__buf_reset(&tracer->traceback);
    cel__buf_reset(&tracer->repr);
    cel__retry_text(&tracer->repr, req);
    cel__buf_add_byte(&tracer->exception, '[');
    cel__buf_add_json(&tracer->exception, cel__buf_view(&tracer->repr));
    cel__buf_add_byte(&tracer->exception, ']');
    retry.args = cel__buf_view(&tracer->exception);
    add_traceback(&tracer->traceback, req, &retry);
    cel__buf_reset(&tracer->exception);
    if (req->exception.type.ptr)
        cel__exception_dump(&tracer->exception, &req->exception);
    else
        cel__buf_add_str(&tracer->exception, "null");
    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("RETRY"));
    cel__section_add(out, CEL_TAG_RESULT, cel__buf_view(&tracer->exception));
    cel__section_add(out, CEL_TAG_TRACEBACK, cel__buf_view(&tracer->traceback));
    cel__section_add(out, CEL_TAG_REPR, cel__buf_view(&tracer->repr));
    add_children(tracer, out);
    if (!is_stored(&tracer->settings, req->entry, req->headers, false))
        cel__section_add_int(out, CEL_TAG_STORE, 0);
    cel__buf_add_view(out, cel__buf_view(&req->sections));
    cel__buf_add_view(out, cel__buf_view(&tracer->follow));
}

static void add_ignored(struct tracer *tracer, cel__buf *out)
{
    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("IGNORED"));
    cel__section_add_int(out, CEL_TAG_STORE, 0);
    cel__buf_add_view(out, cel__buf_view(&tracer->request.sections));
}

static void add_rejected(struct tracer *tracer, cel__buf *out)
{
    cel_request *req = &tracer->request;

    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("REJECTED"));
    cel__section_add_int(out, CEL_TAG_STORE, 0);
    cel__section_add_int(out, CEL_TAG_REQUEUE, req->requeue);
    cel__buf_reset(&tracer->repr);
    cel__exception_str(&tracer->repr, &req->exception);
    cel__section_add(out, CEL_TAG_REPR, cel__buf_view(&tracer->repr));
    cel__buf_add_view(out, cel__buf_view(&req->sections));
}

/* ---- running ---- */

static const cel_exception no_memory = {
    .type = {"MemoryError", 11}, .module = {"builtins", 8}, .args = {"[]", 2}};

/* Decodes what the frame holds. On failure the exception is raised on the request. */
static bool prepare(struct tracer *tracer,
                    cel_message *message,
                    cel_task_headers *headers,
                    cel_task_body *body)
{
    cel_request *req = &tracer->request;
    cel_error err = {0};
    cel_code code;

    cel__buf_reset(&tracer->headers);
    cel__buf_reset(&tracer->body);
    req->entry = cel__registry_find(tracer->app->registry, headers->task);
    if (!req->entry) {
        cel__buf args = {0};

        cel__buf_add_byte(&args, '[');
        cel__buf_add_json(&args, headers->task);
        cel__buf_add_byte(&args, ']');
        cel__request_raise(req, CEL_VIEW("NotRegistered"), CEL_VIEW("celery.exceptions"),
                           cel__buf_view(&args));
        cel__buf_done(&args);
    }
    code = cel__task_body_read(body, message, headers, &tracer->app->codings.tasks,
                               &tracer->body, &err);
    if (code == CEL_OK)
        req->body = body;
    else if (req->entry)
        cel_raise(req, code == CEL_ENOTSUP ? "ContentDisallowed" : "DecodeError", "%s",
                  err.message);
    return req->entry && req->body;
}

/* Keeps the value in tracer->result, and computes what follows from it. */
static void take_value(struct tracer *tracer, const json_t *value)
{
    cel_request *req = &tracer->request;
    cel_error err = {0};

    req->end = CEL_END_NONE;
    cel__buf_reset(&tracer->result);
    cel__json_dump(&tracer->result, value);
    if (tracer->result.failed)
        cel_raise(req, "MemoryError", "the result is too large");
    else if (follow_success(tracer, &err) != CEL_OK)
        cel_raise(req, "ValueError", "what follows the task cannot be sent: %s", err.message);
}

/* What a NULL without an exception means. */
static void take_null(cel_request *req)
{
    if (req->end != CEL_END_NONE)
        return;
    if (cel_canceled(req))
        cel_raise_args(req, "SoftTimeLimitExceeded", json_array());
    else
        cel_raise(req, "RuntimeError", "task %.*s returned NULL without raising an exception",
                  CEL_VIEW_ARG(req->headers->task));
}

/* Calls the function; afterwards the request tells how it ended, and tracer->result holds the value if it is
 * CEL_END_NONE. */
static void call_task(struct tracer *tracer)
{
    cel_request *req = &tracer->request;
    json_t *value = NULL;

    if (cel__hooks_before(req)) {
        value = req->entry->fn(req);
        if (value) {
            take_value(tracer, value);
        } else {
            take_null(req);
            cel__request_autoretry(req);
        }
    }
    cel__hooks_after(req, value);
    json_decref(value);
}

static void add_outcome(struct tracer *tracer, cel__buf *out)
{
    switch (tracer->request.end) {
    case CEL_END_NONE:
        add_success(tracer, out);
        break;
    case CEL_END_RAISED:
        add_failure(tracer, out);
        break;
    case CEL_END_RETRY:
        add_retry(tracer, out);
        break;
    case CEL_END_IGNORE:
        add_ignored(tracer, out);
        break;
    case CEL_END_REJECT:
        add_rejected(tracer, out);
        break;
    }
}

/* An outcome in spite of everything: for frames that are none, and when memory is out. */
static void write_bare_failure(cel__buf *out,
                               size_t start,
                               uint64_t request_id,
                               const cel_exception *exception)
{
    cel__buf text = {0};

    out->len = start;
    out->failed = false;
    start = cel__frame_begin(out, CEL_FRAME_OUTCOME, request_id);
    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("FAILURE"));
    cel__exception_dump(&text, exception);
    cel__section_add(out, CEL_TAG_RESULT, cel__buf_view(&text));
    cel__buf_reset(&text);
    cel__exception_repr(&text, exception);
    cel__section_add(out, CEL_TAG_REPR, cel__buf_view(&text));
    cel__frame_end(out, start);
    cel__buf_done(&text);
}

static void write_error(cel__buf *out, size_t start, uint64_t request_id, const cel_error *err)
{
    cel__buf args = {0};

    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, cel__view(err->message));
    cel__buf_add_byte(&args, ']');
    write_bare_failure(out, start, request_id,
                       &(cel_exception){CEL_VIEW("InvalidTaskError"),
                                        CEL_VIEW("celery.exceptions"), cel__buf_view(&args)});
    cel__buf_done(&args);
}

static void run_frame(struct tracer *tracer, cel_pool_call *call, cel_view frame, cel__buf *out)
{
    cel_request *req = &tracer->request;
    int64_t start_us = cel__clock_wall_us(tracer->app->clock);
    size_t start = out->len;
    cel_message message;
    cel_task_headers headers;
    cel_task_body body;
    cel_error err = {0};
    int64_t runtime_us;
    cel_code code = read_request(req, &message, frame, &err);

    cel__buf_reset(&tracer->headers);
    if (code == CEL_OK)
        code = cel__task_headers_read(&headers, &message, &tracer->app->codings.tasks,
                                      &tracer->headers, &err);
    if (code != CEL_OK) {
        write_error(out, start, call->request_id, &err);
        return;
    }
    req->app = tracer->app;
    req->call = call;
    req->headers = &headers;
    req->body = NULL;
    if (prepare(tracer, &message, &headers, &body))
        call_task(tracer);
    runtime_us = cel__clock_wall_us(tracer->app->clock) - start_us;
    cel__frame_begin(out, CEL_FRAME_OUTCOME, call->request_id);
    add_outcome(tracer, out);
    add_extended(tracer, out);
    add_runtime(tracer, out, runtime_us > 0 ? runtime_us : 0);
    cel__frame_end(out, start);
    if (out->failed) { /* too large or no memory: then it fails, and a chord, a chain and errbacks hear of that */
        out->len = start;
        out->failed = false;
        cel__trace_fail(out, tracer->app, call->request_id, &message, &headers, "FAILURE",
                        &no_memory);
    }
}

static void run(void *user, cel_pool_call *call, cel_view frame, cel__buf *out)
{
    struct tracer *tracer = get_tracer(user);
    size_t start = out->len;

    if (!tracer) {
        write_bare_failure(out, start, call->request_id, &no_memory);
        return;
    }
    cel__request_reset(&tracer->request);
    run_frame(tracer, call, frame, out);
    if (out->failed)
        write_bare_failure(out, start, call->request_id, &no_memory);
    cel__request_reset(&tracer->request);
}

static cel_code start(void *user, cel_error *err)
{
    if (!get_tracer(user))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a thread that runs tasks");
    cel__signal_send(user, &(cel_signal_event){.signal = CEL_SIGNAL_WORKER_PROCESS_INIT});
    return CEL_OK;
}

void cel__trace_host(cel_pool_host *host, cel_app *app)
{
    *host = (cel_pool_host){.start = start, .run = run, .user = app};
}

/* ---- tasks that did not run ---- */

void cel__trace_fail(cel__buf *buf,
                     cel_app *app,
                     uint64_t request_id,
                     const cel_message *message,
                     const cel_task_headers *headers,
                     const char *state,
                     const cel_exception *exception)
{
    struct trace_settings settings = read_settings(app);
    const cel_task_entry *entry = cel__registry_find(app->registry, headers->task);
    bool stored = is_stored(&settings, entry, headers, true);
    cel__buf text = {0}, repr = {0}, scratch = {0}, build = {0}, routing = {0};
    cel_follow follow = {app, buf, &build, &routing, cel__clock_wall_us(app->clock)};
    size_t start = cel__frame_begin(buf, CEL_FRAME_OUTCOME, request_id);
    cel_task_body body;

    cel__exception_dump(&text, exception);
    cel__exception_repr(&repr, exception);
    cel__section_add(buf, CEL_TAG_STATE, cel__view(state));
    cel__section_add(buf, CEL_TAG_RESULT, cel__buf_view(&text));
    cel__section_add(buf, CEL_TAG_REPR, cel__buf_view(&repr));
    if (!stored)
        cel__section_add_int(buf, CEL_TAG_STORE, 0);
    if (cel__task_body_read(&body, message, headers, &app->codings.tasks, &scratch, NULL) ==
        CEL_OK) {
        if (settings.extended)
            add_arguments(buf, entry, &body);
        cel__follow_failure(&follow, headers, &body, cel__view(state), cel__buf_view(&text),
                            (cel_view){NULL, 0}, stored);
    }
    cel__frame_end(buf, start);
    if (text.failed || repr.failed)
        buf->failed = true;
    cel__buf_done(&text);
    cel__buf_done(&repr);
    cel__buf_done(&scratch);
    cel__buf_done(&build);
    cel__buf_done(&routing);
}
