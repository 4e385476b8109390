/* submit.h - a batch on its way out: what opens chords goes first, then the messages.
 *
 * In the same turn where broker and result store share a transaction, else confirmed before the
 * messages leave, so that no part can end before its chord is open. On the loop alone. */
#ifndef CEL_APP_SUBMIT_H
#define CEL_APP_SUBMIT_H

#include "app/batch.h"
#include "backend/backend.h"
#include "broker/broker.h"

typedef struct cel_submit cel_submit;
struct cel_submit {
    cel_batch batch; /* owned by whoever embeds this: built before, freed after `done` */
    bool keep; /* all messages stay in the batch, so that it can be submitted again; otherwise
                * those of large batches are freed as soon as the broker has copied them */
    void (*done)(
        cel_submit *submit); /* all is confirmed, or something has failed: see `code` */
    cel_code code;           /* the first failure */
    cel_error err;
    /* ---- private ---- */
    cel_broker *broker;
    cel_backend *backend;
    size_t pending; /* callbacks still to come */
    bool published; /* the messages were submitted */
    bool starting;  /* inside cel__submit_start(): not the time to be done */
};

/* Starts. `backend` may be NULL if the batch opens no chords; `together`: see
 * cel__client_one_domain(). CEL_OK: done() runs once, later. Otherwise nothing was submitted and it never
 * runs; CEL_EINVAL if there is nothing to send. May be called again after that or after done() with a failure, if
 * `keep`. */
cel_code cel__submit_start(cel_submit *submit,
                           cel_broker *broker,
                           cel_backend *backend,
                           bool together,
                           cel_error *err);

#endif
