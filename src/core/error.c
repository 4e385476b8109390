/* error.c - the table of error.h as text. */
#include "celeriac/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cel_code_name(cel_code code)
{
    switch (code) {
#define CEL_X(name, value, text)                                                               \
    case name:                                                                                 \
        return #name;
        CEL_ERROR_CODES(CEL_X)
#undef CEL_X
    }
    return "CEL_?";
}

const char *cel_code_text(cel_code code)
{
    switch (code) {
#define CEL_X(name, value, text)                                                               \
    case name:                                                                                 \
        return text;
        CEL_ERROR_CODES(CEL_X)
#undef CEL_X
    }
    return "unknown error";
}

/* A message cut in the middle of a UTF-8 character would be no UTF-8 any more. */
static void trim_utf8(char *text, size_t len)
{
    size_t i = len;

    while (i > 0 && ((unsigned char)text[i - 1] & 0xC0) == 0x80)
        i--;
    if (i > 0 && (unsigned char)text[i - 1] >= 0xC0)
        text[i - 1] = '\0';
}

cel_code cel_error_set(cel_error *err, cel_code code, const char *fmt, ...)
{
    va_list args;
    int len;

    if (!err)
        return code;
    err->code = code;
    err->retriable =
        code == CEL_ECONN || code == CEL_EBUSY || code == CEL_EFULL || code == CEL_ENOMEM;
    err->uncertain = false;
    err->exc_type[0] = '\0';
    /* The arguments may point into err->message itself, when one message wraps another. */
    char message[sizeof err->message];
    va_start(args, fmt);
    len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (len >= (int)sizeof message)
        trim_utf8(message, sizeof message - 1);
    memcpy(err->message, message, sizeof message);
    return code;
}
