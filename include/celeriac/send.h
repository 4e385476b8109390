/* send.h - sending tasks. Success means that the broker has accepted all of it. Any thread. */
#ifndef CELERIAC_SEND_H
#define CELERIAC_SEND_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"
#include "celeriac/result.h"
#include "celeriac/signature.h"

CEL_BEGIN_DECLS

/* Zero means the default. Strings are copied during the call. */
typedef struct cel_send_options {
    size_t size;               /* sizeof(cel_send_options) */
    const char *task_id;       /* default: a new UUID */
    const char *queue;         /* default: routes, the task's own, task_default_queue */
    const char *exchange;
    const char *routing_key;
    int priority;              /* 0 to 9, higher is sooner */
    int64_t countdown_ms;      /* run no sooner than this from now */
    int64_t eta_ms;            /* or than this wall time */
    int64_t expires_ms;        /* not to be run later than this from now */
    int64_t time_limit_ms, soft_time_limit_ms;
    int ignore_result;         /* 1: no result; -1: with result; 0: as the task says */
    const char *compression;   /* "zlib", "bzip2", "lzma", "brotli" or "zstd"; default: task_compression */
    const char *shadow;        /* a name for logs */
    json_t *headers;           /* borrowed object: custom headers */
    const cel_signature *link; /* borrowed; runs after success */
    const cel_signature *link_error;
    int64_t timeout_ms;        /* how long to wait for the broker's acceptance; 0: 10,000 and one for each
                                * ten messages; negative: for ever */
    const char *serializer;    /* "json", "yaml", "msgpack" or "auth"; default: task_serializer */
    const char *argsrepr;      /* what logs and events show instead of the arguments, where these are nobody's business; */
    const char *kwargsrepr;    /* default: Python's repr() of them */
} cel_send_options;

#define CEL_SEND_OPTIONS(...) (&(cel_send_options){.size = sizeof(cel_send_options), __VA_ARGS__})

/* Sends a task by name. Takes args (array) and kwargs (object), each NULL for empty; `options` may be NULL. If `out` is not NULL it receives a
 * handle owned by the caller, free with cel_result_free(). CEL_EINVAL, CEL_ECONN, CEL_EFULL, CEL_ETIMEDOUT (err->uncertain:
 * it may have been sent). With the setting task_always_eager the task has run, with all that follows, when the call returns, and with task_eager_propagates
 * its failure is CEL_ETASK of this call, as of cel_delay() and cel_apply(). */
CEL_API cel_code cel_send(cel_app *app, cel_result **out, const char *task, json_t *args, json_t *kwargs, const cel_send_options *options, cel_error *err);

/* Celery's delay(): cel_delay(app, &result, &err, "tasks.add", "[i,i]", 2, 3), arguments as for json_pack(). */
CEL_API cel_code cel_delay(cel_app *app, cel_result **out, cel_error *err, const char *task, const char *fmt, ...);

/* Sends a signature of any kind (borrowed). The handle of a chain is its last task's, of a group the group's, of a chord its body's; see
 * cel_result_parent(). A group and a chord are sent whole or, on an error, with nobody waiting for the rest. */
CEL_API cel_code cel_apply(cel_app *app, cel_result **out, const cel_signature *signature, const cel_send_options *options, cel_error *err);

/* Sends `count` signatures (borrowed) at once, which is much faster than one by one. `results` (may be NULL) is an array of `count` that
 * receives handles, as for cel_apply(). All or nothing on the embedded broker; elsewhere err->uncertain tells. */
CEL_API cel_code cel_apply_many(cel_app *app, cel_result **results, const cel_signature *const *signatures, size_t count, const cel_send_options *options, cel_error *err);

/* Deletes the messages that wait in `queue`; *count (may be NULL) says how many. */
CEL_API cel_code cel_purge(cel_app *app, const char *queue, int64_t *count, cel_error *err);

CEL_END_DECLS

#endif
