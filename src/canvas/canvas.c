/* canvas.c - the public face of the planner: plans, and what each occasion puts into one. */
#include "canvas/canvas.h"

#include <assert.h>

#include "canvas/plan.h"
#include "core/mem.h"

#define PARENT_DEPTH 300 /* JSON levels at which a handle's parent is left out, */
#define PART_DEPTH   480 /* and its parts: CEL_JSCAN_DEPTH is what readers can do */

static struct cel_plan no_plan = {.result = {"[]", 2},
                                  .children = {"[]", 2}}; /* never changed */

/* ---- plans ---- */

size_t cel__plan_task_count(const cel_plan *plan)
{
    return plan->task_count;
}

const cel_plan_task *cel__plan_task(const cel_plan *plan, size_t i)
{
    return i < plan->task_count ? &plan->tasks[i] : NULL;
}

size_t cel__plan_chord_count(const cel_plan *plan)
{
    return plan->chord_count;
}

const cel_plan_chord *cel__plan_chord(const cel_plan *plan, size_t i)
{
    return i < plan->chord_count ? &plan->chords[i] : NULL;
}

cel_view cel__plan_result(const cel_plan *plan)
{
    return plan->result;
}

cel_view cel__plan_children(const cel_plan *plan)
{
    return plan->children;
}

void cel__plan_free(cel_plan *plan)
{
    if (!plan || plan == &no_plan)
        return;
    for (size_t i = 0; i < plan->routing_count; i++)
        json_decref(plan->routings[i]);
    cel__free(plan->routings);
    cel__free(plan->tasks);
    cel__free(plan->chords);
    cel__slab_done(&plan->slab);
    cel__free(plan);
}

/* Starts a plan; the planner holds it until it is done. */
static cel_code begin(cel__planner *planner, const cel_canvas_context *context, cel_error *err)
{
    *planner = (cel__planner){.context = context, .err = err};
    planner->plan = cel__calloc(1, sizeof *planner->plan);
    if (!planner->plan)
        return cel__planner_nomem(planner);
    planner->slab = &planner->plan->slab;
    return CEL_OK;
}

/* Hands the plan out, or frees it if something went wrong. */
static cel_code finish(cel__planner *planner, cel_plan **out)
{
    if (planner->code == CEL_OK)
        *out = planner->plan;
    else
        cel__plan_free(planner->plan);
    return planner->code;
}

/* ---- handles ---- */

static void dump_handle(cel__buf *buf, const cel__handle *handle, int depth, bool alone)
{
    cel__buf_add(buf, "[[", 2);
    cel__buf_add_json(buf, handle->id);
    cel__buf_add(buf, ", ", 2);
    if (handle->parent && !alone && depth < PARENT_DEPTH)
        dump_handle(buf, handle->parent, depth + 2, false);
    else
        cel__buf_add(buf, "null", 4);
    cel__buf_add(buf, "], ", 3);
    if (!handle->group || depth >= PART_DEPTH) {
        cel__buf_add(buf, "null]", 5);
        return;
    }
    cel__buf_add_byte(buf, '[');
    for (size_t i = 0; i < handle->count; i++) {
        if (i > 0)
            cel__buf_add(buf, ", ", 2);
        dump_handle(buf, handle->parts[i], depth + 2, false);
    }
    cel__buf_add(buf, "]]", 2);
}

void cel__handle_dump(cel__buf *buf, const cel__handle *handle, bool alone)
{
    dump_handle(buf, handle, 1, alone);
}

static cel_view handle_text(cel__planner *planner, const cel__handle *handle, bool alone)
{
    cel_view text = {0};

    if (planner->code != CEL_OK)
        return text;
    cel__buf_reset(&planner->slab->scratch);
    cel__handle_dump(&planner->slab->scratch, handle, alone);
    if (!cel__slab_finish(planner->slab, &text))
        cel__planner_nomem(planner);
    return text;
}

/* Appends a child to a growing array text. */
static void add_child(cel__planner *planner, cel__buf *children, const cel__handle *child)
{
    if (!child || planner->code != CEL_OK)
        return;
    cel__buf_add_str(children, children->len > 0 ? ", " : "[");
    cel__handle_dump(children, child, true);
}

/* Makes the text of the children the plan's, and empties it. */
static void set_children(cel__planner *planner, cel__buf *children)
{
    cel_plan *plan = planner->plan;

    plan->children = CEL_VIEW("[]");
    if (children->len > 0) {
        cel__buf_add_byte(children, ']');
        if (children->failed ||
            !cel__slab_copy(planner->slab, cel__buf_view(children), &plan->children))
            cel__planner_nomem(planner);
    }
    cel__buf_done(children);
}

/* ---- sending a signature ---- */

/* What the context gives. */
static cel__given given_context(const cel_canvas_context *context)
{
    assert(!context->partial_args.ptr || context->partial_args.len >= 2);
    assert(!context->partial_args.ptr || context->partial_args.ptr[0] == '[');
    return (cel__given){.partial_args = context->partial_args,
                        .partial_kwargs = cel__value_json(context->partial_kwargs),
                        .root_id = context->root_id,
                        .parent_id = context->parent_id,
                        .group_index = -1};
}

/* Adds the options of the caller. */
static cel_code given_options(cel__planner *planner, const json_t *json, cel__given *given)
{
    cel__sig *options = cel__sig_new(planner, CEL_SIG_TASK);

    if (!options)
        return planner->code;
    options->task = CEL_VIEW("apply");
    if (cel__sig_load_options(planner, options, cel__value_json(json)) != CEL_OK)
        return planner->code;
    given->task_id = options->task_id;
    given->group_id = options->group_id;
    given->group_index = options->group_index;
    given->chord = options->chord;
    given->chain = options->chain;
    given->link = options->link;
    given->link_error = options->link_error;
    given->rest = options->rest;
    if (options->root_id.ptr)
        given->root_id = options->root_id;
    if (options->parent_id.ptr)
        given->parent_id = options->parent_id;
    return CEL_OK;
}

cel_code cel__canvas_apply(cel_plan **out,
                           const json_t *signature,
                           const cel_canvas_context *context,
                           cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__sig *sig = NULL;
    cel__sent sent = {0};
    cel__buf children = {0};

    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    if (!signature)
        cel__planner_invalid(&planner, "there is no signature");
    cel__sig_load(&planner, cel__value_json(signature), &sig);
    if (planner.code == CEL_OK)
        given_options(&planner, context->options, &given);
    if (planner.code == CEL_OK && given.task_id.ptr &&
        (sig->kind == CEL_SIG_TASK || sig->kind == CEL_SIG_GROUP))
        sig->task_id = given.task_id; /* the caller's word; what is in a canvas keeps its own */
    if (cel__expand(&planner, sig, &given, &sent) == CEL_OK) {
        planner.plan->result = handle_text(&planner, sent.whole, false);
        if (context->parent_id.ptr) /* else nobody has children */
            add_child(&planner, &children, sent.child);
    }
    set_children(&planner, &children);
    return finish(&planner, out);
}

/* ---- what follows a task ---- */

/* Returns [value] as a text; [null] if it is absent. */
static cel_view array_of(cel__planner *planner, cel_view value)
{
    char *text;

    if (planner->code != CEL_OK)
        return (cel_view){0};
    if (!value.ptr)
        return CEL_VIEW("[null]");
    text = cel__slab_text(planner->slab, value.len + 2);
    if (!text) {
        cel__planner_nomem(planner);
        return (cel_view){0};
    }
    text[0] = '[';
    memcpy(text + 1, value.ptr, value.len);
    text[value.len + 1] = ']';
    return (cel_view){text, value.len + 2};
}

static void
send_one(cel__planner *planner, cel__sig *sig, const cel__given *given, cel__buf *children)
{
    cel__sent sent = {0};

    if (planner->code == CEL_OK && cel__expand(planner, sig, given, &sent) == CEL_OK)
        add_child(planner, children, sent.child);
}

/* One callback goes alone; of several, groups go alone and all others as one new group. */
static void send_callbacks(cel__planner *planner,
                           cel__value callbacks,
                           const cel__given *given,
                           cel__buf *children)
{
    cel__sig *others = NULL, *sig = NULL;
    cel__walk walk;
    cel__value element;
    size_t count = 0;

    for (cel__walk_array(&walk, callbacks); cel__walk_next(&walk, &element);)
        count++;
    cel__walk_array(&walk, callbacks);
    while (planner->code == CEL_OK && cel__walk_next(&walk, &element)) {
        if (cel__sig_load(planner, element, &sig) != CEL_OK)
            return;
        if (count == 1 || sig->kind == CEL_SIG_GROUP) {
            send_one(planner, sig, given, children);
            continue;
        }
        if (!others)
            others = cel__sig_new(planner, CEL_SIG_GROUP);
        if (others)
            cel__sig_add(planner, others, sig);
    }
    if (others)
        send_one(planner, others, given, children);
}

/* Sends the last element of `chain` with all before it as its chain. */
static void
send_next(cel__planner *planner, cel__value chain, cel__given given, cel__buf *children)
{
    cel__walk walk;
    cel__value element, next = {0};
    const char *end = NULL; /* of the element before the last */
    cel__sig *sig = NULL;

    for (cel__walk_array(&walk, chain); cel__walk_next(&walk, &element);) {
        if (next.text.text.ptr)
            end = next.text.text.ptr + next.text.text.len;
        next = element;
    }
    if (!next.text.text.ptr)
        return;
    if (end) {
        const char *from = chain.text.text.ptr;

        given.chain = array_of(planner, (cel_view){from + 1, (size_t)(end - from - 1)});
    }
    if (cel__sig_load(planner, next, &sig) == CEL_OK)
        send_one(planner, sig, &given, children);
}

/* Makes `text` a value that must be an array or, with `or_one`, may be an object. */
static cel_code load_list(
    cel__planner *planner, const char *what, cel_view text, bool or_one, cel__value *value)
{
    cel_jtype type;

    if (planner->code != CEL_OK)
        return planner->code;
    planner->code = cel__value_text(value, text, planner->err);
    if (planner->code != CEL_OK)
        return planner->code;
    type = cel__value_type(*value);
    if (type <= CEL_JSON_NULL || type == CEL_JSON_ARRAY || (or_one && type == CEL_JSON_OBJECT))
        return CEL_OK;
    return cel__planner_invalid(planner, "%s are %s, not a list", what,
                                cel__value_kind(*value));
}

cel_code cel__canvas_follow(cel_plan **out,
                            const cel_task_body *body,
                            cel_view result,
                            const cel_canvas_context *context,
                            cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__buf children = {0};
    cel__value list;

    if (!body->callbacks.ptr && !body->chain.ptr) {
        *out = &no_plan;
        return CEL_OK;
    }
    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    given.partial_args = array_of(&planner, result);
    if (body->callbacks.ptr &&
        load_list(&planner, "callbacks", body->callbacks, false, &list) == CEL_OK)
        send_callbacks(&planner, list, &given, &children);
    if (body->chain.ptr &&
        load_list(&planner, "steps of the chain", body->chain, false, &list) == CEL_OK)
        send_next(&planner, list, given, &children);
    set_children(&planner, &children);
    planner.plan->result = planner.plan->children;
    return finish(&planner, out);
}

/* Returns [{"replaced_task_nesting": ...}] one deeper, as options. */
static cel__options nesting_options(cel__planner *planner, int64_t nesting)
{
    cel__options options = {0};
    cel__buf text = {0};

    options.ptr = cel__slab_zalloc(planner->slab, sizeof *options.ptr);
    cel__buf_addf(&text, "%lld", (long long)(nesting < INT64_MAX ? nesting + 1 : nesting));
    if (options.ptr) {
        options.ptr->key = CEL_VIEW("replaced_task_nesting");
        options.ptr->value.text.type = CEL_JSON_INTEGER;
        options.count = 1;
    }
    if (!options.ptr ||
        !cel__slab_copy(planner->slab, cel__buf_view(&text), &options.ptr->value.text.text)) {
        cel__planner_nomem(planner);
        options.count = 0;
    }
    cel__buf_done(&text);
    return options;
}

cel_code cel__canvas_replace(cel_plan **out,
                             const json_t *signature,
                             const cel_task_headers *headers,
                             const cel_task_body *body,
                             const cel_canvas_context *context,
                             cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__sig *sig = NULL;
    cel__sent sent = {0};

    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    if (!signature)
        cel__planner_invalid(&planner, "there is no signature");
    cel__sig_load(&planner, cel__value_json(signature), &sig);
    if (planner.code == CEL_OK && sig->chord.ptr)
        cel__planner_invalid(&planner,
                             "what replaces a task must not be part of a chord of its own");
    given.task_id = headers->id;
    given.group_id = headers->group;
    given.group_index = headers->group_index;
    given.chord = body->chord;
    given.chain = body->chain;
    given.link = body->callbacks;
    given.link_error = body->errbacks;
    if (planner.code == CEL_OK) {
        given.rest = nesting_options(&planner, headers->replaced_task_nesting);
        sig = cel__sig_collected(&planner, sig);
    }
    if (planner.code == CEL_OK && sig->kind == CEL_SIG_TASK)
        sig->task_id = headers->id;
    if (cel__expand(&planner, sig, &given, &sent) == CEL_OK)
        planner.plan->result = handle_text(&planner, sent.whole, false);
    planner.plan->children = CEL_VIEW("[]"); /* what is replaced has none */
    return finish(&planner, out);
}

cel_code cel__canvas_add_to_chord(cel_plan **out,
                                  int64_t *parts,
                                  const json_t *signature,
                                  const cel_task_headers *headers,
                                  const cel_task_body *body,
                                  const cel_canvas_context *context,
                                  cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__sig *sig = NULL;
    cel__sent sent = {0};
    cel__buf children = {0};

    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    if (!signature)
        cel__planner_invalid(&planner, "there is no signature");
    if (!body->chord.ptr || !headers->group.ptr)
        cel__planner_invalid(&planner, "the task is no part of a chord");
    cel__sig_load(&planner, cel__value_json(signature), &sig);
    if (planner.code == CEL_OK && sig->chord.ptr)
        cel__planner_invalid(&planner, "what joins a chord must not be part of another one");
    if (planner.code == CEL_OK && sig->kind == CEL_SIG_GROUP)
        sig->task_id = headers->group; /* its members are parts of that group */
    given.group_id = headers->group;
    given.group_index = headers->group_index;
    given.chord = body->chord;
    if (planner.code == CEL_OK)
        *parts = cel__sig_leaves(sig);
    if (cel__expand(&planner, sig, &given, &sent) == CEL_OK) {
        planner.plan->result = handle_text(&planner, sent.whole, false);
        add_child(&planner, &children, sent.child);
    }
    set_children(&planner, &children);
    return finish(&planner, out);
}

cel_code cel__canvas_errbacks(cel_plan **out,
                              cel_view errbacks,
                              cel_view failed_id,
                              const cel_canvas_context *context,
                              cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__buf id = {0}, children = {0};
    cel__value list = {0}, element;
    cel__sig *group, *sig;
    cel__walk walk;

    if (!errbacks.ptr) {
        *out = &no_plan;
        return CEL_OK;
    }
    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    cel__buf_add_json(&id, failed_id);
    if (cel__buf_check(&id, NULL) != CEL_OK)
        cel__planner_nomem(&planner);
    given.partial_args = array_of(&planner, cel__buf_view(&id));
    cel__buf_done(&id);
    load_list(&planner, "errbacks", errbacks, true, &list);
    group = cel__sig_new(&planner, CEL_SIG_GROUP);
    if (planner.code == CEL_OK && cel__value_type(list) == CEL_JSON_OBJECT) {
        if (cel__sig_load(&planner, list, &sig) == CEL_OK)
            cel__sig_add_flat(&planner, group, sig);
    }
    for (cel__walk_array(&walk, list);
         planner.code == CEL_OK && cel__walk_next(&walk, &element);) {
        if (cel__sig_load(&planner, element, &sig) == CEL_OK)
            cel__sig_add_flat(&planner, group, sig);
    }
    if (planner.code == CEL_OK && group->count > 0)
        send_one(&planner, group, &given, &children);
    set_children(&planner, &children);
    planner.plan->result = planner.plan->children;
    return finish(&planner, out);
}

cel_code cel__canvas_chord_body(cel_plan **out,
                                cel_view chord_body,
                                cel_view results,
                                const cel_canvas_context *context,
                                cel_error *err)
{
    cel__planner planner;
    cel__given given = given_context(context);
    cel__sig *body = NULL;
    cel__sent sent = {0};
    cel__buf children = {0};
    cel__value value = {0};

    if (begin(&planner, context, err) != CEL_OK)
        return planner.code;
    given.partial_args = array_of(&planner, results);
    if (planner.code == CEL_OK)
        planner.code = cel__value_text(&value, chord_body, err);
    if (cel__sig_load(&planner, value, &body) == CEL_OK) {
        /* the step before a chord that is part of a chain is more of a parent than any part */
        if (body->root_id.ptr)
            given.root_id = body->root_id;
        if (body->parent_id.ptr)
            given.parent_id = body->parent_id;
    }
    if (cel__expand(&planner, body, &given, &sent) == CEL_OK) {
        planner.plan->result = handle_text(&planner, sent.whole, false);
        add_child(&planner, &children, sent.child);
    }
    set_children(&planner, &children);
    return finish(&planner, out);
}

/* ---- what fails with a task ---- */

struct visit {
    cel__planner *planner;
    cel_code (*fail)(void *user, const cel_canvas_victim *victim);
    void *user;
};

static void visit_sig(struct visit *visit, const cel__sig *sig, const cel__sig *place);

/* Visits the elements of a chain's text, what runs next (the last) first. */
static void visit_chain(struct visit *visit, cel_view text)
{
    cel__planner *planner = visit->planner;
    cel__sig *steps = cel__sig_new(planner, CEL_SIG_GROUP); /* a list */
    cel__value list = {0}, element;
    cel__walk walk;
    cel__sig *sig;

    load_list(planner, "steps of the chain", text, false, &list);
    for (cel__walk_array(&walk, list);
         planner->code == CEL_OK && cel__walk_next(&walk, &element);) {
        if (cel__sig_load(planner, element, &sig) == CEL_OK)
            cel__sig_add(planner, steps, sig);
    }
    for (size_t i = planner->code == CEL_OK ? steps->count : 0; i > 0; i--)
        visit_sig(visit, steps->parts[i - 1], NULL);
}

static void visit_task(struct visit *visit, const cel__sig *sig, const cel__sig *place)
{
    cel_canvas_victim victim = {.task_id = sig->task_id,
                                .chord = sig->chord,
                                .group_id = sig->group_id,
                                .group_index = sig->group_index};

    if (!sig->task_id.ptr)
        return;
    if (place && !victim.chord.ptr)
        victim.chord = place->chord;
    if (place && !victim.group_id.ptr)
        victim.group_id = place->group_id.ptr ? place->group_id : place->task_id;
    visit->planner->code = visit->fail(visit->user, &victim);
}

/* `place`: the group, if any, whose chord `sig` is a part of. */
static void visit_sig(struct visit *visit, const cel__sig *sig, const cel__sig *place)
{
    if (visit->planner->code != CEL_OK)
        return;
    if (sig->kind == CEL_SIG_TASK)
        visit_task(visit, sig, place);
    for (size_t i = 0; i < sig->count && sig->kind == CEL_SIG_CHAIN; i++)
        visit_sig(visit, sig->parts[i], i + 1 == sig->count ? place : NULL);
    for (size_t i = 0; i < sig->count && sig->kind == CEL_SIG_GROUP; i++)
        visit_sig(visit, sig->parts[i], sig);
    if (sig->kind == CEL_SIG_CHORD)
        visit_sig(visit, sig->body, place);
    if (sig->chain.ptr && visit->planner->code == CEL_OK)
        visit_chain(visit, sig->chain);
}

cel_code cel__canvas_victims(cel_view chain,
                             cel_code (*fail)(void *user, const cel_canvas_victim *victim),
                             void *user,
                             cel_error *err)
{
    static const cel_canvas_context context;
    cel__planner planner;
    struct visit visit = {&planner, fail, user};

    if (!chain.ptr)
        return CEL_OK;
    if (begin(&planner, &context, err) != CEL_OK)
        return planner.code;
    visit_chain(&visit, chain);
    cel__plan_free(planner.plan);
    return planner.code;
}
