/* reply.h - the replies of workers as Celery's command shows them.
 *
 *     ->  w1@host: OK
 *             pong
 *
 * Pure; any thread. */
#ifndef CEL_CLI_REPLY_H
#define CEL_CLI_REPLY_H

#include <jansson.h>

#include "core/buf.h"

typedef struct cel_reply_style {
    bool
        color; /* escape sequences; and control characters of a reply are replaced, for the sake of the terminal */
    bool quiet; /* no arrow */
    bool body;  /* show what the reply says, not only whether it is good */
} cel_reply_style;

/* Appends the reply of one node, with a newline at the end. A buffer that fails is the caller's to notice. */
void cel__reply_show(cel__buf *buf,
                     const char *node,
                     const json_t *reply,
                     const cel_reply_style *style);

/* Appends `value` as Python's json.dumps(value, sort_keys=True, indent=4) does. */
void cel__reply_dump(cel__buf *buf, const json_t *value);

#endif
