/* logging.c - see logging.h. */
#include "cli/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

#define PENDING_MAX 65536

void cel__logging_init(cel_logging *logging)
{
    *logging = (cel_logging){.fd = STDERR_FILENO, .direct = true, .level = CEL_LOG_WARNING};
    pthread_mutex_init(&logging->lock, NULL);
}

void cel__logging_done(cel_logging *logging)
{
    cel__logging_flush(logging);
    if (logging->path)
        close(logging->fd);
    cel__free(logging->path);
    cel__buf_done(&logging->pending);
    pthread_mutex_destroy(&logging->lock);
}

cel_code cel__logging_open(cel_logging *logging, const char *path, cel_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return cel_error_set(err, CEL_EIO, "log file '%s': %s", path, strerror(errno));
    logging->path = cel__strdup(path);
    if (!logging->path) {
        close(fd);
        return cel_error_set(err, CEL_ENOMEM, "no memory for the name of the log file");
    }
    logging->fd = fd;
    logging->color = false;
    return CEL_OK;
}

void cel__logging_reopen(cel_logging *logging)
{
    int fd;

    if (!logging->path)
        return;
    fd = open(logging->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return; /* the old one still takes the lines */
    pthread_mutex_lock(&logging->lock);
    dup3(fd, logging->fd, O_CLOEXEC);
    pthread_mutex_unlock(&logging->lock);
    close(fd);
}

/* A reader that has gone away or a full disk loses log lines, never the worker. */
static void write_out(cel_logging *logging)
{
    const char *at = logging->pending.ptr;
    size_t left = logging->pending.len;

    while (left > 0) {
        ssize_t wrote = write(logging->fd, at, left);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            break;
        at += wrote;
        left -= (size_t)wrote;
    }
    cel__buf_reset(&logging->pending);
}

void cel__logging_flush(cel_logging *logging)
{
    pthread_mutex_lock(&logging->lock);
    write_out(logging);
    pthread_mutex_unlock(&logging->lock);
}

/* The stamp of the second is made once a second: localtime_r() would cost as much as the rest of the line. */
static void add_stamp(cel_logging *logging)
{
    int64_t ms = cel__clock_wall_ms(cel__clock_system());
    time_t second = (time_t)(ms / 1000);
    struct tm local;

    if (second != logging->second || !*logging->stamp) {
        logging->second = second;
        localtime_r(&second, &local);
        strftime(logging->stamp, sizeof logging->stamp, "%Y-%m-%d %H:%M:%S", &local);
    }
    cel__buf_addf(&logging->pending, "[%s,%03d: ", logging->stamp, (int)(ms % 1000));
}

static const char *color_of(cel_log_level level)
{
    switch (level) {
    case CEL_LOG_DEBUG:
        return "\033[1;34m";
    case CEL_LOG_WARNING:
        return "\033[1;33m";
    case CEL_LOG_ERROR:
        return "\033[1;31m";
    case CEL_LOG_CRITICAL:
        return "\033[1;35m";
    default:
        return NULL;
    }
}

void cel__logging_worker(void *user,
                         cel_log_level level,
                         const char *process,
                         cel_view task,
                         cel_view task_id,
                         cel_view message)
{
    cel_logging *logging = user;
    const char *color;

    if (level < logging->level)
        return;
    pthread_mutex_lock(&logging->lock);
    color = logging->color ? color_of(level) : NULL;
    add_stamp(logging);
    cel__buf_addf(&logging->pending, "%s/%s] ", cel__log_level_name(level), process);
    if (task.ptr) {
        cel__buf_add_view(&logging->pending, task);
        cel__buf_add_byte(&logging->pending, '[');
        cel__buf_add_view(&logging->pending, task_id);
        cel__buf_add_str(&logging->pending, "]: ");
    }
    if (color)
        cel__buf_add_str(&logging->pending, color);
    cel__buf_add_view(&logging->pending, message);
    if (color)
        cel__buf_add_str(&logging->pending, "\033[0m");
    cel__buf_add_byte(&logging->pending, '\n');
    if (logging->direct || level >= CEL_LOG_ERROR || logging->pending.len >= PENDING_MAX)
        write_out(logging);
    pthread_mutex_unlock(&logging->lock);
}

void cel__logging_sink(void *user, cel_log_level level, const char *message, size_t len)
{
    cel__logging_worker(user, level, "MainProcess", (cel_view){0}, (cel_view){0},
                        (cel_view){message, len});
}
