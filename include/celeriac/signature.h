/* signature.h - signatures and canvas: calls as values, and how they follow from one another.
 *
 * Constructors return NULL when out of memory or when given nonsense, take what they are given even then, and accept NULL for a
 * signature that failed: so they nest, and the sending of a NULL signature reports CEL_EINVAL. A signature belongs to one
 * thread at a time. The JSON form is Celery's own (celery/canvas.py). */
#ifndef CELERIAC_SIGNATURE_H
#define CELERIAC_SIGNATURE_H

#include <jansson.h>
#include <stddef.h>

#include "celeriac/error.h"

CEL_BEGIN_DECLS

typedef struct cel_signature cel_signature;

/* A call of `task`. Takes args (array) and kwargs (object); NULL means empty. */
CEL_API cel_signature *cel_signature_new(const char *task, json_t *args, json_t *kwargs);

/* A call with positional arguments given as for json_pack(): cel_sig("tasks.add", "[i,i]", 2, 3). `fmt` NULL: none. */
CEL_API cel_signature *cel_sig(const char *task, const char *fmt, ...);

/* Runs `parts` one after the other, each given the result of the one before as its first argument. Takes the parts. */
CEL_API cel_signature *cel_chain(size_t count, cel_signature *const *parts);

/* Runs `parts` side by side. Takes the parts. */
CEL_API cel_signature *cel_group(size_t count, cel_signature *const *parts);

/* Runs the parts of `header` (a group; anything else becomes a group of one) side by side and, when all have succeeded, `body` with the list of
 * their results. Takes both. */
CEL_API cel_signature *cel_chord(cel_signature *header, cel_signature *body);

/* Frees it. NULL is a no-op. */
CEL_API void cel_signature_free(cel_signature *signature);

/* Returns a deep copy; NULL if out of memory or given NULL. */
CEL_API cel_signature *cel_signature_copy(const cel_signature *signature);

/* All of these change and return `signature` (NULL stays NULL; on failure it is freed and NULL returned), so that they chain. */
CEL_API cel_signature *cel_signature_immutable(cel_signature *signature);              /* Celery's .si(): takes no partial arguments */
CEL_API cel_signature *cel_signature_set(cel_signature *signature, const char *option, json_t *value); /* takes value: queue, priority, countdown, expires, ... */
CEL_API cel_signature *cel_signature_link(cel_signature *signature, cel_signature *callback);     /* takes: runs after success */
CEL_API cel_signature *cel_signature_link_error(cel_signature *signature, cel_signature *errback); /* takes: runs after failure */

/* Returns the JSON form, borrowed: valid until the signature is changed or freed. */
CEL_API const json_t *cel_signature_json(const cel_signature *signature);

/* Makes a signature of the JSON form, as a Python peer would send it; copies. CEL_EINVAL says what is missing. */
CEL_API cel_code cel_signature_from_json(cel_signature **out, const json_t *json, cel_error *err);

CEL_END_DECLS

#endif
