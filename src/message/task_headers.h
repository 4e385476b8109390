/* task_headers.h - the table of the task headers, for the writer and the reader. Private to
 * both. */
#ifndef CEL_MESSAGE_TASK_HEADERS_H
#define CEL_MESSAGE_TASK_HEADERS_H

#include <stddef.h>

#include "message/task.h"

#define CEL__LIMIT_MAX_S 1e9 /* a longer time limit is not sent, and is read as this */

/* How a header's value is kept in cel_task_message and cel_task_headers, and what JSON it
 * is. */
typedef enum cel__header_kind {
    CEL__HEADER_LANG,   /* written as "py"; read by no one */
    CEL__HEADER_TEXT,   /* cel_view: string or null */
    CEL__HEADER_LABEL,  /* cel_view, only ever shown: what is no string reads as null */
    CEL__HEADER_TIME,   /* int64_t, microseconds or CEL_TIME_NONE: ISO 8601 or null */
    CEL__HEADER_COUNT,  /* int64_t, 0 or more: integer; null reads as 0 */
    CEL__HEADER_INDEX,  /* int64_t, -1 for null */
    CEL__HEADER_LIMITS, /* two doubles, 0 for null: [hard, soft] */
    CEL__HEADER_CHOICE, /* int, -1 for null: boolean */
    CEL__HEADER_JSON,   /* cel_view: a JSON text, spliced; absent for null */
} cel__header_kind;

/* X(header, field, kind), in the order in which Celery 5.3 and later write them. */
#define CEL__TASK_HEADERS(X)                                                                   \
    X(task, task, TEXT)                                                                        \
    X(id, id, TEXT)                                                                            \
    X(shadow, shadow, LABEL)                                                                   \
    X(eta, eta_us, TIME)                                                                       \
    X(expires, expires_us, TIME)                                                               \
    X(group, group, TEXT)                                                                      \
    X(group_index, group_index, INDEX)                                                         \
    X(retries, retries, COUNT)                                                                 \
    X(timelimit, time_limit_s, LIMITS)                                                         \
    X(root_id, root_id, TEXT)                                                                  \
    X(parent_id, parent_id, TEXT)                                                              \
    X(argsrepr, argsrepr, LABEL)                                                               \
    X(kwargsrepr, kwargsrepr, LABEL)                                                           \
    X(origin, origin, LABEL)                                                                   \
    X(ignore_result, ignore_result, CHOICE)                                                    \
    X(replaced_task_nesting, replaced_task_nesting, COUNT)                                     \
    X(stamped_headers, stamped_headers, JSON)                                                  \
    X(stamps, stamps, JSON)

#endif
