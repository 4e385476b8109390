/* amqp_url.h - the servers that an AMQP URL names: one, or a list to fail over to. Pure; any
 * thread. */
#ifndef CEL_BROKER_AMQP_URL_H
#define CEL_BROKER_AMQP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "celeriac/error.h"

/* Strings are owned, never NULL but for cacert. */
typedef struct cel_amqp_server {
    char *user, *password, *host, *vhost;
    char *cacert; /* the file that `ssl_ca_certs` names; NULL: the system's */
    int port;
    int heartbeat_s; /* of the query `heartbeat`; -1: not said */
    bool tls;
    bool verify; /* TLS: check the server's certificate and name */
} cel_amqp_server;

/* Reads scheme://user:password@host:port/vhost?query[;scheme://...], percent-decoded, with
 * Celery's defaults (guest, guest, localhost, 5672 or 5671, /). Puts an array into *out, freed
 * with cel__amqp_servers_free(). CEL_ECONFIG; the message never shows a password. */
cel_code
cel__amqp_servers_parse(cel_amqp_server **out, size_t *count, const char *url, cel_error *err);
void cel__amqp_servers_free(cel_amqp_server *servers, size_t count);

#endif
