/* result.h - waiting for results. A handle may be used by several threads at once. */
#ifndef CELERIAC_RESULT_H
#define CELERIAC_RESULT_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"

CEL_BEGIN_DECLS

/* The handle of a task's result, or of a group's. It borrows its app. */
typedef struct cel_result cel_result;

/* A handle for an id, of a task sent by whomever. Owned by the caller. */
CEL_API cel_code cel_result_new(cel_result **out, cel_app *app, const char *task_id, cel_error *err);
CEL_API cel_result *cel_result_ref(cel_result *result);
CEL_API void cel_result_free(cel_result *result); /* gives a reference back; NULL is a no-op */

CEL_API const char *cel_result_id(const cel_result *result); /* a view; a group's is its group id */
CEL_API cel_result *cel_result_parent(const cel_result *result); /* borrowed, or NULL: of a chord the group, of a chain the step before */
CEL_API bool cel_result_is_group(const cel_result *result);  /* what cel_apply() gives for a group */
CEL_API size_t cel_result_count(const cel_result *result);  /* members of a group; 0 for a task */
CEL_API cel_result *cel_result_child(const cel_result *result, size_t i); /* borrowed; NULL beyond the end */

/* Waits until the task has ended (a group: until all members have) and gives its value, owned by the caller (json_decref() it); a group gives
 * an array in the order of its members. timeout_ms: negative waits for ever, 0 only looks. `value` may be NULL.
 * CEL_ETIMEDOUT; CEL_ETASK: it failed (err->exc_type, err->message; cel_result_exception_type() and its like have all; in a group or after a chain
 * cel_result_culprit() says which); CEL_EREVOKED; CEL_EINVAL: the value holds what C cannot hold. Woken by notification. */
CEL_API cel_code cel_result_get(cel_result *result, json_t **value, int64_t timeout_ms, cel_error *err);

/* Writes the state, "PENDING", "SUCCESS", ..., to `state` (cut at `size`); of a group: SUCCESS when all have succeeded, FAILURE when one
 * has failed, else PENDING. */
CEL_API cel_code cel_result_state(cel_result *result, char *state, size_t size, cel_error *err);

/* Whether it has ended; of a group: all of it. */
CEL_API cel_code cel_result_ready(cel_result *result, bool *ready, cel_error *err);

/* How many members of the group have ended, and how many of those have succeeded (either may be NULL). */
CEL_API cel_code cel_result_completed(cel_result *result, size_t *ended, size_t *succeeded, cel_error *err);

/* Waits until more than `seen` members of the group have ended, or the deadline passes (CEL_ETIMEDOUT); *ended says how many. */
CEL_API cel_code cel_result_wait(cel_result *result, size_t seen, size_t *ended, int64_t timeout_ms, cel_error *err);

/* What failed, after cel_result_get() gave CEL_ETASK or CEL_EREVOKED. Views, valid until the handle is freed; NULL before. */
CEL_API const char *cel_result_exception_type(const cel_result *result);    /* "ValueError" */
CEL_API const char *cel_result_exception_message(const cel_result *result); /* str() of it */
CEL_API const char *cel_result_traceback(const cel_result *result);         /* may be NULL */
CEL_API const char *cel_result_culprit(const cel_result *result);           /* id of the task that failed */

/* The stored document as it is, owned by the caller; CEL_ENOENT if there is none. */
CEL_API cel_code cel_result_document(cel_result *result, json_t **document, cel_error *err);

/* Deletes the stored result, of a group those of all members, of a chain those of its parents too. */
CEL_API cel_code cel_result_forget(cel_result *result, cel_error *err);

CEL_END_DECLS

#endif
