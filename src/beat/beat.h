/* beat.h - the beat of an app: entries in a heap of times, one timer, and rounds that claim, send and record what is due.
 *
 * It is one operation of the app's client side (app/client.h): one thread, one loop, the client's connections. */
#ifndef CEL_BEAT_BEAT_H
#define CEL_BEAT_BEAT_H

#include <uv.h>

#include "app/app.h"
#include "beat/entry.h"
#include "celeriac/beat.h"
#include "core/buf.h"

#define CEL_BEAT_LEASE_MS 5000

typedef struct cel_beat cel_beat;

typedef struct cel_beat_options {
    cel_app *app;       /* borrowed, as all of these */
    const cel_log *log; /* NULL: the app's */
    const char *
        schedule; /* keep the records in this local file; NULL: where the broker is, the results are, or in the file that
                           * beat_schedule_filename names */
    int64_t max_interval_ms; /* the longest sleep; 0: beat_max_loop_interval, else 300,000 */
    int64_t lease_ms;        /* 0: CEL_BEAT_LEASE_MS */
    /* On the loop: it is about to begin. May be NULL. */
    void (*on_start)(void *user, cel_beat *beat, uv_loop_t *loop);
    /* For tests, may be NULL: called instead of sleeping until the wall time `wake_us` (INT64_MAX: for ever); it
     * turns the clock. */
    void (*sleep)(void *user, cel_beat *beat, int64_t wake_us);
    void *user;
} cel_beat_options;

/* As cel_beat_run(). */
cel_code cel__beat_run(const cel_beat_options *options, cel_error *err);

/* On the loop. */
void cel__beat_stop(cel_beat *beat);

/* On the loop: reads the entries anew and takes over what has changed. An invalid entry is logged, and nothing changes. */
void cel__beat_reload(cel_beat *beat);

/* Where the records are: what a person may see of it. Appends to `buf`. */
cel_code
cel__beat_place(cel__buf *buf, const cel_app *app, const char *schedule, cel_error *err);

/* Calls `each` for every tick of every entry after from_us and not after to_us, in order of time; an interval is counted
 * from from_us. Ends early when `each` returns false. CEL_ECONFIG. */
cel_code cel__beat_preview(cel_app *app,
                           const cel_zone *zone,
                           int64_t from_us,
                           int64_t to_us,
                           bool (*each)(void *user, int64_t due_us, const cel_entry *entry),
                           void *user,
                           cel_error *err);

#endif
