/* signals.h - Celery's signals, as callbacks of an app: to be told of what happens to any task, and in the life of a worker.
 *
 *     static void count(const cel_signal_event *event, void *user)
 *     {
 *         ++*(int *)user;
 *     }
 *
 *     CEL_MODULE(tasks)
 *     {
 *         cel_signal_connect(app, CEL_SIGNAL_TASK_FAILURE, count, &failures, NULL);
 *     }
 *
 * Callbacks run in the order in which they were connected. They change nothing and must not block: those of the worker run on
 * its loop. Those of tasks run where the task does, in a child of the pool or on one of its threads, within the task's limits: what they
 * count there is counted by child. */
#ifndef CELERIAC_SIGNALS_H
#define CELERIAC_SIGNALS_H

#include "celeriac/app.h"
#include "celeriac/task.h"

CEL_BEGIN_DECLS

/* X(NAME, name, when) */
#define CEL_SIGNALS(X)                                                                           \
    X(BEFORE_TASK_PUBLISH, before_task_publish, "a message is about to be sent by this app")     \
    X(TASK_PRERUN, task_prerun, "a task is about to run")                                        \
    X(TASK_POSTRUN, task_postrun, "a task has ended, whatever its state")                        \
    X(TASK_SUCCESS, task_success, "a task has returned a value")                                 \
    X(TASK_FAILURE, task_failure, "a task has failed")                                           \
    X(TASK_RETRY, task_retry, "a task is to be run again")                                       \
    X(TASK_RECEIVED, task_received, "the worker has received a task that it will run")           \
    X(TASK_REVOKED, task_revoked, "the worker discards a revoked or expired task")               \
    X(TASK_UNKNOWN, task_unknown, "the worker has received a task that is not registered")       \
    X(TASK_REJECTED, task_rejected, "the worker rejects a message that is no task")              \
    X(WORKER_PROCESS_INIT, worker_process_init,                                                  \
      "a child or thread of the pool, or the solo worker, has started")                          \
    X(WORKER_READY, worker_ready, "the worker accepts tasks")                                    \
    X(WORKER_SHUTTING_DOWN, worker_shutting_down, "the worker begins to stop")

#define CEL_X(NAME, name, when) CEL_SIGNAL_##NAME,
typedef enum cel_signal { CEL_SIGNALS(CEL_X) CEL_SIGNAL_COUNT } cel_signal;
#undef CEL_X

/* Views that live during the call; NULL is what the signal does not have. */
typedef struct cel_signal_event {
    cel_signal signal;
    cel_app *app;
    const char *task, *task_id;  /* of signals about a task; task_rejected has none */
    const char *routing_key;     /* before_task_publish: where it goes; task_received and after: the queue */
    cel_request *request;        /* of a task that runs */
    const cel_task_end *end;     /* how it ended, as hooks are told */
} cel_signal_event;

typedef void (*cel_signal_fn)(const cel_signal_event *event, void *user);

/* Calls `fn` on each such signal from now on, for as long as the app lives. Before the worker starts, one thread. CEL_EINVAL if there is no
 * such signal. */
CEL_API cel_code
cel_signal_connect(cel_app *app, cel_signal signal, cel_signal_fn fn, void *user, cel_error *err);

/* Returns the name, "task_success"; NULL if there is no such signal. */
CEL_API const char *cel_signal_name(cel_signal signal);

CEL_END_DECLS

#endif
