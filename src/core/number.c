/* number.c - shortest digits by trial, exact parsing of short numbers without the C library.
 *
 * printf() and strtod() use the decimal point of the process's locale; what they write is
 * therefore rewritten to a point, and what they read is given with theirs. */
#include "core/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* The significant digits of a number, without point and trailing zeros, and where the point is:
 * value = 0.DIGITS * 10^point. */
struct decimal {
    char digits[20];
    int count;
    int point;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes apart what printf("%.*e") wrote: "-1.2345e+16", the point being any bytes of the
 * locale. */
static void read_scientific(struct decimal *out, const char *text)
{
    const char *at = text;

    out->count = 0;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9' && out->count < (int)sizeof out->digits)
            out->digits[out->count++] = *at;
    out->point = (int)strtol(*at ? at + 1 : at, NULL, 10) + 1;
    while (out->count > 1 && out->digits[out->count - 1] == '0')
        out->count--;
}

static size_t put_plain(char *out, const struct decimal *in)
{
    char *at = out;
    int i = 0;

    if (in->point <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int zero = in->point; zero < 0; zero++)
            *at++ = '0';
    }
    for (; i < in->count; i++) {
        if (i == in->point && i > 0)
            *at++ = '.';
        *at++ = in->digits[i];
    }
    for (; i < in->point; i++)
        *at++ = '0';
    if (in->point >= in->count) {
        *at++ = '.';
        *at++ = '0';
    }
    return (size_t)(at - out);
}

static size_t put_exponent(char *out, const struct decimal *in)
{
    char *at = out;
    int exponent = in->point - 1;

    *at++ = in->digits[0];
    if (in->count > 1) {
        *at++ = '.';
        memcpy(at, in->digits + 1, (size_t)in->count - 1);
        at += in->count - 1;
    }
    at += snprintf(at, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    return (size_t)(at - out);
}

static size_t put_text(char *out, const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len + 1);
    return len;
}

/* Every decimal of 15 digits survives the way through a normal double, so the search begins
 * there and zeros at the end are dropped later; a subnormal has fewer digits to itself.
 * Beside a power of two the doubles lie closer below than above: there the next decimal
 * upwards may read back equal where the nearest one, below, does not. */
static void write_shortest(char *out, size_t size, double value)
{
    int first = value < DBL_MIN ? 0 : 14;

    for (int precision = first; precision < 16; precision++) {
        char *last;

        snprintf(out, size, "%.*e", precision, value);
        if (strtod(out, NULL) == value)
            return;
        last = strchr(out, 'e') - 1;
        if (!is_digit(*last) || *last == '9')
            continue;
        ++*last;
        if (strtod(out, NULL) == value)
            return;
    }
    snprintf(out, size, "%.16e", value);
}

size_t cel__double_format(char out[CEL_DOUBLE_TEXT], double value)
{
    struct decimal decimal;
    char text[40];
    size_t len = 0;

    if (isnan(value))
        return put_text(out, "nan");
    if (isinf(value))
        return put_text(out, value < 0 ? "-inf" : "inf");
    if (signbit(value)) {
        out[len++] = '-';
        value = -value;
    }
    if (value == 0)
        return len + put_text(out + len, "0.0");
    write_shortest(text, sizeof text, value);
    read_scientific(&decimal, text);
    if (decimal.point > -4 && decimal.point <= 16)
        len += put_plain(out + len, &decimal);
    else
        len += put_exponent(out + len, &decimal);
    out[len] = '\0';
    return len;
}

/* A number of up to 19 digits whose mantissa and power of ten are both exact doubles: one
 * multiplication or division rounds it correctly. False if it is not of that kind. */
static bool parse_short(double *out, cel_view text)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    bool negative = text.ptr[0] == '-';
    uint64_t mantissa = 0;
    int exponent = 0;
    bool fraction = false;
    double value;

    if (FLT_EVAL_METHOD != 0 || text.len > 18)
        return false;
    for (size_t i = negative; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '.') {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        mantissa = mantissa * 10 + (uint64_t)(c - '0');
        exponent -= fraction;
    }
    if (mantissa > (uint64_t)1 << 53)
        return false;
    value = (double)mantissa / powers[-exponent];
    *out = negative ? -value : value;
    return true;
}

static bool is_number(cel_view text)
{
    if (text.len == 0 || text.len > 1 << 20 || !is_digit(text.ptr[text.len - 1]))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!is_digit(c) && c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E')
            return false;
    }
    return true;
}

/* Writes `text` with the locale's decimal point, NUL-terminated. */
static void localise(char *out, cel_view text, const char *point)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '.') {
            *out++ = text.ptr[i];
            continue;
        }
        for (const char *from = point; *from; from++)
            *out++ = *from;
    }
    *out = '\0';
}

bool cel__double_parse(double *out, cel_view text)
{
    const char *point = localeconv()->decimal_point;
    char small[128];
    char *copy = small, *end;
    double value;
    bool fits;

    if (!is_number(text))
        return false;
    if (parse_short(out, text))
        return true;
    if (text.len + strlen(point) + 1 > sizeof small)
        copy = cel__malloc(text.len + strlen(point) + 1);
    if (!copy)
        return false;
    localise(copy, text, point);
    value = strtod(copy, &end);
    fits = *end == '\0' && isfinite(value);
    if (copy != small)
        cel__free(copy);
    if (fits)
        *out = value;
    return fits;
}
