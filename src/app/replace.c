/* replace.c - what takes the place of a running task, and what joins its chord; see the reference, 9.1 and 9.2. */
#include "app/follow.h"
#include "app/request.h"

static cel_follow follow_later(cel_request *req)
{
    return (cel_follow){
        .app = req->app,
        .out = &req->sections,
        .build = &req->build,
        .scratch = &req->scratch,
        .now_us = cel__clock_wall_us(req->app->clock),
    };
}

/* Appends the plan's messages to what is sent when the task ends: all, or none on a failure. */
static cel_code add_plan(const cel_follow *follow, const cel_plan *plan, cel_error *err)
{
    size_t start = follow->out->len;
    cel_code code = cel__follow_plan(follow, plan, err);

    if (code == CEL_OK)
        code = cel__buf_check(follow->out, err);
    if (code != CEL_OK) {
        follow->out->len = start;
        follow->out->failed = false;
    }
    return code;
}

json_t *cel_replace(cel_request *req, cel_signature *signature)
{
    const cel_task_headers *headers = req->headers;
    cel_follow follow = follow_later(req);
    cel_canvas_context context =
        cel__follow_context(&follow, cel__headers_root(headers),
                            headers->parent_id.ptr ? headers->parent_id : headers->id);
    cel_plan *plan = NULL;
    cel_error err = {0};
    cel_code code;

    if (!signature)
        return cel_raise(req, "ValueError", "the signature is NULL: its construction failed");
    code = cel__canvas_replace(&plan, cel_signature_json(signature), headers, req->body,
                               &context, &err);
    if (code == CEL_OK)
        code = add_plan(&follow, plan, &err);
    cel__plan_free(plan);
    cel_signature_free(signature);
    if (code != CEL_OK)
        return cel_raise(req, "ValueError", "the task cannot be replaced: %s", err.message);
    req->end = CEL_END_IGNORE;
    return NULL;
}

cel_code cel_add_to_chord(cel_request *req, const cel_signature *signature, cel_error *err)
{
    cel_follow follow = follow_later(req);
    cel_canvas_context context =
        cel__follow_context(&follow, cel__headers_root(req->headers), req->headers->id);
    size_t start = follow.out->len, section;
    cel_plan *plan = NULL;
    int64_t parts = 0;
    cel_code code;

    if (!signature)
        return cel_error_set(err, CEL_EINVAL, "the signature is NULL: its construction failed");
    code = cel__canvas_add_to_chord(&plan, &parts, cel_signature_json(signature), req->headers,
                                    req->body, &context, err);
    if (code != CEL_OK)
        return code;
    section = cel__section_begin(follow.out, CEL_TAG_CHORD);
    cel__section_add(follow.out, CEL_TAG_GID, req->headers->group);
    cel__section_add_int(follow.out, CEL_TAG_GROW, parts);
    cel__section_end(follow.out, section);
    code = add_plan(&follow, plan, err);
    if (code == CEL_OK)
        cel__request_add_children(req, cel__plan_children(plan));
    else
        follow.out->len = start;
    cel__plan_free(plan);
    return code;
}
