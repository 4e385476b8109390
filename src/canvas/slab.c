/* slab.c - chunks that double in size up to a limit; what is larger gets a chunk of its own. */
#include "canvas/slab.h"

#include <assert.h>
#include <stdint.h>

#include "core/mem.h"

#define CHUNK_MIN ((size_t)4000)
#define CHUNK_MAX ((size_t)1 << 20)
#define ALIGN     ((size_t)16)

struct cel__chunk {
    struct cel__chunk *next;
    size_t size; /* of the memory behind this head */
};

static_assert(sizeof(struct cel__chunk) % ALIGN == 0, "what follows a head must be aligned");

static bool add_chunk(cel__slab *slab, size_t need)
{
    size_t size = slab->chunks ? slab->chunks->size * 2 : CHUNK_MIN;
    struct cel__chunk *chunk;

    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < need)
        size = need;
    if (size > CEL_SLAB_MAX - slab->size)
        return false;
    chunk = cel__malloc(sizeof *chunk + size);
    if (!chunk)
        return false;
    *chunk = (struct cel__chunk){.next = slab->chunks, .size = size};
    slab->chunks = chunk;
    slab->size += size;
    slab->at = (char *)(chunk + 1);
    slab->end = slab->at + size;
    return true;
}

char *cel__slab_text(cel__slab *slab, size_t size)
{
    char *text;

    if (size > (size_t)(slab->end - slab->at) || !slab->at) {
        if (!add_chunk(slab, size))
            return NULL;
    }
    text = slab->at;
    slab->at += size;
    return text;
}

void *cel__slab_zalloc(cel__slab *slab, size_t size)
{
    size_t pad = (ALIGN - ((uintptr_t)slab->at & (ALIGN - 1))) & (ALIGN - 1);
    char *memory;

    if (size > SIZE_MAX - 2 * ALIGN)
        return NULL;
    if (slab->at && pad + size <= (size_t)(slab->end - slab->at))
        slab->at += pad;
    else if (!add_chunk(slab, size + ALIGN))
        return NULL;
    memory = slab->at; /* a fresh chunk is aligned: malloc() and its head are */
    slab->at += size;
    return memset(memory, 0, size);
}

bool cel__slab_copy(cel__slab *slab, cel_view view, cel_view *out)
{
    char *copy = cel__slab_text(slab, view.len);

    if (!copy)
        return false;
    if (view.len > 0)
        memcpy(copy, view.ptr, view.len);
    *out = (cel_view){copy, view.len};
    return true;
}

bool cel__slab_finish(cel__slab *slab, cel_view *out)
{
    return !slab->scratch.failed && cel__slab_copy(slab, cel__buf_view(&slab->scratch), out);
}

void cel__slab_done(cel__slab *slab)
{
    cel__buf_done(&slab->scratch);
    while (slab->chunks) {
        struct cel__chunk *next = slab->chunks->next;

        cel__free(slab->chunks);
        slab->chunks = next;
    }
    *slab = (cel__slab){0};
}
