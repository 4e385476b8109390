/* metrics.h - what a worker has counted, in the text format of Prometheus, under the names of celery-exporter.
 *
 * A series is a task in a queue; beyond CEL_METRICS_SERIES_MAX of them, all others are one, named "other": names come from messages.
 * The loop's thread. */
#ifndef CEL_WORKER_METRICS_H
#define CEL_WORKER_METRICS_H

#include "core/buf.h"
#include "core/view.h"

#define CEL_METRICS_SERIES_MAX 1000

typedef struct cel_metrics cel_metrics;

/* Returns one that has counted nothing; NULL when out of memory. */
cel_metrics *cel__metrics_new(void);
void cel__metrics_free(cel_metrics *metrics);

/* Out of memory they count nothing. `state` is that of an outcome: SUCCESS, FAILURE, RETRY, REVOKED, REJECTED; others are not counted. */
void cel__metrics_received(cel_metrics *metrics, cel_view task, cel_view queue);
void cel__metrics_ended(
    cel_metrics *metrics, cel_view task, cel_view queue, cel_view state, int64_t runtime_us);

/* Appends all series with the label hostname. */
void cel__metrics_write(const cel_metrics *metrics, cel__buf *out, cel_view hostname);

/* Appends `text` as a label's value, quoted. */
void cel__metrics_label(cel__buf *out, cel_view text);

#endif
