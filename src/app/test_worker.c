/* test_worker.c - see test_worker.h. Operations of memory:// take effect when they are called, so nothing is waited for. */
#include "app/test_worker.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "app/test_support.h"
#include "backend/backend.h"
#include "broker/broker.h"
#include "message/result.h"

struct test_worker {
    cel_app *app;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_sem_t ready;
    bool held, stop; /* guarded by lock */
    uv_mutex_t lock;
    cel_broker *broker;
    cel_backend *backend;
    cel_consumer *consumer;
    cel_pool_host host;
};

static void ignore_code(void *user, cel_code code, const cel_error *err)
{
    (void)user;
    if (code != CEL_OK && code != CEL_ECANCELED)
        print_error("test worker: %s\n", err ? err->message : "?");
}

static void settle(test_worker *worker, const test_run *run, const cel_message *message);

static void
on_part(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    test_worker *worker = user;
    test_run run = {0};

    ignore_code(NULL, code, err);
    if (!ready)
        return;
    cel__trace_chord(&run.out, worker->app, ready, NULL);
    test_parse(&run);
    settle(worker, &run, NULL);
    worker->backend->ops->chord_done(worker->backend, ready->gid, ignore_code, NULL, NULL);
    test_run_done(&run);
}

static void open_chords(test_worker *worker, const test_run *run)
{
    for (size_t i = 0; i < run->chords; i++) {
        cel_view section = test_section(run, CEL_TAG_CHORD, i);
        int64_t size = 0;

        if (cel__section_int(test_inside(section, CEL_TAG_GROW), &size)) {
            worker->backend->ops->chord_grow(worker->backend, test_inside(section, CEL_TAG_GID),
                                             size, ignore_code, NULL, NULL);
            continue;
        }
        cel__section_int(test_inside(section, CEL_TAG_SIZE), &size);
        worker->backend->ops->chord_open(worker->backend, test_inside(section, CEL_TAG_GID),
                                         size, ignore_code, NULL, NULL);
    }
}

static void publish(test_worker *worker, const test_run *run)
{
    for (size_t i = 0; i < run->messages; i++) {
        cel__buf scratch = {0};
        cel_message message;

        if (cel__section_message(&message, test_section(run, CEL_TAG_MESSAGE, i), &scratch,
                                 NULL) == CEL_OK)
            worker->broker->ops->publish(worker->broker, &message, 1, ignore_code, NULL, NULL);
        cel__buf_done(&scratch);
    }
}

static void store(test_worker *worker, const cel_result_meta *meta)
{
    cel__buf document = {0};

    cel__result_meta_dump(&document, meta);
    worker->backend->ops->store(worker->backend,
                                &(cel_backend_record){.task_id = meta->task_id,
                                                      .status = meta->status,
                                                      .document = cel__buf_view(&document),
                                                      .group_id = meta->group_id,
                                                      .ready = cel__state_ready(meta->status)},
                                ignore_code, NULL, NULL);
    cel__buf_done(&document);
}

static void store_result(test_worker *worker, const test_run *run, const cel_message *message)
{
    cel__buf scratch = {0};
    cel_task_headers headers;

    if (message && run->store &&
        cel__task_headers_read(&headers, message, NULL, &scratch, NULL) == CEL_OK)
        store(worker, &(cel_result_meta){.task_id = headers.id,
                                         .status = run->state,
                                         .result = run->result,
                                         .traceback = run->traceback,
                                         .children = run->children,
                                         .date_done_us = 1700000000000000,
                                         .group_id = headers.group,
                                         .parent_id = headers.parent_id});
    cel__buf_done(&scratch);
}

static void settle(test_worker *worker, const test_run *run, const cel_message *message)
{
    open_chords(worker, run);
    publish(worker, run);
    store_result(worker, run, message);
    for (size_t i = 0; i < run->victims; i++) {
        cel_view victim = test_section(run, CEL_TAG_VICTIM, i);

        store(worker, &(cel_result_meta){.task_id = test_inside(victim, CEL_TAG_ID),
                                         .status = test_inside(victim, CEL_TAG_STATE),
                                         .result = test_inside(victim, CEL_TAG_RESULT),
                                         .traceback = test_inside(victim, CEL_TAG_TRACEBACK),
                                         .date_done_us = 1700000000000000,
                                         .group_id = test_inside(victim, CEL_TAG_GID)});
    }
    for (size_t i = 0; i < run->parts; i++) {
        cel_view section = test_section(run, CEL_TAG_PART, i);
        cel_chord_part part = {.gid = test_inside(section, CEL_TAG_GID),
                               .task_id = test_inside(section, CEL_TAG_ID),
                               .status = test_inside(section, CEL_TAG_STATE),
                               .result = test_inside(section, CEL_TAG_RESULT),
                               .body = test_inside(section, CEL_TAG_BODY),
                               .root_id = test_inside(section, CEL_TAG_ROOT)};

        cel__section_int(test_inside(section, CEL_TAG_INDEX), &part.index);
        worker->backend->ops->chord_part(worker->backend, &part, on_part, worker, NULL);
    }
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    test_worker *worker = user;
    test_run run = {0};

    test_run_message(&run, worker->app, &delivery->message);
    settle(worker, &run, &delivery->message);
    test_run_done(&run);
    worker->broker->ops->ack(delivery, ignore_code, NULL);
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    ignore_code(user, code, err);
}

static void consume(test_worker *worker)
{
    cel_view queue = CEL_VIEW("celery");
    cel_consumer_options options = {.queues = &queue,
                                    .queue_count = 1,
                                    .window = 100,
                                    .on_delivery = on_delivery,
                                    .on_state = on_state,
                                    .user = worker};
    cel_error err = {0};

    if (worker->broker->ops->consume(&worker->consumer, worker->broker, &options, &err) !=
        CEL_OK)
        print_error("test worker: %s\n", err.message);
}

static void on_closed(void *user)
{
    (void)user;
}

static void on_canceled(void *user)
{
    test_worker *worker = user;

    worker->broker->ops->close(worker->broker, on_closed, worker);
    worker->backend->ops->close(worker->backend, on_closed, worker);
    uv_close((uv_handle_t *)&worker->wake, NULL);
}

static void on_wake(uv_async_t *wake)
{
    test_worker *worker = wake->data;
    bool held, stop;

    uv_mutex_lock(&worker->lock);
    held = worker->held;
    stop = worker->stop;
    uv_mutex_unlock(&worker->lock);
    if (!held && !worker->consumer && !stop)
        consume(worker);
    if (!stop)
        return;
    if (worker->consumer)
        worker->broker->ops->cancel(worker->consumer, on_canceled, worker);
    else
        on_canceled(worker);
}

static void run_worker(void *user)
{
    test_worker *worker = user;
    cel_broker_options broker = {.url = worker->app->broker_url,
                                 .loop = &worker->loop,
                                 .clock = worker->app->clock,
                                 .log = &worker->app->log};
    cel_backend_options backend = {.url = worker->app->backend_url,
                                   .loop = &worker->loop,
                                   .clock = worker->app->clock,
                                   .log = &worker->app->log};
    cel_error err = {0};

    if (cel__broker_open(&worker->broker, &broker, &err) != CEL_OK ||
        cel__backend_open(&worker->backend, &backend, &err) != CEL_OK) {
        print_error("test worker: %s\n", err.message);
        abort();
    }
    if (!worker->held)
        consume(worker);
    uv_sem_post(&worker->ready);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
}

test_worker *test_worker_start(cel_app *app, bool held)
{
    test_worker *worker = calloc(1, sizeof *worker);

    assert_non_null(worker);
    worker->app = app;
    worker->held = held;
    uv_mutex_init(&worker->lock);
    uv_sem_init(&worker->ready, 0);
    uv_loop_init(&worker->loop);
    uv_async_init(&worker->loop, &worker->wake, on_wake);
    worker->wake.data = worker;
    uv_thread_create(&worker->thread, run_worker, worker);
    uv_sem_wait(&worker->ready);
    return worker;
}

static void tell(test_worker *worker, bool stop)
{
    uv_mutex_lock(&worker->lock);
    worker->held = false;
    worker->stop = stop;
    uv_mutex_unlock(&worker->lock);
    uv_async_send(&worker->wake);
}

void test_worker_release(test_worker *worker)
{
    tell(worker, false);
}

void test_worker_stop(test_worker *worker)
{
    tell(worker, true);
    uv_thread_join(&worker->thread);
    uv_sem_destroy(&worker->ready);
    uv_mutex_destroy(&worker->lock);
    free(worker);
}
