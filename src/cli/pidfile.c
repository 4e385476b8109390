/* pidfile.c - see pidfile.h. */
#include "cli/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cel__pidfile_read(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;
    long pid;
    char *end;

    if (fd < 0)
        return errno == ENOENT ? -1 : 0;
    len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    errno = 0;
    pid = strtol(text, &end, 10);
    if (errno || end == text || (*end && *end != '\n') || pid < 1 || pid > 0x7fffffff)
        return 0;
    return (int)pid;
}

static cel_code create(const char *path, cel_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    char text[32];
    int len;

    if (fd < 0 && errno == EEXIST)
        return CEL_EEXIST;
    if (fd < 0)
        return cel_error_set(err, CEL_EIO, "pidfile '%s': %s", path, strerror(errno));
    len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (write(fd, text, (size_t)len) != len || fsync(fd) != 0) {
        int why = errno;

        close(fd);
        unlink(path);
        return cel_error_set(err, CEL_EIO, "pidfile '%s': %s", path, strerror(why));
    }
    close(fd);
    return CEL_OK;
}

static bool is_zombie(int pid)
{
    char path[32], text[512];
    const char *end = NULL;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fgets(text, sizeof text, file))
        end = strrchr(text, ')'); /* behind the program's name, which may hold anything */
    fclose(file);
    return end && strncmp(end, ") Z", 3) == 0;
}

bool cel__process_is_alive(int pid)
{
    return (kill(pid, 0) == 0 || errno == EPERM) && !is_zombie(pid);
}

cel_code cel__pidfile_create(const char *path, int *pid, bool *stale, cel_error *err)
{
    *stale = false;
    for (int i = 0; i < 3; i++) {
        cel_code code = create(path, err);

        if (code != CEL_EEXIST)
            return code;
        *pid = cel__pidfile_read(path);
        if (*pid > 0 && *pid != (int)getpid() && cel__process_is_alive(*pid))
            break;
        *stale = true;
        if (*pid >= 0)
            unlink(path);
    }
    return cel_error_set(err, CEL_EEXIST, "Pidfile (%s) already exists.", path);
}

void cel__pidfile_remove(const char *path)
{
    if (cel__pidfile_read(path) == (int)getpid())
        unlink(path);
}
