/* segment.h - cutting text into words exactly as python jieba 0.42.1 does.
 *
 * A segmenter is the working memory of one thread, over a dictionary that all may share. In the two
 * exact modes nothing is dropped: the tokens joined are the text. */
#ifndef HW_SEGMENT_H
#define HW_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "dict.h"
#include "hw_error.h"
#include "userdict.h"

typedef enum hw_mode {
    HW_MODE_EXACT,  /* jieba.lcut(text) */
    HW_MODE_NO_HMM, /* jieba.lcut(text, HMM=False) */
    HW_MODE_ALL, /* jieba.lcut(text, cut_all=True): every word there is; some tokens are empty */
    HW_MODE_SEARCH, /* jieba.lcut_for_search(text): long words also in parts */
} hw_mode;

/* A view into the text; in one odd case of HW_MODE_ALL (Latin pieces that jieba joins though they
 * stand apart) into the segmenter. Not NUL-terminated. */
typedef struct hw_token {
    const char *bytes;
    uint32_t len;   /* in bytes */
    uint32_t chars; /* in code points */
} hw_token;

#define HW_TEXT_MAX ((size_t)UINT32_MAX - 1) /* the longest text, in bytes */

typedef struct hw_segmenter hw_segmenter;

/* Puts a segmenter in *out, owned by the caller. Borrows `dict`, and `user`, which may be NULL and
 * must then lie over `dict`, until hw_segmenter_free(). Words added to `user` count from the next
 * hw_cut() on. */
hw_code hw_segmenter_new(hw_segmenter **out,
                         const hw_dict *dict,
                         const hw_userdict *user,
                         hw_error *err);

/* NULL is a no-op. */
void hw_segmenter_free(hw_segmenter *segmenter);

/* Cuts `len` bytes of UTF-8, NUL included, and puts *count tokens in *tokens, valid until the next
 * call with this segmenter and as long as the text. The caller handles HW_EFORMAT: the text is not
 * UTF-8, the message says where. HW_EINVAL: it is longer than HW_TEXT_MAX. */
hw_code hw_cut(hw_segmenter *segmenter,
               hw_mode mode,
               const char *text,
               size_t len,
               const hw_token **tokens,
               size_t *count,
               hw_error *err);

#endif
