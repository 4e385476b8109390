/* number.h - doubles as Python writes and reads them, whatever the locale. Pure; any thread. */
#ifndef CEL_CORE_NUMBER_H
#define CEL_CORE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/view.h"

#define CEL_DOUBLE_TEXT                                                                        \
    32 /* room for any text that cel__double_format() writes, NUL included */

/* Writes Python's repr() of `value`: the shortest text that reads back equal, with ".0" or an
 * exponent (1.0, 0.1, 1e+16, 1e-05), or nan, inf, -inf. Returns its length. */
size_t cel__double_format(char out[CEL_DOUBLE_TEXT], double value);

/* Reads a number in JSON's grammar, correctly rounded; false if it is none, or too large for a
 * double. */
bool cel__double_parse(double *out, cel_view text);

#endif
