/* client.c - `hotwords`: sends the job, shows how it gets on, prints the ranking. */
#include <celeriac.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client_options.h"
#include "render.h"

#define EXIT_USAGE       2
#define EXIT_UNAVAILABLE 69 /* no answer in time, or the broker is out of reach */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the job ---- */

static cel_signature *make_part(const hw_options *options, size_t day, size_t range)
{
    json_t *args =
        json_pack("[s, I, I]", options->dates[day], (json_int_t)options->ranges[range].lo,
                  (json_int_t)options->ranges[range].hi);

    if (args && options->data)
        json_array_append_new(args, json_string(options->data));
    return cel_signature_new("make_result_str", args, NULL);
}

/* chord(group([make_result_str(day, range) ...]))(make_model) */
static cel_signature *make_job(const hw_options *options)
{
    cel_signature *parts[HW_DATES_MAX * HW_RANGES_MAX];
    cel_signature *body;
    size_t count = 0;

    for (size_t day = 0; day < options->date_count; day++)
        for (size_t range = 0; range < options->range_count; range++)
            parts[count++] = make_part(options, day, range);
    body = cel_signature_new("make_model", NULL,
                             json_pack("{s:I}", "top", (json_int_t)options->top));
    return cel_chord(cel_group(count, parts), body);
}

/* ---- progress ---- */

/* One line, redrawn on a terminal; elsewhere a line for each step. */
static void show_progress(size_t done, size_t total, bool terminal)
{
    if (terminal) {
        fprintf(stderr, "\r\033[K");
        for (size_t i = 0; i < total && total <= 64; i++)
            fputs(i < done ? "█" : "░", stderr);
        fprintf(stderr, " %zu of %zu parts", done, total);
    } else {
        fprintf(stderr, "%zu of %zu parts\n", done, total);
    }
    fflush(stderr);
}

static void end_progress(bool terminal)
{
    if (terminal)
        fputs("\r\033[K", stderr);
}

/* Waits for the parts, then for the body. CEL_OK: *model is the caller's. */
static cel_code
wait_for_model(json_t **model, cel_result *result, int64_t timeout_ms, cel_error *err)
{
    cel_result *group = cel_result_parent(result);
    size_t total = group ? cel_result_count(group) : 0;
    bool terminal = isatty(STDERR_FILENO);
    int64_t deadline = now_ms() + timeout_ms;
    size_t done = 0;
    cel_code code = CEL_OK;

    show_progress(0, total, terminal);
    while (code == CEL_OK && done < total) {
        int64_t left = deadline - now_ms();
        bool ended = false;

        code = cel_result_wait(group, done, &done, left > 0 ? left : 0, err);
        if (code == CEL_OK)
            show_progress(done, total, terminal);
        /* When a part fails, the body's failure may be there before the other parts are. */
        if (code == CEL_OK && cel_result_ready(result, &ended, NULL) == CEL_OK && ended)
            break;
    }
    end_progress(terminal);
    if (code == CEL_OK) {
        int64_t left = deadline - now_ms();

        code = cel_result_get(result, model, left > 0 ? left : 0, err);
    }
    return code;
}

/* ---- failures ---- */

static void
describe_part(const hw_options *options, size_t i, const cel_result *part, const cel_error *err)
{
    size_t day = i / options->range_count;
    size_t range = i % options->range_count;

    fprintf(stderr, "  %s, levels %" PRId64 "-%" PRId64 " (task %s): %s: %s\n",
            options->dates[day], options->ranges[range].lo, options->ranges[range].hi,
            cel_result_id(part), err->exc_type, cel_result_exception_message(part));
}

/* Says which parts failed, and how. */
static void explain(const hw_options *options, cel_result *result, const cel_error *err)
{
    cel_result *group = cel_result_parent(result);
    size_t failed = 0;

    fprintf(stderr, "hotwords: the job failed: %s: %s\n", err->exc_type, err->message);
    for (size_t i = 0; group && i < cel_result_count(group); i++) {
        cel_result *part = cel_result_child(group, i);
        cel_error why;
        cel_code code = cel_result_get(part, NULL, 0, &why);

        if (code != CEL_ETASK && code != CEL_EREVOKED)
            continue;
        if (failed++ == 0)
            fputs("these parts failed:\n", stderr);
        describe_part(options, i, part, &why);
    }
}

static int
fail(const hw_options *options, cel_result *result, cel_code code, const cel_error *err)
{
    if (code == CEL_ETASK || code == CEL_EREVOKED) {
        explain(options, result, err);
        return EXIT_FAILURE;
    }
    if (code == CEL_ETIMEDOUT) {
        fprintf(stderr,
                "hotwords: no result within %g seconds. Is a worker running?\n"
                "    celeriac -A hotwords worker -Q %s\n",
                (double)options->timeout_ms / 1000, options->queue);
        return EXIT_UNAVAILABLE;
    }
    fprintf(stderr, "hotwords: %s\n", err->message);
    return code == CEL_ECONN ? EXIT_UNAVAILABLE : EXIT_FAILURE;
}

/* ---- output ---- */

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static int write_report(const char *path, const json_t *model)
{
    FILE *page = fopen(path, "w");
    bool failed;

    if (!page) {
        fprintf(stderr, "hotwords: %s: %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    hw_render_html(page, model);
    failed = ferror(page) != 0;
    if (fclose(page) != 0 || failed) {
        fprintf(stderr, "hotwords: %s: %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int show(const hw_options *options, const json_t *model)
{
    int status = EXIT_SUCCESS;

    if (options->report)
        status = write_report(options->report, model);
    if (options->json) {
        json_dumpf(model, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        hw_render_text(stdout, model, columns(), isatty(STDOUT_FILENO) && !getenv("NO_COLOR"));
        if (options->report && status == EXIT_SUCCESS)
            printf("\nreport: %s\n", options->report);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("hotwords: standard output");
        status = EXIT_FAILURE;
    }
    return status;
}

static int run(const hw_options *options, cel_app *app)
{
    cel_signature *job = make_job(options);
    cel_result *result = NULL;
    json_t *model = NULL;
    cel_error err = {0};
    cel_code code;
    int status;

    code = cel_apply(app, &result, job, CEL_SEND_OPTIONS(.queue = options->queue), &err);
    cel_signature_free(job);
    if (code == CEL_OK) {
        fprintf(stderr, "job %s: %zu parts sent to %s\n", cel_result_id(result),
                options->date_count * options->range_count, options->queue);
        code = wait_for_model(&model, result, options->timeout_ms, &err);
    }
    status = code == CEL_OK ? show(options, model) : fail(options, result, code, &err);
    json_decref(model);
    cel_result_free(result);
    return status;
}

static void print_log(void *user, cel_log_level level, const char *message, size_t len)
{
    (void)user;
    (void)level;
    fprintf(stderr, "hotwords: %.*s\n", (int)len, message);
}

int main(int argc, char **argv)
{
    hw_options options;
    char message[256];
    cel_app *app;
    cel_error err;
    int status;

    if (!hw_options_read(&options, argc, argv, message, sizeof message)) {
        fprintf(stderr, "hotwords: %s\nTry 'hotwords --help'.\n", message);
        return EXIT_USAGE;
    }
    if (options.help || options.version) {
        if (options.help)
            fputs(hw_options_help(), stdout);
        else
            printf("hotwords %s\n", cel_version());
        return EXIT_SUCCESS;
    }
    if (cel_app_new(&app,
                    CEL_APP_OPTIONS(.name = "hotwords", .broker = options.broker,
                                    .backend = options.backend, .config = options.config,
                                    .log = print_log),
                    &err) != CEL_OK) {
        fprintf(stderr, "hotwords: %s\n", err.message);
        return EXIT_FAILURE;
    }
    status = run(&options, app);
    cel_app_free(app);
    return status;
}
