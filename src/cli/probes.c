/* probes.c - see probes.h. */
#include "cli/probes.h"

#include <string.h>

int cel__probes_get(void *user, const char *path, cel__buf *body)
{
    cel_worker *worker = user;
    const char *why;

    if (strcmp(path, "/livez") == 0) {
        cel__buf_add_str(body, "ok\n");
        return 200;
    }
    if (strcmp(path, "/metrics") == 0) {
        cel__worker_metrics(worker, body);
        return 200;
    }
    if (strcmp(path, "/readyz") == 0) {
        why = cel__worker_why_not(worker);
        cel__buf_addf(body, "%s\n", why ? why : "takes work");
        return why ? 503 : 200;
    }
    cel__buf_add_str(body, "/livez, /readyz and /metrics are here\n");
    return 404;
}
