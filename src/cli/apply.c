/* apply.c - `celeriac apply SIGNATURE`: sends a canvas, given as JSON, and prints its id. */
#include <stdlib.h>
#include <string.h>

#include "celeriac/send.h"
#include "cli/cli.h"
#include "core/json.h"

#define INPUT_MAX ((size_t)256 << 20) /* a message has no more */

static const cel_option options[] = {
    {"queue", 0, NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Queue for what its signatures do not route themselves"},
    {"priority", 0, NULL, CEL_OPTION_INT, "N", NULL, "0 to 9, higher is sooner"},
    {"countdown", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Run no sooner than this from now"},
    {"wait", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Wait for the result, too, and print it in place of the id"},
    {"timeout", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Give up waiting after this time. Default: wait for ever"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* Reads a file, or standard input for "-", into `text`. */
static cel_code read_file(const char *path, cel__buf *text, cel_error *err)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char block[8192];
    size_t count;
    bool good;

    if (!file)
        return cel_error_set(err, CEL_EINVAL, "%s is neither JSON nor a file that can be read",
                             path);
    while ((count = fread(block, 1, sizeof block, file)) > 0 && text->len < INPUT_MAX)
        cel__buf_add(text, block, count);
    good = !ferror(file) && text->len < INPUT_MAX;
    if (file != stdin)
        fclose(file);
    if (!good)
        return cel_error_set(err, CEL_EINVAL, "%s cannot be read, or is too large", path);
    return cel__buf_check(text, err);
}

/* The word is JSON if it begins as an object does, else it names a file. */
static cel_code read_signature(cel_signature **out, const char *word, cel_error *err)
{
    cel__buf text = {0};
    json_t *json = NULL;
    cel_code code = CEL_OK;

    if (word[strspn(word, " \t\r\n")] == '{')
        cel__buf_add_str(&text, word);
    else
        code = read_file(word, &text, err);
    if (code == CEL_OK)
        code = cel__json_load(&json, cel__buf_view(&text), err);
    if (code == CEL_OK)
        code = cel_signature_from_json(out, json, err);
    json_decref(json);
    cel__buf_done(&text);
    return code;
}

static int send(cel_cli *cli, const cel_args *args, const cel_signature *signature)
{
    const cel_send_options send = {.size = sizeof send,
                                   .queue = cel__args_string(args, "queue"),
                                   .priority = (int)cel__args_int(args, "priority", 0),
                                   .countdown_ms =
                                       (int64_t)(cel__args_float(args, "countdown", 0) * 1000)};
    cel_result *result = NULL;
    cel_error err = {0};
    cel_app *app;
    int status = CEL_EXIT_OK;

    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    if (cel_apply(app, &result, signature, &send, &err) != CEL_OK)
        status = cel__cli_fail(&err);
    else if (cel__args_flag(args, "wait"))
        status = cel__cli_result(result, cel__args_float(args, "timeout", -1));
    else
        puts(cel_result_id(result));
    cel_result_free(result);
    cel_app_free(app);
    return status;
}

static int run(cel_cli *cli, const cel_args *args)
{
    cel_signature *signature = NULL;
    cel_error err = {0};
    int status;

    if (read_signature(&signature, args->words[0], &err) != CEL_OK)
        return cel__cli_usage(cli, "Invalid signature: %s", err.message);
    status = send(cli, args, signature);
    cel_signature_free(signature);
    return status;
}

const cel_command cel__apply_command = {
    "apply",
    "SIGNATURE",
    "Send a canvas, as Celery's JSON, and print its id.",
    "SIGNATURE is JSON, a file that holds it, or - for standard input: an object with task, "
    "args, "
    "kwargs and options, or a chain, group or chord of these, as json.dumps() makes it of a "
    "signature in "
    "Python. The id is that of the last task of a chain, of a chord's body, or of the group.",
    options,
    1,
    1,
    run,
};
