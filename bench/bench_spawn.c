/* bench_spawn.c - the bare loop beside which programs as tasks are measured, and the sender of these; see bench_programs.py.
 *
 *     bench_spawn COUNT PARALLEL        runs /bin/true COUNT times, PARALLEL at once; prints how many per second
 *     bench_spawn send URL COUNT        sends COUNT tasks bench.true */
#include <celeriac.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void start(void)
{
    char *const argv[] = {"/bin/true", NULL};
    pid_t pid;

    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0)
        exit(1);
}

static int run(int count, int parallel)
{
    double begin = now();
    int started = 0;

    for (; started < parallel && started < count; started++)
        start();
    for (int ended = 0; ended < count; ended++) {
        if (wait(NULL) < 0)
            return 1;
        if (started < count) {
            start();
            started++;
        }
    }
    printf("%.1f\n", count / (now() - begin));
    return 0;
}

static int send_all(const char *url, int count)
{
    cel_signature *signature = cel_sig("bench.true", NULL);
    const cel_signature **all = calloc((size_t)count, sizeof *all);
    cel_app *app = NULL;
    cel_error err = {0};
    int status = 1;

    for (int i = 0; all && i < count; i++)
        all[i] = signature;
    if (all &&
        cel_app_new(&app, CEL_APP_OPTIONS(.broker = url, .ignore_environment = true), &err) ==
            CEL_OK &&
        cel_apply_many(app, NULL, all, (size_t)count, NULL, &err) == CEL_OK)
        status = 0;
    else
        fprintf(stderr, "%s\n", err.message);
    cel_app_free(app);
    cel_signature_free(signature);
    free(all);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "send") == 0)
        return send_all(argv[2], atoi(argv[3]));
    return argc == 3 ? run(atoi(argv[1]), atoi(argv[2])) : 2;
}
