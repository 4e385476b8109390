/* error.h - error codes and the one error type.
 *
 * What can fail returns a cel_code and takes a `cel_error *err` last, which may be NULL. On success
 * `err` is left alone; on failure it is filled in whole. The table below is the source of the enum,
 * of the names and of the documentation. */
#ifndef CELERIAC_ERROR_H
#define CELERIAC_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "celeriac/export.h"

CEL_BEGIN_DECLS

/* X(constant, value, what it means) */
#define CEL_ERROR_CODES(X)                                                                       \
    X(CEL_OK, 0, "success")                                                                      \
    X(CEL_EINVAL, 1, "an argument or a value is invalid")                                        \
    X(CEL_ENOMEM, 2, "out of memory")                                                            \
    X(CEL_ETIMEDOUT, 3, "the deadline passed")                                                   \
    X(CEL_ECANCELED, 4, "the operation was canceled, for example by a close")                    \
    X(CEL_EFULL, 5, "a limit, a window or the disk is full")                                     \
    X(CEL_ENOENT, 6, "the thing named does not exist")                                           \
    X(CEL_EEXIST, 7, "the thing named exists already")                                           \
    X(CEL_EIO, 8, "the operating system refused")                                                \
    X(CEL_ECONN, 9, "no connection to the broker or the result store")                           \
    X(CEL_EBUSY, 10, "another process is using it")                                              \
    X(CEL_EPROTO, 11, "bytes that are no valid message, document or database")                   \
    X(CEL_ECONFIG, 12, "the configuration is invalid")                                           \
    X(CEL_EMODULE, 13, "a task module could not be loaded")                                      \
    X(CEL_ETASK, 14, "the task failed; the remote exception says how")                           \
    X(CEL_EREVOKED, 15, "the task was revoked or expired")                                       \
    X(CEL_ESTALE, 16, "the lease was lost: someone else owns the delivery now")                  \
    X(CEL_ERETRY, 17, "the task asked to be run again later")                                    \
    X(CEL_EREJECT, 18, "the task rejected its message")                                          \
    X(CEL_EIGNORE, 19, "the task asked that its result be ignored")                              \
    X(CEL_ENOTSUP, 20, "this broker, result store or pool cannot do that")

typedef enum cel_code {
#define CEL_X(name, value, text) name = value,
    CEL_ERROR_CODES(CEL_X)
#undef CEL_X
} cel_code;

typedef struct cel_error {
    cel_code code;
    bool retriable;      /* the same call may succeed later */
    bool uncertain;      /* the effect may have happened: retrying may duplicate it */
    char exc_type[64];   /* CEL_ETASK, CEL_EREVOKED: the remote exception's class, else "" */
    char message[240];   /* one line for a human; no prefix, no newline */
} cel_error;

/* Any thread. Returns a view of the constant's name, such as "CEL_EINVAL"; "CEL_?" if unknown. */
CEL_API const char *cel_code_name(cel_code code);

/* Any thread. Returns a view of what the code means. */
CEL_API const char *cel_code_text(cel_code code);

/* Fills in `err` (which may be NULL) with the code and the formatted message, cut to what fits at
 * the end of a UTF-8 character. Sets `retriable` for CEL_ECONN, CEL_EBUSY, CEL_EFULL and
 * CEL_ENOMEM. Returns `code`, so that `return cel_error_set(err, ...)` reads well. */
CEL_API cel_code cel_error_set(cel_error *err, cel_code code, const char *fmt, ...) CEL_PRINTF(3, 4);

CEL_END_DECLS

#endif
