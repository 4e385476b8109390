/* settle.h - making true what follows from an outcome. */
#ifndef CEL_WORKER_SETTLE_H
#define CEL_WORKER_SETTLE_H

#include "message/result.h"
#include "worker/request.h"

/* Settles the request by the OUTCOME frame with these sections (copied): stores, counts, publishes, acknowledges; frees the request
 * when all is confirmed. Tries again for as long as the broker or the store refuses. */
void cel__settle_outcome(cel_worker_request *request, const cel_frame *frame);

/* Settles a request that does not run (any more): FAILURE or REVOKED with this exception, and all that follows from it. */
void cel__settle_failure(cel_worker_request *request,
                         const char *state,
                         const cel_exception *exception);

/* Goes on with a chord that is complete (from chord_part or sweep): publishes its body or stores its ChordError. */
void cel__settle_chord(cel_worker *worker,
                       const cel_chord_ready *ready,
                       cel_settlement *parent);

/* Rejects the delivery and frees the request. */
void cel__settle_reject(cel_worker_request *request, bool requeue);

/* Gives up what waits to be tried again (a cold stop): what is not settled is delivered again. */
void cel__settle_abandon(cel_worker *worker);

/* The worker's retry timer. */
void cel__settle_retry(uv_timer_t *timer);

#endif
