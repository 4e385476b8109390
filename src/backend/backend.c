/* backend.c - which URL scheme is served by which implementation.
 *
 * A new result store is one new file and one line in `implementations`. */
#include "backend/backend.h"

#include <string.h>
#include <strings.h>

#include "core/buf.h"

static const cel_backend_ops *const implementations[] = {
    &cel__sqlite_backend_ops,
    &cel__memory_backend_ops,
    &cel__rpc_backend_ops,
#ifdef CEL_HAVE_REDIS
    &cel__redis_backend_ops,
#endif
};
#define IMPLEMENTATIONS (sizeof implementations / sizeof *implementations)

static bool has_scheme(const char *schemes, const char *scheme, size_t len)
{
    while (*schemes) {
        size_t one = strcspn(schemes, ",");

        if (one == len && strncasecmp(schemes, scheme, len) == 0)
            return true;
        schemes += one;
        schemes += *schemes == ',';
    }
    return false;
}

/* The URL may hold a password: only its scheme is shown. */
static cel_code fail_scheme(const char *scheme, size_t len, cel_error *err)
{
    cel__buf known = {0};
    const char *names;
    cel_code code;

    for (size_t i = 0; i < IMPLEMENTATIONS; i++) {
        cel__buf_add_str(&known, i ? ", " : "");
        cel__buf_add_str(&known, implementations[i]->schemes);
    }
    names = cel__buf_cstr(&known);
    code = cel_error_set(
        err, CEL_ECONFIG, "no result store has the URL scheme '%.*s' (known: %s)",
        CEL_VIEW_ARG(((cel_view){scheme, len > 40 ? 40 : len})), names ? names : "?");
    cel__buf_done(&known);
    return code;
}

cel_code
cel__backend_open(cel_backend **out, const cel_backend_options *options, cel_error *err)
{
    const char *colon = options->url ? strchr(options->url, ':') : NULL;
    size_t len = colon ? (size_t)(colon - options->url) : 0;

    if (len == 0)
        return cel_error_set(err, CEL_ECONFIG, "the result store's URL has no scheme");
    if (options->expires_ms < 0 || options->expires_ms > CEL_MAX_MS)
        return cel_error_set(err, CEL_ECONFIG, "the results' expiry is out of range");
    for (size_t i = 0; i < IMPLEMENTATIONS; i++)
        if (has_scheme(implementations[i]->schemes, options->url, len))
            return implementations[i]->open(out, options, err);
    return fail_scheme(options->url, len, err);
}
