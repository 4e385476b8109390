/* dispatch.c - `celeriac dispatch`: options, what is shown, and signals around the dispatcher. */
#include "dispatch/dispatch.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/flow.h"
#include "cli/notify.h"
#include "cli/service.h"
#include "core/url.h"

static const cel_option options[] = {
    {"queues", 'Q', NULL, CEL_OPTION_STRING, "LIST", NULL,
     "Queues where requests come in, comma-separated. Default: " CEL_DISPATCH_QUEUE},
    {"hostname", 'n', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Node name for %n, %h and %d in file names. Default: dispatch@%h"},
    CEL_SERVICE_OPTIONS,
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

struct run {
    cel_cli *cli;
    cel_app *app;
    cel_service service;
    cel_service_queues queues;
    cel_dispatcher *dispatcher;
    uv_signal_t signals[5];
    cel_notify notify;
    size_t watched;
};

static void print_url(const char *name, const char *url)
{
    cel__buf masked = {0};

    cel__url_mask(&masked, url);
    if (cel__buf_cstr(&masked))
        printf("  %-11s%s\n", name, masked.ptr);
    cel__buf_done(&masked);
}

static void print_banner(const struct run *run)
{
    const char *backend = cel__app_backend_url(run->app);

    printf("\n%s (celeriac %s)\n\n", run->service.node, cel_version());
    print_url("transport:", cel__app_broker_url(run->app));
    print_url("results:", backend ? backend : "disabled://");
    for (size_t i = 0; i < run->queues.count; i++)
        printf("  %-11s%.*s\n", i == 0 ? "requests:" : "", CEL_VIEW_ARG(run->queues.names[i]));
    puts("\n[flows]");
    for (const cel_flow_entry *flow = run->app->flows; flow; flow = flow->next)
        printf("  . %s%s%s\n", flow->name, flow->summary ? ": " : "",
               flow->summary ? flow->summary : "");
    putchar('\n');
    fflush(stdout);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct run *run = handle->data;

    if (signum == SIGHUP || signum == SIGUSR1) {
        cel__logging_reopen(&run->cli->logging);
        return;
    }
    if (signum == SIGQUIT) {
        /* What was not acknowledged is delivered again, and answered from memory if it was sent. */
        fputs("\ndispatch: Cold shutdown\n", stderr);
        cel__logging_flush(&run->cli->logging);
        cel__service_done(&run->service);
        _exit(CEL_EXIT_OK);
    }
    fputs("\ndispatch: Warm shutdown\n", stderr);
    cel__notify_stopping(&run->notify, false);
    cel__dispatcher_stop(run->dispatcher);
}

static const char *why_not(void *user)
{
    return cel__dispatcher_why_not(((struct run *)user)->dispatcher);
}

static void on_start(void *user, cel_dispatcher *dispatcher, uv_loop_t *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
    struct run *run = user;

    run->dispatcher = dispatcher;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uv_signal_init(loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&run->signals[i]);
        run->watched++;
    }
    cel__notify_start(&run->notify, loop, why_not, run);
    cel__info(&run->app->log, "%s ready.", run->service.node);
}

/* ---- the run ---- */

static int serve(struct run *run)
{
    cel_error err = {0};
    cel_code code;

    if (!run->cli->quiet)
        print_banner(run);
    signal(SIGPIPE, SIG_IGN);
    code = cel__dispatcher_run(&(cel_dispatcher_options){.app = run->app,
                                                         .queues = run->queues.names,
                                                         .queue_count = run->queues.count,
                                                         .on_start = on_start,
                                                         .user = run},
                               &err);
    cel__notify_stop(&run->notify);
    for (size_t i = 0; i < run->watched; i++)
        uv_close((uv_handle_t *)&run->signals[i],
                 NULL); /* by cel_app_free(), which runs the loop */
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

static int prepare_and_serve(struct run *run, const cel_args *args)
{
    const char *list = cel__args_string(args, "queues");
    const char *name = cel__args_string(args, "hostname");
    int status;

    if (!cel__service_include(run->app, NULL))
        return CEL_EXIT_FAILURE;
    if (!run->app->flows)
        return cel__cli_usage(run->cli,
                              "No flow is declared: name the module that declares one "
                              "with -A, in front of 'dispatch'.");
    cel__service_queues_add(&run->queues, list ? list : CEL_DISPATCH_QUEUE);
    status = cel__service_queues_check(&run->service, &run->queues, run->app);
    if (status != CEL_EXIT_OK)
        return status;
    if (!cel__service_name(&run->service, name ? name : "dispatch@%h"))
        return CEL_EXIT_USAGE;
    status = cel__service_start(&run->service);
    return status == CEL_EXIT_OK ? serve(run) : status;
}

static int run_command(cel_cli *cli, const cel_args *args)
{
    struct run run = {.cli = cli, .service = {.cli = cli, .args = args}};
    int status;

    if (!cel__service_read(&run.service))
        return CEL_EXIT_USAGE;
    if (!cel__cli_app(cli, &run.app, NULL, false))
        return CEL_EXIT_FAILURE;
    status = prepare_and_serve(&run, args);
    cel_app_free(run.app);
    cel__service_done(&run.service);
    return status;
}

const cel_command cel__dispatch_command = {
    "dispatch",
    "",
    "Start a dispatcher: requests in, flows sent, replies out.",
    "A request is a message whose body is a JSON object: \"flow\" names the flow (it may be "
    "left "
    "out\n"
    "where the module declares one), \"queue\" says where its tasks go, \"wait\": true asks "
    "for "
    "progress\n"
    "and result too, the other members are the flow's parameters. The reply goes to the "
    "request's\n"
    "reply_to with its correlation_id: {\"id\": ..., \"parts\": [...]}, or {\"error\": ...}. A "
    "request that\n"
    "comes again with the same correlation_id is answered again, and nothing is sent twice.\n\n"
    "Signals: TERM or INT finish what is being worked on and stop; QUIT stops at once; HUP and "
    "USR1\n"
    "open the log file anew.",
    options,
    0,
    0,
    run_command,
};
