/* notify.c - see notify.h. */
#include "cli/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS  100  /* until it is ready */
#define EVERY_MS 1000 /* afterwards; less where the watchdog is fast */

/* A manager that does not read loses a message: it must not hold the service up. */
static void tell(const cel_notify *notify, const char *text)
{
    if (notify->started)
        (void)!send(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void tell_status(const cel_notify *notify, const char *before, const char *status)
{
    char text[256];

    snprintf(text, sizeof text, "%sSTATUS=%s", before, status);
    tell(notify, text);
}

static void on_look(uv_timer_t *timer)
{
    cel_notify *notify = timer->data;
    const char *why = notify->why_not(notify->user);

    if (!why && !notify->ready) {
        notify->ready = true;
        tell_status(notify, "READY=1\n", "takes work");
        uv_timer_set_repeat(timer, (uint64_t)notify->every_ms);
    } else if (why != notify->status) {
        tell_status(notify, "", why ? why : "takes work");
    }
    notify->status = why;
    tell(notify, "WATCHDOG=1");
}

/* Half of what the manager waits, if that is for this process. */
static int64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    intmax_t value;

    if (!usec || (pid && strtoimax(pid, NULL, 10) != (intmax_t)getpid()))
        return EVERY_MS;
    errno = 0;
    value = strtoimax(usec, &end, 10);
    if (errno || *end || value <= 0 || value / 2000 >= EVERY_MS)
        return EVERY_MS;
    return value / 2000 > 0 ? (int64_t)(value / 2000) : 1;
}

static bool open_socket(cel_notify *notify, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len < 2 || len >= sizeof address.sun_path || (*path != '/' && *path != '@')) {
        errno = EINVAL;
        return false;
    }
    memcpy(address.sun_path, path, len);
    if (*path == '@')
        address.sun_path[0] = '\0'; /* a name that is no file */
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0)
        return false;
    if (connect(notify->fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
        return true;
    close(notify->fd);
    return false;
}

void cel__notify_start(cel_notify *notify,
                       uv_loop_t *loop,
                       const char *(*why_not)(void *user),
                       void *user)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *notify = (cel_notify){.why_not = why_not, .user = user, .every_ms = watchdog_ms()};
    if (!path || !*path)
        return;
    if (!open_socket(notify, path)) {
        fprintf(stderr, "Warning: NOTIFY_SOCKET '%s': %s\n", path, strerror(errno));
        return;
    }
    notify->started = true;
    uv_timer_init(loop, &notify->timer);
    notify->timer.data = notify;
    uv_timer_start(&notify->timer, on_look, 0,
                   notify->every_ms < LOOK_MS ? (uint64_t)notify->every_ms : LOOK_MS);
    uv_unref((uv_handle_t *)&notify->timer);
}

void cel__notify_stopping(cel_notify *notify, bool reloading)
{
    struct timespec now;
    char text[64];

    if (!reloading) {
        tell(notify, "STOPPING=1");
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    tell(notify, text);
}

void cel__notify_stop(cel_notify *notify)
{
    if (!notify->started)
        return;
    notify->started = false;
    uv_close((uv_handle_t *)&notify->timer, NULL);
    close(notify->fd);
}
