/* protocol_message_test.c - MESSAGE sections: there and back, cut, and malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "pool/protocol.h"

static const cel_message sample = {
    .exchange = {"amq.direct", 10},
    .routing_key = {"high", 4},
    .content_type = {"application/json", 16},
    .content_encoding = {"utf-8", 5},
    .correlation_id = {"0f9c", 4},
    .headers = {"{\"task\": \"t.add\"}", 17},
    .body = {"[[1, 2], {}, {}]", 16},
    .delivery_mode = 2,
    .priority = 7,
    .eta_ms = 1700000000123,
    .task = {"t.add", 5},
};

/* Builds the section and gives a view of what is inside it. */
static cel_view build(cel__buf *buf, const cel_message *message)
{
    cel_view rest, bytes = {NULL, 0};
    cel_section_tag tag;

    cel__section_add_message(buf, message);
    assert_false(buf->failed);
    rest = cel__buf_view(buf);
    assert_true(cel__section_next(&rest, &tag, &bytes));
    assert_int_equal(tag, CEL_TAG_MESSAGE);
    assert_int_equal(rest.len, 0);
    return bytes;
}

static void a_message_comes_back_as_it_was(void **state)
{
    cel__buf buf = {0}, scratch = {0};
    cel_view bytes = build(&buf, &sample);
    cel_message message;
    cel_error err = {0};

    (void)state;
    assert_int_equal(cel__section_message(&message, bytes, &scratch, &err), CEL_OK);
    assert_true(cel__view_eq(message.exchange, sample.exchange));
    assert_true(cel__view_eq(message.routing_key, sample.routing_key));
    assert_true(cel__view_eq(message.content_type, sample.content_type));
    assert_true(cel__view_eq(message.correlation_id, sample.correlation_id));
    assert_true(cel__view_eq(message.headers, sample.headers));
    assert_true(cel__view_eq(message.body, sample.body));
    assert_true(cel__view_eq(message.task, sample.task));
    assert_int_equal(message.delivery_mode, 2);
    assert_int_equal(message.priority, 7);
    assert_true(message.eta_ms == sample.eta_ms);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void a_cut_message_is_refused_or_lacks_whole_sections(void **state)
{
    cel__buf buf = {0}, scratch = {0};
    cel_view bytes = build(&buf, &sample);
    size_t refused = 0;

    (void)state;
    for (size_t len = 0; len < bytes.len; len++) {
        char *copy = cel__memdup(bytes.ptr, len);
        cel_message message = {.priority = 99};
        cel_error err = {0};
        cel_code code = cel__section_message(&message, (cel_view){copy, len}, &scratch, &err);

        assert_true(code == CEL_OK || code == CEL_EPROTO);
        assert_true(code == CEL_OK || message.priority == 99);
        refused += code != CEL_OK;
        cel__free(copy);
    }
    assert_int_equal(refused, bytes.len - 7); /* whole before each of the seven sections */
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

static void malformed_properties_and_eta_are_refused(void **state)
{
    cel__buf buf = {0}, scratch = {0};
    cel_message message;
    cel_error err = {0};

    (void)state;
    cel__section_add(&buf, CEL_TAG_PROPERTIES, CEL_VIEW("[1"));
    assert_int_equal(cel__section_message(&message, cel__buf_view(&buf), &scratch, &err),
                     CEL_EPROTO);
    cel__buf_reset(&buf);
    cel__section_add(&buf, CEL_TAG_ETA, CEL_VIEW("1234"));
    assert_int_equal(cel__section_message(&message, cel__buf_view(&buf), &scratch, &err),
                     CEL_EPROTO);
    cel__buf_done(&buf);
    cel__buf_done(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_was),
        cmocka_unit_test(a_cut_message_is_refused_or_lacks_whole_sections),
        cmocka_unit_test(malformed_properties_and_eta_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
