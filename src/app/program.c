/* program.c - declaring programs, in C and in the configuration. What runs them is program_run.c.
 *
 *     task_programs = {
 *         'images.thumbnail': {'command': ['/usr/local/bin/thumbnail', '--quiet'], 'time_limit': 60, 'acks_late': True},
 *     }
 *
 * Replaced declarations stay in the app's list: a request that runs may have them. */
#include "app/program.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define GRACE_MS 10000
#define SETTING  "task_programs"

/* ---- life ---- */

static void free_strings(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        cel__free(strings[i]);
    cel__free(strings);
}

static void free_program(cel_program_entry *program)
{
    if (!program)
        return;
    free_strings(program->argv);
    free_strings(program->environment);
    cel__free(program->directory);
    cel__free(program);
}

void cel__programs_free(cel_program_entry *programs)
{
    while (programs) {
        cel_program_entry *next = programs->next;

        free_program(programs);
        programs = next;
    }
}

/* Copies a NULL-terminated array (NULL: an empty one); NULL when out of memory. */
static char **copy_strings(const char *const *strings)
{
    size_t count = 0;
    char **copy;

    while (strings && strings[count])
        count++;
    copy = cel__calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = cel__strdup(strings[i]);
        if (!copy[i]) {
            free_strings(copy);
            return NULL;
        }
    }
    return copy;
}

static cel_program_entry *make_program(const char *const *argv, const cel_program_options *o)
{
    cel_program_entry *program = cel__calloc(1, sizeof *program);

    if (!program)
        return NULL;
    program->argv = copy_strings(argv);
    program->environment = copy_strings(o->environment);
    program->directory = cel__strdup(o->directory);
    program->text_result = o->text_result;
    program->grace_ms = o->grace_ms ? o->grace_ms : GRACE_MS;
    if (program->argv && program->environment && (!o->directory || program->directory))
        return program;
    free_program(program);
    return NULL;
}

/* ---- from C ---- */

static cel_code check_program(const char *name,
                              const char *const *argv,
                              const cel_program_options *o,
                              cel_error *err)
{
    if (!argv || !argv[0] || !argv[0][0])
        return cel_error_set(err, CEL_EINVAL, "task '%s' names no program", name ? name : "");
    for (size_t i = 0; o->environment && o->environment[i]; i++)
        if (!strchr(o->environment[i], '=') || o->environment[i][0] == '=')
            return cel_error_set(err, CEL_EINVAL, "task '%s': '%.40s' is no NAME=value", name,
                                 o->environment[i]);
    if (o->grace_ms < 0 || o->grace_ms > CEL_MAX_MS)
        return cel_error_set(err, CEL_EINVAL, "task '%s': grace_ms is out of range", name);
    return CEL_OK;
}

cel_code cel_program_register(cel_app *app,
                              const char *name,
                              const char *const *argv,
                              const cel_program_options *options,
                              cel_error *err)
{
    cel_program_options given = {.size = sizeof given};
    cel_program_entry *program;
    cel_code code;

    if (!app)
        return cel_error_set(err, CEL_EINVAL, "a program needs an app");
    if (options)
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    code = check_program(name, argv, &given, err);
    if (code != CEL_OK)
        return code;
    program = make_program(argv, &given);
    if (!program)
        return cel_error_set(err, CEL_ENOMEM, "no memory for task '%s'", name);
    code = cel__registry_add(app->registry, name, cel__program_run, given.task, err);
    if (code != CEL_OK) {
        free_program(program);
        return code;
    }
    program->next = app->programs;
    app->programs = program;
    cel__registry_find(app->registry, cel__view(name))->program = program;
    return CEL_OK;
}

void cel_program_declare(cel_app *app,
                         const char *name,
                         const char *const *argv,
                         const cel_program_options *options)
{
    cel_error err;

    if (cel_program_register(app, name, argv, options, &err) != CEL_OK &&
        app->module_error.code == CEL_OK)
        app->module_error = err;
}

/* ---- from the configuration ---- */

enum value_kind {
    KIND_SECONDS,  /* a number; int64_t in milliseconds */
    KIND_INT,      /* int */
    KIND_TRISTATE, /* True, False; int */
    KIND_TEXT,     /* const char *; a view into the configuration */
};

/* What a declaration may say of its task. */
static const struct {
    const char *name;
    enum value_kind kind;
    size_t offset; /* in cel_task_options */
} task_options[] = {
    {"acks_late", KIND_TRISTATE, offsetof(cel_task_options, acks_late)},
    {"acks_on_failure_or_timeout", KIND_TRISTATE,
     offsetof(cel_task_options, acks_on_failure_or_timeout)},
    {"autoretry_for", KIND_TEXT, offsetof(cel_task_options, autoretry_for)},
    {"compression", KIND_TEXT, offsetof(cel_task_options, compression)},
    {"default_retry_delay", KIND_SECONDS, offsetof(cel_task_options, default_retry_delay_ms)},
    {"dont_autoretry_for", KIND_TEXT, offsetof(cel_task_options, dont_autoretry_for)},
    {"expires", KIND_SECONDS, offsetof(cel_task_options, expires_ms)},
    {"ignore_result", KIND_TRISTATE, offsetof(cel_task_options, ignore_result)},
    {"max_retries", KIND_INT, offsetof(cel_task_options, max_retries)},
    {"priority", KIND_INT, offsetof(cel_task_options, priority)},
    {"queue", KIND_TEXT, offsetof(cel_task_options, queue)},
    {"rate_limit", KIND_TEXT, offsetof(cel_task_options, rate_limit)},
    {"reject_on_worker_lost", KIND_TRISTATE, offsetof(cel_task_options, reject_on_worker_lost)},
    {"retry_backoff", KIND_SECONDS, offsetof(cel_task_options, retry_backoff_ms)},
    {"retry_backoff_max", KIND_SECONDS, offsetof(cel_task_options, retry_backoff_max_ms)},
    {"retry_jitter", KIND_TRISTATE, offsetof(cel_task_options, retry_jitter)},
    {"sensitive", KIND_TEXT, offsetof(cel_task_options, sensitive)},
    {"serializer", KIND_TEXT, offsetof(cel_task_options, serializer)},
    {"soft_time_limit", KIND_SECONDS, offsetof(cel_task_options, soft_time_limit_ms)},
    {"store_errors_even_if_ignored", KIND_TRISTATE,
     offsetof(cel_task_options, store_errors_even_if_ignored)},
    {"throws", KIND_TEXT, offsetof(cel_task_options, throws)},
    {"time_limit", KIND_SECONDS, offsetof(cel_task_options, time_limit_ms)},
    {"track_started", KIND_TRISTATE, offsetof(cel_task_options, track_started)},
};

static bool to_ms(int64_t *ms, const json_t *value)
{
    double seconds = json_number_value(value);

    if (!json_is_number(value) || !(seconds >= 0 && seconds < 1e9))
        return false;
    *ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

static bool set_option(void *at, enum value_kind kind, const json_t *value)
{
    json_int_t number = json_integer_value(value);

    switch (kind) {
    case KIND_SECONDS:
        return to_ms(at, value);
    case KIND_INT:
        if (!json_is_integer(value) || number < INT16_MIN || number > INT32_MAX)
            return false;
        *(int *)at = (int)number;
        return true;
    case KIND_TRISTATE:
        *(int *)at = json_is_true(value) ? 1 : -1;
        return json_is_boolean(value);
    case KIND_TEXT:
        *(const char **)at = json_string_value(value);
        return json_is_string(value);
    }
    return false;
}

/* A declaration while it is read. */
struct reading {
    const char **argv, **environment; /* owned arrays of views and of `texts` */
    char **texts;                     /* owned: NAME=value */
    cel_task_options task;
    cel_program_options options;
};

static void reading_done(struct reading *reading)
{
    cel__free(reading->argv);
    cel__free(reading->environment);
    free_strings(reading->texts);
}

/* A list of strings, or one. */
static bool read_command(struct reading *reading, const json_t *value)
{
    size_t count = json_is_string(value) ? 1 : json_array_size(value);

    reading->argv = cel__calloc(count + 1, sizeof *reading->argv);
    for (size_t i = 0; reading->argv && i < count; i++) {
        reading->argv[i] =
            json_string_value(json_is_string(value) ? value : json_array_get(value, i));
        if (!reading->argv[i])
            return false;
    }
    return reading->argv && count > 0;
}

static bool read_environment(struct reading *reading, const json_t *value)
{
    size_t count = json_object_size(value), i = 0;
    const char *name;
    json_t *text;

    reading->environment = cel__calloc(count + 1, sizeof *reading->environment);
    reading->texts = cel__calloc(count + 1, sizeof *reading->texts);
    if (!json_is_object(value) || !reading->environment || !reading->texts)
        return false;
    json_object_foreach((json_t *)value, name, text)
    {
        cel__buf pair = {0};

        if (!json_is_string(text))
            return false;
        cel__buf_addf(&pair, "%s=%s", name, json_string_value(text));
        reading->texts[i] = pair.failed ? NULL : cel__strdup(cel__buf_cstr(&pair));
        cel__buf_done(&pair);
        if (!reading->texts[i])
            return false;
        reading->environment[i] = reading->texts[i];
        i++;
    }
    reading->options.environment = reading->environment;
    return true;
}

static bool read_member(struct reading *reading, const char *name, const json_t *value)
{
    if (strcmp(name, "command") == 0)
        return !reading->argv && read_command(reading, value);
    if (strcmp(name, "environment") == 0)
        return !reading->environment && read_environment(reading, value);
    if (strcmp(name, "directory") == 0)
        return set_option(&reading->options.directory, KIND_TEXT, value);
    if (strcmp(name, "grace") == 0)
        return to_ms(&reading->options.grace_ms, value);
    if (strcmp(name, "text_result") == 0) {
        reading->options.text_result = json_is_true(value);
        return json_is_boolean(value);
    }
    for (size_t i = 0; i < sizeof task_options / sizeof task_options[0]; i++)
        if (strcmp(name, task_options[i].name) == 0)
            return set_option((char *)&reading->task + task_options[i].offset,
                              task_options[i].kind, value);
    return false;
}

static cel_code
configure_one(cel_app *app, const char *task, const json_t *declaration, cel_error *err)
{
    struct reading reading = {.task = {.size = sizeof reading.task},
                              .options = {.size = sizeof reading.options}};
    cel_error why = {0};
    cel_code code = CEL_OK;
    const char *name;
    json_t *value;

    reading.options.task = &reading.task;
    if (json_is_object(declaration)) {
        json_object_foreach((json_t *)declaration, name, value)
        {
            if (code == CEL_OK && !read_member(&reading, name, value))
                code = cel_error_set(err, CEL_ECONFIG,
                                     SETTING ": '%.80s': '%.40s' is no option of a program, "
                                             "or its value is none",
                                     task, name);
        }
    } else if (!read_command(&reading, declaration)) {
        code = cel_error_set(err, CEL_ECONFIG,
                             SETTING ": '%.80s' is no command and no dictionary", task);
    }
    if (code == CEL_OK &&
        cel_program_register(app, task, reading.argv, &reading.options, &why) != CEL_OK)
        code = cel_error_set(err, why.code == CEL_ENOMEM ? CEL_ENOMEM : CEL_ECONFIG,
                             SETTING ": %.180s", why.message);
    reading_done(&reading);
    return code;
}

cel_code cel__programs_configure(cel_app *app, cel_error *err)
{
    const json_t *programs = cel__config_json(app->config, SETTING);
    cel_code code = CEL_OK;
    const char *task;
    json_t *declaration;

    json_object_foreach((json_t *)programs, task, declaration)
    {
        if (code == CEL_OK)
            code = configure_one(app, task, declaration, err);
    }
    return code;
}
