/* bench.c - see bench.h. CELERIAC and BENCH_MODULE name the command and the task module. */
#include "bench.h"

#include <errno.h>
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

static void run_worker(const char *url, const char *concurrency)
{
    const char *command = getenv("CELERIAC");

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execl(command, command, "-q", "-A", getenv("BENCH_MODULE"), "-b", url, "--result-backend",
          url, "worker", "-c", concurrency, (char *)NULL);
    _exit(127);
}

pid_t bench_worker_start(const char *url, const char *concurrency)
{
    pid_t pid;

    if (!getenv("CELERIAC") || !getenv("BENCH_MODULE"))
        bench_fail("CELERIAC and BENCH_MODULE must name the command and the module");
    pid = fork();
    if (pid < 0)
        bench_fail("no process: %s", strerror(errno));
    if (pid == 0)
        run_worker(url, concurrency);
    return pid;
}

void bench_worker_stop(pid_t pid)
{
    int status;

    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) == pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        bench_fail("the worker ended with status %d", status);
}
