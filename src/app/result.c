/* result.c - what users do with a handle.
 *
 * A handle keeps the stored document once its task has ended, and its failure: neither can change any
 * more. So a second get() costs no I/O, and views of a failure stay valid. */
#include "celeriac/result.h"

#include <stdio.h>
#include <string.h>

#include "app/client.h"
#include "app/handle.h"
#include "app/wait.h"
#include "core/json.h"
#include "core/mem.h"
#include "message/result.h"

#define LOOK_TIMEOUT_MS 10000 /* for one answer of the result store */
#define PARENTS_MAX     64    /* steps before a task that are watched with it */
#define GROUP_SMALL     64    /* members that are rather watched one by one */

/* ---- the tasks below a handle ---- */

struct leaves {
    cel_result **items; /* owned array of borrowed handles */
    size_t count, cap;
};

static bool add_leaves(struct leaves *leaves, cel_result *result)
{
    if (result->group) {
        for (size_t i = 0; i < result->count; i++)
            if (!add_leaves(leaves, result->children[i]))
                return false;
        return true;
    }
    if (leaves->count == leaves->cap) {
        size_t cap = leaves->cap ? 2 * leaves->cap : 4;
        cel_result **items = cel__realloc(leaves->items, cap * sizeof(cel_result *));

        if (!items)
            return false;
        leaves->items = items;
        leaves->cap = cap;
    }
    leaves->items[leaves->count++] = result;
    return true;
}

/* Whether the store's count of the group's results is the count of its members. */
static bool is_flat(const cel_result *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (group->children[i]->group)
            return false;
    return true;
}

static bool is_known(cel_result *result)
{
    bool known;

    pthread_mutex_lock(&result->lock);
    known = result->document != NULL;
    pthread_mutex_unlock(&result->lock);
    return known;
}

static bool all_known(const struct leaves *leaves)
{
    for (size_t i = 0; i < leaves->count; i++)
        if (!is_known(leaves->items[i]))
            return false;
    return true;
}

/* ---- one reading ---- */

static cel_code
make_wait(cel_wait **out, cel_result *result, const struct leaves *leaves, cel_error *err)
{
    cel_client *client;
    cel_wait *wait;
    cel_result *parent = result->parent;
    cel_code code = cel__client_get(&client, result->app, err);

    if (code == CEL_OK)
        code = cel__wait_new(&wait, client, err);
    if (code != CEL_OK)
        return code;
    for (size_t i = 0; i < leaves->count && code == CEL_OK; i++)
        code = cel__wait_add(wait, leaves->items[i]->id, false, err);
    for (size_t i = 0; i < PARENTS_MAX && parent && !parent->group && code == CEL_OK; i++) {
        code = cel__wait_add(wait, parent->id, true, err);
        parent = parent->parent;
    }
    if (code == CEL_OK && result->group && result->count > GROUP_SMALL && is_flat(result)) {
        wait->gid = cel__strdup(result->id);
        if (!wait->gid)
            code = cel_error_set(err, CEL_ENOMEM, "no memory to wait for a group");
    }
    if (code == CEL_OK)
        *out = wait;
    else
        cel__client_op_unref(&wait->op);
    return code;
}

/* Moves the documents of what has ended into the handles. */
static void keep_documents(cel_wait *wait, const struct leaves *leaves)
{
    for (size_t i = 0; i < wait->target_count; i++) {
        cel_wait_id *id = &wait->ids[i];
        cel_result *leaf = leaves->items[i];

        if (!id->ready || !id->document)
            continue;
        pthread_mutex_lock(&leaf->lock);
        if (!leaf->document) {
            leaf->document = id->document;
            leaf->document_len = id->len;
            id->document = NULL;
        }
        pthread_mutex_unlock(&leaf->lock);
    }
}

/* ---- failures ---- */

static char *text_of(cel_view view)
{
    return view.ptr ? cel__memdup(view.ptr, view.len) : NULL;
}

/* Remembers the failure in `document` of the task `culprit`, unless one is known already. */
static cel_code
keep_failure(cel_result *result, cel_view document, const char *culprit, cel_error *err)
{
    cel__buf scratch = {0}, more = {0}, text = {0};
    cel_result_meta meta;
    cel_exception exception;
    cel_code code = cel__result_meta_load(&meta, document, &scratch, err);

    if (code != CEL_OK) {
        cel__buf_done(&scratch);
        return code;
    }
    cel__exception_load(&exception, meta.result.ptr ? meta.result : CEL_VIEW("null"), &more);
    cel__exception_str(&text, &exception);
    pthread_mutex_lock(&result->lock);
    if (result->failure == CEL_OK) {
        result->exc_type = text_of(exception.type);
        result->exc_message = text_of(cel__buf_view(&text));
        result->traceback = text_of(meta.traceback);
        result->culprit = cel__strdup(culprit);
        if (result->exc_type && result->exc_message && result->culprit)
            result->failure = cel__view_is(meta.status, "REVOKED") ? CEL_EREVOKED : CEL_ETASK;
        else
            code = cel_error_set(err, CEL_ENOMEM, "no memory for the failure of %s", culprit);
    }
    pthread_mutex_unlock(&result->lock);
    cel__buf_done(&scratch);
    cel__buf_done(&more);
    cel__buf_done(&text);
    return code;
}

/* Gives the failure that is known, CEL_OK if none is. */
static cel_code known_failure(cel_result *result, cel_error *err)
{
    cel_code code;

    pthread_mutex_lock(&result->lock);
    code = result->failure;
    if (code != CEL_OK && err) {
        cel_error_set(err, code, "%s", result->exc_message);
        snprintf(err->exc_type, sizeof err->exc_type, "%s", result->exc_type);
    }
    pthread_mutex_unlock(&result->lock);
    return code;
}

/* The parent that failed first, if one did: the step of the chain that is to blame. */
static const cel_wait_id *failed_parent(const cel_wait *wait)
{
    for (size_t i = wait->count; i > wait->target_count; i--)
        if (wait->ids[i - 1].failed)
            return &wait->ids[i - 1];
    return NULL;
}

static bool document_failed(cel_result *leaf)
{
    cel__buf scratch = {0};
    cel_result_meta meta;
    bool failed = false;

    pthread_mutex_lock(&leaf->lock);
    if (leaf->document &&
        cel__result_meta_load(&meta, (cel_view){leaf->document, leaf->document_len}, &scratch,
                              NULL) == CEL_OK)
        failed = cel__state_failed(meta.status);
    pthread_mutex_unlock(&leaf->lock);
    cel__buf_done(&scratch);
    return failed;
}

/* A known document never changes again, so it may be read without the lock. */
static cel_view known_document(cel_result *leaf)
{
    cel_view view;

    pthread_mutex_lock(&leaf->lock);
    view = (cel_view){leaf->document, leaf->document_len};
    pthread_mutex_unlock(&leaf->lock);
    return view;
}

static cel_code find_failure(cel_result *result,
                             const struct leaves *leaves,
                             const cel_wait *wait,
                             cel_error *err)
{
    const cel_wait_id *parent = wait ? failed_parent(wait) : NULL;

    for (size_t i = 0; i < leaves->count; i++) {
        cel_result *leaf = leaves->items[i];

        if (is_known(leaf) && !document_failed(leaf))
            continue;
        if (parent && parent->document)
            return keep_failure(result, (cel_view){parent->document, parent->len}, parent->id,
                                err);
        if (is_known(leaf))
            return keep_failure(result, known_document(leaf), leaf->id, err);
    }
    return CEL_OK;
}

/* ---- values ---- */

static cel_code leaf_value(cel_result *leaf, json_t **value, cel_error *err)
{
    cel__buf scratch = {0};
    cel_result_meta meta;
    cel_code code = cel__result_meta_load(&meta, known_document(leaf), &scratch, err);

    if (code == CEL_OK)
        code = cel__json_load(value, meta.result.ptr ? meta.result : CEL_VIEW("null"), err);
    cel__buf_done(&scratch);
    return code;
}

static cel_code make_value(cel_result *result, json_t **value, cel_error *err)
{
    json_t *array;

    if (!result->group)
        return leaf_value(result, value, err);
    array = json_array();
    for (size_t i = 0; i < result->count; i++) {
        json_t *member = NULL;
        cel_code code = make_value(result->children[i], &member, err);

        if (code == CEL_OK && json_array_append_new(array, member) != 0)
            code = cel_error_set(err, CEL_ENOMEM, "no memory for a group's results");
        if (code != CEL_OK) {
            json_decref(array);
            return code;
        }
    }
    if (!array)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a group's results");
    *value = array;
    return CEL_OK;
}

/* ---- get ---- */

/* Waits for the leaves and looks for a failure. */
static cel_code
await(cel_result *result, const struct leaves *leaves, int64_t timeout_ms, cel_error *err)
{
    cel_wait *wait;
    cel_code code = make_wait(&wait, result, leaves, err);

    if (code != CEL_OK)
        return code;
    wait->goal = timeout_ms == 0 ? CEL_WAIT_LOOK : CEL_WAIT_ENDED;
    wait->documents = true;
    code = cel__wait_run(wait, timeout_ms == 0 ? LOOK_TIMEOUT_MS : timeout_ms, err);
    if (code == CEL_OK) {
        keep_documents(wait, leaves);
        code = find_failure(result, leaves, wait, err);
        if (code == CEL_OK && !all_known(leaves) && !failed_parent(wait))
            code = CEL_ETIMEDOUT;
    }
    if (code == CEL_ETIMEDOUT)
        cel_error_set(err, CEL_ETIMEDOUT, "%s %s has not ended after %lld ms",
                      result->group ? "group" : "task", result->id, (long long)timeout_ms);
    cel__client_op_unref(&wait->op);
    return code;
}

cel_code cel_result_get(cel_result *result, json_t **value, int64_t timeout_ms, cel_error *err)
{
    struct leaves leaves = {0};
    json_t *got = NULL;
    cel_code code;

    if (!result)
        return cel_error_set(err, CEL_EINVAL, "no result handle");
    code = known_failure(result, err);
    if (code != CEL_OK)
        return code;
    if (!add_leaves(&leaves, result))
        code = cel_error_set(err, CEL_ENOMEM, "no memory to wait for a group");
    if (code == CEL_OK && !all_known(&leaves))
        code = await(result, &leaves, timeout_ms, err);
    else if (code == CEL_OK)
        code = find_failure(result, &leaves, NULL, err);
    if (code == CEL_OK)
        code = known_failure(result, err);
    if (code == CEL_OK && value)
        code = make_value(result, &got, err);
    if (code == CEL_OK && value)
        *value = got;
    cel__free(leaves.items);
    return code;
}

/* ---- looking ---- */

static cel_code
count_ended(cel_result *result, int64_t *ended, int64_t *succeeded, cel_error *err)
{
    struct leaves leaves = {0};
    cel_wait *wait = NULL;
    cel_code code;

    if (!add_leaves(&leaves, result)) {
        cel__free(leaves.items);
        return cel_error_set(err, CEL_ENOMEM, "no memory to look at a group");
    }
    code = make_wait(&wait, result, &leaves, err);
    if (code == CEL_OK)
        code = cel__wait_run(wait, LOOK_TIMEOUT_MS, err);
    if (code == CEL_OK) {
        *ended = wait->ended;
        *succeeded = wait->succeeded;
        keep_documents(wait, &leaves);
    }
    if (wait)
        cel__client_op_unref(&wait->op);
    cel__free(leaves.items);
    return code;
}

cel_code
cel_result_completed(cel_result *result, size_t *ended, size_t *succeeded, cel_error *err)
{
    int64_t ended_count = 0, succeeded_count = 0;
    cel_code code;

    if (!result)
        return cel_error_set(err, CEL_EINVAL, "no result handle");
    code = count_ended(result, &ended_count, &succeeded_count, err);
    if (code != CEL_OK)
        return code;
    if (ended)
        *ended = (size_t)ended_count;
    if (succeeded)
        *succeeded = (size_t)succeeded_count;
    return CEL_OK;
}

/* Fetches the one document of a task; *document is owned by the caller, NULL if there is none. */
static cel_code look_up(cel_result *result, char **document, size_t *len, cel_error *err)
{
    cel_client *client;
    cel_wait *wait = NULL;
    cel_view known = known_document(result);
    cel_code code = CEL_OK;

    *document = NULL;
    if (known.ptr) {
        *document = cel__memdup(known.ptr, known.len);
        *len = known.len;
        return *document ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a document");
    }
    code = cel__client_get(&client, result->app, err);
    if (code == CEL_OK)
        code = cel__wait_new(&wait, client, err);
    if (code != CEL_OK)
        return code;
    wait->documents = true;
    code = cel__wait_add(wait, result->id, false, err);
    if (code == CEL_OK)
        code = cel__wait_run(wait, LOOK_TIMEOUT_MS, err);
    if (code == CEL_OK) {
        *document = wait->ids[0].document;
        *len = wait->ids[0].len;
        wait->ids[0].document = NULL;
    }
    cel__client_op_unref(&wait->op);
    return code;
}

static const char *group_state(const cel_result *group, int64_t ended, int64_t succeeded)
{
    if (ended > succeeded)
        return "FAILURE";
    return succeeded >= 0 && (size_t)succeeded >= group->count ? "SUCCESS" : "PENDING";
}

cel_code cel_result_state(cel_result *result, char *state, size_t size, cel_error *err)
{
    int64_t ended = 0, succeeded = 0;
    char *document = NULL;
    size_t len = 0;
    cel_code code;

    if (!result || !state || size == 0)
        return cel_error_set(err, CEL_EINVAL, "no result handle, or no room for its state");
    if (result->group) {
        code = count_ended(result, &ended, &succeeded, err);
        if (code == CEL_OK)
            snprintf(state, size, "%s", group_state(result, ended, succeeded));
        return code;
    }
    code = look_up(result, &document, &len, err);
    if (code == CEL_OK && !document)
        snprintf(state, size, "PENDING");
    if (code == CEL_OK && document) {
        cel__buf scratch = {0};
        cel_result_meta meta;

        code = cel__result_meta_load(&meta, (cel_view){document, len}, &scratch, err);
        if (code == CEL_OK)
            snprintf(state, size, "%.*s", CEL_VIEW_ARG(meta.status));
        cel__buf_done(&scratch);
    }
    cel__free(document);
    return code;
}

cel_code cel_result_ready(cel_result *result, bool *ready, cel_error *err)
{
    struct leaves leaves = {0};
    int64_t ended = 0, succeeded = 0;
    cel_code code = CEL_OK;
    bool good, known;
    size_t count;

    if (!result || !ready)
        return cel_error_set(err, CEL_EINVAL, "no result handle, or nowhere to put the answer");
    good = add_leaves(&leaves, result);
    known = good && all_known(&leaves);
    count = leaves.count;
    cel__free(leaves.items);
    if (!good)
        return cel_error_set(err, CEL_ENOMEM, "no memory to look at a group");
    if (!known)
        code = count_ended(result, &ended, &succeeded, err);
    if (code == CEL_OK)
        *ready = known || (size_t)ended >= count;
    return code;
}

cel_code cel_result_wait(
    cel_result *result, size_t seen, size_t *ended, int64_t timeout_ms, cel_error *err)
{
    struct leaves leaves = {0};
    cel_wait *wait = NULL;
    cel_code code = CEL_OK;

    if (!result)
        return cel_error_set(err, CEL_EINVAL, "no result handle");
    if (!add_leaves(&leaves, result))
        code = cel_error_set(err, CEL_ENOMEM, "no memory to wait for a group");
    else if (seen >= leaves.count)
        code = cel_error_set(err, CEL_EINVAL, "the group has only %zu members", leaves.count);
    if (code == CEL_OK)
        code = make_wait(&wait, result, &leaves, err);
    if (code == CEL_OK) {
        wait->goal = timeout_ms == 0 ? CEL_WAIT_LOOK : CEL_WAIT_COUNT;
        wait->seen = seen;
        code = cel__wait_run(wait, timeout_ms == 0 ? LOOK_TIMEOUT_MS : timeout_ms, err);
    }
    if (code == CEL_OK && (size_t)wait->ended <= seen)
        code = CEL_ETIMEDOUT;
    if (code == CEL_OK) {
        keep_documents(wait, &leaves);
        if (ended)
            *ended = (size_t)wait->ended;
    }
    if (code == CEL_ETIMEDOUT)
        cel_error_set(err, CEL_ETIMEDOUT,
                      "no further member of group %s has ended after %lld ms", result->id,
                      (long long)timeout_ms);
    if (wait)
        cel__client_op_unref(&wait->op);
    cel__free(leaves.items);
    return code;
}

/* ---- what failed ---- */

/* Set once, under the lock, before the failure becomes known; so a reader that has seen cel_result_get() fail may
 * read them freely. The lock orders the read of one that asks too early. */
static const char *failure_text(const cel_result *result, char *const *text)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&result->lock;
    const char *view;

    pthread_mutex_lock(lock);
    view = result->failure == CEL_OK ? NULL : *text;
    pthread_mutex_unlock(lock);
    return view;
}

const char *cel_result_exception_type(const cel_result *result)
{
    return failure_text(result, &result->exc_type);
}

const char *cel_result_exception_message(const cel_result *result)
{
    return failure_text(result, &result->exc_message);
}

const char *cel_result_traceback(const cel_result *result)
{
    return failure_text(result, &result->traceback);
}

const char *cel_result_culprit(const cel_result *result)
{
    return failure_text(result, &result->culprit);
}

cel_code cel_result_document(cel_result *result, json_t **document, cel_error *err)
{
    char *text = NULL;
    size_t len = 0;
    cel_code code;

    if (!result || !document)
        return cel_error_set(err, CEL_EINVAL,
                             "no result handle, or nowhere to put its document");
    if (result->group)
        return cel_error_set(err, CEL_ENOENT, "%s is a group: its members have documents",
                             result->id);
    code = look_up(result, &text, &len, err);
    if (code == CEL_OK && !text)
        code = cel_error_set(err, CEL_ENOENT, "there is no result of task %s", result->id);
    if (code == CEL_OK)
        code = cel__json_load(document, (cel_view){text, len}, err);
    cel__free(text);
    return code;
}

/* ---- forget ---- */

struct forget_op {
    cel_client_op op;
    char **ids; /* owned, as the texts */
    size_t count;
};

static void free_forget(cel_client_op *op)
{
    struct forget_op *forget = (struct forget_op *)op;

    for (size_t i = 0; forget->ids && i < forget->count; i++)
        cel__free(forget->ids[i]);
    cel__free(forget->ids);
    cel__free(forget);
}

static void on_forgotten(void *user, cel_code code, const cel_error *err)
{
    struct forget_op *forget = user;

    cel__client_finish(&forget->op, code, err);
}

static cel_code start_forget(cel_client_op *op, cel_error *err)
{
    struct forget_op *forget = (struct forget_op *)op;
    cel_backend *backend = cel__client_backend(op);
    cel_view *ids = cel__calloc(forget->count + 1, sizeof *ids);
    cel_code code;

    if (!ids)
        return cel_error_set(err, CEL_ENOMEM, "no memory to forget %zu results", forget->count);
    for (size_t i = 0; i < forget->count; i++)
        ids[i] = cel__view(forget->ids[i]);
    code = backend->ops->forget(backend, ids, forget->count, on_forgotten, forget, err);
    cel__free(ids);
    return code;
}

static struct forget_op *make_forget(cel_client *client, const struct leaves *leaves)
{
    struct forget_op *forget = cel__calloc(1, sizeof *forget);

    if (!forget)
        return NULL;
    forget->op.start = start_forget;
    forget->op.free = free_forget;
    forget->op.needs_backend = true;
    cel__client_op_init(client, &forget->op);
    forget->ids = cel__calloc(leaves->count + 1, sizeof *forget->ids);
    for (; forget->ids && forget->count < leaves->count; forget->count++) {
        forget->ids[forget->count] = cel__strdup(leaves->items[forget->count]->id);
        if (!forget->ids[forget->count])
            break;
    }
    if (forget->ids && forget->count == leaves->count)
        return forget;
    cel__client_op_unref(&forget->op);
    return NULL;
}

cel_code cel_result_forget(cel_result *result, cel_error *err)
{
    struct leaves leaves = {0};
    struct forget_op *forget = NULL;
    cel_client *client;
    cel_code code;
    bool good = result != NULL;

    for (cel_result *step = result; step && good; step = step->parent)
        good = add_leaves(&leaves, step);
    code = good ? cel__client_get(&client, result->app, err)
                : cel_error_set(err, CEL_EINVAL, "no result handle, or no memory to forget it");
    if (code == CEL_OK) {
        forget = make_forget(client, &leaves);
        if (!forget)
            code = cel_error_set(err, CEL_ENOMEM, "no memory to forget %s", result->id);
    }
    if (forget) {
        code = cel__client_run(&forget->op, LOOK_TIMEOUT_MS, err);
        cel__client_op_unref(&forget->op);
    }
    cel__free(leaves.items);
    return code;
}
