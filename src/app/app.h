/* app.h - the inside of a cel_app, for the floors above (worker, services, command).
 *
 * An app has a configuration (config.h), a registry (registry.h) and, opened on first use, a client
 * side: one private loop with broker and backend (client.h), driven by whichever caller waits. A
 * worker does not use the client side: it opens its own broker and backend on its own loop. */
#ifndef CEL_APP_APP_H
#define CEL_APP_APP_H

#include <pthread.h>

#include "app/coding.h"
#include "app/config.h"
#include "app/registry.h"
#include "celeriac/app.h"
#include "core/clock.h"
#include "core/log.h"
#include "message/event.h"

struct cel_client;
struct cel_declaration;
struct cel_eager;
struct cel_flow_entry;
struct cel_program_entry;
struct cel_signal_node;

struct cel_app {
    char *name;             /* owned */
    cel_config *config;     /* owned */
    cel_registry *registry; /* owned */
    cel__codings codings;   /* how bodies and results are written, which are accepted */
    const cel_clock *clock;
    cel_log log;
    pthread_mutex_t client_lock; /* guards `client` */
    struct cel_client *client;   /* owned; NULL until first used */
    cel_error module_error; /* the first failure of cel_task_declare() or cel_module_fail() */
    int pid;                /* the process that made it */
    uint64_t serial;        /* of the app in this process, so that caches know it again */
    char *broker_url;       /* owned; what is in force, never NULL */
    char *backend_url;      /* owned; NULL: results are disabled */
    cel_lamport lamport; /* of what the client says; for whoever drives its loop */
    char origin[96];        /* "gen<pid>@<host name>" */
    char reply_to[37];      /* a UUID, as Celery sends it */
    pthread_mutex_t declare_lock;         /* guards `declarations` */
    struct cel_declaration *declarations; /* owned; see declare.h */
    struct cel_eager *eager;              /* owned; NULL until first used, guarded by client_lock; see eager.h */
    char eager_url[40];                   /* its own store */
    struct cel_signal_node *signals;      /* owned; see signals.h */
    unsigned signals_wanted;              /* a bit for each signal that has callbacks */
    struct cel_program_entry *programs;   /* owned; see program.h */
    pthread_mutex_t beat_lock; /* guards what follows */
    json_t *beat_entries;      /* owned: what cel_beat_add() has added, by name; NULL: nothing */
    struct cel_beat *beat;     /* that runs; NULL: none */
    bool beat_stop;            /* cel_beat_stop() came before the run */
    struct cel_flow_entry *flows;         /* owned, in the order of their names; see flow.h */
};

/* The URLs in force: as configured, else the embedded default; views that live as long as the app. Where
 * only the broker is known, the result store is the same file (sqlite) or the same memory. The backend's is NULL
 * when results are disabled. */
const char *cel__app_broker_url(const cel_app *app);
const char *cel__app_backend_url(const cel_app *app);

/* Whether cel_app_load() would find a file for this module. */
bool cel__module_is_there(const char *module);

/* Whether results come as messages to this app, which must listen before it sends: rpc://. */
bool cel__app_listens(const cel_app *app);

/* CEL_EINVAL in a process that is not the one that made the app. */
cel_code cel__app_check_process(const cel_app *app, cel_error *err);

#endif
