/* chord.c - what a complete chord sends: its body, or the news that it failed. */
#include "app/follow.h"
#include "app/trace.h"
#include "core/jscan.h"

#define BODY_DEPTH  16 /* canvases in canvases that are looked into for an id */
#define RESULTS_MAX ((size_t)255 << 20) /* a message has 256 MiB at most */

struct completion {
    const cel_chord_ready *ready;
    cel_follow follow;
    cel_view body_id; /* the body's task id, resolved; absent: it has none */
    cel__buf id_text;
    cel__buf exception, traceback;
};

static cel_jvalue chord_body(const cel_chord_ready *ready)
{
    cel_jvalue body = {CEL_JSON_NONE, {NULL, 0}};

    if (ready->body.ptr && cel__jscan_value(&body, ready->body, NULL) != CEL_OK)
        body = (cel_jvalue){CEL_JSON_NONE, {NULL, 0}};
    return body;
}

/* The body's errbacks. link_error of a chain is on each of its steps: the first one's count, as if it had failed. */
static cel_view body_errbacks(cel_jvalue body)
{
    cel_jvalue errbacks = cel__jscan_get(cel__jscan_get(body, "options"), "link_error");
    cel_jscan scan;
    cel_jvalue first;

    if (errbacks.type == CEL_JSON_ARRAY || errbacks.type == CEL_JSON_OBJECT)
        return errbacks.text;
    if (!cel__jscan_is(cel__jscan_get(body, "subtask_type"), "chain"))
        return (cel_view){NULL, 0};
    cel__jscan_array(&scan, cel__jscan_get(cel__jscan_get(body, "kwargs"), "tasks"));
    if (!cel__jscan_next(&scan, &first))
        return (cel_view){NULL, 0};
    errbacks = cel__jscan_get(cel__jscan_get(first, "options"), "link_error");
    if (errbacks.type == CEL_JSON_ARRAY || errbacks.type == CEL_JSON_OBJECT)
        return errbacks.text;
    return (cel_view){NULL, 0};
}

/* The id that the body's result is known by: of a chain without one, as Celery 5.2 sends it, its last step's. */
static cel_jvalue body_id(cel_jvalue body, int depth)
{
    cel_jvalue id = cel__jscan_get(cel__jscan_get(body, "options"), "task_id");
    cel_jvalue step, last = {CEL_JSON_NONE, {NULL, 0}};
    cel_jscan scan;

    if (id.type == CEL_JSON_STRING || depth == BODY_DEPTH)
        return id;
    if (cel__jscan_is(cel__jscan_get(body, "subtask_type"), "chord"))
        return body_id(cel__jscan_get(cel__jscan_get(body, "kwargs"), "body"), depth + 1);
    if (!cel__jscan_is(cel__jscan_get(body, "subtask_type"), "chain"))
        return id;
    cel__jscan_array(&scan, cel__jscan_get(cel__jscan_get(body, "kwargs"), "tasks"));
    while (cel__jscan_next(&scan, &step))
        last = step;
    return body_id(last, depth + 1);
}

/* Encodes ChordError(text) and its traceback. */
static void make_error(struct completion *completion, cel_view text)
{
    cel_exception error = {CEL_VIEW("ChordError"), CEL_VIEW("celery.exceptions"), {NULL, 0}};
    cel__buf args = {0};

    cel__buf_add_byte(&args, '[');
    cel__buf_add_json(&args, text);
    cel__buf_add_byte(&args, ']');
    error.args = cel__buf_view(&args);
    cel__exception_dump(&completion->exception, &error);
    cel__buf_addf(&completion->traceback,
                  "Traceback (most recent call last):\n  Chord %.*s in C\n"
                  "celery.exceptions.ChordError: ",
                  CEL_VIEW_ARG(completion->ready->gid));
    cel__buf_add_view(&completion->traceback, text);
    cel__buf_add_byte(&completion->traceback, '\n');
    if (args.failed || completion->exception.failed || completion->traceback.failed)
        completion->follow.out->failed = true;
    cel__buf_done(&args);
}

static void fail_body(struct completion *completion, cel_jvalue body, cel_view text)
{
    cel__buf array = {0};

    make_error(completion, text);
    cel__buf_add_byte(&array, '[');
    cel__buf_add_view(&array, body.text);
    cel__buf_add_byte(&array, ']');
    if (array.failed)
        completion->follow.out->failed = true;
    cel__follow_victims(&completion->follow, cel__buf_view(&array), completion->ready->root_id,
                        CEL_VIEW("FAILURE"), cel__buf_view(&completion->exception),
                        cel__buf_view(&completion->traceback), true);
    if (completion->body_id.ptr)
        cel__follow_errbacks(&completion->follow, body_errbacks(body), completion->body_id,
                             completion->body_id);
    cel__buf_done(&array);
}

/* Dependency <id> raised <repr> */
static void fail_part(struct completion *completion, cel_jvalue body)
{
    const cel_chord_ready *ready = completion->ready;
    cel_exception exception;
    cel__buf text = {0}, scratch = {0};

    cel__buf_add_str(&text, "Dependency ");
    cel__buf_add_view(&text, ready->failed_id);
    cel__buf_add_str(&text, " raised ");
    cel__exception_load(&exception,
                        ready->failed_result.ptr ? ready->failed_result : CEL_VIEW("null"),
                        &scratch);
    cel__exception_repr(&text, &exception);
    fail_body(completion, body, cel__buf_view(&text));
    cel__buf_done(&text);
    cel__buf_done(&scratch);
}

/* What no broker would take is not built: a worker that tried again would do so for ever. */
static cel_code send_body(struct completion *completion, cel_error *err)
{
    const cel_chord_ready *ready = completion->ready;
    cel_canvas_context context =
        cel__follow_context(&completion->follow, ready->root_id, ready->parent_id);
    cel_plan *plan = NULL;
    cel_code code;

    if (ready->results.len > RESULTS_MAX)
        return cel_error_set(err, CEL_EINVAL,
                             "the results, %zu bytes, are too large for a message",
                             ready->results.len);
    code = cel__canvas_chord_body(&plan, ready->body, ready->results, &context, err);

    if (code == CEL_OK)
        code = cel__follow_plan(&completion->follow, plan, err);
    cel__plan_free(plan);
    return code;
}

static void add_completion(struct completion *completion)
{
    const cel_chord_ready *ready = completion->ready;
    cel__buf *out = completion->follow.out;
    cel_jvalue body = chord_body(ready);
    size_t mark = out->len;
    cel_error err = {0};

    if (body.type != CEL_JSON_OBJECT)
        return; /* nobody to tell */
    completion->body_id = cel__jscan_view(body_id(body, 0), &completion->id_text);
    if (ready->failed_id.ptr || !ready->results.ptr) {
        fail_part(completion, body);
    } else if (send_body(completion, &err) != CEL_OK && !out->failed) {
        cel__buf text = {0};

        out->len = mark;
        cel__buf_addf(&text, "Callback error: ValueError(\"%s\")", err.message);
        fail_body(completion, body, cel__buf_view(&text));
        cel__buf_done(&text);
    }
}

void cel__trace_chord(cel__buf *buf, cel_app *app, const cel_chord_ready *ready, cel_error *err)
{
    cel__buf build = {0}, routing = {0};
    struct completion completion = {
        .ready = ready,
        .follow = {app, buf, &build, &routing, cel__clock_wall_us(app->clock)},
    };
    size_t start = cel__frame_begin(buf, CEL_FRAME_OUTCOME, 0);

    cel__section_add(buf, CEL_TAG_STATE, CEL_VIEW("IGNORED"));
    cel__section_add_int(buf, CEL_TAG_STORE, 0);
    add_completion(&completion);
    cel__frame_end(buf, start);
    cel__buf_check(buf, err);
    cel__buf_done(&completion.id_text);
    cel__buf_done(&completion.exception);
    cel__buf_done(&completion.traceback);
    cel__buf_done(&build);
    cel__buf_done(&routing);
}
