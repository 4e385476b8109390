/* route_test.c - tests of route.c, queues.c and glob.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/glob.h"
#include "app/queues.h"
#include "app/route.h"

static const char *const sample =
    "from kombu import Queue, Exchange\n"
    "from kombu.common import Broadcast\n"
    "task_default_queue = 'main'\n"
    "task_queues = [Queue('main', routing_key='main'),\n"
    "  Queue('media', Exchange('media', type='topic', delivery_mode=1), 'media.#', "
    "max_priority=5),\n"
    "  Queue('plain', Exchange('px'), routing_key='pk', alias='pl'), Broadcast('all')]\n"
    "task_routes = ({'t.exact': {'queue': 'media', 'routing_key': 'media.x', 'priority': 3},\n"
    "  't.*': 'plain', 'other.*': {'queue': 'made_up', 'compression': 'zlib'}, 't.none': "
    "None},\n"
    "  [('p?ir.*', {'exchange': 'ex', 'routing_key': 'rk'}), ('pair.exact', 'media')],\n"
    "  {'t.none': {'queue': 'media', 'delivery_mode': 'transient'}, 'b.*': 'all'})\n";

static cel_config *load(const char *text)
{
    cel_config *config;
    cel_error err;

    assert_int_equal(cel__config_new(&config, NULL), CEL_OK);
    if (cel__config_load_text(config, "c.py", cel__view(text), &err) != CEL_OK)
        fail_msg("%s", err.message);
    return config;
}

/* "exchange|routing key|priority|delivery mode|compression" of a task sent with these options. */
static const char *
route(const cel_config *config, const char *task, const char *own_queue, const char *options)
{
    static char text[400];
    cel_task_message message = CEL_TASK_MESSAGE_INIT;
    cel_task_entry entry = {.name = "t", .options = {.queue = own_queue}};
    json_t *json = options ? json_loads(options, JSON_ALLOW_NUL, NULL) : NULL;
    cel_error err;

    assert_true(!options || json);
    message.task = cel__view(task);
    if (cel__route(&message, config, &entry, json, NULL, &err) != CEL_OK)
        snprintf(text, sizeof text, "%s", err.message);
    else
        snprintf(text, sizeof text, "%.*s|%.*s|%d|%d|%s", CEL_VIEW_ARG(message.exchange),
                 CEL_VIEW_ARG(message.routing_key), message.priority, message.delivery_mode,
                 message.compression ? message.compression : "");
    json_decref(json);
    return text;
}

static void without_any_setting_the_queue_is_celery(void **state)
{
    cel_config *config = load("");

    (void)state;
    assert_string_equal(route(config, "t", NULL, NULL), "|celery|-1|2|");
    assert_string_equal(route(config, "t", "own", NULL), "|own|-1|2|");
    assert_string_equal(route(config, "t", "own", "{\"queue\": \"q\"}"), "|q|-1|2|");
    assert_string_equal(route(config, "t", NULL, "{\"queue\": null, \"priority\": 4}"),
                        "|celery|4|2|");
    assert_string_equal(
        route(config, "t", NULL, "{\"exchange\": \"e\", \"routing_key\": \"k\"}"), "e|k|-1|2|");
    assert_string_equal(route(config, "t", NULL, "{\"exchange\": \"e\"}"), "|celery|-1|2|");
    assert_string_equal(route(config, "t", NULL, "{\"routing_key\": \"k\"}"), "|celery|-1|2|");
    cel__config_free(config);
}

static void routes_are_followed_in_order(void **state)
{
    cel_config *config = load(sample);

    (void)state;
    assert_string_equal(route(config, "t.exact", "own", NULL), "media|media.x|3|1|");
    assert_string_equal(route(config, "t.other", NULL, NULL), "|plain|-1|2|");
    assert_string_equal(route(config, "other.x", NULL, NULL), "|made_up|-1|2|zlib");
    assert_string_equal(route(config, "pair.exact", NULL, NULL), "media|media.#|-1|1|");
    assert_string_equal(route(config, "pair.x", NULL, NULL), "ex|rk|-1|2|");
    assert_string_equal(route(config, "t.none", NULL, NULL), "|plain|-1|2|");
    assert_string_equal(route(config, "nothing", NULL, NULL), "|main|-1|2|");
    assert_string_equal(route(config, "nothing", "plain", NULL), "|plain|-1|2|");
    assert_string_equal(route(config, "b.x", NULL, NULL), "all|main|-1|2|");
    cel__config_free(config);
}

static void explicit_options_win_over_a_route(void **state)
{
    cel_config *config = load(sample);

    (void)state;
    assert_string_equal(route(config, "t.exact", NULL, "{\"priority\": 9}"),
                        "media|media.x|9|1|");
    assert_string_equal(route(config, "t.exact", NULL, "{\"queue\": \"plain\"}"),
                        "|plain|3|2|");
    assert_string_equal(
        route(config, "t.exact", NULL, "{\"routing_key\": \"media.y\", \"delivery_mode\": 2}"),
        "media|media.y|3|2|");
    assert_string_equal(route(config, "t.a", NULL, "{\"compression\": \"zlib\"}"),
                        "|plain|-1|2|zlib");
    cel__config_free(config);
}

static void a_list_of_pairs_is_a_router_too(void **state)
{
    cel_config *config = load("task_routes = [('a.*', 'x'), ('a.b', {'queue': 'y'})]");

    (void)state;
    assert_string_equal(route(config, "a.b", NULL, NULL), "|y|-1|2|");
    assert_string_equal(route(config, "a.c", NULL, NULL), "|x|-1|2|");
    cel__config_free(config);
}

static void a_queue_that_must_not_be_made_up_is_an_error(void **state)
{
    cel_config *config =
        load("from kombu import Queue\ntask_queues = [Queue('a')]\n"
             "task_default_queue = 'a'; task_create_missing_queues = False\n"
             "task_default_priority = 5; task_default_delivery_mode = 'transient'");

    (void)state;
    assert_string_equal(route(config, "t", NULL, NULL), "|a|5|1|");
    assert_string_equal(
        route(config, "t", NULL, "{\"queue\": \"b\"}"),
        "queue 'b' is not in task_queues, and task_create_missing_queues is off");
    cel__config_free(config);
}

static void a_name_that_no_broker_takes_is_an_error(void **state)
{
    cel_config *config = load("");
    char options[400];

    (void)state;
    snprintf(options, sizeof options, "{\"queue\": \"%0256d\"}", 0);
    assert_non_null(strstr(route(config, "x", NULL, options), "longer than 255 bytes"));
    snprintf(options, sizeof options, "{\"queue\": \"%0255d\"}", 0);
    assert_null(strstr(route(config, "x", NULL, options), "longer than"));
    assert_non_null(
        strstr(route(config, "x", NULL, "{\"queue\": \"a\\u0000b\"}"), "with a NUL"));
    assert_string_equal(route(config, "x", NULL, "{\"queue\": \"\"}"),
                        "task x has no queue to go to");
    cel__config_free(config);
}

static void queues_are_described(void **state)
{
    cel_config *config = load(sample);
    cel_queue_spec queue;

    (void)state;
    assert_int_equal(cel__queue_find(&queue, config, CEL_VIEW("pl"), NULL), CEL_OK);
    assert_true(cel__view_is(queue.name, "plain"));
    assert_true(cel__view_is(queue.exchange, "px"));
    assert_true(cel__view_is(queue.exchange_type, "direct"));
    assert_true(cel__view_is(queue.routing_key, "pk"));
    assert_int_equal(queue.max_priority, -1);
    assert_int_equal(cel__queue_find(&queue, config, CEL_VIEW("media"), NULL), CEL_OK);
    assert_int_equal(queue.max_priority, 5);
    assert_int_equal(cel__queue_find(&queue, config, CEL_VIEW("all"), NULL), CEL_OK);
    assert_true(queue.broadcast);
    assert_int_equal(cel__queue_find(&queue, config, CEL_VIEW("new"), NULL), CEL_OK);
    assert_true(cel__view_is(queue.exchange, "new"));
    assert_null(queue.object);
    cel__config_free(config);
}

static void count_queue(void *user, const cel_queue_spec *queue)
{
    char *text = user;

    snprintf(text + strlen(text), 128 - strlen(text), "%.*s:%.*s ", CEL_VIEW_ARG(queue->name),
             CEL_VIEW_ARG(queue->routing_key));
}

static void a_worker_consumes_the_configured_queues(void **state)
{
    static const char *const cases[][2] = {
        {"", "celery:celery "},
        {"task_default_queue = 'x'; task_default_routing_key = 'k'", "x:k "},
        {"task_queues = {'a': {'exchange': 'a', 'binding_key': 'ka'}, 'b': {}}",
         "a:ka b:celery "},
        {"task_queues = ('a', 'b')", "a:celery b:celery "},
        {"task_queues = []", "celery:celery "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128] = "";
        cel_config *config = load(cases[i][0]);
        cel__queues_each(config, count_queue, text);
        assert_string_equal(text, cases[i][1]);
        cel__config_free(config);
    }
}

static void globs_match_as_fnmatch(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true},          {"*", "", true},          {"a*", "abc", true},
        {"*c", "abc", true},     {"a*c*e", "abcde", true}, {"a*c*e", "abcd", false},
        {"a?c", "abc", true},    {"a?c", "ac", false},     {"[ab]c", "bc", true},
        {"[!ab]c", "bc", false}, {"[a-c]", "b", true},     {"[]]", "]", true},
        {"[", "[", true},        {"a.*", "a", false},      {"\\*", "\\x", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cel__glob_match(cases[i].pattern, cel__view(cases[i].text)),
                         cases[i].match);
}

static void a_glob_of_many_stars_takes_no_exponential_time(void **state)
{
    char text[4000];

    (void)state;
    memset(text, 'a', sizeof text);
    assert_false(
        cel__glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab", (cel_view){text, sizeof text}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_setting_the_queue_is_celery),
        cmocka_unit_test(routes_are_followed_in_order),
        cmocka_unit_test(explicit_options_win_over_a_route),
        cmocka_unit_test(a_list_of_pairs_is_a_router_too),
        cmocka_unit_test(a_queue_that_must_not_be_made_up_is_an_error),
        cmocka_unit_test(a_name_that_no_broker_takes_is_an_error),
        cmocka_unit_test(queues_are_described),
        cmocka_unit_test(a_worker_consumes_the_configured_queues),
        cmocka_unit_test(globs_match_as_fnmatch),
        cmocka_unit_test(a_glob_of_many_stars_takes_no_exponential_time),
    };

    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
