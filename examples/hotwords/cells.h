/* cells.h - which cells of a double array are free, and finding room in it. For dict_build.c. */
#ifndef HW_CELLS_H
#define HW_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "hw_error.h"

/* Zero-initialised it is empty. Cell 0 is the root's and never given away. */
typedef struct hw_cells {
    uint64_t *taken;      /* a bit for each cell, from the least significant */
    uint64_t *base_taken; /* a bit for each base */
    size_t words;         /* in each of the two */
    size_t full;          /* all words before this one of `taken` have no free cell */
    size_t start;         /* the base to begin with when there is more than one label */
    uint32_t last;        /* the largest cell taken */
    uint32_t last_base;
} hw_cells;

void hw_cells_done(hw_cells *cells);

/* Finds a base, neither 0 nor anyone else's, so that all base + labels[i] are free, takes these
 * cells and puts the base in *base. `labels` holds `count` > 0 labels in ascending order. The array
 * stays smallest if those with many labels come first. HW_EINVAL: the array would become too large. */
hw_code hw_cells_place(
    hw_cells *cells, const uint16_t *labels, size_t count, uint32_t *base, hw_error *err);

#endif
