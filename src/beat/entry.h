/* entry.h - one entry of the schedule: what is sent, and when. */
#ifndef CEL_BEAT_ENTRY_H
#define CEL_BEAT_ENTRY_H

#include <jansson.h>
#include <uthash.h>

#include "app/app.h"
#include "beat/schedule.h"

#define CEL_ENTRY_KEY_LEN 36
#define CEL_ENTRY_NO_HEAP SIZE_MAX

typedef struct cel_entry {
    char *name;       /* owned */
    json_t *source;   /* owned: task, schedule, args, kwargs, options, relative */
    const char *task; /* a view into source */
    cel_schedule schedule;
    char key[CEL_ENTRY_KEY_LEN + 1]; /* of its record: the same in all beats with this entry */
    bool known;                      /* its record was read */
    bool busy;                       /* a round works on it */
    bool gone;                       /* it was removed while busy */
    int64_t last_us;   /* the last tick that was sent, by the record; valid when known */
    int64_t from_us;   /* what the next one is counted from: as a rule last_us */
    int64_t due_us;    /* the tick that is claimed or waited for */
    int64_t count;     /* of ticks sent */
    int64_t wake_us;   /* wall: when to look at it */
    size_t heap_at;    /* its place in the heap, or CEL_ENTRY_NO_HEAP */
    UT_hash_handle hh; /* by name */
} cel_entry;

/* Makes an entry of its description (borrowed; a reference is taken). CEL_ECONFIG names the entry. */
cel_code cel__entry_new(
    cel_entry **out, const cel_app *app, const char *name, json_t *source, cel_error *err);
void cel__entry_free(cel_entry *entry);

/* Gives `entry` the description of `fresh`, which is freed. What was sent stays known unless it is another task. */
void cel__entry_replace(cel_entry *entry, cel_entry *fresh);

/* Writes the id of the message of a tick: the same whoever sends it. */
void cel__entry_task_id(char out[CEL_ENTRY_KEY_LEN + 1],
                        const cel_entry *entry,
                        int64_t due_us);

/* All descriptions, by name: of the configuration, and of cel_beat_add() over them. Owned by the caller; NULL when out of memory. */
json_t *cel__entries_gather(cel_app *app);

/* The zone of `timezone` and `enable_utc`, as Celery chooses it. CEL_ECONFIG. */
cel_code cel__entries_zone(cel_zone **out, const cel_app *app, cel_error *err);

#endif
