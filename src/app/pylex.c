/* pylex.c - Python's tokens, as far as assignments need them. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/pyintern.h"
#include "core/number.h"
#include "core/utf8.h"

bool cel__py_fail(cel_py *py, size_t at, const char *fmt, ...)
{
    va_list args;

    if (py->failed)
        return false;
    py->failed = true;
    py->code = CEL_ECONFIG;
    py->failed_at = at;
    va_start(args, fmt);
    vsnprintf(py->message, sizeof py->message, fmt, args);
    va_end(args);
    return false;
}

bool cel__py_nomem(cel_py *py)
{
    cel__py_fail(py, py->token.at, "out of memory");
    py->code = CEL_ENOMEM;
    return false;
}

void cel__py_position(cel_view text, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n' || (c == '\r' && (i + 1 == text.len || text.ptr[i + 1] != '\n'))) {
            ++*line;
            *column = 1;
        } else if ((c & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

/* The byte at an offset, NUL beyond the end (NUL bytes in the text are refused before). */
static char peek(const cel_py *py, size_t at)
{
    return at < py->text.len ? py->text.ptr[at] : '\0';
}

static size_t newline_length(const cel_py *py, size_t at)
{
    if (peek(py, at) == '\r')
        return peek(py, at + 1) == '\n' ? 2 : 1;
    return peek(py, at) == '\n';
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Skips spaces, comments, continued lines and, in brackets, newlines. */
static bool skip_space(cel_py *py)
{
    for (;;) {
        char c = peek(py, py->at);
        size_t newline = newline_length(py, py->at);
        if (c == ' ' || c == '\t' || c == '\f') {
            py->at++;
        } else if (newline && py->brackets > 0) {
            py->at += newline;
        } else if (c == '#') {
            while (py->at < py->text.len && !newline_length(py, py->at))
                py->at++;
        } else if (c == '\\') {
            newline = newline_length(py, py->at + 1);
            if (!newline)
                return cel__py_fail(py, py->at, "a backslash that ends no line");
            py->at += 1 + newline;
        } else {
            return true;
        }
    }
}

static bool take(cel_py *py, cel_pykind kind, size_t len)
{
    py->token = (cel_pytoken){kind, py->at, {py->text.ptr + py->at, len}};
    py->at += len;
    return true;
}

/* Finds the end of a string whose prefix has `prefix` bytes. */
static bool take_string(cel_py *py, size_t prefix)
{
    size_t from = py->at, at = from + prefix;
    char quote = peek(py, at);
    bool triple = peek(py, at + 1) == quote && peek(py, at + 2) == quote;

    at += triple ? 3 : 1;
    for (;; at++) {
        if (at >= py->text.len || (!triple && newline_length(py, at)))
            return cel__py_fail(py, from, "a string that is not closed");
        if (peek(py, at) == '\\') {
            at += newline_length(py, at + 1) == 2 ? 2 : 1;
            continue;
        }
        if (peek(py, at) != quote)
            continue;
        if (!triple)
            return take(py, CEL_PY_STRING, at + 1 - from);
        if (peek(py, at + 1) == quote && peek(py, at + 2) == quote)
            return take(py, CEL_PY_STRING, at + 3 - from);
    }
}

static bool take_name(cel_py *py)
{
    size_t len = 0;

    while (is_name_byte(peek(py, py->at + len)))
        len++;
    char quote = peek(py, py->at + len);
    if (quote != '"' && quote != '\'')
        return take(py, CEL_PY_NAME, len);
    if (len > 2 || strspn(py->text.ptr + py->at, "rRuUbBfF") < len)
        return cel__py_fail(py, py->at, "'%.*s' is no prefix of a string", (int)len,
                            py->text.ptr + py->at);
    return take_string(py, len);
}

/* Takes everything that belongs to a number, and what follows it without a gap. */
static bool take_number(cel_py *py)
{
    size_t len = 0;

    for (;; len++) {
        char c = peek(py, py->at + len);
        char before = len ? peek(py, py->at + len - 1) : '\0';
        bool sign = (c == '+' || c == '-') && (before == 'e' || before == 'E') &&
                    tolower((unsigned char)peek(py, py->at + 1)) != 'x';
        if (!is_name_byte(c) && c != '.' && !sign)
            return take(py, CEL_PY_NUMBER, len);
    }
}

static size_t operator_length(const cel_py *py)
{
    static const char *const operators[] = {
        "**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "+=", "-=", "*=",
        "/=",  "%=",  "&=",  "|=",  "^=",  "@=", "==", "!=", "<=", ">=", "->", ":="};

    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t len = strlen(operators[i]);
        if (py->text.len - py->at >= len &&
            memcmp(py->text.ptr + py->at, operators[i], len) == 0)
            return len;
    }
    return strchr("+-*/%()[]{},:.=;<>&|^~@!", peek(py, py->at)) ? 1 : 0;
}

static bool take_operator(cel_py *py)
{
    size_t len = operator_length(py);
    char c = peek(py, py->at);

    if (len == 0)
        return cel__py_fail(py, py->at, "the character '%c' has no place here", c);
    if (strchr("([{", c))
        py->brackets++;
    else if (strchr(")]}", c) && py->brackets > 0)
        py->brackets--;
    return take(py, CEL_PY_OP, len);
}

bool cel__py_next(cel_py *py)
{
    if (py->failed || !skip_space(py))
        return false;
    char c = peek(py, py->at);
    if (py->at >= py->text.len)
        return take(py, CEL_PY_END, 0);
    if (newline_length(py, py->at))
        return take(py, CEL_PY_NEWLINE, newline_length(py, py->at));
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)peek(py, py->at + 1))))
        return take_number(py);
    if (is_name_byte(c))
        return take_name(py);
    if (c == '"' || c == '\'')
        return take_string(py, 0);
    return take_operator(py);
}

bool cel__py_next_line(cel_py *py)
{
    for (;;) {
        size_t line = py->at;
        py->brackets = 0;
        if (!cel__py_next(py))
            return false;
        if (py->token.kind == CEL_PY_NEWLINE)
            continue;
        if (py->token.kind != CEL_PY_END && py->token.at > line &&
            strchr(" \t", py->text.ptr[line]))
            return cel__py_fail(py, py->token.at, "this line must not be indented");
        return true;
    }
}

/* ---- numbers ---- */

static json_t *bad_number(cel_py *py, const cel_pytoken *token)
{
    cel__py_fail(py, token->at, "'%.*s' is no number", CEL_VIEW_ARG(token->text));
    return NULL;
}

/* Drops the underscores; false where one is not between digits, or the number is too long. */
static bool plain_digits(char out[400], cel_view text)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '_') {
            if (len + 1 >= 400)
                return false;
            out[len++] = text.ptr[i];
        } else if (i == 0 || i + 1 == text.len || !isalnum((unsigned char)text.ptr[i - 1]) ||
                   !isalnum((unsigned char)text.ptr[i + 1])) {
            return false;
        }
    }
    out[len] = '\0';
    return true;
}

static json_t *read_integer(cel_py *py, const cel_pytoken *token, const char *text, int base)
{
    int64_t value = 0;

    if (*text == '\0')
        return bad_number(py, token);
    for (; *text; text++) {
        int digit = isdigit((unsigned char)*text) ? *text - '0'
                                                  : tolower((unsigned char)*text) - 'a' + 10;
        if (!isalnum((unsigned char)*text) || digit >= base)
            return bad_number(py, token);
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            cel__py_fail(py, token->at, "an integer of more than 64 bits");
            return NULL;
        }
    }
    json_t *json = json_integer(value);
    if (!json)
        cel__py_nomem(py);
    return json;
}

static json_t *read_real(cel_py *py, const cel_pytoken *token, const char *text)
{
    char json[420] = "";
    size_t len = 0;
    double value;

    /* JSON's grammar wants a digit on both sides of the point and no zeros in front. */
    while (*text == '0' && isdigit((unsigned char)text[1]))
        text++;
    if (*text == '.')
        json[len++] = '0';
    for (; *text; text++) {
        json[len++] = *text;
        if (*text == '.' && !isdigit((unsigned char)text[1]))
            json[len++] = '0';
    }
    json[len] = '\0';
    if (!cel__double_parse(&value, cel__view(json)))
        return bad_number(py, token);
    return cel__py_make_real(py, token->at, value);
}

json_t *cel__py_number(cel_py *py, const cel_pytoken *token)
{
    char text[400];

    if (!plain_digits(text, token->text))
        return bad_number(py, token);
    if (text[0] == '0' && strchr("xX", text[1] ? text[1] : '?'))
        return read_integer(py, token, text + 2, 16);
    if (text[0] == '0' && strchr("oO", text[1] ? text[1] : '?'))
        return read_integer(py, token, text + 2, 8);
    if (text[0] == '0' && strchr("bB", text[1] ? text[1] : '?'))
        return read_integer(py, token, text + 2, 2);
    if (strpbrk(text, ".eE"))
        return read_real(py, token, text);
    if (text[0] == '0' && strspn(text, "0") != strlen(text))
        return bad_number(py, token);
    return read_integer(py, token, text, 10);
}

/* ---- strings ---- */

/* A string token being read. */
struct literal {
    const cel_pytoken *token;
    cel_view body; /* between the quotes */
    bool raw, format;
};

static size_t offset(const struct literal *literal, size_t i)
{
    return literal->token->at + (size_t)(literal->body.ptr - literal->token->text.ptr) + i;
}

static bool open_literal(cel_py *py, struct literal *literal, const cel_pytoken *token)
{
    cel_view text = token->text;
    size_t prefix = 0;
    bool bytes = false, unicode = false;

    *literal = (struct literal){.token = token};
    for (; text.ptr[prefix] != '"' && text.ptr[prefix] != '\''; prefix++) {
        char c = (char)tolower((unsigned char)text.ptr[prefix]);
        literal->raw |= c == 'r';
        literal->format |= c == 'f';
        bytes |= c == 'b';
        unicode |= c == 'u';
    }
    if (prefix == 2 && (unicode || !literal->raw || bytes == literal->format))
        return cel__py_fail(py, token->at, "no such prefix of a string");
    if (bytes)
        return cel__py_fail(py, token->at, "bytes cannot be a setting: leave out the b");
    char quote = text.ptr[prefix];
    size_t rest = text.len - prefix;
    size_t quotes =
        rest >= 6 && text.ptr[prefix + 1] == quote && text.ptr[prefix + 2] == quote ? 3 : 1;
    literal->body = (cel_view){text.ptr + prefix + quotes, rest - 2 * quotes};
    return true;
}

static int digit_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Reads exactly `count` hexadecimal digits behind an escape at `i`. */
static bool
hex_escape(cel_py *py, const struct literal *literal, size_t *i, size_t count, cel__buf *buf)
{
    cel_view body = literal->body;
    uint32_t cp = 0;
    char utf8[4];

    for (size_t k = 0; k < count; k++) {
        int digit = *i + 2 + k < body.len ? digit_value(body.ptr[*i + 2 + k]) : 99;
        if (digit > 15)
            return cel__py_fail(py, offset(literal, *i), "an escape of %zu hexadecimal digits",
                                count);
        cp = cp * 16 + (uint32_t)digit;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return cel__py_fail(py, offset(literal, *i), "an escape that is no character");
    cel__buf_add(buf, utf8, cel__utf8_encode(cp, utf8));
    *i += 2 + count;
    return true;
}

static void octal_escape(cel_view body, size_t *i, cel__buf *buf)
{
    uint32_t cp = 0;
    char utf8[4];
    size_t k = *i + 1;

    for (; k < body.len && k < *i + 4 && body.ptr[k] >= '0' && body.ptr[k] <= '7'; k++)
        cp = cp * 8 + (uint32_t)(body.ptr[k] - '0');
    cel__buf_add(buf, utf8, cel__utf8_encode(cp, utf8));
    *i = k;
}

static bool add_escape(cel_py *py, const struct literal *literal, size_t *i, cel__buf *buf)
{
    static const char letters[] = "\\'\"abfnrtv";
    static const char meanings[] = "\\'\"\a\b\f\n\r\t\v";
    char c = *i + 1 < literal->body.len ? literal->body.ptr[*i + 1] : '\0';
    const char *letter = c ? strchr(letters, c) : NULL;

    if (letter) {
        cel__buf_add_byte(buf, meanings[letter - letters]);
        *i += 2;
    } else if (c == '\n') {
        *i += 2;
    } else if (c == '\r') {
        *i += *i + 2 < literal->body.len && literal->body.ptr[*i + 2] == '\n' ? 3 : 2;
    } else if (c == 'x') {
        return hex_escape(py, literal, i, 2, buf);
    } else if (c == 'u') {
        return hex_escape(py, literal, i, 4, buf);
    } else if (c == 'U') {
        return hex_escape(py, literal, i, 8, buf);
    } else if (c == 'N') {
        return cel__py_fail(py, offset(literal, *i), "\\N{...} cannot be read: use \\u");
    } else if (c >= '0' && c <= '7') {
        octal_escape(literal->body, i, buf);
    } else { /* Python keeps the backslash of what is no escape */
        cel__buf_add_byte(buf, '\\');
        ++*i;
    }
    return true;
}

/* A `{` or `}` of an f-string at `i`. */
static bool add_field(cel_py *py, const struct literal *literal, size_t *i, cel__buf *buf)
{
    cel_view body = literal->body;
    char c = body.ptr[*i];
    size_t from = *i + 1, to = from;

    if (from < body.len && body.ptr[from] == c) {
        cel__buf_add_byte(buf, c);
        *i += 2;
        return true;
    }
    while (to < body.len && is_name_byte(body.ptr[to]))
        to++;
    if (c == '}' || to == from || to >= body.len || body.ptr[to] != '}' ||
        isdigit((unsigned char)body.ptr[from]))
        return cel__py_fail(py, offset(literal, *i),
                            "an f-string may hold {name} only: celeriac reads this file, it "
                            "does not execute it");
    cel_view name = {body.ptr + from, to - from};
    cel_pyvalue value = cel__py_lookup(py, name, offset(literal, from));
    bool ok = value.json && cel__py_str(buf, value.json);
    json_decref(value.json);
    *i = to + 1;
    return ok || cel__py_fail(py, offset(literal, from), "'%.*s' is no text and no number",
                              CEL_VIEW_ARG(name));
}

bool cel__py_string(cel_py *py, const cel_pytoken *token, cel__buf *buf)
{
    struct literal literal;
    size_t i = 0;

    if (!open_literal(py, &literal, token))
        return false;
    cel_view body = literal.body;
    while (i < body.len) {
        char c = body.ptr[i];
        if (c == '\\' && !literal.raw) {
            if (!add_escape(py, &literal, &i, buf))
                return false;
        } else if ((c == '{' || c == '}') && literal.format) {
            if (!add_field(py, &literal, &i, buf))
                return false;
        } else if (c == '\r') { /* newlines are \n in Python, whatever the file has */
            i += i + 1 < body.len && body.ptr[i + 1] == '\n' ? 2 : 1;
            cel__buf_add_byte(buf, '\n');
        } else {
            cel__buf_add_byte(buf, c);
            i++;
        }
    }
    if (buf->failed || buf->len > CEL_PY_STRING_MAX)
        return cel__py_fail(py, token->at, "a string of more than 1 MiB");
    return true;
}
