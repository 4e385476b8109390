/* statedb.h - what a worker remembers from one run to the next: the ids of revoked tasks, in a file
 * of JSON. Written anew a moment after each change, on a thread of its own, and at the end. */
#ifndef CEL_WORKER_STATEDB_H
#define CEL_WORKER_STATEDB_H

#include <uv.h>

#include "worker/revoked.h"

typedef struct cel_statedb cel_statedb;

/* Reads the file into `revoked` (borrowed) if it exists. CEL_ECONFIG if it is something else, such
 * as Python's; CEL_EIO. The caller frees it with cel__statedb_free(). */
cel_code cel__statedb_open(
    cel_statedb **out, const char *path, cel_revoked *revoked, int64_t now_ms, cel_error *err);

/* From now on changes are written by the loop; `failed` is told, on the loop's thread. */
void cel__statedb_start(cel_statedb *statedb,
                        uv_loop_t *loop,
                        void (*failed)(void *user, const cel_error *err),
                        void *user);

/* Something has changed. NULL is a no-op. */
void cel__statedb_touch(cel_statedb *statedb);

/* Closes its handles; what is being written is finished. NULL is a no-op. */
void cel__statedb_stop(cel_statedb *statedb);

/* Writes now, and waits for it; once it is stopped and the loop has ended. CEL_EIO. NULL is a no-op. */
cel_code cel__statedb_save(cel_statedb *statedb, cel_error *err);

void cel__statedb_free(cel_statedb *statedb);

#endif
