/* pyread_test.c - what the reader of Python files takes and what it refuses, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/pyread.h"
#include "core/mem.h"

/* Reads an exact copy, so that the sanitizers see a read behind the end. */
static cel_code read_copy(cel_pyfile *file, const char *text, size_t len, cel_error *err)
{
    char *copy = malloc(len ? len : 1);

    memcpy(copy, text, len);
    cel_code code = cel__pyread_file(file, "c.py", (cel_view){copy, len}, err);
    free(copy);
    return code;
}

static const json_t *value_of(const cel_pyfile *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++) {
        if (strcmp(file->names[i].name, name) == 0)
            return file->names[i].value;
    }
    return NULL;
}

/* The value of `x`, as JSON. */
static const struct {
    const char *text, *json;
} taken[] = {
    {"x = 1", "1"},
    {"x=1 # c", "1"},
    {"x = 1;", "1"},
    {"y = 2; x = y", "2"},
    {"x = y = 3", "3"},
    {"x = 1\nx = 2\n", "2"},
    {"x = 1\nx += 2; x *= 5; x -= 1; x //= 2", "7"},
    {"x = 'a'\nx += 'b'", "\"ab\""},
    {"x = 9223372036854775807", "9223372036854775807"},
    {"x = 0xFF + 0o17 + 0b11", "273"},
    {"x = 1_000_000", "1000000"},
    {"x = 00", "0"},
    {"x = 1.", "1.0"},
    {"x = .5e1", "5.0"},
    {"x = 1E-2", "0.01"},
    {"x = 60 * 60 * 24", "86400"},
    {"x = -2 ** 2", "-4"},
    {"x = 2 ** 3 ** 2", "512"},
    {"x = 2 ** -1", "0.5"},
    {"x = 10 / 4", "2.5"},
    {"x = -7 // 2", "-4"},
    {"x = -7 % 3", "2"},
    {"x = -(1 + 2) * +3", "-9"},
    {"x = True + True", "2"},
    {"x = None", "null"},
    {"x = not []", "true"},
    {"x = '' or 'd'", "\"d\""},
    {"x = 1 and 2 or 3", "2"},
    {"x = []", "[]"},
    {"x = [1, [2, (3,),],]", "[1, [2, [3]]]"},
    {"x = ()", "[]"},
    {"x = (1)", "1"},
    {"x = (1,)", "[1]"},
    {"x = 1,", "[1]"},
    {"x = 1, 2", "[1, 2]"},
    {"x = {}", "{}"},
    {"x = {'a': 1, 'b': {'c': 2,},}", "{\"a\": 1, \"b\": {\"c\": 2}}"},
    {"x = {'a': 1, 'a': 2}", "{\"a\": 2}"},
    {"x = {1, 2, 1}", "[1, 2]"},
    {"x = [1] + [2]", "[1, 2]"},
    {"x = 'a' 'b' \"c\"", "\"abc\""},
    {"x = 'a' + 'b'", "\"ab\""},
    {"x = ('a'\n  'b')", "\"ab\""},
    {"x = 'a' \\\n 'b'", "\"ab\""},
    {"x = '''a\nb'''", "\"a\\nb\""},
    {"x = '''a\r\nb'''", "\"a\\nb\""},
    {"x = \"\"\"a\"b\"\"\"", "\"a\\\"b\""},
    {"x = ''", "\"\""},
    {"x = r'\\d\\''", "\"\\\\d\\\\'\""},
    {"x = u'\\u00e9\\x41\\101\\n\\\n'", "\"\\u00e9AA\\n\""},
    {"x = '\\U0001F600\\q'", "\"\\ud83d\\ude00\\\\q\""},
    {"x = 'caf\xc3\xa9'", "\"caf\\u00e9\""},
    {"H = 'h'; P = 5\nx = f'{H}:{P}{{}}'", "\"h:5{}\""},
    {"x = f'a' 'b'", "\"ab\""},
    {"import os\nx = os.environ['CEL_PYREAD_T']", "\"set\""},
    {"import os\nx = os.environ.get('CEL_PYREAD_NO', 'd')", "\"d\""},
    {"import os\nx = os.environ.get('CEL_PYREAD_NO')", "null"},
    {"import os as o\nx = o.getenv('CEL_PYREAD_T')", "\"set\""},
    {"from os import environ\nx = environ['CEL_PYREAD_T']", "\"set\""},
    {"import os\nx = os.environ.get('CEL_PYREAD_T') or os.environ['CEL_PYREAD_NO']", "\"set\""},
    {"import os\nx = int(os.environ.get('CEL_PYREAD_NO', ' -4 '))", "-4"},
    {"x = int(3.9) + int('0') + int(True)", "4"},
    {"x = float('2') ", "2.0"},
    {"x = str(1.0) + str(2)", "\"1.02\""},
    {"x = bool('')", "false"},
    {"x = dict({'a': 1}, b=2)", "{\"a\": 1, \"b\": 2}"},
    {"x = list((1, 2)) + tuple()", "[1, 2]"},
    {"x = set([1, 1])", "[1]"},
    {"from datetime import timedelta\nx = timedelta(days=1)", "86400"},
    {"from datetime import timedelta\nx = timedelta(0, 0, 0, 500)", "0.5"},
    {"from datetime import timedelta as t\nx = t(hours=1) * 2", "7200"},
    {"import datetime\nx = datetime.timedelta(minutes=1.5)", "90"},
    {"from celery.schedules import crontab\nx = crontab(0, hour='*/2')",
     "{\"__class__\": \"crontab\", \"minute\": 0, \"hour\": \"*/2\"}"},
    {"import celery.schedules\nx = celery.schedules.crontab()", "{\"__class__\": \"crontab\"}"},
    {"from celery.schedules import solar\nx = solar('sunset', -37.5, lon=144.96)",
     "{\"__class__\": \"solar\", \"event\": \"sunset\", \"lat\": -37.5, \"lon\": 144.96}"},
    {"from celery.schedules import schedule\nfrom datetime import timedelta\n"
     "x = schedule(timedelta(minutes=1), relative=True)",
     "{\"__class__\": \"schedule\", \"run_every\": 60, \"relative\": true}"},
    {"from kombu import (Queue,\n Exchange,)\nx = Queue('a', Exchange('e'), 'k')",
     "{\"__class__\": \"Queue\", \"name\": \"a\", \"exchange\": {\"__class__\": \"Exchange\", "
     "\"name\": \"e\"}, \"routing_key\": \"k\"}"},
    {"import kombu\nx = kombu.Queue(name='q', durable=False)",
     "{\"__class__\": \"Queue\", \"name\": \"q\", \"durable\": false}"},
    {"from __future__ import unicode_literals, print_function\nx = 1", "1"},
    {"\xef\xbb\xbfx = 1", "1"},
    {"\n\n  # c\n\t\nx = 1\r\n", "1"},
    {"'doc'\npass\nx = 1", "1"},
    {"x = [1, # one\n  2 # two\n]", "[1, 2]"},
    {"caf\xc3\xa9 = 1; x = caf\xc3\xa9", "1"},
};

static void assignments_are_read(void **state)
{
    (void)state;
    setenv("CEL_PYREAD_T", "set", 1);
    unsetenv("CEL_PYREAD_NO");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        cel_pyfile file;
        cel_error err;
        if (read_copy(&file, taken[i].text, strlen(taken[i].text), &err) != CEL_OK)
            fail_msg("%s: %s", taken[i].text, err.message);
        json_t *want = json_loads(taken[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(want);
        if (!json_equal(value_of(&file, "x"), want))
            fail_msg("%s is not %s", taken[i].text, taken[i].json);
        json_decref(want);
        cel__pyfile_done(&file);
    }
}

static const struct {
    const char *text, *message;
} refused[] = {
    {"x = foo(1)", "1:5: a function call of 'foo' cannot be read: celeriac reads this file, it "
                   "does not execute it"},
    {"foo(1)", "1:1: a function call of 'foo' cannot be read"},
    {"x = 1\ny = [2,\n  bar('a')]", "3:3: a function call of 'bar'"},
    {"if x:\n  y = 1", "1:1: 'if' cannot be read: celeriac reads this file"},
    {"def f(): pass", "1:1: 'def' cannot be read"},
    {"class A: pass", "1:1: 'class' cannot be read"},
    {"for i in x: pass", "1:1: 'for' cannot be read"},
    {"try: pass", "1:1: 'try' cannot be read"},
    {"@a", "1:1: a decorator cannot be read"},
    {"x = lambda: 1", "1:5: 'lambda' cannot be read"},
    {"x = [1 for i in y]", "1:8: a comprehension cannot be read"},
    {"x = 1 if 2 else 3", "1:7: a conditional expression cannot be read"},
    {"x = 1 == 2", "1:7: the operator '==' cannot be read"},
    {"x = 1 << 2", "1:7: the operator '<<' cannot be read"},
    {"x = 1 in [1]", "1:7: 'in' cannot be read"},
    {"x = '%s' % 1", "1:10: formatting with % cannot be read"},
    {"x = '{}'.format(1)", "1:9: a method of a string, such as .format(), cannot be read"},
    {"x = f'{a.b}'", "1:7: an f-string may hold {name} only"},
    {"x = f'{y}'", "1:8: 'y' is not defined"},
    {"x = f'}'", "1:7: an f-string may hold"},
    {"x = y", "1:5: 'y' is not defined: neither assigned above nor imported"},
    {"x = Queue('a')", "1:5: a function call of 'Queue'"},
    {"x.y = 1", "1:2: only names can be assigned to, not parts of 'x'"},
    {"x['a'] = 1", "1:2: only names can be assigned to"},
    {"a, b = 1, 2", "1:2: an assignment to several names cannot be read"},
    {"x: int = 1", "1:2: an annotation cannot be read"},
    {"  x = 1", "1:3: this line must not be indented"},
    {"x = 1\n\ty = 2", "2:2: this line must not be indented"},
    {"x = (1", "1:7: ')' is expected, not the end of the file"},
    {"x = [1, 2)", "1:10: ',' or the closing bracket is expected, not ')'"},
    {"x = ", "1:5: a value is expected, not the end of the file"},
    {"x = *a", "1:5: a value is expected, not '*'"},
    {"x = 1 2", "1:7: the end of the line is expected, not '2'"},
    {"x", "1:2: '=' is expected, not the end of the file"},
    {"1", "1:1: an assignment is expected, not '1'"},
    {"None = 1", "1:1: nothing can be assigned to 'None'"},
    {"x = 'abc", "1:5: a string that is not closed"},
    {"x = 'a\nb'", "1:5: a string that is not closed"},
    {"x = '''abc", "1:5: a string that is not closed"},
    {"x = 'a\\", "1:5: a string that is not closed"},
    {"x = b'a'", "1:5: bytes cannot be a setting"},
    {"x = rb'a'", "1:5: bytes cannot be a setting"},
    {"x = ur'a'", "1:5: no such prefix of a string"},
    {"x = z'a'", "1:5: 'z' is no prefix of a string"},
    {"x = '\\x4'", "1:6: an escape of 2 hexadecimal digits"},
    {"x = 'ab\\ud800'", "1:8: an escape that is no character"},
    {"x = '\\N{DASH}'", "1:6: \\N{...} cannot be read"},
    {"x = '\xc3\xa9' + y", "1:11: 'y' is not defined"},
    {"x = '\xff'", "1:6: a byte that is no UTF-8"},
    {"x = 0777", "1:5: '0777' is no number"},
    {"x = 1__0", "1:5: '1__0' is no number"},
    {"x = 0x", "1:5: '0x' is no number"},
    {"x = 3j", "1:5: '3j' is no number"},
    {"x = 1e999", "1:5: '1e999' is no number"},
    {"x = 9223372036854775808", "1:5: an integer of more than 64 bits"},
    {"x = 2 ** 63", "1:7: an integer of more than 64 bits"},
    {"x = 9223372036854775807 + 1", "1:25: an integer of more than 64 bits"},
    {"x = 1 / 0", "1:7: division by zero"},
    {"x = 1e308 * 10", "1:11: a number that is too large"},
    {"x = -'a'", "1:5: '-' before a string"},
    {"x = 'a' + 1", "1:9: '+' between a string and a number"},
    {"x = 'a' * 3", "1:9: '*' between a string and a number"},
    {"x = {1: 2}", "1:6: the key of a dictionary must be a string"},
    {"x = {'a': 1, 2: 3}", "1:14: the key of a dictionary must be a string"},
    {"x = {'a' 1}", "1:10: ',' or the closing bracket"},
    {"import sys", "1:8: 'sys' cannot be imported"},
    {"from kombu import *", "1:19: a name is expected, not '*'"},
    {"from kombu import Connection", "1:19: 'kombu.Connection' cannot be imported"},
    {"from a.b import c", "1:6: 'a.b' cannot be imported"},
    {"import os\nx = os", "2:5: 'os' is no value"},
    {"import os\nx = os.path.join('a')", "2:8: 'os.path' cannot be read"},
    {"import os\nx = os.environ['CEL_PYREAD_NO']",
     "2:5: the environment variable CEL_PYREAD_NO is not set"},
    {"from kombu import Queue\nx = Queue('a', nope=1)", "2:5: Queue() has no argument 'nope'"},
    {"from kombu import Queue\nx = Queue('a', name='b')", "2:5: Queue() is given 'name' twice"},
    {"from kombu import Queue\nx = Queue(1, 2, 3, 4)", "2:5: Queue() takes 3 arguments by pos"},
    {"from kombu import Queue\nx = Queue(name='b', 'a')", "2:21: an argument by position"},
    {"from datetime import timedelta\nx = timedelta(days='a')",
     "2:5: timedelta(): 'days' is no"},
    {"x = int('a')", "1:5: int(): the string is no such number"},
    {"x = 1 \\ 2", "1:7: a backslash that ends no line"},
    {"x = 1 $", "1:7: the character '$' has no place here"},
    {"x = {[1], {}}", "1:6: a dictionary or an object cannot be a member of a set"},
    {"x = y = ", "1:9: a value is expected"},
    {"x &= 1", "1:1: 'x' is not defined"},
    {"x = 1; x &= 1", "1:10: the operator '&=' cannot be read"},
    {"x := 1", "1:3: '=' is expected"},
};

static void anything_else_is_refused_with_its_place(void **state)
{
    (void)state;
    unsetenv("CEL_PYREAD_NO");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cel_pyfile file;
        cel_error err;
        char want[200];
        snprintf(want, sizeof want, "c.py:%s", refused[i].message);
        if (read_copy(&file, refused[i].text, strlen(refused[i].text), &err) == CEL_OK)
            fail_msg("taken: %s", refused[i].text);
        assert_int_equal(err.code, CEL_ECONFIG);
        if (strncmp(err.message, want, strlen(want)) != 0)
            fail_msg("%s: %s", refused[i].text, err.message);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    cel_pyfile file;
    cel_error err;

    (void)state;
    assert_int_equal(read_copy(&file, "x = 1\0", 6, &err), CEL_ECONFIG);
    assert_string_equal(err.message, "c.py:1:6: a NUL byte");
}

static void places_and_uses_are_told(void **state)
{
    const char *text = "A = 1\nb = A; c = [\n2]\nA = 5\n";
    cel_pyfile file;

    (void)state;
    assert_int_equal(read_copy(&file, text, strlen(text), NULL), CEL_OK);
    assert_int_equal(file.count, 3);
    assert_string_equal(file.names[0].name, "A");
    assert_int_equal(file.names[0].line, 4);
    assert_true(file.names[0].used);
    assert_int_equal(file.names[2].line, 2);
    assert_int_equal(file.names[2].column, 8);
    assert_false(file.names[2].used);
    cel__pyfile_done(&file);
}

/* Fails with this message, for texts that are made. Frees `text`. */
static void assert_refused(char *text, const char *part)
{
    cel_pyfile file;
    cel_error err;

    assert_int_equal(read_copy(&file, text, strlen(text), &err), CEL_ECONFIG);
    if (!strstr(err.message, part))
        fail_msg("%s", err.message);
    free(text);
}

static char *repeat(const char *before, const char *piece, size_t count, const char *after)
{
    size_t len = strlen(piece), at = strlen(before);
    char *text = malloc(at + len * count + strlen(after) + 1);

    memcpy(text, before, at);
    for (size_t i = 0; i < count; i++, at += len)
        memcpy(text + at, piece, len);
    memcpy(text + at, after, strlen(after) + 1);
    return text;
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    assert_refused(repeat("x = ", "[", 5000, ""), "nested more than 64 deep");
    assert_refused(repeat("x = ", "-", 5000, "1"), "nested more than 64 deep");
    assert_refused(repeat("x = ", "not ", 5000, "1"), "nested more than 64 deep");
    assert_refused(repeat("x = ", "2**-", 5000, "1"), "nested more than 64 deep");
    assert_refused(repeat("", "x = ", 5000, "1"), "nested more than 64 deep");
    assert_refused(repeat("x = []\n", "x = [x]\n", 5000, ""), "nested more than 64 deep");
    assert_refused(repeat("x = [1]\n", "x = [x, x]\n", 40, ""), "more than 1000000 values");
    assert_refused(repeat("x = [1]\n", "x = x + x\n", 40, ""), "more than 1000000 values");
    assert_refused(repeat("x = 'abc'\n", "x += x\n", 40, ""), "a string of more than 1 MiB");
    assert_refused(repeat("x = 1", " ", 1 << 20, ""), "longer than 1 MiB");
    assert_refused(repeat("x = {", "1.5,", 2000, "}"), "a set of more than 1000 members");
}

static void many_names_and_statements_take_linear_time(void **state)
{
    cel_pyfile file;
    char *text = repeat("", "a=1;b=a;", 100000, "\n");

    (void)state;
    assert_int_equal(read_copy(&file, text, strlen(text), NULL), CEL_OK);
    assert_int_equal(file.count, 2);
    cel__pyfile_done(&file);
    free(text);
}

static char *load_sample(const char *name, size_t *len)
{
    char path[4096];
    char *text = malloc(65536);

    snprintf(path, sizeof path, "%s/%s", CEL_SAMPLES, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    *len = fread(text, 1, 65536, file);
    fclose(file);
    return text;
}

static const char *const samples[] = {"celeryconfig_old.py", "celeryconfig_new.py"};

static void every_truncation_of_a_file_is_harmless(void **state)
{
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        size_t len, good = 0;
        char *text = load_sample(samples[s], &len);
        for (size_t cut = 0; cut <= len; cut++) {
            cel_pyfile file;
            if (read_copy(&file, text, cut, NULL) == CEL_OK) {
                cel__pyfile_done(&file);
                good++;
            }
        }
        assert_true(good > 20 && good < len);
        free(text);
    }
}

static void mutations_of_a_file_are_harmless(void **state)
{
    static const char bytes[] = "()[]{}'\"\\,:=+-*/%#.\n\r\t 09aexf_\xc3\xff";
    uint32_t seed = 1;

    (void)state;
    for (size_t s = 0; s < 2; s++) {
        size_t len;
        char *text = load_sample(samples[s], &len);
        for (int round = 0; round < 1500; round++) {
            seed = seed * 1664525u + 1013904223u;
            size_t at = (seed >> 8) % len;
            char before = text[at];
            text[at] = bytes[(seed >> 3) % (sizeof bytes - 1)];
            cel_pyfile file;
            if (read_copy(&file, text, len, NULL) == CEL_OK)
                cel__pyfile_done(&file);
            if (round % 8 != 0)
                text[at] = before;
        }
        free(text);
    }
}

/* jansson's own allocations go through malloc() and cannot be made to fail here. */
static void without_memory_it_says_so(void **state)
{
    const char *text =
        "import os\na = 'x' + 'y'\nb = [a, {'c': 1.5}]\nd = os.environ.get('q')\n";

    (void)state;
    for (size_t n = 1;; n++) {
        cel_pyfile file;
        cel__mem_fail_at(n);
        cel_code code = read_copy(&file, text, strlen(text), NULL);
        cel__mem_fail_at(0);
        if (code == CEL_OK) {
            cel__pyfile_done(&file);
            assert_true(n > 5);
            break;
        }
        assert_true(n < 200);
    }
}

static void one_expression_is_a_value(void **state)
{
    json_t *value = NULL;
    cel_error err;

    (void)state;
    assert_int_equal(cel__pyread_value(&value, CEL_VIEW(" {'a': (60 * 60,)}\n"), NULL), CEL_OK);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(value, "a"), 0)), 3600);
    json_decref(value);
    assert_int_equal(cel__pyread_value(&value, CEL_VIEW("1 2"), &err), CEL_ECONFIG);
    assert_string_equal(err.message, "1:3: the end is expected, not '2'");
    assert_int_equal(cel__pyread_value(&value, CEL_VIEW(""), &err), CEL_ECONFIG);
    assert_int_equal(cel__pyread_value(&value, CEL_VIEW("int"), &err), CEL_ECONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_are_read),
        cmocka_unit_test(anything_else_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(places_and_uses_are_told),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(many_names_and_statements_take_linear_time),
        cmocka_unit_test(every_truncation_of_a_file_is_harmless),
        cmocka_unit_test(mutations_of_a_file_are_harmless),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(one_expression_is_a_value),
    };

    return cmocka_run_group_tests_name("pyread", tests, NULL, NULL);
}
