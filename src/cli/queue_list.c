/* queue_list.c - see queue_list.h. */
#include "cli/queue_list.h"

#include "app/client.h"
#include "app/queues.h"
#include "core/mem.h"

#define TIMEOUT_MS 10000

struct list_op {
    cel_client_op op; /* first */
    cel_app *app;     /* borrowed */
    void (*each)(void *user, const cel_queue_info *info);
    void *user;
    size_t pending; /* queues asked for by name */
    bool starting;
    cel_error err;
};

static void on_info(void *user, const cel_queue_info *info, const cel_error *err)
{
    struct list_op *list = user;

    if (info)
        list->each(list->user, info);
    else
        cel__client_finish(&list->op, err ? err->code : CEL_OK, err);
}

/* ---- a broker that cannot list: the configured queues are asked for, one by one ---- */

static void finish_some(struct list_op *list)
{
    if (list->pending == 0 && !list->starting)
        cel__client_finish(&list->op, list->err.code, &list->err);
}

static void on_one(void *user, const cel_queue_info *info, const cel_error *err)
{
    struct list_op *list = user;

    if (info) {
        list->each(list->user, info);
        return;
    }
    if (err && list->err.code == CEL_OK)
        list->err = *err;
    list->pending--;
    finish_some(list);
}

static void ask_for(void *user, const cel_queue_spec *queue)
{
    struct list_op *list = user;
    cel_broker *broker = cel__client_broker(&list->op);

    if (broker->ops->queues(broker, queue->name, on_one, list, &list->err) == CEL_OK)
        list->pending++;
}

static cel_code ask_for_all(struct list_op *list, cel_error *err)
{
    list->starting = true;
    cel__queues_each(list->app->config, ask_for, list);
    list->starting = false;
    if (list->pending > 0)
        return CEL_OK;
    if (list->err.code == CEL_OK)
        return cel_error_set(err, CEL_ENOTSUP,
                             "this broker cannot list queues, and none is configured");
    *err = list->err;
    return list->err.code;
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    cel_broker *broker = cel__client_broker(op);
    cel_code code = broker->ops->queues(broker, (cel_view){0}, on_info, op, err);

    return code == CEL_ENOTSUP ? ask_for_all((struct list_op *)op, err) : code;
}

static void free_op(cel_client_op *op)
{
    cel__free(op);
}

cel_code cel__queue_list(cel_app *app,
                         void (*each)(void *user, const cel_queue_info *info),
                         void *user,
                         cel_error *err)
{
    struct list_op *list;
    cel_client *client;
    cel_code code = cel__client_get(&client, app, err);

    if (code != CEL_OK)
        return code;
    list = cel__calloc(1, sizeof *list);
    if (!list)
        return cel_error_set(err, CEL_ENOMEM, "no memory to list the queues");
    list->app = app;
    list->each = each;
    list->user = user;
    list->op.start = start;
    list->op.free = free_op;
    list->op.needs_broker = true;
    cel__client_op_init(client, &list->op);
    code = cel__client_run(&list->op, TIMEOUT_MS, err);
    cel__client_op_unref(&list->op);
    return code;
}
