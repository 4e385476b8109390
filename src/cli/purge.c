/* purge.c - `celeriac purge`: deletes what waits in the queues. */
#include <string.h>

#include "app/queues.h"
#include "celeriac/send.h"
#include "cli/cli.h"
#include "core/mem.h"

#define QUEUES_MAX 256

static const cel_option options[] = {
    {"force", 'f', NULL, CEL_OPTION_FLAG, NULL, NULL, "Do not ask"},
    {"queues", 'Q', NULL, CEL_OPTION_STRING, "LIST", NULL,
     "Queues to purge, comma-separated. Default: those configured"},
    {"exclude-queues", 'X', NULL, CEL_OPTION_STRING, "LIST", NULL, "Queues to leave alone"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

struct names {
    char *name[QUEUES_MAX]; /* owned */
    size_t count;
    const char *excluded;
};

static bool is_excluded(const char *list, cel_view name)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");

        if (cel__view_eq((cel_view){list, len}, name))
            return true;
        list += len + (list[len] == ',');
    }
    return false;
}

static void add(struct names *names, cel_view name)
{
    if (name.len == 0 || names->count == QUEUES_MAX || is_excluded(names->excluded, name))
        return;
    names->name[names->count] = cel__memdup(name.ptr, name.len);
    if (names->name[names->count])
        names->count++;
}

static void add_configured(void *user, const cel_queue_spec *queue)
{
    add(user, queue->name);
}

static void collect(struct names *names, const cel_app *app, const cel_args *args)
{
    const char *list = cel__args_string(args, "queues");

    names->excluded = cel__args_string(args, "exclude-queues");
    if (!list) {
        cel__queues_each(app->config, add_configured, names);
        return;
    }
    while (*list) {
        size_t len = strcspn(list, ",");

        add(names, (cel_view){list, len});
        list += len + (list[len] == ',');
    }
}

static bool confirm(const struct names *names)
{
    char answer[16] = "";

    printf("WARNING:This will remove all tasks from queue%s: ", names->count == 1 ? "" : "s");
    for (size_t i = 0; i < names->count; i++)
        printf("%s%s", i ? ", " : "", names->name[i]);
    printf(".\n         There is no undo for this operation!\n\n(to skip this prompt use the "
           "-f option)\n"
           "Are you sure you want to delete all tasks? [y/N]: ");
    fflush(stdout);
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
        fputs("Aborted!\n", stderr);
        return false;
    }
    return true;
}

static int purge(cel_app *app, const struct names *names)
{
    const char *plural = names->count == 1 ? "" : "s";
    int64_t total = 0;
    cel_error err = {0};

    for (size_t i = 0; i < names->count; i++) {
        int64_t count = 0;

        if (cel_purge(app, names->name[i], &count, &err) != CEL_OK)
            return cel__cli_fail(&err);
        total += count;
    }
    if (total > 0)
        printf("Purged %lld message%s from %zu known task queue%s.\n", (long long)total,
               total == 1 ? "" : "s", names->count, plural);
    else
        printf("No messages purged from %zu queue%s\n", names->count, plural);
    return CEL_EXIT_OK;
}

static int run(cel_cli *cli, const cel_args *args)
{
    struct names names = {.count = 0};
    cel_app *app;
    int status;

    if (!cel__cli_app(cli, &app, NULL, true))
        return CEL_EXIT_FAILURE;
    collect(&names, app, args);
    if (names.count == 0)
        status = cel__cli_usage(cli, "There is no queue to purge.");
    else if (!cel__args_flag(args, "force") && !confirm(&names))
        status = CEL_EXIT_FAILURE;
    else
        status = purge(app, &names);
    for (size_t i = 0; i < names.count; i++)
        cel__free(names.name[i]);
    cel_app_free(app);
    return status;
}

const cel_command cel__purge_command = {
    "purge",
    "",
    "Delete all waiting messages of the queues.",
    "There is no undo. What workers hold already is not touched.",
    options,
    0,
    0,
    run,
};
