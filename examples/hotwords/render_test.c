/* render_test.c - the ranking in a terminal and as a page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render.h"
#include "test_support.h"

#define CYAN  "\033[36m"
#define RESET "\033[0m"

/* Two days' counts; the second has bad records. */
static const char model_text[] =
    "{\"partitions\": [{\"date\": \"20200406\", \"level_lo\": 1, \"level_hi\": 450,"
    " \"records\": 12, \"tokens\": 90, \"counted\": 40, \"distinct\": 3, \"top3\": []},"
    " {\"date\": \"20200407\", \"level_lo\": 1, \"level_hi\": 450, \"records\": 5,"
    " \"tokens\": 9, \"counted\": 4, \"distinct\": 2, \"bad_records\":"
    " {\"broken_json\": {\"count\": 2, \"first_line\": 17}}},"
    " {\"date\": \"20200407\", \"level_lo\": 451, \"level_hi\": 900, \"records\": 5,"
    " \"tokens\": 9, \"counted\": 4, \"distinct\": 2, \"bad_records\":"
    " {\"broken_json\": {\"count\": 2, \"first_line\": 17}}}],"
    " \"merged\": {\"records\": 22, \"tokens\": 108, \"counted\": 48, \"distinct\": 4,"
    " \"bad_records\": {\"broken_json\": {\"count\": 2, \"first_line\": 17}},"
    " \"top3\": [[\"哈哈\", 16], [\"R&D\", 8], [\"a<b>\\\"\", 1]]}}";

/* Renders as text (columns > 0) or as a page; the caller frees the string. */
static char *render(const json_t *model, int columns, bool color)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    assert_non_null(to);
    if (columns > 0)
        hw_render_text(to, model, columns, color);
    else
        hw_render_html(to, model);
    assert_int_equal(fclose(to), 0);
    return text;
}

static char *render_sample(int columns, bool color)
{
    json_t *model = json_loads(model_text, 0, NULL);
    char *text;

    assert_non_null(model);
    text = render(model, columns, color);
    json_decref(model);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (text && strstr(text, part))
        return;
    print_error("'%s' is not in:\n%s\n", part, text ? text : "(nothing)");
    fail();
}

static size_t count_of_text(const char *text, const char *part)
{
    size_t n = 0;

    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    assert_int_equal(hw_text_width(""), 0);
    assert_int_equal(hw_text_width("abc"), 3);
    assert_int_equal(hw_text_width("你好"), 4);
    assert_int_equal(hw_text_width("a你b"), 4);
    assert_int_equal(hw_text_width("Ａ！"), 4);
    assert_int_equal(hw_text_width("カナ한"), 6);
    assert_int_equal(hw_text_width("😀"), 2);
    assert_int_equal(hw_text_width("é"), 1);
    assert_int_equal(hw_text_width("e\xCC\x81"), 1); /* a combining accent */
    assert_int_equal(hw_text_width("\xFF\xFE"), 2);  /* two stray bytes */
}

static void words_of_any_width_are_aligned(void **state)
{
    char *text = render_sample(80, false);

    (void)state;
    assert_has(text, "\n    1  哈哈        16  █");
    assert_has(text, "\n    2  R&D          8  █");
    assert_has(text, "\n    3  a<b>\"        1  █");
    free(text);
}

static void bars_are_as_long_as_their_counts_say(void **state)
{
    char *text = render_sample(33, false); /* leaves ten columns for the bars */

    (void)state;
    assert_has(text, "  16  ██████████\n");
    assert_has(text, "  8  █████\n");
    assert_has(text, "  1  ▋\n"); /* 10 / 16 of a column, in eighths */
    free(text);
}

static void even_a_narrow_terminal_gets_bars(void **state)
{
    char *text = render_sample(1, false);

    (void)state;
    assert_has(text, "  16  ██████████\n");
    free(text);
}

static void colour_is_used_only_when_asked_for(void **state)
{
    char *plain = render_sample(80, false), *coloured = render_sample(80, true);

    (void)state;
    assert_null(strchr(plain, '\033'));
    assert_int_equal(count_of_text(coloured, CYAN "█"), 3);
    assert_int_equal(count_of_text(coloured, RESET "\n"), 3);
    free(plain);
    free(coloured);
}

static void partitions_are_a_table_and_bad_days_are_explained_once(void **state)
{
    char *text = render_sample(80, false);

    (void)state;
    assert_has(text, "20200406         1-450        12        90        40         3     0\n");
    assert_has(text, "20200407       451-900         5         9         4         2     2\n");
    assert_has(text, "all                           22       108        48         4     2\n"
                     "bad records of 20200407: broken_json 2 (first in line 17)\n\n");
    assert_int_equal(count_of_text(text, "bad records of"), 1);
    free(text);
}

static void control_characters_reach_no_terminal(void **state)
{
    json_t *model = json_pack("{s:[{s:s}], s:{s:[[s,i]]}}", "partitions", "date", "\033[2J",
                              "merged", "top1", "a\033]0;x\007b\xC2\x9B", 1);
    char *text = render(model, 80, false);

    (void)state;
    assert_null(strchr(text, '\033'));
    assert_null(strchr(text, '\007'));
    assert_has(text, "a\xEF\xBF\xBD]0;x\xEF\xBF\xBD"
                     "b\xEF\xBF\xBD");
    free(text);
    text = render(model, 0, false);
    assert_null(strchr(text, '\033'));
    assert_has(text, "a]0;xb");
    free(text);
    json_decref(model);
}

static void a_page_escapes_what_it_shows(void **state)
{
    char *page = render_sample(0, false);

    (void)state;
    assert_has(page, ">R&amp;D</text>");
    assert_has(page, ">a&lt;b&gt;&quot;</text>");
    assert_has(page, ">哈哈</text>");
    assert_int_equal(count_of_text(page, "<rect "), 3);
    assert_has(page, "width=\"520.0\"");
    assert_has(page, "width=\"260.0\"");
    assert_has(page, "<p>bad records of 20200407: broken_json 2 (first in line 17)</p>");
    assert_null(strstr(page, "a<b>"));
    free(page);
}

/* Every tag is closed in its turn; how a browser that is strict would read it. */
static void assert_balanced(const char *page)
{
    char stack[64][16];
    size_t depth = 0;

    for (const char *at = strchr(page, '<'); at; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        size_t len = strcspn(at + 1, " >/");
        const bool closes = at[1] == '/';

        assert_non_null(end);
        if (at[1] == '!' || end[-1] == '/')
            continue;
        if (closes)
            len = strcspn(at + 2, " >");
        assert_true(len > 0 && len < sizeof stack[0] && depth < 64);
        if (!closes) {
            snprintf(stack[depth++], sizeof stack[0], "%.*s", (int)len, at + 1);
            continue;
        }
        assert_true(depth > 0);
        depth--;
        assert_int_equal(strlen(stack[depth]), len);
        assert_memory_equal(stack[depth], at + 2, len);
    }
    assert_int_equal(depth, 0);
}

static void a_page_is_well_formed_and_stands_alone(void **state)
{
    char *page = render_sample(0, false);

    (void)state;
    assert_balanced(page);
    assert_has(page, "<!DOCTYPE html>\n<html lang=\"en\">");
    assert_has(page, "charset=\"utf-8\"");
    assert_has(page, "prefers-color-scheme: dark");
    assert_null(strstr(page, "http"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "url("));
    free(page);
}

static void a_model_without_words_or_of_another_kind_is_rendered(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "{\"partitions\": 1, \"merged\": []}",
        "{\"partitions\": [null, {\"date\": 5}], \"merged\": {\"top2\": [1, [], [2, 3]]}}",
        "{\"partitions\": [], \"merged\": {\"top2\": [[\"a\", -5], [\"b\", 7]]}}",
        "{\"merged\": {\"top2\": [[\"a\", 1], [\"b\", 9223372036854775807]]}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *model = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        char *text, *page;

        assert_non_null(model);
        text = render(model, 80, true);
        page = render(model, 0, false);
        assert_has(text, i < 4 ? "no words were found\n" : "  1  ");
        assert_balanced(page);
        free(text);
        free(page);
        json_decref(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(words_of_any_width_are_aligned),
        cmocka_unit_test(bars_are_as_long_as_their_counts_say),
        cmocka_unit_test(even_a_narrow_terminal_gets_bars),
        cmocka_unit_test(colour_is_used_only_when_asked_for),
        cmocka_unit_test(partitions_are_a_table_and_bad_days_are_explained_once),
        cmocka_unit_test(control_characters_reach_no_terminal),
        cmocka_unit_test(a_page_escapes_what_it_shows),
        cmocka_unit_test(a_page_is_well_formed_and_stands_alone),
        cmocka_unit_test(a_model_without_words_or_of_another_kind_is_rendered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
