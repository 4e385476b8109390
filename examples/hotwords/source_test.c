/* source_test.c - reading the URL of a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "test_support.h"

static void what_begins_otherwise_is_a_folder(void **state)
{
    (void)state;
    assert_true(hw_source_is_url("mysql://h/d/t"));
    assert_true(hw_source_is_url("MariaDB://h/d/t"));
    assert_true(hw_source_is_url("mysql://")); /* a wrong URL, but no folder */
    assert_false(hw_source_is_url("/mysql://h/d/t"));
    assert_false(hw_source_is_url("mysql:"));
    assert_false(hw_source_is_url("chat"));
    assert_false(hw_source_is_url(""));
}

static void every_part_is_read_and_decoded(void **state)
{
    hw_source source;

    (void)state;
    assert_int_equal(
        hw_source_read(&source,
                       "mysql://us%40er:p%2f%3A@s%25@db.example:3307/ga%20me/ch%60at"
                       "?date=day&level=lv&text=m%26sg&socket=/run/my.sock"
                       "&ca=/etc/ca.pem&connect_timeout=3&read_timeout=86400",
                       NULL),
        HW_OK);
    assert_string_equal(source.user, "us@er");
    assert_string_equal(source.password, "p/:@s%");
    assert_string_equal(source.host, "db.example");
    assert_int_equal(source.port, 3307);
    assert_string_equal(source.database, "ga me");
    assert_string_equal(source.table, "ch`at");
    assert_string_equal(source.date, "day");
    assert_string_equal(source.level, "lv");
    assert_string_equal(source.text, "m&sg");
    assert_string_equal(source.socket, "/run/my.sock");
    assert_string_equal(source.ca, "/etc/ca.pem");
    assert_int_equal(source.connect_timeout, 3);
    assert_int_equal(source.read_timeout, 86400);
    assert_string_equal(source.shown, "mysql://us@er@/run/my.sock/ga me/ch`at");
    hw_source_done(&source);
    assert_null(source.user);
    hw_source_done(&source);
    hw_source_done(NULL);
}

static void what_is_left_out_has_a_default(void **state)
{
    hw_source source;

    (void)state;
    assert_int_equal(hw_source_read(&source, "mariadb:///game/chat", NULL), HW_OK);
    assert_null(source.user);
    assert_null(source.password);
    assert_null(source.socket);
    assert_null(source.ca);
    assert_string_equal(source.host, "localhost");
    assert_int_equal(source.port, 3306);
    assert_string_equal(source.date, "date");
    assert_string_equal(source.level, "level");
    assert_string_equal(source.text, "text");
    assert_int_equal(source.connect_timeout, 10);
    assert_int_equal(source.read_timeout, 60);
    assert_string_equal(source.shown, "mysql://localhost:3306/game/chat");
    hw_source_done(&source);
}

static void a_user_needs_no_password_and_a_password_may_be_empty(void **state)
{
    hw_source source;

    (void)state;
    assert_int_equal(hw_source_read(&source, "mysql://chat@h/d/t?", NULL), HW_OK);
    assert_string_equal(source.user, "chat");
    assert_null(source.password);
    hw_source_done(&source);
    assert_int_equal(hw_source_read(&source, "mysql://chat:@h/d/t", NULL), HW_OK);
    assert_string_equal(source.password, "");
    hw_source_done(&source);
}

static void an_address_of_ipv6_stands_in_brackets(void **state)
{
    hw_source source;

    (void)state;
    assert_int_equal(hw_source_read(&source, "mysql://[::1]:3307/d/t", NULL), HW_OK);
    assert_string_equal(source.host, "::1");
    assert_int_equal(source.port, 3307);
    assert_string_equal(source.shown, "mysql://[::1]:3307/d/t");
    hw_source_done(&source);
    assert_int_equal(hw_source_read(&source, "mysql://[fe80::2]/d/t", NULL), HW_OK);
    assert_string_equal(source.host, "fe80::2");
    assert_int_equal(source.port, 3306);
    hw_source_done(&source);
}

static void a_wrong_url_is_refused_without_showing_a_password(void **state)
{
    static const struct {
        const char *url, *says;
    } wrong[] = {
        {"http://u:sesame@h/d/t", "begins with mysql://"},
        {"mysql://", "/database/table"},
        {"mysql://u:sesame@h", "/database/table"},
        {"mysql://u:sesame@h/d", "/database/table"},
        {"mysql://u:sesame@h/d/", "/database/table"},
        {"mysql://u:sesame@h//t", "/database/table"},
        {"mysql://u:sesame@h/d/t/x", "/database/table"},
        {"mysql://u:se/sesame@h/d/t", "'/'"}, /* not encoded */
        {"mysql://u:1/sesame@h/t", "%2F"},
        {"mysql://u:sesame/d/t", "port"},
        {"mysql://u:sesame@h:0/d/t", "port"},
        {"mysql://u:sesame@h:65536/d/t", "port"},
        {"mysql://u:sesame@h:/d/t", "port"},
        {"mysql://u:sesame@[::1/d/t", "]"},
        {"mysql://u:sesame@[::1]x/d/t", "]"},
        {"mysql://u:sesame%@h/d/t", "percent"},
        {"mysql://u:sesame%4@h/d/t", "percent"},
        {"mysql://u:sesame@h/d/t%00", "percent"},
        {"mysql://u:sesame@h/d/t?date=%0a", "percent"},
        {"mysql://u:sesame@h/d/t?date", "date"},
        {"mysql://u:sesame@h/d/t?date=", "empty"},
        {"mysql://u:sesame@h/d/t?password=sesame", "unknown"},
        {"mysql://u:sesame@h/d/t?read_timeout=0", "read_timeout"},
        {"mysql://u:sesame@h/d/t?connect_timeout=1e3", "connect_timeout"},
        {"mysql://u:sesame@h/d/t?connect_timeout=86401", "connect_timeout"},
        {"mysql://u:sesame@h/d/t?connect_timeout=99999999999999999999", "connect_timeout"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hw_source source = {0};
        hw_error err = {0};

        if (hw_source_read(&source, wrong[i].url, &err) != HW_EINVAL ||
            !strstr(err.message, wrong[i].says) || strstr(err.message, "sesame") ||
            source.storage)
            fail_msg("%s: %s", wrong[i].url, err.message);
    }
}

static void names_have_a_limit(void **state)
{
    char url[1024] = "mysql://h/d/t?text=";
    hw_source source;
    size_t len = strlen(url);

    (void)state;
    memset(url + len, 'x', 256);
    assert_int_equal(hw_source_read(&source, url, NULL), HW_OK);
    hw_source_done(&source);
    url[len + 256] = 'x';
    assert_int_equal(hw_source_read(&source, url, NULL), HW_EINVAL);
}

static void assert_masked(const char *data, const char *expected)
{
    char *masked = NULL;

    assert_int_equal(hw_source_mask(&masked, data, NULL), HW_OK);
    assert_string_equal(masked, expected);
    free(masked);
}

static void a_masked_url_shows_all_but_the_password(void **state)
{
    (void)state;
    assert_masked("mysql://u:sesame@h:1/d/t?date=day", "mysql://u:**@h:1/d/t?date=day");
    assert_masked("mysql://u:ses@me@h/d/t", "mysql://u:**@h/d/t");
    assert_masked("mariadb://u@h:1/d/t", "mariadb://u@h:1/d/t");
    assert_masked("mysql://h:1/d/t?socket=/a@b:c", "mysql://h:1/d/t?socket=/a@b:c");
    assert_masked("mysql://u:ses/ame@h/d/t", "mysql://**"); /* a wrong one */
    assert_masked("/data/a:b@c", "/data/a:b@c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_begins_otherwise_is_a_folder),
        cmocka_unit_test(every_part_is_read_and_decoded),
        cmocka_unit_test(what_is_left_out_has_a_default),
        cmocka_unit_test(a_user_needs_no_password_and_a_password_may_be_empty),
        cmocka_unit_test(an_address_of_ipv6_stands_in_brackets),
        cmocka_unit_test(a_wrong_url_is_refused_without_showing_a_password),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(a_masked_url_shows_all_but_the_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
