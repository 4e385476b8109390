/* value.c - one reader for two kinds of JSON. */
#include "canvas/value.h"

#include <math.h>

#include "core/json.h"

cel_code cel__value_text(cel__value *out, cel_view text, cel_error *err)
{
    cel_error why = {0};
    cel_jvalue value;

    if (!text.ptr || cel__jscan_value(&value, text, &why) != CEL_OK)
        return cel_error_set(err, why.code == CEL_ENOMEM ? CEL_ENOMEM : CEL_EINVAL,
                             "signature is not JSON: %s", why.message);
    *out = (cel__value){.text = value};
    return CEL_OK;
}

cel_jtype cel__value_type(cel__value value)
{
    static const cel_jtype types[] = {
        [JSON_OBJECT] = CEL_JSON_OBJECT, [JSON_ARRAY] = CEL_JSON_ARRAY,
        [JSON_STRING] = CEL_JSON_STRING, [JSON_INTEGER] = CEL_JSON_INTEGER,
        [JSON_REAL] = CEL_JSON_REAL,     [JSON_TRUE] = CEL_JSON_TRUE,
        [JSON_FALSE] = CEL_JSON_FALSE,   [JSON_NULL] = CEL_JSON_NULL};

    return value.json ? types[json_typeof(value.json)] : value.text.type;
}

const char *cel__value_kind(cel__value value)
{
    static const char *const kinds[] = {
        [CEL_JSON_NONE] = "missing",     [CEL_JSON_NULL] = "null",
        [CEL_JSON_FALSE] = "a boolean",  [CEL_JSON_TRUE] = "a boolean",
        [CEL_JSON_INTEGER] = "a number", [CEL_JSON_REAL] = "a number",
        [CEL_JSON_STRING] = "a string",  [CEL_JSON_ARRAY] = "an array",
        [CEL_JSON_OBJECT] = "an object"};

    return kinds[cel__value_type(value)];
}

void cel__walk_array(cel__walk *walk, cel__value value)
{
    *walk = (cel__walk){.json = value.json};
    if (!value.json)
        cel__jscan_array(&walk->scan, value.text);
}

void cel__walk_object(cel__walk *walk, cel__value value)
{
    *walk = (cel__walk){.json = value.json};
    if (value.json) /* jansson takes no const here, but changes nothing */
        walk->iter = json_object_iter((json_t *)(uintptr_t)value.json);
    else
        cel__jscan_object(&walk->scan, value.text);
}

bool cel__walk_next(cel__walk *walk, cel__value *value)
{
    cel_jvalue text;

    if (walk->json) {
        const json_t *json = json_array_get(walk->json, walk->at++);

        *value = cel__value_json(json);
        return json != NULL;
    }
    if (!cel__jscan_next(&walk->scan, &text))
        return false;
    *value = (cel__value){.text = text};
    return true;
}

bool cel__walk_next_member(
    cel__walk *walk, cel__slab *slab, cel_view *key, cel__value *value, bool *nomem)
{
    cel_jvalue name, text;

    if (walk->json) {
        if (!walk->iter)
            return false;
        *key = cel__view(json_object_iter_key(walk->iter));
        *value = cel__value_json(json_object_iter_value(walk->iter));
        walk->iter = json_object_iter_next((json_t *)(uintptr_t)walk->json, walk->iter);
        return true;
    }
    if (!cel__jscan_next_member(&walk->scan, &name, &text))
        return false;
    *value = (cel__value){.text = text};
    if (cel__value_string((cel__value){.text = name}, slab, key))
        return true;
    *nomem = true;
    return false;
}

bool cel__value_string(cel__value value, cel__slab *slab, cel_view *out)
{
    cel_view view;

    if (value.json) {
        if (!json_is_string(value.json))
            return false;
        *out = (cel_view){json_string_value(value.json), json_string_length(value.json)};
        return true;
    }
    cel__buf_reset(&slab->scratch);
    view = cel__jscan_view(value.text, &slab->scratch);
    if (!view.ptr || slab->scratch.failed)
        return false;
    if (slab->scratch.len > 0)
        return cel__slab_finish(slab, out);
    *out = view;
    return true;
}

bool cel__value_dump(cel__value value, cel__slab *slab, cel_view *out)
{
    if (!value.json) {
        *out = value.text.text;
        return true;
    }
    cel__buf_reset(&slab->scratch);
    cel__json_dump(&slab->scratch, value.json);
    return cel__slab_finish(slab, out);
}

bool cel__value_empty(cel__value value)
{
    cel__walk walk;
    cel_jvalue key, member;

    if (value.json)
        return json_is_array(value.json) ? json_array_size(value.json) == 0
                                         : json_object_size(value.json) == 0;
    if (value.text.type == CEL_JSON_ARRAY) {
        cel__walk_array(&walk, value);
        return !cel__jscan_next(&walk.scan, &member);
    }
    cel__walk_object(&walk, value);
    return !cel__jscan_next_member(&walk.scan, &key, &member);
}

bool cel__value_int(cel__value value, int64_t *out)
{
    if (!value.json)
        return cel__jscan_int(value.text, out);
    if (!json_is_integer(value.json))
        return false;
    *out = json_integer_value(value.json);
    return true;
}

bool cel__value_double(cel__value value, double *out)
{
    double number;

    if (!value.json)
        return cel__jscan_double(value.text, out);
    if (!json_is_number(value.json))
        return false;
    number = json_number_value(value.json);
    if (!isfinite(number))
        return false;
    *out = number;
    return true;
}
