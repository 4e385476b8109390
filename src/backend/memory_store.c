/* memory_store.c - three hash tables (uthash) keyed by id.
 *
 * Beside its table each kind has a list in order of last change: what expires is at its front
 * as long as all users of a store keep their records equally long. (Where they do not, a record
 * may live as long as the one before it.)
 *
 * A chord goes COLLECTING -> COMPLETE (the last part, or opening, reached the size) -> DONE.
 * It keeps no parts when done, but stays until it expires, so that a late opening or part
 * cannot start it a second time. */
#include "backend/memory_store.h"

#include <stdlib.h>

#include "backend/hash.h"
#include "core/mem.h"

enum {
    CHORD_COLLECTING,
    CHORD_COMPLETE,
    CHORD_DONE
};
enum {
    RANK_UNREADY,
    RANK_FAILED,
    RANK_SUCCESS
}; /* see outranks() */

#define DONE_KEPT_MS ((int64_t)86400000) /* a done chord's memory where nothing else expires */

struct result {
    char *task_id, *document, *group_id; /* owned; group_id NULL: none */
    size_t document_len;
    int rank;
    bool lost; /* the hash table had no memory for it */
    int64_t expires_ms;
    struct result *prev, *next; /* by age */
    UT_hash_handle hh;
};

struct group {
    char *gid;
    char *saved; /* NULL: none */
    size_t saved_len;
    int64_t ready, succeeded;
    bool lost;
    int64_t expires_ms;
    struct group *prev, *next; /* by age */
    UT_hash_handle hh;
};

struct part {
    char *task_id, *result;
    size_t result_len;
    int64_t index, arrival;
    bool failed, lost;
    UT_hash_handle hh;
};

struct chord {
    char *gid, *body, *parent_id, *root_id;
    int64_t size; /* 0: not opened yet */
    int64_t count, failed;
    int state;
    uint64_t owner;   /* COMPLETE: whose turn it is; 0: nobody's */
    int64_t since_ms; /* COMPLETE: since when */
    bool lost;
    int64_t expires_ms;
    struct part *parts;
    struct chord *prev, *next; /* by age */
    UT_hash_handle hh;
};

struct cel__memory_store {
    struct result *results, *old_results; /* the table, the list */
    struct group *groups, *old_groups;
    struct chord *chords, *old_chords;
};

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory in the result store");
}

static void free_result(struct result *result)
{
    if (!result)
        return;
    cel__free(result->task_id);
    cel__free(result->document);
    cel__free(result->group_id);
    cel__free(result);
}

static void free_group(struct group *group)
{
    if (!group)
        return;
    cel__free(group->gid);
    cel__free(group->saved);
    cel__free(group);
}

static void free_part(struct part *part)
{
    if (!part)
        return;
    cel__free(part->task_id);
    cel__free(part->result);
    cel__free(part);
}

static void free_parts(struct chord *chord)
{
    struct part *part, *next;

    HASH_ITER(hh, chord->parts, part, next)
    {
        HASH_DEL(chord->parts, part);
        free_part(part);
    }
}

static void free_chord(struct chord *chord)
{
    if (!chord)
        return;
    free_parts(chord);
    cel__free(chord->gid);
    cel__free(chord->body);
    cel__free(chord->parent_id);
    cel__free(chord->root_id);
    cel__free(chord);
}

cel__memory_store *cel__memory_store_new(void)
{
    return cel__calloc(1, sizeof(cel__memory_store));
}

/* ---- results and the counts of their groups ---- */

static struct result *find_result(const cel__memory_store *store, cel_view task_id)
{
    struct result *result;

    HASH_FIND(hh, store->results, task_id.ptr, task_id.len, result);
    return result;
}

static struct group *find_group(const cel__memory_store *store, cel_view gid)
{
    struct group *group;

    HASH_FIND(hh, store->groups, gid.ptr, gid.len, group);
    return group;
}

static struct group *need_group(cel__memory_store *store, cel_view gid)
{
    struct group *group = find_group(store, gid);

    if (group)
        return group;
    group = cel__calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->gid = cel__memdup(gid.ptr, gid.len);
    if (!group->gid)
        goto fail;
    HASH_ADD_KEYPTR(hh, store->groups, group->gid, gid.len, group);
    if (group->lost)
        goto fail;
    DL_APPEND(store->old_groups, group);
    return group;

fail:
    free_group(group);
    return NULL;
}

static void refresh_group(cel__memory_store *store, struct group *group, int64_t expires_ms)
{
    group->expires_ms = expires_ms;
    DL_DELETE(store->old_groups, group);
    DL_APPEND(store->old_groups, group);
}

/* Counts a result in or out of its group. */
static void count_result(cel__memory_store *store, const struct result *result, int by)
{
    struct group *group;

    if (!result->group_id || result->rank == RANK_UNREADY)
        return;
    group = find_group(store, cel__view(result->group_id));
    if (!group)
        return;
    group->ready += by;
    group->succeeded += result->rank == RANK_SUCCESS ? by : 0;
}

static int rank_of(const cel_backend_record *record)
{
    if (!record->ready)
        return RANK_UNREADY;
    return cel__view_is(record->status, "SUCCESS") ? RANK_SUCCESS : RANK_FAILED;
}

/* Whether a stored result of rank `old` stays although one of rank `new` comes. */
static bool outranks(int old, int new)
{
    return old == RANK_SUCCESS || (old == RANK_FAILED && new == RANK_UNREADY);
}

static struct result *new_result(const cel_backend_record *record, int64_t expires_ms)
{
    struct result *result = cel__calloc(1, sizeof *result);

    if (!result)
        return NULL;
    result->task_id = cel__memdup(record->task_id.ptr, record->task_id.len);
    result->document = cel__memdup(record->document.ptr, record->document.len);
    result->document_len = record->document.len;
    result->rank = rank_of(record);
    result->expires_ms = expires_ms;
    if (record->group_id.ptr)
        result->group_id = cel__memdup(record->group_id.ptr, record->group_id.len);
    if (result->task_id && result->document && (result->group_id || !record->group_id.ptr))
        return result;
    free_result(result);
    return NULL;
}

/* Takes the place of `old` in the table: what is new is in `result`, which is freed with
 * what was old. */
static void replace_result(cel__memory_store *store, struct result *old, struct result *result)
{
    struct result was = *old;

    count_result(store, old, -1);
    old->document = result->document;
    old->document_len = result->document_len;
    old->group_id = result->group_id;
    old->rank = result->rank;
    old->expires_ms = result->expires_ms;
    result->document = was.document;
    result->group_id = was.group_id;
    free_result(result);
    DL_DELETE(store->old_results, old);
    DL_APPEND(store->old_results, old);
    count_result(store, old, 1);
}

static bool add_result(cel__memory_store *store, struct result *result, size_t id_len)
{
    HASH_ADD_KEYPTR(hh, store->results, result->task_id, id_len, result);
    if (result->lost) {
        free_result(result);
        return false;
    }
    DL_APPEND(store->old_results, result);
    count_result(store, result, 1);
    return true;
}

cel_code cel__memory_store_put(cel__memory_store *store,
                               const cel_backend_record *record,
                               int64_t expires_ms,
                               bool *changed,
                               cel_error *err)
{
    struct result *old = find_result(store, record->task_id);
    struct group *group;
    struct result *result;

    *changed = false;
    if (old && outranks(old->rank, rank_of(record)))
        return CEL_OK;
    if (record->group_id.ptr) {
        group = need_group(store, record->group_id);
        if (!group)
            return fail_memory(err);
        refresh_group(store, group, expires_ms);
    }
    result = new_result(record, expires_ms);
    if (!result)
        return fail_memory(err);
    if (old)
        replace_result(store, old, result);
    else if (!add_result(store, result, record->task_id.len))
        return fail_memory(err);
    *changed = true;
    return CEL_OK;
}

cel_view cel__memory_store_get(const cel__memory_store *store, cel_view task_id)
{
    const struct result *result = find_result(store, task_id);

    return result ? (cel_view){result->document, result->document_len} : (cel_view){NULL, 0};
}

static void drop_result(cel__memory_store *store, struct result *result)
{
    count_result(store, result, -1);
    DL_DELETE(store->old_results, result);
    HASH_DEL(store->results, result);
    free_result(result);
}

void cel__memory_store_forget(cel__memory_store *store, cel_view task_id)
{
    struct result *result = find_result(store, task_id);

    if (result)
        drop_result(store, result);
}

void cel__memory_store_count(const cel__memory_store *store,
                             cel_view gid,
                             int64_t *ready,
                             int64_t *succeeded)
{
    const struct group *group = find_group(store, gid);

    *ready = group ? group->ready : 0;
    *succeeded = group ? group->succeeded : 0;
}

cel_code cel__memory_store_save(cel__memory_store *store,
                                cel_view gid,
                                cel_view document,
                                int64_t expires_ms,
                                cel_error *err)
{
    struct group *group = document.ptr ? need_group(store, gid) : find_group(store, gid);
    char *copy = NULL;

    if (!group)
        return document.ptr ? fail_memory(err) : CEL_OK;
    if (document.ptr) {
        copy = cel__memdup(document.ptr, document.len);
        if (!copy)
            return fail_memory(err);
        refresh_group(store, group, expires_ms);
    }
    cel__free(group->saved);
    group->saved = copy;
    group->saved_len = document.len;
    return CEL_OK;
}

cel_view cel__memory_store_saved(const cel__memory_store *store, cel_view gid)
{
    const struct group *group = find_group(store, gid);

    if (!group || !group->saved)
        return (cel_view){NULL, 0};
    return (cel_view){group->saved, group->saved_len};
}

/* ---- chords ---- */

static struct chord *find_chord(const cel__memory_store *store, cel_view gid)
{
    struct chord *chord;

    HASH_FIND(hh, store->chords, gid.ptr, gid.len, chord);
    return chord;
}

static struct chord *need_chord(cel__memory_store *store, cel_view gid)
{
    struct chord *chord = find_chord(store, gid);

    if (chord)
        return chord;
    chord = cel__calloc(1, sizeof *chord);
    if (!chord)
        return NULL;
    chord->gid = cel__memdup(gid.ptr, gid.len);
    if (!chord->gid)
        goto fail;
    HASH_ADD_KEYPTR(hh, store->chords, chord->gid, gid.len, chord);
    if (chord->lost)
        goto fail;
    DL_APPEND(store->old_chords, chord);
    return chord;

fail:
    free_chord(chord);
    return NULL;
}

static void refresh_chord(cel__memory_store *store, struct chord *chord, int64_t expires_ms)
{
    chord->expires_ms = expires_ms;
    DL_DELETE(store->old_chords, chord);
    DL_APPEND(store->old_chords, chord);
}

cel_code cel__memory_store_open(cel__memory_store *store,
                                cel_view gid,
                                int64_t size,
                                int64_t now_ms,
                                int64_t expires_ms,
                                cel_error *err)
{
    struct chord *chord = need_chord(store, gid);

    if (!chord)
        return fail_memory(err);
    if (chord->state == CHORD_DONE)
        return CEL_OK;
    refresh_chord(store, chord, expires_ms);
    if (chord->size == 0)
        chord->size = size;
    if (chord->state == CHORD_COLLECTING && chord->count >= chord->size) {
        chord->state = CHORD_COMPLETE; /* and nobody's: the next sweep finds it */
        chord->owner = 0;
        chord->since_ms = now_ms;
    }
    return CEL_OK;
}

void cel__memory_store_grow(cel__memory_store *store, cel_view gid, int64_t count)
{
    struct chord *chord = find_chord(store, gid);

    if (chord && chord->state == CHORD_COLLECTING && chord->size > 0)
        chord->size += count;
}

static int order_parts(const void *a, const void *b)
{
    const struct part *left = *(struct part *const *)a, *right = *(struct part *const *)b;

    if ((left->index < 0) != (right->index < 0))
        return left->index < 0 ? 1 : -1;
    if (left->index != right->index && left->index >= 0)
        return left->index < right->index ? -1 : 1;
    return left->arrival < right->arrival ? -1 : 1;
}

static void gather_results(const struct chord *chord,
                           struct part *const *parts,
                           size_t count,
                           cel__ready *ready)
{
    if (chord->failed == 0)
        cel__ready_begin_results(ready);
    for (size_t i = 0; i < count; i++) {
        cel_view result = {parts[i]->result, parts[i]->result_len};

        if (chord->failed == 0) {
            cel__ready_add_result(ready, result);
        } else if (parts[i]->failed) {
            cel__ready_set(ready, CEL_READY_FAILED_ID, cel__view(parts[i]->task_id));
            cel__ready_set(ready, CEL_READY_FAILED_RESULT, result);
            return;
        }
    }
    if (chord->failed == 0)
        cel__ready_end_results(ready);
}

static cel_code gather(struct chord *chord, cel__ready *ready, cel_error *err)
{
    size_t count = HASH_COUNT(chord->parts), i = 0;
    struct part **parts = cel__malloc(count * sizeof *parts);
    struct part *part, *next;

    if (!parts)
        return fail_memory(err);
    HASH_ITER(hh, chord->parts, part, next)
    parts[i++] = part;
    qsort(parts, count, sizeof *parts, order_parts);
    gather_results(chord, parts, count, ready);
    cel__free(parts);
    cel__ready_set(ready, CEL_READY_GID, cel__view(chord->gid));
    cel__ready_set(ready, CEL_READY_BODY, cel__view(chord->body));
    cel__ready_set(ready, CEL_READY_PARENT_ID, cel__view(chord->parent_id));
    cel__ready_set(ready, CEL_READY_ROOT_ID, cel__view(chord->root_id));
    return cel__ready_check(ready, err);
}

/* Keeps the text of `view` in *text; true unless out of memory. An absent view changes
 * nothing. */
static bool keep_text(char **text, cel_view view)
{
    char *copy;

    if (!view.ptr)
        return true;
    copy = cel__memdup(view.ptr, view.len);
    if (!copy)
        return false;
    cel__free(*text);
    *text = copy;
    return true;
}

static struct part *add_part(struct chord *chord, const cel_chord_part *from)
{
    struct part *part = cel__calloc(1, sizeof *part);

    if (!part)
        return NULL;
    part->task_id = cel__memdup(from->task_id.ptr, from->task_id.len);
    part->result = cel__memdup(from->result.ptr, from->result.len);
    part->result_len = from->result.len;
    part->index = from->index;
    part->arrival = chord->count;
    part->failed = !cel__view_is(from->status, "SUCCESS");
    if (!part->task_id || !part->result)
        goto fail;
    HASH_ADD_KEYPTR(hh, chord->parts, part->task_id, from->task_id.len, part);
    if (part->lost)
        goto fail;
    chord->count++;
    chord->failed += part->failed;
    return part;

fail:
    free_part(part);
    return NULL;
}

static void remove_part(struct chord *chord, struct part *part)
{
    chord->count--;
    chord->failed -= part->failed;
    HASH_DEL(chord->parts, part);
    free_part(part);
}

cel_code cel__memory_store_part(cel__memory_store *store,
                                const cel_chord_part *part,
                                const cel__memory_moment *moment,
                                cel__ready *ready,
                                bool *completed,
                                cel_error *err)
{
    struct chord *chord = need_chord(store, part->gid);
    struct part *added;

    if (!chord)
        return fail_memory(err);
    *completed = false;
    if (chord->state != CHORD_COLLECTING)
        return CEL_OK;
    refresh_chord(store, chord, moment->expires_ms);
    HASH_FIND(hh, chord->parts, part->task_id.ptr, part->task_id.len, added);
    if (added)
        return CEL_OK;
    if (!chord->body && !keep_text(&chord->body, part->body))
        return fail_memory(err);
    if (!keep_text(&chord->parent_id, part->task_id) ||
        !keep_text(&chord->root_id, part->root_id))
        return fail_memory(err);
    added = add_part(chord, part);
    if (!added)
        return fail_memory(err);
    if (chord->size == 0 || chord->count < chord->size)
        return CEL_OK;
    if (gather(chord, ready, err) != CEL_OK) {
        remove_part(chord, added);
        return CEL_ENOMEM;
    }
    chord->state = CHORD_COMPLETE;
    chord->owner = moment->owner;
    chord->since_ms = moment->now_ms;
    *completed = true;
    return CEL_OK;
}

void cel__memory_store_fired(cel__memory_store *store, cel_view gid)
{
    struct chord *chord = find_chord(store, gid);

    if (!chord || chord->state != CHORD_COMPLETE)
        return;
    chord->state = CHORD_DONE;
    if (chord->expires_ms == 0)
        chord->expires_ms = chord->since_ms + DONE_KEPT_MS;
    free_parts(chord);
    cel__free(chord->body);
    chord->body = NULL;
}

cel_code cel__memory_store_claim(cel__memory_store *store,
                                 const cel__memory_moment *moment,
                                 int64_t before_ms,
                                 bool (*alive)(void *user, uint64_t owner),
                                 void *user,
                                 cel__ready *ready,
                                 bool *found,
                                 cel_error *err)
{
    struct chord *chord, *next;

    *found = false;
    HASH_ITER(hh, store->chords, chord, next)
    {
        if (chord->state != CHORD_COMPLETE)
            continue;
        if (alive(user, chord->owner) && chord->since_ms >= before_ms)
            continue;
        if (gather(chord, ready, err) != CEL_OK)
            return CEL_ENOMEM;
        chord->owner = moment->owner;
        chord->since_ms = moment->now_ms;
        *found = true;
        break;
    }
    return CEL_OK;
}

/* ---- the end of records ---- */

static void drop_group(cel__memory_store *store, struct group *group)
{
    DL_DELETE(store->old_groups, group);
    HASH_DEL(store->groups, group);
    free_group(group);
}

static void drop_chord(cel__memory_store *store, struct chord *chord)
{
    DL_DELETE(store->old_chords, chord);
    HASH_DEL(store->chords, chord);
    free_chord(chord);
}

static bool expired(int64_t expires_ms, int64_t now_ms)
{
    return expires_ms && expires_ms <= now_ms;
}

size_t cel__memory_store_expire(cel__memory_store *store, int64_t now_ms, size_t limit)
{
    size_t count = 0;

    for (size_t i = 0; i < limit && store->old_results; i++, count++) {
        if (!expired(store->old_results->expires_ms, now_ms))
            break;
        drop_result(store, store->old_results);
    }
    for (size_t i = 0; i < limit && store->old_groups; i++, count++) {
        if (!expired(store->old_groups->expires_ms, now_ms))
            break;
        drop_group(store, store->old_groups);
    }
    for (size_t i = 0; i < limit && store->old_chords; i++, count++) {
        if (!expired(store->old_chords->expires_ms, now_ms))
            break;
        drop_chord(store, store->old_chords);
    }
    return count;
}

void cel__memory_store_free(cel__memory_store *store)
{
    if (!store)
        return;
    while (store->old_results)
        drop_result(store, store->old_results);
    while (store->old_groups)
        drop_group(store, store->old_groups);
    while (store->old_chords)
        drop_chord(store, store->old_chords);
    cel__free(store);
}
