/* client.c - `hotwords`: sends the job, shows how it gets on, prints the ranking. */
#include <celeriac.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client_options.h"
#include "flow.h"
#include "render.h"
#include "source.h"

#define EXIT_USAGE       2
#define EXIT_UNAVAILABLE 69 /* no answer in time, or the broker is out of reach */
#define ANSWER_MS        10000
#define HINT_MS          3000 /* how long to be silent when no part ends */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the job ---- */

/* The folder as a worker with another working directory finds it; a name that leads nowhere here,
 * but perhaps there, stays, and so does the URL of a table. A view of `path` or of `data`. */
static const char *absolute(char path[PATH_MAX], const char *data)
{
    return !hw_source_is_url(data) && realpath(data, path) ? path : data;
}

/* The job as a dispatcher is asked for it; NULL when out of memory. */
static json_t *make_params(const hw_options *options)
{
    char path[PATH_MAX];
    json_t *params =
        json_pack("{s:[], s:[], s:I}", "dates", "levels", "top", (json_int_t)options->top);
    int failed = params ? 0 : -1;

    for (size_t day = 0; day < options->date_count; day++)
        failed |= json_array_append_new(json_object_get(params, "dates"),
                                        json_string(options->dates[day]));
    for (size_t range = 0; range < options->range_count; range++)
        failed |=
            json_array_append_new(json_object_get(params, "levels"),
                                  json_pack("[I, I]", (json_int_t)options->ranges[range].lo,
                                            (json_int_t)options->ranges[range].hi));
    if (options->data)
        failed |=
            json_object_set_new(params, "data", json_string(absolute(path, options->data)));
    if (!failed)
        return params;
    json_decref(params);
    return NULL;
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

static void print_hint(const hw_options *options)
{
    /* A password stays out of sight. */
    const bool shown = options->broker && !strchr(options->broker, '@');

    fprintf(stderr,
            "    celeriac -A hotwords.so%s%s worker -n celery_test -c 4 -l info -Q %s\n",
            shown ? " -b " : "", shown ? options->broker : "", options->queue);
}

/* What is left until `deadline_ms` (negative: there is none), at most `most_ms`. */
static int64_t time_left(int64_t deadline_ms, int64_t most_ms)
{
    const int64_t left = deadline_ms < 0 ? most_ms : deadline_ms - now_ms();

    return left < 0 ? 0 : left < most_ms ? left : most_ms;
}

/* Waits until more than *done parts have ended, or the deadline has passed. Says after a while that
 * a worker may be missing. */
static cel_code wait_for_part(const hw_options *options,
                              cel_result *group,
                              size_t *done,
                              int64_t deadline_ms,
                              cel_error *err)
{
    cel_code code = CEL_ETIMEDOUT;

    if (*done == 0 && (deadline_ms < 0 || time_left(deadline_ms, INT64_MAX) > HINT_MS)) {
        code = cel_result_wait(group, 0, done, HINT_MS, err);
        if (code != CEL_ETIMEDOUT)
            return code;
        end_progress(isatty(STDERR_FILENO));
        fputs("waiting for a worker; one is started with\n", stderr);
        print_hint(options);
        show_progress(0, cel_result_count(group), isatty(STDERR_FILENO));
    }
    return cel_result_wait(group, *done, done,
                           deadline_ms < 0 ? -1 : time_left(deadline_ms, INT64_MAX), err);
}

/* Waits for the parts, then for the body. CEL_OK: *model is the caller's. */
static cel_code
wait_for_model(json_t **model, const hw_options *options, cel_result *result, cel_error *err)
{
    const bool terminal = isatty(STDERR_FILENO);
    const int64_t deadline_ms = options->timeout_ms < 0 ? -1 : now_ms() + options->timeout_ms;
    cel_result *group = cel_result_parent(result);
    size_t total = group ? cel_result_count(group) : 0;
    size_t done = 0;
    cel_code code = CEL_OK;

    show_progress(0, total, terminal);
    while (code == CEL_OK && done < total) {
        bool ended = false;

        code = wait_for_part(options, group, &done, deadline_ms, err);
        if (code == CEL_OK)
            show_progress(done, total, terminal);
        /* When a part fails, the body's failure may be there before the other parts are. */
        if (code == CEL_OK && cel_result_ready(result, &ended, NULL) == CEL_OK && ended)
            break;
    }
    end_progress(terminal);
    if (code == CEL_OK)
        code = cel_result_get(result, model,
                              deadline_ms < 0 ? -1 : time_left(deadline_ms, INT64_MAX), err);
    return code;
}

/* ---- failures ---- */

static void print_failure(const cel_result *result, const cel_error *err)
{
    const char *message = cel_result_exception_message(result);

    fprintf(stderr, "%s: ", err->exc_type[0] ? err->exc_type : cel_code_text(err->code));
    hw_print_clean(stderr, message ? message : err->message);
    fputc('\n', stderr);
}

static void print_failed_part(const hw_options *options,
                              size_t i,
                              const cel_result *part,
                              const cel_error *err)
{
    const size_t day = i / options->range_count;
    const size_t range = i % options->range_count;

    fprintf(stderr, "  %s, levels %" PRId64 "-%" PRId64 " (task %s): ", options->dates[day],
            options->ranges[range].lo, options->ranges[range].hi, cel_result_id(part));
    print_failure(part, err);
}

/* Says which parts failed, and how; if none has, how the body failed. */
static void explain(const hw_options *options, cel_result *result, const cel_error *err)
{
    cel_result *group = cel_result_parent(result);
    size_t failed = 0;

    for (size_t i = 0; group && i < cel_result_count(group); i++) {
        cel_result *part = cel_result_child(group, i);
        cel_error why = {0};
        cel_code code = cel_result_get(part, NULL, 0, &why);

        if (code != CEL_ETASK && code != CEL_EREVOKED)
            continue;
        if (failed++ == 0)
            fputs("hotwords: the job failed, and there is no ranking, because of\n", stderr);
        print_failed_part(options, i, part, &why);
    }
    if (failed == 0) {
        fprintf(stderr, "hotwords: make_model (task %s) failed: ", cel_result_id(result));
        print_failure(result, err);
    }
}

static int
fail(const hw_options *options, cel_result *result, cel_code code, const cel_error *err)
{
    if (result && (code == CEL_ETASK || code == CEL_EREVOKED)) {
        explain(options, result, err);
        return EXIT_FAILURE;
    }
    if (result && code == CEL_ETIMEDOUT) {
        fprintf(stderr,
                "hotwords: no result within %g seconds; the job %s stays in the queue.\n"
                "Is a worker running? Start one with\n",
                (double)options->timeout_ms / 1000, cel_result_id(result));
        print_hint(options);
        return EXIT_UNAVAILABLE;
    }
    fprintf(stderr, "hotwords: %s\n", err->message);
    return code == CEL_ECONN || code == CEL_ETIMEDOUT ? EXIT_UNAVAILABLE : EXIT_FAILURE;
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

/* Sends the job itself, and waits at the result store. */
static int run_directly(const hw_options *options, cel_app *app)
{
    json_t *params = make_params(options);
    cel_signature *job;
    cel_result *result = NULL;
    json_t *model = NULL;
    cel_error err = {0};
    cel_code code = CEL_OK;
    int status;

    job = params ? hw_flow(app, params, NULL, &err) : NULL;
    if (!job)
        code = params ? err.code : cel_error_set(&err, CEL_ENOMEM, "no memory for the job");
    if (code == CEL_OK)
        code = cel_apply(app, &result, job, CEL_SEND_OPTIONS(.queue = options->queue), &err);
    cel_signature_free(job);
    json_decref(params);
    if (code == CEL_OK) {
        const size_t parts = options->date_count * options->range_count;

        fprintf(stderr, "job %s: %zu part%s sent to the queue %s\n", cel_result_id(result),
                parts, parts == 1 ? "" : "s", options->queue);
        code = wait_for_model(&model, options, result, &err);
    }
    status = code == CEL_OK ? show(options, model) : fail(options, result, code, &err);
    json_decref(model);
    cel_result_free(result);
    return status;
}

/* ---- through a dispatcher ---- */

static void on_message(void *user, const json_t *message)
{
    const hw_options *options = user;
    const json_t *done = json_object_get(message, "done");
    const bool terminal = isatty(STDERR_FILENO);

    if (done) {
        show_progress((size_t)json_integer_value(done),
                      (size_t)json_integer_value(json_object_get(message, "total")), terminal);
    } else if (json_object_get(message, "parts")) {
        const char *id = json_string_value(json_object_get(message, "id"));

        fprintf(stderr, "job %s: %zu parts sent to the queue %s by the dispatcher\n",
                id ? id : "?", json_array_size(json_object_get(message, "parts")),
                options->queue);
        show_progress(0, json_array_size(json_object_get(message, "parts")), terminal);
    } else {
        end_progress(terminal);
    }
}

/* The dispatcher answers at once if there is one. */
static int64_t answer_timeout(const hw_options *options)
{
    return options->timeout_ms < ANSWER_MS ? options->timeout_ms : ANSWER_MS;
}

static int run_by_rpc(const hw_options *options, cel_app *app)
{
    json_t *request = make_params(options);
    json_t *answer = NULL;
    cel_error err = {0};
    cel_code code = CEL_ENOMEM;
    int status;

    if (!request || json_object_set_new(request, "flow", json_string(HW_FLOW)) != 0 ||
        json_object_set_new(request, "queue", json_string(options->queue)) != 0)
        json_decref(request);
    else
        code = cel_rpc(app, &answer, request,
                       CEL_RPC_OPTIONS(.queue = options->rpc, .wait = true,
                                       .timeout_ms = answer_timeout(options),
                                       .result_timeout_ms = options->timeout_ms,
                                       .on_message = on_message, .user = (void *)options),
                       &err);
    if (code == CEL_OK) {
        status = show(options, json_object_get(answer, "result"));
    } else if (code == CEL_ETASK || code == CEL_EREVOKED) {
        fprintf(stderr, "hotwords: the job failed: %s: ", err.exc_type);
        hw_print_clean(stderr, err.message);
        fputc('\n', stderr);
        status = EXIT_FAILURE;
    } else {
        status = fail(options, NULL, code, &err);
    }
    json_decref(answer);
    return status;
}

static int run(const hw_options *options, cel_app *app)
{
    return options->rpc ? run_by_rpc(options, app) : run_directly(options, app);
}

static void print_log(void *user, cel_log_level level, const char *message, size_t len)
{
    (void)user;
    (void)level;
    fprintf(stderr, "hotwords: %.*s\n", len < INT_MAX ? (int)len : INT_MAX, message);
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
