/* window.h - how many deliveries to hold: the adaptive prefetch.
 *
 * With a multiplier set by the user the window is slots x multiplier, as in Celery. Otherwise it follows the runtimes: the slots, and
 * ahead of them what they run through during one round trip to the broker; nothing ahead for tasks that take a second. So
 * short tasks come in large batches and long ones leave their successors to other workers. Pure; one thread. */
#ifndef CEL_WORKER_WINDOW_H
#define CEL_WORKER_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#define CEL_WINDOW_ROUND_TRIP_US 10000 /* what the requests held ahead must bridge */
#define CEL_WINDOW_AHEAD_MAX     1024

typedef struct cel_window {
    size_t slots;
    int64_t multiplier; /* > 0: fixed; 0: adaptive */
    int64_t average_us; /* of the runtimes of late; 0: none known */
} cel_window;

void cel__window_init(cel_window *window, size_t slots, int64_t multiplier);

/* Takes a runtime into account. */
void cel__window_note(cel_window *window, int64_t runtime_us);

/* How many deliveries to hold, those in the pool included; at least 1. */
size_t cel__window_size(const cel_window *window);

#endif
