/* wait.h - reading and awaiting result documents, as one operation of the client. */
#ifndef CEL_APP_WAIT_H
#define CEL_APP_WAIT_H

#include "app/client.h"

typedef enum cel_wait_goal {
    CEL_WAIT_LOOK,  /* read once */
    CEL_WAIT_ENDED, /* until all targets have ended, or a parent has failed */
    CEL_WAIT_COUNT, /* until more than `seen` targets have ended */
} cel_wait_goal;

typedef struct cel_wait_id {
    char *id;       /* owned */
    char *document; /* owned; NULL: not read, or not there */
    size_t len;
    bool ready, failed; /* it has ended; with FAILURE or REVOKED */
} cel_wait_id;

typedef struct cel_wait {
    cel_client_op op;
    /* ---- set by the caller between new and run ---- */
    cel_wait_goal goal;
    bool documents; /* CEL_WAIT_LOOK: the documents are wanted, not only the counts */
    char *gid;      /* owned; NULL: no group whose members can be counted */
    size_t seen;
    /* ---- the outcome; the caller may take documents ---- */
    cel_wait_id *ids; /* owned; targets first, then parents */
    size_t target_count, count;
    int64_t ended,
        succeeded; /* of the targets; without documents they come from the store's count */
    /* ---- private ---- */
    size_t cap;
    size_t *order; /* owned; indices of ids, sorted by id */
    cel_watch *watch;
    bool busy, again, abandoned, counted;
} cel_wait;

/* Makes an operation without ids; given back with cel__client_op_unref(&wait->op). CEL_ENOMEM. */
cel_code cel__wait_new(cel_wait **out, cel_client *client, cel_error *err);

/* Adds an id; all targets come before all parents. CEL_ENOMEM. */
cel_code cel__wait_add(cel_wait *wait, const char *id, bool parent, cel_error *err);

/* Runs it. On CEL_ETIMEDOUT the caller may only unref. */
cel_code cel__wait_run(cel_wait *wait, int64_t timeout_ms, cel_error *err);

#endif
