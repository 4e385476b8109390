/* state_test.c - what is read of events, and what becomes of workers and tasks by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "celeriac/events.h"
#include "events/receiver.h"

static void count(void *user, const char *type, json_t *event)
{
    assert_string_equal(type, json_string_value(json_object_get(event, "type")));
    ++*(int *)user;
}

static int read_text(const char *text, uint64_t *malformed, cel_lamport *lamport)
{
    int heard = 0;

    cel__events_read(cel__view(text), 1500000, lamport, malformed, count, &heard);
    return heard;
}

static void events_come_alone_or_in_lists(void **state)
{
    cel_lamport lamport = {0};
    uint64_t malformed = 0;

    (void)state;
    assert_int_equal(read_text("{\"type\": \"a\", \"clock\": 40}", &malformed, &lamport), 1);
    assert_int_equal(lamport.value, 41);
    assert_int_equal(read_text("[{\"type\": \"a\"}, {\"type\": \"b\"}]", &malformed, &lamport),
                     2);
    assert_int_equal(lamport.value, 43);
    assert_int_equal(read_text("[]", &malformed, &lamport), 0);
    assert_int_equal(malformed, 0);
}

static void what_is_no_event_is_counted_and_left(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "null",
        "7",
        "\"x\"",
        "{}",
        "[7]",
        "[{}]",
        "[[]]",
        "{\"type\": 7}",
        "{\"type\": \"\"}",
        "{\"type\": \"a\"} x",
    };
    cel_lamport lamport = {0};
    uint64_t malformed = 0;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(read_text(texts[i], &malformed, &lamport), 0);
        assert_int_equal(malformed, i + 1);
    }
    assert_int_equal(read_text("[7, {\"type\": \"a\"}]", &malformed, &lamport), 1);
    /* Nor does somebody's clock carry ours away. */
    read_text("{\"type\": \"a\", \"clock\": 9223372036854775807}", &malformed, &lamport);
    assert_true(lamport.value < 100);
    char deep[3000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(read_text(deep, &malformed, &lamport), 0);
}

static cel_event_state *new_state(size_t workers, size_t tasks)
{
    cel_event_state *state = NULL;

    assert_int_equal(cel_event_state_new(&state, workers, tasks, NULL), CEL_OK);
    return state;
}

static void add(cel_event_state *state, const char *fmt, ...) CEL_PRINTF(2, 3);
static void add(cel_event_state *state, const char *fmt, ...)
{
    char text[8192];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_t *event = json_loads(text, 0, NULL);
    assert_non_null(event);
    assert_int_equal(cel_event_state_add(state, event, NULL), CEL_OK);
    json_decref(event);
}

#define HEAD "{\"hostname\": \"w1@vm\", \"timestamp\": %d.5, \"uuid\": \"u1\", "

static const char *field(cel_event_state *state, const char *uuid, const char *name)
{
    const json_t *task = cel_event_state_task(state, uuid);

    assert_non_null(task);
    return json_string_value(json_object_get(task, name));
}

static void a_task_goes_through_its_states(void **unused)
{
    cel_event_state *state = new_state(0, 0);

    (void)unused;
    add(state, HEAD "\"type\": \"task-received\", \"name\": \"t.add\", \"args\": \"(1, 2)\"}",
        1);
    assert_string_equal(field(state, "u1", "state"), "RECEIVED");
    add(state, HEAD "\"type\": \"task-started\"}", 2);
    assert_string_equal(field(state, "u1", "state"), "STARTED");
    add(state, HEAD "\"type\": \"task-progress\", \"done\": 3}", 3);
    assert_string_equal(field(state, "u1", "state"), "PROGRESS");
    add(state, HEAD "\"type\": \"task-succeeded\", \"result\": \"3\", \"runtime\": 0.5}", 4);
    assert_string_equal(field(state, "u1", "state"), "SUCCESS");
    assert_string_equal(field(state, "u1", "args"), "(1, 2)");
    assert_string_equal(field(state, "u1", "worker"), "w1@vm");
    const json_t *task = cel_event_state_task(state, "u1");
    assert_true(json_real_value(json_object_get(task, "started")) == 2.5);
    assert_true(json_real_value(json_object_get(task, "succeeded")) == 4.5);
    assert_int_equal(cel_event_state_task_count(state), 1);
    cel_event_state_free(state);
}

static void what_comes_late_lowers_no_state(void **unused)
{
    cel_event_state *state = new_state(0, 0);

    (void)unused;
    add(state, HEAD "\"type\": \"task-succeeded\", \"result\": \"3\"}", 4);
    add(state, HEAD "\"type\": \"task-received\", \"name\": \"t.add\", \"result\": \"no\"}", 1);
    assert_string_equal(field(state, "u1", "state"), "SUCCESS");
    assert_string_equal(field(state, "u1", "name"), "t.add"); /* but says what it is */
    assert_string_equal(field(state, "u1", "result"), "3");
    /* A retry begins anew. */
    add(state, HEAD "\"type\": \"task-retried\"}", 5);
    assert_string_equal(field(state, "u1", "state"), "RETRY");
    add(state, HEAD "\"type\": \"task-received\"}", 6);
    assert_string_equal(field(state, "u1", "state"), "RECEIVED");
    cel_event_state_free(state);
}

static void a_worker_lives_while_its_heart_beats(void **unused)
{
    cel_event_state *state = new_state(0, 0);

    (void)unused;
    add(state, "{\"type\": \"worker-heartbeat\", \"hostname\": \"w1@vm\", \"timestamp\": 10.0, "
               "\"local_received\": 10.0, \"freq\": "
               "2.0, \"active\": 1, \"processed\": 7, \"loadavg\": [0.5, 0.4, 0.3]}");
    const json_t *worker = cel_event_state_worker(state, "w1@vm");
    assert_non_null(worker);
    assert_true(cel_event_worker_alive(worker, 13.9));
    assert_false(cel_event_worker_alive(worker, 14.1));
    assert_int_equal(json_integer_value(json_object_get(worker, "processed")), 7);
    assert_int_equal(json_array_size(json_object_get(worker, "loadavg")), 3);
    add(state, "{\"type\": \"worker-offline\", \"hostname\": \"w1@vm\", \"timestamp\": 11.0, "
               "\"local_received\": 11.0}");
    assert_false(cel_event_worker_alive(cel_event_state_worker(state, "w1@vm"), 11));
    assert_int_equal(cel_event_state_worker_count(state), 1);
    cel_event_state_free(state);
}

static bool note_first(void *user, const json_t *task)
{
    snprintf(user, 16, "%s", json_string_value(json_object_get(task, "uuid")));
    return false;
}

static void the_oldest_is_forgotten(void **unused)
{
    cel_event_state *state = new_state(3, 100);
    char first[16];

    (void)unused;
    for (int n = 0; n < 1000; n++) {
        add(state,
            "{\"type\": \"task-started\", \"uuid\": \"%d\", \"timestamp\": 1.0, \"hostname\": "
            "\"w\"}",
            n);
        add(state, "{\"type\": \"task-started\", \"uuid\": \"kept\", \"timestamp\": 1.0, "
                   "\"hostname\": \"w\"}");
        add(state, "{\"type\": \"worker-online\", \"hostname\": \"%d\"}", n);
    }
    assert_int_equal(cel_event_state_task_count(state), 100);
    assert_int_equal(cel_event_state_worker_count(state), 3);
    assert_non_null(cel_event_state_task(state, "kept"));
    assert_non_null(cel_event_state_task(state, "999"));
    assert_null(cel_event_state_task(state, "1"));
    cel_event_state_tasks(state, note_first, first);
    assert_string_equal(first, "kept");
    cel_event_state_free(state);
}

static void hostile_events_take_little_room(void **unused)
{
    cel_event_state *state = new_state(0, 0);
    json_t *event = json_pack("{s:s, s:s, s:f, s:s}", "type", "task-failed", "uuid", "u1",
                              "timestamp", 1.0, "hostname", "w");
    char *text = malloc(100001), name[16];

    (void)unused;
    assert_non_null(text);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    json_object_set_new(event, "traceback", json_string(text));
    json_object_set_new(event, "nested", json_pack("{s:s}", "a", text));
    for (int n = 0; n < 500; n++) {
        snprintf(name, sizeof name, "f%d", n);
        json_object_set_new(event, name, json_integer(n));
    }
    assert_int_equal(cel_event_state_add(state, event, NULL), CEL_OK);
    const json_t *task = cel_event_state_task(state, "u1");
    assert_int_equal(json_string_length(json_object_get(task, "traceback")), 4096);
    assert_null(json_object_get(task, "nested"));
    assert_true(json_object_size(task) <= 70);
    json_object_set_new(event, "uuid", json_string(text)); /* such a name is none */
    assert_int_equal(cel_event_state_add(state, event, NULL), CEL_OK);
    assert_int_equal(cel_event_state_task_count(state), 1);
    json_decref(event);
    event = json_string("no event");
    assert_int_equal(cel_event_state_add(state, event, NULL), CEL_OK);
    json_decref(event);
    free(text);
    cel_event_state_free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_alone_or_in_lists),
        cmocka_unit_test(what_is_no_event_is_counted_and_left),
        cmocka_unit_test(a_task_goes_through_its_states),
        cmocka_unit_test(what_comes_late_lowers_no_state),
        cmocka_unit_test(a_worker_lives_while_its_heart_beats),
        cmocka_unit_test(the_oldest_is_forgotten),
        cmocka_unit_test(hostile_events_take_little_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
