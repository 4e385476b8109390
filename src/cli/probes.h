/* probes.h - what a worker answers over HTTP: GET /livez, /readyz and /metrics.
 *
 * /livez says "ok" as long as the loop turns; /readyz is 200 while the worker takes work, else 503 with the reason; /metrics is for Prometheus. */
#ifndef CEL_CLI_PROBES_H
#define CEL_CLI_PROBES_H

#include "web/http.h"
#include "worker/worker.h"

/* A cel_http_get; `worker` is the cel_worker, for which cel__worker_measure() was called. */
int cel__probes_get(void *worker, const char *path, cel__buf *body);

#endif
