/* beat.c - `celeriac beat`: options, banner, preview, and signals around the beat of the library. */
#include "beat/beat.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/beat.h"
#include "cli/service.h"
#include "core/mem.h"
#include "core/time.h"
#include "core/url.h"

#define PREVIEW_MAX 100000 /* lines */

static const cel_option options[] = {
    {"schedule", 's', NULL, CEL_OPTION_STRING, "FILE", NULL,
     "Keep what was sent in FILE.sqlite, on this machine. Default: where the broker is or the "
     "results are, if that is Redis or an embedded file; else the setting "
     "beat_schedule_filename"},
    {"scheduler", 'S', NULL, CEL_OPTION_STRING, "NAME", NULL,
     "Accepted for compatibility: only PersistentScheduler, which is what there is"},
    {"max-interval", 0, NULL, CEL_OPTION_FLOAT, "SECONDS", NULL,
     "Look at the schedule at least so often. Default: 300"},
    {"preview", 0, NULL, CEL_OPTION_FLAG, NULL, NULL,
     "Show what would be sent after FROM and up to TO, and end. A time is 2026-03-29T02:30 (in "
     "the "
     "time zone of the schedule, unless it has an offset), now, or +30m, +12h, +7d from now"},
    CEL_SERVICE_OPTIONS,
    {NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL},
};

struct run {
    cel_cli *cli;
    const cel_args *args;
    const char *const *settings;
    cel_app *app;
    cel_service service;
    cel_beat *beat;
    uv_signal_t signals[5];
    size_t watched;
};

/* ---- preview ---- */

/* +30m and such, from now. */
static bool read_distance(const char *text, int64_t now_us, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    int64_t count;

    if (*text != '+' || text[1] < '0' || text[1] > '9')
        return false;
    count = strtoll(text + 1, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (*end == units[i].unit && end[1] == '\0' && count <= 100000000) {
            *out = now_us + count * units[i].seconds * 1000000;
            return true;
        }
    }
    return false;
}

/* A text without an offset is a time of the zone. */
static bool read_time(const char *text, const cel_zone *zone, int64_t now_us, int64_t *out)
{
    const char *clock = strpbrk(text, "T ");
    int64_t instants[2];
    bool gap;

    if (strcmp(text, "now") == 0) {
        *out = now_us;
        return true;
    }
    if (read_distance(text, now_us, out))
        return true;
    if (!cel__time_parse(out, cel__view(text)))
        return false;
    if (clock && strpbrk(clock, "Zz+-"))
        return true;
    cel__zone_instants(zone, *out / 1000000 - (*out % 1000000 < 0), instants, &gap);
    *out = instants[0] * 1000000;
    return true;
}

struct preview {
    const cel_zone *zone;
    size_t lines;
};

static bool print_tick(void *user, int64_t due_us, const cel_entry *entry)
{
    struct preview *preview = user;
    int64_t offset_s = cel__zone_span(preview->zone, due_us / 1000000).offset_s;
    int64_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
    char text[CEL_TIME_TEXT];
    const char *plus;

    if (preview->lines++ == PREVIEW_MAX) {
        fprintf(stderr, "The first %d are shown.\n", PREVIEW_MAX);
        return false;
    }
    cel__time_format(text, due_us + offset_s * 1000000);
    plus = strrchr(text, '+');
    printf("%.*s%c%02" PRId64 ":%02" PRId64 "  %s (%s)\n", plus ? (int)(plus - text) : 0, text,
           offset_s < 0 ? '-' : '+', minutes / 60, minutes % 60, entry->name, entry->task);
    return true;
}

static int show_preview(struct run *run, const char *from, const char *to)
{
    struct preview preview = {0};
    int64_t now_us = cel__clock_wall_us(run->app->clock), from_us, to_us;
    cel_zone *zone;
    cel_error err = {0};
    cel_code code = cel__entries_zone(&zone, run->app, &err);

    if (code != CEL_OK)
        return cel__cli_fail(&err);
    preview.zone = zone;
    if (!read_time(from, zone, now_us, &from_us) || !read_time(to, zone, now_us, &to_us)) {
        cel__zone_free(zone);
        return cel__cli_usage(run->cli,
                              "Invalid value for '--preview': '%s' to '%s': a time is "
                              "2026-03-29T02:30, now or +7d.",
                              from, to);
    }
    code = cel__beat_preview(run->app, zone, from_us, to_us, print_tick, &preview, &err);
    cel__zone_free(zone);
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

/* ---- banner ---- */

static void print_banner(const struct run *run)
{
    cel__buf masked = {0}, place = {0};
    const char *schedule = cel__args_string(run->args, "schedule");
    const char *zone = cel__config_string(run->app->config, "timezone");
    json_t *entries = cel__entries_gather(run->app);

    printf("celeriac beat v%s is starting.\n", cel_version());
    printf("Configuration ->\n");
    cel__url_mask(&masked, cel__app_broker_url(run->app));
    if (cel__buf_cstr(&masked))
        printf("    . broker -> %s\n", masked.ptr);
    cel__buf_reset(&masked);
    if (cel__beat_place(&place, run->app, schedule, NULL) == CEL_OK && cel__buf_cstr(&place))
        cel__url_mask(&masked, place.ptr);
    if (cel__buf_cstr(&masked))
        printf("    . records -> %s\n", masked.ptr);
    printf("    . timezone -> %s\n", zone ? zone
                                     : cel__config_bool(run->app->config, "enable_utc")
                                         ? "UTC"
                                         : "local");
    printf("    . entries -> %zu\n", json_object_size(entries));
    printf("    . logfile -> %s@%%%s\n",
           run->service.logfile ? run->service.logfile : "[stderr]",
           cel__log_level_name(run->cli->logging.level));
    fflush(stdout);
    json_decref(entries);
    cel__buf_done(&masked);
    cel__buf_done(&place);
}

/* ---- signals ---- */

/* The configuration is read anew; of it the schedule is taken over. */
static void reload(struct run *run)
{
    cel_app *fresh = NULL;
    cel_error err = {0};
    json_t *schedule;

    if (!cel__cli_app(run->cli, &fresh, run->settings, true))
        return; /* it was printed why */
    schedule = cel_app_setting(fresh, "beat_schedule");
    if (cel__config_set(run->app->config, "beat_schedule", json_deep_copy(schedule), &err) !=
        CEL_OK)
        cel__err(&run->app->log, "beat: the schedule stays as it was: %s", err.message);
    else
        cel__beat_reload(run->beat);
    json_decref(schedule);
    cel_app_free(fresh);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct run *run = handle->data;

    if (signum == SIGUSR1) {
        cel__logging_reopen(&run->cli->logging);
    } else if (signum == SIGHUP) {
        cel__logging_reopen(&run->cli->logging);
        reload(run);
    } else {
        cel__beat_stop(run->beat);
    }
}

static void on_start(void *user, cel_beat *beat, uv_loop_t *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
    struct run *run = user;

    run->beat = beat;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uv_signal_init(loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&run->signals[i]);
        run->watched++;
    }
}

/* ---- the run ---- */

static bool knows_scheduler(const char *name)
{
    return !name || !*name || strcmp(name, "celery.beat:PersistentScheduler") == 0 ||
           strcmp(name, "celery.beat.PersistentScheduler") == 0 ||
           strcmp(name, "PersistentScheduler") == 0;
}

static int serve(struct run *run)
{
    double max_s = cel__args_float(run->args, "max-interval", 0);
    cel_error err = {0};
    cel_code code;

    if (!(max_s >= 0 && max_s <= 1e9))
        return cel__cli_usage(run->cli,
                              "Invalid value for '--max-interval': it is out of range.");
    if (!run->cli->quiet)
        print_banner(run);
    signal(SIGPIPE, SIG_IGN);
    code =
        cel__beat_run(&(cel_beat_options){.app = run->app,
                                          .schedule = cel__args_string(run->args, "schedule"),
                                          .max_interval_ms = (int64_t)(max_s * 1000),
                                          .on_start = on_start,
                                          .user = run},
                      &err);
    for (size_t i = 0; i < run->watched; i++)
        uv_close((uv_handle_t *)&run->signals[i],
                 NULL); /* by cel_app_free(), which runs the loop */
    return code == CEL_OK ? CEL_EXIT_OK : cel__cli_fail(&err);
}

static int prepare_and_serve(struct run *run)
{
    const char *scheduler = cel__args_string(run->args, "scheduler");
    int status;

    if (!scheduler)
        scheduler = cel__config_string(run->app->config, "beat_scheduler");
    if (!knows_scheduler(scheduler))
        return cel__cli_usage(
            run->cli,
            "Invalid value for '-S' / '--scheduler': '%s' is Python's. Entries come "
            "from beat_schedule and from task modules.",
            scheduler);
    if (!cel__service_include(run->app, NULL))
        return CEL_EXIT_FAILURE;
    if (!cel__service_name(&run->service, "beat@%h"))
        return CEL_EXIT_USAGE;
    status = cel__service_start(&run->service);
    return status == CEL_EXIT_OK ? serve(run) : status;
}

static int run_command(cel_cli *cli, const cel_args *args)
{
    const char *settings[CEL_WORDS_MAX + 1] = {NULL}, *times[2] = {NULL, NULL};
    struct run run = {
        .cli = cli, .args = args, .settings = settings, .service = {.cli = cli, .args = args}};
    bool preview = cel__args_flag(args, "preview");
    size_t time_count = 0, setting_count = 0;
    int status;

    for (int i = 0; i < args->word_count; i++) {
        if (!preview || strchr(args->words[i], '='))
            settings[setting_count++] = args->words[i];
        else if (time_count++ < 2)
            times[time_count - 1] = args->words[i];
    }
    if (preview && time_count != 2)
        return cel__cli_usage(cli, "--preview takes two times: from when, and until when.");
    if (!cel__service_read(&run.service))
        return CEL_EXIT_USAGE;
    if (!cel__cli_app(cli, &run.app, settings, false))
        return CEL_EXIT_FAILURE;
    status = preview ? show_preview(&run, times[0], times[1]) : prepare_and_serve(&run);
    cel_app_free(run.app);
    cel__service_done(&run.service);
    return status;
}

const cel_command cel__beat_command = {
    "beat",
    "[SETTING=VALUE]... [FROM TO]",
    "Send tasks by the clock.",
    "What is sent, and when, says the setting beat_schedule, as in Celery; task modules may "
    "add "
    "to it\n"
    "with cel_beat_add(). Any number of beats may run with one schedule: each tick is sent by "
    "one "
    "of\n"
    "them, and if one dies, another goes on.\n\n"
    "Signals: TERM, INT or QUIT stop; HUP reads beat_schedule anew, and opens the log file "
    "anew, "
    "as\n"
    "USR1 does.",
    options,
    0,
    -1,
    run_command,
};

/* ---- inside a worker ---- */

struct cel_cli_beat {
    cel_beat_options options;
    cel_log log; /* the app's, flushed at once: it is not the worker's thread that writes */
    cel_logging *logging;
    pthread_t thread;
};

static void log_and_flush(void *user, cel_log_level level, const char *message, size_t len)
{
    cel__logging_worker(user, level, "Beat", (cel_view){0}, (cel_view){0},
                        (cel_view){message, len});
    cel__logging_flush(user);
}

static void *run_thread(void *user)
{
    struct cel_cli_beat *beat = user;
    cel_error err = {0};

    if (cel__beat_run(&beat->options, &err) != CEL_OK)
        cel__critical(&beat->log, "beat: %s", err.message);
    return NULL;
}

cel_code cel__cli_beat_start(
    cel_cli_beat **out, cel_cli *cli, cel_app *app, const char *schedule, cel_error *err)
{
    cel_cli_beat *beat = cel__calloc(1, sizeof *beat);
    sigset_t all, before;
    int rc;

    if (!beat)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a beat");
    beat->logging = &cli->logging;
    beat->log = (cel_log){app->log.level, log_and_flush, &cli->logging};
    beat->options = (cel_beat_options){.app = app, .log = &beat->log, .schedule = schedule};
    sigfillset(&all); /* signals are for the worker's thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&beat->thread, NULL, run_thread, beat);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        cel__free(beat);
        return cel_error_set(err, CEL_EIO, "cannot start a thread for beat: %s", strerror(rc));
    }
    *out = beat;
    return CEL_OK;
}

void cel__cli_beat_stop(cel_cli_beat *beat)
{
    if (!beat)
        return;
    cel_beat_stop(beat->options.app);
    pthread_join(beat->thread, NULL);
    cel__free(beat);
}
