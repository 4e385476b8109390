/* impl.h - what the files of beat share. */
#ifndef CEL_BEAT_IMPL_H
#define CEL_BEAT_IMPL_H

#include <stdatomic.h>

#include "app/client.h"
#include "app/submit.h"
#include "backend/ticks.h"
#include "beat/beat.h"

/* Entries by the time they are to be looked at: a binary heap. */
typedef struct cel_beat_heap {
    cel_entry **entries; /* owned array; the entries are not */
    size_t count, cap;
} cel_beat_heap;

bool cel__heap_reserve(cel_beat_heap *heap, size_t count); /* false: out of memory */
void cel__heap_put(cel_beat_heap *heap,
                   cel_entry *entry); /* in, or to its new place; room was reserved */
void cel__heap_take(cel_beat_heap *heap, cel_entry *entry); /* out, if it is in */

/* What a round is doing:
 *
 *   ASKING -> SENDING -> ENDING      (together: SENDING and ENDING at once)
 *               |  ^
 *              PAUSING */
typedef enum cel_round_phase {
    CEL_ROUND_ASKING,  /* looks and claims are under way */
    CEL_ROUND_SENDING, /* the messages of what was claimed are */
    CEL_ROUND_PAUSING, /* until the next attempt to send */
    CEL_ROUND_ENDING,  /* what was sent is being recorded */
} cel_round_phase;

/* Entries that are worked on together. Each is busy meanwhile. */
typedef struct cel_round {
    cel_submit submit;
    cel_beat *beat;
    cel_round_phase phase;
    cel_entry **entries; /* owned array; in ASKING all, then those that were claimed */
    cel_tick *ticks;     /* owned: what was asked of each */
    size_t count;
    size_t pending; /* callbacks still to come, where things go together */
    int64_t retry_ms, renew_ms, pause_ms; /* mono; mono; how long the next pause is */
    struct cel_round *prev, *next;
} cel_round;

struct cel_beat {
    cel_client_op op;
    cel_beat_options options;
    cel_app *app;
    const cel_log *log;
    const cel_clock *clock;
    cel_broker *broker;
    cel_backend *backend; /* NULL: no results */
    cel_ticks *ticks;
    cel_zone *zone;
    cel_entry *entries; /* by name: uthash, owned */
    cel_beat_heap heap;
    cel_round *rounds;
    size_t round_count;
    size_t renewals; /* calls under way that renew a lease */
    int64_t max_interval_ms, lease_ms;
    int64_t deadline_us; /* beat_cron_starting_deadline; -1: none */
    int64_t offset_ms;   /* wall minus mono at the last look: a step of the clock shows here */
    bool outage;         /* the records are out of reach; it was logged */
    int64_t outage_pause_ms;
    bool together; /* messages and records share a transaction */
    uv_timer_t timer;
    uv_async_t async; /* entries have changed, or it is to stop */
    atomic_bool stop_wanted;
    int open_handles;
    bool stopping, closing;
    cel_error failure;
};

/* ---- beat.c ---- */

/* Says when the entry is to be looked at next, and puts it into the heap. */
void cel__beat_plan(cel_beat *beat, cel_entry *entry);
void cel__beat_wake_at(cel_beat *beat, cel_entry *entry, int64_t wake_us);

/* Sets the timer by heap and rounds. */
void cel__beat_arm(cel_beat *beat);

/* The records are out of reach, or again within. Returns the pause before the next try. */
int64_t cel__beat_outage(cel_beat *beat, const cel_error *err);

void cel__beat_check_stop(cel_beat *beat);

/* ---- round.c ---- */

/* Starts a round with entries that the heap gave; false: out of memory, they are planned for later. */
bool cel__round_start(cel_beat *beat, cel_entry *const *entries, size_t count);

/* Does what is due in rounds: tries again, renews. */
void cel__rounds_turn(cel_beat *beat, int64_t now_ms);

/* The mono time of the next such thing; INT64_MAX: none. */
int64_t cel__rounds_next_ms(const cel_beat *beat);

/* Gives up what pauses: when beat stops. */
void cel__rounds_stop(cel_beat *beat);

#endif
