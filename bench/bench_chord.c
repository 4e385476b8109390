/* bench_chord.c - chords of growing size: the time per part must not grow. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static void must(cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        bench_fail("celeriac: %s", err->message);
}

/* Returns milliseconds per part, from apply to the body's result. */
static double one(cel_app *app, int parts)
{
    cel_signature **header = calloc((size_t)parts, sizeof *header);
    cel_signature *chord;
    cel_result *result;
    json_t *value;
    cel_error err;
    double start;

    for (int i = 0; i < parts; i++)
        header[i] = cel_sig("bench.echo", "[i]", i);
    chord = cel_chord(cel_group((size_t)parts, header), cel_sig("bench.count", NULL));
    start = bench_now_s();
    must(cel_apply(app, &result, chord, NULL, &err), &err);
    must(cel_result_get(result, &value, 120000, &err), &err);
    start = bench_now_s() - start;
    if (json_integer_value(value) != parts)
        bench_fail("the body was given %lld results, not %d",
                   (long long)json_integer_value(value), parts);
    json_decref(value);
    cel_result_free(result);
    cel_signature_free(chord);
    free(header);
    return start * 1000 / parts;
}

int main(void)
{
    static const int sizes[] = {100, 1000, 5000, 50000};
    double first = 0;
    char url[192];
    cel_app *app;
    cel_error err;
    pid_t worker;

    snprintf(url, sizeof url, "sqlite:///%s/chord.db?synchronous=normal", bench_folder());
    must(cel_app_new(&app,
                     CEL_APP_OPTIONS(.broker = url, .backend = url, .ignore_environment = true),
                     &err),
         &err);
    worker = bench_worker_start(url, "2");
    one(app, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double ms[BENCH_ROUNDS];
        double median;

        for (int round = 0; round < BENCH_ROUNDS; round++)
            ms[round] = one(app, sizes[i]);
        median = bench_median(ms, BENCH_ROUNDS);
        if (i == 0)
            first = median;
        printf("chord of %5d parts: %.4f ms a part, ratio to 100 parts %.2f (median of %d)\n",
               sizes[i], median, median / first, BENCH_ROUNDS);
    }
    bench_worker_stop(worker);
    cel_app_free(app);
    return 0;
}
