/* batch.h - messages and chords under construction, in the form in which they are published.
 *
 * Texts are written once, into chunks of about a thousand messages; a chunk is what one publish() takes.
 * One thread at a time. */
#ifndef CEL_APP_BATCH_H
#define CEL_APP_BATCH_H

#include <jansson.h>

#include "app/app.h"
#include "app/arena.h"
#include "canvas/canvas.h"
#include "celeriac/send.h"
#include "message/task.h"

typedef struct cel_batch_chunk {
    struct cel_batch_chunk *next;
    cel__buf bytes;        /* headers and bodies */
    cel__arena texts;      /* ids, exchanges, routing keys */
    cel_message *messages; /* owned; views into `bytes`, `texts` and the configuration */
    size_t count, cap;
} cel_batch_chunk;

typedef struct cel_batch {
    cel_app *app;                  /* borrowed */
    int64_t now_us;                /* wall: what countdown and expiry count from */
    cel_batch_chunk *first, *last; /* owned */
    size_t count;                  /* messages in all chunks */
    cel_plan_chord *chords;        /* owned, with the texts in `texts` */
    size_t chord_count, chord_cap;
    cel__arena texts;
    cel__buf args, kwargs, extra, scratch; /* reused for each message */
    unsigned char random[1024];            /* for the ids of many messages, drawn at once */
    size_t random_left;
} cel_batch;

void cel__batch_init(cel_batch *batch, cel_app *app);
void cel__batch_done(cel_batch *batch);

/* Frees the messages of the first chunk, which have been handed over. */
void cel__batch_drop_first(cel_batch *batch);

/* A call of one task: what cel_send() takes. `args`, `kwargs` and `options` are borrowed and may be NULL. */
typedef struct cel_batch_call {
    cel_view task;
    const json_t *args, *kwargs;
    const cel_send_options *options;
    cel_view origin, reply_to;
} cel_batch_call;

/* Adds the message of a call. *id (may be NULL) receives a view of its id, valid as long as its chunk. */
cel_code
cel__batch_add_call(cel_batch *batch, const cel_batch_call *call, cel_view *id, cel_error *err);

/* Adds all that a plan asks for: chords and messages. */
cel_code cel__batch_add_plan(cel_batch *batch, const cel_plan *plan, cel_error *err);

/* Routes `spec` (exchange, routing_key, priority, ... are filled in) by `options` (may be NULL) and builds the message. Texts are
 * appended to `buf`; `scratch` is reset and holds what routing made up: both must live as long as *out. */
cel_code cel__message_route_build(cel_message *out,
                                  const cel_app *app,
                                  cel_task_message *spec,
                                  const json_t *options,
                                  int64_t now_us,
                                  cel__buf *buf,
                                  cel__buf *scratch,
                                  cel_error *err);

/* Copies what the caller's struct has, by its size, over zeros, so that older callers work with newer libraries. */
void cel__send_options_load(cel_send_options *out, const cel_send_options *options);

/* CEL_EINVAL names the option that is out of range. */
cel_code cel__send_options_check(const cel_send_options *options, cel_error *err);

#endif
