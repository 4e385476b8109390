/* json_repr.c - JSON texts shown as Python shows what they mean.
 *
 * A JSON text in its order of tokens is almost Python's repr already: the full repr
 * translates token by token and needs no stack. The bounded one plays celery.utils.saferepr:
 * that emits tokens, each bounded by what is left of a budget and then taken from it; when a
 * token comes while nothing is left, ", ..." takes its place and only the closing brackets
 * of what is open follow. The token that found the budget used up is lost, a closing bracket
 * too. */
#include <stdint.h>

#include "core/jscan.h"
#include "core/json.h"
#include "core/number.h"
#include "core/utf8.h"

#define MAX_LEVELS 3 /* saferepr's maxlevels: containers nested deeper are shown as [...] */

/* A cursor over the text, which need not be checked: scanning stops at the first error. */
struct tokens {
    const char *at;
    const char *end;
};

static void skip_space(struct tokens *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
}

static char peek(struct tokens *in)
{
    skip_space(in);
    return in->at < in->end ? *in->at : '\0';
}

static bool is_delimiter(char c)
{
    return c == ',' || c == ':' || c == ']' || c == '}' || c == '[' || c == '{' || c == '"' ||
           c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Takes one scalar; false if there is none. */
static bool take_scalar(struct tokens *in, cel_jvalue *value)
{
    const char *start = in->at;

    if (peek(in) == '\0')
        return false;
    start = in->at;
    if (*in->at == '"') {
        for (in->at++; in->at < in->end && *in->at != '"'; in->at++)
            if (*in->at == '\\')
                in->at++;
        if (in->at >= in->end)
            return false;
        in->at++;
    } else {
        while (in->at < in->end && !is_delimiter(*in->at))
            in->at++;
    }
    return cel__jscan_value(value, (cel_view){start, (size_t)(in->at - start)}, NULL) == CEL_OK;
}

static void add_number(cel__buf *buf, cel_jvalue value)
{
    char text[CEL_DOUBLE_TEXT];
    double number;

    if (value.type == CEL_JSON_INTEGER) {
        cel__buf_add_view(buf, cel__view_is(value.text, "-0") ? CEL_VIEW("0") : value.text);
        return;
    }
    switch (value.text.ptr[value.text.len - 1]) {
    case 'N':
        cel__buf_add_str(buf, "nan");
        return;
    case 'y':
        cel__buf_add_str(buf, value.text.ptr[0] == '-' ? "-inf" : "inf");
        return;
    default:
        break;
    }
    if (cel__double_parse(&number, value.text))
        cel__buf_add(buf, text, cel__double_format(text, number));
    else
        cel__buf_add_str(buf, value.text.ptr[0] == '-' ? "-inf" : "inf"); /* 1e400 */
}

/* Null, booleans and numbers. */
static void add_plain(cel__buf *buf, cel_jvalue value)
{
    if (value.type == CEL_JSON_NULL)
        cel__buf_add(buf, "None", 4);
    else if (value.type == CEL_JSON_TRUE)
        cel__buf_add(buf, "True", 4);
    else if (value.type == CEL_JSON_FALSE)
        cel__buf_add(buf, "False", 5);
    else
        add_number(buf, value);
}

/* ---- bounded, as saferepr ---- */

struct saferepr {
    cel__buf *buf;
    struct tokens in;
    int64_t left; /* of the budget, in code points; may be below zero */
    bool cut;     /* the budget ran out */
    bool broken;  /* the text is no JSON */
    bool tuple;   /* the outermost array is shown as a tuple */
    int depth;    /* open containers, at most MAX_LEVELS */
    char closers[MAX_LEVELS];
    bool single; /* the outermost tuple has one element */
};

/* Passes one value without showing it. */
static void skip_value(struct saferepr *repr)
{
    size_t depth = 0;

    do {
        cel_jvalue ignored;
        char c = peek(&repr->in);

        if (c == '[' || c == '{') {
            depth++;
            repr->in.at++;
        } else if (c == ']' || c == '}') {
            if (depth > 0)
                depth--;
            repr->in.at++;
        } else if (c == ',' || c == ':') {
            repr->in.at++;
        } else if (!take_scalar(&repr->in, &ignored)) {
            repr->broken = true;
        }
    } while (depth > 0 && !repr->broken);
}

/* Whether a token may be shown; if not, shows ", ..." and ends the show. */
static bool afford(struct saferepr *repr)
{
    if (repr->left > 0)
        return true;
    cel__buf_add(repr->buf, ", ...", 5);
    repr->cut = true;
    return false;
}

static void emit(struct saferepr *repr, const char *token, int64_t len)
{
    if (!afford(repr))
        return;
    cel__buf_add(repr->buf, token, (size_t)len);
    repr->left -= len;
}

/* celery.utils.text.truncate(): of a text of at least `left` characters the first `left`,
 * back to before the last space if there is one, and "...". Returns the bytes to keep; *cut
 * if it was cut. */
static size_t truncate_text(cel_view text, int64_t left, bool *cut, int64_t *count)
{
    size_t at = 0, space = 0;
    int64_t seen = 0, before_space = 0;
    bool has_space = false;

    while (at < text.len && seen < left) {
        uint32_t cp;

        if (text.ptr[at] == ' ') {
            has_space = true;
            space = at;
            before_space = seen;
        }
        at += cel__utf8_decode(text.ptr + at, text.len - at, &cp);
        seen++;
    }
    *cut = seen >= left;
    *count = *cut && has_space ? before_space : seen;
    return *cut && has_space ? space : at;
}

static void emit_string(struct saferepr *repr, cel_jvalue value)
{
    cel__buf scratch = {0};
    int64_t count;
    cel_view text;
    bool cut;

    if (!afford(repr))
        return;
    text = cel__jscan_view(value, &scratch);
    text.len = truncate_text(text, repr->left, &cut, &count);
    cel__buf_add_byte(repr->buf, '\'');
    for (size_t at = 0; at < text.len;) {
        const char *quote = memchr(text.ptr + at, '\'', text.len - at);
        size_t plain = quote ? (size_t)(quote - text.ptr) - at : text.len - at;

        cel__buf_add(repr->buf, text.ptr + at, plain);
        at += plain;
        if (quote) {
            cel__buf_add(repr->buf, "\\'", 2);
            count++;
            at++;
        }
    }
    cel__buf_add_str(repr->buf, cut ? "...'" : "'");
    repr->left -= count + 2 + (cut ? 3 : 0);
    repr->buf->failed |= scratch.failed;
    cel__buf_done(&scratch);
}

/* A token that is no string and no bracket: cut at the budget, without regard to spaces
 * since it has none. `start` is where the buffer ended before the token was put there. */
static void charge(struct saferepr *repr, size_t start)
{
    int64_t len = (int64_t)(repr->buf->len - start);

    if (repr->buf->failed)
        return;
    if (len >= repr->left) {
        repr->buf->len = start + (size_t)repr->left;
        cel__buf_add(repr->buf, "...", 3);
        len = repr->left + 3;
    }
    repr->left -= len;
}

static void emit_scalar(struct saferepr *repr, cel_jvalue value)
{
    size_t start = repr->buf->len;

    if (value.type == CEL_JSON_STRING) {
        emit_string(repr, value);
    } else if (afford(repr)) {
        add_plain(repr->buf, value);
        charge(repr, start);
    }
}

static void emit_closer(struct saferepr *repr)
{
    char closer = repr->closers[--repr->depth];
    bool single = repr->depth == 0 && repr->single;

    emit(repr, single ? ",)" : &closer, single ? 2 : 1);
}

/* After the budget ran out. */
static void close_all(struct saferepr *repr)
{
    while (repr->depth > 0) {
        if (--repr->depth == 0 && repr->single)
            cel__buf_add_byte(repr->buf, ',');
        cel__buf_add_byte(repr->buf, repr->closers[repr->depth]);
    }
}

/* `in` is on a bracket. Whether the array there has exactly one element. */
static bool has_one_element(const struct saferepr *repr)
{
    struct saferepr ahead = {.in = repr->in};

    ahead.in.at++;
    if (peek(&ahead.in) == ']')
        return false;
    skip_value(&ahead);
    return !ahead.broken && peek(&ahead.in) == ']';
}

/* `in` is on an opening bracket. */
static void emit_container(struct saferepr *repr)
{
    bool object = *repr->in.at == '{';
    bool tuple = !object && repr->tuple && repr->depth == 0;

    if (repr->depth == MAX_LEVELS) {
        size_t start = repr->buf->len;

        skip_value(repr);
        if (repr->broken || !afford(repr))
            return;
        cel__buf_add_str(repr->buf, object ? "{...}" : "[...]");
        charge(repr, start);
        return;
    }
    repr->single = repr->depth == 0 ? tuple && has_one_element(repr) : repr->single;
    repr->closers[repr->depth++] = object ? '}' : tuple ? ')' : ']';
    emit(repr, object ? "{" : tuple ? "(" : "[", 1);
    repr->in.at++;
}

static void emit_token(struct saferepr *repr)
{
    cel_jvalue value;

    switch (peek(&repr->in)) {
    case '[':
    case '{':
        emit_container(repr);
        break;
    case ']':
    case '}':
        if (repr->depth == 0) {
            repr->broken = true;
            break;
        }
        repr->in.at++;
        emit_closer(repr);
        break;
    case ',':
        repr->in.at++;
        emit(repr, ", ", 2);
        break;
    case ':':
        repr->in.at++;
        emit(repr, ": ", 2);
        break;
    default:
        if (take_scalar(&repr->in, &value))
            emit_scalar(repr, value);
        else
            repr->broken = true;
    }
}

void cel__json_repr(cel__buf *buf, cel_view text, size_t max_len, bool tuple)
{
    struct saferepr repr = {.buf = buf,
                            .in = {text.ptr, text.ptr + text.len},
                            .left = (int64_t)max_len,
                            .tuple = tuple};

    do
        emit_token(&repr);
    while (repr.depth > 0 && !repr.cut && !repr.broken && !buf->failed);
    close_all(&repr);
}

/* ---- unbounded, as Python's repr() ---- */

/* What str.isprintable() denies, but for code points not assigned (Unicode 15). */
static bool is_printable(uint32_t cp)
{
    static const uint32_t ranges[][2] = {
        {0x0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},         {0x600, 0x605},
        {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},       {0x890, 0x891},
        {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},     {0x2000, 0x200f},
        {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},     {0xd800, 0xf8ff},
        {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd},   {0x110cd, 0x110cd},
        {0x13430, 0x13438}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},   {0xe0001, 0xe0001},
        {0xe0020, 0xe007f}, {0xf0000, 0xffffd}, {0x100000, 0x10fffd},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges && cp >= ranges[i][0]; i++)
        if (cp <= ranges[i][1])
            return false;
    return true;
}

static void add_python_escape(cel__buf *buf, uint32_t cp)
{
    if (cp == '\n')
        cel__buf_add(buf, "\\n", 2);
    else if (cp == '\r')
        cel__buf_add(buf, "\\r", 2);
    else if (cp == '\t')
        cel__buf_add(buf, "\\t", 2);
    else if (cp < 0x100)
        cel__buf_addf(buf, "\\x%02x", (unsigned)cp);
    else if (cp < 0x10000)
        cel__buf_addf(buf, "\\u%04x", (unsigned)cp);
    else
        cel__buf_addf(buf, "\\U%08x", (unsigned)cp);
}

static void add_python_string(cel__buf *buf, cel_jvalue value)
{
    cel__buf scratch = {0};
    cel_view text = cel__jscan_view(value, &scratch);
    bool has_single = memchr(text.ptr, '\'', text.len) != NULL;
    char quote = has_single && !memchr(text.ptr, '"', text.len) ? '"' : '\'';

    cel__buf_add_byte(buf, quote);
    for (size_t at = 0; at < text.len;) {
        uint32_t cp;
        size_t took = cel__utf8_decode(text.ptr + at, text.len - at, &cp);

        if (cp == (unsigned char)quote || cp == '\\') {
            cel__buf_add_byte(buf, '\\');
            cel__buf_add_byte(buf, (char)cp);
        } else if (is_printable(cp)) {
            cel__buf_add(buf, text.ptr + at, took);
        } else {
            add_python_escape(buf, cp);
        }
        at += took;
    }
    cel__buf_add_byte(buf, quote);
    buf->failed |= scratch.failed;
    cel__buf_done(&scratch);
}

/* Where a token-by-token translation is, for the one thing that needs to look back: a tuple
 * of one. */
struct pyrepr {
    cel__buf *buf;
    struct tokens in;
    size_t depth;
    size_t commas; /* at depth 1 */
    bool tuple;    /* the brackets of depth 1 are a tuple's */
    bool empty;    /* nothing came since the last opening bracket */
};

static void add_bracket(struct pyrepr *repr, char c)
{
    bool outer;

    if (c == '[' || c == '{') {
        repr->depth++;
        cel__buf_add_byte(repr->buf, repr->tuple && repr->depth == 1 ? '(' : c);
        repr->empty = true;
        return;
    }
    outer = repr->tuple && repr->depth == 1;
    if (outer && !repr->empty && repr->commas == 0)
        cel__buf_add_byte(repr->buf, ',');
    cel__buf_add_byte(repr->buf, outer ? ')' : c);
    repr->depth -= repr->depth > 0;
    repr->empty = false;
}

static bool add_scalar(struct pyrepr *repr)
{
    cel_jvalue value;

    if (!take_scalar(&repr->in, &value))
        return false;
    if (value.type == CEL_JSON_STRING)
        add_python_string(repr->buf, value);
    else
        add_plain(repr->buf, value);
    repr->empty = false;
    return true;
}

void cel__json_pyrepr(cel__buf *buf, cel_view text, bool tuple)
{
    struct pyrepr repr = {.buf = buf, .in = {text.ptr, text.ptr + text.len}};

    repr.tuple = tuple && peek(&repr.in) == '[';
    for (;;) {
        char c = peek(&repr.in);

        if (c == '[' || c == '{' || c == ']' || c == '}') {
            add_bracket(&repr, c);
            repr.in.at++;
        } else if (c == ',' || c == ':') {
            cel__buf_add(buf, c == ',' ? ", " : ": ", 2);
            repr.commas += c == ',' && repr.depth == 1;
            repr.in.at++;
        } else if (c == '\0' || !add_scalar(&repr)) {
            return;
        }
    }
}
