/* control_revoke.c - revoking tasks: by id, by stamp, and those that run by a signal. */
#include <ctype.h>
#include <signal.h>
#include <string.h>

#include <utlist.h>

#include "core/json.h"
#include "core/mem.h"
#include "worker/control.h"
#include "worker/strategy.h"

#define STAMPS_MAX 10000 /* of all headers together */

static int64_t now_ms(const cel_worker *worker)
{
    return cel__clock_wall_ms(worker->app->clock);
}

/* ---- signals ---- */

/* As Python's isupper(), for what may be a signal's name. */
static bool is_upper(const char *name)
{
    if (!name || !isupper((unsigned char)*name))
        return false;
    while (*name && !islower((unsigned char)*name))
        name++;
    return *name == '\0';
}

/* The number of a name such as "SIGTERM" or "TERM"; 0 after raising. Without one it is TERM. */
static int signal_of(cel_control_call *call, const json_t *value)
{
    const char *name = json_string_value(value);
    char bare[16];

    if (!cel__control_truth(value))
        return SIGTERM;
    if (json_is_integer(value) && json_integer_value(value) > 0 &&
        json_integer_value(value) < NSIG)
        return (int)json_integer_value(value);
    if (json_is_number(value)) {
        cel__control_raise(call, "ValueError", "signal number out of range");
        return 0;
    }
    if (!is_upper(name)) {
        cel__control_raise(call, "TypeError", "signal name must be uppercase string.");
        return 0;
    }
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    snprintf(bare, sizeof bare, "%s", name);
    for (int number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);

        if (known && strcmp(known, bare) == 0)
            return number;
    }
    cel__control_raise(call, "AttributeError", "module 'signal' has no attribute 'SIG%s'",
                       bare);
    return 0;
}

/* ---- by id ---- */

static void add_id(void *user, cel_view id)
{
    cel_worker *worker = user;

    if (!cel__revoked_add(worker->control->revoked, id, now_ms(worker), now_ms(worker)))
        cel__worker_log(worker, CEL_LOG_ERROR, "no memory to remember a revoked task");
}

struct ids {
    cel_worker *worker;
    cel__buf text; /* joined by ", " */
    size_t count;
    int signum;    /* 0: only listed */
    cel_code code; /* of the kill */
    cel_error err;
};

static void join(void *user, cel_view id)
{
    struct ids *ids = user;

    if (ids->count++ > 0)
        cel__buf_add_str(&ids->text, ", ");
    cel__buf_add_view(&ids->text, id);
}

static void end(void *user, cel_view id)
{
    struct ids *ids = user;
    cel_worker_request *request = cel__control_find_request(ids->worker, id);
    cel_code code;

    if (!request || ids->code != CEL_OK)
        return;
    join(ids, id);
    cel__worker_log(ids->worker, CEL_LOG_INFO, "Terminating %.*s (%d)", CEL_VIEW_ARG(id),
                    ids->signum);
    code = cel__strategy_terminate(request, ids->signum, &ids->err);
    if (code != CEL_OK)
        ids->code = code;
}

/* Python's set() of them: each once. */
static json_t *unique(const json_t *ids)
{
    json_t *seen = json_object(), *list = json_array();
    const json_t *value;
    size_t i;

    if (json_is_string(ids))
        json_array_append(list, (json_t *)ids);
    json_array_foreach(ids, i, value)
    {
        const char *text = json_string_value(value);

        if (!text || strlen(text) != json_string_length(value) || json_object_get(seen, text))
            continue;
        json_object_set_new(seen, text, json_true());
        json_array_append(list, (json_t *)value);
    }
    json_decref(seen);
    return list;
}

static json_t *text_answer(const char *before, struct ids *ids, const char *behind)
{
    json_t *answer = ids->code != CEL_OK || ids->text.failed
                         ? NULL
                         : cel__control_ok("%s%.*s%s", before, (int)ids->text.len,
                                           ids->text.ptr ? ids->text.ptr : "", behind);

    cel__buf_done(&ids->text);
    return answer;
}

static json_t *terminate(cel_control_call *call, const json_t *list, int signum)
{
    struct ids ids = {.worker = call->worker, .signum = signum};

    cel__control_ids(list, end, &ids);
    if (ids.code != CEL_OK)
        cel__control_raise(call, "NotImplementedError", "%s", ids.err.message);
    if (ids.count == 0 && ids.code == CEL_OK) {
        cel__buf_done(&ids.text);
        return cel__control_ok("terminate: tasks unknown");
    }
    return text_answer("terminate: ", &ids, "");
}

static json_t *revoke_ids(cel_control_call *call, bool ends)
{
    const json_t *given = cel__control_arg(call, "task_id");
    struct ids ids = {.worker = call->worker};
    json_t *list, *answer;
    int signum = 0;

    if (given && !json_is_string(given) && !json_is_array(given))
        return cel__control_raise(call, "TypeError", "task_id is no string and no list");
    if (ends) {
        signum = signal_of(call, cel__control_arg(call, "signal"));
        if (signum == 0)
            return NULL;
    }
    list = unique(given);
    cel__control_ids(list, add_id, call->worker);
    cel__statedb_touch(call->worker->control->statedb);
    if (ends) {
        answer = terminate(call, list, signum);
    } else {
        cel__control_ids(list, join, &ids);
        cel__worker_log(call->worker, CEL_LOG_INFO, "Tasks flagged as revoked: %.*s",
                        CEL_VIEW_ARG(cel__buf_view(&ids.text)));
        answer = text_answer("tasks ", &ids, " flagged as revoked");
    }
    json_decref(list);
    return answer;
}

json_t *cel__control_revoke(cel_control_call *call)
{
    return revoke_ids(call, cel__control_truth(cel__control_arg(call, "terminate")));
}

json_t *cel__control_terminate(cel_control_call *call)
{
    return revoke_ids(call, true);
}

/* ---- by stamp ---- */

/* Whether one of the values is in the list (or is the string). */
static bool has_value(const json_t *list, const json_t *values)
{
    const json_t *value, *one;
    size_t i, j;

    if (!json_is_array(values))
        values = NULL;
    json_array_foreach(list, i, one)
    {
        json_array_foreach(values, j, value) if (json_equal(one, value)) return true;
    }
    return false;
}

/* A list of what is a list or one value. A new reference. */
static json_t *as_list(const json_t *value)
{
    json_t *list;

    if (json_is_array(value))
        return json_incref((json_t *)value);
    list = json_array();
    json_array_append(list, (json_t *)value);
    return list;
}

static bool is_stamped(const cel_worker_request *request, const json_t *headers)
{
    json_t *stamps, *actual, *wanted;
    const char *key;
    json_t *value;
    bool found = false;

    if (!request->headers.stamps.ptr || json_object_size(headers) == 0 ||
        cel__json_load(&stamps, request->headers.stamps, NULL) != CEL_OK)
        return false;
    json_object_foreach((json_t *)headers, key, value)
    {
        const json_t *stamp = json_object_get(stamps, key);

        if (!stamp || found)
            continue;
        actual = as_list(stamp);
        wanted = as_list(value);
        found = has_value(wanted, actual);
        json_decref(actual);
        json_decref(wanted);
    }
    json_decref(stamps);
    return found;
}

bool cel__control_is_revoked(const cel_worker_request *request)
{
    const cel_control *control = request->worker->control;

    return cel__revoked_has(control->revoked, request->headers.id, now_ms(request->worker)) ||
           (control->stamp_count > 0 && is_stamped(request, control->stamps));
}

/* The argument `headers` as an object, a new reference: it may also be a list of "key=value". */
static json_t *headers_of(cel_control_call *call)
{
    const json_t *given = cel__control_arg(call, "headers"), *value;
    json_t *headers;
    size_t i;

    if (json_is_object(given))
        return json_incref((json_t *)given);
    if (!json_is_array(given))
        return cel__control_raise(call, "AttributeError", "headers are no dictionary");
    headers = json_object();
    json_array_foreach(given, i, value)
    {
        const char *text = json_string_value(value);
        const char *equal = text ? strchr(text, '=') : NULL;

        if (!equal) {
            json_decref(headers);
            return cel__control_raise(call, "IndexError", "list index out of range");
        }
        char *key = cel__memdup(text, (size_t)(equal - text));
        if (key)
            json_object_set_new(headers, key, json_stringn(equal + 1, strcspn(equal + 1, "=")));
        cel__free(key);
    }
    return headers;
}

/* False if there are too many. */
static bool add_stamps(cel_control *control, const json_t *headers)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)headers, key, value)
    {
        json_t *list = as_list(value), *known = json_object_get(control->stamps, key), *stamp;
        size_t i;

        if (!known) {
            json_object_set_new(control->stamps, key, json_array());
            known = json_object_get(control->stamps, key);
        }
        json_array_foreach(list, i, stamp)
        {
            json_t *one = json_pack("[O]", stamp);
            bool there = has_value(known, one);

            json_decref(one);
            if (there)
                continue;
            if (control->stamp_count >= STAMPS_MAX)
                break;
            json_array_append(known, stamp);
            control->stamp_count++;
        }
        json_decref(list);
    }
    return control->stamp_count < STAMPS_MAX;
}

static json_t *headers_answer(const json_t *headers, const char *what)
{
    cel__buf json = {0}, repr = {0};
    json_t *answer;

    cel__json_dump(&json, headers);
    cel__json_pyrepr(&repr, cel__buf_view(&json), false);
    answer = cel__control_ok("headers %s %s", cel__buf_cstr(&repr) ? repr.ptr : "", what);
    cel__buf_done(&json);
    cel__buf_done(&repr);
    return answer;
}

json_t *cel__control_revoke_by_stamped_headers(cel_control_call *call)
{
    cel_worker *worker = call->worker;
    bool ends = cel__control_truth(cel__control_arg(call, "terminate")), any = false;
    int signum = signal_of(call, cel__control_arg(call, "signal"));
    json_t *headers = signum > 0 ? headers_of(call) : NULL, *answer;
    cel_worker_request *request, *next;
    cel_error err = {0};
    cel_code code = CEL_OK;

    if (!headers)
        return NULL;
    if (!add_stamps(worker->control, headers)) {
        json_decref(headers);
        return cel__control_raise(call, "ValueError", "more than %d stamps are revoked",
                                  STAMPS_MAX);
    }
    for (request = ends ? worker->active : NULL; request && code == CEL_OK; request = next) {
        next = request->list_next;
        if (!request->delivery || !is_stamped(request, headers))
            continue;
        any = true;
        code = cel__strategy_terminate(request, signum, &err);
    }
    if (code != CEL_OK)
        answer = cel__control_raise(call, "NotImplementedError", "%s", err.message);
    else
        answer = headers_answer(headers, !ends ? "flagged as revoked, but not terminated"
                                         : any ? "revoked"
                                               : "were not terminated");
    json_decref(headers);
    return answer;
}
