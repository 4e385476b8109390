/* wait.c - watch first, read then, read again on each notification.
 *
 *  - Targets that are few: their documents, and those of their parents in a chain, for a failed parent may be
 *    all that ever comes. Only what has not ended yet is read again.
 *  - The members of a large group: a count, which costs the same for any number; the documents are read once, when the count
 *    says that all are there. Should some be missing then (expired, or stored without the group's id), reading goes on by id. */
#include "app/wait.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "message/result.h"

static void free_wait(cel_client_op *op)
{
    cel_wait *wait = (cel_wait *)op;

    for (size_t i = 0; wait->ids && i < wait->count; i++) {
        cel__free(wait->ids[i].id);
        cel__free(wait->ids[i].document);
    }
    cel__free(wait->ids);
    cel__free(wait->order);
    cel__free(wait->gid);
    cel__free(wait);
}

static void end_wait(cel_wait *wait, cel_code code, const cel_error *err)
{
    cel__client_backend(&wait->op)->ops->unwatch(wait->watch);
    wait->watch = NULL;
    cel__client_finish(&wait->op, code, err);
}

static bool targets_ended(const cel_wait *wait)
{
    for (size_t i = 0; i < wait->target_count; i++)
        if (!wait->ids[i].ready)
            return false;
    return true;
}

static bool parent_failed(const cel_wait *wait)
{
    for (size_t i = wait->target_count; i < wait->count; i++)
        if (wait->ids[i].failed)
            return true;
    return false;
}

/* What has been read counts, unless the store has counted. */
static void count_documents(cel_wait *wait)
{
    wait->ended = wait->succeeded = 0;
    for (size_t i = 0; i < wait->target_count; i++) {
        wait->ended += wait->ids[i].ready;
        wait->succeeded += wait->ids[i].ready && !wait->ids[i].failed;
    }
}

static bool goal_reached(cel_wait *wait)
{
    if (!wait->gid || wait->counted)
        count_documents(wait);
    switch (wait->goal) {
    case CEL_WAIT_ENDED:
        return targets_ended(wait) || parent_failed(wait);
    case CEL_WAIT_COUNT:
        return wait->ended >= 0 && (size_t)wait->ended > wait->seen;
    case CEL_WAIT_LOOK:
        break;
    }
    return true;
}

static void read_again(cel_wait *wait);

/* An answer is complete. */
static void after_answer(cel_wait *wait, const cel_error *err)
{
    wait->busy = false;
    if (err)
        end_wait(wait, err->code, err);
    else if (wait->abandoned)
        end_wait(wait, CEL_ECANCELED, NULL);
    else if (goal_reached(wait))
        end_wait(wait, CEL_OK, NULL);
    else if (wait->again)
        read_again(wait);
}

static cel_wait_id *find_id(cel_wait *wait, cel_view id)
{
    size_t low = 0, high = wait->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        cel_wait_id *found = &wait->ids[wait->order[mid]];
        size_t len = strlen(found->id);
        int diff = memcmp(found->id, id.ptr, len < id.len ? len : id.len);

        if (diff == 0)
            diff = (len > id.len) - (len < id.len);
        if (diff == 0)
            return found;
        if (diff < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void keep_document(cel_wait_id *id, cel_view document)
{
    cel_result_meta meta;
    cel__buf scratch = {0};
    char *copy = cel__memdup(document.ptr, document.len);

    if (!copy)
        return; /* as if it had not come: a later read may have the memory */
    cel__free(id->document);
    id->document = copy;
    id->len = document.len;
    /* What is no document will not become one: let the reader see it. */
    id->ready = true;
    id->failed = false;
    if (cel__result_meta_load(&meta, document, &scratch, NULL) == CEL_OK) {
        id->ready = cel__state_ready(meta.status);
        id->failed = id->ready && cel__state_failed(meta.status);
    }
    cel__buf_done(&scratch);
}

static void on_document(void *user, cel_view task_id, cel_view document, const cel_error *err)
{
    cel_wait *wait = user;
    cel_wait_id *id;

    if (!task_id.ptr) {
        after_answer(wait, err);
        return;
    }
    id = find_id(wait, task_id);
    if (id)
        keep_document(id, document);
}

/* Submits the reading of the documents that may still change. */
static cel_code fetch_missing(cel_wait *wait, cel_error *err)
{
    cel_backend *backend = cel__client_backend(&wait->op);
    cel_view *ids = cel__calloc(wait->count + 1, sizeof *ids);
    cel_code code;
    size_t count = 0;

    if (!ids)
        return cel_error_set(err, CEL_ENOMEM, "no memory to read %zu results", wait->count);
    for (size_t i = 0; i < wait->count; i++)
        if (!wait->ids[i].ready)
            ids[count++] = cel__view(wait->ids[i].id);
    wait->busy = true;
    code = backend->ops->fetch(backend, ids, count, on_document, wait, err);
    if (code != CEL_OK)
        wait->busy = false;
    cel__free(ids);
    return code;
}

static bool wants_documents(const cel_wait *wait)
{
    return wait->goal == CEL_WAIT_ENDED || (wait->goal == CEL_WAIT_LOOK && wait->documents);
}

static void on_count(void *user, int64_t ready, int64_t succeeded, const cel_error *err)
{
    cel_wait *wait = user;

    wait->ended = ready;
    wait->succeeded = succeeded;
    if (!err && !wait->abandoned && wants_documents(wait) &&
        (size_t)ready >= wait->target_count) {
        cel_error why = {0};
        cel_code code;

        wait->counted = true;
        code = fetch_missing(wait, &why);
        if (code != CEL_OK)
            end_wait(wait, code, &why);
        return;
    }
    after_answer(wait, err);
}

/* Submits the next reading: of counts where these will do. */
static cel_code read_next(cel_wait *wait, cel_error *err)
{
    cel_backend *backend = cel__client_backend(&wait->op);
    cel_code code;

    wait->again = false;
    if (wait->gid && !wait->counted) {
        wait->busy = true;
        code = backend->ops->group_count(backend, cel__view(wait->gid), on_count, wait, err);
        if (code == CEL_OK)
            return code;
        wait->busy = false;
        if (code != CEL_ENOTSUP)
            return code;
        wait->counted = true; /* this store cannot count */
    }
    return fetch_missing(wait, err);
}

static void read_again(cel_wait *wait)
{
    cel_error err = {0};
    cel_code code = read_next(wait, &err);

    if (code != CEL_OK)
        end_wait(wait, code, &err);
}

static void on_changed(void *user)
{
    cel_wait *wait = user;

    if (wait->busy)
        wait->again = true;
    else
        read_again(wait);
}

static void abandon_wait(cel_client_op *op)
{
    cel_wait *wait = (cel_wait *)op;

    wait->abandoned = true;
    if (!wait->busy)
        end_wait(wait, CEL_ECANCELED, NULL);
}

static cel_code watch_ids(cel_wait *wait, cel_error *err)
{
    cel_backend *backend = cel__client_backend(&wait->op);
    cel_view *ids;
    cel_code code;

    if (wait->gid) {
        cel_view gid = cel__view(wait->gid);

        code = backend->ops->watch(&wait->watch, backend, &gid, 1, true, on_changed, wait, err);
        if (code != CEL_ENOTSUP)
            return code;
        wait->counted = true; /* this store knows no groups: by their members */
    }
    ids = cel__calloc(wait->count + 1, sizeof *ids);
    if (!ids)
        return cel_error_set(err, CEL_ENOMEM, "no memory to wait for %zu results", wait->count);
    for (size_t i = 0; i < wait->count; i++)
        ids[i] = cel__view(wait->ids[i].id);
    code = backend->ops->watch(&wait->watch, backend, ids, wait->count, false, on_changed, wait,
                               err);
    cel__free(ids);
    return code;
}

static cel_code start_wait(cel_client_op *op, cel_error *err)
{
    cel_wait *wait = (cel_wait *)op;
    cel_backend *backend = cel__client_backend(op);
    cel_code code = CEL_OK;

    if (wait->goal != CEL_WAIT_LOOK)
        code = watch_ids(wait, err);
    if (code != CEL_OK)
        return code;
    code = read_next(wait, err);
    if (code != CEL_OK) {
        backend->ops->unwatch(wait->watch);
        wait->watch = NULL;
    }
    return code;
}

/* ---- making one ---- */

cel_code cel__wait_new(cel_wait **out, cel_client *client, cel_error *err)
{
    cel_wait *wait = cel__calloc(1, sizeof *wait);

    if (!wait)
        return cel_error_set(err, CEL_ENOMEM, "no memory to wait for results");
    wait->op.start = start_wait;
    wait->op.abandon = abandon_wait;
    wait->op.free = free_wait;
    wait->op.needs_backend = true;
    cel__client_op_init(client, &wait->op);
    *out = wait;
    return CEL_OK;
}

cel_code cel__wait_add(cel_wait *wait, const char *id, bool parent, cel_error *err)
{
    if (wait->count == wait->cap) {
        size_t cap = wait->cap ? 2 * wait->cap : 4;
        cel_wait_id *ids = cel__realloc(wait->ids, cap * sizeof *ids);

        if (!ids)
            return cel_error_set(err, CEL_ENOMEM, "no memory to wait for %zu results", cap);
        wait->ids = ids;
        wait->cap = cap;
    }
    wait->ids[wait->count] = (cel_wait_id){.id = cel__strdup(id)};
    if (!wait->ids[wait->count].id)
        return cel_error_set(err, CEL_ENOMEM, "no memory to wait for a result");
    assert(parent || wait->target_count == wait->count);
    wait->count++;
    if (!parent)
        wait->target_count = wait->count;
    return CEL_OK;
}

static int compare_ids(const void *a, const void *b, void *user)
{
    const cel_wait_id *ids = user;

    return strcmp(ids[*(const size_t *)a].id, ids[*(const size_t *)b].id);
}

cel_code cel__wait_run(cel_wait *wait, int64_t timeout_ms, cel_error *err)
{
    wait->order = cel__calloc(wait->count + 1, sizeof *wait->order);
    if (!wait->order)
        return cel_error_set(err, CEL_ENOMEM, "no memory to wait for %zu results", wait->count);
    for (size_t i = 0; i < wait->count; i++)
        wait->order[i] = i;
    qsort_r(wait->order, wait->count, sizeof *wait->order, compare_ids, wait->ids);
    return cel__client_run(&wait->op, timeout_ms, err);
}
