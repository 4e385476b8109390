/* route.h - where a message goes. Pure over a configuration; any thread. */
#ifndef CEL_APP_ROUTE_H
#define CEL_APP_ROUTE_H

#include <jansson.h>

#include "app/config.h"
#include "app/registry.h"
#include "message/task.h"

/* Fills in exchange, routing_key (views into config, options or entry), priority,
 * delivery_mode, compression and serializer of `message`, whose task is set. Order: `options`
 * (a signature's: queue, exchange, routing_key, priority, delivery_mode, compression,
 * serializer; may be NULL), task_routes (exact, glob, list of them), the task's own `queue` (entry may be NULL),
 * task_default_queue. A direct queue is addressed by the default exchange: exchange "" and
 * its name. `scratch` is not needed now. CEL_ECONFIG: the queue is not configured and must
 * not be made up. */
cel_code cel__route(cel_task_message *message,
                    const cel_config *config,
                    const cel_task_entry *entry,
                    const json_t *options,
                    cel__buf *scratch,
                    cel_error *err);

#endif
