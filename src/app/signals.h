/* signals.h - telling the callbacks of celeriac/signals.h. */
#ifndef CEL_APP_SIGNALS_H
#define CEL_APP_SIGNALS_H

#include "app/app.h"
#include "celeriac/signals.h"
#include "core/view.h"

/* Whether anybody listens: what is told need not be made otherwise. Any thread. */
bool cel__signal_wanted(const cel_app *app, cel_signal signal);

/* Calls the callbacks; event->app is filled in. */
void cel__signal_send(cel_app *app, const cel_signal_event *event);

/* The same for a signal about a message, in views. No memory: not told. */
void cel__signal_message(
    cel_app *app, cel_signal signal, cel_view task, cel_view task_id, cel_view routing_key);

void cel__signals_free(struct cel_signal_node *nodes);

#endif
