/* pyintern.h - what the parts of the reader of Python files share. See pyread.h.
 *
 * pylex.c tokens, strings, numbers; pyvalue.c operators; pycall.c imports, constructors,
 * os.environ; pyread.c expressions and statements. The first failure sticks: functions return
 * false or NULL after cel__py_fail(), and everybody unwinds. */
#ifndef CEL_APP_PYINTERN_H
#define CEL_APP_PYINTERN_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "app/pyread.h"
#include "core/buf.h"

/* Ends the messages about what would have to be run. */
#define CEL_PY_NOT_EXECUTED "celeriac reads this file, it does not execute it"
#define CEL_PY_STRING_MAX   ((size_t)1 << 20)

typedef enum cel_pykind {
    CEL_PY_END,
    CEL_PY_NEWLINE,
    CEL_PY_NAME,
    CEL_PY_NUMBER,
    CEL_PY_STRING,
    CEL_PY_OP,
} cel_pykind;

/* A token: a view into the text. A string's includes prefix and quotes. */
typedef struct cel_pytoken {
    cel_pykind kind;
    size_t at; /* offset into the text */
    cel_view text;
} cel_pytoken;

/* Something that can be imported or is built in. */
typedef enum cel_pysymbol_kind {
    CEL_PY_MODULE,
    CEL_PY_ENVIRON, /* os.environ */
    CEL_PY_GETENV,  /* os.getenv, os.environ.get */
    CEL_PY_OBJECT,  /* a constructor whose object is kept with its arguments */
    CEL_PY_TIMEDELTA,
    CEL_PY_INT,
    CEL_PY_FLOAT,
    CEL_PY_STR,
    CEL_PY_BOOL,
    CEL_PY_DICT,
    CEL_PY_LIST, /* list, tuple */
    CEL_PY_SET,
} cel_pysymbol_kind;

typedef struct cel_pysymbol {
    const char *path; /* "kombu.Queue" */
    cel_pysymbol_kind kind;
    const char *params;  /* constructors: names in their order, separated by spaces */
    unsigned positional; /* how many of them may be given by position */
} cel_pysymbol;

/* A value while it is read: JSON, or a symbol. */
typedef struct cel_pyvalue {
    json_t *json; /* owned by whoever holds the value; NULL for a symbol and after a failure */
    const cel_pysymbol *symbol; /* NULL for a value */
    size_t depth;               /* levels of containers in it; 0 for a scalar */
} cel_pyvalue;

typedef struct cel_py cel_py;
struct cel_py {
    cel_view text;
    size_t at;         /* where the next token is looked for */
    unsigned brackets; /* open ones: newlines do not count inside */
    cel_pytoken token; /* the one that is looked at */
    unsigned depth;    /* of recursion */
    unsigned
        unused; /* > 0 inside the operand of `or` or `and` that Python would not evaluate */
    size_t line, column;    /* of the statement that is read */
    size_t counted;         /* bytes that these have counted */
    size_t nodes;           /* values made so far, see CEL_PYREAD_NODES */
    struct cel_pyvar *vars; /* hash table by name */
    bool failed;
    cel_code code;
    size_t failed_at;
    char message[200];
};

/* Remembers the first failure, at an offset into the text. Returns false. */
bool cel__py_fail(cel_py *py, size_t at, const char *fmt, ...) CEL_PRINTF(3, 4);
bool cel__py_nomem(cel_py *py);

/* Moves to the next token. False after a failure. */
bool cel__py_next(cel_py *py);

/* Moves over blank lines and comments to the first token of a statement; refuses indentation. */
bool cel__py_next_line(cel_py *py);

/* Line and column of an offset, from 1, columns in characters. */
void cel__py_position(cel_view text, size_t at, size_t *line, size_t *column);

static inline bool cel__py_is_op(const cel_py *py, const char *op)
{
    return py->token.kind == CEL_PY_OP && cel__view_is(py->token.text, op);
}

static inline bool cel__py_is_word(const cel_py *py, const char *word)
{
    return py->token.kind == CEL_PY_NAME && cel__view_is(py->token.text, word);
}

/* Counts `count` more values; false if these are too many. */
bool cel__py_count(cel_py *py, size_t at, size_t count);

/* The value of a number token, a new reference. */
json_t *cel__py_number(cel_py *py, const cel_pytoken *token);

/* Appends what a string token means. `{name}` in an f-string is looked up with
 * cel__py_lookup(). */
bool cel__py_string(cel_py *py, const cel_pytoken *token, cel__buf *buf);

/* The value of a name, a new reference; a failure if it is not defined. */
cel_pyvalue cel__py_lookup(cel_py *py, cel_view name, size_t at);

/* Whether a name is assigned, imported or built in. */
bool cel__py_knows(const cel_py *py, cel_view name);

/* Expressions, in pyexpr.c. cel__py_right_side() also takes `1, 2`, a tuple without
 * parentheses. */
cel_pyvalue cel__py_expression(cel_py *py);
cel_pyvalue cel__py_right_side(cel_py *py);
cel_pyvalue cel__py_strings(cel_py *py);

/* Applies an operator to two values, which it takes. */
cel_pyvalue
cel__py_apply(cel_py *py, cel_view op, size_t at, cel_pyvalue left, cel_pyvalue right);

/* Gives the value up after a failure. */
cel_pyvalue cel__py_settle(cel_py *py, cel_pyvalue value);
bool cel__py_is_good(cel_pyvalue value);

/* One level deeper; false if that is too deep. The caller goes back by py->depth--. */
bool cel__py_enter(cel_py *py);

/* Describes the token that is looked at, for messages; fails because of it. */
const char *cel__py_found(const cel_py *py, char text[64]);
bool cel__py_unexpected(cel_py *py, const char *expected);
bool cel__py_refuse_word(cel_py *py);
bool cel__py_expect_op(cel_py *py, const char *op);

/* Whether the token is a keyword of what only running can tell. */
bool cel__py_is_statement(const cel_py *py);

/* Whether the token is a name with '=' behind it. */
bool cel__py_is_keyword(const cel_py *py);

/* Appends str(value) of a scalar; false for containers. */
bool cel__py_str(cel__buf *buf, const json_t *value);

/* Operators: borrow the operands, return a new value (json NULL after a failure). */
bool cel__py_truth(const json_t *value);
cel_pyvalue cel__py_binary(cel_py *py, cel_view op, size_t at, cel_pyvalue a, cel_pyvalue b);
cel_pyvalue cel__py_unary(cel_py *py, cel_view op, size_t at, cel_pyvalue a);

/* A JSON string or real as a value; fails on what JSON cannot hold. */
json_t *cel__py_make_string(cel_py *py, size_t at, const cel__buf *buf);
json_t *cel__py_make_real(cel_py *py, size_t at, double value);

/* Returns the symbol of this dotted path, or NULL. `parent` may be NULL. */
const cel_pysymbol *cel__py_symbol(const cel_pysymbol *parent, cel_view name);
const cel_pysymbol *cel__py_builtin(cel_view name);

/* Calls a symbol. `args` is an array, `kwargs` an object, both borrowed; `depth` is that of the
 * deepest argument. */
cel_pyvalue cel__py_call(cel_py *py,
                         const cel_pysymbol *symbol,
                         size_t at,
                         json_t *args,
                         json_t *kwargs,
                         size_t depth);

/* os.environ[key] */
cel_pyvalue cel__py_environ(cel_py *py, size_t at, const json_t *key);

/* A container with `member` in it: its depth, or a failure if that is too much. */
bool cel__py_nest(cel_py *py, size_t at, size_t *depth, size_t member);

/* A list without equal members; takes `list`. */
json_t *cel__py_make_set(cel_py *py, size_t at, json_t *list);

#endif
