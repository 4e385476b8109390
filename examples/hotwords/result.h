/* result.h - counts as JSON: what a task returns, how such results are added up, and rankings.
 *
 * A task's result, with bad_records only of the kinds that occurred, words in the ranking's order:
 *
 *   {"date": "20200406", "level_lo": 1, "level_hi": 450, "records": 5110, "text_bytes": 142654,
 *    "text_code_points": 50189, "tokens": 32593, "counted": 14061, "distinct": 5086,
 *    "bad_records": {"broken_json": {"count": 2, "first_line": 17}}, "words": {"可以": 125, …}}
 *
 * A ranking has no words but `topN`, an array of [word, count], and `table_sha256`, the SHA-256 of the
 * whole ranking written as lines `word TAB count LF`; that of a sum has no date and levels, and
 * without bad records neither has bad_records. */
#ifndef HW_RESULT_H
#define HW_RESULT_H

#include <stddef.h>

#include <jansson.h>

#include "count.h"
#include "hw_error.h"

#define HW_RESULTS_MAX 4096 /* how many results can be added up at once */

/* Puts the task's result for `count` in *out, owned by the caller. */
hw_code hw_count_to_json(json_t **out, const hw_count *count, hw_error *err);

/* Reads a task's result, which may come from anyone, into *out, which must be empty; the caller owns
 * what is in it. HW_EFORMAT: it is not what hw_count_to_json() makes, or contradicts itself; the
 * message says where. */
hw_code hw_count_from_json(hw_count *out, const json_t *result, hw_error *err);

/* Adds up the results in the array `results` and puts the sum in *out, which must be empty; the
 * caller owns what is in it. As all partitions of a day report the same bad records, each day's count
 * once; first_line is then the smallest. HW_EFORMAT: `results` is no array of at most HW_RESULTS_MAX
 * results, or two of them count the same records. The message names the result, from 0. */
hw_code hw_count_merge(hw_count *out, const json_t *results, hw_error *err);

/* Puts the ranking, with the first `top` words, in *out, owned by the caller. */
hw_code hw_count_ranking(json_t **out, const hw_count *count, size_t top, hw_error *err);

#endif
