/* excname.h - where an exception of a given name lives in Python. Pure. */
#ifndef CEL_APP_EXCNAME_H
#define CEL_APP_EXCNAME_H

#include <stdbool.h>

#include "core/view.h"

/* Splits the name a task raises into class and module, views of the arguments or of literals: "game.errors.NoSuchDay"
 * at its last dot; a built-in exception has the module `builtins`, those of Celery, billiard and kombu have
 * theirs; any other is taken to live where the task does: before the last dot of `task`. */
void cel__exception_name(cel_view *type, cel_view *module, cel_view name, cel_view task);

/* Whether `throws` (comma-separated names, dotted or not; NULL: none) names the exception, or a built-in class that it
 * descends from: KeyError is a LookupError, and all that a task raises is an Exception. */
bool cel__exception_listed(const char *throws, cel_view type, cel_view module);

#endif
