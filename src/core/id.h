/* id.h - random identifiers. Any thread; safe after fork(). */
#ifndef CEL_CORE_ID_H
#define CEL_CORE_ID_H

#include <stdint.h>

#define CEL_UUID_LEN 36

/* Writes a random UUID (version 4) as 36 lower-case characters and a NUL. */
void cel__uuid4(char out[CEL_UUID_LEN + 1]);

/* Returns 64 random bits. */
uint64_t cel__random64(void);

#endif
