/* service.c - see service.h. */
#include "cli/service.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/nodename.h"
#include "app/queues.h"
#include "cli/daemon.h"
#include "cli/pidfile.h"
#include "core/mem.h"

/* ---- options ---- */

static bool choose_umask(cel_service *service)
{
    const char *text = cel__args_string(service->args, "umask");
    char *end;

    service->mask = text ? strtol(text, &end, 8) : -1;
    if (!text || (end != text && !*end && service->mask >= 0 && service->mask <= 0777))
        return true;
    cel__cli_usage(service->cli, "Invalid value for '--umask': '%s' is no octal file mode.",
                   text);
    return false;
}

static bool choose_level(cel_service *service)
{
    const char *name = cel__args_string(service->args, "loglevel");

    if (name && !cel__log_level_parse(&service->cli->logging.level, name)) {
        cel__cli_usage(service->cli,
                       "Invalid value for '-l' / '--loglevel': '%s' is not one of DEBUG, INFO, "
                       "WARNING, ERROR, "
                       "CRITICAL, FATAL.",
                       name);
        return false;
    }
    return true;
}

bool cel__service_read(cel_service *service)
{
    return choose_level(service) && choose_umask(service);
}

static bool expand(cel_service *service, const char *option, char **out)
{
    const char *text = cel__args_string(service->args, option);
    cel_error err = {0};
    cel__buf path = {0};

    if (!text)
        return true;
    if (cel__node_format(&path, text, service->node, 0, &err) == CEL_OK &&
        cel__buf_check(&path, &err) == CEL_OK)
        *out = cel__buf_detach(&path, NULL);
    else
        cel__cli_usage(service->cli, "Invalid value for '--%s': %s", option, err.message);
    cel__buf_done(&path);
    return *out != NULL;
}

bool cel__service_name(cel_service *service, const char *hostname)
{
    char host[CEL_HOSTNAME_MAX];
    cel__buf node = {0};
    cel_error err = {0};

    cel__hostname(host);
    if (cel__nodename(&node, hostname, host, &err) == CEL_OK &&
        cel__buf_check(&node, &err) == CEL_OK)
        service->node = cel__buf_detach(&node, NULL);
    else
        cel__cli_usage(service->cli, "Invalid value for '-n' / '--hostname': %s", err.message);
    cel__buf_done(&node);
    if (!service->node)
        return false;
    return expand(service, "logfile", &service->logfile) &&
           expand(service, "pidfile", &service->pidfile);
}

/* ---- modules ---- */

static bool load(cel_app *app, const char *name)
{
    cel_error err = {0};

    if (cel_app_load(app, name, &err) == CEL_OK)
        return true;
    cel__cli_fail(&err);
    return false;
}

static bool load_listed(cel_app *app, const char *setting)
{
    const json_t *names = cel__config_json(app->config, setting);
    const json_t *value;
    size_t i;

    json_array_foreach(names, i, value)
    {
        const char *name = json_string_value(value);

        if (!name)
            continue;
        if (!cel__module_is_there(name))
            cel__info(&app->log, "%s: no shared object '%s': left to workers in Python",
                      setting, name);
        else if (!load(app, name))
            return false;
    }
    return true;
}

bool cel__service_include(cel_app *app, const char *list)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        char *name = strndup(list, len);
        bool ok = name && (len == 0 || load(app, name));

        if (!name)
            fputs("Error: out of memory\n", stderr);
        free(name);
        if (!ok)
            return false;
        list += len + (list[len] == ',');
    }
    return load_listed(app, "imports") && load_listed(app, "include");
}

/* ---- the process ---- */

static bool become(cel_service *service)
{
    cel_error err = {0};

    if (service->mask >= 0)
        umask((mode_t)service->mask);
    if (cel__daemon_become(cel__args_string(service->args, "uid"),
                           cel__args_string(service->args, "gid"), &err) == CEL_OK)
        return true;
    cel__cli_fail(&err);
    return false;
}

static int take_pidfile(cel_service *service)
{
    cel_error err = {0};
    int pid = 0;
    bool stale = false;
    cel_code code;

    if (!service->pidfile)
        return CEL_EXIT_OK;
    code = cel__pidfile_create(service->pidfile, &pid, &stale, &err);
    if (code == CEL_OK) {
        if (stale)
            fputs("Stale pidfile exists - Removing it.\n", stderr);
        service->pidfile_made = true;
        return CEL_EXIT_OK;
    }
    fprintf(stderr, "ERROR: %s\n", err.message);
    if (code == CEL_EEXIST)
        fprintf(stderr, "Seems we're already running? (pid: %d)\n", pid);
    return code == CEL_EEXIST ? CEL_EXIT_CANTCREAT : CEL_EXIT_FAILURE;
}

static int take_rights_and_files(cel_service *service)
{
    cel_logging *logging = &service->cli->logging;
    cel_error err = {0};

    if (!become(service))
        return CEL_EXIT_FAILURE;
    if (service->logfile && cel__logging_open(logging, service->logfile, &err) != CEL_OK)
        return cel__cli_fail(&err);
    return take_pidfile(service);
}

int cel__service_start(cel_service *service)
{
    cel_error err = {0};
    int report = -1;
    int status;

    if (cel__args_flag(service->args, "detach") && cel__daemon_detach(&report, &err) != CEL_OK)
        return cel__cli_fail(&err);
    status = take_rights_and_files(service);
    if (report >= 0)
        cel__daemon_report(report, status);
    return status;
}

void cel__service_done(cel_service *service)
{
    if (service->pidfile_made)
        cel__pidfile_remove(service->pidfile);
    cel__free(service->node);
    cel__free(service->logfile);
    cel__free(service->pidfile);
}

/* ---- queues ---- */

void cel__service_queue_add(cel_service_queues *queues, cel_view name)
{
    for (size_t i = 0; i < queues->count; i++)
        if (cel__view_eq(queues->names[i], name))
            return;
    if (queues->count == CEL_SERVICE_QUEUES_MAX)
        queues->too_many = true;
    else if (name.len > 0)
        queues->names[queues->count++] = name;
}

static void drop_queue(cel_service_queues *queues, cel_view name)
{
    size_t kept = 0;

    for (size_t i = 0; i < queues->count; i++)
        if (!cel__view_eq(queues->names[i], name))
            queues->names[kept++] = queues->names[i];
    queues->count = kept;
}

static void each_name(cel_service_queues *queues,
                      const char *list,
                      void (*each)(cel_service_queues *queues, cel_view name))
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        size_t from = strspn(list, " ");

        if (from < len)
            each(queues, (cel_view){list + from, len - from});
        list += len + (list[len] == ',');
    }
}

void cel__service_queues_add(cel_service_queues *queues, const char *list)
{
    each_name(queues, list, cel__service_queue_add);
}

void cel__service_queues_drop(cel_service_queues *queues, const char *list)
{
    each_name(queues, list, drop_queue);
}

int cel__service_queues_check(const cel_service *service,
                              const cel_service_queues *queues,
                              const cel_app *app)
{
    cel_error err = {0};

    if (queues->too_many)
        return cel__cli_usage(service->cli, "At most %d queues are consumed.",
                              CEL_SERVICE_QUEUES_MAX);
    if (queues->count == 0)
        return cel__cli_usage(service->cli, "There is no queue left to consume.");
    for (size_t i = 0; i < queues->count; i++) {
        cel_queue_spec spec;

        if (cel__queue_find(&spec, app->config, queues->names[i], &err) != CEL_OK)
            return cel__cli_fail(&err);
    }
    return CEL_EXIT_OK;
}
