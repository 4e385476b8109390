/* regex.h - regular expressions that come from outside: matched in linear time and bounded memory.
 *
 * Python's syntax without what needs backtracking: characters and escapes, . [...] (...) (?:...)
 * (?P<name>...), | * + ? {n} {n,m} and their lazy forms, ^ $ \A \Z \b \B \d \w \s and their
 * contraries. Bytes, not characters. No backward references, no looking around, no flags. Pure;
 * any thread. */
#ifndef CEL_CONTROL_REGEX_H
#define CEL_CONTROL_REGEX_H

#include <stdbool.h>

#include "celeriac/error.h"
#include "core/view.h"

/* Whether the beginning of `text` matches, as Python's re.match(). Time is bounded by the product of
 * the lengths of the text and of the pattern written out; CEL_EINVAL for a pattern that is wrong,
 * not of the syntax above, or larger than some thousand steps; CEL_ENOMEM. */
cel_code cel__regex_match(bool *is, cel_view pattern, cel_view text, cel_error *err);

#endif
