/* signature.h - signatures and canvas: calls as values, and how they follow from one another.
 *
 *     cel_signature *mean = CEL_CHORD(CEL_GROUP(cel_sig("tasks.add", "[i,i]", 1, 2),
 *                                               cel_sig("tasks.add", "[i,i]", 3, 4)),
 *                                     cel_sig("tasks.mean", NULL));
 *
 * Constructors return NULL when out of memory or when given nonsense, take what they are given
 * even then, and accept NULL for a signature that failed: so they nest, and the sending of a
 * NULL signature reports CEL_EINVAL. A signature belongs to one thread at a time. The JSON
 * form is Celery's own (celery/canvas.py). */
#ifndef CELERIAC_SIGNATURE_H
#define CELERIAC_SIGNATURE_H

#include <stddef.h>

#include <jansson.h>

#include "celeriac/error.h"

CEL_BEGIN_DECLS

typedef struct cel_signature cel_signature;

/* A call of `task`. Takes args (array) and kwargs (object); NULL means empty. */
CEL_API cel_signature *cel_signature_new(const char *task, json_t *args, json_t *kwargs);

/* A call with positional arguments given as for json_pack(): cel_sig("tasks.add", "[i,i]", 2,
 * 3). `fmt` NULL: none. */
CEL_API cel_signature *cel_sig(const char *task, const char *fmt, ...);

/* Runs `parts` one after the other, each given the result of the one before as its first
 * argument. A group in it, when something follows, becomes the header of a chord; so what
 * follows gets the list of its results. Takes the parts, not the array. */
CEL_API cel_signature *cel_chain(size_t count, cel_signature *const *parts);

/* Runs `parts` side by side. Takes the parts, not the array. */
CEL_API cel_signature *cel_group(size_t count, cel_signature *const *parts);

/* Runs the parts of `header` (a group; anything else becomes a group of one) side by side and,
 * when all have succeeded, `body` with the list of their results. Takes both. */
CEL_API cel_signature *cel_chord(cel_signature *header, cel_signature *body);

#ifndef __cplusplus
#define CEL_PARTS(...)                                                                         \
    sizeof((cel_signature *[]){__VA_ARGS__}) / sizeof(cel_signature *), (cel_signature *[])    \
    {                                                                                          \
        __VA_ARGS__                                                                            \
    }

/* The same with the parts listed: CEL_CHAIN(cel_sig("a", NULL), cel_sig("b", NULL)). */
#define CEL_CHAIN(...)          cel_chain(CEL_PARTS(__VA_ARGS__))
#define CEL_GROUP(...)          cel_group(CEL_PARTS(__VA_ARGS__))
#define CEL_CHORD(header, body) cel_chord(header, body)
#endif

/* One task that calls `task` for each element of `arguments` (an array), in one process, and
 * returns the list of results: cel_map() with the element as the only argument, cel_starmap()
 * with the elements, each an array, as the arguments. Take `arguments`. */
CEL_API cel_signature *cel_map(const char *task, json_t *arguments);
CEL_API cel_signature *cel_starmap(const char *task, json_t *arguments);

/* A group of cel_starmap(): each has `size` (> 0) of the `arguments`, the last what is left.
 * Takes `arguments`. */
CEL_API cel_signature *cel_chunks(const char *task, json_t *arguments, size_t size);

/* Frees it. NULL is a no-op. */
CEL_API void cel_signature_free(cel_signature *signature);

/* Returns a deep copy; NULL if out of memory or given NULL. */
CEL_API cel_signature *cel_signature_copy(const cel_signature *signature);

/* All of these change and return `signature` (NULL stays NULL; on failure it is freed and NULL
 * returned), so that they chain. */

/* Celery's .si(): takes no results of others. Of a group all members, of a chord the header's.
 */
CEL_API cel_signature *cel_signature_immutable(cel_signature *signature);

/* Gives it partial arguments: `args` (array, taken, may be NULL) go in front of those that it has, `kwargs` (object, likewise) over
 * those that it has. Of a chain they are its first step's, of a group and of a chord's header every member's. What is immutable stays as
 * it is. */
CEL_API cel_signature *
cel_signature_partial(cel_signature *signature, json_t *args, json_t *kwargs);

/* Sets an option: queue, priority, countdown (seconds), eta, expires, time_limit, task_id,
 * shadow, headers, ... Takes `value`; NULL or null removes the option. */
CEL_API cel_signature *
cel_signature_set(cel_signature *signature, const char *option, json_t *value);

/* Adds what runs after success, given the result. Of a chain after its last step, of a chord
 * after its body, of a group after each member. Takes `callback`. */
CEL_API cel_signature *cel_signature_link(cel_signature *signature, cel_signature *callback);

/* Adds what runs after failure, given the id of the failed task. Of a chain after any step, of
 * a group after any member, of a chord after its body or when a part of its header has failed.
 * Takes `errback`. */
CEL_API cel_signature *cel_signature_link_error(cel_signature *signature,
                                                cel_signature *errback);

/* Returns the JSON form, borrowed: valid until the signature is changed or freed. NULL of
 * NULL. */
CEL_API const json_t *cel_signature_json(const cel_signature *signature);

/* Makes a signature of the JSON form, as a Python peer would send it; copies. CEL_EINVAL says
 * what is missing. */
CEL_API cel_code cel_signature_from_json(cel_signature **out,
                                         const json_t *json,
                                         cel_error *err);

CEL_END_DECLS

#endif
