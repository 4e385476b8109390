/* process.c - who a process is, from /proc. */
#include "sqlite/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the beginning of a small file into `out` without the final newline; false if it cannot.
 */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0)
        return false;
    do {
        len = read(fd, out, size - 1);
    } while (len < 0 && errno == EINTR);
    close(fd);
    if (len <= 0)
        return false;
    out[len] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

/* The state is field 3, the start time field 22; field 2, the name, is in parentheses and may
 * hold anything. */
static bool read_stat(int64_t pid, char *state, int64_t *start_time)
{
    char path[64], text[1024];

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (!read_text(path, text, sizeof text))
        return false;
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ')
        return false;
    *state = at[2];
    at += 2;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    *start_time = strtoll(at, NULL, 10);
    return true;
}

void cel__process_self(cel__process *out)
{
    char state;
    ssize_t len;

    *out = (cel__process){.pid = getpid()};
    if (!read_stat(out->pid, &state, &out->start_time))
        out->start_time = 0;
    if (gethostname(out->host, sizeof out->host - 1) != 0)
        out->host[0] = '\0';
    if (!read_text("/proc/sys/kernel/random/boot_id", out->boot_id, sizeof out->boot_id))
        out->boot_id[0] = '\0';
    len = readlink("/proc/self/ns/pid", out->pid_ns, sizeof out->pid_ns - 1);
    out->pid_ns[len > 0 ? len : 0] = '\0';
}

bool cel__process_alive(int64_t pid, int64_t start_time)
{
    char state;
    int64_t started;

    if (pid <= 0 || pid > INT32_MAX)
        return false;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return false;
    if (!read_stat(pid, &state, &started))
        return start_time == 0; /* it ended just now, or there is no /proc */
    if (state == 'Z' || state == 'X')
        return false;
    return start_time == 0 || started == start_time;
}

cel__life cel__process_life(const cel__process *self, const cel__process *other)
{
    if (strcmp(self->boot_id, other->boot_id) != 0)
        return strcmp(self->host, other->host) == 0 ? CEL_LIFE_DEAD : CEL_LIFE_UNKNOWN;
    if (strcmp(self->pid_ns, other->pid_ns) != 0)
        return CEL_LIFE_UNKNOWN;
    return cel__process_alive(other->pid, other->start_time) ? CEL_LIFE_ALIVE : CEL_LIFE_DEAD;
}
