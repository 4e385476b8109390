/* daemon.h - leaving the terminal, and giving up rights. */
#ifndef CEL_CLI_DAEMON_H
#define CEL_CLI_DAEMON_H

#include "celeriac/error.h"

/* Detaches: double fork, a session of its own, the standard streams on /dev/null. Returns in the daemon; the first process exits with 0. Before any
 * thread exists. */
cel_code cel__daemon_detach(cel_error *err);

/* Changes group and user, each a name or a number or NULL. */
cel_code cel__daemon_become(const char *user, const char *group, cel_error *err);

#endif
