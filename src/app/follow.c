/* follow.c - see follow.h. The algorithm is Celery's, celery/app/trace.py and celery/backends/base.py: a failure first
 * ends its chord part, then the rest of its chain, then runs its errbacks. */
#include "app/follow.h"

#include "app/batch.h"
#include "core/mem.h"

cel_canvas_context
cel__follow_context(const cel_follow *follow, cel_view root_id, cel_view parent_id)
{
    return (cel_canvas_context){
        .now_us = follow->now_us,
        .root_id = root_id,
        .parent_id = parent_id,
        .origin = cel__view(follow->app->origin),
        .reply_to = cel__view(follow->app->reply_to),
    };
}

static void add_chord(const cel_follow *follow, const cel_plan_chord *chord)
{
    size_t start = cel__section_begin(follow->out, CEL_TAG_CHORD);

    cel__section_add(follow->out, CEL_TAG_GID, chord->gid);
    cel__section_add_int(follow->out, CEL_TAG_SIZE, chord->size);
    cel__section_add(follow->out, CEL_TAG_DOCUMENT, chord->document);
    cel__section_end(follow->out, start);
}

cel_code cel__follow_plan(const cel_follow *follow, const cel_plan *plan, cel_error *err)
{
    for (size_t i = 0; i < cel__plan_chord_count(plan); i++)
        add_chord(follow, cel__plan_chord(plan, i));
    for (size_t i = 0; i < cel__plan_task_count(plan); i++) {
        const cel_plan_task *task = cel__plan_task(plan, i);
        cel_task_message spec = task->message;
        cel_message message;
        cel_code code;

        cel__buf_reset(follow->build);
        code = cel__message_route_build(&message, follow->app, &spec, task->options,
                                        follow->now_us, follow->build, follow->scratch, err);
        if (code != CEL_OK)
            return code;
        cel__section_add_message(follow->out, &message);
    }
    return CEL_OK;
}

void cel__follow_part(const cel_follow *follow, const cel_chord_part *part)
{
    size_t start = cel__section_begin(follow->out, CEL_TAG_PART);

    cel__section_add(follow->out, CEL_TAG_GID, part->gid);
    cel__section_add(follow->out, CEL_TAG_ID, part->task_id);
    cel__section_add_int(follow->out, CEL_TAG_INDEX, part->index);
    cel__section_add(follow->out, CEL_TAG_STATE, part->status);
    cel__section_add(follow->out, CEL_TAG_RESULT, part->result);
    cel__section_add(follow->out, CEL_TAG_BODY, part->body);
    cel__section_add(follow->out, CEL_TAG_ROOT, part->root_id);
    cel__section_end(follow->out, start);
}

/* ---- failures ---- */

/* One plan's sections or, if it fails, none of them and a line in the log. Takes the plan. */
static void
add_or_log(const cel_follow *follow, cel_plan *plan, cel_code code, cel_error *err, cel_view id)
{
    size_t start = follow->out->len;

    if (code == CEL_OK)
        code = cel__follow_plan(follow, plan, err);
    cel__plan_free(plan);
    if (code == CEL_OK || follow->out->failed)
        return;
    follow->out->len = start;
    cel__err(&follow->app->log, "The errbacks of task %.*s cannot be sent: %s",
             CEL_VIEW_ARG(id), err->message);
}

void cel__follow_errbacks(const cel_follow *follow,
                          cel_view errbacks,
                          cel_view failed_id,
                          cel_view root_id)
{
    cel_canvas_context context = cel__follow_context(follow, root_id, failed_id);
    cel_plan *plan = NULL;
    cel_error err = {0};
    cel_code code;

    if (!errbacks.ptr)
        return;
    code = cel__canvas_errbacks(&plan, errbacks, failed_id, &context, &err);
    add_or_log(follow, plan, code, &err, failed_id);
}

struct victims {
    const cel_follow *follow;
    cel_view root_id, state, exception, traceback;
    bool store;
};

static cel_code add_victim(void *user, const cel_canvas_victim *victim)
{
    const struct victims *victims = user;
    cel__buf *out = victims->follow->out;

    if (victims->store) {
        size_t start = cel__section_begin(out, CEL_TAG_VICTIM);

        cel__section_add(out, CEL_TAG_ID, victim->task_id);
        cel__section_add(out, CEL_TAG_STATE, victims->state);
        cel__section_add(out, CEL_TAG_RESULT, victims->exception);
        cel__section_add(out, CEL_TAG_TRACEBACK, victims->traceback);
        cel__section_add(out, CEL_TAG_GID, victim->group_id);
        cel__section_end(out, start);
    }
    if (victim->chord.ptr && victim->group_id.ptr)
        cel__follow_part(victims->follow, &(cel_chord_part){.gid = victim->group_id,
                                                            .task_id = victim->task_id,
                                                            .index = victim->group_index,
                                                            .status = victims->state,
                                                            .result = victims->exception,
                                                            .body = victim->chord,
                                                            .root_id = victims->root_id});
    return CEL_OK;
}

void cel__follow_victims(const cel_follow *follow,
                         cel_view chain,
                         cel_view root_id,
                         cel_view state,
                         cel_view exception,
                         cel_view traceback,
                         bool store)
{
    struct victims victims = {follow, root_id, state, exception, traceback, store};
    cel_error err = {0};

    if (!chain.ptr)
        return;
    if (cel__canvas_victims(chain, add_victim, &victims, &err) != CEL_OK)
        cel__err(&follow->app->log, "A chain cannot be failed as a whole: %s", err.message);
}

void cel__follow_failure(const cel_follow *follow,
                         const cel_task_headers *headers,
                         const cel_task_body *body,
                         cel_view state,
                         cel_view exception,
                         cel_view traceback,
                         bool store)
{
    cel_view root_id = headers->root_id.ptr ? headers->root_id : headers->id;

    if (body->chord.ptr && headers->group.ptr)
        cel__follow_part(follow, &(cel_chord_part){.gid = headers->group,
                                                   .task_id = headers->id,
                                                   .index = headers->group_index,
                                                   .status = state,
                                                   .result = exception,
                                                   .body = body->chord,
                                                   .root_id = root_id});
    if (!cel__view_is(state, "FAILURE"))
        return;
    cel__follow_victims(follow, body->chain, root_id, state, exception, traceback, store);
    cel__follow_errbacks(follow, body->errbacks, headers->id, root_id);
}
