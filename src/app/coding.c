/* coding.c - see coding.h. */
#include "app/coding.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/settings.h"

#define PEM_MAX ((size_t)1 << 20)

/* ---- names ---- */

static cel_code
find_serializer(cel__serializer *out, const char *setting, const char *name, cel_error *err)
{
    if (cel__serializer_find(out, cel__view(name)))
        return CEL_OK;
    return cel_error_set(
        err, CEL_ECONFIG,
        "%s: there is no serializer '%.60s', only json, yaml, msgpack and auth", setting, name);
}

static cel_code read_serializer(cel__serializer *out,
                                const cel_config *config,
                                const char *setting,
                                cel_error *err)
{
    const char *name = cel__config_string(config, setting);

    return find_serializer(out, setting, name && name[0] ? name : "json", err);
}

/* Names and content types. Pickle may be listed, as it is in many files, but is never accepted;
 * content types that nobody knows are left to those who do. */
static cel_code
read_accepted(unsigned *out, const cel_config *config, const char *setting, cel_error *err)
{
    const json_t *names = cel__config_json(config, setting);
    const json_t *name;
    size_t i;

    json_array_foreach((json_t *)names, i, name)
    {
        const char *text = json_string_value(name);
        cel__serializer serializer;

        if (!text || (strchr(text, '/') && !cel__serializer_find(&serializer, cel__view(text))))
            continue;
        if (find_serializer(&serializer, setting, text, err) != CEL_OK)
            return CEL_ECONFIG;
        if (serializer != CEL_SERIALIZER_PICKLE)
            *out |= CEL__ACCEPTS(serializer);
    }
    return CEL_OK;
}

/* ---- files ---- */

static cel_code read_pem(cel__buf *out, const char *setting, const char *path, cel_error *err)
{
    FILE *file = fopen(path, "rbe");
    char *to;

    cel__buf_reset(out);
    if (!file)
        return cel_error_set(err, CEL_ECONFIG, "%s: cannot open %.100s: %s", setting, path,
                             strerror(errno));
    to = cel__buf_reserve(out, PEM_MAX);
    if (to)
        out->len += fread(to, 1, PEM_MAX, file);
    fclose(file);
    return cel__buf_check(out, err);
}

static cel_code trust_file(
    cel__security *security, const char *path, int64_t now_us, cel__buf *pem, cel_error *err)
{
    cel_error wrong = {0};
    struct stat about;
    cel_code code;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return CEL_OK;
    code = read_pem(pem, "security_cert_store", path, err);
    if (code)
        return code;
    code = cel__security_trust(security, cel__buf_view(pem), now_us, &wrong);
    return code ? cel_error_set(err, code, "security_cert_store: %.100s: %s", path,
                                wrong.message)
                : code;
}

/* A folder, all of whose files are certificates, or a pattern of file names. */
static cel_code trust_store(
    cel__security *security, const char *path, int64_t now_us, cel__buf *pem, cel_error *err)
{
    cel__buf pattern = {0};
    struct stat about;
    glob_t found = {0};
    cel_code code;

    cel__buf_add_str(&pattern, path);
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        cel__buf_add_str(&pattern, "/*");
    code = cel__buf_cstr(&pattern) ? CEL_OK : cel__buf_check(&pattern, err);
    if (code == CEL_OK && glob(pattern.ptr, 0, NULL, &found) == GLOB_NOSPACE)
        code = cel_error_set(err, CEL_ENOMEM, "no memory to read security_cert_store");
    for (size_t i = 0; code == CEL_OK && i < found.gl_pathc; i++)
        code = trust_file(security, found.gl_pathv[i], now_us, pem, err);
    if (code == CEL_OK && !cel__security_trusts(security))
        code = cel_error_set(err, CEL_ECONFIG, "security_cert_store: no certificate in %.100s",
                             path);
    globfree(&found);
    cel__buf_done(&pattern);
    return code;
}

static cel_code
set_key(cel__security *security, const cel_config *config, cel__buf *pem, cel_error *err)
{
    const char *key = cel__config_string(config, "security_key");
    const char *certificate = cel__config_string(config, "security_certificate");
    cel__buf key_pem = {0};
    cel_code code;

    if (!key || !certificate)
        return CEL_OK;
    code = read_pem(&key_pem, "security_key", key, err);
    if (code == CEL_OK)
        code = read_pem(pem, "security_certificate", certificate, err);
    if (code == CEL_OK)
        code = cel__security_set_key(security, cel__buf_view(&key_pem),
                                     cel__config_string(config, "security_key_password"),
                                     cel__buf_view(pem), err);
    if (key_pem.ptr)
        explicit_bzero(key_pem.ptr, key_pem.len);
    cel__buf_done(&key_pem);
    return code;
}

static cel_code read_layout(bool *new_layout, const cel_config *config, cel_error *err)
{
    const char *layout = cel__config_string(config, "security_layout");

    *new_layout = layout && strcmp(layout, "5.5") == 0;
    if (!layout || *new_layout || strcmp(layout, "5.2") == 0)
        return CEL_OK;
    return cel_error_set(err, CEL_ECONFIG, "security_layout: '%.60s' is neither 5.2 nor 5.5",
                         layout);
}

static cel_code
read_security(cel__security **out, const cel_config *config, int64_t now_us, cel_error *err)
{
    const char *store = cel__config_string(config, "security_cert_store");
    cel__security_options options = {.digest = cel__config_string(config, "security_digest")};
    cel__buf pem = {0};
    cel_code code = read_layout(&options.new_layout, config, err);

    if (code == CEL_OK)
        code = cel__security_new(out, &options, err);
    if (code == CEL_OK)
        code = set_key(*out, config, &pem, err);
    if (code == CEL_OK && store)
        code = trust_store(*out, store, now_us, &pem, err);
    cel__buf_done(&pem);
    return code;
}

/* ---- all of it ---- */

static cel_code check(const cel__coding *coding, cel_error *err)
{
    cel_code code = cel__serializer_check(coding->serializer, coding->security, true, err);

    for (int i = 0; code == CEL_OK && i < CEL_SERIALIZER_COUNT; i++)
        if (coding->accepted & CEL__ACCEPTS(i))
            code = cel__serializer_check((cel__serializer)i, coding->security, false, err);
    return code;
}

static bool is_signed(const cel__coding *coding)
{
    return coding->serializer == CEL_SERIALIZER_AUTH ||
           (coding->accepted & CEL__ACCEPTS(CEL_SERIALIZER_AUTH));
}

cel_code cel__codings_read(cel__codings *codings,
                           const cel_config *config,
                           int64_t now_us,
                           cel_error *err)
{
    cel__coding *tasks = &codings->tasks, *results = &codings->results;
    bool own = json_is_array(cel__config_json(config, "result_accept_content"));
    cel_code code = read_serializer(&tasks->serializer, config, "task_serializer", err);

    if (code == CEL_OK)
        code = read_serializer(&results->serializer, config, "result_serializer", err);
    if (code == CEL_OK)
        code = read_accepted(&tasks->accepted, config, "accept_content", err);
    if (code == CEL_OK)
        code = read_accepted(&results->accepted, config,
                             own ? "result_accept_content" : "accept_content", err);
    if (code == CEL_OK && (is_signed(tasks) || is_signed(results)))
        code = read_security(&codings->security, config, now_us, err);
    if (code != CEL_OK)
        return code;
    results->accepted |= CEL__ACCEPTS(results->serializer); /* it is ours */
    tasks->security = results->security = codings->security;
    code = check(tasks, err);
    return code ? code : check(results, err);
}

void cel__codings_done(cel__codings *codings)
{
    cel__security_free(codings->security);
    *codings = (cel__codings){.security = NULL};
}
