/* yaml_scalar.c - the implicit types of YAML 1.1, by the patterns of Python's yaml/resolver.py and
 * the constructors of its SafeLoader. A pattern is matched by a cursor that eats what fits. */
#include "message/yaml_scalar.h"

#include <float.h>
#include <strings.h>

#include "core/jscan.h"
#include "core/number.h"
#include "message/typed.h"

#define NUMBER_MAX 400 /* a longer number is none that anybody writes */

struct cursor {
    cel_view left;
};

static bool ended(const struct cursor *at)
{
    return at->left.len == 0;
}

static bool eat(struct cursor *at, const char *set)
{
    if (at->left.len == 0 || at->left.ptr[0] == '\0' || !strchr(set, at->left.ptr[0]))
        return false;
    at->left.ptr++;
    at->left.len--;
    return true;
}

/* Eats between `min` and `max` of them. */
static bool eat_some(struct cursor *at, const char *set, size_t min, size_t max)
{
    size_t count = 0;

    while (count < max && eat(at, set))
        count++;
    return count >= min;
}

static bool eat_text(struct cursor *at, const char *text)
{
    size_t len = strlen(text);

    if (at->left.len < len || memcmp(at->left.ptr, text, len) != 0)
        return false;
    at->left.ptr += len;
    at->left.len -= len;
    return true;
}

static bool is_word(cel_view text, const char *const *words)
{
    for (; *words; words++)
        if (cel__view_is(text, *words))
            return true;
    return false;
}

static const char digits[] = "0123456789";
static const char number[] = "0123456789_";

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"yes",  "Yes", "YES", "true", "True",
                                    "TRUE", "on",  "On",  "ON",   NULL};
static const char *const falses[] = {"no",    "No",  "NO",  "false", "False",
                                     "FALSE", "off", "Off", "OFF",   NULL};
static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};

/* ---- patterns ---- */

/* (:[0-5]?[0-9])+ */
static bool eat_sixties(struct cursor *at)
{
    size_t count = 0;

    while (eat(at, ":")) {
        struct cursor two = *at;

        if (eat(&two, "012345") && eat(&two, digits))
            *at = two;
        else if (!eat(at, digits))
            return false;
        count++;
    }
    return count > 0;
}

static bool is_int(cel_view text)
{
    struct cursor start = {text}, at;

    eat(&start, "-+");
    at = start;
    if (eat_text(&at, "0b"))
        return eat_some(&at, "01_", 1, SIZE_MAX) && ended(&at);
    if (eat_text(&at, "0x"))
        return eat_some(&at, "0123456789abcdefABCDEF_", 1, SIZE_MAX) && ended(&at);
    if (eat(&at, "0"))
        return eat_some(&at, "01234567_", 0, SIZE_MAX) && ended(&at);
    if (!eat(&at, "123456789"))
        return false;
    eat_some(&at, number, 0, SIZE_MAX);
    return ended(&at) || (eat_sixties(&at) && ended(&at));
}

static bool eat_exponent(struct cursor *at)
{
    if (!eat(at, "eE"))
        return true;
    return eat(at, "-+") && eat_some(at, digits, 1, SIZE_MAX);
}

static bool is_float(cel_view text)
{
    struct cursor at = {text};
    bool sign = eat(&at, "-+");

    if (is_word(at.left, infinities) || (!sign && is_word(at.left, nans)))
        return true;
    if (!sign && eat(&at, "."))
        return eat(&at, digits) && eat_some(&at, number, 0, SIZE_MAX) && eat_exponent(&at) &&
               ended(&at);
    if (!eat(&at, digits))
        return false;
    eat_some(&at, number, 0, SIZE_MAX);
    if (eat(&at, "."))
        return eat_some(&at, number, 0, SIZE_MAX) && eat_exponent(&at) && ended(&at);
    return eat_sixties(&at) && eat(&at, ".") && eat_some(&at, number, 0, SIZE_MAX) &&
           ended(&at);
}

/* The parts of a timestamp, as texts; `hour` is absent in a date. */
struct timestamp {
    cel_view year, month, day, hour, minute, second, fraction, zone;
};

static bool take(struct cursor *at, size_t min, size_t max, cel_view *part)
{
    const char *start = at->left.ptr;

    if (!eat_some(at, digits, min, max))
        return false;
    *part = (cel_view){start, (size_t)(at->left.ptr - start)};
    return true;
}

static bool take_zone(struct cursor *at, cel_view *zone)
{
    cel_view ignored;
    const char *start;

    eat_some(at, " \t", 0, SIZE_MAX);
    start = at->left.ptr;
    if (!eat(at, "Z") && !(eat(at, "-+") && take(at, 1, 2, &ignored) &&
                           (!eat(at, ":") || take(at, 2, 2, &ignored))))
        return false;
    *zone = (cel_view){start, (size_t)(at->left.ptr - start)};
    return true;
}

static bool read_time(struct timestamp *time, cel_view text)
{
    struct cursor at = {text};

    *time = (struct timestamp){.year = {NULL, 0}};
    if (!take(&at, 4, 4, &time->year) || !eat(&at, "-") || !take(&at, 1, 2, &time->month) ||
        !eat(&at, "-") || !take(&at, 1, 2, &time->day))
        return false;
    if (ended(&at))
        return time->month.len == 2 && time->day.len == 2;
    if (!eat(&at, "Tt") && !eat_some(&at, " \t", 1, SIZE_MAX))
        return false;
    if (!take(&at, 1, 2, &time->hour) || !eat(&at, ":") || !take(&at, 2, 2, &time->minute) ||
        !eat(&at, ":") || !take(&at, 2, 2, &time->second))
        return false;
    if (eat(&at, "."))
        take(&at, 0, SIZE_MAX, &time->fraction);
    return ended(&at) || (take_zone(&at, &time->zone) && ended(&at));
}

cel__yaml_kind cel__yaml_resolve(cel_view text)
{
    struct timestamp time;

    if (is_word(text, nulls))
        return CEL__YAML_NULL;
    if (!memchr("-+.0123456789<=yYnNtTfFoO", text.ptr[0], 25))
        return CEL__YAML_STR;
    if (is_word(text, trues) || is_word(text, falses))
        return CEL__YAML_BOOL;
    if (is_int(text))
        return CEL__YAML_INT;
    if (is_float(text))
        return CEL__YAML_FLOAT;
    if (read_time(&time, text))
        return CEL__YAML_TIME;
    if (cel__view_is(text, "<<") || cel__view_is(text, "="))
        return CEL__YAML_OTHER;
    return CEL__YAML_STR;
}

/* ---- values ---- */

bool cel__yaml_put_bool(cel__buf *out, cel_view text)
{
    if (!is_word(text, trues) && !is_word(text, falses))
        return false;
    cel__buf_add_str(out, is_word(text, trues) ? "true" : "false");
    return true;
}

/* Copies the number without its underscores; false if it is too long. */
static bool strip(char to[NUMBER_MAX], cel_view text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '_')
            continue;
        if (len + 1 == NUMBER_MAX)
            return false;
        to[len++] = text.ptr[i];
    }
    to[len] = '\0';
    return true;
}

static bool put_base(cel__buf *out, const char *text, unsigned base, bool negative)
{
    uint64_t value = 0;
    const char *start = text;

    for (; *text; text++) {
        unsigned digit = (unsigned)(*text <= '9' ? *text - '0' : (*text | 32) - 'a' + 10);

        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    cel__buf_addf(out, "%s%llu", negative && value ? "-" : "", (unsigned long long)value);
    return text > start;
}

/* Reads a decimal of YAML, `len` bytes of `text`: 1. and .5 and 007.5 are numbers, too. */
static bool parse_real(const char *text, size_t len, double *value)
{
    char json[NUMBER_MAX + 4];
    size_t at = 0;

    while (len > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9') {
        text++;
        len--;
    }
    if (len == 0 || len >= NUMBER_MAX)
        return false;
    if (text[0] == '.')
        json[at++] = '0';
    for (size_t i = 0; i < len; i++) {
        json[at++] = text[i];
        if (text[i] == '.' && (i + 1 == len || text[i + 1] < '0' || text[i + 1] > '9'))
            json[at++] = '0';
    }
    return cel__double_parse(value, (cel_view){json, at});
}

/* Sexagesimal; the last part may have a fraction. */
static bool sixties(const char *text, double *value)
{
    *value = 0;
    for (;;) {
        size_t len = strcspn(text, ":");
        double part;

        if (!parse_real(text, len, &part))
            return false;
        *value = *value * 60 + part;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

bool cel__yaml_put_int(cel__buf *out, cel_view text)
{
    char stripped[NUMBER_MAX];
    const char *at = stripped;
    bool negative;

    if (!is_int(text) || !strip(stripped, text))
        return false;
    negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    if (at[0] == '0' && at[1] == 'b')
        return put_base(out, at + 2, 2, negative);
    if (at[0] == '0' && at[1] == 'x')
        return put_base(out, at + 2, 16, negative);
    if (at[0] == '0' && at[1])
        return put_base(out, at + 1, 8, negative);
    if (strchr(at, ':')) {
        double value;

        if (!sixties(at, &value) || value > 9e15) /* exact up to there */
            return false;
        cel__buf_add_int(out, negative ? -(int64_t)value : (int64_t)value);
        return true;
    }
    if (negative)
        cel__buf_add_byte(out, '-');
    cel__buf_add_str(out, at);
    return true;
}

bool cel__yaml_put_float(cel__buf *out, cel_view text)
{
    char stripped[NUMBER_MAX], shown[CEL_DOUBLE_TEXT];
    const char *at = stripped;
    double value;

    if ((!is_float(text) && !is_int(text)) || !strip(stripped, text))
        return false;
    if (*at == '-' || *at == '+')
        at++;
    if (strcasecmp(at, ".nan") == 0) {
        cel__buf_add_str(out, "NaN");
        return true;
    }
    if (strcasecmp(at, ".inf") == 0) {
        cel__buf_add_str(out, stripped[0] == '-' ? "-Infinity" : "Infinity");
        return true;
    }
    if (!(strchr(at, ':') ? sixties(at, &value) : parse_real(at, strlen(at), &value)) ||
        value > DBL_MAX)
        return false;
    cel__buf_add(out, shown, cel__double_format(shown, stripped[0] == '-' ? -value : value));
    return true;
}

static int to_int(cel_view text)
{
    int value = 0;

    for (size_t i = 0; i < text.len; i++)
        value = value * 10 + (text.ptr[i] - '0');
    return value;
}

static bool in_range(const struct timestamp *time)
{
    int month = to_int(time->month), day = to_int(time->day);

    return to_int(time->year) > 0 && month >= 1 && month <= 12 && day >= 1 && day <= 31 &&
           to_int(time->hour) < 24 && to_int(time->minute) < 60 && to_int(time->second) < 60;
}

/* "+1" and "+01:00" are the same; "Z" is UTC. */
static void add_zone(cel__buf *out, cel_view zone)
{
    struct cursor at;
    cel_view hours = {NULL, 0}, minutes = {NULL, 0};

    if (zone.len == 0)
        return;
    if (zone.ptr[0] == 'Z') {
        cel__buf_add_str(out, "+00:00");
        return;
    }
    at.left = (cel_view){zone.ptr + 1, zone.len - 1};
    take(&at, 1, 2, &hours);
    if (eat(&at, ":"))
        take(&at, 2, 2, &minutes);
    cel__buf_addf(out, "%c%02d:%02d", zone.ptr[0], to_int(hours), to_int(minutes));
}

/* As isoformat() writes it: six digits of a fraction, or none. */
static void add_fraction(cel__buf *out, cel_view fraction)
{
    int micros = 0;

    for (size_t i = 0; i < 6; i++)
        micros = micros * 10 + (i < fraction.len ? fraction.ptr[i] - '0' : 0);
    if (micros)
        cel__buf_addf(out, ".%06d", micros);
}

bool cel__yaml_put_time(cel__buf *out, cel_view text)
{
    struct timestamp time;
    cel__buf iso = {0};

    if (!read_time(&time, text) || !in_range(&time))
        return false;
    cel__buf_addf(&iso, "%04d-%02d-%02d", to_int(time.year), to_int(time.month),
                  to_int(time.day));
    if (time.hour.ptr) {
        cel__buf_addf(&iso, "T%02d:%02d:%02d", to_int(time.hour), to_int(time.minute),
                      to_int(time.second));
        add_fraction(&iso, time.fraction);
        add_zone(&iso, time.zone);
    }
    out->failed |= iso.failed;
    cel__typed_add(out, time.hour.ptr ? "datetime" : "date", cel__buf_view(&iso));
    cel__buf_done(&iso);
    return true;
}
