/* config.h - an app's settings: one table, many sources.
 *
 * Each setting is a line of the table in settings.h: name, type, default, old name, meaning;
 * help, docs and tests follow from it. Precedence: options and command line, then
 * environment, then file, then default, whatever the order in which they are loaded. Any
 * thread once loaded. */
#ifndef CEL_APP_CONFIG_H
#define CEL_APP_CONFIG_H

#include <stdint.h>

#include <jansson.h>

#include "app/url.h"
#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

typedef struct cel_config cel_config;

typedef enum cel_config_source {
    CEL_CONFIG_DEFAULT,
    CEL_CONFIG_FILE,
    CEL_CONFIG_ENVIRONMENT,
    CEL_CONFIG_OPTION,
} cel_config_source;

/* An empty configuration: all defaults. */
cel_code cel__config_new(cel_config **out, cel_error *err);

/* NULL is a no-op. */
void cel__config_free(cel_config *config);

/* Reads a celeryconfig.py of assignments (see pyread.h). Never executes it. CEL_ECONFIG:
 * "FILE:LINE:COLUMN: why". CEL_ENOENT if there is no such file. Lower-case and old upper-case
 * names are taken, and CELERY_ with the new name in upper case; two of these for one setting
 * must agree. Unknown names are kept and listed by cel__config_unknown(). On failure nothing
 * of the file is taken. */
cel_code cel__config_load_file(cel_config *config, const char *path, cel_error *err);

/* The same from memory; `name` stands for the file in messages. */
cel_code
cel__config_load_text(cel_config *config, const char *name, cel_view text, cel_error *err);

/* Takes settings from the environment `env` (as environ; NULL for an empty one): CELERIAC_
 * and the setting's name in upper case, CELERY_ and that, the old name, BROKER_URL and
 * RESULT_BACKEND, in this order if several are there. An empty value is as if not there.
 * Lists are separated by commas or, as dictionaries, JSON or Python. CEL_ECONFIG names the
 * variable. */
cel_code cel__config_load_environment(cel_config *config, char *const *env, cel_error *err);

/* One "name=value" word of the command line: ns.key or ns_key, `.key` = worker, any case,
 * with an optional cast: (int)5, (json){...}. CEL_ECONFIG; unknown names too. */
cel_code cel__config_set_word(cel_config *config, const char *word, cel_error *err);

/* Sets a value from an option (source CEL_CONFIG_OPTION), checked against the setting's type.
 * Takes value. CEL_ECONFIG for a wrong type and for an unknown name. */
cel_code cel__config_set(cel_config *config, const char *name, json_t *value, cel_error *err);

/* Sets a value from text as the environment does, as an option. */
cel_code
cel__config_set_text(cel_config *config, const char *name, const char *text, cel_error *err);

/* Values in force. The name must be in the table (asserted). Strings are views, valid until
 * the setting is changed; NULL for None and for what is no string. Integers are 0 and
 * booleans false for None: ask cel__config_json() where that makes a difference. */
const char *cel__config_string(const cel_config *config, const char *name);
int64_t cel__config_int(const cel_config *config, const char *name);
double cel__config_number(const cel_config *config, const char *name);
bool cel__config_bool(const cel_config *config, const char *name);

/* Seconds (int, float, timedelta) as milliseconds; -1 for None. */
int64_t cel__config_ms(const cel_config *config, const char *name);

/* Borrowed, until the setting is changed; json_null() for None. Queue and Exchange objects
 * are JSON objects with "__class__". Also finds unknown names that a file has set. NULL if
 * there is neither. */
const json_t *cel__config_json(const cel_config *config, const char *name);

/* The same by index, CEL_SET_... of settings.h, for hot paths. Never NULL. */
const json_t *cel__config_at(const cel_config *config, int index);

cel_config_source cel__config_source(const cel_config *config, const char *name);
bool cel__config_is_set(const cel_config *config, const char *name); /* not the default */

/* Calls `each` for every setting that differs from its default, sorted by name, secrets
 * masked with eight asterisks as Celery does (for `report`). Values are borrowed during the
 * call. */
void cel__config_each_changed(const cel_config *config,
                              void (*each)(void *user, const char *name, const json_t *value),
                              void *user);

/* Calls `each` for every name of files that is no setting and that the file does not use
 * itself, in order. `suggestion` is the name that was probably meant, or NULL. The first 256
 * are kept. */
void cel__config_unknown(const cel_config *config,
                         void (*each)(void *user, const char *name, const char *suggestion),
                         void *user);

/* Appends the URL of the embedded broker and result store where nothing is configured: the file
 * celeriac.db of the working directory if it exists or can be created there, else
 * celeriac/celeriac.db in $XDG_STATE_HOME (~/.local/state), whose folder is made. The path is
 * absolute, so that a later chdir() changes nothing. CEL_EIO: there is no such place. */
cel_code cel__default_url(cel__buf *buf, cel_error *err);

/* The same with the working directory and these variables given; NULL where unset. */
cel_code cel__default_url_in(cel__buf *buf,
                             const char *folder,
                             const char *state_home,
                             const char *home,
                             cel_error *err);

#endif
