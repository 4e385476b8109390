/* flow.h - flows: named functions from parameters to a signature, which a dispatcher builds and sends.
 *
 *     static cel_signature *build(cel_app *app, const json_t *params, void *user, cel_error *err)
 *     {
 *         const char *day = json_string_value(json_object_get(params, "day"));
 *         if (!day) {
 *             cel_error_set(err, CEL_EINVAL, "'day' must be a string");
 *             return NULL;
 *         }
 *         return cel_sig("tasks.count", "[s]", day);
 *     }
 *
 *     CEL_MODULE(tasks)
 *     {
 *         cel_flow(app, "count_day", build, .queue = "reports");
 *     }
 *
 * `celeriac -A tasks dispatch` then serves it, and `celeriac rpc count_day '{"day": "20200406"}'` asks for it. */
#ifndef CELERIAC_FLOW_H
#define CELERIAC_FLOW_H

#include <jansson.h>

#include "celeriac/app.h"
#include "celeriac/signature.h"

CEL_BEGIN_DECLS

/* Builds the signature, owned by the caller, for `params` (borrowed, an object; without the members that are the dispatcher's own: flow, queue, wait).
 * Returns NULL with `err` (never NULL) set when the parameters are wrong: its message is what the requester gets, so it should name the
 * parameter. Called on one thread; it must not block. */
typedef cel_signature *(*cel_flow_fn)(cel_app *app, const json_t *params, void *user, cel_error *err);

/* Zero means the default. */
typedef struct cel_flow_options {
    size_t size;         /* sizeof(cel_flow_options) */
    const char *queue;   /* where its tasks go if the request names no queue; default: by the routes, as for any task. Copied */
    const char *summary; /* one line for people, shown by the dispatcher; copied */
    void *user;          /* handed to the function; borrowed */
} cel_flow_options;

/* Registers a flow; a name registered before is replaced. `options` may be NULL. CEL_EINVAL if the name is empty or longer than 255 bytes, or an option is
 * out of range. Before the dispatcher starts, one thread. Prefer the macro cel_flow(). */
CEL_API cel_code cel_flow_register(cel_app *app, const char *name, cel_flow_fn fn, const cel_flow_options *options, cel_error *err);

/* As cel_flow_register(), but remembers the first failure in the app instead of returning it: cel_app_load() reports it. */
CEL_API void cel_flow_declare(cel_app *app, const char *name, cel_flow_fn fn, const cel_flow_options *options);

/* cel_flow(app, "hot_words", build, .queue = "celery_test") comes with task_macros.h. */
#include "celeriac/task_macros.h"

/* Builds what a dispatcher would send for these parameters (borrowed; NULL: none), without sending it: *out is the caller's. `name` may be NULL
 * where the app has one flow. CEL_ENOENT: no such flow, the message lists those there are; CEL_EINVAL: what the flow said. */
CEL_API cel_code cel_flow_build(cel_signature **out, cel_app *app, const char *name, const json_t *params, cel_error *err);

CEL_END_DECLS

#endif
