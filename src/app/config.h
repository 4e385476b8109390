/* config.h - an app's settings: one table, many sources.
 *
 * Each setting is a line of the table in settings.h: name, type, default, old name, meaning; help, docs and tests follow
 * from it. Precedence: options and command line, then environment, then file, then default. Any thread once loaded. */
#ifndef CEL_APP_CONFIG_H
#define CEL_APP_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"

typedef struct cel_config cel_config;

typedef enum cel_config_source {
    CEL_CONFIG_DEFAULT,
    CEL_CONFIG_FILE,
    CEL_CONFIG_ENVIRONMENT,
    CEL_CONFIG_OPTION,
} cel_config_source;

/* An empty configuration: all defaults. */
cel_code cel__config_new(cel_config **out, cel_error *err);
void cel__config_free(cel_config *config);

/* Reads a celeryconfig.py of assignments. Never executes it. CEL_ECONFIG: "FILE:LINE:COLUMN: why". CEL_ENOENT if there is no such file. Lower-case and
 * old upper-case names are taken, unknown ones are kept and listed by cel__config_unknown(). */
cel_code cel__config_load_file(cel_config *config, const char *path, cel_error *err);

/* The same from memory; `name` stands for the file in messages. */
cel_code cel__config_load_text(cel_config *config, const char *name, cel_view text, cel_error *err);

/* Takes CELERY_BROKER_URL (and BROKER_URL), CELERY_RESULT_BACKEND, ... from the environment `env` (as environ). */
cel_code cel__config_load_environment(cel_config *config, char *const *env, cel_error *err);

/* One "name=value" word of the command line: ns.key or ns_key, `.key` = worker, with an optional cast: (int)5, (json){...}. */
cel_code cel__config_set_word(cel_config *config, const char *word, cel_error *err);

/* Sets a value from an option (source CEL_CONFIG_OPTION), checked against the setting's type. Takes value. */
cel_code cel__config_set(cel_config *config, const char *name, json_t *value, cel_error *err);

/* Values in force. The name must be in the table (asserted). Strings are views, valid until the setting is changed; NULL for None. */
const char *cel__config_string(const cel_config *config, const char *name);
int64_t cel__config_int(const cel_config *config, const char *name);
bool cel__config_bool(const cel_config *config, const char *name);
/* Seconds (int, float, timedelta) as milliseconds; -1 for None. */
int64_t cel__config_ms(const cel_config *config, const char *name);
/* Borrowed; json_null() for None. Queue and Exchange objects are JSON objects with "__class__". NULL only if there is no such setting. */
const json_t *cel__config_json(const cel_config *config, const char *name);
cel_config_source cel__config_source(const cel_config *config, const char *name);
bool cel__config_is_set(const cel_config *config, const char *name); /* not the default */

/* Calls `each` for every setting that differs from its default, sorted by name, secrets masked (for `report`). */
void cel__config_each_changed(const cel_config *config, void (*each)(void *user, const char *name, const json_t *value), void *user);

/* Appends a URL with its password replaced by **, as Celery shows it. */
void cel__url_mask(cel__buf *buf, const char *url);

#endif
