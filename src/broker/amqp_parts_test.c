/* amqp_parts_test.c - URLs and tables of the AMQP broker, without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/amqp_impl.h"
#include "broker/amqp_table.h"
#include "broker/amqp_url.h"

static void expect_server(const char *url, const char *expected)
{
    cel_amqp_server *servers;
    size_t count;
    cel_error err = {0};
    char text[256];

    if (cel__amqp_servers_parse(&servers, &count, url, &err) != CEL_OK)
        fail_msg("%s: %s", url, err.message);
    snprintf(text, sizeof text, "%s %s %s %d %s%s", servers->user, servers->password,
             servers->host, servers->port, servers->vhost, servers->tls ? " tls" : "");
    assert_string_equal(text, expected);
    cel__amqp_servers_free(servers, count);
}

static void urls_are_read_as_celery_reads_them(void **state)
{
    (void)state;
    expect_server("amqp://", "guest guest localhost 5672 /");
    expect_server("amqp://h", "guest guest h 5672 /");
    expect_server("amqp://h/", "guest guest h 5672 /");
    expect_server("amqp://h//", "guest guest h 5672 /");
    expect_server("amqp://h/%2F", "guest guest h 5672 /");
    expect_server("amqp://h/vh", "guest guest h 5672 vh");
    expect_server("amqp://h/%2Fvh", "guest guest h 5672 /vh");
    expect_server("amqp://u:p%40ss@h:5673/a%2Fb", "u p@ss h 5673 a/b");
    expect_server("amqp://u@h", "u guest h 5672 /");
    expect_server("amqps://h/v", "guest guest h 5671 v tls");
    expect_server("amqp://root:root@127.0.0.1/dispatch_server_host",
                  "root root 127.0.0.1 5672 dispatch_server_host");
    expect_server("amqp://[::1]:7/x", "guest guest ::1 7 x");
    expect_server("amqp://a;amqp://b", "guest guest a 5672 /");
}

static void lists_of_servers_are_kept_in_order(void **state)
{
    cel_amqp_server *servers;
    size_t count;

    (void)state;
    assert_int_equal(cel__amqp_servers_parse(&servers, &count,
                                             "amqp://a/x; amqps://b:1?ssl_cert_reqs=none;;",
                                             NULL),
                     CEL_OK);
    assert_int_equal(count, 2);
    assert_string_equal(servers[0].host, "a");
    assert_true(servers[0].verify);
    assert_string_equal(servers[1].host, "b");
    assert_false(servers[1].verify);
    cel__amqp_servers_free(servers, count);
    assert_int_equal(cel__amqp_servers_parse(&servers, &count, ";", NULL), CEL_ECONFIG);
    assert_int_equal(cel__amqp_servers_parse(&servers, &count, "amqp://h:99999/", NULL),
                     CEL_ECONFIG);
}

static void load(amqp_table_t *table, const char *json, amqp_pool_t *pool)
{
    cel_error err = {0};

    if (cel__amqp_table_load(table, cel__view(json), pool, &err) != CEL_OK)
        fail_msg("%s: %s", json, err.message);
}

/* The bytes that Celery was seen to send, see the reference. */
static void tables_are_encoded_as_py_amqp_does(void **state)
{
    static const char expected[] = "\0\0\0\x58"
                                   "\x07retriesI\0\0\0\0"
                                   "\x09timelimitA\0\0\0\x06I\0\0\0\x1eV"
                                   "\x09parent_idV"
                                   "\x0dignore_resultt\0"
                                   "\x03"
                                   "bigL\0\0\x01\0\0\0\0\0"
                                   "\x01"
                                   "fd\x3f\xf8\0\0\0\0\0\0";
    char bytes[256];
    amqp_table_t table;
    amqp_pool_t pool;
    size_t offset = 0;

    (void)state;
    init_amqp_pool(&pool, 4096);
    load(&table,
         "{\"retries\": 0, \"timelimit\": [30, null], \"parent_id\": null, "
         "\"ignore_result\": false, \"big\": 1099511627776, \"f\": 1.5}",
         &pool);
    assert_int_equal(amqp_encode_table((amqp_bytes_t){sizeof bytes, bytes}, &table, &offset),
                     AMQP_STATUS_OK);
    assert_int_equal(offset, sizeof expected - 1);
    assert_memory_equal(bytes + 4, expected + 4, sizeof expected - 5);
    empty_amqp_pool(&pool);
}

static void tables_come_back_as_they_were(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"a\": {\"b\": [[], {}, \"\"]}}",
        "{\"min\": -2147483648, \"max\": 2147483647, \"more\": -2147483649}",
        "{\"x\": NaN, \"y\": -Infinity, \"z\": 1e+16}",
        "{\"\\u00e4\": \"\\ud83d\\ude00\\n\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        amqp_table_t table;
        amqp_pool_t pool;
        cel__buf buf = {0};

        init_amqp_pool(&pool, 4096);
        load(&table, texts[i], &pool);
        cel__amqp_table_dump(&buf, &table);
        assert_string_equal(cel__buf_cstr(&buf), texts[i]);
        cel__buf_done(&buf);
        empty_amqp_pool(&pool);
    }
}

static void what_no_table_holds_is_refused(void **state)
{
    char deep[512] = "{\"a\": ", key[400];
    const char *const texts[] = {
        "", "[]", "{\"a\": ", "{\"a\": 123456789012345678901234567890}", deep, key,
    };

    (void)state;
    memset(deep + 6, '[', 200);
    memset(deep + 206, ']', 200);
    memcpy(deep + 406, "}", 2);
    memset(key, 'k', sizeof key);
    memcpy(key, "{\"", 2);
    memcpy(key + 300, "\": 1}", 6);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        amqp_table_t table;
        amqp_pool_t pool;
        cel_error err = {0};

        init_amqp_pool(&pool, 4096);
        assert_int_equal(cel__amqp_table_load(&table, cel__view(texts[i]), &pool, &err),
                         CEL_EINVAL);
        assert_true(err.message[0] != '\0');
        empty_amqp_pool(&pool);
    }
}

static amqp_table_entry_t entry(const char *name, uint8_t kind)
{
    amqp_table_entry_t made = {.key = amqp_cstring_bytes(name)};

    made.value.kind = kind;
    return made;
}

static void every_tag_is_understood(void **state)
{
    amqp_table_entry_t entries[] = {
        entry("b", 'b'), entry("B", 'B'), entry("s", 's'), entry("u", 'u'), entry("i", 'i'),
        entry("l", 'l'), entry("L", 'L'), entry("f", 'f'), entry("D", 'D'), entry("T", 'T'),
        entry("x", 'x'), entry("V", 'V'), entry("?", '?'),
    };
    cel__buf buf = {0};

    (void)state;
    entries[0].value.value.i8 = -1;
    entries[1].value.value.u8 = 255;
    entries[2].value.value.i16 = -2;
    entries[3].value.value.u16 = 65535;
    entries[4].value.value.u32 = 4000000000u;
    entries[5].value.value.i64 = -3;
    entries[6].value.value.u64 = (uint64_t)-4; /* signed, as py-amqp */
    entries[7].value.value.f32 = 0.5f;
    entries[8].value.value.decimal = (amqp_decimal_t){2, 314};
    entries[9].value.value.u64 = 1700000000;
    entries[10].value.value.bytes = amqp_cstring_bytes("\xff!");
    cel__amqp_table_dump(&buf, &(amqp_table_t){13, entries});
    assert_string_equal(cel__buf_cstr(&buf),
                        "{\"b\": -1, \"B\": 255, \"s\": -2, \"u\": 65535, \"i\": 4000000000, "
                        "\"l\": -3, \"L\": -4, \"f\": 0.5, \"D\": 314e-2, \"T\": 1700000000, "
                        "\"x\": \"\\ufffd!\", \"V\": null, \"?\": null}");
    cel__buf_done(&buf);
}

static void topic_patterns_match_as_rabbitmq_does(void **state)
{
    static const struct {
        const char *pattern, *key;
        bool matches;
    } cases[] = {
        {"a.b", "a.b", true},
        {"a.b", "a.c", false},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.#", "a", true},
        {"a.#", "a.b.c", true},
        {"#", "", true},
        {"#", "x.y", true},
        {"*", "", false},
        {"#.b", "a.b", true},
        {"#.b", "b", true},
        {"#.b", "a.bb", false},
        {"#.a.#", "x.a.y", true},
        {"#.a.#", "x.y", false},
        {"*.#.*", "a", false},
        {"*.#.*", "a.b", true},
        {"a..b", "a..b", true},
        {"a.*.b", "a..b", true},
        {"", "", true},
        {"", "a", false},
        {"#.a.b", "a.a.b", true},
        {"a.#.b.#.c", "a.b.c", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cel__topic_matches(cel__view(cases[i].pattern), cel__view(cases[i].key)) !=
            cases[i].matches)
            fail_msg("%s, %s", cases[i].pattern, cases[i].key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_as_celery_reads_them),
        cmocka_unit_test(lists_of_servers_are_kept_in_order),
        cmocka_unit_test(tables_are_encoded_as_py_amqp_does),
        cmocka_unit_test(tables_come_back_as_they_were),
        cmocka_unit_test(what_no_table_holds_is_refused),
        cmocka_unit_test(every_tag_is_understood),
        cmocka_unit_test(topic_patterns_match_as_rabbitmq_does),
    };

    return cmocka_run_group_tests_name("amqp parts", tests, NULL, NULL);
}
