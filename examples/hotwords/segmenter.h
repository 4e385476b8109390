/* segmenter.h - what the modes of the segmenter share. For segment.c and segment_all.c. */
#ifndef HW_SEGMENTER_H
#define HW_SEGMENTER_H

#include <stdbool.h>

#include "buf.h"
#include "segment.h"
#include "usertrie.h"

struct hw_step {
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
    struct hw_step *steps;
    uint8_t *states; /* what the HMM says of a part of it */
    size_t block_cap;

    hw_token *tokens;
    size_t token_count, token_cap;
    hw_token *parts; /* HW_MODE_SEARCH: what becomes of the tokens */
    size_t part_count, part_cap;
    hw_buf joined; /* HW_MODE_ALL: tokens that are no part of the text */
};

/* ---- characters ---- */

enum {               /* what an ASCII character is */
    HW_IN_BLOCK = 1, /* may stand in a block */
    HW_ALNUM = 2,    /* letter or digit */
    HW_DIGIT = 4,
};

extern const uint8_t hw_ascii_class[128];

static inline bool hw_is_han(uint32_t cp)
{
    return cp >= HW_HAN_FIRST && cp <= HW_HAN_LAST;
}

static inline unsigned hw_class_of(uint32_t cp)
{
    if (cp < 128)
        return hw_ascii_class[cp];
    return hw_is_han(cp) ? HW_IN_BLOCK : 0;
}

static inline bool hw_is_alnum(uint32_t cp)
{
    return cp < 128 && (hw_ascii_class[cp] & HW_ALNUM);
}

static inline bool hw_is_digit(uint32_t cp)
{
    return cp < 128 && (hw_ascii_class[cp] & HW_DIGIT);
}

/* ---- looking words up ---- */

/* The walk from character `k` of the block on. */
struct hw_walk {
    struct hw_user_place place;
    double log_freq; /* of the word that ends here, if hw_walk_on() said that it is one */
};

/* Goes on by `cp`. Returns -1 if nothing begins like this, 1 if a word with a frequency above 0 ends
 * here, 0 otherwise. */
static inline int
hw_walk_on(const hw_segmenter *seg, struct hw_walk *walk, bool first, uint32_t cp)
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

/* The characters from .. to of the block as a token. */
static inline hw_token hw_block_token(const hw_segmenter *seg, size_t from, size_t to)
{
    const uint32_t *offsets = seg->offsets;

    return (hw_token){seg->text + offsets[from], offsets[to] - offsets[from],
                      (uint32_t)(to - from)};
}

/* ---- in segment.c ---- */

/* Makes room for `more` tokens. False: out of memory. */
bool hw_segmenter_reserve(hw_segmenter *seg, size_t more);

/* Decodes the block that begins at *at (it may be empty) and ends before `len` into chars and
 * offsets, counts it in *n, and moves *at behind it. */
hw_code
hw_segmenter_read_block(hw_segmenter *seg, size_t *at, size_t len, size_t *n, hw_error *err);

/* HW_EFORMAT, for a text that is not UTF-8 at byte `at`. */
hw_code hw_segmenter_fail_utf8(size_t at, hw_error *err);

/* ---- in segment_all.c ---- */

/* HW_MODE_ALL: cuts seg->text and puts the tokens in seg->tokens. */
hw_code hw_segmenter_cut_all(hw_segmenter *seg, hw_error *err);

#endif
