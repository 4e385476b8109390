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
#define CEL_STATES(X)                                                                          \
    X(CEL_STATE_PENDING, "PENDING", false, false)                                              \
    X(CEL_STATE_RECEIVED, "RECEIVED", false, false)                                            \
    X(CEL_STATE_STARTED, "STARTED", false, false)                                              \
    X(CEL_STATE_RETRY, "RETRY", false, true)                                                   \
    X(CEL_STATE_REJECTED, "REJECTED", false, false)                                            \
    X(CEL_STATE_SUCCESS, "SUCCESS", true, false)                                               \
    X(CEL_STATE_FAILURE, "FAILURE", true, true)                                                \
    X(CEL_STATE_REVOKED, "REVOKED", true, true)

/* The texts, so that nobody misspells one: CEL_STATE_SUCCESS is "SUCCESS". */
#define CEL_STATE_PENDING  "PENDING"
#define CEL_STATE_RECEIVED "RECEIVED"
#define CEL_STATE_STARTED  "STARTED"
#define CEL_STATE_RETRY    "RETRY"
#define CEL_STATE_REJECTED "REJECTED"
#define CEL_STATE_SUCCESS  "SUCCESS"
#define CEL_STATE_FAILURE  "FAILURE"
#define CEL_STATE_REVOKED  "REVOKED"

/* An exception, of a class that a Python peer can name. */
typedef struct cel_exception {
    cel_view type;   /* "ValueError"; qualified, with dots, if nested */
    cel_view module; /* "builtins"; absent: null */
    cel_view args;   /* JSON array text of the arguments: ["boom", 42]; absent: [] */
} cel_exception;

/* Appends {"exc_type": ..., "exc_message": [...], "exc_module": ...}. */
void cel__exception_dump(cel__buf *buf, const cel_exception *exception);

/* Reads such an object (exc_message may be a list, a scalar or absent; args is normalised to
 * an array text). `text` may also be any other JSON, or none at all, as hostile peers store:
 * then type is "Exception" of "builtins" and args [text]. Views point into text or scratch
 * (a growing scratch: see cel__result_meta_load()); what had no memory there is cut short,
 * which cel__buf_check() tells. */
void cel__exception_load(cel_exception *out, cel_view text, cel__buf *scratch);

/* Appends Python's repr: ValueError('boom', 42). */
void cel__exception_repr(cel__buf *buf, const cel_exception *exception);

/* Appends str(exception): boom; ('boom', 42) for several arguments; what classes of Python,
 * Celery and billiard say differently they say here too: KeyError, NotRegistered, OSError,
 * the time limits. */
void cel__exception_str(cel__buf *buf, const cel_exception *exception);

/* A result document. Zero-initialised views are null/absent. JSON views are spliced as they
 * are. */
typedef struct cel_result_meta {
    cel_view task_id;             /* required */
    cel_view status;              /* required: "SUCCESS", ... or a custom state */
    cel_view result;              /* JSON; absent: null */
    cel_view traceback;           /* plain text; absent: null */
    cel_view children;            /* JSON array of result tuples; absent: null */
    int64_t date_done_us;         /* wall; CEL_TIME_NONE (message/task.h): null */
    cel_view group_id, parent_id; /* plain text; absent: the key is left out */
    /* result_extended; left out when `name` is absent */
    cel_view name, args, kwargs, worker,
        queue; /* args and kwargs are JSON, the others plain text */
    int64_t retries;
    cel_view stamped_headers,
        stamps; /* JSON array and object; of the stamps each becomes a key. They
                                       * are written, not read. Absent: left out */
} cel_result_meta;

/* Appends the document as Celery does, keys in its order, `task_id` last. */
void cel__result_meta_dump(cel__buf *buf, const cel_result_meta *meta);

/* Reads a document. Views point into text, or into `scratch` where escapes had to be
 * resolved: it must outlive *out and not be appended to meanwhile. CEL_EPROTO if it is no
 * JSON object or has no string `status`; CEL_ENOMEM. Other keys of an unexpected type are as
 * if absent, unknown ones are ignored; a date that cannot be read is CEL_TIME_NONE. */
cel_code
cel__result_meta_load(cel_result_meta *out, cel_view text, cel__buf *scratch, cel_error *err);

/* Whether the state (any text) is one of SUCCESS, FAILURE, REVOKED; whether the result is an
 * exception: RETRY, FAILURE, REVOKED; whether get() raises it: FAILURE, REVOKED. */
bool cel__state_ready(cel_view status);
bool cel__state_exception(cel_view status);
bool cel__state_failed(cel_view status);

#endif
