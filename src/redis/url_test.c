/* url_test.c - the URLs of Redis servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "redis/conn.h"

static void hosts_and_sockets_are_read(void **state)
{
    static const struct vector {
        const char *text, *host, *socket_path, *user, *password, *shown;
        int port, db;
    } vectors[] = {
        {"redis://", "localhost", NULL, NULL, NULL, "redis://localhost:6379/0", 6379, 0},
        {"redis://:pw@h:6380/2", "h", NULL, NULL, "pw", "redis://h:6380/2", 6380, 2},
        {"redis://u:p%40w@h//", "h", NULL, "u", "p@w", NULL, 6379, 0},
        {"redis://[::1]:1/", "::1", NULL, NULL, NULL, "redis://[::1]:1/0", 1, 0},
        {"redis+socket:///run/r.sock?virtual_host=3", NULL, "/run/r.sock", NULL, NULL,
         "redis+socket:///run/r.sock?virtual_host=3", 6379, 3},
        {"redis+socket://:pw@/run/r.sock", NULL, "/run/r.sock", NULL, "pw", NULL, 6379, 0},
        {"rediss://:pw@h/1", "h", NULL, NULL, "pw", "rediss://h:6379/1", 6379, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *want = vectors + i;
        cel__redis_url url;
        cel_error err;

        if (cel__redis_url_read(&url, want->text, &err) != CEL_OK) {
            if (want->shown)
                fail_msg("%s: %s", want->text, err.message);
            continue;
        }
        assert_int_equal(strcmp(url.host ? url.host : "", want->host ? want->host : ""), 0);
        assert_string_equal(url.socket_path ? url.socket_path : "",
                            want->socket_path ? want->socket_path : "");
        assert_string_equal(url.user ? url.user : "", want->user ? want->user : "");
        assert_string_equal(url.password ? url.password : "",
                            want->password ? want->password : "");
        if (want->shown)
            assert_string_equal(url.shown, want->shown);
        assert_int_equal(url.port, want->port);
        assert_int_equal(url.db, want->db);
        assert_int_equal(url.tls, strncmp(want->text, "rediss", 6) == 0);
        cel__redis_url_done(&url);
    }
}

static void tls_checks_the_certificate_unless_told_otherwise(void **state)
{
    static const struct vector {
        const char *text;
        bool verify, check_host;
    } vectors[] = {
        {"rediss://h", true, true},
        {"rediss://h?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=False", true, false},
        {"rediss://h?ssl_cert_reqs=none", false, true},
        {"rediss://h?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/a&ssl_certfile=/b&ssl_keyfile=/c",
         false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        cel__redis_url url;

        assert_int_equal(cel__redis_url_read(&url, vectors[i].text, NULL), CEL_OK);
        assert_int_equal(url.verify, vectors[i].verify);
        assert_int_equal(url.check_host, vectors[i].check_host);
        if (i == 3) {
            assert_string_equal(url.ca_file, "/a");
            assert_string_equal(url.cert_file, "/b");
            assert_string_equal(url.key_file, "/c");
        }
        cel__redis_url_done(&url);
    }
}

static void what_is_none_is_refused_without_showing_the_password(void **state)
{
    static const char *const bad[] = {
        "redis://:s3cret@h/x",
        "redis://:s3cret@h/-1",
        "redis+socket://:s3cret@",
        "redis://:s3cret@h?socket_timeout=x",
        "http://:s3cret@h",
        "rediss://:s3cret@h?ssl_cert_reqs=maybe",
        "redis://:s3cret@h/9999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cel__redis_url url;
        cel_error err;

        assert_int_equal(cel__redis_url_read(&url, bad[i], &err), CEL_ECONFIG);
        assert_null(strstr(err.message, "s3cret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_sockets_are_read),
        cmocka_unit_test(tls_checks_the_certificate_unless_told_otherwise),
        cmocka_unit_test(what_is_none_is_refused_without_showing_the_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
