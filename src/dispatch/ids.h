/* ids.h - ids that follow from a request, so that who repeats it repeats them. Pure; any thread. */
#ifndef CEL_DISPATCH_IDS_H
#define CEL_DISPATCH_IDS_H

#include <stdint.h>

#include "core/id.h"
#include "core/view.h"

#define CEL_DIGEST_LEN 64 /* characters of a SHA-256 in hexadecimal */

/* Writes the n-th UUID (version 5, RFC 4122) of a correlation id: Python's
 * uuid5(UUID("d76083b0-d4ba-56af-ad6a-228ce7f35a20"), f"{n}:{correlation_id}"). Number 0 is the id of the request itself. False if
 * there is no memory. */
bool cel__dispatch_id(char out[CEL_UUID_LEN + 1], cel_view correlation_id, uint64_t n);

/* Writes the SHA-256 of the bytes and a NUL. False if there is no memory. */
bool cel__dispatch_digest(char out[CEL_DIGEST_LEN + 1], cel_view bytes);

#endif
