/* table.c - open addressing with linear probing over entries that never move their words. */
#include "table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_SLOTS 1024

void hw_table_done(hw_table *table)
{
    free(table->entries);
    free(table->slots);
    hw_buf_done(&table->bytes);
    *table = (hw_table){0};
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static uint32_t hash_word(const hw_table *table, const char *word, size_t len)
{
    uint64_t hash = table->seed ^ len, tail = 0;

    for (; len >= 8; word += 8, len -= 8) {
        uint64_t eight;
        memcpy(&eight, word, 8);
        hash = mix(hash, eight);
    }
    for (size_t i = 0; i < len; i++)
        tail = tail << 8 | (unsigned char)word[i];
    hash = mix(hash, tail);
    return (uint32_t)(hash >> 32 ^ hash);
}

/* The slot that holds the word, or the free one where it belongs. There is one. */
static size_t find_slot(const hw_table *table, const char *word, size_t len, uint32_t hash)
{
    size_t slot = hash & (table->slot_cap - 1);

    for (; table->slots[slot] != 0; slot = (slot + 1) & (table->slot_cap - 1)) {
        const hw_table_entry *entry = &table->entries[table->slots[slot] - 1];
        if (entry->hash == hash && entry->len == len &&
            memcmp(table->bytes.bytes + entry->at, word, len) == 0)
            break;
    }
    return slot;
}

/* Without randomness a poor seed will do: it is a defence, no more. */
static uint64_t choose_seed(const hw_table *table)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)(uintptr_t)table * 0x9E3779B97F4A7C15u;
    return seed;
}

static bool grow_slots(hw_table *table)
{
    const size_t cap = table->slot_cap > 0 ? table->slot_cap * 2 : FIRST_SLOTS;
    uint32_t *slots = calloc(cap, sizeof *slots);

    if (!slots)
        return false;
    if (table->slot_cap == 0)
        table->seed = choose_seed(table);
    for (size_t i = 0; i < table->count; i++) {
        size_t slot = table->entries[i].hash & (cap - 1);
        while (slots[slot] != 0)
            slot = (slot + 1) & (cap - 1);
        slots[slot] = (uint32_t)i + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_cap = cap;
    return true;
}

static hw_code add_entry(hw_table *table, size_t slot, hw_table_entry entry, const char *word)
{
    hw_table_entry *entries =
        hw_grow(table->entries, &table->cap, sizeof *entries, table->count + 1);

    if (!entries)
        return HW_ENOMEM;
    table->entries = entries;
    if (!hw_buf_reserve(&table->bytes, (size_t)entry.len + 1))
        return HW_ENOMEM;
    entry.at = table->bytes.len;
    hw_buf_add(&table->bytes, word, entry.len);
    hw_buf_add_byte(&table->bytes, '\0');
    entries[table->count++] = entry;
    table->slots[slot] = (uint32_t)table->count;
    return HW_OK;
}

hw_code
hw_table_add(hw_table *table, const char *word, size_t len, uint64_t count, hw_error *err)
{
    uint32_t hash;
    size_t slot;

    if (len > UINT32_MAX || table->count >= UINT32_MAX / 2)
        return hw_fail(err, HW_EINVAL, "the word, or the table, is too large");
    if (table->count * 2 >= table->slot_cap && !grow_slots(table))
        return hw_fail_memory(err);
    hash = hash_word(table, word, len);
    slot = find_slot(table, word, len, hash);
    if (table->slots[slot] != 0) {
        hw_table_entry *entry = &table->entries[table->slots[slot] - 1];
        if (count > UINT64_MAX - entry->count)
            return hw_fail(err, HW_EINVAL, "the count of a word is too large");
        entry->count += count;
        return HW_OK;
    }
    if (add_entry(table, slot, (hw_table_entry){0, (uint32_t)len, hash, count}, word) != HW_OK)
        return hw_fail_memory(err);
    return HW_OK;
}

uint64_t hw_table_get(const hw_table *table, const char *word, size_t len)
{
    size_t slot;

    if (table->slot_cap == 0)
        return 0;
    slot = find_slot(table, word, len, hash_word(table, word, len));
    return table->slots[slot] != 0 ? table->entries[table->slots[slot] - 1].count : 0;
}

static int by_rank(const void *left, const void *right)
{
    const hw_rank *a = left, *b = right;
    int order;

    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    order = memcmp(a->word, b->word, a->len < b->len ? a->len : b->len);
    if (order != 0)
        return order;
    return a->len < b->len ? -1 : a->len > b->len;
}

hw_code hw_table_rank(hw_rank **out, const hw_table *table, hw_error *err)
{
    hw_rank *ranks = calloc(table->count + 1, sizeof *ranks);

    if (!ranks)
        return hw_fail_memory(err);
    for (size_t i = 0; i < table->count; i++) {
        const hw_table_entry *entry = &table->entries[i];
        ranks[i] = (hw_rank){table->bytes.bytes + entry->at, entry->len, entry->count};
    }
    qsort(ranks, table->count, sizeof *ranks, by_rank);
    *out = ranks;
    return HW_OK;
}
