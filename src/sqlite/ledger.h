/* ledger.h - which claimed messages this process has accepted, in a file that outlives it.
 *
 * One ledger per owner: `<db>-run/ledger.<owner>`, an array of claim numbers in mapped memory.
 * Noting one is a plain store: no system call, no transaction, and it survives kill -9 (not a
 * power cut: then everything claimed counts as accepted). Whoever finds the owner dead reads
 * it. note and clear belong to one thread. */
#ifndef CEL_SQLITE_LEDGER_H
#define CEL_SQLITE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "celeriac/error.h"

typedef struct cel__ledger cel__ledger;

#define CEL_LEDGER_NONE UINT32_MAX /* no cell */

/* Creates the owner's ledger; *out is a reference of the caller's. CEL_EFULL: no room on the
 * disk; CEL_EIO. */
cel_code cel__ledger_new(cel__ledger **out, const char *run_dir, int64_t owner, cel_error *err);
cel__ledger *cel__ledger_ref(cel__ledger *ledger); /* any thread, as unref */
void cel__ledger_unref(cel__ledger *ledger);       /* NULL is a no-op; the file stays */

/* Notes `claim` (not 0) and gives the cell that clears it. */
cel_code cel__ledger_note(cel__ledger *ledger, int64_t claim, uint32_t *cell, cel_error *err);
void cel__ledger_clear(cel__ledger *ledger, uint32_t cell); /* CEL_LEDGER_NONE is a no-op */

/* Reads another's ledger: a sorted array owned by the caller, free with cel__free().
 * CEL_ENOENT: there is none (or it is damaged). */
cel_code cel__ledger_read(
    int64_t **claims, size_t *count, const char *run_dir, int64_t owner, cel_error *err);
void cel__ledger_remove(const char *run_dir, int64_t owner);

#endif
