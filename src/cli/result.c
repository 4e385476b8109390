/* result.c - `celeriac result ID`: waits for a result and prints it. */
#include "celeriac/result.h"

#include <string.h>

#include "cli/cli.h"
#include "core/json.h"

static const cel_option options[] = {
    {"task", 't', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Name of the task; accepted for compatibility"},
    {"traceback", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Print the stored traceback and do not wait"},
    {"timeout", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Give up after this time. Default: wait for ever"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* As Python prints it: a string as it is, anything else as its repr. */
static void print_value(const json_t *value)
{
    cel__buf text = {0};

    if (json_is_string(value)) {
        fwrite(json_string_value(value), 1, json_string_length(value), stdout);
        putchar('\n');
        return;
    }
    cel__json_dump(&text, value);
    if (!text.failed) {
        cel__buf repr = {0};

        cel__json_repr(&repr, cel__buf_view(&text), CEL_BUF_MAX, false);
        fwrite(repr.ptr, 1, repr.len, stdout);
        cel__buf_done(&repr);
    }
    putchar('\n');
    cel__buf_done(&text);
}

static int print_traceback(cel_result *result)
{
    json_t *document = NULL;
    cel_error err = {0};
    cel_code code = cel_result_document(result, &document, &err);
    const char *text = json_string_value(json_object_get(document, "traceback"));

    if (code != CEL_OK && code != CEL_ENOENT)
        return cel__cli_fail(&err);
    puts(text ? text : "");
    json_decref(document);
    return CEL_EXIT_OK;
}

/* As Python shows an exception that nobody catches: its traceback, which ends with type and message, if there is one. */
static void print_exception(const cel_result *result)
{
    const char *traceback = cel_result_traceback(result);
    size_t len = traceback ? strlen(traceback) : 0;

    if (len == 0)
        fprintf(stderr, "%s: %s\n", cel_result_exception_type(result),
                cel_result_exception_message(result));
    else
        fprintf(stderr, "%s%s", traceback, traceback[len - 1] == '\n' ? "" : "\n");
}

int cel__cli_result(cel_result *result, double seconds)
{
    json_t *value = NULL;
    cel_error err = {0};
    cel_code code =
        cel_result_get(result, &value, seconds < 0 ? -1 : (int64_t)(seconds * 1000), &err);

    if (code == CEL_OK) {
        print_value(value);
        json_decref(value);
        return CEL_EXIT_OK;
    }
    if (code == CEL_ETASK || code == CEL_EREVOKED) {
        print_exception(result);
        return CEL_EXIT_FAILURE;
    }
    return cel__cli_fail(&err);
}

static int run(cel_cli *cli, const cel_args *args)
{
    cel_result *result = NULL;
    cel_error err = {0};
    cel_app *app;
    int status;

    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    if (cel_result_new(&result, app, args->words[0], &err) != CEL_OK)
        status = cel__cli_fail(&err);
    else if (cel__args_flag(args, "traceback"))
        status = print_traceback(result);
    else
        status = cel__cli_result(result, cel__args_float(args, "timeout", -1));
    cel_result_free(result);
    cel_app_free(app);
    return status;
}

const cel_command cel__result_command = {
    "result", "ID", "Wait for a task's result and print it.", NULL, options, 1, 1, run,
};
