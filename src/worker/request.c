/* request.c - see request.h. */
#include "worker/request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <utlist.h>

#include "core/mem.h"

#define IDLE_MAX       4096   /* requests kept for reuse */
#define KEEP_BYTES_MAX 65536u /* a buffer larger than this is not kept */

cel_worker_request *cel__request_new(cel_worker *worker, cel_delivery *delivery)
{
    cel_worker_request *request = worker->idle;

    if (request) {
        worker->idle = request->list_next;
        worker->idle_count--;
    } else {
        request = cel__calloc(1, sizeof *request);
        if (!request)
            return NULL;
    }
    request->list_next = NULL;
    request->worker = worker;
    request->delivery = delivery;
    request->settlement.worker = worker;
    request->settlement.request = request;
    delivery->user = request;
    worker->held++;
    return request;
}

static void trim(cel__buf *buf)
{
    if (buf->cap > KEEP_BYTES_MAX)
        cel__buf_done(buf);
    else
        cel__buf_reset(buf);
}

static void destroy(cel_worker_request *request)
{
    cel__buf_done(&request->scratch);
    cel__buf_done(&request->frame);
    cel__buf_done(&request->settlement.frame);
    cel__free(request);
}

void cel__request_free(cel_worker_request *request)
{
    cel_worker *worker = request->worker;
    cel__buf scratch, frame, outcome;

    assert(!request->delivery && !request->timer);
    cel__request_move(request, NULL);
    worker->held--;
    if (worker->idle_count >= IDLE_MAX) {
        destroy(request);
        return;
    }
    trim(&request->scratch);
    trim(&request->frame);
    trim(&request->settlement.frame);
    scratch = request->scratch;
    frame = request->frame;
    outcome = request->settlement.frame;
    *request = (cel_worker_request){.scratch = scratch, .frame = frame};
    request->settlement.frame = outcome;
    request->list_next = worker->idle;
    worker->idle = request;
    worker->idle_count++;
}

void cel__request_drop_idle(cel_worker *worker)
{
    while (worker->idle) {
        cel_worker_request *request = worker->idle;

        worker->idle = request->list_next;
        destroy(request);
    }
    worker->idle_count = 0;
}

void cel__request_move(cel_worker_request *request, cel_worker_request **list)
{
    cel_worker *worker = request->worker;

    if (request->list) {
        if (request->list == &worker->waiting)
            worker->waiting_count--;
        DL_DELETE2(*request->list, request, list_prev, list_next);
    }
    request->list = list;
    if (!list)
        return;
    DL_APPEND2(*list, request, list_prev, list_next);
    if (list == &worker->waiting)
        worker->waiting_count++;
}

static int64_t limit_ms(double header_s, int64_t task_ms, int64_t setting_ms)
{
    if (header_s > 0)
        return header_s < 1e9 ? (int64_t)(header_s * 1000.0 + 0.5) : INT64_C(1000000000000);
    return task_ms > 0 ? task_ms : setting_ms;
}

void cel__request_limits(const cel_worker_request *request, int64_t *soft_ms, int64_t *hard_ms)
{
    const cel_worker_settings *settings = &request->worker->settings;
    const cel_task_options *task = &request->entry->options;

    *soft_ms = limit_ms(request->headers.soft_time_limit_s, task->soft_time_limit_ms,
                        settings->soft_limit_ms);
    *hard_ms =
        limit_ms(request->headers.time_limit_s, task->time_limit_ms, settings->hard_limit_ms);
}

cel_view cel__request_name(const cel_worker_request *request)
{
    return request->headers.shadow.len > 0 ? request->headers.shadow : request->headers.task;
}

const char *cel__request_process(cel_worker_request *request)
{
    if (request->pool.slot <= 0 || !request->worker->pool_ops->forks)
        return "MainProcess";
    snprintf(request->process, sizeof request->process, "ForkPoolWorker-%d",
             request->pool.slot);
    return request->process;
}

void cel__request_log(cel_worker_request *request, cel_log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    cel__worker_vlog(request->worker, level, cel__request_process(request), fmt, args);
    va_end(args);
}

void cel__request_release(cel_worker_request *request)
{
    cel_delivery *delivery = request->delivery;

    request->delivery = NULL;
    delivery->broker->ops->release(delivery, NULL, NULL);
    cel__request_free(request);
}
