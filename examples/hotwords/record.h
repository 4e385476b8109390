/* record.h - reading one chat record: a line of JSON, of which only level and text matter.
 *
 * The line is checked to the last byte by JSON's grammar, but nothing is built of it: this is what
 * lets a count be as fast as its segmentation. Keys that do not matter may have any value. */
#ifndef HW_RECORD_H
#define HW_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define HW_LEVEL_MAX 1000000 /* levels are 1 to this; games have far fewer */

/* Why a record does not count: symbol, name in results. */
#define HW_BAD_MAP(X)                                                                          \
    X(JSON, "broken_json")         /* no JSON object, or nested too deeply */                  \
    X(TYPE, "wrong_type")          /* level is no integer, or text no string */                \
    X(FIELD, "missing_field")      /* level or text is missing */                              \
    X(UTF8, "invalid_utf8")        /* bytes, or an escaped lone surrogate, that are no text */ \
    X(LEVEL, "level_out_of_range") /* an integer, but no level */                              \
    X(LENGTH, "line_too_long")     /* longer than HW_LINE_MAX */

typedef enum hw_bad {
#define HW_BAD_ENUM(symbol, name) HW_BAD_##symbol,
    HW_BAD_MAP(HW_BAD_ENUM)
#undef HW_BAD_ENUM
    HW_BAD_KINDS
} hw_bad;

extern const char *const hw_bad_names[HW_BAD_KINDS];

typedef struct hw_record {
    int64_t level;
    const char *text; /* a view into the line: what stands between the quotes */
    size_t text_len;
    bool text_escaped; /* there are escapes in it */
} hw_record;

/* Reads `len` bytes. False: the record is bad, *bad says how. Of a key that comes twice the last
 * value counts. */
bool hw_record_read(hw_record *record, const char *line, size_t len, hw_bad *bad);

/* Appends the text of `record`, escapes resolved, to `out`. False: out of memory, nothing changed. */
bool hw_record_unescape(const hw_record *record, hw_buf *out);

#endif
