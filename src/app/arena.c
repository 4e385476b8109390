/* arena.c - a list of blocks; the newest one is filled from its front. */
#include "app/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "core/mem.h"

#define BLOCK_BYTES ((size_t)4096)

struct cel__arena_block {
    struct cel__arena_block *next;
    size_t used, cap;
    alignas(max_align_t) char bytes[];
};

static struct cel__arena_block *add_block(cel__arena *arena, size_t size)
{
    size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct cel__arena_block *block;

    if (cap > SIZE_MAX / 2)
        return NULL;
    block = cel__malloc(sizeof *block + cap);
    if (!block)
        return NULL;
    block->used = 0;
    block->cap = cap;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *cel__arena_alloc(cel__arena *arena, size_t size)
{
    struct cel__arena_block *block = arena->blocks;
    size_t align = alignof(max_align_t);
    void *out;

    if (size > SIZE_MAX / 4)
        return NULL;
    size = (size + align - 1) / align * align;
    if (!block || block->cap - block->used < size)
        block = add_block(arena, size);
    if (!block)
        return NULL;
    out = block->bytes + block->used;
    block->used += size;
    return out;
}

cel_view cel__arena_copy(cel__arena *arena, cel_view text)
{
    char *copy;

    if (!text.ptr)
        return (cel_view){NULL, 0};
    copy = cel__arena_alloc(arena, text.len + 1);
    if (!copy)
        return (cel_view){NULL, 0};
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (cel_view){copy, text.len};
}

static void free_blocks(struct cel__arena_block *block)
{
    while (block) {
        struct cel__arena_block *next = block->next;

        cel__free(block);
        block = next;
    }
}

void cel__arena_reset(cel__arena *arena)
{
    struct cel__arena_block *block = arena->blocks;

    if (!block)
        return;
    if (!block->next && block->cap == BLOCK_BYTES) { /* the common case */
        block->used = 0;
        return;
    }
    free_blocks(block);
    arena->blocks = NULL;
}

void cel__arena_done(cel__arena *arena)
{
    free_blocks(arena->blocks);
    arena->blocks = NULL;
}
