/* redis_settings.c - broker_transport_options for Redis, with kombu's names and defaults. */
#include <stdlib.h>
#include <string.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

#define SEP               "\x06\x16"
#define MAX_VISIBILITY_MS INT64_C(31536000000) /* a year */

static const int default_steps[] = {0, 3, 6, 9};

void cel__rq_settings_done(rq_settings *settings)
{
    cel__free(settings->prefix);
    cel__free(settings->sep);
    cel__free(settings->unacked);
    cel__free(settings->index);
    cel__free(settings->mutex);
    cel__free(settings->fanout);
    cel__free(settings->steps_text);
    *settings = (rq_settings){0};
}

static cel_code wrong(const char *name, const char *wanted, cel_error *err)
{
    return cel_error_set(err, CEL_ECONFIG, "broker_transport_options: %s must be %s", name,
                         wanted);
}

/* Reads a text of at most 200 bytes without NUL; the default where there is none. */
static cel_code read_text(const char **out,
                          const json_t *options,
                          const char *name,
                          const char *otherwise,
                          cel_error *err)
{
    const json_t *value = json_object_get(options, name);

    *out = otherwise;
    if (!value || json_is_null(value))
        return CEL_OK;
    if (!json_is_string(value) || json_string_length(value) > 200 ||
        strlen(json_string_value(value)) != json_string_length(value))
        return wrong(name, "a text", err);
    *out = json_string_value(value);
    return CEL_OK;
}

static char *joined(const char *a, const char *b)
{
    cel__buf buf = {0};

    cel__buf_add_str(&buf, a);
    cel__buf_add_str(&buf, b);
    return cel__buf_detach(&buf, NULL);
}

static cel_code read_key(char **out,
                         const rq_settings *settings,
                         const json_t *options,
                         const char *name,
                         const char *otherwise,
                         cel_error *err)
{
    const char *text;
    cel_code code = read_text(&text, options, name, otherwise, err);

    if (code != CEL_OK)
        return code;
    *out = joined(settings->prefix, text);
    return *out ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
}

static cel_code read_visibility(rq_settings *out, const json_t *options, cel_error *err)
{
    const json_t *value = json_object_get(options, "visibility_timeout");
    double seconds = !value || json_is_null(value) ? 3600 : json_number_value(value);

    out->visibility_ms = 0;
    if (seconds >= 0.1 && seconds * 1000 <= (double)MAX_VISIBILITY_MS)
        out->visibility_ms = (int64_t)(seconds * 1000);
    return out->visibility_ms > 0
               ? CEL_OK
               : wrong("visibility_timeout", "a number of seconds from 0.1 to a year", err);
}

static cel_code read_steps(rq_settings *out, const json_t *options, cel_error *err)
{
    const json_t *value = json_object_get(options, "priority_steps");
    cel__buf text = {0};

    out->step_count = 0;
    if (!value || json_is_null(value)) {
        out->step_count = sizeof default_steps / sizeof *default_steps;
        memcpy(out->steps, default_steps, sizeof default_steps);
    } else if (!json_is_array(value) || json_array_size(value) == 0 ||
               json_array_size(value) > RQ_STEPS_MAX) {
        return wrong("priority_steps", "a list of 1 to 16 numbers", err);
    }
    for (size_t i = 0; out->step_count == i && i < json_array_size(value); i++) {
        json_int_t step = json_integer_value(json_array_get(value, i));

        if (!json_is_integer(json_array_get(value, i)) || step < 0 || step > 255 ||
            (i > 0 && step <= out->steps[i - 1]))
            return wrong("priority_steps", "numbers from 0 to 255, each above the last", err);
        out->steps[out->step_count++] = (int)step;
    }
    for (size_t i = 0; i < out->step_count; i++)
        cel__buf_addf(&text, i ? ",%d" : "%d", out->steps[i]);
    out->steps_text = cel__buf_detach(&text, NULL);
    return out->steps_text ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
}

/* True: "/<db>."; a text: that; False: nothing. */
static cel_code
read_fanout(rq_settings *out, const json_t *options, const cel__redis_url *url, cel_error *err)
{
    const json_t *value = json_object_get(options, "fanout_prefix");
    cel__buf prefix = {0};
    const char *text;
    cel_code code = CEL_OK;

    cel__buf_add_str(&prefix, out->prefix);
    if (json_is_string(value)) {
        code = read_text(&text, options, "fanout_prefix", "", err);
        if (code == CEL_OK)
            cel__buf_add_str(&prefix, text);
    } else if (!json_is_false(value)) {
        cel__buf_addf(&prefix, "/%lld.", (long long)url->db);
    }
    if (code == CEL_OK)
        code = cel__buf_check(&prefix, err);
    out->fanout_patterns = !json_is_false(json_object_get(options, "fanout_patterns"));
    if (code != CEL_OK) {
        cel__buf_done(&prefix);
        return code;
    }
    cel__buf_reserve(&prefix, 1);
    out->fanout = cel__buf_detach(&prefix, NULL);
    return out->fanout ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
}

static cel_code read_order(rq_settings *out, const json_t *options, cel_error *err)
{
    const char *order;
    cel_code code = read_text(&order, options, "queue_order_strategy", "round_robin", err);

    if (code != CEL_OK)
        return code;
    out->rotates = strcmp(order, "round_robin") == 0;
    out->sorted = strcmp(order, "sorted") == 0;
    return out->rotates || out->sorted || strcmp(order, "priority") == 0
               ? CEL_OK
               : wrong("queue_order_strategy", "round_robin, sorted or priority", err);
}

static cel_code
read_all(rq_settings *out, const json_t *options, const cel__redis_url *url, cel_error *err)
{
    const char *text;
    cel_code code = read_text(&text, options, "global_keyprefix", "", err);

    if (code == CEL_OK) {
        out->prefix = cel__strdup(text);
        code = read_text(&text, options, "sep", SEP, err);
    }
    if (code == CEL_OK) {
        out->sep = cel__strdup(*text ? text : SEP);
        if (!out->prefix || !out->sep)
            code = cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
    }
    if (code == CEL_OK)
        code = read_key(&out->unacked, out, options, "unacked_key", "unacked", err);
    if (code == CEL_OK)
        code = read_key(&out->index, out, options, "unacked_index_key", "unacked_index", err);
    if (code == CEL_OK)
        code = read_key(&out->mutex, out, options, "unacked_mutex_key", "unacked_mutex", err);
    if (code == CEL_OK)
        code = read_visibility(out, options, err);
    if (code == CEL_OK)
        code = read_steps(out, options, err);
    if (code == CEL_OK)
        code = read_fanout(out, options, url, err);
    if (code == CEL_OK)
        code = read_order(out, options, err);
    return code;
}

cel_code cel__rq_settings_read(rq_settings *out,
                               const json_t *options,
                               const cel__redis_url *url,
                               cel_error *err)
{
    rq_settings read = {0};
    cel_code code = read_all(&read, options, url, err);

    if (code == CEL_OK)
        *out = read;
    else
        cel__rq_settings_done(&read);
    return code;
}

/* As kombu: the largest that is not above it; the first for what is below all (kombu takes the
 * last then). */
size_t cel__rq_step(const rq_settings *settings, int priority)
{
    size_t step = 0;

    while (step + 1 < settings->step_count && settings->steps[step + 1] <= priority)
        step++;
    return step;
}

void cel__rq_list_word(cel__buf *buf, const rq_settings *settings, cel_view queue, size_t step)
{
    char number[16] = "";
    cel_view sep = cel__view(settings->sep);
    cel__buf name = {0};

    if (settings->steps[step] > 0)
        snprintf(number, sizeof number, "%d", settings->steps[step]);
    else
        sep.len = 0;
    if (!settings->prefix[0] && !number[0]) {
        cel__redis_word(buf, queue);
        return;
    }
    cel__buf_add_str(&name, settings->prefix);
    cel__buf_add_view(&name, queue);
    cel__buf_add_view(&name, sep);
    cel__buf_add_str(&name, number);
    if (name.failed)
        buf->failed = true;
    else
        cel__redis_word(buf, cel__buf_view(&name));
    cel__buf_done(&name);
}
