/* hmm.c - the Viterbi algorithm, with jieba's order of operations.
 *
 * Each state has two possible predecessors. On the way forward states[t] has a bit for each state:
 * set if the larger of its two predecessors won, which it also does on a tie. On the way back the
 * bits are replaced by the state. Sums are (V + trans) + emit, and compared after the emission is
 * added: with HW_LOG_ZERO in them they absorb what is small, and ties are common. */
#include "hmm.h"

#include <stdbool.h>

struct column {
    double v[HW_STATES];
};

/* The predecessors of each state, the smaller first. */
static const uint8_t before[HW_STATES][2] = {
    [HW_STATE_B] = {HW_STATE_E, HW_STATE_S},
    [HW_STATE_E] = {HW_STATE_B, HW_STATE_M},
    [HW_STATE_M] = {HW_STATE_B, HW_STATE_M},
    [HW_STATE_S] = {HW_STATE_E, HW_STATE_S},
};

static const double *emissions(const hw_dict *dict, uint16_t cp)
{
    return dict->emit + (size_t)(cp - HW_HAN_FIRST) * HW_STATES;
}

/* Computes the next column for one state. Returns true if the larger predecessor won. */
static inline bool advance(const double *trans,
                           const struct column *last,
                           struct column *next,
                           enum hw_state state,
                           double emit)
{
    const unsigned lo = before[state][0], hi = before[state][1];
    const double low = (last->v[lo] + trans[lo * HW_STATES + state]) + emit;
    const double high = (last->v[hi] + trans[hi * HW_STATES + state]) + emit;

    next->v[state] = high >= low ? high : low;
    return high >= low;
}

void hw_hmm_tag(const hw_dict *dict, const uint16_t *chars, size_t n, uint8_t *states)
{
    const double *trans = dict->trans, *emit = emissions(dict, chars[0]);
    struct column last, next;
    unsigned state;

    for (unsigned s = 0; s < HW_STATES; s++)
        last.v[s] = dict->start[s] + emit[s];
    for (size_t t = 1; t < n; t++) {
        unsigned wins = 0;

        emit = emissions(dict, chars[t]);
        for (unsigned s = 0; s < HW_STATES; s++)
            wins |= (unsigned)advance(trans, &last, &next, (enum hw_state)s, emit[s]) << s;
        states[t] = (uint8_t)wins;
        last = next;
    }
    state = last.v[HW_STATE_S] >= last.v[HW_STATE_E] ? HW_STATE_S : HW_STATE_E;
    for (size_t t = n; t-- > 1;) {
        const unsigned wins = states[t];

        states[t] = (uint8_t)state;
        state = before[state][wins >> state & 1];
    }
    states[0] = (uint8_t)state;
}
