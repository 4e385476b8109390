/* expand.c - freezing and sending signatures.
 *
 * To *freeze* is to fix the ids of what will be sent later, by a worker, from the text of the
 * signature. To *expand* is to send now: what runs first becomes messages, what follows is
 * frozen and goes into them. A place in a group and a chord belongs to what runs last in a
 * part: the last step of a chain, the body of a chord. The text of a chord's body is made
 * once; the messages of all parts share it. */
#include "canvas/plan.h"

static cel__handle *freeze(cel__planner *planner, cel__sig *sig, const cel__given *given);

static cel__handle *new_handle(cel__planner *planner, cel_view id)
{
    cel__handle *handle;

    if (planner->code != CEL_OK)
        return NULL;
    handle = cel__slab_zalloc(planner->slab, sizeof *handle);
    if (!handle)
        cel__planner_nomem(planner);
    else
        handle->id = id;
    return handle;
}

static cel__handle *new_group_handle(cel__planner *planner, cel_view gid, size_t count)
{
    cel__handle *handle = new_handle(planner, gid);

    if (!handle)
        return NULL;
    handle->group = true;
    handle->parts = cel__slab_zalloc(planner->slab, count * sizeof(cel__handle *));
    if (!handle->parts) {
        cel__planner_nomem(planner);
        return NULL;
    }
    return handle;
}

/* Makes `before` the parent of what ran first in `handle`. */
static void set_parent(cel__handle *handle, cel__handle *before)
{
    while (handle->parent)
        handle = handle->parent;
    handle->parent = before;
}

static cel_view choose(cel_view a, cel_view b)
{
    return a.ptr ? a : b;
}

/* Sets the signature's id: its own, the one given, or a new one. */
static void set_id(cel__planner *planner, cel__sig *sig, cel_view given)
{
    if (!sig->task_id.ptr)
        sig->task_id = given;
    if (!sig->task_id.ptr)
        cel__new_id(planner, &sig->task_id);
}

/* ---- freezing ---- */

static cel__handle *freeze_task(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    set_id(planner, sig, given->task_id);
    sig->root_id = choose(given->root_id, sig->root_id);
    sig->reply_to = choose(sig->reply_to, planner->context->reply_to);
    sig->group_id = choose(sig->group_id, given->group_id);
    sig->chord = choose(given->chord, sig->chord);
    if (sig->group_index < 0)
        sig->group_index = given->group_index;
    return new_handle(planner, sig->task_id);
}

/* Freezes the steps `from` to the last, the last one first. Returns the handle of the last;
 * *first is that of the step `from`. */
static cel__handle *freeze_steps(cel__planner *planner,
                                 cel__sig *chain,
                                 size_t from,
                                 const cel__given *given,
                                 cel__handle **first)
{
    cel__given inner = {.root_id = given->root_id, .group_index = -1};
    cel__given place = *given;
    cel__handle *last = NULL, *next = NULL;

    place.task_id = choose(chain->task_id, given->task_id);
    for (size_t i = chain->count; i > from; i--) {
        bool is_last = i == chain->count;
        cel__handle *handle = freeze(planner, chain->parts[i - 1], is_last ? &place : &inner);

        if (!handle)
            return NULL;
        if (next)
            set_parent(next, handle);
        next = handle;
        if (is_last)
            last = handle;
    }
    *first = next;
    return last;
}

static cel__handle *freeze_chain(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    cel__handle *first;
    cel__handle *last = freeze_steps(planner, sig, 0, given, &first);

    if (last)
        sig->task_id = last->id;
    return last;
}

/* Freezes the parts of a group or header; `group_id` only goes into them if they belong to a
 * chord outside: their own group's id is what they will be sent with. */
static cel__handle *
freeze_parts(cel__planner *planner, cel__sig *sig, cel_view gid, cel__given inner)
{
    cel__handle *group = new_group_handle(planner, gid, sig->count);

    for (size_t i = 0; i < sig->count && group; i++) {
        group->parts[i] = freeze(planner, sig->parts[i], &inner);
        if (!group->parts[i])
            return NULL;
        inner.group_index += cel__sig_leaves(sig->parts[i]);
        group->count++;
    }
    return group;
}

static cel__handle *freeze_group(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    cel__given inner = {.root_id = given->root_id, .group_id = given->group_id};

    if (given->group_id.ptr && given->group_index > 0)
        inner.group_index = given->group_index;
    set_id(planner, sig, choose(given->group_id, given->task_id));
    sig->group_id = choose(sig->group_id, given->group_id);
    sig->chord = choose(given->chord, sig->chord); /* which its parts get when they are sent */
    return freeze_parts(planner, sig, sig->task_id, inner);
}

/* Freezes the body alone. */
static cel__handle *freeze_body(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    cel__given place = *given;

    place.task_id = choose(given->task_id, sig->task_id);
    place.chord = choose(given->chord, sig->chord);
    place.group_id = choose(given->group_id, sig->group_id);
    if (place.group_index < 0)
        place.group_index = sig->group_index;
    return freeze(planner, sig->body, &place);
}

static cel__handle *freeze_chord(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    cel__given inner = {.root_id = given->root_id};
    cel__handle *body = freeze_body(planner, sig, given);
    cel__handle *header;

    if (!body)
        return NULL;
    if (!sig->gid.ptr)
        cel__new_id(planner, &sig->gid);
    header = freeze_parts(planner, sig, sig->gid, inner);
    if (!header)
        return NULL;
    set_parent(body, header);
    return body;
}

static cel__handle *freeze(cel__planner *planner, cel__sig *sig, const cel__given *given)
{
    if (planner->code != CEL_OK)
        return NULL;
    switch (sig->kind) {
    case CEL_SIG_TASK:
        return freeze_task(planner, sig, given);
    case CEL_SIG_CHAIN:
        return freeze_chain(planner, sig, given);
    case CEL_SIG_GROUP:
        return freeze_group(planner, sig, given);
    case CEL_SIG_CHORD:
        return freeze_chord(planner, sig, given);
    }
    return NULL;
}

/* ---- sending ---- */

static cel_code
expand_task(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent)
{
    set_id(planner, sig, given->task_id);
    if (cel__emit(planner, sig, given) != CEL_OK)
        return planner->code;
    sent->whole = new_handle(planner, sig->task_id);
    sent->child = sent->whole;
    return planner->code;
}

/* What is given to the first step of a chain or to every part of a group or header: what is
 * given to the whole, without its ids, callbacks and place, and the options and arguments that
 * the whole has. */
static cel__given hand_down(cel__planner *planner, const cel__sig *sig, const cel__given *given)
{
    cel__given inner = {.partial_args = given->partial_args,
                        .partial_kwargs = given->partial_kwargs,
                        .root_id = choose(given->root_id, sig->root_id),
                        .parent_id = choose(given->parent_id, sig->parent_id),
                        .group_index = -1};

    if (sig->immutable) {
        inner.partial_args = (cel_view){0};
        inner.partial_kwargs = (cel__value){0};
    }
    inner.partial_args = cel__array_join(planner, inner.partial_args, sig->args);
    inner.rest = cel__options_merge(planner, sig->rest, given->rest);
    return inner;
}

/* Returns the text of the steps from the second on, the last one first. */
static cel_view dump_rest(cel__planner *planner, const cel__sig *chain)
{
    cel__buf *buf = &planner->slab->scratch;
    cel_view text = {0};

    cel__buf_reset(buf);
    cel__buf_add_byte(buf, '[');
    for (size_t i = chain->count; i > 1; i--) {
        cel__sig_dump(buf, chain->parts[i - 1]);
        if (i > 2)
            cel__buf_add(buf, ", ", 2);
    }
    cel__buf_add_byte(buf, ']');
    if (!cel__slab_finish(planner->slab, &text))
        cel__planner_nomem(planner);
    return text;
}

static cel_code
expand_chain(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent)
{
    cel_view errbacks = cel__array_join_once(planner, sig->link_error, given->link_error);
    cel__given inner = hand_down(planner, sig, given);
    cel__given place = {.task_id = choose(sig->task_id, given->task_id),
                        .group_id = choose(sig->group_id, given->group_id),
                        .group_index = given->group_index,
                        .chord = choose(given->chord, sig->chord),
                        .root_id = inner.root_id};
    cel__handle *last = NULL, *second = NULL;

    if (sig->group_index >= 0)
        place.group_index = sig->group_index;
    cel__sig_link(planner, sig, cel__array_join_once(planner, sig->link, given->link));
    for (size_t i = 0; i < sig->count; i++)
        cel__sig_link_error(planner, sig->parts[i], errbacks);
    inner.chain = cel__array_join(planner, given->chain, sig->chain);
    if (sig->count > 1) {
        last = freeze_steps(planner, sig, 1, &place, &second);
        if (last)
            inner.chain = cel__array_join(planner, inner.chain, dump_rest(planner, sig));
    } else {
        inner.task_id = place.task_id;
        inner.group_id = place.group_id;
        inner.group_index = place.group_index;
        inner.chord = place.chord;
    }
    if (planner->code != CEL_OK || cel__expand(planner, sig->parts[0], &inner, sent) != CEL_OK)
        return planner->code;
    if (last) {
        set_parent(second, sent->whole);
        sent->whole = last;
    }
    return CEL_OK;
}

/* Sends the parts of a group or header, each with its index. */
static cel__handle *
expand_parts(cel__planner *planner, cel__sig *sig, cel_view gid, cel__given inner)
{
    cel__handle *group = new_group_handle(planner, gid, sig->count);

    inner.group_id = gid;
    for (size_t i = 0; i < sig->count && group; i++) {
        cel__sent part = {0};

        if (cel__expand(planner, sig->parts[i], &inner, &part) != CEL_OK)
            return NULL;
        group->parts[group->count++] = part.whole;
        inner.group_index += cel__sig_leaves(sig->parts[i]);
    }
    return group;
}

static cel_code
expand_group(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent)
{
    cel__given inner = hand_down(planner, sig, given);
    cel__handle *group;

    set_id(planner, sig, choose(given->group_id, given->task_id));
    inner.group_index = given->group_id.ptr && given->group_index > 0 ? given->group_index : 0;
    inner.chord = choose(given->chord, sig->chord);
    inner.chain = cel__array_join(planner, given->chain, sig->chain);
    inner.link = cel__array_join_once(planner, sig->link, given->link);
    inner.link_error = cel__array_join_once(planner, sig->link_error, given->link_error);
    group = expand_parts(planner, sig, sig->task_id, inner);
    if (!group)
        return planner->code;
    if (group->count == 1 && group->parts[0]->group)
        group = group->parts[0]; /* a chain alone that ends in a group: that is the handle */
    sent->whole = sent->child = group;
    return CEL_OK;
}

/* Returns `options` without those that say when the header shall start. */
static cel__options for_body(cel__planner *planner, cel__options options)
{
    cel__options kept = {0};

    if (options.count == 0)
        return options;
    kept.ptr = cel__slab_zalloc(planner->slab, options.count * sizeof *kept.ptr);
    if (!kept.ptr) {
        cel__planner_nomem(planner);
        return options;
    }
    for (size_t i = 0; i < options.count; i++) {
        if (!cel__view_is(options.ptr[i].key, "eta") &&
            !cel__view_is(options.ptr[i].key, "countdown"))
            kept.ptr[kept.count++] = options.ptr[i];
    }
    return kept;
}

/* What is given to a chord is for its body, which ends it. */
static cel__handle *prepare_body(cel__planner *planner,
                                 cel__sig *sig,
                                 const cel__given *given,
                                 const cel__given *inner)
{
    cel__sig *body = sig->body;
    cel_view rest = cel__array_join(planner, given->chain, sig->chain);

    body->rest = cel__options_merge(planner, body->rest, for_body(planner, inner->rest));
    body->chain = cel__array_join(planner, rest, body->chain);
    body->root_id = choose(inner->root_id, body->root_id);
    body->parent_id = choose(inner->parent_id, body->parent_id);
    cel__sig_link(planner, body, cel__array_join_once(planner, sig->link, given->link));
    cel__sig_link_error(planner, body,
                        cel__array_join_once(planner, sig->link_error, given->link_error));
    return freeze_body(planner, sig, given);
}

static cel_view dump_body(cel__planner *planner, const cel__sig *body)
{
    cel_view text = {0};

    cel__buf_reset(&planner->slab->scratch);
    cel__sig_dump(&planner->slab->scratch, body);
    if (!cel__slab_finish(planner->slab, &text))
        cel__planner_nomem(planner);
    return text;
}

static cel_code add_chord(cel__planner *planner, cel_view gid, int64_t size)
{
    cel_plan *plan = planner->plan;

    if (!cel__grow(&plan->chords, plan->chord_count, &plan->chord_room, sizeof *plan->chords))
        return cel__planner_nomem(planner);
    plan->chords[plan->chord_count++] = (cel_plan_chord){.gid = gid, .size = size};
    return CEL_OK;
}

/* A header that has groups in it is saved, so that the results can be nested as it is. */
static void
add_document(cel__planner *planner, cel_plan_chord *chord, const cel__handle *header)
{
    bool nested = false;

    for (size_t i = 0; i < header->count && !nested; i++)
        nested = header->parts[i]->group;
    if (!nested)
        return;
    cel__buf_reset(&planner->slab->scratch);
    cel__buf_add_str(&planner->slab->scratch, "{\"result\": ");
    cel__handle_dump(&planner->slab->scratch, header, true);
    cel__buf_add_byte(&planner->slab->scratch, '}');
    if (!cel__slab_finish(planner->slab, &chord->document))
        cel__planner_nomem(planner);
}

/* Nothing would ever complete the chord: the body runs at once, with no results. */
static cel_code expand_body(cel__planner *planner,
                            cel__sig *sig,
                            const cel__given *inner,
                            cel__handle *header,
                            cel__sent *sent)
{
    cel__given given = {.partial_args = CEL_VIEW("[[]]"),
                        .root_id = inner->root_id,
                        .parent_id = inner->parent_id,
                        .group_index = -1};

    if (cel__expand(planner, sig->body, &given, sent) == CEL_OK)
        set_parent(sent->whole, header);
    return planner->code;
}

static cel_code
expand_chord(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent)
{
    cel__given inner = hand_down(planner, sig, given);
    cel__handle *body = prepare_body(planner, sig, given, &inner);
    cel__handle *header;
    size_t mine = planner->plan->chord_count;
    int64_t size = 0;

    if (!sig->gid.ptr)
        cel__new_id(planner, &sig->gid);
    for (size_t i = 0; i < sig->count; i++)
        size += cel__sig_leaves(sig->parts[i]);
    if (planner->code == CEL_OK && size > 0) {
        add_chord(planner, sig->gid, size);
        inner.chord = dump_body(planner, sig->body);
    }
    if (planner->code != CEL_OK)
        return planner->code;
    inner.group_index = 0;
    header = expand_parts(planner, sig, sig->gid, inner);
    if (!header)
        return planner->code;
    if (size == 0)
        return expand_body(planner, sig, &inner, header, sent);
    add_document(planner, &planner->plan->chords[mine], header);
    set_parent(body, header);
    *sent = (cel__sent){body, header};
    return planner->code;
}

cel_code
cel__expand(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__sent *sent)
{
    if (planner->code != CEL_OK)
        return planner->code;
    switch (sig->kind) {
    case CEL_SIG_TASK:
        expand_task(planner, sig, given, sent);
        break;
    case CEL_SIG_CHAIN:
        expand_chain(planner, sig, given, sent);
        break;
    case CEL_SIG_GROUP:
        expand_group(planner, sig, given, sent);
        break;
    case CEL_SIG_CHORD:
        expand_chord(planner, sig, given, sent);
        break;
    }
    if (sig->hidden)
        sent->child = NULL;
    return planner->code;
}
