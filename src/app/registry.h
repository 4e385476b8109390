/* registry.h - the tasks that an app knows. Filled by one thread before the worker starts, then
 * read by any. */
#ifndef CEL_APP_REGISTRY_H
#define CEL_APP_REGISTRY_H

#include "celeriac/task.h"
#include "core/view.h"

#define CEL_TASK_NAME_MAX 255 /* bytes of a task's name: the limit of result tables */

/* A registered task. Stays where it is while the registry lives, also when it is replaced. */
typedef struct cel_task_entry {
    char *name; /* owned */
    cel_task_fn fn;
    const struct cel_program_entry *program; /* borrowed; NULL: a function. See program.h */
    cel_task_options options; /* strings owned by the entry; `size` is that of this library */
    /* Statistics for the worker's loop thread alone: runtimes of late, in microseconds, moving
     * average; 0: not known. */
    int64_t average_us;
    int64_t next_turn_us; /* rate limit: wall time of the next run */
    int64_t started;      /* how often it was begun */
} cel_task_entry;

typedef struct cel_registry cel_registry;

cel_code cel__registry_new(cel_registry **out, cel_error *err);

/* NULL is a no-op. */
void cel__registry_free(cel_registry *registry);

/* Adds or replaces. Copies; `options` may be NULL. CEL_EINVAL names the task and the option that is
 * out of range; the registry is then as before. */
cel_code cel__registry_add(cel_registry *registry,
                           const char *name,
                           cel_task_fn fn,
                           const cel_task_options *options,
                           cel_error *err);

/* Changes the limit of a task, on the thread that reads it: the worker's loop. Copies; NULL is none.
 * CEL_ENOMEM. */
cel_code cel__registry_set_rate_limit(cel_task_entry *entry, const char *rate_limit);

/* Returns a view of the entry, or NULL. */
cel_task_entry *cel__registry_find(const cel_registry *registry, cel_view name);

/* Calls `each` for every task, sorted by name. `each` must not add tasks. */
void cel__registry_each(const cel_registry *registry,
                        void (*each)(void *user, cel_task_entry *entry),
                        void *user);
size_t cel__registry_count(const cel_registry *registry);

#endif
