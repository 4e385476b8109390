/* tasks.c - the task module: make_result_str counts a partition's words, make_model adds up and ranks.
 *
 *   make_result_str(date, level_lo, level_hi, data=None)   the words of one day and level range
 *   make_model(results, top=100)                           the body of the chord:
 *                                                          {"partitions": […], "merged": {…}}
 *
 * `data` is the folder of the records, or the URL of a table (source.h); without it the environment
 * variable HOTWORDS_DATA of the worker says where they are, and without that the example's own small set
 * is taken. What the two return is described in result.h. FileNotFoundError: there is no file of that day.
 * LookupError: the table, one of its columns, or a row of that day is not there. PermissionError: the
 * database refuses the user. ConnectionError: it cannot be reached, after several attempts.
 *
 * The flow hot_words (flow.h) makes the chord of the two, for the dispatcher.
 *
 * Both acknowledge late and are put back when their process dies: killing a worker loses nothing.
 * The dictionary is mapped once, when the module is loaded, and shared by the pool's children. */
#include <celeriac.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "dict.h"
#include "flow.h"
#include "mariadb.h"
#include "place.h"
#include "result.h"
#include "source.h"

#define MAX_RETRIES  6       /* of a database that cannot be reached: for a minute */
#define RETRY_MS     1000    /* before the first; doubles with each */
#define RETRY_MAX_MS 3600000 /* what HOTWORDS_RETRY_MS may ask for */

static hw_dict *dict; /* of the process, never changed once the module is loaded */

/* How long to wait before the first retry. */
static int64_t first_delay_ms(void)
{
    const char *chosen = getenv("HOTWORDS_RETRY_MS");
    const long long ms = chosen ? strtoll(chosen, NULL, 10) : 0;

    return ms >= 1 && ms <= RETRY_MAX_MS ? ms : RETRY_MS;
}

/* A server that has gone may come back: this attempt ends, and the message waits in the broker. */
static json_t *retry_later(cel_request *req, const hw_error *err)
{
    const int64_t retries = cel_request_retries(req);

    cel_raise(req, "ConnectionError", "%s", err->message);
    return cel_retry(req, first_delay_ms() << (retries < MAX_RETRIES ? retries : MAX_RETRIES),
                     NULL);
}

static json_t *raise_error(cel_request *req, const hw_error *err)
{
    switch (err->code) {
    case HW_ENOENT:
        return cel_raise(req, "FileNotFoundError", "%s", err->message);
    case HW_EIO:
        return cel_raise(req, "OSError", "%s", err->message);
    case HW_ENOMEM:
        return cel_raise(req, "MemoryError", "%s", err->message);
    case HW_EACCES:
        return cel_raise(req, "PermissionError", "%s", err->message);
    case HW_ELOOKUP:
        return cel_raise(req, "LookupError", "%s", err->message);
    case HW_ECONN:
        return retry_later(req, err);
    case HW_ECANCELED:
        return NULL; /* the worker knows why it asked: it raises SoftTimeLimitExceeded */
    default:
        return cel_raise(req, "ValueError", "%s", err->message);
    }
}

/* A date is text, "20200406", or the number that looks like it. False after cel_raise(). */
static bool read_date(cel_request *req, const json_t *value, char date[HW_DATE_LEN + 1])
{
    char text[32];

    if (json_is_integer(value)) {
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_string(value)) {
        snprintf(text, sizeof text, "%s", json_string_value(value));
    } else {
        cel_raise(req, "TypeError", "date must be a string or an integer of eight digits");
        return false;
    }
    if (!hw_date_is_valid(text)) {
        cel_raise(req, "ValueError", "date '%s': expected eight digits", text);
        return false;
    }
    memcpy(date, text, HW_DATE_LEN + 1);
    return true;
}

static void warn_of_bad_records(cel_request *req,
                                const char *where,
                                const char *unit,
                                const hw_count *count)
{
    for (size_t i = 0; i < HW_BAD_KINDS; i++) {
        const hw_bad_records *bad = &count->bad[i];

        if (bad->count > 0)
            cel_request_log(req, CEL_LOG_WARNING,
                            "%s: left out %" PRIu64 " bad record%s (%s), first in %s %" PRIu64,
                            where, bad->count, bad->count == 1 ? "" : "s", hw_bad_names[i],
                            unit, bad->first_line);
    }
}

/* Where the records are if the caller does not say. */
static const char *default_data(char *path, size_t size)
{
    const char *chosen = getenv("HOTWORDS_DATA");

    if (chosen && *chosen)
        return chosen;
    hw_place_find(path, size, "data"); /* if there is none, opening a day says so */
    return path;
}

static bool is_canceled(void *req)
{
    return cel_canceled(req);
}

/* Counts what a table has. */
static json_t *count_rows(cel_request *req, const hw_partition *what, const char *url)
{
    hw_source source = {0};
    hw_count count = {0};
    hw_error err;
    json_t *result = NULL;
    hw_code code = hw_source_read(&source, url, &err);

    if (code == HW_OK)
        code = hw_mariadb_count(&count, dict, &source, what, &err);
    if (code == HW_OK) {
        warn_of_bad_records(req, source.shown, "row", &count);
        code = hw_count_to_json(&result, &count, &err);
    }
    hw_count_done(&count);
    hw_source_done(&source);
    return code == HW_OK ? result : raise_error(req, &err);
}

/* Counts what the day's file has. */
static json_t *count_lines(cel_request *req, const hw_partition *what)
{
    char path[PATH_MAX];
    hw_count count = {0};
    hw_error err;
    json_t *result = NULL;
    hw_code code = hw_count_partition(&count, dict, what, &err);

    if (code == HW_ENOENT)
        return cel_raise(
            req, "FileNotFoundError",
            "no chat records of the day %s in the folder '%s': there is no %s.jsonl",
            what->date, what->dir, what->date);
    if (code == HW_OK) {
        snprintf(path, sizeof path, "%s/%s.jsonl", what->dir, what->date);
        warn_of_bad_records(req, path, "line", &count);
        code = hw_count_to_json(&result, &count, &err);
    }
    hw_count_done(&count);
    return code == HW_OK ? result : raise_error(req, &err);
}

static json_t *make_result_str(cel_request *req)
{
    json_t *date_value;
    json_int_t lo, hi;
    const char *data = NULL;
    hw_partition what = {.stop = is_canceled, .user = req};
    char date[HW_DATE_LEN + 1], path[PATH_MAX];

    if (cel_unpack(req, "date:O level_lo:I level_hi:I | data:z", &date_value, &lo, &hi,
                   &data) != CEL_OK)
        return NULL;
    if (!read_date(req, date_value, date))
        return NULL;
    if (!data)
        data = default_data(path, sizeof path);
    what.dir = data;
    what.date = date;
    what.level_lo = lo;
    what.level_hi = hi;
    return hw_source_is_url(data) ? count_rows(req, &what, data) : count_lines(req, &what);
}

/* The ranking of one partition, from the result of its task. */
static hw_code
rank_partition(json_t *partitions, const json_t *result, size_t top, hw_error *err)
{
    hw_count count = {0};
    json_t *ranking = NULL;
    hw_code code = hw_count_from_json(&count, result, err);

    if (code == HW_OK)
        code = hw_count_ranking(&ranking, &count, top, err);
    if (code == HW_OK && json_array_append_new(partitions, ranking) != 0)
        code = hw_fail_memory(err);
    hw_count_done(&count);
    return code;
}

static hw_code
rank_all(json_t **out, cel_request *req, const json_t *results, size_t top, hw_error *err)
{
    json_t *partitions = json_array();
    json_t *merged = NULL;
    hw_count sum = {0};
    hw_code code = partitions ? hw_count_merge(&sum, results, err) : hw_fail_memory(err);

    for (size_t i = 0; code == HW_OK && i < json_array_size(results); i++) {
        if (cel_canceled(req))
            code = hw_fail(err, HW_ECANCELED, "asked to stop");
        else
            code = rank_partition(partitions, json_array_get(results, i), top, err);
    }
    if (code == HW_OK)
        code = hw_count_ranking(&merged, &sum, top, err);
    hw_count_done(&sum);
    if (code != HW_OK) {
        json_decref(partitions);
        return code;
    }
    *out = json_pack("{s:o, s:o}", "partitions", partitions, "merged", merged);
    return *out ? HW_OK : hw_fail_memory(err);
}

static json_t *make_model(cel_request *req)
{
    json_t *results;
    json_int_t top = 100;
    json_t *model = NULL;
    hw_error err;

    if (cel_unpack(req, "results:L | top:I", &results, &top) != CEL_OK)
        return NULL;
    if (top < 1 || top > HW_TOP_MAX)
        return cel_raise(req, "ValueError", "top %" JSON_INTEGER_FORMAT ": expected 1 to %d",
                         top, HW_TOP_MAX);
    if (rank_all(&model, req, results, (size_t)top, &err) != HW_OK)
        return raise_error(req, &err);
    return model;
}

CEL_MODULE(hotwords)
{
    hw_error err;

    if (!dict && hw_dict_open_default(&dict, &err) != HW_OK) {
        cel_module_fail(app,
                        "no dictionary: %s; name one with the environment variable "
                        "HOTWORDS_DICT (hotwords-mkdict makes it)",
                        err.message);
        return;
    }
    cel_task(app, "make_result_str", make_result_str, .acks_late = 1,
             .reject_on_worker_lost = 1, .max_retries = MAX_RETRIES);
    cel_task(app, "make_model", make_model, .acks_late = 1, .reject_on_worker_lost = 1);
    cel_flow(app, HW_FLOW, hw_flow, .queue = HW_QUEUE,
             .summary = "{dates, levels, top=100, data=None} ranks the hot words of chat");
}
