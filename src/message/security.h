/* security.h - signed bodies: Celery's `auth` serializer, celery/security/serialization.py.
 *
 * The body of such a message is base64 of
 *
 *     signer 00 01 signature 00 01 content type 00 01 content encoding 00 01 body
 *
 * where Celery 5.5 and later write signer and signature in base64 once more. The signature is
 * RSA-PSS over the body, MGF1 with the same digest, with the longest salt that fits. A signer is
 * named by the issuer and the serial number of its certificate. Headers are not signed.
 *
 * Files are read by the caller: nothing here does I/O or reads a clock. Once it is set up, any
 * thread. */
#ifndef CEL_MESSAGE_SECURITY_H
#define CEL_MESSAGE_SECURITY_H

#include <stdbool.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

typedef struct cel__security cel__security;

typedef struct cel__security_options {
    const char *digest; /* "sha256" */
    bool new_layout;    /* write as Celery 5.5 and later; both are read */
} cel__security_options;

/* Puts an empty one into *out, owned by the caller, free with cel__security_free(). CEL_ECONFIG
 * for an unknown digest, CEL_ENOMEM. */
cel_code
cel__security_new(cel__security **out, const cel__security_options *options, cel_error *err);
void cel__security_free(cel__security *security); /* NULL is a no-op */

/* Sets who signs. Both are PEM; `password` may be NULL. CEL_ECONFIG if one of them cannot be
 * read, the key is no RSA key or not that of the certificate. */
cel_code cel__security_set_key(cel__security *security,
                               cel_view key_pem,
                               const char *password,
                               cel_view certificate_pem,
                               cel_error *err);

/* Adds a certificate whose signatures are believed. CEL_ECONFIG if it cannot be read, has
 * expired by `now_us` (wall) or is there already. */
cel_code cel__security_trust(cel__security *security,
                             cel_view certificate_pem,
                             int64_t now_us,
                             cel_error *err);

bool cel__security_signs(const cel__security *security);  /* NULL: false */
bool cel__security_trusts(const cel__security *security); /* NULL: false */

/* What was signed; views into the scratch, but `signer` lives as long as the security. */
typedef struct cel__signed {
    cel_view signer, content_type, content_encoding, body;
} cel__signed;

/* Appends `what` signed; its `signer` is not read. CEL_ENOTSUP without a key, CEL_ENOMEM. */
cel_code cel__security_sign(const cel__security *security,
                            cel__buf *buf,
                            const cel__signed *what,
                            cel_error *err);

/* Takes a signed text apart and checks the signature; `scratch` is appended to. CEL_EPROTO if it
 * is no such text, the signer is not trusted or the signature is wrong; CEL_ENOTSUP where no
 * certificate is trusted, CEL_ENOMEM. */
cel_code cel__security_open(const cel__security *security,
                            cel__signed *out,
                            cel_view text,
                            cel__buf *scratch,
                            cel_error *err);

#endif
