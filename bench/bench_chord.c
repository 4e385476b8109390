/* bench_chord.c - chords of growing size: the time per part must not grow.
 *
 * Three rounds, in each all sizes in turn; a small chord is run several times in a round, for one
 * alone lasts a few milliseconds. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define FEWEST      100  /* parts of the smallest chord */
#define ROUND_PARTS 5000 /* at least so many parts per size and round */
#define SIZES       (sizeof sizes / sizeof *sizes)

static const int sizes[] = {FEWEST, 1000, 5000, 50000};

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

/* Returns milliseconds per part of a round: the median of as many chords as make 5,000 parts. */
static double one_round(cel_app *app, int parts)
{
    double ms[ROUND_PARTS / FEWEST];
    int count = parts < ROUND_PARTS ? ROUND_PARTS / parts : 1;

    for (int i = 0; i < count; i++)
        ms[i] = one(app, parts);
    return bench_median(ms, (size_t)count);
}

int main(void)
{
    double ms[SIZES][BENCH_ROUNDS];
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
    for (int round = 0; round < BENCH_ROUNDS; round++)
        for (size_t i = 0; i < SIZES; i++)
            ms[i][round] = one_round(app, sizes[i]);
    for (size_t i = 0; i < SIZES; i++) {
        double median = bench_median(ms[i], BENCH_ROUNDS);

        if (i == 0)
            first = median;
        printf("chord of %5d parts: %.4f ms a part, ratio to %d parts %.2f (median of %d)\n",
               sizes[i], median, sizes[0], median / first, BENCH_ROUNDS);
    }
    bench_worker_stop(worker);
    cel_app_free(app);
    return 0;
}
