/* jieba_source.c - reading the dictionary and HMM parameters of python jieba. */
#include "jieba_source.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "pyliteral.h"

/* ---- dict.txt ---- */

/* A line is `word frequency tag` with single spaces and no space inside a word. */
static hw_code
add_line(hw_dict_builder *builder, const char *line, const char *end, hw_error *err)
{
    const char *digits, *tag;
    uint64_t freq = 0;

    digits = memchr(line, ' ', (size_t)(end - line));
    if (!digits)
        return hw_fail(err, HW_EFORMAT, "expected 'word frequency tag'");
    for (tag = digits + 1; tag < end && *tag >= '0' && *tag <= '9'; tag++) {
        freq = freq * 10 + (uint64_t)(*tag - '0');
        if (freq > UINT32_MAX)
            return hw_fail(err, HW_EFORMAT, "the frequency is too large");
    }
    if (tag == digits + 1 || tag == end || *tag != ' ')
        return hw_fail(err, HW_EFORMAT, "expected a frequency and a tag behind the word");
    return hw_dict_builder_word(builder, line, (size_t)(digits - line), (uint32_t)freq, err);
}

static hw_code read_words(hw_dict_builder *builder, const char *path, hw_error *err)
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
        code = add_line(builder, line, end, &why);
        if (code == HW_EINVAL || code == HW_EFORMAT)
            code = hw_fail(err, HW_EFORMAT, "%s:%u: %.100s", path, number, why.message);
        else if (code != HW_OK)
            hw_fail(err, code, "%.100s", why.message);
        line = end + 1;
    }
    hw_buf_done(&text);
    return code;
}

/* ---- finalseg ---- */

/* The state that jieba calls by this letter, or HW_STATES. */
static enum hw_state state_of(uint32_t letter)
{
    switch (letter) {
    case 'B':
        return HW_STATE_B;
    case 'E':
        return HW_STATE_E;
    case 'M':
        return HW_STATE_M;
    case 'S':
        return HW_STATE_S;
    default:
        return HW_STATES;
    }
}

static hw_code fail_state(uint32_t letter, hw_error *err)
{
    return hw_fail(err, HW_EFORMAT, "U+%04X is no state of the HMM (B, E, M, S)", letter);
}

static hw_code
add_start(void *arg, uint32_t outer, uint32_t letter, double value, hw_error *err)
{
    (void)outer;
    if (state_of(letter) == HW_STATES)
        return fail_state(letter, err);
    hw_dict_builder_start(arg, state_of(letter), value);
    return HW_OK;
}

static hw_code add_trans(void *arg, uint32_t from, uint32_t to, double value, hw_error *err)
{
    if (state_of(from) == HW_STATES || state_of(to) == HW_STATES)
        return fail_state(state_of(from) == HW_STATES ? from : to, err);
    hw_dict_builder_trans(arg, state_of(from), state_of(to), value);
    return HW_OK;
}

static hw_code add_emit(void *arg, uint32_t letter, uint32_t cp, double value, hw_error *err)
{
    if (state_of(letter) == HW_STATES)
        return fail_state(letter, err);
    hw_dict_builder_emit(arg, state_of(letter), cp, value);
    return HW_OK;
}

static hw_code read_table(hw_dict_builder *builder,
                          const char *path,
                          unsigned depth,
                          hw_pyliteral_visit visit,
                          hw_error *err)
{
    hw_buf source = {0};
    hw_code code = hw_buf_add_file(&source, path, err);

    if (code == HW_OK)
        code = hw_pyliteral_read(source.bytes, source.len, path, depth, visit, builder, err);
    hw_buf_done(&source);
    return code;
}

hw_code hw_jieba_read(hw_dict_builder *builder, const char *dir, hw_error *err)
{
    static const struct {
        const char *name;
        unsigned depth; /* 0: the words */
        hw_pyliteral_visit visit;
    } files[] = {
        {"dict.txt", 0, NULL},
        {"finalseg/prob_start.py", 1, add_start},
        {"finalseg/prob_trans.py", 2, add_trans},
        {"finalseg/prob_emit.py", 2, add_emit},
    };
    hw_code code = HW_OK;

    for (size_t i = 0; i < sizeof files / sizeof *files && code == HW_OK; i++) {
        char path[PATH_MAX];

        if (snprintf(path, sizeof path, "%s/%s", dir, files[i].name) >= (int)sizeof path)
            return hw_fail(err, HW_EINVAL, "the path '%s' is too long", dir);
        code = files[i].depth == 0
                   ? read_words(builder, path, err)
                   : read_table(builder, path, files[i].depth, files[i].visit, err);
    }
    return code;
}
