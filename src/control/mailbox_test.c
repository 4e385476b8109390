/* mailbox_test.c - the bytes that kombu writes, and those that nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/commands.h"
#include "control/mailbox.h"
#include "core/json.h"
#include "core/mem.h"

#define assert_view(view, text) assert_true(cel__view_is(view, text))

static cel_message message_of(const char *headers, const char *body)
{
    return (cel_message){.content_type = CEL_VIEW("application/json"),
                         .content_encoding = CEL_VIEW("utf-8"),
                         .headers = cel__view(headers),
                         .body = cel__view(body),
                         .priority = -1};
}

static cel_code
decode(cel_mailbox_request *out, json_t **root, const char *body, cel_error *err)
{
    cel_message message = message_of("{\"clock\": 21, \"expires\": 1795402853.68}", body);

    return cel__mailbox_request_decode(out, root, &message, NULL, err);
}

/* ---- requests ---- */

static void a_request_is_written_as_kombu_writes_it(void **state)
{
    json_t *destination = json_pack("[s]", "w1@h");
    cel_mailbox_request request = {.method = CEL_VIEW("ping"),
                                   .destination = destination,
                                   .ticket = CEL_VIEW("t-1"),
                                   .reply_exchange = CEL_VIEW("reply.celery.pidbox"),
                                   .reply_key = CEL_VIEW("oid"),
                                   .clock = 21,
                                   .expires_s = 1795402853.5};
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    assert_int_equal(cel__mailbox_request_encode(&message, &request, CEL_VIEW("celery.pidbox"),
                                                 NULL, &buf, NULL),
                     CEL_OK);
    assert_view(message.body,
                "{\"method\": \"ping\", \"arguments\": {}, \"destination\": [\"w1@h\"], "
                "\"pattern\": null, \"matcher\": null, \"ticket\": \"t-1\", \"reply_to\": "
                "{\"exchange\": \"reply.celery.pidbox\", \"routing_key\": \"oid\"}}");
    assert_view(message.headers, "{\"clock\": 21, \"expires\": 1795402853.5}");
    assert_view(message.exchange, "celery.pidbox");
    assert_view(message.routing_key, "");
    assert_int_equal(message.kind, CEL_EXCHANGE_FANOUT);
    assert_view(message.content_type, "application/json");
    cel__buf_done(&buf);
    json_decref(destination);
}

static void a_cast_has_no_ticket_and_no_expiry(void **state)
{
    cel_mailbox_request request = {.method = CEL_VIEW("shutdown")};
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    assert_int_equal(
        cel__mailbox_request_encode(&message, &request, CEL_VIEW("x"), NULL, &buf, NULL),
        CEL_OK);
    assert_view(message.body, "{\"method\": \"shutdown\", \"arguments\": {}, \"destination\": "
                              "null, \"pattern\": null, \"matcher\": null}");
    assert_view(message.headers, "{\"clock\": 0, \"expires\": 0}");
    request.method = CEL_VIEW("");
    assert_int_equal(
        cel__mailbox_request_encode(&message, &request, CEL_VIEW("x"), NULL, &buf, NULL),
        CEL_EINVAL);
    cel__buf_done(&buf);
}

static void a_request_is_read_back(void **state)
{
    cel_mailbox_request request = {0};
    json_t *root = NULL;

    (void)state;
    assert_int_equal(
        decode(
            &request, &root,
            "{\"method\": \"rate_limit\", \"arguments\": {\"task_name\": \"t\"}, "
            "\"destination\": null, \"pattern\": \"w*\", \"matcher\": \"glob\", "
            "\"ticket\": \"t\", \"reply_to\": {\"exchange\": \"e\", \"routing_key\": \"k\"}}",
            NULL),
        CEL_OK);
    assert_view(request.method, "rate_limit");
    assert_string_equal(json_string_value(json_object_get(request.arguments, "task_name")),
                        "t");
    assert_view(request.pattern, "w*");
    assert_view(request.ticket, "t");
    assert_view(request.reply_exchange, "e");
    assert_view(request.reply_key, "k");
    assert_int_equal(request.clock, 21);
    assert_true(request.expires_s > 1795402853);
    json_decref(root);
}

static void what_python_takes_for_nothing_is_absent(void **state)
{
    cel_mailbox_request request = {0};
    json_t *root = NULL;

    (void)state;
    assert_int_equal(decode(&request, &root,
                            "{\"method\": \"ping\", \"arguments\": null, \"destination\": [], "
                            "\"pattern\": \"\", \"matcher\": false, \"reply_to\": {}}",
                            NULL),
                     CEL_OK);
    assert_null(request.arguments);
    assert_null(request.destination);
    assert_null(request.reply_key.ptr);
    assert_null(request.ticket.ptr);
    json_decref(root);
}

static void hostile_requests_are_refused(void **state)
{
    static const struct {
        const char *body;
        cel_code code;
    } cases[] = {
        {"", CEL_EPROTO},
        {"{", CEL_EPROTO},
        {"[]", CEL_EPROTO},
        {"null", CEL_EPROTO},
        {"\"ping\"", CEL_EPROTO},
        {"{}", CEL_EPROTO},
        {"{\"method\": 5}", CEL_EPROTO},
        {"{\"method\": null}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"pattern\": [1]}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"matcher\": {\"a\": 1}}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"reply_to\": 1}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"reply_to\": \"x\"}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"reply_to\": {\"exchange\": \"e\"}}", CEL_EPROTO},
        {"{\"method\": \"ping\", \"reply_to\": {\"exchange\": 1, \"routing_key\": \"k\"}}",
         CEL_EPROTO},
        {"{\"method\": \"ping\", \"arguments\": {\"n\": 1000000000000000000000}}", CEL_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_mailbox_request request = {0};
        json_t *root = NULL;
        cel_error err = {0};

        assert_int_equal(decode(&request, &root, cases[i].body, &err), cases[i].code);
        assert_null(root);
        assert_true(err.message[0]);
    }
}

static void a_deep_request_is_refused(void **state)
{
    cel__buf buf = {0};
    cel_mailbox_request request = {0};
    json_t *root = NULL;

    (void)state;
    cel__buf_add_str(&buf, "{\"method\": \"ping\", \"arguments\": ");
    for (int i = 0; i < 100000; i++)
        cel__buf_add_byte(&buf, '[');
    assert_int_not_equal(decode(&request, &root, cel__buf_cstr(&buf), NULL), CEL_OK);
    cel__buf_done(&buf);
}

static void a_huge_request_is_refused(void **state)
{
    cel_message message = message_of("{}", "{\"method\": \"ping\"}");
    cel_mailbox_request request = {0};
    json_t *root = NULL;
    char *body = cel__malloc(CEL_MAILBOX_MAX + 1);

    (void)state;
    memset(body, ' ', CEL_MAILBOX_MAX + 1);
    message.body = (cel_view){body, CEL_MAILBOX_MAX + 1};
    assert_int_equal(cel__mailbox_request_decode(&request, &root, &message, NULL, NULL),
                     CEL_EFULL);
    cel__free(body);
}

static void a_content_type_that_is_not_accepted_is_refused(void **state)
{
    cel_message message = message_of("{}", "{\"method\": \"ping\"}");
    cel_mailbox_request request = {0};
    json_t *root = NULL;

    (void)state;
    message.content_type = CEL_VIEW("application/x-python-serialize");
    assert_int_equal(cel__mailbox_request_decode(&request, &root, &message, NULL, NULL),
                     CEL_ENOTSUP);
}

static void headers_that_make_no_sense_are_as_none(void **state)
{
    static const char *const headers[] = {"",
                                          "[]",
                                          "{\"clock\": \"x\"}",
                                          "{\"clock\": -5}",
                                          "{\"clock\": 9223372036854775807}",
                                          "{\"clock\": 1e300",
                                          "null"};

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        cel_message message = message_of(headers[i], "{\"method\": \"ping\"}");
        cel_mailbox_request request = {0};
        json_t *root = NULL;

        assert_int_equal(cel__mailbox_request_decode(&request, &root, &message, NULL, NULL),
                         CEL_OK);
        assert_int_equal(request.clock, 0);
        json_decref(root);
    }
}

/* ---- for whom it is ---- */

static bool is_for(const char *members, cel_code expected)
{
    cel__buf body = {0};
    cel_mailbox_request request = {0};
    json_t *root = NULL;
    bool is = false;

    cel__buf_addf(&body, "{\"method\": \"ping\", %s}", members);
    assert_int_equal(decode(&request, &root, cel__buf_cstr(&body), NULL), CEL_OK);
    assert_int_equal(cel__mailbox_is_for(&is, &request, CEL_VIEW("w1@host"), NULL), expected);
    json_decref(root);
    cel__buf_done(&body);
    return is;
}

static void a_destination_counts_before_a_pattern(void **state)
{
    (void)state;
    assert_true(is_for("\"destination\": [\"w2@host\", \"w1@host\"]", CEL_OK));
    assert_false(is_for("\"destination\": [\"w2@host\"]", CEL_OK));
    assert_false(is_for("\"destination\": [1, null, {}]", CEL_OK));
    assert_false(is_for("\"destination\": [\"w2@host\"], \"pattern\": \"*\", "
                        "\"matcher\": \"glob\"",
                        CEL_OK));
    assert_true(is_for("\"destination\": {\"w1@host\": 1}", CEL_OK));
    assert_false(is_for("\"destination\": 17", CEL_OK));
}

static void patterns_select_by_their_matcher(void **state)
{
    (void)state;
    assert_true(is_for("\"pattern\": \"w?@*\", \"matcher\": \"glob\"", CEL_OK));
    assert_false(is_for("\"pattern\": \"w1\", \"matcher\": \"glob\"", CEL_OK));
    assert_true(is_for("\"pattern\": \"w[0-9]@\", \"matcher\": \"pcre\"", CEL_OK));
    assert_false(is_for("\"pattern\": \"host\", \"matcher\": \"pcre\"", CEL_OK));
    assert_true(is_for("\"pattern\": \"nobody\"", CEL_OK)); /* as in kombu */
    assert_false(is_for("\"pattern\": \"(\", \"matcher\": \"pcre\"", CEL_EINVAL));
    assert_false(is_for("\"pattern\": \"w\", \"matcher\": \"sql\"", CEL_EINVAL));
}

/* ---- replies ---- */

static void a_reply_goes_where_the_request_says(void **state)
{
    cel_mailbox_request request = {.reply_exchange = CEL_VIEW("reply.celery.pidbox"),
                                   .reply_key = CEL_VIEW("oid")};
    json_t *value = json_pack("{s: s}", "ok", "pong"), *root = NULL;
    cel_mailbox_reply reply = {CEL_VIEW("w1@h"), value, CEL_VIEW("t"), 23}, read = {0};
    cel__buf buf = {0};
    cel_message message;

    (void)state;
    assert_int_equal(cel__mailbox_reply_encode(&message, &reply, &request, NULL, &buf, NULL),
                     CEL_OK);
    assert_view(message.exchange, "reply.celery.pidbox");
    assert_view(message.routing_key, "oid");
    assert_int_equal(message.kind, CEL_EXCHANGE_DIRECT);
    assert_view(message.headers, "{\"ticket\": \"t\", \"clock\": 23}");
    assert_view(message.body, "{\"w1@h\": {\"ok\": \"pong\"}}");
    assert_int_equal(message.delivery_mode, 1);
    assert_int_equal(cel__mailbox_reply_decode(&read, &root, &message, NULL, NULL), CEL_OK);
    assert_view(read.node, "w1@h");
    assert_view(read.ticket, "t");
    assert_int_equal(read.clock, 23);
    assert_true(json_equal(read.value, value));
    json_decref(root);
    json_decref(value);
    cel__buf_done(&buf);
}

static void a_reply_has_one_node(void **state)
{
    cel_message none = message_of("{}", "{}"), two = message_of("{}", "{\"a\": 1, \"b\": 2}");
    cel_mailbox_reply reply;
    json_t *root;

    (void)state;
    assert_int_equal(cel__mailbox_reply_decode(&reply, &root, &none, NULL, NULL), CEL_EPROTO);
    assert_int_equal(cel__mailbox_reply_decode(&reply, &root, &two, NULL, NULL), CEL_EPROTO);
}

static void a_failing_allocation_is_an_error(void **state)
{
    cel_mailbox_request request = {.method = CEL_VIEW("ping")};
    cel_message message;
    cel_code code = CEL_ENOMEM;

    (void)state;
    for (size_t n = 1; code != CEL_OK; n++) {
        cel__buf buf = {0};

        cel__mem_fail_at(n);
        code = cel__mailbox_request_encode(&message, &request, CEL_VIEW("x"), NULL, &buf, NULL);
        cel__mem_fail_at(0);
        assert_true(code == CEL_OK || code == CEL_ENOMEM);
        assert_true(n < 50);
        cel__buf_done(&buf);
    }
}

/* ---- names ---- */

static void names_are_those_of_kombu(void **state)
{
    cel__buf buf = {0};

    (void)state;
    cel__mailbox_exchange(&buf, "celery");
    cel__buf_add_byte(&buf, ' ');
    cel__mailbox_reply_exchange(&buf, "celery");
    cel__buf_add_byte(&buf, ' ');
    cel__mailbox_node_queue(&buf, "celery", "w1@h");
    cel__buf_add_byte(&buf, ' ');
    cel__mailbox_reply_queue(&buf, "celery", "id");
    assert_string_equal(cel__buf_cstr(&buf), "celery.pidbox reply.celery.pidbox "
                                             "w1@h.celery.pidbox id.reply.celery.pidbox");
    cel__buf_done(&buf);
}

static void commands_are_found_by_name_and_alias(void **state)
{
    const cel_control_command *command = cel__control_find(CEL_VIEW("dump_active"));

    (void)state;
    assert_non_null(command);
    assert_string_equal(command->name, "active");
    assert_int_equal(cel__control_id(command), CEL_COMMAND_active);
    assert_null(cel__control_find(CEL_VIEW("nosuch")));
    assert_null(cel__control_find(CEL_VIEW("")));
    for (size_t i = 0; i < CEL_COMMAND_COUNT; i++) {
        size_t words = 0;

        command = &cel__control_commands[i];
        assert_ptr_equal(cel__control_find(cel__view(command->name)), command);
        assert_true(command->help[0]);
        for (const cel_control_arg *arg = command->args; arg->name; arg++)
            words += arg->flags & CEL_CONTROL_WORD ? 1 : 0;
        assert_int_equal(words > 0 || i == CEL_COMMAND_pool_restart,
                         command->usage != NULL || i == CEL_COMMAND_pool_restart);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_written_as_kombu_writes_it),
        cmocka_unit_test(a_cast_has_no_ticket_and_no_expiry),
        cmocka_unit_test(a_request_is_read_back),
        cmocka_unit_test(what_python_takes_for_nothing_is_absent),
        cmocka_unit_test(hostile_requests_are_refused),
        cmocka_unit_test(a_deep_request_is_refused),
        cmocka_unit_test(a_huge_request_is_refused),
        cmocka_unit_test(a_content_type_that_is_not_accepted_is_refused),
        cmocka_unit_test(headers_that_make_no_sense_are_as_none),
        cmocka_unit_test(a_destination_counts_before_a_pattern),
        cmocka_unit_test(patterns_select_by_their_matcher),
        cmocka_unit_test(a_reply_goes_where_the_request_says),
        cmocka_unit_test(a_reply_has_one_node),
        cmocka_unit_test(a_failing_allocation_is_an_error),
        cmocka_unit_test(names_are_those_of_kombu),
        cmocka_unit_test(commands_are_found_by_name_and_alias),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
