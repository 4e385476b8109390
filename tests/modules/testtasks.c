/* testtasks.c - the tasks that the integration tests run.
 *
 *   test.add(x, y)                    their sum, integers
 *   test.echo(value=None)             the value
 *   test.arguments(...)               {"args": [...], "kwargs": {...}}; takes anything
 *   test.whoami()                     {"id", "pid", "hostname", "queue", "retries", "redelivered", "root_id", "parent_id", "group"}
 *   test.who(..., label)              {"label", "args": those before, "id", "root", "parent", "group", "index"}: who was called with what
 *   test.who_fails(..., label)        ValueError(label)
 *   test.tell(..., path, label)       appends [label, [those before]] to the file `path`, as JSON
 *   test.hear(task_id=None, *, path, label) appends [label, [task_id]] likewise: an errback
 *   test.xsum(numbers)                the sum of a list: the body of chords
 *   test.none()                       null
 *   test.big(bytes)                   a string of that many x
 *   test.fail(message="boom", type="ValueError")
 *   test.expected(message="boom")     raises KeyError, which the task declares with `throws`
 *   test.forget()                     returns NULL without an exception: a RuntimeError
 *   test.sleep(seconds, result=None)  sleeps; ends early, with SoftTimeLimitExceeded, when it is canceled
 *   test.stubborn(seconds)            sleeps and does not care
 *   test.gate(path, result=None)      appends its id to `path`.started, then waits until the file `path` exists
 *   test.append(path, text)           appends a line to a file: how often was it run?
 *   test.crash(path=None)             dies of SIGSEGV, each time; appends a line to `path` before
 *   test.crash_once(path)             dies of SIGSEGV if the file `path` is not there, and makes it before
 *   test.exit(status)                 leaves with _exit()
 *   test.memory(mib)                  takes that much memory and keeps it
 *   test.progress(steps)              stores PROGRESS {"done": i, "of": steps} before each step
 *   test.retry(times, countdown=0)    retries that often, then returns the number of retries
 *   test.retry_forever()              retries at once until max_retries (3) are used up: its exception is Exception('again')
 *   test.ignore()                     cel_ignore()
 *   test.reject(requeue=False)        cel_reject(); late
 *   test.send(task, args, now=False)  sends a sub-task and returns its id
 *   test.replace(..., signature)      puts the signature in its place, given what comes before
 *   test.add_to_chord(..., signature) adds the signature to its chord and returns what comes before
 *   test.log(level, text)             logs
 *   test.step(path, number, seconds=0) appends the number to a file, takes that long and returns the number
 *
 * proj.* are those of tests/vectors: they return what they were given, as test.arguments does.
 * xsum, gate, sleep, append, crash, crash_once and step are there as test.late.* too: with acks_late; xsum, crash, crash_once
 * and step also with reject_on_worker_lost. */
#include <celeriac.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return NULL;
    return json_integer(x + y);
}

static json_t *echo(cel_request *req)
{
    json_t *value = NULL;

    if (cel_unpack(req, "|value:O", &value) != CEL_OK)
        return NULL;
    return value ? json_incref(value) : json_null();
}

static json_t *arguments(cel_request *req)
{
    const json_t *args = cel_request_args(req);
    const json_t *kwargs = cel_request_kwargs(req);

    if (!args || !kwargs)
        return NULL;
    return json_pack("{s:o, s:o}", "args", json_deep_copy(args), "kwargs",
                     json_deep_copy(kwargs));
}

static json_t *whoami(cel_request *req)
{
    return json_pack("{s:s, s:i, s:s, s:s, s:I, s:b, s:s, s:s?, s:s?}", "id",
                     cel_request_id(req), "pid", (int)getpid(), "hostname",
                     cel_request_hostname(req), "queue", cel_request_queue(req), "retries",
                     (json_int_t)cel_request_retries(req), "redelivered",
                     cel_request_redelivered(req), "root_id", cel_request_root_id(req),
                     "parent_id", cel_request_parent_id(req), "group", cel_request_group(req));
}

/* Splits the arguments in those that came from before, a new array, and the last `own`, borrowed; NULL after cel_raise(). */
static json_t *split_args(cel_request *req, size_t own, const json_t **last)
{
    const json_t *args = cel_request_args(req);
    size_t count = json_array_size(args);
    json_t *before;

    if (!args)
        return NULL;
    if (count < own)
        return cel_raise(req, "TypeError", "too few arguments");
    before = json_array();
    for (size_t i = 0; i < count - own; i++)
        json_array_append(before, json_array_get(args, i));
    for (size_t i = 0; i < own; i++)
        last[i] = json_array_get(args, count - own + i);
    return before;
}

static json_t *who(cel_request *req)
{
    const json_t *label, *index = json_object_get(cel_request_headers(req), "group_index");
    json_t *before = split_args(req, 1, &label);

    if (!before)
        return NULL;
    return json_pack("{s:O, s:o, s:s, s:s, s:s?, s:s?, s:O?}", "label", label, "args", before,
                     "id", cel_request_id(req), "root", cel_request_root_id(req), "parent",
                     cel_request_parent_id(req), "group", cel_request_group(req), "index",
                     index);
}

static json_t *who_fails(cel_request *req)
{
    const json_t *label;
    json_t *before = split_args(req, 1, &label);

    if (!before)
        return NULL;
    json_decref(before);
    return cel_raise(req, "ValueError", "%s", json_string_value(label));
}

static json_t *xsum(cel_request *req)
{
    json_t *numbers;
    const json_t *number;
    json_int_t sum = 0;
    size_t i;

    if (cel_unpack(req, "numbers:L", &numbers) != CEL_OK)
        return NULL;
    json_array_foreach(numbers, i, number)
    {
        if (!json_is_integer(number))
            return cel_raise(req, "TypeError", "element %zu is no integer", i);
        sum += json_integer_value(number);
    }
    return json_integer(sum);
}

static json_t *none(cel_request *req)
{
    (void)req;
    return json_null();
}

static json_t *big(cel_request *req)
{
    json_int_t bytes;
    json_t *value;
    char *text;

    if (cel_unpack(req, "bytes:I", &bytes) != CEL_OK)
        return NULL;
    if (bytes < 0 || bytes > 256 * 1024 * 1024)
        return cel_raise(req, "ValueError", "bytes is out of range");
    text = malloc((size_t)bytes + 1);
    if (!text)
        return cel_raise(req, "MemoryError", "no memory for %lld bytes", (long long)bytes);
    memset(text, 'x', (size_t)bytes);
    value = json_stringn(text, (size_t)bytes);
    free(text);
    return value;
}

static json_t *fail(cel_request *req)
{
    const char *message = "boom", *type = "ValueError";

    if (cel_unpack(req, "|message:s type:s", &message, &type) != CEL_OK)
        return NULL;
    return cel_raise(req, type, "%s", message);
}

static json_t *expected(cel_request *req)
{
    const char *message = "boom";

    if (cel_unpack(req, "|message:s", &message) != CEL_OK)
        return NULL;
    return cel_raise(req, "KeyError", "%s", message);
}

static json_t *forget(cel_request *req)
{
    (void)req;
    return NULL;
}

static void pause_ms(int64_t ms)
{
    const struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};

    nanosleep(&pause, NULL); /* cut short by the soft limit's signal */
}

static int64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static json_t *result_or(json_t *result, json_t *otherwise)
{
    if (!result)
        return otherwise;
    json_decref(otherwise);
    return json_incref(result);
}

static json_t *sleep_(cel_request *req)
{
    double seconds;
    json_t *result = NULL;
    int64_t end;

    if (cel_unpack(req, "seconds:F |result:O", &seconds, &result) != CEL_OK)
        return NULL;
    end = mono_ms() + (int64_t)(seconds * 1000);
    while (mono_ms() < end) {
        int64_t left = end - mono_ms();

        if (cel_canceled(req))
            return NULL;
        pause_ms(left < 20 ? left : 20);
    }
    return result_or(result, json_real(seconds));
}

static json_t *stubborn(cel_request *req)
{
    double seconds;
    int64_t end;

    if (cel_unpack(req, "seconds:F", &seconds) != CEL_OK)
        return NULL;
    end = mono_ms() + (int64_t)(seconds * 1000);
    while (mono_ms() < end)
        pause_ms(end - mono_ms());
    return json_real(seconds);
}

/* Appends a line in one write(), so that processes do not mix theirs; false after cel_raise(). */
static bool append_line(cel_request *req, const char *path, const char *text)
{
    char line[8192];
    int len = snprintf(line, sizeof line, "%s\n", text);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool good = fd >= 0 && len < (int)sizeof line && write(fd, line, (size_t)len) == len;
    int why = errno;

    if (fd >= 0)
        close(fd);
    if (!good)
        cel_raise(req, "OSError", "%s: %s", path, strerror(why));
    return good;
}

static json_t *tell(cel_request *req)
{
    const json_t *last[2];
    json_t *before = split_args(req, 2, last);
    json_t *told = before ? json_pack("[O, o]", last[1], before) : NULL;
    char *text = told ? json_dumps(told, JSON_COMPACT) : NULL;
    bool good = text && append_line(req, json_string_value(last[0]), text);

    json_decref(told);
    free(text);
    return good ? json_null() : NULL;
}

static json_t *hear(cel_request *req)
{
    json_t *task_id = NULL, *told;
    const char *path, *label;
    char *text;
    bool good;

    if (cel_unpack(req, "|task_id:O *path:s label:s", &task_id, &path, &label) != CEL_OK)
        return NULL;
    told = task_id ? json_pack("[s, [O]]", label, task_id) : json_pack("[s, []]", label);
    text = json_dumps(told, JSON_COMPACT);
    good = text && append_line(req, path, text);
    json_decref(told);
    free(text);
    return good ? json_null() : NULL;
}

static json_t *append(cel_request *req)
{
    const char *path, *text;

    if (cel_unpack(req, "path:s text:s", &path, &text) != CEL_OK ||
        !append_line(req, path, text))
        return NULL;
    return json_null();
}

static json_t *step(cel_request *req)
{
    const char *path;
    json_int_t number;
    double seconds = 0;
    char text[24];
    int64_t end;

    if (cel_unpack(req, "path:s number:I |seconds:F", &path, &number, &seconds) != CEL_OK)
        return NULL;
    snprintf(text, sizeof text, "%lld", (long long)number);
    if (!append_line(req, path, text))
        return NULL;
    end = mono_ms() + (int64_t)(seconds * 1000);
    while (mono_ms() < end && !cel_canceled(req))
        pause_ms(end - mono_ms() < 10 ? end - mono_ms() : 10);
    return cel_canceled(req) ? NULL : json_integer(number);
}

static json_t *gate(cel_request *req)
{
    const char *path;
    json_t *result = NULL;
    char started[4096];

    if (cel_unpack(req, "path:s |result:O", &path, &result) != CEL_OK)
        return NULL;
    snprintf(started, sizeof started, "%s.started", path);
    if (!append_line(req, started, cel_request_id(req)))
        return NULL;
    while (access(path, F_OK) != 0) {
        if (cel_canceled(req))
            return NULL;
        pause_ms(2);
    }
    return result_or(result, json_string("open"));
}

static json_t *die(void)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make an exit of it */
    raise(SIGSEGV);
    return NULL;
}

static json_t *crash(cel_request *req)
{
    const char *path = NULL;

    if (cel_unpack(req, "|path:s", &path) != CEL_OK ||
        (path && !append_line(req, path, cel_request_id(req))))
        return NULL;
    return die();
}

static json_t *crash_once(cel_request *req)
{
    const char *path;

    if (cel_unpack(req, "path:s", &path) != CEL_OK)
        return NULL;
    if (access(path, F_OK) == 0)
        return json_string("survived");
    if (!append_line(req, path, cel_request_id(req)))
        return NULL;
    return die();
}

static json_t *leave(cel_request *req)
{
    int status;

    if (cel_unpack(req, "status:i", &status) != CEL_OK)
        return NULL;
    _exit(status);
}

static void *volatile kept; /* what test.memory() has taken */

static json_t *memory(cel_request *req)
{
    json_int_t mib;
    char *block;

    if (cel_unpack(req, "mib:I", &mib) != CEL_OK)
        return NULL;
    if (mib < 1 || mib > 1024)
        return cel_raise(req, "ValueError", "mib is out of range");
    block = malloc(((size_t)mib << 20) + sizeof(void *));
    if (!block)
        return cel_raise(req, "MemoryError", "no memory for %lld MiB", (long long)mib);
    memset(block, 1, ((size_t)mib << 20) + sizeof(void *));
    memcpy(block, (void *[]){kept}, sizeof(void *));
    kept = block;
    return json_integer(mib);
}

static json_t *progress(cel_request *req)
{
    json_int_t steps;
    cel_error err;

    if (cel_unpack(req, "steps:I", &steps) != CEL_OK)
        return NULL;
    for (json_int_t i = 0; i < steps; i++) {
        if (cel_canceled(req))
            return NULL;
        if (cel_update_state(req, "PROGRESS", json_pack("{s:I, s:I}", "done", i, "of", steps),
                             &err) != CEL_OK)
            return cel_raise(req, "RuntimeError", "%s", err.message);
        pause_ms(10);
    }
    return json_integer(steps);
}

static json_t *retry(cel_request *req)
{
    json_int_t times;
    double countdown = 0;

    if (cel_unpack(req, "times:I |countdown:F", &times, &countdown) != CEL_OK)
        return NULL;
    if (cel_request_retries(req) < times)
        return cel_retry(req, (int64_t)(countdown * 1000), "not yet");
    return json_integer(cel_request_retries(req));
}

static json_t *retry_forever(cel_request *req)
{
    return cel_retry(req, 0, "again");
}

static json_t *ignore(cel_request *req)
{
    return cel_ignore(req);
}

static json_t *reject(cel_request *req)
{
    bool requeue = false;

    if (cel_unpack(req, "|requeue:b", &requeue) != CEL_OK)
        return NULL;
    return cel_reject(req, requeue && !cel_request_redelivered(req), "not for me");
}

static json_t *send(cel_request *req)
{
    const char *task;
    json_t *args;
    bool now = false;
    char id[37];
    cel_signature *signature;
    cel_error err;
    cel_code code;

    if (cel_unpack(req, "task:s args:L |now:b", &task, &args, &now) != CEL_OK)
        return NULL;
    signature = cel_signature_new(task, json_incref(args), NULL);
    code = cel_request_apply(req, signature, now, id, &err);
    cel_signature_free(signature);
    if (code != CEL_OK)
        return cel_raise(req, "RuntimeError", "%s", err.message);
    return json_string(id);
}

/* Makes a signature of the last argument, and an array of those before it; NULL after cel_raise(). */
static cel_signature *last_signature(cel_request *req, json_t **before)
{
    const json_t *last;
    cel_signature *signature = NULL;
    cel_error err;

    *before = split_args(req, 1, &last);
    if (!*before)
        return NULL;
    if (cel_signature_from_json(&signature, last, &err) == CEL_OK)
        return signature;
    json_decref(*before);
    cel_raise(req, "ValueError", "%s", err.message);
    return NULL;
}

static json_t *replace(cel_request *req)
{
    json_t *before;
    cel_signature *signature = last_signature(req, &before);

    return signature ? cel_replace(req, cel_signature_partial(signature, before, NULL)) : NULL;
}

static json_t *add_to_chord(cel_request *req)
{
    json_t *before;
    cel_signature *signature = last_signature(req, &before);
    cel_error err;
    cel_code code;

    if (!signature)
        return NULL;
    code = cel_add_to_chord(req, signature, &err);
    cel_signature_free(signature);
    if (code == CEL_OK)
        return before;
    json_decref(before);
    return cel_raise(req, "ValueError", "%s", err.message);
}

static json_t *log_(cel_request *req)
{
    int level;
    const char *text;

    if (cel_unpack(req, "level:i text:s", &level, &text) != CEL_OK)
        return NULL;
    cel_request_log(req, (cel_log_level)level, "%s", text);
    return json_null();
}

/* ---- flows ---- */

/* {"numbers": [1, 2]}: the chord of test.add(n, 0) and test.xsum; "task" takes the place of test.add. */
static cel_signature *sums(cel_app *app, const json_t *params, void *user, cel_error *err)
{
    const json_t *numbers = json_object_get(params, "numbers");
    const char *task = json_string_value(json_object_get(params, "task"));
    cel_signature *parts[4096];
    size_t count = json_array_size(numbers);

    (void)app;
    (void)user;
    if (count == 0 || count > 4096) {
        cel_error_set(err, CEL_EINVAL, "'numbers' must be a list of 1 to 4096");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = cel_signature_new(task ? task : "test.add",
                                     json_pack("[O, i]", json_array_get(numbers, i), 0), NULL);
    return cel_chord(cel_group(count, parts), cel_sig("test.xsum", NULL));
}

/* {"x": 1, "y": 2}: test.add(x, y); {"x": …, "y": …, "times": 3}: a group of as many. */
static cel_signature *adds(cel_app *app, const json_t *params, void *user, cel_error *err)
{
    const json_t *times = json_object_get(params, "times");
    cel_signature *parts[16];
    size_t count = times ? (size_t)json_integer_value(times) : 1;

    (void)app;
    (void)user;
    if (count > 16) {
        cel_error_set(err, CEL_EINVAL, "'times' is at most 16");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = cel_signature_new(
            "test.add",
            json_pack("[O?, O?]", json_object_get(params, "x"), json_object_get(params, "y")),
            NULL);
    return times ? cel_group(count, parts) : parts[0];
}

CEL_MODULE(testtasks)
{
    static const char *const recorded[] = {"proj.add", "proj.tsum"};

    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
        cel_task_declare(app, recorded[i], arguments, NULL);
    cel_task(app, "test.add", add);
    cel_task(app, "test.echo", echo);
    cel_task(app, "test.arguments", arguments);
    cel_task(app, "test.whoami", whoami);
    cel_task(app, "test.who", who);
    cel_task(app, "test.who_fails", who_fails);
    cel_task(app, "test.tell", tell);
    cel_task(app, "test.hear", hear);
    cel_task(app, "test.xsum", xsum);
    cel_task(app, "test.late.xsum", xsum, .acks_late = 1, .reject_on_worker_lost = 1);
    cel_task(app, "test.none", none);
    cel_task(app, "test.big", big);
    cel_task(app, "test.fail", fail);
    cel_task(app, "test.expected", expected, .throws = "KeyError");
    cel_task(app, "test.forget", forget);
    cel_task(app, "test.sleep", sleep_);
    cel_task(app, "test.stubborn", stubborn);
    cel_task(app, "test.gate", gate);
    cel_task(app, "test.append", append);
    cel_task(app, "test.crash", crash);
    cel_task(app, "test.crash_once", crash_once);
    cel_task(app, "test.exit", leave);
    cel_task(app, "test.memory", memory);
    cel_task(app, "test.progress", progress);
    cel_task(app, "test.retry", retry, .max_retries = -1);
    cel_task(app, "test.retry_forever", retry_forever);
    cel_task(app, "test.ignore", ignore);
    cel_task(app, "test.reject", reject, .acks_late = 1);
    cel_task(app, "test.send", send);
    cel_task(app, "test.replace", replace);
    cel_task(app, "test.add_to_chord", add_to_chord);
    cel_task(app, "test.log", log_);
    cel_task(app, "test.step", step);
    cel_task(app, "test.late.step", step, .acks_late = 1, .reject_on_worker_lost = 1);
    cel_task(app, "test.late.sleep", sleep_, .acks_late = 1);
    cel_task(app, "test.late.gate", gate, .acks_late = 1);
    cel_task(app, "test.late.append", append, .acks_late = 1);
    cel_task(app, "test.late.crash", crash, .acks_late = 1, .reject_on_worker_lost = 1);
    cel_task(app, "test.late.crash_once", crash_once, .acks_late = 1,
             .reject_on_worker_lost = 1);
    cel_flow(app, "sums", sums, .summary = "{numbers} adds up");
    cel_flow(app, "adds", adds, .queue = "adds");
}
