/* message_test.c - properties there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/mem.h"
#include "message/message.h"

static cel_message full(void)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = CEL_VIEW("vq");
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.correlation_id = CEL_VIEW("T2");
    message.reply_to = CEL_VIEW("r\"t");
    message.expiration = CEL_VIEW("60000");
    message.delivery_mode = 2;
    message.priority = 0;
    return message;
}

static void properties_are_kombus(void **state)
{
    cel_message message = full();
    cel__buf buf = {0};

    (void)state;
    cel__message_dump_properties(&buf, &message);
    assert_string_equal(
        cel__buf_cstr(&buf),
        "{\"correlation_id\": \"T2\", \"reply_to\": \"r\\\"t\", \"delivery_mode\": 2, "
        "\"expiration\": \"60000\", \"delivery_info\": {\"exchange\": \"\", "
        "\"routing_key\": \"vq\"}, \"priority\": 0, \"content_type\": "
        "\"application/json\", \"content_encoding\": \"utf-8\"}");
    cel__buf_done(&buf);
}

static void properties_come_back(void **state)
{
    cel_message message = full(), back = {.headers = CEL_VIEW("{}"), .eta_ms = 5};
    cel__buf buf = {0}, scratch = {0};

    (void)state;
    cel__message_dump_properties(&buf, &message);
    assert_int_equal(cel__message_load_properties(&back, cel__buf_view(&buf), &scratch, NULL),
                     CEL_OK);
    assert_true(cel__view_eq(back.routing_key, message.routing_key) && back.exchange.ptr);
    assert_true(cel__view_eq(back.content_type, message.content_type));
    assert_true(cel__view_eq(back.content_encoding, message.content_encoding));
    assert_true(cel__view_eq(back.correlation_id, message.correlation_id));
    assert_true(cel__view_eq(back.reply_to, message.reply_to));
    assert_true(cel__view_eq(back.expiration, message.expiration));
    assert_int_equal(back.delivery_mode, 2);
    assert_int_equal(back.priority, 0);
    assert_true(cel__view_is(back.headers, "{}") && back.eta_ms == 5);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void absent_properties_stay_absent(void **state)
{
    cel_message message = CEL_MESSAGE_INIT, back = {.priority = 3, .delivery_mode = 1};
    cel__buf buf = {0};

    (void)state;
    cel__message_dump_properties(&buf, &message);
    assert_string_equal(cel__buf_cstr(&buf), "{}");
    assert_int_equal(cel__message_load_properties(&back, cel__buf_view(&buf), &buf, NULL),
                     CEL_OK);
    assert_null(back.routing_key.ptr);
    assert_int_equal(back.priority, -1);
    assert_int_equal(back.delivery_mode, 0);
    cel__buf_done(&buf);
}

static cel_code load(cel_message *message, const char *text)
{
    cel__buf scratch = {0};
    cel_error err = {0};
    cel_code code = cel__message_load_properties(message, cel__view(text), &scratch, &err);

    assert_true(code == CEL_OK || err.message[0] != '\0');
    cel__buf_done(&scratch);
    return code;
}

static void kombus_own_extras_are_ignored(void **state)
{
    cel_message message = CEL_MESSAGE_INIT;

    (void)state;
    assert_int_equal(
        load(&message,
             "{\"body_encoding\": \"base64\", \"delivery_tag\": \"x\", \"expiration\": 5, "
             "\"priority\": null, \"delivery_info\": {\"routing_key\": \"q\", \"x\": 1}}"),
        CEL_OK);
    assert_true(cel__view_is(message.routing_key, "q"));
    assert_true(cel__view_is(message.expiration, "5"));
    assert_null(message.exchange.ptr);
    assert_int_equal(message.priority, -1);
}

static void wrong_properties_are_refused(void **state)
{
    static const char *const bad[] = {
        NULL,
        "",
        "[]",
        "{",
        "{\"priority\": 256}",
        "{\"priority\": -1}",
        "{\"priority\": \"1\"}",
        "{\"delivery_mode\": 3}",
        "{\"reply_to\": []}",
        "{\"delivery_info\": 5}",
        "{\"delivery_info\": {\"exchange\": {}}}",
        "{\"correlation_id\": true}",
        "{} x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cel_message message = full();

        if (load(&message, bad[i]) != CEL_EPROTO)
            fail_msg("accepted: %s", bad[i]);
        assert_true(cel__view_is(message.correlation_id, "T2"));
    }
}

static void escapes_without_memory_are_an_error(void **state)
{
    cel_message message = full();

    (void)state;
    cel__mem_fail_at(1);
    assert_int_equal(load(&message, "{\"reply_to\": \"\\u0061\"}"), CEL_ENOMEM);
    cel__mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(properties_are_kombus),
        cmocka_unit_test(properties_come_back),
        cmocka_unit_test(absent_properties_stay_absent),
        cmocka_unit_test(kombus_own_extras_are_ignored),
        cmocka_unit_test(wrong_properties_are_refused),
        cmocka_unit_test(escapes_without_memory_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
