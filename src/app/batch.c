/* batch.c - a message's texts are appended to its chunk's buffer. When that buffer moves, the views of the messages before
 * are moved with it; that is rare, because a chunk that has begun to fill reserves room for all of itself. */
#include "app/batch.h"

#include <stdlib.h>
#include <unistd.h>

#include "app/route.h"
#include "app/sensitive.h"
#include "app/signals.h"
#include "core/id.h"
#include "core/json.h"
#include "core/mem.h"

#define CHUNK_MESSAGES 1000
#define CHUNK_BYTES    ((size_t)1 << 20)
#define CALL_MAX_MS    ((int64_t)1 << 50)

/* ---- chunks ---- */

void cel__batch_init(cel_batch *batch, cel_app *app)
{
    *batch = (cel_batch){.app = app, .now_us = cel__clock_wall_us(app->clock)};
}

static void free_chunk(cel_batch_chunk *chunk)
{
    cel__buf_done(&chunk->bytes);
    cel__arena_done(&chunk->texts);
    cel__free(chunk->messages);
    cel__free(chunk);
}

void cel__batch_drop_first(cel_batch *batch)
{
    cel_batch_chunk *chunk = batch->first;

    batch->first = chunk->next;
    if (!batch->first)
        batch->last = NULL;
    free_chunk(chunk);
}

void cel__batch_done(cel_batch *batch)
{
    while (batch->first)
        cel__batch_drop_first(batch);
    cel__free(batch->chords);
    cel__arena_done(&batch->texts);
    cel__buf_done(&batch->args);
    cel__buf_done(&batch->kwargs);
    cel__buf_done(&batch->extra);
    cel__buf_done(&batch->scratch);
}

static cel_batch_chunk *add_chunk(cel_batch *batch)
{
    cel_batch_chunk *chunk = cel__calloc(1, sizeof *chunk);

    if (!chunk)
        return NULL;
    if (batch->last)
        batch->last->next = chunk;
    else
        batch->first = chunk;
    batch->last = chunk;
    return chunk;
}

static bool grow_messages(cel_batch_chunk *chunk)
{
    size_t cap = chunk->cap ? CHUNK_MESSAGES : 1;
    cel_message *messages;

    if (chunk->count < chunk->cap)
        return true;
    messages = cel__realloc(chunk->messages, cap * sizeof *messages);
    if (!messages)
        return false;
    chunk->messages = messages;
    chunk->cap = cap;
    if (cap > 1) /* the second of many: make room for them at once */
        cel__buf_reserve(&chunk->bytes, CHUNK_BYTES);
    return true;
}

static void move_view(cel_view *view, const char *from, size_t len, const char *to)
{
    if (view->ptr && (uintptr_t)view->ptr - (uintptr_t)from <= len)
        view->ptr = to + ((uintptr_t)view->ptr - (uintptr_t)from);
}

static void move_messages(cel_batch_chunk *chunk, const char *from, size_t len)
{
    const char *to = chunk->bytes.ptr;

    if (from == to || !from)
        return;
    for (size_t i = 0; i < chunk->count; i++) {
        cel_message *message = &chunk->messages[i];

        move_view(&message->headers, from, len, to);
        move_view(&message->body, from, len, to);
        move_view(&message->expiration, from, len, to);
    }
}

/* Returns the chunk to put the next message into, with room for it. */
static cel_batch_chunk *open_chunk(cel_batch *batch)
{
    cel_batch_chunk *chunk = batch->last;
    const char *from;
    size_t len;

    if (!chunk || chunk->count == CHUNK_MESSAGES || chunk->bytes.len > CHUNK_BYTES * 8)
        chunk = add_chunk(batch);
    if (!chunk)
        return NULL;
    from = chunk->bytes.ptr;
    len = chunk->bytes.len;
    if (!grow_messages(chunk))
        return NULL;
    move_messages(chunk, from, len);
    return chunk;
}

/* ---- one message ---- */

cel_code cel__message_route_build(cel_message *out,
                                  const cel_app *app,
                                  cel_task_message *spec,
                                  const json_t *options,
                                  int64_t now_us,
                                  cel__buf *buf,
                                  cel__buf *scratch,
                                  cel_error *err)
{
    const cel_task_entry *entry = cel__registry_find(app->registry, spec->task);
    cel__buf shown = {0};
    cel_code code;

    cel__buf_reset(scratch);
    spec->coding = &app->codings.tasks;
    code = cel__route(spec, app->config, entry, options, scratch, err);
    if (code == CEL_OK && entry)
        code = cel__sensitive_spec(spec, entry, &shown, err);
    if (code == CEL_OK && entry && entry->options.expires_ms &&
        spec->expires_us == CEL_TIME_NONE)
        spec->expires_us = now_us + entry->options.expires_ms * 1000;
    if (code == CEL_OK)
        code = cel__task_message_build(out, spec, now_us, buf, err);
    cel__buf_done(&shown);
    return code;
}

/* Gives the texts that live elsewhere to the chunk: those of routing's scratch and of the caller. */
static bool keep_texts(cel_batch_chunk *chunk, cel_message *message)
{
    cel_view *const views[] = {&message->exchange, &message->routing_key, &message->reply_to};

    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        if (!views[i]->ptr)
            continue;
        if (views[i]->len == 0)
            *views[i] = CEL_VIEW("");
        else
            *views[i] = cel__arena_copy(&chunk->texts, *views[i]);
        if (!views[i]->ptr)
            return false;
    }
    return true;
}

/* `spec`'s id and task must live as long as the chunk. */
static cel_code add_message(cel_batch *batch,
                            cel_batch_chunk *chunk,
                            cel_task_message *spec,
                            const json_t *options,
                            cel_error *err)
{
    cel_message *message = &chunk->messages[chunk->count];
    const char *from = chunk->bytes.ptr;
    size_t len = chunk->bytes.len;
    cel_code code = cel__message_route_build(message, batch->app, spec, options, batch->now_us,
                                             &chunk->bytes, &batch->scratch, err);

    move_messages(chunk, from, len);
    if (code != CEL_OK)
        return code;
    if (!keep_texts(chunk, message))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
    chunk->count++;
    batch->count++;
    cel__signal_message(batch->app, CEL_SIGNAL_BEFORE_TASK_PUBLISH, spec->task, spec->id,
                        message->routing_key);
    return CEL_OK;
}

/* ---- calls ---- */

void cel__send_options_load(cel_send_options *out, const cel_send_options *options)
{
    *out = (cel_send_options){.size = sizeof *out};
    if (options && options->size > 0)
        memcpy(out, options, options->size < sizeof *out ? options->size : sizeof *out);
}

static bool is_duration(int64_t ms)
{
    return ms >= 0 && ms <= CALL_MAX_MS;
}

cel_code cel__send_options_check(const cel_send_options *o, cel_error *err)
{
    if (o->task_id && !o->task_id[0])
        return cel_error_set(err, CEL_EINVAL, "task_id is empty");
    if (o->priority < 0 || o->priority > 255)
        return cel_error_set(err, CEL_EINVAL, "priority %d is not 0 to 255", o->priority);
    if (o->countdown_ms < -CALL_MAX_MS || o->countdown_ms > CALL_MAX_MS)
        return cel_error_set(err, CEL_EINVAL, "countdown_ms is out of range");
    if (o->countdown_ms && o->eta_ms)
        return cel_error_set(err, CEL_EINVAL, "countdown_ms and eta_ms exclude one another");
    if (!is_duration(o->eta_ms) || !is_duration(o->expires_ms))
        return cel_error_set(err, CEL_EINVAL, "eta_ms or expires_ms is out of range");
    if (!is_duration(o->time_limit_ms) || !is_duration(o->soft_time_limit_ms))
        return cel_error_set(err, CEL_EINVAL, "a time limit is out of range");
    if (o->headers && !json_is_object(o->headers))
        return cel_error_set(err, CEL_EINVAL, "headers is no JSON object");
    return CEL_OK;
}

/* Returns what routing reads, NULL in *out where nothing is asked for. */
static cel_code route_options(json_t **out, const cel_send_options *o, cel_error *err)
{
    json_t *object;
    int rc = 0;

    *out = NULL;
    if (!o->queue && !o->exchange && !o->routing_key && !o->priority && !o->compression &&
        !o->serializer)
        return CEL_OK;
    object = json_object();
    if (o->queue)
        rc |= json_object_set_new(object, "queue", json_string(o->queue));
    if (o->exchange)
        rc |= json_object_set_new(object, "exchange", json_string(o->exchange));
    if (o->routing_key)
        rc |= json_object_set_new(object, "routing_key", json_string(o->routing_key));
    if (o->priority)
        rc |= json_object_set_new(object, "priority", json_integer(o->priority));
    if (o->compression)
        rc |= json_object_set_new(object, "compression", json_string(o->compression));
    if (o->serializer)
        rc |= json_object_set_new(object, "serializer", json_string(o->serializer));
    if (!object || rc) {
        json_decref(object);
        return cel_error_set(err, CEL_EINVAL,
                             "queue, exchange, routing_key, compression or serializer is no "
                             "UTF-8");
    }
    *out = object;
    return CEL_OK;
}

/* The array of one signature, as text in `buf`; absent if there is none. A view made at the end, when `buf` has
 * stopped growing. */
static void add_signature(cel__buf *buf, const cel_signature *signature)
{
    if (!signature)
        return;
    cel__buf_add_byte(buf, '[');
    cel__json_dump(buf, cel_signature_json(signature));
    cel__buf_add_byte(buf, ']');
}

static void set_extras(cel_task_message *spec, cel_batch *batch, const cel_send_options *o)
{
    cel__buf *extra = &batch->extra;
    size_t link_end, error_end;

    cel__buf_reset(extra);
    if (!o->link && !o->link_error && !o->headers)
        return;
    add_signature(extra, o->link);
    link_end = extra->len;
    add_signature(extra, o->link_error);
    error_end = extra->len;
    if (o->headers)
        cel__json_dump(extra, o->headers);
    if (o->link)
        spec->callbacks = (cel_view){extra->ptr, link_end};
    if (o->link_error)
        spec->errbacks = (cel_view){extra->ptr + link_end, error_end - link_end};
    if (o->headers)
        spec->headers = (cel_view){extra->ptr + error_end, extra->len - error_end};
}

static void set_times(cel_task_message *spec, int64_t now_us, const cel_send_options *o)
{
    if (o->countdown_ms)
        spec->eta_us = now_us + o->countdown_ms * 1000;
    if (o->eta_ms)
        spec->eta_us = o->eta_ms * 1000;
    if (o->expires_ms)
        spec->expires_us = now_us + o->expires_ms * 1000;
    spec->time_limit_s = (double)o->time_limit_ms / 1000.0;
    spec->soft_time_limit_s = (double)o->soft_time_limit_ms / 1000.0;
    if (o->ignore_result)
        spec->ignore_result = o->ignore_result > 0;
    spec->shadow = cel__view(o->shadow);
    spec->argsrepr = cel__view(o->argsrepr);
    spec->kwargsrepr = cel__view(o->kwargsrepr);
}

/* As cel__uuid7(), with one system call for many. A batch lives within one call, so no fork() can double it. */
static void batch_uuid(cel_batch *batch, char out[CEL_UUID_LEN + 1])
{
    if (batch->count == 0) { /* perhaps the only one */
        cel__uuid7(out);
        return;
    }
    if (batch->random_left == 0) {
        for (size_t i = 0; i < sizeof batch->random; i += 256)
            if (getentropy(batch->random + i, 256) != 0) {
                cel__uuid7(out);
                return;
            }
        batch->random_left = sizeof batch->random;
    }
    batch->random_left -= 16;
    cel__uuid7_from(out, batch->random + batch->random_left);
}

static cel_view new_id(cel_batch *batch, cel_batch_chunk *chunk, const char *given)
{
    char id[CEL_UUID_LEN + 1];

    if (given)
        return cel__arena_copy(&chunk->texts, cel__view(given));
    batch_uuid(batch, id);
    return cel__arena_copy(&chunk->texts, (cel_view){id, CEL_UUID_LEN});
}

cel_code
cel__batch_add_call(cel_batch *batch, const cel_batch_call *call, cel_view *id, cel_error *err)
{
    static const cel_send_options no_options = {.size = sizeof no_options};
    const cel_send_options *o = call->options ? call->options : &no_options;
    cel_batch_chunk *chunk = open_chunk(batch);
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;
    json_t *routing;
    cel_code code;

    if (!chunk)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
    cel__buf_reset(&batch->args);
    cel__buf_reset(&batch->kwargs);
    if (call->args) {
        cel__json_dump(&batch->args, call->args);
        spec.args = cel__buf_view(&batch->args);
    }
    if (call->kwargs) {
        cel__json_dump(&batch->kwargs, call->kwargs);
        spec.kwargs = cel__buf_view(&batch->kwargs);
    }
    spec.task = cel__arena_copy(&chunk->texts, call->task);
    spec.id = new_id(batch, chunk, o->task_id);
    spec.origin = call->origin;
    spec.reply_to = call->reply_to;
    set_times(&spec, batch->now_us, o);
    set_extras(&spec, batch, o);
    if (!spec.task.ptr || !spec.id.ptr || batch->args.failed || batch->kwargs.failed ||
        batch->extra.failed)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a message, or it is too large");
    code = route_options(&routing, o, err);
    if (code == CEL_OK)
        code = add_message(batch, chunk, &spec, routing, err);
    json_decref(routing);
    if (code == CEL_OK && id)
        *id = spec.id;
    return code;
}

/* ---- plans ---- */

static cel_code add_chord(cel_batch *batch, const cel_plan_chord *chord, cel_error *err)
{
    cel_plan_chord *to;

    if (batch->chord_count == batch->chord_cap) {
        size_t cap = batch->chord_cap ? 2 * batch->chord_cap : 1;
        cel_plan_chord *chords = cel__realloc(batch->chords, cap * sizeof *chords);

        if (!chords)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a chord");
        batch->chords = chords;
        batch->chord_cap = cap;
    }
    to = &batch->chords[batch->chord_count];
    *to = *chord;
    to->gid = cel__arena_copy(&batch->texts, chord->gid);
    to->document = cel__arena_copy(&batch->texts, chord->document);
    if (!to->gid.ptr || (chord->document.ptr && !to->document.ptr))
        return cel_error_set(err, CEL_ENOMEM, "no memory for a chord");
    batch->chord_count++;
    return CEL_OK;
}

cel_code cel__batch_add_plan(cel_batch *batch, const cel_plan *plan, cel_error *err)
{
    cel_code code = CEL_OK;

    for (size_t i = 0; i < cel__plan_chord_count(plan) && code == CEL_OK; i++)
        code = add_chord(batch, cel__plan_chord(plan, i), err);
    for (size_t i = 0; i < cel__plan_task_count(plan) && code == CEL_OK; i++) {
        const cel_plan_task *task = cel__plan_task(plan, i);
        cel_batch_chunk *chunk = open_chunk(batch);
        cel_task_message spec = task->message;

        if (!chunk)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
        spec.id = cel__arena_copy(&chunk->texts, spec.id);
        spec.task = cel__arena_copy(&chunk->texts, spec.task);
        if (!spec.id.ptr || !spec.task.ptr)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a message");
        code = add_message(batch, chunk, &spec, task->options, err);
    }
    return code;
}
