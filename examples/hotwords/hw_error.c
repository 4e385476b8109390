/* hw_error.c - filling an hw_error. */
#include "hw_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

hw_code hw_fail(hw_error *err, hw_code code, const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    err->code = code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

hw_code hw_fail_memory(hw_error *err)
{
    return hw_fail(err, HW_ENOMEM, "out of memory");
}

hw_code hw_fail_file(hw_error *err, const char *doing, const char *path, int errnum)
{
    hw_code code = HW_EIO;

    if (errnum == ENOENT)
        code = HW_ENOENT;
    else if (errnum == ENOMEM)
        code = HW_ENOMEM;
    /* strerror() of glibc (since 2.32) and musl is safe in threads. */
    return hw_fail(err, code, "cannot %s '%s': %s", doing, path, strerror(errnum));
}
