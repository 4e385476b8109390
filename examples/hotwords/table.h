/* table.h - how often each word occurred: a hash table of words and their ranking. */
#ifndef HW_TABLE_H
#define HW_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "hw_error.h"

typedef struct hw_table_entry {
    size_t at; /* where in hw_table.bytes the word begins; a NUL stands behind it */
    uint32_t len;
    uint32_t hash;
    uint64_t count;
} hw_table_entry;

/* Zero-initialised it is empty. */
typedef struct hw_table {
    hw_table_entry *entries; /* owned, in the order in which the words were first added */
    size_t count, cap;
    hw_buf bytes;    /* the words */
    uint32_t *slots; /* the hash table: an entry's number + 1, or 0; at most half full */
    size_t slot_cap; /* 0 or a power of two */
    uint64_t seed;   /* of the hashes, so that nobody can choose words that collide */
} hw_table;

/* One place in a ranking. */
typedef struct hw_rank {
    const char *word; /* a view into the table, NUL-terminated; valid until words are added */
    size_t len;
    uint64_t count;
} hw_rank;

/* Frees what `table` owns; it is empty afterwards and may be used again. */
void hw_table_done(hw_table *table);

/* Adds `count` occurrences of the `len` > 0 bytes at `word`. HW_EINVAL: the word's count would
 * exceed 64 bits, or the word is longer than 4 GB. Nothing is changed on failure. */
hw_code
hw_table_add(hw_table *table, const char *word, size_t len, uint64_t count, hw_error *err);

/* The count of a word; 0 if it never occurred. */
uint64_t hw_table_get(const hw_table *table, const char *word, size_t len);

/* Puts the ranking in *out: table->count places, owned by the caller, who frees them with free().
 * By count, descending; equal counts by the words' bytes, ascending, the shorter first. */
hw_code hw_table_rank(hw_rank **out, const hw_table *table, hw_error *err);

#endif
