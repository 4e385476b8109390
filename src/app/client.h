/* client.h - the client side of an app: a loop without a thread.
 *
 * Leader and followers: whoever calls submits its operation and waits; one of the waiting runs the
 * loop for all, and hands that over when its own operation is done. Nothing runs while nobody waits.
 *
 * An operation lives on the heap and is counted, because the loop may still be at work on it when
 * the caller's deadline has passed and the caller is gone. */
#ifndef CEL_APP_CLIENT_H
#define CEL_APP_CLIENT_H

#include <pthread.h>

#include <uv.h>

#include "app/app.h"
#include "backend/backend.h"
#include "broker/broker.h"

typedef struct cel_client cel_client;
typedef struct cel_client_op cel_client_op;

/* Embedded first in the operation's own struct. Zero-initialise, set the fields above the line, then
 * cel__client_op_init(). */
struct cel_client_op {
    /* On the loop: starts asynchronous work; cel__client_broker() and cel__client_backend() are open,
     * as far as they are needed. A failure ends the operation. */
    cel_code (*start)(cel_client_op *op, cel_error *err);
    /* On the loop, at most once, after start and before the end: nobody waits any more. Ends what could last
     * for ever (a watch); cel__client_finish() is still due. May be NULL. */
    void (*abandon)(cel_client_op *op);
    /* Frees the operation, on whatever thread drops the last reference. */
    void (*free)(cel_client_op *op);
    bool needs_broker, needs_backend;
    /* ---- the client's ---- */
    cel_client *client;
    cel_code code; /* the outcome; valid when done */
    cel_error err;
    pthread_cond_t
        done_cond; /* signaled when done, and when it is this thread's turn to lead */
    int refs;      /* guarded, like all that follows, by the client's lock */
    bool done, running, waiting, abandoned, abandon_called;
    cel_client_op *prev, *next; /* in `submitted` or `running` */
    cel_client_op *wait_prev, *wait_next;
};

/* Returns the app's client, made on first use; connects to nothing. CEL_EINVAL after fork(). Any thread. */
cel_code cel__client_get(cel_client **out, cel_app *app, cel_error *err);

/* Closes the connections; operations that were abandoned end with CEL_ECANCELED. No other thread may be inside. NULL is a no-op. */
void cel__client_free(cel_client *client);

/* Gives the caller the first reference. */
void cel__client_op_init(cel_client *client, cel_client_op *op);
void cel__client_op_unref(cel_client_op *op);

/* Runs `op` to its end or to the deadline (CEL_ETIMEDOUT, op->done is then false to the caller and op's
 * fields are the loop's; negative: no deadline). Once per operation. Any thread but one that is inside a callback of the loop. */
cel_code cel__client_run(cel_client_op *op, int64_t timeout_ms, cel_error *err);

/* To be called once by the operation's callbacks, on the loop; not from inside start. `op` may be freed by it. */
void cel__client_finish(cel_client_op *op, cel_code code, const cel_error *err);

/* On the loop, for operations that need them. */
cel_broker *cel__client_broker(const cel_client_op *op);
cel_backend *cel__client_backend(const cel_client_op *op);
uv_loop_t *cel__client_loop(const cel_client_op *op);

/* On the loop: opens broker and result store if they are not open, and says whether what is submitted to both in one
 * turn takes effect together. False too if one of them cannot be opened. */
bool cel__client_one_domain(const cel_client_op *op);

#endif
