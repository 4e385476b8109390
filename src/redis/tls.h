/* tls.h - the TLS of a connection to Redis: bytes in, bytes out, no socket. OpenSSL behind it. One
 * thread per context. */
#ifndef CEL_REDIS_TLS_H
#define CEL_REDIS_TLS_H

#include "redis/conn.h"

typedef struct cel__tls_context cel__tls_context; /* what is trusted, and the own certificate */
typedef struct cel__tls cel__tls;                 /* of one connection */

/* Reads the files that the URL names. CEL_ECONFIG tells which one cannot be read. */
cel_code
cel__tls_context_new(cel__tls_context **out, const cel__redis_url *url, cel_error *err);
void cel__tls_context_free(cel__tls_context *context);

/* Begins a handshake; cel__tls_step() has its first bytes. */
cel_code cel__tls_new(cel__tls **out, cel__tls_context *context, cel_error *err);
void cel__tls_free(cel__tls *tls);

/* What came from the server. */
cel_code cel__tls_feed(cel__tls *tls, const char *bytes, size_t len, cel_error *err);

/* Goes on with the handshake; appends what is to be sent. *done tells that it is over. CEL_ECONN:
 * it failed; not retriable if the certificate is not trusted. */
cel_code cel__tls_step(cel__tls *tls, cel__buf *wire, bool *done, cel_error *err);

/* Appends the encrypted bytes of the text. */
cel_code
cel__tls_write(cel__tls *tls, const char *text, size_t len, cel__buf *wire, cel_error *err);

/* Reads up to `room` bytes of text; 0: there is no more now. Appends what is to be sent meanwhile. */
cel_code cel__tls_read(
    cel__tls *tls, char *text, size_t room, size_t *len, cel__buf *wire, cel_error *err);

#endif
