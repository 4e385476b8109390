/* coerce.c - checks of types, and values from text. */
#include "app/coerce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "app/pyread.h"
#include "app/queues.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/number.h"

#define MAX_TEXT ((size_t)1 << 20) /* longer values of the environment are refused */

static const char *describe(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return json_object_get(value, "__class__") ? "an object" : "a dictionary";
    case JSON_ARRAY:
        return "a list or tuple";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a float";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "None";
    }
}

static cel_code
mismatch(const cel_setting *setting, const json_t *value, const char *where, cel_error *err)
{
    static const char *const expected[] = {
        [CEL_SETTING_STRING] = "a string",
        [CEL_SETTING_URL] = "a URL or a list of URLs",
        [CEL_SETTING_BOOL] = "True or False",
        [CEL_SETTING_INT] = "an integer",
        [CEL_SETTING_COUNT] = "an integer that is not negative",
        [CEL_SETTING_NUMBER] = "a number",
        [CEL_SETTING_SECONDS] = "a number of seconds that is not negative",
        [CEL_SETTING_STRINGS] = "a list of strings",
        [CEL_SETTING_DICT] = "a dictionary",
        [CEL_SETTING_ANY] = "another value",
    };

    return cel_error_set(err, CEL_ECONFIG, "%s%s: %s is expected, not %s", where, setting->name,
                         expected[setting->type], describe(value));
}

static bool is_plain(const json_t *value)
{
    return json_is_string(value) &&
           strlen(json_string_value(value)) == json_string_length(value);
}

/* Joins a list of strings with ';'; NULL if it is none, or when out of memory. */
static json_t *join_urls(const json_t *list)
{
    cel__buf buf = {0};
    json_t *joined = NULL;
    size_t i;
    json_t *url;

    json_array_foreach((json_t *)list, i, url)
    {
        if (!is_plain(url))
            goto done;
        if (buf.len > 0)
            cel__buf_add_byte(&buf, ';');
        cel__buf_add_str(&buf, json_string_value(url));
    }
    if (json_array_size(list) > 0 && cel__buf_cstr(&buf))
        joined = json_stringn(buf.ptr, buf.len);

done:
    cel__buf_done(&buf);
    return joined;
}

static bool are_strings(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is_plain(json_array_get(list, i)))
            return false;
    }
    return json_is_array(list);
}

/* Returns the value in its one form, a new reference, or NULL if it is of a wrong type. */
static json_t *check_type(const cel_setting *setting, json_t *value)
{
    bool number = json_is_number(value);

    switch (setting->type) {
    case CEL_SETTING_STRING:
        return is_plain(value) ? json_incref(value) : NULL;
    case CEL_SETTING_URL:
        if (json_is_array(value))
            return join_urls(value);
        return is_plain(value) ? json_incref(value) : NULL;
    case CEL_SETTING_BOOL:
        if (json_is_integer(value) && (uint64_t)json_integer_value(value) <= 1)
            return json_boolean(json_integer_value(value));
        return json_is_boolean(value) ? json_incref(value) : NULL;
    case CEL_SETTING_INT:
        return json_is_integer(value) ? json_incref(value) : NULL;
    case CEL_SETTING_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0 ? json_incref(value)
                                                                        : NULL;
    case CEL_SETTING_NUMBER:
        return number ? json_incref(value) : NULL;
    case CEL_SETTING_SECONDS:
        return number && json_number_value(value) >= 0 &&
                       json_number_value(value) <= (double)(CEL_MAX_MS / 1000)
                   ? json_incref(value)
                   : NULL;
    case CEL_SETTING_STRINGS:
        if (is_plain(value))
            return json_pack("[O]", value);
        return are_strings(value) ? json_incref(value) : NULL;
    case CEL_SETTING_DICT:
        return json_is_object(value) && !json_object_get(value, "__class__")
                   ? json_incref(value)
                   : NULL;
    case CEL_SETTING_ANY:
        return json_incref(value);
    }
    return NULL;
}

static bool may_be_none(const cel_setting *setting)
{
    return (setting->flags & CEL_SETTING_NULLABLE) || setting->type == CEL_SETTING_BOOL ||
           strcmp(setting->value, "null") == 0;
}

cel_code cel__coerce(
    json_t **out, const cel_setting *setting, json_t *value, const char *where, cel_error *err)
{
    cel_error why;

    if (json_is_null(value)) {
        if (!may_be_none(setting))
            return cel_error_set(err, CEL_ECONFIG, "%s%s: must not be None", where,
                                 setting->name);
        *out = json_null();
        return CEL_OK;
    }
    json_t *checked = check_type(setting, value);
    if (!checked)
        return mismatch(setting, value, where, err);
    cel_code code = cel__queues_check(setting->name, checked, &why);
    if (code) {
        json_decref(checked);
        return cel_error_set(err, code, "%s%s: %s", where, setting->name, why.message);
    }
    *out = checked;
    return CEL_OK;
}

static bool is_text(cel_view text, const char *lower)
{
    return text.len == strlen(lower) && strncasecmp(text.ptr, lower, text.len) == 0;
}

/* The words of Celery's strtobool(). */
static json_t *parse_bool(cel_view text)
{
    static const char *const words[2][4] = {{"false", "no", "0", "off"},
                                            {"true", "yes", "1", "on"}};

    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 4; i++) {
            if (is_text(text, words[value][i]))
                return json_boolean(value);
        }
    }
    return NULL;
}

static json_t *parse_int(const char *text)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || end == text || *end ? NULL : json_integer(value);
}

static json_t *parse_number(const char *text)
{
    json_t *value = parse_int(text);
    double real;

    if (value)
        return value;
    return cel__double_parse(&real, cel__view(text)) ? json_real(real) : NULL;
}

/* Splits at commas; spaces around the parts are dropped, empty parts too. */
static json_t *parse_list(cel_view text)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ',')
            end++;
        size_t from = i, to = end;
        while (from < to && text.ptr[from] == ' ')
            from++;
        while (to > from && text.ptr[to - 1] == ' ')
            to--;
        if (to > from &&
            json_array_append_new(list, json_stringn(text.ptr + from, to - from))) {
            json_decref(list);
            return NULL;
        }
        i = end + 1;
    }
    return list;
}

/* JSON, or else a Python expression. */
static cel_code parse_literal(json_t **out, cel_view text, const char *where, cel_error *err)
{
    cel_error why;

    *out = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (*out)
        return CEL_OK;
    cel_code code = cel__pyread_value(out, text, &why);
    if (code)
        return cel_error_set(err, code, "%s%s", where, why.message);
    return CEL_OK;
}

static bool looks_like_literal(cel_view text)
{
    return text.len > 0 && strchr("[{(\"'", text.ptr[0]);
}

/* Numbers, None, True as what they are, all else as a string. */
static cel_code parse_any(json_t **out, cel_view text, const char *where, cel_error *err)
{
    if (looks_like_literal(text))
        return parse_literal(out, text, where, err);
    json_t *value = parse_number(text.ptr);
    if (!value && (cel__view_is(text, "True") || cel__view_is(text, "true")))
        value = json_true();
    if (!value && (cel__view_is(text, "False") || cel__view_is(text, "false")))
        value = json_false();
    *out = value ? value : json_stringn(text.ptr, text.len);
    return CEL_OK;
}

/* Puts NULL into *out for text that is not of the type. `text` is NUL-terminated. */
static cel_code parse_typed(
    json_t **out, const cel_setting *setting, cel_view text, const char *where, cel_error *err)
{
    switch (setting->type) {
    case CEL_SETTING_STRING:
        *out = json_stringn(text.ptr, text.len);
        return CEL_OK;
    case CEL_SETTING_BOOL:
        *out = parse_bool(text);
        return CEL_OK;
    case CEL_SETTING_INT:
    case CEL_SETTING_COUNT:
        *out = parse_int(text.ptr);
        return *out ? CEL_OK : parse_literal(out, text, where, err);
    case CEL_SETTING_NUMBER:
    case CEL_SETTING_SECONDS:
        *out = parse_number(text.ptr);
        return *out ? CEL_OK : parse_literal(out, text, where, err);
    case CEL_SETTING_URL:
        if (text.len == 0 || text.ptr[0] != '[') {
            *out = json_stringn(text.ptr, text.len);
            return CEL_OK;
        }
        return parse_literal(out, text, where, err);
    case CEL_SETTING_STRINGS:
        if (looks_like_literal(text))
            return parse_literal(out, text, where, err);
        *out = parse_list(text);
        return CEL_OK;
    case CEL_SETTING_DICT:
        return parse_literal(out, text, where, err);
    case CEL_SETTING_ANY:
        return parse_any(out, text, where, err);
    }
    return CEL_OK;
}

cel_code cel__coerce_text(
    json_t **out, const cel_setting *setting, cel_view text, const char *where, cel_error *err)
{
    json_t *value = NULL;
    cel_error why;
    cel_code code;

    if (text.len > MAX_TEXT)
        return cel_error_set(err, CEL_ECONFIG, "%s%s: longer than 1 MiB", where, setting->name);
    if (setting->type != CEL_SETTING_STRING &&
        (cel__view_is(text, "None") || cel__view_is(text, "null")))
        return cel__coerce(out, setting, json_null(), where, err);
    code = parse_typed(&value, setting, text, "", &why);
    if (code)
        return cel_error_set(err, code, "%s%s: %s", where, setting->name, why.message);
    if (!value) /* text that is not UTF-8, too */
        return cel_error_set(err, CEL_ECONFIG, "%s%s: %s is expected", where, setting->name,
                             cel__setting_type_text(setting->type));
    code = cel__coerce(out, setting, value, where, err);
    json_decref(value);
    return code;
}

cel_code
cel__coerce_cast(json_t **out, cel_view type, cel_view text, const char *where, cel_error *err)
{
    json_t *value = NULL;
    bool known = true;

    if (is_text(type, "int"))
        value = parse_int(text.ptr);
    else if (is_text(type, "float"))
        value = parse_number(text.ptr);
    else if (is_text(type, "bool"))
        value = parse_bool(text);
    else if (is_text(type, "string"))
        value = json_stringn(text.ptr, text.len);
    else if (is_text(type, "json") || is_text(type, "dict") || is_text(type, "list") ||
             is_text(type, "tuple"))
        value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    else
        known = false;
    if (!known)
        return cel_error_set(err, CEL_ECONFIG,
                             "%sthere is no cast (%.*s): int, float, bool, string, tuple, "
                             "list, dict and json are",
                             where, CEL_VIEW_ARG(type));
    if (!value)
        return cel_error_set(err, CEL_ECONFIG, "%swhat follows (%.*s) is none", where,
                             CEL_VIEW_ARG(type));
    *out = value;
    return CEL_OK;
}
