/* declare.c - see declare.h. The texts of a queue's arguments are made once and kept with the
 * app: they are views of the brokers'. Only what the configuration lists is kept, so the list
 * is bounded. */
#include "app/declare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/queues.h"
#include "app/settings.h"
#include "core/mem.h"

#define ADDED_MAX 10000

#define QUORUM "{\"x-queue-type\": \"quorum\"}"

typedef struct cel_declaration {
    struct cel_declaration *next;
    char *texts[5]; /* owned, by malloc; what the views point into */
    bool added;     /* by cel__app_add_queue() */
    cel_queue_decl decl;
    size_t len;
    char name[];
} cel_declaration;

void cel__declarations_free(cel_declaration *declarations)
{
    while (declarations) {
        cel_declaration *next = declarations->next;
        for (size_t i = 0; i < sizeof declarations->texts / sizeof *declarations->texts; i++)
            free(declarations->texts[i]);
        cel__free(declarations);
        declarations = next;
    }
}

static bool text_is(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* ---- arguments ---- */

/* An option of kombu's Queue; those in seconds become milliseconds. */
static void add_option(
    json_t *arguments, const json_t *queue, const char *option, const char *key, int factor)
{
    const json_t *value = json_object_get(queue, option);

    if (!json_is_number(value))
        return;
    double number = json_number_value(value) * factor;
    if (fabs(number) < 9e15)
        json_object_set_new(arguments, key, json_integer((json_int_t)number));
}

static json_t *queue_arguments(const cel_queue_spec *spec)
{
    const json_t *own = json_object_get(spec->object, "queue_arguments");
    json_t *arguments = json_is_object(own) ? json_copy((json_t *)own) : json_object();

    add_option(arguments, spec->object, "expires", "x-expires", 1000);
    add_option(arguments, spec->object, "message_ttl", "x-message-ttl", 1000);
    add_option(arguments, spec->object, "max_length", "x-max-length", 1);
    add_option(arguments, spec->object, "max_length_bytes", "x-max-length-bytes", 1);
    if (spec->max_priority >= 0 && !json_object_get(arguments, "x-max-priority"))
        json_object_set_new(arguments, "x-max-priority", json_integer(spec->max_priority));
    return arguments;
}

/* Takes `value`. Absent if it is empty or there is no memory. */
static cel_view keep(char **text, json_t *value)
{
    if (json_object_size(value) + json_array_size(value) > 0)
        *text = json_dumps(value, JSON_ENSURE_ASCII);
    json_decref(value);
    return *text ? cel__view(*text) : (cel_view){NULL, 0};
}

static cel_view keep_copy(char **text, const json_t *value)
{
    return keep(text, json_is_object(value) || json_is_array(value)
                          ? json_incref((json_t *)value)
                          : NULL);
}

/* ---- describing ---- */

static void fill(cel_queue_decl *out, const cel_queue_spec *spec)
{
    *out = (cel_queue_decl){
        .exchange = spec->exchange,
        .exchange_type = spec->exchange_type,
        .routing_key = spec->routing_key,
        .durable = spec->durable,
        .max_priority = spec->max_priority,
        .broadcast = spec->broadcast,
    };
}

static void fill_object(cel_declaration *declaration, const cel_queue_spec *spec)
{
    const json_t *queue = spec->object, *exchange = json_object_get(queue, "exchange");
    cel_queue_decl *decl = &declaration->decl;
    const json_t *auto_delete = json_object_get(queue, "auto_delete");

    fill(decl, spec);
    decl->auto_delete = json_is_true(auto_delete) || (spec->broadcast && !auto_delete);
    decl->exclusive = json_is_true(json_object_get(queue, "exclusive"));
    decl->passive = json_is_true(json_object_get(queue, "no_declare"));
    decl->exchange_transient = json_is_false(json_object_get(exchange, "durable"));
    decl->exchange_auto_delete = json_is_true(json_object_get(exchange, "auto_delete"));
    decl->exchange_passive = json_is_true(json_object_get(exchange, "passive")) ||
                             json_is_true(json_object_get(exchange, "no_declare"));
    decl->arguments = keep(&declaration->texts[0], queue_arguments(spec));
    decl->exchange_arguments =
        keep_copy(&declaration->texts[1], json_object_get(exchange, "arguments"));
    decl->binding_arguments =
        keep_copy(&declaration->texts[2], json_object_get(queue, "binding_arguments"));
    decl->consumer_arguments =
        keep_copy(&declaration->texts[3], json_object_get(queue, "consumer_arguments"));
    decl->bindings = keep_copy(&declaration->texts[4], json_object_get(queue, "bindings"));
}

/* The lock is held. */
static const cel_declaration *find_kept(const cel_app *app, cel_view queue)
{
    const cel_declaration *found = app->declarations;

    while (found && !cel__view_eq((cel_view){found->name, found->len}, queue))
        found = found->next;
    return found;
}

static bool describe_object(cel_app *app, const cel_queue_spec *spec, cel_queue_decl *out)
{
    pthread_mutex_lock(&app->declare_lock);
    const cel_declaration *kept = find_kept(app, spec->name);
    if (!kept) {
        cel_declaration *made = cel__calloc(1, sizeof *made + spec->name.len + 1);
        if (made) {
            memcpy(made->name, spec->name.ptr, spec->name.len);
            made->len = spec->name.len;
            fill_object(made, spec);
            made->next = app->declarations;
            app->declarations = made;
        }
        kept = made;
    }
    if (kept)
        *out = kept->decl;
    pthread_mutex_unlock(&app->declare_lock);
    return kept != NULL;
}

/* ---- queues that a worker was told of ---- */

static bool describe_added(cel_app *app, cel_view queue, cel_queue_decl *out)
{
    const cel_declaration *kept;

    pthread_mutex_lock(&app->declare_lock);
    kept = find_kept(app, queue);
    if (kept && kept->added)
        *out = kept->decl;
    pthread_mutex_unlock(&app->declare_lock);
    return kept && kept->added;
}

static bool is_listed(const cel_app *app, cel_view queue)
{
    cel_queue_spec spec;

    return cel__queue_find(&spec, app->config, queue, NULL) == CEL_OK && spec.object;
}

/* A copy that lives as long as the declaration. */
static cel_view keep_text(char **text, cel_view view)
{
    *text = strndup(view.ptr ? view.ptr : "", view.len);
    return *text ? (cel_view){*text, view.len} : (cel_view){NULL, 0};
}

cel_code cel__app_add_queue(cel_app *app,
                            cel_view queue,
                            cel_view exchange,
                            cel_view exchange_type,
                            cel_view routing_key,
                            cel_error *err)
{
    cel_declaration *made;
    size_t count = 0;

    if (is_listed(app, queue))
        return CEL_OK;
    made = cel__calloc(1, sizeof *made + queue.len + 1);
    if (!made)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a queue");
    memcpy(made->name, queue.ptr, queue.len);
    made->len = queue.len;
    made->added = true;
    made->decl = (cel_queue_decl){.durable = true, .max_priority = -1};
    made->decl.exchange = keep_text(&made->texts[0], exchange.len > 0 ? exchange : queue);
    made->decl.exchange_type = keep_text(&made->texts[1], exchange_type);
    made->decl.routing_key =
        keep_text(&made->texts[2], routing_key.len > 0 ? routing_key : queue);
    pthread_mutex_lock(&app->declare_lock);
    for (const cel_declaration *at = app->declarations; at; at = at->next)
        count += at->added;
    bool there = find_kept(app, queue) != NULL;
    if (!there && count < ADDED_MAX) {
        made->next = app->declarations;
        app->declarations = made;
        made = NULL;
    }
    pthread_mutex_unlock(&app->declare_lock);
    cel__declarations_free(made);
    if (!there && count >= ADDED_MAX)
        return cel_error_set(err, CEL_EFULL, "%d queues were added already", ADDED_MAX);
    return CEL_OK;
}

/* Whether it is the queue of task_default_queue, made up for want of task_queues. */
static bool is_default(const cel_config *config, cel_view queue)
{
    const json_t *name = cel__config_at(config, CEL_SET_task_default_queue);

    return json_is_string(name) && cel__view_is(queue, json_string_value(name));
}

bool cel__app_describe(const void *user, cel_view queue, cel_queue_decl *out)
{
    const cel_app *app = user;
    cel_queue_spec spec;

    if (describe_added((cel_app *)app, queue, out))
        return true;
    if (cel__queue_find(&spec, app->config, queue, NULL) != CEL_OK)
        return false;
    if (spec.object)
        return describe_object((cel_app *)app, &spec, out);
    const json_t *type = cel__config_at(
        app->config, is_default(app->config, queue) ? CEL_SET_task_default_queue_type
                                                    : CEL_SET_task_create_missing_queue_type);
    fill(out, &spec);
    if (text_is(type, "quorum"))
        out->arguments = CEL_VIEW(QUORUM);
    return true;
}

struct search {
    cel_view exchange;
    void (*each)(void *to, cel_view queue);
    void *to;
    bool found;
};

static void visit(void *user, const cel_queue_spec *spec)
{
    struct search *search = user;

    if (!cel__view_eq(spec->exchange, search->exchange))
        return;
    search->found = true;
    search->each(search->to, spec->name);
}

void cel__app_queues_of(const void *user,
                        cel_view exchange,
                        void (*each)(void *to, cel_view queue),
                        void *to)
{
    const cel_app *app = user;
    struct search search = {exchange, each, to, false};
    cel_queue_spec spec;

    cel__queues_each(app->config, visit, &search);
    /* One that is made up has an exchange of its name. */
    if (!search.found && cel__queue_find(&spec, app->config, exchange, NULL) == CEL_OK &&
        cel__view_eq(spec.exchange, exchange))
        each(to, exchange);
}

void cel__app_broker_options(const cel_app *app, cel_broker_options *options)
{
    const json_t *heartbeat = cel__config_at(app->config, CEL_SET_broker_heartbeat);
    int64_t timeout_ms = cel__config_ms(app->config, "broker_connection_timeout");

    options->describe = cel__app_describe;
    options->queues_of = cel__app_queues_of;
    options->describe_user = app;
    options->transport_options = cel__config_at(app->config, CEL_SET_broker_transport_options);
    options->connect_timeout_ms = timeout_ms > 0 ? timeout_ms : 0;
    json_int_t seconds = json_integer_value(heartbeat);
    const json_t *type =
        cel__config_at(app->config, CEL_SET_broker_native_delayed_delivery_queue_type);
    if (json_is_string(type))
        options->delay_queue_type = cel__view(json_string_value(type));
    options->heartbeat_s = seconds > 0 && seconds < 65536 ? (int)seconds : -1;
}
