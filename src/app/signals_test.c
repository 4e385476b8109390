/* signals_test.c - callbacks of an app hear of its tasks. */
#include <stdio.h>
#include <string.h>

#include "app/signals.h"
#include "app/test_support.h"
#include "celeriac/send.h"

static char trail[512];

static void note(const cel_signal_event *event, void *user)
{
    size_t len = strlen(trail);

    assert_non_null(event->app);
    snprintf(trail + len, sizeof trail - len, "%s%s:%s:%s ", (const char *)user,
             cel_signal_name(event->signal), event->task ? event->task : "-",
             event->end           ? event->end->state
             : event->routing_key ? event->routing_key
                                  : "-");
}

static json_t *act(cel_request *req)
{
    const char *how = "";

    if (cel_unpack(req, "|how:s", &how) != CEL_OK)
        return NULL;
    if (strcmp(how, "retry") == 0)
        return cel_retry(req, 7000, "later");
    return *how ? cel_raise(req, how, "as told") : json_true();
}

static cel_app *make_app(void)
{
    cel_app *app = test_app(NULL);

    trail[0] = '\0';
    cel_task(app, "t.act", act);
    for (int i = 0; i < CEL_SIGNAL_COUNT; i++)
        assert_int_equal(cel_signal_connect(app, (cel_signal)i, note, "", NULL), CEL_OK);
    return app;
}

static void a_run_is_told_from_its_beginning_to_its_end(void **state)
{
    cel_app *app = make_app();
    test_run run = {0};

    (void)state;
    test_run_call(&run, app, "t.act", "[]", "{}");
    assert_non_null(strstr(trail, "task_prerun:t.act:STARTED task_success:t.act:SUCCESS "
                                  "task_postrun:t.act:SUCCESS "));
    trail[0] = '\0';
    test_run_call(&run, app, "t.act", "[\"KeyError\"]", "{}");
    assert_non_null(strstr(trail, "task_prerun:t.act:STARTED task_failure:t.act:FAILURE "
                                  "task_postrun:t.act:FAILURE "));
    trail[0] = '\0';
    test_run_call(&run, app, "t.act", "[\"retry\"]", "{}");
    assert_non_null(strstr(trail, "task_prerun:t.act:STARTED task_retry:t.act:RETRY "
                                  "task_postrun:t.act:RETRY "));
    assert_non_null(strstr(trail, "worker_process_init:-:- "));
    test_run_done(&run);
    cel_app_free(app);
}

static void a_sender_is_told_of_each_message(void **state)
{
    cel_app *app = make_app();
    cel_signature *pair = CEL_GROUP(cel_sig("t.act", NULL), cel_sig("t.other", NULL));
    cel_error err = {0};

    (void)state;
    assert_int_equal(
        cel_send(app, NULL, "t.act", NULL, NULL, CEL_SEND_OPTIONS(.queue = "q"), &err), CEL_OK);
    assert_string_equal(trail, "before_task_publish:t.act:q ");
    trail[0] = '\0';
    assert_int_equal(cel_apply(app, NULL, pair, NULL, &err), CEL_OK);
    assert_string_equal(trail, "before_task_publish:t.act:celery "
                               "before_task_publish:t.other:celery ");
    cel_signature_free(pair);
    cel_app_free(app);
}

static void callbacks_run_in_the_order_of_their_connection(void **state)
{
    cel_app *app = test_app(NULL);

    (void)state;
    trail[0] = '\0';
    assert_false(cel__signal_wanted(app, CEL_SIGNAL_WORKER_READY));
    assert_int_equal(cel_signal_connect(app, CEL_SIGNAL_WORKER_READY, note, "1", NULL), CEL_OK);
    assert_int_equal(cel_signal_connect(app, CEL_SIGNAL_WORKER_READY, note, "2", NULL), CEL_OK);
    cel__signal_send(app, &(cel_signal_event){.signal = CEL_SIGNAL_WORKER_READY});
    cel__signal_send(app, &(cel_signal_event){.signal = CEL_SIGNAL_TASK_UNKNOWN});
    assert_string_equal(trail, "1worker_ready:-:- 2worker_ready:-:- ");
    cel_app_free(app);
}

static void what_is_no_signal_is_refused(void **state)
{
    cel_app *app = test_app(NULL);
    cel_error err;

    (void)state;
    assert_int_equal(cel_signal_connect(app, CEL_SIGNAL_COUNT, note, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel_signal_connect(app, CEL_SIGNAL_TASK_RETRY, NULL, NULL, &err),
                     CEL_EINVAL);
    assert_int_equal(cel_signal_connect(NULL, CEL_SIGNAL_TASK_RETRY, note, NULL, &err),
                     CEL_EINVAL);
    assert_null(cel_signal_name(CEL_SIGNAL_COUNT));
    assert_string_equal(cel_signal_name(CEL_SIGNAL_TASK_RETRY), "task_retry");
    cel_app_free(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_told_from_its_beginning_to_its_end),
        cmocka_unit_test(a_sender_is_told_of_each_message),
        cmocka_unit_test(callbacks_run_in_the_order_of_their_connection),
        cmocka_unit_test(what_is_no_signal_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
