/* userdict.c - the words and the total of a user dictionary. What needs cutting to find a frequency
 * is in userdict_words.c. */
#include "userdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "segment.h"
#include "usertrie.h"
#include "utf8.h"

#define FIRST_EDGES 64
#define NODES_MAX   (1u << 30)

hw_code hw_userdict_new(hw_userdict **out, const hw_dict *dict, hw_error *err)
{
    hw_userdict *user = calloc(1, sizeof *user);

    if (!user)
        return hw_fail_memory(err);
    user->dict = dict;
    user->total = dict->header->total;
    user->log_total = dict->header->log_total;
    user->edges = calloc(FIRST_EDGES, sizeof *user->edges);
    user->nodes = hw_grow(NULL, &user->node_cap, sizeof *user->nodes, 1);
    if (!user->edges || !user->nodes) {
        hw_userdict_free(user);
        return hw_fail_memory(err);
    }
    user->edge_cap = FIRST_EDGES;
    user->nodes[0] = (struct hw_user_node){0};
    user->node_count = 1;
    *out = user;
    return HW_OK;
}

void hw_userdict_free(hw_userdict *user)
{
    if (!user)
        return;
    hw_segmenter_free(user->cutter);
    free(user->edges);
    free(user->nodes);
    free(user);
}

static void put_edge(hw_userdict *user, struct hw_user_edge edge)
{
    size_t slot = hw_user_slot(user, edge.parent, edge.cp);

    while (user->edges[slot].child != 0)
        slot = (slot + 1) & (user->edge_cap - 1);
    user->edges[slot] = edge;
}

/* Makes room for `more` nodes and their edges. */
static hw_code reserve(hw_userdict *user, size_t more, hw_error *err)
{
    const size_t wanted = user->node_count + more;
    struct hw_user_edge *old = user->edges;
    size_t old_cap = user->edge_cap, cap = old_cap;
    struct hw_user_node *nodes;

    if (more > NODES_MAX || wanted > NODES_MAX)
        return hw_fail(err, HW_EINVAL, "the user dictionary is too large");
    nodes = hw_grow(user->nodes, &user->node_cap, sizeof *nodes, wanted);
    if (!nodes)
        return hw_fail_memory(err);
    user->nodes = nodes;
    while (cap < wanted * 2)
        cap *= 2;
    if (cap == old_cap)
        return HW_OK;
    user->edges = calloc(cap, sizeof *user->edges);
    if (!user->edges) {
        user->edges = old;
        return hw_fail_memory(err);
    }
    user->edge_cap = cap;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].child != 0)
            put_edge(user, old[i]);
    free(old);
    return HW_OK;
}

static bool is_utf8(hw_word word)
{
    const unsigned char *p = (const unsigned char *)word.bytes;
    uint32_t cp;

    for (size_t at = 0; at < word.len;) {
        unsigned taken = hw_utf8_decode(p + at, word.len - at, &cp);
        if (taken == 0)
            return false;
        at += taken;
    }
    return true;
}

/* The node of `word`, valid UTF-8, made with its prefixes' where they are missing. There is room. */
static struct hw_user_node *make_node(hw_userdict *user, hw_word word)
{
    const unsigned char *p = (const unsigned char *)word.bytes;
    uint32_t node = 0, cp = 0;

    for (size_t at = 0; at < word.len;) {
        uint32_t child;

        at += hw_utf8_decode(p + at, word.len - at, &cp);
        child = hw_user_step(user, node, cp);
        if (child == 0) {
            child = (uint32_t)user->node_count++;
            user->nodes[child] = (struct hw_user_node){0};
            put_edge(user, (struct hw_user_edge){node, cp, child});
        }
        node = child;
    }
    return &user->nodes[node];
}

hw_code hw_userdict_add(hw_userdict *user, hw_word word, uint64_t freq, hw_error *err)
{
    struct hw_user_node *node;
    hw_code code;

    if (word.len == 0)
        return hw_fail(err, HW_EINVAL, "the word is empty");
    if (!is_utf8(word))
        return hw_fail(err, HW_EINVAL, "the word is not UTF-8");
    if (freq > HW_FREQ_MAX || freq > HW_FREQ_MAX - user->total)
        return hw_fail(err, HW_EINVAL, "the frequency, or the sum of all, is above 2^53");
    code = reserve(user, word.len, err);
    if (code != HW_OK)
        return code;
    node = make_node(user, word);
    node->freq = freq;
    node->log_freq = freq > 0 ? log((double)freq) : 0;
    node->flags |= HW_USER_VALUE;
    if (freq == 0) {
        node->flags |= HW_USER_FORCE_SPLIT;
        user->any_force_split = true;
    }
    user->total += freq;
    user->log_total = log((double)user->total);
    return HW_OK;
}

bool hw_userdict_freq(const hw_userdict *user, hw_word word, uint64_t *freq)
{
    const unsigned char *p = (const unsigned char *)word.bytes;
    struct hw_user_place place = {0, 0};
    double log_freq;

    if (word.len == 0)
        return false;
    for (size_t at = 0; at < word.len;) {
        uint32_t cp;
        unsigned taken = hw_utf8_decode(p + at, word.len - at, &cp);

        if (taken == 0 || !hw_user_walk(user, &place, at == 0, cp))
            return false;
        at += taken;
    }
    *freq = hw_user_value(user, place, &log_freq);
    return true;
}

uint64_t hw_userdict_total(const hw_userdict *user)
{
    return user->total;
}
