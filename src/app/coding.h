/* coding.h - serializers as configured: of an app's messages and of its results. */
#ifndef CEL_APP_CODING_H
#define CEL_APP_CODING_H

#include "app/config.h"
#include "message/serializer.h"

/* What task_serializer, accept_content say of messages, result_serializer and
 * result_accept_content of results. Zero-initialised it is empty. */
typedef struct cel__codings {
    cel__coding tasks, results;
    cel__security *security; /* owned; NULL where nothing is signed */
} cel__codings;

/* Reads the settings and, where something is signed, the files that they name. CEL_ECONFIG for a
 * serializer that there is not, that is not built in, or that needs what is missing. On failure
 * `codings` is to be freed as on success. */
cel_code cel__codings_read(cel__codings *codings,
                           const cel_config *config,
                           int64_t now_us,
                           cel_error *err);
void cel__codings_done(cel__codings *codings);

#endif
