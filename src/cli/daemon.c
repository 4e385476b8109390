/* daemon.c - see daemon.h. */
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cel_code fork_and_leave(cel_error *err)
{
    pid_t pid = fork();

    if (pid < 0)
        return cel_error_set(err, CEL_EIO, "cannot fork: %s", strerror(errno));
    if (pid > 0)
        _exit(0);
    return CEL_OK;
}

cel_code cel__daemon_detach(cel_error *err)
{
    int null;

    if (fork_and_leave(err) != CEL_OK)
        return err ? err->code : CEL_EIO;
    setsid();
    if (fork_and_leave(err) != CEL_OK)
        return err ? err->code : CEL_EIO;
    null = open("/dev/null", O_RDWR);
    if (null < 0)
        return cel_error_set(err, CEL_EIO, "/dev/null: %s", strerror(errno));
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
    return CEL_OK;
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
