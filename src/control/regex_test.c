/* regex_test.c - what Python's re.match() says, and patterns that would cost it hours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/regex.h"
#include "core/buf.h"

static void it_decides_as_python(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool is;
    } cases[] = {
        {"", "anything", true},
        {"w1", "w1@host", true}, /* only the beginning is anchored */
        {"host", "w1@host", false},
        {".*host", "w1@host", true},
        {"w1@host$", "w1@host", true},
        {"w1@$", "w1@host", false},
        {"^w\\d+@", "w12@h", true},
        {"^w\\d+@", "wx@h", false},
        {"w[0-9]@[a-h]", "w1@host", true},
        {"w[^0-9]@", "w1@host", false},
        {"[]x]+$", "]x]", true},
        {"[\\w-]+@", "my-worker@h", true},
        {"(a|b|cd)+@x", "abcdcd@x", true},
        {"(a|b|cd)+@x", "abc@x", false},
        {"(?:ab)?c", "c", true},
        {"(?P<name>w)1", "w1", true},
        {"a{3}$", "aaa", true},
        {"a{3}$", "aa", false},
        {"a{2,3}$", "aaaa", false},
        {"a{2,}$", "aaaa", true},
        {"a{,2}$", "aa", true},
        {"a{x", "a{x", true}, /* a brace that counts nothing is a character */
        {"a*?b", "aaab", true},
        {"(a*)*b", "aaac", false},
        {"w\\.1", "w.1", true},
        {"w\\.1", "wx1", false},
        {"\\bw1\\b@", "w1@h", true},
        {"w\\b1", "w1", false},
        {"w1\\Z", "w1", true},
        {"a|", "b", true},
        {"a.c", "a\nc", false},
        {"\\S+@\\w+$", "w1@host", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is = !cases[i].is;
        cel_error err = {0};

        if (cel__regex_match(&is, cel__view(cases[i].pattern), cel__view(cases[i].text),
                             &err) != CEL_OK)
            fail_msg("%s: %s", cases[i].pattern, err.message);
        if (is != cases[i].is)
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
    }
}

static void wrong_patterns_are_errors(void **state)
{
    static const char *const patterns[] = {
        "(",      ")",     "a)",      "[",
        "[a",     "*",     "a**",     "a\\",
        "[z-a]",  "(?=a)", "(?i)a",   "\\1",
        "a{5,2}", "(?P<x", "a{1001}", "((((a{30}){30}){30}){30})"};

    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        bool is;
        cel_error err = {0};

        if (cel__regex_match(&is, cel__view(patterns[i]), CEL_VIEW("aaaa"), &err) != CEL_EINVAL)
            fail_msg("%s is taken", patterns[i]);
        assert_true(err.message[0]);
    }
}

static void hostile_patterns_end_soon(void **state)
{
    cel__buf pattern = {0};
    bool is = true;

    (void)state;
    /* Exponential for who goes back. */
    assert_int_equal(
        cel__regex_match(&is, CEL_VIEW("(((a|a)*)*)*$"),
                         CEL_VIEW("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), NULL),
        CEL_OK);
    assert_false(is);
    for (int i = 0; i < 5000; i++)
        cel__buf_add_byte(&pattern, '(');
    assert_int_equal(cel__regex_match(&is, cel__buf_view(&pattern), CEL_VIEW("a"), NULL),
                     CEL_EINVAL);
    cel__buf_done(&pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_decides_as_python),
        cmocka_unit_test(wrong_patterns_are_errors),
        cmocka_unit_test(hostile_patterns_end_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
