/* pidfile.h - one worker per pidfile. */
#ifndef CEL_CLI_PIDFILE_H
#define CEL_CLI_PIDFILE_H

#include <stdbool.h>

#include "celeriac/error.h"

/* Creates `path` with this process's id, mode 0644, never over another's: a file of a live process is CEL_EEXIST (*pid is whose), one of a dead
 * process or without a pid is removed and *stale set. CEL_EIO. */
cel_code cel__pidfile_create(const char *path, int *pid, bool *stale, cel_error *err);

/* Removes it if it still holds this process's id. */
void cel__pidfile_remove(const char *path);

/* Returns the process id in the file, 0 if there is none in it, -1 if there is no file. */
int cel__pidfile_read(const char *path);

/* Whether the process runs. One that has ended and that nobody has waited for yet does not: in a container that may be for ever. */
bool cel__process_is_alive(int pid);

#endif
