/* task_macros.h - cel_task(), cel_program() and cel_flow(); included by task.h, program.h and flow.h.
 *
 * A header of its own because it counts as one of the system's: ISO C before C23 wants something behind the
 * last comma of a call without options, and compilers say so when they are told to be pedantic. */
#ifndef CELERIAC_TASK_MACROS_H
#define CELERIAC_TASK_MACROS_H

#if defined(__GNUC__)
#pragma GCC system_header
#endif

/* cel_task(app, "tasks.add", add, .acks_late = 1): registers; inside CEL_MODULE a failure makes the loading fail. */
#define cel_task(app, name, fn, ...)                                                             \
    cel_task_declare(                                                                            \
        app, name, fn, &(cel_task_options){.size = sizeof(cel_task_options), __VA_ARGS__})

/* cel_program(app, "images.thumbnail", argv, .text_result = true): likewise, for programs. */
#define cel_program(app, name, argv, ...)                                                        \
    cel_program_declare(                                                                         \
        app, name, argv,                                                                         \
        &(cel_program_options){.size = sizeof(cel_program_options), __VA_ARGS__})

/* cel_flow(app, "hot_words", build, .queue = "celery_test"): likewise, for flows. */
#define cel_flow(app, name, fn, ...)                                                             \
    cel_flow_declare(                                                                            \
        app, name, fn, &(cel_flow_options){.size = sizeof(cel_flow_options), __VA_ARGS__})

#endif
