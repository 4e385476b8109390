/* health.c - whether the worker takes work, and what it has done, for those who supervise it.
 *
 * A process that is there is not enough. What counts is a broker that answers behind the request to consume, so that this has been
 * heard, and a process that can run a task. A worker that is looked at by nobody asks nothing. */
#include "app/nodename.h"
#include "core/mem.h"
#include "worker/request.h"

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

/* ---- metrics ---- */

cel_code cel__worker_measure(cel_worker *worker, cel_error *err)
{
    worker->metrics = cel__metrics_new();
    worker->health.lengths = cel__calloc(worker->queue_count, sizeof *worker->health.lengths);
    if (!worker->metrics || !worker->health.lengths)
        return cel_error_set(err, CEL_ENOMEM, "no memory for metrics");
    for (size_t i = 0; i < worker->queue_count; i++)
        worker->health.lengths[i] = -1;
    return CEL_OK;
}

static void on_length(void *user, const cel_queue_info *info, const cel_error *err)
{
    cel_worker *worker = user;

    if (!info) {
        worker->health.lengths_due--;
        if (err) /* what was known is too old */
            for (size_t i = 0; i < worker->queue_count; i++)
                worker->health.lengths[i] = -1;
        return;
    }
    for (size_t i = 0; i < worker->queue_count; i++)
        if (cel__view_eq(worker->queues[i], info->name))
            worker->health.lengths[i] = info->ready;
}

static void ask_lengths(cel_worker *worker)
{
    if (worker->phase != CEL_WORKER_RUNNING || !worker->broker || worker->unreachable ||
        worker->health.lengths_due > 0)
        return;
    for (size_t i = 0; i < worker->queue_count; i++)
        if (worker->broker->ops->queues(worker->broker, worker->queues[i], on_length, worker,
                                        NULL) == CEL_OK)
            worker->health.lengths_due++;
}

static void
add_gauge(cel__buf *out, const char *name, const char *help, cel_view hostname, size_t value)
{
    cel__buf_addf(out, "# HELP celery_%s %s\n# TYPE celery_%s gauge\ncelery_%s{hostname=", name,
                  help, name, name);
    cel__metrics_label(out, hostname);
    cel__buf_addf(out, "} %zu\n", value);
}

void cel__worker_metrics(cel_worker *worker, cel__buf *out)
{
    cel_worker_request *request;
    size_t active = 0;
    pid_t pid;
    cel_view name, host;

    cel__node_split(cel__view(worker->node), &name, &host);
    for (request = worker->active; request; request = request->list_next)
        active++;
    cel__metrics_write(worker->metrics, out, host);
    add_gauge(out, "worker_up", "Whether the worker takes work.", host,
              cel__worker_why_not(worker) == NULL);
    add_gauge(out, "worker_tasks_active", "Tasks that are being run.", host, active);
    add_gauge(out, "worker_tasks_held",
              "Messages that the worker holds, running ones included.", host, worker->held);
    add_gauge(out, "active_process_count", "Processes of the pool.", host,
              worker->pool ? worker->pool_ops->pids(worker->pool, &pid, 1) : 0);
    cel__buf_add_str(out, "# HELP celery_queue_length Messages that wait in a queue.\n"
                          "# TYPE celery_queue_length gauge\n");
    for (size_t i = 0; i < worker->queue_count; i++) {
        if (worker->health.lengths[i] < 0)
            continue;
        cel__buf_add_str(out, "celery_queue_length{queue_name=");
        cel__metrics_label(out, worker->queues[i]);
        cel__buf_addf(out, "} %lld\n", (long long)worker->health.lengths[i]);
    }
    ask_lengths(worker);
}
