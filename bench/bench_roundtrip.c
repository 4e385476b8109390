/* bench_roundtrip.c - the time from send to get on an idle worker, one task after the other.
 *
 *     bench_roundtrip [tasks] [normal|full|off]
 *
 * bench_roundtrip.py runs it in turn with its peer. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static void must(cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        bench_fail("celeriac: %s", err->message);
}

static double one(cel_app *app)
{
    cel_result *result;
    cel_error err;
    double start = bench_now_s();

    must(cel_send(app, &result, "bench.noop", NULL, NULL, NULL, &err), &err);
    must(cel_result_get(result, NULL, 30000, &err), &err);
    start = bench_now_s() - start;
    cel_result_free(result);
    return start * 1000;
}

static void measure(const char *level, int count)
{
    double *ms = calloc((size_t)count, sizeof *ms);
    char url[192];
    cel_app *app;
    cel_error err;
    pid_t worker;
    double p99;

    snprintf(url, sizeof url, "sqlite:///%s/%s.db?synchronous=%s", bench_folder(), level,
             level);
    must(cel_app_new(&app,
                     CEL_APP_OPTIONS(.broker = url, .backend = url, .ignore_environment = true),
                     &err),
         &err);
    worker = bench_worker_start(url, "2");
    for (int i = 0; i < 200; i++)
        one(app);
    for (int i = 0; i < count; i++)
        ms[i] = one(app);
    p99 = bench_percentile(ms, (size_t)count, 0.99);
    printf("round trip send -> get, idle worker, synchronous=%s: median %.3f ms, p99 %.3f ms, "
           "max %.3f ms (%d tasks)\n",
           level, ms[count / 2], p99, ms[count - 1], count);
    bench_worker_stop(worker);
    cel_app_free(app);
    free(ms);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 3000;

    if (argc > 2) {
        measure(argv[2], count);
        return 0;
    }
    measure("normal", count);
    measure("full", count);
    return 0;
}
