/* yaml_write.c - from JSON text to libyaml's events. What is a string but would not be read as
 * one is quoted, by the same rules as in reading. */
#include <math.h>
#include <yaml.h>

#include "core/base64.h"
#include "core/jscan.h"
#include "core/number.h"
#include "core/utf8.h"
#include "message/typed.h"
#include "message/yaml.h"
#include "message/yaml_scalar.h"

struct writer {
    yaml_emitter_t emitter;
    cel__buf *out;
    cel__buf text; /* of one scalar */
    cel_error *err;
};

static int on_write(void *user, unsigned char *bytes, size_t len)
{
    cel__buf *out = user;

    cel__buf_add(out, bytes, len);
    return !out->failed;
}

/* Takes the event, which `made` says is one. */
static cel_code emit(struct writer *to, yaml_event_t *event, int made)
{
    if (made && yaml_emitter_emit(&to->emitter, event))
        return CEL_OK;
    if (!made || to->out->failed || to->emitter.error == YAML_MEMORY_ERROR)
        return cel_error_set(to->err, CEL_ENOMEM, "no memory to write YAML");
    return cel_error_set(to->err, CEL_EINVAL, "this cannot be written as YAML: %s",
                         to->emitter.problem ? to->emitter.problem : "");
}

static cel_code give_scalar(struct writer *to, cel_view text, const char *tag, bool plain)
{
    yaml_event_t event;
    bool implicit = !tag;

    return emit(to, &event,
                yaml_scalar_event_initialize(
                    &event, NULL, (const yaml_char_t *)tag, (const yaml_char_t *)text.ptr,
                    (int)text.len, implicit && plain, implicit, YAML_ANY_SCALAR_STYLE));
}

static cel_code give_text(struct writer *to, cel_jvalue string)
{
    cel_view text;

    cel__buf_reset(&to->text);
    text = cel__jscan_view(string, &to->text);
    if (to->text.failed)
        return cel__buf_check(&to->text, to->err);
    if (text.len > INT32_MAX)
        return cel_error_set(to->err, CEL_EINVAL, "a string is too long for YAML");
    if (!cel__utf8_valid(text.ptr, text.len))
        return cel_error_set(to->err, CEL_EINVAL,
                             "a string is no Unicode: YAML cannot hold half a surrogate pair");
    return give_scalar(to, text, NULL, cel__yaml_resolve(text) == CEL__YAML_STR);
}

/* YAML's floats have a point, and a sign in the exponent. */
static cel_code give_real(struct writer *to, cel_jvalue number)
{
    char text[CEL_DOUBLE_TEXT];
    double value;
    char *exponent;

    if (!cel__jscan_double(number, &value)) {
        char first = number.text.ptr[0];

        return give_scalar(to,
                           first == 'N'   ? CEL_VIEW(".nan")
                           : first == '-' ? CEL_VIEW("-.inf")
                                          : CEL_VIEW(".inf"),
                           NULL, true);
    }
    cel_view shown = {text, cel__double_format(text, value)};
    exponent = memchr(text, 'e', shown.len);
    cel__buf_reset(&to->text);
    if (!exponent || memchr(text, '.', shown.len)) {
        cel__buf_add_view(&to->text, shown);
    } else {
        cel__buf_add(&to->text, text, (size_t)(exponent - text));
        cel__buf_add(&to->text, ".0", 2);
        cel__buf_add(&to->text, exponent, shown.len - (size_t)(exponent - text));
    }
    if (to->text.failed)
        return cel__buf_check(&to->text, to->err);
    return give_scalar(to, cel__buf_view(&to->text), NULL, true);
}

static cel_code give_value(struct writer *to, cel_jvalue value);

static cel_code give_array(struct writer *to, cel_jvalue array)
{
    yaml_event_t event;
    cel_jvalue member;
    cel_jscan scan;
    cel_code code = emit(
        to, &event,
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));

    cel__jscan_array(&scan, array);
    while (code == CEL_OK && cel__jscan_next(&scan, &member))
        code = give_value(to, member);
    return code ? code : emit(to, &event, yaml_sequence_end_event_initialize(&event));
}

static cel_code give_pairs(struct writer *to, cel_jvalue object)
{
    yaml_event_t event;
    cel_jvalue key, member;
    cel_jscan scan;
    cel_code code = emit(
        to, &event,
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));

    cel__jscan_object(&scan, object);
    while (code == CEL_OK && cel__jscan_next_member(&scan, &key, &member)) {
        code = give_text(to, key);
        if (code == CEL_OK)
            code = give_value(to, member);
    }
    return code ? code : emit(to, &event, yaml_mapping_end_event_initialize(&event));
}

static cel_code give_binary(struct writer *to, cel_jvalue string, bool base64)
{
    cel__buf plain = {0};
    cel_view bytes;
    cel_code code;

    cel__buf_reset(&to->text);
    bytes = cel__jscan_view(string, &to->text);
    code = cel__buf_check(&to->text, to->err);
    if (base64 && !cel__base64_decode(&plain, bytes) && !plain.failed)
        code = cel_error_set(to->err, CEL_EINVAL, "bytes are no base64");
    if (!base64)
        cel__base64_encode(&plain, bytes);
    if (code == CEL_OK)
        code = cel__buf_check(&plain, to->err);
    if (code == CEL_OK)
        code = give_scalar(to, base64 ? bytes : cel__buf_view(&plain), CEL__YAML_TAG "binary",
                           false);
    cel__buf_done(&plain);
    return code;
}

static cel_code give_object(struct writer *to, cel_jvalue object)
{
    cel_jvalue value;
    cel__typed typed = cel__typed_read(object, &value);

    if (typed == CEL__TYPED_BYTES || typed == CEL__TYPED_BASE64)
        return give_binary(to, value, typed == CEL__TYPED_BASE64);
    if (typed != CEL__TYPED_NONE) {
        cel_view text = {value.text.ptr + 1, value.text.len - 2};

        if (cel__yaml_resolve(text) == CEL__YAML_TIME)
            return give_scalar(to, text, NULL, true);
    }
    return give_pairs(to, object);
}

static cel_code give_value(struct writer *to, cel_jvalue value)
{
    switch (value.type) {
    case CEL_JSON_NONE:
    case CEL_JSON_NULL:
        return give_scalar(to, CEL_VIEW("null"), NULL, true);
    case CEL_JSON_FALSE:
    case CEL_JSON_TRUE:
    case CEL_JSON_INTEGER:
        return give_scalar(to, value.text, NULL, true);
    case CEL_JSON_REAL:
        return give_real(to, value);
    case CEL_JSON_STRING:
        return give_text(to, value);
    case CEL_JSON_ARRAY:
        return give_array(to, value);
    case CEL_JSON_OBJECT:
        return give_object(to, value);
    }
    return CEL_OK;
}

static cel_code write_document(struct writer *to, cel_jvalue value)
{
    yaml_event_t event;
    cel_code code =
        emit(to, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));

    if (code == CEL_OK)
        code =
            emit(to, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    if (code == CEL_OK)
        code = give_value(to, value);
    if (code == CEL_OK)
        code = emit(to, &event, yaml_document_end_event_initialize(&event, 1));
    if (code == CEL_OK)
        code = emit(to, &event, yaml_stream_end_event_initialize(&event));
    return code;
}

cel_code cel__yaml_from_json(cel__buf *buf, cel_view json, cel_error *err)
{
    struct writer to = {.out = buf, .err = err};
    cel_error wrong = {0};
    cel_jvalue value;
    cel_code code = cel__jscan_value(&value, json, &wrong);

    if (code)
        return cel_error_set(err, CEL_EINVAL, "%s", wrong.message);
    if (!yaml_emitter_initialize(&to.emitter))
        return cel_error_set(err, CEL_ENOMEM, "no memory to write YAML");
    yaml_emitter_set_output(&to.emitter, on_write, buf);
    yaml_emitter_set_width(&to.emitter, -1);
    code = write_document(&to, value);
    yaml_emitter_delete(&to.emitter);
    cel__buf_done(&to.text);
    return code;
}
