/* security_test.c - signed texts. Keys and certificates are made here; that Python reads them is in
 * tests/integration/serializer_test.py. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base64.h"
#include "core/mem.h"
#include "message/serializer.h"

#define NOW_US INT64_C(1700000000000000)
#define YEAR_S 31536000L

static cel__buf keys[3], certificates[3]; /* alice, bob, and alice's of yesteryear */
enum {
    ALICE,
    BOB,
    OLD
};

static void keep(cel__buf *to, BIO *bio)
{
    char *text;
    long len = BIO_get_mem_data(bio, &text);

    cel__buf_add(to, text, (size_t)len);
    BIO_free(bio);
}

static void make_pair(int which, const char *name, long until_s)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);
    X509 *certificate = X509_new();
    X509_NAME *issuer = X509_NAME_new();
    BIO *bio = BIO_new(BIO_s_mem());

    X509_NAME_add_entry_by_txt(issuer, "C", MBSTRING_ASC, (const unsigned char *)"SE", -1, -1,
                               0);
    X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 42);
    X509_set_issuer_name(certificate, issuer);
    X509_set_subject_name(certificate, issuer);
    ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(NOW_US / 1000000) - 2 * YEAR_S);
    ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(NOW_US / 1000000) + until_s);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    keep(&keys[which], bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    keep(&certificates[which], bio);
    X509_NAME_free(issuer);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int make_pairs(void **state)
{
    (void)state;
    make_pair(ALICE, "alice", YEAR_S);
    make_pair(BOB, "bob\xc3\xa9", YEAR_S);
    make_pair(OLD, "old", -1);
    return 0;
}

static int drop_pairs(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        cel__buf_done(&keys[i]);
        cel__buf_done(&certificates[i]);
    }
    return 0;
}

static cel__security *person(int which, int trusted, bool new_layout)
{
    cel__security *security = NULL;
    cel_error err = {0};

    assert_int_equal(
        cel__security_new(&security, &(cel__security_options){.new_layout = new_layout}, &err),
        CEL_OK);
    if (cel__security_set_key(security, cel__buf_view(&keys[which]), NULL,
                              cel__buf_view(&certificates[which]), &err) ||
        cel__security_trust(security, cel__buf_view(&certificates[trusted]), NOW_US, &err))
        fail_msg("%s", err.message);
    return security;
}

static const cel__signed letter = {.content_type = {"application/json", 16},
                                   .content_encoding = {"utf-8", 5},
                                   .body = {"[1, \"\0\1\"]", 9}};

static void what_is_signed_is_read_in_both_layouts(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        cel__security *alice = person(ALICE, BOB, layout), *bob = person(BOB, ALICE, false);
        cel__buf text = {0}, scratch = {0};
        cel__signed got;
        cel_error err = {0};

        assert_int_equal(cel__security_sign(alice, &text, &letter, NULL), CEL_OK);
        if (cel__security_open(bob, &got, cel__buf_view(&text), &scratch, &err))
            fail_msg("%s", err.message);
        assert_true(cel__view_is(got.signer, "SE alice 42"));
        assert_true(cel__view_eq(got.content_type, letter.content_type));
        assert_true(cel__view_eq(got.content_encoding, letter.content_encoding));
        assert_true(cel__view_eq(got.body, letter.body));
        cel__buf_done(&text);
        cel__buf_done(&scratch);
        cel__security_free(alice);
        cel__security_free(bob);
    }
}

static void a_stranger_is_named(void **state)
{
    cel__security *alice = person(ALICE, ALICE, false), *bob = person(BOB, BOB, false);
    cel__buf text = {0}, scratch = {0};
    cel__signed got;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel__security_sign(bob, &text, &letter, NULL), CEL_OK);
    assert_int_equal(cel__security_open(alice, &got, cel__buf_view(&text), &scratch, &err),
                     CEL_EPROTO);
    assert_string_equal(err.message, "it is signed by 'SE bob?? 42', of whom "
                                     "security_cert_store has no certificate");
    cel__buf_done(&text);
    cel__buf_done(&scratch);
    cel__security_free(alice);
    cel__security_free(bob);
}

/* Whatever byte is changed: no other text passes for the one that was signed. */
static void a_changed_text_is_refused(void **state)
{
    cel__security *alice = person(ALICE, ALICE, false);
    cel__buf text = {0}, raw = {0};

    (void)state;
    assert_int_equal(cel__security_sign(alice, &text, &letter, NULL), CEL_OK);
    assert_true(cel__base64_decode(&raw, cel__buf_view(&text)));
    for (size_t at = 0; at < raw.len; at++) {
        cel__buf changed = {0}, scratch = {0};
        cel__signed got;
        cel_error err = {0};

        raw.ptr[at] ^= 0x20;
        cel__base64_encode(&changed, cel__buf_view(&raw));
        raw.ptr[at] ^= 0x20;
        if (cel__security_open(alice, &got, cel__buf_view(&changed), &scratch, &err) == CEL_OK)
            assert_true(cel__view_eq(got.body, letter.body)); /* only its types were changed */
        else
            assert_int_equal(err.code, CEL_EPROTO);
        cel__buf_done(&changed);
        cel__buf_done(&scratch);
    }
    for (size_t len = 0; len < text.len; len++) {
        cel__buf scratch = {0};
        cel__signed got;
        char *copy = malloc(len + 1);

        memcpy(copy, text.ptr, len);
        assert_int_not_equal(
            cel__security_open(alice, &got, (cel_view){copy, len}, &scratch, NULL), CEL_OK);
        cel__buf_done(&scratch);
        free(copy);
    }
    cel__buf_done(&text);
    cel__buf_done(&raw);
    cel__security_free(alice);
}

static void a_wrong_configuration_says_what(void **state)
{
    cel__security *security = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(
        cel__security_new(&security, &(cel__security_options){.digest = "crc"}, &err),
        CEL_ECONFIG);
    assert_string_equal(err.message, "security_digest: 'crc' is no digest");
    assert_int_equal(cel__security_new(&security, &(cel__security_options){0}, &err), CEL_OK);
    assert_int_equal(cel__security_set_key(security, CEL_VIEW("nonsense"), NULL,
                                           cel__buf_view(&certificates[ALICE]), &err),
                     CEL_ECONFIG);
    assert_non_null(strstr(err.message, "security_key cannot be read"));
    assert_int_equal(cel__security_set_key(security, cel__buf_view(&keys[BOB]), NULL,
                                           cel__buf_view(&certificates[ALICE]), &err),
                     CEL_ECONFIG);
    assert_string_equal(err.message, "security_key is not the key of security_certificate");
    assert_int_equal(
        cel__security_trust(security, cel__buf_view(&certificates[OLD]), NOW_US, &err),
        CEL_ECONFIG);
    assert_string_equal(err.message, "the certificate of 'SE old 42' has expired");
    assert_int_equal(
        cel__security_trust(security, cel__buf_view(&certificates[BOB]), NOW_US, &err), CEL_OK);
    assert_int_equal(
        cel__security_trust(security, cel__buf_view(&certificates[BOB]), NOW_US, &err),
        CEL_ECONFIG);
    assert_non_null(strstr(err.message, "two certificates"));
    assert_int_equal(cel__security_trust(security, cel__buf_view(&keys[BOB]), NOW_US, &err),
                     CEL_ECONFIG);
    assert_false(cel__security_signs(security));
    assert_false(cel__security_signs(NULL));
    assert_false(cel__security_trusts(NULL));
    cel__security_free(security);
    cel__security_free(NULL);
}

static void the_serializer_auth_signs_json(void **state)
{
    cel__security *alice = person(ALICE, ALICE, true);
    cel__coding coding = {.serializer = CEL_SERIALIZER_AUTH,
                          .accepted = CEL__ACCEPTS(CEL_SERIALIZER_AUTH),
                          .security = alice};
    cel__buf text = {0}, scratch = {0};
    cel_view got;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel__encode(&text, CEL_SERIALIZER_AUTH, &coding, CEL_VIEW("[1]"), NULL),
                     CEL_OK);
    assert_int_equal(
        cel__decode(&got, CEL_SERIALIZER_AUTH, &coding, cel__buf_view(&text), &scratch, NULL),
        CEL_OK);
    assert_true(cel__view_is(got, "[1]"));
    assert_int_equal(
        cel__encode(&text, CEL_SERIALIZER_AUTH, &cel__coding_json, CEL_VIEW("[1]"), &err),
        CEL_ENOTSUP);
    cel__buf_reset(&text); /* pickle stays refused, signed or not */
    assert_int_equal(
        cel__security_sign(alice, &text,
                           &(cel__signed){
                               .content_type = CEL_VIEW("application/x-python-serialize"),
                               .content_encoding = CEL_VIEW("binary"),
                               .body = CEL_VIEW("\x80\x04N."),
                           },
                           NULL),
        CEL_OK);
    assert_int_equal(
        cel__decode(&got, CEL_SERIALIZER_AUTH, &coding, cel__buf_view(&text), &scratch, &err),
        CEL_ENOTSUP);
    assert_non_null(strstr(err.message, "pickle"));
    cel__buf_done(&text);
    cel__buf_done(&scratch);
    cel__security_free(alice);
}

static void no_memory_is_an_error(void **state)
{
    cel__security *alice = person(ALICE, ALICE, true);
    cel__buf text = {0};
    cel_code code = CEL_ENOMEM;

    (void)state;
    for (unsigned n = 1; code == CEL_ENOMEM && n < 50; n++) {
        cel__buf_done(&text);
        cel__mem_fail_at(n);
        code = cel__security_sign(alice, &text, &letter, NULL);
        cel__mem_fail_at(0);
    }
    cel__buf_done(&text);
    assert_int_equal(cel__security_sign(alice, &text, &letter, NULL), CEL_OK);
    code = CEL_ENOMEM;
    for (unsigned n = 1; code == CEL_ENOMEM && n < 50; n++) {
        cel__buf scratch = {0};
        cel__signed got;

        cel__mem_fail_at(n);
        code = cel__security_open(alice, &got, cel__buf_view(&text), &scratch, NULL);
        cel__mem_fail_at(0);
        cel__buf_done(&scratch);
    }
    assert_int_equal(code, CEL_OK);
    cel__buf_done(&text);
    cel__security_free(alice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_read_in_both_layouts),
        cmocka_unit_test(a_stranger_is_named),
        cmocka_unit_test(a_changed_text_is_refused),
        cmocka_unit_test(a_wrong_configuration_says_what),
        cmocka_unit_test(the_serializer_auth_signs_json),
        cmocka_unit_test(no_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_pairs, drop_pairs);
}
