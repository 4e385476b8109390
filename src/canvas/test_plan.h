/* test_plan.h - what tests of the planner share: counted ids, and a plan as one JSON document.
 */
#ifndef CEL_CANVAS_TEST_PLAN_H
#define CEL_CANVAS_TEST_PLAN_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "canvas/canvas.h"

#define TEST_NOW_US 1700000000000000

/* Counted ids in the form of a UUID. */
static inline void test_new_id(void *user, char out[37])
{
    snprintf(out, 37, "00000000-0000-4000-8000-%012u", ++*(unsigned *)user);
}

static inline json_t *test_load(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    if (!json)
        fail_msg("%s at %d in %s", error.text, error.position, text);
    return json;
}

static inline json_t *test_load_view(cel_view view)
{
    json_error_t error;
    json_t *json =
        view.ptr ? json_loadb(view.ptr, view.len, JSON_DECODE_ANY, &error) : json_null();

    if (!json)
        fail_msg("%s at %d in %.*s", error.text, error.position, (int)view.len, view.ptr);
    return json;
}

static inline json_t *test_string(cel_view view)
{
    return view.ptr ? json_stringn(view.ptr, view.len) : json_null();
}

static inline json_t *test_time(int64_t wall_us)
{
    return wall_us == CEL_TIME_NONE ? json_null() : json_integer(wall_us);
}

static inline json_t *test_message_json(const cel_plan_task *task)
{
    const cel_task_message *m = &task->message;
    json_t *json = json_object();

    json_object_set_new(json, "task", test_string(m->task));
    json_object_set_new(json, "id", test_string(m->id));
    json_object_set_new(json, "args", test_load_view(m->args.ptr ? m->args : CEL_VIEW("[]")));
    json_object_set_new(json, "kwargs",
                        test_load_view(m->kwargs.ptr ? m->kwargs : CEL_VIEW("{}")));
    json_object_set_new(json, "callbacks", test_load_view(m->callbacks));
    json_object_set_new(json, "errbacks", test_load_view(m->errbacks));
    json_object_set_new(json, "chain", test_load_view(m->chain));
    json_object_set_new(json, "chord", test_load_view(m->chord));
    json_object_set_new(json, "group", test_string(m->group));
    json_object_set_new(json, "group_index",
                        m->group_index < 0 ? json_null() : json_integer(m->group_index));
    json_object_set_new(json, "root_id", test_string(m->root_id));
    json_object_set_new(json, "parent_id", test_string(m->parent_id));
    json_object_set_new(json, "eta", test_time(m->eta_us));
    json_object_set_new(json, "expires", test_time(m->expires_us));
    json_object_set_new(json, "retries", json_integer(m->retries));
    json_object_set_new(json, "shadow", test_string(m->shadow));
    json_object_set_new(json, "stamped_headers", test_load_view(m->stamped_headers));
    json_object_set_new(json, "stamps", test_load_view(m->stamps));
    json_object_set_new(json, "headers", test_load_view(m->headers));
    json_object_set_new(json, "reply_to", test_string(m->reply_to));
    json_object_set_new(json, "ignore_result",
                        m->ignore_result < 0 ? json_null() : json_boolean(m->ignore_result));
    json_object_set_new(json, "options",
                        task->options ? json_deep_copy(task->options) : json_null());
    return json;
}

/* Returns the plan as {"messages": [...], "chords": [...], "result": ..., "children": ...}. */
static inline json_t *test_plan_json(const cel_plan *plan)
{
    json_t *json = json_object(), *messages = json_array(), *chords = json_array();

    for (size_t i = 0; i < cel__plan_task_count(plan); i++)
        json_array_append_new(messages, test_message_json(cel__plan_task(plan, i)));
    for (size_t i = 0; i < cel__plan_chord_count(plan); i++) {
        const cel_plan_chord *chord = cel__plan_chord(plan, i);
        json_t *one = json_object();

        json_object_set_new(one, "gid", test_string(chord->gid));
        json_object_set_new(one, "size", json_integer(chord->size));
        json_object_set_new(one, "document", test_load_view(chord->document));
        json_array_append_new(chords, one);
    }
    json_object_set_new(json, "messages", messages);
    json_object_set_new(json, "chords", chords);
    json_object_set_new(json, "result", test_load_view(cel__plan_result(plan)));
    json_object_set_new(json, "children", test_load_view(cel__plan_children(plan)));
    return json;
}

/* Replaces what looks like a UUID, in place, by I<n>, padded, in the order of appearance. */
static inline void test_relabel(char *text)
{
    char(*seen)[37] = calloc(10000, sizeof *seen);
    size_t count = 0;

    for (char *at = text; strlen(at) >= 36; at++) {
        size_t i = 0;

        if (strspn(at, "0123456789abcdef-") < 36 || at[8] != '-' || at[13] != '-' ||
            at[18] != '-' || at[23] != '-')
            continue;
        while (i < count && memcmp(seen[i], at, 36) != 0)
            i++;
        if (i == count && count < 9999)
            memcpy(seen[count++], at, 36);
        {
            char label[37];

            snprintf(label, sizeof label, "I%-35zu", i + 1);
            memcpy(at, label, 36);
        }
        at += 35;
    }
    for (char *from = text, *to = text;; from++) { /* drop the padding */
        if (*from == ' ')
            continue;
        *to++ = *from;
        if (!*from)
            break;
    }
    free(seen);
}

/* Returns the JSON with sorted keys, without spaces and with its ids relabelled; free() it.
 * Takes. */
static inline char *test_canonical(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

    assert_non_null(text);
    json_decref(json);
    test_relabel(text);
    return text;
}

#define S(name)                                                                                \
    "{\"task\": \"" name "\", \"args\": [], \"kwargs\": {}, \"options\": {}, "                 \
    "\"subtask_type\": null, \"immutable\": false}"
#define A(name, args)    "{\"task\": \"" name "\", \"args\": " args "}"
#define O(name, options) "{\"task\": \"" name "\", \"options\": " options "}"
#define CHAIN(parts)                                                                           \
    "{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", "                               \
    "\"kwargs\": {\"tasks\": [" parts "]}}"
#define GROUP(parts)                                                                           \
    "{\"task\": \"celery.group\", \"subtask_type\": \"group\", "                               \
    "\"kwargs\": {\"tasks\": [" parts "]}}"
#define CHORD(header, body)                                                                    \
    "{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", "                               \
    "\"kwargs\": {\"kwargs\": {}, \"header\": [" header "], \"body\": " body "}}"

#define ID(n) "00000000-0000-4000-8000-0000000000" n

static unsigned counter;

static inline cel_canvas_context client(void)
{
    counter = 0;
    return (cel_canvas_context){.new_id = test_new_id, .user = &counter, .now_us = TEST_NOW_US};
}

static inline cel_canvas_context worker(void)
{
    cel_canvas_context context = client();

    context.root_id = CEL_VIEW("ROOT");
    context.parent_id = CEL_VIEW("PARENT");
    return context;
}

/* Puts the plan as JSON in *state, which teardown frees. */
static inline const json_t *keep(void **state, const cel_plan *plan)
{
    json_decref(*state);
    *state = test_plan_json(plan);
    return *state;
}

static inline int teardown(void **state)
{
    json_decref(*state);
    return 0;
}

static inline const json_t *
apply_with(void **state, const char *text, const cel_canvas_context *context)
{
    json_t *signature = test_load(text);
    json_t *before = json_deep_copy(signature);
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_apply(&plan, signature, context, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    assert_true(json_equal(signature, before));
    json_decref(before);
    json_decref(signature);
    return json;
}

static inline const json_t *apply(void **state, const char *text)
{
    cel_canvas_context context = client();

    return apply_with(state, text, &context);
}

static inline const json_t *follow(void **state, const cel_task_body *body, const char *result)
{
    cel_canvas_context context = worker();
    cel_error err = {0};
    cel_plan *plan = NULL;
    const json_t *json;

    if (cel__canvas_follow(&plan, body, cel__view(result), &context, &err) != CEL_OK)
        fail_msg("%s", err.message);
    json = keep(state, plan);
    cel__plan_free(plan);
    return json;
}

/* Returns what a path such as "messages.0.id" leads to; NULL if nowhere. */
static inline const json_t *at(const json_t *json, const char *path)
{
    char copy[200], *save = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save))
        json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
    return json;
}

static inline void is(const json_t *json, const char *path, const char *expected)
{
    json_t *want = test_load(expected);
    const json_t *have = at(json, path);

    if (!json_equal(have, want)) {
        char *text = json_dumps(have, JSON_ENCODE_ANY);

        fail_msg("%s is %s, not %s", path, text, expected);
    }
    json_decref(want);
}

static inline void absent(const json_t *json, const char *path)
{
    if (at(json, path))
        fail_msg("%s is there", path);
}

/* The member `task` of the elements, as one text. */
static inline void names_are(const json_t *json, const char *path, const char *expected)
{
    const json_t *array = at(json, path);
    char text[400] = "";
    size_t len = 0;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *task = json_object_get(json_array_get(array, i), "task");

        len += (size_t)snprintf(text + len, sizeof text - len, i ? " %s" : "%s",
                                json_string_value(task));
    }
    assert_string_equal(text, expected);
}

#endif
