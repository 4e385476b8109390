/* render.h - the ranking as people look at it: in a terminal, and as a page. */
#ifndef HW_RENDER_H
#define HW_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* How many columns a terminal gives the text: two for a wide character (CJK, kana, Hangul, full-width
 * forms, emoji), none for a combining one. */
int hw_text_width(const char *text);

/* Prints the text with U+FFFD for every control character and stray byte. */
void hw_print_clean(FILE *to, const char *text);

/* Prints the partitions and the merged ranking of make_model()'s result. `columns` is the terminal's
 * width. */
void hw_render_text(FILE *to, const json_t *model, int columns, bool color);

/* Writes a page that stands alone: no other file, no script. */
void hw_render_html(FILE *to, const json_t *model);

/* Returns the list topN of `ranking`, [[word, count], ...]; borrowed, NULL if there is none. */
const json_t *hw_model_ranking(const json_t *ranking);

#endif
