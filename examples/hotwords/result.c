/* result.c - counts as JSON. Writing comes first, then reading, which trusts nothing. */
#include "result.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX ((uint64_t)1 << 53) /* any JSON reader holds numbers up to this exactly */

/* The numbers of a count that simply add up. */
static const struct {
    const char *name;
    size_t offset;
} totals[] = {
    {"records", offsetof(hw_count, records)},
    {"text_bytes", offsetof(hw_count, text_bytes)},
    {"text_code_points", offsetof(hw_count, text_code_points)},
    {"tokens", offsetof(hw_count, tokens)},
    {"counted", offsetof(hw_count, counted)},
};
enum {
    TOTALS = sizeof totals / sizeof *totals
};

static uint64_t *total_of(hw_count *count, size_t i)
{
    return (uint64_t *)(void *)((char *)count + totals[i].offset);
}

/* ---- writing ---- */

/* Sets a member; `value` is taken, and NULL if there was no memory for it. */
static bool put(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new_nocheck(object, name, value) == 0;
}

static bool put_number(json_t *object, const char *name, uint64_t value)
{
    return put(object, name, json_integer((json_int_t)value));
}

static bool put_bad_records(json_t *object, const hw_count *count)
{
    json_t *bad = json_object();
    bool ok = bad != NULL;

    for (size_t i = 0; i < HW_BAD_KINDS; i++) {
        json_t *kind;

        if (count->bad[i].count == 0)
            continue;
        kind = json_object();
        ok = ok && put_number(kind, "count", count->bad[i].count);
        ok = ok && put_number(kind, "first_line", count->bad[i].first_line);
        ok = put(bad, hw_bad_names[i], kind) && ok;
    }
    return put(object, "bad_records", bad) && ok;
}

static bool any_bad_records(const hw_count *count)
{
    for (size_t i = 0; i < HW_BAD_KINDS; i++)
        if (count->bad[i].count > 0)
            return true;
    return false;
}

/* What both documents begin with. */
static bool put_head(json_t *object, const hw_count *count)
{
    bool ok = true;

    if (count->date[0]) {
        ok = ok && put(object, "date", json_string_nocheck(count->date));
        ok = ok && put_number(object, "level_lo", (uint64_t)count->level_lo);
        ok = ok && put_number(object, "level_hi", (uint64_t)count->level_hi);
    }
    for (size_t i = 0; i < TOTALS; i++)
        ok = ok &&
             put_number(object, totals[i].name, *total_of((hw_count *)(uintptr_t)count, i));
    return ok && put_number(object, "distinct", count->table.count);
}

static bool put_words(json_t *object, const hw_rank *ranks, size_t n)
{
    json_t *words = json_object();
    bool ok = words != NULL;

    for (size_t i = 0; i < n && ok; i++)
        ok = put_number(words, ranks[i].word, ranks[i].count);
    return put(object, "words", words) && ok;
}

hw_code hw_count_to_json(json_t **out, const hw_count *count, hw_error *err)
{
    json_t *object;
    hw_rank *ranks;
    hw_code code = hw_table_rank(&ranks, &count->table, err);
    bool ok;

    if (code != HW_OK)
        return code;
    object = json_object();
    ok = object && put_head(object, count) && put_bad_records(object, count) &&
         put_words(object, ranks, count->table.count);
    free(ranks);
    if (!ok) {
        json_decref(object);
        return hw_fail_memory(err);
    }
    *out = object;
    return HW_OK;
}

static bool put_top(json_t *object, const hw_rank *ranks, size_t n, size_t top)
{
    char name[32];
    json_t *list = json_array();
    bool ok = list != NULL;

    snprintf(name, sizeof name, "top%zu", top);
    for (size_t i = 0; i < n && i < top && ok; i++) {
        json_t *pair = json_array();

        ok = pair && json_array_append_new(pair, json_string_nocheck(ranks[i].word)) == 0 &&
             json_array_append_new(pair, json_integer((json_int_t)ranks[i].count)) == 0;
        ok = json_array_append_new(list, pair) == 0 && ok;
    }
    return put(object, name, list) && ok;
}

/* Hashes lines `word TAB count LF`. */
static bool hash_ranks(EVP_MD_CTX *context, const hw_rank *ranks, size_t n)
{
    bool ok = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; i < n && ok; i++) {
        char tail[32];
        int len = snprintf(tail, sizeof tail, "\t%" PRIu64 "\n", ranks[i].count);

        ok = EVP_DigestUpdate(context, ranks[i].word, ranks[i].len) == 1 &&
             EVP_DigestUpdate(context, tail, (size_t)len) == 1;
    }
    return ok;
}

static bool put_hash(json_t *object, const hw_rank *ranks, size_t n)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool ok = context && hash_ranks(context, ranks, n) &&
                    EVP_DigestFinal_ex(context, digest, &len) == 1;

    EVP_MD_CTX_free(context);
    if (!ok)
        return false;
    for (unsigned i = 0; i < len; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
    return put(object, "table_sha256", json_string_nocheck(text));
}

hw_code hw_count_ranking(json_t **out, const hw_count *count, size_t top, hw_error *err)
{
    json_t *object;
    hw_rank *ranks;
    hw_code code = hw_table_rank(&ranks, &count->table, err);
    bool ok;

    if (code != HW_OK)
        return code;
    object = json_object();
    ok = object && put_head(object, count);
    if (ok && any_bad_records(count))
        ok = put_bad_records(object, count);
    ok = ok && put_hash(object, ranks, count->table.count) &&
         put_top(object, ranks, count->table.count, top);
    free(ranks);
    if (!ok) {
        json_decref(object);
        return hw_fail_memory(err);
    }
    *out = object;
    return HW_OK;
}

/* ---- reading ---- */

static hw_code
read_number(uint64_t *out, const json_t *object, const char *name, uint64_t min, hw_error *err)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_integer(value))
        return hw_fail(err, HW_EFORMAT, "'%s' is %s", name, value ? "no integer" : "missing");
    if (json_integer_value(value) < (json_int_t)min ||
        (uint64_t)json_integer_value(value) > COUNT_MAX)
        return hw_fail(err, HW_EFORMAT, "'%s' is out of range", name);
    *out = (uint64_t)json_integer_value(value);
    return HW_OK;
}

static hw_code read_head(hw_count *out, const json_t *result, hw_error *err)
{
    const char *date = json_string_value(json_object_get(result, "date"));
    uint64_t lo = 0, hi = 0;
    hw_code code = HW_OK;

    if (!date || !hw_date_is_valid(date))
        return hw_fail(err, HW_EFORMAT, "'date' is not eight digits");
    memcpy(out->date, date, sizeof out->date);
    code = read_number(&lo, result, "level_lo", 1, err);
    if (code == HW_OK)
        code = read_number(&hi, result, "level_hi", 1, err);
    if (code != HW_OK)
        return code;
    out->level_lo = (int64_t)lo;
    out->level_hi = (int64_t)hi;
    if (!hw_levels_are_valid(out->level_lo, out->level_hi))
        return hw_fail(err, HW_EFORMAT, "'level_lo' and 'level_hi' make no range");
    for (size_t i = 0; i < TOTALS && code == HW_OK; i++)
        code = read_number(total_of(out, i), result, totals[i].name, 0, err);
    return code;
}

static hw_code read_bad_records(hw_count *out, const json_t *result, hw_error *err)
{
    const json_t *bad = json_object_get(result, "bad_records");
    size_t known = 0;
    hw_code code = HW_OK;

    if (!json_is_object(bad))
        return hw_fail(err, HW_EFORMAT, "'bad_records' is %s", bad ? "no object" : "missing");
    for (size_t i = 0; i < HW_BAD_KINDS && code == HW_OK; i++) {
        const json_t *kind = json_object_get(bad, hw_bad_names[i]);

        if (!kind)
            continue;
        known++;
        code = read_number(&out->bad[i].count, kind, "count", 1, err);
        if (code == HW_OK)
            code = read_number(&out->bad[i].first_line, kind, "first_line", 1, err);
    }
    if (code == HW_OK && known < json_object_size(bad))
        return hw_fail(err, HW_EFORMAT, "'bad_records' has a kind that is unknown");
    return code;
}

static hw_code read_words(hw_count *out, const json_t *result, hw_error *err)
{
    json_t *words = json_object_get(result, "words");
    const char *word;
    json_t *number;
    hw_code code = HW_OK;

    if (!json_is_object(words))
        return hw_fail(err, HW_EFORMAT, "'words' is %s", words ? "no object" : "missing");
    json_object_foreach(words, word, number)
    {
        const json_int_t count = json_integer_value(number);

        if (!hw_word_counts(word, strlen(word)))
            return hw_fail(err, HW_EFORMAT, "'words' holds '%.60s', which does not count",
                           word);
        if (!json_is_integer(number) || count < 1 || (uint64_t)count > COUNT_MAX)
            return hw_fail(err, HW_EFORMAT, "the count of '%.60s' is no number from 1", word);
        code = hw_table_add(&out->table, word, strlen(word), (uint64_t)count, err);
        if (code != HW_OK)
            return code;
    }
    return HW_OK;
}

/* What a count must keep to whoever made it. */
static hw_code check_sums(const hw_count *count, uint64_t distinct, hw_error *err)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count->table.count && sum <= COUNT_MAX; i++)
        sum += count->table.entries[i].count;
    if (sum != count->counted)
        return hw_fail(err, HW_EFORMAT, "the words do not add up to 'counted'");
    if (distinct != count->table.count)
        return hw_fail(err, HW_EFORMAT, "there are not 'distinct' words");
    if (count->counted > count->tokens || count->tokens > count->text_code_points ||
        count->text_code_points > count->text_bytes)
        return hw_fail(err, HW_EFORMAT, "'counted', 'tokens', 'text_…' contradict each other");
    return HW_OK;
}

hw_code hw_count_from_json(hw_count *out, const json_t *result, hw_error *err)
{
    hw_count count = {0};
    uint64_t distinct = 0;
    hw_code code;

    if (!json_is_object(result))
        return hw_fail(err, HW_EFORMAT, "it is no object");
    code = read_head(&count, result, err);
    if (code == HW_OK)
        code = read_number(&distinct, result, "distinct", 0, err);
    if (code == HW_OK)
        code = read_bad_records(&count, result, err);
    if (code == HW_OK)
        code = read_words(&count, result, err);
    if (code == HW_OK)
        code = check_sums(&count, distinct, err);
    if (code == HW_OK)
        *out = count;
    else
        hw_count_done(&count);
    return code;
}

/* ---- adding up ---- */

/* A result that has been added: what the next ones are compared with. */
struct part {
    char date[HW_DATE_LEN + 1];
    int64_t level_lo, level_hi;
};

/* Puts in *new_day whether no part before this one was of its day. */
static hw_code check_part(
    const struct part *parts, size_t n, const hw_count *count, bool *new_day, hw_error *err)
{
    *new_day = true;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(parts[i].date, count->date) != 0)
            continue;
        *new_day = false;
        if (count->level_lo <= parts[i].level_hi && parts[i].level_lo <= count->level_hi)
            return hw_fail(err, HW_EFORMAT,
                           "it counts records of %s that result %zu counts too", count->date,
                           i);
    }
    return HW_OK;
}

static hw_code add_count(hw_count *sum, hw_count *part, bool new_day, hw_error *err)
{
    for (size_t i = 0; i < TOTALS; i++) {
        if (*total_of(part, i) > COUNT_MAX - *total_of(sum, i))
            return hw_fail(err, HW_EFORMAT, "the sum of '%s' is too large", totals[i].name);
        *total_of(sum, i) += *total_of(part, i);
    }
    for (size_t i = 0; i < HW_BAD_KINDS && new_day; i++) {
        hw_bad_records *bad = &sum->bad[i];
        const hw_bad_records *more = &part->bad[i];

        if (more->count > 0 && (bad->count == 0 || more->first_line < bad->first_line))
            bad->first_line = more->first_line;
        if (more->count > COUNT_MAX - bad->count)
            return hw_fail(err, HW_EFORMAT, "the sum of 'bad_records' is too large");
        bad->count += more->count;
    }
    for (size_t i = 0; i < part->table.count; i++) {
        const hw_table_entry *entry = &part->table.entries[i];
        const char *word = part->table.bytes.bytes + entry->at;
        hw_code code = hw_table_add(&sum->table, word, entry->len, entry->count, err);

        if (code != HW_OK)
            return code;
    }
    return HW_OK;
}

/* Reads result `i`, compares it with those before and adds it. */
static hw_code
add_result(hw_count *sum, struct part *parts, size_t i, const json_t *result, hw_error *err)
{
    hw_count count = {0};
    bool new_day = true;
    hw_error why;
    hw_code code = hw_count_from_json(&count, result, &why);

    if (code == HW_OK)
        code = check_part(parts, i, &count, &new_day, &why);
    if (code == HW_OK)
        code = add_count(sum, &count, new_day, &why);
    if (code == HW_OK) {
        parts[i] = (struct part){.level_lo = count.level_lo, .level_hi = count.level_hi};
        memcpy(parts[i].date, count.date, sizeof count.date);
    } else {
        hw_fail(err, code, "result %zu: %.200s", i, why.message);
    }
    hw_count_done(&count);
    return code;
}

hw_code hw_count_merge(hw_count *out, const json_t *results, hw_error *err)
{
    const size_t n = json_array_size(results);
    hw_count sum = {0};
    struct part *parts;
    hw_code code = HW_OK;

    if (!json_is_array(results))
        return hw_fail(err, HW_EFORMAT, "the results are no array");
    if (n > HW_RESULTS_MAX)
        return hw_fail(err, HW_EFORMAT, "%zu results are more than %d", n, HW_RESULTS_MAX);
    parts = calloc(n + 1, sizeof *parts);
    if (!parts)
        return hw_fail_memory(err);
    for (size_t i = 0; i < n && code == HW_OK; i++)
        code = add_result(&sum, parts, i, json_array_get(results, i), err);
    free(parts);
    if (code == HW_OK)
        *out = sum;
    else
        hw_count_done(&sum);
    return code;
}
