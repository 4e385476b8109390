/* url.c - URLs taken apart with the rules of Python's urlparse() as kombu uses it: everything
 * is read as an http URL, whatever the scheme. */
#include "core/url.h"

#include <ctype.h>
#include <string.h>

#include "core/mem.h"

#define MAX_URL ((size_t)64 * 1024)

/* The undecoded parts; absent views where there is none. */
struct parts {
    cel_view scheme, user, password, host, port, path, query;
};

static cel_view cut(cel_view *text, size_t at)
{
    cel_view head = {text->ptr, at};

    text->ptr += at;
    text->len -= at;
    return head;
}

static size_t find_byte(cel_view text, char byte)
{
    const char *at = text.len ? memchr(text.ptr, byte, text.len) : NULL;

    return at ? (size_t)(at - text.ptr) : text.len;
}

static size_t find_any_of(cel_view text, const char *bytes)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] && strchr(bytes, text.ptr[i]))
            return i;
    }
    return text.len;
}

/* Where the last `byte` is, or len if there is none. */
static size_t find_last(cel_view text, char byte)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == byte)
            return i - 1;
    }
    return text.len;
}

static cel_view skip(cel_view text, size_t count)
{
    return (cel_view){text.ptr + count, text.len - count};
}

static size_t scheme_length(cel_view text)
{
    size_t len = 0;

    while (len < text.len && (isalnum((unsigned char)text.ptr[len]) ||
                              (text.ptr[len] && strchr("+-._", text.ptr[len]))))
        len++;
    if (len > 0 && text.len - len >= 3 && memcmp(text.ptr + len, "://", 3) == 0)
        return len;
    return 0;
}

/* "user:password@host:port"; host may be [::1]. */
static void split_authority(struct parts *parts, cel_view text)
{
    size_t at = find_last(text, '@');

    if (at < text.len) {
        cel_view login = {text.ptr, at};
        size_t colon = find_byte(login, ':');
        text = skip(text, at + 1);
        parts->user = (cel_view){login.ptr, colon};
        if (colon < login.len)
            parts->password = skip(login, colon + 1);
    }
    if (text.len > 0 && text.ptr[0] == '[' && find_byte(text, ']') < text.len) {
        size_t close = find_byte(text, ']');
        parts->host = (cel_view){text.ptr + 1, close - 1};
        text = skip(text, close + 1);
        parts->port = text.len > 0 ? skip(text, 1) : (cel_view){NULL, 0};
        return;
    }
    size_t colon = find_byte(text, ':');
    parts->host = (cel_view){text.ptr, colon};
    if (colon < text.len)
        parts->port = skip(text, colon + 1);
}

static void split(struct parts *parts, cel_view text)
{
    size_t scheme = scheme_length(text);

    *parts = (struct parts){0};
    if (scheme == 0) { /* a host name, whole */
        parts->host = text;
        return;
    }
    parts->scheme = cut(&text, scheme);
    text = skip(text, 3);
    cel_view authority = cut(&text, find_any_of(text, "/?#"));
    split_authority(parts, authority);
    text.len = find_byte(text, '#');
    size_t question = find_byte(text, '?');
    if (question < text.len)
        parts->query = skip(text, question + 1);
    text.len = question;
    if (text.len > 0 && text.ptr[0] == '/')
        text = skip(text, 1);
    parts->path = text;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes into *at, puts a NUL behind it and moves *at on. A `%` that begins no escape stays,
 * as in Python; %00 is refused. NULL into *out for an empty part. */
static bool decode(const char **out, char **at, cel_view text, bool plus)
{
    char *to = *at;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%' && text.len - i > 2 && hex(text.ptr[i + 1]) >= 0 &&
            hex(text.ptr[i + 2]) >= 0) {
            c = (char)(hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2]));
            i += 2;
            if (c == '\0')
                return false;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *to++ = c;
    }
    *out = to == *at ? NULL : *at;
    *to++ = '\0';
    *at = to;
    return true;
}

static bool read_port(int *port, cel_view text)
{
    int value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        value = value * 10 + (text.ptr[i] - '0');
        if (value > 65535)
            return false;
    }
    *port = value;
    return true;
}

static size_t count_params(cel_view query)
{
    size_t count = query.len > 0;

    for (size_t i = 0; i < query.len; i++)
        count += query.ptr[i] == '&';
    return count;
}

/* As parse_qsl(): parts without a value are left out. */
static bool decode_query(cel_url *url, char **at, cel_view query)
{
    while (query.len > 0) {
        cel_view pair = cut(&query, find_byte(query, '&'));
        if (query.len > 0)
            query = skip(query, 1);
        size_t equals = find_byte(pair, '=');
        if (equals + 1 >= pair.len)
            continue;
        struct cel_url_param *param = url->params + url->param_count;
        if (!decode(&param->key, at, (cel_view){pair.ptr, equals}, true) ||
            !decode(&param->value, at, skip(pair, equals + 1), true))
            return false;
        if (param->key && param->value)
            url->param_count++;
    }
    return true;
}

static bool decode_parts(cel_url *url, const struct parts *parts)
{
    char *at = url->storage;
    bool ok = decode(&url->scheme, &at, parts->scheme, false) &&
              decode(&url->user, &at, parts->user, false) &&
              decode(&url->password, &at, parts->password, false) &&
              decode(&url->host, &at, parts->host, false) &&
              decode(&url->path, &at, parts->path, false) &&
              decode_query(url, &at, parts->query);

    for (char *c = (char *)url->scheme; ok && c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return ok;
}

static cel_code check_text(cel_view text, cel_error *err)
{
    if (text.len == 0)
        return cel_error_set(err, CEL_ECONFIG, "an empty URL");
    if (text.len > MAX_URL)
        return cel_error_set(err, CEL_ECONFIG, "a URL of more than 64 KiB");
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return cel_error_set(err, CEL_ECONFIG, "a URL with a control character at byte %zu",
                                 i + 1);
    }
    return CEL_OK;
}

cel_code cel__url_parse(cel_url *out, cel_view text, cel_error *err)
{
    cel_url url = {0};
    struct parts parts;
    cel_code code = check_text(text, err);

    if (code)
        return code;
    split(&parts, text);
    if (!read_port(&url.port, parts.port))
        return cel_error_set(err, CEL_ECONFIG,
                             "URL %.*s://...: the port is no number from 0 to 65535",
                             CEL_VIEW_ARG(parts.scheme));
    /* A NUL for each part more than there are separators in the text. */
    size_t params = count_params(parts.query);
    url.storage = cel__malloc(text.len + 8 + 2 * params);
    url.params = cel__calloc(params, sizeof *url.params);
    if (!url.storage || !url.params) {
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a URL");
        goto fail;
    }
    if (!decode_parts(&url, &parts)) {
        code = cel_error_set(err, CEL_ECONFIG, "URL %.*s://...: %%00 in it",
                             CEL_VIEW_ARG(parts.scheme));
        goto fail;
    }
    *out = url;
    return CEL_OK;

fail:
    cel__url_done(&url);
    return code;
}

void cel__url_done(cel_url *url)
{
    cel__free(url->storage);
    cel__free(url->params);
    *url = (cel_url){0};
}

const char *cel__url_param(const cel_url *url, const char *key)
{
    for (size_t i = url->param_count; i > 0; i--) {
        if (strcmp(url->params[i - 1].key, key) == 0)
            return url->params[i - 1].value;
    }
    return NULL;
}

bool cel__url_next(cel_view *rest, cel_view *url)
{
    while (rest->len > 0) {
        cel_view part = cut(rest, find_byte(*rest, ';'));
        if (rest->len > 0)
            *rest = skip(*rest, 1);
        while (part.len > 0 && part.ptr[0] == ' ')
            part = skip(part, 1);
        while (part.len > 0 && part.ptr[part.len - 1] == ' ')
            part.len--;
        if (part.len > 0) {
            *url = part;
            return true;
        }
    }
    return false;
}

void cel__url_quote(cel__buf *buf, cel_view text, const char *safe)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c && (isalnum((unsigned char)c) || strchr("_.-~", c) || strchr(safe, c)))
            cel__buf_add_byte(buf, c);
        else
            cel__buf_addf(buf, "%%%02X", (unsigned char)c);
    }
}

/* ---- masking ---- */

/* What Celery fills in when it shows a URL of this kind. */
struct shown {
    const char *scheme;
    const char *as;
    const char *user, *password; /* NULL: none */
    int port;
};

static const struct shown shown[] = {
    {"amqp", "amqp", "guest", "guest", 5672},
    {"pyamqp", "amqp", "guest", "guest", 5672},
    {"librabbitmq", "amqp", "guest", "guest", 5672},
    {"amqps", "amqps", "guest", "guest", 5671},
    {"redis", "redis", NULL, NULL, 6379},
    {"rediss", "rediss", NULL, NULL, 6379},
};

static const struct shown *find_shown(const char *scheme)
{
    for (size_t i = 0; scheme && i < sizeof shown / sizeof *shown; i++) {
        if (strcmp(shown[i].scheme, scheme) == 0)
            return shown + i;
    }
    return NULL;
}

static void add_login(cel__buf *buf, const char *user, const char *password, const char *mask)
{
    if (!user && !password)
        return;
    if (user)
        cel__url_quote(buf, cel__view(user), "");
    if (password)
        cel__buf_addf(buf, ":%s", mask);
    cel__buf_add_byte(buf, '@');
}

/* As kombu's Connection.as_uri(). */
static void
add_completed(cel__buf *buf, const cel_url *url, const struct shown *how, const char *mask)
{
    const char *host = url->host ? url->host : "localhost";

    cel__buf_addf(buf, "%s://", how->as);
    add_login(buf, url->user ? url->user : how->user,
              url->password ? url->password : how->password, mask);
    cel__url_quote(buf, cel__view(host), ":");
    cel__buf_addf(buf, ":%d/", url->port ? url->port : how->port);
    cel__url_quote(buf, cel__view(url->path && *url->path ? url->path : "/"), "/");
}

static bool is_secret_param(cel_view key)
{
    static const char *const names[] = {"password", "passwd", "pass",         "pwd",
                                        "token",    "secret", "ssl_password", "auth"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (cel__view_is(key, names[i]))
            return true;
    }
    return false;
}

static void add_query(cel__buf *buf, cel_view query, const char *mask)
{
    for (const char *sign = "?"; query.len > 0; sign = "&") {
        cel_view pair = cut(&query, find_byte(query, '&'));
        if (query.len > 0)
            query = skip(query, 1);
        size_t equals = find_byte(pair, '=');
        cel__buf_add_str(buf, sign);
        if (equals < pair.len && is_secret_param((cel_view){pair.ptr, equals})) {
            cel__buf_add(buf, pair.ptr, equals + 1);
            cel__buf_add_str(buf, mask);
        } else {
            cel__buf_add_view(buf, pair);
        }
    }
}

/* Everything but the passwords as it was written. */
static void add_verbatim(cel__buf *buf, cel_view text, const char *mask)
{
    struct parts parts;

    split(&parts, text);
    if (!parts.scheme.ptr && find_byte(text, '@') < text.len) {
        /* Not a URL as it stands, but perhaps one whose scheme was forgotten. */
        cel__buf_addf(buf, "%s@", mask);
        cel__buf_add_view(buf, skip(text, find_last(text, '@') + 1));
        return;
    }
    if (!parts.scheme.ptr) {
        cel__buf_add_view(buf, text);
        return;
    }
    const char *end = text.ptr + text.len;
    const char *query = parts.query.ptr ? parts.query.ptr - 1 : end;
    const char *from = text.ptr;
    if (parts.password.ptr) {
        cel__buf_add(buf, from, (size_t)(parts.password.ptr - from));
        cel__buf_add_str(buf, mask);
        from = parts.password.ptr + parts.password.len;
    }
    cel__buf_add(buf, from, (size_t)(query - from));
    add_query(buf, parts.query, mask);
}

/* Whether a password with an unescaped '/', '?' or '#' in it has been taken for a port and a
 * path. */
static bool is_broken_login(cel_view text)
{
    struct parts parts;

    split(&parts, text);
    return parts.scheme.ptr && parts.port.ptr && !parts.user.ptr &&
           memchr(parts.port.ptr, '@', (size_t)(text.ptr + text.len - parts.port.ptr));
}

static void mask_one(cel__buf *buf, cel_view text, const char *mask)
{
    cel_url url;

    if (is_broken_login(text)) {
        cel__buf_add(buf, text.ptr, scheme_length(text) + 3);
        cel__buf_addf(buf, "%s@", mask);
        cel__buf_add_view(buf, skip(text, find_last(text, '@') + 1));
        return;
    }
    if (cel__url_parse(&url, text, NULL) != CEL_OK) {
        add_verbatim(buf, text, mask);
        return;
    }
    const struct shown *how = find_shown(url.scheme);
    if (how)
        add_completed(buf, &url, how, mask);
    else
        add_verbatim(buf, text, mask);
    cel__url_done(&url);
}

void cel__url_mask_with(cel__buf *buf, const char *url, const char *mask)
{
    cel_view rest = cel__view(url), part;

    for (const char *sign = ""; cel__url_next(&rest, &part); sign = ";") {
        cel__buf_add_str(buf, sign);
        mask_one(buf, part, mask);
    }
}

void cel__url_mask(cel__buf *buf, const char *url)
{
    cel__url_mask_with(buf, url, "**");
}
