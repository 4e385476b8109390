/* notify.h - telling a service manager how a service is, by datagrams to $NOTIFY_SOCKET as sd_notify(3) describes them.
 *
 * READY=1 is said when the service takes work, not when its process is there; STATUS= says why it does not; WATCHDOG=1 comes as long as
 * the loop turns, where the manager asks for it ($WATCHDOG_USEC). Without $NOTIFY_SOCKET nothing happens. The loop's thread. */
#ifndef CEL_CLI_NOTIFY_H
#define CEL_CLI_NOTIFY_H

#include <stdbool.h>

#include <uv.h>

typedef struct cel_notify {
    int fd; /* of a connected socket; meaningful while `started` */
    bool started, ready;
    const char *status; /* what was said last; NULL: that it takes work, or nothing yet */
    const char *(*why_not)(void *user);
    void *user;
    int64_t every_ms;
    uv_timer_t timer;
} cel_notify;

/* Starts to look and to tell. `why_not` returns NULL while the service takes work, else a line that lives as long as the program. A
 * socket that cannot be reached is a warning on stderr. */
void cel__notify_start(cel_notify *notify,
                       uv_loop_t *loop,
                       const char *(*why_not)(void *user),
                       void *user);

/* The service ends, or (`reloading`) becomes the same program anew. */
void cel__notify_stopping(cel_notify *notify, bool reloading);

/* Tells no more. The loop must turn once more before it is closed. A second call does nothing. */
void cel__notify_stop(cel_notify *notify);

#endif
