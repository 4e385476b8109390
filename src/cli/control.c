/* control.c - `celeriac control METHOD`: tells workers what to do, and shows their replies. */
#include "cli/remote.h"

static int tell(cel_remote *remote, const cel_control_command *command, json_t *arguments)
{
    json_t *replies = NULL;
    cel_app *app;
    int status;

    if (!cel__cli_app((cel_cli *)remote->cli, &app, NULL, true)) {
        json_decref(arguments);
        return CEL_EXIT_FAILURE;
    }
    status = cel__remote_send(remote, app, command->name, arguments, &replies);
    cel_app_free(app);
    if (status == CEL_EXIT_OK && remote->as_json)
        status = cel__remote_print_json(replies);
    json_decref(replies);
    return status;
}

static int run(cel_cli *cli, const cel_args *args)
{
    const cel_control_command *command = cel__remote_command(cli, args, CEL_CONTROL_CONTROL);
    json_t *arguments = command ? cel__remote_arguments(cli, args, command) : NULL;
    cel_remote remote = {.body = true};
    int status;

    if (!arguments)
        return CEL_EXIT_USAGE;
    status = cel__remote_init(&remote, cli, args);
    if (status == CEL_EXIT_OK)
        status = tell(&remote, command, arguments);
    else
        json_decref(arguments);
    cel__remote_done(&remote);
    return status;
}

const cel_command cel__control_command = {
    "control",
    "METHOD [ARGS]...",
    "Tell workers what to do.",
    "Exit status: 0 somebody has answered, be it with a refusal; 69 nobody has in time (a "
    "shutdown is never\n"
    "answered), or no connection.",
    cel__remote_options,
    1,
    -1,
    run,
};
