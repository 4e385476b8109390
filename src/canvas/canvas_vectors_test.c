/* canvas_vectors_test.c - the planner against what Celery 5.2.6 published
 * (tests/vectors/canvas.json).
 *
 * What differs on purpose is taken out of both sides by forgive() and forgive_message();
 * everything else must be equal. The differences:
 *  - options that are null, and an empty `chain`, are left out;
 *  - a chain as a chord's body says its last step's id as options.task_id, as Celery does from
 *    5.6 on;
 *  - the parts of a chord or group that is sent later do not repeat the chord's body: they get
 *    it when they are sent, in all versions;
 *  - members of a plain group have a group_index, as from 5.3.4 on;
 *  - a lone link or link_error in a signature is a list of one;
 *  - 5.2 leaves add_to_parent: false in the body of a chord that is part of another;
 *  - what exceptions[] names. */
#include "canvas/test_plan.h"

/* Cases of which one member is not compared. */
static const struct {
    const char *name, *member, *why;
} exceptions[] = {
    {"group, then two tasks", "result",
     "the steps of a body stay between its end and the header"},
    {"chord with a chain as body", "result", "as above"},
    {"chord with a chord as body", "result", "as above: the inner header is not left out"},
    {"chord with a chain that ends in a chord", "result",
     "5.2 forgets the id that it has sent"},
    {"chord with a chain that ends in a group", "group_index",
     "tasks are counted, not elements"},
};

static bool excepted(const char *name, const char *member)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        if (strcmp(exceptions[i].name, name) == 0 && strcmp(exceptions[i].member, member) == 0)
            return true;
    }
    return false;
}

static void drop(json_t *object, const char *key)
{
    json_object_del(object, key);
}

static bool is_type(const json_t *json, const char *type)
{
    const char *text = json_string_value(json_object_get(json, "subtask_type"));

    return text && strcmp(text, type) == 0;
}

static void drop_part_options(json_t *parts)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        json_t *options = json_object_get(json_array_get(parts, i), "options");

        drop(options, "chord");
        drop(options, "group_index");
    }
}

/* Takes the differences out of a signature. */
static void forgive_signature(json_t *signature)
{
    json_t *options = json_object_get(signature, "options");
    json_t *kwargs = json_object_get(signature, "kwargs");
    json_t *header = json_object_get(kwargs, "header");
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(options, next, key, value)
    {
        if (json_is_null(value) || (strcmp(key, "chain") == 0 && json_array_size(value) == 0))
            drop(options, key);
    }
    if (json_is_object(json_object_get(options, "link")))
        json_object_set_new(options, "link",
                            json_pack("[O]", json_object_get(options, "link")));
    drop(options, "add_to_parent");
    if (!json_object_get(options, "chord"))
        drop(options, "group_index");
    if (is_type(signature, "chain"))
        drop(options, "task_id");
    if (is_type(signature, "group")) {
        drop_part_options(json_object_get(kwargs, "tasks"));
        drop(options, "group_index");
    }
    if (is_type(signature, "chord") && json_is_object(header)) {
        drop(json_object_get(header, "options"), "chord");
        drop_part_options(json_object_get(json_object_get(header, "kwargs"), "tasks"));
    }
}

static void forgive(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json) && json_object_get(json, "subtask_type"))
        forgive_signature(json);
    json_object_foreach(json, key, value) forgive(value);
    json_array_foreach(json, i, value) forgive(value);
}

/* The size of the chord that a message is a part of; null if of none. `sizes`: [[gid,
 * size]...]. */
static json_t *size_of(const json_t *message, const json_t *sizes)
{
    const char *gid = json_string_value(json_object_get(message, "group"));

    for (size_t i = 0; gid && i < json_array_size(sizes); i++) {
        const json_t *one = json_array_get(sizes, i);

        if (strcmp(json_string_value(json_array_get(one, 0)), gid) == 0)
            return json_incref(json_array_get(one, 1));
    }
    return json_null();
}

/* Returns what is compared of a message. */
static json_t *forgive_message(const char *name, const json_t *message, const json_t *sizes)
{
    static const char *const keys[] = {"task",      "id",       "args",      "kwargs",
                                       "callbacks", "errbacks", "chain",     "chord",
                                       "group",     "root_id",  "parent_id", "group_index"};
    json_t *kept = json_object();

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        json_object_set(kept, keys[i], json_object_get(message, keys[i]));
    if (json_array_size(json_object_get(kept, "chain")) == 0)
        drop(kept, "chain");
    if (json_array_size(json_object_get(kept, "errbacks")) == 0)
        drop(kept, "errbacks");
    if (json_is_null(json_object_get(kept, "chain")))
        drop(kept, "chain");
    if (json_is_null(json_object_get(kept, "chord")) || excepted(name, "group_index"))
        drop(kept, "group_index");
    json_object_set_new(kept, "size", size_of(message, sizes));
    return kept;
}

/* Returns the text that must be equal on both sides. */
static char *compared(const char *name,
                      const json_t *messages,
                      const json_t *sizes,
                      const json_t *result,
                      const json_t *documents)
{
    json_t *json = json_object(), *list = json_array();

    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *copy = json_deep_copy(json_array_get(messages, i));

        json_array_append_new(list, forgive_message(name, copy, sizes));
        json_decref(copy);
    }
    forgive(list);
    json_object_set_new(json, "messages", list);
    if (result && !excepted(name, "result"))
        json_object_set_new(json, "result", json_deep_copy(result));
    json_object_set_new(json, "documents",
                        documents ? json_deep_copy(documents) : json_array());
    return test_canonical(json);
}

static json_t *sizes_of(const json_t *plan)
{
    json_t *sizes = json_array();
    json_t *chord;
    size_t i;

    json_array_foreach(json_object_get(plan, "chords"), i, chord)
    {
        json_array_append_new(sizes, json_pack("[O, O]", json_object_get(chord, "gid"),
                                               json_object_get(chord, "size")));
    }
    return sizes;
}

/* Returns the plan of a vector as JSON. */
static json_t *plan_of(const json_t *vectors, const json_t *vector)
{
    json_t *options = json_deep_copy(json_object_get(vector, "apply"));
    char *partial = json_dumps(json_object_get(options, "args"), JSON_ENCODE_ANY);
    char *chain = json_dumps(json_object_get(vector, "follow"), JSON_ENCODE_ANY);
    char *result = json_dumps(json_object_get(vector, "retval"), JSON_ENCODE_ANY);
    cel_canvas_context context = {.new_id = test_new_id,
                                  .user = &counter,
                                  .now_us = TEST_NOW_US,
                                  .partial_args = cel__view(partial),
                                  .reply_to = CEL_VIEW("RT"),
                                  .options = options};
    cel_task_body body = {.chain = cel__view(chain)};
    cel_error err = {0};
    cel_plan *plan = NULL;
    json_t *json;
    cel_code code;

    drop(options, "args");
    if (chain) {
        context.root_id = cel__view(json_string_value(json_object_get(vectors, "root")));
        context.parent_id = cel__view(json_string_value(json_object_get(vectors, "parent")));
        code = cel__canvas_follow(&plan, &body, cel__view(result), &context, &err);
    } else {
        code = cel__canvas_apply(&plan, json_object_get(vector, "signature"), &context, &err);
    }
    if (code != CEL_OK)
        fail_msg("%s", err.message);
    json = test_plan_json(plan);
    cel__plan_free(plan);
    free(partial);
    free(chain);
    free(result);
    json_decref(options);
    return json;
}

static json_t *documents_of(const json_t *plan)
{
    json_t *documents = json_array();
    json_t *chord;
    size_t i;

    json_array_foreach(json_object_get(plan, "chords"), i, chord)
    {
        if (!json_is_null(json_object_get(chord, "document")))
            json_array_append(documents,
                              json_object_get(json_object_get(chord, "document"), "result"));
    }
    return documents;
}

static bool same(const json_t *vectors, const json_t *vector)
{
    const char *name = json_string_value(json_object_get(vector, "name"));
    bool sent = json_object_get(vector, "signature") != NULL;
    json_t *plan = plan_of(vectors, vector);
    json_t *sizes = sizes_of(plan), *documents = documents_of(plan);
    char *ours = compared(name, json_object_get(plan, "messages"), sizes,
                          sent ? json_object_get(plan, "result") : NULL, documents);
    char *theirs =
        compared(name, json_object_get(vector, "messages"), json_object_get(vector, "sizes"),
                 json_object_get(vector, "result"), json_object_get(vector, "documents"));
    bool equal = strcmp(ours, theirs) == 0;

    if (!equal) { /* from a little before the first difference on */
        size_t i = 0;

        while (ours[i] == theirs[i])
            i++;
        i = i > 150 ? i - 150 : 0;
        print_error("%s:\nours   ...%.300s\ntheirs ...%.300s\n", name, ours + i, theirs + i);
    }
    free(ours);
    free(theirs);
    json_decref(sizes);
    json_decref(documents);
    json_decref(plan);
    return equal;
}

static void plans_are_what_celery_publishes(void **state)
{
    json_error_t error;
    json_t *vectors = json_load_file(CEL_VECTORS "/canvas.json", 0, &error);
    json_t *cases = json_object_get(vectors, "cases");
    size_t different = 0;

    (void)state;
    assert_true(json_array_size(cases) > 30);
    for (size_t i = 0; i < json_array_size(cases); i++)
        different += !same(vectors, json_array_get(cases, i));
    json_decref(vectors);
    assert_int_equal(different, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_what_celery_publishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
