/* typed.c - see typed.h. */
#include "message/typed.h"

#include "core/base64.h"
#include "core/utf8.h"

cel__typed cel__typed_read(cel_jvalue object, cel_jvalue *value)
{
    static const char *const names[] = {"", "bytes", "base64", "datetime", "date"};
    cel_jvalue key, member, type = {CEL_JSON_NONE, {NULL, 0}}, found = type;
    cel_jscan scan;

    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &member)) {
        if (member.type != CEL_JSON_STRING)
            return CEL__TYPED_NONE;
        if (cel__jscan_is(key, "__type__"))
            type = member;
        else if (cel__jscan_is(key, "__value__"))
            found = member;
        else
            return CEL__TYPED_NONE;
    }
    for (size_t i = 1; found.text.ptr && i < sizeof names / sizeof *names; i++)
        if (cel__jscan_is(type, names[i])) {
            *value = found;
            return (cel__typed)i;
        }
    return CEL__TYPED_NONE;
}

static void begin(cel__buf *buf, const char *type)
{
    cel__buf_add_str(buf, "{\"__type__\": \"");
    cel__buf_add_str(buf, type);
    cel__buf_add_str(buf, "\", \"__value__\": ");
}

void cel__typed_add(cel__buf *buf, const char *type, cel_view value)
{
    begin(buf, type);
    cel__buf_add_json(buf, value);
    cel__buf_add_byte(buf, '}');
}

void cel__typed_add_bytes(cel__buf *buf, cel_view bytes)
{
    if (cel__utf8_valid(bytes.ptr, bytes.len)) {
        cel__typed_add(buf, "bytes", bytes);
        return;
    }
    begin(buf, "base64");
    cel__buf_add_byte(buf, '"');
    cel__base64_encode(buf, bytes);
    cel__buf_add(buf, "\"}", 2);
}
