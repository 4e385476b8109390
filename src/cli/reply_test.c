/* reply_test.c - replies as Celery's command shows them; the texts were printed by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/reply.h"
#include "core/mem.h"

static void check(const char *json, const cel_reply_style *style, const char *wanted)
{
    json_t *reply = json_loads(json, JSON_DECODE_ANY, NULL);
    cel__buf buf = {0};

    assert_non_null(reply);
    cel__reply_show(&buf, "w1@vm", reply, style);
    assert_string_equal(cel__buf_cstr(&buf), wanted);
    cel__buf_done(&buf);
    json_decref(reply);
}

static const cel_reply_style plain = {.body = true};

static void what_is_ok_or_an_error_stands_further_to_the_right(void **state)
{
    (void)state;
    check("{\"ok\": \"pong\"}", &plain, "->  w1@vm: OK\n        pong\n");
    check("{\"error\": \"unknown task\"}", &plain, "->  w1@vm: ERROR\n        unknown task\n");
    check("{\"ok\": null, \"error\": 1}", &plain, "->  w1@vm: OK\n        None\n");
    check("{\"ok\": \"a\\nb\\n\"}", &plain, "->  w1@vm: OK\n        a\n        b\n        \n");
    check("{\"ok\": \"\"}", &plain, "->  w1@vm: OK\n        \n");
    check("{\"ok\": {\"error\": \"x\"}}", &plain, "->  w1@vm: OK\n            x\n");
}

static void a_list_is_shown_line_by_line_as_python_shows_what_is_in_it(void **state)
{
    (void)state;
    check("[]", &plain, "->  w1@vm: OK\n    - empty -\n");
    check("[\"t.add [rate_limit=2/s]\", \"t.sleep\"]", &plain,
          "->  w1@vm: OK\n    * t.add [rate_limit=2/s]\n    * t.sleep\n");
    check("[{\"args\": [1, 2.5], \"eta\": null, \"ok\": true, \"s\": \"it's\"}]", &plain,
          "->  w1@vm: OK\n    * {'args': [1, 2.5], 'eta': None, 'ok': True, 's': \"it's\"}\n");
}

static void other_objects_are_json_in_order(void **state)
{
    (void)state;
    check("{\"clock\": 12}", &plain, "->  w1@vm: OK\n    {\n        \"clock\": 12\n    }\n");
    check("{}", &plain, "->  w1@vm: OK\n    {}\n");
    check("{\"b\": [], \"a\": {\"y\": 1.0, \"x\": [1, {}]}, \"\\u00e9\": \"\\u00e9\\n\"}",
          &plain,
          "->  w1@vm: OK\n    {\n        \"a\": {\n            \"x\": [\n                1,\n"
          "                {}\n            ],\n            \"y\": 1.0\n        },\n"
          "        \"b\": [],\n        \"\\u00e9\": \"\\u00e9\\n\"\n    }\n");
}

static void a_bare_value_is_shown_as_python_shows_it(void **state)
{
    (void)state;
    check("null", &plain, "->  w1@vm: OK\n    None\n");
    check("\"46.473MB\"", &plain, "->  w1@vm: OK\n    46.473MB\n");
    check("true", &plain, "->  w1@vm: OK\n    True\n");
    check("0.5", &plain, "->  w1@vm: OK\n    0.5\n");
}

static void without_body_or_arrow_there_is_less(void **state)
{
    (void)state;
    check("{\"ok\": \"pong\"}", &(cel_reply_style){.body = false}, "->  w1@vm: OK\n");
    check("{\"ok\": \"pong\"}", &(cel_reply_style){.quiet = true, .body = true},
          " w1@vm: OK\n        pong\n");
}

static void on_a_terminal_there_are_colors_and_no_escape_sequences_of_others(void **state)
{
    const cel_reply_style style = {.color = true, .body = true};

    (void)state;
    check("{\"ok\": \"pong\"}", &style,
          "\033[37m\033[1m->\033[0m  \033[36m\033[1mw1@vm: \033[0m\033[32m\033[1mOK\033[0m\n"
          "        pong\n");
    check("[\"\\u001b[2Jgone\\u007f\\tand\"]", &style,
          "\033[37m\033[1m->\033[0m  \033[36m\033[1mw1@vm: \033[0m\033[32m\033[1mOK\033[0m\n"
          "    \033[37m*\033[0m ?[2Jgone?\tand\n");
    check("[\"\\u001b[2J\"]", &plain, "->  w1@vm: OK\n    * \033[2J\n");
}

static void a_reply_nested_without_end_makes_the_buffer_fail(void **state)
{
    json_t *inner = json_object(), *list = json_array();
    cel__buf buf = {0};

    (void)state;
    for (int i = 0; i < 2000; i++) {
        inner = json_pack("{s:o}", "ok", inner);
        list = json_pack("[o]", list);
    }
    cel__reply_show(&buf, "w1@vm", inner, &plain);
    assert_true(buf.failed);
    cel__buf_reset(&buf);
    cel__reply_dump(&buf, list);
    assert_true(buf.failed);
    cel__buf_done(&buf);
    json_decref(inner);
    json_decref(list);
}

static void without_memory_the_buffer_fails_and_nothing_leaks(void **state)
{
    json_t *reply = json_pack("{s:{s:i}, s:[s]}", "a", "b", 1, "c", "d");
    bool failed = true;

    (void)state;
    for (size_t n = 1; failed; n++) {
        cel__buf buf = {0};

        assert_true(n < 1000);
        cel__mem_fail_at(n);
        cel__reply_show(&buf, "w1@vm", reply, &plain);
        cel__mem_fail_at(0);
        failed = buf.failed;
        cel__buf_done(&buf);
    }
    json_decref(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ok_or_an_error_stands_further_to_the_right),
        cmocka_unit_test(a_list_is_shown_line_by_line_as_python_shows_what_is_in_it),
        cmocka_unit_test(other_objects_are_json_in_order),
        cmocka_unit_test(a_bare_value_is_shown_as_python_shows_it),
        cmocka_unit_test(without_body_or_arrow_there_is_less),
        cmocka_unit_test(on_a_terminal_there_are_colors_and_no_escape_sequences_of_others),
        cmocka_unit_test(a_reply_nested_without_end_makes_the_buffer_fail),
        cmocka_unit_test(without_memory_the_buffer_fails_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
