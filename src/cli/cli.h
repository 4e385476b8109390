/* cli.h - the command: global options, the app made of them, the table of sub-commands. */
#ifndef CEL_CLI_CLI_H
#define CEL_CLI_CLI_H

#include "app/app.h"
#include "celeriac/result.h"
#include "cli/logging.h"
#include "cli/options.h"

/* Exit statuses, as Celery's. */
#define CEL_EXIT_OK          0
#define CEL_EXIT_FAILURE     1
#define CEL_EXIT_USAGE       2
#define CEL_EXIT_UNAVAILABLE 69 /* no reply, broker out of reach */
#define CEL_EXIT_CANTCREAT   73 /* pidfile locked */

typedef struct cel_cli {
    int argc;
    char **argv;
    char **environ;
    const cel_args *global;
    const cel_command *command;
    bool quiet, no_color;
    int command_at; /* argv[command_at] is the name of the command */
    int start_dir;  /* where --workdir came from: a descriptor; -1: not given */
    cel_logging logging;
} cel_cli;

/* The whole program; returns the exit status. Exported for the command alone; not part of the API. */
CEL_API int cel__cli_main(int argc, char **argv);

extern const cel_option cel__global_options[];
extern const cel_command *const cel__commands[]; /* NULL-terminated, in the order of help */

extern const cel_command cel__worker_command;
extern const cel_command cel__multi_command;
extern const cel_command cel__call_command;
extern const cel_command cel__apply_command;
extern const cel_command cel__result_command;
extern const cel_command cel__beat_command;
extern const cel_command cel__status_command;
extern const cel_command cel__inspect_command;
extern const cel_command cel__control_command;
extern const cel_command cel__dispatch_command;
extern const cel_command cel__rpc_command;
extern const cel_command cel__purge_command;
extern const cel_command cel__list_command;
extern const cel_command cel__events_command;
extern const cel_command cel__report_command;
extern const cel_command cel__help_command;

/* Finds a sub-command; NULL if there is none. */
const cel_command *cel__command_find(const char *name);

/* Makes the app that the global options ask for: configuration, broker, result store, and the module of -A loaded (unless
 * `without_module`). `settings` ("name=value", NULL-terminated) may be NULL. Prints the error and returns false if it fails. */
bool cel__cli_app(cel_cli *cli,
                  cel_app **app,
                  const char *const *settings,
                  bool without_module);

/* Prints "Error: ..." on stderr and returns the exit status for the code. */
int cel__cli_fail(const cel_error *err);

/* Waits for a result (seconds; negative: for ever), prints it as Python would and returns the exit status. */
int cel__cli_result(cel_result *result, double seconds);

/* Prints a usage error with the hint where help is, and returns CEL_EXIT_USAGE. */
int cel__cli_usage(const cel_cli *cli, const char *fmt, ...) CEL_PRINTF(2, 3);

/* Gives the i-th of the words that the command's first one may be; false behind the last, and if it may be any. */
bool cel__command_word(const cel_command *command, size_t i, cel_word *out);

/* The words of `celeriac list`. */
bool cel__list_word(size_t i, cel_word *out);

/* The usage error for a first word that is none of the command's words. */
int cel__cli_no_word(const cel_cli *cli, const char *word);

/* Print help: of the program, of a command. */
void cel__help_program(FILE *to);
void cel__help_command_print(FILE *to, const cel_command *command);

#endif
