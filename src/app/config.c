/* config.c - values by setting, each with where it came from; a source never replaces a value
 * of one that goes before it. */
#include "app/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/coerce.h"
#include "app/pyread.h"
#include "app/settings.h"
#include "core/mem.h"

enum {
    MAX_UNKNOWN = 256
};

struct cel_config {
    json_t *values[CEL_SETTING_COUNT_OF]; /* owned, never NULL */
    unsigned char sources[CEL_SETTING_COUNT_OF];
    json_t *extra;   /* owned object: names of files that are no settings */
    json_t *unknown; /* owned array: those among them that the file does not use itself */
};

cel_code cel__config_new(cel_config **out, cel_error *err)
{
    cel_config *config = cel__calloc(1, sizeof *config);

    if (!config)
        goto fail;
    config->extra = json_object();
    config->unknown = json_array();
    if (!config->extra || !config->unknown)
        goto fail;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        config->values[i] = json_loads(cel__settings[i].value, JSON_DECODE_ANY, NULL);
        if (!config->values[i])
            goto fail;
    }
    *out = config;
    return CEL_OK;

fail:
    cel__config_free(config);
    return cel_error_set(err, CEL_ENOMEM, "no memory for the configuration");
}

void cel__config_free(cel_config *config)
{
    if (!config)
        return;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++)
        json_decref(config->values[i]);
    json_decref(config->extra);
    json_decref(config->unknown);
    cel__free(config);
}

/* Takes `value`. */
static void put(cel_config *config, int index, json_t *value, cel_config_source source)
{
    if (source < config->sources[index]) {
        json_decref(value);
        return;
    }
    json_decref(config->values[index]);
    config->values[index] = value;
    config->sources[index] = (unsigned char)source;
}

/* ---- files ---- */

/* What one file says: filled in whole before anything of it is taken. */
struct loading {
    json_t *values[CEL_SETTING_COUNT_OF]; /* owned; NULL: not in the file */
    const char *names[CEL_SETTING_COUNT_OF];
};

static cel_code
load_name(struct loading *loading, const cel_pyname *name, const char *file, cel_error *err)
{
    int index = cel__setting_find_any(cel__view(name->name));
    char where[160];
    json_t *value;

    if (index < 0)
        return CEL_OK;
    snprintf(where, sizeof where, "%.100s:%zu:%zu: ", file, name->line, name->column);
    cel_code code = cel__coerce(&value, cel__settings + index, name->value, where, err);
    if (code)
        return code;
    if (!loading->values[index]) {
        loading->values[index] = value;
        loading->names[index] = name->name;
        return CEL_OK;
    }
    bool same = json_equal(loading->values[index], value);
    json_decref(value);
    if (!same)
        return cel_error_set(err, CEL_ECONFIG, "%s%s and %s are the same setting and differ",
                             where, loading->names[index], name->name);
    return CEL_OK;
}

static void keep_unknown(cel_config *config, const cel_pyname *name)
{
    if (cel__setting_find_any(cel__view(name->name)) >= 0)
        return;
    json_object_set(config->extra, name->name, name->value);
    if (!name->used && name->name[0] != '_' && json_array_size(config->unknown) < MAX_UNKNOWN)
        json_array_append_new(config->unknown, json_string(name->name));
}

cel_code
cel__config_load_text(cel_config *config, const char *name, cel_view text, cel_error *err)
{
    cel_pyfile file;
    struct loading loading = {{NULL}, {NULL}};
    cel_code code = cel__pyread_file(&file, name, text, err);

    if (code)
        return code;
    for (size_t i = 0; i < file.count && code == CEL_OK; i++)
        code = load_name(&loading, file.names + i, name, err);
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        if (loading.values[i] && code == CEL_OK)
            put(config, i, loading.values[i], CEL_CONFIG_FILE);
        else
            json_decref(loading.values[i]);
    }
    for (size_t i = 0; i < file.count && code == CEL_OK; i++)
        keep_unknown(config, file.names + i);
    cel__pyfile_done(&file);
    return code;
}

static cel_code read_all(cel__buf *buf, FILE *file, const char *path, cel_error *err)
{
    for (;;) {
        char *room = cel__buf_reserve(buf, 4096);
        if (!room)
            return cel_error_set(err, CEL_ECONFIG, "%s: longer than 1 MiB", path);
        size_t len = fread(room, 1, 4096, file);
        buf->len += len;
        if (len < 4096)
            break;
    }
    if (ferror(file))
        return cel_error_set(err, CEL_EIO, "cannot read %s: %s", path, strerror(errno));
    return CEL_OK;
}

cel_code cel__config_load_file(cel_config *config, const char *path, cel_error *err)
{
    cel__buf buf = {.max = CEL_PYREAD_MAX + 8192};
    FILE *file = fopen(path, "re");

    if (!file)
        return cel_error_set(err, errno == ENOENT ? CEL_ENOENT : CEL_EIO, "cannot open %s: %s",
                             path, strerror(errno));
    cel_code code = read_all(&buf, file, path, err);
    fclose(file);
    if (code == CEL_OK)
        code = cel__config_load_text(config, path, cel__buf_view(&buf), err);
    cel__buf_done(&buf);
    return code;
}

/* ---- environment ---- */

/* Finds the setting that a variable is for, and how much this spelling weighs against others
 * for the same setting; -1 if none. */
static int find_variable(cel_view name, int *weight)
{
    char celery[80];
    int index;

    *weight = 1;
    if (cel__view_is(name, "BROKER_URL"))
        return CEL_SET_broker_url;
    if (cel__view_is(name, "RESULT_BACKEND"))
        return CEL_SET_result_backend;
    bool ours = name.len > 9 && memcmp(name.ptr, "CELERIAC_", 9) == 0;
    if (!ours && (name.len < 7 || memcmp(name.ptr, "CELERY", 6) != 0))
        return -1;
    if (!ours) { /* CELERY_, CELERYD_ and CELERYBEAT_, among them the old names */
        index = cel__setting_find_any(name);
        if (index >= 0)
            *weight = cel__settings[index].old && cel__view_is(name, cel__settings[index].old)
                          ? 2
                          : 3;
        return index;
    }
    *weight = 4;
    if (name.len - 9 + 8 > sizeof celery)
        return -1;
    snprintf(celery, sizeof celery, "CELERY_%.*s", (int)(name.len - 9), name.ptr + 9);
    return cel__setting_find_any(cel__view(celery));
}

cel_code cel__config_load_environment(cel_config *config, char *const *env, cel_error *err)
{
    int weights[CEL_SETTING_COUNT_OF] = {0};

    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        int weight;
        if (!equals || equals[1] == '\0')
            continue;
        int index = find_variable((cel_view){*env, (size_t)(equals - *env)}, &weight);
        if (index < 0 || weight < weights[index])
            continue;
        char where[120];
        json_t *value;
        snprintf(where, sizeof where, "environment variable %.*s: ", (int)(equals - *env),
                 *env);
        cel_code code =
            cel__coerce_text(&value, cel__settings + index, cel__view(equals + 1), where, err);
        if (code)
            return code;
        weights[index] = weight;
        put(config, index, value, CEL_CONFIG_ENVIRONMENT);
    }
    return CEL_OK;
}

/* ---- options ---- */

static cel_code find_option(int *index, const char *name, cel_error *err)
{
    *index = cel__setting_find_any(cel__view(name));
    if (*index >= 0)
        return CEL_OK;
    const char *suggestion = cel__setting_suggest(cel__view(name));
    return cel_error_set(err, CEL_ECONFIG, "there is no setting '%.80s'%s%s%s", name,
                         suggestion ? "; did you mean '" : "", suggestion ? suggestion : "",
                         suggestion ? "'?" : "");
}

cel_code cel__config_set(cel_config *config, const char *name, json_t *value, cel_error *err)
{
    int index;
    json_t *checked;
    cel_code code;

    if (!value)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the value of '%.80s'", name);
    code = find_option(&index, name, err);
    if (code == CEL_OK)
        code = cel__coerce(&checked, cel__settings + index, value, "", err);
    json_decref(value);
    if (code == CEL_OK)
        put(config, index, checked, CEL_CONFIG_OPTION);
    return code;
}

cel_code
cel__config_set_text(cel_config *config, const char *name, const char *text, cel_error *err)
{
    int index;
    json_t *value;
    cel_code code = find_option(&index, name, err);

    if (code == CEL_OK)
        code = cel__coerce_text(&value, cel__settings + index, cel__view(text), "", err);
    if (code == CEL_OK)
        put(config, index, value, CEL_CONFIG_OPTION);
    return code;
}

/* Writes the setting's name for the key of a word: lower case, '.' is '_', `worker` in front
 * of a leading one. False if there is no room. */
static bool read_key(char *out, size_t size, cel_view key)
{
    size_t len = 0;

    if (key.len > 0 && (key.ptr[0] == '.' || key.ptr[0] == '_')) {
        memcpy(out, "worker", 6);
        len = 6;
    }
    if (key.len + len >= size)
        return false;
    for (size_t i = 0; i < key.len; i++)
        out[len++] = key.ptr[i] == '.' ? '_' : (char)tolower((unsigned char)key.ptr[i]);
    out[len] = '\0';
    return true;
}

cel_code cel__config_set_word(cel_config *config, const char *word, cel_error *err)
{
    const char *equals = strchr(word, '=');
    char name[80];
    json_t *value;

    if (!equals || equals == word)
        return cel_error_set(err, CEL_ECONFIG, "'%.80s': name=value is expected", word);
    if (!read_key(name, sizeof name, (cel_view){word, (size_t)(equals - word)}))
        return cel_error_set(err, CEL_ECONFIG, "there is no setting '%.80s'", word);
    const char *text = equals + 1;
    const char *close = text[0] == '(' ? strchr(text, ')') : NULL;
    /* A tuple, as in a=(1, 2), is no cast: nothing follows it, or it is no word. */
    if (!close || close[1] == '\0' ||
        strspn(text + 1, "abcdefghijklmnopqrstuvwxyz") != (size_t)(close - text - 1))
        return cel__config_set_text(config, name, text, err);
    char where[120];
    snprintf(where, sizeof where, "%s: ", name);
    cel_code code = cel__coerce_cast(&value, (cel_view){text + 1, (size_t)(close - text - 1)},
                                     cel__view(close + 1), where, err);
    return code ? code : cel__config_set(config, name, value, err);
}

/* ---- reading ---- */

static int index_of(const char *name)
{
    int index = cel__setting_find(cel__view(name));

    assert(index >= 0);
    return index < 0 ? 0 : index;
}

const json_t *cel__config_at(const cel_config *config, int index)
{
    assert(index >= 0 && index < CEL_SETTING_COUNT_OF);
    return config->values[index];
}

const char *cel__config_string(const cel_config *config, const char *name)
{
    return json_string_value(config->values[index_of(name)]);
}

int64_t cel__config_int(const cel_config *config, const char *name)
{
    return json_integer_value(config->values[index_of(name)]);
}

double cel__config_number(const cel_config *config, const char *name)
{
    return json_number_value(config->values[index_of(name)]);
}

bool cel__config_bool(const cel_config *config, const char *name)
{
    return json_is_true(config->values[index_of(name)]);
}

int64_t cel__config_ms(const cel_config *config, const char *name)
{
    const json_t *value = config->values[index_of(name)];

    return json_is_number(value) ? llround(json_number_value(value) * 1000) : -1;
}

const json_t *cel__config_json(const cel_config *config, const char *name)
{
    int index = cel__setting_find(cel__view(name));

    return index >= 0 ? config->values[index] : json_object_get(config->extra, name);
}

cel_config_source cel__config_source(const cel_config *config, const char *name)
{
    return (cel_config_source)config->sources[index_of(name)];
}

bool cel__config_is_set(const cel_config *config, const char *name)
{
    return cel__config_source(config, name) != CEL_CONFIG_DEFAULT;
}

void cel__config_unknown(const cel_config *config,
                         void (*each)(void *user, const char *name, const char *suggestion),
                         void *user)
{
    for (size_t i = 0; i < json_array_size(config->unknown); i++) {
        const char *name = json_string_value(json_array_get(config->unknown, i));
        each(user, name, cel__setting_suggest(cel__view(name)));
    }
}

/* ---- showing ---- */

#define MASK "********"

static json_t *mask_url(const char *text)
{
    cel__buf buf = {0};
    json_t *masked = NULL;

    cel__url_mask_with(&buf, text, MASK);
    if (cel__buf_cstr(&buf))
        masked = json_stringn(buf.ptr, buf.len);
    cel__buf_done(&buf);
    return masked;
}

/* Returns a new value in which nothing is secret; NULL when out of memory. Values are at most
 * CEL_PYREAD_DEPTH deep, or as deep as jansson reads. */
static json_t *mask_value(const char *key, const json_t *value, bool secret)
{
    const char *name;
    json_t *member, *copy;
    size_t i;

    if (secret || (key && cel__setting_is_secret(key)))
        return json_is_null(value) ? json_null() : json_string(MASK);
    switch (json_typeof(value)) {
    case JSON_STRING:
        return strstr(json_string_value(value), "://") ? mask_url(json_string_value(value))
                                                       : json_incref((json_t *)value);
    case JSON_ARRAY:
        copy = json_array();
        json_array_foreach((json_t *)value, i, member)
            json_array_append_new(copy, mask_value(NULL, member, false));
        return copy;
    case JSON_OBJECT:
        copy = json_object();
        json_object_foreach((json_t *)value, name, member)
            json_object_set_new(copy, name, mask_value(name, member, false));
        return copy;
    default:
        return json_incref((json_t *)value);
    }
}

void cel__config_each_changed(const cel_config *config,
                              void (*each)(void *user, const char *name, const json_t *value),
                              void *user)
{
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        const cel_setting *setting = cel__settings + i;
        if (config->sources[i] == CEL_CONFIG_DEFAULT)
            continue;
        json_t *value =
            mask_value(setting->name, config->values[i], setting->flags & CEL_SETTING_SECRET);
        if (value)
            each(user, setting->name, value);
        json_decref(value);
    }
}
