/* json.c - writing and reading jansson's trees; the stack of open containers is bounded. */
#include "core/json.h"

#include <math.h>
#include <string.h>

#include "core/jscan.h"
#include "core/number.h"

/* An array or object whose members are being written. */
struct level {
    const json_t *container;
    void *iter;   /* of an object: the next member */
    size_t index; /* of an array: the next element */
};

static void dump_real(cel__buf *buf, double value)
{
    char text[CEL_DOUBLE_TEXT];

    if (isnan(value))
        cel__buf_add_str(buf, "NaN");
    else if (isinf(value))
        cel__buf_add_str(buf, value < 0 ? "-Infinity" : "Infinity");
    else
        cel__buf_add(buf, text, cel__double_format(text, value));
}

static void dump_scalar(cel__buf *buf, const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        cel__buf_add_json(buf, (cel_view){json_string_value(value), json_string_length(value)});
        break;
    case JSON_INTEGER:
        cel__buf_add_int(buf, json_integer_value(value));
        break;
    case JSON_REAL:
        dump_real(buf, json_real_value(value));
        break;
    case JSON_TRUE:
        cel__buf_add(buf, "true", 4);
        break;
    case JSON_FALSE:
        cel__buf_add(buf, "false", 5);
        break;
    default:
        cel__buf_add(buf, "null", 4);
        break;
    }
}

static struct level open_level(cel__buf *buf, const json_t *value)
{
    struct level level = {value, NULL, 0};

    if (json_is_object(value))
        level.iter = json_object_iter((json_t *)value);
    cel__buf_add_byte(buf, json_is_object(value) ? '{' : '[');
    return level;
}

/* Gives the level's next member in *member and writes what stands before it; at the end it
 * writes the closing bracket and returns false. */
static bool next_of_level(cel__buf *buf, struct level *level, const json_t **member)
{
    json_t *container = (json_t *)level->container;

    if (json_is_object(container)) {
        if (!level->iter) {
            cel__buf_add_byte(buf, '}');
            return false;
        }
        if (level->index++ > 0)
            cel__buf_add(buf, ", ", 2);
        cel__buf_add_json(buf, cel__view(json_object_iter_key(level->iter)));
        cel__buf_add(buf, ": ", 2);
        *member = json_object_iter_value(level->iter);
        level->iter = json_object_iter_next(container, level->iter);
        return true;
    }
    if (level->index == json_array_size(container)) {
        cel__buf_add_byte(buf, ']');
        return false;
    }
    if (level->index > 0)
        cel__buf_add(buf, ", ", 2);
    *member = json_array_get(container, level->index++);
    return true;
}

void cel__json_dump(cel__buf *buf, const json_t *value)
{
    struct level levels[CEL_JSCAN_DEPTH];
    size_t depth = 0;
    const json_t *member = value;

    do {
        if (!json_is_object(member) && !json_is_array(member)) {
            dump_scalar(buf, member);
        } else if (depth == CEL_JSCAN_DEPTH) {
            buf->failed = true;
        } else {
            levels[depth++] = open_level(buf, member);
        }
        while (depth > 0 && !next_of_level(buf, &levels[depth - 1], &member))
            depth--;
    } while (depth > 0 && !buf->failed);
}

cel_code cel__json_load(json_t **out, cel_view text, cel_error *err)
{
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t error;
    cel_jvalue value;
    json_t *tree;
    cel_code code = cel__jscan_value(&value, text, err);

    if (code)
        return code;
    tree = json_loadb(value.text.ptr, value.text.len, flags, &error);
    if (tree) {
        *out = tree;
        return CEL_OK;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a JSON value");
    return cel_error_set(err, CEL_EINVAL, "JSON that C cannot hold: %s, at byte %d", error.text,
                         error.position);
}
