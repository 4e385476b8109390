/* client.h - the client side of an app: a loop without a thread.
 *
 * Leader and followers: whoever calls submits its operation and waits; one of the waiting runs the loop for all, and
 * hands that over when its own operation is done. Nothing runs while nobody waits. */
#ifndef CEL_APP_CLIENT_H
#define CEL_APP_CLIENT_H

#include <uv.h>

#include "app/app.h"
#include "backend/backend.h"
#include "broker/broker.h"

typedef struct cel_client cel_client;

/* Returns the app's client, opening broker and backend on first use (each only when first asked for). CEL_EINVAL after fork(). Any
 * thread. */
cel_code cel__client_get(cel_client **out, cel_app *app, cel_error *err);
void cel__client_free(cel_client *client);

/* One operation on the loop. Embedded in the caller's frame. */
typedef struct cel_client_op cel_client_op;
struct cel_client_op {
    /* Runs on the loop with the loop's lock held: starts asynchronous work on `broker` or `backend` (opened by then; ops say which they need).
     * Failing ends the operation. */
    cel_code (*start)(cel_client_op *op, cel_broker *broker, cel_backend *backend, cel_error *err);
    /* Called on the loop if the deadline passes first: makes sure that no callback will touch `op` any more. May be NULL if start's work is
     * such that the op's memory outlives it. */
    void (*abandon)(cel_client_op *op);
    bool needs_broker, needs_backend;
    cel_error err;            /* the outcome */
    bool done;                /* guarded by the client */
    void *priv[4];            /* the client's */
};

/* Runs `op` to its end or to the deadline (CEL_ETIMEDOUT; negative: none). Any thread. */
cel_code cel__client_run(cel_client *client, cel_client_op *op, int64_t timeout_ms, cel_error *err);

/* To be called by the operation's callbacks, on the loop. */
void cel__client_finish(cel_client *client, cel_client_op *op, cel_code code, const cel_error *err);

#endif
