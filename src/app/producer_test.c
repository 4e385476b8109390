/* producer_test.c - what is accepted for sending, and that all of it arrives. */
#include <stdlib.h>
#include <string.h>

#include "app/batch.h"
#include "app/test_support.h"
#include "celeriac/send.h"
#include "core/mem.h"

static int set_up(void **state)
{
    *state = test_app(NULL);
    return 0;
}

static int tear_down(void **state)
{
    cel_app_free(*state);
    return 0;
}

static int64_t purge(cel_app *app, const char *queue)
{
    int64_t count = -1;
    cel_error err = {0};

    if (cel_purge(app, queue, &count, &err) != CEL_OK)
        fail_msg("%s", err.message);
    return count;
}

static void nonsense_is_refused_by_name(void **state)
{
    static const struct {
        cel_send_options options;
        const char *says;
    } cases[] = {
        {{.task_id = ""}, "task_id"},
        {{.priority = 256}, "priority"},
        {{.priority = -1}, "priority"},
        {{.countdown_ms = INT64_MAX}, "countdown_ms"},
        {{.countdown_ms = 1, .eta_ms = 1}, "eta_ms"},
        {{.expires_ms = -1}, "expires_ms"},
        {{.time_limit_ms = -5}, "limit"},
        {{.queue = "\xff"}, "queue"},
        {{.compression = "rot13"}, "rot13"},
    };
    cel_app *app = *state;
    cel_error err = {0};
    cel_result *result = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cel_send_options options = cases[i].options;

        options.size = sizeof options;
        assert_int_not_equal(cel_send(app, &result, "t", NULL, NULL, &options, &err), CEL_OK);
        if (!strstr(err.message, cases[i].says))
            fail_msg("<%s> does not say %s", err.message, cases[i].says);
    }
    assert_int_equal(cel_send(app, NULL, "", NULL, NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_send(app, NULL, "t", json_object(), NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_send(app, NULL, "t", NULL, json_array(), NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_delay(app, NULL, &err, "t", "{s:i}", "a", 1), CEL_EINVAL);
    assert_int_equal(cel_delay(app, NULL, &err, "t", "[q]", 1), CEL_EINVAL);
    assert_int_equal(cel_apply(app, &result, NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_purge(app, "", NULL, &err), CEL_EINVAL);
    assert_null(result);
    assert_int_equal(purge(app, "celery"), 0);
}

static void tasks_go_to_the_queue_that_is_named(void **state)
{
    cel_app *app = *state;
    cel_error err = {0};

    cel_task(app, "tasks.slow", (cel_task_fn)abort, .queue = "slow");
    for (int i = 0; i < 3; i++)
        assert_int_equal(cel_delay(app, NULL, &err, "tasks.any", "[i]", i), CEL_OK);
    assert_int_equal(
        cel_send(app, NULL, "tasks.any", NULL, NULL, CEL_SEND_OPTIONS(.queue = "other"), &err),
        CEL_OK);
    assert_int_equal(cel_delay(app, NULL, &err, "tasks.slow", NULL), CEL_OK);
    assert_int_equal(purge(app, "celery"), 3);
    assert_int_equal(purge(app, "other"), 1);
    assert_int_equal(purge(app, "slow"), 1);
    assert_int_equal(purge(app, "celery"), 0);
}

static void many_are_sent_at_once(void **state)
{
    enum {
        COUNT = 3500
    };
    cel_app *app = *state;
    cel_signature **signatures = calloc(COUNT, sizeof *signatures);
    cel_result **results = calloc(COUNT, sizeof *results);
    cel_error err = {0};

    for (int i = 0; i < COUNT; i++) {
        signatures[i] = cel_sig("tasks.add", "[i, i]", i, 1);
        if (i % 500 == 7) /* one with options goes through canvas */
            signatures[i] = cel_signature_set(signatures[i], "priority", json_integer(3));
    }
    assert_int_equal(cel_apply_many(app, results, (const cel_signature *const *)signatures,
                                    COUNT, NULL, &err),
                     CEL_OK);
    assert_string_not_equal(cel_result_id(results[0]), cel_result_id(results[COUNT - 1]));
    for (int i = 0; i < COUNT; i++) {
        cel_result_free(results[i]);
        cel_signature_free(signatures[i]);
    }
    free(results);
    free(signatures);
    assert_int_equal(purge(app, "celery"), COUNT);
}

static void one_bad_signature_spoils_all_of_many(void **state)
{
    cel_app *app = *state;
    cel_signature *good = cel_sig("tasks.add", NULL);
    const cel_signature *signatures[] = {good, good, NULL};
    cel_result *results[3] = {NULL};
    cel_error err = {0};

    assert_int_equal(cel_apply_many(app, results, signatures, 3, NULL, &err), CEL_EINVAL);
    assert_null(results[0]);
    assert_int_equal(
        cel_apply_many(app, NULL, signatures, 2, CEL_SEND_OPTIONS(.task_id = "x"), &err),
        CEL_EINVAL);
    assert_int_equal(cel_apply_many(app, NULL, NULL, 0, NULL, &err), CEL_OK);
    cel_signature_free(good);
    assert_int_equal(purge(app, "celery"), 0);
}

static void an_empty_group_is_sent_at_once(void **state)
{
    cel_app *app = *state;
    cel_signature *group = cel_group(0, NULL);
    cel_result *result = NULL;
    json_t *value = NULL;
    cel_error err = {0};

    if (cel_apply(app, &result, group, NULL, &err) == CEL_OK) {
        assert_int_equal(cel_result_get(result, &value, 1000, &err), CEL_OK);
        assert_int_equal(json_array_size(value), 0);
        json_decref(value);
    } else {
        assert_int_equal(err.code, CEL_EINVAL); /* canvas may refuse it */
    }
    cel_result_free(result);
    cel_signature_free(group);
}

static void an_unknown_broker_is_a_clear_error(void **state)
{
    cel_app *app = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(
        cel_app_new(&app, CEL_APP_OPTIONS(.broker = "gopher://x", .ignore_environment = true),
                    &err),
        CEL_OK);
    assert_int_equal(cel_delay(app, NULL, &err, "t", NULL), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "gopher"));
    cel_app_free(app);
}

static void results_need_a_store(void **state)
{
    cel_app *app = NULL;
    cel_result *result = NULL;
    cel_error err = {0};

    (void)state;
    assert_int_equal(
        cel_app_new(&app, CEL_APP_OPTIONS(.broker = "amqp://", .ignore_environment = true),
                    &err),
        CEL_OK);
    assert_null(cel__app_backend_url(app));
    assert_int_equal(cel_result_new(&result, app, "id", &err), CEL_OK);
    assert_int_equal(cel_result_get(result, NULL, 10, &err), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "result_backend"));
    cel_result_free(result);
    cel_app_free(app);
}

/* Views of messages built before must survive the growth of the chunk's buffer. */
static void messages_of_a_batch_keep_their_texts(void **state)
{
    cel_app *app = *state;
    cel_batch batch;
    size_t i = 0;

    cel__batch_init(&batch, app);
    for (i = 0; i < 300; i++) {
        json_t *args = json_pack("[i, s+]", (int)i, "padding-", "0123456789012345678901234567");
        cel_batch_call call = {.task = CEL_VIEW("tasks.add"), .args = args};

        assert_int_equal(cel__batch_add_call(&batch, &call, NULL, NULL), CEL_OK);
        json_decref(args);
    }
    i = 0;
    for (cel_batch_chunk *chunk = batch.first; chunk; chunk = chunk->next)
        for (size_t n = 0; n < chunk->count; n++, i++) {
            const cel_message *message = &chunk->messages[n];
            char want[32];

            snprintf(want, sizeof want, "[[%zu, \"padding-", i);
            assert_int_equal(strncmp(message->body.ptr, want, strlen(want)), 0);
            assert_view(message->routing_key, "celery");
            assert_true(view_has(message->headers, "\"task\": \"tasks.add\""));
        }
    assert_int_equal(i, 300);
    cel__batch_done(&batch);
}

static void running_out_of_memory_is_an_error_like_any_other(void **state)
{
    cel_app *app = *state;
    cel_error err = {0};
    cel_code code = CEL_ENOMEM;
    size_t n;

    assert_int_equal(cel_delay(app, NULL, &err, "t", NULL), CEL_OK); /* opens the broker */
    for (n = 1; code != CEL_OK && n < 500; n++) {
        cel_result *result = NULL;

        cel__mem_fail_at(n);
        code = cel_delay(app, &result, &err, "t", "[s]", "argument");
        cel__mem_fail_at(0);
        if (code != CEL_OK)
            assert_null(result);
        cel_result_free(result);
    }
    assert_in_range(n, 5, 499);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nonsense_is_refused_by_name),
        TEST(tasks_go_to_the_queue_that_is_named),
        TEST(many_are_sent_at_once),
        TEST(one_bad_signature_spoils_all_of_many),
        TEST(an_empty_group_is_sent_at_once),
        TEST(an_unknown_broker_is_a_clear_error),
        TEST(results_need_a_store),
        TEST(messages_of_a_batch_keep_their_texts),
        TEST(running_out_of_memory_is_an_error_like_any_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
