/* control.h - remote control of a worker: its mailbox, and the commands that come through it.
 *
 * The commands are those of control/commands.h, the forms of their answers Celery's. A command's
 * function takes a call and returns its answer, or NULL after cel__control_raise(): then the answer
 * is {"error": "ValueError('...')"}. What is hostile is answered in the same way or dropped with a
 * line in the log. All on the loop's thread. */
#ifndef CEL_WORKER_CONTROL_H
#define CEL_WORKER_CONTROL_H

#include <jansson.h>

#include "control/commands.h"
#include "worker/request.h"
#include "worker/revoked.h"
#include "worker/statedb.h"

typedef struct cel_control {
    cel_worker *worker;
    cel_consumer *consumer; /* of the mailbox; NULL: there is none */
    cel__buf exchange, queue;
    cel_revoked *revoked; /* owned */
    json_t *stamps;       /* owned; revoked ones: an object of arrays */
    size_t stamp_count;
    cel_statedb *statedb; /* owned; NULL: nothing is kept */
    int64_t started_ms;   /* mono */
} cel_control;

/* Makes what worker->control is to be, and reads the state file (NULL: none). */
cel_code cel__control_new(cel_worker *worker, const char *statedb, cel_error *err);
void cel__control_free(cel_control *control); /* NULL is a no-op */

/* Opens the mailbox, unless worker_enable_remote_control is off; what fails is logged. */
void cel__control_start(cel_worker *worker);

/* Before the broker is closed, which ends the mailbox. */
void cel__control_stop(cel_worker *worker);

/* Whether the request is not to be run: its id, or one of its stamps, was revoked. */
bool cel__control_is_revoked(const cel_worker_request *request);

/* ---- commands ---- */

typedef struct cel_control_call {
    cel_worker *worker;
    const cel_control_command *command;
    const json_t *arguments; /* an object, or NULL */
    cel__buf error;          /* what was raised: "ValueError('text')" */
    bool silent;             /* there is no answer */
} cel_control_call;

typedef json_t *(*cel_control_fn)(cel_control_call *call);

/* The functions, by cel_control_id. */
extern const cel_control_fn cel__control_functions[];

/* Raises a Python exception with this text; returns NULL. */
json_t *cel__control_raise(cel_control_call *call, const char *type, const char *fmt, ...)
    CEL_PRINTF(3, 4);

/* The argument; NULL if it is not there or null. */
const json_t *cel__control_arg(const cel_control_call *call, const char *name);

/* {"ok": text} and {"error": text}. */
json_t *cel__control_ok(const char *fmt, ...) CEL_PRINTF(1, 2);
json_t *cel__control_nok(const char *fmt, ...) CEL_PRINTF(1, 2);

/* What Python takes for true. */
bool cel__control_truth(const json_t *value);

/* A string of the view, bytes that are no UTF-8 replaced; null if it is absent. */
json_t *cel__control_text(cel_view text);

/* A string value's view; absent for what is none. */
static inline cel_view cel__control_view(const json_t *value)
{
    return json_is_string(value)
               ? (cel_view){json_string_value(value), json_string_length(value)}
               : (cel_view){NULL, 0};
}

/* Calls `each` for the ids in a list, or the one string. */
void cel__control_ids(const json_t *ids, void (*each)(void *user, cel_view id), void *user);

/* The request that the worker holds under this id; NULL if there is none. */
cel_worker_request *cel__control_find_request(cel_worker *worker, cel_view id);

/* Lamport's clock: for what is said, and what was heard. */
int64_t cel__control_forward(cel_worker *worker);
void cel__control_adjust(cel_worker *worker, int64_t other);

/* control_inspect.c */
json_t *cel__control_active(cel_control_call *call);
json_t *cel__control_active_queues(cel_control_call *call);
json_t *cel__control_clock(cel_control_call *call);
json_t *cel__control_conf(cel_control_call *call);
json_t *cel__control_hello(cel_control_call *call);
json_t *cel__control_memsample(cel_control_call *call);
json_t *cel__control_query_task(cel_control_call *call);
json_t *cel__control_registered(cel_control_call *call);
json_t *cel__control_report(cel_control_call *call);
json_t *cel__control_reserved(cel_control_call *call);
json_t *cel__control_revoked(cel_control_call *call);
json_t *cel__control_scheduled(cel_control_call *call);
json_t *cel__control_stats(cel_control_call *call);

/* control_revoke.c */
json_t *cel__control_revoke(cel_control_call *call);
json_t *cel__control_revoke_by_stamped_headers(cel_control_call *call);
json_t *cel__control_terminate(cel_control_call *call);

#endif
