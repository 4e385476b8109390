/* list.c - `celeriac list queues|tasks|bindings`. */
#include <stdlib.h>
#include <string.h>

#include "app/queues.h"
#include "cli/cli.h"
#include "cli/queue_list.h"

static const cel_option options[] = {
    {"json", 'j', NULL, CEL_OPTION_FLAG, NULL, NULL, "Print JSON"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* -1 is "the broker cannot tell". */
static json_t *number(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static void add_queue(void *user, const cel_queue_info *info)
{
    json_array_append_new(user,
                          json_pack("{s:s%, s:o, s:o, s:o, s:o}", "name", info->name.ptr,
                                    info->name.len, "ready", number(info->ready), "delayed",
                                    number(info->delayed), "unsettled", number(info->unsettled),
                                    "consumers", number(info->consumers)));
}

static void print_cell(const json_t *value)
{
    if (json_is_integer(value))
        printf("%12lld", (long long)json_integer_value(value));
    else
        printf("%12s", "-");
}

static void print_queues(const json_t *queues)
{
    static const char *const columns[] = {"ready", "delayed", "unsettled", "consumers"};
    size_t i;
    const json_t *queue;

    printf("%-28s%12s%12s%12s%12s\n", "Queue", "Ready", "Delayed", "Unsettled", "Consumers");
    for (int dash = 0; dash < 76; dash++)
        putchar('-');
    putchar('\n');
    json_array_foreach(queues, i, queue)
    {
        printf("%-28s", json_string_value(json_object_get(queue, "name")));
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            print_cell(json_object_get(queue, columns[c]));
        putchar('\n');
    }
}

static void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
}

static int list_queues(cel_app *app, bool as_json)
{
    json_t *queues = json_array();
    cel_error err = {0};
    cel_code code = cel__queue_list(app, add_queue, queues, &err);

    if (code == CEL_OK && as_json)
        print_json(queues);
    else if (code == CEL_OK)
        print_queues(queues);
    json_decref(queues);
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

static void add_task(void *user, cel_task_entry *entry)
{
    if (strncmp(entry->name, "celery.", 7) != 0)
        json_array_append_new(user, json_string(entry->name));
}

static int list_tasks(cel_app *app, bool as_json)
{
    json_t *tasks = json_array();
    size_t i;
    const json_t *task;

    cel__registry_each(app->registry, add_task, tasks);
    if (as_json)
        print_json(tasks);
    else
        json_array_foreach(tasks, i, task) puts(json_string_value(task));
    json_decref(tasks);
    return CEL_EXIT_OK;
}

/* ---- bindings: those that workers and senders with this configuration declare ---- */

static void add_binding(json_t *bindings, cel_view queue, cel_view exchange, cel_view key)
{
    json_array_append_new(bindings,
                          json_pack("{s:s%, s:s%, s:s%}", "queue", queue.ptr, queue.len,
                                    "exchange", exchange.ptr ? exchange.ptr : "", exchange.len,
                                    "routing_key", key.ptr ? key.ptr : "", key.len));
}

static cel_view view_of(const json_t *string)
{
    return (cel_view){json_is_string(string) ? json_string_value(string) : "",
                      json_string_length(string)};
}

static void add_bindings(void *user, const cel_queue_spec *queue)
{
    const json_t *more = json_object_get(queue->object, "bindings"), *binding;
    size_t i;

    if (json_array_size(more) == 0)
        add_binding(user, queue->name, queue->exchange, queue->routing_key);
    json_array_foreach(more, i, binding)
    {
        const json_t *exchange = json_object_get(binding, "exchange");

        if (json_is_object(exchange))
            exchange = json_object_get(exchange, "name");
        add_binding(user, queue->name, view_of(exchange),
                    view_of(json_object_get(binding, "routing_key")));
    }
}

static void print_binding(const char *queue, const char *exchange, const char *key)
{
    printf("%-28s %-28s %s\n", queue, exchange, key);
}

static int list_bindings(cel_app *app, bool as_json)
{
    static const char dashes[] = "----------------";
    json_t *bindings = json_array();
    const json_t *binding;
    size_t i;

    cel__queues_each(app->config, add_bindings, bindings);
    if (as_json) {
        print_json(bindings);
    } else {
        print_binding("Queue", "Exchange", "Routing Key");
        print_binding(dashes, dashes, dashes);
        json_array_foreach(bindings, i, binding)
            print_binding(json_string_value(json_object_get(binding, "queue")),
                          json_string_value(json_object_get(binding, "exchange")),
                          json_string_value(json_object_get(binding, "routing_key")));
    }
    json_decref(bindings);
    return CEL_EXIT_OK;
}

/* ---- which ---- */

static const cel_word words[] = {
    {"queues", NULL, "The broker's queues, and how many messages are in them"},
    {"tasks", NULL, "The tasks of the module given with -A"},
    {"bindings", NULL, "The queues of the configuration, and how they are bound to exchanges"},
};

bool cel__list_word(size_t i, cel_word *out)
{
    if (i >= sizeof words / sizeof *words)
        return false;
    *out = words[i];
    return true;
}

static int run(cel_cli *cli, const cel_args *args)
{
    bool queues = strcmp(args->words[0], "queues") == 0;
    bool bindings = strcmp(args->words[0], "bindings") == 0;
    bool as_json = cel__args_flag(args, "json");
    cel_app *app;
    int status;

    if (!queues && !bindings && strcmp(args->words[0], "tasks") != 0)
        return cel__cli_no_word(cli, args->words[0]);
    if (!queues && !bindings && !cel__args_string(args, "app"))
        return cel__cli_usage(cli, "To list tasks, give their module with -A.");
    if (!cel__cli_app(cli, &app, NULL, queues || bindings))
        return CEL_EXIT_FAILURE;
    status = queues     ? list_queues(app, as_json)
             : bindings ? list_bindings(app, as_json)
                        : list_tasks(app, as_json);
    cel_app_free(app);
    return status;
}

const cel_command cel__list_command = {
    "list",
    "queues|tasks|bindings",
    "List the broker's queues, the tasks of a module, or bindings.",
    NULL,
    options,
    1,
    1,
    run,
};
