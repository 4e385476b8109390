/* canvasclient.c - builds canvases with the public constructors, sends them, and waits for them.
 *
 *   canvasclient BROKER BACKEND < lines
 *
 * Each line of the input is {"build": tree} or {"json": signature in Celery's form}. All are sent as they come, and each is
 * answered with {"sent": id or null, "signature": the JSON form}, or {"refused": message}. At the end of the input the results
 * are awaited in turn, until "timeout" (seconds) of the line after that end: {"value": ...} or {"error": type of the exception or name of the
 * code, "message": ...}.
 *
 * A tree is an object:
 *   {"op": "task", "name", "args": [...], "kwargs": {...}, "immutable": bool}
 *   {"op": "chain" | "group", "parts": [tree...]}       {"op": "chord", "header": [tree...], "body": tree}
 *   {"op": "map" | "starmap", "name", "it": [...]}      {"op": "chunks", "name", "it": [...], "n": size}
 * and may have "link": [tree...], "link_error": [tree...] and "set": {option: value}. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINES_MAX 4096

struct sent {
    cel_result *result;
    int64_t timeout_ms;
};

static void say(json_t *line)
{
    json_dumpf(line, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

/* ---- building ---- */

static cel_signature *build(const json_t *tree);

static cel_signature *build_many(const json_t *list,
                                 cel_signature *(*join)(size_t, cel_signature *const *))
{
    size_t count = json_array_size(list);
    cel_signature **parts = calloc(count + 1, sizeof *parts);
    cel_signature *all;

    for (size_t i = 0; i < count; i++)
        parts[i] = build(json_array_get(list, i));
    all = join(count, parts);
    free(parts);
    return all;
}

static cel_signature *build_bare(const json_t *tree)
{
    const char *op = json_string_value(json_object_get(tree, "op"));
    const char *name = json_string_value(json_object_get(tree, "name"));
    json_t *it = json_object_get(tree, "it");

    if (!op)
        return NULL;
    if (strcmp(op, "task") == 0)
        return cel_signature_new(name, json_deep_copy(json_object_get(tree, "args")),
                                 json_deep_copy(json_object_get(tree, "kwargs")));
    if (strcmp(op, "chain") == 0)
        return build_many(json_object_get(tree, "parts"), cel_chain);
    if (strcmp(op, "group") == 0)
        return build_many(json_object_get(tree, "parts"), cel_group);
    if (strcmp(op, "chord") == 0)
        return cel_chord(build_many(json_object_get(tree, "header"), cel_group),
                         build(json_object_get(tree, "body")));
    if (strcmp(op, "map") == 0)
        return cel_map(name, json_incref(it));
    if (strcmp(op, "starmap") == 0)
        return cel_starmap(name, json_incref(it));
    if (strcmp(op, "chunks") == 0)
        return cel_chunks(name, json_incref(it),
                          (size_t)json_integer_value(json_object_get(tree, "n")));
    return NULL;
}

static cel_signature *build(const json_t *tree)
{
    cel_signature *signature = build_bare(tree);
    const json_t *one;
    const char *key;
    json_t *value;
    size_t i;

    json_object_foreach(json_object_get(tree, "set"), key, value)
    {
        signature = cel_signature_set(signature, key, json_deep_copy(value));
    }
    json_array_foreach(json_object_get(tree, "link"), i, one)
    {
        signature = cel_signature_link(signature, build(one));
    }
    json_array_foreach(json_object_get(tree, "link_error"), i, one)
    {
        signature = cel_signature_link_error(signature, build(one));
    }
    if (json_is_true(json_object_get(tree, "immutable")))
        signature = cel_signature_immutable(signature);
    return signature;
}

/* ---- sending and waiting ---- */

static void send_line(cel_app *app, const json_t *line, struct sent *sent)
{
    const json_t *tree = json_object_get(line, "build");
    cel_signature *signature = NULL;
    cel_error err = {0};
    cel_code code = CEL_OK;

    sent->timeout_ms = (int64_t)(json_number_value(json_object_get(line, "timeout")) * 1000);
    if (tree)
        signature = build(tree);
    else
        code = cel_signature_from_json(&signature, json_object_get(line, "json"), &err);
    if (code == CEL_OK)
        code = cel_apply(app, &sent->result, signature, NULL, &err);
    if (code == CEL_OK)
        say(json_pack("{s:s?, s:O}", "sent", cel_result_id(sent->result), "signature",
                      cel_signature_json(signature)));
    else
        say(json_pack("{s:s}", "refused", err.message));
    cel_signature_free(signature);
}

static int64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void await(struct sent *sent, int64_t start_ms)
{
    int64_t left_ms = start_ms + sent->timeout_ms - mono_ms();
    json_t *value = NULL;
    cel_error err = {0};
    cel_code code = cel_result_get(sent->result, &value, left_ms > 0 ? left_ms : 0, &err);

    if (code == CEL_OK)
        say(json_pack("{s:o}", "value", value));
    else
        say(json_pack("{s:s, s:s}", "error",
                      code == CEL_ETASK || code == CEL_EREVOKED
                          ? cel_result_exception_type(sent->result)
                          : cel_code_text(code),
                      "message", err.message));
    cel_result_free(sent->result);
}

int main(int argc, char **argv)
{
    static struct sent sent[LINES_MAX];
    size_t count = 0;
    int64_t start_ms;
    cel_app *app = NULL;
    cel_error err = {0};
    json_t *line;

    if (argc != 3)
        return 2;
    if (cel_app_new(&app, CEL_APP_OPTIONS(.broker = argv[1], .backend = argv[2]), &err) !=
        CEL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    while (count < LINES_MAX && (line = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL))) {
        send_line(app, line, &sent[count++]);
        json_decref(line);
    }
    start_ms = mono_ms();
    for (size_t i = 0; i < count; i++)
        if (sent[i].result)
            await(&sent[i], start_ms);
    cel_app_free(app);
    return 0;
}
