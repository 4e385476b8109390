/* bell.h - waking those in other processes who wait for what a commit has made true.
 *
 * `<db>-run/bell` is mapped by every engine of the file; each has a slot there that says what
 * it waits for (a Bloom filter of event hashes), a small ring of the hashes that were rung, and
 * a FIFO of its own. Who rings after a commit looks at the slots and writes a byte to the FIFO
 * of those who wait for it, unless that byte is under way already: a busy system pays a few
 * loads per commit and no system call, an idle one nothing.
 *
 * want and drain belong to the loop's thread, ring to the engine's, open and close to no other
 * at that time. */
#ifndef CEL_SQLITE_BELL_H
#define CEL_SQLITE_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "sqlite/process.h"

typedef struct cel__bell cel__bell;

/* The low bits of a hash that are not compared: the ring keeps a lap count there. */
#define CEL_BELL_MASK (~UINT64_C(0xff))

/* Takes a slot, creating directory and file as needed. With all slots taken it succeeds and
 * fd() is -1: who waits must look for itself from time to time. */
cel_code
cel__bell_open(cel__bell **out, const char *run_dir, const cel__process *self, cel_error *err);

/* Gives the slot back; the last one removes the files. NULL is a no-op. */
void cel__bell_close(cel__bell *bell);

/* Readable when somebody has rung; then call drain(). */
int cel__bell_fd(const cel__bell *bell);

/* From the return of want() on, who rings `hash` is heard. Counted: as many unwant() as want().
 */
void cel__bell_want(cel__bell *bell, uint64_t hash);
void cel__bell_unwant(cel__bell *bell, uint64_t hash);

/* Calls `rung` for what was rung since the last time. Returns true if something may have been
 * missed: then everybody who waits must look. `readable`: the descriptor is. */
bool cel__bell_drain(cel__bell *bell,
                     bool readable,
                     void (*rung)(void *user, uint64_t hash),
                     void *user);

/* Rings; for what this very bell wants, it only fills the ring: the caller sees to it that
 * drain() is called, and is told so by true. */
bool cel__bell_ring(cel__bell *bell, const uint64_t *hashes, size_t count);

/* Frees the slots of dead processes. */
void cel__bell_sweep(cel__bell *bell);

#endif
