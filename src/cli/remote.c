/* remote.c - see remote.h. */
#include "cli/remote.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/reply.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/number.h"

#define TIMEOUT_MAX_S 1e9

const cel_option cel__remote_options[] = {
    {"timeout", 't', NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "How long to wait for the next reply. Default: 1"},
    {"destination", 'd', NULL, CEL_OPTION_STRING, "LIST", NULL,
     "Names of nodes, comma-separated: only they are asked, and nobody is waited for when all "
     "have answered"},
    {"json", 'j', NULL, CEL_OPTION_FLAG, NULL, NULL, "Print JSON, when all replies are there"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

/* ---- options ---- */

static int split(cel_remote *remote, const char *list)
{
    size_t count = 1, at = 0;

    for (const char *c = list; *c; c++)
        count += *c == ',';
    remote->list = cel__strdup(list);
    remote->names = cel__calloc(count + 1, sizeof *remote->names);
    if (!remote->list || !remote->names)
        return CEL_EXIT_FAILURE;
    for (char *rest = remote->list, *name; (name = strsep(&rest, ","));)
        remote->names[at++] = name;
    remote->options.destination = remote->names;
    return CEL_EXIT_OK;
}

int cel__remote_init(cel_remote *remote, const cel_cli *cli, const cel_args *args)
{
    double timeout = cel__args_float(args, "timeout", 1);
    const char *destination = cel__args_string(args, "destination");

    remote->cli = cli;
    remote->as_json = cel__args_flag(args, "json");
    remote->options.size = sizeof remote->options;
    if (!(timeout >= 0 && timeout < TIMEOUT_MAX_S))
        return cel__cli_usage(cli, "Invalid value for '--timeout': out of range");
    remote->options.timeout_ms = timeout > 0.001 ? (int64_t)(timeout * 1000) : 1;
    return destination ? split(remote, destination) : CEL_EXIT_OK;
}

void cel__remote_done(cel_remote *remote)
{
    cel__free(remote->list);
    cel__free(remote->names);
}

/* ---- commands ---- */

static const cel_control_command *nth(cel_control_kind kind, size_t i)
{
    for (size_t c = 0; c < CEL_COMMAND_COUNT; c++) {
        const cel_control_command *command = &cel__control_commands[c];

        if (command->kind == kind && !(command->flags & CEL_CONTROL_HIDDEN) && i-- == 0)
            return command;
    }
    return NULL;
}

static bool word_of(cel_control_kind kind, size_t i, cel_word *out)
{
    const cel_control_command *command = nth(kind, i);

    if (command)
        *out = (cel_word){command->name, command->usage, command->help};
    return command != NULL;
}

bool cel__inspect_word(size_t i, cel_word *out)
{
    return word_of(CEL_CONTROL_INSPECT, i, out);
}

bool cel__control_word(size_t i, cel_word *out)
{
    return word_of(CEL_CONTROL_CONTROL, i, out);
}

const cel_control_command *
cel__remote_command(const cel_cli *cli, const cel_args *args, cel_control_kind kind)
{
    const char *name = args->words[0];
    const cel_control_command *command;

    for (size_t i = 0; (command = nth(kind, i)); i++)
        if (strcmp(command->name, name) == 0)
            return command;
    cel__cli_no_word(cli, name);
    return NULL;
}

/* ---- arguments ---- */

/* Python's strtobool(). NULL if it is neither. */
static json_t *boolean(const char *word)
{
    static const char *const yes[] = {"true", "yes", "1", "on"}, *const no[] = {"false", "no",
                                                                                "0", "off"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(word, yes[i]) == 0)
            return json_true();
        if (strcasecmp(word, no[i]) == 0)
            return json_false();
    }
    return NULL;
}

static json_t *integer(const char *word)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(word, &end, 10);
    return errno == 0 && end != word && *end == '\0' ? json_integer(value) : NULL;
}

static json_t *number(const char *word)
{
    double value;

    return cel__double_parse(&value, cel__view(word)) ? json_real(value) : NULL;
}

/* NULL if the word is none of the type. */
static json_t *convert(cel_control_type type, const char *word)
{
    switch (type) {
    case CEL_CONTROL_BOOLEAN:
        return boolean(word);
    case CEL_CONTROL_INTEGER:
        return integer(word);
    case CEL_CONTROL_NUMBER:
        return number(word);
    case CEL_CONTROL_STRING:
    case CEL_CONTROL_LIST:
    case CEL_CONTROL_JSON:
        break;
    }
    return json_string(word);
}

/* All words from *at on. NULL if one is no UTF-8. */
static json_t *rest(const cel_args *args, int *at)
{
    json_t *list = json_array();

    while (*at < args->word_count) {
        if (json_array_append_new(list, json_string(args->words[(*at)++])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Reads the words for one argument; false after an error was printed. */
static bool read_argument(const cel_cli *cli,
                          const cel_args *args,
                          int *at,
                          const cel_control_arg *arg,
                          json_t *arguments)
{
    static const char *const types[] = {"string",  "integer", "number",
                                        "boolean", "string",  "string"};
    const char *word = args->words[*at];
    json_t *value;

    if (arg->type != CEL_CONTROL_LIST && *at == args->word_count)
        return true; /* whether it may be missing is the worker's to say */
    value = arg->type == CEL_CONTROL_LIST ? rest(args, at)
                                          : convert(arg->type, args->words[(*at)++]);
    if (value && json_object_set_new(arguments, arg->name, value) == 0)
        return true;
    cel__cli_usage(cli, "Invalid value for '%s': '%s' is not a valid %s.", arg->name,
                   word ? word : "", types[arg->type]);
    return false;
}

json_t *cel__remote_arguments(const cel_cli *cli,
                              const cel_args *args,
                              const cel_control_command *command)
{
    json_t *arguments = json_object();
    int at = 1;

    for (const cel_control_arg *arg = command->args; arg->name; arg++) {
        if ((arg->flags & CEL_CONTROL_WORD) && !read_argument(cli, args, &at, arg, arguments)) {
            json_decref(arguments);
            return NULL;
        }
    }
    if (at == args->word_count)
        return arguments;
    if (command->usage)
        cel__cli_usage(cli, "Command '%s' takes arguments: %s", command->name, command->usage);
    else
        cel__cli_usage(cli, "Command '%s' takes no arguments.", command->name);
    json_decref(arguments);
    return NULL;
}

/* ---- sending ---- */

static void show(void *user, const char *node, const json_t *reply)
{
    const cel_remote *remote = user;
    const cel_reply_style style = {
        .color = !remote->cli->no_color && isatty(STDOUT_FILENO),
        .quiet = remote->cli->quiet,
        .body = remote->body,
    };
    cel__buf text = {0};

    cel__reply_show(&text, node, reply, &style);
    fwrite(text.ptr, 1, text.len, stdout);
    fflush(stdout); /* more may be long in coming */
    cel__buf_done(&text);
}

int cel__remote_send(
    cel_remote *remote, cel_app *app, const char *method, json_t *arguments, json_t **replies)
{
    cel_error err = {0};

    if (!remote->as_json) {
        remote->options.on_reply = show;
        remote->options.user = remote;
    }
    if (cel_control_broadcast(app, method, arguments, &remote->options, replies, &err) !=
        CEL_OK)
        return cel__cli_fail(&err);
    if (json_array_size(*replies) > 0)
        return CEL_EXIT_OK;
    fputs("Error: No nodes replied within time constraint\n", stderr);
    return CEL_EXIT_UNAVAILABLE;
}

json_t *cel__remote_by_node(const json_t *replies)
{
    json_t *nodes = json_object();
    const json_t *reply;
    size_t i;

    json_array_foreach(replies, i, reply) json_object_update(nodes, (json_t *)reply);
    return nodes;
}

int cel__remote_print_json(const json_t *value)
{
    cel__buf text = {0};
    cel_error err = {0};
    cel_code code;

    cel__json_dump(&text, value);
    cel__buf_add_byte(&text, '\n');
    code = cel__buf_check(&text, &err);
    if (code == CEL_OK)
        fwrite(text.ptr, 1, text.len, stdout);
    cel__buf_done(&text);
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

void cel__remote_print_count(size_t count)
{
    printf("\n%zu node%s online.\n", count, count == 1 ? "" : "s");
}
