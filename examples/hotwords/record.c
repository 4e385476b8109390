/* record.c - a scanner for JSON lines. It goes once over the bytes and stores two positions. */
#include "record.h"

#include <string.h>

#include "utf8.h"

#define DEPTH_MAX   64 /* of arrays and objects in a value that does not matter */
#define KEY_RAW_MAX 30 /* "level" with all its letters escaped */

const char *const hw_bad_names[HW_BAD_KINDS] = {
#define BAD_NAME(symbol, name) name,
    HW_BAD_MAP(BAD_NAME)
#undef BAD_NAME
};

struct scanner {
    const char *at;
    const char *end;
    hw_bad bad; /* why, once something has returned false */
};

/* What stands between two quotes. */
struct span {
    const char *bytes;
    size_t len;
    bool escaped;
};

static bool fail(struct scanner *in, hw_bad bad)
{
    in->bad = bad;
    return false;
}

static void skip_space(struct scanner *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\r' || *in->at == '\n'))
        in->at++;
}

static bool take(struct scanner *in, char byte)
{
    skip_space(in);
    if (in->at == in->end || *in->at != byte)
        return fail(in, HW_BAD_JSON);
    in->at++;
    return true;
}

static bool next_is(struct scanner *in, char byte)
{
    skip_space(in);
    return in->at < in->end && *in->at == byte;
}

/* ---- strings ---- */

/* The value of four hexadecimal digits, or -1. */
static int32_t read_hex(const char *p, const char *end)
{
    int32_t value = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        int32_t digit;

        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool is_lead(int32_t unit)
{
    return unit >= 0xD800 && unit < 0xDC00;
}

static bool is_trail(int32_t unit)
{
    return unit >= 0xDC00 && unit < 0xE000;
}

/* Checks the escape at `at`, a backslash, and goes behind it. */
static bool skip_escape(struct scanner *in)
{
    const char *p = in->at + 1;
    int32_t unit;

    if (p == in->end || !*p || !strchr("\"\\/bfnrtu", *p))
        return fail(in, HW_BAD_JSON);
    in->at = p + 1;
    if (*p != 'u')
        return true;
    unit = read_hex(in->at, in->end);
    if (unit < 0)
        return fail(in, HW_BAD_JSON);
    in->at += 4;
    if (is_trail(unit))
        return fail(in, HW_BAD_UTF8);
    if (!is_lead(unit))
        return true;
    if (in->end - in->at < 2 || in->at[0] != '\\' || in->at[1] != 'u')
        return fail(in, HW_BAD_UTF8);
    unit = read_hex(in->at + 2, in->end);
    if (unit < 0)
        return fail(in, HW_BAD_JSON);
    in->at += 6;
    return is_trail(unit) ? true : fail(in, HW_BAD_UTF8);
}

static bool skip_string(struct scanner *in, struct span *span)
{
    if (!take(in, '"'))
        return false;
    span->bytes = in->at;
    span->escaped = false;
    while (in->at < in->end) {
        const unsigned char c = (unsigned char)*in->at;
        uint32_t cp;

        if (c == '"') {
            span->len = (size_t)(in->at++ - span->bytes);
            return true;
        }
        if (c == '\\') {
            span->escaped = true;
            if (!skip_escape(in))
                return false;
        } else if (c >= 0x80) {
            unsigned taken =
                hw_utf8_decode((const unsigned char *)in->at, (size_t)(in->end - in->at), &cp);
            if (taken == 0)
                return fail(in, HW_BAD_UTF8);
            in->at += taken;
        } else if (c < 0x20) {
            return fail(in, HW_BAD_JSON);
        } else {
            in->at++;
        }
    }
    return fail(in, HW_BAD_JSON);
}

/* The code point of the escape at *p, which has been checked; *p goes behind it. */
static uint32_t resolve_escape(const char **p)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char letter = (*p)[1];
    const char *found = strchr(from, letter);
    int32_t unit;

    if (letter != 'u') {
        *p += 2;
        return found ? (uint32_t)to[found - from] : (uint32_t)(unsigned char)letter;
    }
    unit = read_hex(*p + 2, *p + 6);
    *p += 6;
    if (!is_lead(unit))
        return (uint32_t)unit;
    unit = 0x10000 + ((unit - 0xD800) << 10) + (read_hex(*p + 2, *p + 6) - 0xDC00);
    *p += 6;
    return (uint32_t)unit;
}

/* Resolves escapes into `out`, which has room for span->len bytes: no escape is shorter than what it
 * stands for. Returns the bytes written. */
static size_t unescape(const struct span *span, char *out)
{
    const char *p = span->bytes, *end = span->bytes + span->len;
    char *const begin = out;

    while (p < end) {
        if (*p == '\\')
            out += hw_utf8_encode(resolve_escape(&p), out);
        else
            *out++ = *p++;
    }
    return (size_t)(out - begin);
}

/* ---- other values ---- */

static bool is_digit(const struct scanner *in)
{
    return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

static bool skip_digits(struct scanner *in)
{
    if (!is_digit(in))
        return fail(in, HW_BAD_JSON);
    while (is_digit(in))
        in->at++;
    return true;
}

/* Puts in *value what an integer is worth, or, beyond levels, something out of their range; clears
 * *integer for numbers of another kind. */
static bool read_number(struct scanner *in, int64_t *value, bool *integer)
{
    const bool negative = in->at < in->end && *in->at == '-';
    const char *digits;

    in->at += negative;
    digits = in->at;
    if (!skip_digits(in) || (*digits == '0' && in->at - digits > 1))
        return fail(in, HW_BAD_JSON);
    *value = 0;
    for (const char *p = digits; p < in->at && *value <= HW_LEVEL_MAX; p++)
        *value = *value * 10 + (*p - '0');
    if (negative)
        *value = -*value;
    *integer = true;
    if (in->at < in->end && *in->at == '.') {
        *integer = false;
        in->at++;
        if (!skip_digits(in))
            return false;
    }
    if (in->at < in->end && (*in->at == 'e' || *in->at == 'E')) {
        *integer = false;
        in->at++;
        if (in->at < in->end && (*in->at == '+' || *in->at == '-'))
            in->at++;
        return skip_digits(in);
    }
    return true;
}

static bool skip_word(struct scanner *in, const char *word)
{
    const size_t len = strlen(word);

    if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len) != 0)
        return fail(in, HW_BAD_JSON);
    in->at += len;
    return true;
}

static bool skip_scalar(struct scanner *in)
{
    struct span span;
    int64_t value;
    bool integer;

    switch (in->at < in->end ? *in->at : '\0') {
    case '"':
        return skip_string(in, &span);
    case 't':
        return skip_word(in, "true");
    case 'f':
        return skip_word(in, "false");
    case 'n':
        return skip_word(in, "null");
    default:
        return read_number(in, &value, &integer);
    }
}

static bool skip_key(struct scanner *in)
{
    struct span span;

    return skip_string(in, &span) && take(in, ':');
}

/* Skips a value of any kind. The arrays and objects that are open are bits of `objects`, the
 * innermost the lowest. */
static bool skip_value(struct scanner *in)
{
    uint64_t objects = 0;
    unsigned depth = 0;

    for (;;) {
        skip_space(in);
        if (in->at < in->end && (*in->at == '{' || *in->at == '[')) {
            const bool object = *in->at++ == '{';

            if (!next_is(in, object ? '}' : ']')) {
                if (depth == DEPTH_MAX)
                    return fail(in, HW_BAD_JSON);
                objects = objects << 1 | (uint64_t)object;
                depth++;
                if (object && !skip_key(in))
                    return false;
                continue;
            }
            in->at++;
        } else if (!skip_scalar(in)) {
            return false;
        }
        /* A value has ended: close what it was the last of, or go on to the next. */
        while (depth > 0 && next_is(in, objects & 1 ? '}' : ']')) {
            in->at++;
            objects >>= 1;
            depth--;
        }
        if (depth == 0)
            return true;
        if (!take(in, ',') || ((objects & 1) && !skip_key(in)))
            return false;
    }
}

/* ---- the record ---- */

enum {
    HAS_LEVEL = 1,
    HAS_TEXT = 2,
    BAD_TYPE = 4,
    BAD_LEVEL = 8
};

static bool read_level(struct scanner *in, hw_record *record, unsigned *seen)
{
    bool integer = false;

    skip_space(in);
    *seen = (*seen | HAS_LEVEL) & ~(unsigned)BAD_LEVEL;
    if (!is_digit(in) && !next_is(in, '-')) {
        *seen |= BAD_TYPE;
        return skip_value(in);
    }
    if (!read_number(in, &record->level, &integer))
        return false;
    if (!integer)
        *seen |= BAD_TYPE;
    else if (record->level < 1 || record->level > HW_LEVEL_MAX)
        *seen |= BAD_LEVEL;
    return true;
}

static bool read_text(struct scanner *in, hw_record *record, unsigned *seen)
{
    struct span span;

    *seen |= HAS_TEXT;
    if (!next_is(in, '"')) {
        *seen |= BAD_TYPE;
        return skip_value(in);
    }
    if (!skip_string(in, &span))
        return false;
    record->text = span.bytes;
    record->text_len = span.len;
    record->text_escaped = span.escaped;
    return true;
}

static bool is_key(const struct span *key, const char *name)
{
    return key->len == strlen(name) && memcmp(key->bytes, name, key->len) == 0;
}

static bool read_member(struct scanner *in, hw_record *record, unsigned *seen)
{
    char plain[KEY_RAW_MAX];
    struct span key;

    if (!skip_string(in, &key) || !take(in, ':'))
        return false;
    if (key.escaped && key.len <= sizeof plain) {
        key.len = unescape(&key, plain);
        key.bytes = plain;
    }
    if (is_key(&key, "level"))
        return read_level(in, record, seen);
    if (is_key(&key, "text"))
        return read_text(in, record, seen);
    return skip_value(in);
}

bool hw_record_read(hw_record *record, const char *line, size_t len, hw_bad *bad)
{
    struct scanner in = {line, line + len, HW_BAD_JSON};
    unsigned seen = 0;
    bool good = take(&in, '{');

    if (good && next_is(&in, '}')) {
        in.at++;
    } else {
        while (good) {
            good = read_member(&in, record, &seen);
            if (!good || !next_is(&in, ','))
                break;
            in.at++;
        }
        good = good && take(&in, '}');
    }
    skip_space(&in);
    if (good && in.at < in.end)
        good = fail(&in, HW_BAD_JSON);
    if (good && (seen & BAD_TYPE))
        good = fail(&in, HW_BAD_TYPE);
    if (good && (seen & (HAS_LEVEL | HAS_TEXT)) != (HAS_LEVEL | HAS_TEXT))
        good = fail(&in, HW_BAD_FIELD);
    if (good && (seen & BAD_LEVEL))
        good = fail(&in, HW_BAD_LEVEL);
    if (!good)
        *bad = in.bad;
    return good;
}

bool hw_record_unescape(const hw_record *record, hw_buf *out)
{
    const struct span span = {record->text, record->text_len, record->text_escaped};

    if (!hw_buf_reserve(out, span.len))
        return false;
    if (span.len > 0)
        out->len += unescape(&span, out->bytes + out->len);
    return true;
}
