/* backend_tools.c - the tools of backend_conformance.h. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"
#include "core/mem.h"
#include "message/result.h"

#define DEADLINE_MS 60000

#ifdef __SANITIZE_THREAD__
/* libsqlite3 is not instrumented: two connections of one process meet in its shared memory. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libsqlite3.so\n";
}
#endif

static int64_t pair_mono_ms(const cel_clock *clock)
{
    (void)clock;
    return cel__clock_mono_ms(cel__clock_system());
}

/* The engine's thread reads the clock too. */
static int64_t pair_wall_us(const cel_clock *clock)
{
    return __atomic_load_n(&((const cel__pair *)clock)->wall_us, __ATOMIC_RELAXED);
}

void cel__pair_advance(cel__pair *pair, int64_t ms)
{
    __atomic_add_fetch(&pair->wall_us, ms * 1000, __ATOMIC_RELAXED);
}

void cel__pair_open_one(cel__pair *pair, int which)
{
    cel_error err = {0};
    cel_backend_options options = {
        .url = pair->url,
        .loop = &pair->loops[which],
        .clock = &pair->clock,
        .threaded = pair->threaded,
        .expires_ms = pair->expires_ms,
    };

    if (cel__backend_open(&pair->backends[which], &options, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
}

static void do_nothing(uv_timer_t *timer)
{
    (void)timer;
}

void cel__pair_open(cel__pair *pair, const char *url, bool threaded)
{
    *pair = (cel__pair){
        .clock = {pair_mono_ms, pair_wall_us},
        .wall_us = cel__clock_wall_us(cel__clock_system()),
        .expires_ms = 86400000,
        .threaded = threaded,
    };
    snprintf(pair->url, sizeof pair->url, "%s", url);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(uv_loop_init(&pair->loops[i]), 0);
        uv_timer_init(&pair->loops[i], &pair->keepers[i]);
        uv_timer_start(&pair->keepers[i], do_nothing, 2 * DEADLINE_MS, 2 * DEADLINE_MS);
        cel__pair_open_one(pair, i);
    }
}

static void count_call(void *user)
{
    (*(int *)user)++;
}

void cel__pair_close_one(cel__pair *pair, int which)
{
    int closed = 0;
    cel_backend *backend = pair->backends[which];

    pair->backends[which] = NULL;
    backend->ops->close(backend, count_call, &closed);
    assert_int_equal(closed, 0);
    cel__pair_wait(pair, &closed, 1);
}

void cel__pair_close(cel__pair *pair)
{
    for (int i = 0; i < 2; i++)
        if (pair->backends[i])
            cel__pair_close_one(pair, i);
    for (int i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&pair->keepers[i], NULL);
        uv_run(&pair->loops[i], UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&pair->loops[i]), 0);
    }
}

void cel__pair_wait(cel__pair *pair, const int *flag, int target)
{
    int64_t end_ms = cel__clock_mono_ms(cel__clock_system()) + DEADLINE_MS;

    while (*flag < target) {
        struct pollfd fds[2];
        int timeout_ms = 100;

        for (int i = 0; i < 2; i++) {
            uv_run(&pair->loops[i], UV_RUN_NOWAIT);
            fds[i] = (struct pollfd){.fd = uv_backend_fd(&pair->loops[i]), .events = POLLIN};
        }
        if (*flag >= target)
            return;
        if (cel__clock_mono_ms(cel__clock_system()) > end_ms)
            fail_msg("waited for %d, got %d", target, *flag);
        for (int i = 0; i < 2; i++) {
            int timeout = uv_backend_timeout(&pair->loops[i]);

            if (timeout >= 0 && timeout < timeout_ms && uv_loop_alive(&pair->loops[i]))
                timeout_ms = timeout;
        }
        poll(fds, 2, timeout_ms);
    }
}

/* ---- what was heard ---- */

void cel__heard_done(cel__heard *heard)
{
    cel__free(heard->results);
    cel__free(heard->failed_id);
    cel__free(heard->failed_result);
    cel__free(heard->body);
    cel__free(heard->parent_id);
    cel__free(heard->root_id);
    cel__free(heard->gid);
    cel__free(heard->document);
    *heard = (cel__heard){0};
}

static void hear_text(char **text, cel_view view)
{
    cel__free(*text);
    *text = view.ptr ? cel__memdup(view.ptr, view.len) : NULL;
}

static void check_error(cel_code code, const cel_error *err)
{
    assert_int_equal(code, err ? err->code : CEL_OK);
    if (err)
        print_message("%s\n", err->message);
}

static void hear_done(void *user, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    check_error(code, err);
    heard->called++;
    heard->code = code;
}

static void
hear_chord(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    check_error(code, err);
    heard->code = code;
    heard->called++;
    if (!ready)
        return;
    heard->fired++;
    hear_text(&heard->gid, ready->gid);
    hear_text(&heard->results, ready->results);
    hear_text(&heard->failed_id, ready->failed_id);
    hear_text(&heard->failed_result, ready->failed_result);
    hear_text(&heard->body, ready->body);
    hear_text(&heard->parent_id, ready->parent_id);
    hear_text(&heard->root_id, ready->root_id);
}

/* Of a sweep only the end counts as a call. */
static void
hear_sweep(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    hear_chord(user, ready, code, err);
    if (ready)
        heard->called--;
}

static void hear_fetch(void *user, cel_view task_id, cel_view document, const cel_error *err)
{
    cel__heard *heard = user;

    if (!task_id.ptr) {
        heard->called++;
        heard->code = err ? err->code : CEL_OK;
        return;
    }
    heard->found++;
    hear_text(&heard->document, document);
}

static void hear_count(void *user, int64_t ready, int64_t succeeded, const cel_error *err)
{
    cel__heard *heard = user;

    heard->called++;
    heard->code = err ? err->code : CEL_OK;
    heard->ready = ready;
    heard->succeeded = succeeded;
}

static void settle(cel__pair *pair, cel__heard *heard, int before)
{
    assert_int_equal(heard->called, before); /* never before the call has returned */
    cel__pair_wait(pair, &heard->called, before + 1);
    assert_int_equal(heard->code, CEL_OK);
}

/* ---- one thing at a time ---- */

void cel__pair_store(cel__pair *pair,
                     int which,
                     const char *task_id,
                     const char *status,
                     const char *document,
                     const char *group_id)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};
    cel_backend_record record = {
        .task_id = cel__view(task_id),
        .status = cel__view(status),
        .document = cel__view(document),
        .group_id = cel__view(group_id),
        .ready = cel__state_ready(cel__view(status)),
    };

    assert_int_equal(backend->ops->store(backend, &record, hear_done, &heard, NULL), CEL_OK);
    settle(pair, &heard, 0);
}

char *cel__pair_fetch(cel__pair *pair, int which, const char *task_id)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};
    cel_view id = cel__view(task_id);

    assert_int_equal(backend->ops->fetch(backend, &id, 1, hear_fetch, &heard, NULL), CEL_OK);
    settle(pair, &heard, 0);
    return heard.document;
}

void cel__pair_open_chord(cel__pair *pair, int which, const char *gid, int64_t size)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};

    assert_int_equal(
        backend->ops->chord_open(backend, cel__view(gid), size, hear_done, &heard, NULL),
        CEL_OK);
    settle(pair, &heard, 0);
}

void cel__pair_grow_chord(cel__pair *pair, int which, const char *gid, int64_t count)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};

    assert_int_equal(
        backend->ops->chord_grow(backend, cel__view(gid), count, hear_done, &heard, NULL),
        CEL_OK);
    settle(pair, &heard, 0);
}

void cel__pair_part(cel__pair *pair, int which, const cel_chord_part *part, cel__heard *heard)
{
    cel_backend *backend = pair->backends[which];
    int before = heard->called;

    assert_int_equal(backend->ops->chord_part(backend, part, hear_chord, heard, NULL), CEL_OK);
    settle(pair, heard, before);
}

void cel__pair_done(cel__pair *pair, int which, const char *gid)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};

    assert_int_equal(backend->ops->chord_done(backend, cel__view(gid), hear_done, &heard, NULL),
                     CEL_OK);
    settle(pair, &heard, 0);
}

void cel__pair_sweep(cel__pair *pair, int which, int64_t older_ms, cel__heard *heard)
{
    cel_backend *backend = pair->backends[which];
    int before = heard->called;

    assert_int_equal(backend->ops->sweep(backend, older_ms, hear_sweep, heard, NULL), CEL_OK);
    settle(pair, heard, before);
}

int64_t cel__pair_count(cel__pair *pair, int which, const char *gid, int64_t *succeeded)
{
    cel_backend *backend = pair->backends[which];
    cel__heard heard = {0};

    assert_int_equal(
        backend->ops->group_count(backend, cel__view(gid), hear_count, &heard, NULL), CEL_OK);
    settle(pair, &heard, 0);
    if (succeeded)
        *succeeded = heard.succeeded;
    return heard.ready;
}

cel_chord_part cel__part(
    const char *gid, const char *task_id, int64_t index, const char *status, const char *result)
{
    return (cel_chord_part){
        .gid = cel__view(gid),
        .task_id = cel__view(task_id),
        .index = index,
        .status = cel__view(status),
        .result = cel__view(result),
        .body = CEL_VIEW("{\"task\": \"body\"}"),
        .root_id = CEL_VIEW("root"),
    };
}

void cel__pair_add(cel__pair *pair,
                   int which,
                   const char *gid,
                   const char *id,
                   int64_t index,
                   const char *result,
                   cel__heard *heard)
{
    cel_chord_part part = cel__part(gid, id, index, "SUCCESS", result);

    cel__pair_part(pair, which, &part, heard);
}
