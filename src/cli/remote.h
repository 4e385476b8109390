/* remote.h - what `celeriac inspect`, `control` and `status` share: their options, the words of a command, the replies. */
#ifndef CEL_CLI_REMOTE_H
#define CEL_CLI_REMOTE_H

#include "celeriac/control.h"
#include "cli/cli.h"
#include "control/commands.h"

extern const cel_option cel__remote_options[];

/* What the options say; zero-initialise. */
typedef struct cel_remote {
    cel_control_options options; /* its destination points into `names` */
    char *list;                  /* owned, as names */
    const char **names;
    const cel_cli *cli;
    bool as_json;
    bool body; /* replies are shown with what they say */
} cel_remote;

/* Reads the options. Returns an exit status; the caller frees with cel__remote_done() in any case. */
int cel__remote_init(cel_remote *remote, const cel_cli *cli, const cel_args *args);
void cel__remote_done(cel_remote *remote);

/* The command named by the first word, which must be of that kind. NULL, after an error was printed, if there is none. */
const cel_control_command *
cel__remote_command(const cel_cli *cli, const cel_args *args, cel_control_kind kind);

/* The words behind the command as its arguments, an object owned by the caller; NULL after a usage error was printed. */
json_t *cel__remote_arguments(const cel_cli *cli,
                              const cel_args *args,
                              const cel_control_command *command);

/* Sends the command (arguments are taken) and shows replies as they come, unless they are to be JSON. *replies, an array, is the caller's.
 * Returns an exit status: that of a failure, CEL_EXIT_UNAVAILABLE if nobody has answered. */
int cel__remote_send(
    cel_remote *remote, cel_app *app, const char *method, json_t *arguments, json_t **replies);

/* The replies by node, as a JSON object owned by the caller. */
json_t *cel__remote_by_node(const json_t *replies);

/* Prints one line of JSON as Python does; and "N nodes online." */
int cel__remote_print_json(const json_t *value);
void cel__remote_print_count(size_t count);

/* The sub-commands of a kind for help and completion: see cel__command_word(). */
bool cel__inspect_word(size_t i, cel_word *out);
bool cel__control_word(size_t i, cel_word *out);

#endif
