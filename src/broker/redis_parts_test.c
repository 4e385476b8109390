/* redis_parts_test.c - what of the Redis broker needs no server: envelopes, also hostile ones, priority steps, channels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/redis_impl.h"
#include "core/mem.h"

/* As Python's kombu 5.2.4 writes it. */
static const char python[] = "{\"body\": \"W1sxLCAyXSwge30sIHt9XQ==\", \"content-encoding\": "
                             "\"utf-8\", \"content-type\": \"application/json\", "
                             "\"headers\": {\"lang\": \"py\", \"task\": \"t.add\", \"id\": "
                             "\"id-prio5\", \"eta\": null, \"argsrepr\": \"(3, 4)\"}, "
                             "\"properties\": {\"correlation_id\": \"id-prio5\", \"reply_to\": "
                             "\"35efdec1-948a-357d-bac4-f2262a34a979\", "
                             "\"delivery_mode\": 2, \"delivery_info\": {\"exchange\": \"\", "
                             "\"routing_key\": \"celery\"}, \"priority\": 5, "
                             "\"body_encoding\": \"base64\", \"delivery_tag\": "
                             "\"88e577a9-34b2-441b-ac46-91975185685c\"}}";

static rq_delivery *read_text(const char *text)
{
    rq_delivery *delivery = NULL;
    cel_error err;

    if (cel__rq_delivery_new(&delivery, cel__view(text), CEL_VIEW("q"), &err) != CEL_OK)
        fail_msg("%s", err.message);
    return delivery;
}

static void an_envelope_of_python_is_read(void **state)
{
    rq_delivery *delivery = read_text(python);
    const cel_message *message = &delivery->base.message;

    (void)state;
    assert_true(cel__view_is(message->body, "[[1, 2], {}, {}]"));
    assert_true(cel__view_is(message->content_type, "application/json"));
    assert_true(cel__view_is(message->content_encoding, "utf-8"));
    assert_true(cel__view_is(message->correlation_id, "id-prio5"));
    assert_true(cel__view_is(message->routing_key, "celery"));
    assert_true(cel__view_is(delivery->tag, "88e577a9-34b2-441b-ac46-91975185685c"));
    assert_int_equal(message->priority, 5);
    assert_int_equal(delivery->eta_ms, 0);
    assert_int_equal(delivery->base.attempt, CEL_ATTEMPT_NEW);
    assert_int_equal(delivery->base.deliveries, 1);
    cel__free(delivery);
}

static void what_is_written_is_read_again(void **state)
{
    static const char bytes[] = "\x78\x9c\0\xff";
    cel_message sent = CEL_MESSAGE_INIT;
    cel__buf text = {0};

    (void)state;
    sent.exchange = CEL_VIEW("");
    sent.routing_key = CEL_VIEW("a \"queue\" \xc3\xa4");
    sent.content_encoding = CEL_VIEW("binary");
    sent.headers = CEL_VIEW("{\"eta\": \"2033-05-18T03:33:20.5+00:00\"}");
    sent.body = (cel_view){bytes, sizeof bytes};
    cel__rq_envelope(&text, &sent);
    rq_delivery *delivery = read_text(cel__buf_cstr(&text));
    const cel_message *got = &delivery->base.message;
    assert_true(cel__view_eq(got->body, sent.body));
    assert_true(cel__view_eq(got->routing_key, sent.routing_key));
    assert_true(cel__view_eq(got->headers, sent.headers));
    assert_null(got->content_type.ptr);
    assert_true(delivery->eta_ms == INT64_C(2000000000500));
    assert_int_equal(delivery->tag.len, 36);
    cel__free(delivery);
    cel__buf_done(&text);
}

static void a_body_that_is_no_base64_is_its_text(void **state)
{
    rq_delivery *delivery = read_text(
        "{\"properties\": {\"delivery_tag\": \"t\"}, \"headers\": {\"redelivered\": true},"
        " \"body\": \"[[\\\"\\u00e4\\\"], {}, {}]\"}");

    (void)state;
    assert_true(cel__view_is(delivery->base.message.body, "[[\"\xc3\xa4\"], {}, {}]"));
    assert_int_equal(delivery->base.attempt, CEL_ATTEMPT_AGAIN);
    assert_int_equal(delivery->base.deliveries, 0); /* Python does not count */
    cel__free(delivery);
}

static void the_last_delivery_tag_counts(void **state)
{
    (void)state;
    assert_true(cel__view_is(
        cel__rq_tag(CEL_VIEW("{\"delivery_tag\": \"a\", \"delivery_tag\" : \"b\"}")), "b"));
    assert_null(cel__rq_tag(CEL_VIEW("{\"delivery_tag\": \"\"}")).ptr);
    assert_null(cel__rq_tag(CEL_VIEW("{\"delivery_tag\": 5}")).ptr);
    assert_null(cel__rq_tag(CEL_VIEW("\"delivery_tag\": \"open")).ptr);
    assert_null(cel__rq_tag(CEL_VIEW("\"delivery_tag\"")).ptr);
    assert_null(cel__rq_tag((cel_view){NULL, 0}).ptr);
}

static void try_bytes(const char *bytes, size_t len)
{
    /* In a block of its own size, so that a read beyond it is noticed. */
    char *copy = cel__memdup(bytes, len);
    char *exact = cel__malloc(len ? len : 1);
    rq_delivery *delivery = NULL;

    assert_non_null(copy);
    assert_non_null(exact);
    memcpy(exact, copy, len);
    cel__free(copy);
    if (cel__rq_delivery_new(&delivery, (cel_view){exact, len}, CEL_VIEW("q"), NULL) == CEL_OK)
        cel__free(delivery);
    (void)cel__rq_tag((cel_view){exact, len});
    cel__free(exact);
}

static void hostile_bytes_are_an_error_and_nothing_else(void **state)
{
    static const char alphabet[] = "\"\\{}[],:0ten.\xff\0u/=";
    char text[sizeof python];
    unsigned random = 12345;

    (void)state;
    for (size_t len = 0; len < sizeof python; len++)
        try_bytes(python, len);
    for (int round = 0; round < 20000; round++) {
        memcpy(text, python, sizeof text);
        for (int i = 0; i < 1 + round % 4; i++) {
            random = random * 1103515245 + 12345;
            text[(random >> 8) % (sizeof text - 1)] =
                alphabet[(random >> 3) % (sizeof alphabet - 1)];
        }
        try_bytes(text, sizeof text - 1);
    }
    for (size_t i = 0; i < 4; i++) {
        static const char *const none[] = {
            "null", "[1]", "{\"body\": \"\", \"properties\": 1}",
            "{\"body\": \"\", \"properties\": {\"delivery_tag\": \"t\"}} x"};

        assert_int_equal(cel__rq_delivery_new(&(rq_delivery *){NULL}, cel__view(none[i]),
                                              CEL_VIEW("q"), NULL),
                         CEL_EPROTO);
    }
}

static rq_settings settings_of(const char *options)
{
    cel__redis_url url = {.db = 3};
    json_t *json = options ? json_loads(options, 0, NULL) : NULL;
    rq_settings settings;

    assert_int_equal(cel__rq_settings_read(&settings, json, &url, NULL), CEL_OK);
    json_decref(json);
    return settings;
}

static void a_priority_has_the_step_that_kombu_gives_it(void **state)
{
    static const int steps[] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3};
    rq_settings settings = settings_of(NULL);

    (void)state;
    for (int priority = 0; priority <= 10; priority++)
        assert_int_equal(cel__rq_step(&settings, priority), steps[priority]);
    assert_int_equal(cel__rq_step(&settings, -1), 0);
    assert_int_equal(cel__rq_step(&settings, 255), 3);
    cel__rq_settings_done(&settings);
}

static void assert_word(const char *options, const char *queue, size_t step, const char *wanted)
{
    rq_settings settings = settings_of(options);
    cel__buf buf = {0};

    cel__rq_list_word(&buf, &settings, cel__view(queue), step);
    assert_string_equal(cel__buf_cstr(&buf), wanted);
    cel__buf_done(&buf);
    cel__rq_settings_done(&settings);
}

static void lists_and_channels_have_kombus_names(void **state)
{
    static const struct vector {
        const char *options, *key, *channel;
    } vectors[] = {
        {NULL, "", "/3.ex"},
        {NULL, "worker.#", "/3.ex/worker.#"},
        {"{\"fanout_patterns\": false}", "k", "/3.ex"},
        {"{\"fanout_prefix\": false}", "k", "ex/k"},
        {"{\"fanout_prefix\": \"/x.\", \"global_keyprefix\": \"kp:\"}", "", "kp:/x.ex"},
    };

    (void)state;
    assert_word(NULL, "q", 0, "$1\r\nq\r\n");
    assert_word(NULL, "q", 1,
                "$4\r\nq\x06\x16"
                "3\r\n");
    assert_word("{\"global_keyprefix\": \"kp:\"}", "q", 3,
                "$7\r\nkp:q\x06\x16"
                "9\r\n");
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        rq_settings settings = settings_of(vectors[i].options);
        cel__buf buf = {0};

        cel__rq_channel(&buf, &settings, CEL_VIEW("ex"), cel__view(vectors[i].key));
        assert_string_equal(cel__buf_cstr(&buf), vectors[i].channel);
        cel__buf_done(&buf);
        cel__rq_settings_done(&settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_of_python_is_read),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_body_that_is_no_base64_is_its_text),
        cmocka_unit_test(the_last_delivery_tag_counts),
        cmocka_unit_test(hostile_bytes_are_an_error_and_nothing_else),
        cmocka_unit_test(a_priority_has_the_step_that_kombu_gives_it),
        cmocka_unit_test(lists_and_channels_have_kombus_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
