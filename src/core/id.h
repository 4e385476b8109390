/* id.h - random identifiers. Any thread; safe after fork(). */
#ifndef CEL_CORE_ID_H
#define CEL_CORE_ID_H

#include <stdint.h>

#define CEL_UUID_LEN 36

/* Writes a random UUID (version 4) as 36 lower-case characters and a NUL. */
void cel__uuid4(char out[CEL_UUID_LEN + 1]);

/* Writes a UUID of version 7, in the same form: 60 bits of wall time (milliseconds, then 4096ths of
 * one) and 62 random ones. Ids that are made one after the other sort one after the other, so that
 * what is indexed by them is written in one place and not all over the index: a store with a hundred
 * thousand results is some times as fast with them. The time is a hint for the order; nothing reads it. */
void cel__uuid7(char out[CEL_UUID_LEN + 1]);

/* The same, with the caller's random bytes, which it spends. */
void cel__uuid7_from(char out[CEL_UUID_LEN + 1], unsigned char bytes[16]);

/* Returns 64 random bits. */
uint64_t cel__random64(void);

#endif
