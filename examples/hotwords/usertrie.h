/* usertrie.h - the trie of a user dictionary, as the segmenter walks it beside the compiled one.
 *
 * Node 0 is the root, and as no node's child also the sign for "nowhere". A node without
 * HW_USER_VALUE says nothing about its word but that it is a key: the compiled dictionary's value
 * counts, or 0 if there is none. */
#ifndef HW_USERTRIE_H
#define HW_USERTRIE_H

#include "userdict.h"

enum {
    HW_USER_VALUE = 1,      /* freq and log_freq are its word's */
    HW_USER_FORCE_SPLIT = 2 /* its word, if the HMM makes it, falls into characters */
};

struct hw_user_node {
    uint64_t freq;
    double log_freq; /* log(freq), if it is above 0 */
    unsigned flags;
};

/* Where a character leads to; child 0 is an empty slot. */
struct hw_user_edge {
    uint32_t parent;
    uint32_t cp;
    uint32_t child;
};

struct hw_userdict {
    const hw_dict *dict; /* borrowed */
    struct hw_user_node *nodes;
    size_t node_count, node_cap;
    struct hw_user_edge *edges; /* a hash table, at most half full */
    size_t edge_cap;            /* a power of two */
    uint64_t total;
    double log_total;
    bool any_force_split;
    struct hw_segmenter *cutter; /* owned; for suggestions; made when first needed */
};

static inline size_t hw_user_slot(const hw_userdict *user, uint32_t parent, uint32_t cp)
{
    uint64_t key = ((uint64_t)parent << 32 | cp) * 0x9E3779B97F4A7C15u;

    return (size_t)(key >> 32) & (user->edge_cap - 1);
}

/* The child of node `parent` for `cp`, or 0. */
static inline uint32_t hw_user_step(const hw_userdict *user, uint32_t parent, uint32_t cp)
{
    size_t slot = hw_user_slot(user, parent, cp);

    for (; user->edges[slot].child != 0; slot = (slot + 1) & (user->edge_cap - 1)) {
        const struct hw_user_edge *edge = &user->edges[slot];
        if (edge->parent == parent && edge->cp == cp)
            return edge->child;
    }
    return 0;
}

/* A place in both tries. Begins as {0, 0}, the roots. */
struct hw_user_place {
    uint32_t cell;
    uint32_t node;
};

/* Goes on from `place`, which is the beginning if `first`. False: no key begins like this. */
static inline bool
hw_user_walk(const hw_userdict *user, struct hw_user_place *place, bool first, uint32_t cp)
{
    uint16_t label = hw_dict_label(user->dict, cp);

    place->cell = first || place->cell ? hw_dict_step(user->dict, place->cell, label) : 0;
    place->node = first || place->node ? hw_user_step(user, place->node, cp) : 0;
    return place->cell != 0 || place->node != 0;
}

/* The frequency of the key at `place`, and its logarithm if it is above 0. */
static inline uint64_t
hw_user_value(const hw_userdict *user, struct hw_user_place place, double *log_freq)
{
    const struct hw_user_node *node = &user->nodes[place.node];
    uint16_t index;

    if (place.node != 0 && (node->flags & HW_USER_VALUE)) {
        *log_freq = node->log_freq;
        return node->freq;
    }
    index = user->dict->cell[place.cell].freq;
    *log_freq = user->dict->log_freq[index];
    return place.cell != 0 ? user->dict->freq[index] : 0;
}

#endif
