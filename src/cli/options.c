/* options.c - see options.h. */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 128

static bool in_list(const char *list, const char *name, size_t len)
{
    while (list && *list) {
        size_t n = strcspn(list, ",");

        if (n == len && memcmp(list, name, len) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

static const cel_option *find_long(const cel_args *args, const char *name, size_t len)
{
    for (int t = 1; t >= 0; t--)
        for (const cel_option *option = args->tables[t]; option && option->name; option++)
            if ((strlen(option->name) == len && memcmp(option->name, name, len) == 0) ||
                in_list(option->alias, name, len))
                return option;
    return NULL;
}

static const cel_option *find_letter(const cel_args *args, char letter)
{
    for (int t = 1; t >= 0; t--)
        for (const cel_option *option = args->tables[t]; option && option->name; option++)
            if (option->letter == letter)
                return option;
    return NULL;
}

static bool is_number(const cel_option *option, const char *value)
{
    char *end;

    if (!*value)
        return false;
    errno = 0;
    if (option->type == CEL_OPTION_INT)
        (void)strtoll(value, &end, 10);
    else
        (void)strtod(value, &end);
    return errno == 0 && *end == '\0';
}

static cel_code
give(cel_args *args, const cel_option *option, const char *value, cel_error *err)
{
    if ((option->type == CEL_OPTION_INT || option->type == CEL_OPTION_FLOAT) &&
        !is_number(option, value))
        return cel_error_set(err, CEL_EINVAL,
                             "Invalid value for '--%s': '%s' is not a valid %s.", option->name,
                             value, option->type == CEL_OPTION_INT ? "integer" : "number");
    if (args->given_count == (int)(sizeof args->given / sizeof *args->given))
        return cel_error_set(err, CEL_EINVAL, "Too many options.");
    args->given[args->given_count].option = option;
    args->given[args->given_count++].value = value;
    return CEL_OK;
}

static cel_code unknown(const cel_args *args, const char *what, cel_error *err)
{
    const char *names[NAMES_MAX];
    const char *near;
    int count = 0;
    char name[64];

    for (int t = 0; t < 2; t++)
        for (const cel_option *option = args->tables[t];
             option && option->name && count < NAMES_MAX - 1; option++)
            names[count++] = option->name;
    names[count] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(what, "="), what);
    near = strncmp(name, "--", 2) == 0 ? cel__did_you_mean(name + 2, names) : NULL;
    if (near)
        return cel_error_set(err, CEL_EINVAL, "No such option: %s. Did you mean --%s?", name,
                             near);
    return cel_error_set(err, CEL_EINVAL, "No such option: %s", name);
}

static cel_code read_long(cel_args *args, int argc, char *const *argv, int *at, cel_error *err)
{
    const char *word = argv[*at] + 2;
    size_t len = strcspn(word, "=");
    const cel_option *option = find_long(args, word, len);

    if (!option)
        return unknown(args, argv[*at], err);
    if (option->type == CEL_OPTION_FLAG) {
        if (word[len])
            return cel_error_set(err, CEL_EINVAL, "Option '--%s' does not take a value.",
                                 option->name);
        return give(args, option, "1", err);
    }
    if (word[len])
        return give(args, option, word + len + 1, err);
    if (*at + 1 >= argc)
        return cel_error_set(err, CEL_EINVAL, "Option '--%s' requires an argument.",
                             option->name);
    return give(args, option, argv[++*at], err);
}

/* -c4, -c 4, -El info: flags may be run together, the last may take a value. */
static cel_code
read_letters(cel_args *args, int argc, char *const *argv, int *at, cel_error *err)
{
    for (const char *letter = argv[*at] + 1; *letter; letter++) {
        const cel_option *option = find_letter(args, *letter);
        cel_code code;

        if (!option)
            return cel_error_set(err, CEL_EINVAL, "No such option: -%c", *letter);
        if (option->type != CEL_OPTION_FLAG) {
            if (letter[1])
                return give(args, option, letter + 1 + (letter[1] == '='), err);
            if (*at + 1 >= argc)
                return cel_error_set(err, CEL_EINVAL, "Option '-%c' requires an argument.",
                                     *letter);
            return give(args, option, argv[++*at], err);
        }
        code = give(args, option, "1", err);
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

cel_code cel__args_read(
    cel_args *args, int argc, char *const *argv, int *at, bool stop_at_word, cel_error *err)
{
    bool only_words = false;

    for (; *at < argc; ++*at) {
        const char *word = argv[*at];
        cel_code code = CEL_OK;

        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(word, "--", 2) == 0) {
            code = read_long(args, argc, argv, at, err);
        } else if (!only_words && word[0] == '-' && word[1] &&
                   !isdigit((unsigned char)word[1])) {
            code = read_letters(args, argc, argv, at, err);
        } else {
            if (stop_at_word)
                return CEL_OK;
            if (args->word_count == CEL_WORDS_MAX)
                return cel_error_set(err, CEL_EINVAL, "Too many arguments.");
            args->words[args->word_count++] = word;
        }
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

static bool has(const cel_args *args, const cel_option *option)
{
    for (int i = 0; i < args->given_count; i++)
        if (args->given[i].option == option)
            return true;
    return false;
}

static const char *from_environment(const cel_option *option, const char *command)
{
    char name[96];
    const char *value = option->env ? getenv(option->env) : NULL;

    if (value || !command)
        return value;
    snprintf(name, sizeof name, "CELERY_%s_%s", command, option->name);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return getenv(name);
}

cel_code cel__args_environment(cel_args *args, const char *command, cel_error *err)
{
    for (int t = 0; t < 2; t++) {
        for (const cel_option *option = args->tables[t]; option && option->name; option++) {
            const char *value =
                has(args, option) ? NULL : from_environment(option, t == 1 ? command : NULL);
            cel_code code;

            if (!value || !*value ||
                (option->type == CEL_OPTION_FLAG && strcmp(value, "0") == 0))
                continue;
            code = give(args, option, value, err);
            if (code != CEL_OK)
                return code;
        }
    }
    return CEL_OK;
}

const char *cel__args_string(const cel_args *args, const char *name)
{
    for (int i = args->given_count - 1; i >= 0; i--) /* the last one wins */
        if (strcmp(args->given[i].option->name, name) == 0)
            return args->given[i].value;
    return NULL;
}

bool cel__args_flag(const cel_args *args, const char *name)
{
    return cel__args_string(args, name) != NULL;
}

int64_t cel__args_int(const cel_args *args, const char *name, int64_t otherwise)
{
    const char *value = cel__args_string(args, name);

    return value ? strtoll(value, NULL, 10) : otherwise;
}

double cel__args_float(const cel_args *args, const char *name, double otherwise)
{
    const char *value = cel__args_string(args, name);

    return value ? strtod(value, NULL) : otherwise;
}

/* Words wrapped at column 100 behind an indent of `column`. */
static void print_wrapped(FILE *to, const char *text, int column)
{
    int at = column;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (at > column && at + 1 + len > 100) {
            fprintf(to, "\n%*s", column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', to);
            at++;
        }
        fprintf(to, "%.*s", len, text);
        at += len;
        text += len + (text[len] == ' ');
    }
    fputc('\n', to);
}

void cel__options_print(FILE *to, const cel_option *options)
{
    for (const cel_option *option = options; option && option->name; option++) {
        char left[80];
        int len = 0;

        if (option->letter)
            len = snprintf(left, sizeof left, "-%c, ", option->letter);
        len += snprintf(left + len, sizeof left - (size_t)len, "--%s", option->name);
        if (option->metavar)
            snprintf(left + len, sizeof left - (size_t)len, " %s", option->metavar);
        fprintf(to, "  %-30s%s", left, strlen(left) > 29 ? "\n" : "");
        if (strlen(left) > 29)
            fprintf(to, "%32s", "");
        print_wrapped(to, option->help, 32);
    }
}

static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    size_t width = strlen(b);

    if (width >= 64 || strlen(a) >= 64)
        return 64;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t best = row[j] + 1;

            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (change < best)
                best = change;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[width];
}

const char *cel__did_you_mean(const char *typo, const char *const *words)
{
    const char *best = NULL;
    size_t near = strlen(typo) / 3 + 1;

    for (; *words; words++) {
        size_t d = distance(typo, *words);

        if (d <= near && (!best || d < distance(typo, best)))
            best = *words;
    }
    return best;
}
