/* segment.c - jieba's algorithm: blocks, the best route through each, the HMM for what is left over.
 *
 * A block is a run of Han characters, ASCII letters, digits and + # & . _ % -. It is decoded into
 * `chars`, then the best route is found from right to left: step k holds the end of the best word
 * that begins at k and the score of all from there on. No graph is stored: the words that begin at k
 * are met in ascending length by walking the trie, and are compared at once. Scores are doubles and
 * summed in jieba's order; of equal ones the longer word wins, as Python compares (score, end).
 *
 * All that differs when there is a user dictionary is the walk, hence the two find_route_…(). */
#include "segment.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hmm.h"
#include "segmenter.h"
#include "utf8.h"

#define FIRST_CHARS 256 /* of a block; chat lines are shorter */

hw_code hw_segmenter_new(hw_segmenter **out,
                         const hw_dict *dict,
                         const hw_userdict *user,
                         hw_error *err)
{
    hw_segmenter *seg = calloc(1, sizeof *seg);

    if (!seg)
        return hw_fail_memory(err);
    seg->dict = dict;
    seg->user = user;
    *out = seg;
    return HW_OK;
}

void hw_segmenter_free(hw_segmenter *seg)
{
    if (!seg)
        return;
    free(seg->chars);
    free(seg->offsets);
    free(seg->steps);
    free(seg->states);
    free(seg->tokens);
    free(seg->parts);
    hw_buf_done(&seg->joined);
    free(seg);
}

/* ---- working memory ---- */

/* Lets the block have more than block_cap members. */
static bool grow_block(hw_segmenter *seg)
{
    const size_t cap = seg->block_cap < FIRST_CHARS ? FIRST_CHARS : seg->block_cap * 2;
    uint16_t *chars = realloc(seg->chars, cap * sizeof *chars);
    uint32_t *offsets = chars ? realloc(seg->offsets, cap * sizeof *offsets) : NULL;
    struct hw_step *steps = offsets ? realloc(seg->steps, cap * sizeof *steps) : NULL;
    uint8_t *states = steps ? realloc(seg->states, cap * sizeof *states) : NULL;

    seg->chars = chars ? chars : seg->chars;
    seg->offsets = offsets ? offsets : seg->offsets;
    seg->steps = steps ? steps : seg->steps;
    if (!states)
        return false;
    seg->states = states;
    seg->block_cap = cap;
    return true;
}

bool hw_segmenter_reserve(hw_segmenter *seg, size_t more)
{
    hw_token *tokens;

    if (more <= seg->token_cap - seg->token_count)
        return true;
    tokens = hw_grow(seg->tokens, &seg->token_cap, sizeof *tokens, seg->token_count + more);
    if (tokens)
        seg->tokens = tokens;
    return tokens != NULL;
}

/* Appends a token; there is room. */
static inline void put_token(hw_segmenter *seg, const char *bytes, size_t len, size_t chars)
{
    seg->tokens[seg->token_count++] = (hw_token){bytes, (uint32_t)len, (uint32_t)chars};
}

/* Appends the characters from .. to of the block as one token; there is room. */
static inline void put_word(hw_segmenter *seg, size_t from, size_t to)
{
    const uint32_t *offsets = seg->offsets;

    put_token(seg, seg->text + offsets[from], offsets[to] - offsets[from], to - from);
}

static inline void put_each(hw_segmenter *seg, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        put_word(seg, i, i + 1);
}

/* ---- characters ---- */

/* clang-format off */
#define LETTER(upper, lower) [upper] = HW_IN_BLOCK | HW_ALNUM, [lower] = HW_IN_BLOCK | HW_ALNUM
#define NUMERAL(digit) [digit] = HW_IN_BLOCK | HW_ALNUM | HW_DIGIT
const uint8_t hw_ascii_class[128] = {
    ['+'] = HW_IN_BLOCK, ['#'] = HW_IN_BLOCK, ['&'] = HW_IN_BLOCK, ['.'] = HW_IN_BLOCK, ['_'] = HW_IN_BLOCK,
    ['%'] = HW_IN_BLOCK, ['-'] = HW_IN_BLOCK,
    LETTER('A', 'a'), LETTER('B', 'b'), LETTER('C', 'c'), LETTER('D', 'd'),
    LETTER('E', 'e'), LETTER('F', 'f'), LETTER('G', 'g'), LETTER('H', 'h'),
    LETTER('I', 'i'), LETTER('J', 'j'), LETTER('K', 'k'), LETTER('L', 'l'),
    LETTER('M', 'm'), LETTER('N', 'n'), LETTER('O', 'o'), LETTER('P', 'p'),
    LETTER('Q', 'q'), LETTER('R', 'r'), LETTER('S', 's'), LETTER('T', 't'),
    LETTER('U', 'u'), LETTER('V', 'v'), LETTER('W', 'w'), LETTER('X', 'x'),
    LETTER('Y', 'y'), LETTER('Z', 'z'),
    NUMERAL('0'), NUMERAL('1'), NUMERAL('2'), NUMERAL('3'), NUMERAL('4'),
    NUMERAL('5'), NUMERAL('6'), NUMERAL('7'), NUMERAL('8'), NUMERAL('9'),
};
#undef NUMERAL
#undef LETTER
/* clang-format on */

hw_code hw_segmenter_fail_utf8(size_t at, hw_error *err)
{
    return hw_fail(err, HW_EFORMAT, "the text is not UTF-8 at byte %zu", at);
}

hw_code
hw_segmenter_read_block(hw_segmenter *seg, size_t *at, size_t len, size_t *n, hw_error *err)
{
    const unsigned char *p = (const unsigned char *)seg->text;
    size_t pos = *at, count = 0;

    for (;;) {
        uint32_t cp = 0;
        unsigned taken;

        if (count == seg->block_cap && !grow_block(seg))
            return hw_fail_memory(err);
        if (pos == len)
            break;
        taken = hw_utf8_decode(p + pos, len - pos, &cp);
        if (taken == 0)
            return hw_segmenter_fail_utf8(pos, err);
        if (!hw_class_of(cp))
            break;
        seg->chars[count] = (uint16_t)cp;
        seg->offsets[count++] = (uint32_t)pos;
        pos += taken;
    }
    seg->offsets[count] = (uint32_t)pos;
    *at = pos;
    *n = count;
    return HW_OK;
}

/* ---- looking words up ---- */

/* True if the characters from .. to of the block are a word with a frequency above 0. */
static bool is_word(const hw_segmenter *seg, size_t from, size_t to)
{
    struct hw_walk walk = {{0, 0}, 0};
    int found = 0;

    for (size_t i = from; i < to && found >= 0; i++)
        found = hw_walk_on(seg, &walk, i == from, seg->chars[i]);
    return found > 0;
}

/* ---- the best route ---- */

static void find_route_plain(hw_segmenter *seg, size_t n)
{
    const hw_dict *dict = seg->dict;
    const struct hw_dict_cell *cells = dict->cell;
    const double log_total = dict->header->log_total;
    struct hw_step *steps = seg->steps;

    steps[n].score = 0;
    for (size_t k = n; k-- > 0;) {
        struct hw_step best = {-INFINITY, 0};
        uint32_t cell = 0;

        for (size_t i = k; i < n; i++) {
            double score;

            cell = hw_dict_step(dict, cell, dict->label[seg->chars[i]]);
            if (cell == 0)
                break;
            if (cells[cell].freq == 0)
                continue;
            score = (dict->log_freq[cells[cell].freq] - log_total) + steps[i + 1].score;
            if (score >= best.score)
                best = (struct hw_step){score, (uint32_t)i + 1};
        }
        if (best.end == 0) /* as if of frequency 1, whose logarithm is 0 */
            best = (struct hw_step){(0 - log_total) + steps[k + 1].score, (uint32_t)k + 1};
        steps[k] = best;
    }
}

static void find_route_user(hw_segmenter *seg, size_t n)
{
    const double log_total = seg->user->log_total;
    struct hw_step *steps = seg->steps;

    steps[n].score = 0;
    for (size_t k = n; k-- > 0;) {
        struct hw_step best = {-INFINITY, 0};
        struct hw_walk walk = {{0, 0}, 0};

        for (size_t i = k; i < n; i++) {
            int found = hw_walk_on(seg, &walk, i == k, seg->chars[i]);
            double score = (walk.log_freq - log_total) + steps[i + 1].score;

            if (found < 0)
                break;
            if (found > 0 && score >= best.score)
                best = (struct hw_step){score, (uint32_t)i + 1};
        }
        if (best.end == 0)
            best = (struct hw_step){(0 - log_total) + steps[k + 1].score, (uint32_t)k + 1};
        steps[k] = best;
    }
}

static void find_route(hw_segmenter *seg, size_t n)
{
    if (seg->user)
        find_route_user(seg, n);
    else
        find_route_plain(seg, n);
}

/* ---- what the HMM makes of the characters that the route leaves single ---- */

static bool is_force_split(const hw_segmenter *seg, size_t from, size_t to)
{
    const hw_userdict *user = seg->user;
    uint32_t node = 0;

    for (size_t i = from; i < to; i++) {
        node = hw_user_step(user, node, seg->chars[i]);
        if (node == 0)
            return false;
    }
    return (user->nodes[node].flags & HW_USER_FORCE_SPLIT) != 0;
}

/* Gives a word that the HMM made. Only these are looked up: Latin is never split by force. */
static void put_found(hw_segmenter *seg, size_t from, size_t to)
{
    if (seg->user && seg->user->any_force_split && is_force_split(seg, from, to))
        put_each(seg, from, to);
    else
        put_word(seg, from, to);
}

static void tag_han(hw_segmenter *seg, size_t from, size_t to)
{
    const uint8_t *state = seg->states;
    const size_t n = to - from;
    size_t begin = from;

    hw_hmm_tag(seg->dict, seg->chars + from, n, seg->states);
    for (size_t i = 0; i < n; i++) {
        if (state[i] == HW_STATE_B)
            begin = from + i;
        else if (state[i] == HW_STATE_E)
            put_found(seg, begin, from + i + 1);
        else if (state[i] == HW_STATE_S)
            put_found(seg, from + i, from + i + 1);
    }
}

/* A run of letters and digits, then a fraction, then a percent sign; the last two may be missing. */
static size_t number_end(const hw_segmenter *seg, size_t from, size_t to)
{
    const uint16_t *chars = seg->chars;
    size_t i = from;

    while (i < to && hw_is_alnum(chars[i]))
        i++;
    if (i + 1 < to && chars[i] == '.' && hw_is_digit(chars[i + 1])) {
        i += 2;
        while (i < to && hw_is_digit(chars[i]))
            i++;
    }
    return i < to && chars[i] == '%' ? i + 1 : i;
}

static void cut_rest(hw_segmenter *seg, size_t from, size_t to)
{
    const uint16_t *chars = seg->chars;

    while (from < to) {
        size_t end = from;

        if (hw_is_han(chars[from])) {
            while (end < to && hw_is_han(chars[end]))
                end++;
            tag_han(seg, from, end);
        } else if (hw_is_alnum(chars[from])) {
            end = number_end(seg, from, to);
            put_word(seg, from, end);
        } else {
            while (end < to && !hw_is_han(chars[end]) && !hw_is_alnum(chars[end]))
                end++;
            put_word(seg, from, end);
        }
        from = end;
    }
}

/* ---- the exact modes ---- */

/* Gives the characters from .. to, which the route left single. */
static void flush_singles(hw_segmenter *seg, size_t from, size_t to)
{
    if (from == to)
        return;
    if (to - from == 1 || is_word(seg, from, to))
        put_each(seg, from, to);
    else
        cut_rest(seg, from, to);
}

static void cut_block_hmm(hw_segmenter *seg, size_t n)
{
    size_t singles = 0; /* where the present run of single characters began */

    for (size_t k = 0; k < n;) {
        size_t end = seg->steps[k].end;

        if (end - k > 1) {
            flush_singles(seg, singles, k);
            put_word(seg, k, end);
            singles = end;
        }
        k = end;
    }
    flush_singles(seg, singles, n);
}

static void cut_block_plain(hw_segmenter *seg, size_t n)
{
    size_t latin = 0; /* where the present run of single letters and digits began */

    for (size_t k = 0; k < n;) {
        size_t end = seg->steps[k].end;

        if (end - k != 1 || !hw_is_alnum(seg->chars[k])) {
            if (latin < k)
                put_word(seg, latin, k);
            put_word(seg, k, end);
            latin = end;
        }
        k = end;
    }
    if (latin < n)
        put_word(seg, latin, n);
}

static hw_code cut_block(hw_segmenter *seg, bool hmm, size_t n, hw_error *err)
{
    if (!hw_segmenter_reserve(seg, n))
        return hw_fail_memory(err);
    find_route(seg, n);
    if (hmm)
        cut_block_hmm(seg, n);
    else
        cut_block_plain(seg, n);
    return HW_OK;
}

/* Gives the character at *at, which is in no block; CR LF is one. */
static hw_code cut_separator(hw_segmenter *seg, size_t *at, hw_error *err)
{
    const char *p = seg->text + *at;
    const size_t left = seg->text_len - *at;
    uint32_t cp = 0;
    size_t taken, chars = 1;

    taken = hw_utf8_decode((const unsigned char *)p, left, &cp);
    if (cp == '\r' && left > 1 && p[1] == '\n') {
        taken = 2;
        chars = 2;
    }
    if (!hw_segmenter_reserve(seg, 1))
        return hw_fail_memory(err);
    put_token(seg, p, taken, chars);
    *at += taken;
    return HW_OK;
}

static hw_code cut_exact(hw_segmenter *seg, bool hmm, hw_error *err)
{
    hw_code code = HW_OK;

    for (size_t at = 0; at < seg->text_len && code == HW_OK;) {
        size_t n;

        code = hw_segmenter_read_block(seg, &at, seg->text_len, &n, err);
        if (code == HW_OK && n > 0)
            code = cut_block(seg, hmm, n, err);
        else if (code == HW_OK)
            code = cut_separator(seg, &at, err);
    }
    return code;
}

/* ---- for search ---- */

/* Puts the words of `width` characters inside the block's first n characters into parts. */
static void put_grams(hw_segmenter *seg, size_t n, size_t width)
{
    for (size_t i = 0; i + width <= n; i++)
        if (is_word(seg, i, i + width))
            seg->parts[seg->part_count++] = hw_block_token(seg, i, i + width);
}

/* Turns the tokens of the exact mode into what a search engine indexes. Tokens of more than two
 * characters are always part of a block, so each can be read as one. */
static hw_code cut_parts(hw_segmenter *seg, hw_error *err)
{
    hw_code code = HW_OK;

    seg->part_count = 0;
    for (size_t i = 0; i < seg->token_count && code == HW_OK; i++) {
        const hw_token token = seg->tokens[i];
        const size_t most = seg->part_count + 2 * (size_t)token.chars + 1;
        hw_token *parts = hw_grow(seg->parts, &seg->part_cap, sizeof *parts, most);

        if (!parts)
            return hw_fail_memory(err);
        seg->parts = parts;
        if (token.chars > 2) {
            size_t at = (size_t)(token.bytes - seg->text), n;

            code = hw_segmenter_read_block(seg, &at, at + token.len, &n, err);
            if (code != HW_OK)
                break;
            put_grams(seg, n, 2);
            if (n > 3)
                put_grams(seg, n, 3);
        }
        seg->parts[seg->part_count++] = token;
    }
    return code;
}

/* ---- */

hw_code hw_cut(hw_segmenter *seg,
               hw_mode mode,
               const char *text,
               size_t len,
               const hw_token **tokens,
               size_t *count,
               hw_error *err)
{
    hw_code code;

    if (len > HW_TEXT_MAX)
        return hw_fail(err, HW_EINVAL, "the text is too long: %zu bytes", len);
    seg->text = text;
    seg->text_len = len;
    seg->token_count = 0;
    if (mode == HW_MODE_ALL)
        code = hw_segmenter_cut_all(seg, err);
    else
        code = cut_exact(seg, mode != HW_MODE_NO_HMM, err);
    if (code == HW_OK && mode == HW_MODE_SEARCH)
        code = cut_parts(seg, err);
    if (code != HW_OK)
        return code;
    *tokens = mode == HW_MODE_SEARCH ? seg->parts : seg->tokens;
    *count = mode == HW_MODE_SEARCH ? seg->part_count : seg->token_count;
    return HW_OK;
}
