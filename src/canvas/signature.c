/* signature.c - signatures as the user builds them: a jansson object in Celery's form and no
 * more.
 *
 * Nothing is normalised here: what `|` does in Celery is done when the signature is sent
 * (sig_load.c). */
#include "celeriac/signature.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "core/mem.h"

#define NESTING 100 /* of what is walked into here */

struct cel_signature {
    json_t
        *json; /* owned: an object with task, args, kwargs, options, subtask_type, immutable */
};

/* Takes `json`. NULL if that is NULL or memory is out. */
static cel_signature *wrap(json_t *json)
{
    cel_signature *signature = json ? cel__malloc(sizeof *signature) : NULL;

    if (!signature) {
        json_decref(json);
        return NULL;
    }
    signature->json = json;
    return signature;
}

/* Gives the object away and frees the rest; NULL of NULL. */
static json_t *unwrap(cel_signature *signature)
{
    json_t *json = signature ? signature->json : NULL;

    cel__free(signature);
    return json;
}

/* Takes args and kwargs; NULL stands for [], {} and null. */
static json_t *make(const char *task, json_t *args, json_t *kwargs, const char *type)
{
    if (!args)
        args = json_array();
    if (!kwargs)
        kwargs = json_object();
    if (!task || !*task || !json_is_array(args) || !json_is_object(kwargs)) {
        json_decref(args);
        json_decref(kwargs);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:o, s:{}, s:s?, s:b}", "task", task, "args", args, "kwargs",
                     kwargs, "options", "subtask_type", type, "immutable", 0);
}

cel_signature *cel_signature_new(const char *task, json_t *args, json_t *kwargs)
{
    return wrap(make(task, args, kwargs, NULL));
}

cel_signature *cel_sig(const char *task, const char *fmt, ...)
{
    json_t *args = NULL;
    va_list list;

    if (fmt) {
        va_start(list, fmt);
        args = json_vpack_ex(NULL, 0, fmt, list);
        va_end(list);
        if (!args)
            return NULL;
    }
    return cel_signature_new(task, args, NULL);
}

/* ---- canvas ---- */

/* Makes an array of the parts, taking them; NULL if one of them is. */
static json_t *take_parts(size_t count, cel_signature *const *parts)
{
    json_t *array = json_array();
    bool whole = array != NULL;

    for (size_t i = 0; i < count; i++) {
        json_t *part = unwrap(parts[i]);

        if (!part || !whole || json_array_append(array, part) != 0)
            whole = false;
        json_decref(part);
    }
    if (whole)
        return array;
    json_decref(array);
    return NULL;
}

/* Takes tasks. */
static cel_signature *canvas(const char *task, const char *type, json_t *tasks)
{
    json_t *kwargs = tasks ? json_pack("{s:o}", "tasks", tasks) : NULL;

    return kwargs ? wrap(make(task, NULL, kwargs, type)) : NULL;
}

cel_signature *cel_chain(size_t count, cel_signature *const *parts)
{
    return canvas("celery.chain", "chain", take_parts(count, parts));
}

cel_signature *cel_group(size_t count, cel_signature *const *parts)
{
    return canvas("celery.group", "group", take_parts(count, parts));
}

static bool is_type(const json_t *json, const char *type)
{
    const char *text = json_string_value(json_object_get(json, "subtask_type"));

    return text && strcmp(text, type) == 0;
}

static json_t *get_kwarg(const json_t *json, const char *name)
{
    return json_object_get(json_object_get(json, "kwargs"), name);
}

cel_signature *cel_chord(cel_signature *header, cel_signature *body)
{
    json_t *one = unwrap(header);
    json_t *after = unwrap(body);
    json_t *kwargs = NULL;

    if (one && after) {
        if (is_type(one, "group") && json_object_size(json_object_get(one, "options")) == 0)
            kwargs = json_pack("{s:{}, s:O, s:O}", "kwargs", "header", get_kwarg(one, "tasks"),
                               "body", after);
        else if (is_type(one, "group")) /* its options are part of it */
            kwargs = json_pack("{s:{}, s:O, s:O}", "kwargs", "header", one, "body", after);
        else
            kwargs = json_pack("{s:{}, s:[O], s:O}", "kwargs", "header", one, "body", after);
    }
    json_decref(one);
    json_decref(after);
    return kwargs ? wrap(make("celery.chord", NULL, kwargs, "chord")) : NULL;
}

/* Takes arguments. */
static cel_signature *make_map(const char *name, const char *task, json_t *arguments)
{
    json_t *inner = json_is_array(arguments) ? make(task, NULL, NULL, NULL) : NULL;
    json_t *kwargs = NULL;
    cel_signature *signature;

    if (inner)
        kwargs = json_pack("{s:o, s:O}", "task", inner, "it", arguments);
    json_decref(arguments);
    signature = kwargs ? cel_signature_new(name, NULL, kwargs) : NULL;
    return cel_signature_immutable(signature);
}

cel_signature *cel_map(const char *task, json_t *arguments)
{
    return make_map("celery.map", task, arguments);
}

cel_signature *cel_starmap(const char *task, json_t *arguments)
{
    return make_map("celery.starmap", task, arguments);
}

/* Returns the elements [from, from + size) as a new array. */
static json_t *slice(const json_t *array, size_t from, size_t size)
{
    json_t *part = json_array();

    for (size_t i = 0; i < size && from + i < json_array_size(array) && part; i++) {
        if (json_array_append(part, json_array_get(array, from + i)) != 0) {
            json_decref(part);
            return NULL;
        }
    }
    return part;
}

cel_signature *cel_chunks(const char *task, json_t *arguments, size_t size)
{
    json_t *tasks = json_is_array(arguments) && size > 0 ? json_array() : NULL;

    for (size_t at = 0; tasks && at < json_array_size(arguments); at += size) {
        json_t *part = slice(arguments, at, size);
        json_t *one = part ? unwrap(cel_starmap(task, part)) : NULL;

        if (!one || json_array_append_new(tasks, one) != 0) {
            json_decref(tasks);
            tasks = NULL;
        }
        if (size > json_array_size(arguments) - at)
            break;
    }
    json_decref(arguments);
    return canvas("celery.group", "group", tasks);
}

/* ---- one signature ---- */

void cel_signature_free(cel_signature *signature)
{
    if (!signature)
        return;
    json_decref(signature->json);
    cel__free(signature);
}

cel_signature *cel_signature_copy(const cel_signature *signature)
{
    return signature ? wrap(json_deep_copy(signature->json)) : NULL;
}

const json_t *cel_signature_json(const cel_signature *signature)
{
    return signature ? signature->json : NULL;
}

/* Finishes a change: the signature, or NULL and no signature. */
static cel_signature *changed(cel_signature *signature, bool done)
{
    if (done)
        return signature;
    cel_signature_free(signature);
    return NULL;
}

/* Returns the parts that side by side make up a group or a chord's header; NULL if `json` is
 * neither. */
static json_t *side_by_side(const json_t *json)
{
    json_t *header = get_kwarg(json, "header");

    if (is_type(json, "group"))
        return get_kwarg(json, "tasks");
    if (!is_type(json, "chord"))
        return NULL;
    return json_is_object(header) ? get_kwarg(header, "tasks") : header;
}

static bool set_immutable(json_t *json, int depth)
{
    const json_t *parts = side_by_side(json);
    bool done = depth < NESTING;

    if (!parts)
        return done && json_object_set_new(json, "immutable", json_true()) == 0;
    for (size_t i = 0; i < json_array_size(parts) && done; i++)
        done = set_immutable(json_array_get(parts, i), depth + 1);
    return done;
}

cel_signature *cel_signature_immutable(cel_signature *signature)
{
    return signature ? changed(signature, set_immutable(signature->json, 0)) : NULL;
}

/* Puts `args` in front of those there are, `kwargs` over those. */
static bool add_partial(json_t *json, json_t *args, json_t *kwargs)
{
    json_t *own = json_object_get(json, "args"), *all;
    json_t *names = json_object_get(json, "kwargs");

    if (json_is_true(json_object_get(json, "immutable")))
        return true;
    all = args ? json_copy(args) : json_array();
    if (!all || (own && json_array_extend(all, own) != 0)) {
        json_decref(all);
        return false;
    }
    if (json_object_set_new(json, "args", all) != 0)
        return false;
    return !kwargs || (names && json_object_update(names, kwargs) == 0);
}

static bool partial_deep(json_t *json, json_t *args, json_t *kwargs, int depth)
{
    const json_t *parts = side_by_side(json);
    bool done = depth < NESTING && json_is_object(json);

    if (is_type(json, "chain"))
        return done && partial_deep(json_array_get(get_kwarg(json, "tasks"), 0), args, kwargs,
                                    depth + 1);
    if (!parts)
        return done && add_partial(json, args, kwargs);
    for (size_t i = 0; i < json_array_size(parts) && done; i++)
        done = partial_deep(json_array_get(parts, i), args, kwargs, depth + 1);
    return done;
}

cel_signature *cel_signature_partial(cel_signature *signature, json_t *args, json_t *kwargs)
{
    bool done = signature && (!args || json_is_array(args)) &&
                (!kwargs || json_is_object(kwargs)) &&
                partial_deep(signature->json, args, kwargs, 0);

    json_decref(args);
    json_decref(kwargs);
    return changed(signature, done);
}

/* Returns the options, making them an object if they are none; NULL when out of memory. */
static json_t *get_options(json_t *json)
{
    json_t *options = json_object_get(json, "options");

    if (json_is_object(options))
        return options;
    if (json_object_set_new(json, "options", json_object()) != 0)
        return NULL;
    return json_object_get(json, "options");
}

cel_signature *cel_signature_set(cel_signature *signature, const char *option, json_t *value)
{
    json_t *options = signature ? get_options(signature->json) : NULL;

    if (!options || !option) {
        json_decref(value);
        return changed(signature, false);
    }
    if (!value || json_is_null(value)) {
        json_decref(value);
        json_object_del(options, option);
        return signature;
    }
    return changed(signature, json_object_set_new(options, option, value) == 0);
}

/* Adds `link` (borrowed) to the list option `key`, unless it is there. */
static bool add_link(json_t *json, const char *key, json_t *link)
{
    json_t *options = get_options(json);
    json_t *list = json_object_get(options, key);

    if (!options)
        return false;
    if (!json_is_array(list)) {
        json_t *fresh = json_is_object(list) ? json_pack("[O]", list) : json_array();

        if (json_object_set_new(options, key, fresh) != 0)
            return false;
        list = json_object_get(options, key);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), link))
            return true;
    }
    return json_array_append(list, link) == 0;
}

static bool link_deep(json_t *json, const char *key, json_t *link, int depth)
{
    bool done = depth < NESTING && json_is_object(json);
    const json_t *parts = get_kwarg(json, "tasks");

    if (is_type(json, "chord"))
        return done && link_deep(get_kwarg(json, "body"), key, link, depth + 1);
    if (!is_type(json, "group"))
        return done && add_link(json, key, link); /* of a chain: sending it puts it in place */
    for (size_t i = 0; i < json_array_size(parts) && done; i++)
        done = link_deep(json_array_get(parts, i), key, link, depth + 1);
    return done;
}

static cel_signature *add(cel_signature *signature, const char *key, cel_signature *link)
{
    json_t *json = unwrap(link);
    bool done = signature && json && link_deep(signature->json, key, json, 0);

    json_decref(json);
    return changed(signature, done);
}

cel_signature *cel_signature_link(cel_signature *signature, cel_signature *callback)
{
    return add(signature, "link", callback);
}

cel_signature *cel_signature_link_error(cel_signature *signature, cel_signature *errback)
{
    return add(signature, "link_error", errback);
}

/* ---- from outside ---- */

/* Checks the frame; what is inside is checked when it is sent. Missing members get their
 * defaults. */
static cel_code complete(json_t *json, cel_error *err)
{
    const char *task = json_string_value(json_object_get(json, "task"));
    const struct {
        const char *name;
        json_type type;
        json_t *value;
    } members[] = {{"args", JSON_ARRAY, json_array()},
                   {"kwargs", JSON_OBJECT, json_object()},
                   {"options", JSON_OBJECT, json_object()},
                   {"subtask_type", JSON_STRING, json_null()},
                   {"immutable", JSON_TRUE, json_false()}};
    cel_code code = CEL_OK;

    if (!task || !*task)
        code = cel_error_set(err, CEL_EINVAL, "a signature needs a task name");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const json_t *value = json_object_get(json, members[i].name);

        if (code == CEL_OK && (!value || json_is_null(value))) {
            if (json_object_set(json, members[i].name, members[i].value) != 0)
                code = cel_error_set(err, CEL_ENOMEM, "no memory for a signature");
        } else if (code == CEL_OK && json_typeof(value) != members[i].type &&
                   !(members[i].type == JSON_TRUE && json_is_false(value))) {
            code = cel_error_set(err, CEL_EINVAL, "%s of signature '%.100s' has a wrong type",
                                 members[i].name, task);
        }
        json_decref(members[i].value);
    }
    return code;
}

cel_code cel_signature_from_json(cel_signature **out, const json_t *json, cel_error *err)
{
    cel_signature *signature;
    cel_code code;

    if (!out)
        return cel_error_set(err, CEL_EINVAL, "no place for the signature");
    if (!json_is_object(json))
        return cel_error_set(err, CEL_EINVAL, "a signature is a JSON object");
    signature = wrap(json_deep_copy(json));
    if (!signature)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a signature");
    code = complete(signature->json, err);
    if (code != CEL_OK) {
        cel_signature_free(signature);
        return code;
    }
    *out = signature;
    return CEL_OK;
}
