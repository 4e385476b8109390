/* client_options.h - the command line of the client `hotwords`. */
#ifndef HW_CLIENT_OPTIONS_H
#define HW_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "count.h"

#define HW_DATES_MAX  64
#define HW_RANGES_MAX 64

/* All texts are views of argv or literals. */
typedef struct hw_options {
    const char *data;    /* NULL: what the worker's HOTWORDS_DATA says */
    const char *broker;  /* NULL: as configured */
    const char *backend; /* NULL: as configured */
    const char *config;  /* NULL: as configured */
    const char *queue;
    const char *report; /* NULL: no page */
    const char *rpc;    /* the dispatcher's queue; NULL: the client sends the job itself */
    char dates[HW_DATES_MAX][HW_DATE_LEN + 1];
    size_t date_count;
    struct {
        int64_t lo, hi;
    } ranges[HW_RANGES_MAX];
    size_t range_count;
    int64_t top;        /* at least 1 */
    int64_t timeout_ms; /* -1: for ever */
    bool json, help, version;
} hw_options;

/* Reads argv over the defaults: two days, two level ranges, the queue celery_test. Days are different
 * and ranges do not overlap afterwards. False: `message` (cut at `size`) says what is wrong. */
bool hw_options_read(hw_options *options, int argc, char **argv, char *message, size_t size);

/* The text of --help; a view. */
const char *hw_options_help(void);

#endif
