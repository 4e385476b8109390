/* yaml_read.c - from libyaml's events to JSON text.
 *
 * Nothing is built: each event appends its JSON. An anchor remembers which piece of the text its
 * node became, and an alias copies it; how much aliases may add is bounded by what was sent. */
#include <assert.h>
#include <stdio.h>
#include <yaml.h>

#include <uthash.h>

#include "core/base64.h"
#include "core/jscan.h"
#include "core/mem.h"
#include "message/typed.h"
#include "message/yaml.h"
#include "message/yaml_scalar.h"

#define ALIAS_FREE   ((size_t)1 << 20) /* what aliases may add in any case, */
#define ALIAS_FACTOR 10                /* and beyond, per byte of the document */

struct anchor {
    char *name;        /* owned */
    size_t start, end; /* in the output; end is 0 while the node is open */
    UT_hash_handle hh;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; always valid or zero */
    cel__buf *out;
    size_t base, max_bytes; /* where our text begins in `out`, how long it may be */
    size_t aliases_left;
    unsigned depth;
    struct anchor *anchors;
    cel_error *err;
};

static cel_code fail(const struct reader *in, const char *why)
{
    return cel_error_set(in->err, CEL_EPROTO, "line %zu of the YAML: %s",
                         in->event.start_mark.line + 1, why);
}

static cel_code no_memory(const struct reader *in)
{
    return cel_error_set(in->err, CEL_ENOMEM, "no memory to read YAML");
}

static cel_code next(struct reader *in)
{
    yaml_event_delete(&in->event);
    if (yaml_parser_parse(&in->parser, &in->event))
        return CEL_OK;
    in->event = (yaml_event_t){.type = YAML_NO_EVENT};
    if (in->parser.error == YAML_MEMORY_ERROR)
        return no_memory(in);
    return cel_error_set(in->err, CEL_EPROTO, "line %zu of the YAML: %s",
                         in->parser.problem_mark.line + 1,
                         in->parser.problem ? in->parser.problem : "it is no YAML");
}

/* ---- anchors ---- */

static void free_anchors(struct reader *in)
{
    struct anchor *anchor, *after;

    HASH_ITER(hh, in->anchors, anchor, after)
    {
        HASH_DEL(in->anchors, anchor);
        cel__free(anchor->name);
        cel__free(anchor);
    }
}

/* Opens the anchor of the node that begins here; an older one of the name is forgotten, be it
 * around this one: then only this one's end counts. */
static cel_code open_anchor(struct reader *in, const yaml_char_t *name, struct anchor **out)
{
    struct anchor *anchor;

    *out = NULL;
    if (!name)
        return CEL_OK;
    HASH_FIND_STR(in->anchors, (const char *)name, anchor);
    if (!anchor) {
        anchor = cel__calloc(1, sizeof *anchor);
        if (anchor)
            anchor->name = cel__strdup((const char *)name);
        if (!anchor || !anchor->name) {
            cel__free(anchor);
            return no_memory(in);
        }
        HASH_ADD_KEYPTR(hh, in->anchors, anchor->name, strlen(anchor->name), anchor);
    }
    anchor->start = in->out->len;
    anchor->end = 0;
    *out = anchor;
    return CEL_OK;
}

static void close_anchor(struct reader *in, struct anchor *anchor, size_t start)
{
    if (anchor && anchor->start == start)
        anchor->end = in->out->len;
}

static cel_code put_alias(struct reader *in, bool key)
{
    const char *name = (const char *)in->event.data.alias.anchor;
    struct anchor *anchor;
    size_t len;
    char *to;

    HASH_FIND_STR(in->anchors, name, anchor);
    if (!anchor)
        return fail(in, "an alias has no anchor");
    if (anchor->end == 0)
        return fail(in, "an anchor contains itself");
    len = anchor->end - anchor->start;
    if (len > in->aliases_left)
        return fail(in, "its aliases blow it up");
    in->aliases_left -= len;
    if (key && in->out->ptr[anchor->start] != '"')
        return fail(in, "a key is no string");
    to = cel__buf_reserve(in->out, len);
    if (!to)
        return cel__buf_check(in->out, in->err);
    memcpy(to, in->out->ptr + anchor->start, len);
    in->out->len += len;
    return CEL_OK;
}

/* ---- scalars ---- */

static cel_code refuse_tag(struct reader *in, const char *tag)
{
    char why[160];

    if (strncmp(tag, CEL__YAML_TAG, sizeof CEL__YAML_TAG - 1) == 0)
        tag += sizeof CEL__YAML_TAG - 1;
    if (strncmp(tag, "python/", 7) == 0)
        snprintf(why, sizeof why,
                 "the tag !!%.60s is refused: it would make a reader run code of the sender",
                 tag);
    else
        snprintf(why, sizeof why, "the tag %.60s is not supported", tag);
    return fail(in, why);
}

/* Base64 in lines, and perhaps with spaces between. */
static bool put_binary(struct reader *in, cel_view text)
{
    cel__buf squeezed = {0}, bytes = {0};
    bool fine;

    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t')
            cel__buf_add_byte(&squeezed, text.ptr[i]);
    fine = cel__base64_decode(&bytes, cel__buf_view(&squeezed));
    if (squeezed.failed || bytes.failed)
        in->out->failed = true;
    else if (fine)
        cel__typed_add_bytes(in->out, cel__buf_view(&bytes));
    cel__buf_done(&squeezed);
    cel__buf_done(&bytes);
    return fine;
}

static bool put_kind(struct reader *in, cel__yaml_kind kind, cel_view text)
{
    switch (kind) {
    case CEL__YAML_NULL:
        cel__buf_add_str(in->out, "null");
        return true;
    case CEL__YAML_BOOL:
        return cel__yaml_put_bool(in->out, text);
    case CEL__YAML_INT:
        return cel__yaml_put_int(in->out, text);
    case CEL__YAML_FLOAT:
        return cel__yaml_put_float(in->out, text);
    case CEL__YAML_TIME:
        return cel__yaml_put_time(in->out, text);
    case CEL__YAML_OTHER:
        return false;
    case CEL__YAML_STR:
        break;
    }
    cel__buf_add_json(in->out, text);
    return true;
}

static cel_code put_scalar(struct reader *in)
{
    static const struct {
        const char *name;
        cel__yaml_kind kind;
    } tags[] = {{"str", CEL__YAML_STR},     {"null", CEL__YAML_NULL},
                {"bool", CEL__YAML_BOOL},   {"int", CEL__YAML_INT},
                {"float", CEL__YAML_FLOAT}, {"timestamp", CEL__YAML_TIME}};
    const char *tag = (const char *)in->event.data.scalar.tag;
    cel_view text = {(const char *)in->event.data.scalar.value, in->event.data.scalar.length};
    cel__yaml_kind kind = CEL__YAML_STR;
    bool known = false;

    if (!tag || strcmp(tag, "!") == 0) {
        if (!tag && in->event.data.scalar.plain_implicit)
            kind = cel__yaml_resolve(text);
        if (kind == CEL__YAML_OTHER)
            return fail(in, "merge keys and default values are not supported");
        known = true;
    } else if (strcmp(tag, CEL__YAML_TAG "binary") == 0) {
        if (put_binary(in, text))
            return CEL_OK;
        return in->out->failed ? cel__buf_check(in->out, in->err)
                               : fail(in, "a !!binary is no base64");
    } else if (strncmp(tag, CEL__YAML_TAG, sizeof CEL__YAML_TAG - 1) == 0) {
        for (size_t i = 0; !known && i < sizeof tags / sizeof *tags; i++)
            if (strcmp(tag + sizeof CEL__YAML_TAG - 1, tags[i].name) == 0) {
                kind = tags[i].kind;
                known = true;
            }
    }
    if (!known)
        return refuse_tag(in, tag);
    return put_kind(in, kind, text) ? CEL_OK : fail(in, "a value does not fit its type");
}

/* A key is a string; what is none is shown as Python's JSON shows it. */
static cel_code put_key_scalar(struct reader *in)
{
    cel__buf *out = in->out;
    size_t start = out->len;
    cel_code code = put_scalar(in);
    char text[64];
    size_t len = out->len - start;

    if (code || out->failed || out->ptr[start] == '"')
        return code;
    if (len >= sizeof text || out->ptr[start] == '{')
        return fail(in, "a key is no string");
    memcpy(text, out->ptr + start, len);
    out->len = start;
    cel__buf_add_json(out, (cel_view){text, len});
    return CEL_OK;
}

/* ---- nodes ---- */

static cel_code put_node(struct reader *in);

static cel_code put_members(struct reader *in)
{
    cel_code code = next(in);

    cel__buf_add_byte(in->out, '[');
    for (bool first = true; code == CEL_OK && in->event.type != YAML_SEQUENCE_END_EVENT;
         first = false) {
        if (!first)
            cel__buf_add(in->out, ", ", 2);
        code = put_node(in);
        if (code == CEL_OK)
            code = next(in);
    }
    cel__buf_add_byte(in->out, ']');
    return code;
}

static cel_code put_key(struct reader *in)
{
    size_t start = in->out->len;
    struct anchor *anchor;
    cel_code code;

    if (in->event.type == YAML_ALIAS_EVENT)
        return put_alias(in, true);
    if (in->event.type != YAML_SCALAR_EVENT)
        return fail(in, "a key is no string");
    code = open_anchor(in, in->event.data.scalar.anchor, &anchor);
    if (code == CEL_OK)
        code = put_key_scalar(in);
    close_anchor(in, anchor, start);
    return code;
}

static cel_code put_pairs(struct reader *in)
{
    cel_code code = next(in);

    cel__buf_add_byte(in->out, '{');
    for (bool first = true; code == CEL_OK && in->event.type != YAML_MAPPING_END_EVENT;
         first = false) {
        if (!first)
            cel__buf_add(in->out, ", ", 2);
        code = put_key(in);
        cel__buf_add(in->out, ": ", 2);
        if (code == CEL_OK)
            code = next(in);
        if (code == CEL_OK)
            code = put_node(in);
        if (code == CEL_OK)
            code = next(in);
    }
    cel__buf_add_byte(in->out, '}');
    return code;
}

static cel_code put_collection(struct reader *in, const char *tag, const char *plain, bool list)
{
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, plain) != 0)
        return refuse_tag(in, tag);
    return list ? put_members(in) : put_pairs(in);
}

static const yaml_char_t *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static cel_code put_any(struct reader *in)
{
    switch (in->event.type) {
    case YAML_ALIAS_EVENT:
        return put_alias(in, false);
    case YAML_SCALAR_EVENT:
        return put_scalar(in);
    case YAML_SEQUENCE_START_EVENT:
        return put_collection(in, (const char *)in->event.data.sequence_start.tag,
                              CEL__YAML_TAG "seq", true);
    case YAML_MAPPING_START_EVENT:
        return put_collection(in, (const char *)in->event.data.mapping_start.tag,
                              CEL__YAML_TAG "map", false);
    default:
        return fail(in, "a value is missing");
    }
}

static cel_code put_node(struct reader *in)
{
    size_t start = in->out->len;
    struct anchor *anchor;
    cel_code code;

    if (in->depth >= CEL_JSCAN_DEPTH)
        return fail(in, "it nests too deep");
    code = open_anchor(in, anchor_of(&in->event), &anchor);
    if (code)
        return code;
    in->depth++;
    code = put_any(in);
    in->depth--;
    if (code)
        return code;
    if (in->out->failed)
        return cel__buf_check(in->out, in->err);
    if (in->out->len - in->base > in->max_bytes)
        return cel_error_set(in->err, CEL_EFULL, "the YAML is too long as JSON");
    close_anchor(in, anchor, start);
    return CEL_OK;
}

/* ---- the document ---- */

static cel_code expect(struct reader *in, yaml_event_type_t type, const char *otherwise)
{
    cel_code code = next(in);

    return code || in->event.type == type ? code : fail(in, otherwise);
}

static cel_code read_document(struct reader *in)
{
    cel_code code = expect(in, YAML_STREAM_START_EVENT, "it does not begin");

    if (code == CEL_OK)
        code = expect(in, YAML_DOCUMENT_START_EVENT, "it is empty");
    if (code == CEL_OK)
        code = next(in);
    if (code == CEL_OK)
        code = put_node(in);
    if (code == CEL_OK)
        code = expect(in, YAML_DOCUMENT_END_EVENT, "it does not end");
    if (code == CEL_OK)
        code = expect(in, YAML_STREAM_END_EVENT, "it is more than one document");
    return code;
}

cel_code cel__yaml_to_json(cel__buf *buf, cel_view text, size_t max_bytes, cel_error *err)
{
    struct reader in = {.out = buf, .base = buf->len, .max_bytes = max_bytes, .err = err};
    cel_code code;

    if (!yaml_parser_initialize(&in.parser))
        return no_memory(&in);
    in.aliases_left =
        ALIAS_FREE +
        (text.len < SIZE_MAX / 2 / ALIAS_FACTOR ? text.len * ALIAS_FACTOR : SIZE_MAX / 2);
    yaml_parser_set_encoding(&in.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&in.parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    code = read_document(&in);
    free_anchors(&in);
    yaml_event_delete(&in.event);
    yaml_parser_delete(&in.parser);
    return code;
}
