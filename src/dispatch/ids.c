/* ids.c - see ids.h. */
#include "dispatch/ids.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

/* uuid5(NAMESPACE_DNS, "celeriac.dispatch") */
static const unsigned char name_space[16] = {0xd7, 0x60, 0x83, 0xb0, 0xd4, 0xba, 0x56, 0xaf,
                                             0xad, 0x6a, 0x22, 0x8c, 0xe7, 0xf3, 0x5a, 0x20};

static bool hash(unsigned char *out, const EVP_MD *md, const cel_view *pieces, size_t count)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, md, NULL);

    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(context, pieces[i].ptr, pieces[i].len);
    ok = ok && EVP_DigestFinal_ex(context, out, NULL);
    EVP_MD_CTX_free(context);
    return ok;
}

bool cel__dispatch_id(char out[CEL_UUID_LEN + 1], cel_view correlation_id, uint64_t n)
{
    unsigned char b[EVP_MAX_MD_SIZE];
    char number[24];
    int len = snprintf(number, sizeof number, "%" PRIu64 ":", n);
    cel_view pieces[] = {
        {(const char *)name_space, sizeof name_space}, {number, (size_t)len}, correlation_id};

    if (!hash(b, EVP_sha1(), pieces, 3))
        return false;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x50);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, CEL_UUID_LEN + 1,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return true;
}

bool cel__dispatch_digest(char out[CEL_DIGEST_LEN + 1], cel_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];

    if (!hash(raw, EVP_sha256(), &bytes, 1))
        return false;
    for (size_t i = 0; i < CEL_DIGEST_LEN / 2; i++) {
        out[2 * i] = digits[raw[i] >> 4];
        out[2 * i + 1] = digits[raw[i] & 15];
    }
    out[CEL_DIGEST_LEN] = '\0';
    return true;
}
