/* owner.h - the rows of those who hold claims: their leases, and what becomes of the claims of
 * the dead.
 *
 * All functions run on the engine's thread inside a transaction, except where said. */
#ifndef CEL_SQLITE_OWNER_H
#define CEL_SQLITE_OWNER_H

#include "sqlite/conn.h"
#include "sqlite/engine.h"
#include "sqlite/process.h"

/* An owner whose lease was seen expired though its process may live: it gets until
 * `since_mono_ms` plus a grace. */
typedef struct cel__suspect {
    int64_t owner, lease_until_ms, since_mono_ms;
} cel__suspect;

#define CEL_SUSPECTS 64

typedef struct cel__suspects {
    cel__suspect entries[CEL_SUSPECTS];
    size_t count;
} cel__suspects;

typedef struct cel__owner_times {
    int64_t wall_ms, mono_ms;
} cel__owner_times;

cel_code cel__owner_insert(cel__conn *conn,
                           const cel__process *self,
                           const char *node,
                           int64_t lease_ms,
                           int64_t wall_ms,
                           int64_t *owner,
                           cel_error *err);

/* Extends the lease; *kept is false if the row is gone. */
cel_code cel__owner_renew(
    cel__conn *conn, int64_t owner, int64_t lease_until_ms, bool *kept, cel_error *err);

/* Finds up to `max` owners other than `self_owner` that are dead, or whose lease has ended and
 * stayed so. Only reads. */
cel_code cel__owner_find_dead(cel__conn *conn,
                              const cel__process *self,
                              int64_t self_owner,
                              cel__owner_times now,
                              cel__suspects *suspects,
                              int64_t *dead,
                              size_t max,
                              size_t *count,
                              cel_error *err);

/* Puts the owner's claims back: those in its ledger as lost, the others as they are, and
 * deletes the owner. Rings the queues. The caller removes the ledger's file after the commit.
 */
cel_code cel__owner_recover(cel_engine *engine,
                            cel__conn *conn,
                            const char *run_dir,
                            int64_t owner,
                            size_t *returned,
                            cel_error *err);

#endif
