/* commands.h - the commands of remote control: one table for the worker that carries them out, the
 * client and command line that send them, and the docs.
 *
 * Names, arguments and texts are Celery's (celery/worker/control.py); revoke_by_stamped_headers is
 * that of 5.3 and later. Pure; any thread. */
#ifndef CEL_CONTROL_COMMANDS_H
#define CEL_CONTROL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/view.h"

typedef enum cel_control_kind {
    CEL_CONTROL_INSPECT, /* asks; changes nothing */
    CEL_CONTROL_CONTROL, /* changes something */
} cel_control_kind;

/* What an argument is; how the command line turns a word into it. */
typedef enum cel_control_type {
    CEL_CONTROL_STRING,
    CEL_CONTROL_INTEGER,
    CEL_CONTROL_NUMBER,
    CEL_CONTROL_BOOLEAN, /* yes, true, on, 1 and their contraries */
    CEL_CONTROL_LIST,    /* of strings: all words that are left */
    CEL_CONTROL_JSON,    /* any value; no word of the command line becomes one */
} cel_control_type;

#define CEL_CONTROL_WORD     1u /* a word of the command line, in this order */
#define CEL_CONTROL_REQUIRED 2u /* the worker refuses the command without it */

typedef struct cel_control_arg {
    const char *name; /* NULL ends the list */
    cel_control_type type;
    unsigned flags; /* CEL_CONTROL_WORD, CEL_CONTROL_REQUIRED */
} cel_control_arg;

#define CEL_CONTROL_HIDDEN 1u /* not offered by the command line: between workers */
#define CEL_CONTROL_STRICT 2u /* refuses arguments that it does not know; others ignore them */
#define CEL_CONTROL_SILENT 4u /* never answers */

#define CEL_CONTROL_ARGS_MAX 8

typedef struct cel_control_command {
    const char *name;
    const char *alias; /* another name for it; NULL: none */
    cel_control_kind kind;
    unsigned flags;
    double timeout_s;  /* how long a client waits for answers */
    const char *usage; /* of its words: "<task_name> <rate_limit>"; NULL: it takes none */
    const char *help;  /* one sentence */
    cel_control_arg args[CEL_CONTROL_ARGS_MAX];
} cel_control_command;

#define CEL__CONTROL_ARG(name, type, flags)                                                    \
    {                                                                                          \
        name, CEL_CONTROL_##type, flags                                                        \
    }
#define CEL__CONTROL_END CEL__CONTROL_ARG(NULL, STRING, 0)

#define CEL__W  CEL_CONTROL_WORD
#define CEL__R  CEL_CONTROL_REQUIRED
#define CEL__WR (CEL_CONTROL_WORD | CEL_CONTROL_REQUIRED)

/* X(name, alias, kind, flags, timeout in seconds, usage, help, arguments ..., end) */
#define CEL__CONTROL_COMMANDS(X)                                                               \
    X(report, NULL, INSPECT, CEL_CONTROL_STRICT, 1.0, NULL,                                    \
      "Information about Celery installation for bug reports.", CEL__CONTROL_END)              \
    X(conf, "dump_conf", INSPECT, 0, 1.0, "[include_defaults=False]", "List configuration.",   \
      CEL__CONTROL_ARG("with_defaults", BOOLEAN, CEL__W), CEL__CONTROL_END)                    \
    X(query_task, NULL, INSPECT, 0, 1.0, "[id1 [id2 [... [idN]]]]",                            \
      "Query for task information by id.", CEL__CONTROL_ARG("ids", LIST, CEL__WR),             \
      CEL__CONTROL_END)                                                                        \
    X(clock, NULL, INSPECT, 0, 1.0, NULL, "Get current logical clock value.",                  \
      CEL__CONTROL_END)                                                                        \
    X(hello, NULL, INSPECT, CEL_CONTROL_HIDDEN, 1.0, NULL, "Request mingle sync-data.",        \
      CEL__CONTROL_ARG("from_node", STRING, CEL__R), CEL__CONTROL_ARG("revoked", JSON, 0),     \
      CEL__CONTROL_END)                                                                        \
    X(ping, NULL, INSPECT, 0, 0.2, NULL, "Ping worker(s).", CEL__CONTROL_END)                  \
    X(stats, NULL, INSPECT, 0, 1.0, NULL, "Request worker statistics/information.",            \
      CEL__CONTROL_END)                                                                        \
    X(scheduled, "dump_schedule", INSPECT, 0, 1.0, NULL,                                       \
      "List of currently scheduled ETA/countdown tasks.", CEL__CONTROL_END)                    \
    X(reserved, "dump_reserved", INSPECT, 0, 1.0, NULL,                                        \
      "List of currently reserved tasks, not including scheduled/active.", CEL__CONTROL_END)   \
    X(active, "dump_active", INSPECT, 0, 1.0, NULL, "List of tasks currently being executed.", \
      CEL__CONTROL_ARG("safe", BOOLEAN, 0), CEL__CONTROL_END)                                  \
    X(revoked, "dump_revoked", INSPECT, 0, 1.0, NULL, "List of revoked task-ids.",             \
      CEL__CONTROL_END)                                                                        \
    X(registered, "dump_tasks", INSPECT, 0, 1.0, "[attr1 [attr2 [... [attrN]]]]",              \
      "List of registered tasks.", CEL__CONTROL_ARG("taskinfoitems", LIST, CEL__W),            \
      CEL__CONTROL_ARG("builtins", BOOLEAN, 0), CEL__CONTROL_END)                              \
    X(memsample, NULL, INSPECT, 0, 1.0, NULL, "Sample current RSS memory usage.",              \
      CEL__CONTROL_END)                                                                        \
    X(active_queues, NULL, INSPECT, CEL_CONTROL_STRICT, 1.0, NULL,                             \
      "List the task queues a worker is currently consuming from.", CEL__CONTROL_END)          \
    X(revoke, NULL, CONTROL, 0, 1.0, "[id1 [id2 [... [idN]]]]",                                \
      "Revoke task by task id (or list of ids).", CEL__CONTROL_ARG("task_id", LIST, CEL__WR),  \
      CEL__CONTROL_ARG("terminate", BOOLEAN, 0), CEL__CONTROL_ARG("signal", STRING, 0),        \
      CEL__CONTROL_END)                                                                        \
    X(revoke_by_stamped_headers, NULL, CONTROL, 0, 1.0,                                        \
      "[key1=value1 [key2=value2 [... [keyN=valueN]]]]",                                       \
      "Revoke task by header (or list of headers).",                                           \
      CEL__CONTROL_ARG("headers", LIST, CEL__WR), CEL__CONTROL_ARG("terminate", BOOLEAN, 0),   \
      CEL__CONTROL_ARG("signal", STRING, 0), CEL__CONTROL_END)                                 \
    X(terminate, NULL, CONTROL, 0, 1.0, "<signal> [id1 [id2 [... [idN]]]]",                    \
      "Terminate task by task id (or list of ids).",                                           \
      CEL__CONTROL_ARG("signal", STRING, CEL__WR), CEL__CONTROL_ARG("task_id", LIST, CEL__WR), \
      CEL__CONTROL_END)                                                                        \
    X(rate_limit, NULL, CONTROL, 0, 1.0, "<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",   \
      "Tell worker(s) to modify the rate limit for a task by type.",                           \
      CEL__CONTROL_ARG("task_name", STRING, CEL__WR),                                          \
      CEL__CONTROL_ARG("rate_limit", STRING, CEL__WR), CEL__CONTROL_END)                       \
    X(time_limit, NULL, CONTROL, 0, 1.0, "<task_name> <soft_secs> [hard_secs]",                \
      "Tell worker(s) to modify the time limit for task by type.",                             \
      CEL__CONTROL_ARG("task_name", STRING, CEL__W), CEL__CONTROL_ARG("soft", NUMBER, CEL__W), \
      CEL__CONTROL_ARG("hard", NUMBER, CEL__W), CEL__CONTROL_END)                              \
    X(election, NULL, CONTROL, 0, 1.0, NULL, "Hold election.",                                 \
      CEL__CONTROL_ARG("id", STRING, CEL__R), CEL__CONTROL_ARG("topic", STRING, CEL__R),       \
      CEL__CONTROL_ARG("action", JSON, 0), CEL__CONTROL_END)                                   \
    X(enable_events, NULL, CONTROL, CEL_CONTROL_STRICT, 1.0, NULL,                             \
      "Tell worker(s) to send task-related events.", CEL__CONTROL_END)                         \
    X(disable_events, NULL, CONTROL, CEL_CONTROL_STRICT, 1.0, NULL,                            \
      "Tell worker(s) to stop sending task-related events.", CEL__CONTROL_END)                 \
    X(heartbeat, NULL, CONTROL, CEL_CONTROL_STRICT, 1.0, NULL,                                 \
      "Tell worker(s) to send event heartbeat immediately.", CEL__CONTROL_END)                 \
    X(pool_grow, NULL, CONTROL, 0, 1.0, "[N=1]", "Grow pool by n processes/threads.",          \
      CEL__CONTROL_ARG("n", INTEGER, CEL__W), CEL__CONTROL_END)                                \
    X(pool_shrink, NULL, CONTROL, 0, 1.0, "[N=1]", "Shrink pool by n processes/threads.",      \
      CEL__CONTROL_ARG("n", INTEGER, CEL__W), CEL__CONTROL_END)                                \
    X(pool_restart, NULL, CONTROL, 0, 1.0, NULL, "Restart execution pool.",                    \
      CEL__CONTROL_ARG("modules", LIST, 0), CEL__CONTROL_ARG("reload", BOOLEAN, 0),            \
      CEL__CONTROL_ARG("reloader", JSON, 0), CEL__CONTROL_END)                                 \
    X(autoscale, NULL, CONTROL, CEL_CONTROL_STRICT, 1.0, "[max [min]]",                        \
      "Modify autoscale settings.", CEL__CONTROL_ARG("max", INTEGER, CEL__W),                  \
      CEL__CONTROL_ARG("min", INTEGER, CEL__W), CEL__CONTROL_END)                              \
    X(shutdown, NULL, CONTROL, CEL_CONTROL_SILENT, 1.0, NULL, "Shutdown worker(s).",           \
      CEL__CONTROL_ARG("msg", STRING, 0), CEL__CONTROL_END)                                    \
    X(add_consumer, NULL, CONTROL, 0, 1.0, "<queue> [exchange [type [routing_key]]]",          \
      "Tell worker(s) to consume from task queue by name.",                                    \
      CEL__CONTROL_ARG("queue", STRING, CEL__WR),                                              \
      CEL__CONTROL_ARG("exchange", STRING, CEL__W),                                            \
      CEL__CONTROL_ARG("exchange_type", STRING, CEL__W),                                       \
      CEL__CONTROL_ARG("routing_key", STRING, CEL__W), CEL__CONTROL_END)                       \
    X(cancel_consumer, NULL, CONTROL, 0, 1.0, "<queue>",                                       \
      "Tell worker(s) to stop consuming from task queue by name.",                             \
      CEL__CONTROL_ARG("queue", STRING, CEL__WR), CEL__CONTROL_END)

#define CEL_X(name, ...) CEL_COMMAND_##name,
typedef enum cel_control_id {
    CEL__CONTROL_COMMANDS(CEL_X) CEL_COMMAND_COUNT
} cel_control_id;
#undef CEL_X

/* The table, by id; CEL_COMMAND_COUNT of them. */
extern const cel_control_command cel__control_commands[];

/* Finds a command by its name or alias; NULL if there is none. */
const cel_control_command *cel__control_find(cel_view name);

/* The id of a command of the table. */
static inline cel_control_id cel__control_id(const cel_control_command *command)
{
    return (cel_control_id)(command - cel__control_commands);
}

#endif
