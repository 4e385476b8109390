/* options.h - command lines from tables: parsing, help, man page and completions follow from them. */
#ifndef CEL_CLI_OPTIONS_H
#define CEL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "celeriac/error.h"

typedef enum cel_option_type {
    CEL_OPTION_FLAG, /* takes no value */
    CEL_OPTION_STRING,
    CEL_OPTION_INT,
    CEL_OPTION_FLOAT,
} cel_option_type;

/* One option. Tables end with a line without name. */
typedef struct cel_option {
    const char *name;  /* "concurrency": the long form, and the key to ask by */
    char letter;       /* 'c'; '\0': none */
    const char *alias; /* other long forms, comma-separated; may be NULL */
    cel_option_type type;
    const char *metavar; /* "N" */
    const char *
        env; /* environment variable that gives a default; may be NULL (CELERY_<COMMAND>_<NAME> always does) */
    const char *help;
} cel_option;

struct cel_cli;
struct cel_args;

/* What may stand as a command's first word. */
typedef struct cel_word {
    const char *name;
    const char *synopsis; /* what stands behind it; NULL: nothing */
    const char *summary;
} cel_word;

/* One sub-command. */
typedef struct cel_command {
    const char *name;
    const char *synopsis; /* what stands behind the options: "NAME" */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs; may be NULL */
    const cel_option *options;
    int min_words, max_words; /* positional words; -1: any number; CEL_WORDS_RAW */
    int (*run)(struct cel_cli *cli, const struct cel_args *args); /* returns the exit status */
} cel_command;

#define CEL_WORDS_MAX 256
#define CEL_WORDS_RAW (-2) /* the command reads what stands behind its name itself; its options are for help only */

/* What was read. Values are views of argv or the environment. */
typedef struct cel_args {
    const cel_option *tables[2]; /* where options were looked for: global, the command's */
    struct {
        const cel_option *option;
        const char *value;
    } given[64];
    int given_count;
    const char *words[CEL_WORDS_MAX];
    int word_count;
} cel_args;

/* Reads argv from *at on into `args`, which is zeroed but for `tables`. Stops at the first word if `stop_at_word` (the name of the command).
 * CEL_EINVAL with a message for the user. */
cel_code cel__args_read(
    cel_args *args, int argc, char *const *argv, int *at, bool stop_at_word, cel_error *err);

/* Fills in from the environment what was not given: the option's own variable and CELERY_<command>_<NAME>. Values are checked. */
cel_code cel__args_environment(cel_args *args, const char *command, cel_error *err);

const char *cel__args_string(const cel_args *args, const char *name); /* NULL: not given */
bool cel__args_flag(const cel_args *args, const char *name);
int64_t cel__args_int(const cel_args *args, const char *name, int64_t otherwise);
double cel__args_float(const cel_args *args, const char *name, double otherwise);

/* Prints a table's options as help shows them. */
void cel__options_print(FILE *to, const cel_option *options);

/* The word of `words` (NULL-terminated) that `typo` is likely to mean, or NULL. */
const char *cel__did_you_mean(const char *typo, const char *const *words);

#endif
