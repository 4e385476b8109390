/* call.c - `celeriac call NAME`: sends a task and prints its id. */
#include <stdlib.h>
#include <string.h>

#include "celeriac/send.h"
#include "cli/cli.h"
#include "core/json.h"
#include "core/time.h"

static const cel_option options[] = {
    {"args", 'a', NULL, CEL_OPTION_STRING, "JSON", NULL, "Positional arguments: a JSON array"},
    {"kwargs", 'k', NULL, CEL_OPTION_STRING, "JSON", NULL, "Keyword arguments: a JSON object"},
    {"eta", 0, NULL, CEL_OPTION_STRING, "TIME", NULL,
     "Run no sooner than this time (ISO 8601)"},
    {"countdown", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Run no sooner than this from now"},
    {"expires", 0, NULL, CEL_OPTION_STRING, "TIME", NULL,
     "Do not run later than this: ISO 8601, or seconds from now"},
    {"serializer", 0, NULL, CEL_OPTION_STRING, "NAME", NULL,
     "json, yaml, msgpack or auth. Default: task_serializer"},
    {"queue", 0, NULL, CEL_OPTION_STRING, "NAME", NULL, "Queue to send to"},
    {"exchange", 0, NULL, CEL_OPTION_STRING, "NAME", NULL, "Exchange to send to"},
    {"routing-key", 0, NULL, CEL_OPTION_STRING, "KEY", NULL, "Routing key"},
    {"priority", 0, NULL, CEL_OPTION_INT, "N", NULL, "0 to 9, higher is sooner"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* Reads a JSON option; *out stays NULL if it is not given. */
static bool
read_json(cel_cli *cli, const cel_args *args, const char *name, json_type type, json_t **out)
{
    const char *text = cel__args_string(args, name);
    cel_error err = {0};

    if (!text)
        return true;
    if (cel__json_load(out, cel__view(text), &err) != CEL_OK) {
        cel__cli_usage(cli, "Invalid value for '--%s': %s", name, err.message);
        return false;
    }
    if (json_typeof(*out) == type)
        return true;
    cel__cli_usage(cli, "Invalid value for '--%s': not a JSON %s", name,
                   type == JSON_ARRAY ? "array" : "object");
    return false;
}

static bool read_times(cel_cli *cli, const cel_args *args, cel_send_options *options_out)
{
    const char *eta = cel__args_string(args, "eta");
    const char *expires = cel__args_string(args, "expires");
    int64_t us, now = cel__clock_wall_ms(cel__clock_system());
    char *end;

    if (eta && !cel__time_parse(&us, cel__view(eta))) {
        cel__cli_usage(cli, "Invalid value for '--eta': '%s' is not an ISO 8601 time", eta);
        return false;
    }
    if (eta)
        options_out->eta_ms = us / 1000;
    options_out->countdown_ms = (int64_t)(cel__args_float(args, "countdown", 0) * 1000);
    if (!expires)
        return true;
    options_out->expires_ms = (int64_t)(strtod(expires, &end) * 1000);
    if (*end == '\0' && end != expires)
        return true;
    if (!cel__time_parse(&us, cel__view(expires))) {
        cel__cli_usage(
            cli, "Invalid value for '--expires': '%s' is neither a time nor a number", expires);
        return false;
    }
    options_out->expires_ms = us / 1000 - now;
    if (options_out->expires_ms <= 0)
        options_out->expires_ms = 1; /* expired already: whoever takes it says so */
    return true;
}

static int send_task(cel_cli *cli, const cel_args *args, json_t *list, json_t *dict)
{
    cel_send_options send = {.size = sizeof send,
                             .queue = cel__args_string(args, "queue"),
                             .exchange = cel__args_string(args, "exchange"),
                             .routing_key = cel__args_string(args, "routing-key"),
                             .priority = (int)cel__args_int(args, "priority", 0),
                             .serializer = cel__args_string(args, "serializer")};
    cel_result *result = NULL;
    cel_error err = {0};
    cel_app *app;
    cel_code code;

    if (!read_times(cli, args, &send))
        return CEL_EXIT_USAGE;
    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    code = cel_send(app, &result, args->words[0], json_incref(list), json_incref(dict), &send,
                    &err);
    if (code == CEL_OK)
        puts(cel_result_id(result));
    cel_result_free(result);
    cel_app_free(app);
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

static int run(cel_cli *cli, const cel_args *args)
{
    json_t *list = NULL, *dict = NULL;
    int status = CEL_EXIT_USAGE;

    if (read_json(cli, args, "args", JSON_ARRAY, &list) &&
        read_json(cli, args, "kwargs", JSON_OBJECT, &dict))
        status = send_task(cli, args, list, dict);
    json_decref(list);
    json_decref(dict);
    return status;
}

const cel_command cel__call_command = {
    "call", "NAME", "Send a task and print its id.", NULL, options, 1, 1, run,
};
