/* pyliteral.c - a reader for one dictionary literal. A plain descent; the depth is 1 or 2. */
#include "pyliteral.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define NUMBER_MAX 63 /* the longest number accepted, in bytes */

struct reader {
    const char *at;
    const char *end;
    const char *name;
    unsigned line;
    hw_pyliteral_visit visit;
    void *arg;
};

static hw_code fail_at(const struct reader *in, const char *expected, hw_error *err)
{
    return hw_fail(err, HW_EFORMAT, "%s:%u: expected %s", in->name, in->line, expected);
}

static void skip_line(struct reader *in)
{
    while (in->at < in->end && *in->at != '\n')
        in->at++;
}

/* Blanks, line ends and comments may stand between any two tokens inside the braces. */
static void skip_blank(struct reader *in)
{
    for (; in->at < in->end; in->at++) {
        if (*in->at == '#')
            skip_line(in);
        if (in->at == in->end)
            return;
        if (*in->at == '\n')
            in->line++;
        else if (*in->at != ' ' && *in->at != '\t' && *in->at != '\r')
            return;
    }
}

static bool take(struct reader *in, char byte)
{
    skip_blank(in);
    if (in->at == in->end || *in->at != byte)
        return false;
    in->at++;
    return true;
}

static bool begins_with(const struct reader *in, const char *word)
{
    size_t len = strlen(word);

    return (size_t)(in->end - in->at) >= len && memcmp(in->at, word, len) == 0;
}

/* The four hexadecimal digits of an escape. */
static bool read_hex(struct reader *in, uint32_t *cp)
{
    uint32_t value = 0;

    if (in->end - in->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *in->at++;
        uint32_t digit;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *cp = value;
    return true;
}

static hw_code read_key(struct reader *in, uint32_t *cp, hw_error *err)
{
    const char *const expected = "a string of one character";
    char quote;
    unsigned taken;

    skip_blank(in);
    if (in->at == in->end || (*in->at != '\'' && *in->at != '"'))
        return fail_at(in, expected, err);
    quote = *in->at++;
    if (begins_with(in, "\\u")) {
        in->at += 2;
        if (!read_hex(in, cp))
            return fail_at(in, "four hexadecimal digits after \\u", err);
    } else {
        if (in->at == in->end || *in->at == quote || *in->at == '\\' || *in->at == '\n')
            return fail_at(in, expected, err);
        taken = hw_utf8_decode((const unsigned char *)in->at, (size_t)(in->end - in->at), cp);
        if (taken == 0)
            return fail_at(in, "UTF-8", err);
        in->at += taken;
    }
    if (in->at == in->end || *in->at++ != quote)
        return fail_at(in, expected, err);
    return HW_OK;
}

static hw_code read_number(struct reader *in, double *value, hw_error *err)
{
    char digits[NUMBER_MAX + 1];
    size_t len = 0;
    char *rest;

    skip_blank(in);
    while (in->at < in->end && *in->at && strchr("+-.0123456789eE", *in->at)) {
        if (len == NUMBER_MAX)
            return fail_at(in, "a shorter number", err);
        digits[len++] = *in->at++;
    }
    digits[len] = '\0';
    *value = strtod(digits, &rest);
    if (len == 0 || *rest || !isfinite(*value))
        return fail_at(in, "a number", err);
    return HW_OK;
}

/* The dictionary whose keys are inside the one of `outer`. */
static hw_code read_numbers(struct reader *in, uint32_t outer, hw_error *err)
{
    if (!take(in, '{'))
        return fail_at(in, "'{'", err);
    while (!take(in, '}')) {
        uint32_t key = 0;
        double value = 0;
        hw_code code = read_key(in, &key, err);

        if (code == HW_OK && !take(in, ':'))
            code = fail_at(in, "':'", err);
        if (code == HW_OK)
            code = read_number(in, &value, err);
        if (code == HW_OK)
            code = in->visit(in->arg, outer, key, value, err);
        if (code != HW_OK)
            return code;
        if (take(in, ','))
            continue;
        if (!take(in, '}'))
            return fail_at(in, "',' or '}'", err);
        return HW_OK;
    }
    return HW_OK;
}

static hw_code read_tables(struct reader *in, hw_error *err)
{
    if (!take(in, '{'))
        return fail_at(in, "'{'", err);
    while (!take(in, '}')) {
        uint32_t key = 0;
        hw_code code = read_key(in, &key, err);

        if (code == HW_OK && !take(in, ':'))
            code = fail_at(in, "':'", err);
        if (code == HW_OK)
            code = read_numbers(in, key, err);
        if (code != HW_OK)
            return code;
        if (take(in, ','))
            continue;
        if (!take(in, '}'))
            return fail_at(in, "',' or '}'", err);
        return HW_OK;
    }
    return HW_OK;
}

hw_code hw_pyliteral_read(const char *source,
                          size_t len,
                          const char *name,
                          unsigned depth,
                          hw_pyliteral_visit visit,
                          void *arg,
                          hw_error *err)
{
    struct reader in = {source, source + len, name, 1, visit, arg};
    hw_code code;

    assert(depth == 1 || depth == 2);
    for (skip_blank(&in); begins_with(&in, "from __future__ import "); skip_blank(&in))
        skip_line(&in);
    if (!take(&in, 'P') || !take(&in, '='))
        return fail_at(&in, "'P = {'", err);
    code = depth == 1 ? read_numbers(&in, 0, err) : read_tables(&in, err);
    if (code != HW_OK)
        return code;
    skip_blank(&in);
    if (in.at != in.end)
        return fail_at(&in, "the end of the file", err);
    return HW_OK;
}
