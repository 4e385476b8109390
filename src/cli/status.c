/* status.c - `celeriac status`: which workers answer. */
#include "cli/remote.h"

static int ping(cel_remote *remote)
{
    json_t *replies = NULL, *nodes;
    cel_app *app;
    int status;

    if (!cel__cli_app((cel_cli *)remote->cli, &app, NULL, true))
        return CEL_EXIT_FAILURE;
    status = cel__remote_send(remote, app, "ping", NULL, &replies);
    cel_app_free(app);
    nodes = cel__remote_by_node(replies);
    if (status == CEL_EXIT_OK && remote->as_json)
        status = cel__remote_print_json(nodes);
    if (status == CEL_EXIT_OK)
        cel__remote_print_count(
            json_object_size(nodes)); /* with --json and --quiet, too: as Celery */
    json_decref(nodes);
    json_decref(replies);
    return status;
}

static int run(cel_cli *cli, const cel_args *args)
{
    cel_remote remote = {.body = false};
    int status = cel__remote_init(&remote, cli, args);

    if (status == CEL_EXIT_OK)
        status = ping(&remote);
    cel__remote_done(&remote);
    return status;
}

const cel_command cel__status_command = {
    "status",
    "",
    "Show which workers are online.",
    "Exit status: 0 somebody is; 69 nobody has answered in time, or no connection.",
    cel__remote_options,
    0,
    0,
    run,
};
