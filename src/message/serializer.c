/* serializer.c - which serializer is which, and what it takes. */
#include "message/serializer.h"

#include <string.h>
#include <strings.h>

#include "core/jscan.h"
#include "message/compress.h"
#include "message/msgpack.h"
#ifdef CEL_HAVE_YAML
#include "message/yaml.h"
#endif

static const struct {
    const char *name;
    cel_view type, encoding;
} table[] = {
#define CEL_X(constant, name, type, encoding)                                                  \
    {name, {type, sizeof type - 1}, {encoding, sizeof encoding - 1}},
    CEL__SERIALIZERS(CEL_X)
#undef CEL_X
};

const cel__coding cel__coding_json = {
    .serializer = CEL_SERIALIZER_JSON,
    .accepted = CEL__ACCEPTS(CEL_SERIALIZER_JSON),
};

const char *cel__serializer_name(cel__serializer serializer)
{
    return table[serializer].name;
}

cel_view cel__serializer_type(cel__serializer serializer)
{
    return table[serializer].type;
}

cel_view cel__serializer_encoding(cel__serializer serializer)
{
    return table[serializer].encoding;
}

static bool is_same(cel_view a, cel_view b)
{
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

bool cel__serializer_find(cel__serializer *out, cel_view name)
{
    for (size_t i = 0; name.ptr && i < CEL_SERIALIZER_COUNT; i++)
        if (is_same(name, table[i].type) || is_same(name, cel__view(table[i].name))) {
            *out = (cel__serializer)i;
            return true;
        }
    return false;
}

cel_code cel__serializer_check(cel__serializer serializer,
                               const cel__security *security,
                               bool writes,
                               cel_error *err)
{
    switch (serializer) {
    case CEL_SERIALIZER_PICKLE:
        return cel_error_set(err, CEL_ECONFIG,
                             "pickle is refused, since reading it runs code of the sender: use "
                             "'json', 'yaml' or 'msgpack' (task_serializer, result_serializer, "
                             "accept_content), on the Python side, too");
    case CEL_SERIALIZER_YAML:
#ifndef CEL_HAVE_YAML
        return cel_error_set(err, CEL_ECONFIG, "yaml is not built in (it needs libyaml)");
#else
        break;
#endif
    case CEL_SERIALIZER_AUTH:
        if (writes && !cel__security_signs(security))
            return cel_error_set(err, CEL_ECONFIG,
                                 "the serializer 'auth' needs security_key and "
                                 "security_certificate");
        if (!writes && !cel__security_trusts(security))
            return cel_error_set(err, CEL_ECONFIG,
                                 "the serializer 'auth' needs security_cert_store");
        break;
    default:
        break;
    }
    return CEL_OK;
}

/* ---- writing ---- */

/* Signed is JSON: Celery's own choice where setup_security() is not told another. */
static cel_code
sign(cel__buf *buf, const cel__security *security, cel_view json, cel_error *err)
{
    return cel__security_sign(security, buf,
                              &(cel__signed){
                                  .content_type = table[CEL_SERIALIZER_JSON].type,
                                  .content_encoding = table[CEL_SERIALIZER_JSON].encoding,
                                  .body = json,
                              },
                              err);
}

cel_code cel__encode(cel__buf *buf,
                     cel__serializer serializer,
                     const cel__coding *coding,
                     cel_view json,
                     cel_error *err)
{
    size_t start = buf->len;
    cel_code code;

    switch (serializer) {
    case CEL_SERIALIZER_JSON:
        cel__buf_add_view(buf, json);
        code = cel__buf_check(buf, err);
        break;
    case CEL_SERIALIZER_MSGPACK:
        code = cel__msgpack_from_json(buf, json, err);
        break;
#ifdef CEL_HAVE_YAML
    case CEL_SERIALIZER_YAML:
        code = cel__yaml_from_json(buf, json, err);
        break;
#endif
    case CEL_SERIALIZER_AUTH:
        code = sign(buf, coding ? coding->security : NULL, json, err);
        break;
    default:
        code = cel__serializer_check(serializer, NULL, true, err);
        break;
    }
    if (code) {
        buf->len = start;
        if (code == CEL_ECONFIG) {
            code = CEL_ENOTSUP;
            if (err)
                err->code = code;
        }
    }
    return code;
}

/* ---- reading ---- */

static cel_code refuse(cel__serializer serializer, cel_error *err)
{
    if (serializer >= CEL_SERIALIZER_COUNT)
        return cel_error_set(err, CEL_ENOTSUP, "the content type is none that is known");
    if (serializer == CEL_SERIALIZER_PICKLE)
        return cel_error_set(
            err, CEL_ENOTSUP,
            "content type '%s' (pickle) is refused, since reading it runs code "
            "of the sender: set task_serializer to 'json', 'yaml' or 'msgpack' "
            "where it is sent",
            table[serializer].type.ptr);
    return cel_error_set(err, CEL_ENOTSUP,
                         "content type '%s' is not accepted: accept_content does not have '%s'",
                         table[serializer].type.ptr, table[serializer].name);
}

static cel_code decode_signed(cel_view *out,
                              const cel__coding *coding,
                              cel_view bytes,
                              cel__buf *scratch,
                              cel_error *err);

/* Whatever is accepted. */
static cel_code decode(cel_view *out,
                       cel__serializer serializer,
                       const cel__coding *coding,
                       cel_view bytes,
                       cel__buf *scratch,
                       cel_error *err)
{
    size_t max_bytes = coding->max_bytes ? coding->max_bytes : CEL__BODY_MAX;
    size_t start = scratch->len;
    cel_code code;

    switch (serializer) {
    case CEL_SERIALIZER_JSON:
        *out = bytes.ptr ? bytes : CEL_VIEW("");
        return CEL_OK;
    case CEL_SERIALIZER_MSGPACK:
        code = cel__msgpack_to_json(scratch, bytes, max_bytes, err);
        break;
#ifdef CEL_HAVE_YAML
    case CEL_SERIALIZER_YAML:
        code = cel__yaml_to_json(scratch, bytes, max_bytes, err);
        break;
#endif
    case CEL_SERIALIZER_AUTH:
        return decode_signed(out, coding, bytes, scratch, err);
    default:
        return refuse(serializer, err);
    }
    if (code == CEL_OK)
        *out = (cel_view){scratch->ptr + start, scratch->len - start};
    return code;
}

/* What was signed may be of any content type but this one and pickle, whatever is accepted: the
 * signer is trusted, as in Celery. */
static cel_code decode_signed(
    cel_view *out, const cel__coding *coding, cel_view bytes, cel__buf *scratch, cel_error *err)
{
    cel__buf opened = {0};
    cel__serializer inner;
    cel__signed what;
    cel_view text;
    cel_code code = cel__security_open(coding->security, &what, bytes, &opened, err);

    if (code == CEL_OK &&
        (!cel__serializer_find(&inner, what.content_type) || inner == CEL_SERIALIZER_AUTH))
        code = cel_error_set(err, CEL_EPROTO, "what is signed is of content type '%.*s'",
                             CEL_VIEW_ARG(what.content_type));
    if (code == CEL_OK)
        code = decode(&text, inner, coding, what.body, scratch, err);
    if (code == CEL_OK && inner == CEL_SERIALIZER_JSON) { /* it lies in `opened` */
        size_t start = scratch->len;

        cel__buf_add_view(scratch, text);
        code = cel__buf_check(scratch, err);
        text = (cel_view){scratch->ptr ? scratch->ptr + start : "", text.len};
    }
    cel__buf_done(&opened);
    if (code == CEL_OK)
        *out = text;
    return code;
}

cel_code cel__decode(cel_view *out,
                     cel__serializer serializer,
                     const cel__coding *coding,
                     cel_view bytes,
                     cel__buf *scratch,
                     cel_error *err)
{
    if (serializer == CEL_SERIALIZER_PICKLE || !(coding->accepted & CEL__ACCEPTS(serializer)))
        return refuse(serializer, err);
    return decode(out, serializer, coding, bytes, scratch, err);
}
