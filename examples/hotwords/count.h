/* count.h - counting the words of a day's chat records.
 *
 * A day is the file DATE.jsonl of a folder: a JSON object a line, with at least `level`, an integer,
 * and `text`, a string. A text is cut in jieba's exact mode, with HMM. A token counts as a word if it
 * has two code points or more and at least one of them is A-Z, a-z or U+4E00 to U+9FD5. */
#ifndef HW_COUNT_H
#define HW_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dict.h"
#include "hw_error.h"
#include "record.h"
#include "segment.h"
#include "table.h"

#define HW_DATE_LEN 8          /* YYYYMMDD */
#define HW_LINE_MAX (1u << 20) /* the longest line, in bytes, its end not counted */

/* Bad records of one kind. Lines are numbered from 1; first_line is 0 if there are none. */
typedef struct hw_bad_records {
    uint64_t count;
    uint64_t first_line;
} hw_bad_records;

/* A partition's count, or the sum of several. Zero-initialised it is empty; hw_count_done() frees. */
typedef struct hw_count {
    char date[HW_DATE_LEN + 1]; /* "" in a sum */
    int64_t level_lo, level_hi; /* both ends included; 0 in a sum */
    uint64_t records;           /* good records in the level range */
    uint64_t text_bytes;        /* of their texts */
    uint64_t text_code_points;
    uint64_t tokens;  /* all of them */
    uint64_t counted; /* those that count as words */
    hw_bad_records bad[HW_BAD_KINDS];
    hw_table table; /* the words */
} hw_count;

/* Frees what `count` owns; it is empty afterwards. */
void hw_count_done(hw_count *count);

/* What to count. The strings are borrowed. */
typedef struct hw_partition {
    const char *dir;            /* of the files; else not used */
    const char *date;           /* YYYYMMDD */
    int64_t level_lo, level_hi; /* both ends included */
    bool (*stop)(void *user);   /* asked every few milliseconds; true: give up. May be NULL */
    void *user;
} hw_partition;

/* Counts the records of a day, whose file is in the folder, with level_lo <= level <= level_hi,
 * and puts the result in *out, which must be empty; the caller owns what is in it.
 * Bad records never end the count: they are counted by kind, those of all levels, since a bad record
 * may have none; so all partitions of a day report the same ones. Blank lines are skipped.
 * HW_EINVAL: the date is not eight digits, or the range is not 1 <= lo <= hi <= HW_LEVEL_MAX.
 * HW_ENOENT, HW_EIO: the day's file is missing or unreadable; the message names it.
 * HW_ECANCELED: stop() returned true. */
hw_code hw_count_partition(hw_count *out,
                           const hw_dict *dict,
                           const hw_partition *partition,
                           hw_error *err);

/* The parts of the above, for records from elsewhere. Checks date and levels: HW_EINVAL. */
hw_code hw_partition_check(const hw_partition *partition, hw_error *err);

/* Counts one text, which must be UTF-8, into `count`. */
hw_code hw_count_text(
    hw_count *count, hw_segmenter *segmenter, const char *text, size_t len, hw_error *err);

/* Counts a bad record; `line` is its number. */
void hw_count_bad(hw_count *count, hw_bad kind, uint64_t line);

/* The same without a way to stop it. */
hw_code hw_count_day(hw_count *out,
                     const hw_dict *dict,
                     const char *dir,
                     const char *date,
                     int64_t level_lo,
                     int64_t level_hi,
                     hw_error *err);

/* True if `len` bytes of UTF-8 make a token that counts as a word. */
bool hw_word_counts(const char *bytes, size_t len);

/* True if `date` is eight digits. */
bool hw_date_is_valid(const char *date);

/* True if 1 <= level_lo <= level_hi <= HW_LEVEL_MAX. */
bool hw_levels_are_valid(int64_t level_lo, int64_t level_hi);

#endif
