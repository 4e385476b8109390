/* strategy.h - what to do with a delivery: by its headers alone, in Celery's order (reference, worker, 4.6). */
#ifndef CEL_WORKER_STRATEGY_H
#define CEL_WORKER_STRATEGY_H

#include "worker/request.h"

/* The consumer's on_delivery; `user` is the worker. */
void cel__strategy_receive(void *user, cel_delivery *delivery);

/* Submits what waits while the pool has room, and tells the broker how much to hold. */
void cel__strategy_pump(cel_worker *worker);

/* Ends a request of the worker's: what runs by the signal (prefork), what waits by not running it. Its
 * end is REVOKED. CEL_ENOTSUP if the pool cannot end what runs. */
cel_code cel__strategy_terminate(cel_worker_request *request, int signum, cel_error *err);

/* A rate limit was changed: what waits for one is told its time anew. */
void cel__strategy_reset_rates(cel_worker *worker);

/* Hands back what has not been given to the pool (a stop). */
void cel__strategy_release_all(cel_worker *worker);

/* The pool's callbacks; `user` is the worker. */
void cel__strategy_on_room(void *user, size_t free_slots);
void cel__strategy_on_dispatch(void *user, cel_pool_request *pool_request);
void cel__strategy_on_started(void *user, cel_pool_request *pool_request, int64_t wall_us);
void cel__strategy_on_frame(void *user, cel_pool_request *pool_request, const cel_frame *frame);
void cel__strategy_on_outcome(void *user,
                              cel_pool_request *pool_request,
                              const cel_frame *frame);
void cel__strategy_on_lost(void *user,
                           cel_pool_request *pool_request,
                           cel_pool_loss loss,
                           const char *reason);
void cel__strategy_on_returned(void *user, cel_pool_request *pool_request);
void cel__strategy_on_soft_limit(void *user, cel_pool_request *pool_request);

#endif
