/* base64.h - bytes as text: RFC 4648, with padding, in one line. Pure; any thread. */
#ifndef CEL_CORE_BASE64_H
#define CEL_CORE_BASE64_H

#include <stdbool.h>

#include "core/buf.h"

/* Appends the text of the bytes. */
void cel__base64_encode(cel__buf *buf, cel_view bytes);

/* Appends the bytes of the text; line ends in it are skipped. False if it is no base64, or the
 * buffer failed; then part of it may have been appended. */
bool cel__base64_decode(cel__buf *buf, cel_view text);

#endif
