/* test_support.h - for the tests of this floor: an app, and running one task as a pool would. */
#ifndef CEL_APP_TEST_SUPPORT_H
#define CEL_APP_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/app.h"
#include "app/trace.h"
#include "celeriac/task.h"
#include "message/task.h"
#include "pool/protocol.h"

/* Sections of one outcome, copied out as texts owned by the run; NULL if absent. */
typedef struct test_run {
    cel__buf frames; /* what was sent upwards while it ran, frame after frame */
    cel__buf out;    /* the outcome frame */
    cel_view state, result, traceback, children, repr;
    int store; /* 1 unless the outcome says otherwise */
    int expected, requeue;
    size_t messages, chords, parts, victims;
    int canceled;   /* set before: what is_canceled() says */
    cel_code reply; /* set before: what PUBLISH is answered with */
    cel__buf texts;
} test_run;

/* An app on memory://, with a name of its own, that reads no environment. */
cel_app *test_app(const char *const *settings);

/* Runs the message through the host's function and takes the outcome apart. */
void test_run_spec(test_run *run, cel_app *app, const cel_task_message *spec);
void test_run_message(test_run *run, cel_app *app, const cel_message *message);

/* The same for a call without more. */
void test_run_call(
    test_run *run, cel_app *app, const char *task, const char *args, const char *kwargs);

/* The n-th section with this tag, absent if there are fewer; and a text inside of it. */
cel_view test_section(const test_run *run, cel_section_tag tag, size_t n);
cel_view test_inside(cel_view section, cel_section_tag tag);
void test_parse(test_run *run);

void test_run_done(test_run *run);

/* The n-th message, in views of `scratch` and the run. */
cel_message test_message(const test_run *run, size_t n, cel__buf *scratch);
/* Checks its task, args (JSON) and parent, and that it goes to the queue celery. */
void test_check_message(
    const test_run *run, size_t n, const char *task, const char *args, const char *parent);

/* A signature's text. */
#define SIG(task, args, options)                                                               \
    "{\"task\": \"" task "\", \"args\": " args ", \"kwargs\": {}, \"options\": " options       \
    ", \"subtask_type\": null, \"immutable\": false}"

#define assert_view(view, text) assert_view_at(view, text, __FILE__, __LINE__)
void assert_view_at(cel_view view, const char *text, const char *file, int line);
/* Whether the view contains the text. */
int view_has(cel_view view, const char *text);

#endif
