/* id.c - identifiers from the kernel's generator.
 *
 * One getrandom() per identifier costs a third of a microsecond; a pool of bytes would have
 * to be thrown away in every forked child, or two children would make the same ids. */
#include "core/id.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void fill_random(unsigned char *out, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = getrandom(out + done, len - done, 0);

        if (got > 0)
            done += (size_t)got;
        /* EINTR is the only error that a request of this size can meet: try again */
    }
}

void cel__uuid4(char out[CEL_UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    char *at = out;

    fill_random(bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 15];
    }
    *at = '\0';
}

uint64_t cel__random64(void)
{
    uint64_t value;

    fill_random((unsigned char *)&value, sizeof value);
    return value;
}
