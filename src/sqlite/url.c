/* url.c - see url.h. */
#include "sqlite/url.h"

#include <string.h>

#include "core/mem.h"
#include "core/view.h"
#include "sqlite/engine.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Resolves %XX in place; false if one is broken or gives a NUL. */
static bool percent_decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool parse_number(int64_t *out, cel_view text, int64_t min, int64_t max)
{
    int64_t value = 0;

    if (text.len == 0 || text.len > 15)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

static bool parse_option(cel__sqlite_url *url, cel_view key, cel_view value)
{
    static const char *const levels[] = {"off", "normal", "full"};

    if (cel__view_is(key, "synchronous")) {
        for (int i = CEL_SYNC_OFF; i <= CEL_SYNC_FULL; i++) {
            if (cel__view_is(value, levels[i])) {
                url->synchronous = i;
                return true;
            }
        }
        return false;
    }
    if (cel__view_is(key, "busy_ms"))
        return parse_number(&url->busy_ms, value, 1, 600000);
    if (cel__view_is(key, "lease_ms"))
        return parse_number(&url->lease_ms, value, 100, 86400000);
    if (cel__view_is(key, "max_page_count"))
        return parse_number(&url->max_page_count, value, 1, INT32_MAX);
    return false;
}

static cel_code parse_query(cel__sqlite_url *url, const char *query, cel_error *err)
{
    while (*query) {
        size_t len = strcspn(query, "&");
        const char *equals = memchr(query, '=', len);
        cel_view key = {query, equals ? (size_t)(equals - query) : len};
        cel_view value = {"", 0};
        if (equals)
            value = (cel_view){equals + 1, len - key.len - 1};
        if (len > 0 && !parse_option(url, key, value))
            return cel_error_set(err, CEL_ECONFIG,
                                 "sqlite URL: option '%.*s' is unknown or out of range",
                                 (int)(key.len > 100 ? 100 : key.len), query);
        query += len;
        query += *query == '&';
    }
    return CEL_OK;
}

cel_code cel__sqlite_url_parse(cel__sqlite_url *out, const char *url, cel_error *err)
{
    static const char scheme[] = "sqlite:///";
    cel__sqlite_url parsed = {.synchronous = CEL_SYNC_FULL, .busy_ms = 10000};

    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return cel_error_set(
            err, CEL_ECONFIG, /* without the URL: it may hold a password */
            "an sqlite URL begins with sqlite:/// and has neither host nor user");
    url += sizeof scheme - 1;
    size_t len = strcspn(url, "?");
    if (len == 0)
        return cel_error_set(err, CEL_ECONFIG, "sqlite URL: the path of the file is missing");
    if (url[len] == '?') {
        cel_code code = parse_query(&parsed, url + len + 1, err);
        if (code != CEL_OK)
            return code;
    }
    parsed.path = cel__memdup(url, len);
    if (!parsed.path)
        return cel_error_set(err, CEL_ENOMEM, "no memory for an URL");
    if (!percent_decode(parsed.path)) {
        cel__free(parsed.path);
        return cel_error_set(err, CEL_ECONFIG, "sqlite URL: bad percent-encoding in the path");
    }
    *out = parsed;
    return CEL_OK;
}
