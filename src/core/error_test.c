/* error_test.c - codes have names and texts, messages are cut at characters. Also logs, ids
 * and the failing allocator, which are small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

static void every_code_has_a_name_and_a_text(void **state)
{
    (void)state;
#define CEL_X(name, value, text)                                                               \
    assert_string_equal(cel_code_name(name), #name);                                           \
    assert_string_equal(cel_code_text(name), text);                                            \
    assert_int_equal(name, value);
    CEL_ERROR_CODES(CEL_X)
#undef CEL_X
    assert_string_equal(cel_code_name((cel_code)999), "CEL_?");
    assert_string_equal(cel_code_text((cel_code)999), "unknown error");
}

static void setting_fills_the_whole_error(void **state)
{
    cel_error err;

    (void)state;
    memset(&err, 0x55, sizeof err);
    assert_int_equal(cel_error_set(&err, CEL_ECONN, "queue '%s': %d", "a b", 5), CEL_ECONN);
    assert_int_equal(err.code, CEL_ECONN);
    assert_true(err.retriable);
    assert_false(err.uncertain);
    assert_string_equal(err.exc_type, "");
    assert_string_equal(err.message, "queue 'a b': 5");
    cel_error_set(&err, CEL_EINVAL, "x");
    assert_false(err.retriable);
    assert_int_equal(cel_error_set(NULL, CEL_EPROTO, "ignored"), CEL_EPROTO);
}

static void a_message_may_be_wrapped_in_itself(void **state)
{
    cel_error err;

    (void)state;
    cel_error_set(&err, CEL_EIO, "inner");
    cel_error_set(&err, CEL_EIO, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: inner");
}

static void a_long_message_is_cut_between_characters(void **state)
{
    char text[600];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        cel_error err;
        size_t at = shift;

        memset(text, 'x', shift);
        for (; at + 4 < sizeof text; at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        text[at] = '\0';
        cel_error_set(&err, CEL_EIO, "%s", text);
        assert_true(strlen(err.message) > 230);
        assert_true(cel__utf8_valid(err.message, strlen(err.message)));
    }
}

static void ids_of_version_7_sort_as_they_are_made(void **state)
{
    char last[CEL_UUID_LEN + 1] = "", id[CEL_UUID_LEN + 1];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        cel__uuid7(id);
        assert_int_equal(strlen(id), CEL_UUID_LEN);
        assert_int_equal(id[14], '7');
        assert_non_null(strchr("89ab", id[19]));
        assert_true(id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-');
        assert_true(strncmp(last, id, 18) <= 0);
        assert_string_not_equal(last, id);
        memcpy(last, id, sizeof id);
    }
}

static void an_id_is_a_uuid_of_version_4(void **state)
{
    char id[CEL_UUID_LEN + 1], other[CEL_UUID_LEN + 1];

    (void)state;
    for (int i = 0; i < 100; i++) {
        cel__uuid4(id);
        assert_int_equal(strlen(id), CEL_UUID_LEN);
        assert_true(id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-');
        assert_true(id[14] == '4' && strchr("89ab", id[19]));
        assert_int_equal(strspn(id, "0123456789abcdef-"), CEL_UUID_LEN);
        cel__uuid4(other);
        assert_string_not_equal(id, other);
    }
    assert_true(cel__random64() != cel__random64());
}

static void the_nth_allocation_fails_once(void **state)
{
    void *first, *second, *third;

    (void)state;
    cel__mem_fail_at(2);
    first = cel__malloc(1);
    second = cel__strdup("x");
    third = cel__calloc(1, 1);
    assert_true(first && !second && third);
    assert_int_equal(cel__mem_fail_at(0), 3);
    cel__free(first);
    cel__free(third);
    assert_null(cel__strdup(NULL));
}

static void the_clock_runs_forward(void **state)
{
    const cel_clock *clock = cel__clock_system();
    int64_t mono_ms = cel__clock_mono_ms(clock);

    (void)state;
    assert_true(mono_ms > 0 && cel__clock_mono_ms(clock) >= mono_ms);
    assert_true(cel__clock_wall_us(clock) > INT64_C(1700000000000000));
    assert_true(cel__clock_wall_ms(clock) > INT64_C(1700000000000));
}

struct sink {
    int calls;
    cel_log_level level;
    size_t len;
    char start[32];
};

static void catch (void *user, cel_log_level level, const char *text, size_t len)
{
    struct sink *sink = user;

    sink->calls++;
    sink->level = level;
    sink->len = len;
    memcpy(sink->start, text, len < 31 ? len + 1 : 31);
    sink->start[31] = '\0';
}

static int evaluate(int *count)
{
    return ++*count;
}

static void a_log_drops_what_is_below_its_level(void **state)
{
    struct sink sink = {0};
    cel_log log = {.level = CEL_LOG_WARNING, .write = catch, .user = &sink};
    int evaluated = 0;

    (void)state;
    cel__info(&log, "dropped %d", evaluate(&evaluated));
    assert_int_equal(sink.calls + evaluated, 0);
    cel__err(&log, "kept %d", evaluate(&evaluated));
    assert_int_equal(sink.calls, 1);
    assert_int_equal(sink.level, CEL_LOG_ERROR);
    assert_string_equal(sink.start, "kept 1");
    cel__critical((const cel_log *)NULL, "nobody %d", evaluate(&evaluated));
    assert_int_equal(evaluated, 1);
    cel__err(&log, "%0*d", 20000, 1);
    assert_int_equal(sink.len, 16383);
}

static void levels_have_names(void **state)
{
    cel_log_level level;

    (void)state;
    assert_string_equal(cel__log_level_name(CEL_LOG_WARNING), "WARNING");
    assert_true(cel__log_level_parse(&level, "warn") && level == CEL_LOG_WARNING);
    assert_true(cel__log_level_parse(&level, "Fatal") && level == CEL_LOG_CRITICAL);
    assert_true(cel__log_level_parse(&level, "DEBUG") && level == CEL_LOG_DEBUG);
    assert_false(cel__log_level_parse(&level, "loud"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_text),
        cmocka_unit_test(setting_fills_the_whole_error),
        cmocka_unit_test(a_message_may_be_wrapped_in_itself),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(an_id_is_a_uuid_of_version_4),
        cmocka_unit_test(ids_of_version_7_sort_as_they_are_made),
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(the_clock_runs_forward),
        cmocka_unit_test(a_log_drops_what_is_below_its_level),
        cmocka_unit_test(levels_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
