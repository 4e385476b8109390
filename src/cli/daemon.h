/* daemon.h - leaving the terminal, and giving up rights. */
#ifndef CEL_CLI_DAEMON_H
#define CEL_CLI_DAEMON_H

#include "celeriac/error.h"

/* Detaches: double fork, a session of its own. Returns in the daemon, which reports through *report; the first process waits for that
 * and exits with the status, 1 if the daemon dies before. Before any thread exists. CEL_EIO. */
cel_code cel__daemon_detach(int *report, cel_error *err);

/* Puts the standard streams on /dev/null, so that nobody waits for their end, and lets the first process go. Closes `report`. */
void cel__daemon_report(int report, int status);

/* Changes group and user, each a name or a number or NULL. */
cel_code cel__daemon_become(const char *user, const char *group, cel_error *err);

#endif
