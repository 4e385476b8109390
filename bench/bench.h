/* bench.h - what the benchmarks share: clocks, medians, a worker as a child process. */
#ifndef CEL_BENCH_BENCH_H
#define CEL_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BENCH_ROUNDS 3 /* each pair is measured this often, in turn */

double bench_now_s(void); /* monotonic */

/* Sorts `values` and returns the median. */
double bench_median(double *values, size_t count);

/* Returns the value at the fraction `at` (0 to 1) of the values, which it sorts. */
double bench_percentile(double *values, size_t count, double at);

/* A fresh temporary folder, removed at exit with all that is in it. Returns a view. */
const char *bench_folder(void);

/* Starts `celeriac -A noop.so -b url --result-backend url worker -c 2`. Returns its process id; it
 * is ready when it has answered a first task. What it prints is shown only if it fails. */
pid_t bench_worker_start(const char *url, const char *concurrency);

/* Stops it (TERM) and waits for its end. */
void bench_worker_stop(pid_t pid);

/* Prints the message and ends the program with 1. */
void bench_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
