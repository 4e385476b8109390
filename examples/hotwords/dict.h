/* dict.h - the compiled dictionary: jieba's words and HMM parameters, mapped read-only.
 *
 * An hw_dict never changes, so any number of threads and, through the page cache, processes share it.
 * Opening checks the whole file (a millisecond or so) and parses nothing. */
#ifndef HW_DICT_H
#define HW_DICT_H

#include <stdint.h>

#include "dict_format.h"
#include "hw_error.h"

/* The fields are for the segmenter: all point into the mapping. */
typedef struct hw_dict {
    const struct hw_dict_header *header;
    const double *start;             /* [state] */
    const double *trans;             /* [from * HW_STATES + to] */
    const double *emit;              /* [(cp - HW_HAN_FIRST) * HW_STATES + state] */
    const double *log_freq;          /* [frequency index] */
    const uint32_t *freq;            /* [frequency index] */
    const uint16_t *label;           /* [code point] */
    const struct hw_dict_cell *cell; /* [0] is the root */
} hw_dict;

/* Maps the file `path` and puts it in *out, owned by the caller, who closes it with hw_dict_close().
 * The file must not be changed while it is open: replace it by renaming, as hotwords-mkdict does.
 * Fails with HW_ENOENT or HW_EIO, and with HW_EFORMAT for a file that is truncated, damaged, of
 * another version or no dictionary at all. */
hw_code hw_dict_open(hw_dict **out, const char *path, hw_error *err);

/* Unmaps it. No segmenter may use it any more. NULL is a no-op. */
void hw_dict_close(hw_dict *dict);

/* Opens the dictionary of this machine: the file that the environment variable HOTWORDS_DICT names
 * (and then no other), else `hotwords.dict` beside the shared object or program that holds this
 * code, else the installed one. Fails as hw_dict_open() does; HW_ENOENT names the last place. */
hw_code hw_dict_open_default(hw_dict **out, hw_error *err);

/* The cell that the label leads to from `cell`, or 0 (which is never a child) if there is none. */
static inline uint32_t hw_dict_step(const hw_dict *dict, uint32_t cell, uint16_t label)
{
    uint32_t child = dict->cell[cell].base + label;

    return dict->cell[child].label == label ? child : 0;
}

static inline uint16_t hw_dict_label(const hw_dict *dict, uint32_t cp)
{
    return cp < HW_LABEL_CODES ? dict->label[cp] : HW_LABEL_NONE;
}

#endif
