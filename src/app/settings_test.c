/* settings_test.c - the table of settings is what the code around it takes it for. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "app/coerce.h"
#include "app/settings.h"

static void names_are_sorted_and_lower_case(void **state)
{
    (void)state;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        const char *name = cel__settings[i].name;
        if (i > 0 && strcmp(cel__settings[i - 1].name, name) >= 0)
            fail_msg("%s is out of order", name);
        for (const char *c = name; *c; c++)
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        assert_int_equal(cel__setting_find(cel__view(name)), i);
        assert_true(cel__settings[i].meaning[0] != '\0');
        assert_true(cel__settings[i].meaning[strlen(cel__settings[i].meaning) - 1] != '.');
    }
}

static void every_default_is_of_its_type(void **state)
{
    (void)state;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        json_t *value = json_loads(cel__settings[i].value, JSON_DECODE_ANY, NULL);
        json_t *checked = NULL;
        cel_error err;
        if (!value)
            fail_msg("%s: the default is no JSON", cel__settings[i].name);
        if (cel__coerce(&checked, cel__settings + i, value, "", &err) != CEL_OK)
            fail_msg("%s", err.message);
        assert_true(json_equal(value, checked)); /* in its one form */
        json_decref(value);
        json_decref(checked);
    }
}

static void every_old_name_leads_to_one_setting(void **state)
{
    char upper[128];

    (void)state;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        const char *old = cel__settings[i].old;
        if (!old)
            continue;
        for (const char *c = old; *c; c++)
            assert_true(isupper((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        if (cel__setting_find_any(cel__view(old)) != i)
            fail_msg("%s is taken twice", old);
        for (int k = 0; k < CEL_SETTING_COUNT_OF;
             k++) /* nor is it CELERY_ and another's name */
            if (k != i && strncmp(old, "CELERY_", 7) == 0) {
                size_t len = 0;
                for (const char *c = cel__settings[k].name; *c; c++)
                    upper[len++] = (char)toupper((unsigned char)*c);
                upper[len] = '\0';
                if (strcmp(old + 7, upper) == 0)
                    fail_msg("%s is an old name and that of %s", old, upper);
            }
    }
}

static void names_are_found_in_each_form(void **state)
{
    (void)state;
    assert_int_equal(cel__setting_find_any(CEL_VIEW("task_acks_late")), CEL_SET_task_acks_late);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("CELERY_ACKS_LATE")),
                     CEL_SET_task_acks_late);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("CELERY_TASK_ACKS_LATE")),
                     CEL_SET_task_acks_late);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("BROKER_URL")), CEL_SET_broker_url);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("CELERY_BROKER_URL")), CEL_SET_broker_url);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("CELERYBEAT_SCHEDULE")),
                     CEL_SET_beat_schedule);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("celery_acks_late")), -1);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("CELERY_")), -1);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("")), -1);
    assert_int_equal(cel__setting_find_any(CEL_VIEW("task_acks_late\0x")), -1);
    assert_int_equal(cel__setting_find((cel_view){NULL, 0}), -1);
}

static void a_slip_is_recognised(void **state)
{
    (void)state;
    assert_string_equal(cel__setting_suggest(CEL_VIEW("task_ack_late")), "task_acks_late");
    assert_string_equal(cel__setting_suggest(CEL_VIEW("CELERYD_CONCURENCY")),
                        "CELERYD_CONCURRENCY");
    assert_string_equal(cel__setting_suggest(CEL_VIEW("broker_ur")), "broker_url");
    assert_null(cel__setting_suggest(CEL_VIEW("hello_world")));
    assert_null(cel__setting_suggest(CEL_VIEW("x")));
}

static void secret_keys_are_recognised(void **state)
{
    (void)state;
    assert_true(cel__setting_is_secret("redis_password"));
    assert_true(cel__setting_is_secret("Api_Token"));
    assert_true(cel__setting_is_secret("s3_secret_access_key"));
    assert_false(cel__setting_is_secret("task_default_routing_key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_sorted_and_lower_case),
        cmocka_unit_test(every_default_is_of_its_type),
        cmocka_unit_test(every_old_name_leads_to_one_setting),
        cmocka_unit_test(names_are_found_in_each_form),
        cmocka_unit_test(a_slip_is_recognised),
        cmocka_unit_test(secret_keys_are_recognised),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
