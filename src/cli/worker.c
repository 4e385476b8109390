/* worker.c - `celeriac worker`: options, banner, signals around the worker of the library. */
#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/nodename.h"
#include "app/queues.h"
#include "app/trace.h"
#include "celeriac/send.h"
#include "cli/banner.h"
#include "cli/beat.h"
#include "cli/notify.h"
#include "cli/probes.h"
#include "cli/service.h"
#include "core/mem.h"

static const cel_option options[] = {
    {"hostname", 'n', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Node name, 'name@host'; %h, %n and %d stand for the host name and its parts. Default: "
     "celery@%h"},
    {"concurrency", 'c', NULL, CEL_OPTION_INT, "N", NULL,
     "How many tasks run at once. Default: the number of CPUs"},
    CEL_SERVICE_OPTIONS,
    {"queues", 'Q', NULL, CEL_OPTION_STRING, "LIST", NULL,
     "Queues to consume, comma-separated"},
    {"exclude-queues", 'X', NULL, CEL_OPTION_STRING, "LIST", NULL, "Queues not to consume"},
    {"http", 0, NULL, CEL_OPTION_STRING, "ADDRESS", NULL,
     "Answer GET /livez, /readyz and /metrics on HOST:PORT, :PORT (all addresses) or PORT "
     "(127.0.0.1)"},
    {"executable", 0, NULL, CEL_OPTION_STRING, "PROGRAM", NULL,
     "What HUP starts anew. Default: the same program"},
    {"pool", 'P', NULL, CEL_OPTION_STRING, "POOL", NULL, "prefork (default), threads or solo"},
    {"include", 'I', NULL, CEL_OPTION_STRING, "LIST", NULL,
     "More task modules to load, comma-separated"},
    {"time-limit", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Hard limit: the task's process is killed"},
    {"soft-time-limit", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Soft limit: the task is asked to stop"},
    {"max-tasks-per-child", 0, "maxtasksperchild", CEL_OPTION_INT, "N", NULL,
     "Replace a child process after this many tasks"},
    {"max-memory-per-child", 0, "maxmemperchild", CEL_OPTION_INT, "KIB", NULL,
     "Replace a child process that holds more memory after a task"},
    {"prefetch-multiplier", 0, NULL, CEL_OPTION_INT, "N", NULL,
     "Hold N messages per slot. Default: adapts to how long the tasks take"},
    {"beat", 'B', NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Run beat beside the worker: send what beat_schedule says. Any number of workers may"},
    {"schedule", 's', "schedule-filename", CEL_OPTION_STRING, "FILE", NULL,
     "With -B: keep what was sent in FILE.sqlite. Default: as for the command beat"},
    {"statedb", 'S', NULL, CEL_OPTION_STRING, "FILE", NULL,
     "Remember revoked tasks in this file from one run to the next; %h, %n and %d stand for "
     "the parts of the node name"},
    {"purge", 0, "discard", CEL_OPTION_FLAG, NULL, NULL,
     "Delete all waiting messages of the queues first"},
    {"optimization", 'O', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Accepted for compatibility: always fair"},
    {"task-events", 'E', "events", CEL_OPTION_FLAG, NULL, NULL,
     "Send events of the tasks, for monitors such as `celeriac events` and Flower"},
    {"without-gossip", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Accepted for compatibility: this worker does not listen to the events of others"},
    {"without-mingle", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Accepted for compatibility: this worker asks no other when it starts"},
    {"without-heartbeat", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Send no events of the worker itself"},
    {"heartbeat-interval", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Seconds between two worker-heartbeat events. Default: 2"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* Everything that one run of the command holds. */
struct run {
    cel_cli *cli;
    const cel_args *args;
    cel_app *app;
    cel_worker *worker;
    cel_zygote *zygote;
    const cel_pool_ops *pool;
    cel_service service;
    cel_service_queues queues;
    cel__buf statedb; /* path of the state file; empty: none */
    size_t concurrency;
    double heartbeat_s;
    uv_signal_t signals[5];
    uv_prepare_t flusher;
    cel_notify notify;
    cel_http *http; /* NULL: not asked for */
    bool restart;
};

/* ---- settings ---- */

static bool set(struct run *run, const char *name, json_t *value)
{
    cel_error err = {0};

    if (cel__config_set(run->app->config, name, value, &err) == CEL_OK)
        return true;
    cel__cli_usage(run->cli, "%s", err.message);
    return false;
}

/* Options that are settings by another name. */
static bool apply_options(struct run *run)
{
    static const struct {
        const char *option, *setting;
    } numbers[] = {
        {"time-limit", "task_time_limit"},
        {"soft-time-limit", "task_soft_time_limit"},
        {"max-tasks-per-child", "worker_max_tasks_per_child"},
        {"max-memory-per-child", "worker_max_memory_per_child"},
        {"prefetch-multiplier", "worker_prefetch_multiplier"},
        {"concurrency", "worker_concurrency"},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *text = cel__args_string(run->args, numbers[i].option);
        double value = cel__args_float(run->args, numbers[i].option, 0);
        bool whole;

        if (!text)
            continue;
        if (!(value >= 0 && value <= 1e12)) {
            cel__cli_usage(run->cli, "Invalid value for '--%s': %s is out of range.",
                           numbers[i].option, text);
            return false;
        }
        whole = value == (double)(json_int_t)value;
        if (!set(run, numbers[i].setting,
                 whole ? json_integer((json_int_t)value) : json_real(value)))
            return false;
    }
    run->heartbeat_s = cel__args_float(run->args, "heartbeat-interval", 0);
    if (!(run->heartbeat_s >= 0 && run->heartbeat_s <= 86400)) {
        cel__cli_usage(run->cli, "Invalid value for '--heartbeat-interval': at most a day.");
        return false;
    }
    return !cel__args_flag(run->args, "task-events") ||
           set(run, "worker_send_task_events", json_true());
}

static bool choose_pool(struct run *run)
{
    const char *name = cel__args_string(run->args, "pool");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t slots = cel__config_int(run->app->config, "worker_concurrency");

    if (!name)
        name = cel__config_string(run->app->config, "worker_pool");
    run->pool = cel__pool_find(name ? name : "prefork");
    if (!run->pool) {
        cel__cli_usage(run->cli, "Invalid value for '-P' / '--pool': '%s' is not one of %s.",
                       name, cel__pool_names());
        return false;
    }
    if (slots > 4096) {
        cel__cli_usage(run->cli, "Invalid value for '--concurrency': at most 4096.");
        return false;
    }
    run->concurrency = slots > 0 ? (size_t)slots : cpus > 0 ? (size_t)cpus : 1;
    if (strcmp(run->pool->names, "solo") == 0)
        run->concurrency = 1;
    return true;
}

/* ---- queues ---- */

static void add_configured(void *user, const cel_queue_spec *queue)
{
    cel__service_queue_add(user, queue->name);
}

/* Returns the exit status; CEL_EXIT_OK: go on. */
static int choose_queues(struct run *run)
{
    const char *list = cel__args_string(run->args, "queues");

    if (list)
        cel__service_queues_add(&run->queues, list);
    else
        cel__queues_each(run->app->config, add_configured, &run->queues);
    cel__service_queues_drop(&run->queues, cel__args_string(run->args, "exclude-queues"));
    return cel__service_queues_check(&run->service, &run->queues, run->app);
}

/* ---- preparation ---- */

/* The option, or the setting, made into a path. */
static bool choose_statedb(struct run *run)
{
    const char *format = cel__args_string(run->args, "statedb");
    cel_error err = {0};

    if (!format)
        format = cel__config_string(run->app->config, "worker_state_db");
    if (!format || !*format ||
        cel__node_format(&run->statedb, format, run->service.node, 0, &err) == CEL_OK)
        return true;
    cel__cli_usage(run->cli, "Invalid value for '-S' / '--statedb': %s", err.message);
    return false;
}

static bool purge_queues(struct run *run)
{
    int64_t total = 0;
    cel_error err = {0};

    for (size_t i = 0; i < run->queues.count; i++) {
        char *name = cel__memdup(run->queues.names[i].ptr, run->queues.names[i].len);
        int64_t count = 0;
        cel_code code = name ? cel_purge(run->app, name, &count, &err) : CEL_ENOMEM;

        cel__free(name);
        if (code != CEL_OK) {
            cel__cli_fail(&err);
            return false;
        }
        total += count;
    }
    printf("purge: Erased %lld message%s from the queue%s.\n\n", (long long)total,
           total == 1 ? "" : "s", run->queues.count == 1 ? "" : "s");
    return true;
}

static void print_banner(struct run *run)
{
    cel__buf text = {0};

    cel__banner_print(&text,
                      &(cel_banner){.app = run->app,
                                    .node = run->service.node,
                                    .pool = cel__args_string(run->args, "pool")
                                                ? cel__args_string(run->args, "pool")
                                            : run->pool->forks ? "prefork"
                                                               : run->pool->names,
                                    .concurrency = run->concurrency,
                                    .queues = run->queues.names,
                                    .queue_count = run->queues.count,
                                    .with_tasks = run->cli->logging.level <= CEL_LOG_INFO,
                                    .with_builtins = run->cli->logging.level <= CEL_LOG_DEBUG});
    if (!text.failed)
        fwrite(text.ptr, 1, text.len, stdout);
    fflush(stdout);
    cel__buf_done(&text);
}

/* ---- signals ---- */

static void say(const char *text)
{
    fprintf(stderr, "\nworker: %s (MainProcess)\n", text);
}

static void stop_warm(struct run *run)
{
    say("Warm shutdown");
    cel__notify_stopping(&run->notify, false);
    cel__worker_warm(run->worker);
}

static void stop_cold(struct run *run)
{
    say("Cold shutdown");
    cel__notify_stopping(&run->notify, false);
    cel__worker_cold(run->worker);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct run *run = handle->data;
    bool stopping = cel__worker_is_stopping(run->worker);
    const char *remap = signum == SIGTERM ? getenv("REMAP_SIGTERM") : NULL;

    if (remap && strcmp(remap, "SIGQUIT") == 0)
        signum = SIGQUIT;
    if (signum == SIGTERM || signum == SIGINT || signum == SIGQUIT)
        run->restart = false; /* who asks for the end means it */
    if (signum == SIGHUP && !isatty(STDOUT_FILENO) && !stopping) {
        run->restart = true;
        cel__notify_stopping(&run->notify, true);
        cel__logging_reopen(&run->cli->logging);
        cel__worker_warm(run->worker);
    } else if (signum == SIGUSR1) {
        cel__logging_reopen(&run->cli->logging);
    } else if (signum == SIGQUIT || (stopping && signum != SIGHUP)) {
        stop_cold(run);
    } else if (signum == SIGTERM || signum == SIGINT) {
        if (signum == SIGINT)
            fputs("\nworker: Hitting Ctrl+C again will terminate all running tasks!\n", stderr);
        stop_warm(run);
    }
}

static void on_turn(uv_prepare_t *handle)
{
    struct run *run = handle->data;

    if (run->cli->logging.pending.len > 0)
        cel__logging_flush(&run->cli->logging);
}

static const char *why_not(void *user)
{
    return cel__worker_why_not(((struct run *)user)->worker);
}

static void watch_signals(struct run *run)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
    uv_loop_t *loop = cel__worker_loop(run->worker);

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uv_signal_init(loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&run->signals[i]);
    }
    uv_prepare_init(loop, &run->flusher);
    run->flusher.data = run;
    uv_prepare_start(&run->flusher, on_turn);
    uv_unref((uv_handle_t *)&run->flusher);
    run->cli->logging.direct = false;
    cel__notify_start(&run->notify, loop, why_not, run);
}

static void unwatch_signals(struct run *run)
{
    for (size_t i = 0; i < sizeof run->signals / sizeof *run->signals; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    uv_close((uv_handle_t *)&run->flusher, NULL);
    cel__notify_stop(&run->notify);
    cel__http_close(run->http);
    uv_run(cel__worker_loop(run->worker), UV_RUN_NOWAIT);
    run->cli->logging.direct = true;
    cel__logging_flush(&run->cli->logging);
}

/* ---- the run ---- */

static bool start_zygote(struct run *run)
{
    cel_pool_host host;
    cel_error err = {0};

    if (!run->pool->forks)
        return true;
    cel__trace_host(&host, run->app);
    if (cel__zygote_start(&run->zygote, &host, &err) == CEL_OK)
        return true;
    cel__cli_fail(&err);
    return false;
}

static bool open_http(struct run *run, cel_error *err)
{
    const char *address = cel__args_string(run->args, "http");

    if (!address)
        return true;
    if (cel__worker_measure(run->worker, err) != CEL_OK ||
        cel__http_open(&run->http, cel__worker_loop(run->worker), address, cel__probes_get,
                       run->worker, err) != CEL_OK)
        return false;
    cel__info(&run->app->log, "/livez, /readyz and /metrics are on port %d",
              cel__http_port(run->http));
    return true;
}

static int run_worker(struct run *run)
{
    cel_cli_beat *beat = NULL;
    cel_error err = {0};
    cel_code code;

    code = cel__worker_new(&run->worker,
                           &(cel_worker_options){.app = run->app,
                                                 .node = run->service.node,
                                                 .pool = run->pool,
                                                 .concurrency = run->concurrency,
                                                 .zygote = run->zygote,
                                                 .queues = run->queues.names,
                                                 .queue_count = run->queues.count,
                                                 .without_heartbeat = cel__args_flag(
                                                     run->args, "without-heartbeat"),
                                                 .heartbeat_ms =
                                                     (int64_t)(run->heartbeat_s * 1000),
                                                 .statedb = run->statedb.len > 0
                                                                ? cel__buf_cstr(&run->statedb)
                                                                : NULL,
                                                 .log = cel__logging_worker,
                                                 .log_user = &run->cli->logging},
                           &err);
    run->zygote = NULL;
    if (code != CEL_OK)
        return cel__cli_fail(&err);
    if (!open_http(run, &err)) {
        cel__worker_free(run->worker);
        return cel__cli_fail(&err);
    }
    signal(SIGPIPE, SIG_IGN);
    watch_signals(run);
    if (cel__args_flag(run->args, "beat"))
        code = cel__cli_beat_start(&beat, run->cli, run->app,
                                   cel__args_string(run->args, "schedule"), &err);
    if (code == CEL_OK)
        code = cel__worker_run(run->worker, &err);
    else
        cel__cli_fail(&err);
    cel__cli_beat_stop(beat);
    unwatch_signals(run);
    cel__worker_free(run->worker);
    return code == CEL_OK ? CEL_EXIT_OK : CEL_EXIT_FAILURE;
}

static int prepare_and_run(struct run *run)
{
    int status;

    if (!apply_options(run) || !choose_pool(run))
        return CEL_EXIT_USAGE;
    status = choose_queues(run);
    if (status != CEL_EXIT_OK)
        return status;
    if (!cel__service_name(&run->service, cel__args_string(run->args, "hostname")))
        return CEL_EXIT_USAGE;
    if (!choose_statedb(run))
        return CEL_EXIT_USAGE;
    if (!cel__service_include(run->app, cel__args_string(run->args, "include")))
        return CEL_EXIT_FAILURE;
    status = cel__service_start(&run->service);
    if (status != CEL_EXIT_OK)
        return status;
    if (!start_zygote(run)) /* before anything that may start a thread */
        return CEL_EXIT_FAILURE;
    if (cel__args_flag(run->args, "purge") && !purge_queues(run))
        return CEL_EXIT_FAILURE;
    if (!run->cli->quiet)
        print_banner(run);
    return run_worker(run);
}

/* The same command again. By its name first: /proc/self/exe is the program that runs, also when it has been replaced by a newer
 * one since. Returns only if that fails. */
static int start_anew(cel_cli *cli, const cel_args *args)
{
    const char *program = cel__args_string(args, "executable");

    cel__logging_flush(&cli->logging);
    signal(SIGPIPE, SIG_DFL); /* what is ignored would stay so */
    if (cli->start_dir < 0 || fchdir(cli->start_dir) == 0) {
        execvp(program ? program : cli->argv[0], cli->argv);
        execv("/proc/self/exe", cli->argv);
    }
    fprintf(stderr, "Error: cannot restart: %s\n", strerror(errno));
    return CEL_EXIT_FAILURE;
}

static int run_command(cel_cli *cli, const cel_args *args)
{
    struct run run = {.cli = cli, .args = args, .service = {.cli = cli, .args = args}};
    const char *settings[CEL_WORDS_MAX + 1] = {NULL};
    int status;

    for (int i = 0; i < args->word_count; i++)
        settings[i] = args->words[i];
    if (!cel__service_read(&run.service))
        return CEL_EXIT_USAGE;
    if (!cel__cli_app(cli, &run.app, settings, false))
        return CEL_EXIT_FAILURE;
    status = prepare_and_run(&run);
    cel__zygote_stop(run.zygote);
    cel__buf_done(&run.statedb);
    cel_app_free(run.app);
    cel__service_done(&run.service);
    return run.restart && status == CEL_EXIT_OK ? start_anew(cli, args) : status;
}

const cel_command cel__worker_command = {
    "worker",
    "[SETTING=VALUE]...",
    "Start a worker.",
    "Words such as worker.prefetch_multiplier=1 change settings for this run.\n\n"
    "Signals: TERM or INT finish what runs and stop (warm); QUIT, or a second TERM or INT, "
    "stop at once\n"
    "and hand back what is not finished (cold); HUP restarts, unless standard output is a\n"
    "terminal; USR1 opens the log file anew. REMAP_SIGTERM=SIGQUIT in the environment makes\n"
    "TERM cold.",
    options,
    0,
    -1,
    run_command,
};
