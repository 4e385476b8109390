/* entry.c - see entry.h.
 *
 * The key of a record is a UUID of version 5 (SHA-1) of the default queue, the entry's name and its task: two applications on one
 * broker keep apart by their default queue; another schedule or other arguments are the same entry. */
#include "beat/entry.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

/* The name space of our UUIDs: a random UUID, fixed once. */
static const unsigned char space[16] = {0x4c, 0x1e, 0x9b, 0x07, 0x5d, 0x2a, 0x4f, 0x63,
                                        0x8e, 0x11, 0xb2, 0x7a, 0x90, 0x3d, 0xc6, 0x58};

static void write_uuid5(char out[CEL_ENTRY_KEY_LEN + 1], const cel__buf *text)
{
    unsigned char d[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;

    EVP_Digest(text->ptr, text->len, d, &len, EVP_sha1(), NULL);
    d[6] = (unsigned char)((d[6] & 0x0f) | 0x50);
    d[8] = (unsigned char)((d[8] & 0x3f) | 0x80);
    snprintf(out, CEL_ENTRY_KEY_LEN + 1,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1],
             d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14],
             d[15]);
}

static cel_code write_key(cel_entry *entry, const cel_app *app, cel_error *err)
{
    const char *scope = cel__config_string(app->config, "task_default_queue");
    cel__buf text = {0};
    cel_code code;

    cel__buf_add(&text, space, sizeof space);
    cel__buf_add_str(&text, scope ? scope : "");
    cel__buf_add_byte(&text, '\0');
    cel__buf_add_str(&text, entry->name);
    cel__buf_add_byte(&text, '\0');
    cel__buf_add_str(&text, entry->task);
    code = cel__buf_check(&text, err);
    if (code == CEL_OK)
        write_uuid5(entry->key, &text);
    cel__buf_done(&text);
    return code;
}

void cel__entry_task_id(char out[CEL_ENTRY_KEY_LEN + 1], const cel_entry *entry, int64_t due_us)
{
    char bytes[sizeof space + CEL_ENTRY_KEY_LEN + 24];
    cel__buf text = {.ptr = bytes, .cap = sizeof bytes};

    memcpy(bytes, space, sizeof space);
    text.len =
        sizeof space + (size_t)snprintf(bytes + sizeof space, sizeof bytes - sizeof space,
                                        "%s@%lld", entry->key, (long long)due_us);
    write_uuid5(out, &text);
}

/* ---- reading ---- */

static cel_code refuse(cel_error *err, const char *name, const char *why)
{
    return cel_error_set(err, CEL_ECONFIG, "beat_schedule: '%.60s': %s", name, why);
}

static cel_code
check_source(const char *name, const json_t *source, const char **task, cel_error *err)
{
    static const char *const members[] = {"task",    "schedule", "args", "kwargs",
                                          "options", "relative", NULL};
    const char *key;
    json_t *value;
    const json_t *args = json_object_get(source, "args");
    const json_t *kwargs = json_object_get(source, "kwargs");
    const json_t *options = json_object_get(source, "options");

    if (!json_is_object(source))
        return refuse(err, name, "a dictionary is expected");
    json_object_foreach((json_t *)(uintptr_t)source, key, value)
    {
        size_t i = 0;

        while (members[i] && strcmp(members[i], key) != 0)
            i++;
        if (!members[i])
            return cel_error_set(err, CEL_ECONFIG, "beat_schedule: '%.60s': '%.40s' is unknown",
                                 name, key);
    }
    *task = json_string_value(json_object_get(source, "task"));
    if (!*task || !**task ||
        strlen(*task) != json_string_length(json_object_get(source, "task")))
        return refuse(err, name, "'task' is no name of a task");
    if (args && !json_is_null(args) && !json_is_array(args))
        return refuse(err, name, "'args' is no list");
    if (kwargs && !json_is_null(kwargs) && !json_is_object(kwargs))
        return refuse(err, name, "'kwargs' is no dictionary");
    if (options && !json_is_null(options) && !json_is_object(options))
        return refuse(err, name, "'options' is no dictionary");
    return CEL_OK;
}

cel_code cel__entry_new(
    cel_entry **out, const cel_app *app, const char *name, json_t *source, cel_error *err)
{
    cel_schedule schedule;
    cel_entry *entry;
    cel_error why = {0};
    const char *task = NULL;
    cel_code code = check_source(name, source, &task, err);

    if (code != CEL_OK)
        return code;
    if (cel__schedule_load(&schedule, json_object_get(source, "schedule"),
                           json_is_true(json_object_get(source, "relative")), &why) != CEL_OK)
        return refuse(err, name, why.message);
    entry = cel__calloc(1, sizeof *entry);
    if (!entry)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an entry of beat");
    entry->source = json_incref(source);
    entry->task = task;
    entry->schedule = schedule;
    entry->heap_at = CEL_ENTRY_NO_HEAP;
    entry->name = cel__strdup(name);
    code = entry->name ? write_key(entry, app, err)
                       : cel_error_set(err, CEL_ENOMEM, "no memory for an entry of beat");
    if (code != CEL_OK) {
        cel__entry_free(entry);
        return code;
    }
    *out = entry;
    return CEL_OK;
}

void cel__entry_free(cel_entry *entry)
{
    if (!entry)
        return;
    json_decref(entry->source);
    cel__free(entry->name);
    cel__free(entry);
}

void cel__entry_replace(cel_entry *entry, cel_entry *fresh)
{
    json_t *old = entry->source;

    if (strcmp(entry->key, fresh->key) != 0)
        entry->known = false;
    entry->source = fresh->source;
    fresh->source = old;
    entry->task = fresh->task;
    entry->schedule = fresh->schedule;
    memcpy(entry->key, fresh->key, sizeof entry->key);
    cel__entry_free(fresh);
}

json_t *cel__entries_gather(cel_app *app)
{
    json_t *all;
    int rc = 0;

    pthread_mutex_lock(&app->beat_lock);
    all = json_copy((json_t *)(uintptr_t)cel__config_json(app->config, "beat_schedule"));
    if (all && !json_is_object(all)) { /* None */
        json_decref(all);
        all = json_object();
    }
    if (all && app->beat_entries)
        rc = json_object_update(all, app->beat_entries);
    pthread_mutex_unlock(&app->beat_lock);
    if (all && rc == 0)
        return all;
    json_decref(all);
    return NULL;
}

cel_code cel__entries_zone(cel_zone **out, const cel_app *app, cel_error *err)
{
    const char *name = cel__config_string(app->config, "timezone");

    if (!name && !cel__config_bool(app->config, "enable_utc"))
        name = "";
    else if (name && *name == '\0')
        name = NULL;
    return cel__zone_open(out, name, err);
}
