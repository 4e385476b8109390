/* buf.h - a growing array of bytes. Zero-initialised it is empty and owns nothing. */
#ifndef HW_BUF_H
#define HW_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "hw_error.h"

typedef struct hw_buf {
    char *bytes; /* owned; NULL while cap is 0 */
    size_t len;
    size_t cap;
} hw_buf;

/* Frees what `buf` owns; it is empty afterwards and may be used again. */
void hw_buf_done(hw_buf *buf);

/* Makes room for `more` bytes behind the present ones. False: out of memory, nothing changed. */
bool hw_buf_reserve(hw_buf *buf, size_t more);

/* Appends. False: out of memory, nothing changed. `bytes` may be NULL if `len` is 0. */
bool hw_buf_add(hw_buf *buf, const void *bytes, size_t len);
bool hw_buf_add_byte(hw_buf *buf, char byte);

/* Appends the whole content of the file `path`. On failure `buf` holds what it held before. */
hw_code hw_buf_add_file(hw_buf *buf, const char *path, hw_error *err);

/* Grows `items`, a heap array (or NULL) of *cap members of `size` bytes, to at least `want` members
 * and at least to double its length, so that adding one by one is linear. Returns the array, which
 * may have moved, with *cap brought up to date; or NULL when out of memory, nothing changed. */
void *hw_grow(void *items, size_t *cap, size_t size, size_t want);

#endif
