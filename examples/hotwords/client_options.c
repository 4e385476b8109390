/* client_options.c - reading the command line with getopt_long(). */
#include "client_options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP_MAX       1000000
#define TIMEOUT_MAX_S 10000000

enum {
    OPT_DATA = 256,
    OPT_DATES,
    OPT_LEVELS,
    OPT_TOP,
    OPT_BACKEND,
    OPT_TIMEOUT,
    OPT_JSON,
    OPT_REPORT,
    OPT_CONFIG,
    OPT_RPC,
    OPT_VERSION,
};

static const struct option options_table[] = {
    {"data", required_argument, NULL, OPT_DATA},
    {"dates", required_argument, NULL, OPT_DATES},
    {"levels", required_argument, NULL, OPT_LEVELS},
    {"top", required_argument, NULL, OPT_TOP},
    {"broker", required_argument, NULL, 'b'},
    {"result-backend", required_argument, NULL, OPT_BACKEND},
    {"queue", required_argument, NULL, 'Q'},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"json", no_argument, NULL, OPT_JSON},
    {"report", required_argument, NULL, OPT_REPORT},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"rpc", optional_argument, NULL, OPT_RPC},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

const char *hw_options_help(void)
{
    return "Usage: hotwords [OPTIONS]\n\n"
           "  Ranks the hot words of players' chat: one task for each day and level range, and "
           "a chord's\n"
           "  body that adds up and ranks. A worker must run them:\n\n"
           "      celeriac -A hotwords.so worker -n celery_test -c 4 -l info -Q celery_test\n\n"
           "Options:\n"
           "      --data DIR|URL         folder of the chat records, DATE.jsonl each, as the "
           "worker sees it, or a\n"
           "                             table, mysql://user:password@host:port/database/table;\n"
           "                             default: what the worker's HOTWORDS_DATA says, "
           "else the\n"
           "                             example's own small set\n"
           "      --dates D,D,...        days; default 20200406,20200407\n"
           "      --levels LO-HI,...     level ranges, both ends included; default "
           "1-450,451-900\n"
           "      --top N                words in the ranking; default 20 (with --json 100)\n"
           "  -b, --broker URL           broker; default: as configured, else "
           "sqlite:///celeriac.db\n"
           "      --result-backend URL   result store; default likewise\n"
           "      --config FILE          configuration: a celeryconfig.py of assignments\n"
           "  -Q, --queue NAME           queue; default celery_test\n"
           "      --rpc[=QUEUE]          ask a dispatcher (celeriac dispatch) on QUEUE, "
           "default "
           "queue_rpc, to\n"
           "                             send the job\n"
           "      --timeout SECONDS      how long to wait for the result; default 300, 0: for "
           "ever\n"
           "      --json                 print a document with the partitions and the merged "
           "ranking\n"
           "      --report FILE.html     also write a page with the ranking as a picture "
           "(HTML)\n"
           "      --version              print the version\n"
           "  -h, --help             print this\n\n"
           "Exit status: 0 done; 1 failed; 2 wrong usage; 69 no result in time, or no "
           "connection.\n";
}

__attribute__((format(printf, 3, 4))) static bool
fail(char *message, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return false;
}

static bool read_number(int64_t *out, const char *text, const char **end)
{
    char *stop;

    errno = 0;
    *out = strtoll(text, &stop, 10);
    *end = stop;
    return errno == 0 && stop != text && text[0] >= '0' && text[0] <= '9';
}

static bool read_dates(hw_options *options, const char *list, char *message, size_t size)
{
    options->date_count = 0;
    for (;;) {
        size_t len = strcspn(list, ",");
        char *date = options->dates[options->date_count];

        if (options->date_count == HW_DATES_MAX)
            return fail(message, size, "--dates: at most %d days", HW_DATES_MAX);
        if (len != HW_DATE_LEN)
            return fail(message, size, "--dates: '%.*s' is not a date of eight digits",
                        (int)len, list);
        memcpy(date, list, HW_DATE_LEN);
        date[HW_DATE_LEN] = '\0';
        if (!hw_date_is_valid(date))
            return fail(message, size, "--dates: '%s' is not a date of eight digits", date);
        for (size_t i = 0; i < options->date_count; i++)
            if (strcmp(options->dates[i], date) == 0)
                return fail(message, size, "--dates: %s comes twice", date);
        options->date_count++;
        if (!list[len])
            return true;
        list += len + 1;
    }
}

static bool read_levels(hw_options *options, const char *list, char *message, size_t size)
{
    options->range_count = 0;
    for (;;) {
        size_t len = strcspn(list, ",");
        const char *end;
        int64_t lo, hi;

        if (options->range_count == HW_RANGES_MAX)
            return fail(message, size, "--levels: at most %d ranges", HW_RANGES_MAX);
        if (!read_number(&lo, list, &end) || *end != '-' || !read_number(&hi, end + 1, &end) ||
            end != list + len || !hw_levels_are_valid(lo, hi))
            return fail(message, size, "--levels: '%.*s' is not a range such as 1-450",
                        (int)len, list);
        for (size_t i = 0; i < options->range_count; i++)
            if (lo <= options->ranges[i].hi && options->ranges[i].lo <= hi)
                return fail(message, size, "--levels: '%.*s' overlaps another range", (int)len,
                            list);
        options->ranges[options->range_count].lo = lo;
        options->ranges[options->range_count++].hi = hi;
        if (!list[len])
            return true;
        list += len + 1;
    }
}

static bool read_top(hw_options *options, const char *text, char *message, size_t size)
{
    const char *end;

    if (read_number(&options->top, text, &end) && *end == '\0' && options->top >= 1 &&
        options->top <= TOP_MAX)
        return true;
    return fail(message, size, "--top: '%s' is not a number from 1 to %d", text, TOP_MAX);
}

/* Seconds, fractions allowed; 0 becomes -1, for ever. */
static bool read_timeout(hw_options *options, const char *text, char *message, size_t size)
{
    char *end;
    const double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= 0 && seconds <= TIMEOUT_MAX_S))
        return fail(message, size, "--timeout: '%s' is not a number of seconds from 0 to %d",
                    text, TIMEOUT_MAX_S);
    options->timeout_ms = seconds > 0 ? (int64_t)(seconds * 1000 + 0.5) : -1;
    return true;
}

static bool read_one(hw_options *options, int option, char *message, size_t size)
{
    switch (option) {
    case OPT_DATES:
        return read_dates(options, optarg, message, size);
    case OPT_LEVELS:
        return read_levels(options, optarg, message, size);
    case OPT_TOP:
        return read_top(options, optarg, message, size);
    case OPT_TIMEOUT:
        return read_timeout(options, optarg, message, size);
    case OPT_DATA:
        options->data = optarg;
        return true;
    case 'b':
        options->broker = optarg;
        return true;
    case OPT_BACKEND:
        options->backend = optarg;
        return true;
    case 'Q':
        options->queue = optarg;
        return true;
    case OPT_REPORT:
        options->report = optarg;
        return true;
    case OPT_CONFIG:
        options->config = optarg;
        return true;
    case OPT_RPC:
        options->rpc = optarg && *optarg ? optarg : "queue_rpc";
        return true;
    case OPT_JSON:
        options->json = true;
        return true;
    case OPT_VERSION:
        options->version = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    default:
        return fail(message, size, "no such option");
    }
}

bool hw_options_read(hw_options *options, int argc, char **argv, char *message, size_t size)
{
    int option;

    *options = (hw_options){.queue = "celery_test", .timeout_ms = 300000};
    read_dates(options, "20200406,20200407", message, size);
    read_levels(options, "1-450,451-900", message, size);
    opterr = 0;
    optind = 0; /* glibc: start anew, for tests that read several command lines */
    while ((option = getopt_long(argc, argv, ":b:Q:h", options_table, NULL)) != -1) {
        if (option == '?' || option == ':')
            return fail(message, size,
                        option == ':' ? "option '%s' needs a value" : "no such option: '%s'",
                        argv[optind - 1]);
        if (!read_one(options, option, message, size))
            return false;
    }
    if (optind < argc)
        return fail(message, size, "unexpected argument: '%s'", argv[optind]);
    if (options->top == 0)
        options->top = options->json ? 100 : 20;
    return true;
}
