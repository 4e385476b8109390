/* config_test.c - tests of config.c, coerce.c and config_default.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/config.h"
#include "core/mem.h"
#include "core/test_folder.h"

static cel_config *new_config(void)
{
    cel_config *config = NULL;

    assert_int_equal(cel__config_new(&config, NULL), CEL_OK);
    return config;
}

static cel_code load(cel_config *config, const char *text, cel_error *err)
{
    return cel__config_load_text(config, "c.py", cel__view(text), err);
}

static void must_load(cel_config *config, const char *text)
{
    cel_error err;

    if (load(config, text, &err) != CEL_OK)
        fail_msg("%s", err.message);
}

static void defaults_are_celerys(void **state)
{
    cel_config *config = new_config();

    (void)state;
    assert_string_equal(cel__config_string(config, "task_default_queue"), "celery");
    assert_null(cel__config_string(config, "broker_url"));
    assert_int_equal(cel__config_int(config, "worker_prefetch_multiplier"), 4);
    assert_false(cel__config_bool(config, "task_acks_late"));
    assert_true(cel__config_bool(config, "enable_utc"));
    assert_int_equal(cel__config_ms(config, "result_expires"), 86400000);
    assert_int_equal(cel__config_ms(config, "task_time_limit"), -1);
    assert_int_equal(cel__config_source(config, "task_acks_late"), CEL_CONFIG_DEFAULT);
    assert_true(json_is_null(cel__config_json(config, "task_routes")));
    assert_null(cel__config_json(config, "no_such_setting"));
    cel__config_free(config);
}

static void old_names_are_taken_from_a_file(void **state)
{
    cel_config *config = new_config();

    (void)state;
    assert_int_equal(cel__config_load_file(config, CEL_SAMPLES "/celeryconfig_old.py", NULL),
                     CEL_OK);
    assert_string_equal(cel__config_string(config, "broker_url"),
                        "amqp://root:root@127.0.0.1/dispatch_server_host");
    assert_string_equal(cel__config_string(config, "result_backend"),
                        "redis://127.0.0.1:6379/1");
    assert_string_equal(cel__config_string(config, "timezone"), "Asia/Shanghai");
    assert_int_equal(cel__config_int(config, "worker_concurrency"), 4);
    assert_int_equal(cel__config_ms(config, "task_time_limit"), 3600000);
    assert_int_equal(json_array_size(cel__config_json(config, "task_queues")), 3);
    assert_int_equal(cel__config_source(config, "task_queues"), CEL_CONFIG_FILE);
    cel__config_free(config);
}

static void each_source_beats_those_below_it_in_any_order(void **state)
{
    char *env[] = {"CELERY_TIMEZONE=Asia/Tokyo", "PATH=/bin", "CELERY_TASK_ACKS_LATE=yes",
                   NULL};

    (void)state;
    for (int order = 0; order < 2; order++) {
        cel_config *config = new_config();
        if (order == 0)
            must_load(config,
                      "timezone = 'UTC'; task_acks_late = False; task_track_started = True");
        assert_int_equal(cel__config_set_word(config, "timezone=Europe/Berlin", NULL), CEL_OK);
        assert_int_equal(cel__config_load_environment(config, env, NULL), CEL_OK);
        if (order == 1)
            must_load(config,
                      "timezone = 'UTC'; task_acks_late = False; task_track_started = True");
        assert_string_equal(cel__config_string(config, "timezone"), "Europe/Berlin");
        assert_int_equal(cel__config_source(config, "timezone"), CEL_CONFIG_OPTION);
        assert_true(cel__config_bool(config, "task_acks_late"));
        assert_int_equal(cel__config_source(config, "task_acks_late"), CEL_CONFIG_ENVIRONMENT);
        assert_true(cel__config_bool(config, "task_track_started"));
        assert_true(cel__config_is_set(config, "task_track_started"));
        cel__config_free(config);
    }
}

static void two_names_of_one_setting_must_agree(void **state)
{
    cel_config *config = new_config();
    cel_error err;

    (void)state;
    must_load(config,
              "CELERY_ACKS_LATE = True\ntask_acks_late = 1\nCELERY_TASK_ACKS_LATE = True");
    assert_true(cel__config_bool(config, "task_acks_late"));
    assert_int_equal(load(config, "timezone = 'X'\nCELERY_TIMEZONE = 'UTC'", &err),
                     CEL_ECONFIG);
    assert_string_equal(
        err.message, "c.py:2:1: timezone and CELERY_TIMEZONE are the same setting and differ");
    assert_null(cel__config_string(config, "timezone"));
    cel__config_free(config);
}

static void a_wrong_type_is_an_error_with_its_place(void **state)
{
    static const char *const cases[][2] = {
        {"worker_concurrency = '4'", "1:1: worker_concurrency: an integer that is not negative "
                                     "is expected, not a string"},
        {"\nx = 1; CELERYD_CONCURRENCY = -4",
         "2:8: worker_concurrency: an integer that is not"},
        {"task_acks_late = 'False'", "1:1: task_acks_late: True or False is expected"},
        {"task_acks_late = 2",
         "1:1: task_acks_late: True or False is expected, not an integer"},
        {"timezone = 1", "1:1: timezone: a string is expected, not an integer"},
        {"timezone = 'a\\0b'", "1:1: timezone: a string is expected"},
        {"broker_url = 1", "1:1: broker_url: a URL or a list of URLs is expected"},
        {"broker_url = ['a', 1]", "1:1: broker_url: a URL or a list of URLs is expected"},
        {"result_expires = -1", "1:1: result_expires: a number of seconds"},
        {"result_expires = 1e300", "1:1: result_expires: a number of seconds"},
        {"imports = [1]", "1:1: imports: a list of strings is expected"},
        {"beat_schedule = []",
         "1:1: beat_schedule: a dictionary is expected, not a list or tuple"},
        {"task_default_queue = None", "1:1: task_default_queue: must not be None"},
        {"task_default_queue = 'a',",
         "1:1: task_default_queue: a string is expected, not a list"},
        {"task_queues = 'a'",
         "1:1: task_queues: a list of queues, or a dictionary, is expected"},
        {"task_queues = [1]", "1:1: task_queues: a Queue is expected in the list"},
        {"task_queues = ['']", "1:1: task_queues: a Queue is expected in the list"},
        {"task_routes = 1", "1:1: task_routes: a dictionary, or a list"},
        {"task_routes = 'a.router'", "1:1: task_routes: a dictionary, or a list"},
        {"task_routes = {'a': 1}", "1:1: task_routes: 'a': the name of a queue"},
    };
    cel_config *config = new_config();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_error err;
        char want[200];
        snprintf(want, sizeof want, "c.py:%s", cases[i][1]);
        assert_int_equal(load(config, cases[i][0], &err), CEL_ECONFIG);
        if (strncmp(err.message, want, strlen(want)) != 0)
            fail_msg("%s: %s", cases[i][0], err.message);
    }
    cel__config_free(config);
}

static void values_take_their_one_form(void **state)
{
    cel_config *config = new_config();

    (void)state;
    must_load(config, "from datetime import timedelta\n"
                      "broker_url = ['amqp://a', 'amqp://b']; imports = 'tasks'\n"
                      "task_acks_late = 1; result_expires = timedelta(minutes=1)\n"
                      "broker_connection_max_retries = None; include = {'a', 'b'}\n"
                      "broker_connection_timeout = 0.25; task_reject_on_worker_lost = None\n");
    assert_string_equal(cel__config_string(config, "broker_url"), "amqp://a;amqp://b");
    assert_int_equal(json_array_size(cel__config_json(config, "imports")), 1);
    assert_int_equal(json_array_size(cel__config_json(config, "include")), 2);
    assert_true(cel__config_bool(config, "task_acks_late"));
    assert_int_equal(cel__config_ms(config, "result_expires"), 60000);
    assert_int_equal(cel__config_ms(config, "broker_connection_timeout"), 250);
    assert_true(json_is_null(cel__config_json(config, "broker_connection_max_retries")));
    assert_false(cel__config_bool(config, "task_reject_on_worker_lost"));
    cel__config_free(config);
}

struct seen {
    char text[512];
};

static void note_unknown(void *user, const char *name, const char *suggestion)
{
    struct seen *seen = user;
    size_t len = strlen(seen->text);

    snprintf(seen->text + len, sizeof seen->text - len, "%s?%s ", name,
             suggestion ? suggestion : "");
}

static void unknown_names_are_kept_and_listed(void **state)
{
    cel_config *config = new_config();
    struct seen seen = {""};

    (void)state;
    must_load(config,
              "HOST = 'h'; broker_url = 'amqp://' + HOST; _x = 1; task_ack_late = True\n"
              "CELERY_RUTES = {}; my_own = [1]\n");
    cel__config_unknown(config, note_unknown, &seen);
    assert_string_equal(seen.text,
                        "task_ack_late?task_acks_late CELERY_RUTES?CELERY_ROUTES my_own? ");
    assert_int_equal(json_array_size(cel__config_json(config, "my_own")), 1);
    cel__config_free(config);
}

static void a_failed_file_changes_nothing(void **state)
{
    cel_config *config = new_config();
    struct seen seen = {""};

    (void)state;
    assert_int_equal(load(config, "timezone = 'X'; other = 1; task_acks_late = 'x'", NULL),
                     CEL_ECONFIG);
    assert_int_equal(load(config, "timezone = 'X'; foo()", NULL), CEL_ECONFIG);
    assert_null(cel__config_string(config, "timezone"));
    cel__config_unknown(config, note_unknown, &seen);
    assert_string_equal(seen.text, "");
    cel__config_free(config);
}

static void a_missing_file_and_a_folder_are_told_apart(void **state)
{
    cel_config *config = new_config();
    cel_error err;

    (void)state;
    assert_int_equal(cel__config_load_file(config, "/nonexistent/x.py", &err), CEL_ENOENT);
    assert_non_null(strstr(err.message, "/nonexistent/x.py"));
    assert_int_equal(cel__config_load_file(config, "/", &err), CEL_EIO);
    cel__config_free(config);
}

static void the_environment_is_read_by_type(void **state)
{
    char *env[] = {"BROKER_URL=amqp://bare",
                   "CELERY_BROKER_URL=amqp://prefixed",
                   "RESULT_BACKEND=redis://r",
                   "CELERY_TASK_SERIALIZER=",
                   "CELERYD_CONCURRENCY=3",
                   "CELERY_WORKER_CONCURRENCY=5",
                   "CELERIAC_WORKER_CONCURRENCY=7",
                   "CELERIAC_PATH=/x",
                   "CELERY_IMPORTS=a, b,,c",
                   "CELERY_TASK_ROUTES={\"a\": \"q\"}",
                   "CELERY_BROKER_TRANSPORT_OPTIONS={'visibility_timeout': 60 * 60}",
                   "CELERY_TASK_TIME_LIMIT=2 * 30",
                   "CELERY_BROKER_CONNECTION_MAX_RETRIES=None",
                   "CELERY_TASK_DEFAULT_RATE_LIMIT=10/m",
                   "CELERY_BROKER_USE_SSL=True",
                   "CELERY_NO_SUCH=1",
                   NULL};
    cel_config *config = new_config();

    (void)state;
    assert_int_equal(cel__config_load_environment(config, env, NULL), CEL_OK);
    assert_string_equal(cel__config_string(config, "broker_url"), "amqp://prefixed");
    assert_string_equal(cel__config_string(config, "result_backend"), "redis://r");
    assert_string_equal(cel__config_string(config, "task_serializer"), "json");
    assert_int_equal(cel__config_int(config, "worker_concurrency"), 7);
    assert_int_equal(json_array_size(cel__config_json(config, "imports")), 3);
    assert_true(json_is_object(cel__config_json(config, "task_routes")));
    assert_int_equal(
        json_integer_value(json_object_get(cel__config_json(config, "broker_transport_options"),
                                           "visibility_timeout")),
        3600);
    assert_int_equal(cel__config_ms(config, "task_time_limit"), 60000);
    assert_true(json_is_null(cel__config_json(config, "broker_connection_max_retries")));
    assert_string_equal(cel__config_string(config, "task_default_rate_limit"), "10/m");
    assert_true(json_is_true(cel__config_json(config, "broker_use_ssl")));
    assert_int_equal(cel__config_load_environment(config, NULL, NULL), CEL_OK);
    cel__config_free(config);
}

static void a_bad_variable_is_named_without_its_value(void **state)
{
    static const char *const cases[][2] = {
        {"CELERY_WORKER_CONCURRENCY=many-s3cret",
         "environment variable CELERY_WORKER_CONCURRENCY"},
        {"CELERY_TASK_ACKS_LATE=maybe-s3cret",
         "environment variable CELERY_TASK_ACKS_LATE: task_a"},
        {"CELERY_BEAT_SCHEDULE=s3cret",
         "environment variable CELERY_BEAT_SCHEDULE: beat_schedule"},
        {"CELERY_TIMEZONE=\xff",
         "environment variable CELERY_TIMEZONE: timezone: string is ex"},
    };
    cel_config *config = new_config();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_error err;
        char *env[] = {(char *)cases[i][0], NULL};
        assert_int_equal(cel__config_load_environment(config, env, &err), CEL_ECONFIG);
        if (strncmp(err.message, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s", err.message);
        assert_null(strstr(err.message, "-s3cret"));
    }
    cel__config_free(config);
}

static void words_of_the_command_line_are_taken(void **state)
{
    static const char *const words[] = {"worker.prefetch_multiplier=1",
                                        ".concurrency=(int)3",
                                        "_LOST_WAIT=2.5",
                                        "Task.Routes=(json){\"a\": {\"queue\": \"q\"}}",
                                        "broker_url=amqp://h/a=b",
                                        "task.acks_late=(bool)on",
                                        "imports=(list)[\"x\"]",
                                        "include=('a', 'b')",
                                        "timezone=(string)UTC"};
    static const char *const bad[][2] = {
        {"worker.prefetch_multiplier=x", "worker_prefetch_multiplier"},
        {"worker.prefetch_multiplyer=1", "did you mean 'worker_prefetch_multiplier'?"},
        {"nothing", "name=value is expected"},
        {"=1", "name=value is expected"},
        {"task.routes=(json){", "what follows (json) is none"},
        {"task.routes=(yaml)a", "there is no cast (yaml)"},
        {"worker.concurrency=(int)x", "what follows (int) is none"},
        {"worker.concurrency=(string)4", "worker_concurrency: an integer"},
    };
    cel_config *config = new_config();
    cel_error err;

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (cel__config_set_word(config, words[i], &err) != CEL_OK)
            fail_msg("%s: %s", words[i], err.message);
    }
    assert_int_equal(cel__config_int(config, "worker_prefetch_multiplier"), 1);
    assert_int_equal(cel__config_int(config, "worker_concurrency"), 3);
    assert_int_equal(cel__config_ms(config, "worker_lost_wait"), 2500);
    assert_string_equal(cel__config_string(config, "broker_url"), "amqp://h/a=b");
    assert_int_equal(json_array_size(cel__config_json(config, "include")), 2);
    assert_string_equal(cel__config_string(config, "timezone"), "UTC");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cel__config_set_word(config, bad[i][0], &err), CEL_ECONFIG);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.message);
    }
    cel__config_free(config);
}

static void options_are_checked(void **state)
{
    cel_config *config = new_config();
    cel_error err;

    (void)state;
    assert_int_equal(cel__config_set(config, "worker_concurrency", json_integer(2), NULL),
                     CEL_OK);
    assert_int_equal(cel__config_set(config, "worker_concurrency", json_string("x"), &err),
                     CEL_ECONFIG);
    assert_int_equal(cel__config_set(config, "nope", json_true(), &err), CEL_ECONFIG);
    assert_int_equal(cel__config_int(config, "worker_concurrency"), 2);
    assert_int_equal(cel__config_set(config, "worker_concurrency", NULL, &err), CEL_ENOMEM);
    cel__config_free(config);
}

static void note_changed(void *user, const char *name, const json_t *value)
{
    struct seen *seen = user;
    size_t len = strlen(seen->text);
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    snprintf(seen->text + len, sizeof seen->text - len, "%s=%s\n", name, text);
    free(text);
}

static void what_is_shown_holds_no_secret(void **state)
{
    cel_config *config = new_config();
    struct seen seen = {""};

    (void)state;
    must_load(config, "broker_url = 'amqp://u:s3cret@h/v'; redis_password = 's3cret'\n"
                      "result_backend = 'db+x://u:s3cret@h/d?password=s3cret&a=1'\n"
                      "broker_transport_options = {'password': 's3cret', 'n': {'api_token': "
                      "'s3cret', 'l': ['x://a:s3cret@b']}}\n"
                      "broker_password = None; timezone = 'UTC'\n");
    cel__config_each_changed(config, note_changed, &seen);
    assert_null(strstr(seen.text, "s3cret"));
    assert_string_equal(seen.text,
                        "broker_password=null\n"
                        "broker_transport_options={\"password\": \"********\", \"n\": "
                        "{\"api_token\": \"********\", "
                        "\"l\": [\"x://a:********@b\"]}}\n"
                        "broker_url=\"amqp://u:********@h:5672/v\"\n"
                        "redis_password=\"********\"\n"
                        "result_backend=\"db+x://u:********@h/d?password=********&a=1\"\n"
                        "timezone=\"UTC\"\n");
    cel__config_free(config);
}

static void without_memory_a_configuration_says_so(void **state)
{
    (void)state;
    for (size_t n = 1; n < 400; n++) {
        cel_config *config = NULL;
        cel__mem_fail_at(n);
        cel_code code = cel__config_new(&config, NULL);
        if (code == CEL_OK)
            code = load(config, "broker_url = ['a', 'b']; x = [1]; timezone = 'a' 'b'", NULL);
        cel__mem_fail_at(0);
        cel__config_free(config);
        if (code == CEL_OK)
            return;
    }
    fail_msg("it never succeeds");
}

/* ---- where the database is ---- */

static void
check_url(const char *folder, const char *state_home, const char *home, const char *path)
{
    cel__buf buf = {0};
    cel_error err;
    char want[512];

    snprintf(want, sizeof want, "sqlite:///%s", path);
    if (cel__default_url_in(&buf, folder, state_home, home, &err) != CEL_OK)
        fail_msg("%s", err.message);
    assert_string_equal(cel__buf_cstr(&buf), want);
    cel__buf_done(&buf);
}

static void the_default_database_is_found(void **state)
{
    char root[100];
    char state_home[128], path[300], home[160];
    cel__buf buf = {0};
    cel_error err;

    (void)state;
    assert_true(cel__test_folder(root, sizeof root, "config"));
    snprintf(state_home, sizeof state_home, "%s/a b", root);
    snprintf(home, sizeof home, "%s/home", root);
    snprintf(path, sizeof path, "%s/celeriac.db", root);
    check_url(root, state_home, NULL, path);
    snprintf(path, sizeof path, "%s/a%%20b/celeriac/celeriac.db", root);
    check_url("/proc/self", state_home, home, path); /* not writable, not even for root */
    snprintf(path, sizeof path, "%s/.local/state/celeriac/celeriac.db", home);
    check_url("/proc/self", NULL, home, path);
    check_url("/proc/self", "relative", home, path);
    check_url(NULL, "", home, path);
    assert_int_equal(cel__default_url_in(&buf, "/proc/self", NULL, NULL, &err), CEL_EIO);
    assert_int_equal(cel__default_url_in(&buf, "/proc/self", "/proc/self", NULL, &err),
                     CEL_EIO);
    assert_int_equal(buf.len, 0);
    static const char *const folders[] = {
        "a b/celeriac", "a b", "home/.local/state/celeriac", "home/.local/state", "home/.local",
        "home",         ""};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        assert_int_equal(rmdir(path), 0);
    }
    cel__buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_celerys),
        cmocka_unit_test(old_names_are_taken_from_a_file),
        cmocka_unit_test(each_source_beats_those_below_it_in_any_order),
        cmocka_unit_test(two_names_of_one_setting_must_agree),
        cmocka_unit_test(a_wrong_type_is_an_error_with_its_place),
        cmocka_unit_test(values_take_their_one_form),
        cmocka_unit_test(unknown_names_are_kept_and_listed),
        cmocka_unit_test(a_failed_file_changes_nothing),
        cmocka_unit_test(a_missing_file_and_a_folder_are_told_apart),
        cmocka_unit_test(the_environment_is_read_by_type),
        cmocka_unit_test(a_bad_variable_is_named_without_its_value),
        cmocka_unit_test(words_of_the_command_line_are_taken),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(what_is_shown_holds_no_secret),
        cmocka_unit_test(without_memory_a_configuration_says_so),
        cmocka_unit_test(the_default_database_is_found),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
