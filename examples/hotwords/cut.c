/* cut.c - the program hotwords-cut: JSON strings in, one a line; JSON arrays of tokens out. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "dict.h"
#include "segment.h"
#include "userdict.h"

#ifndef HW_VERSION
#error "HW_VERSION must be the version of the program"
#endif

static const char usage[] =
    "usage: hotwords-cut [--no-hmm | --all | --search] [--user-dict FILE]\n"
    "\n"
    "Reads JSON strings from standard input, one a line, and cuts each into words exactly as\n"
    "python jieba 0.42.1 does. Writes the tokens of each as one line, a JSON array. A line "
    "that is\n"
    "no JSON string gives an error and no output; the exit status is then 1.\n"
    "\n"
    "  --no-hmm          use the dictionary only, do not guess unknown words\n"
    "  --all             give every word that can be seen in the text\n"
    "  --search          give long words also in parts, for a search engine\n"
    "  --user-dict FILE  add words: lines of `word [frequency] [tag]`\n"
    "  --help            show this help\n"
    "  --version         show the version\n"
    "\n"
    "The dictionary is the file that the environment variable HOTWORDS_DICT names, or\n"
    "hotwords.dict beside this program, or the installed one.\n";

struct options {
    hw_mode mode;
    const char *user_dict; /* NULL: none */
};

static void complain(const char *message)
{
    fprintf(stderr, "hotwords-cut: %s\n", message);
}

/* True if there is something to do. Otherwise *status is what to exit with. */
static bool parse_options(struct options *options, int argc, char **argv, int *status)
{
    bool mode_given = false;

    *status = 0;
    for (int i = 1; i < argc; i++) {
        hw_mode mode = HW_MODE_EXACT;

        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return false;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("hotwords-cut " HW_VERSION);
            return false;
        }
        if (strcmp(argv[i], "--user-dict") == 0 && i + 1 < argc) {
            options->user_dict = argv[++i];
            continue;
        }
        if (strncmp(argv[i], "--user-dict=", 12) == 0) {
            options->user_dict = argv[i] + 12;
            continue;
        }
        if (strcmp(argv[i], "--no-hmm") == 0)
            mode = HW_MODE_NO_HMM;
        else if (strcmp(argv[i], "--all") == 0)
            mode = HW_MODE_ALL;
        else if (strcmp(argv[i], "--search") == 0)
            mode = HW_MODE_SEARCH;
        if (mode == HW_MODE_EXACT || mode_given) {
            fputs(usage, stderr);
            *status = 2;
            return false;
        }
        options->mode = mode;
        mode_given = true;
    }
    return true;
}

/* Writes the tokens of one line, a JSON text. False, with *err filled in, if it is none. */
static bool
cut_line(hw_segmenter *seg, hw_mode mode, const char *line, size_t len, hw_error *err)
{
    json_error_t why;
    json_t *text = json_loadb(line, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    json_t *array = json_array();
    const hw_token *tokens;
    size_t count;
    hw_code code = HW_OK;

    if (!text || !array)
        code = hw_fail(err, HW_EFORMAT, "no JSON: %s", text ? "out of memory" : why.text);
    else if (!json_is_string(text))
        code = hw_fail(err, HW_EFORMAT, "the line is no JSON string");
    if (code == HW_OK)
        code = hw_cut(seg, mode, json_string_value(text), json_string_length(text), &tokens,
                      &count, err);
    for (size_t i = 0; code == HW_OK && i < count; i++)
        if (json_array_append_new(array, json_stringn_nocheck(tokens[i].bytes, tokens[i].len)))
            code = hw_fail_memory(err);
    if (code == HW_OK && (json_dumpf(array, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF))
        code = hw_fail(err, HW_EIO, "cannot write: %s", strerror(errno));
    json_decref(array);
    json_decref(text);
    return code == HW_OK;
}

static int cut_lines(hw_segmenter *seg, hw_mode mode)
{
    char *line = NULL;
    size_t cap = 0;
    unsigned long number = 0;
    int status = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) >= 0) {
        hw_error err;

        number++;
        if (cut_line(seg, mode, line, (size_t)len, &err))
            continue;
        fprintf(stderr, "hotwords-cut: line %lu: %s\n", number, err.message);
        status = 1;
        if (err.code == HW_EIO)
            break;
    }
    if (ferror(stdin) || fflush(stdout) != 0) {
        complain(ferror(stdin) ? "cannot read standard input" : "cannot write");
        status = 1;
    }
    free(line);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {HW_MODE_EXACT, NULL};
    hw_dict *dict = NULL;
    hw_userdict *user = NULL;
    hw_segmenter *seg = NULL;
    hw_error err;
    hw_code code;
    int status;

    if (!parse_options(&options, argc, argv, &status))
        return status;
    code = hw_dict_open_default(&dict, &err);
    if (code == HW_OK && options.user_dict) {
        code = hw_userdict_new(&user, dict, &err);
        if (code == HW_OK)
            code = hw_userdict_load(user, options.user_dict, &err);
    }
    if (code == HW_OK)
        code = hw_segmenter_new(&seg, dict, user, &err);
    if (code == HW_OK) {
        status = cut_lines(seg, options.mode);
    } else {
        complain(err.message);
        status = 1;
    }
    hw_segmenter_free(seg);
    hw_userdict_free(user);
    hw_dict_close(dict);
    return status;
}
