/* cells.c - first fit, 64 bases at a time: the bits of all the cells that label l leads to from 64
 * neighbouring bases are a window of the bitmap, and what no label's window excludes is room.
 *
 * In front, where few cells are free, a search for several seldom fits. So a long search moves the
 * beginning of the next ones forward, by very little; single children fill what is left there. */
#include "cells.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX   (UINT32_MAX / 4)
#define LONG_SEARCH 64000 /* bases tried */
#define FORWARD     2048  /* one in so many of the bases tried is given up */

void hw_cells_done(hw_cells *cells)
{
    free(cells->taken);
    free(cells->base_taken);
    *cells = (hw_cells){0};
}

static bool grow_bits(uint64_t **bits, size_t old, size_t words)
{
    uint64_t *grown = realloc(*bits, words * sizeof *grown);

    if (!grown)
        return false;
    memset(grown + old, 0, (words - old) * sizeof *grown);
    *bits = grown;
    return true;
}

/* Makes the bits of the cells up to `cell` exist, and a window's more. */
static hw_code need_cell(hw_cells *cells, size_t cell, hw_error *err)
{
    const size_t old = cells->words, needed = cell / 64 + 3;

    if (needed <= old)
        return HW_OK;
    if (cell > CELLS_MAX)
        return hw_fail(err, HW_EINVAL, "the words need too many cells");
    if (!grow_bits(&cells->taken, old, needed + needed / 2) ||
        !grow_bits(&cells->base_taken, old, needed + needed / 2))
        return hw_fail_memory(err);
    cells->words = needed + needed / 2;
    if (old == 0) {
        cells->taken[0] = 1;
        cells->base_taken[0] = 1;
    }
    return HW_OK;
}

/* The 64 bits from `at` on. */
static uint64_t window(const uint64_t *bits, size_t at)
{
    const unsigned shift = at % 64;
    const uint64_t *word = bits + at / 64;

    return shift == 0 ? word[0] : word[0] >> shift | word[1] << (64 - shift);
}

static void set_bit(uint64_t *bits, size_t at)
{
    assert((bits[at / 64] >> at % 64 & 1) == 0);
    bits[at / 64] |= (uint64_t)1 << at % 64;
}

/* The smallest base at or behind which there can be room for a child of label `first`. */
static size_t first_base(hw_cells *cells, size_t first)
{
    while (cells->full < cells->words && cells->taken[cells->full] == UINT64_MAX)
        cells->full++;
    return cells->full * 64 > first ? cells->full * 64 - first : 0;
}

hw_code hw_cells_place(
    hw_cells *cells, const uint16_t *labels, size_t count, uint32_t *base, hw_error *err)
{
    size_t at = first_base(cells, labels[0]), begin;
    uint64_t excluded;

    if (count > 1 && at < cells->start)
        at = cells->start;
    begin = at;
    for (;; at += 64) {
        hw_code code = need_cell(cells, at + labels[count - 1] + 64, err);

        if (code != HW_OK)
            return code;
        excluded = window(cells->base_taken, at);
        for (size_t i = 0; i < count && excluded != UINT64_MAX; i++)
            excluded |= window(cells->taken, at + labels[i]);
        if (excluded != UINT64_MAX)
            break;
    }
    if (count > 1 && at - begin > LONG_SEARCH)
        cells->start = begin + (at - begin) / FORWARD;
    *base = (uint32_t)(at + (unsigned)__builtin_ctzll(~excluded));
    set_bit(cells->base_taken, *base);
    for (size_t i = 0; i < count; i++)
        set_bit(cells->taken, *base + labels[i]);
    if (*base > cells->last_base)
        cells->last_base = *base;
    if (*base + labels[count - 1] > cells->last)
        cells->last = *base + labels[count - 1];
    return HW_OK;
}
