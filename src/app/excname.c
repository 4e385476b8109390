/* excname.c - tables of the names that a peer in Python can resolve. */
#include "app/excname.h"

#include <stdlib.h>
#include <string.h>

/* Sorted, as strcmp() sorts. All of Python 3.11. */
static const char *const builtin_names[] = {
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "BaseExceptionGroup",
    "BlockingIOError",
    "BrokenPipeError",
    "BufferError",
    "BytesWarning",
    "ChildProcessError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "DeprecationWarning",
    "EOFError",
    "EncodingWarning",
    "EnvironmentError",
    "Exception",
    "ExceptionGroup",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "FutureWarning",
    "GeneratorExit",
    "IOError",
    "ImportError",
    "ImportWarning",
    "IndentationError",
    "IndexError",
    "InterruptedError",
    "IsADirectoryError",
    "KeyError",
    "KeyboardInterrupt",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PendingDeprecationWarning",
    "PermissionError",
    "ProcessLookupError",
    "RecursionError",
    "ReferenceError",
    "ResourceWarning",
    "RuntimeError",
    "RuntimeWarning",
    "StopAsyncIteration",
    "StopIteration",
    "SyntaxError",
    "SyntaxWarning",
    "SystemError",
    "SystemExit",
    "TabError",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "UnicodeTranslateError",
    "UnicodeWarning",
    "UserWarning",
    "ValueError",
    "Warning",
    "ZeroDivisionError",
};

static const char *const library_names[][2] = {
    {"AlwaysEagerIgnored", "celery.exceptions"},
    {"ChordError", "celery.exceptions"},
    {"ContentDisallowed", "kombu.exceptions"},
    {"DecodeError", "kombu.exceptions"},
    {"EncodeError", "kombu.exceptions"},
    {"Ignore", "celery.exceptions"},
    {"ImproperlyConfigured", "celery.exceptions"},
    {"IncompleteStream", "celery.exceptions"},
    {"InvalidTaskError", "celery.exceptions"},
    {"MaxRetriesExceededError", "celery.exceptions"},
    {"NotRegistered", "celery.exceptions"},
    {"QueueNotFound", "celery.exceptions"},
    {"Reject", "celery.exceptions"},
    {"Retry", "celery.exceptions"},
    {"SecurityError", "celery.exceptions"},
    {"SoftTimeLimitExceeded", "billiard.exceptions"},
    {"TaskError", "celery.exceptions"},
    {"TaskPredicate", "celery.exceptions"},
    {"TaskRevokedError", "celery.exceptions"},
    {"Terminated", "billiard.exceptions"},
    {"TimeLimitExceeded", "billiard.exceptions"},
    {"WorkerLostError", "billiard.exceptions"},
};

static cel_view before_last_dot(cel_view name)
{
    for (size_t i = name.len; i > 0; i--)
        if (name.ptr[i - 1] == '.')
            return (cel_view){name.ptr, i - 1};
    return (cel_view){NULL, 0};
}

static bool is_builtin(cel_view name)
{
    size_t low = 0, high = sizeof builtin_names / sizeof builtin_names[0];

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int diff = strncmp(builtin_names[mid], name.ptr, name.len);

        if (diff == 0 && builtin_names[mid][name.len])
            diff = 1;
        if (diff == 0)
            return true;
        if (diff < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

void cel__exception_name(cel_view *type, cel_view *module, cel_view name, cel_view task)
{
    *module = before_last_dot(name);
    *type = name;
    if (module->ptr) {
        *type = (cel_view){name.ptr + module->len + 1, name.len - module->len - 1};
        return;
    }
    if (is_builtin(name)) {
        *module = CEL_VIEW("builtins");
        return;
    }
    for (size_t i = 0; i < sizeof library_names / sizeof library_names[0]; i++)
        if (cel__view_is(name, library_names[i][0])) {
            *module = cel__view(library_names[i][1]);
            return;
        }
    *module = before_last_dot(task);
    if (!module->ptr)
        *module = CEL_VIEW("celery.exceptions"); /* where Python puts what it cannot find */
}

/* Built-in classes whose parent is another one than Exception, and the aliases of OSError. */
static const char *const parents[][2] = {
    {"BlockingIOError", "OSError"},
    {"BrokenPipeError", "ConnectionError"},
    {"ChildProcessError", "OSError"},
    {"ConnectionAbortedError", "ConnectionError"},
    {"ConnectionError", "OSError"},
    {"ConnectionRefusedError", "ConnectionError"},
    {"ConnectionResetError", "ConnectionError"},
    {"EnvironmentError", "OSError"},
    {"FileExistsError", "OSError"},
    {"FileNotFoundError", "OSError"},
    {"FloatingPointError", "ArithmeticError"},
    {"IOError", "OSError"},
    {"IndentationError", "SyntaxError"},
    {"IndexError", "LookupError"},
    {"InterruptedError", "OSError"},
    {"IsADirectoryError", "OSError"},
    {"KeyError", "LookupError"},
    {"ModuleNotFoundError", "ImportError"},
    {"NotADirectoryError", "OSError"},
    {"NotImplementedError", "RuntimeError"},
    {"OverflowError", "ArithmeticError"},
    {"PermissionError", "OSError"},
    {"ProcessLookupError", "OSError"},
    {"RecursionError", "RuntimeError"},
    {"TabError", "IndentationError"},
    {"TimeoutError", "OSError"},
    {"UnboundLocalError", "NameError"},
    {"UnicodeDecodeError", "UnicodeError"},
    {"UnicodeEncodeError", "UnicodeError"},
    {"UnicodeError", "ValueError"},
    {"UnicodeTranslateError", "UnicodeError"},
    {"ZeroDivisionError", "ArithmeticError"},
};

/* Those that are no Exception: they end a program. */
static bool ends_program(cel_view type)
{
    return cel__view_is(type, "BaseException") || cel__view_is(type, "KeyboardInterrupt") ||
           cel__view_is(type, "SystemExit") || cel__view_is(type, "GeneratorExit") ||
           cel__view_is(type, "BaseExceptionGroup");
}

static cel_view parent_of(cel_view type)
{
    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++)
        if (cel__view_is(type, parents[i][0]))
            return cel__view(parents[i][1]);
    return (cel_view){NULL, 0};
}

/* Whether `name`, a built-in class, is an ancestor of the exception. What is not built in is taken to be
 * an Exception and nothing else. */
static bool is_ancestor(cel_view name, cel_view type, cel_view module)
{
    bool builtin = !module.ptr || cel__view_is(module, "builtins");

    if (cel__view_is(name, "BaseException"))
        return true;
    if (cel__view_is(name, "Exception"))
        return !builtin || !ends_program(type);
    if (!builtin)
        return false;
    if (cel__view_is(name, "IOError") || cel__view_is(name, "EnvironmentError"))
        name = CEL_VIEW("OSError");
    for (; type.ptr; type = parent_of(type))
        if (cel__view_eq(type, name))
            return true;
    return false;
}

bool cel__exception_listed(const char *throws, cel_view type, cel_view module)
{
    while (throws && *throws) {
        size_t len = strcspn(throws, ",");
        cel_view name = {throws, len}, listed_module;

        while (name.len > 0 && *name.ptr == ' ')
            name = (cel_view){name.ptr + 1, name.len - 1};
        while (name.len > 0 && name.ptr[name.len - 1] == ' ')
            name.len--;
        listed_module = before_last_dot(name);
        if (!listed_module.ptr && (cel__view_eq(name, type) || is_ancestor(name, type, module)))
            return true;
        if (listed_module.ptr && cel__view_eq(listed_module, module) &&
            name.len - listed_module.len - 1 == type.len &&
            memcmp(name.ptr + listed_module.len + 1, type.ptr, type.len) == 0)
            return true;
        throws += len + (throws[len] == ',');
    }
    return false;
}
