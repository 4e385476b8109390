/* man.c - celeriac(1) and shell completions, from the same tables as parsing and help. */
#include "cli/man.h"

#include <ctype.h>
#include <string.h>

#include "celeriac/version.h"
#include "cli/cli.h"

/* Text with what roff would take for its own escaped. */
static void print_roff(FILE *to, const char *text)
{
    bool line_start = true;

    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else if (line_start && (*text == '.' || *text == '\''))
            fprintf(to, "\\&%c", *text);
        else
            fputc(*text, to);
        line_start = *text == '\n';
    }
    fputc('\n', to);
}

static void print_man_options(FILE *to, const cel_option *options)
{
    for (const cel_option *option = options; option && option->name; option++) {
        fputs(".TP\n", to);
        fputs(".B ", to);
        if (option->letter)
            fprintf(to, "\\-%c, ", option->letter);
        fputs("\\-\\-", to);
        for (const char *c = option->name; *c; c++)
            fputs(*c == '-' ? "\\-" : (char[]){*c, '\0'}, to);
        if (option->metavar)
            fprintf(to, " \\fI%s\\fP", option->metavar);
        fputc('\n', to);
        print_roff(to, option->help);
    }
}

static void print_man_words(FILE *to, const cel_command *command)
{
    cel_word word;

    for (size_t i = 0; cel__command_word(command, i, &word); i++) {
        fprintf(to, ".TP\n.B %s%s%s\n", word.name, word.synopsis ? " " : "",
                word.synopsis ? word.synopsis : "");
        print_roff(to, word.summary ? word.summary : "");
    }
}

static void print_man_command(FILE *to, const cel_command *command)
{
    fprintf(to, ".SS celeriac %s %s%s\n", command->name, "[\\fIoptions\\fP] ",
            command->synopsis);
    print_roff(to, command->summary);
    if (command->details) {
        fputs(".PP\n", to);
        print_roff(to, command->details);
    }
    print_man_options(to, command->options);
    print_man_words(to, command);
}

/* What no table has. */
static const char man_end[] =
    ".SH SIGNALS\nOf a worker:\n"
    ".TP\n.BR TERM ,\\ INT\nWarm shutdown: takes nothing new, hands back what has not "
    "started, finishes "
    "what runs.\n"
    ".TP\n.BR QUIT ,\\ or\\ a\\ second\\ TERM\\ or\\ INT\nCold shutdown: ends what runs; "
    "late-acked "
    "tasks go back to their queue,\n"
    "early-acked ones fail with WorkerLostError.\n"
    ".TP\n.B HUP\nWarm shutdown, then the same command again; not where standard output "
    "is a "
    "terminal.\n"
    ".TP\n.B USR1\nOpens the log file anew.\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nSuccess; a worker was stopped.\n"
    ".TP\n.B 1\nFailure.\n"
    ".TP\n.B 2\nWrong usage.\n"
    ".TP\n.B 69\nThe broker is out of reach, or nobody answered in time.\n"
    ".TP\n.B 73\nThe pidfile belongs to a running process.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B CELERIAC_PATH\nFolders in which task modules are looked for, separated by "
    "colons.\n"
    ".TP\n.BR CELERY_BROKER_URL ,\\ CELERY_RESULT_BACKEND ,\\ CELERY_CONFIG_MODULE\n"
    "Broker, result store and configuration file. Every other setting likewise, as "
    "CELERY_\\fISETTING\\fP.\n"
    ".TP\n.B CELERY_\\fICOMMAND\\fP_\\fIOPTION\\fP\nAn option of a command: "
    "CELERY_WORKER_CONCURRENCY=4.\n"
    ".SH FILES\n.TP\n.I celeriac.db\nThe embedded broker and result store, where nothing "
    "else is configured: in the working\n"
    "directory, or in\n.IR ~/.local/state/celeriac .\n"
    ".TP\n.I celeriac.db\\-run/\nBeside it, while it is in use.\n"
    ".TP\n.I celeryconfig.py\nConfiguration, in the working directory.\n"
    ".SH SEE ALSO\n.BR sqlite3 (1)\n";

void cel__man_print(FILE *to)
{
    fprintf(to, ".TH CELERIAC 1 \"\" \"celeriac %s\" \"User Commands\"\n", CEL_VERSION_STRING);
    fputs(".SH NAME\nceleriac \\- Celery in C: a worker, and commands for its queues\n"
          ".SH SYNOPSIS\n.B celeriac\n[\\fIoptions\\fP] \\fIcommand\\fP [\\fIarguments\\fP]\n"
          ".SH DESCRIPTION\n"
          "Celeriac runs tasks written in C. On the wire it is Celery: messages, states and "
          "results are those of\n"
          "Python's. Without a server it keeps queues and results in one SQLite file.\n"
          ".SH OPTIONS\n",
          to);
    print_man_options(to, cel__global_options);
    fputs(".SH COMMANDS\n", to);
    for (const cel_command *const *command = cel__commands; *command; command++)
        print_man_command(to, *command);
    fputs(man_end, to);
}

/* Calls `each` for the options of a table. */
static void
each_name(FILE *to, const cel_option *options, const char *before, const char *after)
{
    for (const cel_option *option = options; option && option->name; option++)
        fprintf(to, "%s--%s%s", before, option->name, after);
}

static bool has_words(const cel_command *command)
{
    cel_word word;

    return cel__command_word(command, 0, &word);
}

static void each_word(FILE *to, const cel_command *command, const char *after)
{
    cel_word word;

    for (size_t i = 0; cel__command_word(command, i, &word); i++)
        fprintf(to, "%s%s", word.name, after);
}

static void print_bash(FILE *to)
{
    fputs("_celeriac() {\n    local cur=${COMP_WORDS[COMP_CWORD]} command= word\n"
          "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        case $word in\n    "
          "    ",
          to);
    for (const cel_command *const *command = cel__commands; *command; command++)
        fprintf(to, "%s%s", command == cel__commands ? "" : "|", (*command)->name);
    fputs(") command=$word; break ;;\n        esac\n    done\n    case $command in\n", to);
    for (const cel_command *const *command = cel__commands; *command; command++) {
        fprintf(to, "    %s) COMPREPLY=($(compgen -W '", (*command)->name);
        each_word(to, *command, " ");
        each_name(to, (*command)->options, "", " ");
        each_name(to, cel__global_options, "", " ");
        fputs("' -- \"$cur\")) ;;\n", to);
    }
    fputs("    *) COMPREPLY=($(compgen -W '", to);
    for (const cel_command *const *command = cel__commands; *command; command++)
        fprintf(to, "%s ", (*command)->name);
    each_name(to, cel__global_options, "", " ");
    fputs("' -- \"$cur\")) ;;\n    esac\n}\ncomplete -o default -F _celeriac celeriac\n", to);
}

static void print_quoted(FILE *to, const char *text)
{
    for (; *text; text++)
        fputs(*text == '\''                                  ? "'\\''"
              : *text == '[' || *text == ']' || *text == ':' ? ""
                                                             : (char[]){*text, '\0'},
              to);
}

static void print_zsh_options(FILE *to, const cel_option *options)
{
    for (const cel_option *option = options; option && option->name; option++) {
        fprintf(to, "            '--%s[", option->name);
        print_quoted(to, option->help);
        fprintf(to, "]%s%s%s' \\\n", option->metavar ? ":" : "",
                option->metavar ? option->metavar : "", option->metavar ? ":_files" : "");
    }
}

static void print_zsh(FILE *to)
{
    fputs("#compdef celeriac\n_celeriac() {\n    local -a commands\n    commands=(\n", to);
    for (const cel_command *const *command = cel__commands; *command; command++) {
        fprintf(to, "        '%s:", (*command)->name);
        print_quoted(to, (*command)->summary);
        fputs("'\n", to);
    }
    fputs("    )\n    local command=${words[(r)(", to);
    for (const cel_command *const *command = cel__commands; *command; command++)
        fprintf(to, "%s%s", command == cel__commands ? "" : "|", (*command)->name);
    fputs(")]}\n    case $command in\n", to);
    for (const cel_command *const *command = cel__commands; *command; command++) {
        fprintf(to, "    %s)\n        _arguments \\\n", (*command)->name);
        print_zsh_options(to, (*command)->options);
        print_zsh_options(to, cel__global_options);
        if (has_words(*command)) {
            fputs("            '1:method:(", to);
            each_word(to, *command, " ");
            fputs(")' \\\n", to);
        }
        fputs("            '*:file:_files' ;;\n", to);
    }
    fputs("    *) _describe command commands ;;\n    esac\n}\n_celeriac \"$@\"\n", to);
}

static void print_fish_options(FILE *to, const cel_option *options, const char *condition)
{
    for (const cel_option *option = options; option && option->name; option++) {
        fprintf(to, "complete -c celeriac %s -l %s", condition, option->name);
        if (option->letter)
            fprintf(to, " -s %c", option->letter);
        if (option->metavar)
            fputs(" -r", to);
        fputs(" -d '", to);
        print_quoted(to, option->help);
        fputs("'\n", to);
    }
}

static void print_fish(FILE *to)
{
    print_fish_options(to, cel__global_options, "");
    for (const cel_command *const *command = cel__commands; *command; command++) {
        char condition[96];

        fprintf(to, "complete -c celeriac -n __fish_use_subcommand -a %s -d '",
                (*command)->name);
        print_quoted(to, (*command)->summary);
        fputs("'\n", to);
        snprintf(condition, sizeof condition, "-n '__fish_seen_subcommand_from %s'",
                 (*command)->name);
        print_fish_options(to, (*command)->options, condition);
        if (has_words(*command)) {
            fprintf(to, "complete -c celeriac %s -f -a '", condition);
            each_word(to, *command, " ");
            fputs("'\n", to);
        }
    }
}

bool cel__completion_print(FILE *to, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(to);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(to);
    else if (strcmp(shell, "fish") == 0)
        print_fish(to);
    else
        return false;
    return true;
}
