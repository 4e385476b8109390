/* banner.h - what a worker shows when it starts: Celery's banner. */
#ifndef CEL_CLI_BANNER_H
#define CEL_CLI_BANNER_H

#include "app/app.h"
#include "core/view.h"

typedef struct cel_banner {
    cel_app *app;
    const char *node;
    const char *pool;
    size_t concurrency;
    const cel_view *queues;
    size_t queue_count;
    bool with_tasks;    /* at level INFO and below */
    bool with_builtins; /* celery.* too: at level DEBUG */
} cel_banner;

/* Appends the banner. */
void cel__banner_print(cel__buf *buf, const cel_banner *banner);

#endif
