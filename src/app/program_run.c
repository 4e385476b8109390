/* program_run.c - one run of a program, from its input to the task's end.
 *
 *     start -> serve (its output, its end, the limits) -> end with all descendants -> drain -> conclude
 *
 * What it prints is bounded: the result by RESULT_MAX, after which it is killed; of the rest the end is kept. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.h"
#include "app/program.h"
#include "app/request.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"

#define RESULT_MAX     ((size_t)64 << 20)
#define STDERR_KEEP    ((size_t)16 << 10)
#define NOTE_MAX       ((size_t)1 << 20)
#define READ_SIZE      ((size_t)64 << 10)
#define ROUNDS_MAX     2048 /* of reading what is left: descendants may still write */
#define LOOK_MS        100  /* how often the limits are looked at */
#define EXIT_RETRY     75
#define COUNTDOWN_NONE (-1)

struct run {
    cel_request *req;
    const cel_program_entry *program;
    cel_process process;
    cel__buf out, error, notes;
    bool too_much;               /* more than RESULT_MAX */
    bool overlong;               /* the rest of a note's line is skipped */
    bool hard;                   /* killed by the hard limit */
    int64_t started_ms, kill_ms; /* mono; kill_ms 0: it was not told to end */
    char *exc_type;              /* owned; what the last note about an error says */
    char *exc_message;           /* owned */
    int64_t countdown_ms;        /* of the last note about a retry */
};

/* ---- notes ---- */

static void note_error(struct run *run, const json_t *error)
{
    const char *type = json_string_value(json_object_get(error, "type"));
    const char *message = json_string_value(json_object_get(error, "message"));

    cel__free(run->exc_type);
    cel__free(run->exc_message);
    run->exc_type = cel__strdup(type);
    run->exc_message = cel__strdup(message ? message : "");
}

static void note_state(struct run *run, const char *state, json_t *meta)
{
    cel_error err = {0};

    if (cel_update_state(run->req, state, json_incref(meta), &err) != CEL_OK)
        cel_request_log(run->req, CEL_LOG_WARNING, "the state %.80s is not stored: %s", state,
                        err.message);
}

static void take_note(struct run *run, cel_view line)
{
    json_t *note = NULL, *retry, *meta;
    const char *state;
    cel_error err = {0};

    if (line.len == 0)
        return;
    if (cel__json_load(&note, line, &err) != CEL_OK) {
        cel_request_log(run->req, CEL_LOG_WARNING, "a note of the program is no JSON: %s",
                        err.message);
        return;
    }
    retry = json_object_get(note, "retry");
    state = json_string_value(json_object_get(note, "state"));
    meta = json_object_get(note, "meta");
    if (json_object_size(note) == 1 && json_is_object(json_object_get(note, "error")))
        note_error(run, json_object_get(note, "error"));
    else if (json_object_size(note) == 1 && json_is_number(retry))
        run->countdown_ms = json_number_value(retry) >= 0 && json_number_value(retry) < 1e9
                                ? (int64_t)(json_number_value(retry) * 1000)
                                : COUNTDOWN_NONE;
    else if (state && *state && json_object_size(note) == (meta ? 2 : 1))
        note_state(run, state, meta ? meta : json_null());
    else
        note_state(run, "PROGRESS", note);
    json_decref(note);
}

/* Takes whole lines out of the buffer; with `all` the rest is one, too. */
static void take_notes(struct run *run, bool all)
{
    size_t at = 0;
    const char *end;

    while (run->notes.len > at &&
           (end = memchr(run->notes.ptr + at, '\n', run->notes.len - at))) {
        size_t len = (size_t)(end - run->notes.ptr) - at;

        if (!run->overlong)
            take_note(run, (cel_view){run->notes.ptr + at, len});
        run->overlong = false;
        at += len + 1;
    }
    if (all && !run->overlong && run->notes.len > at)
        take_note(run, (cel_view){run->notes.ptr + at, run->notes.len - at});
    if (at > 0)
        memmove(run->notes.ptr, run->notes.ptr + at, run->notes.len - at);
    run->notes.len -= at;
    if (run->notes.len > NOTE_MAX) {
        if (!run->overlong)
            cel_request_log(run->req, CEL_LOG_WARNING,
                            "a note of the program is longer than %zu bytes", NOTE_MAX);
        run->overlong = true;
        run->notes.len = 0;
    }
}

/* ---- what it prints ---- */

static void keep_end(cel__buf *buf, size_t keep)
{
    if (buf->len <= 2 * keep)
        return;
    memmove(buf->ptr, buf->ptr + buf->len - keep, keep);
    buf->len = keep;
}

static void taken(struct run *run, const cel__buf *buf)
{
    if (buf == &run->notes)
        take_notes(run, false);
    else if (buf == &run->error)
        keep_end(&run->error, STDERR_KEEP);
    else if (buf->len > RESULT_MAX)
        run->too_much = true;
}

/* Reads what is there: once, or with `all` until there is nothing more. Closes the descriptor at its end. */
static void take(struct run *run, int *fd, cel__buf *buf, bool all)
{
    for (int round = 0; *fd >= 0 && !run->too_much && round < ROUNDS_MAX; round++) {
        char *to = cel__buf_reserve(buf, READ_SIZE);
        ssize_t got;

        if (!to) {
            run->too_much = true;
            return;
        }
        got = read(*fd, to, READ_SIZE);
        if (got > 0) {
            buf->len += (size_t)got;
            taken(run, buf);
        } else if (got == 0) {
            close(*fd);
            *fd = -1;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || !all)
            return;
    }
}

static void take_all(struct run *run)
{
    take(run, &run->process.out, &run->out, true);
    take(run, &run->process.error, &run->error, true);
    take(run, &run->process.notes, &run->notes, true);
    take_notes(run, true);
}

/* ---- while it runs ---- */

static int64_t now_ms(const struct run *run)
{
    return cel__clock_mono_ms(run->req->app->clock);
}

/* Tells it to end when it must. False: it is to be ended now. */
static bool within_limits(struct run *run)
{
    int64_t hard_ms = run->req->call->hard_limit_ms;

    if (run->too_much)
        return false;
    if (hard_ms > 0 && !run->process.guarded && now_ms(run) - run->started_ms >= hard_ms) {
        run->hard = true;
        return false;
    }
    if (!run->kill_ms && cel_canceled(run->req)) {
        run->kill_ms = now_ms(run) + run->program->grace_ms;
        cel__process_signal(&run->process, SIGTERM);
    }
    return !run->kill_ms || now_ms(run) < run->kill_ms;
}

static void serve(struct run *run)
{
    cel_process *process = &run->process;

    while (within_limits(run)) {
        struct pollfd fds[] = {{.fd = process->exited, .events = POLLIN},
                               {.fd = process->out, .events = POLLIN},
                               {.fd = process->error, .events = POLLIN},
                               {.fd = process->notes, .events = POLLIN}};

        if (poll(fds, 4, LOOK_MS) < 0)
            continue; /* interrupted: a limit */
        if (fds[1].revents)
            take(run, &process->out, &run->out, false);
        if (fds[2].revents)
            take(run, &process->error, &run->error, false);
        if (fds[3].revents)
            take(run, &process->notes, &run->notes, false);
        if (fds[0].revents)
            return;
    }
}

/* ---- environment and input ---- */

static void add_input(cel__buf *buf, const cel_request *req)
{
    cel__buf_add_str(buf, "{\"task\": ");
    cel__buf_add_json(buf, req->headers->task);
    cel__buf_add_str(buf, ", \"id\": ");
    cel__buf_add_json(buf, req->headers->id);
    cel__buf_addf(buf, ", \"retries\": %lld, \"args\": ", (long long)req->headers->retries);
    if (req->args) /* another task's, of a map over this one; or read before */
        cel__json_dump(buf, req->args);
    else
        cel__buf_add_view(buf, req->body->args);
    cel__buf_add_str(buf, ", \"kwargs\": ");
    if (req->kwargs)
        cel__json_dump(buf, req->kwargs);
    else
        cel__buf_add_view(buf, req->body->kwargs);
    cel__buf_add_str(buf, "}\n");
}

#define OWN_VARIABLES 4

/* Returns the whole environment, an array that the caller frees; the texts are others' and `own`. */
static const char **make_environment(const cel_program_entry *program,
                                     const char *const own[OWN_VARIABLES])
{
    size_t inherited = 0, added = 0, count = 0;
    const char **all;

    while (environ && environ[inherited])
        inherited++;
    while (program->environment[added])
        added++;
    all = cel__calloc(inherited + added + OWN_VARIABLES + 1, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < OWN_VARIABLES; i++) /* of two with one name the first counts */
        all[count++] = own[i];
    for (size_t i = 0; i < added; i++)
        all[count++] = program->environment[i];
    for (size_t i = 0; i < inherited; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool hidden = false;

        for (size_t j = 0; j < OWN_VARIABLES + added && !hidden; j++)
            hidden = strncmp(all[j], environ[i], name) == 0;
        if (!hidden)
            all[count++] = environ[i];
    }
    return all;
}

static cel_code start(struct run *run, cel_error *err)
{
    cel_request *req = run->req;
    cel__buf input = {0}, id = {0}, name = {0}, retries = {0}, child = {0};
    const char **environment = NULL;
    cel_code code = CEL_ENOMEM;

    add_input(&input, req);
    cel__buf_addf(&id, "CELERIAC_TASK_ID=%s", cel_request_id(req));
    cel__buf_addf(&name, "CELERIAC_TASK_NAME=%s", cel_request_task(req));
    cel__buf_addf(&retries, "CELERIAC_RETRIES=%lld", (long long)req->headers->retries);
    cel__buf_addf(&child, CEL_POOL_VARIABLE "=%d", (int)getpid());
    if (cel__buf_cstr(&id) && cel__buf_cstr(&name) && cel__buf_cstr(&retries) &&
        cel__buf_cstr(&child))
        environment = make_environment(
            run->program,
            (const char *[OWN_VARIABLES]){id.ptr, name.ptr, retries.ptr, child.ptr});
    if (!environment || input.failed)
        cel_error_set(err, CEL_ENOMEM, "no memory");
    else
        code = cel__process_start(
            &run->process,
            &(cel_process_spec){.argv = (const char *const *)run->program->argv,
                                .environment = environment,
                                .directory = run->program->directory,
                                .input = cel__buf_view(&input)},
            err);
    cel__free(environment);
    cel__buf_done(&input);
    cel__buf_done(&id);
    cel__buf_done(&name);
    cel__buf_done(&retries);
    cel__buf_done(&child);
    return code;
}

/* ---- the end ---- */

/* Appends the text, bytes that are no UTF-8 replaced. */
static void add_clean(cel__buf *buf, cel_view text)
{
    while (text.len > 0) {
        uint32_t cp;
        size_t len = cel__utf8_decode(text.ptr, text.len, &cp);
        char clean[4];

        if (cp == 0 || (cp >= 0xD800 && cp <= 0xDFFF))
            cp = CEL_UTF8_REPLACEMENT;
        cel__buf_add(buf, clean, cel__utf8_encode(cp, clean));
        text = (cel_view){text.ptr + len, text.len - len};
    }
}

static cel_view last_line(cel_view text)
{
    size_t start;

    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    start = text.len;
    while (start > 0 && text.ptr[start - 1] != '\n')
        start--;
    return (cel_view){text.ptr + start, text.len - start};
}

/* Keeps what it wrote to its standard error for the traceback, indented. */
static void keep_details(struct run *run, cel_view error)
{
    cel__buf lines = {0};

    while (error.len > 0) {
        const char *end = memchr(error.ptr, '\n', error.len);
        size_t len = end ? (size_t)(end - error.ptr) : error.len;

        cel__buf_add_str(&lines, "    ");
        cel__buf_add(&lines, error.ptr, len);
        cel__buf_add_byte(&lines, '\n');
        len += end != NULL;
        error = (cel_view){error.ptr + len, error.len - len};
    }
    if (!lines.failed && lines.len > 0)
        run->req->details = cel__arena_copy(&run->req->texts, cel__buf_view(&lines));
    cel__buf_done(&lines);
}

static void raise_noted(struct run *run)
{
    cel_raise(run->req, run->exc_type, "%s", run->exc_message ? run->exc_message : "");
}

static json_t *fail(struct run *run, int status, cel_view error)
{
    const char *name = run->program->argv[0];
    cel_view line = last_line(error);
    char how[64];

    if (line.len > 400)
        line.len = 400;
    if (WIFSIGNALED(status)) {
        const char *abbreviation = sigabbrev_np(WTERMSIG(status));

        snprintf(how, sizeof how, "was ended by signal %d (SIG%s)", WTERMSIG(status),
                 abbreviation ? abbreviation : "?");
    } else {
        snprintf(how, sizeof how, "exited with status %d", WEXITSTATUS(status));
    }
    return cel_raise(run->req, "ChildProcessError", "%s %s%s%.*s", name, how,
                     line.len > 0 ? ": " : "", CEL_VIEW_ARG(line));
}

static json_t *succeed(struct run *run)
{
    cel_view text = cel__buf_view(&run->out);
    json_t *value = NULL;
    cel_error err = {0};

    if (run->program->text_result) {
        if (text.len > 0 && text.ptr[text.len - 1] == '\n')
            text.len--;
        value = json_stringn(text.len > 0 ? text.ptr : "", text.len);
        return value ? value
                     : cel_raise(run->req, "ValueError", "%s printed what is no UTF-8",
                                 run->program->argv[0]);
    }
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]))
        text.len--;
    if (text.len == 0)
        return json_null();
    if (cel__json_load(&value, text, &err) != CEL_OK)
        return cel_raise(run->req, "ValueError", "%s printed what is no JSON: %s",
                         run->program->argv[0], err.message);
    return value;
}

static json_t *conclude(struct run *run, int status, cel_view error)
{
    cel_request *req = run->req;
    double seconds = (double)req->call->hard_limit_ms / 1000;

    if (run->hard)
        return cel_raise_args(req, "TimeLimitExceeded",
                              seconds == floor(seconds) ? json_pack("[I]", (json_int_t)seconds)
                                                        : json_pack("[f]", seconds));
    if (run->too_much)
        return cel_raise(req, "MemoryError", "%s printed more than %zu bytes",
                         run->program->argv[0], RESULT_MAX);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return succeed(run);
    if (run->kill_ms)
        return cel_raise_args(req, "SoftTimeLimitExceeded", json_array());
    if (run->exc_type)
        raise_noted(run);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_RETRY ||
             last_line(error).len > 0)
        fail(run, status, error);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_RETRY)
        cel_retry(req, run->countdown_ms, NULL);
    return NULL;
}

static json_t *finish(struct run *run)
{
    int status;
    cel__buf error = {0};
    json_t *value;

    take_all(run);
    status = cel__process_end(&run->process);
    add_clean(&error, cel__buf_view(&run->error));
    if (error.len > STDERR_KEEP) {
        memmove(error.ptr, error.ptr + error.len - STDERR_KEEP, STDERR_KEEP);
        error.len = STDERR_KEEP;
        while (error.len > 0 && (*error.ptr & 0xC0) == 0x80) /* the rest of a cut character */
            memmove(error.ptr, error.ptr + 1, --error.len);
    }
    value = conclude(run, status, cel__buf_view(&error));
    if (!value)
        keep_details(run, cel__buf_view(&error));
    else if (error.len > 0)
        cel_request_log(run->req, CEL_LOG_INFO, "%.*s", CEL_VIEW_ARG(cel__buf_view(&error)));
    cel__buf_done(&error);
    return value;
}

json_t *cel__program_run(cel_request *req)
{
    struct run run = {.req = req,
                      .program = req->entry->program,
                      .out = {.max = RESULT_MAX + 2 * READ_SIZE},
                      .countdown_ms = COUNTDOWN_NONE};
    json_t *value = NULL;
    cel_error err = {0};

    run.started_ms = now_ms(&run);
    if (start(&run, &err) == CEL_OK) {
        serve(&run);
        value = finish(&run);
    } else {
        cel_raise(req, err.code == CEL_ENOENT ? "FileNotFoundError" : "OSError",
                  "%s cannot be run: %s", run.program->argv[0], err.message);
    }
    cel__buf_done(&run.out);
    cel__buf_done(&run.error);
    cel__buf_done(&run.notes);
    cel__free(run.exc_type);
    cel__free(run.exc_message);
    return value;
}
