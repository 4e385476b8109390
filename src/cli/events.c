/* events.c - `celeriac events`: shows events as they come, in the lines of `celery events --dump` or as JSON. */
#include "celeriac/events.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "core/json.h"
#include "core/number.h"

#define REMEMBERED 4095 /* tasks of which it is known what they are, as with Celery */

static const cel_option options[] = {
    {"dump", 'd', NULL, CEL_OPTION_FLAG, NULL, NULL, "Show a line for each event (default)"},
    {"json", 'j', NULL, CEL_OPTION_FLAG, NULL, NULL, "Show each event as a line of JSON"},
    {"routing-key", 'k', NULL, CEL_OPTION_STRING, "PATTERN", NULL,
     "Hear those alone: worker.# or task.#. Default: # (all)"},
    {"frequency", 'F', "freq", CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Accepted for compatibility: events are shown when they come"},
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

struct shower {
    cel_event_state *seen; /* what tasks are, by what was received and sent */
    cel__buf line;
    bool json;
    bool broken; /* nobody reads us any more */
    cel_events *events;
};

/* ---- a line ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* As Python's str() shows a value. */
static void add_value(cel__buf *line, const json_t *value)
{
    cel__buf text = {0};

    if (json_is_string(value)) {
        cel__buf_add(line, json_string_value(value), json_string_length(value));
        return;
    }
    cel__json_dump(&text, value);
    cel__json_pyrepr(line, cel__buf_view(&text), false);
    cel__buf_done(&text);
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* All fields but those that stand elsewhere in the line, by name. */
static void add_fields(cel__buf *line, const json_t *event, const char *const *shown)
{
    size_t count = json_object_size(event), used = 0;
    const char **names = calloc(count + 1, sizeof *names);
    const char *name;
    json_t *value;

    if (!names)
        return;
    json_object_foreach((json_t *)event, name, value)
    {
        if (!is_one_of(name, shown))
            names[used++] = name;
    }
    qsort(names, used, sizeof *names, by_name);
    for (size_t i = 0; i < used; i++) {
        cel__buf_add_str(line, i > 0 ? ", " : "");
        cel__buf_add_str(line, names[i]);
        cel__buf_add_byte(line, '=');
        add_value(line, json_object_get(event, names[i]));
    }
    free(names);
}

/* As str() of Python's datetime, in UTC. */
static void add_time(cel__buf *line, double seconds)
{
    double rounded = seconds >= 0 && seconds < 253402300800.0 ? seconds : 0;
    double whole_s, fraction = modf(rounded, &whole_s);
    int64_t us =
        (int64_t)whole_s * 1000000 + (int64_t)rint(fraction * 1e6); /* as Python rounds */
    time_t whole = (time_t)(us / 1000000);
    struct tm tm;

    if (!gmtime_r(&whole, &tm))
        return;
    cel__buf_addf(line, "%04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (us % 1000000)
        cel__buf_addf(line, ".%06d", (int)(us % 1000000));
}

static void add_type(cel__buf *line, const char *type)
{
    static const char *const human[][2] = {{"worker-offline", "shutdown"},
                                           {"worker-online", "started"},
                                           {"worker-heartbeat", "heartbeat"}};

    for (size_t i = 0; i < sizeof human / sizeof *human; i++) {
        if (strcmp(type, human[i][0]) == 0) {
            cel__buf_add_str(line, human[i][1]);
            return;
        }
    }
    for (; *type; type++)
        cel__buf_add_byte(line, *type == '-'                   ? ' '
                                : *type >= 'A' && *type <= 'Z' ? (char)(*type - 'A' + 'a')
                                                               : *type);
}

/* What the task is: remembered since it was sent or received. */
static void add_task(struct shower *shower, const json_t *event)
{
    const char *uuid = json_string_value(json_object_get(event, "uuid"));
    const json_t *task = uuid ? cel_event_state_task(shower->seen, uuid) : NULL;

    if (!task)
        return;
    add_value(&shower->line, json_object_get(task, "name"));
    cel__buf_addf(&shower->line, "(%s) args=", uuid);
    add_value(&shower->line, json_object_get(task, "args"));
    cel__buf_add_str(&shower->line, " kwargs=");
    add_value(&shower->line, json_object_get(task, "kwargs"));
}

static void dump(struct shower *shower, const char *type, const json_t *event)
{
    static const char *const of_worker[] = {"timestamp", "type", "hostname", NULL};
    static const char *const of_task[] = {"timestamp", "type", "hostname", "uuid", NULL};
    static const char *const of_new_task[] = {"timestamp", "type", "hostname", "uuid",
                                              "name",      "args", "kwargs",   NULL};
    cel__buf *line = &shower->line;
    bool task = strncmp(type, "task-", 5) == 0;
    bool fresh = strcmp(type, "task-received") == 0 || strcmp(type, "task-sent") == 0;

    if (fresh)
        (void)cel_event_state_add(shower->seen, event,
                                  NULL); /* or it is shown without its name */
    add_value(line, json_object_get(event, "hostname"));
    cel__buf_add_str(line, " [");
    add_time(line, json_number_value(json_object_get(event, "timestamp")));
    cel__buf_add_str(line, "] ");
    add_type(line, type);
    cel__buf_add_str(line, ": "); /* there is always local_received */
    if (task) {
        add_task(shower, event);
        cel__buf_add_byte(line, ' ');
    }
    add_fields(line, event, fresh ? of_new_task : task ? of_task : of_worker);
}

static void say(struct shower *shower)
{
    cel__buf_add_byte(&shower->line, '\n');
    if (!shower->line.failed)
        fwrite(shower->line.ptr, 1, shower->line.len, stdout);
    cel__buf_reset(&shower->line);
    if (fflush(stdout) != 0) { /* so that others can read it at once */
        shower->broken = true;
        cel_events_stop(shower->events);
    }
}

static void on_event(void *user, const char *type, const json_t *event)
{
    struct shower *shower = user;

    if (shower->broken)
        return;
    if (shower->json)
        cel__json_dump(&shower->line, event);
    else
        dump(shower, type, event);
    say(shower);
}

static void on_outage(void *user, const cel_error *err)
{
    (void)user;
    if (err)
        fprintf(stderr, "-> Connection lost, attempting reconnect: %s\n", err->message);
    else
        fprintf(stderr, "-> Connected again\n");
}

/* ---- the run ---- */

static cel_events *listening; /* for the signal handler */

static void on_signal(int number)
{
    (void)number;
    cel_events_stop(listening);
}

static void catch_signals(cel_events *events)
{
    struct sigaction action = {.sa_handler = events ? on_signal : SIG_DFL};

    listening = events ? events : listening;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    listening = events;
    signal(SIGPIPE, events ? SIG_IGN : SIG_DFL);
}

static int show(struct shower *shower, cel_app *app, const char *pattern)
{
    cel_events_options how = {.size = sizeof how,
                              .pattern = pattern,
                              .on_event = on_event,
                              .on_outage = on_outage,
                              .user = shower};
    cel_error err = {0};
    cel_code code = cel_events_open(&shower->events, app, &how, &err);

    if (code != CEL_OK)
        return cel__cli_fail(&err);
    catch_signals(shower->events);
    if (!shower->json) {
        cel__buf_add_str(&shower->line, "-> evdump: starting capture...");
        say(shower);
    }
    code = cel_events_run(shower->events, -1, &err);
    catch_signals(NULL);
    cel_events_close(shower->events);
    if (code != CEL_OK)
        return cel__cli_fail(&err);
    return shower->broken ? CEL_EXIT_FAILURE : CEL_EXIT_OK;
}

static int run(cel_cli *cli, const cel_args *args)
{
    struct shower shower = {.json = cel__args_flag(args, "json")};
    cel_error err = {0};
    cel_app *app;
    int status;

    if (shower.json && cel__args_flag(args, "dump"))
        return cel__cli_usage(cli, "--dump and --json: choose one.");
    if (!cel__cli_app(cli, &app, NULL, true))
        return CEL_EXIT_FAILURE;
    if (cel_event_state_new(&shower.seen, 1, REMEMBERED, &err) == CEL_OK)
        status = show(&shower, app, cel__args_string(args, "routing-key"));
    else
        status = cel__cli_fail(&err);
    cel_event_state_free(shower.seen);
    cel__buf_done(&shower.line);
    cel_app_free(app);
    return status;
}

const cel_command cel__events_command = {
    "events",
    "",
    "Show what workers and clients say, as it comes.",
    "Workers always say that they are there; what becomes of their tasks they say with -E. "
    "TERM or INT ends it.",
    options,
    0,
    0,
    run,
};
