/* tasks.c - the task module: make_result_str counts a partition's words, make_model adds up and ranks.
 *
 *   make_result_str(date, level_lo, level_hi, data=None)   the words of one day and level range
 *   make_model(results, top=100)                           the body of the chord: {"partitions": [...], "merged": {...}}
 *
 * Both acknowledge late and are put back when their process dies: killing a worker loses nothing. The dictionary is mapped once,
 * when the module is loaded; the pool's children share it. */
#include <celeriac.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "dict.h"
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
    default:
        return cel_raise(req, "ValueError", "%s", err->message);
    }
}

/* A date is text, "20200406", or the number that looks like it. */
static bool read_date(cel_request *req, const json_t *value, char date[HW_DATE_LEN + 1])
{
    if (json_is_string(value) && hw_date_is_valid(json_string_value(value))) {
        memcpy(date, json_string_value(value), HW_DATE_LEN + 1);
        return true;
    }
    if (json_is_integer(value) && json_integer_value(value) >= 10000000 &&
        json_integer_value(value) <= 99999999) {
        snprintf(date, HW_DATE_LEN + 1, "%08" PRId64, (int64_t)json_integer_value(value));
        return true;
    }
    if (json_is_string(value))
        cel_raise(req, "ValueError", "date '%.32s' is not eight digits",
                  json_string_value(value));
    else
        cel_raise(req, "TypeError", "date must be a string of eight digits");
    return false;
}

static void warn_of_bad_records(cel_request *req, const char *date, const hw_count *count)
{
    uint64_t bad = 0;
    uint64_t first = 0;

    for (int kind = 0; kind < HW_BAD_KINDS; kind++) {
        bad += count->bad[kind].count;
        if (count->bad[kind].count && (!first || count->bad[kind].first_line < first))
            first = count->bad[kind].first_line;
    }
    if (bad)
        cel_request_log(req, CEL_LOG_WARNING,
                        "%s.jsonl: %" PRIu64
                        " bad records left out, the first in line %" PRIu64,
                        date, bad, first);
}

static const char *data_folder(void)
{
    const char *folder = getenv("HOTWORDS_DATA");

    return folder && *folder ? folder : HW_DATADIR "/hotwords";
}

static json_t *make_result_str(cel_request *req)
{
    json_t *date_value;
    json_int_t lo, hi;
    const char *folder = NULL;
    char date[HW_DATE_LEN + 1];
    hw_count count = {0};
    hw_error err;
    json_t *result = NULL;
    hw_code code;

    if (cel_unpack(req, "date:O level_lo:I level_hi:I | data:z", &date_value, &lo, &hi,
                   &folder) != CEL_OK)
        return NULL;
    if (!read_date(req, date_value, date))
        return NULL;
    code = hw_count_day(&count, dict, folder ? folder : data_folder(), date, lo, hi, &err);
    if (code == HW_OK) {
        warn_of_bad_records(req, date, &count);
        code = hw_count_to_json(&result, &count, &err);
    }
    hw_count_done(&count);
    return code == HW_OK ? result : raise_error(req, &err);
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

static hw_code rank_all(json_t **out, const json_t *results, size_t top, hw_error *err)
{
    json_t *partitions = json_array();
    json_t *merged = NULL;
    hw_count sum = {0};
    hw_code code = partitions ? hw_count_merge(&sum, results, err) : hw_fail_memory(err);

    for (size_t i = 0; code == HW_OK && i < json_array_size(results); i++)
        code = rank_partition(partitions, json_array_get(results, i), top, err);
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
    if (top < 0)
        return cel_raise(req, "ValueError", "top must not be negative");
    if (rank_all(&model, results, (size_t)top, &err) != HW_OK)
        return raise_error(req, &err);
    return model;
}

CEL_MODULE(hotwords)
{
    hw_error err;

    if (hw_dict_open_default(&dict, &err) != HW_OK) {
        cel_module_fail(app, "the dictionary: %s", err.message);
        return;
    }
    cel_task(app, "make_result_str", make_result_str, .acks_late = 1,
             .reject_on_worker_lost = 1);
    cel_task(app, "make_model", make_model, .acks_late = 1, .reject_on_worker_lost = 1);
}
