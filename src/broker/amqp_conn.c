/* amqp_conn.c - connecting to RabbitMQ, and what its refusals mean.
 *
 * Channel 1 publishes, channel 2 declares and asks, so that a refused declaration (which closes
 * its channel) harms nothing else; each consumer has a channel of its own. The calls here wait
 * for the server's answer, at most RPC_TIMEOUT_S. */
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "broker/amqp_impl.h"
#include "core/mem.h"

#define CONNECT_TIMEOUT_MS 4000
#define RPC_TIMEOUT_S      15
#define HEARTBEAT_MAX_S    30
#define USER_TIMEOUT_MS    30000
#define CHANNEL_MAX        2047

/* ---- errors ---- */

void cel__amqp_break(amqp_link *link, cel_code code, const char *fmt, ...)
{
    char text[sizeof link->error.message];
    va_list args;

    if (link->broken)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    link->broken = true;
    cel_error_set(&link->error, code, "%s", text);
}

bool cel__amqp_ok(amqp_link *link, int status)
{
    if (status == AMQP_STATUS_OK)
        return true;
    if (status == AMQP_STATUS_HEARTBEAT_TIMEOUT)
        cel__amqp_break(link, CEL_ECONN, "the server's heartbeat stopped");
    else
        cel__amqp_break(link, CEL_ECONN, "the connection was lost: %s",
                        amqp_error_string2(status));
    return false;
}

cel_code cel__amqp_channel_error(cel_error *err, uint16_t code, amqp_bytes_t text)
{
    int len = text.len > 180 ? 180 : (int)text.len;
    cel_code meaning = code == AMQP_NOT_FOUND         ? CEL_ENOENT
                       : code == AMQP_ACCESS_REFUSED  ? CEL_ECONFIG
                       : code == AMQP_RESOURCE_LOCKED ? CEL_EBUSY
                                                      : CEL_EINVAL;

    return cel_error_set(err, meaning, "the server refused (%u): %.*s", code, len,
                         (const char *)text.bytes);
}

/* A connection.close: of the login, the virtual host, or an operator. */
static cel_code connection_error(cel_error *err, const amqp_connection_close_t *closed)
{
    amqp_bytes_t text = closed->reply_text;
    int len = text.len > 180 ? 180 : (int)text.len;
    cel_code code =
        closed->reply_code == AMQP_ACCESS_REFUSED || closed->reply_code == AMQP_NOT_ALLOWED
            ? CEL_ECONFIG
            : CEL_ECONN;

    return cel_error_set(err, code, "the server closed the connection (%u): %.*s",
                         closed->reply_code, len, (const char *)text.bytes);
}

static cel_code
read_reply(amqp_link *link, amqp_rpc_reply_t reply, bool *closed, cel_error *err)
{
    *closed = false;
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return CEL_OK;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
            const amqp_channel_close_t *close = reply.reply.decoded;
            *closed = true;
            return cel__amqp_channel_error(err, close->reply_code, close->reply_text);
        }
        if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
            cel_error local;
            connection_error(&local, reply.reply.decoded);
            cel__amqp_break(link, local.code, "%s", local.message);
            return cel_error_set(err, local.code, "%s", local.message);
        }
        cel__amqp_break(link, CEL_EPROTO, "the server answered with method 0x%08X",
                        reply.reply.id);
        break;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        cel__amqp_ok(link, reply.library_error);
        break;
    default:
        cel__amqp_break(link, CEL_ECONN, "no answer from the server");
    }
    return cel_error_set(err, CEL_ECONN, "%s", link->error.message);
}

cel_code cel__amqp_reply(amqp_link *link, uint16_t channel, bool *closed, cel_error *err)
{
    bool was_closed;
    cel_code code = read_reply(link, amqp_get_rpc_reply(link->conn), &was_closed, err);

    if (was_closed) {
        amqp_channel_close_ok_t ok = {0};
        cel__amqp_ok(link,
                     amqp_send_method(link->conn, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
    }
    if (closed)
        *closed = was_closed;
    return code;
}

/* ---- connecting ---- */

static amqp_socket_t *make_socket(amqp_link *link, const cel_amqp_server *server)
{
    if (!server->tls)
        return amqp_tcp_socket_new(link->conn);
    amqp_socket_t *socket = amqp_ssl_socket_new(link->conn);
    if (!socket)
        return NULL;
    amqp_ssl_socket_set_verify_peer(socket, server->verify);
    amqp_ssl_socket_set_verify_hostname(socket, server->verify);
    const char *file = server->cacert ? server->cacert : "/etc/ssl/certs/ca-certificates.crt";
    if (server->verify && amqp_ssl_socket_set_cacert(socket, file) != AMQP_STATUS_OK)
        cel__amqp_break(link, CEL_ECONFIG, "the certificates in '%s' cannot be used", file);
    return socket;
}

static amqp_table_entry_t flag(const char *name)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(name)};

    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

static amqp_table_entry_t text(const char *name, const char *value)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(name)};

    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(value);
    return entry;
}

/* The URL's, or the setting's: not too long, for a worker behind a dead connection takes nothing.
 */
static int heartbeat_s(const amqp_link *link, const cel_amqp_server *server)
{
    int seconds = server->heartbeat_s >= 0 ? server->heartbeat_s : link->broker->heartbeat_s;

    if (server->heartbeat_s < 0 && (seconds == 0 || seconds > HEARTBEAT_MAX_S))
        seconds = HEARTBEAT_MAX_S;
    return seconds > 0 ? seconds : 0;
}

static cel_code log_in(amqp_link *link, const cel_amqp_server *server, cel_error *err)
{
    amqp_table_entry_t capabilities[] = {
        flag("authentication_failure_close"),
        flag("connection.blocked"),
        flag("consumer_cancel_notify"),
        flag("publisher_confirms"),
    };
    amqp_table_entry_t properties[] = {
        text("product", "celeriac"),
        text("connection_name", link->broker->node),
        {.key = amqp_cstring_bytes("capabilities")},
    };
    bool closed;

    properties[2].value.kind = AMQP_FIELD_KIND_TABLE;
    properties[2].value.value.table = (amqp_table_t){4, capabilities};
    amqp_rpc_reply_t reply = amqp_login_with_properties(
        link->conn, server->vhost, CHANNEL_MAX, AMQP_DEFAULT_FRAME_SIZE,
        heartbeat_s(link, server), &(amqp_table_t){3, properties}, AMQP_SASL_METHOD_PLAIN,
        server->user, server->password);
    cel_code code = read_reply(link, reply, &closed, err);
    /* An old server hangs up without a word when the password is wrong. */
    if (code == CEL_ECONN && reply.library_error == AMQP_STATUS_CONNECTION_CLOSED)
        cel_error_set(err, CEL_ECONN,
                      "the server hung up during the login of user '%.60s' to virtual host "
                      "'%.60s'",
                      server->user, server->vhost);
    return code;
}

static void set_socket_options(int fd)
{
    int on = 1;
    unsigned timeout_ms = USER_TIMEOUT_MS;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

static void note_version(amqp_link *link)
{
    const amqp_table_t *properties = amqp_get_server_properties(link->conn);
    bool rabbit = false;

    link->version = 0;
    for (int i = 0; properties && i < properties->num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->entries[i];
        cel_view key = {entry->key.bytes, entry->key.len};
        if (entry->value.kind != AMQP_FIELD_KIND_UTF8)
            continue;
        cel_view value = {entry->value.value.bytes.bytes, entry->value.value.bytes.len};
        if (cel__view_is(key, "product"))
            rabbit = cel__view_is(value, "RabbitMQ");
        if (cel__view_is(key, "version")) {
            for (size_t at = 0; at < value.len && at < 3; at++) {
                if (value.ptr[at] < '0' || value.ptr[at] > '9')
                    break;
                link->version = link->version * 10 + (unsigned)(value.ptr[at] - '0');
            }
        }
    }
    if (!rabbit)
        link->version = 0;
}

/* librabbitmq does not tell why a connection failed: the same once more, for the reason. */
static const char *why_unreachable(const cel_amqp_server *server)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval timeout = {1, 0};
    char port[8];
    int code = 0;

    snprintf(port, sizeof port, "%d", server->port);
    int rc = getaddrinfo(server->host, port, &hints, &found);
    if (rc != 0)
        return gai_strerror(rc);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
            code = errno;
        close(fd);
    }
    freeaddrinfo(found);
    return code == EINPROGRESS ? "no answer"
           : code != 0         ? strerrordesc_np(code)
                               : "the connection was refused at first";
}

static void reset(amqp_link *link)
{
    link->broken = false;
    link->blocked = false;
    link->publish_open = link->admin_open = false;
    link->next_seq = 1;
}

static cel_code connect_one(amqp_link *link, const cel_amqp_server *server, cel_error *err)
{
    int64_t ms = link->broker->connect_timeout_ms;
    if (ms <= 0)
        ms = CONNECT_TIMEOUT_MS;
    struct timeval timeout = {ms / 1000, ms % 1000 * 1000}, rpc = {RPC_TIMEOUT_S, 0};

    reset(link);
    link->conn = amqp_new_connection();
    amqp_socket_t *socket = link->conn ? make_socket(link, server) : NULL;
    if (!socket)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a connection");
    if (link->broken)
        return cel_error_set(err, link->error.code, "%s", link->error.message);
    amqp_set_handshake_timeout(link->conn, &timeout);
    amqp_set_rpc_timeout(link->conn, &rpc);
    int status = amqp_socket_open_noblock(socket, server->host, server->port, &timeout);
    if (status != AMQP_STATUS_OK)
        return cel_error_set(err, CEL_ECONN, "%s",
                             status == AMQP_STATUS_SOCKET_ERROR ||
                                     status == AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED
                                 ? why_unreachable(server)
                                 : amqp_error_string2(status));
    set_socket_options(amqp_get_sockfd(link->conn));
    cel_code code = log_in(link, server, err);
    if (code != CEL_OK)
        return code;
    note_version(link);
    return CEL_OK;
}

cel_code cel__amqp_connect(amqp_link *link, cel_error *err)
{
    cel_code code = CEL_ECONN;

    for (size_t i = 0; i < link->server_count; i++) {
        const cel_amqp_server *server = &link->servers[link->server];
        cel_error why = {0};

        code = connect_one(link, server, &why);
        if (code == CEL_OK)
            return CEL_OK;
        link->broken = true;
        cel__amqp_disconnect(link);
        /* A password with a '/' in it, not quoted, ends up there. */
        bool odd = strchr(server->vhost, '@') != NULL;
        cel_error_set(err, code, "%s://%.60s:%d/%.60s: %s", server->tls ? "amqps" : "amqp",
                      server->host, server->port, odd ? "..." : server->vhost, why.message);
        link->server = (link->server + 1) % link->server_count;
    }
    return code;
}

void cel__amqp_disconnect(amqp_link *link)
{
    cel__amqp_forget_all(link);
    if (!link->conn)
        return;
    if (!link->broken) {
        struct timeval timeout = {2, 0};
        amqp_set_rpc_timeout(link->conn, &timeout);
        amqp_connection_close(link->conn, AMQP_REPLY_SUCCESS);
    }
    amqp_destroy_connection(link->conn);
    link->conn = NULL;
}

cel_code cel__amqp_open_channel(amqp_link *link, uint16_t channel, cel_error *err)
{
    amqp_channel_open(link->conn, channel);
    return cel__amqp_reply(link, channel, NULL, err);
}
