/* rpc.c - `celeriac rpc FLOW [JSON]`: asks a dispatcher and prints its answer. */
#include "celeriac/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/json.h"
#include "dispatch/dispatch.h"

static const cel_option options[] = {
    {"queue", 'Q', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "The dispatcher's queue. Default: " CEL_DISPATCH_QUEUE},
    {"timeout", 't', NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "How long to wait for the answer. Default: 10; 0: for ever"},
    {"wait", 'w', NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Go on until the result is there; show the progress on stderr"},
    {"result-timeout", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "With --wait: for how long after the answer. Default: for ever"},
    {"correlation-id", 0, NULL, CEL_OPTION_STRING, "ID", NULL,
     "Ask again with the same one, and get the same answer without sending twice"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* Returns the exit status; *request is the caller's. */
static int read_request(cel_cli *cli, const cel_args *args, json_t **request)
{
    const char *text = args->word_count > 1 ? args->words[1] : "{}";
    cel_error err = {0};

    if (cel__json_load(request, cel__view(text), &err) != CEL_OK)
        return cel__cli_usage(cli, "Invalid parameters: %s", err.message);
    if (!json_is_object(*request))
        return cel__cli_usage(cli, "Invalid parameters: not a JSON object");
    if (json_object_set_new(*request, "flow", json_string(args->words[0])) != 0)
        return cel__cli_usage(cli, "Invalid name of a flow: no UTF-8");
    return CEL_EXIT_OK;
}

static void show_message(void *user, const json_t *message)
{
    const json_t *done = json_object_get(message, "done");
    const json_t *total = json_object_get(message, "total");

    (void)user;
    if (done)
        fprintf(stderr, "%lld of %lld parts\n", (long long)json_integer_value(done),
                (long long)json_integer_value(total));
    else if (!json_object_get(message, "state") && !json_object_get(message, "error"))
        fprintf(stderr, "sent as %s\n",
                json_is_string(json_object_get(message, "id"))
                    ? json_string_value(json_object_get(message, "id"))
                    : "?");
    fflush(stderr);
}

static int ask(cel_cli *cli, const cel_args *args, json_t *request)
{
    bool wait = cel__args_flag(args, "wait");
    double timeout = cel__args_float(args, "timeout", 10);
    cel_rpc_options rpc = {
        .size = sizeof rpc,
        .queue = cel__args_string(args, "queue"),
        .correlation_id = cel__args_string(args, "correlation-id"),
        .timeout_ms = timeout > 0 ? (int64_t)(timeout * 1000) : -1,
        .wait = wait,
        .result_timeout_ms = (int64_t)(cel__args_float(args, "result-timeout", 0) * 1000),
        .on_message = wait ? show_message : NULL,
    };
    json_t *answer = NULL;
    cel_error err = {0};
    cel_app *app;
    cel_code code;

    if (!(timeout >= 0 && timeout < 1e9))
        return cel__cli_usage(cli, "Invalid value for '--timeout': out of range");
    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    code = cel_rpc(app, &answer, json_incref(request), &rpc, &err);
    cel_app_free(app);
    if (code == CEL_OK) {
        json_dumpf(answer, stdout, 0);
        putchar('\n');
    } else if (err.exc_type[0]) {
        fprintf(stderr, "Error: %s: %s\n", err.exc_type, err.message);
        return CEL_EXIT_FAILURE;
    }
    json_decref(answer);
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

static int run(cel_cli *cli, const cel_args *args)
{
    json_t *request = NULL;
    int status = read_request(cli, args, &request);

    if (status == CEL_EXIT_OK)
        status = ask(cli, args, request);
    json_decref(request);
    return status;
}

const cel_command cel__rpc_command = {
    "rpc",
    "FLOW [JSON]",
    "Ask a dispatcher to send a flow, and print its answer.",
    "JSON is an object: the flow's parameters, and perhaps \"queue\", where its tasks are to "
    "go. "
    "The answer\n"
    "is {\"id\": ..., \"parts\": [...]}, with --wait {\"id\": ..., \"state\": \"SUCCESS\", "
    "\"result\": ...}.\n"
    "Exit status: 0 done; 1 refused, or the job failed; 69 no answer in time, or no "
    "connection.",
    options,
    1,
    2,
    run,
};
