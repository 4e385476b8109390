/* view.h - borrowed bytes: a pointer and a length, never NUL-terminated by contract. */
#ifndef CEL_CORE_VIEW_H
#define CEL_CORE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* {NULL, 0} means "absent"; {non-NULL, 0} means "empty". */
typedef struct cel_view {
    const char *ptr;
    size_t len;
} cel_view;

#define CEL_VIEW(literal)                                                                      \
    (cel_view)                                                                                 \
    {                                                                                          \
        "" literal, sizeof(literal) - 1                                                        \
    }

static inline cel_view cel__view(const char *text)
{
    return (cel_view){text, text ? strlen(text) : 0};
}

static inline bool cel__view_eq(cel_view a, cel_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool cel__view_is(cel_view view, const char *text)
{
    return cel__view_eq(view, cel__view(text));
}

/* The arguments of "%.*s"; the length is bounded so that it fits an int. */
#define CEL_VIEW_ARG(view)                                                                     \
    (int)((view).len > 4096 ? 4096 : (view).len), ((view).ptr ? (view).ptr : "")

#endif
