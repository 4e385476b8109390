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

#include "buf.h"
#include "hmm.h"
#include "usertrie.h"
#include "utf8.h"

#define FIRST_CHARS 256 /* of a block; chat lines are shorter */

enum {
    IN_BLOCK = 1, /* may stand in a block */
    ALNUM = 2,    /* letter or digit */
    DIGIT = 4,
};

struct step {
    double score; /* of the best route from here to the block's end */
    uint32_t end; /* of its first word: the index behind it */
};

struct hw_segmenter {
    const hw_dict *dict;     /* borrowed */
    const hw_userdict *user; /* borrowed; may be NULL */
    const char *text;        /* the text being cut */
    size_t text_len;

    /* The block being cut, four arrays with room for block_cap members. */
    uint16_t *chars;   /* its characters: all are of the BMP */
    uint32_t *offsets; /* where they begin, in bytes of the text; one more: the end */
    struct step *steps;
    uint8_t *states; /* what the HMM says of a part of it */
    size_t block_cap;

    hw_token *tokens;
    size_t token_count, token_cap;
    hw_token *parts; /* HW_MODE_SEARCH: what becomes of the tokens */
    size_t part_count, part_cap;
    hw_buf joined; /* HW_MODE_ALL: tokens that are no part of the text */
};

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
    struct step *steps = offsets ? realloc(seg->steps, cap * sizeof *steps) : NULL;
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

/* Makes room for `more` tokens. */
static bool reserve_tokens(hw_segmenter *seg, size_t more)
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
#define LETTER(upper, lower) [upper] = IN_BLOCK | ALNUM, [lower] = IN_BLOCK | ALNUM
#define NUMERAL(digit) [digit] = IN_BLOCK | ALNUM | DIGIT
static const uint8_t ascii_class[128] = {
    ['+'] = IN_BLOCK, ['#'] = IN_BLOCK, ['&'] = IN_BLOCK, ['.'] = IN_BLOCK, ['_'] = IN_BLOCK,
    ['%'] = IN_BLOCK, ['-'] = IN_BLOCK,
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

static inline bool is_han(uint32_t cp)
{
    return cp >= HW_HAN_FIRST && cp <= HW_HAN_LAST;
}

static inline unsigned class_of(uint32_t cp)
{
    if (cp < 128)
        return ascii_class[cp];
    return is_han(cp) ? IN_BLOCK : 0;
}

static inline bool is_alnum(uint32_t cp)
{
    return cp < 128 && (ascii_class[cp] & ALNUM);
}

static inline bool is_digit(uint32_t cp)
{
    return cp < 128 && (ascii_class[cp] & DIGIT);
}

static hw_code fail_utf8(size_t at, hw_error *err)
{
    return hw_fail(err, HW_EFORMAT, "the text is not UTF-8 at byte %zu", at);
}

/* Decodes the block that begins at *at (it may be empty) and ends before `len` into chars and
 * offsets, counts it in *n, and moves *at behind it. */
static hw_code read_block(hw_segmenter *seg, size_t *at, size_t len, size_t *n, hw_error *err)
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
            return fail_utf8(pos, err);
        if (!class_of(cp))
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

/* The walk from character `k` of the block on. */
struct walk {
    struct hw_user_place place;
    double log_freq; /* of the word that ends here, if walk_on() said that it is one */
};

/* Goes on by `cp`. Returns -1 if nothing begins like this, 1 if a word with a frequency above 0 ends
 * here, 0 otherwise. */
static inline int walk_on(const hw_segmenter *seg, struct walk *walk, bool first, uint32_t cp)
{
    const hw_dict *dict = seg->dict;
    uint16_t index;

    if (seg->user) {
        if (!hw_user_walk(seg->user, &walk->place, first, cp))
            return -1;
        return hw_user_value(seg->user, walk->place, &walk->log_freq) > 0;
    }
    walk->place.cell = hw_dict_step(dict, walk->place.cell, hw_dict_label(dict, cp));
    if (walk->place.cell == 0)
        return -1;
    index = dict->cell[walk->place.cell].freq;
    walk->log_freq = dict->log_freq[index];
    return index > 0;
}

/* True if the characters from .. to of the block are a word with a frequency above 0. */
static bool is_word(const hw_segmenter *seg, size_t from, size_t to)
{
    struct walk walk = {{0, 0}, 0};
    int found = 0;

    for (size_t i = from; i < to && found >= 0; i++)
        found = walk_on(seg, &walk, i == from, seg->chars[i]);
    return found > 0;
}

/* ---- the best route ---- */

static void find_route_plain(hw_segmenter *seg, size_t n)
{
    const hw_dict *dict = seg->dict;
    const struct hw_dict_cell *cells = dict->cell;
    const double log_total = dict->header->log_total;
    struct step *steps = seg->steps;

    steps[n].score = 0;
    for (size_t k = n; k-- > 0;) {
        struct step best = {-INFINITY, 0};
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
                best = (struct step){score, (uint32_t)i + 1};
        }
        if (best.end == 0) /* as if of frequency 1, whose logarithm is 0 */
            best = (struct step){(0 - log_total) + steps[k + 1].score, (uint32_t)k + 1};
        steps[k] = best;
    }
}

static void find_route_user(hw_segmenter *seg, size_t n)
{
    const double log_total = seg->user->log_total;
    struct step *steps = seg->steps;

    steps[n].score = 0;
    for (size_t k = n; k-- > 0;) {
        struct step best = {-INFINITY, 0};
        struct walk walk = {{0, 0}, 0};

        for (size_t i = k; i < n; i++) {
            int found = walk_on(seg, &walk, i == k, seg->chars[i]);
            double score = (walk.log_freq - log_total) + steps[i + 1].score;

            if (found < 0)
                break;
            if (found > 0 && score >= best.score)
                best = (struct step){score, (uint32_t)i + 1};
        }
        if (best.end == 0)
            best = (struct step){(0 - log_total) + steps[k + 1].score, (uint32_t)k + 1};
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

    while (i < to && is_alnum(chars[i]))
        i++;
    if (i + 1 < to && chars[i] == '.' && is_digit(chars[i + 1])) {
        i += 2;
        while (i < to && is_digit(chars[i]))
            i++;
    }
    return i < to && chars[i] == '%' ? i + 1 : i;
}

static void cut_rest(hw_segmenter *seg, size_t from, size_t to)
{
    const uint16_t *chars = seg->chars;

    while (from < to) {
        size_t end = from;

        if (is_han(chars[from])) {
            while (end < to && is_han(chars[end]))
                end++;
            tag_han(seg, from, end);
        } else if (is_alnum(chars[from])) {
            end = number_end(seg, from, to);
            put_found(seg, from, end);
        } else {
            while (end < to && !is_han(chars[end]) && !is_alnum(chars[end]))
                end++;
            put_found(seg, from, end);
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

        if (end - k != 1 || !is_alnum(seg->chars[k])) {
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
    if (!reserve_tokens(seg, n))
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
    if (!reserve_tokens(seg, 1))
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

        code = read_block(seg, &at, seg->text_len, &n, err);
        if (code == HW_OK && n > 0)
            code = cut_block(seg, hmm, n, err);
        else if (code == HW_OK)
            code = cut_separator(seg, &at, err);
    }
    return code;
}

/* ---- all words ---- */

/* What cut_all gathers: words that begin with a letter or digit, until something else comes. They
 * need not be neighbours; then `joined` holds them. */
struct latin {
    bool open;
    hw_token token;
    bool apart;   /* token.bytes is in seg->joined */
    size_t start; /* where, in bytes */
};

static hw_code put_checked(hw_segmenter *seg, hw_token token, hw_error *err)
{
    if (!reserve_tokens(seg, 1))
        return hw_fail_memory(err);
    seg->tokens[seg->token_count++] = token;
    return HW_OK;
}

static hw_token word_token(const hw_segmenter *seg, size_t from, size_t to)
{
    const uint32_t *offsets = seg->offsets;

    return (hw_token){seg->text + offsets[from], offsets[to] - offsets[from],
                      (uint32_t)(to - from)};
}

static hw_code add_latin(hw_segmenter *seg, struct latin *latin, hw_token word, hw_error *err)
{
    hw_token *token = &latin->token;

    if (!latin->open) {
        *latin = (struct latin){.open = true, .token = word};
        return HW_OK;
    }
    if (!latin->apart && token->bytes + token->len != word.bytes) {
        /* The pieces of a text do not overlap: with room for all of it `joined` never moves. */
        if (!hw_buf_reserve(&seg->joined, seg->text_len - seg->joined.len))
            return hw_fail_memory(err);
        latin->apart = true;
        latin->start = seg->joined.len;
        hw_buf_add(&seg->joined, token->bytes, token->len);
        token->bytes = seg->joined.bytes + latin->start;
    }
    if (latin->apart)
        hw_buf_add(&seg->joined, word.bytes, word.len);
    token->len += word.len;
    token->chars += word.chars;
    return HW_OK;
}

static hw_code close_latin(hw_segmenter *seg, struct latin *latin, hw_error *err)
{
    if (!latin->open)
        return HW_OK;
    latin->open = false;
    return put_checked(seg, latin->token, err);
}

/* Collects the ends of the words that begin at `k`; at least one. They go where the route would. */
static size_t find_ends(hw_segmenter *seg, size_t k, size_t n)
{
    struct walk walk = {{0, 0}, 0};
    size_t count = 0;

    for (size_t i = k; i < n; i++) {
        int found = walk_on(seg, &walk, i == k, seg->chars[i]);

        if (found < 0)
            break;
        if (found > 0)
            seg->steps[count++].end = (uint32_t)i + 1;
    }
    if (count == 0)
        seg->steps[count++].end = (uint32_t)k + 1;
    return count;
}

static hw_code cut_block_all(hw_segmenter *seg, size_t n, hw_error *err)
{
    struct latin latin = {0};
    size_t covered = 0; /* the characters before this one have been given */
    hw_code code = HW_OK;

    for (size_t k = 0; k < n && code == HW_OK; k++) {
        const size_t count = find_ends(seg, k, n);
        const bool alone = count == 1 && k >= covered;

        if (!is_alnum(seg->chars[k]))
            code = close_latin(seg, &latin, err);
        for (size_t i = 0; i < count && code == HW_OK; i++) {
            const size_t end = seg->steps[i].end;

            if (!alone && end == k + 1)
                continue;
            if (alone && is_alnum(seg->chars[k]))
                code = add_latin(seg, &latin, word_token(seg, k, end), err);
            else
                code = put_checked(seg, word_token(seg, k, end), err);
            covered = end;
        }
    }
    return code == HW_OK ? close_latin(seg, &latin, err) : code;
}

/* What Python's \s matches. */
static bool is_white(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 ||
           cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

/* Gives the run between two blocks that begins at *at: split at each white space, which is given
 * too, and so are the pieces before, between and behind them, even when they are empty. */
static hw_code cut_gap_all(hw_segmenter *seg, size_t *at, hw_error *err)
{
    const unsigned char *p = (const unsigned char *)seg->text;
    size_t pos = *at;
    hw_token piece = {seg->text + pos, 0, 0};
    hw_code code = HW_OK;

    while (pos < seg->text_len && code == HW_OK) {
        uint32_t cp = 0;
        unsigned taken = hw_utf8_decode(p + pos, seg->text_len - pos, &cp);

        if (taken == 0)
            return fail_utf8(pos, err);
        if (class_of(cp))
            break;
        if (is_white(cp)) {
            uint32_t chars = 1;
            if (cp == '\r' && pos + 1 < seg->text_len && p[pos + 1] == '\n')
                chars = taken = 2;
            code = put_checked(seg, piece, err);
            if (code == HW_OK)
                code = put_checked(seg, (hw_token){seg->text + pos, taken, chars}, err);
            piece = (hw_token){seg->text + pos + taken, 0, 0};
        } else {
            piece.len += taken;
            piece.chars++;
        }
        pos += taken;
    }
    *at = pos;
    return code == HW_OK ? put_checked(seg, piece, err) : code;
}

static hw_code cut_all(hw_segmenter *seg, hw_error *err)
{
    hw_code code = HW_OK;

    seg->joined.len = 0;
    for (size_t at = 0; at < seg->text_len && code == HW_OK;) {
        size_t n;

        code = read_block(seg, &at, seg->text_len, &n, err);
        if (code == HW_OK && n > 0)
            code = cut_block_all(seg, n, err);
        else if (code == HW_OK)
            code = cut_gap_all(seg, &at, err);
    }
    return code;
}

/* ---- for search ---- */

/* Puts the words of `width` characters inside the block's first n characters into parts. */
static void put_grams(hw_segmenter *seg, size_t n, size_t width)
{
    for (size_t i = 0; i + width <= n; i++)
        if (is_word(seg, i, i + width))
            seg->parts[seg->part_count++] = word_token(seg, i, i + width);
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

            code = read_block(seg, &at, at + token.len, &n, err);
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
        code = cut_all(seg, err);
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
