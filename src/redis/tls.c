/* tls.c - OpenSSL on two memory BIOs: what the socket gave goes in, what it shall take comes out. */
#include "redis/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "core/mem.h"

struct cel__tls_context {
    SSL_CTX *ssl;
    const cel__redis_url *url;
};

struct cel__tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    const cel__redis_url *url;
};

static const char *why(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return text ? text : "unknown";
}

/* ---- context ---- */

static cel_code fail_file(const char *what, const char *path, cel_error *err)
{
    return cel_error_set(err, CEL_ECONFIG, "%s '%.120s': %s", what, path, why());
}

static cel_code load_files(SSL_CTX *ssl, const cel__redis_url *url, cel_error *err)
{
    const char *key = url->key_file ? url->key_file : url->cert_file;

    if (url->ca_file && !SSL_CTX_load_verify_locations(ssl, url->ca_file, NULL))
        return fail_file("ssl_ca_certs", url->ca_file, err);
    if (!url->ca_file && !SSL_CTX_set_default_verify_paths(ssl))
        return cel_error_set(err, CEL_ECONFIG, "the system's certificates: %s", why());
    if (url->cert_file && SSL_CTX_use_certificate_chain_file(ssl, url->cert_file) != 1)
        return fail_file("ssl_certfile", url->cert_file, err);
    if (key && SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        return fail_file("ssl_keyfile", key, err);
    return CEL_OK;
}

cel_code cel__tls_context_new(cel__tls_context **out, const cel__redis_url *url, cel_error *err)
{
    cel__tls_context *context = cel__calloc(1, sizeof *context);
    cel_code code;

    if (context)
        context->ssl = SSL_CTX_new(TLS_client_method());
    if (!context || !context->ssl) {
        cel__tls_context_free(context);
        return cel_error_set(err, CEL_ENOMEM, "no memory for TLS");
    }
    context->url = url;
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify(context->ssl, url->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    code = load_files(context->ssl, url, err);
    if (code == CEL_OK)
        *out = context;
    else
        cel__tls_context_free(context);
    return code;
}

void cel__tls_context_free(cel__tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    cel__free(context);
}

/* ---- connection ---- */

/* The certificate must be the host's: a name, or an address. */
static bool set_host(SSL *ssl, const cel__redis_url *url)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool address =
        strspn(url->host, "0123456789.") == strlen(url->host) || strchr(url->host, ':');

    if (!address && !SSL_set_tlsext_host_name(ssl, url->host))
        return false;
    if (!url->verify || !url->check_host)
        return true;
    return address ? X509_VERIFY_PARAM_set1_ip_asc(param, url->host)
                   : X509_VERIFY_PARAM_set1_host(param, url->host, 0);
}

cel_code cel__tls_new(cel__tls **out, cel__tls_context *context, cel_error *err)
{
    cel__tls *tls = cel__calloc(1, sizeof *tls);

    if (!tls)
        return cel_error_set(err, CEL_ENOMEM, "no memory for TLS");
    tls->url = context->url;
    tls->ssl = SSL_new(context->ssl);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out || !set_host(tls->ssl, context->url)) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        cel__free(tls);
        return cel_error_set(err, CEL_ENOMEM, "no memory for TLS");
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    SSL_set_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS);
    *out = tls;
    return CEL_OK;
}

void cel__tls_free(cel__tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl); /* and its BIOs */
    cel__free(tls);
}

static cel_code drain(cel__tls *tls, cel__buf *wire, cel_error *err)
{
    size_t pending = (size_t)BIO_ctrl_pending(tls->out);
    char *to = pending ? cel__buf_reserve(wire, pending) : NULL;

    if (pending == 0)
        return CEL_OK;
    if (!to || BIO_read(tls->out, to, (int)pending) != (int)pending)
        return cel_error_set(err, CEL_ENOMEM, "no memory for TLS");
    wire->len += pending;
    return CEL_OK;
}

static cel_code fail_tls(cel__tls *tls, cel_error *err)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    cel_error own;

    if (tls->url->verify && verdict != X509_V_OK) {
        cel_error_set(&own, CEL_ECONN,
                      "the certificate of %s is not trusted: %s (ssl_ca_certs=FILE names who "
                      "has signed it)",
                      tls->url->shown, X509_verify_cert_error_string(verdict));
        own.retriable = false;
        ERR_clear_error();
    } else {
        cel_error_set(&own, CEL_ECONN, "TLS with %s failed: %s", tls->url->shown, why());
    }
    if (err)
        *err = own;
    return CEL_ECONN;
}

cel_code cel__tls_feed(cel__tls *tls, const char *bytes, size_t len, cel_error *err)
{
    if (BIO_write(tls->in, bytes, (int)len) == (int)len)
        return CEL_OK;
    return cel_error_set(err, CEL_ENOMEM, "no memory for TLS");
}

/* Whether OpenSSL only waits for more from the server. */
static bool waits(cel__tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

cel_code cel__tls_step(cel__tls *tls, cel__buf *wire, bool *done, cel_error *err)
{
    int result;
    cel_code code;

    ERR_clear_error();
    result = SSL_do_handshake(tls->ssl);
    *done = result == 1;
    if (result != 1 && !waits(tls, result)) {
        drain(tls, wire, NULL); /* the alert */
        return fail_tls(tls, err);
    }
    code = drain(tls, wire, err);
    return code;
}

cel_code
cel__tls_write(cel__tls *tls, const char *text, size_t len, cel__buf *wire, cel_error *err)
{
    ERR_clear_error();
    for (size_t at = 0; at < len;) {
        size_t some = len - at > 16384 ? 16384 : len - at;
        int result = SSL_write(tls->ssl, text + at, (int)some);

        if (result <= 0) /* a memory BIO takes all */
            return fail_tls(tls, err);
        at += (size_t)result;
    }
    return drain(tls, wire, err);
}

cel_code cel__tls_read(
    cel__tls *tls, char *text, size_t room, size_t *len, cel__buf *wire, cel_error *err)
{
    int result;

    ERR_clear_error();
    result = SSL_read(tls->ssl, text, (int)room);
    *len = result > 0 ? (size_t)result : 0;
    if (result <= 0 && !waits(tls, result)) {
        if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN)
            return cel_error_set(err, CEL_ECONN, "%s has closed the connection",
                                 tls->url->shown);
        return fail_tls(tls, err);
    }
    return drain(tls, wire, err);
}
