/* flow.c - see flow.h. */
#include "flow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "record.h"
#include "source.h"

struct range {
    json_int_t lo, hi;
};

/* ---- the parameters ---- */

static bool check_names(const json_t *params, cel_error *err)
{
    static const char *const names[] = {"dates", "levels", "top", "data"};
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)params, name, value)
    {
        bool known = false;

        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || strcmp(name, names[i]) == 0;
        if (!known) {
            cel_error_set(err, CEL_EINVAL,
                          "unknown parameter '%.40s': there are dates, levels, top and data",
                          name);
            return false;
        }
    }
    return true;
}

/* The list of that name; NULL if it is none, or empty. */
static const json_t *find_list(const json_t *params, const char *name, cel_error *err)
{
    const json_t *list = json_object_get(params, name);

    if (json_array_size(list) > 0)
        return list;
    cel_error_set(err, CEL_EINVAL,
                  list ? "'%s' must be a list that is not empty" : "'%s' is missing", name);
    return NULL;
}

static bool read_date(char date[HW_DATE_LEN + 1], const json_t *value, cel_error *err)
{
    char text[32] = "";

    if (json_is_integer(value))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        snprintf(text, sizeof text, "%s", json_string_value(value));
    if (!hw_date_is_valid(text)) {
        cel_error_set(err, CEL_EINVAL, "'dates': expected eight digits such as 20200406%s%s",
                      text[0] ? ", not " : "", text);
        return false;
    }
    memcpy(date, text, HW_DATE_LEN + 1);
    return true;
}

static int compare_dates(const void *a, const void *b)
{
    return memcmp(a, b, HW_DATE_LEN);
}

static bool check_dates(const json_t *list, cel_error *err)
{
    size_t count = json_array_size(list);
    char(*dates)[HW_DATE_LEN + 1] = calloc(count, sizeof *dates);
    bool ok = dates != NULL;

    if (!dates)
        cel_error_set(err, CEL_ENOMEM, "no memory for %zu days", count);
    for (size_t i = 0; i < count && ok; i++)
        ok = read_date(dates[i], json_array_get(list, i), err);
    if (ok)
        qsort(dates, count, sizeof *dates, compare_dates);
    for (size_t i = 1; i < count && ok; i++) {
        ok = memcmp(dates[i - 1], dates[i], HW_DATE_LEN) != 0;
        if (!ok)
            cel_error_set(err, CEL_EINVAL, "'dates': %s comes twice", dates[i]);
    }
    free(dates);
    return ok;
}

static bool read_range(struct range *range, const json_t *value, cel_error *err)
{
    const json_t *lo = json_array_get(value, 0);
    const json_t *hi = json_array_get(value, 1);

    if (json_array_size(value) == 2 && json_is_integer(lo) && json_is_integer(hi)) {
        range->lo = json_integer_value(lo);
        range->hi = json_integer_value(hi);
        if (range->lo >= 1 && range->lo <= range->hi && range->hi <= HW_LEVEL_MAX)
            return true;
    }
    cel_error_set(err, CEL_EINVAL,
                  "'levels': expected ranges [lo, hi] of integers, 1 <= lo <= hi <= %d",
                  HW_LEVEL_MAX);
    return false;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return (x->lo > y->lo) - (x->lo < y->lo);
}

static bool check_levels(const json_t *list, cel_error *err)
{
    size_t count = json_array_size(list);
    struct range *ranges = calloc(count, sizeof *ranges);
    bool ok = ranges != NULL;

    if (!ranges)
        cel_error_set(err, CEL_ENOMEM, "no memory for %zu ranges", count);
    for (size_t i = 0; i < count && ok; i++)
        ok = read_range(&ranges[i], json_array_get(list, i), err);
    if (ok)
        qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 1; i < count && ok; i++) {
        ok = ranges[i - 1].hi < ranges[i].lo;
        if (!ok)
            cel_error_set(err, CEL_EINVAL,
                          "'levels': [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                          "] and [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                          "] overlap: a player would be counted twice",
                          ranges[i - 1].lo, ranges[i - 1].hi, ranges[i].lo, ranges[i].hi);
    }
    free(ranges);
    return ok;
}

/* A table's URL is read here already, so that a wrong one is refused when the job is asked for. */
static bool check_url(const char *data, cel_error *err)
{
    hw_source source = {0};
    hw_error why;
    hw_code code = HW_OK;

    if (data && hw_source_is_url(data))
        code = hw_source_read(&source, data, &why);
    hw_source_done(&source);
    if (code != HW_OK)
        cel_error_set(err, CEL_EINVAL, "'data': %s", why.message);
    return code == HW_OK;
}

static bool check_rest(const json_t *params, cel_error *err)
{
    const json_t *top = json_object_get(params, "top");
    const json_t *data = json_object_get(params, "data");

    if (top && (!json_is_integer(top) || json_integer_value(top) < 1 ||
                json_integer_value(top) > HW_TOP_MAX)) {
        cel_error_set(err, CEL_EINVAL, "'top' must be an integer of 1 to %d", HW_TOP_MAX);
        return false;
    }
    if (data && !json_is_null(data) && json_string_length(data) == 0) {
        cel_error_set(err, CEL_EINVAL,
                      "'data' must be the path of a folder, or the URL of a table");
        return false;
    }
    return check_url(json_string_value(data), err);
}

/* ---- the signature ---- */

/* What events and `inspect` show in place of the arguments when they hold a password. */
static cel_signature *
hide_password(cel_signature *part, const json_t *date, const json_t *range, const char *data)
{
    char *shown = NULL;
    const char *quote = json_is_string(date) ? "'" : "";
    char day[HW_DATE_LEN + 1];
    json_t *repr = NULL;

    if (read_date(day, date, NULL) && hw_source_mask(&shown, data, NULL) == HW_OK)
        repr =
            json_sprintf("(%s%s%s, %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT ", '%s')",
                         quote, day, quote, json_integer_value(json_array_get(range, 0)),
                         json_integer_value(json_array_get(range, 1)), shown);
    free(shown);
    if (repr)
        return cel_signature_set(part, "argsrepr", repr);
    cel_signature_free(part);
    return NULL;
}

static cel_signature *make_part(const json_t *date, const json_t *range, const json_t *data)
{
    json_t *args =
        json_pack("[O, O, O]", date, json_array_get(range, 0), json_array_get(range, 1));

    cel_signature *part;

    if (args && json_is_string(data))
        json_array_append(args, (json_t *)data);
    part = args ? cel_signature_new("make_result_str", args, NULL) : NULL;
    if (!part || !json_is_string(data) || !hw_source_is_url(json_string_value(data)))
        return part;
    return hide_password(part, date, range, json_string_value(data));
}

static cel_signature *make_body(const json_t *top)
{
    json_t *kwargs = top ? json_pack("{s:O}", "top", top) : NULL;

    return cel_signature_new("make_model", NULL, kwargs);
}

cel_signature *hw_flow(cel_app *app, const json_t *params, void *user, cel_error *err)
{
    const json_t *dates, *levels;
    cel_signature **parts, *job;
    size_t days, ranges;

    (void)app;
    (void)user;
    if (!check_names(params, err) || !check_rest(params, err))
        return NULL;
    dates = find_list(params, "dates", err);
    levels = dates ? find_list(params, "levels", err) : NULL;
    days = json_array_size(dates);
    ranges = json_array_size(levels);
    if (!dates || !levels)
        return NULL;
    if (days > HW_PARTS_MAX || ranges > HW_PARTS_MAX || days * ranges > HW_PARTS_MAX) {
        cel_error_set(err, CEL_EINVAL, "%zu days times %zu ranges: at most %d parts", days,
                      ranges, HW_PARTS_MAX);
        return NULL;
    }
    if (!check_dates(dates, err) || !check_levels(levels, err))
        return NULL;
    parts = calloc(days * ranges, sizeof(cel_signature *));
    if (!parts) {
        cel_error_set(err, CEL_ENOMEM, "no memory for %zu parts", days * ranges);
        return NULL;
    }
    for (size_t day = 0; day < days; day++)
        for (size_t range = 0; range < ranges; range++)
            parts[day * ranges + range] =
                make_part(json_array_get(dates, day), json_array_get(levels, range),
                          json_object_get(params, "data"));
    job = cel_chord(cel_group(days * ranges, parts), make_body(json_object_get(params, "top")));
    free(parts);
    if (!job)
        cel_error_set(err, CEL_ENOMEM, "no memory for the job");
    return job;
}
