/* list.c - `celeriac list queues|tasks`. */
#include <stdlib.h>
#include <string.h>

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

static int run(cel_cli *cli, const cel_args *args)
{
    bool queues = strcmp(args->words[0], "queues") == 0;
    bool as_json = cel__args_flag(args, "json");
    cel_app *app;
    int status;

    if (!queues && strcmp(args->words[0], "tasks") != 0)
        return cel__cli_usage(cli, "'%s' is neither 'queues' nor 'tasks'.", args->words[0]);
    if (!queues && !cel__args_string(args, "app"))
        return cel__cli_usage(cli, "To list tasks, give their module with -A.");
    if (!cel__cli_app(cli, &app, NULL, queues))
        return CEL_EXIT_FAILURE;
    status = queues ? list_queues(app, as_json) : list_tasks(app, as_json);
    cel_app_free(app);
    return status;
}

const cel_command cel__list_command = {
    "list",
    "queues|tasks",
    "List the broker's queues, or the tasks of a module.",
    NULL,
    options,
    1,
    1,
    run,
};
