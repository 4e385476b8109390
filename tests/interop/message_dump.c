/* message_dump.c - prints messages and result documents that the library builds, one JSON
 * object a line, for message_interop.py to read with Celery. */
#include <stdio.h>

#include "message/result.h"
#include "message/task.h"

#define NOW_US INT64_C(1795402874105188) /* 2026-11-23T03:01:14.105188+00:00 */

static int failures;

static void put_hex(cel__buf *line, cel_view bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        cel__buf_addf(line, "%02x", (unsigned)(unsigned char)bytes.ptr[i]);
}

static void print_line(cel__buf *line)
{
    const char *text = cel__buf_cstr(line);

    if (text)
        puts(text);
    else
        failures++;
    cel__buf_done(line);
}

static void print_message(const char *name, const cel_task_message *spec)
{
    cel__buf buf = {0}, line = {0};
    cel_message message;
    cel_error err;

    if (cel__task_message_build(&message, spec, NOW_US, &buf, &err)) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        failures++;
        return;
    }
    cel__buf_addf(&line, "{\"kind\": \"message\", \"name\": \"%s\", \"properties\": ", name);
    cel__message_dump_properties(&line, &message);
    cel__buf_add_str(&line, ", \"headers\": ");
    cel__buf_add_view(&line, message.headers);
    cel__buf_add_str(&line, ", \"body_hex\": \"");
    put_hex(&line, message.body);
    cel__buf_add_str(&line, "\"}");
    print_line(&line);
    cel__buf_done(&buf);
}

static cel_task_message plain(void)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = CEL_VIEW("proj.add");
    spec.id = CEL_VIEW("I1");
    spec.args = CEL_VIEW("[2, 3]");
    spec.origin = CEL_VIEW("gen1@vm");
    spec.reply_to = CEL_VIEW("RT");
    spec.routing_key = CEL_VIEW("vq");
    return spec;
}

static cel_task_message full(void)
{
    cel_task_message spec = plain();

    spec.kwargs =
        CEL_VIEW("{\"k\\u00e9y\": [1.0, 1180591620717411303424, NaN, \"\\ud83d\\ude00\"]}");
    spec.callbacks =
        CEL_VIEW("[{\"task\": \"proj.add\", \"args\": [1], \"kwargs\": {}, \"options\": {}, "
                 "\"subtask_type\": null, \"immutable\": false}]");
    spec.errbacks = spec.callbacks;
    spec.chain = spec.callbacks;
    spec.chord =
        CEL_VIEW("{\"task\": \"proj.add\", \"args\": [], \"kwargs\": {}, \"options\": "
                 "{\"task_id\": \"B\"}, \"subtask_type\": null, \"immutable\": false}");
    spec.shadow = CEL_VIEW("sh\xc3\xa4"
                           "dow");
    spec.group = CEL_VIEW("G");
    spec.root_id = CEL_VIEW("R");
    spec.parent_id = CEL_VIEW("P");
    spec.group_index = 4;
    spec.retries = 2;
    spec.eta_us = NOW_US + 1000000;
    spec.expires_us = NOW_US + 60000000;
    spec.time_limit_s = 30;
    spec.soft_time_limit_s = 2.5;
    spec.ignore_result = 1;
    spec.replaced_task_nesting = 1;
    spec.stamped_headers = CEL_VIEW("[\"tenant\"]");
    spec.stamps = CEL_VIEW("{\"tenant\": \"t1\"}");
    spec.headers = CEL_VIEW("{\"custom\": {\"a\": [1, null]}}");
    spec.priority = 9;
    spec.delivery_mode = 1;
    return spec;
}

static void print_result(const char *name, const cel_result_meta *meta)
{
    cel__buf line = {0};

    cel__buf_addf(&line, "{\"kind\": \"result\", \"name\": \"%s\", \"document\": ", name);
    cel__result_meta_dump(&line, meta);
    cel__buf_add_byte(&line, '}');
    print_line(&line);
}

static void print_failure(const char *type, const char *module, const char *args)
{
    cel_exception exception = {cel__view(type), cel__view(module), cel__view(args)};
    cel__buf result = {0}, line = {0}, repr = {0}, str = {0};
    cel_result_meta meta = {.task_id = CEL_VIEW("I1"),
                            .status = CEL_VIEW("FAILURE"),
                            .traceback = CEL_VIEW("Traceback\n"),
                            .date_done_us = NOW_US};

    cel__exception_dump(&result, &exception);
    meta.result = cel__buf_view(&result);
    cel__exception_repr(&repr, &exception);
    cel__exception_str(&str, &exception);
    cel__buf_addf(&line, "{\"kind\": \"failure\", \"name\": \"%s\", \"repr\": ", type);
    cel__buf_add_json(&line, cel__buf_view(&repr));
    cel__buf_add_str(&line, ", \"str\": ");
    cel__buf_add_json(&line, cel__buf_view(&str));
    cel__buf_add_str(&line, ", \"document\": ");
    cel__result_meta_dump(&line, &meta);
    cel__buf_add_byte(&line, '}');
    print_line(&line);
    cel__buf_done(&result);
    cel__buf_done(&repr);
    cel__buf_done(&str);
}

int main(void)
{
    cel_task_message spec = plain();
    cel_result_meta meta = {.task_id = CEL_VIEW("I1"),
                            .status = CEL_VIEW("SUCCESS"),
                            .result = CEL_VIEW("[3, 1.0]"),
                            .children = CEL_VIEW("[[[\"I2\", null], null]]"),
                            .date_done_us = NOW_US};

    print_message("plain", &spec);
    spec.compression = "zlib";
    print_message("zlib", &spec);
    spec = full();
    print_message("full", &spec);
    print_result("success", &meta);
    meta.name = CEL_VIEW("proj.add");
    meta.args = CEL_VIEW("[1, 2]");
    meta.kwargs = CEL_VIEW("{}");
    meta.worker = CEL_VIEW("w1@vm");
    meta.queue = CEL_VIEW("vq");
    meta.group_id = CEL_VIEW("G");
    meta.parent_id = CEL_VIEW("P");
    print_result("extended", &meta);
    print_failure("ValueError", "builtins", "[\"boom\", 42]");
    print_failure("KeyError", "builtins", "[\"it's \\\"x\\\"\"]");
    print_failure("FileNotFoundError", "builtins", "[2, \"No such file or directory\"]");
    print_failure("TaskRevokedError", "celery.exceptions", "[\"expired\"]");
    print_failure("SoftTimeLimitExceeded", "billiard.exceptions", "[]");
    print_failure("TimeLimitExceeded", "billiard.exceptions", "[1]");
    print_failure("WorkerLostError", "billiard.exceptions", "[\"signal 9\"]");
    print_failure("ChordError", "celery.exceptions",
                  "[\"Dependency I4 raised ValueError('boom', 42)\"]");
    print_failure("NoSuchError", "nowhere", "[1, null]");
    return failures ? 1 : 0;
}
