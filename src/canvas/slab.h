/* slab.h - memory of a plan: many small pieces, freed together. One thread. */
#ifndef CEL_CANVAS_SLAB_H
#define CEL_CANVAS_SLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/view.h"

/* Bytes of one slab: what a hostile canvas may cost (callbacks times the size of a result,
 * say). */
#define CEL_SLAB_MAX ((size_t)2 << 30)

typedef struct cel__slab {
    struct cel__chunk *chunks; /* owned; the newest first */
    char *at, *end;            /* what is free in the newest */
    size_t size;               /* of all chunks; at most CEL_SLAB_MAX */
    cel__buf scratch; /* for texts that grow: reset it, build there, cel__slab_finish() */
} cel__slab;

/* Return memory (zeroed, aligned for anything; or text, unaligned and not zeroed) that lives
 * as long as the slab; NULL when out of memory or beyond CEL_SLAB_MAX. A `size` of 0 gives a
 * valid pointer. */
void *cel__slab_zalloc(cel__slab *slab, size_t size);
char *cel__slab_text(cel__slab *slab, size_t size);

/* Puts a copy of `view` in *out. False when out of memory. */
bool cel__slab_copy(cel__slab *slab, cel_view view, cel_view *out);

/* Puts a copy of what was built in the scratch buffer in *out. False when out of memory. */
bool cel__slab_finish(cel__slab *slab, cel_view *out);

/* Frees it all; the slab is empty afterwards. */
void cel__slab_done(cel__slab *slab);

#endif
