/* security.c - see security.h. Keys and certificates are OpenSSL's, which may be used by several
 * threads at once as long as nobody changes them. */
#include "message/security.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "core/base64.h"
#include "core/mem.h"

#define SEPARATOR     "\0\1"
#define SEPARATOR_LEN ((size_t)2)
#define SHOWN_MAX     100

struct signer {
    char *id;      /* owned */
    EVP_PKEY *key; /* owned; public */
    struct signer *next;
};

struct cel__security {
    const EVP_MD *digest;
    bool new_layout;
    EVP_PKEY *key; /* owned; NULL: nobody signs */
    char *id;      /* owned; of the own certificate */
    struct signer *trusted;
};

/* What OpenSSL says of its last failure; never NULL. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return text ? text : "it is broken";
}

/* ---- life ---- */

cel_code
cel__security_new(cel__security **out, const cel__security_options *options, cel_error *err)
{
    const char *name = options->digest ? options->digest : "sha256";
    char digest[32];
    const EVP_MD *found;
    cel__security *security;

    snprintf(digest, sizeof digest, "%s", name);
    for (char *at = digest; *at; at++)
        if (*at == '_') /* Python's sha3_256 */
            *at = '-';
    found = EVP_get_digestbyname(digest);
    if (!found || EVP_MD_get_size(found) <= 0)
        return cel_error_set(err, CEL_ECONFIG, "security_digest: '%s' is no digest", name);
    security = cel__calloc(1, sizeof *security);
    if (!security)
        return cel_error_set(err, CEL_ENOMEM, "no memory for signatures");
    security->digest = found;
    security->new_layout = options->new_layout;
    *out = security;
    return CEL_OK;
}

void cel__security_free(cel__security *security)
{
    if (!security)
        return;
    while (security->trusted) {
        struct signer *signer = security->trusted;

        security->trusted = signer->next;
        EVP_PKEY_free(signer->key);
        cel__free(signer->id);
        cel__free(signer);
    }
    EVP_PKEY_free(security->key);
    cel__free(security->id);
    cel__free(security);
}

bool cel__security_signs(const cel__security *security)
{
    return security && security->key;
}

bool cel__security_trusts(const cel__security *security)
{
    return security && security->trusted;
}

/* ---- certificates ---- */

static BIO *open_text(cel_view pem)
{
    return pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

static cel_code read_certificate(X509 **out, cel_view pem, cel_error *err)
{
    BIO *bio = open_text(pem);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    if (!certificate)
        return cel_error_set(err, CEL_ECONFIG, "it is no certificate: %s", reason());
    if (!X509_get0_pubkey(certificate) ||
        !EVP_PKEY_is_a(X509_get0_pubkey(certificate), "RSA")) {
        X509_free(certificate);
        ERR_clear_error();
        return cel_error_set(err, CEL_ECONFIG, "the certificate's key is no RSA key");
    }
    *out = certificate;
    return CEL_OK;
}

static void add_issuer(cel__buf *id, const X509_NAME *issuer)
{
    for (int i = 0; i < X509_NAME_entry_count(issuer); i++) {
        unsigned char *text = NULL;
        int len = ASN1_STRING_to_UTF8(&text,
                                      X509_NAME_ENTRY_get_data(X509_NAME_get_entry(issuer, i)));

        if (len >= 0)
            cel__buf_add(id, text, (size_t)len);
        cel__buf_add_byte(id, ' ');
        OPENSSL_free(text);
    }
}

/* The issuer's values and the serial number; owned by the caller, NULL without memory. */
static char *make_id(const X509 *certificate)
{
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *decimal = serial ? BN_bn2dec(serial) : NULL;
    cel__buf id = {0};

    add_issuer(&id, X509_get_issuer_name(certificate));
    if (decimal)
        cel__buf_add_str(&id, decimal);
    else
        id.failed = true;
    OPENSSL_free(decimal);
    BN_free(serial);
    return cel__buf_detach(&id, NULL);
}

static cel_code no_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory for signatures");
}

/* OpenSSL would ask the terminal. */
static int give_password(char *to, int size, int writing, void *user)
{
    const char *password = user;
    size_t len = password ? strlen(password) : 0;

    (void)writing;
    if (len == 0 || len > (size_t)size)
        return -1;
    memcpy(to, password, len);
    return (int)len;
}

cel_code cel__security_set_key(cel__security *security,
                               cel_view key_pem,
                               const char *password,
                               cel_view certificate_pem,
                               cel_error *err)
{
    X509 *certificate = NULL;
    cel_error wrong = {0};
    BIO *bio = open_text(key_pem);
    EVP_PKEY *key =
        bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, (void *)password) : NULL;
    cel_code code = CEL_OK;

    BIO_free(bio);
    if (!key)
        code = cel_error_set(err, CEL_ECONFIG, "security_key cannot be read: %s", reason());
    else if (!EVP_PKEY_is_a(key, "RSA"))
        code = cel_error_set(err, CEL_ECONFIG, "security_key is no RSA key");
    if (code == CEL_OK && read_certificate(&certificate, certificate_pem, &wrong) != CEL_OK)
        code = cel_error_set(err, CEL_ECONFIG, "security_certificate: %s", wrong.message);
    if (code == CEL_OK && X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        code = cel_error_set(err, CEL_ECONFIG,
                             "security_key is not the key of security_certificate");
    }
    if (code == CEL_OK) {
        char *id = make_id(certificate);

        if (id) {
            cel__free(security->id);
            EVP_PKEY_free(security->key);
            security->id = id;
            security->key = key;
            key = NULL;
        } else {
            code = no_memory(err);
        }
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    return code;
}

static const struct signer *find_signer(const cel__security *security, cel_view id)
{
    for (const struct signer *signer = security->trusted; signer; signer = signer->next)
        if (cel__view_is(id, signer->id))
            return signer;
    return NULL;
}

/* Takes the id. */
static cel_code
add_signer(cel__security *security, const X509 *certificate, char *id, cel_error *err)
{
    struct signer *signer = cel__calloc(1, sizeof *signer);

    if (!id || !signer) {
        cel__free(id);
        cel__free(signer);
        return no_memory(err);
    }
    signer->id = id;
    signer->key = X509_get_pubkey((X509 *)certificate);
    signer->next = security->trusted;
    security->trusted = signer;
    return signer->key ? CEL_OK : no_memory(err);
}

cel_code cel__security_trust(cel__security *security,
                             cel_view certificate_pem,
                             int64_t now_us,
                             cel_error *err)
{
    time_t now = (time_t)(now_us / 1000000);
    X509 *certificate;
    cel_code code = read_certificate(&certificate, certificate_pem, err);
    char *id;

    if (code)
        return code;
    id = make_id(certificate);
    if (id && X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
        code = cel_error_set(err, CEL_ECONFIG, "the certificate of '%.100s' has expired", id);
    else if (id && find_signer(security, cel__view(id)))
        code = cel_error_set(err, CEL_ECONFIG, "there are two certificates of '%.100s'", id);
    if (code)
        cel__free(id);
    else
        code = add_signer(security, certificate, id, err);
    X509_free(certificate);
    return code;
}

/* ---- signatures ---- */

/* Celery asks for the longest salt that fits, in both directions. */
static bool set_padding(EVP_PKEY_CTX *ctx, const EVP_PKEY *key, const EVP_MD *digest)
{
    int salt = (EVP_PKEY_get_bits(key) + 6) / 8 - EVP_MD_get_size(digest) - 2;

    return salt >= 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest) == 1;
}

static bool make_signature(const cel__security *security, cel_view body, cel__buf *signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t len = (size_t)EVP_PKEY_get_size(security->key);
    char *to = cel__buf_reserve(signature, len);
    EVP_PKEY_CTX *ctx; /* the md's */
    bool made = md && to &&
                EVP_DigestSignInit(md, &ctx, security->digest, NULL, security->key) == 1 &&
                set_padding(ctx, security->key, security->digest) &&
                EVP_DigestSign(md, (unsigned char *)to, &len, (const unsigned char *)body.ptr,
                               body.len) == 1;

    EVP_MD_CTX_free(md);
    ERR_clear_error();
    if (made)
        signature->len += len;
    return made;
}

static bool
is_right(const cel__security *security, EVP_PKEY *key, cel_view signature, cel_view body)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx; /* the md's */
    bool right = md && EVP_DigestVerifyInit(md, &ctx, security->digest, NULL, key) == 1 &&
                 set_padding(ctx, key, security->digest) &&
                 EVP_DigestVerify(md, (const unsigned char *)signature.ptr, signature.len,
                                  (const unsigned char *)body.ptr, body.len) == 1;

    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return right;
}

/* ---- texts ---- */

static void put_field(cel__buf *buf, cel_view field, bool base64)
{
    if (base64)
        cel__base64_encode(buf, field);
    else
        cel__buf_add_view(buf, field);
    cel__buf_add(buf, SEPARATOR, SEPARATOR_LEN);
}

cel_code cel__security_sign(const cel__security *security,
                            cel__buf *buf,
                            const cel__signed *what,
                            cel_error *err)
{
    cel__buf signature = {0}, fields = {0};
    cel_code code = CEL_OK;

    if (!cel__security_signs(security))
        return cel_error_set(err, CEL_ENOTSUP,
                             "nothing can be signed without security_key and "
                             "security_certificate");
    if (!make_signature(security, what->body, &signature)) {
        code = cel_error_set(err, CEL_ENOTSUP,
                             "it cannot be signed: security_key is too short for its digest");
    } else {
        put_field(&fields, cel__view(security->id), security->new_layout);
        put_field(&fields, cel__buf_view(&signature), security->new_layout);
        put_field(&fields, what->content_type, false);
        put_field(&fields, what->content_encoding, false);
        cel__buf_add_view(&fields, what->body);
        cel__base64_encode(buf, cel__buf_view(&fields));
        buf->failed |= fields.failed;
        code = cel__buf_check(buf, err);
    }
    cel__buf_done(&signature);
    cel__buf_done(&fields);
    return code;
}

/* Takes a field off the front of `rest`; false if there is no separator. */
static bool take_field(cel_view *field, cel_view *rest)
{
    const char *end = memmem(rest->ptr, rest->len, SEPARATOR, SEPARATOR_LEN);

    if (!end)
        return false;
    *field = (cel_view){rest->ptr, (size_t)(end - rest->ptr)};
    rest->len -= field->len + SEPARATOR_LEN;
    rest->ptr = end + SEPARATOR_LEN;
    return true;
}

/* Celery up to 5.4: the raw signature may contain the separator, so its length is the key's. */
static bool take_old_signature(cel_view *signature, cel_view *rest, const EVP_PKEY *key)
{
    size_t len = (size_t)EVP_PKEY_get_bits(key) >> 3;

    if (rest->len < len + SEPARATOR_LEN ||
        memcmp(rest->ptr + len, SEPARATOR, SEPARATOR_LEN) != 0)
        return false;
    *signature = (cel_view){rest->ptr, len};
    rest->ptr += len + SEPARATOR_LEN;
    rest->len -= len + SEPARATOR_LEN;
    return true;
}

static cel_code broken(cel_error *err)
{
    return cel_error_set(err, CEL_EPROTO, "it is no signed message");
}

static cel_code unknown(cel_view id, cel_error *err)
{
    char shown[SHOWN_MAX];
    size_t len = id.len < sizeof shown - 1 ? id.len : sizeof shown - 1;

    for (size_t i = 0; i < len; i++)
        shown[i] = id.ptr[i] >= ' ' && id.ptr[i] < 0x7f ? id.ptr[i] : '?';
    shown[len] = '\0';
    return cel_error_set(err, CEL_EPROTO,
                         "it is signed by '%s', of whom security_cert_store has no certificate",
                         shown);
}

/* The signer, and the texts: the layout is the one in which the signer is known. `decoded` gets
 * signer and signature of the new layout. */
static cel_code take_apart(const cel__security *security,
                           const struct signer **signer,
                           cel__signed *out,
                           cel_view *signature,
                           cel_view rest,
                           cel__buf *decoded,
                           cel_error *err)
{
    cel_view id;
    bool fine;

    if (!take_field(&id, &rest))
        return broken(err);
    if (!cel__buf_reserve(decoded, rest.len + id.len + 8))
        return cel__buf_check(decoded, err);
    out->signer = id;
    *signer = NULL;
    if (cel__base64_decode(decoded, id)) {
        out->signer = cel__buf_view(decoded);
        *signer = find_signer(security, out->signer);
    }
    if (*signer) {
        size_t start = decoded->len;

        fine = take_field(signature, &rest) && cel__base64_decode(decoded, *signature);
        *signature = (cel_view){decoded->ptr + start, decoded->len - start};
    } else {
        out->signer = id;
        *signer = find_signer(security, id);
        if (!*signer)
            return unknown(id, err);
        fine = take_old_signature(signature, &rest, (*signer)->key);
    }
    if (!fine || !take_field(&out->content_type, &rest) ||
        !take_field(&out->content_encoding, &rest))
        return broken(err);
    out->body = rest;
    return CEL_OK;
}

cel_code cel__security_open(const cel__security *security,
                            cel__signed *out,
                            cel_view text,
                            cel__buf *scratch,
                            cel_error *err)
{
    cel__buf decoded = {0};
    const struct signer *signer = NULL; /* gcc thinks that it may be unset */
    cel_view signature, fields;
    size_t start = scratch->len;
    cel__signed what;
    cel_code code;

    if (!cel__security_trusts(security))
        return cel_error_set(err, CEL_ENOTSUP,
                             "signed messages cannot be checked without security_cert_store");
    if (!cel__base64_decode(scratch, text))
        return scratch->failed ? cel__buf_check(scratch, err) : broken(err);
    fields = (cel_view){scratch->ptr + start, scratch->len - start};
    code = take_apart(security, &signer, &what, &signature, fields, &decoded, err);
    if (code == CEL_OK) {
        what.signer = cel__view(signer->id);
        if (is_right(security, signer->key, signature, what.body))
            *out = what;
        else
            code = cel_error_set(err, CEL_EPROTO, "the signature of '%.100s' is wrong",
                                 signer->id);
    }
    cel__buf_done(&decoded);
    return code;
}
