/* process.c - see process.h. The new process shares our memory until it has become the program (vfork): that is what makes
 * it cheap in a large worker, and it tells us by a variable why it could not. */
#include "app/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "pool/pool.h"

#define LOWEST_FD    10   /* ours are out of the way of 0 to 3 */
#define ROUNDS_MAX   1000 /* of orphans that have children while they are killed */
#define CHILDREN_MAX 4096
#define DESCRIPTORS  4

/* ---- starting ---- */

struct launch {
    const cel_process_spec *spec;
    const int *fds; /* what become 0, 1, 2 and 3 */
    pid_t parent;
    bool own_group;
    sigset_t mask;        /* of signals, as it was */
    volatile int failure; /* errno of the new process */
};

/* Gives all signals their default action before any can be delivered. */
static void reset_signals(const sigset_t *mask)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    for (int signum = 1; signum <= SIGRTMAX; signum++)
        sigaction(signum, &action, NULL);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

_Noreturn static void become_program(struct launch *launch)
{
    sigset_t none;

    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch->parent)
        _exit(127);
    if (launch->own_group)
        setpgid(0, 0);
    for (int i = 0; i < DESCRIPTORS; i++)
        if (dup2(launch->fds[i], i) < 0)
            goto fail;
    syscall(SYS_close_range, DESCRIPTORS, ~0U,
            0); /* where it is unknown all are close-on-exec anyway */
    if (launch->spec->directory && chdir(launch->spec->directory) != 0)
        goto fail;
    reset_signals(&none);
    execvpe(launch->spec->argv[0], (char *const *)launch->spec->argv,
            (char *const *)launch->spec->environment);
fail:
    launch->failure = errno;
    _exit(127);
}

/* In a function of its own: nothing in it changes behind the vfork(). */
static pid_t __attribute__((noinline)) fork_program(struct launch *launch)
{
    pid_t pid = vfork();

    if (pid == 0)
        become_program(launch);
    return pid;
}

/* Returns a descriptor that is none of those the program gets; -1 on failure. Takes `fd`. */
static int lift(int fd)
{
    int lifted;

    if (fd < 0 || fd >= LOWEST_FD)
        return fd;
    lifted = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    close(fd);
    return lifted;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool open_pipe(int *ours, int *theirs)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *ours = lift(fds[0]);
    *theirs = lift(fds[1]);
    return *ours >= 0 && *theirs >= 0 && fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

/* A file that holds the input: nobody has to feed it. */
static int open_input(cel_view input)
{
    int fd = lift(memfd_create("celeriac-task", MFD_CLOEXEC));

    while (fd >= 0 && input.len > 0) {
        ssize_t written = write(fd, input.ptr, input.len);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            close_fd(&fd);
            break;
        }
        input = (cel_view){input.ptr + written, input.len - (size_t)written};
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* ---- descendants ---- */

/* Whether this process has any children; a cheap call. */
static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static size_t read_children(const char *thread, pid_t *pids, size_t count)
{
    char path[64];
    FILE *file;
    int pid;

    snprintf(path, sizeof path, "/proc/self/task/%.20s/children", thread);
    file = fopen(path, "re");
    if (!file)
        return count;
    while (count < CHILDREN_MAX && fscanf(file, "%d", &pid) == 1)
        pids[count++] = pid;
    fclose(file);
    return count;
}

/* All children of this process, in an array that the caller frees; NULL if there are none. */
static pid_t *list_children(size_t *count)
{
    pid_t *pids = cel__malloc(CHILDREN_MAX * sizeof *pids);
    DIR *folder = pids ? opendir("/proc/self/task") : NULL;
    const struct dirent *entry;

    *count = 0;
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            *count = read_children(entry->d_name, pids, *count);
    if (folder)
        closedir(folder);
    return pids;
}

static bool was_there(const cel_process *process, pid_t pid)
{
    for (size_t i = 0; i < process->before_count; i++)
        if (process->before[i] == pid)
            return true;
    return false;
}

/* Ends the children that were not there before the program. Returns how many there were. */
static size_t end_orphans(const cel_process *process)
{
    size_t count, ended = 0;
    pid_t *pids = list_children(&count);

    for (size_t i = 0; i < count; i++) {
        if (was_there(process, pids[i]))
            continue;
        kill(pids[i], SIGKILL);
        while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
        ended++;
    }
    cel__free(pids);
    return ended;
}

static void end_descendants(const cel_process *process)
{
    if (!process->guarded) {
        kill(-process->pid, SIGKILL);
        return;
    }
    for (int round = 0; round < ROUNDS_MAX && has_children(); round++)
        if (end_orphans(process) == 0)
            return;
}

/* ---- public ---- */

static bool open_all(cel_process *process, int fds[DESCRIPTORS], cel_view input)
{
    fds[0] = open_input(input);
    return fds[0] >= 0 && open_pipe(&process->out, &fds[1]) &&
           open_pipe(&process->error, &fds[2]) && open_pipe(&process->notes, &fds[3]);
}

static void close_all(cel_process *process)
{
    close_fd(&process->exited);
    close_fd(&process->out);
    close_fd(&process->error);
    close_fd(&process->notes);
    cel__free(process->before);
    process->before = NULL;
}

static void launch(cel_process *process, struct launch *launch)
{
    sigset_t all;

    sigfillset(&all); /* a handler of ours must not run in the new process */
    pthread_sigmask(SIG_SETMASK, &all, &launch->mask);
    process->pid = fork_program(launch);
    if (process->pid < 0)
        launch->failure = errno;
    else if (launch->failure)
        waitpid(process->pid, NULL, 0);
    pthread_sigmask(SIG_SETMASK, &launch->mask, NULL);
}

cel_code cel__process_start(cel_process *process, const cel_process_spec *spec, cel_error *err)
{
    int fds[DESCRIPTORS] = {-1, -1, -1, -1};
    struct launch start = {.spec = spec, .fds = fds, .parent = getpid()};

    *process = (cel_process){.pid = -1, .exited = -1, .out = -1, .error = -1, .notes = -1};
    process->guarded = cel__pool_guards_group();
    start.own_group = !process->guarded;
    if (process->guarded) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (has_children())
            process->before = list_children(&process->before_count);
    }
    if (open_all(process, fds, spec->input))
        launch(process, &start);
    else
        start.failure = errno;
    for (int i = 0; i < DESCRIPTORS; i++)
        close_fd(&fds[i]);
    if (!start.failure) {
        process->exited = pidfd_open(process->pid, 0);
        if (process->exited >= 0)
            return CEL_OK;
        start.failure = errno;
        cel__process_end(process);
    }
    close_all(process);
    return cel_error_set(err, start.failure == ENOENT ? CEL_ENOENT : CEL_EIO, "%s",
                         strerror(start.failure));
}

void cel__process_signal(const cel_process *process, int signum)
{
    kill(process->guarded ? process->pid : -process->pid, signum);
}

int cel__process_end(cel_process *process)
{
    siginfo_t info = {0};
    int status = 0;

    if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == 0) {
        kill(process->pid, SIGKILL);
        while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT) != 0 &&
               errno == EINTR)
            ;
    }
    if (!process->guarded)
        end_descendants(process); /* while the group's number cannot be anybody else's */
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (process->guarded)
        end_descendants(process);
    close_all(process);
    return status;
}
