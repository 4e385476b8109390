/* request.h - the inside of a cel_request: one execution of a task, and what it has asked for.
 *
 * A request is part of its thread's tracer (trace.c) and used again for the next task: its buffers keep their
 * memory. */
#ifndef CEL_APP_REQUEST_H
#define CEL_APP_REQUEST_H

#include "app/app.h"
#include "app/arena.h"
#include "celeriac/task.h"
#include "message/result.h"
#include "message/task.h"
#include "pool/pool.h"

typedef enum cel_request_end {
    CEL_END_NONE,   /* nothing but what the function returns */
    CEL_END_RAISED, /* `exception` */
    CEL_END_RETRY,  /* `exception` if there is a reason (type present) */
    CEL_END_IGNORE,
    CEL_END_REJECT, /* `requeue`, `exception`.args */
} cel_request_end;

struct cel_request {
    cel_app *app; /* borrowed, as all up to `info` */
    const cel_task_entry *entry;
    cel_pool_call *call;
    cel_message *message; /* see cel__request_load_properties() */
    const cel_task_headers *headers;
    const cel_task_body *body;
    cel_view properties, info; /* JSON texts, read when asked for */

    bool properties_loaded, info_loaded;
    cel_view hostname, queue; /* valid when info_loaded */
    bool redelivered;
    cel__buf properties_text, hostname_buf, queue_buf; /* resolved strings */

    cel__arena texts; /* NUL-terminated copies, texts of exceptions */
    const char *id, *task, *root_id, *parent_id, *group, *hostname_text, *queue_text,
        *correlation_id, *reply_to, *origin, *shadow, *exchange,
        *routing_key;                     /* made when asked for */
    json_t *args, *kwargs, *headers_json; /* owned; likewise */

    cel_request_end end;
    cel_exception exception; /* views into `texts` and literals */
    int64_t retry_ms;
    bool requeue;
    cel_view details; /* lines that the traceback of a failure has besides, in `texts`; absent: none */

    cel__buf sections; /* CHORD and MESSAGE sections of what is sent when the task ends */
    cel__buf children; /* result tuples of all that was sent, joined with ", " */
    cel__buf frame, build, scratch; /* working space */
};

/* Empties a request for the next task, keeping buffers. */
void cel__request_reset(cel_request *req);
void cel__request_done(cel_request *req);

/* Fills in the message's properties; before, it has only headers, body, content type and encoding. What cannot be read stays
 * absent. */
void cel__request_load_properties(cel_request *req);

/* Fills in hostname, queue and redelivered. */
void cel__request_load_info(cel_request *req);

/* Raises an exception whose arguments are the JSON array `args`, copied. */
void cel__request_raise(cel_request *req, cel_view type, cel_view module, cel_view args);

/* Turns an exception that the task is to be retried after into a retry, if it has one left. */
void cel__request_autoretry(cel_request *req);

/* Runs another task's function inside this request with these arguments, taken. Its failure is the request's. NotRegistered if there is no such
 * task. Returns what the function returns. */
json_t *cel__request_call(cel_request *req, const char *task, json_t *args, json_t *kwargs);

/* cel_request_apply() for the JSON form, with options for canvas (borrowed, may be NULL) and partial args (JSON array text, may be
 * absent). Appends the result tuple to `tuple` (may be NULL). */
cel_code cel__request_send(cel_request *req,
                           const json_t *signature,
                           json_t *options,
                           cel_view partial_args,
                           bool now,
                           cel__buf *tuple,
                           cel_error *err);

/* Lists children of the task: `children` is the text of an array of result tuples. */
void cel__request_add_children(cel_request *req, cel_view children);

/* The root of what follows from the request, and the name for messages and logs: the last part of the task's. */
cel_view cel__headers_root(const cel_task_headers *headers);
cel_view cel__task_short_name(cel_view task);

#endif
