/* metrics_test.c - what is counted and how Prometheus gets to read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/metrics.h"

static void assert_has(const cel_metrics *metrics, const char *line, bool wanted)
{
    cel__buf text = {0};

    cel__metrics_write(metrics, &text, CEL_VIEW("box"));
    assert_non_null(cel__buf_cstr(&text));
    if ((strstr(text.ptr, line) != NULL) != wanted)
        fail_msg("%s: %s\nin\n%s", wanted ? "missing" : "unwanted", line, text.ptr);
    cel__buf_done(&text);
}

static void outcomes_are_counted_by_task_and_queue(void **state)
{
    cel_metrics *metrics = cel__metrics_new();
    const cel_view add = CEL_VIEW("tasks.add"), queue = CEL_VIEW("celery");

    (void)state;
    for (int i = 0; i < 3; i++)
        cel__metrics_received(metrics, add, queue);
    cel__metrics_received(metrics, add, CEL_VIEW("other"));
    cel__metrics_ended(metrics, add, queue, CEL_VIEW("SUCCESS"), 200000);
    cel__metrics_ended(metrics, add, queue, CEL_VIEW("FAILURE"), 1);
    cel__metrics_ended(metrics, add, queue, CEL_VIEW("RETRY"), 1);
    cel__metrics_ended(metrics, add, queue, CEL_VIEW("IGNORED"), 1);
#define LABELS "{name=\"tasks.add\",hostname=\"box\",queue_name=\"celery\""
    assert_has(metrics, "celery_task_received_total" LABELS "} 3\n", true);
    assert_has(metrics, "queue_name=\"other\"} 1\n", true);
    assert_has(metrics, "celery_task_succeeded_total" LABELS "} 1\n", true);
    assert_has(metrics, "celery_task_failed_total" LABELS "} 1\n", true);
    assert_has(metrics, "celery_task_retried_total" LABELS "} 1\n", true);
    assert_has(metrics, "celery_task_revoked_total{", false);
    assert_has(metrics, "celery_task_runtime_seconds_bucket" LABELS ",le=\"0.1\"} 0\n", true);
    assert_has(metrics, "celery_task_runtime_seconds_bucket" LABELS ",le=\"0.25\"} 1\n", true);
    assert_has(metrics, "celery_task_runtime_seconds_bucket" LABELS ",le=\"1800\"} 1\n", true);
    assert_has(metrics, "celery_task_runtime_seconds_bucket" LABELS ",le=\"+Inf\"} 1\n", true);
    assert_has(metrics, "celery_task_runtime_seconds_sum" LABELS "} 0.200000\n", true);
    cel__metrics_free(metrics);
}

static void hostile_names_are_escaped(void **state)
{
    cel_metrics *metrics = cel__metrics_new();

    (void)state;
    cel__metrics_received(metrics, CEL_VIEW("a\"b\\c\nd\x01"), CEL_VIEW("q"));
    assert_has(metrics, "{name=\"a\\\"b\\\\c\\nd?\",", true);
    cel__metrics_free(metrics);
}

static void names_beyond_the_limit_are_one_series(void **state)
{
    cel_metrics *metrics = cel__metrics_new();
    char name[32];

    (void)state;
    for (int i = 0; i < CEL_METRICS_SERIES_MAX + 100; i++) {
        snprintf(name, sizeof name, "task%d", i);
        cel__metrics_received(metrics, cel__view(name), CEL_VIEW("q"));
    }
    assert_has(metrics, "{name=\"other\",hostname=\"box\",queue_name=\"other\"} 100\n", true);
    assert_has(metrics, "{name=\"task1099\"", false);
    cel__metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_counted_by_task_and_queue),
        cmocka_unit_test(hostile_names_are_escaped),
        cmocka_unit_test(names_beyond_the_limit_are_one_series),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
