/* zygote.c - the process that forks the children of a prefork pool.
 *
 *     worker --fork, before any thread--> zygote --fork, on request--> child, child, ...
 *
 * It has one thread, touches nothing of the module, and waits for two things: packets on the
 * control socket and signals (a signalfd). A child's process group is killed before the child
 * is reaped, while its number cannot be anybody else's; so what a task left running ends with
 * the task's process. What programs have put into groups of their own comes to the zygote as orphans, which it knows by a
 * variable of their environment (CEL_POOL_VARIABLE): daemons that a task started on purpose have none.
 *
 * Deaths: the worker's ends the stream (and raises HUP here, PDEATHSIG, in case somebody holds
 * the other end): all groups are killed. The zygote's own, by a KILL from outside, kills the
 * children by their PDEATHSIG. */
#include "pool/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"

#define ORPHAN_ROUNDS 1000 /* of orphans that have children of their own */

struct kin {
    pid_t pid;
    int number;
};

struct zygote {
    cel_pool_host host;
    int fd;
    int signals; /* signalfd */
    pid_t worker;
    struct kin *children; /* owned */
    size_t len, cap;
};

static bool is_child;

bool cel__pool_guards_group(void)
{
    return is_child;
}

/* ---- dispositions ---- */

/* Gives all signals their default action. Those the C library keeps for itself refuse: fine. */
static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    for (int signum = 1; signum <= SIGRTMAX; signum++)
        sigaction(signum, &action, NULL);
}

static void ignore_signal(int signum)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigaction(signum, &action, NULL);
}

static void open_null_as_stdin(void)
{
    int fd = open("/dev/null", O_RDONLY);

    if (fd < 0)
        return;
    dup2(fd, STDIN_FILENO);
    if (fd != STDIN_FILENO)
        close(fd);
}

/* ---- the zygote ---- */

static void
report(struct zygote *zygote, cel__zygote_kind kind, int number, pid_t pid, int value)
{
    cel__zygote_packet packet = {(uint32_t)kind, number, pid, value};

    while (send(zygote->fd, &packet, sizeof packet, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static struct kin *find_kin(struct zygote *zygote, int number, pid_t pid)
{
    for (size_t i = 0; i < zygote->len; i++) {
        struct kin *kin = &zygote->children[i];

        if (pid ? kin->pid == pid : kin->number == number)
            return kin;
    }
    return NULL;
}

/* ---- what programs of a dead child have left in groups of their own ---- */

/* Whether the environment of the process has this variable. */
static bool has_variable(pid_t pid, const char *variable)
{
    static char text[128u << 10]; /* the longest that is looked through; one thread */
    size_t len = 0, wanted = strlen(variable) + 1;
    char path[32];
    ssize_t got;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < sizeof text && (got = read(fd, text + len, sizeof text - len)) > 0)
        len += (size_t)got;
    close(fd);
    for (const char *at = text; len >= wanted;) {
        const char *end = memchr(at, '\0', len);

        if (memcmp(at, variable, wanted) == 0)
            return true;
        if (!end)
            return false;
        len -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    return false;
}

/* Ends the orphans that carry the variable; the zygote has adopted them. Returns whether there were any. */
static bool end_marked(struct zygote *zygote, const char *variable)
{
    char path[48];
    bool found = false;
    FILE *file;
    int pid;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    if (!file)
        return false;
    while (fscanf(file, "%d", &pid) == 1) {
        if (find_kin(zygote, 0, pid) || !has_variable(pid, variable))
            continue;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        found = true;
    }
    fclose(file);
    return found;
}

static void end_orphans(struct zygote *zygote, pid_t child)
{
    char variable[48];

    snprintf(variable, sizeof variable, CEL_POOL_VARIABLE "=%d", (int)child);
    for (int round = 0; round < ORPHAN_ROUNDS && end_marked(zygote, variable); round++)
        continue;
}

/* Reports and forgets a child that is dead but not reaped. */
static void bury(struct zygote *zygote, pid_t pid)
{
    struct kin *kin = find_kin(zygote, 0, pid);
    int status = 0;

    if (kin)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!kin)
        return;
    report(zygote, CEL_ZYGOTE_EXITED, kin->number, pid, status);
    *kin = zygote->children[--zygote->len];
    end_orphans(zygote, pid);
}

static void reap(struct zygote *zygote)
{
    for (;;) {
        siginfo_t info = {0};

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        bury(zygote, info.si_pid);
    }
}

_Noreturn static void end_all(struct zygote *zygote)
{
    for (size_t i = 0; i < zygote->len; i++)
        kill(-zygote->children[i].pid, SIGKILL);
    while (zygote->len > 0) {
        siginfo_t info = {0};

        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        bury(zygote, info.si_pid);
    }
    _exit(0);
}

_Noreturn static void
become_child(struct zygote *zygote, int number, const int fds[2], pid_t parent)
{
    char name[16];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    setpgid(0, 0);
    is_child = true;
    close(zygote->fd);
    close(zygote->signals);
    snprintf(name, sizeof name, "celeriac:w%d", number);
    prctl(PR_SET_NAME, name);
    reset_signals();
    ignore_signal(SIGINT);
    ignore_signal(SIGPIPE); /* a task that writes to a closed socket gets EPIPE, not death */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    cel__free(zygote->children);
    cel__child_main(&zygote->host, fds[0], fds[1], number);
}

static bool make_room(struct zygote *zygote)
{
    size_t cap = zygote->cap ? 2 * zygote->cap : 16;
    struct kin *children;

    if (zygote->len < zygote->cap)
        return true;
    children = cel__realloc(zygote->children, cap * sizeof *children);
    if (!children)
        return false;
    zygote->children = children;
    zygote->cap = cap;
    return true;
}

static void fork_child(struct zygote *zygote, int number, const int fds[2])
{
    pid_t self = getpid();
    pid_t pid;

    if (!make_room(zygote)) {
        report(zygote, CEL_ZYGOTE_FAILED, number, 0, ENOMEM);
        return;
    }
    pid = fork();
    if (pid == 0)
        become_child(zygote, number, fds, self);
    if (pid < 0) {
        report(zygote, CEL_ZYGOTE_FAILED, number, 0, errno);
        return;
    }
    setpgid(pid, pid); /* as the child does: whoever comes first */
    zygote->children[zygote->len++] = (struct kin){pid, number};
    report(zygote, CEL_ZYGOTE_FORKED, number, pid, 0);
}

static void kill_child(struct zygote *zygote, int number, int signum)
{
    struct kin *kin = find_kin(zygote, number, 0);

    if (kin) /* not reaped yet, so the number is still its own */
        kill(signum == SIGKILL ? -kin->pid : kin->pid, signum);
}

/* Receives a packet with up to two descriptors (-1: none). Returns recvmsg()'s result. */
static ssize_t receive(int fd, cel__zygote_packet *packet, int fds[2])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec part = {packet, sizeof *packet};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    fds[0] = fds[1] = -1;
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len >= CMSG_LEN(2 * sizeof(int)))
        memcpy(fds, CMSG_DATA(head), 2 * sizeof(int));
    return got;
}

static void obey(struct zygote *zygote)
{
    cel__zygote_packet packet = {0};
    int fds[2];
    ssize_t got = receive(zygote->fd, &packet, fds);

    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        end_all(zygote);
    if (got < (ssize_t)sizeof packet)
        return;
    if (packet.kind == CEL_ZYGOTE_FORK)
        fork_child(zygote, packet.number, fds);
    else if (packet.kind == CEL_ZYGOTE_KILL)
        kill_child(zygote, packet.number, packet.value);
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
}

static void look_at_signals(struct zygote *zygote)
{
    struct signalfd_siginfo info[16];

    while (read(zygote->signals, info, sizeof info) > 0)
        ;
    if (getppid() != zygote->worker)
        end_all(zygote);
    reap(zygote);
}

_Noreturn static void zygote_main(struct zygote *zygote)
{
    struct pollfd fds[2];
    sigset_t mask;

    setpgid(0, 0); /* a terminal's ^C and ^\ are the worker's alone */
    prctl(PR_SET_NAME, "celeriac:zygote");
    reset_signals();
    ignore_signal(SIGINT);
    ignore_signal(SIGQUIT);
    ignore_signal(SIGTERM); /* as when a whole cgroup is told to stop: the worker decides */
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    zygote->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans come here: see end_orphans() */
    if (zygote->signals < 0 || getppid() != zygote->worker)
        _exit(1);
    open_null_as_stdin();
    setvbuf(stdout, NULL, _IOLBF,
            0); /* what a task prints is seen although the child never exits */

    fds[0] = (struct pollfd){.fd = zygote->fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = zygote->signals, .events = POLLIN};
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            look_at_signals(zygote);
        if (fds[0].revents)
            obey(zygote);
    }
}

/* ---- the worker's side ---- */

cel_code cel__zygote_start(cel_zygote **out, const cel_pool_host *host, cel_error *err)
{
    struct zygote inside = {.host = *host, .worker = getpid()};
    cel_zygote *zygote = cel__calloc(1, sizeof *zygote);
    sigset_t all, old;
    int pair[2];

    if (!zygote)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a zygote");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        cel_error_set(err, CEL_EIO, "cannot make a socket pair: %s", strerror(errno));
        cel__free(zygote);
        return CEL_EIO;
    }
    fflush(NULL); /* or each child would write what is buffered once more */
    zygote->fd = pair[0];
    sigfillset(&all); /* until the zygote has its own dispositions */
    sigprocmask(SIG_SETMASK, &all, &old);
    zygote->pid = fork();
    if (zygote->pid == 0) {
        close(pair[0]);
        cel__free(zygote);
        inside.fd = pair[1];
        zygote_main(&inside);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(pair[1]);
    if (zygote->pid < 0) {
        cel_error_set(err, CEL_EIO, "cannot fork: %s", strerror(errno));
        close(pair[0]);
        cel__free(zygote);
        return CEL_EIO;
    }
    fcntl(zygote->fd, F_SETFL, O_NONBLOCK);
    *out = zygote;
    return CEL_OK;
}

void cel__zygote_stop(cel_zygote *zygote)
{
    if (!zygote)
        return;
    close(zygote->fd);
    while (waitpid(zygote->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    cel__free(zygote);
}
