/* place.h - where the files of this example are when nobody says so. */
#ifndef HW_PLACE_H
#define HW_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the file or folder `name` beside the shared object that holds this code, or else beside the
 * program, or else in the installed folder, and writes its path to `path`. False: it is in none of
 * them; `path` then holds the last place, cut to what fits. */
bool hw_place_find(char *path, size_t size, const char *name);

#endif
