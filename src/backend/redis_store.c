/* redis_store.c - storing results in Redis.
 *
 * The results of one turn of the loop go in one call of the script: a call costs the server as
 * much as a result. Whatever else is sent meanwhile is sent behind them. */
#include "backend/redis_impl.h"
#include "core/mem.h"

#define BATCH_MAX   256
#define BATCH_BYTES ((size_t)1 << 20)

struct waiting {
    cel_backend_cb cb;
    void *user;
};

struct cel__redis_batch {
    cel__redis_request request;
    size_t count;
    cel__buf keys, args; /* words */
    struct waiting waiting[BATCH_MAX];
};

static void
on_stored(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct cel__redis_batch *batch = (struct cel__redis_batch *)request;

    (void)reply;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->waiting[i].cb)
            batch->waiting[i].cb(batch->waiting[i].user, err ? err->code : CEL_OK, err);
    cel__free(batch);
}

static void send_batch(redis_backend *backend,
                       struct cel__redis_batch *batch,
                       cel__buf *keys,
                       cel__buf *args)
{
    cel__buf command = {0};
    cel_error err;

    cel__buf_reserve(&command, keys->len + args->len + 128);
    cel__redis_call_many(&command, CEL_REDIS_STORE, batch->count, 1 + 2 * batch->count);
    cel__buf_add_view(&command, cel__buf_view(keys));
    cel__redis_int(&command, backend->expires_s);
    cel__buf_add_view(&command, cel__buf_view(args));
    command.failed = command.failed || keys->failed || args->failed;
    if (cel__redis_send(backend->commands, &batch->request, &command, &err) != CEL_OK)
        on_stored(&batch->request, NULL, &err);
}

void cel__redis_flush_stores(redis_backend *backend)
{
    struct cel__redis_batch *batch = backend->batch;
    cel__buf keys, args;

    if (!batch)
        return;
    backend->batch = NULL;
    keys = batch->keys;
    args = batch->args;
    batch->keys = batch->args = (cel__buf){0};
    send_batch(backend, batch, &keys, &args);
    cel__buf_done(&keys);
    cel__buf_done(&args);
}

cel_code cel__redis_submit(redis_backend *backend,
                           cel__redis_request *request,
                           cel__buf *command,
                           cel_error *err)
{
    cel__redis_flush_stores(backend);
    return cel__redis_send(backend->commands, request, command, err);
}

static struct cel__redis_batch *need_batch(redis_backend *backend)
{
    if (!backend->batch)
        backend->batch = cel__malloc(sizeof *backend->batch);
    else
        return backend->batch;
    if (!backend->batch)
        return NULL;
    backend->batch->request = (cel__redis_request){.done = on_stored};
    backend->batch->count = 0;
    backend->batch->keys = backend->batch->args = (cel__buf){0};
    return backend->batch;
}

/* Takes back a word that did not fit. */
static cel_code
fail_record(struct cel__redis_batch *batch, size_t keys, size_t args, cel_error *err)
{
    batch->keys.len = keys;
    batch->args.len = args;
    batch->keys.failed = batch->args.failed = false;
    return cel_error_set(err, CEL_ENOMEM, "no memory for the result store");
}

static cel_code add_record(redis_backend *backend,
                           const cel_backend_record *record,
                           cel_view document,
                           cel_backend_cb cb,
                           void *user,
                           cel_error *err)
{
    struct cel__redis_batch *batch = need_batch(backend);
    size_t keys, args;

    if (!batch)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the result store");
    keys = batch->keys.len;
    args = batch->args.len;
    cel__redis_word2(&batch->keys, CEL_VIEW(CEL_REDIS_TASK_KEY), record->task_id);
    cel__redis_word(&batch->args, document);
    cel__redis_int(&batch->args, !record->ready                            ? 0
                                 : cel__view_is(record->status, "SUCCESS") ? 2
                                                                           : 1);
    if (batch->keys.failed || batch->args.failed)
        return fail_record(batch, keys, args, err);
    batch->waiting[batch->count++] = (struct waiting){cb, user};
    if (batch->count == BATCH_MAX || batch->args.len >= BATCH_BYTES)
        cel__redis_flush_stores(backend);
    return CEL_OK;
}

cel_code cel__redis_store(cel_backend *base,
                          const cel_backend_record *record,
                          cel_backend_cb cb,
                          void *user,
                          cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf scratch = {0};
    cel_view document;
    cel_code code = cel__redis_check_open(backend, err);

    if (code == CEL_OK)
        code = cel__redis_encode(backend, &document, record->document, &scratch, err);
    if (code == CEL_OK)
        code = add_record(backend, record, document, cb, user, err);
    cel__buf_done(&scratch);
    return code;
}
