/* dict_build.c - compiling a dictionary: labels, a trie, then the trie as a double array.
 *
 * The trie is made breadth first from the sorted words, so each node's children are neighbours in
 * `nodes`. For the double array the nodes with the most children choose their places first; those
 * with one child, by far the most, then fill the holes. */
#include "dict_build.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cells.h"
#include "utf8.h"

#define WORD_CHARS_MAX 255
#define WORDS_MAX      (1u << 26)

struct entry {
    size_t at;              /* where its code points (later its labels) begin in `chars` */
    const uint16_t *labels; /* the same, once `chars` moves no more */
    uint32_t freq;
    uint32_t order; /* when it was added: makes the sort stable */
    uint16_t len;
};

struct node {
    uint32_t lo, hi; /* the entries below it: entries[lo .. hi) */
    uint32_t first_child;
    uint32_t child_count;
    uint32_t parent;
    uint32_t base;
    uint16_t depth;
    uint16_t label; /* the one that leads here */
    uint16_t freq;  /* index of the frequency; 0: a prefix */
};

struct hw_dict_builder {
    uint16_t *chars; /* the words, one after the other */
    size_t char_count, char_cap;
    struct entry *entries;
    size_t entry_count, entry_cap;
    uint64_t total;
    double start[HW_STATES];
    double trans[HW_STATES * HW_STATES];
    double *emit; /* [HW_HAN_COUNT * HW_STATES] */

    /* Made while compiling. */
    uint16_t *label; /* [HW_LABEL_CODES] */
    uint32_t label_count;
    uint32_t *freqs; /* ascending, freqs[0] = 0 */
    size_t freq_count, freq_cap;
    struct node *nodes;
    size_t node_count, node_cap;
    hw_cells cells;
};

/* ---- collecting ---- */

hw_code hw_dict_builder_new(hw_dict_builder **out, hw_error *err)
{
    hw_dict_builder *builder = calloc(1, sizeof *builder);

    if (!builder)
        return hw_fail_memory(err);
    builder->emit = malloc(HW_HAN_COUNT * HW_STATES * sizeof(double));
    builder->label = calloc(HW_LABEL_CODES, sizeof(uint16_t));
    if (!builder->emit || !builder->label) {
        hw_dict_builder_free(builder);
        return hw_fail_memory(err);
    }
    for (size_t i = 0; i < HW_STATES; i++)
        builder->start[i] = HW_LOG_ZERO;
    for (size_t i = 0; i < HW_STATES * HW_STATES; i++)
        builder->trans[i] = HW_LOG_ZERO;
    for (size_t i = 0; i < HW_HAN_COUNT * HW_STATES; i++)
        builder->emit[i] = HW_LOG_ZERO;
    *out = builder;
    return HW_OK;
}

void hw_dict_builder_free(hw_dict_builder *builder)
{
    if (!builder)
        return;
    hw_cells_done(&builder->cells);
    free(builder->nodes);
    free(builder->freqs);
    free(builder->label);
    free(builder->emit);
    free(builder->entries);
    free(builder->chars);
    free(builder);
}

static hw_code decode_word(
    hw_dict_builder *builder, const char *word, size_t len, uint16_t *count, hw_error *err)
{
    const unsigned char *p = (const unsigned char *)word;
    uint16_t *chars =
        hw_grow(builder->chars, &builder->char_cap, sizeof *chars, builder->char_count + len);

    if (!chars)
        return hw_fail_memory(err);
    builder->chars = chars;
    *count = 0;
    for (size_t at = 0; at < len; (*count)++) {
        uint32_t cp;
        unsigned taken = hw_utf8_decode(p + at, len - at, &cp);

        if (taken == 0)
            return hw_fail(err, HW_EINVAL, "the word is not UTF-8");
        if (cp >= HW_LABEL_CODES)
            return hw_fail(err, HW_EINVAL, "the word holds U+%04X, outside the BMP", cp);
        if (*count == WORD_CHARS_MAX)
            return hw_fail(err, HW_EINVAL, "the word is longer than %d", WORD_CHARS_MAX);
        chars[builder->char_count + *count] = (uint16_t)cp;
        at += taken;
    }
    return HW_OK;
}

hw_code hw_dict_builder_word(
    hw_dict_builder *builder, const char *word, size_t len, uint32_t freq, hw_error *err)
{
    struct entry *entries;
    uint16_t count = 0;
    hw_code code;

    if (len == 0 || freq == 0)
        return hw_fail(err, HW_EINVAL, len == 0 ? "the word is empty" : "the frequency is 0");
    if (builder->entry_count == WORDS_MAX)
        return hw_fail(err, HW_EINVAL, "more than %u words", WORDS_MAX);
    code = decode_word(builder, word, len, &count, err);
    if (code != HW_OK)
        return code;
    entries = hw_grow(builder->entries, &builder->entry_cap, sizeof *entries,
                      builder->entry_count + 1);
    if (!entries)
        return hw_fail_memory(err);
    builder->entries = entries;
    entries[builder->entry_count] = (struct entry){.at = builder->char_count,
                                                   .freq = freq,
                                                   .order = (uint32_t)builder->entry_count,
                                                   .len = count};
    builder->entry_count++;
    builder->char_count += count;
    builder->total += freq;
    return HW_OK;
}

void hw_dict_builder_start(hw_dict_builder *builder, enum hw_state state, double value)
{
    builder->start[state] = value;
}

void hw_dict_builder_trans(hw_dict_builder *builder,
                           enum hw_state from,
                           enum hw_state to,
                           double value)
{
    builder->trans[from * HW_STATES + to] = value;
}

void hw_dict_builder_emit(hw_dict_builder *builder,
                          enum hw_state state,
                          uint32_t cp,
                          double value)
{
    if (cp >= HW_HAN_FIRST && cp <= HW_HAN_LAST)
        builder->emit[(cp - HW_HAN_FIRST) * HW_STATES + state] = value;
}

/* ---- labels, frequencies, order ---- */

struct usage {
    uint64_t weight;
    uint32_t cp;
};

static int by_weight_then_code(const void *left, const void *right)
{
    const struct usage *a = left, *b = right;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return a->cp < b->cp ? -1 : a->cp > b->cp;
}

/* Numbers the characters, the commonest first, so that what running text asks for is close
 * together, and turns the words' characters into these labels. */
static hw_code assign_labels(hw_dict_builder *builder, hw_error *err)
{
    struct usage *usage = calloc(HW_LABEL_CODES, sizeof *usage);

    if (!usage)
        return hw_fail_memory(err);
    for (uint32_t cp = 0; cp < HW_LABEL_CODES; cp++)
        usage[cp].cp = cp;
    for (size_t i = 0; i < builder->entry_count; i++) {
        const struct entry *entry = &builder->entries[i];
        for (size_t k = 0; k < entry->len; k++)
            usage[builder->chars[entry->at + k]].weight += entry->freq;
    }
    qsort(usage, HW_LABEL_CODES, sizeof *usage, by_weight_then_code);
    builder->label_count = 0;
    for (; builder->label_count < HW_LABEL_CODES; builder->label_count++) {
        if (usage[builder->label_count].weight == 0)
            break;
        if (builder->label_count == HW_LABEL_MAX) {
            free(usage);
            return hw_fail(err, HW_EINVAL, "the words hold too many different characters");
        }
        builder->label[usage[builder->label_count].cp] = (uint16_t)(builder->label_count + 1);
    }
    free(usage);
    for (size_t i = 0; i < builder->char_count; i++)
        builder->chars[i] = builder->label[builder->chars[i]];
    for (size_t i = 0; i < builder->entry_count; i++)
        builder->entries[i].labels = builder->chars + builder->entries[i].at;
    return HW_OK;
}

static int compare_words(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->len && i < b->len; i++) {
        if (a->labels[i] != b->labels[i])
            return a->labels[i] < b->labels[i] ? -1 : 1;
    }
    return a->len < b->len ? -1 : a->len > b->len;
}

static int by_word_then_order(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = compare_words(a, b);

    return order != 0 ? order : a->order < b->order ? -1 : 1;
}

/* Sorts, and drops all but the last of equal words. */
static void sort_words(hw_dict_builder *builder)
{
    struct entry *entries = builder->entries;
    size_t kept = 0;

    qsort(entries, builder->entry_count, sizeof *entries, by_word_then_order);
    for (size_t i = 0; i < builder->entry_count; i++) {
        if (i + 1 < builder->entry_count && compare_words(&entries[i], &entries[i + 1]) == 0)
            continue;
        entries[kept++] = entries[i];
    }
    builder->entry_count = kept;
}

static int by_value(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static hw_code collect_freqs(hw_dict_builder *builder, hw_error *err)
{
    size_t kept = 1;
    uint32_t *freqs =
        hw_grow(NULL, &builder->freq_cap, sizeof *freqs, builder->entry_count + 1);

    if (!freqs)
        return hw_fail_memory(err);
    builder->freqs = freqs;
    freqs[0] = 0;
    for (size_t i = 0; i < builder->entry_count; i++)
        freqs[i + 1] = builder->entries[i].freq;
    qsort(freqs, builder->entry_count + 1, sizeof *freqs, by_value);
    for (size_t i = 1; i <= builder->entry_count; i++)
        if (freqs[i] != freqs[kept - 1])
            freqs[kept++] = freqs[i];
    builder->freq_count = kept;
    if (kept > UINT16_MAX)
        return hw_fail(err, HW_EINVAL, "%zu different frequencies, more than %d", kept,
                       UINT16_MAX);
    return HW_OK;
}

static uint16_t freq_index(const hw_dict_builder *builder, uint32_t freq)
{
    const uint32_t *found =
        bsearch(&freq, builder->freqs, builder->freq_count, sizeof *builder->freqs, by_value);

    assert(found);
    return (uint16_t)(found - builder->freqs);
}

/* ---- the trie ---- */

/* Appends the children of node `at`: one for each run of entries with the same label at its depth.
 * An entry that ends here stands first, since it sorts before all that go on. */
static hw_code add_children(hw_dict_builder *builder, size_t at, hw_error *err)
{
    struct node parent = builder->nodes[at];
    uint32_t i = parent.lo;

    if (builder->entries[i].len == parent.depth) {
        parent.freq = freq_index(builder, builder->entries[i].freq);
        i++;
    }
    parent.first_child = (uint32_t)builder->node_count;
    while (i < parent.hi) {
        struct node child = {
            .lo = i, .parent = (uint32_t)at, .depth = (uint16_t)(parent.depth + 1)};
        struct node *nodes =
            hw_grow(builder->nodes, &builder->node_cap, sizeof *nodes, builder->node_count + 1);

        if (!nodes)
            return hw_fail_memory(err);
        builder->nodes = nodes;
        child.label = builder->entries[i].labels[parent.depth];
        while (i < parent.hi && builder->entries[i].labels[parent.depth] == child.label)
            i++;
        child.hi = i;
        nodes[builder->node_count++] = child;
        parent.child_count++;
    }
    builder->nodes[at] = parent;
    return HW_OK;
}

static hw_code build_trie(hw_dict_builder *builder, hw_error *err)
{
    hw_code code = HW_OK;

    builder->nodes = hw_grow(NULL, &builder->node_cap, sizeof *builder->nodes, 1);
    if (!builder->nodes)
        return hw_fail_memory(err);
    builder->nodes[0] =
        (struct node){.hi = (uint32_t)builder->entry_count, .label = HW_LABEL_EMPTY};
    builder->node_count = 1;
    for (size_t i = 0; i < builder->node_count && code == HW_OK; i++)
        code = add_children(builder, i, err);
    return code;
}

/* ---- the double array ---- */

static hw_code place_children(hw_dict_builder *builder, struct node *node, hw_error *err)
{
    const struct node *child = builder->nodes + node->first_child;
    uint16_t *labels = calloc(node->child_count, sizeof *labels);
    hw_code code;

    if (!labels)
        return hw_fail_memory(err);
    for (uint32_t i = 0; i < node->child_count; i++)
        labels[i] = child[i].label;
    code = hw_cells_place(&builder->cells, labels, node->child_count, &node->base, err);
    free(labels);
    return code;
}

/* A node's children and its number, packed so that the plain order puts the most children first. */
static uint64_t sort_key(const struct node *node, size_t number)
{
    return (uint64_t)(UINT32_MAX - node->child_count) << 32 | number;
}

static int by_key(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static hw_code place_nodes(hw_dict_builder *builder, hw_error *err)
{
    uint64_t *keys = calloc(builder->node_count, sizeof *keys);
    hw_code code = HW_OK;

    if (!keys)
        return hw_fail_memory(err);
    for (size_t i = 0; i < builder->node_count; i++)
        keys[i] = sort_key(&builder->nodes[i], i);
    qsort(keys, builder->node_count, sizeof *keys, by_key);
    for (size_t i = 0; i < builder->node_count && code == HW_OK; i++) {
        struct node *node = &builder->nodes[(uint32_t)keys[i]];
        if (node->child_count == 0)
            break;
        code = place_children(builder, node, err);
    }
    free(keys);
    return code;
}

/* ---- the file ---- */

static void fill_cells(const hw_dict_builder *builder, struct hw_dict_cell *cells, size_t count)
{
    const struct node *nodes = builder->nodes;

    for (size_t i = 0; i < count; i++)
        cells[i] = (struct hw_dict_cell){.label = HW_LABEL_EMPTY};
    cells[0].base = nodes[0].base;
    for (size_t i = 1; i < builder->node_count; i++) {
        cells[nodes[nodes[i].parent].base + nodes[i].label] =
            (struct hw_dict_cell){nodes[i].base, nodes[i].label, nodes[i].freq};
    }
}

/* Fills in all of the header but the checksum. There are more cells behind the largest base than
 * there are labels: that is what spares a walk the bounds check. */
static void fill_header(const hw_dict_builder *builder, struct hw_dict_header *header)
{
    struct hw_dict_layout layout;
    uint32_t last = builder->cells.last_base + builder->label_count;

    if (last < builder->cells.last)
        last = builder->cells.last;
    memcpy(header->magic, HW_DICT_MAGIC, sizeof header->magic);
    header->byte_order = HW_DICT_BYTE_ORDER;
    header->version = HW_DICT_VERSION;
    header->total = builder->total;
    header->log_total = log((double)builder->total);
    header->word_count = (uint32_t)builder->entry_count;
    header->label_count = builder->label_count;
    header->cell_count = last + 1;
    header->freq_count = (uint32_t)builder->freq_count;
    hw_dict_layout_of(&layout, header);
    header->file_bytes = layout.file_bytes;
}

/* Returns the file's bytes, header->file_bytes of them, owned by the caller; NULL: out of memory. */
static struct hw_dict_header *make_image(const hw_dict_builder *builder)
{
    struct hw_dict_header header = {0};
    struct hw_dict_layout layout;
    char *image;
    double *logs;

    fill_header(builder, &header);
    hw_dict_layout_of(&layout, &header);
    image = calloc(1, layout.file_bytes);
    if (!image)
        return NULL;
    memcpy(image, &header, sizeof header);
    memcpy(image + layout.start, builder->start, sizeof builder->start);
    memcpy(image + layout.trans, builder->trans, sizeof builder->trans);
    memcpy(image + layout.emit, builder->emit, HW_HAN_COUNT * HW_STATES * sizeof(double));
    memcpy(image + layout.freq, builder->freqs, builder->freq_count * sizeof(uint32_t));
    memcpy(image + layout.label, builder->label, HW_LABEL_CODES * sizeof(uint16_t));
    logs = (double *)(void *)(image + layout.log_freq);
    for (size_t i = 1; i < builder->freq_count; i++)
        logs[i] = log((double)builder->freqs[i]);
    fill_cells(builder, (struct hw_dict_cell *)(void *)(image + layout.cell),
               header.cell_count);

    struct hw_dict_header *placed = (struct hw_dict_header *)(void *)image;
    placed->checksum = hw_dict_file_checksum(placed);
    return placed;
}

static int write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno != EINTR)
            return -1;
        if (put > 0) {
            at += put;
            len -= (size_t)put;
        }
    }
    return fsync(fd);
}

/* Writes beside `path` and renames: who has the old file mapped keeps it. */
static hw_code replace_file(const char *path, const void *bytes, size_t len, hw_error *err)
{
    char temp[PATH_MAX];
    mode_t mask = umask(0);
    hw_code code = HW_OK;
    int fd;

    umask(mask);
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return hw_fail(err, HW_EINVAL, "the path '%s' is too long", path);
    fd = mkstemp(temp);
    if (fd < 0)
        return hw_fail_file(err, "create", path, errno);
    if (fchmod(fd, 0666 & ~mask) != 0 || write_all(fd, bytes, len) != 0)
        code = hw_fail_file(err, "write", path, errno);
    close(fd);
    if (code == HW_OK && rename(temp, path) != 0)
        code = hw_fail_file(err, "write", path, errno);
    if (code != HW_OK)
        unlink(temp);
    return code;
}

hw_code hw_dict_builder_write(hw_dict_builder *builder, const char *path, hw_error *err)
{
    struct hw_dict_header *image;
    hw_code code;

    if (builder->entry_count == 0)
        return hw_fail(err, HW_EINVAL, "there are no words");
    if (builder->nodes)
        return hw_fail(err, HW_EINVAL, "the dictionary was already written");
    code = assign_labels(builder, err);
    if (code != HW_OK)
        return code;
    sort_words(builder);
    code = collect_freqs(builder, err);
    if (code == HW_OK)
        code = build_trie(builder, err);
    if (code == HW_OK)
        code = place_nodes(builder, err);
    if (code != HW_OK)
        return code;
    image = make_image(builder);
    if (!image)
        return hw_fail_memory(err);
    code = replace_file(path, image, image->file_bytes, err);
    free(image);
    return code;
}
