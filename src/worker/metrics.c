/* metrics.c - see metrics.h. */
#include "worker/metrics.h"

#include <uthash.h>

#include "core/mem.h"

/* Those of celery-exporter. */
static const double buckets[] = {.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800};
#define BUCKETS (sizeof buckets / sizeof *buckets)

enum counter {
    RECEIVED,
    SUCCEEDED,
    FAILED,
    RETRIED,
    REVOKED,
    REJECTED,
    COUNTERS
};

static const struct {
    const char *state; /* of an outcome */
    const char *name, *help;
} counters[COUNTERS] = {
    [RECEIVED] = {NULL, "received", "Tasks that this worker has received."},
    [SUCCEEDED] = {"SUCCESS", "succeeded", "Tasks that have succeeded."},
    [FAILED] = {"FAILURE", "failed", "Tasks that have failed."},
    [RETRIED] = {"RETRY", "retried", "Tasks that have asked to be tried again."},
    [REVOKED] = {"REVOKED", "revoked", "Tasks that were revoked or had expired."},
    [REJECTED] = {"REJECTED", "rejected", "Tasks that have rejected their message."},
};

struct series {
    UT_hash_handle hh;
    char *key; /* owned: task, NUL, queue */
    size_t task_len, queue_len;
    uint64_t counts[COUNTERS];
    uint64_t within[BUCKETS]; /* runtimes up to that many seconds, not cumulative */
    uint64_t runs;
    double seconds; /* of all runs */
};

struct cel_metrics {
    struct series *series;
    size_t count;
    cel__buf key; /* scratch */
};

cel_metrics *cel__metrics_new(void)
{
    return cel__calloc(1, sizeof(cel_metrics));
}

void cel__metrics_free(cel_metrics *metrics)
{
    struct series *series, *next;

    if (!metrics)
        return;
    HASH_ITER(hh, metrics->series, series, next)
    {
        HASH_DEL(metrics->series, series);
        cel__free(series->key);
        cel__free(series);
    }
    cel__buf_done(&metrics->key);
    cel__free(metrics);
}

static struct series *series_new(cel_metrics *metrics, cel_view task, cel_view queue)
{
    struct series *series = cel__calloc(1, sizeof *series);

    if (!series)
        return NULL;
    series->key = cel__memdup(metrics->key.ptr, metrics->key.len);
    if (!series->key) {
        cel__free(series);
        return NULL;
    }
    series->task_len = task.len;
    series->queue_len = queue.len;
    HASH_ADD_KEYPTR(hh, metrics->series, series->key, metrics->key.len, series);
    metrics->count++;
    return series;
}

static struct series *series_of(cel_metrics *metrics, cel_view task, cel_view queue)
{
    struct series *series = NULL;

    cel__buf_reset(&metrics->key);
    cel__buf_add_view(&metrics->key, task);
    cel__buf_add_byte(&metrics->key, '\0');
    cel__buf_add_view(&metrics->key, queue);
    if (metrics->key.failed)
        return NULL;
    HASH_FIND(hh, metrics->series, metrics->key.ptr, metrics->key.len, series);
    if (series)
        return series;
    if (metrics->count >= CEL_METRICS_SERIES_MAX && !cel__view_is(task, "other"))
        return series_of(metrics, CEL_VIEW("other"), CEL_VIEW("other"));
    return series_new(metrics, task, queue);
}

void cel__metrics_received(cel_metrics *metrics, cel_view task, cel_view queue)
{
    struct series *series = series_of(metrics, task, queue);

    if (series)
        series->counts[RECEIVED]++;
}

static void note_runtime(struct series *series, double seconds)
{
    size_t i = 0;

    while (i < BUCKETS && seconds > buckets[i])
        i++;
    if (i < BUCKETS)
        series->within[i]++;
    series->runs++;
    series->seconds += seconds;
}

void cel__metrics_ended(
    cel_metrics *metrics, cel_view task, cel_view queue, cel_view state, int64_t runtime_us)
{
    struct series *series = series_of(metrics, task, queue);

    if (!series)
        return;
    for (int i = SUCCEEDED; i < COUNTERS; i++)
        if (cel__view_is(state, counters[i].state))
            series->counts[i]++;
    if (cel__view_is(state, "SUCCESS"))
        note_runtime(series, (double)runtime_us / 1e6);
}

/* ---- the text ---- */

void cel__metrics_label(cel__buf *out, cel_view text)
{
    cel__buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\\' || c == '"') {
            cel__buf_add_byte(out, '\\');
            cel__buf_add_byte(out, c);
        } else if (c == '\n') {
            cel__buf_add_str(out, "\\n");
        } else {
            cel__buf_add_byte(out, (unsigned char)c < ' ' ? '?' : c);
        }
    }
    cel__buf_add_byte(out, '"');
}

static void add_labels(cel__buf *out, const struct series *series, cel_view hostname)
{
    cel__buf_add_str(out, "{name=");
    cel__metrics_label(out, (cel_view){series->key, series->task_len});
    cel__buf_add_str(out, ",hostname=");
    cel__metrics_label(out, hostname);
    cel__buf_add_str(out, ",queue_name=");
    cel__metrics_label(out, (cel_view){series->key + series->task_len + 1, series->queue_len});
}

static void write_histogram(cel__buf *out, const struct series *series, cel_view hostname)
{
    static const char name[] = "celery_task_runtime_seconds";
    uint64_t sum = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        sum += series->within[i];
        cel__buf_addf(out, "%s_bucket", name);
        add_labels(out, series, hostname);
        cel__buf_addf(out, ",le=\"%g\"} %llu\n", buckets[i], (unsigned long long)sum);
    }
    cel__buf_addf(out, "%s_bucket", name);
    add_labels(out, series, hostname);
    cel__buf_addf(out, ",le=\"+Inf\"} %llu\n%s_count", (unsigned long long)series->runs, name);
    add_labels(out, series, hostname);
    cel__buf_addf(out, "} %llu\n%s_sum", (unsigned long long)series->runs, name);
    add_labels(out, series, hostname);
    cel__buf_addf(out, "} %.6f\n", series->seconds);
}

void cel__metrics_write(const cel_metrics *metrics, cel__buf *out, cel_view hostname)
{
    for (int i = 0; i < COUNTERS; i++) {
        cel__buf_addf(out,
                      "# HELP celery_task_%s_total %s\n# TYPE celery_task_%s_total counter\n",
                      counters[i].name, counters[i].help, counters[i].name);
        for (const struct series *series = metrics->series; series; series = series->hh.next) {
            if (series->counts[i] == 0)
                continue;
            cel__buf_addf(out, "celery_task_%s_total", counters[i].name);
            add_labels(out, series, hostname);
            cel__buf_addf(out, "} %llu\n", (unsigned long long)series->counts[i]);
        }
    }
    cel__buf_add_str(out, "# HELP celery_task_runtime_seconds How long tasks ran that have "
                          "succeeded.\n# TYPE celery_task_runtime_seconds histogram\n");
    for (const struct series *series = metrics->series; series; series = series->hh.next)
        if (series->runs > 0)
            write_histogram(out, series, hostname);
}
