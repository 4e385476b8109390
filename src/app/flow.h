/* flow.h - the flows that an app knows. Filled by one thread before the dispatcher starts, then
 * read by any. */
#ifndef CEL_APP_FLOW_H
#define CEL_APP_FLOW_H

#include "app/app.h"
#include "celeriac/flow.h"
#include "core/view.h"

typedef struct cel_flow_entry {
    struct cel_flow_entry *next; /* by name */
    char *name;                  /* owned, as the two below */
    char *queue, *summary;       /* NULL: none */
    cel_flow_fn fn;
    void *user;
} cel_flow_entry;

/* Finds the flow; an absent name means the only one. CEL_ENOENT lists those there are. */
cel_code
cel__flow_find(const cel_flow_entry **out, const cel_app *app, cel_view name, cel_error *err);

/* Calls the function; *out is the caller's. CEL_EINVAL, or the code that the function set. */
cel_code cel__flow_call(cel_signature **out,
                        cel_app *app,
                        const cel_flow_entry *flow,
                        const json_t *params,
                        cel_error *err);

void cel__flows_free(struct cel_flow_entry *flows);

#endif
