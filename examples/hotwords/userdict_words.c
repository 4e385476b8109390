/* userdict_words.c - frequencies that make a word, or break it, and files of words. */
#include <string.h>

#include "buf.h"
#include "segment.h"
#include "userdict.h"
#include "usertrie.h"

/* ---- suggestions: jieba's formulas, in its order of operations ---- */

/* The frequency of `word`, or `absent` if it is no key. */
static uint64_t freq_or(const hw_userdict *user, hw_word word, uint64_t absent)
{
    uint64_t freq = absent;

    hw_userdict_freq(user, word, &freq);
    return freq;
}

hw_code hw_userdict_suggest(hw_userdict *user, hw_word word, uint64_t *freq, hw_error *err)
{
    const double total = (double)user->total;
    const hw_token *tokens;
    size_t count;
    double p = 1;
    uint64_t known;
    hw_code code = HW_OK;

    if (!user->cutter)
        code = hw_segmenter_new(&user->cutter, user->dict, user, err);
    if (code == HW_OK)
        code = hw_cut(user->cutter, HW_MODE_NO_HMM, word.bytes, word.len, &tokens, &count, err);
    if (code != HW_OK)
        return code;
    for (size_t i = 0; i < count; i++)
        p *= (double)freq_or(user, (hw_word){tokens[i].bytes, tokens[i].len}, 1) / total;
    *freq = (uint64_t)(p * total) + 1;
    known = freq_or(user, word, 1);
    if (*freq < known)
        *freq = known;
    return HW_OK;
}

hw_code hw_userdict_suggest_split(
    hw_userdict *user, const hw_word *pieces, size_t count, uint64_t *freq, hw_error *err)
{
    const double total = (double)user->total;
    hw_buf joined = {0};
    uint64_t known;
    double p = 1;

    for (size_t i = 0; i < count; i++) {
        if (!hw_buf_add(&joined, pieces[i].bytes, pieces[i].len)) {
            hw_buf_done(&joined);
            return hw_fail_memory(err);
        }
        p *= (double)freq_or(user, pieces[i], 1) / total;
    }
    known = freq_or(user, (hw_word){joined.bytes, joined.len}, 0);
    *freq = (uint64_t)(p * total);
    if (*freq > known)
        *freq = known;
    hw_buf_done(&joined);
    return HW_OK;
}

hw_code hw_userdict_add_suggested(hw_userdict *user, hw_word word, hw_error *err)
{
    uint64_t freq;
    hw_code code = hw_userdict_suggest(user, word, &freq, err);

    return code == HW_OK ? hw_userdict_add(user, word, freq, err) : code;
}

/* ---- files ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ASCII white space at both ends, then byte order marks in front. */
static hw_word strip(hw_word line)
{
    while (line.len > 0 && is_space(line.bytes[line.len - 1]))
        line.len--;
    while (line.len > 0 && is_space(line.bytes[0])) {
        line.bytes++;
        line.len--;
    }
    while (line.len >= 3 && memcmp(line.bytes, "\xEF\xBB\xBF", 3) == 0) {
        line.bytes += 3;
        line.len -= 3;
    }
    return line;
}

/* Takes a tail of one space and one or more of the characters lo to hi off `word`, unless nothing
 * would be left. Returns the tail without its space; empty if there is none. */
static hw_word take_tail(hw_word *word, char lo, char hi)
{
    hw_word none = {NULL, 0}, tail;
    size_t at = word->len;

    while (at > 0 && word->bytes[at - 1] >= lo && word->bytes[at - 1] <= hi)
        at--;
    if (at < 2 || at == word->len || word->bytes[at - 1] != ' ')
        return none;
    tail = (hw_word){word->bytes + at, word->len - at};
    word->len = at - 1;
    return tail;
}

static bool parse_freq(hw_word digits, uint64_t *freq)
{
    *freq = 0;
    for (size_t i = 0; i < digits.len; i++) {
        *freq = *freq * 10 + (uint64_t)(digits.bytes[i] - '0');
        if (*freq > HW_FREQ_MAX)
            return false;
    }
    return true;
}

static hw_code add_line(hw_userdict *user, hw_word line, hw_error *err)
{
    hw_word word = strip(line), digits;
    uint64_t freq;

    if (word.len == 0)
        return HW_OK;
    take_tail(&word, 'a', 'z');
    digits = take_tail(&word, '0', '9');
    if (digits.len == 0)
        return hw_userdict_add_suggested(user, word, err);
    if (!parse_freq(digits, &freq))
        return hw_fail(err, HW_EINVAL, "the frequency is above 2^53");
    return hw_userdict_add(user, word, freq, err);
}

hw_code hw_userdict_load(hw_userdict *user, const char *path, hw_error *err)
{
    hw_buf text = {0};
    unsigned number = 0;
    hw_code code = hw_buf_add_file(&text, path, err);
    const char *line = text.bytes, *stop = text.bytes + text.len;

    while (code == HW_OK && line < stop) {
        const char *end = memchr(line, '\n', (size_t)(stop - line));
        hw_error why;

        if (!end)
            end = stop;
        number++;
        code = add_line(user, (hw_word){line, (size_t)(end - line)}, &why);
        if (code == HW_EINVAL || code == HW_EFORMAT)
            code = hw_fail(err, HW_EFORMAT, "%s:%u: %.100s", path, number, why.message);
        else if (code != HW_OK)
            hw_fail(err, code, "%.100s", why.message);
        line = end + 1;
    }
    hw_buf_done(&text);
    return code;
}
