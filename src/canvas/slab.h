/* slab.h - memory of a plan: many small pieces, freed together. One thread. */
#ifndef CEL_CANVAS_SLAB_H
#define CEL_CANVAS_SLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/view.h"

typedef struct cel__slab {
    struct cel__chunk *chunks; /* owned; the newest first */
    char *at, *end;            /* what is free in the newest */
    cel__buf scratch; /* for texts that grow: reset it, build there, cel__slab_finish() */
} cel__slab;

/* Return memory (zeroed, aligned for anything; or text, unaligned and not zeroed) that lives as
 * long as the slab; NULL when out of memory. A `size` of 0 gives a valid pointer. */
void *cel__slab_zalloc(cel__slab *slab, size_t size);
char *cel__slab_text(cel__slab *slab, size_t size);

/* Puts a copy of `view` in *out. False when out of memory. */
bool cel__slab_copy(cel__slab *slab, cel_view view, cel_view *out);

/* Puts a copy of what was built in the scratch buffer in *out. False when out of memory. */
bool cel__slab_finish(cel__slab *slab, cel_view *out);

/* Frees it all; the slab is empty afterwards. */
void cel__slab_done(cel__slab *slab);

#endif
