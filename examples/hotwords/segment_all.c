/* segment_all.c - jieba's cut_all: every word that can be seen in a text, and its oddities.
 *
 * There is no route: at each character of a block all words that begin there are given. Words that
 * begin with a letter or digit, where they are the only ones, are gathered and come later. Between
 * blocks the text is split at white space, and pieces are given even when they are empty. */
#include "segmenter.h"
#include "utf8.h"

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
    if (!hw_segmenter_reserve(seg, 1))
        return hw_fail_memory(err);
    seg->tokens[seg->token_count++] = token;
    return HW_OK;
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
    struct hw_walk walk = {{0, 0}, 0};
    size_t count = 0;

    for (size_t i = k; i < n; i++) {
        int found = hw_walk_on(seg, &walk, i == k, seg->chars[i]);

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

        if (!hw_is_alnum(seg->chars[k]))
            code = close_latin(seg, &latin, err);
        for (size_t i = 0; i < count && code == HW_OK; i++) {
            const size_t end = seg->steps[i].end;

            if (!alone && end == k + 1)
                continue;
            if (alone && hw_is_alnum(seg->chars[k]))
                code = add_latin(seg, &latin, hw_block_token(seg, k, end), err);
            else
                code = put_checked(seg, hw_block_token(seg, k, end), err);
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
            return hw_segmenter_fail_utf8(pos, err);
        if (hw_class_of(cp))
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

hw_code hw_segmenter_cut_all(hw_segmenter *seg, hw_error *err)
{
    hw_code code = HW_OK;

    seg->joined.len = 0;
    for (size_t at = 0; at < seg->text_len && code == HW_OK;) {
        size_t n;

        code = hw_segmenter_read_block(seg, &at, seg->text_len, &n, err);
        if (code == HW_OK && n > 0)
            code = cut_block_all(seg, n, err);
        else if (code == HW_OK)
            code = cut_gap_all(seg, &at, err);
    }
    return code;
}
