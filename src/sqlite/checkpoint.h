/* checkpoint.h - copying the write-ahead log into the database, on a thread of its own.
 *
 * A checkpoint waits for the disk twice; on the engine's thread that would be felt as a hiccup of
 * tens of milliseconds every few hundred transactions. */
#ifndef CEL_SQLITE_CHECKPOINT_H
#define CEL_SQLITE_CHECKPOINT_H

#include <stdbool.h>

#include "celeriac/error.h"

#define CEL_CHECKPOINT_PAGES 4000 /* of log that make one worth while */
/* Where no worker makes them, or it does not keep up: the writer makes one itself. */
#define CEL_CHECKPOINT_LIMIT 12000

typedef struct cel__checkpointer cel__checkpointer;

/* Starts the thread with a connection of its own. `off`: never wait for the disk. */
cel_code
cel__checkpointer_new(cel__checkpointer **out, const char *path, bool off, cel_error *err);
void cel__checkpointer_free(
    cel__checkpointer *checkpointer); /* waits for the thread; NULL is a no-op */

/* Reserves room on the disk for the log of the database at `path`, to which a connection is open:
 * syncs are cheaper then. Does nothing where it cannot. */
void cel__checkpoint_reserve(const char *path);

/* Asks for a checkpoint soon; returns at once. Any thread. */
void cel__checkpointer_poke(cel__checkpointer *checkpointer);

#endif
