/* beat_test.c - beat under a clock that is turned by hand: years in a moment, outages and steps of the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "beat/beat.h"
#include "celeriac/send.h"
#include "core/mem.h"
#include "core/time.h"

#define SECOND INT64_C(1000000)

/* An app on memory:// whose clock goes to where beat wants to sleep until. */
struct world {
    cel_clock clock; /* must be first */
    int64_t wall_us, mono_ms;
    cel_app *app;
    int64_t end_us;                                         /* when beat is stopped */
    void (*on_sleep)(struct world *world, int64_t wake_us); /* may be NULL */
    char sent[400][64];                                     /* "time name", of the first */
    size_t sent_count, errors, warnings, restarts;
};

static int64_t wall(const cel_clock *clock)
{
    return ((const struct world *)clock)->wall_us;
}

static int64_t mono(const cel_clock *clock)
{
    return ((const struct world *)clock)->mono_ms;
}

static void on_log(void *user, cel_log_level level, const char *message, size_t len)
{
    struct world *world = user;
    static const char head[] = "Scheduler: Sending due task ";
    char time[CEL_TIME_TEXT];

    (void)len;
    if (level == CEL_LOG_ERROR)
        world->errors++;
    if (level == CEL_LOG_WARNING)
        world->warnings++;
    if (strncmp(message, head, sizeof head - 1) != 0)
        return;
    cel__time_format(time, world->wall_us);
    if (world->sent_count < 400)
        snprintf(world->sent[world->sent_count], sizeof world->sent[0], "%.16s %.*s", time,
                 (int)strcspn(message + sizeof head - 1, " "), message + sizeof head - 1);
    world->sent_count++;
}

static void sleep_until(void *user, cel_beat *beat, int64_t wake_us)
{
    struct world *world = user;
    int64_t before_us = world->wall_us;

    if (world->on_sleep)
        world->on_sleep(world, wake_us);
    if (world->wall_us < before_us) /* set back: it sleeps as long as it wanted to */
        wake_us -= before_us - world->wall_us;
    if (wake_us >= world->end_us) {
        cel__beat_stop(beat);
        return;
    }
    if (wake_us <= world->wall_us)
        return;
    world->mono_ms += (wake_us - world->wall_us + 999) / 1000;
    world->wall_us = wake_us;
}

static int64_t parse(const char *text)
{
    int64_t at;

    assert_true(cel__time_parse(&at, cel__view(text)));
    return at;
}

static void open_world(struct world *world, const char *start, const char *const *settings)
{
    static unsigned number;
    char url[64];
    cel_error err = {0};

    memset(world, 0, sizeof *world);
    world->clock = (cel_clock){mono, wall};
    world->wall_us = parse(start);
    snprintf(url, sizeof url, "memory://beat%u", number++);
    if (cel_app_new(&world->app,
                    CEL_APP_OPTIONS(.broker = url, .backend = "disabled",
                                    .ignore_environment = true, .settings = settings,
                                    .log = on_log, .log_user = world,
                                    .log_level = CEL_LOG_INFO),
                    &err) != CEL_OK)
        fail_msg("%s", err.message);
    world->app->clock = &world->clock;
}

static void close_world(struct world *world)
{
    cel_app_free(world->app);
}

static void run_until(struct world *world, int64_t end_us)
{
    cel_error err = {0};

    world->end_us = end_us;
    if (cel__beat_run(
            &(cel_beat_options){.app = world->app, .sleep = sleep_until, .user = world},
            &err) != CEL_OK)
        fail_msg("%s", err.message);
    if (world->wall_us < end_us)
        world->wall_us = end_us;
}

static void add(struct world *world, const char *name, const cel_beat_entry *entry)
{
    cel_error err = {0};

    if (cel_beat_add(world->app, name, entry, &err) != CEL_OK)
        fail_msg("%s", err.message);
}

static int64_t purge(struct world *world, const char *queue)
{
    int64_t count = 0;

    assert_int_equal(cel_purge(world->app, queue, &count, NULL), CEL_OK);
    return count;
}

/* ---- tests ---- */

static void an_interval_is_first_due_after_itself(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, "2026-01-01T00:00:30", NULL);
    add(&world, "often", CEL_BEAT_ENTRY(.task = "t", .every_ms = 10000));
    run_until(&world, world.wall_us + 35 * SECOND);
    assert_int_equal(world.sent_count, 3);
    assert_string_equal(world.sent[0], "2026-01-01T00:00 often");
    assert_string_equal(world.sent[2], "2026-01-01T00:01 often");
    assert_int_equal(purge(&world, "celery"), 3);
    close_world(&world);
}

static void years_of_a_daily_task_across_clock_changes(void **state)
{
    static const char *const settings[] = {"timezone=Europe/Berlin", NULL};
    struct world world;

    (void)state;
    open_world(&world, "2026-01-01", settings);
    add(&world, "night", CEL_BEAT_ENTRY(.task = "t", .crontab = "30 2 * * *"));
    add(&world, "yearly", CEL_BEAT_ENTRY(.task = "t", .crontab = "0 0 1 4 *"));
    run_until(&world, parse("2031-01-01"));
    assert_int_equal(world.sent_count, 1826 + 5); /* five years, one leap day */
    assert_string_equal(world.sent[0], "2026-01-01T01:30 night");
    assert_string_equal(world.sent[86], "2026-03-28T01:30 night");
    assert_string_equal(world.sent[87], "2026-03-29T01:30 night"); /* 03:30 there */
    assert_string_equal(world.sent[88], "2026-03-30T00:30 night");
    assert_string_equal(world.sent[90], "2026-03-31T22:00 yearly");
    assert_int_equal(world.errors, 0);
    close_world(&world);
}

static int64_t jump_to;

/* Beat was away: the machine slept. */
static void jump(struct world *world, int64_t wake_us)
{
    (void)wake_us;
    if (jump_to && world->wall_us < jump_to) {
        world->mono_ms += (jump_to - world->wall_us) / 1000;
        world->wall_us = jump_to;
        jump_to = 0;
    }
}

static void what_was_missed_is_sent_once(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    add(&world, "hourly", CEL_BEAT_ENTRY(.task = "t", .crontab = "0 * * * *"));
    add(&world, "every", CEL_BEAT_ENTRY(.task = "t", .every_ms = 7200000));
    jump_to = parse("2026-01-03T00:30");
    world.on_sleep = jump;
    run_until(&world, parse("2026-01-03T00:59"));
    assert_int_equal(world.sent_count, 2);
    assert_int_equal(purge(&world, "celery"), 2);
    close_world(&world);
}

static void a_late_crontab_is_left_out_behind_its_deadline(void **state)
{
    static const char *const settings[] = {"beat_cron_starting_deadline=600", NULL};
    struct world world;

    (void)state;
    for (int minutes = 5; minutes <= 15; minutes += 10) {
        open_world(&world, "2026-01-01T00:30", settings);
        add(&world, "hourly", CEL_BEAT_ENTRY(.task = "t", .crontab = "0 * * * *"));
        jump_to = parse("2026-01-01T03:00") + minutes * 60 * SECOND;
        world.on_sleep = jump;
        run_until(&world, parse("2026-01-01T04:30"));
        assert_int_equal(world.sent_count, minutes == 5 ? 2 : 1);
        close_world(&world);
    }
}

static int64_t set_back_at;

static void set_clock_back(struct world *world, int64_t wake_us)
{
    (void)wake_us;
    if (set_back_at && world->wall_us >= set_back_at) {
        set_back_at = 0;
        world->wall_us -= 3600 * SECOND;
        world->restarts = world->sent_count;
    }
}

static void a_clock_that_is_set_back_stops_no_interval(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    add(&world, "often", CEL_BEAT_ENTRY(.task = "t", .every_ms = 60000));
    add(&world, "hourly", CEL_BEAT_ENTRY(.task = "t", .crontab = "0 * * * *"));
    set_back_at = parse("2026-01-01T02:00:30");
    world.on_sleep = set_clock_back;
    run_until(&world, parse("2026-01-01T02:30"));
    assert_int_equal(set_back_at, 0);
    assert_true(world.warnings >= 1);
    /* Two hours, then ninety minutes again; the hours that come again are not sent again. */
    assert_in_range(world.sent_count, 120 + 2 + 86, 120 + 2 + 90);
    close_world(&world);
}

static void change_entries(struct world *world, int64_t wake_us)
{
    (void)wake_us;
    if (world->wall_us < parse("2026-01-01T00:10") || world->restarts)
        return;
    world->restarts = 1;
    assert_int_equal(cel_beat_remove(world->app, "a", NULL), CEL_OK);
    add(world, "b", CEL_BEAT_ENTRY(.task = "t", .every_ms = 30000));
    add(world, "c", CEL_BEAT_ENTRY(.task = "t", .crontab = "15 0 * * *"));
}

static void entries_change_while_it_runs(void **state)
{
    struct world world;
    size_t count[3] = {0, 0, 0};

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    add(&world, "a", CEL_BEAT_ENTRY(.task = "t", .every_ms = 60000));
    add(&world, "b", CEL_BEAT_ENTRY(.task = "t", .every_ms = 60000));
    world.on_sleep = change_entries;
    run_until(&world, parse("2026-01-01T00:20:01"));
    for (size_t i = 0; i < world.sent_count; i++)
        count[world.sent[i][17] - 'a']++;
    assert_in_range(count[0], 9, 11);
    assert_in_range(count[1], 28, 31);
    assert_int_equal(count[2], 1);
    assert_int_equal(cel_beat_remove(world.app, "a", NULL), CEL_ENOENT);
    close_world(&world);
}

static void one_bad_message_stops_no_other(void **state)
{
    struct world world;
    json_t *bad = json_pack("{s:s}", "countdown", "soon");
    json_t *queue = json_pack("{s:s, s:i}", "queue", "reports", "expires", 60);
    json_t *args = json_pack("[i, s]", 1, "two");

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    add(&world, "bad", CEL_BEAT_ENTRY(.task = "t", .every_ms = 60000, .options = bad));
    add(&world, "good",
        CEL_BEAT_ENTRY(.task = "t", .every_ms = 60000, .args = args, .options = queue));
    run_until(&world, world.wall_us + 181 * SECOND);
    assert_int_equal(world.errors, 3);
    assert_int_equal(purge(&world, "reports"), 3);
    assert_int_equal(purge(&world, "celery"), 0);
    json_decref(bad);
    json_decref(queue);
    json_decref(args);
    close_world(&world);
}

static void wrong_entries_are_refused(void **state)
{
    struct world world;
    json_t *list = json_array(), *object = json_object();
    const struct {
        const cel_beat_entry *entry;
        const char *why;
    } cases[] = {
        {CEL_BEAT_ENTRY(.task = "t"), "one of every_ms"},
        {CEL_BEAT_ENTRY(.every_ms = 5), "no task"},
        {CEL_BEAT_ENTRY(.task = "t", .every_ms = 5, .crontab = "* * * * *"), "one of every_ms"},
        {CEL_BEAT_ENTRY(.task = "t", .every_ms = -5), "an interval of"},
        {CEL_BEAT_ENTRY(.task = "t", .crontab = "* * *"), "five fields"},
        {CEL_BEAT_ENTRY(.task = "t", .solar = "lunch"), "lunch"},
        {CEL_BEAT_ENTRY(.task = "t", .every_ms = 5, .args = object), "'args'"},
        {CEL_BEAT_ENTRY(.task = "t", .every_ms = 5, .kwargs = list), "'kwargs'"},
        {CEL_BEAT_ENTRY(.task = "t", .every_ms = 5, .options = list), "'options'"},
    };
    cel_error err;

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_not_equal(cel_beat_add(world.app, "x", cases[i].entry, &err), CEL_OK);
        if (!strstr(err.message, cases[i].why))
            fail_msg("%zu: %s", i, err.message);
    }
    json_decref(list);
    json_decref(object);
    close_world(&world);
}

static void run_fails_on_a_wrong_configuration(void **state)
{
    static const char *const texts[][2] = {
        {"timezone=No/Where", "No/Where"},
        {"beat_schedule=(json){\"x\": 5}", "'x': a dictionary"},
        {"beat_schedule=(json){\"x\": {\"task\": \"t\", \"schedule\": 0}}", "'x': schedule"},
        {"beat_schedule=(json){\"x\": {\"task\": \"t\", \"schedule\": 1, \"arg\": []}}",
         "'arg'"},
        {"beat_schedule=(json){\"x\": {\"schedule\": 1}}", "'task'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *const settings[] = {texts[i][0], NULL};
        struct world world;
        cel_error err = {0};

        open_world(&world, "2026-01-01", settings);
        assert_int_equal(cel_beat_run(world.app, &err), CEL_ECONFIG);
        if (!strstr(err.message, texts[i][1]))
            fail_msg("%s", err.message);
        close_world(&world);
    }
}

static void a_stop_before_the_run_counts(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    world.app->clock = cel__clock_system();
    cel_beat_stop(world.app);
    assert_int_equal(cel_beat_run(world.app, NULL), CEL_OK);
    close_world(&world);
}

struct seen {
    size_t count;
    int64_t last_us;
};

static bool see(void *user, int64_t due_us, const cel_entry *entry)
{
    struct seen *seen = user;

    assert_true(due_us >= seen->last_us);
    assert_non_null(entry->name);
    seen->last_us = due_us;
    return ++seen->count < 1000;
}

static void preview_is_in_order_and_bounded(void **state)
{
    struct world world;
    struct seen seen = {0, 0};
    cel_zone *zone;

    (void)state;
    open_world(&world, "2026-01-01", NULL);
    add(&world, "a", CEL_BEAT_ENTRY(.task = "t", .every_ms = 7000));
    add(&world, "b", CEL_BEAT_ENTRY(.task = "t", .crontab = "* * * * *"));
    add(&world, "c", CEL_BEAT_ENTRY(.task = "t", .solar = "solar_noon", .longitude = 10));
    assert_int_equal(cel__entries_zone(&zone, world.app, NULL), CEL_OK);
    assert_int_equal(cel__beat_preview(world.app, zone, parse("2026-01-01"),
                                       parse("2026-01-01T00:01"), see, &seen, NULL),
                     CEL_OK);
    assert_int_equal(seen.count, 8 + 1);
    seen = (struct seen){0, 0};
    assert_int_equal(cel__beat_preview(world.app, zone, parse("2026-01-01"),
                                       parse("2027-01-01"), see, &seen, NULL),
                     CEL_OK);
    assert_int_equal(seen.count, 1000);
    cel__zone_free(zone);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_is_first_due_after_itself),
        cmocka_unit_test(years_of_a_daily_task_across_clock_changes),
        cmocka_unit_test(what_was_missed_is_sent_once),
        cmocka_unit_test(a_late_crontab_is_left_out_behind_its_deadline),
        cmocka_unit_test(a_clock_that_is_set_back_stops_no_interval),
        cmocka_unit_test(entries_change_while_it_runs),
        cmocka_unit_test(one_bad_message_stops_no_other),
        cmocka_unit_test(wrong_entries_are_refused),
        cmocka_unit_test(run_fails_on_a_wrong_configuration),
        cmocka_unit_test(a_stop_before_the_run_counts),
        cmocka_unit_test(preview_is_in_order_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
