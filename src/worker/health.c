/* health.c - whether the worker takes work, for those who supervise it.
 *
 * A process that is there is not enough. What counts is a broker that answers behind the request to consume, so that this has been
 * heard, and a process that can run a task. A worker that is looked at by nobody asks nothing. */
#include "worker/state.h"

static void on_queue(void *user, const cel_queue_info *info, const cel_error *err)
{
    cel_worker *worker = user;

    if (info)
        return;
    worker->health.asking = false;
    /* An error of the server is an answer, too; without one the next look asks again. */
    worker->health.answered = !worker->unreachable &&
                              (!err || (err->code != CEL_ECONN && err->code != CEL_ETIMEDOUT &&
                                        err->code != CEL_ECANCELED));
}

static void ask(cel_worker *worker)
{
    cel_error err = {0};

    if (worker->health.asking)
        return;
    if (worker->broker->ops->queues(worker->broker, worker->queues[0], on_queue, worker,
                                    &err) == CEL_OK)
        worker->health.asking = true;
    else
        worker->health.answered = err.code == CEL_ENOTSUP;
}

const char *cel__worker_why_not(cel_worker *worker)
{
    pid_t pid;

    if (worker->phase > CEL_WORKER_RUNNING)
        return "stopping";
    if (worker->phase == CEL_WORKER_NEW || !worker->consumer)
        return "the broker has not been reached yet";
    if (worker->unreachable) {
        worker->health.answered = false;
        return "the broker is out of reach";
    }
    if (!worker->health.answered) {
        ask(worker);
        if (!worker->health.answered)
            return "the broker has not confirmed that messages come";
    }
    if (worker->pool_ops->pids(worker->pool, &pid, 1) == 0)
        return "no process is alive that could run a task";
    return NULL;
}
