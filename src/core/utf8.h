/* utf8.h - decoding UTF-8, the hostile kind included. Pure; any thread. */
#ifndef CEL_CORE_UTF8_H
#define CEL_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CEL_UTF8_REPLACEMENT 0xFFFDu

/* Decodes one code point at `text`, which has `len` > 0 bytes left, into *cp and returns how
 * many bytes it took. A byte that begins no well-formed sequence takes 1 and gives U+FFFD. A
 * surrogate in its three-byte form (what Python calls "surrogatepass") is given as it is. */
size_t cel__utf8_decode(const char *text, size_t len, uint32_t *cp);

/* Writes the UTF-8 of `cp` (a surrogate in its three-byte form) to `out` and returns its
 * length. */
size_t cel__utf8_encode(uint32_t cp, char out[4]);

/* Whether all bytes are well-formed UTF-8 without surrogates. */
bool cel__utf8_valid(const char *text, size_t len);

#endif
