/* hmm_test.c - the most probable states, compared with trying all sequences, and jieba's ties. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hmm.h"
#include "test_support.h"

enum {
    LONGEST = 7
};

/* A model in the caller's memory: only what hw_hmm_tag() looks at. */
struct model {
    double start[HW_STATES];
    double trans[HW_STATES * HW_STATES];
    double emit[8 * HW_STATES];
    hw_dict dict;
};

static void attach(struct model *model)
{
    model->dict.start = model->start;
    model->dict.trans = model->trans;
    model->dict.emit = model->emit;
}

static double random_log(unsigned *seed)
{
    return -(double)(rand_r(seed) % 10000 + 1) / 1000;
}

static void fill(struct model *model, unsigned *seed)
{
    for (size_t i = 0; i < HW_STATES; i++)
        model->start[i] = HW_LOG_ZERO;
    model->start[HW_STATE_B] = random_log(seed);
    model->start[HW_STATE_S] = random_log(seed);
    for (size_t i = 0; i < HW_STATES * HW_STATES; i++)
        model->trans[i] = random_log(seed);
    for (size_t i = 0; i < 8 * HW_STATES; i++)
        model->emit[i] = random_log(seed);
    attach(model);
}

static bool may_follow(unsigned from, unsigned to)
{
    const bool ended = from == HW_STATE_E || from == HW_STATE_S;

    return ended == (to == HW_STATE_B || to == HW_STATE_S);
}

/* The score of a sequence, or -infinity if it makes no words. */
static double
score(const struct model *model, const uint16_t *chars, const uint8_t *states, size_t n)
{
    double sum = model->start[states[0]] +
                 model->emit[(chars[0] - HW_HAN_FIRST) * HW_STATES + states[0]];

    if (states[n - 1] != HW_STATE_E && states[n - 1] != HW_STATE_S)
        return -INFINITY;
    for (size_t t = 1; t < n; t++) {
        if (!may_follow(states[t - 1], states[t]))
            return -INFINITY;
        sum += model->trans[states[t - 1] * HW_STATES + states[t]];
        sum += model->emit[(chars[t] - HW_HAN_FIRST) * HW_STATES + states[t]];
    }
    return sum;
}

static void the_best_of_all_sequences_is_found(void **state)
{
    unsigned seed = 20200406;
    struct model model = {0};

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        const size_t n = 1 + round % LONGEST;
        uint16_t chars[LONGEST];
        uint8_t found[LONGEST], best[LONGEST] = {0};
        double best_score = -INFINITY;

        fill(&model, &seed);
        for (size_t i = 0; i < n; i++)
            chars[i] = (uint16_t)(HW_HAN_FIRST + (unsigned)rand_r(&seed) % 8);
        for (unsigned number = 0; number < 1u << 2 * n; number++) {
            uint8_t tried[LONGEST];
            for (size_t i = 0; i < n; i++)
                tried[i] = number >> 2 * i & 3;
            if (score(&model, chars, tried, n) > best_score) {
                best_score = score(&model, chars, tried, n);
                memcpy(best, tried, sizeof best);
            }
        }
        hw_hmm_tag(&model.dict, chars, n, found);
        assert_memory_equal(found, best, n);
    }
}

/* HW_LOG_ZERO absorbs all that is small, so every sequence is as good as any: the larger letter wins,
 * and at the end S. */
static void unknown_characters_are_ties_that_the_larger_state_wins(void **state)
{
    static const uint16_t chars[] = {HW_HAN_FIRST, HW_HAN_FIRST + 1, HW_HAN_FIRST + 2};
    struct model model = {0};
    unsigned seed = 1;
    uint8_t found[3];

    (void)state;
    fill(&model, &seed);
    for (size_t i = 0; i < 8 * HW_STATES; i++)
        model.emit[i] = HW_LOG_ZERO;
    hw_hmm_tag(&model.dict, chars, 3, found);
    assert_int_equal(found[0], HW_STATE_S);
    assert_int_equal(found[1], HW_STATE_S);
    assert_int_equal(found[2], HW_STATE_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_all_sequences_is_found),
        cmocka_unit_test(unknown_characters_are_ties_that_the_larger_state_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
