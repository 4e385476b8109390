/* jscan.c - one pass over the bytes; nesting is a stack of bits, not of calls.
 *
 * Every walk checks what it passes over, so a walk over an unchecked text finds the same
 * errors as cel__jscan_value() would, one member later. */
#include "core/jscan.h"

#include <assert.h>
#include <string.h>

#include "core/number.h"
#include "core/utf8.h"

struct reader {
    const char *at;
    const char *end;
    const char *why; /* what was wrong, after a function has returned false; `at` is where */
};

static bool fail(struct reader *in, const char *why)
{
    in->why = why;
    return false;
}

static inline void skip_space(struct reader *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
}

static inline bool is_digit(const struct reader *in)
{
    return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

/* ---- strings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool skip_escape(struct reader *in)
{
    if (in->end - in->at < 2)
        return fail(in, "the string does not end");
    switch (in->at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        in->at += 2;
        return true;
    case 'u':
        if (in->end - in->at < 6)
            return fail(in, "the string does not end");
        for (int i = 2; i < 6; i++)
            if (hex_digit(in->at[i]) < 0)
                return fail(in, "\\u wants four hexadecimal digits");
        in->at += 6;
        return true;
    default:
        return fail(in, "no such escape");
    }
}

static bool skip_utf8(struct reader *in)
{
    uint32_t cp;
    size_t took = cel__utf8_decode(in->at, (size_t)(in->end - in->at), &cp);

    if ((cp == CEL_UTF8_REPLACEMENT && took == 1) || (cp >= 0xD800 && cp < 0xE000))
        return fail(in, "the string is not UTF-8");
    in->at += took;
    return true;
}

/* `at` is on the opening quote; afterwards behind the closing one. */
static bool skip_string(struct reader *in)
{
    in->at++;
    for (;;) {
        in->at += cel__json_plain(in->at, (size_t)(in->end - in->at));
        if (in->at == in->end)
            return fail(in, "the string does not end");
        if (*in->at == '"') {
            in->at++;
            return true;
        }
        if (*in->at == '\\') {
            if (!skip_escape(in))
                return false;
        } else if ((unsigned char)*in->at < ' ') {
            return fail(in, "a control character in a string");
        } else if (!skip_utf8(in)) {
            return false;
        }
    }
}

/* ---- values ---- */

static bool skip_word(struct reader *in, const char *word, size_t len)
{
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len) != 0)
        return fail(in, "a value was expected");
    in->at += len;
    return true;
}

static bool skip_digits(struct reader *in)
{
    if (!is_digit(in))
        return fail(in, "a digit was expected");
    while (is_digit(in))
        in->at++;
    return true;
}

static bool skip_number(struct reader *in, cel_jtype *type)
{
    *type = CEL_JSON_INTEGER;
    if (*in->at == '-') {
        in->at++;
        if (in->at < in->end && *in->at == 'I') {
            *type = CEL_JSON_REAL;
            return skip_word(in, "Infinity", 8);
        }
    }
    if (in->at < in->end && *in->at == '0')
        in->at++;
    else if (!skip_digits(in))
        return false;
    if (in->at < in->end && *in->at == '.') {
        *type = CEL_JSON_REAL;
        in->at++;
        if (!skip_digits(in))
            return false;
    }
    if (in->at < in->end && (*in->at == 'e' || *in->at == 'E')) {
        *type = CEL_JSON_REAL;
        in->at++;
        if (in->at < in->end && (*in->at == '+' || *in->at == '-'))
            in->at++;
        if (!skip_digits(in))
            return false;
    }
    return true;
}

static bool skip_scalar(struct reader *in, cel_jtype *type)
{
    switch (in->at < in->end ? *in->at : '\0') {
    case '"':
        *type = CEL_JSON_STRING;
        return skip_string(in);
    case 'n':
        *type = CEL_JSON_NULL;
        return skip_word(in, "null", 4);
    case 't':
        *type = CEL_JSON_TRUE;
        return skip_word(in, "true", 4);
    case 'f':
        *type = CEL_JSON_FALSE;
        return skip_word(in, "false", 5);
    case 'N':
        *type = CEL_JSON_REAL;
        return skip_word(in, "NaN", 3);
    case 'I':
        *type = CEL_JSON_REAL;
        return skip_word(in, "Infinity", 8);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return skip_number(in, type);
    default:
        return fail(in, "a value was expected");
    }
}

/* A member's key and the colon, with the space around them. `key` gets the key, quotes
 * included. */
static inline bool skip_key(struct reader *in, cel_view *key)
{
    const char *start = in->at;

    if (in->at == in->end || *in->at != '"')
        return fail(in, "a key was expected");
    if (!skip_string(in))
        return false;
    *key = (cel_view){start, (size_t)(in->at - start)};
    skip_space(in);
    if (in->at == in->end || *in->at != ':')
        return fail(in, "':' was expected");
    in->at++;
    skip_space(in);
    return true;
}

/* Which of the open arrays and objects are objects, one bit each. */
struct nest {
    uint64_t objects[CEL_JSCAN_DEPTH / 64];
    unsigned depth;
};

static bool in_object(const struct nest *nest)
{
    unsigned top = nest->depth - 1;

    return nest->objects[top / 64] >> top % 64 & 1;
}

/* `at` is on a bracket. Opens it and stops where its first member's value begins, or, if it has
 * none, on the closing bracket (then *empty). */
static bool open_nest(struct reader *in, struct nest *nest, bool *empty)
{
    bool object = *in->at == '{';
    uint64_t bit = UINT64_C(1) << nest->depth % 64;
    cel_view key;

    if (nest->depth == CEL_JSCAN_DEPTH)
        return fail(in, "nested too deeply");
    if (object)
        nest->objects[nest->depth / 64] |= bit;
    else
        nest->objects[nest->depth / 64] &= ~bit;
    nest->depth++;
    in->at++;
    skip_space(in);
    *empty = in->at < in->end && *in->at == (object ? '}' : ']');
    if (*empty || !object)
        return true;
    return skip_key(in, &key);
}

/* `at` is behind a member. Closes what ends here and stops where the next value begins, or with
 * depth 0 behind the outermost bracket. */
static bool next_in_nest(struct reader *in, struct nest *nest)
{
    while (nest->depth > 0) {
        bool object = in_object(nest);
        cel_view key;

        skip_space(in);
        if (in->at == in->end)
            return fail(in, object ? "',' or '}' was expected" : "',' or ']' was expected");
        if (*in->at == ',') {
            in->at++;
            skip_space(in);
            return object ? skip_key(in, &key) : true;
        }
        if (*in->at != (object ? '}' : ']'))
            return fail(in, object ? "',' or '}' was expected" : "',' or ']' was expected");
        in->at++;
        nest->depth--;
    }
    return true;
}

static bool skip_nest(struct reader *in)
{
    struct nest nest;

    memset(&nest, 0, sizeof nest);
    do {
        cel_jtype type;
        bool empty = false;

        if (in->at < in->end && (*in->at == '[' || *in->at == '{')) {
            if (!open_nest(in, &nest, &empty))
                return false;
            if (!empty)
                continue;
        } else if (!skip_scalar(in, &type)) {
            return false;
        }
        if (!next_in_nest(in, &nest))
            return false;
    } while (nest.depth > 0);
    return true;
}

/* `at` is where a value must begin. */
static inline bool skip_value(struct reader *in, cel_jvalue *value)
{
    const char *start = in->at;
    bool valid;

    if (in->at < in->end && (*in->at == '[' || *in->at == '{')) {
        value->type = *in->at == '[' ? CEL_JSON_ARRAY : CEL_JSON_OBJECT;
        valid = skip_nest(in);
    } else {
        valid = skip_scalar(in, &value->type);
    }
    value->text = (cel_view){start, (size_t)(in->at - start)};
    return valid;
}

cel_code cel__jscan_value(cel_jvalue *out, cel_view text, cel_error *err)
{
    const char *start = text.ptr ? text.ptr : "";
    struct reader in = {start, start + text.len, NULL};
    cel_jvalue value;

    skip_space(&in);
    if (skip_value(&in, &value)) {
        skip_space(&in);
        if (in.at == in.end) {
            *out = value;
            return CEL_OK;
        }
        in.why = "more follows the value";
    }
    return cel_error_set(err, CEL_EPROTO, "not JSON: %s, at byte %zu of %zu", in.why,
                         (size_t)(in.at - start), text.len);
}

/* ---- walks ---- */

/* A walk that is over has an absent text. */
static void start_walk(cel_jscan *scan, cel_jvalue value, cel_jtype type)
{
    struct reader in = {value.text.ptr, value.text.ptr, NULL};

    *scan = (cel_jscan){.object = type == CEL_JSON_OBJECT, .first = true};
    if (value.type != type)
        return;
    in.end += value.text.len;
    skip_space(&in);
    scan->text = value.text;
    scan->failed = in.at == in.end || *in.at != (scan->object ? '{' : '[');
    scan->at = (size_t)(in.at - value.text.ptr) + 1;
}

void cel__jscan_array(cel_jscan *scan, cel_jvalue value)
{
    start_walk(scan, value, CEL_JSON_ARRAY);
}

void cel__jscan_object(cel_jscan *scan, cel_jvalue value)
{
    start_walk(scan, value, CEL_JSON_OBJECT);
}

/* `at` is on the closing bracket: nothing but space may follow. */
static bool end_walk(cel_jscan *scan, struct reader *in)
{
    in->at++;
    skip_space(in);
    scan->failed = in->at != in->end;
    scan->text = (cel_view){NULL, 0};
    return false;
}

static bool fail_walk(cel_jscan *scan)
{
    scan->failed = true;
    return false;
}

/* The next member; `key` is NULL for an array. */
static inline bool step(cel_jscan *scan, cel_jvalue *key, cel_jvalue *value)
{
    struct reader in;

    if (scan->failed || !scan->text.ptr)
        return false;
    in = (struct reader){scan->text.ptr + scan->at, scan->text.ptr + scan->text.len, NULL};
    skip_space(&in);
    if (in.at == in.end)
        return fail_walk(scan);
    if (*in.at == (key ? '}' : ']'))
        return end_walk(scan, &in);
    if (!scan->first) {
        if (*in.at != ',')
            return fail_walk(scan);
        in.at++;
        skip_space(&in);
    }
    scan->first = false;
    if (key) {
        key->type = CEL_JSON_STRING;
        if (!skip_key(&in, &key->text))
            return fail_walk(scan);
    }
    if (!skip_value(&in, value))
        return fail_walk(scan);
    scan->at = (size_t)(in.at - scan->text.ptr);
    return true;
}

bool cel__jscan_next(cel_jscan *scan, cel_jvalue *value)
{
    assert(!scan->object);
    return step(scan, NULL, value);
}

bool cel__jscan_next_member(cel_jscan *scan, cel_jvalue *key, cel_jvalue *value)
{
    assert(scan->object);
    return step(scan, key, value);
}

cel_jvalue cel__jscan_get(cel_jvalue object, const char *key)
{
    cel_jvalue found = {CEL_JSON_NONE, {NULL, 0}};
    cel_jvalue name, value;
    cel_jscan scan;

    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &name, &value))
        if (cel__jscan_is(name, key))
            found = value;
    return found;
}

/* ---- strings of values ---- */

static cel_view inside(cel_jvalue string)
{
    assert(string.text.len >= 2);
    return (cel_view){string.text.ptr + 1, string.text.len - 2};
}

static uint32_t read_unit(const char *hex)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)hex_digit(hex[i]);
    return unit;
}

/* Resolves the escape at `text`, which is well-formed, into UTF-8; *took is what it
 * consumed. */
static size_t resolve_escape(cel_view text, char out[4], size_t *took)
{
    static const char names[] = "b\bf\fn\nr\rt\t";
    uint32_t cp;

    *took = 2;
    if (text.ptr[1] != 'u') {
        const char *name = strchr(names, text.ptr[1]);

        out[0] = name ? name[1] : text.ptr[1];
        return 1;
    }
    *took = 6;
    cp = read_unit(text.ptr + 2);
    if (cp >= 0xD800 && cp < 0xDC00 && text.len >= 12 && text.ptr[6] == '\\' &&
        text.ptr[7] == 'u') {
        uint32_t low = read_unit(text.ptr + 8);

        if (low >= 0xDC00 && low < 0xE000) {
            *took = 12;
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return cel__utf8_encode(cp, out);
}

static cel_view behind(cel_view text, size_t count)
{
    return (cel_view){text.ptr + count, text.len - count};
}

bool cel__jscan_is(cel_jvalue string, const char *text)
{
    size_t len = strlen(text);
    cel_view left;

    if (string.type != CEL_JSON_STRING)
        return false;
    left = inside(string);
    if (left.len > 0 && left.ptr[0] != *text && left.ptr[0] != '\\')
        return false;
    if (left.len == len && memcmp(left.ptr, text, len) == 0)
        return memchr(text, '\\', len) == NULL;
    if (left.len <= len || !memchr(left.ptr, '\\', left.len))
        return false;
    while (left.len > 0) {
        char bytes[4] = {left.ptr[0]};
        size_t took = 1, count = 1;

        if (left.ptr[0] == '\\')
            count = resolve_escape(left, bytes, &took);
        if (len < count || memcmp(text, bytes, count) != 0)
            return false;
        text += count;
        len -= count;
        left = behind(left, took);
    }
    return len == 0;
}

bool cel__jscan_string(cel_jvalue string, cel__buf *buf)
{
    cel_view left;
    char *to;

    if (string.type != CEL_JSON_STRING)
        return false;
    left = inside(string);
    to = cel__buf_reserve(buf, left.len); /* no escape is shorter than what it stands for */
    while (to && left.len > 0) {
        const char *slash = memchr(left.ptr, '\\', left.len);
        size_t plain = slash ? (size_t)(slash - left.ptr) : left.len;
        size_t took = 0;
        char bytes[4];

        memcpy(to, left.ptr, plain);
        to += plain;
        left = behind(left, plain);
        if (slash) {
            size_t count = resolve_escape(left, bytes, &took);

            memcpy(to, bytes, count);
            to += count;
            left = behind(left, took);
        }
    }
    if (to)
        buf->len = (size_t)(to - buf->ptr);
    return true;
}

cel_view cel__jscan_view(cel_jvalue string, cel__buf *buf)
{
    size_t start = buf->len;
    cel_view text;

    if (string.type != CEL_JSON_STRING)
        return (cel_view){NULL, 0};
    text = inside(string);
    if (!memchr(text.ptr, '\\', text.len))
        return text;
    cel__jscan_string(string, buf);
    return (cel_view){buf->ptr ? buf->ptr + start : "", buf->len - start};
}

/* ---- numbers of values ---- */

bool cel__jscan_int(cel_jvalue value, int64_t *out)
{
    bool negative;
    int64_t sum = 0;

    if (value.type != CEL_JSON_INTEGER)
        return false;
    negative = value.text.ptr[0] == '-';
    for (size_t i = negative; i < value.text.len; i++) {
        int digit = value.text.ptr[i] - '0';

        if (__builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit, &sum)) /* negative has more room */
            return false;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *out = negative ? sum : -sum;
    return true;
}

bool cel__jscan_double(cel_jvalue value, double *out)
{
    if (value.type != CEL_JSON_INTEGER && value.type != CEL_JSON_REAL)
        return false;
    return cel__double_parse(out, value.text);
}
