/* app_test.c - an app's life: configuration from all sources, modules, processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/test_support.h"
#include "celeriac/send.h"
#include "core/test_folder.h"

/* Each test runs in a folder of its own, which tear_down() removes. */
struct fixture {
    char folder[100];
    char back[4096];
};

static int set_up(void **state)
{
    static struct fixture fixture;

    assert_non_null(getcwd(fixture.back, sizeof fixture.back));
    assert_true(cel__test_folder(fixture.folder, sizeof fixture.folder, "app"));
    assert_int_equal(chdir(fixture.folder), 0);
    unsetenv("CELERY_BROKER_URL");
    unsetenv("CELERY_CONFIG_MODULE");
    unsetenv("CELERIAC_PATH");
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"celeryconfig.py", "other.py", "celeriac.db",
                                        "celeriac.db-wal", "celeriac.db-shm"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    assert_int_equal(chdir(fixture->back), 0);
    return rmdir(fixture->folder);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static cel_app *new_app(const cel_app_options *options)
{
    cel_app *app = NULL;
    cel_error err = {0};

    if (cel_app_new(&app, options, &err) != CEL_OK)
        fail_msg("%s", err.message);
    return app;
}

static void assert_setting(cel_app *app, const char *name, const char *text)
{
    json_t *value = cel_app_setting(app, name);

    assert_non_null(value);
    assert_string_equal(json_string_value(value), text);
    json_decref(value);
}

static void an_app_needs_no_configuration(void **state)
{
    cel_app *app = new_app(NULL);

    (void)state;
    assert_string_equal(app->name, "main");
    assert_int_equal(strncmp(cel__app_broker_url(app), "sqlite:///", 10), 0);
    assert_non_null(strstr(cel__app_broker_url(app), "celeriac.db"));
    assert_string_equal(cel__app_backend_url(app), cel__app_broker_url(app));
    assert_null(cel_app_setting(app, "no_such_setting"));
    assert_setting(app, "task_default_queue", "celery");
    cel_app_free(app);
    cel_app_free(NULL);
}

static void later_sources_beat_earlier_ones(void **state)
{
    const char *const words[] = {"task_default_queue=words", NULL};
    cel_app *app;

    (void)state;
    write_file("celeryconfig.py",
               "broker_url = 'memory://file'\ntask_default_queue = 'file'\n");
    app = new_app(NULL);
    assert_string_equal(cel__app_broker_url(app), "memory://file");
    assert_string_equal(cel__app_backend_url(app), "memory://file");
    assert_setting(app, "task_default_queue", "file");
    cel_app_free(app);

    setenv("CELERY_BROKER_URL", "memory://environment", 1);
    app = new_app(CEL_APP_OPTIONS(.settings = words));
    assert_string_equal(cel__app_broker_url(app), "memory://environment");
    assert_setting(app, "task_default_queue", "words");
    cel_app_free(app);

    app = new_app(CEL_APP_OPTIONS(.broker = "memory://option", .backend = "memory://store"));
    assert_string_equal(cel__app_broker_url(app), "memory://option");
    assert_string_equal(cel__app_backend_url(app), "memory://store");
    cel_app_free(app);

    app = new_app(CEL_APP_OPTIONS(.broker = "memory://x", .ignore_environment = true));
    assert_setting(app, "task_default_queue", "celery");
    cel_app_free(app);
    unsetenv("CELERY_BROKER_URL");
}

static void the_configuration_may_have_another_name(void **state)
{
    cel_app *app;

    (void)state;
    write_file("other.py", "broker_url = 'memory://other'\n");
    app = new_app(CEL_APP_OPTIONS(.config = "./other.py"));
    assert_string_equal(cel__app_broker_url(app), "memory://other");
    cel_app_free(app);
    setenv("CELERY_CONFIG_MODULE", "other", 1);
    app = new_app(NULL);
    assert_string_equal(cel__app_broker_url(app), "memory://other");
    cel_app_free(app);
    unsetenv("CELERY_CONFIG_MODULE");
}

static void errors_of_the_configuration_name_the_place(void **state)
{
    cel_app *app = NULL;
    cel_error err = {0};

    (void)state;
    write_file("celeryconfig.py", "x = 1\nbroker_url = open('x')\n");
    assert_int_equal(cel_app_new(&app, NULL, &err), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "celeryconfig.py:2:"));
    assert_null(app);
    assert_int_equal(cel_app_new(&app, CEL_APP_OPTIONS(.config = "./none.py"), &err),
                     CEL_ENOENT);
    assert_int_equal(cel_app_new(NULL, NULL, &err), CEL_EINVAL);
}

static void the_first_of_several_brokers_is_used(void **state)
{
    cel_app *app =
        new_app(CEL_APP_OPTIONS(.broker = "memory://a;memory://b", .ignore_environment = true));

    (void)state;
    assert_string_equal(cel__app_broker_url(app), "memory://a");
    cel_app_free(app);
}

static void older_callers_have_smaller_options(void **state)
{
    cel_app_options options = {.size = offsetof(cel_app_options, backend),
                               .broker = "memory://x",
                               .backend = "\xff beyond what the caller knows"};
    cel_app *app = new_app(&options);

    (void)state;
    assert_string_equal(cel__app_backend_url(app), "memory://x");
    cel_app_free(app);
}

/* ---- modules ---- */

static void a_module_registers_its_tasks(void **state)
{
    cel_app *app;
    const char *module = getenv("TEST_MODULE");
    cel_error err = {0};

    (void)state;
    if (!module)
        skip();
    app = new_app(CEL_APP_OPTIONS(.broker = "memory://x"));
    setenv("TEST_MODULE_MOOD", "good", 1);
    if (cel_app_load(app, module, &err) != CEL_OK)
        fail_msg("%s", err.message);
    assert_non_null(cel__registry_find(app->registry, CEL_VIEW("fixture.one")));
    setenv("TEST_MODULE_MOOD", "bad", 1);
    assert_int_equal(cel_app_load(app, module, &err), CEL_EMODULE);
    assert_non_null(strstr(err.message, "in a bad mood"));
    setenv("TEST_MODULE_MOOD", "nonsense", 1);
    assert_int_equal(cel_app_load(app, module, &err), CEL_EMODULE);
    cel_app_free(app);
}

static void a_module_is_looked_for_where_it_may_be(void **state)
{
    cel_app *app;
    const char *module = getenv("TEST_MODULE");
    cel_error err = {0};
    const char *base;
    char folder[4096], name[256];

    (void)state;
    if (!module)
        skip();
    app = new_app(CEL_APP_OPTIONS(.broker = "memory://x"));
    setenv("TEST_MODULE_MOOD", "good", 1);
    snprintf(folder, sizeof folder, "/nowhere::%s", module ? module : "");
    base = strrchr(module, '/');
    assert_non_null(base);
    snprintf(name, sizeof name, "%s", base ? base + 1 : "");
    *strrchr(folder, '/') = '\0';
    setenv("CELERIAC_PATH", folder, 1);
    if (cel_app_load(app, name, &err) != CEL_OK)
        fail_msg("%s", err.message);
    *strrchr(name, '.') = '\0';
    if (cel_app_load(app, name, &err) != CEL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(cel_app_load(app, "nosuch", &err), CEL_EMODULE);
    assert_non_null(strstr(err.message, "/nowhere"));
    unsetenv("CELERIAC_PATH");
    cel_app_free(app);
}

static void what_is_no_module_is_refused(void **state)
{
    cel_app *app = new_app(CEL_APP_OPTIONS(.broker = "memory://x"));
    cel_error err = {0};

    (void)state;
    write_file("other.py", "not an object file");
    assert_int_equal(cel_app_load(app, "./other.py", &err), CEL_EMODULE);
    assert_int_equal(cel_app_load(app, "./none.so", &err), CEL_EMODULE);
    assert_int_equal(cel_app_load(app, "", &err), CEL_EINVAL);
    assert_int_equal(cel_app_load(app, "libm.so.6", &err), CEL_EMODULE);
    cel_app_free(app);
}

static void built_in_tasks_are_registered(void **state)
{
    cel_app *app = new_app(CEL_APP_OPTIONS(.broker = "memory://x"));

    (void)state;
    assert_int_equal(cel__registry_count(app->registry), 8);
    assert_non_null(cel__registry_find(app->registry, CEL_VIEW("celery.starmap")));
    assert_int_equal(cel_task_register(app, "", NULL, NULL, NULL), CEL_EINVAL);
    cel_app_free(app);
}

/* ---- processes ---- */

static void a_forked_child_cannot_use_its_parents_app(void **state)
{
    cel_app *app = new_app(CEL_APP_OPTIONS(.broker = "memory://x"));
    int status = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(cel_delay(app, NULL, NULL, "t", NULL), CEL_OK);
    pid = fork();
    if (pid == 0) {
        cel_error err = {0};
        cel_code code = cel_delay(app, NULL, &err, "t", NULL);

        cel_app_free(app); /* leaves the parent's connections alone */
        _exit(code == CEL_EINVAL && strstr(err.message, "cel_request_apply") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(cel_delay(app, NULL, NULL, "t", NULL), CEL_OK);
    cel_app_free(app);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_app_needs_no_configuration),
        TEST(later_sources_beat_earlier_ones),
        TEST(the_configuration_may_have_another_name),
        TEST(errors_of_the_configuration_name_the_place),
        TEST(the_first_of_several_brokers_is_used),
        TEST(older_callers_have_smaller_options),
        TEST(a_module_registers_its_tasks),
        TEST(a_module_is_looked_for_where_it_may_be),
        TEST(what_is_no_module_is_refused),
        TEST(built_in_tasks_are_registered),
        TEST(a_forked_child_cannot_use_its_parents_app),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
