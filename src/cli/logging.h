/* logging.h - log lines as Celery writes them, to stderr or a file.
 *
 *     [2026-11-23 02:57:19,369: INFO/MainProcess] Connected to amqp://...
 *     [2026-11-23 02:57:19,369: INFO/ForkPoolWorker-1] tasks.add[<id>]: what the task logged
 *
 * Lines are collected and written in one go: by cel__logging_flush(), which the worker's loop calls once per turn, when the buffer is full, or
 * at once from ERROR on. One thread at a time (a lock guards it). */
#ifndef CEL_CLI_LOGGING_H
#define CEL_CLI_LOGGING_H

#include <pthread.h>
#include <time.h>

#include "core/buf.h"
#include "core/log.h"

typedef struct cel_logging {
    int fd;
    bool color;
    bool direct; /* every line is written at once (no loop to flush) */
    cel_log_level level;
    char *path; /* owned; NULL: stderr */
    cel__buf pending;
    pthread_mutex_t lock;
    time_t second; /* what `stamp` shows */
    char stamp[32];
} cel_logging;

/* Starts with stderr, level WARNING, direct. */
void cel__logging_init(cel_logging *logging);
void cel__logging_done(cel_logging *logging);

/* Appends to the file `path` from now on (created with mode 0644). */
cel_code cel__logging_open(cel_logging *logging, const char *path, cel_error *err);

/* Opens the file anew: after it was renamed by logrotate. */
void cel__logging_reopen(cel_logging *logging);

/* A cel_log_fn; `user` is the cel_logging. Lines come from "MainProcess". */
void cel__logging_sink(void *user, cel_log_level level, const char *message, size_t len);

/* A cel_worker_log_fn. */
void cel__logging_worker(void *user,
                         cel_log_level level,
                         const char *process,
                         cel_view task,
                         cel_view task_id,
                         cel_view message);

void cel__logging_flush(cel_logging *logging);

#endif
