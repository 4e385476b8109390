/* inspect.c - `celeriac inspect METHOD`: asks workers what they do, and shows their replies. */
#include "cli/remote.h"

static int ask(cel_remote *remote, const cel_control_command *command, json_t *arguments)
{
    json_t *replies = NULL, *nodes;
    cel_app *app;
    int status;

    if (!cel__cli_app((cel_cli *)remote->cli, &app, NULL, true)) {
        json_decref(arguments);
        return CEL_EXIT_FAILURE;
    }
    status = cel__remote_send(remote, app, command->name, arguments, &replies);
    cel_app_free(app);
    nodes = cel__remote_by_node(replies);
    if (status == CEL_EXIT_OK && remote->as_json)
        status = cel__remote_print_json(nodes);
    else if (status == CEL_EXIT_OK && !remote->cli->quiet)
        cel__remote_print_count(json_object_size(nodes));
    json_decref(nodes);
    json_decref(replies);
    return status;
}

static int run(cel_cli *cli, const cel_args *args)
{
    const cel_control_command *command = cel__remote_command(cli, args, CEL_CONTROL_INSPECT);
    json_t *arguments = command ? cel__remote_arguments(cli, args, command) : NULL;
    cel_remote remote = {.body = true};
    int status;

    if (!arguments)
        return CEL_EXIT_USAGE;
    status = cel__remote_init(&remote, cli, args);
    if (status == CEL_EXIT_OK)
        status = ask(&remote, command, arguments);
    else
        json_decref(arguments);
    cel__remote_done(&remote);
    return status;
}

const cel_command cel__inspect_command = {
    "inspect",
    "METHOD [ARGS]...",
    "Ask workers what they do.",
    "Exit status: 0 somebody has answered; 69 nobody has in time, or no connection.",
    cel__remote_options,
    1,
    -1,
    run,
};
