/* round.c - claims what is due, sends it, records it: many entries in few steps.
 *
 * While messages are under way their claims are renewed. If beat dies, they run out, and another beat sends; the messages
 * have the same ids then. Where messages and records share a transaction (the embedded file), both take effect
 * together, and not even that can happen. */
#include <string.h>

#include "app/batch.h"
#include "beat/impl.h"
#include "canvas/canvas.h"
#include "core/json.h"
#include "core/mem.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS   30000
#define REPR_MAX       1024 /* characters, as Celery shows arguments */

static cel_round *round_of(cel_submit *submit)
{
    return (cel_round *)(void *)submit; /* its first member */
}

static void link_round(cel_beat *beat, cel_round *round)
{
    round->next = beat->rounds;
    if (round->next)
        round->next->prev = round;
    beat->rounds = round;
    beat->round_count++;
}

static void free_round(cel_round *round)
{
    cel__batch_done(&round->submit.batch);
    cel__free(round->entries);
    cel__free(round->ticks);
    cel__free(round);
}

/* The entry is nobody's any more: back into the heap, or away if it was removed meanwhile. */
static void release(cel_beat *beat, cel_entry *entry)
{
    entry->busy = false;
    if (entry->gone)
        cel__entry_free(entry);
    else
        cel__beat_plan(beat, entry);
}

static void end_round(cel_round *round)
{
    cel_beat *beat = round->beat;

    for (size_t i = 0; i < round->count; i++)
        release(beat, round->entries[i]);
    if (round->prev)
        round->prev->next = round->next;
    else
        beat->rounds = round->next;
    if (round->next)
        round->next->prev = round->prev;
    beat->round_count--;
    free_round(round);
    if (beat->stopping)
        cel__beat_check_stop(beat);
    else
        cel__beat_arm(beat);
}

/* The records are out of reach: all is looked at again, later. */
static void end_in_outage(cel_round *round, const cel_error *err)
{
    cel_beat *beat = round->beat;
    int64_t wake_us =
        cel__clock_wall_us(beat->clock) + cel__beat_outage(beat, err) * INT64_C(1000);

    for (size_t i = 0; i < round->count; i++) {
        cel_entry *entry = round->entries[i];

        entry->busy = false;
        if (entry->gone)
            cel__entry_free(entry);
        else
            cel__beat_wake_at(beat, entry, wake_us);
    }
    round->count = 0;
    end_round(round);
}

/* ---- recording ---- */

static void take_record(cel_entry *entry, const cel_tick_reply *reply)
{
    if (!entry->known || entry->last_us != reply->last_us)
        entry->from_us = reply->last_us;
    entry->known = true;
    entry->last_us = reply->last_us;
    entry->count = reply->count;
}

static void on_ended(void *user, const cel_tick_reply *replies, const cel_error *err)
{
    cel_round *round = user;

    if (err) {
        end_in_outage(round, err); /* claimed again, and sent again with the same ids */
        return;
    }
    cel__beat_outage(round->beat, NULL);
    for (size_t i = 0; i < round->count; i++) {
        if (replies[i].outcome != CEL_TICK_COUNTED)
            cel__warning(round->beat->log,
                         "beat: %s: another beat took over while the tick was being sent: the "
                         "message may be there twice, with one id",
                         round->entries[i]->name);
        take_record(round->entries[i], &replies[i]);
    }
    end_round(round);
}

static cel_code record(cel_round *round, cel_ticks_cb cb, cel_error *err)
{
    for (size_t i = 0; i < round->count; i++)
        round->ticks[i] = (cel_tick){.verb = CEL_TICK_DONE,
                                     .entry = cel__view(round->entries[i]->key),
                                     .last_us = round->entries[i]->last_us,
                                     .due_us = round->entries[i]->due_us};
    return round->beat->ticks->ops->submit(round->beat->ticks, round->ticks, round->count, cb,
                                           round, err);
}

static void record_sent(cel_round *round)
{
    cel_error err;

    round->phase = CEL_ROUND_ENDING;
    if (record(round, on_ended, &err) != CEL_OK)
        end_in_outage(round, &err);
}

/* ---- sending ---- */

/* Returns the options of an entry's message: its own, the tick's id, and two headers as Celery's beat writes them, which
 * sends arguments as a list. */
static json_t *message_options(const cel_entry *entry, const char *id)
{
    const json_t *own = json_object_get(entry->source, "options");
    json_t *options = json_is_object(own) ? json_copy((json_t *)(uintptr_t)own) : json_object();
    const json_t *args = json_object_get(entry->source, "args");
    cel__buf text = {0}, repr = {0};

    cel__json_dump(&text, json_is_array(args) ? args : NULL);
    if (json_is_array(args))
        cel__json_repr(&repr, cel__buf_view(&text), REPR_MAX, false);
    else
        cel__buf_add_str(&repr, "[]");
    if (!options || json_object_set_new(options, "task_id", json_string(id)) ||
        (!json_object_get(options, "ignore_result") &&
         json_object_set_new(options, "ignore_result", json_false())) ||
        (!json_object_get(options, "argsrepr") &&
         json_object_set_new(options, "argsrepr", json_stringn(repr.ptr, repr.len)))) {
        json_decref(options);
        options = NULL;
    }
    cel__buf_done(&text);
    cel__buf_done(&repr);
    return options;
}

static cel_code
add_message(cel_round *round, const cel_entry *entry, const char *id, cel_error *err)
{
    cel_app *app = round->beat->app;
    cel_batch *batch = &round->submit.batch;
    json_t *options = message_options(entry, id);
    const json_t *args = json_object_get(entry->source, "args");
    const json_t *kwargs = json_object_get(entry->source, "kwargs");
    json_t *signature = json_pack("{s:s, s:O*, s:O*, s:{}, s:n, s:b}", "task", entry->task,
                                  "args", json_is_array(args) ? args : NULL, "kwargs",
                                  json_is_object(kwargs) ? kwargs : NULL, "options",
                                  "subtask_type", "immutable", 0);
    cel_canvas_context context = {.now_us = batch->now_us,
                                  .options = options,
                                  .origin = cel__view(app->origin),
                                  .reply_to = cel__view(app->reply_to)};
    cel_plan *plan = NULL;
    cel_code code;

    if (options && signature)
        code = cel__canvas_apply(&plan, signature, &context, err);
    else
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a message");
    if (code == CEL_OK)
        code = cel__batch_add_plan(batch, plan, err);
    cel__plan_free(plan);
    json_decref(signature);
    json_decref(options);
    return code;
}

/* One that cannot be built is logged, and not tried again: as Celery does it. */
static void build_messages(cel_round *round)
{
    const cel_log *log = round->beat->log;

    for (size_t i = 0; i < round->count; i++) {
        const cel_entry *entry = round->entries[i];
        char id[CEL_ENTRY_KEY_LEN + 1];
        cel_error err;

        cel__info(log, "Scheduler: Sending due task %s (%s)", entry->name, entry->task);
        cel__entry_task_id(id, entry, entry->due_us);
        if (add_message(round, entry, id, &err) != CEL_OK)
            cel__err(log, "Message Error: Couldn't apply scheduled task %s: %s", entry->name,
                     err.message);
        else
            cel__debug(log, "%s sent. id->%s", entry->task, id);
    }
}

static void on_together(void *user, const cel_tick_reply *replies, const cel_error *err)
{
    cel_round *round = user;

    if (err) {
        for (size_t i = 0; i < round->count; i++)
            round->entries[i]->known =
                false; /* to be looked up: nothing has happened, perhaps */
        cel__beat_outage(round->beat, err);
    } else {
        cel__beat_outage(round->beat, NULL);
        for (size_t i = 0; i < round->count; i++)
            take_record(round->entries[i], &replies[i]);
    }
    if (--round->pending == 0)
        end_round(round);
}

/* Half and half, until the one that cannot be sent is alone. */
static bool split(cel_round *round)
{
    cel_beat *beat = round->beat;
    size_t half = round->count / 2, count = round->count;
    cel_entry **entries = round->entries;

    if (count < 2)
        return false;
    round->entries = NULL;
    round->count = 0;
    for (size_t i = 0; i < count; i++)
        entries[i]->busy = false;
    cel__round_start(beat, entries, half);
    cel__round_start(beat, entries + half, count - half);
    cel__free(entries);
    end_round(round);
    return true;
}

static void pause_round(cel_round *round)
{
    cel_beat *beat = round->beat;

    round->phase = CEL_ROUND_PAUSING;
    round->retry_ms = cel__clock_mono_ms(beat->clock) + round->pause_ms;
    round->pause_ms = round->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : round->pause_ms * 2;
    cel__beat_arm(beat);
}

static void on_submitted(cel_submit *submit)
{
    cel_round *round = round_of(submit);
    cel_beat *beat = round->beat;

    if (round->pending > 0) { /* together */
        if (submit->code != CEL_OK)
            cel__err(beat->log, "Message Error: %s", submit->err.message);
        if (--round->pending == 0)
            end_round(round);
        return;
    }
    if (submit->code == CEL_OK) {
        record_sent(round);
        return;
    }
    if (submit->err.retriable || submit->code == CEL_ECANCELED) {
        cel__err(beat->log, "beat: Connection error: %s. Trying again in %lld seconds...",
                 submit->err.message, (long long)round->pause_ms / 1000);
        if (beat->stopping)
            end_round(round); /* the claims run out, and another beat sends */
        else
            pause_round(round);
        return;
    }
    if (split(round))
        return;
    cel__err(beat->log, "Message Error: Couldn't apply scheduled task %s: %s",
             round->entries[0]->name, submit->err.message);
    record_sent(round);
}

static void submit_messages(cel_round *round)
{
    cel_beat *beat = round->beat;
    cel_error err;
    cel_code code;

    round->phase = CEL_ROUND_SENDING;
    round->renew_ms = cel__clock_mono_ms(beat->clock) + beat->lease_ms / 3;
    round->submit.done = on_submitted;
    round->submit.keep = true;
    round->submit.code = CEL_OK;
    code = cel__submit_start(&round->submit, beat->broker, beat->backend, beat->together, &err);
    if (code != CEL_OK) {
        round->submit.code = code;
        round->submit.err = err;
        on_submitted(&round->submit);
    } else if (beat->together) {
        round->pending = 2; /* in the same turn of the loop */
        if (record(round, on_together, &err) != CEL_OK) {
            round->pending = 1;
            cel__beat_outage(beat, &err);
        }
    } else {
        cel__beat_arm(beat);
    }
}

static void send_claimed(cel_round *round)
{
    cel__batch_init(&round->submit.batch, round->beat->app);
    round->pause_ms = PAUSE_FIRST_MS;
    build_messages(round);
    if (round->submit.batch.count == 0)
        record_sent(round);
    else
        submit_messages(round);
}

/* ---- asking ---- */

/* What a reply means for an entry; whether it was claimed. */
static bool take_reply(cel_beat *beat, cel_entry *entry, const cel_tick_reply *reply)
{
    int64_t wait_ms = reply->wait_ms < 1                ? 1
                      : reply->wait_ms > beat->lease_ms ? beat->lease_ms
                                                        : reply->wait_ms;

    if (reply->outcome == CEL_TICK_CLAIMED && !entry->gone)
        return true;
    if (reply->outcome != CEL_TICK_BUSY || entry->gone) {
        take_record(entry, reply);
        release(beat, entry);
        return false;
    }
    entry->busy = false;
    cel__beat_wake_at(beat, entry, cel__clock_wall_us(beat->clock) + wait_ms * 1000);
    return false;
}

static void on_asked(void *user, const cel_tick_reply *replies, const cel_error *err)
{
    cel_round *round = user;
    size_t claimed = 0;

    if (err) {
        end_in_outage(round, err);
        return;
    }
    cel__beat_outage(round->beat, NULL);
    for (size_t i = 0; i < round->count; i++)
        if (take_reply(round->beat, round->entries[i], &replies[i]))
            round->entries[claimed++] = round->entries[i];
    round->count = claimed;
    if (claimed > 0)
        send_claimed(round);
    else
        end_round(round);
}

static cel_round *new_round(cel_beat *beat, size_t count)
{
    cel_round *round = cel__calloc(1, sizeof *round);

    if (!round)
        return NULL;
    round->beat = beat;
    round->submit.batch.app = beat->app;
    round->entries = cel__calloc(count, sizeof(cel_entry *));
    round->ticks = cel__calloc(count, sizeof *round->ticks);
    if (round->entries && round->ticks)
        return round;
    free_round(round);
    return NULL;
}

bool cel__round_start(cel_beat *beat, cel_entry *const *entries, size_t count)
{
    cel_round *round = new_round(beat, count);
    int64_t now_us = cel__clock_wall_us(beat->clock);
    cel_error err;

    if (!round) {
        for (size_t i = 0; i < count; i++)
            cel__beat_wake_at(beat, entries[i], now_us + INT64_C(1000000));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        cel_entry *entry = entries[i];

        entry->busy = true;
        round->entries[i] = entry;
        round->ticks[i] = (cel_tick){.verb = entry->known ? CEL_TICK_CLAIM : CEL_TICK_LOOK,
                                     .entry = cel__view(entry->key),
                                     .last_us = entry->last_us,
                                     .due_us = entry->known ? entry->due_us : now_us};
    }
    round->count = count;
    link_round(beat, round);
    if (beat->ticks->ops->submit(beat->ticks, round->ticks, count, on_asked, round, &err) !=
        CEL_OK)
        end_in_outage(round, &err);
    return true;
}

/* ---- leases and further attempts ---- */

static void on_renewed(void *user, const cel_tick_reply *replies, const cel_error *err)
{
    cel_beat *beat = user;

    (void)replies;
    (void)err; /* the next renewal, or the record, will show */
    beat->renewals--;
    if (beat->stopping)
        cel__beat_check_stop(beat);
}

static void renew(cel_round *round)
{
    cel_beat *beat = round->beat;

    for (size_t i = 0; i < round->count; i++)
        round->ticks[i].verb = CEL_TICK_CLAIM;
    for (size_t i = 0; i < round->count; i++) {
        round->ticks[i].entry = cel__view(round->entries[i]->key);
        round->ticks[i].last_us = round->entries[i]->last_us;
        round->ticks[i].due_us = round->entries[i]->due_us;
    }
    if (beat->ticks->ops->submit(beat->ticks, round->ticks, round->count, on_renewed, beat,
                                 NULL) == CEL_OK)
        beat->renewals++;
}

static bool holds_claims(const cel_round *round)
{
    return (round->phase == CEL_ROUND_SENDING && !round->beat->together) ||
           round->phase == CEL_ROUND_PAUSING;
}

void cel__rounds_turn(cel_beat *beat, int64_t now_ms)
{
    cel_round *next;

    for (cel_round *round = beat->rounds; round; round = next) {
        next = round->next;
        if (!holds_claims(round))
            continue;
        if (now_ms >= round->renew_ms) {
            renew(round);
            round->renew_ms = now_ms + beat->lease_ms / 3;
        }
        if (round->phase == CEL_ROUND_PAUSING && now_ms >= round->retry_ms)
            submit_messages(round);
    }
}

int64_t cel__rounds_next_ms(const cel_beat *beat)
{
    int64_t at = INT64_MAX;

    for (const cel_round *round = beat->rounds; round; round = round->next) {
        if (holds_claims(round) && round->renew_ms < at)
            at = round->renew_ms;
        if (round->phase == CEL_ROUND_PAUSING && round->retry_ms < at)
            at = round->retry_ms;
    }
    return at;
}

void cel__rounds_stop(cel_beat *beat)
{
    cel_round *next;

    for (cel_round *round = beat->rounds; round; round = next) {
        next = round->next;
        if (round->phase == CEL_ROUND_PAUSING)
            end_round(round);
    }
}
