/* app.h - the app: configuration, the tasks it knows, and its connections to broker and result store.
 *
 * One app may be used by many threads at once. It starts no thread of its own: a thread that waits does the I/O for all that
 * wait. After fork() an app belongs to the parent alone; every call in the child fails with CEL_EINVAL. */
#ifndef CELERIAC_APP_H
#define CELERIAC_APP_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "celeriac/log.h"

CEL_BEGIN_DECLS

typedef struct cel_app cel_app;

/* Zero means the default everywhere. Strings are copied. */
typedef struct cel_app_options {
    size_t size;               /* sizeof(cel_app_options) */
    const char *name;          /* shown in the banner; default "main" */
    const char *broker;        /* URL; beats every other source of `broker_url` */
    const char *backend;       /* URL of the result store, likewise */
    const char *config;        /* path of a celeryconfig.py; default: the environment's CELERY_CONFIG_MODULE, else celeryconfig.py in the
                                * working directory, if there is one */
    const char *const *settings; /* "name=value", NULL-terminated: beats environment and file */
    bool ignore_environment;   /* read no environment variables and look for no file */
    cel_log_fn log;            /* NULL: nothing is logged */
    void *log_user;
    cel_log_level log_level;   /* 0: CEL_LOG_WARNING */
} cel_app_options;

#define CEL_APP_OPTIONS_INIT                                                                     \
    {                                                                                            \
        sizeof(cel_app_options), NULL, NULL, NULL, NULL, NULL, false, NULL, NULL,                \
            (cel_log_level)0                                                                     \
    }

/* CEL_APP_OPTIONS(.broker = "amqp://") in C. */
#define CEL_APP_OPTIONS(...) (&(cel_app_options){.size = sizeof(cel_app_options), __VA_ARGS__})

/* Makes an app from the options (NULL: all defaults) and the configuration; connects to nothing yet. The caller owns *out
 * and frees it with cel_app_free(). CEL_ECONFIG: file, line and column are in the message. */
CEL_API cel_code cel_app_new(cel_app **out, const cel_app_options *options, cel_error *err);

/* Closes the connections and frees the app. No other thread may use it any more; results taken from it must have been
 * freed. NULL is a no-op. */
CEL_API void cel_app_free(cel_app *app);

/* Loads a task module as `-A` does: a path with a slash as given; else NAME, NAME.so or libNAME.so in the working directory, then in the
 * folders of CELERIAC_PATH (colon-separated). Its CEL_MODULE function registers tasks. CEL_EMODULE says why not, and
 * where it was looked for. Not undone by cel_app_free(): code that may be running is never unloaded. */
CEL_API cel_code cel_app_load(cel_app *app, const char *module, cel_error *err);

/* Returns a setting's value in force as a new reference (json_decref() it), NULL if there is no such setting. Names are the new,
 * lower-case ones: "task_default_queue". */
CEL_API json_t *cel_app_setting(cel_app *app, const char *name);

/* Any thread. The version of the library, "0.1.0". */
CEL_API const char *cel_version(void);

CEL_END_DECLS

#endif
