/* dispatch.h - the dispatcher: requests come in on a queue, their flows are built and sent, and replies go back.
 *
 * It is one operation of the app's client side (app/client.h) that goes on until it is stopped: one thread, one
 * loop, the client's connections.
 *
 * A request is a message whose body is a JSON object: "flow" names the flow, "queue" says where its tasks go, "wait"
 * asks for progress and result too, all other members are the flow's parameters. It is acknowledged when all
 * that it asked for is confirmed and the reply is out. A request that comes again with the same correlation id, for
 * whatever reason, gets the same answer and sends nothing: the ids of what a request sends are made from its correlation
 * id, and what was sent is remembered in the result store, under an id made likewise, for as long as results are kept. */
#ifndef CEL_DISPATCH_DISPATCH_H
#define CEL_DISPATCH_DISPATCH_H

#include <uv.h>

#include "app/app.h"
#include "core/view.h"

#define CEL_DISPATCH_QUEUE "queue_rpc" /* where requests come in if nobody says otherwise */

typedef struct cel_dispatcher cel_dispatcher;

typedef struct cel_dispatcher_options {
    cel_app *app; /* borrowed, as all of these */
    const cel_view *queues;
    size_t queue_count;
    size_t window; /* how many requests are worked on at once; 0: 64 */
    /* On the loop: consuming has been asked for. May be NULL. */
    void (*on_start)(void *user, cel_dispatcher *dispatcher, uv_loop_t *loop);
    void *user;
} cel_dispatcher_options;

/* Serves until it is stopped: blocks. CEL_OK after a stop; CEL_ECONFIG, CEL_EINVAL, CEL_ENOMEM: why it could not serve. */
cel_code cel__dispatcher_run(const cel_dispatcher_options *options, cel_error *err);

/* On the loop: no more requests are taken; those that are being worked on are finished, those that wait for
 * another try are left for the next dispatcher. */
void cel__dispatcher_stop(cel_dispatcher *dispatcher);

/* Returns NULL if it takes requests, else a static line that says why it does not. On the loop. */
const char *cel__dispatcher_why_not(const cel_dispatcher *dispatcher);

#endif
