/* beat.c - beat's life, its timer, and what is looked at when.
 *
 * Each look takes what the heap says is due, recomputes its tick from the last one that is known to be sent, and hands it to
 * a round. Nothing runs while nothing is due, but for a look every ten seconds, so that a clock that is set is noticed. */
#include "beat/beat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat/impl.h"
#include "core/id.h"
#include "core/mem.h"

#define ROUNDS_MAX 4
#define LOOK_MS    10000 /* the longest sleep */
#define STEP_MS    1000  /* a clock that goes back further was set */
#define FAR_US                                                                                 \
    INT64_C(10800000000) /* three hours: a last tick further ahead came from a wrong clock */
#define DEFAULT_MAX_MS  300000
#define OUTAGE_FIRST_MS 1000
#define OUTAGE_MAX_MS   30000

/* ---- planning ---- */

void cel__beat_wake_at(cel_beat *beat, cel_entry *entry, int64_t wake_us)
{
    entry->wake_us = wake_us;
    cel__heap_put(&beat->heap, entry);
}

/* Finds the tick that is next, or the missed one that is to be sent. */
static bool find_due(cel_beat *beat, cel_entry *entry, int64_t now_us)
{
    if (entry->from_us > now_us + FAR_US)
        entry->from_us = now_us;
    if (!cel__schedule_due(&entry->schedule, beat->zone, entry->from_us, now_us,
                           &entry->due_us))
        return false;
    if (beat->deadline_us >= 0 && entry->schedule.kind == CEL_SCHEDULE_CRONTAB &&
        entry->due_us < now_us - beat->deadline_us) { /* too late: on to the next */
        entry->from_us = entry->due_us;
        return cel__schedule_next(&entry->schedule, beat->zone, entry->from_us, &entry->due_us);
    }
    return true;
}

void cel__beat_plan(cel_beat *beat, cel_entry *entry)
{
    int64_t now_us = cel__clock_wall_us(beat->clock);

    if (!entry->known)
        cel__beat_wake_at(beat, entry, now_us);
    else if (find_due(beat, entry, now_us))
        cel__beat_wake_at(beat, entry, entry->due_us);
    else
        cel__heap_take(&beat->heap, entry);
}

/* A clock that was set back would let intervals wait until it has caught up. */
static void check_clock(cel_beat *beat)
{
    int64_t now_us = cel__clock_wall_us(beat->clock);
    int64_t offset_ms = now_us / 1000 - cel__clock_mono_ms(beat->clock);
    bool stepped = offset_ms < beat->offset_ms - STEP_MS;

    beat->offset_ms = offset_ms;
    if (!stepped)
        return;
    cel__warning(beat->log, "beat: the clock was set back: intervals begin anew");
    for (cel_entry *entry = beat->entries; entry; entry = entry->hh.next) {
        if (entry->busy || !entry->known)
            continue;
        if (entry->schedule.kind == CEL_SCHEDULE_EVERY && entry->from_us > now_us)
            entry->from_us = now_us;
        cel__beat_plan(beat, entry);
    }
}

int64_t cel__beat_outage(cel_beat *beat, const cel_error *err)
{
    if (!err) {
        if (beat->outage)
            cel__info(beat->log, "beat: the records are within reach again");
        beat->outage = false;
        beat->outage_pause_ms = OUTAGE_FIRST_MS;
        return 0;
    }
    if (!beat->outage)
        cel__err(beat->log, "beat: the records are out of reach, trying again: %s",
                 err->message);
    else if (beat->outage_pause_ms < OUTAGE_MAX_MS / 2)
        beat->outage_pause_ms *= 2;
    beat->outage = true;
    return beat->outage_pause_ms;
}

/* ---- the look ---- */

/* Takes entries whose time has come out of the heap. */
static size_t take_due(cel_beat *beat, cel_entry **out, size_t max, int64_t now_us)
{
    size_t count = 0;

    while (count < max && beat->heap.count > 0 && beat->heap.entries[0]->wake_us <= now_us) {
        cel_entry *entry = beat->heap.entries[0];

        cel__heap_take(&beat->heap, entry);
        if (entry->known) {
            if (!find_due(beat, entry, now_us))
                continue;
            if (entry->due_us > now_us) {
                cel__beat_wake_at(beat, entry, entry->due_us);
                continue;
            }
        }
        out[count++] = entry;
    }
    return count;
}

static void look(cel_beat *beat)
{
    cel_entry *due[CEL_TICKS_MAX];

    check_clock(beat);
    cel__rounds_turn(beat, cel__clock_mono_ms(beat->clock));
    while (!beat->stopping && beat->round_count < ROUNDS_MAX) {
        size_t count = take_due(beat, due, CEL_TICKS_MAX, cel__clock_wall_us(beat->clock));

        if (count == 0 || !cel__round_start(beat, due, count))
            break;
    }
    cel__beat_arm(beat);
}

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

void cel__beat_arm(cel_beat *beat)
{
    int64_t now_us = cel__clock_wall_us(beat->clock);
    int64_t rounds_ms = cel__rounds_next_ms(beat);
    int64_t wake_us = INT64_MAX, wait_ms = beat->max_interval_ms;

    if (beat->stopping)
        return;
    if (beat->heap.count > 0 && beat->round_count < ROUNDS_MAX)
        wake_us = beat->heap.entries[0]->wake_us;
    if (wake_us <= now_us)
        wait_ms = 0;
    else if (wake_us != INT64_MAX && (wake_us - now_us + 999) / 1000 < wait_ms)
        wait_ms = (wake_us - now_us + 999) / 1000;
    if (rounds_ms != INT64_MAX) {
        int64_t left_ms = rounds_ms - cel__clock_mono_ms(beat->clock);

        if (left_ms < wait_ms)
            wait_ms = left_ms < 0 ? 0 : left_ms;
    }
    if (beat->options.sleep && beat->round_count == 0 && wait_ms > 0) {
        beat->options.sleep(beat->options.user, beat, wake_us);
        wait_ms = 0;
        if (beat->stopping)
            return;
    }
    uv_update_time(beat->timer.loop);
    uv_timer_start(&beat->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* ---- entries ---- */

/* Makes the entries of descriptions into `table`; on failure it is left empty. */
static cel_code
make_entries(cel_entry **table, const cel_app *app, json_t *sources, cel_error *err)
{
    const char *name;
    json_t *source;

    json_object_foreach(sources, name, source)
    {
        cel_entry *entry;
        cel_code code = cel__entry_new(&entry, app, name, source, err);

        if (code != CEL_OK) {
            cel_entry *next;

            HASH_ITER(hh, *table, entry, next)
            {
                HASH_DEL(*table, entry);
                cel__entry_free(entry);
            }
            return code;
        }
        HASH_ADD_KEYPTR(hh, *table, entry->name, strlen(entry->name), entry);
    }
    return CEL_OK;
}

/* Puts what is new or changed into beat's table. Takes the entry. */
static void merge_entry(cel_beat *beat, cel_entry *fresh)
{
    cel_entry *entry;

    HASH_FIND(hh, beat->entries, fresh->name, strlen(fresh->name), entry);
    if (!entry) {
        HASH_ADD_KEYPTR(hh, beat->entries, fresh->name, strlen(fresh->name), fresh);
        cel__beat_plan(beat, fresh);
        return;
    }
    if (json_equal(entry->source, fresh->source)) {
        cel__entry_free(fresh);
        return;
    }
    if (entry->busy) { /* its round ends with what it has begun */
        HASH_DEL(beat->entries, entry);
        entry->gone = true;
        HASH_ADD_KEYPTR(hh, beat->entries, fresh->name, strlen(fresh->name), fresh);
        cel__beat_plan(beat, fresh);
        return;
    }
    cel__entry_replace(entry, fresh);
    if (entry->known)
        entry->from_us = entry->last_us;
    cel__beat_plan(beat, entry);
}

static void remove_entry(cel_beat *beat, cel_entry *entry)
{
    HASH_DEL(beat->entries, entry);
    cel__heap_take(&beat->heap, entry);
    if (entry->busy)
        entry->gone = true;
    else
        cel__entry_free(entry);
}

static cel_code load_entries(cel_beat *beat, cel_error *err)
{
    json_t *sources = cel__entries_gather(beat->app);
    cel_entry *fresh = NULL, *entry, *next;
    cel_code code;

    if (!sources)
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's entries");
    code = make_entries(&fresh, beat->app, sources, err);
    /* Each entry of both tables, and those still in rounds, may be in the heap. */
    if (code == CEL_OK &&
        !cel__heap_reserve(&beat->heap, HASH_COUNT(fresh) + HASH_COUNT(beat->entries) +
                                            ROUNDS_MAX * CEL_TICKS_MAX)) {
        HASH_ITER(hh, fresh, entry, next)
        {
            HASH_DEL(fresh, entry);
            cel__entry_free(entry);
        }
        code = cel_error_set(err, CEL_ENOMEM, "no memory for beat's entries");
    }
    if (code == CEL_OK) {
        HASH_ITER(hh, beat->entries, entry, next)
        {
            if (!json_object_get(sources, entry->name))
                remove_entry(beat, entry);
        }
        HASH_ITER(hh, fresh, entry, next)
        {
            HASH_DEL(fresh, entry);
            merge_entry(beat, entry);
        }
    }
    json_decref(sources);
    return code;
}

void cel__beat_reload(cel_beat *beat)
{
    cel_error err = {0};

    if (beat->stopping)
        return;
    if (load_entries(beat, &err) != CEL_OK) {
        cel__err(beat->log, "beat: the schedule stays as it was: %s", err.message);
        return;
    }
    cel__info(beat->log, "beat: Schedule changed: %u entries.", HASH_COUNT(beat->entries));
    cel__beat_arm(beat);
}

/* ---- the place of the records ---- */

static bool is_shared(const char *url)
{
    return url && cel__ticks_supports(url) && strncmp(url, "memory", 6) != 0 &&
           (!strchr(url, ';') || strncmp(url, "sentinel", 8) == 0);
}

/* sqlite:////absolute/path, with what would mean something in a URL escaped. */
static cel_code local_url(cel__buf *buf, const char *file, cel_error *err)
{
    char folder[4096] = "";

    if (file[0] != '/' && !getcwd(folder, sizeof folder))
        return cel_error_set(err, CEL_EIO, "the working directory is gone");
    cel__buf_add_str(buf, "sqlite:///");
    for (int part = 0; part < 2; part++) {
        for (const char *c = part ? file : folder; *c; c++) {
            if (strchr("%?#;", *c))
                cel__buf_addf(buf, "%%%02X", (unsigned char)*c);
            else
                cel__buf_add_byte(buf, *c);
        }
        if (part == 0 && folder[0])
            cel__buf_add_byte(buf, '/');
    }
    cel__buf_add_str(buf, ".sqlite");
    return cel__buf_check(buf, err);
}

cel_code
cel__beat_place(cel__buf *buf, const cel_app *app, const char *schedule, cel_error *err)
{
    const char *file =
        schedule ? schedule : cel__config_string(app->config, "beat_schedule_filename");
    const char *broker = cel__app_broker_url(app), *backend = cel__app_backend_url(app);

    if (!schedule && (is_shared(broker) || is_shared(backend)))
        cel__buf_add_str(buf, is_shared(broker) ? broker : backend);
    else if (!schedule && cel__ticks_supports(broker) && strncmp(broker, "memory", 6) == 0)
        cel__buf_add_str(buf, broker);
    else
        return local_url(buf, file && *file ? file : "celerybeat-schedule", err);
    return cel__buf_check(buf, err);
}

static cel_code open_ticks(cel_beat *beat, uv_loop_t *loop, cel_error *err)
{
    const json_t *transport = cel__config_json(beat->app->config, "broker_transport_options");
    const json_t *sentinel = json_object_get(transport, "sentinel_kwargs");
    char owner[CEL_UUID_LEN + 1];
    cel__buf url = {0};
    cel_code code = cel__beat_place(&url, beat->app, beat->options.schedule, err);

    cel__uuid4(owner);
    if (code == CEL_OK)
        code = cel__ticks_open(
            &beat->ticks,
            &(cel_ticks_options){
                .url = cel__buf_cstr(&url),
                .loop = loop,
                .clock = beat->clock,
                .log = beat->log,
                .owner = cel__view(owner),
                .lease_ms = beat->lease_ms,
                .master_name = json_string_value(json_object_get(transport, "master_name")),
                .sentinel_password = json_string_value(json_object_get(sentinel, "password"))},
            err);
    cel__buf_done(&url);
    return code;
}

/* ---- the stop ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    cel_beat *beat = handle->data;

    if (--beat->open_handles == 0)
        cel__client_finish(&beat->op, beat->failure.code, &beat->failure);
}

static void close_handles(void *user)
{
    cel_beat *beat = user;

    beat->open_handles = 2;
    uv_close((uv_handle_t *)&beat->timer, on_handle_closed);
    uv_close((uv_handle_t *)&beat->async, on_handle_closed);
}

void cel__beat_check_stop(cel_beat *beat)
{
    if (!beat->stopping || beat->closing || beat->round_count > 0 || beat->renewals > 0)
        return;
    beat->closing = true;
    pthread_mutex_lock(&beat->app->beat_lock);
    beat->app->beat = NULL;
    pthread_mutex_unlock(&beat->app->beat_lock);
    beat->ticks->ops->close(beat->ticks, close_handles, beat);
}

void cel__beat_stop(cel_beat *beat)
{
    if (beat->stopping)
        return;
    cel__info(beat->log, "beat: Shutting down...");
    beat->stopping = true;
    uv_timer_stop(&beat->timer);
    cel__rounds_stop(beat);
    cel__beat_check_stop(beat);
}

static void on_async(uv_async_t *async)
{
    cel_beat *beat = async->data;

    if (atomic_load(&beat->stop_wanted))
        cel__beat_stop(beat);
    else
        cel__beat_reload(beat);
}

/* ---- the start ---- */

/* Registers the beat with its app; CEL_EBUSY: there is one. */
static cel_code enter(cel_beat *beat, cel_error *err)
{
    cel_app *app = beat->app;
    cel_code code = CEL_OK;

    pthread_mutex_lock(&app->beat_lock);
    if (app->beat) {
        code = cel_error_set(err, CEL_EBUSY, "this app has a beat that runs");
    } else {
        app->beat = beat;
        atomic_store(&beat->stop_wanted, app->beat_stop);
        app->beat_stop = false;
    }
    pthread_mutex_unlock(&app->beat_lock);
    return code;
}

static cel_code start(cel_client_op *op, cel_error *err)
{
    cel_beat *beat = (cel_beat *)op;
    uv_loop_t *loop = cel__client_loop(op);
    cel_code code;

    beat->broker = cel__client_broker(op);
    if (op->needs_backend)
        beat->backend = cel__client_backend(op);
    code = open_ticks(beat, loop, err);
    if (code != CEL_OK)
        return code;
    beat->together = beat->ticks->domain && beat->ticks->domain == beat->broker->domain;
    uv_timer_init(loop, &beat->timer);
    beat->timer.data = beat;
    if (uv_async_init(loop, &beat->async, on_async) != 0)
        abort(); /* libuv's first asynchronous handle of the loop was made long before */
    beat->async.data = beat;
    beat->offset_ms = cel__clock_wall_us(beat->clock) / 1000 - cel__clock_mono_ms(beat->clock);
    code = load_entries(beat, err);
    if (code == CEL_OK)
        code = enter(beat, err);
    if (code != CEL_OK) {
        beat->failure = *err;
        beat->stopping = beat->closing = true;
        beat->ticks->ops->close(beat->ticks, close_handles, beat);
        return CEL_OK; /* it ends when all is closed */
    }
    cel__info(beat->log, "beat: Starting...");
    if (beat->options.on_start)
        beat->options.on_start(beat->options.user, beat, loop);
    uv_timer_start(&beat->timer, on_timer, 0, 0);
    if (atomic_load(&beat->stop_wanted))
        uv_async_send(&beat->async);
    return CEL_OK;
}

static void free_beat(cel_client_op *op)
{
    cel_beat *beat = (cel_beat *)op;
    cel_entry *entry, *next;

    HASH_ITER(hh, beat->entries, entry, next)
    {
        HASH_DEL(beat->entries, entry);
        cel__entry_free(entry);
    }
    cel__free(beat->heap.entries);
    cel__zone_free(beat->zone);
    cel__free(beat);
}

static void read_settings(cel_beat *beat)
{
    const cel_config *config = beat->app->config;
    int64_t max_ms = beat->options.max_interval_ms;
    int64_t deadline_ms = cel__config_ms(config, "beat_cron_starting_deadline");

    if (max_ms <= 0)
        max_ms = cel__config_ms(config, "beat_max_loop_interval");
    if (max_ms <= 0)
        max_ms = DEFAULT_MAX_MS;
    beat->max_interval_ms = max_ms < LOOK_MS ? max_ms : LOOK_MS;
    beat->deadline_us = deadline_ms < 0 ? -1 : deadline_ms * 1000;
    beat->lease_ms = beat->options.lease_ms > 0 ? beat->options.lease_ms : CEL_BEAT_LEASE_MS;
    beat->outage_pause_ms = OUTAGE_FIRST_MS;
}

cel_code cel__beat_run(const cel_beat_options *options, cel_error *err)
{
    cel_client *client;
    cel_beat *beat;
    cel_code code = cel__client_get(&client, options->app, err);

    if (code != CEL_OK)
        return code;
    beat = cel__calloc(1, sizeof *beat);
    if (!beat)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a beat");
    beat->options = *options;
    beat->app = options->app;
    beat->log = options->log ? options->log : &options->app->log;
    beat->clock = options->app->clock;
    read_settings(beat);
    beat->op.start = start;
    beat->op.free = free_beat;
    beat->op.needs_broker = true;
    beat->op.needs_backend = options->app->backend_url != NULL;
    cel__client_op_init(client, &beat->op);
    code = cel__entries_zone(&beat->zone, beat->app, err);
    if (code == CEL_OK)
        code = cel__client_run(&beat->op, -1, err);
    cel__client_op_unref(&beat->op);
    return code;
}
