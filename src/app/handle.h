/* handle.h - result handles: the inside of celeriac/result.h. Any thread. */
#ifndef CEL_APP_HANDLE_H
#define CEL_APP_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "celeriac/result.h"
#include "core/view.h"

struct cel_result {
    atomic_int refs;
    cel_app *app;       /* borrowed */
    char *id;           /* owned */
    cel_result *parent; /* a reference, or NULL */
    bool group;
    cel_result **children; /* a group's: owned array of references */
    size_t count, cap;
    pthread_mutex_t lock; /* guards what follows; each is set once and then stays */
    char *document;       /* owned: the document of a task that has ended; NULL: not known */
    size_t document_len;
    cel_code
        failure; /* CEL_ETASK or CEL_EREVOKED, once that is known: then the next four are set */
    char *exc_type, *exc_message, *traceback, *culprit; /* owned; traceback may be NULL */
};

/* Makes a handle of a result tuple (JSON text), [[id, parent], nodes], however deep parents are nested. White space
 * may stand where Python's json.dumps() puts it. Owned by the caller. CEL_EPROTO, CEL_ENOMEM. */
cel_code cel__result_from_tuple(cel_result **out, cel_app *app, cel_view tuple, cel_error *err);

/* Makes a handle of a task's id. CEL_ENOMEM. */
cel_code cel__result_from_id(cel_result **out, cel_app *app, cel_view id, cel_error *err);

#endif
