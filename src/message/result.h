/* result.h - result documents ("meta") and exceptions on the wire. Pure; any thread.
 * Format: Celery's KV backends, celery/backends/base.py _get_result_meta(). */
#ifndef CEL_MESSAGE_RESULT_H
#define CEL_MESSAGE_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* X(constant, text, ready: the task will not run again, failed: the result is an exception) */
#define CEL_STATES(X)                                                                            \
    X(CEL_STATE_PENDING, "PENDING", false, false)                                                \
    X(CEL_STATE_RECEIVED, "RECEIVED", false, false)                                              \
    X(CEL_STATE_STARTED, "STARTED", false, false)                                                \
    X(CEL_STATE_RETRY, "RETRY", false, true)                                                     \
    X(CEL_STATE_REJECTED, "REJECTED", false, false)                                              \
    X(CEL_STATE_SUCCESS, "SUCCESS", true, false)                                                 \
    X(CEL_STATE_FAILURE, "FAILURE", true, true)                                                  \
    X(CEL_STATE_REVOKED, "REVOKED", true, true)

/* An exception. For built-in ones use the constants of cel__exception_*(). */
typedef struct cel_exception {
    cel_view type;      /* "ValueError" */
    cel_view module;    /* "builtins"; absent: null */
    cel_view args;      /* JSON array text of the arguments: ["boom", 42]; absent: [] */
} cel_exception;

/* Appends {"exc_type": ..., "exc_message": [...], "exc_module": ...}. */
void cel__exception_dump(cel__buf *buf, const cel_exception *exception);

/* Reads such an object (exc_message may be a list, a scalar or absent; args is normalised to an array
 * text); `text` may also be any other JSON, as hostile peers store: then type is "Exception" and args [text]. Views
 * point into text or scratch. */
void cel__exception_load(cel_exception *out, cel_view text, cel__buf *scratch);

/* Appends Python's repr: ValueError('boom', 42). */
void cel__exception_repr(cel__buf *buf, const cel_exception *exception);

/* Appends str(exception): boom; ('boom', 42) for several arguments. */
void cel__exception_str(cel__buf *buf, const cel_exception *exception);

/* A result document. Zero-initialised views are null/absent. JSON views are spliced as they are. */
typedef struct cel_result_meta {
    cel_view task_id;    /* required */
    cel_view status;     /* required: "SUCCESS", ... or a custom state */
    cel_view result;     /* JSON; absent: null */
    cel_view traceback;  /* plain text; absent: null */
    cel_view children;   /* JSON array of result tuples; absent: null */
    int64_t date_done_us; /* wall; CEL_TIME_NONE (message/task.h): null */
    cel_view group_id, parent_id; /* plain text; absent: the key is left out */
    /* result_extended; left out when `name` is absent */
    cel_view name, args, kwargs, worker, queue; /* args and kwargs are JSON, the others plain text */
    int64_t retries;
} cel_result_meta;

void cel__result_meta_dump(cel__buf *buf, const cel_result_meta *meta);

/* Reads a document; views point into text or scratch. CEL_EPROTO if it is no JSON object or has no string
 * `status`. Unknown keys are ignored. */
cel_code cel__result_meta_load(cel_result_meta *out, cel_view text, cel__buf *scratch, cel_error *err);

/* Whether the state (any text) is one of SUCCESS, FAILURE, REVOKED; whether get() raises for it. */
bool cel__state_ready(cel_view status);
bool cel__state_failed(cel_view status);

#endif
