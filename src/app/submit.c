/* submit.c - see submit.h. */
#include "app/submit.h"

#include "app/sent.h"

static void note_failure(cel_submit *submit, cel_code code, const cel_error *err)
{
    if (code == CEL_OK || submit->code != CEL_OK)
        return;
    submit->code = code;
    if (err)
        submit->err = *err;
    else
        cel_error_set(&submit->err, code, "%s", cel_code_text(code));
}

static void publish_batch(cel_submit *submit);

static void on_confirmed(void *user, cel_code code, const cel_error *err)
{
    cel_submit *submit = user;

    submit->pending--;
    note_failure(submit, code, err);
    if (submit->pending > 0 || submit->starting)
        return;
    if (!submit->published && submit->code == CEL_OK)
        publish_batch(submit);
    if (submit->pending == 0)
        submit->done(submit);
}

/* Submits the chunks. Of many, each is freed as soon as the broker has copied it, unless all are kept; a single
 * one stays for another try. */
static void publish_batch(cel_submit *submit)
{
    const cel_broker_ops *ops = submit->broker->ops;
    bool drop = !submit->keep && submit->batch.first && submit->batch.first->next;
    cel_batch_chunk *chunk = submit->batch.first;

    submit->published = true;
    while (chunk && submit->code == CEL_OK) {
        cel_error err = {0};
        cel_code code = CEL_OK;

        if (chunk->count > 0) {
            code = ops->publish(submit->broker, chunk->messages, chunk->count, on_confirmed,
                                submit, &err);
            if (code == CEL_OK) {
                submit->pending++;
                cel__sent_tell(submit->batch.app, submit->broker, chunk->messages,
                               chunk->count);
            }
        }
        if (code != CEL_OK && submit->pending > 0)
            err.uncertain = true; /* what was submitted before may be accepted */
        note_failure(submit, code, &err);
        if (code == CEL_OK && drop)
            cel__batch_drop_first(&submit->batch);
        chunk = drop ? submit->batch.first : chunk->next;
    }
}

static void open_chords(cel_submit *submit)
{
    const cel_backend_ops *ops = submit->backend->ops;

    for (size_t i = 0; i < submit->batch.chord_count && submit->code == CEL_OK; i++) {
        const cel_plan_chord *chord = &submit->batch.chords[i];
        cel_error err = {0};
        cel_code code = CEL_OK;

        if (chord->document.ptr) {
            code = ops->group_save(submit->backend, chord->gid, chord->document, on_confirmed,
                                   submit, &err);
            if (code == CEL_OK)
                submit->pending++;
        }
        if (code == CEL_OK) {
            code = ops->chord_open(submit->backend, chord->gid, chord->size, on_confirmed,
                                   submit, &err);
            if (code == CEL_OK)
                submit->pending++;
        }
        note_failure(submit, code, &err);
    }
}

cel_code cel__submit_start(
    cel_submit *submit, cel_broker *broker, cel_backend *backend, bool together, cel_error *err)
{
    submit->broker = broker;
    submit->backend = backend;
    submit->code = CEL_OK;
    submit->published = false;
    submit->starting = true;
    if (submit->batch.chord_count > 0)
        open_chords(submit);
    if (submit->code == CEL_OK && (submit->batch.chord_count == 0 || together))
        publish_batch(submit);
    submit->starting = false;
    if (submit->pending > 0)
        return CEL_OK; /* the callbacks go on */
    if (submit->code != CEL_OK && err)
        *err = submit->err;
    return submit->code == CEL_OK ? cel_error_set(err, CEL_EINVAL, "nothing to send")
                                  : submit->code;
}
