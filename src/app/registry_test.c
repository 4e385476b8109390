/* registry_test.c - tests of registry.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/registry.h"
#include "core/mem.h"

static json_t *one(cel_request *req)
{
    (void)req;
    return NULL;
}

static json_t *two(cel_request *req)
{
    (void)req;
    return json_null();
}

static cel_registry *new_registry(void)
{
    cel_registry *registry = NULL;

    assert_int_equal(cel__registry_new(&registry, NULL), CEL_OK);
    return registry;
}

static void a_task_is_found_by_its_name(void **state)
{
    cel_registry *registry = new_registry();
    cel_task_options options = {.size = sizeof options, .rate_limit = "10/m", .queue = "slow"};

    (void)state;
    assert_int_equal(cel__registry_add(registry, "tasks.add", one, &options, NULL), CEL_OK);
    cel_task_entry *entry = cel__registry_find(registry, CEL_VIEW("tasks.add"));
    assert_non_null(entry);
    assert_string_equal(entry->name, "tasks.add");
    assert_ptr_equal(entry->fn, one);
    assert_string_equal(entry->options.rate_limit, "10/m");
    assert_ptr_not_equal(entry->options.queue, options.queue);
    assert_null(cel__registry_find(registry, CEL_VIEW("tasks.ad")));
    assert_null(cel__registry_find(registry, CEL_VIEW("")));
    assert_null(cel__registry_find(registry, (cel_view){NULL, 0}));
    cel__registry_free(registry);
}

static void a_replaced_task_stays_where_it_is(void **state)
{
    cel_registry *registry = new_registry();
    cel_task_options options = {.size = sizeof options, .throws = "KeyError", .acks_late = 1};

    (void)state;
    assert_int_equal(cel__registry_add(registry, "t", one, &options, NULL), CEL_OK);
    cel_task_entry *entry = cel__registry_find(registry, CEL_VIEW("t"));
    assert_int_equal(cel__registry_add(registry, "t", two, NULL, NULL), CEL_OK);
    assert_ptr_equal(cel__registry_find(registry, CEL_VIEW("t")), entry);
    assert_ptr_equal(entry->fn, two);
    assert_null(entry->options.throws);
    assert_int_equal(entry->options.acks_late, 0);
    assert_int_equal(cel__registry_count(registry), 1);
    cel__registry_free(registry);
}

struct walk {
    char last[32];
    size_t count;
};

static void see(void *user, cel_task_entry *entry)
{
    struct walk *walk = user;

    assert_true(strcmp(walk->last, entry->name) < 0);
    snprintf(walk->last, sizeof walk->last, "%s", entry->name);
    walk->count++;
}

static void a_walk_is_sorted_by_name(void **state)
{
    cel_registry *registry = new_registry();
    struct walk walk = {"", 0};
    char name[32];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "task.%d", (i * 7919) % 500);
        assert_int_equal(cel__registry_add(registry, name, one, NULL, NULL), CEL_OK);
    }
    cel__registry_each(registry, see, &walk);
    assert_int_equal(walk.count, 500);
    assert_int_equal(cel__registry_count(registry), 500);
    cel__registry_free(registry);
}

static void an_option_out_of_range_is_named(void **state)
{
    static const struct {
        cel_task_options options;
        const char *named;
    } cases[] = {
        {{.max_retries = -3}, "max_retries"},
        {{.default_retry_delay_ms = -1}, "default_retry_delay_ms"},
        {{.time_limit_ms = INT64_MAX}, "time_limit_ms"},
        {{.soft_time_limit_ms = -5}, "soft_time_limit_ms"},
        {{.acks_late = 2}, "acks_late"},
        {{.reject_on_worker_lost = -2}, "reject_on_worker_lost"},
        {{.ignore_result = 7}, "ignore_result"},
        {{.track_started = 3}, "track_started"},
        {{.store_errors_even_if_ignored = 3}, "store_errors_even_if_ignored"},
        {{.rate_limit = "10/d"}, "rate_limit"},
        {{.rate_limit = "ten"}, "rate_limit"},
        {{.rate_limit = ""}, "rate_limit"},
        {{.rate_limit = "1e3/s"}, "rate_limit"},
        {{.rate_limit = "10/"}, "rate_limit"},
        {{.queue = ""}, "queue"},
    };
    cel_registry *registry = new_registry();
    cel_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cel_task_options options = cases[i].options;
        options.size = sizeof options;
        assert_int_equal(cel__registry_add(registry, "t", one, &options, &err), CEL_EINVAL);
        assert_non_null(strstr(err.message, cases[i].named));
        assert_non_null(strstr(err.message, "'t'"));
    }
    assert_int_equal(cel__registry_add(registry, "", one, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel__registry_add(registry, NULL, one, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel__registry_add(registry, "t", NULL, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel__registry_add(registry, "t\xff", one, NULL, &err), CEL_EINVAL);
    assert_int_equal(cel__registry_count(registry), 0);
    cel__registry_free(registry);
}

static void options_of_an_older_caller_are_filled_up_with_zero(void **state)
{
    cel_registry *registry = new_registry();
    cel_task_options options = {.max_retries = 5, .queue = "not known to the caller"};

    (void)state;
    options.size = offsetof(cel_task_options, default_retry_delay_ms);
    assert_int_equal(cel__registry_add(registry, "t", one, &options, NULL), CEL_OK);
    cel_task_entry *entry = cel__registry_find(registry, CEL_VIEW("t"));
    assert_int_equal(entry->options.max_retries, 5);
    assert_null(entry->options.queue);
    options.size = 0;
    assert_int_equal(cel__registry_add(registry, "t", one, &options, NULL), CEL_EINVAL);
    cel__registry_free(registry);
}

static void without_memory_the_registry_is_as_before(void **state)
{
    cel_task_options options = {
        .size = sizeof options, .rate_limit = "1/s", .queue = "q", .throws = "E"};

    (void)state;
    for (size_t n = 1;; n++) {
        cel_registry *registry = new_registry();
        assert_int_equal(cel__registry_add(registry, "a", one, NULL, NULL), CEL_OK);
        cel__mem_fail_at(n);
        cel_code code = cel__registry_add(registry, "b", two, &options, NULL);
        cel__mem_fail_at(0);
        assert_int_equal(cel__registry_count(registry), code ? 1 : 2);
        assert_non_null(cel__registry_find(registry, CEL_VIEW("a")));
        cel__registry_free(registry);
        if (code == CEL_OK)
            break;
        assert_int_equal(code, CEL_ENOMEM);
        assert_true(n < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_found_by_its_name),
        cmocka_unit_test(a_replaced_task_stays_where_it_is),
        cmocka_unit_test(a_walk_is_sorted_by_name),
        cmocka_unit_test(an_option_out_of_range_is_named),
        cmocka_unit_test(options_of_an_older_caller_are_filled_up_with_zero),
        cmocka_unit_test(without_memory_the_registry_is_as_before),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
