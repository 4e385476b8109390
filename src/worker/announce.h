/* announce.h - the events of the worker and of its requests, in Celery's words. Each call costs a
 * comparison where nobody wants task events. Loop thread. */
#ifndef CEL_WORKER_ANNOUNCE_H
#define CEL_WORKER_ANNOUNCE_H

#include "worker/outcome.h"
#include "worker/request.h"

/* Makes the worker's sender, silent till the start. */
cel_code
cel__announce_open(cel_worker *worker, const cel_worker_options *options, cel_error *err);

/* The broker is there: worker-online, heartbeats. Once. */
void cel__announce_start(cel_worker *worker);

/* The broker is there again. */
void cel__announce_again(cel_worker *worker);

/* task-received */
void cel__announce_received(cel_worker_request *request);

/* task-started, once; counts for the heartbeats. */
void cel__announce_started(cel_worker_request *request);

/* What has become of it: task-succeeded, task-failed, task-retried or task-revoked. */
void cel__announce_outcome(cel_worker_request *request, const cel_outcome *outcome);

/* task-rejected, of a message that was not acknowledged before. */
void cel__announce_rejected(cel_worker_request *request, bool requeue);

#endif
