/* help.c - `celeriac help`, and the help texts made from the tables. */
#include <string.h>

#include "celeriac/version.h"
#include "cli/cli.h"
#include "cli/man.h"

void cel__help_program(FILE *to)
{
    fputs("Usage: celeriac [OPTIONS] COMMAND [ARGS]...\n\n"
          "  Celery in C: task queues on one SQLite file, RabbitMQ or Redis.\n\nOptions:\n",
          to);
    cel__options_print(to, cel__global_options);
    fputs("\nCommands:\n", to);
    for (const cel_command *const *command = cel__commands; *command; command++)
        fprintf(to, "  %-10s%s\n", (*command)->name, (*command)->summary);
    fputs("\n'celeriac COMMAND --help' tells more about a command.\n", to);
}

static void print_details(FILE *to, const char *details)
{
    for (const char *line = details; *line;) {
        size_t len = strcspn(line, "\n");

        fprintf(to, "%s%.*s\n", len ? "  " : "", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

static void print_words(FILE *to, const cel_command *command)
{
    cel_word word;

    if (cel__command_word(command, 0, &word))
        fputs("\nCommands:\n", to);
    for (size_t i = 0; cel__command_word(command, i, &word); i++) {
        fprintf(to, "  %s%s%s\n", word.name, word.synopsis ? " " : "",
                word.synopsis ? word.synopsis : "");
        if (word.summary)
            fprintf(to, "      %s\n", word.summary);
    }
}

void cel__help_command_print(FILE *to, const cel_command *command)
{
    fprintf(to, "Usage: celeriac %s [OPTIONS]%s%s\n\n  %s\n", command->name,
            *command->synopsis ? " " : "", command->synopsis, command->summary);
    if (command->details) {
        fputc('\n', to);
        print_details(to, command->details);
    }
    print_words(to, command);
    if (command->options && command->options->name) {
        fputs("\nOptions:\n", to);
        cel__options_print(to, command->options);
    }
    fputs("\nGlobal options:\n", to);
    cel__options_print(to, cel__global_options);
}

static int run(cel_cli *cli, const cel_args *args)
{
    const cel_command *command;

    if (cel__args_flag(args, "man")) {
        cel__man_print(stdout);
        return CEL_EXIT_OK;
    }
    if (cel__args_string(args, "completion"))
        return cel__completion_print(stdout, cel__args_string(args, "completion"))
                   ? CEL_EXIT_OK
                   : cel__cli_usage(cli, "Shells are: bash, zsh, fish.");
    if (args->word_count == 0) {
        cel__help_program(stdout);
        return CEL_EXIT_OK;
    }
    command = cel__command_find(args->words[0]);
    if (!command)
        return cel__cli_usage(cli, "No such command '%s'.", args->words[0]);
    cel__help_command_print(stdout, command);
    return CEL_EXIT_OK;
}

static const cel_option options[] = {
    {"man", 0, NULL, CEL_OPTION_FLAG, NULL, NULL, "Print the manual page (roff)."},
    {"completion", 0, NULL, CEL_OPTION_STRING, "SHELL", NULL,
     "Print the completions for bash, zsh or fish."},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

const cel_command cel__help_command = {
    "help", "[COMMAND]", "Print help.", NULL, options, 0, 1, run,
};
