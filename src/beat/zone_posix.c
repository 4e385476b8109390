/* zone_posix.c - the text that says how a zone goes on for ever: POSIX TZ, with the hours up to 167
 * of RFC 8536. */
#include <string.h>

#include "beat/zone_impl.h"
#include "core/time.h"

#define DAY_S 86400

struct reader {
    const char *at, *end;
};

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool read_number(struct reader *reader, int max, int *out)
{
    int value = 0, digits = 0;

    while (reader->at < reader->end && is_digit(*reader->at) && digits < 4) {
        value = value * 10 + (*reader->at++ - '0');
        digits++;
    }
    *out = value;
    return digits > 0 && value <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(struct reader *reader, int max_hours, int64_t *out)
{
    bool negative = take(reader, '-');
    int hours, minutes = 0, seconds = 0;

    if (!negative)
        take(reader, '+');
    if (!read_number(reader, max_hours, &hours))
        return false;
    if (take(reader, ':') && !read_number(reader, 59, &minutes))
        return false;
    if (take(reader, ':') && !read_number(reader, 59, &seconds))
        return false;
    *out = (int64_t)hours * 3600 + minutes * 60 + seconds;
    if (negative)
        *out = -*out;
    return true;
}

/* CET, or <+03>. */
static bool skip_name(struct reader *reader)
{
    const char *from = reader->at;

    if (take(reader, '<')) {
        while (reader->at < reader->end && *reader->at != '>')
            reader->at++;
        return reader->at - from > 1 && take(reader, '>');
    }
    while (reader->at < reader->end && is_letter(*reader->at))
        reader->at++;
    return reader->at - from >= 3;
}

static bool read_rule(struct reader *reader, cel_zone_rule *rule)
{
    *rule = (cel_zone_rule){.kind = 'D', .time_s = 7200};
    if (take(reader, 'M')) {
        rule->kind = 'M';
        if (!read_number(reader, 12, &rule->month) || rule->month < 1 || !take(reader, '.') ||
            !read_number(reader, 5, &rule->week) || rule->week < 1 || !take(reader, '.') ||
            !read_number(reader, 6, &rule->day))
            return false;
    } else {
        if (take(reader, 'J'))
            rule->kind = 'J';
        if (!read_number(reader, 365, &rule->day) || (rule->kind == 'J' && rule->day < 1))
            return false;
    }
    return !take(reader, '/') || read_time(reader, 167, &rule->time_s);
}

bool cel__zone_yearly_parse(cel_zone_yearly *yearly, cel_view text)
{
    struct reader reader = {text.ptr, text.ptr + text.len};
    int64_t west;

    *yearly = (cel_zone_yearly){0};
    if (!skip_name(&reader) || !read_time(&reader, 24, &west))
        return false;
    yearly->standard_s = -west;
    if (reader.at == reader.end)
        return true;
    if (!skip_name(&reader))
        return false;
    yearly->changes = true;
    yearly->summer_s = yearly->standard_s + 3600;
    if (reader.at < reader.end && *reader.at != ',') {
        if (!read_time(&reader, 24, &west))
            return false;
        yearly->summer_s = -west;
    }
    if (reader.at == reader.end) { /* what POSIX leaves open: the rule of the United States */
        yearly->start = (cel_zone_rule){'M', 3, 2, 0, 7200};
        yearly->end = (cel_zone_rule){'M', 11, 1, 0, 7200};
        return true;
    }
    return take(&reader, ',') && read_rule(&reader, &yearly->start) && take(&reader, ',') &&
           read_rule(&reader, &yearly->end) && reader.at == reader.end;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The local time of a change in a year. */
static int64_t rule_local(const cel_zone_rule *rule, int64_t year)
{
    int64_t day = cel__days_from_civil(year, 1, 1);

    if (rule->kind == 'J') {
        day += rule->day - 1 + (rule->day >= 60 && is_leap(year));
    } else if (rule->kind == 'D') {
        day += rule->day;
    } else {
        int64_t first = cel__days_from_civil(year, rule->month, 1);
        int64_t next =
            cel__days_from_civil(rule->month == 12 ? year + 1 : year, rule->month % 12 + 1, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */

        day = first + (rule->day - weekday + 7) % 7 + 7 * (rule->week - 1);
        while (day >= next)
            day -= 7;
    }
    return day * DAY_S + rule->time_s;
}

cel_zone_span cel__zone_yearly_span(const cel_zone_yearly *yearly, int64_t utc_s)
{
    struct {
        int64_t at_s, offset_s;
    } changes[6], swap;
    cel_zone_span span = {INT64_MIN, INT64_MAX, yearly->standard_s};
    int64_t day = utc_s / DAY_S - (utc_s % DAY_S < 0);
    int year, month, of_month;

    if (!yearly->changes)
        return span;
    cel__civil_from_days(day, &year, &month, &of_month);
    for (int i = 0; i < 3; i++) { /* a change is at most a week from the year it belongs to */
        changes[2 * i].at_s = rule_local(&yearly->start, year + i - 1) - yearly->standard_s;
        changes[2 * i].offset_s = yearly->summer_s;
        changes[2 * i + 1].at_s = rule_local(&yearly->end, year + i - 1) - yearly->summer_s;
        changes[2 * i + 1].offset_s = yearly->standard_s;
    }
    for (int i = 1; i < 6; i++) { /* stable: an end comes before the start of the next year */
        for (int k = i; k > 0 && changes[k - 1].at_s > changes[k].at_s; k--) {
            swap = changes[k];
            changes[k] = changes[k - 1];
            changes[k - 1] = swap;
        }
    }
    for (int i = 0; i < 6; i++) {
        if (changes[i].at_s > utc_s) {
            span.end_s = changes[i].at_s;
            break;
        }
        span.start_s = changes[i].at_s;
        span.offset_s = changes[i].offset_s;
    }
    return span;
}
