/* msgpack.c - MessagePack from and to JSON text. Numbers are big-endian behind a type byte. */
#include "message/msgpack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/jscan.h"
#include "core/number.h"
#include "core/utf8.h"
#include "message/typed.h"

enum {
    NIL = 0xc0,
    FALSE = 0xc2,
    TRUE = 0xc3,
    BIN8 = 0xc4,
    FLOAT32 = 0xca,
    FLOAT64 = 0xcb,
    UINT8 = 0xcc, /* 16, 32 and 64 bits follow */
    INT8 = 0xd0,
    STR8 = 0xd9,
    ARRAY16 = 0xdc,
    MAP16 = 0xde,
};

/* ---- reading ---- */

struct reader {
    const unsigned char *at, *end;
    cel__buf *out;
    size_t limit; /* of out->len */
    unsigned depth;
    cel_error *err;
};

static cel_code cut_short(const struct reader *in)
{
    return cel_error_set(in->err, CEL_EPROTO, "the msgpack ends in the middle of a value");
}

/* Reads `len` bytes as one number; false at the end of the text. */
static bool take(struct reader *in, unsigned len, uint64_t *value)
{
    if ((size_t)(in->end - in->at) < len)
        return false;
    *value = 0;
    while (len-- > 0)
        *value = *value << 8 | *in->at++;
    return true;
}

static bool take_bytes(struct reader *in, uint64_t len, cel_view *bytes)
{
    if ((size_t)(in->end - in->at) < len)
        return false;
    *bytes = (cel_view){(const char *)in->at, (size_t)len};
    in->at += len;
    return true;
}

static cel_code put_text(struct reader *in, uint64_t len)
{
    cel_view text;

    if (!take_bytes(in, len, &text))
        return cut_short(in);
    if (!cel__utf8_valid(text.ptr, text.len))
        return cel_error_set(in->err, CEL_EPROTO, "a msgpack string is no UTF-8");
    cel__buf_add_json(in->out, text);
    return CEL_OK;
}

static cel_code put_bytes(struct reader *in, uint64_t len)
{
    cel_view bytes;

    if (!take_bytes(in, len, &bytes))
        return cut_short(in);
    cel__typed_add_bytes(in->out, bytes);
    return CEL_OK;
}

static void put_double(cel__buf *out, double value)
{
    char text[CEL_DOUBLE_TEXT];

    if (isnan(value))
        cel__buf_add_str(out, "NaN");
    else if (isinf(value))
        cel__buf_add_str(out, value > 0 ? "Infinity" : "-Infinity");
    else
        cel__buf_add(out, text, cel__double_format(text, value));
}

static cel_code put_float(struct reader *in, unsigned len)
{
    uint64_t bits;
    uint32_t half;
    double value;
    float single;

    if (!take(in, len, &bits))
        return cut_short(in);
    half = (uint32_t)bits;
    memcpy(&single, &half, sizeof single);
    memcpy(&value, &bits, sizeof value);
    put_double(in->out, len == 4 ? (double)single : value);
    return CEL_OK;
}

static cel_code put_unsigned(struct reader *in, unsigned len)
{
    uint64_t value;

    if (!take(in, len, &value))
        return cut_short(in);
    cel__buf_addf(in->out, "%llu", (unsigned long long)value);
    return CEL_OK;
}

static cel_code put_signed(struct reader *in, unsigned len)
{
    unsigned shift = 64 - 8 * len;
    uint64_t value;

    if (!take(in, len, &value))
        return cut_short(in);
    cel__buf_add_int(in->out, (int64_t)(value << shift) >> shift);
    return CEL_OK;
}

static cel_code put_value(struct reader *in);

static cel_code put_array(struct reader *in, uint64_t count)
{
    cel__buf_add_byte(in->out, '[');
    for (uint64_t i = 0; i < count; i++) {
        cel_code code;

        if (i > 0)
            cel__buf_add(in->out, ", ", 2);
        code = put_value(in);
        if (code)
            return code;
    }
    cel__buf_add_byte(in->out, ']');
    return CEL_OK;
}

/* Whether a type byte begins a string; the length of its length in *len. */
static bool is_text(unsigned char type, unsigned *len, uint64_t *count)
{
    *len = 0;
    *count = type & 31;
    if (type >= STR8 && type <= STR8 + 2)
        *len = 1u << (type - STR8);
    return type >> 5 == 5 || *len > 0;
}

static cel_code put_key(struct reader *in)
{
    unsigned len;
    uint64_t count;

    if (in->at == in->end)
        return cut_short(in);
    if (!is_text(*in->at, &len, &count))
        return cel_error_set(in->err, CEL_EPROTO, "a key of a msgpack map is no string");
    in->at++;
    if (len > 0 && !take(in, len, &count))
        return cut_short(in);
    return put_text(in, count);
}

static cel_code put_map(struct reader *in, uint64_t count)
{
    cel__buf_add_byte(in->out, '{');
    for (uint64_t i = 0; i < count; i++) {
        cel_code code;

        if (i > 0)
            cel__buf_add(in->out, ", ", 2);
        code = put_key(in);
        if (code)
            return code;
        cel__buf_add(in->out, ": ", 2);
        code = put_value(in);
        if (code)
            return code;
    }
    cel__buf_add_byte(in->out, '}');
    return CEL_OK;
}

/* What has a length of `len` bytes before it. */
static cel_code
put_counted(struct reader *in, unsigned len, cel_code (*put)(struct reader *in, uint64_t count))
{
    uint64_t count;

    return take(in, len, &count) ? put(in, count) : cut_short(in);
}

/* The types from 0xc0 to 0xdf. */
static cel_code put_typed(struct reader *in, unsigned char type)
{
    unsigned len;
    uint64_t count;

    if (is_text(type, &len, &count))
        return put_counted(in, len, put_text);
    switch (type) {
    case NIL:
        cel__buf_add_str(in->out, "null");
        return CEL_OK;
    case FALSE:
        cel__buf_add_str(in->out, "false");
        return CEL_OK;
    case TRUE:
        cel__buf_add_str(in->out, "true");
        return CEL_OK;
    case FLOAT32:
    case FLOAT64:
        return put_float(in, type == FLOAT32 ? 4 : 8);
    case ARRAY16:
    case ARRAY16 + 1:
        return put_counted(in, type == ARRAY16 ? 2 : 4, put_array);
    case MAP16:
    case MAP16 + 1:
        return put_counted(in, type == MAP16 ? 2 : 4, put_map);
    default:
        if (type >= BIN8 && type <= BIN8 + 2)
            return put_counted(in, 1u << (type - BIN8), put_bytes);
        if (type >= UINT8 && type <= UINT8 + 3)
            return put_unsigned(in, 1u << (type - UINT8));
        if (type >= INT8 && type <= INT8 + 3)
            return put_signed(in, 1u << (type - INT8));
        return cel_error_set(in->err, CEL_EPROTO,
                             "msgpack of type 0x%02x (an extension) is not supported", type);
    }
}

static cel_code put_any(struct reader *in, unsigned char type)
{
    if (type < 0x80 || type >= 0xe0) {
        cel__buf_add_int(in->out, (int8_t)type);
        return CEL_OK;
    }
    if (type < 0x90)
        return put_map(in, type & 15);
    if (type < 0xa0)
        return put_array(in, type & 15);
    if (type < 0xc0)
        return put_text(in, type & 31);
    return put_typed(in, type);
}

static cel_code put_value(struct reader *in)
{
    cel_code code;

    if (in->at == in->end)
        return cut_short(in);
    if (in->depth >= CEL_JSCAN_DEPTH)
        return cel_error_set(in->err, CEL_EPROTO, "the msgpack nests more than %d levels deep",
                             CEL_JSCAN_DEPTH);
    in->depth++;
    code = put_any(in, *in->at++);
    in->depth--;
    if (code)
        return code;
    if (in->out->len > in->limit)
        return cel_error_set(in->err, CEL_EFULL, "the msgpack is too long as JSON");
    return in->out->failed ? cel__buf_check(in->out, in->err) : CEL_OK;
}

cel_code cel__msgpack_to_json(cel__buf *buf, cel_view bytes, size_t max_bytes, cel_error *err)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t room = SIZE_MAX - buf->len;
    struct reader in = {.at = at,
                        .end = at ? at + bytes.len : at,
                        .out = buf,
                        .limit = buf->len + (max_bytes < room ? max_bytes : room),
                        .err = err};
    cel_code code = put_value(&in);

    if (code == CEL_OK && in.at != in.end)
        return cel_error_set(err, CEL_EPROTO, "there is something behind the msgpack");
    return code;
}

/* ---- writing ---- */

struct writer {
    cel__buf *out;
    cel__buf text; /* of one string */
    cel_error *err;
};

static void give(cel__buf *out, unsigned char type, uint64_t value, unsigned len)
{
    char bytes[9] = {(char)type};

    for (unsigned i = 0; i < len; i++)
        bytes[1 + i] = (char)(value >> 8 * (len - 1 - i));
    cel__buf_add(out, bytes, 1 + len);
}

/* The shortest head for `count`: `small` holds it in the type byte if it is below `small_max`;
 * `type8` is 0 where there is no form with one byte. */
static cel_code give_head(struct writer *to,
                          unsigned char small,
                          size_t small_max,
                          unsigned char type8,
                          unsigned char type16,
                          size_t count)
{
    if (count < small_max)
        give(to->out, (unsigned char)(small | count), 0, 0);
    else if (type8 && count <= UINT8_MAX)
        give(to->out, type8, count, 1);
    else if (count <= UINT16_MAX)
        give(to->out, type16, count, 2);
    else if (count <= UINT32_MAX)
        give(to->out, (unsigned char)(type16 + 1), count, 4);
    else
        return cel_error_set(to->err, CEL_EINVAL, "a value is too long for msgpack");
    return CEL_OK;
}

static cel_code give_text(struct writer *to, cel_jvalue string)
{
    cel_view text;
    cel_code code;

    cel__buf_reset(&to->text);
    text = cel__jscan_view(string, &to->text);
    if (to->text.failed)
        return cel__buf_check(&to->text, to->err);
    if (!cel__utf8_valid(text.ptr, text.len))
        return cel_error_set(to->err, CEL_EINVAL,
                             "a string is no Unicode: msgpack cannot hold "
                             "half a surrogate pair");
    code = give_head(to, 0xa0, 32, STR8, STR8 + 1, text.len);
    cel__buf_add_view(to->out, text);
    return code;
}

static cel_code give_bytes(struct writer *to, cel_jvalue string, bool base64)
{
    cel__buf plain = {0};
    cel_view bytes;
    cel_code code = CEL_OK;

    cel__buf_reset(&to->text);
    bytes = cel__jscan_view(string, &to->text);
    if (to->text.failed)
        return cel__buf_check(&to->text, to->err);
    if (base64 && !cel__base64_decode(&plain, bytes))
        code = plain.failed ? cel__buf_check(&plain, to->err)
                            : cel_error_set(to->err, CEL_EINVAL, "bytes are no base64");
    if (base64)
        bytes = cel__buf_view(&plain);
    if (code == CEL_OK)
        code = give_head(to, 0, 0, BIN8, BIN8 + 1, bytes.len);
    if (code == CEL_OK)
        cel__buf_add_view(to->out, bytes);
    cel__buf_done(&plain);
    return code;
}

static void give_int(cel__buf *out, int64_t value)
{
    if (value >= -32 && value < 128)
        give(out, (unsigned char)value, 0, 0);
    else if (value < 0 && value >= INT8_MIN)
        give(out, INT8, (uint64_t)value, 1);
    else if (value >= 0 && value <= UINT8_MAX)
        give(out, UINT8, (uint64_t)value, 1);
    else if (value < 0 && value >= INT16_MIN)
        give(out, INT8 + 1, (uint64_t)value, 2);
    else if (value >= 0 && value <= UINT16_MAX)
        give(out, UINT8 + 1, (uint64_t)value, 2);
    else if (value < 0 && value >= INT32_MIN)
        give(out, INT8 + 2, (uint64_t)value, 4);
    else if (value >= 0 && value <= UINT32_MAX)
        give(out, UINT8 + 2, (uint64_t)value, 4);
    else
        give(out, value < 0 ? INT8 + 3 : UINT8 + 3, (uint64_t)value, 8);
}

/* Digits only, at most 20 of them. */
static bool read_unsigned(cel_view digits, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9' ||
            __builtin_mul_overflow(*value, (uint64_t)10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(digits.ptr[i] - '0'), value))
            return false;
    return digits.len > 0;
}

static cel_code give_number(struct writer *to, cel_jvalue number)
{
    uint64_t bits;
    int64_t value;
    double real;

    if (cel__jscan_int(number, &value)) {
        give_int(to->out, value);
        return CEL_OK;
    }
    if (number.type == CEL_JSON_INTEGER) {
        if (!read_unsigned(number.text, &bits))
            return cel_error_set(to->err, CEL_EINVAL,
                                 "an integer has more than 64 bits: msgpack cannot hold it");
        give(to->out, UINT8 + 3, bits, 8);
        return CEL_OK;
    }
    if (!cel__jscan_double(number, &real))
        real = number.text.ptr[0] == 'N' ? (double)NAN
                                         : (number.text.ptr[0] == '-' ? -HUGE_VAL : HUGE_VAL);
    memcpy(&bits, &real, sizeof bits);
    give(to->out, FLOAT64, bits, 8);
    return CEL_OK;
}

static cel_code give_value(struct writer *to, cel_jvalue value);

static cel_code give_array(struct writer *to, cel_jvalue array)
{
    cel_jvalue member;
    size_t count = 0;
    cel_jscan scan;
    cel_code code;

    cel__jscan_array(&scan, array);
    while (cel__jscan_next(&scan, &member))
        count++;
    code = give_head(to, 0x90, 16, 0, ARRAY16, count);
    cel__jscan_array(&scan, array);
    while (code == CEL_OK && cel__jscan_next(&scan, &member))
        code = give_value(to, member);
    return code;
}

static cel_code give_object(struct writer *to, cel_jvalue object)
{
    cel_jvalue key, member;
    size_t count = 0;
    cel_jscan scan;
    cel__typed typed = cel__typed_read(object, &member);
    cel_code code;

    if (typed == CEL__TYPED_BYTES || typed == CEL__TYPED_BASE64)
        return give_bytes(to, member, typed == CEL__TYPED_BASE64);
    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &member))
        count++;
    code = give_head(to, 0x80, 16, 0, MAP16, count);
    cel__jscan_object(&scan, object);
    while (code == CEL_OK && cel__jscan_next_member(&scan, &key, &member)) {
        code = give_text(to, key);
        if (code == CEL_OK)
            code = give_value(to, member);
    }
    return code;
}

static cel_code give_value(struct writer *to, cel_jvalue value)
{
    switch (value.type) {
    case CEL_JSON_NONE:
    case CEL_JSON_NULL:
        give(to->out, NIL, 0, 0);
        return CEL_OK;
    case CEL_JSON_FALSE:
    case CEL_JSON_TRUE:
        give(to->out, value.type == CEL_JSON_TRUE ? TRUE : FALSE, 0, 0);
        return CEL_OK;
    case CEL_JSON_INTEGER:
    case CEL_JSON_REAL:
        return give_number(to, value);
    case CEL_JSON_STRING:
        return give_text(to, value);
    case CEL_JSON_ARRAY:
        return give_array(to, value);
    case CEL_JSON_OBJECT:
        return give_object(to, value);
    }
    return CEL_OK;
}

cel_code cel__msgpack_from_json(cel__buf *buf, cel_view json, cel_error *err)
{
    struct writer to = {.out = buf, .err = err};
    cel_jvalue value;
    cel_error wrong = {0};
    cel_code code = cel__jscan_value(&value, json, &wrong);

    if (code)
        return cel_error_set(err, CEL_EINVAL, "%s", wrong.message);
    code = give_value(&to, value);
    cel__buf_done(&to.text);
    return code ? code : cel__buf_check(buf, err);
}
