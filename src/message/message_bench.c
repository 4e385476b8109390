/* message_bench.c - what a message costs: `meson test --benchmark`. Prints nanoseconds per
 * operation. */
#include <stdio.h>
#include <time.h>

#include "core/jscan.h"
#include "message/result.h"
#include "message/task.h"

#define ROUNDS 300000

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void report(const char *what, double start_ns)
{
    printf("%-32s %7.0f ns\n", what, (now_ns() - start_ns) / ROUNDS);
}

static cel_task_message example(void)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = CEL_VIEW("proj.tasks.add");
    spec.id = CEL_VIEW("7c0e6a52-41c5-4d0f-9b3c-2f6a1d4f0b11");
    spec.args = CEL_VIEW("[2, 3]");
    spec.kwargs = CEL_VIEW("{\"name\": \"value\"}");
    spec.origin = CEL_VIEW("gen17034@vm");
    spec.reply_to = CEL_VIEW("1f0e6a52-41c5-3d0f-9b3c-2f6a1d4f0b11");
    spec.routing_key = CEL_VIEW("celery");
    return spec;
}

static int bench_task(void)
{
    cel_task_message spec = example();
    cel__buf buf = {0}, scratch = {0}, properties = {0};
    cel_message message = CEL_MESSAGE_INIT, loaded = CEL_MESSAGE_INIT;
    cel_task_headers headers;
    cel_task_body body;
    int failed = 0;
    double start = now_ns();

    for (int i = 0; i < ROUNDS; i++) {
        cel__buf_reset(&buf);
        failed += cel__task_message_build(&message, &spec, 0, &buf, NULL) != CEL_OK;
    }
    report("build a task message", start);
    printf("%-32s %7zu bytes\n", "  headers", message.headers.len);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++)
        failed += cel__task_headers_read(&headers, &message, NULL, &scratch, NULL) != CEL_OK;
    report("read its headers", start);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++)
        failed +=
            cel__task_body_read(&body, &message, &headers, NULL, &scratch, NULL) != CEL_OK;
    report("read its body", start);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++) {
        cel__buf_reset(&properties);
        cel__message_dump_properties(&properties, &message);
    }
    report("dump its properties", start);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++)
        failed += cel__message_load_properties(&loaded, cel__buf_view(&properties), &scratch,
                                               NULL) != CEL_OK;
    report("load its properties", start);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
    cel__buf_done(&properties);
    return failed;
}

static int bench_result(void)
{
    cel_result_meta meta = {.task_id = CEL_VIEW("7c0e6a52-41c5-4d0f-9b3c-2f6a1d4f0b11"),
                            .status = CEL_VIEW("SUCCESS"),
                            .result = CEL_VIEW("5"),
                            .children = CEL_VIEW("[]"),
                            .date_done_us = INT64_C(1795402874105188)};
    cel__buf buf = {0}, scratch = {0};
    int failed = 0;
    double start = now_ns();

    for (int i = 0; i < ROUNDS; i++) {
        cel__buf_reset(&buf);
        cel__result_meta_dump(&buf, &meta);
    }
    report("dump a result", start);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++)
        failed += cel__result_meta_load(&meta, cel__buf_view(&buf), &scratch, NULL) != CEL_OK;
    report("load a result", start);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
    return failed;
}

int main(void)
{
    return bench_task() + bench_result() ? 1 : 0;
}
