/* man.h - the manual page and the shell completions, made from the tables. */
#ifndef CEL_CLI_MAN_H
#define CEL_CLI_MAN_H

#include <stdbool.h>
#include <stdio.h>

/* Prints celeriac(1) as roff. */
void cel__man_print(FILE *to);

/* Prints completions for "bash", "zsh" or "fish"; false for another shell. */
bool cel__completion_print(FILE *to, const char *shell);

#endif
