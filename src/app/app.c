/* app.c - an app's life, and its settings seen from outside. */
#include "app/app.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/builtins.h"
#include "app/client.h"
#include "app/declare.h"
#include "app/eager.h"
#include "app/flow.h"
#include "app/program.h"
#include "app/signals.h"
#include "celeriac/task.h"
#include "core/buf.h"
#include "core/id.h"
#include "core/mem.h"

#define CONFIG_FILE "celeryconfig.py"

/* ---- configuration ---- */

static cel_code set_text(cel_config *config, const char *name, const char *text, cel_error *err)
{
    json_t *value;

    if (!text)
        return CEL_OK;
    value = json_string(text);
    if (!value)
        return cel_error_set(err, CEL_ECONFIG, "%s is no UTF-8", name);
    return cel__config_set(config, name, value, err);
}

/* CELERY_CONFIG_MODULE is a path or, as in Python, the dotted name of a module. */
static cel_code load_named_file(cel_config *config, const char *name, cel_error *err)
{
    cel__buf path = {0};
    const char *text = name;
    size_t len = strlen(name);
    cel_code code;

    if (!strchr(name, '/') && !(len > 3 && strcmp(name + len - 3, ".py") == 0)) {
        for (size_t i = 0; i < len; i++)
            cel__buf_add_byte(&path, name[i] == '.' ? '/' : name[i]);
        cel__buf_add_str(&path, ".py");
        text = cel__buf_cstr(&path);
    }
    code = text ? cel__config_load_file(config, text, err) : cel__buf_check(&path, err);
    cel__buf_done(&path);
    return code;
}

static cel_code load_file(cel_config *config, const cel_app_options *o, cel_error *err)
{
    const char *named = o->ignore_environment ? NULL : getenv("CELERY_CONFIG_MODULE");

    if (o->config)
        return load_named_file(config, o->config, err);
    if (named && named[0])
        return load_named_file(config, named, err);
    if (o->ignore_environment || access(CONFIG_FILE, F_OK) != 0)
        return CEL_OK;
    return cel__config_load_file(config, CONFIG_FILE, err);
}

static cel_code load_config(cel_config *config, const cel_app_options *o, cel_error *err)
{
    cel_code code = load_file(config, o, err);

    if (code == CEL_OK && !o->ignore_environment)
        code = cel__config_load_environment(config, environ, err);
    for (size_t i = 0; code == CEL_OK && o->settings && o->settings[i]; i++)
        code = cel__config_set_word(config, o->settings[i], err);
    if (code == CEL_OK)
        code = set_text(config, "broker_url", o->broker, err);
    if (code == CEL_OK)
        code = set_text(config, "result_backend", o->backend, err);
    return code;
}

/* ---- URLs ---- */

static bool has_scheme(const char *url, const char *scheme)
{
    size_t len = strlen(scheme);

    return strncmp(url, scheme, len) == 0 && (url[len] == ':' || url[len] == '\0');
}

/* A broker URL may be several servers to fail over to, joined with ';': AMQP gets all, as do sentinels, another broker the first. */
static char *servers_of(const char *text)
{
    const char *end = strchr(text, ';');
    bool lists = has_scheme(text, "amqp") || has_scheme(text, "amqps") || has_scheme(text, "pyamqp") ||
                 has_scheme(text, "librabbitmq") || has_scheme(text, "sentinel");

    if (end && strstr(end, "://") && !lists)
        return cel__memdup(text, (size_t)(end - text));
    return cel__strdup(text);
}

static cel_code choose_urls(cel_app *app, cel_error *err)
{
    const char *configured = cel__config_string(app->config, "broker_url");
    const char *backend = cel__config_string(app->config, "result_backend");
    cel__buf url = {0};
    cel_code code = CEL_OK;

    if (configured && configured[0]) {
        app->broker_url = servers_of(configured);
    } else {
        code = cel__default_url(&url, err);
        if (code == CEL_OK)
            app->broker_url = cel__buf_detach(&url, NULL);
    }
    cel__buf_done(&url);
    if (code != CEL_OK)
        return code;
    if (!app->broker_url)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an app");
    if (backend && has_scheme(backend, "disabled"))
        return CEL_OK;
    if (!backend &&
        (has_scheme(app->broker_url, "sqlite") || has_scheme(app->broker_url, "memory")))
        backend = app->broker_url;
    app->backend_url = cel__strdup(backend);
    if (backend && !app->backend_url)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an app");
    return CEL_OK;
}

const char *cel__app_broker_url(const cel_app *app)
{
    return app->broker_url;
}

const char *cel__app_backend_url(const cel_app *app)
{
    return app->backend_url;
}

bool cel__app_listens(const cel_app *app)
{
    return app->backend_url && has_scheme(app->backend_url, "rpc");
}

/* ---- life ---- */

static void set_names(cel_app *app)
{
    static atomic_uint_fast64_t serials = 1;
    char host[64];

    app->pid = (int)getpid();
    app->serial = atomic_fetch_add(&serials, 1);
    if (gethostname(host, sizeof host) != 0)
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(app->origin, sizeof app->origin, "gen%d@%s", app->pid, host);
    snprintf(app->eager_url, sizeof app->eager_url, "memory://eager-%llu",
             (unsigned long long)app->serial);
    cel__uuid4(app->reply_to);
}

static cel_code fill_app(cel_app *app, const cel_app_options *o, cel_error *err)
{
    cel_code code;

    set_names(app);
    app->clock = cel__clock_system();
    app->log = (cel_log){
        .level = o->log_level ? o->log_level : CEL_LOG_WARNING,
        .write = o->log,
        .user = o->log_user,
    };
    app->name = cel__strdup(o->name ? o->name : "main");
    if (!app->name)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an app");
    code = cel__config_new(&app->config, err);
    if (code == CEL_OK)
        code = cel__registry_new(&app->registry, err);
    if (code == CEL_OK)
        code = load_config(app->config, o, err);
    if (code == CEL_OK)
        code = choose_urls(app, err);
    if (code == CEL_OK)
        code = cel__codings_read(&app->codings, app->config, cel__clock_wall_us(app->clock),
                                 err);
    if (code == CEL_OK)
        code = cel__builtins_register(app, err);
    if (code == CEL_OK)
        code = cel__programs_configure(app, err);
    return code;
}

cel_code cel_app_new(cel_app **out, const cel_app_options *options, cel_error *err)
{
    cel_app_options o = {0};
    cel_app *app;
    cel_code code;

    if (!out)
        return cel_error_set(err, CEL_EINVAL, "nowhere to put the app");
    if (options && options->size > 0)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    app = cel__calloc(1, sizeof *app);
    if (!app)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an app");
    pthread_mutex_init(&app->client_lock, NULL);
    pthread_mutex_init(&app->declare_lock, NULL);
    pthread_mutex_init(&app->beat_lock, NULL);
    code = fill_app(app, &o, err);
    if (code == CEL_OK)
        *out = app;
    else
        cel_app_free(app);
    return code;
}

/* In a forked child the loop and the connections are the parent's: they are left alone. */
void cel_app_free(cel_app *app)
{
    if (!app)
        return;
    if (app->pid == (int)getpid()) {
        cel__client_free(app->client);
        cel__eager_free(app->eager);
    }
    cel__registry_free(app->registry);
    cel__config_free(app->config);
    cel__codings_done(&app->codings);
    cel__declarations_free(app->declarations);
    cel__flows_free(app->flows);
    cel__programs_free(app->programs);
    cel__signals_free(app->signals);
    json_decref(app->beat_entries);
    pthread_mutex_destroy(&app->beat_lock);
    pthread_mutex_destroy(&app->declare_lock);
    pthread_mutex_destroy(&app->client_lock);
    cel__free(app->broker_url);
    cel__free(app->backend_url);
    cel__free(app->name);
    cel__free(app);
}

cel_code cel__app_check_process(const cel_app *app, cel_error *err)
{
    if (app->pid == (int)getpid())
        return CEL_OK;
    return cel_error_set(err, CEL_EINVAL,
                         "the app belongs to process %d, which forked this one; inside a task "
                         "send with cel_request_apply(), elsewhere make an app of your own",
                         app->pid);
}

json_t *cel_app_setting(cel_app *app, const char *name)
{
    const json_t *value;

    if (!app || !name)
        return NULL;
    value = cel__config_json(app->config, name);
    return value ? json_incref((json_t *)value) : NULL;
}
