/* queue_list.h - what the broker says of its queues, for the commands. */
#ifndef CEL_CLI_QUEUE_LIST_H
#define CEL_CLI_QUEUE_LIST_H

#include "app/app.h"
#include "broker/broker.h"

/* Calls `each` for every queue of the app's broker; waits for the answer. */
cel_code cel__queue_list(cel_app *app,
                         void (*each)(void *user, const cel_queue_info *info),
                         void *user,
                         cel_error *err);

#endif
