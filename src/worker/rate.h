/* rate.h - rate limits of tasks, "100/s", "10/m", "5/h": per worker, as Celery's, but even: no bursts. */
#ifndef CEL_WORKER_RATE_H
#define CEL_WORKER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/registry.h"

/* Reads a limit into the microseconds between two runs; 0 for none ("", "0", NULL). False if it is no limit. */
bool cel__rate_parse(int64_t *interval_us, const char *text);

/* Takes the next turn of the task and returns how long from `now_us` (wall) it is to wait for it; 0 without a limit. */
int64_t cel__rate_delay_us(cel_task_entry *entry, int64_t now_us);

#endif
