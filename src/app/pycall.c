/* pycall.c - what a configuration file may import and call. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/pyintern.h"
#include "core/mem.h"
#include "core/number.h"

static const cel_pyvalue nothing = {NULL, NULL, 0};

#define QUEUE_MORE                                                                             \
    " bindings durable exclusive auto_delete no_ack binding_arguments queue_arguments "        \
    "consumer_arguments no_declare expires message_ttl max_length max_length_bytes "           \
    "max_priority"
#define QUEUE     CEL_PY_OBJECT, "name exchange routing_key alias" QUEUE_MORE, 3
#define BROADCAST CEL_PY_OBJECT, "name queue unique auto_delete exchange alias" QUEUE_MORE, 6
#define EXCHANGE                                                                               \
    CEL_PY_OBJECT, "name type durable auto_delete delivery_mode arguments passive no_declare", 2
#define BINDING CEL_PY_OBJECT, "exchange routing_key arguments unbind_arguments", 4
#define CRONTAB CEL_PY_OBJECT, "minute hour day_of_week day_of_month month_of_year", 5
#define SOLAR   CEL_PY_OBJECT, "event lat lon", 3
#define EVERY   CEL_PY_OBJECT, "run_every relative", 2
#define TIMEDELTA                                                                              \
    CEL_PY_TIMEDELTA, "days seconds microseconds milliseconds minutes hours weeks", 7

static const cel_pysymbol symbols[] = {
    {"os", CEL_PY_MODULE, NULL, 0},
    {"os.environ", CEL_PY_ENVIRON, NULL, 0},
    {"os.environ.get", CEL_PY_GETENV, "key default", 2},
    {"os.getenv", CEL_PY_GETENV, "key default", 2},
    {"datetime", CEL_PY_MODULE, NULL, 0},
    {"datetime.timedelta", TIMEDELTA},
    {"kombu", CEL_PY_MODULE, NULL, 0},
    {"kombu.Queue", QUEUE},
    {"kombu.Exchange", EXCHANGE},
    {"kombu.binding", BINDING},
    {"kombu.entity", CEL_PY_MODULE, NULL, 0},
    {"kombu.entity.Queue", QUEUE},
    {"kombu.entity.Exchange", EXCHANGE},
    {"kombu.entity.binding", BINDING},
    {"kombu.common", CEL_PY_MODULE, NULL, 0},
    {"kombu.common.Queue", QUEUE},
    {"kombu.common.Exchange", EXCHANGE},
    {"kombu.common.Broadcast", BROADCAST},
    {"celery", CEL_PY_MODULE, NULL, 0},
    {"celery.schedules", CEL_PY_MODULE, NULL, 0},
    {"celery.schedules.crontab", CRONTAB},
    {"celery.schedules.solar", SOLAR},
    {"celery.schedules.schedule", EVERY},
    {"int", CEL_PY_INT, "x", 1},
    {"float", CEL_PY_FLOAT, "x", 1},
    {"str", CEL_PY_STR, "object", 1},
    {"bool", CEL_PY_BOOL, "x", 1},
    {"dict", CEL_PY_DICT, NULL, 1},
    {"list", CEL_PY_LIST, "iterable", 1},
    {"tuple", CEL_PY_LIST, "iterable", 1},
    {"set", CEL_PY_SET, "iterable", 1},
};

static bool is_builtin(const cel_pysymbol *symbol)
{
    return symbol->kind >= CEL_PY_INT;
}

const cel_pysymbol *cel__py_symbol(const cel_pysymbol *parent, cel_view name)
{
    size_t prefix = parent ? strlen(parent->path) : 0;

    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        const char *path = symbols[i].path;
        if (is_builtin(symbols + i))
            continue;
        if (parent && (strncmp(path, parent->path, prefix) != 0 || path[prefix] != '.'))
            continue;
        if (cel__view_is(name, path + (parent ? prefix + 1 : 0)))
            return symbols + i;
    }
    return NULL;
}

const cel_pysymbol *cel__py_builtin(cel_view name)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        if (is_builtin(symbols + i) && cel__view_is(name, symbols[i].path))
            return symbols + i;
    }
    return NULL;
}

/* The name without its modules. */
static const char *short_name(const cel_pysymbol *symbol)
{
    const char *dot = strrchr(symbol->path, '.');

    return dot ? dot + 1 : symbol->path;
}

/* Cuts the next name off a list separated by spaces; false at the end. */
static bool next_param(const char **params, cel_view *name)
{
    if (**params == '\0')
        return false;
    *name = (cel_view){*params, strcspn(*params, " ")};
    *params += name->len;
    if (**params == ' ')
        ++*params;
    return true;
}

static bool has_param(const char *params, const char *key)
{
    cel_view name;

    while (next_param(&params, &name)) {
        if (cel__view_is(name, key))
            return true;
    }
    return false;
}

static bool check_keywords(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *kwargs)
{
    const char *key;
    json_t *value;

    json_object_foreach(kwargs, key, value)
    {
        if (!has_param(symbol->params, key))
            return cel__py_fail(py, at, "%s() has no argument '%.60s'", short_name(symbol),
                                key);
    }
    return true;
}

/* Puts positional and keyword arguments into one new object, by name. */
static json_t *
bind(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *args, json_t *kwargs)
{
    const char *params = symbol->params;
    cel_view name;
    char key[64];

    if (json_array_size(args) > symbol->positional) {
        cel__py_fail(py, at, "%s() takes %u arguments by position, not %zu", short_name(symbol),
                     symbol->positional, json_array_size(args));
        return NULL;
    }
    if (!check_keywords(py, symbol, at, kwargs))
        return NULL;
    json_t *bound = json_object();
    for (size_t i = 0; i < json_array_size(args) && next_param(&params, &name); i++) {
        snprintf(key, sizeof key, "%.*s", CEL_VIEW_ARG(name));
        if (json_object_get(kwargs, key))
            cel__py_fail(py, at, "%s() is given '%s' twice", short_name(symbol), key);
        if (json_object_set(bound, key, json_array_get(args, i)))
            cel__py_nomem(py);
    }
    if (json_object_update(bound, kwargs))
        cel__py_nomem(py);
    if (py->failed) {
        json_decref(bound);
        return NULL;
    }
    return bound;
}

static cel_pyvalue
make_object(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *bound, size_t args_depth)
{
    cel_pyvalue value = {NULL, NULL, 1};

    if (!cel__py_nest(py, at, &value.depth, args_depth))
        return nothing;
    value.json = json_object();
    if (json_object_set_new(value.json, "__class__", json_string(short_name(symbol))) ||
        json_object_update(value.json, bound)) {
        json_decref(value.json);
        cel__py_nomem(py);
        return nothing;
    }
    return value;
}

/* The number of seconds: an integer if it is one. */
static cel_pyvalue make_timedelta(cel_py *py, size_t at, json_t *bound)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"days", 86400},        {"seconds", 1},  {"microseconds", 1e-6},
                 {"milliseconds", 1e-3}, {"minutes", 60}, {"hours", 3600},
                 {"weeks", 604800}};
    double total = 0;

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        json_t *value = json_object_get(bound, units[i].name);
        if (value && !json_is_number(value)) {
            cel__py_fail(py, at, "timedelta(): '%s' is no number", units[i].name);
            return nothing;
        }
        total += json_number_value(value) * units[i].seconds;
    }
    if (!(fabs(total) <= 999999999.0 * 86400)) {
        cel__py_fail(py, at, "timedelta(): more than 999,999,999 days");
        return nothing;
    }
    total = nearbyint(total * 1e6) / 1e6;
    if (total == floor(total)) {
        json_t *whole = json_integer((json_int_t)total);
        if (!whole)
            cel__py_nomem(py);
        return (cel_pyvalue){whole, NULL, 0};
    }
    return (cel_pyvalue){cel__py_make_real(py, at, total), NULL, 0};
}

/* ---- environment ---- */

static cel_pyvalue make_text(cel_py *py, size_t at, const char *text)
{
    cel__buf buf = {0};

    cel__buf_add_str(&buf, text);
    json_t *json = cel__py_make_string(py, at, &buf);
    if (!json && buf.len <= CEL_PY_STRING_MAX && py->code == CEL_ENOMEM) {
        py->code = CEL_ECONFIG; /* jansson refuses what is no UTF-8 */
        snprintf(py->message, sizeof py->message, "the environment variable is no UTF-8");
        py->failed_at = at;
    }
    cel__buf_done(&buf);
    return (cel_pyvalue){json, NULL, 0};
}

static const char *lookup_variable(cel_py *py, size_t at, const json_t *key)
{
    if (!json_is_string(key)) {
        cel__py_fail(py, at, "the name of an environment variable is a string");
        return NULL;
    }
    return getenv(json_string_value(key));
}

cel_pyvalue cel__py_environ(cel_py *py, size_t at, const json_t *key)
{
    const char *text = lookup_variable(py, at, key);

    if (!text && py->unused > 0 && !py->failed)
        text = "";
    if (!text) {
        cel__py_fail(py, at, "the environment variable %.60s is not set",
                     json_string_value(key));
        return nothing;
    }
    return make_text(py, at, text);
}

static cel_pyvalue call_getenv(cel_py *py, size_t at, json_t *bound, size_t depth)
{
    json_t *key = json_object_get(bound, "key");
    json_t *otherwise = json_object_get(bound, "default");
    const char *text = lookup_variable(py, at, key);

    if (py->failed)
        return nothing;
    if (text)
        return make_text(py, at, text);
    return (cel_pyvalue){otherwise ? json_incref(otherwise) : json_null(), NULL, depth};
}

/* ---- conversions ---- */

static cel_view trimmed(const json_t *text)
{
    cel_view view = {json_string_value(text), json_string_length(text)};

    while (view.len > 0 && strchr(" \t\r\n", view.ptr[0])) {
        view.ptr++;
        view.len--;
    }
    while (view.len > 0 && strchr(" \t\r\n", view.ptr[view.len - 1]))
        view.len--;
    return view;
}

/* Reads a number out of a string, signs and underscores as in source text. */
static json_t *parse_number(cel_py *py, size_t at, const json_t *text, bool real)
{
    cel_view view = trimmed(text);
    bool negative = view.len > 0 && view.ptr[0] == '-';

    if (view.len > 0 && (view.ptr[0] == '-' || view.ptr[0] == '+')) {
        view.ptr++;
        view.len--;
    }
    const cel_pytoken token = {CEL_PY_NUMBER, at, view};
    bool plain = view.len > 0 && !memchr(view.ptr, '\0', view.len) &&
                 (view.ptr[0] == '.' || (view.ptr[0] >= '0' && view.ptr[0] <= '9'));
    json_t *number = plain ? cel__py_number(py, &token) : NULL;
    if (!number || (!real && !json_is_integer(number))) {
        json_decref(number);
        cel__py_fail(py, at, "%s(): the string is no such number", real ? "float" : "int");
        return NULL;
    }
    if (negative && json_is_integer(number))
        json_integer_set(number, -json_integer_value(number));
    else if (negative)
        json_real_set(number, -json_real_value(number));
    return number;
}

static json_t *to_int(cel_py *py, size_t at, json_t *value)
{
    if (json_is_string(value))
        return parse_number(py, at, value, false);
    if (json_is_integer(value))
        return json_incref(value);
    if (json_is_boolean(value))
        return json_integer(json_is_true(value));
    if (json_is_real(value) && fabs(json_real_value(value)) < 9e18)
        return json_integer((json_int_t)json_real_value(value));
    cel__py_fail(py, at, "int(): the argument is no number");
    return NULL;
}

static json_t *to_float(cel_py *py, size_t at, json_t *value)
{
    json_t *number =
        json_is_string(value) ? parse_number(py, at, value, true) : json_incref(value);
    json_t *real = NULL;

    if (json_is_number(number))
        real = cel__py_make_real(py, at, json_number_value(number));
    else
        cel__py_fail(py, at, "float(): the argument is no number");
    json_decref(number);
    return real;
}

static json_t *to_str(cel_py *py, size_t at, json_t *value)
{
    cel__buf buf = {0};
    json_t *text = NULL;

    if (cel__py_str(&buf, value))
        text = cel__py_make_string(py, at, &buf);
    else
        cel__py_fail(py, at, "str() of a container cannot be read");
    cel__buf_done(&buf);
    return text;
}

static json_t *to_list(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *value)
{
    if (value && !json_is_array(value)) {
        cel__py_fail(py, at, "%s() of what is no list cannot be read", symbol->path);
        return NULL;
    }
    json_t *list = value ? json_copy(value) : json_array();
    if (!list)
        cel__py_nomem(py);
    return list && symbol->kind == CEL_PY_SET ? cel__py_make_set(py, at, list) : list;
}

/* int() and its like; without an argument they give the empty value. */
static cel_pyvalue
convert(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *value, size_t depth)
{
    switch (symbol->kind) {
    case CEL_PY_INT:
        return (cel_pyvalue){value ? to_int(py, at, value) : json_integer(0), NULL, 0};
    case CEL_PY_FLOAT:
        return (cel_pyvalue){value ? to_float(py, at, value) : json_real(0), NULL, 0};
    case CEL_PY_STR:
        return (cel_pyvalue){value ? to_str(py, at, value) : json_string(""), NULL, 0};
    case CEL_PY_BOOL:
        return (cel_pyvalue){json_boolean(value && cel__py_truth(value)), NULL, 0};
    default:
        return (cel_pyvalue){to_list(py, symbol, at, value), NULL, depth ? depth : 1};
    }
}

static cel_pyvalue
call_dict(cel_py *py, size_t at, json_t *args, json_t *kwargs, size_t args_depth)
{
    json_t *from = json_array_get(args, 0);
    cel_pyvalue value = {NULL, NULL, 1};

    if (json_array_size(args) > 1 || (from && !json_is_object(from))) {
        cel__py_fail(py, at, "dict() of this cannot be read");
        return nothing;
    }
    if (!cel__py_nest(py, at, &value.depth, args_depth))
        return nothing;
    value.json = from ? json_copy(from) : json_object();
    if (json_object_update(value.json, kwargs))
        cel__py_nomem(py);
    return value;
}

static cel_pyvalue
call_bound(cel_py *py, const cel_pysymbol *symbol, size_t at, json_t *bound, size_t depth)
{
    switch (symbol->kind) {
    case CEL_PY_OBJECT:
        return make_object(py, symbol, at, bound, depth);
    case CEL_PY_TIMEDELTA:
        return make_timedelta(py, at, bound);
    case CEL_PY_GETENV:
        return call_getenv(py, at, bound, depth);
    default:
        return convert(py, symbol, at, json_object_iter_value(json_object_iter(bound)), depth);
    }
}

cel_pyvalue cel__py_call(cel_py *py,
                         const cel_pysymbol *symbol,
                         size_t at,
                         json_t *args,
                         json_t *kwargs,
                         size_t depth)
{
    if (symbol->kind == CEL_PY_DICT)
        return call_dict(py, at, args, kwargs, depth);
    if (!symbol->params) {
        cel__py_fail(py, at, "'%s' cannot be called", symbol->path);
        return nothing;
    }
    json_t *bound = bind(py, symbol, at, args, kwargs);
    cel_pyvalue value = bound ? call_bound(py, symbol, at, bound, depth) : nothing;
    json_decref(bound);
    if (!value.json && !py->failed)
        cel__py_nomem(py);
    return value;
}
