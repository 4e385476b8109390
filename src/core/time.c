/* time.c - see time.h. Days are counted with the civil-calendar formulas, without the C
 * library's time zone state. */
#include "core/time.h"

#include <string.h>

struct reader {
    cel_view text;
    size_t at;
};

int64_t cel__days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void cel__civil_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

/* Writes `value` with `count` digits and returns where the next character goes. */
static char *put(char *out, int64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + count;
}

static char *put_date(char *out, int64_t days)
{
    int year, month, day;

    cel__civil_from_days(days, &year, &month, &day);
    out = put(out, year, 4);
    *out++ = '-';
    out = put(out, month, 2);
    *out++ = '-';
    return put(out, day, 2);
}

static char *put_clock(char *out, int64_t seconds)
{
    *out++ = 'T';
    out = put(out, seconds / 3600, 2);
    *out++ = ':';
    out = put(out, seconds / 60 % 60, 2);
    *out++ = ':';
    return put(out, seconds % 60, 2);
}

/* Written by hand, since every result has a date and printf() takes longer than all the
 * rest. */
void cel__time_format(char out[CEL_TIME_TEXT], int64_t wall_us)
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t first_us = INT64_C(-62135596800000000), last_us = INT64_C(253402300799999999);
    int64_t days, rest;

    if (wall_us < first_us)
        wall_us = first_us;
    if (wall_us > last_us)
        wall_us = last_us;
    days = wall_us / day_us;
    rest = wall_us % day_us;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    out = put_date(out, days);
    out = put_clock(out, rest / 1000000);
    if (rest % 1000000) {
        *out++ = '.';
        out = put(out, rest % 1000000, 6);
    }
    memcpy(out, "+00:00", sizeof "+00:00");
}

static bool take(struct reader *in, char c)
{
    if (in->at == in->text.len || in->text.ptr[in->at] != c)
        return false;
    in->at++;
    return true;
}

static bool digits(struct reader *in, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        char c = in->at < in->text.len ? in->text.ptr[in->at] : '\0';

        if (c < '0' || c > '9')
            return false;
        *value = *value * 10 + (c - '0');
        in->at++;
    }
    return true;
}

static bool read_date(struct reader *in, int64_t *days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, last;
    bool dashes;

    if (!digits(in, 4, &year))
        return false;
    dashes = take(in, '-');
    if (!digits(in, 2, &month) || take(in, '-') != dashes || !digits(in, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12)
        return false;
    last = lengths[month - 1];
    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
        last = 29;
    if (day < 1 || day > last)
        return false;
    *days = cel__days_from_civil(year, month, day);
    return true;
}

static int64_t read_fraction(struct reader *in)
{
    int64_t us = 0;
    int64_t scale = 100000;

    while (in->at < in->text.len && in->text.ptr[in->at] >= '0' &&
           in->text.ptr[in->at] <= '9') {
        us += scale * (in->text.ptr[in->at] - '0');
        scale /= 10;
        in->at++;
    }
    return us;
}

static bool read_clock(struct reader *in, int64_t *us)
{
    int hour, minute = 0, second = 0;
    int64_t fraction = 0;

    if (!digits(in, 2, &hour))
        return false;
    if (in->at < in->text.len && in->text.ptr[in->at] != 'Z' && in->text.ptr[in->at] != '+' &&
        in->text.ptr[in->at] != '-') {
        bool colons = take(in, ':');

        if (!digits(in, 2, &minute))
            return false;
        if (colons ? take(in, ':')
                   : in->at < in->text.len && in->text.ptr[in->at] >= '0' &&
                         in->text.ptr[in->at] <= '9') {
            size_t start;

            if (!digits(in, 2, &second))
                return false;
            if (take(in, '.') || take(in, ',')) {
                start = in->at;
                fraction = read_fraction(in);
                if (in->at == start)
                    return false;
            }
        }
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 + fraction;
    return true;
}

static bool read_offset(struct reader *in, int64_t *us)
{
    int hours, minutes = 0;
    int64_t sign;

    *us = 0;
    if (in->at == in->text.len || take(in, 'Z') || take(in, 'z'))
        return true;
    if (take(in, '+'))
        sign = 1;
    else if (take(in, '-'))
        sign = -1;
    else
        return false;
    if (!digits(in, 2, &hours))
        return false;
    if (in->at < in->text.len) {
        take(in, ':');
        if (!digits(in, 2, &minutes))
            return false;
    }
    if (hours > 23 || minutes > 59)
        return false;
    *us = sign * ((int64_t)hours * 3600 + minutes * 60) * 1000000;
    return true;
}

bool cel__time_parse(int64_t *wall_us, cel_view text)
{
    struct reader in = {text, 0};
    int64_t days, us = 0, offset = 0;

    if (!read_date(&in, &days))
        return false;
    if (take(&in, 'T') || take(&in, ' ')) {
        if (!read_clock(&in, &us) || !read_offset(&in, &offset))
            return false;
    }
    if (in.at != text.len)
        return false;
    *wall_us = days * 86400 * 1000000 + us - offset;
    return true;
}
