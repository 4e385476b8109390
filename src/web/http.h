/* http.h - a small HTTP server for GET requests, on the loop of whoever has it: for probes and metrics.
 *
 * HTTP is libmicrohttpd's. It runs on the loop's thread, so that what a handler looks at needs no lock, and an answer proves that the loop turns.
 * Connections, their memory and their time are limited; what is hostile costs its connection. */
#ifndef CEL_WEB_HTTP_H
#define CEL_WEB_HTTP_H

#include <uv.h>

#include "celeriac/error.h"
#include "core/buf.h"

typedef struct cel_http cel_http;

/* Answers GET `path`: returns the status (200) and appends the body, plain text. On the loop's thread. */
typedef int (*cel_http_get)(void *user, const char *path, cel__buf *body);

/* Does not keep the loop going by itself. Listens on "host:port", "[v6]:port", ":port" (all addresses) or "port" (127.0.0.1). The caller closes it before the loop ends. CEL_EINVAL: no
 * address; CEL_EIO: it cannot listen there; CEL_ENOTSUP: built without libmicrohttpd. May ask for the address of a host name: at the start only. */
cel_code cel__http_open(cel_http **out,
                        uv_loop_t *loop,
                        const char *address,
                        cel_http_get get,
                        void *user,
                        cel_error *err);

/* Closes connections and frees; the loop must turn once more. NULL is a no-op. */
void cel__http_close(cel_http *http);

/* The port it listens on. */
int cel__http_port(const cel_http *http);

#endif
