/* bench_events.c - the receiving side of events: lists of 24 as a worker sends them, read and taken into a state, on one
 * core; beside reading the JSON alone, which is the least it can cost. And what it costs to say one.
 *
 *     bench_events [EVENTS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "celeriac/events.h"
#include "events/receiver.h"
#include "message/event.h"
#include "message/task.h"

#define LIST  24
#define TASKS 100000 /* different ones: more than a state keeps */

static double now_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void say(cel__buf *buf, cel_view head, long n)
{
    char id[40];

    snprintf(id, sizeof id, "%08lx-4f0c-4a3c-9e6a-0d8c3a1f7b52", n / 3 % TASKS);
    cel__event_begin(buf, head, n);
    cel__event_text(buf, "uuid", cel__view(id));
    if (n % 3 == 0) {
        cel__event_text(buf, "name", CEL_VIEW("hotwords.make_result_str"));
        cel__event_text(buf, "args", CEL_VIEW("('2020-04-06', 1, 30)"));
        cel__event_text(buf, "kwargs", CEL_VIEW("{}"));
        cel__event_text(buf, "root_id", cel__view(id));
        cel__event_text(buf, "parent_id", (cel_view){NULL, 0});
        cel__event_int(buf, "retries", 0);
        cel__event_time(buf, "eta", CEL_TIME_NONE);
        cel__event_time(buf, "expires", CEL_TIME_NONE);
        cel__event_end(buf, 1795402675838644 + n, "task-received");
    } else if (n % 3 == 1) {
        cel__event_end(buf, 1795402675838644 + n, "task-started");
    } else {
        cel__event_text(buf, "result", CEL_VIEW("'some text'"));
        cel__event_seconds(buf, "runtime", 5519);
        cel__event_end(buf, 1795402675838644 + n, "task-succeeded");
    }
}

static void take(void *user, const char *type, json_t *event)
{
    (void)type;
    if (cel_event_state_add(user, event, NULL) != CEL_OK)
        exit(1);
}

int main(int argc, char **argv)
{
    long events = argc > 1 ? atol(argv[1]) : 600000, lists = events / LIST;
    cel__buf head = {0}, *bodies = calloc((size_t)lists, sizeof *bodies);
    cel_lamport lamport = {0};
    cel_event_state *state;
    uint64_t malformed = 0;
    double began, said, parsed, heard;

    if (lists < 1 || !bodies || cel_event_state_new(&state, 0, 0, NULL) != CEL_OK)
        return 1;
    cel__event_head(&head, CEL_VIEW("w1@vm"), 0, 16958);
    began = now_s();
    for (long i = 0; i < lists; i++) {
        cel__buf_add_byte(&bodies[i], '[');
        for (long n = 0; n < LIST; n++) {
            cel__buf_add_str(&bodies[i], n ? ", " : "");
            say(&bodies[i], cel__buf_view(&head), i * LIST + n);
        }
        cel__buf_add_byte(&bodies[i], ']');
    }
    said = now_s() - began;
    began = now_s();
    for (long i = 0; i < lists; i++)
        json_decref(json_loadb(bodies[i].ptr, bodies[i].len, 0, NULL));
    parsed = now_s() - began;
    began = now_s();
    for (long i = 0; i < lists; i++)
        cel__events_read(cel__buf_view(&bodies[i]), 1795402675838644, &lamport, &malformed,
                         take, state);
    heard = now_s() - began;
    events = lists * LIST;
    printf("events on one core: said %.0f/s; heard, with the state, %.0f/s, JSON alone %.0f/s, "
           "ratio %.2f; %zu tasks kept, %llu malformed (wanted 100000/s)\n",
           (double)events / said, (double)events / heard, (double)events / parsed,
           parsed / heard, cel_event_state_task_count(state), (unsigned long long)malformed);
    cel_event_state_free(state);
    for (long i = 0; i < lists; i++)
        cel__buf_done(&bodies[i]);
    free(bodies);
    cel__buf_done(&head);
    return malformed > 0;
}
