/* probe.c - one attempt to connect, waited for. See conn.h. */
#include "redis/conn.h"

struct probe {
    bool over, closed;
    cel_error err;
};

static void on_up(void *user)
{
    ((struct probe *)user)->over = true;
}

static void on_down(void *user, const cel_error *err)
{
    struct probe *probe = user;

    probe->over = true;
    probe->err = *err;
}

static void on_closed(void *user)
{
    ((struct probe *)user)->closed = true;
}

cel_code cel__redis_probe(const cel__redis_url *url, const cel_clock *clock, cel_error *err)
{
    struct probe probe = {0};
    uv_loop_t loop;
    cel__redis *redis;
    cel__redis_options options = {.url = url,
                                  .loop = &loop,
                                  .clock = clock,
                                  .what = "Redis",
                                  .quiet = true,
                                  .on_up = on_up,
                                  .on_down = on_down,
                                  .user = &probe};
    cel_code code;

    if (uv_loop_init(&loop) != 0)
        return cel_error_set(err, CEL_EIO, "cannot make a loop");
    code = cel__redis_new(&redis, &options, err);
    while (code == CEL_OK && !probe.over)
        uv_run(&loop, UV_RUN_ONCE);
    if (code == CEL_OK)
        cel__redis_close(redis, on_closed, &probe);
    while (code == CEL_OK && !probe.closed)
        uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (code != CEL_OK || probe.err.code == CEL_OK)
        return code;
    if (probe.err.code == CEL_ECONN && !probe.err.retriable)
        probe.err.code = CEL_ECONFIG;
    if (err)
        *err = probe.err;
    return probe.err.code;
}
