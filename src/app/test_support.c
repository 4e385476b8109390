/* test_support.c - see test_support.h. */
#include "app/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/id.h"
#include "core/mem.h"

cel_app *test_app(const char *const *settings)
{
    const char *prefix =
        getenv("CELERIAC_TEST_URL"); /* another broker and store than memory:// */
    char url[512], id[CEL_UUID_LEN + 1];
    cel_app_options options = {
        .size = sizeof options, .settings = settings, .ignore_environment = true};
    cel_app *app = NULL;
    cel_error err = {0};

    cel__uuid4(id);
    snprintf(url, sizeof url, "%s%s", prefix ? prefix : "memory://", id);
    options.broker = url;
    if (cel_app_new(&app, &options, &err) != CEL_OK)
        fail_msg("%s", err.message);
    return app;
}

void assert_view_at(cel_view view, const char *text, const char *file, int line)
{
    if (!text && !view.ptr)
        return;
    if (!text || !view.ptr || !cel__view_is(view, text)) {
        print_error("got <%.*s>, expected <%s>\n", CEL_VIEW_ARG(view),
                    text ? text : "(absent)");
        _fail(file, line);
    }
}

int view_has(cel_view view, const char *text)
{
    return view.ptr && memmem(view.ptr, view.len, text, strlen(text)) != NULL;
}

/* ---- the pool's side ---- */

struct fake_call {
    cel_pool_call call;
    test_run *run;
};

static cel_code fake_send(cel_pool_call *call, cel_view frame, cel__buf *reply, cel_error *err)
{
    test_run *run = ((struct fake_call *)call)->run;

    cel__buf_add_view(&run->frames, frame);
    if (reply) {
        size_t start = cel__frame_begin(reply, CEL_FRAME_REPLY, call->request_id);

        cel__section_add_int(reply, CEL_TAG_CODE, run->reply);
        if (run->reply != CEL_OK)
            cel__section_add(reply, CEL_TAG_TEXT, CEL_VIEW("no broker"));
        cel__frame_end(reply, start);
    }
    return cel__buf_check(&run->frames, err);
}

static bool fake_canceled(const cel_pool_call *call)
{
    return ((const struct fake_call *)call)->run->canceled != 0;
}

/* ---- outcomes ---- */

static cel_view sections_of(const test_run *run)
{
    cel_frame frame;

    assert_true(cel__frame_read(&frame, cel__buf_view(&run->out)) > 0);
    assert_int_equal(frame.type, CEL_FRAME_OUTCOME);
    return frame.sections;
}

cel_view test_section(const test_run *run, cel_section_tag tag, size_t n)
{
    cel_view rest = sections_of(run), bytes;
    cel_section_tag found;

    while (cel__section_next(&rest, &found, &bytes))
        if (found == tag && n-- == 0)
            return bytes;
    assert_non_null(rest.ptr); /* well-formed to the end */
    return (cel_view){NULL, 0};
}

cel_view test_inside(cel_view section, cel_section_tag tag)
{
    cel_section_tag found;
    cel_view bytes;

    while (cel__section_next(&section, &found, &bytes))
        if (found == tag)
            return bytes;
    return (cel_view){NULL, 0};
}

static int flag(const test_run *run, cel_section_tag tag, int otherwise)
{
    int64_t value;

    return cel__section_int(test_section(run, tag, 0), &value) ? (int)value : otherwise;
}

static size_t count(const test_run *run, cel_section_tag tag)
{
    size_t n = 0;

    while (test_section(run, tag, n).ptr)
        n++;
    return n;
}

void test_parse(test_run *run)
{
    run->state = test_section(run, CEL_TAG_STATE, 0);
    run->result = test_section(run, CEL_TAG_RESULT, 0);
    run->traceback = test_section(run, CEL_TAG_TRACEBACK, 0);
    run->children = test_section(run, CEL_TAG_CHILDREN, 0);
    run->repr = test_section(run, CEL_TAG_REPR, 0);
    run->store = flag(run, CEL_TAG_STORE, 1);
    run->expected = flag(run, CEL_TAG_EXPECTED, 0);
    run->requeue = flag(run, CEL_TAG_REQUEUE, -1);
    run->messages = count(run, CEL_TAG_MESSAGE);
    run->chords = count(run, CEL_TAG_CHORD);
    run->parts = count(run, CEL_TAG_PART);
    run->victims = count(run, CEL_TAG_VICTIM);
}

void test_run_message(test_run *run, cel_app *app, const cel_message *message)
{
    struct fake_call call = {
        .call = {.request_id = 7, .send = fake_send, .is_canceled = fake_canceled}, .run = run};
    cel_pool_host host;
    cel__buf frame = {0};
    cel_error err = {0};

    cel__trace_host(&host, app);
    cel__buf_reset(&run->frames);
    cel__buf_reset(&run->out);
    cel__trace_request(&frame, 7, message, "worker@host", CEL_VIEW("celery"), false, &err);
    assert_false(frame.failed);
    assert_int_equal(host.start(host.user, &err), CEL_OK);
    host.run(host.user, &call.call, cel__buf_view(&frame), &run->out);
    cel__buf_done(&frame);
    test_parse(run);
}

void test_run_spec(test_run *run, cel_app *app, const cel_task_message *spec)
{
    cel__buf buf = {0};
    cel_message message;
    cel_error err = {0};

    if (cel__task_message_build(&message, spec, 1700000000000000, &buf, &err) != CEL_OK)
        fail_msg("%s", err.message);
    message.exchange = CEL_VIEW("");
    message.routing_key = CEL_VIEW("celery");
    test_run_message(run, app, &message);
    cel__buf_done(&buf);
}

void test_run_call(
    test_run *run, cel_app *app, const char *task, const char *args, const char *kwargs)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = cel__view(task);
    spec.id = CEL_VIEW("id-1");
    spec.args = cel__view(args);
    spec.kwargs = cel__view(kwargs);
    test_run_spec(run, app, &spec);
}

void test_run_done(test_run *run)
{
    cel__buf_done(&run->frames);
    cel__buf_done(&run->out);
    cel__buf_done(&run->texts);
}

cel_message test_message(const test_run *run, size_t n, cel__buf *scratch)
{
    cel_message message = {0};
    cel_error err = {0};

    if (cel__section_message(&message, test_section(run, CEL_TAG_MESSAGE, n), scratch, &err) !=
        CEL_OK)
        fail_msg("message %zu: %s", n, err.message);
    return message;
}

void test_check_message(
    const test_run *run, size_t n, const char *task, const char *args, const char *parent)
{
    cel__buf scratch = {0}, more = {0}, body_scratch = {0};
    cel_message message = test_message(run, n, &scratch);
    cel_task_headers headers;
    cel_task_body body;

    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &more, NULL), CEL_OK);
    assert_int_equal(cel__task_body_read(&body, &message, &headers, NULL, &body_scratch, NULL),
                     CEL_OK);
    assert_view(headers.task, task);
    assert_view(body.args, args);
    assert_view(headers.parent_id, parent);
    assert_view(message.routing_key, "celery");
    cel__buf_done(&scratch);
    cel__buf_done(&more);
    cel__buf_done(&body_scratch);
}
