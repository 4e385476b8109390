/* beat.h - beat: tasks that are sent by the clock.
 *
 * Entries come from the setting `beat_schedule` and from cel_beat_add(), which wins where names are the same. Any number
 * of beats may run with the same entries: each tick is sent once, because it is claimed where the records are kept (the
 * broker's or the result store's Redis or SQLite file, else a local file). */
#ifndef CELERIAC_BEAT_H
#define CELERIAC_BEAT_H

#include <jansson.h>
#include <stdint.h>

#include "celeriac/app.h"

CEL_BEGIN_DECLS

/* What is sent, and when. Zero means the default; one of every_ms, crontab and solar is given. */
typedef struct cel_beat_entry {
    size_t size;         /* sizeof(cel_beat_entry) */
    const char *task;    /* the task's name */
    int64_t every_ms;    /* an interval; first after one interval */
    const char *crontab; /* "minute hour day_of_month month_of_year day_of_week" */
    const char *solar;   /* an event, such as "sunset", at this place */
    double latitude, longitude;
    bool relative;       /* round the times of an interval down to full days, hours or minutes */
    json_t *args;        /* borrowed, as all: array */
    json_t *kwargs;      /* object */
    json_t *options;     /* object: queue, expires, priority, countdown, headers, ... as in `beat_schedule` */
} cel_beat_entry;

#define CEL_BEAT_ENTRY(...) (&(cel_beat_entry){.size = sizeof(cel_beat_entry), __VA_ARGS__})

/* Adds an entry, or changes the one of this name; a beat that runs takes it up at once, and what was sent stays known.
 * CEL_EINVAL, CEL_ECONFIG: why the entry is none. Any thread. */
CEL_API cel_code cel_beat_add(cel_app *app, const char *name, const cel_beat_entry *entry, cel_error *err);

/* Takes an entry away that was added. CEL_ENOENT. Any thread. */
CEL_API cel_code cel_beat_remove(cel_app *app, const char *name, cel_error *err);

/* Sends what is due until cel_beat_stop(): blocks. One at a time for each app (CEL_EBUSY). CEL_ECONFIG: an entry, the time zone or the
 * place of the records is wrong. An outage of broker or store is logged and waited for. */
CEL_API cel_code cel_beat_run(cel_app *app, cel_error *err);

/* Ends cel_beat_run() when what is being sent is sent; without a beat that runs, the next one ends at once. Any thread. */
CEL_API void cel_beat_stop(cel_app *app);

CEL_END_DECLS

#endif
