/* nodename.h - the names of workers, NAME@HOST, and the %-templates of names and paths. */
#ifndef CEL_APP_NODENAME_H
#define CEL_APP_NODENAME_H

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

#define CEL_HOSTNAME_MAX 256 /* room for a host name and its NUL */

/* Writes this machine's host name; "localhost" if it has none. Any thread. */
void cel__hostname(char out[CEL_HOSTNAME_MAX]);

/* Splits at the first '@'. Without one, all of it is the host and `name` is absent. */
void cel__node_split(cel_view node, cel_view *name, cel_view *host);

/* Appends the name of a worker for the option -n (NULL: none): "w1" is celery@w1, "w1@" and
 * "@h" are completed, %h %n %d stand for the host name, its part up to the first dot and the
 * rest behind it, %i for 0, %I for nothing, %% for a %. CEL_EINVAL for another %-letter, and
 * for a name that is longer than 255 bytes or holds a space or a control character. */
cel_code cel__nodename(cel__buf *buf, const char *option, const char *hostname, cel_error *err);

/* Appends a path made from a template of --logfile, --pidfile or --statedb: %h %n %d are the
 * parts of the node name, %p the whole of it, %i the number of the pool process (0: the
 * worker itself), %I that behind a '-' or nothing. CEL_EINVAL for another %-letter. */
cel_code cel__node_format(
    cel__buf *buf, const char *format, const char *node, int process_index, cel_error *err);

/* Appends "gen<pid>@<host>", how clients call themselves. */
void cel__nodename_anonymous(cel__buf *buf, int pid, const char *hostname);

#endif
