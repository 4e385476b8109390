/* bench_canvas.c - one nested canvas: bench_canvas URL RESULTS SHAPE NODES; prints the seconds from apply to the value. bench_canvas.py
 * runs it.
 *
 * tree: chords of four in headers of chords, and so on, a task as each body. ladder: a group of three, a task, a group of three, a
 * task, ... in one chain. NODES is how many tasks run. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define WIDTH   4
#define WAIT_MS 300000

static void must(cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        bench_fail("celeriac: %s", err->message);
}

static cel_signature *leaf(void)
{
    return cel_sig("bench.echo", "[i]", 1);
}

/* A tree of `nodes` tasks: one is the body, the others are shared out. */
static cel_signature *tree(int nodes)
{
    cel_signature *parts[WIDTH];
    size_t count = 0;
    int left = nodes - 1;

    if (nodes < 3)
        return leaf();
    for (int i = 0; i < WIDTH && left > 0; i++) {
        int share = left / (WIDTH - i) > 0 ? left / (WIDTH - i) : 1;

        if (share == 2) /* no chord has two tasks */
            share = 1 + (i + 1 == WIDTH);
        if (share == 2)
            parts[count++] = CEL_CHAIN(leaf(), cel_sig("bench.echo", NULL));
        else
            parts[count++] = tree(share);
        left -= share;
    }
    return cel_chord(cel_group(count, parts), cel_sig("bench.count", NULL));
}

static cel_signature *ladder(int nodes)
{
    size_t count = (size_t)nodes / WIDTH * 2;
    cel_signature **parts = calloc(count + 1, sizeof *parts);
    cel_signature *chain;

    for (size_t i = 0; parts && i < count; i += 2) {
        const char *fmt = i == 0 ? "[i]" : NULL;

        parts[i] = CEL_GROUP(cel_sig("bench.echo", fmt, 1), cel_sig("bench.echo", fmt, 1),
                             cel_sig("bench.echo", fmt, 1));
        parts[i + 1] = cel_sig("bench.count", NULL);
    }
    chain = parts ? cel_chain(count, parts) : NULL;
    free(parts);
    return chain;
}

int main(int argc, char **argv)
{
    cel_signature *canvas;
    cel_result *result;
    json_t *value = NULL;
    cel_error err;
    cel_app *app;
    double start;
    int nodes;

    if (argc != 5)
        return 2;
    nodes = (int)strtol(argv[4], NULL, 10);
    must(cel_app_new(
             &app,
             CEL_APP_OPTIONS(.broker = argv[1], .backend = argv[2], .ignore_environment = true),
             &err),
         &err);
    canvas = strcmp(argv[3], "tree") == 0 ? tree(nodes) : ladder(nodes);
    start = bench_now_s();
    must(cel_apply(app, &result, canvas, NULL, &err), &err);
    must(cel_result_get(result, &value, WAIT_MS, &err), &err);
    printf("%.6f\n", bench_now_s() - start);
    json_decref(value);
    cel_result_free(result);
    cel_signature_free(canvas);
    cel_app_free(app);
    return 0;
}
