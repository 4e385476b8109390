/* cli.c - global options, dispatch, and what the sub-commands share. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "celeriac/version.h"
#include "cli/remote.h"

#define WORDS_MAX 64

extern char **environ;

const cel_option cel__global_options[] = {
    {"app", 'A', NULL, CEL_OPTION_STRING, "MODULE", "APP",
     "Task module: a shared object. NAME, NAME.so or libNAME.so is looked for in the working "
     "directory and on CELERIAC_PATH; a path with a slash is taken as it is."},
    {"broker", 'b', NULL, CEL_OPTION_STRING, "URL", "BROKER_URL",
     "Broker, for example sqlite:///celeriac.db"},
    {"result-backend", 0, NULL, CEL_OPTION_STRING, "URL", "RESULT_BACKEND",
     "Result store, for example sqlite:///celeriac.db"},
    {"config", 0, NULL, CEL_OPTION_STRING, "FILE", "CONFIG_MODULE",
     "Configuration: a celeryconfig.py of assignments, or the name of such a module. It is "
     "read, never executed."},
    {"workdir", 0, NULL, CEL_OPTION_STRING, "DIR", NULL, "Change to this directory first."},
    {"loader", 0, NULL, CEL_OPTION_STRING, "NAME", "LOADER",
     "Accepted for compatibility; has no effect."},
    {"no-color", 'C', NULL, CEL_OPTION_FLAG, NULL, "NO_COLOR", "No colors."},
    {"quiet", 'q', NULL, CEL_OPTION_FLAG, NULL, NULL, "Print less: no banner."},
    {"skip-checks", 0, NULL, CEL_OPTION_FLAG, NULL, "SKIP_CHECKS",
     "Accepted for compatibility; has no effect."},
    {"version", 0, NULL, CEL_OPTION_FLAG, NULL, NULL, "Print the version and exit."},
    {"help", 'h', NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Print this help, or that of the command, and exit."},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

const cel_command *const cel__commands[] = {
    &cel__worker_command,
    &cel__beat_command,
    &cel__dispatch_command,
    &cel__multi_command,
    &cel__call_command,
    &cel__apply_command,
    &cel__rpc_command,
    &cel__result_command,
    &cel__status_command,
    &cel__inspect_command,
    &cel__control_command,
    &cel__purge_command,
    &cel__list_command,
    &cel__events_command,
    &cel__report_command,
    &cel__help_command,
    NULL,
};

/* The commands that have commands of their own. */
static const struct {
    const cel_command *command;
    bool (*word)(size_t i, cel_word *out);
} word_tables[] = {
    {&cel__inspect_command, cel__inspect_word},
    {&cel__control_command, cel__control_word},
    {&cel__list_command, cel__list_word},
};

bool cel__command_word(const cel_command *command, size_t i, cel_word *out)
{
    for (size_t t = 0; t < sizeof word_tables / sizeof *word_tables; t++)
        if (word_tables[t].command == command)
            return word_tables[t].word(i, out);
    return false;
}

const cel_command *cel__command_find(const char *name)
{
    for (const cel_command *const *command = cel__commands; *command; command++)
        if (strcmp((*command)->name, name) == 0)
            return *command;
    return NULL;
}

int cel__cli_fail(const cel_error *err)
{
    fprintf(stderr, "Error: %s\n", err->message);
    if (err->code == CEL_ECONN || err->code == CEL_ETIMEDOUT)
        return CEL_EXIT_UNAVAILABLE;
    return CEL_EXIT_FAILURE;
}

int cel__cli_usage(const cel_cli *cli, const char *fmt, ...)
{
    const char *name = cli->command ? cli->command->name : NULL;
    va_list args;

    if (name)
        fprintf(
            stderr,
            "Usage: celeriac %s [OPTIONS]%s%s\nTry 'celeriac %s --help' for help.\n\nError: ",
            name, *cli->command->synopsis ? " " : "", cli->command->synopsis, name);
    else
        fputs("Usage: celeriac [OPTIONS] COMMAND [ARGS]...\nTry 'celeriac --help' for "
              "help.\n\nError: ",
              stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return CEL_EXIT_USAGE;
}

int cel__cli_no_word(const cel_cli *cli, const char *word)
{
    cel__buf list = {0};
    const char *names[WORDS_MAX + 1];
    const char *near;
    size_t count = 0;
    cel_word one;

    while (count < WORDS_MAX && cel__command_word(cli->command, count, &one)) {
        cel__buf_addf(&list, "%s'%s'", count ? ", " : "", one.name);
        names[count++] = one.name;
    }
    names[count] = NULL;
    near = cel__did_you_mean(word, names);
    cel__cli_usage(cli, "'%s' is not one of %s.%s%s", word,
                   cel__buf_cstr(&list) ? list.ptr : "its commands",
                   near ? "\n\nDid you mean this?\n    " : "", near ? near : "");
    cel__buf_done(&list);
    return CEL_EXIT_USAGE;
}

/* `--config game.celeryconfig` names a module, as with Celery: game/celeryconfig.py. */
static char *config_path(const char *config)
{
    size_t len = strlen(config);
    char *path;

    if (strchr(config, '/') || (len > 3 && strcmp(config + len - 3, ".py") == 0) ||
        access(config, R_OK) == 0)
        return strdup(config);
    path = malloc(len + 4);
    if (!path)
        return NULL;
    memcpy(path, config, len + 1);
    for (char *c = path; *c; c++)
        if (*c == '.')
            *c = '/';
    memcpy(path + len, ".py", 4);
    return path;
}

/* What an app is called in the banner: "tasks" for ./lib/libtasks.so. */
static void app_name(char *name, size_t size, const char *module)
{
    const char *base = module ? strrchr(module, '/') : NULL;
    size_t len;

    base = base ? base + 1 : module ? module : "default";
    len = strlen(base);
    if (len > 3 && strcmp(base + len - 3, ".so") == 0) {
        len -= 3;
        if (strncmp(base, "lib", 3) == 0 && len > 3) {
            base += 3;
            len -= 3;
        }
    }
    snprintf(name, size, "%.*s", (int)(len < size ? len : size - 1), base);
}

bool cel__cli_app(cel_cli *cli, cel_app **app, const char *const *settings, bool without_module)
{
    const char *module = cel__args_string(cli->global, "app");
    const char *config = cel__args_string(cli->global, "config");
    char *path = config ? config_path(config) : NULL;
    char name[64];
    cel_error err = {0};
    cel_code code;

    app_name(name, sizeof name, module);
    code = cel_app_new(
        app,
        CEL_APP_OPTIONS(.name = name, .broker = cel__args_string(cli->global, "broker"),
                        .backend = cel__args_string(cli->global, "result-backend"),
                        .config = path, .settings = settings, .log = cel__logging_sink,
                        .log_user = &cli->logging, .log_level = cli->logging.level),
        &err);
    free(path);
    if (code == CEL_OK && module && !without_module) {
        code = cel_app_load(*app, module, &err);
        if (code != CEL_OK)
            cel_app_free(*app);
    }
    if (code == CEL_OK)
        return true;
    cel__cli_fail(&err);
    return false;
}

static int unknown_command(const cel_cli *cli, const char *name)
{
    const char *names[32];
    const char *near;
    int count = 0;

    while (cel__commands[count] && count < 31) {
        names[count] = cel__commands[count]->name;
        count++;
    }
    names[count] = NULL;
    near = cel__did_you_mean(name, names);
    if (near)
        return cel__cli_usage(cli, "No such command '%s'.\n\nDid you mean this?\n    %s", name,
                              near);
    return cel__cli_usage(cli, "No such command '%s'.", name);
}

static int run_command(cel_cli *cli, cel_args *args)
{
    const char *workdir = cel__args_string(args, "workdir");
    const cel_command *command = cli->command;
    cel_error err = {0};

    if (cel__args_flag(args, "help")) {
        cel__help_command_print(stdout, command);
        return CEL_EXIT_OK;
    }
    if (cel__args_environment(args, command->name, &err) != CEL_OK)
        return cel__cli_usage(cli, "%s", err.message);
    if (args->word_count < command->min_words)
        return cel__cli_usage(cli, "Missing argument '%s'.", command->synopsis);
    if (command->max_words >= 0 && args->word_count > command->max_words)
        return cel__cli_usage(cli, "Got unexpected extra argument (%s)",
                              args->words[command->max_words]);
    if (workdir && command->max_words == CEL_WORDS_RAW)
        workdir = NULL; /* it is for the processes that are started */
    if (workdir)
        cli->start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (workdir && chdir(workdir) != 0)
        return cel__cli_usage(cli, "Cannot change to '%s': %s", workdir, strerror(errno));
    cli->quiet = cel__args_flag(args, "quiet");
    cli->no_color = cel__args_flag(args, "no-color");
    cli->logging.color = !cli->no_color && isatty(STDERR_FILENO);
    cli->global = args;
    return command->run(cli, args);
}

static int dispatch(cel_cli *cli, cel_args *args)
{
    cel_error err = {0};
    int at = 1;

    if (cel__args_read(args, cli->argc, cli->argv, &at, true, &err) != CEL_OK)
        return cel__cli_usage(cli, "%s", err.message);
    if (cel__args_flag(args, "version")) {
        printf("%s (celeriac)\n", CEL_VERSION_STRING);
        return CEL_EXIT_OK;
    }
    if (at == cli->argc || (cel__args_flag(args, "help"))) {
        cel__help_program(stdout);
        return CEL_EXIT_OK;
    }
    cli->command = cel__command_find(cli->argv[at]);
    if (!cli->command)
        return unknown_command(cli, cli->argv[at]);
    cli->command_at = at++;
    args->tables[1] = cli->command->options;
    if (cli->command->max_words == CEL_WORDS_RAW) {
        if (at < cli->argc && strcmp(cli->argv[at], "--help") == 0) {
            cel__help_command_print(stdout, cli->command);
            return CEL_EXIT_OK;
        }
        return run_command(cli, args);
    }
    /* Global options may stand behind the command too: what Celery refuses is harmless here. */
    if (cel__args_read(args, cli->argc, cli->argv, &at, false, &err) != CEL_OK)
        return cel__cli_usage(cli, "%s", err.message);
    return run_command(cli, args);
}

int cel__cli_main(int argc, char **argv)
{
    cel_cli cli = {.argc = argc, .argv = argv, .environ = environ, .start_dir = -1};
    cel_args args = {.tables = {cel__global_options, NULL}};
    int status;

    cel__logging_init(&cli.logging);
    status = dispatch(&cli, &args);
    cel__logging_done(&cli.logging);
    if (cli.start_dir >= 0)
        close(cli.start_dir);
    if (fflush(stdout) != 0 && status == CEL_EXIT_OK) {
        perror("celeriac: standard output");
        status = CEL_EXIT_FAILURE;
    }
    return status;
}
