/* hw_error.h - how the functions of the hot-words example say what went wrong.
 *
 * What can fail returns an hw_code and takes an hw_error, which may be NULL and is left alone on
 * success. Outputs are written only on success. Nothing here prints, exits or touches errno. */
#ifndef HW_ERROR_H
#define HW_ERROR_H

typedef enum hw_code {
    HW_OK = 0,
    HW_EINVAL,    /* an argument of the caller's is wrong */
    HW_ENOMEM,    /* out of memory; the object is as it was before the call */
    HW_ENOENT,    /* the file that the message names does not exist */
    HW_EIO,       /* the file that the message names cannot be read or written */
    HW_EFORMAT,   /* the content of a file or document is not what it should be */
    HW_ECANCELED, /* the caller asked to stop */
    HW_EACCES,    /* the database refuses the user */
    HW_ELOOKUP,   /* the database has no such database, table, column or day */
    HW_ECONN,     /* the database cannot be reached, or is too busy: it may be another time */
} hw_code;

typedef struct hw_error {
    hw_code code;
    char message[240]; /* one line for a human, no prefix, no newline; cut if it is longer */
} hw_error;

/* Fills *err, if there is one, and returns `code`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
hw_code
hw_fail(hw_error *err, hw_code code, const char *format, ...);

/* HW_ENOMEM with its message. */
hw_code hw_fail_memory(hw_error *err);

/* Fails because a system call on `path` failed with `errnum`: HW_ENOENT when the file is missing,
 * HW_ENOMEM when memory is, HW_EIO otherwise. `doing` is a verb: "open", "read". */
hw_code hw_fail_file(hw_error *err, const char *doing, const char *path, int errnum);

#endif
