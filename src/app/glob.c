/* glob.c - matching with one point to go back to: the last star. */
#include "app/glob.h"

#include <stddef.h>

/* Finds the bracket that closes the set at `pattern`; NULL if none does: then '[' is a
 * character. */
static const char *set_end(const char *pattern)
{
    const char *at = pattern + 1;

    if (*at == '!')
        at++;
    if (*at == ']')
        at++;
    while (*at && *at != ']')
        at++;
    return *at ? at : NULL;
}

static bool in_set(const char *pattern, const char *end, char c)
{
    bool negated = pattern[1] == '!';
    bool found = false;

    for (const char *at = pattern + 1 + negated; at < end; at++) {
        if (at[1] == '-' && at + 2 < end) {
            found |= (unsigned char)at[0] <= (unsigned char)c &&
                     (unsigned char)c <= (unsigned char)at[2];
            at += 2;
        } else {
            found |= *at == c;
        }
    }
    return found != negated;
}

/* Matches one character at *pattern and moves behind it. */
static bool match_one(const char **pattern, char c)
{
    const char *at = *pattern;
    const char *end = *at == '[' ? set_end(at) : NULL;

    if (end) {
        *pattern = end + 1;
        return in_set(at, end, c);
    }
    *pattern = at + 1;
    return *at == '?' || *at == c;
}

bool cel__glob_match(const char *pattern, cel_view text)
{
    const char *star = NULL; /* behind the last star */
    size_t at = 0, from = 0; /* where that star's rest was tried */

    while (at < text.len) {
        if (*pattern == '*') {
            star = ++pattern;
            from = at;
        } else if (*pattern && match_one(&pattern, text.ptr[at])) {
            at++;
        } else if (star) {
            pattern = star;
            at = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
