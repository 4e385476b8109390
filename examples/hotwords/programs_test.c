/* programs_test.c - hotwords-cut and hotwords-mkdict as a user meets them. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "test_support.h"

extern char **environ;

struct outcome {
    int status;
    char *out, *err; /* freed with outcome_done() */
};

static void outcome_done(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
}

static char *read_text(const char *path)
{
    hw_buf text = {0};

    assert_int_equal(hw_buf_add_file(&text, path, NULL), HW_OK);
    assert_true(hw_buf_add_byte(&text, '\0'));
    return text.bytes;
}

/* Runs the program that `variable` names with up to four arguments and `input` on its stdin. */
static struct outcome
run(void **state, const char *variable, const char *input, const char *const args[4])
{
    char *argv[6] = {(char *)(uintptr_t)test_env(variable, "false")};
    const char *in = test_write_text(state, "in", input);
    const char *out = test_path(state, "out"), *err = test_path(state, "err");
    posix_spawn_file_actions_t actions;
    struct outcome outcome = {-1, NULL, NULL};
    int status = 0;
    pid_t pid;

    for (size_t i = 0; i < 4 && args[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 0, in, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.out = read_text(out);
    outcome.err = read_text(err);
    return outcome;
}

static struct outcome
cut(void **state, const char *input, const char *first, const char *second)
{
    const char *const args[4] = {first, second};

    return run(state, "HOTWORDS_CUT", input, args);
}

static void
assert_cut(void **state, const char *option, const char *input, const char *expected)
{
    struct outcome outcome = cut(state, input, option, NULL);

    assert_string_equal(outcome.err, "");
    assert_string_equal(outcome.out, expected);
    assert_int_equal(outcome.status, 0);
    outcome_done(&outcome);
}

static void each_line_gives_an_array(void **state)
{
    assert_cut(state, NULL, "\"网易杭研\"\n\"\"\n\"a\\u0000b\"",
               "[\"网易\",\"杭研\"]\n[]\n"
               "[\"a\",\"\\u0000\",\"b\"]\n");
    assert_cut(state, "--no-hmm", "\"网易杭研\"\n", "[\"网易\",\"杭\",\"研\"]\n");
    assert_cut(state, "--all", "\"清华大学\"\n", "[\"清华\",\"清华大学\",\"华大\",\"大学\"]\n");
    assert_cut(state, "--search", "\"清华大学\"\n",
               "[\"清华\",\"华大\",\"大学\",\"清华大学\"]\n");
    assert_cut(state, NULL, "", "");
}

static void a_user_dictionary_is_used(void **state)
{
    const char *path = test_write_text(state, "user.txt", "网易杭研 5 n\n");
    struct outcome outcome = cut(state, "\"网易杭研\"\n", "--user-dict", path);

    assert_string_equal(outcome.out, "[\"网易杭研\"]\n");
    assert_int_equal(outcome.status, 0);
    outcome_done(&outcome);
    outcome = cut(state, "\"x\"\n", "--user-dict", test_path(state, "none"));
    assert_non_null(strstr(outcome.err, "hotwords-cut: cannot open '"));
    assert_int_equal(outcome.status, 1);
    outcome_done(&outcome);
}

static void a_bad_line_is_named_and_the_others_are_cut(void **state)
{
    struct outcome outcome =
        cut(state, "\"你好\"\n你好\n{}\n\n\"\xFF\"\n\"\\ud800\"\n\"再见\"\n", NULL, NULL);

    assert_string_equal(outcome.out, "[\"你好\"]\n[\"再见\"]\n");
    assert_non_null(strstr(outcome.err, "hotwords-cut: line 2: no JSON: "));
    assert_non_null(strstr(outcome.err, "hotwords-cut: line 3: the line is no JSON string"));
    assert_non_null(strstr(outcome.err, "hotwords-cut: line 4: "));
    assert_non_null(strstr(outcome.err, "hotwords-cut: line 5: "));
    assert_non_null(strstr(outcome.err, "hotwords-cut: line 6: "));
    assert_null(strstr(outcome.err, "line 7"));
    assert_int_equal(outcome.status, 1);
    outcome_done(&outcome);
}

static void a_wrong_option_shows_the_usage(void **state)
{
    struct outcome outcome = cut(state, "", "--all", "--search");

    assert_int_equal(outcome.status, 2);
    assert_non_null(strstr(outcome.err, "usage: hotwords-cut"));
    outcome_done(&outcome);
    outcome = cut(state, "", "--user-dict", NULL);
    assert_int_equal(outcome.status, 2);
    outcome_done(&outcome);
    outcome = cut(state, "", "--help", NULL);
    assert_int_equal(outcome.status, 0);
    assert_non_null(strstr(outcome.out, "--user-dict FILE"));
    outcome_done(&outcome);
    outcome = cut(state, "", "--version", NULL);
    assert_string_equal(outcome.out, "hotwords-cut " HW_VERSION "\n");
    outcome_done(&outcome);
}

static struct outcome mkdict(void **state, const char *first, const char *second)
{
    const char *const args[4] = {first, second};

    return run(state, "HOTWORDS_MKDICT", "", args);
}

/* A folder like jieba's, with this dict.txt and prob_start.py. */
static const char *jieba_folder(void **state, const char *words, const char *start)
{
    mkdir(test_path(state, "jieba"), 0700);
    mkdir(test_path(state, "jieba/finalseg"), 0700);
    test_write_text(state, "jieba/dict.txt", words);
    test_write_text(state, "jieba/finalseg/prob_start.py", start);
    test_write_text(state, "jieba/finalseg/prob_trans.py", "P={'B': {'E': -1}}");
    test_write_text(state, "jieba/finalseg/prob_emit.py", "P={'B': {'\\u4e00': -1}}");
    return test_path(state, "jieba");
}

static void
assert_mkdict_fails(void **state, const char *words, const char *start, const char *why)
{
    char output[512];
    struct outcome outcome;

    snprintf(output, sizeof output, "%s", test_write_text(state, "old.dict", "old"));
    outcome = mkdict(state, jieba_folder(state, words, start), output);
    assert_int_equal(outcome.status, 1);
    assert_non_null(strstr(outcome.err, "hotwords-mkdict: "));
    if (!strstr(outcome.err, why))
        fail_msg("'%s' is not in: %s", why, outcome.err);
    outcome_done(&outcome);
    outcome.out = read_text(output);
    assert_string_equal(outcome.out, "old");
    free(outcome.out);
}

static void bad_sources_are_named_and_leave_the_old_file(void **state)
{
    static const char good[] = "P={'B': -1, 'S': -1}";

    assert_mkdict_fails(state, "词 3 n\n词语\n", good,
                        "dict.txt:2: expected 'word frequency tag'");
    assert_mkdict_fails(state, "词 3\n", good, "dict.txt:1: expected a frequency and a tag");
    assert_mkdict_fails(state, "词 x n\n", good, "dict.txt:1: expected a frequency and a tag");
    assert_mkdict_fails(state, "词 4294967296 n\n", good,
                        "dict.txt:1: the frequency is too large");
    assert_mkdict_fails(state, "词 0 n\n", good, "dict.txt:1: the frequency is 0");
    assert_mkdict_fails(state, "\xFF 3 n\n", good, "dict.txt:1: the word is not UTF-8");
    assert_mkdict_fails(state, "", good, "there are no words");
    assert_mkdict_fails(state, "词 3 n\n", "P={'X': 1}", "U+0058 is no state of the HMM");
    assert_mkdict_fails(state, "词 3 n\n", "P=f()", "prob_start.py:1: expected '{'");
}

static void a_missing_source_is_named(void **state)
{
    const test_folder *folder = *state;
    struct outcome outcome = mkdict(state, folder->path, test_path(state, "x.dict"));

    assert_int_equal(outcome.status, 1);
    assert_non_null(strstr(outcome.err, "/dict.txt': No such file"));
    outcome_done(&outcome);
}

static void a_small_dictionary_is_compiled_and_checked(void **state)
{
    char output[512];
    struct outcome outcome;

    snprintf(output, sizeof output, "%s", test_path(state, "new.dict"));
    outcome = mkdict(state, jieba_folder(state, "词 3 n\n词语 4 n", "P={'B': -1}"), output);
    assert_string_equal(outcome.err, "");
    assert_int_equal(outcome.status, 0);
    outcome_done(&outcome);
    outcome = mkdict(state, "--check", output);
    assert_int_equal(outcome.status, 0);
    assert_non_null(strstr(outcome.out, "new.dict: 2 words, total 7, "));
    outcome_done(&outcome);
    assert_int_equal(truncate(output, 1000), 0);
    outcome = mkdict(state, "--check", output);
    assert_int_equal(outcome.status, 1);
    assert_non_null(strstr(outcome.err, "is damaged"));
    outcome_done(&outcome);
}

static void mkdict_without_arguments_shows_the_usage(void **state)
{
    struct outcome outcome = mkdict(state, NULL, NULL);

    assert_int_equal(outcome.status, 2);
    assert_non_null(strstr(outcome.err, "usage: hotwords-mkdict"));
    outcome_done(&outcome);
    outcome = mkdict(state, "--help", NULL);
    assert_int_equal(outcome.status, 0);
    assert_non_null(strstr(outcome.out, "--check FILE"));
    outcome_done(&outcome);
    outcome = mkdict(state, "--version", NULL);
    assert_string_equal(outcome.out, "hotwords-mkdict " HW_VERSION "\n");
    outcome_done(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_gives_an_array),
        cmocka_unit_test(a_user_dictionary_is_used),
        cmocka_unit_test(a_bad_line_is_named_and_the_others_are_cut),
        cmocka_unit_test(a_wrong_option_shows_the_usage),
        cmocka_unit_test(bad_sources_are_named_and_leave_the_old_file),
        cmocka_unit_test(a_missing_source_is_named),
        cmocka_unit_test(a_small_dictionary_is_compiled_and_checked),
        cmocka_unit_test(mkdict_without_arguments_shows_the_usage),
    };

    return cmocka_run_group_tests(tests, test_folder_setup, test_folder_teardown);
}
