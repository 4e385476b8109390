/* declare.h - how a configuration says that queues are declared, for the brokers
 * (cel_broker_options.describe). */
#ifndef CEL_APP_DECLARE_H
#define CEL_APP_DECLARE_H

#include "app/app.h"
#include "broker/broker.h"

/* Sets the members by which a broker asks how queues are declared, and how it connects. The app
 * must outlive the broker. */
void cel__app_broker_options(const cel_app *app, cel_broker_options *options);

/* describe of cel_broker_options; `app` is a cel_app. Any thread. */
bool cel__app_describe(const void *app, cel_view queue, cel_queue_decl *out);

/* Describes a queue that the configuration does not list, for a worker that is told to consume it. An
 * empty exchange is one of the queue's name; an empty key the queue's name. Copies. One that is
 * listed, or was added, stays as it is. CEL_EFULL if there are too many, CEL_ENOMEM. */
cel_code cel__app_add_queue(cel_app *app,
                            cel_view queue,
                            cel_view exchange,
                            cel_view exchange_type,
                            cel_view routing_key,
                            cel_error *err);

/* queues_of of cel_broker_options. Any thread. */
void cel__app_queues_of(const void *app,
                        cel_view exchange,
                        void (*each)(void *to, cel_view queue),
                        void *to);

/* Frees what the above have kept for the app. */
void cel__declarations_free(struct cel_declaration *declarations);

#endif
