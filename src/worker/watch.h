/* watch.h - notices that messages wait, a slot is free and none comes. */
#ifndef CEL_WORKER_WATCH_H
#define CEL_WORKER_WATCH_H

#include "worker/state.h"

/* Starts the watch if worker_watchdog_timeout says so and the broker can be revived; it ends with
 * worker->watch_timer. */
void cel__watch_start(cel_worker *worker);

#endif
