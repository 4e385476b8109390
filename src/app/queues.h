/* queues.h - the queues that a configuration describes. Pure over a configuration; any
 * thread. */
#ifndef CEL_APP_QUEUES_H
#define CEL_APP_QUEUES_H

#include <stdbool.h>

#include <jansson.h>

#include "app/config.h"

/* A queue and how it is bound. Views into the configuration or into the name that was asked
 * for. */
typedef struct cel_queue_spec {
    cel_view name;
    cel_view exchange;      /* empty: the default exchange */
    cel_view exchange_type; /* "direct", "topic", "fanout", "headers" */
    cel_view routing_key;
    const json_t
        *object; /* the Queue object or the dictionary of options; NULL if it has none */
    bool durable;
    bool broadcast;   /* a Broadcast: every worker consumes a queue of its own */
    int max_priority; /* -1: none */
} cel_queue_spec;

/* Checks the shape of task_queues and task_routes; other settings pass. CEL_ECONFIG. */
cel_code cel__queues_check(const char *setting, const json_t *value, cel_error *err);

/* Describes the queue `name`: one of task_queues, the default queue, or, with
 * task_create_missing_queues, one that is made up. CEL_ECONFIG: "queue 'x' is not in
 * task_queues". */
cel_code
cel__queue_find(cel_queue_spec *out, const cel_config *config, cel_view name, cel_error *err);

/* Calls `each` for the queues that a worker consumes if it is told nothing else: those of
 * task_queues, or the default queue. */
void cel__queues_each(const cel_config *config,
                      void (*each)(void *user, const cel_queue_spec *queue),
                      void *user);

#endif
