/* dict_build.h - making a compiled dictionary from words and HMM parameters.
 *
 * For hotwords-mkdict and for tests that want a small dictionary. The words may come in any order;
 * everything is kept in memory until it is written. */
#ifndef HW_DICT_BUILD_H
#define HW_DICT_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "dict_format.h"
#include "hw_error.h"

typedef struct hw_dict_builder hw_dict_builder;

/* Puts an empty builder in *out, owned by the caller. All HMM parameters are HW_LOG_ZERO. */
hw_code hw_dict_builder_new(hw_dict_builder **out, hw_error *err);

/* NULL is a no-op. */
void hw_dict_builder_free(hw_dict_builder *builder);

/* Adds a word. Of a word added twice the last frequency counts, but both go into the total, as jieba
 * has it. HW_EINVAL: an empty or invalid word, one with a character outside the BMP, a zero
 * frequency. */
hw_code hw_dict_builder_word(
    hw_dict_builder *builder, const char *word, size_t len, uint32_t freq, hw_error *err);

/* Set parameters of the HMM: logarithms. An emission of a character that is not one of the HMM's
 * (HW_HAN_FIRST to HW_HAN_LAST) is ignored: no text can ask for it. */
void hw_dict_builder_start(hw_dict_builder *builder, enum hw_state state, double value);
void hw_dict_builder_trans(hw_dict_builder *builder,
                           enum hw_state from,
                           enum hw_state to,
                           double value);
void hw_dict_builder_emit(hw_dict_builder *builder,
                          enum hw_state state,
                          uint32_t cp,
                          double value);

/* Compiles what was added and puts it into the file `path`, which appears complete, by renaming, or
 * not at all. HW_EINVAL: no words, or too many for the format. HW_EIO: it cannot be written. The
 * builder is used up: all that may follow is hw_dict_builder_free(). */
hw_code hw_dict_builder_write(hw_dict_builder *builder, const char *path, hw_error *err);

#endif
