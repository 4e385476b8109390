/* app.h - the inside of a cel_app, for the floors above (worker, services, command).
 *
 * An app has a configuration (config.h), a registry (registry.h) and, opened on first use, a client side: one private
 * loop with broker and backend (client.h), driven by whichever caller waits. A worker does not use the client side: it opens its own broker and
 * backend on its own loop. */
#ifndef CEL_APP_APP_H
#define CEL_APP_APP_H

#include "app/config.h"
#include "app/registry.h"
#include "celeriac/app.h"
#include "core/clock.h"
#include "core/log.h"

struct cel_client;

struct cel_app {
    char *name;              /* owned */
    cel_config *config;      /* owned */
    cel_registry *registry;  /* owned */
    const cel_clock *clock;
    cel_log log;
    struct cel_client *client; /* owned; NULL until first used (guarded by client_lock in client.c) */
    void *client_lock;       /* client.c's */
    cel_error module_error;  /* the first failure of cel_task_declare() or cel_module_fail() during a load */
    int pid;                 /* the process that made it */
};

#endif
