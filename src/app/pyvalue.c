/* pyvalue.c - Python's operators on numbers, strings and lists. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/pyintern.h"
#include "core/number.h"
#include "core/utf8.h"

enum {
    MAX_SET = 1000 /* members are compared with one another */
};

static const cel_pyvalue nothing = {NULL, NULL, 0};

bool cel__py_count(cel_py *py, size_t at, size_t count)
{
    if (count > CEL_PYREAD_NODES - py->nodes)
        return cel__py_fail(py, at, "more than %d values", CEL_PYREAD_NODES);
    py->nodes += count;
    return true;
}

bool cel__py_nest(cel_py *py, size_t at, size_t *depth, size_t member)
{
    if (member + 1 > CEL_PYREAD_DEPTH)
        return cel__py_fail(py, at, "values nested more than %d deep", CEL_PYREAD_DEPTH);
    if (member + 1 > *depth)
        *depth = member + 1;
    return true;
}

static json_t *checked(cel_py *py, json_t *json)
{
    if (!json)
        cel__py_nomem(py);
    return json;
}

json_t *cel__py_make_string(cel_py *py, size_t at, const cel__buf *buf)
{
    if (buf->failed || buf->len > CEL_PY_STRING_MAX) {
        cel__py_fail(py, at, "a string of more than 1 MiB");
        return NULL;
    }
    if (!cel__py_count(py, at, 1 + buf->len / 64))
        return NULL;
    cel_view text = cel__buf_view(buf);
    return checked(py, json_stringn(text.ptr, text.len));
}

json_t *cel__py_make_real(cel_py *py, size_t at, double value)
{
    if (!isfinite(value)) {
        cel__py_fail(py, at, "a number that is too large, or none");
        return NULL;
    }
    return checked(py, json_real(value));
}

json_t *cel__py_make_set(cel_py *py, size_t at, json_t *list)
{
    json_t *set = checked(py, json_array());

    if (set && json_array_size(list) > MAX_SET)
        cel__py_fail(py, at, "a set of more than %d members", MAX_SET);
    for (size_t i = 0; !py->failed && i < json_array_size(list); i++) {
        json_t *member = json_array_get(list, i);
        size_t k = 0;
        if (json_is_object(member))
            cel__py_fail(py, at, "a dictionary or an object cannot be a member of a set");
        while (k < json_array_size(set) && !json_equal(json_array_get(set, k), member))
            k++;
        if (k == json_array_size(set) && json_array_append(set, member))
            cel__py_nomem(py);
    }
    json_decref(list);
    if (py->failed) {
        json_decref(set);
        return NULL;
    }
    return set;
}

bool cel__py_str(cel__buf *buf, const json_t *value)
{
    char text[CEL_DOUBLE_TEXT];

    switch (json_typeof(value)) {
    case JSON_STRING:
        cel__buf_add(buf, json_string_value(value), json_string_length(value));
        return true;
    case JSON_INTEGER:
        cel__buf_add_int(buf, json_integer_value(value));
        return true;
    case JSON_REAL:
        cel__double_format(text, json_real_value(value));
        cel__buf_add_str(buf, text);
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        cel__buf_add_str(buf, json_is_true(value) ? "True" : "False");
        return true;
    case JSON_NULL:
        cel__buf_add_str(buf, "None");
        return true;
    default:
        return false;
    }
}

bool cel__py_truth(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return json_real_value(value) != 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    default:
        return json_is_true(value);
    }
}

/* A number, or a boolean as one. */
static bool is_integer(const json_t *value)
{
    return json_is_integer(value) || json_is_boolean(value);
}

static bool is_number(const json_t *value)
{
    return is_integer(value) || json_is_real(value);
}

static int64_t as_integer(const json_t *value)
{
    return json_is_integer(value) ? json_integer_value(value) : json_is_true(value);
}

static double as_real(const json_t *value)
{
    return json_is_real(value) ? json_real_value(value) : (double)as_integer(value);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t quotient = a / b;

    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

/* False on overflow. */
static bool power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t value = 1;

    if (base == 0 || base == 1 || base == -1) {
        *out = base == -1 && exponent % 2 == 0 ? 1 : base;
        if (exponent == 0)
            *out = 1;
        return true;
    }
    for (int64_t i = 0; i < exponent; i++) { /* 63 turns at most */
        if (__builtin_mul_overflow(value, base, &value))
            return false;
    }
    *out = value;
    return true;
}

/* The operators whose result is an integer if both operands are; false on overflow. */
static bool integer_op(char op, bool twice, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case '+':
        return !__builtin_add_overflow(a, b, out);
    case '-':
        return !__builtin_sub_overflow(a, b, out);
    case '*':
        return twice ? power(a, b, out) : !__builtin_mul_overflow(a, b, out);
    case '/':
        if (a == INT64_MIN && b == -1)
            return false;
        *out = floor_div(a, b);
        return true;
    default: /* % */
        *out = b == -1 ? 0 : a - floor_div(a, b) * b;
        return true;
    }
}

static double real_op(char op, bool twice, double a, double b)
{
    switch (op) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return twice ? pow(a, b) : a * b;
    case '/':
        return twice ? floor(a / b) : a / b;
    default: { /* %: the sign of the divisor */
        double rest = fmod(a, b);
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    }
}

static cel_pyvalue
number_op(cel_py *py, cel_view op, size_t at, const json_t *a, const json_t *b)
{
    bool twice = op.len == 2;
    char c = op.ptr[0];
    int64_t value;

    if ((c == '/' || c == '%') && as_real(b) == 0) {
        cel__py_fail(py, at, "division by zero");
        return nothing;
    }
    bool real = !is_integer(a) || !is_integer(b) || (c == '/' && !twice) ||
                (c == '*' && twice && as_integer(b) < 0);
    if (real)
        return (cel_pyvalue){
            cel__py_make_real(py, at, real_op(c, twice, as_real(a), as_real(b))), NULL, 0};
    if (!integer_op(c, twice, as_integer(a), as_integer(b), &value)) {
        cel__py_fail(py, at, "an integer of more than 64 bits");
        return nothing;
    }
    return (cel_pyvalue){checked(py, json_integer(value)), NULL, 0};
}

static json_t *concatenate(cel_py *py, size_t at, const json_t *a, const json_t *b)
{
    cel__buf buf = {.max = CEL_PY_STRING_MAX + 1};

    cel__py_str(&buf, a);
    cel__py_str(&buf, b);
    json_t *text = cel__py_make_string(py, at, &buf);
    cel__buf_done(&buf);
    return text;
}

static json_t *join(cel_py *py, json_t *a, json_t *b)
{
    json_t *list = checked(py, json_copy(a));

    if (list && json_array_extend(list, b)) {
        json_decref(list);
        cel__py_nomem(py);
        return NULL;
    }
    return list;
}

static const char *kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "a dictionary or object";
    case JSON_NULL:
        return "None";
    default:
        return "a number";
    }
}

cel_pyvalue cel__py_binary(cel_py *py, cel_view op, size_t at, cel_pyvalue a, cel_pyvalue b)
{
    if (is_number(a.json) && is_number(b.json))
        return number_op(py, op, at, a.json, b.json);
    if (op.ptr[0] == '+' && json_is_string(a.json) && json_is_string(b.json))
        return (cel_pyvalue){concatenate(py, at, a.json, b.json), NULL, 0};
    if (op.ptr[0] == '+' && json_is_array(a.json) && json_is_array(b.json))
        return (cel_pyvalue){join(py, a.json, b.json), NULL,
                             a.depth > b.depth ? a.depth : b.depth};
    if (op.ptr[0] == '%' && json_is_string(a.json))
        cel__py_fail(py, at,
                     "formatting with %% cannot be read: write the string out, use + or an "
                     "f-string with plain names");
    else
        cel__py_fail(py, at, "'%.*s' between %s and %s cannot be read", CEL_VIEW_ARG(op),
                     kind_of(a.json), kind_of(b.json));
    return nothing;
}

cel_pyvalue cel__py_unary(cel_py *py, cel_view op, size_t at, cel_pyvalue a)
{
    char c = op.ptr[0];

    if (!is_number(a.json) || (c == '~' && !is_integer(a.json))) {
        cel__py_fail(py, at, "'%c' before %s cannot be read", c, kind_of(a.json));
        return nothing;
    }
    if (!is_integer(a.json))
        return (cel_pyvalue){
            cel__py_make_real(py, at, c == '-' ? -as_real(a.json) : as_real(a.json)), NULL, 0};
    int64_t value = as_integer(a.json);
    if (c == '-' && value == INT64_MIN) {
        cel__py_fail(py, at, "an integer of more than 64 bits");
        return nothing;
    }
    value = c == '-' ? -value : c == '~' ? ~value : value;
    return (cel_pyvalue){checked(py, json_integer(value)), NULL, 0};
}
