/* exception.c - exceptions of Python, as documents and as people see them. */
#include "core/jscan.h"
#include "core/json.h"
#include "message/result.h"

void cel__exception_dump(cel__buf *buf, const cel_exception *exception)
{
    cel__buf_add_str(buf, "{\"exc_type\": ");
    cel__buf_add_json(buf, exception->type);
    cel__buf_add_str(buf, ", \"exc_message\": ");
    cel__buf_add_view(buf, exception->args.ptr ? exception->args : CEL_VIEW("[]"));
    cel__buf_add_str(buf, ", \"exc_module\": ");
    if (exception->module.ptr)
        cel__buf_add_json(buf, exception->module);
    else
        cel__buf_add(buf, "null", 4);
    cel__buf_add_byte(buf, '}');
}

/* ---- reading ---- */

/* Appends the array text [json] to scratch, where room for it was reserved. */
static cel_view wrap(cel__buf *scratch, cel_view json, bool quote)
{
    size_t start = scratch->len;

    cel__buf_add_byte(scratch, '[');
    if (quote)
        cel__buf_add_json(scratch, json);
    else
        cel__buf_add_view(scratch, json);
    cel__buf_add_byte(scratch, ']');
    if (scratch->failed)
        return CEL_VIEW("[]");
    return (cel_view){scratch->ptr + start, scratch->len - start};
}

/* Something else was stored where an exception belongs. */
static void load_foreign(cel_exception *out, cel_view text, bool json, cel__buf *scratch)
{
    out->type = CEL_VIEW("Exception");
    out->module = CEL_VIEW("builtins");
    out->args = wrap(scratch, text, !json);
}

void cel__exception_load(cel_exception *out, cel_view text, cel__buf *scratch)
{
    cel_jvalue value, type, module, message;

    *out = (cel_exception){.args = CEL_VIEW("[]")};
    if (cel__jscan_value(&value, text, NULL)) {
        load_foreign(out, text, false, scratch);
        return;
    }
    type = cel__jscan_get(value, "exc_type");
    if (type.type != CEL_JSON_STRING || type.text.len == 2) {
        load_foreign(out, value.text, true, scratch);
        return;
    }
    cel__buf_reserve(scratch, text.len + 2); /* all that follows fits: views stay */
    module = cel__jscan_get(value, "exc_module");
    message = cel__jscan_get(value, "exc_message");
    out->type = cel__jscan_view(type, scratch);
    out->module = cel__jscan_view(module, scratch);
    if (message.type == CEL_JSON_ARRAY)
        out->args = message.text;
    else if (message.type != CEL_JSON_NONE)
        out->args = wrap(scratch, message.text, false);
}

/* ---- showing ---- */

/* How str() of a class differs from str() of Exception. */
enum manner {
    MANNER_PLAIN,
    MANNER_KEY,   /* KeyError: the repr of its one argument */
    MANNER_OS,    /* OSError: [Errno 2] No such file or directory */
    MANNER_LIMIT, /* billiard's time limits: the class and the tuple of arguments */
};

static const struct {
    const char *type;
    enum manner manner;
} manners[] = {
    {"KeyError", MANNER_KEY},
    {"NotRegistered", MANNER_KEY},
    {"TimeLimitExceeded", MANNER_LIMIT},
    {"SoftTimeLimitExceeded", MANNER_LIMIT},
    {"OSError", MANNER_OS},
    {"IOError", MANNER_OS},
    {"BlockingIOError", MANNER_OS},
    {"ChildProcessError", MANNER_OS},
    {"ConnectionError", MANNER_OS},
    {"BrokenPipeError", MANNER_OS},
    {"ConnectionAbortedError", MANNER_OS},
    {"ConnectionRefusedError", MANNER_OS},
    {"ConnectionResetError", MANNER_OS},
    {"FileExistsError", MANNER_OS},
    {"FileNotFoundError", MANNER_OS},
    {"InterruptedError", MANNER_OS},
    {"IsADirectoryError", MANNER_OS},
    {"NotADirectoryError", MANNER_OS},
    {"PermissionError", MANNER_OS},
    {"ProcessLookupError", MANNER_OS},
    {"TimeoutError", MANNER_OS},
};

static enum manner manner_of(const cel_exception *exception)
{
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++)
        if (cel__view_is(exception->type, manners[i].type))
            return manners[i].manner;
    return MANNER_PLAIN;
}

/* Counts the arguments and gives the first two. */
static size_t count_args(const cel_exception *exception, cel_jvalue first[2])
{
    cel_jvalue value;
    cel_jscan scan;
    size_t count = 0;

    cel__jscan_array(&scan, (cel_jvalue){exception->args.ptr ? CEL_JSON_ARRAY : CEL_JSON_NONE,
                                         exception->args});
    while (cel__jscan_next(&scan, &value)) {
        if (count < 2)
            first[count] = value;
        count++;
    }
    return count;
}

/* str() of one value: of a string its text, of all else the repr. */
static void put_str(cel__buf *buf, cel_jvalue value)
{
    if (!cel__jscan_string(value, buf))
        cel__json_pyrepr(buf, value.text, false);
}

static void put_tuple(cel__buf *buf, const cel_exception *exception)
{
    cel__json_pyrepr(buf, exception->args.ptr ? exception->args : CEL_VIEW("[]"), true);
}

void cel__exception_str(cel__buf *buf, const cel_exception *exception)
{
    cel_jvalue args[2];
    size_t count = count_args(exception, args);
    enum manner manner = manner_of(exception);

    if (manner == MANNER_LIMIT) {
        cel__buf_add_view(buf, exception->type);
        put_tuple(buf, exception);
    } else if (manner == MANNER_OS && count == 2) {
        cel__buf_add_str(buf, "[Errno ");
        put_str(buf, args[0]);
        cel__buf_add_str(buf, "] ");
        put_str(buf, args[1]);
    } else if (manner == MANNER_KEY && count == 1) {
        cel__json_pyrepr(buf, args[0].text, false);
    } else if (count == 1) {
        put_str(buf, args[0]);
    } else if (count > 1) {
        put_tuple(buf, exception);
    }
}

/* repr() names the class without what encloses it, and has no comma behind a single
 * argument. */
void cel__exception_repr(cel__buf *buf, const cel_exception *exception)
{
    cel_view name = exception->type;
    cel_jvalue args[2];

    for (size_t i = name.len; i > 0; i--) {
        if (exception->type.ptr[i - 1] == '.') {
            name = (cel_view){exception->type.ptr + i, exception->type.len - i};
            break;
        }
    }
    cel__buf_add_view(buf, name);
    if (count_args(exception, args) != 1) {
        put_tuple(buf, exception);
        return;
    }
    cel__buf_add_byte(buf, '(');
    cel__json_pyrepr(buf, args[0].text, false);
    cel__buf_add_byte(buf, ')');
}
