/* http_test.c - GET is answered on the loop; what is hostile costs its connection and no other. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "web/http.h"

struct fixture {
    uv_loop_t loop;
    cel_http *http;
    uv_timer_t other; /* what keeps the loop going, as a worker's own handles do */
};

static void on_other(uv_timer_t *timer)
{
    (void)timer;
}

static int get(void *user, const char *path, cel__buf *body)
{
    (void)user;
    cel__buf_addf(body, "path %s\n", path);
    return strcmp(path, "/none") == 0 ? 404 : 200;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (!f || uv_loop_init(&f->loop) != 0 ||
        cel__http_open(&f->http, &f->loop, "0", get, NULL, NULL) != CEL_OK)
        return -1;
    uv_timer_init(&f->loop, &f->other);
    uv_timer_start(&f->other, on_other, 1000, 1000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cel__http_close(f->http);
    uv_close((uv_handle_t *)&f->other, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static int connect_to(const struct fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)cel__http_port(f->http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends bytes and reads until the server closes, on `fd`, which is closed. */
static void
ask(struct fixture *f, int fd, const char *bytes, size_t len, char *answer, size_t size)
{
    size_t got = 0;
    ssize_t n = 0;

    while (len > 0 && (n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)) != 0) {
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            break; /* it has closed already */
        }
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    for (;;) {
        n = recv(fd, answer + got, size - 1 - got, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        got += n > 0 ? (size_t)n : 0;
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    answer[got] = '\0';
    close(fd);
}

static const char *answer_to(struct fixture *f, const char *request)
{
    static char answer[65536];

    ask(f, connect_to(f), request, strlen(request), answer, sizeof answer);
    return answer;
}

static void a_get_is_answered(void **state)
{
    const char *text =
        answer_to(*state, "GET /readyz?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(text, "\r\n\r\npath /readyz\n"));
    assert_non_null(strstr(text, "Content-Type: text/plain"));
    assert_non_null(strstr(answer_to(*state, "GET /none HTTP/1.0\r\n\r\n"), " 404 "));
    text = answer_to(*state, "HEAD / HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(text, " 200 "));
    assert_null(strstr(text, "path /"));
}

static void other_methods_are_refused_also_with_a_body(void **state)
{
    const char *text = answer_to(*state, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                                         "Connection: close\r\n\r\nhello");

    assert_non_null(strstr(text, " 405 "));
    assert_non_null(strstr(text, "Allow: GET, HEAD"));
}

static void hostile_bytes_cost_their_connection_only(void **state)
{
    struct fixture *f = *state;
    size_t size = 1 << 20;
    char *bytes = malloc(size);
    char answer[8192];
    int idle[8];

    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        idle[i] = connect_to(f);
        assert_int_equal(send(idle[i], "GET / HT", 8, MSG_NOSIGNAL), 8); /* and never more */
    }
    memset(bytes, 'A', size);
    ask(f, connect_to(f), bytes, size, answer, sizeof answer); /* no end of the first line */
    memcpy(bytes, "GET / HTTP/1.1\r\nX: ", 19);
    ask(f, connect_to(f), bytes, size, answer, sizeof answer); /* no end of a header */
    assert_null(strstr(answer, " 200 "));
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7919 >> 3);
    ask(f, connect_to(f), bytes, size, answer, sizeof answer);
    assert_null(strstr(answer, " 200 "));
    free(bytes);
    assert_non_null(strstr(answer_to(f, "GET /still HTTP/1.0\r\n\r\n"), "path /still\n"));
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        close(idle[i]);
}

static void nonsense_is_no_address(void **state)
{
    static const char *const addresses[] = {
        "", ":", "host:", "x", "1:2x", "127.0.0.1:99999", "127.0.0.1:-1"};
    struct fixture *f = *state;
    cel_http *http = NULL;
    cel_error err = {0};
    char taken[32];

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        assert_int_equal(cel__http_open(&http, &f->loop, addresses[i], get, NULL, &err),
                         CEL_EINVAL);
    snprintf(taken, sizeof taken, "127.0.0.1:%d", cel__http_port(f->http));
    assert_int_equal(cel__http_open(&http, &f->loop, taken, get, NULL, &err), CEL_EIO);
    assert_non_null(strstr(err.message, "in use"));
    assert_null(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_get_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_methods_are_refused_also_with_a_body, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(hostile_bytes_cost_their_connection_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_no_address, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
