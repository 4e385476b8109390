/* handle.c - handles of results: their memory and their making.
 *
 * A tuple's parents come before its nodes and may be nested thousands deep (one level for each step of a chain), so reading and
 * freeing them are loops; groups within groups are as deep as canvas allows, and recursion. */
#include "app/handle.h"

#include <stdlib.h>

#include "core/buf.h"
#include "core/jscan.h"
#include "core/mem.h"

#define NESTING_MAX 200 /* of groups within groups, in a tuple */

/* ---- handles ---- */

cel_code cel__result_from_id(cel_result **out, cel_app *app, cel_view id, cel_error *err)
{
    cel_result *result = cel__calloc(1, sizeof *result);

    if (result)
        result->id = cel__memdup(id.ptr, id.len);
    if (!result || !result->id) {
        cel__free(result);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a result handle");
    }
    atomic_init(&result->refs, 1);
    result->app = app;
    pthread_mutex_init(&result->lock, NULL);
    *out = result;
    return CEL_OK;
}

cel_code cel_result_new(cel_result **out, cel_app *app, const char *task_id, cel_error *err)
{
    if (!out || !app || !task_id || !task_id[0])
        return cel_error_set(err, CEL_EINVAL, "no task id");
    return cel__result_from_id(out, app, cel__view(task_id), err);
}

cel_result *cel_result_ref(cel_result *result)
{
    if (result)
        atomic_fetch_add(&result->refs, 1);
    return result;
}

/* Parents are freed in a loop: a chain may have any number of steps. Children nest no deeper than canvas allows. */
void cel_result_free(cel_result *result)
{
    while (result && atomic_fetch_sub(&result->refs, 1) == 1) {
        cel_result *parent = result->parent;

        for (size_t i = 0; i < result->count; i++)
            cel_result_free(result->children[i]);
        cel__free(result->children);
        cel__free(result->id);
        cel__free(result->document);
        cel__free(result->exc_type);
        cel__free(result->exc_message);
        cel__free(result->traceback);
        cel__free(result->culprit);
        pthread_mutex_destroy(&result->lock);
        cel__free(result);
        result = parent;
    }
}

const char *cel_result_id(const cel_result *result)
{
    return result->id;
}

cel_result *cel_result_parent(const cel_result *result)
{
    return result->parent;
}

bool cel_result_is_group(const cel_result *result)
{
    return result->group;
}

size_t cel_result_count(const cel_result *result)
{
    return result->count;
}

cel_result *cel_result_child(const cel_result *result, size_t i)
{
    return i < result->count ? result->children[i] : NULL;
}

/* ---- tuples: [[id, parent], nodes] ---- */

struct tuple_reader {
    cel_app *app;
    const char *at, *end;
    cel__buf text; /* an id with escapes */
};

static bool skip_byte(struct tuple_reader *reader, char byte)
{
    while (reader->at < reader->end && *reader->at == ' ')
        reader->at++;
    if (reader->at >= reader->end || *reader->at != byte)
        return false;
    reader->at++;
    return true;
}

static bool skip_null(struct tuple_reader *reader)
{
    while (reader->at < reader->end && *reader->at == ' ')
        reader->at++;
    if (reader->end - reader->at < 4 || memcmp(reader->at, "null", 4) != 0)
        return false;
    reader->at += 4;
    return true;
}

/* Reads a string into a new handle; NULL if there is none or no memory. */
static cel_result *read_id(struct tuple_reader *reader)
{
    const char *from;
    cel_jvalue value = {.type = CEL_JSON_STRING};
    cel_result *result = NULL;

    if (!skip_byte(reader, '"'))
        return NULL;
    from = reader->at - 1;
    while (reader->at < reader->end && *reader->at != '"')
        reader->at += *reader->at == '\\' ? 2 : 1;
    if (reader->at >= reader->end)
        return NULL;
    reader->at++;
    value.text = (cel_view){from, (size_t)(reader->at - from)};
    cel__buf_reset(&reader->text);
    if (!cel__jscan_string(value, &reader->text) || reader->text.failed)
        return NULL;
    if (cel__result_from_id(&result, reader->app, cel__buf_view(&reader->text), NULL) != CEL_OK)
        return NULL;
    return result;
}

static bool add_child(cel_result *group, cel_result *child)
{
    if (group->count == group->cap) {
        size_t cap = group->cap ? 2 * group->cap : 8;
        cel_result **children = cel__realloc(group->children, cap * sizeof(cel_result *));

        if (!children)
            return false;
        group->children = children;
        group->cap = cap;
    }
    group->children[group->count++] = child;
    return true;
}

static cel_result *read_tuple(struct tuple_reader *reader, int depth);

static bool read_nodes(struct tuple_reader *reader, cel_result *result, int depth)
{
    if (skip_null(reader))
        return true;
    if (!skip_byte(reader, '['))
        return false;
    result->group = true;
    if (skip_byte(reader, ']'))
        return true;
    do {
        cel_result *child = read_tuple(reader, depth + 1);

        if (!child)
            return false;
        if (!add_child(result, child)) {
            cel_result_free(child);
            return false;
        }
    } while (skip_byte(reader, ','));
    return skip_byte(reader, ']');
}

/* Parents come before nodes and may be nested thousands deep, so the way down is a loop: each handle is hung below the one
 * before, and the way up, back along `stack`, reads the nodes. */
static cel_result *read_tuple(struct tuple_reader *reader, int depth)
{
    cel_result **stack = NULL;
    cel_result *top = NULL;
    size_t len = 0, cap = 0;
    bool good = depth < NESTING_MAX;

    while (good) {
        cel_result *result;

        if (len == cap) {
            cel_result **grown =
                cel__realloc(stack, (cap = 2 * cap + 4) * sizeof(cel_result *));

            if (!grown)
                break;
            stack = grown;
        }
        if (!skip_byte(reader, '[') || !skip_byte(reader, '['))
            break;
        result = read_id(reader);
        if (!result)
            break;
        if (len > 0)
            stack[len - 1]->parent = result;
        else
            top = result;
        stack[len++] = result;
        if (!skip_byte(reader, ','))
            break;
        if (!skip_null(reader))
            continue; /* the parent's own tuple begins */
        while (good && len > 0)
            good = skip_byte(reader, ']') && skip_byte(reader, ',') &&
                   read_nodes(reader, stack[--len], depth) && skip_byte(reader, ']');
        if (!good)
            break;
        cel__free(stack);
        return top;
    }
    cel__free(stack);
    cel_result_free(top);
    return NULL;
}

cel_code cel__result_from_tuple(cel_result **out, cel_app *app, cel_view tuple, cel_error *err)
{
    struct tuple_reader reader = {.app = app, .at = tuple.ptr, .end = tuple.ptr + tuple.len};
    cel_result *result = read_tuple(&reader, 0);

    cel__buf_done(&reader.text);
    if (!result)
        return cel_error_set(err, CEL_EPROTO, "not a result tuple");
    *out = result;
    return CEL_OK;
}
