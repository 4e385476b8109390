/* source.c - taking the URL of a table apart.
 *
 * `storage` is a copy of the URL; the parts are cut out of it and decoded where they stand, since no
 * encoding is shorter than what it means. */
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PORT            3306
#define CONNECT_TIMEOUT 10
#define READ_TIMEOUT    60
#define TIMEOUT_MAX     86400
#define NAME_MAX_BYTES  256 /* MariaDB's names have 64 characters */

/* What follows the scheme, or NULL. */
static const char *skip_scheme(const char *url)
{
    static const char *const schemes[] = {"mysql://", "mariadb://"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
            return url + strlen(schemes[i]);
    return NULL;
}

bool hw_source_is_url(const char *data)
{
    return skip_scheme(data) != NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Resolves percent escapes in place. False: there is a bad one, or one of a control character. */
static bool decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++, to++) {
        *to = *from;
        if (*from == '%') {
            const int high = hex_digit(from[1]);
            const int low = high < 0 ? -1 : hex_digit(from[2]);

            if (low < 0)
                return false;
            *to = (char)(high << 4 | low);
            from += 2;
        }
        if ((unsigned char)*to < 0x20 || *to == 0x7F)
            return false;
    }
    *to = '\0';
    return true;
}

/* A decimal number from 1 to `max`. */
static bool read_number(unsigned *out, const char *text, unsigned max)
{
    unsigned value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > max)
            return false;
    }
    *out = value;
    return value >= 1;
}

static hw_code fail_encoding(hw_error *err)
{
    return hw_fail(err, HW_EINVAL, "the table's URL has a bad percent escape");
}

/* Cuts user:password@ off; returns what follows. */
static char *read_user(hw_source *source, char *authority)
{
    char *at = strrchr(authority, '@');
    char *colon;

    if (!at)
        return authority;
    *at = '\0';
    colon = strchr(authority, ':');
    if (colon) {
        *colon = '\0';
        source->password = colon + 1;
    }
    source->user = *authority ? authority : NULL;
    return at + 1;
}

static hw_code read_host(hw_source *source, char *host, hw_error *err)
{
    char *port = strrchr(host, ':');

    if (*host == '[') { /* an address of IPv6 */
        char *end = strchr(host, ']');

        if (!end || (end[1] && end[1] != ':'))
            return hw_fail(err, HW_EINVAL, "the host of the table's URL lacks its ']'");
        port = end[1] ? end + 1 : NULL;
        *end = '\0';
        host++;
    }
    if (port) {
        *port = '\0';
        if (!read_number(&source->port, port + 1, 65535))
            return hw_fail(
                err, HW_EINVAL,
                "the port of the table's URL is no number from 1 to 65535 (a '/' in the "
                "password is written %%2F, an '@' %%40)");
    }
    if (!*host)
        return HW_OK;
    source->host = host;
    return decode(host) ? HW_OK : fail_encoding(err);
}

/* Who and where. */
static hw_code read_authority(hw_source *source, char *authority, hw_error *err)
{
    hw_code code = read_host(source, read_user(source, authority), err);

    if (code != HW_OK)
        return code;
    if ((source->user && !decode((char *)source->user)) ||
        (source->password && !decode((char *)source->password)))
        return fail_encoding(err);
    return HW_OK;
}

/* database/table */
static hw_code read_path(hw_source *source, char *path, hw_error *err)
{
    char *slash = path ? strchr(path, '/') : NULL;

    if (!slash || slash == path || !slash[1] || strpbrk(slash + 1, "/@") ||
        memchr(path, '@', (size_t)(slash - path)))
        return hw_fail(
            err, HW_EINVAL,
            "the table's URL must be mysql://user:password@host:port/database/table (a "
            "'/' in one of them is written %%2F, an '@' %%40)");
    *slash = '\0';
    source->database = path;
    source->table = slash + 1;
    if (!decode(path) || !decode(slash + 1))
        return fail_encoding(err);
    if (strlen(source->database) > NAME_MAX_BYTES || strlen(source->table) > NAME_MAX_BYTES)
        return hw_fail(err, HW_EINVAL, "a name in the table's URL is too long");
    return HW_OK;
}

static hw_code read_timeout(unsigned *out, const char *name, const char *value, hw_error *err)
{
    if (read_number(out, value, TIMEOUT_MAX))
        return HW_OK;
    return hw_fail(err, HW_EINVAL,
                   "the parameter %s of the table's URL is no number of seconds from 1 to %d",
                   name, TIMEOUT_MAX);
}

static hw_code read_param(hw_source *source, char *key, char *value, hw_error *err)
{
    const struct {
        const char *name;
        const char **text;
    } names[] = {{"date", &source->date},
                 {"level", &source->level},
                 {"text", &source->text},
                 {"socket", &source->socket},
                 {"ca", &source->ca}};

    if (!decode(key) || !decode(value))
        return fail_encoding(err);
    if (strcmp(key, "connect_timeout") == 0)
        return read_timeout(&source->connect_timeout, key, value, err);
    if (strcmp(key, "read_timeout") == 0)
        return read_timeout(&source->read_timeout, key, value, err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(key, names[i].name) != 0)
            continue;
        if (!*value || strlen(value) > NAME_MAX_BYTES)
            return hw_fail(err, HW_EINVAL, "the parameter %s of the table's URL is %s", key,
                           *value ? "too long" : "empty");
        *names[i].text = value;
        return HW_OK;
    }
    return hw_fail(err, HW_EINVAL,
                   "the table's URL has an unknown parameter: there are date, level, text, "
                   "socket, ca, connect_timeout and read_timeout");
}

static hw_code read_query(hw_source *source, char *query, hw_error *err)
{
    hw_code code = HW_OK;
    char *rest = NULL;

    for (char *param = query ? strtok_r(query, "&", &rest) : NULL; param && code == HW_OK;
         param = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(param, '=');

        if (value)
            *value++ = '\0';
        code = read_param(source, param, value ? value : param + strlen(param), err);
    }
    return code;
}

/* Ends `text` at the first `mark`, and returns what follows, or NULL. */
static char *cut(char *text, char mark)
{
    char *at = strchr(text, mark);

    if (!at)
        return NULL;
    *at = '\0';
    return at + 1;
}

static hw_code show(hw_source *source, hw_error *err)
{
    const bool ipv6 = strchr(source->host, ':') != NULL;
    int len;

    if (source->socket)
        len =
            asprintf(&source->shown, "mysql://%s%s%s/%s/%s", source->user ? source->user : "",
                     source->user ? "@" : "", source->socket, source->database, source->table);
    else
        len = asprintf(&source->shown, "mysql://%s%s%s%s%s:%u/%s/%s",
                       source->user ? source->user : "", source->user ? "@" : "",
                       ipv6 ? "[" : "", source->host, ipv6 ? "]" : "", source->port,
                       source->database, source->table);
    if (len >= 0)
        return HW_OK;
    source->shown = NULL;
    return hw_fail_memory(err);
}

hw_code hw_source_read(hw_source *out, const char *url, hw_error *err)
{
    const char *rest = skip_scheme(url);
    hw_source source = {
        .host = "localhost",
        .port = PORT,
        .date = "date",
        .level = "level",
        .text = "text",
        .connect_timeout = CONNECT_TIMEOUT,
        .read_timeout = READ_TIMEOUT,
    };
    char *path, *query;
    hw_code code;

    if (!rest)
        return hw_fail(err, HW_EINVAL, "the URL of a table begins with mysql:// or mariadb://");
    source.storage_size = strlen(rest) + 1;
    source.storage = strdup(rest);
    if (!source.storage)
        return hw_fail_memory(err);
    query = cut(source.storage, '?');
    path = cut(source.storage, '/');
    code = read_path(&source, path, err);
    if (code == HW_OK)
        code = read_authority(&source, source.storage, err);
    if (code == HW_OK)
        code = read_query(&source, query, err);
    if (code == HW_OK)
        code = show(&source, err);
    if (code == HW_OK)
        *out = source;
    else
        hw_source_done(&source);
    return code;
}

void hw_source_done(hw_source *source)
{
    if (!source)
        return;
    if (source->storage) /* it holds the password */
        explicit_bzero(source->storage, source->storage_size);
    free(source->storage);
    free(source->shown);
    *source = (hw_source){0};
}

hw_code hw_source_mask(char **out, const char *data, hw_error *err)
{
    hw_source source = {0};
    const char *rest = skip_scheme(data);
    const char *authority_end, *at, *colon;
    int len;

    if (!rest) {
        *out = strdup(data);
        return *out ? HW_OK : hw_fail_memory(err);
    }
    if (hw_source_read(&source, data, NULL) != HW_OK) {
        *out = strdup("mysql://**");
        return *out ? HW_OK : hw_fail_memory(err);
    }
    hw_source_done(&source);
    authority_end = rest + strcspn(rest, "/?");
    at = memrchr(rest, '@', (size_t)(authority_end - rest));
    colon = at ? memchr(rest, ':', (size_t)(at - rest)) : NULL;
    len = colon ? asprintf(out, "%.*s:**%s", (int)(colon - data), data, at)
                : asprintf(out, "%s", data);
    return len >= 0 ? HW_OK : hw_fail_memory(err);
}
