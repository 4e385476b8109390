/* tasks.c - the task module: make_result_str counts a partition's words, make_model adds up and ranks.
 *
 *   make_result_str(date, level_lo, level_hi, data=None)   the words of one day and level range
 *   make_model(results, top=100)                           the body of the chord:
 *                                                          {"partitions": […], "merged": {…}}
 *
 * `data` is the folder of the records; without it the environment variable HOTWORDS_DATA of the
 * worker says where they are, and without that the example's own small set is taken. What the two
 * return is described in result.h. FileNotFoundError: there are no records of that day.
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
#include "place.h"
#include "result.h"

static hw_dict *dict; /* of the process, never changed once the module is loaded */

static json_t *raise_error(cel_request *req, const hw_error *err)
{
    switch (err->code) {
    case HW_ENOENT:
        return cel_raise(req, "FileNotFoundError", "%s", err->message);
    case HW_EIO:
        return cel_raise(req, "OSError", "%s", err->message);
    case HW_ENOMEM:
        return cel_raise(req, "MemoryError", "%s", err->message);
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

static void
warn_of_bad_records(cel_request *req, const hw_partition *what, const hw_count *count)
{
    for (size_t i = 0; i < HW_BAD_KINDS; i++) {
        const hw_bad_records *bad = &count->bad[i];

        if (bad->count > 0)
            cel_request_log(req, CEL_LOG_WARNING,
                            "%s/%s.jsonl: left out %" PRIu64
                            " bad record%s (%s), first in line "
                            "%" PRIu64,
                            what->dir, what->date, bad->count, bad->count == 1 ? "" : "s",
                            hw_bad_names[i], bad->first_line);
    }
}

/* Where the records are if the caller does not say. */
static const char *default_folder(char *path, size_t size)
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

static json_t *count_partition(cel_request *req, const hw_partition *what)
{
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
        warn_of_bad_records(req, what, &count);
        code = hw_count_to_json(&result, &count, &err);
    }
    hw_count_done(&count);
    return code == HW_OK ? result : raise_error(req, &err);
}

static json_t *make_result_str(cel_request *req)
{
    json_t *date_value;
    json_int_t lo, hi;
    const char *folder = NULL;
    char date[HW_DATE_LEN + 1], path[PATH_MAX];

    if (cel_unpack(req, "date:O level_lo:I level_hi:I | data:z", &date_value, &lo, &hi,
                   &folder) != CEL_OK)
        return NULL;
    if (!read_date(req, date_value, date))
        return NULL;
    return count_partition(req, &(hw_partition){
                                    .dir = folder ? folder : default_folder(path, sizeof path),
                                    .date = date,
                                    .level_lo = lo,
                                    .level_hi = hi,
                                    .stop = is_canceled,
                                    .user = req,
                                });
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
             .reject_on_worker_lost = 1);
    cel_task(app, "make_model", make_model, .acks_late = 1, .reject_on_worker_lost = 1);
    cel_flow(app, HW_FLOW, hw_flow, .queue = HW_QUEUE,
             .summary = "{dates, levels, top=100, data=None} ranks the hot words of chat");
}
