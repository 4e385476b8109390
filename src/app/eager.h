/* eager.h - task_always_eager: what is sent is run at once, in the process that sends it. For tests of what sends tasks.
 *
 * The messages are those that a broker would get, and they are run as a worker would: callbacks, chains, chords and retries
 * follow, one after the other (a retry's countdown and ETAs are not waited for). They run on a thread of their own, so that a task
 * may send others in its turn. Results are in a store of this app's own, or in the configured one with task_store_eager_result. */
#ifndef CEL_APP_EAGER_H
#define CEL_APP_EAGER_H

#include "app/batch.h"

struct cel_eager;

bool cel__eager_is_on(const cel_app *app);

/* The URL of the store in which a client finds results; NULL if there is none. A view that lives as long as the app. */
const char *cel__eager_backend_url(const cel_app *app);

/* Runs the batch and all that follows; returns when nothing is left. A task that fails is no failure of the call: its result says
 * so. CEL_ENOMEM, CEL_EIO, and what the store refuses. Any thread. */
cel_code cel__eager_run(cel_app *app, const cel_batch *batch, cel_error *err);

void cel__eager_free(struct cel_eager *eager);

#endif
