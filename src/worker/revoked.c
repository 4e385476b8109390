/* revoked.c - a hash table whose entries are in the order of their insertion: uthash keeps it. An
 * entry that comes with an earlier time than the last one (from another worker or a file) only
 * goes later than it could. */
#include "worker/revoked.h"

#include <string.h>

#include <uthash.h>

#include "core/jscan.h"
#include "core/mem.h"

typedef struct entry {
    UT_hash_handle hh;
    int64_t since_ms;
    size_t len;
    char id[];
} entry;

struct cel_revoked {
    entry *entries;
    size_t max;
    int64_t expires_ms;
};

cel_code cel__revoked_new(cel_revoked **out, size_t max, int64_t expires_ms, cel_error *err)
{
    cel_revoked *revoked = cel__calloc(1, sizeof *revoked);

    if (!revoked)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the ids of revoked tasks");
    revoked->max = max;
    revoked->expires_ms = expires_ms;
    *out = revoked;
    return CEL_OK;
}

static void drop(cel_revoked *revoked, entry *old)
{
    HASH_DEL(revoked->entries, old);
    cel__free(old);
}

void cel__revoked_free(cel_revoked *revoked)
{
    if (!revoked)
        return;
    while (revoked->entries)
        drop(revoked, revoked->entries);
    cel__free(revoked);
}

static entry *find(const cel_revoked *revoked, cel_view id)
{
    entry *found = NULL;

    HASH_FIND(hh, revoked->entries, id.ptr, id.len, found);
    return found;
}

static bool has_expired(const cel_revoked *revoked, const entry *which, int64_t now_ms)
{
    return which->since_ms + revoked->expires_ms <= now_ms;
}

bool cel__revoked_add(cel_revoked *revoked, cel_view id, int64_t since_ms, int64_t now_ms)
{
    entry *made, *old;

    if (id.len == 0 || id.len > CEL_REVOKED_ID_MAX)
        return true;
    if (since_ms > now_ms)
        since_ms = now_ms;
    if (since_ms + revoked->expires_ms <= now_ms)
        return true;
    made = cel__malloc(sizeof *made + id.len);
    if (!made)
        return false;
    memcpy(made->id, id.ptr, id.len);
    made->len = id.len;
    made->since_ms = since_ms;
    old = find(revoked, id);
    if (old) {
        if (old->since_ms > since_ms)
            made->since_ms = old->since_ms;
        drop(revoked, old);
    }
    HASH_ADD_KEYPTR(hh, revoked->entries, made->id, made->len, made);
    cel__revoked_purge(revoked, now_ms);
    while (HASH_COUNT(revoked->entries) > revoked->max)
        drop(revoked, revoked->entries);
    return true;
}

bool cel__revoked_has(const cel_revoked *revoked, cel_view id, int64_t now_ms)
{
    const entry *found = revoked->entries ? find(revoked, id) : NULL;

    return found && !has_expired(revoked, found, now_ms);
}

void cel__revoked_purge(cel_revoked *revoked, int64_t now_ms)
{
    while (revoked->entries && has_expired(revoked, revoked->entries, now_ms))
        drop(revoked, revoked->entries);
}

size_t cel__revoked_count(const cel_revoked *revoked)
{
    return HASH_COUNT(revoked->entries);
}

void cel__revoked_each(const cel_revoked *revoked,
                       void (*each)(void *user, cel_view id, int64_t since_ms),
                       void *user)
{
    for (const entry *at = revoked->entries; at; at = at->hh.next)
        each(user, (cel_view){at->id, at->len}, at->since_ms);
}

void cel__revoked_dump(cel__buf *buf, const cel_revoked *revoked)
{
    cel__buf_add_byte(buf, '{');
    for (const entry *at = revoked->entries; at; at = at->hh.next) {
        if (at != revoked->entries)
            cel__buf_add_str(buf, ",\n");
        cel__buf_add_json(buf, (cel_view){at->id, at->len});
        cel__buf_add_str(buf, ": ");
        cel__buf_add_int(buf, at->since_ms);
    }
    cel__buf_add_byte(buf, '}');
}

cel_code cel__revoked_load(cel_revoked *revoked, cel_view text, int64_t now_ms, cel_error *err)
{
    cel_jscan scan;
    cel_jvalue value, id, since;
    cel__buf scratch = {0};
    int64_t since_ms;
    bool added = true;
    cel_code code = cel__jscan_value(&value, text, err);

    if (code != CEL_OK)
        return code;
    if (value.type != CEL_JSON_OBJECT)
        return cel_error_set(err, CEL_EPROTO, "revoked ids that are no object");
    cel__jscan_object(&scan, value);
    while (added && cel__jscan_next_member(&scan, &id, &since)) {
        cel__buf_reset(&scratch);
        if (cel__jscan_int(since, &since_ms) && cel__jscan_string(id, &scratch))
            added = cel__revoked_add(revoked, cel__buf_view(&scratch), since_ms, now_ms);
    }
    cel__buf_done(&scratch);
    if (!added)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the ids of revoked tasks");
    return CEL_OK;
}
