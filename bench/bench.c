/* bench.c - see bench.h. CELERIAC and BENCH_MODULE name the command and the task module. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];

void bench_fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

double bench_now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_percentile(double *values, size_t count, double at)
{
    size_t i = (size_t)(at * (double)count);

    qsort(values, count, sizeof *values, compare);
    return values[i < count ? i : count - 1];
}

double bench_median(double *values, size_t count)
{
    return bench_percentile(values, count, 0.5);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *bench_folder(void)
{
    if (!*folder) {
        snprintf(folder, sizeof folder, "/tmp/celeriac-bench-XXXXXX");
        if (!mkdtemp(folder))
            bench_fail("no temporary folder: %s", strerror(errno));
        atexit(remove_folder);
    }
    return folder;
}

static void log_path(char out[128])
{
    snprintf(out, 128, "%s/worker.log", bench_folder());
}

static void run_worker(const char *url, const char *concurrency, const char *log)
{
    const char *command = getenv("CELERIAC");
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd >= 0)
        dup2(fd, STDERR_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execl(command, command, "-q", "-A", getenv("BENCH_MODULE"), "-b", url, "--result-backend",
          url, "worker", "-c", concurrency, (char *)NULL);
    _exit(127);
}

pid_t bench_worker_start(const char *url, const char *concurrency)
{
    char log[128];
    pid_t pid;

    log_path(log);

    if (!getenv("CELERIAC") || !getenv("BENCH_MODULE"))
        bench_fail("CELERIAC and BENCH_MODULE must name the command and the module");
    pid = fork();
    if (pid < 0)
        bench_fail("no process: %s", strerror(errno));
    if (pid == 0)
        run_worker(url, concurrency, log);
    return pid;
}

static void show_log(void)
{
    char path[128], line[1024];
    FILE *log;

    log_path(path);
    log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log))
        fputs(line, stderr);
    if (log)
        fclose(log);
}

void bench_worker_stop(pid_t pid)
{
    int status;

    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) == pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        show_log();
        bench_fail("the worker ended with status %d", status);
    }
}
