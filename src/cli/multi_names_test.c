/* multi_names_test.c - the grammar of `celeriac multi`: what Celery makes of the same words. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/multi_names.h"
#include "core/mem.h"

#define WORDS_MAX 64

static const cel_multi_defaults defaults = {.executable = "celeriac",
                                            .hostname = "box.example.com"};

/* Reads words separated by single spaces. */
static cel_code read_words(cel_multi *multi, const char *line, bool with_signal, cel_error *err)
{
    cel_multi_defaults with = defaults;
    char text[512];
    const char *words[WORDS_MAX];
    int count = 0;
    char *rest = NULL;
    cel_code code;

    *multi = (cel_multi){0};
    with.with_signal = with_signal;
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    code = cel__multi_read(multi, count, words, &with, err);
    memset(text, 'x', sizeof text); /* nothing may point there */
    return code;
}

/* Command lines without the program, each ended by a newline. */
static void assert_lines(const char *line, const char *expected)
{
    cel_multi multi;
    cel_error err = {0};
    cel__buf text = {0};

    if (read_words(&multi, line, false, &err) != CEL_OK)
        fail_msg("'%s': %s", line, err.message);
    for (size_t i = 0; i < multi.count; i++) {
        cel__multi_command_line(&text, &multi.nodes[i], 1);
        cel__buf_add_byte(&text, '\n');
    }
    assert_string_equal(cel__buf_cstr(&text), expected);
    cel__buf_done(&text);
    cel__multi_done(&multi);
}

static void assert_refused(const char *line, const char *message)
{
    cel_multi multi;
    cel_error err = {0};

    assert_int_equal(read_words(&multi, line, false, &err), CEL_EINVAL);
    assert_non_null(strstr(err.message, message));
    assert_int_equal(multi.count, 0);
    cel__multi_done(&multi);
}

static void a_number_is_so_many_nodes(void **state)
{
    (void)state;
    assert_lines("2 -c 3 --pidfile=p --logfile=l",
                 "worker --detach -c 3 --pidfile=p --logfile=l -n celery1@box.example.com "
                 "--executable=celeriac\n"
                 "worker --detach -c 3 --pidfile=p --logfile=l -n celery2@box.example.com "
                 "--executable=celeriac\n");
}

static void names_are_completed_with_the_host(void **state)
{
    (void)state;
    assert_lines("foo bar@%n.%d baz@h --pidfile=%n-%d.pid --logfile=%p%I.log -n o",
                 "worker --detach --pidfile=foo-o.pid --logfile=foo@o%I.log -n foo@o "
                 "--executable=celeriac\n"
                 "worker --detach --pidfile=bar-box.example.com.pid "
                 "--logfile=bar@box.example.com%I.log -n bar@box.example.com "
                 "--executable=celeriac\n"
                 "worker --detach --pidfile=baz-h.pid --logfile=baz@h%I.log -n baz@h "
                 "--executable=celeriac\n");
}

static void files_have_places_unless_they_are_given(void **state)
{
    (void)state;
    assert_lines("a@h -p x -f y", "worker --detach -p x -f y -n a@h --executable=celeriac\n");
    assert_lines("a@h", "worker --detach -n a@h --pidfile=/var/run/celeriac/a.pid "
                        "--logfile=/var/log/celeriac/a%I.log --executable=celeriac\n");
}

static void options_may_be_for_some_nodes(void **state)
{
    (void)state;
    assert_lines("3 -p p -f l -n h --suffix='' -c 1 -c:2-3 5 -c:3 7 --time-limit:1=9",
                 "worker --detach -p p -f l -c 1 --time-limit=9 -n celery1@ "
                 "--executable=celeriac\n"
                 "worker --detach -p p -f l -c 5 -n celery2@ --executable=celeriac\n"
                 "worker --detach -p p -f l -c 5 -n celery3@ --executable=celeriac\n");
    assert_lines("foo bar@h -p p -f l -n h -Q:foo,bar@h a -Q:2 b -E:1",
                 "worker --detach -p p -f l -E -Q a -n foo@h --executable=celeriac\n"
                 "worker --detach -p p -f l -Q a -n bar@h --executable=celeriac\n");
}

static void global_options_stand_in_front_of_the_command(void **state)
{
    (void)state;
    assert_lines("a@h -E -A tasks --workdir=/srv -p p -f l",
                 "--workdir=/srv -A tasks worker --detach -E -p p -f l -n a@h "
                 "--executable=celeriac\n");
    assert_lines("a@h --cmd= -A tasks -p p -f l --append=x=%n",
                 "-A tasks worker --detach -p p -f l -n a@h --executable=celeriac x=a\n");
}

static void what_follows_two_dashes_stays_at_the_end(void **state)
{
    (void)state;
    assert_lines("a@h -p p -f l -- worker.prefetch_multiplier=1 -x",
                 "worker --detach -p p -f l -n a@h --executable=celeriac -- "
                 "worker.prefetch_multiplier=1 -x\n");
}

static void a_command_of_ones_own_takes_global_options_behind_celery(void **state)
{
    const char *const words[] = {"a@h", "-A", "t",  "--cmd=-m celery worker",
                                 "-p",  "p",  "-f", "l"};
    cel_multi multi = {0};
    cel_error err = {0};
    cel__buf text = {0};

    (void)state;
    assert_int_equal(cel__multi_read(&multi, 8, words, &defaults, &err), CEL_OK);
    cel__multi_command_line(&text, &multi.nodes[0], 0);
    assert_string_equal(cel__buf_cstr(&text), "celeriac -m celery -A t worker -p p -f l -n a@h "
                                              "--executable=celeriac");
    cel__buf_done(&text);
    cel__multi_done(&multi);
}

static void a_value_with_spaces_stays_one_word(void **state)
{
    const char *const words[] = {"a@h", "-Q", "it's; rm -r *", "--x=$(id)", "-p", "p",
                                 "-f",  "l"};
    cel_multi multi = {0};
    cel_error err = {0};
    cel__buf text = {0};

    (void)state;
    assert_int_equal(cel__multi_read(&multi, 8, words, &defaults, &err), CEL_OK);
    assert_string_equal(multi.nodes[0].argv[4], "it's; rm -r *");
    cel__multi_command_line(&text, &multi.nodes[0], 3);
    assert_string_equal(cel__buf_cstr(&text),
                        "-Q 'it'\"'\"'s; rm -r *' '--x=$(id)' -p p -f l -n a@h "
                        "--executable=celeriac");
    cel__buf_done(&text);
    cel__multi_done(&multi);
}

static void a_signal_is_no_option_where_nodes_are_stopped(void **state)
{
    static const struct {
        const char *line;
        int signum;
    } lines[] = {
        {"a@h -9", SIGKILL},
        {"-KILL a@h", SIGKILL},
        {"a@h -SIGQUIT -c 2", SIGQUIT},
        {"a@h -HUP -INT", SIGINT},
        {"a@h -c 2", 0},
        {"a@h -kill", 0},
        {"a@h -99", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cel_multi multi;
        cel_error err = {0};

        assert_int_equal(read_words(&multi, lines[i].line, true, &err), CEL_OK);
        assert_int_equal(multi.signum, lines[i].signum);
        assert_int_equal(multi.count, 1);
        assert_string_equal(multi.nodes[0].name, "a@h");
        cel__multi_done(&multi);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    assert_refused("", "No nodes");
    assert_refused("-c 3", "No nodes");
    assert_refused("0", "No nodes");
    assert_refused("100000000000000000000", "at most 1000 nodes");
    assert_refused("a b -c:3 1", "there is no node 3, they count from 1 to 2");
    assert_refused("a b -c:0 1", "there is no node 0");
    assert_refused("a -c:1:2 1", "is no option");
    assert_refused("a -c: 1", "is no option");
    assert_refused("a -:1 1", "is no option");
    assert_refused("a --=1", "is no option");
    assert_refused("a - b", "is no option");
    assert_refused("a@%q", "%q means nothing");
    assert_refused("a --pidfile=%q", "%q means nothing");
    assert_refused("a --executable=", "names no program");
}

static void templates_are_expanded_as_celery_does(void **state)
{
    cel_multi multi;
    cel_error err = {0};
    cel__buf text = {0};

    (void)state;
    assert_int_equal(read_words(&multi, "w1@box.example.com", false, &err), CEL_OK);
    assert_int_equal(
        cel__multi_expand(&text, &multi.nodes[0], "%n %N %d %h %p %i%I 100% %%n %-", &err),
        CEL_OK);
    assert_string_equal(cel__buf_cstr(&text), "w1 w1 box.example.com w1@box.example.com "
                                              "w1@box.example.com %i%I 100% %w1 %-");
    cel__buf_done(&text);
    cel__multi_done(&multi);
}

static void running_out_of_memory_leaves_nothing_behind(void **state)
{
    cel_code code = CEL_ENOMEM;

    (void)state;
    for (size_t n = 1; code == CEL_ENOMEM; n++) {
        cel_multi multi;
        cel_error err = {0};

        cel__mem_fail_at(n);
        code = read_words(&multi, "3 -c:1-2 4 -A x --cmd=celery -- a=b", false, &err);
        cel__mem_fail_at(0);
        if (code != CEL_OK && code != CEL_ENOMEM)
            fail_msg("allocation %zu: %s", n, err.message);
        if (code != CEL_OK)
            assert_int_equal(multi.count, 0);
        cel__multi_done(&multi);
        assert_true(n < 10000);
    }
    assert_int_equal(code, CEL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_so_many_nodes),
        cmocka_unit_test(names_are_completed_with_the_host),
        cmocka_unit_test(files_have_places_unless_they_are_given),
        cmocka_unit_test(options_may_be_for_some_nodes),
        cmocka_unit_test(global_options_stand_in_front_of_the_command),
        cmocka_unit_test(what_follows_two_dashes_stays_at_the_end),
        cmocka_unit_test(a_command_of_ones_own_takes_global_options_behind_celery),
        cmocka_unit_test(a_value_with_spaces_stays_one_word),
        cmocka_unit_test(a_signal_is_no_option_where_nodes_are_stopped),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(templates_are_expanded_as_celery_does),
        cmocka_unit_test(running_out_of_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests_name("multi_names", tests, NULL, NULL);
}
