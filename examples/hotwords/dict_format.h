/* dict_format.h - the layout of a compiled dictionary, `hotwords.dict`.
 *
 * hotwords-mkdict writes it, hw_dict_open() maps it; nobody parses it. The file is a header and seven
 * arrays, each beginning at a multiple of 64 bytes, in the order of struct hw_dict_layout. Their
 * places follow from the counts in the header, so the file holds no offsets that could lie. Numbers
 * are in the machine's byte order (little-endian on all that Debian builds for but s390x), and a
 * file from a machine with the other order is refused.
 *
 * Words are in a double-array trie over *labels*: each code point of the BMP that a word holds has a
 * small number from 1, the commonest the smallest. The child of cell c for label l is the cell
 * c.base + l, if that one's label is l. No two cells share a base (other than 0: no children), which
 * is why the label alone proves the parent. Cell 0 is the root. Bases are bounded such that base +
 * label is inside the array for every label, so walking needs no bounds check. */
#ifndef HW_DICT_FORMAT_H
#define HW_DICT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define HW_DICT_MAGIC      "HWDICT\x1a\n"
#define HW_DICT_BYTE_ORDER 0x01020304u
#define HW_DICT_VERSION    1u

/* The Han characters that jieba makes words of, and that the HMM knows. */
#define HW_HAN_FIRST 0x4E00u
#define HW_HAN_LAST  0x9FD5u
#define HW_HAN_COUNT (HW_HAN_LAST - HW_HAN_FIRST + 1u)

#define HW_LABEL_NONE  0u      /* no word holds this code point */
#define HW_LABEL_MAX   0xFFF0u /* the largest label there may be */
#define HW_LABEL_EMPTY 0xFFFFu /* the label of an unused cell: no code point has it */
#define HW_LABEL_CODES 0x10000u

/* A state of the HMM: the place of a character in its word. The order decides ties: the larger wins. */
enum hw_state {
    HW_STATE_B,
    HW_STATE_E,
    HW_STATE_M,
    HW_STATE_S,
    HW_STATES
};

/* What jieba takes for the logarithm of zero. It must be finite; see jieba's ties. */
#define HW_LOG_ZERO (-3.14e100)

struct hw_dict_header {
    char magic[8];
    uint32_t byte_order;
    uint32_t version;
    uint64_t file_bytes;
    uint64_t checksum; /* hw_dict_checksum() of the file with zero in this place */
    uint64_t total;    /* the sum of all frequencies, a repeated word's each time */
    double log_total;
    uint32_t word_count;
    uint32_t label_count; /* labels are 1 .. label_count */
    uint32_t cell_count;
    uint32_t freq_count; /* different frequencies, with the 0 of mere prefixes */
};

struct hw_dict_cell {
    uint32_t base; /* 0: no children */
    uint16_t label;
    uint16_t freq; /* index of the frequency; 0: a prefix only */
};

/* Where the arrays stand, in bytes from the beginning. */
struct hw_dict_layout {
    size_t start;      /* double[HW_STATES] */
    size_t trans;      /* double[HW_STATES][HW_STATES], from and to */
    size_t emit;       /* double[HW_HAN_COUNT][HW_STATES] */
    size_t log_freq;   /* double[freq_count]: log(freq[i]), and 0 for i = 0 */
    size_t freq;       /* uint32_t[freq_count], ascending, freq[0] = 0 */
    size_t label;      /* uint16_t[HW_LABEL_CODES], by code point */
    size_t cell;       /* struct hw_dict_cell[cell_count] */
    size_t file_bytes; /* a multiple of 64 */
};

/* Computes the layout that the counts of `header` give. Needs a 64-bit size_t. */
void hw_dict_layout_of(struct hw_dict_layout *layout, const struct hw_dict_header *header);

/* A checksum of `len` bytes, a multiple of 32, 8-aligned. It finds accidents, not forgery. */
uint64_t hw_dict_checksum(const void *bytes, size_t len);

/* The checksum of the whole file whose header is `header`, as if its field `checksum` were 0. */
uint64_t hw_dict_file_checksum(const struct hw_dict_header *header);

#endif
