/* hooks.c - see hooks.h. */
#include "app/hooks.h"

#include "app/signals.h"

/* A hook may call cel_raise() and its like: it must not change how the task has ended. */
struct kept_end {
    cel_request_end end;
    cel_exception exception;
    int64_t retry_ms;
    bool requeue;
};

static void send_signal(cel_request *req, cel_signal signal, const cel_task_end *end)
{
    if (cel__signal_wanted(req->app, signal))
        cel__signal_send(req->app, &(cel_signal_event){.signal = signal,
                                                       .task = cel_request_task(req),
                                                       .task_id = cel_request_id(req),
                                                       .request = req,
                                                       .end = end});
}

/* Calls the task's own hook, then the app's callbacks. */
static void tell(cel_request *req, cel_task_hook hook, cel_signal name, const cel_task_end *end)
{
    struct kept_end kept = {req->end, req->exception, req->retry_ms, req->requeue};

    if (hook)
        hook(req, end);
    send_signal(req, name, end);
    req->end = kept.end;
    req->exception = kept.exception;
    req->retry_ms = kept.retry_ms;
    req->requeue = kept.requeue;
}

/* NUL-terminated texts of the exception, in the request's arena. */
static void describe_exception(cel_request *req, cel_task_end *end)
{
    cel__buf text = {0};

    if (!req->exception.type.ptr)
        return;
    cel__exception_str(&text, &req->exception);
    end->exc_type = cel__arena_copy(&req->texts, req->exception.type).ptr;
    end->exc_message =
        text.len > 0 ? cel__arena_copy(&req->texts, cel__buf_view(&text)).ptr : "";
    cel__buf_done(&text);
}

static cel_task_end describe(cel_request *req, const json_t *value)
{
    static const char *const states[] = {[CEL_END_NONE] = "SUCCESS",
                                         [CEL_END_RAISED] = "FAILURE",
                                         [CEL_END_RETRY] = "RETRY",
                                         [CEL_END_IGNORE] = "IGNORED",
                                         [CEL_END_REJECT] = "REJECTED"};
    cel_task_end end = {.state = states[req->end]};

    if (req->end == CEL_END_NONE)
        end.result = value;
    if (req->end == CEL_END_RETRY)
        end.retry_ms = req->retry_ms;
    if (req->end == CEL_END_RAISED || req->end == CEL_END_RETRY || req->end == CEL_END_REJECT)
        describe_exception(req, &end);
    return end;
}

bool cel__hooks_before(cel_request *req)
{
    cel_task_hook hook = req->entry->options.before_start;

    send_signal(req, CEL_SIGNAL_TASK_PRERUN, &(cel_task_end){.state = "STARTED"});
    if (hook)
        hook(req, &(cel_task_end){.state = "STARTED"});
    return req->end == CEL_END_NONE;
}

void cel__hooks_after(cel_request *req, const json_t *value)
{
    const cel_task_options *o = &req->entry->options;
    cel_task_end end;

    if (!o->on_success && !o->on_failure && !o->on_retry && !o->after_return &&
        !req->app->signals)
        return;
    end = describe(req, value);
    if (req->end == CEL_END_NONE)
        tell(req, o->on_success, CEL_SIGNAL_TASK_SUCCESS, &end);
    else if (req->end == CEL_END_RAISED)
        tell(req, o->on_failure, CEL_SIGNAL_TASK_FAILURE, &end);
    else if (req->end == CEL_END_RETRY)
        tell(req, o->on_retry, CEL_SIGNAL_TASK_RETRY, &end);
    tell(req, o->after_return, CEL_SIGNAL_TASK_POSTRUN, &end);
}
