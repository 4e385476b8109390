/* events.h - hearing what workers and clients say: Celery's events, as Flower hears them.
 *
 *     static void show(void *user, const char *type, const json_t *event) { ... }
 *
 *     cel_events_open(&events, app, CEL_EVENTS_OPTIONS(.on_event = show), &err);
 *     cel_events_run(events, 60000, &err);
 *     cel_events_close(events);
 *
 * An event is a JSON object: "type", "hostname", "timestamp", "clock", and what its type has: see the guide.
 * Workers of ours and of Python's send those of themselves always, those of their tasks with -E. */
#ifndef CELERIAC_EVENTS_H
#define CELERIAC_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"

CEL_BEGIN_DECLS

typedef struct cel_events cel_events;

/* Zero means the default. Strings are copied. */
typedef struct cel_events_options {
    size_t size;         /* sizeof(cel_events_options) */
    const char *pattern; /* of routing keys: "#" (the default) all, "worker.#", "task.#" */
    /* Each event, in the order in which it came; borrowed for the call, on the thread of cel_events_run(). "local_received" is
     * added to it: when it came. */
    void (*on_event)(void *user, const char *type, const json_t *event);
    /* The broker is out of reach (err), or there again (NULL); what is said meanwhile is not heard. May be NULL. */
    void (*on_outage)(void *user, const cel_error *err);
    void *user;
} cel_events_options;

#define CEL_EVENTS_OPTIONS(...) (&(cel_events_options){.size = sizeof(cel_events_options), __VA_ARGS__})

/* Connects and begins to listen; of what is said before nothing is heard. The caller closes it. CEL_EINVAL, CEL_ECONN, CEL_ECONFIG,
 * CEL_ENOMEM. The app is borrowed until the close. */
CEL_API cel_code cel_events_open(cel_events **out, cel_app *app, const cel_events_options *options, cel_error *err);

/* Hears for so many milliseconds (negative: without end), or until cel_events_stop(). One thread at a time. */
CEL_API cel_code cel_events_run(cel_events *events, int64_t timeout_ms, cel_error *err);

/* Ends the run under way, or the next one. Any thread, also inside on_event and in a signal handler. */
CEL_API void cel_events_stop(cel_events *events);

/* NULL is a no-op. Not inside on_event. */
CEL_API void cel_events_close(cel_events *events);

/* Messages that were no events, and left alone. */
CEL_API uint64_t cel_events_malformed(const cel_events *events);

/* What has become of workers and tasks, by all that was heard of them, as celery.events.state.State has it. Not thread-safe. */
typedef struct cel_event_state cel_event_state;

/* Zero: 5,000 workers, 10,000 tasks. Of more, those that nothing was heard of for longest are forgotten; of a text
 * no more than 4 KiB are kept. CEL_ENOMEM. */
CEL_API cel_code cel_event_state_new(cel_event_state **out, size_t max_workers, size_t max_tasks, cel_error *err);
CEL_API void cel_event_state_free(cel_event_state *state);

/* Takes an event (borrowed) into account; others than of workers and tasks change nothing. CEL_ENOMEM. */
CEL_API cel_code cel_event_state_add(cel_event_state *state, const json_t *event, cel_error *err);

/* A task or worker, as an object of its fields; borrowed, NULL if it is unknown. A task has "state" (SUCCESS, ...), "uuid", "name", "args",
 * "worker", "received", "started", "succeeded", ...; a worker "hostname", "active", "processed", "freq", "loadavg", "heartbeat". */
CEL_API const json_t *cel_event_state_task(const cel_event_state *state, const char *uuid);
CEL_API const json_t *cel_event_state_worker(const cel_event_state *state, const char *hostname);

/* Calls `each` for all, those that were heard of last first, until it returns false. It must not change the state. */
CEL_API void cel_event_state_tasks(const cel_event_state *state, bool (*each)(void *user, const json_t *task), void *user);
CEL_API void cel_event_state_workers(const cel_event_state *state, bool (*each)(void *user, const json_t *worker), void *user);

/* How many are known now. */
CEL_API size_t cel_event_state_task_count(const cel_event_state *state);
/* How many are known now. */
CEL_API size_t cel_event_state_worker_count(const cel_event_state *state);

/* Whether the worker lives: it has not gone, and its last heartbeat is no older than twice its interval. `now_s`: seconds since 1970. */
CEL_API bool cel_event_worker_alive(const json_t *worker, double now_s);

CEL_END_DECLS

#endif
