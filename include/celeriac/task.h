/* task.h - writing tasks: the function, its registration, its arguments, its failures.
 *
 *     static json_t *add(cel_request *req)
 *     {
 *         json_int_t x, y;
 *         if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
 *             return NULL;
 *         return json_integer(x + y);
 *     }
 *
 *     CEL_MODULE(tasks)
 *     {
 *         cel_task(app, "tasks.add", add);
 *     }
 */
#ifndef CELERIAC_TASK_H
#define CELERIAC_TASK_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"
#include "celeriac/error.h"
#include "celeriac/signature.h"

CEL_BEGIN_DECLS

/* One execution of a task. Lives during the call of the task's function, on that thread. */
typedef struct cel_request cel_request;

/* A task: returns its result (any JSON value, a new reference, taken), or NULL after cel_raise(), cel_retry() and their like.
 * NULL without one of them, and without a failed cel_unpack(), is a RuntimeError. With the pool `threads` it is called by
 * several threads at once. */
typedef json_t *(*cel_task_fn)(cel_request *req);

/* How an attempt has ended, for hooks. Views that live during the hook. */
typedef struct cel_task_end {
    const char *state;           /* "SUCCESS", "FAILURE", "RETRY", "IGNORED" or "REJECTED"; before the run "STARTED" */
    const json_t *result;        /* SUCCESS: the value, borrowed; else NULL */
    const char *exc_type;        /* FAILURE, REJECTED, and RETRY with a reason: the class, "ValueError"; else NULL */
    const char *exc_message;     /* as Python's str(); NULL where exc_type is */
    int64_t retry_ms;            /* RETRY: how long until the next attempt */
} cel_task_end;

/* Called around a task's function, in its process and on its thread, within its limits. */
typedef void (*cel_task_hook)(cel_request *req, const cel_task_end *end);

/* Zero means the default: the setting of the same name, where there is one. */
typedef struct cel_task_options {
    size_t size;                 /* sizeof(cel_task_options) */
    int max_retries;             /* 0: 3; -1: no limit; -2: none at all */
    int64_t default_retry_delay_ms; /* 0: 180,000 */
    const char *rate_limit;      /* "100/s", "10/m", "5/h"; per worker */
    int64_t time_limit_ms;       /* hard: the process is killed */
    int64_t soft_time_limit_ms;  /* cel_canceled() becomes true, blocking calls are interrupted */
    int acks_late;               /* 1: acknowledge after the task has ended; -1: early; 0: the setting */
    int reject_on_worker_lost;   /* 1: with acks_late, put the message back when the process dies; -1, 0 */
    int ignore_result;           /* 1, -1, 0 */
    int track_started;           /* 1, -1, 0 */
    int store_errors_even_if_ignored; /* 1, -1, 0 */
    const char *queue;           /* where to send it if nothing else says so */
    const char *throws;          /* comma-separated exception types that are expected: logged at INFO without a traceback */
    void *user;                  /* for cel_request_user(); borrowed */
    const char *autoretry_for;   /* comma-separated exception types after which the task is retried, as by cel_retry(); a class of Python's
                                  * stands for all that descend from it: "OSError, game.errors.Busy", or "Exception" for all */
    const char *dont_autoretry_for; /* likewise: those after which it is not, in spite of autoretry_for */
    int64_t retry_backoff_ms;    /* retries without a countdown of their own wait this long, then twice, four times ... as long; 0:
                                  * default_retry_delay_ms each time */
    int64_t retry_backoff_max_ms; /* and no longer than this; 0: 600,000 */
    int retry_jitter;            /* 1, 0: a random part of that; -1: exactly that */
    int acks_on_failure_or_timeout; /* -1: the message of a late-acked task that failed is rejected, that of one that was killed by its limit
                                  * put back; 1: both are acknowledged; 0: the settings */
    int priority;                /* of messages without one of their own, 0 to 255 */
    int64_t expires_ms;          /* of messages without an expiry of their own */
    const char *exchange, *routing_key; /* where to send it, instead of `queue` */
    const char *serializer, *compression; /* as in cel_send_options */
    const char *sensitive;       /* comma-separated arguments that logs, events and stored results show as '***': names, positions from 0, or
                                  * "*" for all. Where the task is sent from a program that has not loaded it: see
                                  * cel_send_options.argsrepr */
    cel_task_hook before_start;  /* may cel_raise() and its like: then the function is not called */
    cel_task_hook on_success;    /* these know how it ends and change nothing: what they raise is ignored. They run before the result is */
    cel_task_hook on_failure;    /* stored. None is called for a task whose process dies or is killed. */
    cel_task_hook on_retry;
    cel_task_hook after_return;  /* last, after each of the others and after ignore and reject */
    int send_events;             /* -1: says no task events, even to those who ask for them */
} cel_task_options;

/* Registers a task under `name`; a name registered before is replaced. `options` may be NULL; copied. CEL_EINVAL if the name is empty or an
 * option is out of range. Before the worker starts, one thread. Prefer the macro cel_task(). */
CEL_API cel_code cel_task_register(cel_app *app, const char *name, cel_task_fn fn, const cel_task_options *options, cel_error *err);

/* As cel_task_register(), but remembers the first failure in the app instead of returning it: cel_app_load() reports it. */
CEL_API void cel_task_declare(cel_app *app, const char *name, cel_task_fn fn, const cel_task_options *options);

#include "celeriac/task_macros.h" /* cel_task() */

/* Makes the loading of the module fail with this message. For CEL_MODULE functions that cannot set themselves up. */
CEL_API void cel_module_fail(cel_app *app, const char *fmt, ...) CEL_PRINTF(2, 3);

/* The version of the interface between command and module. */
#define CEL_MODULE_ABI 1

/* Begins the function that a module exports: CEL_MODULE(name) { cel_task(app, ...); }. One per shared object. It runs once, in the
 * process from which the pool's children are forked: what it builds is shared by all, copy-on-write. It must start no
 * threads. */
#define CEL_MODULE(name)                                                                         \
    CEL_MODULE_EXTERN_C CEL_API const int celeriac_module_abi;                                   \
    CEL_MODULE_EXTERN_C CEL_API void celeriac_module_init(cel_app *app);                         \
    const int celeriac_module_abi = CEL_MODULE_ABI;                                              \
    void celeriac_module_init(cel_app *app)

#ifdef __cplusplus
#define CEL_MODULE_EXTERN_C extern "C"
#else
#define CEL_MODULE_EXTERN_C extern
#endif

/* Reads the arguments, positional and by keyword, as Python would for `def task(x, y=...)`. `spec` is a list of
 * parameters, name:type, separated by spaces; `|` begins those with defaults: their variables keep what they held when the caller gives
 * nothing or null. `*` begins those that may be given only by keyword. Types and what is passed for them:
 *     I  json_int_t *     integer (true and false are 1 and 0)
 *     i  int *            integer that fits
 *     F  double *         integer or real
 *     b  bool *           true or false
 *     s  const char **    string without NUL; a view that lives as long as the request
 *     z  const char **    string or null (NULL)
 *     O  json_t **        anything; borrowed
 *     L  json_t **        array; borrowed        D  json_t **  object; borrowed
 * On failure the TypeError (or OverflowError, ValueError) is raised on req with Python's wording, such as "add() missing 1 required positional
 * argument: 'y'", and CEL_EINVAL is returned. */
CEL_API cel_code cel_unpack(cel_request *req, const char *spec, ...);

/* Views, all valid during the call. */
CEL_API const char *cel_request_id(const cel_request *req);
CEL_API const char *cel_request_task(const cel_request *req);
CEL_API const char *cel_request_root_id(const cel_request *req);
CEL_API const char *cel_request_parent_id(const cel_request *req); /* NULL if none */
CEL_API const char *cel_request_group(const cel_request *req);     /* NULL if none */
CEL_API const char *cel_request_hostname(const cel_request *req);  /* node name */
CEL_API const char *cel_request_queue(const cel_request *req);
CEL_API int64_t cel_request_retries(const cel_request *req);
CEL_API bool cel_request_redelivered(const cel_request *req);
CEL_API const json_t *cel_request_args(cel_request *req);   /* array */
CEL_API const json_t *cel_request_kwargs(cel_request *req); /* object */
CEL_API const json_t *cel_request_headers(cel_request *req); /* object: all headers of the message */
CEL_API void *cel_request_user(const cel_request *req);     /* cel_task_options.user */
CEL_API const char *cel_request_correlation_id(const cel_request *req); /* NULL if none, as all that follow */
CEL_API const char *cel_request_reply_to(const cel_request *req);
CEL_API const char *cel_request_origin(const cel_request *req);    /* who sent it: "gen4711@host" */
CEL_API const char *cel_request_shadow(const cel_request *req);
CEL_API const char *cel_request_exchange(const cel_request *req);  /* that it was sent to */
CEL_API const char *cel_request_routing_key(const cel_request *req);
CEL_API int cel_request_priority(const cel_request *req);          /* -1: none */
CEL_API int64_t cel_request_group_index(const cel_request *req);   /* -1: none */
CEL_API int64_t cel_request_eta_ms(const cel_request *req);        /* wall time; -1: none */
CEL_API int64_t cel_request_expires_ms(const cel_request *req);    /* wall time; -1: none */
CEL_API int64_t cel_request_time_limit_ms(const cel_request *req); /* the hard limit, which threads and solo cannot keep; 0: none */
CEL_API int64_t cel_request_soft_time_limit_ms(const cel_request *req);
CEL_API cel_app *cel_request_app(const cel_request *req);

/* Makes the task fail with the exception `type` of Python's `builtins` ("ValueError"), or of the module before its last dot
 * ("game.errors.NoSuchDay"). Returns NULL, so that `return cel_raise(...)` ends the task. */
CEL_API json_t *cel_raise(cel_request *req, const char *type, const char *fmt, ...) CEL_PRINTF(3, 4);

/* As above with any arguments: `args` is an array, taken. */
CEL_API json_t *cel_raise_args(cel_request *req, const char *type, json_t *args);

/* Ends this attempt and sends the task again, to run after countdown_ms (negative: the task's retry_backoff, else its default_retry_delay). `fmt` (may be NULL) is why,
 * the exception that is raised in the end when max_retries are used up: Exception(text), or one raised before with cel_raise(), as in Python's
 * retry(exc=...); without any, MaxRetriesExceededError. Returns NULL. */
CEL_API json_t *cel_retry(cel_request *req, int64_t countdown_ms, const char *fmt, ...) CEL_PRINTF(3, 4);

/* Ends the task without a result: nothing is stored. Returns NULL. */
CEL_API json_t *cel_ignore(cel_request *req);

/* Rejects the message (with acks_late; otherwise it is acknowledged already): back into its queue, or away. Returns NULL. */
CEL_API json_t *cel_reject(cel_request *req, bool requeue, const char *fmt, ...) CEL_PRINTF(3, 4);

/* Whether the soft time limit has passed or the task is to be canceled. Cheap; long loops should ask. A task that then
 * returns NULL without an exception of its own fails with SoftTimeLimitExceeded. */
CEL_API bool cel_canceled(const cel_request *req);

/* Stores a custom state such as "PROGRESS" with any JSON value (taken) while the task runs. */
CEL_API cel_code cel_update_state(cel_request *req, const char *state, json_t *meta, cel_error *err);

/* Sends a signature (borrowed) from inside the task, as its child: parent and root are set, the result is listed in `children`. Its id is
 * written to `id` (may be NULL; 37 bytes). It leaves when the task ends, together with its result, unless `now`: then before the
 * return. */
CEL_API cel_code cel_request_apply(cel_request *req, const cel_signature *signature, bool now, char *id, cel_error *err);

/* Ends the task and puts `signature` (taken) in its place, with its id, group, chord, callbacks, errbacks and the rest of its chain: whoever
 * waits for the task gets the result of that. Of what ends in a group it is the list of the group's results. What it says of the task's own
 * arguments is up to you: nothing is handed on. Returns NULL, so that `return cel_replace(...)` ends the task; if the signature is NULL or cannot
 * be sent, the task fails with a ValueError. */
CEL_API json_t *cel_replace(cel_request *req, cel_signature *signature);

/* Adds a signature (borrowed) to the chord that the task is a part of: the body waits for it, too, and gets its result in the place of the
 * task's, behind the task's own. It leaves when the task ends. CEL_EINVAL: the task is no part of a chord. */
CEL_API cel_code cel_add_to_chord(cel_request *req, const cel_signature *signature, cel_error *err);

/* Logs through the worker, as Celery's task logger does. A line longer than 4 KiB is cut. */
CEL_API void cel_request_log(cel_request *req, cel_log_level level, const char *fmt, ...) CEL_PRINTF(3, 4);

CEL_END_DECLS

#endif
