/* banner.c - see banner.h. The layout is that of celery/apps/worker.py, to the blanks at the ends of lines. */
#include "cli/banner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "celeriac/version.h"

static const char *const art[] = {
    "--- ***** ----- ",
    "-- ******* ---- ",
    "- *** --- * --- ",
    "- ** ---------- ",
};

static void print_platform(cel__buf *buf)
{
    struct utsname name;
    struct tm local;
    char stamp[32] = "";
    time_t now = time(NULL);

    if (localtime_r(&now, &local))
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    if (uname(&name) == 0)
        cel__buf_addf(buf, "%s%s-%s-%s %s\n", art[1], name.sysname, name.release, name.machine,
                      stamp);
}

static void print_setting(cel__buf *buf, const char *name, const char *value)
{
    cel__buf_addf(buf, "%s.> %-13s%s\n", art[3], name, value);
}

static void print_url(cel__buf *buf, const char *name, const char *url, const char *none)
{
    cel__buf masked = {0};

    if (url)
        cel__url_mask(&masked, url);
    else
        cel__buf_add_str(&masked, none);
    if (cel__buf_cstr(&masked))
        print_setting(buf, name, masked.ptr);
    cel__buf_done(&masked);
}

static int compare(const void *a, const void *b)
{
    const cel_view *x = a;
    const cel_view *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->ptr, y->ptr, len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void print_queues(cel__buf *buf, const cel_banner *banner)
{
    cel_view *sorted = malloc((banner->queue_count + 1) * sizeof *sorted);

    cel__buf_add_str(buf, " -------------- [queues]\n");
    if (!sorted)
        return;
    memcpy(sorted, banner->queues, banner->queue_count * sizeof *sorted);
    qsort(sorted, banner->queue_count, sizeof *sorted, compare);
    for (size_t i = 0; i < banner->queue_count; i++)
        cel__buf_addf(buf, "                .> %-16.*s exchange=%.*s(direct) key=%.*s\n",
                      CEL_VIEW_ARG(sorted[i]), CEL_VIEW_ARG(sorted[i]),
                      CEL_VIEW_ARG(sorted[i]));
    free(sorted);
}

struct tasks {
    cel__buf *buf;
    bool with_builtins;
};

static void print_task(void *user, cel_task_entry *entry)
{
    struct tasks *tasks = user;

    if (tasks->with_builtins || strncmp(entry->name, "celery.", 7) != 0)
        cel__buf_addf(tasks->buf, "  . %s\n", entry->name);
}

void cel__banner_print(cel__buf *buf, const cel_banner *banner)
{
    char text[96];

    cel__buf_addf(buf, " \n -------------- %s v%s (celeriac)\n%s\n", banner->node,
                  CEL_VERSION_STRING, art[0]);
    print_platform(buf);
    cel__buf_addf(buf, "%s\n%s[config]\n", art[2], art[3]);
    snprintf(text, sizeof text, "%.60s:%p", banner->app->name, (void *)banner->app);
    print_setting(buf, "app:", text);
    print_url(buf, "transport:", cel__app_broker_url(banner->app), "none");
    print_url(buf, "results:", cel__app_backend_url(banner->app), "disabled://");
    cel__buf_addf(buf, "%s.> %-13s%zu (%s)\n", art[2], "concurrency:", banner->concurrency,
                  banner->pool);
    cel__buf_addf(buf, "%s.> %-13s%s\n", art[1],
                  "task events:",
                  cel__config_bool(banner->app->config, "worker_send_task_events")
                      ? "ON"
                      : "OFF (enable -E to monitor tasks in this worker)");
    cel__buf_addf(buf, "%s\n", art[0]);
    print_queues(buf, banner);
    cel__buf_add_str(buf, "                \n");
    if (banner->with_tasks) {
        struct tasks tasks = {buf, banner->with_builtins};

        cel__buf_add_str(buf, "\n[tasks]\n");
        cel__registry_each(banner->app->registry, print_task, &tasks);
    }
    cel__buf_add_byte(buf, '\n');
}
