/* control.h - remote control: asking running workers, of ours or of Python's, and telling them what to do. Any thread.
 *
 * A request goes to all workers, to those named, or to those whose names match. Each answers for itself. Nobody knows how many
 * there are, so a call waits until none has answered for `timeout_ms`, or until `limit` have. */
#ifndef CELERIAC_CONTROL_H
#define CELERIAC_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "celeriac/app.h"

CEL_BEGIN_DECLS

/* Zero means the default. Strings are copied during the call. */
typedef struct cel_control_options {
    size_t size;                    /* sizeof(cel_control_options) */
    const char *const *destination; /* names of nodes ("celery@host"), NULL-terminated: only they act; default: all */
    const char *pattern, *matcher;  /* or: only those whose names match; the matcher is "glob" or "pcre"; both or neither */
    int64_t timeout_ms;             /* how long to wait for the next reply; default: 1,000 */
    size_t limit;                   /* how many replies to wait for; default: as many as `destination` names, else no limit */
    /* Called with each reply (borrowed) as it comes, on the thread that drives the app's loop, which may be another caller's. It must
     * not call the app. May be NULL. */
    void (*on_reply)(void *user, const char *node, const json_t *reply);
    void *user;
} cel_control_options;

#define CEL_CONTROL_OPTIONS(...) (&(cel_control_options){.size = sizeof(cel_control_options), __VA_ARGS__})

/* Sends a command by name, with its arguments (taken; an object, or NULL for none), and waits for the replies: *replies becomes an array of
 * {node: reply} in the order in which they came, owned by the caller; an empty one if nobody has answered, which is no error. With `replies` NULL none are asked for, and the call
 * returns when the broker has the request. `options` may be NULL.
 *
 * A command that a worker refuses is a reply, too: {"error": text}. A reply that C cannot hold (a 30-digit integer) is given as such an error.
 * CEL_EINVAL; CEL_ECONN: no broker, or it was lost while waiting (err->uncertain: workers may have acted); CEL_ETIMEDOUT: the broker has not taken the
 * request within 10 seconds; CEL_EFULL: more than 10,000 replies, or 64 MB of them. */
CEL_API cel_code cel_control_broadcast(cel_app *app, const char *method, json_t *arguments, const cel_control_options *options, json_t **replies, cel_error *err);

/* ---- telling: as cel_control_broadcast(), with the arguments that the command has ---- */

/* Who is there: {"ok": "pong"}. */
CEL_API cel_code cel_control_ping(cel_app *app, const cel_control_options *options, json_t **replies, cel_error *err);

/* The tasks with these ids (NULL-terminated) are not to be run; what runs goes on. */
CEL_API cel_code cel_control_revoke(cel_app *app, const char *const *task_ids, const cel_control_options *options, json_t **replies, cel_error *err);
/* Nor are they to go on: the process that runs one gets the signal ("SIGKILL"; NULL: "SIGTERM"). */
CEL_API cel_code cel_control_terminate(cel_app *app, const char *const *task_ids, const char *signal, const cel_control_options *options, json_t **replies, cel_error *err);

/* "100/m"; "0" ends it. */
CEL_API cel_code cel_control_rate_limit(cel_app *app, const char *task, const char *rate_limit, const cel_control_options *options, json_t **replies, cel_error *err);
/* Seconds; 0: none. */
CEL_API cel_code cel_control_time_limit(cel_app *app, const char *task, double soft_s, double hard_s, const cel_control_options *options, json_t **replies, cel_error *err);

/* `queue_options` (taken; an object, or NULL): "exchange", "exchange_type", "routing_key" and what else a queue may have. */
CEL_API cel_code cel_control_add_consumer(cel_app *app, const char *queue, json_t *queue_options, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_cancel_consumer(cel_app *app, const char *queue, const cel_control_options *options, json_t **replies, cel_error *err);

/* Whether the workers send the events of their tasks; and a heartbeat, now. */
CEL_API cel_code cel_control_enable_events(cel_app *app, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_disable_events(cel_app *app, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_heartbeat(cel_app *app, const cel_control_options *options, json_t **replies, cel_error *err);

/* The size of their pools, by so many processes or threads; loading the task modules anew; the bounds of a pool that sizes itself. */
CEL_API cel_code cel_control_pool_grow(cel_app *app, int n, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_pool_shrink(cel_app *app, int n, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_pool_restart(cel_app *app, const cel_control_options *options, json_t **replies, cel_error *err);
CEL_API cel_code cel_control_autoscale(cel_app *app, int max, int min, const cel_control_options *options, json_t **replies, cel_error *err);

/* Workers finish what runs, and end. They do not answer. */
CEL_API cel_code cel_control_shutdown(cel_app *app, const cel_control_options *options, cel_error *err);

/* ---- asking ----
 *
 * *nodes becomes an object, owned by the caller: the replies by the names of their nodes, {} if nobody has answered. Two nodes of one name are
 * one, with a warning in the app's log. */

/* Any method of Celery's, by its name; as cel_control_broadcast(). */
CEL_API cel_code cel_inspect(cel_app *app, const char *method, json_t *arguments, const cel_control_options *options, json_t **nodes, cel_error *err);

/* What Celery's commands of these names answer: see `celeriac inspect --help`. */
CEL_API cel_code cel_inspect_ping(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_stats(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_active(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_reserved(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_scheduled(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_revoked(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_active_queues(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_clock(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_report(cel_app *app, const cel_control_options *options, json_t **nodes, cel_error *err);

/* `attributes` (NULL-terminated, or NULL): which of a task's attributes to tell; default: exchange, routing_key, rate_limit. */
CEL_API cel_code cel_inspect_registered(cel_app *app, const char *const *attributes, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_query_task(cel_app *app, const char *const *task_ids, const cel_control_options *options, json_t **nodes, cel_error *err);
CEL_API cel_code cel_inspect_conf(cel_app *app, bool with_defaults, const cel_control_options *options, json_t **nodes, cel_error *err);

CEL_END_DECLS

#endif
