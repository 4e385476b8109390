/* multi.c - `celeriac multi`: many workers on one machine, by their pid files.
 *
 * What it prints is what `celery multi` prints. It keeps no state: who is stopped must be named, and his pid file be found, as he was
 * started. Paths of a node that has --workdir are relative to that. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/nodename.h"
#include "celeriac/version.h"
#include "cli/cli.h"
#include "cli/multi_names.h"
#include "cli/pidfile.h"
#include "core/mem.h"

#define LOOK_MS 50   /* between two looks whether a node is gone */
#define DOT_MS  2000 /* between two dots */

struct run {
    cel_cli *cli;
    cel_multi multi;
    bool nosplash, quiet, verbose, color;
    char **argv; /* owned, as its words: the command of multi and what belongs to it */
    int argc;
    int *pids; /* of each node; 0: it does not run */
    bool failed;
};

struct command {
    const char *name;
    bool splash, with_signal;
    int own_words; /* in front of the nodes: `get` and `expand` have one */
    int (*run)(struct run *run, const char *word);
};

/* ---- output ---- */

static void CEL_PRINTF(2, 3) note(const struct run *run, const char *fmt, ...)
{
    va_list args;

    if (run->quiet)
        return;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    fflush(stdout);
}

/* Around what is colored: red 1, green 2, blue 4, magenta 5, cyan 6. */
static const char *on(const struct run *run, int color)
{
    static const char codes[8][8] = {"\033[1;30m", "\033[1;31m", "\033[1;32m", "\033[1;33m",
                                     "\033[1;34m", "\033[1;35m", "\033[1;36m", "\033[1;37m"};

    return run->color ? codes[color] : "";
}

static const char *off(const struct run *run)
{
    return run->color ? "\033[0m" : "";
}

static void splash(const struct run *run)
{
    if (!run->nosplash)
        note(run, "%sceleriac multi v%s%s\n", on(run, 6), CEL_VERSION_STRING, off(run));
}

static void note_status(struct run *run, bool ok)
{
    note(run, "%s%s%s\n", on(run, ok ? 2 : 1), ok ? "OK" : "FAILED", off(run));
    run->failed |= !ok;
}

static void note_down(const struct run *run, const cel_multi_node *node)
{
    note(run, "> %s: %sDOWN%s\n", node->name, on(run, 5), off(run));
}

static const char usage_text[] =
    "usage: celeriac multi start <node1 node2 nodeN|range> [worker options]\n"
    "       celeriac multi stop <n1 n2 nN|range> [-SIG (default: -TERM)]\n"
    "       celeriac multi stopwait <n1 n2 nN|range> [-SIG]\n"
    "       celeriac multi restart <n1 n2 nN|range> [-SIG] [worker options]\n"
    "       celeriac multi kill <n1 n2 nN|range>\n"
    "\n"
    "       celeriac multi show <n1 n2 nN|range> [worker options]\n"
    "       celeriac multi get hostname <n1 n2 nN|range> [-qv] [worker options]\n"
    "       celeriac multi names <n1 n2 nN|range>\n"
    "       celeriac multi expand template <n1 n2 nN|range>\n"
    "       celeriac multi help\n"
    "\n"
    "additional options (must appear after command name):\n"
    "\n"
    "    * --nosplash:   Don't display program info.\n"
    "    * --quiet:      Don't show as much output.\n"
    "    * --verbose:    Show more output.\n"
    "    * --no-color:   Don't display colors.\n";

static int usage(struct run *run, const char *message, const char *name)
{
    if (message)
        fprintf(stderr, "%s%s\n", message, name);
    splash(run);
    puts(usage_text);
    return CEL_EXIT_FAILURE;
}

/* ---- files ---- */

/* Where a file of the node is; NULL: no memory, or a letter that means nothing was refused before. Owned by the caller. */
static char *path_of(const cel_multi_node *node, const char *path)
{
    const char *workdir = cel__multi_option(node, "--workdir", NULL);
    cel__buf buf = {0};
    char *found;

    if (path && *path != '/' && workdir)
        cel__buf_addf(&buf, "%s/", workdir);
    if (path)
        cel__buf_add_str(&buf, path);
    found = cel__buf_detach(&buf, NULL);
    return found;
}

static int read_pid(const cel_multi_node *node)
{
    char *path = path_of(node, cel__multi_option(node, "--pidfile", "-p"));
    int pid = path ? cel__pidfile_read(path) : 0;

    cel__free(path);
    return pid > 1 ? pid : 0;
}

/* Makes the folders of a file. What cannot be made shows when the node cannot write there. A folder that is another for each process
 * ("%i") is the worker's to complain of. */
static void make_folders(const cel_multi_node *node, const char *file)
{
    char *path = path_of(node, file);

    for (char *slash = path ? strchr(path + 1, '/') : NULL; slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (strchr(path, '%') || (mkdir(path, 0755) != 0 && errno != EEXIST)) {
            break;
        }
        *slash = '/';
    }
    cel__free(path);
}

/* ---- start ---- */

static bool start_node(struct run *run, const cel_multi_node *node)
{
    pid_t child;
    int status = 0;
    int why;

    make_folders(node, cel__multi_option(node, "--pidfile", "-p"));
    make_folders(node, cel__multi_option(node, "--logfile", "-f"));
    if (run->verbose) {
        cel__buf text = {0};

        cel__multi_command_line(&text, node, 0);
        note(run, "  %s\n", cel__buf_cstr(&text) ? text.ptr : "");
        cel__buf_done(&text);
    }
    fflush(stdout);
    why = posix_spawnp(&child, node->argv[0], NULL, NULL, (char *const *)node->argv,
                       run->cli->environ);
    if (why != 0) {
        fprintf(stderr, "Error: %s: %s\n", node->argv[0], strerror(why));
        return false;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        note(run, "* Child was terminated by signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        note(run, "* Child terminated with exit code %d\n", WEXITSTATUS(status));
    return status == 0;
}

static int run_start(struct run *run, const char *word)
{
    (void)word;
    note(run, "> Starting nodes...\n");
    for (size_t i = 0; i < run->multi.count; i++) {
        note(run, "\t> %s: ", run->multi.nodes[i].name);
        note_status(run, start_node(run, &run->multi.nodes[i]));
    }
    return run->failed ? CEL_EXIT_FAILURE : CEL_EXIT_OK;
}

/* ---- stop ---- */

typedef void (*down_fn)(struct run *run, const cel_multi_node *node);

static void say_down(struct run *run, const cel_multi_node *node)
{
    note_down(run, node);
}

static void restart_down(struct run *run, const cel_multi_node *node)
{
    note(run, "%s> Restarting node %s: %s", on(run, 4), node->name, off(run));
    note_status(run, start_node(run, node));
}

/* Whether the signal was sent. */
static bool send(struct run *run, size_t i, int signum)
{
    bool gone = !cel__process_is_alive(run->pids[i]);

    if (!gone && kill(run->pids[i], signum) == 0)
        return true;
    if (gone || errno == ESRCH) {
        note(run, "Could not signal %s (%d): No such process\n", run->multi.nodes[i].name,
             run->pids[i]);
        return false;
    }
    fprintf(stderr, "Error: cannot signal %s (%d): %s\n", run->multi.nodes[i].name,
            run->pids[i], strerror(errno));
    run->failed = true;
    return false;
}

/* "> Waiting for 2 nodes -> 4711, 4712..." */
static void note_waiting(const struct run *run)
{
    size_t count = 0;
    const char *comma = "";

    for (size_t i = 0; i < run->multi.count; i++)
        count += run->pids[i] != 0;
    if (count == 0)
        return;
    note(run, "%s> Waiting for %zu node%s -> ", on(run, 4), count, count == 1 ? "" : "s");
    for (size_t i = 0; i < run->multi.count; i++) {
        if (run->pids[i] == 0)
            continue;
        note(run, "%s%d", comma, run->pids[i]);
        comma = ", ";
    }
    note(run, "...%s.", off(run));
}

/* Until all are gone. A node's time is its tasks' time, so there is no limit. */
static void wait_for_all(struct run *run, down_fn on_down)
{
    size_t left = 0;
    int waited_ms = 0;

    for (size_t i = 0; i < run->multi.count; i++)
        left += run->pids[i] != 0;
    note_waiting(run);
    while (left > 0) {
        for (size_t i = 0; i < run->multi.count; i++) {
            if (run->pids[i] == 0 || cel__process_is_alive(run->pids[i]))
                continue;
            run->pids[i] = 0;
            left--;
            note(run, "\n\t> %s: %sOK%s\n", run->multi.nodes[i].name, on(run, 2), off(run));
            on_down(run, &run->multi.nodes[i]);
            note_waiting(run);
        }
        if (left == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
        waited_ms += LOOK_MS;
        if (waited_ms % DOT_MS == 0)
            note(run, ".");
    }
    note(run, "\n");
}

static bool find_pids(struct run *run, down_fn on_down)
{
    bool some = false;

    for (size_t i = 0; i < run->multi.count; i++) {
        run->pids[i] = read_pid(&run->multi.nodes[i]);
        if (run->pids[i] == 0)
            on_down(run, &run->multi.nodes[i]);
        some |= run->pids[i] != 0;
    }
    return some;
}

static const char *signal_name(int signum)
{
    const char *name = sigabbrev_np(signum);

    return name ? name : "?";
}

static int stop_nodes(struct run *run, down_fn on_down, bool and_wait)
{
    int signum = run->multi.signum ? run->multi.signum : SIGTERM;

    if (!find_pids(run, on_down))
        return run->failed ? CEL_EXIT_FAILURE : CEL_EXIT_OK;
    note(run, "%s> Stopping nodes...%s\n", on(run, 4), off(run));
    for (size_t i = 0; i < run->multi.count; i++) {
        if (run->pids[i] == 0)
            continue;
        note(run, "\t> %s: %s -> %d\n", run->multi.nodes[i].name, signal_name(signum),
             run->pids[i]);
        if (send(run, i, signum))
            continue;
        if (cel__process_is_alive(run->pids[i])) { /* another user's */
            run->pids[i] = 0;
            continue;
        }
        run->pids[i] = 0;
        on_down(run, &run->multi.nodes[i]);
    }
    if (and_wait)
        wait_for_all(run, on_down);
    return run->failed ? CEL_EXIT_FAILURE : CEL_EXIT_OK;
}

static int run_stop(struct run *run, const char *word)
{
    (void)word;
    return stop_nodes(run, say_down, false);
}

static int run_stopwait(struct run *run, const char *word)
{
    (void)word;
    return stop_nodes(run, say_down, true);
}

static int run_restart(struct run *run, const char *word)
{
    (void)word;
    return stop_nodes(run, restart_down, true);
}

static int run_kill(struct run *run, const char *word)
{
    (void)word;
    find_pids(run, say_down);
    for (size_t i = 0; i < run->multi.count; i++) {
        if (run->pids[i] == 0)
            continue;
        note(run, "Sending KILL to node %s (%d)\n", run->multi.nodes[i].name, run->pids[i]);
        send(run, i, SIGKILL);
    }
    return run->failed ? CEL_EXIT_FAILURE : CEL_EXIT_OK;
}

/* ---- show ---- */

static int print_command_line(const cel_multi_node *node, size_t from)
{
    cel__buf text = {0};
    cel_error err = {0};
    int status = CEL_EXIT_OK;

    cel__multi_command_line(&text, node, from);
    if (cel__buf_check(&text, &err) == CEL_OK)
        printf("%.*s\n", (int)text.len, text.ptr);
    else
        status = cel__cli_fail(&err);
    cel__buf_done(&text);
    return status;
}

static int run_show(struct run *run, const char *word)
{
    int status = CEL_EXIT_OK;

    (void)word;
    for (size_t i = 0; i < run->multi.count && status == CEL_EXIT_OK; i++)
        status = print_command_line(&run->multi.nodes[i], 0);
    return status;
}

static int run_get(struct run *run, const char *word)
{
    for (size_t i = 0; i < run->multi.count; i++)
        if (strcmp(run->multi.nodes[i].name, word) == 0)
            return print_command_line(&run->multi.nodes[i], 1);
    return CEL_EXIT_FAILURE;
}

static int run_names(struct run *run, const char *word)
{
    (void)word;
    for (size_t i = 0; i < run->multi.count; i++)
        puts(run->multi.nodes[i].name);
    return CEL_EXIT_OK;
}

static int run_expand(struct run *run, const char *word)
{
    for (size_t i = 0; i < run->multi.count; i++) {
        cel__buf text = {0};
        cel_error err = {0};

        if (cel__multi_expand(&text, &run->multi.nodes[i], word, &err) != CEL_OK) {
            cel__buf_done(&text);
            return cel__cli_fail(&err);
        }
        printf("%.*s\n", (int)text.len, text.ptr ? text.ptr : "");
        cel__buf_done(&text);
    }
    return CEL_EXIT_OK;
}

/* ---- help ---- */

static const char examples_text[] =
    "\nExamples:\n\n"
    "    # One worker with a name; the same again to restart it, for nothing is remembered.\n"
    "    $ celeriac -A tasks multi start image --pidfile=/run/celeriac/%n.pid \\\n"
    "          --logfile=/var/log/celeriac/%n%I.log\n"
    "    $ celeriac multi stopwait image --pidfile=/run/celeriac/%n.pid\n\n"
    "    # Three workers, celery1 to celery3, with three processes each; the first with ten.\n"
    "    $ celeriac -A tasks multi start 3 -c 3 -c:1 10\n\n"
    "    # Ten workers: three for images and video, two for data that tell more, the rest for "
    "default.\n"
    "    $ celeriac -A tasks multi start 10 -l INFO -Q:1-3 images,video -Q:4,5 data -Q default "
    "-l:4,5 DEBUG\n\n"
    "    # What would be started.\n"
    "    $ celeriac -A tasks multi show image video data -c 3 -c:image 10\n\n"
    "    # Their names, and what becomes of a template.\n"
    "    $ celeriac multi names 3 --range-prefix=worker\n"
    "    $ celeriac multi expand /run/celeriac/%n.pid 3\n";

static int run_help(struct run *run, const char *word)
{
    (void)run;
    (void)word;
    fputs(usage_text, stdout);
    fputs(examples_text, stdout);
    return CEL_EXIT_OK;
}

/* ---- the command ---- */

static const struct command commands[] = {
    {"start", true, false, 0, run_start},      {"stop", true, true, 0, run_stop},
    {"stopwait", true, true, 0, run_stopwait}, {"stop_verify", true, true, 0, run_stopwait},
    {"restart", true, true, 0, run_restart},   {"kill", true, false, 0, run_kill},
    {"show", false, false, 0, run_show},       {"get", false, false, 1, run_get},
    {"names", false, false, 0, run_names},     {"expand", false, false, 1, run_expand},
    {"help", false, false, 0, run_help},
};

static bool *reserved(struct run *run, const char *word, bool *no_color)
{
    return strcmp(word, "--nosplash") == 0                           ? &run->nosplash
           : strcmp(word, "--quiet") == 0 || strcmp(word, "-q") == 0 ? &run->quiet
           : strcmp(word, "--verbose") == 0                          ? &run->verbose
           : strcmp(word, "--no-color") == 0                         ? no_color
                                                                     : NULL;
}

/* Takes a word for multi's grammar; `joined`: "--name" and a value that stood in the next word. */
static bool add_word(struct run *run, const char *word, const char *joined)
{
    cel__buf text = {0};

    if (joined)
        cel__buf_addf(&text, "%s=%s", word, joined);
    else
        cel__buf_add_str(&text, word);
    run->argv[run->argc] = cel__buf_detach(&text, NULL);
    if (!run->argv[run->argc])
        return false;
    run->argc++;
    return true;
}

/* What stands behind "multi", then the global options in front of it, for they are the workers'; last "--" and what follows it. */
static bool collect_words(struct run *run)
{
    const cel_cli *cli = run->cli;
    bool no_color = cli->no_color;
    bool ok = true;
    int rest = cli->command_at + 1;
    int count;

    for (; rest < cli->argc && strcmp(cli->argv[rest], "--") != 0; rest++) {
        bool *flag = reserved(run, cli->argv[rest], &no_color);

        if (flag)
            *flag = true;
        else
            ok = ok && add_word(run, cli->argv[rest], NULL);
    }
    for (int i = 1; i < cli->command_at; i += count) {
        const char *word = cli->argv[i];
        bool apart = strncmp(word, "--", 2) == 0 && !strchr(word, '=') &&
                     i + 1 < cli->command_at && cli->argv[i + 1][0] != '-';

        count = apart ? 2 : 1;
        if (!reserved(run, word, &no_color))
            ok = ok && add_word(run, word, apart ? cli->argv[i + 1] : NULL);
    }
    for (; rest < cli->argc; rest++)
        ok = ok && add_word(run, cli->argv[rest], NULL);
    run->color = !no_color && isatty(STDOUT_FILENO);
    return ok;
}

static bool read_nodes(struct run *run, const struct command *command, int from)
{
    char host[CEL_HOSTNAME_MAX];
    char program[4096];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    cel_error err = {0};

    cel__hostname(host);
    program[len > 0 ? len : 0] = '\0';
    if (cel__multi_read(
            &run->multi, run->argc - from, (const char *const *)run->argv + from,
            &(cel_multi_defaults){.executable = len > 0 ? program : run->cli->argv[0],
                                  .hostname = host,
                                  .with_signal = command->with_signal},
            &err) == CEL_OK)
        return true;
    cel__cli_fail(&err);
    return false;
}

static int run_named(struct run *run, const struct command *command)
{
    const char *word = command->own_words ? run->argv[1] : NULL;
    int status;

    if (command->run == run_help)
        return run_help(run, NULL);
    if (command->own_words && run->argc < 2)
        return usage(run, "Missing argument of ", command->name);
    if (!read_nodes(run, command, 1 + command->own_words))
        return CEL_EXIT_FAILURE;
    run->pids = cel__calloc(run->multi.count, sizeof *run->pids);
    if (!run->pids) {
        fputs("Error: out of memory\n", stderr);
        return CEL_EXIT_FAILURE;
    }
    if (command->splash)
        splash(run);
    status = command->run(run, word);
    cel__free(run->pids);
    return status;
}

static int run_words(struct run *run)
{
    if (run->argc == 0 || run->argv[0][0] == '-')
        return usage(run, NULL, NULL);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, run->argv[0]) == 0)
            return run_named(run, &commands[i]);
    return usage(run, "Invalid command: ", run->argv[0]);
}

static int run_command(cel_cli *cli, const cel_args *args)
{
    struct run run = {.cli = cli, .quiet = cli->quiet};
    int status = CEL_EXIT_FAILURE;

    (void)args; /* read by multi's own grammar */
    run.argv = cel__calloc((size_t)cli->argc + 1, sizeof *run.argv);
    if (run.argv && collect_words(&run))
        status = run_words(&run);
    else
        fputs("Error: out of memory\n", stderr);
    for (int i = 0; i < run.argc; i++)
        cel__free(run.argv[i]);
    cel__free(run.argv);
    cel__multi_done(&run.multi);
    return status;
}

static const cel_option options[] = {
    {"nosplash", 0, NULL, CEL_OPTION_FLAG, NULL, NULL, "Do not print the version"},
    {"verbose", 0, NULL, CEL_OPTION_FLAG, NULL, NULL, "Print the commands that are run"},
    {"pidfile", 'p', NULL, CEL_OPTION_STRING, "FILE", NULL,
     "Pid files. Default: /var/run/celeriac/%n.pid"},
    {"logfile", 'f', NULL, CEL_OPTION_STRING, "FILE", NULL,
     "Log files. Default: /var/log/celeriac/%n%I.log"},
    {"hostname", 'n', NULL, CEL_OPTION_STRING, "HOST", NULL,
     "What stands behind the '@' of the nodes' names. Default: the host name"},
    {"suffix", 0, NULL, CEL_OPTION_STRING, "HOST", NULL, "The same, by another name"},
    {"prefix", 0, NULL, CEL_OPTION_STRING, "TEXT", NULL, "What the nodes' names begin with"},
    {"range-prefix", 0, NULL, CEL_OPTION_STRING, "TEXT", NULL,
     "The same where the nodes are a number. Default: celery"},
    {"cmd", 0, NULL, CEL_OPTION_STRING, "COMMAND", NULL,
     "What each node runs. Default: worker --detach"},
    {"append", 0, NULL, CEL_OPTION_STRING, "WORDS", NULL,
     "Words at the end of each command line"},
    {"executable", 0, NULL, CEL_OPTION_STRING, "PROGRAM", NULL,
     "The program that a node is. Default: this one"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

const cel_command cel__multi_command = {
    "multi",
    "start|stop|stopwait|restart|kill|show|get|names|expand|help NODES",
    "Start, stop and look at many workers.",
    "NODES are names, or a number of nodes. Every other option is the workers', and so is what "
    "stands\n"
    "behind '--'; long ones take their value behind a '='. \"-c:1 10\", \"-Q:image,video q\" "
    "and "
    "\"-l:1-3\n"
    "DEBUG\" are for some of the nodes. In values %n is the name of the node in front of the "
    "'@', "
    "%d its\n"
    "host, %h the whole of it. 'celeriac multi help' has examples.",
    options,
    0,
    CEL_WORDS_RAW,
    run_command,
};
