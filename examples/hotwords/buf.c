/* buf.c - a growing array of bytes. */
#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_BYTES 64
#define READ_BYTES  65536

void *hw_grow(void *items, size_t *cap, size_t size, size_t want)
{
    size_t next = *cap < SIZE_MAX / 2 / size ? *cap * 2 : SIZE_MAX / size;
    void *grown;

    if (want <= *cap && items)
        return items;
    if (next < FIRST_BYTES / size + 1)
        next = FIRST_BYTES / size + 1;
    if (next < want)
        next = want;
    if (next > SIZE_MAX / size)
        return NULL;
    grown = realloc(items, next * size);
    if (grown)
        *cap = next;
    return grown;
}

void hw_buf_done(hw_buf *buf)
{
    free(buf->bytes);
    *buf = (hw_buf){0};
}

bool hw_buf_reserve(hw_buf *buf, size_t more)
{
    char *grown;

    if (more <= buf->cap - buf->len)
        return true;
    if (more > SIZE_MAX - buf->len)
        return false;
    grown = hw_grow(buf->bytes, &buf->cap, 1, buf->len + more);
    if (!grown)
        return false;
    buf->bytes = grown;
    return true;
}

bool hw_buf_add(hw_buf *buf, const void *bytes, size_t len)
{
    if (!hw_buf_reserve(buf, len))
        return false;
    if (len > 0)
        memcpy(buf->bytes + buf->len, bytes, len);
    buf->len += len;
    return true;
}

bool hw_buf_add_byte(hw_buf *buf, char byte)
{
    if (!hw_buf_reserve(buf, 1))
        return false;
    buf->bytes[buf->len++] = byte;
    return true;
}

hw_code hw_buf_add_file(hw_buf *buf, const char *path, hw_error *err)
{
    const size_t before = buf->len;
    hw_code code = HW_OK;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return hw_fail_file(err, "open", path, errno);
    do {
        if (!hw_buf_reserve(buf, READ_BYTES)) {
            code = hw_fail_memory(err);
            break;
        }
        got = read(fd, buf->bytes + buf->len, READ_BYTES);
        if (got > 0)
            buf->len += (size_t)got;
        else if (got < 0 && errno != EINTR)
            code = hw_fail_file(err, "read", path, errno);
    } while (code == HW_OK && got != 0);
    close(fd);
    if (code != HW_OK)
        buf->len = before;
    return code;
}
