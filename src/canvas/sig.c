/* sig.c - what signatures are asked: joining, counting, writing. */
#include "canvas/sig.h"

#include "core/json.h"

#define ONCE_MAX 64 /* callbacks beyond which nobody looks whether they are there twice */

/* Returns what is between the brackets of an array's text, without white space around it. */
static cel_view inside(cel_view array)
{
    const char *from = array.ptr + 1, *to = array.ptr + array.len - 1;

    while (from < to && (*from == ' ' || *from == '\t' || *from == '\n' || *from == '\r'))
        from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\n' || to[-1] == '\r'))
        to--;
    return (cel_view){from, (size_t)(to - from)};
}

cel_view cel__array_join(cel__planner *planner, cel_view a, cel_view b)
{
    cel_view left, right;
    char *text;

    if (!a.ptr || !b.ptr)
        return a.ptr ? a : b;
    left = inside(a);
    right = inside(b);
    if (left.len == 0 || right.len == 0)
        return left.len == 0 ? b : a;
    text = cel__slab_text(planner->slab, left.len + right.len + 4);
    if (!text) {
        cel__planner_nomem(planner);
        return a;
    }
    text[0] = '[';
    memcpy(text + 1, left.ptr, left.len);
    memcpy(text + 1 + left.len, ", ", 2);
    memcpy(text + 3 + left.len, right.ptr, right.len);
    text[left.len + right.len + 3] = ']';
    return (cel_view){text, left.len + right.len + 4};
}

/* Whether an array has so many elements that to compare each with each would take too long. */
static bool is_long(cel_view array)
{
    cel_jscan scan;
    cel_jvalue element;
    int count = 0;

    cel__jscan_array(&scan, (cel_jvalue){CEL_JSON_ARRAY, array});
    while (count <= ONCE_MAX && cel__jscan_next(&scan, &element))
        count++;
    return count > ONCE_MAX;
}

static bool contains(cel_view array, cel_view element)
{
    cel_jscan scan;
    cel_jvalue one;

    cel__jscan_array(&scan, (cel_jvalue){CEL_JSON_ARRAY, array});
    while (cel__jscan_next(&scan, &one)) {
        if (cel__view_eq(one.text, element))
            return true;
    }
    return false;
}

cel_view cel__array_join_once(cel__planner *planner, cel_view a, cel_view b)
{
    cel_jscan scan;
    cel_jvalue element;
    cel_view joined;
    size_t fresh = 0;

    if (!a.ptr || !b.ptr)
        return a.ptr ? a : b;
    if (cel__view_eq(a, b))
        return a;
    if (is_long(b))
        return cel__array_join(planner, a, b);
    cel__buf_reset(&planner->slab->scratch);
    cel__buf_add(&planner->slab->scratch, a.ptr, a.len - 1);
    cel__jscan_array(&scan, (cel_jvalue){CEL_JSON_ARRAY, b});
    while (cel__jscan_next(&scan, &element)) {
        if (contains(a, element.text))
            continue;
        cel__buf_add(&planner->slab->scratch, ", ", 2);
        cel__buf_add_view(&planner->slab->scratch, element.text);
        fresh++;
    }
    if (fresh == 0)
        return a;
    cel__buf_add_byte(&planner->slab->scratch, ']');
    if (!cel__slab_finish(planner->slab, &joined)) {
        cel__planner_nomem(planner);
        return a;
    }
    return joined;
}

/* ---- options ---- */

static cel__option *find_option(cel__options options, cel_view key)
{
    for (size_t i = 0; i < options.count; i++) {
        if (cel__view_eq(options.ptr[i].key, key))
            return &options.ptr[i];
    }
    return NULL;
}

/* Whether `key` is a stamp, or the list of stamps, that `own` has: those are not overridden. */
static bool stamped(cel__planner *planner, cel__options own, cel_view key)
{
    cel__option *names = find_option(own, CEL_VIEW("stamped_headers"));
    cel__walk walk;
    cel__value name;
    cel_view text;

    if (!names || cel__value_null(names->value))
        return false;
    if (cel__view_is(key, "stamped_headers"))
        return true;
    cel__walk_array(&walk, names->value);
    while (cel__walk_next(&walk, &name)) {
        if (cel__value_type(name) != CEL_JSON_STRING)
            continue;
        if (!cel__value_string(name, planner->slab, &text)) {
            cel__planner_nomem(planner);
            return false;
        }
        if (cel__view_eq(text, key))
            return true;
    }
    return false;
}

cel__options cel__options_merge(cel__planner *planner, cel__options own, cel__options over)
{
    cel__options merged = {0};

    if (over.count == 0 || (own.count == over.count && own.ptr == over.ptr))
        return own;
    if (own.count == 0)
        return over;
    merged.ptr = cel__slab_zalloc(planner->slab, (own.count + over.count) * sizeof *merged.ptr);
    if (!merged.ptr) {
        cel__planner_nomem(planner);
        return own;
    }
    memcpy(merged.ptr, own.ptr, own.count * sizeof *merged.ptr);
    merged.count = own.count;
    for (size_t i = 0; i < over.count; i++) {
        cel__option *there = find_option(merged, over.ptr[i].key);

        if (cel__value_null(over.ptr[i].value) || stamped(planner, own, over.ptr[i].key))
            continue;
        if (there)
            there->value = over.ptr[i].value;
        else
            merged.ptr[merged.count++] = over.ptr[i];
    }
    return merged;
}

/* ---- callbacks ---- */

void cel__sig_link(cel__planner *planner, cel__sig *sig, cel_view callbacks)
{
    if (!callbacks.ptr)
        return;
    switch (sig->kind) {
    case CEL_SIG_TASK:
        sig->link = cel__array_join_once(planner, sig->link, callbacks);
        break;
    case CEL_SIG_CHAIN:
        cel__sig_link(planner, sig->parts[sig->count - 1], callbacks);
        break;
    case CEL_SIG_GROUP:
        for (size_t i = 0; i < sig->count; i++)
            cel__sig_link(planner, sig->parts[i], callbacks);
        break;
    case CEL_SIG_CHORD:
        cel__sig_link(planner, sig->body, callbacks);
        break;
    }
}

void cel__sig_link_error(cel__planner *planner, cel__sig *sig, cel_view errbacks)
{
    if (!errbacks.ptr)
        return;
    switch (sig->kind) {
    case CEL_SIG_TASK:
        sig->link_error = cel__array_join_once(planner, sig->link_error, errbacks);
        break;
    case CEL_SIG_CHAIN: /* kept at the chain as well: a chord looks there if its body is one */
        sig->link_error = cel__array_join_once(planner, sig->link_error, errbacks);
        break;
    case CEL_SIG_GROUP:
        for (size_t i = 0; i < sig->count; i++)
            cel__sig_link_error(planner, sig->parts[i], errbacks);
        break;
    case CEL_SIG_CHORD:
        cel__sig_link_error(planner, sig->body, errbacks);
        break;
    }
}

int64_t cel__sig_leaves(const cel__sig *sig)
{
    int64_t leaves = 0;

    switch (sig->kind) {
    case CEL_SIG_TASK:
        return 1;
    case CEL_SIG_CHAIN:
        for (size_t i = sig->count; i > 0 && leaves == 0; i--)
            leaves = cel__sig_leaves(sig->parts[i - 1]);
        return leaves;
    case CEL_SIG_GROUP:
        for (size_t i = 0; i < sig->count; i++)
            leaves += cel__sig_leaves(sig->parts[i]);
        return leaves;
    case CEL_SIG_CHORD:
        return cel__sig_leaves(sig->body);
    }
    return 0;
}

/* ---- writing ---- */

/* The buffer's commas: a member of an object begins with its name. */
static void add_name(cel__buf *buf, bool *first, const char *name)
{
    if (!*first)
        cel__buf_add(buf, ", ", 2);
    *first = false;
    cel__buf_add_byte(buf, '"');
    cel__buf_add_str(buf, name);
    cel__buf_add(buf, "\": ", 3);
}

static void add_string(cel__buf *buf, bool *first, const char *name, cel_view value)
{
    if (!value.ptr)
        return;
    add_name(buf, first, name);
    cel__buf_add_json(buf, value);
}

static void add_text(cel__buf *buf, bool *first, const char *name, cel_view text)
{
    if (!text.ptr)
        return;
    add_name(buf, first, name);
    cel__buf_add_view(buf, text);
}

static void dump_options(cel__buf *buf, const cel__sig *sig)
{
    bool first = true;

    cel__buf_add_byte(buf, '{');
    for (size_t i = 0; i < sig->rest.count; i++) {
        if (!first)
            cel__buf_add(buf, ", ", 2);
        first = false;
        cel__buf_add_json(buf, sig->rest.ptr[i].key);
        cel__buf_add(buf, ": ", 2);
        if (sig->rest.ptr[i].value.json)
            cel__json_dump(buf, sig->rest.ptr[i].value.json);
        else
            cel__buf_add_view(buf, sig->rest.ptr[i].value.text.text);
    }
    add_text(buf, &first, "link", sig->link);
    add_text(buf, &first, "link_error", sig->link_error);
    add_string(buf, &first, "task_id",
               sig->kind == CEL_SIG_CHORD && sig->gid.ptr ? sig->gid : sig->task_id);
    add_string(buf, &first, "root_id", sig->root_id);
    add_string(buf, &first, "parent_id", sig->parent_id);
    add_string(buf, &first, "reply_to", sig->reply_to);
    add_string(buf, &first, "group_id", sig->group_id);
    add_text(buf, &first, "chord", sig->chord);
    add_text(buf, &first, "chain", sig->chain);
    if (sig->group_index >= 0) {
        add_name(buf, &first, "group_index");
        cel__buf_add_int(buf, sig->group_index);
    }
    cel__buf_add_byte(buf, '}');
}

static void dump_parts(cel__buf *buf, const cel__sig *sig)
{
    cel__buf_add_byte(buf, '[');
    for (size_t i = 0; i < sig->count; i++) {
        if (i > 0)
            cel__buf_add(buf, ", ", 2);
        cel__sig_dump(buf, sig->parts[i]);
    }
    cel__buf_add_byte(buf, ']');
}

static void dump_chord(cel__buf *buf, const cel__sig *sig)
{
    cel__sig header = {.kind = CEL_SIG_GROUP,
                       .task = CEL_VIEW("celery.group"),
                       .parts = sig->parts,
                       .count = sig->count,
                       .task_id = sig->gid,
                       .group_index = -1};

    cel__buf_add_str(buf, "{\"kwargs\": ");
    cel__buf_add_view(buf, sig->kwargs.ptr ? sig->kwargs : CEL_VIEW("{}"));
    cel__buf_add_str(buf, ", \"header\": ");
    cel__sig_dump(buf, &header);
    cel__buf_add_str(buf, ", \"body\": ");
    cel__sig_dump(buf, sig->body);
    cel__buf_add_byte(buf, '}');
}

void cel__sig_dump(cel__buf *buf, const cel__sig *sig)
{
    static const char *const types[] = {[CEL_SIG_TASK] = "null",
                                        [CEL_SIG_CHAIN] = "\"chain\"",
                                        [CEL_SIG_GROUP] = "\"group\"",
                                        [CEL_SIG_CHORD] = "\"chord\""};

    cel__buf_add_str(buf, "{\"task\": ");
    cel__buf_add_json(buf, sig->task);
    cel__buf_add_str(buf, ", \"args\": ");
    cel__buf_add_view(buf, sig->args.ptr ? sig->args : CEL_VIEW("[]"));
    cel__buf_add_str(buf, ", \"kwargs\": ");
    if (sig->kind == CEL_SIG_TASK) {
        cel__buf_add_view(buf, sig->kwargs.ptr ? sig->kwargs : CEL_VIEW("{}"));
    } else if (sig->kind == CEL_SIG_CHORD) {
        dump_chord(buf, sig);
    } else {
        cel__buf_add_str(buf, "{\"tasks\": ");
        dump_parts(buf, sig);
        cel__buf_add_byte(buf, '}');
    }
    cel__buf_add_str(buf, ", \"options\": ");
    dump_options(buf, sig);
    cel__buf_add_str(buf, ", \"subtask_type\": ");
    cel__buf_add_str(buf, types[sig->kind]);
    cel__buf_add_str(buf, ", \"immutable\": ");
    cel__buf_add_str(buf, sig->immutable ? "true}" : "false}");
}
