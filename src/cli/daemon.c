/* daemon.c - see daemon.h. */
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first process stays until the daemon has reported, or has died without. */
static _Noreturn void leave_with(int reader)
{
    unsigned char status = 1;

    while (read(reader, &status, 1) < 0 && errno == EINTR)
        ;
    _exit(status);
}

cel_code cel__daemon_detach(int *report, cel_error *err)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return cel_error_set(err, CEL_EIO, "cannot make a pipe: %s", strerror(errno));
    pid = fork();
    if (pid > 0) {
        close(ends[1]);
        leave_with(ends[0]);
    }
    close(ends[0]);
    if (pid == 0) {
        setsid();
        pid = fork();
        if (pid > 0)
            _exit(0);
    }
    if (pid < 0) {
        int why = errno;

        close(ends[1]);
        return cel_error_set(err, CEL_EIO, "cannot fork: %s", strerror(why));
    }
    *report = ends[1];
    return CEL_OK;
}

void cel__daemon_report(int report, int status)
{
    unsigned char byte = (unsigned char)status;
    int null;

    fflush(NULL); /* what was said goes where it was meant to */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (write(report, &byte, 1) != 1)
        errno = 0; /* nobody waits any more */
    close(report);
}

static bool number(const char *text, unsigned *value)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || end == text || *end || n > 0xfffffffeUL)
        return false;
    *value = (unsigned)n;
    return true;
}

cel_code cel__daemon_become(const char *user, const char *group, cel_error *err)
{
    unsigned uid = 0, gid = 0;
    const struct passwd *account = NULL;
    const struct group *entry;

    if (user && !number(user, &uid)) {
        account = getpwnam(user);
        if (!account)
            return cel_error_set(err, CEL_EINVAL, "User does not exist: %s", user);
        uid = account->pw_uid;
        gid = account->pw_gid;
    }
    if (group && !number(group, &gid)) {
        entry = getgrnam(group);
        if (!entry)
            return cel_error_set(err, CEL_EINVAL, "Group does not exist: %s", group);
        gid = entry->gr_gid;
    }
    if ((group || account) && setgid(gid) != 0)
        return cel_error_set(err, CEL_EIO, "cannot change to group %u: %s", gid,
                             strerror(errno));
    if (account && initgroups(user, gid) != 0)
        return cel_error_set(err, CEL_EIO, "cannot take the groups of %s: %s", user,
                             strerror(errno));
    if (user && setuid(uid) != 0)
        return cel_error_set(err, CEL_EIO, "cannot change to user %s: %s", user,
                             strerror(errno));
    return CEL_OK;
}
