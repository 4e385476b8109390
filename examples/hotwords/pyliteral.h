/* pyliteral.h - reading the HMM parameters that jieba keeps as Python source. Never executes any.
 *
 * What is read is exactly this: blank lines, comments, `from __future__ import` lines, then one
 * assignment `P = {…}` of a dictionary. Its keys are strings of one character, as it stands or as an
 * escape \uXXXX; its values are numbers or, one level down, dictionaries of numbers. All else is an
 * error that names the line. */
#ifndef HW_PYLITERAL_H
#define HW_PYLITERAL_H

#include <stddef.h>
#include <stdint.h>

#include "hw_error.h"

/* Gets one number. `outer` is 0 in a flat dictionary. Returning other than HW_OK stops the reading. */
typedef hw_code (*hw_pyliteral_visit)(
    void *arg, uint32_t outer, uint32_t inner, double value, hw_error *err);

/* Reads `len` bytes of source and calls `visit` for each number, in order. `name` is for messages;
 * `depth` is 1 for a dictionary of numbers, 2 for a dictionary of such dictionaries. Fails with
 * HW_EFORMAT, or with what `visit` returned. */
hw_code hw_pyliteral_read(const char *source,
                          size_t len,
                          const char *name,
                          unsigned depth,
                          hw_pyliteral_visit visit,
                          void *arg,
                          hw_error *err);

#endif
