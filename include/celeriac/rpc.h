/* rpc.h - asking a dispatcher (`celeriac dispatch`) to build and send a flow. */
#ifndef CELERIAC_RPC_H
#define CELERIAC_RPC_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"

CEL_BEGIN_DECLS

/* Zero means the default. Strings are copied during the call. */
typedef struct cel_rpc_options {
    size_t size;                /* sizeof(cel_rpc_options) */
    const char *queue;          /* the dispatcher's; default "queue_rpc" */
    const char *correlation_id; /* who asks again with the same one gets the same answer, and nothing is sent twice; default: a new UUID */
    int64_t timeout_ms;         /* how long to wait for the answer; 0: 10,000; negative: for ever */
    bool wait;                  /* go on until the result is there */
    int64_t result_timeout_ms;  /* with `wait`: for how long after that; 0 or negative: for ever */
    /* Called with every message of the dispatcher (borrowed), the last one included, on the thread that drives the app's loop, which may be another
     * caller's. It must not call the app. May be NULL. */
    void (*on_message)(void *user, const json_t *message);
    void *user;
} cel_rpc_options;

#define CEL_RPC_OPTIONS(...) (&(cel_rpc_options){.size = sizeof(cel_rpc_options), __VA_ARGS__})

/* Sends `request` (taken; an object: "flow" and the flow's parameters; with `wait` the member "wait" is added) and waits for the answer, an object owned by the caller: {"id": …, "parts": […]}, or
 * with `wait` {"id": …, "state": "SUCCESS", "result": …}. After an outage of the broker the request is sent again. Any thread.
 *
 * CEL_EINVAL: the dispatcher refused, its message says why. CEL_ETASK: the job failed (with `wait`; exc_type and message are the exception's).
 * CEL_ETIMEDOUT: no dispatcher has answered (err->uncertain: the request stays in its queue and will be served). CEL_ECONN, CEL_EPROTO. */
CEL_API cel_code cel_rpc(cel_app *app, json_t **answer, json_t *request, const cel_rpc_options *options, cel_error *err);

CEL_END_DECLS

#endif
