/* render.c - a model comes from a worker, so from anyone: what is missing in it is empty or 0, and no
 * control character reaches the terminal or the page. */
#include "render.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

static bool is_wide(uint32_t cp)
{
    return (cp >= 0x1100 && cp <= 0x115F) || (cp >= 0x2E80 && cp <= 0x303E) ||
           (cp >= 0x3041 && cp <= 0xA4CF) || (cp >= 0xAC00 && cp <= 0xD7A3) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0xFE30 && cp <= 0xFE6F) ||
           (cp >= 0xFF00 && cp <= 0xFF60) || (cp >= 0xFFE0 && cp <= 0xFFE6) ||
           (cp >= 0x1F300 && cp <= 0x1FAFF) || (cp >= 0x20000 && cp <= 0x3FFFD);
}

static bool is_combining(uint32_t cp)
{
    return (cp >= 0x0300 && cp <= 0x036F) || (cp >= 0x200B && cp <= 0x200F) ||
           (cp >= 0xFE00 && cp <= 0xFE0F);
}

int hw_text_width(const char *text)
{
    size_t len = strlen(text);
    size_t at = 0;
    int width = 0;

    while (at < len) {
        uint32_t cp;
        size_t took = hw_utf8_decode((const unsigned char *)text + at, len - at, &cp);

        if (took == 0) {
            took = 1; /* a stray byte is one replacement character to the terminal */
            cp = 0xFFFD;
        }
        width += is_combining(cp) ? 0 : is_wide(cp) ? 2 : 1;
        at += took;
    }
    return width;
}

const json_t *hw_model_ranking(const json_t *ranking)
{
    const char *key;
    const json_t *value;

    json_object_foreach((json_t *)ranking, key, value)
    {
        if (strncmp(key, "top", 3) == 0 && json_is_array(value))
            return value;
    }
    return NULL;
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text_or_empty(const json_t *string)
{
    const char *text = json_string_value(string);

    return text ? text : "";
}

static const char *word_of(const json_t *place)
{
    return text_or_empty(json_array_get(place, 0));
}

static const char *date_of(const json_t *ranking)
{
    return text_or_empty(json_object_get(ranking, "date"));
}

static json_int_t count_of(const json_t *place)
{
    return json_integer_value(json_array_get(place, 1));
}

static json_int_t bad_records(const json_t *ranking)
{
    const char *kind;
    const json_t *bad;
    json_int_t sum = 0;

    json_object_foreach(json_object_get(ranking, "bad_records"), kind, bad) sum +=
        number(bad, "count");
    return sum;
}

/* How a line of text is written: in a terminal, in a page. */
struct style {
    const char *before, *after;
    void (*print)(FILE *to, const char *text);
};

/* True if a partition before `i` is of the same day. */
static bool is_repeated_day(const json_t *partitions, size_t i)
{
    const char *date = date_of(json_array_get(partitions, i));

    for (size_t k = 0; k < i; k++)
        if (strcmp(date_of(json_array_get(partitions, k)), date) == 0)
            return true;
    return false;
}

/* A line for each day with bad records. All partitions of a day report the same. */
static void print_bad(FILE *to, const json_t *partitions, const struct style *style)
{
    size_t i;
    const json_t *part;

    json_array_foreach(partitions, i, part)
    {
        const char *kind;
        const json_t *bad;
        const char *mark = ": ";

        if (bad_records(part) == 0 || is_repeated_day(partitions, i))
            continue;
        fprintf(to, "%sbad records of ", style->before);
        style->print(to, date_of(part));
        json_object_foreach(json_object_get(part, "bad_records"), kind, bad)
        {
            fputs(mark, to);
            style->print(to, kind);
            fprintf(to, " %" JSON_INTEGER_FORMAT " (first in line %" JSON_INTEGER_FORMAT ")",
                    number(bad, "count"), number(bad, "first_line"));
            mark = ", ";
        }
        fprintf(to, "%s\n", style->after);
    }
}

/* ---- terminal ---- */

void hw_print_clean(FILE *to, const char *text)
{
    const size_t len = strlen(text);
    size_t took;

    for (size_t at = 0; at < len; at += took) {
        uint32_t cp = 0;

        took = hw_utf8_decode((const unsigned char *)text + at, len - at, &cp);
        if (took > 0 && cp >= ' ' && (cp < 0x7F || cp >= 0xA0)) {
            fwrite(text + at, 1, took, to);
        } else {
            took = took ? took : 1;
            fputs("\xEF\xBF\xBD", to);
        }
    }
}

static void print_numbers(FILE *to, const json_t *ranking)
{
    fprintf(to,
            "%10" JSON_INTEGER_FORMAT "%10" JSON_INTEGER_FORMAT "%10" JSON_INTEGER_FORMAT
            "%10" JSON_INTEGER_FORMAT "%6" JSON_INTEGER_FORMAT "\n",
            number(ranking, "records"), number(ranking, "tokens"), number(ranking, "counted"),
            number(ranking, "distinct"), bad_records(ranking));
}

static void print_partitions(FILE *to, const json_t *model)
{
    const json_t *partitions = json_object_get(model, "partitions");
    size_t i;
    const json_t *part;

    fprintf(to, "%-10s%12s%10s%10s%10s%10s%6s\n", "day", "levels", "records", "tokens", "words",
            "distinct", "bad");
    json_array_foreach(partitions, i, part)
    {
        char levels[48];

        snprintf(levels, sizeof levels, "%" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT,
                 number(part, "level_lo"), number(part, "level_hi"));
        hw_print_clean(to, date_of(part));
        fprintf(to, "%*s", 22 - hw_text_width(date_of(part)), levels);
        print_numbers(to, part);
    }
    fprintf(to, "%-22s", "all");
    print_numbers(to, json_object_get(model, "merged"));
    print_bad(to, partitions, &(struct style){"", "", hw_print_clean});
    fputc('\n', to);
}

/* How long a bar is, from 0 to 1. */
static double share_of(json_int_t count, json_int_t most)
{
    if (count <= 0 || most <= 0)
        return 0;
    return count < most ? (double)count / (double)most : 1;
}

/* A bar of `width` columns at most, to an eighth of a column; what there is is seen. */
static void print_bar(FILE *to, json_int_t count, json_int_t most, int width)
{
    int64_t steps = (int64_t)(share_of(count, most) * width * 8);

    if (steps == 0 && count > 0)
        steps = 1;
    for (int64_t i = 0; i < steps / 8; i++)
        fputs("█", to);
    fputs(eighths[steps % 8], to);
}

void hw_render_text(FILE *to, const json_t *model, int columns, bool color)
{
    const json_t *ranking = hw_model_ranking(json_object_get(model, "merged"));
    json_int_t most = count_of(json_array_get(ranking, 0));
    int widest = 4;
    int bar;
    size_t i;
    const json_t *place;

    print_partitions(to, model);
    json_array_foreach(ranking, i, place)
    {
        int width = hw_text_width(word_of(place));

        if (width > widest)
            widest = width > 24 ? 24 : width;
    }
    bar = columns - widest - 18;
    if (bar < 10)
        bar = 10;
    json_array_foreach(ranking, i, place)
    {
        const char *word = word_of(place);
        int pad = widest - hw_text_width(word);

        fprintf(to, "%5zu  ", i + 1);
        hw_print_clean(to, word);
        fprintf(to, "%*s%9" JSON_INTEGER_FORMAT "  ", pad > 0 ? pad : 0, "", count_of(place));
        fputs(color ? "\033[36m" : "", to);
        print_bar(to, count_of(place), most, bar);
        fputs(color ? "\033[0m\n" : "\n", to);
    }
    if (json_array_size(ranking) == 0)
        fputs("no words were found\n", to);
}

/* ---- page ---- */

static void print_escaped(FILE *to, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            if ((unsigned char)*text >= ' ' && *text != 0x7F)
                fputc(*text, to);
        }
    }
}

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>Hot "
    "words</title>\n<style>\n"
    ":root { color-scheme: light dark; --text: #1d2330; --soft: #667085; --bar: #2f7fd1; "
    "--line: #d8dde6; --back: #fff; }\n"
    "@media (prefers-color-scheme: dark) { :root { --text: #e6e9f0; --soft: #98a2b3; --bar: "
    "#5aa7f0; --line: #343b4a; "
    "--back: #14171f; } }\n"
    "body { font: 16px/1.5 system-ui, 'Noto Sans CJK SC', sans-serif; color: var(--text); "
    "background: var(--back); "
    "max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }\n"
    "h1 { font-size: 1.6rem; margin: 0 0 .25rem; }\nh2 { font-size: 1.15rem; margin: 2rem 0 "
    ".5rem; }\n"
    "p { color: var(--soft); margin: 0 0 1rem; }\n"
    "svg { width: 100%; height: auto; }\nsvg text { fill: var(--text); font-size: 14px; }\n"
    "svg .count, svg .place { fill: var(--soft); }\nsvg rect { fill: var(--bar); }\n"
    ".table { overflow-x: auto; }\ntable { border-collapse: collapse; width: 100%; }\n"
    "th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); "
    "white-space: nowrap; }\n"
    "th:first-child, td:first-child { text-align: left; }\nth { color: var(--soft); "
    "font-weight: 600; }\n"
    "</style>\n</head>\n<body>\n";

/* A word of more columns than there is room for is drawn narrower. */
#define PAGE_WORD_COLUMNS 18
static const char squeezed[] = " textLength=\"145\" lengthAdjust=\"spacingAndGlyphs\"";

static void print_picture(FILE *to, const json_t *ranking)
{
    json_int_t most = count_of(json_array_get(ranking, 0));
    size_t places = json_array_size(ranking);
    size_t i;
    const json_t *place;

    fprintf(to,
            "<svg viewBox=\"0 0 800 %zu\" role=\"img\" lang=\"zh-Hans\" aria-label=\"The "
            "ranking as bars\">\n",
            places * 26 + 8);
    json_array_foreach(ranking, i, place)
    {
        double width = 520 * share_of(count_of(place), most);
        size_t y = i * 26 + 4;

        fputs("<g><title>", to);
        print_escaped(to, word_of(place));
        fprintf(to, ": %" JSON_INTEGER_FORMAT "</title>", count_of(place));
        fprintf(to, "<text class=\"place\" x=\"34\" y=\"%zu\" text-anchor=\"end\">%zu</text>",
                y + 16, i + 1);
        fprintf(to, "<text x=\"190\" y=\"%zu\" text-anchor=\"end\"%s>", y + 16,
                hw_text_width(word_of(place)) > PAGE_WORD_COLUMNS ? squeezed : "");
        print_escaped(to, word_of(place));
        fprintf(to,
                "</text><rect x=\"200\" y=\"%zu\" width=\"%.1f\" height=\"20\" rx=\"3\"/>"
                "<text class=\"count\" x=\"%.1f\" y=\"%zu\">%" JSON_INTEGER_FORMAT
                "</text></g>\n",
                y, width, 208 + width, y + 16, count_of(place));
    }
    fputs("</svg>\n", to);
}

static void print_row(FILE *to, const json_t *part)
{
    static const char *const columns[] = {"records", "tokens", "counted", "distinct"};

    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        fprintf(to, "<td>%" JSON_INTEGER_FORMAT "</td>", number(part, columns[i]));
    fprintf(to, "<td>%" JSON_INTEGER_FORMAT "</td></tr>\n", bad_records(part));
}

void hw_render_html(FILE *to, const json_t *model)
{
    const json_t *merged = json_object_get(model, "merged");
    const json_t *partitions = json_object_get(model, "partitions");
    size_t i;
    const json_t *part;

    fputs(page_head, to);
    fprintf(to,
            "<h1>Hot words</h1>\n<p>%" JSON_INTEGER_FORMAT
            " chat records in %zu partitions, %" JSON_INTEGER_FORMAT " different words.</p>\n",
            number(merged, "records"), json_array_size(partitions), number(merged, "distinct"));
    print_picture(to, hw_model_ranking(merged));
    fputs("<h2>Partitions</h2>\n<div "
          "class=\"table\"><table>\n<tr><th>day</th><th>levels</th><th>records</th>"
          "<th>tokens</th><th>words</th><th>distinct</th><th>bad</th></tr>\n",
          to);
    json_array_foreach(partitions, i, part)
    {
        fputs("<tr><td>", to);
        print_escaped(to, date_of(part));
        fprintf(to, "</td><td>%" JSON_INTEGER_FORMAT "–%" JSON_INTEGER_FORMAT "</td>",
                number(part, "level_lo"), number(part, "level_hi"));
        print_row(to, part);
    }
    fputs("<tr><td>all</td><td></td>", to);
    print_row(to, merged);
    fputs("</table></div>\n", to);
    print_bad(to, partitions, &(struct style){"<p>", "</p>", print_escaped});
    fputs("</body>\n</html>\n", to);
}
