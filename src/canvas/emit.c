/* emit.c - from a plain signature to its message: what each option means there. */
#include <math.h>

#include "canvas/plan.h"
#include "core/id.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/time.h"

#define SECOND_US 1e6
#define MAX_US    253402300799999999.0 /* the end of the year 9999 */
#define MAX_LIMIT 9e9                  /* seconds: 285 years */

/* What is known while a message is filled in. */
struct filling {
    cel__planner *planner;
    const cel__sig *sig;
    const cel__options *options;
    cel_task_message *message;
    json_t *routing;  /* owned; NULL while there is nothing to say */
    const char *name; /* of the option that is being read */
    bool countdown;   /* eta is set by a countdown, which wins */
    bool shared;      /* the routing of these options is there already */
};

typedef cel_code (*fill_fn)(struct filling *filling, const cel__option *option);

bool cel__grow(void *array, size_t count, size_t *room, size_t size)
{
    void **at = array;
    size_t more = *room ? *room * 2 : 1;
    void *ptr;

    if (count < *room)
        return true;
    ptr = cel__realloc(*at, more * size);
    if (!ptr)
        return false;
    *at = ptr;
    *room = more;
    return true;
}

void cel__new_id(cel__planner *planner, cel_view *out)
{
    char *text = cel__slab_text(planner->slab, CEL_UUID_LEN + 1);

    if (!text) {
        cel__planner_nomem(planner);
        return;
    }
    if (planner->context->new_id)
        planner->context->new_id(planner->context->user, text);
    else
        cel__uuid7(text);
    *out = (cel_view){text, strnlen(text, CEL_UUID_LEN)};
}

static cel_code wrong(struct filling *filling, const cel__option *option, const char *want)
{
    return cel__planner_invalid(filling->planner, "option '%.*s' of '%.*s' is no %s",
                                CEL_VIEW_ARG(option->key), CEL_VIEW_ARG(filling->sig->task),
                                want);
}

/* ---- one function per kind of option ---- */

static cel_code get_string(struct filling *filling, const cel__option *option, cel_view *out)
{
    cel__planner *planner = filling->planner;

    if (cel__value_type(option->value) != CEL_JSON_STRING)
        return wrong(filling, option, "string");
    if (!cel__value_string(option->value, planner->slab, out))
        return cel__planner_nomem(planner);
    return CEL_OK;
}

static cel_code
get_text(struct filling *filling, const cel__option *option, cel_jtype type, cel_view *out)
{
    cel__planner *planner = filling->planner;

    if (cel__value_type(option->value) != type)
        return wrong(filling, option, type == CEL_JSON_ARRAY ? "array" : "object");
    if (!cel__value_dump(option->value, planner->slab, out))
        return cel__planner_nomem(planner);
    return CEL_OK;
}

static cel_code get_count(struct filling *filling, const cel__option *option, int64_t *out)
{
    int64_t count;

    if (!cel__value_int(option->value, &count) || count < 0)
        return wrong(filling, option, "count");
    *out = count;
    return CEL_OK;
}

static cel_code get_limit(struct filling *filling, const cel__option *option, double *out)
{
    double seconds;

    if (!cel__value_double(option->value, &seconds) || !(seconds >= 0 && seconds <= MAX_LIMIT))
        return wrong(filling, option, "number of seconds");
    *out = seconds;
    return CEL_OK;
}

/* Reads `seconds`, counted from `from_us`. */
static cel_code
get_seconds(struct filling *filling, const cel__option *option, int64_t from_us, int64_t *out)
{
    double seconds, us;

    if (!cel__value_double(option->value, &seconds))
        return wrong(filling, option, "number of seconds");
    us = (double)from_us + seconds * SECOND_US;
    if (!(us > -MAX_US && us < MAX_US))
        return wrong(filling, option, "time before the year 10000");
    *out = from_us + (int64_t)llround(seconds * SECOND_US);
    return CEL_OK;
}

/* Reads an ISO text, or {"__type__": "datetime", "__value__": <such a text>}. */
static cel_code get_time(struct filling *filling, const cel__option *option, int64_t *out)
{
    cel__value value = option->value, member;
    cel__walk walk;
    cel_view text, key;
    bool nomem = false;

    if (cel__value_type(value) == CEL_JSON_OBJECT) {
        value = (cel__value){0};
        cel__walk_object(&walk, option->value);
        while (cel__walk_next_member(&walk, filling->planner->slab, &key, &member, &nomem)) {
            if (cel__view_is(key, "__value__"))
                value = member;
        }
    }
    if (nomem)
        return cel__planner_nomem(filling->planner);
    if (cel__value_type(value) != CEL_JSON_STRING)
        return wrong(filling, option, "time");
    if (!cel__value_string(value, filling->planner->slab, &text))
        return cel__planner_nomem(filling->planner);
    return cel__time_parse(out, text) ? CEL_OK : wrong(filling, option, "time");
}

static bool is_number(const cel__option *option)
{
    cel_jtype type = cel__value_type(option->value);

    return type == CEL_JSON_INTEGER || type == CEL_JSON_REAL;
}

static cel_code fill_countdown(struct filling *filling, const cel__option *option)
{
    int64_t now_us = filling->planner->context->now_us;
    int64_t eta_us = now_us;

    if (get_seconds(filling, option, now_us, &eta_us) != CEL_OK)
        return filling->planner->code;
    if (eta_us == now_us) /* a countdown of 0 is none, as in Celery */
        return CEL_OK;
    filling->message->eta_us = eta_us;
    filling->countdown = true;
    return CEL_OK;
}

static cel_code fill_eta(struct filling *filling, const cel__option *option)
{
    int64_t eta_us = 0;
    cel_code code = is_number(option) ? get_seconds(filling, option, 0, &eta_us)
                                      : get_time(filling, option, &eta_us);

    if (code == CEL_OK && !filling->countdown)
        filling->message->eta_us = eta_us;
    return code;
}

static cel_code fill_expires(struct filling *filling, const cel__option *option)
{
    int64_t *expires_us = &filling->message->expires_us;

    if (is_number(option))
        return get_seconds(filling, option, filling->planner->context->now_us, expires_us);
    return get_time(filling, option, expires_us);
}

static cel_code fill_shadow(struct filling *filling, const cel__option *option)
{
    return get_string(filling, option, &filling->message->shadow);
}

static cel_code fill_origin(struct filling *filling, const cel__option *option)
{
    return get_string(filling, option, &filling->message->origin);
}

static cel_code fill_argsrepr(struct filling *filling, const cel__option *option)
{
    return get_string(filling, option, &filling->message->argsrepr);
}

static cel_code fill_kwargsrepr(struct filling *filling, const cel__option *option)
{
    return get_string(filling, option, &filling->message->kwargsrepr);
}

static cel_code fill_retries(struct filling *filling, const cel__option *option)
{
    return get_count(filling, option, &filling->message->retries);
}

static cel_code fill_nesting(struct filling *filling, const cel__option *option)
{
    return get_count(filling, option, &filling->message->replaced_task_nesting);
}

static cel_code fill_time_limit(struct filling *filling, const cel__option *option)
{
    return get_limit(filling, option, &filling->message->time_limit_s);
}

static cel_code fill_soft_limit(struct filling *filling, const cel__option *option)
{
    return get_limit(filling, option, &filling->message->soft_time_limit_s);
}

static cel_code fill_ignore(struct filling *filling, const cel__option *option)
{
    cel_jtype type = cel__value_type(option->value);

    if (type != CEL_JSON_TRUE && type != CEL_JSON_FALSE)
        return wrong(filling, option, "boolean");
    filling->message->ignore_result = type == CEL_JSON_TRUE;
    return CEL_OK;
}

static cel_code fill_headers(struct filling *filling, const cel__option *option)
{
    return get_text(filling, option, CEL_JSON_OBJECT, &filling->message->headers);
}

/* ---- routing: handed on as an object ---- */

static cel_code route(struct filling *filling, const cel__option *option)
{
    cel__planner *planner = filling->planner;
    json_t *value = NULL;
    cel_view text;

    if (filling->shared)
        return CEL_OK;
    if (option->value.json) {
        value = json_deep_copy(option->value.json);
    } else {
        if (!cel__value_dump(option->value, planner->slab, &text))
            return cel__planner_nomem(planner);
        if (cel__json_load(&value, text, NULL) != CEL_OK)
            return wrong(filling, option, "value that can be held");
    }
    if (!filling->routing)
        filling->routing = json_object();
    if (json_object_set_new(filling->routing, filling->name, value) != 0)
        return cel__planner_nomem(planner);
    return CEL_OK;
}

static cel_code route_string(struct filling *filling, const cel__option *option)
{
    cel_view text;

    if (get_string(filling, option, &text) != CEL_OK)
        return filling->planner->code;
    return route(filling, option);
}

static cel_code route_priority(struct filling *filling, const cel__option *option)
{
    int64_t priority;

    if (!cel__value_int(option->value, &priority) || priority < 0 || priority > 255)
        return wrong(filling, option, "priority");
    filling->message->priority = (int)priority;
    return route(filling, option);
}

/* 1 and 2, or kombu's words for them. */
static cel_code route_delivery_mode(struct filling *filling, const cel__option *option)
{
    int64_t mode = 0;
    cel_view text = {0};

    if (cel__value_type(option->value) == CEL_JSON_STRING &&
        get_string(filling, option, &text) != CEL_OK)
        return filling->planner->code;
    if (cel__view_is(text, "transient"))
        mode = 1;
    else if (cel__view_is(text, "persistent"))
        mode = 2;
    else if (!cel__value_int(option->value, &mode) || mode < 1 || mode > 2)
        return wrong(filling, option, "delivery mode");
    filling->message->delivery_mode = (int)mode;
    return route(filling, option);
}

static const struct {
    const char *name;
    fill_fn fill;
} meanings[] = {{"countdown", fill_countdown},
                {"eta", fill_eta},
                {"expires", fill_expires},
                {"queue", route_string},
                {"exchange", route_string},
                {"routing_key", route_string},
                {"route_name", route_string},
                {"serializer", route_string},
                {"compression", route_string},
                {"priority", route_priority},
                {"delivery_mode", route_delivery_mode},
                {"time_limit", fill_time_limit},
                {"soft_time_limit", fill_soft_limit},
                {"ignore_result", fill_ignore},
                {"retries", fill_retries},
                {"replaced_task_nesting", fill_nesting},
                {"shadow", fill_shadow},
                {"headers", fill_headers},
                {"origin", fill_origin},
                {"argsrepr", fill_argsrepr},
                {"kwargsrepr", fill_kwargsrepr}};

/* ---- stamps ---- */

static const cel__option *find(const cel__options *options, cel_view key)
{
    for (size_t i = 0; i < options->count; i++) {
        if (cel__view_eq(options->ptr[i].key, key))
            return &options->ptr[i];
    }
    return NULL;
}

/* Writes `stamps`, {name: value}, and the names that have a value as `stamped_headers`. */
static cel_code fill_stamps(struct filling *filling, const cel__option *names)
{
    cel__slab *slab = filling->planner->slab;
    cel__buf list = {0}, table = {0};
    cel__walk walk;
    cel__value name;
    bool done;

    if (cel__value_type(names->value) != CEL_JSON_ARRAY)
        return wrong(filling, names, "array");
    for (cel__walk_array(&walk, names->value); cel__walk_next(&walk, &name);) {
        const cel__option *stamp = NULL;
        cel_view key, text;

        if (cel__value_string(name, slab, &key))
            stamp = find(filling->options, key);
        if (!stamp || !cel__value_dump(stamp->value, slab, &text))
            continue;
        cel__buf_add_str(&list, list.len ? ", " : "[");
        cel__buf_add_json(&list, key);
        cel__buf_add_str(&table, table.len ? ", " : "{");
        cel__buf_add_json(&table, key);
        cel__buf_add_str(&table, ": ");
        cel__buf_add_view(&table, text);
    }
    done = true;
    if (list.len > 0) {
        cel__buf_add_byte(&list, ']');
        cel__buf_add_byte(&table, '}');
        done = !list.failed && !table.failed &&
               cel__slab_copy(slab, cel__buf_view(&list), &filling->message->stamped_headers) &&
               cel__slab_copy(slab, cel__buf_view(&table), &filling->message->stamps);
    }
    done = done && !list.failed && !table.failed;
    cel__buf_done(&list);
    cel__buf_done(&table);
    return done ? CEL_OK : cel__planner_nomem(filling->planner);
}

/* ---- the message ---- */

static cel_code fill_options(struct filling *filling)
{
    const cel__options *options = filling->options;
    const cel__option *names = find(options, CEL_VIEW("stamped_headers"));

    for (size_t i = 0; i < options->count && filling->planner->code == CEL_OK; i++) {
        if (cel__value_null(options->ptr[i].value))
            continue;
        for (size_t k = 0; k < sizeof meanings / sizeof *meanings; k++) {
            if (cel__view_is(options->ptr[i].key, meanings[k].name)) {
                filling->name = meanings[k].name;
                meanings[k].fill(filling, &options->ptr[i]);
                break;
            }
        }
    }
    if (filling->planner->code == CEL_OK && names && !cel__value_null(names->value))
        fill_stamps(filling, names);
    return filling->planner->code;
}

static bool has_key(cel__planner *planner, cel__value object, cel_view key)
{
    cel__walk walk;
    cel__value value;
    cel_view name;
    bool nomem = false;

    cel__walk_object(&walk, object);
    while (cel__walk_next_member(&walk, planner->slab, &name, &value, &nomem)) {
        if (cel__view_eq(name, key))
            return true;
    }
    if (nomem)
        cel__planner_nomem(planner);
    return false;
}

/* Returns the stored keyword arguments overridden by the given ones. */
static cel_view merge_kwargs(cel__planner *planner, cel_view stored, cel__value given)
{
    cel__value own = {.text = {CEL_JSON_OBJECT, stored}};
    cel__walk walk;
    cel__value value;
    cel_view key, text, merged = stored;
    bool nomem = false;
    cel__buf out = {0};

    if (cel__value_null(given) || cel__value_empty(given))
        return stored;
    if (!stored.ptr) {
        if (!cel__value_dump(given, planner->slab, &merged))
            cel__planner_nomem(planner);
        return merged;
    }
    cel__walk_object(&walk, own);
    while (cel__walk_next_member(&walk, planner->slab, &key, &value, &nomem)) {
        if (has_key(planner, given, key))
            continue;
        cel__buf_add_str(&out, out.len ? ", " : "{");
        cel__buf_add_json(&out, key);
        cel__buf_add_str(&out, ": ");
        cel__buf_add_view(&out, value.text.text);
    }
    if (nomem || !cel__value_dump(given, planner->slab, &text)) {
        cel__planner_nomem(planner);
    } else {
        cel__buf_add_str(&out, out.len ? ", " : "{");
        cel__buf_add(&out, text.ptr + 1, text.len - 1);
        if (out.failed || !cel__slab_copy(planner->slab, cel__buf_view(&out), &merged))
            cel__planner_nomem(planner);
    }
    cel__buf_done(&out);
    return merged;
}

static cel_view first_of(cel_view a, cel_view b, cel_view c)
{
    return a.ptr ? a : b.ptr ? b : c;
}

static void fill_fields(cel__planner *planner,
                        const cel__sig *sig,
                        const cel__given *given,
                        cel_task_message *message)
{
    const cel_canvas_context *context = planner->context;

    message->task = sig->task;
    message->id = sig->task_id;
    message->args = sig->args;
    message->kwargs = sig->kwargs;
    if (!sig->immutable) {
        message->args = cel__array_join(planner, given->partial_args, sig->args);
        message->kwargs = merge_kwargs(planner, sig->kwargs, given->partial_kwargs);
    }
    message->callbacks = cel__array_join_once(planner, sig->link, given->link);
    message->errbacks = cel__array_join_once(planner, sig->link_error, given->link_error);
    message->chain = cel__array_join(planner, given->chain, sig->chain);
    message->chord = first_of(given->chord, sig->chord, (cel_view){0});
    message->group = first_of(sig->group_id, given->group_id, (cel_view){0});
    message->group_index = sig->group_index >= 0 ? sig->group_index : given->group_index;
    message->root_id = first_of(given->root_id, sig->root_id, sig->task_id);
    message->parent_id = first_of(given->parent_id, sig->parent_id, (cel_view){0});
    message->reply_to = first_of(sig->reply_to, context->reply_to, (cel_view){0});
    message->origin = context->origin;
}

/* Takes the reference. */
static const json_t *keep_routing(cel__planner *planner, json_t *routing)
{
    cel_plan *plan = planner->plan;

    if (!routing)
        return NULL;
    if (!cel__grow(&plan->routings, plan->routing_count, &plan->routing_room,
                   sizeof *plan->routings)) {
        json_decref(routing);
        cel__planner_nomem(planner);
        return NULL;
    }
    plan->routings[plan->routing_count++] = routing;
    return routing;
}

cel_code cel__emit(cel__planner *planner, const cel__sig *sig, const cel__given *given)
{
    cel_plan *plan = planner->plan;
    cel_task_message message = CEL_TASK_MESSAGE_INIT;
    const json_t *routing = NULL;

    if (planner->code != CEL_OK)
        return planner->code;
    fill_fields(planner, sig, given, &message);
    if (sig->rest.count > 0 || given->rest.count > 0) {
        cel__options options = cel__options_merge(planner, sig->rest, given->rest);
        struct filling filling = {planner, sig, &options, &message, NULL, NULL, false, false};

        if (options.ptr == planner->last_options.ptr &&
            options.count == planner->last_options.count) {
            routing = planner->last_routing;
            filling.shared = true;
        }
        fill_options(&filling);
        if (!filling.shared)
            routing = keep_routing(planner, filling.routing);
        planner->last_options = options;
        planner->last_routing = routing;
    }
    if (planner->code != CEL_OK)
        return planner->code;
    if (!cel__grow(&plan->tasks, plan->task_count, &plan->task_room, sizeof *plan->tasks))
        return cel__planner_nomem(planner);
    plan->tasks[plan->task_count++] = (cel_plan_task){message, routing};
    return CEL_OK;
}
