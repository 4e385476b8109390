/* coerce.h - a setting's value from whatever a source gave. Pure; any thread. */
#ifndef CEL_APP_COERCE_H
#define CEL_APP_COERCE_H

#include <jansson.h>

#include "app/settings.h"
#include "celeriac/error.h"
#include "core/view.h"

/* Checks `value` (borrowed) against the setting's type and puts the value in its one form
 * into *out, owned by the caller: a list for STRINGS, joined text for URL, true or false for
 * BOOL. CEL_ECONFIG says what is expected and what it is instead; it begins with `where`.
 * Secrets are not shown. */
cel_code cel__coerce(
    json_t **out, const cel_setting *setting, json_t *value, const char *where, cel_error *err);

/* As above, from text: the environment or the command line. */
cel_code cel__coerce_text(
    json_t **out, const cel_setting *setting, cel_view text, const char *where, cel_error *err);

/* Reads text with a cast of the command line: int, float, bool, string, tuple, list, dict,
 * json. */
cel_code
cel__coerce_cast(json_t **out, cel_view type, cel_view text, const char *where, cel_error *err);

#endif
