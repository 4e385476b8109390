/* task_test.c - messages by hand. Those that Celery recorded are in vectors_test.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "core/mem.h"
#include "message/task.h"

#define NOW_US INT64_C(1700000000000000)

static cel_task_message simple(void)
{
    cel_task_message spec = CEL_TASK_MESSAGE_INIT;

    spec.task = CEL_VIEW("proj.add");
    spec.id = CEL_VIEW("I1");
    spec.args = CEL_VIEW("[2, 3]");
    spec.origin = CEL_VIEW("gen1@vm");
    return spec;
}

static const cel__coding *limited(size_t max_bytes)
{
    static cel__coding coding;

    coding = cel__coding_json;
    coding.max_bytes = max_bytes;
    return &coding;
}

static void assert_text(cel_view text, const char *want)
{
    if (!cel__view_is(text, want))
        fail_msg("\n got %.*s\nwant %s", CEL_VIEW_ARG(text), want);
}

static void a_plain_message_is_celerys(void **state)
{
    cel_task_message spec = simple();
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    spec.ignore_result = 0;
    spec.routing_key = CEL_VIEW("celery");
    assert_int_equal(cel__task_message_build(&message, &spec, NOW_US, &buf, NULL), CEL_OK);
    assert_text(message.headers,
                "{\"lang\": \"py\", \"task\": \"proj.add\", \"id\": \"I1\", \"shadow\": null, "
                "\"eta\": null, \"expires\": null, \"group\": null, \"group_index\": null, "
                "\"retries\": 0, \"timelimit\": [null, null], \"root_id\": \"I1\", "
                "\"parent_id\": null, \"argsrepr\": \"(2, 3)\", \"kwargsrepr\": \"{}\", "
                "\"origin\": \"gen1@vm\", \"ignore_result\": false, "
                "\"replaced_task_nesting\": 0, \"stamped_headers\": null, \"stamps\": {}}");
    assert_text(message.body, "[[2, 3], {}, {\"callbacks\": null, \"errbacks\": null, "
                              "\"chain\": null, \"chord\": null}]");
    assert_text(message.content_type, "application/json");
    assert_text(message.content_encoding, "utf-8");
    assert_text(message.correlation_id, "I1");
    assert_text(message.reply_to, "");
    assert_text(message.exchange, "");
    assert_text(message.routing_key, "celery");
    assert_null(message.expiration.ptr);
    assert_int_equal(message.delivery_mode, 2);
    assert_int_equal(message.priority, 0);
    assert_int_equal(message.eta_ms, 0);
    cel__buf_done(&buf);
}

static void every_field_finds_its_way_back(void **state)
{
    cel_task_message spec = simple();
    cel__buf buf = {0}, scratch = {0}, body_scratch = {0};
    cel_task_headers headers;
    cel_task_body body;
    cel_message message;

    (void)state;
    spec.kwargs = CEL_VIEW("{\"k\": \"\\u00e9\"}");
    spec.callbacks = CEL_VIEW("[{\"task\": \"a\"}]");
    spec.errbacks = CEL_VIEW("[{\"task\": \"b\"}]");
    spec.chain = CEL_VIEW("[{\"task\": \"c\"}]");
    spec.chord = CEL_VIEW("{\"task\": \"d\"}");
    spec.shadow = CEL_VIEW("sh\"adow");
    spec.group = CEL_VIEW("G1");
    spec.root_id = CEL_VIEW("R1");
    spec.parent_id = CEL_VIEW("P1");
    spec.group_index = 7;
    spec.retries = 2;
    spec.eta_us = NOW_US + 1500001;
    spec.expires_us = NOW_US + 60000000;
    spec.time_limit_s = 30;
    spec.soft_time_limit_s = 2.5;
    spec.ignore_result = 1;
    spec.replaced_task_nesting = 3;
    spec.stamped_headers = CEL_VIEW("[\"t\"]");
    spec.stamps = CEL_VIEW("{\"t\": 1}");
    spec.argsrepr = CEL_VIEW("('<secret>',)");
    spec.priority = 9;
    spec.delivery_mode = 1;
    spec.compression = "zlib";
    assert_int_equal(cel__task_message_build(&message, &spec, NOW_US, &buf, NULL), CEL_OK);
    assert_text(message.expiration, "60000");
    assert_int_equal(message.eta_ms, NOW_US / 1000 + 1501);
    assert_int_equal(message.priority, 9);
    assert_int_equal(message.delivery_mode, 1);

    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL), CEL_OK);
    assert_int_equal(headers.protocol, 2);
    assert_text(headers.task, "proj.add");
    assert_text(headers.id, "I1");
    assert_text(headers.shadow, "sh\"adow");
    assert_text(headers.group, "G1");
    assert_text(headers.root_id, "R1");
    assert_text(headers.parent_id, "P1");
    assert_text(headers.argsrepr, "('<secret>',)");
    assert_text(headers.kwargsrepr, "{'k': '\xc3\xa9'}");
    assert_text(headers.origin, "gen1@vm");
    assert_text(headers.compression, "application/x-gzip");
    assert_text(headers.stamped_headers, "[\"t\"]");
    assert_text(headers.stamps, "{\"t\": 1}");
    assert_int_equal(headers.group_index, 7);
    assert_int_equal(headers.retries, 2);
    assert_true(headers.eta_us == spec.eta_us && headers.expires_us == spec.expires_us);
    assert_true(headers.time_limit_s == 30 && headers.soft_time_limit_s == 2.5);
    assert_int_equal(headers.ignore_result, 1);
    assert_int_equal(headers.replaced_task_nesting, 3);
    assert_null(headers.embed.ptr);

    assert_int_equal(cel__task_body_read(&body, &message, &headers, NULL, &body_scratch, NULL),
                     CEL_OK);
    assert_text(body.args, "[2, 3]");
    assert_text(body.kwargs, "{\"k\": \"\\u00e9\"}");
    assert_text(body.callbacks, "[{\"task\": \"a\"}]");
    assert_text(body.errbacks, "[{\"task\": \"b\"}]");
    assert_text(body.chain, "[{\"task\": \"c\"}]");
    assert_text(body.chord, "{\"task\": \"d\"}");
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
    cel__buf_done(&body_scratch);
}

static void custom_headers_override_but_not_identity(void **state)
{
    cel_task_message spec = simple();
    cel__buf buf = {0}, scratch = {0};
    cel_task_headers headers;
    cel_message message;

    (void)state;
    spec.headers = CEL_VIEW("{\"id\": \"evil\", \"shadow\": \"s\", \"argsrepr\": \"x\", "
                            "\"compression\": \"zlib\", \"custom\": [1, {\"a\": 1.50}]}");
    assert_int_equal(cel__task_message_build(&message, &spec, NOW_US, &buf, NULL), CEL_OK);
    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL), CEL_OK);
    assert_text(headers.id, "I1");
    assert_text(headers.shadow, "s");
    assert_text(headers.argsrepr, "x");
    assert_null(headers.compression.ptr);
    assert_non_null(
        strstr(cel__buf_cstr(&buf), "\"stamps\": {}, \"custom\": [1, {\"a\": 1.50}]}"));
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void reprs_that_want_escaping_are_escaped(void **state)
{
    cel_task_message spec = simple();
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    spec.args = CEL_VIEW("[\"\\u00e9\\\"\"]");
    assert_int_equal(cel__task_message_build(&message, &spec, NOW_US, &buf, NULL), CEL_OK);
    assert_non_null(strstr(cel__buf_cstr(&buf),
                           "\"argsrepr\": \"('\\u00e9\\\"',)\", \"kwargsrepr\": \"{}\""));
    cel__buf_done(&buf);
}

static void a_past_expiry_is_zero(void **state)
{
    cel_task_message spec = simple();
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    spec.expires_us = NOW_US - 1;
    assert_int_equal(cel__task_message_build(&message, &spec, NOW_US, &buf, NULL), CEL_OK);
    assert_text(message.expiration, "0");
    cel__buf_done(&buf);
}

static void nonsense_is_not_sent(void **state)
{
    cel_task_message bad[12];
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    for (size_t i = 0; i < 12; i++)
        bad[i] = simple();
    bad[0].task = (cel_view){NULL, 0};
    bad[1].id = CEL_VIEW("");
    bad[2].args = CEL_VIEW("{}");
    bad[3].kwargs = CEL_VIEW("[]");
    bad[4].chord = CEL_VIEW("null");
    bad[5].headers = CEL_VIEW("{\"a\": }");
    bad[6].headers = CEL_VIEW("[]");
    bad[7].retries = -1;
    bad[8].priority = 256;
    bad[9].time_limit_s = -1;
    bad[10].delivery_mode = 3;
    bad[11].soft_time_limit_s = (double)NAN;
    for (size_t i = 0; i < 12; i++) {
        cel_error err = {0};

        assert_int_equal(cel__task_message_build(&message, &bad[i], NOW_US, &buf, &err),
                         CEL_EINVAL);
        assert_true(err.message[0] != '\0');
        assert_int_equal(buf.len, 0);
    }
    bad[0] = simple();
    bad[0].compression = "rot13";
    assert_int_equal(cel__task_message_build(&message, &bad[0], NOW_US, &buf, NULL),
                     CEL_ENOTSUP);
    cel__buf_done(&buf);
}

static void building_without_memory_leaves_no_trace(void **state)
{
    cel_task_message spec = simple();

    (void)state;
    spec.args = CEL_VIEW("[\"\\u00e9\"]");
    spec.compression = "zlib";
    for (size_t n = 1;; n++) {
        cel__buf buf = {0};
        cel_message message = {.priority = 77};
        cel_code code;

        cel__mem_fail_at(n);
        code = cel__task_message_build(&message, &spec, NOW_US, &buf, NULL);
        cel__mem_fail_at(0);
        cel__buf_done(&buf);
        if (code == CEL_OK)
            break;
        assert_int_equal(code, CEL_ENOMEM);
        assert_int_equal(message.priority, 77);
        assert_true(n < 100);
    }
}

/* ---- reading what others send ---- */

static cel_message foreign(const char *headers, const char *body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.headers = cel__view(headers);
    message.body = cel__view(body);
    return message;
}

static cel_code read_all(cel_task_headers *headers,
                         cel_task_body *body,
                         const cel_message *message,
                         cel_error *err)
{
    cel__buf scratch = {0}, body_scratch = {0};
    cel_code code = cel__task_headers_read(headers, message, NULL, &scratch, err);

    if (!code)
        code = cel__task_body_read(body, message, headers, NULL, &body_scratch, err);
    cel__buf_done(&scratch);
    cel__buf_done(&body_scratch);
    return code;
}

static cel_code read_texts(const char *headers, const char *body)
{
    cel_message message = foreign(headers, body);
    cel_task_headers read;
    cel_task_body parts;
    cel_error err = {0};
    cel_code code = read_all(&read, &parts, &message, &err);

    if (code)
        assert_true(err.code == code && err.message[0] != '\0');
    return code;
}

static void a_minimal_message_is_enough(void **state)
{
    cel_message message = foreign("{\"task\":\"t\",\"id\":\"i\"}", " [[], {}, {}] ");
    cel_task_headers headers;
    cel_task_body body;

    (void)state;
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_OK);
    assert_int_equal(headers.group_index, -1);
    assert_int_equal(headers.ignore_result, -1);
    assert_true(headers.eta_us == CEL_TIME_NONE && headers.expires_us == CEL_TIME_NONE);
    assert_null(headers.root_id.ptr);
    assert_null(body.callbacks.ptr);
    assert_null(body.chord.ptr);
}

static void nulls_and_unknown_headers_are_fine(void **state)
{
    (void)state;
    assert_int_equal(
        read_texts(
            "{\"x\": {\"id\": 5}, \"timelimit\": null, \"retries\": null, \"group\": null, "
            "\"root_id\": null, \"t\\u0061sk\": \"t\", \"id\": \"i\", \"shadow\": 5, "
            "\"eta\": null, \"stamps\": null, \"ignore_result\": null}",
            "[[], {}, null]"),
        CEL_OK);
    assert_int_equal(
        read_texts("{\"task\":\"t\",\"id\":\"i\"}",
                   "[[NaN, Infinity, 123456789012345678901234567890, \"\\ud800\"], {}, "
                   "{\"chain\": [], \"callbacks\": null, \"other\": 1}]"),
        CEL_OK);
}

static void what_kills_a_python_worker_is_an_error(void **state)
{
    static const char *const bodies[] = {
        "[[], {}]",
        "[]",
        "[[], {}, {}, {}]",
        "[null, {}, {}]",
        "[[], null, {}]",
        "[{}, {}, {}]",
        "[[], [], {}]",
        "[[], {}, []]",
        "[[], {}, {}",
        "[[], {}, {}]x",
        "",
        "nope",
        "5",
        "[[], {}, {\"chord\": []}]",
        "[[], {}, {\"callbacks\": {}}]",
        "[[], {}, {\"chain\": 1}]",
        "{\"args\": null}",
        "{\"args\": [1]",
        "{\"kwargs\": 1}",
    };
    static const char *const headers[] = {
        "{\"task\":\"t\"}",
        "{\"task\":\"t\",\"id\":\"\"}",
        "{\"task\":\"t\",\"id\":null}",
        "{\"task\":\"t\",\"id\":5}",
        "{\"task\":5,\"id\":\"i\"}",
        "{\"id\":\"i\"}",
        "{\"task\":\"t\",\"id\":\"i\",\"eta\":\"\"}",
        "{\"task\":\"t\",\"id\":\"i\",\"expires\":\"\"}",
        "{\"task\":\"t\",\"id\":\"i\",\"eta\":\"soon\"}",
        "{\"task\":\"t\",\"id\":\"i\",\"eta\":5}",
        "{\"task\":\"t\",\"id\":\"i\",\"eta\":{\"__type__\":\"datetime\"}}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[5]}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[]}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[1,2,3]}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":5}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[-1,null]}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[\"5\",null]}",
        "{\"task\":\"t\",\"id\":\"i\",\"timelimit\":[NaN,null]}",
        "{\"task\":\"t\",\"id\":\"i\",\"retries\":-1}",
        "{\"task\":\"t\",\"id\":\"i\",\"retries\":\"x\"}",
        "{\"task\":\"t\",\"id\":\"i\",\"group\":5}",
        "{\"task\":\"t\",\"id\":\"i\",\"compression\":1}",
        "[]",
        "{",
        "{\"task\":\"t\",\"id\":\"i\"",
        "{\"task\":\"t\",\"id\":\"i\"}}",
        "nope",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (read_texts("{\"task\":\"t\",\"id\":\"i\"}", bodies[i]) != CEL_EPROTO)
            fail_msg("accepted body %s", bodies[i]);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (read_texts(headers[i], "[[], {}, {}]") != CEL_EPROTO)
            fail_msg("accepted headers %s", headers[i]);
    assert_int_equal(read_texts("", ""), CEL_EPROTO);
    assert_int_equal(read_texts(NULL, NULL), CEL_EPROTO);
}

static void times_come_in_both_spellings(void **state)
{
    cel_message message =
        foreign("{\"task\":\"t\",\"id\":\"i\",\"eta\":\"2024-01-02T03:04:05\","
                "\"expires\":{\"__type__\":\"datetime\",\"__value__\":"
                "\"2024-01-02T03:04:05+00:00\"}}",
                "[[], {}, {}]");
    cel_task_headers headers;
    cel_task_body body;

    (void)state;
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_OK);
    assert_true(headers.eta_us == headers.expires_us);
    assert_true(headers.eta_us == INT64_C(1704164645000000));
}

static void foreign_content_is_refused(void **state)
{
    cel_message message = foreign("{\"task\":\"t\",\"id\":\"i\"}", "[[], {}, {}]");
    cel_task_headers headers;
    cel_task_body body;

    (void)state;
    message.content_type = CEL_VIEW("application/x-python-serialize");
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_ENOTSUP);
    message.content_type = CEL_VIEW("application/data");
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_ENOTSUP);
    message.content_type = (cel_view){NULL, 0};
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_ENOTSUP);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-16");
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_ENOTSUP);
    message.content_encoding = (cel_view){NULL, 0};
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_OK);
    message.headers =
        CEL_VIEW("{\"task\":\"t\",\"id\":\"i\",\"compression\":\"application/x-rot13\"}");
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_ENOTSUP);
    message.headers = CEL_VIEW("{\"task\":\"t\",\"id\":\"i\",\"compression\":\"zlib\"}");
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_EPROTO);
}

static void protocol_1_is_read_from_the_body(void **state)
{
    cel_message message = foreign(
        "{\"x\": 1}",
        "{\"task\": \"t\", \"id\": \"i\\u0031\", \"args\": [1], \"taskset\": \"G\", "
        "\"retries\": 4, "
        "\"eta\": \"2024-01-02T03:04:05+00:00\", \"timelimit\": [9, null], \"callbacks\": "
        "[{\"task\": \"c\"}], \"chord\": {\"task\": \"d\"}}");
    cel__buf scratch = {0}, body_scratch = {0};
    cel_task_headers headers;
    cel_task_body body;

    (void)state;
    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL), CEL_OK);
    assert_int_equal(headers.protocol, 1);
    assert_text(headers.task, "t");
    assert_text(headers.id, "i1");
    assert_text(headers.group, "G");
    assert_int_equal(headers.retries, 4);
    assert_true(headers.time_limit_s == 9);
    assert_int_equal(cel__task_body_read(&body, &message, &headers, NULL, &body_scratch, NULL),
                     CEL_OK);
    assert_text(body.args, "[1]");
    assert_text(body.kwargs, "{}");
    assert_text(body.callbacks, "[{\"task\": \"c\"}]");
    assert_text(body.chord, "{\"task\": \"d\"}");
    cel__buf_done(&scratch);
    cel__buf_done(&body_scratch);
}

static void a_hybrid_is_the_body_overlaid_with_the_headers(void **state)
{
    cel_message message =
        foreign("{\"task\": \"t\", \"retries\": 2, \"shadow\": null}",
                "{\"task\": \"other\", \"id\": \"i\", \"args\": [1], \"kwargs\": "
                "{\"a\": 2}, \"retries\": 1, \"shadow\": \"s\"}");
    cel_task_headers headers;
    cel_task_body body;

    (void)state;
    assert_int_equal(read_all(&headers, &body, &message, NULL), CEL_OK);
    assert_int_equal(headers.protocol, 2);
    assert_text(headers.task, "t");
    assert_text(headers.id, "i");
    assert_int_equal(headers.retries, 2);
    assert_null(headers.shadow.ptr);
    assert_text(body.args, "[1]");
    assert_text(body.kwargs, "{\"a\": 2}");
}

static cel_view deflate_text(cel__buf *buf, const char *text, size_t len)
{
    uLongf size = compressBound(len);
    char *to = cel__buf_reserve(buf, size);

    assert_int_equal(compress((Bytef *)to, &size, (const Bytef *)text, len), Z_OK);
    buf->len += size;
    return cel__buf_view(buf);
}

static void compressed_protocol_1_and_hybrids_are_read(void **state)
{
    static const char text[] = "{\"task\": \"t\", \"id\": \"\\u0069\", \"args\": [1]}";
    static const char *const kinds[] = {
        "{\"compression\": \"zlib\", \"shadow\": \"\\u0073\"}",
        "{\"compression\": \"gzip\", \"task\": \"t\"}",
        "{\"compression\": \"application/x-gzip\", \"task\": \"t\", \"id\": \"i\"}",
    };
    cel__buf deflated = {0};
    cel_view body = deflate_text(&deflated, text, sizeof text - 1);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        cel__buf scratch = {0}, body_scratch = {0};
        cel_message message = foreign(kinds[i], NULL);
        cel_task_headers headers;
        cel_task_body parts;

        message.body = body;
        assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL),
                         CEL_OK);
        assert_text(headers.task, "t");
        assert_text(headers.id, "i");
        assert_int_equal(
            cel__task_body_read(&parts, &message, &headers, NULL, &body_scratch, NULL), CEL_OK);
        assert_text(parts.args, "[1]");
        cel__buf_done(&scratch);
        cel__buf_done(&body_scratch);
    }
    cel__buf_done(&deflated);
}

static void a_decompression_bomb_is_stopped(void **state)
{
    size_t len = (size_t)8 << 20;
    char *text = calloc(1, len);
    cel__buf deflated = {0};
    cel_message message =
        foreign("{\"task\":\"t\",\"id\":\"i\",\"compression\":\"zlib\"}", NULL);
    cel_task_headers headers = {.compression = CEL_VIEW("zlib")};
    cel_task_body body;
    cel__buf scratch = {0};

    (void)state;
    memset(text, ' ', len);
    memcpy(text + len - 12, "[[], {}, {}]", 12);
    message.body = deflate_text(&deflated, text, len);
    assert_true(message.body.len < len / 100);
    assert_int_equal(
        cel__task_body_read(&body, &message, &headers, limited(len - 1), &scratch, NULL),
        CEL_EFULL);
    assert_true(scratch.cap <= 2 * len);
    cel__buf_done(&scratch);
    assert_int_equal(
        cel__task_body_read(&body, &message, &headers, limited(4096), &scratch, NULL),
        CEL_EFULL);
    assert_true(scratch.cap <= 16384);
    cel__buf_done(&scratch);
    assert_int_equal(
        cel__task_body_read(&body, &message, &headers, limited(len), &scratch, NULL), CEL_OK);
    cel__buf_done(&scratch);
    message.body.len -= 1; /* the checksum is cut */
    assert_int_equal(
        cel__task_body_read(&body, &message, &headers, limited(len), &scratch, NULL),
        CEL_EPROTO);
    cel__buf_done(&scratch);
    cel__buf_done(&deflated);
    free(text);
}

static void reading_without_memory_is_an_error(void **state)
{
    cel_message message = foreign(
        "{\"task\":\"t\",\"id\":\"\\u0069\",\"eta\":\"\\u0032024-01-01\"}", "[[], {}, {}]");
    cel__buf scratch = {0};
    cel_task_headers headers;

    (void)state;
    cel__mem_fail_at(1);
    assert_int_equal(cel__task_headers_read(&headers, &message, NULL, &scratch, NULL),
                     CEL_ENOMEM);
    cel__mem_fail_at(0);
    cel__buf_done(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_message_is_celerys),
        cmocka_unit_test(every_field_finds_its_way_back),
        cmocka_unit_test(custom_headers_override_but_not_identity),
        cmocka_unit_test(reprs_that_want_escaping_are_escaped),
        cmocka_unit_test(a_past_expiry_is_zero),
        cmocka_unit_test(nonsense_is_not_sent),
        cmocka_unit_test(building_without_memory_leaves_no_trace),
        cmocka_unit_test(a_minimal_message_is_enough),
        cmocka_unit_test(nulls_and_unknown_headers_are_fine),
        cmocka_unit_test(what_kills_a_python_worker_is_an_error),
        cmocka_unit_test(times_come_in_both_spellings),
        cmocka_unit_test(foreign_content_is_refused),
        cmocka_unit_test(protocol_1_is_read_from_the_body),
        cmocka_unit_test(a_hybrid_is_the_body_overlaid_with_the_headers),
        cmocka_unit_test(compressed_protocol_1_and_hybrids_are_read),
        cmocka_unit_test(a_decompression_bomb_is_stopped),
        cmocka_unit_test(reading_without_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
