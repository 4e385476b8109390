/* process.h - a program that runs for one task, and the end of all that it starts.
 *
 * In a child of the prefork pool the program stays in the child's process group, which the pool kills with the child, and the
 * child adopts the program's orphans, so that it can kill them when the program has ended. Elsewhere
 * the program gets a group of its own. Blocking, on the thread that runs the task. */
#ifndef CEL_APP_PROCESS_H
#define CEL_APP_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "celeriac/error.h"
#include "core/view.h"

typedef struct cel_process_spec {
    const char *const *argv;        /* borrowed, as all here */
    const char *const *environment; /* all of it, NULL-terminated */
    const char *directory;          /* NULL: this process's own */
    cel_view input;                 /* what it reads from its standard input */
} cel_process_spec;

typedef struct cel_process {
    pid_t pid;
    int exited;            /* pidfd: readable once it has ended */
    int out, error, notes; /* what it writes to 1, 2 and 3; not blocking. -1: closed */
    bool guarded;          /* in the group of a pool's child */
    pid_t *before;         /* owned: children that were there before */
    size_t before_count;
} cel_process;

/* Starts the program. CEL_ENOENT, CEL_EIO: err->message says why it cannot be started. */
cel_code cel__process_start(cel_process *process, const cel_process_spec *spec, cel_error *err);

/* Sends the signal: to the program, and where it has a group of its own to that. */
void cel__process_signal(const cel_process *process, int signum);

/* Waits for the program, which has ended or is ended now (KILL), ends its descendants and closes everything. Returns the status as
 * waitpid() gives it. */
int cel__process_end(cel_process *process);

#endif
