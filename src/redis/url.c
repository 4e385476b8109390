/* url.c - the URLs of Redis servers, as Celery reads them. See conn.h. */
#include "core/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/number.h"
#include "redis/conn.h"

#define DEFAULT_PORT       6379
#define SENTINEL_PORT      26379
#define MAX_SENTINELS      64
#define DEFAULT_TIMEOUT_MS 5000
#define MAX_DB             ((int64_t)1000000)

void cel__redis_url_done(cel__redis_url *url)
{
    cel__free(url->host);
    cel__free(url->socket_path);
    cel__free(url->user);
    cel__free(url->password);
    cel__free(url->shown);
    for (size_t i = 0; i < url->sentinel_count; i++)
        cel__free(url->sentinels[i].host);
    cel__free(url->sentinels);
    cel__free(url->master_name);
    cel__free(url->sentinel_password);
    cel__free(url->ca_file);
    cel__free(url->cert_file);
    cel__free(url->key_file);
    *url = (cel__redis_url){0};
}

static bool read_db(int64_t *db, const char *text)
{
    char *end;

    *db = 0;
    if (!text || !*text)
        return true;
    if (*text < '0' || *text > '9')
        return false;
    *db = strtoll(text, &end, 10);
    return !*end && *db <= MAX_DB;
}

static bool read_timeout(int64_t *timeout_ms, const char *text)
{
    double seconds;

    *timeout_ms = DEFAULT_TIMEOUT_MS;
    if (!text || !*text)
        return true;
    if (!cel__double_parse(&seconds, cel__view(text)) || seconds < 0.001 || seconds > 86400)
        return false;
    *timeout_ms = (int64_t)(seconds * 1000);
    return true;
}

static cel_code check_scheme(const char *scheme, cel_error *err)
{
    static const char *const known[] = {"redis",        "rediss", "sentinel",
                                        "redis+socket", "socket", "unix"};

    for (size_t i = 0; scheme && i < sizeof known / sizeof *known; i++)
        if (strcmp(scheme, known[i]) == 0)
            return CEL_OK;
    return cel_error_set(err, CEL_ECONFIG,
                         "the URL of a Redis server begins with redis://, "
                         "rediss://, redis+socket:// or unix://");
}

static bool show(cel__redis_url *url, const char *scheme)
{
    cel__buf buf = {0};

    if (url->host)
        cel__buf_addf(&buf, strchr(url->host, ':') ? "%s://[%s]:%d/%lld" : "%s://%s:%d/%lld",
                      scheme, url->host, url->port, (long long)url->db);
    else
        cel__buf_addf(&buf, "%s://%s?virtual_host=%lld", scheme, url->socket_path,
                      (long long)url->db);
    url->shown = cel__buf_detach(&buf, NULL);
    return url->shown;
}

/* A socket's path lost the slash at its front when the URL was parsed. */
static char *absolute(const char *path)
{
    cel__buf buf = {0};

    if (path[0] != '/')
        cel__buf_add_byte(&buf, '/');
    cel__buf_add_str(&buf, path);
    return cel__buf_detach(&buf, NULL);
}

static const char *socket_db(const cel_url *url)
{
    const char *db = cel__url_param(url, "virtual_host");

    if (!db)
        db = cel__url_param(url, "db");
    return db && db[0] == '/' ? db + 1 : db;
}

/* Python's names: "CERT_NONE" and "none". */
static bool is_word(const char *text, const char *word)
{
    return strcasecmp(strncasecmp(text, "CERT_", 5) == 0 ? text + 5 : text, word) == 0;
}

static bool read_tls(cel__redis_url *out, const cel_url *url)
{
    const char *reqs = cel__url_param(url, "ssl_cert_reqs");
    const char *host = cel__url_param(url, "ssl_check_hostname");

    out->tls = true;
    out->verify = !reqs || !is_word(reqs, "none");
    out->check_host = !host || !is_word(host, "false");
    return (!reqs || !out->verify || is_word(reqs, "required") || is_word(reqs, "optional")) &&
           (!host || !out->check_host || is_word(host, "true"));
}

static bool copy_param(char **out, const cel_url *url, const char *name)
{
    const char *value = cel__url_param(url, name);

    *out = cel__strdup(value && *value ? value : NULL);
    return *out || !value || !*value;
}

static bool copy_files(cel__redis_url *out, const cel_url *url)
{
    return copy_param(&out->ca_file, url, "ssl_ca_certs") &&
           copy_param(&out->cert_file, url, "ssl_certfile") &&
           copy_param(&out->key_file, url, "ssl_keyfile");
}

static cel_code convert(cel__redis_url *out, const cel_url *url, cel_error *err)
{
    bool is_tls = strcmp(url->scheme, "rediss") == 0;
    bool is_sentinel = strcmp(url->scheme, "sentinel") == 0;
    bool is_socket = !is_tls && !is_sentinel && strcmp(url->scheme, "redis") != 0;
    const char *password = url->password ? url->password : cel__url_param(url, "password");
    bool whole;

    if (!read_db(&out->db, is_socket ? socket_db(url) : url->path))
        return cel_error_set(err, CEL_ECONFIG, "%s://: the database is no number", url->scheme);
    if (!read_timeout(&out->timeout_ms, cel__url_param(url, "socket_timeout")))
        return cel_error_set(err, CEL_ECONFIG, "%s://: socket_timeout is no time in seconds",
                             url->scheme);
    if (is_socket && (!url->path || !*url->path))
        return cel_error_set(err, CEL_ECONFIG, "%s://: the socket's path is missing",
                             url->scheme);
    if (is_tls && !read_tls(out, url))
        return cel_error_set(err, CEL_ECONFIG,
                             "rediss://: ssl_cert_reqs is required, optional or none, "
                             "ssl_check_hostname true or false");
    out->port = url->port ? url->port : is_sentinel ? SENTINEL_PORT : DEFAULT_PORT;
    if (is_socket)
        out->socket_path = absolute(url->path);
    else
        out->host = cel__strdup(url->host ? url->host : "localhost");
    out->user = cel__strdup(url->user && *url->user ? url->user : NULL);
    out->password = cel__strdup(password && *password ? password : NULL);
    whole = copy_files(out, url) && (out->socket_path || out->host) && show(out, url->scheme) &&
            (out->user || !url->user || !*url->user) &&
            (out->password || !password || !*password);
    return whole ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a URL");
}

static cel_code read_one(cel__redis_url *out, const char *text, cel_error *err)
{
    cel__redis_url read = {0};
    cel_url url;
    cel_code code = cel__url_parse(&url, cel__view(text), err);

    if (code != CEL_OK)
        return code;
    code = check_scheme(url.scheme, err);
    if (code == CEL_OK)
        code = convert(&read, &url, err);
    cel__url_done(&url);
    if (code == CEL_OK)
        *out = read;
    else
        cel__redis_url_done(&read);
    return code;
}

static bool replace(char **text, const char *by)
{
    char *copy = cel__strdup(by && *by ? by : NULL);

    if (!copy)
        return !by || !*by;
    cel__free(*text);
    *text = copy;
    return true;
}

cel_code cel__redis_url_master(cel__redis_url *url,
                               const char *name,
                               const char *password,
                               cel_error *err)
{
    if (replace(&url->master_name, name) && replace(&url->sentinel_password, password))
        return CEL_OK;
    return cel_error_set(err, CEL_ENOMEM, "no memory for a URL");
}

static cel_code add_sentinel(cel__redis_url *out, cel_view text, cel_error *err)
{
    cel__redis_place *place = out->sentinels + out->sentinel_count;
    cel_url url;
    cel_code code = cel__url_parse(&url, text, err);

    if (code != CEL_OK)
        return code;
    *place = (cel__redis_place){cel__strdup(url.host ? url.host : "localhost"),
                                url.port ? url.port : SENTINEL_PORT};
    if (!place->host)
        code = cel_error_set(err, CEL_ENOMEM, "no memory for a URL");
    else
        out->sentinel_count++;
    if (code == CEL_OK)
        code = cel__redis_url_master(out, cel__url_param(&url, "master_name"),
                                     cel__url_param(&url, "sentinel_password"), err);
    cel__url_done(&url);
    return code;
}

/* All of the list are sentinels; of the database's own URL the first one says the rest. */
static cel_code read_sentinels(cel__redis_url *out, const char *text, cel_error *err)
{
    cel_view rest = cel__view(text), one;
    cel__redis_url read = {0};
    cel_code code = CEL_OK;

    while (code == CEL_OK && cel__url_next(&rest, &one)) {
        char *first = read.sentinel_count == 0 ? cel__memdup(one.ptr, one.len) : NULL;

        if (!first && read.sentinel_count == 0)
            code = cel_error_set(err, CEL_ENOMEM, "no memory for a URL");
        if (first)
            code = read_one(&read, first, err);
        cel__free(first);
        if (!read.sentinels)
            read.sentinels = cel__calloc(MAX_SENTINELS, sizeof *read.sentinels);
        if (code == CEL_OK && (!read.sentinels || read.sentinel_count == MAX_SENTINELS))
            code = cel_error_set(err, CEL_ECONFIG, "sentinel://: too many sentinels");
        if (code == CEL_OK)
            code = add_sentinel(&read, one, err);
    }
    if (code == CEL_OK)
        *out = read;
    else
        cel__redis_url_done(&read);
    return code;
}

cel_code cel__redis_url_read(cel__redis_url *out, const char *text, cel_error *err)
{
    if (strncasecmp(text, "sentinel:", 9) == 0)
        return read_sentinels(out, text, err);
    return read_one(out, text, err);
}
