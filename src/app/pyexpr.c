/* pyexpr.c - expressions: recursive descent, one token ahead. */
#include <stdio.h>
#include <string.h>

#include "app/pyintern.h"

#define NOT_EXECUTED CEL_PY_NOT_EXECUTED

static const cel_pyvalue nothing = {NULL, NULL, 0};

bool cel__py_is_good(cel_pyvalue value)
{
    return value.json || value.symbol;
}

/* Describes the token that is looked at, for messages. */
const char *cel__py_found(const cel_py *py, char text[64])
{
    if (py->token.kind == CEL_PY_END)
        return "the end of the file";
    if (py->token.kind == CEL_PY_NEWLINE)
        return "the end of the line";
    if (py->token.kind == CEL_PY_STRING)
        return "a string";
    snprintf(text, 64, "'%.*s'", py->token.text.len > 40 ? 40 : (int)py->token.text.len,
             py->token.text.ptr);
    return text;
}

bool cel__py_unexpected(cel_py *py, const char *expected)
{
    char text[64];

    return cel__py_fail(py, py->token.at, "%s is expected, not %s", expected,
                        cel__py_found(py, text));
}

bool cel__py_expect_op(cel_py *py, const char *op)
{
    char text[16];

    if (py->failed)
        return false;
    if (cel__py_is_op(py, op))
        return cel__py_next(py);
    snprintf(text, sizeof text, "'%s'", op);
    return cel__py_unexpected(py, text);
}

bool cel__py_is_statement(const cel_py *py)
{
    static const char *const words[] = {
        "if",    "def",    "class",   "for",    "while",    "with",  "try",    "return", "del",
        "raise", "assert", "async",   "global", "nonlocal", "yield", "lambda", "await",  "elif",
        "else",  "except", "finally", "break",  "continue", "in",    "is",     "as"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (cel__py_is_word(py, words[i]))
            return true;
    }
    return false;
}

bool cel__py_refuse_word(cel_py *py)
{
    return cel__py_fail(py, py->token.at, "'%.*s' cannot be read: " NOT_EXECUTED,
                        CEL_VIEW_ARG(py->token.text));
}

/* ---- containers ---- */

/* A value, not a module or a function. */
static cel_pyvalue read_value(cel_py *py)
{
    size_t at = py->token.at;
    cel_pyvalue value = cel__py_expression(py);

    if (value.symbol) {
        cel__py_fail(py, at, "'%s' is no value", value.symbol->path);
        return nothing;
    }
    return value;
}

static bool refuse_comprehension(cel_py *py)
{
    if (cel__py_is_word(py, "for") || cel__py_is_word(py, "async"))
        return cel__py_fail(py, py->token.at, "a comprehension cannot be read: " NOT_EXECUTED);
    return true;
}

static bool append(cel_py *py, cel_pyvalue *list, size_t at, cel_pyvalue member)
{
    if (!member.json)
        return false;
    if (!cel__py_nest(py, at, &list->depth, member.depth)) {
        json_decref(member.json);
        return false;
    }
    if (json_array_append_new(list->json, member.json))
        return cel__py_nomem(py);
    return refuse_comprehension(py);
}

/* Reads members up to `close`, which it leaves. */
static void read_members(cel_py *py, cel_pyvalue *list, const char *close)
{
    while (!py->failed && !cel__py_is_op(py, close)) {
        size_t at = py->token.at;
        if (!append(py, list, at, read_value(py)))
            return;
        if (cel__py_is_op(py, ","))
            cel__py_next(py);
        else if (!cel__py_is_op(py, close))
            cel__py_unexpected(py, "',' or the closing bracket");
    }
}

static cel_pyvalue new_list(cel_py *py)
{
    cel_pyvalue list = {json_array(), NULL, 1};

    if (!list.json)
        cel__py_nomem(py);
    return list;
}

/* Gives the value up after a failure. */
cel_pyvalue cel__py_settle(cel_py *py, cel_pyvalue value)
{
    if (!py->failed)
        return value;
    json_decref(value.json);
    return nothing;
}

static cel_pyvalue read_list(cel_py *py)
{
    cel_pyvalue list = new_list(py);

    cel__py_next(py);
    read_members(py, &list, "]");
    cel__py_expect_op(py, "]");
    return cel__py_settle(py, list);
}

/* A parenthesised value, or a tuple. */
static cel_pyvalue read_parens(cel_py *py)
{
    cel__py_next(py);
    if (cel__py_is_op(py, ")")) {
        cel_pyvalue empty = new_list(py);
        cel__py_next(py);
        return cel__py_settle(py, empty);
    }
    size_t at = py->token.at;
    cel_pyvalue first = cel__py_expression(py);
    if (!cel__py_is_good(first) || !refuse_comprehension(py))
        return cel__py_settle(py, first);
    if (!cel__py_is_op(py, ",")) {
        cel__py_expect_op(py, ")");
        return cel__py_settle(py, first);
    }
    cel_pyvalue tuple = new_list(py);
    if (first.symbol)
        cel__py_fail(py, at, "'%s' is no value", first.symbol->path);
    if (append(py, &tuple, at, first))
        cel__py_next(py);
    read_members(py, &tuple, ")");
    cel__py_expect_op(py, ")");
    return cel__py_settle(py, tuple);
}

static bool put_member(cel_py *py, cel_pyvalue *dict, size_t at, const json_t *key)
{
    cel_pyvalue value = read_value(py);

    if (!value.json)
        return false;
    if (!cel__py_nest(py, at, &dict->depth, value.depth)) {
        json_decref(value.json);
        return false;
    }
    const char *text = json_string_value(key);
    if (strlen(text) != json_string_length(key)) {
        json_decref(value.json);
        return cel__py_fail(py, at, "a NUL in the key of a dictionary");
    }
    if (json_object_set_new(dict->json, text, value.json))
        return cel__py_nomem(py);
    return refuse_comprehension(py);
}

/* Reads `key: value` pairs whose first key is read already, up to the brace. Takes `key`. */
static cel_pyvalue read_dict(cel_py *py, size_t at, cel_pyvalue key)
{
    cel_pyvalue dict = {json_object(), NULL, 1};

    if (!dict.json)
        cel__py_nomem(py);
    for (;;) {
        if (!py->failed && !json_is_string(key.json))
            cel__py_fail(py, at, "the key of a dictionary must be a string here");
        if (cel__py_expect_op(py, ":"))
            put_member(py, &dict, at, key.json);
        json_decref(key.json);
        if (py->failed || !cel__py_is_op(py, ",") || !cel__py_next(py) ||
            cel__py_is_op(py, "}"))
            break;
        at = py->token.at;
        key = read_value(py);
        if (!key.json)
            break;
    }
    cel__py_expect_op(py, "}");
    return cel__py_settle(py, dict);
}

static cel_pyvalue read_braces(cel_py *py)
{
    cel__py_next(py);
    if (cel__py_is_op(py, "}")) {
        cel__py_next(py);
        return cel__py_settle(py, (cel_pyvalue){json_object(), NULL, 1});
    }
    size_t brace = py->token.at;
    cel_pyvalue first = read_value(py);
    if (!first.json)
        return nothing;
    if (cel__py_is_op(py, ":"))
        return read_dict(py, brace, first);
    cel_pyvalue set = new_list(py);
    if (append(py, &set, brace, first) && !cel__py_is_op(py, "}") && !cel__py_is_op(py, ","))
        cel__py_unexpected(py, "',' or the closing bracket");
    if (cel__py_is_op(py, ","))
        cel__py_next(py);
    read_members(py, &set, "}");
    cel__py_expect_op(py, "}");
    set = cel__py_settle(py, set);
    if (set.json)
        set.json = cel__py_make_set(py, brace, set.json);
    return set;
}

/* ---- calls ---- */

struct arguments {
    json_t *args, *kwargs; /* owned */
    size_t depth;          /* of the deepest */
};

/* Whether the token is a name with '=' behind it. */
bool cel__py_is_keyword(const cel_py *py)
{
    cel_py ahead = *py;

    return py->token.kind == CEL_PY_NAME && cel__py_next(&ahead) && cel__py_is_op(&ahead, "=");
}

static bool read_argument(cel_py *py, struct arguments *arguments)
{
    size_t at = py->token.at;
    char key[64] = "";
    bool keyword = cel__py_is_keyword(py);

    if (keyword) {
        snprintf(key, sizeof key, "%.*s", CEL_VIEW_ARG(py->token.text));
        cel__py_next(py);
        cel__py_next(py);
    }
    cel_pyvalue value = read_value(py);
    if (!value.json)
        return false;
    if (value.depth > arguments->depth)
        arguments->depth = value.depth;
    if (!keyword) {
        if (json_object_size(arguments->kwargs) > 0)
            cel__py_fail(py, at, "an argument by position behind one by name");
        if (json_array_append_new(arguments->args, value.json))
            cel__py_nomem(py);
        return !py->failed && refuse_comprehension(py);
    }
    if (json_object_get(arguments->kwargs, key))
        cel__py_fail(py, at, "'%s' is given twice", key);
    if (json_object_set_new(arguments->kwargs, key, value.json))
        cel__py_fail(py, at, "'%s' is no name", key);
    return !py->failed;
}

static cel_pyvalue read_call(cel_py *py, const cel_pysymbol *symbol, size_t at)
{
    struct arguments arguments = {json_array(), json_object(), 0};
    cel_pyvalue value = nothing;

    cel__py_next(py);
    while (!py->failed && !cel__py_is_op(py, ")")) {
        if (!read_argument(py, &arguments))
            break;
        if (cel__py_is_op(py, ","))
            cel__py_next(py);
        else if (!cel__py_is_op(py, ")"))
            cel__py_unexpected(py, "',' or ')'");
    }
    if (cel__py_expect_op(py, ")") && cel__py_count(py, at, 1))
        value = cel__py_call(py, symbol, at, arguments.args, arguments.kwargs, arguments.depth);
    json_decref(arguments.args);
    json_decref(arguments.kwargs);
    return value;
}

static cel_pyvalue read_environ(cel_py *py, size_t at)
{
    cel__py_next(py);
    cel_pyvalue key = read_value(py);
    cel_pyvalue value = nothing;

    if (key.json && cel__py_expect_op(py, "]"))
        value = cel__py_environ(py, at, key.json);
    json_decref(key.json);
    return value;
}

static cel_pyvalue read_attribute(cel_py *py, const cel_pysymbol *symbol)
{
    if (!cel__py_next(py))
        return nothing;
    cel_view name = py->token.text;
    const cel_pysymbol *member =
        py->token.kind == CEL_PY_NAME ? cel__py_symbol(symbol, name) : NULL;
    if (!member) {
        cel__py_fail(py, py->token.at, "'%s.%.*s' cannot be read: " NOT_EXECUTED, symbol->path,
                     name.len > 40 ? 40 : (int)name.len, name.ptr);
        return nothing;
    }
    cel__py_next(py);
    return (cel_pyvalue){NULL, member, 0};
}

static bool refuse_call(cel_py *py, cel_pytoken token)
{
    return cel__py_fail(py, token.at, "a function call of '%.*s' cannot be read: " NOT_EXECUTED,
                        token.text.len > 40 ? 40 : (int)token.text.len, token.text.ptr);
}

/* What follows a value: nothing may. */
static cel_pyvalue
refuse_postfix(cel_py *py, cel_pyvalue value, bool is_name, cel_pytoken token)
{
    char text[64];
    bool string = json_is_string(value.json);

    json_decref(value.json);
    if (cel__py_is_op(py, "(") && is_name) {
        refuse_call(py, token);
    } else if (cel__py_is_op(py, ".") && string) {
        cel__py_fail(py, py->token.at,
                     "a method of a string, such as .format(), cannot be read: write the "
                     "string out, use + or an f-string with plain names");
    } else {
        cel__py_fail(py, py->token.at, "%s behind a value cannot be read: " NOT_EXECUTED,
                     cel__py_found(py, text));
    }
    return nothing;
}

cel_pyvalue cel__py_strings(cel_py *py)
{
    cel__buf buf = {.max = CEL_PY_STRING_MAX + 8};
    size_t at = py->token.at;
    json_t *text = NULL;

    while (!py->failed && py->token.kind == CEL_PY_STRING) {
        cel_pytoken token = py->token;
        if (cel__py_string(py, &token, &buf))
            cel__py_next(py);
    }
    if (!py->failed)
        text = cel__py_make_string(py, at, &buf);
    cel__buf_done(&buf);
    return (cel_pyvalue){text, NULL, 0};
}

/* `foo(...)` of a name that is not known is better called a call than an undefined name. */
static cel_pyvalue read_name(cel_py *py)
{
    cel_pytoken token = py->token;
    cel_py ahead = *py;

    if (cel__py_is_word(py, "True") || cel__py_is_word(py, "False")) {
        bool truth = cel__py_is_word(py, "True");
        cel__py_next(py);
        return (cel_pyvalue){json_boolean(truth), NULL, 0};
    }
    if (cel__py_is_word(py, "None")) {
        cel__py_next(py);
        return (cel_pyvalue){json_null(), NULL, 0};
    }
    if (cel__py_is_statement(py) || cel__py_is_word(py, "import") ||
        cel__py_is_word(py, "from")) {
        cel__py_refuse_word(py);
        return nothing;
    }
    if (!cel__py_knows(py, token.text) && cel__py_next(&ahead) && cel__py_is_op(&ahead, "(")) {
        refuse_call(py, token);
        return nothing;
    }
    cel_pyvalue value = cel__py_lookup(py, token.text, token.at);
    cel__py_next(py);
    return cel__py_settle(py, value);
}

static cel_pyvalue read_primary(cel_py *py)
{
    cel_pytoken token = py->token;

    if (!cel__py_count(py, token.at, 1))
        return nothing;
    if (token.kind == CEL_PY_STRING)
        return cel__py_strings(py);
    if (token.kind == CEL_PY_NAME)
        return read_name(py);
    if (token.kind == CEL_PY_NUMBER) {
        cel_pyvalue number = {cel__py_number(py, &token), NULL, 0};
        cel__py_next(py);
        return cel__py_settle(py, number);
    }
    if (cel__py_is_op(py, "("))
        return read_parens(py);
    if (cel__py_is_op(py, "["))
        return read_list(py);
    if (cel__py_is_op(py, "{"))
        return read_braces(py);
    cel__py_unexpected(py, "a value");
    return nothing;
}

static cel_pyvalue read_postfix(cel_py *py)
{
    cel_pytoken token = py->token;
    cel_pyvalue value = read_primary(py);

    while (value.symbol && !py->failed) {
        const cel_pysymbol *symbol = value.symbol;
        if (cel__py_is_op(py, "."))
            value = read_attribute(py, symbol);
        else if (cel__py_is_op(py, "("))
            value = read_call(py, symbol, token.at);
        else if (cel__py_is_op(py, "[") && symbol->kind == CEL_PY_ENVIRON)
            value = read_environ(py, token.at);
        else
            break;
    }
    if (value.json &&
        (cel__py_is_op(py, ".") || cel__py_is_op(py, "(") || cel__py_is_op(py, "[")))
        return refuse_postfix(py, value, token.kind == CEL_PY_NAME, token);
    return cel__py_settle(py, value);
}

/* ---- operators ---- */

bool cel__py_enter(cel_py *py)
{
    if (py->depth >= CEL_PYREAD_DEPTH)
        return cel__py_fail(py, py->token.at, "expressions nested more than %d deep",
                            CEL_PYREAD_DEPTH);
    py->depth++;
    return true;
}

/* Both operands must be values. Takes them. */
cel_pyvalue
cel__py_apply(cel_py *py, cel_view op, size_t at, cel_pyvalue left, cel_pyvalue right)
{
    cel_pyvalue value = nothing;

    if (left.symbol || right.symbol)
        cel__py_fail(py, at, "'%.*s' with what is no value", CEL_VIEW_ARG(op));
    else if (left.json && right.json && !py->failed)
        value = cel__py_binary(py, op, at, left, right);
    json_decref(left.json);
    json_decref(right.json);
    return value;
}

static cel_pyvalue read_unary(cel_py *py);

static cel_pyvalue read_power(cel_py *py)
{
    cel_pyvalue left = read_postfix(py);

    if (!cel__py_is_good(left) || !cel__py_is_op(py, "**"))
        return left;
    cel_pytoken op = py->token;
    cel__py_next(py);
    return cel__py_apply(py, op.text, op.at, left, read_unary(py));
}

static cel_pyvalue read_unary(cel_py *py)
{
    cel_pytoken op = py->token;

    if (!cel__py_is_op(py, "-") && !cel__py_is_op(py, "+") && !cel__py_is_op(py, "~"))
        return read_power(py);
    if (!cel__py_enter(py) || !cel__py_next(py))
        return nothing;
    cel_pyvalue operand = read_unary(py);
    cel_pyvalue value = nothing;
    if (operand.symbol)
        cel__py_fail(py, op.at, "'%s' is no number", operand.symbol->path);
    else if (operand.json)
        value = cel__py_unary(py, op.text, op.at, operand);
    json_decref(operand.json);
    py->depth--;
    return value;
}

static cel_pyvalue read_term(cel_py *py)
{
    cel_pyvalue left = read_unary(py);

    while (cel__py_is_good(left) && (cel__py_is_op(py, "*") || cel__py_is_op(py, "/") ||
                                     cel__py_is_op(py, "//") || cel__py_is_op(py, "%"))) {
        cel_pytoken op = py->token;
        cel__py_next(py);
        left = cel__py_apply(py, op.text, op.at, left, read_unary(py));
    }
    return left;
}

static cel_pyvalue read_sum(cel_py *py)
{
    cel_pyvalue left = read_term(py);

    while (cel__py_is_good(left) && (cel__py_is_op(py, "+") || cel__py_is_op(py, "-"))) {
        cel_pytoken op = py->token;
        cel__py_next(py);
        left = cel__py_apply(py, op.text, op.at, left, read_term(py));
    }
    return left;
}

/* `not x`, or a value that no operator we cannot read follows. */
static cel_pyvalue read_not(cel_py *py)
{
    static const char *const others[] = {"==", "!=", "<", ">", "<=", ">=", "<<",
                                         ">>", "&",  "|", "^", "@",  ":="};

    if (cel__py_is_word(py, "not")) {
        if (!cel__py_enter(py) || !cel__py_next(py))
            return nothing;
        cel_pyvalue operand = read_not(py);
        bool truth = operand.symbol || (operand.json && cel__py_truth(operand.json));
        json_decref(operand.json);
        py->depth--;
        return cel__py_settle(py, (cel_pyvalue){json_boolean(!truth), NULL, 0});
    }
    cel_pyvalue value = read_sum(py);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (cel__py_is_good(value) && cel__py_is_op(py, others[i]))
            cel__py_fail(py, py->token.at, "the operator '%s' cannot be read: " NOT_EXECUTED,
                         others[i]);
    }
    return cel__py_settle(py, value);
}

/* Python gives the first operand that decides, as it is. */
static cel_pyvalue
read_logic(cel_py *py, const char *word, bool stop, cel_pyvalue (*read)(cel_py *))
{
    cel_pyvalue left = read(py);

    while (cel__py_is_good(left) && cel__py_is_word(py, word)) {
        bool decided = (left.symbol || cel__py_truth(left.json)) == stop;
        cel__py_next(py);
        py->unused += decided;
        cel_pyvalue right = read(py);
        py->unused -= decided;
        json_decref(decided ? right.json : left.json);
        left = cel__py_settle(py, decided ? left : right);
    }
    return left;
}

static cel_pyvalue read_and(cel_py *py)
{
    return read_logic(py, "and", false, read_not);
}

cel_pyvalue cel__py_expression(cel_py *py)
{
    if (py->failed || !cel__py_enter(py))
        return nothing;
    cel_pyvalue value = read_logic(py, "or", true, read_and);
    py->depth--;
    if (cel__py_is_good(value) && cel__py_is_word(py, "if"))
        cel__py_fail(py, py->token.at,
                     "a conditional expression cannot be read: " NOT_EXECUTED);
    if (cel__py_is_good(value) && (cel__py_is_word(py, "in") || cel__py_is_word(py, "is")))
        cel__py_refuse_word(py);
    return cel__py_settle(py, value);
}

/* The value of an assignment: `1, 2` without parentheses is a tuple, too. */
cel_pyvalue cel__py_right_side(cel_py *py)
{
    size_t at = py->token.at;
    cel_pyvalue first = cel__py_expression(py);

    if (!first.json || !cel__py_is_op(py, ","))
        return first;
    cel_pyvalue tuple = new_list(py);
    if (!append(py, &tuple, at, first))
        return cel__py_settle(py, tuple);
    while (!py->failed && cel__py_is_op(py, ",")) {
        cel__py_next(py);
        if (py->token.kind == CEL_PY_NEWLINE || py->token.kind == CEL_PY_END ||
            cel__py_is_op(py, ";"))
            break;
        at = py->token.at;
        append(py, &tuple, at, read_value(py));
    }
    return cel__py_settle(py, tuple);
}
