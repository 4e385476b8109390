/* program.h - any program as a task: a shell script, a tool, something in another language.
 *
 *     static const char *const argv[] = {"/usr/local/bin/thumbnail", "--quiet", NULL};
 *     cel_program(app, "images.thumbnail", argv, .text_result = true);
 *
 * What passes between the worker and the program:
 *
 *     0  standard input, a file: one JSON object, {"task": ..., "id": ..., "retries": 0, "args": [...], "kwargs": {...}}
 *     1  standard output: the result, a JSON text, nothing for null; with `text_result` a string, without its last newline
 *     2  standard error: its last 16 KiB are in the traceback of a failure, in the log after a success
 *     3  notes: lines of JSON. {"error": {"type": "ValueError", "message": "..."}}: the exception, should it exit with
 *        another status than 0. {"retry": 5}: the countdown in seconds, should it exit with 75. {"state": "LOADING", "meta": ...}: a
 *        custom state. Any other value: the state PROGRESS with this value.
 *
 * Exit status 0 is success, 75 (EX_TEMPFAIL) a retry, any other the failure ChildProcessError, unless a note says which; so is
 * an end by a signal. In the environment are CELERIAC_TASK_ID, CELERIAC_TASK_NAME and CELERIAC_RETRIES.
 *
 * The soft time limit sends it TERM, and KILL after `grace_ms`: SoftTimeLimitExceeded unless it exits with 0. The hard limit, and
 * whatever else ends the task, kills it with all its descendants; so does the end of the program for those that it leaves behind. The hard limit
 * holds in all pools. Should a whole worker be killed, nothing is left of the programs of the pool prefork, also where they had made
 * sessions of their own; of those of threads and solo the programs themselves end, but not what these have started. */
#ifndef CELERIAC_PROGRAM_H
#define CELERIAC_PROGRAM_H

#include "celeriac/task.h"

CEL_BEGIN_DECLS

/* Zero means the default. Copied. */
typedef struct cel_program_options {
    size_t size;                    /* sizeof(cel_program_options) */
    const char *directory;          /* where it runs; default: the worker's working directory */
    const char *const *environment; /* "NAME=value", NULL-terminated: besides the worker's own */
    bool text_result;               /* standard output is text, not JSON */
    int64_t grace_ms;               /* how long it has after TERM; 0: 10,000 */
    const cel_task_options *task;   /* `user` included */
} cel_program_options;

/* Registers a program as a task, as cel_task_register() does a function. `argv` is NULL-terminated; argv[0] is looked for on PATH
 * when the task runs. CEL_EINVAL. */
CEL_API cel_code cel_program_register(cel_app *app,
                                      const char *name,
                                      const char *const *argv,
                                      const cel_program_options *options,
                                      cel_error *err);

/* As above, but remembers the first failure in the app, as cel_task_declare(). Prefer the macro cel_program(). */
CEL_API void cel_program_declare(cel_app *app,
                                 const char *name,
                                 const char *const *argv,
                                 const cel_program_options *options);

CEL_END_DECLS

#endif
