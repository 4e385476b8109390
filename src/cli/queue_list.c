/* queue_list.c - see queue_list.h. */
#include "cli/queue_list.h"

#include "app/client.h"
#include "core/mem.h"

#define TIMEOUT_MS 10000

struct list_op {
    cel_client_op op; /* first */
    void (*each)(void *user, const cel_queue_info *info);
    void *user;
};

static void on_info(void *user, const cel_queue_info *info, const cel_error *err)
{
    struct list_op *list = user;

    if (info)
        list->each(list->user, info);
    else
        cel__client_finish(&list->op, err ? err->code : CEL_OK, err);
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    cel_broker *broker = cel__client_broker(op);

    return broker->ops->queues(broker, (cel_view){0}, on_info, op, err);
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
