/* hmm.h - the hidden Markov model that finds words which no dictionary holds. */
#ifndef HW_HMM_H
#define HW_HMM_H

#include <stddef.h>
#include <stdint.h>

#include "dict.h"

/* Puts in states[0 .. n) the most probable states, enum hw_state, of the `n` > 0 Han characters
 * `chars` (HW_HAN_FIRST to HW_HAN_LAST). The last is HW_STATE_E or HW_STATE_S. */
void hw_hmm_tag(const hw_dict *dict, const uint16_t *chars, size_t n, uint8_t *states);

#endif
