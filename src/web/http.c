/* http.c - see http.h. libmicrohttpd waits on an epoll descriptor of its own, and the loop waits on that. */
#include "web/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

#ifdef CEL_HAVE_MICROHTTPD

#include <microhttpd.h>

#define CONNECTIONS       32u
#define CONNECTION_BYTES  16384u
#define CONNECTION_TIME_S 5u
#define BACKLOG           64

struct cel_http {
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer; /* what libmicrohttpd wants to be woken for: idle connections */
    int open_handles;
    int port;
    cel_http_get get;
    void *user;
};

static enum MHD_Result respond(struct MHD_Connection *connection, int status, cel__buf *body)
{
    size_t len = body->len;
    /* libmicrohttpd frees with free(), so it gets a copy of its own. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->failed ? 0 : len, len > 0 && !body->failed ? body->ptr : "",
        MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_NO;

    if (body->failed)
        status = 500;
    cel__buf_done(body);
    if (!response)
        return MHD_NO; /* closes the connection */
    MHD_add_response_header(response, "Content-Type",
                            "text/plain; version=0.0.4; charset=utf-8");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (status == 405)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *user,
                                  struct MHD_Connection *connection,
                                  const char *url,
                                  const char *method,
                                  const char *version,
                                  const char *upload,
                                  size_t *upload_size,
                                  void **state)
{
    cel_http *http = user;
    cel__buf body = {0};
    int status;

    (void)version;
    (void)upload;
    if (!*state) { /* headers only so far: a body, which nothing here has a use for, must be read first */
        *state = http;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        cel__buf_add_str(&body, "only GET is answered\n");
        status = 405;
    } else {
        status = http->get(http->user, url, &body);
    }
    return respond(connection, status, &body);
}

static void on_timer(uv_timer_t *timer);

static void run(cel_http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    MHD_run(http->daemon);
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&http->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&http->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* ---- the address ---- */

/* Splits into host (empty: all addresses) and port. */
static bool split_address(const char *address, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(address, ':');
    const char *from = address;
    size_t len = colon ? (size_t)(colon - address) : 0;

    *port = colon ? colon + 1 : address;
    if (!colon) {
        from = "127.0.0.1";
        len = strlen(from);
    } else if (len >= 2 && address[0] == '[' && colon[-1] == ']') {
        from++;
        len -= 2;
    }
    if (len >= size || !**port || (*port)[strspn(*port, "0123456789")] || strlen(*port) > 5 ||
        strtoul(*port, NULL, 10) > 65535)
        return false;
    memcpy(host, from, len);
    host[len] = '\0';
    return true;
}

static int listen_on(const struct addrinfo *at)
{
    int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

static cel_code open_socket(int *out, int *bound_port, const char *address, cel_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    const char *port;
    char host[256];
    int rc, fd;

    if (!split_address(address, host, sizeof host, &port))
        return cel_error_set(err, CEL_EINVAL,
                             "'%.100s' is no address: HOST:PORT, :PORT or PORT", address);
    rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return cel_error_set(err, CEL_EIO, "'%.100s': %s", address, gai_strerror(rc));
    fd = listen_on(found);
    rc = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return cel_error_set(err, CEL_EIO, "cannot listen on '%.100s': %s", address,
                             strerror(rc));
    *bound_port = 0;
    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0)
        *bound_port =
            ntohs(bound.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((const struct sockaddr_in *)&bound)->sin_port);
    *out = fd;
    return CEL_OK;
}

/* ---- life ---- */

cel_code cel__http_open(cel_http **out,
                        uv_loop_t *loop,
                        const char *address,
                        cel_http_get get,
                        void *user,
                        cel_error *err)
{
    cel_http *http;
    int fd = -1, port = 0;
    cel_code code = open_socket(&fd, &port, address, err);

    if (code != CEL_OK)
        return code;
    http = cel__calloc(1, sizeof *http);
    if (!http) {
        close(fd);
        return cel_error_set(err, CEL_ENOMEM, "no memory for an HTTP server");
    }
    http->get = get;
    http->user = user;
    http->port = port;
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http,
                         MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                         MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIME_S, MHD_OPTION_END);
    if (!http->daemon) {
        close(fd);
        cel__free(http);
        return cel_error_set(err, CEL_EIO, "cannot start an HTTP server on '%.100s'", address);
    }
    uv_poll_init(loop, &http->poll,
                 MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_timer_init(loop, &http->timer);
    http->poll.data = http->timer.data = http;
    http->open_handles = 2;
    uv_poll_start(&http->poll, UV_READABLE, on_poll);
    /* A worker that has nothing else to wait for ends. */
    uv_unref((uv_handle_t *)&http->poll);
    uv_unref((uv_handle_t *)&http->timer);
    *out = http;
    return CEL_OK;
}

static void on_closed(uv_handle_t *handle)
{
    cel_http *http = handle->data;

    if (--http->open_handles > 0)
        return;
    MHD_stop_daemon(http->daemon);
    cel__free(http);
}

void cel__http_close(cel_http *http)
{
    if (!http)
        return;
    uv_close((uv_handle_t *)&http->poll, on_closed);
    uv_close((uv_handle_t *)&http->timer, on_closed);
}

int cel__http_port(const cel_http *http)
{
    return http->port;
}

#else

cel_code cel__http_open(cel_http **out,
                        uv_loop_t *loop,
                        const char *address,
                        cel_http_get get,
                        void *user,
                        cel_error *err)
{
    (void)out;
    (void)loop;
    (void)get;
    (void)user;
    return cel_error_set(err, CEL_ENOTSUP,
                         "'%.100s': this was built without libmicrohttpd, so there is no HTTP",
                         address);
}

void cel__http_close(cel_http *http)
{
    (void)http;
}

int cel__http_port(const cel_http *http)
{
    (void)http;
    return 0;
}

#endif
