/* userdict.h - a user's own words, laid over the compiled dictionary.
 *
 * Works as jieba's user dictionary does: words are added, with their prefixes, and each adds its
 * frequency to the total; what is deleted stays as a key of frequency 0. The results of
 * hw_userdict_suggest() and of adding without a frequency depend on all that was added before.
 *
 * An hw_userdict may be changed by one thread at a time, and not while anyone cuts with it. Frequencies
 * and their total are limited to HW_FREQ_MAX, up to which doubles count exactly. */
#ifndef HW_USERDICT_H
#define HW_USERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dict.h"
#include "hw_error.h"

#define HW_FREQ_MAX ((uint64_t)1 << 53)

typedef struct hw_userdict hw_userdict;

/* A view of UTF-8 text. */
typedef struct hw_word {
    const char *bytes;
    size_t len;
} hw_word;

/* Puts an empty one in *out, owned by the caller. Borrows `dict` until hw_userdict_free(). */
hw_code hw_userdict_new(hw_userdict **out, const hw_dict *dict, hw_error *err);

/* NULL is a no-op. */
void hw_userdict_free(hw_userdict *user);

/* Gives `word` the frequency `freq`; 0 deletes it, and lets the HMM not make it either: then and for
 * good, as in jieba, such a word is given character by character. HW_EINVAL: an empty or invalid
 * word, or a frequency or total above HW_FREQ_MAX. */
hw_code hw_userdict_add(hw_userdict *user, hw_word word, uint64_t freq, hw_error *err);

/* The same with the frequency that hw_userdict_suggest() gives. */
hw_code hw_userdict_add_suggested(hw_userdict *user, hw_word word, hw_error *err);

/* Adds the words of the file `path`, a line each: `word`, `word frequency`, `word tag` or `word
 * frequency tag`, where a tag is a-z and has no effect here. HW_EFORMAT names the line that is not
 * UTF-8, or has a frequency out of range; the words before it have been added. */
hw_code hw_userdict_load(hw_userdict *user, const char *path, hw_error *err);

/* Puts in *freq the frequency that makes `word` one token. */
hw_code hw_userdict_suggest(hw_userdict *user, hw_word word, uint64_t *freq, hw_error *err);

/* Puts in *freq the frequency of the word that the `count` pieces joined make, with which it is cut
 * into these. Neither this nor the function above changes the dictionary: add the word for that. */
hw_code hw_userdict_suggest_split(
    hw_userdict *user, const hw_word *pieces, size_t count, uint64_t *freq, hw_error *err);

/* True if `word` is a key, of either dictionary, and then puts its frequency in *freq: 0 for a
 * deleted word and for what is only the beginning of words. */
bool hw_userdict_freq(const hw_userdict *user, hw_word word, uint64_t *freq);

/* The sum of all frequencies ever added, the compiled dictionary's included. */
uint64_t hw_userdict_total(const hw_userdict *user);

#endif
