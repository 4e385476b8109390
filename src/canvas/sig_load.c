/* sig_load.c - from JSON to struct sig, and the rewriting that `|` does in Celery.
 *
 * Nothing is believed: every member may have any type. Depth is bounded by CEL_SIG_DEPTH, the
 * number of signatures by CEL_SIG_TOTAL. */
#include <stdarg.h>
#include <stdio.h>

#include "canvas/sig.h"

static cel_code load_sig(cel__planner *planner, cel__value value, int depth, cel__sig **out);

/* The members of a signature's object. */
struct raw {
    cel__value task, args, kwargs, options, subtask_type, immutable;
};

cel_code cel__planner_nomem(cel__planner *planner)
{
    if (planner->code == CEL_OK)
        planner->code = cel_error_set(planner->err, CEL_ENOMEM, "no memory for a plan");
    return planner->code;
}

cel_code cel__planner_invalid(cel__planner *planner, const char *fmt, ...)
{
    char text[sizeof planner->err->message];
    va_list args;

    if (planner->code != CEL_OK)
        return planner->code;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    planner->code = cel_error_set(planner->err, CEL_EINVAL, "%s", text);
    return planner->code;
}

cel__sig *cel__sig_new(cel__planner *planner, cel__sig_kind kind)
{
    static const char *const names[] = {[CEL_SIG_TASK] = "",
                                        [CEL_SIG_CHAIN] = "celery.chain",
                                        [CEL_SIG_GROUP] = "celery.group",
                                        [CEL_SIG_CHORD] = "celery.chord"};
    cel__sig *sig;

    if (planner->code != CEL_OK)
        return NULL;
    if (planner->total == CEL_SIG_TOTAL) {
        cel__planner_invalid(planner, "more than %d signatures in one", CEL_SIG_TOTAL);
        return NULL;
    }
    planner->total++;
    sig = cel__slab_zalloc(planner->slab, sizeof *sig);
    if (!sig) {
        cel__planner_nomem(planner);
        return NULL;
    }
    sig->kind = kind;
    sig->task = cel__view(names[kind]);
    sig->group_index = -1;
    return sig;
}

cel_code cel__sig_add(cel__planner *planner, cel__sig *group, cel__sig *part)
{
    if (planner->code != CEL_OK)
        return planner->code;
    if (group->count == group->room) {
        size_t room = group->room ? group->room * 2 : 4;
        cel__sig **parts = cel__slab_zalloc(planner->slab, room * sizeof(cel__sig *));

        if (!parts)
            return cel__planner_nomem(planner);
        if (group->count > 0)
            memcpy(parts, group->parts, group->count * sizeof(cel__sig *));
        group->parts = parts;
        group->room = room;
    }
    group->parts[group->count++] = part;
    return CEL_OK;
}

/* ---- options ---- */

static cel_code wrong_option(cel__planner *planner,
                             const cel__sig *sig,
                             cel_view key,
                             cel__value value,
                             const char *want)
{
    return cel__planner_invalid(planner, "option '%.*s' of '%.*s' is %s, not %s",
                                CEL_VIEW_ARG(key), CEL_VIEW_ARG(sig->task),
                                cel__value_kind(value), want);
}

static cel_code load_string(
    cel__planner *planner, const cel__sig *sig, cel_view key, cel__value value, cel_view *out)
{
    *out = (cel_view){0};
    if (cel__value_null(value))
        return CEL_OK;
    if (cel__value_type(value) != CEL_JSON_STRING)
        return wrong_option(planner, sig, key, value, "a string");
    if (!cel__value_string(value, planner->slab, out))
        return cel__planner_nomem(planner);
    if (out->len == 0) /* "" names nothing: Python's tests for truth take it as unset */
        *out = (cel_view){0};
    return CEL_OK;
}

static cel_code load_text(cel__planner *planner,
                          const cel__sig *sig,
                          cel_view key,
                          cel__value value,
                          cel_jtype type,
                          cel_view *out)
{
    *out = (cel_view){0};
    if (cel__value_null(value))
        return CEL_OK;
    if (cel__value_type(value) != type)
        return wrong_option(planner, sig, key, value,
                            type == CEL_JSON_ARRAY ? "an array" : "an object");
    if (cel__value_empty(value))
        return CEL_OK;
    return cel__value_dump(value, planner->slab, out) ? CEL_OK : cel__planner_nomem(planner);
}

/* A signature or a list of them becomes the text of a list. */
static cel_code load_links(
    cel__planner *planner, const cel__sig *sig, cel_view key, cel__value value, cel_view *out)
{
    cel_view one;
    cel__walk walk;
    cel__value element;
    char *text;

    if (cel__value_type(value) != CEL_JSON_OBJECT) {
        for (cel__walk_array(&walk, value); cel__walk_next(&walk, &element);) {
            if (cel__value_type(element) != CEL_JSON_OBJECT)
                return wrong_option(planner, sig, key, element, "a signature");
        }
        return load_text(planner, sig, key, value, CEL_JSON_ARRAY, out);
    }
    if (!cel__value_dump(value, planner->slab, &one))
        return cel__planner_nomem(planner);
    text = cel__slab_text(planner->slab, one.len + 2);
    if (!text)
        return cel__planner_nomem(planner);
    text[0] = '[';
    memcpy(text + 1, one.ptr, one.len);
    text[one.len + 1] = ']';
    *out = (cel_view){text, one.len + 2};
    return CEL_OK;
}

static cel_code load_index(cel__planner *planner, cel__sig *sig, cel_view key, cel__value value)
{
    sig->group_index = -1;
    if (cel__value_null(value))
        return CEL_OK;
    if (!cel__value_int(value, &sig->group_index) || sig->group_index < 0)
        return wrong_option(planner, sig, key, value, "an index");
    return CEL_OK;
}

/* Remembers an option in `rest`; a later one of the same name replaces it, as in Python. */
static cel_code load_rest(cel__planner *planner, cel__sig *sig, cel_view key, cel__value value)
{
    cel__options *rest = &sig->rest;

    for (size_t i = 0; i < rest->count; i++) {
        if (cel__view_eq(rest->ptr[i].key, key)) {
            rest->ptr[i].value = value;
            return CEL_OK;
        }
    }
    if (rest->count == CEL_SIG_OPTIONS)
        return cel__planner_invalid(planner, "'%.*s' has more than %d options",
                                    CEL_VIEW_ARG(sig->task), CEL_SIG_OPTIONS);
    if ((rest->count & (rest->count - 1)) == 0) { /* full at every power of two */
        size_t room = rest->count ? rest->count * 2 : 1;
        cel__option *ptr = cel__slab_zalloc(planner->slab, room * sizeof *ptr);

        if (!ptr)
            return cel__planner_nomem(planner);
        if (rest->count > 0)
            memcpy(ptr, rest->ptr, rest->count * sizeof *ptr);
        rest->ptr = ptr;
    }
    rest->ptr[rest->count++] = (cel__option){key, value};
    return CEL_OK;
}

static cel_code
load_option(cel__planner *planner, cel__sig *sig, cel_view key, cel__value value)
{
    const struct {
        const char *name;
        cel_view *field;
    } strings[] = {{"task_id", &sig->task_id},
                   {"reply_to", &sig->reply_to},
                   {"root_id", &sig->root_id},
                   {"parent_id", &sig->parent_id},
                   {"group_id", &sig->group_id}};

    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (cel__view_is(key, strings[i].name))
            return load_string(planner, sig, key, value, strings[i].field);
    }
    if (cel__view_is(key, "group_index"))
        return load_index(planner, sig, key, value);
    if (cel__view_is(key, "chord"))
        return load_text(planner, sig, key, value, CEL_JSON_OBJECT, &sig->chord);
    if (cel__view_is(key, "chain"))
        return load_text(planner, sig, key, value, CEL_JSON_ARRAY, &sig->chain);
    if (cel__view_is(key, "link"))
        return load_links(planner, sig, key, value, &sig->link);
    if (cel__view_is(key, "link_error"))
        return load_links(planner, sig, key, value, &sig->link_error);
    if (cel__view_is(key, "add_to_parent"))
        sig->hidden = cel__value_type(value) == CEL_JSON_FALSE;
    return load_rest(planner, sig, key, value);
}

cel_code cel__sig_load_options(cel__planner *planner, cel__sig *sig, cel__value value)
{
    cel__walk walk;
    cel_view key;
    cel__value member;
    bool nomem = false;

    if (cel__value_null(value))
        return planner->code;
    if (cel__value_type(value) != CEL_JSON_OBJECT)
        return cel__planner_invalid(planner, "the options of '%.*s' are %s, not an object",
                                    CEL_VIEW_ARG(sig->task), cel__value_kind(value));
    cel__walk_object(&walk, value);
    while (planner->code == CEL_OK &&
           cel__walk_next_member(&walk, planner->slab, &key, &member, &nomem))
        load_option(planner, sig, key, member);
    return nomem ? cel__planner_nomem(planner) : planner->code;
}

/* ---- rewriting ---- */

/* Gives `sig` a place in a group and a chord, unless it has one. */
static void give_place(cel__sig *sig, cel_view group_id, cel_view chord, int64_t group_index)
{
    cel__sig *last = sig->count > 0 ? sig->parts[sig->count - 1] : NULL;

    if (sig->kind == CEL_SIG_CHAIN && last) {
        give_place(last, group_id, chord, group_index);
        return;
    }
    if (sig->kind == CEL_SIG_CHORD) {
        give_place(sig->body, group_id, chord, group_index);
        return;
    }
    if (!sig->group_id.ptr)
        sig->group_id = group_id;
    if (!sig->chord.ptr)
        sig->chord = chord;
    if (sig->group_index < 0)
        sig->group_index = group_index;
}

/* Gives `sig` what `outer`, a group or chain that goes away, would have handed to it. `first`:
 * outer's own arguments are for this member. */
static void absorb(cel__planner *planner, cel__sig *sig, const cel__sig *outer, bool first)
{
    bool group = outer->kind == CEL_SIG_GROUP;

    if (first && outer->args.ptr && !sig->immutable)
        sig->args = cel__array_join(planner, outer->args, sig->args);
    if (group) {
        sig->rest = cel__options_merge(planner, sig->rest, outer->rest);
        sig->hidden = sig->hidden || outer->hidden;
        cel__sig_link(planner, sig, outer->link);
        give_place(sig, outer->group_id, outer->chord, outer->group_index);
    }
    cel__sig_link_error(planner, sig, outer->link_error);
}

static cel_code chain_append(cel__planner *planner, cel__sig *chain, cel__sig *sig);

/* Appends the steps of a chain, whose own options then hold for its steps. */
static cel_code splice(cel__planner *planner, cel__sig *chain, cel__sig *inner)
{
    if (inner->count > 0)
        cel__sig_link(planner, inner->parts[inner->count - 1], inner->link);
    for (size_t i = 0; i < inner->count && planner->code == CEL_OK; i++) {
        absorb(planner, inner->parts[i], inner, i == 0);
        chain_append(planner, chain, inner->parts[i]);
    }
    return planner->code;
}

/* Returns `body | sig`: what runs one after the other as the body of a chord. */
static cel__sig *body_append(cel__planner *planner, cel__sig *body, cel__sig *sig)
{
    cel__sig *chain = body;

    if (body->kind == CEL_SIG_CHAIN) {
        if (body->count > 0)
            cel__sig_link(planner, body->parts[body->count - 1], body->link);
        body->link = (cel_view){0};
        body->task_id = (cel_view){0}; /* that was its last step's */
    } else {
        chain = cel__sig_new(planner, CEL_SIG_CHAIN);
        if (!chain || chain_append(planner, chain, body) != CEL_OK)
            return body;
        /* a chord that is over when `body` is: now it is over when `sig` is */
    }
    chain_append(planner, chain, sig);
    return chain->count == 1 && chain != body ? chain->parts[0] : chain;
}

/* Makes `group`, which is no longer one, the header of a new chord with `body`. */
static cel__sig *chord_of(cel__planner *planner, cel__sig *group, cel__sig *body)
{
    cel__sig *chord = cel__sig_new(planner, CEL_SIG_CHORD);

    if (!chord)
        return NULL;
    chord->parts = group->parts;
    chord->count = group->count;
    chord->args = group->args;
    chord->rest = group->rest;
    chord->gid = group->task_id;
    chord->immutable = group->immutable;
    chord->body = body;
    for (size_t i = 0; i < group->count; i++)
        cel__sig_link(planner, group->parts[i], group->link);
    for (size_t i = 0; i < group->count; i++)
        cel__sig_link_error(planner, group->parts[i], group->link_error);
    return chord;
}

/* Appends `sig` to a chain that ends in a group: together they are a chord, which goes into
 * the body of the chord before it, if there is one. */
static cel_code upgrade(cel__planner *planner, cel__sig *chain, cel__sig *sig)
{
    cel__sig *chord = chord_of(planner, chain->parts[chain->count - 1], sig);

    if (!chord)
        return planner->code;
    chain->parts[chain->count - 1] = chord;
    if (chain->count > 1 && chain->parts[chain->count - 2]->kind == CEL_SIG_CHORD) {
        cel__sig *before = chain->parts[chain->count - 2];

        chain->count--;
        before->body = body_append(planner, before->body, chord);
    }
    return planner->code;
}

static cel_code chain_append(cel__planner *planner, cel__sig *chain, cel__sig *sig)
{
    cel__sig *last = chain->count > 0 ? chain->parts[chain->count - 1] : NULL;

    if (planner->code != CEL_OK)
        return planner->code;
    if (sig->kind == CEL_SIG_CHAIN)
        return splice(planner, chain, sig);
    if (sig->kind == CEL_SIG_GROUP && sig->count == 1) {
        absorb(planner, sig->parts[0], sig, true);
        return chain_append(planner, chain, sig->parts[0]);
    }
    if (last && last->kind == CEL_SIG_GROUP)
        return upgrade(planner, chain, sig);
    if (last && last->kind == CEL_SIG_CHORD && sig->kind == CEL_SIG_TASK) {
        last->body = body_append(planner, last->body, sig);
        return planner->code;
    }
    return cel__sig_add(planner, chain, sig);
}

/* What gives a list of results as one: celery.accumulate(results, index=0). */
static cel__sig *accumulate(cel__planner *planner)
{
    cel__sig *sig = cel__sig_new(planner, CEL_SIG_TASK);

    if (sig) {
        sig->task = CEL_VIEW("celery.accumulate");
        sig->kwargs = CEL_VIEW("{\"index\": 0}");
    }
    return sig;
}

cel__sig *cel__sig_collected(cel__planner *planner, cel__sig *sig)
{
    cel__sig **last = NULL;

    if (planner->code != CEL_OK || sig->kind == CEL_SIG_TASK)
        return sig;
    if (sig->kind == CEL_SIG_GROUP) {
        cel__sig *body = accumulate(planner);

        return body ? chord_of(planner, sig, body) : NULL;
    }
    last = sig->kind == CEL_SIG_CHORD ? &sig->body : &sig->parts[sig->count - 1];
    if (sig->kind == CEL_SIG_CHORD || (*last)->kind != CEL_SIG_GROUP) {
        *last = cel__sig_collected(planner, *last);
    } else {
        cel__sig *body = accumulate(planner);

        if (body)
            upgrade(planner, sig, body);
    }
    return planner->code == CEL_OK ? sig : NULL;
}

/* ---- loading ---- */

static cel_code read_raw(cel__planner *planner, cel__value value, struct raw *raw)
{
    const struct {
        const char *name;
        cel__value *field;
    } members[] = {{"task", &raw->task},
                   {"args", &raw->args},
                   {"kwargs", &raw->kwargs},
                   {"options", &raw->options},
                   {"subtask_type", &raw->subtask_type},
                   {"immutable", &raw->immutable}};
    cel__walk walk;
    cel_view key;
    cel__value member;
    bool nomem = false;

    if (cel__value_type(value) != CEL_JSON_OBJECT)
        return cel__planner_invalid(planner, "a signature is %s, not an object",
                                    cel__value_kind(value));
    cel__walk_object(&walk, value);
    while (cel__walk_next_member(&walk, planner->slab, &key, &member, &nomem)) {
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            if (cel__view_is(key, members[i].name)) {
                *members[i].field = member;
                break;
            }
        }
    }
    return nomem ? cel__planner_nomem(planner) : CEL_OK;
}

/* Checks what must be of a type or null, and gives its text; absent if null or empty. */
static cel_code read_text(cel__planner *planner,
                          const cel__sig *sig,
                          const char *what,
                          cel__value value,
                          cel_jtype type,
                          cel_view *out)
{
    if (cel__value_null(value))
        return CEL_OK;
    if (cel__value_type(value) != type)
        return cel__planner_invalid(planner, "%s of '%.*s' is %s, not %s", what,
                                    CEL_VIEW_ARG(sig->task), cel__value_kind(value),
                                    type == CEL_JSON_ARRAY ? "an array" : "an object");
    if (cel__value_empty(value))
        return CEL_OK;
    return cel__value_dump(value, planner->slab, out) ? CEL_OK : cel__planner_nomem(planner);
}

static cel_code read_kind(cel__planner *planner, const struct raw *raw, cel__sig_kind *kind)
{
    static const struct {
        const char *name;
        cel__sig_kind kind;
    } kinds[] = {{"chain", CEL_SIG_CHAIN}, {"group", CEL_SIG_GROUP},   {"chord", CEL_SIG_CHORD},
                 {"xmap", CEL_SIG_TASK},   {"xstarmap", CEL_SIG_TASK}, {"chunks", CEL_SIG_TASK},
                 {"", CEL_SIG_TASK}};
    cel_view name;

    *kind = CEL_SIG_TASK;
    if (cel__value_null(raw->subtask_type))
        return CEL_OK;
    if (cel__value_type(raw->subtask_type) != CEL_JSON_STRING)
        return cel__planner_invalid(planner, "subtask_type is %s, not a string",
                                    cel__value_kind(raw->subtask_type));
    if (!cel__value_string(raw->subtask_type, planner->slab, &name))
        return cel__planner_nomem(planner);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (cel__view_is(name, kinds[i].name)) {
            *kind = kinds[i].kind;
            return CEL_OK;
        }
    }
    return cel__planner_invalid(planner, "subtask_type '%.*s' is not known",
                                CEL_VIEW_ARG(name));
}

cel_code cel__sig_add_flat(cel__planner *planner, cel__sig *group, cel__sig *sig)
{
    if (sig->kind != CEL_SIG_GROUP)
        return cel__sig_add(planner, group, sig);
    for (size_t i = 0; i < sig->count && planner->code == CEL_OK; i++) {
        absorb(planner, sig->parts[i], sig, true);
        cel__sig_add(planner, group, sig->parts[i]);
    }
    return planner->code;
}

static cel_code
load_parts(cel__planner *planner, cel__sig *sig, const char *what, cel__value value, int depth)
{
    cel__walk walk;
    cel__value element;

    if (cel__value_type(value) != CEL_JSON_ARRAY)
        return cel__planner_invalid(planner, "%s of '%.*s' is %s, not an array", what,
                                    CEL_VIEW_ARG(sig->task), cel__value_kind(value));
    cel__walk_array(&walk, value);
    while (planner->code == CEL_OK && cel__walk_next(&walk, &element)) {
        cel__sig *part;

        if (load_sig(planner, element, depth + 1, &part) != CEL_OK)
            break;
        if (sig->kind == CEL_SIG_CHAIN)
            chain_append(planner, sig, part);
        else
            cel__sig_add_flat(planner, sig, part);
    }
    return planner->code;
}

/* The members of the kwargs of a canvas signature. */
struct canvas_kwargs {
    cel__value tasks, header, body, kwargs;
};

static cel_code read_kwargs(cel__planner *planner,
                            const cel__sig *sig,
                            cel__value value,
                            struct canvas_kwargs *kwargs)
{
    cel__walk walk;
    cel_view key;
    cel__value member;
    bool nomem = false;

    if (cel__value_type(value) != CEL_JSON_OBJECT)
        return cel__planner_invalid(planner, "kwargs of '%.*s' is %s, not an object",
                                    CEL_VIEW_ARG(sig->task), cel__value_kind(value));
    cel__walk_object(&walk, value);
    while (cel__walk_next_member(&walk, planner->slab, &key, &member, &nomem)) {
        if (cel__view_is(key, "tasks"))
            kwargs->tasks = member;
        else if (cel__view_is(key, "header"))
            kwargs->header = member;
        else if (cel__view_is(key, "body"))
            kwargs->body = member;
        else if (cel__view_is(key, "kwargs"))
            kwargs->kwargs = member;
    }
    return nomem ? cel__planner_nomem(planner) : CEL_OK;
}

static cel_code load_chain(cel__planner *planner, cel__sig *chain, cel__value tasks, int depth)
{
    const cel__sig *last;

    if (load_parts(planner, chain, "tasks", tasks, depth) != CEL_OK)
        return planner->code;
    if (chain->count == 0)
        return cel__planner_invalid(planner, "a chain has no tasks");
    last = chain->parts[chain->count - 1];
    if (last->kind == CEL_SIG_GROUP && last->count == 0 && chain->count > 1)
        chain->count--; /* nothing would run there; and what counts for a chord must */
    return CEL_OK;
}

/* The header of a chord that was frozen inside a chain is a group with the id of the chord;
 * any other single signature counts as a group of one. */
static cel_code load_header(cel__planner *planner, cel__sig *chord, cel__value value, int depth)
{
    cel__sig *header;

    if (cel__value_type(value) == CEL_JSON_ARRAY)
        return load_parts(planner, chord, "header", value, depth);
    if (cel__value_type(value) != CEL_JSON_OBJECT)
        return cel__planner_invalid(planner, "header of a chord is %s, not an array",
                                    cel__value_kind(value));
    if (load_sig(planner, value, depth + 1, &header) != CEL_OK)
        return planner->code;
    if (header->kind == CEL_SIG_GROUP) {
        chord->gid = header->task_id;
        header->chord = header->group_id =
            (cel_view){0}; /* of the chord itself: it is set anew */
        header->group_index = -1;
    }
    return cel__sig_add_flat(planner, chord, header);
}

static bool has_id(const cel__sig *sig)
{
    if (sig->kind == CEL_SIG_CHAIN && !sig->task_id.ptr)
        return has_id(sig->parts[sig->count - 1]);
    if (sig->kind == CEL_SIG_CHORD)
        return has_id(sig->body);
    return sig->task_id.ptr != NULL;
}

static cel_code load_chord(cel__planner *planner,
                           cel__sig *chord,
                           const struct canvas_kwargs *kwargs,
                           int depth)
{
    read_text(planner, chord, "kwargs", kwargs->kwargs, CEL_JSON_OBJECT, &chord->kwargs);
    if (planner->code != CEL_OK || load_header(planner, chord, kwargs->header, depth) != CEL_OK)
        return planner->code;
    if (cel__value_null(kwargs->body))
        return cel__planner_invalid(planner, "a chord has no body");
    if (load_sig(planner, kwargs->body, depth + 1, &chord->body) != CEL_OK)
        return planner->code;
    /* A frozen chord has its group's id as its own; else it is the one for its body. */
    if (has_id(chord->body)) {
        if (!chord->gid.ptr)
            chord->gid = chord->task_id;
        chord->task_id = (cel_view){0};
    }
    return CEL_OK;
}

static cel_code
load_canvas(cel__planner *planner, cel__sig *sig, const struct raw *raw, int depth)
{
    struct canvas_kwargs kwargs = {0};

    if (read_kwargs(planner, sig, raw->kwargs, &kwargs) != CEL_OK)
        return planner->code;
    if (sig->kind == CEL_SIG_CHAIN)
        return load_chain(planner, sig, kwargs.tasks, depth);
    if (sig->kind == CEL_SIG_GROUP)
        return load_parts(planner, sig, "tasks", kwargs.tasks, depth);
    return load_chord(planner, sig, &kwargs, depth);
}

static cel_code load_sig(cel__planner *planner, cel__value value, int depth, cel__sig **out)
{
    struct raw raw = {0};
    cel__sig_kind kind;
    cel__sig *sig;

    if (depth > CEL_SIG_DEPTH)
        return cel__planner_invalid(planner, "signatures are nested deeper than %d",
                                    CEL_SIG_DEPTH);
    if (read_raw(planner, value, &raw) != CEL_OK || read_kind(planner, &raw, &kind) != CEL_OK)
        return planner->code;
    sig = cel__sig_new(planner, kind);
    if (!sig)
        return planner->code;
    if (cel__value_type(raw.task) != CEL_JSON_STRING)
        return cel__planner_invalid(planner, "the task of a signature is %s, not a name",
                                    cel__value_kind(raw.task));
    if (!cel__value_string(raw.task, planner->slab, &sig->task))
        return cel__planner_nomem(planner);
    if (sig->task.len == 0)
        return cel__planner_invalid(planner, "the task of a signature has an empty name");
    if (!cel__value_null(raw.immutable) && cel__value_type(raw.immutable) != CEL_JSON_FALSE &&
        cel__value_type(raw.immutable) != CEL_JSON_TRUE)
        return cel__planner_invalid(planner, "immutable of '%.*s' is %s, not a boolean",
                                    CEL_VIEW_ARG(sig->task), cel__value_kind(raw.immutable));
    sig->immutable = cel__value_type(raw.immutable) == CEL_JSON_TRUE;
    read_text(planner, sig, "args", raw.args, CEL_JSON_ARRAY, &sig->args);
    if (kind == CEL_SIG_TASK)
        read_text(planner, sig, "kwargs", raw.kwargs, CEL_JSON_OBJECT, &sig->kwargs);
    cel__sig_load_options(planner, sig, raw.options);
    if (planner->code == CEL_OK && kind != CEL_SIG_TASK)
        load_canvas(planner, sig, &raw, depth);
    *out = sig;
    return planner->code;
}

cel_code cel__sig_load(cel__planner *planner, cel__value value, cel__sig **out)
{
    if (planner->code != CEL_OK)
        return planner->code;
    return load_sig(planner, value, 1, out);
}
