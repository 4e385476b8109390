/* pyread.c - statements: assignments and imports. */
#include "app/pyread.h"

#include <stdio.h>
#include <string.h>

#include "app/pyintern.h"
#include "core/mem.h"
#include "core/utf8.h"

#define HASH_NONFATAL_OOM         1
#define uthash_malloc(size)       cel__malloc(size)
#define uthash_free(ptr, size)    cel__free(ptr)
#define uthash_nonfatal_oom(node) ((node)->lost = true)
#include <uthash.h>

#define NOT_EXECUTED CEL_PY_NOT_EXECUTED

/* A name that the file has bound. */
struct cel_pyvar {
    char *name;
    cel_pyvalue value; /* owned */
    size_t nodes;      /* what a reference to it counts */
    size_t line, column;
    bool used;
    bool lost;
    UT_hash_handle hh;
};

static const cel_pyvalue nothing = {NULL, NULL, 0};

/* ---- names ---- */

static struct cel_pyvar *find_var(const cel_py *py, cel_view name)
{
    struct cel_pyvar *var;

    HASH_FIND(hh, py->vars, name.ptr, name.len, var);
    return var;
}

bool cel__py_knows(const cel_py *py, cel_view name)
{
    return find_var(py, name) || cel__py_builtin(name);
}

/* Binds a name; shares the value. */
static bool bind_name(cel_py *py, cel_view name, cel_pyvalue value, size_t nodes)
{
    struct cel_pyvar *var = find_var(py, name);

    if (!var) {
        var = cel__calloc(1, sizeof *var);
        if (!var || !(var->name = cel__memdup(name.ptr, name.len))) {
            cel__free(var);
            return cel__py_nomem(py);
        }
        HASH_ADD_KEYPTR(hh, py->vars, var->name, name.len, var);
        if (var->lost) {
            cel__free(var->name);
            cel__free(var);
            return cel__py_nomem(py);
        }
    }
    json_incref(value.json);
    json_decref(var->value.json);
    var->value = value;
    var->nodes = value.depth > 0 ? nodes : 1 + json_string_length(value.json) / 64;
    var->line = py->line;
    var->column = py->column;
    return true;
}

cel_pyvalue cel__py_lookup(cel_py *py, cel_view name, size_t at)
{
    struct cel_pyvar *var = find_var(py, name);
    const cel_pysymbol *builtin = var ? NULL : cel__py_builtin(name);

    if (builtin)
        return (cel_pyvalue){NULL, builtin, 0};
    if (!var) {
        cel__py_fail(py, at, "'%.*s' is not defined: neither assigned above nor imported",
                     name.len > 60 ? 60 : (int)name.len, name.ptr);
        return nothing;
    }
    var->used = true;
    if (!cel__py_count(py, at, var->nodes))
        return nothing;
    json_incref(var->value.json);
    return var->value;
}

/* ---- statements ---- */

/* Reads a dotted name into `path`. */
static bool read_path(cel_py *py, char path[128])
{
    size_t len = 0;

    for (;;) {
        if (py->token.kind != CEL_PY_NAME)
            return cel__py_unexpected(py, "a name");
        if (len + py->token.text.len + 2 > 128)
            return cel__py_fail(py, py->token.at, "a name that is too long");
        memcpy(path + len, py->token.text.ptr, py->token.text.len);
        len += py->token.text.len;
        path[len] = '\0';
        if (!cel__py_next(py))
            return false;
        if (!cel__py_is_op(py, "."))
            return true;
        path[len++] = '.';
        if (!cel__py_next(py))
            return false;
    }
}

/* Reads `as NAME` if it is there; else the name is `name`. */
static bool read_alias(cel_py *py, cel_view *name)
{
    if (!cel__py_is_word(py, "as"))
        return true;
    if (!cel__py_next(py))
        return false;
    if (py->token.kind != CEL_PY_NAME)
        return cel__py_unexpected(py, "a name");
    *name = py->token.text;
    return cel__py_next(py);
}

static bool refuse_import(cel_py *py, size_t at, const char *path)
{
    return cel__py_fail(py, at,
                        "'%.100s' cannot be imported: " NOT_EXECUTED
                        ", and knows os, datetime, kombu and celery.schedules only",
                        path);
}

/* import os, kombu as k */
static bool read_import(cel_py *py)
{
    do {
        char path[128];
        if (!cel__py_next(py))
            return false;
        size_t at = py->token.at;
        if (!read_path(py, path))
            return false;
        const cel_pysymbol *module = cel__py_symbol(NULL, cel__view(path));
        if (!module || module->kind != CEL_PY_MODULE)
            return refuse_import(py, at, path);
        cel_view name = {path, strcspn(path, ".")};
        cel_view alias = name;
        if (!read_alias(py, &alias))
            return false;
        if (alias.ptr == name.ptr) /* `import a.b` binds a */
            module = cel__py_symbol(NULL, name);
        if (!bind_name(py, alias, (cel_pyvalue){NULL, module, 0}, 1))
            return false;
    } while (cel__py_is_op(py, ","));
    return true;
}

static bool import_name(cel_py *py, const cel_pysymbol *module, const char *path)
{
    char full[200];
    cel_view name = py->token.text;
    size_t at = py->token.at;

    if (py->token.kind != CEL_PY_NAME)
        return cel__py_unexpected(py, "a name");
    snprintf(full, sizeof full, "%s.%.*s", path, name.len > 60 ? 60 : (int)name.len, name.ptr);
    const cel_pysymbol *symbol = module ? cel__py_symbol(module, name) : NULL;
    if (module && !symbol)
        return refuse_import(py, at, full);
    if (!cel__py_next(py) || !read_alias(py, &name))
        return false;
    return !module || bind_name(py, name, (cel_pyvalue){NULL, symbol, 0}, 1);
}

/* from kombu import Queue, Exchange as E; also (in brackets, with newlines). A __future__
 * import changes nothing here. */
static bool read_from(cel_py *py)
{
    char path[128];

    if (!cel__py_next(py))
        return false;
    size_t at = py->token.at;
    if (!read_path(py, path))
        return false;
    bool future = strcmp(path, "__future__") == 0;
    const cel_pysymbol *module = future ? NULL : cel__py_symbol(NULL, cel__view(path));
    if (!future && (!module || (module->kind != CEL_PY_MODULE)))
        return refuse_import(py, at, path);
    if (!cel__py_is_word(py, "import"))
        return cel__py_unexpected(py, "'import'");
    if (!cel__py_next(py))
        return false;
    bool brackets = cel__py_is_op(py, "(");
    if (brackets && !cel__py_next(py))
        return false;
    while (import_name(py, module, path) && cel__py_is_op(py, ",") && cel__py_next(py)) {
        if (brackets && cel__py_is_op(py, ")"))
            break;
    }
    return !py->failed && (!brackets || cel__py_expect_op(py, ")"));
}

/* NAME = NAME = value. Recursion is per `=`, hence bounded. */
static cel_pyvalue read_assignment(cel_py *py, size_t nodes)
{
    cel_pytoken target = py->token;

    if (!cel__py_enter(py))
        return nothing;
    cel__py_next(py);
    cel__py_next(py);
    bool another = cel__py_is_keyword(py);
    size_t at = py->token.at;
    cel_pyvalue value = another ? read_assignment(py, nodes) : cel__py_right_side(py);
    py->depth--;
    if (value.symbol)
        cel__py_fail(py, at, "'%s' is no value", value.symbol->path);
    if (cel__py_is_good(value) && !py->failed)
        bind_name(py, target.text, value, py->nodes - nodes + 1);
    return cel__py_settle(py, value);
}

/* NAME += value, and its like. */
static void read_augmented(cel_py *py, cel_pytoken target)
{
    size_t nodes = py->nodes;
    struct cel_pyvar *var = find_var(py, target.text);
    bool used = var && var->used;
    cel_pyvalue left = cel__py_lookup(py, target.text, target.at);
    cel_view op = {py->token.text.ptr, py->token.text.len - 1};
    size_t at = py->token.at;

    cel__py_next(py);
    cel_pyvalue right = cel__py_right_side(py);
    if (!py->failed && !memchr("+-*/%", op.ptr[0], 5))
        cel__py_fail(py, at, "the operator '%.*s=' cannot be read", CEL_VIEW_ARG(op));
    cel_pyvalue value = cel__py_apply(py, op, at, left, right);
    if (value.json)
        bind_name(py, target.text, value, py->nodes - nodes + 1);
    if (var)
        var->used = used; /* this is no use of its own */
    json_decref(value.json);
}

static void refuse_statement(cel_py *py, cel_pytoken first)
{
    char text[64];

    if (cel__py_is_op(py, ":"))
        cel__py_fail(py, py->token.at, "an annotation cannot be read: leave it out");
    else if (cel__py_is_op(py, ","))
        cel__py_fail(py, py->token.at,
                     "an assignment to several names cannot be read: write one per line");
    else if (cel__py_is_op(py, "("))
        cel__py_fail(py, first.at, "a function call of '%.*s' cannot be read: " NOT_EXECUTED,
                     first.text.len > 40 ? 40 : (int)first.text.len, first.text.ptr);
    else if (cel__py_is_op(py, ".") || cel__py_is_op(py, "["))
        cel__py_fail(py, py->token.at, "only names can be assigned to, not parts of '%.*s'",
                     first.text.len > 40 ? 40 : (int)first.text.len, first.text.ptr);
    else
        cel__py_fail(py, py->token.at, "'=' is expected, not %s", cel__py_found(py, text));
}

static void read_name_statement(cel_py *py)
{
    cel_pytoken first = py->token;

    if (cel__py_is_word(py, "True") || cel__py_is_word(py, "False") ||
        cel__py_is_word(py, "None")) {
        cel__py_fail(py, first.at, "nothing can be assigned to '%.*s'",
                     CEL_VIEW_ARG(first.text));
        return;
    }
    if (cel__py_is_keyword(py)) {
        json_decref(read_assignment(py, py->nodes).json);
        return;
    }
    if (!cel__py_next(py))
        return;
    bool augmented = py->token.kind == CEL_PY_OP && py->token.text.len >= 2 &&
                     py->token.text.ptr[py->token.text.len - 1] == '=' &&
                     !strchr("=!<>:", py->token.text.ptr[0]);
    if (augmented)
        read_augmented(py, first);
    else
        refuse_statement(py, first);
}

/* Moves line and column on to the token. */
static void note_position(cel_py *py)
{
    for (; py->counted < py->token.at; py->counted++) {
        unsigned char c = (unsigned char)py->text.ptr[py->counted];
        if (c == '\n' || (c == '\r' && py->text.ptr[py->counted + 1] != '\n')) {
            py->line++;
            py->column = 1;
        } else if ((c & 0xC0) != 0x80) {
            py->column++;
        }
    }
}

static void read_statement(cel_py *py)
{
    note_position(py);
    if (cel__py_is_word(py, "import"))
        read_import(py);
    else if (cel__py_is_word(py, "from"))
        read_from(py);
    else if (cel__py_is_word(py, "pass"))
        cel__py_next(py);
    else if (cel__py_is_op(py, "@"))
        cel__py_fail(py, py->token.at, "a decorator cannot be read: " NOT_EXECUTED);
    else if (cel__py_is_statement(py))
        cel__py_refuse_word(py);
    else if (py->token.kind == CEL_PY_NAME)
        read_name_statement(py);
    else if (py->token.kind == CEL_PY_STRING) /* a docstring */
        json_decref(cel__py_strings(py).json);
    else
        cel__py_unexpected(py, "an assignment");
}

static void read_file(cel_py *py)
{
    while (cel__py_next_line(py) && py->token.kind != CEL_PY_END) {
        read_statement(py);
        while (!py->failed && cel__py_is_op(py, ";")) {
            if (!cel__py_next(py) || py->token.kind == CEL_PY_NEWLINE ||
                py->token.kind == CEL_PY_END)
                break;
            read_statement(py);
        }
        if (!py->failed && py->token.kind != CEL_PY_NEWLINE && py->token.kind != CEL_PY_END)
            cel__py_unexpected(py, "the end of the line");
        if (py->failed || py->token.kind == CEL_PY_END)
            return;
    }
}

/* ---- outside ---- */

static void free_vars(cel_py *py)
{
    struct cel_pyvar *var, *next;

    HASH_ITER(hh, py->vars, var, next)
    {
        HASH_DEL(py->vars, var);
        json_decref(var->value.json);
        cel__free(var->name);
        cel__free(var);
    }
}

/* Refuses what no Python file holds; skips a byte order mark. */
static bool check_text(cel_py *py)
{
    size_t at = 0;

    if (py->text.len > CEL_PYREAD_MAX)
        return cel__py_fail(py, 0, "the text is longer than 1 MiB");
    if (py->text.len >= 3 && memcmp(py->text.ptr, "\xef\xbb\xbf", 3) == 0)
        py->at = 3;
    while (at < py->text.len) {
        uint32_t cp;
        size_t len = cel__utf8_decode(py->text.ptr + at, py->text.len - at, &cp);
        bool bad = (cp == CEL_UTF8_REPLACEMENT && len == 1) || (cp >= 0xD800 && cp <= 0xDFFF);
        if (bad)
            return cel__py_fail(py, at, "a byte that is no UTF-8");
        if (cp == 0)
            return cel__py_fail(py, at, "a NUL byte");
        at += len;
    }
    return true;
}

static cel_code report(const cel_py *py, const char *name, cel_error *err)
{
    size_t line, column;

    if (py->code == CEL_ENOMEM)
        return cel_error_set(err, CEL_ENOMEM, "%s: out of memory", name ? name : "value");
    cel__py_position(py->text, py->failed_at, &line, &column);
    return cel_error_set(err, CEL_ECONFIG, "%.100s%s%zu:%zu: %s", name ? name : "",
                         name ? ":" : "", line, column, py->message);
}

static void free_names(cel_pyname *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cel__free(names[i].name);
        json_decref(names[i].value);
    }
    cel__free(names);
}

/* Moves the values that the file has assigned into *out; imports are left out. */
static bool collect(cel_py *py, cel_pyfile *out)
{
    struct cel_pyvar *var, *next;
    cel_pyname *names = cel__calloc(HASH_COUNT(py->vars), sizeof *names);
    size_t count = 0;

    if (!names)
        return cel__py_nomem(py);
    HASH_ITER(hh, py->vars, var, next)
    {
        if (var->value.symbol)
            continue;
        names[count++] =
            (cel_pyname){var->name, var->value.json, var->line, var->column, var->used};
        HASH_DEL(py->vars, var);
        cel__free(var);
    }
    *out = (cel_pyfile){names, count};
    return true;
}

cel_code cel__pyread_file(cel_pyfile *out, const char *name, cel_view text, cel_error *err)
{
    cel_py py = {.text = text, .line = 1, .column = 1};
    cel_code code = CEL_OK;

    if (check_text(&py))
        read_file(&py);
    if (!py.failed)
        collect(&py, out);
    if (py.failed)
        code = report(&py, name, err);
    free_vars(&py);
    return code;
}

void cel__pyfile_done(cel_pyfile *file)
{
    free_names(file->names, file->count);
    *file = (cel_pyfile){NULL, 0};
}

cel_code cel__pyread_value(json_t **out, cel_view text, cel_error *err)
{
    cel_py py = {.text = text, .line = 1, .column = 1};
    cel_pyvalue value = nothing;
    cel_code code = CEL_OK;

    if (check_text(&py) && cel__py_next(&py))
        value = cel__py_right_side(&py);
    while (!py.failed && py.token.kind == CEL_PY_NEWLINE)
        cel__py_next_line(&py);
    if (!py.failed && py.token.kind != CEL_PY_END)
        cel__py_unexpected(&py, "the end");
    if (!py.failed && !value.json)
        cel__py_fail(&py, 0, "no value");
    if (py.failed) {
        json_decref(value.json);
        code = report(&py, NULL, err);
    } else {
        *out = value.json;
    }
    free_vars(&py);
    return code;
}
