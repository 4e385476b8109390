/* preview.c - what would be sent between two times. */
#include <string.h>

#include "beat/impl.h"
#include "core/mem.h"

struct preview {
    cel_entry **entries; /* owned array of owned entries */
    size_t count;
    cel_beat_heap heap;
};

static void done(struct preview *preview)
{
    for (size_t i = 0; i < preview->count; i++)
        cel__entry_free(preview->entries[i]);
    cel__free(preview->entries);
    cel__free(preview->heap.entries);
}

static cel_code
load(struct preview *preview, const cel_app *app, json_t *sources, cel_error *err)
{
    const char *name;
    json_t *source;
    size_t count = json_object_size(sources);

    preview->entries = cel__calloc(count + 1, sizeof(cel_entry *));
    if (!preview->entries || !cel__heap_reserve(&preview->heap, count))
        return cel_error_set(err, CEL_ENOMEM, "no memory for beat's entries");
    json_object_foreach(sources, name, source)
    {
        cel_code code =
            cel__entry_new(&preview->entries[preview->count], app, name, source, err);

        if (code != CEL_OK)
            return code;
        preview->count++;
    }
    return CEL_OK;
}

static void
advance(cel_beat_heap *heap, const cel_zone *zone, cel_entry *entry, int64_t last_us)
{
    if (cel__schedule_next(&entry->schedule, zone, last_us, &entry->wake_us))
        cel__heap_put(heap, entry);
    else
        cel__heap_take(heap, entry);
}

cel_code cel__beat_preview(cel_app *app,
                           const cel_zone *zone,
                           int64_t from_us,
                           int64_t to_us,
                           bool (*each)(void *user, int64_t due_us, const cel_entry *entry),
                           void *user,
                           cel_error *err)
{
    struct preview preview = {0};
    json_t *sources = cel__entries_gather(app);
    cel_code code = sources ? load(&preview, app, sources, err)
                            : cel_error_set(err, CEL_ENOMEM, "no memory for beat's entries");

    for (size_t i = 0; code == CEL_OK && i < preview.count; i++)
        advance(&preview.heap, zone, preview.entries[i], from_us);
    while (code == CEL_OK && preview.heap.count > 0) {
        cel_entry *entry = preview.heap.entries[0];

        if (entry->wake_us > to_us || !each(user, entry->wake_us, entry))
            break;
        advance(&preview.heap, zone, entry, entry->wake_us);
    }
    done(&preview);
    json_decref(sources);
    return code;
}
