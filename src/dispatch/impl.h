/* impl.h - what the files of the dispatcher share. */
#ifndef CEL_DISPATCH_IMPL_H
#define CEL_DISPATCH_IMPL_H

#include <jansson.h>
#include <uthash.h>

#include "app/client.h"
#include "app/flow.h"
#include "app/submit.h"
#include "core/id.h"
#include "dispatch/dispatch.h"
#include "dispatch/memory.h"

#define CEL_REPORTS_MAX  10000 /* requesters that wait for results at once */
#define CEL_PROGRESS_MAX 1000  /* parts whose progress is reported */

typedef struct cel_dispatch_request cel_dispatch_request;
typedef struct cel_dispatch_report cel_dispatch_report;

struct cel_dispatcher {
    cel_client_op op;
    cel_dispatcher_options options;
    cel_app *app;
    const cel_log *log;
    cel_broker *broker;
    cel_backend *backend; /* NULL: results are disabled */
    bool together;        /* broker and result store share a transaction */
    cel_consumer *consumer;
    uv_timer_t timer;               /* for requests that wait for another try */
    cel_dispatch_request *requests; /* all that are being worked on */
    cel_dispatch_request *by_key;   /* those with a correlation id, the first of each: uthash */
    cel_dispatch_report *reports;
    size_t request_count, report_count;
    cel_dispatch_memory memory; /* of what was sent, where there is no result store */
    bool stopping, canceled, closing;
    bool unreachable; /* the broker has reported an outage */
    cel_error failure; /* why it stopped by itself */
};

/* The parts of a job, as the reply names them. */
typedef struct cel_dispatch_job {
    char *id;     /* owned: of the result; of a group its group id */
    char **parts; /* owned, as the texts: of a chord its header's, of a group its members' */
    size_t count;
    bool group; /* the result is that of the parts, together */
} cel_dispatch_job;

/* Reads a result tuple. CEL_EPROTO, CEL_ENOMEM. */
cel_code
cel__dispatch_job_load(cel_dispatch_job *job, cel_app *app, cel_view tuple, cel_error *err);
void cel__dispatch_job_done(cel_dispatch_job *job);

/* Appends "id": …, "parts": […], without braces. */
void cel__dispatch_job_dump(cel__buf *buf, const cel_dispatch_job *job);

/* request.c: begins with a delivery. */
void cel__dispatch_receive(void *dispatcher, cel_delivery *delivery);

/* request.c: tries again what is due; when the dispatcher stops, abandons what is to be tried again. */
void cel__dispatch_retry_due(cel_dispatcher *dispatcher);

/* report.c: sends progress and the result of a job (taken) to `reply_to`, on its own from now on. */
void cel__dispatch_report_start(cel_dispatcher *dispatcher,
                                cel_dispatch_job *job,
                                cel_view reply_to,
                                cel_view correlation_id);
void cel__dispatch_reports_stop(cel_dispatcher *dispatcher);

/* dispatch.c: whether cel__dispatch_retry_due() is to be called from time to time. */
void cel__dispatch_tick(cel_dispatcher *dispatcher, bool wanted);

/* dispatch.c: ends the stop once nothing is left. */
void cel__dispatch_check_stop(cel_dispatcher *dispatcher);

/* A reply's message: views of what is given. */
cel_message cel__dispatch_reply(cel_view reply_to, cel_view correlation_id, cel_view body);

#endif
