/* service.h - what the commands that stay share: log file, pid file, rights, queues. */
#ifndef CEL_CLI_SERVICE_H
#define CEL_CLI_SERVICE_H

#include "cli/cli.h"
#include "core/view.h"

#define CEL_SERVICE_QUEUES_MAX 256

/* Rows of an option table. */
#define CEL_SERVICE_OPTIONS                                                                    \
    {"loglevel",                                                                               \
     'l',                                                                                      \
     NULL,                                                                                     \
     CEL_OPTION_STRING,                                                                        \
     "LEVEL",                                                                                  \
     NULL,                                                                                     \
     "DEBUG, INFO, WARNING (default), ERROR or CRITICAL"},                                     \
        {"logfile",                                                                            \
         'f',                                                                                  \
         NULL,                                                                                 \
         CEL_OPTION_STRING,                                                                    \
         "FILE",                                                                               \
         NULL,                                                                                 \
         "Log to this file instead of stderr"},                                                \
        {"pidfile",                                                                            \
         0,                                                                                    \
         NULL,                                                                                 \
         CEL_OPTION_STRING,                                                                    \
         "FILE",                                                                               \
         NULL,                                                                                 \
         "Write the process id here; refuse to start if it is taken"},                         \
        {"detach", 'D', NULL, CEL_OPTION_FLAG, NULL, NULL, "Run in the background"},           \
        {"uid", 0, NULL, CEL_OPTION_STRING, "USER", NULL, "Become this user"},                 \
        {"gid", 0, NULL, CEL_OPTION_STRING, "GROUP", NULL, "Become this group"},               \
    {                                                                                          \
        "umask", 0, NULL, CEL_OPTION_STRING, "OCTAL", NULL, "File mode mask"                   \
    }

/* Zero-initialised but for `cli` and `args`. */
typedef struct cel_service {
    cel_cli *cli;
    const cel_args *args;
    char *node, *logfile, *pidfile; /* owned */
    long mask;                      /* -1: as it is */
    bool pidfile_made;
} cel_service;

/* Reads --loglevel and --umask; false: a usage error was printed. */
bool cel__service_read(cel_service *service);

/* Loads the modules of a comma-separated list (may be NULL), and those of the settings `imports` and `include` that are shared
 * objects: the others are the Python workers' who share the configuration. False: an error was printed. */
bool cel__service_include(cel_app *app, const char *list);

/* Makes the node's name of `hostname` (NULL: the default, "celery@…"), and expands --logfile and --pidfile with it; false: a
 * usage error was printed. */
bool cel__service_name(cel_service *service, const char *hostname);

/* --detach, --umask, --uid and --gid, --logfile, --pidfile, in this order. Returns the exit status, having printed
 * what is wrong; CEL_EXIT_OK: go on. Before any thread exists. */
int cel__service_start(cel_service *service);

/* Removes the pid file and frees the names. */
void cel__service_done(cel_service *service);

/* Queues, each once: views of what was read. */
typedef struct cel_service_queues {
    cel_view names[CEL_SERVICE_QUEUES_MAX];
    size_t count;
    bool too_many;
} cel_service_queues;

void cel__service_queue_add(cel_service_queues *queues, cel_view name);

/* Of a comma-separated list (may be NULL): adds, or takes away. */
void cel__service_queues_add(cel_service_queues *queues, const char *list);
void cel__service_queues_drop(cel_service_queues *queues, const char *list);

/* Whether there are some, not too many, and all are allowed by the configuration. Returns the exit status, having printed
 * what is wrong. */
int cel__service_queues_check(const cel_service *service,
                              const cel_service_queues *queues,
                              const cel_app *app);

#endif
