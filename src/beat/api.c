/* api.c - celeriac/beat.h. What is added is kept in the form that configuration files have. */
#include <string.h>

#include "beat/impl.h"
#include "core/mem.h"

static json_t *crontab_json(const char *line)
{
    static const char *const names[] = {"minute", "hour", "day_of_month", "month_of_year",
                                        "day_of_week"};
    json_t *object = json_pack("{s:s}", "__class__", "crontab");

    for (size_t i = 0; object && i < 5; i++) { /* the line was checked */
        size_t from = strspn(line, " "), len = strcspn(line + from, " ");

        if (json_object_set_new(object, names[i], json_stringn(line + from, len))) {
            json_decref(object);
            object = NULL;
        }
        line += from + len;
    }
    return object;
}

static cel_code make_schedule(json_t **out, const cel_beat_entry *entry, cel_error *err)
{
    cel_crontab crontab;

    if ((entry->every_ms != 0) + (entry->crontab != NULL) + (entry->solar != NULL) != 1)
        return cel_error_set(err, CEL_EINVAL, "one of every_ms, crontab and solar is needed");
    if (entry->crontab) {
        cel_code code = cel__crontab_parse(&crontab, cel__view(entry->crontab), err);

        if (code != CEL_OK)
            return code;
        *out = crontab_json(entry->crontab);
    } else if (entry->solar) {
        *out = json_pack("{s:s, s:s, s:f, s:f}", "__class__", "solar", "event", entry->solar,
                         "lat", entry->latitude, "lon", entry->longitude);
    } else {
        *out = json_real((double)entry->every_ms / 1000);
    }
    return *out ? CEL_OK : cel_error_set(err, CEL_EINVAL, "the schedule is no UTF-8");
}

/* Tells the beat that runs; with the lock held. */
static void wake(cel_app *app)
{
    if (app->beat)
        uv_async_send(&app->beat->async);
}

static cel_code put(cel_app *app, const char *name, json_t *source, cel_error *err)
{
    bool ok;

    pthread_mutex_lock(&app->beat_lock);
    if (!app->beat_entries)
        app->beat_entries = json_object();
    ok = app->beat_entries && json_object_set(app->beat_entries, name, source) == 0;
    if (ok)
        wake(app);
    pthread_mutex_unlock(&app->beat_lock);
    return ok ? CEL_OK : cel_error_set(err, CEL_EINVAL, "the entry's name is no UTF-8");
}

cel_code
cel_beat_add(cel_app *app, const char *name, const cel_beat_entry *given, cel_error *err)
{
    cel_beat_entry entry = {0};
    cel_entry *checked;
    json_t *schedule = NULL, *source;
    cel_code code;

    if (!app || !name || !*name || !given || given->size == 0)
        return cel_error_set(err, CEL_EINVAL, "no app, name or entry");
    memcpy(&entry, given, given->size < sizeof entry ? given->size : sizeof entry);
    if (!entry.task || !*entry.task)
        return cel_error_set(err, CEL_EINVAL, "beat entry '%.60s': no task", name);
    code = make_schedule(&schedule, &entry, err);
    if (code != CEL_OK)
        return code;
    source = json_pack("{s:s, s:o, s:b}", "task", entry.task, "schedule", schedule, "relative",
                       entry.relative);
    if (!source ||
        (entry.args && json_object_set_new(source, "args", json_deep_copy(entry.args))) ||
        (entry.kwargs && json_object_set_new(source, "kwargs", json_deep_copy(entry.kwargs))) ||
        (entry.options &&
         json_object_set_new(source, "options", json_deep_copy(entry.options))))
        code = cel_error_set(err, CEL_EINVAL, "beat entry '%.60s': a text is no UTF-8", name);
    if (code == CEL_OK)
        code = cel__entry_new(&checked, app, name, source, err);
    if (code == CEL_OK) {
        cel__entry_free(checked);
        code = put(app, name, source, err);
    }
    json_decref(source);
    return code;
}

cel_code cel_beat_remove(cel_app *app, const char *name, cel_error *err)
{
    cel_code code = CEL_OK;

    if (!app || !name)
        return cel_error_set(err, CEL_EINVAL, "no app or name");
    pthread_mutex_lock(&app->beat_lock);
    if (json_object_del(app->beat_entries, name) != 0)
        code = cel_error_set(err, CEL_ENOENT, "no beat entry '%.60s' was added", name);
    else
        wake(app);
    pthread_mutex_unlock(&app->beat_lock);
    return code;
}

cel_code cel_beat_run(cel_app *app, cel_error *err)
{
    if (!app)
        return cel_error_set(err, CEL_EINVAL, "no app");
    return cel__beat_run(&(cel_beat_options){.app = app}, err);
}

void cel_beat_stop(cel_app *app)
{
    if (!app)
        return;
    pthread_mutex_lock(&app->beat_lock);
    if (app->beat) {
        atomic_store(&app->beat->stop_wanted, true);
        wake(app);
    } else {
        app->beat_stop = true;
    }
    pthread_mutex_unlock(&app->beat_lock);
}
