/* url_test.c - tests of url.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/url.h"
#include "core/mem.h"

static const struct {
    const char *text, *scheme, *user, *password, *host;
    int port;
    const char *path;
} cases[] = {
    {"amqp://", "amqp", NULL, NULL, NULL, 0, NULL},
    {"amqp://h", "amqp", NULL, NULL, "h", 0, NULL},
    {"amqp://h/", "amqp", NULL, NULL, "h", 0, NULL},
    {"amqp://h//", "amqp", NULL, NULL, "h", 0, "/"},
    {"amqp://h/%2F", "amqp", NULL, NULL, "h", 0, "/"},
    {"amqp://h/%2Fvh", "amqp", NULL, NULL, "h", 0, "/vh"},
    {"amqp://u:p%40ss@h:5673/a%2Fb", "amqp", "u", "p@ss", "h", 5673, "a/b"},
    {"amqp://u@h", "amqp", "u", NULL, "h", 0, NULL},
    {"amqp://u:a@b@h", "amqp", "u", "a@b", "h", 0, NULL},
    {"AMQP://h", "amqp", NULL, NULL, "h", 0, NULL},
    {"redis://:pw@h:6380/2", "redis", NULL, "pw", "h", 6380, "2"},
    {"redis+socket:///run/r.sock?virtual_host=3", "redis+socket", NULL, NULL, NULL, 0,
     "run/r.sock"},
    {"sqlite:///rel.db", "sqlite", NULL, NULL, NULL, 0, "rel.db"},
    {"sqlite:////abs/x.db?synchronous=off", "sqlite", NULL, NULL, NULL, 0, "/abs/x.db"},
    {"sqlite://", "sqlite", NULL, NULL, NULL, 0, NULL},
    {"memory://", "memory", NULL, NULL, NULL, 0, NULL},
    {"amqp://[::1]:5672/v", "amqp", NULL, NULL, "::1", 5672, "v"},
    {"amqp://[::1]", "amqp", NULL, NULL, "::1", 0, NULL},
    {"localhost", NULL, NULL, NULL, "localhost", 0, NULL},
    {"h:5672", NULL, NULL, NULL, "h:5672", 0, NULL},
    {"a://h/%zz%4", "a", NULL, NULL, "h", 0, "%zz%4"},
    {"sqla+sqlite:///x.db", "sqla+sqlite", NULL, NULL, NULL, 0, "x.db"},
};

static void assert_part(const char *text, const char *part, const char *want)
{
    if (!part != !want || (want && strcmp(part, want) != 0))
        fail_msg("%s: '%s' is not '%s'", text, part ? part : "NULL", want ? want : "NULL");
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_url url;
        cel_error err;
        const char *text = cases[i].text;
        if (cel__url_parse(&url, cel__view(text), &err) != CEL_OK)
            fail_msg("%s: %s", text, err.message);
        assert_part(text, url.scheme, cases[i].scheme);
        assert_part(text, url.user, cases[i].user);
        assert_part(text, url.password, cases[i].password);
        assert_part(text, url.host, cases[i].host);
        assert_part(text, url.path, cases[i].path);
        assert_int_equal(url.port, cases[i].port);
        cel__url_done(&url);
    }
}

static void the_query_is_decoded(void **state)
{
    cel_url url;

    (void)state;
    assert_int_equal(
        cel__url_parse(&url, CEL_VIEW("a://h?x=1&y=a%20b+c&x=2&z&e=&=f#frag"), NULL), CEL_OK);
    assert_int_equal(url.param_count, 3);
    assert_string_equal(cel__url_param(&url, "x"), "2");
    assert_string_equal(cel__url_param(&url, "y"), "a b c");
    assert_null(cel__url_param(&url, "z"));
    cel__url_done(&url);
}

static void bad_urls_are_refused_without_showing_the_password(void **state)
{
    static const char *const bad[] = {"",
                                      "a://u:s3cret@h:99999",
                                      "a://u:s3cret@h:x/",
                                      "a://u:s3cret@h/%00",
                                      "a://s3cret\n",
                                      "a://u:s3cret@h:-1"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cel_url url;
        cel_error err;
        assert_int_equal(cel__url_parse(&url, cel__view(bad[i]), &err), CEL_ECONFIG);
        assert_null(strstr(err.message, "s3cret"));
    }
}

static void a_list_is_walked(void **state)
{
    cel_view rest = CEL_VIEW(";amqp://a//; amqp://b// ;;"), url;

    (void)state;
    assert_true(cel__url_next(&rest, &url));
    assert_true(cel__view_is(url, "amqp://a//"));
    assert_true(cel__url_next(&rest, &url));
    assert_true(cel__view_is(url, "amqp://b//"));
    assert_false(cel__url_next(&rest, &url));
}

static void passwords_are_masked(void **state)
{
    static const char *const masks[][2] = {
        {"amqp://", "amqp://guest:**@localhost:5672//"},
        {"amqp://u:s3cret@h/v", "amqp://u:**@h:5672/v"},
        {"amqps://u:s3cret@h", "amqps://u:**@h:5671//"},
        {"pyamqp://u:s3cret@h;amqp://b//", "amqp://u:**@h:5672//;amqp://guest:**@b:5672//"},
        {"redis://h", "redis://h:6379//"},
        {"redis://:s3cret@h:6380/2", "redis://:**@h:6380/2"},
        {"redis://u:s3cret@h/2", "redis://u:**@h:6379/2"},
        {"sqlite:///celeriac.db?synchronous=off", "sqlite:///celeriac.db?synchronous=off"},
        {"x://u:s3cret@h?password=s3cret&a=1&pwd=s3cret", "x://u:**@h?password=**&a=1&pwd=**"},
        {"memory://", "memory://"},
        {"localhost", "localhost"},
        {"u:s3cret@h", "**@h"},
        {"amqp://u:s3cret@h:x/v", "amqp://u:**@h:x/v"},
        {"amqp://u:s3/cret@h/v", "amqp://**@h/v"},
        {"amqp://u:5#cret@h/v", "amqp://**@h/v"},
        {"amqp://u:s3cret@h/%00", "amqp://u:**@h/%00"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        cel__buf buf = {0};
        cel__url_mask(&buf, masks[i][0]);
        if (strcmp(cel__buf_cstr(&buf), masks[i][1]) != 0)
            fail_msg("%s: %s", masks[i][0], buf.ptr);
        cel__buf_done(&buf);
    }
}

static void random_bytes_are_harmless(void **state)
{
    static const char bytes[] = "amqp:///@@::?&=%%2F;#[]00 \x01\xff";
    uint32_t seed = 7;

    (void)state;
    for (int round = 0; round < 50000; round++) {
        char text[32];
        size_t len = 0;
        for (; len < 20; len++) {
            seed = seed * 1664525u + 1013904223u;
            text[len] = bytes[(seed >> 9) % (sizeof bytes - 1)];
        }
        len = seed % 21;
        char *copy = cel__memdup(text, len);
        char *exact = malloc(len ? len : 1);
        memcpy(exact, text, len);
        cel_url url;
        cel__buf buf = {0};
        if (cel__url_parse(&url, (cel_view){exact, len}, NULL) == CEL_OK)
            cel__url_done(&url);
        cel__url_mask(&buf, copy);
        cel__buf_done(&buf);
        free(exact);
        cel__free(copy);
    }
}

static void without_memory_nothing_leaks(void **state)
{
    cel_url url;

    (void)state;
    for (size_t n = 1; n < 3; n++) {
        cel__mem_fail_at(n);
        assert_int_equal(cel__url_parse(&url, CEL_VIEW("a://u:p@h/v?x=1"), NULL), CEL_ENOMEM);
    }
    cel__mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(the_query_is_decoded),
        cmocka_unit_test(bad_urls_are_refused_without_showing_the_password),
        cmocka_unit_test(a_list_is_walked),
        cmocka_unit_test(passwords_are_masked),
        cmocka_unit_test(random_bytes_are_harmless),
        cmocka_unit_test(without_memory_nothing_leaks),
    };

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
