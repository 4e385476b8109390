/* crontab_parse.c - the grammar of crontab.h. */
#include <string.h>

#include "beat/crontab.h"
#include "core/time.h"

#define LIST_MAX 1000 /* members of an array */

static const struct {
    const char *name;
    int first, last;
} fields[] = {
    [CEL_CRONTAB_MINUTE] = {"minute", 0, 59},
    [CEL_CRONTAB_HOUR] = {"hour", 0, 23},
    [CEL_CRONTAB_WEEK_DAY] = {"day_of_week", 0, 6},
    [CEL_CRONTAB_MONTH_DAY] = {"day_of_month", 1, 31},
    [CEL_CRONTAB_MONTH] = {"month_of_year", 1, 12},
};

/* What is being read. */
struct reader {
    cel_crontab_field field;
    cel_view part; /* between two commas, for messages */
    const char *at, *end;
    cel_error *err;
};

static cel_code refuse(const struct reader *reader, const char *why)
{
    return cel_error_set(
        reader->err, CEL_ECONFIG, "crontab: %s '%.*s': %s", fields[reader->field].name,
        reader->part.len > 60 ? 60 : (int)reader->part.len, reader->part.ptr, why);
}

static cel_code check_range(const struct reader *reader, int64_t value)
{
    if (value >= fields[reader->field].first && value <= fields[reader->field].last)
        return CEL_OK;
    return cel_error_set(reader->err, CEL_ECONFIG, "crontab: %s: %lld is not in %d-%d",
                         fields[reader->field].name, (long long)value,
                         fields[reader->field].first, fields[reader->field].last);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The first three letters count, in any case. -1: neither month nor day. */
static int find_name(const char *text, size_t len)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdecsunmontuewedthufrisat";
    char name[3];

    if (len < 3)
        return -1;
    for (int i = 0; i < 3; i++)
        name[i] = (char)(text[i] | 0x20);
    for (int i = 0; names[3 * i]; i++)
        if (memcmp(names + 3 * i, name, 3) == 0)
            return i < 12 ? i + 1 : i - 12;
    return -1;
}

static bool read_digits(struct reader *reader, int *out)
{
    const char *from = reader->at;
    int value = 0;

    while (reader->at < reader->end && is_digit(*reader->at)) {
        if (value < 1000000)
            value = value * 10 + (*reader->at - '0');
        reader->at++;
    }
    *out = value;
    return reader->at > from;
}

static cel_code read_number(struct reader *reader, int *out)
{
    const char *from = reader->at;

    if (from < reader->end && *from == '-')
        return refuse(reader, "negative numbers are not supported");
    if (!read_digits(reader, out)) {
        while (reader->at < reader->end && is_letter(*reader->at))
            reader->at++;
        *out = find_name(from, (size_t)(reader->at - from));
        if (*out < 0)
            return refuse(reader, "a number, a name of a day or a month, or '*' is expected");
    }
    return check_range(reader, *out);
}

/* What stands behind the slash; 1 without one. */
static cel_code read_step(struct reader *reader, bool allowed, int *step)
{
    *step = 1;
    if (reader->at == reader->end)
        return CEL_OK;
    if (*reader->at != '/')
        return refuse(reader, "it does not end here");
    if (!allowed)
        return refuse(reader, "a step needs a range or '*'");
    reader->at++;
    if (!read_digits(reader, step))
        return refuse(reader, "the step is no number");
    if (*step == 0)
        return refuse(reader, "the step is zero");
    return reader->at == reader->end ? CEL_OK : refuse(reader, "it does not end here");
}

static cel_code read_part(struct reader *reader, uint64_t *set)
{
    int first = fields[reader->field].first, last = fields[reader->field].last;
    int count = last - first + 1;
    int from = first, to = last, step;
    bool range = true;
    cel_code code;

    if (reader->at == reader->end)
        return refuse(reader, "an empty part");
    if (*reader->at == '*') {
        reader->at++;
    } else {
        code = read_number(reader, &from);
        if (code != CEL_OK)
            return code;
        to = from;
        range = reader->at < reader->end && *reader->at == '-';
        if (range) {
            reader->at++;
            code = read_number(reader, &to);
            if (code != CEL_OK)
                return code;
        }
    }
    code = read_step(reader, range, &step);
    if (code != CEL_OK)
        return code;
    if (to < from) /* around the end */
        to += count;
    for (int i = from; i <= to; i += step)
        *set |= UINT64_C(1) << (i > last ? i - count : i);
    return CEL_OK;
}

cel_code
cel__crontab_field(uint64_t *set, cel_crontab_field field, cel_view text, cel_error *err)
{
    const char *at = text.ptr ? text.ptr : "", *end = at + text.len;
    uint64_t found = 0;

    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct reader reader = {field, {NULL, 0}, at, comma ? comma : end, err};
        cel_code code;

        while (reader.at < reader.end && *reader.at == ' ')
            reader.at++;
        while (reader.end > reader.at && reader.end[-1] == ' ')
            reader.end--;
        reader.part = (cel_view){reader.at, (size_t)(reader.end - reader.at)};
        code = read_part(&reader, &found);
        if (code != CEL_OK)
            return code;
        if (!comma)
            break;
        at = comma + 1;
    }
    *set = found;
    return CEL_OK;
}

static cel_code
load_list(uint64_t *set, cel_crontab_field field, const json_t *list, cel_error *err)
{
    struct reader reader = {field, {"", 0}, NULL, NULL, err};
    const json_t *value;
    uint64_t found = 0;
    size_t i;

    if (json_array_size(list) == 0 || json_array_size(list) > LIST_MAX)
        return cel_error_set(err, CEL_ECONFIG,
                             "crontab: %s: a list of 1 to %d numbers is expected",
                             fields[field].name, LIST_MAX);
    json_array_foreach(list, i, value)
    {
        cel_code code;

        if (!json_is_integer(value))
            return cel_error_set(err, CEL_ECONFIG, "crontab: %s: only numbers may be in a list",
                                 fields[field].name);
        code = check_range(&reader, json_integer_value(value));
        if (code != CEL_OK)
            return code;
        found |= UINT64_C(1) << json_integer_value(value);
    }
    *set = found;
    return CEL_OK;
}

static cel_code
load_field(uint64_t *set, cel_crontab_field field, const json_t *value, cel_error *err)
{
    struct reader reader = {field, {"", 0}, NULL, NULL, err};
    cel_code code;

    if (!value)
        return cel__crontab_field(set, field, CEL_VIEW("*"), err);
    if (json_is_string(value))
        return cel__crontab_field(
            set, field, (cel_view){json_string_value(value), json_string_length(value)}, err);
    if (json_is_array(value))
        return load_list(set, field, value, err);
    if (!json_is_integer(value))
        return cel_error_set(err, CEL_ECONFIG,
                             "crontab: %s: a number, a text or a list of numbers is expected",
                             fields[field].name);
    code = check_range(&reader, json_integer_value(value));
    if (code == CEL_OK)
        *set = UINT64_C(1) << json_integer_value(value);
    return code;
}

/* Takes over the sets, unless no day of the calendar is in them. */
static cel_code finish(cel_crontab *crontab, const uint64_t sets[5], cel_error *err)
{
    static const int longest[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool possible = false;

    for (int month = 1; month <= 12; month++) {
        uint64_t days = (UINT64_C(1) << (longest[month] + 1)) - 1;

        if (sets[CEL_CRONTAB_MONTH] >> month & 1 && sets[CEL_CRONTAB_MONTH_DAY] & days)
            possible = true;
    }
    if (!possible)
        return cel_error_set(err, CEL_ECONFIG, "crontab: no month has such a day");
    *crontab = (cel_crontab){.minutes = sets[CEL_CRONTAB_MINUTE],
                             .hours = (uint32_t)sets[CEL_CRONTAB_HOUR],
                             .week_days = (uint32_t)sets[CEL_CRONTAB_WEEK_DAY],
                             .month_days = (uint32_t)sets[CEL_CRONTAB_MONTH_DAY],
                             .months = (uint32_t)sets[CEL_CRONTAB_MONTH]};
    return CEL_OK;
}

cel_code cel__crontab_load(cel_crontab *crontab, const json_t *object, cel_error *err)
{
    uint64_t sets[5];

    for (int i = 0; i < 5; i++) {
        cel_code code = load_field(&sets[i], (cel_crontab_field)i,
                                   json_object_get(object, fields[i].name), err);
        if (code != CEL_OK)
            return code;
    }
    return finish(crontab, sets, err);
}

cel_code cel__crontab_parse(cel_crontab *crontab, cel_view line, cel_error *err)
{
    static const cel_crontab_field order[] = {CEL_CRONTAB_MINUTE, CEL_CRONTAB_HOUR,
                                              CEL_CRONTAB_MONTH_DAY, CEL_CRONTAB_MONTH,
                                              CEL_CRONTAB_WEEK_DAY};
    const char *at = line.ptr ? line.ptr : "", *end = at + line.len;
    uint64_t sets[5];
    int count = 0;

    for (;;) {
        const char *from;
        cel_code code;

        while (at < end && *at == ' ')
            at++;
        from = at;
        while (at < end && *at != ' ')
            at++;
        if (at == from)
            break;
        if (count == 5)
            return cel_error_set(err, CEL_ECONFIG, "crontab: more than five fields");
        code = cel__crontab_field(&sets[order[count]], order[count],
                                  (cel_view){from, (size_t)(at - from)}, err);
        if (code != CEL_OK)
            return code;
        count++;
    }
    if (count < 5)
        return cel_error_set(err, CEL_ECONFIG,
                             "crontab: five fields are expected: minute, hour, day of the "
                             "month, month, day of the week");
    return finish(crontab, sets, err);
}
