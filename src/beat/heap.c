/* heap.c - a binary heap that knows where each entry is. */
#include "beat/impl.h"
#include "core/mem.h"

bool cel__heap_reserve(cel_beat_heap *heap, size_t count)
{
    size_t cap = heap->cap * 2 > count ? heap->cap * 2 : count;
    cel_entry **entries;

    if (count <= heap->cap)
        return true;
    entries = cel__realloc(heap->entries, cap * sizeof *entries);
    if (!entries)
        return false;
    heap->entries = entries;
    heap->cap = cap;
    return true;
}

static void set(cel_beat_heap *heap, size_t at, cel_entry *entry)
{
    heap->entries[at] = entry;
    entry->heap_at = at;
}

static void sift_up(cel_beat_heap *heap, size_t at, cel_entry *entry)
{
    while (at > 0 && heap->entries[(at - 1) / 2]->wake_us > entry->wake_us) {
        set(heap, at, heap->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    set(heap, at, entry);
}

static void sift_down(cel_beat_heap *heap, size_t at, cel_entry *entry)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < heap->count &&
            heap->entries[child + 1]->wake_us < heap->entries[child]->wake_us)
            child++;
        if (child >= heap->count || heap->entries[child]->wake_us >= entry->wake_us)
            break;
        set(heap, at, heap->entries[child]);
        at = child;
    }
    set(heap, at, entry);
}

void cel__heap_put(cel_beat_heap *heap, cel_entry *entry)
{
    if (entry->heap_at == CEL_ENTRY_NO_HEAP) {
        sift_up(heap, heap->count++, entry);
        return;
    }
    sift_up(heap, entry->heap_at, entry);
    sift_down(heap, entry->heap_at, entry);
}

void cel__heap_take(cel_beat_heap *heap, cel_entry *entry)
{
    size_t at = entry->heap_at;
    cel_entry *last;

    if (at == CEL_ENTRY_NO_HEAP)
        return;
    entry->heap_at = CEL_ENTRY_NO_HEAP;
    last = heap->entries[--heap->count];
    if (last == entry)
        return;
    set(heap, at, last);
    sift_up(heap, at, last);
    sift_down(heap, last->heap_at, last);
}
