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

static void write_uuid(char *out, unsigned char bytes[16], int version)
{
    static const char hex[] = "0123456789abcdef";
    char *at = out;

    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 15];
    }
    *at = '\0';
}

void cel__uuid4(char out[CEL_UUID_LEN + 1])
{
    unsigned char bytes[16];

    fill_random(bytes, sizeof bytes);
    write_uuid(out, bytes, 4);
}

void cel__uuid7_from(char out[CEL_UUID_LEN + 1], unsigned char bytes[16])
{
    struct timespec now;
    uint64_t ms, part;

    clock_gettime(CLOCK_REALTIME, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    part = (uint64_t)now.tv_nsec % 1000000 * 4096 / 1000000;
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
    bytes[6] = (unsigned char)(part >> 8);
    bytes[7] = (unsigned char)part;
    write_uuid(out, bytes, 7);
}

void cel__uuid7(char out[CEL_UUID_LEN + 1])
{
    unsigned char bytes[16];

    fill_random(bytes, sizeof bytes);
    cel__uuid7_from(out, bytes);
}

uint64_t cel__random64(void)
{
    uint64_t value;

    fill_random((unsigned char *)&value, sizeof value);
    return value;
}
