/* protocol.c - the frame codec. All integers go through memcpy-free byte shifts, so that it
 * reads the same on any machine; compilers make single loads and stores of them. */
#include "pool/protocol.h"

#include <assert.h>

static void put_u32(char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(unsigned char)(value >> 8 * i);
}

static void put_u64(char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (char)(unsigned char)(value >> 8 * i);
}

static uint32_t get_u32(const char *from)
{
    const unsigned char *at = (const unsigned char *)from;

    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const char *from)
{
    return get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

size_t cel__frame_begin(cel__buf *buf, cel_frame_type type, uint64_t request_id)
{
    size_t start = buf->len;
    char *head = cel__buf_reserve(buf, CEL_FRAME_HEAD);

    if (!head)
        return start;
    put_u32(head, CEL_FRAME_HEAD - 4);
    head[4] = (char)type;
    head[5] = head[6] = head[7] = 0;
    put_u64(head + 8, request_id);
    buf->len += CEL_FRAME_HEAD;
    return start;
}

void cel__frame_end(cel__buf *buf, size_t start)
{
    if (buf->failed)
        return;
    assert(buf->len >= start + CEL_FRAME_HEAD);
    if (buf->len - start > CEL_FRAME_MAX) {
        buf->failed = true;
        return;
    }
    put_u32(buf->ptr + start, (uint32_t)(buf->len - start - 4));
}

size_t cel__section_begin(cel__buf *buf, cel_section_tag tag)
{
    size_t start = buf->len;
    char *head = cel__buf_reserve(buf, CEL_SECTION_HEAD);

    if (!head)
        return start;
    head[0] = (char)tag;
    head[1] = head[2] = head[3] = 0;
    put_u32(head + 4, 0);
    buf->len += CEL_SECTION_HEAD;
    return start;
}

void cel__section_end(cel__buf *buf, size_t start)
{
    if (buf->failed)
        return;
    assert(buf->len >= start + CEL_SECTION_HEAD);
    if (buf->len - start > CEL_FRAME_MAX) {
        buf->failed = true;
        return;
    }
    put_u32(buf->ptr + start + 4, (uint32_t)(buf->len - start - CEL_SECTION_HEAD));
}

void cel__section_add(cel__buf *buf, cel_section_tag tag, cel_view bytes)
{
    size_t start;

    if (!bytes.ptr)
        return;
    start = cel__section_begin(buf, tag);
    cel__buf_add_view(buf, bytes);
    cel__section_end(buf, start);
}

void cel__section_add_int(cel__buf *buf, cel_section_tag tag, int64_t value)
{
    char bytes[8];

    put_u64(bytes, (uint64_t)value);
    cel__section_add(buf, tag, (cel_view){bytes, sizeof bytes});
}

int64_t cel__frame_need(cel_view bytes)
{
    uint32_t length;

    if (bytes.len < 4)
        return 0;
    length = get_u32(bytes.ptr);
    if (length < CEL_FRAME_HEAD - 4 || length > CEL_FRAME_MAX - 4)
        return -1;
    return (int64_t)length + 4;
}

int64_t cel__frame_read(cel_frame *out, cel_view bytes)
{
    int64_t need = cel__frame_need(bytes);

    if (need <= 0)
        return need;
    if ((uint64_t)need > bytes.len)
        return 0;
    out->type = (cel_frame_type)(unsigned char)bytes.ptr[4];
    out->flags = (uint8_t)bytes.ptr[5];
    out->request_id = get_u64(bytes.ptr + 8);
    out->sections = (cel_view){bytes.ptr + CEL_FRAME_HEAD, (size_t)need - CEL_FRAME_HEAD};
    return need;
}

bool cel__section_next(cel_view *rest, cel_section_tag *tag, cel_view *bytes)
{
    uint32_t length;

    if (!rest->ptr || rest->len == 0)
        return false;
    if (rest->len < CEL_SECTION_HEAD)
        goto malformed;
    length = get_u32(rest->ptr + 4);
    if (length > rest->len - CEL_SECTION_HEAD)
        goto malformed;
    *tag = (cel_section_tag)(unsigned char)rest->ptr[0];
    *bytes = (cel_view){rest->ptr + CEL_SECTION_HEAD, length};
    rest->ptr += CEL_SECTION_HEAD + length;
    rest->len -= CEL_SECTION_HEAD + length;
    return true;

malformed:
    *rest = (cel_view){NULL, 0};
    return false;
}

bool cel__sections_valid(cel_view sections)
{
    cel_section_tag tag;
    cel_view bytes;

    while (cel__section_next(&sections, &tag, &bytes))
        ;
    return sections.ptr != NULL;
}

cel_view cel__section_find(cel_view sections, cel_section_tag tag)
{
    cel_section_tag found;
    cel_view bytes;

    while (cel__section_next(&sections, &found, &bytes)) {
        if (found == tag)
            return bytes;
    }
    return (cel_view){NULL, 0};
}

bool cel__section_int(cel_view bytes, int64_t *value)
{
    if (!bytes.ptr || bytes.len != 8)
        return false;
    *value = (int64_t)get_u64(bytes.ptr);
    return true;
}
