/* amqp_url.c - see amqp_url.h. */
#include "broker/amqp_url.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/view.h"

#define MAX_SERVERS 32

static size_t find_byte(cel_view text, char byte)
{
    const char *at = text.len ? memchr(text.ptr, byte, text.len) : NULL;

    return at ? (size_t)(at - text.ptr) : text.len;
}

static cel_view head(cel_view text, size_t len)
{
    return (cel_view){text.ptr, len};
}

/* What is behind `len` bytes and one separator. */
static cel_view tail(cel_view text, size_t len)
{
    if (len >= text.len)
        return (cel_view){text.ptr + text.len, 0};
    return (cel_view){text.ptr + len + 1, text.len - len - 1};
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the decoded text, owned; `fallback` for an empty one. %00 stays as it is. */
static char *decode(cel_view text, const char *fallback)
{
    if (text.len == 0)
        return cel__strdup(fallback);
    char *copy = cel__memdup(text.ptr, text.len);
    char *to = copy;
    for (size_t i = 0; copy && i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%' && text.len - i > 2 && hex(text.ptr[i + 1]) >= 0 &&
            hex(text.ptr[i + 2]) >= 0 &&
            (hex(text.ptr[i + 1]) > 0 || hex(text.ptr[i + 2]) > 0)) {
            c = (char)(hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2]));
            i += 2;
        }
        *to++ = c;
    }
    if (copy)
        *to = '\0';
    return copy;
}

/* 0 or nothing leaves *port alone. */
static bool read_port(int *port, cel_view text)
{
    int value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        value = value * 10 + (text.ptr[i] - '0');
        if (value > 65535)
            return false;
    }
    if (value > 0)
        *port = value;
    return true;
}

static void read_query(cel_amqp_server *server, cel_view query)
{
    while (query.len > 0) {
        size_t len = find_byte(query, '&');
        cel_view pair = head(query, len);
        size_t equals = find_byte(pair, '=');
        cel_view key = head(pair, equals), value = tail(pair, equals);

        query = tail(query, len);
        if (cel__view_is(key, "ssl_ca_certs") || cel__view_is(key, "cacertfile")) {
            cel__free(server->cacert);
            server->cacert = decode(value, NULL);
        } else if (cel__view_is(key, "heartbeat")) {
            if (!read_port(&server->heartbeat_s, value) || cel__view_is(value, "0"))
                server->heartbeat_s = cel__view_is(value, "0") ? 0 : -1;
        } else if (cel__view_is(key, "ssl_cert_reqs") || cel__view_is(key, "verify")) {
            server->verify = !cel__view_is(value, "none") &&
                             !cel__view_is(value, "CERT_NONE") &&
                             !cel__view_is(value, "verify_none");
        }
    }
}

/* Splits off "user:password@" at the last @, so that one in the password does no harm. */
static cel_code read_login(cel_amqp_server *server, cel_view *authority, cel_error *err)
{
    size_t at = authority->len;
    cel_view login = {"", 0};

    while (at > 0 && authority->ptr[at - 1] != '@')
        at--;
    if (at > 0) {
        login = head(*authority, at - 1);
        *authority = tail(*authority, at - 1);
    }
    size_t colon = find_byte(login, ':');
    server->user = decode(head(login, colon), "guest");
    server->password = decode(tail(login, colon), "guest");
    if (!server->user || !server->password)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the broker's URL");
    return CEL_OK;
}

static cel_code read_address(cel_amqp_server *server, cel_view authority, cel_error *err)
{
    cel_view port = {"", 0};

    if (authority.len > 0 && authority.ptr[0] == '[' &&
        find_byte(authority, ']') < authority.len) {
        size_t close = find_byte(authority, ']');
        port = close + 1 < authority.len ? tail(authority, close + 1) : port;
        authority = (cel_view){authority.ptr + 1, close - 1};
    } else {
        size_t colon = find_byte(authority, ':');
        port = tail(authority, colon);
        authority = head(authority, colon);
    }
    server->host = decode(authority, "localhost");
    if (!server->host)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the broker's URL");
    server->port = server->tls ? 5671 : 5672;
    if (!read_port(&server->port, port))
        return cel_error_set(err, CEL_ECONFIG,
                             "the broker's URL: the port is no number from 0 to 65535");
    return CEL_OK;
}

static cel_code read_server(cel_amqp_server *server, cel_view text, cel_error *err)
{
    const char *mark = text.len > 3 ? memmem(text.ptr, text.len, "://", 3) : NULL;
    cel_view rest = text;

    if (mark) {
        cel_view scheme = head(text, (size_t)(mark - text.ptr));
        server->tls = scheme.len == 5 && strncasecmp(scheme.ptr, "amqps", 5) == 0;
        rest = (cel_view){mark + 3, text.len - scheme.len - 3};
    }
    server->verify = true;
    server->heartbeat_s = -1;
    size_t end = find_byte(rest, '?');
    read_query(server, tail(rest, end));
    rest = head(rest, end);
    size_t slash = find_byte(rest, '/');
    cel_view authority = head(rest, slash);
    cel_code code = read_login(server, &authority, err);
    if (code == CEL_OK)
        code = read_address(server, authority, err);
    if (code != CEL_OK)
        return code;
    server->vhost = decode(tail(rest, slash), "/");
    if (!server->vhost)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the broker's URL");
    return CEL_OK;
}

static size_t count_servers(cel_view text)
{
    size_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ';';
    return count;
}

cel_code
cel__amqp_servers_parse(cel_amqp_server **out, size_t *count, const char *url, cel_error *err)
{
    cel_view rest = cel__view(url);
    size_t room = count_servers(rest), used = 0;
    cel_code code = CEL_OK;

    if (room > MAX_SERVERS)
        return cel_error_set(err, CEL_ECONFIG, "the broker's URL lists more than %d servers",
                             MAX_SERVERS);
    cel_amqp_server *servers = cel__calloc(room, sizeof *servers);
    if (!servers)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the broker's URL");
    while (rest.len > 0 && code == CEL_OK) {
        size_t len = find_byte(rest, ';');
        cel_view one = head(rest, len);
        rest = tail(rest, len);
        while (one.len > 0 && one.ptr[0] == ' ')
            one = tail(one, 0);
        while (one.len > 0 && one.ptr[one.len - 1] == ' ')
            one.len--;
        if (one.len > 0)
            code = read_server(&servers[used++], one, err);
    }
    if (code == CEL_OK && used == 0)
        code = cel_error_set(err, CEL_ECONFIG, "the broker's URL is empty");
    if (code != CEL_OK) {
        cel__amqp_servers_free(servers, room);
        return code;
    }
    *out = servers;
    *count = used;
    return CEL_OK;
}

void cel__amqp_servers_free(cel_amqp_server *servers, size_t count)
{
    for (size_t i = 0; servers && i < count; i++) {
        cel__free(servers[i].user);
        if (servers[i].password) /* not left in freed memory */
            explicit_bzero(servers[i].password, strlen(servers[i].password));
        cel__free(servers[i].password);
        cel__free(servers[i].host);
        cel__free(servers[i].vhost);
        cel__free(servers[i].cacert);
    }
    cel__free(servers);
}
