/* reply.c - see reply.h. The rules are those of celery/bin/base.py: lists one line an element, an element as Python's str()
 * shows it; {"ok": ...} and {"error": ...} as what is in them, further to the right; other objects as JSON. */
#include "cli/reply.h"

#include <stdlib.h>
#include <string.h>

#include "core/jscan.h"
#include "core/json.h"
#include "core/mem.h"

#define CYAN  "\033[36m"
#define GREEN "\033[32m"
#define RED   "\033[31m"
#define WHITE "\033[37m"
#define BOLD  "\033[1m"
#define PLAIN "\033[0m"

/* ---- JSON, sorted and indented ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object in order; NULL if there is no memory. Free with cel__free(). */
static const char **sorted_keys(const json_t *object)
{
    const char **keys = cel__calloc(json_object_size(object), sizeof *keys);
    const char *key;
    json_t *value;
    size_t count = 0;

    if (!keys)
        return NULL;
    json_object_foreach((json_t *)object, key, value) keys[count++] = key;
    qsort(keys, count, sizeof *keys, by_key);
    return keys;
}

static void break_line(cel__buf *buf, int depth)
{
    cel__buf_addf(buf, "\n%*s", depth * 4, "");
}

static void dump(cel__buf *buf, const json_t *value, int depth);

static void dump_array(cel__buf *buf, const json_t *array, int depth)
{
    const json_t *value;
    size_t i;

    cel__buf_add_byte(buf, '[');
    json_array_foreach(array, i, value)
    {
        if (i > 0)
            cel__buf_add_byte(buf, ',');
        break_line(buf, depth + 1);
        dump(buf, value, depth + 1);
    }
    break_line(buf, depth);
    cel__buf_add_byte(buf, ']');
}

static void dump_object(cel__buf *buf, const json_t *object, int depth)
{
    size_t count = json_object_size(object);
    const char **keys = sorted_keys(object);

    buf->failed = buf->failed || !keys;
    cel__buf_add_byte(buf, '{');
    for (size_t i = 0; keys && i < count; i++) {
        if (i > 0)
            cel__buf_add_byte(buf, ',');
        break_line(buf, depth + 1);
        cel__buf_add_json(buf, cel__view(keys[i]));
        cel__buf_add_str(buf, ": ");
        dump(buf, json_object_get(object, keys[i]), depth + 1);
    }
    break_line(buf, depth);
    cel__buf_add_byte(buf, '}');
    cel__free(keys);
}

static void dump(cel__buf *buf, const json_t *value, int depth)
{
    if (depth > CEL_JSCAN_DEPTH)
        buf->failed = true;
    else if (json_array_size(value) > 0)
        dump_array(buf, value, depth);
    else if (json_object_size(value) > 0)
        dump_object(buf, value, depth);
    else
        cel__json_dump(buf, value);
}

void cel__reply_dump(cel__buf *buf, const json_t *value)
{
    dump(buf, value, 0);
}

/* ---- text ---- */

static void
paint(cel__buf *buf, const cel_reply_style *style, const char *color, const char *text)
{
    if (style->color)
        cel__buf_addf(buf, "%s%s" PLAIN, color, text);
    else
        cel__buf_add_str(buf, text);
}

/* As it is, or without what a terminal would obey. */
static void add_text(cel__buf *buf, const cel_reply_style *style, cel_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool obeyed = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;

        cel__buf_add_byte(buf, style->color && obeyed ? '?' : (char)c);
    }
}

static void add_string(cel__buf *buf, const cel_reply_style *style, const json_t *string)
{
    add_text(buf, style, (cel_view){json_string_value(string), json_string_length(string)});
}

/* As Python's str(). */
static void add_str(cel__buf *buf, const cel_reply_style *style, const json_t *value)
{
    cel__buf text = {0};

    if (json_is_string(value)) {
        add_string(buf, style, value);
        return;
    }
    cel__json_dump(&text, value);
    cel__json_pyrepr(buf, cel__buf_view(&text), false);
    buf->failed = buf->failed || text.failed;
    cel__buf_done(&text);
}

static void indent(cel__buf *buf, const cel__buf *text, int columns)
{
    const char *at = text->ptr, *end = at ? at + text->len : NULL;

    do {
        const char *newline = at ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        const char *stop = newline ? newline : end;

        cel__buf_addf(buf, "%*s", columns, "");
        if (at)
            cel__buf_add(buf, at, (size_t)(stop - at));
        if (newline)
            cel__buf_add_byte(buf, '\n');
        at = newline ? newline + 1 : NULL;
    } while (at);
    buf->failed = buf->failed || text->failed;
}

static void
add_body(cel__buf *buf, const cel_reply_style *style, const json_t *value, int depth);

static void add_list(cel__buf *buf, const cel_reply_style *style, const json_t *list)
{
    const json_t *value;
    size_t i;

    if (json_array_size(list) == 0)
        cel__buf_add_str(buf, "- empty -");
    json_array_foreach(list, i, value)
    {
        if (i > 0)
            cel__buf_add_byte(buf, '\n');
        paint(buf, style, WHITE, "*");
        cel__buf_add_byte(buf, ' ');
        add_str(buf, style, value);
    }
}

/* What is in {"ok": ...} or {"error": ...}; NULL: it is neither. */
static const json_t *inside(const json_t *value, bool *good)
{
    const json_t *ok = json_object_get(value, "ok");

    *good = ok || !json_object_get(value, "error");
    return ok ? ok : json_object_get(value, "error");
}

static void
add_inside(cel__buf *buf, const cel_reply_style *style, const json_t *value, int depth)
{
    cel__buf text = {0};

    add_body(&text, style, value, depth + 1);
    indent(buf, &text, 4);
    cel__buf_done(&text);
}

static void
add_body(cel__buf *buf, const cel_reply_style *style, const json_t *value, int depth)
{
    bool good;
    const json_t *within = inside(value, &good);

    if (depth > CEL_JSCAN_DEPTH)
        buf->failed = true;
    else if (within)
        add_inside(buf, style, within, depth);
    else if (json_is_array(value))
        add_list(buf, style, value);
    else if (json_is_object(value))
        cel__reply_dump(buf, value);
    else
        add_str(buf, style, value);
}

void cel__reply_show(cel__buf *buf,
                     const char *node,
                     const json_t *reply,
                     const cel_reply_style *style)
{
    cel__buf name = {0}, body = {0};
    bool good;

    inside(reply, &good);
    add_text(&name, style, cel__view(node));
    cel__buf_add_str(&name, ": ");
    if (!style->quiet) {
        paint(buf, style, WHITE BOLD, "->");
        cel__buf_add_byte(buf, ' ');
    }
    cel__buf_add_byte(buf, ' ');
    paint(buf, style, CYAN BOLD, cel__buf_cstr(&name) ? name.ptr : "");
    paint(buf, style, good ? GREEN BOLD : RED BOLD, good ? "OK" : "ERROR");
    cel__buf_add_byte(buf, '\n');
    if (style->body) {
        add_body(&body, style, reply, 0);
        indent(buf, &body, 4);
        cel__buf_add_byte(buf, '\n');
    }
    cel__buf_done(&name);
    cel__buf_done(&body);
}
