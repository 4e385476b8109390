/* pyread.h - reads Python files that only assign: a celeryconfig.py. It never executes
 * anything.
 *
 * What it takes: assignments (also `a = b = 1` and `a += 1`) of literals, lists, tuples,
 * sets, dictionaries, names assigned before; `+ - * / // % **` on numbers, `+` on strings and
 * lists, `or`, `and`, `not`; int(), float(), str(), bool(), dict(), list(), tuple(), set();
 * os.environ, os.getenv(); Queue, Exchange, binding, Broadcast; crontab, solar, schedule, timedelta; f-strings
 * with plain names; imports of just these. All else is an error that says where and what.
 * Values are JSON:
 *
 *     list, tuple, set       array (of a set, each member once)
 *     timedelta              number of seconds
 *     Queue, Exchange, ...   object with "__class__" and the arguments that were given, by name
 *
 * Bounded: CEL_PYREAD_MAX bytes, CEL_PYREAD_DEPTH levels, CEL_PYREAD_NODES values, where a
 * reference to a name counts as all that it holds. Any thread, as far as getenv() allows. */
#ifndef CEL_APP_PYREAD_H
#define CEL_APP_PYREAD_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "celeriac/error.h"
#include "core/view.h"

#define CEL_PYREAD_MAX   ((size_t)1 << 20)
#define CEL_PYREAD_DEPTH 64
#define CEL_PYREAD_NODES 1000000

/* One name that the file assigns, with its last value. */
typedef struct cel_pyname {
    char *name;          /* owned */
    json_t *value;       /* owned */
    size_t line, column; /* of the last assignment; from 1, columns in characters */
    bool used;           /* something later in the file refers to it */
} cel_pyname;

typedef struct cel_pyfile {
    cel_pyname *names; /* owned; in the order of first assignment */
    size_t count;
} cel_pyfile;

/* Reads `text`; `name` stands for the file in messages: CEL_ECONFIG "NAME:LINE:COLUMN: why".
 * The caller frees *out with cel__pyfile_done(). */
cel_code cel__pyread_file(cel_pyfile *out, const char *name, cel_view text, cel_error *err);
void cel__pyfile_done(cel_pyfile *file);

/* Reads one expression, such as "(60 * 60, 'x')", into a value owned by the caller.
 * CEL_ECONFIG: "LINE:COLUMN: why". */
cel_code cel__pyread_value(json_t **out, cel_view text, cel_error *err);

#endif
